/* Sums of values that are zero where the other is not: the gradient of a value that was cut in
 * pieces (the gates of a cell, the places of a scan) is a sum of padded pieces, and becomes the
 * pieces one after another, written once instead of added piece by piece. */
#include "passes/simplify.h"

/* The one axis that a pad of zeros, without gaps, makes longer; -1: none, or several. */
static int padded_axis(const Node *n) {
    int axis = -1;
    if (n->op != OP_pad) return -1;
    for (int i = 0; i < n->attr.pad.rank; i++) {
        if (n->attr.pad.gap[i]) return -1;
        if (!n->attr.pad.lo[i] && !n->attr.pad.hi[i]) continue;
        if (axis >= 0) return -1;
        axis = i;
    }
    return axis;
}

/* The pieces of a value along the axis, added to `in`: those of a concat, or itself. */
static int add_pieces(const Graph *g, Ref x, int axis, Ref *in, int n) {
    const Node *c = graph_node(g, x);
    bool joined = c->op == OP_concat && c->attr.axis == axis;
    for (int i = 0; joined && i < c->nin; i++) in[n++] = c->in[i];
    if (!joined) in[n++] = x;
    return n;
}

static int count_pieces(const Graph *g, Ref x) {
    const Node *c = graph_node(g, x);
    return c->op == OP_concat ? c->nin : 1;
}

/* `first` ends where `second` begins. */
static Ref join_pads(const Rewrite *r, const Node *first, const Node *second, int axis) {
    Ref a = first->in[0], b = second->in[0];
    int most = count_pieces(r->g, a) + count_pieces(r->g, b);
    if (most > MAX_RESULTS) return REF_NONE;
    Ref *in = NEW_N(r->scratch, Ref, most);
    int n = add_pieces(r->g, b, axis, in, add_pieces(r->g, a, axis, in, 0));
    Ref all = graph_add(r->g, OP_concat, &(Attr){.axis = axis}, in, n, NULL, r->n->span);
    Attr pad = first->attr;
    pad.pad.hi[axis] = second->attr.pad.hi[axis];
    if (!pad.pad.lo[axis] && !pad.pad.hi[axis]) return all;
    return graph_add(r->g, OP_pad, &pad, &all, 1, NULL, r->n->span);
}

static Ref add_of_pads(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0), *y = rewrite_input(r, 1);
    int axis = padded_axis(x);
    if (axis < 0 || axis != padded_axis(y) || r->n->type[0].batch_axis == axis) return REF_NONE;
    if (!type_same_shape(&x->type[0], &y->type[0])) return REF_NONE;
    int64_t size = r->n->type[0].dim[axis];
    if (x->attr.pad.lo[axis] == size - y->attr.pad.hi[axis]) return join_pads(r, y, x, axis);
    if (y->attr.pad.lo[axis] == size - x->attr.pad.hi[axis]) return join_pads(r, x, y, axis);
    return REF_NONE;
}

const Rule pad_rules[] = {
    {OP_add, add_of_pads},
};
const size_t pad_count = sizeof pad_rules / sizeof *pad_rules;
