/* The batch in a graph: what belongs to the samples, and how a reduction over them is put together
 * from parts. */
#include "passes/batch.h"

#include <math.h>

bool batch_leaf(const Node *n) {
    bool sized = n->nin == 0 && n->nout > 0 && n->type[0].batch_axis != NO_BATCH;
    return n->op == OP_field || n->op == OP_live || sized;
}

bool batch_reduction(Op op) {
    return op == OP_sum || op == OP_max || op == OP_min;
}

int batch_contracted(const Graph *g, const Node *n, int i) {
    int axis = graph_type(g, n->in[i])->batch_axis;
    if (axis < 0) return -1;
    if (batch_reduction(n->op)) return n->attr.axes >> axis & 1 ? axis : -1;
    if (n->op != OP_dot) return -1;
    char label = (i == 0 ? n->attr.dot.a : n->attr.dot.b)[axis];
    for (const char *out = n->attr.dot.out; *out; out++)
        if (*out == label) return -1;
    return axis;
}

bool batch_reduces(const Graph *g, const Node *n) {
    for (int i = 0; i < n->nin; i++)
        if (batch_contracted(g, n, i) >= 0) return true;
    return false;
}

double batch_identity(Op op, DType t) {
    double sign = op == OP_max ? -1 : 1;
    if (op != OP_max && op != OP_min) return 0;
    if (dtype_is_float(t)) return sign * INFINITY;
    switch (t) {
    case DT_i32: return op == OP_max ? INT32_MIN : INT32_MAX;
    case DT_i64: return sign * 9007199254740992.0; /* 2^53: as far as constants are exact */
    case DT_u8: return op == OP_max ? 0 : UINT8_MAX;
    case DT_i8: return op == OP_max ? INT8_MIN : INT8_MAX;
    default: return op == OP_max ? 0 : 1;
    }
}

Op batch_combiner(Op op, DType t) {
    if (op == OP_max) return t == DT_bool ? OP_or : OP_maximum;
    if (op == OP_min) return t == DT_bool ? OP_and : OP_minimum;
    return OP_add;
}

Span batch_used_at(const Graph *g, const bool *reached, uint32_t file, uint32_t i) {
    if (g->node[i]->span.file == file) return g->node[i]->span;
    Arena *scratch = arena_new();
    bool *uses = NEW_N(scratch, bool, g->n);
    Span at = g->node[i]->span;
    uses[i] = true;
    for (uint32_t k = i + 1; k < g->n && at.file != file; k++) {
        const Node *n = g->node[k];
        for (int in = 0; in < n->nin; in++) uses[k] = uses[k] || uses[n->in[in].node];
        if (uses[k] && reached[k] && n->span.file == file) at = n->span;
    }
    for (size_t k = 0; k < g->nout && at.file != file; k++)
        if (uses[g->out[k].ref.node] && g->out[k].span.file == file) at = g->out[k].span;
    arena_free(scratch);
    return at;
}

bool span_same(Span a, Span b) {
    return a.file == b.file && a.line == b.line && a.col == b.col && a.end_line == b.end_line &&
           a.end_col == b.end_col;
}
