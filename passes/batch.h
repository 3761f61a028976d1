/* Inside the passes: the batch in a graph. What whole_set and micro ask to take an entry apart into
 * what is done for a part of the samples and what is done once. */
#ifndef UPT_BATCH_H
#define UPT_BATCH_H

#include "passes/internal.h"

/* When a value is known: at any time, with each part of the samples, or only after all of them. */
typedef enum Known { KNOWN_always, KNOWN_batch, KNOWN_set } Known;

bool batch_leaf(const Node *n); /* a leaf that belongs to the samples */
bool batch_reduction(Op op);    /* sum, max, min */
/* The axis of input `i` that this node contracts, if it is the batch's; else -1. */
int batch_contracted(const Graph *g, const Node *n, int i);
bool batch_reduces(const Graph *g, const Node *n); /* a reduction or a product over the batch */
double batch_identity(Op op, DType t);             /* of a reduction: what no sample at all gives */
Op batch_combiner(Op op, DType t);                 /* of two of its results */

/* Where the entry's own file comes to use node `i`, which may lie in a library. */
Span batch_used_at(const Graph *g, const bool *reached, uint32_t file, uint32_t i);
bool span_same(Span a, Span b);

#endif
