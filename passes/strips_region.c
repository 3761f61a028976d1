/* Which nodes are computed strip by strip: see strips.h.
 *
 * The region grows from a product with far more elements than its operands, over all values of
 * that size that it is linked with, forwards and backwards; small ones between them join where
 * they cost no product. Then every node gets a phase, and from the last phase to the first it is
 * found what each loop has to compute. Limits: a large value that something needs whole, and there is
 * no region; rows have one axis, the rest is for the loops within. */
#include "ir/facts.h"
#include "passes/strips.h"

/* Bytes. Strips stay in the caches; what has not SMALL bytes does so as it is. */
enum { STRIP = 16 << 20, SMALL = 4 << 20 };
/* A product packs an operand that is larger than a strip anew for each of them: for so many rows
 * that costs next to nothing (TILE_M in runtime/gemm.c). */
enum { PACK_ROWS = 1024 };
/* A large value has so many times the elements of its operands' rows. Where it has AGAIN_GROWTH
 * times those of its operands, a later phase computes it again even if it could be kept. */
enum { GROWTH = 4, AGAIN_GROWTH = 16 };
enum { FEW_STRIPS = 4 }; /* at least, where they spare keeping what they hold */
enum { MOST_STRIPS = 1024, SEGMENT_ROWS = 128 /* at least */ };
enum { AGAIN = 256 }; /* operations an element that cost less than keeping it */

static int64_t count_of(const Graph *g, uint32_t i) {
    return type_count(&g->node[i]->type[0]);
}

static int64_t bytes_of(const Graph *g, uint32_t i) {
    return count_of(g, i) * (int64_t)dtype_size(g->node[i]->type[0].dtype);
}

/* ---- large values */

static bool is_large(const Region *r, uint32_t i) {
    const Node *n = r->g->node[i];
    return r->of[i] && n->nin > 0 && n->nout == 1 && !r->index[i] && count_of(r->g, i) >= r->least;
}

static bool take_large(Region *r, uint32_t i, int axis, NodeList *todo) {
    const Type *t = &r->g->node[i]->type[0];
    if (axis < 0 || t->dim[axis] != r->rows || t->rank == RANK || r->output[i]) return false;
    if (r->part[i] == PART_large) return r->axis[i] == axis;
    r->part[i] = PART_large;
    r->axis[i] = axis;
    vec_push(r->arena, todo, i);
    return true;
}

static bool take_inputs(Region *r, uint32_t i, NodeList *todo) {
    const Node *n = r->g->node[i];
    for (int k = 0; k < n->nin; k++) {
        int axis = rows_of_input(r->g, n, k, r->axis[i]);
        if (axis == ROWS_mixed) return false;
        uint32_t in = n->in[k].node;
        if (axis >= 0 && is_large(r, in) && !take_large(r, in, axis, todo)) return false;
    }
    return true;
}

static bool take_user(Region *r, uint32_t user, uint32_t i, NodeList *todo) {
    const Node *n = r->g->node[user];
    for (int k = 0; k < n->nin; k++) {
        if (n->in[k].node != i) continue;
        int axis = rows_of_result(r->g, n, k, r->axis[i]);
        if (axis == ROWS_mixed) return false;
        if (axis >= 0 && is_large(r, user) && !take_large(r, user, axis, todo)) return false;
    }
    return true;
}

static bool grow(Region *r, uint32_t seed, int axis) {
    NodeList todo = {0};
    if (!take_large(r, seed, axis, &todo)) return false;
    while (todo.n) {
        uint32_t i = todo.at[--todo.n];
        if (!take_inputs(r, i, &todo)) return false;
        for (size_t u = 0; u < r->user[i].n; u++)
            if (!take_user(r, r->user[i].at[u], i, &todo)) return false;
    }
    return true;
}

/* ---- phases */

static bool has_rows(const Region *r, uint32_t i) {
    return r->part[i] == PART_large || r->part[i] == PART_small;
}

