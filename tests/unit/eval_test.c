/* The reference interpreter against values computed by hand, every operator of the table, and the
 * rules around it: rounding, full precision, freed values, failures with a place. */
#include "ir/ir.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

static Arena *arena; /* of the whole test */
static bool tested[OP_COUNT];
static const Span nowhere = {0};
#define NO_ATTR ((Attr){.num = 0})
#define DIMS(...) ((sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))), ((int64_t[]){__VA_ARGS__})
#define VALUES(...) ((double[]){__VA_ARGS__})
#define SCALAR 0, NULL

static Array array(DType t, size_t rank, const int64_t *dim, const double *v) {
    Array a = {.type = type_make(t, (int)rank, dim)};
    a.at = arena_memdup(arena, v, (size_t)type_count(&a.type) * sizeof *v);
    return a;
}

static bool same(double x, double y) {
    return x == y || (isnan(x) && isnan(y));
}

/* Floats are compared after rounding to f32: expectations are written with more digits. */
static void equals(const char *what, const Array *got, const Array *want) {
    EXPECT(got->type.dtype == want->type.dtype && type_same_shape(&got->type, &want->type),
           "%s: type", what);
    if (!type_same_shape(&got->type, &want->type)) return;
    for (int64_t i = 0; i < type_count(&want->type); i++) {
        double w = want->type.dtype == DT_f32 ? (double)(float)want->at[i] : want->at[i];
        EXPECT(same(got->at[i], w), "%s: element %lld is %.9g, not %.9g", what, (long long)i,
               got->at[i], w);
    }
}

static Array *evaluate(Op op, Attr attr, int nin, const Array *in, const Type *given, EvalCx cx,
                       Err *e) {
    Graph *g = graph_new(arena, "g");
    Ref ref[4], r;
    for (int i = 0; i < nin; i++)
        ref[i] = graph_add(g, OP_arg, &(Attr){.count = i}, NULL, 0, &in[i].type, nowhere);
    r = graph_add(g, op, &attr, ref, nin, given, nowhere);
    for (int i = 0; i < graph_node(g, r)->nout; i++)
        graph_out(g, OUT_value, NULL, 0, (Ref){r.node, (uint32_t)i}, nowhere);
    cx.arena = arena;
    cx.args = in;
    tested[op] = true;
    return graph_eval(g, &cx, e);
}

static void computes(Op op, Attr attr, int nin, const Array *in, int nout, const Array *want) {
    Err e = {0};
    Array *got = evaluate(op, attr, nin, in, NULL, (EvalCx){.live = -1}, &e);
    EXPECT(got, "%s: %s", op_info[op].name, e.msg);
    for (int i = 0; got && i < nout; i++) equals(op_info[op].name, &got[i], &want[i]);
}
#define INPUTS(...) (int)(sizeof((Array[]){__VA_ARGS__}) / sizeof(Array)), ((Array[]){__VA_ARGS__})

/* ---- leaves */

