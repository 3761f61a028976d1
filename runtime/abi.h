/* The contract between compiled code and the runtime, and all that codegen/ and cli/ see of plans.
 * A plan is arrays: every buffer, kernel call and product is fixed before anything runs, so a step
 * allocates nothing, and gives the same bits whatever the number of threads. */
#ifndef UPT_ABI_H
#define UPT_ABI_H

#include "base/base.h"
#include "base/spec.h"

enum { ABI_VERSION = 7 };

/* What changes from step to step; kernels read it through their call. */
typedef struct RtClock {
    uint64_t seed, step; /* step: done before this one; in eval the batch's number */
    float stepf, stepsf; /* the same as f32, and steps of the whole run */
    int64_t live;        /* real rows of the batch */
    int64_t piece;       /* of the batch, where it is computed in pieces */
} RtClock;

/* A kernel that finds a bad index (take, put) stores here, once, and goes on with row 0. */
typedef struct RtFault {
    _Atomic int32_t set; /* 0: none; else 1 + the call's number in the plan */
    int64_t index, limit;
} RtFault;

/* One call of a kernel: buffers (inputs, then outputs, then scratch), sizes and strides, and
 * constants (places, f32 bits), in the order that code generation chose for that structure. */
typedef struct RtCall {
    char *const *buf;
    const int64_t *size;
    const uint64_t *word;
    const RtClock *clock;
    RtFault *fault;
    int32_t number;
} RtCall;
/* Does tasks [first, last) of the call. Tasks are independent; their number and extent depend on
 * sizes alone. */
typedef void RtKernel(const RtCall *call, int64_t first, int64_t last);

/* How an index leads through memory: its digits in mixed radix, outermost first, each have a stride
 * in elements. The outermost has no bound, and its size is not looked at. */
enum { WALK_DIGITS = 4 };
typedef struct RtWalk {
    int n;
    struct {
        int64_t size, stride;
    } at[WALK_DIGITS];
} RtWalk;
static inline RtWalk walk_plain(int64_t stride) {
    return (RtWalk){.n = 1, .at = {{0, stride}}};
}

/* A matrix product over strided operands, C = A B or C = S + A B, summed in f32, strides in
 * elements. A's rows and columns and B's are walks, so that either may be a matrix that lies
 * nowhere as such, as the windows of a convolution. A and B may be bf16 where RtStep.tiles make it,
 * and C where tiles of bf16 do. S is f32, and may lie where C does, with its strides. RtStep.tiles
 * make any product of which C has unit stride along one dimension, as code generation arranges, but
 * for a row times a matrix, which is BLAS's. `loop` are the dimensions beyond the matrix, walked
 * outermost; one that C lacks (its stride there is 0) adds into C: it is contracted. An operand may
 * be the panels that a step RT_PACK has made of it before, in a product without loops whose C has
 * rows of unit stride. */
enum { GEMM_LOOPS = 6 };
typedef struct RtGemm {
    int64_t m, n, k;
    RtWalk am, ak, bk, bn;
    int64_t cm, cn, sm, sn; /* element strides */
    DType a, b, c;          /* f32 or bf16 */
    bool a_panels, b_panels;
    int nloop;
    struct {
        int64_t size, a, b, c, s;
    } loop[GEMM_LOOPS];
} RtGemm;

/* Pieces of products made for the processor (codegen/tiles.c, amx.c): micro-kernels that hold up to
 * `rows` rows by 16 `vectors` columns of C in registers, and what lays their operands out for them,
 * in cells of four bytes: a float, or the bf16 of two k, where sums take both at once. Where no
 * instruction does so faster than two multiply-adds, a float that is rounded to bf16.
 *
 * tile[v][r] makes r + 1 rows of v + 1 vectors. Each sum is made in the order of k, whichever tile
 * makes it. */
