/* Products of packed operands, after Goto and van de Geijn (see codegen/tiles.c): B is packed once
 * for all rows, as many columns as find room; of A a group of panels at a time, and each panel,
 * which the level-1 cache holds, meets a few hundred k of a thousand columns after the other.
 *
 * Operands are read where they lie, along walks of their lines (of A: rows, of B: columns) and of
 * k. Where lines lie next to each other, panels end where that ends. What a loop's turns all read
 * is packed before them, once; what a thread has packed of B stays for its next tasks of the same
 * product, if all k find room.
 *
 * Every element of C is a sum in the order of k over blocks of k that depend on k alone, so it does
 * not matter to its bits how the product was cut. */
#include <string.h>

#include "runtime/gemm.h"

/* Where k goes TILES_CELLS at a time; where it goes twice as many, half of both. */
enum { BLOCK_N = 1024, GROUP = 8 };
enum { FEW_CELLS = 16 };        /* of all panels, then the next, where memory is read along lines */
enum { GAP = TILE_LANES };      /* cells that packing may write beyond a panel */
enum { FEW_PANELS = 8 };        /* of the other operand, for which packing does not pay, */
enum { FEW_NUMBERS = 1 << 16 }; /* where so many are near */
enum { BYTES_ASKED = 128 };     /* of a row, at a time */
enum { PAGE = 1024 };           /* numbers */
enum { NEAR = PAGE };
enum { PANELS_NEAR = BLOCK_N / TILE_LANES, PANELS_B = 4 * PANELS_NEAR };
enum { AHEAD = 16 }; /* panels that a step of its own packs together */
enum { CELL_BYTES = 4, MOST_CELLS = 2 * TILES_CELLS, BLOCK_K = 2 * MOST_CELLS };
enum { FEW_COLUMNS = BLOCK_N / 2 }; /* with fewer at a time, rows are packed too often */
/* The last cells that are turned over are 16, however many are left; rows of cells lie 16 more
 * apart, so that they do not all fall into the same sets of a cache. */
enum { SPILL_B = TILE_LANES * BLOCK_N }; /* what is turned over of the last panel, and more */
enum { ROOM_B = 3 * TILES_CELLS * BLOCK_N + SPILL_B + 3 * PANELS_NEAR * GAP };
enum { ROOM_A = (TILES_CELLS + 2 * TILE_LANES) * GROUP * TILE_ROWS + (GROUP + 1) * GAP };
enum { ROOM_LINES = TILE_LANES * BLOCK_K }; /* 16 lines as they are */
/* What of B is in a room, all k of so many columns: `job` as pool_job says, for in another job
 * something else may lie there. */
typedef struct Kept {
    uint64_t job;
    const GemmJob *product;
    const void *b;
    int64_t column, n;
} Kept;
typedef struct Room { /* a thread's */
    float b[ROOM_B], a[ROOM_A], line[ROOM_LINES];
    int64_t a_k[BLOCK_K], b_k[BLOCK_K];
    int64_t packed[BLOCK_K]; /* where cells of k lie in panels of A */
    Kept kept;
} Room;
_Static_assert(sizeof(Room) <= GEMM_ROOM && sizeof(float) == CELL_BYTES, "room of a thread");

/* How an operand is packed: by what reads numbers of several lines next to each other, what reads
 * those of a line, or the latter once the lines have been gathered. */
typedef enum Way { ALONG, ACROSS, GATHER } Way;
typedef struct Operand {
    const char *at; /* its first number */
    DType type;
    const RtWalk *line, *k;
    Way way;
    int64_t *k_at; /* where each k of the block lies, in elements */
} Operand;

/* Where packed cells go: k leads so many cells on, a line so many, the next part so many. */
typedef struct Cells {
    char *at;
    int64_t k, line, part;
} Cells;

typedef struct Panel { /* of one operand, as a tile reads it */
    int64_t first, lines;
    const void *at;
    int64_t step; /* of B to the next cell of k, of A by rows to the next row */
    int64_t part; /* to the next part of the numbers */
    Cells cells;  /* where it is packed; NULL: it is read in place */
} Panel;

