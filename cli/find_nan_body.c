/* The operator in a fused group that made a number which is none: the group is interpreted on what
 * it read, every value is looked at, and the operator and its inputs are shown as numbers. */
#include <math.h>
#include <string.h>

#include "cli/find_nan.h"

/* ---- looking */

static Look look_at(const Array *x) {
    Look l = {.type = x->type, .least = INFINITY, .most = -INFINITY, .first = -1};
    for (int64_t i = 0; i < type_count(&x->type); i++) {
        double v = x->at[i];
        if (isfinite(v)) {
            l.least = v < l.least ? v : l.least;
            l.most = v > l.most ? v : l.most;
            continue;
        }
        l.has |= isnan(v) ? HAS_NAN : HAS_INFINITY;
        if (l.bad++ == 0) l.first = i, l.value = v;
    }
    return l;
}

/* The element of a broadcast input behind element `at` of the result. */
static int64_t element_behind(const Type *in, const Type *out, int64_t at) {
    int64_t offset = 0, stride = 1;
    for (int i = 1; i <= out->rank; i++) {
        int64_t place = at % out->dim[out->rank - i];
        at /= out->dim[out->rank - i];
        if (i > in->rank) continue;
        int64_t size = in->dim[in->rank - i];
        if (size > 1) offset += place * stride;
        stride *= size;
    }
    return offset;
}

Culprit culprit_of(const Node *n, const Array *in, const Array *out) {
    Culprit c = {.n = n, .nin = n->nin < LOOKS ? n->nin : LOOKS, .out = look_at(out)};
    bool pointwise = op_info[n->op].lower == LOWER_MAP;
    for (int i = 0; i < c.nin; i++) {
        c.in[i] = look_at(&in[i]);
        if (!pointwise || c.out.first < 0) continue;
        c.in[i].has_there = true;
        c.in[i].there = in[i].at[element_behind(&in[i].type, &out->type, c.out.first)];
    }
    return c;
}

/* ---- interpreting */

typedef struct Watch {
    const Graph *body;
    Arena *arena;
    uint8_t *has;    /* by node */
    Culprit **maker; /* by node: it made a kind that its inputs lack; else NULL */
} Watch;

static void watch(void *cx, uint32_t at, const Array *in, const Array *out) {
    Watch *w = cx;
    const Node *n = w->body->node[at];
    unsigned inputs = 0;
    if (n->nout != 1) return;
    w->has[at] = dtype_is_float(out->type.dtype) ? (uint8_t)look_at(out).has : 0;
    for (int i = 0; i < n->nin; i++) inputs |= w->has[n->in[i].node];
    if (!(w->has[at] & ~inputs)) return;
    w->maker[at] = NEW(w->arena, Culprit);
    *w->maker[at] = culprit_of(n, in, out);
}

bool find_in_body(const Graph *body, const EvalCx *with, unsigned kind, Culprit *out,
                  bool *made_of_constants) {
    Watch w = {.body = body, .arena = with->arena};
    w.has = NEW_N(w.arena, uint8_t, body->n + 1);
    w.maker = NEW_N(w.arena, Culprit *, body->n + 1);
    bool *wanted = NEW_N(w.arena, bool, body->n + 1);
    EvalCx cx = *with;
    cx.watch = watch;
    cx.watch_cx = &w;
    Err too_large = {0};
    if (!graph_eval(body, &cx, &too_large)) return false;
    for (size_t i = 0; i < body->nout; i++)
        if (w.has[body->out[i].ref.node] & kind) wanted[body->out[i].ref.node] = true;
    int64_t at = find_origin(body, NULL, w.has, kind, wanted);
    *made_of_constants = at >= 0 && body->node[at]->op == OP_const;
    if (at < 0 || !w.maker[at] || body->node[at]->nin == 0) return false;
    *out = *w.maker[at];
    out->op = (uint32_t)at;
    return true;
}

/* ---- telling */

static const char *number_name(double v) {
    return isnan(v) ? "NaN" : v > 0 ? "infinity" : "-infinity";
}

static void put_number(Buf *b, double v) {
    if (isfinite(v))
        buf_printf(b, "%.6g", v);
    else
        buf_puts(b, number_name(v));
}

