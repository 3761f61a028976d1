/* The IR without its meaning: consing, the verifier, and that printing and reading are inverses for
 * every operator of the table and every part of a program. */
#include "ir/ir.h"
#include "tests/unit/check.h"
#include "tests/unit/ir_text.h"

#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one node of every operator, by its shape rule */

static Ref leaf(Graph *g, DType t, int rank, const int64_t *dim, int number) {
    Type type = type_make(t, rank, dim);
    return graph_add(g, OP_arg, &(Attr){.count = number}, NULL, 0, &type, nowhere);
}

static Ref matrix(Graph *g, DType t, int number) {
    return leaf(g, t, 2, (int64_t[]){4, 6}, number);
}

static Ref add(Graph *g, Op op, Attr attr, const Ref *in, int nin) {
    return graph_add(g, op, &attr, in, nin, NULL, nowhere);
}

static Ref sample_given(Graph *g, Op op) {
    bool ints = op == OP_randint || op == OP_permutation || op == OP_iota;
    Type t = type_make(op == OP_live ? DT_bool : ints ? DT_i32 : DT_f32, 1, (int64_t[]){8});
    Attr attr;
    memset(&attr, 0, sizeof attr);
    if (op == OP_const) attr.num = 0.1;
    if (op == OP_field) attr.name = "ids \"quoted\"\n\x01";
    if (op_info[op].attr == ATTR_PLACE) attr.random.place = 0xfedcba9876543210;
    if (op == OP_randint) attr.random.below = 7;
    if (op == OP_live) t.batch_axis = 0;
    return graph_add(g, op, &attr, NULL, 0, &t, nowhere);
}
static Ref sample_scalar(Graph *g, Op op) {
    return add(g, op, (Attr){.num = 0}, NULL, 0);
}

