/* The memory plan of a graph: where every value lives, before anything runs.
 *
 * Values are grouped into buffers (views share, in-place results join the buffer of the input they
 * overwrite), new state is written straight into its tensor where the old value is no longer
 * needed, and the rest is packed into one arena (passes/pack.c). Order of nodes is execution order
 * and is kept. Limits: in-place is decided node by node, conservatively; lower_bound says how far
 * the packing may be from the best. */
#include <limits.h>
#include <string.h>

#include "passes/pack.h"
#include "passes/view.h"

typedef struct Planner {
    Arena *arena;
    const Program *program;
    const Graph *g;
    const Node *scan;    /* g is its body; NULL: it is none */
    const bool *reached; /* by node; what no output needs is not executed */
    Plan *plan;
    int *owner;        /* value -> node */
    int *root;         /* value -> the value whose storage it shares as a view */
    Live *live;        /* of roots */
    int *old;          /* tensor -> root of its value at the start, -1: never read */
    bool *changed;     /* tensor -> gets a new value */
    int *group;        /* root -> group, -1 */
    VEC(Block) groups; /* values that share one stretch of the arena */
    VEC(const char *) field;
    VEC(PlanCopy) copy;
} Planner;

/* ---- which results may overwrite which inputs */

static int64_t type_bytes(const Type *t) {
    return type_count(t) * (int64_t)dtype_size(t->dtype);
}

static bool arg_inplace(Planner *cx, const Node *n, int arg, int out) {
    if (n->op == OP_fused) return fused_arg_inplace(cx->arena, n, arg, out);
    if (n->op == OP_scan) return arg == out && arg < n->attr.scan.totals;
    if (n->op == OP_dot_add && n->attr.dot.halve) return false;
    return (n->op == OP_put || n->op == OP_put_add || n->op == OP_dot_add) && arg == 0;
}

static int value_of(const Planner *cx, Ref r) {
    return cx->plan->first[r.node] + (int)r.out;
}
static int root_of(const Planner *cx, Ref r) {
    return cx->root[value_of(cx, r)];
}

/* Whether result `out` of node `n` may overwrite root value `q`, wherever n reads it. */
static bool may_overwrite(Planner *cx, const Node *n, int out, int q) {
    for (int j = 0; j < n->nin; j++)
        if (root_of(cx, n->in[j]) == q && !arg_inplace(cx, n, j, out)) return false;
    return true;
}

/* ---- values, views, leaves */

static int field_index(Planner *cx, const char *name) {
    for (size_t i = 0; i < cx->field.n; i++)
        if (str_eq(cx->field.at[i], name)) return (int)i;
    vec_push(cx->arena, &cx->field, name);
    return (int)cx->field.n - 1;
}

static bool is_leaf_without_storage(Op op) {
    switch (op) {
    case OP_const:
    case OP_iota:
    case OP_step:
    case OP_steps:
    case OP_live:
    case OP_arg: return true;
    default: return false;
    }
}

static void place_value(Planner *cx, const Node *n, int v) {
    PlanBuffer *b = &cx->plan->buffer[v];
    cx->root[v] = v;
    if (n->op == OP_state) {
        int t = n->attr.tensor;
        if (cx->old[t] < 0) cx->old[t] = v;
        cx->root[v] = cx->old[t];
        b->where = PLAN_TENSOR;
        b->index = t;
    } else if (n->op == OP_arg && cx->scan) {
        b->where = PLAN_ARG;
        b->index = (int)n->attr.count;
    } else if (n->op == OP_field) {
        b->where = PLAN_FIELD;
        b->index = field_index(cx, n->attr.name);
    } else if (view_is_strided(n)) { /* of a fused graph: products read it where its input lies */
        cx->root[v] = root_of(cx, n->in[0]);
    } else {
        bool stored = cx->reached[cx->owner[v]] && !is_leaf_without_storage(n->op);
        b->where = stored ? PLAN_ARENA : PLAN_NONE;
    }
}

