/* The tokenizer `characters`: an id for each Unicode code point of a list, and behind them five
 * special ones. The list is a UTF-8 file that holds each character once, newlines too; learnt, it
 * is those of a text in order of their codes, or where fewer are asked for the most frequent. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/data/kinds.h"
#include "runtime/data/words.h"

enum { SPECIALS = 5, CODES = 0x110000 };
static const char *const specials[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

typedef struct Characters {
    int32_t *id;   /* by code; -1: none */
    int32_t *code; /* by id */
    int64_t n;
    int32_t codes; /* one more than the largest */
} Characters;

/* ---- loading */
static bool add_character(Characters *c, const char *name, size_t at, int32_t code, Err *e) {
    if (c->id[code] >= 0)
        return err_set(
            e,
            "the vocabulary '%s' has the character U+%04X twice, the second time at byte "
            "%zu; it holds each of its characters once",
            name, (unsigned)code, at + 1);
    c->code[c->n] = code;
    c->id[code] = (int32_t)c->n++;
    return true;
}

/* How far the codes go, of which a text of one script has few. */
static bool find_codes(Characters *c, const char *name, const char *text, size_t n, Err *e) {
    for (size_t at = 0, length; at < n; at += length) {
        int32_t code = 0;
        if (!(length = utf8_char(text, n, at, &code)))
            return err_set(e, "the vocabulary '%s' is not UTF-8: byte %zu is 0x%02X", name, at + 1,
                           (unsigned char)text[at]);
        if (code >= c->codes) c->codes = code + 1;
    }
    return true;
}

static bool read_characters(Characters *c, const char *name, const char *text, size_t n, Err *e) {
    if (!find_codes(c, name, text, n, e)) return false;
    c->id = heap_resize(NULL, (size_t)c->codes * sizeof *c->id);
    c->code = heap_resize(NULL, (size_t)c->codes * sizeof *c->code);
    memset(c->id, -1, (size_t)c->codes * sizeof *c->id);
    for (size_t at = 0; at < n;) {
        int32_t code = 0;
        size_t length = utf8_char(text, n, at, &code);
        if (!add_character(c, name, at, code, e)) return false;
        at += length;
    }
    return true;
}

static bool characters_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n,
                            Err *e) {
    const char *name = vocabulary_name(spec);
    if (!n)
        return err_set(e, "the vocabulary '%s' is empty; remove the file to have it made", name);
    Characters *c = t->own = heap_resize(NULL, sizeof *c);
    *c = (Characters){0};
    if (!read_characters(c, name, text, n, e)) return false;
    t->ids =
        (TokenizerIds){c->n + SPECIALS, c->n, c->n + 1, c->n + 2, c->n + 3, c->n + 4, c->n + 3};
    return vocabulary_fits(spec, t->ids.size, e);
}

static void characters_free(void *own) {
    Characters *c = own;
    if (!c) return;
    heap_free(c->id);
    heap_free(c->code);
    heap_free(c);
}

/* ---- learning */
typedef struct Count {
    int32_t code;
    uint64_t times;
} Count;

static void count_characters(void *cx, const char *text, size_t n) {
    Count *count = cx;
    for (size_t at = 0, length; at < n; at += length) {
        int32_t code = 0;
        length = utf8_char(text, n, at, &code);
        if (!length) length = 1;
        count[code].times++;
    }
}

static int by_times(const void *x, const void *y) {
    const Count *a = x, *b = y;
    if (a->times != b->times) return a->times > b->times ? -1 : 1;
    return (a->code > b->code) - (a->code < b->code);
}
static int by_code(const void *x, const void *y) {
    const Count *a = x, *b = y;
    return (a->code > b->code) - (a->code < b->code);
}

static bool characters_train(const TokenizerSpec *spec, FILE *log, Buf *text, Err *e) {
    Source *s = training_text(spec, UNIT_text, log, e);
    if (!s) return false;
    Count *count = heap_resize(NULL, CODES * sizeof *count);
    for (int32_t i = 0; i < CODES; i++) count[i] = (Count){i, 0};
    bool ok = each_text(s, count_characters, count, e);
    size_t n = 0, most = spec->size > SPECIALS ? (size_t)spec->size - SPECIALS : CODES;
    qsort(count, CODES, sizeof *count, by_times);
    while (n < CODES && count[n].times) n++;
    if (ok && spec->size && n < most)
        ok = err_set(e,
                     "'%s' has %zu different characters, which with %d special ones give a "
                     "vocabulary of %zu, not %lld",
                     spec->from, n, SPECIALS, n + SPECIALS, (long long)spec->size);
    if (n > most) n = most;
    qsort(count, n, sizeof *count, by_code);
    for (size_t i = 0; ok && i < n; i++) {
        utf8proc_uint8_t bytes[4];
        buf_put(text, (char *)bytes, (size_t)utf8proc_encode_char(count[i].code, bytes));
    }
    heap_free(count);
    source_close(s);
    return ok;
}

/* ---- encoding */
static void characters_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    const Characters *c = t->own;
    ids_reserve(out, n);
    for (size_t at = 0, length; at < n; at += length) {
        int32_t code = 0;
        length = utf8_char(text, n, at, &code);
        int32_t id = length && code < c->codes ? c->id[code] : -1;
        out->at[out->n++] = id >= 0 ? id : (int32_t)t->ids.unk;
        if (!length) length = 1;
    }
}

static void characters_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    const Characters *c = t->own;
    for (size_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        if (ids[i] >= 0 && ids[i] < c->n)
            buf_put(out, (char *)bytes, (size_t)utf8proc_encode_char(c->code[ids[i]], bytes));
        else if (ids[i] != t->ids.pad)
            buf_puts(out, ids[i] > c->n && ids[i] < t->ids.size ? specials[ids[i] - c->n] : "[?]");
    }
}

/* What is not in the vocabulary is one as well. */
static int32_t characters_characters(const Tokenizer *t, int32_t id) {
    const Characters *c = t->own;
    return id < c->n || id == t->ids.unk;
}

const Kind characters_kind = {.name = "characters",
                              .wants_utf8 = true,
                              .files = 1,
                              .train = characters_train,
                              .load = characters_load,
                              .encode = characters_encode,
                              .decode = characters_decode,
                              .characters = characters_characters,
                              .free = characters_free};
