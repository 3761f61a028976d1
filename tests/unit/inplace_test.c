/* In place, on random kernels: stages of reductions over one domain, inputs read whole, by rows,
 * through views, early and late. Wherever fused_arg_inplace allows a result over an input, the
 * compiled kernel run so gives the bits that it gives with a buffer of its own. */
#include <string.h>

#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/runtime.h"
#include "tests/unit/check.h"

enum { BODIES = 400, ARGS = 3, NODES = 9, RESULTS = 3, SEED = 21 };
static const Span NOWHERE = {0};

typedef struct Maker {
    Arena *a;
    uint64_t key, count;
    Graph *body;
    int rank;
    int64_t dim[3];
    uint32_t reduced;
    Type arg[ARGS];
    Ref value[ARGS + NODES];
    int n;
} Maker;

static Codegen *codegen;
static Pool *pool;

static uint32_t pick(Maker *m, uint32_t below) {
    return random_below(m->key, 0, m->count++, below);
}

static Ref pick_value(Maker *m) {
    return m->value[pick(m, (uint32_t)m->n)];
}

/* ---- bodies */

static void add_domain(Maker *m) {
    static const int64_t sizes[] = {2, 3, 4, 17, 40, 90, 300};
    m->rank = 1 + (int)pick(m, 3);
    for (int i = 0; i < m->rank; i++) m->dim[i] = sizes[pick(m, m->rank == 3 ? 5 : 7)];
    if (m->rank > 1 && pick(m, 3) == 0) m->dim[m->rank - 2] = m->dim[m->rank - 1];
    m->reduced = pick(m, 1u << m->rank);
}

static Type kept_type(const Maker *m) {
    Type t = type_make(DT_f32, m->rank, m->dim);
    for (int i = 0; i < m->rank; i++)
        if (m->reduced >> i & 1) t.dim[i] = 1;
    return t;
}

/* Sometimes read backwards, or across. */
static Ref through_view(Maker *m, Ref x) {
    const Type *t = graph_type(m->body, x);
    int last = t->rank - 1, swap[3] = {0, 1, 2};
    if (pick(m, 6)) return x;
    if (last > 0 && t->dim[last] == t->dim[last - 1]) {
        swap[last] = last - 1, swap[last - 1] = last;
        return g_transpose(m->body, x, swap, NOWHERE);
    }
    Attr s = {.slice = {.rank = t->rank}};
    for (int i = 0; i < t->rank; i++) s.slice.size[i] = t->dim[i], s.slice.step[i] = 1;
    s.slice.start[last] = t->dim[last] - 1;
    s.slice.step[last] = -1;
    return graph_add(m->body, OP_slice, &s, &x, 1, NULL, NOWHERE);
}

static void add_args(Maker *m) {
    for (int i = 0; i < ARGS; i++) {
        m->arg[i] = pick(m, 3) ? type_make(DT_f32, m->rank, m->dim) : kept_type(m);
        Ref x = graph_add(m->body, OP_arg, &(Attr){.count = i}, NULL, 0, &m->arg[i], NOWHERE);
        m->value[m->n++] = x;
    }
}

static bool is_whole(const Maker *m, Ref r) {
    return type_count(graph_type(m->body, r)) ==
           type_count(&(Type){.rank = (int8_t)m->rank, .dim = {m->dim[0], m->dim[1], m->dim[2]}});
}

static bool is_kept(const Maker *m, Ref r) {
    Type t = kept_type(m);
    return type_same_shape(graph_type(m->body, r), &t);
}

static Ref add_node(Maker *m) {
    static const Op binary[] = {OP_add, OP_sub, OP_mul, OP_maximum},
                    unary[] = {OP_tanh, OP_neg, OP_exp}, reduction[] = {OP_sum, OP_max};
    Ref x = pick_value(m);
    if (graph_node(m->body, x)->op == OP_arg) x = through_view(m, x);
    if (m->reduced && is_whole(m, x) && pick(m, 3) == 0)
        return g_reduce(m->body, reduction[pick(m, 2)], x, m->reduced, NOWHERE);
    if (pick(m, 4) == 0) return g_unary(m->body, unary[pick(m, 3)], x, NOWHERE);
    return g_binary(m->body, binary[pick(m, 4)], x, pick_value(m), NOWHERE);
}

static void make_body(Maker *m, uint64_t number) {
    *m = (Maker){.a = arena_new(), .key = random_key(SEED, number)};
    m->body = graph_new(m->a, "body");
    add_domain(m);
    add_args(m);
    for (int i = 0; i < NODES; i++) m->value[m->n++] = add_node(m);
    for (int i = 0; i < RESULTS; i++) {
        Ref r = m->value[m->n - 1 - (int)pick(m, NODES)];
        if (graph_node(m->body, r)->nin && (is_whole(m, r) || is_kept(m, r)))
            graph_out(m->body, OUT_value, NULL, 0, r, NOWHERE);
    }
}

