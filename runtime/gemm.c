/* Matrix products, cut into tiles that are tasks of the pool. A tile is made of what RtTiles hold
 * (runtime/packed.c), to whose bits it does not matter how the product was cut, so there are as
 * many as the threads want, cut so that little is packed twice. This is also the one seam to BLAS,
 * for the products of vectors and where there are no RtTiles: one single-threaded call a tile (or
 * several in a fixed order, where loops accumulate), cut by sizes alone. So the bits do not depend
 * on the number of threads. GemmOperands are strided: whatever BLAS can take as rows, columns or
 * their transposes is passed as it is, and what it cannot (compound walks, no unit stride, a stride
 * beyond its integers) is computed by a plain loop.
 *
 * A vector times a matrix, as in generating one token, takes as long as reading the matrix does:
 * sgemm would pack it first, so it is cblas_sgemv, and tiles are cut by the bytes that they read.
 */
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "runtime/gemm.h"

/* Largest tile, and the fewest operations worth a tile of their own: several times what it takes to
 * hand them to another thread. */
enum { TILE_M = 1024, TILE_N = 2048, TILE_STEP = 32, VECTOR_STEP = 256 };
static const double TILE_FLOPS = 4e6; /* 20 to 40 us of a core */
/* Tiles to share among threads: so many where their number would show in the bits. Where it does
 * not, so many a thread, that the last ones end together; fewer where each packs its columns anew.
 */
static const double TASKS_WANTED = 8;
enum { TASKS_A_THREAD = 2, TASKS_KEEPING = 4 };
/* So many multiply-adds take as long as packing a number. */
static const double SUMS_A_NUMBER = 24;
/* The least that a task of a vector's product reads: 5 us of a core. */
static const double VECTOR_BYTES = 128 << 10;
/* A product does several operations in the time that a kernel takes for a byte. */
static const double FLOPS_A_BYTE = 6;

void gemm_init(void) {
    openblas_set_num_threads(1);
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- operands */

static bool fits(int64_t n) {
    return n <= INT_MAX;
}

/* A matrix of `rows` by `cols` that lies so; a dimension of size 1 may have any stride. */
static GemmOperand operand(int64_t rows, int64_t cols, const RtWalk *by_row, const RtWalk *by_col) {
    int64_t row = by_row->at[0].stride, col = by_col->at[0].stride;
    if (by_row->n > 1 || by_col->n > 1) return (GemmOperand){false, 0};
    if ((col == 1 || cols == 1) && (row >= cols || rows == 1))
        return (GemmOperand){false, rows == 1 && row < cols ? cols : row};
    if ((row == 1 || rows == 1) && (col >= rows || cols == 1))
        return (GemmOperand){true, cols == 1 && col < rows ? rows : col};
    return (GemmOperand){false, 0};
}

static void swap_i64(int64_t *a, int64_t *b) {
    int64_t t = *a;
    *a = *b;
    *b = t;
}

static void swap_walks(RtWalk *a, RtWalk *b) {
    RtWalk t = *a;
    *a = *b;
    *b = t;
}

/* C in columns is its transpose in rows, C' = B' A'. */
static void transpose_product(GemmJob *j) {
    RtGemm *g = &j->g;
    const void *a = j->a;
    j->a = j->b;
    j->b = a;
    DType type = g->a;
    g->a = g->b;
    g->b = type;
    swap_i64(&g->m, &g->n);
    swap_walks(&g->am, &g->bn);
    swap_walks(&g->ak, &g->bk);
    swap_i64(&g->cm, &g->cn);
    swap_i64(&g->sm, &g->sn);
    for (int i = 0; i < g->nloop; i++) swap_i64(&g->loop[i].a, &g->loop[i].b);
}

/* ---- one tile */

static const void *element(const void *x, DType t, int64_t i) {
    return (const char *)x + i * (int64_t)dtype_size(t);
}

static void tile_plain(const RtGemm *g, const float *a, const float *b, float *c, const GemmPart *p,
                       bool add) {
    CHECK(g->a == DT_f32 && g->b == DT_f32);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            const float *row = a + walk_at(&g->am, p->row + i);
            const float *column = b + walk_at(&g->bn, p->column + j);
            float sum = add ? c[i * g->cm + j * g->cn] : 0;
            for (int64_t k = 0; k < g->k; k++)
                sum += row[walk_at(&g->ak, k)] * column[walk_at(&g->bk, k)];
            c[i * g->cm + j * g->cn] = sum;
        }
}

static CBLAS_TRANSPOSE cblas_trans(const GemmOperand *o) {
    return o->trans ? CblasTrans : CblasNoTrans;
}

