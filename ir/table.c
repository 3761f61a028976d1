/* The table of operators as data (op_info) and by name. Every column comes from ir/ops.def. */
#include "ir/internal.h"

enum {
    PURE = FLAG_PURE,
    COMMUTES = FLAG_COMMUTES,
    RANDOM = FLAG_RANDOM,
    CHEAP = FLAG_CHEAP,
    BOOL = FLAG_BOOL,
    ACCUM = FLAG_ACCUM,
    ANY = ARITY_ANY
};

const OpInfo op_info[OP_COUNT] = {
#define OP(name, arity, attr, shape, vjp, lower, flags)                                            \
    [OP_##name] = {#name, arity, ATTR_##attr, LOWER_##lower, flags},
#include "ir/ops.def"
#undef OP
};

bool op_from_name(const char *s, Op *op) {
    for (int i = 0; i < OP_COUNT; i++)
        if (str_eq(op_info[i].name, s)) {
            *op = (Op)i;
            return true;
        }
    return false;
}
