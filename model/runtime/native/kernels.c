/* The inner loops of exact search: bounds of all items, the highest of them, pairs' cosines.
 *
 * Plain C without a dependency, called through ctypes (kernels.py has the signatures and the checks),
 * built by build.py. Every loop has its twin in numpy or onnxruntime, which is used where this file
 * has not been built, and tests compare the two. Nothing here keeps memory or state.
 *
 * Letters: I items, B users, V views, M modalities, G = V * M channels, D dimension (padded to a
 * multiple of 4), L lanes (items of a block), P pairs, J routing channels, N rows that are named.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni,fma")))
#endif

#if defined(X86) && defined(__ELF__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

#define SHORTEST 1e-12f /* a row that is shorter is divided by it */
#define TINY 1e-30f
#define ROUNDING 1e-4f  /* of float sums, far above what it is */
#define INLINE static inline __attribute__((always_inline))

enum { NAMED = 3, LANES = 16, TILE = 4, MOST_USERS = 64, MOST_WIDTH = 1024, AHEAD = 4, BINS = 1024, SAMPLED = 4096 };

/* Ask for numbers that are read soon. */
INLINE void fetch(const float *numbers, int64_t size) {
    for (int64_t place = 0; place < size; place += LANES) __builtin_prefetch(numbers + place);
}

/* Item-item scores of one user: a value for each item, or for some rows, which ascend. */
struct said {
    const float *dense;
    const int64_t *rows;
    const float *values;
    int64_t count;
};

/* Items in 8 bits, in blocks of 16: numbers d to d + 3 of a channel of all its items side by side,
 * [I / L, G, D / 4, L, 4]; each number has 64 added, so that it is from 1 to 127. */
struct items {
    const uint8_t *blocks;
    const float *added;   /* to every item's bound [I] */
    const float *axes;    /* to which users are turned before they are rounded [D, D], not padded */
    const float *lengths; /* of the longest item by channel [G] */
    const float *steps;   /* of an item's numbers by channel [G] */
    int64_t num_items, num_views, num_modalities;
    int64_t own_width, width; /* as it is, MOST_WIDTH at most, and padded */
    float least, rest; /* of the mixture, times the reach */
};

/* ---- Bounds ---- */

/* Users whose bounds are asked for, and room for what is made of them. */
struct users {
    const float *vectors;    /* of any length [B, G, own_width] */
    const struct said *said; /* [B] */
    int64_t num_users;       /* MOST_USERS at most */
    int8_t *numbers;         /* the same in 8 bits [B, G, D] */
    int32_t *start;          /* -64 times the sum of a channel's numbers, for the 64 that items have
                                more [B, G] */
    float *step;             /* what a product is multiplied by to be a similarity [B, G] */
    float *less;             /* what rounding can take from a bound at most [B] */
};

#ifdef X86

/* Round a channel of a user at unit length in other axes; how far that moves it. */
INLINE float round_channel(
    const struct items *items, const float *vector, int8_t *numbers, int32_t *start, float *step) {
    const int64_t width = items->own_width;
    float turned[MOST_WIDTH] = {0}, square = 0, largest = 0, error = 0;
    int32_t sum = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t d = 0; d < width; d++) square += vector[d] * vector[d];
    const float shrunk = 1 / fmaxf(sqrtf(square), SHORTEST);
    for (int64_t d = 0; d < width; d++)
        for (int64_t axis = 0; axis < width; axis++)
            turned[axis] += vector[d] * shrunk * items->axes[d * width + axis];
#pragma omp simd reduction(max : largest)
    for (int64_t d = 0; d < width; d++) largest = fmaxf(largest, fabsf(turned[d]));
    *step = fmaxf(largest / 127, SHORTEST);
#pragma omp simd reduction(+ : error, sum)
    for (int64_t d = 0; d < width; d++) {
        const float scaled = turned[d] / *step, rounded = rintf(scaled);
        error += (scaled - rounded) * (scaled - rounded);
        sum += (int32_t)rounded;
        numbers[d] = (int8_t)rounded;
    }
    for (int64_t d = width; d < items->width; d++) numbers[d] = 0;
    *start = -64 * sum;
    return sqrtf(error) * *step;
}

