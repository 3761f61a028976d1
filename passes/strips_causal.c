/* Columns that may be left out: where each row of a square is masked behind its own place, as in
 * causal attention, a strip of rows [i, j) need not have the columns from j on.
 *
 * Of every large value it is found what its masked columns hold: zeros, something so low that its
 * exponential is zero, or anything. They may be left out if whatever has no columns any more, and
 * every sum, comes from zeros there, or is a maximum beside which they are low. Softmax takes its
 * maximum from a column that is not masked, as the first is in every row. */
#include "passes/strips.h"

static const double LOW = -1e8; /* a masked score, beside any that is none */

typedef enum Masked { MASKED_any, MASKED_false, MASKED_low, MASKED_zero } Masked;

/* ---- which axis the columns are */

static bool take_column(Region *r, uint32_t i, int axis, NodeList *todo) {
    if (r->part[i] != PART_large) return true;
    if (axis < 0 || r->g->node[i]->type[0].dim[axis] != r->rows) return false;
    if (r->column[i] >= 0) return r->column[i] == axis;
    r->column[i] = axis;
    vec_push(r->arena, todo, i);
    return true;
}

static bool spread(Region *r, uint32_t seed, int axis) {
    NodeList todo = {0};
    for (size_t i = 0; i < r->g->n; i++) r->column[i] = ROWS_none;
    if (!take_column(r, seed, axis, &todo)) return false;
    while (todo.n) {
        uint32_t i = todo.at[--todo.n];
        const Node *n = r->g->node[i];
        for (int k = 0; k < n->nin; k++)
            if (!take_column(r, n->in[k].node, rows_of_input(r->g, n, k, r->column[i]), &todo))
                return false;
        for (size_t u = 0; u < r->user[i].n; u++) {
            uint32_t user = r->user[i].at[u];
            const Node *m = r->g->node[user];
            for (int k = 0; k < m->nin; k++)
                if (m->in[k].node == i &&
                    !take_column(r, user, rows_of_result(r->g, m, k, r->column[i]), &todo))
                    return false;
        }
    }
    return true;
}

/* ---- what the masked columns hold */

static bool counts_along(const Graph *g, Ref x, int axis) {
    const Node *n = graph_node(g, x);
    while (axis >= 0 && op_info[n->op].lower == LOWER_VIEW && n->nin == 1) {
        axis = rows_of_input(g, n, 0, axis);
        n = graph_node(g, n->in[0]);
    }
    return n->op == OP_iota && n->attr.axis == axis;
}

/* Of what is made of indices alone: is it false where the column is behind the row? */
static bool is_false(const Graph *g, Ref x, int row, int column) {
    const Node *n = graph_node(g, x);
    if (row < 0 || column < 0) return false;
    if (op_info[n->op].lower == LOWER_VIEW && n->nin == 1)
        return is_false(g, n->in[0], rows_of_input(g, n, 0, row), rows_of_input(g, n, 0, column));
    int row_at[2], column_at[2];
    for (int k = 0; k < n->nin && n->nin <= 2; k++) {
        row_at[k] = rows_of_input(g, n, k, row);
        column_at[k] = rows_of_input(g, n, k, column);
    }
    if (n->op == OP_and)
        return is_false(g, n->in[0], row_at[0], column_at[0]) ||
               is_false(g, n->in[1], row_at[1], column_at[1]);
    return (n->op == OP_le || n->op == OP_lt) && counts_along(g, n->in[0], column_at[0]) &&
           counts_along(g, n->in[1], row_at[1]);
}

static Masked masked_input(const Region *r, const Masked *masked, uint32_t i, int k) {
    const Node *n = r->g->node[i];
    Ref in = n->in[k];
    double v;
    if (r->part[in.node] == PART_large) return masked[in.node];
    if (const_value(r->g, in, &v)) return v == 0 ? MASKED_zero : v <= LOW ? MASKED_low : MASKED_any;
    bool hidden = r->index[in.node] && is_false(r->g, in, rows_of_input(r->g, n, k, r->axis[i]),
                                                rows_of_input(r->g, n, k, r->column[i]));
    return hidden ? MASKED_false : MASKED_any;
}

static bool has_columns(const Region *r, uint32_t i, int k) {
    return rows_of_input(r->g, r->g->node[i], k, r->column[i]) >= 0;
}

/* Of a large value. */
static Masked masked_in(const Region *r, const Masked *masked, uint32_t i) {
    const Node *n = r->g->node[i];
    Masked in[3] = {MASKED_any};
    for (int k = 0; k < n->nin && k < 3; k++) in[k] = masked_input(r, masked, i, k);
    bool zero0 = in[0] == MASKED_zero, zero1 = in[1] == MASKED_zero;
    switch (n->op) {
    case OP_where: return in[0] == MASKED_false ? in[2] : in[1] == in[2] ? in[1] : MASKED_any;
    case OP_exp: return in[0] == MASKED_low ? MASKED_zero : MASKED_any;
    case OP_mul: return zero0 || zero1 ? MASKED_zero : MASKED_any;
    case OP_div:
    case OP_neg: return zero0 ? MASKED_zero : MASKED_any;
    case OP_add:
    case OP_sub:
        if (zero0 && zero1) return MASKED_zero;
        return in[0] == MASKED_low && !has_columns(r, i, 1) ? MASKED_low : MASKED_any;
    default: return op_info[n->op].lower == LOWER_VIEW && n->nin == 1 ? in[0] : MASKED_any;
    }
}

/* ---- may they be left out? */

static bool any_zero(const Region *r, const Masked *masked, const Node *n) {
    for (int k = 0; k < n->nin; k++)
        if (r->part[n->in[k].node] == PART_large && masked[n->in[k].node] == MASKED_zero)
            return true;
    return false;
}

/* Input `k` of node `i` is a large value. */
static bool may_leave_out(Region *r, const Masked *masked, uint32_t i, int k) {
    const Node *n = r->g->node[i];
    uint32_t in = n->in[k].node;
    int axis = rows_of_result(r->g, n, k, r->column[in]);
    if (axis == ROWS_mixed) return n->op == OP_max && masked[in] == MASKED_low;
    if (axis == ROWS_summed) return any_zero(r, masked, n);
    if (r->part[i] == PART_large) return true;
    r->column[i] = axis;
    return r->part[i] == PART_sum && masked[in] == MASKED_zero;
}

static bool all_may(Region *r, uint32_t seed, int axis) {
    if (!spread(r, seed, axis)) return false;
    Masked *masked = NEW_N(r->arena, Masked, r->g->n + 1);
    for (uint32_t i = 0; i < r->g->n; i++) {
        const Node *n = r->g->node[i];
        if (r->part[i] == PART_large) masked[i] = masked_in(r, masked, i);
        for (int k = 0; r->part[i] != PART_outside && k < n->nin; k++)
            if (r->part[n->in[k].node] == PART_large && !may_leave_out(r, masked, i, k))
                return false;
    }
    return true;
}

bool region_columns(Region *r, uint32_t seed) {
    const Type *t = &r->g->node[seed]->type[0];
    r->column = NEW_N(r->arena, int, r->g->n + 1);
    for (int axis = 0; axis < t->rank; axis++)
        if (axis != r->axis[seed] && t->dim[axis] == r->rows && all_may(r, seed, axis)) return true;
    for (size_t i = 0; i < r->g->n; i++) r->column[i] = ROWS_none;
    return false;
}
