/* Decides which values are stored and which nodes share a kernel. */
#include <string.h>

#include "passes/fuse.h"

static Lower lower_of(const Graph *g, uint32_t n) { return op_info[g->node[n]->op].lower; }

static bool in_pieces(Op op) { return op == OP_concat || op == OP_pad; }

/* The value that `r` shows through views whose axes stay whole. */
static Ref through_views(const Graph *g, Ref r) {
    Frame any = {{0}}, in;
    while (lower_of(g, r.node) == LOWER_VIEW && frame_through(g, graph_node(g, r), &any, &in))
        r = graph_node(g, r)->in[0];
    return r;
}

/* ---- storage that others demand */
static void demand(Fuse *f, Ref r) { f->stored[r.node] = true; }

/* A reader that can walk strides, but computes nothing of what it reads. */
static void demand_base(Fuse *f, Ref r) {
    Ref base = view_of(f->g, r).base;
    if (!fuse_is_index(graph_node(f->g, base)->op))
        demand(f, base);
}

static void demand_inputs(Fuse *f, uint32_t at) {
    const Node *n = f->g->node[at];
    Lower lower = op_info[n->op].lower;
    bool view = lower == LOWER_VIEW;
    for (int i = 0; i < n->nin; i++) {
        Ref seen = through_views(f->g, n->in[i]);
        if (lower == LOWER_DOT || lower == LOWER_TABLE || (view && f->stored[at] && view_moves_nothing(f->g, n)))
            demand(f, n->in[i]);
        else if (in_pieces(n->op))
            demand_base(f, n->in[i]);
        else if (!view && lower_of(f->g, seen.node) == LOWER_VIEW)
            demand_base(f, seen);
        else if (view && f->stored[at] && lower_of(f->g, through_views(f->g, (Ref){at, 0}).node) == LOWER_VIEW)
            demand_base(f, through_views(f->g, (Ref){at, 0}));
    }
}

static void find_stored(Fuse *f) {
    const Graph *g = f->g;
    for (size_t i = 0; i < g->nout; i++)
        demand(f, g->out[i].ref);
    for (uint32_t i = (uint32_t)g->n; i-- > 0;) {
        if (!f->reached[i])
            continue;
        Lower lower = lower_of(g, i);
        if (lower == LOWER_DOT || lower == LOWER_TABLE || (lower == LOWER_LEAF && !fuse_is_index(g->node[i]->op)) ||
            in_pieces(g->node[i]->op))
            f->stored[i] = true;
        demand_inputs(f, i);
    }
}

/* ---- what a node reads */
typedef struct Needs {
    const Fuse *f;
    NodeList *out, seen;
    Arena *arena;
} Needs;

static bool list_has(const NodeList *l, uint32_t n) {
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i] == n)
            return true;
    return false;
}

/* Bounded as bodies are: views and inlined nodes only. */
static void add_need(Needs *s, Ref r) {
    const Fuse *f = s->f;
    const Node *n = graph_node(f->g, r);
    Frame any = {{0}}, in;
    if (fuse_is_index(n->op) && !f->stored[r.node])
        return;
    if (list_has(&s->seen, r.node))
        return;
    vec_push(s->arena, &s->seen, r.node);
    if (f->stored[r.node] || (!f->inlined[r.node] && op_info[n->op].lower != LOWER_VIEW)) {
        vec_push(s->arena, s->out, r.node);
    } else if (op_info[n->op].lower != LOWER_VIEW) {
        for (int i = 0; i < n->nin; i++)
            add_need(s, n->in[i]);
    } else if (frame_through(f->g, n, &any, &in)) {
        add_need(s, n->in[0]);
    } else {
        Ref base = view_of(f->g, r).base;
        if (!fuse_is_index(graph_node(f->g, base)->op))
            add_need(s, base);
    }
}

void fuse_needs(const Fuse *f, uint32_t at, NodeList *out) {
    const Node *n = f->g->node[at];
    Needs s = {.f = f, .out = out, .arena = f->arena};
    Frame any = {{0}}, in;
    bool moves = op_info[n->op].lower == LOWER_VIEW && n->nin == 1 && !in_pieces(n->op) && !view_moves_nothing(f->g, n);
    if (moves && !frame_through(f->g, n, &any, &in))
        add_need(&s, view_of(f->g, (Ref){at, 0}).base);
    else
        for (int i = 0; i < n->nin; i++)
            add_need(&s, n->in[i]);
}

/* ---- groups */
static bool wants_group(const Fuse *f, uint32_t i) {
    const Node *n = f->g->node[i];
    if (!f->reached[i] || f->inlined[i])
        return false;
    if (fuse_computes(n))
        return true;
    if (!f->stored[i])
        return false;
    return fuse_is_index(n->op) || (op_info[n->op].lower == LOWER_VIEW && !view_moves_nothing(f->g, n));
}

static void make_groups(Fuse *f) {
    for (uint32_t i = 0; i < f->g->n; i++) {
        f->group[i] = -1;
        if (!wants_group(f, i))
            continue;
        f->group[i] = (int)f->groups.n;
        GroupInfo group = {.domain = fuse_domain(f->g, i)};
        vec_push(f->arena, &group.member, i);
        vec_push(f->arena, &f->groups, group);
    }
}

void fuse_decide(Fuse *f) {
    find_stored(f);
    for (uint32_t i = 0; i < f->g->n; i++)
        if (f->reached[i] && fuse_computes(f->g->node[i]))
            f->stored[i] = true;
    make_groups(f);
}
