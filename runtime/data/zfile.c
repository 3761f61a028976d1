/* Files that gzip may have compressed: read through zlib, which passes any others through as they
 * are. A file that ends within its compressed data is an error that says where. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "runtime/data/records.h"

enum { AT_ONCE = 1 << 30 };

bool zfile_open(const char *path, ZFile *z, Err *e) {
    *z = (ZFile){.path = path};
    errno = 0;
    z->file = gzopen(path, "rbe");
    if (z->file) return gzbuffer(z->file, 1 << 17) == 0 || err_set(e, "cannot read '%s'", path);
    return err_set(e, "cannot open '%s': %s", path, errno ? strerror(errno) : "no memory");
}

static bool failed(const ZFile *z, Err *e) {
    int code;
    const char *why = gzerror(z->file, &code);
    unsigned long long at = z->at;
    if (code == Z_ERRNO) return err_set(e, "cannot read '%s': %s", z->path, strerror(errno));
    if (code == Z_BUF_ERROR)
        return err_set(e,
                       "'%s' is cut short: its compressed data end after %llu bytes of what "
                       "they hold",
                       z->path, at);
    return err_set(e,
                   "'%s' is damaged: its compressed data are wrong after %llu bytes of what "
                   "they hold (%s)",
                   z->path, at, why);
}

bool zfile_read(ZFile *z, void *p, size_t n, size_t *got, Err *e) {
    for (*got = 0; *got < n;) {
        size_t left = n - *got;
        int r = gzread(z->file, (char *)p + *got, left < AT_ONCE ? (unsigned)left : AT_ONCE);
        int code = Z_OK;
        if (r > 0) *got += (size_t)r, z->at += (size_t)r;
        if (r <= 0) gzerror(z->file, &code);
        if (r < 0 || code != Z_OK) return failed(z, e);
        if (r == 0) break;
    }
    return true;
}

bool zfile_ended(ZFile *z, Err *e) {
    char more;
    size_t got;
    uint64_t at = z->at;
    if (!zfile_read(z, &more, 1, &got, e)) return false;
    return got == 0 || err_set(e, "'%s' goes on after byte %llu, where its last record ends",
                               z->path, (unsigned long long)at);
}

void zfile_close(ZFile *z) {
    if (z->file) gzclose(z->file);
    z->file = NULL;
}
