/* Gather and scatter of rows, and of windows (fold.c),
 * order and running sums (along.c): functions in C with the kernels' ABI, one an operator, by the
 * size of an element. */
#ifndef UPT_TABLE_H
#define UPT_TABLE_H

#include "ir/ir.h"
#include "runtime/abi.h"

/* Sets kernel, sizes and tasks of a step; buffers are the inputs, then the outputs. */
void table_step(const Graph *g, const Node *n, RtStep *step, Arena *a);
void along_step(const Graph *g, const Node *n, RtStep *step, Arena *a);  /* argtop, cumsum */
void fold_step(const Graph *g, const Node *n, RtStep *step, Arena *a);

#endif
