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
    return hash_bytes(t->dim, (size_t)t->rank * sizeof *t->dim, h);
}

static uint64_t node_hash(const Node *n) {
    uint64_t h = hash_mix((uint64_t)n->op, (uint64_t)n->copy << 32 | n->region);
    for (int i = 0; i < n->nin; i++) h = hash_mix(h, (uint64_t)n->in[i].node << 32 | n->in[i].out);
    for (int i = 0; i < n->nout; i++) h = type_hash(&n->type[i], h);
    return hash_mix(h, attr_hash(op_info[n->op].attr, &n->attr));
}

uint64_t graph_hash(const Graph *g) {
    uint64_t h = hash_mix(g->n, g->nout);
    for (size_t i = 0; i < g->n; i++) h = hash_mix(h, g->node[i]->hash);
    return h;
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
static size_t slot_find(const Graph *g, const Node *n, uint64_t hash) {
    size_t i = (size_t)hash & (g->nslot - 1);
    for (; g->slot[i]; i = (i + 1) & (g->nslot - 1)) {
        const Node *there = g->node[g->slot[i] - 1];
        if (there->hash == hash && node_same(there, n)) break;
    }
    return i;
}

static void slots_grow(Graph *g) {
    g->nslot = g->nslot ? g->nslot * 2 : 2 * FIRST(32);
    g->slot = NEW_N(g->arena, uint32_t, g->nslot);
    for (size_t i = 0; i < g->n; i++)
        g->slot[slot_find(g, g->node[i], g->node[i]->hash)] = (uint32_t)i + 1;
}

static uint32_t node_intern(Graph *g, const Node *n);

/* The body of a node, in the arena of the graph that the node is in. */
static Graph *body_in(Arena *a, Graph *body) {
    if (body->arena == a) return body;
    Graph *to = graph_new(a, body->name);
    for (size_t i = 0; i < body->n; i++) node_intern(to, body->node[i]);
    CHECK(to->n == body->n);
    for (size_t i = 0; i < body->nout; i++) {
        const Output *o = &body->out[i];
        graph_out(to, o->kind, o->name, o->index, o->ref, o->span);
    }
    return to;
}

/* `n` lies on the caller's stack; it is copied into the arena if it is new. */
static uint32_t node_intern(Graph *g, const Node *n) {
    if (g->n * 2 >= g->nslot) slots_grow(g);
    uint64_t hash = node_hash(n);
    size_t slot = slot_find(g, n, hash);
    if (g->slot[slot]) return g->slot[slot] - 1;
    CHECK(g->n < MAX_NODES);
    Node *kept = arena_memdup(g->arena, n, sizeof *n);
    kept->hash = hash;
    kept->in = arena_memdup(g->arena, n->in, (size_t)n->nin * sizeof *n->in);
    kept->type = arena_memdup(g->arena, n->type, (size_t)n->nout * sizeof *n->type);
    if (op_has_body(n->op)) kept->attr.body = body_in(g->arena, n->attr.body);
    if (op_info[n->op].attr == ATTR_NAME) kept->attr.name = arena_strdup(g->arena, n->attr.name);
    if (g->n == g->cap) g->node = vec_grow(g->arena, g->node, g->n, &g->cap, sizeof *g->node);
    g->node[g->n++] = kept;
    g->slot[slot] = (uint32_t)g->n;
    return (uint32_t)g->n - 1;
}

bool node_infer(const Graph *g, const Node *n, const Type *given, Arena *a, Type **out, int *nout,
                Err *e) {
    Type *in = NEW_N(a, Type, n->nin);
    for (int i = 0; i < n->nin; i++) in[i] = *graph_type(g, n->in[i]);
    return shape_infer(n->op, &n->attr, in, n->nin, given, a, out, nout, e);
}

/* One form for what means the same: no attribute is zero, one NaN as in the text, a part that is
 * all is no part, and where a single element is left the distance to the next is 1. (So strides
 * times steps stay below 2^40.) */
static void attr_settle(const Graph *g, Node *n) {
    Attr *a = &n->attr;
    if (op_info[n->op].attr == ATTR_NONE) *a = (Attr){.num = 0};
    if (n->op == OP_const && isnan(a->num)) a->num = (double)NAN;
    for (int i = 0; n->op == OP_slice && i < a->slice.rank; i++)
        if (a->slice.size[i] == 1) a->slice.step[i] = 1;
    for (int i = 0; n->op == OP_pad && i < a->pad.rank; i++)
        if (graph_type(g, n->in[0])->dim[i] == 1) a->pad.gap[i] = 0;
    if (op_info[n->op].flags & FLAG_RANDOM && a->random.rank && random_is_whole(a, &n->type[0]))
        a->random.rank = 0;
}

static Ref node_add(Graph *g, Node *n, const Type *given) {
    Arena *scratch = arena_new();
    Err e = {0};
    for (int i = 0; i < n->nin; i++)
        CHECK(n->in[i].node < g->n && (int)n->in[i].out < g->node[n->in[i].node]->nout);
    if (!node_infer(g, n, given, scratch, &n->type, &n->nout, &e))
        GRAPH_BUG(g, "%s in graph '%s': %s", op_info[n->op].name, g->name, e.msg);
    attr_settle(g, n);
    uint32_t at = node_intern(g, n);
    arena_free(scratch);
    return (Ref){at, 0};
}

Ref graph_add(Graph *g, Op op, const Attr *attr, const Ref *in, int nin, const Type *type,
              Span span) {
    Node n = {
        .op = op, .nin = nin, .in = (Ref *)in, .copy = g->copy, .region = g->region, .span = span};
    if (attr) n.attr = *attr;
    if (!n.span.via) n.span.via = g->via;
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

uint32_t graph_new_copy(const Graph *g) {
    uint32_t most = 0;
    for (size_t i = 0; i < g->n; i++) most = g->node[i]->copy > most ? g->node[i]->copy : most;
    return most + 1;
}

bool *graph_reached(const Graph *g, Arena *a) {
    bool *reached = NEW_N(a, bool, g->n);
    for (size_t i = 0; i < g->nout; i++) reached[g->out[i].ref.node] = true;
    reach_back(g, reached);
    return reached;
}

static Graph *rebuild(Arena *a, const Graph *g, const char *name, const bool *keep) {
    Graph *to = graph_new(a, name);
    Arena *scratch = arena_new();
    bool *reached = NEW_N(scratch, bool, g->n);
    for (size_t i = 0; i < g->nout; i++)
        if (keep[i]) reached[g->out[i].ref.node] = true;
    reach_back(g, reached);
    uint32_t *map = NEW_N(scratch, uint32_t, g->n);
    for (size_t i = 0; i < g->n; i++) {
        if (!reached[i]) continue;
        const Node *n = g->node[i];
        Node copy = *n; /* its inputs have the types that they had, and so it does */
        copy.in = NEW_N(scratch, Ref, n->nin);
        for (int k = 0; k < n->nin; k++) copy.in[k] = (Ref){map[n->in[k].node], n->in[k].out};
        map[i] = node_intern(to, &copy);
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        if (keep[i])
            graph_out(to, o->kind, o->name, o->index, (Ref){map[o->ref.node], o->ref.out}, o->span);
    }
    arena_free(scratch);
    return to;
}

Graph *graph_prune(Arena *a, const Graph *g, const char *name, bool (*keep)(const Output *)) {
    Arena *scratch = arena_new();
    bool *kept = NEW_N(scratch, bool, g->nout + 1);
    for (size_t i = 0; i < g->nout; i++) kept[i] = !keep || keep(&g->out[i]);
    Graph *to = rebuild(a, g, name, kept);
    arena_free(scratch);
    return to;
}

Graph *graph_keep(Arena *a, const Graph *g, const bool *keep) {
    return rebuild(a, g, g->name, keep);
}