static void test_leaves(void) {
    Err e = {0};
    Type f = type_make(DT_f32, 2, (int64_t[]){2, 3}), i = type_make(DT_i32, 2, (int64_t[]){2, 3});
    Type live = type_make(DT_bool, 1, (int64_t[]){4}), ids = type_make(DT_i32, 1, (int64_t[]){2});
    live.batch_axis = 0;
    Array state[] = {array(DT_f32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6))},
          field[] = {array(DT_i32, DIMS(2), VALUES(7, 8))};
    const char *name[] = {"ids"};
    EvalCx cx = {.state = state,
                 .field = field,
                 .field_name = name,
                 .nfield = 1,
                 .step = 12,
                 .steps = 100,
                 .live = 3};
    Array *got = evaluate(OP_const, (Attr){.num = 0.1}, 0, NULL, &f, cx, &e);
    equals("const", got, &(Array){f, VALUES(0.1, 0.1, 0.1, 0.1, 0.1, 0.1)});
    equals("iota", evaluate(OP_iota, (Attr){.axis = 1}, 0, NULL, &i, cx, &e),
           &(Array){i, VALUES(0, 1, 2, 0, 1, 2)});
    equals("iota", evaluate(OP_iota, (Attr){.axis = 0}, 0, NULL, &i, cx, &e),
           &(Array){i, VALUES(0, 0, 0, 1, 1, 1)});
    equals("state", evaluate(OP_state, (Attr){.tensor = 0}, 0, NULL, &f, cx, &e), state);
    equals("field", evaluate(OP_field, (Attr){.name = "ids"}, 0, NULL, &ids, cx, &e), field);
    equals("live", evaluate(OP_live, NO_ATTR, 0, NULL, &live, cx, &e),
           &(Array){live, VALUES(1, 1, 1, 0)});
    equals("step", evaluate(OP_step, NO_ATTR, 0, NULL, NULL, cx, &e),
           &(Array){type_scalar(DT_f32), VALUES(12)});
    equals("steps", evaluate(OP_steps, NO_ATTR, 0, NULL, NULL, cx, &e),
           &(Array){type_scalar(DT_f32), VALUES(100)});
    EXPECT(!evaluate(OP_field, (Attr){.name = "odd"}, 0, NULL, &ids, cx, &e) &&
               strstr(e.msg, "odd"),
           "%s", e.msg);
    EXPECT(!evaluate(OP_state, NO_ATTR, 0, NULL, &i, cx, &e) && strstr(e.msg, "not f32[2,3]"), "%s",
           e.msg);
    equals("arg", evaluate(OP_arg, NO_ATTR, 0, state, &f, cx, &e), state);
}

static void test_random(void) {
    Err e = {0};
    EvalCx cx = {.seed = 5, .step = 9};
    Attr attr = {.random = {.place = 77}}, below = {.random = {.place = 77, .below = 10}};
    Type f = type_make(DT_f32, 2, (int64_t[]){10, 20}), i = type_make(DT_i32, 1, (int64_t[]){200});
    Array *u = evaluate(OP_uniform, attr, 0, NULL, &f, cx, &e),
          *n = evaluate(OP_normal, attr, 0, NULL, &f, cx, &e);
    Array *r = evaluate(OP_randint, below, 0, NULL, &i, cx, &e),
          *p = evaluate(OP_permutation, attr, 0, NULL, &i, cx, &e);
    cx.step = 10;
    Array *later = evaluate(OP_permutation, attr, 0, NULL, &i, cx, &e);
    uint64_t key = random_key(5, 77);
    bool seen[200] = {0}, moved = false;
    for (uint64_t k = 0; k < 200; k++) {
        EXPECT(u->at[k] == (double)random_uniform(key, 9, k), "uniform %d", (int)k);
        EXPECT(n->at[k] == (double)(float)random_normal(key, 9, k), "normal %d", (int)k);
        EXPECT(r->at[k] == random_below(key, 9, k, 10) && r->at[k] < 10, "randint %d", (int)k);
        EXPECT(p->at[k] >= 0 && p->at[k] < 200 && !seen[(int)p->at[k]], "permutation %d", (int)k);
        seen[(int)p->at[k]] = true;
        moved = moved || p->at[k] != later->at[k];
    }
    EXPECT(moved, "the same permutation in the next step");
}

/* ---- pointwise */

