/* The gradient of a whole model: BERT's loss (models/encoder.upm, both orders of norms, with
 * dropout), compiled small, in the f64 interpreter. A plain gradient step of rate 1 gives every
 * parameter's gradient as old - new; it is compared, tensor by tensor, with central differences of
 * the loss in several of its elements, before and after simplify and fuse. */
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

enum { VOCAB = 24, SAMPLES = 3, SEQ = 10, PROBES = 4, SEED = 3 };
static const double step = 1e-5, tolerance = 1e-6;

static const char *const source =
    "import std.nn\n"
    "import std.optim\n"
    "import \"encoder.upm\" as model\n"
    "const pre = true\n"
    "const drop = 0.1\n"
    "tokenizer tok = wordpiece(\"vocab.txt\", 24, from = \"none\")\n"
    "data corpus = documents(\"none\") | encode(tok) | sentence_pairs(10, random = 0.5)\n"
    "bert  = model.Bert(tok.size, 8, 2, 2, 10, tok.pad, drop, prenorm = pre)\n"
    "words = model.WordHead(bert.embed.word, 8)\n"
    "pair  = Linear(8, 2)\n"
    "train on corpus batch 3 steps 10 {\n"
    "    (mlm, nsp) = model.objective(bert, words, pair, tok, ids, segment, next)[:2]\n"
    "    minimize mlm + nsp with sgd(1.0)\n"
    "}\n";

/* ---- compiling, with a vocabulary that no file holds */

static const char *find_module(void *cx, const char *name, size_t *n, const char **path) {
    Arena *a = cx;
    Err e = {0};
    char *text;
    *path = arena_printf(a, "models/std/%s.upm", name);
    return file_read(a, *path, &text, n, &e) ? text : NULL;
}
static bool make_tokenizer(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e) {
    (void)cx, (void)spec, (void)e;
    *info = (TokenizerInfo){.size = VOCAB, .pad = 0, .unk = 1, .cls = 2, .sep = 3, .mask = 4};
    return true;
}
static Program *compile(Arena *a, Diag *d, const char *pre) {
    FrontendHost host = {.cx = a, .module = find_module, .tokenizer = make_tokenizer};
    Define define = {"pre", pre};
    return frontend_compile(a, d, "models/check.upm", source, strlen(source), &host, &define, 1);
}

/* ---- evaluating */

typedef struct Model {
    Arena *arena;
    Program *p;
    Array *state;
    const char *name[3];
    Array field[3];
} Model;

static double id_at(int64_t i, bool word) { /* [CLS] words [SEP] words [SEP] padding */
    int64_t at = i % SEQ, end = SEQ - 1 - i / SEQ;
    uint64_t key = random_key(SEED, 1);
    if (!word) return at > 4 && at <= end;
    if (at == 0) return 2;
    if (at == 4 || at == end) return 3;
    return at > end ? 0 : 5 + random_below(key, 0, (uint64_t)i, VOCAB - 5);
}
static void make_fields(Model *m) {
    static const char *const name[3] = {"ids", "segment", "next"};
    for (int f = 0; f < 3; f++) {
        Type t = type_make(DT_i32, f == 2 ? 1 : 2, (int64_t[]){SAMPLES, SEQ});
        t.batch_axis = 0;
        m->name[f] = name[f];
        m->field[f] = (Array){t, NEW_N(m->arena, double, type_count(&t))};
        for (int64_t i = 0; i < type_count(&t); i++)
            m->field[f].at[i] = f == 2 ? (double)(i % 2) : id_at(i, f == 0);
    }
}
static Array *evaluate(const Model *m, const Graph *g, Arena *a) {
    EvalCx cx = {.arena = a,
                 .program = m->p,
                 .f64 = true,
                 .state = m->state,
                 .field_name = m->name,
                 .field = m->field,
                 .nfield = 3,
                 .seed = SEED,
                 .step = 4,
                 .steps = 10,
                 .live = -1};
    Err e = {0};
    Array *out = graph_eval(g, &cx, &e);
    EXPECT(out, "%s", e.msg);
    return out;
}
/* Initial values, moved a little: where biases start at zero and scales at one, mistakes hide. */
static void make_state(Model *m) {
    const Graph *init = m->p->init;
    Array *first = evaluate(m, init, m->arena);
    m->state = NEW_N(m->arena, Array, m->p->ntensor + 1);
    for (size_t i = 0; first && i < init->nout; i++) {
        Array *s = &m->state[init->out[i].index];
        *s = first[i];
        uint64_t key = random_key(SEED, 100 + i);
        for (int64_t k = 0; k < type_count(&s->type); k++)
            s->at[k] += 0.1 * random_normal(key, 0, (uint64_t)k);
    }
}
static double loss(const Model *m) {
    const Graph *g = m->p->entry[0].step;
    Arena *a = arena_new();
    Array *out = evaluate(m, g, a);
    double sum = 0;
    for (size_t i = 0; out && i < g->nout; i++)
        if (g->out[i].kind == OUT_loss) sum += out[i].at[0];
    arena_free(a);
    return sum;
}

/* ---- comparing */

static double slope(Model *m, double *x) {
    double keep = *x;
    *x = keep + step;
    double up = loss(m);
    *x = keep - step;
    double down = loss(m);
    *x = keep;
    return (up - down) / (2 * step);
}
static void check_tensor(Model *m, const char *what, int tensor, const double *next) {
    Array *s = &m->state[tensor];
    int64_t n = type_count(&s->type);
    double apart = 0, length = 0;
    for (uint64_t i = 0; i < PROBES; i++) {
        int64_t k = (int64_t)random_below(random_key(SEED, (uint64_t)tensor), 1, i, (uint32_t)n);
        double want = slope(m, &s->at[k]), got = s->at[k] - next[k];
        apart += (got - want) * (got - want);
        length += want * want;
    }
    /* embeddings of words that do not occur have no gradient: then 1e-9 is the noise of a
     * difference */
    EXPECT(sqrt(apart) <= tolerance * sqrt(length) + 1e-9, "%s, %s: off by %g of %g", what,
           m->p->tensor[tensor].name, sqrt(apart), sqrt(length));
}
static void check_model(const char *pre, const char *until) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Model m = {.arena = a, .p = compile(a, d, pre)};
    if (m.p) m.p = passes_run(m.p, d, &(PassOptions){.check_each = true, .until = until});
    if (!m.p) diag_print(d, stderr, false);
    EXPECT(m.p, "the model does not compile");
    if (m.p) {
        make_fields(&m);
        make_state(&m);
        const Graph *g = m.p->entry[0].step;
        Array *out = evaluate(&m, g, a);
        const char *what = arena_printf(a, "pre = %s, after %s", pre, until);
        for (size_t i = 0; out && i < g->nout; i++) {
            const Output *o = &g->out[i];
            bool param = o->kind == OUT_state && m.p->tensor[o->index].kind == TENSOR_param;
            if (param) check_tensor(&m, what, o->index, out[i].at);
        }
    }
    arena_free(a);
}

int main(void) {
    check_model("true", "autodiff");
    check_model("true", "fuse");
    check_model("false", "simplify");
    return check_done("model_grad");
}
