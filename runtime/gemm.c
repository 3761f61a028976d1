/* Matrix products: the one seam to BLAS.
 *
 * A product is cut into tiles by its sizes alone; each tile is one task of the pool and one
 * single-threaded cblas_sgemm (or several in a fixed order, where loops accumulate), so the bits do
 * not depend on the number of threads. GemmOperands are strided: whatever BLAS can take as rows,
 * columns or their transposes is passed as it is, and what it cannot (no unit stride, a stride
 * beyond its integers) is computed by a plain loop.
 *
 * A vector times a matrix, as in generating one token, takes as long as reading the matrix does:
 * sgemm would pack it first, so it is cblas_sgemv, and tiles are cut by the bytes that they read.
 */
#include <cblas.h>
#include <limits.h>
#include <string.h>

#include "runtime/gemm.h"

/* Largest tile, and the fewest operations worth a tile of their own. Every tile packs its rows of A
 * and columns of B anew, so small ones cost: with sixteen tiles where now are eight or four, a step
 * of BERT took 3 to 4 % longer on two cores. What a wave holds besides keeps more cores busy. */
enum { TILE_M = 1024, TILE_N = 2048, TILE_STEP = 32, VECTOR_STEP = 256 };
static const double TILE_FLOPS = 8e7; /* 0.7 ms of a core at 117 GFLOP/s */
static const double TASKS_WANTED = 8; /* to share among threads */
/* The least that a task of a vector's product reads: 5 us of a core. */
static const double VECTOR_BYTES = 128 << 10;
/* A product does several operations in the time that a kernel takes for a byte. */
static const double FLOPS_A_BYTE = 6;

void gemm_init(void) {
    openblas_set_num_threads(1);
}