typedef struct Block { /* of a product: part of C, and numbers [from, from + k) of each sum */
    const GemmJob *job;
    Room *room;
    Operand a, b;
    const float *s; /* NULL: starts from nothing */
    float *c;       /* the part's first */
    uint16_t *half; /* the same of bf16, if sums are whole now and go there */
    GemmPart part;
    int64_t from, k, s_row;
    bool a_there, b_there; /* read in place; of B, the panels that are whole */
    bool whole, kept;      /* all k of B go into the room; they are there */
    float *room_b;         /* where this block of it goes */
    Panel *panel_a, *panel_b;
    int panels_a, panels_b;
} Block;

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static const char *number_at(const Operand *o, int64_t line, int64_t k) {
    int64_t at = walk_at(o->line, line) + walk_at(o->k, k);
    return o->at + at * (int64_t)dtype_size(o->type);
}

static int64_t last_stride(const RtWalk *w) {
    return w->at[w->n - 1].stride;
}

/* Where [first, first + n) lie. */
static void walk_all(const RtWalk *w, int64_t first, int64_t n, int64_t *at) {
    for (int64_t i = 0, run; i < n; i += run) {
        run = walk_run(w, first + i, n - i);
        int64_t start = walk_at(w, first + i), stride = last_stride(w);
        for (int64_t l = 0; l < run; l++) at[i + l] = start + l * stride;
    }
}

/* ---- ways */

/* How many lie next to each other; 0: none do. */
static int64_t run_length(const RtWalk *w) {
    if (last_stride(w) != 1) return 0;
    return w->n == 1 ? INT64_MAX : w->at[w->n - 1].size;
}

/* A cell's numbers are to be in one run. */
static Way way_of(const RtWalk *line, const RtWalk *k, int cell) {
    int64_t along = run_length(line), across = run_length(k);
    if (k->n > 1 && across % cell) across = 0;
    if (along && along >= across) return ALONG;
    return across ? ACROSS : GATHER;
}

/* ---- packing */

typedef struct Piece { /* of an operand: up to 16 lines, numbers [k, k + n) of each */
    int64_t first, width, k, n;
} Piece;

static int64_t cells(const Block *b, int64_t k) {
    return (k + b->job->tiles->cell - 1) / b->job->tiles->cell;
}

/* How many times TILES_CELLS a block takes of a line. */
static int deeper(const GemmJob *j) {
    int64_t cells = j->tiles->parts * tiles_cells_at_once(j->tiles, &j->g);
    return (int)((cells + TILES_CELLS - 1) / TILES_CELLS);
}

static int64_t block_of_k(const GemmJob *j) {
    int64_t most = tiles_cells_at_once(j->tiles, &j->g) * j->tiles->cell;
    return gemm_part(j->g.k, most, 2 * TILE_LANES);
}

/* Of the block, with those that are zero. */
static int64_t all_cells(const Block *b) {
    return tiles_cells(b->job->tiles, b->k);
}

/* The same of all parts of a line. */
static int64_t cells_of_parts(const RtTiles *t, int64_t k) {
    return (t->parts - 1) * tiles_part(t, k) + tiles_cells(t, k);
}

/* From number k of the block on. */
static Cells cells_from(const Block *b, const Cells *at, int64_t k) {
    Cells to = *at;
    to.at += cells(b, k) * at->k * CELL_BYTES;
    return to;
}

static int64_t step_of(const Cells *to) {
    return to->k > 1 ? to->k : to->line;
}

static void pack_along(const Block *b, RtPackFn *fn, const Operand *o, const Piece *p,
                       const Cells *to) {
    fn(number_at(o, p->first, 0), o->k_at + p->k - b->from, p->width, p->n, to->at, step_of(to),
       to->part);
}

