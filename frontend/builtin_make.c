/* Builtins that make tensors from nothing (constants, counts, random numbers) and those that live
 * at compile time only. Random operators take their place in the program in the order they are
 * evaluated (language.md, rule 4). */
#include "frontend/expr.h"

#include <math.h>
#include <string.h>

/* ---- constants */

static TVal constant(Call *c, const TVal *shape, DType dtype, double v) {
    Type type = shape->type;
    type.dtype = dtype;
    TVal t = tensor_const(c->cx, &type, v, c->at);
    memcpy(t.name, shape->name, sizeof t.name);
    return t;
}

static bool like(Call *c, double v, Val *out) {
    TVal x;
    if (!call_tensor(c, 0, &x)) return false;
    x = constant(c, &x, x.type.dtype, v);
    return call_return(&x, out);
}

bool run_ones_like(Call *c, Val *out) {
    return like(c, 1, out);
}
bool run_zeros_like(Call *c, Val *out) {
    return like(c, 0, out);
}

bool run_full(Call *c, Val *out) {
    TVal shape, t;
    if (!call_shape(c, 0, &shape)) return false;
    if (val_is_number(&c->arg[1])) {
        t = constant(c, &shape, DT_f32, val_double(&c->arg[1]));
        return call_return(&t, out);
    }
    if (!call_tensor(c, 1, &t)) return false;
    if (t.type.rank != 0)
        return report_error(c->cx, c->arg_span[1], "full repeats a single value, not %s",
                            tval_describe(c->cx, &t));
    t = tensor_expand(c->cx, &t, &shape, c->at);
    return call_return(&t, out);
}

bool run_zeros_i32(Call *c, Val *out) {
    TVal shape;
    if (!call_shape(c, 0, &shape)) return false;
    TVal t = constant(c, &shape, DT_i32, 0);
    return call_return(&t, out);
}

/* The shape [n] of a count; keeps n's name and whether it counts samples. */
static bool count_shape(Call *c, TVal *shape) {
    int64_t n;
    if (!call_int(c, 0, &n)) return false;
    if (n < 1 || n > INT32_MAX)
        return report_error(c->cx, c->arg_span[0],
                            "%s counts from 0 up to 2^31 - 1: it cannot make %lld numbers",
                            c->b->name, (long long)n);
    Val list = val_of_list(VAL_list, &c->arg[0], 1);
    if (!val_shape(c->cx, &list, call_arg_name(c, 0), c->arg_span[0], shape)) return false;
    shape->type.dtype = DT_i32;
    return true;
}

bool run_iota(Call *c, Val *out) {
    TVal shape;
    Attr attr = {.axis = 0};
    if (!count_shape(c, &shape)) return false;
    TVal t = tensor_add(c->cx, OP_iota, &attr, NULL, 0, &shape.type, c->at);
    memcpy(t.name, shape.name, sizeof t.name);
    return call_return(&t, out);
}

/* In x's shape, the index along one dimension. */
bool run_iota_like(Call *c, Val *out) {
    TVal x;
    Attr attr = {.axis = 0};
    if (!call_tensor(c, 0, &x) || !call_axis(c, &x, &attr.axis)) return false;
    x.type.dtype = DT_i32;
    TVal t = tensor_add(c->cx, OP_iota, &attr, NULL, 0, &x.type, c->at);
    memcpy(t.name, x.name, sizeof t.name);
    return call_return(&t, out);
}

/* ---- random */

static TVal draw(Call *c, Op op, const TVal *shape, DType dtype, int64_t below) {
    TVal t = {.ref = REF_NONE};
    Type type = shape->type;
    type.dtype = dtype;
    if (!c->cx->g) {
        report_error(c->cx, c->at, "random numbers are drawn only inside entries: train, eval");
        return t;
    }
    Attr attr = {.random = {.place = place_next(c->cx, c->b->name), .below = below}};
    t = tensor_add(c->cx, op, &attr, NULL, 0, &type, c->at);
    memcpy(t.name, shape->name, sizeof t.name);
    return t;
}

/* normal(0.02) and uniform(0.1) are initialisers: functions of a shape, from the core library. */
static bool initialiser(Call *c, const char *name, Val *out) {
    const Val *fn = core_find(c->cx, name);
    if (!fn)
        return report_error(c->cx, c->at, "%s of a number needs '%s' of the standard library",
                            c->b->name, name);
    CallArg arg = {.val = c->arg[0], .span = c->arg_span[0]};
    return call_value(c->cx, fn, &arg, 1, NULL, c->at, out);
}

