/* What passes promise and files of IR cannot show: shared gradients of equals, recomputation that
 * changes nothing but memory, whole-set evaluation against the whole set at once (with dead rows
 * that hold NaN), simplification of random graphs, and the order of passes. */
#include "passes/passes.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

static const Span nowhere;

/* ---- small programs */

typedef struct Test {
    Arena *arena;
    Diag *diag;
    Program *p;
    Graph *g;
    Array state[16];
} Test;

static Test test_new(EntryKind kind, int64_t batch) {
    Test t = {.arena = arena_new()};
    t.diag = diag_new(t.arena);
    t.p = program_new(t.arena, t.diag);
    t.g = graph_new(t.arena, "test");
    t.p->stage = STAGE_BUILT;
    t.p->entry = NEW(t.arena, Entry);
    t.p->entry[0] = (Entry){.kind = kind,
                            .name = kind == ENTRY_eval ? "eval" : "train",
                            .step = t.g,
                            .batch = batch,
                            .steps = 1};
    t.p->nentry = t.p->entrycap = 1;
    return t;
}

static Ref state(Test *t, int rank, const int64_t *dim, const double *v) {
    Tensor x = {.name = arena_printf(t->arena, "x%zu", t->p->ntensor),
                .type = type_make(DT_f32, rank, dim),
                .like = -1};
    Attr a = {.tensor = program_add_tensor(t->p, &x)};
    t->state[a.tensor] = (Array){x.type, NEW_N(t->arena, double, type_count(&x.type))};
    memcpy(t->state[a.tensor].at, v, (size_t)type_count(&x.type) * sizeof *v);
    return graph_add(t->g, OP_state, &a, NULL, 0, &x.type, nowhere);
}
static void value(Test *t, Ref r) {
    graph_out(t->g, OUT_value, NULL, 0, r, nowhere);
}
static Ref binary(Test *t, Op op, Ref x, Ref y) {
    return g_binary(t->g, op, x, y, nowhere);
}
static Ref number(Test *t, double v) {
    return g_const(t->g, DT_f32, v, nowhere);
}
static Ref total(Test *t, Ref x) {
    int rank = graph_type(t->g, x)->rank;
    return g_reshape(t->g, g_reduce(t->g, OP_sum, x, (1u << rank) - 1, nowhere), 0, NULL, nowhere);
}
static Ref gradient(Test *t, Ref y, Ref x) {
    return graph_add(t->g, OP_grad, NULL, (Ref[]){y, x}, 2, NULL, nowhere);
}

/* What the verifier wants around the graph: data with its fields, and initial values. */
static void complete(Test *t) {
    static Field field[] = {{.name = "x", .dtype = DT_f32, .rank = 1, .dim = {3}},
                            {.name = "k", .dtype = DT_i32, .rank = 1, .dim = {3}}};
    static DataSpec data = {.stage = "lines", .input = -1, .field = field, .nfield = 2};
    if (t->p->init) return;
    t->p->spec.data = &data;
    t->p->spec.ndata = 1;
    t->p->init = graph_new(t->arena, "init");
    for (size_t i = 0; i < t->p->ntensor; i++) {
        Ref zero = g_fill(t->p->init, &t->p->tensor[i].type, 0, nowhere);
        graph_out(t->p->init, OUT_state, NULL, (int)i, zero, nowhere);
    }
}
static bool run(Test *t, const char *const *pass, size_t n) {
    complete(t);
    Program *p = passes_run_named(t->p, t->diag, pass, n, &(PassOptions){.check_each = true});
    if (p) {
        t->p = p;
        t->g = p->entry[0].step;
    }
    return p != NULL;
}
static bool autodiff(Test *t) {
    return run(t, (const char *[]){"autodiff"}, 1);
}

