/* Attributes compared and hashed, for consing: by the records of ir/text.c, which also say how they
 * are printed and read, so that a new attribute is one row there. Floats are compared bit for bit
 * (0 and -0 differ, a NaN is itself), bodies by structure. */
#include "ir/text.h"

#include <string.h>

static const void *key_at(const Key *k, const Attr *a) {
    return (const char *)a + k->at;
}

static bool is_text(const Key *k) {
    return k->kind == KEY_str || k->kind == KEY_labels;
}

/* The bytes of a value that is no text. */
static size_t key_bytes(const Key *k, const Attr *a) {
    static const size_t size[] = {
        [KEY_int] = sizeof(int),       [KEY_int64] = sizeof(int64_t), [KEY_hex] = sizeof(uint64_t),
        [KEY_double] = sizeof(double), [KEY_bool] = sizeof(bool),     [KEY_dtype] = sizeof(DType),
        [KEY_mask] = sizeof(uint32_t), [KEY_axes] = sizeof(int),      [KEY_dims] = sizeof(int64_t),
    };
    int n = key_is_list(k) ? *(const int *)(const void *)((const char *)a + k->rank_at) : 1;
    return (size_t)n * size[k->kind];
}

static const char *key_text(const Key *k, const Attr *a) {
    return k->kind == KEY_str ? *(const char *const *)key_at(k, a) : key_at(k, a);
}

static bool key_same(const Key *k, const Attr *a, const Attr *b) {
    if (is_text(k)) return str_eq(key_text(k, a), key_text(k, b));
    size_t n = key_bytes(k, a);
    return n == key_bytes(k, b) && !memcmp(key_at(k, a), key_at(k, b), n);
}

bool attr_same(AttrKind kind, const Attr *a, const Attr *b) {
    bool body = kind == ATTR_BODY || kind == ATTR_SCAN;
    if (body && !graph_same(a->body, b->body)) return false;
    const Key *k = attr_record[kind].key;
    for (; k < attr_record[kind].key + RECORD_MAX && k->name; k++)
        if (!key_same(k, a, b)) return false;
    return true;
}

uint64_t attr_hash(AttrKind kind, const Attr *a) {
    uint64_t h = kind == ATTR_BODY || kind == ATTR_SCAN ? graph_hash(a->body) : 0;
    const Key *k = attr_record[kind].key;
    for (; k < attr_record[kind].key + RECORD_MAX && k->name; k++)
        h = is_text(k) ? hash_str(key_text(k, a), h) : hash_bytes(key_at(k, a), key_bytes(k, a), h);
    return h;
}
