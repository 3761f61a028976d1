/* Tokenizers: opening by kind, through the table at the end. A vocabulary that is not there is
 * trained and saved; one that is there is never touched. A tokenizer does not change once open, so
 * threads share it. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/internal.h"
#include "runtime/data/wordpiece.h"
#include "runtime/data/words.h"

typedef struct Kind {
    const char *name;
    bool wants_utf8;
    bool (*open)(Tokenizer *t, const TokenizerSpec *spec, FILE *log, Err *e);
    bool (*load)(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n, Err *e);
    void (*save)(const Tokenizer *t, Buf *out);
    void (*encode)(const Tokenizer *t, const char *text, size_t n, Ids *out);
    void (*decode)(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out);
} Kind;

struct Tokenizer {
    const Kind *kind;
    TokenizerIds ids;
    uint64_t hash;
    WordPiece *pieces; /* wordpiece only */
};

/* ---- lists of ids */
static void ids_reserve(Ids *ids, size_t more) {
    if (ids->cap - ids->n >= more) return;
    size_t cap = ids->cap ? ids->cap : FIRST(64);
    while (cap - ids->n < more) cap *= 2;
    ids->at = heap_resize(ids->at, cap * sizeof *ids->at);
    ids->cap = cap;
}

void ids_push(Ids *ids, int32_t id) {
    if (ids->n == ids->cap) ids_reserve(ids, 1);
    ids->at[ids->n++] = id;
}

void ids_free(Ids *ids) {
    heap_free(ids->at);
    *ids = (Ids){0};
}

/* ---- wordpiece */
static bool pieces_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n,
                        Err *e) {
    const char *path = *spec->path ? spec->path : spec->name;
    t->pieces = wordpiece_load(path, text, n, e);
    if (!t->pieces) return false;
    const WordPiece *w = t->pieces;
    t->ids = (TokenizerIds){wordpiece_size(w),          wordpiece_find(w, "[PAD]"),
                            wordpiece_find(w, "[UNK]"), wordpiece_find(w, "[CLS]"),
                            wordpiece_find(w, "[SEP]"), wordpiece_find(w, "[MASK]")};
    if (t->ids.unk < 0)
        return err_set(e,
                       "the vocabulary '%s' has no line [UNK], which stands for words that it "
                       "cannot spell; add it",
                       path);
    if (spec->size > 0 && spec->size != t->ids.size)
        return err_set(e,
                       "the vocabulary '%s' has %lld pieces, but the program asks for %lld; ask "
                       "for %lld, or remove the file to have another trained",
                       path, (long long)t->ids.size, (long long)spec->size, (long long)t->ids.size);
    return true;
}

static bool pieces_read(Tokenizer *t, const TokenizerSpec *spec, Err *e) {
    Arena *a = arena_new();
    char *text;
    size_t n;
    bool ok = file_read(a, spec->path, &text, &n, e) && pieces_load(t, spec, text, n, e);
    arena_free(a);
    return ok;
}

static bool pieces_train(Tokenizer *t, const TokenizerSpec *spec, FILE *log, Err *e) {
    Buf text = {0};
    bool ok = wordpiece_train(spec->from, spec->size, log, &text, e) &&
              (!*spec->path || file_write_atomic(spec->path, text.data, text.n, e)) &&
              pieces_load(t, spec, text.data, text.n, e);
    buf_free(&text);
    return ok;
}

static bool pieces_open(Tokenizer *t, const TokenizerSpec *spec, FILE *log, Err *e) {
    struct stat st;
    if (*spec->path && (stat(spec->path, &st) == 0 || errno != ENOENT))
        return pieces_read(t, spec, e);
    if (*spec->from) return pieces_train(t, spec, log, e);
    char here[512];
    return err_set(e,
                   "there is no vocabulary '%s' in %s, and no text to train it from; add from = "
                   "\"corpus/*.txt\"",
                   spec->path, getcwd(here, sizeof here) ? here : "the working directory");
}

static void pieces_save(const Tokenizer *t, Buf *out) {
    size_t n;
    const char *text = wordpiece_text(t->pieces, &n);
    buf_put(out, text, n);
}

static void pieces_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    wordpiece_encode(t->pieces, (int32_t)t->ids.unk, text, n, out);
}

static void pieces_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    wordpiece_decode(t->pieces, (int32_t)t->ids.pad, ids, n, out);
}

/* ---- bytes: ids 0 to 255 are the bytes themselves */
enum { BYTE_PAD = 256, BYTE_CLS, BYTE_SEP, BYTE_MASK, BYTE_SIZE };

