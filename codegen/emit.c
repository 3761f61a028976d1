/* Thin layer over LLVM-C's builder: see emit.h. */
#include "codegen/emit.h"

#include <string.h>

/* ---- a function to write into */
static void name_types(Emit *e) {
    LLVMContextRef cx = e->cx;
    e->f32 = LLVMFloatTypeInContext(cx);
    e->f64 = LLVMDoubleTypeInContext(cx);
    e->i1 = LLVMInt1TypeInContext(cx);
    e->i8 = LLVMInt8TypeInContext(cx);
    e->i16 = LLVMInt16TypeInContext(cx);
    e->i32 = LLVMInt32TypeInContext(cx);
    e->i64 = LLVMInt64TypeInContext(cx);
    e->ptr = LLVMPointerTypeInContext(cx, 0);
    e->vf32 = e_vector(e->f32);
    e->vf64 = e_vector(e->f64);
    e->vi1 = e_vector(e->i1);
    e->vi8 = e_vector(e->i8);
    e->vi16 = e_vector(e->i16);
    e->vi32 = e_vector(e->i32);
    e->vi64 = e_vector(e->i64);
    e->vptr = e_vector(e->ptr);
}

static void add_attribute(Emit *e, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(e->cx, key, (unsigned)strlen(key), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

Emit *emit_module(Arena *a, const Host *h, LLVMContextRef cx, const char *name) {
    Emit *e = NEW(a, Emit);
    e->host = h;
    e->name = name;
    e->cx = cx;
    e->avx512 = strstr(h->features, "+avx512f") != NULL;
    e->rounds_bf16 = strstr(h->features, "+avx512bf16") != NULL;
    e->fma = strstr(h->features, "+fma") || !strncmp(h->triple, "aarch64", 7);
    e->module = LLVMModuleCreateWithNameInContext(name, cx);
    LLVMSetTarget(e->module, h->triple);
    LLVMSetDataLayout(e->module, h->layout);
    e->b = LLVMCreateBuilderInContext(cx);
    name_types(e);
    return e;
}

void emit_function(Emit *e, const char *name, const LType *param, unsigned n) {
    LType type = LLVMFunctionType(LLVMVoidTypeInContext(e->cx), (LType *)param, n, 0);
    e->fn = LLVMAddFunction(e->module, name, type);
    add_attribute(e, "target-cpu", e->host->cpu);
    add_attribute(e, "target-features", e->host->features);
    add_attribute(e, "prefer-vector-width", "512");
    e->entry = LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e->cx, e->fn, "start");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildBr(e->b, start);
    LLVMPositionBuilderAtEnd(e->b, start);
}

void emit_kernel(Emit *e, const char *name) {
    emit_function(e, name, (LType[]){e->ptr, e->i64, e->i64}, 3);
}

Emit *emit_new(Arena *a, const Host *h, LLVMContextRef cx, const char *name) {
    Emit *e = emit_module(a, h, cx, name);
    emit_kernel(e, name);
    return e;
}

void emit_free(Emit *e) {
    LLVMDisposeBuilder(e->b);
}

/* ---- constants */
static bool is_vector(LType t) {
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind;
}
LType e_vector(LType scalar) {
    return LLVMVectorType(scalar, LANES);
}

static Value splat_const(LType t, Value c) {
    if (!is_vector(t)) return c;
    Value lane[LANES];
    unsigned n = LLVMGetVectorSize(t); /* of half the lanes where a pair is one */
    for (unsigned i = 0; i < n; i++) lane[i] = c;
    return LLVMConstVector(lane, n);
}
static LType scalar_type(LType t) {
    return is_vector(t) ? LLVMGetElementType(t) : t;
}

Value c_float(Value like, double x) {
    LType t = LLVMTypeOf(like);
    return splat_const(t, LLVMConstReal(scalar_type(t), x));
}
Value c_int(Value like, int64_t x) {
    LType t = LLVMTypeOf(like);
    return splat_const(t, LLVMConstInt(scalar_type(t), (unsigned long long)x, 1));
}
Value c_i64(Emit *e, int64_t x) {
    return LLVMConstInt(e->i64, (unsigned long long)x, 1);
}
Value c_lanes(Emit *e, LType vector) {
    (void)e;
    Value lane[LANES];
    for (unsigned i = 0; i < LANES; i++) lane[i] = LLVMConstInt(LLVMGetElementType(vector), i, 0);
    return LLVMConstVector(lane, LANES);
}

/* ---- floats */
Value e_intrinsic(Emit *e, const char *name, LType *over, unsigned nover, Value *arg, unsigned n) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Value f = LLVMGetIntrinsicDeclaration(e->module, id, over, nover);
    return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->cx, id, over, nover), f, arg, n, "");
}

