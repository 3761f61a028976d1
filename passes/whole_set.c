/* whole_set: in an eval entry a reduction over the batch means the whole set. Each eval graph
 * becomes two: one that runs for every batch and adds its reductions to accumulators, and one that
 * runs at the end and computes the reports from them.
 *
 * Rows of an incomplete batch that are not real enter a reduction as its identity. What is computed
 * from a whole-set value is computed once, so it must not meet single samples again: that would
 * take a second pass over the set, and is the user's error. Sums, and what is computed from them at
 * the end, are in f64 and i64, so that a set may have any number of batches. Limit: a product over
 * the batch is rounded to f32 once a batch. */
#include "passes/batch.h"

typedef struct Split {
    Program *p;
    Entry *entry;
    const Graph *from;
    Diag *diag;
    Arena *scratch;
    bool *reached;
    Known *known;     /* by node */
    uint32_t *origin; /* of a KNOWN_set node: the reduction it comes from */
    int *tensor;      /* of a batch reduction: its accumulator */
    int naccs;
    bool failed;
} Split;

/* What an element of a sum over many batches takes: f32 counts to 2^24 only. */
static DType wide_of(DType t) {
    return dtype_is_float(t) ? DT_f64 : t == DT_i32 ? DT_i64 : t;
}

/* ---- when each value is known */

static Span entry_span(const Split *s, uint32_t i) {
    return batch_used_at(s->from, s->reached, s->entry->span.file, i);
}

static void refuse_mix(Split *s, uint32_t i, uint32_t origin) {
    s->failed = true;
    Span at = entry_span(s, i), from = entry_span(s, origin);
    diag_error(
        s->diag, at,
        "in %s this combines single samples with a value that is only known after the whole set",
        s->entry->name);
    if (!span_same(at, s->from->node[i]->span))
        diag_note(s->diag, s->from->node[i]->span, "combined here");
    if (!span_same(at, from)) diag_note(s->diag, from, "reduced over the whole set here");
    diag_hint(s->diag, "a reduction over the batch means the whole set in eval: reduce over the "
                       "other dimensions first, or write it with sums over the batch alone");
}

/* Rows of one batch put together in a way that the whole set has no counterpart of: mixed before,
 * or along an axis that has only a part of the batch's rows (the batch was split in two axes). */
static bool mixes_rows(const Split *s, const Node *n) {
    const Graph *g = s->from;
    if (n->op == OP_argmax && graph_type(g, n->in[0])->batch_axis == n->attr.axis) return true;
    if (!batch_reduction(n->op) && n->op != OP_argmax && n->op != OP_dot) return false;
    for (int i = 0; i < n->nin; i++) {
        const Type *t = graph_type(g, n->in[i]);
        int axis = batch_contracted(g, n, i);
        if (t->batch_axis == MIXED_BATCH || (axis >= 0 && t->dim[axis] % s->entry->batch != 0))
            return true;
    }
    return false;
}

static void refuse_rows(Split *s, uint32_t i) {
    s->failed = true;
    Span at = entry_span(s, i), inner = s->from->node[i]->span;
    diag_error(s->diag, at,
               "in %s this is computed from some rows of a batch, but what is reduced over the "
               "batch is only known after the whole set",
               s->entry->name);
    if (!span_same(at, inner)) diag_note(s->diag, inner, "computed here");
    diag_hint(s->diag, "sum, mean, max and min over all of the batch run over the whole set");
}

/* What was refused counts as known, so that one mistake is one error. */
static void classify(Split *s, uint32_t i) {
    const Node *n = s->from->node[i];
    uint32_t origin = UINT32_MAX;
    bool batch = batch_leaf(n);
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        batch = batch || s->known[in] == KNOWN_batch;
        if (s->known[in] == KNOWN_set) origin = s->origin[in];
    }
    s->known[i] = batch ? KNOWN_batch : KNOWN_always;
    if (batch && origin != UINT32_MAX) {
        refuse_mix(s, i, origin);
        s->known[i] = KNOWN_always;
    } else if (batch && mixes_rows(s, n)) {
        refuse_rows(s, i);
        s->known[i] = KNOWN_always;
    } else if (batch && batch_reduces(s->from, n)) {
        s->known[i] = KNOWN_set;
        s->origin[i] = i;
    } else if (origin != UINT32_MAX) {
        s->known[i] = KNOWN_set;
        s->origin[i] = origin;
    }
}

