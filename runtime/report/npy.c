/* NumPy's .npy, version 1.0: what it is, runtime/data/npy.c says. The header is padded with blanks
 * so that the numbers begin at a multiple of 64 bytes. */
#include "runtime/report/npy.h"

#include <string.h>

enum { BEFORE = 10, ALIGNED = 64 }; /* magic, version and length stand before the header */

static const char *type_name(DType t) {
    switch (t) {
    case DT_f32: return "<f4";
    case DT_f64: return "<f8";
    case DT_i32: return "<i4";
    case DT_i64: return "<i8";
    case DT_u8: return "|u1";
    case DT_bool: return "|b1";
    case DT_i8: return "|i1";
    case DT_bf16:
    case DT_COUNT: break;
    }
    return NULL;
}

static void put_header(const Numbers *x, const char *type, Buf *b) {
    Buf text = {0};
    buf_printf(&text, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int i = 0; i < x->rank; i++) buf_printf(&text, "%lld,", (long long)x->dim[i]);
    buf_printf(&text, "), }");
    while ((BEFORE + text.n + 1) % ALIGNED) buf_put(&text, " ", 1);
    buf_put(&text, "\n", 1);
    uint8_t size[2] = {(uint8_t)text.n, (uint8_t)(text.n >> 8)};
    buf_put(b, "\x93NUMPY\x01\x00", BEFORE - sizeof size);
    buf_put(b, size, sizeof size);
    buf_put(b, text.data, text.n);
    buf_free(&text);
}

bool npy_write(const char *path, const Numbers *x, Err *e) {
    const char *type = type_name(x->dtype);
    if (!type) return err_set(e, "%s: NumPy has no bf16: cast what is returned to f32", path);
    size_t bytes = dtype_size(x->dtype);
    for (int i = 0; i < x->rank; i++) bytes *= (size_t)x->dim[i];
    Buf file = {0};
    put_header(x, type, &file);
    buf_put(&file, x->at, bytes);
    bool ok = file_write_atomic(path, file.data, file.n, e);
    buf_free(&file);
    return ok;
}