Value v_add(Emit *e, Value x, Value y) {
    return LLVMBuildFAdd(e->b, x, y, "");
}
Value v_sub(Emit *e, Value x, Value y) {
    return LLVMBuildFSub(e->b, x, y, "");
}
Value v_mul(Emit *e, Value x, Value y) {
    return LLVMBuildFMul(e->b, x, y, "");
}
Value v_div(Emit *e, Value x, Value y) {
    return LLVMBuildFDiv(e->b, x, y, "");
}
Value v_neg(Emit *e, Value x) {
    return LLVMBuildFNeg(e->b, x, "");
}
Value v_mad(Emit *e, Value x, Value y, Value z) {
    LType t = LLVMTypeOf(x);
    return e_intrinsic(e, "llvm.fmuladd", &t, 1, (Value[]){x, y, z}, 3);
}
Value v_addc(Emit *e, Value x, double c) {
    return v_add(e, x, c_float(x, c));
}
Value v_mulc(Emit *e, Value x, double c) {
    return v_mul(e, x, c_float(x, c));
}
Value v_poly(Emit *e, Value x, const double *c, int n) {
    Value p = c_float(x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = v_mad(e, p, x, c_float(x, c[i]));
    return p;
}
Value v_cmp(Emit *e, LLVMRealPredicate p, Value x, Value y) {
    return LLVMBuildFCmp(e->b, p, x, y, "");
}
Value v_cmpc(Emit *e, LLVMRealPredicate p, Value x, double c) {
    return v_cmp(e, p, x, c_float(x, c));
}
Value v_call(Emit *e, const char *intrinsic, Value x) {
    LType t = LLVMTypeOf(x);
    return e_intrinsic(e, intrinsic, &t, 1, &x, 1);
}
Value v_copysign(Emit *e, Value size, Value sign) {
    LType t = LLVMTypeOf(size);
    return e_intrinsic(e, "llvm.copysign", &t, 1, (Value[]){size, sign}, 2);
}
Value v_min(Emit *e, Value x, Value y) {
    return v_select(e, v_cmp(e, LLVMRealOLT, x, y), x, y);
}
Value v_max(Emit *e, Value x, Value y) {
    return v_select(e, v_cmp(e, LLVMRealOGT, x, y), x, y);
}
Value v_select(Emit *e, Value c, Value x, Value y) {
    return LLVMBuildSelect(e->b, c, x, y, "");
}
Value v_is_nan(Emit *e, Value x) {
    return v_cmp(e, LLVMRealUNO, x, x);
}

/* ---- integers */
Value i_add(Emit *e, Value x, Value y) {
    return LLVMBuildAdd(e->b, x, y, "");
}
Value i_sub(Emit *e, Value x, Value y) {
    return LLVMBuildSub(e->b, x, y, "");
}
Value i_mul(Emit *e, Value x, Value y) {
    return LLVMBuildMul(e->b, x, y, "");
}
Value i_and(Emit *e, Value x, Value y) {
    return LLVMBuildAnd(e->b, x, y, "");
}
Value i_or(Emit *e, Value x, Value y) {
    return LLVMBuildOr(e->b, x, y, "");
}
Value i_xor(Emit *e, Value x, Value y) {
    return LLVMBuildXor(e->b, x, y, "");
}
Value i_shl(Emit *e, Value x, int n) {
    return LLVMBuildShl(e->b, x, c_int(x, n), "");
}
Value i_lshr(Emit *e, Value x, int n) {
    return LLVMBuildLShr(e->b, x, c_int(x, n), "");
}
Value i_cmp(Emit *e, LLVMIntPredicate p, Value x, Value y) {
    return LLVMBuildICmp(e->b, p, x, y, "");
}
Value i_min(Emit *e, Value x, Value y) {
    return v_select(e, i_cmp(e, LLVMIntSLT, x, y), x, y);
}

/* ---- conversions */
Value e_bits(Emit *e, Value x, LType t) {
    return LLVMBuildBitCast(e->b, x, t, "");
}
Value e_splat(Emit *e, Value scalar) {
    LType t = e_vector(LLVMTypeOf(scalar));
    Value one =
        LLVMBuildInsertElement(e->b, LLVMGetPoison(t), scalar, LLVMConstInt(e->i32, 0, 0), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(t), LLVMConstNull(e->vi32), "");
}
Value e_lane(Emit *e, Value vector, int lane) {
    return LLVMBuildExtractElement(e->b, vector, LLVMConstInt(e->i32, (unsigned)lane, 0), "");
}

/* ---- control */
Loop loop_begin(Emit *e, Value from, Value to, Value step) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    Loop l = {.head = LLVMAppendBasicBlockInContext(e->cx, e->fn, "head"), .step = step};
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->cx, e->fn, "body");
    l.exit = LLVMAppendBasicBlockInContext(e->cx, e->fn, "exit");
    LLVMBuildBr(e->b, l.head);
    LLVMPositionBuilderAtEnd(e->b, l.head);
    l.i = LLVMBuildPhi(e->b, LLVMTypeOf(from), "i");
    LLVMAddIncoming(l.i, &from, &before, 1);
    LLVMBuildCondBr(e->b, i_cmp(e, LLVMIntSLT, l.i, to), body, l.exit);
    LLVMPositionBuilderAtEnd(e->b, body);
    return l;
}
void loop_end(Emit *e, Loop *l) {
    Value next = LLVMBuildNSWAdd(e->b, l->i, l->step, "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMAddIncoming(l->i, &next, &latch, 1);
    LLVMBuildBr(e->b, l->head);
    LLVMMoveBasicBlockAfter(l->exit, latch);
    LLVMPositionBuilderAtEnd(e->b, l->exit);
}
If if_begin(Emit *e, Value c) {
    LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->cx, e->fn, "then");
    If f = {LLVMAppendBasicBlockInContext(e->cx, e->fn, "exit")};
    LLVMBuildCondBr(e->b, c, then, f.exit);
    LLVMPositionBuilderAtEnd(e->b, then);
    return f;
}
void if_end(Emit *e, If *c) {
    LLVMBuildBr(e->b, c->exit);
    LLVMMoveBasicBlockAfter(c->exit, LLVMGetInsertBlock(e->b));
    LLVMPositionBuilderAtEnd(e->b, c->exit);
}
Value e_alloca(Emit *e, LType t) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilderBefore(e->b, LLVMGetBasicBlockTerminator(e->entry));
    Value p = LLVMBuildAlloca(e->b, t, "");
    LLVMPositionBuilderAtEnd(e->b, here);
    return p;
}
Value e_load(Emit *e, LType t, Value p) {
    return LLVMBuildLoad2(e->b, t, p, "");
}
void e_store(Emit *e, Value x, Value p) {
    LLVMBuildStore(e->b, x, p);
}
Value e_at(Emit *e, LType t, Value p, Value i) {
    return LLVMBuildInBoundsGEP2(e->b, t, p, &i, 1, "");
}
Value e_field(Emit *e, LType t, Value p, size_t byte) {
    return e_load(e, t, e_at(e, e->i8, p, c_i64(e, (int64_t)byte)));
}
Value e_extern(Emit *e, const char *name, LType result, Value *arg, unsigned n) {
    LType type[8];
    CHECK(n <= 8);
    for (unsigned i = 0; i < n; i++) type[i] = LLVMTypeOf(arg[i]);
    LType ft = LLVMFunctionType(result, type, n, 0);
    Value f = LLVMGetNamedFunction(e->module, name);
    if (!f) f = LLVMAddFunction(e->module, name, ft);
    return LLVMBuildCall2(e->b, ft, f, arg, n, "");
}

