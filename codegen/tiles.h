/* Micro-kernels of matrix products for the processor, and what packs their operands: see RtTiles.
 */
#ifndef UPT_TILES_H
#define UPT_TILES_H

#include "codegen/jit.h"

typedef struct TileForm { /* up to so many rows, so many vectors, numbers in a cell */
    int rows, vectors, cell;
} TileForm;
enum { TILE_SOURCES = TILE_VECTORS + 1 };
typedef struct TileSources { /* not to be moved once it is filled */
    TileForm largest;
    Source source[TILE_SOURCES];
    int n; /* 0: the processor has none of this kind */
    TileForm form[TILE_VECTORS];
    char key[TILE_SOURCES][64];
} TileSources;

/* What has to be compiled for products of f32, or of bf16. */
void tiles_sources(const Host *h, bool bf16, TileSources *s);
/* What came of it: where each symbol lies. */
void tiles_fill(const TileSources *s, void *const *at, RtTiles *t);
/* Both at once. */
bool tiles_make(Jit *j, bool bf16, RtTiles *t, Err *e);

#endif
