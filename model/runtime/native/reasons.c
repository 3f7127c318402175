/* The items of a history that a reason names. See kernels.h and evidence.py. */

#include "kernels.h"

#define TINY 1e-15f /* its square is above zero */

enum { NAMED = 3 };

/* What is the same for all lists. */
struct catalogue {
    const float *items;   /* [I, G, D] */
    const float *foldin;  /* [I, G, D] */
    const float *lengths; /* of fold-in rows [I, G] */
    int64_t num_items, num_channels, width;
    float least_share, damping, least_similarity, least_variance; /* see evidence.py */
};

/* One list, and the history that its scores are made of. */
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
    int64_t num_rows, num_shown, num_history, num_newest; /* of the history, that count */
    float factor;           /* of the values */
};

/* What is made of lists, and room for one. */
struct reasons {
    int64_t *rows;  /* those that are named, strongest first; -1 for none [B, N, NAMED] */
    float *shares;  /* [B, N, NAMED] */
    float *first;   /* what the first of them adds, by channel [B, N, G] */
    float *scale;   /* room [G + 1, R] */
    float *scaled;  /* room [R, G, D] */
    float *points;  /* room [R, newest] */
    float *parts;   /* room [R, newest] */
    float *unit;    /* room [3, newest] */
    int16_t *slots; /* room, a power of two of more than R */
    int64_t num_slots;
};

INLINE float dot(const float *one, const float *other, int64_t width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < width; d++) sum += one[d] * other[d];
    return sum;
}

/* Products of four rows with two others at once: the additions of one do not wait for each other,
 * and what is read is used more than once. */
INLINE void eight_dots(
    const float *rows[TILE], const float *other, const float *another, int64_t width,
    float sums[2][TILE]) {
    const float *first = rows[0], *second = rows[1], *third = rows[2], *fourth = rows[3];
    float a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
#pragma omp simd reduction(+ : a, b, c, d, e, f, g, h)
    for (int64_t place = 0; place < width; place++) {
        a += first[place] * other[place];
        b += second[place] * other[place];
        c += third[place] * other[place];
        d += fourth[place] * other[place];
        e += first[place] * another[place];
        f += second[place] * another[place];
        g += third[place] * another[place];
        h += fourth[place] * another[place];
    }
    sums[0][0] = a, sums[0][1] = b, sums[0][2] = c, sums[0][3] = d;
    sums[1][0] = e, sums[1][1] = f, sums[1][2] = g, sums[1][3] = h;
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
        const float length = larger(sqrtf(dot(user, user, width)), TINY);
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
            scale[r * channels + channel] = own / (length * larger(total, TINY));
        }
    }
}

/* What entries of W add [R, newest], times `factor` and the scale of the first channel. */
INLINE void find_parts(
    const struct list *list, const float *scale, int16_t *slots, int64_t num_slots, float *parts) {
    const int64_t skipped = list->num_history - list->num_newest, mask = num_slots - 1;
    memset(parts, 0, sizeof(float) * list->num_rows * list->num_newest);
    memset(slots, 0, sizeof(int16_t) * num_slots);
    for (int64_t r = 0; r < list->num_rows; r++) {
        int64_t slot = list->rows[r] & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = (int16_t)(r + 1);
    }
    for (int64_t h = skipped; h < list->num_history; h++)
        for (int64_t entry = h ? list->ends[h - 1] : 0; entry < list->ends[h]; entry++) {
            int64_t slot = list->entries[entry] & mask;
            while (slots[slot] && list->rows[slots[slot] - 1] != list->entries[entry])
                slot = (slot + 1) & mask;
            if (slots[slot]) {
                const int64_t r = slots[slot] - 1;
                parts[r * list->num_newest + h - skipped] +=
                    list->values[entry] * list->factor * scale[r];
            }
        }
}

/* What the newest of a history add to the scores of a list's items [R, newest], in points. */
INLINE void find_points(
    const struct catalogue *all, const struct list *list, const struct reasons *room) {
    const int64_t size = all->num_channels * all->width, newest = list->num_newest;
    const int64_t skipped = list->num_history - newest;
    find_scale(all, list, room->scale);
    scale_items(all, list, room->scale, room->scaled);
    find_parts(
        list, room->scale + list->num_rows * all->num_channels, room->slots, room->num_slots,
        room->parts);
    const int64_t *history = list->history + skipped;
    for (int64_t h = 0; h < newest; h += 2) {
        /* Behind an end, the last once more. */
        const int64_t next = h + 1 < newest ? h + 1 : h;
        for (int64_t later = h + 2; later < h + 4 && later < newest; later++)
            fetch(all->foldin + history[later] * size, size);
        for (int64_t r = 0; r < list->num_rows; r += TILE) {
            const int64_t last = list->num_rows - 1;
            const float *rows[TILE];
            float sums[2][TILE];
            for (int k = 0; k < TILE; k++)
                rows[k] = room->scaled + (r + k < last ? r + k : last) * size;
            eight_dots(
                rows, all->foldin + history[h] * size, all->foldin + history[next] * size, size,
                sums);
            for (int64_t k = 0; k < TILE && r + k <= last; k++)
                for (int64_t own = h; own <= next; own++) {
                    const int64_t place = (r + k) * newest + own;
                    room->points[place] =
                        list->shares[skipped + own] * sums[own - h][k] + room->parts[place];
                }
        }
    }
}