/* y = x B, or y + x B. */
static void tile_vector(const GemmJob *j, const float *x, const float *b, float *y, int64_t n,
                        bool add) {
    const RtGemm *g = &j->g;
    bool by_rows = j->ob.trans; /* a row of what is stored for each element of y */
    int64_t rows = by_rows ? n : g->k, cols = by_rows ? g->k : n;
    cblas_sgemv(CblasRowMajor, by_rows ? CblasNoTrans : CblasTrans, (int)rows, (int)cols, 1, b,
                (int)j->ob.ld, x, (int)g->ak.at[0].stride, add ? 1 : 0, y, (int)g->cn);
}

static void tile_product(const GemmJob *j, const float *a, const float *b, float *c,
                         const GemmPart *p, bool add) {
    const RtGemm *g = &j->g;
    if (!j->blas || g->k == 0) {
        tile_plain(g, a, b, c, p, add);
        return;
    }
    a += walk_at(&g->am, p->row);
    b += walk_at(&g->bn, p->column);
    if (j->vector) {
        tile_vector(j, a, b, c, p->n, add);
        return;
    }
    int64_t ldc = g->cm > p->n ? g->cm : p->n;
    cblas_sgemm(CblasRowMajor, cblas_trans(&j->oa), cblas_trans(&j->ob), (int)p->m, (int)p->n,
                (int)g->k, 1, a, (int)j->oa.ld, b, (int)j->ob.ld, add ? 1 : 0, c, (int)ldc);
}

/* C begins as S. BLAS would begin with zeros, which takes as long. */
static void tile_start(const RtGemm *g, const float *s, float *c, int64_t m, int64_t n) {
    for (int64_t i = 0; i < m; i++, s += g->sm, c += g->cm)
        if (g->sn == 1 && g->cn == 1)
            memcpy(c, s, (size_t)n * sizeof *c);
        else
            for (int64_t k = 0; k < n; k++) c[k * g->cn] = s[k * g->sn];
}

typedef struct Tile { /* where loops lead, in elements: of a and b all, of c and s the part */
    int64_t a, b, c, s;
    GemmPart part;
} Tile;

/* Walks the loops that contract further dimensions, in order; the first product stores, unless
 * there is something to add to, and the rest add. */
static void tile_run(const GemmJob *j, const Tile *t) {
    const RtGemm *g = &j->g;
    GemmStart from = {j->c ? j->c + t->c : NULL, j->s ? j->s + t->s : NULL, g->sm, NULL};
    if (from.s && from.s != from.c && !(j->packed && g->sn == 1)) {
        tile_start(g, from.s, from.c, t->part.m, t->part.n);
        from.s = from.c, from.s_row = g->cm;
    }
    int64_t total = 1;
    for (int i = 0; i < g->nloop; i++)
        if (g->loop[i].c == 0) total *= g->loop[i].size;
    for (int64_t at = 0; at < total; at++) {
        int64_t rest = at, da = 0, db = 0;
        for (int i = g->nloop - 1; i >= 0; i--) {
            if (g->loop[i].c != 0) continue;
            int64_t x = rest % g->loop[i].size;
            rest /= g->loop[i].size;
            da += x * g->loop[i].a;
            db += x * g->loop[i].b;
        }
        const void *a = element(j->a, g->a, t->a + da), *b = element(j->b, g->b, t->b + db);
        if (j->half && at + 1 == total) from.half = j->half + t->c;
        if (j->packed)
            packed_product(j, a, b, &from, &t->part);
        else
            tile_product(j, a, b, from.c, &t->part, from.s);
        from.s = from.c, from.s_row = g->cm;
    }
    if (total == 0 && !j->s) { /* an empty sum */
        for (int64_t i = 0; i < t->part.m; i++)
            for (int64_t k = 0; k < t->part.n; k++) j->c[t->c + i * g->cm + k * g->cn] = 0;
    }
}

/* Task numbers: outer loops slowest, then columns of tiles, then rows: what is packed of B stays
 * for the next. */
void gemm_tasks(const GemmJob *j, int64_t first, int64_t last) {
    const RtGemm *g = &j->g;
    for (int64_t task = first; task < last; task++) {
        int64_t im = task % j->ntile_m * j->tile_m, rest = task / j->ntile_m;
        int64_t jn = rest % j->ntile_n * j->tile_n;
        Tile t = {.c = im * g->cm + jn * g->cn,
                  .s = im * g->sm + jn * g->sn,
                  .part = {im, jn, min_i64(j->tile_m, g->m - im), min_i64(j->tile_n, g->n - jn)}};
        rest /= j->ntile_n;
        for (int i = g->nloop - 1; i >= 0; i--) {
            if (g->loop[i].c == 0) continue;
            int64_t x = rest % g->loop[i].size;
            rest /= g->loop[i].size;
            t.a += x * g->loop[i].a;
            t.b += x * g->loop[i].b;
            t.c += x * g->loop[i].c;
            t.s += x * g->loop[i].s;
        }
        tile_run(j, &t);
    }
}

