/* Long arrays that only grow: in memory up to a budget, beyond it in a temporary file that has no
 * name, so that nothing is left behind however the process ends. The file is ours alone: mapping it
 * cannot fault. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/data/internal.h"

enum { WINDOW = 4 << 20 }; /* what a store in a file collects before it writes */

Store store_new(size_t budget) {
    return (Store){.fd = -1, .budget = budget};
}

static const char *temporary_folder(void) {
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/var/tmp";
}

static bool no_room(Err *e) {
    return err_set(e,
                   "cannot keep what was read in a temporary file in '%s': %s; free some space, "
                   "or name another folder in TMPDIR",
                   temporary_folder(), strerror(errno));
}

static bool write_window(Store *s, Err *e) {
    for (size_t done = 0; done < s->cap;) {
        ssize_t n = write(s->fd, s->at + done, s->cap - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return no_room(e);
        done += (size_t)n;
    }
    s->cap = 0;
    return true;
}

/* From here on `at` is the window, and `cap` counts the bytes in it. */
static bool move_to_file(Store *s, Err *e) {
    char path[1024];
    snprintf(path, sizeof path, "%s/upt-XXXXXX", temporary_folder());
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0) return no_room(e);
    unlink(path);
    s->cap = s->bytes; /* all that is in memory */
    if (!write_window(s, e)) return false;
    s->at = heap_resize(s->at, WINDOW);
    return true;
}

static void grow(Store *s, size_t need) {
    size_t cap = s->cap ? s->cap : FIRST(4096);
    while (cap < need) cap *= 2;
    s->at = heap_resize(s->at, cap);
    s->cap = cap;
}

static bool put_in_file(Store *s, const char *p, size_t n, Err *e) {
    while (n) {
        size_t part = n < WINDOW - s->cap ? n : WINDOW - s->cap;
        memcpy(s->at + s->cap, p, part);
        s->cap += part;
        s->bytes += part;
        p += part;
        n -= part;
        if (s->cap == WINDOW && !write_window(s, e)) return false;
    }
    return true;
}

bool store_put(Store *s, const void *p, size_t n, Err *e) {
    if (s->fd < 0 && s->bytes + n > s->budget && !move_to_file(s, e)) return false;
    if (s->fd >= 0) return put_in_file(s, p, n, e);
    if (s->bytes + n > s->cap) grow(s, s->bytes + n);
    if (n) memcpy(s->at + s->bytes, p, n);
    s->bytes += n;
    return true;
}

bool store_finish(Store *s, Err *e) {
    if (s->fd < 0) {
        s->finished = true;
        return true;
    }
    if (!write_window(s, e)) return false;
    void *map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED) return no_room(e);
    heap_free(s->at);
    s->at = map;
    s->finished = true;
    return true;
}

void store_free(Store *s) {
    if (s->fd >= 0 && s->finished)
        munmap(s->at, s->bytes);
    else
        heap_free(s->at);
    if (s->fd >= 0) close(s->fd);
    *s = store_new(s->budget);
}