static void number_values(Planner *cx) {
    const Graph *g = cx->g;
    Plan *plan = cx->plan;
    plan->first = NEW_N(cx->arena, int, g->n + 1);
    for (size_t i = 0; i < g->n; i++) plan->first[i + 1] = plan->first[i] + g->node[i]->nout;
    plan->nvalue = plan->first[g->n];
    plan->buffer = NEW_N(cx->arena, PlanBuffer, plan->nvalue);
    cx->owner = NEW_N(cx->arena, int, plan->nvalue);
    cx->root = NEW_N(cx->arena, int, plan->nvalue);
    cx->live = NEW_N(cx->arena, Live, plan->nvalue);
    for (size_t i = 0; i < g->n; i++)
        for (int o = 0; o < g->node[i]->nout; o++) {
            int v = plan->first[i] + o;
            cx->owner[v] = (int)i;
            cx->live[v] = (Live){(int)i, (int)i};
            plan->buffer[v].bytes = type_bytes(&g->node[i]->type[o]);
            place_value(cx, g->node[i], v);
        }
}

static void read_value(Planner *cx, int root, int at, bool needs_storage) {
    PlanBuffer *b = &cx->plan->buffer[root];
    if (cx->live[root].last < at) cx->live[root].last = at;
    if (needs_storage && b->where == PLAN_NONE) b->where = PLAN_ARENA;
}

static bool is_unchanged(const Planner *cx, const Output *o) {
    return o->kind == OUT_state && root_of(cx, o->ref) == cx->old[o->index];
}

/* Outputs are read after the last node, at number g->n. */
static void find_live(Planner *cx) {
    const Graph *g = cx->g;
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (!cx->reached[i]) continue;
        bool kernel = op_info[n->op].lower == LOWER_MAP || op_info[n->op].lower == LOWER_REDUCE;
        for (int j = 0; j < n->nin; j++) {
            int r = root_of(cx, n->in[j]);
            read_value(cx, r, (int)i, !kernel || r != value_of(cx, n->in[j]));
        }
    }
    for (size_t i = 0; i < g->nout; i++) {
        if (is_unchanged(cx, &g->out[i])) continue;
        read_value(cx, root_of(cx, g->out[i].ref), (int)g->n, true);
        if (g->out[i].kind == OUT_state) cx->changed[g->out[i].index] = true;
    }
}

/* ---- new state */

/* Nothing reads `old` after the node that makes `r`, which may be written over it. */
static bool is_dead_at(Planner *cx, int old, int r) {
    int at = cx->owner[r];
    if (cx->live[old].last < at) return true;
    return cx->live[old].last == at &&
           may_overwrite(cx, cx->g->node[at], r - cx->plan->first[at], old);
}

static bool old_is_dead(Planner *cx, int tensor, int r) {
    return cx->old[tensor] < 0 || is_dead_at(cx, cx->old[tensor], r);
}

/* New state goes straight into its tensor's buffer where that is free in time; else it is copied at
 * the end. */
static void place_states(Planner *cx) {
    for (size_t i = 0; i < cx->g->nout; i++) {
        const Output *o = &cx->g->out[i];
        if (o->kind != OUT_state || is_unchanged(cx, o)) continue;
        int r = root_of(cx, o->ref);
        PlanBuffer *b = &cx->plan->buffer[r];
        if (b->where == PLAN_ARENA && b->bytes == type_bytes(&cx->program->tensor[o->index].type) &&
            old_is_dead(cx, o->index, r)) {
            b->where = PLAN_TENSOR;
            b->index = o->index;
        } else {
            vec_push(cx->arena, &cx->copy, (PlanCopy){.tensor = o->index, .from = o->ref});
        }
    }
}

/* ---- results of a loop's body */

/* The root that is input `arg` of the body, -1: it is not read. */
static int arg_root(const Planner *cx, int arg) {
    for (int v = 0; v < cx->plan->nvalue; v++) {
        const PlanBuffer *b = &cx->plan->buffer[v];
        if (cx->root[v] == v && b->where == PLAN_ARG && b->index == arg) return v;
    }
    return -1;
}

/* A total lies where the turn before left it, so it is written there when that has been read. */
static bool can_lie_there(Planner *cx, int result, int root) {
    int old = result < cx->scan->attr.scan.totals ? arg_root(cx, result) : -1;
    return old < 0 || is_dead_at(cx, old, root);
}

static void place_results(Planner *cx) {
    for (size_t i = 0; i < cx->g->nout; i++) {
        int r = root_of(cx, cx->g->out[i].ref);
        PlanBuffer *b = &cx->plan->buffer[r];
        if (b->where != PLAN_ARENA || !can_lie_there(cx, (int)i, r)) continue;
        b->where = PLAN_RESULT;
        b->index = (int)i;
    }
}

