/* autodiff: replaces every grad node by the operators that compute it, then removes stop_gradient.
 *
 * The graph is rebuilt in order, so the grad nodes among a grad's inputs are already expanded:
 * gradients of gradients need nothing more. A sweep walks back from y over the nodes that lie
 * between some x and y, and adds up cotangents; the rules of the operators are in vjp.c. Inside a
 * remat region the rules see recomputed forward values: copies of the region's nodes with a copy
 * number of their own, fed by the originals outside. Stops go last: a later sweep still has to see
 * them. */
#include "passes/internal.h"

struct Sweep {
    Graph *g;
    Diag *diag;
    Arena *scratch;
    uint32_t n;            /* nodes the graph had: later ones belong to the gradient */
    bool *active;          /* by node: some x is behind it */
    RefMap cot;            /* of float values: the cotangent so far */
    RefMap again;          /* recomputed forward values */
    VEC(uint32_t) regions; /* that have been recomputed */
    uint32_t copy;         /* copy number of this sweep's recomputations */
    bool failed;
};

static bool has_float(const Node *n) {
    for (int o = 0; o < n->nout; o++)
        if (dtype_is_float(n->type[o].dtype)) return true;
    return false;
}

/* ---- what the rules call */

bool vjp_wants(const Vjp *v, int i) {
    return v->sweep->active[v->n->in[i].node];
}

void vjp_give(Vjp *v, int i, Ref cotangent) {
    Ref to = v->n->in[i];
    if (!v->sweep->active[to.node]) return;
    Ref c = g_sum_to(v->g, cotangent, graph_type(v->g, to), v->at);
    Ref sum = refmap_get(&v->sweep->cot, to);
    refmap_set(&v->sweep->cot, to, ref_is(sum) ? g_binary(v->g, OP_add, sum, c, v->at) : c);
}

Ref vjp_cotangent(const Vjp *v, int out) {
    return refmap_get(&v->sweep->cot, (Ref){v->number, (uint32_t)out});
}

bool vjp_within(const Vjp *v, Graph *g, const Pull *p) {
    bool ok = autodiff_pull(g, p, v->sweep->diag);
    v->sweep->failed = v->sweep->failed || !ok;
    return ok;
}

void vjp_fail(Vjp *v, const char *what) {
    v->sweep->failed = true;
    diag_error(v->sweep->diag, v->at, "cannot differentiate through '%s'", what);
    diag_hint(v->sweep->diag, "stop_gradient around it treats its value as a constant");
}

/* ---- recomputation */

/* Copies every node of a region, in order, where the sweep first meets it: what no rule uses falls
 * away later. */
static void recompute_region(Sweep *s, uint32_t region) {
    for (size_t i = 0; i < s->regions.n; i++)
        if (s->regions.at[i] == region) return;
    vec_push(s->scratch, &s->regions, region);
    Graph *g = s->g;
    for (uint32_t i = 0; i < s->n; i++) {
        const Node *n = g->node[i];
        if (n->region != region) continue;
        if (n->nin == 0 && !(op_info[n->op].flags & FLAG_RANDOM)) { /* a leaf is there anyway */
            refmap_set_node(&s->again, g, i, (Ref){i, 0});
            continue;
        }
        Ref *in = NEW_N(s->scratch, Ref, n->nin + 1);
        for (int k = 0; k < n->nin; k++)
            in[k] = g->node[n->in[k].node]->region == region ? refmap_get(&s->again, n->in[k])
                                                             : n->in[k];
        Node clone = *n;
        clone.copy = s->copy;
        refmap_set_node(&s->again, g, i, graph_copy_node(g, &clone, in));
    }
}

static Ref forward_value(const Sweep *s, Ref r, uint32_t region) {
    bool again = region != 0 && s->g->node[r.node]->region == region;
    return again ? refmap_get(&s->again, r) : r;
}

/* ---- the sweep */

static void mark_active(Sweep *s, const Ref *x, int nx) {
    for (int i = 0; i < nx; i++) s->active[x[i].node] = has_float(s->g->node[x[i].node]);
    for (uint32_t i = 0; i < s->n; i++) {
        const Node *n = s->g->node[i];
        VjpFn *rule = vjp_table[n->op];
        if (rule == vjp_zero || rule == vjp_leaf || !has_float(n)) continue;
        for (int k = 0; k < n->nin && !s->active[i]; k++) s->active[i] = s->active[n->in[k].node];
    }
}

static bool has_active_input(const Sweep *s, const Node *n) {
    for (int k = 0; k < n->nin; k++)
        if (s->active[n->in[k].node]) return true;
    return false;
}

/* Gradients of gradients may grow with each. */
static bool is_too_large(Sweep *s, Span at) {
    if (s->g->n <= GRAPH_LARGE) return false;
    if (!diag_errors(s->diag))
        diag_error(s->diag, at, "with gradients, an entry has at most %d operations", GRAPH_LARGE);
    return s->failed = true;
}

static void pull_back(Sweep *s, uint32_t i) {
    const Node *n = s->g->node[i];
    if (is_too_large(s, n->span)) return;
    VjpFn *rule = vjp_table[n->op];
    if (rule == vjp_zero || rule == vjp_leaf || !has_active_input(s, n)) return;
    if (n->region != 0) recompute_region(s, n->region);
    Ref *x = NEW_N(s->scratch, Ref, n->nin + 1);
    for (int k = 0; k < n->nin; k++) x[k] = forward_value(s, n->in[k], n->region);
    Vjp v = {.g = s->g, .n = n, .number = i, .at = n->span, .x = x, .sweep = s};
    v.gy = vjp_cotangent(&v, 0);
    v.y = forward_value(s, (Ref){i, 0}, n->region);
    rule(&v);
}

