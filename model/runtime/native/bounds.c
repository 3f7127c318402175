/* Upper bounds of all items' scores, from 8-bit products. See kernels.h. */

#include "kernels.h"

#define SHORTEST 1e-12f /* a row that is shorter is divided by it */
#define ROUNDING 1e-4f  /* of float sums, far above what it is */

enum { MOST_USERS = 64, MOST_WIDTH = 1024 };

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


/* Users whose bounds are asked for, and room for what is made of them. */
struct users {
    const float *vectors;    /* of any length [B, G, own_width] */
    const struct item_item *item_item; /* [B] */
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
VNNI INLINE __m512 with_item_item(
    __m512 similarity, const struct item_item *item_item, int64_t first, int64_t num_items,
    int64_t *cursor) {
    if (item_item->dense) {
        const int64_t left = num_items - first;
        const __mmask16 mask = left < LANES ? (1 << left) - 1 : -1;
        similarity =
            _mm512_add_ps(similarity, _mm512_maskz_loadu_ps(mask, item_item->dense + first));
    }
    if (item_item->rows && *cursor < item_item->count && item_item->rows[*cursor] < first + LANES) {
        float sums[LANES];
        _mm512_storeu_ps(sums, similarity);
        for (; *cursor < item_item->count && item_item->rows[*cursor] < first + LANES; ++*cursor)
            sums[item_item->rows[*cursor] - first] += item_item->values[*cursor];
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
                    similarity = with_item_item(
                        similarity, users->item_item + own, row, items->num_items, cursors + own);
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
