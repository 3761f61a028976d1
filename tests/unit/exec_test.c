/* The executor: kernels, products and copies of a plan made by hand; scalars of every dtype;
 * accumulators; faults; and that a step allocates nothing. */
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "tests/unit/check.h"

enum { M = 300, K = 200, N = 250 };

static void fill_kernel(const RtCall *c, int64_t first, int64_t last) {
    float *x = (float *)(void *)c->buf[0];
    for (int64_t row = first; row < last; row++)
        for (int64_t i = 0; i < c->size[0]; i++)
            x[row * c->size[0] + i] =
                random_uniform(c->word[0] + c->clock->step, 0, (uint64_t)(row * c->size[0] + i));
}

static void sum_kernel(const RtCall *c, int64_t first, int64_t last) {
    (void)first, (void)last;
    const float *x = (const float *)(const void *)c->buf[0];
    double sum = 0;
    for (int64_t i = 0; i < c->size[0]; i++) sum += x[i];
    *(float *)(void *)c->buf[1] = (float)sum;
}

static void fault_kernel(const RtCall *c, int64_t first, int64_t last) {
    (void)first, (void)last;
    if (c->clock->step != 99) return;
    int32_t none = 0;
    if (atomic_compare_exchange_strong(&c->fault->set, &none, 1 + c->number))
        c->fault->index = -3, c->fault->limit = 10;
}

/* a, b random; c = a b into the arena; copied to tensor 0; its sum an output. */
typedef struct Fixture {
    RtTensor tensor[8];
    RtBuffer buffer[12];
    int32_t index[8];
    int64_t size[3];
    uint64_t word[2];
    RtStep step[6];
    RtOutput out[8];
    RtPlan plan;
    RtEntry entry;
    int acc[DT_COUNT];
    RtProgram p;
} Fixture;

static const struct Scalar {
    DType t;
    double fill;
} SCALAR[] = {{DT_f32, -INFINITY}, {DT_f64, 0.1}, {DT_bf16, 1.5}, {DT_i32, INT32_MIN},
              {DT_i64, 7},         {DT_u8, 255},  {DT_bool, 1}};
enum { SCALARS = sizeof SCALAR / sizeof *SCALAR };

static void make_program(Fixture *f) {
    int64_t at = 0, bytes[] = {4 * M * K, 4 * K * N, 4 * M * N, 4};
    for (int i = 0; i < 4; i++) {
        f->buffer[i] = (RtBuffer){.where = RT_ARENA, .offset = at, .bytes = bytes[i]};
        at += (bytes[i] + 63) / 64 * 64;
    }
    f->tensor[0] = (RtTensor){
        .name = "c", .dtype = DT_f32, .rank = 2, .dim = {M, N}, .bytes = 4 * M * N, .like = -1};
    f->buffer[4] = (RtBuffer){.where = RT_TENSOR, .index = 0, .bytes = 4 * M * N};
    for (int i = 0; i < SCALARS; i++) {
        int64_t size = (int64_t)dtype_size(SCALAR[i].t);
        f->tensor[1 + i] = (RtTensor){.name = "acc",
                                      .kind = RT_TENSOR_acc,
                                      .dtype = SCALAR[i].t,
                                      .bytes = size,
                                      .like = -1,
                                      .fill = SCALAR[i].fill};
        f->buffer[5 + i] = (RtBuffer){.where = RT_TENSOR, .index = 1 + i, .bytes = size};
        f->out[1 + i] = (RtOutput){.kind = RT_OUT_report,
                                   .name = "acc",
                                   .buffer = 5 + i,
                                   .dtype = SCALAR[i].t,
                                   .count = 1};
    }
    int32_t index[] = {0, 1, 2, 4, 3};
    memcpy(f->index, index, sizeof index);
    f->size[0] = K, f->size[1] = N, f->size[2] = M * N;
    f->word[0] = 1, f->word[1] = 1000;
    f->step[0] = (RtStep){.kind = RT_KERNEL,
                          .kernel = fill_kernel,
                          .buf = f->index,
                          .nbuf = 1,
                          .size = f->size,
                          .word = f->word,
                          .tasks = M,
                          .cost = 4000};
    f->step[1] = (RtStep){.kind = RT_KERNEL,
                          .kernel = fill_kernel,
                          .buf = f->index + 1,
                          .nbuf = 1,
                          .size = f->size + 1,
                          .word = f->word + 1,
                          .tasks = K,
                          .cost = 4000};
    f->step[2] = (RtStep){.kind = RT_GEMM,
                          .buf = f->index,
                          .nbuf = 3,
                          .nread = 2,
                          .gemm = {.m = M,
                                   .n = N,
                                   .k = K,
                                   .am = walk_plain(K),
                                   .ak = walk_plain(1),
                                   .bk = walk_plain(N),
                                   .bn = walk_plain(1),
                                   .cm = N,
                                   .cn = 1}};
    f->step[3] =
        (RtStep){.kind = RT_KERNEL, .kernel = fault_kernel, .tasks = 1, .label = "x.upm:4:2 take"};
    f->step[4] = (RtStep){.kind = RT_COPY, .buf = f->index + 2, .nbuf = 2};
    f->step[5] = (RtStep){.kind = RT_KERNEL,
                          .kernel = sum_kernel,
                          .buf = f->index + 3,
                          .nbuf = 2,
                          .size = f->size + 2,
                          .tasks = 1};
    f->out[0] =
        (RtOutput){.kind = RT_OUT_loss, .name = "loss", .buffer = 3, .dtype = DT_f32, .count = 1};
    f->plan = (RtPlan){.name = "test",
                       .buffer = f->buffer,
                       .nbuffer = 5 + SCALARS,
                       .step = f->step,
                       .nstep = 6,
                       .out = f->out,
                       .nout = 1 + SCALARS,
                       .arena_bytes = at};
    f->entry = (RtEntry){.kind = RT_ENTRY_train, .name = "train", .batch = 1, .step = &f->plan};
    f->entry.acc = f->acc, f->entry.nacc = SCALARS;
    for (int i = 0; i < SCALARS; i++) f->acc[i] = 1 + i;
    f->p = (RtProgram){.name = "test",
                       .tensor = f->tensor,
                       .ntensor = 1 + SCALARS,
                       .entry = &f->entry,
                       .nentry = 1};
}