static Ref sample_unary(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.num = 0}, &x, 1);
}
static Ref sample_unaryf(Graph *g, Op op) {
    return sample_unary(g, op);
}
static Ref sample_unaryb(Graph *g, Op op) {
    Ref x = matrix(g, DT_bool, 0);
    return add(g, op, (Attr){.num = 0}, &x, 1);
}
static Ref sample_cast(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.dtype = DT_bf16}, &x, 1);
}
static Ref sample_bcast(Graph *g, Op op) {
    return add(g, op, (Attr){.num = 0},
               (Ref[]){matrix(g, DT_f32, 0), leaf(g, DT_f32, 1, (int64_t[]){6}, 1)}, 2);
}
static Ref sample_bcastf(Graph *g, Op op) {
    return sample_bcast(g, op);
}
static Ref sample_compare(Graph *g, Op op) {
    return sample_bcast(g, op);
}
static Ref sample_logic(Graph *g, Op op) {
    return add(g, op, (Attr){.num = 0}, (Ref[]){matrix(g, DT_bool, 0), matrix(g, DT_bool, 1)}, 2);
}
static Ref sample_where(Graph *g, Op op) {
    Ref in[] = {matrix(g, DT_bool, 0), matrix(g, DT_f32, 1), leaf(g, DT_f32, 0, NULL, 2)};
    return add(g, op, (Attr){.num = 0}, in, 3);
}
static Ref sample_reshape(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.shape = {3, {2, 3, 4}}}, &x, 1);
}
static Ref sample_expand(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.shape = {3, {5, 4, 6}}}, &x, 1);
}
static Ref sample_transpose(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.perm = {2, {1, 0}}}, &x, 1);
}
static Ref sample_slice(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.slice = {2, {3, 0}, {-1, 2}, {4, 3}}}, &x, 1);
}
static Ref sample_pad(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.pad = {2, {1, 0}, {0, 2}, {0, 3}}}, &x, 1);
}
static Ref sample_concat(Graph *g, Op op) {
    return add(g, op, (Attr){.axis = 1},
               (Ref[]){matrix(g, DT_f32, 0), matrix(g, DT_f32, 1), matrix(g, DT_f32, 0)}, 3);
}
static Ref sample_reduce(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.axes = 3}, &x, 1);
}
static Ref sample_argmax(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.axis = 1}, &x, 1);
}
static Ref sample_dot(Graph *g, Op op) {
    Ref in[] = {matrix(g, DT_f32, 0), leaf(g, DT_f32, 2, (int64_t[]){6, 5}, 1)};
    return add(g, op, (Attr){.dot = {"mk", "kn", "nm", false, false}}, in, 2);
}
static Ref sample_dot_add(Graph *g, Op op) {
    Ref in[] = {leaf(g, DT_f32, 1, (int64_t[]){4}, 2), matrix(g, DT_f32, 0),
                leaf(g, DT_f32, 2, (int64_t[]){6, 5}, 1)};
    return add(g, op, (Attr){.dot = {"mk", "kn", "nm", false, false}}, in, 3);
}
static Ref sample_take(Graph *g, Op op) {
    return add(g, op, (Attr){.axis = 0},
               (Ref[]){matrix(g, DT_f32, 0), leaf(g, DT_i32, 1, (int64_t[]){3}, 1)}, 2);
}
static Ref sample_put(Graph *g, Op op) {
    Ref in[] = {matrix(g, DT_f32, 0), leaf(g, DT_i32, 2, (int64_t[]){4, 3}, 1),
                leaf(g, DT_f32, 2, (int64_t[]){4, 3}, 2)};
    return add(g, op, (Attr){.axis = 1}, in, 3);
}
static Ref sample_compact(Graph *g, Op op) {
    Ref x = matrix(g, DT_bool, 0), r = add(g, op, (Attr){.count = 2}, &x, 1);
    return (Ref){r.node, 1};
}
static Ref sample_argtop(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.count = 2}, &x, 1);
}
static Ref sample_cumsum(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.axis = 1}, &x, 1);
}
static Ref sample_unfold(Graph *g, Op op) {
    Ref x = matrix(g, DT_f32, 0);
    return add(g, op, (Attr){.window = {0, 2, {1, 1}, {2, 2}, {1, 2}, {1, 2}}}, &x, 1);
}
static Ref sample_fold(Graph *g, Op op) {
    Ref y = leaf(g, DT_f32, 4, (int64_t[]){3, 2, 2, 3}, 0);
    return add(g, op, (Attr){.window = {0, 2, {4, 7}, {2, 3}, {1, 2}, {1, 2}}}, &y, 1);
}
static Ref sample_grad(Graph *g, Op op) {
    Ref in[] = {leaf(g, DT_f32, 0, NULL, 0), matrix(g, DT_f32, 1), leaf(g, DT_f32, 0, NULL, 2)};
    return (Ref){add(g, op, (Attr){.num = 0}, in, 3).node, 1};
}
static Ref sample_body(Graph *g, Op op) {
    Graph *body = graph_new(g->arena, "softplus");
    Ref x = g_unary(body, OP_exp, matrix(body, DT_f32, 0), nowhere);
    graph_out(body, OUT_value, NULL, 0, g_unary(body, OP_log1p, x, nowhere), nowhere);
    graph_out(body, OUT_value, NULL, 0, g_reduce(body, OP_max, x, 2, nowhere), nowhere);
    Ref in = matrix(g, DT_f32, 0), r = add(g, op, (Attr){.body = body}, &in, 1);
    return (Ref){r.node, 1};
}

static Ref sample_scan(Graph *g, Op op) {
    Graph *body = graph_new(g->arena, "add up");
    Ref sum = leaf(body, DT_f32, 1, (int64_t[]){6}, 0),
        x = leaf(body, DT_f32, 1, (int64_t[]){6}, 1);
    graph_out(body, OUT_value, NULL, 0, g_binary(body, OP_add, sum, x, nowhere), nowhere);
    graph_out(body, OUT_value, NULL, 0, g_unary(body, OP_exp, sum, nowhere), nowhere);
    Ref in[] = {leaf(g, DT_f32, 1, (int64_t[]){6}, 0), matrix(g, DT_f32, 1)};
    Attr a = {.scan = {body, 1, 1, true, 0}};
    return (Ref){add(g, op, a, in, 2).node, 1};
}

typedef Ref Sample(Graph *g, Op op);
static Sample *const sample[OP_COUNT] = {
#define OP(name, arity, attr, shape, vjp, lower, flags) [OP_##name] = sample_##shape,
#include "ir/ops.def"
#undef OP
};

