/* Compiled code against the interpreter: every operator of the table that computes, on odd sizes,
 * every element type it takes, broadcasts, and with 1 and 2 threads (which have to agree bit for
 * bit); then groups as programs have them. A computing operator without a case here fails. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/kernel.h"
#include "tests/unit/codegen_case.h"

/* ---- operators one by one */
static bool takes(Op op, DType first, DType second, int nin) {
    Type in[3] = {type_scalar(first), type_scalar(second), type_scalar(second)}, *out;
    int nout;
    Err e = {0};
    Arena *a = arena_new();
    bool ok = shape_infer(op, &(Attr){.axes = 0}, in, nin, NULL, a, &out, &nout, &e);
    arena_free(a);
    return ok;
}

static const int64_t lengths[] = {1, 7, 16, 17, 63, 65, 130};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void test_pointwise(Op op) {
    int nin = op_info[op].arity;
    for (int t = 0; t < DT_COUNT; t++) {
        DType second = (DType)t, first = op == OP_where ? DT_bool : second;
        if (!takes(op, first, second, nin)) continue;
        for (int s = 0; s < LENGTHS + 2; s++) {
            Case c = case_new("");
            int64_t n = s < LENGTHS ? lengths[s] : 300;
            int64_t rows = s == LENGTHS + 1 ? 257 : 3; /* the last is several tasks */
            c.edges = s == LENGTHS;
            snprintf(c.name, sizeof c.name, "%s %s %lldx%lld", op_info[op].name, dtype_name(second),
                     (long long)rows, (long long)n);
            Ref in[3];
            for (int i = 0; i < nin; i++) { /* whole, a row, a column: broadcasts */
                int64_t dim[] = {i == (s % 2 ? 1 : 3) ? 1 : rows, i == 2 ? 1 : n};
                in[i] = input(&c, i == 0 ? first : second, 2, dim);
            }
            output(&c, graph_add(c.g, op, NULL, in, nin, NULL, (Span){0}));
            case_run(&c);
        }
    }
}

static void test_casts(void) {
    for (int from = 0; from < DT_COUNT; from++)
        for (int to = 0; to < DT_COUNT; to++) {
            Case c = case_new("");
            snprintf(c.name, sizeof c.name, "cast %s to %s", dtype_name((DType)from),
                     dtype_name((DType)to));
            Ref x = input(&c, (DType)from, DIMS(67));
            output(&c,
                   graph_add(c.g, OP_cast, &(Attr){.dtype = (DType)to}, &x, 1, NULL, (Span){0}));
            case_run(&c);
        }
}

static void test_leaf(Op op) {
    static const int64_t shapes[][3] = {
        {1, 1, 1}, {2, 3, 7}, {5, 1, 64}, {3, 2, 128}, {4, 33, 192}};
    for (size_t s = 0; s < 5; s++)
        for (int aligned = 0; aligned < 2;
             aligned++) { /* alone, and beside something that breaks its rows */
            Case c = case_new(op_info[op].name);
            const int64_t *d = shapes[s];
            bool flat = op == OP_permutation || op == OP_live,
                 scalar = op == OP_step || op == OP_steps;
            int64_t n = d[0] * d[1] * d[2];
            DType t = op == OP_randint || op == OP_permutation || op == OP_iota ? DT_i32
                      : op == OP_live || op == OP_const                         ? DT_bool
                                                                                : DT_f32;
            Type type = scalar ? type_scalar(t) : flat ? type_make(t, 1, &n) : type_make(t, 3, d);
            type.batch_axis = op == OP_live ? 0 : NO_BATCH;
            Attr a = {.axis = 0};
            if (op == OP_iota) a.axis = (int)(s % 3);
            if (op == OP_const) a.num = 1;
            if (op_info[op].flags & FLAG_RANDOM)
                a.random.place = 1234567890123u + s, a.random.below = op == OP_randint ? 1000 : 0;
            Ref x = graph_add(c.g, op, &a, NULL, 0, &type, (Span){0});
            if (t == DT_bool) x = g_cast(c.g, x, DT_f32, (Span){0});
            if (aligned && type.rank == 3) {
                Ref y = input(&c, DT_i32, DIMS(d[0], 1, d[2]));
                x = g_binary(c.g, OP_mul, x, g_cast(c.g, y, t == DT_bool ? DT_f32 : t, (Span){0}),
                             (Span){0});
            }
            output(&c, x);
            c.positive = true;
            c.tolerance = op == OP_normal ? 1e-5 : 1e-7;
            case_run(&c);
        }
}

