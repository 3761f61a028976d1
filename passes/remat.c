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
#include <string.h>

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

typedef struct Trial Trial;
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
    Trial *trial;     /* NULL before the first */
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

/* Nodes and what they read, told once: a choice takes thousands of trials. */
typedef struct Reads {
    uint32_t *node; /* that compute, in order; n of them */
    int n;
    int *root;       /* what they read; those of node i from first[i] to first[i + 1] */
    uint32_t *first; /* by node */
    int *value;      /* those that take some of the arena; nvalue of them */
    int nvalue;
} Reads;

static Reads reads_of(const Remat *r) {
    size_t all = 0;
    for (size_t i = 0; i < r->g->n; i++) all += (size_t)r->g->node[i]->nin;
    Reads s = {.node = NEW_N(r->arena, uint32_t, r->g->n),
               .root = NEW_N(r->arena, int, all),
               .first = NEW_N(r->arena, uint32_t, r->g->n + 1),
               .value = NEW_N(r->arena, int, r->plan->nvalue)};
    uint32_t at = 0;
    for (uint32_t i = 0; i < r->g->n; i++) {
        const Node *n = r->g->node[i];
        s.first[i] = at;
        for (int j = 0; j < n->nin; j++) s.root[at++] = root_of(r, n->in[j]);
        if (r->reached[i] && !view_is_strided(n)) s.node[s.n++] = i;
    }
    s.first[r->g->n] = at;
    for (int v = 0; v < r->plan->nvalue; v++)
        if (r->plan->buffer[v].where == PLAN_ARENA) s.value[s.nvalue++] = v;
    return s;
}

struct Trial {
    Reads reads;
    int late;        /* the first of those that stand after the cut */
    int now;         /* nodes done */
    bool *copied;    /* by node */
    Live *early;     /* as live, when what stands before the cut is done: no trial changes that */
    Live *live;      /* by value; behind those, by value of the copy */
    int *over;       /* as live: the one that it is written over */
    int64_t *change; /* by moment: what more or less is live there than just before */
    int *when;       /* by node: the moment it is done at */
    int *above;      /* by moment: of how many until then excess() was above its goal */
};

static int copy_or_self(const Remat *r, int root, bool late) {
    return late && r->again[r->owner[root]] ? root + r->plan->nvalue : root;
}

static void do_node(Remat *r, uint32_t at, bool late, bool copy) {
    Trial *t = r->trial;
    int shift = copy ? r->plan->nvalue : 0;
    t->when[at] = ++t->now;
    r->visits++;
    for (uint32_t j = t->reads.first[at]; j < t->reads.first[at + 1]; j++)
        t->live[copy_or_self(r, t->reads.root[j], late)].last = t->now;
    for (int v = r->plan->first[at]; v < r->plan->first[at + 1]; v++) {
        t->live[v + shift] = (Live){t->now, t->now};
        t->over[v + shift] = r->over[v] < 0 ? -1 : copy_or_self(r, r->over[v], late);
    }
}

static void copy_inputs(Remat *r, uint32_t at) {
    Trial *t = r->trial;
    for (uint32_t j = t->reads.first[at]; j < t->reads.first[at + 1]; j++) {
        uint32_t in = r->owner[t->reads.root[j]];
        if (!r->again[in] || t->copied[in]) continue;
        t->copied[in] = true;
        copy_inputs(r, in);
        do_node(r, in, true, true);
    }
}

static size_t lives_size(const Remat *r) {
    return 2 * (size_t)r->plan->nvalue * sizeof(Live);
}

static void trial_new(Remat *r) {
    size_t n = 2 * (size_t)r->plan->nvalue;
    Trial *t = r->trial = NEW(r->arena, Trial);
    t->reads = reads_of(r);
    t->copied = NEW_N(r->arena, bool, r->g->n);
    t->early = NEW_N(r->arena, Live, n);
    t->live = NEW_N(r->arena, Live, n);
    t->over = NEW_N(r->arena, int, n);
    t->change = NEW_N(r->arena, int64_t, 2 * r->g->n + 3);
    t->when = NEW_N(r->arena, int, r->g->n);
    t->above = NEW_N(r->arena, int, 2 * r->g->n + 3);
    for (; t->late < t->reads.n && t->reads.node[t->late] <= r->cut; t->late++)
        do_node(r, t->reads.node[t->late], false, false);
    memcpy(t->early, t->live, lives_size(r));
}

static void do_late(Remat *r) {
    Trial *t = r->trial;
    t->now = t->late;
    memcpy(t->live, t->early, lives_size(r));
    memset(t->copied, 0, r->g->n * sizeof *t->copied);
    for (int i = t->late; i < t->reads.n; i++) {
        copy_inputs(r, t->reads.node[i]);
        do_node(r, t->reads.node[i], true, false);
    }
    t->now++;
    for (size_t i = 0; i < r->g->nout; i++) t->live[root_of(r, r->g->out[i].ref)].last = t->now;
}

static void add_change(Trial *t, int v, int64_t bytes) {
    Live live = t->live[v];
    if (!live.first) return;
    if (t->over[v] >= 0 && t->live[t->over[v]].last == live.first) live.first++;
    if (live.first > live.last) return;
    t->change[live.first] += bytes;
    t->change[live.last + 1] -= bytes;
}

static void find_changes(Remat *r) {
    Trial *t = r->trial;
    memset(t->change, 0, (2 * r->g->n + 3) * sizeof *t->change);
    for (int i = 0; i < t->reads.nvalue; i++) {
        int v = t->reads.value[i];
        int64_t bytes = align_up(r->plan->buffer[v].bytes);
        add_change(t, v, bytes);
        if (t->copied[r->owner[v]]) add_change(t, v + r->plan->nvalue, bytes);
    }
}

