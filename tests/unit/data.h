/* What the tests of data share: a folder of its own, texts of the words w0 w1 w2 ... (numbered
 * through the whole corpus, so that an id tells which word it is of all), programs of stages, and
 * readers. */
#ifndef UPT_TEST_DATA_H
#define UPT_TEST_DATA_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/internal.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/upt-data-XXXXXX";

static inline const char *in_folder(Arena *a, const char *name) {
    return arena_printf(a, "%s/%s", folder, name);
}

static inline const char *write_file(Arena *a, const char *name, const char *text, size_t n) {
    const char *path = in_folder(a, name);
    Err e = {0};
    EXPECT(file_write_atomic(path, text, n, &e), "%s", e.msg);
    return path;
}

static inline const char *write_text(Arena *a, const char *name, const char *text) {
    return write_file(a, name, text, strlen(text));
}

/* ---- programs */
enum { STAGES = 8, WORDS = 20000, PAD = 0, UNK, CLS, SEP, MASK, FIRST_WORD };

typedef struct Program {
    Spec spec;
    DataSpec data[STAGES];
    SpecArg arg[STAGES][2];
    Tokenizer *tokenizer[1];
    TokenizerSpec tokenizer_spec;
} Program;

static inline SpecArg string_arg(const char *name, const char *s) {
    return (SpecArg){.name = name, .kind = ARG_str, .s = s};
}
static inline SpecArg int_arg(const char *name, int64_t i) {
    return (SpecArg){.name = name, .kind = ARG_int, .i = i};
}
static inline SpecArg float_arg(const char *name, double f) {
    return (SpecArg){.name = name, .kind = ARG_float, .f = f};
}
static const SpecArg tok_arg = {.name = "tok", .kind = ARG_tokenizer, .i = 0};
static const SpecArg no_arg = {0};

static inline Program *program_new(Arena *a, Tokenizer *t) {
    Program *p = NEW(a, Program);
    p->tokenizer[0] = t;
    p->spec.tokenizer = &p->tokenizer_spec;
    p->spec.ntokenizer = 1;
    p->spec.data = p->data;
    return p;
}

static inline void stage(Program *p, const char *name, SpecArg x, SpecArg y) {
    int i = p->spec.ndata++;
    p->arg[i][0] = x;
    p->arg[i][1] = y;
    p->data[i] = (DataSpec){.stage = name,
                            .input = i - 1,
                            .arg = p->arg[i],
                            .narg = (x.name != NULL) + (y.name != NULL)};
}

static inline Program *text_program(Arena *a, Tokenizer *t, const char *source, const char *files) {
    Program *p = program_new(a, t);
    stage(p, source, string_arg("files", files), no_arg);
    stage(p, "encode", tok_arg, no_arg);
    return p;
}

static inline Program *pairs_program(Arena *a, Tokenizer *t, const char *files, int64_t seq,
                                     double random) {
    Program *p = text_program(a, t, "documents", files);
    stage(p, "sentence_pairs", int_arg("seq", seq), float_arg("random", random));
    return p;
}

static inline ReaderOptions options(const Program *p, int64_t batch, bool train, const Field *field,
                                    int nfield) {
    return (ReaderOptions){.spec = &p->spec,
                           .tokenizer = p->tokenizer,
                           .data = p->spec.ndata - 1,
                           .batch = batch,
                           .train = train,
                           .seed = 7,
                           .field = field,
                           .nfield = nfield};
}

static inline Tokenizer *word_tokenizer(void) {
    Buf b = {0};
    buf_puts(&b, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (int i = 0; i < WORDS; i++) buf_printf(&b, "w%d\n", i);
    TokenizerSpec spec = {.name = "tok", .kind = "wordpiece", .path = "", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, b.data, b.n, &e);
    EXPECT(t, "%s", e.msg);
    buf_free(&b);
    return t;
}

static inline Reader *open_reader(const ReaderOptions *o) {
    Err e = {0};
    Reader *r = reader_open(o, &e);
    EXPECT(r, "%s", e.msg);
    return r;
}

/* ---- rows of lines */
enum { LINES = 103, WIDTH = 5 };
static const Field ids_field[] = {{.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {WIDTH}}};

/* Line i is "wi", so a padded row is [CLS] wi [SEP] [PAD] [PAD]. */
static inline const char *write_lines(Arena *a, int n) {
    Buf b = {0};
    for (int i = 0; i < n; i++) buf_printf(&b, "w%d\n", i);
    const char *path = write_file(a, "lines.txt", b.data, b.n);
    buf_free(&b);
    return path;
}

static inline Program *lines_program(Arena *a, Tokenizer *t, int n) {
    return text_program(a, t, "lines", write_lines(a, n));
}

/* ---- running: a folder and a tokenizer for all tests of a file */
static inline int run_data_tests(void (*tests)(Arena *a, Tokenizer *t), const char *name) {
    Arena *a = arena_new();
    EXPECT(mkdtemp(folder), "no folder for the test");
    Tokenizer *t = word_tokenizer();
    tests(a, t);
    tokenizer_free(t);
    EXPECT(system(arena_printf(a, "rm -r '%s'", folder)) == 0, "cannot remove %s", folder);
    arena_free(a);
    return check_done(name);
}

#endif