static void test_reduction(Op op) {
    static const uint32_t axes[] = {1, 2, 4, 3, 6, 7, 5};
    static const int64_t shapes[][3] = {{1, 1, 1},  {3, 5, 7},    {2, 17, 65},
                                        {9, 1, 16}, {1, 130, 63}, {4, 100, 130}};
    for (int t = 0; t < DT_COUNT; t++) {
        for (size_t s = 0; s < 6; s++)
            for (size_t r = 0; r < (op == OP_argmax ? 3 : 7); r++) {
                Case c = case_new("");
                Ref x = input(&c, (DType)t, 3, shapes[s]);
                snprintf(c.name, sizeof c.name, "%s %s of %lldx%lldx%lld over %x", op_info[op].name,
                         dtype_name((DType)t), (long long)shapes[s][0], (long long)shapes[s][1],
                         (long long)shapes[s][2], axes[r]);
                Attr a = {.axes = axes[r]};
                if (op == OP_argmax) a.axis = (int)r;
                c.positive = op == OP_sum;
                c.tolerance = op == OP_sum ? 2e-5 : 0;
                output(&c, graph_add(c.g, op, &a, &x, 1, NULL, (Span){0}));
                case_run(&c);
            }
    }
}

static void test_views(void) {
    for (int t = 0; t < DT_COUNT; t++) {
        DType dt = (DType)t;
        Case c = case_new("views");
        Ref x = input(&c, dt, DIMS(5, 17, 3)), y = input(&c, dt, DIMS(5, 2, 3)),
            z = input(&c, dt, DIMS(1, 17, 1));
        output(&c, g_reshape(c.g, x, DIMS(17, 15), (Span){0}));
        output(&c, g_expand(c.g, z, DIMS(4, 5, 17, 33), (Span){0}));
        output(&c, g_transpose(c.g, x, (int[]){2, 0, 1}, (Span){0}));
        output(&c, g_transpose(c.g, g_reshape(c.g, x, DIMS(5, 51), (Span){0}), (int[]){1, 0},
                               (Span){0}));
        Attr slice = {
            .slice = {.rank = 3, .start = {4, 1, 0}, .step = {-2, 3, 1}, .size = {3, 5, 3}}};
        Ref cut = graph_add(c.g, OP_slice, &slice, &x, 1, NULL, (Span){0});
        output(&c, cut);
        output(&c, g_reshape(c.g, g_transpose(c.g, cut, (int[]){1, 0, 2}, (Span){0}), DIMS(45),
                             (Span){0}));
        Attr pad = {.pad = {.rank = 3, .lo = {1, 0, 2}, .hi = {0, 3, 0}, .gap = {0, 1, 2}}};
        output(&c, graph_add(c.g, OP_pad, &pad, &x, 1, NULL, (Span){0}));
        Ref parts[] = {x, y,
                       g_transpose(c.g, input(&c, dt, DIMS(3, 5, 4)), (int[]){1, 2, 0}, (Span){0})};
        output(&c, graph_add(c.g, OP_concat, &(Attr){.axis = 1}, parts, 3, NULL, (Span){0}));
        case_run(&c);
    }
}

/* What is counted, drawn or constant is joined and padded as anything else. */
static void test_pieces(void) {
    Case c = case_new("pieces");
    Type row = type_make(DT_f32, 2, (int64_t[]){5, 17});
    Attr place = {.random = {.place = 77}};
    Ref x = input(&c, DT_f32, DIMS(5, 17)),
        drawn = graph_add(c.g, OP_uniform, &place, NULL, 0, &row, (Span){0});
    Ref zero = g_expand(c.g, g_const(c.g, DT_f32, 0, (Span){0}), DIMS(5, 17), (Span){0});
    Attr pad = {.pad = {.rank = 2, .lo = {1, 0}, .hi = {0, 3}}};
    Ref parts[] = {zero, x, drawn,
                   graph_add(c.g, OP_mul, NULL, (Ref[]){x, drawn}, 2, NULL, (Span){0})};
    Ref whole = graph_add(c.g, OP_concat, &(Attr){.axis = 1}, parts, 4, NULL, (Span){0});
    output(&c, whole);
    output(&c, graph_add(c.g, OP_pad, &pad, &drawn, 1, NULL, (Span){0}));
    output(&c, graph_add(c.g, OP_pad, &pad, &whole, 1, NULL, (Span){0}));
    case_run(&c);
}

