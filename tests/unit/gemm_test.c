/* Products against a plain sum in double, in every layout, batched, accumulating, and of windows of
 * pictures; the same bits
 * with one thread and with two; made by BLAS, and by tiles for this processor and for others. The
 * bound is the classical one: |error| <= 2 k eps sum |a||b|. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/tiles.h"
#include "runtime/gemm.h"
#include "tests/unit/check.h"

enum { GIVEN = 1 << 21, FLOATS = 1 << 20 /* of results */, SLOW = 1 << 20 /* for tiles in C */ };
enum { BEYOND = 1 << 12 }; /* results after the last that each run is looked at for */

static float *random_floats(uint64_t seed, size_t n) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = 2 * random_uniform(random_key(seed, 1), 0, i) - 1;
    return x;
}

static uint16_t *halves(const float *x) {
    uint16_t *h = malloc(GIVEN * sizeof *h);
    for (size_t i = 0; i < GIVEN; i++) h[i] = bf16_from_float(x[i]);
    return h;
}

static float *widened(const uint16_t *h) {
    float *x = malloc(GIVEN * sizeof *x);
    for (size_t i = 0; i < GIVEN; i++) x[i] = bf16_to_float(h[i]);
    return x;
}

/* Of index i, in elements. */
static int64_t place(const RtWalk *w, int64_t i) {
    int64_t at = 0, inner = 1;
    for (int d = 1; d < w->n; d++) inner *= w->at[d].size;
    for (int d = 0; d < w->n; d++) {
        at += i / inner * w->at[d].stride;
        i %= inner;
        if (d + 1 < w->n) inner /= w->at[d + 1].size;
    }
    return at;
}

static int64_t *all_places(const RtWalk *w, int64_t n) {
    int64_t *at = malloc((size_t)n * sizeof *at);
    for (int64_t i = 0; i < n; i++) at[i] = place(w, i);
    return at;
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
    int64_t *ak = all_places(&g->ak, g->k), *bk = all_places(&g->bk, g->k);
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            const float *row = a + place(&g->am, i), *column = b + place(&g->bn, j);
            double all = 0, most = 0;
            for (int64_t k = 0; k < g->k; k++) {
                double v = (double)row[ak[k]] * (double)column[bk[k]];
                all += v;
                most += fabs(v);
            }
            sum[i * g->cm + j * g->cn] += all;
            size[i * g->cm + j * g->cn] += most;
        }
    free(ak), free(bk);
}

typedef struct Fixture {
    Pool *one, *two;
    const RtTiles *maker[7]; /* NULL: BLAS */
    int nmaker;
    RtTiles bf16[5]; /* this processor's, and those that another would take */
    int nbf16;
    float *a, *b, *c1, *c2;
    float *rounded_a, *rounded_b; /* to bf16, and as such */
    uint16_t *half_a, *half_b;
    double *sum, *size;
    size_t floats; /* of results, that are looked at: C's, and some beyond */
    float *sums;   /* of a C that is bf16 */
} Fixture;

static void reference(Fixture *f, const RtGemm *g, const float *a, const float *b) {
    for (size_t i = 0; i < f->floats; i++) f->sum[i] = f->size[i] = 0;
    product(g, a, b, f->sum, f->size, 0);
}

static void run_tasks(void *job, int64_t first, int64_t last) {
    gemm_tasks(job, first, last);
}
static void run_packing(void *job, int64_t first, int64_t last) {
    pack_tasks(job, first, last);
}

static void run(Pool *p, const RtGemm *g, const RtTiles *tiles, const void *a, const void *b,
                void *c) {
    gemm_run(p, g, tiles, &(GemmData){.a = a, .b = b, .c = c});
}

/* An operand as panels; NULL: it cannot be, some of its lines lie next to each other. */
static char *panels_of(Fixture *f, const RtGemm *g, const RtTiles *tiles, bool b) {
    const RtWalk *line = b ? &g->bn : &g->am;
    if (line->n > 1 && line->at[line->n - 1].stride == 1) return NULL;
    int64_t count = tiles_panels(tiles, b, b ? g->n : g->m);
    size_t bytes = (size_t)(count * tiles_panel(tiles, b, g->k)) * sizeof(float);
    char *panels = malloc(bytes);
    memset(panels, 0x7f, bytes);
    GemmJob product = {.g = *g, .tiles = tiles};
    PackJob j = pack_job(&product, b, 2, b ? f->b : f->a, panels);
    pool_run(f->two, j.tasks, run_packing, &j);
    return panels;
}

