/* Loops that show what the processor can do: multiply-adds and dot products of bf16, as products
 * are made of them, that touch no memory, and streams through memory whose stores are plain or go
 * past the caches. They are made for the host as kernels are, so what they reach a kernel could
 * reach. */
#include "codegen/probe.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

#include "codegen/amx.h"
#include "codegen/emit.h"

/* Sums side by side hide the latency of one; the narrower registers hold fewer. */
enum { SUMS_WIDE = 12, SUMS = 6 };

struct Probe {
    Host host;
    LLVMOrcLLJITRef lljit;
};

static bool take_error(LLVMErrorRef error, Err *e) {
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    err_set(e, "LLVM: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

/* ---- the loops: fn(pointers, first, last) over vectors of 16 floats */
static Value buffer(Emit *e, int number) {
    return e_field(e, e->ptr, LLVMGetParam(e->fn, 0), (size_t)number * sizeof(char *));
}

typedef Value Term(Emit *e, Value sum, Value x, Value y);

static Value fma_term(Emit *e, Value sum, Value x, Value y) {
    return v_mad(e, sum, x, y);
}

static Value dot_term(Emit *e, Value sum, Value x, Value y) {
    LType pairs = LLVMVectorType(LLVMBFloatTypeInContext(e->cx), 2 * LANES);
    Value arg[] = {sum, e_bits(e, x, pairs), e_bits(e, y, pairs)};
    return e_intrinsic(e, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, arg, 3);
}

/* n of them, each so many times for each vector. */
static void emit_sums(Emit *e, Term *term, int n, int times) {
    Value c = buffer(e, 0), a = buffer(e, 1), sum[SUMS_WIDE];
    Value x = e_load(e, e->vf32, a), y = e_load(e, e->vf32, e_at(e, e->vf32, a, c_i64(e, 1)));
    for (int i = 0; i < n; i++) {
        sum[i] = e_alloca(e, e->vf32);
        e_store(e, x, sum[i]);
    }
    Loop l = loop_begin(e, LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2), c_i64(e, n));
    for (int i = 0; i < times * n; i++) {
        Value *to = &sum[i % n];
        e_store(e, term(e, e_load(e, e->vf32, *to), x, y), *to);
    }
    loop_end(e, &l);
    for (int i = 0; i < n; i++) {
        Value at = e_at(e, e->vf32, c, c_i64(e, i));
        e_store(e, e_load(e, e->vf32, sum[i]), at);
    }
}

static void past_caches(Emit *e, Value store) {
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, 0));
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->cx, &one, 1);
    unsigned kind = LLVMGetMDKindIDInContext(e->cx, "nontemporal", (unsigned)strlen("nontemporal"));
    LLVMSetMetadata(store, kind, LLVMMetadataAsValue(e->cx, node));
}

/* c = a, or with two inputs c = a + 3 b. */
static void emit_stream(Emit *e, bool triad, bool streaming) {
    Value c = buffer(e, 0), a = buffer(e, 1), b = triad ? buffer(e, 2) : NULL;
    Loop l = loop_begin(e, LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2), c_i64(e, 1));
    Value x = e_load(e, e->vf32, e_at(e, e->vf32, a, l.i));
    if (triad) {
        Value y = e_load(e, e->vf32, e_at(e, e->vf32, b, l.i));
        x = v_mad(e, y, c_float(y, 3), x);
    }
    Value store = LLVMBuildStore(e->b, x, e_at(e, e->vf32, c, l.i));
    LLVMSetAlignment(store, sizeof(float) * LANES);
    if (streaming) past_caches(e, store);
    loop_end(e, &l);
}

static void emit_probe(Emit *e, RtProbe which, const Host *h) {
    int sums = strstr(h->features, "+avx512f") ? SUMS_WIDE : SUMS;
    if (which == RT_PROBE_dot_bf16 && host_has_amx(h))
        amx_emit_peak(e, buffer(e, 1), LLVMGetParam(e->fn, 1), LLVMGetParam(e->fn, 2));
    else if (which == RT_PROBE_dot_bf16 && host_has_pairs(h))
        emit_sums(e, dot_term, sums, 1);
    else if (which == RT_PROBE_dot_bf16)
        emit_sums(e, fma_term, sums, 2);
    else if (which == RT_PROBE_fma)
        emit_sums(e, fma_term, sums, 1);
    else
        emit_stream(e, which == RT_PROBE_triad || which == RT_PROBE_triad_streaming,
                    which == RT_PROBE_copy_streaming || which == RT_PROBE_triad_streaming);
    LLVMBuildRetVoid(e->b);
}

/* ---- compiling */
static bool add_module(Probe *p, LLVMOrcThreadSafeContextRef cx, LLVMModuleRef m, Err *e) {
    LLVMTargetMachineRef tm = host_machine(&p->host, e);
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    bool ok = tm && take_error(LLVMRunPasses(m, "sroa", tm, o), e);
    LLVMDisposePassBuilderOptions(o);
    if (tm) LLVMDisposeTargetMachine(tm);
    if (!ok) {
        LLVMDisposeModule(m);
        return false;
    }
    LLVMOrcThreadSafeModuleRef safe = LLVMOrcCreateNewThreadSafeModule(m, cx);
    return take_error(
        LLVMOrcLLJITAddLLVMIRModule(p->lljit, LLVMOrcLLJITGetMainJITDylib(p->lljit), safe), e);
}

RtProbeFn *probe_loop(Probe *p, RtProbe which, Err *e) {
    static const char *const names[RT_PROBES] = {
        "fma", "copy", "copy_streaming", "triad", "triad_streaming", "dot_bf16"};
    const char *name = names[which];
    LLVMOrcThreadSafeContextRef cx = LLVMOrcCreateNewThreadSafeContext();
    Arena *a = arena_new();
    Emit *em = emit_new(a, &p->host, LLVMOrcThreadSafeContextGetContext(cx), name);
    emit_probe(em, which, &p->host);
    LLVMModuleRef m = em->module;
    emit_free(em);
    arena_free(a);
    LLVMOrcExecutorAddress at = 0;
    bool ok = add_module(p, cx, m, e) && take_error(LLVMOrcLLJITLookup(p->lljit, &at, name), e);
    LLVMOrcDisposeThreadSafeContext(cx);
    return ok ? (RtProbeFn *)(uintptr_t)at : NULL;
}

Probe *probe_new(Arena *a, Err *e) {
    Probe *p = NEW(a, Probe);
    if (host_init(&p->host, NULL, e) && take_error(LLVMOrcCreateLLJIT(&p->lljit, NULL), e))
        return p;
    probe_free(p);
    return NULL;
}

void probe_free(Probe *p) {
    if (!p) return;
    if (p->lljit) LLVMConsumeError(LLVMOrcDisposeLLJIT(p->lljit));
    host_free(&p->host);
}

const char *probe_cpu(const Probe *p) {
    return p->host.cpu;
}

const char *probe_features(const Probe *p) {
    return p->host.features;
}
