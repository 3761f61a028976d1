/* The graphs of a step in pieces. In the graph of a piece the batch's axes are shorter by the
 * number of pieces; values that are known at any time and lie along the batch are narrowed to the
 * rows of the piece. */
#include "passes/micro.h"

#include <string.h>

typedef struct Builder {
    Micro *m;
    Part part;
    Graph *g;
    const bool *needed;  /* by node: what the sums of this part come from */
    RefMap map;          /* values as they are in this graph */
    RefMap narrow[RANK]; /* by axis: those of a piece's rows along it */
    bool has_narrow[RANK];
} Builder;

/* ---- the rows of a piece */

static Type narrow_type(const Builder *b, const Type *t, int axis) {
    Type r = *t;
    r.dim[axis] /= b->m->pieces;
    r.batch_axis = (int8_t)axis;
    return r;
}

/* The numbers that the piece's rows have in the whole batch, as indices along `axis` of a value
 * that is `t` whole: i32, t's leading axes and this one. */
static Ref row_numbers(const Builder *b, const Type *t, int axis, Span at) {
    Type n = narrow_type(b, t, axis);
    n.dtype = DT_i32;
    n.rank = (int8_t)(axis + 1);
    return graph_add(b->g, OP_iota, &(Attr){.axis = axis}, NULL, 0, &n, at);
}

static Ref take_rows(const Builder *b, Ref whole, int axis, Span at) {
    Ref rows = row_numbers(b, graph_type(b->g, whole), axis, at);
    return graph_add(b->g, OP_take, &(Attr){.axis = axis}, (Ref[]){whole, rows}, 2, NULL, at);
}

static Ref narrowed(Builder *b, Ref r, int axis);

/* A leaf whose elements know their place goes on from piece to piece along its batch axis. */
static bool counts_on(const Node *n) {
    if (n->op == OP_const || n->op == OP_iota || n->op == OP_live || n->op == OP_field) return true;
    return n->op != OP_permutation && (op_info[n->op].flags & FLAG_RANDOM);
}

static Ref narrow_leaf(const Builder *b, const Node *n, int axis) {
    Type t = n->type[0];
    if (counts_on(n)) {
        Attr a = n->attr;
        t = narrow_type(b, &t, axis);
        if (op_info[n->op].flags & FLAG_RANDOM) {
            random_part(&a, &n->type[0]);
            a.random.piece = a.random.stride[axis] * t.dim[axis];
        }
        return graph_add(b->g, n->op, &a, NULL, 0, &t, n->span);
    }
    t.batch_axis = NO_BATCH;
    Ref whole = graph_add(b->g, n->op, &n->attr, NULL, 0, &t, n->span);
    return take_rows(b, whole, axis, n->span);
}

/* Of a pointwise operator's input, aligned at the last axis; -1: it has no rows of its own there.
 */
static int aligned_axis(const Type *in, const Type *out, int axis) {
    int at = axis - (out->rank - in->rank);
    return at >= 0 && in->dim[at] != 1 ? at : -1;
}

static Ref narrow_pointwise(Builder *b, const Node *n, int axis) {
    Ref in[3];
    for (int k = 0; k < n->nin; k++) {
        int at = aligned_axis(graph_type(b->m->from, n->in[k]), n->type, axis);
        in[k] = at < 0 ? refmap_get(&b->map, n->in[k]) : narrowed(b, n->in[k], at);
    }
    return graph_copy_node(b->g, n, in);
}

static Ref narrow_expand(Builder *b, const Node *n, int axis) {
    const Type *in = graph_type(b->m->from, n->in[0]);
    int at = aligned_axis(in, n->type, axis);
    Type t = narrow_type(b, n->type, axis);
    Ref x = at < 0 ? refmap_get(&b->map, n->in[0]) : narrowed(b, n->in[0], at);
    return g_expand(b->g, x, t.rank, t.dim, n->span);
}

static Ref narrow_node(Builder *b, Ref r, int axis) {
    const Node *n = graph_node(b->m->from, r);
    if (n->nin == 0 && n->op != OP_state) return narrow_leaf(b, n, axis);
    if (b->m->known[r.node] != KNOWN_always)
        return take_rows(b, refmap_get(&b->map, r), axis, n->span);
    if (op_info[n->op].lower == LOWER_MAP) return narrow_pointwise(b, n, axis);
    if (n->op == OP_expand) return narrow_expand(b, n, axis);
    return take_rows(b, refmap_get(&b->map, r), axis, n->span);
}

/* The piece's rows of a value that does not belong to the samples. */
static Ref narrowed(Builder *b, Ref r, int axis) {
    if (!b->has_narrow[axis]) b->narrow[axis] = refmap_new(b->m->scratch, b->m->from);
    b->has_narrow[axis] = true;
    Ref done = refmap_get(&b->narrow[axis], r);
    if (ref_is(done)) return done;
    done = narrow_node(b, r, axis);
    refmap_set(&b->narrow[axis], r, done);
    return done;
}

