/* File form: magic, both halves of the key, size, checksum, then the object. Written aside and
 * renamed. */
#include "codegen/cache.h"

#include <string.h>
#include <sys/stat.h>

typedef struct Header {
    char magic[8];
    uint64_t key[2], size, sum;
} Header;
static const char MAGIC[8] = "uptobj1";

static char *file_name(Arena *a, const char *folder, const uint64_t key[2]) {
    return arena_printf(a, "%s/%016llx%016llx.o", folder, (unsigned long long)key[0],
                        (unsigned long long)key[1]);
}

void *cache_get(Arena *a, const char *folder, uint64_t key[2], size_t *n) {
    Err ignored = {0};
    char *text;
    size_t size;
    struct stat st;
    const char *name = file_name(a, folder, key);
    if (stat(name, &st) != 0 || !S_ISREG(st.st_mode) || !file_read(a, name, &text, &size, &ignored))
        return NULL;
    Header h;
    if (size < sizeof h) return NULL;
    memcpy(&h, text, sizeof h);
    const char *object = text + sizeof h;
    if (memcmp(h.magic, MAGIC, sizeof h.magic) != 0 || h.key[0] != key[0] || h.key[1] != key[1] ||
        h.size != size - sizeof h || h.sum != hash_bytes(object, h.size, 0))
        return NULL;
    *n = h.size;
    return arena_memdup(a, object, h.size);
}

void cache_put(Arena *a, const char *folder, uint64_t key[2], const void *object, size_t n) {
    Header h = {.key = {key[0], key[1]}, .size = n, .sum = hash_bytes(object, n, 0)};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    char *file = arena_alloc(a, sizeof h + n);
    memcpy(file, &h, sizeof h);
    memcpy(file + sizeof h, object, n);
    Err ignored = {0};
    file_write_atomic(file_name(a, folder, key), file, sizeof h + n, &ignored);
}
