/* File form: magic, both halves of the key, size, checksum, then the object. Written aside and
 * renamed, without waiting for the disk: what a crash of the system damages is made again. When a
 * file was last used is its time of modification, brought up to date once an hour. */
#include "codegen/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HOUR = 3600 };

typedef struct Header {
    char magic[8];
    uint64_t key[2], size, sum;
} Header;
static const char MAGIC[8] = "uptobj2";

static char *file_name(Arena *a, const char *folder, const uint64_t key[2]) {
    return arena_printf(a, "%s/%016llx%016llx.o", folder, (unsigned long long)key[0],
                        (unsigned long long)key[1]);
}

static void mark_used(const char *path, const struct stat *st) {
    if (time(NULL) - st->st_mtim.tv_sec > HOUR) utimensat(AT_FDCWD, path, NULL, 0);
}

void *cache_get(Arena *a, const char *folder, const uint64_t key[2], size_t *n) {
    Err ignored = {0};
    char *text;
    size_t size;
    struct stat st;
    const char *path = file_name(a, folder, key);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || !file_read(a, path, &text, &size, &ignored))
        return NULL;
    Header h;
    if (size < sizeof h) return NULL;
    memcpy(&h, text, sizeof h);
    char *object = text + sizeof h;
    if (memcmp(h.magic, MAGIC, sizeof h.magic) != 0 || h.key[0] != key[0] || h.key[1] != key[1] ||
        h.size != size - sizeof h || h.sum != hash_bytes(object, h.size, 0))
        return NULL;
    mark_used(path, &st);
    *n = h.size;
    return object;
}

bool cache_put(Arena *a, const char *folder, const uint64_t key[2], const void *object, size_t n,
               Err *e) {
    Header h = {.key = {key[0], key[1]}, .size = n, .sum = hash_bytes(object, n, 0)};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    char *file = arena_alloc(a, sizeof h + n);
    memcpy(file, &h, sizeof h);
    memcpy(file + sizeof h, object, n);
    return file_write_unsynced(file_name(a, folder, key), file, sizeof h + n, e);
}

/* ---- keeping it small */

typedef struct Kept {
    const char *path;
    struct timespec used;
    int64_t bytes;
} Kept;
typedef struct Folder {
    Arena *arena;
    VEC(Kept) file;
    int64_t bytes;
} Folder;

/* Objects, and files being written; whatever else lies there is not ours. */
static bool is_ours(const char *name) {
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == 32 && str_starts(name + digits, ".o");
}

static void add_file(Folder *f, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return;
    bool aside = !str_eq(path + strlen(path) - 2, ".o");
    if (aside && time(NULL) - st.st_mtim.tv_sec > HOUR) unlink(path);
    if (aside) return;
    f->bytes += st.st_size;
    vec_push(f->arena, &f->file, (Kept){path, st.st_mtim, st.st_size});
}

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const Kept *)a)->used, *y = &((const Kept *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

void cache_trim(const char *folder, int64_t most) {
    DIR *d = opendir(folder);
    if (!d) return;
    Folder f = {.arena = arena_new()};
    for (struct dirent *entry; (entry = readdir(d));)
        if (is_ours(entry->d_name))
            add_file(&f, arena_printf(f.arena, "%s/%s", folder, entry->d_name));
    closedir(d);
    if (f.bytes > most) qsort(f.file.at, f.file.n, sizeof *f.file.at, older_first);
    for (size_t i = 0; f.bytes > most && i < f.file.n; i++) {
        unlink(f.file.at[i].path);
        f.bytes -= f.file.at[i].bytes;
    }
    arena_free(f.arena);
}
