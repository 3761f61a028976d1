/* Packing blocks of memory with lifetimes into one arena. Blocks are placed one after another, each
 * where no block that lives at the same time lies; several orders and two ways to choose the gap
 * are tried, and the best is kept. Deterministic: ties go to the earlier block. Limits: a
 * heuristic; pack_least says how far from the best it can be. */
#include "passes/pack.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

int64_t align_up(int64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- orders */

typedef struct Ranked {
    int64_t rank; /* the largest first */
    int block;
} Ranked;

static int by_rank(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
    return (x->block > y->block) - (x->block < y->block);
}

typedef int64_t RankFn(const Block *b);
static int64_t rank_size(const Block *b) {
    return b->bytes;
}
static int64_t rank_area(const Block *b) {
    return b->bytes / ALIGN * (b->live.last - b->live.first + 1);
}
static int64_t rank_long(const Block *b) {
    return b->live.last - b->live.first;
}
static int64_t rank_late(const Block *b) {
    return b->live.first;
}
static int64_t rank_early(const Block *b) {
    return -b->live.first;
}

/* ---- gaps */

static bool meet(Live a, Live b) {
    return a.first <= b.last && b.first <= a.last;
}

/* `placed` in order of offset. The lowest gap that `fit` has room in, or the smallest. */
static int64_t find_gap(const Block *b, const int *placed, int n, const Block *fit, bool smallest) {
    int64_t end = 0, best = -1, room = INT64_MAX;
    for (int i = 0; i < n; i++) {
        const Block *o = &b[placed[i]];
        if (!meet(o->live, fit->live)) continue;
        int64_t gap = o->offset - end;
        if (gap >= fit->bytes && gap < room) {
            best = end, room = gap;
            if (!smallest) return best;
        }
        if (o->offset + align_up(o->bytes) > end) end = o->offset + align_up(o->bytes);
    }
    return best >= 0 ? best : end;
}

static int64_t place_all(Arena *a, Block *b, int n, RankFn *rank, bool smallest) {
    int *placed = NEW_N(a, int, n);
    Ranked *order = NEW_N(a, Ranked, n);
    int64_t all = 0;
    for (int i = 0; i < n; i++) order[i] = (Ranked){rank(&b[i]), i};
    if (n) qsort(order, (size_t)n, sizeof *order, by_rank);
    for (int i = 0; i < n; i++) {
        Block *x = &b[order[i].block];
        x->offset = find_gap(b, placed, i, x, smallest);
        int k = i;
        for (; k > 0 && b[placed[k - 1]].offset > x->offset; k--) placed[k] = placed[k - 1];
        placed[k] = order[i].block;
        if (x->offset + align_up(x->bytes) > all) all = x->offset + align_up(x->bytes);
    }
    return all;
}

int64_t pack_blocks(Arena *a, Block *b, int n) {
    static RankFn *const ranks[] = {rank_size, rank_area, rank_long, rank_early, rank_late};
    int64_t least = pack_least(a, b, n), best = INT64_MAX;
    Block *kept = NEW_N(a, Block, n);
    for (size_t i = 0; i < 2 * sizeof ranks / sizeof *ranks && best > least; i++) {
        int64_t bytes = place_all(a, b, n, ranks[i / 2], i % 2);
        if (bytes >= best) continue;
        best = bytes;
        if (n) memcpy(kept, b, (size_t)n * sizeof *b);
    }
    if (n) memcpy(b, kept, (size_t)n * sizeof *b);
    return best;
}

int64_t pack_least(Arena *a, const Block *b, int n) {
    int end = 0;
    for (int i = 0; i < n; i++) end = b[i].live.last + 2 > end ? b[i].live.last + 2 : end;
    int64_t *change = NEW_N(a, int64_t, end + 1), now = 0, peak = 0;
    for (int i = 0; i < n; i++) {
        change[b[i].live.first] += align_up(b[i].bytes);
        change[b[i].live.last + 1] -= align_up(b[i].bytes);
    }
    for (int i = 0; i < end; i++) {
        now += change[i];
        if (now > peak) peak = now;
    }
    return peak;
}
