/* The verifier: what every graph and program promises, and what each stage adds. It is asked after
 * every pass in tests, and before a program from a file is used, so whatever later layers index
 * without asking is checked here. Types are inferred anew by the shape rules. It reports up to
 * MAX_SENTENCES, one a line. */
#include "ir/internal.h"
#include "ir/loop.h"
#include "ir/text.h"

#include <string.h>

enum { MAX_SENTENCES = 20 };

typedef struct Verifier {
    const Program *p; /* may be NULL: a graph alone */
    unsigned stage;
    Buf *b;
    int wrong;
    const char *where;  /* graph and node at hand */
    const Entry *entry; /* whose graph it is; NULL: of init, of a body, or not known */
    int64_t batch;      /* samples that it computes: of the entry's batch or of a piece of it */
    bool init, body;
    bool kernel; /* a body, of one kernel */
    int loops;   /* around it, and their turns, from the inner one out */
    int64_t turns[MAX_NESTING];
} Verifier;

PRINTF_LIKE(2, 3)
static bool wrong(Verifier *v, const char *fmt, ...) {
    if (v->wrong++ >= MAX_SENTENCES) return false;
    buf_printf(v->b, "%s: ", v->where);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(v->b, fmt, ap);
    va_end(ap);
    buf_puts(v->b, "\n");
    return false;
}

/* ---- leaves */

static const Field *field_find(const DataSpec *d, const char *name) {
    for (int i = 0; i < d->nfield; i++)
        if (str_eq(d->field[i].name, name)) return &d->field[i];
    return NULL;
}

static void verify_field(Verifier *v, const Node *n) {
    const Entry *e = v->entry;
    if (!n->attr.name) {
        wrong(v, "a field without a name");
        return;
    }
    if (!e || !v->p || e->data < 0 || e->data >= v->p->spec.ndata) return;
    const Field *f = field_find(&v->p->spec.data[e->data], n->attr.name);
    if (!f) {
        wrong(v, "the data of the entry has no field '%s'", n->attr.name);
        return;
    }
    Type want = {
        .dtype = f->dtype, .rank = (int8_t)(f->rank + 1), .batch_axis = 0, .dim = {v->batch}};
    for (int i = 0; i < f->rank; i++) want.dim[i + 1] = f->dim[i];
    if (!type_same(&want, &n->type[0]))
        wrong(v, "field '%s' is %s, not %s", f->name, type_text(&want).s, type_text(&n->type[0]).s);
}

static void verify_state(Verifier *v, const Node *n) {
    if (!v->p) return;
    if (n->attr.tensor < 0 || (size_t)n->attr.tensor >= v->p->ntensor) {
        wrong(v, "there is no tensor %d", n->attr.tensor);
        return;
    }
    const Tensor *t = &v->p->tensor[n->attr.tensor];
    if (!type_same(&t->type, &n->type[0]))
        wrong(v, "'%s' is %s, not %s", t->name, type_text(&t->type).s, type_text(&n->type[0]).s);
}

static void verify_live(Verifier *v, const Node *n) {
    if (n->type[0].batch_axis != 0 || (v->entry && n->type[0].dim[0] != v->batch))
        wrong(v, "%s does not count the rows of the batch", type_text(&n->type[0]).s);
}

static void verify_leaf(Verifier *v, const Node *n) {
    if (n->op == OP_arg) {
        if (!v->body) wrong(v, "only a body has inputs");
        return;
    }
    if (v->body && (n->op == OP_state || n->op == OP_field))
        wrong(v, "a body takes this as an input");
    if (v->init) wrong(v, "initial values depend on nothing");
    if (n->op == OP_field) verify_field(v, n);
    if (n->op == OP_state) verify_state(v, n);
    if (n->op == OP_live) verify_live(v, n);
}

/* ---- nodes */

static bool inputs_come_before(const Graph *g, const Node *n, size_t at) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].node >= at || (int)n->in[i].out >= g->node[n->in[i].node]->nout) return false;
    return true;
}

