/* The loops of a region: see strips.h.
 *
 * Nodes outside are copied in their order; a loop stands where the last node of its phase stood, or
 * after what it waits for. Its slices are strips of rows: an axis of rows comes to the front and is
 * cut in two, which moves nothing where it leads already. Sums are totals, which start from what
 * they are added to, if that is all that becomes of them. Reports read none of this: what they ask
 * of large values is computed for them again, whole. */
#include "ir/loop.h"
#include "passes/strips.h"

typedef struct Build {
    const Region *r;
    const Graph *g;
    Graph *to;
    const bool *reached;
    RefMap map;            /* of g's values, as they are in `to` */
    RefMap whole;          /* large and small ones for reports */
    int last[MOST_PHASES]; /* by phase: its last node */
    bool built[MOST_PHASES];
    uint32_t copy;    /* of what the second phase computes again; later phases count on */
    uint32_t *sum_of; /* by node: the sum that it adds to something else, UINT32_MAX: none */
} Build;
typedef struct Strip { /* the loop of a phase, for the strips of one segment, being built */
    Build *b;
    int phase;
    int64_t first, rows, columns; /* columns: 0: all */
    Loop loop;
    RefMap map; /* of g's values, in the body */
} Strip;

/* ---- rows in front, and in strips */

static Ref to_front(Graph *g, Ref x, int axis, Span at) {
    int perm[RANK] = {axis}, rank = graph_type(g, x)->rank;
    for (int i = 1; i < rank; i++) perm[i] = i <= axis ? i - 1 : i;
    return g_transpose(g, x, perm, at);
}

static Ref from_front(Graph *g, Ref x, int axis, Span at) {
    int perm[RANK], rank = graph_type(g, x)->rank;
    for (int i = 0; i < rank; i++) perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    return g_transpose(g, x, perm, at);
}

static Ref stretch(Graph *g, Ref x, int axis, int64_t first, int64_t size, Span at) {
    const Type *t = graph_type(g, x);
    Attr a = {.slice.rank = t->rank};
    if (axis < 0 || t->dim[axis] == size) return x;
    for (int i = 0; i < t->rank; i++) a.slice.size[i] = t->dim[i], a.slice.step[i] = 1;
    a.slice.start[axis] = first;
    a.slice.size[axis] = size;
    return graph_add(g, OP_slice, &a, &x, 1, NULL, at);
}

static Ref join(Graph *g, const Ref *part, int64_t n, int axis, Span at) {
    return n == 1 ? part[0]
                  : graph_add(g, OP_concat, &(Attr){.axis = axis}, part, (int)n, NULL, at);
}

static int64_t strip_rows(const Region *r) {
    return r->rows / r->strips;
}

/* [strips, rows of a strip, ...] of the segment. */
static Ref in_strips(const Strip *s, Ref x, int axis, Span at) {
    Graph *to = s->b->to;
    Ref front = to_front(to, stretch(to, x, axis, s->first, s->rows, at), axis, at);
    const Type *t = graph_type(to, front);
    int64_t rows = strip_rows(s->b->r), dim[RANK] = {s->rows / rows, rows};
    for (int i = 1; i < t->rank; i++) dim[i + 1] = t->dim[i];
    return g_reshape(to, front, t->rank + 1, dim, at);
}

/* The rows of a segment, in front. */
static Ref out_of_strips(const Strip *s, Ref all, Span at) {
    const Type *t = graph_type(s->b->to, all);
    int64_t dim[RANK] = {s->rows};
    for (int i = 1; i + 1 < t->rank; i++) dim[i] = t->dim[i + 1];
    return g_reshape(s->b->to, all, t->rank - 1, dim, at);
}

/* ---- values in the body */

typedef struct Axes { /* of rows and columns, below 0: it has none, or all of them */
    int row, column;
} Axes;

/* Of input `k` of a node whose result has them `of`; a product may sum the columns up. */
static int column_of_input(const Region *r, const Node *n, int k, Axes of) {
    if (of.column >= 0) return rows_of_input(r->g, n, k, of.column);
    for (int j = 0; j < n->nin && n->op == OP_dot; j++) {
        uint32_t in = n->in[j].node;
        if (r->part[in] == PART_large && r->column[in] >= 0)
            return rows_summed(n, j, r->column[in], k);
    }
    return ROWS_none;
}

