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
static bool window_steps(Call *c, Attr *a, int64_t *pad) {
    int n = a->window.rank;
    return call_sizes(c, 2, n, 1, 1, a->window.step) && call_sizes(c, 3, n, 0, 0, pad) &&
           call_sizes(c, 4, n, 1, 1, a->window.dilate);
}

/* How far the elements of a window reach along axis `i`. */
static int64_t window_reach(const Attr *a, int i) {
    return a->window.dilate[i] * (a->window.size[i] - 1) + 1;
}

/* With zeros on both sides of the windowed dimensions. */
static TVal padded(Call *c, const TVal *x, const Attr *window, const int64_t *pad) {
    Attr a = {.pad = {.rank = x->type.rank}};
    bool any = false;
    for (int i = 0; i < window->window.rank; i++) {
        any |= pad[i] > 0;
        a.pad.lo[window->window.axis + i] = a.pad.hi[window->window.axis + i] = pad[i];
    }
    return any ? tensor_add(c->cx, OP_pad, &a, x, 1, NULL, c->at) : *x;
}

bool run_unfold(Call *c, Val *out) {
    TVal x;
    Attr a = {0};
    int64_t pad[RANK];
    if (!call_tensor(c, 0, &x) || !call_float(c, &x) || !window_axes(c, &x, &a) ||
        !call_sizes(c, 1, a.window.rank, 1, 1, a.window.size) || !window_steps(c, &a, pad))
        return false;
    int axis = a.window.axis, n = a.window.rank;
    if (x.type.rank + n > RANK)
        return report_error(c->cx, c->at, "%s with %d more dimensions has more than %d",
                            tval_describe(c->cx, &x), n, RANK);
    for (int i = 0; i < n; i++) {
        int64_t wide = x.type.dim[axis + i] + 2 * pad[i], window = window_reach(&a, i);
        if (window > wide)
            return report_error(c->cx, c->at, "a window of %lld is wider than %s with its padding",
                                (long long)window, axis_text(c->cx, &x, axis + i));
        a.window.dim[i] = (wide - window) / a.window.step[i] + 1;
    }
    TVal wide = padded(c, &x, &a, pad);
    if (!tensor_ok(&wide)) return false;
    TVal t = tensor_add(c->cx, OP_unfold, &a, &wide, 1, NULL, c->at);
    for (int i = 0; tensor_ok(&t) && i < x.type.rank; i++) {
        if (i < axis) t.name[i] = x.name[i];
        if (i >= axis + n) t.name[i + n] = x.name[i];
    }
    return call_return(&t, out);
}

/* Windows reach as far as they do; what is asked for is cut out of that. */
bool run_fold(Call *c, Val *out) {
    TVal y;
    Attr a = {0};
    int64_t pad[RANK], dim[RANK];
    if (!call_tensor(c, 0, &y) || !call_float(c, &y) || !window_axes(c, &y, &a) ||
        !call_sizes(c, 1, a.window.rank, 1, 1, dim) || !window_steps(c, &a, pad))
        return false;
    int axis = a.window.axis, n = a.window.rank;
    if (axis + 2 * n > y.type.rank)
        return report_error(c->cx, c->at,
                            "fold takes windows and behind them as many dimensions of places, and "
                            "%s has too few",
                            tval_describe(c->cx, &y));
    for (int i = 0; i < n; i++) {
        a.window.size[i] = y.type.dim[axis + n + i];
        int64_t reach = (y.type.dim[axis + i] - 1) * a.window.step[i] + window_reach(&a, i);
        a.window.dim[i] = dim[i] + pad[i] > reach ? dim[i] + pad[i] : reach;
    }
    TVal t = tensor_add(c->cx, OP_fold, &a, &y, 1, NULL, c->at);
    for (int i = 0; tensor_ok(&t) && i < n; i++)
        if (t.type.dim[axis + i] != dim[i])
            t = tensor_cut(c->cx, &t, axis + i, pad[i], 1, dim[i], c->at);
    for (int i = 0; tensor_ok(&t) && i < y.type.rank; i++) {
        if (i < axis) t.name[i] = y.name[i];
        if (i >= axis + 2 * n) t.name[i - n] = y.name[i];
    }
    return call_return(&t, out);
}
