/* JPEG through libjpeg-turbo: grey stays grey, all else becomes red, green and blue. libjpeg
 * reports errors by longjmp, which ends in read_all; what lives across it is in Jpeg, never in a
 * local variable. Its warnings about damaged data, after which it would go on with invented pixels,
 * count as errors; those about harmless oddities do not. Orientation marks of cameras are not
 * followed. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "runtime/data/records.h"

typedef struct Jpeg {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr error;
    jmp_buf jump;
    const Buf *file;
    Picture *to;
    uint8_t *inks; /* a line of cyan, magenta, yellow and black */
    bool only_shape;
    Err why;
} Jpeg;

bool jpeg_is(const Buf *file) {
    return file->n >= 3 && !memcmp(file->data, "\xFF\xD8\xFF", 3);
}

static void on_error(j_common_ptr c) {
    Jpeg *j = c->client_data;
    char text[JMSG_LENGTH_MAX];
    c->err->format_message(c, text);
    err_set(&j->why, "%s", text);
    longjmp(j->jump, 1);
}

static void on_message(j_common_ptr c, int level) {
    int code = c->err->msg_code;
    bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
                    code == JWRN_JFIF_MAJOR || code == JWRN_TOO_MUCH_DATA;
    if (level < 0 && !harmless) on_error(c);
}

static void set_shape(Jpeg *j) {
    j->to->h = j->jpeg.image_height;
    j->to->w = j->jpeg.image_width;
    j->to->c = j->jpeg.num_components == 1 ? 1 : 3;
}

/* Adobe's files store how much of each ink is missing, others how much there is. */
static void from_inks(const Jpeg *j, uint8_t *to) {
    for (int64_t x = 0; x < j->to->w; x++)
        for (int c = 0; c < 3; c++) {
            int ink = j->inks[4 * x + c], black = j->inks[4 * x + 3];
            if (!j->jpeg.saw_Adobe_marker) ink = 255 - ink, black = 255 - black;
            to[3 * x + c] = (uint8_t)((ink * black + 127) / 255);
        }
}

static void read_lines(Jpeg *j) {
    bool four = j->jpeg.num_components == 4;
    j->jpeg.out_color_space = four ? JCS_CMYK : j->to->c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&j->jpeg);
    picture_shape(j->to, j->to->h, j->to->w, j->to->c);
    if (four) j->inks = heap_resize(j->inks, 4 * (size_t)j->to->w);
    while (j->jpeg.output_scanline < j->jpeg.output_height) {
        uint8_t *line = j->to->at + j->to->w * j->to->c * j->jpeg.output_scanline,
                *into = four ? j->inks : line;
        jpeg_read_scanlines(&j->jpeg, &into, 1);
        if (four) from_inks(j, line);
    }
    jpeg_finish_decompress(&j->jpeg);
}

static bool read_all(Jpeg *j) {
    if (setjmp(j->jump)) return false;
    jpeg_create_decompress(&j->jpeg);
    jpeg_mem_src(&j->jpeg, (const unsigned char *)j->file->data, j->file->n);
    jpeg_read_header(&j->jpeg, TRUE);
    if (!picture_check(j->jpeg.image_height, j->jpeg.image_width, &j->why)) return false;
    set_shape(j);
    if (!j->only_shape) read_lines(j);
    return true;
}

bool jpeg_read(const Buf *file, bool only_shape, Picture *to, Err *e) {
    Jpeg j = {.file = file, .to = to, .only_shape = only_shape};
    j.jpeg.err = jpeg_std_error(&j.error);
    j.jpeg.client_data = &j;
    j.error.error_exit = on_error;
    j.error.emit_message = on_message;
    bool ok = read_all(&j);
    unsigned line = j.jpeg.output_scanline, lines = j.jpeg.image_height;
    jpeg_destroy_decompress(&j.jpeg);
    heap_free(j.inks);
    return ok || err_set(e, "line %u of %u: %.200s", line, lines, j.why.msg);
}
