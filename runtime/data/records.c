/* Records: what all their formats share. The fields are known from little more than a header;
 * opened, the records lie in columns, or the files to decode are known by name. */
#include <string.h>

#include "runtime/data/records.h"

enum { CHUNK = 1 << 20 };

static const RecordFormat formats[] = {
#define X(name) {#name, name##_head, name##_load},
    RECORD_FORMATS(X)
#undef X
};

static const RecordFormat *find_format(const char *stage) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (str_eq(formats[i].stage, stage)) return &formats[i];
    return NULL;
}

bool records_has(const char *stage) {
    return find_format(stage);
}

/* ---- fields */
bool records_field(Records *t, const char *name, DType dtype, int rank, const int64_t *dim,
                   Err *e) {
    static const char *const axis[] = {"H", "W", "C"};
    Field f = {.name = name, .dtype = dtype, .rank = rank};
    int64_t bytes = (int64_t)dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        f.dim[i] = dim[i];
        if (rank == 3) f.dim_name[i] = axis[i];
        if (dim[i] < 1 || dim[i] > RECORD_BYTES_MAX / bytes)
            return err_set(e, "a record of '%s' would have more than %d MB", t->files,
                           RECORD_BYTES_MAX >> 20);
        bytes *= dim[i];
    }
    CHECK(t->nfield < SOURCE_FIELDS);
    t->field[t->nfield++] = f;
    return true;
}

bool records_picture_field(Records *t, int64_t h, int64_t w, int64_t c, Err *e) {
    if (h > SIDE_MAX || w > SIDE_MAX)
        return err_set(e,
                       "the images of '%s' are said to have %lld x %lld pixels; sides up to %d "
                       "can be taken",
                       t->files, (long long)h, (long long)w, SIDE_MAX);
    return records_field(t, "image", DT_u8, 3, (int64_t[]){h, w, c}, e);
}

bool records_label_field(Records *t, Err *e) {
    return records_field(t, "label", DT_i32, 0, NULL, e);
}

/* ---- columns */
bool records_put(Records *t, int field, const void *p, size_t n, Err *e) {
    t->hash = hash_bytes(p, n, t->hash);
    return store_put(&t->column[field], p, n, e);
}

bool records_put_label(Records *t, int64_t label, Err *e) {
    if (label < INT32_MIN || label > INT32_MAX)
        return err_set(e, "'%s' has a label of %lld, which is more than 32 bits hold", t->files,
                       (long long)label);
    int32_t narrow = (int32_t)label;
    return records_put(t, 1, &narrow, sizeof narrow, e);
}

static bool cut_short(const Records *t, const ZFile *z, size_t bytes, uint64_t done,
                      uint64_t records, Err *e) {
    (void)t;
    return err_set(e,
                   "'%s' is cut short: it ends at byte %llu, within record %llu of the %llu that "
                   "its header promises",
                   z->path, (unsigned long long)z->at, (unsigned long long)(done / bytes + 1),
                   (unsigned long long)records);
}

bool records_read(Records *t, int field, ZFile *z, uint64_t records, Err *e) {
    size_t bytes = record_bytes(&t->field[field]), chunk = CHUNK > bytes ? CHUNK : bytes, got;
    uint64_t total, done = 0;
    if (__builtin_mul_overflow(records, (uint64_t)bytes, &total))
        return err_set(e, "'%s' is said to hold more than there can be", z->path);
    char *part = heap_resize(NULL, chunk);
    bool ok = true;
    while (ok && done < total) {
        size_t want = total - done < chunk ? (size_t)(total - done) : chunk;
        ok = zfile_read(z, part, want, &got, e) && records_put(t, field, part, got, e);
        if (ok) done += got;
        if (ok && got < want) ok = cut_short(t, z, bytes, done, records, e);
    }
    heap_free(part);
    return ok;
}

const char *records_path(Records *t, const char *arg) {
    return spec_str(t->source, arg, "");
}

/* ---- opening */
static Records *records_new(const DataSpec *source) {
    Arena *a = arena_new();
    Records *t = NEW(a, Records);
    const char *args[] = {"images", "files", "dir"};
    *t = (Records){.users = 1, .arena = a, .source = source, .files = ""};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        if (*records_path(t, args[i])) t->files = records_path(t, args[i]);
    for (int k = 0; k < FIELDS; k++) t->column[k] = store_new(STORE_BUDGET);
    return t;
}

static bool read_head(Records *t, Err *e) {
    const RecordFormat *f = find_format(t->source->stage);
    return (f && f->head(t, e)) ||
           (f ? false : err_set(e, "'%s' is no source of records", t->source->stage));
}

bool source_fields(const DataSpec *source, Field field[SOURCE_FIELDS], int *n, Err *e) {
    Records *t = records_new(source);
    bool ok = read_head(t, e);
    *n = ok ? t->nfield : 0;
    memcpy(field, t->field, (size_t)*n * sizeof *field);
    records_close(t);
    return ok;
}

static bool load(Records *t, Err *e) {
    if (!read_head(t, e) || !find_format(t->source->stage)->load(t, e)) return false;
    for (int k = 0; k < t->nfield; k++)
        if (t->column[k].bytes && !store_finish(&t->column[k], e)) return false;
    return true;
}

Records *records_open(const DataSpec *source, Err *e) {
    Records *t = records_new(source);
    if (load(t, e)) return t;
    records_close(t);
    return NULL;
}

Records *records_share(Records *t) {
    atomic_fetch_add(&t->users, 1);
    return t;
}

void records_close(Records *t) {
    if (!t || atomic_fetch_sub(&t->users, 1) > 1) return;
    for (int k = 0; k < FIELDS; k++) store_free(&t->column[k]);
    arena_free(t->arena);
}