/* The bits that are in c1, from operands that were packed before. */
static void check_panels(Fixture *f, const RtGemm *g, const RtTiles *tiles, const char *what) {
    char *a = panels_of(f, g, tiles, false), *b = panels_of(f, g, tiles, true);
    for (int which = 1; which < 4; which++) {
        RtGemm packed = *g;
        packed.a_panels = which & 1, packed.b_panels = which & 2;
        if ((packed.a_panels && !a) || (packed.b_panels && !b)) continue;
        GemmData d = {.a = packed.a_panels ? a : (char *)f->a,
                      .b = packed.b_panels ? b : (char *)f->b,
                      .c = f->c2};
        GemmJob j = gemm_job(&packed, tiles, 2, &d);
        memset(f->c2, 0x7f, f->floats * sizeof(float));
        pool_run(f->two, j.tasks, run_tasks, &j);
        EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0,
               "%s m %lld n %lld k %lld: packed before (%d), other bits", what, (long long)g->m,
               (long long)g->n, (long long)g->k, which);
    }
    free(a);
    free(b);
}

static void check_made(Fixture *f, const RtGemm *g, const RtTiles *tiles, const char *what) {
    memset(f->c1, 0x7f, f->floats * sizeof(float)); /* what was there must not show */
    memset(f->c2, 0x7f, f->floats * sizeof(float));
    run(f->one, g, tiles, f->a, f->b, f->c1);
    run(f->two, g, tiles, f->a, f->b, f->c2);
    int64_t terms = g->k, wrong = 0;
    for (int i = 0; i < g->nloop; i++) terms *= g->loop[i].c ? 1 : g->loop[i].size;
    float untouched;
    memset(&untouched, 0x7f, sizeof untouched);
    for (size_t i = 0; i < f->floats; i++) {
        if (f->size[i] == 0 && f->c1[i] == untouched) continue;
        wrong +=
            !(fabs((double)f->c1[i] - f->sum[i]) <= 2 * (double)terms * FLT_EPSILON * f->size[i]);
    }
    EXPECT(wrong == 0, "%s m %lld n %lld k %lld: %lld wrong", what, (long long)g->m,
           (long long)g->n, (long long)g->k, (long long)wrong);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0,
           "%s m %lld n %lld k %lld: bits differ", what, (long long)g->m, (long long)g->n,
           (long long)g->k);
    if (tiles && !g->nloop && g->cn == 1 && g->m > 1 && g->n > 1 && g->k)
        check_panels(f, g, tiles, what);
}