/* ---- cutting */

static int64_t outer_count(const RtGemm *g, bool contracted) {
    int64_t n = 1;
    for (int i = 0; i < g->nloop; i++)
        if ((g->loop[i].c == 0) == contracted) n *= g->loop[i].size;
    return n;
}

static double count_tiles(GemmJob *j, int64_t outer, int64_t m, int64_t n) {
    j->tile_m = m;
    j->tile_n = n;
    j->ntile_m = (j->g.m + m - 1) / m;
    j->ntile_n = (j->g.n + n - 1) / n;
    return (double)(outer * j->ntile_m * j->ntile_n);
}

/* Halves the longer side until there are enough tasks or a tile would be too little work. */
static void halve_tiles(GemmJob *j, int64_t outer) {
    const RtGemm *g = &j->g;
    double work = j->vector ? j->cost : j->cost * FLOPS_A_BYTE;
    double least = j->vector ? VECTOR_BYTES : TILE_FLOPS;
    int64_t step = j->vector ? VECTOR_STEP : TILE_STEP; /* narrow columns read memory in bits */
    int64_t m = gemm_part(g->m, TILE_M, step), n = gemm_part(g->n, TILE_N, step);
    for (;;) {
        double tasks = count_tiles(j, outer, m, n);
        if (tasks >= TASKS_WANTED || work / tasks < 2 * least) break;
        if (m >= n && m > step)
            m = gemm_part(g->m, m / 2, step);
        else if (n > step)
            n = gemm_part(g->n, n / 2, step);
        else
            break;
    }
}

static int64_t parts_of(int64_t size, int64_t each) {
    return (size + each - 1) / each;
}

typedef struct Packing { /* of a product */
    int threads;
    int64_t columns; /* of B that are packed at a time */
    bool stay;       /* and stay for the next task */
} Packing;

/* How long the slowest thread takes, as the pool hands tasks out; for each k, in the time that
 * packing a number takes, or reading one that is packed already. It need not be told how much
 * longer than `least`. */
static double slowest(const GemmJob *j, int64_t outer, const Packing *p, double least) {
    int64_t tasks = outer * j->ntile_m * j->ntile_n;
    double most = 0;
    for (int t = 0; t < p->threads && most < least; t++) {
        int64_t first = tasks * t / p->threads, end = tasks * (t + 1) / p->threads;
        double time = 0;
        for (int64_t i = first; i < end; i++) {
            int64_t row = i % j->ntile_m * j->tile_m, run = i / j->ntile_m % j->ntile_n;
            int64_t m = min_i64(j->tile_m, j->g.m - row);
            int64_t n = min_i64(j->tile_n, j->g.n - run * j->tile_n);
            bool there = p->stay && n <= p->columns && i > first && row > 0;
            time += (double)(m * n) / SUMS_A_NUMBER + (double)(m * parts_of(n, p->columns)) +
                    (there ? 0 : (double)n);
        }
        most = fmax(most, time);
    }
    return most;
}

static void cut_evenly(GemmJob *j, int64_t outer, int64_t parts_m, int64_t parts_n) {
    count_tiles(j, outer, gemm_part(j->g.m, parts_of(j->g.m, parts_m), j->tiles->rows),
                gemm_part(j->g.n, parts_of(j->g.n, parts_n), TILE_STEP));
}

/* At least so many tasks, or as many as there can be, of those cuts with which they end first. */
static void cut_packed(GemmJob *j, int64_t outer, int threads) {
    Packing p = {.threads = threads};
    p.columns = packed_columns(j, &p.stay);
    double wanted = (p.stay ? TASKS_KEEPING : TASKS_A_THREAD) * threads;
    double wide = (double)gemm_part(j->g.n, j->g.n, TILE_LANES) / (double)j->g.n;
    double tasks = fmin(wanted, j->cost * wide * FLOPS_A_BYTE / TILE_FLOPS);
    int64_t parts = (int64_t)fmax(1, ceil(tasks / (double)outer));
    int64_t most = parts > 1 ? 2 * parts : 1;
    int64_t most_m = parts_of(j->g.m, j->tiles->rows), most_n = parts_of(j->g.n, TILE_STEP);
    GemmJob best = *j;
    double least = INFINITY;
    for (int64_t n = 1; n <= min_i64(parts, most_n); n++)
        for (int64_t m = parts_of(parts, n); m <= parts_of(most, n); m++) {
            cut_evenly(j, outer, min_i64(m, most_m), n);
            double time = slowest(j, outer, &p, least);
            if (time < least) least = time, best = *j;
            if (m >= most_m) break;
        }
    *j = best;
}

