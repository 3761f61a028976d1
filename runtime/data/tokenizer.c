/* Tokenizers: opening by kind, through the table below. A vocabulary that is not there is trained
 * and saved; one that is there is never touched. A tokenizer does not change once open, so threads
 * share it. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/kinds.h"

static const Kind *const kinds[] = {&wordpiece_kind, &bpe_kind, &characters_kind, &bytes_kind};

/* ---- lists of ids */
void ids_reserve(Ids *ids, size_t more) {
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

/* ---- files of a vocabulary */
static const char *path_of(const TokenizerSpec *spec, int file) {
    return file ? spec->merges : spec->path;
}

const char *vocabulary_name(const TokenizerSpec *spec) {
    return *spec->path ? spec->path : spec->name;
}

bool vocabulary_fits(const TokenizerSpec *spec, int64_t size, Err *e) {
    if (spec->size <= 0 || spec->size == size) return true;
    return err_set(e,
                   "the vocabulary '%s' has %lld pieces, but the program asks for %lld; ask "
                   "for %lld, or remove the file to have another trained",
                   vocabulary_name(spec), (long long)size, (long long)spec->size, (long long)size);
}

Source *training_text(const TokenizerSpec *spec, Unit unit, FILE *log, Err *e) {
    Source *s = source_open(spec->from, unit, true, e);
    if (!s || !log) return s;
    fputs("training a vocabulary of ", log);
    if (spec->size)
        fprintf(log, "%lld pieces from ", (long long)spec->size);
    else
        fputs("all characters of ", log);
    fprintf(log, "%zu file%s\n", source_files(s), source_files(s) == 1 ? "" : "s");
    return s;
}

bool each_text(Source *s, TextFn *work, void *cx, Err *e) {
    enum { CHUNK = 1 << 20 };
    Chunk c = {0};
    bool ok;
    while (((ok = source_read(s, CHUNK, &c, e))) && c.n)
        for (size_t i = 0; i < c.n; i++)
            work(cx, c.text.data + c.line[i].start, c.line[i].end - c.line[i].start);
    chunk_free(&c);
    return ok;
}

static bool is_there(const char *path) {
    struct stat st;
    return *path && (stat(path, &st) == 0 || errno != ENOENT);
}

static bool read_files(const Kind *kind, const TokenizerSpec *spec, Buf *text, Err *e) {
    Arena *a = arena_new();
    bool ok = true;
    for (int i = 0; i < kind->files && ok; i++) {
        char *part;
        size_t n;
        if (i) buf_put(text, "", 1);
        if ((ok = file_read(a, path_of(spec, i), &part, &n, e))) buf_put(text, part, n);
    }
    arena_free(a);
    return ok;
}

/* The last file first: a vocabulary whose first is there is whole. */
static bool write_files(const Kind *kind, const TokenizerSpec *spec, const Buf *text, Err *e) {
    const char *end = text->data + text->n, *start = end;
    for (int i = kind->files - 1; i >= 0 && *spec->path; i--, end = start - 1) {
        start =
            i ? (const char *)memrchr(text->data, 0, (size_t)(end - text->data)) + 1 : text->data;
        if (!file_write_atomic(path_of(spec, i), start, (size_t)(end - start), e)) return false;
    }
    return true;
}

static bool no_vocabulary(const TokenizerSpec *spec, Err *e) {
    char here[512];
    if (!*spec->path)
        return err_set(e,
                       "tokenizer %s has neither a file nor text to train from; add from = "
                       "\"corpus/*.txt\"",
                       spec->name);
    return err_set(e,
                   "there is no vocabulary '%s' in %s, and no text to train it from; add from = "
                   "\"corpus/*.txt\"",
                   spec->path, getcwd(here, sizeof here) ? here : "the working directory");
}

/* Training would write over it. */
static bool stands_alone(const TokenizerSpec *spec, Err *e) {
    return err_set(e,
                   "'%s' is there, but the vocabulary '%s' that it goes with is not; put that "
                   "beside it, or remove it to have both trained",
                   spec->merges, spec->path);
}

/* The text of a vocabulary: read if its first file is there, else trained and saved. */
static bool find_text(const Kind *kind, const TokenizerSpec *spec, FILE *log, Buf *text, Err *e) {
    if (!kind->files) return true;
    if (is_there(spec->path)) return read_files(kind, spec, text, e);
    if (!*spec->from) return no_vocabulary(spec, e);
    if (kind->files > 1 && is_there(spec->merges)) return stands_alone(spec, e);
    return kind->train(spec, log, text, e) && write_files(kind, spec, text, e);
}

/* ---- opening */
static Tokenizer *tokenizer_new(const TokenizerSpec *spec, Err *e) {
    Buf names = {0};
    size_t n = sizeof kinds / sizeof *kinds;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(kinds[i]->name, spec->kind)) {
            buf_free(&names);
            Tokenizer *t = heap_resize(NULL, sizeof *t);
            *t = (Tokenizer){.kind = kinds[i]};
            return t;
        }
        buf_printf(&names, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " and ", kinds[i]->name);
    }
    err_set(e, "tokenizer %s: there is no kind '%s'; the kinds are %s", spec->name, spec->kind,
            names.data);
    buf_free(&names);
    return NULL;
}

static bool tokenizer_load(Tokenizer *t, const TokenizerSpec *spec, Buf *text, Err *e) {
    if (t->kind->lines && text->n && text->data[text->n - 1] != '\n') buf_puts(text, "\n");
    const char *p = text->n ? text->data : "";
    if (!t->kind->load(t, spec, p, text->n, e)) return false;
    t->n = text->n;
    t->text = heap_resize(NULL, t->n + 1);
    memcpy(t->text, p, t->n);
    t->hash = hash_bytes(t->text, t->n, hash_str(t->kind->name, 0));
    return true;
}

Tokenizer *tokenizer_open(const TokenizerSpec *spec, FILE *log, Err *e) {
    Tokenizer *t = tokenizer_new(spec, e);
    Buf text = {0};
    bool ok = t && find_text(t->kind, spec, log, &text, e) && tokenizer_load(t, spec, &text, e);
    buf_free(&text);
    if (ok) return t;
    tokenizer_free(t);
    return NULL;
}

Tokenizer *tokenizer_from_bytes(const TokenizerSpec *spec, const void *p, size_t n, Err *e) {
    Tokenizer *t = tokenizer_new(spec, e);
    Buf text = {0};
    buf_put(&text, p, n);
    bool ok = t && tokenizer_load(t, spec, &text, e);
    buf_free(&text);
    if (ok) return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_bytes(const Tokenizer *t, Buf *out) {
    buf_put(out, t->text, t->n);
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    if (t->kind->free) t->kind->free(t->own);
    heap_free(t->text);
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

int32_t tokenizer_characters(const Tokenizer *t, int32_t id) {
    const TokenizerIds *s = &t->ids;
    bool mark = id == s->pad || id == s->cls || id == s->sep || id == s->mask || id == s->end;
    return mark || !t->kind->characters ? 0 : t->kind->characters(t, id);
}

void tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    t->kind->encode(t, text, n, out);
}

void tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    t->kind->decode(t, ids, n, out);
}