/* |<u, i> - <u', i'>| <= |u| |i - i'| + |u - u'| |i'|, of which the first is part of `added`. */
VNNI static void round_users(const struct items *items, const struct users *users) {
    const int64_t modalities = items->num_modalities, channels = items->num_views * modalities;
    for (int64_t user = 0; user < users->num_users; user++) {
        float sum = 0, most = 0;
        for (int64_t modality = 0; modality < modalities; modality++) {
            float off = 0;
            for (int64_t channel = modality; channel < channels; channel += modalities) {
                const int64_t place = user * channels + channel;
                const float error = round_channel(
                    items, users->vectors + place * items->own_width,
                    users->numbers + place * items->width, users->start + place,
                    users->step + place);
                off = fmaxf(off, error * items->lengths[channel] + ROUNDING);
                users->step[place] *= items->steps[channel];
            }
            sum += off;
            most = fmaxf(most, off);
        }
        users->less[user] = items->least * sum + items->rest * most;
    }
}

/* A block's similarities with what item-item scores add to them. */
VNNI INLINE __m512 with_said(
    __m512 similarity, const struct said *said, int64_t first, int64_t num_items, int64_t *cursor) {
    if (said->dense) {
        const int64_t left = num_items - first;
        const __mmask16 mask = left < LANES ? (1 << left) - 1 : -1;
        similarity = _mm512_add_ps(similarity, _mm512_maskz_loadu_ps(mask, said->dense + first));
    }
    if (*cursor < said->count && said->rows[*cursor] < first + LANES) {
        float sums[LANES];
        _mm512_storeu_ps(sums, similarity);
        for (; *cursor < said->count && said->rows[*cursor] < first + LANES; ++*cursor)
            sums[said->rows[*cursor] - first] += said->values[*cursor];
        similarity = _mm512_loadu_ps(sums);
    }
    return similarity;
}

INLINE int32_t word(const int8_t *numbers) {
    int32_t found;
    memcpy(&found, numbers, sizeof found);
    return found;
}

/* Products of a channel of TILE blocks with one user, or of one block with TILE users: how far they
 * lie apart is 0 for what is the same. Named, so that all of them stay in registers. */
VNNI INLINE void multiply(
    const uint8_t *block, int64_t between_blocks, const int8_t *numbers, int64_t between_users,
    int64_t width, __m512i product[TILE]) {
    __m512i first = product[0], second = product[1], third = product[2], fourth = product[3];
#define ADD(sum, n)                                                                       \
    sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(block + n * between_blocks),        \
                              _mm512_set1_epi32(word(numbers + n * between_users)))
    for (int64_t d = 0; d < width; d += 4, block += 4 * LANES, numbers += 4) {
        ADD(first, 0);
        ADD(second, 1);
        ADD(third, 2);
        ADD(fourth, 3);
    }
#undef ADD
    product[0] = first, product[1] = second, product[2] = third, product[3] = fourth;
}

/* Bounds of TILE blocks' items for one user, or of one block's for TILE users, see MixtureBound in
 * quantised.py. */
VNNI INLINE void bound_tile(
    const struct items *items, const struct users *users, float *out, int64_t stride,
    int64_t *cursors, int64_t first, int64_t user, const int one_user) {
    const int64_t modalities = items->num_modalities, channels = items->num_views * modalities;
    const int64_t width = items->width, block_size = channels * width * LANES;
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 sum[TILE], most[TILE], best[TILE];
    for (int k = 0; k < TILE; k++) sum[k] = _mm512_setzero_ps(), most[k] = lowest;
    for (int64_t modality = 0; modality < modalities; modality++) {
        for (int k = 0; k < TILE; k++) best[k] = lowest;
        for (int64_t channel = modality; channel < channels; channel += modalities) {
            __m512i product[TILE];
            for (int k = 0; k < TILE; k++)
                product[k] = _mm512_set1_epi32(
                    users->start[(one_user ? user : user + k) * channels + channel]);
            multiply(
                items->blocks + first * channels * width + channel * width * LANES,
                one_user ? block_size : 0,
                users->numbers + (user * channels + channel) * width,
                one_user ? 0 : channels * width, width, product);
            for (int k = 0; k < TILE; k++) {
                const int64_t own = one_user ? user : user + k;
                const int64_t row = one_user ? first + k * LANES : first;
                const __m512 step = _mm512_set1_ps(users->step[own * channels + channel]);
                __m512 similarity = _mm512_mul_ps(_mm512_cvtepi32_ps(product[k]), step);
                if (channel == 0 && row < items->num_items)
                    similarity = with_said(
                        similarity, users->said + own, row, items->num_items, cursors + own);
                best[k] = _mm512_max_ps(similarity, best[k]);
            }
        }
        for (int k = 0; k < TILE; k++) {
            sum[k] = _mm512_add_ps(sum[k], best[k]);
            most[k] = _mm512_max_ps(most[k], best[k]);
        }
    }
    for (int k = 0; k < TILE; k++) {
        const int64_t row = one_user ? first + k * LANES : first;
        const __m512 own = _mm512_loadu_ps(items->added + row);
        const __m512 mean = _mm512_fmadd_ps(_mm512_set1_ps(items->least), sum[k], own);
        const __m512 bound = _mm512_fmadd_ps(_mm512_set1_ps(items->rest), most[k], mean);
        _mm512_storeu_ps(out + (one_user ? user : user + k) * stride + row, bound);
    }
}

