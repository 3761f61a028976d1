/* Elaboration from text to program: what statements do, told from the graphs they leave and from
 * the values that the reference interpreter computes with them. */
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD                                                                                       \
    "import std.nn\nimport std.optim\ntokenizer tok = bytes()\n"                                   \
    "data text = lines(\"x\") | encode(tok) | pad(6)\n"

static const char *read_module(void *cx, const char *name, size_t *n, const char **path) {
    char *text;
    Err e;
    *path = arena_printf(cx, "models/std/%s.upm", name);
    return file_read(cx, *path, &text, n, &e) ? text : NULL;
}

typedef struct Test {
    Arena *arena;
    Diag *diag;
    Program *p;
} Test;

static Test compile_at(const char *path, const char *text, const Define *define, size_t n) {
    Test t = {.arena = arena_new()};
    t.diag = diag_new(t.arena);
    FrontendHost host = {.cx = t.arena, .module = read_module};
    t.p = frontend_compile(t.arena, t.diag, path, text, strlen(text), &host, define, n);
    Buf b = {0};
    EXPECT(t.p, "no program from\n%s", text);
    if (!t.p) diag_print(t.diag, stderr, false);
    EXPECT(!t.p || program_verify(t.p, &b), "%s", b.data);
    buf_free(&b);
    return t;
}

static Test compile(const char *text) {
    return compile_at("test.upm", text, NULL, 0);
}

static void done(Test *t) {
    arena_free(t->arena);
}

/* ---- looking at programs */
static int find_tensor(const Program *p, const char *name) {
    for (size_t i = 0; i < p->ntensor; i++)
        if (str_eq(p->tensor[i].name, name)) return (int)i;
    return -1;
}

static int count_op(const Graph *g, Op op) {
    int n = 0;
    for (size_t i = 0; i < g->n; i++) n += g->node[i]->op == op;
    return n;
}

static int count_out(const Graph *g, OutKind kind) {
    int n = 0;
    for (size_t i = 0; i < g->nout; i++) n += g->out[i].kind == kind;
    return n;
}

static const Graph *quiet(const Test *t) {
    return t->p->entry[0].step;
}

/* ---- running them: initial values, then steps of the first entry */
typedef struct Machine {
    Test t;
    Array *state;
    double report; /* the first of the last step */
    int steps;
} Machine;

static Array read_field(const Test *t, const Graph *g, const char *name) {
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (n->op != OP_field || !str_eq(n->attr.name, name)) continue;
        Array a = {n->type[0], NEW_N(t->arena, double, type_count(&n->type[0]))};
        for (int64_t k = 0; k < type_count(&a.type); k++) a.at[k] = (double)(k % 7 + 5);
        return a;
    }
    return (Array){0};
}

static bool start(Machine *m, const char *text) {
    Err e = {0};
    *m = (Machine){.t = compile(text)};
    if (!m->t.p) return false;
    m->t.p =
        passes_run_named(m->t.p, m->t.diag, (const char *[]){"autodiff"}, 1, &(PassOptions){0});
    EXPECT(m->t.p, "autodiff");
    if (!m->t.p) return diag_print(m->t.diag, stderr, false), false;
    EvalCx cx = {.arena = m->t.arena, .program = m->t.p, .f64 = true, .seed = 1, .live = -1};
    Array *out = graph_eval(m->t.p->init, &cx, &e);
    EXPECT(out, "%s", e.msg);
    m->state = NEW_N(m->t.arena, Array, m->t.p->ntensor);
    for (size_t i = 0; out && i < m->t.p->init->nout; i++)
        m->state[m->t.p->init->out[i].index] = out[i];
    for (size_t i = 0; i < m->t.p->ntensor; i++)
        if (m->t.p->tensor[i].like >= 0) m->state[i] = m->state[m->t.p->tensor[i].like];
    return out;
}

