/* Bounds of tiles by the vectors of one kind of processor. bounds.c includes this once for each, and says
 * by macros what its functions are called (NAME), for which processors they are (TARGET), and what is
 * done with vectors, FLOATS and INTS, of WIDE items each: those of a block or of a part of it. */

/* Similarities of some items with what item-item scores add to them. */
TARGET INLINE FLOATS NAME(with_item_item)(
    FLOATS similarity, const struct item_item *item_item, int64_t first, int64_t num_items,
    int64_t *cursor) {
    if (item_item->dense && first + WIDE <= num_items)
        return ADD(similarity, LOAD(item_item->dense + first));
    float some[WIDE];
    STORE(some, similarity);
    if (item_item->dense)
        for (int64_t row = first; row < num_items; row++) some[row - first] += item_item->dense[row];
    else
        for (; *cursor < item_item->count && item_item->rows[*cursor] < first + WIDE; ++*cursor)
            some[item_item->rows[*cursor] - first] += item_item->values[*cursor];
    return LOAD(some);
}

/* Products of a channel of TILE parts with one user, or of one part with TILE users. Named, so that
 * all of them stay in registers. */
TARGET INLINE void NAME(multiply)(
    const uint8_t *const blocks[TILE], const int8_t *const numbers[TILE], const int32_t start[TILE],
    int64_t width, INTS product[TILE]) {
    INTS first = ALL_INTS(start[0]), second = ALL_INTS(start[1]), third = ALL_INTS(start[2]),
         fourth = ALL_INTS(start[3]);
    for (int64_t d = 0; d < width; d += 4) {
        first = ADD_PRODUCT(first, blocks[0] + d * LANES, word(numbers[0] + d));
        second = ADD_PRODUCT(second, blocks[1] + d * LANES, word(numbers[1] + d));
        third = ADD_PRODUCT(third, blocks[2] + d * LANES, word(numbers[2] + d));
        fourth = ADD_PRODUCT(fourth, blocks[3] + d * LANES, word(numbers[3] + d));
    }
    product[0] = first, product[1] = second, product[2] = third, product[3] = fourth;
}

/* Bounds of TILE parts' items for one user, or of one part's for TILE users, see MixtureBound in
 * quantised.py. All products are made first: between them the mixture would take their registers. */
TARGET INLINE void NAME(bound_tile)(
    const struct items *items, const struct users *users, float *out, int64_t stride,
    int64_t *cursors, int64_t first, int64_t user, const int one_user) {
    const int64_t modalities = items->num_modalities, channels = items->num_views * modalities;
    const int64_t width = items->width;
    INTS product[channels][TILE];
    for (int64_t channel = 0; channel < channels; channel++) {
        const uint8_t *blocks[TILE];
        const int8_t *numbers[TILE];
        int32_t start[TILE];
        for (int k = 0; k < TILE; k++) {
            const int64_t place = (one_user ? user : user + k) * channels + channel;
            const int64_t row = one_user ? first + k * WIDE : first;
            blocks[k] = items->blocks + row % LANES * 4
                        + (row / LANES * channels + channel) * width * LANES;
            numbers[k] = users->numbers + place * width;
            start[k] = users->start[place];
        }
        NAME(multiply)(blocks, numbers, start, width, product[channel]);
    }
    for (int k = 0; k < TILE; k++) {
        const int64_t own = one_user ? user : user + k;
        const int64_t row = one_user ? first + k * WIDE : first;
        FLOATS sum = ALL(0), most = ALL(-INFINITY);
        for (int64_t modality = 0; modality < modalities; modality++) {
            FLOATS best = ALL(-INFINITY);
            for (int64_t channel = modality; channel < channels; channel += modalities) {
                const FLOATS step = ALL(users->step[own * channels + channel]);
                FLOATS similarity = MULTIPLY(TO_FLOATS(product[channel][k]), step);
                if (channel == 0 && row < items->num_items)
                    similarity = NAME(with_item_item)(
                        similarity, users->item_item + own, row, items->num_items, cursors + own);
                best = LARGER(similarity, best);
            }
            sum = ADD(sum, best);
            most = LARGER(most, best);
        }
        const FLOATS mean = MULTIPLY_ADD(ALL(items->least), sum, LOAD(items->added + row));
        STORE(out + own * stride + row, MULTIPLY_ADD(ALL(items->rest), most, mean));
    }
}

TARGET static void NAME(bound_all)(
    const struct items *items, const struct users *users, float *out, int64_t stride) {
    int64_t cursors[MOST_USERS] = {0};
    for (int64_t first = 0; first < items->num_items; first += TILE * LANES) {
        const int64_t end = first + TILE * LANES;
        int64_t user = 0;
        for (; user + TILE <= users->num_users; user += TILE)
            for (int64_t row = first; row < end; row += WIDE)
                NAME(bound_tile)(items, users, out, stride, cursors, row, user, 0);
        for (; user < users->num_users; user++)
            for (int64_t row = first; row < end; row += TILE * WIDE)
                NAME(bound_tile)(items, users, out, stride, cursors, row, user, 1);
    }
}

#undef NAME
#undef TARGET
#undef FLOATS
#undef INTS
#undef WIDE
#undef ALL
#undef ALL_INTS
#undef LOAD
#undef STORE
#undef ADD
#undef MULTIPLY
#undef MULTIPLY_ADD
#undef LARGER
#undef TO_FLOATS
#undef ADD_PRODUCT