/* ---- text */

static void round_trip(const Program *p, const char *what) {
    Arena *a = arena_new();
    Diag *d;
    Buf first = {0}, second = {0};
    program_print(&first, p);
    Program *again = parse(a, first.data, &d);
    EXPECT(again, "%s cannot be read:\n%s", what, first.data);
    if (again) {
        program_print(&second, again);
        EXPECT(str_eq(first.data, second.data), "%s:\n%s----\n%s", what, first.data, second.data);
    } else {
        diag_print(d, stderr, false);
    }
    buf_free(&first);
    buf_free(&second);
    arena_free(a);
}

static Program *program_of(Arena *a, Graph *g) {
    Program *p = program_new(a, diag_new(a));
    Entry e = {.kind = ENTRY_train, .name = "train", .batch = 8, .steps = 1, .step = g};
    p->entry = arena_memdup(a, &e, sizeof e);
    p->nentry = p->entrycap = 1;
    return p;
}

static void test_every_operator_round_trips(void) {
    for (int op = 0; op < OP_COUNT; op++) {
        Arena *a = arena_new();
        Graph *g = graph_new(a, "g");
        g->copy = 3;
        g->region = 4294967295u;
        Ref r = sample[op](g, (Op)op);
        graph_out(g, OUT_value, NULL, 0, r, nowhere);
        EXPECT(graph_node(g, r)->op == (Op)op, "%s", op_info[op].name);
        round_trip(program_of(a, g), op_info[op].name);
        arena_free(a);
    }
}

static void test_whole_program_round_trips(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Program *p = program_new(a, d);
    uint32_t plain = diag_add_source(d, "models/a.upm", "x", 1),
             odd = diag_add_source(d, "my \"file\".upm", NULL, 0);
    p->stage = STAGE_BUILT | STAGE_WHOLE_SET;
    Span s1 = {plain, 3, 5, 3, 9, 0}, s2 = {odd, 1, 1, 2, 4294967295u, 0};
    s1.via = diag_add_call(d, "an \"odd\" call", s2);
    s2.via = diag_add_call(d, "f", s1);
    p->spec.run = (RunSpec){.seed = UINT64_MAX,
                            .eval_every = -1,
                            .save_every = INT64_MAX,
                            .alternate = true,
                            .memory = 1 << 30,
                            .micro = 8};
    TokenizerSpec tok = {"tok", "bytes", "", "", "a\\b/*.txt", 256, 0xdeadbeefcafe, s1};
    p->spec.tokenizer = &tok;
    p->spec.ntokenizer = 1;
    SpecArg args[] = {
        {"files", ARG_str, 0, 0, "\xc3\xa4\n"}, {"n", ARG_int, -3, 0, NULL},
        {"share", ARG_float, 0, 0.95, NULL},    {"odd", ARG_float, 0, -INFINITY, NULL},
        {"whole", ARG_float, 0, 3, NULL},       {"tok", ARG_tokenizer, 0, 0, NULL}};
    Field fields[] = {{"ids", DT_i32, 2, {128, 4}, {"T", NULL}}, {"label", DT_u8, 0, {0}, {NULL}}};
    DataSpec data[] = {{"lines", -1, args, 6, NULL, 0, s2},
                       {"encode", 0, NULL, 0, fields, 2, nowhere}};
    p->spec.data = data;
    p->spec.ndata = 2;
    const char *part[] = {"bert", "head"}, *from[] = {"a"}, *to[] = {"b.c"};
    LoadSpec load = {"runs/x", part, 2, from, to, 1, s1};
    p->spec.load = &load;
    p->spec.nload = 1;
    Type t = type_make(DT_f32, 2, (int64_t[]){4, 6});
    program_add_tensor(
        p, &(Tensor){.name = "w", .kind = TENSOR_param, .type = t, .like = -1, .span = s1});
    program_add_tensor(
        p, &(Tensor){.name = "key.w", .kind = TENSOR_state, .type = t, .like = 0, .span = s2});
    program_add_tensor(
        p, &(Tensor){.name = "sum", .kind = TENSOR_acc, .type = t, .like = -1, .fill = -0.0});
    p->init = graph_new(a, "init");
    graph_out(p->init, OUT_state, NULL, 0, g_fill(p->init, &t, NAN, s1), s2);
    Graph *g = graph_new(a, "train");
    Ref w = graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, s1);
    Ref sum = g_reshape(g, g_reduce(g, OP_sum, w, 3, s2), 0, NULL, s2);
    graph_out(g, OUT_state, NULL, 0, w, s1);
    graph_out(g, OUT_loss, "loss", 0, sum, s1);
    graph_out(g, OUT_report, "a \"b\"", 0, sum, nowhere);
    graph_out(g, OUT_text, "guess", 0, sample_argmax(g, OP_argmax), s2);
    Entry entry[] = {{ENTRY_train, "train", 1, 8, 100, 0, {{g, g, NULL, NULL, NULL}}, s1},
                     {ENTRY_eval, "eval", 1, 8, 0, 0, {{g, NULL, NULL, NULL, NULL}}, nowhere}};
    p->entry = entry;
    p->nentry = 2;
    round_trip(p, "a whole program");
    arena_free(a);
}