static void test_unary(void) {
    static const struct {
        Op op;
        double x, y;
    } c[] = {{OP_neg, 1.5, -1.5},
             {OP_abs, -2, 2},
             {OP_sign, -3, -1},
             {OP_sign, 0, 0},
             {OP_sign, NAN, NAN},
             {OP_floor, -1.5, -2},
             {OP_exp, 1, 2.718281828459045},
             {OP_exp, -INFINITY, 0},
             {OP_log, 2, 0.6931471805599453},
             {OP_log, 0, -INFINITY},
             {OP_log, -1, NAN},
             {OP_log1p, 0.5, 0.4054651081081644},
             {OP_expm1, 1, 1.718281828459045},
             {OP_sqrt, 2, 1.4142135623730951},
             {OP_rsqrt, 4, 0.5},
             {OP_rsqrt, 0, INFINITY},
             {OP_tanh, 1, 0.7615941559557649},
             {OP_sigmoid, 0, 0.5},
             {OP_sigmoid, -1000, 0},
             {OP_erf, 1, 0.8427007929497149},
             {OP_sin, 1, 0.8414709848078965},
             {OP_cos, 1, 0.5403023058681398},
             {OP_stop, 3, 3}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        computes(c[i].op, NO_ATTR, INPUTS(array(DT_f32, SCALAR, &c[i].x)), 1,
                 &(Array){type_scalar(DT_f32), VALUES(c[i].y)});
    computes(OP_not, NO_ATTR, INPUTS(array(DT_bool, DIMS(2), VALUES(0, 1))),
             INPUTS(array(DT_bool, DIMS(2), VALUES(1, 0))));
    computes(OP_neg, NO_ATTR, INPUTS(array(DT_i32, DIMS(2), VALUES(5, INT32_MIN))),
             INPUTS(array(DT_i32, DIMS(2), VALUES(-5, INT32_MIN))));
    computes(OP_neg, NO_ATTR, INPUTS(array(DT_u8, DIMS(2), VALUES(5, 0))),
             INPUTS(array(DT_u8, DIMS(2), VALUES(251, 0))));
}

static void casts(DType from, double x, DType to, double y) {
    computes(OP_cast, (Attr){.dtype = to}, INPUTS(array(from, SCALAR, &x)),
             INPUTS(array(to, SCALAR, &y)));
}

static void test_cast(void) {
    casts(DT_f32, -1.9, DT_i32, -1);
    casts(DT_f32, 1e20, DT_i32, INT32_MAX);
    casts(DT_f32, -1e20, DT_i32, INT32_MIN);
    casts(DT_f32, NAN, DT_i32, 0);
    casts(DT_f32, 300, DT_u8, 255);
    casts(DT_f32, -3, DT_u8, 0);
    casts(DT_f32, NAN, DT_bool, 1);
    casts(DT_f32, -0.0, DT_bool, 0);
    casts(DT_i32, 300, DT_u8, 44);
    casts(DT_f32, 300, DT_i8, 127);
    casts(DT_f32, -3.7, DT_i8, -3);
    casts(DT_i32, 200, DT_i8, -56);
    casts(DT_i32, -1, DT_u8, 255);
    casts(DT_i64, 4294967297, DT_i32, 1);
    casts(DT_i32, 16777217, DT_f32, 16777216);
    casts(DT_f32, 1.00390625, DT_bf16, 1);        /* half way between 1 and 1 + 2^-7: to even */
    casts(DT_f32, 1.01171875, DT_bf16, 1.015625); /* half way the other way */
    casts(DT_bool, 1, DT_f32, 1);
}

static void binary(Op op, DType t, double x, double y, DType to, double z) {
    computes(op, NO_ATTR, INPUTS(array(t, SCALAR, &x), array(t, SCALAR, &y)),
             INPUTS(array(to, SCALAR, &z)));
}

static void test_binary(void) {
    static const struct {
        Op op;
        DType t;
        double x, y, z;
    } c[] = {{OP_add, DT_f32, 16777216, 1, 16777216},
             {OP_add, DT_i32, INT32_MAX, 1, INT32_MIN},
             {OP_sub, DT_i32, INT32_MIN, 1, INT32_MAX},
             {OP_sub, DT_u8, 1, 2, 255},
             {OP_mul, DT_f32, 3, 0.5, 1.5},
             {OP_mul, DT_i32, 65537, 65537, 131073},
             {OP_mul, DT_i32, INT32_MAX, INT32_MAX, 1},
             {OP_div, DT_f32, 1, 3, 0.333333333333},
             {OP_div, DT_f32, 1, 0, INFINITY},
             {OP_div, DT_i32, -7, 2, -4},
             {OP_div, DT_i32, 7, -2, -4},
             {OP_div, DT_i32, 7, 0, 0},
             {OP_div, DT_i32, INT32_MIN, -1, INT32_MIN},
             {OP_mod, DT_i32, -7, 3, 2},
             {OP_mod, DT_i32, 7, -3, -2},
             {OP_mod, DT_i32, 7, 0, 0},
             {OP_mod, DT_f32, -7.5, 2, 0.5},
             {OP_mod, DT_f32, 7.5, -2, -0.5},
             {OP_pow, DT_f32, 2, -2, 0.25},
             {OP_minimum, DT_f32, 1, 2, 1},
             {OP_minimum, DT_f32, NAN, 1, NAN},
             {OP_minimum, DT_f32, 1, NAN, NAN},
             {OP_maximum, DT_i32, -1, 2, 2},
             {OP_maximum, DT_f32, NAN, 1, NAN},
             {OP_maximum, DT_f32, 1, NAN, NAN}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        binary(c[i].op, c[i].t, c[i].x, c[i].y, c[i].t, c[i].z);
    binary(OP_eq, DT_f32, NAN, NAN, DT_bool, 0);
    binary(OP_eq, DT_i32, 4, 4, DT_bool, 1);
    binary(OP_ne, DT_f32, NAN, NAN, DT_bool, 1);
    binary(OP_lt, DT_f32, 1, NAN, DT_bool, 0);
    binary(OP_lt, DT_i32, -1, 0, DT_bool, 1);
    binary(OP_le, DT_f32, 2, 2, DT_bool, 1);
    for (int k = 0; k < 4; k++) {
        binary(OP_and, DT_bool, k & 1, k >> 1, DT_bool, k == 3);
        binary(OP_or, DT_bool, k & 1, k >> 1, DT_bool, k != 0);
    }
}

static void test_broadcast(void) {
    Array column = array(DT_f32, DIMS(2, 1), VALUES(10, 20)),
          row = array(DT_f32, DIMS(3), VALUES(1, 2, 3));
    computes(OP_sub, NO_ATTR, INPUTS(column, row),
             INPUTS(array(DT_f32, DIMS(2, 3), VALUES(9, 8, 7, 19, 18, 17))));
    computes(OP_where, NO_ATTR, INPUTS(array(DT_bool, DIMS(3), VALUES(1, 0, 1)), column, row),
             INPUTS(array(DT_f32, DIMS(2, 3), VALUES(10, 2, 10, 20, 2, 20))));
}

/* ---- shape */

static void test_views(void) {
    Array x = array(DT_i32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    computes(OP_reshape, (Attr){.shape = {2, {3, 2}}}, INPUTS(x),
             INPUTS(array(DT_i32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6))));
    computes(OP_expand, (Attr){.shape = {2, {2, 2}}},
             INPUTS(array(DT_i32, DIMS(2, 1), VALUES(1, 2))),
             INPUTS(array(DT_i32, DIMS(2, 2), VALUES(1, 1, 2, 2))));
    computes(OP_transpose, (Attr){.perm = {2, {1, 0}}}, INPUTS(x),
             INPUTS(array(DT_i32, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6))));
    computes(OP_transpose, (Attr){.perm = {3, {2, 0, 1}}},
             INPUTS(array(DT_i32, DIMS(1, 2, 3), VALUES(1, 2, 3, 4, 5, 6))),
             INPUTS(array(DT_i32, DIMS(3, 1, 2), VALUES(1, 4, 2, 5, 3, 6))));
    computes(OP_slice, (Attr){.slice = {2, {1, 2}, {-1, -2}, {2, 2}}}, INPUTS(x),
             INPUTS(array(DT_i32, DIMS(2, 2), VALUES(6, 4, 3, 1))));
    computes(OP_pad, (Attr){.pad = {1, {1}, {2}, {1}}},
             INPUTS(array(DT_i32, DIMS(2), VALUES(7, 8))),
             INPUTS(array(DT_i32, DIMS(6), VALUES(0, 7, 0, 8, 0, 0))));
    computes(OP_concat, (Attr){.axis = 1}, INPUTS(x, array(DT_i32, DIMS(2, 1), VALUES(8, 9)), x),
             INPUTS(array(DT_i32, DIMS(2, 7), VALUES(1, 2, 3, 8, 1, 2, 3, 4, 5, 6, 9, 4, 5, 6))));
}

/* ---- reductions, products, tables */

static void test_reductions(void) {
    Array x = array(DT_f32, DIMS(2, 3), VALUES(1, 5, 3, 4, 5, 5)),
          b = array(DT_bool, DIMS(3), VALUES(1, 0, 1));
    Array odd = array(DT_f32, DIMS(4), VALUES(1, NAN, 3, NAN)),
          big = array(DT_i32, DIMS(2), VALUES(INT32_MAX, 1));
    computes(OP_sum, (Attr){.axes = 1}, INPUTS(x),
             INPUTS(array(DT_f32, DIMS(1, 3), VALUES(5, 10, 8))));
    computes(OP_sum, (Attr){.axes = 3}, INPUTS(x), INPUTS(array(DT_f32, DIMS(1, 1), VALUES(23))));
    computes(OP_sum, (Attr){.axes = 1}, INPUTS(b), INPUTS(array(DT_i32, DIMS(1), VALUES(2))));
    computes(OP_sum, (Attr){.axes = 1}, INPUTS(big),
             INPUTS(array(DT_i32, DIMS(1), VALUES(INT32_MIN))));
    computes(OP_max, (Attr){.axes = 2}, INPUTS(x), INPUTS(array(DT_f32, DIMS(2, 1), VALUES(5, 5))));
    computes(OP_max, (Attr){.axes = 1}, INPUTS(b), INPUTS(array(DT_bool, DIMS(1), VALUES(1))));
    computes(OP_max, (Attr){.axes = 1}, INPUTS(odd), INPUTS(array(DT_f32, DIMS(1), VALUES(NAN))));
    computes(OP_min, (Attr){.axes = 1}, INPUTS(x),
             INPUTS(array(DT_f32, DIMS(1, 3), VALUES(1, 5, 3))));
    computes(OP_min, (Attr){.axes = 1}, INPUTS(b), INPUTS(array(DT_bool, DIMS(1), VALUES(0))));
    computes(OP_argmax, (Attr){.axis = 1}, INPUTS(x),
             INPUTS(array(DT_i32, DIMS(2, 1), VALUES(1, 1))));
    computes(OP_argmax, (Attr){.axis = 0}, INPUTS(x),
             INPUTS(array(DT_i32, DIMS(1, 3), VALUES(1, 0, 1))));
    computes(OP_argmax, (Attr){.axis = 0}, INPUTS(odd), INPUTS(array(DT_i32, DIMS(1), VALUES(1))));
}

static void test_dot(void) {
    Array a = array(DT_f32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
          b = array(DT_f32, DIMS(3, 2), VALUES(1, 0, 0, 1, 2, 3));
    computes(OP_dot, (Attr){.dot = {"mk", "kn", "mn", false, false}}, INPUTS(a, b),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(7, 11, 16, 23))));
    computes(OP_dot, (Attr){.dot = {"mk", "kn", "nm", false, false}}, INPUTS(a, b),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(7, 16, 11, 23))));
    computes(OP_dot, (Attr){.dot = {"mk", "km", "", false, false}}, INPUTS(a, b),
             INPUTS(array(DT_f32, SCALAR, VALUES(30))));
    computes(OP_dot, (Attr){.dot = {"bk", "bk", "b", false, false}}, INPUTS(a, a),
             INPUTS(array(DT_f32, DIMS(2), VALUES(14, 77))));
    computes(OP_dot, (Attr){.dot = {"i", "j", "ij", false, false}},
             INPUTS(array(DT_f32, DIMS(2), VALUES(1, 2)), array(DT_f32, DIMS(2), VALUES(3, 4))),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(3, 4, 6, 8))));
    /* 0x1.02p0 lies between two numbers of bf16; the sum 515 would be between two as well */
    Array fine = array(DT_f32, DIMS(2), VALUES(0x1.010002p0, 257)),
          coarse = array(DT_bf16, DIMS(2), VALUES(0x1.02p0, 258));
    computes(OP_dot, (Attr){.dot = {"k", "k", "", true, false}}, INPUTS(fine, fine),
             INPUTS(array(DT_f32, SCALAR, VALUES(0x1.02p0 * 0x1.02p0 + 256 * 256))));
    computes(OP_dot, (Attr){.dot = {"k", "k", "", false, false}}, INPUTS(coarse, fine),
             INPUTS(array(DT_f32, SCALAR, VALUES(0x1.02p0 * 0x1.010002p0 + 258 * 257))));
    computes(OP_dot, (Attr){.dot = {"k", "k", "", false, false}}, INPUTS(coarse, coarse),
             INPUTS(array(DT_f32, SCALAR, VALUES(0x1.02p0 * 0x1.02p0 + 258 * 258))));
    Err e = {0};
    Array *exact = evaluate(OP_dot, (Attr){.dot = {"k", "k", "", true, false}}, INPUTS(fine, fine),
                            NULL, (EvalCx){.live = -1, .f64 = true}, &e);
    EXPECT(exact->at[0] == 0x1.010002p0 * 0x1.010002p0 + 257 * 257, "f64 rounds nothing");
}

