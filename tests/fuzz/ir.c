/* The text form of the IR: what is read can be printed and read again, and what verifies can be
 * passed through the passes that it is ready for, and planned. */
#include "passes/passes.h"
#include "tests/fuzz/fuzz.h"

enum { NODES_MAX = 2000 };

/* print(parse(print(p))) == print(p). */
static void reread(Arena *a, const Program *p) {
    Buf once = {0}, twice = {0};
    program_print(&once, p);
    Diag *d = diag_new(a);
    Program *again = program_parse(a, d, "printed.ir", once.data, once.n);
    if (!again) diag_print(d, stderr, false);
    CHECK(again);
    program_print(&twice, again);
    CHECK(str_eq(once.data, twice.data));
    buf_free(&once);
    buf_free(&twice);
}

static Program *optimise(Diag *d, Program *p) {
    if (!(p->stage & STAGE_PRIMITIVE)) return passes_run(p, d, &(PassOptions){0});
    const char *const rest[] = {"whole_set", "simplify", "fuse"};
    size_t done = p->stage & STAGE_WHOLE_SET ? 1 : 0;
    if (p->stage & STAGE_FUSED) return p;
    return passes_run_named(p, d, rest + done, 3 - done, &(PassOptions){0});
}

static void plan(Arena *a, const Program *p, const Graph *g) {
    Buf b = {0};
    plan_print(&b, p, plan_graph(a, p, g));
    buf_free(&b);
}

static void take_through(Arena *a, Diag *d, Program *p) {
    size_t nodes = p->init->n;
    for (size_t i = 0; i < p->nentry; i++) nodes += p->entry[i].step->n;
    if (nodes > NODES_MAX || !(p = optimise(d, p))) return;
    Buf b = {0};
    if (!program_verify(p, &b)) BUG("%s", b.data);
    plan(a, p, p->init);
    for (size_t i = 0; i < p->nentry; i++) plan(a, p, p->entry[i].step);
    buf_free(&b);
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Program *p = program_parse(a, d, "fuzz.ir", (const char *)data, n);
    CHECK(!p == (diag_errors(d) > 0));
    bool ok = false;
    if (p) {
        Buf b = {0};
        reread(a, p);
        ok = program_verify(p, &b);
        CHECK(ok == !b.n);
        if (ok) take_through(a, d, p);
        buf_free(&b);
    }
    fuzz_print(d);
    arena_free(a);
    return ok;
}
