/* A folder of compiled objects, each under the hash of what it was made from. A file that is
 * damaged, or not ours, is as good as none; a folder that cannot be written is no cache, not an
 * error. */
#ifndef UPT_CACHE_H
#define UPT_CACHE_H

#include "base/base.h"

/* The object under `key`, or NULL. */
void *cache_get(Arena *a, const char *folder, uint64_t key[2], size_t *n);
void cache_put(Arena *a, const char *folder, uint64_t key[2], const void *object, size_t n);

#endif
