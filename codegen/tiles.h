/* Micro-kernels of matrix products for the processor, and what packs their operands: see RtTiles.
 */
#ifndef UPT_TILES_H
#define UPT_TILES_H

#include "codegen/jit.h"

/* Compiles, or finds in the cache, all that `t` holds. */
bool tiles_make(Jit *j, RtTiles *t, Err *e);

#endif
