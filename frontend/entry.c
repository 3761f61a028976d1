/* Entries: one graph for one optimisation step (train) or one batch (eval). The batch's fields are
 * in scope by name, B is its size; every tensor whose current value differs from the one it had
 * when the step began becomes an OUT_state. */
#include "frontend/decl.h"

#include <string.h>

enum { DEFAULT_BATCH = 32 };
static const int64_t MAX_BATCH = (int64_t)1 << 30;

/* ---- header: on data, batch n, steps n */
static bool entry_data(Elab *cx, Scope *scope, const Stmt *s, const char *word,
                       const DataDecl **out, int *index) {
    Val v;
    if (!s->entry.on)
        return report_error(cx, s->span, "`%s` needs data: %s on corpus { ... }", word, word);
    Span at = s->entry.on->span;
    if (!eval_expr(cx, scope, s->entry.on, &v)) return false;
    if (v.kind != VAL_data)
        return report_error(cx, at, "`%s on` takes data, not %s", word, val_describe(cx, &v));
    *out = &cx->decls->data.at[v.index];
    *index = v.index;
    if ((*out)->kind == DATA_rows) return true;
    bool text = (*out)->kind == DATA_text;
    report_error(cx, at, "the records of this data have no fixed shape: they are %s",
                 text ? "text" : "token ids of any length");
    diag_note(cx->diag, (*out)->spec.span, "the pipeline ends here");
    diag_hint(cx->diag, "%sgo on with | pad(seq), | pack(seq) or | sentence_pairs(seq)",
              text ? "encode it, then " : "");
    return false;
}

/* A count in the header; `otherwise` where it is not said. */
static bool entry_count(Elab *cx, Scope *scope, const Expr *e, const char *what, int64_t most,
                        int64_t otherwise, int64_t *out) {
    Val v;
    *out = otherwise;
    if (!e) return true;
    if (!eval_expr(cx, scope, e, &v) || !val_int(cx, &v, what, e->span, out)) return false;
    if (*out >= 1 && *out <= most) return true;
    if (*out < 1)
        return report_error(cx, e->span, "%s must be at least 1, not %lld", what, (long long)*out);
    return report_error(cx, e->span, "%s must be at most %lld, not %lld", what, (long long)most,
                        (long long)*out);
}

static bool entry_counts(Elab *cx, Scope *scope, const Stmt *s, Entry *e) {
    bool train = e->kind == ENTRY_train;
    int64_t usual = !train && cx->decls->train_batch ? cx->decls->train_batch : DEFAULT_BATCH;
    if (!entry_count(cx, scope, s->entry.batch, "the batch", MAX_BATCH, usual, &e->batch))
        return false;
    if (!train) return true;
    if (s->entry.steps && s->entry.epochs)
        return report_error(cx, s->entry.epochs->span,
                            "a train entry has steps or epochs, not both");
    cx->decls->train_batch = e->batch;
    return entry_count(cx, scope, s->entry.steps, "the number of steps", INT64_MAX, 0, &e->steps) &&
           entry_count(cx, scope, s->entry.epochs, "the number of epochs", INT64_MAX,
                       e->steps ? 0 : 1, &e->epochs);
}

/* ---- the batch */
static bool bind_field(Elab *cx, Scope *scope, const Field *f, int64_t batch, Span at) {
    TVal t = {.type = {.dtype = f->dtype, .rank = (int8_t)(f->rank + 1), .batch_axis = 0},
              .name = {"B"}};
    if (f->rank + 1 > RANK) BUG("field '%s' has rank %d", f->name, f->rank);
    t.type.dim[0] = batch;
    for (int i = 0; i < f->rank; i++) {
        t.type.dim[i + 1] = f->dim[i];
        t.name[i + 1] = f->dim_name[i];
    }
    t.ref = graph_add(cx->g, OP_field, &(Attr){.name = f->name}, NULL, 0, &t.type, at);
    Val v = val_of_tensor(&t);
    v.span = at;
    scope_set(cx, scope, f->name, &v);
    return true;
}

static void bind_batch(Elab *cx, Scope *scope, const DataDecl *data, int64_t batch, Span at) {
    Val b = val_of_int(batch);
    b.dim = "B";
    b.batch = true;
    b.span = at;
    scope_set(cx, scope, "B", &b);
    for (int i = 0; i < data->spec.nfield; i++)
        bind_field(cx, scope, &data->spec.field[i], batch, at);
}

