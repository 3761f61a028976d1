/* Recomputation: a graph that needs less memory, as values that would wait long are computed anew
 * just before they are read again (Chen et al. 2016, arXiv:1604.06174).
 *
 * The plan's fullest moment cuts the order of nodes in two. A node before it may be done AGAIN:
 * what stands after the cut then reads a copy of it, made when the first of them needs it, and the
 * original dies early. Nodes are chosen one at a time, by bytes above the budget and how long they
 * stay there, over what doing the node again costs (Kirisame et al. 2021, arXiv:2006.09616), with
 * the producers of inputs that would have to be kept for it. Copies compute the same bits. What it
 * gives never needs more memory than what it was given. Limits: greedy; one copy of a node for each
 * cut; memory is counted without the gaps of packing, which a lower goal makes up for. */
#include <math.h>

#include "ir/facts.h"
#include "passes/internal.h"
#include "passes/pack.h"
#include "passes/view.h"

enum { CUTS = 4, GOALS = 4, REGION = 48, VISITS = 60000000 };
static const double OPERATIONS_A_BYTE = 6; /* that take as long as moving it */
/* Without a limit: how much of a step may be done again, for arenas that are larger than SMALL and
 * values that are more than so small a part of them. */
static const double CHEAP = 0.01;
enum { SMALL = 64 << 20, LITTLE_OF_ALL = 256 };

typedef VEC(uint32_t) NodeList;

typedef struct Remat {
    Arena *arena;
    const Program *program;
    const Graph *g;
    const Plan *plan;
    uint32_t cut;    /* the last node before it */
    int64_t goal;    /* bytes */
    double spare;    /* cost that doing nodes again may still have */
    int64_t little;  /* bytes for which it is not tried */
    int *root;       /* value -> the value whose storage it names */
    uint32_t *owner; /* value -> node */
    int *over;       /* value -> the root that it is written over in the plan, -1: none */
    bool *reached;
    uint32_t *late;   /* node -> the first node after the cut that reads it, 0: none */
    uint32_t *writer; /* tensor -> the node that makes its new value, UINT32_MAX: none */
    double *cost;     /* by node; 0: it cannot be done again */
    bool *again;      /* by node */
    int64_t visits;   /* of nodes, by all trials */
} Remat;

static int root_of(const Remat *r, Ref x) {
    return r->root[r->plan->first[x.node] + (int)x.out];
}

/* ---- what is known of the graph */

static void number_values(Remat *r) {
    for (uint32_t i = 0; i < r->g->n; i++)
        for (int k = 0; k < r->g->node[i]->nout; k++) {
            const Node *n = r->g->node[i];
            int v = r->plan->first[i] + k;
            Live when;
            r->owner[v] = i;
            r->root[v] = view_is_strided(n) ? root_of(r, n->in[0]) : v;
            r->over[v] = -1;
            if (r->root[v] != v || !plan_takes(r->plan, i, k, &when)) continue;
            int j = plan_shares(r->plan, i, k);
            if (j >= 0) r->over[v] = root_of(r, n->in[j]);
        }
}

static void find_writers(Remat *r) {
    for (size_t i = 0; i < r->program->ntensor; i++) r->writer[i] = UINT32_MAX;
    for (size_t i = 0; i < r->g->nout; i++) {
        const Output *o = &r->g->out[i];
        if (o->kind == OUT_state) r->writer[o->index] = r->owner[root_of(r, o->ref)];
    }
}

static void find_late(Remat *r) {
    for (uint32_t i = r->cut + 1; i < r->g->n; i++)
        for (int j = 0; r->reached[i] && j < r->g->node[i]->nin; j++) {
            uint32_t *late = &r->late[r->owner[root_of(r, r->g->node[i]->in[j])]];
            if (!*late && !view_is_strided(r->g->node[i])) *late = i;
        }
}

/* What computes, and neither replaces a tensor nor adds to a table. */
static bool may_repeat(const Remat *r, uint32_t at) {
    const Node *n = r->g->node[at];
    if (n->nin == 0 && n->op != OP_fused) return false;
    if (view_is_strided(n) || n->op == OP_put || n->op == OP_put_add) return false;
    for (int k = 0; k < n->nout; k++)
        if (r->plan->buffer[r->plan->first[at] + k].where != PLAN_ARENA) return false;
    return r->reached[at];
}

static void find_costs(Remat *r) {
    for (uint32_t i = 0; i <= r->cut && i < r->g->n; i++) {
        if (!may_repeat(r, i)) continue;
        Facts f = node_facts(r->g, r->g->node[i]);
        r->cost[i] = 1 + f.bytes + f.operations / OPERATIONS_A_BYTE;
    }
}

/* ---- a trial: what is live when, with copies */

