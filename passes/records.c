/* records: what predict and features return is of one record alone. A batch is only how many
 * records are computed at a time, and the last one may not be full; a value that comes from several
 * rows would depend on both. Refused with the line where records come together. */
#include "passes/batch.h"

typedef struct Records {
    const Entry *entry;
    const Graph *g;
    bool *rows;       /* by node: it is of the batch's records */
    uint32_t *origin; /* where records came together; UINT32_MAX: nowhere */
} Records;

/* Of several records in one row, by its type. */
static bool is_mixed(const Records *r, const Type *t) {
    return t->batch_axis == MIXED_BATCH ||
           (t->batch_axis >= 0 && t->dim[t->batch_axis] % r->entry->batch != 0);
}

static bool reduces(const Graph *g, const Node *n) {
    bool along = n->op == OP_argmax && graph_type(g, n->in[0])->batch_axis == n->attr.axis;
    bool puts = n->op == OP_put_add && n->type[0].batch_axis == NO_BATCH;
    return along || puts || batch_reduces(g, n);
}

static void classify(Records *r, uint32_t i) {
    const Node *n = r->g->node[i];
    bool mixed = reduces(r->g, n);
    r->rows[i] = batch_leaf(n);
    r->origin[i] = UINT32_MAX;
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        r->rows[i] = r->rows[i] || r->rows[in];
        if (r->origin[i] == UINT32_MAX) r->origin[i] = r->origin[in];
    }
    for (int o = 0; o < n->nout; o++) mixed = mixed || is_mixed(r, &n->type[o]);
    if (r->origin[i] == UINT32_MAX && mixed && r->rows[i]) r->origin[i] = i;
}

static void refuse(const Records *r, const Output *o, Diag *d) {
    uint32_t i = r->origin[o->ref.node];
    Span inner = r->g->node[i]->span, at = diag_users_line(d, inner);
    diag_error(d, at, "%s returns values of one record alone, and this combines the records",
               r->entry->kind == ENTRY_predict ? "predict" : "features");
    if (!span_same(at, inner)) diag_note(d, inner, "combined here");
    if (!span_same(at, o->span)) diag_note(d, o->span, "'%s' comes from it", o->name);
    diag_hint(d, "reduce over the other dimensions, such as over -1; what all records have in "
                 "common is for eval");
}

static bool check_entry(const Entry *e, Diag *d) {
    Arena *scratch = arena_new();
    const Graph *g = loops_mix(e->step) ? loops_unroll(e->step) : e->step;
    Records r = {.entry = e, .g = g};
    bool ok = true;
    r.rows = NEW_N(scratch, bool, g->n);
    r.origin = NEW_N(scratch, uint32_t, g->n);
    for (uint32_t i = 0; i < g->n; i++) classify(&r, i);
    for (size_t i = 0; i < g->nout; i++) {
        bool kept = g->out[i].kind == OUT_state; /* in banks, where all records lie */
        bool alone = kept || r.origin[g->out[i].ref.node] == UINT32_MAX;
        if (!alone) refuse(&r, &g->out[i], d);
        ok = ok && alone;
    }
    arena_free(scratch);
    return ok;
}

Program *pass_records(const Program *in, PassCx *cx) {
    bool ok = true;
    for (size_t i = 0; i < in->nentry; i++)
        if (in->entry[i].kind == ENTRY_predict || in->entry[i].kind == ENTRY_features)
            ok = check_entry(&in->entry[i], cx->diag) && ok;
    return ok ? program_like(in) : NULL;
}