/* What it starts from lies where C does, or elsewhere, by its own strides. */
static void check_start(Fixture *f, RtGemm g, const RtTiles *tiles, bool in_place) {
    for (size_t i = 0; i < f->floats; i++) f->c1[i] = f->c2[i] = (float)(i % 8);
    g.sm = in_place ? g.cm : 0;
    g.sn = in_place ? g.cn : 1;
    GemmData d = {.a = f->a, .b = f->b, .s = in_place ? f->c1 : f->c2, .c = f->c1};
    GemmJob j = gemm_job(&g, tiles, 1, &d);
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

/* Into C of bf16, `start` NULL or where S lies, a row for all. Returns where C is. */
static const uint16_t *run_halved(Fixture *f, Pool *p, const RtGemm *g, const RtTiles *tiles,
                                  const float *start, float *c) {
    memset(c, 0x7f, f->floats * sizeof *c);
    GemmData d = {.a = f->half_a, .b = f->half_b, .s = start, .c = c};
    if (tiles_keep_sums(tiles, g, start)) d.sums = f->sums;
    GemmJob j = gemm_job(g, tiles, 2, &d);
    pool_run(p, j.tasks, run_tasks, &j);
    return (const uint16_t *)(const void *)c;
}

/* So far may a number of bf16 be from `want`, the sum of `terms` whose sizes add up to `size`. */
static bool is_half_of(uint16_t got, double want, double terms, double size) {
    double most = 2 * terms * FLT_EPSILON * size + fabs(want) / 256;
    return fabs((double)bf16_to_float(got) - want) <= most;
}

/* f->sum, rounded; nothing beside C is written. */
static void check_halving(Fixture *f, RtGemm g, const RtTiles *tiles, const char *what) {
    g.a = g.b = g.c = DT_bf16;
    const uint16_t *c = run_halved(f, f->two, &g, tiles, NULL, f->c1);
    run_halved(f, f->one, &g, tiles, NULL, f->c2);
    int64_t terms = g.k, wrong = 0;
    for (int i = 0; i < g.nloop; i++) terms *= g.loop[i].c ? 1 : g.loop[i].size;
    for (size_t i = 0; i < f->floats; i++)
        wrong += !(f->size[i] == 0 && c[i] == 0x7f7f) &&
                 !is_half_of(c[i], f->sum[i], (double)terms, f->size[i]);
    EXPECT(wrong == 0, "%s halved, m %lld n %lld k %lld: %lld wrong", what, (long long)g.m,
           (long long)g.n, (long long)g.k, (long long)wrong);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0,
           "%s halved, m %lld n %lld k %lld: bits differ", what, (long long)g.m, (long long)g.n,
           (long long)g.k);
    g.sn = 1; /* a row for all */
    if (!g.nloop) run_halved(f, f->two, &g, tiles, f->a, f->c1);
    for (int64_t m = 0; !g.nloop && m < g.m; m++)
        for (int64_t n = 0; n < g.n; n++) {
            int64_t at = m * g.cm + n * g.cn;
            double start = (double)f->a[n];
            wrong +=
                !is_half_of(c[at], f->sum[at] + start, (double)g.k + 1, f->size[at] + fabs(start));
        }
    EXPECT(wrong == 0, "%s halved onto a bias, m %lld n %lld k %lld: %lld wrong", what,
           (long long)g.m, (long long)g.n, (long long)g.k, (long long)wrong);
    memset(f->c1, 0x7f, f->floats * sizeof *f->c1);
}

/* Numbers that are bf16, that have no more digits, or whose other digits packing rounds away: all
 * give the same. f->sum is of rounded ones. */
static void check_rounding(Fixture *f, RtGemm g, const RtTiles *tiles, const char *what) {
    float *a = f->a, *b = f->b;
    f->a = f->rounded_a, f->b = f->rounded_b;
    check_made(f, &g, tiles, what);
    if (g.cn == 1 || g.cm == 1 || g.m == 1 || g.n == 1) check_halving(f, g, tiles, what);
    f->a = a, f->b = b;
    memset(f->c2, 0x7f, f->floats * sizeof(float));
    run(f->two, &g, tiles, f->rounded_a, f->rounded_b, f->c2);
    run(f->two, &g, tiles, a, b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0, "%s: not rounded as bf16 is",
           what);
    g.a = DT_bf16;
    run(f->two, &g, tiles, f->half_a, b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0, "%s: bf16 by f32 differs", what);
    g.b = DT_bf16;
    run(f->one, &g, tiles, f->half_a, f->half_b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0, "%s: bf16 by bf16 differs", what);
}

/* bf16 widened to f32 as it is packed. */
static void check_widening(Fixture *f, RtGemm g, const RtTiles *tiles, const char *what) {
    run(f->two, &g, tiles, f->rounded_a, f->rounded_b, f->c1);
    memcpy(f->c2, f->c1, f->floats * sizeof(float));
    g.a = g.b = DT_bf16;
    run(f->two, &g, tiles, f->half_a, f->half_b, f->c1);
    EXPECT(memcmp(f->c1, f->c2, f->floats * sizeof(float)) == 0, "%s: bf16 widened differs", what);
}

static size_t floats_of(const RtGemm *g) {
    int64_t last = g->m && g->n ? (g->m - 1) * g->cm + (g->n - 1) * g->cn : 0;
    for (int i = 0; i < g->nloop; i++)
        if (g->loop[i].size) last += (g->loop[i].size - 1) * g->loop[i].c;
    return (size_t)(last + 1 + BEYOND < FLOATS ? last + 1 + BEYOND : FLOATS);
}

