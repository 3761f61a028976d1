/* Merging groups: a producer into its consumer, then groups that read the same. Two groups become
 * one when a domain fits both, every value that passes inside has its axes where both sides expect
 * them, and no path leads out of one and into the other through something else (which would be a
 * cycle). */
#include <stdlib.h>
#include <string.h>

#include "passes/fuse.h"

enum { MAX_SIZE = 160, MAX_ARGS = 24, MAX_RESULTS_OF_GROUP = 12 };

typedef struct Merge {
    Fuse *f;
    uint32_t *stamp; /* by node: last search that saw it (the first member of a group) */
    uint32_t now;
    int *over; /* by node: groups with members both up to it and after it */
} Merge;

static GroupInfo *group_of(const Fuse *f, uint32_t n) {
    return &f->groups.at[f->group[n]];
}

/* ---- domains */
static bool kept_equals(const Domain *d, const Domain *small) {
    int at = 0;
    for (int i = 0; i < d->rank; i++) {
        if (d->reduced >> i & 1) continue;
        if (at == small->rank || small->dim[at++] != d->dim[i]) return false;
    }
    return at == small->rank;
}

static bool domain_join(const Domain *a, const Domain *b, Domain *out) {
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
    if (same) {
        *out = *a;
        out->reduced |= b->reduced;
        return !a->reduced || !b->reduced || a->reduced == b->reduced;
    }
    if (a->reduced && !b->reduced && kept_equals(a, b)) {
        *out = *a;
        return true;
    }
    if (b->reduced && !a->reduced && kept_equals(b, a)) {
        *out = *b;
        return true;
    }
    return false;
}

/* A reduction of much to little is cut into parts (codegen/split.c), after which nothing may follow
 * in the same kernel. */
static bool is_deep(const Domain *d) {
    double kept = 1, all = 1;
    for (int i = 0; i < d->rank; i++) {
        all *= (double)d->dim[i];
        kept *= d->reduced >> i & 1 ? 1 : (double)d->dim[i];
    }
    bool by_rows = d->rank && d->reduced >> (d->rank - 1) & 1;
    return d->reduced && all > 65536 && (by_rows ? kept < 32 : all / kept >= 64);
}

/* ---- do the axes of values that pass inside agree? */
typedef struct Seen {
    uint32_t node;
    Frame frame;
} Seen;
typedef struct Agree {
    const Fuse *f;
    const Domain *domain;
    int group[2];
    VEC(Seen) seen;
} Agree;

static bool is_inside(const Agree *a, uint32_t n) {
    int group = a->f->group[n];
    return group >= 0 && (group == a->group[0] || group == a->group[1]);
}

static bool agree_at(Agree *a, Ref r, const Frame *f);

static bool agree_inputs(Agree *a, uint32_t at, const Frame *f) {
    const Node *n = a->f->g->node[at];
    const Type *in = n->nin ? graph_type(a->f->g, n->in[0]) : NULL;
    if (in && reduced_sizes(n, in)) {
        Frame full;
        Domain own = fuse_domain(a->f->g, at), *d = &own;
        bool fits = own.reduced == a->domain->reduced && own.rank == a->domain->rank &&
                    memcmp(own.dim, a->domain->dim, (size_t)own.rank * sizeof *own.dim) == 0;
        if (!fits) return false;
        full = frame_full(d, in);
        return agree_at(a, n->in[0], &full);
    }
    for (int i = 0; i < n->nin; i++) {
        Frame to = frame_input(&n->type[0], f, graph_type(a->f->g, n->in[i]));
        if (!agree_at(a, n->in[i], &to)) return false;
    }
    return true;
}

