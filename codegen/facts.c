/* Facts about steps: see facts.h. Bytes are those that must move if every operand is read once and
 * every result written once; whether they come from memory or a cache is not known here. Operations
 * are additions and multiplications, and for the others what code generation makes of them,
 * roughly. A fused group is shared among its lines by their operations. */
#include "codegen/facts.h"

#include <string.h>

/* ---- kernels */

static uint32_t access_axes(const Kernel *k, int access) {
    uint32_t axes = 0;
    for (int i = 0; access >= 0 && i < k->naxis; i++)
        if (k->access.at[access].stride[i]) axes |= UINT32_C(1) << i;
    return axes;
}

static double axes_count(const Kernel *k, uint32_t axes) {
    double n = 1;
    for (int i = 0; i < k->naxis; i++)
        if (axes >> i & 1) n *= (double)k->size[i];
    return n;
}

static double access_bytes(const Kernel *k, int access) {
    return axes_count(k, access_axes(k, access)) * (double)dtype_size(k->access.at[access].dtype);
}

/* Of the same place once, though it is read several times. */
static double load_bytes(const Kernel *k, size_t instr) {
    int own = k->instr.at[instr].access;
    if (k->instr.at[instr].op != OP_arg) return 0;
    for (size_t i = 0; i < instr; i++) {
        int other = k->instr.at[i].access;
        if (k->instr.at[i].op == OP_arg && k->access.at[other].buf == k->access.at[own].buf &&
            k->access.at[other].offset == k->access.at[own].offset)
            return 0;
    }
    return access_bytes(k, own);
}

void facts_kernel(const Kernel *k, RtStep *step) {
    Arena *scratch = arena_new();
    uint32_t *axes = NEW_N(scratch, uint32_t, k->instr.n), reduced = 0;
    for (int i = 0; i < k->naxis; i++) reduced |= (uint32_t)k->reduced[i] << i;
    for (size_t n = 0; n < k->instr.n; n++) {
        const Instr *i = &k->instr.at[n];
        axes[n] = access_axes(k, i->access);
        for (int j = 0; j < i->nin; j++) axes[n] |= axes[i->in[j]];
        bool free = i->op == OP_arg || i->op == OP_const || i->op == OP_iota;
        if (!free) step->operations += axes_count(k, axes[n]) * op_cost(i->op);
        if (i->reduces) axes[n] &= ~reduced;
        step->bytes += load_bytes(k, n);
    }
    for (size_t n = 0; n < k->store.n; n++) step->bytes += access_bytes(k, k->store.at[n].access);
    arena_free(scratch);
}

/* ---- lines */

typedef struct Part { /* what one call of the library, or one operator of the user's, has of the
                         work */
    uint32_t via;     /* 0: an operator */
    const char *name;
    double work;
} Part;

typedef struct Lines {
    const Build *b;
    VEC(RtLine) line;
    VEC(Part) part;
    double work;
} Lines;

static bool same_line(const RtLine *l, Span at, RtPhase phase) {
    return l->at.file == at.file && l->at.line == at.line && l->at.via == at.via &&
           l->phase == phase;
}

static void add_line(Lines *l, Span at, RtPhase phase, double work) {
    for (size_t i = 0; i < l->line.n; i++)
        if (same_line(&l->line.at[i], at, phase)) {
            l->line.at[i].share += work;
            return;
        }
    vec_push(l->b->arena, &l->line, (RtLine){at, work, phase});
}

/* The function of the library that the place lies in; unnamed ones are their caller's. */
static uint32_t named_call(const Diag *d, Span at) {
    const CallSite *c = NULL;
    if (!diag_is_library(d, at.file)) return 0;
    while ((c = diag_call(d, at.via)) && str_eq(c->name, "fn")) at = c->at;
    return c && diag_is_library(d, at.file) ? at.via : 0;
}

static void add_part(Lines *l, Op op, Span at, double work) {
    const Diag *d = l->b->program->diag;
    uint32_t via = named_call(d, at);
    const char *name = via ? diag_call(d, via)->name : op_info[op].name;
    for (size_t i = 0; i < l->part.n; i++)
        if (l->part.at[i].via == via && str_eq(l->part.at[i].name, name)) {
            l->part.at[i].work += work;
            return;
        }
    vec_push(l->b->arena, &l->part, (Part){via, name, work});
}

