/* The interpreter's leaves and pointwise operators: one line each where C has the function.
 * Integers wrap to their type, dividing by zero gives zero, floats follow IEEE 754. */
#include "ir/eval.h"

#include <math.h>
#include <string.h>

/* ---- leaves */

/* A value from outside has the type that the graph says. */
static bool copy_in(Eval *ev, const Array *from, const char *what) {
    const Type *want = &ev->n->type[0];
    if (!from || !from->at) return eval_fail(ev, "no value was given for %s", what);
    if (from->type.dtype != want->dtype || !type_same_shape(&from->type, want))
        return eval_fail(ev, "%s is %s, not %s", what, type_text(want).s, type_text(&from->type).s);
    memcpy(ev->out[0].at, from->at, (size_t)type_count(want) * sizeof *from->at);
    return true;
}

bool eval_state(Eval *ev) {
    const Program *p = ev->cx->program;
    const Array *state = ev->cx->state;
    int i = ev->n->attr.tensor;
    bool known = state && i >= 0 && (!p || (size_t)i < p->ntensor);
    return copy_in(ev, known ? &state[i] : NULL, "a persistent tensor");
}

bool eval_field(Eval *ev) {
    for (int i = 0; i < ev->cx->nfield; i++)
        if (str_eq(ev->cx->field_name[i], ev->n->attr.name))
            return copy_in(ev, &ev->cx->field[i], ev->n->attr.name);
    return copy_in(ev, NULL, ev->n->attr.name);
}

bool eval_arg(Eval *ev) {
    const Array *args = ev->cx->args;
    return copy_in(ev, args ? &args[ev->n->attr.count] : NULL, "an input of a body");
}

static bool fill(Eval *ev, double v) {
    for (int64_t i = type_count(&ev->n->type[0]); i-- > 0;) ev->out[0].at[i] = v;
    return true;
}

bool eval_step(Eval *ev) {
    return fill(ev, ev->cx->step);
}
bool eval_steps(Eval *ev) {
    return fill(ev, ev->cx->steps);
}
bool eval_const(Eval *ev) {
    return fill(ev, ev->n->attr.num);
}

bool eval_live(Eval *ev) {
    for (int64_t i = 0; i < ev->n->type[0].dim[0]; i++)
        ev->out[0].at[i] = ev->cx->live < 0 || i < ev->cx->live;
    return true;
}

/* In a piece of a batch, what counts along the batch goes on where the piece before it ended:
 * pieces before this one, if `axis` is the batch's. */
static int64_t piece_start(const EvalCx *cx, const Type *t, int axis) {
    return t->batch_axis == axis ? cx->piece : 0;
}

bool eval_iota(Eval *ev) {
    int axis = ev->n->attr.axis;
    int64_t start = piece_start(ev->cx, &ev->n->type[0], axis) * ev->n->type[0].dim[axis];
    Walk w = walk_new(&ev->n->type[0]);
    for (int64_t i = 0; i < type_count(&ev->n->type[0]); i++, walk_next(&w))
        ev->out[0].at[i] = (double)(w.at[axis] + start);
    return true;
}

/* ---- random: base/base.h defines the functions */

/* The operator as it is in the turns and the piece at hand. */
static Attr attr_now(const Eval *ev) {
    Attr a = ev->n->attr;
    random_part(&a, &ev->n->type[0]);
    for (int i = 0; i < ev->cx->nturn; i++) random_in_turn(&a, 0, ev->cx->turn[i]);
    a.random.first += ev->cx->piece * a.random.piece;
    return a;
}
static uint64_t step_of(const Eval *ev) {
    return (uint64_t)int_of(ev->cx->step);
}

#define RANDOM(name, expr)                                                                         \
    bool eval_##name(Eval *ev) {                                                                   \
        Attr a = attr_now(ev);                                                                     \
        uint64_t key = random_key(ev->cx->seed, a.random.place), step = step_of(ev),               \
                 count = (uint64_t)type_count(&ev->n->type[0]);                                    \
        Walk w = walk_new(&ev->n->type[0]);                                                        \
        walk_add(&w, a.random.stride);                                                             \
        for (uint64_t k = 0; k < count; k++, walk_next(&w)) {                                      \
            uint64_t i = (uint64_t)(a.random.first + w.offset[0]);                                 \
            ev->out[0].at[k] = (double)(expr);                                                     \
        }                                                                                          \
        return true;                                                                               \
    }
RANDOM(uniform, random_uniform(key, step, i))
RANDOM(normal, random_normal(key, step, i))
RANDOM(randint, random_below(key, step, i, (uint32_t)ev->n->attr.random.below))
RANDOM(permutation, random_permuted(key, step, count, i))
#undef RANDOM

/* ---- one input */

typedef double Map1(DType t, double x);
typedef double Map2(DType t, double x, double y);

static bool map1(Eval *ev, Map1 *f) {
    DType t = ev->in[0].type.dtype;
    for (int64_t i = type_count(&ev->n->type[0]); i-- > 0;)
        ev->out[0].at[i] = f(t, ev->in[0].at[i]);
    return true;
}