/* Bytes above the goal, summed over all moments: 0 when it is reached. */
static double excess(Remat *r) {
    if (!r->trial) trial_new(r);
    do_late(r);
    find_changes(r);
    Trial *t = r->trial;
    int64_t now = 0;
    int above = 0;
    double sum = 0;
    for (int i = 0; i <= t->now; i++) {
        now += t->change[i];
        if (now > r->goal) sum += (double)(now - r->goal), above++;
        t->above[i] = above;
    }
    return sum;
}

/* ---- choosing */

typedef struct Choice { /* a node, with the producers that have to be done again for it */
    NodeList node;
    double cost;
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

typedef struct Candidate {
    uint32_t node;
    bool alone;  /* its inputs are kept for it; else with its region */
    double gain; /* when it was last looked at, or the most that it can be */
} Candidate;
typedef VEC(Candidate) CandidateList;

/* Of no node where it has none of its own, or it costs more than is to spare. */
static Choice choice_of(const Remat *r, const Candidate *c) {
    Choice choice = {0};
    int64_t least = c->alone ? INT64_MAX : node_bytes(r, c->node) / 8;
    if (r->again[c->node] || !add_region(r, c->node, r->late[c->node], least, &choice.node))
        return choice;
    for (size_t i = 0; i < choice.node.n; i++) choice.cost += r->cost[choice.node.at[i]];
    bool is_alone = choice.node.n == 1;
    return c->alone == is_alone && choice.cost <= r->spare ? choice : (Choice){0};
}

/* No more than the node's bytes at the moments above the goal where nothing reads it, for what
 * excess() saw last: the others of its region do not wait. */
static double most_gain(const Remat *r, uint32_t node, const Choice *c) {
    if (!c->node.n) return 0;
    const Trial *t = r->trial;
    double most = 0;
    for (int v = r->plan->first[node]; v < r->plan->first[node + 1]; v++)
        most += (double)align_up(r->plan->buffer[v].bytes) *
                (t->above[t->when[r->late[node]]] - t->above[t->early[v].last]);
    return most / c->cost;
}

static double gain_of(Remat *r, const Choice *c, double now) {
    if (!c->node.n) return 0;
    set_again(r, &c->node, true);
    double gain = (now - excess(r)) / c->cost;
    set_again(r, &c->node, false);
    return gain;
}

static CandidateList candidates(Remat *r) {
    CandidateList list = {0};
    for (uint32_t i = 0; i < r->cut; i++) {
        if (!r->late[i] || r->cost[i] == 0 || r->again[i] || node_bytes(r, i) <= r->little)
            continue;
        for (int alone = 0; alone < 2; alone++) {
            Candidate c = {i, alone, 0};
            Choice choice = choice_of(r, &c);
            c.gain = most_gain(r, i, &choice);
            vec_push(r->arena, &list, c);
        }
    }
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
        Choice choice = choice_of(r, c);
        c->gain = gain_of(r, &choice, now);
        if (r->visits < VISITS && best_of(l) != c) continue;
        if (c->gain <= 0) continue;
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
    CandidateList list = candidates(r);
    for (bool fresh = true; now > 0;) {
        if (take_best(r, &list, now)) {
            now = excess(r), fresh = false;
        } else {
            if (fresh) return;
            now = excess(r), list = candidates(r), fresh = true;
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
    b.copy = graph_new_copy(g);
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

/* A graph and what it takes. Plans live as long as the search. */
typedef struct Planned {
    const Graph *g;
    const Plan *plan;
} Planned;

static Planned planned(const Program *p, const Graph *g, Arena *a) {
    return (Planned){g, plan_graph(a, p, g)};
}

typedef struct Limits {
    double spare;      /* cost that doing nodes again may still have */
    int little_of_all; /* values of no more than this part of the arena stay; 0: none does */
} Limits;

/* One cut; where packing leaves gaps, with goals so much lower. Takes from `spare` what it costs.
 */
static Planned remat_cut(const Program *p, Planned from, int64_t budget, Limits *limits, Arena *a,
                         Arena *to) {
    Remat r = remat_new(a, p, from.g, from.plan);
    Planned best = from;
    double left = limits->spare;
    r.goal = budget;
    r.spare = limits->spare;
    if (limits->little_of_all) r.little = from.plan->arena_bytes / limits->little_of_all;
    for (int i = 0; i < GOALS && best.plan->arena_bytes > budget; i++) {
        choose(&r);
        Planned now = planned(p, rebuild(&r, to), a);
        int64_t bytes = now.plan->arena_bytes;
        if (bytes < best.plan->arena_bytes) best = now, left = r.spare;
        if (excess(&r) > 0) break; /* it is not for the gaps that it does not fit */
        r.goal -= bytes > budget ? bytes - budget : 0;
    }
    limits->spare = left;
    return best;
}

const Graph *remat_graph(const Program *p, const Graph *g, int64_t budget, Arena *to) {
    Arena *a = arena_new();
    Limits limits = {INFINITY, 0};
    Planned best = planned(p, g, a), last = {0};
    for (int i = 0; i < CUTS && best.g != last.g && best.plan->arena_bytes > budget; i++) {
        last = best;
        best = remat_cut(p, last, budget, &limits, a, to);
    }
    arena_free(a);
    return best.g;
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
    if (!may_be_large(g)) return g;
    Arena *a = arena_new();
    Limits limits = {CHEAP * cost_of(g), LITTLE_OF_ALL};
    Planned best = planned(p, g, a), last = {0};
    for (int i = 0; i < CUTS && best.g != last.g && best.plan->arena_bytes >= SMALL; i++) {
        last = best;
        best = remat_cut(p, last, last.plan->arena_bytes / 4 * 3, &limits, a, to);
    }
    arena_free(a);
    return best.g;
}