enum { TILE_LANES = 16, TILE_ROWS = 32, TILE_VECTORS = 2 };
typedef struct RtTile {          /* C = A B, or S + A B where S is not NULL; S may be C */
    const void *a, *b;           /* B: at each cell of k its vectors, side by side */
    const int64_t *a_row, *a_at; /* cells from a to a row, and on to a cell of k; by rows unused */
    int64_t a_step, b_step; /* so many cells from one cell of k to the next, of A by rows to the
                             * next row */
    int64_t a_part, b_part; /* and so many from a part of its numbers to the next part */
    int64_t k, cols, rows;  /* cells; the first `cols` columns are written */
    float *c;
    const float *s;
    int64_t c_row, s_row;
    uint16_t *half;   /* not NULL: C is this, of bf16, with rows as far apart */
    const char *next; /* what to ask memory for: 128 bytes a row, and rows so many bytes apart */
    int64_t next_row;
} RtTile;
typedef void RtTileFn(const RtTile *t);
/* `width` (1 to 16) lines of k numbers each go to cell[k * step + line], or cell[line * step + k]
 * by rows, and `part` cells from there their next part; what is written may go as far as the 16th
 * line and the next 16 cells, which is why panels are laid out in order. Along: lines lie next to
 * each other, those of each k from x + at[k] on; across: a line's numbers do, from x + at[line] on.
 */
typedef void RtPackFn(const void *x, const int64_t *at, int64_t width, int64_t k, void *cell,
                      int64_t step, int64_t part);
enum { PACK_along, PACK_across, PACKS };
typedef RtPackFn *RtPacks[2][PACKS]; /* of f32, of bf16 */
typedef void RtTilesFn(void);
typedef struct RtTiles {
    int rows, vectors; /* of the largest */
    bool bf16;         /* operands are rounded to bf16, which those in memory and C may be */
    int cell;          /* numbers in a cell: 1 of f32, or 2 of bf16 */
    int parts;         /* of a number: 3 where f32 is the sum of three of bf16 */
    int k_step;        /* cells of k come in so many; those beyond the last are zero */
    bool by_rows;      /* a panel of A is rows of cells */
    RtTileFn *tile[TILE_VECTORS][TILE_ROWS];
    RtTilesFn *begin, *end; /* what a thread does before and after tiles; NULL: nothing */
    RtPacks pack_a, pack_b;
} RtTiles;

/* What products are made of: f32; f32 whose packed cells hold it as the sum of three bf16, where
 * the processor has AMX, else as f32 is; bf16. */
typedef enum TileKind { TILE_f32, TILE_parts, TILE_bf16, TILE_KINDS } TileKind;
/* Of f32, a product in parts takes six of bf16, which AMX makes in less time than one of f32 takes,
 * but packing its operands takes longer: sums have to be long, and each number in many. */
enum { TILES_TERMS = 6, PARTS_USES = 96, PARTS_SUMS = 64 };
static inline const RtTiles *tiles_of_f32(const RtTiles *kind, const RtGemm *g) {
    double uses = (double)g->m * (double)g->n / (double)(g->m + g->n);
    bool parts = kind[TILE_parts].parts > 1 && g->k >= PARTS_SUMS && uses >= PARTS_USES;
    return &kind[parts ? TILE_parts : TILE_f32];
}

/* So many cells of k are summed at once. Twice as many, so that sums go to memory less often, if
 * that is all of them and C is bf16, or where tiles by rows read rows of A where they lie.
 * Half as many of parts, of which each takes three: a panel of A is to find room in the level-1
 * cache. */
enum { TILES_CELLS = 256 };
static inline int64_t tiles_cells_at_once(const RtTiles *t, const RtGemm *g) {
    if (t->parts > 1) return TILES_CELLS / 2;
    int64_t all = (g->k + t->cell - 1) / t->cell;
    bool lie = t->by_rows && g->a == DT_bf16 && g->ak.n == 1 && g->ak.at[0].stride == 1;
    bool deep = lie || (g->c == DT_bf16 && all <= 2 * TILES_CELLS);
    return deep && all > TILES_CELLS ? 2 * TILES_CELLS : TILES_CELLS;
}
/* Do sums lie in memory before they are all of a C that is bf16? They do so in a buffer of f32, as
 * C does in its: where k goes in several blocks, and where C starts from an S that tiles cannot
 * read.
 */
