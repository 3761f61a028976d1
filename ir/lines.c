/* Which lines of source a node came from, and what to call it: see facts.h. */
#include "ir/facts.h"

typedef struct Part { /* what one call of the library, or one operator of the user's, has of the
                         work */
    uint32_t via;     /* 0: an operator */
    const char *name;
    double work;
} Part;

typedef struct Lines {
    Arena *arena;
    const Diag *sources;
    VEC(NodeLine) line;
    VEC(Part) part;
    double work;
} Lines;

/* ---- lines */

static bool same_line(const NodeLine *l, Span at, uint8_t kind) {
    return l->at.file == at.file && l->at.line == at.line && l->at.via == at.via && l->kind == kind;
}

static void add_line(Lines *l, Span at, uint8_t kind, double work) {
    for (size_t i = 0; i < l->line.n; i++)
        if (same_line(&l->line.at[i], at, kind)) {
            l->line.at[i].share += work;
            return;
        }
    vec_push(l->arena, &l->line, (NodeLine){at, kind, work});
}

/* The function of the library that the place lies in; unnamed ones are their caller's. */
static uint32_t named_call(const Diag *d, Span at) {
    const CallSite *c = NULL;
    if (!diag_is_library(d, at.file)) return 0;
    while ((c = diag_call(d, at.via)) && str_eq(c->name, "fn")) at = c->at;
    return c && diag_is_library(d, at.file) ? at.via : 0;
}

static void add_part(Lines *l, Op op, Span at, double work) {
    uint32_t via = named_call(l->sources, at);
    const char *name = via ? diag_call(l->sources, via)->name : op_info[op].name;
    for (size_t i = 0; i < l->part.n; i++)
        if (l->part.at[i].via == via && str_eq(l->part.at[i].name, name)) {
            l->part.at[i].work += work;
            return;
        }
    vec_push(l->arena, &l->part, (Part){via, name, work});
}

static void add_work(Lines *l, Op op, Span at, uint8_t kind, double work) {
    if (!at.file || work <= 0) return;
    l->work += work;
    add_line(l, at, kind, work);
    add_part(l, op, at, work);
}

static void collect_lines(Lines *l, const Node *n, const uint8_t *kind, uint8_t own) {
    const Graph *body = n->op == OP_fused ? n->attr.body : NULL;
    for (size_t i = 0; body && i < body->n; i++)
        add_work(l, body->node[i]->op, body->node[i]->span, kind ? kind[i] : 0,
                 op_work(body, body->node[i]));
    if (l->line.n) return; /* else a product, a table, or a body that only moves */
    Op op = body ? graph_node(body, body->out[0].ref)->op : n->op;
    add_work(l, op, n->span, own, 1);
}

static void share_lines(Lines *l) {
    for (size_t i = 0; i < l->line.n; i++) l->line.at[i].share /= l->work;
    for (size_t i = 1; i < l->line.n; i++) /* the largest first */
        for (size_t k = i; k > 0 && l->line.at[k].share > l->line.at[k - 1].share; k--) {
            NodeLine t = l->line.at[k];
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
            if (!same && !is_within(l->sources, inner->via, outer->via)) continue;
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
        name = name ? arena_printf(l->arena, "%s + %s", name, part) : part;
    }
    return name;
}

NodeLines node_lines(Arena *a, const Diag *d, const Node *n, const uint8_t *kind, uint8_t own) {
    Lines l = {.arena = a, .sources = d};
    collect_lines(&l, n, kind, own);
    share_lines(&l);
    const char *name = join_parts(&l);
    return (NodeLines){l.line.at, (int)l.line.n, name};
}