static void test_tables(void) {
    static const struct {
        int64_t lead, rows, count, inner;
    } sizes[] = {{1, 9, 5, 1},   {1, 11, 70, 33},    {6, 13, 7, 1},
                 {3, 4, 9, 200}, {1, 500, 600, 130}, {700, 9, 1, 1}};
    for (int t = 0; t < DT_COUNT; t++)
        for (size_t s = 0; s < 6; s++) {
            DType dt = (DType)t;
            Case c = case_new("");
            snprintf(c.name, sizeof c.name, "tables %s %zu", dtype_name(dt), s);
            c.below = sizes[s].rows;
            c.positive = true;
            c.tolerance = 1e-5;
            c.bf16 = 0x1p-4; /* rows are added to many times, and rounded each time */
            int64_t lead = sizes[s].lead, rows = sizes[s].rows, count = sizes[s].count,
                    inner = sizes[s].inner;
            Ref x = input(&c, dt, DIMS(lead, rows, inner)),
                i = input(&c, DT_i32, DIMS(lead, count));
            Ref v = input(&c, dt, DIMS(lead, count, inner));
            output(&c,
                   graph_add(c.g, OP_take, &(Attr){.axis = 1}, (Ref[]){x, i}, 2, NULL, (Span){0}));
            output(&c, graph_add(c.g, OP_put, &(Attr){.axis = 1}, (Ref[]){x, i, v}, 3, NULL,
                                 (Span){0}));
            if (dt != DT_bool)
                output(&c, graph_add(c.g, OP_put_add, &(Attr){.axis = 1}, (Ref[]){x, i, v}, 3, NULL,
                                     (Span){0}));
            if (dt == DT_bool) {
                Ref k = graph_add(c.g, OP_compact, &(Attr){.count = (inner + 1) / 2}, &x, 1, NULL,
                                  (Span){0});
                output(&c, k);
                output(&c, (Ref){k.node, 1});
            }
            case_run(&c);
        }
}

/* Rows of all kinds, few of each and all of them; many equals, as 40 values are few. */
static void test_along(void) {
    static const struct {
        int64_t lead, n, inner, k;
    } sizes[] = {{1, 1, 1, 1}, {5, 40, 1, 3}, {3, 7, 130, 9}, {1, 5000, 2, 64}, {700, 9, 1, 9}};
    for (int t = 0; t < DT_COUNT; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes && t != DT_bool; s++) {
            int64_t lead = sizes[s].lead, n = sizes[s].n, inner = sizes[s].inner;
            Case c = case_new("");
            snprintf(c.name, sizeof c.name, "along %s %zu", dtype_name((DType)t), s);
            c.below = 40;
            c.positive = true;
            c.tolerance = 1e-6;
            c.bf16 = 0x1p-7;
            Ref x = input(&c, (DType)t, DIMS(lead, n, inner)),
                row = input(&c, (DType)t, DIMS(lead, n * inner));
            for (int axis = 0; axis < 3; axis++)
                output(&c,
                       graph_add(c.g, OP_cumsum, &(Attr){.axis = axis}, &x, 1, NULL, (Span){0}));
            const int64_t some[] = {sizes[s].k, n * inner};
            for (int i = 0; i < 2; i++)
                output(&c, graph_add(c.g, OP_argtop, &(Attr){.count = some[i]}, &row, 1, NULL,
                                     (Span){0}));
            case_run(&c);
        }
}

/* Of one to three axes; windows that overlap, that skip, that leave elements at the end. */
static void test_windows(void) {
    static const struct {
        int rank;
        int64_t lead, inner, elements[3], windows[3], places[3], step[3], dilate[3];
    } sizes[] = {{1, 5, 1, {12}, {5}, {3}, {2}, {1}},
                 {1, 2, 33, {41}, {12}, {4}, {3}, {2}},
                 {1, 3, 2, {52}, {6}, {2}, {9}, {5}},
                 {2, 3, 16, {9, 10}, {4, 4}, {3, 3}, {2, 2}, {1, 1}},
                 {2, 64, 20, {16, 17}, {7, 7}, {4, 4}, {2, 2}, {1, 1}},
                 {3, 2, 3, {5, 6, 7}, {3, 4, 2}, {2, 2, 3}, {1, 1, 2}, {2, 1, 1}}};
    static const DType types[] = {DT_f32, DT_f64, DT_bf16};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes * 3; k++) {
        size_t s = k / 3;
        int rank = sizes[s].rank;
        Case c = case_new("");
        snprintf(c.name, sizeof c.name, "windows %s %zu", dtype_name(types[k % 3]), s);
        c.positive = true; /* so that no sum cancels */
        c.tolerance = 1e-6;
        c.bf16 = 0x1p-4; /* places are added up, and rounded each time */
        int64_t x[RANK] = {sizes[s].lead}, y[RANK] = {sizes[s].lead};
        Attr a = {.window = {.axis = 1, .rank = rank}};
        for (int i = 0; i < rank; i++) {
            x[1 + i] = sizes[s].elements[i];
            y[1 + i] = a.window.dim[i] = sizes[s].windows[i];
            y[1 + rank + i] = a.window.size[i] = sizes[s].places[i];
            a.window.step[i] = sizes[s].step[i];
            a.window.dilate[i] = sizes[s].dilate[i];
        }
        x[1 + rank] = y[1 + 2 * rank] = sizes[s].inner;
        Ref in = input(&c, types[k % 3], rank + 2, x),
            windows = input(&c, types[k % 3], 2 * rank + 2, y);
        output(&c, graph_add(c.g, OP_unfold, &a, &in, 1, NULL, (Span){0}));
        for (int i = 0; i < rank; i++) a.window.dim[i] = sizes[s].elements[i];
        output(&c, graph_add(c.g, OP_fold, &a, &windows, 1, NULL, (Span){0}));
        case_run(&c);
    }
}

