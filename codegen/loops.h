/* The loops of one kernel as LLVM IR: see kernel.h for their shape. */
#ifndef UPT_LOOPS_H
#define UPT_LOOPS_H

#include "codegen/compile.h"
#include "codegen/kernel.h"

/* The kernel function `e->name`. `of` is the Kernel. */
void loops_emit(Emit *e, const void *of, Arena *a);
static inline Source loops_source(const Kernel *k) {
    return (Source){k->key.data, loops_emit, k};
}

#endif
