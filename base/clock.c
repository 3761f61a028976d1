/* Time that passes: seconds since an arbitrary start, never set back. */
#include <time.h>

#include "base/base.h"

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
