/* Where `run` says `precision = bf16`, products of training take bf16 operands and sum in f32, and
 * some of what they give each other and kernels is kept in bf16. Parameters, the optimiser's
 * states, reductions and all pointwise arithmetic stay f32.
 *
 * round: which products. Those that a loss or a new state comes from, forward and backward, but not
 * what a minimize does with its gradients, nor what only reports read. Entries that do not train
 * stay f32. What a kernel computes and such a product reads, that kernel stores in bf16 for the
 * product (and in f32 only where something else reads it too). What is in memory in any case,
 * parameters, results of products, rows of tables, the product rounds as it reads. So no value is
 * moved for its own sake, and this changes no bit: rounding twice is rounding once.
 *
 * halve: which of their results, after `accumulate`. Those that only kernels and such products
 * read, as they are or through views. Not what a minimize reads. Not what starts from a value of
 * its own size: sums of residuals and of gradients go on. Not what a maximum is taken of next,
 * which is a softmax or a logsumexp: an exponential would make much of what is rounded. Not within
 * loops, whose values stay in a cache. */
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

/* ---- halve */
typedef struct Halve {
    const Graph *g;
    Graph *to;
    RefMap map, half; /* half: the same in bf16, where there is that */
    bool *stays;      /* by node: something reads it that takes f32 alone */
    bool *peaks;      /* a maximum is taken of it, perhaps after pointwise operators */
} Halve;

static bool is_rounding(const Node *n) {
    return (n->op == OP_dot || n->op == OP_dot_add) && n->attr.dot.round;
}

static bool is_operand(const Node *n, int input) {
    return is_rounding(n) && input >= n->nin - 2;
}

static void note_reader(const Program *p, Halve *h, uint32_t at, int input) {
    const Node *n = h->g->node[at];
    uint32_t from = n->in[input].node;
    if (diag_within(p->diag, n->span, CALL_UPDATE)) {
        h->stays[from] = true;
    } else if (shows_input(n)) {
        h->stays[from] |= h->stays[at];
        h->peaks[from] |= h->peaks[at];
    } else if (by_kernel(n)) {
        h->peaks[from] |= n->op == OP_max || (op_info[n->op].lower == LOWER_MAP && h->peaks[at]);
    } else {
        h->stays[from] |= !is_operand(n, input);
    }
}

static void note_readers(const Program *p, Halve *h, const bool *lasting) {
    for (size_t i = 0; i < h->g->nout; i++) h->stays[h->g->out[i].ref.node] = true;
    for (uint32_t i = (uint32_t)h->g->n; i-- > 0;)
        for (int j = 0; lasting[i] && j < h->g->node[i]->nin; j++) note_reader(p, h, i, j);
}

static bool is_halved(const Halve *h, uint32_t i) {
    const Node *n = h->g->node[i];
    bool starts = n->op == OP_dot_add && type_same_shape(&n->type[0], graph_type(h->g, n->in[0]));
    return is_rounding(n) && !starts && !h->stays[i] && !h->peaks[i];
}

static Ref halved(const Halve *h, Ref r) {
    return refmap_get(&h->half, r);
}

static void set_half(Halve *h, uint32_t at, Ref half) {
    Ref r = {at, 0};
    refmap_set(&h->half, r, half);
    refmap_set(&h->map, r, g_cast(h->to, half, DT_f32, h->g->node[at]->span));
}

/* A view of what is bf16 is too. */
static void halve_node(Halve *h, uint32_t at, Arena *scratch) {
    Node n = *h->g->node[at];
    Ref *in = refmap_inputs(&h->map, &n, scratch);
    bool shows = shows_input(&n), half = shows && ref_is(halved(h, n.in[0]));
    for (int i = 0; i < n.nin; i++)
        if ((shows || is_operand(&n, i)) && ref_is(halved(h, n.in[i]))) in[i] = halved(h, n.in[i]);
    if (is_halved(h, at)) n.attr.dot.halve = half = true;
    if (half)
        set_half(h, at, graph_add(h->to, n.op, &n.attr, in, n.nin, NULL, n.span));
    else
        refmap_set_node(&h->map, h->g, at, graph_copy_node(h->to, &n, in));
}

static Graph *halve_graph(const Program *p, const Graph *g, const bool *lasting, PassCx *cx) {
    (void)cx;
    Arena *scratch = arena_new();
    Halve h = {.g = g,
               .to = graph_new(g->arena, g->name),
               .map = refmap_new(scratch, g),
               .half = refmap_new(scratch, g),
               .stays = NEW_N(scratch, bool, g->n),
               .peaks = NEW_N(scratch, bool, g->n)};
    note_readers(p, &h, lasting);
    for (uint32_t i = 0; i < g->n; i++) halve_node(&h, i, scratch);
    refmap_outputs(&h.map, g, h.to);
    arena_free(scratch);
    return graph_prune(g->arena, h.to, g->name, NULL);
}

/* ---- graphs of training. `lasting`, by node: what a loss or a new state comes from, so that a
 * step that is logged computes the same bits. */
typedef Graph *TrainFn(const Program *p, const Graph *g, const bool *lasting, PassCx *cx);

static Graph *train_graph(const Program *p, const Graph *g, const Graph *quiet, PassCx *cx,
                          TrainFn *fn) {
    Arena *scratch = arena_new();
    const bool *out = quiet_outputs(scratch, g, quiet);
    Graph *made = fn(p, g, reached_by(scratch, g, out), cx);
    arena_free(scratch);
    return made;
}

static Program *train_graphs(const Program *in, PassCx *cx, TrainFn *fn) {
    Program *p = program_like(in);
    const char *precision = in->spec.run.precision;
    for (size_t i = 0; precision && str_eq(precision, "bf16") && i < in->nentry; i++) {
        Entry *e = &p->entry[i];
        const Graph *quiet[ENTRY_GRAPHS];
        for (int k = 0; k < ENTRY_GRAPHS; k++) quiet[k] = e->graph[k];
        if (e->step && e->logged) quiet[1] = e->step;
        if (e->piece && e->piece_logged) quiet[4] = e->piece;
        for (int k = 0; e->kind == ENTRY_train && k < ENTRY_GRAPHS; k++)
            if (e->graph[k]) e->graph[k] = train_graph(in, e->graph[k], quiet[k], cx, fn);
    }
    return p;
}

Program *pass_round(const Program *in, PassCx *cx) {
    return train_graphs(in, cx, round_products);
}

Program *pass_halve(const Program *in, PassCx *cx) {
    return train_graphs(in, cx, halve_graph);
}
