/* Files that a person means: the newest .upx here, and for a name that is not there the one that
 * comes closest to it. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *in_folder(Arena *a, const char *folder, const char *name) {
    return str_eq(folder, ".") ? arena_strdup(a, name) : arena_printf(a, "%s/%s", folder, name);
}

const char *newest_upx(Arena *a, const char *folder, const char *none) {
    DIR *d = opendir(folder);
    if (!d) return fail("cannot read the folder '%s': %s", folder, strerror(errno)), NULL;
    const char *best = NULL;
    struct timespec when = {0};
    for (struct dirent *f; (f = readdir(d));) {
        struct stat st;
        if (!name_ends(f->d_name, ".upx")) continue;
        const char *path = in_folder(a, folder, f->d_name);
        if (stat(path, &st) || !S_ISREG(st.st_mode)) continue;
        bool newer = st.st_mtim.tv_sec != when.tv_sec ? st.st_mtim.tv_sec > when.tv_sec
                                                      : st.st_mtim.tv_nsec > when.tv_nsec;
        if (best && !newer) continue;
        best = path;
        when = st.st_mtim;
    }
    closedir(d);
    if (!best) fail("%s", none);
    return best;
}

/* Of the files in a folder that the verb takes. */
static const char *nearest_in(Arena *a, const Verb *v, const char *folder, const char *name) {
    VEC(const char *) names = {0};
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.' &&
            (verb_takes(v, f->d_name) || (v->folder && is_folder(in_folder(a, folder, f->d_name)))))
            vec_push(a, &names, arena_strdup(a, f->d_name));
    if (d) closedir(d);
    return nearest_name(name, names.at, names.n);
}

const char *file_meant(Arena *a, const Verb *v, const char *given) {
    for (size_t i = 0; i < ENDINGS && v->ending[i]; i++) {
        const char *whole = arena_printf(a, "%s%s", given, v->ending[i]);
        if (access(whole, F_OK) == 0) return whole;
    }
    const char *slash = strrchr(given, '/');
    const char *folder = slash ? arena_strndup(a, given, (size_t)(slash - given) + 1) : "";
    const char *near = nearest_in(a, v, slash ? folder : ".", given + strlen(folder));
    return near ? arena_printf(a, "%s%s", folder, near) : NULL;
}
