/* Whole programs in tests: a .upm source goes through the frontend, is interpreted as the passes'
 * first program (gradients expanded, nothing else), and compiled twice: through the whole pipeline,
 * and with a kernel a node, past simplify and fuse. States and batches are set by the test. All
 * memory is the Model's arena. */
#ifndef UPT_TESTS_PROGRAM_H
#define UPT_TESTS_PROGRAM_H

#include <math.h>
#include <string.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "passes/view.h"
#include "runtime/runtime.h"
#include "tests/unit/check.h"

enum { MODEL_FIELDS = 8, MODEL_TOKENIZERS = 2 };

typedef struct Model {
    Arena *arena;
    Diag *diag;
    Tokenizer *tok[MODEL_TOKENIZERS];
    TokenizerIds ids; /* of the last one */
    int ntok;
    const char *optim;      /* in place of the library's optimisers, or NULL */
    Program *built, *exact; /* as written; with gradients expanded */
    Array *state;           /* by tensor */
    const char *field_name[MODEL_FIELDS];
    Array field[MODEL_FIELDS];
    int nfield;
    uint64_t seed;
    double step, steps;
} Model;

/* ---- compiling */
static inline const char *model_module(void *cx, const char *name, size_t *n, const char **path) {
    Model *m = cx;
    Err e = {0};
    char *text;
    *path = arena_printf(m->arena, "models/std/%s.upm", name);
    if (m->optim && str_eq(name, "optim")) return *n = strlen(m->optim), m->optim;
    return file_read(m->arena, *path, &text, n, &e) ? text : NULL;
}

static inline bool model_tokenizer(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e) {
    Model *m = cx;
    if (m->ntok == MODEL_TOKENIZERS) return err_set(e, "too many tokenizers for a test");
    Tokenizer *t = tokenizer_open(spec, NULL, e);
    if (!t) return false;
    m->tok[m->ntok++] = t;
    m->ids = tokenizer_ids(t);
    *info = (TokenizerInfo){.size = m->ids.size,
                            .pad = m->ids.pad,
                            .unk = m->ids.unk,
                            .cls = m->ids.cls,
                            .sep = m->ids.sep,
                            .mask = m->ids.mask,
                            .hash = tokenizer_hash(t)};
    return true;
}

static inline Program *model_passes(Model *m, Program *p, const char *const *name, size_t n) {
    Program *out = p ? passes_run_named(p, m->diag, name, n, &(PassOptions){0}) : NULL;
    if (!out) diag_print(m->diag, stderr, false);
    return out;
}

/* `path` stands for the source's own, so that it may import what lies beside it; `optim` in place
 * of the library's, or NULL. */
static inline bool model_open(Model *m, const char *path, const char *source, const Define *define,
                              size_t ndefine, const char *optim) {
    *m = (Model){.arena = arena_new(), .optim = optim, .seed = 3, .step = 4, .steps = 10};
    m->diag = diag_new(m->arena);
    FrontendHost host = {.cx = m, .module = model_module, .tokenizer = model_tokenizer};
    m->built =
        frontend_compile(m->arena, m->diag, path, source, strlen(source), &host, define, ndefine);
    if (!m->built) diag_print(m->diag, stderr, false);
    m->exact = m->built ? model_passes(m, m->built, (const char *const[]){"autodiff"}, 1) : NULL;
    EXPECT(m->exact, "the program does not compile");
    return m->exact != NULL;
}

static inline void model_close(Model *m) {
    for (int i = 0; i < m->ntok; i++) tokenizer_free(m->tok[i]);
    arena_free(m->arena);
}

/* ---- a kernel a node: what fusion makes faster, and must not make different */
static inline bool is_kernel(const Graph *g, const Node *n) {
    Lower lower = op_info[n->op].lower;
    return lower == LOWER_MAP || lower == LOWER_REDUCE || n->op == OP_step || n->op == OP_steps ||
           n->op == OP_live || (lower == LOWER_VIEW && !view_moves_nothing(g, n));
}

static inline Graph *plain_graph(const Graph *g);

