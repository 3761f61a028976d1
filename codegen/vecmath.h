/* Elementary functions on vectors of 16 f32 lanes, as code in the kernel: no calls, no branches but
 * for the rare huge arguments of sin and cos. Within 4 ulp of the true value over all of f32,
 * denormals, infinities and NaN included; tests/unit/vecmath_test.c measures each. */
#ifndef UPT_VECMATH_H
#define UPT_VECMATH_H

#include "codegen/emit.h"
#include "ir/ir.h"

typedef Value VecMathFn(Emit *e, Value x);
extern VecMathFn
    *const vecmath_table[OP_COUNT]; /* exp log log1p expm1 sqrt rsqrt tanh sigmoid erf sin cos */
Value vecmath_pow(Emit *e, Value x, Value y);
/* x / y where many x share a y: what y alone says is left for LLVM to move out of the loop. Rounded
 * as a division is; a result below the least normal number may be one step off. */
Value vecmath_divide(Emit *e, Value x, Value y);
/* Sine and cosine of 2 pi t for t in [0, 1): what the normal distribution needs. */
void vecmath_turn(Emit *e, Value t, Value *sine, Value *cosine);
Value vecmath_log(Emit *e, Value x);

/* The same functions, and pow, for 16 doubles lane by lane through the C library (kept types only;
 * no speed meant). */
Value vecmath_lanes(Emit *e, Op op, Value x, Value y);
typedef struct ExternSymbol {
    const char *name;
    void *address;
} ExternSymbol;
extern const ExternSymbol vecmath_symbols[];
extern const size_t vecmath_symbol_count;

#endif