static void mark_operators(const Graph *g, bool *occurs) {
    for (size_t i = 0; g && i < g->n; i++) {
        occurs[g->node[i]->op] = true;
        if (g->node[i]->op == OP_fused) mark_operators(g->node[i]->attr.body, occurs);
    }
}

/* The files of tests/ir verify, print as they are written, and together hold every operator. */
static void test_files(void) {
    glob_t found;
    bool occurs[OP_COUNT] = {0};
    EXPECT(glob("tests/ir/*.ir", 0, NULL, &found) == 0, "no files in tests/ir");
    for (size_t i = 0; i < found.gl_pathc; i++) {
        Arena *a = arena_new();
        Diag *d = diag_new(a);
        Err e = {0};
        Buf printed = {0}, wrong = {0};
        char *text = NULL;
        size_t n = 0;
        Program *p = file_read(a, found.gl_pathv[i], &text, &n, &e)
                         ? program_parse(a, d, found.gl_pathv[i], text, n)
                         : NULL;
        EXPECT(p, "%s cannot be read %s", found.gl_pathv[i], e.msg);
        if (p) {
            program_print(&printed, p);
            EXPECT(str_eq(printed.data, text), "%s prints otherwise", found.gl_pathv[i]);
            EXPECT(program_verify(p, &wrong), "%s: %s", found.gl_pathv[i], wrong.data);
            mark_operators(p->init, occurs);
            for (size_t k = 0; k < p->nentry; k++) mark_operators(p->entry[k].step, occurs);
        }
        buf_free(&printed);
        buf_free(&wrong);
        arena_free(a);
    }
    globfree(&found);
    for (int op = 0; op < OP_COUNT; op++)
        EXPECT(occurs[op], "no file in tests/ir has %s", op_info[op].name);
}

/* docs/ir.md has a row for every operator, and its example is canonical. */
static void test_specification(void) {
    Arena *a = arena_new();
    char *text = NULL, *example;
    size_t n;
    Err e = {0};
    EXPECT(file_read(a, "docs/ir.md", &text, &n, &e), "%s", e.msg);
    for (int op = 0; text && op < OP_COUNT; op++)
        EXPECT(strstr(text, arena_printf(a, "\n| `%s` |", op_info[op].name)), "no row for %s",
               op_info[op].name);
    if (text && (example = strstr(text, "```\nprogram built"))) {
        example += 4;
        n = (size_t)(strstr(example, "```") - example);
        Program *p = program_parse(a, diag_new(a), "docs/ir.md", example, n);
        Buf b = {0};
        if (p) program_print(&b, p);
        EXPECT(p && b.n == n && !memcmp(b.data, example, n), "the example prints as:\n%s",
               b.data ? b.data : "");
        buf_free(&b);
    } else {
        EXPECT(false, "no example");
    }
    arena_free(a);
}

/* Reads a broken graph; it is refused with the sentence. */
static void refused(const char *graph, const char *sentence) {
    Arena *a = arena_new();
    Diag *d;
    Buf b = {0};
    buf_printf(&b, "%s%s", header, graph);
    Program *p = parse(a, b.data, &d);
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    diag_print(d, f, false);
    fclose(f);
    EXPECT(!p && diag_errors(d) == 1, "was read: %s", graph);
    EXPECT(strstr(text, sentence), "'%s' instead of '%s'", text, sentence);
    free(text);
    buf_free(&b);
    arena_free(a);
}