/* ---- outputs */
static void output_states(Elab *cx) {
    for (size_t i = 0; i < cx->decls->nbound; i++) {
        Ref r = cx->current[i];
        if (!ref_is(r) || graph_node(cx->g, r)->op == OP_state) continue;
        vec_push(cx->arena, &cx->decls->output,
                 (Output){OUT_state, NULL, (int)i, r, graph_node(cx->g, r)->span});
    }
}

static void flush_outputs(Elab *cx) {
    for (size_t i = 0; i < cx->decls->output.n; i++) {
        const Output *o = &cx->decls->output.at[i];
        graph_out(cx->g, o->kind, o->name, o->index, o->ref, o->span);
    }
}

static bool has_output(const Elab *cx, OutKind a, OutKind b) {
    for (size_t i = 0; i < cx->decls->output.n; i++) {
        OutKind k = cx->decls->output.at[i].kind;
        if (k == a || k == b) return true;
    }
    return false;
}

static bool check_purpose(Elab *cx, const Entry *e) {
    bool train = e->kind == ENTRY_train;
    if (cx->decls->broken) return true;
    if (train && !has_output(cx, OUT_state, OUT_state)) {
        report_error(cx, e->span, "this train entry changes nothing");
        diag_hint(cx->diag, "minimize loss with adamw(1e-3)");
        return false;
    }
    if (!train && !has_output(cx, OUT_report, OUT_text)) {
        report_error(cx, e->span, "this eval entry reports nothing");
        diag_hint(cx->diag, "report loss");
        return false;
    }
    return true;
}

/* ---- running */
static void begin(Elab *cx, const Entry *e) {
    Decls *d = cx->decls;
    cx->g = graph_new(cx->arena, e->name);
    cx->training = cx->in_train = e->kind == ENTRY_train;
    cx->batch = e->batch;
    cx->current = NULL;
    d->nbound = 0;
    d->version.n = d->binding.n = d->output.n = 0;
    d->regions = 0;
    size_t n = cx->tensor.n + 1;
    cx->current = NEW_N(cx->arena, Ref, n);
    for (size_t i = 0; i < n; i++) cx->current[i] = REF_NONE;
    d->nbound = n - 1;
}

static void finish(Elab *cx) {
    cx->g = NULL;
    cx->current = NULL;
    cx->training = cx->in_train = false;
    cx->batch = 0;
}

static void add_entry(Elab *cx, const Entry *e) {
    Program *p = cx->program;
    if (p->nentry == p->entrycap)
        p->entry = vec_grow(p->arena, p->entry, p->nentry, &p->entrycap, sizeof *p->entry);
    p->entry[p->nentry++] = *e;
}

static bool run_body(Elab *cx, Module *m, const Stmt *s, Entry *e, const DataDecl *data) {
    Frame f = {.place = hash_str(e->name, 0), .what = e->name};
    map_init(&f.counts, cx->arena);
    Frame *up = cx->frame;
    cx->frame = &f;
    begin(cx, e);
    Exec x = {.where = IN_entry, .scope = scope_new(cx, m->scope, NULL)};
    bind_batch(cx, x.scope, data, e->batch, s->entry.on->span);
    bool ok = exec_stmts(cx, &x, &s->entry.body);
    if (ok) {
        output_states(cx);
        ok = check_purpose(cx, e);
        flush_outputs(cx);
        e->step = cx->g;
        if (ok) add_entry(cx, e);
    }
    finish(cx);
    cx->frame = up;
    return ok;
}

static const char *entry_name(Elab *cx, const Stmt *s, bool train) {
    int n = train ? ++cx->decls->trains : ++cx->decls->evals;
    const char *word = train ? "train" : "eval";
    if (s->entry.name) return s->entry.name;
    return n == 1 ? word : arena_printf(cx->arena, "%s.%d", word, n);
}

bool do_entry(Elab *cx, Exec *x, const Stmt *s) {
    const char *word = entry_word_name(s->entry.word);
    if (s->entry.word != WORD_train && s->entry.word != WORD_eval)
        return report_error(cx, s->span, "this version does not carry `%s`", word);
    bool train = s->entry.word == WORD_train;
    Entry e = {.kind = train ? ENTRY_train : ENTRY_eval, .span = s->span};
    const DataDecl *data = NULL;
    e.name = entry_name(cx, s, train);
    if (!entry_data(cx, x->scope, s, word, &data, &e.data)) return false;
    return entry_counts(cx, x->scope, s, &e) && run_body(cx, x->module, s, &e, data);
}

