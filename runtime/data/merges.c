/* Counts are kept as merges go: a pair knows its words, and a heap holds every pair under at least
 * its count. Limits: 2^31 different words or pairs. */
#include "runtime/data/merges.h"

#include <string.h>

typedef struct Pair {
    int32_t a, b;
    uint64_t count;
    VEC(uint32_t) word; /* where it stands, or stood */
} Pair;
typedef struct Candidate {
    uint64_t count;
    uint32_t pair;
} Candidate;

typedef struct Learner {
    Arena *arena;
    WordCounts *words;
    VEC(Pair) pair;
    WordSlots pairs;
    VEC(Candidate) heap;
} Learner;

static void slots_double(Arena *a, WordSlots *t) {
    t->slots = t->slots ? t->slots * 2 : 2 * FIRST(512);
    t->slot = NEW_N(a, uint32_t, t->slots);
}

/* ---- words */
static uint32_t *word_slot(const WordCounts *c, const char *s, size_t n) {
    size_t i = hash_bytes(s, n, 0) & (c->slots.slots - 1);
    for (; c->slots.slot[i]; i = (i + 1) & (c->slots.slots - 1)) {
        const MergeWord *w = &c->word.at[c->slots.slot[i] - 1];
        if (w->text_n == n && !memcmp(w->text, s, n)) break;
    }
    return &c->slots.slot[i];
}

static void grow_words(WordCounts *c) {
    slots_double(c->arena, &c->slots);
    for (size_t i = 0; i < c->word.n; i++)
        *word_slot(c, c->word.at[i].text, c->word.at[i].text_n) = (uint32_t)i + 1;
}

void counts_add(WordCounts *c, const char *text, size_t n, bool alone) {
    if (c->word.n * 2 >= c->slots.slots) grow_words(c);
    uint32_t *slot = word_slot(c, text, n);
    if (*slot) {
        c->word.at[*slot - 1].count++;
        return;
    }
    if (c->word.n == UINT32_MAX / 2 || n > UINT32_MAX / 2) {
        c->full = true;
        return;
    }
    MergeWord w = {.text_n = (uint32_t)n, .count = 1, .alone = alone};
    w.text = arena_strndup(c->arena, text, n);
    vec_push(c->arena, &c->word, w);
    *slot = (uint32_t)c->word.n;
}

/* ---- pairs */
static uint32_t *pair_slot(const Learner *t, int32_t a, int32_t b) {
    size_t i = hash_mix((uint64_t)a, (uint64_t)b) & (t->pairs.slots - 1);
    for (; t->pairs.slot[i]; i = (i + 1) & (t->pairs.slots - 1)) {
        const Pair *p = &t->pair.at[t->pairs.slot[i] - 1];
        if (p->a == a && p->b == b) break;
    }
    return &t->pairs.slot[i];
}

static bool before(const Learner *t, Candidate x, Candidate y) {
    if (x.count != y.count) return x.count > y.count;
    const Pair *p = &t->pair.at[x.pair], *q = &t->pair.at[y.pair];
    return p->a != q->a ? p->a < q->a : p->b < q->b;
}

static void heap_push(Learner *t, Candidate c) {
    vec_push(t->arena, &t->heap, c);
    size_t i = t->heap.n - 1;
    for (; i && before(t, c, t->heap.at[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap.at[i] = t->heap.at[(i - 1) / 2];
    t->heap.at[i] = c;
}

static Candidate heap_pop(Learner *t) {
    Candidate top = t->heap.at[0], last = t->heap.at[--t->heap.n];
    size_t i = 0, n = t->heap.n;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(t, t->heap.at[child + 1], t->heap.at[child])) child++;
        if (!before(t, t->heap.at[child], last)) break;
        t->heap.at[i] = t->heap.at[child];
    }
    if (n) t->heap.at[i] = last;
    return top;
}

static void grow_pairs(Learner *t) {
    slots_double(t->arena, &t->pairs);
    for (size_t i = 0; i < t->pair.n; i++)
        *pair_slot(t, t->pair.at[i].a, t->pair.at[i].b) = (uint32_t)i + 1;
}

static uint32_t pair_index(Learner *t, int32_t a, int32_t b) {
    if (t->pair.n * 2 >= t->pairs.slots) grow_pairs(t);
    uint32_t *slot = pair_slot(t, a, b);
    if (!*slot) {
        CHECK(t->pair.n < UINT32_MAX / 2);
        vec_push(t->arena, &t->pair, (Pair){.a = a, .b = b});
        *slot = (uint32_t)t->pair.n;
    }
    return *slot - 1;
}

/* Adds what a word contributes to its pairs; those with `fresh` (-1: all) may be new to the word,
 * so they note it. */
static void add_pairs(Learner *t, uint32_t word, int32_t fresh) {
    const MergeWord *w = &t->words->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        uint32_t index = pair_index(t, w->piece[i], w->piece[i + 1]);
        Pair *p = &t->pair.at[index];
        p->count += w->count;
        if (fresh >= 0 && p->a != fresh && p->b != fresh) continue;
        if (!p->word.n || p->word.at[p->word.n - 1] != word) vec_push(t->arena, &p->word, word);
    }
}

static void remove_pairs(Learner *t, uint32_t word) {
    const MergeWord *w = &t->words->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++)
        t->pair.at[pair_index(t, w->piece[i], w->piece[i + 1])].count -= w->count;
}

static void replace(MergeWord *w, int32_t a, int32_t b, int32_t merged) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        bool here = i + 1 < w->n && w->piece[i] == a && w->piece[i + 1] == b;
        w->piece[n++] = here ? merged : w->piece[i];
        i += here;
    }
    w->n = n;
}

/* Every pair that gained is in a merged word and has the merged piece. */
static void push_gained(Learner *t, uint32_t word, int32_t merged) {
    const MergeWord *w = &t->words->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        if (w->piece[i] != merged && w->piece[i + 1] != merged) continue;
        uint32_t index = pair_index(t, w->piece[i], w->piece[i + 1]);
        Pair *p = &t->pair.at[index];
        if (p->word.at[p->word.n - 1] == word)
            heap_push(t, (Candidate){p->count, index}); /* once a pair: at its last word */
    }
}

static void merge_pair(Learner *t, uint32_t index, int32_t merged) {
    Pair p = t->pair.at[index];
    for (size_t i = 0; i < p.word.n; i++) {
        remove_pairs(t, p.word.at[i]);
        replace(&t->words->word.at[p.word.at[i]], p.a, p.b, merged);
        add_pairs(t, p.word.at[i], merged);
    }
    for (size_t i = 0; i < p.word.n; i++) push_gained(t, p.word.at[i], merged);
}

/* A count in the heap may be too high, since pairs also lose; then the pair goes back with its true
 * count. */
void merges_learn(WordCounts *c, MergeFn *merge, void *cx) {
    Learner t = {.arena = c->arena, .words = c};
    for (uint32_t i = 0; i < c->word.n; i++) add_pairs(&t, i, -1);
    for (uint32_t i = 0; i < t.pair.n; i++) heap_push(&t, (Candidate){t.pair.at[i].count, i});
    while (t.heap.n) {
        Candidate top = heap_pop(&t);
        const Pair *p = &t.pair.at[top.pair];
        if (top.count > p->count && p->count) heap_push(&t, (Candidate){p->count, top.pair});
        if (top.count != p->count || !p->count) continue;
        int32_t merged = merge(cx, p->a, p->b);
        if (merged < 0) return;
        merge_pair(&t, top.pair, merged);
    }
}
