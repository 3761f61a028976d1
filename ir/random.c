/* Random operators that draw a part of a larger value: which numbers those are (ir.h, Attr.random).
 * So what is computed in pieces and strips has the very numbers of the whole. */
#include "ir/internal.h"

#include <string.h>

void random_part(Attr *a, const Type *t) {
    if (a->random.rank) return;
    a->random.rank = t->rank;
    strides_of(t, a->random.stride);
}

void random_into_loop(Attr *a, int64_t by) {
    CHECK(a->random.rank && a->random.loops < MAX_NESTING);
    memmove(a->random.turn + 1, a->random.turn, (size_t)a->random.loops++ * sizeof *a->random.turn);
    a->random.turn[0] = by;
}

void random_in_turn(Attr *a, int loop, int64_t turn) {
    int64_t *by = a->random.turn;
    if (loop >= a->random.loops) {
        a->random.place = place_in_turn(a->random.place, turn);
        return;
    }
    a->random.first += turn * by[loop];
    memmove(by + loop, by + loop + 1, (size_t)(--a->random.loops - loop) * sizeof *by);
    by[a->random.loops] = 0;
}

bool random_is_whole(const Attr *a, const Type *t) {
    int64_t stride[RANK];
    bool whole = !a->random.first && !a->random.piece && !a->random.loops;
    strides_of(t, stride);
    for (int i = 0; i < t->rank; i++)
        whole = whole && (a->random.stride[i] == stride[i] || t->dim[i] == 1);
    return whole;
}

/* As a value of at most 2^40 elements has them. */
static bool is_distance(int64_t x, int64_t times) {
    return x >= 0 && x <= (INT64_C(1) << MAX_DIM_LOG) / times;
}

bool random_part_valid(const Attr *a, const Type *t, Err *e) {
    bool part = a->random.rank > 0;
    if (part ? a->random.rank != t->rank : a->random.first || a->random.piece || a->random.loops)
        return err_set(e, "strides for %d axes of %s", a->random.rank, type_text(t).s);
    if (a->random.loops > MAX_NESTING)
        return err_set(e, "turns of %d loops, where there are at most %d", a->random.loops,
                       MAX_NESTING);
    bool right = is_distance(a->random.first, 1) && is_distance(a->random.piece, 1);
    for (int i = 0; i < a->random.rank; i++)
        right = right && is_distance(a->random.stride[i], t->dim[i]);
    for (int i = 0; i < a->random.loops; i++) right = right && is_distance(a->random.turn[i], 1);
    return right || err_set(e, "no part of a value of at most 2^%d elements", (int)MAX_DIM_LOG);
}
