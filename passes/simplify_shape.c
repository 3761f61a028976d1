/* Shape operators and products: chains of reshapes, expansions, transposes and slices become one or
 * none, constants stay constants through them, and products take transposed operands by their
 * labels, where they cost nothing. */
#include "passes/simplify.h"
#include "passes/view.h"

#include <string.h>

static Ref still_const(const Rewrite *r) {
    double v;
    return rewrite_const(r, 0, &v) && rewrite_input(r, 0)->op == OP_const ? rewrite_fill(r, v)
                                                                          : REF_NONE;
}
static Ref same_shape(const Rewrite *r) {
    return type_same_shape(rewrite_input_type(r, 0), &r->n->type[0]) ? r->in[0] : REF_NONE;
}
static Ref reshape_to(const Rewrite *r, Ref x) {
    return g_reshape(r->g, x, r->n->type[0].rank, r->n->type[0].dim, r->n->span);
}

static Ref reshape_again(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    return x->op == OP_reshape ? reshape_to(r, x->in[0]) : REF_NONE;
}

/* ---- expand */

static Ref expand_by_ones(const Rewrite *r) { /* only axes of size 1 are added: a reshape */
    return type_count(rewrite_input_type(r, 0)) == type_count(&r->n->type[0])
               ? reshape_to(r, r->in[0])
               : REF_NONE;
}
/* expand(expand(x)), and expand(reshape(x)) where the reshape only puts axes of size 1 in front */
static Ref expand_again(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    if (x->op == OP_expand) return rewrite_expand(r, x->in[0]);
    if (x->op != OP_reshape) return REF_NONE;
    const Type *to = &x->type[0], *from = graph_type(r->g, x->in[0]);
    int more = to->rank - from->rank;
    if (more < 1 || memcmp(to->dim + more, from->dim, (size_t)from->rank * sizeof *to->dim) != 0)
        return REF_NONE;
    return rewrite_expand(r, x->in[0]);
}

/* ---- transpose */

static Ref transpose_again(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    int perm[RANK] = {0};
    if (x->op != OP_transpose) return REF_NONE;
    for (int i = 0; i < r->n->attr.perm.rank; i++)
        perm[i] = x->attr.perm.axis[r->n->attr.perm.axis[i]];
    return g_transpose(r->g, x->in[0], perm, r->n->span);
}
static Ref
transpose_of_ones(const Rewrite *r) { /* the axes that matter keep their order: a reshape */
    bool moves = !perm_moves_nothing(rewrite_input_type(r, 0), r->n->attr.perm.axis);
    return moves ? REF_NONE : reshape_to(r, r->in[0]);
}
static Ref transpose_of_dot(const Rewrite *r) { /* unless the product is also read as it is */
    const Node *x = rewrite_input(r, 0);
    char out[RANK + 1] = {0};
    if (x->op != OP_dot || r->uses[r->n->in[0].node] != 1) return REF_NONE;
    for (int i = 0; i < r->n->attr.perm.rank; i++)
        out[i] = x->attr.dot.out[r->n->attr.perm.axis[i]];
    return g_dot_as(r->g, x, x->in[0], x->in[1], x->attr.dot.a, x->attr.dot.b, out);
}

/* ---- slice, pad, concat */

static Ref slice_all(const Rewrite *r) {
    for (int i = 0; i < r->n->attr.slice.rank; i++)
        if (r->n->attr.slice.step[i] < 0) return REF_NONE;
    return same_shape(r);
}
static Ref slice_again(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    if (x->op != OP_slice) return REF_NONE;
    Attr a = r->n->attr;
    for (int i = 0; i < a.slice.rank; i++) {
        a.slice.start[i] = x->attr.slice.start[i] + a.slice.start[i] * x->attr.slice.step[i];
        a.slice.step[i] *= x->attr.slice.step[i];
    }
    return graph_add(r->g, OP_slice, &a, x->in, 1, NULL, r->n->span);
}
static Ref slice_of_concat(const Rewrite *r) { /* when it lies within one piece */
    const Node *x = rewrite_input(r, 0);
    if (x->op != OP_concat) return REF_NONE;
    Attr a = r->n->attr;
    int axis = x->attr.axis;
    int64_t first = a.slice.start[axis],
            last = first + (a.slice.size[axis] - 1) * a.slice.step[axis], at = 0;
    for (int k = 0; k < x->nin; k++) {
        int64_t end = at + graph_type(r->g, x->in[k])->dim[axis];
        if (first >= at && first < end && last >= at && last < end) {
            a.slice.start[axis] = first - at;
            return graph_add(r->g, OP_slice, &a, &x->in[k], 1, NULL, r->n->span);
        }
        at = end;
    }
    return REF_NONE;
}
static Ref pad_of_zeros(const Rewrite *r) {
    double v;
    return rewrite_const(r, 0, &v) && v == 0 ? rewrite_fill(r, 0) : REF_NONE;
}
static Ref concat_of_one(const Rewrite *r) {
    return r->n->nin == 1 ? r->in[0] : REF_NONE;
}
static Ref concat_of_const(const Rewrite *r) {
    double first, v;
    if (!rewrite_const(r, 0, &first)) return REF_NONE;
    for (int i = 1; i < r->n->nin; i++)
        if (!rewrite_const(r, i, &v) || v != first) return REF_NONE;
    return rewrite_fill(r, first);
}