static bool verify_types(Verifier *v, const Graph *g, const Node *n) {
    Arena *scratch = arena_new();
    Type *out;
    Err e = {0};
    int nout = 0;
    bool ok = node_infer(g, n, n->type, scratch, &out, &nout, &e) || wrong(v, "%s", e.msg);
    if (ok && nout != n->nout) ok = wrong(v, "%d results, not %d", n->nout, nout);
    for (int i = 0; ok && i < nout; i++)
        if (!type_same(&out[i], &n->type[i]))
            wrong(v, "result %d is %s, the rule says %s", i, type_text(&n->type[i]).s,
                  type_text(&out[i]).s);
    arena_free(scratch);
    return ok;
}

/* The index of the last element of a part, in the last turns. */
static void verify_random(Verifier *v, const Node *n) {
    const Attr *a = &n->attr;
    int64_t last = a->random.first;
    if (a->random.loops > v->loops) {
        wrong(v, "turns of %d loops in %d", a->random.loops, v->loops);
        return;
    }
    for (int i = 0; i < a->random.rank; i++) last += (n->type[0].dim[i] - 1) * a->random.stride[i];
    for (int i = 0; i < a->random.loops; i++) last += (v->turns[i] - 1) * a->random.turn[i];
    if (last >= INT64_C(1) << MAX_DIM_LOG)
        wrong(v, "a part beyond 2^%d elements", (int)MAX_DIM_LOG);
}

/* In the body of `fused`: what one kernel computes over one domain. */
static void verify_in_kernel(Verifier *v, const Node *n) {
    Lower lower = op_info[n->op].lower;
    bool fits = n->op != OP_fused && !op_stands_alone(n->op) && lower != LOWER_GONE;
    if (!fits) wrong(v, "this has no place in a kernel");
}

static void verify_stage(Verifier *v, const Node *n) {
    Lower lower = op_info[n->op].lower;
    if (v->stage & STAGE_PRIMITIVE && lower == LOWER_GONE)
        wrong(v, "autodiff has not removed this");
    if (n->op == OP_fused && !(v->stage & STAGE_FUSED)) wrong(v, "a kernel before fusion");
    bool alone =
        (lower == LOWER_MAP && n->op != OP_fused && n->op != OP_const) || lower == LOWER_REDUCE;
    alone = alone || n->op == OP_pad || n->op == OP_concat; /* no stride expresses these */
    if (v->stage & STAGE_FUSED && alone) wrong(v, "this computes outside of a kernel");
}

static void verify_graph(Verifier *v, const Graph *g, int depth);

static void verify_body(Verifier *v, const Graph *g, const Node *n, int depth) {
    Verifier inner = *v;
    inner.body = true;
    inner.kernel = n->op == OP_fused;
    inner.entry = NULL;
    if (n->op == OP_scan && depth < MAX_NESTING) {
        memmove(inner.turns + 1, v->turns, (size_t)v->loops * sizeof *v->turns);
        inner.turns[0] = scan_turns(g, n);
        inner.loops++;
    }
    if (depth >= MAX_NESTING)
        wrong(v, "bodies are nested too deeply");
    else if (n->attr.body)
        verify_graph(&inner, n->attr.body, depth + 1);
    v->wrong = inner.wrong;
}

static void verify_node(Verifier *v, const Graph *g, size_t at, int depth) {
    const Node *n = g->node[at];
    char where[256];
    snprintf(where, sizeof where, "graph '%.160s', %%%zu = %s", g->name, at,
             (unsigned)n->op < OP_COUNT ? op_info[n->op].name : "?");
    const char *outer = v->where;
    v->where = where;
    if ((unsigned)n->op >= OP_COUNT)
        wrong(v, "an unknown operator");
    else if (n->nin < 0 || !inputs_come_before(g, n, at))
        wrong(v, "an input that is not defined before");
    else {
        bool fits = verify_types(v, g, n);
        if (op_info[n->op].lower == LOWER_LEAF) verify_leaf(v, n);
        if (op_info[n->op].flags & FLAG_RANDOM) verify_random(v, n);
        if (v->kernel)
            verify_in_kernel(v, n);
        else
            verify_stage(v, n);
        if (op_has_body(n->op) && fits) verify_body(v, g, n, depth);
    }
    v->where = outer;
}

