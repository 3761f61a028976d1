/* Inside the executor: steps bound to memory, and waves of steps that do not touch each other's
 * results, whose tasks the pool does together. */
#ifndef UPT_WAVE_H
#define UPT_WAVE_H

#include "runtime/gemm.h"
#include "runtime/runtime.h"

typedef struct BoundStep {
    const RtStep *step;
    RtCall call;   /* RT_KERNEL; its buffers are those of every kind */
    GemmJob gemm;  /* RT_GEMM, RT_PACK */
    PackJob pack;  /* RT_PACK */
    int64_t bytes; /* RT_COPY */
    int64_t tasks;
    double cost; /* of a task, as in RtStep */
} BoundStep;

typedef struct Wave {
    const BoundStep *step;
    int n;
    int64_t *end; /* by step: tasks of the wave up to its last */
    double cost;  /* of all */
} Wave;

/* Fills in how the step is done, its buffers being known. */
void step_bind(BoundStep *b, const RtPlan *plan, int threads);
/* Consecutive steps of a plan as waves; their number. */
int waves_cut(Arena *a, const RtPlan *plan, const BoundStep *step, Wave **out);
void wave_run(const Wave *w, Pool *pool);
void step_run(const BoundStep *b, Pool *pool); /* a wave of one */

#endif