/* What no run looked at is as it was, and all is for the next product. */
static void check_beyond(Fixture *f, const char *what) {
    float *of[] = {f->c1, f->c2};
    for (int i = 0; i < 2; i++) {
        memset(of[i], 0x7f, f->floats * sizeof(float));
        const char *at = (const char *)of[i];
        EXPECT(memcmp(at, at + 1, FLOATS * sizeof(float) - 1) == 0, "%s: written beyond C", what);
    }
}

/* Tiles of parts that are C. */
static bool is_emulated(const RtTiles *t) {
    return t && t->parts > 1 && !t->begin;
}

static void check_product(Fixture *f, const RtGemm *g, const char *what) {
    bool slow = g->m * g->n * g->k > SLOW;
    f->floats = floats_of(g);
    reference(f, g, f->rounded_a, f->rounded_b);
    for (int i = 0; i < (slow ? 1 : f->nbf16); i++) check_rounding(f, *g, &f->bf16[i], what);
    reference(f, g, f->a, f->b);
    for (int i = 0; i < f->nmaker; i++) {
        if (slow && is_emulated(f->maker[i])) continue;
        bool matrix = f->maker[i] && (g->cn == 1 || g->cm == 1 || g->m == 1 || g->n == 1);
        if (matrix && g->m > 1 && g->n > 1) check_widening(f, *g, f->maker[i], what);
        check_made(f, g, f->maker[i], what);
        if (g->nloop) continue;
        check_start(f, *g, f->maker[i], true);
        check_start(f, *g, f->maker[i], false);
    }
    check_beyond(f, what);
}

/* Bits of `layout`: A, B, C by columns. Rows get `slack` elements between them. */
static RtGemm matrix(int64_t m, int64_t n, int64_t k, int layout, int64_t slack) {
    RtGemm g = {.m = m, .n = n, .k = k};
    bool a = layout & 1, b = layout & 2, c = layout & 4;
    g.am = walk_plain(a ? 1 : k + slack);
    g.ak = walk_plain(a ? m + slack : 1);
    g.bk = walk_plain(b ? 1 : n + slack);
    g.bn = walk_plain(b ? k + slack : 1);
    g.cm = c ? 1 : n + slack;
    g.cn = c ? m + slack : 1;
    return g;
}

static void check_layouts(Fixture *f) {
    int64_t size[][3] = {{1, 1, 1},      {1, 7, 5},       {7, 1, 5},       {7, 5, 1},
                         {1, 1, 300},    {33, 65, 17},    {64, 64, 64},    {530, 40, 70},
                         {40, 1100, 30}, {700, 1030, 50}, {300, 300, 400}, {1, 600, 200},
                         {1500, 1, 120}, {1, 300, 999},   {35, 70, 700},   {70, 33, 1300}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int layout = 0; layout < 8; layout++)
            for (int64_t slack = 0; slack < 4; slack += 3) {
                RtGemm g = matrix(size[i][0], size[i][1], size[i][2], layout, slack);
                check_product(f, &g, "matrix");
            }
}

/* More of B than a thread's room holds of so long sums; than it holds at once; and columns that
 * stay there for a last task of few rows. */
static void check_rooms(Fixture *f) {
    RtGemm g = matrix(500, 208, 4096, 2, 0);
    check_product(f, &g, "long sums");
    g = matrix(64, 1100, 1500, 2, 0);
    check_product(f, &g, "several rooms");
    g = matrix(512, 392, 300, 0, 0);
    check_product(f, &g, "a room for several tasks");
}

/* Attention: heads lie between rows, q[b,t,h,e] k[b,s,h,e] -> [b,h,t,s]. */
static void check_batches(Fixture *f) {
    int64_t B = 3, T = 50, H = 4, E = 16;
    RtGemm g = {.m = T,
                .n = T,
                .k = E,
                .am = walk_plain(H * E),
                .ak = walk_plain(1),
                .bk = walk_plain(1),
                .bn = walk_plain(H * E),
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
                .am = walk_plain(T),
                .ak = walk_plain(1),
                .bk = walk_plain(H * E),
                .bn = walk_plain(1),
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
                .am = walk_plain(20),
                .ak = walk_plain(1),
                .bk = walk_plain(30),
                .bn = walk_plain(1),
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
        run(f->two, &g, f->maker[i], f->a, f->b, f->c1);
        EXPECT(f->c1[0] == 0 && f->c1[3 * 40 * 30 - 1] == 0, "an empty sum is %g",
               (double)f->c1[0]);
        run(f->two, &empty, f->maker[i], f->a, f->b, f->c1);
        EXPECT(f->c1[15] == 0, "k 0 gives %g", (double)f->c1[15]);
    }
}

