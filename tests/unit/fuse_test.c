/* Fusion on random graphs: broadcasts, reductions, views of every kind, random numbers, products
 * and tables in any order. What a graph means is the same before and after, in f64 by the
 * interpreter; some are compiled too, and run with 1 and 2 threads. */
#include <math.h>
#include <string.h>

#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/runtime.h"
#include "tests/unit/check.h"

enum { GRAPHS = 1500, NODES = 28, COMPILED = 60, SEED = 9 };
#define AT                                                                                         \
    (Span) {                                                                                       \
        0                                                                                          \
    }

typedef struct Maker {
    Arena *a;
    Program *p;
    Graph *g;
    uint64_t key, count;
    Ref value[NODES + 8];
    int n;
} Maker;

static uint32_t pick(Maker *m, uint32_t below) {
    return random_below(m->key, 0, m->count++, below);
}

/* A few sizes, often equal, so that shapes meet; 64 x 300 is large enough to be cut. */
static int64_t size(Maker *m) {
    static const int64_t sizes[] = {1, 2, 3, 3, 4, 4, 17};
    return sizes[pick(m, 7)];
}

static Ref add_input(Maker *m) {
    int64_t dim[4];
    int rank = (int)pick(m, 4);
    for (int i = 0; i < rank; i++) dim[i] = pick(m, 40) == 0 ? 300 : size(m);
    Tensor t = {.name = arena_printf(m->a, "x%zu", m->p->ntensor),
                .kind = TENSOR_state,
                .type = type_make(DT_f32, rank, dim),
                .like = -1};
    int i = program_add_tensor(m->p, &t);
    return graph_add(m->g, OP_state, &(Attr){.tensor = i}, NULL, 0, &t.type, AT);
}

static Ref add_view(Maker *m, Ref x) {
    const Type *t = graph_type(m->g, x);
    Attr a = {.axes = 0};
    int64_t dim[RANK];
    int perm[RANK];
    switch (pick(m, 7)) {
    case 0: /* a size of 1 more */
        if (t->rank == 4) return x;
        for (int i = 0, at = (int)pick(m, (uint32_t)t->rank + 1); i <= t->rank; i++)
            dim[i] = i == at ? 1 : t->dim[i - (i > at)];
        return g_reshape(m->g, x, t->rank + 1, dim, AT);
    case 1: { /* flat */ int64_t n = type_count(t); return g_reshape(m->g, x, 1, &n, AT);
    }
    case 2:
        for (int i = 0; i < t->rank; i++) perm[i] = t->rank - 1 - i;
        return g_transpose(m->g, x, perm, AT);
    case 3:
        a.slice.rank = t->rank;
        for (int i = 0; i < t->rank; i++) {
            a.slice.size[i] = 1 + pick(m, (uint32_t)t->dim[i]);
            a.slice.step[i] = pick(m, 2) ? 1 : -1;
            a.slice.start[i] =
                a.slice.step[i] > 0 ? t->dim[i] - a.slice.size[i] : a.slice.size[i] - 1;
        }
        return graph_add(m->g, OP_slice, &a, &x, 1, NULL, AT);
    case 4:
        a.pad.rank = t->rank;
        for (int i = 0; i < t->rank; i++)
            a.pad.lo[i] = pick(m, 2), a.pad.hi[i] = pick(m, 2), a.pad.gap[i] = pick(m, 2);
        return type_count(t) > 2000 ? x : graph_add(m->g, OP_pad, &a, &x, 1, NULL, AT);
    case 5:
        return t->rank == 0 || type_count(t) > 2000
                   ? x
                   : graph_add(m->g, OP_concat, &(Attr){.axis = 0}, (Ref[]){x, x}, 2, NULL, AT);
    default:
        for (int i = 0; i < t->rank; i++) dim[i] = t->dim[i] == 1 ? size(m) : t->dim[i];
        return g_expand(m->g, x, t->rank, dim, AT);
    }
}

/* Bounded in size, so that comparing stays exact enough. */
static Ref add_unary(Maker *m, Ref x) {
    static const Op ops[] = {OP_tanh, OP_sigmoid, OP_neg, OP_abs, OP_erf, OP_sin};
    return g_unary(m->g, ops[pick(m, 6)], x, AT);
}

static Ref add_binary(Maker *m, Ref x, Ref y) {
    static const Op ops[] = {OP_add, OP_sub, OP_mul, OP_maximum, OP_minimum};
    Attr a = {.axes = 0};
    Type in[2] = {*graph_type(m->g, x), *graph_type(m->g, y)}, *out;
    int nout;
    Err e = {0};
    bool fits =
        shape_infer(OP_add, &a, in, 2, NULL, m->a, &out, &nout, &e) && type_count(out) < 40000;
    return fits ? g_binary(m->g, ops[pick(m, 5)], x, y, AT) : add_unary(m, x);
}