typedef struct Trial {
    Remat *r;
    int now, ncopy; /* now: nodes done */
    bool *copied;   /* by node */
    Live *live;     /* by value; behind those, by value of the copy */
    int *over;      /* as live: the one that it is written over */
} Trial;

static int copy_or_self(const Trial *t, int root, bool late) {
    bool again = late && t->r->again[t->r->owner[root]];
    return again ? root + t->r->plan->nvalue : root;
}

static void do_node(Trial *t, uint32_t at, bool late, bool copy) {
    const Remat *r = t->r;
    const Node *n = r->g->node[at];
    int shift = copy ? r->plan->nvalue : 0;
    t->now++;
    t->r->visits++;
    for (int j = 0; j < n->nin; j++)
        t->live[copy_or_self(t, root_of(r, n->in[j]), late)].last = t->now;
    for (int v = r->plan->first[at]; v < r->plan->first[at + 1]; v++) {
        if (r->root[v] != v) continue;
        t->live[v + shift] = (Live){t->now, t->now};
        t->over[v + shift] = r->over[v] < 0 ? -1 : copy_or_self(t, r->over[v], late);
    }
}

static void copy_inputs(Trial *t, uint32_t at) {
    const Node *n = t->r->g->node[at];
    for (int j = 0; j < n->nin; j++) {
        uint32_t in = t->r->owner[root_of(t->r, n->in[j])];
        if (!t->r->again[in] || t->copied[in]) continue;
        t->copied[in] = true;
        copy_inputs(t, in);
        do_node(t, in, true, true);
    }
}

static void do_all(Trial *t) {
    const Remat *r = t->r;
    for (uint32_t i = 0; i < r->g->n; i++) {
        bool late = i > r->cut;
        if (!r->reached[i] || view_is_strided(r->g->node[i])) continue;
        if (late) copy_inputs(t, i);
        do_node(t, i, late, false);
    }
    t->now++;
    for (size_t i = 0; i < r->g->nout; i++) t->live[root_of(r, r->g->out[i].ref)].last = t->now;
}

/* By moment, what more or less is live there than just before. */
static int64_t *changes(const Trial *t, Arena *a) {
    const Remat *r = t->r;
    int64_t *change = NEW_N(a, int64_t, t->now + 3);
    for (int v = 0; v < 2 * r->plan->nvalue; v++) {
        const PlanBuffer *b = &r->plan->buffer[v % r->plan->nvalue];
        Live live = t->live[v];
        if (b->where != PLAN_ARENA || !live.first) continue;
        if (t->over[v] >= 0 && t->live[t->over[v]].last == live.first) live.first++;
        if (live.first > live.last) continue;
        change[live.first] += align_up(b->bytes);
        change[live.last + 1] -= align_up(b->bytes);
    }
    return change;
}

/* Bytes above the goal, summed over all moments: 0 when it is reached. */
static double excess(Remat *r) {
    Arena *a = arena_new();
    int n = 2 * r->plan->nvalue;
    Trial t = {.r = r,
               .copied = NEW_N(a, bool, r->g->n),
               .live = NEW_N(a, Live, n),
               .over = NEW_N(a, int, n)};
    for (int i = 0; i < n; i++) t.over[i] = -1;
    do_all(&t);
    const int64_t *change = changes(&t, a);
    int64_t now = 0;
    double sum = 0;
    for (int i = 0; i <= t.now; i++) {
        now += change[i];
        if (now > r->goal) sum += (double)(now - r->goal);
    }
    arena_free(a);
    return sum;
}

/* ---- choosing */

typedef struct Choice { /* a node, with the producers that have to be done again for it */
    NodeList node;
    double cost, gain; /* gain: excess that it takes away, over cost */
} Choice;

static int64_t node_bytes(const Remat *r, uint32_t at) {
    int64_t bytes = 0;
    for (int v = r->plan->first[at]; v < r->plan->first[at + 1]; v++)
        bytes += r->plan->buffer[v].bytes;
    return bytes;
}

static bool is_listed(const NodeList *l, uint32_t at) {
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i] == at) return true;
    return false;
}

/* Whether all tensors that the node reads still have their old value when `reader` is done. */
static bool is_in_time(const Remat *r, uint32_t at, uint32_t reader) {
    const Node *n = r->g->node[at];
    for (int j = 0; j < n->nin; j++) {
        const Node *in = r->g->node[r->owner[root_of(r, n->in[j])]];
        if (in->op == OP_state && r->writer[in->attr.tensor] < reader) return false;
    }
    return true;
}

/* Adds the node, and before it (below `least` bytes they are rather kept) the producers of what is
 * not there any more when `reader` is done. */
