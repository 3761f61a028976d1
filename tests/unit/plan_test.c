/* The memory plan, on random graphs: nodes are executed in memory laid out as the plan says, each
 * reading and writing its buffers, and every output must be what the interpreter gives. A buffer
 * reused too early, state overwritten before its last read, or a copy out of order shows as a wrong
 * number. Then the cases by hand: what is done in place, and what may not be. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/internal.h"
#include "passes/view.h"
#include "tests/unit/check.h"

enum { R = 4, C = 6, TENSORS = 4, GRAPHS = 300 };
static const Span NOWHERE = {0};
static const int64_t DIM[2] = {R, C}, ROW[2] = {R, 1}, FLAT[1] = {R * C};

static Type full(void) {
    return type_make(DT_f32, 2, DIM);
}

static Program *make_program(Arena *a) {
    Program *p = program_new(a, diag_new(a));
    for (int i = 0; i < TENSORS; i++) {
        Tensor t = {.name = arena_printf(a, "t%d", i), .type = full(), .like = -1};
        program_add_tensor(p, &t);
    }
    return p;
}

/* ---- bodies of kernels */

static Ref body_arg(Graph *b, int i, int rank, const int64_t *dim) {
    Type t = type_make(DT_f32, rank, dim);
    return graph_add(b, OP_arg, &(Attr){.count = i}, NULL, 0, &t, NOWHERE);
}

/* x + y, x - y: two results. */
static Graph *body_pointwise(Arena *a) {
    Graph *b = graph_new(a, "pointwise");
    Ref x = body_arg(b, 0, 2, DIM), y = body_arg(b, 1, 2, DIM);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_add, x, y, NOWHERE), NOWHERE);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_sub, x, y, NOWHERE), NOWHERE);
    return b;
}

/* x - sum(x over rows), y */
static Graph *body_reduce(Arena *a) {
    Graph *b = graph_new(a, "reduce");
    Ref x = body_arg(b, 0, 2, DIM), y = body_arg(b, 1, 2, DIM);
    Ref sum = g_reduce(b, OP_sum, x, 2, NOWHERE);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_sub, x, sum, NOWHERE), NOWHERE);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_mul, x, y, NOWHERE), NOWHERE);
    return b;
}

/* x by a row that is broadcast; the row doubled */
static Graph *body_broadcast(Arena *a) {
    Graph *b = graph_new(a, "broadcast");
    Ref x = body_arg(b, 0, 2, DIM), r = body_arg(b, 1, 2, ROW);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_mul, x, r, NOWHERE), NOWHERE);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_add, r, r, NOWHERE), NOWHERE);
    return b;
}

static Graph *body_flipped(Arena *a) {
    Graph *b = graph_new(a, "flipped");
    Ref x = body_arg(b, 0, 2, DIM);
    Attr s = {.slice = {.rank = 2, .start = {0, C - 1}, .step = {1, -1}, .size = {R, C}}};
    Ref back = graph_add(b, OP_slice, &s, &x, 1, NULL, NOWHERE);
    graph_out(b, OUT_value, NULL, 0, g_binary(b, OP_add, x, back, NOWHERE), NOWHERE);
    return b;
}

static Ref fused(Graph *g, Graph *body, Ref x, Ref y, uint32_t out) {
    Ref r = graph_add(g, OP_fused, &(Attr){.body = body}, (Ref[]){x, y}, 2, NULL, NOWHERE);
    r.out = out;
    return r;
}

/* ---- random graphs */

typedef struct Maker {
    Arena *a;
    Graph *g;
    uint64_t key, drawn;
    VEC(Ref) whole; /* values of shape DIM */
    VEC(Ref) row;   /* of shape ROW */
    Graph *body[3];
} Maker;

static uint32_t draw(Maker *m, uint32_t n) {
    return random_below(m->key, 0, m->drawn++, n);
}

/* Rather a recent value, so that some die and some live long. */
static Ref pick(Maker *m) {
    uint32_t n = (uint32_t)m->whole.n, back = draw(m, 4) ? draw(m, n < 6 ? n : 6) : draw(m, n);
    return m->whole.at[n - 1 - back];
}

