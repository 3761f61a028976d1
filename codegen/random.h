/* The counted random numbers of base/base.h as vector code, bit for bit (the normal distribution to
 * a few ulp). */
#ifndef UPT_CODEGEN_RANDOM_H
#define UPT_CODEGEN_RANDOM_H

#include "codegen/emit.h"
#include "ir/ir.h"

typedef struct RandomSource {
    Value key;   /* i64: random_key(seed, place) */
    Value step;  /* i64 */
    Value below; /* i64: n of randint and permutation */
    Value keys;  /* where the keys of Philox's rounds lie */
} RandomSource;
/* For a whole call of a kernel. */
RandomSource random_source(Emit *e, Value key, Value step, Value below);
/* Elements index, index + 1, ... of 64 when `index` (i64) is a multiple of 64: four vectors from
 * sixteen blocks. */
void random_aligned(Emit *e, Op op, const RandomSource *s, Value index, Value out[4]);
/* Elements at any indices (<16 x i64>): a block a lane. */
Value random_any(Emit *e, Op op, const RandomSource *s, Value index);

#endif