/* ---- run as a step of a program whose tensors are the inputs */

/* With `state` a result of that number is the new value of tensor `tensor`, else all are values. */
static Program *make_program(Maker *m, int tensor, int state) {
    Program *p = program_new(m->a, diag_new(m->a));
    Graph *g = graph_new(m->a, "step");
    Ref in[ARGS];
    for (int i = 0; i < ARGS; i++) {
        Tensor t = {.name = arena_printf(m->a, "x%d", i), .type = m->arg[i], .like = -1};
        program_add_tensor(p, &t);
        in[i] = graph_add(g, OP_state, &(Attr){.tensor = i}, NULL, 0, &m->arg[i], NOWHERE);
    }
    Ref f = graph_add(g, OP_fused, &(Attr){.body = m->body}, in, ARGS, NULL, NOWHERE);
    for (uint32_t o = 0; o < m->body->nout; o++)
        graph_out(g, (int)o == state ? OUT_state : OUT_value, NULL, tensor, (Ref){f.node, o},
                  NOWHERE);
    p->entry = NEW(m->a, Entry);
    p->nentry = p->entrycap = 1;
    p->entry[0] = (Entry){.kind = ENTRY_train, .name = "test", .data = -1, .batch = 1, .step = g};
    return p;
}

static void fill(Exec *x, const Maker *m) {
    for (int k = 0; k < ARGS; k++)
        for (int64_t i = 0; i < type_count(&m->arg[k]); i++)
            ((float *)(void *)exec_tensor(x, k))[i] =
                random_uniform(7 + (uint64_t)k, 0, (uint64_t)i);
}

/* All results one after another; `state` is found in its tensor. */
static char *run(Maker *m, int tensor, int state, size_t *n) {
    Err e = {0};
    RtProgram *rt = codegen_program(codegen, m->a, make_program(m, tensor, state), &e);
    Exec *x = rt ? exec_new(rt, pool, &e) : NULL;
    EXPECT(x, "%s", e.msg);
    if (!x) return NULL;
    fill(x, m);
    const RtPlan *plan = rt->entry[0].step;
    EXPECT(exec_plan(x, plan, &(RtClock){.stepsf = 1}, &e), "%s", e.msg);
    for (int i = 0; i < plan->nstep; i++) EXPECT(plan->step[i].kind != RT_COPY, "not in place");
    Buf b = {0};
    for (int o = 0, value = 0; o < (int)m->body->nout; o++) {
        size_t bytes = 4 * (size_t)type_count(graph_type(m->body, m->body->out[o].ref));
        const char *at = o == state ? exec_tensor(x, tensor) : exec_output(x, plan, value++);
        buf_put(&b, at, bytes);
    }
    char *all = arena_memdup(m->a, b.data, *n = b.n);
    buf_free(&b);
    exec_free(x);
    return all;
}

/* Pairs that are allowed, among kernels with reductions. */
static int check_body(uint64_t number) {
    Maker m;
    int pairs = 0;
    make_body(&m, number);
    size_t n = 0, same = 0;
    const Program *p = m.body->nout ? make_program(&m, -1, -1) : NULL;
    char *apart = p ? run(&m, -1, -1, &n) : NULL;
    for (int arg = 0; apart && arg < ARGS; arg++)
        for (int o = 0; o < (int)m.body->nout; o++) {
            const Graph *g = p->entry[0].step;
            const Node *f = graph_node(g, g->out[0].ref);
            bool fits = type_same_shape(&m.arg[arg], &f->type[o]);
            if (!fits || !fused_arg_inplace(m.a, f, arg, o)) continue;
            char *over = run(&m, arg, o, &same);
            EXPECT(over && same == n && memcmp(apart, over, n) == 0,
                   "body %llu: result %d over input %d", (unsigned long long)number, o, arg);
            pairs += m.reduced != 0;
        }
    arena_free(m.a);
    return pairs;
}

int main(void) {
    Err e = {0};
    codegen = codegen_new(&(CodegenOptions){0}, &e);
    pool = pool_new(2, &e);
    EXPECT(codegen && pool, "%s", e.msg);
    int pairs = 0;
    for (uint64_t number = 0; number < BODIES && !check_failed; number++)
        pairs += check_body(number);
    EXPECT(pairs > 200, "only %d pairs in kernels with reductions", pairs);
    pool_free(pool);
    codegen_free(codegen);
    return check_done("inplace");
}