static inline bool tiles_keep_sums(const RtTiles *t, const RtGemm *g, bool starts) {
    bool keep = g->k > tiles_cells_at_once(t, g) * t->cell;
    for (int i = 0; i < g->nloop; i++) keep |= g->loop[i].c == 0 && g->loop[i].size > 1;
    keep |= starts && (g->cn == 1 || g->n == 1 ? g->sn : g->sm) != 1;
    return g->c == DT_bf16 && keep;
}

/* An operand as panels of all its k, one after the other: of B as many columns as the largest tile
 * has, the cells of a k side by side; of A as many rows, or by rows TILE_ROWS. Packing may write
 * TILE_LANES cells of k and TILE_LANES more beyond a panel's last. */
static inline int64_t tiles_cells(const RtTiles *t, int64_t k) {
    int64_t cells = (k + t->cell - 1) / t->cell;
    return (cells + t->k_step - 1) / t->k_step * t->k_step;
}
static inline int64_t tiles_lines(const RtTiles *t, bool b) { /* of a panel */
    return b ? t->vectors * TILE_LANES : t->rows;
}
static inline int64_t tiles_panels(const RtTiles *t, bool b, int64_t lines) {
    return (lines + tiles_lines(t, b) - 1) / tiles_lines(t, b);
}
/* Cells of k from a part of numbers to the next. */
static inline int64_t tiles_part(const RtTiles *t, int64_t k) {
    return tiles_cells(t, k) + TILE_LANES;
}
static inline int64_t tiles_row(const RtTiles *t, int64_t k) { /* of A by rows, cells */
    return t->parts * tiles_part(t, k);
}
static inline int64_t tiles_panel(const RtTiles *t, bool b, int64_t k) { /* cells to the next */
    int64_t lines = t->by_rows && !b ? TILE_ROWS : tiles_lines(t, b);
    return lines * tiles_row(t, k) + TILE_LANES;
}

/* Loops that show what the processor can do (codegen/probe.c), over vectors [first, last) of 16
 * floats; buf: c, a, b, each aligned to a vector. */
typedef enum RtProbe {
    RT_PROBE_fma,  /* a multiply-add each, in registers; 12 vectors at c are written, 2 at a read */
    RT_PROBE_copy, /* c = a */
    RT_PROBE_copy_streaming, /* its stores go past the caches */
    RT_PROBE_triad,          /* c = a + 3 b */
    RT_PROBE_triad_streaming,
    RT_PROBE_dot_bf16, /* as fma, two multiply-adds of bf16 for each of the 16; 64 at a are read */
    RT_PROBES
} RtProbe;
typedef void RtProbeFn(float *const *buf, int64_t first, int64_t last);

/* Which part of a training step; other: reports, and states that no minimize changes. In a plan
 * without a loss everything is. */
typedef enum RtPhase {
    RT_PHASE_other,
    RT_PHASE_forward,
    RT_PHASE_backward,
    RT_PHASE_update,
    RT_PHASES
} RtPhase;
typedef struct RtLine { /* a line of source, and what share of a step is its own */
    Span at;
    double share;
    RtPhase phase;
} RtLine;

typedef enum RtStepKind { RT_KERNEL, RT_GEMM, RT_COPY, RT_PACK } RtStepKind;
typedef struct RtBuffer { /* where a value lies */
    enum { RT_ARENA, RT_TENSOR, RT_FIELD } where;
    int32_t index;         /* RT_TENSOR: tensor; RT_FIELD: field of the batch */
    int64_t offset, bytes; /* offset: in the arena, or from where the tensor or field begins */
} RtBuffer;
/* From one piece of the batch to the next RtStep.size[at] grows by `by`: where an index or a random
 * number counts on. */