/* ---- outputs */

static void verify_new_state(Verifier *v, const Output *o, const Type *t) {
    if (!v->p) return;
    if (o->index < 0 || (size_t)o->index >= v->p->ntensor) {
        wrong(v, "new state for tensor %d, which does not exist", o->index);
        return;
    }
    const Tensor *to = &v->p->tensor[o->index];
    EntryKind kind = v->entry ? v->entry->kind : ENTRY_train;
    TensorKind own = kind == ENTRY_generate   ? TENSOR_cache
                     : kind == ENTRY_features ? TENSOR_bank
                                              : TENSOR_acc;
    if (kind != ENTRY_train && to->kind != own)
        wrong(v, "an entry of kind %s changes '%s'", entry_kind_names[kind], to->name);
    if (t->dtype != to->type.dtype || !type_same_shape(t, &to->type))
        wrong(v, "'%s' is %s, its new value %s", to->name, type_text(&to->type).s, type_text(t).s);
}

/* What an entry returns has a name; logits also their tokenizer; what is predicted, its records. */
static void verify_value(Verifier *v, const Output *o, const Type *t) {
    if (!v->entry || v->entry->kind < ENTRY_sample) return;
    if (!o->name) wrong(v, "a returned value without a name");
    if (v->entry->kind == ENTRY_predict && (t->rank < 1 || t->dim[0] != v->batch))
        wrong(v, "%s is not a value for each record", type_text(t).s);
    if (v->entry->kind != ENTRY_generate) return;
    if (o->index < 0 || o->index >= v->p->spec.ntokenizer)
        wrong(v, "logits of tokenizer %d, which does not exist", o->index);
    if (t->dtype != DT_f32 || t->rank != 2 || t->dim[0] != v->batch)
        wrong(v, "%s is not a logit for each token", type_text(t).s);
}

static void verify_output(Verifier *v, const Graph *g, const Output *o) {
    if (o->ref.node >= g->n || (int)o->ref.out >= g->node[o->ref.node]->nout) {
        wrong(v, "an output that refers to nothing");
        return;
    }
    const Type *t = graph_type(g, o->ref);
    if (v->body && o->kind != OUT_value) wrong(v, "a body only has values as outputs");
    switch (o->kind) {
    case OUT_value: verify_value(v, o, t); break;
    case OUT_image:
        if (!o->name || t->dtype != DT_f32 || t->rank != 4 || (t->dim[3] != 1 && t->dim[3] != 3))
            wrong(v, "pictures are f32[n,h,w,c] with a name and 1 or 3 channels, not %s",
                  type_text(t).s);
        break;
    case OUT_state: verify_new_state(v, o, t); break;
    case OUT_loss:
        if (!dtype_is_float(t->dtype) || type_count(t) != 1)
            wrong(v, "a loss is one float, not %s", type_text(t).s);
        break;
    case OUT_report:
        if (!o->name || type_count(t) != 1)
            wrong(v, "a report is one value with a name, not %s", type_text(t).s);
        break;
    case OUT_text:
        if (!o->name || dtype_is_float(t->dtype) || t->dtype == DT_bool || t->rank < 1)
            wrong(v, "a text is rows of token ids with a name, not %s", type_text(t).s);
        if (v->p && (o->index < 0 || o->index >= v->p->spec.ntokenizer))
            wrong(v, "a text of tokenizer %d, which does not exist", o->index);
        break;
    case OUT_watch:
        if (!o->name || t->dtype != DT_bool || type_count(t) != 1)
            wrong(v, "a watch is one bool with a sentence, not %s", type_text(t).s);
        if (o == g->out || o[-1].kind != OUT_report) wrong(v, "a watch follows its report");
        break;
    default: wrong(v, "an unknown kind of output");
    }
}