#define MAP1(name, expr)                                                                           \
    static double map_##name(DType t, double x) {                                                  \
        (void)t;                                                                                   \
        return expr;                                                                               \
    }                                                                                              \
    bool eval_##name(Eval *ev) {                                                                   \
        return map1(ev, map_##name);                                                               \
    }
MAP1(neg, -x)
MAP1(abs, fabs(x))
MAP1(sign, x > 0 ? 1 : x < 0 ? -1 : x) /* zeros and NaN stay */
MAP1(floor, floor(x))
MAP1(exp, exp(x))
MAP1(log, log(x))
MAP1(log1p, log1p(x))
MAP1(expm1, expm1(x))
MAP1(sqrt, sqrt(x))
MAP1(rsqrt, 1 / sqrt(x))
MAP1(tanh, tanh(x))
MAP1(sigmoid, 1 / (1 + exp(-x)))
MAP1(erf, erf(x))
MAP1(sin, sin(x))
MAP1(cos, cos(x))
MAP1(not, !(x != 0))
MAP1(stop, x)
#undef MAP1

/* To an integer type: from a float truncates and keeps within the range, from an integer wraps. */
static double cast_to_int(DType to, DType from, double x) {
    if (!dtype_is_float(from) || to == DT_i64) return int_wrap(to, int_of(x));
    double lo = to == DT_i32  ? INT32_MIN
                : to == DT_i8 ? INT8_MIN
                              : 0,
           hi = to == DT_i32  ? INT32_MAX
                : to == DT_i8 ? INT8_MAX
                              : UINT8_MAX;
    return isnan(x) ? 0 : fmin(fmax(trunc(x), lo), hi);
}

bool eval_cast(Eval *ev) {
    DType from = ev->in[0].type.dtype, to = ev->n->attr.dtype;
    for (int64_t i = type_count(&ev->n->type[0]); i-- > 0;) {
        double x = ev->in[0].at[i];
        ev->out[0].at[i] = dtype_is_float(to) ? x
                           : to == DT_bool    ? x != 0
                                              : cast_to_int(to, from, x);
    }
    return true;
}

/* ---- two and three inputs */

static bool map2(Eval *ev, Map2 *f) {
    Walk w = walk_new(&ev->n->type[0]);
    walk_broadcast(&w, &ev->in[0].type);
    walk_broadcast(&w, &ev->in[1].type);
    DType t = ev->in[0].type.dtype;
    int64_t count = type_count(&ev->n->type[0]);
    for (int64_t i = 0; i < count; i++, walk_next(&w))
        ev->out[0].at[i] = f(t, ev->in[0].at[w.offset[0]], ev->in[1].at[w.offset[1]]);
    return true;
}

static double multiply(DType t, double x, double y) {
    if (dtype_is_float(t)) return x * y;
    return int_wrap(t, (int64_t)((uint64_t)int_of(x) * (uint64_t)int_of(y)));
}

static double divide(DType t, double x, double y) {
    if (dtype_is_float(t)) return x / y;
    int64_t a = int_of(x), b = int_of(y);
    if (b == 0) return 0;
    if (b == -1) return int_wrap(t, (int64_t)(0 - (uint64_t)a));
    return int_wrap(t, a / b - (a % b != 0 && (a % b < 0) != (b < 0)));
}

/* The sign is the divisor's, as in Python. */
static double modulo(DType t, double x, double y) {
    if (dtype_is_float(t)) {
        double r = fmod(x, y);
        return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    }
    int64_t a = int_of(x), b = int_of(y);
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return int_wrap(t, r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

#define MAP2(name, expr)                                                                           \
    static double map_##name(DType t, double x, double y) {                                        \
        (void)t;                                                                                   \
        return expr;                                                                               \
    }                                                                                              \
    bool eval_##name(Eval *ev) {                                                                   \
        return map2(ev, map_##name);                                                               \
    }
MAP2(add, x + y)
MAP2(sub, x - y)
MAP2(mul, multiply(t, x, y))
MAP2(div, divide(t, x, y))
MAP2(mod, modulo(t, x, y))
MAP2(pow, pow(x, y))
MAP2(minimum, isnan(x) || x < y ? x : y)
MAP2(maximum, isnan(x) || x > y ? x : y)
MAP2(eq, x == y)
MAP2(ne, x != y)
MAP2(lt, x < y)
MAP2(le, x <= y)
MAP2(and, x != 0 && y != 0)
MAP2(or, x != 0 || y != 0)
#undef MAP2

bool eval_where(Eval *ev) {
    Walk w = walk_new(&ev->n->type[0]);
    for (int i = 0; i < 3; i++) walk_broadcast(&w, &ev->in[i].type);
    int64_t count = type_count(&ev->n->type[0]);
    for (int64_t i = 0; i < count; i++, walk_next(&w)) {
        int from = ev->in[0].at[w.offset[0]] != 0 ? 1 : 2;
        ev->out[0].at[i] = ev->in[from].at[w.offset[from]];
    }
    return true;
}
