/* A picture, PNG or JPEG: its shape, its pixels, and those made grey, coloured and another size. */
#include "runtime/data/records.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

enum { PIXELS_MOST = 1 << 18 };

static void change(Picture *p) {
    Picture small = {0};
    picture_resize(p, 3, 50, &small);
    picture_grey(&small);
    picture_colour(&small);
    CHECK(small.h == 3 && small.w == 50 && small.c == 3);
    picture_free(&small);
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    MemoryFile m = memory_file(data, n);
    Buf file = {0};
    Picture shape = {0}, p = {0};
    Err e = {0};
    bool ok = picture_read(m.path, &file, true, &shape, &e) == GOT_record;
    CHECK(ok == !e.msg[0]);
    ok = ok && shape.h * shape.w <= PIXELS_MOST &&
         picture_read(m.path, &file, false, &p, &e) == GOT_record;
    if (ok) {
        CHECK(p.h == shape.h && p.w == shape.w && p.c == shape.c && (p.c == 1 || p.c == 3));
        change(&p);
    }
    picture_free(&p);
    buf_free(&file);
    close(m.fd);
    return ok;
}