static bool step(Machine *m) {
    Err e = {0};
    const Entry *entry = &m->t.p->entry[0];
    const Graph *g = entry->logged ? entry->logged : entry->step;
    Array field = read_field(&m->t, g, "ids");
    const char *name = "ids";
    EvalCx cx = {.arena = m->t.arena,
                 .program = m->t.p,
                 .f64 = true,
                 .state = m->state,
                 .field_name = &name,
                 .field = &field,
                 .nfield = 1,
                 .seed = 1,
                 .step = m->steps++,
                 .steps = (double)entry->steps,
                 .live = -1};
    Array *out = graph_eval(g, &cx, &e);
    EXPECT(out, "%s", e.msg);
    if (!out) return false;
    for (size_t i = 0; i < g->nout; i++) {
        if (g->out[i].kind == OUT_state) m->state[g->out[i].index] = out[i];
        if (g->out[i].kind == OUT_report) m->report = out[i].at[0];
    }
    return true;
}

static double value(const Machine *m, const char *tensor, int k) {
    int i = find_tensor(m->t.p, tensor);
    EXPECT(i >= 0, "there is no tensor '%s'", tensor);
    return i >= 0 ? m->state[i].at[k] : NAN;
}

static void near(double got, double want, const char *what) {
    EXPECT(fabs(got - want) <= 1e-9 * fmax(1, fabs(want)), "%s is %.12g, not %.12g", what, got,
           want);
}

/* ---- minimize and update */
static void test_sgd(void) {
    Machine m;
    if (!start(&m,
               HEAD "param w[2] = fill(1)\n"
                    "train on text batch 4 steps 5 { minimize sum((w - 3)^2) with sgd(0.1) }\n"))
        return;
    step(&m);
    near(value(&m, "w", 0), 1 + 0.1 * 4, "w after one step");
    near(value(&m, "optim.0.t", 0), 1, "the number of updates");
    step(&m);
    near(value(&m, "w", 1), 1.4 + 0.1 * 3.2, "w after two steps");
    EXPECT(find_tensor(m.t.p, "optim.0.w.velocity") < 0, "a velocity that nothing reads was made");
    done(&m.t);
}

static void test_momentum(void) {
    Machine m;
    if (!start(&m, HEAD
               "param w[2] = 1\n"
               "train on text batch 4 steps 5 { minimize sum(w) with sgd(0.1, momentum = 0.5) }\n"))
        return;
    step(&m), step(&m);
    near(value(&m, "optim.0.w.velocity", 0), 1.5, "velocity");
    near(value(&m, "w", 0), 1 - 0.1 - 0.15, "w");
    done(&m.t);
}

/* The second minimize sees what the first left, has its own count, and does not differentiate
 * through it. */
static void test_two_minimizes(void) {
    Machine m;
    if (!start(&m,
               HEAD "param a = 1\nparam b = 2\n"
                    "train on text batch 4 steps 5 {\n"
                    "    old = a\n"
                    "    minimize a * b over a with sgd(0.5)\n"       /* a = 1 - 0.5 * 2 = 0 */
                    "    minimize (a - 1) * b over b with sgd(0.5)\n" /* b = 2 - 0.5 * (0 - 1) */
                    "    report old = old + 10 * a\n"
                    "}\n"))
        return;
    step(&m);
    near(value(&m, "a", 0), 0, "a");
    near(value(&m, "b", 0), 2.5, "b, from the new a");
    near(m.report, 1, "a name bound earlier keeps its value");
    near(value(&m, "optim.1.t", 0), 1, "the second minimize's count");
    done(&m.t);
}

static void test_rates_and_clip(void) {
    Machine m;
    if (!start(&m, HEAD "param a = 0\nparam b = 0\n"
                        "train on text batch 4 steps 5 { minimize 3 * a + 4 * b over a, b lr x 10 "
                        "with sgd(0.1), clip = 1.0 }\n"))
        return;
    step(&m);
    near(value(&m, "a", 0), -0.1 * 0.6, "a, its gradient cut to length 1");
    near(value(&m, "b", 0), -10 * 0.1 * 0.8, "b, at ten times the rate");
    done(&m.t);
}