static void check_odd_strides(Fixture *f) {
    RtGemm g = matrix(20, 10, 30, 0, 0);
    g.am = walk_plain(60), g.ak = walk_plain(2);
    check_product(f, &g, "no unit stride");
    RtGemm same = matrix(20, 10, 30, 0, 0);
    same.am = walk_plain(0);
    check_product(f, &same, "repeated row");
}

/* ---- compound walks */

static RtWalk walk(int n, const int64_t (*digit)[2]) {
    RtWalk w = {.n = n};
    for (int i = 0; i < n; i++) w.at[i].size = digit[i][0], w.at[i].stride = digit[i][1];
    return w;
}
#define WALK(...)                                                                                  \
    walk((int)(sizeof((const int64_t[][2]){__VA_ARGS__}) / sizeof(int64_t[2])),                    \
         (const int64_t[][2]){__VA_ARGS__})

typedef struct Conv { /* of pictures [pictures, size, size, from], padded, to `to` channels */
    int64_t pictures, size, from, to, kernel, stride;
} Conv;

static int64_t places(const Conv *c) {
    return (c->size - c->kernel) / c->stride + 1;
}
static RtWalk windows(const Conv *c) {
    int64_t n = places(c), row = c->size * c->from;
    return WALK({c->pictures, c->size * row}, {n, c->stride * row}, {n, c->stride * c->from});
}
static RtWalk in_window(const Conv *c) {
    return WALK({c->kernel, c->size * c->from}, {c->kernel * c->from, 1});
}

static RtGemm forward(const Conv *c) {
    RtGemm g =
        matrix(c->pictures * places(c) * places(c), c->to, c->kernel * c->kernel * c->from, 0, 0);
    g.am = windows(c), g.ak = in_window(c);
    return g;
}
/* [kernel, kernel, from, to], or its transpose. */
static RtGemm weight_gradient(const Conv *c, bool transpose) {
    int64_t window = c->kernel * c->kernel * c->from, all = c->pictures * places(c) * places(c);
    RtGemm g = transpose ? matrix(c->to, window, all, 1, 0) : matrix(window, c->to, all, 0, 0);
    *(transpose ? &g.bn : &g.am) = in_window(c);
    *(transpose ? &g.bk : &g.ak) = windows(c);
    return g;
}
/* Pictures are those of the result, padded; the weights are turned about, with the channels that
 * are summed at unit stride, or those of the result. */
static RtGemm data_gradient(const Conv *c, bool unit_sum, int64_t *first) {
    Conv back = {c->pictures, c->size, c->to, c->from, c->kernel, 1};
    RtGemm g = forward(&back);
    int64_t kernels = c->kernel * c->kernel, each = c->from * c->to;
    g.bk = WALK({kernels, -each}, {c->to, unit_sum ? 1 : c->from});
    g.bn = walk_plain(unit_sum ? c->to : 1);
    *first = (kernels - 1) * each;
    return g;
}

static void move_b(Fixture *f, int64_t by) {
    f->b += by, f->half_b += by, f->rounded_b += by;
}

static void check_convolutions(Fixture *f) {
    const Conv conv[] = {{2, 11, 16, 20, 3, 1}, {2, 11, 64, 33, 3, 2}, {3, 9, 3, 40, 3, 1},
                         {2, 14, 3, 70, 5, 2},  {5, 12, 1, 9, 3, 1},   {2, 12, 5, 17, 2, 1},
                         {1, 34, 4, 32, 3, 1},  {2, 6, 65, 64, 3, 1},  {40, 4, 16, 20, 3, 1},
                         {9, 3, 7, 1, 3, 1}};
    for (size_t i = 0; i < sizeof conv / sizeof *conv; i++) {
        int64_t first;
        RtGemm g = forward(&conv[i]);
        check_product(f, &g, "convolution");
        for (int t = 0; t < 2; t++) {
            g = weight_gradient(&conv[i], t);
            check_product(f, &g, "gradient of weights");
            g = data_gradient(&conv[i], t, &first);
            move_b(f, first);
            check_product(f, &g, "gradient of pictures");
            move_b(f, -first);
        }
    }
}

