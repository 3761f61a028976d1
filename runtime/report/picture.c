/* A sheet of pictures as a PNG, made in memory and written as one file. libpng reports by longjmp,
 * which ends in encode; what lives across it is in Png, never in a local variable. */
#include "runtime/report/picture.h"

#include <math.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/data/png.h"

enum { GAP = 1, SIDE_LIMIT = 1 << 16 };

typedef struct Png {
    png_structp png;
    png_infop info;
    const Sheet *sheet;
    int64_t columns, rows, width, height;
    uint8_t *line; /* of pixels */
    Buf file;
    Err why;
} Png;

static void on_write(png_structp png, png_bytep data, size_t n) {
    Png *p = png_get_io_ptr(png);
    buf_put(&p->file, data, n);
}

static void on_flush(png_structp png) {
    (void)png;
}

static uint8_t to_byte(float v) {
    return (uint8_t)lrintf(fminf(fmaxf(v, 0), 1) * 255); /* a NaN is 0 */
}

/* Pixel row y of the sheet. */
static void fill_line(Png *p, int64_t y) {
    const Sheet *s = p->sheet;
    int64_t row = y / (s->h + GAP), inside = y % (s->h + GAP);
    memset(p->line, 0, (size_t)(p->width * s->c));
    for (int64_t k = 0; inside < s->h && k < p->columns; k++) {
        int64_t i = row * p->columns + k;
        const float *from = s->at + (i * s->h + inside) * s->w * s->c;
        uint8_t *to = p->line + k * (s->w + GAP) * s->c;
        for (int64_t j = 0; i < s->n && j < s->w * s->c; j++) to[j] = to_byte(from[j]);
    }
}

static bool encode(Png *p) {
    if (setjmp(png_jmpbuf(p->png))) return false;
    int colour = p->sheet->c == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;
    png_set_write_fn(p->png, p, on_write, on_flush);
    png_set_IHDR(p->png, p->info, (png_uint_32)p->width, (png_uint_32)p->height, 8, colour,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(p->png, p->info);
    for (int64_t y = 0; y < p->height; y++) {
        fill_line(p, y);
        png_write_row(p->png, p->line);
    }
    png_write_end(p->png, NULL);
    return true;
}

static bool lay_out(Png *p, Err *e) {
    const Sheet *s = p->sheet;
    p->columns = s->columns > 0 ? s->columns : (int64_t)ceil(sqrt((double)s->n));
    if (p->columns > s->n) p->columns = s->n;
    p->rows = (s->n + p->columns - 1) / p->columns;
    p->width = p->columns * (s->w + GAP) - GAP;
    p->height = p->rows * (s->h + GAP) - GAP;
    return (p->width <= SIDE_LIMIT && p->height <= SIDE_LIMIT) ||
           err_set(e, "%lld pictures of %lld x %lld are too many for one sheet", (long long)s->n,
                   (long long)s->h, (long long)s->w);
}

bool picture_write(const char *path, const Sheet *s, Err *e) {
    Png p = {.sheet = s};
    if (!lay_out(&p, e)) return false;
    p.line = heap_resize(NULL, (size_t)(p.width * s->c));
    p.png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &p.why, png_tell_error, png_tell_nothing);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    bool ok = p.info && encode(&p);
    if (!ok) err_set(e, "%s: %.200s", path, p.why.msg[0] ? p.why.msg : "no memory for a PNG");
    if (p.png) png_destroy_write_struct(&p.png, &p.info);
    ok = ok && file_write_atomic(path, p.file.data, p.file.n, e);
    heap_free(p.line);
    buf_free(&p.file);
    return ok;
}

void picture_tell(FILE *f, const char *path, const Sheet *s) {
    fprintf(f, "%s: %lld picture%s of %lld x %lld\n", path, (long long)s->n, s->n == 1 ? "" : "s",
            (long long)s->h, (long long)s->w);
}
