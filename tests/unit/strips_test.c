/* Programs with strips forced so small that all their large values are computed in loops, compiled,
 * on 1 and 2 threads, against the same without strips and interpreted. Losses of logits in strips
 * are the same bit for bit; where columns of attention are left out, sums have another order. And
 * what strips makes of a graph means the same (check_each). */
#include "ir/loop.h"
#include "tests/unit/program.h"

enum { STEPS = 3 };

/* `strip`: bytes of one; 0: none. */
static Program *model_in_strips(Model *m, int64_t strip) {
    static const char *const name[] = {"whole_set",  "simplify", "strips",
                                       "accumulate", "fuse",     "order"};
    const PassOptions o = {.strip = strip ? strip : INT64_MAX / 4, .check_each = strip != 0};
    Program *p = passes_run_named(m->exact, m->diag, name, 6, &o);
    if (!p) diag_print(m->diag, stderr, false);
    return p;
}

static int count_strips(const Graph *g) {
    int n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == OP_scan && str_eq(g->node[i]->attr.scan.body->name, "strip"))
            n += 1 + count_strips(g->node[i]->attr.scan.body);
    return n;
}

typedef struct Machines {
    Native whole, strips, strips2;
    double apart; /* how far losses may be, of what they are */
} Machines;

static void check_step(Model *m, Machines *x, const char *path, int entry) {
    const Entry *e = &m->exact->entry[entry];
    native_set(&x->whole);
    native_set(&x->strips);
    native_set(&x->strips2);
    model_fields(m, e);
    native_run(&x->whole, entry, x->whole.code->entry[entry].logged);
    native_run(&x->strips, entry, x->strips.code->entry[entry].step);
    native_run(&x->strips2, entry, x->strips2.code->entry[entry].logged);
    expect_same_state(&x->strips, &x->strips2, "quiet on 1 thread and logged on 2");
    const RtPlan *whole = x->whole.code->entry[entry].logged,
                 *strips = x->strips2.code->entry[entry].logged;
    for (int i = 0; i < whole->nout; i++) {
        double got = exec_scalar(x->strips2.x, strips, i), want = exec_scalar(x->whole.x, whole, i);
        EXPECT(fabs(got - want) <= x->apart * fabs(want),
               "%s: %s is %.9g in strips, and %.9g whole", path, whole->out[i].name, got, want);
    }
    model_advance(m, e->step);
    expect_near_state(&x->strips, path);
}

/* `loops`: of strips in each train entry's step. */
static void check(const char *path, int64_t strip, double apart, const int *loops) {
    Model m;
    Machines x = {.apart = apart};
    Arena *a = arena_new();
    Err e = {0};
    char *text;
    size_t n;
    bool ok = file_read(a, path, &text, &n, &e) && model_open(&m, path, text, NULL, 0, NULL);
    EXPECT(ok, "%s: %s", path, e.msg);
    if (!ok) return;
    Program *p = model_in_strips(&m, strip);
    for (size_t i = 0; p && i < p->nentry; i++) {
        if (p->entry[i].kind != ENTRY_train) continue;
        int got = count_strips(p->entry[i].step), want = *loops++;
        EXPECT(got == want, "%s in strips of %lld: %d loops, not %d", path, (long long)strip, got,
               want);
    }
    if (p && native_open(&x.whole, &m, model_in_strips(&m, 0), 1) &&
        native_open(&x.strips, &m, p, 1) && native_share(&x.strips2, &x.strips, 2)) {
        model_start(&m, 0.05);
        m.step = 0;
        for (int s = 0; s < STEPS; s++)
            for (int i = 0; i < (int)m.exact->nentry; i++)
                if (m.exact->entry[i].kind == ENTRY_train) check_step(&m, &x, path, i);
    }
    native_close(&x.strips2);
    native_close(&x.strips);
    native_close(&x.whole);
    model_close(&m);
    arena_free(a);
}

int main(void) {
    static const char path[] = "tests/programs/strips.upm";
    check(path, 1000, 1e-6, (const int[]){20, 6});
    check(path, 4000, 1e-6, (const int[]){4, 6}); /* loops of one turn are none */
    check(path, 12000, 1e-6, (const int[]){4, 4});
    check(path, 30000, 0, (const int[]){1, 1});
    /* Logits alone in strips give the same bits; scores too, and sums are made in another order. */
    check("tests/programs/gpt.upm", 30000, 0, (const int[]){1});
    check("tests/programs/gpt.upm", 4000, 1e-6, (const int[]){5});
    return check_done("strips");
}