VNNI static void bound_all(
    const struct items *items, const struct users *users, float *out, int64_t stride) {
    int64_t cursors[MOST_USERS] = {0};
    for (int64_t first = 0; first < items->num_items; first += TILE * LANES) {
        int64_t user = 0;
        for (; user + TILE <= users->num_users; user += TILE)
            for (int64_t row = first; row < first + TILE * LANES; row += LANES)
                bound_tile(items, users, out, stride, cursors, row, user, 0);
        for (; user < users->num_users; user++)
            bound_tile(items, users, out, stride, cursors, first, user, 1);
    }
}
#endif

/* Whether the processor has the instructions of `bound_items`. */
int can_bound(void) {
#ifdef X86
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}

/* Bounds [B, I] in rows of `stride` numbers: I rounded up to whole tiles. */
void bound_items(
    const struct items *items, const struct users *users, float *out, int64_t stride) {
#ifdef X86
    round_users(items, users);
    bound_all(items, users, out, stride);
#else
    (void)items, (void)users, (void)out, (void)stride;
#endif
}

/* ---- Selection ---- */

/* A number that about `count` of them exceed or equal, from a histogram of SAMPLED of them; the least
 * of these where so many are not above -inf, and -inf where none is. */
FOR_EACH_PROCESSOR float about_highest(const float *numbers, int64_t size, int64_t count) {
    const int64_t step = LANES * (1 + size / SAMPLED);
    int32_t sizes[BINS] = {0};
    float least = INFINITY, most = -INFINITY;
    int64_t sampled = 0;
    for (int64_t first = 0; first < size; first += step) {
        const int64_t end = size - first < LANES ? size : first + LANES;
        for (int64_t row = first; row < end; row++) {
            const float number = numbers[row];
            most = number > most ? number : most;
            least = number < least && number > -INFINITY ? number : least;
        }
        sampled += end - first;
    }
    if (!(most > least)) return most;
    const float scale = (BINS - 1) / (most - least);
    for (int64_t first = 0; first < size; first += step) {
        const int64_t end = size - first < LANES ? size : first + LANES;
        for (int64_t row = first; row < end; row++)
            if (numbers[row] > -INFINITY) sizes[(int32_t)((numbers[row] - least) * scale)]++;
    }
    int64_t wanted = 1 + count * sampled / size, bin = BINS;
    while (bin > 0 && wanted > 0) wanted -= sizes[--bin];
    return bin ? least + bin / scale : least;
}

/* Rows of numbers of at least `least`, ascending, `most` at most; how many there are. */
FOR_EACH_PROCESSOR int64_t at_least(
    const float *numbers, int64_t size, float least, int64_t *rows, int64_t most) {
    int64_t found = 0;
    for (int64_t first = 0; first < size; first += LANES) {
        const int64_t end = size - first < LANES ? size : first + LANES;
        int any = 0;
        for (int64_t row = first; row < end; row++) any |= numbers[row] >= least;
        if (!any) continue;
        for (int64_t row = first; row < end; row++)
            if (numbers[row] >= least) {
                if (found < most) rows[found] = row;
                found++;
            }
    }
    return found;
}

