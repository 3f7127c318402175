/* Rows of text put together from pieces: texts that there are, and numbers. See kernels.h. */

#include "kernels.h"

#define PLACES 10000000 /* seven decimal places */
#define MOST 1e8        /* of a number: below it, all places of its product with PLACES are exact */

enum { LONGEST = 20 }; /* of a number: sign, digits before the point, point, places */

/* See join.py. */
enum kind { TEXT, OF_ROW, OWN, NUMBER, NUMBER_OF, UNLESS };

struct piece {
    int32_t kind, which, other;
};

struct rows {
    const struct piece *pieces; /* [S], the same of every row */
    const char *texts;          /* each with a zero behind it [T] */
    const int32_t *own;         /* [C, O] */
    const double *numbers;      /* [C, N] */
    int64_t num_pieces, num_texts, num_rows, num_own, num_numbers;
    int64_t first; /* texts before those of rows, which are given one after another for all rows */
    int64_t *starts;        /* room, of the texts [T + 1] */
};

/* The text of a piece; -1 for none. */
INLINE int64_t text_of(const struct rows *rows, const struct piece *piece, int64_t row) {
    switch (piece->kind) {
    case TEXT: return piece->which;
    case OF_ROW: return rows->first + piece->which * rows->num_rows + row;
    case OWN: {
        const int32_t own = rows->own[row * rows->num_own + piece->which];
        return own < 0 ? -1 : own + piece->other;
    }
    default: return -1;
    }
}

/* Where the texts begin, and the bytes that all rows take at most. */
int64_t most_bytes(const struct rows *rows) {
    const char *next = rows->texts;
    int64_t bytes = 0;
    for (int64_t text = 0; text < rows->num_texts; text++) {
        rows->starts[text] = next - rows->texts;
        next += strlen(next) + 1;
    }
    rows->starts[rows->num_texts] = next - rows->texts;
    for (int64_t row = 0; row < rows->num_rows; row++)
        for (int64_t place = 0; place < rows->num_pieces; place++) {
            const struct piece *piece = rows->pieces + place;
            const int64_t text = text_of(rows, piece, row);
            if (piece->kind == NUMBER || piece->kind == NUMBER_OF) bytes += LONGEST;
            if (text >= 0) bytes += rows->starts[text + 1] - rows->starts[text] - 1;
        }
    return bytes;
}

/* The nearest number of seven places, as short as it can be written; 0 if it is too large. */
INLINE char *write_number(char *out, double number) {
    char digits[LONGEST];
    int length = 0, behind = 7;
    if (!(fabs(number) < MOST)) return 0;
    int64_t left = (int64_t)rint(number * PLACES);
    if (left < 0) *out++ = '-', left = -left;
    int64_t whole = left / PLACES;
    left %= PLACES;
    do digits[length++] = (char)('0' + whole % 10);
    while (whole /= 10);
    while (length) *out++ = digits[--length];
    if (!left) return out;
    *out++ = '.';
    for (; left % 10 == 0; left /= 10) behind--;
    for (int place = behind - 1; place >= 0; place--, left /= 10) out[place] = (char)('0' + left % 10);
    return out + behind;
}

/* Write all rows, and where each ends [C]; 1 if a number cannot be written, else 0. */
int join(const struct rows *rows, char *out, int64_t *ends) {
    char *next = out;
    for (int64_t row = 0; row < rows->num_rows; row++) {
        const int32_t *own = rows->own + row * rows->num_own;
        const double *numbers = rows->numbers + row * rows->num_numbers;
        for (int64_t place = 0; place < rows->num_pieces; place++) {
            const struct piece *piece = rows->pieces + place;
            if (piece->kind == UNLESS) {
                if (own[piece->which] < 0) place += piece->other;
            } else if (piece->kind == NUMBER) {
                if (!(next = write_number(next, numbers[piece->which]))) return 1;
            } else if (piece->kind == NUMBER_OF) {
                if (!(next = write_number(next, numbers[piece->other + own[piece->which]]))) return 1;
            } else {
                const int64_t text = text_of(rows, piece, row);
                if (text < 0) continue;
                const int64_t start = rows->starts[text], size = rows->starts[text + 1] - start - 1;
                memcpy(next, rows->texts + start, size);
                next += size;
            }
        }
        ends[row] = next - out;
    }
    return 0;
}