static inline Ref plain_node(Graph *to, const Graph *from, const Node *n, const Ref *in) {
    if (!is_kernel(from, n) && op_info[n->op].lower == LOWER_VIEW)
        return g_reshape(to, in[0], n->type[0].rank, n->type[0].dim, n->span);
    Node loop = *n;
    if (n->op == OP_scan) loop.attr.scan.body = plain_graph(n->attr.scan.body);
    if (!is_kernel(from, n)) return graph_copy_node(to, &loop, in);
    Graph *body = graph_new(to->arena, "node");
    Ref *arg = NEW_N(to->arena, Ref, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
        arg[i] =
            graph_add(body, OP_arg, &(Attr){.count = i}, NULL, 0, graph_type(to, in[i]), n->span);
    graph_out(body, OUT_value, NULL, 0, graph_copy_node(body, n, arg), n->span);
    return graph_add(to, OP_fused, &(Attr){.body = body}, in, n->nin, NULL, n->span);
}

static inline Graph *plain_graph(const Graph *g) {
    if (!g) return NULL;
    g = graph_prune(g->arena, g, g->name, NULL);
    Graph *to = graph_new(g->arena, g->name);
    Ref *value = NEW_N(g->arena, Ref, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        Ref *in = NEW_N(g->arena, Ref, n->nin + 1);
        for (int k = 0; k < n->nin; k++) in[k] = (Ref){value[n->in[k].node].node, n->in[k].out};
        value[i] = plain_node(to, g, n, in);
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        Ref r = {value[o->ref.node].node, o->ref.out};
        graph_out(to, o->kind, o->name, o->index, r, o->span);
    }
    return to;
}

static inline Program *model_plain(Model *m) {
    Program *p = model_passes(m, m->exact, (const char *const[]){"whole_set"}, 1);
    if (!p) return NULL;
    p->init = plain_graph(p->init);
    for (size_t i = 0; i < p->nentry; i++) {
        p->entry[i].step = plain_graph(p->entry[i].step);
        p->entry[i].logged = plain_graph(p->entry[i].logged);
    }
    p->stage |= STAGE_FUSED;
    Buf b = {0};
    EXPECT(program_verify(p, &b), "%s", b.data);
    buf_free(&b);
    return p;
}

static inline Program *model_fused(Model *m) {
    return model_passes(m, m->exact, (const char *const[]){"whole_set", "simplify", "fuse"}, 3);
}

/* ---- values */
static inline double to_f32(DType t, double v) {
    return t == DT_f32 ? (double)(float)v : v;
}

static inline void write_values(char *to, const Array *x) {
    for (int64_t i = 0; i < type_count(&x->type); i++) {
        float f = (float)x->at[i];
        int32_t k = (int32_t)x->at[i];
        if (x->type.dtype == DT_f32)
            memcpy(to + 4 * i, &f, 4);
        else if (x->type.dtype == DT_i32)
            memcpy(to + 4 * i, &k, 4);
        else
            to[i] = (char)x->at[i]; /* bool, u8 */
    }
}

static inline Array read_values(Arena *a, const char *from, const Type *t) {
    Array x = {*t, NEW_N(a, double, type_count(t) + 1)};
    for (int64_t i = 0; i < type_count(t); i++) {
        float f;
        int32_t k;
        memcpy(&f, from + (t->dtype == DT_f32 ? 4 * i : 0), sizeof f * (t->dtype == DT_f32));
        memcpy(&k, from + (t->dtype == DT_i32 ? 4 * i : 0), sizeof k * (t->dtype == DT_i32));
        x.at[i] = t->dtype == DT_f32   ? (double)f
                  : t->dtype == DT_i32 ? (double)k
                                       : (double)(unsigned char)from[i];
    }
    return x;
}

/* The length of a - b, and of b. */
static inline double distance(const Array *a, const Array *b, double *length) {
    double apart = 0, all = 0;
    for (int64_t i = 0; i < type_count(&b->type); i++) {
        double d = a->at[i] - b->at[i];
        apart += d * d;
        all += b->at[i] * b->at[i];
    }
    *length = sqrt(all);
    return sqrt(apart);
}

/* ---- batches: [CLS] words [SEP] words [SEP] padding, shorter from row to row; other fields 0 or 1
 */
static inline double field_value(const Model *m, const Type *t, int64_t i, uint64_t key) {
    int64_t seq = t->rank > 1 ? t->dim[1] : 1, at = i % seq, end = seq - 1 - i / seq % (seq / 2);
    uint32_t word = random_below(key, (uint64_t)m->step, (uint64_t)i, 200);
    if (m->ids.cls < 0) return at > end ? (double)m->ids.pad : (double)word;
    if (at == 0) return (double)m->ids.cls;
    if (at == seq / 3 || at == end) return (double)m->ids.sep;
    return at > end ? (double)m->ids.pad : (double)word;
}

static inline void model_fields(Model *m, const Entry *e) {
    const DataSpec *d = &m->built->spec.data[e->data];
    m->nfield = d->nfield;
    for (int f = 0; f < d->nfield && f < MODEL_FIELDS; f++) {
        Type t = {
            .dtype = d->field[f].dtype, .batch_axis = 0, .rank = (int8_t)(d->field[f].rank + 1)};
        t.dim[0] = e->batch;
        for (int k = 0; k < d->field[f].rank; k++) t.dim[k + 1] = d->field[f].dim[k];
        uint64_t key = random_key(m->seed, hash_str(d->field[f].name, 0));
        bool ids = str_eq(d->field[f].name, "ids");
        m->field_name[f] = d->field[f].name;
        m->field[f] = (Array){t, NEW_N(m->arena, double, type_count(&t))};
        for (int64_t i = 0; i < type_count(&t); i++)
            m->field[f].at[i] = ids ? field_value(m, &t, i, key)
                                    : random_below(key, (uint64_t)m->step, (uint64_t)i, 2);
    }
}

/* ---- interpreting */
static inline Array *interpret(const Model *m, const Graph *g, bool f64, Arena *a) {
    EvalCx cx = {.arena = a,
                 .program = m->exact,
                 .f64 = f64,
                 .state = m->state,
                 .field_name = m->field_name,
                 .field = m->field,
                 .nfield = m->nfield,
                 .seed = m->seed,
                 .step = m->step,
                 .steps = m->steps,
                 .live = -1};
    Err e = {0};
    Array *out = graph_eval(g, &cx, &e);
    EXPECT(out, "%s", e.msg);
    return out;
}

/* Initial values in f32, clones included, moved by `noise`: where biases start at zero and scales
 * at one mistakes hide. */
static inline void model_start(Model *m, double noise) {
    const Program *p = m->exact;
    Array *first = interpret(m, p->init, false, m->arena);
    m->state = NEW_N(m->arena, Array, p->ntensor + 1);
    for (size_t i = 0; first && i < p->init->nout; i++) m->state[p->init->out[i].index] = first[i];
    for (size_t i = 0; i < p->ntensor; i++) {
        Array *s = &m->state[i];
        const Tensor *t = &p->tensor[i];
        if (t->like >= 0) {
            *s = m->state[t->like];
            s->at = arena_memdup(m->arena, s->at, (size_t)type_count(&t->type) * sizeof *s->at);
        }
        if (t->kind != TENSOR_param || !s->at || t->type.dtype != DT_f32) continue;
        for (int64_t k = 0; k < type_count(&t->type); k++)
            s->at[k] = to_f32(DT_f32, s->at[k] + noise * random_normal(random_key(m->seed, 100 + i),
                                                                       0, (uint64_t)k));
    }
}

/* The state after one interpreted step takes the place of the old. */
static inline void model_advance(Model *m, const Graph *g) {
    Array *out = interpret(m, g, false, m->arena);
    for (size_t i = 0; out && i < g->nout; i++)
        if (g->out[i].kind == OUT_state) m->state[g->out[i].index] = out[i];
    m->step++;
}

/* ---- slopes: the gradient of graph `loss` (one output) for a tensor along a random direction
 * through all its elements, against central differences of fourth order: their error is about
 * step^4, their noise 1e-16 / step. */
static inline double value_at(Model *m, const Graph *loss, Array *x, const double *from,
                              const double *along, double by) {
    for (int64_t i = 0; i < type_count(&x->type); i++) x->at[i] = from[i] + by * along[i];
    Arena *a = arena_new();
    Array *out = interpret(m, loss, true, a);
    double v = out ? out[0].at[0] : NAN;
    arena_free(a);
    return v;
}

static inline void expect_slope(Model *m, const Graph *loss, int tensor, const Array *gradient,
                                const char *what) {
    static const double step = 1e-5;
    Array *x = &m->state[tensor];
    size_t n = (size_t)type_count(&x->type);
    double *from = arena_memdup(m->arena, x->at, n * sizeof *x->at);
    double *along = NEW_N(m->arena, double, n), got = 0, length, v[4];
    for (size_t i = 0; i < n; i++) along[i] = random_normal(random_key(9, (uint64_t)tensor), 0, i);
    for (size_t i = 0; i < n; i++) got += along[i] * gradient->at[i];
    for (int k = 0; k < 4; k++)
        v[k] = value_at(m, loss, x, from, along, step * (k < 2 ? k - 2 : k - 1));
    memcpy(x->at, from, n * sizeof *x->at);
    double want = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * step);
    distance(gradient, gradient, &length);
    EXPECT(fabs(got - want) <= 1e-7 * length + 1e-9, "%s, %s: slope %.10g, difference %.10g", what,
           m->exact->tensor[tensor].name, got, want);
}