static void test_fault(void) {
    Case c = case_new("fault");
    Err e = {0};
    c.below = 40; /* of 9 rows */
    Ref x = input(&c, DT_f32, DIMS(9, 3)), i = input(&c, DT_i32, DIMS(20));
    output(&c, graph_add(c.g, OP_take, &(Attr){.axis = 0}, (Ref[]){x, i}, 2, NULL, (Span){0}));
    Program *p = fused(&c, &e);
    RtProgram *rt = codegen_program(codegen, c.a, p, &e);
    char *out[1];
    EXPECT(rt && !run_compiled(&c, rt, 1, out, &e) && strstr(e.msg, "out of range"),
           "an index out of range: %s", e.msg);
    arena_free(c.a);
}

typedef struct DotCase {
    const char *a, *b, *out;
} DotCase;
typedef struct DotTypes {
    DType a, b;
    bool round, halve;
} DotTypes;
static const DotTypes of_f32 = {DT_f32, DT_f32, false, false},
                      halved = {DT_f32, DT_bf16, true, true};
typedef enum Start { START_none, START_full, START_row, START_product, STARTS } Start;

/* What the product starts from: nothing, a value that stays, one broadcast along the last axis, or
 * another product, which it may be written over. */
static Ref started_dot(Case *c, const DotCase *d, const Ref *in, const DotTypes *types,
                       Start start) {
    Node like = {.attr.dot = {.round = types->round, .halve = types->halve && !start}};
    Ref x = g_dot_as(c->g, &like, in[0], in[1], d->a, d->b, d->out);
    const Type *t = graph_type(c->g, x);
    Attr attr = graph_node(c->g, x)->attr;
    attr.dot.halve = types->halve;
    if (start == START_none) return x;
    int rank = start == START_row && t->rank ? 1 : t->rank;
    if (start != START_product) x = input(c, t->dtype, rank, t->dim + t->rank - rank);
    return graph_add(c->g, OP_dot_add, &attr, (Ref[]){x, in[0], in[1]}, 3, NULL, (Span){0});
}

static void test_dot(const DotCase *d, DotTypes t, const int64_t *size, Start start) {
    static const char letters[] = "bmkntshea";
    Case c = case_new("");
    snprintf(c.name, sizeof c.name, "dot %s,%s->%s %s %s %d %d %d", d->a, d->b, d->out,
             dtype_name(t.a), dtype_name(t.b), t.round, t.halve, (int)start);
    Ref in[2];
    for (int o = 0; o < 2; o++) {
        const char *labels = o ? d->b : d->a;
        int64_t dim[RANK];
        for (int i = 0; labels[i]; i++) dim[i] = size[(strchr(letters, labels[i]) - letters) % 8];
        in[o] = input(&c, o ? t.b : t.a, (int)strlen(labels), dim);
    }
    output(&c, started_dot(&c, d, in, &t, start));
    c.positive = true;
    c.of_largest = t.a == DT_i8 || t.b == DT_i8; /* of both signs */
    c.tolerance = 1e-5;
    case_run(&c);
}

static void test_dots(void) {
    static const DotCase dots[] = {
        {"mk", "kn", "mn"},    {"km", "kn", "mn"},       {"mk", "nk", "mn"},
        {"mk", "kn", "nm"},    {"bmk", "kn", "bmn"},     {"bmk", "bmn", "kn"},
        {"bmk", "bkn", "bmn"}, {"bthe", "bshe", "bhts"}, {"bhts", "bshe", "bthe"},
        {"k", "k", ""},        {"m", "n", "mn"},         {"mk", "k", "m"},
        {"b", "b", "b"},       {"ambk", "kn", "abmn"},   {"makb", "nbka", "mn"},
        {"bmk", "bkn", "mnb"}, {"mbk", "nkb", "bnm"},    {"b", "bn", "nb"},
    };
    static const int64_t sizes[2][8] = {{3, 5, 17, 4, 7, 2, 6, 9}, {1, 16, 1, 8, 33, 1, 5, 1}};
    static const DotTypes types[] = {
        {DT_f32, DT_f32, false, false},  {DT_bf16, DT_bf16, false, false},
        {DT_f32, DT_bf16, false, false}, {DT_f32, DT_f32, true, false},
        {DT_bf16, DT_f32, true, false},  {DT_f32, DT_i8, false, false},
        {DT_i8, DT_f32, true, false},    {DT_f32, DT_f32, true, true},
        {DT_bf16, DT_bf16, true, true}};
    for (size_t d = 0; d < sizeof dots / sizeof *dots; d++)
        for (int t = 0; t < 2; t++)
            for (int s = 0; s < STARTS; s++)
                for (size_t k = 0; k < sizeof types / sizeof *types; k++)
                    test_dot(&dots[d], types[k], sizes[t], (Start)s);
}

/* A few rows and a matrix that lies row by row along what is summed, in every type; the rows once
 * in lines of their own, once side by side with others. */
