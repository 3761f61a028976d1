/* Inside runtime/data: the kinds of tokenizers, a file each; tokenizer.c has the table of them and
 * what they share: files, training what is not there, hashes. */
#ifndef UPT_KINDS_H
#define UPT_KINDS_H

#include "runtime/data/internal.h"

enum { VOCABULARY_FILES = 2 };
typedef struct Kind {
    const char *name;
    bool wants_utf8;
    bool lines; /* of a vocabulary: the last is given an end if it has none */
    int files;  /* of a vocabulary: its text is theirs in order, with a zero byte between */
    bool (*train)(const TokenizerSpec *spec, FILE *log, Buf *text, Err *e);
    /* Sets `own` and `ids`; checks all of the text. */
    bool (*load)(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n, Err *e);
    void (*encode)(const Tokenizer *t, const char *text, size_t n, Ids *out);
    void (*decode)(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out);
    int32_t (*characters)(const Tokenizer *t, int32_t id); /* that begin in it; NULL: not known */
    void (*free)(void *own);                               /* NULL too */
} Kind;

struct Tokenizer {
    const Kind *kind;
    TokenizerIds ids;
    uint64_t hash;
    char *text; /* of the vocabulary */
    size_t n;
    void *own; /* the kind's */
};

extern const Kind wordpiece_kind, bytes_kind, characters_kind, bpe_kind;

/* How messages call a vocabulary that may have no file. */
const char *vocabulary_name(const TokenizerSpec *spec);
/* Whether a vocabulary of `size` entries is what the program asks for. */
bool vocabulary_fits(const TokenizerSpec *spec, int64_t size, Err *e);
void ids_reserve(Ids *ids, size_t more);
/* Whole characters as they are; a byte that is part of none becomes U+FFFD, so that the result is
 * text. */
void put_text(const char *bytes, size_t n, Buf *out);
/* Bytes that begin a character. */
int32_t characters_begun(const char *bytes, size_t n);
/* The text to learn from; says so. NULL: there is none. */
Source *training_text(const TokenizerSpec *spec, Unit unit, FILE *log, Err *e);
/* Calls `work` for each of its lines or stretches. */
typedef void TextFn(void *cx, const char *text, size_t n);
bool each_text(Source *s, TextFn *work, void *cx, Err *e);

#endif