/* Windows wide apart within and without, runs of a few lines, and a vector's. */
static void check_walks(Fixture *f) {
    RtGemm g = matrix(2 * 7 * 7, 21, 3 * 3 * 2, 0, 0);
    g.am = WALK({2, 1000}, {7, 60}, {7, 4});
    g.ak = WALK({3, 40}, {3, 4}, {2, 2});
    check_product(f, &g, "nothing at unit stride");
    g = matrix(61, 403, 70, 1, 0);
    g.bn = WALK({81, 9}, {5, 1}), g.bk = WALK({2, 90000}, {35, 1000});
    g.am = WALK({21, 7}, {3, 1}), g.ak = WALK({10, 300}, {7, 1300});
    check_product(f, &g, "short runs of lines");
    g = matrix(50, 40, 2 * 3 * 4 * 11, 0, 0);
    g.ak = WALK({2, 20000}, {3, -3000}, {4, 700}, {11, 1}), g.am = walk_plain(12);
    g.bk = WALK({24, 5000}, {11, 1}), g.bn = WALK({3, 100}, {7, 700}, {2, 13});
    f->a += 6000, f->half_a += 6000, f->rounded_a += 6000;
    check_product(f, &g, "four digits");
    f->a -= 6000, f->half_a -= 6000, f->rounded_a -= 6000;
    g = matrix(1, 300, 400, 0, 0);
    g.ak = WALK({20, 50}, {20, 1});
    check_product(f, &g, "a vector in pieces");
    g = matrix(300, 1, 400, 0, 0);
    g.am = WALK({20, 1000}, {15, 20});
    check_product(f, &g, "a matrix in pieces by a vector");
}

/* ---- f32 as three numbers of bf16 */

/* Root mean square of what a product is off, as a share of the sum of magnitudes. */
static double error_of(Fixture *f, const RtGemm *g, const RtTiles *tiles, const float *a,
                       const float *b) {
    double all = 0;
    run(f->one, g, tiles, a, b, f->c1);
    for (int64_t i = 0; i < g->m * g->n; i++) {
        double off = ((double)f->c1[i] - f->sum[i]) / f->size[i];
        all += off * off;
    }
    return sqrt(all / (double)(g->m * g->n));
}

/* Numbers of many sizes, some all positive. */
static float *spread_floats(uint64_t seed, size_t n, bool positive) {
    float *x = random_floats(seed, n);
    for (size_t i = 0; i < n; i++) {
        if (positive) x[i] = fabsf(x[i]);
        x[i] = ldexpf(x[i], (int)(16 * random_uniform(random_key(seed, 2), 0, i)));
    }
    return x;
}

/* They lose no more than multiply-adds of f32 do. */
static void check_parts_errors(Fixture *f, const RtTiles *parts) {
    int64_t k[] = {64, 100, 768, 5000};
    for (int i = 0; i < 8; i++) {
        RtGemm g = matrix(60, 70, k[i / 2], 0, 0);
        float *a = spread_floats(3, (size_t)(g.m * g.k), i % 2);
        float *b = spread_floats(4, (size_t)(g.k * g.n), i % 2);
        f->floats = floats_of(&g);
        reference(f, &g, a, b);
        double plain = error_of(f, &g, f->maker[1], a, b), now = error_of(f, &g, parts, a, b);
        EXPECT(now <= plain, "k %lld: parts lose %.2e, multiply-adds %.2e", (long long)g.k, now,
               plain);
        free(a), free(b);
    }
}

/* Numbers that are not finite give none that is; parts below 2^-126 are zero, so very small ones
 * lose digits. */
