/* Products of packed operands, after Goto and van de Geijn (see codegen/tiles.c): a block of B, of
 * a few hundred k and a thousand columns, is packed once for all rows; of A a group of panels at a
 * time, and each panel, which the level-1 cache holds, meets all of B.
 *
 * Every element of C is a sum in the order of k over blocks of k that depend on k alone, so it does
 * not matter to its bits how the product was cut. */
#include <string.h>

#include "runtime/gemm.h"

enum { BLOCK_CELLS = 256, BLOCK_N = 1024, GROUP = 8 };
enum { FEW_CELLS = 32 };   /* of all panels, then the next, where memory is read along lines */
enum { GAP = TILE_LANES }; /* cells that packing may write beyond a panel */
enum { FEW_PANELS = 3 };   /* of the other operand, for which packing does not pay */
enum { NEAR = 256 };       /* numbers */
enum { PANELS_B = BLOCK_N / TILE_LANES };
enum { CELL_BYTES = 4 };
/* The last cells that are turned over are 16, however many are left; rows of cells lie 16 more
 * apart, so that they do not all fall into the same sets of a cache. */
enum { ROOM_B = (BLOCK_CELLS + TILE_LANES) * BLOCK_N + PANELS_B * GAP };
enum { ROOM_A = (BLOCK_CELLS + 2 * TILE_LANES) * GROUP * TILE_ROWS + (GROUP + 1) * GAP };
_Static_assert((ROOM_A + ROOM_B) * CELL_BYTES <= GEMM_ROOM, "room of a thread");

typedef struct Panel { /* of one operand, as a tile reads it */
    const void *at;
    int64_t step; /* to the next cell of k */
} Panel;

typedef struct Operand { /* lines (of A: rows, of B: columns) of numbers, so far apart */
    const char *at;
    DType type;
    int64_t line, next;
} Operand;

typedef struct Block { /* of a product: m by n, and so much of k */
    const GemmJob *job;
    Operand a, b;
    const float *s; /* NULL: starts from nothing */
    float *c;
    char *room_a, *room_b;
    int64_t m, n, k, s_row;
    Panel panel_a[GROUP], panel_b[PANELS_B];
} Block;

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static const char *number_at(const Operand *o, int64_t line, int64_t k) {
    return o->at + (line * o->line + k * o->next) * (int64_t)dtype_size(o->type);
}

/* ---- packing */

/* Where packed cells go: k leads so many cells on, a line so many. */
typedef struct Cells {
    char *at;
    int64_t k, line;
} Cells;

/* Lines that lie neither next to each other nor in one piece. */
static void pack_any(const RtTiles *t, const Operand *o, int64_t first, int64_t width, int64_t k,
                     const Cells *to) {
    for (int64_t i = 0; i < k + k % t->cell; i++)
        for (int64_t l = 0; l < width; l++) {
            const void *x = number_at(o, first + l, i < k ? i : 0);
            float v = o->type == DT_bf16 ? bf16_to_float(*(const uint16_t *)x) : *(const float *)x;
            char *cell = to->at + (i / t->cell * to->k + l * to->line) * CELL_BYTES;
            if (i >= k) v = 0;
            if (t->cell == 1)
                *(float *)(void *)cell = v;
            else
                ((uint16_t *)(void *)cell)[i % 2] = bf16_from_float(v);
        }
}

/* `width` lines from `first` on, k numbers of each. */
static void pack(const RtTiles *t, const RtPacks packs, const Operand *o, int64_t first,
                 int64_t width, int64_t k, const Cells *to) {
    RtPackFn *const *fn = packs[o->type == DT_bf16];
    int64_t step = to->k > 1 ? to->k : to->line;
    if (o->line == 1)
        fn[PACK_along](number_at(o, first, 0), o->next, width, k, to->at, step);
    else if (o->next == 1)
        fn[PACK_across](number_at(o, first, 0), o->line, width, k, to->at, step);
    else
        pack_any(t, o, first, width, k, to);
}

