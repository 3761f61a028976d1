/* .upx: one compiled program as one file.
 *
 *   "UPT.UPX\n"  u32 version  u32 sections  u64 bytes after this header  u64 checksum
 *   section:  char name[16]  u64 length  data, padded with zeros to 8
 *
 * Sections, in this order: `program` (the fused program as IR text), `plan` (its memory plan as
 * text), one `vocab` a tokenizer, one `source` a file (its path, a zero, its text). Integers are
 * little-endian. Native code is never stored: reading parses and verifies the graphs, makes the
 * plan again and compares it with the stored text, so a file from a stranger can only name checked
 * shapes. */
#include <string.h>

#include "cli/cli.h"

static const char MAGIC[8] = {'U', 'P', 'T', '.', 'U', 'P', 'X', '\n'};
enum { VERSION = 3, NAME = 16, MAX_SECTIONS = 4096 };
enum { AT_VERSION = 8, AT_SECTIONS = 12, AT_BYTES = 16, AT_CHECKSUM = 24, HEADER = 32 };

typedef struct Section {
    char name[NAME + 1];
    const char *data;
    size_t n;
} Section;

static void set_int(char *p, uint64_t v, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) p[i] = (char)(v >> (8 * i) & 255);
}

static uint64_t get_int(const char *p, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

/* ---- writing: begin, sections, seal */

/* xxh3 of what follows the header, seeded with what stands in it. */
static uint64_t checksum(const char *file, size_t n) {
    return hash_bytes(file + HEADER, n - HEADER, get_int(file + AT_VERSION, 8));
}

void upx_begin(Buf *b) {
    static const char zero[HEADER] = {0};
    buf_put(b, zero, HEADER);
    memcpy(b->data, MAGIC, sizeof MAGIC);
    set_int(b->data + AT_VERSION, VERSION, 4);
}

void upx_section(Buf *b, const char *name, const char *data, size_t n) {
    static const char zero[NAME] = {0};
    size_t len = strlen(name);
    char length[8];
    set_int(length, n, 8);
    set_int(b->data + AT_SECTIONS, get_int(b->data + AT_SECTIONS, 4) + 1, 4);
    buf_put(b, name, len);
    buf_put(b, zero, NAME - len);
    buf_put(b, length, 8);
    buf_put(b, data, n);
    buf_put(b, zero, (8 - n % 8) % 8);
}

void upx_seal(Buf *b) {
    set_int(b->data + AT_BYTES, b->n - HEADER, 8);
    set_int(b->data + AT_CHECKSUM, checksum(b->data, b->n), 8);
}

static void put_source(Buf *out, const Diag *d, uint32_t file) {
    size_t n = 0;
    const char *path = diag_path(d, file), *text = diag_text(d, file, &n);
    Buf b = {0};
    buf_put(&b, path, strlen(path) + 1);
    if (text) buf_put(&b, text, n);
    upx_section(out, "source", b.data, b.n);
    buf_free(&b);
}

void upx_plans(Buf *b, Arena *a, const Program *p) {
    plan_print(b, p, plan_graph(a, p, p->init));
    for (size_t i = 0; i < p->nentry; i++) {
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (p->entry[i].graph[k]) plan_print(b, p, plan_graph(a, p, p->entry[i].graph[k]));
    }
}

static void put_text(Buf *out, const char *name, void (*print)(Buf *, Arena *, const Program *),
                     Arena *a, const Program *p) {
    Buf b = {0};
    print(&b, a, p);
    upx_section(out, name, b.data, b.n);
    buf_free(&b);
}

static void whole_print(Buf *b, Arena *a, const Program *p) {
    (void)a;
    program_print(b, p);
}

bool upx_write(const char *path, const Session *s, Err *e) {
    Buf file = {0};
    upx_begin(&file);
    put_text(&file, "program", whole_print, s->arena, s->program);
    put_text(&file, "plan", upx_plans, s->arena, s->program);
    for (size_t i = 0; i < s->tokenizer.n; i++) {
        Buf vocab = {0};
        tokenizer_bytes(s->tokenizer.at[i], &vocab);
        upx_section(&file, "vocab", vocab.data, vocab.n);
        buf_free(&vocab);
    }
    size_t sources = diag_sources(s->diag);
    for (uint32_t i = 1; i <= sources; i++) put_source(&file, s->diag, i);
    upx_seal(&file);
    bool ok = file_write_atomic(path, file.data, file.n, e);
    buf_free(&file);
    return ok;
}

/* ---- reading */

static bool check_header(const char *path, const char *p, size_t n, Err *e) {
    if (n < HEADER || memcmp(p, MAGIC, sizeof MAGIC))
        return err_set(
            e, "%s is not a compiled upt program (.upx); make one with: uptc compile FILE.upm",
            path);
    uint64_t version = get_int(p + AT_VERSION, 4);
    if (version != VERSION)
        return err_set(e,
                       "%s was written by another version of upt (format %llu, this one reads %d); "
                       "compile it again",
                       path, (unsigned long long)version, VERSION);
    if (get_int(p + AT_BYTES, 8) != n - HEADER)
        return err_set(e,
                       "%s is cut short or has bytes added (%zu bytes, its header says %llu); "
                       "compile it again",
                       path, n, (unsigned long long)get_int(p + AT_BYTES, 8) + HEADER);
    if (checksum(p, n) != get_int(p + AT_CHECKSUM, 8))
        return err_set(e, "%s is damaged: its checksum does not match; compile it again", path);
    return true;
}

static bool read_sections(Arena *a, const char *path, const char *p, size_t n, Section **out,
                          size_t *count, Err *e) {
    uint64_t want = get_int(p + AT_SECTIONS, 4);
    if (want > MAX_SECTIONS)
        return err_set(e, "%s is damaged: it claims %llu sections", path, (unsigned long long)want);
    *count = (size_t)want;
    *out = NEW_N(a, Section, want + 1);
    size_t at = HEADER;
    for (size_t i = 0; i < *count; i++) {
        Section *s = &(*out)[i];
        if (n - at < NAME + 8)
            return err_set(e, "%s is damaged: section %zu is cut short", path, i);
        memcpy(s->name, p + at, NAME);
        uint64_t len = get_int(p + at + NAME, 8);
        at += NAME + 8;
        if (len > n - at || (8 - len % 8) % 8 > n - at - len)
            return err_set(e, "%s is damaged: section '%s' is larger than the file", path, s->name);
        s->data = arena_strndup(a, p + at, (size_t)len);
        s->n = (size_t)len;
        at += (size_t)len + (8 - (size_t)len % 8) % 8;
    }
    return true;
}

static const Section *section_find(const Section *s, size_t n, const char *name, int index) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(s[i].name, name) && index-- == 0) return &s[i];
    return NULL;
}