static void test_update(void) {
    Machine m;
    if (!start(
            &m, HEAD
            "state queue[4] = fn (shape) { return cast(iota(4), f32) }\n"
            "block Count(d) { state seen[d] = 0\n fn (x) { update seen = seen + 1\n return x } }\n"
            "count = Count(2)\n"
            "train on text batch 1 steps 5 {\n"
            "    update queue = concat([queue[2:] * 2, queue[:2]] over 0)\n"
            "    update queue = queue + 1\n"
            "    x = count(count(1))\n"
            "    y = still(count)(1)\n"
            "}\n"
            "eval on text batch 2 { x = count(mean(ids))\n report x }\n"))
        return;
    step(&m);
    near(value(&m, "queue", 0), 5, "queue, updated twice in order");
    near(value(&m, "queue", 3), 2, "queue");
    near(value(&m, "count.seen", 1), 2, "a block's state: twice in train, never under still");
    EXPECT(count_out(m.t.p->entry[1].step, OUT_state) == 0, "an eval changed state");
    done(&m.t);
}

static void test_clone(void) {
    Machine m;
    if (!start(&m, HEAD "query = Linear(1, 2, init = normal(1))\nkey = clone(query)\n"
                        "train on text batch 4 steps 5 {\n"
                        "    x = cast(ids[:, :1], f32)\n"
                        "    minimize mean(query(x) * key(x)) with sgd(0.1)\n"
                        "    update key = ema(key, query, 0.75)\n"
                        "}\n"))
        return;
    const Program *p = m.t.p;
    int key = find_tensor(p, "key.weight"), query = find_tensor(p, "query.weight");
    EXPECT(key >= 0 && p->tensor[key].like == query, "a clone starts as its original");
    EXPECT(find_tensor(p, "optim.0.key.weight.velocity") < 0, "a clone is not trained");
    double before = value(&m, "key.weight", 1);
    step(&m);
    near(value(&m, "key.weight", 1), 0.75 * before + 0.25 * value(&m, "query.weight", 1),
         "the average, of the new query");
    EXPECT(value(&m, "query.weight", 1) != before, "the original is trained");
    done(&m.t);
}

static void test_freeze(void) {
    Test t = compile(HEAD "block Noisy(d) { param w[d] = 1\n fn (x) = dropout(x * w, 0.5) }\n"
                          "cold = Noisy(6)\nwarm = Noisy(6)\nfreeze cold\n"
                          "train on text batch 4 steps 5 { minimize mean(warm(cold(cast(ids, "
                          "f32)))) with sgd(0.1) }\n");
    if (!t.p) return;
    EXPECT(count_op(quiet(&t), OP_uniform) == 1, "%d draws, of which the frozen block makes none",
           count_op(quiet(&t), OP_uniform));
    EXPECT(count_out(quiet(&t), OUT_state) == 2, "only warm.w and the count change");
    done(&t);
}

/* What a report computes changes no state, though the block it calls would. */
static void test_report_updates(void) {
    Machine m;
    if (!start(
            &m, HEAD
            "block Count(d) { state seen[d] = 0\n fn (x) { update seen = seen + 1\n return x } }\n"
            "count = Count(2)\nstate other = 0\n"
            "train on text batch 1 steps 5 { report a = count(1)\n update other = other + count(1) "
            "}\n"))
        return;
    step(&m);
    near(value(&m, "count.seen", 0), 1, "the count of calls outside reports");
    done(&m.t);
}

