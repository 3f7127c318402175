/* The inner loops of exact search: bounds of all items (bounds.c), the highest of them (select.c),
 * what pairs' scores are made of (pairs.c) and what adds up to them (parts.c), item-item sums
 * (item_item.c), who is named for an item (reasons.c), and rows of text (join.c).
 *
 * Plain C without a dependency, called through ctypes (kernels.py has the signatures and the checks),
 * built by build.py. Every loop has its twin in numpy or onnxruntime, which is used where nothing
 * has been built, and tests compare the two. Nothing here keeps memory or state.
 *
 * Letters: I items, B users, V views, M modalities, G = V * M channels, D dimension (padded to a
 * multiple of 4), L lanes (items of a block), P pairs, J routing channels, N rows that are named.
 */

#ifndef KERNELS_H
#define KERNELS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#endif

#if defined(X86) && defined(__ELF__) && defined(__GLIBC__)
#define FOR_EACH_PROCESSOR \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, TILE = 4 };

/* Item-item scores of one user: a value for each item, or for some rows, which ascend. */
struct item_item {
    const float *dense;
    const int64_t *rows;
    const float *values;
    int64_t count;
};

/* The larger of two numbers; unlike fmaxf it takes no call. */
INLINE float larger(float one, float other) { return one > other ? one : other; }

/* Ask for numbers that are read soon. */
INLINE void fetch(const float *numbers, int64_t size) {
    for (int64_t place = 0; place < size; place += LANES) __builtin_prefetch(numbers + place);
}

#endif
