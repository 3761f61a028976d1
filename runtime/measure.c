/* Measures the machine: a few dozen milliseconds a figure, best of several goes, since what
 * disturbs a measurement only ever slows it. Rates count what a program asks for (a triad reads two
 * and writes one), not what the hardware moves beside it. The arrays are larger than the caches
 * together, in huge pages where there are any, as the arena of a run is. */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/gemm.h"
#include "runtime/machine.h"

enum { VECTOR = 16 * sizeof(float), ARRAYS = 3, HUGE_PAGE = 2 << 20, DISPATCHES = 1000 };
static const double SECONDS = 0.04; /* a figure */
static const int64_t MEMORY_BYTES = 96 << 20, TOUCH_BYTES = 128 << 20, DISK_BYTES = 64 << 20;

typedef struct Measure {
    Machine *m;
    Pool *pool;
    bool all; /* it has every thread, not one */
    const MachineCode *code;
    float *array[ARRAYS];
    int64_t vectors; /* of each */
} Measure;

static void put(Measure *t, FigureId f, double value) {
    *(t->all ? &t->m->figure[f].all : &t->m->figure[f].one) = value;
}

/* ---- goes */

static double best_seconds(void (*go)(void *cx), void *cx) {
    double best = 1e30, end = clock_seconds() + SECONDS;
    for (int i = 0; i < 3 || clock_seconds() < end; i++) {
        double start = clock_seconds();
        go(cx);
        double took = clock_seconds() - start;
        best = took < best ? took : best;
    }
    return best;
}

/* ---- loops over arrays */

typedef struct Sweep { /* `n` vectors, cut among threads, `times` over */
    const Measure *t;
    RtProbeFn *fn;
    int64_t n, times;
    int threads;
} Sweep;

static void sweep_part(void *cx, int64_t first, int64_t last) {
    const Sweep *s = cx;
    for (int64_t part = first; part < last; part++)
        for (int64_t k = 0; k < s->times; k++)
            s->fn(s->t->array, s->n * part / s->threads, s->n * (part + 1) / s->threads);
}

static void sweep_all(void *cx) {
    const Sweep *s = cx;
    pool_run(s->t->pool, s->threads, sweep_part, cx);
}

static double sweep_seconds(const Measure *t, RtProbe which, int64_t n, int64_t times) {
    Sweep s = {t, t->code->probe[which], n, times, pool_threads(t->pool)};
    return best_seconds(sweep_all, &s);
}

static void measure_stream(Measure *t, FigureId f, RtProbe which, int64_t n, int64_t times) {
    int arrays = which == RT_PROBE_copy || which == RT_PROBE_copy_streaming ? 2 : 3;
    double bytes = (double)n * (double)times * VECTOR * arrays;
    put(t, f, bytes / sweep_seconds(t, which, n, times) / 1e9);
}

/* The three arrays together fill a half of the cache (all threads': of each one's), so that the
 * rest of the program does not push them out. */
static void measure_cache(Measure *t, FigureId f, int64_t bytes) {
    int64_t n = bytes / 2 / ARRAYS / VECTOR;
    if (n > t->vectors) n = t->vectors;
    if (n > 0) measure_stream(t, f, RT_PROBE_triad, n, 1 + (4 << 20) / (n * VECTOR));
}

/* Two numbers of bf16 from 1/4 to 1, which is one of f32 as well, either sign: all the same they
 * would take less power than a model's do, and some processors would be faster then. */
static void two_numbers(uint64_t i, void *out) {
    uint64_t bits = hash_mix(1, i);
    uint16_t two[2];
    for (int k = 0; k < 2; k++, bits >>= 16)
        two[k] = (uint16_t)(0x3E80 + (bits & 0xFF) + (bits & 0x8000));
    memcpy(out, two, sizeof two);
}

/* Every thread writes the same few sums: 12 vectors at the start, when it is done. */
static void sums_part(void *cx, int64_t first, int64_t last) {
    const Sweep *s = cx;
    _Alignas(VECTOR) float sum[12 * 16], in[64 * 16];
    for (uint64_t i = 0; i < sizeof in / sizeof *in; i++) two_numbers(i, &in[i]);
    float *const buf[] = {sum, in, in};
    for (int64_t part = first; part < last; part++) s->fn(buf, 0, s->n);
}

