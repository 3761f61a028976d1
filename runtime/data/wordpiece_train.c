/* Learning a vocabulary of word pieces: merges.h over characters, with the pieces written as
 * WordPiece writes them. After the special pieces comes the alphabet: every character as it begins
 * a word, then every one that can stand inside a word as ##x; then what merges make. Merging by
 * frequency rather than by likelihood keeps rare words from filling a small vocabulary. */
#include "runtime/data/wordpiece.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/data/kinds.h"
#include "runtime/data/merges.h"
#include "runtime/data/words.h"

enum { SPECIALS = 5 };
static const char *const specials[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

typedef struct Trainer {
    Arena *arena;
    WordCounts words;
    VEC(const char *) piece;
    Map ids; /* piece -> id + 1 */
    size_t size;
} Trainer;

/* ---- counting words */
static void count_word(void *cx, const Word *w) {
    if (w->chars <= WORD_CHARS) counts_add(cx, w->at, w->n, w->alone);
}

static void count_text(void *cx, const char *text, size_t n) {
    words_split(text, n, count_word, cx);
}

static bool count_words(Trainer *t, Source *s, Err *e) {
    if (!each_text(s, count_text, &t->words, e)) return false;
    if (t->words.full)
        return err_set(e, "the text of '%s' has too many different words", source_pattern(s));
    return t->words.word.n || err_set(e, "the text of '%s' has no words to learn a vocabulary from",
                                      source_pattern(s));
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
    for (size_t i = 0; i < t->words.word.n; i++) {
        const MergeWord *w = &t->words.word.at[i];
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

static void spell_word(Trainer *t, MergeWord *w) {
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

static int32_t merge_pieces(void *cx, int32_t a, int32_t b) {
    Trainer *t = cx;
    const char *tail = t->piece.at[b] + 2; /* b continues a word: ##b */
    if (t->piece.n >= t->size) return -1;
    return piece_id(t, arena_printf(t->arena, "%s%s", t->piece.at[a], tail));
}

/* ---- all of it */
static bool learn(Trainer *t, const Source *s, Err *e) {
    size_t size = t->size;
    add_alphabet(t);
    if (t->piece.n > size)
        return err_set(
            e,
            "a vocabulary of %zu is smaller than the alphabet of '%s': the characters in it and %d "
            "special pieces need %zu; ask for more, or use text with fewer characters",
            size, source_pattern(s), SPECIALS, t->piece.n);
    for (size_t i = 0; i < t->words.word.n; i++) spell_word(t, &t->words.word.at[i]);
    merges_learn(&t->words, merge_pieces, t);
    if (t->piece.n < size)
        return err_set(e,
                       "the words of '%s' give a vocabulary of %zu pieces at most, not %zu; ask "
                       "for %zu or fewer, or add text",
                       source_pattern(s), t->piece.n, size, t->piece.n);
    return true;
}

bool wordpiece_train(const TokenizerSpec *spec, FILE *log, Buf *out, Err *e) {
    if (spec->size < 1 || spec->size > INT32_MAX)
        return err_set(
            e,
            "to train a vocabulary from '%s', say how many pieces it should have, for example 8192",
            spec->from);
    Source *s = training_text(spec, UNIT_lines, log, e);
    if (!s) return false;
    Arena *a = arena_new();
    Trainer t = {.arena = a, .words = {.arena = a}, .size = (size_t)spec->size};
    map_init(&t.ids, t.arena);
    bool ok = count_words(&t, s, e) && learn(&t, s, e);
    for (size_t i = 0; ok && i < t.piece.n; i++) buf_printf(out, "%s\n", t.piece.at[i]);
    arena_free(t.arena);
    source_close(s);
    return ok;
}
