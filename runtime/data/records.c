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
bool records_field(Records *r, const char *name, DType dtype, int rank, const int64_t *dim,
                   Err *e) {
    static const char *const axis[] = {"H", "W", "C"};
    Field f = {.name = name, .dtype = dtype, .rank = rank};
    int64_t bytes = (int64_t)dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        f.dim[i] = dim[i];
        if (rank == 3) f.dim_name[i] = axis[i];
        if (dim[i] < 1 || dim[i] > RECORD_BYTES_MAX / bytes)
            return err_set(e, "a record of '%s' would have more than %d MB", r->files,
                           RECORD_BYTES_MAX >> 20);
        bytes *= dim[i];
    }
    CHECK(r->nfield < SOURCE_FIELDS);
    r->field[r->nfield++] = f;
    return true;
}

bool records_picture_field(Records *r, int64_t h, int64_t w, int64_t c, Err *e) {
    if (h > SIDE_MAX || w > SIDE_MAX)
        return err_set(e,
                       "the images of '%s' are said to have %lld x %lld pixels; sides up to %d "
                       "can be taken",
                       r->files, (long long)h, (long long)w, SIDE_MAX);
    return records_field(r, "image", DT_u8, 3, (int64_t[]){h, w, c}, e);
}

bool records_label_field(Records *r, Err *e) {
    return records_field(r, "label", DT_i32, 0, NULL, e);
}

/* ---- columns */
bool records_put(Records *r, int field, const void *p, size_t n, Err *e) {
    r->hash = hash_bytes(p, n, r->hash);
    return store_put(&r->column[field], p, n, e);
}

bool records_put_label(Records *r, int64_t label, Err *e) {
    if (label < INT32_MIN || label > INT32_MAX)
        return err_set(e, "'%s' has a label of %lld, which is more than 32 bits hold", r->files,
                       (long long)label);
    int32_t narrow = (int32_t)label;
    return records_put(r, 1, &narrow, sizeof narrow, e);
}

static bool cut_short(const ZFile *z, size_t bytes, uint64_t done, uint64_t records, Err *e) {
    return err_set(e,
                   "'%s' is cut short: it ends at byte %llu, within record %llu of the %llu that "
                   "its header promises",
                   z->path, (unsigned long long)z->at, (unsigned long long)(done / bytes + 1),
                   (unsigned long long)records);
}

bool records_read(Records *r, int field, ZFile *z, uint64_t records, Err *e) {
    size_t bytes = record_bytes(&r->field[field]), chunk = CHUNK > bytes ? CHUNK : bytes, got;
    uint64_t total, done = 0;
    if (__builtin_mul_overflow(records, (uint64_t)bytes, &total))
        return err_set(e, "'%s' is said to hold more than there can be", z->path);
    char *part = heap_resize(NULL, chunk);
    bool ok = true;
    while (ok && done < total) {
        size_t want = total - done < chunk ? (size_t)(total - done) : chunk;
        ok = zfile_read(z, part, want, &got, e) && records_put(r, field, part, got, e);
        if (ok) done += got;
        if (ok && got < want) ok = cut_short(z, bytes, done, records, e);
    }
    heap_free(part);
    return ok;
}

const char *records_path(Records *r, const char *arg) {
    return spec_str(r->source, arg, "");
}

/* ---- opening */
static Records *records_new(const DataSpec *source) {
    Arena *a = arena_new();
    Records *r = NEW(a, Records);
    const char *args[] = {"images", "files", "dir"};
    *r = (Records){.users = 1, .arena = a, .source = source, .files = ""};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        if (*records_path(r, args[i])) r->files = records_path(r, args[i]);
    for (int k = 0; k < FIELDS; k++) r->column[k] = store_new(STORE_BUDGET);
    return r;
}

static bool read_head(Records *r, Err *e) {
    const RecordFormat *f = find_format(r->source->stage);
    return f ? f->head(r, e) : err_set(e, "'%s' is no source of records", r->source->stage);
}

bool source_fields(const DataSpec *source, Field field[SOURCE_FIELDS], int *n, Err *e) {
    Records *r = records_new(source);
    bool ok = read_head(r, e);
    *n = ok ? r->nfield : 0;
    memcpy(field, r->field, (size_t)*n * sizeof *field);
    records_close(r);
    return ok;
}

static bool load(Records *r, Err *e) {
    if (!read_head(r, e) || !find_format(r->source->stage)->load(r, e)) return false;
    for (int k = 0; k < r->nfield; k++)
        if (r->column[k].bytes && !store_finish(&r->column[k], e)) return false;
    return true;
}

Records *records_open(const DataSpec *source, Err *e) {
    Records *r = records_new(source);
    if (load(r, e)) return r;
    records_close(r);
    return NULL;
}

Records *records_share(Records *r) {
    atomic_fetch_add(&r->users, 1);
    return r;
}

void records_close(Records *r) {
    if (!r || atomic_fetch_sub(&r->users, 1) > 1) return;
    for (int k = 0; k < FIELDS; k++) store_free(&r->column[k]);
    arena_free(r->arena);
}