static void test_rows(DType of, int64_t rows, int64_t k, Start start) {
    Case c = case_new("");
    snprintf(c.name, sizeof c.name, "%d rows, k %d, and a matrix of %s, %d", (int)rows, (int)k,
             dtype_name(of), (int)start);
    Ref in[] = {input(&c, DT_f32, DIMS(rows, k)), input(&c, of, DIMS(37, k))};
    c.p->tensor[1].kept = KEPT_rows;
    Ref turned[] = {in[1], in[0]};
    output(&c, started_dot(&c, &(DotCase){"mk", "nk", "mn"}, in, &of_f32, start));
    output(&c, started_dot(&c, &(DotCase){"nk", "mk", "mn"}, turned, &of_f32, start));
    c.positive = c.of_largest = true;
    c.tolerance = 1e-5;
    case_run(&c);
}

static void test_all_rows(void) {
    static const DType of[] = {DT_f32, DT_bf16, DT_i8};
    static const int64_t rows[] = {1, 3, 9, 33}, k[] = {5, 70};
    for (int t = 0; t < 3; t++)
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < 2; i++)
                for (int s = 0; s <= START_row; s++) test_rows(of[t], rows[r], k[i], (Start)s);
}

/* Sums so long that they are computed in parts, or in several blocks. */
static void test_long_dots(void) {
    static const int64_t size[8] = {[0] = 16, [1] = 60, [3] = 44, [5] = 256};
    for (int s = 0; s < STARTS; s++) {
        test_dot(&(DotCase){"bsm", "bsn", "mn"}, of_f32, size, (Start)s);
        test_dot(&(DotCase){"bsm", "bsn", "mn"}, halved, size, (Start)s);
        for (int64_t k = 700; k < 1400; k += 600) {
            int64_t of_k[8] = {[1] = 60, [2] = k, [3] = 44};
            test_dot(&(DotCase){"mk", "kn", "mn"}, halved, of_k, (Start)s);
            test_dot(&(DotCase){"mk", "kn", "nm"}, halved, of_k, (Start)s);
        }
    }
}

/* ---- groups as programs have them. `kernels`: how many steps fusion may leave */
#define AT                                                                                         \
    (Span) {                                                                                       \
        0                                                                                          \
    }
static Ref num(Case *c, double x) {
    return g_const(c->g, DT_f32, x, AT);
}
static Ref bin(Case *c, Op op, Ref x, Ref y) {
    return g_binary(c->g, op, x, y, AT);
}
static Ref un(Case *c, Op op, Ref x) {
    return g_unary(c->g, op, x, AT);
}
static Ref random_like(Case *c, Ref x, uint64_t place) {
    Type t = *graph_type(c->g, x);
    t.dtype = DT_f32;
    return graph_add(c->g, OP_uniform, &(Attr){.random.place = place}, NULL, 0, &t, AT);
}
static Ref mean_last(Case *c, Ref x) {
    const Type *t = graph_type(c->g, x);
    return bin(c, OP_mul, g_reduce(c->g, OP_sum, x, UINT32_C(1) << (t->rank - 1), AT),
               num(c, 1.0 / (double)t->dim[t->rank - 1]));
}
static Ref softmax(Case *c, Ref x) {
    uint32_t last = UINT32_C(1) << (graph_type(c->g, x)->rank - 1);
    Ref e = un(c, OP_exp, bin(c, OP_sub, x, g_reduce(c->g, OP_max, x, last, AT)));
    return bin(c, OP_div, e, g_reduce(c->g, OP_sum, e, last, AT));
}
static Ref dropout(Case *c, Ref x, uint64_t place) {
    Ref keep = bin(c, OP_lt, random_like(c, x, place), num(c, 0.9));
    return g_where(c->g, keep, bin(c, OP_mul, x, num(c, 1 / 0.9)), num(c, 0), AT);
}

static int count_kernels(Case *c) {
    Err e = {0};
    Program *p = fused(c, &e);
    int n = 0;
    for (size_t i = 0; p && i < p->entry[0].step->n; i++)
        n += p->entry[0].step->node[i]->op == OP_fused;
    return p ? n : -1;
}
static void group_run(Case *c, int kernels) {
    c->positive = c->of_largest = true;
    c->tolerance = 1e-5;
    int n = count_kernels(c);
    EXPECT(n > 0 && n <= kernels, "%s: %d kernels, not %d", c->name, n, kernels);
    case_run(c);
}

