/* passes: functions from program to program. Each reads one program and builds another beside it,
 * in the same arena, so that names and spans are shared. The pipeline is read in one place,
 * passes/pass.c. Questions about views, which code generation asks too, are in passes/view.h. */
#ifndef UPT_PASSES_H
#define UPT_PASSES_H

#include "base/times.h"
#include "ir/ir.h"

typedef struct PassCx {
    Arena *arena;  /* of both programs */
    Diag *diag;    /* the user's errors */
    int64_t strip; /* PassOptions */
} PassCx;
typedef Program *PassFn(const Program *in, PassCx *cx); /* NULL: already reported */

typedef struct Pass {
    const char *name, *what;
    unsigned needs, gives; /* STAGE_* */
    bool keeps_meaning;    /* the interpreter finds the same values before and after */
    PassFn *run;
} Pass;
extern const Pass pass_table[];
extern const size_t pass_count;

typedef struct PassOptions {
    bool check_each;   /* rules, text and, where small enough, values (passes/check.c) */
    Times *times;      /* where it went, a stage a pass; NULL: nobody asks */
    const char *until; /* stop after this pass; NULL: all */
    int64_t strip;     /* bytes of a strip of a large value; 0: as suits the machine */
} PassOptions;
/* The standard pipeline, or the named passes in order. NULL: reported to `d`. */
Program *passes_run(Program *p, Diag *d, const PassOptions *o);
Program *passes_run_named(Program *p, Diag *d, const char *const *name, size_t n,
                          const PassOptions *o);

/* Of a fused program what only computes with the parameters of a checkpoint, its matrices in a form
 * that is faster to read: of f32, bf16 or i8 (passes/weights.c). */
Program *weights_program(const Program *program, DType to);

/* ---- the memory plan of one graph (passes/plan.c): which value lives where. */
typedef struct Live { /* numbers of the nodes that define and last read it */
    int first, last;
} Live;
/* PLAN_NONE: no storage; a leaf that only kernels read. ARG, RESULT: of a loop's body, where
 * whoever runs it says. */
typedef enum PlanPlace {
    PLAN_ARENA,
    PLAN_TENSOR,
    PLAN_FIELD,
    PLAN_ARG,
    PLAN_RESULT,
    PLAN_NONE
} PlanPlace;
typedef struct PlanBuffer {
    PlanPlace where;
    int index;             /* tensor, field in order of appearance in Plan.field, arg, result */
    int64_t offset, bytes; /* ARENA: offset, a multiple of 64 */
    Live live;
} PlanBuffer;
/* Done in order after the last node. First old values that must outlive their tensor are saved to
 * the arena (tensor -1), then state whose buffer could not be written in place is copied to it. */
typedef struct PlanCopy {
    int tensor;
    Ref from;
    PlanBuffer source, target;
} PlanCopy;
typedef struct Plan {
    const Graph *graph;
    int *first;         /* first[node] + out is the value's number */
    PlanBuffer *buffer; /* a value's */
    int nvalue;
    const char **field;
    int nfield;
    PlanBuffer *out; /* where output number i of the graph is found when all is done */
    PlanCopy *copy;
    int ncopy;
    int64_t arena_bytes, lower_bound; /* lower_bound: peak of live bytes */
} Plan;
/* Views (reshape, and other VIEW nodes that move nothing) share their input's buffer. */
Plan *plan_graph(Arena *a, const Program *p, const Graph *g);
/* Of a loop's body: its results are written where they are to lie, or copied there at the end. */
Plan *plan_body(Arena *a, const Program *p, const Node *scan);
/* The lowest place in the arena, or behind it, for `bytes` that live while `node` is done, beside
 * what the plan and `taken` have there. */
int64_t plan_room(const Plan *plan, int node, const PlanBuffer *taken, int ntaken, int64_t bytes);
void plan_print(Buf *b, const Program *p, const Plan *plan);
/* The first input of the node whose place the result has too, -1: none. */
int plan_shares(const Plan *plan, uint32_t node, int out);
/* The node that is done when most is live. */
int plan_fullest(Arena *scratch, const Plan *plan);
/* When a result has room in the arena to itself: not as a view, and not yet while it is written
 * over an input. False: never. */
bool plan_takes(const Plan *plan, uint32_t node, int out, Live *when);
/* Whether result `out` of a fused node may be written over input `arg` (passes/inplace.c): an
 * element of it is written only after the last read of the same element. */
bool fused_arg_inplace(Arena *a, const Node *n, int arg, int out);

/* ---- what a program takes of memory while it runs (passes/memory.c), in bytes */
typedef struct Memory {
    int64_t params, optimiser, states; /* tensors; states: queues, averages, sums of an eval */
    int64_t batches;                   /* with those that are made ready ahead */
    int64_t values;                    /* the arena of the largest plan */
} Memory;
Memory memory_of(const Program *p);         /* of a fused one */
Memory memory_of_tensors(const Program *p); /* all but the values */
int64_t memory_total(const Memory *m);
double memory_again(const Program *p); /* what share of a step's operations is done again */
void memory_parts(Buf *b, const Memory *m);
/* "memory: 1.91G of 2.00G: parameters ..." */
void memory_tell(Buf *b, const Program *p, const Memory *m);
void memory_print(Buf *b, const Program *p); /* with the lines of source that take most */

#endif
