/* Shape rules and the batch axis: what each operator makes of the types it is given, and what it
 * refuses. */
#include "tests/unit/ir_text.h"

/* The result type, or the sentence of the refusal. Inputs are types as text, up to a NULL. */
static void infers(const char *expect, Op op, Attr attr, const char *const *in) {
    Type t[8], *out;
    Arena *a = arena_new();
    int nin = 0, nout = 0;
    Err e = {0};
    Buf b = {0};
    for (; in[nin]; nin++) t[nin] = typed(in[nin]);
    if (shape_infer(op, &attr, t, nin, NULL, a, &out, &nout, &e))
        type_print(&b, &out[0]);
    else
        buf_puts(&b, e.msg);
    bool same = str_eq(b.data, expect) || (expect[0] == '~' && strstr(b.data, expect + 1));
    EXPECT(same, "%s: '%s' instead of '%s'", op_info[op].name, b.data, expect);
    buf_free(&b);
    arena_free(a);
}
#define IN(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ATTR ((Attr){.num = 0})

static void test_pointwise_shapes(void) {
    infers("f32[4,5,6]", OP_add, NO_ATTR, IN("f32[4,1,6]", "f32[5,1]"));
    infers("f32[8*,5]", OP_add, NO_ATTR, IN("f32[8*,5]", "f32[5]"));
    infers("f32[8*,5]", OP_mul, NO_ATTR, IN("f32[8,1]", "f32[8*,5]"));
    infers("f32[8,8]?", OP_mul, NO_ATTR, IN("f32[8*,1]", "f32[8*]"));
    infers("f32[8,5]?", OP_add, NO_ATTR, IN("f32[8*,5]", "f32[5]?"));
    infers("bool[8*]", OP_lt, NO_ATTR, IN("i32[8*]", "i32"));
    infers("i32[8*,3]", OP_where, NO_ATTR, IN("bool[8*,1]", "i32[3]", "i32"));
    infers("~4 against 5", OP_add, NO_ATTR, IN("f32[4]", "f32[5]"));
    infers("~different element types", OP_add, NO_ATTR, IN("f32[4]", "i32[4]"));
    infers("~takes numbers", OP_add, NO_ATTR, IN("bool", "bool"));
    infers("~takes floats", OP_exp, NO_ATTR, IN("i32"));
    infers("~takes bool", OP_and, NO_ATTR, IN("i32", "i32"));
    infers("~the condition is bool", OP_where, NO_ATTR, IN("i32", "i32", "i32"));
    infers("~more than 2^40", OP_add, NO_ATTR, IN("f32[1073741824,1]", "f32[1073741824]"));
    infers("~takes 2 inputs, not 1", OP_add, NO_ATTR, IN("f32"));
}

static void test_view_shapes(void) {
    infers("f32[12*]", OP_reshape, (Attr){.shape = {1, {12}}}, IN("f32[4*,3]"));
    infers("f32[4*,3]", OP_reshape, (Attr){.shape = {2, {4, 3}}}, IN("f32[12*]"));
    infers("f32[1,4*,3]", OP_reshape, (Attr){.shape = {3, {1, 4, 3}}}, IN("f32[4*,3]"));
    infers("f32[4*,1,3]", OP_reshape, (Attr){.shape = {3, {4, 1, 3}}}, IN("f32[4*,3]"));
    infers("f32[1*,3]", OP_reshape, (Attr){.shape = {2, {1, 3}}}, IN("f32[1*,1,3]"));
    infers("f32[3*]", OP_reshape, (Attr){.shape = {1, {3}}}, IN("f32[1*,3]"));
    infers("f32[12]?", OP_reshape, (Attr){.shape = {1, {12}}}, IN("f32[3,4*]"));
    infers("f32[3,2]?", OP_reshape, (Attr){.shape = {2, {3, 2}}}, IN("f32[2*,3]"));
    infers("~6 elements", OP_reshape, (Attr){.shape = {1, {7}}}, IN("f32[6]"));
    infers("f32[2,8*,3]", OP_expand, (Attr){.shape = {3, {2, 8, 3}}}, IN("f32[8*,1]"));
    infers("~does not broadcast", OP_expand, (Attr){.shape = {1, {4}}}, IN("f32[2]"));
    infers("f32[3,4*]", OP_transpose, (Attr){.perm = {2, {1, 0}}}, IN("f32[4*,3]"));
    infers("~not a permutation", OP_transpose, (Attr){.perm = {2, {1, 1}}}, IN("f32[4,3]"));
    infers("f32[4*,2]", OP_slice, (Attr){.slice = {2, {0, 2}, {1, -2}, {4, 2}}}, IN("f32[4*,3]"));
    infers("f32[2,3]?", OP_slice, (Attr){.slice = {2, {0, 0}, {1, 1}, {2, 3}}}, IN("f32[4*,3]"));
    infers("~has no 3 elements", OP_slice, (Attr){.slice = {1, {2}, {1}, {3}}}, IN("f32[4]"));
    infers("~has no 2 elements", OP_slice, (Attr){.slice = {1, {0}, {INT64_MAX}, {2}}},
           IN("f32[4]"));
    infers("f32[4*,9]", OP_pad, (Attr){.pad = {2, {0, 1}, {0, 1}, {0, 2}}}, IN("f32[4*,3]"));
    infers("f32[5,3]?", OP_pad, (Attr){.pad = {2, {1, 0}, {0, 0}, {0, 0}}}, IN("f32[4*,3]"));
    infers("~padding axis 0", OP_pad, (Attr){.pad = {1, {-1}, {0}, {0}}}, IN("f32[4]"));
    infers("f32[4*,5]", OP_concat, (Attr){.axis = 1}, IN("f32[4*,3]", "f32[4,2]"));
    infers("f32[8,3]?", OP_concat, (Attr){.axis = 0}, IN("f32[4*,3]", "f32[4,3]"));
    infers("~do not fit along axis 1", OP_concat, (Attr){.axis = 1}, IN("f32[4,3]", "f32[3,3]"));
}

