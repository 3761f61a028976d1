/* Inside the expression side of elaboration: what its files share (elab.h lists them). All
 * functions that can fail return false after reporting. */
#ifndef UPT_EXPR_H
#define UPT_EXPR_H

#include "frontend/elab.h"

/* ---- value.c */
bool val_is_number(const Val *v);
bool val_is_tensor(const Val *v); /* VAL_tensor, VAL_param, VAL_empty */
bool val_is_tree(const Val *v);   /* VAL_tree or VAL_instance */
double val_double(const Val *v);  /* of a number */
/* A compile-time scalar as strings show it; NULL: it has no text. */
const char *val_text(Elab *cx, const Val *v);
const char *number_text(Elab *cx, double f);             /* the shortest that reads back the same */
const char *dim_text(Elab *cx, const TVal *t, int axis); /* "d = 768" or "768" */
const char *shape_text(Elab *cx, const TVal *t);         /* "[B, T, d]" */
const char *axis_text(Elab *cx, const TVal *t, int axis); /* "T = 128 of [B, T]" */
/* Where an operand was declared, unless it stands inside `whole`; of two, the right one or else the
 * left. */
bool note_origin(Elab *cx, const Val *v, Span whole);
void note_sides(Elab *cx, const Val *a, const Val *b, Span whole);
Val dim_value(const TVal *t, int axis);

/* ---- number.c: arithmetic of the compile-time phase */
bool number_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span at, Val *out);
bool number_negate(Elab *cx, const Val *a, Span at, Val *out);
bool number_unary(Elab *cx, Op op, const Val *a, Span at, Val *out); /* exp, sqrt, floor, ... */
bool number_integer(Elab *cx, double f, const char *what, Span at, Val *out);

/* ---- tensor.c */
bool tensor_ok(const TVal *t);
/* Tensors as they are, numbers as f32, true and false as bool. */
bool tensor_of(Elab *cx, const Val *v, Span at, TVal *out);
TVal tensor_const(Elab *cx, const Type *t, double v, Span at);
bool tensor_unary(Elab *cx, Op op, const TVal *x, Span at, TVal *out);

/* "cannot <verb> [B, T]<joiner>[T, d]"; swap: the second operand is named first. */
typedef struct Phrase {
    const char *verb, *joiner;
    bool swap;
} Phrase;
enum Takes { TAKES_any, TAKES_numbers, TAKES_floats, TAKES_bools };
/* One pointwise operator on values: literals take the tensors' dtype, reductions are aligned as
 * they remember, shapes broadcast. */
bool tensor_pointwise(Elab *cx, Op op, const Val *v, int n, enum Takes takes, const Phrase *say,
                      Span at, TVal *out);
/* Which of two that do not mix to convert; returns false. */
bool hint_cast(Elab *cx, DType a, DType b);
bool tensor_takes(Elab *cx, const TVal *t, enum Takes takes, const char *who, Span at);
TVal tensor_cast(Elab *cx, const TVal *x, DType to, Span at);
/* The result is unnamed and remembers no reduction. */
TVal tensor_reshape(Elab *cx, const TVal *x, int rank, const int64_t *dim, Span at);
TVal tensor_expand(Elab *cx, const TVal *x, const TVal *shape, Span at);
TVal tensor_permute(Elab *cx, const TVal *x, const int *perm, Span at);
/* `size` elements along one axis. */
TVal tensor_cut(Elab *cx, const TVal *x, int axis, int64_t start, int64_t step, int64_t size,
                Span at);
TVal tensor_join(Elab *cx, const TVal *part, int n, int axis, Span at);
TVal tensor_insert_axis(Elab *cx, const TVal *x, int axis, Span at); /* of size 1 */
TVal tensor_reduce(Elab *cx, Op op, const TVal *x, uint32_t axes, bool keep, Span at);
bool tree_of(Elab *cx, const Val *v, Span at, Tree *out);
bool tree_unary(Elab *cx, Op op, const Val *a, Span at, Val *out);

/* ---- einsum.c, rearrange.c: products and patterns */
bool tensor_matmul(Elab *cx, const Val *a, const Val *b, Span op_span, Span at, Val *out);
bool eval_einsum(Elab *cx, Scope *s, const Expr *e, Val *out);
bool eval_rearrange(Elab *cx, Scope *s, const Expr *e, Val *out);

typedef struct PatternAxis { /* one axis of a pattern: its labels; none for 1 */
    const char *label[RANK];
    int n;
    Span span;
} PatternAxis;
typedef struct Pattern {
    PatternAxis axis[RANK];
    int n;
} Pattern;
/* Reads a pattern; `...` becomes labels "...0", "...1" for the `leading` axes it stands for. Groups
 * only where `groups`. */
bool pattern_read(Elab *cx, const Exprs *at, int leading, bool groups, Span span, Pattern *out);
bool pattern_operand(Elab *cx, Scope *s, const Expr *e, const char *what, bool groups, TVal *t,
                     Pattern *p);
bool pattern_label_hidden(const char *label); /* came from `...` */

/* ---- index.c */
bool eval_index(Elab *cx, Scope *s, const Expr *e, Val *out);

/* ---- over */
typedef struct Over { /* what stands after `over`: expressions with their scope */
    const Exprs *expr;
    Scope *scope;
    Span span;
} Over;
typedef struct Axes {
    int at[RANK];
    int n;
} Axes;
bool over_resolve(Elab *cx, const Over *o, const TVal *t, Axes *out);

/* ---- builtin.c: the table, and calls of what is in it */
enum { BUILTIN_ARGS = 6 };
typedef struct Call { /* of a builtin, its arguments in the order of its parameters */
    Elab *cx;
    Scope *scope;
    const Builtin *b;
    Val arg[BUILTIN_ARGS];
    bool given[BUILTIN_ARGS];
    Span arg_span[BUILTIN_ARGS];
    const Over *over; /* NULL: none */
    Span at;
} Call;
typedef bool BuiltinFn(Call *c, Val *out);
typedef enum OverKind { OVER_never, OVER_may, OVER_must } OverKind;
struct Builtin {
    const char *name;
    const char *params; /* "x, keep?" */
    OverKind over;
    BuiltinFn *run;
    Op op; /* OP_COUNT where it has no single operator */
};
bool builtin_apply(Elab *cx, Scope *s, const Builtin *b, const CallArg *arg, int narg,
                   const Over *over, Span at, Val *out);
bool call_tensor(Call *c, int i, TVal *out); /* argument i as a tensor */
bool call_int(Call *c, int i, int64_t *out);
bool call_flag(Call *c, int i, bool otherwise, bool *out);
bool call_axis(Call *c, const TVal *t, int *axis); /* the one axis after `over` */
bool call_shape(Call *c, int i, TVal *out);
bool call_float(Call *c, const TVal *t);   /* else an error: takes floats */
bool call_return(const TVal *t, Val *out); /* false where `t` could not be made */
const char *call_arg_name(const Call *c, int i);

#define BUILTIN(name, params, over, run, op) BuiltinFn run;
#include "frontend/builtins.def"
#undef BUILTIN
#endif