/* How much of k is packed of one panel before the next. */
static int64_t k_at_once(const Block *b, const Operand *o) {
    return o->line == 1 ? FEW_CELLS * b->job->tiles->cell : b->k;
}

/* The same operand from k on. */
static Operand from_k(const Operand *o, int64_t k) {
    Operand p = *o;
    p.at = number_at(o, 0, k);
    return p;
}

static int64_t cells(const Block *b, int64_t k) {
    return (k + b->job->tiles->cell - 1) / b->job->tiles->cell;
}

/* Of the block, with those that are zero. */
static int64_t all_cells(const Block *b) {
    int64_t step = b->job->tiles->k_step;
    return (cells(b, b->k) + step - 1) / step * step;
}

/* Can tiles read it where it is, for a few panels of the other operand? Not where each k is far
 * from the one before: memory comes too late then. */
static bool in_place(const Block *b, const Operand *o, int64_t panels) {
    return o->line == 1 && o->next <= NEAR && o->type == DT_f32 && b->job->tiles->cell == 1 &&
           panels <= FEW_PANELS;
}

static int64_t panel_rows(const Block *b, int64_t from) {
    return min_i64(b->job->tiles->rows, b->m - from);
}
static int64_t panel_vectors(const Block *b, int64_t from) {
    return min_i64(b->job->tiles->vectors, (b->n - from + TILE_LANES - 1) / TILE_LANES);
}

/* Lines [first, first + width), numbers [k, k + n) of each, to a panel whose cells `at` describes.
 */
static void pack_panel(const Block *b, const RtPacks packs, const Operand *part, int64_t first,
                       int64_t width, int64_t n, const Cells *at) {
    for (int64_t l = 0; l < width; l += TILE_LANES) {
        Cells to = *at;
        to.at += l * at->line * CELL_BYTES;
        pack(b->job->tiles, packs, part, first + l, min_i64(TILE_LANES, width - l), n, &to);
    }
}

/* The cells of a panel of `lines` beyond the last. */
static void zero_tail(const Block *b, const Cells *at, int64_t lines) {
    int64_t first = cells(b, b->k), n = all_cells(b) - first;
    if (!n) return;
    char *tail = at->at + first * at->k * CELL_BYTES;
    if (at->line == 1) memset(tail, 0, (size_t)(n * at->k * CELL_BYTES));
    for (int64_t l = 0; at->k == 1 && l < lines; l++)
        memset(tail + l * at->line * CELL_BYTES, 0, (size_t)(n * CELL_BYTES));
}

/* From number k on. */
static Cells cells_from(const Block *b, const Cells *at, int64_t k) {
    Cells to = *at;
    to.at += cells(b, k) * at->k * CELL_BYTES;
    return to;
}

/* Where the panel at row i of A goes. */
static Cells cells_of_a(const Block *b, char *at, int64_t rows) {
    if (b->job->tiles->by_rows) return (Cells){at, 1, all_cells(b) + TILE_LANES};
    return (Cells){at, rows, 1};
}

/* Rows [from, to) of A, a group of panels at most. */
static void pack_a(Block *b, int64_t from, int64_t to) {
    const RtTiles *t = b->job->tiles;
    int64_t most = k_at_once(b, &b->a), width = t->vectors * TILE_LANES;
    bool there = in_place(b, &b->a, (b->n + width - 1) / width);
    for (int64_t k = 0; k < b->k; k += most) {
        Operand part = from_k(&b->a, k);
        char *out = b->room_a;
        Panel *panel = b->panel_a;
        for (int64_t i = from, rows; i < to; i += rows, panel++) {
            rows = panel_rows(b, i);
            Cells at = cells_of_a(b, out, rows), here = cells_from(b, &at, k);
            *panel = there ? (Panel){number_at(&b->a, i, 0), b->a.next}
                           : (Panel){out, t->by_rows ? at.line : at.k};
            if (!there && k == 0) zero_tail(b, &at, rows);
            if (!there) pack_panel(b, t->pack_a, &part, i, rows, min_i64(most, b->k - k), &here);
            out += ((t->by_rows ? TILE_ROWS * at.line : rows * all_cells(b)) + GAP) * CELL_BYTES;
        }
    }
}

