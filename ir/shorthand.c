/* Short hands over graph_add for passes. Those that move nothing give their input back where
 * nothing changes. */
#include "ir/internal.h"

#include <string.h>

Ref g_fill(Graph *g, const Type *t, double v, Span at) {
    return graph_add(g, OP_const, &(Attr){.num = v}, NULL, 0, t, at);
}

Ref g_const(Graph *g, DType t, double v, Span at) {
    Type type = type_scalar(t);
    return g_fill(g, &type, v, at);
}

Ref g_unary(Graph *g, Op op, Ref x, Span at) {
    return graph_add(g, op, NULL, &x, 1, NULL, at);
}

Ref g_binary(Graph *g, Op op, Ref x, Ref y, Span at) {
    return graph_add(g, op, NULL, (Ref[]){x, y}, 2, NULL, at);
}

Ref g_where(Graph *g, Ref c, Ref x, Ref y, Span at) {
    return graph_add(g, OP_where, NULL, (Ref[]){c, x, y}, 3, NULL, at);
}

Ref g_cast(Graph *g, Ref x, DType t, Span at) {
    if (graph_type(g, x)->dtype == t) return x;
    return graph_add(g, OP_cast, &(Attr){.dtype = t}, &x, 1, NULL, at);
}

/* reshape and expand: the same attribute, and the same case of nothing to do. */
static Ref to_shape(Graph *g, Op op, Ref x, int rank, const int64_t *dim, Span at) {
    CHECK(rank >= 0 && rank <= RANK);
    const Type *t = graph_type(g, x);
    if (t->rank == rank && (rank == 0 || !memcmp(t->dim, dim, (size_t)rank * sizeof *dim)))
        return x;
    Attr attr = {.shape = {.rank = rank}};
    for (int i = 0; i < rank; i++) attr.shape.dim[i] = dim[i];
    return graph_add(g, op, &attr, &x, 1, NULL, at);
}

Ref g_reshape(Graph *g, Ref x, int rank, const int64_t *dim, Span at) {
    return to_shape(g, OP_reshape, x, rank, dim, at);
}

Ref g_expand(Graph *g, Ref x, int rank, const int64_t *dim, Span at) {
    return to_shape(g, OP_expand, x, rank, dim, at);
}

Ref g_transpose(Graph *g, Ref x, const int *perm, Span at) {
    Attr attr = {.perm = {.rank = graph_type(g, x)->rank}};
    bool moves = false;
    for (int i = 0; i < attr.perm.rank; i++) {
        attr.perm.axis[i] = perm[i];
        moves = moves || perm[i] != i;
    }
    return moves ? graph_add(g, OP_transpose, &attr, &x, 1, NULL, at) : x;
}

Ref g_reduce(Graph *g, Op op, Ref x, uint32_t axes, Span at) {
    return axes ? graph_add(g, op, &(Attr){.axes = axes}, &x, 1, NULL, at) : x;
}

static Attr dot_labels(const char *la, const char *lb, const char *lo) {
    Attr attr;
    memset(&attr, 0, sizeof attr);
    CHECK(strlen(la) <= RANK && strlen(lb) <= RANK && strlen(lo) <= RANK);
    memcpy(attr.dot.a, la, strlen(la));
    memcpy(attr.dot.b, lb, strlen(lb));
    memcpy(attr.dot.out, lo, strlen(lo));
    return attr;
}

Ref g_dot(Graph *g, Ref a, Ref b, const char *la, const char *lb, const char *lo, Span at) {
    Attr attr = dot_labels(la, lb, lo);
    return graph_add(g, OP_dot, &attr, (Ref[]){a, b}, 2, NULL, at);
}

Ref g_dot_as(Graph *g, const Node *n, Ref a, Ref b, const char *la, const char *lb,
             const char *lo) {
    Attr attr = dot_labels(la, lb, lo);
    attr.dot.round = n->attr.dot.round;
    attr.dot.halve = n->attr.dot.halve;
    return graph_add(g, OP_dot, &attr, (Ref[]){a, b}, 2, NULL, n->span);
}

Ref g_lined_up(Graph *g, const Node *dot, int i, Ref x, const char *order) {
    const char *own = i ? dot->attr.dot.b : dot->attr.dot.a;
    const Type *t = graph_type(g, x);
    int perm[RANK] = {0}, rank = 0;
    int64_t dim[RANK];
    for (int k = 0; order[k]; k++) {
        const char *at = strchr(own, order[k]);
        dim[k] = at ? t->dim[at - own] : 1;
        if (at) perm[rank++] = (int)(at - own);
    }
    x = g_reshape(g, g_transpose(g, x, perm, dot->span), (int)strlen(order), dim, dot->span);
    if (dot->attr.dot.round) x = g_cast(g, x, DT_bf16, dot->span);
    return g_cast(g, x, dot->type[0].dtype, dot->span);
}

/* An axis is summed where `shape` lacks it or has 1 in its place. One of size 1 needs no sum,
 * unless it is the batch, whose size the program only happens to have. */
Ref g_sum_to(Graph *g, Ref x, const Type *shape, Span at) {
    const Type *t = graph_type(g, x);
    int extra = t->rank - shape->rank;
    CHECK(extra >= 0);
    uint32_t axes = 0;
    for (int i = 0; i < t->rank; i++) {
        bool gone = i < extra;
        bool is_batch = t->batch_axis == i && (gone || shape->batch_axis != i - extra);
        if ((gone || shape->dim[i - extra] == 1) && (t->dim[i] > 1 || is_batch))
            axes |= UINT32_C(1) << i;
    }
    return g_reshape(g, g_reduce(g, OP_sum, x, axes, at), shape->rank, shape->dim, at);
}
