/* Gradient checks, iterated from the table of operators: every row with a rule of its own has at
 * least one case here, and the test fails for one that has none. For each case the loss is sum(w
 * f(x)^2), so that even linear operators have a second derivative. Checked in f64 against central
 * differences: the gradient, and the gradient of the sum of its squares. */
#include "ir/loop.h"
#include "passes/passes.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

enum { MOST_INPUTS = 3, SEED = 11 };
static const double step = 1e-5, tolerance = 2e-7;

typedef Ref BuildFn(Graph *g, Op op, const Ref *x);
typedef struct Input {
    int rank;
    int64_t dim[6];
    double lo, hi;
    bool signs; /* every other element negative */
} Input;
typedef struct Case {
    Op op;
    const char *what;
    BuildFn *build;
    int nx;
    Input x[MOST_INPUTS];
} Case;

static const Span nowhere;

/* ---- one function a kind of operator */

static Ref pointwise(Graph *g, Op op, const Ref *x) {
    return graph_add(g, op, NULL, x, op_info[op].arity, NULL, nowhere);
}
static Ref with(Graph *g, Op op, Attr a, const Ref *x, int nx) {
    return graph_add(g, op, &a, x, nx, NULL, nowhere);
}

static Ref there_and_back(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_cast(g, g_cast(g, x[0], DT_f64, nowhere), DT_f32, nowhere);
}
static Ref iota(Graph *g, int rank, const int64_t *dim, int axis) {
    Type t = type_make(DT_i32, rank, dim);
    return graph_add(g, OP_iota, &(Attr){.axis = axis}, NULL, 0, &t, nowhere);
}
static Ref integer(Graph *g, int v) {
    return g_const(g, DT_i32, v, nowhere);
}
static Ref choose(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_where(g, g_binary(g, OP_lt, iota(g, 1, (int64_t[]){3}, 0), integer(g, 2), nowhere),
                   x[0], x[1], nowhere);
}
static Ref power_of(Graph *g, const Ref *x, double c) {
    return g_binary(g, OP_pow, x[0], g_const(g, DT_f32, c, nowhere), nowhere);
}
static Ref square(Graph *g, Op op, const Ref *x) {
    (void)op;
    return power_of(g, x, 2);
}
static Ref cube(Graph *g, Op op, const Ref *x) {
    (void)op;
    return power_of(g, x, 3);
}
static Ref inverse_root(Graph *g, Op op, const Ref *x) {
    (void)op;
    return power_of(g, x, -0.5);
}

static Ref reshaped(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.shape = {2, {6, 2}}}, x, 1);
}
static Ref expanded(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.shape = {3, {2, 4, 3}}}, x, 1);
}
static Ref transposed(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.perm = {3, {2, 0, 1}}}, x, 1);
}
static Ref sliced(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.slice = {2, {1, 4}, {2, -2}, {2, 2}}}, x, 1);
}
static Ref sliced_inside(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.slice = {2, {3, 1}, {-1, 3}, {1, 2}}}, x, 1);
}
static Ref part(Graph *g, Ref x, int64_t start) {
    return with(g, OP_slice, (Attr){.slice = {2, {0, start}, {1, 1}, {2, 2}}}, &x, 1);
}
static Ref in_parts(Graph *g, Op op, const Ref *x) { /* its gradient is joined again */
    (void)op;
    Ref y = g_binary(g, OP_mul, part(g, x[0], 0), part(g, x[0], 2), nowhere);
    return g_binary(g, OP_mul, y, part(g, x[0], 4), nowhere);
}
static Ref padded(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.pad = {2, {1, 0}, {0, 2}, {2, 1}}}, x, 1);
}
static Ref joined(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 1}, (Ref[]){x[0], x[1], x[0]}, 3);
}
static Ref reduced(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axes = 5}, x, 1);
}
static Ref reduced_last(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axes = 4}, x, 1);
}

static Ref matrix(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_dot(g, x[0], x[1], "ij", "jk", "ik", nowhere);
}
static Ref batched(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_dot(g, x[0], x[1], "bij", "bkj", "ibk", nowhere);
}
static Ref outer(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_dot(g, x[0], x[1], "i", "j", "ji", nowhere);
}
static Ref inner(Graph *g, Op op, const Ref *x) {
    (void)op;
    return g_dot(g, x[0], x[1], "ij", "ji", "", nowhere);
}

