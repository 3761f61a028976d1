/* Fusion: every node that computes goes into a kernel. The new graph holds what is stored: leaves,
 * products, tables, views that move nothing, and one `fused` node a group, in an order that stays
 * close to the old one. */
#include "passes/fuse.h"

static void heap_push(Order *o, uint32_t unit) {
    size_t i = o->nheap++;
    for (; i > 0 && o->heap[(i - 1) / 2] > unit; i = (i - 1) / 2) o->heap[i] = o->heap[(i - 1) / 2];
    o->heap[i] = unit;
}

static uint32_t heap_pop(Order *o) {
    uint32_t top = o->heap[0], last = o->heap[--o->nheap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < o->nheap; i = child) {
        if (child + 1 < o->nheap && o->heap[child + 1] < o->heap[child]) child++;
        if (o->heap[child] >= last) break;
        o->heap[i] = o->heap[child];
    }
    o->heap[i] = last;
    return top;
}

static bool is_unit(const Order *o, uint32_t n) {
    const Fuse *f = o->f;
    return f->reached[n] && o->unit[n] == n && (f->group[n] >= 0 || f->stored[n]);
}

static void count_waiting(Order *o, uint32_t node) {
    const NodeList *need = &o->f->need[node];
    uint32_t unit = o->unit[node];
    for (size_t i = 0; i < need->n; i++) {
        uint32_t from = o->unit[need->at[i]];
        if (from == unit) continue;
        o->waiting[unit]++;
        vec_push(o->f->arena, &o->user[from], unit);
    }
}