/* What lies elsewhere: an input that is a result, the second of two equal ones, and totals that are
 * made while the old ones are still read; those last, for the others may be copies of old ones. */
static void copy_results(Planner *cx) {
    size_t n = cx->g->nout, totals = (size_t)cx->scan->attr.scan.totals;
    cx->plan->out = NEW_N(cx->arena, PlanBuffer, n);
    for (size_t k = 0; k < n; k++) {
        size_t i = (k + totals) % n;
        Ref from = cx->g->out[i].ref;
        PlanBuffer at = cx->plan->buffer[value_of(cx, from)], *to = &cx->plan->out[i];
        *to = (PlanBuffer){.where = PLAN_RESULT, .index = (int)i, .bytes = at.bytes};
        if (at.where != PLAN_RESULT || at.index != (int)i)
            vec_push(cx->arena, &cx->copy,
                     (PlanCopy){.tensor = -1, .from = from, .source = at, .target = *to});
    }
}

/* ---- the arena */

static int group_new(Planner *cx, int64_t bytes, Live live) {
    vec_push(cx->arena, &cx->groups, (Block){.bytes = bytes, .live = live});
    return (int)cx->groups.n - 1;
}

/* The input of `n` whose buffer result `out` takes over, or -1. */
static int inplace_root(Planner *cx, int at, int out) {
    const Node *n = cx->g->node[at];
    int v = cx->plan->first[at] + out;
    for (int j = 0; j < n->nin; j++) {
        int q = root_of(cx, n->in[j]);
        if (cx->group[q] < 0 || cx->groups.at[cx->group[q]].live.last != at) continue;
        if (cx->plan->buffer[q].bytes != cx->plan->buffer[v].bytes) continue;
        if (may_overwrite(cx, n, out, q)) return q;
    }
    return -1;
}

static void group_values(Planner *cx) {
    for (int v = 0; v < cx->plan->nvalue; v++) cx->group[v] = -1;
    for (int v = 0; v < cx->plan->nvalue; v++) {
        int at = cx->owner[v];
        if (cx->root[v] != v || cx->plan->buffer[v].where != PLAN_ARENA) continue;
        int q = inplace_root(cx, at, v - cx->plan->first[at]);
        cx->group[v] =
            q >= 0 ? cx->group[q] : group_new(cx, cx->plan->buffer[v].bytes, cx->live[v]);
        Live *live = &cx->groups.at[cx->group[v]].live;
        if (live->last < cx->live[v].last) live->last = cx->live[v].last;
        /* a result nobody reads still fills its buffer: keep others of this node out of it */
        if (q >= 0 && live->last == at) live->last = at + 1;
    }
}

/* ---- results */

static void fill_buffers(Planner *cx) {
    for (int v = 0; v < cx->plan->nvalue; v++) {
        int r = cx->root[v];
        PlanBuffer *b = &cx->plan->buffer[v];
        if (r == v && cx->group[v] >= 0) b->offset = cx->groups.at[cx->group[v]].offset;
        if (r != v) *b = cx->plan->buffer[r];
        b->live = cx->live[r];
    }
}

/* An old value that is read at the end while its tensor changes is saved first. */
static bool must_save(const Planner *cx, const PlanBuffer *b, int root) {
    return b->where == PLAN_TENSOR && cx->changed[b->index] && cx->old[b->index] == root;
}

static PlanBuffer save_old(Planner *cx, Ref from, PlanBuffer source) {
    for (size_t i = 0; i < cx->copy.n; i++) /* saved before? */
        if (cx->copy.at[i].tensor < 0 && root_of(cx, cx->copy.at[i].from) == root_of(cx, from))
            return cx->copy.at[i].target;
    PlanBuffer target = {.where = PLAN_ARENA,
                         .offset = cx->plan->arena_bytes,
                         .bytes = source.bytes,
                         .live = source.live};
    cx->plan->arena_bytes += align_up(source.bytes);
    vec_push(cx->arena, &cx->copy,
             (PlanCopy){.tensor = -1, .from = from, .source = source, .target = target});
    return target;
}

static PlanBuffer final_place(Planner *cx, Ref from) {
    PlanBuffer b = cx->plan->buffer[value_of(cx, from)];
    return must_save(cx, &b, root_of(cx, from)) ? save_old(cx, from, b) : b;
}

