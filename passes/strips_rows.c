/* Where rows lie in the inputs and the result of a node. A node keeps rows apart where each row of
 * its result comes from one row of each input that has them. */
#include <string.h>

#include "passes/strips.h"
#include "passes/view.h"

static int64_t before(const Type *t, int axis) {
    int64_t n = 1;
    for (int i = 0; i < axis; i++) n *= t->dim[i];
    return n;
}

/* The same axis in another shape of the same elements. */
static int reshaped(const Type *from, int axis, const Type *to) {
    for (int i = 0; i < to->rank; i++)
        if (to->dim[i] == from->dim[axis] && before(to, i) == before(from, axis)) return i;
    return ROWS_mixed;
}

/* An axis that a view leaves as it is, or not at all. */
static int kept_whole(const Graph *g, const Node *n, int axis) {
    int64_t size = n->type[0].dim[axis];
    if (n->op == OP_unfold) return ROWS_mixed;
    if (n->op == OP_concat) return n->attr.axis == axis ? ROWS_mixed : axis;
    return graph_type(g, n->in[0])->dim[axis] == size &&
                   (n->op != OP_slice || n->attr.slice.step[axis] == 1)
               ? axis
               : ROWS_mixed;
}

static int label_at(const char *labels, char c) {
    const char *at = strchr(labels, c);
    return at ? (int)(at - labels) : ROWS_none;
}

static const char *labels_of(const Node *n, int k) {
    return k ? n->attr.dot.b : n->attr.dot.a;
}

static bool reduces(const Node *n, int axis) {
    return n->op == OP_argmax ? n->attr.axis == axis : n->attr.axes >> axis & 1;
}

/* ---- results */

static int view_result(const Graph *g, const Node *n, int axis) {
    const Type *in = graph_type(g, n->in[0]), *out = &n->type[0];
    if (n->op == OP_reshape) return reshaped(in, axis, out);
    if (n->op == OP_expand) return axis + out->rank - in->rank;
    for (int i = 0; n->op == OP_transpose && i < out->rank; i++)
        if (n->attr.perm.axis[i] == axis) return i;
    return kept_whole(g, n, axis);
}

static int dot_result(const Node *n, int k, int axis) {
    int at = label_at(n->attr.dot.out, labels_of(n, k)[axis]);
    return at >= 0 ? at : ROWS_summed;
}

/* Rows of the tables themselves: of x[lead..., n, width...] at i[lead..., picks...]. */
static int take_result(const Graph *g, const Node *n, int k, int axis) {
    if (k == 1 || axis < n->attr.axis) return axis;
    if (axis == n->attr.axis) return ROWS_mixed;
    return axis - n->attr.axis - 1 + graph_type(g, n->in[1])->rank;
}

int rows_of_result(const Graph *g, const Node *n, int k, int axis) {
    if (n->nout != 1) return ROWS_mixed;
    switch (op_info[n->op].lower) {
    case LOWER_MAP:
        return n->op == OP_fused ? ROWS_mixed
                                 : axis + n->type[0].rank - graph_type(g, n->in[k])->rank;
    case LOWER_VIEW: return view_result(g, n, axis);
    case LOWER_REDUCE: return !reduces(n, axis) ? axis : n->op == OP_sum ? ROWS_summed : ROWS_mixed;
    case LOWER_DOT: return n->op == OP_dot ? dot_result(n, k, axis) : ROWS_mixed;
    case LOWER_TABLE: return n->op == OP_take ? take_result(g, n, k, axis) : ROWS_mixed;
    default: return ROWS_mixed;
    }
}

/* ---- inputs */

/* Broadcast as pointwise operators do. */
static int aligned(const Type *in, const Type *out, int axis) {
    int at = axis - (out->rank - in->rank);
    return at >= 0 && in->dim[at] != 1 ? at : ROWS_none;
}

static int view_input(const Graph *g, const Node *n, int k, int axis) {
    const Type *in = graph_type(g, n->in[k]), *out = &n->type[0];
    if (n->op == OP_reshape) return reshaped(out, axis, in);
    if (n->op == OP_expand) return aligned(in, out, axis);
    if (n->op == OP_transpose) return n->attr.perm.axis[axis];
    return kept_whole(g, n, axis);
}

static int take_input(const Graph *g, const Node *n, int k, int axis) {
    int rank = graph_type(g, n->in[1])->rank, at = n->attr.axis;
    if (k == 1) return axis < rank ? axis : ROWS_none;
    return axis < at ? axis : axis < rank ? ROWS_none : axis - rank + at + 1;
}

int rows_of_input(const Graph *g, const Node *n, int k, int axis) {
    if (n->nout != 1) return ROWS_mixed;
    const Type *in = graph_type(g, n->in[k]);
    switch (op_info[n->op].lower) {
    case LOWER_MAP: return n->op == OP_fused ? ROWS_mixed : aligned(in, &n->type[0], axis);
    case LOWER_VIEW: return view_input(g, n, k, axis);
    case LOWER_REDUCE: return reduces(n, axis) ? ROWS_mixed : axis;
    case LOWER_DOT:
        return n->op == OP_dot ? label_at(labels_of(n, k), n->attr.dot.out[axis]) : ROWS_mixed;
    case LOWER_TABLE: return n->op == OP_take ? take_input(g, n, k, axis) : ROWS_mixed;
    default: return ROWS_mixed;
    }
}

int rows_summed(const Node *n, int k, int axis, int j) {
    return n->op == OP_dot ? label_at(labels_of(n, j), labels_of(n, k)[axis]) : axis;
}

bool rows_lead(const Graph *g, Ref r, int axis) {
    View v = view_of(g, r);
    int64_t all = 1;
    for (int i = 0; i < v.rank; i++) all *= v.dim[i];
    return v.stride[axis] * v.dim[axis] == all;
}
