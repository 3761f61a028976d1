/* In place of libFuzzer: feeds an entry the files it is named, and all files of folders. A seed
 * whose name begins with "ok." must get past its reader, or it leads mutations nowhere; one of
 * "no." must not. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

/* A copy of its own size, so that a sanitizer sees a read behind its end. */
static int feed_file(Arena *a, const char *path) {
    char *text;
    size_t n;
    Err e = {0};
    if (!file_read(a, path, &text, &n, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    uint8_t *copy = heap_resize(NULL, n);
    for (size_t i = 0; i < n; i++) copy[i] = (uint8_t)text[i];
    bool ok = fuzz_feed(copy, n);
    heap_free(copy);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (str_starts(name, ok ? "no." : "ok.")) {
        fprintf(stderr, "%s: %s\n", path, ok ? "taken" : "refused");
        exit(1);
    }
    return 1;
}

static int feed(Arena *a, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return feed_file(a, path);
    int fed = 0;
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.') fed += feed(a, arena_printf(a, "%s/%s", path, f->d_name));
    if (d) closedir(d);
    return fed;
}

int main(int argc, char **argv) {
    Arena *a = arena_new();
    int fed = 0;
    for (int i = 1; i < argc; i++) fed += feed(a, argv[i]);
    printf("%d inputs\n", fed);
    arena_free(a);
    return fed == 0;
}
