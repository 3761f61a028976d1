/* What a program says besides mathematics: its data, tokenizers, initial values and run settings.
 * The frontend fills these in, the IR prints and reads them, the runtime obeys them. They hold
 * names, numbers and strings only. */
#ifndef UPT_SPEC_H
#define UPT_SPEC_H

#include "base/base.h"

typedef enum DType { DT_f32, DT_f64, DT_bf16, DT_i32, DT_i64, DT_u8, DT_bool, DT_i8, DT_COUNT } DType;
enum { RANK = 8 };
size_t dtype_size(DType t);
const char *dtype_name(DType t);
bool dtype_from_name(const char *s, DType *t);
bool dtype_is_float(DType t);
/* bf16 is the upper half of an f32's bits; rounded to nearest even, and a NaN stays one. */
float bf16_to_float(uint16_t bits);
uint16_t bf16_from_float(float x);

/* An argument of a data stage or a tokenizer, by name; positional ones have been given their names.
 */
typedef enum ArgKind { ARG_int, ARG_float, ARG_str, ARG_tokenizer } ArgKind;
typedef struct SpecArg {
    const char *name;
    ArgKind kind;
    int64_t i; /* ARG_int; ARG_tokenizer: index in Spec.tokenizer */
    double f;
    const char *s;
} SpecArg;

typedef struct TokenizerSpec {
    const char *name; /* as declared: "tok" */
    const char *kind; /* "wordpiece", "bpe", "characters", "bytes" */
    const char *path; /* vocabulary file; "" for none */
    const char *merges; /* bpe: its other file; else "" */
    const char *from; /* glob of texts to train from; "" for none */
    int64_t size;     /* entries asked for (0: as in the file) */
    uint64_t hash;    /* of the vocabulary as compiled */
    Span span;
} TokenizerSpec;

/* One field of the records a pipeline yields; `dim` is without the batch axis. */
typedef struct Field {
    const char *name;
    DType dtype;
    int rank;
    int64_t dim[RANK];
    const char *dim_name[RANK]; /* for messages; may be NULL */
} Field;
size_t record_bytes(const Field *f); /* of one record's */

/* One source or stage. Pipelines share prefixes: `input` is an index in Spec.data. The stages
 * are listed once, in base/stages.def. */
typedef struct DataSpec {
    const char *stage;
    int input; /* -1: a source */
    SpecArg *arg;
    int narg;
    Field *field; /* what it yields; empty while records have no fixed fields (raw text, unpadded
                     ids) */
    int nfield;
    Span span;
} DataSpec;

/* Tensors that say to a step of generation which token it sees. */
#define GENERATE_TOKEN "generate.token" /* i32[1,1] */
#define GENERATE_AT "generate.at"       /* i32: its position, from 0 */

enum { RESIZE_MAX = 4096 }; /* a side of the pictures that `resize` makes */

enum { BATCHES_AHEAD = 4 }; /* made ready by a thread, for each entry */

typedef struct LoadSpec { /* load PARTS from "file" rename "a" to "b" */
    const char *file;
    const char **part; /* paths of instances or parameters */
    int npart;
    const char **from, **to; /* renames, checkpoint path to ours */
    int nrename;
    Span span;
} LoadSpec;

typedef struct RunSpec { /* `run { ... }` ; negative or 0: not said */
    uint64_t seed;
    const char *precision; /* "f32" or "bf16" */
    int64_t eval_every, save_every, log_every, keep;
    int64_t memory; /* bytes that a run may use */
    Span memory_at;
    int64_t micro;  /* samples computed at a time; divides the batch */
    bool alternate; /* several train entries take turns, step by step, instead of following one
                       another */
} RunSpec;

typedef struct Spec {
    TokenizerSpec *tokenizer;
    int ntokenizer;
    DataSpec *data;
    int ndata;
    LoadSpec *load;
    int nload;
    RunSpec run;
} Spec;

const SpecArg *spec_arg(const DataSpec *d, const char *name); /* NULL: absent */
int64_t spec_int(const DataSpec *d, const char *name, int64_t otherwise);
double spec_num(const DataSpec *d, const char *name, double otherwise);
const char *spec_str(const DataSpec *d, const char *name, const char *otherwise);

#endif