const char *gemm_processor(void) {
    return openblas_get_corename();
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Equal parts of at most `most`, multiples of `step`. */
static int64_t part(int64_t size, int64_t most, int64_t step) {
    int64_t parts = (size + most - 1) / most;
    int64_t each = parts ? (size + parts - 1) / parts : step;
    return (each + step - 1) / step * step;
}

/* ---- operands */

static bool fits(int64_t n) {
    return n <= INT_MAX;
}

/* A matrix of `rows` by `cols` with these strides; a dimension of size 1 may have any stride. */
static GemmOperand operand(int64_t rows, int64_t cols, int64_t row, int64_t col) {
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

/* C in columns is its transpose in rows, C' = B' A'. */
static void transpose_product(GemmJob *j) {
    RtGemm *g = &j->g;
    const float *a = j->a;
    j->a = j->b;
    j->b = a;
    swap_i64(&g->m, &g->n);
    swap_i64(&g->am, &g->bn);
    swap_i64(&g->ak, &g->bk);
    swap_i64(&g->cm, &g->cn);
    swap_i64(&g->sm, &g->sn);
    for (int i = 0; i < g->nloop; i++) swap_i64(&g->loop[i].a, &g->loop[i].b);
}

/* ---- panels and micro-kernels */

/* Blocks of K and N, and panels of A packed at a time. */
enum { BLOCK_K = 256, BLOCK_N = 1024, GROUP = 8 };
enum { PACK_K = 32 }; /* so many k of all panels, then the next, where memory is read along lines */
enum { GAP = TILE_LANES }; /* floats that packing may write beyond a panel */
enum { FEW_PANELS = 3 };   /* of the other operand, for which packing does not pay */
enum { PANELS_B = BLOCK_N / TILE_LANES };
/* The last block of numbers that are turned over is 16 k long, whatever is left. */
enum { ROOM_B = (BLOCK_K + TILE_LANES) * BLOCK_N + PANELS_B * GAP };
enum { ROOM_A = (BLOCK_K + TILE_LANES) * GROUP * TILE_ROWS + (GROUP + 1) * GAP };
_Static_assert((ROOM_A + ROOM_B) * sizeof(float) <= GEMM_ROOM, "room of a thread");

typedef struct Panel { /* of one operand, as a tile reads it */
    const float *at;
    int64_t step; /* to the next k */
} Panel;

/* `width` lines of k numbers, lines and numbers so far apart, to out[k * step + line]. */
static void pack(const RtTiles *t, const float *x, int64_t line, int64_t next, int64_t width,
                 int64_t k, float *out, int64_t step) {
    if (line == 1) {
        t->pack_along(x, next, width, k, out, step);
    } else if (next == 1) {
        t->pack_across(x, line, width, k, out, step);
    } else {
        for (int64_t i = 0; i < k; i++)
            for (int64_t l = 0; l < width; l++) out[i * step + l] = x[l * line + i * next];
    }
}

typedef struct Block { /* of a product: m by n, and so much of k */
    const GemmJob *job;
    const float *a, *b, *s; /* s NULL: starts from nothing */
    float *c, *room;
    int64_t m, n, k, s_row;
    Panel panel_a[GROUP], panel_b[PANELS_B];
} Block;

static int64_t panel_rows(const Block *b, int64_t from) {
    return min_i64(b->job->tiles->rows, b->m - from);
}
static int64_t panel_vectors(const Block *b, int64_t from) {
    return min_i64(b->job->tiles->vectors, (b->n - from + TILE_LANES - 1) / TILE_LANES);
}

/* Of an operand whose lines lie so far apart. */
static int64_t k_at_once(const Block *b, int64_t line) {
    return line == 1 ? PACK_K : b->k;
}

/* Rows [from, to) of A, a group of panels at most, for all k of the block. */
static void pack_a(Block *b, int64_t from, int64_t to) {
    const RtGemm *g = &b->job->g;
    const RtTiles *t = b->job->tiles;
    bool in_place = g->am == 1 && b->n <= FEW_PANELS * TILE_LANES * t->vectors;
    for (int64_t k = 0, most = k_at_once(b, g->am); k < b->k; k += most) {
        float *out = b->room;
        Panel *panel = b->panel_a;
        for (int64_t i = from, rows; i < to; i += rows, panel++) {
            const float *x = b->a + i * g->am;
            rows = panel_rows(b, i);
            *panel = in_place ? (Panel){x, g->ak} : (Panel){out, rows};
            if (!in_place)
                pack(t, x + k * g->ak, g->am, g->ak, rows, min_i64(most, b->k - k), out + k * rows,
                     rows);
            out += rows * b->k + GAP;
        }
    }
}

/* What is read for a few rows of A, and lies in rows itself, is read where it is. */
static bool b_in_place(const Block *b, int64_t from, int64_t width) {
    return b->job->g.bn == 1 && from + width <= b->n && b->m <= FEW_PANELS * b->job->tiles->rows;
}

static void pack_b(Block *b, float *room) {
    const RtGemm *g = &b->job->g;
    for (int64_t k = 0, most = k_at_once(b, g->bn); k < b->k; k += most) {
        float *out = room;
        Panel *panel = b->panel_b;
        for (int64_t from = 0, width; from < b->n; from += width, panel++) {
            width = panel_vectors(b, from) * TILE_LANES;
            bool in_place = b_in_place(b, from, width);
            *panel = in_place ? (Panel){b->b + from, g->bk} : (Panel){out, width};
            for (int64_t v = from; v < from + width && !in_place; v += TILE_LANES)
                pack(b->job->tiles, b->b + v * g->bn + k * g->bk, g->bn, g->bk,
                     min_i64(TILE_LANES, b->n - v), min_i64(most, b->k - k),
                     out + k * width + v - from, width);
            out += width * b->k + GAP;
        }
    }
}

/* One panel of A, which the level-1 cache holds, meets all of B. */
static void row_of_tiles(const Block *b, int64_t i, const Panel *a) {
    const RtTiles *t = b->job->tiles;
    int64_t row = b->job->g.cm;
    RtTile tile = {.a = a->at, .a_step = a->step, .k = b->k, .c_row = row, .s_row = b->s_row};
    const Panel *panel = b->panel_b;
    for (int64_t l = 0, vectors; l < b->n; l += vectors * TILE_LANES, panel++) {
        vectors = panel_vectors(b, l);
        tile.b = panel->at, tile.b_step = panel->step;
        tile.cols = b->n - l;
        tile.c = b->c + i * row + l;
        tile.s = b->s ? b->s + i * b->s_row + l : NULL;
        t->tile[vectors - 1][panel_rows(b, i) - 1](&tile);
    }
}

static void block_run(Block *b) {
    int64_t rows = b->job->tiles->rows, group = GROUP * rows;
    for (int64_t from = 0; from < b->m; from += group) {
        int64_t to = min_i64(b->m, from + group);
        pack_a(b, from, to);
        for (int64_t i = from; i < to; i += rows)
            row_of_tiles(b, i, &b->panel_a[(i - from) / rows]);
    }
}

typedef struct Start { /* C, and what it starts from: NULL for nothing */
    float *c;
    const float *s;
    int64_t s_row;
} Start;

/* C = A B or S + A B, where the rows of C and S have unit stride. */
static void tile_packed(const GemmJob *j, const float *a, const float *b, const Start *to,
                        int64_t m, int64_t n) {
    const RtGemm *g = &j->g;
    float *room_b = (float *)(void *)pool_room();
    int64_t block_k = part(g->k, BLOCK_K, TILE_LANES);
    Block x = {.job = j, .m = m, .room = room_b + ROOM_B};
    for (int64_t l = 0; l < n; l += x.n) {
        x.n = min_i64(BLOCK_N, n - l);
        x.c = to->c + l;
        for (int64_t p = 0; p < g->k || p == 0; p += x.k + !x.k) {
            x.k = min_i64(block_k, g->k - p);
            x.a = a + p * g->ak;
            x.b = b + p * g->bk + l * g->bn;
            x.s = p ? x.c : to->s ? to->s + l : NULL;
            x.s_row = p ? g->cm : to->s_row;
            pack_b(&x, room_b);
            block_run(&x);
        }
    }
}

/* ---- one tile */

static void tile_plain(const RtGemm *g, const float *a, const float *b, float *c, int64_t m,
                       int64_t n, bool add) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = add ? c[i * g->cm + j * g->cn] : 0;
            for (int64_t k = 0; k < g->k; k++)
                sum += a[i * g->am + k * g->ak] * b[k * g->bk + j * g->bn];
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
                (int)j->ob.ld, x, (int)g->ak, add ? 1 : 0, y, (int)g->cn);
}