static void test_dot_add(void) {
    Array a = array(DT_f32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
          b = array(DT_f32, DIMS(3, 2), VALUES(1, 0, 0, 1, 2, 3));
    Attr product = {.dot = {"mk", "kn", "mn", false, false}};
    computes(OP_dot_add, product, INPUTS(array(DT_f32, DIMS(2, 2), VALUES(10, 20, 30, 40)), a, b),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(17, 31, 46, 63))));
    computes(OP_dot_add, product, INPUTS(array(DT_f32, DIMS(2), VALUES(10, 20)), a, b),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(17, 31, 26, 43))));
    computes(OP_dot_add, (Attr){.dot = {"mk", "kn", "nm", false, false}},
             INPUTS(array(DT_f32, DIMS(2, 1), VALUES(10, 20)), a, b),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(17, 26, 31, 43))));
}

static void test_tables(void) {
    Array x = array(DT_f32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6)),
          i = array(DT_i32, DIMS(2), VALUES(2, 0));
    Array lead = array(DT_i32, DIMS(3, 1), VALUES(1, 0, 1)),
          twice = array(DT_i32, DIMS(2), VALUES(1, 1));
    Array v = array(DT_f32, DIMS(2, 2), VALUES(10, 20, 30, 40)),
          one = array(DT_f32, DIMS(3, 1), VALUES(7, 8, 9));
    computes(OP_take, (Attr){.axis = 0}, INPUTS(x, i),
             INPUTS(array(DT_f32, DIMS(2, 2), VALUES(5, 6, 1, 2))));
    computes(OP_take, (Attr){.axis = 1}, INPUTS(x, lead),
             INPUTS(array(DT_f32, DIMS(3, 1), VALUES(2, 3, 6))));
    computes(OP_put, (Attr){.axis = 0}, INPUTS(x, twice, v),
             INPUTS(array(DT_f32, DIMS(3, 2), VALUES(1, 2, 30, 40, 5, 6))));
    computes(OP_put, (Attr){.axis = 1}, INPUTS(x, lead, one),
             INPUTS(array(DT_f32, DIMS(3, 2), VALUES(1, 7, 8, 4, 5, 9))));
    computes(OP_put_add, (Attr){.axis = 0}, INPUTS(x, twice, v),
             INPUTS(array(DT_f32, DIMS(3, 2), VALUES(1, 2, 43, 64, 5, 6))));
    computes(OP_compact, (Attr){.count = 2},
             INPUTS(array(DT_bool, DIMS(2, 4), VALUES(0, 1, 1, 1, 0, 0, 0, 1))),
             INPUTS(array(DT_i32, DIMS(2, 2), VALUES(1, 2, 3, 0)),
                    array(DT_bool, DIMS(2, 2), VALUES(1, 1, 1, 0))));
    computes(OP_argtop, (Attr){.count = 3},
             INPUTS(array(DT_f32, DIMS(2, 4), VALUES(1, 3, 3, 2, 0, -0.0, NAN, -1))),
             INPUTS(array(DT_i32, DIMS(2, 3), VALUES(1, 2, 3, 2, 0, 1))));
    computes(OP_cumsum, (Attr){.axis = 0}, INPUTS(x),
             INPUTS(array(DT_f32, DIMS(3, 2), VALUES(1, 2, 4, 6, 9, 12))));
    computes(OP_cumsum, (Attr){.axis = 1}, INPUTS(array(DT_u8, DIMS(1, 2), VALUES(200, 100))),
             INPUTS(array(DT_u8, DIMS(1, 2), VALUES(200, 44))));
    Attr window = {.window = {0, 1, {2}, {3}, {2}, {1}}}; /* of places 0 1 2 and 2 3 4 */
    Array windows = array(DT_f32, DIMS(2, 3, 1), VALUES(0, 1, 2, 2, 3, 0));
    computes(OP_unfold, window, INPUTS(array(DT_f32, DIMS(5, 1), VALUES(0, 1, 2, 3, 0))),
             INPUTS(windows));
    window.window.dim[0] = 5;
    computes(OP_fold, window, INPUTS(windows),
             INPUTS(array(DT_f32, DIMS(5, 1), VALUES(0, 1, 4, 3, 0))));
    for (double bad = -1; bad <= 3; bad += 4) {
        Err e = {0};
        Array in[] = {x, array(DT_i32, DIMS(1), &bad)};
        EXPECT(!evaluate(OP_take, (Attr){.axis = 0}, 2, in, NULL, (EvalCx){.live = -1}, &e),
               "index %g was taken", bad);
        EXPECT(strstr(e.msg, "is outside of 0..2"), "%s", e.msg);
    }
}