static bool agree_at(Agree *a, Ref r, const Frame *frame) {
    const Fuse *fu = a->f;
    Frame f = *frame, own, in;
    for (const Node *n; !is_inside(a, r.node) && !fu->stored[r.node]; r = n->in[0], f = in) {
        n = graph_node(fu->g, r);
        if (op_info[n->op].lower != LOWER_VIEW) break;
        if (!frame_through(fu->g, n, &f, &in)) return !is_inside(a, view_of(fu->g, r).base.node);
    }
    if (is_inside(a, r.node))
        return frame_fits(a->domain, graph_type(fu->g, r), &own) &&
               memcmp(&own, &f, sizeof own) == 0;
    if (!fu->inlined[r.node]) return true;
    for (size_t i = 0; i < a->seen.n; i++)
        if (a->seen.at[i].node == r.node && memcmp(&a->seen.at[i].frame, &f, sizeof f) == 0)
            return true;
    vec_push(fu->arena, &a->seen, (Seen){r.node, f});
    return agree_inputs(a, r.node, &f);
}

static bool members_agree(const Fuse *f, const Domain *d, int first, int second) {
    Agree a = {.f = f, .domain = d, .group = {first, second}};
    for (int k = 0; k < 2; k++) {
        const NodeList *member = &f->groups.at[a.group[k]].member;
        for (size_t i = 0; i < member->n; i++) {
            const Node *n = f->g->node[member->at[i]];
            Frame frame, in;
            if (!frame_fits(d, &n->type[0], &frame)) return false;
            if (op_info[n->op].lower == LOWER_VIEW) {
                bool whole = frame_through(f->g, n, &frame, &in);
                if (whole ? !agree_at(&a, n->in[0], &in)
                          : is_inside(&a, view_of(f->g, (Ref){member->at[i], 0}).base.node))
                    return false;
            } else if (!agree_inputs(&a, member->at[i], &frame)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- cycles */
static uint32_t unit_first(const Fuse *f, uint32_t n) {
    return f->group[n] < 0 ? n : group_of(f, n)->member.at[0];
}
static uint32_t unit_last(const Fuse *f, uint32_t n) {
    return f->group[n] < 0 ? n : group_of(f, n)->member.at[group_of(f, n)->member.n - 1];
}

/* The last node at or before `begin` that no group reaches across. Units that end before it read
 * only others that do: what begins at `begin` or later does not come before them. */
static uint32_t last_cut(const Merge *m, uint32_t begin) {
    while (begin > 0 && m->over[begin - 1]) begin--;
    return begin;
}

/* Does `target` come before the unit of `from` through units other than the two? */
static bool reaches(Merge *m, uint32_t from, int target) {
    const Fuse *f = m->f;
    uint32_t cut = last_cut(m, f->groups.at[target].member.at[0]);
    VEC(uint32_t) stack = {0};
    bool direct = true;
    m->now++;
    vec_push(f->arena, &stack, unit_first(f, from));
    while (stack.n) {
        uint32_t at = stack.at[--stack.n];
        NodeList self = {.at = &at, .n = 1};
        const NodeList *member = f->group[at] < 0 ? &self : &group_of(f, at)->member;
        for (size_t i = 0; i < member->n; i++)
            for (size_t k = 0; k < f->need[member->at[i]].n; k++) {
                uint32_t need = f->need[member->at[i]].at[k], unit = unit_first(f, need);
                if (f->group[need] == target) {
                    if (!direct) return true;
                    continue;
                }
                if (m->stamp[unit] == m->now || unit_last(f, need) < cut ||
                    unit == unit_first(f, from))
                    continue;
                m->stamp[unit] = m->now;
                vec_push(f->arena, &stack, unit);
            }
        direct = false;
    }
    return false;
}

/* ---- merging */
static bool reduces(const Fuse *f, uint32_t n) {
    const Node *x = f->g->node[n];
    return x->nin > 0 && reduced_sizes(x, graph_type(f->g, x->in[0])) != 0;
}

/* In a deep reduction all that is stored comes from the first stage: nothing reads a reduction. */
static bool follows_reduction(const Fuse *f, int first, int second) {
    int group[2] = {first, second};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < f->groups.at[group[k]].member.n; i++) {
            const NodeList *need = &f->need[f->groups.at[group[k]].member.at[i]];
            for (size_t j = 0; j < need->n; j++) {
                int from = f->group[need->at[j]];
                if (from >= 0 && (from == first || from == second) && reduces(f, need->at[j]))
                    return true;
            }
        }
    return false;
}

static int count_arguments(const Fuse *f, int first, int second) {
    int group[2] = {first, second};
    NodeList all = {0};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < f->groups.at[group[k]].member.n; i++) {
            const NodeList *need = &f->need[f->groups.at[group[k]].member.at[i]];
            for (size_t j = 0; j < need->n; j++) {
                uint32_t n = need->at[j];
                bool known = f->group[n] >= 0 && (f->group[n] == first || f->group[n] == second);
                for (size_t s = 0; s < all.n && !known; s++) known = all.at[s] == n;
                if (!known) vec_push(f->arena, &all, n);
            }
        }
    return (int)all.n;
}

static bool stands_alone(const Fuse *f, int group) {
    Op op = f->g->node[f->groups.at[group].member.at[0]]->op;
    return op == OP_concat || op == OP_pad;
}

static void count_over(Merge *m, const NodeList *member, int add) {
    for (uint32_t i = member->at[0]; i < member->at[member->n - 1]; i++) m->over[i] += add;
}

static void join_groups(Merge *m, int from, int to, const Domain *d) {
    Fuse *f = m->f;
    GroupInfo *a = &f->groups.at[from], *b = &f->groups.at[to];
    NodeList all = {0};
    for (size_t i = 0, j = 0; i < a->member.n || j < b->member.n;) {
        bool first = j == b->member.n || (i < a->member.n && a->member.at[i] < b->member.at[j]);
        vec_push(f->arena, &all, first ? a->member.at[i++] : b->member.at[j++]);
    }
    for (size_t i = 0; i < a->member.n; i++) f->group[a->member.at[i]] = to;
    count_over(m, &a->member, -1);
    count_over(m, &b->member, -1);
    count_over(m, &all, 1);
    b->member = all;
    b->domain = *d;
    b->size += a->size;
    a->member.n = 0;
}

static bool try_merge(Merge *m, uint32_t producer, uint32_t consumer) {
    Fuse *f = m->f;
    int a = f->group[producer], b = f->group[consumer];
    Domain d;
    if (a < 0 || b < 0 || a == b || stands_alone(f, a) || stands_alone(f, b)) return false;
    const GroupInfo *ga = &f->groups.at[a], *gb = &f->groups.at[b];
    if (ga->size + gb->size > MAX_SIZE || ga->member.n + gb->member.n > MAX_RESULTS_OF_GROUP)
        return false;
    if (!domain_join(&ga->domain, &gb->domain, &d) || (is_deep(&d) && follows_reduction(f, a, b)))
        return false;
    if (!members_agree(f, &d, a, b) || count_arguments(f, a, b) > MAX_ARGS) return false;
    if (reaches(m, consumer, a) || reaches(m, producer, b)) return false;
    join_groups(m, a, b, &d);
    return true;
}

/* Groups that read the same large value and reduce it alike. */
static void merge_siblings(Merge *m) {
    Fuse *f = m->f;
    uint32_t *last = NEW_N(f->arena, uint32_t,
                           f->g->n); /* by node: the last reducing member that read it, + 1 */
    for (uint32_t i = 0; i < f->g->n; i++) {
        if (f->group[i] < 0 || !reduces(f, i)) continue;
        for (size_t k = 0; k < f->need[i].n; k++) {
            uint32_t need = f->need[i].at[k];
            if (last[need] && type_count(&f->g->node[need]->type[0]) >= 4096)
                try_merge(m, last[need] - 1, i);
            last[need] = i + 1;
        }
    }
}

void fuse_merge(Fuse *f) {
    Merge m = {
        .f = f, .stamp = NEW_N(f->arena, uint32_t, f->g->n), .over = NEW_N(f->arena, int, f->g->n)};
    for (uint32_t i = 0; i < f->g->n; i++)
        if (f->group[i] >= 0)
            for (size_t k = f->need[i].n; k-- > 0;) try_merge(&m, f->need[i].at[k], i);
    merge_siblings(&m);
}
