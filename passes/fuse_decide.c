/* Decides which values are stored and which nodes share a kernel. */
#include <string.h>

#include "passes/fuse.h"

static Lower lower_of(const Graph *g, uint32_t n) {
    return op_info[g->node[n]->op].lower;
}

static bool in_pieces(Op op) {
    return op == OP_concat || op == OP_pad;
}

/* The value that `r` shows through views whose axes stay whole. */
static Ref through_views(const Graph *g, Ref r) {
    Frame any = {{0}}, in;
    while (lower_of(g, r.node) == LOWER_VIEW && frame_through(g, graph_node(g, r), &any, &in))
        r = graph_node(g, r)->in[0];
    return r;
}

/* ---- storage that others demand */
static void demand(Fuse *f, Ref r) {
    f->stored[r.node] = true;
}

/* A reader that can walk strides, but computes nothing of what it reads. */
static void demand_base(Fuse *f, Ref r) {
    Ref base = view_of(f->g, r).base;
    if (!fuse_is_index(graph_node(f->g, base)->op)) demand(f, base);
}

/* Whether a product reads input `i` where its base lies. It does if nothing else would be computed
 * for the base to be there, and no element is read for several of one label. */
static bool reads_strides(const Fuse *f, const Node *n, int i) {
    const Graph *g = f->g;
    const Node *x = graph_node(g, n->in[i]);
    if (op_info[n->op].lower != LOWER_DOT || i < n->nin - 2 || !view_is_strided(x)) return false;
    View v = view_of(g, n->in[i]);
    const Node *base = graph_node(g, v.base);
    bool there = op_stands_alone(base->op) || in_pieces(base->op) ||
                 (op_info[base->op].lower == LOWER_LEAF && !fuse_is_index(base->op)),
         near = false;
    for (int k = 0; k < v.rank; k++) {
        if (v.dim[k] != 1 && v.stride[k] == 0) return false;
        near |= v.dim[k] != 1 && v.stride[k] == 1;
    }
    DType t = x->type[0].dtype;
    return near && (t == DT_f32 || t == DT_bf16) && !view_is_strided(base) &&
           (there || type_count(&x->type[0]) >= type_count(graph_type(g, v.base)));
}

static void demand_inputs(Fuse *f, uint32_t at) {
    const Node *n = f->g->node[at];
    Lower lower = op_info[n->op].lower;
    bool view = lower == LOWER_VIEW;
    for (int i = 0; i < n->nin; i++) {
        Ref seen = through_views(f->g, n->in[i]);
        if (reads_strides(f, n, i))
            demand_base(f, n->in[i]);
        else if (op_stands_alone(n->op) || (view && f->stored[at] && view_moves_nothing(f->g, n)))
            demand(f, n->in[i]);
        else if (in_pieces(
                     n->op)) /* copies memory: even what is counted or drawn has to be there */
            demand(f, view_of(f->g, n->in[i]).base);
        else if (!view && lower_of(f->g, seen.node) == LOWER_VIEW)
            demand_base(f, seen);
        else if (view && f->stored[at] &&
                 lower_of(f->g, through_views(f->g, (Ref){at, 0}).node) == LOWER_VIEW)
            demand_base(f, through_views(f->g, (Ref){at, 0}));
    }
}