/* ---- what is computed when */
static void test_entries(void) {
    Test t = compile(
        HEAD "param w[6] = 1\nparam unused[6] = 1\n"
             "eval on text { report loss = mean(dropout(cast(ids, f32) * w, 0.5)) }\n"
             "train on text batch 7 steps 5 { loss = mean(dropout(cast(ids, f32) * w, 0.5))\n"
             "minimize loss with sgd(0.1)\n report loss }\n");
    if (!t.p) return;
    EXPECT(t.p->nentry == 2 && t.p->entry[1].kind == ENTRY_eval, "%zu entries", t.p->nentry);
    EXPECT(t.p->entry[1].batch == 7, "eval takes the batch of train, not %lld",
           (long long)t.p->entry[1].batch);
    EXPECT(count_op(t.p->entry[1].step, OP_uniform) == 0, "dropout in eval");
    EXPECT(find_tensor(t.p, "unused") < 0, "a param that no entry reaches");
    EXPECT(count_out(quiet(&t), OUT_report) == 0 &&
               count_out(t.p->entry[0].logged, OUT_report) == 1,
           "quiet and logged");
    for (size_t i = 0; i < quiet(&t)->n; i++) {
        const Node *n = quiet(&t)->node[i];
        if (n->op == OP_field)
            EXPECT(n->type[0].batch_axis == 0 && n->type[0].dim[0] == 7, "the field's batch axis");
    }
    done(&t);
}

static const char features_text[] =
    HEAD "param w[6] = 1\nparam unread[6] = 1\n"
         "train on text batch 7 steps 5 { minimize mean((cast(ids, f32) - w)^2) with sgd(0.1) }\n"
         "eval on text { (z, first) = bank\n report a = mean(z), b = sum(first) }\n"
         "features bank on text { return cast(ids, f32) * w, first = ids[:, 0] }\n"
         "features alone on text { return cast(ids, f32) * unread }\n";

/* Without a host there are 64 records. */
static void test_features(void) {
    Test t = compile(features_text);
    if (!t.p) return;
    const Entry *e = &t.p->entry[1];
    EXPECT(t.p->nentry == 3 && e->kind == ENTRY_features && str_eq(e->name, "bank") &&
               e->batch == 7 && e->steps == 64,
           "what an eval reads is gathered before it, by batches of train");
    EXPECT(find_tensor(t.p, "alone.0") < 0 && find_tensor(t.p, "unread") < 0,
           "what no eval reads is not made");
    int z = find_tensor(t.p, "bank.0"), first = find_tensor(t.p, "bank.first");
    EXPECT(z >= 0 && t.p->tensor[z].kind == TENSOR_bank && t.p->tensor[z].type.dim[0] == 64 &&
               t.p->tensor[z].type.dim[1] == 6,
           "a row a record");
    EXPECT(first >= 0 && t.p->tensor[first].type.dtype == DT_i32 &&
               t.p->tensor[first].type.rank == 1,
           "of any type");
    EXPECT(count_out(e->step, OUT_state) == 2 && count_out(t.p->init, OUT_state) == 2,
           "banks have no initial value, w and its count have one");
    done(&t);
}

/* A host that evaluates nothing. */
static void test_unevaluated(void) {
    Test t = {.arena = arena_new()};
    t.diag = diag_new(t.arena);
    FrontendHost host = {.cx = t.arena, .module = read_module, .unevaluated = true};
    t.p = frontend_compile(t.arena, t.diag, "test.upm", features_text, strlen(features_text), &host,
                           NULL, 0);
    EXPECT(t.p && t.p->nentry == 1 && t.p->entry[0].kind == ENTRY_train, "only train is left");
    done(&t);
}

static void test_remat(void) {
    Test t = compile(HEAD "a = Linear(6, 6)\nb = Linear(6, 6)\n"
                          "train on text batch 4 steps 5 { minimize "
                          "mean(remat(b)(remat(a)(cast(ids, f32)))) with sgd(0.1) }\n");
    if (!t.p) return;
    uint32_t most = 0;
    for (size_t i = 0; i < quiet(&t)->n; i++)
        if (quiet(&t)->node[i]->region > most) most = quiet(&t)->node[i]->region;
    EXPECT(most == 2, "two regions, not %u", most);
    done(&t);
}