/* Spans in the program name files; a person wants to see their lines. */
static void read_sources(Session *s, const Section *sec, size_t n) {
    s->diag = diag_new(s->arena);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(sec[i].name, "source")) continue;
        size_t path = strnlen(sec[i].data, sec[i].n);
        if (path < sec[i].n)
            diag_add_source(s->diag, sec[i].data, sec[i].data + path + 1, sec[i].n - path - 1);
    }
}

/* The verified program of the `program` section. */
static bool read_program(const char *path, Session *s, const Section *sec, size_t n, Err *e) {
    const Section *text = section_find(sec, n, "program", 0),
                  *plan = section_find(sec, n, "plan", 0);
    if (!text || !plan) return err_set(e, "%s is damaged: it holds no program", path);
    read_sources(s, sec, n);
    s->program = program_parse(s->arena, s->diag, path, text->data, text->n);
    Buf b = {0};
    bool ok = s->program && (s->program->stage & STAGE_FUSED) && program_verify(s->program, &b);
    if (ok) {
        buf_free(&b);
        upx_plans(&b, s->arena, s->program);
        ok = b.n == plan->n && !memcmp(b.data, plan->data, b.n);
    }
    buf_free(&b);
    if (!ok)
        return err_set(
            e, "%s holds a program that does not verify; compile it again with this version of upt",
            path);
    return true;
}

static bool read_tokenizers(const char *path, Session *s, const Section *sec, size_t n, Err *e) {
    const Spec *spec = &s->program->spec;
    for (int i = 0; i < spec->ntokenizer; i++) {
        const Section *v = section_find(sec, n, "vocab", i);
        if (!v) return err_set(e, "%s is damaged: it lacks a vocabulary", path);
        Tokenizer *t = tokenizer_from_bytes(&spec->tokenizer[i], v->data, v->n, e);
        if (!t) return false;
        vec_push(s->arena, &s->tokenizer, t);
        if (tokenizer_hash(t) != spec->tokenizer[i].hash)
            return err_set(e, "%s is damaged: its vocabulary is not the one it was compiled with",
                           path);
    }
    return true;
}

bool upx_parse(const char *path, const char *p, size_t n, Session *s, Err *e) {
    size_t count = 0;
    Section *sec = NULL;
    return check_header(path, p, n, e) && read_sections(s->arena, path, p, n, &sec, &count, e) &&
           read_program(path, s, sec, count, e) && read_tokenizers(path, s, sec, count, e);
}

bool upx_read(const char *path, Session *s, Err *e) {
    char *p = NULL;
    size_t n = 0;
    return file_read(s->arena, path, &p, &n, e) && upx_parse(path, p, n, s, e);
}