static void tile_product(const GemmJob *j, const float *a, const float *b, float *c, int64_t m,
                         int64_t n, bool add) {
    const RtGemm *g = &j->g;
    if (!j->blas || g->k == 0) {
        tile_plain(g, a, b, c, m, n, add);
        return;
    }
    if (j->vector) {
        tile_vector(j, a, b, c, n, add);
        return;
    }
    int64_t ldc = g->cm > n ? g->cm : n;
    cblas_sgemm(CblasRowMajor, cblas_trans(&j->oa), cblas_trans(&j->ob), (int)m, (int)n, (int)g->k,
                1, a, (int)j->oa.ld, b, (int)j->ob.ld, add ? 1 : 0, c, (int)ldc);
}

/* C begins as S. BLAS would begin with zeros, which takes as long. */
static void tile_start(const RtGemm *g, const float *s, float *c, int64_t m, int64_t n) {
    for (int64_t i = 0; i < m; i++, s += g->sm, c += g->cm)
        if (g->sn == 1 && g->cn == 1)
            memcpy(c, s, (size_t)n * sizeof *c);
        else
            for (int64_t k = 0; k < n; k++) c[k * g->cn] = s[k * g->sn];
}

typedef struct Tile { /* where its operands begin, in elements */
    int64_t a, b, c, s, m, n;
} Tile;

/* Walks the loops that contract further dimensions, in order; the first product stores, unless
 * there is something to add to, and the rest add. */
static void tile_run(const GemmJob *j, const Tile *t) {
    const RtGemm *g = &j->g;
    Start from = {j->c + t->c, j->s ? j->s + t->s : NULL, g->sm};
    if (from.s && from.s != from.c && !(j->packed && g->sn == 1)) {
        tile_start(g, from.s, from.c, t->m, t->n);
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
        const float *a = j->a + t->a + da, *b = j->b + t->b + db;
        if (j->packed)
            tile_packed(j, a, b, &from, t->m, t->n);
        else
            tile_product(j, a, b, from.c, t->m, t->n, from.s);
        from.s = from.c, from.s_row = g->cm;
    }
    if (total == 0 && !j->s) { /* an empty sum */
        for (int64_t i = 0; i < t->m; i++)
            for (int64_t k = 0; k < t->n; k++) j->c[t->c + i * g->cm + k * g->cn] = 0;
    }
}

