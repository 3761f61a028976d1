/* Pictures that entries report. A file is written aside and renamed, so whoever looks sees a whole
 * one; the step in its name says how far training was, and a run that is set back takes those of
 * later steps with it, as it does with lines of metrics. What else lies in the folder stays. */
#include "runtime/report/images.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/report/picture.h"

#define FOLDER "images"
#define SUFFIX ".png"

/* ---- what there is */

/* NAME-STEP.png; false: it is another file. */
static bool image_named(Arena *a, const char *dir, const char *file, Image *out) {
    const char *dash = strrchr(file, '-');
    if (!dash || dash == file || dash[1] < '0' || dash[1] > '9') return false;
    char *end;
    errno = 0;
    out->step = strtoll(dash + 1, &end, 10);
    if (errno || !str_eq(end, SUFFIX)) return false;
    out->name = arena_strndup(a, file, (size_t)(dash - file));
    out->path = arena_printf(a, "%s/" FOLDER "/%s", dir, file);
    return true;
}

static int in_order(const void *a, const void *b) {
    const Image *x = a, *y = b;
    int names = strcmp(x->name, y->name);
    return names ? names : (x->step > y->step) - (x->step < y->step);
}

void images_list(Arena *a, const char *dir, Images *out) {
    DIR *d = opendir(arena_printf(a, "%s/" FOLDER, dir));
    if (!d) return;
    Image image;
    for (struct dirent *f; (f = readdir(d));)
        if (image_named(a, dir, f->d_name, &image)) vec_push(a, out, image);
    closedir(d);
    if (out->n) qsort(out->at, out->n, sizeof *out->at, in_order);
}

/* What a killed run was writing. */
static void remove_aside(Arena *a, const char *dir) {
    DIR *d = opendir(arena_printf(a, "%s/" FOLDER, dir));
    if (!d) return;
    for (struct dirent *f; (f = readdir(d));)
        if (strstr(f->d_name, SUFFIX FILE_ASIDE))
            unlink(arena_printf(a, "%s/" FOLDER "/%s", dir, f->d_name));
    closedir(d);
}

void images_cut_back(const char *dir, int64_t upto) {
    Arena *a = arena_new();
    Images all = {0};
    remove_aside(a, dir);
    images_list(a, dir, &all);
    for (size_t i = 0; i < all.n; i++)
        if (all.at[i].step > upto) unlink(all.at[i].path);
    arena_free(a);
}

static void drop_oldest(Arena *a, const char *dir, const char *name) {
    Images all = {0};
    int64_t newer = 0;
    images_list(a, dir, &all);
    for (size_t i = all.n; i-- > 0;)
        if (str_eq(all.at[i].name, name) && ++newer > IMAGES_KEPT) unlink(all.at[i].path);
}

/* ---- writing */

static bool make_folder(const char *path, Err *e) {
    return mkdir(path, 0777) == 0 || errno == EEXIST ||
           err_set(e, "cannot make the folder '%s': %s", path, strerror(errno));
}

static bool write_one(Arena *a, const Exec *x, const RtPlan *plan, int i, const ImagesAt *at,
                      Err *e) {
    const RtOutput *o = &plan->out[i];
    Sheet s = {exec_output(x, plan, i), o->dim[0], o->dim[1], o->dim[2], o->dim[3], o->index};
    const char *name = arena_printf(a, "%s%s", at->prefix, o->name);
    const char *path = arena_printf(a, "%s/" FOLDER "/%s-%" PRId64 SUFFIX, at->dir, name, at->step);
    if (!make_folder(arena_printf(a, "%s/" FOLDER, at->dir), e) || !picture_write(path, &s, e))
        return false;
    if (at->tell) picture_tell(at->tell, path, &s);
    drop_oldest(a, at->dir, name);
    return true;
}

bool images_write(const Exec *x, const RtPlan *plan, const ImagesAt *at, Err *e) {
    Arena *a = arena_new();
    bool ok = true;
    for (int i = 0; ok && i < plan->nout; i++)
        if (plan->out[i].kind == RT_OUT_image) ok = write_one(a, x, plan, i, at, e);
    arena_free(a);
    return ok;
}
