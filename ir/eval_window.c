/* Windows: unfold and fold. Both go through all places of all windows; x stands beside the
 * elements, y beside the windows. */
#include "ir/eval.h"

/* How the places of windows lie: axes of the windows, then of the places, of y. */
typedef struct Windows {
    const Attr *attr;
    Walk walk;            /* through y */
    int64_t stride[RANK]; /* of x */
    int xrank;
} Windows;

static Windows windows_of(const Attr *attr, const Type *x, const Type *y) {
    Windows w = {.attr = attr, .walk = walk_new(y)};
    strides_of(x, w.stride);
    w.xrank = x->rank;
    return w;
}

/* The element of x that the walk stands at. */
static int64_t element_at(const Windows *w) {
    int axis = w->attr->window.axis, n = w->attr->window.rank;
    int64_t offset = 0;
    for (int i = 0; i < axis; i++) offset += w->walk.at[i] * w->stride[i];
    for (int i = 0; i < n; i++) {
        int64_t at = w->walk.at[axis + i] * w->attr->window.step[i] +
                     w->walk.at[axis + n + i] * w->attr->window.dilate[i];
        offset += at * w->stride[axis + i];
    }
    for (int i = axis + n; i < w->xrank; i++) offset += w->walk.at[i + n] * w->stride[i];
    return offset;
}

bool eval_unfold(Eval *ev) {
    const Type *y = &ev->n->type[0];
    Windows w = windows_of(&ev->n->attr, &ev->in[0].type, y);
    for (int64_t i = 0, n = type_count(y); i < n; i++, walk_next(&w.walk))
        ev->out[0].at[i] = ev->in[0].at[element_at(&w)];
    return true;
}

bool eval_fold(Eval *ev) {
    const Type *y = &ev->in[0].type;
    Windows w = windows_of(&ev->n->attr, &ev->n->type[0], y);
    for (int64_t i = 0, n = type_count(y); i < n; i++, walk_next(&w.walk))
        ev->out[0].at[element_at(&w)] += ev->in[0].at[i];
    return true;
}