/* ---- windows that share no element and leave none out: views */

/* x and y: sizes of the windowed axes of the elements and of the windows. */
static bool windows_tile(const Attr *a, const int64_t *x, const int64_t *y) {
    for (int i = 0; i < a->window.rank; i++) {
        bool apart = a->window.step[i] == a->window.size[i] || y[i] == 1,
             whole = a->window.dilate[i] == 1 || a->window.size[i] == 1;
        if (!apart || !whole || y[i] * a->window.size[i] != x[i]) return false;
    }
    return true;
}

/* Where windows and places of y are once each axis of x is split into them. */
static void split_axes(const Attr *a, int rank, int place[RANK]) {
    int axis = a->window.axis, n = a->window.rank;
    for (int i = 0; i < rank; i++) place[i] = i;
    for (int i = 0; i < n; i++) {
        place[axis + i] = axis + 2 * i;
        place[axis + n + i] = axis + 2 * i + 1;
    }
}

static Ref unfold_tiles(const Rewrite *r) {
    const Type *x = rewrite_input_type(r, 0), *y = &r->n->type[0];
    const Attr *a = &r->n->attr;
    int place[RANK];
    int64_t dim[RANK];
    if (!windows_tile(a, x->dim + a->window.axis, y->dim + a->window.axis)) return REF_NONE;
    split_axes(a, y->rank, place);
    for (int i = 0; i < y->rank; i++) dim[place[i]] = y->dim[i];
    return g_transpose(r->g, g_reshape(r->g, r->in[0], y->rank, dim, r->n->span), place,
                       r->n->span);
}
static Ref fold_tiles(const Rewrite *r) {
    const Type *x = &r->n->type[0], *y = rewrite_input_type(r, 0);
    const Attr *a = &r->n->attr;
    int place[RANK], perm[RANK] = {0};
    if (!windows_tile(a, x->dim + a->window.axis, y->dim + a->window.axis)) return REF_NONE;
    split_axes(a, y->rank, place);
    for (int i = 0; i < y->rank; i++) perm[place[i]] = i;
    return reshape_to(r, g_transpose(r->g, r->in[0], perm, r->n->span));
}

/* ---- products */

static Ref dot_of_transpose(const Rewrite *r) {
    for (int i = 0; i < 2; i++) {
        const Node *x = rewrite_input(r, i);
        const char *own = i == 0 ? r->n->attr.dot.a : r->n->attr.dot.b;
        if (x->op != OP_transpose) continue;
        char label[RANK + 1] = {0};
        for (int k = 0; k < x->attr.perm.rank; k++) label[x->attr.perm.axis[k]] = own[k];
        const char *la = i == 0 ? label : r->n->attr.dot.a, *lb = i == 1 ? label : r->n->attr.dot.b;
        Ref a = i == 0 ? x->in[0] : r->in[0], b = i == 1 ? x->in[0] : r->in[1];
        return g_dot_as(r->g, r->n, a, b, la, lb, r->n->attr.dot.out);
    }
    return REF_NONE;
}

/* Drops the labels along which operand `i` is only repeated, where the other operand brings them to
 * the result. */
