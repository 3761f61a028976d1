/* Order and running sums along an axis: argtop and cumsum. */
#include "ir/eval.h"

#include <math.h>
#include <stdlib.h>

typedef struct Placed {
    double value;
    int64_t at;
} Placed;

/* The larger first, and NaN before all; of equals the first. */
static int compare_placed(const void *x, const void *y) {
    const Placed *a = x, *b = y;
    bool first = a->value > b->value || (isnan(a->value) && !isnan(b->value)),
         second = b->value > a->value || (isnan(b->value) && !isnan(a->value));
    return first != second ? second - first : (a->at > b->at) - (a->at < b->at);
}

bool eval_argtop(Eval *ev) {
    const Type *t = &ev->in[0].type;
    int64_t n = t->dim[t->rank - 1], k = ev->n->attr.count;
    Placed *row = NEW_N(ev->cx->arena, Placed, n);
    for (int64_t lead = 0; lead < type_count(t) / n; lead++) {
        for (int64_t i = 0; i < n; i++) row[i] = (Placed){ev->in[0].at[lead * n + i], i};
        qsort(row, (size_t)n, sizeof *row, compare_placed);
        for (int64_t i = 0; i < k; i++) ev->out[0].at[lead * k + i] = (double)row[i].at;
    }
    return true;
}

bool eval_cumsum(Eval *ev) {
    const Type *t = &ev->in[0].type;
    int64_t stride[RANK], n = t->dim[ev->n->attr.axis];
    strides_of(t, stride);
    int64_t step = stride[ev->n->attr.axis];
    for (int64_t i = 0; i < type_count(t); i++)
        ev->out[0].at[i] = ev->in[0].at[i] + (i / step % n == 0 ? 0 : ev->out[0].at[i - step]);
    return true;
}
