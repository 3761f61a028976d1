/* A folder of compiled objects, each under the hash of all that it was made from. Any number of
 * processes may read and fill it at once: a file appears whole or not at all, and one that is
 * damaged, cut short or not ours is as good as none. It is kept below CACHE_MOST bytes: what was
 * not used for longest goes first. */
#ifndef UPT_CACHE_H
#define UPT_CACHE_H

#include "base/base.h"

enum { CACHE_MOST = 64 << 20 };

/* The object under `key`, or NULL. */
void *cache_get(Arena *a, const char *folder, const uint64_t key[2], size_t *n);
bool cache_put(Arena *a, const char *folder, const uint64_t key[2], const void *object, size_t n,
               Err *e);
/* Removes what was not used for longest until `most` bytes are left or fewer, and what writers that
 * were killed left behind. */
void cache_trim(const char *folder, int64_t most);

#endif
