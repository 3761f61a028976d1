/* `minimize` and `update`: the only statements that change persistent tensors. A minimize is one
 * grad node of many results plus the rule, run once for each parameter; what either leaves is a
 * constant (stop) to later gradients. A tensor's older values are kept as versions, so that a loss
 * computed from one of them is found before it gives a wrong gradient. */
#include "frontend/decl.h"

#include <string.h>

/* ---- new values */
/* `t` as later gradients shall see it: a constant. */
static bool tensor_stop(Elab *cx, const TVal *t, Span at, Ref *out) {
    TVal stopped = tensor_add(cx, OP_stop, NULL, t, 1, NULL, at);
    *out = stopped.ref;
    return ref_is(stopped.ref);
}

static bool tensor_update(Elab *cx, int tensor, const Val *v, Span at) {
    const PTensor *p = &cx->tensor.at[tensor];
    TVal t, was;
    Ref stopped;
    if (!val_tensor(cx, v, p->t.type.dtype, at, &t) || !tensor_current(cx, tensor, at, &was))
        return false;
    if (t.type.dtype == was.type.dtype && type_same_shape(&t.type, &was.type)) {
        if (!tensor_stop(cx, &t, at, &stopped)) return false;
        tensor_set(cx, tensor, stopped, at);
        return true;
    }
    diag_error(cx->diag, at, "cannot update '%s' %s with %s", p->t.name, tval_describe(cx, &was),
               tval_describe(cx, &t));
    diag_note(cx->diag, p->t.span, "'%s' is declared here", p->t.name);
    return report_calls(cx);
}

/* ---- which values a loss depends on with a gradient: not through stop, nor through what is no
 * float */
static bool *gradient_cone(Elab *cx, Ref y) {
    const Graph *g = cx->g;
    bool *in = NEW_N(cx->arena, bool, g->n + 1);
    in[y.node] = true;
    for (size_t i = (size_t)y.node + 1; i-- > 0;) {
        const Node *n = g->node[i];
        if (!in[i] || n->op == OP_stop || !dtype_is_float(n->type[0].dtype)) continue;
        for (int k = 0; k < n->nin; k++) in[n->in[k].node] = true;
    }
    return in;
}

/* "bert" of "bert.layer.0.norm1.bias" */
static const char *root_of(Elab *cx, const char *path) {
    const char *dot = strchr(path, '.');
    return dot ? arena_strndup(cx->arena, path, (size_t)(dot - path)) : path;
}

/* The name that the entry gave to the first value made from the old one, or NULL. */
static const Binding *binding_of(Elab *cx, Ref old, const bool *cone) {
    for (size_t i = 0; i < cx->decls->binding.n; i++) {
        const Binding *b = &cx->decls->binding.at[i];
        if (cone[b->ref.node] && gradient_cone(cx, b->ref)[old.node]) return b;
    }
    return NULL;
}

static bool report_old(Elab *cx, const Version *v, const bool *cone, Span loss) {
    const Binding *b = binding_of(cx, v->ref, cone);
    const char *part = root_of(cx, cx->tensor.at[v->tensor].t.name);
    const char *name = b ? b->name : span_text(cx, loss);
    Span used = b ? b->span : loss;
    diag_error(cx->diag, loss, "%s (line %u) used %s before line %u changed it", name, used.line,
               part, v->changed.line);
    if (b) diag_note(cx->diag, used, "%s is computed here, from the older %s", name, part);
    diag_note(cx->diag, v->changed, "%s is changed here", part);
    diag_hint(cx->diag, "compute %s again after line %u, or stop_gradient(%s)", name,
              v->changed.line, name);
    return report_calls(cx);
}

bool grad_is_current(Elab *cx, const Val *of, Ref y, Span y_span, Span at) {
    Tensors part = {0};
    if (of->kind != VAL_param && of->kind != VAL_instance) return true;
    if (!part_tensors(cx, of, at, &part)) return false;
    const bool *cone = gradient_cone(cx, y);
    for (size_t i = 0; i < cx->decls->version.n; i++) {
        const Version *v = &cx->decls->version.at[i];
        for (size_t k = 0; k < part.n; k++)
            if (part.at[k] == v->tensor && cone[v->ref.node])
                return report_old(cx, v, cone, y_span);
    }
    return true;
}