static void check_parts_ends(Fixture *f, const RtTiles *parts) {
    RtGemm g = matrix(64, 96, 80, 0, 0);
    float ends[] = {INFINITY, -INFINITY, NAN, -NAN};
    for (int i = 0; i < 4; i++) {
        float *a = random_floats(5, (size_t)(g.m * g.k));
        a[17 * g.k + 33] = ends[i];
        run(f->two, &g, parts, a, f->b, f->c1);
        int64_t wrong = 0;
        for (int64_t n = 0; n < g.m * g.n; n++) wrong += !isfinite(f->c1[n]) != (n / g.n == 17);
        EXPECT(wrong == 0, "%g in a row: %lld numbers are wrong", (double)ends[i],
               (long long)wrong);
        free(a);
    }
    g = matrix(32, 32, 64, 0, 0);
    const int sizes[] = {-118, -100, -50, 0, 60, 126};
    for (int n = 0; n < 6; n++) {
        int from = sizes[n];
        float *a = random_floats(6, (size_t)(g.m * g.k)),
              *b = random_floats(7, (size_t)(g.k * g.n));
        for (int64_t i = 0; i < g.m * g.k; i++) a[i] = ldexpf(a[i], from);
        for (int64_t i = 0; i < g.k * g.n; i++) b[i] = ldexpf(b[i], -from / 2);
        f->floats = floats_of(&g);
        reference(f, &g, a, b);
        double most = error_of(f, &g, parts, a, b);
        EXPECT(most < (from == -118 ? 1e-2 : 1e-7), "2^%d: %.2e off", from, most);
        free(a), free(b);
    }
}

static void check_parts(Fixture *f) {
    for (int i = 0; i < f->nmaker; i++)
        if (f->maker[i] && f->maker[i]->parts > 1) {
            if (!is_emulated(f->maker[i])) check_parts_errors(f, f->maker[i]);
            check_parts_ends(f, f->maker[i]);
        }
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

/* What a tile of AMX does. */
static void tile_by_rows(const RtTile *t) {
    for (int64_t i = 0; i < t->rows; i++) {
        const uint16_t *x = (const uint16_t *)t->a + 2 * i * t->a_step, *y = t->b;
        float sum[TILE_VECTORS * TILE_LANES] = {0};
        for (int64_t j = 0; t->s && j < t->cols; j++) sum[j] = t->s[i * t->s_row + j];
        for (int64_t k = 0; k < t->k; k++, x += 2, y += 2 * t->b_step) {
            float first = bf16_to_float(x[0]), second = bf16_to_float(x[1]);
            for (int64_t j = 0; j < t->cols; j++)
                sum[j] += first * bf16_to_float(y[2 * j]) + second * bf16_to_float(y[2 * j + 1]);
        }
        for (int64_t j = 0; j < t->cols; j++) {
            if (t->half)
                t->half[i * t->c_row + j] = bf16_from_float(sum[j]);
            else
                t->c[i * t->c_row + j] = sum[j];
        }
    }
}

/* The same of parts: of each two, those whose product f32 can tell. */
static void tile_of_parts(const RtTile *t) {
    const int term[][2] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {0, 0}, {2, 0}};
    for (int64_t i = 0; i < t->rows; i++) {
        float sum[TILE_VECTORS * TILE_LANES] = {0};
        for (size_t n = 0; n < sizeof term / sizeof *term; n++) {
            const uint16_t *x =
                (const uint16_t *)t->a + 2 * (i * t->a_step + term[n][0] * t->a_part);
            const uint16_t *y = (const uint16_t *)t->b + 2 * term[n][1] * t->b_part;
            for (int64_t k = 0; k < t->k; k++, x += 2, y += 2 * t->b_step) {
                float first = bf16_to_float(x[0]), second = bf16_to_float(x[1]);
                for (int64_t j = 0; j < t->cols; j++)
                    sum[j] +=
                        first * bf16_to_float(y[2 * j]) + second * bf16_to_float(y[2 * j + 1]);
            }
        }
        for (int64_t j = 0; j < t->cols; j++)
            t->c[i * t->c_row + j] = t->s ? t->s[i * t->s_row + j] + sum[j] : sum[j];
    }
}

