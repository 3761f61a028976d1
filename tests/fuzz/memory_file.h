/* A file in memory, for readers that want a path. Close its descriptor to be rid of it. */
#ifndef UPT_MEMORY_FILE_H
#define UPT_MEMORY_FILE_H

#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

typedef struct MemoryFile {
    int fd;
    char path[32];
} MemoryFile;

static inline MemoryFile memory_file(const void *data, size_t n) {
    MemoryFile m = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    CHECK(m.fd >= 0 && file_put(m.fd, data, n));
    snprintf(m.path, sizeof m.path, "/proc/self/fd/%d", m.fd);
    return m;
}

#endif
