/* The pool does every task exactly once, whatever the numbers of tasks and threads, hot or after a
 * sleep. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/runtime.h"
#include "tests/unit/check.h"

typedef struct Marks {
    _Atomic int *count;
    int64_t n;
    _Atomic int bad;
} Marks;

static void mark(void *cx, int64_t first, int64_t last) {
    Marks *m = cx;
    if (first < 0 || first >= last || last > m->n) {
        atomic_fetch_add(&m->bad, 1);
        return;
    }
    for (int64_t i = first; i < last; i++) atomic_fetch_add(&m->count[i], 1);
}

static void check_once(Pool *p, int64_t tasks) {
    Marks m = {.count = calloc((size_t)tasks + 1, sizeof *m.count), .n = tasks};
    pool_run(p, tasks, mark, &m);
    int64_t wrong = 0;
    for (int64_t i = 0; i < tasks; i++) wrong += atomic_load(&m.count[i]) != 1;
    EXPECT(wrong == 0 && atomic_load(&m.bad) == 0, "%d threads, %lld tasks: %lld not done once",
           pool_threads(p), (long long)tasks, (long long)wrong);
    free(m.count);
}

static void check_many_jobs(Pool *p) {
    enum { JOBS = 20000, TASKS = 7 };
    Marks m = {.count = calloc(TASKS, sizeof *m.count), .n = TASKS};
    for (int i = 0; i < JOBS; i++) pool_run(p, TASKS, mark, &m);
    for (int i = 0; i < TASKS; i++)
        EXPECT(atomic_load(&m.count[i]) == JOBS, "%d threads: task %d done %d times",
               pool_threads(p), i, atomic_load(&m.count[i]));
    free(m.count);
}

static void count_wide(void *cx, int64_t first, int64_t last) {
    atomic_fetch_add((_Atomic int64_t *)cx, last - first);
}

typedef struct Halves {
    volatile float of;
    _Atomic int some; /* that are not zero */
} Halves;

static void halve(void *cx, int64_t first, int64_t last) {
    Halves *h = cx;
    for (int64_t i = first; i < last; i++)
        if (h->of / 2 != 0) atomic_fetch_add(&h->some, 1);
}

/* Numbers below the least that is normal are zero in tasks, and only there. */
static void check_tiny(Pool *p) {
    enum { TASKS = 1000 };
    volatile float least = 0x1p-126f;
    Halves results = {.of = least}, operands = {.of = least / 2}, others = {.of = least * 2};
    pool_run(p, TASKS, halve, &results);
    pool_run(p, TASKS, halve, &operands);
    pool_run_here(p, TASKS, halve, &results);
    pool_run(p, TASKS, halve, &others);
    EXPECT(atomic_load(&results.some) == 0 && atomic_load(&operands.some) == 0 &&
               atomic_load(&others.some) == TASKS,
           "%d threads: of %d tiny results %d, of as many operands %d, of others %d are not zero",
           pool_threads(p), 2 * TASKS, atomic_load(&results.some), atomic_load(&operands.some),
           atomic_load(&others.some));
    EXPECT(least / 2 > 0, "the caller's own tiny numbers are zero too");
}

static void check_threads(int threads) {
    Err e = {0};
    Pool *p = pool_new(threads, &e);
    EXPECT(p && pool_threads(p) == threads, "%s", e.msg);
    if (!p) return;
    for (int64_t n = 0; n < 70; n++) check_once(p, n);
    check_once(p, 100003);
    check_many_jobs(p);
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL); /* workers are asleep */
    check_once(p, 1000);
    check_tiny(p);
    _Atomic int64_t total = 0;
    int64_t wide = (int64_t)9 << 32; /* more tasks than a stretch can count singly */
    pool_run(p, wide, count_wide, &total);
    EXPECT(atomic_load(&total) == wide, "%d threads: %lld of %lld tasks", threads,
           (long long)atomic_load(&total), (long long)wide);
    pool_free(p);
}

int main(void) {
    int threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) check_threads(threads[i]);
    Err e = {0};
    EXPECT(!pool_new(-1, &e) && strstr(e.msg, "-1"), "%s", e.msg);
    EXPECT(!pool_new(100000, &e) && strstr(e.msg, "100000"), "%s", e.msg);
    return check_done("pool");
}
