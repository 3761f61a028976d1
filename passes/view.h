/* Views as strides: how a value that is reshaped, broadcast, transposed or sliced is read from where it lies, without
 * moving anything. Fusion asks whether it can be; code generation loads through it. */
#ifndef UPT_VIEW_H
#define UPT_VIEW_H

#include "ir/ir.h"

typedef struct View {
    Ref base;   /* what lies in memory, or has an index: not a view itself, or a view that strides cannot express */
    int rank;
    int64_t offset, dim[RANK], stride[RANK]; /* in elements of base; for iota, of its axis */
} View;
/* Reads `r` through the views above its base; the chain ends early at a view that strides cannot express. */
View view_of(const Graph *g, Ref r);
/* One view more on top of `v`; false, and `v` as it was, when strides cannot express it. */
bool view_apply(View *v, const Node *n);
bool view_is_contiguous(const View *v);

#endif