/* ---- memory */
static unsigned element_align(LType element) {
    switch (LLVMGetTypeKind(element)) {
    case LLVMFloatTypeKind: return 4;
    case LLVMDoubleTypeKind: return 8;
    default: return LLVMGetIntTypeWidth(element) / 8;
    }
}
static Value all_lanes(Emit *e) {
    return LLVMConstAllOnes(e->vi1);
}
static Value align_const(Emit *e, LType element) {
    return LLVMConstInt(e->i32, element_align(element), 0);
}

Value mem_load(Emit *e, LType element, Value p, Value mask) {
    LType t = e_vector(element);
    if (mask) {
        Value arg[] = {p, align_const(e, element), mask, LLVMConstNull(t)};
        return e_intrinsic(e, "llvm.masked.load", (LType[]){t, e->ptr}, 2, arg, 4);
    }
    Value v = e_load(e, t, p);
    LLVMSetAlignment(v, element_align(element));
    return v;
}
static Value lane_pointers(Emit *e, LType element, Value p, Value stride) {
    Value index = i_mul(e, c_lanes(e, e->vi64), e_splat(e, stride));
    return LLVMBuildGEP2(e->b, element, p, &index, 1, "");
}
Value mem_gather(Emit *e, LType element, Value p, Value stride, Value mask) {
    LType t = e_vector(element);
    Value arg[] = {lane_pointers(e, element, p, stride), align_const(e, element),
                   mask ? mask : all_lanes(e), LLVMConstNull(t)};
    return e_intrinsic(e, "llvm.masked.gather", (LType[]){t, e->vptr}, 2, arg, 4);
}
void mem_store(Emit *e, Value x, Value p, Value mask) {
    LType t = LLVMTypeOf(x), element = LLVMGetElementType(t);
    if (mask) {
        Value arg[] = {x, p, align_const(e, element), mask};
        e_intrinsic(e, "llvm.masked.store", (LType[]){t, e->ptr}, 2, arg, 4);
        return;
    }
    LLVMSetAlignment(LLVMBuildStore(e->b, x, p), element_align(element));
}
void mem_scatter(Emit *e, Value x, Value p, Value stride, Value mask) {
    LType t = LLVMTypeOf(x), element = LLVMGetElementType(t);
    Value arg[] = {x, lane_pointers(e, element, p, stride), align_const(e, element),
                   mask ? mask : all_lanes(e)};
    e_intrinsic(e, "llvm.masked.scatter", (LType[]){t, e->vptr}, 2, arg, 4);
}