/* Indices with repeats: (2 i + j) mod 3 */
static Ref index_of(Graph *g, const int64_t *dim) {
    Ref i = g_binary(g, OP_mul, iota(g, 2, dim, 0), integer(g, 2), nowhere);
    return g_binary(g, OP_mod, g_binary(g, OP_add, i, iota(g, 2, dim, 1), nowhere), integer(g, 3),
                    nowhere);
}
static Ref taken(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 0}, (Ref[]){x[0], index_of(g, (int64_t[]){2, 3})}, 2);
}
static Ref taken_inside(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 1}, (Ref[]){x[0], index_of(g, (int64_t[]){2, 4})}, 2);
}
static Ref taken_one(Graph *g, Op op, const Ref *x) { /* x[i, i, :] */
    return with(g, op, (Attr){.axis = 1}, (Ref[]){x[0], iota(g, 1, (int64_t[]){2}, 0)}, 2);
}
static Ref taken_in_order(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 0}, (Ref[]){x[0], iota(g, 1, (int64_t[]){3}, 0)}, 2);
}
static Ref written(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 0}, (Ref[]){x[0], index_of(g, (int64_t[]){2, 3}), x[1]}, 3);
}
static Ref written_inside(Graph *g, Op op, const Ref *x) {
    return with(g, op, (Attr){.axis = 1}, (Ref[]){x[0], index_of(g, (int64_t[]){2, 4}), x[1]}, 3);
}

#define ANY_SIGN(...)                                                                              \
    { __VA_ARGS__, 0.3, 2.0, true }
#define POSITIVE(...)                                                                              \
    { __VA_ARGS__, 0.4, 2.0, false }
/* The three largest of four. */
static Ref sorted(Graph *g, Op op, const Ref *x) {
    Ref at = graph_add(g, op, &(Attr){.count = 3}, x, 1, NULL, nowhere);
    return graph_add(g, OP_take, &(Attr){.axis = 2}, (Ref[]){x[0], at}, 2, NULL, nowhere);
}
static Ref summed_up(Graph *g, Op op, const Ref *x) {
    return graph_add(g, op, &(Attr){.axis = 1}, x, 1, NULL, nowhere);
}
/* h = tanh(h w + x), of which h x is kept: w is in a product, and its gradient one over all turns.
 */
static Ref recurred(Graph *g, const Ref *x, bool reverse) {
    Arena *a = arena_new();
    Loop l = loop_new(a, "recurrence", reverse);
    Ref h = loop_input(&l, g, LOOP_carry, x[0], NULL),
        xs = loop_input(&l, g, LOOP_slice, x[1], NULL),
        w = loop_input(&l, g, LOOP_whole, x[2], NULL);
    Ref z = g_dot(l.body, h, w, "bi", "ij", "bj", nowhere);
    z = g_unary(l.body, OP_tanh, g_binary(l.body, OP_add, z, xs, nowhere), nowhere);
    loop_carry(&l, z);
    loop_result(&l, g_binary(l.body, OP_mul, z, xs, nowhere));
    loop_keep(&l);
    Ref loop = loop_finish(&l, g, nowhere);
    arena_free(a);
    return (Ref){loop.node, 1};
}
static Ref recurrence(Graph *g, Op op, const Ref *x) {
    (void)op;
    return recurred(g, x, false);
}
static Ref recurrence_back(Graph *g, Op op, const Ref *x) {
    (void)op;
    return recurred(g, x, true);
}
/* h = tanh(h w + the row of a table that the turn's number says), of which rows are used once, and
 * one more often. */