typedef struct RtShift {
    int at;
    int64_t by;
} RtShift;
typedef struct RtStep {
    RtStepKind kind;
    RtKernel *kernel;     /* RT_KERNEL */
    RtGemm gemm;          /* RT_GEMM: buffers A, B, C or A, B, S, C; see sums. RT_COPY: 0 to 1 */
    const RtTiles *tiles; /* of it; NULL: BLAS makes it */
    bool packs_b;         /* RT_PACK: of the product that is in gemm, B (else A), 0 to 1 */
    bool sums;            /* RT_GEMM: one buffer more, as tiles_keep_sums says */
    int32_t *buf;         /* indices in RtPlan.buffer */
    int nbuf, nread;      /* the first nread are only read, the others written */
    int64_t *size;
    int nsize;
    RtShift *shift; /* nshift of them */
    int nshift;
    uint64_t *word;
    int nword;
    int64_t tasks;
    double cost; /* estimated bytes + operations of a task, to decide whether waking threads pays */
    const char *label; /* "take from 'embed.weight'": for faults */
    Span span;
    /* for profiles: what moves if every operand moves once, arithmetic, and what it is for */
    double bytes, operations;
    const char *name;   /* "softmax + dropout": in the gradient of it, too */
    const RtLine *line; /* the largest share first */
    int nline;
    RtPhase phase;
    int32_t node; /* of its graph; -1: a copy of state when all is done */
} RtStep;
/* As OutKind and TensorKind of ir.h, which the runtime does not see; codegen holds them equal. */
enum { RT_OUT_value, RT_OUT_loss = 2, RT_OUT_report, RT_OUT_text, RT_OUT_watch, RT_OUT_image };
enum {
    RT_TENSOR_param,
    RT_TENSOR_state,
    RT_TENSOR_optim,
    RT_TENSOR_acc,
    RT_TENSOR_cache,
    RT_TENSOR_bank,
    RT_TENSOR_scale
};
typedef struct RtOutput {
    int kind; /* RT_OUT_* */
    const char *name;
    int index; /* text: tokenizer */
    int32_t buffer;
    DType dtype;
    int64_t count; /* elements; text: the last axis is `width` */
    int64_t width;
    int rank;
    int64_t dim[RANK];
    Span span;
} RtOutput;
typedef struct RtPlan {
    const char *name;
    RtBuffer *buffer;
    int nbuffer;
    RtStep *step;
    int nstep;
    RtOutput *out;
    int nout;
    int64_t arena_bytes;
    int64_t pieces; /* of the batch, one a run of the plan; 0 or 1: it is taken whole */
    /* Where a value of the graph is found once its node has run: first[node] + result is its place
     * in `value`, which has its buffer; -1: it has none of its own. */
    const int *first;
    const int32_t *value;
} RtPlan;

enum { RT_KEPT_as_is, RT_KEPT_rows, RT_KEPT_turned }; /* as Kept of ir.h */
typedef struct RtTensor {
    const char *name; /* path, also in checkpoints */
    int kind;         /* RT_TENSOR_*; acc: sums of an eval; never saved, as cache and bank */
    DType dtype;
    int rank;
    int64_t dim[RANK];
    int64_t bytes;
    int like;    /* index or -1 */
    int kept;    /* RT_KEPT_* */
    double fill; /* acc */
} RtTensor;
enum { RT_PLANS = 5 };
/* As EntryKind of ir.h. */
enum {
    RT_ENTRY_train,
    RT_ENTRY_eval,
    RT_ENTRY_sample,
    RT_ENTRY_generate,
    RT_ENTRY_predict,
    RT_ENTRY_features
};
typedef struct RtEntry {
    int kind; /* RT_ENTRY_* */
    const char *name;
    int data; /* in Spec.data, -1: none */
    int64_t batch, steps, epochs;
    uint64_t graph;     /* hash of what a step computes */
    const Field *field; /* the batch's fields, in the order of RT_FIELD indices; dims with the batch
                           in front are [batch, dim...] */
    int nfield;
    /* train: quiet and logged. eval: accumulate, and report, and `ahead` once before. A batch in
     * pieces goes through `ahead` (or NULL), then through piece or piece_logged, then comes step or
     * logged once. */
    union {
        struct {
            RtPlan *step, *logged, *ahead, *piece, *piece_logged;
        };
        RtPlan *plan[RT_PLANS];
    };
    int *acc; /* the accumulators and caches that its plans change, nacc of them */
    int nacc;
} RtEntry;
typedef struct RtProgram {
    const char *name; /* of the run: the .upm's base name */
    Spec spec;
    RtTensor *tensor;
    int ntensor;
    RtPlan *init; /* counts on tensors that are zero */
    RtEntry *entry;
    int nentry;
} RtProgram;

#endif
