/* Matrices of a checkpoint in the form in which a program keeps them: their own rows or, turned,
 * their columns one after another, as f32, bf16, or i8. One of i8 has a scale for each row, by
 * which 127 is the largest number of that row: each weight is off by at most half a scale, 1/254 of
 * that number.
 *
 * The file is gone through some rows at a time, so that the matrix is never there in f32 as well.
 */
#include <math.h>
#include <string.h>

#include "runtime/save/save.h"

enum { PART = 1 << 20 }; /* bytes of the file at a time, or one row */

typedef struct Matrix {
    const Fit *f;
    const CheckTensor *from;
    DType to;
    bool turned;
    int64_t rows, columns; /* there */
    char *at;
    float *scale; /* of i8: by row of what is kept */
} Matrix;

typedef void RowsFn(const Matrix *m, const float *x, int64_t first, int64_t last);

/* `fn` on rows [first, last) of the file, x. */
static bool each_rows(const Matrix *m, RowsFn *fn, Err *e) {
    int64_t row = m->columns * (int64_t)sizeof(float), part = PART / row > 0 ? PART / row : 1;
    if (part > m->rows) part = m->rows;
    float *x = heap_resize(NULL, (size_t)(part * row));
    bool ok = true;
    for (int64_t first = 0; ok && first < m->rows; first += part) {
        int64_t last = first + part < m->rows ? first + part : m->rows;
        ok = checkpoint_read_part(&m->f->c, m->from, first * row, (last - first) * row, x, e);
        if (ok) fn(m, x, first, last);
    }
    heap_free(x);
    return ok;
}

/* ---- scales */

/* The largest number of each row that is kept; NaN where one is no number. */
static void find_largest(const Matrix *m, const float *x, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++)
        for (int64_t k = 0; k < m->columns; k++) {
            float size = fabsf(*x++), *most = &m->scale[m->turned ? k : i];
            if (!(size <= *most) && !isnan(*most)) *most = size;
        }
}

static bool find_scales(const Matrix *m, Err *e) {
    int64_t n = m->turned ? m->columns : m->rows;
    memset(m->scale, 0, (size_t)n * sizeof *m->scale);
    if (!each_rows(m, find_largest, e)) return false;
    for (int64_t i = 0; i < n; i++) m->scale[i] /= 127;
    return true;
}

/* To the nearest; of a row whose scale is 0 or no number, 0. */
static int8_t to_i8(float x, float scale) {
    float q = rintf(x / scale);
    return q >= -127 && q <= 127 ? (int8_t)q : 0;
}

/* ---- the numbers */

static void put(const Matrix *m, float x, int64_t row, int64_t at) {
    if (m->to == DT_f32)
        ((float *)(void *)m->at)[at] = x;
    else if (m->to == DT_bf16)
        ((uint16_t *)(void *)m->at)[at] = bf16_from_float(x);
    else
        ((int8_t *)m->at)[at] = to_i8(x, m->scale[row]);
}

static void put_rows(const Matrix *m, const float *x, int64_t first, int64_t last) {
    for (int64_t k = 0; m->turned && k < m->columns; k++)
        for (int64_t i = first; i < last; i++)
            put(m, x[(i - first) * m->columns + k], k, k * m->rows + i);
    for (int64_t i = first; !m->turned && i < last; i++)
        for (int64_t k = 0; k < m->columns; k++) put(m, *x++, i, i * m->columns + k);
}

bool weights_read(const Fit *f, const CheckTensor *from, int tensor, Err *e) {
    const RtTensor *t = &f->s->p->tensor[tensor];
    Matrix m = {.f = f,
                .from = from,
                .to = t->dtype,
                .turned = t->kept == RT_KEPT_turned,
                .rows = from->dim[0],
                .columns = from->dim[1],
                .at = exec_tensor(f->s->x, tensor)};
    for (int i = 0; i < f->s->p->ntensor; i++)
        if (f->s->p->tensor[i].kind == RT_TENSOR_scale && f->s->p->tensor[i].like == tensor)
            m.scale = (float *)(void *)exec_tensor(f->s->x, i);
    return (t->dtype != DT_i8 || find_scales(&m, e)) && each_rows(&m, put_rows, e);
}