/* ---- Pairs ---- */

/* Cosines [G, P] of users and items of their own, whose rows are given one user after the other,
 * and the routing evidence of both [J, P]. */
struct pairs {
    const float *items;   /* [I, G, D] */
    const float *routing; /* [I, J] */
    const float *unit;    /* of users, at unit length [G, B, D] */
    const float *evidence; /* of users [J, B] */
    const int64_t *rows;  /* [P] */
    const int64_t *lengths; /* pairs of each user [B] */
    int64_t num_items, num_users, num_pairs, num_channels, width, num_routing;
};

/* 1 if a row is none of the items', else 0. */
FOR_EACH_PROCESSOR int cosines(const struct pairs *pairs, float *cosine, float *routing) {
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
                cosine[channel * pairs->num_pairs + pair] = sum;
            }
            for (int64_t place = 0; place < pairs->num_routing; place++)
                routing[place * pairs->num_pairs + pair] =
                    pairs->routing[row * pairs->num_routing + place]
                    + pairs->evidence[place * pairs->num_users + user];
        }
    return 0;
}

/* ---- Item-item sums ---- */

/* W in compressed sparse rows, see item_item.py. */
struct model {
    const int64_t *offsets;
    const int32_t *items;
    const float *weights;
    int64_t num_items;
};

/* Items of a history, what each counts for, and its entries of W, one item after the other. */
struct history {
    const int64_t *rows;
    const float *shares;
    const int64_t *ends; /* of each item's entries */
    int64_t size;
    int32_t *items;      /* of the entries [E] */
    float *values;       /* of the entries, times the share [E] */
};

/* Where the entries of some items end; one that came after the model has none. */
void ends_of_entries(const struct model *model, const int64_t *rows, int64_t size, int64_t *ends) {
    int64_t end = 0;
    for (int64_t h = 0; h < size; h++) {
        const int64_t row = rows[h];
        if (row >= 0 && row < model->num_items) end += model->offsets[row + 1] - model->offsets[row];
        ends[h] = end;
    }
}

static void copy_entries(const struct model *model, const struct history *history) {
    int64_t entry = 0;
    for (int64_t h = 0; h < history->size; entry = history->ends[h++]) {
        const int64_t length = history->ends[h] - entry;
        if (!length) continue;
        const int64_t start = model->offsets[history->rows[h]];
        memcpy(history->items + entry, model->items + start, length * sizeof(int32_t));
        for (int64_t each = 0; each < length; each++)
            history->values[entry + each] = model->weights[start + each] * history->shares[h];
    }
}

/* What brings values to a standard deviation; 1 if that is below 0, and 0 if they are all alike. */
static double factor_of(const float *values, int64_t size, int64_t num_items, double deviation) {
    double sum = 0, square = 0;
    if (deviation < 0) return 1;
    for (int64_t place = 0; place < size; place++) {
        sum += values[place];
        square += (double)values[place] * values[place];
    }
    const double mean = sum / num_items, variance = square / num_items - mean * mean;
    return variance > 0 ? deviation / sqrt(variance) : 0;
}

static void multiply_all(float *values, int64_t size, double factor) {
    const float by = (float)factor;
    for (int64_t place = 0; place < size; place++) values[place] *= by;
}

/* The sums of a history for each item [I], brought to `deviation`; returns the factor. `room` is of
 * zeros [I]. */
double sum_dense(
    const struct model *model, const struct history *history, double deviation, double *room,
    float *values) {
    const int64_t num_entries = history->size ? history->ends[history->size - 1] : 0;
    copy_entries(model, history);
    for (int64_t entry = 0; entry < num_entries; entry++)
        room[history->items[entry]] += history->values[entry];
    for (int64_t row = 0; row < model->num_items; row++) values[row] = (float)room[row];
    const double factor = factor_of(values, model->num_items, model->num_items, deviation);
    multiply_all(values, model->num_items, factor);
    return factor;
}

/* The same for those that the history names, N at most as many as there are entries, which ascend.
 * `words` is of zeros [I / 64], `before` as long, `room` of zeros [E]. Returns N. */
