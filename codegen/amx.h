/* Tiles of Intel's AMX: products of bf16 that sum in f32, 16 rows by 16 columns by 16 cells each.
 */
#ifndef UPT_AMX_H
#define UPT_AMX_H

#include "codegen/emit.h"

enum { AMX_CELLS = 16 };
/* RtTiles' begin and end. */
void amx_emit_begin(Emit *e, const char *name);
void amx_emit_end(Emit *e, const char *name);
typedef struct AmxShape { /* 16 or 32 rows, so many vectors; of 1 part, or 3 */
    int rows, vectors, parts;
} AmxShape;
/* The RtTileFn `name`, whose A is by rows. */
void amx_emit(Emit *e, const char *name, const AmxShape *shape);
/* As many dot products, and nothing else, as 16 numbers have in `last - first` instructions of
 * AVX512-BF16; of 64 vectors of `numbers`, for of zeros they take less power, and then less time.
 */
void amx_emit_peak(Emit *e, Value numbers, Value first, Value last);

#endif
