/* simplify: rewrites a graph by the rules of simplify_algebra.c, simplify_shape.c,
 * simplify_sum.c and simplify_pad.c, round by round until none applies or MOST_ROUNDS have passed
 * (rules only ever make a graph simpler, so few are needed). Equal values meet by consing, and what
 * nothing reads falls away. */
#include "passes/simplify.h"

#include <math.h>

enum { MOST_ROUNDS = 32 };

Ref rewrite_fill(const Rewrite *r, double v) {
    static const double most[DT_COUNT] = {[DT_i32] = INT32_MAX,
                                          [DT_i64] = 9007199254740992.0,
                                          [DT_u8] = UINT8_MAX,
                                          [DT_bool] = 1,
                                          [DT_i8] = INT8_MAX};
    const Type *t = &r->n->type[0];
    bool sign = (t->dtype != DT_u8 && t->dtype != DT_bool) || v >= 0;
    if (!dtype_is_float(t->dtype) && !(sign && fabs(v) <= most[t->dtype] && v == floor(v)))
        return REF_NONE;
    return g_fill(r->g, t, v, r->n->span);
}

bool reshape_of_ones(const Graph *g, const Node *n) {
    const Type *to = &n->type[0], *from = graph_type(g, n->in[0]);
    int k = 0;
    for (int i = 0; i < to->rank; i++) {
        if (to->dim[i] == 1) continue;
        while (k < from->rank && from->dim[k] == 1) k++;
        if (k == from->rank || from->dim[k++] != to->dim[i]) return false;
    }
    return true; /* the counts are equal, so what is left of `from` is ones */
}

/* A pointwise operator on constants is a constant: computed once, in f64, where kernels would do it
 * for every element. */
static Ref fold_constants(const Rewrite *r) {
    const Node *n = r->n;
    if (op_info[n->op].lower != LOWER_MAP || n->op == OP_fused || n->nin == 0 || n->nin > 3 ||
        n->nout != 1 || n->type[0].dtype == DT_bf16) /* whose rounding f64 would leave out */
        return REF_NONE;
    double value[3];
    Array in[3], out = {.type = type_scalar(n->type[0].dtype)};
    for (int i = 0; i < n->nin; i++) {
        if (!rewrite_const(r, i, &value[i])) return REF_NONE;
        in[i] = (Array){type_scalar(rewrite_input_type(r, i)->dtype), &value[i]};
    }
    Node scalar = *n;
    scalar.type = &out.type;
    EvalCx cx = {.arena = r->scratch, .f64 = true, .live = -1};
    Err e = {0};
    if (!node_eval(&scalar, in, &out, &cx, &e))
        BUG("'%s' of constants: %s", op_info[n->op].name, e.msg);
    return rewrite_fill(r, out.at[0]);
}

/* What is computed on repeated values can be computed once and repeated: expands move to the result
 * of a pointwise operator, and vanish where another input has the whole shape. */
static Ref hoist_expands(const Rewrite *r) {
    const Node *n = r->n;
    if (op_info[n->op].lower != LOWER_MAP || n->op == OP_fused || n->nin == 0) return REF_NONE;
    Ref in[3];
    bool any = false;
    for (int i = 0; i < n->nin; i++) {
        const Node *x = rewrite_input(r, i);
        in[i] = x->op == OP_expand ? x->in[0] : r->in[i];
        any = any || x->op == OP_expand;
    }
    if (!any) return REF_NONE;
    return rewrite_expand(r, graph_add(r->g, n->op, &n->attr, in, n->nin, NULL, n->span));
}

/* Reductions keep their axes as 1, and programs drop them: pointwise operators between the two are
 * moved before the reshape, so that a whole chain stays aligned by position and can be one kernel.
 */
