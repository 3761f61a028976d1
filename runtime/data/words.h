/* words: text cut into lower-case words and punctuation marks, as BERT's uncased tokenizer does
 * before it looks anything up (Devlin et al. 2018, BasicTokenizer). */
#ifndef UPT_WORDS_H
#define UPT_WORDS_H

#include "base/base.h"

enum {
    WORD_CHARS = 100
}; /* longer words are unknown words; `at` then holds only their beginning */
typedef struct Word {
    const char *at; /* UTF-8, valid during the call */
    size_t n;
    unsigned chars; /* at most WORD_CHARS + 1 */
    bool alone;     /* a punctuation mark or a Chinese character: never part of a longer word */
} Word;
typedef void WordFn(void *cx, const Word *w);
/* Calls `fn` for each word in order. Bytes that are not UTF-8 are passed over. Needs no memory,
 * whatever the length. */
void words_split(const char *text, size_t n, WordFn *fn, void *cx);

/* The place of the first byte that is not UTF-8, or n. */
size_t utf8_valid(const char *text, size_t n);
/* Decodes the character at text[i] (i < n). Its length; 0 where the bytes are not UTF-8, and then
 * no character. */
size_t utf8_char(const char *text, size_t n, size_t i, int32_t *c);
bool char_is_punct(int32_t c);
#endif
