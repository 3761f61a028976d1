/* Learning a vocabulary of word pieces: byte-pair encoding (Sennrich et al. 2016) over characters,
 * with the pieces written as WordPiece writes them. After the special pieces comes the alphabet:
 * every character as it begins a word, then every one that can stand inside a word as ##x. Then,
 * again and again, the most frequent pair of neighbouring pieces becomes a piece; of equally
 * frequent pairs the one whose pieces came first. Merging by frequency rather than by likelihood
 * keeps rare words from filling a small vocabulary. The result depends on the counts of words
 * alone, not on the order of files.
 *
 * Counts are kept as merges go: a pair knows its words, and a heap holds every pair under at least
 * its count. */
#include "runtime/data/wordpiece.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/data/internal.h"
#include "runtime/data/words.h"

enum { CHUNK = 1 << 20, SPECIALS = 5 };
static const char *const specials[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

typedef struct Pair {
    int32_t a, b;
    uint64_t count;
    VEC(uint32_t) word; /* where it stands, or stood */
} Pair;
typedef struct Candidate {
    uint64_t count;
    uint32_t pair;
} Candidate;
typedef struct TrainWord {
    const char *text;
    uint64_t count;
    int32_t *piece;
    uint32_t text_n, n;
    bool alone;
} TrainWord;
typedef struct Table { /* open addressing: index + 1, by hash */
    uint32_t *slot;
    size_t slots;
} Table;

typedef struct Trainer {
    Arena *arena;
    VEC(TrainWord) word;
    Table words;
    VEC(Pair) pair;
    Table pairs;
    VEC(Candidate) heap;
    VEC(const char *) piece;
    Map ids;   /* piece -> id + 1 */
    bool full; /* more words than can be numbered */
} Trainer;

/* ---- hash tables of indices */
static void table_double(Arena *a, Table *t) {
    t->slots = t->slots ? t->slots * 2 : 2 * FIRST(512);
    t->slot = NEW_N(a, uint32_t, t->slots);
}

static uint64_t word_hash(const char *s, size_t n) {
    return hash_bytes(s, n, 0);
}

static uint32_t *word_slot(const Trainer *t, const char *s, size_t n) {
    size_t i = word_hash(s, n) & (t->words.slots - 1);
    for (; t->words.slot[i]; i = (i + 1) & (t->words.slots - 1)) {
        const TrainWord *w = &t->word.at[t->words.slot[i] - 1];
        if (w->text_n == n && !memcmp(w->text, s, n)) break;
    }
    return &t->words.slot[i];
}

static uint32_t *pair_slot(const Trainer *t, int32_t a, int32_t b) {
    size_t i = hash_mix((uint64_t)a, (uint64_t)b) & (t->pairs.slots - 1);
    for (; t->pairs.slot[i]; i = (i + 1) & (t->pairs.slots - 1)) {
        const Pair *p = &t->pair.at[t->pairs.slot[i] - 1];
        if (p->a == a && p->b == b) break;
    }
    return &t->pairs.slot[i];
}

/* ---- counting words */
static void grow_words(Trainer *t) {
    table_double(t->arena, &t->words);
    for (size_t i = 0; i < t->word.n; i++)
        *word_slot(t, t->word.at[i].text, t->word.at[i].text_n) = (uint32_t)i + 1;
}

static void count_word(void *cx, const Word *w) {
    Trainer *t = cx;
    if (w->chars > WORD_CHARS) return;
    if (t->word.n * 2 >= t->words.slots) grow_words(t);
    uint32_t *slot = word_slot(t, w->at, w->n);
    if (*slot) {
        t->word.at[*slot - 1].count++;
        return;
    }
    if (t->word.n == UINT32_MAX / 2) {
        t->full = true;
        return;
    }
    const char *text = arena_strndup(t->arena, w->at, w->n);
    vec_push(t->arena, &t->word,
             (TrainWord){.text = text, .text_n = (uint32_t)w->n, .count = 1, .alone = w->alone});
    *slot = (uint32_t)t->word.n;
}

static bool count_words(Trainer *t, Source *s, Err *e) {
    Chunk c = {0};
    bool ok;
    while ((ok = source_read(s, CHUNK, &c, e)) && c.n)
        for (size_t i = 0; i < c.n; i++)
            words_split(c.text.data + c.line[i].start, c.line[i].end - c.line[i].start, count_word,
                        t);
    chunk_free(&c);
    if (ok && t->full)
        return err_set(e, "the text of '%s' has too many different words", source_pattern(s));
    return ok &&
           (t->word.n || err_set(e, "the text of '%s' has no words to learn a vocabulary from",
                                 source_pattern(s)));
}

/* ---- the alphabet */
static int32_t piece_id(Trainer *t, const char *piece) {
    uintptr_t known = (uintptr_t)map_get(&t->ids, piece);
    if (known) return (int32_t)(known - 1);
    vec_push(t->arena, &t->piece, arena_strdup(t->arena, piece));
    map_set(&t->ids, piece, (void *)(uintptr_t)t->piece.n); /* NOLINT: a number, not an address */
    return (int32_t)t->piece.n - 1;
}

static const char *letter(Trainer *t, int32_t c, bool inner) {
    utf8proc_uint8_t bytes[5] = {0};
    utf8proc_encode_char(c, bytes);
    return arena_printf(t->arena, "%s%s", inner ? "##" : "", (const char *)bytes);
}

enum { SEEN = 1, SEEN_IN_WORD = 2, CODES = 0x110000 };

static void add_alphabet(Trainer *t) {
    unsigned char *seen = NEW_N(t->arena, unsigned char, CODES);
    for (size_t i = 0; i < t->word.n; i++) {
        const TrainWord *w = &t->word.at[i];
        for (size_t at = 0, n; at < w->text_n; at += n) {
            int32_t c = 0;
            n = utf8_char(w->text, w->text_n, at, &c);
            CHECK(n > 0);
            seen[c] |= w->alone ? SEEN : SEEN | SEEN_IN_WORD;
        }
    }
    for (size_t i = 0; i < SPECIALS; i++) piece_id(t, specials[i]);
    for (int32_t c = 0; c < CODES; c++)
        if (seen[c]) piece_id(t, letter(t, c, false));
    for (int32_t c = 0; c < CODES; c++)
        if (seen[c] & SEEN_IN_WORD) piece_id(t, letter(t, c, true));
}

static void spell_word(Trainer *t, TrainWord *w) {
    int32_t piece[WORD_CHARS];
    for (size_t at = 0, n; at < w->text_n; at += n) {
        char text[8] = "##";
        int32_t c;
        n = utf8_char(w->text, w->text_n, at, &c);
        memcpy(text + 2, w->text + at, n);
        piece[w->n++] = piece_id(t, at ? text : text + 2);
    }
    w->piece = arena_memdup(t->arena, piece, w->n * sizeof *piece);
}

/* ---- pairs */
static bool before(const Trainer *t, Candidate x, Candidate y) {
    if (x.count != y.count) return x.count > y.count;
    const Pair *p = &t->pair.at[x.pair], *q = &t->pair.at[y.pair];
    return p->a != q->a ? p->a < q->a : p->b < q->b;
}

static void heap_push(Trainer *t, Candidate c) {
    vec_push(t->arena, &t->heap, c);
    size_t i = t->heap.n - 1;
    for (; i && before(t, c, t->heap.at[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap.at[i] = t->heap.at[(i - 1) / 2];
    t->heap.at[i] = c;
}

static Candidate heap_pop(Trainer *t) {
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

static void grow_pairs(Trainer *t) {
    table_double(t->arena, &t->pairs);
    for (size_t i = 0; i < t->pair.n; i++)
        *pair_slot(t, t->pair.at[i].a, t->pair.at[i].b) = (uint32_t)i + 1;
}

static uint32_t pair_index(Trainer *t, int32_t a, int32_t b) {
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
static void add_pairs(Trainer *t, uint32_t word, int32_t fresh) {
    const TrainWord *w = &t->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        uint32_t index = pair_index(t, w->piece[i], w->piece[i + 1]);
        Pair *p = &t->pair.at[index];
        p->count += w->count;
        if (fresh >= 0 && p->a != fresh && p->b != fresh) continue;
        if (!p->word.n || p->word.at[p->word.n - 1] != word) vec_push(t->arena, &p->word, word);
    }
}

static void remove_pairs(Trainer *t, uint32_t word) {
    const TrainWord *w = &t->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++)
        t->pair.at[pair_index(t, w->piece[i], w->piece[i + 1])].count -= w->count;
}

static void replace(TrainWord *w, int32_t a, int32_t b, int32_t merged) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        bool here = i + 1 < w->n && w->piece[i] == a && w->piece[i + 1] == b;
        w->piece[n++] = here ? merged : w->piece[i];
        i += here;
    }
    w->n = n;
}

/* Every pair that gained is in a merged word and has the merged piece. */
static void push_gained(Trainer *t, uint32_t word, int32_t merged) {
    const TrainWord *w = &t->word.at[word];
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        if (w->piece[i] != merged && w->piece[i + 1] != merged) continue;
        uint32_t index = pair_index(t, w->piece[i], w->piece[i + 1]);
        Pair *p = &t->pair.at[index];
        if (p->word.at[p->word.n - 1] == word)
            heap_push(t, (Candidate){p->count, index}); /* once a pair: at its last word */
    }
}

static void merge(Trainer *t, uint32_t index) {
    Pair p = t->pair.at[index];
    const char *tail = t->piece.at[p.b] + 2; /* b continues a word: ##b */
    int32_t merged = piece_id(t, arena_printf(t->arena, "%s%s", t->piece.at[p.a], tail));
    for (size_t i = 0; i < p.word.n; i++) {
        remove_pairs(t, p.word.at[i]);
        replace(&t->word.at[p.word.at[i]], p.a, p.b, merged);
        add_pairs(t, p.word.at[i], merged);
    }
    for (size_t i = 0; i < p.word.n; i++) push_gained(t, p.word.at[i], merged);
}

/* A count in the heap may be too high, since pairs also lose; then the pair goes back with its true
 * count. */
static void merge_pairs(Trainer *t, size_t size) {
    for (uint32_t i = 0; i < t->word.n; i++) add_pairs(t, i, -1);
    for (uint32_t i = 0; i < t->pair.n; i++) heap_push(t, (Candidate){t->pair.at[i].count, i});
    while (t->piece.n < size && t->heap.n) {
        Candidate c = heap_pop(t);
        uint64_t count = t->pair.at[c.pair].count;
        if (c.count == count && count)
            merge(t, c.pair);
        else if (c.count > count && count)
            heap_push(t, (Candidate){count, c.pair});
    }
}

/* ---- all of it */
static bool learn(Trainer *t, const Source *s, size_t size, Err *e) {
    add_alphabet(t);
    if (t->piece.n > size)
        return err_set(
            e,
            "a vocabulary of %zu is smaller than the alphabet of '%s': the characters in it and %d "
            "special pieces need %zu; ask for more, or use text with fewer characters",
            size, source_pattern(s), SPECIALS, t->piece.n);
    for (size_t i = 0; i < t->word.n; i++) spell_word(t, &t->word.at[i]);
    merge_pairs(t, size);
    if (t->piece.n < size)
        return err_set(e,
                       "the words of '%s' give a vocabulary of %zu pieces at most, not %zu; ask "
                       "for %zu or fewer, or add text",
                       source_pattern(s), t->piece.n, size, t->piece.n);
    return true;
}

bool wordpiece_train(const char *pattern, int64_t size, FILE *log, Buf *out, Err *e) {
    if (size < 1 || size > INT32_MAX)
        return err_set(
            e,
            "to train a vocabulary from '%s', say how many pieces it should have, for example 8192",
            pattern);
    Source *s = source_open(pattern, true, true, e);
    if (!s) return false;
    if (log)
        fprintf(log, "training a vocabulary of %lld pieces from %zu file%s\n", (long long)size,
                source_files(s), source_files(s) == 1 ? "" : "s");
    Trainer t = {.arena = arena_new()};
    map_init(&t.ids, t.arena);
    bool ok = count_words(&t, s, e) && learn(&t, s, (size_t)size, e);
    for (size_t i = 0; ok && i < t.piece.n; i++) buf_printf(out, "%s\n", t.piece.at[i]);
    arena_free(t.arena);
    source_close(s);
    return ok;
}
