/* Reading safetensors: eight bytes of header length (little endian), a JSON header, the tensors'
 * bytes.
 *
 * Nothing in the file is believed: the header must fit the file, every tensor's offsets must lie in
 * the data and hold exactly its shape and dtype, and together tensors must cover the data without
 * gap or overlap. The file is read, never mapped, so that one that shrinks meanwhile is an error
 * and not a signal, and one that is written over is noticed. Limits: the dtypes upt has, RANK
 * dimensions, headers of 100 MB. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"

enum { LENGTH_BYTES = 8, HEADER_MAX = 100 * 1000 * 1000 };

static const char *const DTYPE_NAME[DT_COUNT] = {
    [DT_f32] = "F32", [DT_f64] = "F64", [DT_bf16] = "BF16", [DT_i32] = "I32",
    [DT_i64] = "I64", [DT_u8] = "U8",   [DT_bool] = "BOOL", [DT_i8] = "I8",
};

const char *checkpoint_dtype(DType t) {
    return DTYPE_NAME[t];
}

typedef struct Opening {
    const char *path;
    Checkpoint *c;
    int64_t data, data_bytes; /* after the header */
    Err *e;
} Opening;

static bool bad(const Opening *o, const char *name, const char *what) {
    return err_set(o->e, "'%s' is damaged or not a checkpoint: tensor '%.200s' %s", o->path, name,
                   what);
}

static bool damaged(const Opening *o, const char *what) {
    return err_set(o->e, "'%s' is damaged or not a checkpoint: %s", o->path, what);
}

/* ---- one tensor's entry in the header */

static bool read_dtype(const Opening *o, CheckTensor *t, const json_t *j) {
    const char *s = json_string_value(j);
    if (!s) return bad(o, t->name, "has no dtype");
    for (int i = 0; i < DT_COUNT; i++)
        if (str_eq(s, DTYPE_NAME[i])) {
            t->dtype = (DType)i;
            return true;
        }
    return err_set(o->e,
                   "'%s': tensor '%.200s' is of dtype %.20s, which upt does not have: convert it "
                   "to F32",
                   o->path, t->name, s);
}

/* Also gives its size in bytes, with overflow refused. */
static bool read_shape(const Opening *o, CheckTensor *t, const json_t *j) {
    if (!json_is_array(j)) return bad(o, t->name, "has no shape");
    if (json_array_size(j) > RANK) return bad(o, t->name, "has more than 8 dimensions");
    t->rank = (int)json_array_size(j);
    t->bytes = (int64_t)dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(j, (size_t)i);
        t->dim[i] = json_is_integer(d) ? (int64_t)json_integer_value(d) : -1;
        if (t->dim[i] < 0) return bad(o, t->name, "has a dimension that is not a size");
        if (__builtin_mul_overflow(t->bytes, t->dim[i], &t->bytes))
            return bad(o, t->name, "has a shape too large for any file");
    }
    return true;
}

static bool read_offsets(const Opening *o, CheckTensor *t, const json_t *j) {
    const json_t *first = json_array_get(j, 0), *last = json_array_get(j, 1);
    if (json_array_size(j) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return bad(o, t->name, "has no data_offsets");
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || end > o->data_bytes)
        return bad(o, t->name, "lies outside the file");
    if (end - begin != t->bytes) return bad(o, t->name, "has another size than its shape says");
    t->at = o->data + begin;
    return true;
}

static bool read_tensor(const Opening *o, const char *name, const json_t *j) {
    CheckTensor *t = &o->c->tensor[o->c->ntensor];
    t->name = arena_strdup(o->c->arena, name);
    if (!json_is_object(j)) return bad(o, name, "is not described by an object");
    if (!read_dtype(o, t, json_object_get(j, "dtype")) ||
        !read_shape(o, t, json_object_get(j, "shape")) ||
        !read_offsets(o, t, json_object_get(j, "data_offsets")))
        return false;
    o->c->ntensor++;
    return true;
}

/* ---- the header */

static bool read_meta(const Opening *o, json_t *j) {
    if (!json_is_object(j)) return damaged(o, "its __metadata__ is not an object");
    o->c->meta = NEW_N(o->c->arena, MapEntry, json_object_size(j));
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value) {
        if (!json_is_string(value)) return damaged(o, "its __metadata__ holds other than strings");
        MapEntry *m = &o->c->meta[o->c->nmeta++];
        m->key = arena_strdup(o->c->arena, key);
        m->value = arena_strdup(o->c->arena, json_string_value(value));
    }
    return true;
}

