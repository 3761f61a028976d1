/* Reading safetensors: eight bytes of header length (little endian), a JSON header, the tensors'
 * bytes.
 *
 * The file is mapped and nothing in it is believed: the header must fit the file, every tensor's
 * offsets must lie in the data and hold exactly its shape and dtype, and together tensors must
 * cover the data without gap or overlap. A file that passes can be read without further checks.
 * Limits: the dtypes upt has, RANK dimensions, headers of 100 MB. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"

enum { LENGTH_BYTES = 8, HEADER_MAX = 100 * 1000 * 1000 };

static const char *const DTYPE_NAME[DT_COUNT] = {
    [DT_f32] = "F32", [DT_f64] = "F64", [DT_bf16] = "BF16", [DT_i32] = "I32",
    [DT_i64] = "I64", [DT_u8] = "U8",   [DT_bool] = "BOOL",
};

const char *checkpoint_dtype(DType t) {
    return DTYPE_NAME[t];
}

typedef struct Opening {
    const char *path;
    Checkpoint *c;
    const char *data; /* after the header */
    int64_t data_bytes;
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
    return err_set(o->e, "'%s': tensor '%.200s' is of dtype %.20s, which upt does not have",
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
    t->data = o->data + begin;
    return true;
}

static bool is_bool_data(const CheckTensor *t) {
    const unsigned char *p = t->data;
    for (int64_t i = 0; i < t->bytes; i++)
        if (p[i] > 1) return false;
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
    if (t->dtype == DT_bool && !is_bool_data(t))
        return bad(o, name, "is BOOL and holds other than 0 and 1");
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
    if ((*x)->data != (*y)->data)
        return (const char *)(*x)->data < (const char *)(*y)->data ? -1 : 1;
    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* Every byte of the data belongs to one tensor. */
static bool check_cover(const Opening *o) {
    size_t n = (size_t)o->c->ntensor;
    CheckTensor **order = NEW_N(o->c->arena, CheckTensor *, n);
    for (size_t i = 0; i < n; i++) order[i] = &o->c->tensor[i];
    if (n) qsort(order, n, sizeof *order, by_place);
    const char *at = o->data;
    for (size_t i = 0; i < n; i++) {
        if ((const char *)order[i]->data < at) return bad(o, order[i]->name, "overlaps another");
        if ((const char *)order[i]->data > at) return bad(o, order[i]->name, "comes after a gap");
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

static bool read_mapped(Opening *o) {
    const unsigned char *p = o->c->map;
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)p[i] << (8 * i);
    if (length > o->c->map_bytes - LENGTH_BYTES)
        return damaged(o, "its header is longer than the file");
    if (length > HEADER_MAX) return damaged(o, "its header is longer than 100 MB");
    o->data = (const char *)p + LENGTH_BYTES + length;
    o->data_bytes = (int64_t)(o->c->map_bytes - LENGTH_BYTES - length);
    json_error_t why;
    json_t *root =
        json_loadb((const char *)p + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(o->e, "'%s' is damaged or not a checkpoint: its header: %s", o->path,
                       why.text);
    bool ok = read_header(o, root);
    json_decref(root);
    return ok;
}

static bool map_file(Opening *o, int fd) {
    struct stat st;
    if (fstat(fd, &st) != 0) return err_set(o->e, "cannot read '%s': %s", o->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return err_set(o->e, "cannot read '%s': it is not a file", o->path);
    if (st.st_size < LENGTH_BYTES) return damaged(o, "it is too short");
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return err_set(o->e, "cannot map '%s': %s", o->path, strerror(errno));
    o->c->map = at;
    o->c->map_bytes = (size_t)st.st_size;
    return true;
}

bool checkpoint_open(const char *path, Checkpoint *c, Err *e) {
    memset(c, 0, sizeof *c);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, "cannot open '%s': %s", path, strerror(errno));
    c->arena = arena_new();
    Opening o = {.path = path, .c = c, .e = e};
    bool ok = map_file(&o, fd) && read_mapped(&o);
    close(fd);
    if (!ok) checkpoint_close(c);
    return ok;
}

void checkpoint_close(Checkpoint *c) {
    if (c->map) munmap(c->map, c->map_bytes);
    if (c->arena) arena_free(c->arena);
    memset(c, 0, sizeof *c);
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
