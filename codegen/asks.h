/* What a tile of a matrix product asks memory for while it sums: where its results go, and what is
 * read next (see RtTile). */
#ifndef UPT_ASKS_H
#define UPT_ASKS_H

#include "codegen/emit.h"

typedef struct Asks {
    Value at, row, vector; /* at: an alloca; bytes from a row to the next, from a vector */
    Value next, next_row;
} Asks;

/* Of the RtTile that is the function's argument. */
Asks asks_begin(Emit *e);
/* For a row: all at once would hold up A and B, since a core waits for few lines of memory
 * together.
 */
void asks_row(Emit *e, const Asks *x, int vectors);

#endif
