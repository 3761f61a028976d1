/* Waves: a plan's steps in order, cut wherever a step reads or writes memory that one of the wave
 * writes, or writes what one reads. The steps of a wave may run in any order and at once, so their
 * tasks are one job of the pool: one wait instead of one a step, and no thread idles at the end of
 * a step that does not divide evenly. The optimiser's updates of all parameters are a wave.
 *
 * Conflicts are found by addresses, once, when a plan is bound: the arena is reused, so two values
 * that have nothing to do with each other may lie in one place. */
#include <string.h>

#include "runtime/wave.h"

enum { MAX_STEPS = 64, COPY_PIECE = 256 << 10 };
/* Bytes and operations of about 5 us: below, waking threads does not pay. */
static const double INLINE_COST = 1e5;

/* ---- steps */
static GemmJob bind_product(const RtStep *s, char *const *buf, int threads) {
    const float *start = s->nread > 2 ? (const float *)(void *)buf[2] : NULL;
    float *sums = s->sums ? (float *)(void *)buf[s->nbuf - 1] : NULL;
    GemmData d = {buf[0], buf[1], start, buf[s->nread], sums};
    return gemm_job(&s->gemm, s->tiles, threads, &d);
}

void step_bind(BoundStep *b, const RtPlan *plan, int threads) {
    const RtStep *s = b->step;
    char *const *buf = b->call.buf;
    switch (s->kind) {
    case RT_KERNEL:
        b->tasks = s->tasks;
        b->cost = s->cost;
        return;
    case RT_GEMM:
        b->gemm = bind_product(s, buf, threads);
        b->tasks = b->gemm.tasks;
        b->cost = b->tasks ? b->gemm.cost / (double)b->tasks : 0;
        return;
    case RT_PACK:
        b->gemm = (GemmJob){.g = s->gemm, .tiles = s->tiles};
        b->pack = pack_job(&b->gemm, s->packs_b, threads, buf[0], buf[1]);
        b->tasks = b->pack.tasks;
        b->cost = s->bytes / (double)b->tasks;
        return;
    case RT_COPY:
        b->bytes = buf[0] == buf[1] ? 0 : plan->buffer[s->buf[0]].bytes;
        b->tasks = (b->bytes + COPY_PIECE - 1) / COPY_PIECE;
        b->cost = COPY_PIECE;
        return;
    }
    BUG("step of kind %d", (int)s->kind);
}

static void copy_tasks(const BoundStep *b, int64_t first, int64_t last) {
    int64_t begin = first * COPY_PIECE, end = last * COPY_PIECE;
    if (end > b->bytes) end = b->bytes;
    memcpy(b->call.buf[1] + begin, b->call.buf[0] + begin, (size_t)(end - begin));
}

static void step_tasks(const BoundStep *b, int64_t first, int64_t last) {
    switch (b->step->kind) {
    case RT_KERNEL: b->step->kernel(&b->call, first, last); return;
    case RT_GEMM: gemm_tasks(&b->gemm, first, last); return;
    case RT_PACK: pack_tasks(&b->pack, first, last); return;
    case RT_COPY: copy_tasks(b, first, last); return;
    }
}

/* ---- cutting */
static bool overlap(const char *a, int64_t na, const char *b, int64_t nb) {
    return (uintptr_t)a < (uintptr_t)b + (uintptr_t)nb &&
           (uintptr_t)b < (uintptr_t)a + (uintptr_t)na;
}

/* Does either write what the other touches? */
static bool conflict(const RtPlan *plan, const BoundStep *a, const BoundStep *b) {
    for (int i = 0; i < a->step->nbuf; i++)
        for (int k = 0; k < b->step->nbuf; k++)
            if ((i >= a->step->nread || k >= b->step->nread) &&
                overlap(a->call.buf[i], plan->buffer[a->step->buf[i]].bytes, b->call.buf[k],
                        plan->buffer[b->step->buf[k]].bytes))
                return true;
    return false;
}

static bool wave_takes(const RtPlan *plan, const Wave *w, const BoundStep *b) {
    for (int i = 0; i < w->n; i++)
        if (conflict(plan, &w->step[i], b)) return false;
    return w->n < MAX_STEPS;
}

static void wave_finish(Arena *a, Wave *w) {
    w->end = NEW_N(a, int64_t, w->n);
    int64_t tasks = 0;
    for (int i = 0; i < w->n; i++) {
        w->end[i] = tasks += w->step[i].tasks;
        w->cost += w->step[i].cost * (double)w->step[i].tasks;
    }
}

int waves_cut(Arena *a, const RtPlan *plan, const BoundStep *step, Wave **out) {
    Wave *wave = NEW_N(a, Wave, plan->nstep);
    int n = 0;
    for (int i = 0; i < plan->nstep; i++) {
        if (!n || !wave_takes(plan, &wave[n - 1], &step[i])) wave[n++] = (Wave){.step = &step[i]};
        wave[n - 1].n++;
    }
    for (int i = 0; i < n; i++) wave_finish(a, &wave[i]);
    *out = wave;
    return n;
}

/* ---- running */
static void wave_tasks(void *cx, int64_t first, int64_t last) {
    const Wave *w = cx;
    int64_t begin = 0;
    for (int i = 0; i < w->n && first < last; begin = w->end[i++]) {
        if (first >= w->end[i]) continue;
        int64_t end = last < w->end[i] ? last : w->end[i];
        step_tasks(&w->step[i], first - begin, end - begin);
        first = end;
    }
}

void wave_run(const Wave *w, Pool *pool) {
    int64_t tasks = w->end[w->n - 1];
    Wave cx = *w;
    if (w->cost < INLINE_COST)
        pool_run_here(pool, tasks, wave_tasks, &cx);
    else
        pool_run(pool, tasks, wave_tasks, &cx);
}

void step_run(const BoundStep *b, Pool *pool) {
    int64_t end = b->tasks;
    wave_run(&(Wave){.step = b, .n = 1, .end = &end, .cost = b->cost * (double)end}, pool);
}
