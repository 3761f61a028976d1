/* A loop in the making: a body is written node by node, with inputs and results asked for as they
 * are met, and becomes one `scan` node (ir/loop.c). */
#ifndef UPT_LOOP_H
#define UPT_LOOP_H

#include "ir/ir.h"

typedef enum LoopKind { LOOP_carry, LOOP_slice, LOOP_whole } LoopKind;
typedef struct LoopInput {
    LoopKind kind;
    Ref outer; /* the first carry, all slices along axis 0, or the value itself */
    Ref arg;   /* in the body */
} LoopInput;
typedef struct Loop {
    Arena *scratch;
    Graph *body; /* inputs are numbered as they come */
    bool reverse;
    int totals; /* of the first carries only the last value is a result */
    VEC(LoopInput) input;
    VEC(Ref) result;        /* of the body: of the carries, then others, each once */
    VEC(LoopInput) instead; /* slices that stand for a value `outer` of the body */
} Loop;
Loop loop_new(Arena *scratch, const char *name, bool reverse);
/* What the body sees of a value of graph `g`; `type`: as the body knows a carry, NULL: as it is. */
Ref loop_input(Loop *l, const Graph *g, LoopKind kind, Ref outer, const Type *type);
/* The number of a result: of the carries in their order, then of any value, once for all who ask.
 */
void loop_carry(Loop *l, Ref next);
int loop_result(Loop *l, Ref value);
/* Reads the value of the body from slices that lie outside, in place of computing it. */
void loop_instead(Loop *l, const Graph *g, Ref value, Ref slices);
/* Everything that costs to compute again becomes a result, so that a gradient finds it; what nobody
 * reads falls away later (loops_trim). */
void loop_keep(Loop *l);
/* The node in `g`, whose results are those of the body along axis 0. Inputs that the body does not
 * read are left out. */
Ref loop_finish(Loop *l, Graph *g, Span at);

/* Adds the nodes of a body, of which input n is arg[n]; its results come to lie at `out`. */
void body_inline(Arena *scratch, Graph *to, const Graph *body, const Ref *arg, Ref *out);
LoopKind scan_input_kind(const Node *scan, int i);
int64_t scan_turns(const Graph *g, const Node *scan);
/* As the body has its inputs, NULL: it does not read it. */
const Type **scan_arg_types(Arena *scratch, const Node *scan);

/* The loop as it is, but results beyond its carries that `keep` does not have; `in`: its inputs in
 * `to`, to be added there. map[i]: number of the old result i. */
Ref loop_trim(Graph *to, const Node *scan, const Ref *in, const bool *keep, int *map);

#endif
