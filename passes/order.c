/* order: the order of a fused graph's nodes is the order in which they are done, so it decides how
 * much is live at once. What frees more than it takes is done as soon as it can be (the update of a
 * parameter when its gradient is there, unless clipping waits for all of them), and so is what
 * takes next to nothing (a learning rate); everything else stays in the order in which it was.
 *
 * New state overwrites the old, so its node waits for the readers of the old value that came before
 * it. Limits: it looks one node ahead; what takes memory first and frees more later is not found.
 */
#include <string.h>

#include "passes/internal.h"
#include "passes/view.h"

enum { LITTLE = 64, LITTLE_OF_ALL = 100000 };

typedef struct Value { /* by number: of node `first[node]` + result */
    int root;          /* the value whose storage it shares */
    int64_t bytes;     /* 0: takes nothing from the arena */
    int left;          /* nodes that still have to read it; one more where it lives to the end */
} Value;
typedef VEC(uint32_t) NodeList;
typedef struct Order {
    Arena *arena;
    const Graph *g;
    int *first;
    Value *value;
    int *waiting;   /* by node: what has to be done before it */
    NodeList *next; /* by node: what waits for it */
    NodeList ready; /* ascending */
    int64_t little; /* bytes that do not count */
    Graph *to;
    RefMap map;
} Order;

static Value *root_of(const Order *o, Ref r) {
    return &o->value[o->value[o->first[r.node] + (int)r.out].root];
}

/* ---- values */

/* Is there without doing anything. */
static bool is_leaf(const Node *n) {
    return n->nin == 0 && n->op != OP_fused;
}

static void number_values(Order *o) {
    const Graph *g = o->g;
    o->first = NEW_N(o->arena, int, g->n + 1);
    for (size_t i = 0; i < g->n; i++) o->first[i + 1] = o->first[i] + g->node[i]->nout;
    o->value = NEW_N(o->arena, Value, o->first[g->n]);
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; k < g->node[i]->nout; k++) {
            const Node *n = g->node[i];
            Value *v = &o->value[o->first[i] + k];
            v->root = o->first[i] + k;
            if (view_is_strided(n))
                v->root = (int)(root_of(o, n->in[0]) - o->value);
            else if (!is_leaf(n))
                v->bytes = type_count(&n->type[k]) * (int64_t)dtype_size(n->type[k].dtype);
            o->little += v->bytes / LITTLE_OF_ALL;
        }
}

/* Whether input `j` of `n` is the first that reads its storage. */
static bool reads_first(const Order *o, const Node *n, int j) {
    for (int i = 0; i < j; i++)
        if (root_of(o, n->in[i]) == root_of(o, n->in[j])) return false;
    return true;
}

/* New state needs no arena, and outputs stay. */
static void count_readers(Order *o, const bool *reached) {
    const Graph *g = o->g;
    for (size_t i = 0; i < g->n; i++)
        for (int j = 0; reached[i] && j < g->node[i]->nin; j++)
            root_of(o, g->node[i]->in[j])->left += reads_first(o, g->node[i], j);
    for (size_t i = 0; i < g->nout; i++) {
        Value *v = root_of(o, g->out[i].ref);
        v->left++;
        if (g->out[i].kind == OUT_state) v->bytes = 0;
    }
}

/* ---- what waits for what */

static void add_edge(Order *o, uint32_t from, uint32_t to) {
    vec_push(o->arena, &o->next[from], to);
    o->waiting[to]++;
}

/* By tensor: the node that makes its new value, 0: none (a node that makes one has inputs). */
static uint32_t *find_writers(const Order *o, const Program *p) {
    uint32_t *writer = NEW_N(o->arena, uint32_t, p->ntensor);
    for (size_t i = 0; i < o->g->nout; i++) {
        const Output *out = &o->g->out[i];
        if (out->kind == OUT_state) writer[out->index] = below_names(o->g, out->ref).node;
    }
    return writer;
}

/* The tensor whose old value `r` is; -1: none. */
static int tensor_behind(const Graph *g, Ref r) {
    const Node *n = graph_node(g, below_names(g, r));
    return n->op == OP_state ? n->attr.tensor : -1;
}