static void order_copies(Planner *cx) {
    size_t nstate = cx->copy.n;
    PlanCopy *state = arena_memdup(cx->arena, cx->copy.at, nstate * sizeof *state);
    cx->copy.n = 0;
    cx->plan->out = NEW_N(cx->arena, PlanBuffer, cx->g->nout);
    for (size_t i = 0; i < cx->g->nout; i++) {
        const Output *o = &cx->g->out[i];
        if (o->kind == OUT_state)
            cx->plan->out[i] = (PlanBuffer){.where = PLAN_TENSOR,
                                            .index = o->index,
                                            .bytes = type_bytes(graph_type(cx->g, o->ref))};
        else
            cx->plan->out[i] = final_place(cx, o->ref);
    }
    for (size_t i = 0; i < nstate; i++) {
        state[i].source = final_place(cx, state[i].from);
        state[i].target = (PlanBuffer){
            .where = PLAN_TENSOR, .index = state[i].tensor, .bytes = state[i].source.bytes};
    }
    for (size_t i = 0; i < nstate; i++) vec_push(cx->arena, &cx->copy, state[i]);
}

/* What a loop's body needs of the arena while it runs, beside what lives then. */
static void make_room_for_loops(Planner *cx) {
    for (size_t i = 0; i < cx->g->n; i++) {
        const Node *n = cx->g->node[i];
        if (!cx->reached[i] || n->op != OP_scan) continue;
        int64_t bytes = plan_body(cx->arena, cx->program, n)->arena_bytes;
        int64_t end = plan_room(cx->plan, (int)i, NULL, 0, bytes) + bytes;
        if (end > cx->plan->arena_bytes) cx->plan->arena_bytes = end;
    }
}

static Plan *make_plan(Arena *a, const Program *p, const Graph *g, const Node *scan) {
    CHECK(g->n < INT_MAX / 2);
    Planner cx = {.arena = a, .program = p, .g = g, .scan = scan, .plan = NEW(a, Plan)};
    cx.plan->graph = g;
    cx.reached = graph_reached(g, a);
    cx.old = NEW_N(a, int, p->ntensor);
    cx.changed = NEW_N(a, bool, p->ntensor);
    for (size_t i = 0; i < p->ntensor; i++) cx.old[i] = -1;
    number_values(&cx);
    cx.group = NEW_N(a, int, cx.plan->nvalue);
    find_live(&cx);
    (scan ? place_results : place_states)(&cx);
    group_values(&cx);
    int n = (int)cx.groups.n;
    cx.plan->lower_bound = pack_least(a, cx.groups.at, n);
    cx.plan->arena_bytes = pack_blocks(a, cx.groups.at, n);
    fill_buffers(&cx);
    (scan ? copy_results : order_copies)(&cx);
    make_room_for_loops(&cx);
    cx.plan->field = cx.field.at;
    cx.plan->nfield = (int)cx.field.n;
    cx.plan->copy = cx.copy.at;
    cx.plan->ncopy = (int)cx.copy.n;
    return cx.plan;
}

Plan *plan_graph(Arena *a, const Program *p, const Graph *g) {
    return make_plan(a, p, g, NULL);
}
Plan *plan_body(Arena *a, const Program *p, const Node *scan) {
    return make_plan(a, p, scan->attr.scan.body, scan);
}

/* ---- room beside the plan */

/* Where an arena buffer that overlaps [from, from + bytes) ends; `from` itself when it does not. */
static int64_t end_of_overlap(const PlanBuffer *b, int64_t from, int64_t bytes) {
    int64_t end = b->offset + align_up(b->bytes);
    bool meets = b->where == PLAN_ARENA && b->offset < from + bytes && end > from;
    return meets ? end : from;
}

int64_t plan_room(const Plan *plan, int node, const PlanBuffer *taken, int ntaken, int64_t bytes) {
    int64_t at = 0, from;
    do {
        from = at;
        for (int i = 0; i < plan->nvalue; i++) {
            const PlanBuffer *b = &plan->buffer[i];
            if (b->live.first <= node && node <= b->live.last) at = end_of_overlap(b, at, bytes);
        }
        for (int i = 0; i < ntaken; i++) at = end_of_overlap(&taken[i], at, bytes);
    } while (at != from);
    return at;
}

/* ---- what takes room */

static bool same_place(const PlanBuffer *a, const PlanBuffer *b) {
    return a->where != PLAN_NONE && a->where == b->where && a->index == b->index &&
           a->offset == b->offset;
}

