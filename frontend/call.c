/* Calls: frames, places, and what happens around a fn's body. A place (rule 4 of the language) is a
 * hash of the chain of calls and of the operator's ordinal in its frame; it never depends on line
 * numbers, and frames set aside (reports) are not counted by their parent. */
#include "frontend/decl.h"

enum { MAX_DEPTH = 200 };

/* ---- frames */
static uint64_t next_ordinal(Elab *cx, Frame *f, const char *what) {
    int *count = map_get(&f->counts, what);
    if (!count) map_set(&f->counts, what, count = NEW(cx->arena, int));
    return (uint64_t)(*count)++;
}

uint32_t nodes_via(Elab *cx, const char *what, Span call) {
    uint32_t old = cx->g ? cx->g->via : 0;
    if (!cx->g || !call.file) return old;
    call.via = old;
    cx->g->via = diag_add_call(cx->diag, what, call);
    return old;
}

static void frame_init(Elab *cx, Frame *f, const char *what, uint64_t place, Span call) {
    *f = (Frame){.up = cx->frame, .place = place, .what = what, .call = call};
    map_init(&f->counts, cx->arena);
    cx->frame = f;
    f->via = nodes_via(cx, what, call);
}

void frame_push(Elab *cx, Frame *f, const char *what, uint64_t salt, Span call) {
    uint64_t place = hash_mix(cx->frame ? cx->frame->place : 0, hash_str(what, salt));
    if (cx->frame) place = hash_mix(place, next_ordinal(cx, cx->frame, what));
    frame_init(cx, f, what, place, call);
}

void frame_aside(Elab *cx, Frame *f, const char *label) {
    frame_init(cx, f, label, hash_mix(cx->frame ? cx->frame->place : 0, hash_str(label, 1)),
               (Span){0});
}

void frame_pop(Elab *cx) {
    if (cx->g) cx->g->via = cx->frame->via;
    cx->frame = cx->frame->up;
}

uint64_t place_next(Elab *cx, const char *operator_name) {
    if (!cx->frame) return hash_str(operator_name, 0);
    uint64_t ordinal = next_ordinal(cx, cx->frame, operator_name);
    return hash_mix(hash_mix(cx->frame->place, hash_str(operator_name, 2)), ordinal);
}

bool enter_call(Elab *cx, const char *what, Span at) {
    if (cx->depth >= MAX_DEPTH)
        return report_error(cx, at, "calls go more than %d deep: '%s' never ends", MAX_DEPTH, what);
    cx->depth++;
    return true;
}

/* ---- closures */
typedef struct CallState { /* what a call changes and gives back */
    bool training;
    uint32_t region;
} CallState;

static CallState call_begin(Elab *cx, const Closure *c) {
    CallState old = {cx->training, cx->g ? cx->g->region : 0};
    if (c->still || (c->self && c->self->frozen)) cx->training = false;
    if (c->remat && cx->g) cx->g->region = ++cx->decls->regions;
    return old;
}

static void call_end(Elab *cx, CallState old) {
    cx->training = old.training;
    if (cx->g) cx->g->region = old.region;
}

/* "Linear" for an instance's unnamed fn, else the fn's name. */
static const char *closure_name(const Closure *c) {
    if (c->decl->name) return c->decl->name;
    return c->self ? c->self->def->block.name : "fn";
}

static bool run_body(Elab *cx, const FnDecl *f, const char *name, Scope *s, Val *out) {
    if (f->value) {
        Exec x = {.where = IN_fn, .scope = s};
        Stmt ret = {.kind = STMT_return, .span = f->value->span};
        vec_push(cx->arena, &ret.ret.value, (Arg){NULL, f->value, f->value->span});
        if (!do_return(cx, &x, &ret)) return false;
        *out = x.result;
    } else {
        Exec x = {.where = IN_fn, .scope = s, .result = {.kind = VAL_none, .span = f->span}};
        if (!exec_stmts(cx, &x, &f->body)) return false;
        *out = x.result;
    }
    return signature_result(cx, f, name, s, out);
}

static bool run_framed(Elab *cx, const Closure *c, const char *name, Scope *s, Span at, Val *out) {
    const char *path = c->self && c->self->path ? c->self->path : "";
    Frame f;
    frame_push(cx, &f, name, hash_str(path, 0), at);
    CallState old = call_begin(cx, c);
    bool ok = run_body(cx, c->decl, name, s, out);
    call_end(cx, old);
    frame_pop(cx);
    return ok;
}

bool call_closure(Elab *cx, const Closure *c, const CallArg *arg, int narg, const Val *over,
                  Span at, Val *out) {
    const char *name = closure_name(c);
    *out = val_error();
    if (!enter_call(cx, name, at)) return false;
    Scope *s = scope_new(cx, c->scope, c->self);
    bool ok = signature_bind(cx, c->decl, name, arg, narg, over, at, s) &&
              run_framed(cx, c, name, s, at, out);
    cx->depth--;
    if (!ok) *out = val_error();
    return ok;
}

/* ---- anything that can be called */
static bool report_no_call(Elab *cx, const Instance *i, Span at) {
    report_error(cx, at, "'%s' (%s) has no unnamed fn to call", i->path, i->def->block.name);
    for (size_t k = 0; k < i->scope->names.n; k++) {
        const Val *v = i->scope->names.at[k].value;
        if (v->kind != VAL_fn || v->fn->self != i) continue;
        diag_hint(cx->diag, "it has '%s': %s.%s(...)", v->fn->decl->name, i->path,
                  v->fn->decl->name);
        return false;
    }
    diag_hint(cx->diag, "the block needs one: fn (x) { return ... }");
    return false;
}

bool value_closure(Elab *cx, const Val *fn, Span at, Closure *out) {
    if (fn->kind == VAL_error) return false;
    if (fn->kind != VAL_fn && fn->kind != VAL_instance) {
        DType t;
        report_error(cx, at, "%s cannot be called", val_describe(cx, fn));
        if (fn->kind == VAL_str && dtype_from_name(fn->s, &t))
            diag_hint(cx->diag, "cast(x, %s) converts to a type", fn->s);
        return false;
    }
    if (fn->kind == VAL_instance && !fn->inst->call) return report_no_call(cx, fn->inst, at);
    *out = fn->kind == VAL_fn ? *fn->fn : *fn->inst->call;
    return true;
}

bool call_value(Elab *cx, const Val *fn, const CallArg *arg, int narg, const Val *over, Span at,
                Val *out) {
    *out = val_error();
    for (int i = 0; i < narg; i++)
        if (arg[i].val.kind == VAL_error) return false;
    if (fn->kind == VAL_block || fn->kind == VAL_rule) {
        if (over)
            return report_error(cx, at, "%s takes no `over`",
                                fn->kind == VAL_block ? "a block" : "a rule");
        return fn->kind == VAL_block ? instance_new(cx, fn, arg, narg, at, out)
                                     : instance_of_rule(cx, fn, arg, narg, at, out);
    }
    Closure c;
    if (!value_closure(cx, fn, at, &c)) return false;
    return call_closure(cx, &c, arg, narg, over, at, out);
}