/* ---- places */
static int count_places(const Graph *g) {
    int n = 0;
    for (size_t i = 0; i < g->n; i++) {
        bool first = op_info[g->node[i]->op].flags & FLAG_RANDOM;
        for (size_t k = 0; k < i && first; k++)
            if ((op_info[g->node[k]->op].flags & FLAG_RANDOM) &&
                g->node[k]->attr.random.place == g->node[i]->attr.random.place)
                first = false;
        n += first;
    }
    return n;
}

static bool has_place(const Graph *g, const Node *n) {
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == n->op && g->node[i]->attr.random.place == n->attr.random.place)
            return true;
    return false;
}

static void test_places(void) {
    static const char plain[] =
        HEAD "block Drop() { param w[6] = 1\n fn (x) = dropout(dropout(x * w, 0.1), 0.1) }\n"
             "layer[3] = Drop()\n"
             "train on text batch 4 steps 5 { x = cast(ids, f32)\n"
             "for l in layer { x = l(x) }\n x = layer[0](x)\n"
             "minimize mean(x) with sgd(0.1)\n y = dropout(x, 0.3)\n update layer[0].w = mean(y "
             "over 0) }\n";
    char reported[sizeof plain + 200];
    const char *cut = strstr(plain, "minimize");
    snprintf(reported, sizeof reported,
             "%.*s report a = mean(dropout(x, 0.5)), b = mean(layer[1](x))\n%s", (int)(cut - plain),
             plain, cut);
    Test a = compile(plain), b = compile(reported);
    if (!a.p || !b.p) return;
    EXPECT(count_places(quiet(&a)) == 9, "nine dropouts, %d places", count_places(quiet(&a)));
    EXPECT(count_places(b.p->entry[0].logged) == 12, "and three in reports: %d",
           count_places(b.p->entry[0].logged));
    EXPECT(quiet(&a)->n == quiet(&b)->n && count_places(quiet(&b)) == 9,
           "a report changed the step");
    for (size_t i = 0; i < quiet(&a)->n; i++) {
        const Node *n = quiet(&a)->node[i];
        if (op_info[n->op].flags & FLAG_RANDOM)
            EXPECT(has_place(quiet(&b), n), "a report moved a random number");
    }
    done(&a), done(&b);
}

/* ---- modules */
static void test_defines(void) {
    Define define[] = {{"d", "3 + 1"}};
    Test t = compile_at("test.upm",
                        HEAD "const d = 2\nconst twice = 2*d\nparam w[twice] = 1\n"
                             "train on text batch 4 steps 5 { minimize sum(w) with sgd(0.1) }\n",
                        define, 1);
    if (t.p)
        EXPECT(t.p->tensor[find_tensor(t.p, "w")].type.dim[0] == 8,
               "-D changes what is computed from it");
    done(&t);
}

static void test_unknown_define(void) {
    static const char text[] = "const depth = 2\n";
    Define define[] = {{"dpth", "3"}};
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    FrontendHost host = {.cx = a, .module = read_module};
    Program *p = frontend_compile(a, d, "test.upm", text, strlen(text), &host, define, 1);
    EXPECT(!p && diag_errors(d) == 1, "-D of a name that is no const");
    arena_free(a);
}

