/* Pixels as text: a line a picture, its values whole numbers from 0 to 255 between commas, row by
 * row and channels last, with the label in the last column, in the first, or in none. A first line
 * that holds no number is a heading. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/records.h"

enum { BLOCK = 1 << 16, LINE_MAX_BYTES = 1 << 24 };

typedef struct Csv {
    ZFile z;
    Buf text; /* read, and from `at` not yet given */
    size_t at;
    bool ended;
    uint64_t line; /* number of the last line given */
} Csv;

/* ---- lines */
static bool read_block(Csv *c, Err *e) {
    char block[BLOCK];
    size_t got;
    if (!zfile_read(&c->z, block, BLOCK, &got, e)) return false;
    if (c->at) memmove(c->text.data, c->text.data + c->at, c->text.n - c->at);
    c->text.n -= c->at;
    c->at = 0;
    buf_put(&c->text, block, got);
    c->ended = got < BLOCK;
    return c->text.n < LINE_MAX_BYTES ||
           err_set(e, "%s:%llu: the line has more than %d bytes", c->z.path,
                   (unsigned long long)c->line + 1, LINE_MAX_BYTES);
}

/* The next line that is not blank, ended by a zero; NULL in `line` at the end. */
static bool next_line(Csv *c, char **line, Err *e) {
    for (*line = NULL;;) {
        char *from = c->text.data ? c->text.data + c->at : NULL,
             *end = from ? memchr(from, '\n', c->text.n - c->at) : NULL;
        if (!end && !c->ended) {
            if (!read_block(c, e)) return false;
            continue;
        }
        if (!end && c->at == c->text.n) return true;
        if (!end) end = c->text.data + c->text.n; /* its final zero */
        c->at = (size_t)(end - c->text.data) + (end < c->text.data + c->text.n);
        *end = 0;
        c->line++;
        if (end > from && end[-1] == '\r') end[-1] = 0;
        if (from[strspn(from, " \t")]) return *line = from, true;
    }
}

/* ---- columns */
static int64_t count_columns(const char *line) {
    int64_t n = 1;
    for (; *line; line++) n += *line == ',' || *line == ';';
    return n;
}

/* A whole number and the column's end; 5, 5.0 and 5.000e+00 are all 5. */
static bool read_number(Csv *c, char **at, int64_t column, double *out, Err *e) {
    char *end;
    *out = strtod(*at, &end);
    bool whole = end > *at && floor(*out) == *out && fabs(*out) <= INT32_MAX;
    end += strspn(end, " \t\"");
    if (!whole || (*end && *end != ',' && *end != ';'))
        return err_set(e, "%s:%llu: column %lld is '%.*s', not a whole number", c->z.path,
                       (unsigned long long)c->line, (long long)column + 1,
                       (int)(strcspn(*at, ",;") < 40 ? strcspn(*at, ",;") : 40), *at);
    *at = end + (*end != 0);
    return true;
}

static bool is_heading(const char *line) {
    char *end;
    line += strspn(line, " \t\"");
    strtod(line, &end);
    return end == line;
}

typedef struct Columns { /* where the label stands: -1: nowhere */
    int64_t pixels, label;
} Columns;

static const char *label_place(const Records *r) {
    return spec_str(r->source, "label", "last");
}

static Columns columns_of(const Records *r) {
    const Field *f = &r->field[0];
    Columns c = {.pixels = f->dim[0] * f->dim[1] * f->dim[2], .label = -1};
    if (str_eq(label_place(r), "last")) c.label = c.pixels;
    if (str_eq(label_place(r), "first")) c.label = 0;
    return c;
}

static bool put_line(Records *r, Csv *c, Columns k, char *line, uint8_t *pixel, Err *e) {
    int64_t columns = k.pixels + (k.label >= 0), n = count_columns(line), done = 0;
    if (n != columns)
        return err_set(e, "%s:%llu: the line has %lld columns, not %lld", c->z.path,
                       (unsigned long long)c->line, (long long)n, (long long)columns);
    for (int64_t i = 0; i < columns; i++) {
        double v;
        if (!read_number(c, &line, i, &v, e)) return false;
        if (i == k.label) {
            if (!records_put_label(r, (int64_t)v, e)) return false;
            continue;
        }
        if (v < 0 || v > 255)
            return err_set(e, "%s:%llu: column %lld is %g; pixels are 0 to 255", c->z.path,
                           (unsigned long long)c->line, (long long)i + 1, v);
        pixel[done++] = (uint8_t)v;
    }
    r->n++;
    return records_put(r, 0, pixel, (size_t)k.pixels, e);
}

static bool read_lines(Records *r, Csv *c, uint8_t *pixel, Err *e) {
    Columns k = columns_of(r);
    char *line;
    while (next_line(c, &line, e)) {
        if (!line) return true;
        if (c->line == 1 && is_heading(line)) continue;
        if (!put_line(r, c, k, line, pixel, e)) return false;
    }
    return false;
}

static void csv_close(Csv *c) {
    zfile_close(&c->z);
    buf_free(&c->text);
}

static bool load_file(Records *r, const char *path, uint8_t *pixel, Err *e) {
    Csv c = {0};
    bool ok = zfile_open(path, &c.z, e) && read_lines(r, &c, pixel, e);
    csv_close(&c);
    return ok;
}

bool csv_load(Records *r, Err *e) {
    FileList files;
    if (!glob_files(r->arena, records_path(r, "files"), &files, e)) return false;
    uint8_t *pixel = NEW_N(r->arena, uint8_t, columns_of(r).pixels);
    for (size_t i = 0; i < files.n; i++)
        if (!load_file(r, files.path[i], pixel, e)) return false;
    return r->n || err_set(e, "'%s' has no line of pixels", r->files);
}

/* ---- what the first line says */
static bool first_columns(Records *r, int64_t *columns, Err *e) {
    FileList files;
    Csv c = {0};
    char *line = NULL;
    bool ok = glob_files(r->arena, records_path(r, "files"), &files, e) &&
              zfile_open(files.path[0], &c.z, e) && next_line(&c, &line, e);
    if (ok && !line) ok = err_set(e, "'%s' is empty", files.path[0]);
    if (ok) *columns = count_columns(line);
    csv_close(&c);
    return ok;
}

bool csv_head(Records *r, Err *e) {
    int64_t h = spec_int(r->source, "height", 0), w = spec_int(r->source, "width", 0), n = 0;
    const char *place = label_place(r);
    bool none = str_eq(place, "none");
    if (!none && !str_eq(place, "first") && !str_eq(place, "last"))
        return err_set(e, "label is \"last\", \"first\" or \"none\", not \"%s\"", place);
    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX)
        return err_set(e, "csv takes a height and a width from 1 to %d, not %lld and %lld",
                       SIDE_MAX, (long long)h, (long long)w);
    if (!first_columns(r, &n, e)) return false;
    n -= !none;
    if (n < 1 || n % (h * w))
        return err_set(e,
                       "the first line of '%s' has %lld columns beside the label: that is no "
                       "multiple of %lld x %lld",
                       r->files, (long long)n, (long long)h, (long long)w);
    return records_picture_field(r, h, w, n / (h * w), e) && (none || records_label_field(r, e));
}
