/* The highest of many numbers. See kernels.h. */

#include "kernels.h"

#include <float.h>

enum { BINS = 1024, SAMPLED = 4096 };

/* Rows of bounds that are looked for, of several users. */
struct wanted {
    float *numbers; /* [B, stride], of which `size` are of a user */
    int64_t stride, size, num_users;
    const int64_t *out;  /* rows that are not wanted, one user after the other */
    const int64_t *ends; /* of each user's [B] */
    const int64_t *counts; /* about how many of the highest; 0: those of at least `least` [B] */
    const float *least;
    int64_t *rows; /* what is found, ascending [B, most] */
    int64_t most;
    int64_t *sizes; /* how many these are [B]; more than `most` do not fit */
};

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

/* Find each user's rows; what is not wanted becomes -inf. Of the highest, never fewer than half as
 * many as are wanted, unless no more are above -inf. */
void pick(const struct wanted *wanted) {
    int64_t next = 0;
    for (int64_t user = 0; user < wanted->num_users; user++) {
        float *numbers = wanted->numbers + user * wanted->stride;
        int64_t *rows = wanted->rows + user * wanted->most;
        for (; next < wanted->ends[user]; next++)
            if (wanted->out[next] >= 0 && wanted->out[next] < wanted->size)
                numbers[wanted->out[next]] = -INFINITY;
        int64_t count = wanted->counts[user], found = 0;
        const int64_t enough = count / 2 < wanted->size ? count / 2 : wanted->size;
        float least = wanted->least[user];
        do {
            if (count) least = about_highest(numbers, wanted->size, count);
            /* At -inf all would be found. */
            if (least == -INFINITY) least = -FLT_MAX;
            found = at_least(numbers, wanted->size, least, rows, wanted->most);
        } while (count && found < enough && count < wanted->size && least > -FLT_MAX && (count *= 2));
        wanted->sizes[user] = found;
    }
}

/* Places of the highest of each user's scores, the highest first; of equal ones, the lower place
 * [sum of counts]. Places count from the beginning of all; counts are at most as many as there are. */
void best_places(
    const float *scores, const int64_t *ends, const int64_t *counts, int64_t num_users,
    int64_t *places) {
    int64_t start = 0;
    for (int64_t user = 0; user < num_users; start = ends[user++]) {
        const int64_t count = counts[user];
        int64_t found = 0;
        for (int64_t place = start; place < ends[user]; place++) {
            if (found == count && !(count && scores[place] > scores[places[count - 1]])) continue;
            int64_t at = found < count ? found++ : count - 1;
            for (; at > 0 && scores[place] > scores[places[at - 1]]; at--) places[at] = places[at - 1];
            places[at] = place;
        }
        places += count;
    }
}
