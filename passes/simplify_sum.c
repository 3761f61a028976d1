/* Reductions: over nothing, over constants, over what an expand repeated; and long ones with a
 * small result in two stages, so that there are parts to share among threads. The split depends on
 * the shape alone, never on the machine, or results would. */
#include "passes/simplify.h"

enum {
    LONG_REDUCTION = 1 << 16, /* elements from which it is split, */
    FEW_RESULTS = 16,         /* if there are fewer results than this */
    FEWEST_PARTS = 64         /* of an axis that has to be cut itself */
};

static Ref reduce_again(const Rewrite *r, Ref x, uint32_t axes) {
    Ref y = g_reduce(r->g, r->n->op, x, axes, r->n->span);
    return g_cast(r->g, y, r->n->type[0].dtype, r->n->span);
}

static int64_t reduced_count(const Rewrite *r) {
    return type_count(rewrite_input_type(r, 0)) / type_count(&r->n->type[0]);
}

static Ref reduce_const(const Rewrite *r) {
    double v;
    if (!rewrite_const(r, 0, &v)) return REF_NONE;
    return rewrite_fill(r, r->n->op == OP_sum ? v * (double)reduced_count(r) : v);
}

static Ref reduce_ones(const Rewrite *r) { /* axes of size 1 */
    const Type *t = rewrite_input_type(r, 0);
    uint32_t axes = 0;
    for (int i = 0; i < t->rank; i++)
        if (r->n->attr.axes >> i & 1 && t->dim[i] != 1) axes |= UINT32_C(1) << i;
    return axes == r->n->attr.axes ? REF_NONE : reduce_again(r, r->in[0], axes);
}

/* Along an axis that an expand repeats, a sum is a product with the count and a maximum is the
 * value. */
static Ref reduce_expand(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    if (x->op != OP_expand) return REF_NONE;
    const Type *wide = &x->type[0], *t = graph_type(r->g, x->in[0]);
    int more = wide->rank - t->rank;
    uint32_t axes = r->n->attr.axes;
    int64_t dim[RANK], times = 1;
    for (int i = 0; i < wide->rank; i++) {
        dim[i] = i < more ? 1 : t->dim[i - more];
        if (axes >> i & 1 && dim[i] != wide->dim[i]) {
            times *= wide->dim[i];
            axes &= ~(UINT32_C(1) << i);
        }
    }
    if (axes == r->n->attr.axes) return REF_NONE;
    Ref y = reduce_again(r, g_reshape(r->g, x->in[0], wide->rank, dim, r->n->span), axes);
    if (r->n->op == OP_sum) {
        Ref count = g_const(r->g, r->n->type[0].dtype, (double)times, r->n->span);
        y = g_binary(r->g, OP_mul, y, count, r->n->span);
    }
    return rewrite_expand(r, y);
}

/* A sum of -x is the sum of x, negated: less to do, if nothing else reads -x. */
static Ref sum_neg(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    if (x->op != OP_neg || r->uses[r->n->in[0].node] != 1) return REF_NONE;
    return g_unary(r->g, OP_neg, reduce_again(r, x->in[0], r->n->attr.axes), r->n->span);
}

/* Before a reshape that only adds or drops axes of size 1: see sink_reshape. */
static Ref reduce_reshape(const Rewrite *r) {
    const Node *x = rewrite_input(r, 0);
    if (x->op != OP_reshape || !reshape_of_ones(r->g, x)) return REF_NONE;
    const Type *to = &x->type[0], *from = graph_type(r->g, x->in[0]);
    uint32_t axes = 0;
    for (int i = 0, k = 0; i < to->rank; i++) {
        if (to->dim[i] == 1) continue;
        while (from->dim[k] == 1) k++;
        axes |= (r->n->attr.axes >> i & 1) << k++;
    }
    Ref y = reduce_again(r, x->in[0], axes);
    return g_reshape(r->g, y, r->n->type[0].rank, r->n->type[0].dim, r->n->span);
}

static Ref argmax_of_one(const Rewrite *r) {
    return rewrite_input_type(r, 0)->dim[r->n->attr.axis] == 1 ? rewrite_fill(r, 0) : REF_NONE;
}

/* ---- long reductions */

static int64_t cut_of(int64_t n) { /* parts: the smallest divisor worth having; 0: none */
    for (int64_t f = FEWEST_PARTS; f <= n / f; f++)
        if (n % f == 0) return f;
    return 0;
}

/* Cuts the last reduced axis in two and reduces the inner half first. */
static Ref reduce_cut(const Rewrite *r, int axis) {
    const Type *t = rewrite_input_type(r, 0);
    int64_t parts = cut_of(t->dim[axis]), dim[RANK];
    if (parts == 0 || t->rank == RANK) return REF_NONE;
    for (int i = 0; i <= t->rank; i++)
        dim[i] = i < axis        ? t->dim[i]
                 : i == axis     ? parts
                 : i == axis + 1 ? t->dim[axis] / parts
                                 : t->dim[i - 1];
    Ref x = g_reshape(r->g, r->in[0], t->rank + 1, dim, r->n->span);
    uint32_t inner = UINT32_C(1) << (axis + 1); /* no reduced axis lies behind */
    Ref y = g_reduce(r->g, r->n->op, g_reduce(r->g, r->n->op, x, inner, r->n->span),
                     r->n->attr.axes, r->n->span);
    return g_reshape(r->g, y, r->n->type[0].rank, r->n->type[0].dim, r->n->span);
}

static Ref reduce_long(const Rewrite *r) {
    const Type *t = rewrite_input_type(r, 0);
    uint32_t axes = r->n->attr.axes, outer = 0;
    int64_t parts = type_count(&r->n->type[0]);
    int last = -1;
    if (parts >= FEW_RESULTS || type_count(t) <= LONG_REDUCTION) return REF_NONE;
    for (int i = 0; i < t->rank; i++) {
        if (!(axes >> i & 1)) continue;
        last = i;
        if (parts < FEW_RESULTS) {
            parts *= t->dim[i];
            outer |= UINT32_C(1) << i;
        }
    }
    if (outer == axes) return reduce_cut(r, last);
    Ref y = g_reduce(r->g, r->n->op, r->in[0], axes & ~outer, r->n->span);
    return g_reduce(r->g, r->n->op, y, outer, r->n->span);
}

const Rule sum_rules[] = {
    {OP_sum, reduce_const},   {OP_sum, reduce_ones},      {OP_sum, reduce_expand},
    {OP_sum, sum_neg},        {OP_sum, reduce_reshape},   {OP_sum, reduce_long},
    {OP_max, reduce_const},   {OP_max, reduce_ones},      {OP_max, reduce_expand},
    {OP_max, reduce_reshape}, {OP_max, reduce_long},      {OP_min, reduce_const},
    {OP_min, reduce_ones},    {OP_min, reduce_expand},    {OP_min, reduce_reshape},
    {OP_min, reduce_long},    {OP_argmax, argmax_of_one},
};
const size_t sum_count = sizeof sum_rules / sizeof *sum_rules;
