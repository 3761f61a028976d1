/* Pictures: a file's bytes become pixels of 8 bits, one channel or three; a picture is made grey,
 * made colour, or another size. Files are read whole, their kind told by their first bytes. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/records.h"

enum { FILE_MAX = 1 << 28, PIXELS_MAX = 1 << 26 };

void picture_shape(Picture *p, int64_t h, int64_t w, int64_t c) {
    size_t n = (size_t)h * (size_t)w * (size_t)c;
    if (n > p->cap) p->at = heap_resize(p->at, p->cap = n);
    p->h = h, p->w = w, p->c = c;
}

void picture_free(Picture *p) {
    heap_free(p->at);
    *p = (Picture){0};
}

bool picture_check(uint64_t h, uint64_t w, Err *e) {
    if (h >= 1 && w >= 1 && h <= SIDE_MAX && w <= SIDE_MAX && h * w <= PIXELS_MAX) return true;
    return err_set(e,
                   "it says to have %llu x %llu pixels; sides up to %d and %d pixels can be taken",
                   (unsigned long long)h, (unsigned long long)w, SIDE_MAX, PIXELS_MAX);
}

/* ---- files */
static bool read_bytes(int fd, size_t n, Buf *b) {
    while (b->n < n) {
        ssize_t got = read(fd, b->data + b->n, n - b->n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0; /* shorter than it was: its decoder will say so */
        b->n += (size_t)got;
    }
    return true;
}

static bool read_file(const char *path, Buf *b, Err *e) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    b->n = 0;
    if (ok && st.st_size > FILE_MAX) {
        close(fd);
        return err_set(e, "'%s' is larger than %d MB", path, FILE_MAX >> 20);
    }
    if (ok && b->cap < (size_t)st.st_size + 1)
        b->data = heap_resize(b->data, b->cap = (size_t)st.st_size + 1);
    ok = ok && read_bytes(fd, (size_t)st.st_size, b);
    if (!ok) err_set(e, "cannot read '%s': %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return ok;
}

Got picture_read(const char *path, Buf *file, bool only_shape, Picture *p, Err *e) {
    Err why = {0};
    if (!read_file(path, file, e)) return GOT_error;
    bool png = png_is(file), jpeg = !png && jpeg_is(file);
    if (png && png_read(file, only_shape, p, &why)) return GOT_record;
    if (jpeg && jpeg_read(file, only_shape, p, &why)) return GOT_record;
    if (png || jpeg)
        err_set(e, "'%s' is a broken %s: %s", path, png ? "PNG" : "JPEG", why.msg);
    else
        err_set(e, file->n ? "'%s' is neither PNG nor JPEG" : "'%s' is empty", path);
    return GOT_broken;
}

/* ---- channels */
void picture_grey(Picture *p) {
    if (p->c == 1) return;
    int64_t n = p->h * p->w;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *x = p->at + 3 * i;
        p->at[i] = (uint8_t)((299 * x[0] + 587 * x[1] + 114 * x[2] + 500) / 1000);
    }
    p->c = 1;
}

void picture_colour(Picture *p) {
    if (p->c == 3) return;
    picture_shape(p, p->h, p->w, 3);
    for (int64_t i = p->h * p->w - 1; i >= 0; i--) /* from the end: it grows in place */
        p->at[3 * i] = p->at[3 * i + 1] = p->at[3 * i + 2] = p->at[i];
}

/* ---- size */
typedef struct Taps { /* which old places make each new one, and how much of each */
    int64_t to, most;
    int64_t *first, *n;
    float *weight; /* [to, most] */
} Taps;

/* A triangle around where the middle of new pixel `i` falls, cut at the edges. */
static void tap(Taps *t, int64_t i, int64_t from, double scale, double reach) {
    double centre = ((double)i + 0.5) * scale - 0.5, sum = 0;
    int64_t low = (int64_t)ceil(centre - reach), high = (int64_t)floor(centre + reach);
    if (low < 0) low = 0;
    if (high > from - 1) high = from - 1;
    float *w = t->weight + i * t->most;
    for (int64_t k = low; k <= high; k++) {
        w[k - low] = (float)(1 - fabs((double)k - centre) / reach);
        sum += (double)w[k - low];
    }
    for (int64_t k = 0; k <= high - low; k++) w[k] = (float)((double)w[k] / sum);
    t->first[i] = low;
    t->n[i] = high - low + 1;
}

static void taps_make(Taps *t, int64_t from, int64_t to) {
    double scale = (double)from / (double)to, reach = scale > 1 ? scale : 1;
    *t = (Taps){.to = to, .most = 2 * (int64_t)reach + 3};
    t->first = heap_resize(NULL, (size_t)to * sizeof *t->first);
    t->n = heap_resize(NULL, (size_t)to * sizeof *t->n);
    t->weight = heap_resize(NULL, (size_t)(to * t->most) * sizeof *t->weight);
    for (int64_t i = 0; i < to; i++) tap(t, i, from, scale, reach);
}

static void taps_free(Taps *t) {
    heap_free(t->first);
    heap_free(t->n);
    heap_free(t->weight);
}

/* One old line at its new width, in floats. */
static void narrow_line(const Taps *t, const uint8_t *from, int64_t c, float *to) {
    for (int64_t i = 0; i < t->to; i++)
        for (int64_t k = 0; k < c; k++) {
            const float *w = t->weight + i * t->most;
            const uint8_t *x = from + t->first[i] * c + k;
            float sum = 0;
            for (int64_t j = 0; j < t->n[i]; j++) sum += w[j] * (float)x[j * c];
            to[i * c + k] = sum;
        }
}

static void blend_lines(const Taps *t, int64_t i, const float *line, int64_t width, uint8_t *to) {
    const float *w = t->weight + i * t->most;
    for (int64_t x = 0; x < width; x++) {
        float sum = 0.5F;
        for (int64_t j = 0; j < t->n[i]; j++) sum += w[j] * line[(t->first[i] + j) * width + x];
        to[x] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

void picture_resize(const Picture *from, int64_t h, int64_t w, Picture *to) {
    Taps across, down;
    taps_make(&across, from->w, w);
    taps_make(&down, from->h, h);
    int64_t width = w * from->c;
    float *line = heap_resize(NULL, (size_t)(from->h * width) * sizeof *line);
    picture_shape(to, h, w, from->c);
    for (int64_t y = 0; y < from->h; y++)
        narrow_line(&across, from->at + y * from->w * from->c, from->c, line + y * width);
    for (int64_t y = 0; y < h; y++) blend_lines(&down, y, line, width, to->at + y * width);
    heap_free(line);
    taps_free(&across);
    taps_free(&down);
}