int plan_shares(const Plan *plan, uint32_t node, int out) {
    const Node *n = plan->graph->node[node];
    const PlanBuffer *at = &plan->buffer[plan->first[node] + out];
    for (int j = 0; j < n->nin; j++)
        if (same_place(at, &plan->buffer[plan->first[n->in[j].node] + (int)n->in[j].out])) return j;
    return -1;
}

bool plan_takes(const Plan *plan, uint32_t node, int out, Live *when) {
    const Node *n = plan->graph->node[node];
    const PlanBuffer *b = &plan->buffer[plan->first[node] + out];
    if (b->where != PLAN_ARENA || view_is_strided(n)) return false;
    *when = b->live;
    if (plan_shares(plan, node, out) >= 0) when->first++; /* until then the input's */
    return when->first <= when->last;
}

int plan_fullest(Arena *a, const Plan *plan) {
    int nodes = (int)plan->graph->n, best = 0;
    int64_t *change = NEW_N(a, int64_t, nodes + 3), now = 0, most = 0;
    for (uint32_t i = 0; i < plan->graph->n; i++)
        for (int o = 0; o < plan->graph->node[i]->nout; o++) {
            Live when;
            if (!plan_takes(plan, i, o, &when)) continue;
            change[when.first] += plan->buffer[plan->first[i] + o].bytes;
            change[when.last + 1] -= plan->buffer[plan->first[i] + o].bytes;
        }
    for (int i = 0; i <= nodes; i++) {
        now += change[i];
        if (now > most) most = now, best = i;
    }
    return best;
}

/* ---- print */

static void print_place(Buf *b, const Program *p, const Plan *plan, const PlanBuffer *at) {
    switch (at->where) {
    case PLAN_ARENA: buf_printf(b, "arena+%lld", (long long)at->offset); break;
    case PLAN_TENSOR: buf_printf(b, "\"%s\"", p->tensor[at->index].name); break;
    case PLAN_FIELD: buf_printf(b, "field %s", plan->field[at->index]); break;
    case PLAN_ARG: buf_printf(b, "input %d", at->index); break;
    case PLAN_RESULT: buf_printf(b, "result %d", at->index); break;
    case PLAN_NONE: buf_puts(b, "none"); break;
    }
}

static const char *how_shared(const Plan *plan, uint32_t node, int out) {
    if (plan_shares(plan, node, out) < 0) return "";
    return op_info[plan->graph->node[node]->op].lower == LOWER_VIEW ? "  view" : "  in place";
}

static void print_copies(Buf *b, const Program *p, const Plan *plan) {
    for (int i = 0; i < plan->ncopy; i++) {
        buf_puts(b, "  copy ");
        print_place(b, p, plan, &plan->copy[i].source);
        buf_puts(b, " to ");
        print_place(b, p, plan, &plan->copy[i].target);
        buf_printf(b, "  %lld bytes\n", (long long)plan->copy[i].source.bytes);
    }
}

static void print_value(Buf *b, const Program *p, const Plan *plan, size_t node, int out) {
    const Node *n = plan->graph->node[node];
    const PlanBuffer *at = &plan->buffer[plan->first[node] + out];
    buf_printf(b, "  %5zu", node);
    buf_printf(b, n->nout > 1 ? ".%-3d" : "    ", out);
    buf_printf(b, " %-10s %12lld bytes  [%d, %d]  ", op_info[n->op].name, (long long)at->bytes,
               at->live.first, at->live.last);
    print_place(b, p, plan, at);
    buf_printf(b, "%s\n", how_shared(plan, (uint32_t)node, out));
}

void plan_print(Buf *b, const Program *p, const Plan *plan) {
    buf_printf(b, "plan @%s: arena %lld bytes, at least %lld; %d copies\n", plan->graph->name,
               (long long)plan->arena_bytes, (long long)plan->lower_bound, plan->ncopy);
    for (size_t i = 0; i < plan->graph->n; i++)
        for (int o = 0; o < plan->graph->node[i]->nout; o++) print_value(b, p, plan, i, o);
    print_copies(b, p, plan);
    Arena *scratch = arena_new();
    for (size_t i = 0; i < plan->graph->n; i++) { /* the loops' bodies, each once for all turns */
        const Node *n = plan->graph->node[i];
        if (n->op == OP_scan) plan_print(b, p, plan_body(scratch, p, n));
    }
    arena_free(scratch);
}
