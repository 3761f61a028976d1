/* Pointwise operators on vectors of 16 lanes, in the form that registers use (mem_unpack: bf16 as
 * f32, bool as i1). */
#ifndef UPT_MAPOP_H
#define UPT_MAPOP_H

#include "codegen/emit.h"
#include "ir/ir.h"

/* `to` is the result's type, `from` the first input's (for where: the second's). */
Value map_emit(Emit *e, Op op, DType to, DType from, Value *in);
Value map_cast(Emit *e, DType to, DType from, Value x);

/* ---- reductions: one step of an accumulator, which starts as map_identity */
Value map_identity(Emit *e, Op op, DType t);
Value map_accumulate(Emit *e, Op op, DType t, Value acc, Value x);
/* argmax: whether candidate (y, j) beats (x, i): greater, or equal and earlier; the first NaN beats
 * all. */
Value map_beats(Emit *e, DType t, Value y, Value j, Value x, Value i);

#endif
