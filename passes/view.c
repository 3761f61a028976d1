/* Strides of view chains. A reshape is expressible when every run of axes that it merges or splits
 * lies evenly in memory (the criterion is NumPy's for reshaping without a copy). */
#include "passes/view.h"

#include <string.h>

enum { CHAIN = 32 }; /* longer chains of views are read in two */

View view_contiguous(int rank, const int64_t *dim) {
    View v = {.base = REF_NONE, .rank = rank};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        v.dim[i] = dim[i];
        v.stride[i] = stride;
        stride *= dim[i];
    }
    return v;
}

static View base_view(const Graph *g, Ref r) {
    const Node *n = graph_node(g, r);
    const Type *t = graph_type(g, r);
    View v = view_contiguous(t->rank, t->dim);
    v.base = r;
    for (int i = 0; n->op == OP_iota && i < v.rank; i++) v.stride[i] = i == n->attr.axis;
    if (op_info[n->op].flags & FLAG_RANDOM && n->attr.random.rank) {
        v.offset = n->attr.random.first;
        memcpy(v.stride, n->attr.random.stride, sizeof v.stride);
    }
    return v;
}

/* Axes of size 1 say nothing about memory. */
static int drop_ones(const View *v, int64_t *dim, int64_t *stride) {
    int n = 0;
    for (int i = 0; i < v->rank; i++)
        if (v->dim[i] != 1) {
            dim[n] = v->dim[i];
            stride[n++] = v->stride[i];
        }
    return n;
}

static bool evenly_spaced(const int64_t *dim, const int64_t *stride, int from, int to) {
    for (int i = from; i + 1 < to; i++)
        if (stride[i] != stride[i + 1] * dim[i + 1]) return false;
    return true;
}

static bool apply_reshape(View *v, const Type *to) {
    int64_t dim[RANK], stride[RANK], out[RANK] = {0};
    int n = drop_ones(v, dim, stride), i = 0, j = 0;
    while (i < n && j < to->rank) { /* the shortest runs [i, i2) and [j, j2) of equal product */
        if (to->dim[j] == 1) {
            j++;
            continue;
        }
        int i2 = i + 1, j2 = j + 1;
        int64_t a = dim[i], b = to->dim[j];
        while (a != b) {
            if (a < b && i2 < n)
                a *= dim[i2++];
            else if (b < a && j2 < to->rank)
                b *= to->dim[j2++];
            else
                return false;
        }
        if (!evenly_spaced(dim, stride, i, i2)) return false;
        int64_t step = stride[i2 - 1];
        for (int k = j2 - 1; k >= j; k--) {
            out[k] = step;
            step *= to->dim[k];
        }
        i = i2, j = j2;
    }
    v->rank = to->rank;
    memcpy(v->dim, to->dim, sizeof v->dim);
    memcpy(v->stride, out, sizeof out);
    return true;
}

static void apply_expand(View *v, const Type *to) {
    View old = *v;
    v->rank = to->rank;
    for (int i = 0; i < to->rank; i++) {
        int j = i - (to->rank - old.rank);
        v->dim[i] = to->dim[i];
        v->stride[i] = j < 0 || (old.dim[j] == 1 && to->dim[i] != 1) ? 0 : old.stride[j];
    }
}

static void apply_transpose(View *v, const Attr *a) {
    View old = *v;
    for (int i = 0; i < v->rank; i++) {
        v->dim[i] = old.dim[a->perm.axis[i]];
        v->stride[i] = old.stride[a->perm.axis[i]];
    }
}

static void apply_slice(View *v, const Attr *a) {
    for (int i = 0; i < v->rank; i++) {
        v->offset += a->slice.start[i] * v->stride[i];
        v->dim[i] = a->slice.size[i];
        v->stride[i] *= a->slice.step[i];
    }
}

/* Windows overlap where they lie: the next window is `step` elements on, the next place `dilate`.
 */
static void apply_unfold(View *v, const Type *to, const Attr *a) {
    View old = *v;
    int axis = a->window.axis, n = a->window.rank;
    v->rank = to->rank;
    memcpy(v->dim, to->dim, sizeof v->dim);
    for (int i = axis; i < old.rank - n; i++) v->stride[i + 2 * n] = old.stride[i + n];
    for (int i = 0; i < n; i++) {
        v->stride[axis + i] = old.stride[axis + i] * a->window.step[i];
        v->stride[axis + n + i] = old.stride[axis + i] * a->window.dilate[i];
    }
}

/* One view more on top of `v`; false, and `v` as it was, when strides cannot express it. */
static bool view_apply(View *v, const Node *n) {
    switch (n->op) {
    case OP_reshape: return apply_reshape(v, &n->type[0]);
    case OP_expand: apply_expand(v, &n->type[0]); return true;
    case OP_transpose: apply_transpose(v, &n->attr); return true;
    case OP_slice: apply_slice(v, &n->attr); return true;
    case OP_unfold: apply_unfold(v, &n->type[0], &n->attr); return true;
    default: return false;
    }
}

View view_of(const Graph *g, Ref r) {
    Ref chain[CHAIN];
    int n = 0;
    while (n < CHAIN && op_info[graph_node(g, r)->op].lower == LOWER_VIEW &&
           graph_node(g, r)->nin == 1) {
        chain[n++] = r;
        r = graph_node(g, r)->in[0];
    }
    View v = base_view(g, r);
    while (n--)
        if (!view_apply(&v, graph_node(g, chain[n]))) v = base_view(g, chain[n]);
    return v;
}

bool view_is_strided(const Node *n) {
    return op_info[n->op].lower == LOWER_VIEW && n->op != OP_pad && n->op != OP_concat;
}

/* ---- views that only rename */

bool perm_moves_nothing(const Type *in, const int *perm) {
    int last = -1;
    for (int i = 0; i < in->rank; i++) {
        if (in->dim[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

static bool slice_is_whole(const Type *in, const Attr *attr) {
    for (int i = 0; i < in->rank; i++) {
        if (attr->slice.size[i] != in->dim[i]) return false;
        if (attr->slice.step[i] != 1) return false;
    }
    return true;
}

bool view_moves_nothing(const Graph *g, const Node *n) {
    if (op_info[n->op].lower != LOWER_VIEW || n->nin == 0) return false;
    const Type *in = graph_type(g, n->in[0]);
    switch (n->op) {
    case OP_reshape: return true;
    case OP_expand:
    case OP_pad: return type_count(in) == type_count(&n->type[0]);
    case OP_transpose: return perm_moves_nothing(in, n->attr.perm.axis);
    case OP_slice: return slice_is_whole(in, &n->attr);
    case OP_concat: return n->nin == 1;
    default: return false;
    }
}

Ref below_names(const Graph *g, Ref r) {
    while (view_moves_nothing(g, graph_node(g, r))) r = graph_node(g, r)->in[0];
    return r;
}