/* AMX's packing, with tiles in C. */
static void fill_by_rows(Jit *j, TileForm form, RtTileFn *fn, RtTiles *to) {
    Err e = {0};
    TileSources s;
    RtTileFn *tile[] = {fn, fn, NULL, NULL}; /* and begin, end */
    void *at[TILE_SOURCES] = {NULL, tile, tile};
    tiles_sources_of(form, &s);
    EXPECT(jit_addresses(j, s.source, 1, at, &e), "packing by rows: %s", e.msg);
    tiles_fill(&s, at, to);
}

/* This processor's, if it has them, and in C. */
static void add_parts(Fixture *f, Jit *host, RtTiles parts[2]) {
    Err e = {0};
    fill_by_rows(host, tile_form_parts(), tile_of_parts, &parts[0]);
    f->maker[f->nmaker++] = &parts[0];
    if (tiles_shape(jit_host(host), TILE_parts).parts == 1) return;
    EXPECT(tiles_make(host, TILE_parts, &parts[1], &e), "tiles: %s", e.msg);
    f->maker[f->nmaker++] = &parts[1];
}

static void add_form(Fixture *f, Jit *j, TileForm form) {
    Err e = {0};
    TileSources s;
    void *at[TILE_SOURCES];
    tiles_sources_of(form, &s);
    EXPECT(jit_addresses(j, s.source, (size_t)s.n, at, &e), "tiles: %s", e.msg);
    tiles_fill(&s, at, &f->bf16[f->nbf16++]);
}

/* The first is this processor's. */
static void add_rounding(Fixture *f, Jit *host, Jit *narrow) {
    Err e = {0};
    EXPECT(tiles_make(host, TILE_bf16, &f->bf16[f->nbf16++], &e), "tiles: %s", e.msg);
    if (f->bf16[0].cell > 1) add_form(f, host, tile_form_rounded(jit_host(host)));
    if (narrow) add_form(f, narrow, tile_form_rounded(jit_host(narrow)));
    if (!codegen_has_bf16(NULL)) return;
    add_form(f, host, tile_form_pairs());
    fill_by_rows(host, tile_form_amx(), tile_by_rows, &f->bf16[f->nbf16++]);
}

int main(void) {
    Err e = {0};
    Fixture f = {.one = pool_new(1, &e), .two = pool_new(2, &e)};
    EXPECT(f.one && f.two, "%s", e.msg);
    EXPECT(pool_rooms(f.one, GEMM_ROOM, &e) && pool_rooms(f.two, GEMM_ROOM, &e), "%s", e.msg);
    gemm_init();
    f.a = random_floats(1, GIVEN);
    f.b = random_floats(2, GIVEN);
    f.half_a = halves(f.a), f.half_b = halves(f.b);
    f.rounded_a = widened(f.half_a), f.rounded_b = widened(f.half_b);
    f.c1 = malloc(FLOATS * sizeof(float));
    f.c2 = malloc(FLOATS * sizeof(float));
    memset(f.c1, 0x7f, FLOATS * sizeof(float));
    memset(f.c2, 0x7f, FLOATS * sizeof(float));
    f.sums = malloc(FLOATS * sizeof(float));
    f.sum = malloc(FLOATS * sizeof(double));
    f.size = malloc(FLOATS * sizeof(double));
    const char *cpu[] = {NULL, "x86-64", "x86-64-v3", "x86-64-v4"};
    Jit *jit[4] = {NULL};
    RtTiles tiles[4], parts[2];
    f.maker[f.nmaker++] = NULL;
    for (int i = 0; i < 4; i++)
        if (can_run(cpu[i])) jit[i] = add_maker(&f, &tiles[i], cpu[i]);
    if (jit[0]) add_rounding(&f, jit[0], jit[2]);
    if (jit[0] && codegen_has_bf16(NULL)) add_parts(&f, jit[0], parts);
    check_layouts(&f);
    check_rooms(&f);
    check_batches(&f);
    check_contracted_loop(&f);
    check_odd_strides(&f);
    check_convolutions(&f);
    check_walks(&f);
    check_parts(&f);
    for (int i = 0; i < 4; i++) jit_free(jit[i]);
    pool_free(f.two);
    pool_free(f.one);
    free(f.half_a), free(f.half_b), free(f.rounded_a), free(f.rounded_b);
    free(f.a), free(f.b), free(f.c1), free(f.c2), free(f.sums), free(f.sum), free(f.size);
    return check_done("gemm");
}