static void sums_all(void *cx) {
    const Sweep *s = cx;
    pool_run(s->t->pool, s->threads, sums_part, cx);
}

static double measure_arithmetic(Measure *t, FigureId f, RtProbe which, double operations) {
    Sweep s = {t, t->code->probe[which], 2 << 20, 1, pool_threads(t->pool)};
    double rate = operations * (double)s.n * s.threads / best_seconds(sums_all, &s) / 1e9;
    put(t, f, rate);
    return rate;
}

static void measure_loops(Measure *t) {
    int threads = pool_threads(t->pool);
    measure_arithmetic(t, FIG_fma, RT_PROBE_fma, 2 * 16);
    double dots = measure_arithmetic(t, FIG_dot_bf16, RT_PROBE_dot_bf16, 2 * 2 * 16);
    if (t->code->tiles[TILE_parts].parts > 1) put(t, FIG_dot_parts, dots / TILES_TERMS);
    measure_cache(t, FIG_l2_triad, t->m->l2 * threads);
    measure_cache(t, FIG_l3_triad, t->m->l3 / 2);
    measure_stream(t, FIG_copy, RT_PROBE_copy, t->vectors, 1);
    measure_stream(t, FIG_copy_streaming, RT_PROBE_copy_streaming, t->vectors, 1);
    measure_stream(t, FIG_triad, RT_PROBE_triad, t->vectors, 1);
    measure_stream(t, FIG_triad_streaming, RT_PROBE_triad_streaming, t->vectors, 1);
}

/* ---- products, as the runtime makes them */

typedef struct Product {
    const Measure *t;
    RtGemm g;
    const RtTiles *tiles;
} Product;

static void product_go(void *cx) {
    const Product *p = cx;
    GemmData d = {.a = p->t->array[0], .b = p->t->array[1], .c = p->t->array[2]};
    gemm_run(p->t->pool, &p->g, p->tiles, &d);
}

static void measure_product(Measure *t, FigureId f, RtGemm g, const RtTiles *tiles) {
    Product p = {t, g, tiles};
    double operations =
        2.0 * (double)g.m * (double)g.n * (double)g.k * (g.nloop ? (double)g.loop[0].size : 1);
    put(t, f, operations / best_seconds(product_go, &p) / 1e9);
}

static RtGemm rows_product(int64_t m, int64_t n, int64_t k) {
    RtWalk one = walk_plain(1), across = walk_plain(n);
    return (RtGemm){.m = m,
                    .n = n,
                    .k = k,
                    .am = walk_plain(k),
                    .ak = one,
                    .bk = across,
                    .bn = one,
                    .cm = n,
                    .cn = 1};
}

static void measure_f32(Measure *t, FigureId f, RtGemm g) {
    measure_product(t, f, g, tiles_of_f32(t->code->tiles, &g));
}

static void measure_products(Measure *t) {
    const RtTiles *tiles = t->code->tiles;
    measure_f32(t, FIG_product_wide, rows_product(1024, 3072, 768));
    measure_f32(t, FIG_product_square, rows_product(1024, 768, 768));
    RtGemm weight = rows_product(768, 3072, 1024); /* A lies as its transpose, as in gradients */
    weight.am = walk_plain(1), weight.ak = walk_plain(768);
    measure_f32(t, FIG_product_weight, weight);
    RtGemm scores = rows_product(128, 128, 64);
    scores.bk = walk_plain(1), scores.bn = walk_plain(64), scores.nloop = 1;
    scores.loop[0].size = 96, scores.loop[0].a = scores.loop[0].b = 128 * 64;
    scores.loop[0].c = 128 * 128;
    measure_f32(t, FIG_product_scores, scores);
    RtGemm rounded = rows_product(1024, 3072, 768); /* of a kernel's result and a parameter */
    rounded.a = DT_bf16;
    measure_product(t, FIG_product_bf16, rounded, &tiles[TILE_bf16]);
}

/* ---- handing out work, and pages */

/* A task that ends when every thread has one. */
static void meet(void *cx, int64_t first, int64_t last) {
    atomic_int *missing = cx;
    atomic_fetch_sub(missing, (int)(last - first));
    for (int spins = 1; atomic_load(missing) > 0; spins++)
        if (spins % 4096 == 0) sched_yield();
}

