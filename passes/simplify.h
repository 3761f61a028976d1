/* Inside simplify: a rule looks at one node and its inputs, already simplified, and builds an equal
 * value or returns REF_NONE. Rules keep what a value means: NaN and infinities stay (x * 0 is not
 * 0), and float sums change by rounding only. */
#ifndef UPT_PASSES_SIMPLIFY_H
#define UPT_PASSES_SIMPLIFY_H

#include "passes/internal.h"

typedef struct Rewrite {
    Graph *g;             /* the new graph */
    const Node *n;        /* the old node: operator, attributes, result types */
    const Ref *in;        /* its inputs in the new graph */
    const uint32_t *uses; /* of the old graph's nodes */
    Arena *scratch;
} Rewrite;
typedef Ref RuleFn(const Rewrite *r);
typedef struct Rule {
    Op op;
    RuleFn *rule;
} Rule;
/* Tried in order; each file lists its own. */
extern const Rule algebra_rules[], shape_rules[], sum_rules[], pad_rules[];
extern const size_t algebra_count, shape_count, sum_count, pad_count;

static inline const Node *rewrite_input(const Rewrite *r, int i) {
    return graph_node(r->g, r->in[i]);
}
static inline const Type *rewrite_input_type(const Rewrite *r, int i) {
    return graph_type(r->g, r->in[i]);
}
static inline bool rewrite_const(const Rewrite *r, int i, double *v) {
    return const_value(r->g, r->in[i], v);
}
/* x in the shape of the result: an identity may have lost a broadcast. */
static inline Ref rewrite_expand(const Rewrite *r, Ref x) {
    return g_expand(r->g, x, r->n->type[0].rank, r->n->type[0].dim, r->n->span);
}
/* A constant result; REF_NONE where its type cannot hold v exactly. */
Ref rewrite_fill(const Rewrite *r, double v);

bool reshape_of_ones(const Graph *g, const Node *reshape); /* only adds and drops axes of size 1 */

#endif
