/* Every program of tests/programs as a whole, each minimisation and update of its train entries:
 *   gradients   interpreted in f64, against differences of their loss along a random direction
 *   steps       compiled (fused on 1 and 2 threads, and with a kernel a node) against interpreted
 * in f32, from the same state For the first the library's optimisers are replaced by ones that only
 * keep their gradient; for the second Adam's eps is raised: it divides rounding by rounding where a
 * gradient is zero. */
#include <glob.h>

#include "tests/unit/program.h"

enum { STEPS = 3 };

static const char *const keeping = /* in place of models/std/optim.upm */
    "import std.init\n"
    "rule sgd(lr, momentum = 0, nesterov = false, decay = 0) {\n"
    "    state gradient = zeros\n"
    "    fn (w, g, t) { update gradient = g; return w }\n"
    "}\n"
    "rule adam(lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8) {\n"
    "    state gradient = zeros\n"
    "    fn (w, g, t) { update gradient = g; return w }\n"
    "}\n"
    "rule adamw(lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.01) {\n"
    "    state gradient = zeros\n"
    "    fn (w, g, t) { update gradient = g; return w }\n"
    "}\n"
    "fn clip_global_norm(grads, limit) = grads\n"
    "fn linear(peak, floor = 0) = peak\n"
    "fn cosine(peak, floor = 0) = peak\n"
    "fn warmup_linear(peak, warmup) = peak\n"
    "fn warmup_cosine(peak, warmup, floor = 0) = peak\n";

/* The rules of the library with another default. */
static const char *raise_eps(Arena *a, const char *text) {
    static const char from[] = "eps = 1e-8", to[] = "eps = 1e-3";
    char *copy = arena_strdup(a, text);
    for (char *at = copy; (at = strstr(at, from)); at += sizeof from - 1)
        memcpy(at, to, sizeof to - 1);
    return copy;
}

static bool open_program(Model *m, const char *path, bool keep) {
    Arena *a = arena_new();
    Err e = {0};
    char *text, *optim;
    size_t n;
    bool read =
        file_read(a, path, &text, &n, &e) && file_read(a, "models/std/optim.upm", &optim, &n, &e);
    EXPECT(read, "%s", e.msg);
    if (!read) return false;
    bool ok = model_open(m, path, text, NULL, 0, keep ? keeping : raise_eps(a, optim));
    arena_free(a);
    return ok;
}

/* ---- gradients */
/* The entry's losses each as a graph of their own. */
static Graph *loss_graph(Model *m, const Graph *g, int number) {
    for (size_t i = 0; i < g->nout; i++) {
        if (g->out[i].kind != OUT_loss || number-- > 0) continue;
        Graph all = *g;
        all.out = &g->out[i];
        all.nout = 1;
        return graph_prune(m->arena, &all, "loss", NULL);
    }
    return NULL;
}

/* The parameter whose gradient the tensor keeps: "optim.NUMBER.PATH.gradient"; -1: it is none. */
static int param_of(const Model *m, int tensor, int *number) {
    const char *name = m->exact->tensor[tensor].name, *path, end[] = ".gradient";
    size_t n = strlen(name), tail = sizeof end - 1;
    if (sscanf(name, "optim.%d", number) != 1 || n < tail || !str_eq(name + n - tail, end))
        return -1;
    path = strchr(strchr(name, '.') + 1, '.') + 1;
    path = arena_strndup(m->arena, path, n - tail - (size_t)(path - name));
    for (int i = 0; i < (int)m->exact->ntensor; i++)
        if (str_eq(m->exact->tensor[i].name, path)) return i;
    return -1;
}

/* Numbers of minimisations go on from entry to entry: this one's begin at `first`. */
static int check_entry_gradients(Model *m, const char *path, const Entry *e, int first) {
    model_fields(m, e);
    Array *out = interpret(m, e->step, true, m->arena);
    int number, losses = 0;
    for (size_t i = 0; i < e->step->nout; i++) losses += e->step->out[i].kind == OUT_loss;
    EXPECT(losses, "%s: nothing is minimised", path);
    for (size_t i = 0; out && i < e->step->nout; i++) {
        const Output *o = &e->step->out[i];
        int param = o->kind == OUT_state ? param_of(m, o->index, &number) : -1;
        if (param < 0) continue;
        CHECK(number >= first && number < first + losses);
        expect_slope(m, loss_graph(m, e->step, number - first), param, &out[i], path);
    }
    return first + losses;
}

static void check_gradients(const char *path) {
    Model m;
    if (open_program(&m, path, true)) {
        model_start(&m, 0.1);
        int first = 0;
        for (size_t i = 0; i < m.exact->nentry; i++)
            if (m.exact->entry[i].kind == ENTRY_train)
                first = check_entry_gradients(&m, path, &m.exact->entry[i], first);
    }
    model_close(&m);
}

/* ---- steps */
typedef struct Machines {
    Native fused, fused2, plain;
} Machines;

static void check_step(Model *m, Machines *x, const char *path, int entry) {
    const Entry *e = &m->exact->entry[entry];
    native_set(&x->fused);
    native_set(&x->fused2);
    native_set(&x->plain);
    model_fields(m, e);
    native_run(&x->fused, entry, x->fused.code->entry[entry].step);
    native_run(&x->fused2, entry, x->fused2.code->entry[entry].logged);
    native_run(&x->plain, entry, x->plain.code->entry[entry].step);
    expect_same_state(&x->fused, &x->fused2, "quiet on 1 thread and logged on 2");
    Array *out = interpret(m, e->logged, false, m->arena);
    const RtPlan *plan = x->fused2.code->entry[entry].logged;
    int at = 0;
    for (size_t i = 0; out && i < e->logged->nout; i++) {
        if (e->logged->out[i].kind == OUT_state) continue;
        double got = exec_scalar(x->fused2.x, plan, at++), want = out[i].at[0];
        EXPECT(fabs(got - want) <= 1e-5 * fmax(fabs(want), 1e-2), "%s, %s: %g, not %g", path,
               e->logged->out[i].name ? e->logged->out[i].name : "loss", got, want);
    }
    model_advance(m, e->step);
    expect_near_state(&x->fused, path);
    expect_near_state(&x->plain, arena_printf(m->arena, "%s, a kernel a node", path));
}

static void check_steps(const char *path) {
    Model m;
    Machines x = {0};
    if (open_program(&m, path, false) && native_open(&x.fused, &m, model_fused(&m), 1) &&
        native_share(&x.fused2, &x.fused, 2) && native_open(&x.plain, &m, model_plain(&m), 1)) {
        model_start(&m, 0.05);
        expect_same_start(&x.fused);
        m.step = 0;
        for (int s = 0; s < STEPS; s++)
            for (int i = 0; i < (int)m.exact->nentry; i++)
                if (m.exact->entry[i].kind == ENTRY_train) check_step(&m, &x, path, i);
    }
    native_close(&x.fused2);
    native_close(&x.fused);
    native_close(&x.plain);
    model_close(&m);
}

int main(int argc, char **argv) {
    glob_t found;
    CHECK(glob(argc > 1 ? argv[1] : "tests/programs/*.upm", 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        /* Its key encoder moves towards the query before the loss, as a constant: the loss has
         * another slope. */
        if (!strstr(found.gl_pathv[i], "moco")) check_gradients(found.gl_pathv[i]);
        check_steps(found.gl_pathv[i]);
    }
    globfree(&found);
    return check_done("programs");
}
