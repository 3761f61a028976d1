/* Pictures: every kind of PNG and JPEG to pixels, damaged ones refused with the place; grey, colour
 * and size; records of each format; folders with labels, with broken pictures in them and of
 * several shapes. Files are written here, by the same libraries. */
#include <png.h>
#include <sys/stat.h>

#include <jpeglib.h>

#include "runtime/data/records.h"
#include "tests/unit/data.h"

enum { H = 5, W = 7 };

static uint8_t value(int y, int x, int c) {
    return (uint8_t)(17 * y + 31 * x + 80 * c + 3);
}

/* ---- writing files */
typedef struct PngKind {
    const char *name;
    int type, depth, interlace, channels; /* as written */
    int read;                             /* channels as read */
} PngKind;

static void put_png_line(const PngKind *k, int y, uint8_t *line) {
    memset(line, 0, 64);
    for (int x = 0; x < W; x++)
        for (int c = 0; c < k->channels; c++) {
            int i = x * k->channels + c;
            if (k->depth == 16) line[2 * i] = line[2 * i + 1] = value(y, x, c);
            if (k->depth == 8) line[i] = value(y, x, c);
            if (k->type == PNG_COLOR_TYPE_PALETTE) line[i] = (uint8_t)((y + x) % 4);
            if (k->depth == 1) line[i / 8] |= (uint8_t)(((x + y) % 2) << (7 - i % 8));
        }
}

static void on_bytes(png_structp png, png_bytep p, size_t n) {
    buf_put(png_get_io_ptr(png), p, n);
}

static void write_png(const PngKind *k, Buf *out) {
    static const png_color palette[] = {{1, 2, 3}, {40, 50, 60}, {200, 100, 0}, {255, 255, 255}};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    CHECK(!setjmp(png_jmpbuf(png)));
    png_set_write_fn(png, out, on_bytes, NULL);
    png_set_IHDR(png, info, W, H, k->depth, k->type, k->interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (k->type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 4);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int p = 0; p < passes; p++)
        for (int y = 0; y < H; y++) {
            uint8_t line[64];
            put_png_line(k, y, line);
            png_write_row(png, line);
        }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
}

