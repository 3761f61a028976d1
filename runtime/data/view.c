/* Views: which documents or records, in which order, without moving any. Chains of them are walked,
 * not recursed. An epoch changes only what `shuffle` does. */
#include <math.h>

#include "runtime/data/internal.h"

static const View *view_new(Arena *a, const View *of, uint64_t n,
                            uint64_t (*at)(const View *, uint64_t, uint64_t), uint32_t *list,
                            uint64_t key) {
    View *v = NEW(a, View);
    *v = (View){of, n, at, list, key};
    return v;
}

static uint64_t same_at(const View *v, uint64_t epoch, uint64_t i) {
    (void)v, (void)epoch;
    return i;
}

static uint64_t list_at(const View *v, uint64_t epoch, uint64_t i) {
    (void)epoch;
    return v->list[i];
}

static uint64_t shuffled_at(const View *v, uint64_t epoch, uint64_t i) {
    return permute_index(hash_mix(v->key, epoch), v->n, i);
}

const View *view_all(Arena *a, uint64_t n) {
    return view_new(a, NULL, n, same_at, NULL, 0);
}

const View *view_take(Arena *a, const View *v, uint64_t n) {
    return view_new(a, v, n < v->n ? n : v->n, same_at, NULL, 0);
}

const View *view_shuffle(Arena *a, const View *v, uint64_t key) {
    return view_new(a, v, v->n, shuffled_at, NULL, key);
}

/* A fixed permutation decides, so that the shares are exact and both parts run evenly through the
 * text. */
const View *view_split(Arena *a, const View *v, double share, int64_t part, const char *things,
                       Err *e) {
    static const uint64_t key = UINT64_C(0x73706C6974);
    if (v->n < 2) {
        err_set(e, "split needs at least two %s to give each side one, but there %s %llu", things,
                v->n ? "is" : "are", (unsigned long long)v->n);
        return NULL;
    }
    if (v->n > UINT32_MAX) {
        err_set(e,
                "split can divide at most 4294967295 %s, and there are %llu; take(n) fewer first",
                things, (unsigned long long)v->n);
        return NULL;
    }
    double wanted = floor(share * (double)v->n + 0.5);
    uint64_t first = wanted < 1                    ? 1
                     : wanted > (double)(v->n - 1) ? v->n - 1
                                                   : (uint64_t)wanted,
             n = 0;
    uint32_t *list = NEW_N(a, uint32_t, part == 0 ? first : v->n - first);
    for (uint64_t i = 0; i < v->n; i++)
        if ((permute_index(key, v->n, i) >= first) == (part == 1)) list[n++] = (uint32_t)i;
    return view_new(a, v, n, list_at, list, 0);
}

uint64_t view_at(const View *v, uint64_t epoch, uint64_t i) {
    for (; v; v = v->of) i = v->at(v, epoch, i);
    return i;
}