static bool combine(Call *c, BinaryOp op, const Val *a, const Val *b, Val *out) {
    return apply_binary(c->cx, op, a, b, c->at, c->at, out);
}

static bool check_bound(Call *c, int i) {
    const Val *v = &c->arg[i];
    if (!c->given[i] || val_is_number(v) || val_is_tensor(v)) return true;
    return report_error(c->cx, c->arg_span[i], "%s must be a number or a tensor, not %s",
                        call_arg_name(c, i), val_describe(c->cx, v));
}

bool run_uniform(Call *c, Val *out) {
    TVal shape;
    if (val_is_number(&c->arg[0]) && !c->given[1] && !c->given[2])
        return initialiser(c, "uniform_init", out);
    if (!call_shape(c, 0, &shape) || !check_bound(c, 1) || !check_bound(c, 2)) return false;
    TVal t = draw(c, OP_uniform, &shape, DT_f32, 0);
    if (!c->given[1] && !c->given[2]) return call_return(&t, out);
    Val u, width, lo = c->given[1] ? c->arg[1] : val_of_int(0),
                  hi = c->given[2] ? c->arg[2] : val_of_int(1);
    Val scaled;
    if (!call_return(&t, &u) || !combine(c, BIN_sub, &hi, &lo, &width)) return false;
    return combine(c, BIN_mul, &u, &width, &scaled) && combine(c, BIN_add, &scaled, &lo, out);
}

bool run_normal(Call *c, Val *out) {
    TVal shape;
    if (val_is_number(&c->arg[0])) return initialiser(c, "normal_init", out);
    if (!call_shape(c, 0, &shape)) return false;
    TVal t = draw(c, OP_normal, &shape, DT_f32, 0);
    return call_return(&t, out);
}

/* True with probability p: a number, a tensor of the shape, or (without a shape) a tensor of
 * probabilities. */
bool run_bernoulli(Call *c, Val *out) {
    TVal shape, p;
    bool number = val_is_number(&c->arg[0]);
    double share = number ? val_double(&c->arg[0]) : 0;
    if (share < 0 || share > 1)
        return report_error(c->cx, c->arg_span[0],
                            "a probability lies between 0 and 1: %s does not",
                            number_text(c->cx, share));
    if (number && !c->given[1]) {
        report_error(c->cx, c->at, "bernoulli of a number needs a shape");
        diag_hint(c->cx->diag, "bernoulli(p, shape(x))");
        return false;
    }
    if (!number && (!call_tensor(c, 0, &p) || !call_float(c, &p))) return false;
    if (!c->given[1])
        shape = p;
    else if (!call_shape(c, 1, &shape))
        return false;
    TVal t = draw(c, OP_uniform, &shape, DT_f32, 0);
    Val u, prob = number ? c->arg[0] : val_of_tensor(&p);
    return call_return(&t, &u) && combine(c, BIN_lt, &u, &prob, out);
}

bool run_randint(Call *c, Val *out) {
    TVal shape;
    int64_t n;
    if (!call_shape(c, 0, &shape) || !call_int(c, 1, &n)) return false;
    if (n < 1 || n > INT32_MAX)
        return report_error(c->cx, c->arg_span[1],
                            "randint draws from 0 up to a number between 1 and 2^31 - 1, not %lld",
                            (long long)n);
    TVal t = draw(c, OP_randint, &shape, DT_i32, n);
    return call_return(&t, out);
}

bool run_permutation(Call *c, Val *out) {
    TVal shape;
    if (!count_shape(c, &shape)) return false;
    TVal t = draw(c, OP_permutation, &shape, DT_i32, 0);
    return call_return(&t, out);
}

/* ---- how functions run */

static bool wrapped(Call *c, bool still, bool remat, Val *out) {
    Closure *fn = NEW(c->cx->arena, Closure);
    if (!value_closure(c->cx, &c->arg[0], c->arg_span[0], fn)) return false;
    fn->still |= still;
    fn->remat |= remat;
    *out = (Val){.kind = VAL_fn, .fn = fn};
    return true;
}