/* ---- running natively */
typedef struct Native {
    const Model *model;
    Codegen *codegen; /* NULL: another's code */
    RtProgram *code;
    Pool *pool;
    Exec *x;
} Native;

static inline bool native_open(Native *n, const Model *m, const Program *p, int threads) {
    Err e = {0};
    *n = (Native){.model = m};
    n->codegen = p ? codegen_new(&(CodegenOptions){.threads = 2}, &e) : NULL;
    n->code = n->codegen ? codegen_program(n->codegen, m->arena, p, &e) : NULL;
    n->pool = n->code ? pool_new(threads, &e) : NULL;
    n->x = n->pool ? exec_new(n->code, n->pool, &e) : NULL;
    EXPECT(n->x, "no native program: %s", e.msg);
    return n->x != NULL;
}

/* The same code on another number of threads; closed before `n` is. */
static inline bool native_share(Native *to, const Native *n, int threads) {
    Err e = {0};
    *to = (Native){.model = n->model, .code = n->code};
    to->pool = n->code ? pool_new(threads, &e) : NULL;
    to->x = to->pool ? exec_new(n->code, to->pool, &e) : NULL;
    EXPECT(to->x, "no second executor: %s", e.msg);
    return to->x != NULL;
}

static inline void native_close(Native *n) {
    exec_free(n->x);
    if (n->pool) pool_free(n->pool);
    if (n->codegen) codegen_free(n->codegen);
}

