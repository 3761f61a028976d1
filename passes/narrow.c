/* narrow: computes only the rows that are asked for. Where every reader of a value picks rows of it
 * along one axis (take, slice), the picking moves towards the inputs, past all that treats those
 * rows one by one; before autodiff, so the gradient is as narrow. A sweep from the outputs back
 * finds what the readers of each value ask for: all, or the same rows, of which a twin is built.
 * What only reports read asks for nothing: a report must not change the training. Limits: at most
 * half of the rows, and a product must get smaller, or one pass over memory gives way to others;
 * what an index is computed from stays whole; random values keep their places, and masks are picked
 * from.
 */
#include <string.h>

#include "passes/internal.h"

enum { UNASKED = -1, WHOLE = -2 }; /* Demand.rows */
enum { ABSENT = -1, MIXED = -2 };  /* in place of an axis */
enum { MOST_PARTS = 16 };          /* takes and slices of one value */

/* What the readers of a value ask for: rows, and where the axes of the picking lie in the value. */
typedef struct Demand {
    int rows, axis, lead[RANK];
} Demand;

/* All that is picked from one value: parts one after another. Its index is i32[lead..., count]. */
typedef struct Rows {
    uint32_t of;
    int axis, nlead; /* in `of`; its first axes are the leading ones */
    int64_t count;
    bool pays; /* a product gets smaller */
    int npart;
    uint32_t part[MOST_PARTS]; /* takes and slices */
    Ref index;                 /* in the new graph, once made; none for a single slice */
} Rows;

typedef struct Narrow {
    const Graph *from;
    Graph *g;
    Arena *scratch;
    const bool *asks; /* by node: whether what it reads has to be there */
    bool *pinned;     /* by node: an index is computed from it */
    bool *uniform;    /* by node: computed from constants alone, so that all rows are alike */
    Demand *demand;   /* by node */
    VEC(Rows) rows;
    RefMap value; /* whole values in the new graph */
    Ref *twin;    /* by node: its rows */
} Narrow;

/* ---- axes of inputs */

static int axis_before_reshape(const Type *from, const Type *to, int axis) {
    int64_t before = 1, here = 1;
    for (int i = 0; i < axis; i++) before *= to->dim[i];
    for (int i = 0; i < from->rank; here *= from->dim[i++])
        if (here == before && from->dim[i] == to->dim[axis]) return i;
    return MIXED;
}

static int axis_of_label(const char *labels, char c) {
    const char *at = strchr(labels, c);
    return at ? (int)(at - labels) : ABSENT;
}

static int axis_before_take(const Graph *g, const Node *take, int k, int axis) {
    int lead = take->attr.axis, index_rank = graph_type(g, take->in[1])->rank;
    if (k == 1) return axis < index_rank ? axis : ABSENT;
    if (axis < lead) return axis;
    return axis < index_rank ? ABSENT : axis - index_rank + lead + 1;
}

static bool is_pointwise(Op op) {
    return (op_info[op].lower == LOWER_MAP && op != OP_fused) || op == OP_stop || op == OP_expand;
}

static int axis_before_broadcast(const Type *from, const Type *to, int axis) {
    int at = axis - (to->rank - from->rank);
    return at < 0 || from->dim[at] != to->dim[axis] ? ABSENT : at;
}

/* Where `axis` of the result lies in input k, if each of its rows is made from the same row. */
static int axis_in_input(const Graph *g, const Node *n, int k, int axis) {
    const Type *from = graph_type(g, n->in[k]), *to = &n->type[0];
    int at = axis;
    if (is_pointwise(n->op)) return axis_before_broadcast(from, to, axis);
    switch (n->op) {
    case OP_reshape: return axis_before_reshape(from, to, axis);
    case OP_transpose: return n->attr.perm.axis[axis];
    case OP_dot:
        return axis_of_label(k == 0 ? n->attr.dot.a : n->attr.dot.b, n->attr.dot.out[axis]);
    case OP_take: return axis_before_take(g, n, k, axis);
    case OP_slice: at = n->attr.slice.step[axis] > 0 ? axis : MIXED; break;
    case OP_concat: at = n->attr.axis == axis ? MIXED : axis; break;
    case OP_pad:
    case OP_sum:
    case OP_max:
    case OP_min:
    case OP_argmax: break;
    default: return MIXED;
    }
    return at >= 0 && from->dim[at] == to->dim[axis] ? at : MIXED;
}

