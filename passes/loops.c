/* What passes do with loops: the same to their bodies as to graphs, leaving out results that nobody
 * reads, and writing them out turn by turn where a pass has to see every turn. */
#include <string.h>

#include "ir/loop.h"
#include "passes/internal.h"

bool has_loops(const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == OP_scan) return true;
    return false;
}

/* The same nodes at the same places in the source: a profile tells them apart by those. */
static bool same_body(const Graph *a, const Graph *b) {
    if (a == b) return true;
    if (!graph_same(a, b)) return false;
    for (size_t i = 0; i < a->n; i++) {
        const Node *x = a->node[i], *y = b->node[i];
        if (memcmp(&x->span, &y->span, sizeof x->span)) return false;
        if (op_has_body(x->op) && !same_body(x->attr.body, y->attr.body)) return false;
    }
    return true;
}

typedef struct Mapped {
    const Graph *from;
    Graph *to;
} Mapped;
typedef VEC(Mapped) MappedList;

/* Equal layers have equal bodies: one of them is mapped. */
static Graph *map_body(const Program *p, const Graph *body, PassCx *cx, GraphFn *fn,
                       MappedList *done, Arena *scratch) {
    for (size_t i = 0; i < done->n; i++)
        if (same_body(done->at[i].from, body)) return done->at[i].to;
    Graph *to = fn(p, body, cx);
    vec_push(scratch, done, (Mapped){body, to});
    return to;
}

Graph *loops_map(const Program *p, const Graph *g, PassCx *cx, GraphFn *fn) {
    if (!has_loops(g)) return (Graph *)g; /* graphs do not change any more */
    Arena *scratch = arena_new();
    MappedList done = {0};
    Graph *to = graph_new(g->arena, g->name);
    RefMap map = refmap_new(scratch, g);
    bool ok = true;
    for (uint32_t i = 0; i < g->n && ok; i++) {
        Node n = *g->node[i];
        Graph *body =
            n.op == OP_scan ? map_body(p, n.attr.scan.body, cx, fn, &done, scratch) : NULL;
        if (n.op == OP_scan) ok = (n.attr.scan.body = body);
        if (ok)
            refmap_set_node(&map, g, i, graph_copy_node(to, &n, refmap_inputs(&map, &n, scratch)));
    }
    if (ok) refmap_outputs(&map, g, to);
    arena_free(scratch);
    return ok ? to : NULL;
}

static bool mixes(const Graph *g, const Node *n) {
    for (int k = 0; k < n->nin; k++)
        for (int o = 0; o < n->nout && graph_type(g, n->in[k])->batch_axis >= 0; o++)
            if (n->type[o].batch_axis < 0) return true;
    return n->op == OP_scan && loops_mix(n->attr.scan.body);
}

bool loops_mix(const Graph *g) {
    for (size_t i = 0; i < g->n; i++) {
        const Graph *body = g->node[i]->op == OP_scan ? g->node[i]->attr.scan.body : NULL;
        for (size_t k = 0; body && k < body->n; k++)
            if (mixes(body, body->node[k])) return true;
    }
    return false;
}

/* ---- results that are read */

static bool **results_read(const Graph *g, Arena *scratch) {
    bool **read = NEW_N(scratch, bool *, g->n + 1);
    const bool *reached = graph_reached(g, scratch);
    for (size_t i = 0; i < g->n; i++) read[i] = NEW_N(scratch, bool, g->node[i]->nout + 1);
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; reached[i] && k < g->node[i]->nin; k++)
            read[g->node[i]->in[k].node][g->node[i]->in[k].out] = true;
    for (size_t i = 0; i < g->nout; i++) read[g->out[i].ref.node][g->out[i].ref.out] = true;
    return read;
}

static void trim(Graph *to, const Graph *g, uint32_t i, const bool *read, RefMap *map,
                 Arena *scratch) {
    const Node *n = g->node[i];
    int *number = NEW_N(scratch, int, n->nout);
    Ref loop = loop_trim(to, n, refmap_inputs(map, n, scratch), read, number);
    for (int o = 0; o < n->nout; o++)
        if (o < n->attr.scan.carries || read[o])
            refmap_set(map, (Ref){i, (uint32_t)o}, (Ref){loop.node, (uint32_t)number[o]});
}

Graph *loops_trim(Graph *g) {
    if (!has_loops(g)) return g;
    Arena *scratch = arena_new();
    Graph *to = graph_new(g->arena, g->name);
    RefMap map = refmap_new(scratch, g);
    bool **read = results_read(g, scratch), *reached = graph_reached(g, scratch);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (!reached[i]) continue;
        if (n->op == OP_scan)
            trim(to, g, i, read[i], &map, scratch);
        else
            refmap_set_node(&map, g, i, graph_copy_node(to, n, refmap_inputs(&map, n, scratch)));
    }
    refmap_outputs(&map, g, to);
    Graph *out = graph_prune(g->arena, to, g->name, NULL);
    arena_free(scratch);
    return out;
}

/* ---- turn by turn */