bool run_still(Call *c, Val *out) {
    return wrapped(c, true, false, out);
}
bool run_remat(Call *c, Val *out) {
    return wrapped(c, false, true, out);
}
bool run_clone(Call *c, Val *out) {
    return value_clone(c->cx, &c->arg[0], c->at, out);
}

/* ---- compile time */

bool run_range(Call *c, Val *out) {
    int64_t v[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++)
        if (c->given[i] && !call_int(c, i, &v[i])) return false;
    if (!c->given[1]) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0) return report_error(c->cx, c->arg_span[2], "the step of range cannot be 0");
    VEC(Val) list = {0};
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
        if (list.n == LIST_MAX)
            return report_error(c->cx, c->at, "range gives more than %d numbers", LIST_MAX);
        vec_push(c->cx->arena, &list, val_of_int(i));
        if (__builtin_add_overflow(i, v[2], &i)) break;
    }
    return list_make(c->cx, VAL_list, list.at, (int)list.n, c->at, out);
}

bool run_len(Call *c, Val *out) {
    const Val *v = &c->arg[0];
    if (v->kind == VAL_list || v->kind == VAL_tuple || v->kind == VAL_array ||
        v->kind == VAL_axes) {
        *out = val_of_int(v->list.n);
        return true;
    }
    report_error(c->cx, c->arg_span[0], "len takes a list, not %s", val_describe(c->cx, v));
    if (val_is_tensor(v)) diag_hint(c->cx->diag, "x.dim(0) is the size of its first dimension");
    return false;
}

bool run_shape(Call *c, Val *out) {
    TVal x;
    if (!call_tensor(c, 0, &x)) return false;
    Val *at = NEW_N(c->cx->arena, Val, x.type.rank + 1);
    for (int i = 0; i < x.type.rank; i++) at[i] = dim_value(&x, i);
    *out = val_of_list(VAL_list, at, x.type.rank);
    return true;
}

bool run_rank(Call *c, Val *out) {
    TVal x;
    if (val_is_number(&c->arg[0])) {
        *out = val_of_int(0);
        return true;
    }
    if (!call_tensor(c, 0, &x)) return false;
    *out = val_of_int(x.type.rank);
    return true;
}

bool run_dtype(Call *c, Val *out) {
    TVal x;
    if (!call_tensor(c, 0, &x)) return false;
    *out = val_of_str(dtype_name(x.type.dtype));
    return true;
}

bool run_is_number(Call *c, Val *out) {
    *out = val_of_bool(val_is_number(&c->arg[0]));
    return true;
}

bool run_int(Call *c, Val *out) {
    double f;
    if (c->arg[0].kind == VAL_int) {
        *out = c->arg[0];
        return true;
    }
    if (val_is_tensor(&c->arg[0])) {
        report_error(c->cx, c->arg_span[0], "int takes a compile-time number, not %s",
                     val_describe(c->cx, &c->arg[0]));
        diag_hint(c->cx->diag, "cast(x, i32) converts a tensor");
        return false;
    }
    if (!val_num(c->cx, &c->arg[0], call_arg_name(c, 0), c->arg_span[0], &f)) return false;
    return number_integer(c->cx, trunc(f), "int", c->at, out);
}

/* Only `report text` knows what to do with the pair. */
bool run_decode(Call *c, Val *out) {
    TVal ids;
    if (c->arg[0].kind != VAL_tokenizer)
        return report_error(c->cx, c->arg_span[0], "decode takes a tokenizer first, not %s",
                            val_describe(c->cx, &c->arg[0]));
    if (!call_tensor(c, 1, &ids)) return false;
    if (ids.type.dtype != DT_i32 || ids.type.rank < 1)
        return report_error(c->cx, c->arg_span[1], "decode takes token ids, i32[..., T], not %s",
                            tval_describe(c->cx, &ids));
    Val *two = NEW_N(c->cx->arena, Val, 2);
    two[0] = c->arg[0];
    two[1] = val_of_tensor(&ids);
    *out = val_of_list(VAL_tuple, two, 2);
    return true;
}

/* einsum and rearrange are read by eval_call from their syntax; here they come as values, without
 * it. */
bool run_pattern(Call *c, Val *out) {
    (void)out;
    return report_error(c->cx, c->at, "%s is called by its name, with patterns: %s(%s)", c->b->name,
                        c->b->name, c->b->params);
}
