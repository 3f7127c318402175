/* What the items of a history say of others. See kernels.h. */

#include "kernels.h"

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
    int64_t *ends;       /* of each item's entries */
    int64_t size;
    int32_t *items;      /* of the entries [E] */
    float *values;       /* of the entries, times the share [E] */
};

/* Find where the entries of each item end, and how many there are; one that came after the model has
 * none. */
int64_t ends_of_entries(const struct model *model, const struct history *history) {
    int64_t end = 0;
    for (int64_t h = 0; h < history->size; h++) {
        const int64_t row = history->rows[h];
        if (row >= 0 && row < model->num_items) end += model->offsets[row + 1] - model->offsets[row];
        history->ends[h] = end;
    }
    return end;
}

INLINE void copy_entries(const struct model *model, const struct history *history) {
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
INLINE double factor_of(const float *values, int64_t size, int64_t num_items, double deviation) {
    double sum = 0, square = 0;
    if (deviation < 0) return 1;
#pragma omp simd reduction(+ : sum, square)
    for (int64_t place = 0; place < size; place++) {
        sum += values[place];
        square += (double)values[place] * values[place];
    }
    const double mean = sum / num_items, variance = square / num_items - mean * mean;
    return variance > 0 ? deviation / sqrt(variance) : 0;
}

/* Multiply; the largest that comes out, of either sign. */
INLINE float multiply_all(float *values, int64_t size, double factor) {
    const float by = (float)factor;
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t place = 0; place < size; place++) {
        values[place] *= by;
        const float size = fabsf(values[place]);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* What sums were multiplied by, and the largest of them then, of either sign. */
struct scaled {
    double factor;
    float largest;
};

/* The sums of a history for each item [I], brought to `deviation`. `room` is of zeros [I]. */
FOR_EACH_PROCESSOR void sum_dense(
    const struct model *model, const struct history *history, double deviation, double *room,
    float *values, struct scaled *scaled) {
    const int64_t num_entries = history->size ? history->ends[history->size - 1] : 0;
    copy_entries(model, history);
    for (int64_t entry = 0; entry < num_entries; entry++)
        room[history->items[entry]] += history->values[entry];
    for (int64_t row = 0; row < model->num_items; row++) values[row] = (float)room[row];
    scaled->factor = factor_of(values, model->num_items, model->num_items, deviation);
    scaled->largest = multiply_all(values, model->num_items, scaled->factor);
}

/* The same for those that the history names, N at most as many as there are entries, which ascend.
 * `words` is of zeros [I / 64], `before` as long, `room` of zeros [E]. Returns N. */
FOR_EACH_PROCESSOR int64_t sum_sparse(
    const struct model *model, const struct history *history, double deviation, uint64_t *words,
    int32_t *before, double *room, int64_t *rows, float *values, struct scaled *scaled) {
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
    scaled->factor = factor_of(values, found, model->num_items, deviation);
    scaled->largest = multiply_all(values, found, scaled->factor);
    return found;
}