static int by_place(const void *a, const void *b) {
    const CheckTensor *const *x = a, *const *y = b;
    if ((*x)->at != (*y)->at) return (*x)->at < (*y)->at ? -1 : 1;
    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* Every byte of the data belongs to one tensor. */
static bool check_cover(const Opening *o) {
    size_t n = (size_t)o->c->ntensor;
    CheckTensor **order = NEW_N(o->c->arena, CheckTensor *, n);
    for (size_t i = 0; i < n; i++) order[i] = &o->c->tensor[i];
    if (n) qsort(order, n, sizeof *order, by_place);
    int64_t at = o->data;
    for (size_t i = 0; i < n; i++) {
        if (order[i]->at < at) return bad(o, order[i]->name, "overlaps another");
        if (order[i]->at > at) return bad(o, order[i]->name, "comes after a gap");
        at += order[i]->bytes;
    }
    return at == o->data + o->data_bytes || damaged(o, "bytes are left over at its end");
}

static bool read_header(const Opening *o, json_t *root) {
    if (!json_is_object(root)) return damaged(o, "its header is not a JSON object");
    o->c->tensor = NEW_N(o->c->arena, CheckTensor, json_object_size(root));
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        bool ok = str_eq(key, "__metadata__") ? read_meta(o, value) : read_tensor(o, key, value);
        if (!ok) return false;
    }
    return check_cover(o);
}

/* ---- the file */

static bool read_at(const Checkpoint *c, int64_t at, void *out, size_t n, Err *e) {
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(c->fd, (char *)out + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(e, "cannot read '%s': %s", c->path, strerror(errno));
        if (got == 0)
            return err_set(e, "'%s' became shorter while it was read: it ends at byte %" PRId64,
                           c->path, at + (int64_t)done);
        done += (size_t)got;
    }
    return true;
}

static bool look_at(const Checkpoint *c, struct stat *st, Err *e) {
    return fstat(c->fd, st) == 0 || err_set(e, "cannot read '%s': %s", c->path, strerror(errno));
}

static int64_t time_of_change(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static bool is_bool_data(const unsigned char *p, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (p[i] > 1) return false;
    return true;
}

bool checkpoint_read_part(const Checkpoint *c, const CheckTensor *t, int64_t first, int64_t bytes,
                          void *out, Err *e) {
    struct stat st;
    CHECK(first >= 0 && bytes >= 0 && bytes <= t->bytes - first);
    if (!read_at(c, t->at + first, out, (size_t)bytes, e) || !look_at(c, &st, e)) return false;
    return (st.st_size == c->bytes && time_of_change(&st) == c->changed) ||
           err_set(e, "'%s' changed while it was read", c->path);
}

bool checkpoint_read(const Checkpoint *c, const CheckTensor *t, void *out, Err *e) {
    if (!checkpoint_read_part(c, t, 0, t->bytes, out, e)) return false;
    if (t->dtype == DT_bool && !is_bool_data(out, t->bytes))
        return err_set(e, "'%s' is damaged: tensor '%.200s' is BOOL and holds other than 0 and 1",
                       c->path, t->name);
    return true;
}

static bool read_text(Opening *o, uint64_t length) {
    char *text = heap_resize(NULL, (size_t)length + 1);
    json_error_t why;
    bool ok = read_at(o->c, LENGTH_BYTES, text, (size_t)length, o->e);
    json_t *root = ok ? json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &why) : NULL;
    heap_free(text);
    if (ok && !root)
        err_set(o->e, "'%s' is damaged or not a checkpoint: its header, at byte %d: %s", o->path,
                why.position, why.text);
    ok = root && read_header(o, root);
    json_decref(root);
    return ok;
}

static bool read_file(Opening *o) {
    struct stat st;
    unsigned char p[LENGTH_BYTES];
    if (!look_at(o->c, &st, o->e)) return false;
    if (!S_ISREG(st.st_mode)) return err_set(o->e, "cannot read '%s': it is not a file", o->path);
    if (st.st_size < LENGTH_BYTES) return damaged(o, "it is too short");
    o->c->bytes = st.st_size;
    o->c->changed = time_of_change(&st);
    if (!read_at(o->c, 0, p, sizeof p, o->e)) return false;
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)p[i] << (8 * i);
    if (length > (uint64_t)st.st_size - LENGTH_BYTES)
        return damaged(o, "its header is longer than the file");
    if (length > HEADER_MAX) return damaged(o, "its header is longer than 100 MB");
    o->data = LENGTH_BYTES + (int64_t)length;
    o->data_bytes = st.st_size - o->data;
    return read_text(o, length);
}

bool checkpoint_open(const char *path, Checkpoint *c, Err *e) {
    *c = (Checkpoint){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (c->fd < 0) return err_set(e, "cannot open '%s': %s", path, strerror(errno));
    c->arena = arena_new();
    c->path = arena_strdup(c->arena, path);
    Opening o = {.path = path, .c = c, .e = e};
    bool ok = read_file(&o);
    if (!ok) checkpoint_close(c);
    return ok;
}

void checkpoint_close(Checkpoint *c) {
    if (c->fd >= 0) close(c->fd);
    if (c->arena) arena_free(c->arena);
    *c = (Checkpoint){.fd = -1};
}

const CheckTensor *checkpoint_find(const Checkpoint *c, const char *name) {
    for (int i = 0; i < c->ntensor; i++)
        if (str_eq(c->tensor[i].name, name)) return &c->tensor[i];
    return NULL;
}

const char *checkpoint_meta(const Checkpoint *c, const char *key) {
    for (int i = 0; i < c->nmeta; i++)
        if (str_eq(c->meta[i].key, key)) return c->meta[i].value;
    return NULL;
}