/* A run of k after the other: what is written beyond its end, the next writes over. */
static void pack_across(const Block *b, RtPackFn *fn, const Operand *o, const Piece *p,
                        const Cells *to) {
    int64_t line[TILE_LANES];
    walk_all(o->line, p->first, p->width, line);
    for (int64_t i = 0, run; i < p->n; i += run) {
        run = walk_run(o->k, p->k + i, p->n - i);
        fn(number_at(o, 0, p->k + i), line, p->width, run, cells_from(b, to, i).at, step_of(to),
           to->part);
    }
}

static void gather(const char *x, DType t, int64_t stride, int64_t n, char *out) {
    if (stride == 1)
        memcpy(out, x, (size_t)n * dtype_size(t));
    else if (t == DT_bf16)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)(void *)out)[i] = ((const uint16_t *)(const void *)x)[i * stride];
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)(void *)out)[i] = ((const float *)(const void *)x)[i * stride];
}

static void pack_gathered(const Block *b, RtPackFn *fn, const Operand *o, const Piece *p,
                          const Cells *to) {
    int64_t at[TILE_LANES], size = (int64_t)dtype_size(o->type);
    char *room = (char *)b->room->line;
    for (int64_t l = 0; l < p->width; l++) {
        at[l] = l * BLOCK_K;
        for (int64_t i = 0, run; i < p->n; i += run) {
            run = walk_run(o->k, p->k + i, p->n - i);
            gather(number_at(o, p->first + l, p->k + i), o->type, last_stride(o->k), run,
                   room + (at[l] + i) * size);
        }
    }
    fn(room, at, p->width, p->n, to->at, step_of(to), to->part);
}

static void pack(const Block *b, const RtPacks packs, const Operand *o, const Piece *p,
                 const Cells *to) {
    RtPackFn *const *fn = packs[o->type == DT_bf16];
    if (o->way == ALONG)
        pack_along(b, fn[PACK_along], o, p, to);
    else if (o->way == ACROSS)
        pack_across(b, fn[PACK_across], o, p, to);
    else
        pack_gathered(b, fn[PACK_across], o, p, to);
}

/* The cells of a panel beyond the last. */
static void zero_tail(const Block *b, const Panel *p) {
    const Cells *at = &p->cells;
    int64_t first = cells(b, b->k), n = all_cells(b) - first;
    for (int part = 0; n && part < b->job->tiles->parts; part++) {
        char *tail = at->at + (part * at->part + first * at->k) * CELL_BYTES;
        if (at->line == 1) memset(tail, 0, (size_t)(n * at->k * CELL_BYTES));
        for (int64_t l = 0; at->k == 1 && l < p->lines; l++)
            memset(tail + l * at->line * CELL_BYTES, 0, (size_t)(n * CELL_BYTES));
    }
}

/* Numbers [k, k + n) of the block. */
static void pack_panel(const Block *b, const RtPacks packs, const Operand *o, const Panel *panel,
                       int64_t k, int64_t n) {
    Cells to = cells_from(b, &panel->cells, k);
    for (int64_t l = 0; l < panel->lines; l += TILE_LANES) {
        Piece p = {panel->first + l, min_i64(TILE_LANES, panel->lines - l), b->from + k, n};
        pack(b, packs, o, &p, &to);
        to.at += TILE_LANES * to.line * CELL_BYTES;
    }
}

static void pack_panels(const Block *b, const RtPacks packs, const Operand *o, const Panel *panel,
                        int n) {
    int64_t most = o->way == ALONG ? FEW_CELLS * b->job->tiles->cell : BLOCK_K;
    for (int64_t k = 0; k < b->k; k += most)
        for (int i = 0; i < n; i++) {
            if (!panel[i].cells.at) continue;
            if (k == 0) zero_tail(b, &panel[i]);
            pack_panel(b, packs, o, &panel[i], k, min_i64(most, b->k - k));
        }
}

/* ---- panels */

/* Lines [first, end) of an operand in at most `panels` panels of at most `most`; returns where they
 * end. */
