#include "codegen/asks.h"

#include <stddef.h>

#include "runtime/abi.h"

enum { LINE = 64 };

static Value field(Emit *e, LType type, size_t byte) {
    return e_field(e, type, LLVMGetParam(e->fn, 0), byte);
}

Asks asks_begin(Emit *e) {
    Value c = field(e, e->ptr, offsetof(RtTile, c)),
          half = field(e, e->ptr, offsetof(RtTile, half));
    Value row = field(e, e->i64, offsetof(RtTile, c_row));
    Value whole = i_cmp(e, LLVMIntEQ, half, LLVMConstNull(e->ptr));
    Value vector = v_select(e, whole, c_i64(e, LANES * 4), c_i64(e, LANES * 2));
    row = v_select(e, whole, i_shl(e, row, 2), i_shl(e, row, 1));
    Asks x = {e_alloca(e, e->ptr), row, vector, e_alloca(e, e->ptr),
              field(e, e->i64, offsetof(RtTile, next_row))};
    e_store(e, v_select(e, whole, c, half), x.at);
    e_store(e, field(e, e->ptr, offsetof(RtTile, next)), x.next);
    return x;
}

void asks_row(Emit *e, const Asks *x, int vectors) {
    Value at = e_load(e, e->ptr, x->at);
    for (int v = 0; v < vectors; v++)
        e_prefetch_write(e, e_at(e, e->i8, at, i_mul(e, x->vector, c_i64(e, v))));
    e_store(e, e_at(e, e->i8, at, x->row), x->at);
    Value next = e_load(e, e->ptr, x->next);
    e_prefetch(e, next);
    e_prefetch(e, e_at(e, e->i8, next, c_i64(e, LINE)));
    e_store(e, e_at(e, e->i8, next, x->next_row), x->next);
}