static void find_stored(Fuse *f) {
    const Graph *g = f->g;
    for (size_t i = 0; i < g->nout; i++) demand(f, g->out[i].ref);
    for (uint32_t i = (uint32_t)g->n; i-- > 0;) {
        if (!f->reached[i]) continue;
        Lower lower = lower_of(g, i);
        if (op_stands_alone(g->node[i]->op) ||
            (lower == LOWER_LEAF && !fuse_is_index(g->node[i]->op)) || in_pieces(g->node[i]->op))
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
        if (l->at[i] == n) return true;
    return false;
}

/* Down views whose axes stay whole, to the first value that is stored or not such a view. */
static Ref down_views(const Fuse *f, Ref r) {
    Frame any = {{0}}, in;
    while (!f->stored[r.node] && lower_of(f->g, r.node) == LOWER_VIEW &&
           frame_through(f->g, graph_node(f->g, r), &any, &in))
        r = graph_node(f->g, r)->in[0];
    return r;
}

/* Recursion is bounded by the size of inlined expressions. */
static void add_need(Needs *s, Ref r) {
    const Fuse *f = s->f;
    r = down_views(f, r);
    if (!f->stored[r.node] && lower_of(f->g, r.node) == LOWER_VIEW) r = view_of(f->g, r).base;
    const Node *n = graph_node(f->g, r);
    if ((fuse_is_index(n->op) && !f->stored[r.node]) || list_has(&s->seen, r.node)) return;
    vec_push(s->arena, &s->seen, r.node);
    if (f->stored[r.node] || !f->inlined[r.node])
        vec_push(s->arena, s->out, r.node);
    else
        for (int i = 0; i < n->nin; i++) add_need(s, n->in[i]);
}

void fuse_needs(const Fuse *f, uint32_t at, NodeList *out) {
    const Node *n = f->g->node[at];
    Needs s = {.f = f, .out = out, .arena = f->arena};
    Frame any = {{0}}, in;
    bool moves = op_info[n->op].lower == LOWER_VIEW && n->nin == 1 && !in_pieces(n->op) &&
                 !view_moves_nothing(f->g, n);
    if (moves && !frame_through(f->g, n, &any, &in))
        add_need(&s, view_of(f->g, (Ref){at, 0}).base);
    else
        for (int i = 0; i < n->nin; i++) add_need(&s, n->in[i]);
}

/* ---- what is computed anew by every reader */
enum { MAX_LEAVES = 10, MAX_CONE = 48 };
/* What lies between a node and what it reads from memory. */
typedef struct Cone {
    uint32_t leaf[MAX_LEAVES];
    int nleaf, size,
        cost; /* cost: in simple operations; too many leaves: nleaf is beyond MAX_LEAVES */
} Cone;
typedef struct Uses { /* of a node by others that compute, seen through views */
    int count;
    int64_t most; /* elements of the largest domain among them */
    bool along;   /* one of those has the node's innermost axis */
} Uses;

static int64_t domain_count(const Domain *d) {
    int64_t n = 1;
    for (int i = 0; i < d->rank; i++) n *= d->dim[i];
    return n;
}

static int op_cost(Op op) {
    if (op_info[op].flags & FLAG_RANDOM) return 20;
    if (op == OP_div || op == OP_sqrt || op == OP_rsqrt) return 4;
    return op_info[op].flags & FLAG_CHEAP || op_info[op].lower != LOWER_MAP ? 1
           : op == OP_pow                                                   ? 30
                                                                            : 10;
}

static void add_leaf(Cone *c, uint32_t n) {
    for (int i = 0; i < c->nleaf && i < MAX_LEAVES; i++)
        if (c->leaf[i] == n) return;
    if (c->nleaf < MAX_LEAVES) c->leaf[c->nleaf] = n;
    if (c->nleaf <= MAX_LEAVES) c->nleaf++;
}

static void add_cone(const Fuse *f, Cone *c, const Cone *all, Ref r) {
    Ref seen = through_views(f->g, r);
    const Node *n = graph_node(f->g, seen);
    if (fuse_is_index(n->op)) {
        c->cost += op_cost(n->op);
        c->size++;
    } else if (f->inlined[seen.node]) {
        const Cone *in = &all[seen.node];
        for (int i = 0; i < in->nleaf; i++) add_leaf(c, in->leaf[i]);
        c->cost += in->cost;
        c->size += in->size;
    } else if (op_info[n->op].lower != LOWER_VIEW || f->stored[seen.node]) {
        add_leaf(c, seen.node);
    } else {
        add_leaf(c, view_of(f->g, seen).base.node);
    }
}

static Uses *count_uses(const Fuse *f) {
    const Graph *g = f->g;
    Uses *uses = NEW_N(f->arena, Uses, g->n);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (!f->reached[i] || !(fuse_computes(n) || (lower_of(g, i) == LOWER_VIEW && f->stored[i])))
            continue;
        Domain to = fuse_domain(g, i);
        int64_t count = domain_count(&to);
        for (int j = 0; j < n->nin; j++) {
            bool again = false;
            for (int k = 0; k < j; k++) again |= n->in[k].node == n->in[j].node;
            Uses *u = &uses[through_views(g, n->in[j]).node];
            Domain from = fuse_domain(g, through_views(g, n->in[j]).node);
            u->count += !again;
            u->most = u->most > count ? u->most : count;
            u->along |= from.rank && to.rank && from.dim[from.rank - 1] == to.dim[to.rank - 1];
        }
    }
    return uses;
}