static int64_t cut(const Operand *o, int64_t first, int64_t end, int64_t most, int panels,
                   Panel *panel, int *n) {
    for (*n = 0; *n < panels && first < end; (*n)++, panel++) {
        int64_t left = min_i64(most, end - first);
        panel->first = first;
        panel->lines = o->way == ALONG ? walk_run(o->line, first, left) : left;
        first += panel->lines;
    }
    return first;
}

/* Do lines lie whole pages apart? Those of a panel then fall into one set of the level-1 cache. */
static bool collides(const Operand *o) {
    return o->way == ACROSS && last_stride(o->line) % PAGE == 0;
}

/* Can tiles read it where it is? Not where each k is a page from the one before: memory comes too
 * late then. */
static bool in_place(const Block *b, const Operand *o) {
    return o->way != GATHER && last_stride(o->k) <= NEAR && o->type == DT_f32 &&
           b->job->tiles->parts == 1 && !b->job->tiles->bf16 && !collides(o);
}

/* The same of A by rows: panels of bf16 that are whole, if all their cells are. */
static bool rows_in_place(const Block *b) {
    const RtTiles *t = b->job->tiles;
    const Operand *a = &b->a;
    return t->parts == 1 && a->way == ACROSS && a->type == DT_bf16 && a->k->n == 1 &&
           a->line->n == 1 && last_stride(a->line) % t->cell == 0 &&
           b->k % ((int64_t)t->k_step * t->cell) == 0;
}

static int64_t vectors_of(const Panel *p) {
    return (p->lines + TILE_LANES - 1) / TILE_LANES;
}

/* Where numbers of the block lie in panel `number` of those of all k. */
static Cells cells_ahead(const Block *b, bool of_b, const void *panels, int64_t number) {
    const RtTiles *t = b->job->tiles;
    int64_t k = b->job->g.k;
    Cells to = {.at = (char *)(uintptr_t)panels + number * tiles_panel(t, of_b, k) * CELL_BYTES,
                .k = tiles_lines(t, of_b),
                .line = 1};
    if (t->by_rows && !of_b) to.k = 1, to.line = tiles_row(t, k);
    to.part = to.k * tiles_part(t, k);
    return cells_from(b, &to, b->from);
}

/* Packed before. */
static void find_panels(const Block *b, bool of_b, const void *panels, Panel *panel, int n) {
    int64_t lines = tiles_lines(b->job->tiles, of_b);
    for (Panel *p = panel; p < panel + n; p++) {
        CHECK(p->first % lines == 0);
        Cells at = cells_ahead(b, of_b, panels, p->first / lines);
        p->at = at.at;
        p->step = step_of(&at), p->part = at.part;
    }
}

static bool panel_in_place(const Block *b, const Panel *a) {
    const RtTiles *t = b->job->tiles;
    return b->a_there && (!t->by_rows || a->lines == t->rows);
}

/* Tiles by rows are told where a panel is, others where each row and each k is. */
static void read_in_place(const Block *b, Panel *a) {
    const RtTiles *t = b->job->tiles;
    a->at = t->by_rows ? number_at(&b->a, a->first, b->from) : b->a.at;
    a->step = last_stride(b->a.line) / t->cell;
    a->cells = (Cells){.at = NULL};
}

static void pack_a(Block *b) {
    const RtTiles *t = b->job->tiles;
    if (b->job->g.a_panels) {
        find_panels(b, false, b->a.at, b->panel_a, b->panels_a);
        return;
    }
    int64_t row = tiles_row(t, b->k), part = tiles_part(t, b->k);
    float *out = b->room->a;
    for (Panel *p = b->panel_a; p < b->panel_a + b->panels_a; p++) {
        p->at = out;
        p->step = row, p->part = part;
        p->cells = (Cells){(char *)out, t->rows, 1, t->rows * part};
        if (t->by_rows) p->cells = (Cells){(char *)out, 1, row, part};
        if (panel_in_place(b, p)) read_in_place(b, p);
        out += (t->by_rows ? TILE_ROWS * row : t->rows * cells_of_parts(t, b->k)) + GAP;
    }
    pack_panels(b, t->pack_a, &b->a, b->panel_a, b->panels_a);
}

