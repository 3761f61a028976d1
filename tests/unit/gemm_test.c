/* Products against a plain sum in double, in every layout, batched and accumulating; the same bits
 * with one thread and with two; made by BLAS, and by tiles for this processor and for others. The
 * bound is the classical one: |error| <= 2 k eps sum |a||b|. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/tiles.h"
#include "runtime/gemm.h"
#include "tests/unit/check.h"

enum { FLOATS = 1 << 20 };

static float *random_floats(uint64_t seed, size_t n) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = 2 * random_uniform(random_key(seed, 1), 0, i) - 1;
    return x;
}

static uint16_t *halves(const float *x) {
    uint16_t *h = malloc(FLOATS * sizeof *h);
    for (size_t i = 0; i < FLOATS; i++) h[i] = bf16_from_float(x[i]);
    return h;
}

static float *widened(const uint16_t *h) {
    float *x = malloc(FLOATS * sizeof *x);
    for (size_t i = 0; i < FLOATS; i++) x[i] = bf16_to_float(h[i]);
    return x;
}

/* Adds the exact product to `sum` and the sum of magnitudes to `size`, at every element of C. */
static void product(const RtGemm *g, const float *a, const float *b, double *sum, double *size,
                    int loop) {
    if (loop < g->nloop) {
        for (int64_t i = 0; i < g->loop[loop].size; i++)
            product(g, a + i * g->loop[loop].a, b + i * g->loop[loop].b, sum + i * g->loop[loop].c,
                    size + i * g->loop[loop].c, loop + 1);
        return;
    }
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++)
            for (int64_t k = 0; k < g->k; k++) {
                double v = (double)a[i * g->am + k * g->ak] * (double)b[k * g->bk + j * g->bn];
                sum[i * g->cm + j * g->cn] += v;
                size[i * g->cm + j * g->cn] += fabs(v);
            }
}

typedef struct Fixture {
    Pool *one, *two;
    const RtTiles *maker[5]; /* NULL: BLAS */
    int nmaker;
    RtTiles bf16; /* rows 0: this processor has none */
    float *a, *b, *c1, *c2;
    float *rounded_a, *rounded_b; /* to bf16, and as such */
    uint16_t *half_a, *half_b;
    double *sum, *size;
} Fixture;

static void reference(Fixture *f, const RtGemm *g) {
    for (size_t i = 0; i < FLOATS; i++) f->sum[i] = f->size[i] = 0;
    product(g, f->a, f->b, f->sum, f->size, 0);
}

static void check_made(Fixture *f, const RtGemm *g, const RtTiles *tiles, const char *what) {
    memset(f->c1, 0x7f, FLOATS * sizeof(float)); /* what was there must not show */
    memset(f->c2, 0x7f, FLOATS * sizeof(float));
    gemm_run(f->one, g, tiles, f->a, f->b, f->c1);
    gemm_run(f->two, g, tiles, f->a, f->b, f->c2);
    int64_t terms = g->k, wrong = 0;
    for (int i = 0; i < g->nloop; i++) terms *= g->loop[i].c ? 1 : g->loop[i].size;
    float untouched;
    memset(&untouched, 0x7f, sizeof untouched);
    for (size_t i = 0; i < FLOATS; i++) {
        if (f->size[i] == 0 && f->c1[i] == untouched) continue;
        wrong +=
            !(fabs((double)f->c1[i] - f->sum[i]) <= 2 * (double)terms * FLT_EPSILON * f->size[i]);
    }
    EXPECT(wrong == 0, "%s m %lld n %lld k %lld: %lld wrong", what, (long long)g->m,
           (long long)g->n, (long long)g->k, (long long)wrong);
    EXPECT(memcmp(f->c1, f->c2, FLOATS * sizeof(float)) == 0,
           "%s m %lld n %lld k %lld: bits differ", what, (long long)g->m, (long long)g->n,
           (long long)g->k);
}

static void run_tasks(void *job, int64_t first, int64_t last) {
    gemm_tasks(job, first, last);
}

/* What it starts from lies where C does, or elsewhere, by its own strides. */
static void check_start(Fixture *f, RtGemm g, const RtTiles *tiles, bool in_place) {
    for (size_t i = 0; i < FLOATS; i++) f->c1[i] = f->c2[i] = (float)(i % 8);
    g.sm = in_place ? g.cm : 0;
    g.sn = in_place ? g.cn : 1;
    GemmJob j = gemm_job(&g, tiles, 1, f->a, f->b, in_place ? f->c1 : f->c2, f->c1);
    pool_run(f->one, j.tasks, run_tasks, &j);
    int64_t wrong = 0;
    for (int64_t m = 0; m < g.m; m++)
        for (int64_t n = 0; n < g.n; n++) {
            int64_t at = m * g.cm + n * g.cn, from = m * g.sm + n * g.sn;
            double want = f->sum[at] + (double)(from % 8);
            wrong += !(fabs((double)f->c1[at] - want) <=
                       2 * ((double)g.k + 1) * FLT_EPSILON * (f->size[at] + (double)(from % 8)));
        }
    EXPECT(wrong == 0, "%s m %lld n %lld: %lld wrong", in_place ? "onto C" : "onto a bias",
           (long long)g.m, (long long)g.n, (long long)wrong);
}

