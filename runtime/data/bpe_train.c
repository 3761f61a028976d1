/* Learning byte-level BPE: merges.h over the bytes of words. The vocabulary has the 256 bytes
 * first, in GPT-2's order, then what the merges make, and the end of text last; its files are those
 * that GPT-2's tokenizers read. */
#include <jansson.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/data/bpe.h"
#include "runtime/data/merges.h"

enum { OTHERS = BYTES + 1 }; /* entries that are not merged */

typedef struct Trainer {
    Arena *arena;
    const Splitter *splitter;
    WordCounts words;
    VEC(const char *) piece; /* as it is written */
    Map ids;                 /* written piece -> id + 1 */
    size_t size;
    Buf merges; /* the text of the file */
} Trainer;

static int32_t piece_id(Trainer *t, const char *written) {
    uintptr_t known = (uintptr_t)map_get(&t->ids, written);
    if (known) return (int32_t)(known - 1);
    vec_push(t->arena, &t->piece, written);
    map_set(&t->ids, written, (void *)(uintptr_t)t->piece.n); /* NOLINT: a number */
    return (int32_t)t->piece.n - 1;
}

static void count_word(void *cx, const char *word, size_t n) {
    Trainer *t = cx;
    counts_add(&t->words, word, n, false);
}

static void count_text(void *cx, const char *text, size_t n) {
    Trainer *t = cx;
    splitter_each(t->splitter, text, n, count_word, t);
}

static void spell_words(Trainer *t) {
    int32_t of_byte[BYTES];
    for (int i = 0; i < BYTES; i++) {
        utf8proc_uint8_t bytes[5] = {0};
        utf8proc_encode_char(bpe_byte_code(bpe_order(i)), bytes);
        of_byte[bpe_order(i)] = piece_id(t, arena_strdup(t->arena, (char *)bytes));
    }
    for (size_t i = 0; i < t->words.word.n; i++) {
        MergeWord *w = &t->words.word.at[i];
        w->n = w->text_n;
        w->piece = NEW_N(t->arena, int32_t, w->n);
        for (uint32_t k = 0; k < w->n; k++) w->piece[k] = of_byte[(unsigned char)w->text[k]];
    }
}

static int32_t merge_pieces(void *cx, int32_t a, int32_t b) {
    Trainer *t = cx;
    const char *x = t->piece.at[a], *y = t->piece.at[b];
    if (t->piece.n + 1 >= t->size) return -1; /* the end of text comes too */
    buf_printf(&t->merges, "%s %s\n", x, y);
    return piece_id(t, arena_printf(t->arena, "%s%s", x, y));
}

static bool put_vocabulary(Trainer *t, Buf *text, Err *e) {
    json_t *root = json_object();
    for (size_t i = 0; i < t->piece.n; i++)
        json_object_set_new(root, t->piece.at[i], json_integer((json_int_t)i));
    char *json = json_dumps(root, JSON_COMPACT);
    if (json) buf_puts(text, json);
    free(json);
    json_decref(root);
    return json || err_set(e, "there is not enough memory for the vocabulary");
}

static bool learn(Trainer *t, const Source *s, Buf *text, Err *e) {
    spell_words(t);
    buf_puts(&t->merges, "#version: 0.2\n");
    merges_learn(&t->words, merge_pieces, t);
    piece_id(t, END_OF_TEXT);
    if (t->words.full)
        return err_set(e, "the text of '%s' has too many different words", source_pattern(s));
    if (t->piece.n < t->size)
        return err_set(e,
                       "the words of '%s' give a vocabulary of %zu pieces at most, not %zu; ask "
                       "for %zu or fewer, or add text",
                       source_pattern(s), t->piece.n, t->size, t->piece.n);
    if (!put_vocabulary(t, text, e)) return false;
    buf_put(text, "", 1);
    buf_put(text, t->merges.data, t->merges.n);
    return true;
}

bool bpe_train(const TokenizerSpec *spec, FILE *log, Buf *text, Err *e) {
    if (spec->size < OTHERS || spec->size > INT32_MAX)
        return err_set(e,
                       "to train a vocabulary from '%s', say how many pieces it should have, from "
                       "%d (all bytes and the end of text) on, for example 8192",
                       spec->from, OTHERS);
    Splitter *splitter = splitter_new(e);
    Source *s = splitter ? training_text(spec, UNIT_text, log, e) : NULL;
    Arena *a = arena_new();
    Trainer t = {
        .arena = a, .splitter = splitter, .words = {.arena = a}, .size = (size_t)spec->size};
    map_init(&t.ids, a);
    bool ok = s && each_text(s, count_text, &t, e) && learn(&t, s, text, e);
    buf_free(&t.merges);
    arena_free(a);
    source_close(s);
    splitter_free(splitter);
    return ok;
}