static double exact_sum(uint64_t step) {
    double sum = 0;
    for (int64_t k = 0; k < K; k++) {
        double column = 0, row = 0;
        for (int64_t i = 0; i < M; i++)
            column += random_uniform(1 + step, 0, (uint64_t)(i * K + k));
        for (int64_t j = 0; j < N; j++)
            row += random_uniform(1000 + step, 0, (uint64_t)(k * N + j));
        sum += column * row;
    }
    return sum;
}

static void test_run(Fixture *f, int threads, char *bytes) {
    Err e = {0};
    Pool *pool = pool_new(threads, &e);
    Exec *x = exec_new(&f->p, pool, &e);
    EXPECT(x, "%s", e.msg);
    RtClock clock = {.step = 5};
    EXPECT(exec_plan(x, &f->plan, &clock, &e), "%s", e.msg);
    double want = exact_sum(5);
    EXPECT(fabs(exec_scalar(x, &f->plan, 0) - want) < 1e-5 * want, "%g, not %g",
           exec_scalar(x, &f->plan, 0), want);
    memcpy(bytes, exec_tensor(x, 0), 4 * M * N);
    struct mallinfo2 before = mallinfo2();
    for (clock.step = 0; clock.step < 20; clock.step++)
        EXPECT(exec_plan(x, &f->plan, &clock, &e), "%s", e.msg);
    struct mallinfo2 after = mallinfo2();
    EXPECT(before.uordblks == after.uordblks && before.hblkhd == after.hblkhd, "steps allocate");
    clock.step = 99;
    EXPECT(!exec_plan(x, &f->plan, &clock, &e) &&
               strcmp(e.msg, "x.upm:4:2 take: index -3 is out of range, 0 to 9 is what there is") ==
                   0,
           "%s", e.msg);
    clock.step = 5;
    EXPECT(exec_plan(x, &f->plan, &clock, &e), "a fault stays: %s", e.msg);
    exec_reset(x, &f->entry);
    for (int i = 0; i < SCALARS; i++)
        EXPECT(exec_scalar(x, &f->plan, 1 + i) == SCALAR[i].fill, "%s: %g", dtype_name(SCALAR[i].t),
               exec_scalar(x, &f->plan, 1 + i));
    exec_free(x);
    pool_free(pool);
}

static void test_too_large(Fixture *f) {
    Err e = {0};
    Pool *pool = pool_new(1, &e);
    f->plan.arena_bytes = (int64_t)1 << 50;
    EXPECT(!exec_new(&f->p, pool, &e) && strstr(e.msg, "GB of memory"), "%s", e.msg);
    f->plan.arena_bytes = INT64_MAX;
    EXPECT(!exec_new(&f->p, pool, &e) && strstr(e.msg, "too large"), "%s", e.msg);
    pool_free(pool);
}

int main(void) {
    static Fixture f;
    make_program(&f);
    char *one = malloc(4 * M * N), *two = malloc(4 * M * N);
    test_run(&f, 1, one);
    test_run(&f, 2, two);
    EXPECT(memcmp(one, two, 4 * M * N) == 0, "one and two threads differ");
    test_too_large(&f);
    free(one);
    free(two);
    return check_done("exec");
}
