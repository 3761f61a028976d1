/* Elementary functions of compiled kernels against the C library in double, rounded: every 97th bit
 * pattern of f32, and the neighbourhood of every power of two. States the largest error of each in
 * units in the last place. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/jit.h"
#include "codegen/loops.h"
#include "tests/unit/check.h"

enum { BLOCK = 4096, STRIDE = 97, EDGE = 8, ULP_LIMIT = 4 };

typedef double Reference(double x);
static double rsqrt_reference(double x) {
    return 1 / sqrt(x);
}
static double sigmoid_reference(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static const struct {
    Op op;
    Reference *f;
} cases[] = {{OP_exp, exp},
             {OP_log, log},
             {OP_log1p, log1p},
             {OP_expm1, expm1},
             {OP_sqrt, sqrt},
             {OP_rsqrt, rsqrt_reference},
             {OP_tanh, tanh},
             {OP_erf, erf},
             {OP_sin, sin},
             {OP_cos, cos},
             {OP_sigmoid, sigmoid_reference}};
enum { CASES = sizeof cases / sizeof *cases };

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}
/* Bit patterns in numerical order. */
static int64_t rank_of(float x) {
    uint32_t u = bits_of(x);
    return u >> 31 ? -(int64_t)(u & 0x7fffffff) : (int64_t)u;
}
static int64_t ulps(float got, float want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INT64_MAX;
    return llabs(rank_of(got) - rank_of(want));
}

static RtKernel *compile_graph(Jit *jit, Arena *a, Graph *g, int nin, RtStep *step, Err *e) {
    Kernel *k = kernel_of_body(a, g, nin, e);
    void *fn = NULL;
    if (k) {
        Source source = loops_source(k);
        if (jit_addresses(jit, &source, 1, &fn, e)) kernel_arguments(k, step, a);
        kernel_free(k);
    }
    return (RtKernel *)(uintptr_t)fn;
}

static RtKernel *compile_op(Jit *jit, Arena *a, Op op, int nin, int64_t n, RtStep *step, Err *e) {
    Graph *g = graph_new(a, "body");
    Type t = type_make(DT_f32, 1, (int64_t[]){n});
    Ref in[2];
    for (int i = 0; i < nin; i++)
        in[i] = graph_add(g, OP_arg, &(Attr){.count = i}, NULL, 0, &t, (Span){0});
    graph_out(g, OUT_value, NULL, 0, graph_add(g, op, NULL, in, nin, NULL, (Span){0}), (Span){0});
    return compile_graph(jit, a, g, nin, step, e);
}

static void call(RtKernel *fn, const RtStep *step, char *const *buf) {
    RtClock clock = {0};
    RtFault fault = {0};
    RtCall c = {
        .buf = buf, .size = step->size, .word = step->word, .clock = &clock, .fault = &fault};
    fn(&c, 0, step->tasks);
}

typedef struct Half { /* one thread's share of a function */
    RtKernel *fn;
    const RtStep *step;
    Reference *f;
    uint32_t first;
    int64_t worst;
    float at;
} Half;

static void measure(Half *h, const float *x, int n) {
    float y[BLOCK];
    call(h->fn, h->step, (char *const[]){(char *)(uintptr_t)x, (char *)y});
    for (int i = 0; i < n; i++) {
        int64_t d = ulps(y[i], (float)h->f((double)x[i]));
        if (d > h->worst) h->worst = d, h->at = x[i];
    }
}

static void *sweep(void *p) {
    Half *h = p;
    float x[BLOCK];
    int n = 0;
    for (uint64_t u = h->first; u <= UINT32_MAX; u += 2 * STRIDE) {
        x[n++] = float_of((uint32_t)u);
        if (n == BLOCK) measure(h, x, n), n = 0;
    }
    for (uint32_t e = 0; e < 512; e++) /* both signs, every exponent */
        for (int d = -EDGE; d <= EDGE; d++) {
            x[n++] = float_of((e << 23) + (uint32_t)d);
            if (n == BLOCK) measure(h, x, n), n = 0;
        }
    for (int i = n; i < BLOCK; i++) x[i] = 1;
    measure(h, x, n);
    return NULL;
}

static void test_unary(Jit *jit, Arena *a, size_t c) {
    Err e = {0};
    RtStep step = {0};
    RtKernel *fn = compile_op(jit, a, cases[c].op, 1, BLOCK, &step, &e);
    const char *name = op_info[cases[c].op].name;
    EXPECT(fn, "%s: %s", name, e.msg);
    if (!fn) return;
    Half half[2];
    pthread_t thread;
    for (int i = 0; i < 2; i++)
        half[i] = (Half){.fn = fn, .step = &step, .f = cases[c].f, .first = (uint32_t)(i * STRIDE)};
    pthread_create(&thread, NULL, sweep, &half[1]);
    sweep(&half[0]);
    pthread_join(thread, NULL);
    Half *h = half[1].worst > half[0].worst ? &half[1] : &half[0];
    printf("%-8s max %lld ulp, at %a\n", name, (long long)h->worst, (double)h->at);
    EXPECT(h->worst <= ULP_LIMIT, "%s is %lld ulp off at %a", name, (long long)h->worst,
           (double)h->at);
}

/* Pairs: both factors from a coarse grid of all bit patterns, and a fine one where results are
 * finite. */
