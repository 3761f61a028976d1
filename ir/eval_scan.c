/* The interpreter's loop: the body is interpreted once for each place along the slices. */
#include "ir/eval.h"

#include <string.h>

static int64_t rows_bytes(const Type *t) { /* of one place along axis 0 */
    return type_count(t) / t->dim[0] * (int64_t)sizeof(double);
}

/* The inputs of the body at place `at`; those of the first turn, whose carries the next ones
 * replace. */
static void set_slices(const Eval *ev, Array *arg, int64_t at) {
    for (int i = 0; i < ev->n->attr.scan.slices; i++) {
        int k = ev->n->attr.scan.carries + i;
        const Type *t = &ev->in[k].type;
        arg[k].type = type_make(t->dtype, t->rank - 1, t->dim + 1);
        arg[k].at = ev->in[k].at + at * (rows_bytes(t) / (int64_t)sizeof(double));
    }
}

/* Of a total there is one place for all turns. */
static double *result_at(const Eval *ev, int i, int64_t at) {
    if (i < ev->n->attr.scan.totals) return ev->out[i].at;
    return ev->out[i].at + at * (rows_bytes(&ev->n->type[i]) / (int64_t)sizeof(double));
}

static bool one_turn(Eval *ev, Array *arg, int64_t at) {
    EvalCx cx = *ev->cx;
    cx.arena = arena_new();
    cx.args = arg;
    cx.watch = NULL;
    CHECK(cx.nturn < MAX_NESTING);
    memmove(cx.turn + 1, cx.turn, (size_t)cx.nturn++ * sizeof *cx.turn);
    cx.turn[0] = at;
    set_slices(ev, arg, at);
    Array *result = graph_eval(ev->n->attr.body, &cx, ev->e);
    for (int i = 0; result && i < ev->n->nout; i++) {
        memcpy(result_at(ev, i, at), result[i].at,
               (size_t)type_count(&result[i].type) * sizeof(double));
        if (i < ev->n->attr.scan.carries) arg[i].at = result_at(ev, i, at);
    }
    arena_free(cx.arena);
    return result != NULL;
}

bool eval_scan(Eval *ev) {
    int64_t length = ev->in[ev->n->attr.scan.carries].type.dim[0];
    Array *arg = arena_memdup(ev->cx->arena, ev->in, (size_t)ev->n->nin * sizeof *ev->in);
    for (int64_t t = 0; t < length; t++)
        if (!one_turn(ev, arg, ev->n->attr.scan.reverse ? length - 1 - t : t)) return false;
    return true;
}