static Array *evaluate(Test *t, const Graph *g) {
    EvalCx cx = {.arena = t->arena,
                 .program = t->p,
                 .f64 = true,
                 .state = t->state,
                 .live = -1,
                 .seed = 5,
                 .step = 2,
                 .steps = 9};
    Err e = {0};
    Array *out = graph_eval(g, &cx, &e);
    EXPECT(out, "%s", e.msg);
    return out;
}
static void expect_values(const char *what, const Array *got, const double *want) {
    for (int64_t i = 0; got && i < type_count(&got->type); i++)
        EXPECT(fabs(got->at[i] - want[i]) <= 1e-12, "%s, element %lld: %g, not %g", what,
               (long long)i, got->at[i], want[i]);
}
static int count_op(const Graph *g, Op op) {
    int n = 0;
    for (size_t i = 0; i < g->n; i++) n += g->node[i]->op == op;
    return n;
}

/* ---- autodiff */

static void check_gradient(const char *what, const double *x, const double *want,
                           Ref (*f)(Test *, Ref)) {
    Test t = test_new(ENTRY_train, 1);
    Ref r = state(&t, 1, (int64_t[]){3}, x);
    value(&t, gradient(&t, total(&t, f(&t, r)), r));
    EXPECT(autodiff(&t), "%s", what);
    Array *out = evaluate(&t, t.g);
    if (out) expect_values(what, out, want);
    arena_free(t.arena);
}
static Ref largest(Test *t, Ref x) {
    return g_reduce(t->g, OP_max, x, 1, nowhere);
}
static Ref smallest(Test *t, Ref x) {
    return g_reduce(t->g, OP_min, x, 1, nowhere);
}
static Ref at_least_one(Test *t, Ref x) {
    return binary(t, OP_maximum, x, number(t, 1));
}
static Ref half_stopped(Test *t, Ref x) {
    return binary(t, OP_mul, x, g_unary(t->g, OP_stop, x, nowhere));
}
static Ref guarded_log(Test *t, Ref x) {
    Ref positive = binary(t, OP_lt, number(t, 0), x);
    return g_where(t->g, positive, g_unary(t->g, OP_log, x, nowhere), number(t, 0), nowhere);
}
static Ref zero_power(Test *t, Ref x) { /* x^p with a p that is no constant and is 0 */
    Ref p = binary(t, OP_sub, x, x);
    return binary(t, OP_pow, number(t, 3),
                  binary(t, OP_add, p, binary(t, OP_pow, x, g_unary(t->g, OP_stop, p, nowhere))));
}
static Ref unreached(Test *t, Ref x) {
    return g_unary(t->g, OP_floor, x, nowhere);
}

static void gradients(void) {
    const double tie[3] = {2, 2, 1}, low[3] = {1, 1, 2};
    check_gradient("max shares among equals", tie, (double[]){0.5, 0.5, 0}, largest);
    check_gradient("min shares among equals", low, (double[]){0.5, 0.5, 0}, smallest);
    check_gradient("maximum halves a tie", low, (double[]){0.5, 0.5, 1}, at_least_one);
    check_gradient("stop_gradient", tie, tie, half_stopped);
    check_gradient("where never multiplies by zero", (double[]){2, -1, 4}, (double[]){0.5, 0, 0.25},
                   guarded_log);
    check_gradient("x^0 is flat at 0", (double[]){0, 1, 2}, (double[]){0, 0, 0}, zero_power);
    check_gradient("no path, no gradient", tie, (double[]){0, 0, 0}, unreached);
}

/* Two layers, each a region, with random numbers inside. */
static void build_layers(Test *t, bool remat) {
    const double w[4] = {0.5, -0.25, 0.125, 1}, x[4] = {1, 2, -1, 0.5};
    Type noise = type_make(DT_f32, 2, (int64_t[]){2, 2});
    Ref weight = state(t, 2, (int64_t[]){2, 2}, w), h = state(t, 2, (int64_t[]){2, 2}, x);
    for (uint32_t layer = 1; layer <= 2; layer++) {
        t->g->region = remat ? layer : 0;
        Attr place = {.random.place = 77 + layer};
        Ref n = graph_add(t->g, OP_normal, &place, NULL, 0, &noise, nowhere);
        Ref z = g_dot(t->g, h, weight, "ij", "jk", "ik", nowhere);
        h = g_unary(t->g, OP_tanh, binary(t, OP_mul, z, n), nowhere);
        h = binary(t, OP_add, h, g_unary(t->g, OP_exp, h, nowhere));
        t->g->region = 0;
    }
    Ref loss = total(t, binary(t, OP_mul, h, h));
    Ref first = gradient(t, loss, weight), squares = total(t, binary(t, OP_mul, first, first));
    value(t, first);
    value(t, gradient(t, squares, weight));
}