static void test_imports(void) {
    char folder[] = "/tmp/upt_elaborate_XXXXXX", path[100];
    Err e;
    static const char other[] = HEAD "const d = 3\nhead = Linear(d, d)\nbody = Linear(d, d)\n"
                                     "fn twice(x) = body(head(x))\n"
                                     "train on text batch 2 steps 1 { minimize "
                                     "mean(twice(cast(ids[:, :3], f32))) with sgd(1) }\n";
    if (!mkdtemp(folder)) return;
    snprintf(path, sizeof path, "%s/other.upm", folder);
    EXPECT(file_write_atomic(path, other, strlen(other), &e), "%s", e.msg);
    snprintf(path, sizeof path, "%s/main.upm", folder);
    Define define[] = {{"pre.d", "6"}};
    Test t = compile_at(
        path,
        "import \"other.upm\" as pre\nimport std.nn\nimport std.optim\nhead = Linear(6, 1)\n"
        "load pre.head, pre.body from \"a.safetensors\"\n"
        "train on pre.text batch 4 steps 5 {\n"
        "minimize mean(head(pre.twice(cast(ids, f32)))) with sgd(0.1) }\n",
        define, 1);
    if (t.p) {
        EXPECT(t.p->nentry == 1, "an imported file's entries are not run");
        EXPECT(find_tensor(t.p, "body.weight") >= 0, "an imported instance keeps its path");
        EXPECT(find_tensor(t.p, "pre.head.weight") >= 0 && find_tensor(t.p, "head.weight") >= 0,
               "and gives way to the file's own");
        EXPECT(t.p->tensor[find_tensor(t.p, "body.weight")].type.dim[0] == 6, "-D pre.d");
        const LoadSpec *l = t.p->spec.load;
        EXPECT(l->nrename == 1 && str_eq(l->from[0], "head") && str_eq(l->to[0], "pre.head"),
               "load finds it by its own path");
    }
    done(&t);
    unlink(path);
    snprintf(path, sizeof path, "%s/other.upm", folder);
    unlink(path);
    rmdir(folder);
}

static void test_data(void) {
    Test t = compile(
        "import std.optim\ntokenizer tok = wordpiece(\"v.txt\", 99, from = \"x\")\nconst seq = 8\n"
        "data (kept, held) = documents(\"x\") | encode(tok) | split(0.75)\n"
        "data pairs = held | sentence_pairs(seq, random = 0.25) | take(10) | shuffle\nparam w = 1\n"
        "train on pairs batch 4 epochs 2 {\n"
        "    minimize w * mean(ids + segment + next[:, None]) with sgd(0.1)\n    report text t = "
        "decode(tok, ids)\n}\n"
        "run { seed = 7; eval every 50; save every 1k; keep = 3; order = alternate }\n");
    if (!t.p) return;
    const Spec *s = &t.p->spec;
    const DataSpec *d = &s->data[t.p->entry[0].data];
    EXPECT(str_eq(d->stage, "shuffle") && d->nfield == 3 && d->field[0].dim[0] == 8,
           "fields pass through shuffle");
    EXPECT(str_eq(d->field[1].name, "segment") && str_eq(d->field[0].dim_name[0], "seq"),
           "and know their names");
    const DataSpec *pairs = &s->data[s->data[d->input].input];
    EXPECT(spec_num(pairs, "random", 0) == 0.25 &&
               spec_int(&s->data[pairs->input], "part", -1) == 1,
           "the held part");
    EXPECT(t.p->entry[0].epochs == 2 && t.p->entry[0].steps == 0, "epochs");
    EXPECT(s->run.seed == 7 && s->run.eval_every == 50 && s->run.save_every == 1000 &&
               s->run.keep == 3 && s->run.alternate,
           "run");
    EXPECT(count_out(t.p->entry[0].logged, OUT_text) == 1 &&
               str_eq(s->tokenizer[0].kind, "wordpiece"),
           "report text");
    done(&t);
}

int main(void) {
    test_sgd();
    test_momentum();
    test_two_minimizes();
    test_rates_and_clip();
    test_update();
    test_clone();
    test_freeze();
    test_report_updates();
    test_entries();
    test_features();
    test_unevaluated();
    test_remat();
    test_places();
    test_defines();
    test_unknown_define();
    test_imports();
    test_data();
    return check_done("elaborate");
}
