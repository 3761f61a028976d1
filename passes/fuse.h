/* Inside fusion. Values of a graph are of three kinds: `stored` ones have a buffer, `inlined` ones
 * are computed wherever they are needed, and the members of a group are computed in its kernel,
 * which stores those that others need.
 *
 * A group has a domain: its sizes without those of 1, and the axes that its reductions reduce.
 * Every member is `full` (all axes) or `reduced` (the kept ones). Inside a body all values have the
 * domain's rank, so they line up by position. */
#ifndef UPT_FUSE_H
#define UPT_FUSE_H

#include "passes/internal.h"
#include "passes/view.h"

typedef struct Domain {
    int rank;
    int64_t dim[RANK];
    uint32_t reduced; /* bit i: axis i */
} Domain;

/* Where a value's axes lie in a domain; -1: size 1. */
typedef struct Frame {
    int8_t axis[RANK];
} Frame;

typedef VEC(uint32_t) NodeList;
typedef struct GroupInfo {
    Domain domain;
    NodeList member; /* nodes, ascending; none: merged into another */
    int size;        /* nodes of the body, at most */
} GroupInfo;

typedef struct Fuse {
    Arena *arena; /* scratch */
    const Graph *g;
    bool *reached;
    bool *stored;   /* by node: has a buffer because others need one (leaves, products and tables
                       always do) */
    bool *inlined;  /* by node */
    int *group;     /* by node: its group, -1: none */
    int *size;      /* by node that computes: of its expression down to what it reads */
    NodeList *need; /* by node that is stored or in a group: the nodes it reads */
    VEC(GroupInfo) groups;
    struct Memo **memo; /* by node: what the body at hand has emitted */
} Fuse;

/* fuse_decide.c: what is stored, inlined, grouped. */
void fuse_decide(Fuse *f);
/* What node `n`, computed or stored by a group or by itself, reads from memory: nodes, each once.
 */
void fuse_needs(const Fuse *f, uint32_t n, NodeList *out);

/* fuse_merge.c: puts groups together where one kernel can do them. */
void fuse_merge(Fuse *f);

/* fuse_body.c */
bool fuse_is_index(Op op);         /* computed from indices, constants or the clock alone */
bool fuse_computes(const Node *n); /* MAP with inputs, or REDUCE */
Domain fuse_domain(const Graph *g, uint32_t n); /* of a node alone */
Frame frame_full(const Domain *d, const Type *t);
/* The frame of `t` as a full or a reduced value of the domain; false: it is neither. */
bool frame_fits(const Domain *d, const Type *t, Frame *out);
/* The frame of a view's input from that of its result; false where axes do not stay whole. */
bool frame_through(const Graph *g, const Node *view, const Frame *f, Frame *in);
Frame frame_input(const Type *result, const Frame *f, const Type *in); /* of a pointwise operator */
Frame frame_reduced_input(const Domain *d, const Type *in);
uint32_t reduced_sizes(const Node *n,
                       const Type *in); /* axes that it reduces and that are not of size 1 */

/* Builds the kernel of a group in `to`; `value` has the stored values it reads and gets those it
 * stores. */
void fuse_emit_group(Fuse *f, const GroupInfo *group, Graph *to, RefMap *value);

/* ---- fuse.c */
/* Units of the new graph: groups, and stored nodes that are in none. Each is made when all it reads
 * has been. */
typedef struct Order {
    Fuse *f;
    uint32_t *unit; /* node -> unit: that of its group's last member */
    int *waiting;   /* by unit: how many it still waits for */
    NodeList *user; /* by unit */
    uint32_t *heap; /* units that can be made, the earliest first */
    size_t nheap;
} Order;
Fuse fuse_new(Arena *scratch, const Graph *g); /* all decided */
Order fuse_order(Fuse *f);
/* What waits for `unit` may be one step nearer to being made. */
void fuse_unit_done(Order *o, uint32_t unit);
/* Makes in `to` all units whose inputs are there. */
void fuse_make_units(Order *o, Graph *to, RefMap *value);
/* All of it; `value` gets what of `g` is stored. */
Graph *fuse_graph(Arena *scratch, const Graph *g, RefMap *value, PassCx *cx);

/* fuse_logged.c: a quiet step and the logged one that does the same and more; false: reported. */
bool fuse_step(Arena *scratch, Graph **step, Graph **logged, PassCx *cx);

#endif
