/* Files of records: the first byte says of which format, 'i' IDX images, 'l' IDX labels, 'n' .npy,
 * 'v' values as text, 'c' CIFAR-10; the rest is the file. What opens is read, whole and through
 * stages. */
#include <string.h>

#include "runtime/data/records.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

enum { ROWS = 32, MOST = 1 << 22 };

static const unsigned char eight_images[] = {0, 0, 8, 3, 0, 0, 0, 8, 0, 0, 0, 1,
                                             0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8};

static void look(const Pipeline *p) {
    void *out[FIELDS] = {0};
    size_t bytes = 0;
    for (int k = 0; k < p->nfield; k++) bytes += record_bytes(&p->field[k]);
    if (bytes > MOST) return;
    for (int k = 0; k < p->nfield; k++) out[k] = heap_resize(NULL, record_bytes(&p->field[k]));
    uint64_t n = pipeline_records(p);
    Err e = {0};
    for (uint64_t i = 0; i < n && i < ROWS; i++)
        CHECK(pipeline_row(p, 0, i % 2 ? n - 1 - i : i, out, &e) == GOT_record);
    for (int k = 0; k < p->nfield; k++) heap_free(out[k]);
}

static bool read_rows(const Spec *spec, int data) {
    Pipeline p;
    Err e = {0};
    bool ok = pipeline_open(&(PipelineOptions){.spec = spec, .data = data}, &p, &e);
    CHECK(ok == !e.msg[0]);
    if (!ok) return false;
    look(&p);
    pipeline_close(&p);
    return true;
}

static SpecArg text(const char *name, const char *s) {
    return (SpecArg){.name = name, .kind = ARG_str, .s = s};
}

static SpecArg number(const char *name, int64_t i) {
    return (SpecArg){.name = name, .kind = ARG_int, .i = i};
}

/* The source of a format. */
static bool name_source(char format, const char *path, const char *images, SpecArg arg[3],
                        DataSpec *d) {
    *d = (DataSpec){.input = -1, .arg = arg, .narg = 1};
    d->stage = format == 'n' ? "npy" : format == 'c' ? "cifar" : format == 'v' ? "csv" : "idx";
    arg[0] = text(format == 'c' || format == 'v' ? "files" : "images", path);
    if (format == 'l') arg[0].s = images, arg[d->narg++] = text("labels", path);
    if (format == 'v') arg[d->narg++] = number("height", 1), arg[d->narg++] = number("width", 2);
    return strchr("ilnvc", format) && format;
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    SpecArg arg[3], size[] = {number("height", 3), number("width", 2)};
    DataSpec stage[3] = {
        {0}, {.stage = "resize", .arg = size, .narg = 2}, {.stage = "grayscale", .input = 1}};
    Spec spec = {.data = stage, .ndata = 3};
    if (!n) return false;
    MemoryFile m = memory_file(data + 1, n - 1),
               images = memory_file(eight_images, sizeof eight_images);
    bool ok =
        name_source((char)data[0], m.path, images.path, arg, &stage[0]) && read_rows(&spec, 0);
    if (ok) read_rows(&spec, 2);
    close(m.fd);
    close(images.fd);
    return ok;
}
