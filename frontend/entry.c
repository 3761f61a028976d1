/* Entries: one graph for one optimisation step (train), one batch (eval, predict), one set of
 * samples or one token (generate). The batch's fields are in scope by name, B is its size; every
 * tensor whose current value differs from the one it had when the step began becomes an OUT_state.
 * What entries return is in returns.c and features.c. */
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
    const Expr *length = s->entry.steps ? s->entry.steps : s->entry.epochs;
    if (!train && length) return report_error(cx, length->span, "only `train` has steps or epochs");
    if (e->kind == ENTRY_generate)
        return entry_count(cx, scope, s->entry.batch, "the batch", MAX_BATCH, 1, &e->batch);
    if (e->kind == ENTRY_sample)
        return entry_count(cx, scope, s->entry.count, "the number of samples", MAX_BATCH, 1,
                           &e->batch);
    int64_t usual = !train && cx->decls->train_batch ? cx->decls->train_batch : DEFAULT_BATCH;
    if (!entry_count(cx, scope, s->entry.batch, "the batch", MAX_BATCH, usual, &e->batch))
        return false;
    if (!train) return e->kind != ENTRY_features || features_count(cx, s, e);
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
    for (int i = 0; data && i < data->spec.nfield; i++)
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

/* What an entry of each kind is there for: outputs of these kinds. */
typedef struct Purpose {
    unsigned gives; /* bits of OutKind */
    const char *lacking, *hint;
} Purpose;
static const Purpose purposes[ENTRY_KINDS] = {
    [ENTRY_train] = {1u << OUT_state, "changes nothing", "minimize loss with adamw(1e-3)"},
    [ENTRY_eval] = {1u << OUT_report | 1u << OUT_text | 1u << OUT_image, "reports nothing",
                    "report loss"},
    [ENTRY_sample] = {1u << OUT_value | 1u << OUT_text | 1u << OUT_image, "returns nothing",
                      "return decode(normal([64, z])) as grid(28, 28)"},
    [ENTRY_generate] = {1u << OUT_value, "returns nothing", "return gpt.next(token, at)"},
    [ENTRY_predict] = {1u << OUT_value | 1u << OUT_text, "returns nothing",
                       "return label = argmax(logits over -1)"},
    [ENTRY_features] = {1u << OUT_state, "returns nothing", "return encoder(image), label"},
};

static bool check_purpose(Elab *cx, const Stmt *s, const Entry *e) {
    const Purpose *want = &purposes[e->kind];
    if (cx->decls->broken) return true;
    for (size_t i = 0; i < cx->decls->output.n; i++)
        if (want->gives >> cx->decls->output.at[i].kind & 1) return true;
    report_error(cx, e->span, "this %s entry %s", entry_word_name(s->entry.word), want->lacking);
    diag_hint(cx->diag, "%s", want->hint);
    return false;
}

/* ---- running */
static void begin(Elab *cx, const Entry *e) {
    Decls *d = cx->decls;
    cx->g = graph_new(cx->arena, e->name);
    cx->training = cx->in_train = e->kind == ENTRY_train;
    cx->in_generate = e->kind == ENTRY_generate;
    cx->in_eval = e->kind == ENTRY_eval;
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
    cx->training = cx->in_train = cx->in_generate = cx->in_eval = false;
    cx->batch = 0;
}

static void add_entry(Elab *cx, const Entry *e) {
    Program *p = cx->program;
    if (p->nentry == p->entrycap)
        p->entry = vec_grow(p->arena, p->entry, p->nentry, &p->entrycap, sizeof *p->entry);
    p->entry[p->nentry++] = *e;
}

static bool bind_names(Elab *cx, Scope *scope, const Stmt *s, const Entry *e,
                       const DataDecl *data) {
    if (e->kind == ENTRY_generate) return generate_bind(cx, scope, s, e->batch);
    bind_batch(cx, scope, data, e->batch, data ? s->entry.on->span : s->span);
    return true;
}

static bool run_body(Elab *cx, Module *m, const Stmt *s, Entry *e, const DataDecl *data) {
    Frame f = {.place = hash_str(e->name, 0), .what = e->name};
    map_init(&f.counts, cx->arena);
    Frame *up = cx->frame;
    cx->frame = &f;
    begin(cx, e);
    Exec x = {.where = IN_entry, .scope = scope_new(cx, m->scope, NULL), .entry = e};
    bool ok = bind_names(cx, x.scope, s, e, data) && exec_stmts(cx, &x, &s->entry.body) &&
              watches_derive(cx);
    if (ok) {
        output_states(cx);
        ok = check_purpose(cx, s, e);
        flush_outputs(cx);
        e->step = cx->g;
        if (e->kind == ENTRY_generate) e->steps = generate_positions(cx);
        if (ok) add_entry(cx, e);
    }
    finish(cx);
    cx->frame = up;
    return ok;
}