static void add_leaves(Maker *m) {
    Type t = full();
    for (int i = 0; i < TENSORS; i++)
        if (draw(m, 4))
            vec_push(m->a, &m->whole,
                     graph_add(m->g, OP_state, &(Attr){.tensor = i}, NULL, 0, &t, NOWHERE));
    for (int i = 0; i < 2; i++)
        vec_push(m->a, &m->whole,
                 graph_add(m->g, OP_field, &(Attr){.name = i ? "f" : "e"}, NULL, 0, &t, NOWHERE));
    vec_push(m->a, &m->row, g_reduce(m->g, OP_sum, pick(m), 2, NOWHERE));
}

static void add_node(Maker *m) {
    Graph *g = m->g;
    Ref x = pick(m), r;
    switch (draw(m, 9)) {
    case 0:
    case 1:
    case 2: {
        uint32_t kind = draw(m, 2), out = draw(m, 3);
        Ref f = fused(g, m->body[kind], x, pick(m), 0);
        if (out != 1) vec_push(m->a, &m->whole, f);
        if (out != 0) vec_push(m->a, &m->whole, (Ref){f.node, 1});
        return;
    }
    case 3:
        r = m->row.at[draw(m, (uint32_t)m->row.n)];
        vec_push(m->a, &m->whole, fused(g, m->body[2], x, r, 0));
        vec_push(m->a, &m->row, fused(g, m->body[2], x, r, 1));
        return;
    case 4: /* through a view and back */
        x = g_unary(g, OP_neg, g_reshape(g, x, 1, FLAT, NOWHERE), NOWHERE);
        vec_push(m->a, &m->whole, g_reshape(g, x, 2, DIM, NOWHERE));
        return;
    case 5: {
        int64_t two[1] = {2};
        Type t = type_make(DT_i32, 1, two);
        Ref i = graph_add(g, OP_iota, &(Attr){.axis = 0}, NULL, 0, &t, NOWHERE);
        int64_t start[2] = {(int64_t)draw(m, R - 1), 0};
        Attr s = {.slice = {.rank = 2, .start = {start[0], 0}, .step = {1, 1}, .size = {2, C}}};
        Ref y = pick(m), v = graph_add(g, OP_slice, &s, &y, 1, NULL, NOWHERE);
        Ref in[3] = {x, i, v};
        vec_push(m->a, &m->whole,
                 graph_add(g, OP_put_add, &(Attr){.axis = 0}, in, 3, NULL, NOWHERE));
        return;
    }
    case 6: {
        Ref in[3] = {x, pick(m), pick(m)};
        Attr turned = {.slice = {.rank = 2, .start = {R - 1, 0}, .step = {-1, 1}, .size = {R, C}}};
        if (draw(m, 2)) in[1] = graph_add(g, OP_slice, &turned, &in[1], 1, NULL, NOWHERE);
        Attr each = {.dot = {"rc", "rc", "rc", false, false}};
        vec_push(m->a, &m->whole, graph_add(g, OP_dot_add, &each, in, 3, NULL, NOWHERE));
        return;
    }
    case 7: vec_push(m->a, &m->row, g_reduce(g, OP_max, x, 2, NOWHERE)); return;
    default: vec_push(m->a, &m->whole, g_binary(g, OP_mul, x, pick(m), NOWHERE)); return;
    }
}

static Graph *random_graph(Arena *a, uint64_t seed) {
    Maker m = {.a = a, .g = graph_new(a, "random"), .key = random_key(seed, 9)};
    m.body[0] = body_pointwise(a), m.body[1] = body_reduce(a), m.body[2] = body_broadcast(a);
    add_leaves(&m);
    for (uint32_t n = draw(&m, 40); n-- > 0;) add_node(&m);
    for (int i = 0; i < TENSORS;
         i++) /* sometimes unchanged, swapped, a field, the same value twice */
        if (draw(&m, 3)) graph_out(m.g, OUT_state, NULL, i, pick(&m), NOWHERE);
    for (int i = 0; i < 3; i++) graph_out(m.g, OUT_value, NULL, 0, pick(&m), NOWHERE);
    graph_out(m.g, OUT_value, NULL, 0, m.row.at[draw(&m, (uint32_t)m.row.n)], NOWHERE);
    return m.g;
}