/* ---- what a narrow node asks of its inputs */

/* ASK_spread: rows that differ among leading axes which the input lacks. */
typedef enum Ask { ASK_whole, ASK_rows, ASK_spread, ASK_never } Ask;

/* Of input k, where `out` is asked of the node; fills `in` for ASK_rows. */
static Ask ask_of_input(const Narrow *c, const Node *n, int k, const Demand *out, Demand *in) {
    int nlead = c->rows.at[out->rows].nlead, found = 0;
    unsigned taken = 0;
    *in = (Demand){.rows = out->rows, .axis = axis_in_input(c->from, n, k, out->axis)};
    if (in->axis < 0) return in->axis == ABSENT ? ASK_whole : ASK_never;
    for (int i = 0; i < nlead; i++) {
        int at = in->lead[i] = axis_in_input(c->from, n, k, out->lead[i]);
        if (at == MIXED || (at >= 0 && taken >> at & 1)) return ASK_never;
        if (at >= 0) taken |= 1u << at;
        found += at >= 0;
    }
    if (found == nlead) return ASK_rows;
    return found == 0 && is_pointwise(n->op) ? ASK_spread : ASK_never;
}

static bool is_random(const Graph *g, Ref r) {
    return op_info[graph_node(g, r)->op].flags & FLAG_RANDOM;
}

/* Can node `i` have a twin of the rows asked of it? Masks stay whole rather than the random numbers
 * that they come from. */
static bool has_twin(const Narrow *c, uint32_t i) {
    const Node *n = c->from->node[i];
    const Demand *d = &c->demand[i];
    Demand in;
    if (c->pinned[i] || n->nout != 1) return false;
    if (n->nin == 0) return n->op == OP_const || (n->op == OP_iota && n->attr.axis != d->axis);
    for (int k = 0; k < n->nin; k++)
        if (is_random(c->from, n->in[k]) || ask_of_input(c, n, k, d, &in) == ASK_never)
            return false;
    return true;
}

/* ---- what is picked from a value */

/* The axis along which a node picks rows of its first input; ABSENT: it does something else. */
static int picked_axis(const Graph *g, const Node *n) {
    if (n->op == OP_take) return n->attr.axis;
    int axis = ABSENT;
    for (int i = 0; n->op == OP_slice && i < n->type[0].rank; i++) {
        bool whole =
            n->attr.slice.step[i] > 0 && n->type[0].dim[i] == graph_type(g, n->in[0])->dim[i];
        if (whole) continue;
        if (axis >= 0) return ABSENT;
        axis = i;
    }
    return axis;
}

static int64_t picked_count(const Graph *g, const Node *n) {
    if (n->op == OP_slice) return n->type[0].dim[picked_axis(g, n)];
    const Type *index = graph_type(g, n->in[1]);
    int64_t count = 1;
    for (int i = n->attr.axis; i < index->rank; i++) count *= index->dim[i];
    return count;
}

static void start_rows(Narrow *c, uint32_t of, int axis) {
    Rows rows = {.of = of, .axis = axis, .index = REF_NONE};
    Demand d = {.rows = (int)c->rows.n, .axis = axis};
    for (int i = 0; i < axis; i++) d.lead[i] = i;
    vec_push(c->scratch, &c->rows, rows);
    c->demand[of] = d;
}

static void ask_part(Narrow *c, uint32_t part, int axis) {
    const Node *n = c->from->node[part];
    uint32_t of = n->in[0].node;
    Demand *d = &c->demand[of];
    if (d->rows == UNASKED) start_rows(c, of, axis);
    Rows *rows = d->rows >= 0 ? &c->rows.at[d->rows] : NULL;
    if (!rows || rows->of != of || rows->axis != axis || rows->npart == MOST_PARTS) {
        d->rows = WHOLE;
        return;
    }
    rows->part[rows->npart++] = part;
    rows->count += picked_count(c->from, n);
    bool one_slice = rows->npart == 1 && n->op == OP_slice;
    rows->nlead = one_slice ? 0 : axis;
}

/* ---- the sweep */

