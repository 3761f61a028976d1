/* BERT as a whole (models/encoder.upm with its objective, small, with dropout, both orders of
 * norms): loss and every gradient, which the rule `expose` leaves in its state.
 *
 * Interpreted in f64 they are held to differences of the loss; compiled, to the interpreter in f32
 * on the program that autodiff left. Fused and unfused, quiet and logged, one thread and two have
 * to agree as the text of each check says. */
#include "tests/unit/program.h"

static const char *const source =
    "import std.nn\n"
    "import std.optim\n"
    "import \"encoder.upm\" as model\n"
    "const pre = true\n"
    "const drop = 0.1\n"
    "tokenizer tok = bytes()\n"
    "data corpus = documents(\"none\") | encode(tok) | sentence_pairs(12, random = 0.5)\n"
    "bert  = model.Bert(tok.size, 16, 2, 2, 12, tok.pad, drop, prenorm = pre)\n"
    "words = model.WordHead(bert.embed.word, 16)\n"
    "pair  = Linear(16, 2)\n"
    "rule expose() {\n"
    "    state gradient = zeros\n"
    "    fn (w, g, t) { update gradient = g; return w }\n"
    "}\n"
    "train on corpus batch 3 steps 10 {\n"
    "    (mlm, nsp, accuracy) = model.objective(bert, words, pair, tok, ids, segment, next)[:3]\n"
    "    minimize mlm + nsp with expose()\n"
    "    report mlm, nsp, accuracy\n"
    "}\n"
    "train on corpus batch 3 steps 10 {\n"
    "    (mlm, nsp, accuracy) = model.objective(bert, words, pair, tok, ids, segment, next)[:3]\n"
    "    minimize mlm + nsp with adamw(warmup_linear(1e-2, 3), eps = 1e-3, decay = 0.1), clip = "
    "0.5\n"
    "    report mlm, nsp, accuracy\n"
    "}\n";
enum { EXPOSE, ADAMW };

typedef struct Bert {
    Model m;
    const char *what;
    Native fused, fused2, plain;
} Bert;

static bool bert_open(Bert *b, const char *pre, const char *drop, const char *what) {
    Define define[] = {{"pre", pre}, {"drop", drop}};
    *b = (Bert){.what = what};
    if (!model_open(&b->m, "models/check.upm", source, define, 2, NULL)) return false;
    model_fields(&b->m, &b->m.exact->entry[EXPOSE]);
    model_start(&b->m, 0.1);
    return native_open(&b->fused, &b->m, model_fused(&b->m), 1) &&
           native_share(&b->fused2, &b->fused, 2) &&
           native_open(&b->plain, &b->m, model_plain(&b->m), 2);
}

static void bert_close(Bert *b) {
    native_close(&b->fused2);
    native_close(&b->fused);
    native_close(&b->plain);
    model_close(&b->m);
}

/* ---- gradients: the rule's tensor of a parameter */
static int gradient_of(const Bert *b, int param) {
    const Program *p = b->m.exact;
    const char *name = arena_printf(b->m.arena, "optim.0.%s.gradient", p->tensor[param].name);
    for (int i = 0; i < (int)p->ntensor; i++)
        if (str_eq(p->tensor[i].name, name)) return i;
    return -1;
}

static bool is_key_bias(const Bert *b, int param) {
    const char *name = b->m.exact->tensor[param].name, *end = ".attend.k.bias";
    size_t n = strlen(name);
    return n > strlen(end) && str_eq(name + n - strlen(end), end);
}

/* All gradients, by tensor, of an interpreted step. */
static Array *interpreted(Bert *b, bool f64) {
    const Graph *g = b->m.exact->entry[EXPOSE].step;
    Array *state = NEW_N(b->m.arena, Array, b->m.exact->ntensor + 1);
    Array *out = interpret(&b->m, g, f64, b->m.arena);
    for (size_t i = 0; out && i < g->nout; i++)
        if (g->out[i].kind == OUT_state) state[g->out[i].index] = out[i];
    return state;
}

/* The same of a compiled one, from the model's state. */
static Array *compiled(Bert *b, Native *n) {
    Array *state = NEW_N(b->m.arena, Array, b->m.exact->ntensor + 1);
    native_set(n);
    native_run(n, EXPOSE, n->code->entry[EXPOSE].step);
    for (int i = 0; i < (int)b->m.exact->ntensor; i++) state[i] = native_tensor(n, i);
    return state;
}

/* A key's bias adds the same to every score of a query, which softmax does not see: its gradient is
 * zero, and what is computed is the rounding of terms that are also those of the gradient of the
 * key's weight, the parameter before it. */