static bool check_versions(Elab *cx, const bool *cone, const bool *chosen, Span loss) {
    for (size_t i = 0; i < cx->decls->version.n; i++) {
        const Version *v = &cx->decls->version.at[i];
        if (chosen[v->tensor] && cone[v->ref.node]) return report_old(cx, v, cone, loss);
    }
    return true;
}

/* ---- the parameters of a minimize */
typedef struct Step { /* one parameter's */
    int tensor;
    const Val *scale; /* of its rate, or NULL */
    TVal w, g;
} Step;
typedef struct Minimize {
    const Stmt *s;
    int number;
    TVal loss, t;
    VEC(Step) step;
    const Instance *rule;
} Minimize;

static bool is_trained(const PTensor *p) {
    return p->t.kind == TENSOR_param && p->t.like < 0 && !p->frozen;
}

static bool is_reached(const Elab *cx, const bool *cone, int tensor) {
    if ((size_t)tensor >= cx->decls->nbound) return false;
    Ref r = cx->current[tensor];
    if (ref_is(r) && cone[r.node]) return true;
    for (size_t i = 0; i < cx->decls->version.n; i++) {
        const Version *v = &cx->decls->version.at[i];
        if (v->tensor == tensor && cone[v->ref.node]) return true;
    }
    return false;
}

static bool report_idle(Elab *cx, const Tensors *part, const char *text, Span at, Span loss) {
    bool trained = false, like = false;
    for (size_t i = 0; i < part->n; i++) {
        const PTensor *p = &cx->tensor.at[part->at[i]];
        trained = trained || is_trained(p);
        like = like || p->t.like >= 0;
    }
    if (trained) {
        diag_error(cx->diag, at, "the loss does not depend on '%s'", text);
        diag_note(cx->diag, loss, "the loss is here");
        return report_calls(cx);
    }
    const char *why = like      ? "a clone takes no gradient"
                      : part->n ? "it is frozen, or has no params"
                                : "it has no params";
    return report_error(cx, at, "'%s' has nothing to train: %s", text, why);
}

static bool take_part(Elab *cx, Minimize *m, const Tensors *part, const Val *scale,
                      const bool *cone, bool *chosen) {
    bool any = false;
    for (size_t i = 0; i < part->n; i++) {
        int tensor = part->at[i];
        if (!is_trained(&cx->tensor.at[tensor]) || !is_reached(cx, cone, tensor)) continue;
        any = true;
        if (chosen[tensor]) continue;
        chosen[tensor] = true;
        Step step = {.tensor = tensor, .scale = scale};
        vec_push(cx->arena, &m->step, step);
    }
    return any;
}

static bool choose_over(Elab *cx, Exec *x, Minimize *m, const bool *cone, bool *chosen) {
    const Stmt *s = m->s;
    for (size_t i = 0; i < s->minimize.over.n; i++) {
        const Expr *e = s->minimize.over.at[i].value,
                   *by = i < s->minimize.scale.n ? s->minimize.scale.at[i] : NULL;
        Val v, *scale = by ? NEW(cx->arena, Val) : NULL;
        Tensors part = {0};
        if (!eval_expr(cx, x->scope, e, &v) || !part_tensors(cx, &v, e->span, &part)) return false;
        if (by && !eval_expr(cx, x->scope, by, scale)) return false;
        if (!take_part(cx, m, &part, scale, cone, chosen))
            return report_idle(cx, &part, span_text(cx, e->span), e->span, s->minimize.loss->span);
    }
    return true;
}

static bool choose_all(Elab *cx, Minimize *m, const bool *cone, bool *chosen) {
    Tensors all = {0};
    for (size_t i = 0; i < cx->tensor.n; i++) vec_push(cx->arena, &all, (int)i);
    if (take_part(cx, m, &all, NULL, cone, chosen)) return true;
    report_error(cx, m->s->minimize.loss->span,
                 "the loss depends on no parameter that can be trained");
    diag_hint(cx->diag,
              "integers, comparisons, stop_gradient and what is frozen pass no gradient on");
    return false;
}

