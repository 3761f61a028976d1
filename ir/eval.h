/* Inside the interpreter: eval.c walks graphs and keeps values alive, eval_map.c has the operators
 * that compute each element for itself, eval_data.c those that move, reduce, multiply, look up. */
#ifndef UPT_IR_EVAL_H
#define UPT_IR_EVAL_H

#include "ir/internal.h"

/* One operator at work. Results are allocated and zero, and rounded to their types afterwards. */
typedef struct Eval {
    const Node *n;
    const Array *in;
    Array *out;
    const EvalCx *cx;
    Err *e;
} Eval;
typedef bool EvalFn(Eval *ev);

/* Steps through the elements of a shape in order, keeping an offset into each of a few arrays. */
enum { WALK_MAX = 4 };
typedef struct Walk {
    int rank, n; /* axes, arrays */
    int64_t dim[RANK], at[RANK];
    int64_t stride[WALK_MAX][RANK], offset[WALK_MAX];
} Walk;
Walk walk_new(const Type *over);
/* Adds an array so shaped, aligned at the last axis. */
void walk_broadcast(Walk *w, const Type *t);
void walk_add(Walk *w, const int64_t *stride); /* adds an array with a stride for each axis */
void walk_next(Walk *w);

int64_t int_of(double v); /* truncated, kept within the range of i64; NaN is 0 */
double int_wrap(DType t, int64_t v);
/* Names the operator and its place; returns false. */
bool eval_fail(Eval *ev, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define OP(name, ...) EvalFn eval_##name;
#include "ir/ops.def"
#undef OP

#endif
