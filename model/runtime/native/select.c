/* The highest of many numbers. See kernels.h. */

#include "kernels.h"

enum { BINS = 1024, SAMPLED = 4096 };

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
