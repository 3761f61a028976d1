/* A batch in pieces against the whole batch, compiled: gradients, which plain descent at a large
 * rate leaves in the parameters, agree to 1e-6, and so do states, reports and texts. */
#include "tests/unit/program.h"

/* What meets the batch in many ways: masks and their counts, dropout, tied weights, indices and
 * random numbers along the batch, in rows of 64 and in others, a value for each sample of a fixed
 * batch, a table of samples that is kept, maxima. */
static const char source[] =
    "import std.nn\n"
    "import std.optim\n"
    "import std.corrupt\n"
    "tokenizer tok = bytes()\n"
    "data text = lines(\"none\") | encode(tok) | pad(12)\n"
    "embed = Embedding(tok.size, 16)\n"
    "mix = Mlp([16, 24, 16], gelu)\n"
    "norm = LayerNorm(16)\n"
    "param own[12, 3] = normal(0.1)\n"
    "state kept[20, 16] = zeros\n"
    "state last[12, 12] = zeros\n"
    "train on text batch 12 steps 10 {\n"
    "    hit = bernoulli(0.3, [B, 12])\n"
    "    h = dropout(embed(where(hit, 1, ids)), 0.2)\n"
    "    h = norm(h + dropout(mix(h), 0.1))\n"
    "    logits = h @ transpose(embed.weight)\n"
    "    words = masked_mean(cross_entropy(logits, ids), hit)\n"
    "    order = take(own, permutation(B) over 0) * uniform([B, 3])\n"
    "    turned = sum(transpose(normal([5, B])) @ normal([5, 3]) * own over 1)\n"
    "    rows = cast(iota(B), f32) * mean(h over [1, 2])\n"
    "    far = normal([B, 64]) * mean(h^2 over [1, 2])[:, None]\n"
    "    loss = words + mean(order^2) + 0.1 * mean(turned * rows) + 0.01 * sum(far)\n"
    "    minimize loss with sgd(1e4)\n"
    "    update kept = concat([stop_gradient(h[:, 0]), kept[:-B]] over 0)\n"
    "    update last = uniform([B, 12])\n"
    "    report words, loss, most = max(logits), hidden = sum(cast(hit, f32)), tied = "
    "mean(embed.weight)\n"
    "    report right = masked_mean(cast(argmax(logits over -1) == ids, f32), hit)\n"
    "    report text seen = decode(tok, ids)\n"
    "}\n";

static Program *in_pieces(Model *m, int64_t samples) {
    m->exact->spec.run.micro = samples;
    static const char *const pass[] = {"whole_set", "simplify", "micro", "fuse", "order"};
    return model_passes(m, m->exact, pass, 5);
}

/* The step in its parts, as runtime/step.c does them. */
static void run_step(Native *n, bool logged) {
    const RtEntry *e = &n->code->entry[0];
    const RtPlan *part[] = {e->ahead, logged ? e->piece_logged : e->piece,
                            logged ? e->logged : e->step};
    RtClock clock = {.seed = n->model->seed, .step = 4, .stepf = 4, .stepsf = 10, .live = e->batch};
    Err err = {0};
    char *const *to = exec_fields(n->x, e);
    native_set(n);
    for (int f = 0; f < n->model->nfield; f++) write_values(to[f], &n->model->field[f]);
    exec_reset(n->x, e);
    for (int i = 0; i < 3; i++) {
        int64_t pieces = part[i] && part[i]->pieces > 1 ? part[i]->pieces : 1;
        for (clock.piece = 0; part[i] && clock.piece < pieces; clock.piece++)
            EXPECT(exec_plan(n->x, part[i], &clock, &err), "%s", err.msg);
        clock.piece = 0;
    }
}

/* Relative to the whole step that a tensor makes. */
static void expect_near(const Native *whole, const Native *pieces, int64_t samples) {
    const Model *m = whole->model;
    for (size_t i = 0; i < m->built->ntensor; i++) {
        Array a = native_tensor(whole, (int)i), b = native_tensor(pieces, (int)i);
        double length, apart = distance(&b, &a, &length);
        EXPECT(apart <= 1e-6 * length, "%lld at a time: %s is %g of %g apart", (long long)samples,
               m->exact->tensor[i].name, apart, length);
        EXPECT(length > 0, "%s does not move", m->exact->tensor[i].name);
    }
}

static void expect_reports(const Native *whole, const Native *pieces) {
    const RtPlan *a = whole->code->entry[0].logged, *b = pieces->code->entry[0].logged;
    EXPECT(a->nout == b->nout && a->nout > 6, "%d and %d outputs", a->nout, b->nout);
    for (int i = 0; i < a->nout; i++) {
        if (a->out[i].kind == RT_OUT_text) {
            EXPECT(!memcmp(exec_output(whole->x, a, i), exec_output(pieces->x, b, i),
                           (size_t)a->out[i].count * dtype_size(a->out[i].dtype)),
                   "other words");
            continue;
        }
        double want = exec_scalar(whole->x, a, i), got = exec_scalar(pieces->x, b, i);
        EXPECT(fabs(got - want) <= 1e-6 * fabs(want), "%s: %.9g, not %.9g",
               a->out[i].name ? a->out[i].name : "loss", got, want);
    }
}

/* All but accumulators, of which the quiet step has less. */
static void expect_same(const Native *logged, const Native *quiet) {
    for (size_t i = 0; i < logged->model->built->ntensor; i++)
        EXPECT(!memcmp(exec_tensor(logged->x, (int)i), exec_tensor(quiet->x, (int)i),
                       (size_t)logged->code->tensor[i].bytes),
               "%s differs, logged on 1 thread and quiet on 2", logged->code->tensor[i].name);
}

static void expect_pieces(Model *m, const Native *whole, int64_t samples) {
    Native one, two;
    if (native_open(&one, m, in_pieces(m, samples), 1) && native_share(&two, &one, 2)) {
        const RtEntry *e = &one.code->entry[0];
        EXPECT(e->piece && e->ahead && e->piece->pieces == e->batch / samples, "not in pieces");
        run_step(&one, true);
        expect_near(whole, &one, samples);
        expect_reports(whole, &one);
        run_step(&two, false);
        expect_same(&one, &two);
        native_close(&two);
    }
    native_close(&one);
}

int main(void) {
    Model m;
    Native whole;
    if (model_open(&m, "test.upm", source, NULL, 0, NULL)) {
        model_start(&m, 0.1);
        model_fields(&m, &m.exact->entry[0]);
        Program *p = in_pieces(&m, 0);
        if (native_open(&whole, &m, p, 2)) {
            run_step(&whole, true);
            for (int64_t samples = 6; samples >= 1; samples--)
                if (12 % samples == 0) expect_pieces(&m, &whole, samples);
        }
        native_close(&whole);
    }
    model_close(&m);
    return check_done("micro");
}
