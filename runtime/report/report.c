/* One logged step or evaluation: collected from a plan's outputs, and as JSON. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/report/report.h"

enum { TEXT_ROWS = 5, ALIGNED = 1024, DIGITS = 9 }; /* nine digits give an f32 back exactly */

Report *report_new(int64_t step) {
    Arena *a = arena_new();
    Report *r = NEW(a, Report);
    r->arena = a;
    r->step = step;
    return r;
}

void report_free(Report *r) {
    if (r) arena_free(r->arena);
}

static bool has_value(const Report *r, const char *name) {
    for (size_t i = 0; i < r->value.n; i++)
        if (str_eq(r->value.at[i].name, name)) return true;
    return false;
}

/* A count that was kept as f64, too long for the digits that others are shown with. */
static bool is_count(DType t, double v) {
    return t == DT_f64 && v == floor(v) && fabs(v) >= 1e6 && fabs(v) <= 0x1p53;
}

static void add_value(Report *r, const Exec *x, const RtPlan *plan, int i, const char *prefix) {
    const RtOutput *o = &plan->out[i];
    const char *name = arena_printf(r->arena, "%s%s", prefix, o->name ? o->name : "loss");
    if (has_value(r, name)) return; /* the loss is often reported too */
    ReportValue v = {.name = name, .value = exec_scalar(x, plan, i)};
    v.integer = !dtype_is_float(o->dtype) || is_count(o->dtype, v.value);
    vec_push(r->arena, &r->value, v);
}

/* A watch stands next to the report that it judges. */
static void add_watch(Report *r, const Exec *x, const RtPlan *plan, int i, const char *prefix) {
    ReportWatch w = {.name = arena_printf(r->arena, "%s%s", prefix, plan->out[i - 1].name),
                     .text = plan->out[i].name,
                     .value = exec_scalar(x, plan, i - 1),
                     .bad = exec_scalar(x, plan, i) != 0};
    vec_push(r->arena, &r->watch, w);
}

/* Where each token's text ends: decoding one token more may only append. Costs the square of the
 * length, so long rows go without. */
static const size_t *token_ends(Arena *a, const Tokenizer *t, const int32_t *ids, size_t n,
                                const char *text) {
    if (n > ALIGNED) return NULL;
    size_t *end = NEW_N(a, size_t, n);
    bool ok = true;
    Buf b = {0};
    for (size_t i = 0; ok && i < n; i++) {
        b.n = 0;
        tokenizer_decode(t, ids, i + 1, &b);
        end[i] = b.n;
        ok = b.n == 0 || (strncmp(text, b.data, b.n) == 0 && (i == 0 || end[i] >= end[i - 1]));
    }
    buf_free(&b);
    return ok ? end : NULL;
}

/* False: the output has no such row, or is nothing that can be decoded. */
static bool add_text(Report *r, const Exec *x, const RtPlan *plan, int i, Tokenizer *const *tok,
                     const char *prefix, int row) {
    const RtOutput *o = &plan->out[i];
    if (!tok || !tok[o->index] || o->dtype != DT_i32 || o->width <= 0 || row >= o->count / o->width)
        return false;
    Buf b = {0};
    const int32_t *ids = (const int32_t *)exec_output(x, plan, i) + row * o->width;
    size_t n = (size_t)o->width;
    tokenizer_decode(tok[o->index], ids, n, &b);
    ReportText t = {.name = arena_printf(r->arena, "%s%s", prefix, o->name ? o->name : "text"),
                    .text = arena_strdup(r->arena, b.data ? b.data : ""),
                    .row = row,
                    .ntoken = n};
    t.end = token_ends(r->arena, tok[o->index], ids, n, t.text);
    vec_push(r->arena, &r->text, t);
    buf_free(&b);
    return true;
}

void report_add(Report *r, const Exec *x, const RtPlan *plan, Tokenizer *const *tok,
                const char *prefix) {
    for (int i = 0; i < plan->nout; i++)
        if (plan->out[i].kind == RT_OUT_report) add_value(r, x, plan, i, prefix);
    for (int i = 0; i < plan->nout; i++)
        if (plan->out[i].kind == RT_OUT_loss) add_value(r, x, plan, i, prefix);
    for (int i = 1; i < plan->nout; i++)
        if (plan->out[i].kind == RT_OUT_watch) add_watch(r, x, plan, i, prefix);
    bool more = true;
    for (int row = 0; more && row < TEXT_ROWS; row++) {
        more = false;
        for (int i = 0; i < plan->nout; i++)
            if (plan->out[i].kind == RT_OUT_text) more |= add_text(r, x, plan, i, tok, prefix, row);
    }
}

/* JSON has no NaN and no infinity. */
static json_t *number_json(const ReportValue *v) {
    if (!isfinite(v->value)) return json_null();
    return v->integer ? json_integer((json_int_t)v->value) : json_real(v->value);
}

static void put_texts(json_t *root, const Report *r) {
    for (size_t i = 0; i < r->text.n; i++) {
        const ReportText *t = &r->text.at[i];
        json_t *rows = json_object_get(root, t->name);
        if (!json_is_array(rows)) {
            rows = json_array();
            json_object_set_new(root, t->name, rows);
        }
        json_t *s = json_string(t->text);
        json_array_append_new(rows,
                              s ? s : json_null()); /* bytes of an odd vocabulary may be no UTF-8 */
    }
}

static void put_warnings(json_t *root, const Report *r) {
    json_t *bad = json_object();
    for (size_t i = 0; i < r->watch.n; i++)
        if (r->watch.at[i].bad)
            json_object_set_new(bad, r->watch.at[i].name, json_string(r->watch.at[i].text));
    if (json_object_size(bad)) json_object_set(root, "warnings", bad);
    json_decref(bad);
}

void report_json(const Report *r, Buf *out) {
    json_t *root = json_object();
    json_object_set_new(root, "step", json_integer(r->step));
    if (r->entry) json_object_set_new(root, "entry", json_string(r->entry));
    for (size_t i = 0; i < r->value.n; i++)
        json_object_set_new(root, r->value.at[i].name, number_json(&r->value.at[i]));
    put_texts(root, r);
    put_warnings(root, r);
    if (r->rate > 0) {
        json_t *rate = json_real(r->rate);
        char key[64];
        snprintf(key, sizeof key, "%s_per_second", r->unit);
        json_object_set_new(root, key, rate);
    }
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    json_decref(root);
    if (text) buf_printf(out, "%s\n", text);
    free(text);
}