static bool choose(Elab *cx, Exec *x, Minimize *m) {
    Span at = m->s->minimize.loss->span;
    const bool *cone = gradient_cone(cx, m->loss.ref);
    bool *chosen = NEW_N(cx->arena, bool, cx->tensor.n + 1);
    if (!(m->s->minimize.has_over ? choose_over(cx, x, m, cone, chosen)
                                  : choose_all(cx, m, cone, chosen)))
        return false;
    if (m->step.n > MAX_RESULTS)
        return report_error(cx, at, "%zu parameters in one minimize; at most %d are possible",
                            m->step.n, MAX_RESULTS);
    return check_versions(cx, cone, chosen, at);
}

/* ---- gradients */
static bool gradients(Elab *cx, Minimize *m) {
    Span at = m->s->minimize.loss->span;
    Ref *in = NEW_N(cx->arena, Ref, m->step.n + 1);
    in[0] = m->loss.ref;
    for (size_t i = 0; i < m->step.n; i++) {
        if (!tensor_current(cx, m->step.at[i].tensor, at, &m->step.at[i].w)) return false;
        in[i + 1] = m->step.at[i].w.ref;
    }
    Ref all = graph_add(cx->g, OP_grad, NULL, in, (int)m->step.n + 1, NULL, m->s->span);
    for (size_t i = 0; i < m->step.n; i++) {
        Step *p = &m->step.at[i];
        p->g = p->w;
        p->g.ref = (Ref){all.node, (uint32_t)i};
        p->g.type = *graph_type(cx->g, p->g.ref);
    }
    return true;
}

static bool clip_gradients(Elab *cx, Minimize *m, const Val *limit, Span at) {
    Module *optim = module_library(cx, "optim", at);
    if (!optim) return false;
    const Val *clip = map_get(&optim->scope->names, "clip_global_norm");
    if (!clip) return report_error(cx, at, "std.optim has no 'clip_global_norm'");
    int n = (int)m->step.n;
    Val list = {.kind = VAL_list, .span = at, .list = {.at = NEW_N(cx->arena, Val, n + 1), .n = n}},
        out;
    for (int i = 0; i < n; i++) list.list.at[i] = val_of_tensor(&m->step.at[i].g);
    CallArg arg[2] = {{NULL, list, at}, {NULL, *limit, at}};
    if (!call_value(cx, clip, arg, 2, NULL, at, &out)) return false;
    if (out.kind != VAL_list || out.list.n != n)
        return report_error(cx, at, "'clip_global_norm' does not give a list of %d", n);
    for (int i = 0; i < n; i++)
        if (!val_tensor(cx, &out.list.at[i], DT_f32, at, &m->step.at[i].g)) return false;
    return true;
}

static bool apply_options(Elab *cx, Exec *x, Minimize *m) {
    static const char *const known[] = {"clip"};
    for (size_t i = 0; i < m->s->minimize.option.n; i++) {
        const Arg *a = &m->s->minimize.option.at[i];
        Val v;
        if (!a->name || !str_eq(a->name, "clip")) {
            report_error(cx, a->span, "minimize has no option '%s'",
                         a->name ? a->name : span_text(cx, a->span));
            if (a->name) suggest(cx, a->name, known, 1);
            return false;
        }
        if (!eval_expr(cx, x->scope, a->value, &v) || !clip_gradients(cx, m, &v, a->value->span))
            return false;
    }
    return true;
}

/* ---- rules */
static bool eval_rule(Elab *cx, Exec *x, Minimize *m) {
    const Expr *e = m->s->minimize.rule;
    Val v, applied;
    if (!e) {
        report_error(cx, m->s->span, "minimize needs a rule");
        diag_hint(cx->diag, "minimize loss with adamw(1e-3)");
        return false;
    }
    if (!eval_expr(cx, x->scope, e, &v)) return false;
    if (v.kind == VAL_rule && call_value(cx, &v, NULL, 0, NULL, e->span, &applied))
        v = applied;
    else if (v.kind == VAL_rule)
        return false;
    if (v.kind != VAL_applied)
        return report_error(cx, e->span, "`with` takes a rule such as adamw(1e-3), not %s",
                            val_describe(cx, &v));
    m->rule = v.inst;
    return true;
}