Order fuse_order(Fuse *f) {
    size_t n = f->g->n;
    Order o = {.f = f,
               .unit = NEW_N(f->arena, uint32_t, n),
               .waiting = NEW_N(f->arena, int, n),
               .user = NEW_N(f->arena, NodeList, n),
               .heap = NEW_N(f->arena, uint32_t, n)};
    for (uint32_t i = 0; i < n; i++) {
        o.unit[i] = i;
        if (f->group[i] >= 0) {
            const GroupInfo *group = &f->groups.at[f->group[i]];
            o.unit[i] = group->member.at[group->member.n - 1];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (f->reached[i] && (f->group[i] >= 0 || f->stored[i])) count_waiting(&o, i);
    /* An `arg` stands for a value from outside: whoever gives it says when it is there. */
    for (uint32_t i = 0; i < n; i++)
        if (is_unit(&o, i) && o.waiting[i] == 0 && f->g->node[i]->op != OP_arg) heap_push(&o, i);
    return o;
}

/* A view that nothing stores, which a product reads through its strides: over what is there. */
static Ref make_view(const Fuse *f, Ref r, Graph *to, const RefMap *value) {
    VEC(Ref) chain = {0};
    while (!ref_is(refmap_get(value, r))) {
        CHECK(view_is_strided(graph_node(f->g, r)));
        vec_push(f->arena, &chain, r);
        r = graph_node(f->g, r)->in[0];
    }
    Ref x = refmap_get(value, r);
    while (chain.n--) x = graph_copy_node(to, graph_node(f->g, chain.at[chain.n]), &x);
    return x;
}

static void make_unit(Fuse *f, uint32_t unit, Graph *to, RefMap *value) {
    if (f->group[unit] >= 0) {
        fuse_emit_group(f, &f->groups.at[f->group[unit]], to, value);
        return;
    }
    const Node *n = f->g->node[unit];
    if (op_info[n->op].lower == LOWER_VIEW) { /* moves nothing: whatever it is called, it renames */
        Ref x = refmap_get(value, n->in[0]);
        refmap_set(value, (Ref){unit, 0},
                   g_reshape(to, x, n->type[0].rank, n->type[0].dim, n->span));
        return;
    }
    Ref *in = NEW_N(f->arena, Ref, n->nin + 1);
    for (int i = 0; i < n->nin; i++) in[i] = make_view(f, n->in[i], to, value);
    refmap_set_node(value, f->g, unit, graph_copy_node(to, n, in));
}

void fuse_unit_done(Order *o, uint32_t unit) {
    for (size_t i = 0; i < o->user[unit].n; i++)
        if (--o->waiting[o->user[unit].at[i]] == 0) heap_push(o, o->user[unit].at[i]);
}

void fuse_make_units(Order *o, Graph *to, RefMap *value) {
    while (o->nheap) {
        uint32_t unit = heap_pop(o);
        make_unit(o->f, unit, to, value);
        fuse_unit_done(o, unit);
    }
}

Fuse fuse_new(Arena *scratch, const Graph *g) {
    Fuse f = {.arena = scratch,
              .g = g,
              .reached = graph_reached(g, scratch),
              .stored = NEW_N(scratch, bool, g->n),
              .inlined = NEW_N(scratch, bool, g->n),
              .group = NEW_N(scratch, int, g->n),
              .size = NEW_N(scratch, int, g->n),
              .need = NEW_N(scratch, NodeList, g->n),
              .memo = NEW_N(scratch, struct Memo *, g->n)};
    fuse_decide(&f);
    return f;
}

Graph *fuse_graph(Arena *scratch, const Graph *g, RefMap *value, PassCx *cx) {
    Fuse f = fuse_new(scratch, g);
    Graph *to = graph_new(cx->arena, g->name);
    *value = refmap_new(scratch, g);
    Order o = fuse_order(&f);
    fuse_make_units(&o, to, value);
    refmap_outputs(value, g, to);
    return to;
}

/* Of a loop: its inputs are there from the start. */
static Graph *fuse_body(const Program *p, const Graph *g, PassCx *cx) {
    Arena *scratch = arena_new();
    g = loops_map(p, g, cx, fuse_body);
    Fuse f = fuse_new(scratch, g);
    Graph *to = graph_new(cx->arena, g->name);
    RefMap value = refmap_new(scratch, g);
    Order o = fuse_order(&f);
    for (uint32_t i = 0; i < g->n; i++) {
        if (!f.reached[i] || g->node[i]->op != OP_arg) continue;
        refmap_set_node(&value, g, i, graph_copy_node(to, g->node[i], NULL));
        fuse_unit_done(&o, i);
    }
    fuse_make_units(&o, to, &value);
    refmap_outputs(&value, g, to);
    arena_free(scratch);
    return to;
}

static bool fuse_entry(Arena *scratch, Entry *e, PassCx *cx) {
    RefMap value;
    bool train = e->kind == ENTRY_train, ok = true;
    for (int k = 0; k < ENTRY_GRAPHS; k++)
        if (e->graph[k]) e->graph[k] = loops_map(NULL, e->graph[k], cx, fuse_body);
    bool steps = train && e->step && e->logged, pieces = train && e->piece && e->piece_logged;
    if (steps) ok = fuse_step(scratch, &e->step, &e->logged, cx);
    if (pieces) ok = fuse_step(scratch, &e->piece, &e->piece_logged, cx) && ok;
    for (int k = 0; k < ENTRY_GRAPHS; k++) {
        bool done = k < ENTRY_PIECES ? steps : pieces && e->graph[k] != e->ahead;
        if (e->graph[k] && !done) e->graph[k] = fuse_graph(scratch, e->graph[k], &value, cx);
    }
    return ok;
}

Program *pass_fuse(const Program *in, PassCx *cx) {
    Program *p = program_like(in);
    Arena *scratch = arena_new();
    RefMap value;
    bool ok = true;
    if (in->init) p->init = loops_map(in, in->init, cx, fuse_body);
    if (in->init) p->init = fuse_graph(scratch, p->init, &value, cx);
    for (size_t i = 0; i < in->nentry; i++) ok = fuse_entry(scratch, &p->entry[i], cx) && ok;
    arena_free(scratch);
    return ok ? p : NULL;
}
