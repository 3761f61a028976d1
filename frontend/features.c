/* `features NAME on DATA { return codes, label }`: what it returns of every record of the data is
 * kept in banks, one tensor for each value with the records in front, in their order. An `eval`
 * reads them under the name, as a fn's result: one value, or several at once. They are gathered
 * anew before an evaluation, so they are no part of what a run saves.
 *
 * The number of records is a dimension, so it is counted when the program is compiled, and a broken
 * record gives a row too: the next one's. Rows of an incomplete last batch that are not real write
 * the last record once more. */
#include "frontend/decl.h"

#include <string.h>

/* Records without a host, in tests; batches, since the number of one is an f32. */
enum { RECORDS_UNCOUNTED = 64, BATCHES_MOST = 1 << 24 };

bool features_count(Elab *cx, const Stmt *s, Entry *e) {
    const FrontendHost *host = cx->host;
    Err why = {0};
    e->steps = RECORDS_UNCOUNTED;
    if (!host || !host->records || diag_errors(cx->diag)) return true;
    Span at = s->entry.on->span;
    program_spec(cx);
    if (!host->records(host->cx, &cx->program->spec, e->data, &e->steps, &why))
        return report_error(cx, at, "%s", why.msg);
    return (e->steps <= INT32_MAX && e->steps / e->batch < BATCHES_MOST) ||
           report_error(cx, at, "%lld records in batches of %lld are too many for features",
                        (long long)e->steps, (long long)e->batch);
}

/* ---- a bank */
static const char *bank_path(Elab *cx, const Exec *x, const Arg *a, int number) {
    const char *label = a->name;
    if (!label && a->value->kind == EXPR_name) label = a->value->name;
    return label ? arena_printf(cx->arena, "%s.%s", x->entry->name, label)
                 : arena_printf(cx->arena, "%s.%d", x->entry->name, number);
}

static int declare_bank(Elab *cx, const Exec *x, const char *path, const TVal *t, Span at) {
    PTensor p = {.t = {.name = path, .kind = TENSOR_bank, .type = t->type, .like = -1, .span = at}};
    memcpy(p.dim_name, t->name, sizeof p.dim_name);
    p.dim_name[0] = NULL;
    p.t.type.dim[0] = x->entry->steps;
    p.t.type.batch_axis = NO_BATCH;
    if (!dims_valid(p.t.type.rank, p.t.type.dim, &(Err){0})) {
        report_error(cx, at, "'%s' would have more than 2^40 elements", path);
        return -1;
    }
    return path_claim(cx, path, at) ? tensor_declare(cx, &p) : -1;
}

/* The bank with this batch's rows in their places. */
static Ref fill_bank(Elab *cx, const Exec *x, int bank, Ref rows, Span at) {
    Graph *g = cx->g;
    Type scalar = type_scalar(DT_f32), index = type_make(DT_i32, 1, &x->entry->batch);
    const Type *type = &cx->tensor.at[bank].t.type;
    Ref old = graph_add(g, OP_state, &(Attr){.tensor = bank}, NULL, 0, type, at);
    Ref step = graph_add(g, OP_step, NULL, NULL, 0, &scalar, at);
    Ref first = g_binary(g, OP_mul, g_cast(g, step, DT_i32, at),
                         g_const(g, DT_i32, (double)x->entry->batch, at), at);
    Ref place = graph_add(g, OP_iota, &(Attr){.axis = 0}, NULL, 0, &index, at);
    Ref last = g_const(g, DT_i32, (double)(x->entry->steps - 1), at);
    place = g_binary(g, OP_minimum, g_binary(g, OP_add, place, first, at), last, at);
    Ref from[] = {rows, g_binary(g, OP_sub, place, first, at)};
    Ref in[] = {old, place, graph_add(g, OP_take, &(Attr){.axis = 0}, from, 2, NULL, at)};
    return graph_add(g, OP_put, &(Attr){.axis = 0}, in, 3, NULL, at);
}

static bool bank_item(Elab *cx, Exec *x, const Arg *a, int number, Val *out) {
    Span at = a->value->span;
    TVal t;
    Val v;
    if (!eval_expr(cx, x->scope, a->value, &v) || !val_tensor(cx, &v, DT_f32, at, &t) ||
        !returns_rows(cx, x, t.ref, at))
        return false;
    const char *path = bank_path(cx, x, a, number);
    int bank = declare_bank(cx, x, path, &t, at);
    if (bank < 0) return false;
    Output value = {OUT_value, path, 0, t.ref, at};
    Output kept = {OUT_state, NULL, bank, fill_bank(cx, x, bank, t.ref, at), at};
    vec_push(cx->arena, &cx->decls->output, value);
    vec_push(cx->arena, &cx->decls->output, kept);
    *out = (Val){.kind = VAL_param, .span = at, .tensor = bank};
    return true;
}

bool features_return(Elab *cx, Exec *x, const Stmt *s) {
    int n = (int)s->ret.value.n;
    Val *v = NEW_N(cx->arena, Val, n + 1);
    for (int i = 0; i < n; i++)
        if (!bank_item(cx, x, &s->ret.value.at[i], i, &v[i])) return false;
    if (n == 1) cx->decls->bank = v[0];
    return n <= 1 || list_make(cx, VAL_tuple, v, n, s->span, &cx->decls->bank);
}
