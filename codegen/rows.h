/* Products of a few rows and a matrix whose rows lie along what is summed, such as those of
 * generating text: c[m,n] = x[m,k] w[n,k]', or s + that. They take as long as reading w does, which
 * is f32, bf16 or i8, widened in registers, and read once for `ROWS_MOST` rows of x. */
#ifndef UPT_ROWS_H
#define UPT_ROWS_H

#include "runtime/abi.h"

enum { ROWS_MOST = 8 };
typedef struct RowsForm { /* what code is made for */
    DType of;             /* elements of w */
    int rows;             /* of x, 1 to ROWS_MOST */
    bool starts;
} RowsForm;
typedef struct RowsShape { /* what a call is given: strides in elements; those along k are 1 */
    int64_t k, n, x_row, w_row, c_row, s_row, s_column;
    int64_t first; /* row of x */
} RowsShape;
struct Source rows_source(Arena *a, const RowsForm *f); /* of codegen/compile.h */
void rows_arguments(RtStep *step, const RowsForm *f, const RowsShape *s, Arena *a);

#endif
