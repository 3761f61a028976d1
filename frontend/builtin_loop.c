/* A scan as a loop at run time. The fn is called once, with stand-ins (nodes `arg` that nothing
 * gives) for the carry and for a place of each sequence; what the call added to the graph and comes
 * from those, or is drawn at random, becomes the body of a `scan` node. All else is computed once,
 * before the loop, and goes in as it is. The call's nodes are left behind unread, and fall away. */
#include "frontend/decl.h"
#include "frontend/scan.h"
#include "ir/loop.h"

#include <string.h>

typedef struct Trace {
    Scan *s;
    Graph *g;
    Arena *scratch;
    uint32_t start;          /* nodes there were before the call */
    Parts carry, x, next, y; /* stand-ins, and what the call returns for them */
    bool *need, *inside;     /* by node: the results come from it; it is the body's */
    Ref *places;             /* by sequence: all of them, along axis 0 */
    Loop loop;
    Ref *map; /* by node of the body: its first result there */
} Trace;

/* ---- the call */

typedef struct Before { /* what a call may change that a loop cannot */
    size_t versions, outputs, bound;
    Ref *current;
} Before;

static Before remember(Elab *cx) {
    Decls *d = cx->decls;
    Before b = {.versions = d->version.n, .outputs = d->output.n};
    if (!cx->current) return b;
    b.bound = d->nbound;
    b.current = arena_memdup(cx->arena, cx->current, d->nbound * sizeof *cx->current);
    return b;
}

static bool changed_more(const Elab *cx, const Before *b) {
    return cx->decls->version.n != b->versions || cx->decls->output.n != b->outputs;
}

/* As if the call had not been. */
static void forget(Elab *cx, const Before *b) {
    cx->decls->version.n = b->versions;
    cx->decls->output.n = b->outputs;
    for (size_t i = 0; cx->current && i < cx->decls->nbound; i++)
        cx->current[i] = i < b->bound ? b->current[i] : REF_NONE;
}

static TVal stand_in(Trace *t, const TVal *like, const Type *type) {
    TVal v = *like;
    v.type = *type;
    Attr number = {.count = t->s->cx->decls->standins++};
    v.ref = graph_add(t->g, OP_arg, &number, NULL, 0, &v.type, t->s->c->at);
    return v;
}

static Parts parts_like(Trace *t, const Parts *p) {
    return (Parts){NEW_N(t->s->cx->arena, TVal, p->n + 1), p->n, p->tuple};
}

/* Sequence `i` with its places along the first axis. */
static TVal places_first(const Scan *s, int i) {
    int perm[RANK] = {s->axis[i]};
    for (int k = 0, to = 1; k < s->xs.at[i].type.rank; k++)
        if (k != s->axis[i]) perm[to++] = k;
    return tensor_permute(s->cx, &s->xs.at[i], perm, s->c->at);
}

static bool trace_x(Trace *t) {
    t->x = parts_like(t, &t->s->xs);
    t->places = NEW_N(t->scratch, Ref, t->x.n);
    for (int i = 0; i < t->x.n; i++) {
        TVal all = places_first(t->s, i), one = {.ref = REF_NONE};
        if (!tensor_ok(&all)) return false;
        memcpy(one.name, all.name + 1, (RANK - 1) * sizeof *one.name);
        Type place = type_place(&all.type);
        t->x.at[i] = stand_in(t, &one, &place);
        t->places[i] = all.ref;
    }
    return true;
}

/* A first carry that belongs to no sample, such as zeros, is followed by ones that do: the body is
 * written for those. */