static bool has_cotangent(const Sweep *s, uint32_t i) {
    for (uint32_t o = 0; o < (uint32_t)s->g->node[i]->nout; o++)
        if (ref_is(refmap_get(&s->cot, (Ref){i, o}))) return true;
    return false;
}

static void seed(Sweep *s, const Pull *p) {
    for (int i = 0; i < p->ny; i++) {
        Ref c = refmap_get(&s->cot, p->y[i]);
        Span at = graph_node(s->g, p->y[i])->span;
        if (!s->active[p->y[i].node]) continue;
        c = ref_is(c) ? g_binary(s->g, OP_add, c, p->gy[i], at) : p->gy[i];
        refmap_set(&s->cot, p->y[i], c);
    }
}

bool autodiff_pull(Graph *g, const Pull *p, Diag *d) {
    Arena *scratch = arena_new();
    uint32_t region = g->region, copy = g->copy;
    g->region = g->copy = 0;
    Sweep s = {
        .g = g, .diag = d, .scratch = scratch, .n = (uint32_t)g->n, .copy = graph_new_copy(g)};
    s.active = NEW_N(scratch, bool, g->n);
    s.cot = refmap_new(scratch, g);
    s.again = refmap_new(scratch, g);
    mark_active(&s, p->x, p->nx);
    seed(&s, p);
    for (uint32_t i = s.n; i-- > 0;)
        if (s.active[i] && has_cotangent(&s, i)) pull_back(&s, i);
    for (int i = 0; i < p->nx; i++) {
        Ref c = refmap_get(&s.cot, p->x[i]);
        Span at = graph_node(g, p->x[i])->span;
        p->dx[i] = ref_is(c) ? c : g_fill(g, graph_type(g, p->x[i]), 0, at);
    }
    g->region = region;
    g->copy = copy;
    arena_free(scratch);
    return !s.failed;
}

/* The derivatives of a scalar. */
static bool expand_grad(Graph *g, const Node *n, const Ref *in, Ref *dx, Diag *d) {
    uint32_t region = g->region, copy = g->copy;
    g->region = g->copy = 0;
    Ref one = g_fill(g, graph_type(g, in[0]), 1, graph_node(g, in[0])->span);
    g->region = region;
    g->copy = copy;
    Pull p = {in, &one, 1, in + 1, n->nin - 1, dx};
    return autodiff_pull(g, &p, d);
}

/* ---- the pass */

/* A node as it is, or a loop with another body; NULL: that failed, and is reported. */
typedef Graph *BodyFn(const Graph *body, Arena *scratch, Diag *diag);
static bool with_body(const Node *n, BodyFn *fn, Arena *scratch, Diag *diag, Node *out) {
    *out = *n;
    if (n->op == OP_scan) out->attr.scan.body = fn(n->attr.scan.body, scratch, diag);
    return n->op != OP_scan || out->attr.scan.body;
}

static Graph *expand_grads(const Graph *from, Arena *scratch, Diag *diag) {
    Graph *g = graph_new(from->arena, from->name);
    RefMap map = refmap_new(scratch, from);
    bool *reached = graph_reached(from, scratch), ok = true;
    for (uint32_t i = 0; i < from->n && ok; i++) {
        Node n;
        if (!reached[i]) continue;
        Ref *in = refmap_inputs(&map, from->node[i], scratch);
        if (from->node[i]->op == OP_grad)
            ok = expand_grad(g, from->node[i], in, &map.at[map.first[i]], diag);
        else if ((ok = with_body(from->node[i], expand_grads, scratch, diag, &n)))
            refmap_set_node(&map, from, i, graph_copy_node(g, &n, in));
    }
    if (ok) refmap_outputs(&map, from, g);
    return ok ? g : NULL;
}

/* Regions have done their work, so equal values of different regions may be one again; copies stay
 * apart. */
static Graph *remove_stops(const Graph *from, Arena *scratch, Diag *diag) {
    Graph *g = graph_new(from->arena, from->name);
    RefMap map = refmap_new(scratch, from);
    bool *reached = graph_reached(from, scratch);
    for (uint32_t i = 0; i < from->n; i++) {
        Node n;
        if (!reached[i]) continue;
        Ref *in = refmap_inputs(&map, from->node[i], scratch);
        with_body(from->node[i], remove_stops, scratch, diag, &n);
        n.region = 0;
        refmap_set_node(&map, from, i, n.op == OP_stop ? in[0] : graph_copy_node(g, &n, in));
    }
    refmap_outputs(&map, from, g);
    return g;
}

static Graph *differentiate(const Program *p, const Graph *from, PassCx *cx) {
    (void)p;
    Arena *scratch = arena_new();
    Graph *g = expand_grads(from, scratch, cx->diag);
    if (g) g = remove_stops(g, scratch, cx->diag);
    arena_free(scratch);
    return g;
}

Program *pass_autodiff(const Program *in, PassCx *cx) {
    return program_map(in, cx, differentiate);
}