static void group_softmax(int64_t rows, int64_t n) {
    Case c = case_new("softmax with a mask and dropout");
    Ref x = input(&c, DT_f32, DIMS(3, 2, rows, n)), live = input(&c, DT_bool, DIMS(3, 1, 1, n));
    Ref masked = g_where(c.g, live, bin(&c, OP_mul, x, num(&c, 0.125)), num(&c, -1e9), AT);
    output(&c, dropout(&c, softmax(&c, masked), 7));
    group_run(&c, 1);
}
static void group_layernorm(int64_t n) {
    Case c = case_new("residual, dropout and layer norm");
    Ref x = input(&c, DT_f32, DIMS(4, 9, n)), y = input(&c, DT_f32, DIMS(4, 9, n)),
        b = input(&c, DT_f32, DIMS(n));
    Ref w = input(&c, DT_f32, DIMS(n)), b2 = input(&c, DT_f32, DIMS(n));
    Ref sum = bin(&c, OP_add, x, dropout(&c, bin(&c, OP_add, y, b), 9));
    Ref d = bin(&c, OP_sub, sum, mean_last(&c, sum));
    Ref r = un(&c, OP_rsqrt, bin(&c, OP_add, mean_last(&c, bin(&c, OP_mul, d, d)), num(&c, 1e-5)));
    output(&c, sum);
    output(&c, bin(&c, OP_add, bin(&c, OP_mul, bin(&c, OP_mul, d, r), w), b2));
    group_run(&c, 1);
}
static void group_cross_entropy(int64_t n) {
    Case c = case_new("cross entropy");
    Ref x = input(&c, DT_f32, DIMS(2, 9, n)), b = input(&c, DT_f32, DIMS(n)),
        t = input(&c, DT_i32, DIMS(2, 9));
    c.below = n;
    Ref logits = bin(&c, OP_add, x, b), top = g_reduce(c.g, OP_max, logits, 4, AT);
    Ref lse = bin(
        &c, OP_add, top,
        un(&c, OP_log, g_reduce(c.g, OP_sum, un(&c, OP_exp, bin(&c, OP_sub, logits, top)), 4, AT)));
    Ref picked = graph_add(c.g, OP_take, &(Attr){.axis = 2}, (Ref[]){logits, t}, 2, NULL, AT);
    Ref loss = bin(&c, OP_sub, g_reshape(c.g, lse, DIMS(2, 9), AT), picked);
    output(&c, g_reduce(c.g, OP_sum, loss, 3, AT));
    group_run(&c, 2);
}
static void group_gelu(int64_t n) {
    Case c = case_new("bias, gelu, its gradient, and the bias's");
    Ref x = input(&c, DT_f32, DIMS(7, 5, n)), b = input(&c, DT_f32, DIMS(n)),
        g = input(&c, DT_f32, DIMS(7, 5, n));
    Ref h = bin(&c, OP_add, x, b), z = bin(&c, OP_mul, h, num(&c, 0.7071067811865476));
    Ref cdf = bin(&c, OP_mul, num(&c, 0.5), bin(&c, OP_add, num(&c, 1), un(&c, OP_erf, z)));
    Ref pdf = bin(&c, OP_mul, num(&c, 0.3989422804014327),
                  un(&c, OP_exp, bin(&c, OP_mul, num(&c, -1), bin(&c, OP_mul, z, z))));
    Ref dx = bin(&c, OP_mul, g, bin(&c, OP_add, cdf, bin(&c, OP_mul, h, pdf)));
    output(&c, bin(&c, OP_mul, h, cdf));
    output(&c, dx);
    output(&c, g_reshape(c.g, g_reduce(c.g, OP_sum, dx, 3, AT), DIMS(n), AT));
    group_run(&c, 2);
}
static void group_adamw(int64_t n) {
    Case c = case_new("adamw in place");
    Ref p = input(&c, DT_f32, DIMS(3, n)), g = input(&c, DT_f32, DIMS(3, n)),
        m = input(&c, DT_f32, DIMS(3, n)), v = input(&c, DT_f32, DIMS(3, n));
    Ref m2 = bin(&c, OP_add, bin(&c, OP_mul, num(&c, 0.9), m), bin(&c, OP_mul, num(&c, 0.1), g));
    Ref v2 = bin(&c, OP_add, bin(&c, OP_mul, num(&c, 0.99), v),
                 bin(&c, OP_mul, num(&c, 0.01), bin(&c, OP_mul, g, g)));
    Type scalar = type_scalar(DT_f32);
    Ref t = bin(&c, OP_add, graph_add(c.g, OP_step, NULL, NULL, 0, &scalar, AT), num(&c, 1));
    Ref fix = bin(&c, OP_sub, num(&c, 1), bin(&c, OP_pow, num(&c, 0.9), t));
    Ref step = bin(&c, OP_div, bin(&c, OP_div, m2, fix),
                   bin(&c, OP_add, un(&c, OP_sqrt, v2), num(&c, 1e-8)));
    Ref p2 = bin(&c, OP_sub, p, bin(&c, OP_mul, num(&c, 1e-3), step));
    Ref new[] = {p2, m2, v2};
    int tensor[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) {
        graph_out(c.g, OUT_state, NULL, tensor[i], new[i], AT);
        output(&c, new[i]);
    }
    group_run(&c, 1);
}
/* The gradient of layer norm: sums along rows and, of the same product, along columns. */
static void group_norm_gradient(int64_t n) {
    Case c = case_new("gradient of layer norm");
    Ref x = input(&c, DT_f32, DIMS(6, 11, n)), gy = input(&c, DT_f32, DIMS(6, 11, n)),
        w = input(&c, DT_f32, DIMS(n));
    Ref d = bin(&c, OP_sub, x, mean_last(&c, x));
    Ref r = un(&c, OP_rsqrt, bin(&c, OP_add, mean_last(&c, bin(&c, OP_mul, d, d)), num(&c, 1e-5)));
    Ref hat = bin(&c, OP_mul, d, r), gh = bin(&c, OP_mul, gy, w);
    Ref inner = bin(&c, OP_sub, bin(&c, OP_sub, gh, mean_last(&c, gh)),
                    bin(&c, OP_mul, hat, mean_last(&c, bin(&c, OP_mul, gh, hat))));
    output(&c, bin(&c, OP_mul, r, inner));
    output(&c, g_reduce(c.g, OP_sum, bin(&c, OP_mul, gy, hat), 3, AT));
    output(&c, g_reduce(c.g, OP_sum, gy, 3, AT));
    group_run(&c, 6 * 11 * n < 4096 ? 3 : 2); /* small sums are not worth sharing */
}
/* Much to little: cut into parts when the sizes allow, alone and with what follows. */
static void group_deep(int64_t rows, int64_t n) {
    Case c = case_new("a deep reduction");
    Ref x = input(&c, DT_f32, DIMS(rows, n)), y = input(&c, DT_f32, DIMS(rows, n));
    Ref square = bin(&c, OP_mul, x, y);
    output(&c, un(&c, OP_sqrt, g_reduce(c.g, OP_sum, square, 3, AT)));
    output(&c, g_reduce(c.g, OP_max, square, 3, AT));
    output(&c, g_reduce(c.g, OP_sum, square, 1, AT));
    output(&c, g_reduce(c.g, OP_min, x, 1, AT));
    output(&c, bin(&c, OP_add, square, num(&c, 1)));
    graph_add(c.g, OP_argmax, &(Attr){.axis = 0}, &x, 1, NULL, AT);
    output(&c, graph_add(c.g, OP_argmax, &(Attr){.axis = 0}, &x, 1, NULL, AT));
    group_run(&c, 8);
}
/* Statistics over the leading axes, used in the same columns: two stages by columns. */
static void group_columns(int64_t n) {
    Case c = case_new("normalised columns");
    Ref x = input(&c, DT_f32, DIMS(40, n));
    Ref mu = bin(&c, OP_mul, g_reduce(c.g, OP_sum, x, 1, AT), num(&c, 1.0 / 40)),
        d = bin(&c, OP_sub, x, mu);
    Ref var =
        bin(&c, OP_mul, g_reduce(c.g, OP_sum, bin(&c, OP_mul, d, d), 1, AT), num(&c, 1.0 / 40));
    output(&c, bin(&c, OP_mul, d, un(&c, OP_rsqrt, bin(&c, OP_add, var, num(&c, 1e-5)))));
    group_run(&c, 1);
}
/* Values whose axes do not line up cannot share a kernel, and slices of computed values are read
 * from memory. */
