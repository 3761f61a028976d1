/* PNG through libpng: any depth, palette or interlacing becomes 8 bits of grey or of red, green and
 * blue; transparency is dropped. libpng reports by longjmp, which ends in read_all; what lives
 * across it is in Png, never in a local variable. */
#include "runtime/data/png.h"

#include <setjmp.h>
#include <string.h>

#include "runtime/data/records.h"

typedef struct Png {
    png_structp png;
    png_infop info;
    const Buf *file;
    size_t at;
    Picture *to;
    png_uint_32 h, line;
    bool only_shape;
    Err why; /* what libpng says */
} Png;

bool png_is(const Buf *file) {
    return file->n >= 8 && !png_sig_cmp((png_const_bytep)file->data, 0, 8);
}

void png_tell_error(png_structp png, png_const_charp text) {
    err_set(png_get_error_ptr(png), "%s", text);
    longjmp(png_jmpbuf(png), 1);
}

void png_tell_nothing(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t n) {
    Png *p = png_get_io_ptr(png);
    if (n > p->file->n - p->at) png_error(png, "the file is cut short");
    memcpy(out, p->file->data + p->at, n);
    p->at += n;
}

/* Everything to 8 bits of one channel or three. */
static void set_conversions(Png *p) {
    png_set_expand(p->png);
    png_set_scale_16(p->png);
    png_set_strip_alpha(p->png);
    bool colour = png_get_color_type(p->png, p->info) & PNG_COLOR_MASK_COLOR;
    p->to->c = colour ? 3 : 1;
}

static void read_lines(Png *p) {
    int passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    picture_shape(p->to, p->to->h, p->to->w, p->to->c);
    size_t bytes = (size_t)(p->to->w * p->to->c);
    if (png_get_rowbytes(p->png, p->info) != bytes) png_error(p->png, "unexpected kind of pixels");
    memset(p->to->at, 0, bytes * (size_t)p->to->h); /* passes fill it in */
    for (int i = 0; i < passes; i++)
        for (p->line = 0; p->line < p->h; p->line++)
            png_read_row(p->png, p->to->at + bytes * p->line, NULL);
    png_read_end(p->png, NULL);
}

static bool read_all(Png *p) {
    if (setjmp(png_jmpbuf(p->png))) return false;
    png_set_read_fn(p->png, p, on_read);
    png_read_info(p->png, p->info);
    p->h = png_get_image_height(p->png, p->info);
    p->to->h = p->h;
    p->to->w = png_get_image_width(p->png, p->info);
    if (!picture_check(p->h, (uint64_t)p->to->w, &p->why)) return false;
    set_conversions(p);
    if (!p->only_shape) read_lines(p);
    return true;
}

bool png_read(const Buf *file, bool only_shape, Picture *to, Err *e) {
    Png p = {.file = file, .to = to, .only_shape = only_shape};
    p.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &p.why, png_tell_error, png_tell_nothing);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    bool ok = p.info && read_all(&p);
    if (p.png) png_destroy_read_struct(&p.png, &p.info, NULL);
    if (ok) return true;
    return err_set(e, "line %llu of %llu, byte %zu of %zu: %.200s", (unsigned long long)p.line,
                   (unsigned long long)p.h, p.at, file->n, p.why.msg);
}
