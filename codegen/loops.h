/* The loops of one kernel as LLVM IR: see kernel.h for their shape. */
#ifndef UPT_LOOPS_H
#define UPT_LOOPS_H

#include "codegen/emit.h"
#include "codegen/kernel.h"

/* Fills the function of `e`. */
void loops_emit(Emit *e, const Kernel *k, Arena *a);

#endif