/* ---- memory as the plan lays it out; elements are kept as doubles, so a byte offset is divided by
 * 4 */

typedef struct Memories {
    double *arena, *tensor[TENSORS], *field[2];
} Memories;

static double *place(const Memories *m, const Plan *plan, const PlanBuffer *b) {
    switch (b->where) {
    case PLAN_ARENA: return m->arena + b->offset / 4;
    case PLAN_TENSOR: return m->tensor[b->index];
    case PLAN_FIELD: return m->field[plan->field[b->index][0] == 'f'];
    case PLAN_ARG:
    case PLAN_RESULT:
    case PLAN_NONE: break;
    }
    return NULL;
}

static double *value_place(const Memories *m, const Plan *plan, Ref r) {
    return place(m, plan, &plan->buffer[plan->first[r.node] + (int)r.out]);
}

/* What a node reads, through views to where it lies. */
static double *read_value(const Memories *m, const Plan *plan, Ref r, Arena *a) {
    View v = view_of(plan->graph, r);
    const double *from = value_place(m, plan, v.base);
    int64_t count = 1;
    for (int i = 0; i < v.rank; i++) count *= v.dim[i];
    double *x = NEW_N(a, double, count);
    for (int64_t k = 0; k < count; k++) {
        int64_t at = v.offset;
        for (int64_t i = v.rank - 1, left = k; i >= 0; left /= v.dim[i--])
            at += left % v.dim[i] * v.stride[i];
        x[k] = from ? from[at] : (double)k; /* iota has no storage */
    }
    return x;
}

/* Inputs are read before results are written, as kernels do for each element. */
static void run_node(const Memories *m, const Plan *plan, size_t at, const EvalCx *cx) {
    const Node *n = plan->graph->node[at];
    if (op_info[n->op].lower == LOWER_LEAF || view_is_strided(n)) return;
    Array in[8], out[8];
    Err e = {0};
    for (int j = 0; j < n->nin; j++) {
        const Type *t = graph_type(plan->graph, n->in[j]);
        in[j] = (Array){*t, read_value(m, plan, n->in[j], cx->arena)};
    }
    EXPECT(node_eval(n, in, out, cx, &e), "%s", e.msg);
    for (int i = 0; i < n->nout; i++) { /* in either order: kernels choose their own */
        int o = at % 2 ? i : n->nout - 1 - i;
        double *to = value_place(m, plan, (Ref){(uint32_t)at, (uint32_t)o});
        if (to) memcpy(to, out[o].at, (size_t)type_count(&out[o].type) * sizeof *to);
    }
}

static void run_copies(const Memories *m, const Plan *plan) {
    for (int i = 0; i < plan->ncopy; i++)
        memmove(place(m, plan, &plan->copy[i].target), place(m, plan, &plan->copy[i].source),
                (size_t)plan->copy[i].source.bytes / 4 * sizeof(double));
}

static void fill(double *x, uint64_t seed) {
    for (int i = 0; i < R * C; i++)
        x[i] = random_below(random_key(seed, 1), 0, (uint64_t)i, 64) / 32.0 - 1;
}