static void remat(void) {
    Test plain = test_new(ENTRY_train, 1), again = test_new(ENTRY_train, 1);
    build_layers(&plain, false);
    build_layers(&again, true);
    EXPECT(autodiff(&plain) && autodiff(&again), "autodiff");
    EXPECT(count_op(again.g, OP_grad) == 0 && count_op(again.g, OP_stop) == 0, "left over");
    EXPECT(count_op(again.g, OP_tanh) > count_op(plain.g, OP_tanh), "nothing was recomputed");
    EXPECT(count_op(again.g, OP_normal) > count_op(plain.g, OP_normal), "random numbers were kept");
    EXPECT(count_op(again.g, OP_state) == count_op(plain.g, OP_state), "leaves were copied");
    Array *x = evaluate(&plain, plain.g), *y = evaluate(&again, again.g);
    if (x && y) { /* the second order adds the same terms, in another order */
        EXPECT(memcmp(x[0].at, y[0].at, 4 * sizeof(double)) == 0, "the gradient differs");
        expect_values("second order", &y[1], x[1].at);
    }
    arena_free(plain.arena);
    arena_free(again.arena);
}

/* ---- whole_set */

enum { BATCH = 4, WIDTH = 3, ROWS = 10 }; /* two full batches, and one of two rows */

static double cell(int row, int col) {
    return sin(3 * row + col) + 0.1 * row;
}

static Ref batch_field(Test *t, const char *name, DType dtype) {
    Type type = type_make(dtype, 2, (int64_t[]){BATCH, WIDTH});
    type.batch_axis = 0;
    return graph_add(t->g, OP_field, &(Attr){.name = name}, NULL, 0, &type, nowhere);
}

/* mean over all, largest, smallest, any(x > 2), sum of squares by a contraction, the flattened sum,
 * largest integer */
static void build_reports(Test *t) {
    Ref x = batch_field(t, "x", DT_f32), k = batch_field(t, "k", DT_i32);
    Type ones = *graph_type(t->g, x);
    Ref count = g_reduce(t->g, OP_sum, g_fill(t->g, &ones, 1, nowhere), 3, nowhere);
    value(t, binary(t, OP_div, g_reduce(t->g, OP_sum, x, 3, nowhere), count));
    value(t, g_reduce(t->g, OP_max, x, 1, nowhere));
    value(t, g_reduce(t->g, OP_min, x, 3, nowhere));
    value(t, g_reduce(t->g, OP_max, binary(t, OP_lt, number(t, 1.9), x), 3, nowhere));
    value(t, g_dot(t->g, x, x, "bi", "bj", "ij", nowhere));
    Ref flat = g_reshape(t->g, x, 1, (int64_t[]){BATCH * WIDTH}, nowhere);
    value(t, g_unary(t->g, OP_exp,
                     g_reduce(t->g, OP_sum, binary(t, OP_mul, flat, number(t, 0.1)), 1, nowhere),
                     nowhere));
    value(t, g_reduce(t->g, OP_max, k, 1, nowhere));
}

static void expected_reports(double want[7][9]) {
    double sum = 0, low = INFINITY, any = 0;
    memset(want, 0, 7 * sizeof *want);
    for (int j = 0; j < WIDTH; j++) want[1][j] = want[6][j] = -INFINITY;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < WIDTH; j++) {
            sum += cell(i, j);
            low = fmin(low, cell(i, j));
            any = any != 0 || cell(i, j) > 1.9;
            want[1][j] = fmax(want[1][j], cell(i, j));
            want[6][j] = fmax(want[6][j], -i - j - 1);
            for (int k = 0; k < WIDTH; k++) want[4][j * WIDTH + k] += cell(i, j) * cell(i, k);
        }
    want[0][0] = sum / (ROWS * WIDTH);
    want[2][0] = low;
    want[3][0] = any;
    want[5][0] = exp(0.1 * sum);
}

