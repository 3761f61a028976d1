/* merges: learning byte-pair merges (Sennrich et al. 2016, arXiv:1508.07909) from words and how
 * often they occur. What a piece is, and how it is written, is the caller's: here it is a number.
 */
#ifndef UPT_MERGES_H
#define UPT_MERGES_H

#include "base/base.h"

typedef struct MergeWord {
    const char *text;
    uint32_t text_n, n;
    bool alone; /* as the caller said when the word first came */
    uint64_t count;
    int32_t *piece; /* n of them: set by the caller before merges_learn */
} MergeWord;
typedef struct WordSlots { /* open addressing: index + 1, by hash */
    uint32_t *slot;
    size_t slots;
} WordSlots;
typedef struct WordCounts {
    Arena *arena;
    VEC(MergeWord) word; /* in the order in which they first came */
    WordSlots slots;
    bool full; /* more words than can be numbered: the rest was left out */
} WordCounts;
void counts_add(WordCounts *c, const char *text, size_t n, bool alone);

/* Again and again the most frequent pair of neighbouring pieces becomes one piece; of equally
 * frequent pairs the one with the smaller numbers. `merge` gives the number of the pair's piece;
 * -1: it is enough. The result depends on the counts alone, not on the order of words. */
typedef int32_t MergeFn(void *cx, int32_t a, int32_t b);
void merges_learn(WordCounts *c, MergeFn *merge, void *cx);

#endif
