/* Inside runtime/data, from files to rows:
 *
 *   glob.c      the files that a pattern names
 *   source.c    their lines, checked, in chunks
 *   store.c     long arrays, in memory or in a temporary file
 *   corpus.c    all texts of a source encoded once: documents of sentences of ids
 *   view.c      which documents or records, and in which order: split, shuffle, take
 *   pipeline.c  the stages of base/stages.def, from a source to rows with fields
 *   rows.c pairs.c   rows made of documents: pad, pack; sentence pairs
 *   records.c pictures.c   sources whose records have fields from the start (records.h)
 *   reader.c    batches, prepared ahead on a thread */
#ifndef UPT_DATA_INTERNAL_H
#define UPT_DATA_INTERNAL_H

#include <stdatomic.h>

#include "runtime/data/data.h"

/* ---- glob.c: regular files that match, sorted by name; none is an error. `**` stands for any
 * folders. */
typedef struct FileList {
    const char **path;
    size_t n;
} FileList;
bool glob_files(Arena *a, const char *pattern, FileList *out, Err *e);

/* ---- source.c: the lines of some files in order, without their ends. */
/* What a document is: a file up to a blank line; a line; or a file with all that is in it. */
typedef enum Unit { UNIT_documents, UNIT_lines, UNIT_text } Unit;
bool unit_of(const char *source, Unit *u); /* by the name of the source */
const char *unit_things(Unit u);           /* "lines" */
typedef struct Line {
    size_t start, end; /* in Chunk.text */
    bool starts_document;
} Line;
typedef struct Chunk {
    Buf text;
    Line *line;
    size_t n, cap;
} Chunk;
typedef struct Source Source;
/* Blank lines are never given, but of UNIT_text, whose `lines` are stretches that together are all
 * of the file: each from the blanks and newlines before a line to its last character. No tokenizer
 * joins what stands before such blanks with them. */
Source *source_open(const char *pattern, Unit unit, bool utf8, Err *e);
/* Replaces the chunk's content by the next lines, about `want` bytes; n is 0 at the end. A file
 * that changes meanwhile is an error. */
bool source_read(Source *s, size_t want, Chunk *c, Err *e);
size_t source_files(const Source *s);
const char *source_pattern(const Source *s);
void source_close(Source *s);
void chunk_free(Chunk *c);

/* ---- store.c: append, finish, then read through `at`. Beyond its budget it moves to a temporary
 * file without a name. */
typedef struct Store {
    char *at;
    size_t bytes, cap, budget;
    int fd;        /* -1: in memory */
    bool finished; /* a store in a file is mapped */
} Store;
enum { STORE_BUDGET = FIRST(256 << 20) };
Store store_new(size_t budget); /* bytes of memory */
bool store_put(Store *s, const void *p, size_t n, Err *e);
bool store_finish(Store *s, Err *e);
void store_free(Store *s);

/* ---- corpus.c: no sentence and no document is empty. Shared by readers through a count. */
typedef struct Corpus {
    atomic_int users;
    const char *pattern;
    Unit unit;
    const Tokenizer *tokenizer;
    bool wide;                     /* ids are i32, else u16 */
    Store ids, sentence, document; /* sentence: u64 end in ids; document: u64 end in sentences */
    uint64_t nids, nsentence, ndocument;
    uint64_t hash; /* of all ids, sentence by sentence and document by document */
    Arena *arena;
} Corpus;
typedef struct Stretch {
    uint64_t first, n;
} Stretch;
Corpus *corpus_open(const char *pattern, Unit unit, const Tokenizer *t, Err *e);
Corpus *corpus_share(Corpus *c);
void corpus_close(Corpus *c);
Stretch corpus_sentences(const Corpus *c, uint64_t document); /* of a document */
Stretch corpus_ids(const Corpus *c, Stretch sentences);       /* of neighbouring sentences */
void corpus_copy(const Corpus *c, Stretch ids, int32_t *out);

/* ---- view.c: a choice and order of `n` things. */
typedef struct View View;
struct View {
    const View *of; /* NULL: the things themselves */
    uint64_t n;
    uint64_t (*at)(const View *v, uint64_t epoch, uint64_t i); /* index in `of` */
    uint32_t *list;
    uint64_t key;
};
const View *view_all(Arena *a, uint64_t n);
const View *view_take(Arena *a, const View *v, uint64_t n);
const View *view_shuffle(Arena *a, const View *v, uint64_t key);
/* Part 0 is round(share * n) of the things, part 1 the others, each at least one; spread evenly at
 * random, the same in every run. */
