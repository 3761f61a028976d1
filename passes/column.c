/* column: a product with a single row or column is a sum of products, which a kernel computes as
 * fast as it reads the other operand, together with what is done to the result: the last layer of a
 * discriminator, one channel of windows, dot products of pairs. A matrix product would pack the
 * operand first, and compute a tile for one of its columns.
 *
 * What stays: a matrix that lies in memory as it is, such as a parameter or the keys of a text so
 * far, since products of a few rows read it as it lies (codegen/rows.c, BLAS), and a product of
 * which all axes do not fit one value. */
#include <string.h>

#include "passes/internal.h"
#include "passes/view.h"

typedef struct Columns {
    const Graph *g;
    Graph *to;
    RefMap map;
} Columns;

/* Has the operand no axis of the result that the other lacks? */
static bool is_vector(const Graph *g, const Node *dot, int i) {
    const char *own = i ? dot->attr.dot.b : dot->attr.dot.a,
               *other = i ? dot->attr.dot.a : dot->attr.dot.b;
    const Type *t = graph_type(g, dot->in[i]);
    for (int k = 0; own[k]; k++)
        if (t->dim[k] != 1 && strchr(dot->attr.dot.out, own[k]) && !strchr(other, own[k]))
            return false;
    return true;
}

/* Not a tensor or a field, and not one with some rows put in, as the keys of a text are: with sums
 * of those in place of products generating took a quarter longer. */
static bool is_computed(const Graph *g, Ref r) {
    const Node *n = graph_node(g, view_of(g, r).base);
    return n->nin > 0 && op_info[n->op].lower != LOWER_TABLE;
}

/* The axes of the result, then those that are summed along. */
static bool all_axes(const Node *dot, char order[RANK + 1]) {
    size_t n = strlen(dot->attr.dot.out);
    memcpy(order, dot->attr.dot.out, n + 1);
    for (const char *c = dot->attr.dot.a; *c; c++) {
        if (strchr(dot->attr.dot.out, *c)) continue;
        if (n == RANK) return false;
        order[n++] = *c, order[n] = 0;
    }
    return true;
}

static bool is_column(const Graph *g, const Node *n) {
    char order[RANK + 1];
    if (n->op != OP_dot || !all_axes(n, order)) return false;
    bool a = is_vector(g, n, 0), b = is_vector(g, n, 1);
    return (a && b) || (a && is_computed(g, n->in[1])) || (b && is_computed(g, n->in[0]));
}

static Ref as_sum(const Columns *c, const Node *dot) {
    Graph *to = c->to;
    char order[RANK + 1];
    all_axes(dot, order);
    Ref x = g_lined_up(to, dot, 0, refmap_get(&c->map, dot->in[0]), order);
    Ref y = g_lined_up(to, dot, 1, refmap_get(&c->map, dot->in[1]), order);
    Ref all = g_binary(to, OP_mul, x, y, dot->span);
    int rank = dot->type[0].rank;
    uint32_t summed = (UINT32_C(1) << strlen(order)) - (UINT32_C(1) << rank);
    return g_reshape(to, g_reduce(to, OP_sum, all, summed, dot->span), rank, dot->type[0].dim,
                     dot->span);
}

static Graph *with_sums(const Graph *g, PassCx *cx) {
    Arena *scratch = arena_new();
    Columns c = {g, graph_new(cx->arena, g->name), refmap_new(scratch, g)};
    const bool *reached = graph_reached(g, scratch);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (!reached[i]) continue;
        Ref to = is_column(g, n) ? as_sum(&c, n)
                                 : graph_copy_node(c.to, n, refmap_inputs(&c.map, n, scratch));
        refmap_set_node(&c.map, g, i, to);
    }
    refmap_outputs(&c.map, g, c.to);
    Graph *out = graph_prune(cx->arena, c.to, g->name, NULL);
    arena_free(scratch);
    return out;
}

static bool has_column(const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        if (is_column(g, g->node[i])) return true;
    return false;
}

static Graph *column_graph(const Program *p, const Graph *g, PassCx *cx) {
    Graph *to = has_column(g) ? with_sums(g, cx) : (Graph *)g;
    return loops_map(p, to, cx, column_graph);
}

Program *pass_column(const Program *in, PassCx *cx) {
    return program_map(in, cx, column_graph);
}
