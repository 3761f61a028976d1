/* Loops that measure the processor that code is made for, and what LLVM calls it. */
#ifndef UPT_PROBE_H
#define UPT_PROBE_H

#include "runtime/abi.h"

typedef struct Probe Probe;
Probe *probe_new(Arena *a, Err *e);
void probe_free(Probe *p); /* its loops must not run any more */
RtProbeFn *probe_loop(Probe *p, RtProbe which, Err *e);
const char *probe_cpu(const Probe *p); /* LLVM's name: "znver4" */
const char *probe_features(const Probe *p);

#endif
