/* Graphs and their builder. Nodes are immutable and hash-consed on operator, types, attributes,
 * inputs, copy and region, so that equal values are one node: building is common subexpression
 * elimination. The builder shares and never rewrites: gradients have to see every use as it was
 * written. Spans are not in the key; the first one stays. */
#include "ir/internal.h"

#include <math.h>
#include <string.h>

Graph *graph_new(Arena *a, const char *name) {
    Graph *g = NEW(a, Graph);
    g->name = arena_strdup(a, name);
    g->arena = a;
    return g;
}

/* ---- attributes */

static uint64_t bits_of(double v) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static uint64_t hash_ints(const int64_t *v, int n, uint64_t h) {
    return hash_bytes(v, (size_t)n * sizeof *v, h);
}

static uint64_t graph_hash(const Graph *g) {
    uint64_t h = hash_mix(g->n, g->nout);
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        h = hash_mix(h, (uint64_t)n->op);
        for (int k = 0; k < n->nin; k++) h = hash_mix(h, n->in[k].node);
    }
    return h;
}

uint64_t attr_hash(AttrKind kind, const Attr *a) {
    uint64_t h = 0;
    switch (kind) {
    case ATTR_NONE:
        return 0;
    case ATTR_CONST:
        return bits_of(a->num);
    case ATTR_AXES:
        return a->axes;
    case ATTR_AXIS:
        return (uint64_t)a->axis;
    case ATTR_TYPE:
        return (uint64_t)a->dtype;
    case ATTR_TENSOR:
        return (uint64_t)a->tensor;
    case ATTR_COUNT:
        return (uint64_t)a->count;
    case ATTR_NAME:
        return hash_str(a->name, 0);
    case ATTR_BODY:
        return graph_hash(a->body);
    case ATTR_PLACE:
        return hash_mix(a->random.place, (uint64_t)a->random.below);
    case ATTR_SHAPE:
        return hash_ints(a->shape.dim, a->shape.rank, 0);
    case ATTR_PERM:
        return hash_bytes(a->perm.axis, (size_t)a->perm.rank * sizeof(int), 0);
    case ATTR_SLICE:
        h = hash_ints(a->slice.start, a->slice.rank, h);
        h = hash_ints(a->slice.step, a->slice.rank, h);
        return hash_ints(a->slice.size, a->slice.rank, h);
    case ATTR_PAD:
        h = hash_ints(a->pad.lo, a->pad.rank, h);
        h = hash_ints(a->pad.hi, a->pad.rank, h);
        return hash_ints(a->pad.gap, a->pad.rank, h);
    case ATTR_DOT:
        return hash_str(a->dot.a, hash_str(a->dot.b, hash_str(a->dot.out, 0)));
    }
    BUG("attribute kind %d", (int)kind);
}

static bool same_ints(int ra, int rb, const int64_t *a, const int64_t *b) {
    return ra == rb && !memcmp(a, b, (size_t)ra * sizeof *a);
}

static bool same_slice(const Attr *a, const Attr *b) {
    int ra = a->slice.rank, rb = b->slice.rank;
    return same_ints(ra, rb, a->slice.start, b->slice.start) &&
           same_ints(ra, rb, a->slice.step, b->slice.step) &&
           same_ints(ra, rb, a->slice.size, b->slice.size);
}

static bool same_pad(const Attr *a, const Attr *b) {
    int ra = a->pad.rank, rb = b->pad.rank;
    return same_ints(ra, rb, a->pad.lo, b->pad.lo) && same_ints(ra, rb, a->pad.hi, b->pad.hi) &&
           same_ints(ra, rb, a->pad.gap, b->pad.gap);
}

