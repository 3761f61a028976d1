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
 * read, as they are, through views, or in a loop. Not what a minimize reads. Not what starts from a
 * value of its own size: sums of residuals and of gradients go on. Not what a maximum is taken of
 * next, which is a softmax or a logsumexp: an exponential would make much of what is rounded. Not
 * within loops, whose values stay in a cache. */
#include <string.h>

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

/* What `out`, by output, comes from. */
static Graph *round_graph(const Program *p, const Graph *g, const bool *out, PassCx *cx) {
    Arena *scratch = arena_new();
    Graph *to = round_products(p, g, reached_by(scratch, g, out), cx);
    arena_free(scratch);
    return to;
}

/* ---- halve: who reads what */
typedef struct Halve {
    const Program *p;
    Arena *scratch;
    const Graph *g;
    Graph *to;
    RefMap map, half; /* half: the same in bf16, where there is that */
    bool *stays;      /* by node: something reads it that takes f32 alone */
    bool *peaks;      /* a maximum is taken of it, perhaps after pointwise operators */
    bool *read;       /* by value, as in `map` */
    bool **takes;     /* by loop and input: the body can have it in bf16 */
} Halve;

static Halve halve_new(const Program *p, const Graph *g, Arena *scratch) {
    Halve h = {.p = p, .scratch = scratch, .g = g, .to = graph_new(g->arena, g->name)};
    int values = 0;
    for (size_t i = 0; i < g->n; i++) values += g->node[i]->nout;
    h.map = refmap_new(scratch, g);
    h.half = refmap_new(scratch, g);
    h.stays = NEW_N(scratch, bool, g->n + 1);
    h.peaks = NEW_N(scratch, bool, g->n + 1);
    h.read = NEW_N(scratch, bool, values + 1);
    h.takes = NEW_N(scratch, bool *, g->n + 1);
    return h;
}

static bool is_rounding(const Node *n) {
    return (n->op == OP_dot || n->op == OP_dot_add) && n->attr.dot.round;
}

static bool is_operand(const Node *n, int input) {
    return is_rounding(n) && input >= n->nin - 2;
}

static void note_reader(Halve *h, uint32_t at, int input) {
    const Node *n = h->g->node[at];
    Ref in = n->in[input];
    h->read[h->map.first[in.node] + in.out] = true;
    if (diag_within(h->p->diag, n->span, CALL_UPDATE)) {
        h->stays[in.node] = true;
    } else if (shows_input(n)) {
        h->stays[in.node] |= h->stays[at];
        h->peaks[in.node] |= h->peaks[at];
    } else if (by_kernel(n)) {
        h->peaks[in.node] |= n->op == OP_max || (op_info[n->op].lower == LOWER_MAP && h->peaks[at]);
    } else {
        h->stays[in.node] |= !is_operand(n, input) && !(h->takes[at] && h->takes[at][input]);
    }
}

static void note_loop(Halve *h, uint32_t at);

/* What `out`, by output, comes from: anything else reads without a say. */
static void note_readers(Halve *h, const bool *out) {
    const bool *lasting = reached_by(h->scratch, h->g, out);
    for (size_t i = 0; i < h->g->nout; i++) h->stays[h->g->out[i].ref.node] |= out[i];
    for (uint32_t i = (uint32_t)h->g->n; i-- > 0;) {
        if (lasting[i] && h->g->node[i]->op == OP_scan) note_loop(h, i);
        for (int j = 0; lasting[i] && j < h->g->node[i]->nin; j++) note_reader(h, i, j);
    }
}

/* A loop's carries go on in f32; of its results those that are read have a say. */
static void note_loop(Halve *h, uint32_t at) {
    const Node *n = h->g->node[at];
    const Graph *body = n->attr.scan.body;
    Halve in = halve_new(h->p, body, h->scratch);
    bool *out = NEW_N(h->scratch, bool, body->nout + 1);
    for (int o = 0; o < n->nout; o++)
        out[o] = o < n->attr.scan.carries || h->read[h->map.first[at] + (uint32_t)o];
    note_readers(&in, out);
    h->takes[at] = NEW_N(h->scratch, bool, n->nin + 1);
    for (size_t i = 0; i < body->n; i++) {
        const Node *arg = body->node[i];
        if (arg->op == OP_arg && arg->attr.count >= n->attr.scan.carries)
            h->takes[at][arg->attr.count] = !in.stays[i] && !in.peaks[i];
    }
}

