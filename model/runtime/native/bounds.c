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
FOR_EACH_PROCESSOR void round_users(const struct items *items, const struct users *users) {
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

INLINE int32_t word(const int8_t *numbers) {
    int32_t found;
    memcpy(&found, numbers, sizeof found);
    return found;
}

#define NAME(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni,fma")))
#define FLOATS __m512
#define INTS __m512i
#define WIDE 16
#define ALL _mm512_set1_ps
#define ALL_INTS _mm512_set1_epi32
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ADD _mm512_add_ps
#define MULTIPLY _mm512_mul_ps
#define MULTIPLY_ADD _mm512_fmadd_ps
#define LARGER _mm512_max_ps
#define TO_FLOATS _mm512_cvtepi32_ps
#define ADD_PRODUCT(sum, block, word) \
    _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(block), _mm512_set1_epi32(word))
#include "bounds_tile.h"

/* Two products are added in 16 bits: 2 * 127 * 127 is less than 2^15. */
#define NAME(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define FLOATS __m256
#define INTS __m256i
#define WIDE 8
#define ALL _mm256_set1_ps
#define ALL_INTS _mm256_set1_epi32
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define ADD _mm256_add_ps
#define MULTIPLY _mm256_mul_ps
#define MULTIPLY_ADD _mm256_fmadd_ps
#define LARGER _mm256_max_ps
#define TO_FLOATS _mm256_cvtepi32_ps
#define ADD_PRODUCT(sum, block, word)                                                      \
    _mm256_add_epi32(                                                                      \
        sum, _mm256_madd_epi16(                                                            \
                 _mm256_maddubs_epi16(                                                     \
                     _mm256_loadu_si256((const __m256i *)(block)), _mm256_set1_epi32(word)), \
                 _mm256_set1_epi16(1)))
#include "bounds_tile.h"

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}
#endif

/* Whether the processor has the instructions of `bound_items`. */
int can_bound(void) {
#ifdef X86
    return has_avx512() || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#else
    return 0;
#endif
}

/* Bounds [B, I] in rows of `stride` numbers: I rounded up to whole tiles. */
void bound_items(
    const struct items *items, const struct users *users, float *out, int64_t stride) {
#ifdef X86
    round_users(items, users);
    (has_avx512() ? bound_all_avx512 : bound_all_avx2)(items, users, out, stride);
#else
    (void)items, (void)users, (void)out, (void)stride;
#endif
}
