/* The pool: one set of threads for all work of a run.
 *
 * Every thread starts with its own stretch of the task numbers (the same share of every step, so
 * its part of the data stays in its cache), takes from its front, and when it has none left steals
 * from the back of others. Tasks are independent and their extent is fixed by sizes, so who does
 * what never shows in a result. Workers spin through a step and sleep on a futex after about 10 ms
 * without work. A stretch is one atomic word: whoever takes from it holds tasks of the current job,
 * which cannot end before they are done, so job fields are read safely after taking. Limit: 2^31
 * pieces of a job; more tasks than that are taken several at a time. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/runtime.h"

enum {
    CACHE_LINE = 64,
    MAX_THREADS = 1024,
    SPIN_NS = 10 * 1000 * 1000,
    SPINS_A_LOOK = 256,
    LOOKS_TO_YIELD = 20,
    ROOM_STEP = 2 << 20 /* a huge page */
};

typedef struct Worker {
    _Alignas(CACHE_LINE) _Atomic uint64_t range; /* first << 32 | end, in pieces */
    Pool *pool;
    int number;
    pthread_t thread;
    char *room;         /* in Pool.rooms */
    double begun, done; /* while the pool is watched: of this job; begun 0: has had no task */
} Worker;

struct Pool {
    int threads;
    bool pin, pinned;
    cpu_set_t before; /* where the caller might run before it was pinned */
    Worker *worker;
    void (*fn)(void *cx, int64_t first, int64_t last);
    void *cx;
    int64_t tasks, grain; /* grain: tasks a piece */
    uint64_t job;
    char *rooms;
    size_t rooms_bytes;
    bool watched;
    _Alignas(CACHE_LINE) _Atomic uint32_t epoch;   /* changes when there is something new to do */
    _Alignas(CACHE_LINE) _Atomic int64_t finished; /* pieces of this job */
    _Alignas(CACHE_LINE) _Atomic int sleepers;
    _Atomic bool quit;
};

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- tiny numbers: below 2^-126 there is only zero while tasks run, on every thread. Where
 * gradients have stopped, as of a word that is not seen any more, Adam's running mean shrinks until
 * it is of that size and stays there, since what it loses a step is less than half of its last bit;
 * and an operation that meets such a number takes a hundred times as long. */