static void test_broken_text_is_refused(void) {
    refused("step graph \"g\" { %0 = neg %0 : f32 }", "%0 is not defined before this line");
    refused("step graph \"g\" { %1 = step : f32 }", "numbered in order; this is %0");
    refused("step graph \"g\" { %0 = steep : f32 }", "expected the name of an operator");
    refused("step graph \"g\" { %0 = step : f32[1] }",
            "result 0 of step is f32, but f32[1] is written");
    refused("step graph \"g\" { %0 = step : f32\n out value = %0.1 }", "%0 has no result 1");
    refused("step graph \"g\" { %0 = const {value=0.5} : i32 }", "0.5 does not fit i32");
    refused("step graph \"g\" { %0 = const {value=1} : f32[1099511627776,2] }",
            "more than 2^40 elements");
    refused(
        "step graph \"g\" { %0 = const {value=1} : f32[9223372036854775807,9223372036854775807] }",
        "more than 2^40");
    refused("step graph \"g\" { %0 = const {value=1} : f32[0] }", "0 is out of range");
    refused("step graph \"g\" { %0 = const {value=1} : f32[1,1,1,1,1,1,1,1,1] }",
            "more than 8 dimensions");
    refused("step graph \"g\" { %0 = const {value=99999999999999999999} : i64 }",
            "does not fit 64 bits");
    refused("step graph \"g\" { %0 = const {value=1 : i64 }", "expected '}'");
    refused("step graph \"g", "a string with a bad character or without its end");
    refused("step graph \"g\" { %0 = field {name=none} : f32 }", "a name is missing");
    refused("step graph \"g\" { %0 = fused graph \"b\" { } : f32 }", "a body without results");
    refused("step graph \"g\" { %99999999999 = step : f32 }", "a malformed reference");
    refused("step graph \"g\" { %0 = step : f32 @ a:1:2 }", "a malformed place");
    refused("step graph \"g\" { %0 = step : f32 @ a:1:2-1:3 via 1 }", "there is no call 1");
    refused("step graph \"g\" { %0 = step : f32 @ a:1:2-1:3 via }", "expected an integer");
    refused("step graph \"g\" { %0 = iota {axis=0} : i32[3]\n%1 = slice %0 {start=[0], step=[1,1], "
            "size=[2]} : i32[2] }",
            "lists of different lengths");
    refused("step graph \"g\" { %0 = iota {axis=0} : i32[3]\n%1 = transpose %0 "
            "{perm=[0,1,2,3,4,5,6,7,8]} : i32[3] }",
            "more than 8 numbers");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, turn=[1], first=1} : f32[3] }",
            "no value that is known here");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, } : f32[3] }",
            "no value that is known here");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, first=1} : f32[3] }",
            "strides for 0 axes of f32[3]");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, stride=[1,1]} : f32[3] }",
            "strides for 2 axes of f32[3]");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, stride=[-1]} : f32[3] }",
            "no part of a value of at most 2^40 elements");
    refused(
        "step graph \"g\" { %0 = uniform {place=0x1, below=0, stride=[549755813888]} : f32[3] }",
        "no part of a value of at most 2^40 elements");
    refused("step graph \"g\" { %0 = uniform {place=0x1, below=0, stride=[1], turn=[1,1,1,1,1]} : "
            "f32[3] }",
            "turns of 5 loops, where there are at most 4");
    refused("step graph \"g\" { %0 = permutation {place=0x1, below=0, stride=[2]} : i32[3] }",
            "a part of a permutation is none");
    refused("nonsense", "expected call, run, tokenizer");
    Buf deep = {0};
    buf_puts(&deep, "step ");
    for (int i = 0; i < 100000; i++) buf_puts(&deep, "graph \"g\" { %0 = fused ");
    refused(deep.data, "nested too deeply");
    buf_free(&deep);
}

