/* passes: functions from program to program. Each reads one program and builds another in a new arena; the pipeline is
 * read in one place, passes/pass.c. */
#ifndef UPT_PASSES_H
#define UPT_PASSES_H

#include "ir/ir.h"

typedef struct PassCx {
    Arena *arena; /* of the program to build */
    Diag *diag;   /* the user's errors */
} PassCx;
typedef Program *PassFn(const Program *in, PassCx *cx); /* NULL: already reported */

typedef struct Pass {
    const char *name, *what;
    unsigned needs, gives; /* STAGE_* */
    PassFn *run;
} Pass;
extern const Pass pass_table[];
extern const size_t pass_count;

typedef struct PassOptions {
    bool check_each;   /* verify, print, parse, print again; interpret before and after where small enough */
    bool time;         /* report where the time went on stderr */
    const char *until; /* stop after this pass; NULL: all */
} PassOptions;
/* The standard pipeline, or the named passes in order. NULL: reported to `d`. */
Program *passes_run(Program *p, Diag *d, const PassOptions *o);
Program *passes_run_named(Program *p, Diag *d, const char *const *name, size_t n, const PassOptions *o);

/* Autodiff's sweep, for tests: cotangents of `y` (a scalar, seeded with one) for each x, built in g. */
bool vjp_sweep(Graph *g, Ref y, const Ref *x, int nx, Ref *dx, Diag *d);

/* ---- the memory plan of one graph (passes/plan.c): which value lives where. */
typedef struct Live { int first, last; } Live; /* numbers of the nodes that define and last read it */
typedef struct PlanBuffer {
    enum { PLAN_ARENA, PLAN_TENSOR, PLAN_FIELD, PLAN_NONE } where; /* NONE: no storage (a constant, an index, a view of another) */
    int index;             /* tensor, or field in order of appearance in Plan.field */
    int64_t offset, bytes;
    Live live;
} PlanBuffer;
typedef struct PlanCopy { int tensor; Ref from; } PlanCopy; /* state whose buffer could not be written in place: copied at the end */
typedef struct Plan {
    const Graph *graph;
    int *first;           /* first[node] + out is the value's number */
    PlanBuffer *buffer;   /* a value's */
    int nvalue;
    const char **field;
    int nfield;
    PlanCopy *copy;
    int ncopy;
    int64_t arena_bytes, lower_bound; /* lower_bound: peak of live bytes */
} Plan;
/* Views (reshape, and other VIEW nodes that move nothing) share their input's buffer. */
Plan *plan_graph(Arena *a, const Program *p, const Graph *g);
void plan_print(Buf *b, const Program *p, const Plan *plan);

#endif
