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

static bool list_files(Records *t, Err *e) {
    const char *dir = records_path(t, "dir");
    struct stat st;
    FileList all = {0};
    size_t n = 0;
    Err none = {0};
    if (stat(dir, &st) || !S_ISDIR(st.st_mode))
        return err_set(e, "images takes a folder, and '%s' is none", dir);
    glob_files(t->arena, arena_printf(t->arena, "%s/**", dir), &all, &none);
    for (size_t i = 0; i < all.n; i++)
        if (is_picture(all.path[i])) all.path[n++] = all.path[i];
    t->picture = (FileList){all.path, n};
    return n || err_set(e, "there is no .png, .jpg or .jpeg to be read in '%s'", dir);
}

static Got refuse_broken(Err *e) {
    Err why = *e;
    err_set(e, "%.800s; mend it, or leave such pictures out with images(dir, skip_broken = true)",
            why.msg);
    return GOT_error;
}

Got images_read(Records *t, uint64_t i, Buf *file, Picture *p, Err *e) {
    if (t->broken && atomic_load(&t->broken[i])) return GOT_known;
    Got got = picture_read(t->picture.path[i], file, false, p, e);
    if (got != GOT_broken) return got;
    if (!t->broken) return refuse_broken(e);
    return atomic_exchange(&t->broken[i], true) ? GOT_known : GOT_broken;
}

/* The shape of the first picture, which is that of all unless a stage changes it. */
static bool first_shape(Records *t, Picture *p, Err *e) {
    Buf file = {0};
    Got got = GOT_broken;
    bool skip = spec_int(t->source, "skip_broken", 0);
    for (size_t i = 0; i < t->picture.n && got == GOT_broken; i++) {
        got = picture_read(t->picture.path[i], &file, true, p, e);
        if (got == GOT_broken && !skip) got = refuse_broken(e);
    }
    buf_free(&file);
    return got == GOT_record;
}

bool images_head(Records *t, Err *e) {
    Picture p = {0};
    if (!t->picture.n && !list_files(t, e)) return false;
    return first_shape(t, &p, e) && records_picture_field(t, p.h, p.w, p.c, e) &&
           records_label_field(t, e);
}

/* The part of a path between the folder and the next slash; "" for a picture right in the folder.
 */
static const char *class_of(Records *t, const char *path) {
    path += strlen(records_path(t, "dir"));
    path += strspn(path, "/");
    const char *slash = strchr(path, '/');
    return arena_strndup(t->arena, path, slash ? (size_t)(slash - path) : 0);
}

static bool same_folder(const char *a, const char *b) {
    size_t n = (size_t)(strrchr(a, '/') - a) + 1;
    return !strncmp(a, b, n) && !strchr(b + n, '/');
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folder's name for each picture. */
static const char **name_classes(Records *t) {
    const char **name = NEW_N(t->arena, const char *, t->n), *const *path = t->picture.path;
    for (size_t i = 0; i < t->n; i++) {
        bool again = i && same_folder(path[i - 1], path[i]);
        name[i] = again ? name[i - 1] : class_of(t, path[i]);
    }
    return name;
}

/* Paths in order need not have their folders in order: "a-b/x" comes before "a/x". */
static size_t sort_classes(Records *t, const char *const *name, const char ***out) {
    const char **class = arena_memdup(t->arena, name, t->n * sizeof *class);
    size_t n = 0;
    qsort(class, t->n, sizeof *class, by_name);
    for (size_t i = 0; i < t->n; i++)
        if (!n || !str_eq(class[n - 1], class[i])) class[n++] = class[i];
    *out = class;
    return n;
}

static bool put_labels(Records *t, Err *e) {
    const char **name = name_classes(t), **class;
    size_t n = sort_classes(t, name, &class);
    for (size_t i = 0; i < t->n; i++) {
        const char **at = bsearch(&name[i], class, n, sizeof *class, by_name);
        if (!records_put_label(t, at - class, e)) return false;
    }
    return true;
}

/* Names stand for the content: to read it all would take as long as an epoch, and a broken picture
 * that was mended is no other data. */
static void hash_names(Records *t) {
    size_t skip = strlen(records_path(t, "dir"));
    for (size_t i = 0; i < t->n; i++) t->hash = hash_str(t->picture.path[i] + skip, t->hash);
}

bool images_load(Records *t, Err *e) {
    t->n = t->picture.n;
    if (spec_int(t->source, "skip_broken", 0)) t->broken = NEW_N(t->arena, atomic_bool, t->n);
    hash_names(t);
    return put_labels(t, e);
}