/* Takes over the model's state. */
static inline void native_set(Native *n) {
    for (size_t i = 0; i < n->model->exact->ntensor; i++)
        if (n->model->state[i].at) write_values(exec_tensor(n->x, (int)i), &n->model->state[i]);
}

static inline bool native_run(Native *n, int entry, const RtPlan *plan) {
    const Model *m = n->model;
    RtClock clock = {.seed = m->seed,
                     .step = (uint64_t)m->step,
                     .stepf = (float)m->step,
                     .stepsf = (float)m->steps,
                     .live = -1};
    if (entry >= 0) {
        char *const *to = exec_fields(n->x, &n->code->entry[entry]);
        for (int f = 0; f < m->nfield; f++) write_values(to[f], &m->field[f]);
        clock.live = n->code->entry[entry].batch;
    }
    Err e = {0};
    bool ok = exec_plan(n->x, plan, &clock, &e);
    EXPECT(ok, "%s", e.msg);
    return ok;
}

static inline Array native_tensor(const Native *n, int tensor) {
    return read_values(n->model->arena, exec_tensor(n->x, tensor),
                       &n->model->exact->tensor[tensor].type);
}

/* The compiled initial values against the interpreted ones, to a few units in the last place of the
 * largest. */
static inline void expect_same_start(Native *n) {
    const Graph *g = n->model->exact->init;
    Array *want = interpret(n->model, g, false, n->model->arena);
    bool ok = want && native_run(n, -1, n->code->init);
    for (size_t i = 0; ok && i < g->nout; i++) {
        Array got = native_tensor(n, g->out[i].index);
        double most = 0, apart = 0;
        for (int64_t k = 0; k < type_count(&got.type); k++) {
            most = fmax(most, fabs(want[i].at[k]));
            apart = fmax(apart, fabs(got.at[k] - want[i].at[k]));
        }
        EXPECT(apart <= 2e-6 * most, "initial %s: %g apart of %g",
               n->model->exact->tensor[g->out[i].index].name, apart, most);
    }
}

/* Against the model's state, which an interpreted step has made. */
static inline void expect_near_state(const Native *n, const char *what) {
    const Model *m = n->model;
    for (int i = 0; i < (int)m->exact->ntensor; i++) {
        double length, apart;
        Array got = native_tensor(n, i);
        apart = distance(&got, &m->state[i], &length);
        EXPECT(apart <= 2e-6 * length + 1e-7, "%s, step %g, %s: %g off of %g", what, m->step - 1,
               m->exact->tensor[i].name, apart, length);
    }
}

/* Bit for bit, tensor by tensor. */
static inline void expect_same_state(const Native *a, const Native *b, const char *what) {
    for (int i = 0; i < a->code->ntensor && i < b->code->ntensor; i++) {
        bool same = memcmp(exec_tensor(a->x, i), exec_tensor(b->x, i),
                           (size_t)a->code->tensor[i].bytes) == 0;
        EXPECT(same, "%s: %s differs", what, a->code->tensor[i].name);
    }
}

#endif
