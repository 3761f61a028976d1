/* Inside codegen_test.c: a case is a graph whose inputs are persistent tensors; it is interpreted,
 * compiled for 1 and 2 threads, and all results have to agree. What it compiles is noted in
 * `covered`. */
#ifndef UPT_CODEGEN_CASE_H
#define UPT_CODEGEN_CASE_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/runtime.h"
#include "tests/unit/check.h"

static Codegen *codegen;
static Pool *pool[2];
static bool covered[OP_COUNT];

/* ---- a graph whose inputs are persistent tensors */
typedef struct Case {
    Arena *a;
    Program *p;
    Graph *g;
    char name[200];
    double tolerance; /* relative, on f32; a unit in the last place is 6e-8 to 1.2e-7 */
    double bf16;      /* the same on bf16 */
    bool of_largest;  /* tolerances are relative to the largest element: terms cancel */
    bool positive;    /* inputs above zero */
    int64_t below;    /* integers lie in [0, below); 0: small ones of both signs */
    bool edges;       /* i32 at the ends of its type and near zero; i64 where doubles hold it */
} Case;

static Case case_new(const char *name) {
    Case c = {.a = arena_new(), .tolerance = 5e-7, .bf16 = 0x1p-7};
    c.p = program_new(c.a, diag_new(c.a));
    c.g = graph_new(c.a, "test");
    snprintf(c.name, sizeof c.name, "%s", name);
    return c;
}

static Ref input(Case *c, DType t, int rank, const int64_t *dim) {
    Tensor x = {.name = arena_printf(c->a, "x%zu", c->p->ntensor),
                .kind = TENSOR_state,
                .type = type_make(t, rank, dim),
                .like = -1};
    int i = program_add_tensor(c->p, &x);
    return graph_add(c->g, OP_state, &(Attr){.tensor = i}, NULL, 0, &x.type, (Span){0});
}
#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]) {                                     \
        __VA_ARGS__                                                                                \
    }

static void output(Case *c, Ref r) {
    graph_out(c->g, OUT_value, NULL, 0, r, (Span){0});
}

/* ---- values */
static double value_at(const Case *c, DType t, size_t tensor, int64_t i) {
    uint32_t bits = random_bits(77, tensor, (uint64_t)i);
    if (t == DT_bool) return bits & 1;
    static const double narrow[] = {INT32_MIN, INT32_MIN + 1, INT32_MAX, -7, -1, 0, 1, 3};
    static const double wide[] = {-0x1p31, 0x1p31, 0x1p26 + 1, -7, -1, 0, 1, -0x1p20};
    if (c->edges && t == DT_i32) return narrow[bits % 8];
    if (c->edges && t == DT_i64) return wide[bits % 8];
    if (!dtype_is_float(t))
        return c->below     ? (double)(bits % (uint64_t)c->below)
               : t == DT_u8 ? bits % 256
                            : (double)(bits % 21) - 10;
    static const double special[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 1e-40};
    if (!c->positive && bits % 37 == 0) return special[bits / 37 % 8];
    double x = (double)random_uniform(78, tensor, (uint64_t)i) * 6 - 3;
    return c->positive ? fabs(x) + 0.01 : x;
}

static float round_to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if (x != x) return x;
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &u, 4);
    return x;
}

static double rounded(DType t, double x) {
    return t == DT_f64 || !dtype_is_float(t) ? x
           : t == DT_f32                     ? (double)(float)x
                                             : (double)round_to_bf16((float)x);
}

static void write_element(char *at, DType t, int64_t i, double x) {
    float f = (float)x;
    switch (t) {
    case DT_f32: ((float *)(void *)at)[i] = f; return;
    case DT_f64: ((double *)(void *)at)[i] = x; return;
    case DT_bf16: memcpy(at + 2 * i, (char *)&f + 2, 2); return;
    case DT_i32: ((int32_t *)(void *)at)[i] = (int32_t)x; return;
    case DT_i64: ((int64_t *)(void *)at)[i] = (int64_t)x; return;
    case DT_i8: ((int8_t *)at)[i] = (int8_t)x; return;
    default: ((uint8_t *)at)[i] = (uint8_t)x;
    }
}
static double read_element(const char *at, DType t, int64_t i) {
    float f = 0;
    switch (t) {
    case DT_f32: return (double)((const float *)(const void *)at)[i];
    case DT_f64: return ((const double *)(const void *)at)[i];
    case DT_bf16: memcpy((char *)&f + 2, at + 2 * i, 2); return (double)f;
    case DT_i32: return ((const int32_t *)(const void *)at)[i];
    case DT_i64: return (double)((const int64_t *)(const void *)at)[i];
    case DT_i8: return ((const int8_t *)at)[i];
    default: return ((const uint8_t *)at)[i];
    }
}

/* ---- running both */
enum { SEED = 5, STEP = 3 };

