/* Files by pattern: `*`, `?` and `[...]` within a name as in a shell, `**` for any number of
 * folders. The result is sorted by bytes, so the order of a corpus does not depend on the file
 * system. Hidden names match only patterns that begin with a dot; `**` does not follow links to
 * folders, so it always ends. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/internal.h"

enum { DEPTH = 64 }; /* folders below each other */

typedef struct Walk {
    Arena *arena;
    VEC(const char *) found;
    Err *e;
} Walk;

static bool walk(Walk *w, const char *folder, const char *pattern, int depth);

static bool is_magic(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strchr("*?[", s[i])) return true;
    return false;
}

static const char *join(Walk *w, const char *folder, const char *name) {
    size_t n = strlen(folder);
    return arena_printf(w->arena, "%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name);
}

/* `rest` is what of the pattern follows this name; NULL: nothing, so the name must be a file. */
static bool visit(Walk *w, const char *path, const char *rest, int depth) {
    struct stat st;
    if (rest) return stat(path, &st) || !S_ISDIR(st.st_mode) || walk(w, path, rest, depth);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) vec_push(w->arena, &w->found, path);
    return true;
}

static bool is_real_folder(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool walk_names(Walk *w, DIR *d, const char *folder, const char *name, const char *rest,
                       const char *pattern, int depth) {
    bool deep = str_eq(name, "**");
    for (struct dirent *f; (f = readdir(d));) {
        if (str_eq(f->d_name, ".") || str_eq(f->d_name, "..")) continue;
        if (deep && (*f->d_name == '.' || f->d_type == DT_REG)) continue;
        if (!deep && fnmatch(name, f->d_name, FNM_PERIOD)) continue;
        const char *path = join(w, folder, f->d_name);
        if (!deep && !visit(w, path, rest, depth)) return false;
        if (deep && is_real_folder(path) && !walk(w, path, pattern, depth)) return false;
    }
    return true;
}

static bool walk(Walk *w, const char *folder, const char *pattern, int depth) {
    if (depth > DEPTH)
        return err_set(w->e, "more than %d folders below each other at '%s'", DEPTH, folder);
    while (*pattern == '/') pattern++;
    const char *slash = strchr(pattern, '/');
    const char *name =
        slash ? arena_strndup(w->arena, pattern, (size_t)(slash - pattern)) : pattern;
    const char *rest = slash ? slash + 1 : NULL;
    if (!*name) return true;
    if (!is_magic(name, strlen(name))) return visit(w, join(w, folder, name), rest, depth + 1);
    if (str_eq(name, "**") && !walk(w, folder, rest ? rest : "*", depth + 1))
        return false; /* no folder at all */
    DIR *d = opendir(*folder ? folder : ".");
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ||
               err_set(w->e, "cannot open the folder '%s': %s", folder, strerror(errno));
    bool ok = walk_names(w, d, folder, name, rest, pattern, depth + 1);
    closedir(d);
    return ok;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool none_found(Arena *a, const char *pattern, Err *e) {
    struct stat st;
    char here[400];
    const char *where =
        *pattern != '/' && getcwd(here, sizeof here) ? arena_printf(a, " in %s", here) : "";
    if (is_magic(pattern, strlen(pattern)))
        return err_set(e, "no file matches '%s'%s; check the pattern, or put the text there",
                       pattern, where);
    if (stat(pattern, &st))
        return err_set(e, "cannot read '%s'%s: %s", pattern, where, strerror(errno));
    bool slash = pattern[strlen(pattern) - 1] == '/';
    return err_set(e, "'%s' is not a file; for all files of a folder write '%s%s*'", pattern,
                   pattern, slash ? "" : "/");
}

bool glob_files(Arena *a, const char *pattern, FileList *out, Err *e) {
    Walk w = {.arena = a, .e = e};
    if (!walk(&w, *pattern == '/' ? "/" : "", pattern, 0)) return false;
    if (!w.found.n) return none_found(a, pattern, e);
    qsort(w.found.at, w.found.n, sizeof *w.found.at, by_name);
    size_t n = 0;
    for (size_t i = 0; i < w.found.n; i++) /* `**` twice can find a file twice */
        if (!n || !str_eq(w.found.at[n - 1], w.found.at[i])) w.found.at[n++] = w.found.at[i];
    *out = (FileList){w.found.at, n};
    return true;
}
