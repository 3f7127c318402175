/* Rows of text put together from pieces: texts that there are, and numbers. See kernels.h. */

#include "kernels.h"

#define PLACES 10000000 /* seven decimal places */
#define MOST 1e8        /* of a number: below it, all places of its product with PLACES are exact */

enum { LONGEST = 20 }; /* of a number: sign, digits before the point, point, places */

/* Codes of 0 or more are texts; -1 - n is the nth number of the row. */
struct pieces {
    const int32_t *codes;  /* [C, S] */
    const double *numbers; /* [C, N] */
    const char *texts;     /* one after the other */
    const int64_t *starts; /* of each text, and the end of the last */
    int64_t num_rows, num_codes, num_numbers;
};

/* Bytes that all rows take at most. */
int64_t most_bytes(const struct pieces *pieces) {
    const int64_t size = pieces->num_rows * pieces->num_codes;
    int64_t bytes = 0;
    for (int64_t place = 0; place < size; place++) {
        const int32_t code = pieces->codes[place];
        bytes += code < 0 ? LONGEST : pieces->starts[code + 1] - pieces->starts[code];
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
int join(const struct pieces *pieces, char *out, int64_t *ends) {
    char *next = out;
    for (int64_t row = 0; row < pieces->num_rows; row++) {
        const int32_t *codes = pieces->codes + row * pieces->num_codes;
        const double *numbers = pieces->numbers + row * pieces->num_numbers;
        for (int64_t place = 0; place < pieces->num_codes; place++) {
            const int32_t code = codes[place];
            if (code >= 0) {
                const int64_t start = pieces->starts[code], size = pieces->starts[code + 1] - start;
                memcpy(next, pieces->texts + start, size);
                next += size;
            } else if (!(next = write_number(next, numbers[-1 - code])))
                return 1;
        }
        ends[row] = next - out;
    }
    return 0;
}
