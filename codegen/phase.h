/* Which part of a training step computes what. A graph says it by its outputs and by the calls that
 * its places went through; fusion may put operators of several parts in one group. */
#ifndef UPT_PHASE_H
#define UPT_PHASE_H

#include "ir/ir.h"
#include "runtime/abi.h"

typedef struct Phases {
    RtPhase *node; /* by node: of most of its work */
    RtPhase **op;  /* by node, of a group: by operator of its body; else NULL */
} Phases;
Phases phases_of(Arena *a, const Program *p, const Graph *g);

/* What an operator of a body costs beside others: instructions an element. */
double op_work(const Graph *body, const Node *n);
double op_cost(Op op);

#endif
