/* What scores of pairs are made of. See kernels.h. */

#include "kernels.h"

enum { AHEAD = 4 }; /* pairs whose items are fetched meanwhile */

/* Users and items of their own, whose rows are given one user after the other. */
struct pairs {
    const float *items;   /* [I, G, D] */
    const float *routing; /* [I, J] */
    const float *bias;    /* [I] */
    const float *unit;    /* of users, at unit length [G, B, D] */
    const float *evidence; /* of users [J, B] */
    const int64_t *rows;  /* [P] */
    const int64_t *lengths; /* pairs of each user [B] */
    const struct item_item *item_item; /* [B] */
    int64_t num_items, num_users, num_pairs, num_channels, width, num_routing;
};

/* What is made of pairs. */
struct made {
    float *cosine;  /* [G, P] */
    float *routing; /* evidence of both [J, P] */
    float *item_item;    /* what item-item scores add [P] */
    float *bias;    /* [P] */
};

/* What item-item scores add to a row; 0 for items that they do not name. */
INLINE float value_of(const struct item_item *item_item, int64_t row) {
    if (item_item->dense) return row < item_item->count ? item_item->dense[row] : 0;
    int64_t first = 0, last = item_item->count;
    while (first < last) {
        const int64_t middle = (first + last) / 2;
        if (item_item->rows[middle] < row) first = middle + 1;
        else last = middle;
    }
    return first < item_item->count && item_item->rows[first] == row ? item_item->values[first] : 0;
}

/* 1 if a row is none of the items', else 0. */
FOR_EACH_PROCESSOR int make_pairs(const struct pairs *pairs, const struct made *made) {
    const int64_t width = pairs->width, channels = pairs->num_channels;
    int64_t pair = 0;
    for (int64_t place = 0; place < pairs->num_pairs; place++)
        if (pairs->rows[place] < 0 || pairs->rows[place] >= pairs->num_items) return 1;
    for (int64_t user = 0; user < pairs->num_users; user++)
        for (const int64_t end = pair + pairs->lengths[user]; pair < end; pair++) {
            const int64_t row = pairs->rows[pair];
            if (pair + AHEAD < pairs->num_pairs)
                fetch(pairs->items + pairs->rows[pair + AHEAD] * channels * width,
                      channels * width);
            for (int64_t channel = 0; channel < channels; channel++) {
                const float *item = pairs->items + (row * channels + channel) * width;
                const float *unit = pairs->unit + (channel * pairs->num_users + user) * width;
                float sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t d = 0; d < width; d++) sum += item[d] * unit[d];
                made->cosine[channel * pairs->num_pairs + pair] = sum;
            }
            for (int64_t place = 0; place < pairs->num_routing; place++)
                made->routing[place * pairs->num_pairs + pair] =
                    pairs->routing[row * pairs->num_routing + place]
                    + pairs->evidence[place * pairs->num_users + user];
            made->item_item[pair] = value_of(pairs->item_item + user, row);
            made->bias[pair] = pairs->bias[row];
        }
    return 0;
}
