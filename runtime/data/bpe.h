/* Inside runtime/data: what byte-level BPE (Radford et al. 2019) does before and around merges.
 * Text is cut into words by GPT-2's pattern, and words are bytes. In its files a byte is written as
 * a character: those that can be seen as themselves, the other 68 as U+0100 and on. */
#ifndef UPT_BPE_H
#define UPT_BPE_H

#include "runtime/data/kinds.h"

enum { BYTES = 256, BYTE_CODES = 512 };
#define END_OF_TEXT "<|endoftext|>"
int32_t bpe_byte_code(int byte); /* the character that a byte is written as */
int32_t bpe_order(int id);       /* the byte of id 0 to 255 in a vocabulary that was learnt */

/* ---- bpe_split.c: the words of a text, valid UTF-8. Compiled once, shared by threads. */
typedef struct Splitter Splitter;
Splitter *splitter_new(Err *e);
void splitter_free(Splitter *s);
void splitter_each(const Splitter *s, const char *text, size_t n, TextFn *word, void *cx);

/* ---- bpe_train.c */
bool bpe_train(const TokenizerSpec *spec, FILE *log, Buf *text, Err *e);

#endif
