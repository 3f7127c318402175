/* Sums of contributions, and the order in which they are listed. See kernels.h. */

#include "kernels.h"

enum { PERCENT = 101 }; /* from 0 to 100 */

/* What is known of scores. */
struct scores {
    const float *weights;       /* of experts [C, K] */
    const float *contributions; /* [C, K, V, M] */
    const float *bias;          /* [C] */
    const int64_t *popularity;  /* of the items [C] */
    int64_t num_scores, num_experts, num_views, num_modalities;
};

/* What adds up to them. */
struct parts {
    float *experts;    /* [C, K] */
    float *views;      /* [C, V] */
    float *modalities; /* [C, M] */
    float *channels;   /* [C, V, M] */
    int64_t *largest;  /* see `largest_parts` [C] */
    int32_t *order;    /* active experts, the largest contribution first; -1 behind [C, K] */
    float *sorted;     /* room [M + 2] */
    int32_t *places;   /* room [M + 2] */
};

INLINE void add_up(const struct scores *all, int64_t score, const struct parts *parts) {
    const int64_t views = all->num_views, modalities = all->num_modalities;
    const float *next = all->contributions + score * all->num_experts * views * modalities;
    float *view_sums = parts->views + score * views;
    float *modality_sums = parts->modalities + score * modalities;
    float *channel_sums = parts->channels + score * views * modalities;
    memset(view_sums, 0, views * sizeof(float));
    memset(modality_sums, 0, modalities * sizeof(float));
    memset(channel_sums, 0, views * modalities * sizeof(float));
    for (int64_t expert = 0; expert < all->num_experts; expert++) {
        float sum = 0;
        for (int64_t channel = 0; channel < views * modalities; channel++) {
            sum += next[channel];
            channel_sums[channel] += next[channel];
        }
        parts->experts[score * all->num_experts + expert] = sum;
        next += views * modalities;
    }
    for (int64_t view = 0; view < views; view++)
        for (int64_t modality = 0; modality < modalities; modality++) {
            view_sums[view] += channel_sums[view * modalities + modality];
            modality_sums[modality] += channel_sums[view * modalities + modality];
        }
}

INLINE void put_experts_in_order(const struct scores *all, int64_t score, const struct parts *parts) {
    const int64_t experts = all->num_experts;
    const float *weights = all->weights + score * experts, *sums = parts->experts + score * experts;
    int32_t *order = parts->order + score * experts;
    int64_t found = 0;
    for (int64_t expert = 0; expert < experts; expert++) {
        if (!(weights[expert] > 0)) continue;
        int64_t place = found++;
        for (; place > 0; place--) {
            const int32_t other = order[place - 1];
            if (sums[other] > sums[expert]) break;
            if (sums[other] == sums[expert] && weights[other] >= weights[expert]) break;
            order[place] = other;
        }
        order[place] = (int32_t)expert;
    }
    for (; found < experts; found++) order[found] = -1;
}

/* The largest parts of a score as one number, see `largest_parts` in explanation.py. */
INLINE int64_t largest_of(const struct scores *all, int64_t score, const struct parts *parts) {
    const int64_t size = all->num_modalities + 2;
    const int is_known = all->popularity[score] > 0;
    float total = 0, against = 0, *sorted = parts->sorted;
    int32_t *places = parts->places;
    for (int64_t part = 0; part < size; part++) {
        const float own = part < size - 2 ? parts->modalities[score * (size - 2) + part]
                          : (part == size - 2) == is_known ? all->bias[score] : 0;
        int64_t place = part;
        for (; place > 0 && sorted[place - 1] < own; place--)
            sorted[place] = sorted[place - 1], places[place] = places[place - 1];
        sorted[place] = own, places[place] = (int32_t)part;
    }
    for (int64_t part = 0; part < size; part++)
        total += larger(sorted[part], 0), against += larger(-sorted[part], 0);
    if (!(total > against)) return -1 - places[size - 1];
    const double first = sorted[0] / (double)total, second = sorted[1] / (double)total;
    const int has_second = second >= 0.2;
    int64_t code = places[0];
    code = code * PERCENT + (int64_t)fmin(rint(100 * first), 100);
    code = code * 2 + (first >= 0.5);
    code = code * (size + 1) + (has_second ? places[1] : size);
    return code * PERCENT + (has_second ? (int64_t)rint(100 * second) : 0);
}

/* Take all scores apart. */
void sum_parts(const struct scores *scores, const struct parts *parts) {
    for (int64_t score = 0; score < scores->num_scores; score++) {
        add_up(scores, score, parts);
        put_experts_in_order(scores, score, parts);
        parts->largest[score] = largest_of(scores, score, parts);
    }
}