static void group_crossed(int64_t n) {
    Case c = case_new("crossed axes");
    Ref x = input(&c, DT_f32, DIMS(n, n)), y = input(&c, DT_f32, DIMS(n, n));
    Ref e = un(&c, OP_tanh, bin(&c, OP_add, x, y)),
        flipped = g_transpose(c.g, e, (int[]){1, 0}, AT);
    output(&c, bin(&c, OP_mul, e, flipped));
    output(&c, g_reduce(c.g, OP_sum, bin(&c, OP_mul, flipped, x), 2, AT));
    Attr cut = {.slice = {.rank = 2, .start = {0, n - 1}, .step = {1, -1}, .size = {n, n}}};
    Ref back = graph_add(c.g, OP_slice, &cut, &e, 1, NULL, AT);
    output(&c, bin(&c, OP_add, e, back));
    Ref column = un(&c, OP_exp, g_reshape(c.g, g_reduce(c.g, OP_max, x, 2, AT), DIMS(1, n), AT));
    output(&c, bin(&c, OP_sub, e, column)); /* a row's maximum, laid along rows */
    Ref flat = g_reshape(c.g, flipped, DIMS(n * n), AT);
    output(&c, un(&c, OP_abs, flat));
    group_run(&c, 12);
}

/* ---- initial values: those that are zero take no step, all are what they should be */
static void test_initial_values(void) {
    static const double value[] = {0, 0, 1, -0.0, 0, 0};
    static const DType dtype[] = {DT_f32, DT_f32, DT_f32, DT_f32, DT_i32, DT_bool};
    enum { N = sizeof value / sizeof *value, COUNT = 5 * 33 };
    Err e = {0};
    Case c = case_new("initial values");
    c.p->init = graph_new(c.a, "init");
    for (int i = 0; i < N; i++) {
        output(&c, input(&c, dtype[i], DIMS(5, 33)));
        Ref fill = g_fill(c.p->init, &c.p->tensor[i].type, value[i], AT);
        graph_out(c.p->init, OUT_state, NULL, i, fill, AT);
    }
    Program *p = fused(&c, &e);
    RtProgram *rt = p ? codegen_program(codegen, c.a, p, &e) : NULL;
    Exec *x = rt ? exec_new(rt, pool[1], &e) : NULL;
    EXPECT(x && exec_plan(x, rt->init, &(RtClock){.seed = 1}, &e), "%s", e.msg);
    EXPECT(rt && rt->init->nstep == 2, "zeros are written");
    for (int i = 0; x && i < N; i++)
        for (int64_t k = 0; k < COUNT; k++) {
            double got = read_element(exec_tensor(x, i), dtype[i], k);
            EXPECT(got == value[i] && signbit(got) == signbit(value[i]), "tensor %d: %g", i, got);
        }
    exec_free(x);
    arena_free(c.a);
}