static Array *interpret(Case *c, Err *e) {
    Array *state = NEW_N(c->a, Array, c->p->ntensor);
    for (size_t k = 0; k < c->p->ntensor; k++) {
        const Type *t = &c->p->tensor[k].type;
        state[k] = (Array){*t, NEW_N(c->a, double, type_count(t))};
        for (int64_t i = 0; i < type_count(t); i++)
            state[k].at[i] = rounded(t->dtype, value_at(c, t->dtype, k, i));
    }
    EvalCx cx = {.arena = c->a,
                 .program = c->p,
                 .state = state,
                 .seed = SEED,
                 .step = STEP,
                 .steps = 100,
                 .live = 5};
    return graph_eval(c->g, &cx, e);
}

static bool run_compiled(Case *c, const RtProgram *rt, int threads, char **out, Err *e) {
    Exec *x = exec_new(rt, pool[threads - 1], e);
    if (!x) return false;
    for (size_t k = 0; k < c->p->ntensor; k++) {
        const Type *t = &c->p->tensor[k].type;
        for (int64_t i = 0; i < type_count(t); i++)
            write_element(exec_tensor(x, (int)k), t->dtype, i,
                          rounded(t->dtype, value_at(c, t->dtype, k, i)));
    }
    RtClock clock = {.seed = SEED, .step = STEP, .stepf = STEP, .stepsf = 100, .live = 5};
    const RtPlan *plan = rt->entry[0].step;
    bool ok = exec_plan(x, plan, &clock, e);
    for (int o = 0; ok && o < plan->nout; o++)
        out[o] = arena_memdup(c->a, exec_output(x, plan, o),
                              (size_t)plan->out[o].count * dtype_size(plan->out[o].dtype));
    exec_free(x);
    return ok;
}

static double largest(const Case *c, const Array *x) {
    double most = 0;
    for (int64_t i = 0; c->of_largest && i < type_count(&x->type); i++)
        most = isfinite(x->at[i]) ? fmax(most, fabs(x->at[i])) : most;
    return most;
}

static bool close_enough(const Case *c, DType t, double got, double want, double scale) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (got == want) return true;
    if (!dtype_is_float(t)) return false;
    if (fabs(got) < FLT_MIN) got = 0; /* as plans read it */
    double eps = t == DT_bf16 ? c->bf16 : c->tolerance;
    return fabs(got - want) <= eps * fmax(scale, fabs(want)) + c->tolerance * 1e-3 + 1.5e-45;
}

static void compare(Case *c, const RtOutput *o, const char *got, const Array *want) {
    int64_t bad = 0, first = -1;
    double scale = largest(c, want);
    for (int64_t i = 0; i < o->count; i++)
        if (!close_enough(c, o->dtype, read_element(got, o->dtype, i), want->at[i], scale) &&
            bad++ == 0)
            first = i;
    EXPECT(bad == 0, "%s: %lld of %lld differ; [%lld] is %.9g, not %.9g", c->name, (long long)bad,
           (long long)o->count, (long long)first, read_element(got, o->dtype, first),
           want->at[first]);
}

/* The graph of `c` becomes a program's only step. */
static Program *fused(Case *c, Err *e) {
    if (!c->p->nentry) {
        c->p->entry = NEW(c->a, Entry);
        c->p->nentry = c->p->entrycap = 1;
    }
    c->p->entry[0] =
        (Entry){.kind = ENTRY_train, .name = "test", .data = -1, .batch = 1, .step = c->g};
    c->p->stage = STAGE_BUILT | STAGE_PRIMITIVE | STAGE_WHOLE_SET;
    Program *p =
        passes_run_named(c->p, c->p->diag, (const char *const[]){"fuse"}, 1, &(PassOptions){0});
    Buf b = {0};
    if (!p || !graph_verify(p, p->entry[0].step, p->stage, &b))
        err_set(e, "fusion failed: %s", b.data ? b.data : "");
    buf_free(&b);
    return e->msg[0] ? NULL : p;
}

static void case_run(Case *c) {
    Err e = {0};
    Array *want = interpret(c, &e);
    Program *p = want ? fused(c, &e) : NULL;
    RtProgram *rt = p ? codegen_program(codegen, c->a, p, &e) : NULL;
    char *got[2][16] = {{NULL}};
    bool ok = rt && c->g->nout <= 16 && run_compiled(c, rt, 1, got[0], &e) &&
              run_compiled(c, rt, 2, got[1], &e);
    EXPECT(ok, "%s: %s", c->name, e.msg);
    for (int o = 0, w = 0; ok && o < rt->entry[0].step->nout; o++, w++) {
        const RtOutput *out = &rt->entry[0].step->out[o];
        while (c->g->out[w].kind == OUT_state) w++;
        compare(c, out, got[0][o], &want[w]);
        EXPECT(memcmp(got[0][o], got[1][o], (size_t)out->count * dtype_size(out->dtype)) == 0,
               "%s: threads change bits", c->name);
    }
    for (size_t i = 0; i < c->g->n; i++) covered[c->g->node[i]->op] = true;
    arena_free(c->a);
}

#endif