static bool add_region(const Remat *r, uint32_t at, uint32_t reader, int64_t least, NodeList *l) {
    const Node *n = r->g->node[at];
    if (r->cost[at] == 0 || l->n >= REGION || !is_in_time(r, at, reader)) return false;
    vec_push(r->arena, l, at);
    for (int j = 0; j < n->nin; j++) {
        uint32_t in = r->owner[root_of(r, n->in[j])];
        if (r->again[in] || r->late[in] || is_listed(l, in) || node_bytes(r, in) < least) continue;
        if (r->cost[in] != 0) add_region(r, in, reader, least, l);
    }
    return true;
}

static void set_again(const Remat *r, const NodeList *l, bool on) {
    for (size_t i = 0; i < l->n; i++) r->again[l->at[i]] = on;
}

static void weigh(Remat *r, Choice *c, double now) {
    c->cost = 0;
    for (size_t i = 0; i < c->node.n; i++) c->cost += r->cost[c->node.at[i]];
    set_again(r, &c->node, true);
    c->gain = c->cost > 0 ? (now - excess(r)) / c->cost : 0;
    set_again(r, &c->node, false);
}

/* The better of the node alone, its inputs kept for it, and its region. */
static Choice choice_of(Remat *r, uint32_t at, double now) {
    Choice alone = {0}, region = {0};
    if (!add_region(r, at, r->late[at], INT64_MAX, &alone.node)) return alone;
    weigh(r, &alone, now);
    add_region(r, at, r->late[at], node_bytes(r, at) / 8, &region.node);
    if (region.node.n <= 1) return alone;
    weigh(r, &region, now);
    return region.gain > alone.gain ? region : alone;
}

typedef struct Candidate {
    uint32_t node;
    double gain; /* when it was last looked at */
} Candidate;
typedef VEC(Candidate) CandidateList;

static CandidateList candidates(Remat *r, double now) {
    CandidateList list = {0};
    for (uint32_t i = 0; i < r->cut; i++)
        if (r->late[i] && r->cost[i] != 0 && !r->again[i] && node_bytes(r, i) > r->little)
            vec_push(r->arena, &list, (Candidate){i, choice_of(r, i, now).gain});
    return list;
}

static Candidate *best_of(const CandidateList *l) {
    Candidate *best = NULL;
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i].gain > 0 && (!best || l->at[i].gain > best->gain)) best = &l->at[i];
    return best;
}

/* Takes the best candidate; those whose gain is from before are looked at again as they come up.
 * False: none helps. */
static bool take_best(Remat *r, CandidateList *l, double now) {
    for (Candidate *c; (c = best_of(l));) {
        Choice choice = choice_of(r, c->node, now);
        c->gain = choice.gain;
        if (r->visits < VISITS && best_of(l) != c) continue;
        if (choice.gain <= 0) continue;
        if (choice.cost > r->spare) {
            c->gain = 0; /* the next may be cheaper */
            continue;
        }
        r->spare -= choice.cost;
        set_again(r, &choice.node, true);
        c->gain = 0;
        return true;
    }
    return false;
}

/* Whatever turned out not to be needed, the dearest first. */
static void drop_needless(Remat *r) {
    for (bool *tried = NEW_N(r->arena, bool, r->g->n);;) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < r->cut; i++)
            if (r->again[i] && !tried[i] && (best == UINT32_MAX || r->cost[i] > r->cost[best]))
                best = i;
        if (best == UINT32_MAX || r->visits >= VISITS) return;
        tried[best] = true;
        r->again[best] = false;
        if (excess(r) > 0) r->again[best] = true;
    }
}

static void choose(Remat *r) {
    double now = excess(r);
    CandidateList list = candidates(r, now);
    for (bool fresh = true; now > 0;) {
        if (take_best(r, &list, now)) {
            now = excess(r), fresh = false;
        } else {
            if (fresh) return;
            list = candidates(r, now), fresh = true;
        }
    }
    drop_needless(r);
}

/* ---- the new graph */

typedef struct Rebuild {
    const Remat *r;
    Graph *to;
    uint32_t copy; /* number of the copies */
    RefMap first, again;
} Rebuild;

static bool is_again(const Remat *r, Ref x) {
    return r->again[r->owner[root_of(r, x)]];
}

static Ref late_ref(Rebuild *b, Ref x) {
    const Node *n = graph_node(b->r->g, x);
    if (x.node > b->r->cut || !is_again(b->r, x)) return refmap_get(&b->first, x);
    if (!ref_is(refmap_get(&b->again, x))) {
        Node copy = *n;
        Ref *in = NEW_N(b->r->arena, Ref, n->nin + 1);
        for (int j = 0; j < n->nin; j++) in[j] = late_ref(b, n->in[j]);
        copy.copy = b->copy;
        refmap_set_node(&b->again, b->r->g, x.node, graph_copy_node(b->to, &copy, in));
    }
    return refmap_get(&b->again, x);
}

/* Originals that nothing reads any more stay, not to be done, so that the order of what is computed
 * once can still be told. */