/* Texts and pictures are those of the first batch. */
static bool is_shown(const Output *o) {
    return o->kind == OUT_text || o->kind == OUT_image;
}

static void check_report(Split *s, const Output *o) {
    if (is_shown(o) || o->kind == OUT_value || s->known[o->ref.node] != KNOWN_batch) return;
    s->failed = true;
    diag_error(s->diag, o->span,
               "in %s '%s' is a value of one batch, but a report is only known after the whole set",
               s->entry->name, o->name ? o->name : "this");
    diag_hint(s->diag, "reduce it over the batch: mean(... over B)");
}

/* ---- the two graphs */

/* bool, broadcasting against a value of type t: the rows of `axis` that are real. The axis may
 * count k places a sample. */
static Ref live_mask(Graph *g, const Type *t, int axis, int64_t batch, Span at) {
    Type rows = type_make(DT_bool, 1, &batch);
    rows.batch_axis = 0;
    Ref live = graph_add(g, OP_live, NULL, NULL, 0, &rows, at);
    int64_t places = t->dim[axis] / batch, dim[RANK];
    CHECK(t->dim[axis] == places * batch);
    live = g_reshape(g, live, 2, (int64_t[]){batch, 1}, at);
    live = g_expand(g, live, 2, (int64_t[]){batch, places}, at);
    for (int i = 0; i < t->rank; i++) dim[i] = i == axis ? t->dim[axis] : 1;
    return g_reshape(g, live, t->rank, dim, at);
}

static Ref masked_input(Split *s, Graph *g, const Node *n, int i, Ref x) {
    int axis = batch_contracted(s->from, n, i);
    if (axis < 0) return x;
    Type t = *graph_type(g, x);
    Ref identity = g_const(g, t.dtype, batch_identity(n->op, t.dtype), n->span);
    return g_where(g, live_mask(g, &t, axis, s->entry->batch, n->span), x, identity, n->span);
}

static int add_accumulator(Split *s, const Node *n) {
    Tensor t = {.kind = TENSOR_acc, .type = n->type[0], .like = -1, .span = n->span};
    t.name = arena_printf(s->p->arena, "acc.%s.%d", s->entry->name, s->naccs++);
    t.type.batch_axis = NO_BATCH;
    if (batch_combiner(n->op, t.type.dtype) == OP_add) t.type.dtype = wide_of(t.type.dtype);
    t.fill = batch_identity(n->op, t.type.dtype);
    return program_add_tensor(s->p, &t);
}

static Ref read_accumulator(const Split *s, Graph *g, uint32_t i) {
    Attr a = {.tensor = s->tensor[i]};
    return graph_add(g, OP_state, &a, NULL, 0, &s->p->tensor[s->tensor[i]].type,
                     s->from->node[i]->span);
}

static void accumulate(Split *s, Graph *g, uint32_t i, Ref *in) {
    const Node *n = s->from->node[i];
    s->tensor[i] = add_accumulator(s, n);
    DType t = s->p->tensor[s->tensor[i]].type.dtype;
    for (int k = 0; k < n->nin; k++) in[k] = masked_input(s, g, n, k, in[k]);
    if (n->op == OP_sum) in[0] = g_cast(g, in[0], t, n->span);
    Ref part = g_cast(g, graph_copy_node(g, n, in), t, n->span), all = read_accumulator(s, g, i);
    all = g_binary(g, batch_combiner(n->op, t), all, part, n->span);
    graph_out(g, OUT_state, NULL, s->tensor[i], all, n->span);
}

static bool of_batch(const Split *s, const Output *o) {
    Known k = s->known[o->ref.node];
    return k == KNOWN_batch || (is_shown(o) && k == KNOWN_always);
}

