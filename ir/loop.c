/* Loops in the making: see loop.h. Invariant: input n of the body is the `arg` n, until loop_finish
 * sorts them (carries, slices, wholes) and leaves out those that nobody reads; one slice stays,
 * which says how many turns there are. */
#include "ir/loop.h"

#include <string.h>

Loop loop_new(Arena *scratch, const char *name, bool reverse) {
    return (Loop){.scratch = scratch, .body = graph_new(scratch, name), .reverse = reverse};
}

Ref loop_input(Loop *l, const Graph *g, LoopKind kind, Ref outer, const Type *type) {
    for (size_t i = 0; i < l->input.n; i++)
        if (kind != LOOP_carry && l->input.at[i].kind == kind &&
            ref_same(l->input.at[i].outer, outer))
            return l->input.at[i].arg;
    Type t = kind == LOOP_slice ? type_place(graph_type(g, outer)) : *graph_type(g, outer);
    Attr number = {.count = (int64_t)l->input.n};
    Ref arg =
        graph_add(l->body, OP_arg, &number, NULL, 0, type ? type : &t, graph_node(g, outer)->span);
    vec_push(l->scratch, &l->input, (LoopInput){kind, outer, arg});
    return arg;
}

void loop_carry(Loop *l, Ref next) {
    vec_push(l->scratch, &l->result, next);
}

int loop_result(Loop *l, Ref value) {
    for (size_t i = 0; i < l->result.n; i++)
        if (ref_same(l->result.at[i], value)) return (int)i;
    vec_push(l->scratch, &l->result, value);
    return (int)l->result.n - 1;
}

void loop_instead(Loop *l, const Graph *g, Ref value, Ref slices) {
    Ref arg = loop_input(l, g, LOOP_slice, slices, NULL);
    vec_push(l->scratch, &l->instead, (LoopInput){LOOP_slice, value, arg});
}

static Ref seen(const Loop *l, Ref r) {
    for (size_t i = 0; i < l->instead.n; i++)
        if (ref_same(l->instead.at[i].outer, r)) return l->instead.at[i].arg;
    return r;
}

/* What the results come from, but for what is read instead: those slices need nothing else. */
static bool *needed(const Loop *l) {
    const Graph *g = l->body;
    bool *need = NEW_N(l->scratch, bool, g->n + 1);
    for (size_t i = 0; i < l->result.n; i++) need[seen(l, l->result.at[i]).node] = true;
    for (size_t k = g->n; k-- > 0;)
        for (int j = 0; need[k] && j < g->node[k]->nin; j++)
            need[seen(l, g->node[k]->in[j]).node] = true;
    return need;
}

/* A product that is only added to something is kept as the sum: that is one value to keep, and the
 * product can start from what it is added to. */
static Ref as_kept(const Loop *l, const bool *need, Ref product) {
    const Graph *g = l->body;
    Ref sum = REF_NONE;
    for (size_t i = 0; i < l->result.n; i++)
        if (ref_same(l->result.at[i], product)) return product;
    for (uint32_t i = product.node + 1; i < g->n; i++) {
        const Node *n = g->node[i];
        for (int k = 0; need[i] && k < n->nin; k++) {
            if (!ref_same(n->in[k], product)) continue;
            bool adds = n->op == OP_add && type_same_shape(n->type, graph_type(g, product));
            if (!adds || ref_is(sum)) return product;
            sum = (Ref){i, 0};
        }
    }
    return ref_is(sum) ? sum : product;
}

void loop_keep(Loop *l) {
    const Graph *g = l->body;
    bool *need = needed(l);
    for (uint32_t i = 0; i < g->n; i++) {
        Lower lower = op_info[g->node[i]->op].lower;
        if (!need[i] || g->node[i]->region || (lower != LOWER_DOT && lower != LOWER_LOOP)) continue;
        for (uint32_t o = 0; o < (uint32_t)g->node[i]->nout; o++)
            if (graph_type(g, (Ref){i, o})->rank < RANK)
                loop_result(l, as_kept(l, need, (Ref){i, o}));
    }
}

/* ---- the node */

typedef struct Finish {
    Loop *l;
    const bool *need;
    Graph *body;
    Ref **map; /* by node and result of the body in the making */
    Attr attr;
    VEC(Ref) in;
} Finish;

static Ref mapped(const Finish *f, Ref r) {
    r = seen(f->l, r);
    return f->map[r.node][r.out];
}

static bool is_kept(const Finish *f, const LoopInput *in) {
    if (in->kind == LOOP_carry || f->need[in->arg.node]) return true;
    if (in->kind == LOOP_whole) return false;
    for (size_t i = 0; i < f->l->input.n; i++) { /* the last says how long the others would be */
        const LoopInput *other = &f->l->input.at[i];
        if (other->kind == LOOP_slice && (f->need[other->arg.node] || other > in)) return false;
    }
    return true;
}