/* Numbers that are bf16, that have no more digits, or whose other digits packing rounds away: all
 * give the same. */
static void check_rounding(Fixture *f, RtGemm g, const char *what) {
    float *a = f->a, *b = f->b;
    f->a = f->rounded_a, f->b = f->rounded_b;
    reference(f, &g);
    check_made(f, &g, &f->bf16, what);
    f->a = a, f->b = b;
    gemm_run(f->two, &g, &f->bf16, a, b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, FLOATS * sizeof(float)) == 0, "%s: not rounded as bf16 is", what);
    g.a = DT_bf16;
    gemm_run(f->two, &g, &f->bf16, f->half_a, b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, FLOATS * sizeof(float)) == 0, "%s: bf16 by f32 differs", what);
    g.b = DT_bf16;
    gemm_run(f->one, &g, &f->bf16, f->half_a, f->half_b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, FLOATS * sizeof(float)) == 0, "%s: bf16 by bf16 differs", what);
}

/* bf16 widened to f32 as it is packed. */
static void check_widening(Fixture *f, RtGemm g, const RtTiles *tiles, const char *what) {
    gemm_run(f->two, &g, tiles, f->rounded_a, f->rounded_b, f->c1);
    memcpy(f->c2, f->c1, FLOATS * sizeof(float));
    g.a = g.b = DT_bf16;
    gemm_run(f->two, &g, tiles, f->half_a, f->half_b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, FLOATS * sizeof(float)) == 0, "%s: bf16 widened differs", what);
}

static void check_product(Fixture *f, const RtGemm *g, const char *what) {
    if (f->bf16.rows) check_rounding(f, *g, what);
    reference(f, g);
    for (int i = 0; i < f->nmaker; i++) {
        bool matrix = f->maker[i] && (g->cn == 1 || g->cm == 1 || g->m == 1 || g->n == 1);
        if (matrix && g->m > 1 && g->n > 1) check_widening(f, *g, f->maker[i], what);
        check_made(f, g, f->maker[i], what);
        if (g->nloop) continue;
        check_start(f, *g, f->maker[i], true);
        check_start(f, *g, f->maker[i], false);
    }
}

/* Bits of `layout`: A, B, C by columns. Rows get `slack` elements between them. */
static RtGemm matrix(int64_t m, int64_t n, int64_t k, int layout, int64_t slack) {
    RtGemm g = {.m = m, .n = n, .k = k};
    bool a = layout & 1, b = layout & 2, c = layout & 4;
    g.am = a ? 1 : k + slack;
    g.ak = a ? m + slack : 1;
    g.bk = b ? 1 : n + slack;
    g.bn = b ? k + slack : 1;
    g.cm = c ? 1 : n + slack;
    g.cn = c ? m + slack : 1;
    return g;
}

static void check_layouts(Fixture *f) {
    int64_t size[][3] = {{1, 1, 1},      {1, 7, 5},       {7, 1, 5},       {7, 5, 1},
                         {1, 1, 300},    {33, 65, 17},    {64, 64, 64},    {530, 40, 70},
                         {40, 1100, 30}, {700, 1030, 50}, {300, 300, 400}, {1, 600, 200},
                         {1500, 1, 120}, {1, 300, 999}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int layout = 0; layout < 8; layout++)
            for (int64_t slack = 0; slack < 4; slack += 3) {
                RtGemm g = matrix(size[i][0], size[i][1], size[i][2], layout, slack);
                check_product(f, &g, "matrix");
            }
}

/* Attention: heads lie between rows, q[b,t,h,e] k[b,s,h,e] -> [b,h,t,s]. */
static void check_batches(Fixture *f) {
    int64_t B = 3, T = 50, H = 4, E = 16;
    RtGemm g = {.m = T,
                .n = T,
                .k = E,
                .am = H * E,
                .ak = 1,
                .bk = 1,
                .bn = H * E,
                .cm = T,
                .cn = 1,
                .nloop = 2};
    g.loop[0].size = B;
    g.loop[0].a = g.loop[0].b = T * H * E;
    g.loop[0].c = H * T * T;
    g.loop[1].size = H;
    g.loop[1].a = g.loop[1].b = E;
    g.loop[1].c = T * T;
    check_product(f, &g, "attention scores");
    RtGemm v = {.m = T,
                .n = E,
                .k = T,
                .am = T,
                .ak = 1,
                .bk = H * E,
                .bn = 1,
                .cm = H * E,
                .cn = 1,
                .nloop = 2};
    v.loop[0].size = B;
    v.loop[0].a = H * T * T;
    v.loop[0].b = v.loop[0].c = T * H * E;
    v.loop[1].size = H;
    v.loop[1].a = T * T;
    v.loop[1].b = v.loop[1].c = E;
    check_product(f, &v, "attention values");
}