static bool trace_call(Trace *t) {
    Parts first = t->s->carry;
    int8_t *batch = NEW_N(t->scratch, int8_t, first.n + 1);
    for (int i = 0; i < first.n; i++) batch[i] = first.at[i].type.batch_axis;
    for (bool again = true; again;) {
        again = false;
        t->carry = parts_like(t, &first);
        for (int i = 0; i < first.n; i++) {
            Type type = first.at[i].type;
            type.batch_axis = batch[i];
            t->carry.at[i] = stand_in(t, &first.at[i], &type);
        }
        t->s->carry = t->carry;
        bool ok = scan_call(t->s, &t->x, &t->y);
        t->next = t->s->carry;
        t->s->carry = first;
        if (!ok) return false;
        for (int i = 0; i < first.n; i++) {
            again = again || (batch[i] == NO_BATCH && t->next.at[i].type.batch_axis != NO_BATCH);
            if (batch[i] == NO_BATCH) batch[i] = t->next.at[i].type.batch_axis;
        }
    }
    return true;
}

/* ---- what is inside */

static void mark_parts(Trace *t, const Parts *p) {
    for (int i = 0; i < p->n; i++) t->inside[p->at[i].ref.node] = true;
}

static void mark_needed(Trace *t) {
    const Parts *results[] = {&t->next, &t->y};
    t->need = NEW_N(t->scratch, bool, t->g->n + 1);
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < results[p]->n; i++) t->need[results[p]->at[i].ref.node] = true;
    for (size_t i = t->g->n; i-- > 0;)
        for (int k = 0; t->need[i] && k < t->g->node[i]->nin; k++)
            t->need[t->g->node[i]->in[k].node] = true;
}

static void mark_inside(Trace *t) {
    t->inside = NEW_N(t->scratch, bool, t->g->n + 1);
    mark_parts(t, &t->carry);
    mark_parts(t, &t->x);
    for (uint32_t i = t->start; i < t->g->n; i++) {
        const Node *n = t->g->node[i];
        if (op_info[n->op].flags & FLAG_RANDOM) t->inside[i] = true;
        for (int k = 0; k < n->nin; k++) t->inside[i] |= t->inside[n->in[k].node];
    }
}

/* A gradient for a value from outside has to see all that comes of it, and some of that is outside.
 */
static bool differentiates_outside(const Trace *t) {
    for (uint32_t i = t->start; i < t->g->n; i++) {
        const Node *n = t->g->node[i];
        for (int k = 1; n->op == OP_grad && k < n->nin; k++)
            if (t->need[i] && t->inside[i] && !t->inside[n->in[k].node]) return true;
    }
    return false;
}

/* ---- the body */

/* Takes no memory outside and no time inside: it goes into the body rather than be handed in. */
static bool is_free(const Node *n) {
    bool leaf = n->nin == 0 && n->op != OP_state && n->op != OP_field && n->op != OP_arg;
    return leaf || (op_info[n->op].lower == LOWER_VIEW && n->nin == 1 && n->op != OP_pad);
}

static Ref body_value(Trace *t, Ref r);

static void copy_inside(Trace *t, uint32_t at) {
    const Node *n = t->g->node[at];
    Ref *in = NEW_N(t->scratch, Ref, n->nin + 1);
    for (int k = 0; k < n->nin; k++) in[k] = body_value(t, n->in[k]);
    Node inner = *n;
    if (n->region == t->g->region) inner.region = 0; /* of a remat around the scan: the loop's */
    t->map[at] = graph_copy_node(t->loop.body, &inner, in);
}

/* Recursion only goes through views of what lies outside. */
static Ref body_value(Trace *t, Ref r) {
    const Node *n = graph_node(t->g, r);
    if (!ref_is(t->map[r.node])) {
        if (!t->inside[r.node] && !is_free(n))
            return loop_input(&t->loop, t->g, LOOP_whole, r, NULL);
        copy_inside(t, r.node);
    }
    return (Ref){t->map[r.node].node, t->map[r.node].out + r.out};
}

static void map_stand_ins(Trace *t) {
    for (int i = 0; i < t->carry.n; i++)
        t->map[t->carry.at[i].ref.node] =
            loop_input(&t->loop, t->g, LOOP_carry, t->s->carry.at[i].ref, &t->carry.at[i].type);
    for (int i = 0; i < t->x.n; i++)
        t->map[t->x.at[i].ref.node] = loop_input(&t->loop, t->g, LOOP_slice, t->places[i], NULL);
}