#if defined(__x86_64__)
enum { TINY_IS_ZERO = 1 << 15 | 1 << 6 }; /* of results, of operands */
static uint64_t float_mode(void) {
    return __builtin_ia32_stmxcsr();
}
static void set_float_mode(uint64_t mode) {
    __builtin_ia32_ldmxcsr((unsigned)mode);
}
#elif defined(__aarch64__)
enum { TINY_IS_ZERO = 1 << 24 };
static uint64_t float_mode(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void set_float_mode(uint64_t mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
enum { TINY_IS_ZERO = 0 };
static uint64_t float_mode(void) {
    return 0;
}
static void set_float_mode(uint64_t mode) {
    (void)mode;
}
#endif

/* ---- taking work */

static uint64_t range_of(uint32_t first, uint32_t end) {
    return (uint64_t)first << 32 | end;
}

/* The owner takes a quarter of what it has left from the front, so that others find something to
 * steal to the end. */
static bool range_take(_Atomic uint64_t *range, uint32_t *first, uint32_t *n) {
    uint64_t r = atomic_load_explicit(range, memory_order_acquire);
    for (;;) {
        uint32_t begin = (uint32_t)(r >> 32), end = (uint32_t)r;
        if (begin >= end) return false;
        *first = begin;
        *n = (end - begin + 3) / 4;
        if (atomic_compare_exchange_weak_explicit(range, &r, range_of(begin + *n, end),
                                                  memory_order_acquire, memory_order_acquire))
            return true;
    }
}

static bool range_steal(_Atomic uint64_t *range, uint32_t *first, uint32_t *n) {
    uint64_t r = atomic_load_explicit(range, memory_order_acquire);
    for (;;) {
        uint32_t begin = (uint32_t)(r >> 32), end = (uint32_t)r;
        if (begin >= end) return false;
        *n = (end - begin + 1) / 2;
        *first = end - *n;
        if (atomic_compare_exchange_weak_explicit(range, &r, range_of(begin, *first),
                                                  memory_order_acquire, memory_order_acquire))
            return true;
    }
}

static _Atomic uint64_t jobs;      /* begun, of all pools */
static _Thread_local char *room;   /* of the thread, while it works on a job */
static _Thread_local uint64_t job; /* which that is */

char *pool_room(void) {
    return room;
}

uint64_t pool_job(void) {
    return job;
}

static void run_pieces(Pool *p, Worker *self, uint32_t first, uint32_t n) {
    int64_t begin = first * p->grain, end = begin + n * p->grain;
    room = self->room;
    job = p->job;
    if (p->watched && self->begun == 0) self->begun = clock_seconds();
    p->fn(p->cx, begin, end < p->tasks ? end : p->tasks);
    if (p->watched) self->done = clock_seconds();
    atomic_fetch_add_explicit(&p->finished, n, memory_order_release);
}

static void work_until_empty(Pool *p, int self) {
    uint32_t first, n;
    Worker *own = &p->worker[self];
    while (range_take(&own->range, &first, &n)) run_pieces(p, own, first, n);
    for (int i = 1; i < p->threads; i++) {
        Worker *victim = &p->worker[(self + i) % p->threads];
        while (range_steal(&victim->range, &first, &n)) run_pieces(p, own, first, n);
    }
}

/* ---- waiting */

static void futex(_Atomic uint32_t *at, int op, uint32_t value) {
    syscall(SYS_futex, at, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void sleep_until_changed(Pool *p, uint32_t seen) {
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->epoch) == seen) futex(&p->epoch, FUTEX_WAIT, seen);
    atomic_fetch_sub(&p->sleepers, 1);
}

static uint32_t wait_for_epoch(Pool *p, uint32_t seen) {
    int64_t until = 0;
    for (int spins = 1;; spins++) {
        uint32_t now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (now != seen) return now;
        cpu_relax();
        if (spins % SPINS_A_LOOK) continue;
        if (!p->pin || spins > LOOKS_TO_YIELD * SPINS_A_LOOK)
            sched_yield(); /* a busy core is left to who needs it */
        int64_t t = now_ns();
        if (!until) until = t + SPIN_NS;
        if (t > until) sleep_until_changed(p, seen);
    }
}

static void *worker_main(void *arg) {
    Worker *w = arg;
    uint32_t seen = 0;
    set_float_mode(float_mode() | TINY_IS_ZERO);
    for (;;) {
        seen = wait_for_epoch(w->pool, seen);
        if (atomic_load(&w->pool->quit)) return NULL;
        work_until_empty(w->pool, w->number);
    }
}

static void announce(Pool *p) {
    atomic_fetch_add(&p->epoch, 1);
    if (atomic_load(&p->sleepers)) futex(&p->epoch, FUTEX_WAKE, INT_MAX);
}

static void wait_finished(Pool *p, int64_t pieces) {
    for (int spins = 1; atomic_load_explicit(&p->finished, memory_order_acquire) != pieces;
         spins++) {
        cpu_relax();
        if (spins % SPINS_A_LOOK == 0 && (!p->pin || spins > LOOKS_TO_YIELD * SPINS_A_LOOK))
            sched_yield();
    }
}

void pool_run_here(const Pool *p, int64_t tasks, void (*fn)(void *cx, int64_t first, int64_t last),
                   void *cx) {
    room = p->worker[0].room;
    job = atomic_fetch_add(&jobs, 1) + 1;
    uint64_t mode = float_mode();
    set_float_mode(mode | TINY_IS_ZERO);
    fn(cx, 0, tasks);
    set_float_mode(mode);
}

void pool_run(Pool *p, int64_t tasks, void (*fn)(void *cx, int64_t first, int64_t last), void *cx) {
    if (tasks <= 0) return;
    if (p->threads == 1 || tasks == 1) {
        pool_run_here(p, tasks, fn, cx);
        return;
    }
    p->fn = fn;
    p->cx = cx;
    p->tasks = tasks;
    p->job = atomic_fetch_add(&jobs, 1) + 1;
    p->grain = (tasks - 1) / INT32_MAX + 1;
    int64_t pieces = (tasks - 1) / p->grain + 1;
    atomic_store_explicit(&p->finished, 0, memory_order_relaxed);
    for (int i = 0; i < p->threads; i++) p->worker[i].begun = 0; /* before any can take from it */
    for (int i = 0; i < p->threads; i++) {
        uint32_t first = (uint32_t)(pieces * i / p->threads);
        uint32_t end = (uint32_t)(pieces * (i + 1) / p->threads);
        atomic_store_explicit(&p->worker[i].range, range_of(first, end), memory_order_release);
    }
    announce(p);
    uint64_t mode = float_mode();
    set_float_mode(mode | TINY_IS_ZERO);
    work_until_empty(p, 0);
    set_float_mode(mode);
    wait_finished(p, pieces);
}

void pool_watch(Pool *p, bool on) {
    p->watched = on;
}

bool pool_watched(const Pool *p, int worker, double *begun, double *done) {
    const Worker *w = &p->worker[worker];
    *begun = w->begun;
    *done = w->done;
    return w->begun > 0;
}

/* ---- rooms */

static void free_rooms(Pool *p) {
    if (p->rooms) munmap(p->rooms, p->rooms_bytes);
    p->rooms = NULL;
}

bool pool_rooms(Pool *p, size_t bytes, Err *e) {
    size_t each = (bytes + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP, all;
    if (p->rooms && p->rooms_bytes >= each * (size_t)p->threads) return true;
    free_rooms(p);
    if (__builtin_mul_overflow(each, (size_t)p->threads, &all))
        return err_set(e, "no machine has the memory that %d threads would need", p->threads);
    char *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return err_set(e, "cannot get %.0f MB of memory for %d threads: %s", (double)all / 1e6,
                       p->threads, strerror(errno));
    madvise(at, all, MADV_HUGEPAGE);
    p->rooms = at;
    p->rooms_bytes = all;
    for (int i = 0; i < p->threads; i++) p->worker[i].room = at + (size_t)i * each;
    return true;
}

/* ---- threads and cores */

/* The n-th core of the set. */
static void pin_to(pthread_t t, const cpu_set_t *set, int n) {
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, set) || n-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(t, sizeof one, &one); /* where it is not allowed, threads float */
        return;
    }
}

void pool_pin_caller(Pool *p, bool pin) {
    if (!p->pin || p->pinned == pin) return;
    p->pinned = pin;
    if (pin)
        pin_to(pthread_self(), &p->before, 0);
    else
        pthread_setaffinity_np(pthread_self(), sizeof p->before, &p->before);
}

static bool start_workers(Pool *p, Err *e) {
    for (int i = 1; i < p->threads; i++) {
        Worker *w = &p->worker[i];
        int rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc) {
            p->threads = i; /* only these are to be joined */
            return err_set(e, "cannot start thread %d of the pool: %s; try fewer with --threads",
                           i + 1, strerror(rc));
        }
        if (p->pin) pin_to(w->thread, &p->before, i);
    }
    return true;
}

