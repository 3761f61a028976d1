/* Inside codegen: a plan being made of a graph. Kernels are collected first and compiled together.
 */
#ifndef UPT_BUILD_H
#define UPT_BUILD_H

#include "codegen/codegen.h"
#include "codegen/kernel.h"
#include "codegen/phase.h"
#include "codegen/rows.h"
#include "ir/facts.h"

typedef struct Pending { /* a step that waits for its function */
    RtPlan *plan;
    int step;
    Kernel *kernel; /* one of these two */
    const RowsForm *rows;
    int times, apart; /* so many steps have it, this far from each other */
    bool borrowed;    /* the kernel is another's, who frees it */
    int loops;        /* around the step, whose turns are written out */
} Pending;
typedef VEC(Pending) PendingList;

typedef struct Moving { /* a buffer that is in another place each turn of the loop */
    int32_t buffer;
    PlanPlace where; /* PLAN_ARG, PLAN_RESULT */
    int index;
} Moving;

typedef struct Build {
    Arena *arena;
    const Program *program;
    const Graph *g;
    const Plan *plan;
    RtPlan *out;
    VEC(RtBuffer) buffer;
    VEC(RtStep) step, before; /* before: of a loop's body, what is done once, before all turns */
    int32_t *value;           /* buffer of a plan's value, -1: none yet */
    const int32_t *field;     /* the entry's number of a plan's field */
    int node;                 /* at hand, */
    VEC(PlanBuffer) scratch;  /* and what it has taken of the arena beside the plan's buffers */
    int64_t arena_bytes;
    PendingList *pending;
    const RtTiles *tiles; /* of each TileKind, that products will be made with */
    const Node *loop;     /* whose body this is, with its turns; NULL: of none */
    int64_t turns;
    VEC(Moving) moving;   /* in a loop's body */
    VEC(int32_t) lasting; /* buffers there that all turns share, beyond what else there is */
    Phases phases;
    const char *label; /* of the node at hand */
    Span span;
    Err *err;
} Build;

int32_t build_value(Build *b, Ref r); /* the buffer of a value */
/* A stretch of a buffer, which moves in a loop as that does. */
int32_t build_stretch(Build *b, int32_t of, int64_t offset, int64_t bytes);
int32_t build_scratch(Build *b, int64_t bytes); /* lives until the node is done */
int32_t build_lasting(Build *b, int64_t bytes); /* of a loop's body: through all turns */
/* The first `nread` buffers are only read. */
RtStep *build_step(Build *b, RtStepKind kind, const int32_t *buf, int nbuf, int nread);
/* The step made last is done once, before all turns. */
void build_before(Build *b);
void build_kernel(Build *b, Kernel *k, const int32_t *buf,
                  Facts facts); /* NULL kernel: the error is already set */
/* Buffers x, w, s where it starts from that, c. */
void build_rows(Build *b, const RowsForm *f, const RowsShape *s, const int32_t *buf, Facts facts);
/* The results of a body, whose `nargs` arguments are the first buffers. */
void build_body(Build *b, const Graph *body, int nargs, const int32_t *buf);
/* One value into another place: strided, of one type; or contiguous, to another type. */
void build_copy(Build *b, DType t, const View *src, int32_t from, const View *dst, int32_t to);
void build_cast(Build *b, DType of, DType as, int32_t from, int32_t to, int64_t count);

void build_node(Build *b, uint32_t at);
int32_t build_buffer(Build *b, const PlanBuffer *p);
void build_dot(Build *b, const Node *n, Ref result);   /* dot.c */
void build_loop(Build *b, uint32_t at, const Node *n); /* loop.c */

#endif