static void test_pow(Jit *jit, Arena *a) {
    Err e = {0};
    RtStep step = {0};
    RtKernel *fn = compile_op(jit, a, OP_pow, 2, BLOCK, &step, &e);
    EXPECT(fn, "pow: %s", e.msg);
    if (!fn) return;
    int64_t worst = 0;
    float x[BLOCK], y[BLOCK], z[BLOCK], at[2] = {0};
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < BLOCK; i++) {
            uint64_t index = (uint64_t)round * BLOCK + (uint64_t)i;
            x[i] = float_of(random_bits(1, 0, index));
            y[i] = float_of(random_bits(2, 0, index));
            if (round % 2)
                x[i] = random_uniform(1, 1, index) * 4,
                y[i] = random_uniform(2, 1, index) * 200 - 100;
            if (round % 4 == 2) y[i] = rintf(random_uniform(2, 2, index) * 20 - 10);
            if (round == 0 && i < 256) { /* every pair of special values */
                static const float special[16] = {0,    -0.0f,  1,     -1,  2,        -2,
                                                  0.5f, -0.5f,  3,     -3,  INFINITY, -INFINITY,
                                                  NAN,  1e-40f, 1e38f, 1e9f};
                x[i] = special[i / 16], y[i] = special[i % 16];
            }
        }
        call(fn, &step, (char *const[]){(char *)x, (char *)y, (char *)z});
        for (int i = 0; i < BLOCK; i++) {
            int64_t d = ulps(z[i], (float)pow((double)x[i], (double)y[i]));
            if (d > worst) worst = d, at[0] = x[i], at[1] = y[i];
        }
    }
    printf("%-8s max %lld ulp, at %a, %a\n", "pow", (long long)worst, (double)at[0], (double)at[1]);
    EXPECT(worst <= ULP_LIMIT, "pow is %lld ulp off at %a, %a", (long long)worst, (double)at[0],
           (double)at[1]);
}

/* What a row is divided by: where neither number nor what comes of it is tiny, all bits are those
 * of a division. */
enum { ROWS = BLOCK / LONG_ROW, COLUMNS = LONG_ROW };

static RtKernel *compile_divide(Jit *jit, Arena *a, RtStep *step, Err *e) {
    Graph *g = graph_new(a, "body");
    Type t[] = {type_make(DT_f32, 2, (int64_t[]){ROWS, COLUMNS}),
                type_make(DT_f32, 2, (int64_t[]){ROWS, 1})};
    Ref in[2];
    for (int i = 0; i < 2; i++)
        in[i] = graph_add(g, OP_arg, &(Attr){.count = i}, NULL, 0, &t[i], (Span){0});
    Ref q = graph_add(g, OP_div, NULL, in, 2, NULL, (Span){0});
    graph_out(g, OUT_value, NULL, 0, q, (Span){0});
    return compile_graph(jit, a, g, 2, step, e);
}

static bool is_tiny(float x) {
    return x != 0 && fabsf(x) < 0x1p-100f;
}

static void test_divide(Jit *jit, Arena *a) {
    static const float special[] = {0,        -0.0f,    1,         -1,    3,      7,
                                    0.1f,     INFINITY, -INFINITY, NAN,   1e-45f, 1e-40f,
                                    1.5e-38f, 1e38f,    3e38f,     -3e38f};
    enum { SPECIAL = sizeof special / sizeof *special };
    Err e = {0};
    RtStep step = {0};
    RtKernel *fn = compile_divide(jit, a, &step, &e);
    EXPECT(fn, "divide: %s", e.msg);
    if (!fn) return;
    int64_t worst = 0, worst_tiny = 0;
    float x[BLOCK], y[ROWS], z[BLOCK];
    for (uint64_t round = 0; round < 2000; round++) {
        for (uint64_t i = 0; i < BLOCK; i++)
            x[i] = round % 2 ? float_of(random_bits(1, 0, round * BLOCK + i))
                             : random_uniform(1, 1, round * BLOCK + i) * 100 - 50;
        for (uint64_t i = 0; i < ROWS; i++)
            y[i] = round % 4 < 2 ? float_of(random_bits(2, 0, round * ROWS + i))
                                 : random_uniform(2, 1, round * ROWS + i) * 20;
        for (int i = 0; i < SPECIAL * COLUMNS && round == 0; i++) x[i] = special[i % SPECIAL];
        for (int i = 0; i < SPECIAL && round == 0; i++) y[i] = special[i];
        call(fn, &step, (char *const[]){(char *)x, (char *)y, (char *)z});
        for (int i = 0; i < BLOCK; i++) {
            float want = x[i] / y[i / COLUMNS];
            bool tiny = is_tiny(x[i]) || is_tiny(want);
            int64_t d = ulps(z[i], want), *most = tiny ? &worst_tiny : &worst;
            if (d > *most) *most = d;
        }
    }
    printf("divide   max %lld ulp, of tiny numbers %lld\n", (long long)worst,
           (long long)worst_tiny);
    EXPECT(worst == 0, "a quotient is %lld ulp off", (long long)worst);
    EXPECT(worst_tiny <= 1, "a tiny quotient is %lld ulp off", (long long)worst_tiny);
}

int main(void) {
    Err e = {0};
    Arena *a = arena_new();
    Jit *jit = jit_new(&(CodegenOptions){0}, &e);
    EXPECT(jit, "%s", e.msg);
    for (size_t c = 0; jit && c < CASES; c++) test_unary(jit, a, c);
    if (jit) test_pow(jit, a), test_divide(jit, a);
    jit_free(jit);
    arena_free(a);
    return check_done("vecmath");
}