static void sort_inputs(Finish *f, LoopKind kind) {
    for (size_t i = 0; i < f->l->input.n; i++) {
        const LoopInput *in = &f->l->input.at[i];
        if (in->kind != kind || !is_kept(f, in)) continue;
        const Node *arg = graph_node(f->l->body, in->arg);
        Attr number = {.count = (int64_t)f->in.n};
        f->map[in->arg.node][0] =
            graph_add(f->body, OP_arg, &number, NULL, 0, &arg->type[0], arg->span);
        vec_push(f->l->scratch, &f->in, in->outer);
        f->attr.scan.carries += kind == LOOP_carry;
        f->attr.scan.slices += kind == LOOP_slice;
    }
}

static void copy_nodes(Finish *f) {
    const Graph *g = f->l->body;
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (!f->need[i] || n->op == OP_arg) continue;
        Ref *in = NEW_N(f->l->scratch, Ref, n->nin + 1);
        for (int k = 0; k < n->nin; k++) in[k] = mapped(f, n->in[k]);
        Ref to = graph_copy_node(f->body, n, in);
        for (uint32_t o = 0; o < (uint32_t)n->nout; o++) f->map[i][o] = (Ref){to.node, to.out + o};
    }
}

Ref loop_finish(Loop *l, Graph *g, Span at) {
    Finish f = {.l = l, .need = needed(l), .body = graph_new(g->arena, l->body->name)};
    f.map = NEW_N(l->scratch, Ref *, l->body->n + 1);
    for (uint32_t i = 0; i < l->body->n; i++)
        f.map[i] = NEW_N(l->scratch, Ref, l->body->node[i]->nout + 1);
    f.attr.scan.reverse = l->reverse;
    f.attr.scan.totals = l->totals;
    for (int kind = LOOP_carry; kind <= LOOP_whole; kind++) sort_inputs(&f, (LoopKind)kind);
    copy_nodes(&f);
    for (size_t i = 0; i < l->result.n; i++)
        graph_out(f.body, OUT_value, NULL, 0, mapped(&f, l->result.at[i]), at);
    f.attr.scan.body = f.body;
    return graph_add(g, OP_scan, &f.attr, f.in.at, (int)f.in.n, NULL, at);
}

/* ---- bodies that are there */

void body_inline(Arena *scratch, Graph *to, const Graph *body, const Ref *arg, Ref *out) {
    Ref *map = NEW_N(scratch, Ref, body->n + 1); /* where each node's first result is */
    for (size_t i = 0; i < body->n; i++) {
        const Node *n = body->node[i];
        Ref *in = NEW_N(scratch, Ref, n->nin + 1);
        for (int k = 0; k < n->nin; k++) {
            in[k] = map[n->in[k].node];
            in[k].out += n->in[k].out;
        }
        map[i] = n->op == OP_arg ? arg[n->attr.count] : graph_copy_node(to, n, in);
    }
    for (size_t i = 0; i < body->nout; i++) {
        out[i] = map[body->out[i].ref.node];
        out[i].out += body->out[i].ref.out;
    }
}

LoopKind scan_input_kind(const Node *scan, int i) {
    int carries = scan->attr.scan.carries;
    return i < carries                            ? LOOP_carry
           : i < carries + scan->attr.scan.slices ? LOOP_slice
                                                  : LOOP_whole;
}

int64_t scan_turns(const Graph *g, const Node *scan) {
    return graph_type(g, scan->in[scan->attr.scan.carries])->dim[0];
}

const Type **scan_arg_types(Arena *scratch, const Node *scan) {
    const Graph *body = scan->attr.scan.body;
    const Type **type = NEW_N(scratch, const Type *, scan->nin + 1);
    for (size_t i = 0; i < body->n; i++)
        if (body->node[i]->op == OP_arg) type[body->node[i]->attr.count] = body->node[i]->type;
    return type;
}

Ref loop_trim(Graph *to, const Node *scan, const Ref *in, const bool *keep, int *map) {
    Arena *scratch = arena_new();
    Loop l = loop_new(scratch, scan->attr.scan.body->name, scan->attr.scan.reverse);
    l.totals = scan->attr.scan.totals;
    const Type **type = scan_arg_types(scratch, scan);
    Ref *arg = NEW_N(scratch, Ref, scan->nin + 1), *out = NEW_N(scratch, Ref, scan->nout);
    for (int i = 0; i < scan->nin; i++)
        arg[i] = loop_input(&l, to, scan_input_kind(scan, i), in[i], type[i]);
    body_inline(scratch, l.body, scan->attr.scan.body, arg, out);
    for (int i = 0; i < scan->attr.scan.carries; i++) loop_carry(&l, out[map[i] = i]);
    for (int i = scan->attr.scan.carries; i < scan->nout; i++)
        if (keep[i]) map[i] = loop_result(&l, out[i]);
    uint32_t copy = to->copy, region = to->region;
    to->copy = scan->copy, to->region = scan->region;
    Ref r = loop_finish(&l, to, scan->span);
    to->copy = copy, to->region = region;
    arena_free(scratch);
    return r;
}