static void add_edges(Order *o, const Program *p, const bool *reached) {
    const Graph *g = o->g;
    const uint32_t *writer = find_writers(o, p);
    for (uint32_t i = 0; i < g->n; i++)
        for (int j = 0; reached[i] && j < g->node[i]->nin; j++) {
            if (!is_leaf(graph_node(g, g->node[i]->in[j]))) add_edge(o, g->node[i]->in[j].node, i);
            int t = tensor_behind(g, g->node[i]->in[j]);
            if (t >= 0 && writer[t] > i) add_edge(o, i, writer[t]);
        }
}

/* ---- choosing */

/* Bytes that node `at` takes, less those that nothing reads after it. */
static int64_t growth(const Order *o, uint32_t at) {
    const Node *n = o->g->node[at];
    int64_t bytes = 0;
    for (int k = 0; k < n->nout; k++) {
        const Value *v = &o->value[o->first[at] + k];
        if (v == &o->value[v->root]) bytes += v->bytes;
    }
    for (int j = 0; j < n->nin; j++) {
        const Value *v = root_of(o, n->in[j]);
        if (v->left == 1 && reads_first(o, n, j)) bytes -= v->bytes;
    }
    return bytes;
}

/* The place in `ready` of the first node that takes little or frees something, else of the first.
 */
static size_t choose(const Order *o) {
    for (size_t i = 0; i < o->ready.n; i++)
        if (growth(o, o->ready.at[i]) <= o->little) return i;
    return 0;
}

static void make_ready(Order *o, uint32_t at) {
    vec_push(o->arena, &o->ready, at);
    for (size_t i = o->ready.n - 1; i > 0 && o->ready.at[i - 1] > at; i--) {
        o->ready.at[i] = o->ready.at[i - 1];
        o->ready.at[i - 1] = at;
    }
}

static void copy_node(Order *o, uint32_t at) {
    const Node *n = o->g->node[at];
    const Ref *in = refmap_inputs(&o->map, n, o->arena);
    refmap_set_node(&o->map, o->g, at, graph_copy_node(o->to, n, in));
}

/* Leaves stand before what first reads them. */
static void copy_leaf(Order *o, Ref r) {
    if (is_leaf(graph_node(o->g, r)) && !ref_is(refmap_get(&o->map, r))) copy_node(o, r.node);
}

static void emit(Order *o, size_t place) {
    uint32_t at = o->ready.at[place];
    const Node *n = o->g->node[at];
    memmove(o->ready.at + place, o->ready.at + place + 1,
            (o->ready.n - place - 1) * sizeof *o->ready.at);
    o->ready.n--;
    for (int j = 0; j < n->nin; j++) copy_leaf(o, n->in[j]);
    copy_node(o, at);
    for (int j = 0; j < n->nin; j++) root_of(o, n->in[j])->left -= reads_first(o, n, j);
    for (size_t i = 0; i < o->next[at].n; i++)
        if (--o->waiting[o->next[at].at[i]] == 0) make_ready(o, o->next[at].at[i]);
}

static Graph *order_graph(const Program *p, const Graph *g, PassCx *cx) {
    Arena *scratch = arena_new();
    Order o = {.arena = scratch, .g = g, .little = LITTLE, .to = graph_new(cx->arena, g->name)};
    bool *reached = graph_reached(g, scratch);
    o.waiting = NEW_N(scratch, int, g->n);
    o.next = NEW_N(scratch, NodeList, g->n);
    o.map = refmap_new(scratch, g);
    number_values(&o);
    count_readers(&o, reached);
    add_edges(&o, p, reached);
    for (uint32_t i = 0; i < g->n; i++)
        if (reached[i] && o.waiting[i] == 0 && !is_leaf(g->node[i])) make_ready(&o, i);
    while (o.ready.n) emit(&o, choose(&o));
    for (size_t i = 0; i < g->nout; i++) copy_leaf(&o, g->out[i].ref);
    refmap_outputs(&o.map, g, o.to);
    arena_free(scratch);
    return loops_map(p, o.to, cx, order_graph);
}

Program *pass_order(const Program *in, PassCx *cx) {
    return program_map(in, cx, order_graph);
}