static bool *asking_nodes(const Graph *g, Arena *scratch) {
    bool *asks = NEW_N(scratch, bool, g->n + 1), trains = false;
    for (size_t i = 0; i < g->nout; i++)
        trains |= g->out[i].kind == OUT_state || g->out[i].kind == OUT_loss;
    for (size_t i = 0; i < g->nout; i++) {
        bool quiet = g->out[i].kind == OUT_state || g->out[i].kind == OUT_loss;
        asks[g->out[i].ref.node] |= quiet || !trains;
    }
    for (size_t i = g->n; i-- > 0;)
        for (int k = 0; asks[i] && k < g->node[i]->nin; k++) asks[g->node[i]->in[k].node] = true;
    return asks;
}

static bool *index_nodes(const Graph *g, const bool *asks, Arena *scratch) {
    bool *pinned = NEW_N(scratch, bool, g->n + 1);
    for (size_t i = g->n; i-- > 0;) {
        const Node *n = g->node[i];
        bool picks = asks[i] && n->op == OP_take && graph_node(g, n->in[0])->nin > 0;
        for (int k = 0; k < n->nin; k++) pinned[n->in[k].node] |= pinned[i] || (picks && k == 1);
    }
    return pinned;
}

static bool *uniform_nodes(const Graph *g, Arena *scratch) {
    bool *uniform = NEW_N(scratch, bool, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        Lower lower = op_info[n->op].lower;
        bool even = n->nin > 0 && (is_pointwise(n->op) || lower == LOWER_REDUCE ||
                                   (lower == LOWER_VIEW && n->op != OP_pad && n->op != OP_concat));
        for (int k = 0; k < n->nin; k++) even = even && uniform[n->in[k].node];
        uniform[i] = even || n->op == OP_const;
    }
    return uniform;
}

static void ask(Narrow *c, Ref r, const Demand *d) {
    Demand *have = &c->demand[r.node];
    if (have->rows == UNASKED)
        *have = *d;
    else if (memcmp(have, d, sizeof *d) != 0)
        have->rows = WHOLE;
}

/* Samples are not rows: a part of the batch stays where it is picked. */
static bool is_few(const Narrow *c, uint32_t i) {
    const Rows *rows = &c->rows.at[c->demand[i].rows];
    const Type *t = &c->from->node[i]->type[0];
    if (rows->of != i) return true;
    return t->batch_axis != rows->axis && rows->count <= t->dim[rows->axis] / 2;
}

static void ask_inputs(Narrow *c, uint32_t i) {
    static const Demand whole = {.rows = WHOLE};
    const Node *n = c->from->node[i];
    const Demand *d = &c->demand[i];
    int axis = picked_axis(c->from, n);
    Demand in;
    for (int k = 0; k < n->nin; k++) {
        if (d->rows < 0 && k == 0 && axis >= 0)
            ask_part(c, i, axis);
        else if (d->rows >= 0 && ask_of_input(c, n, k, d, &in) == ASK_rows)
            ask(c, n->in[k], &in);
        else
            ask(c, n->in[k], &whole);
    }
}

/* Readers come later in the graph, so each node has heard all of them when its turn comes. */
static void sweep(Narrow *c) {
    const Graph *g = c->from;
    for (size_t i = 0; i < g->n; i++) c->demand[i] = (Demand){.rows = UNASKED};
    for (size_t i = 0; i < g->nout; i++)
        if (c->asks[g->out[i].ref.node]) c->demand[g->out[i].ref.node].rows = WHOLE;
    for (uint32_t i = (uint32_t)g->n; i-- > 0;) {
        Demand *d = &c->demand[i];
        if (!c->asks[i]) continue;
        if (d->rows >= 0 && !(is_few(c, i) && has_twin(c, i))) d->rows = WHOLE;
        if (d->rows >= 0 && g->node[i]->op == OP_dot) c->rows.at[d->rows].pays = true;
        ask_inputs(c, i);
    }
}

/* ---- the new graph */

static bool is_narrow(const Narrow *c, uint32_t i) {
    return c->demand[i].rows >= 0 && c->rows.at[c->demand[i].rows].pays;
}

/* The index of one part, i32[lead..., rows of it], its leading axes marked as those of the value.
 */
static Ref index_of_part(Narrow *c, const Rows *rows, const Node *part) {
    Type t = *graph_type(c->from, (Ref){rows->of, 0});
    t.dtype = DT_i32;
    t.rank = (int8_t)(rows->nlead + 1);
    t.dim[rows->nlead] = picked_count(c->from, part);
    if (t.batch_axis > rows->nlead) t.batch_axis = NO_BATCH;
    Span at = part->span;
    if (part->op == OP_take)
        return g_reshape(c->g, refmap_get(&c->value, part->in[1]), t.rank, t.dim, at);
    Ref i = graph_add(c->g, OP_iota, &(Attr){.axis = rows->nlead}, NULL, 0, &t, at);
    Ref step = g_const(c->g, DT_i32, (double)part->attr.slice.step[rows->axis], at);
    Ref start = g_const(c->g, DT_i32, (double)part->attr.slice.start[rows->axis], at);
    return g_binary(c->g, OP_add, g_binary(c->g, OP_mul, i, step, at), start, at);
}

