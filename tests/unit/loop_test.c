/* Loops: each is interpreted as it is and written out turn by turn, which give the same numbers bit
 * for bit, and compiled for 1 and 2 threads. Bodies draw random numbers, count, hand inputs on, and
 * loop themselves. */
#include "ir/loop.h"
#include "passes/internal.h"
#include "tests/unit/codegen_case.h"

enum { TURNS = 7, ROWS = 3, WIDTH = 5 };
static const Span nowhere = {0};

static Ref draw(Graph *g, uint64_t place) {
    Type t = type_make(DT_f32, 2, (int64_t[]){ROWS, WIDTH});
    Attr a = {.random = {.place = place}};
    return graph_add(g, OP_uniform, &a, NULL, 0, &t, nowhere);
}

static Ref one(Graph *g, DType t) {
    return g_const(g, t, 1, nowhere);
}

/* Every turn's results. */
static void outputs(Case *c, Ref loop) {
    for (uint32_t i = 0; i < (uint32_t)c->g->node[loop.node]->nout; i++)
        output(c, (Ref){loop.node, i});
}

/* The interpreter finds the same in every turn written out, and in what is left of results that are
 * read: all of them. */
static void same_unrolled(Case *c) {
    Err e = {0};
    Graph *looped = c->g;
    Array *want = interpret(c, &e), *got[2];
    c->g = loops_unroll(looped);
    got[0] = interpret(c, &e);
    c->g = loops_trim(looped);
    got[1] = interpret(c, &e);
    c->g = looped;
    for (int k = 0; k < 2; k++) {
        EXPECT(want && got[k], "%s: %s", c->name, e.msg);
        for (size_t i = 0; want && got[k] && i < looped->nout; i++) {
            size_t n = (size_t)type_count(&want[i].type) * sizeof(double);
            EXPECT(type_same_shape(&want[i].type, &got[k][i].type) &&
                       memcmp(want[i].at, got[k][i].at, n) == 0,
                   "%s: %s, result %zu differs", c->name, k ? "trimmed" : "unrolled", i);
        }
    }
}

static void check_loop(Case *c, Ref loop) {
    outputs(c, loop);
    c->tolerance = 1e-5;
    c->positive = true;
    same_unrolled(c);
    case_run(c);
}

/* A recurrence with a product and noise, a count, and results that are inputs, twice the same, or
 * reduced. The slices of `in` are tensors, and one is computed. */
static Ref recurrence(Case *c, bool reverse, int totals) {
    Loop l = loop_new(c->a, "recurrence", reverse);
    l.totals = totals;
    Ref start = input(c, DT_f32, DIMS(ROWS, WIDTH)), count = input(c, DT_i32, DIMS(ROWS)),
        xs = input(c, DT_f32, DIMS(TURNS, ROWS, WIDTH)), w = input(c, DT_f32, DIMS(WIDTH, WIDTH)),
        ys = g_unary(c->g, OP_exp, xs, nowhere);
    Ref h = loop_input(&l, c->g, LOOP_carry, start, NULL),
        n = loop_input(&l, c->g, LOOP_carry, count, NULL),
        x = loop_input(&l, c->g, LOOP_slice, xs, NULL),
        y = loop_input(&l, c->g, LOOP_slice, ys, NULL),
        v = loop_input(&l, c->g, LOOP_whole, w, NULL);
    Graph *g = l.body;
    Ref z = g_binary(g, OP_add, g_dot(g, h, v, "bi", "ij", "bj", nowhere), x, nowhere);
    Ref next = g_binary(g, OP_mul, g_unary(g, OP_tanh, z, nowhere), draw(g, 9), nowhere);
    loop_carry(&l, next);
    loop_carry(&l, g_binary(g, OP_add, n, one(g, DT_i32), nowhere));
    loop_result(&l, x);
    loop_result(&l, h);
    loop_result(&l, g_reduce(g, OP_sum, g_binary(g, OP_mul, next, y, nowhere), 2, nowhere));
    EXPECT(loop_result(&l, next) == 0, "a result that is a carry is that carry");
    loop_keep(&l);
    return loop_finish(&l, c->g, nowhere);
}

static void test_recurrence(void) {
    for (int reverse = 0; reverse < 2; reverse++) {
        Case c = case_new(reverse ? "recurrence back" : "recurrence");
        check_loop(&c, recurrence(&c, reverse, 0));
    }
}

/* A total that is read as it was, too, and one that is written over in place. */
static void test_totals(void) {
    for (int reverse = 0; reverse < 2; reverse++)
        for (int totals = 1; totals <= 2; totals++) {
            Case c = case_new("totals");
            check_loop(&c, recurrence(&c, reverse, totals));
        }
}

