/* The folder of objects: what was put is found, whatever is damaged is not, and what was not used
 * for longest goes first when it grows too large. */
#include "codegen/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/check.h"

enum { SIZE = 200, FILES = 10, HOUR = 3600 };
static const uint64_t key[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static const char *path_of(Arena *a, const char *folder, const uint64_t k[2]) {
    return arena_printf(a, "%s/%016llx%016llx.o", folder, (unsigned long long)k[0],
                        (unsigned long long)k[1]);
}

static void put(Arena *a, const char *folder, const uint64_t k[2]) {
    char object[SIZE];
    Err e = {0};
    for (int i = 0; i < SIZE; i++) object[i] = (char)(i * 7 + (int)k[0]);
    EXPECT(cache_put(a, folder, k, object, SIZE, &e), "%s", e.msg);
}

static bool found(Arena *a, const char *folder, const uint64_t k[2]) {
    size_t n = 0;
    const char *object = cache_get(a, folder, k, &n);
    if (!object) return false;
    EXPECT(n == SIZE, "%zu bytes", n);
    for (int i = 0; i < SIZE && n == SIZE; i++)
        EXPECT(object[i] == (char)(i * 7 + (int)k[0]), "byte %d", i);
    return true;
}

static void set_age(const char *path, time_t seconds) {
    struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    EXPECT(utimensat(AT_FDCWD, path, t, 0) == 0, "%s", path);
}

/* In seconds, -1: it is not there. A clock that is set back makes nothing younger than 0. */
static time_t age(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return -1;
    time_t seconds = time(NULL) - st.st_mtim.tv_sec;
    return seconds > 0 ? seconds : 0;
}

/* Every prefix of a file, and every file of which one bit is another. */
static void test_damage(Arena *a, const char *folder) {
    const char *path = path_of(a, folder, key);
    char *text;
    size_t n;
    Err e = {0};
    put(a, folder, key);
    EXPECT(found(a, folder, key), "what was put");
    EXPECT(file_read(a, path, &text, &n, &e), "%s", e.msg);
    for (size_t cut = 0; cut < n; cut++) {
        file_write_unsynced(path, text, cut, &e);
        EXPECT(!found(a, folder, key), "cut to %zu bytes", cut);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        file_write_unsynced(path, text, n, &e);
        EXPECT(!found(a, folder, key), "bit %zu is another", bit);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    file_write_unsynced(path, text, n + 1, &e); /* the final zero */
    EXPECT(!found(a, folder, key), "a byte too many");
    put(a, folder, key);
    EXPECT(found(a, folder, key), "put again");
}

static void test_foreign(Arena *a, const char *folder) {
    const uint64_t other[2] = {key[0], key[1] + 1};
    Err e = {0};
    EXPECT(!found(a, folder, other), "never put");
    EXPECT(link(path_of(a, folder, key), path_of(a, folder, other)) == 0, "link");
    EXPECT(!found(a, folder, other), "another's object under this name");
    unlink(path_of(a, folder, other));
    EXPECT(mkdir(path_of(a, folder, other), 0700) == 0, "mkdir");
    EXPECT(!found(a, folder, other), "a folder of this name");
    EXPECT(!cache_put(a, folder, other, "x", 1, &e) && strstr(e.msg, folder), "%s", e.msg);
    rmdir(path_of(a, folder, other));
    EXPECT(!cache_put(a, "/nowhere/at/all", key, "x", 1, &e), "a folder that is not there");
    EXPECT(!found(a, "/nowhere/at/all", key), "a folder that is not there");
}

/* Files of ages 2 h, 3 h, ...; the oldest is used again, so the next oldest goes first. */
static void test_trim(Arena *a, const char *folder) {
    uint64_t k[FILES][2];
    struct stat st;
    for (int i = 0; i < FILES; i++) {
        k[i][0] = (uint64_t)i, k[i][1] = 1;
        put(a, folder, k[i]);
        set_age(path_of(a, folder, k[i]), (time_t)(2 + i) * HOUR);
    }
    stat(path_of(a, folder, k[0]), &st);
    EXPECT(found(a, folder, k[FILES - 1]), "the oldest");
    EXPECT(age(path_of(a, folder, k[FILES - 1])) < HOUR, "a use shows");
    const char *notes = arena_printf(a, "%s/notes.txt", folder);
    const char *left = arena_printf(a, "%s.tmp17", path_of(a, folder, key));
    const char *fresh = arena_printf(a, "%s.tmp18", path_of(a, folder, key));
    Err e = {0};
    file_write_unsynced(notes, "mine", 4, &e), set_age(notes, 1000 * HOUR);
    file_write_unsynced(left, "half", 4, &e), set_age(left, 2 * HOUR);
    file_write_unsynced(fresh, "half", 4, &e);

    cache_trim(folder, FILES * st.st_size);
    for (int i = 0; i < FILES; i++) EXPECT(age(path_of(a, folder, k[i])) >= 0, "file %d", i);
    EXPECT(age(left) < 0, "a killed writer's file stays");
    EXPECT(age(fresh) >= 0, "a file being written goes");
    cache_trim(folder, 4 * st.st_size + 1);
    for (int i = 0; i < FILES; i++)
        EXPECT((age(path_of(a, folder, k[i])) >= 0) == (i < 3 || i == FILES - 1), "file %d", i);
    cache_trim(folder, 0);
    EXPECT(age(path_of(a, folder, k[0])) < 0, "nothing is left");
    EXPECT(age(notes) >= 0, "what is not ours goes");
    unlink(notes), unlink(fresh);
    EXPECT(rmdir(folder) == 0, "files are left in %s", folder);
    cache_trim(folder, 0); /* a folder that is not there */
}

int main(void) {
    char folder[] = "/tmp/upt-cache-XXXXXX";
    Arena *a = arena_new();
    EXPECT(mkdtemp(folder), "no folder");
    test_damage(a, folder);
    test_foreign(a, folder);
    unlink(path_of(a, folder, key));
    test_trim(a, folder);
    arena_free(a);
    return check_done("cache");
}