static const Graph *rebuild(const Remat *r, Arena *a) {
    const Graph *g = r->g;
    Rebuild b = {.r = r, .to = graph_new(a, g->name)};
    b.first = refmap_new(r->arena, g);
    b.again = refmap_new(r->arena, g);
    for (uint32_t i = 0; i < g->n; i++)
        b.copy = g->node[i]->copy > b.copy ? g->node[i]->copy : b.copy;
    b.copy++;
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        bool late = i > r->cut && r->reached[i];
        Ref *in = NEW_N(r->arena, Ref, n->nin + 1);
        for (int j = 0; j < n->nin; j++)
            in[j] = late ? late_ref(&b, n->in[j]) : refmap_get(&b.first, n->in[j]);
        refmap_set_node(&b.first, g, i, graph_copy_node(b.to, n, in));
    }
    refmap_outputs(&b.first, g, b.to);
    return b.to;
}

/* ---- rounds */

static Remat remat_new(Arena *a, const Program *p, const Graph *g, const Plan *plan) {
    size_t nv = (size_t)plan->nvalue, n = g->n;
    Remat r = {.arena = a, .program = p, .g = g, .plan = plan};
    r.cut = (uint32_t)plan_fullest(a, plan);
    if (r.cut >= n) r.cut = n ? (uint32_t)n - 1 : 0;
    r.root = NEW_N(a, int, nv);
    r.owner = NEW_N(a, uint32_t, nv);
    r.over = NEW_N(a, int, nv);
    r.reached = graph_reached(g, a);
    r.late = NEW_N(a, uint32_t, n);
    r.writer = NEW_N(a, uint32_t, p->ntensor);
    r.cost = NEW_N(a, double, n);
    r.again = NEW_N(a, bool, n);
    number_values(&r);
    find_writers(&r);
    find_late(&r);
    find_costs(&r);
    return r;
}

static int64_t arena_of(const Program *p, const Graph *g) {
    Arena *a = arena_new();
    int64_t bytes = plan_graph(a, p, g)->arena_bytes;
    arena_free(a);
    return bytes;
}

typedef struct Limits {
    double spare;      /* cost that doing nodes again may still have */
    int little_of_all; /* values of no more than this part of the arena stay; 0: none does */
} Limits;

/* One cut; where packing leaves gaps, with goals so much lower. Takes from `spare` what it costs.
 */
static const Graph *remat_cut(const Program *p, const Graph *g, int64_t budget, Limits *limits,
                              Arena *to) {
    Arena *a = arena_new();
    Remat r = remat_new(a, p, g, plan_graph(a, p, g));
    const Graph *best = g;
    int64_t least = r.plan->arena_bytes;
    double left = limits->spare;
    r.goal = budget;
    r.spare = limits->spare;
    if (limits->little_of_all) r.little = least / limits->little_of_all;
    for (int i = 0; i < GOALS && least > budget; i++) {
        choose(&r);
        const Graph *now = rebuild(&r, to);
        int64_t bytes = arena_of(p, now);
        if (bytes < least) best = now, least = bytes, left = r.spare;
        if (excess(&r) > 0) break; /* it is not for the gaps that it does not fit */
        r.goal -= bytes > budget ? bytes - budget : 0;
    }
    limits->spare = left;
    arena_free(a);
    return best;
}

const Graph *remat_graph(const Program *p, const Graph *g, int64_t budget, Arena *to) {
    const Graph *best = g;
    Limits limits = {INFINITY, 0};
    for (int i = 0; i < CUTS && arena_of(p, best) > budget; i++) {
        const Graph *next = remat_cut(p, best, budget, &limits, to);
        if (next == best) break;
        best = next;
    }
    return best;
}

static double cost_of(const Graph *g) {
    double cost = 0;
    for (size_t i = 0; i < g->n; i++) {
        Facts f = node_facts(g, g->node[i]);
        cost += f.bytes + f.operations / OPERATIONS_A_BYTE;
    }
    return cost;
}

/* Of all values, as if nothing shared its place. */
static bool may_be_large(const Graph *g) {
    double bytes = 0;
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; k < g->node[i]->nout; k++) {
            const Type *t = &g->node[i]->type[k];
            bytes += (double)type_count(t) * (double)dtype_size(t->dtype);
        }
    return bytes >= SMALL;
}

const Graph *remat_cheaply(const Program *p, const Graph *g, Arena *to) {
    const Graph *best = g;
    if (!may_be_large(g)) return g;
    Limits limits = {CHEAP * cost_of(g), LITTLE_OF_ALL};
    for (int i = 0; i < CUTS; i++) {
        int64_t now = arena_of(p, best);
        if (now < SMALL) break;
        const Graph *next = remat_cut(p, best, now / 4 * 3, &limits, to);
        if (next == best) break;
        best = next;
    }
    return best;
}