static void cut_dims(const Strip *s, int64_t *dim, Axes of) {
    if (of.row >= 0) dim[of.row] = strip_rows(s->b->r);
    if (of.column >= 0 && s->columns) dim[of.column] = s->columns;
}

/* An input of the loop. By now nothing asks which axis is the batch's. */
static Ref input(Strip *s, LoopKind kind, Ref outer) {
    Type t = *graph_type(s->b->to, outer);
    if (kind == LOOP_slice) t = type_place(&t);
    t.batch_axis = NO_BATCH;
    return loop_input(&s->loop, s->b->to, kind, outer, &t);
}

static Ref outside(Strip *s, Ref r, Axes of) {
    Build *b = s->b;
    Span at = graph_node(b->g, r)->span;
    Ref x = refmap_get(&b->map, r);
    if (s->columns) x = stretch(b->to, x, of.column, 0, s->columns, at);
    if (of.row < 0) return input(s, LOOP_whole, x);
    Ref arg = input(s, LOOP_slice, in_strips(s, x, of.row, at));
    return from_front(s->loop.body, arg, of.row, at);
}

/* Indices that go on from strip to strip, or from piece to piece of the batch. */
static Ref numbers(Strip *s, const Node *n, const Type *t, Axes of) {
    Build *b = s->b;
    int axis = n->attr.axis;
    Type all = type_make(t->dtype, 1, &n->type[0].dim[axis]);
    all.batch_axis = n->type[0].batch_axis == axis ? 0 : NO_BATCH;
    Ref whole = graph_add(b->to, OP_iota, &(Attr){.axis = 0}, NULL, 0, &all, n->span);
    Ref arg = axis == of.row
                  ? input(s, LOOP_slice, in_strips(s, whole, 0, n->span))
                  : input(s, LOOP_whole, stretch(b->to, whole, 0, 0, t->dim[axis], n->span));
    int64_t dim[RANK];
    for (int i = 0; i < t->rank; i++) dim[i] = i == axis ? t->dim[i] : 1;
    Ref shaped = g_reshape(s->loop.body, arg, t->rank, dim, n->span);
    return g_expand(s->loop.body, shaped, t->rank, t->dim, n->span);
}

static Ref strip_leaf(Strip *s, const Node *n, Axes of) {
    Type t = n->type[0];
    t.batch_axis = NO_BATCH;
    cut_dims(s, t.dim, of);
    bool goes_on =
        n->op == OP_iota && (n->attr.axis == of.row || n->attr.axis == n->type[0].batch_axis);
    if (goes_on) return numbers(s, n, &t, of);
    return graph_add(s->loop.body, n->op, &n->attr, NULL, 0, &t, n->span);
}

/* Those of the rows, and columns, of the value that has them all. */
static Ref strip_draw(Strip *s, const Node *n, Axes of) {
    Type t = n->type[0];
    Attr a = n->attr;
    t.batch_axis = NO_BATCH;
    cut_dims(s, t.dim, of);
    random_part(&a, &n->type[0]);
    int64_t row = of.row < 0 ? 0 : a.random.stride[of.row];
    a.random.first += s->first * row;
    random_into_loop(&a, strip_rows(s->b->r) * row);
    return graph_add(s->loop.body, n->op, &a, NULL, 0, &t, n->span);
}

static Ref strip_node(Strip *s, const Node *n, Axes of);

/* A value, or its strip. What is made of indices is made here too, and what repeats rows repeats
 * them here. */
static Ref strip_value(Strip *s, Ref r, Axes of) {
    const Region *region = s->b->r;
    const Node *n = graph_node(s->b->g, r);
    if (region->inside[s->phase][r.node] && region->part[r.node] != PART_sum)
        return refmap_get(&s->map, r);
    if (n->op == OP_const || n->op == OP_iota) return strip_leaf(s, n, of);
    if (region_draws(region, r.node)) return strip_draw(s, n, of);
    if (region->index[r.node] || n->op == OP_expand) return strip_node(s, n, of);
    return outside(s, r, of);
}