/* Every prefix of a program, and every program with one byte changed, is read or refused. */
static void test_damaged_text(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    for (int op = 0; op < OP_COUNT; op++)
        graph_out(g, OUT_value, NULL, 0, sample[op](g, (Op)op), nowhere);
    Buf b = {0};
    program_print(&b, program_of(a, g));
    uint32_t read = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        Arena *scratch = arena_new();
        size_t cut = random_below(1, 0, i, (uint32_t)b.n);
        char *text = arena_memdup(scratch, b.data, b.n), *part = arena_memdup(scratch, b.data, cut);
        text[random_below(2, 0, i, (uint32_t)b.n)] = (char)random_below(3, 0, i, 256);
        read += program_parse(scratch, diag_new(scratch), "cut", part, cut) != NULL;
        read += program_parse(scratch, diag_new(scratch), "changed", text, b.n) != NULL;
        arena_free(scratch);
    }
    EXPECT(read > 0 && read < 3000, "%u of 6000 were read", read);
    buf_free(&b);
    arena_free(a);
}

/* ---- consing */

static void test_equal_nodes_are_one(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    Ref x = matrix(g, DT_f32, 0), y = matrix(g, DT_f32, 1);
    Ref first = g_binary(g, OP_add, x, y, nowhere),
        again = g_binary(g, OP_add, x, y, (Span){1, 2, 3, 4, 5, 0});
    EXPECT(ref_same(first, again), "equal sums are two nodes");
    EXPECT(!ref_same(first, g_binary(g, OP_add, y, x, nowhere)), "the builder has rewritten a sum");
    EXPECT(!ref_same(g_const(g, DT_f32, 0, nowhere), g_const(g, DT_f32, -0.0, nowhere)),
           "the zeros are one");
    EXPECT(ref_same(g_const(g, DT_f32, NAN, nowhere), g_const(g, DT_f32, -NAN, nowhere)),
           "two NaNs");
    g->copy = 1;
    EXPECT(!ref_same(first, g_binary(g, OP_add, x, y, nowhere)), "a recomputation is its original");
    g->copy = 0;
    g->region = 1;
    EXPECT(!ref_same(first, g_binary(g, OP_add, x, y, nowhere)), "regions are mixed up");
    EXPECT(ref_same(sample_body(g, OP_fused), sample_body(g, OP_fused)), "equal bodies are two");
    arena_free(a);
}

/* w = first * second + first, over tensors of these names, with this place in the source. */
static uint64_t fingerprint(const char *const name[2], int first, int second, uint32_t line) {
    Arena *a = arena_new();
    Program *p = program_new(a, diag_new(a));
    Graph *g = graph_new(a, "step");
    Span at = {diag_add_source(p->diag, "x.upm", NULL, 0), line, 1, line, 2, 0};
    Type t = type_scalar(DT_f32);
    for (int i = 0; i < 2; i++)
        program_add_tensor(p, &(Tensor){.name = name[i], .type = t, .like = -1});
    Ref x = graph_add(g, OP_state, &(Attr){.tensor = first}, NULL, 0, &t, at);
    Ref y = graph_add(g, OP_state, &(Attr){.tensor = second}, NULL, 0, &t, at);
    Ref product = g_binary(g, OP_mul, x, y, at);
    graph_out(g, OUT_state, NULL, first, g_binary(g, OP_add, product, x, at), at);
    uint64_t hash = graph_fingerprint(p, g);
    arena_free(a);
    return hash;
}

static void test_fingerprint(void) {
    const char *ab[] = {"a", "b"}, *ba[] = {"b", "a"};
    uint64_t first = fingerprint(ab, 0, 1, 3);
    EXPECT(fingerprint(ab, 0, 1, 4) == first, "places count");
    EXPECT(fingerprint(ba, 1, 0, 3) == first, "the order of declarations counts");
    EXPECT(fingerprint(ba, 0, 1, 3) != first, "which tensor is which does not count");
    EXPECT(fingerprint(ab, 1, 0, 3) != first, "who reads what does not count");
}

static bool keep_reports(const Output *o) {
    return o->kind == OUT_report;
}

