/* A group as loops: what is compiled (the structure, named by its key) and what one call of it is
 * given (sizes, strides, constants). Two groups with equal keys share one function.
 *
 * The domain's axes are collapsed: size 1 is dropped, neighbours that every operand walks evenly
 * become one. The last axis is the inner one and runs along vectors. The others are outer: kept
 * ones make rows, reduced ones are looped over.
 *
 * - rows (inner axis reduced): for each row, or each few short ones: for each stage: reduced axes,
 *   inner axis
 * - columns (inner axis kept): for each row, for each strip of columns: for each stage: reduced
 *   axes
 * - panels (the same, one stage): for each row, for each panel of columns: reduced axes, strips of
 *   the panel
 *
 * A stage ends where its reductions are complete; values that vary along reduced axes are computed
 * anew in each stage. */
#ifndef UPT_KERNEL_H
#define UPT_KERNEL_H

#include "ir/ir.h"
#include "passes/view.h"
#include "runtime/abi.h"

enum { BY_KEPT = 1, BY_REDUCED = 2, BY_INNER = 4 }; /* which loops a value varies with */
typedef enum Mode { MODE_rows, MODE_columns, MODE_panels } Mode;
enum { PANEL = 1024 };    /* columns whose accumulators lie together */
enum { KEEP_ROW = 4096 }; /* longest row of which costly values are kept between stages */
enum { LONG_ROW = 128 };  /* from which on inverting what all of it is divided by pays */
/* Rows that go through a stage together, and how long they may be. */
enum { ABREAST = 4, SHORT_ROW = KEEP_ROW / ABREAST };
typedef enum Walk { WALK_zero, WALK_one, WALK_any } Walk; /* stride along the inner axis */

/* Places in memory, or numbers in an index space, along the axes. */
typedef struct Access {
    int buf; /* -1: indices */
    DType dtype;
    int64_t offset, stride[RANK];
    Walk walk;
    bool aligned;  /* indices: rows start at multiples of 64 */
    /* indices: how far the numbers are on in the next piece of the batch, and in the next turn of so
     * many loops around, from the inner one out */
    int64_t piece, turn[MAX_NESTING];
    int loops;
} Access;
typedef struct Instr {
    Op op;             /* OP_arg is a load; the rest as in the table */
    DType dtype, from; /* of the result, of the first input */
    int nin, in[3];
    int access; /* of loads and index spaces; else -1 */
    int word;   /* first constant of const and the random operators; else -1 */
    int stage;  /* reductions that must be complete before it */
    unsigned by;
    bool reduces; /* a reduction along at least one axis */
} Instr;
typedef struct Store {
    int instr, access;
    bool in_loop; /* along reduced axes too: written during its stage, else after the last */
} Store;

typedef struct Kernel {
    Arena *arena;
    int naxis; /* at least 1 */
    int64_t size[RANK];
    bool reduced[RANK];
    VEC(Instr) instr;
    VEC(Access) access;
    VEC(Store) store;
    VEC(uint64_t) word;
    int nbuf, stages, unroll; /* unroll: vectors side by side */
    Mode mode;
    bool keep;    /* rows fit KEEP_ROW */
    bool abreast; /* rows fit SHORT_ROW, and ABREAST of them go through a stage before the next */
    bool inverts; /* rows are of LONG_ROW or more, and some are divided by one number */
    Buf key;      /* kernel_free */
} Kernel;

/* The kernel of a body; its buffers are the arguments, then the outputs. NULL: not a body that
 * loops can express. */
Kernel *kernel_of_body(Arena *a, const Graph *body, int nargs, Err *e);
/* A copy (or with src NULL a fill with zeros) of buffer 0 into buffer 1, both strided; a fill has
 * buffer 0 alone. */
Kernel *kernel_of_copy(Arena *a, DType t, const View *src, const View *dst);
void kernel_free(Kernel *k);
/* Does a row divide by one number? */
bool kernel_shares_divisor(const Kernel *k, const Instr *i);
/* All that follows from axes, accesses and instructions: call it after changing those. */
void kernel_settle(Kernel *k);

/* split.c: a deep reduction, of much to little, becomes one of `parts` parts of it whose results
 * lie one after another, [parts, result]; what it stores besides is as before. 1: it stays as it
 * was. */
int64_t kernel_split(Kernel *k);

/* Where the arguments of a call stand in RtCall.size. */
enum { SIZE_ROWS, SIZE_TASK_ROWS, SIZE_COLUMNS, SIZE_TASK_COLUMNS, SIZE_COLUMN_TASKS, SIZE_FIRST };
int kernel_size_axis(const Kernel *k, int axis); /* of an outer axis */
int kernel_size_offset(const Kernel *k, int access);
int kernel_size_stride(const Kernel *k, int access,
                       int axis); /* axis: outer, or the inner one of a WALK_any */
int kernel_reads(const Kernel *k); /* how many buffers are only read: they come first */
/* The arguments of a call, and its tasks. */
void kernel_arguments(const Kernel *k, RtStep *step, Arena *a);

#endif