static const char *entry_name(Elab *cx, const Stmt *s, EntryKind kind) {
    const char *word = entry_word_name(s->entry.word);
    if (kind == ENTRY_features) return s->entry.name;
    int n = kind == ENTRY_train ? ++cx->decls->trains : kind == ENTRY_eval ? ++cx->decls->evals : 1;
    return n == 1 ? word : arena_printf(cx->arena, "%s.%d", word, n);
}

/* A verb runs its entry: there is one of each kind that has a verb of its own. */
static bool only_one(Elab *cx, const Stmt *s, EntryKind kind) {
    Span *first = &cx->decls->only[kind];
    if (kind < ENTRY_sample || kind == ENTRY_features || !first->file) {
        *first = s->span;
        return true;
    }
    diag_error(cx->diag, s->span, "a program has one %s entry", entry_word_name(s->entry.word));
    diag_note(cx->diag, *first, "the other one is here");
    return false;
}

bool do_entry(Elab *cx, Exec *x, const Stmt *s) {
    const char *word = entry_word_name(s->entry.word);
    static const EntryKind kinds[] = {
        [WORD_train] = ENTRY_train,     [WORD_eval] = ENTRY_eval,
        [WORD_sample] = ENTRY_sample,   [WORD_generate] = ENTRY_generate,
        [WORD_predict] = ENTRY_predict, [WORD_features] = ENTRY_features};
    Entry e = {.kind = kinds[s->entry.word], .span = s->span, .data = -1, .batch = 1};
    bool evaluates = e.kind == ENTRY_eval || e.kind == ENTRY_features;
    if (evaluates && cx->host && cx->host->unevaluated) return true;
    const DataDecl *data = NULL;
    e.name = entry_name(cx, s, e.kind);
    if (!only_one(cx, s, e.kind)) return false;
    if (entry_reads_data(e.kind) && !entry_data(cx, x->scope, s, word, &data, &e.data))
        return false;
    if (!entry_counts(cx, x->scope, s, &e) || !run_body(cx, x->module, s, &e, data)) return false;
    Target bank = {.name = s->entry.name, .span = s->span};
    return e.kind != ENTRY_features || assign_value(cx, x, &bank, 1, cx->decls->bank, s->span);
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

bool outputs_named(Elab *cx, const char *label, const char *done, Span at) {
    for (size_t i = 0; i < cx->decls->output.n; i++) {
        const Output *o = &cx->decls->output.at[i];
        if (o->kind == OUT_state || o->kind == OUT_loss || !str_eq(o->name, label)) continue;
        diag_error(cx->diag, at, "'%s' is %s twice", label, done);
        diag_note(cx->diag, o->span, "it is %s here first", done);
        return true;
    }
    return false;
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
    return label_free(cx, label, a->span) && !outputs_named(cx, label, "reported", a->span) ? label
                                                                                            : NULL;
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

bool output_decoded(Elab *cx, const Val *v, Span at, Output *o) {
    bool fits = v->kind == VAL_tuple && v->list.n == 2 && v->list.at[0].kind == VAL_tokenizer;
    TVal t;
    if (!fits)
        return report_error(cx, at, "`report text` takes decode(tok, ids), not %s",
                            val_describe(cx, v));
    if (!val_tensor(cx, &v->list.at[1], DT_i32, at, &t)) return false;
    if (t.type.dtype != DT_i32 || !t.type.rank)
        return report_error(cx, at,
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

static bool report_output(Elab *cx, const Exec *x, const Stmt *s, const Val *v, const Arg *a,
                          Output *o) {
    Span at = a->value->span;
    if (s->report.kind == REPORT_image) return output_picture(cx, x->scope, v, s->report.as, at, o);
    if (s->report.kind == REPORT_text) return output_decoded(cx, v, at, o);
    return report_scalar(cx, v, a, o);
}

static bool report_item(Elab *cx, Exec *x, const Stmt *s, const Arg *a) {
    Val v;
    Output o = {.name = report_label(cx, a), .span = a->span};
    if (!o.name || !report_value(cx, x, a->value, o.name, &v)) return false;
    if (!report_output(cx, x, s, &v, a, &o)) return false;
    vec_push(cx->arena, &cx->decls->output, o);
    return true;
}

bool do_report(Elab *cx, Exec *x, const Stmt *s) {
    bool ok = true;
    if (x->entry->kind >= ENTRY_sample) {
        report_error(cx, s->span, "report belongs to `train` and `eval`");
        diag_hint(cx->diag, "return name = e gives a value");
        return false;
    }
    if (s->report.kind == REPORT_text && s->report.as)
        return report_error(cx, s->report.as->span, "`as` belongs to `report image`");
    if (s->report.kind != REPORT_scalar && s->report.kind != REPORT_text &&
        s->report.kind != REPORT_image)
        return report_error(cx, s->span, "this version does not carry `report %s`",
                            report_kind_name(s->report.kind));
    for (size_t i = 0; i < s->report.item.n; i++)
        ok = report_item(cx, x, s, &s->report.item.at[i]) && ok;
    return ok;
}