static void accumulate(Test *t, int first) {
    double x[BATCH * WIDTH], k[BATCH * WIDTH];
    int live = ROWS - first < BATCH ? ROWS - first : BATCH;
    for (int i = 0; i < BATCH * WIDTH; i++) {
        x[i] = i / WIDTH < live ? cell(first + i / WIDTH, i % WIDTH) : NAN;
        k[i] = i / WIDTH < live ? -(first + i / WIDTH) - i % WIDTH - 1 : 0;
    }
    Type tx = type_make(DT_f32, 2, (int64_t[]){BATCH, WIDTH}),
         tk = type_make(DT_i32, 2, (int64_t[]){BATCH, WIDTH});
    tx.batch_axis = tk.batch_axis = 0;
    EvalCx cx = {.arena = t->arena,
                 .program = t->p,
                 .f64 = true,
                 .state = t->state,
                 .field_name = (const char *[]){"x", "k"},
                 .field = (Array[]){{tx, x}, {tk, k}},
                 .nfield = 2,
                 .live = live};
    Err e = {0};
    Array *out = graph_eval(t->p->entry[0].step, &cx, &e);
    EXPECT(out, "%s", e.msg);
    for (size_t i = 0; out && i < t->p->entry[0].step->nout; i++) {
        const Output *o = &t->p->entry[0].step->out[i];
        EXPECT(o->kind == OUT_state, "an accumulating graph returns only sums");
        t->state[o->index].at = out[i].at;
    }
}

static void whole_set(bool simplify) {
    Test t = test_new(ENTRY_eval, BATCH);
    double want[7][9];
    build_reports(&t);
    expected_reports(want);
    EXPECT(run(&t, (const char *[]){"autodiff", "whole_set", "simplify"}, simplify ? 3 : 2),
           "whole_set");
    for (size_t i = 0; i < t.p->ntensor; i++) {
        const Tensor *acc = &t.p->tensor[i];
        EXPECT(acc->kind == TENSOR_acc && str_starts(acc->name, "acc.eval."), "tensor %s",
               acc->name);
        t.state[i] = (Array){acc->type, NEW_N(t.arena, double, type_count(&acc->type))};
        for (int64_t k = 0; k < type_count(&acc->type); k++) t.state[i].at[k] = acc->fill;
    }
    for (int first = 0; first < ROWS; first += BATCH) accumulate(&t, first);
    Array *out = evaluate(&t, t.p->entry[0].logged);
    for (int i = 0; out && i < 7; i++)
        expect_values(arena_printf(t.arena, "report %d", i), &out[i], want[i]);
    arena_free(t.arena);
}

static void expect_refused(const char *what, Ref (*f)(Test *, Ref)) {
    Test t = test_new(ENTRY_eval, BATCH);
    graph_out(t.g, OUT_report, "r", 0, f(&t, batch_field(&t, "x", DT_f32)), nowhere);
    EXPECT(!run(&t, (const char *[]){"autodiff", "whole_set"}, 2), "%s was accepted", what);
    EXPECT(diag_errors(t.diag) == 1, "%s: %zu errors", what, diag_errors(t.diag));
    arena_free(t.arena);
}
static Ref centred(Test *t, Ref x) {
    Ref c = binary(t, OP_sub, x, g_reduce(t->g, OP_sum, x, 1, nowhere));
    return total(t, binary(t, OP_mul, c, c));
}
static Ref first_row(Test *t, Ref x) {
    Attr cut = {.slice = {2, {0, 0}, {1, 1}, {1, 1}}};
    return g_reshape(t->g, graph_add(t->g, OP_slice, &cut, &x, 1, NULL, nowhere), 0, NULL, nowhere);
}
static Ref best_row(Test *t, Ref x) {
    Ref i = graph_add(t->g, OP_argmax, &(Attr){.axis = 0}, &x, 1, NULL, nowhere);
    return total(t, g_cast(t->g, i, DT_f32, nowhere));
}
static Ref sum_of_rolled(Test *t, Ref x) {
    Attr cut = {.slice = {2, {1, 0}, {1, 1}, {BATCH - 1, WIDTH}}};
    return total(t, graph_add(t->g, OP_slice, &cut, &x, 1, NULL, nowhere));
}

