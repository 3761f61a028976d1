/* What the entries sample, generate and predict return: pictures, texts or values for each sample
 * or record, and the logits of the next token. What generate sees, the token and its position, lies
 * in two caches that the runtime writes, so that its graph reads nothing but tensors. */
#include "frontend/decl.h"

#include <string.h>

/* ---- pictures: as grid(h, w) */
static bool grid_sizes(Elab *cx, Scope *s, const Expr *as, int64_t size[2]) {
    bool fits = as && as->kind == EXPR_call && as->call.fn->kind == EXPR_name &&
                str_eq(as->call.fn->name, "grid") && as->call.arg.n == 2;
    if (!fits) {
        report_error(cx, as ? as->span : (Span){0}, "pictures are shown `as grid(height, width)`");
        diag_hint(cx->diag, "... as grid(28, 28)");
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const Expr *e = as->call.arg.at[i].value;
        Val v;
        if (!eval_expr(cx, s, e, &v) || !val_int(cx, &v, "a side of a picture", e->span, &size[i]))
            return false;
        if (size[i] < 1 || size[i] > RESIZE_MAX)
            return report_error(cx, e->span, "a side of a picture is 1 to %d, not %lld", RESIZE_MAX,
                                (long long)size[i]);
    }
    return true;
}

/* How many dimensions lie before those of one picture, and its channels; false: it is none. */
static bool picture_split(const Type *t, int64_t pixels, int *leading, int64_t *channels) {
    int64_t tail = 1;
    for (int k = t->rank; k-- > 0;) {
        tail *= t->dim[k];
        *leading = k;
        *channels = tail / pixels;
        if (tail % pixels == 0 && (*channels == 1 || *channels == 3)) return true;
    }
    return false;
}

static TVal to_unit_range(Elab *cx, const TVal *t, Span at) {
    TVal f = *t;
    f.ref = g_cast(cx->g, t->ref, DT_f32, at);
    if (t->type.dtype == DT_u8)
        f.ref = g_binary(cx->g, OP_div, f.ref, g_const(cx->g, DT_f32, 255, at), at);
    return f;
}

bool output_picture(Elab *cx, Scope *s, const Val *v, const Expr *as, Span at, Output *o) {
    int64_t size[2], channels;
    int leading;
    TVal t;
    if (!as) {
        report_error(cx, at, "pictures need their size");
        diag_hint(cx->diag, "%s as grid(28, 28)", span_text(cx, at));
        return false;
    }
    if (!grid_sizes(cx, s, as, size) || !val_tensor(cx, v, DT_f32, at, &t)) return false;
    bool kind = dtype_is_float(t.type.dtype) || t.type.dtype == DT_u8 || t.type.dtype == DT_bool;
    if (!kind || !picture_split(&t.type, size[0] * size[1], &leading, &channels))
        return report_error(cx, at,
                            "grid(%lld, %lld) takes pictures of %lld by %lld numbers from 0 to 1, "
                            "with 1 or 3 channels last, not %s",
                            (long long)size[0], (long long)size[1], (long long)size[0],
                            (long long)size[1], tval_describe(cx, &t));
    int64_t dim[4] = {1, size[0], size[1], channels};
    for (int i = 0; i < leading; i++) dim[0] *= t.type.dim[i];
    t = to_unit_range(cx, &t, at);
    o->kind = OUT_image;
    o->index =
        leading > 1 && t.type.dim[leading - 1] <= INT32_MAX ? (int)t.type.dim[leading - 1] : 0;
    o->ref = g_reshape(cx->g, t.ref, 4, dim, at);
    return true;
}

/* ---- sample and predict */
static const char *value_label(Elab *cx, const Exec *x, const Stmt *s, const Arg *a) {
    const char *label = a->name;
    if (!label && a->value->kind == EXPR_name) label = a->value->name;
    if (!label && a->value->kind == EXPR_field) label = a->value->field.name;
    if (!label && s->ret.value.n == 1) label = x->entry->name;
    if (label) return outputs_named(cx, label, "given", a->span) ? NULL : label;
    report_error(cx, a->value->span, "each of several returned values needs a name");
    diag_hint(cx->diag, "return name = %s", span_text(cx, a->value->span));
    return NULL;
}

static bool output_value(Elab *cx, const Val *v, Span at, Output *o) {
    TVal t;
    if (!val_tensor(cx, v, DT_f32, at, &t)) return false;
    o->kind = OUT_value;
    o->ref = t.ref;
    return true;
}

bool returns_rows(Elab *cx, const Exec *x, Ref r, Span at) {
    const Type *t = graph_type(cx->g, r);
    bool reads = entry_reads_data(x->entry->kind);
    bool of_records = t->batch_axis == 0 || t->batch_axis == MIXED_BATCH;
    bool rows = t->rank && t->dim[0] == x->entry->batch && (!reads || of_records);
    if (rows) return true;
    TVal shown = {.type = *t};
    return report_error(cx, at, "%s returns a value for each of its %lld %s, not %s",
                        x->entry->name, (long long)x->entry->batch, reads ? "records" : "samples",
                        tval_describe(cx, &shown));
}

static bool return_item(Elab *cx, Exec *x, const Stmt *s, const Arg *a) {
    Span at = a->value->span;
    Output o = {.name = value_label(cx, x, s, a), .span = a->span};
    Val v;
    if (!o.name || !eval_expr(cx, x->scope, a->value, &v) || v.kind == VAL_error) return false;
    bool text = v.kind == VAL_tuple && v.list.n == 2 && v.list.at[0].kind == VAL_tokenizer;
    bool ok = text        ? output_decoded(cx, &v, at, &o)
              : s->ret.as ? output_picture(cx, x->scope, &v, s->ret.as, at, &o)
                          : output_value(cx, &v, at, &o);
    if (!ok || !returns_rows(cx, x, o.ref, at)) return false;
    vec_push(cx->arena, &cx->decls->output, o);
    return true;
}

