/* What profiles and messages say of a step: what it moves and computes, which lines of source asked
 * for it, and a name that a person understands. Nothing that runs depends on it. */
#ifndef UPT_FACTS_H
#define UPT_FACTS_H

#include "codegen/build.h"

/* Names the steps that were made for a node, from number `first` and `before` on, with its lines
 * and its phase. */
void facts_node(Build *b, uint32_t node, size_t first, size_t before);
/* A copy of state when all is done; `to` NULL: of a value that outlives its tensor. */
void facts_copy(Build *b, const Tensor *to, RtStep *step);

#endif