static bool is_halved(const Halve *h, uint32_t i) {
    const Node *n = h->g->node[i];
    bool starts = n->op == OP_dot_add && type_same_shape(&n->type[0], graph_type(h->g, n->in[0]));
    return is_rounding(n) && !starts && !h->stays[i] && !h->peaks[i];
}

/* ---- halve: the graph anew */

static Ref halved(const Halve *h, Ref r) {
    return refmap_get(&h->half, r);
}

static void set_half(Halve *h, uint32_t at, Ref half) {
    Ref r = {at, 0};
    refmap_set(&h->half, r, half);
    refmap_set(&h->map, r, g_cast(h->to, half, DT_f32, h->g->node[at]->span));
}

static void halve_node(Halve *h, uint32_t at);

/* The body with those of its arguments in bf16. No result in it is rounded. */
static Graph *halve_body(const Halve *h, const Graph *body, const bool *half) {
    Halve in = halve_new(h->p, body, h->scratch);
    bool *all = NEW_N(h->scratch, bool, body->nout + 1);
    memset(all, true, body->nout);
    note_readers(&in, all);
    memset(in.stays, true, body->n);
    for (uint32_t i = 0; i < body->n; i++) {
        const Node *n = body->node[i];
        Type t = n->type[0];
        t.dtype = DT_bf16;
        if (n->op == OP_arg && half[n->attr.count])
            set_half(&in, i, graph_add(in.to, OP_arg, &n->attr, NULL, 0, &t, n->span));
        else
            halve_node(&in, i);
    }
    refmap_outputs(&in.map, body, in.to);
    return graph_prune(body->arena, in.to, body->name, NULL);
}

static void halve_loop(const Halve *h, uint32_t at, Node *n, Ref *in) {
    bool *half = NEW_N(h->scratch, bool, n->nin + 1), any = false;
    for (int i = 0; i < n->nin; i++) {
        Ref given = halved(h, h->g->node[at]->in[i]);
        half[i] = h->takes[at] && h->takes[at][i] && ref_is(given);
        if (half[i]) in[i] = given;
        any |= half[i];
    }
    if (any) n->attr.scan.body = halve_body(h, n->attr.scan.body, half);
}

/* A view of what is bf16 is too. */
static void halve_node(Halve *h, uint32_t at) {
    Node n = *h->g->node[at];
    Ref *in = refmap_inputs(&h->map, &n, h->scratch);
    bool shows = shows_input(&n), half = shows && ref_is(halved(h, n.in[0]));
    for (int i = 0; i < n.nin; i++)
        if ((shows || is_operand(&n, i)) && ref_is(halved(h, n.in[i]))) in[i] = halved(h, n.in[i]);
    if (n.op == OP_scan) halve_loop(h, at, &n, in);
    if (is_halved(h, at)) n.attr.dot.halve = half = true;
    if (half)
        set_half(h, at, graph_add(h->to, n.op, &n.attr, in, n.nin, NULL, n.span));
    else
        refmap_set_node(&h->map, h->g, at, graph_copy_node(h->to, &n, in));
}

static Graph *halve_graph(const Program *p, const Graph *g, const bool *out, PassCx *cx) {
    (void)cx;
    Arena *scratch = arena_new();
    Halve h = halve_new(p, g, scratch);
    note_readers(&h, out);
    for (uint32_t i = 0; i < g->n; i++) halve_node(&h, i);
    refmap_outputs(&h.map, g, h.to);
    arena_free(scratch);
    return graph_prune(g->arena, h.to, g->name, NULL);
}

/* ---- graphs of training. `out`, by output: losses and new states, so that a step that is logged
 * computes the same bits. */
typedef Graph *TrainFn(const Program *p, const Graph *g, const bool *out, PassCx *cx);

static Graph *train_graph(const Program *p, const Graph *g, const Graph *quiet, PassCx *cx,
                          TrainFn *fn) {
    Arena *scratch = arena_new();
    Graph *made = fn(p, g, quiet_outputs(scratch, g, quiet), cx);
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
    return train_graphs(in, cx, round_graph);
}

Program *pass_halve(const Program *in, PassCx *cx) {
    return train_graphs(in, cx, halve_graph);
}