static void pack_b(Block *b) {
    const RtTiles *t = b->job->tiles;
    if (b->job->g.b_panels) {
        find_panels(b, true, b->b.at, b->panel_b, b->panels_b);
        return;
    }
    float *out = b->room_b;
    for (Panel *p = b->panel_b; p < b->panel_b + b->panels_b; p++) {
        int64_t width = vectors_of(p) * TILE_LANES;
        bool there = b->b_there && p->lines == width;
        p->at = there ? number_at(&b->b, p->first, b->from) : (char *)out;
        p->step = there ? last_stride(b->b.k) : width;
        p->part = width * tiles_part(t, b->k);
        p->cells = (Cells){there ? NULL : (char *)out, width, 1, p->part};
        out += width * cells_of_parts(t, b->k) + GAP;
    }
    b->room_b = out;
    if (!b->kept) pack_panels(b, t->pack_b, &b->b, b->panel_b, b->panels_b);
}

/* ---- tiles */

/* Do tiles ask memory for the rows of the next panel? */
static bool asks_ahead(const Block *b) {
    const GemmJob *j = b->job;
    return !j->g.a_panels && b->a.way == ACROSS && b->a.line->n == 1;
}

typedef struct Ahead { /* rows that are read next, of which each tile asks memory for some bytes */
    const char *at;
    int64_t row, tiles; /* bytes to the next, and how many tiles it takes to ask for all */
} Ahead;

/* The rows after those of panel `a`. */
static Ahead rows_after(const Block *b, const Panel *a) {
    int64_t size = (int64_t)dtype_size(b->a.type), next = a->first + a->lines;
    bool none = next == b->part.row + b->part.m || b->a.k->n > 1 || !asks_ahead(b);
    if (none) return (Ahead){.at = a->at};
    return (Ahead){number_at(&b->a, next, b->from), last_stride(b->a.line) * size,
                   (b->k * size + BYTES_ASKED - 1) / BYTES_ASKED};
}

static void row_of_tiles(const Block *b, const Panel *a, int first, int end) {
    const RtTiles *t = b->job->tiles;
    int64_t row = b->job->g.cm, i = a->first - b->part.row;
    int64_t a_row[TILE_ROWS];
    for (int64_t r = 0; r < a->lines; r++) a_row[r] = r;
    if (b->a_there) walk_all(b->a.line, a->first, a->lines, a_row);
    Ahead ahead = rows_after(b, a);
    RtTile tile = {.a = a->at,
                   .a_row = a_row,
                   .a_at = b->a_there ? b->a.k_at : b->room->packed,
                   .a_step = a->step,
                   .a_part = a->part,
                   .k = all_cells(b),
                   .rows = a->lines,
                   .c_row = row,
                   .s_row = b->s_row};
    for (int p = first; p < end; p++) {
        const Panel *columns = &b->panel_b[p];
        int64_t l = columns->first - b->part.column;
        bool asks = p - first < ahead.tiles;
        tile.b = columns->at, tile.b_step = columns->step, tile.b_part = columns->part;
        tile.cols = columns->lines;
        tile.c = b->c ? b->c + i * row + l : NULL;
        tile.half = b->half ? b->half + i * row + l : NULL;
        tile.s = b->s ? b->s + i * b->s_row + l : NULL;
        tile.next = asks ? ahead.at + (p - first) * BYTES_ASKED : a->at;
        tile.next_row = asks ? ahead.row : 0;
        t->tile[vectors_of(columns) - 1][a->lines - 1](&tile);
    }
}

/* Along lines, each k of a panel lies elsewhere, which pays only for few columns. */
static bool a_in_place(const Block *b) {
    if (b->job->g.a_panels) return false;
    if (b->job->tiles->by_rows) return rows_in_place(b);
    return in_place(b, &b->a) && (b->a.way == ACROSS || b->panels_b <= FEW_PANELS);
}

/* Of B, as many as stay in a cache while a group of A goes by. */
static int panels_near(const GemmJob *j) {
    return PANELS_NEAR / j->tiles->vectors / deeper(j);
}