/* Means over the list's items [newest], and what a difference from them is divided by [newest];
 * whether the items do not differ. */
INLINE int find_units(
    const struct catalogue *all, const struct list *list, const float *points, float *unit,
    float *mean) {
    const int64_t newest = list->num_newest, num_rows = list->num_rows;
    float total = 0;
    for (int64_t h = 0; h < newest; h++) mean[h] = unit[h] = 0;
    for (int64_t r = 0; r < num_rows; r++)
        for (int64_t h = 0; h < newest; h++)
            mean[h] += points[r * newest + h] / num_rows;
    for (int64_t r = 0; r < num_rows; r++)
        for (int64_t h = 0; h < newest; h++) {
            const float below = mean[h] - points[r * newest + h];
            unit[h] += below * below / num_rows;
        }
    for (int64_t h = 0; h < newest; h++) total += unit[h];
    const float damping = all->damping * sqrtf(total / newest);
    for (int64_t h = 0; h < newest; h++)
        unit[h] = larger(sqrtf(unit[h]) + damping, TINY);
    return total <= all->least_variance;
}

/* The items that are named for one: the least `against` of those that add enough. */
INLINE void name_for(
    const struct catalogue *all, const struct list *list, int64_t r, const struct reasons *room,
    int is_flat, int64_t *columns, float *shares) {
    const int64_t newest = list->num_newest, skipped = list->num_history - newest;
    const float *points = room->points + r * newest, *unit = room->unit, *mean = unit + newest;
    float least[NAMED], total = 0;
    for (int64_t h = 0; h < newest; h++)
        if (list->history[skipped + h] != list->rows[r]) total += larger(points[h], 0);
    total = larger(total, TINY);
    for (int place = 0; place < NAMED; place++)
        columns[place] = -1, shares[place] = 0, least[place] = place ? 0 : INFINITY;
    for (int64_t h = 0; h < newest; h++) {
        if (points[h] < all->least_share * total || points[h] <= 0) continue;
        if (list->history[skipped + h] == list->rows[r]) continue;
        const float against =
            is_flat ? -points[h] : (mean[h] - points[h]) / unit[h];
        int place = NAMED;
        for (; place > 0; place--)
            if (columns[place - 1] >= 0 && least[place - 1] <= against) break;
        if (place == NAMED) continue;
        for (int other = NAMED - 1; other > place; other--)
            columns[other] = columns[other - 1], least[other] = least[other - 1];
        columns[place] = h, least[place] = against;
    }
    for (int place = 0; place < NAMED; place++) {
        /* Those beside the first are named only if they add more than in the mean. */
        if (columns[place] >= 0 && place && least[place] >= 0) columns[place] = -1;
        if (columns[place] >= 0) shares[place] = points[columns[place]] / total;
    }
}

/* The items named for those of lists with as many shown each; 1 if there is no such row. */
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
        const int64_t newest = list->num_newest, skipped = list->num_history - newest;
        find_points(all, list, room);
        const int is_flat =
            find_units(all, list, room->points, room->unit, room->unit + newest);
        for (int64_t r = 0; r < list->num_shown; r++) {
            const int64_t item = number * list->num_shown + r;
            int64_t columns[NAMED];
            name_for(all, list, r, room, is_flat, columns, room->shares + item * NAMED);
            for (int place = 0; place < NAMED; place++)
                room->rows[item * NAMED + place] =
                    columns[place] < 0 ? -1 : list->history[skipped + columns[place]];
            float *first = room->first + item * channels;
            memset(first, 0, channels * sizeof(float));
            if (columns[0] < 0) continue;
            const int64_t named = list->history[skipped + columns[0]];
            const float *foldin = all->foldin + named * channels * width;
            for (int64_t channel = 0; channel < channels; channel++)
                first[channel] = list->shares[skipped + columns[0]]
                                 * dot(room->scaled + (r * channels + channel) * width,
                                       foldin + channel * width, width);
            first[0] += room->parts[r * newest + columns[0]];
        }
    }
    return 0;
}
