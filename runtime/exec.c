/* The executor: the memory of one program and the plans that run in it.
 *
 * All tensors, batch fields and the one arena that the plans share are mapped once, in huge pages
 * where the system gives them; every pointer of every call is resolved then. Running a plan is a
 * walk over its waves of steps that allocates nothing. After a fault the tensors hold a step half
 * done: the caller goes back to a checkpoint. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/profile.h"
#include "runtime/wave.h"

enum { ALIGN = 64, HUGE_PAGE = 2 << 20 };

typedef struct Bound { /* a plan with its pointers, for a piece of the batch */
    const RtPlan *plan;
    int64_t piece;
    char **buf; /* by RtPlan.buffer */
    BoundStep *step;
    Wave *wave;
    int nwave;
} Bound;

struct Exec {
    const RtProgram *program;
    Pool *pool;
    Arena *small;
    char *base; /* the mapping: tensors, fields, arena */
    size_t bytes;
    char **tensor;
    char ***field; /* by entry */
    char *arena;
    Bound *bound;
    int nbound;
    RtClock clock;
    RtFault fault;
    Profile *profile; /* or NULL */
};

/* ---- memory */

static bool add_bytes(size_t *total, int64_t n) {
    size_t end;
    if (n < 0 || __builtin_add_overflow(*total, (size_t)n, &end) || end > SIZE_MAX / 2)
        return false;
    *total = (end + ALIGN - 1) / ALIGN * ALIGN;
    return true;
}

static int64_t field_bytes(const RtEntry *e, const Field *f) {
    int64_t n = e->batch;
    for (int i = 0; i < f->rank; i++)
        if (__builtin_mul_overflow(n, f->dim[i], &n)) return -1;
    return __builtin_mul_overflow(n, (int64_t)dtype_size(f->dtype), &n) ? -1 : n;
}

static int64_t largest_arena(const RtProgram *p) {
    int64_t most = p->init ? p->init->arena_bytes : 0;
    for (int i = 0; i < p->nentry; i++) {
        for (int k = 0; k < RT_PLANS; k++) {
            const RtPlan *plan = p->entry[i].plan[k];
            if (plan && plan->arena_bytes > most) most = plan->arena_bytes;
        }
    }
    return most;
}

/* Offsets of everything, as pointers from NULL when `base` is NULL: first to measure, then to
 * place. */
static bool lay_out(Exec *x, size_t *total) {
    const RtProgram *p = x->program;
    *total = 0;
    for (int i = 0; i < p->ntensor; i++) {
        if (x->base) x->tensor[i] = x->base + *total;
        if (!add_bytes(total, p->tensor[i].bytes)) return false;
    }
    for (int i = 0; i < p->nentry; i++)
        for (int k = 0; k < p->entry[i].nfield; k++) {
            if (x->base) x->field[i][k] = x->base + *total;
            if (!add_bytes(total, field_bytes(&p->entry[i], &p->entry[i].field[k]))) return false;
        }
    if (x->base) x->arena = x->base + *total;
    return add_bytes(total, largest_arena(p));
}

