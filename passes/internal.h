/* Inside the passes: the list of passes, what rebuilding a program takes, and the contract between
 * autodiff's sweep (autodiff.c) and the vector-Jacobian products (vjp.c).
 *
 * New programs live in the arena of the program they were made from, so names, fields and spans are
 * shared; scratch memory is a pass's own.
 *
 * Nodes are numbered in the order in which they are added, and C leaves it open which argument of a
 * call comes first. So of the arguments of one call, and of the members of one initialiser, at most
 * one adds nodes; the others were added to locals before. */
#ifndef UPT_PASSES_INTERNAL_H
#define UPT_PASSES_INTERNAL_H

#include "passes/passes.h"

PassFn pass_narrow, pass_autodiff, pass_records, pass_whole_set, pass_ahead, pass_simplify,
    pass_convolve, pass_micro, pass_strips, pass_round, pass_column, pass_accumulate, pass_halve,
    pass_fuse, pass_order, pass_fit;

/* ---- rebuilding */

/* Values of one graph by references into another. */
typedef struct RefMap {
    uint32_t *first; /* first[node] + out */
    Ref *at;
} RefMap;
RefMap refmap_new(Arena *scratch, const Graph *from); /* all REF_NONE */
static inline Ref refmap_get(const RefMap *m, Ref r) {
    return m->at[m->first[r.node] + r.out];
}
static inline void refmap_set(RefMap *m, Ref r, Ref to) {
    m->at[m->first[r.node] + r.out] = to;
}
/* Node `i` of the old graph becomes the new node `to`, result for result. */
void refmap_set_node(RefMap *m, const Graph *from, uint32_t i, Ref to);
/* The inputs of `n` as values of the new graph. */
Ref *refmap_inputs(const RefMap *m, const Node *n, Arena *scratch);
void refmap_outputs(const RefMap *m, const Graph *from, Graph *to); /* all of them, in order */

/* Tables as in `in`; entries still hold the old graphs. */
Program *program_like(const Program *in);
/* Every graph of the program through `fn`; NULL when it returns NULL for
 * one (which it has reported). */
typedef Graph *GraphFn(const Program *p, const Graph *g, PassCx *cx);
Program *program_map(const Program *in, PassCx *cx, GraphFn *fn);
GraphFn simplify_graph; /* with the bodies of its loops */

/* ---- loops (loops.c) */
/* The graph with every loop's body through `fn`, whose business the loops in those are. */
Graph *loops_map(const Program *p, const Graph *g, PassCx *cx, GraphFn *fn);
bool has_loops(const Graph *g);
Graph *loops_trim(Graph *g);    /* without results that nobody reads, and what they come from */
bool loops_mix(const Graph *g); /* samples are put together within a loop */
Graph *loops_unroll(Graph *g);  /* every turn written out; the same numbers */
/* Loops of one turn are what their bodies are, simplified. */
Graph *loops_flatten(const Program *p, Graph *g, PassCx *cx);

/* ---- quiet and logged steps (fuse_logged.c) */
/* Which outputs of the logged step are the quiet one's too: losses, and states that it changes. */
bool *quiet_outputs(Arena *scratch, const Graph *logged, const Graph *step);
bool *reached_by(Arena *scratch, const Graph *g, const bool *out); /* nodes */

/* The value of a constant, seen through the shape operators that keep it one. */
bool const_value(const Graph *g, Ref r, double *v);

/* ---- remat.c: the graph with values computed again so that its arena stays within `budget` bytes,
 * or comes near; in arena `to`. The graph itself where nothing has to change or nothing helps. */
const Graph *remat_graph(const Program *p, const Graph *g, int64_t budget, Arena *to);
/* The same without a budget, where it costs next to nothing. */
const Graph *remat_cheaply(const Program *p, const Graph *g, Arena *to);

/* ---- vector-Jacobian products */
/* From cotangents `gy` of values `y` of a graph to those of values `x`, at dx. */
typedef struct Pull {
    const Ref *y, *gy;
    int ny;
    const Ref *x;
    int nx;
    Ref *dx;
} Pull;
bool autodiff_pull(Graph *g, const Pull *p, Diag *d); /* false: reported */

typedef struct Sweep Sweep;
typedef struct Vjp {
    Graph *g;
    const Node *n;
    uint32_t number; /* of that node in g */
    Span at;         /* of the forward node, so that profiles of the gradient name its line */
    const Ref *x;    /* forward values of the inputs, */
    Ref y;           /* and of the result: recomputed ones in a remat region */
    Ref gy;          /* cotangent of the result, of the first if there are several */
    Sweep *sweep;
} Vjp;
typedef void VjpFn(Vjp *v);
extern VjpFn *const vjp_table[OP_COUNT];
VjpFn vjp_zero, vjp_leaf, vjp_none, vjp_scan;
bool vjp_within(const Vjp *v, Graph *g, const Pull *p); /* in a body */
Ref vjp_cotangent(const Vjp *v, int out);               /* REF_NONE: nothing depends on it */
bool vjp_wants(const Vjp *v, int i);                    /* is there an x behind input i? */
void vjp_give(Vjp *v, int i, Ref cotangent); /* sums broadcast edges, adds to what input i has */
void vjp_fail(Vjp *v, const char *what);     /* the user's error at the node */

/* ---- memory (fit.c) */
/* A fused program with values computed again until it fits the limit of its run, as far as that
 * goes; `m`: what it takes then. */
Program *fit_again(const Program *in, PassCx *cx, Memory *m);

/* ---- check-each (check.c): BUG when a program breaks a rule, does not survive its own text, or
 * means something else. */
void check_program(const Program *p, const char *pass);
void check_meaning(const Program *before, const Program *after, const char *pass);

#endif