static void pack_b(Block *b) {
    const RtTiles *t = b->job->tiles;
    int64_t most = k_at_once(b, &b->b);
    bool few = in_place(b, &b->b, (b->m + t->rows - 1) / t->rows);
    for (int64_t k = 0; k < b->k; k += most) {
        Operand part = from_k(&b->b, k);
        char *out = b->room_b;
        Panel *panel = b->panel_b;
        for (int64_t from = 0, width; from < b->n; from += width, panel++) {
            width = panel_vectors(b, from) * TILE_LANES;
            bool there = few && from + width <= b->n;
            Cells at = {out, width, 1}, here = cells_from(b, &at, k);
            *panel = there ? (Panel){number_at(&b->b, from, 0), b->b.next} : (Panel){out, width};
            if (!there && k == 0) zero_tail(b, &at, width);
            if (!there)
                pack_panel(b, t->pack_b, &part, from, min_i64(width, b->n - from),
                           min_i64(most, b->k - k), &here);
            out += (width * all_cells(b) + GAP) * CELL_BYTES;
        }
    }
}

/* ---- tiles */

static void row_of_tiles(const Block *b, int64_t i, const Panel *a) {
    const RtTiles *t = b->job->tiles;
    int64_t row = b->job->g.cm;
    RtTile tile = {
        .a = a->at, .a_step = a->step, .k = all_cells(b), .c_row = row, .s_row = b->s_row};
    tile.rows = panel_rows(b, i);
    const Panel *panel = b->panel_b;
    for (int64_t l = 0, vectors; l < b->n; l += vectors * TILE_LANES, panel++) {
        vectors = panel_vectors(b, l);
        tile.b = panel->at, tile.b_step = panel->step;
        tile.cols = b->n - l;
        tile.c = b->c + i * row + l;
        tile.s = b->s ? b->s + i * b->s_row + l : NULL;
        t->tile[vectors - 1][tile.rows - 1](&tile);
    }
}

static void block_run(Block *b) {
    int64_t rows = b->job->tiles->rows, group = GROUP * rows;
    pack_b(b);
    for (int64_t from = 0; from < b->m; from += group) {
        int64_t to = min_i64(b->m, from + group);
        pack_a(b, from, to);
        for (int64_t i = from; i < to; i += rows)
            row_of_tiles(b, i, &b->panel_a[(i - from) / rows]);
    }
}

void packed_product(const GemmJob *j, const void *a, const void *b, const GemmStart *to, int64_t m,
                    int64_t n) {
    const RtGemm *g = &j->g;
    const Operand oa = {a, g->a, g->am, g->ak}, ob = {b, g->b, g->bn, g->bk};
    int64_t block_k = gemm_part(g->k, (int64_t)BLOCK_CELLS * j->tiles->cell, 2 * TILE_LANES);
    Block x = {.job = j, .m = m, .room_b = pool_room()};
    x.room_a = x.room_b + (int64_t)ROOM_B * CELL_BYTES;
    for (int64_t l = 0; l < n; l += x.n) {
        x.n = min_i64(BLOCK_N, n - l);
        x.c = to->c + l;
        for (int64_t k = 0; k < g->k || k == 0; k += x.k + !x.k) {
            x.k = min_i64(block_k, g->k - k);
            x.a = from_k(&oa, k);
            x.b = from_k(&ob, k);
            x.b.at = number_at(&x.b, l, 0);
            x.s = k ? x.c : to->s ? to->s + l : NULL;
            x.s_row = k ? g->cm : to->s_row;
            block_run(&x);
        }
    }
}
