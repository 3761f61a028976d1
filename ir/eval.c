/* The reference interpreter: says what every operator means, slowly. Values are doubles, rounded to
 * their type after every operator (floats not, when full precision is asked for). A value is freed
 * after its last reader, so what counts is the number of elements alive at once; beyond a limit
 * it gives up with a sentence. */
#include "ir/eval.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int64_t max_alive(const EvalCx *cx) {
    return cx->max_alive ? cx->max_alive : 100000000;
}

static EvalFn *const eval_table[OP_COUNT] = {
#define OP(name, ...) [OP_##name] = eval_##name,
#include "ir/ops.def"
#undef OP
};

/* ---- walking */

Walk walk_new(const Type *over) {
    Walk w = {.rank = over->rank};
    memcpy(w.dim, over->dim, sizeof w.dim);
    return w;
}

void walk_add(Walk *w, const int64_t *stride) {
    CHECK(w->n < WALK_MAX);
    memcpy(w->stride[w->n++], stride, (size_t)w->rank * sizeof *stride);
}

void walk_broadcast(Walk *w, const Type *t) {
    int64_t own[RANK], stride[RANK] = {0};
    int skip = w->rank - t->rank;
    strides_of(t, own);
    for (int i = 0; i < t->rank; i++) stride[i + skip] = t->dim[i] == 1 ? 0 : own[i];
    walk_add(w, stride);
}

void walk_next(Walk *w) {
    for (int i = w->rank; i-- > 0;) {
        for (int k = 0; k < w->n; k++) w->offset[k] += w->stride[k][i];
        if (++w->at[i] < w->dim[i]) return;
        for (int k = 0; k < w->n; k++) w->offset[k] -= w->stride[k][i] * w->dim[i];
        w->at[i] = 0;
    }
}

/* ---- values of a type */

int64_t int_of(double v) {
    if (isnan(v)) return 0;
    if (v >= 0x1p63) return INT64_MAX;
    return v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

double int_wrap(DType t, int64_t v) {
    switch (t) {
    case DT_i32: return (int32_t)(uint32_t)(uint64_t)v;
    case DT_u8: return (uint8_t)(uint64_t)v;
    case DT_i8: return (int8_t)(uint8_t)(uint64_t)v;
    case DT_bool: return v != 0;
    default: return (double)v;
    }
}

/* What the type can hold: f32 and bf16 to nearest even, but nothing between zero and the least
 * normal number; integers wrap. */
static double value_round(DType t, double v) {
    if (t == DT_f64) return v;
    if (dtype_is_float(t) && fabs((float)v) < FLT_MIN) return copysign(0, v);
    if (t == DT_f32) return (float)v;
    if (t == DT_bf16) return bf16_to_float(bf16_from_float((float)v));
    return int_wrap(t, int_of(v));
}

bool eval_fail(Eval *ev, const char *fmt, ...) {
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    const Program *p = ev->cx->program;
    const char *path = p ? diag_path(p->diag, ev->n->span.file) : NULL;
    if (!path) return err_set(ev->e, "%s: %s", op_info[ev->n->op].name, msg);
    return err_set(ev->e, "%s:%u:%u: %s: %s", path, ev->n->span.line, ev->n->span.col,
                   op_info[ev->n->op].name, msg);
}

/* ---- one node */

bool node_eval(const Node *n, const Array *in, Array *out, const EvalCx *cx, Err *e) {
    Eval ev = {n, in, out, cx, e};
    for (int i = 0; i < n->nout; i++) {
        int64_t count = type_count(&n->type[i]);
        if (count > max_alive(cx))
            return eval_fail(&ev, "%lld elements are too many to interpret", (long long)count);
        out[i] = (Array){n->type[i], NEW_N(cx->arena, double, count)};
    }
    if (!eval_table[n->op](&ev)) return false;
    for (int i = 0; i < n->nout; i++) {
        DType t = n->type[i].dtype;
        if (cx->f64 && dtype_is_float(t)) continue;
        for (int64_t k = type_count(&n->type[i]); k-- > 0;)
            out[i].at[k] = value_round(t, out[i].at[k]);
    }
    return true;
}

/* ---- graphs */

typedef struct Slot { /* a node's results while somebody still reads them */
    Arena *arena;
    Array *out;
    size_t last; /* node that reads them last; SIZE_MAX: an output */
    int64_t elements;
} Slot;

typedef struct Run {
    const Graph *g;
    const EvalCx *cx;
    Arena *scratch;
    Slot *slot;
    int64_t alive;
} Run;

static void find_last_readers(Run *r, const bool *reached) {
    const Graph *g = r->g;
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; reached[i] && k < g->node[i]->nin; k++)
            r->slot[g->node[i]->in[k].node].last = i;
    for (size_t i = 0; i < g->nout; i++) r->slot[g->out[i].ref.node].last = SIZE_MAX;
}

static void release(Run *r, Slot *s) {
    arena_free(s->arena);
    r->alive -= s->elements;
    *s = (Slot){.last = s->last};
}

static bool run_node(Run *r, size_t at, Err *e) {
    const Node *n = r->g->node[at];
    Slot *s = &r->slot[at];
    for (int i = 0; i < n->nout; i++) s->elements += type_count(&n->type[i]);
    r->alive += s->elements;
    if (r->alive > max_alive(r->cx))
        return err_set(e, "graph '%s' holds more than %lld numbers at once: too large to interpret",
                       r->g->name, (long long)max_alive(r->cx));
    s->arena = arena_new();
    s->out = NEW_N(s->arena, Array, n->nout);
    Array *in = NEW_N(s->arena, Array, n->nin);
    for (int i = 0; i < n->nin; i++) in[i] = r->slot[n->in[i].node].out[n->in[i].out];
    EvalCx cx = *r->cx;
    cx.arena = s->arena;
    if (!node_eval(n, in, s->out, &cx, e)) return false;
    if (cx.watch) cx.watch(cx.watch_cx, (uint32_t)at, in, s->out);
    for (int i = 0; i < n->nin; i++) {
        Slot *from = &r->slot[n->in[i].node];
        if (from->last == at && from->arena) release(r, from);
    }
    return true;
}

Array *graph_eval(const Graph *g, const EvalCx *cx, Err *e) {
    Run r = {.g = g, .cx = cx, .scratch = arena_new()};
    r.slot = NEW_N(r.scratch, Slot, g->n);
    bool *reached = graph_reached(g, r.scratch), ok = true;
    find_last_readers(&r, reached);
    for (size_t i = 0; ok && i < g->n; i++)
        if (reached[i]) ok = run_node(&r, i, e);
    Array *result = ok ? NEW_N(cx->arena, Array, g->nout + 1) : NULL;
    for (size_t i = 0; ok && i < g->nout; i++) {
        Array a = r.slot[g->out[i].ref.node].out[g->out[i].ref.out];
        a.at = arena_memdup(cx->arena, a.at, (size_t)type_count(&a.type) * sizeof *a.at);
        result[i] = a;
    }
    for (size_t i = 0; i < g->n; i++) arena_free(r.slot[i].arena);
    arena_free(r.scratch);
    return result;
}
