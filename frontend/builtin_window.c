/* Builtins on windows along neighbouring dimensions: unfold and fold. Sizes are a number for all of
 * them or a list with one for each. */
#include "frontend/expr.h"

#include <string.h>

/* Argument `i` for `n` dimensions, at least `least` each. */
static bool call_sizes(Call *c, int i, int n, int64_t least, int64_t otherwise, int64_t *out) {
    const Val *v = &c->arg[i];
    const char *what = call_arg_name(c, i);
    bool list = c->given[i] && (v->kind == VAL_list || v->kind == VAL_tuple);
    if (list && v->list.n != n)
        return report_error(c->cx, c->arg_span[i],
                            "%s is a list of %d, and there are %d dimensions", what, v->list.n, n);
    for (int k = 0; k < n; k++) {
        out[k] = otherwise;
        if (c->given[i] &&
            !val_int(c->cx, list ? &v->list.at[k] : v, what, c->arg_span[i], &out[k]))
            return false;
        if (out[k] < least || out[k] > INT32_MAX)
            return report_error(c->cx, c->arg_span[i], "%s is at least %lld, not %lld", what,
                                (long long)least, (long long)out[k]);
    }
    return true;
}

/* The dimensions after `over`, which stand beside each other. */
static bool window_axes(Call *c, const TVal *x, Attr *a) {
    Axes axes;
    if (!over_resolve(c->cx, c->over, x, &axes)) return false;
    for (int i = 1; i < axes.n; i++)
        if (axes.at[i] != axes.at[0] + i)
            return report_error(c->cx, c->over->span,
                                "%s goes over dimensions that stand beside each other, in order",
                                c->b->name);
    if (axes.n < 1 || axes.n > 3)
        return report_error(c->cx, c->over->span, "%s goes over one to three dimensions, not %d",
                            c->b->name, axes.n);
    a->window.axis = axes.at[0];
    a->window.rank = axes.n;
    return true;
}

/* Arguments 2 to 4: stride, pad, dilation. */
static bool window_steps(Call *c, Attr *a) {
    int n = a->window.rank;
    return call_sizes(c, 2, n, 1, 1, a->window.step) && call_sizes(c, 3, n, 0, 0, a->window.lo) &&
           call_sizes(c, 4, n, 1, 1, a->window.dilate);
}

bool run_unfold(Call *c, Val *out) {
    TVal x;
    Attr a = {0};
    if (!call_tensor(c, 0, &x) || !call_float(c, &x) || !window_axes(c, &x, &a) ||
        !call_sizes(c, 1, a.window.rank, 1, 1, a.window.size) || !window_steps(c, &a))
        return false;
    int axis = a.window.axis, n = a.window.rank;
    if (x.type.rank + n > RANK)
        return report_error(c->cx, c->at, "%s with %d more dimensions has more than %d",
                            tval_describe(c->cx, &x), n, RANK);
    for (int i = 0; i < n; i++) {
        int64_t wide = x.type.dim[axis + i] + 2 * a.window.lo[i],
                window = a.window.dilate[i] * (a.window.size[i] - 1) + 1;
        if (window > wide)
            return report_error(c->cx, c->at, "a window of %lld is wider than %s with its padding",
                                (long long)window, axis_text(c->cx, &x, axis + i));
        a.window.dim[i] = (wide - window) / a.window.step[i] + 1;
    }
    TVal t = tensor_add(c->cx, OP_unfold, &a, &x, 1, NULL, c->at);
    for (int i = 0; tensor_ok(&t) && i < x.type.rank; i++) {
        if (i < axis) t.name[i] = x.name[i];
        if (i >= axis + n) t.name[i + n] = x.name[i];
    }
    return call_return(&t, out);
}

bool run_fold(Call *c, Val *out) {
    TVal y;
    Attr a = {0};
    if (!call_tensor(c, 0, &y) || !call_float(c, &y) || !window_axes(c, &y, &a) ||
        !call_sizes(c, 1, a.window.rank, 1, 1, a.window.dim) || !window_steps(c, &a))
        return false;
    int axis = a.window.axis, n = a.window.rank;
    if (axis + 2 * n > y.type.rank)
        return report_error(c->cx, c->at,
                            "fold takes windows and behind them as many dimensions of places, and "
                            "%s has too few",
                            tval_describe(c->cx, &y));
    for (int i = 0; i < n; i++) a.window.size[i] = y.type.dim[axis + n + i];
    TVal t = tensor_add(c->cx, OP_fold, &a, &y, 1, NULL, c->at);
    for (int i = 0; tensor_ok(&t) && i < y.type.rank; i++) {
        if (i < axis) t.name[i] = y.name[i];
        if (i >= axis + 2 * n) t.name[i - n] = y.name[i];
    }
    return call_return(&t, out);
}