/* The inner loop goes over all of what the outer sees a place of. */
static void test_nested(void) {
    Case c = case_new("nested");
    Ref start = input(&c, DT_f32, DIMS(ROWS, WIDTH)),
        xs = input(&c, DT_f32, DIMS(TURNS, 4, ROWS, WIDTH));
    Loop outer = loop_new(c.a, "outer", true), inner = loop_new(c.a, "inner", false);
    Ref h = loop_input(&outer, c.g, LOOP_carry, start, NULL),
        x = loop_input(&outer, c.g, LOOP_slice, xs, NULL);
    Graph *g = outer.body;
    Ref in = loop_input(&inner, g, LOOP_carry, h, NULL),
        y = loop_input(&inner, g, LOOP_slice, x, NULL),
        all = loop_input(&inner, g, LOOP_whole, h, NULL);
    Ref sum = g_binary(inner.body, OP_add, in, draw(inner.body, 4), nowhere);
    sum = g_binary(inner.body, OP_mul, g_binary(inner.body, OP_add, sum, all, nowhere), y, nowhere);
    loop_carry(&inner, g_unary(inner.body, OP_tanh, sum, nowhere));
    Ref turns = loop_finish(&inner, g, nowhere);
    Ref next = g_reduce(g, OP_sum, turns, 1, nowhere);
    next = g_reshape(g, next, 2, (int64_t[]){ROWS, WIDTH}, nowhere);
    loop_carry(&outer, g_binary(g, OP_add, next, draw(g, 4), nowhere));
    loop_result(&outer, turns);
    check_loop(&c, loop_finish(&outer, c.g, nowhere));
}

/* ---- what products of all turns read is packed once */

static int count_packs(Case *c) {
    Err e = {0};
    Program *p = fused(c, &e);
    RtProgram *rt = codegen_program(codegen, c->a, p, &e);
    EXPECT(rt, "%s: %s", c->name, e.msg);
    const RtPlan *plan = rt->entry[0].step;
    int n = 0;
    for (int i = 0; i < plan->nstep; i++) n += plan->step[i].kind == RT_PACK;
    return n;
}

static void test_packed(void) {
    Case c = case_new("packed"), limited = case_new("packed, with a limit");
    outputs(&c, recurrence(&c, false, 0));
    outputs(&limited, recurrence(&limited, false, 0));
    limited.p->spec.run.memory = 1 << 30;
    EXPECT(count_packs(&c) == 1, "%d", count_packs(&c));
    EXPECT(count_packs(&limited) == 0, "%d", count_packs(&limited));
    arena_free(c.a);
    arena_free(limited.a);
}

/* What is the same in the inner loop's turns only is packed in each of the outer's. */
static void test_packed_within(void) {
    Case c = case_new("packed within");
    Ref start = input(&c, DT_f32, DIMS(WIDTH, WIDTH)),
        xs = input(&c, DT_f32, DIMS(TURNS, 4, ROWS, WIDTH));
    Loop outer = loop_new(c.a, "outer", false), inner = loop_new(c.a, "inner", false);
    Ref w = loop_input(&outer, c.g, LOOP_carry, start, NULL),
        x = loop_input(&outer, c.g, LOOP_slice, xs, NULL);
    Ref y = loop_input(&inner, outer.body, LOOP_slice, x, NULL),
        v = loop_input(&inner, outer.body, LOOP_whole, w, NULL);
    loop_result(&inner, g_dot(inner.body, y, v, "bi", "ij", "bj", nowhere));
    Ref turns = loop_finish(&inner, outer.body, nowhere);
    loop_carry(&outer, g_unary(outer.body, OP_tanh, w, nowhere));
    loop_result(&outer, turns);
    Ref loop = loop_finish(&outer, c.g, nowhere);
    outputs(&c, loop);
    EXPECT(count_packs(&c) == TURNS, "%d", count_packs(&c));
    check_loop(&c, loop);
}

/* No two turns draw the same, and a loop the other way draws the same at each place. */
static void test_random(void) {
    Array *all[2];
    Case both[2] = {case_new("random"), case_new("random back")};
    for (int reverse = 0; reverse < 2; reverse++) {
        Case c = both[reverse];
        Err e = {0};
        Loop l = loop_new(c.a, "draws", reverse);
        loop_input(&l, c.g, LOOP_slice, input(&c, DT_f32, DIMS(TURNS)), NULL);
        loop_result(&l, draw(l.body, 7));
        output(&c, loop_finish(&l, c.g, nowhere));
        all[reverse] = interpret(&c, &e);
        EXPECT(all[reverse], "%s", e.msg);
    }
    const double *there = all[0][0].at, *back = all[1][0].at;
    for (int i = 0; i < TURNS * ROWS * WIDTH; i++) {
        EXPECT(there[i] == back[i], "place %d is drawn anew", i);
        for (int k = 0; k < i; k++) EXPECT(there[i] != there[k], "%d and %d are one draw", k, i);
    }
    for (int i = 0; i < 2; i++) arena_free(both[i].a);
}

/* A part that counts on from turn to turn of two loops is what the whole has there, and what a
 * third loop draws anew. The inner loop draws its rows last to first. */
