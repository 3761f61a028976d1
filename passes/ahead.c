/* ahead: what an eval computes of banks alone, such as the norms of their codes or a classifier
 * that is fitted to them, is the same for every batch. It is computed once, before the first, and
 * kept in accumulators that the batches read. Views of a bank and of what is kept stay where they
 * are: they cost nothing. Limit: the reports at the end compute anew what they themselves ask of a
 * bank. */
#include "passes/batch.h"

typedef struct Ahead {
    Program *p;
    const Entry *entry;
    const Graph *from;
    Arena *scratch;
    bool *fixed;  /* by node: no batch changes it */
    bool *once;   /* it is fixed, and comes of a bank */
    bool *wanted; /* the batches ask for it, maybe through views */
    RefMap asked; /* by result: not REF_NONE where they do */
    int **tensor; /* of what is computed ahead: where each result is kept, -1: nobody asks; else
                     NULL */
    int nkept;
} Ahead;

static bool is_bank(const Ahead *x, const Node *n) {
    return n->op == OP_state && x->p->tensor[n->attr.tensor].kind == TENSOR_bank;
}

/* A leaf that a batch changes, or a loop that has one in it. */
static bool varies(const Ahead *x, const Node *n) {
    bool sum = n->op == OP_state && x->p->tensor[n->attr.tensor].kind == TENSOR_acc;
    bool inside = false;
    for (uint32_t i = 0; n->op == OP_scan && i < n->attr.body->n; i++)
        inside = inside || varies(x, n->attr.body->node[i]);
    return inside || sum || batch_leaf(n) || n->op == OP_step || op_info[n->op].flags & FLAG_RANDOM;
}

static void classify(Ahead *x) {
    for (uint32_t i = 0; i < x->from->n; i++) {
        const Node *n = x->from->node[i];
        x->fixed[i] = !varies(x, n);
        x->once[i] = is_bank(x, n);
        for (int k = 0; k < n->nin; k++) {
            x->fixed[i] = x->fixed[i] && x->fixed[n->in[k].node];
            x->once[i] = x->once[i] || x->once[n->in[k].node];
        }
        x->once[i] = x->once[i] && x->fixed[i];
    }
}

static bool computes(const Node *n) {
    return op_info[n->op].lower != LOWER_LEAF && op_info[n->op].lower != LOWER_VIEW;
}

static void ask(Ahead *x, Ref r) {
    x->wanted[r.node] = true;
    refmap_set(&x->asked, r, r);
}

static void keep(Ahead *x, uint32_t i) {
    const Node *n = x->from->node[i];
    x->tensor[i] = NEW_N(x->scratch, int, n->nout);
    for (int o = 0; o < n->nout; o++) {
        Tensor t = {.kind = TENSOR_acc, .type = n->type[o], .like = -1, .span = n->span};
        bool asked = ref_is(refmap_get(&x->asked, (Ref){i, (uint32_t)o}));
        if (asked) t.name = arena_printf(x->p->arena, "ahead.%s.%d", x->entry->name, x->nkept++);
        x->tensor[i][o] = asked ? program_add_tensor(x->p, &t) : -1;
    }
}

/* From the users down. */
static void choose(Ahead *x) {
    for (size_t i = 0; i < x->from->nout; i++) ask(x, x->from->out[i].ref);
    for (uint32_t i = (uint32_t)x->from->n; i-- > 0;) {
        const Node *n = x->from->node[i];
        bool kept = x->once[i] && computes(n);
        if (kept && x->wanted[i]) keep(x, i);
        for (int k = 0; !kept && x->wanted[i] && k < n->nin; k++) ask(x, n->in[k]);
    }
}

/* ---- the two graphs */

static void read_kept(const Ahead *x, Graph *g, RefMap *map, uint32_t i) {
    const Node *n = x->from->node[i];
    for (uint32_t o = 0; o < (uint32_t)n->nout; o++) {
        int tensor = x->tensor[i][o];
        if (tensor < 0) continue;
        Ref r = graph_add(g, OP_state, &(Attr){.tensor = tensor}, NULL, 0,
                          &x->p->tensor[tensor].type, n->span);
        refmap_set(map, (Ref){i, o}, r);
    }
}

static Graph *batch_graph(const Ahead *x) {
    Graph *g = graph_new(x->p->arena, x->from->name);
    RefMap map = refmap_new(x->scratch, x->from);
    for (uint32_t i = 0; i < x->from->n; i++) {
        const Node *n = x->from->node[i];
        if (x->tensor[i])
            read_kept(x, g, &map, i);
        else if (x->wanted[i])
            refmap_set_node(&map, x->from, i,
                            graph_copy_node(g, n, refmap_inputs(&map, n, x->scratch)));
    }
    refmap_outputs(&map, x->from, g);
    return g;
}

static Graph *ahead_graph(const Ahead *x) {
    const char *name = arena_printf(x->p->arena, "%s.ahead", x->from->name);
    Graph *g = graph_new(x->p->arena, name);
    RefMap map = refmap_new(x->scratch, x->from);
    for (uint32_t i = 0; i < x->from->n; i++) {
        const Node *n = x->from->node[i];
        if (!x->fixed[i]) continue;
        Ref r = graph_copy_node(g, n, refmap_inputs(&map, n, x->scratch));
        refmap_set_node(&map, x->from, i, r);
        for (uint32_t o = 0; x->tensor[i] && o < (uint32_t)n->nout; o++)
            if (x->tensor[i][o] >= 0)
                graph_out(g, OUT_state, NULL, x->tensor[i][o], (Ref){r.node, r.out + o}, n->span);
    }
    return graph_prune(x->p->arena, g, name, NULL);
}

static void split_entry(Program *p, Entry *e) {
    Arena *scratch = arena_new();
    const Graph *g = e->step;
    Ahead x = {.p = p, .entry = e, .from = g, .scratch = scratch};
    x.fixed = NEW_N(scratch, bool, g->n);
    x.once = NEW_N(scratch, bool, g->n);
    x.wanted = NEW_N(scratch, bool, g->n);
    x.tensor = NEW_N(scratch, int *, g->n);
    x.asked = refmap_new(scratch, g);
    classify(&x);
    choose(&x);
    if (x.nkept) {
        e->ahead = ahead_graph(&x);
        e->step = batch_graph(&x);
    }
    arena_free(scratch);
}

Program *pass_ahead(const Program *in, PassCx *cx) {
    (void)cx;
    Program *p = program_like(in);
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == ENTRY_eval) split_entry(p, &p->entry[i]);
    return p;
}
