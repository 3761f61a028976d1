/* Inside the pass strips: along which axis the rows of values lie (strips_rows.c), the region of a
 * graph that is computed strip by strip (strips_region.c), and its loops (strips_loop.c). */
#ifndef UPT_STRIPS_H
#define UPT_STRIPS_H

#include "passes/internal.h"

/* ---- rows: an axis of a value; or that it has none, that they are summed up, or that a node does
 * something else to them */
enum { ROWS_none = -1, ROWS_summed = -2, ROWS_mixed = -3 };
/* Of the result of `n`, whose input `k` has rows along `axis`. */
int rows_of_result(const Graph *g, const Node *n, int k, int axis);
/* Of input `k` of `n`, whose result has rows along `axis`. */
int rows_of_input(const Graph *g, const Node *n, int k, int axis);
/* Of input `j` of `n`, which sums up the rows that input `k` has along `axis`. */
int rows_summed(const Node *n, int k, int axis, int j);
/* Whether rows along `axis` follow each other where the value lies, so that strips are stretches.
 */
bool rows_lead(const Graph *g, Ref r, int axis);

/* ---- regions */
enum { MOST_PHASES = 8, MOST_SEGMENTS = 8 };
typedef enum Part {
    PART_outside, /* computed whole, or random: as much as is asked for */
    PART_large,   /* computed strip by strip, and never whole in memory */
    PART_small,   /* computed strip by strip from those; a loop may return it */
    PART_sum      /* added up over the strips of large values */
} Part;
typedef VEC(uint32_t) NodeList;

/* Large values read each other, but may wait for something outside that waits for them (the end of
 * a network, for its gradient). So the region is cut into phases, each a loop; what a later one
 * reads of large values is computed again there. */
typedef struct Region {
    Arena *arena;
    const Graph *g;
    const bool *of;     /* by node: may be in the region */
    const bool *report; /* by node: reads what may be in the region, but changes nothing of it */
    const bool *output; /* by node, of what is no report */
    const bool *index;  /* by node: made of indices and constants alone */
    NodeList *user;     /* by node: those that may be in the region */
    int64_t least;      /* elements of a large value */
    int64_t rows, strips;
    bool again; /* what a later phase computes again is no value of the earlier one */
    /* Where no row reads a column behind its own, the strips of a segment leave out those behind
     * the segment's end; 1: all have all columns. */
    int64_t segments;
    /* by node */
    Part *part;
    int *axis;                 /* of the rows */
    int *column;               /* the axis of columns that may be left out, -1: none */
    int *phase;                /* outside: the last phase that it waits for, -1: none */
    bool *given;               /* small: a result of its phase's loop */
    bool *inside[MOST_PHASES]; /* computed in this phase's loop */
    int phases;
} Region;
/* The region around a large product, with rows along an axis of it; false: there is none, or it
 * would not pay. `strip`: bytes of a strip of a large value, 0: as the machine likes it. */
bool region_find(Region *r, uint32_t seed, int axis, int64_t strip);
/* Whether a later phase would keep far more than what it is made of, and computes it again. */
bool region_spares(const Region *r);
int64_t region_moves(const Region *r); /* bytes that have to be moved for strips of what it reads */
/* Finds the columns that may be left out of a region (strips_causal.c); false: there are none. */
bool region_columns(Region *r, uint32_t seed);

/* Large random values: a strip draws the numbers of its rows. */
bool region_draws(const Region *r, uint32_t i);

/* The graph with the region's loops in place of it, in arena `a`. */
Graph *region_loops(const Region *r, Arena *a);

#endif