static Ref index_of(Narrow *c, Rows *rows) {
    Ref in[MOST_PARTS];
    if (ref_is(rows->index)) return rows->index;
    for (int i = 0; i < rows->npart; i++)
        in[i] = index_of_part(c, rows, c->from->node[rows->part[i]]);
    Attr a = {.axis = rows->nlead};
    Span at = c->from->node[rows->part[0]]->span;
    rows->index =
        rows->npart == 1 ? in[0] : graph_add(c->g, OP_concat, &a, in, rows->npart, NULL, at);
    return rows->index;
}

/* `size` elements along one axis. */
static Ref slice_axis(Graph *g, Ref x, int axis, int64_t start, int64_t step, int64_t size,
                      Span at) {
    const Type *t = graph_type(g, x);
    Attr a = {.slice.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        a.slice.step[i] = 1;
        a.slice.size[i] = t->dim[i];
    }
    a.slice.start[axis] = start;
    a.slice.step[axis] = step;
    a.slice.size[axis] = size;
    return graph_add(g, OP_slice, &a, &x, 1, NULL, at);
}

/* Leading axes first, then the one that is picked along. */
static void order_axes(const Demand *d, int nlead, int rank, int *perm) {
    int n = 0;
    unsigned taken = 1u << d->axis;
    for (int i = 0; i < nlead; i++) {
        perm[n++] = d->lead[i];
        taken |= 1u << d->lead[i];
    }
    perm[n++] = d->axis;
    for (int i = 0; i < rank; i++)
        if (!(taken >> i & 1)) perm[n++] = i;
}

/* The rows of a whole value. */
static Ref pick(Narrow *c, Ref x, const Demand *d) {
    Rows *rows = &c->rows.at[d->rows];
    const Node *first = c->from->node[rows->part[0]];
    if (rows->npart == 1 && first->op == OP_slice)
        return slice_axis(c->g, x, d->axis, first->attr.slice.start[rows->axis],
                          first->attr.slice.step[rows->axis], rows->count, first->span);
    int perm[RANK] = {0}, back[RANK] = {0}, rank = graph_type(c->g, x)->rank;
    order_axes(d, rows->nlead, rank, perm);
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    Ref in[2] = {g_transpose(c->g, x, perm, first->span), REF_NONE};
    in[1] = index_of(c, rows);
    Ref few = graph_add(c->g, OP_take, &(Attr){.axis = rows->nlead}, in, 2, NULL, first->span);
    return g_transpose(c->g, few, back, first->span);
}

/* The rows of a whole input that lacks the leading axes of the node's result: looked up in the
 * input without them. */
static Ref pick_spread(Narrow *c, Ref x, const Demand *d, int rank) {
    const Type *t = graph_type(c->g, x);
    Rows *rows = &c->rows.at[d->rows];
    Span at = c->from->node[rows->part[0]]->span;
    int perm[RANK] = {0}, back[RANK] = {0}, few = rank - rows->nlead, more = rank - t->rank;
    int64_t dim[RANK] = {0};
    order_axes(d, rows->nlead, rank, perm);
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    int own[RANK] = {0}, n = 0;
    for (int i = rows->nlead; i < rank; i++)
        if (perm[i] >= more) own[n++] = perm[i] - more;
    for (int i = 0; i < few; i++)
        dim[i] = perm[rows->nlead + i] >= more ? t->dim[perm[rows->nlead + i] - more] : 1;
    for (int i = 0; i < rows->nlead; i++)
        if (d->lead[i] >= more) own[n++] = d->lead[i] - more;
    Ref in[2] = {g_reshape(c->g, g_transpose(c->g, x, own, at), few, dim, at), REF_NONE};
    in[1] = index_of(c, rows);
    return g_transpose(c->g, graph_add(c->g, OP_take, &(Attr){.axis = 0}, in, 2, NULL, at), back,
                       at);
}