/* Loops of one turn are written out, where equal nodes would become one, which all phases kept. */
static uint32_t copy_of(const Strip *s, const Node *n) {
    bool again = s->b->r->again && s->phase && op_info[n->op].lower != LOWER_VIEW;
    return again ? s->b->copy + (uint32_t)s->phase - 1 : n->copy;
}

static Ref strip_node(Strip *s, const Node *n, Axes of) {
    Node copy = *n;
    Ref *in = NEW_N(s->b->r->arena, Ref, n->nin + 1);
    copy.copy = copy_of(s, n);
    if (op_info[n->op].attr == ATTR_SHAPE) cut_dims(s, copy.attr.shape.dim, of);
    if (n->op == OP_slice) cut_dims(s, copy.attr.slice.size, of);
    for (int k = 0; k < n->nin; k++) {
        int row = of.row < 0 ? ROWS_none : rows_of_input(s->b->g, n, k, of.row);
        in[k] = strip_value(s, n->in[k], (Axes){row, column_of_input(s->b->r, n, k, of)});
    }
    return graph_copy_node(s->loop.body, &copy, in);
}

/* ---- sums */

/* What sum `i` starts from: what its only reader adds it to, else zeros. */
static Ref sum_start(const Build *b, uint32_t i) {
    const Node *n = b->g->node[i];
    for (uint32_t u = 0; u < b->g->n; u++) {
        if (b->sum_of[u] != i) continue;
        const Node *add = b->g->node[u];
        return refmap_get(&b->map, add->in[add->in[0].node == i]);
    }
    return g_fill(b->to, &n->type[0], 0, n->span);
}

/* The strip's part of sum `i`. */
static Ref part_of_sum(Strip *s, uint32_t i) {
    const Region *r = s->b->r;
    const Node *n = r->g->node[i];
    int k = 0;
    while (r->part[n->in[k].node] != PART_large) k++;
    int axis = r->axis[n->in[k].node];
    Axes of = {ROWS_none, r->column[i]};
    Ref in[2];
    for (int j = 0; j < n->nin; j++)
        in[j] = strip_value(s, n->in[j],
                            (Axes){rows_summed(n, k, axis, j), column_of_input(r, n, j, of)});
    return graph_copy_node(s->loop.body, n, in);
}

/* `start`: of the whole sum, or what other segments made of it. */
static void add_sum(Strip *s, uint32_t i, Ref start) {
    const Region *r = s->b->r;
    const Node *n = r->g->node[i];
    Ref part = part_of_sum(s, i);
    if (s->columns) start = stretch(s->b->to, start, r->column[i], 0, s->columns, n->span);
    Ref total = input(s, LOOP_carry, start);
    loop_carry(&s->loop, g_binary(s->loop.body, OP_add, total, part, n->span));
    s->loop.totals++;
}

/* The sum, and the node that adds it to something. */
static void take_total(Build *b, uint32_t i, Ref total) {
    refmap_set(&b->map, (Ref){i, 0}, total);
    for (uint32_t u = 0; u < b->g->n; u++)
        if (b->sum_of[u] == i) refmap_set(&b->map, (Ref){u, 0}, total);
}

/* Sums whose only reader adds them to what is there before their loop. */
static void find_starts(Build *b) {
    const Region *r = b->r;
    for (uint32_t i = 0; i < b->g->n; i++) b->sum_of[i] = UINT32_MAX;
    for (uint32_t i = 0; i < b->g->n; i++) {
        if (r->part[i] != PART_sum || r->user[i].n != 1 || r->output[i]) continue;
        uint32_t u = r->user[i].at[0];
        const Node *n = b->g->node[u];
        if (n->op != OP_add || n->in[0].node == n->in[1].node || r->part[u] != PART_outside)
            continue;
        Ref other = n->in[n->in[0].node == i];
        bool early = r->part[other.node] == PART_outside && r->phase[other.node] < r->phase[i];
        if (early && type_same_shape(graph_type(b->g, other), &n->type[0]) &&
            type_same_shape(&b->g->node[i]->type[0], &n->type[0]))
            b->sum_of[u] = i;
    }
}