static void write_jpeg(int h, int w, int channels, J_COLOR_SPACE space, Buf *out) {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr error;
    unsigned char *at = NULL;
    unsigned long n = 0;
    uint8_t *line = heap_resize(NULL, (size_t)(w * channels));
    j.err = jpeg_std_error(&error);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &at, &n);
    j.image_height = (JDIMENSION)h, j.image_width = (JDIMENSION)w;
    j.input_components = channels, j.in_color_space = space;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    jpeg_start_compress(&j, TRUE);
    while (j.next_scanline < j.image_height) {
        for (int i = 0; i < w * channels; i++)
            line[i] = (uint8_t)(100 + 50 * (i % channels) + (int)j.next_scanline);
        jpeg_write_scanlines(&j, &line, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    buf_put(out, at, n);
    free(at);
    heap_free(line);
}

/* ---- PNG */
static const PngKind png_kinds[] = {
    {"grey", PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, 1, 1},
    {"grey of 16 bits", PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE, 1, 1},
    {"black and white", PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_NONE, 1, 1},
    {"grey and transparent", PNG_COLOR_TYPE_GRAY_ALPHA, 8, PNG_INTERLACE_NONE, 2, 1},
    {"colour", PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, 3, 3},
    {"colour in passes", PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7, 3, 3},
    {"colour and transparent", PNG_COLOR_TYPE_RGB_ALPHA, 16, PNG_INTERLACE_NONE, 4, 3},
    {"palette", PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE, 1, 3},
};

static int expected(const PngKind *k, int y, int x, int c) {
    static const int palette[4][3] = {{1, 2, 3}, {40, 50, 60}, {200, 100, 0}, {255, 255, 255}};
    if (k->type == PNG_COLOR_TYPE_PALETTE) return palette[(y + x) % 4][c];
    return k->depth == 1 ? (x + y) % 2 * 255 : value(y, x, c);
}

static void test_png(void) {
    for (size_t i = 0; i < sizeof png_kinds / sizeof *png_kinds; i++) {
        const PngKind *k = &png_kinds[i];
        Buf file = {0};
        Picture p = {0};
        Err e = {0};
        write_png(k, &file);
        bool ok = png_is(&file) && !jpeg_is(&file) && png_read(&file, false, &p, &e);
        EXPECT(ok && p.h == H && p.w == W && p.c == k->read, "%s: %lld x %lld x %lld (%s)", k->name,
               (long long)p.h, (long long)p.w, (long long)p.c, e.msg);
        int wrong = 0;
        for (int j = 0; ok && j < H * W * k->read; j++)
            wrong += p.at[j] != expected(k, j / k->read / W, j / k->read % W, j % k->read);
        EXPECT(wrong == 0, "%s: %d wrong", k->name, wrong);
        picture_free(&p);
        buf_free(&file);
    }
}

/* Cut anywhere, a file is refused, and nothing is read beyond its end. */
static void expect_cuts_refused(bool (*read)(const Buf *, bool, Picture *, Err *),
                                const Buf *whole) {
    int taken = 0;
    for (size_t n = 1; n < whole->n; n++) {
        Buf part = {heap_resize(NULL, n), n, n};
        Picture p = {0};
        Err e = {0};
        memcpy(part.data, whole->data, n);
        taken += read(&part, false, &p, &e) || !*e.msg;
        picture_free(&p);
        buf_free(&part);
    }
    EXPECT(taken <= 1, "%d of %zu cuts taken for whole", taken, whole->n);
}

static void test_cuts(void) {
    for (int i = 0; i < 8; i++) {
        Buf file = {0};
        write_png(&png_kinds[i], &file);
        expect_cuts_refused(png_read, &file);
        buf_free(&file);
    }
    Buf jpeg = {0};
    write_jpeg(20, 20, 3, JCS_RGB, &jpeg);
    expect_cuts_refused(jpeg_read, &jpeg);
    buf_free(&jpeg);
}

/* ---- JPEG */
static void expect_jpeg(int channels, J_COLOR_SPACE space, int read, const int *want) {
    Buf file = {0};
    Picture p = {0};
    Err e = {0};
    write_jpeg(16, 24, channels, space, &file);
    EXPECT(jpeg_is(&file) && jpeg_read(&file, false, &p, &e), "%s", e.msg);
    EXPECT(p.h == 16 && p.w == 24 && p.c == read, "%lld x %lld x %lld", (long long)p.h,
           (long long)p.w, (long long)p.c);
    int most = 0;
    for (int i = 0; i < 16 * 24 * read; i++) {
        int off = abs(p.at[i] - want[i % read] - (channels == 4 ? 0 : i / read / 24));
        most = off > most ? off : most;
    }
    EXPECT(most <= 3, "%d channels are off by %d", channels, most);
    picture_free(&p);
    buf_free(&file);
}

static void test_jpeg(void) {
    expect_jpeg(1, JCS_GRAYSCALE, 1, (int[]){100});
    expect_jpeg(3, JCS_RGB, 3, (int[]){100, 150, 200});
}

/* ---- changes */
static Picture picture_of(int64_t h, int64_t w, int64_t c, const uint8_t *at) {
    Picture p = {0};
    picture_shape(&p, h, w, c);
    memcpy(p.at, at, (size_t)(h * w * c));
    return p;
}

static void expect_resized(const uint8_t *from, int64_t h, int64_t w, int64_t to_h, int64_t to_w,
                           const uint8_t *want) {
    Picture a = picture_of(h, w, 1, from), b = {0};
    picture_resize(&a, to_h, to_w, &b);
    EXPECT(b.h == to_h && b.w == to_w && b.c == 1, "shape");
    for (int64_t i = 0; i < to_h * to_w; i++)
        EXPECT(b.at[i] == want[i], "pixel %lld is %d, not %d", (long long)i, b.at[i], want[i]);
    picture_free(&a);
    picture_free(&b);
}

static void test_changes(void) {
    static const uint8_t ramp[] = {0, 10, 20, 30, 40, 50, 60, 70};
    expect_resized(ramp, 2, 4, 2, 4, ramp);
    expect_resized(ramp, 1, 8, 1, 2,
                   (const uint8_t[]){19, 51}); /* triangles of 8, cut at the edges */
    expect_resized(ramp, 1, 2, 1, 4, (const uint8_t[]){0, 3, 8, 10});
    expect_resized((const uint8_t[]){9, 9, 9, 9, 9, 9}, 3, 2, 7, 5,
                   memset((uint8_t[35]){0}, 9, 35));
    Picture p = picture_of(1, 2, 3, (const uint8_t[]){255, 0, 0, 10, 20, 30});
    picture_grey(&p);
    EXPECT(p.c == 1 && p.at[0] == 76 && p.at[1] == 18, "%d %d", p.at[0], p.at[1]);
    picture_colour(&p);
    EXPECT(p.c == 3 && p.at[0] == 76 && p.at[2] == 76 && p.at[3] == 18 && p.at[5] == 18, "colour");
    picture_free(&p);
}

/* ---- records of each format */
typedef struct Batch8 {
    uint8_t image[8][3072];
    int32_t label[8];
    int64_t live;
} Batch8;

/* The first batch of 8 records of a source whose images have these sizes; `change` may be NULL. */
static bool read_batch(const Program *p, const int64_t *dim, bool train, Batch8 *b, Err *e) {
    Field field[] = {{.name = "image", .dtype = DT_u8, .rank = 3},
                     {.name = "label", .dtype = DT_i32}};
    memcpy(field[0].dim, dim, 3 * sizeof *dim);
    ReaderOptions o = options(p, 8, train, field, 2);
    Reader *r = reader_open(&o, e);
    char *image = heap_resize(NULL, (size_t)(8 * dim[0] * dim[1] * dim[2]));
    bool ok = r && reader_next(r, (char *[]){image, (char *)b->label}, &b->live, e);
    size_t n = (size_t)(dim[0] * dim[1] * dim[2]);
    for (size_t i = 0; ok && i < 8; i++) memcpy(b->image[i], image + n * i, n);
    heap_free(image);
    reader_close(r);
    return ok;
}

static void test_cifar(Arena *a) {
    Buf b = {0};
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 3073; k++) buf_put(&b, (char[]){(char)(k ? i + 5 * k : i)}, 1);
    Program *p = program_new(a, NULL);
    stage(p, "cifar", string_arg("files", write_file(a, "c.bin", b.data, b.n)), no_arg);
    Batch8 got;
    Err e = {0};
    bool ok = read_batch(p, (int64_t[]){32, 32, 3}, false, &got, &e);
    EXPECT(ok && got.live == 8 && got.label[7] == 7, "%s", e.msg);
    EXPECT(got.image[3][4] == (uint8_t)(3 + 5 * (1 + 1024 + 1)), "green of the second pixel");
    write_file(a, "c.bin", b.data, b.n - 1);
    EXPECT(!read_batch(p, (int64_t[]){32, 32, 3}, false, &got, &e), "taken");
    EXPECT(strstr(e.msg, "/c.bin' ends at byte 24583, within a record of 3073 bytes"), "%s", e.msg);
    b.data[3073] = 10;
    write_file(a, "c.bin", b.data, b.n);
    EXPECT(!read_batch(p, (int64_t[]){32, 32, 3}, false, &got, &e), "taken");
    EXPECT(strstr(e.msg, "byte 3073 is the label of a record, and it is 10"), "%s", e.msg);
    buf_free(&b);
}