static void dispatch_go(void *cx) {
    const Measure *t = cx;
    for (int i = 0; i < DISPATCHES; i++) {
        atomic_int missing = pool_threads(t->pool);
        pool_run(t->pool, pool_threads(t->pool), meet, &missing);
    }
}

static void *map_pages(int64_t bytes, int advice) {
    void *at = mmap(NULL, (size_t)bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    madvise(at, (size_t)bytes + HUGE_PAGE, advice);
    return at;
}

static double touch_rate(int advice) {
    double best = 0;
    for (int i = 0; i < 2; i++) {
        char *at = map_pages(TOUCH_BYTES, advice);
        if (!at) return 0;
        char *aligned = at + (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE;
        double start = clock_seconds();
        memset(aligned, 1, (size_t)TOUCH_BYTES);
        double rate = (double)TOUCH_BYTES / (clock_seconds() - start) / 1e9;
        best = rate > best ? rate : best;
        munmap(at, (size_t)TOUCH_BYTES + HUGE_PAGE);
    }
    return best;
}

/* ---- all of it */

static bool map_arrays(Measure *t, Err *e) {
    int64_t bytes = t->m->l3 > MEMORY_BYTES / 2 ? 2 * t->m->l3 : MEMORY_BYTES;
    if (bytes > t->m->memory / 16) bytes = t->m->memory / 16;
    for (int i = 0; i < ARRAYS; i++) {
        char *at = map_pages(bytes, MADV_HUGEPAGE);
        if (!at) return err_set(e, "no memory to measure with: %s", strerror(errno));
        t->array[i] = (float *)(void *)at;
        for (int64_t k = 0; k < bytes / (int64_t)sizeof(float); k++)
            t->array[i][k] = (float)(k % 7) / 8;
    }
    t->vectors = bytes / VECTOR;
    return true;
}

static void unmap_arrays(const Measure *t) {
    for (int i = 0; i < ARRAYS; i++)
        if (t->array[i]) munmap(t->array[i], (size_t)t->vectors * VECTOR + HUGE_PAGE);
}

static bool measure_threads(Measure *t, int threads, Err *e) {
    t->pool = pool_new(threads, e);
    t->all = threads > 1;
    if (!t->pool) return false;
    bool ok = pool_rooms(t->pool, GEMM_ROOM, e);
    if (ok) measure_loops(t);
    if (ok) measure_products(t);
    if (ok && t->all) put(t, FIG_dispatch, best_seconds(dispatch_go, t) / DISPATCHES * 1e6);
    pool_free(t->pool);
    return ok;
}

bool machine_measure(Machine *m, const MachineCode *code, Err *e) {
    gemm_init();
    Measure t = {.m = m, .code = code};
    bool ok = map_arrays(&t, e) && measure_threads(&t, 1, e) &&
              (m->cores == 1 || measure_threads(&t, m->cores, e));
    unmap_arrays(&t);
    m->figure[FIG_touch].one = touch_rate(MADV_NOHUGEPAGE);
    m->figure[FIG_touch_huge].one = touch_rate(MADV_HUGEPAGE);
    return ok;
}

bool machine_measure_disk(Machine *m, const char *folder, Err *e) {
    Arena *a = arena_new();
    const char *path = arena_printf(a, "%s/doctor-%d.safetensors", folder, (int)getpid());
    float *data = arena_alloc(a, (size_t)DISK_BYTES);
    int64_t count = DISK_BYTES / (int64_t)sizeof(float);
    for (int64_t i = 0; i < count; i++) data[i] = random_uniform(1, 2, (uint64_t)i);
    CheckTensor t = {
        .name = "x", .dtype = DT_f32, .rank = 1, .dim = {count}, .data = data, .bytes = DISK_BYTES};
    double start = clock_seconds();
    bool ok = checkpoint_write(path, &t, 1, NULL, 0, e);
    m->figure[FIG_disk].one = ok ? (double)DISK_BYTES / (clock_seconds() - start) / 1e6 : 0;
    unlink(path);
    arena_free(a);
    return ok;
}