/* A carry that begins outside of the batch, samples in the slices, and whole weights. */
static void test_loop_shapes(void) {
    Arena *a = arena_new();
    Graph *body = graph_new(a, "body");
    const char *const types[] = {"f32[8*,5]", "f32[8*,3]", "f32[3,5]"};
    Ref in[3];
    for (int i = 0; i < 3; i++) {
        Type t = typed(types[i]);
        in[i] = graph_add(body, OP_arg, &(Attr){.count = i}, NULL, 0, &t, nowhere);
    }
    Ref y = g_dot(body, in[1], in[2], "bi", "ij", "bj", nowhere);
    graph_out(body, OUT_value, NULL, 0, g_binary(body, OP_add, in[0], y, nowhere), nowhere);
    Attr scan = {.scan = {body, 1, 1, false, 0}};
    infers("f32[7,8*,5]", OP_scan, scan, IN("f32[8,5]", "f32[7,8*,3]", "f32[3,5]"));
    infers("~input 1 of the body is f32[8*,3], not f32[8,3]?", OP_scan, scan,
           IN("f32[8,5]", "f32[7*,8,3]", "f32[3,5]"));
    infers("~more inputs than the 2", OP_scan, scan, IN("f32[8,5]", "f32[7,8*,3]"));
    infers("~input 0 of the body is f32[8*,5], not f32[9*,5]", OP_scan, scan,
           IN("f32[9,5]", "f32[7,8*,3]", "f32[3,5]"));
    infers("~at most 4096 places", OP_scan, scan, IN("f32[8,5]", "f32[4097,8*,3]", "f32[3,5]"));
    infers("f32[8*,5]", OP_scan, (Attr){.scan = {body, 1, 1, false, .totals = 1}},
           IN("f32[8,5]", "f32[7,8*,3]", "f32[3,5]"));
    infers("~2 totals of 1 carries", OP_scan, (Attr){.scan = {body, 1, 1, false, .totals = 2}},
           IN("f32[8,5]", "f32[7,8*,3]", "f32[3,5]"));
    scan.scan.slices = 2;
    infers("~goes along f32[7,8*,3] beside f32[3,5]", OP_scan, scan,
           IN("f32[8,5]", "f32[7,8*,3]", "f32[3,5]"));
    scan.scan.slices = 3;
    infers("~1 carries and 3 slices of 3 inputs", OP_scan, scan,
           IN("f32[8,5]", "f32[7,8*,3]", "f32[3,5]"));
    arena_free(a);
}

/* Totals that change places would be written over before they are read. */
static void test_totals(void) {
    Arena *a = arena_new();
    Graph *body = graph_new(a, "body");
    Type t = typed("f32[5]");
    Ref in[2];
    for (int i = 0; i < 2; i++)
        in[i] = graph_add(body, OP_arg, &(Attr){.count = i}, NULL, 0, &t, nowhere);
    for (int i = 0; i < 2; i++) graph_out(body, OUT_value, NULL, 0, in[1 - i], nowhere);
    Attr scan = {.scan = {body, 2, 1, false, .totals = 1}};
    infers("f32[5]", OP_scan, scan, IN("f32[5]", "f32[5]", "f32[7,3]"));
    scan.scan.totals = 2;
    infers("~total 0 becomes what total 1 was", OP_scan, scan, IN("f32[5]", "f32[5]", "f32[7,3]"));
    arena_free(a);
}

