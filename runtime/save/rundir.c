/* The folder of a run: step-<n>.safetensors, last.safetensors (the newest of them under a name that
 * never changes), metrics.jsonl, and a lock so that two runs cannot write there at once.
 *
 * At every instant, and after a loss of power, last.safetensors is a whole checkpoint or absent:
 * the step's file is on disk, under its name, before last.safetensors becomes a hard link to it (a
 * copy where the file system has none) by a rename, and older steps go only once that is on disk. A
 * run killed in between goes on from the step before; what it left aside is cleared away by the
 * next. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"

#define STEP_PREFIX "step-"
#define STEP_SUFFIX ".safetensors"
#define PROGRAM_SUFFIX ".upx"
#define LOCK_NAME ".lock"
#define ELSEWHERE "; give another folder with --dir"

/* ---- the folder */

static bool make_folders(const char *path, Err *e) {
    Buf b = {0};
    buf_puts(&b, path);
    bool ok = true;
    for (char *at = b.data + 1; ok; at++) {
        char c = *at;
        if (c && c != '/') continue;
        *at = 0;
        if (mkdir(b.data, 0777) == 0)
            file_sync_folder(b.data); /* where it cannot be, the run still can */
        else if (errno != EEXIST)
            ok = err_set(e, "cannot make the folder '%s': %s" ELSEWHERE, b.data, strerror(errno));
        *at = c;
        if (!c) break;
    }
    buf_free(&b);
    struct stat st;
    if (ok && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        return err_set(e, "cannot keep a run in '%s': it is not a folder" ELSEWHERE, path);
    return ok;
}

static bool take_lock(RunDir *d, Err *e) {
    char *path = arena_printf(d->arena, "%s/" LOCK_NAME, d->path);
    d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (d->lock < 0)
        return err_set(e, "cannot write in '%s': %s" ELSEWHERE, d->path, strerror(errno));
    if (flock(d->lock, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK)
        return err_set(e, "cannot lock '%s': %s" ELSEWHERE, path, strerror(errno));
    return err_set(
        e,
        "another run is writing to '%s'; wait for it, or give this one another folder with --dir",
        d->path);
}

/* Calls `visit` with every name in the folder; one that vanishes meanwhile does no harm. */
static void each_name(RunDir *d, void (*visit)(RunDir *d, const char *name, void *cx), void *cx) {
    DIR *dir = opendir(d->path);
    if (!dir) return;
    for (struct dirent *f; (f = readdir(dir));) visit(d, f->d_name, cx);
    closedir(dir);
}

/* Whoever wrote it is gone: the lock is ours. */
static void remove_aside(RunDir *d, const char *name, void *cx) {
    static const char *const of[] = {STEP_SUFFIX FILE_ASIDE, PROGRAM_SUFFIX FILE_ASIDE,
                                     ".html" FILE_ASIDE, ".svg" FILE_ASIDE};
    (void)cx;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (strstr(name, of[i])) unlink(arena_printf(d->arena, "%s/%s", d->path, name));
}

const char *rundir_step(RunDir *d, int64_t step) {
    return arena_printf(d->arena, "%s/" STEP_PREFIX "%" PRId64 STEP_SUFFIX, d->path, step);
}

bool rundir_has_last(const RunDir *d) {
    return access(d->last, F_OK) == 0;
}

/* ---- publishing */

static bool put_copy(int fd, const void *cx) {
    char part[1 << 16];
    int from = open(cx, O_RDONLY | O_CLOEXEC);
    if (from < 0) return false;
    ssize_t n;
    bool ok = true;
    while (ok && (n = read(from, part, sizeof part)) != 0)
        ok = n > 0 ? file_put(fd, part, (size_t)n) : errno == EINTR;
    int why = errno;
    close(from);
    errno = why;
    return ok;
}

static bool replace_last(RunDir *d, const char *step, Err *e) {
    char *aside = arena_printf(d->arena, "%s" FILE_ASIDE, d->last);
    unlink(aside);
    if (link(step, aside) != 0) return file_replace(d->last, put_copy, step, e);
    bool ok = rename(aside, d->last) == 0;
    if (ok) unlink(aside); /* still there when both were one file already */
    ok = ok && file_sync_folder(d->last);
    return ok || err_set(e, "cannot write '%s': %s", d->last, strerror(errno));
}

/* The step in a checkpoint's name, or -1. */
static int64_t step_of_name(const char *name) {
    if (!str_starts(name, STEP_PREFIX)) return -1;
    const char *digits = name + strlen(STEP_PREFIX);
    char *end;
    errno = 0;
    long long n = strtoll(digits, &end, 10);
    return *digits >= '0' && *digits <= '9' && !errno && str_eq(end, STEP_SUFFIX) ? n : -1;
}

typedef struct Steps {
    Arena *arena;
    VEC(int64_t) at;
} Steps;

static void note_step(RunDir *d, const char *name, void *cx) {
    (void)d;
    Steps *s = cx;
    int64_t n = step_of_name(name);
    if (n >= 0) vec_push(s->arena, &s->at, n);
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static Steps list_steps(RunDir *d) {
    Steps s = {.arena = d->arena};
    each_name(d, note_step, &s);
    if (s.at.n) qsort(s.at.at, s.at.n, sizeof *s.at.at, newest_first);
    return s;
}

bool rundir_publish(RunDir *d, int64_t step, int64_t keep, Err *e) {
    if (!replace_last(d, rundir_step(d, step), e)) return false;
    Steps s = list_steps(d);
    int64_t kept = 0;
    /* Steps beyond this one are of a run that was set back: not ours to drop. */
    for (size_t i = 0; i < s.at.n; i++)
        if (s.at.at[i] <= step && ++kept > keep) unlink(rundir_step(d, s.at.at[i]));
    return true;
}

/* ---- opening */

/* A run that was killed before it could publish its first checkpoint goes on from it, and one whose
 * last.safetensors was lost from the newest there is. */
static bool adopt_newest(RunDir *d, Err *e) {
    if (rundir_has_last(d)) return true;
    Steps s = list_steps(d);
    return !s.at.n || replace_last(d, rundir_step(d, s.at.at[0]), e);
}

bool rundir_open(RunDir *d, const char *path, Err *e) {
    *d = (RunDir){.arena = arena_new(), .lock = -1};
    d->path = arena_strdup(d->arena, path);
    d->last = arena_printf(d->arena, "%s/last" STEP_SUFFIX, path);
    if (!*path)
        err_set(e, "the folder of the run has an empty name");
    else if (make_folders(path, e) && take_lock(d, e)) {
        each_name(d, remove_aside, NULL);
        if (adopt_newest(d, e)) return true;
    }
    rundir_close(d);
    return false;
}

void rundir_close(RunDir *d) {
    if (d->lock >= 0) close(d->lock); /* gives the lock back */
    if (d->arena) arena_free(d->arena);
    *d = (RunDir){.lock = -1};
}