static Ref add_reduction(Maker *m, Ref x) {
    const Type *t = graph_type(m->g, x);
    if (t->rank == 0) return x;
    uint32_t axes = 1 + pick(m, (1u << t->rank) - 1);
    Ref y = g_reduce(m->g, pick(m, 3) ? OP_sum : OP_max, x, axes, AT);
    if (pick(m, 8) == 0)
        y = g_cast(m->g,
                   graph_add(m->g, OP_argmax, &(Attr){.axis = (int)pick(m, (uint32_t)t->rank)}, &x,
                             1, NULL, AT),
                   DT_f32, AT);
    return g_unary(m->g, OP_tanh, g_binary(m->g, OP_mul, y, g_const(m->g, DT_f32, 0.1, AT), AT),
                   AT);
}

static Ref add_leaf(Maker *m, Ref like) {
    Type t = *graph_type(m->g, like);
    t.batch_axis = NO_BATCH;
    Attr a = {.random.place = 77 + pick(m, 3)};
    if (pick(m, 3) == 0 && t.rank > 0) {
        a = (Attr){.axis = (int)pick(m, (uint32_t)t.rank)};
        return g_unary(m->g, OP_sin, graph_add(m->g, OP_iota, &a, NULL, 0, &t, AT), AT);
    }
    return graph_add(m->g, OP_uniform, &a, NULL, 0, &t, AT);
}

static Ref add_choice(Maker *m, Ref x) {
    Ref c = g_binary(m->g, OP_lt, add_leaf(m, x), g_const(m->g, DT_f32, 0.4, AT), AT);
    return g_where(m->g, c, x, g_const(m->g, DT_f32, 0, AT), AT);
}

static Ref add_product(Maker *m, Ref x) {
    const Type *t = graph_type(m->g, x);
    if (t->rank != 2 || t->dim[0] > 100) return add_unary(m, x);
    return g_unary(m->g, OP_tanh, g_dot(m->g, x, x, "mk", "nk", "mn", AT), AT);
}

static Ref add_rows(Maker *m, Ref x) {
    const Type *t = graph_type(m->g, x);
    if (t->rank == 0) return x;
    Type it = type_make(DT_i32, 1, (int64_t[]){3});
    Ref i = graph_add(m->g, OP_randint, &(Attr){.random = {.place = 5, .below = t->dim[0]}}, NULL, 0, &it, AT);
    return graph_add(m->g, OP_take, &(Attr){.axis = 0}, (Ref[]){x, i}, 2, NULL, AT);
}

static Ref add_any(Maker *m) {
    Ref x = m->value[pick(m, (uint32_t)m->n)], y = m->value[pick(m, (uint32_t)m->n)];
    uint32_t kind = pick(m, 20);
    return kind < 3    ? add_unary(m, x)
           : kind < 9  ? add_binary(m, x, y)
           : kind < 13 ? add_view(m, x)
           : kind < 16 ? add_reduction(m, x)
           : kind < 17 ? add_choice(m, x)
           : kind < 18 ? add_leaf(m, x)
           : kind < 19 ? add_product(m, x)
                       : add_rows(m, x);
}

static Maker make_graph(uint64_t number) {
    Maker m = {.a = arena_new(), .key = random_key(SEED, number)};
    m.p = program_new(m.a, diag_new(m.a));
    m.g = graph_new(m.a, "test");
    for (int i = 0; i < 4; i++) m.value[m.n++] = add_input(&m);
    for (int i = 0; i < NODES; i++) m.value[m.n++] = add_any(&m);
    for (int i = 0; i < 4; i++) /* the last ones, and any */
        graph_out(m.g, OUT_value, NULL, 0,
                  m.value[i < 2 ? m.n - 1 - i : (int)pick(&m, (uint32_t)m.n)], AT);
    m.p->entry = NEW(m.a, Entry);
    m.p->nentry = m.p->entrycap = 1;
    m.p->entry[0] =
        (Entry){.kind = ENTRY_train, .name = "test", .data = -1, .batch = 1, .step = m.g};
    m.p->stage = STAGE_BUILT | STAGE_PRIMITIVE | STAGE_WHOLE_SET;
    return m;
}

static float input_at(size_t tensor, int64_t i) {
    return random_uniform(1000 + tensor, 0, (uint64_t)i) * 2 - 1;
}

static Array *interpret(Maker *m, const Graph *g, Err *e) {
    Array *state = NEW_N(m->a, Array, m->p->ntensor);
    for (size_t k = 0; k < m->p->ntensor; k++) {
        const Type *t = &m->p->tensor[k].type;
        state[k] = (Array){*t, NEW_N(m->a, double, type_count(t))};
        for (int64_t i = 0; i < type_count(t); i++) state[k].at[i] = (double)input_at(k, i);
    }
    EvalCx cx = {.arena = m->a,
                 .program = m->p,
                 .f64 = true,
                 .state = state,
                 .seed = 3,
                 .step = 1,
                 .steps = 9,
                 .live = -1};
    return graph_eval(g, &cx, e);
}

