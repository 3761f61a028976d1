/* How many processors this process may use. */
#include "base/base.h"

#include <sched.h>
#include <unistd.h>

int cores_allowed(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t can name */
    return n > 0 && n < 1 << 20 ? (int)n : 1;
}
