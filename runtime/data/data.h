/* runtime/data: tokenizers, and pipelines that turn files into batches on a thread of their own. */
#ifndef UPT_DATA_H
#define UPT_DATA_H

#include "base/spec.h"

/* ---- tokenizers. The kinds are in kinds.h. */
typedef struct Tokenizer Tokenizer;
typedef struct TokenizerIds {
    int64_t size;                     /* entries */
    int64_t pad, unk, cls, sep, mask; /* -1: has none */
    int64_t end;                      /* what stands between documents; -1: nothing */
} TokenizerIds;
/* Loads spec->path (and spec->merges), or trains it from spec->from and saves it there
 * (atomically). `log` may be NULL; training reports to it. */
Tokenizer *tokenizer_open(const TokenizerSpec *spec, FILE *log, Err *e);
/* From a vocabulary's own bytes (as a .upx holds it), and back. */
Tokenizer *tokenizer_from_bytes(const TokenizerSpec *spec, const void *p, size_t n, Err *e);
void tokenizer_bytes(const Tokenizer *t, Buf *out);
void tokenizer_free(Tokenizer *t);
TokenizerIds tokenizer_ids(const Tokenizer *t);
uint64_t tokenizer_hash(const Tokenizer *t);
typedef struct Ids {
    int32_t *at;
    size_t n, cap;
} Ids; /* heap; ids_free */
void ids_push(Ids *ids, int32_t id);
void ids_free(Ids *ids);
/* Appends to `out`; no special tokens. */
void tokenizer_encode(const Tokenizer *t, const char *text, size_t n, Ids *out);
/* Readable text for ids; special tokens as they are written, [PAD] left out. */
void tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out);

/* The fields of a source that has them from the start (pictures), from little more than the head of
 * its first file. */
enum { SOURCE_FIELDS = 2 };
bool source_fields(const DataSpec *source, Field field[SOURCE_FIELDS], int *n, Err *e);

/* ---- readers: the batches of one entry. Batch number `b` of a run is a pure function of (files,
 * pipeline, seed, b), so that resuming at b costs nothing and gives the same batches. */
typedef struct Reader Reader;
typedef struct ReaderOptions {
    const Spec *spec;
    Tokenizer *const *tokenizer; /* by index in spec */
    int data;                    /* index in spec->data */
    int64_t batch;
    bool train; /* endless epochs, incomplete last batch dropped; else one pass, incomplete last
                   batch kept */
    bool every; /* each record gives a row, as in training: the next one's where it is broken */
    uint64_t seed;
    int64_t start;      /* first batch to deliver */
    const Field *field; /* what the program was compiled for; a difference is refused */
    int nfield;
    const Reader *share; /* NULL, or a reader whose encoded text is used if it is the same text */
} ReaderOptions;
Reader *reader_open(const ReaderOptions *o, Err *e);
int64_t reader_records(const Reader *r);   /* in one epoch */
const char *reader_files(const Reader *r); /* the pattern they are named by */
const char *reader_what(const Reader *r);  /* what they hold: "text" or "data" */
uint64_t reader_text(const Reader *r);     /* hash of the text, as encoded, or of the data */
uint64_t reader_stages(const Reader *r);   /* hash of what is made of it */
/* Copies the next batch, prepared ahead, into the caller's field buffers ([batch, dim...], rows
 * beyond *live zero). *live is the number of real rows; 0: the pass is over. False: a record cannot
 * be read. */
bool reader_next(Reader *r, char *const *field, int64_t *live, Err *e);
/* Appends a line for each broken record that was left out and not told yet. */
void reader_skips(Reader *r, Buf *out);
/* Goes on at batch `start`: an eval starts over without reading the text again. */
bool reader_seek(Reader *r, int64_t start, Err *e);
void reader_close(Reader *r);
#endif