LType mem_type(const Emit *e, DType t) {
    switch (t) {
    case DT_f32: return e->f32;
    case DT_f64: return e->f64;
    case DT_bf16: return e->i16;
    case DT_i32: return e->i32;
    case DT_i64: return e->i64;
    default: return e->i8;
    }
}
LType reg_type(const Emit *e, DType t) {
    return t == DT_bf16 ? e->f32 : t == DT_bool ? e->i1 : mem_type(e, t);
}

Value mem_unpack(Emit *e, DType t, Value stored) {
    if (t == DT_bool) return i_cmp(e, LLVMIntNE, stored, c_int(stored, 0));
    if (t != DT_bf16) return stored;
    return e_bits(e, i_shl(e, LLVMBuildZExt(e->b, stored, e->vi32, ""), 16), e->vf32);
}
/* Round to nearest even in the upper half of the bits; a NaN keeps a quiet bit, so that it stays
 * one. The instruction that does all of it takes what is below the normal numbers for 0. */
Value v_round_bf16(Emit *e, Value x) {
    if (e->rounds_bf16) {
        LType half = e_vector(LLVMBFloatTypeInContext(e->cx));
        return mem_unpack(e, DT_bf16, e_bits(e, LLVMBuildFPTrunc(e->b, x, half, ""), e->vi16));
    }
    Value bits = e_bits(e, x, e->vi32);
    Value odd = i_and(e, i_lshr(e, bits, 16), c_int(bits, 1));
    Value rounded = i_add(e, bits, i_add(e, odd, c_int(bits, 0x7fff)));
    Value nan = i_or(e, bits, c_int(bits, 0x400000));
    Value upper = v_select(e, v_is_nan(e, x), nan, rounded);
    return e_bits(e, i_and(e, upper, c_int(bits, (int64_t)0xffff0000)), e->vf32);
}
Value mem_pack(Emit *e, DType t, Value x) {
    if (t == DT_bool) return LLVMBuildZExt(e->b, x, e->vi8, "");
    if (t != DT_bf16) return x;
    Value upper = i_lshr(e, e_bits(e, x, e->vi32), 16); /* it is rounded */
    return LLVMBuildTrunc(e->b, upper, e->vi16, "");
}
Value v_widen(Emit *e, DType t, Value stored) {
    if (dtype_is_float(t)) return mem_unpack(e, t, stored);
    return LLVMBuildSIToFP(e->b, LLVMBuildSExt(e->b, stored, e->vi32, ""), e->vf32, "");
}
Value v_sum(Emit *e, Value x) {
    for (unsigned half = LANES / 2; half; half /= 2) {
        Value lane[LANES / 2], from[LANES / 2];
        for (unsigned i = 0; i < half; i++) {
            lane[i] = LLVMConstInt(e->i32, i, 0);
            from[i] = LLVMConstInt(e->i32, i + half, 0);
        }
        Value none = LLVMGetPoison(LLVMTypeOf(x));
        Value low = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(lane, half), "");
        Value high = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(from, half), "");
        x = v_add(e, low, high);
    }
    return e_lane(e, x, 0);
}
void e_prefetch_write(Emit *e, Value p) {
    Value arg[] = {p, LLVMConstInt(e->i32, 1, 0), LLVMConstInt(e->i32, 3, 0),
                   LLVMConstInt(e->i32, 1, 0)};
    e_intrinsic(e, "llvm.prefetch", &e->ptr, 1, arg, 4);
}
void e_prefetch(Emit *e, Value p) {
    Value arg[] = {p, LLVMConstInt(e->i32, 0, 0), LLVMConstInt(e->i32, 2, 0),
                   LLVMConstInt(e->i32, 1, 0)};
    e_intrinsic(e, "llvm.prefetch", &e->ptr, 1, arg, 4);
}