static const char *write_npy(Arena *a, const char *name, const char *header, const void *data,
                             size_t n) {
    Buf b = {0};
    size_t length = strlen(header);
    buf_put(&b, "\x93NUMPY\1\0", 8);
    buf_put(&b, (char[]){(char)length, (char)(length >> 8)}, 2);
    buf_puts(&b, header);
    buf_put(&b, data, n);
    const char *path = write_file(a, name, b.data, b.n);
    buf_free(&b);
    return path;
}

static void expect_npy_refused(Arena *a, const char *header, size_t n, const char *want) {
    static const char zero[512];
    Program *p = program_new(a, NULL);
    stage(p, "npy", string_arg("images", write_npy(a, "bad.npy", header, zero, n)), no_arg);
    Batch8 got;
    Err e = {0};
    EXPECT(!read_batch(p, (int64_t[]){2, 3, 1}, false, &got, &e) && strstr(e.msg, want), "%s",
           e.msg);
}

static void test_npy(Arena *a) {
    uint8_t pixel[48];
    int64_t label[8];
    for (int i = 0; i < 48; i++) pixel[i] = (uint8_t)(5 * i), label[i % 8] = i - 40;
    Program *p = program_new(a, NULL);
    const char *images = write_npy(
        a, "i.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 2, 3), }\n", pixel, 48);
    const char *labels =
        write_npy(a, "l.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (8,), }\n", label,
                  sizeof label);
    stage(p, "npy", string_arg("images", images), string_arg("labels", labels));
    Batch8 got;
    Err e = {0};
    bool ok = read_batch(p, (int64_t[]){2, 3, 1}, false, &got, &e);
    EXPECT(ok && got.live == 8 && got.image[1][0] == 30 && got.label[2] == 2 && got.label[7] == 7,
           "%s", e.msg);
    expect_npy_refused(a, "{'descr': '|u1', 'fortran_order': True, 'shape': (8, 2, 3), }", 48,
                       "has no 'fortran_order': False that can be read here");
    expect_npy_refused(a, "{'descr': '<f8', 'fortran_order': False, 'shape': (8, 2, 3), }", 384,
                       "holds numbers of type '<f8'");
    expect_npy_refused(a, "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 2, 3", 48,
                       "has no 'shape'");
    expect_npy_refused(
        a, "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 2, 3), }", 40,
        "is cut short: it ends at byte 112, within record 7 of the 8 that its header promises");
    expect_npy_refused(a, "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 2, 3), }", 49,
                       "goes on after byte 120, where its last record ends");
    expect_npy_refused(a,
                       "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 2, 3), }",
                       49, "is cut short");
    expect_npy_refused(a,
                       "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 99999999999, 3), }",
                       49, "sides up to 32768 can be taken");
}