static void build_body(Trace *t) {
    size_t n = t->g->n;
    t->loop = loop_new(t->scratch, "scan", false);
    t->map = NEW_N(t->scratch, Ref, n);
    for (size_t i = 0; i < n; i++) t->map[i] = REF_NONE;
    map_stand_ins(t);
    for (uint32_t i = t->start; i < n; i++)
        if (t->need[i] && t->inside[i] && !ref_is(t->map[i])) copy_inside(t, i);
}

/* ---- the results */

/* Result `k` of the loop, whose places go where those of the first sequence were. */
static bool stacked(Trace *t, Ref loop, int k, const TVal *y, TVal *out) {
    int axis = t->s->axis[0], perm[RANK];
    TVal all = {.ref = {loop.node, (uint32_t)k},
                .type = *graph_type(t->g, (Ref){loop.node, (uint32_t)k})};
    memcpy(all.name + 1, y->name, (RANK - 1) * sizeof *y->name);
    all.name[0] = t->s->xs.at[0].name[axis];
    for (int i = 0; i < all.type.rank; i++) perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    *out = tensor_permute(t->s->cx, &all, perm, t->s->c->at);
    return tensor_ok(out);
}

static bool last_carry(Trace *t, Ref loop, int k, TVal *out) {
    TVal all = {.ref = {loop.node, (uint32_t)k},
                .type = *graph_type(t->g, (Ref){loop.node, (uint32_t)k})};
    memcpy(all.name + 1, t->next.at[k].name, (RANK - 1) * sizeof *all.name);
    TVal last = tensor_cut(t->s->cx, &all, 0, t->s->length - 1, 1, 1, t->s->c->at);
    *out = scan_drop(t->s, &last, 0);
    return tensor_ok(out);
}

static bool finish(Trace *t, Parts *ys) {
    int *number = NEW_N(t->scratch, int, t->y.n + 1);
    for (int i = 0; i < t->next.n; i++) loop_carry(&t->loop, body_value(t, t->next.at[i].ref));
    for (int i = 0; i < t->y.n; i++) {
        if (!scan_can_stack(t->s, &t->y.at[i])) return false;
        number[i] = loop_result(&t->loop, body_value(t, t->y.at[i].ref));
    }
    loop_keep(&t->loop);
    Ref loop = loop_finish(&t->loop, t->g, t->s->c->at);
    *ys = parts_like(t, &t->y);
    for (int i = 0; i < t->y.n; i++)
        if (!stacked(t, loop, number[i], &t->y.at[i], &ys->at[i])) return false;
    t->s->carry = parts_like(t, &t->next);
    for (int i = 0; i < t->next.n; i++)
        if (!last_carry(t, loop, i, &t->s->carry.at[i])) return false;
    return true;
}

static bool trace(Trace *t, Parts *ys, bool *done) {
    Elab *cx = t->s->cx;
    Before before = remember(cx);
    if (!trace_x(t)) return false;
    t->start = (uint32_t)t->g->n;
    if (!trace_call(t)) return false;
    mark_needed(t);
    mark_inside(t);
    *done = !changed_more(cx, &before) && !differentiates_outside(t) && t->next.n + t->y.n > 0;
    if (!*done) {
        forget(cx, &before);
        return true;
    }
    build_body(t);
    return finish(t, ys);
}

bool scan_loop(Scan *s, Parts *ys, bool *done) {
    Elab *cx = s->cx;
    bool worth = cx->g && s->length > 1;
    for (int i = 0; i < s->carry.n; i++) worth = worth && s->carry.at[i].type.rank < RANK;
    if (!worth || cx->decls->loops == LOOPS_DEEP) return true;
    Trace t = {.s = s, .g = cx->g, .scratch = arena_new()};
    cx->decls->loops++;
    bool ok = trace(&t, ys, done);
    cx->decls->loops--;
    arena_free(t.scratch);
    return ok;
}