static bool same(const double *a, const double *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

/* `g`, run as it is planned, gives what `meant` means. */
static void check_plan(Arena *a, const Program *p, const Graph *g, const Graph *meant,
                       const char *what) {
    static const char *const names[] = {"e", "f"};
    Array state[TENSORS], field[2];
    Memories m;
    for (int i = 0; i < TENSORS + 2; i++) {
        double *x = NEW_N(a, double, R *C);
        fill(x, (uint64_t)i);
        Array kept = {full(), arena_memdup(a, x, R * C * sizeof *x)};
        if (i < TENSORS)
            state[i] = kept, m.tensor[i] = x;
        else
            field[i - TENSORS] = kept, m.field[i - TENSORS] = x;
    }
    EvalCx cx = {.arena = a,
                 .program = p,
                 .state = state,
                 .field_name = names,
                 .field = field,
                 .nfield = 2,
                 .live = -1};
    Err e = {0};
    Array *want = graph_eval(meant, &cx, &e);
    EXPECT(want, "%s: %s", what, e.msg);
    Plan *plan = plan_graph(a, p, g);
    m.arena = NEW_N(a, double, plan->arena_bytes / 4 + 1);
    bool *reached = graph_reached(g, a);
    for (size_t i = 0; i < g->n; i++)
        if (reached[i]) run_node(&m, plan, i, &cx);
    run_copies(&m, plan);
    bool ok = true;
    for (size_t i = 0; i < g->nout; i++)
        ok &= same(place(&m, plan, &plan->out[i]), want[i].at, type_count(&want[i].type));
    Buf b = {0};
    if (!ok) plan_print(&b, p, plan);
    EXPECT(ok, "%s:\n%s", what, b.data);
    EXPECT(plan->lower_bound <= plan->arena_bytes, "%s", what);
    buf_free(&b);
}

static void check_graph(Arena *a, const Program *p, const Graph *g, const char *what) {
    check_plan(a, p, g, g, what);
}

static void test_random(void) {
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        Arena *a = arena_new();
        char what[32];
        snprintf(what, sizeof what, "graph %d", (int)seed);
        check_graph(a, make_program(a), random_graph(a, seed), what);
        arena_free(a);
    }
}

/* With values computed again: the same values, never in more memory, and often in less. */
static void test_remat(void) {
    int smaller = 0;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        Arena *a = arena_new();
        Program *p = make_program(a);
        const Graph *g = graph_prune(a, random_graph(a, seed), "random", NULL);
        int64_t whole = plan_graph(a, p, g)->arena_bytes;
        const Graph *less = remat_graph(p, g, whole / 2, a);
        int64_t bytes = plan_graph(a, p, less)->arena_bytes;
        char what[32];
        snprintf(what, sizeof what, "graph %d again", (int)seed);
        check_plan(a, p, less, g, what);
        EXPECT(bytes <= whole, "%s: %lld bytes of %lld", what, (long long)bytes, (long long)whole);
        EXPECT((less == g) == (bytes == whole), "%s", what);
        EXPECT(graph_fingerprint(p, less) == graph_fingerprint(p, g), "%s", what);
        smaller += bytes < whole;
        arena_free(a);
    }
    EXPECT(smaller > GRAPHS / 10, "%d of %d graphs need less", smaller, GRAPHS);
}

/* ---- cases */

static Ref state(Graph *g, int i) {
    Type t = full();
    return graph_add(g, OP_state, &(Attr){.tensor = i}, NULL, 0, &t, NOWHERE);
}

/* An optimiser's kernel updates both tensors in their own buffers: no arena, no copies. */
static void test_state_in_place(void) {
    Arena *a = arena_new();
    Program *p = make_program(a);
    Graph *g = graph_new(a, "optimiser");
    Ref w = state(g, 0), m = state(g, 1), out = fused(g, body_pointwise(a), w, m, 0);
    graph_out(g, OUT_state, NULL, 0, out, NOWHERE);
    graph_out(g, OUT_state, NULL, 1, (Ref){out.node, 1}, NOWHERE);
    Plan *plan = plan_graph(a, p, g);
    EXPECT(plan->ncopy == 0 && plan->arena_bytes == 0, "%d copies, %lld bytes", plan->ncopy,
           (long long)plan->arena_bytes);
    check_graph(a, p, g, "optimiser");
    arena_free(a);
}

/* The old value is read once more when its row's sum is there, after the new one is written: not in
 * place. */
static void test_state_not_in_place(void) {
    Arena *a = arena_new();
    Program *p = make_program(a);
    Graph *g = graph_new(a, "reduced");
    Ref w = state(g, 0), out = fused(g, body_reduce(a), w, state(g, 1), 1);
    graph_out(g, OUT_state, NULL, 0, out, NOWHERE);
    Plan *plan = plan_graph(a, p, g);
    EXPECT(plan->ncopy == 1 && plan->copy[0].tensor == 0, "%d copies", plan->ncopy);
    check_graph(a, p, g, "reduced");
    arena_free(a);
}