static void expect_csv(Arena *a, const char *text, const char *label, const char *want) {
    Program *p = program_new(a, NULL);
    static SpecArg arg[4];
    stage(p, "csv", no_arg, no_arg);
    p->data[0].arg = arg;
    p->data[0].narg = 4;
    arg[0] = string_arg("files", write_text(a, "p.csv", text));
    arg[1] = int_arg("height", 1), arg[2] = int_arg("width", 2),
    arg[3] = string_arg("label", label);
    Batch8 got;
    Err e = {0};
    bool ok = read_batch(p, (int64_t[]){1, 2, 1}, false, &got, &e);
    const char *said =
        ok ? arena_printf(a, "%d %d %d", got.image[1][0], got.image[1][1], got.label[1]) : e.msg;
    EXPECT(strstr(said, want), "'%s' gives '%s', not '%s'", text, said, want);
}

static void test_csv(Arena *a) {
    expect_csv(a, "1,2,3\n4.000000e+00,5,6\r\n\n", "last", "4 5 6");
    expect_csv(a, "label,a,b\n1,2,3\n4,5,255", "first", "5 255 4");
    expect_csv(a, "1,2\n4,256\n", "none", "p.csv:2: column 2 is 256; pixels are 0 to 255");
    expect_csv(a, "1,2,3\n4,5.5,6\n", "last", "p.csv:2: column 2 is '5.5', not a whole number");
    expect_csv(a, "1,2,3\n4,five,6\n", "last", "p.csv:2: column 2 is 'five', not a whole number");
    expect_csv(a, "1,2,3\n4,5\n", "last", "p.csv:2: the line has 2 columns, not 3");
    expect_csv(a, "1,2,3,4\n", "last",
               "has 3 columns beside the label: that is no multiple of 1 x 2");
    expect_csv(a, "", "last", "p.csv' is empty");
    expect_csv(a, "a,b,c\n", "last", "p.csv' has no line of pixels");
    expect_csv(a, "1,2,3\n", "lost", "label is \"last\", \"first\" or \"none\", not \"lost\"");
}

/* ---- folders */
static const char *fresh_folder(Arena *a, const char *name) {
    const char *path = in_folder(a, name);
    EXPECT(mkdir(path, 0777) == 0, "cannot make %s", path);
    return path;
}

static void put_jpeg(Arena *a, const char *name, int h, int w, int channels, size_t cut) {
    Buf b = {0};
    write_jpeg(h, w, channels, channels == 1 ? JCS_GRAYSCALE : JCS_RGB, &b);
    write_file(a, name, b.data, cut ? cut : b.n);
    buf_free(&b);
}

/* Folders "a" and "a-b", whose pictures come the other way round in order of path. */
static const char *make_folder(Arena *a) {
    const char *dir = fresh_folder(a, "f");
    fresh_folder(a, "f/a"), fresh_folder(a, "f/a-b");
    for (int i = 0; i < 4; i++) put_jpeg(a, arena_printf(a, "f/a/%d.jpg", i), 8, 8, 3, 0);
    for (int i = 0; i < 4; i++)
        put_jpeg(a, arena_printf(a, "f/a-b/%d.JPEG", i), 8, 8, i == 2 ? 1 : 3, 0);
    write_text(a, "f/a/notes.txt", "no picture\n");
    return dir;
}