static Ref looked_up(Graph *g, Op op, const Ref *x) {
    (void)op;
    Arena *a = arena_new();
    Loop l = loop_new(a, "rows", false);
    Ref at = g_binary(g, OP_mod, iota(g, 2, (int64_t[]){4, 2}, 0), integer(g, 3), nowhere);
    Ref h = loop_input(&l, g, LOOP_carry, x[0], NULL), i = loop_input(&l, g, LOOP_slice, at, NULL),
        table = loop_input(&l, g, LOOP_whole, x[1], NULL),
        w = loop_input(&l, g, LOOP_whole, x[2], NULL);
    Ref row = graph_add(l.body, OP_take, &(Attr){.axis = 0}, (Ref[]){table, i}, 2, NULL, nowhere);
    Ref z = g_binary(l.body, OP_add, g_dot(l.body, h, w, "bi", "ij", "bj", nowhere), row, nowhere);
    loop_carry(&l, g_unary(l.body, OP_tanh, z, nowhere));
    loop_keep(&l);
    Ref loop = loop_finish(&l, g, nowhere);
    arena_free(a);
    return loop;
}
/* The sum over a loop within is the next carry; b is in no product of matrices. */
static Ref nested_loops(Graph *g, Op op, const Ref *x) {
    (void)op;
    Arena *a = arena_new();
    Loop outer = loop_new(a, "outer", false), inner = loop_new(a, "inner", true);
    Ref h = loop_input(&outer, g, LOOP_carry, x[0], NULL),
        xs = loop_input(&outer, g, LOOP_slice, x[1], NULL),
        b = loop_input(&outer, g, LOOP_whole, x[2], NULL);
    Graph *o = outer.body;
    Ref p = loop_input(&inner, o, LOOP_carry, h, NULL),
        y = loop_input(&inner, o, LOOP_slice, xs, NULL),
        c = loop_input(&inner, o, LOOP_whole, b, NULL);
    p = g_binary(inner.body, OP_mul, g_binary(inner.body, OP_add, p, c, nowhere), y, nowhere);
    loop_carry(&inner, g_unary(inner.body, OP_tanh, p, nowhere));
    loop_keep(&inner);
    Ref all = loop_finish(&inner, o, nowhere), sum = g_reduce(o, OP_sum, all, 1, nowhere);
    loop_carry(&outer, g_unary(o, OP_sin, g_reshape(o, sum, 1, (int64_t[]){3}, nowhere), nowhere));
    loop_keep(&outer);
    Ref loop = loop_finish(&outer, g, nowhere);
    arena_free(a);
    return loop;
}
/* Windows that leave the tensor on each side, with gaps and without. */
static const Attr windows = {.window = {1, 2, {3, 3}, {3, 2}, {2, 1}, {1, 2}}};
static Ref unfolded(Graph *g, Op op, const Ref *x) {
    return graph_add(g, op, &windows, x, 1, NULL, nowhere);
}
static Ref folded(Graph *g, Op op, const Ref *x) {
    Attr a = windows;
    a.window.dim[0] = 7;
    a.window.dim[1] = 5;
    return graph_add(g, op, &a, x, 1, NULL, nowhere);
}
static Ref convolved(Graph *g, Op op, const Ref *x) {
    return g_dot(g, unfolded(g, op, x), x[1], "bhwijc", "ijcm", "bhwm", nowhere);
}

#define UNARY(name)                                                                                \
    {                                                                                              \
        OP_##name, #name, pointwise, 1, {                                                          \
            ANY_SIGN(2, {2, 3})                                                                    \
        }                                                                                          \
    }
#define UNARY_POSITIVE(name)                                                                       \
    {                                                                                              \
        OP_##name, #name, pointwise, 1, {                                                          \
            POSITIVE(2, {2, 3})                                                                    \
        }                                                                                          \
    }
#define BINARY(name, A, B)                                                                         \
    {OP_##name, #name, pointwise, 2, {A(2, {2, 3}), B(2, {2, 3})}},                                \
        {OP_##name, #name " row", pointwise, 2, {A(2, {2, 3}), B(1, {3})}},                        \
        {OP_##name, #name " edges", pointwise, 2, {A(3, {2, 1, 3}), B(2, {4, 1})}}, {              \
        OP_##name, #name " scalar", pointwise, 2, {                                                \
            A(0, {0}), B(2, {2, 3})                                                                \
        }                                                                                          \
    }
#define REDUCTION(name)                                                                            \
    {OP_##name, #name, reduced, 1, {ANY_SIGN(3, {2, 3, 4})}}, {                                    \
        OP_##name, #name " last", reduced_last, 1, {                                               \
            ANY_SIGN(3, {2, 3, 4})                                                                 \
        }                                                                                          \
    }

