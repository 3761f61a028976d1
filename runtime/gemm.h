/* Matrix products as tasks, prepared once when a plan is bound. */
#ifndef UPT_GEMM_H
#define UPT_GEMM_H

#include "runtime/runtime.h"

typedef struct GemmOperand { /* as BLAS takes it; ld 0: it cannot */
    bool trans;
    int64_t ld;
} GemmOperand;

/* What a thread needs to make tiles in: see pool_rooms. */
enum { GEMM_ROOM = 4 << 20 };

typedef struct GemmJob {
    RtGemm g; /* with rows of C at unit stride */
    const RtTiles *tiles;
    const void *a, *b; /* of the types that g says */
    const float *s;
    float *c;       /* f32, or the sums of one that is bf16: NULL where they never are in memory */
    uint16_t *half; /* bf16; NULL: C is f32 */
    GemmOperand oa, ob;
    int64_t tile_m, tile_n, ntile_m, ntile_n;
    bool packed, blas, vector; /* packed: made of `tiles`; vector: m is 1, and B is read once */
    int64_t tasks;
    double cost; /* of all tasks, as the bytes that a kernel reads or writes in that time */
} GemmJob;

void gemm_init(void); /* once, before any other use of BLAS by the process */
/* Where operands lie. s NULL: nothing is added. sums: see tiles_keep_sums. */
typedef struct GemmData {
    const void *a, *b;
    const float *s;
    void *c;
    float *sums;
} GemmData;
/* tiles NULL: BLAS makes them. */
GemmJob gemm_job(const RtGemm *g, const RtTiles *tiles, int threads, const GemmData *d);
void gemm_tasks(const GemmJob *j, int64_t first, int64_t last);

/* Lays an operand of a product out in panels. */
typedef struct PackJob {
    const GemmJob *product; /* whose operands are not looked at */
    bool b;                 /* that operand; false: A */
    const void *from;
    void *panels;
    int64_t count, part; /* of panels, and of those a task's */
    int64_t tasks;
} PackJob;
PackJob pack_job(const GemmJob *product, bool b, int threads, const void *from, void *panels);
void gemm_run(Pool *p, const RtGemm *g, const RtTiles *tiles, const GemmData *d); /* at once */

/* ---- inside */
/* Equal parts of at most `most`, multiples of `step`. */
static inline int64_t gemm_part(int64_t size, int64_t most, int64_t step) {
    int64_t parts = (size + most - 1) / most;
    int64_t each = parts ? (size + parts - 1) / parts : step;
    return (each + step - 1) / step * step;
}

/* Elements from the first to the one at index i. */
static inline int64_t walk_at(const RtWalk *w, int64_t i) {
    int64_t at = 0;
    for (int d = w->n - 1; d > 0; i /= w->at[d--].size) at += i % w->at[d].size * w->at[d].stride;
    return at + i * w->at[0].stride;
}
/* So many indices from i on lie evenly, the last stride apart. */
static inline int64_t walk_run(const RtWalk *w, int64_t i, int64_t most) {
    if (w->n == 1) return most;
    int64_t size = w->at[w->n - 1].size, run = size - i % size;
    return run < most ? run : most;
}

typedef struct GemmStart { /* C, and what it starts from: NULL for nothing */
    float *c;
    const float *s;
    int64_t s_row;
    uint16_t *half; /* where C goes when sums are whole; NULL: it is f32 */
} GemmStart;
typedef struct GemmPart { /* of C: m by n from there on */
    int64_t row, column, m, n;
} GemmPart;
/* packed.c. */
void pack_tasks(const PackJob *j, int64_t first, int64_t last);
/* Of B, so many columns are packed at a time; do they stay for a thread's next task that has the
 * same? */
int64_t packed_columns(const GemmJob *j, bool *stay);
/* C = A B or S + A B, where the rows of C and S have unit stride; `to` is where the part
 * lies, a and b all of the operands. */
void packed_product(const GemmJob *j, const void *a, const void *b, const GemmStart *to,
                    const GemmPart *part);

#endif