/* Task numbers: outer loops slowest, then rows of tiles, then columns. */
void gemm_tasks(const GemmJob *j, int64_t first, int64_t last) {
    const RtGemm *g = &j->g;
    for (int64_t task = first; task < last; task++) {
        int64_t jn = task % j->ntile_n * j->tile_n, rest = task / j->ntile_n;
        int64_t im = rest % j->ntile_m * j->tile_m;
        Tile t = {.a = im * g->am,
                  .b = jn * g->bn,
                  .c = im * g->cm + jn * g->cn,
                  .s = im * g->sm + jn * g->sn,
                  .m = min_i64(j->tile_m, g->m - im),
                  .n = min_i64(j->tile_n, g->n - jn)};
        rest /= j->ntile_m;
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

/* Halves the longer side until there are enough tasks or a tile would be too little work. */
static void choose_tiles(GemmJob *j, int64_t outer) {
    const RtGemm *g = &j->g;
    double work = j->vector ? j->cost : j->cost * FLOPS_A_BYTE;
    double least = j->vector ? VECTOR_BYTES : TILE_FLOPS;
    int64_t step = j->vector ? VECTOR_STEP : TILE_STEP; /* narrow columns read memory in bits */
    int64_t step_m = j->packed ? j->tiles->rows : step;
    int64_t m = part(g->m, TILE_M, step_m), n = part(g->n, TILE_N, step);
    for (;;) {
        j->tile_m = m;
        j->tile_n = n;
        j->ntile_m = (g->m + m - 1) / m;
        j->ntile_n = (g->n + n - 1) / n;
        double tasks = (double)(outer * j->ntile_m * j->ntile_n);
        if (tasks >= TASKS_WANTED || work / tasks < 2 * least) return;
        if (m >= n && m > step_m)
            m = part(g->m, m / 2, step_m);
        else if (n > step)
            n = part(g->n, n / 2, step);
        else
            return;
    }
}

/* A row times a matrix that BLAS takes and that is worth a task; false: it is none. */
static bool bind_vector(GemmJob *j) {
    if (j->g.m != 1 && j->g.n != 1) return false;
    if ((double)(j->g.m * j->g.n * j->g.k) * sizeof(float) < VECTOR_BYTES) return false;
    GemmJob v = *j;
    if (v.g.m != 1) transpose_product(&v);
    if (v.g.k == 1) v.g.ak = 1;
    if (v.g.n == 1) v.g.cn = 1;
    v.ob = operand(v.g.k, v.g.n, v.g.bk, v.g.bn);
    v.blas = v.vector = v.ob.ld && fits(v.ob.ld) && fits(v.g.k) && fits(v.g.n) && v.g.ak > 0 &&
                        fits(v.g.ak) && v.g.cn > 0 && fits(v.g.cn);
    if (v.vector) *j = v;
    return v.vector;
}

static void bind_matrix(GemmJob *j) {
    if (j->g.cn != 1 && j->g.n != 1 && (j->g.cm == 1 || j->g.m == 1)) transpose_product(j);
    const RtGemm *g = &j->g;
    j->oa = operand(g->m, g->k, g->am, g->ak);
    j->ob = operand(g->k, g->n, g->bk, g->bn);
    j->blas = j->oa.ld && j->ob.ld && fits(j->oa.ld) && fits(j->ob.ld) && fits(g->cm) &&
              fits(g->k) && (g->cn == 1 || g->n == 1) && (g->cm >= g->n || g->m == 1);
    j->packed = j->tiles && (g->cn == 1 || g->n == 1);
}

GemmJob gemm_job(const RtGemm *g, const RtTiles *tiles, const float *a, const float *b,
                 const float *s, float *c) {
    GemmJob j = {.g = *g, .tiles = tiles, .a = a, .b = b, .s = s, .c = c};
    int64_t outer = outer_count(g, false);
    if (g->m == 0 || g->n == 0 || outer == 0) return j;
    if (!bind_vector(&j)) bind_matrix(&j);
    double products =
        (double)g->m * (double)g->n * (double)g->k * (double)outer * (double)outer_count(g, true);
    j.cost = products * (j.vector ? sizeof(float) : 2 / FLOPS_A_BYTE);
    choose_tiles(&j, outer);
    j.tasks = outer * j.ntile_m * j.ntile_n;
    return j;
}

static void run_tasks(void *job, int64_t first, int64_t last) {
    gemm_tasks(job, first, last);
}

void gemm_run(Pool *p, const RtGemm *g, const RtTiles *tiles, const float *a, const float *b,
              float *c) {
    GemmJob j = gemm_job(g, tiles, a, b, NULL, c);
    pool_run(p, j.tasks, run_tasks, &j);
}