/* ---- loops */

typedef struct Made {        /* of a node: what the segments made, from the last to the first */
    Ref part[MOST_SEGMENTS]; /* rows, or columns of a sum that no other segment adds to */
    Ref total;               /* of a sum, so far */
} Made;

static bool is_result(const Region *r, uint32_t i, int phase) {
    return r->given[i] && r->phase[i] == phase;
}

static bool is_sum(const Region *r, uint32_t i, int phase) {
    return r->part[i] == PART_sum && r->inside[phase][i];
}

/* Numbers of the results by node. */
static int *build_body(Strip *s, const Made *made) {
    const Region *r = s->b->r;
    int *number = NEW_N(r->arena, int, r->g->n + 1);
    for (uint32_t i = 0; i < r->g->n; i++) {
        Axes of = {r->axis[i], r->column[i]};
        if (is_sum(r, i, s->phase))
            add_sum(s, i, made[i].total);
        else if (r->inside[s->phase][i])
            refmap_set(&s->map, (Ref){i, 0}, strip_node(s, r->g->node[i], of));
    }
    for (uint32_t i = 0, total = 0; i < r->g->n; i++) {
        if (is_sum(r, i, s->phase)) number[i] = (int)total++;
        if (!is_result(r, i, s->phase)) continue;
        Ref x = refmap_get(&s->map, (Ref){i, 0});
        number[i] =
            loop_result(&s->loop, to_front(s->loop.body, x, r->axis[i], r->g->node[i]->span));
    }
    return number;
}

static void build_segment(Build *b, int phase, int64_t segment, Made *made) {
    const Region *r = b->r;
    int64_t rows = r->rows / r->segments;
    Strip s = {.b = b, .phase = phase, .first = segment * rows, .rows = rows};
    s.columns = r->segments > 1 ? s.first + rows : 0;
    s.loop = loop_new(r->arena, "strip", false);
    s.map = refmap_new(r->arena, b->g);
    const int *number = build_body(&s, made);
    Ref loop = loop_finish(&s.loop, b->to, b->g->node[b->last[phase]]->span);
    for (uint32_t i = 0; i < b->g->n; i++) {
        Ref result = {loop.node, (uint32_t)number[i]};
        Span at = b->g->node[i]->span;
        if (is_result(r, i, phase)) made[i].part[segment] = out_of_strips(&s, result, at);
        if (!is_sum(r, i, phase)) continue;
        made[i].total = result;
        if (s.columns)
            made[i].part[segment] = stretch(b->to, result, r->column[i], s.first, rows, at);
    }
}

static void build_loops(Build *b, int phase) {
    const Region *r = b->r;
    Made *made = NEW_N(r->arena, Made, b->g->n + 1);
    for (uint32_t i = 0; i < b->g->n; i++)
        if (is_sum(r, i, phase)) made[i].total = sum_start(b, i);
    for (int64_t k = r->segments; k-- > 0;) build_segment(b, phase, k, made);
    for (uint32_t i = 0; i < b->g->n; i++) {
        Span at = b->g->node[i]->span;
        if (is_sum(r, i, phase)) {
            bool parts = r->segments > 1 && r->column[i] >= 0;
            take_total(b, i,
                       parts ? join(b->to, made[i].part, r->segments, r->column[i], at)
                             : made[i].total);
        } else if (is_result(r, i, phase)) {
            Ref front = join(b->to, made[i].part, r->segments, 0, at);
            refmap_set(&b->map, (Ref){i, 0}, from_front(b->to, front, r->axis[i], at));
        }
    }
    b->built[phase] = true;
}

/* ---- the order */

static bool is_there(const Build *b, Ref r) {
    return ref_is(refmap_get(&b->map, r));
}

static bool inputs_are_there(const Build *b, const Node *n) {
    for (int k = 0; k < n->nin; k++)
        if (!is_there(b, n->in[k])) return false;
    return true;
}