/* Panels of A that are packed together: where memory has been asked for what one needs, only that,
 * and then it is in the level-1 cache; several where columns come in several turns. */
static int group_of(const Block *b, int near) {
    return asks_ahead(b) && b->panels_b <= near ? 1 : GROUP / deeper(b->job);
}

/* All rows by panels [first, end) of B. */
static void rows_of_tiles(Block *b, int first, int end) {
    int64_t row = b->part.row, last = row + b->part.m;
    int near = panels_near(b->job), group = group_of(b, near);
    while (row < last) {
        row = cut(&b->a, row, last, b->job->tiles->rows, group, b->panel_a, &b->panels_a);
        pack_a(b);
        for (int p = first; p < end; p += near)
            for (int i = 0; i < b->panels_a; i++)
                row_of_tiles(b, &b->panel_a[i], p, (int)min_i64(p + near, end));
    }
}

/* Rows that need no packing pass by for every part of B that a cache holds; others are packed once
 * and meet all of it. */
static void block_run(Block *b) {
    walk_all(b->a.k, b->from, b->k, b->a.k_at);
    walk_all(b->b.k, b->from, b->k, b->b.k_at);
    b->a_there = a_in_place(b);
    pack_b(b);
    bool packs = !b->a_there && !b->job->g.a_panels;
    int part = packs ? b->panels_b : panels_near(b->job);
    for (int first = 0; first < b->panels_b; first += part)
        rows_of_tiles(b, first, (int)min_i64(first + part, b->panels_b));
}

static Operand operand_a(const GemmJob *j, const void *at, Room *room) {
    const RtGemm *g = &j->g;
    Way way = g->a_panels ? ACROSS : way_of(&g->am, &g->ak, j->tiles->cell);
    return (Operand){at, g->a, &g->am, &g->ak, way, room->a_k};
}

static Operand operand_b(const GemmJob *j, const void *at, Room *room) {
    const RtGemm *g = &j->g;
    Way way = g->b_panels ? ACROSS : way_of(&g->bn, &g->bk, j->tiles->cell);
    return (Operand){at, g->b, &g->bn, &g->bk, way, room->b_k};
}

/* Of one operand, panels [first, first + n), a block of k after the other. */
static void pack_ahead(const PackJob *j, int64_t first, int n) {
    const GemmJob *of = j->product;
    const RtPacks *packs = j->b ? &of->tiles->pack_b : &of->tiles->pack_a;
    int64_t lines = tiles_lines(of->tiles, j->b), end = j->b ? of->g.n : of->g.m;
    int64_t block_k = block_of_k(of);
    Panel panel[AHEAD];
    Block b = {.job = of, .room = (Room *)(void *)pool_room()};
    Operand o = (j->b ? operand_b : operand_a)(of, j->from, b.room);
    for (; b.from < of->g.k; b.from += block_k) {
        b.k = min_i64(block_k, of->g.k - b.from);
        walk_all(o.k, b.from, b.k, o.k_at);
        for (int i = 0; i < n; i++) {
            int64_t at = (first + i) * lines;
            panel[i] = (Panel){.first = at, .lines = min_i64(lines, end - at)};
            panel[i].cells = cells_ahead(&b, j->b, j->panels, first + i);
        }
        pack_panels(&b, *packs, &o, panel, n);
    }
}

void pack_tasks(const PackJob *j, int64_t first, int64_t last) {
    int64_t end = min_i64(last * j->part, j->count);
    for (int64_t i = first * j->part; i < end; i += AHEAD)
        pack_ahead(j, i, (int)min_i64(AHEAD, end - i));
}

/* What a panel of B takes of a room, all k. */
static int64_t panel_room(const GemmJob *j) {
    int64_t room = 0, block_k = block_of_k(j);
    for (int64_t k = 0; k < j->g.k; k += block_k) {
        int64_t deep = cells_of_parts(j->tiles, min_i64(block_k, j->g.k - k));
        room += tiles_lines(j->tiles, true) * deep + GAP;
    }
    return room;
}