/* Where one element is left, the distance to the next says nothing. */
static void test_one_form(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "test");
    Ref x = matrix(g, DT_f32, 0), row = leaf(g, DT_f32, 2, (int64_t[]){1, 6}, 1);
    Attr cut = {.slice = {2, {2, 0}, {1, 1}, {1, 6}}}, far = cut;
    Attr near = {.pad = {.rank = 2, .lo = {1, 0}}}, wide = near;
    far.slice.step[0] = INT64_MIN;
    wide.pad.gap[0] = INT64_MAX;
    EXPECT(ref_same(add(g, OP_slice, cut, &x, 1), add(g, OP_slice, far, &x, 1)), "slices differ");
    EXPECT(ref_same(add(g, OP_pad, near, &row, 1), add(g, OP_pad, wide, &row, 1)), "pads differ");
    arena_free(a);
}

static void test_prune(void) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g");
    Ref x = matrix(g, DT_f32, 0), y = matrix(g, DT_f32, 1), unused = g_unary(g, OP_exp, y, nowhere);
    graph_out(g, OUT_value, NULL, 0, g_unary(g, OP_neg, y, nowhere), nowhere);
    graph_out(g, OUT_report, "r", 0, g_unary(g, OP_abs, x, nowhere), nowhere);
    EXPECT(!graph_reached(g, a)[unused.node], "an unused node is reached");
    Graph *all = graph_prune(a, g, "all", NULL), *some = graph_prune(a, g, "some", keep_reports);
    EXPECT(all->n == 4 && all->nout == 2, "%zu nodes, %zu outputs", all->n, all->nout);
    EXPECT(some->n == 2 && some->nout == 1 && some->out[0].kind == OUT_report, "%zu nodes",
           some->n);
    arena_free(a);
}

/* ---- the verifier */

static void rejects(const Program *p, const char *sentence) {
    Buf b = {0};
    EXPECT(!program_verify(p, &b), "accepted, though: %s", sentence);
    EXPECT(b.data && strstr(b.data, sentence), "'%s' instead of '%s'", b.data ? b.data : "",
           sentence);
    buf_free(&b);
}

/* The body of a loop of so many turns draws a part with `turn` for each. */
static void verify_part(int loops, int64_t turns, int64_t turn, const char *sentence) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "g"), *body = graph_new(a, "body");
    Type t = type_make(DT_f32, 1, (int64_t[]){4}), all = type_make(DT_f32, 1, &turns);
    Attr part = {.random = {.place = 1, .rank = 1, .loops = loops, .stride = {2}, .turn = {turn}}};
    graph_out(body, OUT_value, NULL, 0, graph_add(body, OP_uniform, &part, NULL, 0, &t, nowhere),
              nowhere);
    Ref x = g_fill(g, &all, 0, nowhere);
    Attr loop = {.scan = {.body = body, .slices = 1}};
    graph_out(g, OUT_value, NULL, 0, graph_add(g, OP_scan, &loop, &x, 1, NULL, nowhere), nowhere);
    Buf b = {0};
    bool ok = graph_verify(NULL, g, STAGE_PRIMITIVE, &b);
    EXPECT(ok == !sentence, "%s", ok ? sentence : b.data);
    EXPECT(!sentence || (b.data && strstr(b.data, sentence)), "'%s' instead of '%s'", b.data,
           sentence);
    buf_free(&b);
    arena_free(a);
}

static void test_parts(void) {
    verify_part(1, 3, INT64_C(1) << 38, NULL);
    verify_part(2, 3, 1, "turns of 2 loops in 1");
    verify_part(1, 3, INT64_C(1) << 39, "a part beyond 2^40 elements");
    verify_part(1, 4096, INT64_C(1) << 40, "a part beyond 2^40 elements");
}

static Program *small_program(Arena *a, Graph **g) {
    *g = graph_new(a, "g");
    Program *p = program_of(a, *g);
    DataSpec *d = NEW(a, DataSpec);
    *d = (DataSpec){.stage = "lines", .input = -1, .nfield = 1, .field = NEW(a, Field)};
    d->field[0] = (Field){.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {4}};
    p->spec.data = d;
    p->spec.ndata = 1;
    p->init = graph_new(a, "init");
    Type t = type_make(DT_f32, 1, (int64_t[]){4});
    program_add_tensor(p, &(Tensor){.name = "w", .kind = TENSOR_param, .type = t, .like = -1});
    graph_out(p->init, OUT_state, NULL, 0, g_fill(p->init, &t, 1, nowhere), nowhere);
    return p;
}