/* The first input of that part, -1: none. */
static int input_of(const Region *r, const Node *n, Part part) {
    for (int k = 0; k < n->nin; k++)
        if (r->part[n->in[k].node] == part) return k;
    return -1;
}

/* The first phase in which all inputs are there. */
static int phase_of(const Region *r, const Node *n) {
    int phase = 0;
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        int there = r->phase[in] + !has_rows(r, in);
        phase = there > phase ? there : phase;
    }
    return phase;
}

static int waits_for(const Region *r, const Node *n) {
    int phase = -1;
    for (int k = 0; k < n->nin; k++)
        phase = r->phase[n->in[k].node] > phase ? r->phase[n->in[k].node] : phase;
    return phase;
}

/* Whether all inputs have their rows where a result with rows along `axis` wants them. */
static bool agrees(const Region *r, const Node *n, int axis) {
    for (int k = 0; k < n->nin; k++) {
        int at = rows_of_input(r->g, n, k, axis);
        if (at == ROWS_mixed) return false;
        if (has_rows(r, n->in[k].node) && r->axis[n->in[k].node] != at) return false;
    }
    return true;
}

static bool agrees_summed(const Region *r, const Node *n, int k) {
    int axis = r->axis[n->in[k].node];
    for (int j = 0; j < n->nin; j++) {
        int at = rows_summed(n, k, axis, j);
        if (at < 0 || (has_rows(r, n->in[j].node) && r->axis[n->in[j].node] != at)) return false;
    }
    return true;
}

/* What reads a large value. */
static bool place_reader(Region *r, uint32_t i, int k) {
    const Node *n = r->g->node[i];
    int axis = rows_of_result(r->g, n, k, r->axis[n->in[k].node]);
    if (n->type[0].rank == RANK) return false;
    r->part[i] = axis == ROWS_summed ? PART_sum : PART_small;
    r->axis[i] = axis;
    r->phase[i] = phase_of(r, n);
    return axis == ROWS_summed ? agrees_summed(r, n, k) : agrees(r, n, axis);
}

/* What reads a small value may be small too, where it costs little and waits for nothing else. */
static void place_small(Region *r, uint32_t i, int k) {
    const Node *n = r->g->node[i];
    Lower lower = op_info[n->op].lower;
    int axis = rows_of_result(r->g, n, k, r->axis[n->in[k].node]), phase = phase_of(r, n);
    bool cheap = lower == LOWER_MAP || lower == LOWER_VIEW || lower == LOWER_REDUCE;
    if (!cheap || axis < 0 || n->type[0].rank == RANK || phase != waits_for(r, n)) return;
    if (!agrees(r, n, axis)) return;
    r->part[i] = PART_small;
    r->axis[i] = axis;
}

static bool place(Region *r, uint32_t i) {
    const Node *n = r->g->node[i];
    int large = input_of(r, n, PART_large), small = input_of(r, n, PART_small);
    if (r->part[i] == PART_large) {
        r->phase[i] = phase_of(r, n);
        if (!agrees(r, n, r->axis[i])) return false;
    } else if (large >= 0) {
        if (!place_reader(r, i, large)) return false;
    } else {
        r->phase[i] = waits_for(r, n);
        if (small >= 0) place_small(r, i, small);
    }
    if (r->phase[i] >= r->phases) r->phases = r->phase[i] + 1;
    return r->phases <= MOST_PHASES;
}

static bool in_phase(const Region *r, uint32_t i, int phase) {
    return r->part[i] != PART_outside && r->phase[i] == phase;
}

/* Small values that no large one of their phase comes from are computed outside. */
static void drop_small(Region *r) {
    for (uint32_t i = (uint32_t)r->g->n; i-- > 0;) {
        if (r->part[i] != PART_small || input_of(r, r->g->node[i], PART_large) >= 0) continue;
        bool needed = false;
        for (size_t u = 0; u < r->user[i].n; u++)
            needed = needed || in_phase(r, r->user[i].at[u], r->phase[i]);
        if (!needed) r->part[i] = PART_outside;
    }
}

