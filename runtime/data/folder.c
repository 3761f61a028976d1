/* A folder of pictures: every PNG and JPEG below it, in order of name; the label is the number of
 * the first folder on the way to it, folders counted in order of name. Only names are read at
 * first; a picture is decoded when its record is asked for. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "runtime/data/records.h"

static bool is_picture(const char *path) {
    static const char *const ending[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof ending / sizeof *ending; i++)
        if (!strcasecmp(dot, ending[i])) return true;
    return false;
}

static bool check_folder(const char *dir, Err *e) {
    struct stat st;
    if (dir[strcspn(dir, "*?[")])
        return err_set(e, "images takes a folder whose name has no *, ? or [ in it, not '%s'", dir);
    return (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) ||
           err_set(e, "images takes a folder, and '%s' is none", dir);
}

static bool list_files(Records *r, Err *e) {
    const char *dir = records_path(r, "dir");
    FileList all = {0};
    size_t n = 0;
    Err none = {0};
    if (!check_folder(dir, e)) return false;
    glob_files(r->arena, arena_printf(r->arena, "%s/**", dir), &all, &none);
    for (size_t i = 0; i < all.n; i++)
        if (is_picture(all.path[i])) all.path[n++] = all.path[i];
    r->picture = (FileList){all.path, n};
    return n || err_set(e, "there is no .png, .jpg or .jpeg to be read in '%s'", dir);
}

static Got refuse_broken(Err *e) {
    Err why = *e;
    err_set(e, "%.800s; mend it, or leave such pictures out with images(dir, skip_broken = true)",
            why.msg);
    return GOT_error;
}

Got images_read(Records *r, uint64_t i, Buf *file, Picture *p, Err *e) {
    if (r->broken && atomic_load(&r->broken[i])) return GOT_known;
    Got got = picture_read(r->picture.path[i], file, false, p, e);
    if (got != GOT_broken) return got;
    if (!r->broken) return refuse_broken(e);
    return atomic_exchange(&r->broken[i], true) ? GOT_known : GOT_broken;
}

/* The shape of the first picture, which is that of all unless a stage changes it. */
static bool first_shape(Records *r, Picture *p, Err *e) {
    Buf file = {0};
    Got got = GOT_broken;
    bool skip = spec_int(r->source, "skip_broken", 0);
    for (size_t i = 0; i < r->picture.n && got == GOT_broken; i++) {
        got = picture_read(r->picture.path[i], &file, true, p, e);
        if (got == GOT_broken && !skip) got = refuse_broken(e);
    }
    buf_free(&file);
    return got == GOT_record;
}

bool images_head(Records *r, Err *e) {
    Picture p = {0};
    if (!r->picture.n && !list_files(r, e)) return false;
    return first_shape(r, &p, e) && records_picture_field(r, p.h, p.w, p.c, e) &&
           records_label_field(r, e);
}

/* A path from the folder on. */
static const char *below(Records *r, const char *path) {
    path += strlen(records_path(r, "dir"));
    return path + strspn(path, "/");
}

/* "" for a picture right in the folder. */
static const char *class_of(Records *r, const char *path) {
    const char *at = below(r, path), *slash = strchr(at, '/');
    return arena_strndup(r->arena, at, slash ? (size_t)(slash - at) : 0);
}

static bool same_folder(const char *a, const char *b) {
    size_t n = (size_t)(strrchr(a, '/') - a) + 1;
    return !strncmp(a, b, n) && !strchr(b + n, '/');
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folder's name for each picture. */
static const char **name_classes(Records *r) {
    const char **name = NEW_N(r->arena, const char *, r->n), *const *path = r->picture.path;
    for (size_t i = 0; i < r->n; i++) {
        bool again = i && same_folder(path[i - 1], path[i]);
        name[i] = again ? name[i - 1] : class_of(r, path[i]);
    }
    return name;
}

/* Paths in order need not have their folders in order: "a-b/x" comes before "a/x". */
static size_t sort_classes(Records *r, const char *const *name, const char ***out) {
    const char **class = arena_memdup(r->arena, name, r->n * sizeof *class);
    size_t n = 0;
    qsort(class, r->n, sizeof *class, by_name);
    for (size_t i = 0; i < r->n; i++)
        if (!n || !str_eq(class[n - 1], class[i])) class[n++] = class[i];
    *out = class;
    return n;
}

static bool put_labels(Records *r, Err *e) {
    const char **name = name_classes(r), **class;
    size_t n = sort_classes(r, name, &class);
    for (size_t i = 0; i < r->n; i++) {
        const char **at = bsearch(&name[i], class, n, sizeof *class, by_name);
        if (!records_put_label(r, at - class, e)) return false;
    }
    return true;
}

/* Names stand for the content: to read it all would take as long as an epoch, and a broken picture
 * that was mended is no other data. */
static void hash_names(Records *r) {
    for (size_t i = 0; i < r->n; i++) r->hash = hash_str(below(r, r->picture.path[i]), r->hash);
}

bool images_load(Records *r, Err *e) {
    r->n = r->picture.n;
    if (spec_int(r->source, "skip_broken", 0)) r->broken = NEW_N(r->arena, atomic_bool, r->n);
    hash_names(r);
    return put_labels(r, e);
}