/* ---- structure, and the rules around */

static void test_structure(void) {
    Graph *body = graph_new(arena, "body");
    Type t = type_make(DT_f32, 1, (int64_t[]){3}), one = type_scalar(DT_f32);
    Ref x = graph_add(body, OP_arg, &(Attr){.count = 0}, NULL, 0, &t, nowhere);
    graph_out(body, OUT_value, NULL, 0, g_reduce(body, OP_sum, x, 1, nowhere), nowhere);
    graph_out(body, OUT_value, NULL, 0, g_binary(body, OP_mul, x, x, nowhere), nowhere);
    Array in = array(DT_f32, DIMS(3), VALUES(1, 2, 3));
    computes(OP_fused, (Attr){.body = body}, INPUTS(in),
             INPUTS(array(DT_f32, DIMS(1), VALUES(6)), array(DT_f32, DIMS(3), VALUES(1, 4, 9))));
    Graph *turn = graph_new(arena, "turn"); /* sum = sum + x, and what it was */
    Ref sum = graph_add(turn, OP_arg, &(Attr){.count = 0}, NULL, 0, &one, nowhere),
        next = graph_add(turn, OP_arg, &(Attr){.count = 1}, NULL, 0, &one, nowhere);
    graph_out(turn, OUT_value, NULL, 0, g_binary(turn, OP_add, sum, next, nowhere), nowhere);
    graph_out(turn, OUT_value, NULL, 0, sum, nowhere);
    Array start = array(DT_f32, SCALAR, VALUES(10));
    computes(OP_scan, (Attr){.scan = {turn, 1, 1, false, 0}}, INPUTS(start, in),
             INPUTS(array(DT_f32, DIMS(3), VALUES(11, 13, 16)),
                    array(DT_f32, DIMS(3), VALUES(10, 11, 13))));
    computes(OP_scan, (Attr){.scan = {turn, 1, 1, false, .totals = 1}}, INPUTS(start, in),
             INPUTS(array(DT_f32, SCALAR, VALUES(16)), array(DT_f32, DIMS(3), VALUES(10, 11, 13))));
    computes(OP_scan, (Attr){.scan = {turn, 1, 1, true, 0}}, INPUTS(start, in),
             INPUTS(array(DT_f32, DIMS(3), VALUES(16, 15, 13)),
                    array(DT_f32, DIMS(3), VALUES(15, 13, 10))));
    Err e = {0};
    Array y[] = {array(DT_f32, SCALAR, VALUES(1)), in};
    EXPECT(!evaluate(OP_grad, NO_ATTR, 2, y, NULL, (EvalCx){.live = -1}, &e) &&
               strstr(e.msg, "autodiff"),
           "%s", e.msg);
}

