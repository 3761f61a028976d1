/* accumulate: a sum of a product and another value becomes a product that starts from that value
 * (BLAS's beta = 1 in place of 0, which costs the same): a bias, the other terms of a gradient.
 * What reads the sum then reads one value in place of two, and a value that nobody else needs is
 * added to where it lies (passes/plan.c).
 *
 * Only where the other value is in memory in any case: one that a kernel would compute where it is
 * read, and only there, stays in that kernel. Limits: f32; a product that is also read alone, or
 * through a view, keeps its sum. */
#include "passes/internal.h"
#include "passes/view.h"

typedef struct Accumulate {
    const Graph *g;
    Graph *to;
    RefMap map;
    int *uses;    /* by node of g */
    bool *stored; /* by node of g: in memory in any case */
} Accumulate;

static bool is_product(const Node *n) {
    return op_info[n->op].lower == LOWER_DOT;
}

/* Whether its inputs have to lie in memory. */
static bool demands(const Node *n) {
    return op_stands_alone(n->op);
}

static void read_graph(Accumulate *a, const bool *reached) {
    const Graph *g = a->g;
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        bool leaf = n->op == OP_state || n->op == OP_field || n->op == OP_arg;
        a->stored[i] |= demands(n) || leaf;
        for (int j = 0; reached[i] && j < n->nin; j++) {
            a->uses[n->in[j].node]++;
            if (demands(n)) a->stored[below_names(g, n->in[j]).node] = true;
        }
    }
    for (size_t i = 0; i < g->nout; i++) {
        a->uses[g->out[i].ref.node]++;
        a->stored[below_names(g, g->out[i].ref).node] = true;
    }
}

/* Whether the sum can be input `i` of it, a product, that starts from the other input. */
static bool starts_from_other(const Accumulate *a, const Node *sum, int i) {
    const Node *dot = graph_node(a->g, sum->in[i]);
    Ref other = below_names(a->g, sum->in[1 - i]);
    bool there = a->stored[other.node] || is_product(graph_node(a->to, refmap_get(&a->map, other)));
    return dot->op == OP_dot && a->uses[sum->in[i].node] == 1 && there &&
           type_same_shape(&dot->type[0], &sum->type[0]);
}

static Ref add_to(Accumulate *a, const Node *sum, int i) {
    Node n = *graph_node(a->g, sum->in[i]);
    Ref in[] = {refmap_get(&a->map, sum->in[1 - i]), refmap_get(&a->map, n.in[0]),
                refmap_get(&a->map, n.in[1])};
    n.op = OP_dot_add;
    n.nin = 3;
    return graph_copy_node(a->to, &n, in);
}

static void copy_node(Accumulate *a, Arena *scratch, uint32_t at) {
    const Node *n = a->g->node[at];
    bool sum = n->op == OP_add && n->type[0].dtype == DT_f32;
    for (int i = 1; sum && i >= 0; i--)
        if (starts_from_other(a, n, i)) {
            refmap_set(&a->map, (Ref){at, 0}, add_to(a, n, i));
            return;
        }
    Ref to = graph_copy_node(a->to, n, refmap_inputs(&a->map, n, scratch));
    refmap_set_node(&a->map, a->g, at, to);
}

static Graph *accumulate_graph(const Program *p, const Graph *g, PassCx *cx) {
    Arena *scratch = arena_new();
    Accumulate a = {.g = g,
                    .to = graph_new(cx->arena, g->name),
                    .map = refmap_new(scratch, g),
                    .uses = NEW_N(scratch, int, g->n),
                    .stored = NEW_N(scratch, bool, g->n)};
    const bool *reached = graph_reached(g, scratch);
    read_graph(&a, reached);
    for (uint32_t i = 0; i < g->n; i++)
        if (reached[i]) copy_node(&a, scratch, i);
    refmap_outputs(&a.map, g, a.to);
    Graph *out = graph_prune(cx->arena, a.to, g->name, NULL);
    arena_free(scratch);
    return loops_map(p, out, cx, accumulate_graph);
}

Program *pass_accumulate(const Program *in, PassCx *cx) {
    return program_map(in, cx, accumulate_graph);
}