/* ---- simplify */

typedef struct Dice {
    uint64_t key, n;
} Dice;
static int roll(Dice *d, int sides) {
    return (int)random_below(d->key, 0, d->n++, (uint32_t)sides);
}

static Ref random_shape(Test *t, Dice *d, Ref x) { /* [3,4] to [3,4] by way of something else */
    const int64_t flat[1] = {12}, full[2] = {3, 4}, wide[3] = {2, 3, 4};
    Graph *g = t->g;
    switch (roll(d, 6)) {
    case 0: return g_reshape(g, g_reshape(g, x, 1, flat, nowhere), 2, full, nowhere);
    case 1:
        return g_transpose(g, g_transpose(g, x, (int[]){1, 0}, nowhere), (int[]){1, 0}, nowhere);
    case 2: return g_expand(g, g_reduce(g, OP_sum, x, 1u << roll(d, 2), nowhere), 2, full, nowhere);
    case 4: {
        Ref sums = g_reshape(g, g_reduce(g, OP_sum, x, 2, nowhere), 1, full, nowhere);
        sums = binary(t, OP_add, g_unary(g, OP_tanh, sums, nowhere), number(t, 1));
        Ref all = g_reshape(g, g_reduce(g, OP_max, sums, 1, nowhere), 0, NULL, nowhere);
        sums = g_reshape(g, sums, 2, (int64_t[]){3, 1}, nowhere);
        return binary(t, OP_mul, binary(t, OP_sub, x, sums), all);
    }
    case 3: {
        Ref sum =
            g_reduce(g, roll(d, 2) ? OP_sum : OP_max, g_expand(g, x, 3, wide, nowhere), 1, nowhere);
        return g_reshape(g, sum, 2, full, nowhere);
    }
    default: {
        Attr cut = {.slice = {2, {2, roll(d, 2) ? 3 : 0}, {-1, 1}, {3, 4}}};
        cut.slice.step[1] = cut.slice.start[1] ? -1 : 1;
        return graph_add(g, OP_slice, &cut, &x, 1, NULL, nowhere);
    }
    }
}
static Ref random_node(Test *t, Dice *d, Ref x, Ref y) {
    static const Op unary[] = {OP_neg, OP_abs, OP_tanh, OP_sigmoid, OP_exp, OP_sin},
                    two[] = {OP_add, OP_sub, OP_mul, OP_div, OP_minimum, OP_maximum};
    static const double constants[] = {0, 1, -1, 2, 0.5, 3, -4};
    Ref c = number(t, constants[roll(d, 7)]);
    switch (roll(d, 8)) {
    case 0: return g_unary(t->g, unary[roll(d, 6)], x, nowhere);
    case 1: return binary(t, two[roll(d, 6)], x, y);
    case 2: return binary(t, two[roll(d, 6)], x, c);
    case 3: return binary(t, two[roll(d, 6)], g_expand(t->g, c, 2, (int64_t[]){3, 4}, nowhere), x);
    case 4: return binary(t, OP_pow, g_unary(t->g, OP_abs, x, nowhere), c);
    case 5:
        return g_where(t->g, binary(t, roll(d, 2) ? OP_lt : OP_eq, roll(d, 2) ? c : x, c), x, y,
                       nowhere);
    case 6: {
        Ref turned = g_transpose(t->g, y, (int[]){1, 0}, nowhere);
        Ref product = g_dot(t->g, x, turned, "ij", "jk", "ik", nowhere);
        return g_dot(t->g, g_transpose(t->g, product, (int[]){1, 0}, nowhere), x, "ij", "jk", "ik",
                     nowhere);
    }
    default: return random_shape(t, d, x);
    }
}

