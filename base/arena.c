/* Memory that is freed whole. An arena is a list of chunks; an allocation is carved from the newest
 * or gets a chunk of its own. Chunks come zeroed from the system, so an allocation is zero.
 * In the hostile build they stay at 64 bytes: nearly every allocation stands alone, and a sanitizer
 * sees overruns. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ALIGN = 16,
    CHUNK_UNIT = 64, /* chunks double from the first to the last size */
    CHUNK_FIRST = CHUNK_UNIT * FIRST(16),
    CHUNK_LAST = CHUNK_UNIT * FIRST(1 << 18),
};
enum { HUGE_PAGE = 2 << 20 };

typedef struct Chunk {
    _Alignas(16) struct Chunk *next;
    size_t used, size; /* of bytes */
    _Alignas(16) char bytes[];
} Chunk;

struct Arena {
    Chunk *chunk; /* the newest first */
    size_t next_size;
};

static NORETURN void out_of_memory(size_t size) {
    fprintf(stderr,
            "upt: out of memory: the system has no further %zu bytes; close other programs or use "
            "a smaller model or batch\n",
            size);
    fflush(stderr);
    _Exit(1);
}

void *heap_resize(void *p, size_t size) {
    void *q = realloc(p, size ? size : 1);
    if (!q) out_of_memory(size);
    return q;
}

void heap_free(void *p) {
    free(p);
}

/* Of a large graph's chunks the system makes a page at a time, which costs as much as filling them:
 * ask for large pages. A wish; without it all works. */
static void wish_huge_pages(char *p, size_t size) {
    size_t skip = (size_t)(-(uintptr_t)p) % HUGE_PAGE;
    if (size >= 2 * (size_t)HUGE_PAGE)
        madvise(p + skip, (size - skip) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
}

static Chunk *chunk_new(size_t size) {
    if (size > SIZE_MAX - sizeof(Chunk)) out_of_memory(size);
    Chunk *c = calloc(1, sizeof(Chunk) + size);
    if (!c) out_of_memory(size);
    c->size = size;
    wish_huge_pages((char *)c, sizeof(Chunk) + size);
    return c;
}

Arena *arena_new(void) {
    Arena *a = heap_resize(NULL, sizeof *a);
    *a = (Arena){.next_size = CHUNK_FIRST};
    return a;
}

void arena_free(Arena *a) {
    if (!a) return;
    for (Chunk *c = a->chunk, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

/* A large allocation goes behind the newest chunk, which keeps its free end for small ones. */
static void *alloc_large(Arena *a, size_t size) {
    Chunk *c = chunk_new(size);
    c->used = size;
    if (a->chunk) {
        c->next = a->chunk->next;
        a->chunk->next = c;
    } else {
        a->chunk = c;
    }
    return c->bytes;
}

void *arena_alloc(Arena *a, size_t size) {
    if (size > SIZE_MAX - ALIGN) out_of_memory(size);
    size = (size + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
    if (size == 0) size = ALIGN;
    if (!a->chunk || a->chunk->size - a->chunk->used < size) {
        if (size > a->next_size / 4) return alloc_large(a, size);
        Chunk *c = chunk_new(a->next_size);
        c->next = a->chunk;
        a->chunk = c;
        if (a->next_size < CHUNK_LAST) a->next_size *= 2;
    }
    void *p = a->chunk->bytes + a->chunk->used;
    a->chunk->used += size;
    return p;
}

void *arena_array(Arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) out_of_memory(SIZE_MAX);
    return arena_alloc(a, bytes);
}

void *vec_grow(Arena *a, void *at, size_t n, size_t *cap, size_t size) {
    *cap = *cap ? *cap * 2 : FIRST(8);
    void *p = arena_array(a, *cap, size);
    if (n) memcpy(p, at, n * size);
    return p;
}

void *arena_memdup(Arena *a, const void *p, size_t n) {
    void *q = arena_alloc(a, n);
    if (n) memcpy(q, p, n);
    return q;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
    if (n == SIZE_MAX) out_of_memory(n);
    char *q = arena_alloc(a, n + 1);
    if (n) memcpy(q, s, n);
    return q;
}

char *arena_strdup(Arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}