/* ---- the folder of objects: a second process finds them, a damaged one is made again */
static void cache_case(const char *folder, size_t expect_files) {
    Err e = {0};
    Codegen *usual = codegen;
    codegen = codegen_new(&(CodegenOptions){.cache = folder}, &e);
    EXPECT(codegen, "%s", e.msg);
    group_softmax(5, 33);
    codegen_free(codegen);
    codegen = usual;
    size_t files = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) files += strstr(f->d_name, ".o") != NULL;
    closedir(d);
    EXPECT(files == expect_files, "%zu objects in the cache, not %zu", files, expect_files);
}

/* Writes over the middle of every object, or removes them. */
static void each_object(const char *folder, bool keep) {
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        FILE *file = strstr(f->d_name, ".o") && keep ? fopen(path, "r+b") : NULL;
        if (file) {
            fseek(file, 300, SEEK_SET);
            fwrite("damaged", 1, 7, file);
            fclose(file);
        } else if (!keep) {
            remove(path);
        }
    }
    closedir(d);
}

static void test_cache(void) {
    char folder[] = "/tmp/upt-cache-XXXXXX";
    EXPECT(mkdtemp(folder), "no folder");
    cache_case(folder, 1);
    cache_case(folder, 1);
    each_object(folder, true);
    cache_case(folder, 1);
    each_object(folder, false);
    rmdir(folder);
}

static void test_groups(void) {
    static const int64_t sizes[] = {1, 2, 7, 16, 17, 64, 65, 130, 192};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s];
        group_softmax(5, n);
        group_layernorm(n);
        group_cross_entropy(n);
        group_gelu(n);
        group_adamw(n);
        group_norm_gradient(n);
        group_columns(n);
        group_crossed(n);
    }
    static const int64_t rows[] = {SHORT_ROW, SHORT_ROW + 1, KEEP_ROW, KEEP_ROW + 1};
    for (size_t s = 0; s < sizeof rows / sizeof *rows; s++) { /* abreast, kept, and neither */
        group_softmax(43, rows[s]);
        group_norm_gradient(rows[s]);
    }
    group_deep(1000, 96);
    group_deep(8192, 3);
    group_deep(997, 131);
    group_deep(1, 65536 * 2);
    group_deep(300, 1);
}

int main(void) {
    Err e = {0};
    codegen = codegen_new(&(CodegenOptions){0}, &e);
    EXPECT(codegen, "%s", e.msg);
    for (int i = 0; i < 2; i++) EXPECT((pool[i] = pool_new(i + 1, &e)), "%s", e.msg);
    for (int op = 0; op < OP_COUNT && !check_failed; op++) {
        const OpInfo *info = &op_info[op];
        bool leaf = info->arity == 0 && op != OP_state && op != OP_field && op != OP_arg;
        if (leaf)
            test_leaf((Op)op);
        else if (info->lower == LOWER_REDUCE)
            test_reduction((Op)op);
        else if (info->lower == LOWER_MAP && op != OP_cast && op != OP_fused && info->arity > 0)
            test_pointwise((Op)op);
    }
    test_casts();
    test_views();
    test_pieces();
    test_tables();
    test_along();
    test_windows();
    test_fault();
    test_dots();
    test_all_rows();
    test_long_dots();
    test_groups();
    test_initial_values();
    test_cache();
    for (int op = 0; op < OP_COUNT; op++) {
        Lower l = op_info[op].lower;
        if (l != LOWER_LEAF && l != LOWER_GONE && l != LOWER_LOOP && op != OP_fused)
            EXPECT(covered[op], "no case compiles '%s'", op_info[op].name);
    }
    printf("%zu structures\n", codegen_kernels(codegen));
    for (int i = 0; i < 2; i++) pool_free(pool[i]);
    codegen_free(codegen);
    return check_done("codegen");
}