static int full_leaves(const Fuse *f, const Cone *c, int64_t count) {
    int n = 0;
    for (int i = 0; i < c->nleaf; i++)
        n += type_count(&f->g->node[c->leaf[i]]->type[0]) * 2 >= count;
    return n;
}

/* A value with one reader is always cheaper to compute there. With several, storing it costs a
 * write and a read each; computing it anew pays while that reads one tensor of its size and takes
 * few operations. A small value that a larger domain repeats is computed once a row, unless it runs
 * along the row. */
static bool should_inline(const Fuse *f, uint32_t i, const Cone *c, const Uses *u) {
    const Node *n = f->g->node[i];
    int64_t count = type_count(&n->type[0]);
    if (f->stored[i] || c->nleaf > MAX_LEAVES || c->size > MAX_CONE) return false;
    if (reduced_sizes(n, n->nin ? graph_type(f->g, n->in[0]) : &n->type[0])) return false;
    if (u->most > count && (u->along && count > 1 ? c->cost > 4 : c->cost > 40)) return false;
    return (u->count <= 1 && u->most <= count) ||
           (full_leaves(f, c, count) <= 1 && c->nleaf <= 6 && c->cost <= 40);
}

static void choose_inlined(Fuse *f) {
    Cone *cone = NEW_N(f->arena, Cone, f->g->n);
    Uses *uses = count_uses(f);
    for (uint32_t i = 0; i < f->g->n; i++) {
        const Node *n = f->g->node[i];
        if (!f->reached[i] || !fuse_computes(n)) continue;
        cone[i] = (Cone){.size = 1, .cost = op_cost(n->op)};
        for (int j = 0; j < n->nin; j++) add_cone(f, &cone[i], cone, n->in[j]);
        f->inlined[i] = should_inline(f, i, &cone[i], &uses[i]);
        f->size[i] = cone[i].size;
    }
}

/* ---- groups */
static bool wants_group(const Fuse *f, uint32_t i) {
    const Node *n = f->g->node[i];
    if (!f->reached[i] || f->inlined[i]) return false;
    if (fuse_computes(n)) return true;
    if (!f->stored[i]) return false;
    return fuse_is_index(n->op) ||
           (op_info[n->op].lower == LOWER_VIEW && !view_moves_nothing(f->g, n));
}

static void make_groups(Fuse *f) {
    for (uint32_t i = 0; i < f->g->n; i++) {
        f->group[i] = -1;
        if (!f->reached[i] || !(f->stored[i] || wants_group(f, i))) continue;
        fuse_needs(f, i, &f->need[i]);
        if (!wants_group(f, i)) continue;
        f->group[i] = (int)f->groups.n;
        GroupInfo group = {.domain = fuse_domain(f->g, i), .size = f->size[i]};
        vec_push(f->arena, &group.member, i);
        vec_push(f->arena, &f->groups, group);
    }
}

/* What another unit reads has to be in memory. */
static void store_needed(Fuse *f) {
    for (uint32_t i = 0; i < f->g->n; i++)
        for (size_t k = 0; k < f->need[i].n; k++) {
            uint32_t from = f->need[i].at[k];
            if (f->group[from] < 0 || f->group[from] != f->group[i]) f->stored[from] = true;
        }
}

void fuse_decide(Fuse *f) {
    find_stored(f);
    choose_inlined(f);
    make_groups(f);
    fuse_merge(f);
    store_needed(f);
}
