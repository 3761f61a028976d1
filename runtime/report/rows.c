/* Rows of returned values as JSON: an object a row, a key a value; dimensions beyond the first are
 * nested lists, texts are decoded. JSON has neither NaN nor infinity: they are null. */
#include "runtime/report/rows.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

enum { DIGITS = 9 }; /* give an f32 back exactly */

static json_t *real_json(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *element_json(DType t, const void *at, int64_t i) {
    switch (t) {
    case DT_f32: return real_json(((const float *)at)[i]);
    case DT_f64: return real_json(((const double *)at)[i]);
    case DT_bf16: return real_json(bf16_to_float(((const uint16_t *)at)[i]));
    case DT_i32: return json_integer(((const int32_t *)at)[i]);
    case DT_i64: return json_integer(((const int64_t *)at)[i]);
    case DT_u8: return json_integer(((const uint8_t *)at)[i]);
    case DT_i8: return json_integer(((const int8_t *)at)[i]);
    case DT_bool: return json_boolean(((const uint8_t *)at)[i]);
    case DT_COUNT: break;
    }
    BUG("a value of no type");
}

/* Elements from *i on, as lists of the dimensions from `axis` on. */
static json_t *value_json(const RtOutput *o, const void *at, int axis, int64_t *i) {
    if (axis == o->rank) return element_json(o->dtype, at, (*i)++);
    json_t *list = json_array();
    for (int64_t k = 0; k < o->dim[axis]; k++)
        json_array_append_new(list, value_json(o, at, axis + 1, i));
    return list;
}

/* Null where the bytes are no UTF-8. */
static json_t *text_json(const RtOutput *o, const int32_t *ids, const Tokenizer *t) {
    Buf b = {0};
    tokenizer_decode(t, ids, (size_t)o->width, &b);
    json_t *s = json_stringn(b.data ? b.data : "", b.n);
    buf_free(&b);
    return s ? s : json_null();
}

static json_t *output_json(const Exec *x, const RtPlan *plan, int out, Tokenizer *const *tok,
                           int64_t row) {
    const RtOutput *o = &plan->out[out];
    const void *at = exec_output(x, plan, out);
    int64_t first = row * (o->count / o->dim[0]);
    if (o->kind == RT_OUT_value) return value_json(o, at, 1, &first);
    return text_json(o, (const int32_t *)at + first, tok[o->index]);
}

void rows_json(const Exec *x, const RtPlan *plan, Tokenizer *const *tok, int64_t rows, Buf *out) {
    for (int64_t row = 0; row < rows; row++) {
        json_t *root = json_object();
        for (int i = 0; i < plan->nout; i++)
            if (plan->out[i].kind == RT_OUT_value || plan->out[i].kind == RT_OUT_text)
                json_object_set_new(root, plan->out[i].name, output_json(x, plan, i, tok, row));
        char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
        if (text && json_object_size(root)) buf_printf(out, "%s\n", text);
        free(text);
        json_decref(root);
    }
}