static void test_precision(void) {
    Graph *g = graph_new(arena, "g");
    Ref x = g_const(g, DT_f32, 0.1, nowhere),
        y = g_binary(g, OP_add, x, g_const(g, DT_f32, 0.2, nowhere), nowhere);
    graph_out(g, OUT_value, NULL, 0, y, nowhere);
    Err e = {0};
    Array *single = graph_eval(g, &(EvalCx){.arena = arena}, &e),
          *full = graph_eval(g, &(EvalCx){.arena = arena, .f64 = true}, &e);
    EXPECT(single->at[0] == (double)(0.1f + 0.2f), "f32: %.17g", single->at[0]);
    EXPECT(full->at[0] == 0.1 + 0.2, "f64: %.17g", full->at[0]);
}

static void test_size(void) {
    Graph *chain = graph_new(arena, "chain"), *wide = graph_new(arena, "wide");
    Type t = type_make(DT_i32, 1, (int64_t[]){15000000}),
         most = type_make(DT_i32, 1, (int64_t[]){99999999});
    Ref x = g_fill(chain, &t, 1, nowhere);
    for (int i = 0; i < 8; i++)
        x = g_unary(chain, OP_neg, x, nowhere); /* each value dies with the next */
    graph_out(chain, OUT_value, NULL, 0, g_reduce(chain, OP_sum, x, 1, nowhere), nowhere);
    graph_out(wide, OUT_value, NULL, 0, g_fill(wide, &t, 1, nowhere), nowhere);
    graph_out(wide, OUT_value, NULL, 0, g_fill(wide, &most, 1, nowhere), nowhere);
    Err e = {0};
    Array *r = graph_eval(chain, &(EvalCx){.arena = arena}, &e);
    EXPECT(r && r->at[0] == 15000000, "a long chain: %s", e.msg);
    EXPECT(!graph_eval(wide, &(EvalCx){.arena = arena}, &e), "more than the limit was interpreted");
    EXPECT(strstr(e.msg, "too large to interpret"), "%s", e.msg);
}