int64_t sum_sparse(
    const struct model *model, const struct history *history, double deviation, uint64_t *words,
    int32_t *before, double *room, int64_t *rows, float *values, double *factor) {
    const int64_t num_entries = history->size ? history->ends[history->size - 1] : 0;
    int64_t found = 0;
    copy_entries(model, history);
    for (int64_t entry = 0; entry < num_entries; entry++)
        words[history->items[entry] >> 6] |= (uint64_t)1 << (history->items[entry] & 63);
    for (int64_t word = 0; word * 64 < model->num_items; word++) {
        before[word] = (int32_t)found;
        for (uint64_t left = words[word]; left; left &= left - 1)
            rows[found++] = 64 * word + __builtin_ctzll(left);
    }
    for (int64_t entry = 0; entry < num_entries; entry++) {
        const int32_t item = history->items[entry];
        const uint64_t lower = words[item >> 6] & (((uint64_t)1 << (item & 63)) - 1);
        room[before[item >> 6] + __builtin_popcountll(lower)] += history->values[entry];
    }
    for (int64_t place = 0; place < found; place++) values[place] = (float)room[place];
    *factor = factor_of(values, found, model->num_items, deviation);
    multiply_all(values, found, *factor);
    return found;
}

/* ---- Reasons ---- */

/* What is the same for all lists. */
struct catalogue {
    const float *items;   /* [I, G, D] */
    const float *foldin;  /* [I, G, D] */
    const float *lengths; /* of fold-in rows [I, G] */
    int64_t num_items, num_channels, width;
    float least_share, damping, least_similarity, least_variance; /* see evidence.py */
};

/* One list, and the history that speaks for it. */
struct list {
    const int64_t *rows;    /* of its items, of which the first N are shown [R] */
    const int64_t *history; /* oldest first [H] */
    const float *shares;    /* what each of the history counts for [H] */
    const float *user;      /* [G, D] */
    const float *contribution; /* to the scores of what is shown [N, G] */
    const float *item_item; /* scores of what is shown [N] */
    const int32_t *entries; /* of W, see `struct history` [E] */
    const float *values;
    const int64_t *ends;
    int64_t num_rows, num_shown, num_history, num_voices; /* of these, the newest speak */
    float factor;           /* of the values */
};

/* What is made of lists, and room for one. */
struct reasons {
    int64_t *rows;  /* who is named, the most telling first; -1 for nobody [B, N, NAMED] */
    float *shares;  /* [B, N, NAMED] */
    float *first;   /* what the first of them says, by channel [B, N, G] */
    float *scale;   /* room [G + 1, R] */
    float *scaled;  /* room [R, G, D] */
    float *points;  /* room [R, voices] */
    float *parts;   /* room [R, voices] */
    float *unit;    /* room [3, voices] */
    int16_t *slots; /* room, a power of two of more than R */
    int64_t num_slots;
};

INLINE float dot(const float *one, const float *other, int64_t width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < width; d++) sum += one[d] * other[d];
    return sum;
}

