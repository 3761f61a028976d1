/* Gather and scatter of rows: functions in C with the kernels' ABI, one an operator, by the size of
 * an element. */
#ifndef UPT_TABLE_H
#define UPT_TABLE_H

#include "ir/ir.h"
#include "runtime/abi.h"

/* Sets kernel, sizes and tasks of a step for take, put, put_add or compact; buffers are the inputs,
 * then the outputs. */
void table_step(const Graph *g, const Node *n, RtStep *step, Arena *a);

#endif