static void test_place_of_failure(void) {
    Diag *d = diag_new(arena);
    Program *p = program_new(arena, d);
    Span at = {diag_add_source(d, "a.upm", NULL, 0), 7, 3, 7, 9, 0};
    Graph *g = graph_new(arena, "g");
    Type t = type_make(DT_f32, 1, (int64_t[]){3});
    Ref in[] = {g_fill(g, &t, 1, at), g_const(g, DT_i32, 5, at)};
    graph_out(g, OUT_value, NULL, 0, graph_add(g, OP_take, &(Attr){.axis = 0}, in, 2, NULL, at),
              at);
    Err e = {0};
    EXPECT(!graph_eval(g, &(EvalCx){.arena = arena, .program = p}, &e), "index 5 of 3");
    EXPECT(str_eq(e.msg, "a.upm:7:3: take: index 5 is outside of 0..2"), "%s", e.msg);
}

int main(void) {
    arena = arena_new();
    test_leaves();
    test_random();
    test_unary();
    test_cast();
    test_binary();
    test_broadcast();
    test_views();
    test_reductions();
    test_dot();
    test_dot_add();
    test_tables();
    test_structure();
    test_precision();
    test_size();
    test_place_of_failure();
    for (int op = 0; op < OP_COUNT; op++) EXPECT(tested[op], "no test for %s", op_info[op].name);
    arena_free(arena);
    return check_done("eval");
}