/* Four at once, so that the additions of one do not wait for each other. */
INLINE void four_dots(
    const float *rows, int64_t first, int64_t second, int64_t third, int64_t fourth,
    const float *other, int64_t width, float sums[TILE]) {
    float a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t place = 0; place < width; place++) {
        a += rows[first + place] * other[place];
        b += rows[second + place] * other[place];
        c += rows[third + place] * other[place];
        d += rows[fourth + place] * other[place];
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* Items of a list times what their products with a fold-in row at unit length add to the score. */
INLINE void scale_items(
    const struct catalogue *all, const struct list *list, const float *scale, float *scaled) {
    const int64_t channels = all->num_channels, width = all->width;
    for (int64_t r = 0; r < list->num_rows; r++)
        for (int64_t channel = 0; channel < channels; channel++) {
            const float *item = all->items + (list->rows[r] * channels + channel) * width;
            const float by = scale[r * channels + channel];
            float *out = scaled + (r * channels + channel) * width;
            for (int64_t d = 0; d < width; d++) out[d] = item[d] * by;
        }
}

/* What a similarity of one adds to scores [R, G]: of what is not shown, the mean. Behind it, that of
 * the first channel again, before it is divided by lengths. */
INLINE void find_scale(const struct catalogue *all, const struct list *list, float *scale) {
    const int64_t channels = all->num_channels, width = all->width, shown = list->num_shown;
    float *undivided = scale + list->num_rows * channels;
    for (int64_t channel = 0; channel < channels; channel++) {
        const float *user = list->user + channel * width;
        const float length = fmaxf(sqrtf(dot(user, user, width)), TINY);
        float total = 0, sum = 0;
        for (int64_t h = 0; h < list->num_history; h++)
            total += list->shares[h] * all->lengths[list->history[h] * channels + channel];
        for (int64_t r = 0; r < list->num_rows; r++) {
            float own = sum / shown;
            if (r < shown) {
                const float *item = all->items + (list->rows[r] * channels + channel) * width;
                float similarity = dot(item, user, width) / length;
                if (channel == 0) similarity += list->item_item[r];
                const float contribution = list->contribution[r * channels + channel];
                own = fabsf(similarity) > all->least_similarity ? contribution / similarity : 0;
                sum += own;
            }
            if (channel == 0) undivided[r] = own;
            scale[r * channels + channel] = own / (length * fmaxf(total, TINY));
        }
    }
}

/* What entries of W add [R, voices], times `factor` and the scale of the first channel. */
INLINE void find_parts(
    const struct list *list, const float *scale, int16_t *slots, int64_t num_slots, float *parts) {
    const int64_t silent = list->num_history - list->num_voices, mask = num_slots - 1;
    memset(parts, 0, sizeof(float) * list->num_rows * list->num_voices);
    memset(slots, 0, sizeof(int16_t) * num_slots);
    for (int64_t r = 0; r < list->num_rows; r++) {
        int64_t slot = list->rows[r] & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = (int16_t)(r + 1);
    }
    for (int64_t h = silent; h < list->num_history; h++)
        for (int64_t entry = h ? list->ends[h - 1] : 0; entry < list->ends[h]; entry++) {
            int64_t slot = list->entries[entry] & mask;
            while (slots[slot] && list->rows[slots[slot] - 1] != list->entries[entry])
                slot = (slot + 1) & mask;
            if (slots[slot]) {
                const int64_t r = slots[slot] - 1;
                parts[r * list->num_voices + h - silent] +=
                    list->values[entry] * list->factor * scale[r];
            }
        }
}

/* What the newest of a history add to the scores of a list's items [R, voices], in points. */
INLINE void find_points(
    const struct catalogue *all, const struct list *list, const struct reasons *room) {
    const int64_t size = all->num_channels * all->width, voices = list->num_voices;
    const int64_t silent = list->num_history - voices;
    find_scale(all, list, room->scale);
    scale_items(all, list, room->scale, room->scaled);
    find_parts(
        list, room->scale + list->num_rows * all->num_channels, room->slots, room->num_slots,
        room->parts);
    for (int64_t voice = 0; voice < voices; voice++) {
        const float *foldin = all->foldin + list->history[silent + voice] * size;
        const float share = list->shares[silent + voice];
        if (voice + 1 < voices)
            fetch(all->foldin + list->history[silent + voice + 1] * size, size);
        for (int64_t r = 0; r < list->num_rows; r += TILE) {
            /* Behind the end, the last once more. */
            const int64_t last = list->num_rows - 1;
            float sums[TILE];
            four_dots(
                room->scaled, r * size, (r + 1 < last ? r + 1 : last) * size,
                (r + 2 < last ? r + 2 : last) * size, (r + 3 < last ? r + 3 : last) * size, foldin,
                size, sums);
            for (int64_t k = 0; k < TILE && r + k <= last; k++) {
                const int64_t place = (r + k) * voices + voice;
                room->points[place] = share * sums[k] + room->parts[place];
            }
        }
    }
}

/* Means over the list's items [voices], and what a difference from them is divided by [voices];
 * whether the items do not differ. */
INLINE int find_units(
    const struct catalogue *all, const struct list *list, const float *points, float *unit,
    float *mean) {
    const int64_t voices = list->num_voices, num_rows = list->num_rows;
    float total = 0;
    for (int64_t voice = 0; voice < voices; voice++) mean[voice] = unit[voice] = 0;
    for (int64_t r = 0; r < num_rows; r++)
        for (int64_t voice = 0; voice < voices; voice++)
            mean[voice] += points[r * voices + voice] / num_rows;
    for (int64_t r = 0; r < num_rows; r++)
        for (int64_t voice = 0; voice < voices; voice++) {
            const float below = mean[voice] - points[r * voices + voice];
            unit[voice] += below * below / num_rows;
        }
    for (int64_t voice = 0; voice < voices; voice++) total += unit[voice];
    const float damping = all->damping * sqrtf(total / voices);
    for (int64_t voice = 0; voice < voices; voice++)
        unit[voice] = fmaxf(sqrtf(unit[voice]) + damping, TINY);
    return total <= all->least_variance;
}

/* Who is named for one item: the least `against` of those that say enough for it. */
INLINE void name_for(
    const struct catalogue *all, const struct list *list, int64_t r, const struct reasons *room,
    int is_flat, int64_t *columns, float *shares) {
    const int64_t voices = list->num_voices, silent = list->num_history - voices;
    const float *points = room->points + r * voices, *unit = room->unit, *mean = unit + voices;
    float least[NAMED], total = 0;
    for (int64_t voice = 0; voice < voices; voice++)
        if (list->history[silent + voice] != list->rows[r]) total += fmaxf(points[voice], 0);
    total = fmaxf(total, TINY);
    for (int place = 0; place < NAMED; place++)
        columns[place] = -1, shares[place] = 0, least[place] = place ? 0 : INFINITY;
    for (int64_t voice = 0; voice < voices; voice++) {
        if (points[voice] < all->least_share * total || points[voice] <= 0) continue;
        if (list->history[silent + voice] == list->rows[r]) continue;
        const float against =
            is_flat ? -points[voice] : (mean[voice] - points[voice]) / unit[voice];
        int place = NAMED;
        for (; place > 0; place--)
            if (columns[place - 1] >= 0 && least[place - 1] <= against) break;
        if (place == NAMED) continue;
        for (int other = NAMED - 1; other > place; other--)
            columns[other] = columns[other - 1], least[other] = least[other - 1];
        columns[place] = voice, least[place] = against;
    }
    for (int place = 0; place < NAMED; place++) {
        /* Those beside the first are named only if they say more than in the mean. */
        if (columns[place] >= 0 && place && least[place] >= 0) columns[place] = -1;
        if (columns[place] >= 0) shares[place] = points[columns[place]] / total;
    }
}

/* Who is named for the items of lists with as many shown each; 1 if a row is none of the items'. */
FOR_EACH_PROCESSOR int find_reasons(
    const struct catalogue *all, const struct list *lists, int64_t num_lists,
    const struct reasons *room) {
    const int64_t channels = all->num_channels, width = all->width;
    for (int64_t number = 0; number < num_lists; number++) {
        const struct list *list = lists + number;
        for (int64_t r = 0; r < list->num_rows; r++)
            if (list->rows[r] < 0 || list->rows[r] >= all->num_items) return 1;
        for (int64_t h = 0; h < list->num_history; h++)
            if (list->history[h] < 0 || list->history[h] >= all->num_items) return 1;
    }
    for (int64_t number = 0; number < num_lists; number++) {
        const struct list *list = lists + number;
        const int64_t voices = list->num_voices, silent = list->num_history - voices;
        find_points(all, list, room);
        const int is_flat =
            find_units(all, list, room->points, room->unit, room->unit + voices);
        for (int64_t r = 0; r < list->num_shown; r++) {
            const int64_t item = number * list->num_shown + r;
            int64_t columns[NAMED];
            name_for(all, list, r, room, is_flat, columns, room->shares + item * NAMED);
            for (int place = 0; place < NAMED; place++)
                room->rows[item * NAMED + place] =
                    columns[place] < 0 ? -1 : list->history[silent + columns[place]];
            float *first = room->first + item * channels;
            memset(first, 0, channels * sizeof(float));
            if (columns[0] < 0) continue;
            const float *foldin = all->foldin + list->history[silent + columns[0]] * channels * width;
            for (int64_t channel = 0; channel < channels; channel++)
                first[channel] = list->shares[silent + columns[0]]
                                 * dot(room->scaled + (r * channels + channel) * width,
                                       foldin + channel * width, width);
            first[0] += room->parts[r * voices + columns[0]];
        }
    }
    return 0;
}