Pool *pool_new(int threads, Err *e) {
    if (threads < 0 || threads > MAX_THREADS) {
        err_set(e, "cannot use %d threads: give a number from 1 to %d", threads, MAX_THREADS);
        return NULL;
    }
    cpu_set_t set;
    int cores;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        cores = CPU_COUNT(&set);
    } else { /* more cores than a cpu_set_t can name: threads are not pinned */
        CPU_ZERO(&set);
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cores = online > 0 && online < MAX_THREADS ? (int)online : 1;
    }
    if (!threads) threads = cores < MAX_THREADS ? cores : MAX_THREADS;
    Pool *p = aligned_alloc(CACHE_LINE, sizeof *p);
    size_t bytes = (size_t)threads * sizeof(Worker);
    Worker *worker = aligned_alloc(CACHE_LINE, bytes);
    if (!p || !worker) {
        free(p);
        free(worker);
        err_set(e, "out of memory for a pool of %d threads", threads);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    memset(worker, 0, bytes);
    p->threads = threads;
    p->worker = worker;
    p->before = set;
    p->pin = threads > 1 && threads <= cores;
    for (int i = 0; i < threads; i++) worker[i].pool = p, worker[i].number = i;
    if (!start_workers(p, e)) {
        pool_free(p);
        return NULL;
    }
    pool_pin_caller(p, true);
    return p;
}

void pool_free(Pool *p) {
    if (!p) return;
    pool_pin_caller(p, false);
    atomic_store(&p->quit, true);
    announce(p);
    for (int i = 1; i < p->threads; i++) pthread_join(p->worker[i].thread, NULL);
    free_rooms(p);
    free(p->worker);
    free(p);
}

int pool_threads(const Pool *p) {
    return p->threads;
}