bool attr_same(AttrKind kind, const Attr *a, const Attr *b) {
    switch (kind) {
    case ATTR_NONE:
        return true;
    case ATTR_CONST:
        return bits_of(a->num) == bits_of(b->num);
    case ATTR_AXES:
        return a->axes == b->axes;
    case ATTR_AXIS:
        return a->axis == b->axis;
    case ATTR_TYPE:
        return a->dtype == b->dtype;
    case ATTR_TENSOR:
        return a->tensor == b->tensor;
    case ATTR_COUNT:
        return a->count == b->count;
    case ATTR_NAME:
        return str_eq(a->name, b->name);
    case ATTR_BODY:
        return graph_same(a->body, b->body);
    case ATTR_PLACE:
        return a->random.place == b->random.place && a->random.below == b->random.below;
    case ATTR_SHAPE:
        return same_ints(a->shape.rank, b->shape.rank, a->shape.dim, b->shape.dim);
    case ATTR_PERM:
        return a->perm.rank == b->perm.rank &&
               !memcmp(a->perm.axis, b->perm.axis, (size_t)a->perm.rank * sizeof(int));
    case ATTR_SLICE:
        return same_slice(a, b);
    case ATTR_PAD:
        return same_pad(a, b);
    case ATTR_DOT:
        return str_eq(a->dot.a, b->dot.a) && str_eq(a->dot.b, b->dot.b) &&
               str_eq(a->dot.out, b->dot.out);
    }
    BUG("attribute kind %d", (int)kind);
}

/* ---- consing */

static bool node_same(const Node *a, const Node *b) {
    if (a->op != b->op || a->nin != b->nin || a->nout != b->nout || a->copy != b->copy ||
        a->region != b->region)
        return false;
    for (int i = 0; i < a->nin; i++)
        if (!ref_same(a->in[i], b->in[i])) return false;
    for (int i = 0; i < a->nout; i++)
        if (!type_same(&a->type[i], &b->type[i])) return false;
    return attr_same(op_info[a->op].attr, &a->attr, &b->attr);
}

static uint64_t type_hash(const Type *t, uint64_t h) {
    h = hash_mix(h, (uint64_t)t->dtype << 16 | (uint64_t)(uint8_t)t->batch_axis);
    return hash_ints(t->dim, t->rank, h);
}

static uint64_t node_hash(const Node *n) {
    uint64_t h = hash_mix((uint64_t)n->op, (uint64_t)n->copy << 32 | n->region);
    for (int i = 0; i < n->nin; i++) h = hash_mix(h, (uint64_t)n->in[i].node << 32 | n->in[i].out);
    for (int i = 0; i < n->nout; i++) h = type_hash(&n->type[i], h);
    return hash_mix(h, attr_hash(op_info[n->op].attr, &n->attr));
}

bool graph_same(const Graph *a, const Graph *b) {
    if (a == b) return true;
    if (a->n != b->n || a->nout != b->nout) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!node_same(a->node[i], b->node[i])) return false;
    for (size_t i = 0; i < a->nout; i++) {
        const Output *x = &a->out[i], *y = &b->out[i];
        if (x->kind != y->kind || x->index != y->index || !ref_same(x->ref, y->ref)) return false;
    }
    return true;
}

/* The slot of the node's equal, or the empty one where it belongs. */
static size_t slot_find(const Graph *g, const Node *n) {
    size_t i = (size_t)node_hash(n) & (g->nslot - 1);
    while (g->slot[i] && !node_same(g->node[g->slot[i] - 1], n)) i = (i + 1) & (g->nslot - 1);
    return i;
}

static void slots_grow(Graph *g) {
    g->nslot = g->nslot ? g->nslot * 2 : 64;
    g->slot = NEW_N(g->arena, uint32_t, g->nslot);
    for (size_t i = 0; i < g->n; i++) g->slot[slot_find(g, g->node[i])] = (uint32_t)i + 1;
}

/* `n` lies on the caller's stack; it is copied into the arena if it is new. */
static uint32_t node_intern(Graph *g, const Node *n) {
    if (g->n * 2 >= g->nslot) slots_grow(g);
    size_t slot = slot_find(g, n);
    if (g->slot[slot]) return g->slot[slot] - 1;
    CHECK(g->n < MAX_NODES);
    Node *kept = arena_memdup(g->arena, n, sizeof *n);
    kept->in = arena_memdup(g->arena, n->in, (size_t)n->nin * sizeof *n->in);
    kept->type = arena_memdup(g->arena, n->type, (size_t)n->nout * sizeof *n->type);
    if (op_info[n->op].attr == ATTR_NAME) kept->attr.name = arena_strdup(g->arena, n->attr.name);
    if (g->n == g->cap) g->node = vec_grow(g->arena, g->node, g->n, &g->cap, sizeof *g->node);
    g->node[g->n++] = kept;
    g->slot[slot] = (uint32_t)g->n;
    return (uint32_t)g->n - 1;
}

