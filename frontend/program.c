/* The end of elaboration: of the declared tensors those that some entry reaches become the
 * program's, in the order of declaration; the entries' graphs are pruned to what they give and
 * renumbered; initial values become the init graph. */
#include "frontend/decl.h"

/* ---- which tensors are used */
static void mark_used(Elab *cx, const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == OP_state) cx->tensor.at[g->node[i]->attr.tensor].used = true;
    for (size_t i = 0; i < g->nout; i++)
        if (g->out[i].kind == OUT_state) cx->tensor.at[g->out[i].index].used = true;
}

static bool is_read(const Elab *cx, const Entry *e) {
    for (size_t i = 0; i < e->step->nout; i++)
        if (e->step->out[i].kind == OUT_state && cx->tensor.at[e->step->out[i].index].used)
            return true;
    return false;
}

/* Features that no eval reads are not made. */
static void drop_unread(Elab *cx) {
    Program *p = cx->program;
    size_t n = 0;
    for (size_t i = 0; i < p->nentry; i++) {
        Entry *e = &p->entry[i];
        if (e->kind == ENTRY_features && !is_read(cx, e)) continue;
        if (e->kind == ENTRY_features) mark_used(cx, e->step);
        p->entry[n++] = *e;
    }
    p->nentry = n;
}

/* A clone needs its original, which was declared before it. */
static void mark_originals(Elab *cx) {
    for (size_t i = cx->tensor.n; i-- > 0;) {
        const PTensor *p = &cx->tensor.at[i];
        if (p->used && p->t.like >= 0) cx->tensor.at[p->t.like].used = true;
    }
}

static int *number_tensors(Elab *cx) {
    int *number = NEW_N(cx->arena, int, cx->tensor.n + 1);
    for (size_t i = 0; i < cx->tensor.n; i++) {
        const PTensor *p = &cx->tensor.at[i];
        if (!p->used) continue;
        Tensor t = p->t;
        if (t.like >= 0) t.like = number[t.like];
        number[i] = program_add_tensor(cx->program, &t);
    }
    return number;
}

/* ---- graphs */
static Graph *renumber(Elab *cx, const Graph *g, const int *number) {
    Graph *to = graph_new(cx->arena, g->name);
    Ref **map = NEW_N(cx->arena, Ref *, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        Node n = *g->node[i];
        Ref *in = NEW_N(cx->arena, Ref, n.nin + 1);
        for (int k = 0; k < n.nin; k++) in[k] = map[n.in[k].node][n.in[k].out];
        if (n.op == OP_state) n.attr.tensor = number[n.attr.tensor];
        Ref r = graph_copy_node(to, &n, in);
        map[i] = NEW_N(cx->arena, Ref, n.nout + 1);
        for (int k = 0; k < n.nout; k++) map[i][k] = (Ref){r.node, (uint32_t)k};
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        int index = o->kind == OUT_state ? number[o->index] : o->index;
        graph_out(to, o->kind, o->name, index, map[o->ref.node][o->ref.out], o->span);
    }
    return to;
}

static bool is_quiet(const Output *o) {
    return o->kind == OUT_state || o->kind == OUT_loss;
}

static void finish_entry(Elab *cx, Entry *e, const int *number) {
    Graph *all = renumber(cx, e->step, number);
    e->step = all;
    if (e->kind != ENTRY_train) return;
    e->logged = all;
    e->step = graph_prune(cx->arena, all, e->name, is_quiet);
}

/* ---- initial values */
static Val shape_list(Elab *cx, const PTensor *p) {
    int n = p->t.type.rank;
    Val v = {
        .kind = VAL_list, .span = p->t.span, .list = {.at = NEW_N(cx->arena, Val, n + 1), .n = n}};
    for (int i = 0; i < n; i++) {
        v.list.at[i] = val_of_int(p->t.type.dim[i]);
        v.list.at[i].dim = p->dim_name[i];
    }
    return v;
}

static bool init_value(Elab *cx, const PTensor *p, TVal *out) {
    Val v = p->init;
    if (v.kind == VAL_fn) {
        CallArg arg = {NULL, shape_list(cx, p), p->init_span};
        if (!call_value(cx, &p->init, &arg, 1, NULL, p->init_span, &v)) return false;
    }
    if (!val_tensor(cx, &v, p->t.type.dtype, p->init_span, out)) return false;
    bool scalar = out->type.rank == 0;
    if (out->type.dtype == p->t.type.dtype && (scalar || type_same_shape(&out->type, &p->t.type)))
        return true;
    diag_error(cx->diag, p->init_span, "the initial value of '%s' is %s", p->t.name,
               tval_describe(cx, out));
    TVal want = {.type = p->t.type};
    for (int i = 0; i < want.type.rank; i++) want.name[i] = p->dim_name[i];
    diag_note(cx->diag, p->t.span, "'%s' is declared %s here", p->t.name, tval_describe(cx, &want));
    return false;
}

/* The frame's place is the path alone: neither order nor number of the tensors enters. */
static bool init_tensor(Elab *cx, const PTensor *p, int index) {
    Frame f = {.up = cx->frame, .place = hash_str(p->t.name, 0)};
    map_init(&f.counts, cx->arena);
    cx->frame = &f;
    TVal t;
    bool ok = init_value(cx, p, &t);
    cx->frame = f.up;
    if (!ok && !diag_errors(cx->diag)) BUG("'%s': no initial value and no error", p->t.name);
    if (!ok) return false;
    Ref r = g_expand(cx->g, t.ref, p->t.type.rank, p->t.type.dim, p->init_span);
    graph_out(cx->g, OUT_state, NULL, index, r, p->t.span);
    return true;
}

static void build_init(Elab *cx, const int *number) {
    cx->g = graph_new(cx->arena, "init");
    for (size_t i = 0; i < cx->tensor.n; i++) {
        PTensor p = cx->tensor.at[i];
        bool starts = p.used && p.t.like < 0 && tensor_is_saved(p.t.kind);
        if (starts && !init_tensor(cx, &p, number[i]) && diag_full(cx->diag)) break;
    }
    cx->program->init = graph_prune(cx->arena, cx->g, "init", NULL);
    cx->g = NULL;
}

/* ---- what is no mathematics */
void program_spec(Elab *cx) {
    Decls *d = cx->decls;
    Spec *s = &cx->program->spec;
    s->ntokenizer = (int)d->tokenizer.n;
    s->tokenizer = NEW_N(cx->arena, TokenizerSpec, d->tokenizer.n + 1);
    for (size_t i = 0; i < d->tokenizer.n; i++) s->tokenizer[i] = d->tokenizer.at[i].spec;
    s->ndata = (int)d->data.n;
    s->data = NEW_N(cx->arena, DataSpec, d->data.n + 1);
    for (size_t i = 0; i < d->data.n; i++) s->data[i] = d->data.at[i].spec;
    s->nload = (int)d->load.n;
    s->load = d->load.at;
}

void program_finish(Elab *cx) {
    Program *p = cx->program;
    for (size_t i = 0; i < p->nentry; i++) {
        if (cx->decls->unwatched) watches_drop(p->entry[i].step);
        p->entry[i].step = graph_prune(cx->arena, p->entry[i].step, p->entry[i].name, NULL);
        if (p->entry[i].kind != ENTRY_features) mark_used(cx, p->entry[i].step);
    }
    drop_unread(cx);
    mark_originals(cx);
    int *number = number_tensors(cx);
    for (size_t i = 0; i < p->nentry; i++) finish_entry(cx, &p->entry[i], number);
    build_init(cx, number);
    program_spec(cx);
    p->stage = STAGE_BUILT;
}