/* A loop that does not move C contracts: C[m,n] = sum over b of A[b,m,k] B[b,k,n]. */
static void check_contracted_loop(Fixture *f) {
    RtGemm g = {.m = 40,
                .n = 30,
                .k = 20,
                .am = 20,
                .ak = 1,
                .bk = 30,
                .bn = 1,
                .cm = 30,
                .cn = 1,
                .nloop = 2};
    g.loop[0].size = 5;
    g.loop[0].a = 40 * 20;
    g.loop[0].b = 20 * 30;
    g.loop[1].size = 3;
    g.loop[1].a = 5 * 40 * 20;
    g.loop[1].c = 40 * 30;
    check_product(f, &g, "contracted loop");
    g.loop[0].size = 0;
    RtGemm empty = matrix(4, 4, 0, 0, 0);
    for (int i = 0; i < f->nmaker; i++) {
        gemm_run(f->two, &g, f->maker[i], f->a, f->b, f->c1);
        EXPECT(f->c1[0] == 0 && f->c1[3 * 40 * 30 - 1] == 0, "an empty sum is %g",
               (double)f->c1[0]);
        gemm_run(f->two, &empty, f->maker[i], f->a, f->b, f->c1);
        EXPECT(f->c1[15] == 0, "k 0 gives %g", (double)f->c1[15]);
    }
}

static void check_odd_strides(Fixture *f) {
    RtGemm g = {.m = 20, .n = 10, .k = 30, .am = 60, .ak = 2, .bk = 10, .bn = 1, .cm = 10, .cn = 1};
    check_product(f, &g, "no unit stride");
    RtGemm same = {
        .m = 20, .n = 10, .k = 30, .am = 0, .ak = 1, .bk = 10, .bn = 1, .cm = 10, .cn = 1};
    check_product(f, &same, "repeated row");
}

/* Where the processor lacks what `cpu` has, it is left out. */
static bool can_run(const char *cpu) {
#if defined(__x86_64__)
    if (cpu && strcmp(cpu, "x86-64-v3") == 0) return __builtin_cpu_supports("fma");
    if (cpu && strcmp(cpu, "x86-64-v4") == 0) return __builtin_cpu_supports("avx512f");
    return true;
#else
    return cpu == NULL;
#endif
}

static Jit *add_maker(Fixture *f, RtTiles *tiles, const char *cpu) {
    Err e = {0};
    Jit *jit = jit_new(&(CodegenOptions){.cpu = cpu}, &e);
    bool made = jit && tiles_make(jit, TILE_f32, tiles, &e);
    EXPECT(made, "tiles: %s", e.msg);
    if (made) f->maker[f->nmaker++] = tiles;
    return jit;
}

int main(void) {
    Err e = {0};
    Fixture f = {.one = pool_new(1, &e), .two = pool_new(2, &e)};
    EXPECT(f.one && f.two, "%s", e.msg);
    EXPECT(pool_rooms(f.one, GEMM_ROOM, &e) && pool_rooms(f.two, GEMM_ROOM, &e), "%s", e.msg);
    gemm_init();
    f.a = random_floats(1, FLOATS);
    f.b = random_floats(2, FLOATS);
    f.half_a = halves(f.a), f.half_b = halves(f.b);
    f.rounded_a = widened(f.half_a), f.rounded_b = widened(f.half_b);
    f.c1 = malloc(FLOATS * sizeof(float));
    f.c2 = malloc(FLOATS * sizeof(float));
    f.sum = malloc(FLOATS * sizeof(double));
    f.size = malloc(FLOATS * sizeof(double));
    const char *cpu[] = {NULL, "x86-64", "x86-64-v3", "x86-64-v4"};
    Jit *jit[4] = {NULL};
    RtTiles tiles[4];
    f.maker[f.nmaker++] = NULL;
    for (int i = 0; i < 4; i++)
        if (can_run(cpu[i])) jit[i] = add_maker(&f, &tiles[i], cpu[i]);
    EXPECT(jit[0] && tiles_make(jit[0], TILE_bf16, &f.bf16, &e), "tiles: %s", e.msg);
    check_layouts(&f);
    check_batches(&f);
    check_contracted_loop(&f);
    check_odd_strides(&f);
    for (int i = 0; i < 4; i++) jit_free(jit[i]);
    pool_free(f.two);
    pool_free(f.one);
    free(f.half_a), free(f.half_b), free(f.rounded_a), free(f.rounded_b);
    free(f.a), free(f.b), free(f.c1), free(f.c2), free(f.sum), free(f.size);
    return check_done("gemm");
}
