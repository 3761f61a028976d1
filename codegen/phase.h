/* Which part of a training step computes what. A graph says it by its outputs and by the calls that
 * its places went through; fusion may put operators of several parts in one group. */
#ifndef UPT_PHASE_H
#define UPT_PHASE_H

#include "ir/ir.h"
#include "runtime/abi.h"

typedef struct Phases {
    RtPhase *node; /* by node: of most of its work */
    uint8_t **op;  /* by node, of a group: the RtPhase of each operator of its body; else NULL */
} Phases;
Phases phases_of(Arena *a, const Program *p, const Graph *g);

#endif