static bool map_memory(Exec *x, size_t bytes, Err *e) {
    double gb = (double)bytes / 1e9;
    double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9;
    if (gb > have)
        return err_set(
            e,
            "the program needs %.1f GB of memory and this machine has %.1f GB: make the batch "
            "or the model smaller",
            gb, have);
    x->bytes = (bytes + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
    char *at = mmap(NULL, x->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return err_set(e, "cannot get %.1f GB of memory: %s", gb, strerror(errno));
    madvise(at, x->bytes, MADV_HUGEPAGE); /* a wish; without it all works, slower */
    x->base = at;
    return true;
}

/* ---- plans */

static int64_t pieces_of(const RtPlan *plan) {
    return plan->pieces > 1 ? plan->pieces : 1;
}

/* Where a field's samples of one piece begin. */
static char *field_at(const Exec *x, int entry, int field, const RtPlan *plan, int64_t piece) {
    const RtEntry *e = &x->program->entry[entry];
    return x->field[entry][field] + field_bytes(e, &e->field[field]) / pieces_of(plan) * piece;
}

static char *buffer_at(const Exec *x, const RtBuffer *b, int entry, const Bound *of) {
    int64_t arena_bytes = of->plan->arena_bytes;
    switch (b->where) {
    case RT_ARENA:
        CHECK(b->offset >= 0 && b->bytes >= 0 && b->offset <= arena_bytes - b->bytes);
        return x->arena + b->offset;
    case RT_TENSOR:
        CHECK(b->index >= 0 && b->index < x->program->ntensor);
        CHECK(b->offset >= 0 && b->bytes <= x->program->tensor[b->index].bytes - b->offset);
        return x->tensor[b->index] + b->offset;
    case RT_FIELD:
        CHECK(entry >= 0 && b->index >= 0 && b->index < x->program->entry[entry].nfield);
        return field_at(x, entry, b->index, of->plan, of->piece) + b->offset;
    }
    BUG("buffer of kind %d", (int)b->where);
}

/* Sizes as they are for a piece: indices and random numbers count on. */
static const int64_t *piece_sizes(Exec *x, const RtStep *s, int64_t piece) {
    if (piece == 0 || s->nshift == 0) return s->size;
    int64_t *size = arena_memdup(x->small, s->size, (size_t)s->nsize * sizeof *s->size);
    for (int i = 0; i < s->nshift; i++) size[s->shift[i].at] += piece * s->shift[i].by;
    return size;
}

static void bind_step(Exec *x, Bound *b, int number) {
    const RtStep *s = &b->plan->step[number];
    char **buf = NEW_N(x->small, char *, s->nbuf);
    for (int i = 0; i < s->nbuf; i++) {
        CHECK(s->buf[i] >= 0 && s->buf[i] < b->plan->nbuffer);
        buf[i] = b->buf[s->buf[i]];
    }
    b->step[number].step = s;
    b->step[number].call = (RtCall){.buf = buf,
                                    .size = piece_sizes(x, s, b->piece),
                                    .word = s->word,
                                    .clock = &x->clock,
                                    .fault = &x->fault,
                                    .number = number};
    step_bind(&b->step[number], b->plan, pool_threads(x->pool));
}

static void bind_piece(Exec *x, const RtPlan *plan, int entry, int64_t piece) {
    Bound *b = &x->bound[x->nbound++];
    b->plan = plan;
    b->piece = piece;
    b->buf = NEW_N(x->small, char *, plan->nbuffer);
    for (int i = 0; i < plan->nbuffer; i++) b->buf[i] = buffer_at(x, &plan->buffer[i], entry, b);
    b->step = NEW_N(x->small, BoundStep, plan->nstep);
    for (int i = 0; i < plan->nstep; i++) bind_step(x, b, i);
    b->nwave = waves_cut(x->small, plan, b->step, &b->wave);
}

static void bind_plan(Exec *x, const RtPlan *plan, int entry) {
    if (!plan) return;
    for (int i = 0; i < x->nbound; i++)
        CHECK(x->bound[i].plan != plan); /* it reads one entry's batch */
    for (int64_t piece = 0; piece < pieces_of(plan); piece++) bind_piece(x, plan, entry, piece);
}

/* The pieces of a plan are bound one after another. */
static const Bound *bound_find(const Exec *x, const RtPlan *plan, int64_t piece) {
    CHECK(piece >= 0 && piece < pieces_of(plan));
    for (int i = 0; i < x->nbound; i++)
        if (x->bound[i].plan == plan) return &x->bound[i + piece];
    BUG("plan '%s' is not of this program", plan->name);
}

static int64_t count_bound(const RtProgram *p) {
    int64_t n = p->init ? 1 : 0;
    for (int i = 0; i < p->nentry; i++)
        for (int k = 0; k < RT_PLANS; k++)
            n += p->entry[i].plan[k] ? pieces_of(p->entry[i].plan[k]) : 0;
    return n;
}

Exec *exec_new(const RtProgram *p, Pool *pool, Err *e) {
    Arena *small = arena_new();
    Exec *x = NEW(small, Exec);
    x->small = small;
    x->program = p;
    x->pool = pool;
    x->tensor = NEW_N(small, char *, p->ntensor);
    x->field = NEW_N(small, char **, p->nentry);
    for (int i = 0; i < p->nentry; i++) x->field[i] = NEW_N(small, char *, p->entry[i].nfield);
    size_t bytes;
    if (!lay_out(x, &bytes))
        err_set(e, "the program's tensors are too large for any machine");
    else if (map_memory(x, bytes, e))
        lay_out(x, &bytes);
    if (!x->base) {
        exec_free(x);
        return NULL;
    }
    gemm_init();
    if (!pool_rooms(pool, GEMM_ROOM, e)) {
        exec_free(x);
        return NULL;
    }
    x->bound = NEW_N(small, Bound, count_bound(p));
    bind_plan(x, p->init, -1);
    for (int i = 0; i < p->nentry; i++) {
        for (int k = 0; k < RT_PLANS; k++) bind_plan(x, p->entry[i].plan[k], i);
    }
    return x;
}

void exec_free(Exec *x) {
    if (!x) return;
    if (x->base) munmap(x->base, x->bytes);
    arena_free(x->small);
}

char *exec_tensor(Exec *x, int tensor) {
    return x->tensor[tensor];
}

char *const *exec_fields(Exec *x, const RtEntry *entry) {
    return x->field[entry - x->program->entry];
}

/* ---- running */

void exec_profile(Exec *x, Profile *p) {
    x->profile = p;
}

static bool report_fault(const Exec *x, const RtPlan *plan, Err *e) {
    int number = atomic_load(&x->fault.set) - 1;
    CHECK(number >= 0 && number < plan->nstep);
    e->at = plan->step[number].span;
    return err_set(e, "%s: index %lld is out of range, 0 to %lld is what there is",
                   plan->step[number].label, (long long)x->fault.index,
                   (long long)x->fault.limit - 1);
}

static void begin(Exec *x, const RtClock *clock) {
    x->clock = *clock;
    atomic_store_explicit(&x->fault.set, 0, memory_order_relaxed);
}

static bool no_fault(const Exec *x, const RtPlan *plan, Err *e) {
    return !atomic_load_explicit(&x->fault.set, memory_order_acquire) || report_fault(x, plan, e);
}

bool exec_steps(Exec *x, const RtPlan *plan, const RtClock *clock, int first, int last, Err *e) {
    const Bound *b = bound_find(x, plan, clock->piece);
    begin(x, clock);
    for (int i = first; i < last; i++) {
        double start = x->profile ? clock_seconds() : 0;
        step_run(&b->step[i], x->pool);
        if (x->profile) profile_call(x->profile, plan, i, start);
        if (!no_fault(x, plan, e)) return false;
    }
    return true;
}

bool exec_plan(Exec *x, const RtPlan *plan, const RtClock *clock, Err *e) {
    if (x->profile) return exec_steps(x, plan, clock, 0, plan->nstep, e); /* waves would blur it */
    const Bound *b = bound_find(x, plan, clock->piece);
    begin(x, clock);
    for (int i = 0; i < b->nwave; i++) {
        wave_run(&b->wave[i], x->pool);
        if (!no_fault(x, plan, e)) return false;
    }
    return true;
}

char *exec_buffer(const Exec *x, const RtPlan *plan, int64_t piece, int32_t buffer) {
    return bound_find(x, plan, piece)->buf[buffer];
}

const void *exec_output(const Exec *x, const RtPlan *plan, int out) {
    return bound_find(x, plan, 0)->buf[plan->out[out].buffer];
}

double exec_scalar(const Exec *x, const RtPlan *plan, int out) {
    const void *at = exec_output(x, plan, out);
    switch (plan->out[out].dtype) {
    case DT_f32: return *(const float *)at;
    case DT_f64: return *(const double *)at;
    case DT_bf16: return bf16_to_float(*(const uint16_t *)at);
    case DT_i32: return *(const int32_t *)at;
    case DT_i64: return (double)*(const int64_t *)at;
    case DT_u8:
    case DT_bool: return *(const uint8_t *)at;
    case DT_i8: return *(const int8_t *)at;
    case DT_COUNT: break;
    }
    BUG("output of no type");
}

/* ---- accumulators */

static void put_value(char *at, DType t, double v) {
    switch (t) {
    case DT_f32: *(float *)(void *)at = (float)v; return;
    case DT_f64: *(double *)(void *)at = v; return;
    case DT_bf16: *(uint16_t *)(void *)at = bf16_from_float((float)v); return;
    case DT_i32: *(int32_t *)(void *)at = (int32_t)fmin(fmax(v, INT32_MIN), INT32_MAX); return;
    case DT_i64:
        *(int64_t *)(void *)at = v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
        return;
    case DT_u8:
    case DT_bool: *(uint8_t *)at = (uint8_t)fmin(fmax(v, 0), 255); return;
    case DT_i8: *(int8_t *)at = (int8_t)fmin(fmax(v, INT8_MIN), INT8_MAX); return;
    case DT_COUNT: break;
    }
    BUG("accumulator of no type");
}

enum { FILL = 1 << 16 }; /* elements of a task */

typedef struct FillJob {
    const RtTensor *tensor;
    char *at;
} FillJob;

static void fill_part(void *job, int64_t first, int64_t last) {
    const FillJob *f = job;
    int64_t size = (int64_t)dtype_size(f->tensor->dtype), end = last * FILL * size;
    if (end > f->tensor->bytes) end = f->tensor->bytes;
    first *= FILL * size;
    if (f->tensor->fill == 0)
        memset(f->at + first, 0, (size_t)(end - first));
    else
        for (int64_t i = first; i < end; i += size)
            put_value(f->at + i, f->tensor->dtype, f->tensor->fill);
}

void exec_reset(Exec *x, const RtEntry *entry) {
    for (int i = 0; i < entry->nacc; i++) {
        FillJob f = {&x->program->tensor[entry->acc[i]], x->tensor[entry->acc[i]]};
        int64_t task = FILL * (int64_t)dtype_size(f.tensor->dtype);
        pool_run(x->pool, (f.tensor->bytes + task - 1) / task, fill_part, &f);
    }
}