static bool close_enough(double x, double y, double most) {
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-9 * most;
}
static void compare_outputs(const Array *x, const Array *y, uint64_t seed) {
    double most = 0;
    for (int i = 0; i < 12; i++) most = isfinite(x->at[i]) ? fmax(most, fabs(x->at[i])) : most;
    for (int i = 0; i < 12; i++)
        EXPECT(close_enough(x->at[i], y->at[i], most), "graph %llu element %d: %.17g became %.17g",
               (unsigned long long)seed, i, x->at[i], y->at[i]);
}

static void random_graph(uint64_t seed) {
    Test t = test_new(ENTRY_train, 1);
    Dice d = {random_key(seed, 1), 0};
    double v[12];
    Ref pool[24];
    int n = 0;
    for (; n < 3; n++) {
        for (int i = 0; i < 12; i++)
            v[i] = random_normal(random_key(seed, 2), (uint64_t)n, (uint64_t)i);
        pool[n] = state(&t, 2, (int64_t[]){3, 4}, v);
    }
    for (; n < 24; n++) pool[n] = random_node(&t, &d, pool[roll(&d, n)], pool[roll(&d, n)]);
    for (int i = 20; i < 24; i++) value(&t, pool[i]);
    const Graph *before = t.g;
    Array *x = evaluate(&t, before);
    EXPECT(run(&t, (const char *[]){"autodiff", "whole_set", "simplify"}, 3), "simplify");
    Array *y = evaluate(&t, t.g);
    for (int i = 0; x && y && i < 4; i++) compare_outputs(&x[i], &y[i], seed);
    arena_free(t.arena);
}

static void long_sums(void) { /* split by shape, the same sum */
    Test t = test_new(ENTRY_train, 1);
    Type type = type_make(DT_i32, 2, (int64_t[]){300, 400}),
         line = type_make(DT_i32, 1, (int64_t[]){120000});
    Ref rows = graph_add(t.g, OP_iota, &(Attr){.axis = 0}, NULL, 0, &type, nowhere);
    Ref cells = graph_add(t.g, OP_iota, &(Attr){.axis = 0}, NULL, 0, &line, nowhere);
    Ref seven = g_const(t.g, DT_i32, 7, nowhere);
    value(&t, g_reduce(t.g, OP_sum, binary(&t, OP_mod, rows, seven), 3, nowhere));
    value(&t, g_reduce(t.g, OP_sum, binary(&t, OP_mod, cells, seven), 1, nowhere));
    value(&t, g_reduce(t.g, OP_max, cells, 1, nowhere));
    Array *x = evaluate(&t, t.g);
    EXPECT(run(&t, (const char *[]){"autodiff", "whole_set", "simplify"}, 3), "simplify");
    EXPECT(count_op(t.g, OP_sum) == 4 && count_op(t.g, OP_max) == 2, "%d sums, %d maxima",
           count_op(t.g, OP_sum), count_op(t.g, OP_max));
    Array *y = evaluate(&t, t.g);
    for (int i = 0; x && y && i < 3; i++)
        EXPECT(x[i].at[0] == y[i].at[0], "output %d: %g became %g", i, x[i].at[0], y[i].at[0]);
    arena_free(t.arena);
}

/* ---- the driver */

static void order(void) {
    Test t = test_new(ENTRY_train, 1);
    value(&t, number(&t, 1));
    EXPECT(!run(&t, (const char *[]){"simplify"}, 1) && diag_errors(t.diag) == 1,
           "simplify before whole_set");
    EXPECT(!run(&t, (const char *[]){"no such pass"}, 1) && diag_errors(t.diag) == 2,
           "an unknown pass");
    arena_free(t.arena);
}

int main(void) {
    gradients();
    remat();
    whole_set(false);
    whole_set(true);
    expect_refused("a second pass over the set", centred);
    expect_refused("one row's value", first_row);
    expect_refused("the largest's row", best_row);
    expect_refused("a sum over some rows", sum_of_rolled);
    for (uint64_t seed = 0; seed < 300; seed++) random_graph(seed);
    long_sums();
    order();
    return check_done("passes");
}