/* Of B, as many as are packed at a time, or all that may be if it is packed ahead. AMX is so fast
 * that B is to come from the level-2 cache each time. */
static int64_t panels_at_once(const GemmJob *j, bool *whole) {
    int64_t all = PANELS_B / j->tiles->vectors, most = j->tiles->by_rows ? panels_near(j) : all;
    int64_t fit = most, room = panel_room(j);
    *whole = false;
    if (j->g.b_panels) return all;
    if (room) fit = (ROOM_B - SPILL_B) / room;
    *whole = fit * tiles_lines(j->tiles, true) >= min_i64(FEW_COLUMNS, j->g.n);
    return *whole ? min_i64(fit, most) : panels_near(j);
}

int64_t packed_columns(const GemmJob *j, bool *stay) {
    int64_t columns = panels_at_once(j, stay) * tiles_lines(j->tiles, true);
    for (int i = 0; i < j->g.nloop; i++) /* each turn has another B */
        if (j->g.loop[i].c == 0 && j->g.loop[i].b != 0) *stay = false;
    return columns;
}

/* Is it, for the few rows that meet it: the task's, or, where it would stay, all? Not where more
 * than one panel of them would each read it from memory, in strips that come one by one. */
static bool b_in_place(const Block *b) {
    const GemmJob *j = b->job;
    int64_t rows = b->whole ? j->g.m : b->part.m, numbers = j->g.k * j->g.n;
    int few = numbers <= FEW_NUMBERS ? FEW_PANELS : 1;
    return !j->g.b_panels && b->b.way == ALONG && b->b.k->n == 1 && in_place(b, &b->b) &&
           rows <= few * j->tiles->rows;
}

static bool is_kept(const Kept *a, const Kept *b) {
    return a->job == b->job && a->product == b->product && a->b == b->b && a->column == b->column &&
           a->n == b->n;
}

/* A block of k after the other; `l`: where the columns lie in the part. */
static void product_of_columns(Block *x, const GemmStart *to, int64_t l) {
    const RtGemm *g = &x->job->g;
    int64_t block_k = block_of_k(x->job);
    x->room_b = x->room->b;
    x->c = to->c ? to->c + l : NULL;
    for (int64_t k = 0; k < g->k || k == 0; k += x->k + !x->k) {
        if (!x->whole) x->room_b = x->room->b;
        x->from = k;
        x->k = min_i64(block_k, g->k - k);
        x->s = k ? x->c : to->s ? to->s + l : NULL;
        x->s_row = k ? g->cm : to->s_row;
        x->half = to->half && k + x->k == g->k ? to->half + l : NULL;
        block_run(x);
    }
}

void packed_product(const GemmJob *j, const void *a, const void *b, const GemmStart *to,
                    const GemmPart *part) {
    const RtTiles *t = j->tiles;
    int64_t end = part->column + part->n;
    Panel panel_a[GROUP], panel_b[PANELS_B];
    Block x = {.job = j,
               .room = (Room *)(void *)pool_room(),
               .panel_a = panel_a,
               .panel_b = panel_b,
               .part = *part};
    x.a = operand_a(j, a, x.room);
    x.b = operand_b(j, b, x.room);
    int panels = (int)panels_at_once(j, &x.whole);
    x.b_there = b_in_place(&x);
    for (int64_t i = 0, n = block_of_k(j); i < n; i++) x.room->packed[i] = i * t->rows;
    if (t->begin) t->begin();
    for (int64_t l = part->column, next; l < end; l = next) {
        next = cut(&x.b, l, end, t->vectors * TILE_LANES, panels, panel_b, &x.panels_b);
        Kept kept = {pool_job(), j, b, l, next - l};
        x.part.column = l, x.part.n = next - l;
        x.kept = is_kept(&x.room->kept, &kept);
        product_of_columns(&x, to, l - part->column);
        x.room->kept = x.whole && !x.b_there ? kept : (Kept){.job = 0};
    }
    if (t->end) t->end();
}
