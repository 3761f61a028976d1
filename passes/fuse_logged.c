/* The logged step of a train entry: the quiet step's kernels, untouched, and kernels of its own for
 * the reports, which read what the others store and compute anew what they do not. That is what
 * makes "a report changes no bit of the training" true: were both fused as one graph, a report that
 * asks for a value inside a kernel would change that kernel, and with it the order of its sums. */
#include "passes/fuse.h"

typedef struct Given { /* a value that the quiet step stores, and what stands for it among the
                          reports */
    Ref made, arg;
} Given;
typedef struct Logged {
    const Graph *g;       /* as it was: the quiet step and its reports */
    const Graph *fused;   /* the quiet step as kernels */
    const RefMap *stored; /* from the quiet step's nodes */
    const bool *of_quiet; /* by output of g: it is the quiet step's too */
    uint32_t *quiet;      /* by node of g: its number in the quiet step, or UINT32_MAX */
    Graph *reports;       /* what is left to compute, from `arg`s that are stored */
    VEC(Given) given;
    Arena *arena;
} Logged;

bool *reached_by(Arena *scratch, const Graph *g, const bool *out) {
    bool *reached = NEW_N(scratch, bool, g->n);
    for (size_t i = 0; i < g->nout; i++) reached[g->out[i].ref.node] |= out[i];
    for (size_t i = g->n; i-- > 0;)
        for (int k = 0; reached[i] && k < g->node[i]->nin; k++)
            reached[g->node[i]->in[k].node] = true;
    return reached;
}

/* Pruning keeps the order of nodes, so the numbers follow. */
static void number_quiet(Logged *l) {
    const bool *reached = reached_by(l->arena, l->g, l->of_quiet);
    uint32_t n = 0;
    l->quiet = NEW_N(l->arena, uint32_t, l->g->n);
    for (size_t i = 0; i < l->g->n; i++) l->quiet[i] = reached[i] ? n++ : UINT32_MAX;
}

static bool is_given(const Logged *l, uint32_t at) {
    uint32_t quiet = l->quiet[at];
    return quiet != UINT32_MAX && op_info[l->g->node[at]->op].lower != LOWER_LEAF &&
           ref_is(refmap_get(l->stored, (Ref){quiet, 0}));
}

static bool *wanted_by_reports(const Logged *l) {
    const Graph *g = l->g;
    bool *wanted = NEW_N(l->arena, bool, g->n);
    for (size_t i = 0; i < g->nout; i++) wanted[g->out[i].ref.node] |= !l->of_quiet[i];
    for (uint32_t i = (uint32_t)g->n; i-- > 0;)
        for (int k = 0; wanted[i] && !is_given(l, i) && k < g->node[i]->nin; k++)
            wanted[g->node[i]->in[k].node] = true;
    return wanted;
}

static void give(Logged *l, RefMap *map, Ref r) {
    Given given = {.made = refmap_get(l->stored, (Ref){l->quiet[r.node], r.out})};
    given.arg = graph_add(l->reports, OP_arg, &(Attr){.count = (int64_t)l->given.n}, NULL, 0,
                          graph_type(l->g, r), graph_node(l->g, r)->span);
    vec_push(l->arena, &l->given, given);
    refmap_set(map, r, given.arg);
}

static void build_reports(Logged *l) {
    const Graph *g = l->g;
    const bool *wanted = wanted_by_reports(l);
    RefMap map = refmap_new(l->arena, g);
    l->reports = graph_new(l->arena, g->name);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (wanted[i] && is_given(l, i))
            for (uint32_t o = 0; o < (uint32_t)n->nout; o++) give(l, &map, (Ref){i, o});
        else if (wanted[i])
            refmap_set_node(&map, g, i,
                            graph_copy_node(l->reports, n, refmap_inputs(&map, n, l->arena)));
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        if (!l->of_quiet[i])
            graph_out(l->reports, o->kind, o->name, o->index, refmap_get(&map, o->ref), o->span);
    }
}

/* Each kernel of the reports as soon as what it reads is there, so that nothing is kept for it. */
static Graph *join_reports(Logged *l, PassCx *cx) {
    Graph *to = graph_new(cx->arena, l->g->name);
    Fuse f = fuse_new(l->arena, l->reports);
    Order order = fuse_order(&f);
    RefMap old = refmap_new(l->arena, l->fused), value = refmap_new(l->arena, l->reports);
    fuse_make_units(&order, to, &value);
    for (uint32_t i = 0; i < l->fused->n; i++) {
        const Node *n = l->fused->node[i];
        refmap_set_node(&old, l->fused, i,
                        graph_copy_node(to, n, refmap_inputs(&old, n, l->arena)));
        for (size_t k = 0; k < l->given.n; k++) {
            if (l->given.at[k].made.node != i) continue;
            refmap_set(&value, l->given.at[k].arg, refmap_get(&old, l->given.at[k].made));
            fuse_unit_done(&order, l->given.at[k].arg.node);
        }
        fuse_make_units(&order, to, &value);
    }
    size_t quiet = 0, report = 0;
    for (size_t i = 0; i < l->g->nout; i++) {
        const Output *o = &l->g->out[i];
        Ref r = l->of_quiet[i] ? refmap_get(&old, l->fused->out[quiet++].ref)
                               : refmap_get(&value, l->reports->out[report++].ref);
        graph_out(to, o->kind, o->name, o->index, r, o->span);
    }
    return to;
}

bool *quiet_outputs(Arena *scratch, const Graph *logged, const Graph *step) {
    bool *quiet = NEW_N(scratch, bool, logged->nout + 1);
    for (size_t i = 0; i < logged->nout; i++) {
        const Output *o = &logged->out[i];
        quiet[i] = o->kind == OUT_loss;
        for (size_t k = 0; o->kind == OUT_state && k < step->nout && !quiet[i]; k++)
            quiet[i] = step->out[k].kind == OUT_state && step->out[k].index == o->index;
    }
    return quiet;
}

static bool same_outputs(const Graph *a, const Graph *b) {
    bool same = a->nout == b->nout;
    for (size_t i = 0; same && i < a->nout; i++)
        same = a->out[i].kind == b->out[i].kind && a->out[i].index == b->out[i].index;
    return same;
}

/* The quiet step is what the logged one does besides reporting: it is made from that, so that both
 * agree on every kernel. */
bool fuse_step(Arena *scratch, Graph **step, Graph **logged, PassCx *cx) {
    RefMap stored;
    const bool *of_quiet = quiet_outputs(scratch, *logged, *step);
    Graph *quiet = graph_keep(scratch, *logged, of_quiet);
    if (!same_outputs(quiet, *step)) {
        diag_error(cx->diag, (*step)->nout ? (*step)->out[0].span : (Span){0},
                   "the logged step of '%s' gives other states or losses than its quiet step",
                   (*step)->name);
        return false;
    }
    Logged l = {.g = *logged, .stored = &stored, .of_quiet = of_quiet, .arena = scratch};
    l.fused = *step = fuse_graph(scratch, quiet, &stored, cx);
    number_quiet(&l);
    build_reports(&l);
    *logged = join_reports(&l, cx);
    return true;
}