static bool scale_rate(Elab *cx, const Minimize *m, const Val *scale, Scope *s) {
    Span at = m->s->minimize.rule->span;
    const Val *lr = map_get(&s->names, "lr");
    Val scaled;
    if (!lr)
        return report_error(cx, at, "`lr x` needs a rule with a rate named 'lr', and '%s' has none",
                            m->rule->def->block.name);
    if (!apply_binary(cx, BIN_mul, lr, scale, at, at, &scaled)) return false;
    scope_set(cx, s, "lr", &scaled);
    return true;
}

/* The rule with its arguments, and states of its own for one parameter. */
static Instance *rule_for(Elab *cx, const Minimize *m, const Step *p) {
    const Instance *r = m->rule;
    Instance *i = NEW(cx->arena, Instance);
    i->def = r->def;
    i->path = arena_printf(cx->arena, "optim.%d.%s", m->number, cx->tensor.at[p->tensor].t.name);
    i->scope = scope_new(cx, r->scope->parent, i);
    for (size_t k = 0; k < r->scope->names.n; k++)
        scope_set(cx, i->scope, r->scope->names.at[k].key, r->scope->names.at[k].value);
    if (p->scale && !scale_rate(cx, m, p->scale, i->scope)) return NULL;
    Exec x = {.where = IN_rule, .scope = i->scope, .inst = i, .owner = &p->w};
    if (!exec_stmts(cx, &x, &r->def->block.body)) return NULL;
    if (i->call) return i;
    report_error(cx, r->def->block.name_span, "rule '%s' has no unnamed fn (w, g, t)",
                 r->def->block.name);
    return NULL;
}

static bool step_parameter(Elab *cx, const Minimize *m, const Step *p, Ref *out) {
    Span at = m->s->minimize.rule->span;
    Instance *i = rule_for(cx, m, p);
    if (!i) return false;
    CallArg arg[3] = {{NULL, val_of_tensor(&p->w), at},
                      {NULL, val_of_tensor(&p->g), at},
                      {NULL, val_of_tensor(&m->t), at}};
    Val v;
    TVal w;
    if (!call_closure(cx, i->call, arg, 3, NULL, at, &v) || !val_tensor(cx, &v, DT_f32, at, &w))
        return false;
    if (w.type.dtype != p->w.type.dtype || !type_same_shape(&w.type, &p->w.type))
        return report_error(cx, at, "rule '%s' gives %s for a parameter of %s", i->def->block.name,
                            tval_describe(cx, &w), tval_describe(cx, &p->w));
    return tensor_stop(cx, &w, at, out);
}

/* How many updates this minimize has made, with the one at hand: f32, so that it enters powers
 * directly. */
static bool count_update(Elab *cx, Minimize *m) {
    Span at = m->s->span;
    PTensor t = {.t = {.name = arena_printf(cx->arena, "optim.%d.t", m->number),
                       .kind = TENSOR_optim,
                       .like = -1,
                       .span = at}};
    t.t.type = type_scalar(DT_f32);
    t.init = val_of_int(0);
    t.init_span = at;
    if (!path_claim(cx, t.t.name, at)) return false;
    int index = tensor_declare(cx, &t);
    TVal was;
    Val one = val_of_int(1), next;
    if (!tensor_current(cx, index, at, &was)) return false;
    Val before = val_of_tensor(&was);
    if (!apply_binary(cx, BIN_add, &before, &one, at, at, &next)) return false;
    m->t = next.t;
    return tensor_update(cx, index, &next, at);
}

static bool apply_rule(Elab *cx, Minimize *m) {
    Ref *next = NEW_N(cx->arena, Ref, m->step.n + 1);
    if (!count_update(cx, m)) return false;
    for (size_t i = 0; i < m->step.n; i++)
        if (!step_parameter(cx, m, &m->step.at[i], &next[i])) return false;
    for (size_t i = 0; i < m->step.n; i++)
        tensor_set(cx, m->step.at[i].tensor, next[i], m->s->span);
    return true;
}

/* ---- statements */
static bool eval_loss(Elab *cx, Exec *x, Minimize *m) {
    const Expr *e = m->s->minimize.loss;
    Val v;
    if (!eval_expr(cx, x->scope, e, &v) || !val_tensor(cx, &v, DT_f32, e->span, &m->loss))
        return false;
    if (m->loss.type.dtype == DT_f32 && m->loss.type.rank == 0) {
        Output o = {OUT_loss, span_text(cx, e->span), 0, m->loss.ref, e->span};
        vec_push(cx->arena, &cx->decls->output, o);
        return true;
    }
    report_error(cx, e->span, "a loss is one f32 number, not %s", tval_describe(cx, &m->loss));
    if (m->loss.type.rank) diag_hint(cx->diag, "minimize mean(%s) ...", span_text(cx, e->span));
    return false;
}