static void check_parts(int64_t width, bool anew) {
    Case c = case_new(anew ? "parts, drawn anew" : "parts");
    Err e = {0};
    Type whole = type_make(DT_f32, 3, (int64_t[]){TURNS, 2 * ROWS, width}),
         part = type_make(DT_f32, 2, (int64_t[]){ROWS, width});
    Attr of = {.random = {.place = 7}}, a = of;
    random_part(&a, &whole);
    const int64_t *stride = a.random.stride;
    Attr b = {.random = {.place = 7,
                         .rank = 2,
                         .loops = 2,
                         .stride = {stride[1], stride[2]},
                         .turn = {ROWS * stride[1], stride[0]}}};
    Loop third = loop_new(c.a, "third", false), outer = loop_new(c.a, "outer", false),
         inner = loop_new(c.a, "inner", true);
    Graph *g = anew ? third.body : c.g;
    if (anew) loop_input(&third, c.g, LOOP_slice, input(&c, DT_f32, DIMS(3)), NULL);
    Type turns = type_make(DT_f32, 1, (int64_t[]){TURNS}),
         two = type_make(DT_f32, 1, (int64_t[]){2});
    loop_input(&outer, g, LOOP_slice, g_fill(g, &turns, 0, nowhere), NULL);
    loop_input(&inner, outer.body, LOOP_slice, g_fill(outer.body, &two, 0, nowhere), NULL);
    Ref drawn = graph_add(inner.body, OP_uniform, &b, NULL, 0, &part, nowhere);
    loop_result(&inner, g_binary(inner.body, OP_mul, drawn, one(inner.body, DT_f32), nowhere));
    loop_result(&outer, loop_finish(&inner, outer.body, nowhere));
    Ref all = loop_finish(&outer, g, nowhere);
    all = g_reshape(g, all, 3, whole.dim, nowhere);
    Ref same =
        g_binary(g, OP_eq, all, graph_add(g, OP_uniform, &of, NULL, 0, &whole, nowhere), nowhere);
    if (anew) loop_result(&third, same), loop_result(&third, all);
    Ref out = anew ? loop_finish(&third, c.g, nowhere) : same;
    output(&c, out);
    if (anew) output(&c, (Ref){out.node, 1});
    Array *x = interpret(&c, &e);
    EXPECT(x, "%s", e.msg);
    for (int64_t i = type_count(&x[0].type); x && i-- > 0;)
        EXPECT(x[0].at[i] == 1, "number %lld of the parts is another", (long long)i);
    same_unrolled(&c);
    case_run(&c);
}

static void test_parts(void) {
    for (int anew = 0; anew < 2; anew++) {
        check_parts(WIDTH, anew);
        check_parts(64, anew);
    }
}

/* What nobody reads is neither computed nor handed in. */
static void test_trim(void) {
    Case c = case_new("trim");
    Ref loop = recurrence(&c, false, 0);
    output(&c, (Ref){loop.node, 0});
    Graph *g = loops_trim(c.g);
    const Node *n = graph_node(g, g->out[0].ref);
    EXPECT(n->nout == 2 && n->nin == 4 && n->attr.scan.slices == 1, "%d results of %d inputs left",
           n->nout, n->nin);
    arena_free(c.a);
}

/* A fault within a body names it, and the steps of a turn keep their places. */
static void test_fault(void) {
    Case c = case_new("fault");
    Err e = {0};
    c.below = 40; /* of 9 rows */
    Loop l = loop_new(c.a, "lookup", false);
    Ref table = input(&c, DT_f32, DIMS(9, 3)), at = input(&c, DT_i32, DIMS(TURNS, 20)),
        in[] = {loop_input(&l, c.g, LOOP_whole, table, NULL),
                loop_input(&l, c.g, LOOP_slice, at, NULL)};
    loop_result(&l, graph_add(l.body, OP_take, &(Attr){.axis = 0}, in, 2, NULL, nowhere));
    output(&c, loop_finish(&l, c.g, nowhere));
    Program *p = fused(&c, &e);
    RtProgram *rt = codegen_program(codegen, c.a, p, &e);
    char *out[1];
    EXPECT(rt && !run_compiled(&c, rt, 1, out, &e) && strstr(e.msg, "out of range"),
           "an index out of range: %s", e.msg);
    arena_free(c.a);
}

int main(void) {
    Err e = {0};
    codegen = codegen_new(&(CodegenOptions){0}, &e);
    EXPECT(codegen, "%s", e.msg);
    for (int i = 0; i < 2; i++) EXPECT((pool[i] = pool_new(i + 1, &e)), "%s", e.msg);
    test_recurrence();
    test_totals();
    test_nested();
    test_packed();
    test_packed_within();
    test_random();
    test_parts();
    test_trim();
    test_fault();
    for (int i = 0; i < 2; i++) pool_free(pool[i]);
    codegen_free(codegen);
    return check_done("loop");
}