static void test_swap_and_report(void) {
    Arena *a = arena_new();
    Program *p = make_program(a);
    Graph *g = graph_new(a, "swap");
    Ref x = state(g, 0), y = state(g, 1);
    graph_out(g, OUT_state, NULL, 0, y, NOWHERE);
    graph_out(g, OUT_state, NULL, 1, x, NOWHERE);
    graph_out(g, OUT_value, NULL, 0, x, NOWHERE);
    graph_out(g, OUT_state, NULL, 2, state(g, 2), NOWHERE);
    check_graph(a, p, g, "swap");
    Plan *plan = plan_graph(a, p, g);
    EXPECT(plan->ncopy == 4 && plan->copy[0].tensor < 0 && plan->copy[1].tensor < 0, "%d copies",
           plan->ncopy);
    arena_free(a);
}

/* A chain of kernels each of which overwrites its input needs one buffer. */
static void test_chain(void) {
    Arena *a = arena_new();
    Program *p = make_program(a);
    Graph *g = graph_new(a, "chain");
    Ref x = g_binary(g, OP_mul, state(g, 0), state(g, 1), NOWHERE);
    for (int i = 0; i < 5; i++) x = fused(g, body_pointwise(a), x, state(g, i % 2), 0);
    graph_out(g, OUT_value, NULL, 0, x, NOWHERE);
    Plan *plan = plan_graph(a, p, g);
    int64_t one = (R * C * 4 + 63) / 64 * 64;
    EXPECT(plan->arena_bytes <= 3 * one && plan->lower_bound <= plan->arena_bytes,
           "%lld bytes for a chain", (long long)plan->arena_bytes);
    check_graph(a, p, g, "chain");
    arena_free(a);
}

static void test_predicate(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "bodies");
    Ref x = state(g, 0), y = state(g, 1), row = g_reduce(g, OP_sum, x, 2, NOWHERE);
    const Node *pointwise = graph_node(g, fused(g, body_pointwise(a), x, y, 0));
    EXPECT(fused_arg_inplace(a, pointwise, 0, 0) && fused_arg_inplace(a, pointwise, 1, 1),
           "pointwise");
    const Node *reduce = graph_node(g, fused(g, body_reduce(a), x, y, 0));
    EXPECT(fused_arg_inplace(a, reduce, 0, 0), "the last read of what was reduced");
    EXPECT(fused_arg_inplace(a, reduce, 1, 1), "beside a reduction");
    EXPECT(!fused_arg_inplace(a, reduce, 0, 1), "what is read again after a reduction");
    const Node *broadcast = graph_node(g, fused(g, body_broadcast(a), x, row, 0));
    EXPECT(fused_arg_inplace(a, broadcast, 0, 0), "the whole operand of a broadcast");
    EXPECT(!fused_arg_inplace(a, broadcast, 1, 0) && !fused_arg_inplace(a, broadcast, 1, 1) &&
               !fused_arg_inplace(a, broadcast, 0, 1),
           "the broadcast operand");
    Ref f = graph_add(g, OP_fused, &(Attr){.body = body_flipped(a)}, &x, 1, NULL, NOWHERE);
    EXPECT(!fused_arg_inplace(a, graph_node(g, f), 0, 0), "an operand read backwards");
    arena_free(a);
}

static void test_print(void) {
    Arena *a = arena_new();
    Program *p = make_program(a);
    Graph *g = graph_new(a, "printed");
    Ref x = fused(g, body_pointwise(a), state(g, 0), state(g, 1), 0);
    graph_out(g, OUT_state, NULL, 0, x, NOWHERE);
    graph_out(g, OUT_value, NULL, 0, g_reshape(g, (Ref){x.node, 1}, 1, FLAT, NOWHERE), NOWHERE);
    Buf b = {0};
    plan_print(&b, p, plan_graph(a, p, g));
    EXPECT(strstr(b.data, "plan @printed: arena 128 bytes") && strstr(b.data, "\"t0\"  in place") &&
               strstr(b.data, "arena+0  view"),
           "%s", b.data);
    buf_free(&b);
    arena_free(a);
}

int main(void) {
    test_random();
    test_remat();
    test_state_in_place();
    test_state_not_in_place();
    test_swap_and_report();
    test_chain();
    test_predicate();
    test_print();
    return check_done("plan");
}