static Ref node_add(Graph *g, Node *n, const Type *given) {
    static const Attr no_attr;
    Arena *scratch = arena_new();
    Type *in = NEW_N(scratch, Type, n->nin);
    for (int i = 0; i < n->nin; i++) {
        CHECK(n->in[i].node < g->n && (int)n->in[i].out < g->node[n->in[i].node]->nout);
        in[i] = *graph_type(g, n->in[i]);
    }
    n->type = NEW_N(scratch, Type, op_max_results(n->op, &n->attr, n->nin));
    Err e = {{0}};
    if (!shape_infer(n->op, &n->attr, in, n->nin, given, n->type, &n->nout, scratch, &e))
        BUG("%s in graph '%s': %s", op_info[n->op].name, g->name, e.msg);
    if (op_info[n->op].attr == ATTR_NONE) n->attr = no_attr;
    if (n->op == OP_const && isnan(n->attr.num))
        n->attr.num = (double)NAN; /* one NaN, as in the text */
    uint32_t at = node_intern(g, n);
    arena_free(scratch);
    return (Ref){at, 0};
}

Ref graph_add(Graph *g, Op op, const Attr *attr, const Ref *in, int nin, const Type *type,
              Span span) {
    Node n = {
        .op = op, .nin = nin, .in = (Ref *)in, .copy = g->copy, .region = g->region, .span = span};
    if (attr) n.attr = *attr;
    return node_add(g, &n, type);
}

Ref graph_copy_node(Graph *to, const Node *n, const Ref *in) {
    Node copy = *n;
    copy.in = (Ref *)in;
    return node_add(to, &copy, op_takes_type(n->op) ? n->type : NULL);
}

void graph_out(Graph *g, OutKind kind, const char *name, int index, Ref ref, Span span) {
    CHECK(ref.node < g->n && (int)ref.out < g->node[ref.node]->nout);
    if (g->nout == g->outcap)
        g->out = vec_grow(g->arena, g->out, g->nout, &g->outcap, sizeof *g->out);
    g->out[g->nout++] =
        (Output){kind, name ? arena_strdup(g->arena, name) : NULL, index, ref, span};
}

/* ---- what the outputs need */

static void reach_back(const Graph *g, bool *reached) {
    for (size_t i = g->n; i-- > 0;)
        if (reached[i])
            for (int k = 0; k < g->node[i]->nin; k++) reached[g->node[i]->in[k].node] = true;
}

bool *graph_reached(const Graph *g, Arena *a) {
    bool *reached = NEW_N(a, bool, g->n);
    for (size_t i = 0; i < g->nout; i++) reached[g->out[i].ref.node] = true;
    reach_back(g, reached);
    return reached;
}

Graph *graph_prune(Arena *a, const Graph *g, const char *name, bool (*keep)(const Output *)) {
    Graph *to = graph_new(a, name);
    Arena *scratch = arena_new();
    bool *reached = NEW_N(scratch, bool, g->n);
    for (size_t i = 0; i < g->nout; i++)
        if (!keep || keep(&g->out[i])) reached[g->out[i].ref.node] = true;
    reach_back(g, reached);
    uint32_t *map = NEW_N(scratch, uint32_t, g->n);
    for (size_t i = 0; i < g->n; i++) {
        if (!reached[i]) continue;
        const Node *n = g->node[i];
        Ref *in = NEW_N(scratch, Ref, n->nin);
        for (int k = 0; k < n->nin; k++) in[k] = (Ref){map[n->in[k].node], n->in[k].out};
        map[i] = graph_copy_node(to, n, in).node;
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        if (!keep || keep(o))
            graph_out(to, o->kind, o->name, o->index, (Ref){map[o->ref.node], o->ref.out}, o->span);
    }
    arena_free(scratch);
    return to;
}