/* ---- along which axis an input lies beside the samples */

static int label_axis(const char *labels, char c) {
    const char *at = strchr(labels, c);
    return at ? (int)(at - labels) : -1;
}

/* Input `k` of a product beside the other one, whose batch axis is known. */
static int dot_axis(const Graph *g, const Node *n, int k) {
    int axis = graph_type(g, n->in[1 - k])->batch_axis;
    const char *own = k ? n->attr.dot.b : n->attr.dot.a, *other = k ? n->attr.dot.a : n->attr.dot.b;
    return axis < 0 ? -1 : label_axis(own, other[axis]);
}

/* Input `k` of take and put, whose rows are x[:a] + i[a:] + x[a+1:]. */
static int table_axis(const Graph *g, const Node *n, int k) {
    int a = n->attr.axis, i_rank = graph_type(g, n->in[1])->rank, rows = -1;
    for (int j = 0; j < n->nin; j++) { /* the batch's place among the axes of the rows */
        int axis = graph_type(g, n->in[j])->batch_axis;
        if (axis < 0) continue;
        rows = j == 0 && axis > a ? axis - a - 1 + i_rank : axis;
    }
    if (k == 1) return rows < i_rank ? rows : -1;
    if (k == 2) return rows;
    return rows < a ? rows : rows >= i_rank ? rows - i_rank + a + 1 : -1;
}

static int lies_along(const Graph *g, const Node *n, int k) {
    Lower lower = op_info[n->op].lower;
    if (n->op == OP_dot) return dot_axis(g, n, k);
    if (lower == LOWER_TABLE && n->nin > 1) return table_axis(g, n, k);
    if (n->op == OP_concat) return n->type[0].batch_axis;
    return lower == LOWER_MAP && n->type[0].batch_axis >= 0
               ? aligned_axis(graph_type(g, n->in[k]), n->type, n->type[0].batch_axis)
               : -1;
}

static Ref piece_input(Builder *b, const Node *n, int k) {
    const Graph *g = b->m->from;
    if (b->m->known[n->in[k].node] == KNOWN_batch) return refmap_get(&b->map, n->in[k]);
    int axis = lies_along(g, n, k);
    bool whole = axis < 0 || graph_type(g, n->in[k])->dim[axis] == 1;
    return whole ? refmap_get(&b->map, n->in[k]) : narrowed(b, n->in[k], axis);
}

static Attr piece_attr(const Builder *b, const Node *n) {
    Attr a = n->attr;
    int axis = n->type[0].batch_axis;
    if (axis < 0) return a;
    if (op_info[n->op].attr == ATTR_SHAPE) a.shape.dim[axis] /= b->m->pieces;
    if (n->op == OP_slice) a.slice.size[axis] /= b->m->pieces;
    return a;
}

/* A node of the samples, for those of a piece. */
static Ref piece_node(Builder *b, const Node *n) {
    if (n->nin == 0) return narrow_leaf(b, n, n->type[0].batch_axis);
    Ref *in = NEW_N(b->m->scratch, Ref, n->nin);
    for (int k = 0; k < n->nin; k++) in[k] = piece_input(b, n, k);
    Attr a = piece_attr(b, n);
    Node to = *n;
    to.attr = a;
    return graph_copy_node(b->g, &to, in);
}

/* ---- accumulators */

static Ref read_accumulator(const Builder *b, uint32_t i) {
    int tensor = b->m->tensor[i];
    return graph_add(b->g, OP_state, &(Attr){.tensor = tensor}, NULL, 0,
                     &b->m->p->tensor[tensor].type, b->m->from->node[i]->span);
}

/* The whole batch's value, after the last piece: put_add's table was left out of the sum. */
static Ref read_root(const Builder *b, uint32_t i) {
    const Node *n = b->m->from->node[i];
    Ref acc = read_accumulator(b, i);
    double zero;
    if (n->op != OP_put_add || b->m->taken[n->in[0].node]) return acc;
    if (const_value(b->m->from, n->in[0], &zero) && zero == 0) return acc;
    return g_binary(b->g, OP_add, refmap_get(&b->map, n->in[0]), acc, n->span);
}

/* `acc` and what the piece adds to sum `i`. */
static Ref add_piece(Builder *b, uint32_t i, Ref acc) {
    const Node *n = b->m->from->node[i];
    if (n->op == OP_add) return add_piece(b, n->in[1].node, add_piece(b, n->in[0].node, acc));
    if (n->op == OP_put_add) {
        if (b->m->taken[n->in[0].node]) acc = add_piece(b, n->in[0].node, acc);
        Ref in[] = {acc, piece_input(b, n, 1), piece_input(b, n, 2)};
        return graph_copy_node(b->g, n, in);
    }
    Op combine = batch_combiner(n->op, n->type[0].dtype);
    Ref part = piece_node(b, n);
    return g_binary(b->g, combine, acc, part, n->span);
}

