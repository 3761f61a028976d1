/* Packing blocks with lifetimes into one arena: what the memory plan (passes/plan.c) rests on. */
#ifndef UPT_PASSES_PACK_H
#define UPT_PASSES_PACK_H

#include "passes/passes.h"

typedef struct Block {
    int64_t bytes, offset;
    Live live;
} Block;
int64_t align_up(int64_t n);
/* Sets all offsets; gives the bytes of the arena. */
int64_t pack_blocks(Arena *a, Block *b, int n);
/* No packing takes less: the most that is live at once. */
int64_t pack_least(Arena *a, const Block *b, int n);

#endif
