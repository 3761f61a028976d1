/* What a node that computes (a group, a product, a table) moves and computes, which lines of source
 * asked for it, and a name that a person understands: for profiles and for `--emit=fused`. What
 * they decide (recomputation) changes no value. */
#ifndef UPT_IR_FACTS_H
#define UPT_IR_FACTS_H

#include "ir/ir.h"

typedef struct Facts {
    double bytes, operations;
} Facts;
Facts node_facts(const Graph *g, const Node *n);
Facts body_facts(const Graph *body);

/* What an operator of a body costs beside others: instructions an element. */
double op_work(const Graph *body, const Node *n);
double op_cost(Op op);

typedef struct NodeLine { /* a share of the work; all of a node's are 1 */
    Span at;
    uint8_t kind;
    double share;
} NodeLine;
typedef struct NodeLines {
    NodeLine *at; /* the largest first */
    int n;
    const char *name; /* NULL: nothing of it has a place */
} NodeLines;
/* Work of one line but of several kinds is told apart: `kind` is that of each operator of a body,
 * `own` that of a node without one. NULL: all are alike. */
NodeLines node_lines(Arena *a, const Diag *d, const Node *n, const uint8_t *kind, uint8_t own);

/* Comments that say all of this of a node, each a line that is indented. */
void node_explain(Buf *b, const Diag *d, const Graph *g, const Node *n, int indent);

#endif