/* The body with the random numbers of a turn; it lies in so many loops more that are none of it. */
static Graph *body_in_turn(const Graph *body, int loops, int64_t turn, Arena *scratch) {
    Graph *to = graph_new(scratch, body->name);
    RefMap map = refmap_new(scratch, body);
    for (uint32_t i = 0; i < body->n; i++) {
        Node n = *body->node[i];
        if (op_info[n.op].flags & FLAG_RANDOM) random_in_turn(&n.attr, loops, turn);
        if (n.op == OP_scan)
            n.attr.scan.body = body_in_turn(n.attr.scan.body, loops + 1, turn, scratch);
        refmap_set_node(&map, body, i, graph_copy_node(to, &n, refmap_inputs(&map, &n, scratch)));
    }
    refmap_outputs(&map, body, to);
    return to;
}

static Ref place_of(Graph *to, Ref all, int64_t turn, Span at) {
    Type t = *graph_type(to, all), place = type_place(&t);
    Attr a = {.slice.rank = t.rank};
    for (int i = 0; i < t.rank; i++) {
        a.slice.step[i] = 1;
        a.slice.size[i] = i ? t.dim[i] : 1;
    }
    a.slice.start[0] = turn;
    Ref x = graph_add(to, OP_slice, &a, &all, 1, NULL, at);
    return g_reshape(to, x, place.rank, place.dim, at);
}

static Ref stack(Graph *to, const Ref *part, int n, const Type *all, Arena *scratch, Span at) {
    Ref *in = NEW_N(scratch, Ref, n);
    int64_t dim[RANK] = {1};
    for (int i = 1; i < all->rank; i++) dim[i] = all->dim[i];
    for (int t = 0; t < n; t++) in[t] = g_reshape(to, part[t], all->rank, dim, at);
    return n == 1 ? in[0] : graph_add(to, OP_concat, &(Attr){.axis = 0}, in, n, NULL, at);
}

/* Results of all turns, by result and place; a total has the last turn's alone. */
static Ref **all_turns(Graph *to, const Node *n, const Graph *body, const Ref *in, Arena *scratch) {
    int carries = n->attr.scan.carries, totals = n->attr.scan.totals,
        length = (int)graph_type(to, in[carries])->dim[0];
    Ref *arg = arena_memdup(scratch, in, (size_t)n->nin * sizeof *in);
    Ref *out = NEW_N(scratch, Ref, n->nout), **all = NEW_N(scratch, Ref *, n->nout);
    for (int o = 0; o < n->nout; o++) all[o] = NEW_N(scratch, Ref, length);
    for (int turn = 0; turn < length; turn++) {
        int at = n->attr.scan.reverse ? length - 1 - turn : turn;
        for (int i = carries; i < carries + n->attr.scan.slices; i++)
            arg[i] = place_of(to, in[i], at, n->span);
        body_inline(scratch, to, body_in_turn(body, 0, at, scratch), arg, out);
        for (int o = 0; o < n->nout; o++) all[o][o < totals ? 0 : at] = out[o];
        for (int i = 0; i < carries; i++) arg[i] = out[i];
    }
    return all;
}

/* Do loops within draw numbers that depend on this loop's turn? Only a loop's own numbers are those
 * of one turn: places are mixed with turns from the inner one out. */
static bool mixes_within(const Graph *body, int loops) {
    for (size_t i = 0; i < body->n; i++) {
        const Node *n = body->node[i];
        bool random = op_info[n->op].flags & FLAG_RANDOM;
        if (loops && random && n->attr.random.loops <= loops) return true;
        if (n->op == OP_scan && mixes_within(n->attr.scan.body, loops + 1)) return true;
    }
    return false;
}

/* Loops of at most so many turns. */
static Graph *write_out(Graph *g, int64_t most) {
    if (!has_loops(g)) return g;
    Arena *scratch = arena_new();
    Graph *to = graph_new(g->arena, g->name);
    RefMap map = refmap_new(scratch, g);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        Ref *in = refmap_inputs(&map, n, scratch), **all = NULL;
        bool few = n->op == OP_scan && scan_turns(g, n) <= most;
        Graph *body = few ? write_out(n->attr.scan.body, most) : NULL;
        if (body && !mixes_within(body, 0)) all = all_turns(to, n, body, in, scratch);
        if (!all) refmap_set_node(&map, g, i, graph_copy_node(to, n, in));
        for (uint32_t o = 0; all && o < (uint32_t)n->nout; o++)
            refmap_set(&map, (Ref){i, o},
                       (int)o < n->attr.scan.totals ? all[o][0]
                                                    : stack(to, all[o], (int)n->type[o].dim[0],
                                                            &n->type[o], scratch, n->span));
    }
    refmap_outputs(&map, g, to);
    arena_free(scratch);
    return to;
}

Graph *loops_unroll(Graph *g) {
    return write_out(g, INT64_MAX);
}

static bool has_turn(const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == OP_scan && scan_turns(g, g->node[i]) == 1) return true;
    return false;
}

Graph *loops_flatten(const Program *p, Graph *g, PassCx *cx) {
    return has_turn(g) ? simplify_graph(p, write_out(g, 1), cx) : g;
}