/* A tensor has one new value; initial values are complete. */
static void verify_states(Verifier *v, const Graph *g) {
    Arena *scratch = arena_new();
    int *count = NEW_N(scratch, int, v->p->ntensor);
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        if (o->kind == OUT_state && o->index >= 0 && (size_t)o->index < v->p->ntensor)
            count[o->index]++;
    }
    for (size_t i = 0; i < v->p->ntensor; i++) {
        const Tensor *t = &v->p->tensor[i];
        bool starts = tensor_is_saved(t->kind) && t->like < 0;
        if (count[i] > 1) wrong(v, "two new values for '%s'", t->name);
        if (v->init && count[i] != starts)
            wrong(v, "'%s' has %s initial value", t->name, starts ? "no" : "another");
    }
    arena_free(scratch);
}

static void verify_graph(Verifier *v, const Graph *g, int depth) {
    char where[256];
    const char *outer = v->where;
    snprintf(where, sizeof where, "%sgraph '%.160s'", v->body ? "body " : "", g->name);
    v->where = where;
    int before = v->wrong;
    for (size_t i = 0; i < g->n; i++) verify_node(v, g, i, depth);
    if (v->wrong == before)
        for (size_t i = 0; i < g->nout; i++) verify_output(v, g, &g->out[i]);
    if (v->wrong == before && v->p && !v->body) verify_states(v, g);
    v->where = outer;
}

bool graph_verify(const Program *p, const Graph *g, unsigned stage, Buf *b) {
    Verifier v = {.p = p, .stage = stage, .b = b, .where = g->name};
    verify_graph(&v, g, 0);
    return v.wrong == 0;
}

/* ---- what surrounds the graphs */

static void verify_stage_of_data(Verifier *v, const DataSpec *d, int at) {
    enum { SOURCE, TEXT, IDS, ROWS, ANY };
    static const struct {
        const char *name;
        int takes;
    } stages[] = {
#define STAGE(name, takes, args) {#name, takes},
#include "base/stages.def"
#undef STAGE
    };
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (d->stage && str_eq(stages[i].name, d->stage)) {
            if ((stages[i].takes == SOURCE) != (d->input < 0))
                wrong(v, "data %d: '%s' %s", at, d->stage,
                      d->input < 0 ? "needs an input" : "takes no input");
            return;
        }
    wrong(v, "data %d: there is no stage '%s'", at, d->stage ? d->stage : "");
}

static void verify_data(Verifier *v, const Spec *s, int at) {
    const DataSpec *d = &s->data[at];
    if (d->input < -1 || d->input >= at)
        wrong(v, "data %d reads %d, which does not come before it", at, d->input);
    verify_stage_of_data(v, d, at);
    for (int i = 0; i < d->narg; i++)
        if (d->arg[i].kind == ARG_tokenizer && (d->arg[i].i < 0 || d->arg[i].i >= s->ntokenizer))
            wrong(v, "data %d: there is no tokenizer %lld", at, (long long)d->arg[i].i);
    for (int i = 0; i < d->nfield; i++) {
        Err e = {0};
        if (d->field[i].rank >= RANK || !dims_valid(d->field[i].rank, d->field[i].dim, &e))
            wrong(v, "data %d: field '%s': %s", at, d->field[i].name, e.msg);
        for (int k = 0; k < i; k++)
            if (str_eq(d->field[k].name, d->field[i].name))
                wrong(v, "data %d: two fields '%s'", at, d->field[i].name);
    }
}

static void verify_like(Verifier *v, const Tensor *t) {
    if (t->like < 0) return;
    const Tensor *of = (size_t)t->like < v->p->ntensor ? &v->p->tensor[t->like] : NULL;
    if (!of || of->like >= 0 || !tensor_is_saved(of->kind) || !tensor_is_saved(t->kind) ||
        !type_same(&of->type, &t->type))
        wrong(v, "'%s' starts as tensor %d, which cannot be", t->name, t->like);
}

