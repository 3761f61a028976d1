/* wordpiece: a vocabulary of word pieces, and its training. A piece that continues a word is
 * written ##piece. */
#ifndef UPT_WORDPIECE_H
#define UPT_WORDPIECE_H

#include "runtime/data/data.h"

typedef struct WordPiece WordPiece;
/* From the text of a vocabulary, one piece a line; `path` is for messages. Checks every line. */
WordPiece *wordpiece_load(const char *path, const char *text, size_t n, Err *e);
void wordpiece_free(WordPiece *w);
int64_t wordpiece_size(const WordPiece *w);
int32_t wordpiece_find(const WordPiece *w, const char *piece); /* -1: absent */
/* Appends ids by greedy longest match, `unk` for words that cannot be spelled. */
void wordpiece_encode(const WordPiece *w, int32_t unk, const char *text, size_t n, Ids *out);
void wordpiece_decode(const WordPiece *w, int32_t pad, const int32_t *ids, size_t n, Buf *out);

/* Learns spec->size pieces from the files that spec->from names; the vocabulary's text is appended
 * to `out`. */
bool wordpiece_train(const TokenizerSpec *spec, FILE *log, Buf *out, Err *e);

#endif