static void compare_gradients(Bert *b, const Array *got, const Array *want, double tolerance,
                              const char *how) {
    for (int i = 0; i < (int)b->m.exact->ntensor; i++) {
        int g = b->m.exact->tensor[i].kind == TENSOR_param ? gradient_of(b, i) : -1;
        if (g < 0) continue;
        double length, scale, apart = distance(&got[g], &want[g], &length);
        if (is_key_bias(b, i)) g--;
        distance(&want[g], &want[g], &scale);
        EXPECT(scale > 0 && apart <= tolerance * scale, "%s, %s, %s: off by %g of %g", b->what, how,
               b->m.exact->tensor[i].name, apart, scale);
    }
}

static bool is_loss(const Output *o) {
    return o->kind == OUT_loss;
}

static void check_differences(Bert *b) {
    Array *gradient = interpreted(b, true);
    const Graph *loss = graph_prune(b->m.arena, b->m.exact->entry[EXPOSE].step, "loss", is_loss);
    for (int i = 0; i < (int)b->m.exact->ntensor; i++)
        if (b->m.exact->tensor[i].kind == TENSOR_param)
            expect_slope(&b->m, loss, i, &gradient[gradient_of(b, i)], b->what);
}

/* ---- compiled */
static void check_gradients(Bert *b) {
    Array *exact = interpreted(b, true), *single = interpreted(b, false);
    Array *fused = compiled(b, &b->fused), *plain = compiled(b, &b->plain);
    compiled(b, &b->fused2);
    compare_gradients(b, single, exact, 1e-4, "f32 against f64, interpreted");
    compare_gradients(b, fused, single, 1e-4, "compiled against interpreted");
    compare_gradients(b, fused, exact, 1e-4, "compiled against f64");
    compare_gradients(b, fused, plain, 1e-6, "fused against unfused");
    expect_same_state(&b->fused, &b->fused2, "1 and 2 threads");
}

/* The interpreted step's losses and reports against those of the last native step. */
static void compare_losses(Bert *b, const Native *n, int entry) {
    const Graph *g = b->m.exact->entry[entry].logged;
    const RtPlan *plan = n->code->entry[entry].logged;
    Array *out = interpret(&b->m, g, false, b->m.arena);
    int at = 0;
    for (size_t i = 0; out && i < g->nout; i++) {
        if (g->out[i].kind == OUT_state) continue;
        double got = exec_scalar(n->x, plan, at++), want = out[i].at[0];
        EXPECT(fabs(got - want) <= 1e-5 * fabs(want), "%s, step %g, %s: %g, not %g", b->what,
               b->m.step, g->out[i].name ? g->out[i].name : "loss", got, want);
    }
    EXPECT(at >= 4 && at == plan->nout, "%s: %d losses and reports", b->what, at);
}

/* ---- training: AdamW with clipping and a schedule, a few steps of the compiled program beside as
 * many interpreted ones. Adam divides by the size of a gradient, and some gradients are rounding
 * alone (keys' biases): eps is far above that. */
static void compare_trained(Bert *b, const Native *n) {
    for (int i = 0; i < (int)b->m.exact->ntensor; i++) {
        const Tensor *t = &b->m.exact->tensor[i];
        if (t->kind == TENSOR_optim && strstr(t->name, "gradient")) continue;
        Array got = native_tensor(n, i), want = b->m.state[i];
        double most = 0;
        for (int64_t k = 0; k < type_count(&t->type); k++)
            most = fmax(most, fabs(got.at[k] - want.at[k]));
        EXPECT(most <= 1e-6, "%s, %s: an element is %g off", b->what, t->name, most);
    }
}

static void check_training(Bert *b) {
    const Entry *e = &b->m.exact->entry[ADAMW];
    Native *all[] = {&b->fused, &b->fused2, &b->plain};
    for (int k = 0; k < 3; k++) native_set(all[k]);
    for (int s = 0; s < 4; s++) {
        model_fields(&b->m, e);
        native_run(&b->fused, ADAMW, b->fused.code->entry[ADAMW].logged);
        native_run(&b->fused2, ADAMW, b->fused2.code->entry[ADAMW].step);
        native_run(&b->plain, ADAMW, b->plain.code->entry[ADAMW].step);
        expect_same_state(&b->fused, &b->fused2, "logged on 1 thread and quiet on 2");
        compare_losses(b, &b->fused, ADAMW);
        model_advance(&b->m, e->step);
    }
    compare_trained(b, &b->fused);
    compare_trained(b, &b->plain);
}

static void check_bert(const char *pre, const char *drop, const char *what, bool differences) {
    Bert b;
    if (bert_open(&b, pre, drop, what)) {
        expect_same_start(&b.fused);
        check_gradients(&b);
        if (differences) check_differences(&b);
        check_training(&b);
    }
    bert_close(&b);
}

int main(void) {
    check_bert("true", "0.1", "prenorm, dropout", true);
    check_bert("false", "0.1", "postnorm, dropout", true);
    check_bert("false", "0", "postnorm", false);
    return check_done("bert");
}
