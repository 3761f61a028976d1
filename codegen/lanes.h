/* Inside the loops of a kernel: the vectors of its instructions at the point where code is being
 * written.
 *
 * Every instruction belongs to the outermost loop it varies with: the call, the row, the strip of
 * columns, one step of the reduced axes, or the innermost body; it is computed there once. */
#ifndef UPT_LANES_H
#define UPT_LANES_H

#include "codegen/emit.h"
#include "codegen/kernel.h"
#include "codegen/random.h"

enum { UNROLL = 4, KEEP_SLOTS = 2 };
/* Kept rows that are abreast lie not quite a page apart: stores would be taken for each other's. */
enum { KEPT_APART = SHORT_ROW + UNROLL * LANES, KEPT_MOST = ABREAST * KEPT_APART };
typedef enum Level { IN_CALL, IN_ROW, IN_STRIP, IN_STEP, IN_BODY } Level;
typedef struct Lanes {
    Value u[UNROLL]; /* one for each of the unrolled vectors; u[0] alone where nothing varies along
                        the inner axis */
} Lanes;

typedef struct Loops {
    Emit *e;
    const Kernel *k;
    Value *size, *buf, clock;
    RandomSource *random; /* by instruction */
    Lanes *reg;           /* by instruction: its value at this point */
    Lanes *acc,
        *place; /* by reducing instruction: accumulators, and for argmax the index of the best */
    Value *at;  /* by access: index of its element at this point, without the inner axis */
    Value axis[RANK];           /* current index of reduced outer axes */
    Value column, mask[UNROLL]; /* of this strip; masks are NULL in a whole one */
    Value panel;                /* first column of the panel */
    Value abreast;              /* number of the row among those abreast; NULL: it is alone */
    Value *result;              /* by reducing instruction: those of the rows abreast */
    bool *need;                 /* by instruction: in the body of this stage */
    int *slot;                  /* by instruction: row of `keep` that holds it, -1: none, */
    int *saved;                 /* and the stage that computes it */
    Value keep[KEEP_SLOTS];
} Loops;

static inline const Instr *instr_at(const Loops *l, size_t i) {
    return &l->k->instr.at[i];
}
static inline const Access *access_at(const Loops *l, int i) {
    return &l->k->access.at[i];
}
static inline int inner_axis(const Loops *l) {
    return l->k->naxis - 1;
}
static inline int width(const Loops *l) {
    return LANES * l->k->unroll;
}
Level level_of(const Kernel *k, const Instr *i);

/* ---- lanes.c */
Value value_of(const Loops *l, int instr, int u);
void store_value(Loops *l, const Store *s); /* all its vectors */
void emit_instr(Loops *l, size_t n);
void load_random(Loops *l);
/* Whether a value of the innermost body is read back in `stage` rather than computed again. */
bool is_kept(const Loops *l, size_t n, int stage);
void load_kept(Loops *l, size_t n);
void save_kept(Loops *l, size_t n); /* to its slot, where it has one */

/* ---- reduce.c */
void make_accumulators(Loops *l);
void start_reductions(Loops *l, int stage);
void accumulate_all(Loops *l, int stage);
void finish_reductions(Loops *l, int stage);
/* Of rows abreast: keeps what the stage has reduced for this row, and finds it again. */
void save_reductions(Loops *l, int stage);
void load_reductions(Loops *l, int stage);

#endif