static void test_other_shapes(void) {
    infers("i32[1,3]", OP_sum, (Attr){.axes = 1}, IN("bool[4*,3]"));
    infers("i64[4*,1]", OP_sum, (Attr){.axes = 2}, IN("i64[4*,3]"));
    infers("bool[1,1]", OP_max, (Attr){.axes = 3}, IN("bool[4*,3]"));
    infers("~axes 0x4", OP_sum, (Attr){.axes = 4}, IN("f32[4,3]"));
    infers("i32[4*,1]", OP_argmax, (Attr){.axis = 1}, IN("f32[4*,3]"));
    infers("f32[8*,5]", OP_dot, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("f32[8*,3]", "f32[3,5]"));
    infers("f32[3,5]", OP_dot, (Attr){.dot = {"bm", "bn", "mn", false, false}},
           IN("f32[8*,3]", "f32[8*,5]"));
    infers("f32[8,8]?", OP_dot, (Attr){.dot = {"bm", "cm", "bc", false, false}},
           IN("f32[8*,3]", "f32[8*,3]"));
    infers("f32[2,8*,5]", OP_dot, (Attr){.dot = {"bhk", "bhkn", "hbn", false, false}},
           IN("f32[8*,2,3]", "f32[8*,2,3,5]"));
    infers("f32[8*,5]", OP_dot, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("bf16[8*,3]", "bf16[3,5]"));
    infers("f32[8*,5]", OP_dot, (Attr){.dot = {"bm", "mn", "bn", true, false}},
           IN("f32[8*,3]", "bf16[3,5]"));
    infers("f32[8*,5]", OP_dot, (Attr){.dot = {"bm", "nm", "bn", false, false}},
           IN("f32[8*,3]", "i8[5,3]"));
    infers("f64[8*,5]", OP_dot, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("f64[8*,3]", "f64[3,5]"));
    infers("~both f64 or neither", OP_dot, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("f64[8*,3]", "f32[3,5]"));
    infers("~f64 is not rounded", OP_dot, (Attr){.dot = {"bm", "mn", "bn", true, false}},
           IN("f64[8*,3]", "f64[3,5]"));
    infers("~takes floats or i8", OP_dot, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("i32[8*,3]", "i32[3,5]"));
    infers("~'k' is 3", OP_dot, (Attr){.dot = {"k", "k", "", false, false}},
           IN("f32[3]", "f32[4]"));
    infers("~in one operand only", OP_dot, (Attr){.dot = {"mk", "k", "", false, false}},
           IN("f32[2,3]", "f32[3]"));
    infers("~in no operand", OP_dot, (Attr){.dot = {"k", "k", "n", false, false}},
           IN("f32[3]", "f32[3]"));
    infers("~different letters", OP_dot, (Attr){.dot = {"kk", "k", "", false, false}},
           IN("f32[3,3]", "f32[3]"));
    infers("f32[8*,5]", OP_dot_add, (Attr){.dot = {"bm", "mn", "bn", false, false}},
           IN("f32[5]", "f32[8*,3]", "f32[3,5]"));
    infers("~f32[8*,5] does not fit", OP_dot_add, (Attr){.dot = {"m", "mn", "n", false, false}},
           IN("f32[8*,5]", "f32[3]", "f32[3,5]"));
    infers("~adds f64[5]", OP_dot_add, (Attr){.dot = {"m", "mn", "n", false, false}},
           IN("f64[5]", "f32[3]", "f32[3,5]"));
    infers("f32[8*,7,5]", OP_take, (Attr){.axis = 0}, IN("f32[100,5]", "i32[8*,7]"));
    infers("f32[8*,2,5]", OP_take, (Attr){.axis = 1}, IN("f32[8*,7,5]", "i32[8*,2]"));
    infers("f32[3,5]?", OP_take, (Attr){.axis = 0}, IN("f32[8*,5]", "i32[3]"));
    infers("~the index is i32", OP_take, (Attr){.axis = 0}, IN("f32[8]", "f32[2]"));
    infers("~does not fit axis 1", OP_take, (Attr){.axis = 1}, IN("f32[8,5]", "i32[7]"));
    infers("f32[100,5]", OP_put_add, (Attr){.axis = 0},
           IN("f32[100,5]", "i32[8*,7]", "f32[8*,7,5]"));
    infers("f32[100,5]?", OP_put, (Attr){.axis = 0}, IN("f32[100,5]", "i32[8*]", "f32[8*,5]"));
    infers("f32[8*,9]", OP_put, (Attr){.axis = 1}, IN("f32[8*,9]", "i32[8*,2]", "f32[8*,2]"));
    infers("~not f32[3,4]", OP_put, (Attr){.axis = 0}, IN("f32[100,5]", "i32[3]", "f32[3,4]"));
    infers("i32[8*,2]", OP_compact, (Attr){.count = 2}, IN("bool[8*,9]"));
    infers("~takes bool", OP_compact, (Attr){.count = 2}, IN("i32[8,9]"));
    infers("i32[8*,2]", OP_argtop, (Attr){.count = 2}, IN("f32[8*,9]"));
    infers("i32[8,2]?", OP_argtop, (Attr){.count = 2}, IN("f32[8,9*]"));
    infers("~the 10 largest of rows of f32[8*,9]", OP_argtop, (Attr){.count = 10}, IN("f32[8*,9]"));
    infers("~takes rows of numbers", OP_argtop, (Attr){.count = 1}, IN("bool[8,9]"));
    infers("f32[8*,9]", OP_cumsum, (Attr){.axis = 1}, IN("f32[8*,9]"));
    infers("i32[8,9]?", OP_cumsum, (Attr){.axis = 0}, IN("i32[8*,9]"));
    infers("~axis 2 of", OP_cumsum, (Attr){.axis = 2}, IN("f32[8*,9]"));
    infers("~takes numbers", OP_cumsum, (Attr){.axis = 0}, IN("bool[8,9]"));
    Attr window = {.window = {1, 2, {4, 3}, {3, 3}, {2, 2}, {1, 1}}};
    infers("f32[8*,4,3,3,3,5]", OP_unfold, window, IN("f32[8*,10,7,5]"));
    infers("f32[2,4,3,3,3,5*]", OP_unfold, window, IN("f32[2,9,8,5*]"));
    infers("f32[2,4,3,3,3,5]?", OP_unfold, window, IN("f32[2,9*,7,5]"));
    infers("~4 windows of 3, 2 apart, reach beyond 8 elements", OP_unfold, window,
           IN("f32[8*,8,7,5]"));
    infers("~along 2 axes from 1", OP_unfold, window, IN("f32[8,8]"));
    window.window.axis = 255;
    infers("~along 2 axes from 255", OP_unfold, window, IN("f32[8,8]"));
    window.window.axis = 1;
    infers("~takes floats", OP_unfold, window, IN("i32[8,9,7,5]"));
    Attr elements = window;
    elements.window.dim[0] = 9, elements.window.dim[1] = 8;
    infers("f32[8*,9,8,5]", OP_fold, elements, IN("f32[8*,4,3,3,3,5]"));
    infers("f32[2,9,8,5]?", OP_fold, elements, IN("f32[2,4,3*,3,3,5]"));
    infers("~windows of 3 in", OP_fold, elements, IN("f32[8,4,3,2,3,5]"));
    infers("~5 windows of 3, 2 apart, reach beyond 9 elements", OP_fold, elements,
           IN("f32[8,5,3,3,3,5]"));
    window.window.step[1] = 0;
    infers("~windows of 3, 0 apart", OP_unfold, window, IN("f32[8,9,7,5]"));
    test_loop_shapes();
    test_totals();
    infers("f32[3]", OP_grad, NO_ATTR, IN("f32[1,1]", "f32[3]"));
    infers("~differentiates one float", OP_grad, NO_ATTR, IN("f32[2]", "f32[3]"));
}

static void test_sum_to(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    Type same = typed("f32[2,4,6]"), row = type_make(DT_f32, 1, (int64_t[]){6}),
         column = type_make(DT_f32, 2, (int64_t[]){4, 1});
    Ref x = graph_add(g, OP_arg, &(Attr){.count = 0}, NULL, 0, &same, nowhere);
    EXPECT(ref_same(x, g_sum_to(g, x, &same, nowhere)), "nothing to sum");
    EXPECT(type_same(graph_type(g, g_sum_to(g, x, &row, nowhere)), &row), "to a row");
    EXPECT(type_same(graph_type(g, g_sum_to(g, x, &column, nowhere)), &column), "to a column");
    Type one = typed("f32[1*,5]"), bias = type_make(DT_f32, 1, (int64_t[]){5});
    Ref y = graph_add(g, OP_arg, &(Attr){.count = 1}, NULL, 0, &one, nowhere);
    EXPECT(graph_type(g, g_sum_to(g, y, &bias, nowhere))->batch_axis == NO_BATCH,
           "a batch of one is still summed");
    arena_free(a);
}

int main(void) {
    test_pointwise_shapes();
    test_view_shapes();
    test_other_shapes();
    test_sum_to();
    return check_done("shape");
}
