/* Inside the pass micro: what is known of a train entry's graph (micro.c), from which the graphs of
 * its pieces are built (micro_build.c). */
#ifndef UPT_MICRO_H
#define UPT_MICRO_H

#include "passes/batch.h"

typedef struct Micro {
    Program *p;
    Entry *entry;
    const Graph *from; /* the logged step, or the only one */
    int64_t pieces;
    Diag *diag;
    Arena *scratch;
    bool *reached;
    Known *known;     /* by node */
    bool *learnt;     /* depends on a persistent tensor */
    int *changed;     /* comes from the new value of this persistent tensor, -1: of none */
    bool *met;        /* KNOWN_set: a sample meets it, so it is added up ahead */
    bool *mixes;      /* KNOWN_set: comes from all samples' values as they are */
    uint32_t *origin; /* of a KNOWN_set node: a reduction that it comes from */
    bool *taken;      /* a sum that is added up as a part of its only user, a sum too */
    /* Of what is kept from piece to piece its accumulator, else -1: of roots the sum so far, of
     * samples' values all rows so far. */
    int *tensor;
    int naccs;
    bool failed;
} Micro;

/* A sum over the batch: of the rows of each sample, or of two such sums. */
bool micro_sum(const Micro *m, uint32_t i);
/* A value that is put together from the pieces': a sum, a maximum or a minimum over the batch. */
bool micro_root(const Micro *m, uint32_t i);

/* Which part of the step a graph is. */
typedef enum Part { PART_ahead, PART_piece, PART_whole } Part;
Graph *micro_graph(Micro *m, Part part);

#endif