static bool is_of_loop(const Build *b, Ref r, int phase) {
    return b->r->inside[phase][r.node] && b->r->part[r.node] != PART_sum;
}

/* Whether all is there that the loop reads. */
static bool can_build(const Build *b, int phase) {
    for (uint32_t i = 0; i < b->g->n; i++) {
        const Node *n = b->g->node[i];
        for (int k = 0; b->r->inside[phase][i] && k < n->nin; k++)
            if (!is_of_loop(b, n->in[k], phase) && !is_there(b, n->in[k])) return false;
        if (b->sum_of[i] == UINT32_MAX || b->r->phase[b->sum_of[i]] != phase) continue;
        for (int k = 0; k < n->nin; k++)
            if (n->in[k].node != b->sum_of[i] && !is_there(b, n->in[k])) return false;
    }
    return true;
}

static void copy_node(Build *b, uint32_t i) {
    const Node *n = b->g->node[i];
    const Ref *in = refmap_inputs(&b->map, n, b->r->arena);
    refmap_set_node(&b->map, b->g, i, graph_copy_node(b->to, n, in));
}

static bool is_copied(const Build *b, uint32_t i) {
    return b->reached[i] && !b->r->report[i] && b->r->part[i] == PART_outside &&
           b->sum_of[i] == UINT32_MAX;
}

/* What is there so far of nodes before `end`: those that wait for a loop, and loops. */
static void catch_up(Build *b, uint32_t end) {
    bool more = true;
    while (more) {
        more = false;
        for (int p = 0; p < b->r->phases; p++) {
            if (b->built[p] || b->last[p] >= (int)end || !can_build(b, p)) continue;
            build_loops(b, p);
            more = true;
        }
        for (uint32_t i = 0; i < end && more; i++)
            if (is_copied(b, i) && !is_there(b, (Ref){i, 0}) && inputs_are_there(b, b->g->node[i]))
                copy_node(b, i);
    }
}

static void build_all(Build *b) {
    const Region *r = b->r;
    for (int p = 0; p < r->phases; p++)
        for (uint32_t i = 0; i < b->g->n; i++)
            if (r->part[i] != PART_outside && r->phase[i] == p) b->last[p] = (int)i;
    for (uint32_t i = 0; i < b->g->n; i++) {
        if (is_copied(b, i) && inputs_are_there(b, b->g->node[i])) copy_node(b, i);
        bool last = false;
        for (int p = 0; p < r->phases; p++) last = last || (!b->built[p] && b->last[p] <= (int)i);
        if (last) catch_up(b, i + 1);
    }
}

/* ---- reports */

/* A value for reports: as the loops give it, or computed again, whole. */
static Ref whole_value(Build *b, Ref r) {
    if (is_there(b, r)) return refmap_get(&b->map, r);
    if (ref_is(refmap_get(&b->whole, r))) return refmap_get(&b->whole, r);
    const Node *n = graph_node(b->g, r);
    Ref *in = NEW_N(b->r->arena, Ref, n->nin + 1);
    for (int k = 0; k < n->nin; k++) in[k] = whole_value(b, n->in[k]);
    refmap_set_node(&b->whole, b->g, r.node, graph_copy_node(b->to, n, in));
    return refmap_get(&b->whole, r);
}

static void build_reports(Build *b) {
    for (uint32_t i = 0; i < b->g->n; i++)
        if (b->r->report[i]) whole_value(b, (Ref){i, 0});
}

Graph *region_loops(const Region *r, Arena *a) {
    Build b = {.r = r,
               .g = r->g,
               .to = graph_new(a, r->g->name),
               .reached = graph_reached(r->g, r->arena),
               .copy = graph_new_copy(r->g),
               .map = refmap_new(r->arena, r->g),
               .whole = refmap_new(r->arena, r->g),
               .sum_of = NEW_N(r->arena, uint32_t, r->g->n + 1)};
    find_starts(&b);
    build_all(&b);
    build_reports(&b);
    for (size_t i = 0; i < r->g->nout; i++) {
        const Output *o = &r->g->out[i];
        graph_out(b.to, o->kind, o->name, o->index, whole_value(&b, o->ref), o->span);
    }
    return b.to;
}