static bool only_in_train(Elab *cx, const char *what, Span at) {
    if (cx->in_train) return true;
    return report_error(cx, at, "%s belongs to `train`: an eval changes nothing", what);
}

bool do_minimize(Elab *cx, Exec *x, const Stmt *s) {
    Minimize m = {.s = s};
    if (!only_in_train(cx, "minimize", s->span)) return false;
    m.number = cx->decls->minimizes++;
    if (!eval_loss(cx, x, &m) || !eval_rule(cx, x, &m) || !choose(cx, x, &m) || !gradients(cx, &m))
        return false;
    uint32_t outside = nodes_via(cx, CALL_UPDATE, s->span);
    bool ok = apply_options(cx, x, &m) && apply_rule(cx, &m);
    cx->g->via = outside;
    return ok;
}

static bool update_instance(Elab *cx, const Instance *inst, const Val *value, Span at) {
    Tree tree = {0};
    Tensors part = {0};
    Val target = {.kind = VAL_instance, .inst = (Instance *)inst};
    if (value->kind == VAL_tree)
        tree = *value->tree;
    else if (value->kind != VAL_instance)
        return report_error(cx, at, "'%s' is an instance and takes another's values, not %s",
                            inst->path, val_describe(cx, value));
    else if (!instance_leaves(cx, value->inst, &tree))
        return false;
    if (!part_tensors(cx, &target, at, &part)) return false;
    for (size_t i = 0; i < part.n; i++) {
        const PTensor *p = &cx->tensor.at[part.at[i]];
        const char *path = p->t.name + strlen(inst->path) + 1;
        if (p->frozen) return report_error(cx, at, "'%s' is frozen", p->t.name);
        const TVal *leaf = tree_find(&tree, path);
        if (!leaf)
            return report_error(cx, at, "the new value of '%s' has no '%s'", inst->path, path);
        Val v = val_of_tensor(leaf);
        if (!tensor_update(cx, part.at[i], &v, at)) return false;
    }
    return true;
}

/* In a block's fn only states and caches change: states where `train` runs it, caches in
 * `generate`; elsewhere the statement does nothing. */
static bool update_value(Elab *cx, Exec *x, const Stmt *s, const Val *target) {
    const Target *t = s->assign.target;
    Val v;
    if (target->kind == VAL_param) {
        const PTensor *p = &cx->tensor.at[target->tensor];
        if (cx->in_generate && p->t.kind == TENSOR_state) return true;
        if (x->where == IN_fn && p->t.kind == TENSOR_param)
            return report_error(cx, t->span,
                                "'%s' is a param: only an entry's minimize and update change it",
                                t->name);
        if (p->frozen) return report_error(cx, t->span, "'%s' is frozen", p->t.name);
    } else if (target->kind != VAL_instance || x->where == IN_fn) {
        return report_error(cx, t->span, "update changes a state or a param%s, not %s",
                            x->where == IN_fn ? "" : ", or all of an instance's",
                            val_describe(cx, target));
    }
    if (!eval_expr(cx, x->scope, s->assign.value, &v)) return false;
    Span at = s->assign.value->span;
    return target->kind == VAL_param ? tensor_update(cx, target->tensor, &v, at)
                                     : update_instance(cx, target->inst, &v, at);
}

bool do_update(Elab *cx, Exec *x, const Stmt *s) {
    const Target *t = s->assign.target;
    Val target;
    bool trains = cx->in_train && cx->training && !cx->decls->reporting;
    if (x->where == IN_fn && !trains && !cx->in_generate) return true;
    if (x->where == IN_entry && !only_in_train(cx, "update", s->span)) return false;
    bool ok = t->path ? eval_expr(cx, x->scope, t->path, &target)
                      : name_value(cx, x->scope, t->name, t->span, &target);
    return ok && target.kind != VAL_error && update_value(cx, x, s, &target);
}