static const Case cases[] = {
    UNARY(neg),
    UNARY(abs),
    UNARY(exp),
    UNARY_POSITIVE(log),
    UNARY_POSITIVE(log1p),
    UNARY(expm1),
    UNARY_POSITIVE(sqrt),
    UNARY_POSITIVE(rsqrt),
    UNARY(tanh),
    UNARY(sigmoid),
    UNARY(erf),
    UNARY(sin),
    UNARY(cos),
    {OP_cast, "cast", there_and_back, 1, {ANY_SIGN(2, {2, 3})}},
    BINARY(add, ANY_SIGN, ANY_SIGN),
    BINARY(sub, ANY_SIGN, ANY_SIGN),
    BINARY(mul, ANY_SIGN, ANY_SIGN),
    BINARY(div, ANY_SIGN, ANY_SIGN),
    BINARY(pow, POSITIVE, ANY_SIGN),
    BINARY(minimum, ANY_SIGN, ANY_SIGN),
    BINARY(maximum, ANY_SIGN, ANY_SIGN),
    {OP_pow, "square", square, 1, {ANY_SIGN(2, {2, 3})}},
    {OP_pow, "cube", cube, 1, {ANY_SIGN(2, {2, 3})}},
    {OP_pow, "inverse root", inverse_root, 1, {POSITIVE(2, {2, 3})}},
    {OP_mod, "mod", pointwise, 2, {{2, {2, 3}, 2.4, 2.7, true}, {2, {2, 3}, 1.0, 1.1, false}}},
    {OP_mod, "mod row", pointwise, 2, {{2, {2, 3}, 2.4, 2.7, false}, {1, {3}, 1.0, 1.1, false}}},
    {OP_where, "where", choose, 2, {ANY_SIGN(2, {2, 3}), ANY_SIGN(2, {2, 3})}},
    {OP_where, "where edges", choose, 2, {ANY_SIGN(2, {2, 1}), ANY_SIGN(0, {0})}},
    {OP_reshape, "reshape", reshaped, 1, {ANY_SIGN(3, {2, 3, 2})}},
    {OP_expand, "expand", expanded, 1, {ANY_SIGN(2, {1, 3})}},
    {OP_expand, "expand inside", expanded, 1, {ANY_SIGN(3, {2, 1, 3})}},
    {OP_transpose, "transpose", transposed, 1, {ANY_SIGN(3, {2, 3, 4})}},
    {OP_slice, "slice", sliced, 1, {ANY_SIGN(2, {5, 6})}},
    {OP_slice, "slice backwards", sliced_inside, 1, {ANY_SIGN(2, {5, 6})}},
    {OP_slice, "slice in parts", in_parts, 1, {ANY_SIGN(2, {2, 6})}},
    {OP_slice, "slice of parts", in_parts, 1, {ANY_SIGN(2, {2, 7})}},
    {OP_pad, "pad", padded, 1, {ANY_SIGN(2, {3, 2})}},
    {OP_concat, "concat", joined, 2, {ANY_SIGN(2, {2, 3}), ANY_SIGN(2, {2, 1})}},
    REDUCTION(sum),
    REDUCTION(max),
    REDUCTION(min),
    {OP_dot, "matrix", matrix, 2, {ANY_SIGN(2, {2, 3}), ANY_SIGN(2, {3, 4})}},
    {OP_dot, "batched", batched, 2, {ANY_SIGN(3, {2, 3, 2}), ANY_SIGN(3, {2, 4, 2})}},
    {OP_dot, "outer", outer, 2, {ANY_SIGN(1, {2}), ANY_SIGN(1, {3})}},
    {OP_dot, "inner", inner, 2, {ANY_SIGN(2, {2, 3}), ANY_SIGN(2, {3, 2})}},
    {OP_take, "take", taken, 1, {ANY_SIGN(2, {4, 2})}},
    {OP_take, "take inside", taken_inside, 1, {ANY_SIGN(3, {2, 3, 2})}},
    {OP_take, "take one", taken_one, 1, {ANY_SIGN(3, {2, 3, 2})}},
    {OP_take, "take in order", taken_in_order, 1, {ANY_SIGN(2, {4, 2})}},
    {OP_put, "put", written, 2, {ANY_SIGN(2, {4, 2}), ANY_SIGN(3, {2, 3, 2})}},
    {OP_put, "put inside", written_inside, 2, {ANY_SIGN(3, {2, 3, 2}), ANY_SIGN(3, {2, 4, 2})}},
    {OP_put_add, "put_add", written, 2, {ANY_SIGN(2, {4, 2}), ANY_SIGN(3, {2, 3, 2})}},
    {OP_put_add,
     "put_add inside",
     written_inside,
     2,
     {ANY_SIGN(3, {2, 3, 2}), ANY_SIGN(3, {2, 4, 2})}},
    {OP_scan,
     "scan",
     recurrence,
     3,
     {ANY_SIGN(2, {2, 3}), ANY_SIGN(3, {4, 2, 3}), ANY_SIGN(2, {3, 3})}},
    {OP_scan,
     "scan backwards",
     recurrence_back,
     3,
     {ANY_SIGN(2, {2, 3}), ANY_SIGN(3, {4, 2, 3}), ANY_SIGN(2, {3, 3})}},
    {OP_scan,
     "scan of rows",
     looked_up,
     3,
     {ANY_SIGN(2, {2, 3}), ANY_SIGN(2, {4, 3}), ANY_SIGN(2, {3, 3})}},
    {OP_scan,
     "scan of scans",
     nested_loops,
     3,
     {ANY_SIGN(1, {3}), ANY_SIGN(3, {2, 3, 3}), ANY_SIGN(1, {3})}},
    {OP_argtop, "sort", sorted, 1, {ANY_SIGN(3, {2, 3, 4})}},
    {OP_cumsum, "cumsum", summed_up, 1, {ANY_SIGN(3, {2, 4, 2})}},
    {OP_unfold, "unfold", unfolded, 1, {ANY_SIGN(4, {2, 7, 5, 2})}},
    {OP_unfold,
     "convolution",
     convolved,
     2,
     {ANY_SIGN(4, {2, 7, 5, 2}), ANY_SIGN(4, {3, 2, 2, 3})}},
    {OP_fold, "fold", folded, 1, {ANY_SIGN(6, {2, 3, 3, 3, 2, 2})}},
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- a program with one graph: loss, gradients, sum of their squares, its gradients */

typedef struct Check {
    Arena *arena;
    const Case *c;
    Program *p;
    Array state[MOST_INPUTS + 1]; /* x, then w */
} Check;

static Ref total(Graph *g, Ref x) {
    int rank = graph_type(g, x)->rank;
    return g_reshape(g, g_reduce(g, OP_sum, x, (1u << rank) - 1, nowhere), 0, NULL, nowhere);
}
static void fill(Array *a, const Input *in, uint64_t place) {
    uint64_t key = random_key(SEED, place);
    for (int64_t i = 0; i < type_count(&a->type); i++) {
        double u = random_uniform(key, 0, (uint64_t)i), v = in->lo + u * (in->hi - in->lo);
        a->at[i] = in->signs && i % 2 ? -v : v;
    }
}
static Ref add_input(Check *k, Graph *g, int i, const Type *t, const Input *in) {
    Tensor tensor = {
        .name = arena_printf(k->arena, "x%d", i), .kind = TENSOR_param, .type = *t, .like = -1};
    k->state[i] = (Array){*t, NEW_N(k->arena, double, type_count(t))};
    fill(&k->state[i], in, (uint64_t)i);
    Attr a = {.tensor = program_add_tensor(k->p, &tensor)};
    return graph_add(g, OP_state, &a, NULL, 0, t, nowhere);
}
static Ref grads(Graph *g, Ref y, const Ref *x, int nx) { /* result i is the gradient for x[i] */
    Ref in[MOST_INPUTS + 1] = {y};
    memcpy(in + 1, x, (size_t)nx * sizeof *x);
    return graph_add(g, OP_grad, NULL, in, nx + 1, NULL, nowhere);
}
static Ref weighted_squares(Graph *g, Ref f, Ref w) {
    return total(g, g_binary(g, OP_mul, w, g_binary(g, OP_mul, f, f, nowhere), nowhere));
}

static void build(Check *k, Graph *g) {
    const Input weights = {0, {0}, 0.5, 1.5, true};
    Ref x[MOST_INPUTS];
    for (int i = 0; i < k->c->nx; i++) {
        Type t = type_make(DT_f32, k->c->x[i].rank, k->c->x[i].dim);
        x[i] = add_input(k, g, i, &t, &k->c->x[i]);
    }
    Ref f = k->c->build(g, k->c->op, x);
    Type t = *graph_type(g, f);
    Ref w = add_input(k, g, k->c->nx, &t, &weights);
    Ref loss = weighted_squares(g, f, w), first = grads(g, loss, x, k->c->nx), squares = REF_NONE;
    for (uint32_t i = 0; i < (uint32_t)k->c->nx; i++) {
        Ref d = {first.node, i}, s = total(g, g_binary(g, OP_mul, d, d, nowhere));
        squares = ref_is(squares) ? g_binary(g, OP_add, squares, s, nowhere) : s;
    }
    Ref second = grads(g, squares, x, k->c->nx);
    graph_out(g, OUT_value, NULL, 0, loss, nowhere);
    graph_out(g, OUT_value, NULL, 0, squares, nowhere);
    for (uint32_t i = 0; i < (uint32_t)k->c->nx; i++) {
        graph_out(g, OUT_value, NULL, 0, (Ref){first.node, i}, nowhere);
        graph_out(g, OUT_value, NULL, 0, (Ref){second.node, i}, nowhere);
    }
}

static Array *evaluate(const Check *k, Arena *a) {
    EvalCx cx = {.arena = a, .program = k->p, .f64 = true, .state = k->state, .live = -1};
    Err e = {0};
    Array *out = graph_eval(k->p->entry[0].step, &cx, &e);
    EXPECT(out, "%s: %s", k->c->what, e.msg);
    return out;
}

/* The slopes of loss and sum of squares along one element, by central differences. */
static bool slopes(Check *k, double *x, double slope[2]) {
    double keep = *x, value[2][2];
    for (int side = 0; side < 2; side++) {
        Arena *a = arena_new();
        *x = keep + (side ? step : -step);
        Array *out = evaluate(k, a);
        for (int i = 0; out && i < 2; i++) value[side][i] = out[i].at[0];
        arena_free(a);
        if (!out) return false;
    }
    *x = keep;
    for (int i = 0; i < 2; i++) slope[i] = (value[1][i] - value[0][i]) / (2 * step);
    return true;
}

static void compare(Check *k, const Array *out) {
    static const char *const order[2] = {"first", "second"};
    for (int i = 0; i < k->c->nx; i++)
        for (int64_t e = 0; e < type_count(&k->state[i].type); e++) {
            double slope[2];
            if (!slopes(k, &k->state[i].at[e], slope)) return;
            for (int o = 0; o < 2; o++) {
                double got = out[2 + 2 * i + o].at[e], scale = 1 + fabs(out[o].at[0]);
                EXPECT(fabs(got - slope[o]) <= tolerance * scale,
                       "%s: %s order, input %d element %lld: %.12g, not %.12g", k->c->what,
                       order[o], i, (long long)e, got, slope[o]);
            }
        }
}

/* What the verifier wants around the graph: data, and initial values. */
static void complete(Program *p, Graph *g) {
    static DataSpec data = {.stage = "lines", .input = -1};
    p->spec.data = &data;
    p->spec.ndata = 1;
    p->init = graph_new(p->arena, "init");
    for (size_t i = 0; i < p->ntensor; i++) {
        Ref zero = g_fill(p->init, &p->tensor[i].type, 0, nowhere);
        graph_out(p->init, OUT_state, NULL, (int)i, zero, nowhere);
    }
    p->stage = STAGE_BUILT;
    p->entry = NEW(p->arena, Entry);
    p->entry[0] = (Entry){.kind = ENTRY_train, .name = "check", .step = g, .batch = 1, .steps = 1};
    p->nentry = p->entrycap = 1;
}

/* As autodiff leaves it, and simplified: the driver then compares the two in the interpreter as
 * well. */
static void run_case(const Case *c, size_t passes) {
    static const char *const pass[] = {"autodiff", "whole_set", "simplify"};
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Check k = {.arena = a, .c = c, .p = program_new(a, d)};
    Graph *g = graph_new(a, "check");
    build(&k, g);
    complete(k.p, g);
    k.p = passes_run_named(k.p, d, pass, passes, &(PassOptions){.check_each = true});
    EXPECT(k.p, "%s: autodiff failed", c->what);
    Array *out = k.p ? evaluate(&k, a) : NULL;
    if (out) compare(&k, out);
    arena_free(a);
}

static void every_rule_has_a_case(void) {
    static const char *const rule[OP_COUNT] = {
#define OP(name, arity, attr, shape, vjp, lower, flags) [OP_##name] = #vjp,
#include "ir/ops.def"
#undef OP
    };
    for (int op = 0; op < OP_COUNT; op++) {
        bool has = strcmp(rule[op], "zero") == 0 || strcmp(rule[op], "none") == 0 ||
                   strcmp(rule[op], "leaf") == 0;
        for (int i = 0; i < CASES; i++) has = has || cases[i].op == (Op)op;
        EXPECT(has, "no gradient check for '%s'", op_info[op].name);
    }
}

int main(void) {
    every_rule_has_a_case();
    for (int i = 0; i < CASES; i++) {
        run_case(&cases[i], 1);
        run_case(&cases[i], 3);
    }
    return check_done("vjp");
}