static bool bytes_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n,
                       Err *e) {
    (void)text;
    if (n > 0)
        return err_set(e, "tokenizer %s: bytes has no vocabulary, but %zu bytes of one were given",
                       spec->name, n);
    if (spec->size > 0 && spec->size != BYTE_SIZE)
        return err_set(e, "tokenizer %s: bytes always has %d ids, not %lld", spec->name, BYTE_SIZE,
                       (long long)spec->size);
    t->ids = (TokenizerIds){BYTE_SIZE, BYTE_PAD, -1, BYTE_CLS, BYTE_SEP, BYTE_MASK};
    return true;
}

static bool bytes_open(Tokenizer *t, const TokenizerSpec *spec, FILE *log, Err *e) {
    (void)log;
    return bytes_load(t, spec, "", 0, e);
}

static void bytes_save(const Tokenizer *t, Buf *out) {
    (void)t;
    buf_puts(out, "");
}

static void bytes_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    (void)t;
    ids_reserve(out, n);
    for (size_t i = 0; i < n; i++) out->at[out->n++] = (unsigned char)text[i];
}

static const char *byte_mark(int32_t id) {
    static const char *const name[] = {"", "[CLS]", "[SEP]", "[MASK]"};
    return id >= BYTE_PAD && id < BYTE_SIZE ? name[id - BYTE_PAD] : "[?]";
}

/* Whole characters as they are; a byte that is part of none becomes U+FFFD, so that the result is
 * text. */
static void put_text(const char *bytes, size_t n, Buf *out) {
    for (size_t i = 0; i < n;) {
        int32_t c;
        size_t length = utf8_char(bytes, n, i, &c);
        if (length)
            buf_put(out, bytes + i, length);
        else
            buf_puts(out, "\xEF\xBF\xBD");
        i += length ? length : 1;
    }
}

static void bytes_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    (void)t;
    Buf run = {0};
    for (size_t i = 0; i <= n; i++) {
        if (i < n && ids[i] >= 0 && ids[i] < BYTE_PAD) {
            buf_put(&run, &(char){(char)ids[i]}, 1);
            continue;
        }
        put_text(run.data, run.n, out);
        run.n = 0;
        if (i < n) buf_puts(out, byte_mark(ids[i]));
    }
    buf_free(&run);
}

/* ---- the table */
static const Kind kinds[] = {
    {"wordpiece", true, pieces_open, pieces_load, pieces_save, pieces_encode, pieces_decode},
    {"bytes", false, bytes_open, bytes_load, bytes_save, bytes_encode, bytes_decode},
};

static Tokenizer *tokenizer_new(const TokenizerSpec *spec, Err *e) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(kinds[i].name, spec->kind)) continue;
        Tokenizer *t = heap_resize(NULL, sizeof *t);
        *t = (Tokenizer){.kind = &kinds[i]};
        return t;
    }
    err_set(e, "tokenizer %s: there is no kind '%s'; the kinds are wordpiece and bytes", spec->name,
            spec->kind);
    return NULL;
}

static Tokenizer *finish(Tokenizer *t, bool ok) {
    if (!ok) {
        tokenizer_free(t);
        return NULL;
    }
    Buf text = {0};
    t->kind->save(t, &text);
    t->hash = hash_bytes(text.data, text.n, hash_str(t->kind->name, 0));
    buf_free(&text);
    return t;
}

Tokenizer *tokenizer_open(const TokenizerSpec *spec, FILE *log, Err *e) {
    Tokenizer *t = tokenizer_new(spec, e);
    return t ? finish(t, t->kind->open(t, spec, log, e)) : NULL;
}

Tokenizer *tokenizer_from_bytes(const TokenizerSpec *spec, const void *p, size_t n, Err *e) {
    Tokenizer *t = tokenizer_new(spec, e);
    return t ? finish(t, t->kind->load(t, spec, p, n, e)) : NULL;
}

void tokenizer_bytes(const Tokenizer *t, Buf *out) {
    t->kind->save(t, out);
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    wordpiece_free(t->pieces);
    heap_free(t);
}

TokenizerIds tokenizer_ids(const Tokenizer *t) {
    return t->ids;
}

uint64_t tokenizer_hash(const Tokenizer *t) {
    return t->hash;
}

bool tokenizer_wants_utf8(const Tokenizer *t) {
    return t->kind->wants_utf8;
}

void tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    t->kind->encode(t, text, n, out);
}

void tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    t->kind->decode(t, ids, n, out);
}
