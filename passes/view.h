/* Views as strides: how a value that is reshaped, broadcast, transposed or sliced is read from
 * where it lies, without moving anything. Fusion asks whether it can be; code generation loads
 * through it. */
#ifndef UPT_VIEW_H
#define UPT_VIEW_H

#include "ir/ir.h"

typedef struct View {
    Ref base; /* what lies in memory or has an index: no view, or one that strides cannot express */
    int rank;
    /* in elements of base; of iota, along its axis; of a part of a random value, of all of that */
    int64_t offset, dim[RANK], stride[RANK];
} View;
/* Reads `r` through the views above its base; the chain ends early at a view that strides cannot
 * express. */
View view_of(const Graph *g, Ref r);
View view_contiguous(int rank, const int64_t *dim); /* row by row, of no base */
/* What strides can express: all views but pad and concat. */
bool view_is_strided(const Node *n);
/* Whether a VIEW node only renames: its bytes are its input's, in the same order. */
bool view_moves_nothing(const Graph *g, const Node *n);
Ref below_names(const Graph *g, Ref r);                   /* the value that such nodes rename */
bool perm_moves_nothing(const Type *in, const int *perm); /* only axes of size 1 change places */

#endif