static double worst_difference(const Array *x, const Array *y) {
    double worst = 0;
    if (!type_same_shape(&x->type, &y->type)) return INFINITY;
    for (int64_t i = 0; i < type_count(&x->type); i++)
        worst = fmax(worst, fabs(x->at[i] - y->at[i]) / fmax(1, fabs(x->at[i])));
    return worst;
}

/* ---- compiled */
static Codegen *codegen;
static Pool *pool[2];

static bool run_compiled(Maker *m, const RtProgram *rt, int threads, const void **out, Err *e) {
    Exec *x = exec_new(rt, pool[threads], e);
    if (!x) return false;
    for (size_t k = 0; k < m->p->ntensor; k++)
        for (int64_t i = 0; i < type_count(&m->p->tensor[k].type); i++)
            ((float *)(void *)exec_tensor(x, (int)k))[i] = input_at(k, i);
    RtClock clock = {.seed = 3, .step = 1, .stepf = 1, .stepsf = 9, .live = 1};
    const RtPlan *plan = rt->entry[0].step;
    bool ok = exec_plan(x, plan, &clock, e);
    for (int o = 0; ok && o < plan->nout; o++)
        out[o] = arena_memdup(m->a, exec_output(x, plan, o), (size_t)plan->out[o].count * 4);
    exec_free(x);
    return ok;
}

/* argmax and comparisons may fall either way where f32 and f64 differ, so a few elements may
 * differ, not many. */
static void compare_compiled(uint64_t number, const RtPlan *plan, const void *out[2][4],
                             const Array *want) {
    for (int o = 0; o < plan->nout; o++) {
        const float *got = out[0][o];
        int64_t bad = 0;
        for (int64_t i = 0; i < plan->out[o].count; i++)
            bad += !(fabs((double)got[i] - want[o].at[i]) <= 1e-4 * fmax(1, fabs(want[o].at[i])));
        EXPECT(bad * 50 <= plan->out[o].count, "graph %llu: %lld of %lld compiled values differ",
               (unsigned long long)number, (long long)bad, (long long)plan->out[o].count);
        EXPECT(memcmp(out[0][o], out[1][o], (size_t)plan->out[o].count * 4) == 0,
               "graph %llu: threads change bits", (unsigned long long)number);
    }
}

static void check_compiled(Maker *m, const Program *fused, uint64_t number, const Array *want) {
    Err e = {0};
    const void *out[2][4];
    RtProgram *rt = codegen_program(codegen, m->a, fused, &e);
    bool ok = rt && run_compiled(m, rt, 0, out[0], &e) && run_compiled(m, rt, 1, out[1], &e);
    EXPECT(ok, "graph %llu: %s", (unsigned long long)number, e.msg);
    if (ok) compare_compiled(number, rt->entry[0].step, out, want);
}

static void check_graph(uint64_t number, bool compile) {
    Maker m = make_graph(number);
    Err e = {0};
    Buf wrong = {0};
    Program *p =
        passes_run_named(m.p, m.p->diag, (const char *const[]){"fuse"}, 1, &(PassOptions){0});
    bool ok = p && graph_verify(p, p->entry[0].step, p->stage, &wrong);
    EXPECT(ok, "graph %llu: %s", (unsigned long long)number, wrong.data ? wrong.data : "");
    buf_free(&wrong);
    Array *x = interpret(&m, m.g, &e), *y = ok ? interpret(&m, p->entry[0].step, &e) : NULL;
    EXPECT(x && y, "graph %llu: %s", (unsigned long long)number, e.msg);
    for (size_t o = 0; x && y && o < m.g->nout; o++)
        EXPECT(worst_difference(&x[o], &y[o]) < 1e-9, "graph %llu: output %zu differs by %g",
               (unsigned long long)number, o, worst_difference(&x[o], &y[o]));
    if (x && y && compile) check_compiled(&m, p, number, x);
    arena_free(m.a);
}

int main(void) {
    Err e = {0};
    codegen = codegen_new(&(CodegenOptions){0}, &e);
    EXPECT(codegen, "%s", e.msg);
    for (int i = 0; i < 2; i++) EXPECT((pool[i] = pool_new(i + 1, &e)), "%s", e.msg);
    for (uint64_t number = 0; number < GRAPHS && !check_failed; number++)
        check_graph(number, number < COMPILED);
    for (int i = 0; i < 2; i++) pool_free(pool[i]);
    codegen_free(codegen);
    return check_done("fuse");
}