static void add_work(Lines *l, Op op, Span at, RtPhase phase, double work) {
    if (!at.file || work <= 0) return;
    l->work += work;
    add_line(l, at, phase, work);
    add_part(l, op, at, work);
}

static Lines node_lines(const Build *b, uint32_t at) {
    Lines l = {.b = b};
    const Node *n = b->g->node[at];
    const Graph *body = n->op == OP_fused ? n->attr.body : NULL;
    for (size_t i = 0; body && i < body->n; i++)
        add_work(&l, body->node[i]->op, body->node[i]->span, b->phases.op[at][i],
                 op_work(body, body->node[i]));
    if (!l.line.n) { /* a product, a table, or a body that only moves */
        Op op = body ? graph_node(body, body->out[0].ref)->op : n->op;
        add_work(&l, op, n->span, b->phases.node[at], 1);
    }
    return l;
}

static void share_lines(Lines *l) {
    for (size_t i = 0; i < l->line.n; i++) l->line.at[i].share /= l->work;
    for (size_t i = 1; i < l->line.n; i++) /* the largest first */
        for (size_t k = i; k > 0 && l->line.at[k].share > l->line.at[k - 1].share; k--) {
            RtLine t = l->line.at[k];
            l->line.at[k] = l->line.at[k - 1];
            l->line.at[k - 1] = t;
        }
}

/* ---- names */

static bool is_within(const Diag *d, uint32_t via, uint32_t outer) {
    for (const CallSite *c; outer && (c = diag_call(d, via)); via = c->at.via)
        if (c->at.via == outer) return true;
    return false;
}

/* The mean within a LayerNorm is the LayerNorm's; the softmax that an attention is mostly made of
 * is not the attention's. */
static void fold_parts(Lines *l) {
    for (size_t i = 0; i < l->part.n; i++)
        for (size_t k = 0; k < l->part.n; k++) {
            Part *inner = &l->part.at[i], *outer = &l->part.at[k];
            if (i == k || inner->work > outer->work) continue;
            bool same = str_eq(inner->name, outer->name) && i > k;
            if (!same && !is_within(l->b->program->diag, inner->via, outer->via)) continue;
            outer->work += inner->work;
            inner->work = 0;
        }
}

/* How many parts do more than this one. */
static int rank_of(const Lines *l, size_t part) {
    int before = 0;
    for (size_t i = 0; i < l->part.n; i++) {
        double a = l->part.at[i].work, b = l->part.at[part].work;
        before += a > b || (a == b && i < part);
    }
    return before;
}

/* Up to three parts that do most of the work, in the order in which they are computed. */
static const char *join_parts(Lines *l) {
    enum { SHOWN = 3 };
    static const double least = 0.1;
    const char *name = NULL;
    fold_parts(l);
    for (size_t i = 0; i < l->part.n; i++) {
        int rank = rank_of(l, i);
        if (rank >= SHOWN || (rank > 0 && l->part.at[i].work < least * l->work)) continue;
        const char *part = l->part.at[i].name;
        name = name ? arena_printf(l->b->arena, "%s + %s", name, part) : part;
    }
    return name;
}

void facts_node(Build *b, uint32_t node, size_t first) {
    if (first == b->step.n) return;
    Lines l = node_lines(b, node);
    share_lines(&l);
    const char *name = join_parts(&l);
    for (size_t i = first; i < b->step.n; i++) {
        RtStep *s = &b->step.at[i];
        s->name = name ? name : s->label;
        s->line = l.line.at;
        s->nline = (int)l.line.n;
        s->phase = b->phases.node[node];
        s->node = (int32_t)node;
    }
}

void facts_copy(Build *b, const Tensor *to, RtStep *step) {
    bool update = to && (to->kind == TENSOR_param || to->kind == TENSOR_optim);
    step->phase = update ? RT_PHASE_update : RT_PHASE_other;
    step->bytes = 2 * (double)b->buffer.at[step->buf[0]].bytes;
    step->line = arena_memdup(b->arena, &(RtLine){step->span, 1, step->phase}, sizeof(RtLine));
    step->nline = to ? 1 : 0;
}