static void copy_outputs(const Split *s, const RefMap *map, Graph *g, bool batch) {
    for (size_t i = 0; i < s->from->nout; i++) {
        const Output *o = &s->from->out[i];
        if (of_batch(s, o) != batch) continue;
        Ref r = refmap_get(map, o->ref);
        if (o->kind == OUT_text) r = g_cast(g, r, DT_i32, o->span);
        if (o->kind == OUT_image) r = g_cast(g, r, DT_f32, o->span);
        graph_out(g, o->kind, o->name, o->index, r, o->span);
    }
}

/* What each batch does: everything that is known by then, and the sums. */
static Graph *batch_graph(Split *s) {
    Graph *g = graph_new(s->p->arena, s->from->name);
    RefMap map = refmap_new(s->scratch, s->from);
    for (uint32_t i = 0; i < s->from->n; i++) {
        const Node *n = s->from->node[i];
        bool reduction = s->known[i] == KNOWN_set && s->origin[i] == i;
        if (!s->reached[i] || (s->known[i] == KNOWN_set && !reduction)) continue;
        Ref *in = refmap_inputs(&map, n, s->scratch);
        if (reduction)
            accumulate(s, g, i, in);
        else
            refmap_set_node(&map, s->from, i, graph_copy_node(g, n, in));
    }
    copy_outputs(s, &map, g, true);
    return graph_prune(s->p->arena, g, g->name, NULL);
}

/* At the end a value of the set is as wide as the sums, where the operator takes any type; products
 * and tables get the types that the program says. */
static Ref set_node(Split *s, Graph *g, const Node *n, Ref *in) {
    Lower lower = op_info[n->op].lower;
    bool wide = lower == LOWER_MAP || lower == LOWER_VIEW || lower == LOWER_REDUCE;
    for (int k = 0; k < n->nin; k++) {
        DType t = graph_type(s->from, n->in[k])->dtype;
        in[k] = g_cast(g, in[k], wide ? wide_of(t) : t, n->span);
    }
    Node to = *n;
    if (n->op == OP_cast) to.attr.dtype = wide_of(n->attr.dtype);
    return graph_copy_node(g, &to, in);
}

/* What happens once at the end. */
static Graph *report_graph(Split *s) {
    Graph *g = graph_new(s->p->arena, s->from->name);
    RefMap map = refmap_new(s->scratch, s->from);
    for (uint32_t i = 0; i < s->from->n; i++) {
        const Node *n = s->from->node[i];
        if (!s->reached[i] || s->known[i] == KNOWN_batch) continue;
        Ref *in = s->tensor[i] < 0 ? refmap_inputs(&map, n, s->scratch) : NULL;
        Ref to = !in                        ? read_accumulator(s, g, i)
                 : s->known[i] == KNOWN_set ? set_node(s, g, n, in)
                                            : graph_copy_node(g, n, in);
        refmap_set_node(&map, s->from, i, to);
    }
    copy_outputs(s, &map, g, false);
    return graph_prune(s->p->arena, g, g->name, NULL);
}

static bool split_entry(Program *p, Entry *e, Diag *diag) {
    const Graph *g = loops_mix(e->step) ? loops_unroll(e->step) : e->step;
    Arena *scratch = arena_new();
    Split s = {.p = p, .entry = e, .from = g, .diag = diag, .scratch = scratch};
    s.reached = graph_reached(g, scratch);
    s.known = NEW_N(scratch, Known, g->n);
    s.origin = NEW_N(scratch, uint32_t, g->n);
    s.tensor = NEW_N(scratch, int, g->n);
    for (uint32_t i = 0; i < g->n; i++) {
        s.tensor[i] = -1;
        if (s.reached[i]) classify(&s, i);
    }
    for (size_t i = 0; i < g->nout; i++) check_report(&s, &g->out[i]);
    if (!s.failed) {
        e->step = batch_graph(&s);
        e->logged = report_graph(&s);
    }
    arena_free(scratch);
    return !s.failed;
}

Program *pass_whole_set(const Program *in, PassCx *cx) {
    Program *p = program_like(in);
    bool ok = true;
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == ENTRY_eval) ok = split_entry(p, &p->entry[i], cx->diag) && ok;
    return ok ? p : NULL;
}
