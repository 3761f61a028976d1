/* round: where `run` says `precision = bf16`, products of training take bf16 operands and sum in
 * f32. Parameters, the optimiser's states, reductions and all pointwise arithmetic stay f32.
 *
 * Which products: those that a loss or a new state comes from, forward and backward, but not what a
 * minimize does with its gradients, nor what only reports read. Entries that do not train stay f32.
 *
 * Which values are kept in bf16: what a kernel computes and such a product reads, that kernel
 * stores in bf16 for the product (and in f32 only where something else reads it too). What is in
 * memory in any case, parameters, results of products, rows of tables, the product rounds as it
 * reads. So no value is moved for its own sake, and the choice changes no bit: rounding twice is
 * rounding once. */
#include "passes/internal.h"
#include "passes/view.h"

static bool by_kernel(const Node *n) {
    Lower lower = op_info[n->op].lower;
    return lower == LOWER_MAP || lower == LOWER_REDUCE;
}

/* What shows the elements of its one input, and nothing else but zeros. */
static bool shows_input(const Node *n) {
    return view_is_strided(n) || n->op == OP_pad;
}

/* The operand as the product is to find it. The cast stands below whatever only shows what it
 * reads, next to what computes, so that both are one kernel. */
static Ref operand(Graph *to, const Graph *g, const RefMap *map, Ref r, Arena *scratch) {
    VEC(Ref) chain = {0};
    Ref base = r;
    for (; shows_input(graph_node(g, base)); base = graph_node(g, base)->in[0])
        vec_push(scratch, &chain, base);
    const Node *n = graph_node(g, base);
    if (n->type[base.out].dtype != DT_f32 || !by_kernel(n)) return refmap_get(map, r);
    Ref x = g_cast(to, refmap_get(map, base), DT_bf16, n->span);
    while (chain.n--) {
        const Node *view = graph_node(g, chain.at[chain.n]);
        x = graph_add(to, view->op, &view->attr, &x, 1, NULL, view->span);
    }
    return x;
}

static Ref round_product(Graph *to, const Graph *g, const RefMap *map, const Node *dot,
                         Arena *scratch) {
    Ref in[] = {operand(to, g, map, dot->in[0], scratch), REF_NONE};
    in[1] = operand(to, g, map, dot->in[1], scratch);
    Node n = *dot;
    n.attr.dot.round = true;
    return graph_copy_node(to, &n, in);
}

static bool is_rounded(const Program *p, const Node *n) {
    return n->op == OP_dot && n->type[0].dtype == DT_f32 &&
           !diag_within(p->diag, n->span, CALL_UPDATE);
}

/* `lasting`: by node; NULL: all. */
static Graph *round_products(const Program *p, const Graph *g, const bool *lasting, PassCx *cx);

static Graph *round_body(const Program *p, const Graph *body, PassCx *cx) {
    return round_products(p, body, NULL, cx);
}

static Graph *round_products(const Program *p, const Graph *g, const bool *lasting, PassCx *cx) {
    Arena *scratch = arena_new();
    Graph *to = graph_new(g->arena, g->name);
    RefMap map = refmap_new(scratch, g);
    for (uint32_t i = 0; i < g->n; i++) {
        Node n = *g->node[i];
        bool lasts = !lasting || lasting[i];
        if (n.op == OP_scan && lasts) n.attr.scan.body = round_body(p, n.attr.scan.body, cx);
        Ref made = lasts && is_rounded(p, &n)
                       ? round_product(to, g, &map, &n, scratch)
                       : graph_copy_node(to, &n, refmap_inputs(&map, &n, scratch));
        refmap_set_node(&map, g, i, made);
    }
    refmap_outputs(&map, g, to);
    arena_free(scratch);
    return graph_prune(g->arena, to, g->name, NULL);
}

static Graph *round_graph(const Program *p, const Graph *g, const Graph *quiet, PassCx *cx) {
    Arena *scratch = arena_new();
    const bool *out = quiet_outputs(scratch, g, quiet);
    Graph *rounded = round_products(p, g, reached_by(scratch, g, out), cx);
    arena_free(scratch);
    return rounded;
}

Program *pass_round(const Program *in, PassCx *cx) {
    Program *p = program_like(in);
    const char *precision = in->spec.run.precision;
    for (size_t i = 0; precision && str_eq(precision, "bf16") && i < in->nentry; i++) {
        Entry *e = &p->entry[i];
        const Graph *quiet[ENTRY_GRAPHS];
        for (int k = 0; k < ENTRY_GRAPHS; k++) quiet[k] = e->graph[k];
        if (e->step && e->logged) quiet[1] = e->step;
        if (e->piece && e->piece_logged) quiet[4] = e->piece;
        for (int k = 0; e->kind == ENTRY_train && k < ENTRY_GRAPHS; k++)
            if (e->graph[k]) e->graph[k] = round_graph(in, e->graph[k], quiet[k], cx);
    }
    return p;
}
