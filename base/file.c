/* Whole files: read at once, and written so that a reader sees the old or the new, never a part. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MOST = 256 << 20 }; /* beyond, it is /dev/zero or not what was meant */

/* Reads what is there; `size` is only a guess, since pipes and /proc say 0. */
static bool read_all(int fd, Buf *b) {
    char part[65536];
    for (;;) {
        ssize_t got = read(fd, part, sizeof part);
        if (got > 0) buf_put(b, part, (size_t)got);
        if (got == 0) return true;
        if (got < 0 && errno != EINTR) return false;
        if (b->n > FILE_MOST) {
            errno = EFBIG;
            return false;
        }
    }
}

bool file_read(Arena *a, const char *path, char **text, size_t *n, Err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, "cannot open '%s': %s", path, strerror(errno));
    Buf b = {0};
    bool ok = read_all(fd, &b);
    int why = errno;
    close(fd);
    if (ok) {
        *text = arena_strndup(a, b.data, b.n);
        *n = b.n;
    }
    buf_free(&b);
    return ok || err_set(e, "cannot read '%s': %s", path, strerror(why));
}

bool file_put(int fd, const void *p, size_t n) {
    for (const char *at = p; n;) {
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* The rename itself must reach the disk, so the folder is synced too. */
bool file_sync_folder(const char *path) {
    Buf folder = {0};
    const char *slash = strrchr(path, '/');
    if (!slash)
        buf_puts(&folder, ".");
    else
        buf_put(&folder, path, slash == path ? 1 : (size_t)(slash - path));
    int fd = open(folder.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_free(&folder);
    if (fd < 0) return false;
    bool ok = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot sync a folder */
    close(fd);
    return ok;
}

static bool put_file(const char *path, FilePut *put, const void *cx, bool sync) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = put(fd, cx) && (!sync || fsync(fd) == 0);
    int why = errno;
    if (close(fd) != 0 && ok) return false;
    errno = why;
    return ok;
}

/* A device or a pipe must not be replaced by a file of its name. */
static bool may_replace(const char *path) {
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

static bool put_aside(const char *path, FilePut *put, const void *cx, bool sync, Err *e) {
    if (!may_replace(path)) return err_set(e, "cannot write '%s': it is not a regular file", path);
    Buf aside = {0};
    buf_printf(&aside, "%s" FILE_ASIDE "%ld", path, (long)getpid());
    bool ok = put_file(aside.data, put, cx, sync) && rename(aside.data, path) == 0;
    int why = errno;
    if (!ok)
        unlink(aside.data);
    else if (sync && !(ok = file_sync_folder(path)))
        why = errno;
    buf_free(&aside);
    return ok || err_set(e, "cannot write '%s': %s", path, strerror(why));
}

bool file_replace(const char *path, FilePut *put, const void *cx, Err *e) {
    return put_aside(path, put, cx, true, e);
}

typedef struct Bytes {
    const void *p;
    size_t n;
} Bytes;

static bool put_bytes(int fd, const void *cx) {
    const Bytes *b = cx;
    return file_put(fd, b->p, b->n);
}

bool file_write_atomic(const char *path, const void *p, size_t n, Err *e) {
    return file_replace(path, put_bytes, &(Bytes){p, n}, e);
}

bool file_write_unsynced(const char *path, const void *p, size_t n, Err *e) {
    return put_aside(path, put_bytes, &(Bytes){p, n}, false, e);
}
