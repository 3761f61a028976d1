/* Which results of a kernel may be written over which of its inputs.
 *
 * It counts on how codegen/loops.c walks a body. A row (a strip of columns, where the last axis is
 * kept) is finished before the next; its stages follow one another; what has every axis of the
 * domain is stored in its own stage, each strip after all loads of it; what lacks the reduced axes
 * is stored after the last stage; what a stage has stored, later ones read back rather than compute
 * again (codegen/lanes.c). So an input may be overwritten where every read of it is of the very
 * element that is written, and no later stage reads it again. */
#include "passes/fuse.h"

typedef struct Body {
    const Graph *g;
    int64_t dim[RANK]; /* of the domain, the last axis first, as masks and alignment count */
    uint32_t reduced;  /* bit i: axis i from the last is reduced */
    int *stage;        /* by node: reductions that must be complete before it */
    bool *stored;      /* by node: it is a result with all axes of the domain */
    bool *reads;       /* by node: computing it in the stage at hand reads the input */
} Body;

static bool is_view(const Graph *g, uint32_t n) {
    return op_info[g->node[n]->op].lower == LOWER_VIEW;
}

/* The node that computes or loads what `r` shows. */
static uint32_t below_views(const Graph *g, Ref r) {
    while (is_view(g, r.node) && graph_node(g, r)->nin == 1) r = graph_node(g, r)->in[0];
    return r.node;
}

static int64_t size_from_last(int rank, const int64_t *dim, int i) {
    return i < rank ? dim[rank - 1 - i] : 1;
}

/* ---- the domain and its stages */

static uint32_t reduced_axes(const Graph *g, const Node *n) {
    if (op_info[n->op].lower != LOWER_REDUCE) return 0;
    const Type *in = graph_type(g, n->in[0]);
    uint32_t axes = reduced_sizes(n, in), out = 0;
    for (int i = 0; i < in->rank; i++) out |= (axes >> i & 1) << (in->rank - 1 - i);
    return out;
}

static void widen(Body *b, const Type *t) {
    for (int i = 0; i < t->rank; i++) {
        int64_t n = size_from_last(t->rank, t->dim, i);
        if (n > b->dim[i]) b->dim[i] = n;
    }
}

enum { KEPT_AXES = 1, ALL_AXES = 2 }; /* both, where nothing is reduced */

/* Whether it has the domain's kept axes, or all of them; 0: only some of either. */
static int axes_of(const Body *b, const Type *t) {
    int axes = KEPT_AXES | ALL_AXES;
    for (int i = 0; i < RANK; i++) {
        int64_t n = size_from_last(t->rank, t->dim, i);
        bool reduced = b->reduced >> i & 1;
        if (n != b->dim[i]) axes &= ~ALL_AXES;
        if (n != (reduced ? 1 : b->dim[i])) axes &= ~KEPT_AXES;
    }
    return axes;
}

/* A stored leaf is loaded again all the same. */
static void mark_stored(Body *b) {
    for (size_t i = 0; i < b->g->nout; i++) {
        Ref r = b->g->out[i].ref;
        uint32_t at = below_views(b->g, r);
        if (b->g->node[at]->nin > 0 && axes_of(b, graph_type(b->g, r)) & ALL_AXES)
            b->stored[at] = true;
    }
}

static Body body_read(Arena *a, const Graph *g) {
    Body b = {.g = g,
              .stage = NEW_N(a, int, g->n),
              .stored = NEW_N(a, bool, g->n),
              .reads = NEW_N(a, bool, g->n)};
    for (int i = 0; i < RANK; i++) b.dim[i] = 1;
    for (size_t i = 0; i < g->nout; i++) widen(&b, graph_type(g, g->out[i].ref));
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        for (int j = 0; j < n->nin; j++) {
            uint32_t in = below_views(g, n->in[j]);
            int after = b.stage[in] + (!is_view(g, i) && reduced_axes(g, g->node[in]));
            if (after > b.stage[i]) b.stage[i] = after;
            if (!is_view(g, i)) widen(&b, graph_type(g, n->in[j]));
        }
        b.reduced |= reduced_axes(g, n);
    }
    mark_stored(&b);
    return b;
}

/* ---- reads of an input */

/* Where `r` reads the input, it reads the elements of a result of type `t`, each at its own place.
 */
static bool reads_in_place(const Body *b, Ref r, int arg, const Type *t) {
    View v = view_of(b->g, r);
    const Node *base = graph_node(b->g, v.base);
    if (op_info[base->op].lower == LOWER_VIEW) return false;
    if (base->op != OP_arg || base->attr.count != arg) return true;
    View whole = view_contiguous(t->rank, t->dim);
    if (v.offset != 0) return false;
    for (int i = 0; i < RANK; i++) {
        int64_t n = size_from_last(t->rank, t->dim, i);
        if (size_from_last(v.rank, v.dim, i) != n) return false;
        if (n != 1 && v.stride[v.rank - 1 - i] != whole.stride[t->rank - 1 - i]) return false;
    }
    return true;
}

static bool all_reads_in_place(const Body *b, int arg, const Type *t) {
    for (uint32_t i = 0; i < b->g->n; i++)
        for (int j = 0; !is_view(b->g, i) && j < b->g->node[i]->nin; j++)
            if (!reads_in_place(b, b->g->node[i]->in[j], arg, t)) return false;
    for (size_t i = 0; i < b->g->nout; i++)
        if (!reads_in_place(b, b->g->out[i].ref, arg, t)) return false;
    return true;
}

/* Whether code of stage `stage` loads the input: for a reduction, or for a result that has all
 * axes. (What has only the kept ones is loaded once a row.) */
static bool read_in_stage(Body *b, int arg, int stage) {
    const Graph *g = b->g;
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        bool reads = n->op == OP_arg && n->attr.count == arg, reduces = reduced_axes(g, n) != 0;
        for (int j = 0; j < n->nin; j++) reads |= b->reads[n->in[j].node];
        if (reads && reduces && b->stage[i] == stage) return true;
        b->reads[i] = reads && !reduces && !(b->stored[i] && b->stage[i] < stage);
    }
    for (uint32_t i = 0; i < g->n; i++)
        if (b->stored[i] && b->reads[i] && b->stage[i] == stage) return true;
    return false;
}

static bool read_after(Body *b, int arg, int stage) {
    int last = 0;
    for (uint32_t i = 0; i < b->g->n; i++) last = b->stage[i] > last ? b->stage[i] : last;
    for (int s = stage + 1; s <= last; s++)
        if (read_in_stage(b, arg, s)) return true;
    return false;
}

static const Type *body_arg_type(const Graph *body, int arg) {
    for (size_t i = 0; i < body->n; i++)
        if (body->node[i]->op == OP_arg && body->node[i]->attr.count == arg)
            return &body->node[i]->type[0];
    return NULL;
}

bool fused_arg_inplace(Arena *a, const Node *n, int arg, int out) {
    const Graph *g = n->attr.body;
    const Type *in = body_arg_type(g, arg), *t = &n->type[out];
    if (!in) return true; /* never read */
    if (dtype_size(in->dtype) != dtype_size(t->dtype)) return false;
    Body b = body_read(a, g);
    int axes = axes_of(&b, t);
    if (!axes || !all_reads_in_place(&b, arg, t)) return false;
    return axes & KEPT_AXES || !read_after(&b, arg, b.stage[g->out[out].ref.node]);
}