static void put_place(Buf *b, const Type *t, int64_t at) {
    int64_t index[RANK];
    for (int i = t->rank; i-- > 0; at /= t->dim[i]) index[i] = at % t->dim[i];
    for (int i = 0; i < t->rank; i++) buf_printf(b, "%s%lld", i ? ", " : "[", (long long)index[i]);
    if (t->rank) buf_puts(b, "]");
}

static void note_result(Diag *d, const Look *l) {
    Buf b = {0};
    buf_puts(&b, "its result, ");
    type_print(&b, &l->type);
    int64_t all = type_count(&l->type);
    if (all > 1) {
        buf_printf(&b, ", has %lld of %lld elements that are not finite, the first at ",
                   (long long)l->bad, (long long)all);
        put_place(&b, &l->type, l->first);
    } else {
        buf_printf(&b, ", is %s", number_name(l->value));
    }
    diag_note(d, (Span){0}, "%s", b.data);
    buf_free(&b);
}

static void note_input(Diag *d, const Culprit *c, int i) {
    const Look *l = &c->in[i];
    Buf b = {0};
    buf_printf(&b, c->nin > 1 ? "input %d, " : "its input, ", i + 1);
    type_print(&b, &l->type);
    if (type_count(&l->type) == 1) {
        buf_puts(&b, ", is ");
        put_number(&b, l->least <= l->most ? l->least : l->value);
    } else if (l->least == l->most && !l->has) {
        buf_printf(&b, ", is %.6g everywhere", l->least);
    } else if (l->least <= l->most) {
        buf_printf(&b, ", lies between %.6g and %.6g", l->least, l->most);
    } else {
        buf_puts(&b, ", has no finite element");
    }
    if (l->has && l->least <= l->most)
        buf_printf(&b, " but for %lld that are not finite", (long long)l->bad);
    if (l->has_there && type_count(&l->type) > 1 && (l->has || l->least != l->most)) {
        buf_puts(&b, "; there it is ");
        put_number(&b, l->there);
    }
    diag_note(d, (Span){0}, "%s", b.data);
    buf_free(&b);
}

static double largest_input(const Culprit *c) {
    double most = 0;
    for (int i = 0; i < c->nin; i++) {
        const Look *l = &c->in[i];
        if (l->least > l->most) continue;
        most = fmax(most, fmax(fabs(l->least), fabs(l->most)));
    }
    return most;
}

/* What mostly helps. Numbers beyond any that training needs come from steps that are too large. */
static void hint(Diag *d, const Culprit *c) {
    static const double enormous = 1e15;
    if (largest_input(c) > enormous) {
        diag_hint(
            d,
            "numbers this large come of steps that are too large: a lower rate, a longer warm-up, "
            "or clip = 1.0 in minimize");
        return;
    }
    switch (c->n->op) {
    case OP_log:
    case OP_log1p:
        diag_hint(d, "the logarithm of 0: log(maximum(x, 1e-6)), or for probabilities log_softmax");
        break;
    case OP_div:
    case OP_rsqrt:
        diag_hint(
            d, "a division by 0: add a small number to the divisor, or choose with where() before "
               "dividing");
        break;
    case OP_sqrt: diag_hint(d, "the root of a negative number: sqrt(maximum(x, 0))"); break;
    case OP_exp:
        diag_hint(d, "exp is infinite above 88.7: subtract the largest first, as softmax does");
        break;
    case OP_pow: diag_hint(d, "a negative number to a broken power, or 0 to a negative one"); break;
    default: break;
    }
}

static const char *phase_words(const Culprit *c) {
    return c->phase == RT_PHASE_update     ? ", in the update"
           : c->phase == RT_PHASE_backward ? ", in the gradient of this line"
                                           : "";
}

void tell_culprit(Diag *d, const Culprit *c, const Culprit *then, const char *step,
                  const char *last_good) {
    diag_error(d, c->n->span, "%s made %s out of %s numbers at %s%s; %s", op_info[c->n->op].name,
               number_name(c->out.value), c->of_infinite ? "infinite" : "finite", step,
               phase_words(c), last_good);
    note_result(d, &c->out);
    for (int i = 0; i < c->nin; i++) note_input(d, c, i);
    diag_note_calls(d, c->n->span);
    if (then)
        diag_note(d, then->n->span, "%s made NaN of it here%s", op_info[then->n->op].name,
                  phase_words(then));
    hint(d, c);
}