static bool place_all(Region *r) {
    for (uint32_t i = 0; i < r->g->n; i++) {
        r->phase[i] = -1;
        if (r->of[i] && !place(r, i)) return false;
    }
    drop_small(r);
    return true;
}

/* ---- what each phase's loop computes */

static bool read_outside(const Region *r, uint32_t i) {
    if (r->output[i]) return true;
    for (size_t u = 0; u < r->user[i].n; u++)
        if (r->part[r->user[i].at[u]] == PART_outside) return true;
    return false;
}

static void need_inputs(Region *r, uint32_t i, int phase) {
    const Node *n = r->g->node[i];
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        if (r->part[in] == PART_large || (r->part[in] == PART_small && r->phase[in] == phase))
            r->inside[phase][in] = true;
        else if (r->part[in] == PART_small)
            r->given[in] = true;
    }
}

static void fill_phases(Region *r) {
    for (int p = r->phases; p-- > 0;) {
        bool *inside = r->inside[p] = NEW_N(r->arena, bool, r->g->n + 1);
        for (uint32_t i = (uint32_t)r->g->n; i-- > 0;) {
            if (in_phase(r, i, p)) {
                r->given[i] |= r->part[i] == PART_small && read_outside(r, i);
                inside[i] |= r->given[i] || r->part[i] == PART_sum;
            }
            if (inside[i]) need_inputs(r, i, p);
        }
    }
}

/* ---- does it pay? */

bool region_draws(const Region *r, uint32_t i) {
    const Node *n = r->g->node[i];
    return op_info[n->op].flags & FLAG_RANDOM && n->op != OP_permutation &&
           count_of(r->g, i) >= r->least;
}

static bool may_repeat(const Region *r, uint32_t i) {
    const Node *n = r->g->node[i];
    Lower lower = op_info[n->op].lower;
    if (lower == LOWER_DOT)
        return node_facts(r->g, n).operations <= AGAIN * (double)count_of(r->g, i);
    return lower != LOWER_TABLE;
}

static bool pays(const Region *r) {
    for (uint32_t i = 0; i < r->g->n; i++) {
        int times = 0;
        for (int p = 0; p < r->phases; p++) times += r->inside[p][i];
        if (times > 1 && !may_repeat(r, i)) return false;
    }
    return true;
}

/* Of each operand of the product with rows, and of the result. */
static bool has_growth(const Region *r, uint32_t seed, int axis) {
    const Node *n = r->g->node[seed];
    for (int k = 0; k < n->nin; k++)
        if (rows_of_input(r->g, n, k, axis) >= 0 &&
            count_of(r->g, seed) < GROWTH * count_of(r->g, n->in[k].node))
            return false;
    return true;
}

/* Of both operands, as scores of a long text have, but no layer's units. */
static bool is_worth_again(const Region *r, uint32_t seed) {
    const Node *n = r->g->node[seed];
    for (int k = 0; k < n->nin; k++)
        if (count_of(r->g, seed) < AGAIN_GROWTH * count_of(r->g, n->in[k].node)) return false;
    return true;
}

static int64_t largest(const Region *r) {
    int64_t most = 0;
    for (uint32_t i = 0; i < r->g->n; i++)
        if (r->part[i] == PART_large && bytes_of(r->g, i) > most) most = bytes_of(r->g, i);
    return most;
}

/* How many products the axes of all three operands make of it. */
static int64_t batch_of(const Graph *g, const Node *dot) {
    int64_t n = 1;
    for (int i = 0; i < dot->type[0].rank; i++)
        if (rows_of_input(g, dot, 0, i) >= 0 && rows_of_input(g, dot, 1, i) >= 0)
            n *= dot->type[0].dim[i];
    return n;
}