static void test_verifier(void) {
    Arena *a = arena_new();
    Graph *g;
    Type t = type_make(DT_f32, 1, (int64_t[]){4}), ids = typed("i32[8*,4]"),
         wrong = typed("i32[8*,5]");
    Program *p = small_program(a, &g);
    Ref w = graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere);
    graph_add(g, OP_field, &(Attr){.name = "ids"}, NULL, 0, &ids, nowhere);
    graph_out(g, OUT_state, NULL, 0, w, nowhere);
    Buf b = {0};
    EXPECT(program_verify(p, &b), "%s", b.data);
    buf_free(&b);
    p->entry[0].data = 1;
    rejects(p, "there is no data 1");
    p->entry[0].data = 0;
    graph_out(g, OUT_state, NULL, 0, w, nowhere);
    rejects(p, "two new values for 'w'");

    p = small_program(a, &g);
    graph_add(g, OP_field, &(Attr){.name = "ids"}, NULL, 0, &wrong, nowhere);
    rejects(p, "field 'ids' is i32[8*,4], not i32[8*,5]");
    p = small_program(a, &g);
    graph_add(g, OP_state, &(Attr){.tensor = 1}, NULL, 0, &t, nowhere);
    rejects(p, "there is no tensor 1");
    p = small_program(a, &g);
    p->init->nout = 0;
    rejects(p, "'w' has no initial value");
    p = small_program(a, &g);
    graph_add(p->init, OP_step, NULL, NULL, 0, NULL, nowhere);
    rejects(p, "initial values depend on nothing");
    p = small_program(a, &g);
    sample_unary(g, OP_stop);
    rejects(p, "only a body has inputs");
    p = small_program(a, &g);
    g_unary(g, OP_stop, graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere),
            nowhere);
    p->stage |= STAGE_PRIMITIVE;
    rejects(p, "autodiff has not removed this");
    p = small_program(a, &g);
    p->stage |= STAGE_PRIMITIVE | STAGE_WHOLE_SET | STAGE_FUSED;
    g_unary(g, OP_exp, graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere), nowhere);
    rejects(p, "computes outside of a kernel");
    p = small_program(a, &g);
    graph_out(g, OUT_report, "r", 0,
              graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere), nowhere);
    rejects(p, "a report is one value");
    p = small_program(a, &g);
    g_unary(g, OP_exp, graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere), nowhere);
    g->node[1]->type[0].dim[0] = 5;
    rejects(p, "result 0 is f32[5], the rule says f32[4]");
    p = small_program(a, &g);
    program_add_tensor(p, &(Tensor){.name = "w", .kind = TENSOR_acc, .type = t, .like = -1});
    rejects(p, "two tensors are called 'w'");
    rejects(p, "'w' is a sum over a whole set before there are any");
    p = small_program(a, &g);
    p->entry->kind = ENTRY_eval;
    graph_out(g, OUT_state, NULL, 0,
              graph_add(g, OP_state, &(Attr){.tensor = 0}, NULL, 0, &t, nowhere), nowhere);
    rejects(p, "of kind eval changes 'w'");
    p = small_program(a, &g);
    p->spec.data->input = 0;
    rejects(p, "data 0 reads 0, which does not come before it");
    p = small_program(a, &g);
    p->spec.data->stage = "magic";
    rejects(p, "there is no stage 'magic'");
    p = small_program(a, &g);
    p->spec.run.micro = 3;
    rejects(p, "pieces of 3 of a batch of 8");
    p->spec.run.micro = -1;
    rejects(p, "pieces of -1 of a batch of 8");
    p->entry->kind = ENTRY_eval;
    p->spec.run.micro = 3;
    EXPECT(program_verify(p, &b), "an eval has no pieces: %s", b.data);
    buf_free(&b);
    arena_free(a);
}

int main(void) {
    test_every_operator_round_trips();
    test_whole_program_round_trips();
    test_files();
    test_specification();
    test_broken_text_is_refused();
    test_damaged_text();
    test_equal_nodes_are_one();
    test_fingerprint();
    test_one_form();
    test_prune();
    test_verifier();
    test_parts();
    return check_done("ir");
}
