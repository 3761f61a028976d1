/* Building LLVM IR for one kernel: types, vector arithmetic, loops, memory. A Value is an LLVM
 * value; those of `v_` are vectors of 16 f32 lanes, those of `i_` integers, scalar or vector.
 * Constants take the type they meet.
 *
 * Instructions stand in the order of the calls that make them, so of the arguments of one call at
 * most one makes any: C leaves open which comes first.
 *
 * No fast-math flag is ever set but `contract` on the sums and products of v_mad, so NaN and
 * infinities behave. */
#ifndef UPT_EMIT_H
#define UPT_EMIT_H

#include <llvm-c/Core.h>

#include "base/base.h"
#include "base/spec.h"
#include "codegen/host/host.h"

enum { LANES = 16 };
typedef LLVMValueRef Value;
typedef LLVMTypeRef LType;

typedef struct Emit {
    const Host *host;
    const char *name; /* of the module */
    LLVMContextRef cx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    Value fn;
    LLVMBasicBlockRef entry; /* holds the allocas */
    LType f32, f64, i1, i8, i16, i32, i64, ptr;
    LType vf32, vf64, vi1, vi8, vi16, vi32, vi64, vptr;
    bool avx512;      /* the processor is known to have AVX-512F */
    bool rounds_bf16; /* and to round to bf16 in one instruction */
    bool fma;         /* and multiplies and adds rounding once */
} Emit;
/* A module, as yet empty. */
Emit *emit_module(Arena *a, const Host *h, LLVMContextRef cx, const char *name);
/* The next function of it, which returns nothing, the builder at its start. */
void emit_function(Emit *e, const char *name, const LType *param, unsigned n);
/* A module with one empty kernel function `name(call, first, last)`. */
Emit *emit_new(Arena *a, const Host *h, LLVMContextRef cx, const char *name);
void emit_kernel(Emit *e, const char *name); /* that function, in a module */
void emit_free(Emit *e);                     /* the builder; module and context are the caller's */

/* ---- constants, in the type of `like` (scalar or vector) */
Value c_float(Value like, double x);
Value c_int(Value like, int64_t x);
Value c_i64(Emit *e, int64_t x);
Value c_lanes(Emit *e, LType vector); /* <0, 1, ..., 15> */

/* ---- floats */
Value v_add(Emit *e, Value x, Value y);
Value v_sub(Emit *e, Value x, Value y);
Value v_mul(Emit *e, Value x, Value y);
Value v_div(Emit *e, Value x, Value y);
Value v_neg(Emit *e, Value x);
Value v_mad(Emit *e, Value x, Value y, Value z); /* x y + z, fused where the processor can */
Value v_addc(Emit *e, Value x, double c);
Value v_mulc(Emit *e, Value x, double c);
Value v_poly(Emit *e, Value x, const double *c,
             int n); /* c[0] + c[1] x + ... c[n-1] x^(n-1), by Horner */
Value v_cmp(Emit *e, LLVMRealPredicate p, Value x, Value y);
Value v_cmpc(Emit *e, LLVMRealPredicate p, Value x, double c);
Value v_call(Emit *e, const char *intrinsic, Value x); /* llvm.fabs, llvm.sqrt, llvm.floor ... */
Value v_copysign(Emit *e, Value size, Value sign);
Value v_min(Emit *e, Value x, Value y); /* y where either is NaN */
Value v_max(Emit *e, Value x, Value y);
Value v_select(Emit *e, Value c, Value x, Value y);
Value v_is_nan(Emit *e, Value x);

/* ---- integers */
Value i_add(Emit *e, Value x, Value y);
Value i_sub(Emit *e, Value x, Value y);
Value i_mul(Emit *e, Value x, Value y);
Value i_and(Emit *e, Value x, Value y);
Value i_or(Emit *e, Value x, Value y);
Value i_xor(Emit *e, Value x, Value y);
Value i_shl(Emit *e, Value x, int n);
Value i_lshr(Emit *e, Value x, int n);
Value i_cmp(Emit *e, LLVMIntPredicate p, Value x, Value y);
Value i_min(Emit *e, Value x, Value y); /* signed */

/* ---- conversions */
Value e_bits(Emit *e, Value x, LType t);
Value e_splat(Emit *e, Value scalar);
Value e_lane(Emit *e, Value vector, int lane);
LType e_vector(LType scalar);

/* ---- control */
typedef struct Loop {
    LLVMBasicBlockRef head, exit;
    Value i, step;
} Loop;
Loop loop_begin(Emit *e, Value from, Value to, Value step); /* while (i < to) */
void loop_end(Emit *e, Loop *l);
typedef struct If {
    LLVMBasicBlockRef exit;
} If;
If if_begin(Emit *e, Value c);
void if_end(Emit *e, If *c);
Value e_alloca(Emit *e, LType t);
Value e_load(Emit *e, LType t, Value p);
void e_store(Emit *e, Value x, Value p);
Value e_at(Emit *e, LType t, Value p, Value i);        /* &((t *)p)[i] */
Value e_field(Emit *e, LType t, Value p, size_t byte); /* *(t *)((char *)p + byte) */
/* Calls a C function that the JIT knows by name. */
Value e_extern(Emit *e, const char *name, LType result, Value *arg, unsigned n);

Value e_intrinsic(Emit *e, const char *name, LType *over, unsigned nover, Value *arg, unsigned n);

/* ---- memory: 16 elements as they are kept, `mask` NULL for all */
Value mem_load(Emit *e, LType element, Value p, Value mask);                 /* consecutive */
Value mem_gather(Emit *e, LType element, Value p, Value stride, Value mask); /* p[lane * stride] */
void mem_store(Emit *e, Value x, Value p, Value mask);
void mem_scatter(Emit *e, Value x, Value p, Value stride, Value mask);
LType mem_type(const Emit *e, DType t);
Value mem_unpack(Emit *e, DType t,
                 Value stored); /* to the form that arithmetic uses: bf16 as f32, bool as i1 */
Value mem_pack(Emit *e, DType t, Value x); /* back; bf16 is rounded already (v_round_bf16) */
LType reg_type(const Emit *e, DType t);    /* that form, one lane */
Value v_round_bf16(Emit *e, Value x);
Value v_widen(Emit *e, DType t, Value stored); /* to f32, from a float or i8 */
Value v_sum(Emit *e, Value x);                 /* of the lanes: halves onto halves */
void e_prefetch_write(Emit *e, Value p);       /* it will be written */
void e_prefetch(Emit *e, Value p);             /* it will be read once, soon; any address does */

#endif