/* ---- reports */
/* What a line of metrics says anyway. */
static bool label_free(Elab *cx, const char *label, Span at) {
    static const char *const taken[] = {"step", "entry", "warnings", "tokens_per_second",
                                        "samples_per_second"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (str_eq(label, taken[i]))
            return report_error(cx, at,
                                "every line of metrics has a '%s' of its own: give this report "
                                "another name",
                                label);
    return true;
}

static const char *report_label(Elab *cx, const Arg *a) {
    const char *label = a->name;
    if (!label && a->value->kind == EXPR_name) label = a->value->name;
    if (!label && a->value->kind == EXPR_field) label = a->value->field.name;
    if (!label) {
        report_error(cx, a->value->span, "this report needs a name");
        diag_hint(cx->diag, "report name = %s", span_text(cx, a->value->span));
        return NULL;
    }
    if (!label_free(cx, label, a->span)) return NULL;
    for (size_t i = 0; i < cx->decls->output.n; i++) {
        const Output *o = &cx->decls->output.at[i];
        if ((o->kind != OUT_report && o->kind != OUT_text) || !str_eq(o->name, label)) continue;
        diag_error(cx->diag, a->span, "'%s' is reported twice", label);
        diag_note(cx->diag, o->span, "it is reported here first");
        return NULL;
    }
    return label;
}

static bool report_scalar(Elab *cx, const Val *v, const Arg *a, Output *o) {
    TVal t;
    if (!val_tensor(cx, v, DT_f32, a->value->span, &t)) return false;
    if (t.type.rank) {
        report_error(cx, a->value->span, "a report is one number, and '%s' is %s", o->name,
                     tval_describe(cx, &t));
        diag_hint(cx->diag, "report %s = mean(%s)", o->name, span_text(cx, a->value->span));
        return false;
    }
    o->kind = OUT_report;
    o->ref = dtype_is_float(t.type.dtype) ? g_cast(cx->g, t.ref, DT_f32, a->value->span) : t.ref;
    return true;
}

static bool report_decoded(Elab *cx, const Val *v, const Arg *a, Output *o) {
    bool fits = v->kind == VAL_tuple && v->list.n == 2 && v->list.at[0].kind == VAL_tokenizer;
    TVal t;
    if (!fits)
        return report_error(cx, a->value->span, "`report text` takes decode(tok, ids), not %s",
                            val_describe(cx, v));
    if (!val_tensor(cx, &v->list.at[1], DT_i32, a->value->span, &t)) return false;
    if (t.type.dtype != DT_i32 || !t.type.rank)
        return report_error(cx, a->value->span,
                            "decode takes token ids, i32 with a dimension of positions, not %s",
                            tval_describe(cx, &t));
    o->kind = OUT_text;
    o->index = v->list.at[0].index;
    o->ref = t.ref;
    return true;
}

bool report_value(Elab *cx, Exec *x, const Expr *e, const char *label, Val *out) {
    Frame f;
    frame_aside(cx, &f, label);
    cx->decls->reporting = true;
    bool ok = eval_expr(cx, x->scope, e, out);
    cx->decls->reporting = false;
    frame_pop(cx);
    return ok;
}

static bool report_item(Elab *cx, Exec *x, const Arg *a, bool text) {
    Val v;
    Output o = {.name = report_label(cx, a), .span = a->span};
    if (!o.name || !report_value(cx, x, a->value, o.name, &v)) return false;
    if (!(text ? report_decoded(cx, &v, a, &o) : report_scalar(cx, &v, a, &o))) return false;
    vec_push(cx->arena, &cx->decls->output, o);
    return true;
}

bool do_report(Elab *cx, Exec *x, const Stmt *s) {
    bool ok = true;
    if (s->report.kind > REPORT_text)
        return report_error(cx, s->span, "this version does not carry `report %s`",
                            report_kind_name(s->report.kind));
    for (size_t i = 0; i < s->report.item.n; i++)
        ok = report_item(cx, x, &s->report.item.at[i], s->report.kind == REPORT_text) && ok;
    return ok;
}
