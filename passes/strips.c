/* strips: large values that are made and used up row by row, such as logits over a vocabulary and
 * the scores of attention, are never whole in memory. What has to do with their rows becomes a loop
 * over strips of them (strips_region.c says of which, strips_loop.c how): products and kernels for
 * the rows of a strip, while products that sum over all rows add up. The results are the same, but
 * for the order of those sums. A strip is sized so that it stays in the caches.
 *
 * The pass stands behind micro, whose accumulators the sums then start from, and before accumulate
 * and fuse, which see what a strip does as they see any graph. In the bodies of loops it looks for
 * strips again, so a batch of large values comes to be cut by samples and those by rows. */
#include "passes/strips.h"

typedef struct Find {
    Arena *arena;
    const Graph *g;
    int64_t strip;
    Region from; /* what all regions of the graph have in common */
} Find;

static bool *made_of_indices(Arena *a, const Graph *g) {
    bool *index = NEW_N(a, bool, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        Lower lower = op_info[n->op].lower;
        index[i] = n->op == OP_const || n->op == OP_iota;
        if (!n->nin || n->nout != 1 || (lower != LOWER_MAP && lower != LOWER_VIEW)) continue;
        index[i] = n->op != OP_pad && n->op != OP_concat;
        for (int k = 0; k < n->nin; k++) index[i] = index[i] && index[n->in[k].node];
    }
    return index;
}

/* Of what comes to the outputs `out`; `reports`: of what comes to the others alone. */
static Find find_new(Arena *a, const Graph *g, const bool *out, bool reports, int64_t strip) {
    bool *quiet = reached_by(a, g, out), *rest = graph_reached(g, a);
    bool *none = NEW_N(a, bool, g->n + 1), *output = NEW_N(a, bool, g->n + 1);
    for (size_t i = 0; i < g->n; i++) rest[i] = rest[i] && !quiet[i];
    for (size_t i = 0; i < g->nout; i++) output[g->out[i].ref.node] |= out[i] != reports;
    bool *of = reports ? rest : quiet;
    Find f = {.arena = a, .g = g, .strip = strip};
    f.from =
        (Region){.arena = a, .g = g, .of = of, .report = reports ? none : rest, .output = output};
    f.from.index = made_of_indices(a, g);
    f.from.user = NEW_N(a, NodeList, g->n + 1);
    for (uint32_t i = 0; i < g->n; i++)
        for (int k = 0; of[i] && k < g->node[i]->nin; k++)
            vec_push(a, &f.from.user[g->node[i]->in[k].node], i);
    return f;
}

/* Strips of what has fewer bytes take as long or a little longer than the whole, unless columns are
 * left out. They pay nevertheless where a later phase would keep far more than what it is made of:
 * scores of long texts. */
static const int64_t WORTH = 256 << 20;

static bool is_worth(const Find *f, uint32_t seed) {
    const Type *t = &f->g->node[seed]->type[0];
    return f->strip || type_count(t) * (int64_t)dtype_size(t->dtype) >= WORTH;
}

/* The region around the product along that axis of it for which least is computed twice, and least
 * has to be moved. */
static bool find_around(const Find *f, uint32_t seed, Region *best) {
    int64_t moves = -1;
    bool worth = is_worth(f, seed);
    for (int axis = 0; axis < f->g->node[seed]->type[0].rank; axis++) {
        Region r = f->from;
        if (!region_find(&r, seed, axis, f->strip)) continue;
        worth = worth || r.segments > 1 || region_spares(&r);
        int64_t now = region_moves(&r);
        bool better = moves < 0 || r.phases < best->phases;
        if (!better && (r.phases > best->phases || now >= moves)) continue;
        moves = now;
        *best = r;
    }
    return worth && moves >= 0;
}

/* The graph with one region more in loops, in arena `to`; NULL: there is none. */
static Graph *next_graph(const Graph *g, const bool *out, bool reports, int64_t strip, Arena *to) {
    Arena *a = arena_new();
    Find f = find_new(a, g, out, reports, strip);
    Graph *next = NULL;
    Region r;
    for (uint32_t i = 0; i < g->n && !next; i++)
        if (f.from.of[i] && g->node[i]->op == OP_dot && find_around(&f, i, &r))
            next = region_loops(&r, to);
    arena_free(a);
    return next;
}

/* One after another; of the graphs between, none stays. */
static Graph *all_regions(const Program *p, Graph *g, const bool *out, bool reports, PassCx *cx) {
    Graph *from = g, *next;
    for (Arena *of_g = NULL, *a;; of_g = a, g = next) {
        next = next_graph(g, out, reports, cx->strip, a = arena_new());
        if (!next && g != from) g = simplify_graph(p, graph_prune(cx->arena, g, g->name, NULL), cx);
        arena_free(of_g);
        if (next) continue;
        arena_free(a);
        return g;
    }
}

static GraphFn strips_body;

/* Strips of bodies; where one strip is all there is, its loop goes. */
static Graph *strips_below(const Program *p, Graph *g, PassCx *cx) {
    Graph *to = loops_map(p, g, cx, strips_body);
    return to ? loops_flatten(p, to, cx) : NULL;
}

static Graph *strips_body(const Program *p, const Graph *g, PassCx *cx) {
    Arena *a = arena_new();
    bool *all = NEW_N(a, bool, g->nout + 1);
    for (size_t i = 0; i < g->nout; i++) all[i] = true;
    Graph *to = all_regions(p, (Graph *)g, all, false, cx);
    arena_free(a);
    return strips_below(p, to, cx);
}

/* Reports change no bit of the training: what it does is cut without a look at them. */
static bool strips_step(const Program *p, Graph **step, Graph **logged, PassCx *cx) {
    Arena *a = arena_new();
    const bool *quiet = quiet_outputs(a, *logged, *step);
    Graph *g = all_regions(p, *logged, quiet, false, cx);
    *logged = strips_below(p, all_regions(p, g, quiet, true, cx), cx);
    if (*logged) *step = graph_keep(cx->arena, *logged, quiet);
    arena_free(a);
    return *logged != NULL;
}

static bool strips_entry(const Program *p, Entry *e, PassCx *cx) {
    bool steps = e->kind == ENTRY_train && e->step && e->logged, ok = true;
    bool pieces = e->kind == ENTRY_train && e->piece && e->piece_logged;
    if (steps) ok = strips_step(p, &e->step, &e->logged, cx);
    if (pieces) ok = strips_step(p, &e->piece, &e->piece_logged, cx) && ok;
    for (int k = 0; k < ENTRY_GRAPHS && ok; k++) {
        bool done = k < ENTRY_PIECES ? steps : pieces && e->graph[k] != e->ahead;
        if (e->graph[k] && !done) ok = (e->graph[k] = strips_body(p, e->graph[k], cx));
    }
    return ok;
}

Program *pass_strips(const Program *in, PassCx *cx) {
    Program *p = program_like(in);
    bool ok = true;
    for (size_t i = 0; i < p->nentry; i++) ok = strips_entry(in, &p->entry[i], cx) && ok;
    return ok ? p : NULL;
}