static Ref sink_reshape(const Rewrite *r) {
    const Node *n = r->n;
    if (op_info[n->op].lower != LOWER_MAP || n->op == OP_fused || n->nin == 0) return REF_NONE;
    const Type *from = NULL;
    Ref in[3];
    for (int i = 0; i < n->nin; i++) {
        const Node *x = rewrite_input(r, i);
        double v;
        in[i] = r->in[i];
        if (x->op == OP_reshape && reshape_of_ones(r->g, x)) {
            const Type *t = graph_type(r->g, x->in[0]);
            if (!type_same_shape(&x->type[0], &n->type[0]) || (from && !type_same_shape(from, t)))
                return REF_NONE;
            from = t;
            in[i] = x->in[0];
        } else if (rewrite_const(r, i, &v))
            in[i] = g_const(r->g, x->type[0].dtype, v, n->span);
        else if (x->type[0].rank > 0)
            return REF_NONE;
    }
    if (!from) return REF_NONE;
    Ref y = graph_add(r->g, n->op, &n->attr, in, n->nin, NULL, n->span);
    return g_reshape(r->g, y, n->type[0].rank, n->type[0].dim, n->span);
}

static Ref try_rules(const Rewrite *r, const Rule *rule, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Ref to = rule[i].op == r->n->op ? rule[i].rule(r) : REF_NONE;
        if (ref_is(to)) return to;
    }
    return REF_NONE;
}

static Ref rewrite(const Rewrite *r) {
    Ref to = fold_constants(r);
    if (!ref_is(to)) to = hoist_expands(r);
    if (!ref_is(to)) to = sink_reshape(r);
    if (!ref_is(to)) to = try_rules(r, algebra_rules, algebra_count);
    if (!ref_is(to)) to = try_rules(r, shape_rules, shape_count);
    if (!ref_is(to)) to = try_rules(r, sum_rules, sum_count);
    if (!ref_is(to)) to = try_rules(r, pad_rules, pad_count);
    if (ref_is(to) && (!type_same_shape(graph_type(r->g, to), &r->n->type[0]) ||
                       graph_type(r->g, to)->dtype != r->n->type[0].dtype))
        GRAPH_BUG(r->g, "a rule for '%s' changed the type of its value", op_info[r->n->op].name);
    return to;
}

static uint32_t *count_uses(const Graph *g, const bool *reached, Arena *scratch) {
    uint32_t *uses = NEW_N(scratch, uint32_t, g->n + 1);
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; reached[i] && k < g->node[i]->nin; k++) uses[g->node[i]->in[k].node]++;
    for (size_t i = 0; i < g->nout; i++) uses[g->out[i].ref.node]++;
    return uses;
}

static Graph *one_round(const Graph *from, Arena *scratch, size_t *fired) {
    Graph *g = graph_new(from->arena, from->name);
    RefMap map = refmap_new(scratch, from);
    bool *reached = graph_reached(from, scratch);
    Rewrite r = {.g = g, .uses = count_uses(from, reached, scratch), .scratch = scratch};
    for (uint32_t i = 0; i < from->n; i++) {
        if (!reached[i]) continue;
        r.n = from->node[i];
        r.in = refmap_inputs(&map, r.n, scratch);
        g->region = r.n->region;
        g->copy = r.n->copy;
        Ref to = rewrite(&r);
        *fired += ref_is(to);
        refmap_set_node(&map, from, i, ref_is(to) ? to : graph_copy_node(g, r.n, r.in));
    }
    g->region = g->copy = 0;
    refmap_outputs(&map, from, g);
    return g;
}

Graph *simplify_graph(const Program *p, const Graph *from, PassCx *cx) {
    Graph *g = graph_prune(from->arena, from, from->name, NULL);
    size_t fired = 1;
    for (int round = 0; round < MOST_ROUNDS && fired; round++) {
        Arena *scratch = arena_new();
        fired = 0;
        g = one_round(g, scratch, &fired);
        arena_free(scratch);
    }
    g = loops_trim(graph_prune(from->arena, g, from->name, NULL));
    return loops_map(p, g, cx, simplify_graph);
}

Program *pass_simplify(const Program *in, PassCx *cx) {
    return program_map(in, cx, simplify_graph);
}