static Program *folder_program(Arena *a, const char *dir, bool skip) {
    Program *p = program_new(a, NULL);
    stage(p, "images", string_arg("dir", dir), int_arg("skip_broken", skip));
    return p;
}

static void expect_folder_refused(const Program *p, const char *want) {
    static const int64_t dim[] = {8, 8, 3};
    Batch8 got;
    Err e = {0};
    EXPECT(!read_batch(p, dim, true, &got, &e) && strstr(e.msg, want), "%s", e.msg);
}

static void test_folder(Arena *a) {
    static const int64_t dim[] = {8, 8, 3};
    const char *dir = make_folder(a);
    Program *p = folder_program(a, dir, false);
    Batch8 got;
    Err e = {0};
    EXPECT(read_batch(p, dim, false, &got, &e) && got.live == 8, "%s", e.msg);
    EXPECT(got.label[0] == 1 && got.label[3] == 1 && got.label[4] == 0 && got.label[7] == 0,
           "labels");
    EXPECT(got.image[2][0] == got.image[2][1] && got.image[0][0] != got.image[0][1],
           "grey among colours");
    put_jpeg(a, "f/a-b/3.JPEG", 9, 8, 3, 0);
    expect_folder_refused(
        p, "/f/a-b/3.JPEG' has 9 x 8 pixels of 3 channels, and the first picture 8 x 8 of "
           "3; add | resize(height, width) after images(...)");
    put_jpeg(a, "f/a-b/3.JPEG", 8, 8, 3, 300);
    expect_folder_refused(
        p, "/f/a-b/3.JPEG' is a broken JPEG: line 0 of 8: Premature end of JPEG file; mend it, "
           "or leave such pictures out with images(dir, skip_broken = true)");
    write_text(a, "f/a-b/3.JPEG", "GIF89a");
    expect_folder_refused(p, "/f/a-b/3.JPEG' is neither PNG nor JPEG");
    expect_folder_refused(folder_program(a, in_folder(a, "none"), false), "/none' is none");
    expect_folder_refused(folder_program(a, in_folder(a, "[of]"), false),
                          "images takes a folder whose name has no *, ? or [ in it, not '");
    expect_folder_refused(folder_program(a, fresh_folder(a, "bare"), false),
                          "there is no .png, .jpg or .jpeg to be read in");
}

/* One of eight is broken: in training another takes its place, in an eval there are seven. */
static void test_skip(Arena *a) {
    static const int64_t dim[] = {8, 8, 3};
    Program *p = folder_program(a, in_folder(a, "f"), true);
    Batch8 got;
    Err e = {0};
    EXPECT(read_batch(p, dim, true, &got, &e) && got.live == 8, "%s", e.msg);
    EXPECT(got.label[3] == 0 && got.label[2] == 1, "the next one takes the place");
    EXPECT(read_batch(p, dim, false, &got, &e) && got.live == 7, "%s", e.msg);
    EXPECT(got.label[2] == 1 && got.label[3] == 0, "it is left out");
}

static void test_resized(Arena *a) {
    put_jpeg(a, "f/a-b/3.JPEG", 20, 30, 1, 0);
    Program *p = folder_program(a, in_folder(a, "f"), false);
    stage(p, "resize", int_arg("height", 4), int_arg("width", 6));
    Batch8 got;
    Err e = {0};
    EXPECT(read_batch(p, (int64_t[]){4, 6, 3}, false, &got, &e) && got.live == 8, "%s", e.msg);
    stage(p, "grayscale", no_arg, no_arg);
    EXPECT(read_batch(p, (int64_t[]){4, 6, 1}, false, &got, &e) && got.live == 8, "%s", e.msg);
    p->data[1].arg[0].i = 0;
    EXPECT(!read_batch(p, (int64_t[]){4, 6, 1}, false, &got, &e), "taken");
    EXPECT(str_eq(e.msg, "resize takes sides from 1 to 4096, not 0 and 6"), "%s", e.msg);
}

static void all_tests(Arena *a, Tokenizer *t) {
    (void)t;
    test_png();
    test_cuts();
    test_jpeg();
    test_changes();
    test_cifar(a);
    test_npy(a);
    test_csv(a);
    test_folder(a);
    test_skip(a);
    test_resized(a);
}

int main(void) {
    return run_data_tests(all_tests, "pictures");
}
