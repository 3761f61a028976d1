/* What stands between upt and the system in the hostile build (cmake -DUPT_HOSTILE=ON); in others
 * this file is empty. The linker puts these functions in the place of those that upt's own code
 * calls (--wrap in CMakeLists.txt); the libraries it uses keep the system's.
 *
 * In the environment:
 *   UPT_FAIL_ALLOC=N     after N calls that ask for anything all further ones fail
 *   UPT_FAIL_ONE=N       call N fails of those that ask for more than bytes: a stream, a thread
 *   UPT_COUNT_CALLS=FILE gets the numbers of both
 * A read or a write moves at most 13 bytes, fewer by turns: what should be a loop and is none
 * shows. */
#include "base/base.h"

#ifdef UPT_HOSTILE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 13 };

/* Of the process, as what they stand for: the system's memory. */
static atomic_long calls, rarer, moves;
static long limit = -1, one = -1; /* none */

static long number_in(const char *variable) {
    const char *said = getenv(variable);
    return said ? atol(said) : -1;
}

__attribute__((constructor)) static void take_limits(void) {
    limit = number_in("UPT_FAIL_ALLOC");
    one = number_in("UPT_FAIL_ONE");
}

__attribute__((destructor)) static void tell_calls(void) {
    const char *path = getenv("UPT_COUNT_CALLS");
    long all = atomic_load(&calls), some = atomic_load(&rarer);
    FILE *f = path ? fopen(path, "we") : NULL;
    if (f) fprintf(f, "%ld %ld\n", all, some), fclose(f);
}

static bool fails(bool rare) {
    long before = atomic_fetch_add(&calls, 1), before_it = rare ? atomic_fetch_add(&rarer, 1) : -1;
    bool it = (limit >= 0 && before >= limit) || (rare && before_it == one);
    if (it) errno = ENOMEM;
    return it;
}

static size_t part(size_t n) {
    size_t most = 1 + (size_t)atomic_fetch_add(&moves, 1) % MOST;
    return n < most ? n : most;
}

/* X(rare, result, failed, name, parameters, arguments): calls that may be refused */
#define REFUSABLE(X)                                                                               \
    X(false, void *, NULL, malloc, (size_t n), (n))                                                \
    X(false, void *, NULL, calloc, (size_t n, size_t size), (n, size))                             \
    X(false, void *, NULL, realloc, (void *p, size_t n), (p, n))                                   \
    X(true, void *, NULL, aligned_alloc, (size_t to, size_t n), (to, n))                           \
    X(true, char *, NULL, realpath, (const char *path, char *out), (path, out))                    \
    X(true, ssize_t, -1, getline, (char **line, size_t *cap, FILE *f), (line, cap, f))             \
    X(true, ssize_t, -1, __getdelim, (char **line, size_t *cap, int end, FILE *f),                 \
      (line, cap, end, f))                                                                         \
    X(true, FILE *, NULL, fopen, (const char *path, const char *how), (path, how))                 \
    X(true, DIR *, NULL, opendir, (const char *path), (path))                                      \
    X(true, void *, MAP_FAILED, mmap, (void *at, size_t n, int may, int how, int fd, off_t from),  \
      (at, n, may, how, fd, from))                                                                 \
    X(true, int, EAGAIN, pthread_create,                                                           \
      (pthread_t * t, const pthread_attr_t *how, void *(*work)(void *), void *cx),                 \
      (t, how, work, cx))

/* X(name, parameters, arguments with part(n) for n): calls that may do less than they are asked */
#define SHORT(X)                                                                                   \
    X(read, (int fd, void *p, size_t n), (fd, p, part(n)))                                         \
    X(write, (int fd, const void *p, size_t n), (fd, p, part(n)))                                  \
    X(pread, (int fd, void *p, size_t n, off_t at), (fd, p, part(n), at))

#define X(rare, result, failed, name, parameters, arguments)                                       \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters {                                                              \
        return fails(rare) ? failed : __real_##name arguments;                                     \
    }
REFUSABLE(X)
#undef X

#define X(name, parameters, arguments)                                                             \
    ssize_t __real_##name parameters;                                                              \
    ssize_t __wrap_##name parameters;                                                              \
    ssize_t __wrap_##name parameters {                                                             \
        return __real_##name arguments;                                                            \
    }
SHORT(X)
#undef X
#endif
