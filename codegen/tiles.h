/* Micro-kernels of matrix products for the processor, and what packs their operands: see RtTiles.
 */
#ifndef UPT_TILES_H
#define UPT_TILES_H

#include "codegen/jit.h"

typedef struct TileForm { /* up to so many rows, so many vectors, numbers in a cell; */
    int rows, vectors, cell;
    int step;  /* there is a tile for every so many rows */
    bool bf16; /* of numbers rounded to that */
    int parts; /* of a number */
    bool amx;
} TileForm;
enum { TILE_SOURCES = TILE_VECTORS + 1 };
typedef struct TileSources { /* not to be moved once it is filled */
    TileForm largest;
    Source source[TILE_SOURCES];
    int n;
    TileForm form[TILE_VECTORS];
    char key[TILE_SOURCES][64];
} TileSources;

RtTiles tiles_shape(const Host *h, TileKind kind); /* all but the functions */
/* What has to be compiled for them. */
void tiles_sources(const Host *h, TileKind kind, TileSources *s);
/* For tiles of this form, the packing first; AMX's can be packed for wherever bf16 can. */
void tiles_sources_of(TileForm most, TileSources *s);
TileForm tile_form_amx(void);
TileForm tile_form_parts(void);            /* the same of f32 */
TileForm tile_form_pairs(void);            /* AVX512-BF16's, which processors with AMX have too */
TileForm tile_form_rounded(const Host *h); /* multiply-adds of f32 */
/* What came of it: where each symbol lies. */
void tiles_fill(const TileSources *s, void *const *at, RtTiles *t);
/* Both at once. */
bool tiles_make(Jit *j, TileKind kind, RtTiles *t, Err *e);

#endif