static Ref drop_repeats(const Rewrite *r, int i) {
    const Node *x = rewrite_input(r, i);
    if (x->op != OP_expand) return REF_NONE;
    const char *own = i == 0 ? r->n->attr.dot.a : r->n->attr.dot.b,
               *other = i == 0 ? r->n->attr.dot.b : r->n->attr.dot.a;
    const Type *wide = &x->type[0], *t = graph_type(r->g, x->in[0]);
    char label[RANK + 1] = {0};
    int64_t dim[RANK], before = 1;
    int rank = 0, more = wide->rank - t->rank;
    for (int k = 0; k < wide->rank; k++) {
        int64_t size = k < more ? 1 : t->dim[k - more];
        bool repeats = size == 1 && strchr(other, own[k]) && strchr(r->n->attr.dot.out, own[k]);
        if (repeats) continue;
        if (size != wide->dim[k]) return REF_NONE;
        label[rank] = own[k];
        dim[rank++] = size;
        before *= size;
    }
    if (rank == wide->rank || before != type_count(t)) return REF_NONE;
    Ref small = g_reshape(r->g, x->in[0], rank, dim, r->n->span);
    if (i == 0) return g_dot_as(r->g, r->n, small, r->in[1], label, other, r->n->attr.dot.out);
    return g_dot_as(r->g, r->n, r->in[0], small, other, label, r->n->attr.dot.out);
}
static Ref dot_of_expand(const Rewrite *r) {
    Ref to = drop_repeats(r, 0);
    return ref_is(to) ? to : drop_repeats(r, 1);
}

static Ref
dot_without_sum(const Rewrite *r) { /* nothing is contracted: a product with broadcasting */
    const char *out = r->n->attr.dot.out;
    for (const char *c = r->n->attr.dot.a; *c; c++)
        if (!strchr(out, *c)) return REF_NONE;
    Ref y = g_lined_up(r->g, r->n, 1, r->in[1], out), x = g_lined_up(r->g, r->n, 0, r->in[0], out);
    return g_binary(r->g, OP_mul, x, y, r->n->span);
}

/* ---- tables read and written in order */

/* Is input `i` 0, 1, 2, ... along the axis? */
static bool counts_up(const Rewrite *r, int i) {
    const Node *x = rewrite_input(r, i);
    return x->op == OP_iota && x->type[0].rank == 1 && r->n->attr.axis == 0 &&
           x->type[0].dim[0] <= rewrite_input_type(r, 0)->dim[0];
}
static Ref take_in_order(const Rewrite *r) {
    if (!counts_up(r, 1)) return REF_NONE;
    const Type *t = &r->n->type[0];
    Attr a = {.slice.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        a.slice.step[i] = 1;
        a.slice.size[i] = t->dim[i];
    }
    return graph_add(r->g, OP_slice, &a, r->in, 1, NULL, r->n->span);
}
static Ref put_add_in_order(const Rewrite *r) {
    if (!counts_up(r, 1)) return REF_NONE;
    const Type *t = &r->n->type[0], *rows = rewrite_input_type(r, 2);
    Attr a = {.pad.rank = t->rank};
    a.pad.hi[0] = t->dim[0] - rows->dim[0];
    Ref v = graph_add(r->g, OP_pad, &a, &r->in[2], 1, NULL, r->n->span);
    return g_binary(r->g, OP_add, r->in[0], v, r->n->span);
}

const Rule shape_rules[] = {
    {OP_take, take_in_order},
    {OP_put_add, put_add_in_order},
    {OP_reshape, still_const},
    {OP_reshape, same_shape},
    {OP_reshape, reshape_again},
    {OP_expand, still_const},
    {OP_expand, same_shape},
    {OP_expand, expand_by_ones},
    {OP_expand, expand_again},
    {OP_transpose, still_const},
    {OP_transpose, transpose_of_ones},
    {OP_transpose, transpose_again},
    {OP_transpose, transpose_of_dot},
    {OP_slice, still_const},
    {OP_slice, slice_all},
    {OP_slice, slice_again},
    {OP_slice, slice_of_concat},
    {OP_pad, same_shape},
    {OP_pad, pad_of_zeros},
    {OP_concat, concat_of_one},
    {OP_concat, concat_of_const},
    {OP_unfold, still_const},
    {OP_unfold, unfold_tiles},
    {OP_fold, fold_tiles},
    {OP_dot, dot_of_transpose},
    {OP_dot, dot_of_expand},
    {OP_dot, dot_without_sum},
};
const size_t shape_count = sizeof shape_rules / sizeof *shape_rules;