const View *view_split(Arena *a, const View *v, double share, int64_t part, const char *things,
                       Err *e);
uint64_t view_at(const View *v, uint64_t epoch, uint64_t i);

/* ---- records.c: records with fields, in memory or decoded as they are asked for. Shared by
 * readers through a count. */
enum { FIELDS = 4, SEQ_MAX = 1 << 20 };
typedef struct Records {
    atomic_int users;
    Arena *arena;
    const DataSpec *source;
    const char *files; /* for messages */
    uint64_t n, hash;
    Field field[FIELDS]; /* "image" first; then "label" if there are labels */
    int nfield;
    Store column[FIELDS]; /* of each field, record by record; none for images in `picture` */
    FileList picture;     /* files to decode */
    atomic_bool *broken;  /* those that were found to be; NULL: such a one is an error */
} Records;
bool records_has(const char *stage); /* whether it is such a source */
Records *records_open(const DataSpec *source, Err *e);
Records *records_share(Records *r);
void records_close(Records *r);

/* What became of a record. Broken: to be left out; the first who finds it tells, then it is known.
 */
typedef enum Got { GOT_record, GOT_broken, GOT_known, GOT_error } Got;

/* ---- pipeline.c */
typedef struct Pipeline Pipeline;
typedef struct Change { /* of the pictures, in the order of the stages */
    bool grey;          /* to one channel; else to another size */
    int64_t h, w;
} Change;
typedef struct Scratch Scratch; /* pictures on their way: pictures.c */
/* Writes record `i`: field k, all i32, to out[k]. */
typedef void RowFn(const Pipeline *p, uint64_t epoch, uint64_t i, int32_t *const out[FIELDS]);
struct Pipeline {
    Arena *arena;
    uint64_t seed;
    const Spec *spec;
    Tokenizer *const *tokenizer;
    const char *files; /* pattern of the source */
    Corpus *corpus;    /* or NULL, and then there is */
    Records *source;
    VEC(Change) change;
    Scratch *scratch;
    TokenizerIds special;
    const View *documents; /* those that make the records */
    const View *records;   /* NULL until a stage makes rows */
    RowFn *row;
    Field field[FIELDS];
    int nfield;
    int64_t seq, overlap; /* of windows */
    bool boundaries;
    const int32_t *characters; /* by id: how many it stands for; NULL: nobody asks */
    double random;   /* sentence_pairs: share of second sentences from elsewhere among records that
                        have a choice */
    uint64_t key;    /* of the row stage's choices */
    uint64_t stages; /* hash of what they are and of their numbers */
    Store table;     /* the row stage's own */
};
typedef struct PipelineOptions {
    const Spec *spec;
    Tokenizer *const *tokenizer;
    int data;
    uint64_t seed;
    const Pipeline *share; /* NULL, or its text or its records are used if it is the same */
} PipelineOptions;
bool pipeline_open(const PipelineOptions *o, Pipeline *p, Err *e);
void pipeline_close(Pipeline *p);
uint64_t pipeline_records(const Pipeline *p);
/* Field k to out[k]. `e` has a sentence where it is GOT_broken or GOT_error. */
Got pipeline_row(const Pipeline *p, uint64_t epoch, uint64_t i, void *const out[FIELDS], Err *e);
const char *pipeline_files(const Pipeline *p);
const char *pipeline_what(const Pipeline *p); /* "text" or "data" */
uint64_t pipeline_hash(const Pipeline *p);    /* of all that its records are made of */
/* Adds a field of i32; `dim` 0: a scalar. */
void pipeline_field(Pipeline *p, const char *name, int64_t dim, const char *dim_name);

/* ---- row stages: set records, row and fields. */
bool rows_pad(Pipeline *p, Err *e);
bool rows_pack(Pipeline *p, Err *e);
const int32_t *rows_characters(Pipeline *p); /* of each id of the vocabulary */
bool rows_pairs(Pipeline *p, Err *e);

/* ---- pictures.c: one record, as the stages after it change them. */
void pictures_open(Pipeline *p);
bool pictures_change(Pipeline *p, Change c, Err *e);
Got pictures_row(const Pipeline *p, uint64_t i, void *const out[FIELDS], Err *e);
void pictures_close(Pipeline *p);

bool tokenizer_wants_utf8(const Tokenizer *t);
/* Of the text that an id stands for: those that begin in it. What marks something has none, and
 * where texts do not come back as they were all have none. */
int32_t tokenizer_characters(const Tokenizer *t, int32_t id);
#endif