static void accumulate(Builder *b, uint32_t i) {
    Ref all = add_piece(b, i, read_accumulator(b, i));
    graph_out(b->g, OUT_state, NULL, b->m->tensor[i], all, b->m->from->node[i]->span);
}

/* The rows of the piece go to their place. */
static void collect(Builder *b, Ref r) {
    const Type *t = graph_type(b->m->from, r);
    Span at = graph_node(b->m->from, r)->span;
    Ref rows = row_numbers(b, t, t->batch_axis, at), acc = read_accumulator(b, r.node);
    Ref in[] = {acc, rows, refmap_get(&b->map, r)};
    Ref all = graph_add(b->g, OP_put, &(Attr){.axis = t->batch_axis}, in, 3, NULL, at);
    graph_out(b->g, OUT_state, NULL, b->m->tensor[r.node], all, at);
}

/* ---- parts */

/* Does this part add up the roots that are met, or the others? */
static bool adds_up(const Builder *b, uint32_t i) {
    return b->m->tensor[i] >= 0 && b->part == (b->m->met[i] ? PART_ahead : PART_piece);
}

/* After the last piece, with all rows of what samples put into it. */
static Ref whole_node(Builder *b, const Node *n) {
    const Micro *m = b->m;
    Ref *in = NEW_N(m->scratch, Ref, n->nin + 1);
    for (int k = 0; k < n->nin; k++) {
        uint32_t from = n->in[k].node;
        in[k] = m->known[from] == KNOWN_batch ? read_accumulator(b, from)
                                              : refmap_get(&b->map, n->in[k]);
    }
    return graph_copy_node(b->g, n, in);
}

static void build_set(Builder *b, uint32_t i) {
    const Micro *m = b->m;
    bool known = b->part == PART_whole || (b->part == PART_piece && m->met[i]);
    if (micro_root(m, i)) {
        if (adds_up(b, i)) accumulate(b, i);
        if (known && m->tensor[i] >= 0) refmap_set_node(&b->map, m->from, i, read_root(b, i));
    } else if (known) {
        refmap_set_node(&b->map, m->from, i, whole_node(b, m->from->node[i]));
    }
}

static void build_node(Builder *b, uint32_t i) {
    const Micro *m = b->m;
    const Node *n = m->from->node[i];
    if (m->known[i] == KNOWN_set)
        build_set(b, i);
    else if (m->known[i] == KNOWN_always)
        refmap_set_node(&b->map, m->from, i, whole_node(b, n));
    else if (b->needed[i])
        refmap_set_node(&b->map, m->from, i, piece_node(b, n));
    if (b->part == PART_piece && m->known[i] == KNOWN_batch && m->tensor[i] >= 0)
        collect(b, (Ref){i, 0});
}

static void build_outputs(Builder *b) {
    const Graph *from = b->m->from;
    for (size_t i = 0; i < from->nout && b->part == PART_whole; i++) {
        const Output *o = &from->out[i];
        bool of_sample = b->m->known[o->ref.node] == KNOWN_batch;
        Ref r = of_sample ? read_accumulator(b, o->ref.node) : refmap_get(&b->map, o->ref);
        graph_out(b->g, o->kind, o->name, o->index, r, o->span);
    }
}

static bool is_of_part(const Builder *b, uint32_t i) {
    const Micro *m = b->m;
    if (m->known[i] == KNOWN_batch) return m->tensor[i] >= 0 && b->part == PART_piece;
    return micro_root(m, i) && b->part == (m->met[i] ? PART_ahead : PART_piece);
}

/* Nodes that what this part adds up or keeps comes from. */
static bool *needed_by(const Builder *b) {
    const Micro *m = b->m;
    bool *needed = NEW_N(m->scratch, bool, m->from->n);
    for (uint32_t i = (uint32_t)m->from->n; i-- > 0;) {
        needed[i] = m->reached[i] && (needed[i] || is_of_part(b, i));
        for (int k = 0; needed[i] && k < m->from->node[i]->nin; k++)
            needed[m->from->node[i]->in[k].node] = true;
    }
    return needed;
}

Graph *micro_graph(Micro *m, Part part) {
    static const char *const suffix[] = {".ahead", ".piece", ""};
    Arena *a = m->p->arena;
    const char *name = arena_printf(a, "%s%s", m->from->name, suffix[part]);
    Builder b = {.m = m, .part = part, .g = graph_new(a, name)};
    b.map = refmap_new(m->scratch, m->from);
    b.needed = needed_by(&b);
    for (uint32_t i = 0; i < m->from->n; i++)
        if (m->reached[i]) build_node(&b, i);
    build_outputs(&b);
    return graph_prune(a, b.g, name, NULL);
}