static void verify_tensors(Verifier *v) {
    Arena *scratch = arena_new();
    Map names;
    map_init(&names, scratch);
    for (size_t i = 0; i < v->p->ntensor; i++) {
        const Tensor *t = &v->p->tensor[i];
        Err e = {0};
        if (!type_valid(&t->type, &e))
            wrong(v, "'%s': %s", t->name, e.msg);
        else if (t->type.batch_axis != NO_BATCH)
            wrong(v, "'%s' outlives the batch, it has no batch axis", t->name);
        if (t->kind == TENSOR_acc && !(v->stage & STAGE_WHOLE_SET))
            wrong(v, "'%s' is a sum over a whole set before there are any", t->name);
        if (map_has(&names, t->name)) wrong(v, "two tensors are called '%s'", t->name);
        map_set(&names, t->name, (void *)(uintptr_t)t);
        verify_like(v, t);
    }
    arena_free(scratch);
}

/* Pieces make up a training batch, those that are yet to come too, and come with all their parts.
 */
static void verify_pieces(Verifier *v, const Entry *e) {
    int64_t samples = v->p->spec.run.micro;
    bool ahead = e->ahead && e->kind != ENTRY_eval, there = e->piece || e->piece_logged || ahead;
    if (there && (e->kind != ENTRY_train || !e->piece || !e->piece_logged != !e->logged))
        wrong(v, "pieces of a batch without their step");
    bool uneven = samples && e->kind == ENTRY_train && (samples < 1 || e->batch % samples);
    if (uneven || (there && (samples < 1 || samples >= e->batch)))
        wrong(v, "pieces of %lld of a batch of %lld", (long long)samples, (long long)e->batch);
}

static void verify_entry(Verifier *v, const Entry *e) {
    char where[256];
    snprintf(where, sizeof where, "entry '%.200s'", e->name);
    v->where = where;
    v->entry = e;
    if (e->batch < 1 || e->batch > INT32_MAX) wrong(v, "a batch of %lld", (long long)e->batch);
    bool reads = entry_reads_data(e->kind);
    if (reads ? e->data < 0 || e->data >= v->p->spec.ndata : e->data != -1)
        wrong(v, "there is no data %d", e->data);
    bool counted = (e->steps > 0) != (e->epochs > 0) && e->steps >= 0 && e->epochs >= 0;
    if (e->kind == ENTRY_train && !counted)
        wrong(v, "%lld steps, %lld epochs: one of them counts", (long long)e->steps,
              (long long)e->epochs);
    if (e->kind == ENTRY_features && e->steps < 1)
        wrong(v, "features of %lld records", (long long)e->steps);
    if (!e->step) wrong(v, "there is no step");
    verify_pieces(v, e);
    for (int i = 0; i < ENTRY_GRAPHS && v->wrong == 0; i++) {
        v->batch = i < ENTRY_PIECES ? e->batch : e->batch / entry_pieces(v->p, e);
        if (e->graph[i]) verify_graph(v, e->graph[i], 0);
    }
    v->entry = NULL;
    v->where = "program";
}

/* A program goes through the stages in order. */
static void verify_stages(Verifier *v) {
    unsigned stage = v->p->stage;
    if (!(stage & STAGE_BUILT) || stage & (stage + 1))
        wrong(v, "it cannot be at its stage without those before");
}

bool program_verify(const Program *p, Buf *b) {
    Verifier v = {.p = p, .stage = p->stage, .b = b, .where = "program"};
    verify_stages(&v);
    for (int i = 0; i < p->spec.ndata; i++) verify_data(&v, &p->spec, i);
    verify_tensors(&v);
    v.init = true;
    if (!p->init)
        wrong(&v, "there is no init graph");
    else if (v.wrong == 0)
        verify_graph(&v, p->init, 0);
    v.init = false;
    for (size_t i = 0; i < p->nentry; i++) verify_entry(&v, &p->entry[i]);
    return v.wrong == 0;
}