/* ---- generate */
static int declare_input(Elab *cx, const char *name, int rank, int64_t batch, Span at) {
    PTensor t = {.t = {.name = name, .kind = TENSOR_cache, .like = -1, .span = at}};
    t.t.type = type_make(DT_i32, rank, (int64_t[]){batch, 1});
    if (rank) t.dim_name[0] = "B";
    return path_claim(cx, name, at) ? tensor_declare(cx, &t) : -1;
}

static bool bind_input(Elab *cx, Scope *s, const char *name, int tensor, Span at) {
    TVal t;
    if (tensor < 0 || !tensor_current(cx, tensor, at, &t)) return false;
    Val v = val_of_tensor(&t);
    v.span = at;
    scope_set(cx, s, name, &v);
    return true;
}

/* Caches were declared before the entry said how many texts there are. */
static void size_caches(Elab *cx, int64_t batch) {
    for (size_t i = 0; i < cx->tensor.n; i++)
        if (cx->tensor.at[i].t.kind == TENSOR_cache) cx->tensor.at[i].t.type.dim[0] = batch;
}

bool generate_bind(Elab *cx, Scope *s, const Stmt *entry, int64_t batch) {
    Decls *d = cx->decls;
    const Expr *tok = entry->entry.on;
    Span at = entry->span;
    Val v, b = val_of_int(batch);
    if (!eval_expr(cx, s, tok, &v) || v.kind == VAL_error) return false;
    if (v.kind != VAL_tokenizer) {
        report_error(cx, tok->span, "generate takes the tokenizer of its text, not %s",
                     val_describe(cx, &v));
        diag_hint(cx->diag, "tokenizer tok = bytes()");
        return false;
    }
    b.dim = "B";
    scope_set(cx, s, "B", &b);
    d->tokenizer_of_text = v.index;
    size_caches(cx, batch);
    d->token = declare_input(cx, GENERATE_TOKEN, 2, batch, at);
    d->at = declare_input(cx, GENERATE_AT, 0, batch, at);
    return bind_input(cx, s, "token", d->token, at) && bind_input(cx, s, "at", d->at, at);
}

static bool return_logits(Elab *cx, Exec *x, const Stmt *s) {
    const Arg *a = s->ret.value.at;
    Span at = a->value->span;
    int64_t vocabulary = cx->decls->tokenizer.at[cx->decls->tokenizer_of_text].info.size;
    int64_t batch = x->entry->batch;
    Val v;
    TVal t;
    if (s->ret.value.n != 1)
        return report_error(cx, s->span,
                            "generate returns one value, the logits of the next token");
    if (!eval_expr(cx, x->scope, a->value, &v) || !val_tensor(cx, &v, DT_f32, at, &t)) return false;
    bool fits = t.type.dtype == DT_f32 && t.type.rank &&
                type_count(&t.type) == batch * vocabulary &&
                t.type.dim[t.type.rank - 1] == vocabulary;
    if (!fits)
        return report_error(cx, at,
                            "generate returns the logits of the next token, [B, %lld] for this "
                            "vocabulary, not %s",
                            (long long)vocabulary, tval_describe(cx, &t));
    Output o = {.kind = OUT_value,
                .name = "logits",
                .index = cx->decls->tokenizer_of_text,
                .ref = g_reshape(cx->g, t.ref, 2, (int64_t[]){batch, vocabulary}, at),
                .span = a->span};
    vec_push(cx->arena, &cx->decls->output, o);
    return true;
}

/* Zero in every element. */
static bool is_zero(const Graph *g, Ref r) {
    const Node *n = graph_node(g, r);
    while (n->op == OP_expand || n->op == OP_reshape) n = graph_node(g, n->in[0]);
    return n->op == OP_const && n->attr.num == 0;
}

/* Is the value the position itself, in another shape? */
static bool is_position(const Graph *g, Ref r, int tensor) {
    for (;;) {
        const Node *n = graph_node(g, r);
        if (n->op == OP_state) return n->attr.tensor == tensor;
        bool add = n->op == OP_add;
        if (n->op != OP_reshape && n->op != OP_expand && n->op != OP_transpose && !add)
            return false;
        r = n->in[add && is_zero(g, n->in[0])];
        if (add && !is_zero(g, n->in[0]) && !is_zero(g, n->in[1])) return false;
    }
}

int64_t generate_positions(Elab *cx) {
    const Graph *g = cx->g;
    int64_t least = 0;
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        bool table = n->op == OP_take || n->op == OP_put || n->op == OP_put_add;
        if (!table || !is_position(g, n->in[1], cx->decls->at)) continue;
        int64_t rows = graph_type(g, n->in[0])->dim[n->attr.axis];
        if (!least || rows < least) least = rows;
    }
    return least;
}

/* ---- return */
bool entry_return(Elab *cx, Exec *x, const Stmt *s) {
    EntryKind kind = x->entry->kind;
    bool ok = true;
    if (kind < ENTRY_sample) {
        report_error(cx, s->span,
                     "return belongs to `sample`, `generate`, `predict` and `features`");
        diag_hint(cx->diag, "report name = e logs a value");
        return false;
    }
    x->returned = true;
    if (s->ret.as && kind != ENTRY_sample)
        return report_error(cx, s->ret.as->span, "`as` belongs to the return of `sample`");
    if (kind == ENTRY_generate) return return_logits(cx, x, s);
    if (kind == ENTRY_features) return features_return(cx, x, s);
    for (size_t i = 0; i < s->ret.value.n; i++)
        ok = return_item(cx, x, s, &s->ret.value.at[i]) && ok;
    return ok;
}