/* Bytes of a strip for which the packing of input `k` costs little. */
static int64_t packed_strip(const Region *r, uint32_t i, int k) {
    const Node *n = r->g->node[i];
    uint32_t whole = n->in[k].node;
    int64_t sum = (int64_t)(node_facts(r->g, n).operations / 2) / count_of(r->g, i);
    if (bytes_of(r->g, whole) / batch_of(r->g, n) <= STRIP) return STRIP;
    return PACK_ROWS * (bytes_of(r->g, whole) / sum);
}

static int64_t best_strip(const Region *r) {
    int64_t best = STRIP;
    for (uint32_t i = 0; i < r->g->n; i++) {
        const Node *n = r->g->node[i];
        if (r->part[i] != PART_large || n->op != OP_dot) continue;
        for (int k = 0; k < n->nin; k++) {
            if (rows_of_input(r->g, n, k, r->axis[i]) >= 0) continue;
            int64_t bytes = packed_strip(r, i, k);
            best = bytes > best ? bytes : best;
        }
    }
    return best;
}

/* As rows divide into evenly: with eight, 9/16 of a square are computed, with two 3/4; of fewer
 * rows than that products take longer by more. */
static int64_t count_segments(const Region *r, int64_t least_rows) {
    int64_t n = r->rows / least_rows;
    n = n > MOST_SEGMENTS ? MOST_SEGMENTS : n < 1 ? 1 : n;
    while (r->rows % n) n--;
    return n;
}

bool region_spares(const Region *r) {
    return r->again && r->phases > 1;
}

/* As many strips as it takes, all of one size; false: there are none, or they would be far smaller
 * than they may be. */
static bool cut(Region *r, uint32_t seed, int64_t strip) {
    int64_t bytes = largest(r), most = strip ? strip : best_strip(r);
    int64_t least = (bytes + most - 1) / most;
    r->segments = region_columns(r, seed) ? count_segments(r, strip ? 1 : SEGMENT_ROWS) : 1;
    if (!strip && region_spares(r) && most <= STRIP && least < FEW_STRIPS) least = FEW_STRIPS;
    if (least > r->rows) least = r->rows;
    if (least < r->segments) least = r->segments;
    r->strips = least;
    while (r->rows % r->strips || r->strips % r->segments) r->strips++;
    return r->strips > 1 && r->strips <= MOST_STRIPS && (strip || r->strips <= 4 * least);
}

bool region_find(Region *r, uint32_t seed, int axis, int64_t strip) {
    const Graph *g = r->g;
    const Node *n = g->node[seed];
    if (bytes_of(g, seed) < (strip ? 2 * strip : SMALL) || n->type[0].dim[axis] == 1) return false;
    if (!has_growth(r, seed, axis)) return false;
    r->again = is_worth_again(r, seed);
    r->least = count_of(g, seed) / 2;
    r->rows = n->type[0].dim[axis];
    r->phases = 0;
    r->part = NEW_N(r->arena, Part, g->n + 1);
    r->axis = NEW_N(r->arena, int, g->n + 1);
    r->phase = NEW_N(r->arena, int, g->n + 1);
    r->given = NEW_N(r->arena, bool, g->n + 1);
    if (!grow(r, seed, axis) || !place_all(r)) return false;
    fill_phases(r);
    return pays(r) && cut(r, seed, strip);
}

/* Outside values whose rows are asked for. */
int64_t region_moves(const Region *r) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < r->g->n; i++) {
        const Node *n = r->g->node[i];
        if (!has_rows(r, i)) continue;
        for (int k = 0; k < n->nin; k++) {
            uint32_t in = n->in[k].node;
            int axis = rows_of_input(r->g, n, k, r->axis[i]);
            bool made = has_rows(r, in) || r->index[in] || region_draws(r, in);
            if (axis >= 0 && !made && !rows_lead(r->g, n->in[k], axis)) bytes += bytes_of(r->g, in);
        }
    }
    return bytes;
}