static Ref twin_input(Narrow *c, const Node *n, int k, const Demand *d) {
    Demand in;
    Ref r = n->in[k], whole = refmap_get(&c->value, r);
    Ask ask = ask_of_input(c, n, k, d, &in);
    CHECK(ask != ASK_never);
    if (ask == ASK_whole) return whole;
    if (is_narrow(c, r.node)) return c->twin[r.node];
    if (c->uniform[r.node])
        return slice_axis(c->g, whole, in.axis, 0, 1, c->rows.at[d->rows].count, n->span);
    return ask == ASK_rows ? pick(c, whole, &in) : pick_spread(c, whole, d, n->type[0].rank);
}

static Ref make_twin(Narrow *c, uint32_t i) {
    Node n = *c->from->node[i];
    const Demand *d = &c->demand[i];
    int64_t count = c->rows.at[d->rows].count;
    Ref *in = NEW_N(c->scratch, Ref, n.nin + 1);
    for (int k = 0; k < n.nin; k++) in[k] = twin_input(c, &n, k, d);
    Type given = n.type[0];
    given.dim[d->axis] = count;
    n.type = &given;
    if (n.op == OP_reshape || n.op == OP_expand) n.attr.shape.dim[d->axis] = count;
    if (n.op == OP_slice) n.attr.slice.size[d->axis] = count;
    return graph_copy_node(c->g, &n, in);
}

/* The value of a take or slice from the twin of what it picks from; none: it picks from the whole.
 */
static Ref part_of_twin(Narrow *c, uint32_t i) {
    const Node *n = c->from->node[i];
    if (!c->asks[i] || picked_axis(c->from, n) < 0 || !is_narrow(c, n->in[0].node)) return REF_NONE;
    const Rows *rows = &c->rows.at[c->demand[n->in[0].node].rows];
    int64_t start = 0;
    int p = 0;
    for (; p < rows->npart && rows->part[p] != i; p++)
        start += picked_count(c->from, c->from->node[rows->part[p]]);
    if (p == rows->npart) return REF_NONE;
    Ref x = c->twin[n->in[0].node];
    if (rows->npart > 1)
        x = slice_axis(c->g, x, rows->axis, start, 1, picked_count(c->from, n), n->span);
    x = g_reshape(c->g, x, n->type[0].rank, n->type[0].dim, n->span);
    return type_same(graph_type(c->g, x), &n->type[0]) ? x : REF_NONE;
}

static void make_node(Narrow *c, uint32_t i) {
    const Node *n = c->from->node[i];
    c->g->region = n->region;
    c->g->copy = n->copy;
    Ref to = part_of_twin(c, i);
    if (!ref_is(to)) to = graph_copy_node(c->g, n, refmap_inputs(&c->value, n, c->scratch));
    refmap_set_node(&c->value, c->from, i, to);
    if (is_narrow(c, i)) c->twin[i] = make_twin(c, i);
}

/* Indices first, with all that they are computed from: twins of earlier nodes need them. */
static Graph *build(Narrow *c) {
    const Graph *from = c->from;
    const bool *reached = graph_reached(from, c->scratch);
    Graph *g = c->g = graph_new(from->arena, from->name);
    c->value = refmap_new(c->scratch, from);
    c->twin = NEW_N(c->scratch, Ref, from->n + 1);
    for (int early = 1; early >= 0; early--)
        for (uint32_t i = 0; i < from->n; i++)
            if (reached[i] && c->pinned[i] == early) make_node(c, i);
    g->region = g->copy = 0;
    refmap_outputs(&c->value, from, g);
    return graph_prune(from->arena, g, from->name, NULL);
}

static Graph *narrow_graph(const Program *p, const Graph *from, PassCx *cx) {
    (void)p, (void)cx;
    Narrow c = {.from = from, .scratch = arena_new()};
    c.asks = asking_nodes(from, c.scratch);
    c.pinned = index_nodes(from, c.asks, c.scratch);
    c.uniform = uniform_nodes(from, c.scratch);
    c.demand = NEW_N(c.scratch, Demand, from->n + 1);
    sweep(&c);
    bool pays = false;
    for (size_t i = 0; i < c.rows.n; i++) pays |= c.rows.at[i].pays;
    Graph *g = pays ? build(&c) : graph_prune(from->arena, from, from->name, NULL);
    arena_free(c.scratch);
    return g;
}

Program *pass_narrow(const Program *in, PassCx *cx) {
    return program_map(in, cx, narrow_graph);
}
