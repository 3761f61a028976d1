/* Writing safetensors, by file_replace: a reader sees the old file or the whole new one. The bytes
 * are a function of the tensors and the metadata alone; tensors lie from wide to narrow dtype and
 * by name, which keeps each aligned. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"

enum { HEADER_ALIGN = 8 };

static int by_width_and_name(const void *a, const void *b) {
    const CheckTensor *const *x = a, *const *y = b;
    size_t wx = dtype_size((*x)->dtype), wy = dtype_size((*y)->dtype);
    if (wx != wy) return wx > wy ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

static json_t *shape_json(const CheckTensor *t) {
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->dim[i]));
    return shape;
}

/* The JSON header, padded so that the data is aligned. */
static bool header_text(CheckTensor *const *order, size_t n, const MapEntry *meta, int nmeta,
                        Buf *out) {
    json_t *root = json_object(), *strings = json_object();
    for (int i = 0; i < nmeta; i++)
        json_object_set_new(strings, meta[i].key, json_string(meta[i].value));
    json_object_set_new(root, "__metadata__", strings);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *t = json_object(), *offsets = json_array();
        json_array_append_new(offsets, json_integer(at));
        at += order[i]->bytes;
        json_array_append_new(offsets, json_integer(at));
        json_object_set_new(t, "dtype", json_string(checkpoint_dtype(order[i]->dtype)));
        json_object_set_new(t, "shape", shape_json(order[i]));
        json_object_set_new(t, "data_offsets", offsets);
        json_object_set_new(root, order[i]->name, t);
    }
    char *text = json_dumps(root, JSON_COMPACT);
    bool ok = text && json_object_size(root) == n + 1;
    json_decref(root);
    if (ok) buf_puts(out, text);
    free(text);
    while (out->n % HEADER_ALIGN) buf_puts(out, " ");
    return ok;
}

typedef struct Content {
    const Buf *header;
    CheckTensor *const *order;
    size_t n;
} Content;

static bool put_content(int fd, const void *cx) {
    const Content *c = cx;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)c->header->n >> (8 * i));
    bool ok = file_put(fd, length, sizeof length) && file_put(fd, c->header->data, c->header->n);
    for (size_t i = 0; ok && i < c->n; i++)
        ok = file_put(fd, c->order[i]->data, (size_t)c->order[i]->bytes);
    return ok;
}

bool checkpoint_write(const char *path, const CheckTensor *t, int n, const MapEntry *meta,
                      int nmeta, Err *e) {
    Arena *a = arena_new();
    CheckTensor **order = NEW_N(a, CheckTensor *, n);
    CheckTensor *copy = arena_memdup(a, t, (size_t)n * sizeof *t);
    for (int i = 0; i < n; i++) order[i] = &copy[i];
    if (n) qsort(order, (size_t)n, sizeof *order, by_width_and_name);
    Buf header = {0};
    bool ok = header_text(order, (size_t)n, meta, nmeta, &header)
                  ? file_replace(path, put_content, &(Content){&header, order, (size_t)n}, e)
                  : err_set(e,
                            "cannot write '%s': two tensors have one name, or a name is not UTF-8; "
                            "rename one in the program",
                            path);
    buf_free(&header);
    arena_free(a);
    return ok;
}