static void choose_tiles(GemmJob *j, int64_t outer, int threads) {
    if (j->packed)
        cut_packed(j, outer, threads);
    else
        halve_tiles(j, outer);
}

/* A row times a matrix that BLAS takes and that is worth a task; false: it is none. */
static bool bind_vector(GemmJob *j) {
    if (j->g.m != 1 && j->g.n != 1) return false;
    if ((double)(j->g.m * j->g.n * j->g.k) * sizeof(float) < VECTOR_BYTES) return false;
    GemmJob v = *j;
    if (v.g.m != 1) transpose_product(&v);
    if (v.g.k == 1) v.g.ak = walk_plain(1);
    if (v.g.n == 1) v.g.cn = 1;
    v.ob = operand(v.g.k, v.g.n, &v.g.bk, &v.g.bn);
    int64_t stride = v.g.ak.n == 1 ? v.g.ak.at[0].stride : 0;
    v.blas = v.vector = v.ob.ld && fits(v.ob.ld) && fits(v.g.k) && fits(v.g.n) && stride > 0 &&
                        fits(stride) && v.g.cn > 0 && fits(v.g.cn);
    if (v.vector) *j = v;
    return v.vector;
}

static void bind_matrix(GemmJob *j) {
    const RtGemm *g = &j->g;
    bool ahead = g->a_panels || g->b_panels;
    if (!ahead && g->cn != 1 && g->n != 1 && (g->cm == 1 || g->m == 1)) transpose_product(j);
    j->oa = operand(g->m, g->k, &g->am, &g->ak);
    j->ob = operand(g->k, g->n, &g->bk, &g->bn);
    j->blas = j->oa.ld && j->ob.ld && fits(j->oa.ld) && fits(j->ob.ld) && fits(g->cm) &&
              fits(g->k) && (g->cn == 1 || g->n == 1) && (g->cm >= g->n || g->m == 1);
    j->packed = j->tiles && (g->cn == 1 || g->n == 1);
}

GemmJob gemm_job(const RtGemm *g, const RtTiles *tiles, int threads, const GemmData *d) {
    bool half = g->c == DT_bf16;
    GemmJob j = {.g = *g,
                 .tiles = tiles,
                 .a = d->a,
                 .b = d->b,
                 .s = d->s,
                 .c = half ? d->sums : d->c,
                 .half = half ? d->c : NULL};
    int64_t outer = outer_count(g, false);
    if (g->m == 0 || g->n == 0 || outer == 0) return j;
    bool f32 = g->a == DT_f32 && g->b == DT_f32 && !(tiles && tiles->bf16);
    bool ahead = g->a_panels || g->b_panels;
    if (!f32 || ahead || !bind_vector(&j)) bind_matrix(&j);
    CHECK(f32 || j.packed);
    CHECK(!half || !f32);
    CHECK(!ahead || (j.packed && !g->nloop));
    double products =
        (double)g->m * (double)g->n * (double)g->k * (double)outer * (double)outer_count(g, true);
    j.cost = products * (j.vector ? sizeof(float) : 2 / FLOPS_A_BYTE);
    choose_tiles(&j, outer, threads);
    j.tasks = outer * j.ntile_m * j.ntile_n;
    return j;
}

PackJob pack_job(const GemmJob *product, bool b, int threads, const void *from, void *panels) {
    PackJob j = {.product = product, .b = b, .from = from, .panels = panels};
    int64_t tasks = (int64_t)TASKS_A_THREAD * threads;
    j.count = tiles_panels(product->tiles, b, b ? product->g.n : product->g.m);
    j.part = (j.count + tasks - 1) / tasks;
    j.tasks = (j.count + j.part - 1) / j.part;
    return j;
}

static void run_tasks(void *job, int64_t first, int64_t last) {
    gemm_tasks(job, first, last);
}

void gemm_run(Pool *p, const RtGemm *g, const RtTiles *tiles, const GemmData *d) {
    GemmJob j = gemm_job(g, tiles, pool_threads(p), d);
    pool_run(p, j.tasks, run_tasks, &j);
}
