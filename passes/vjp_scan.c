/* The gradient of a loop: a loop that goes back through the places. Its carries are the cotangents
 * of the carries; its body is the forward body and the sweep back through it. Of the forward
 * values, what the forward loop gave as results (carries, what was asked for, products: loop_keep)
 * is read, place by place, and the rest, pointwise operators mostly, is computed again.
 *
 * A value that goes into the loop whole gets the sum over all turns. That is taken outside: where
 * the sum passes through to a product (a weight's gradient), both operands are kept for all turns
 * and it is one product over turns and samples; so no sum is carried. The new loop's node is as any
 * other, so gradients of gradients work. */
#include <string.h>

#include "ir/loop.h"
#include "passes/internal.h"

typedef struct Given { /* stands in `after` for all places of something */
    Ref arg;
    bool outer;
    Ref ref;    /* outer: the value; */
    int result; /* else a result of the loop */
} Given;
typedef struct Back {
    Vjp *v;
    Arena *scratch;
    const Graph *body; /* forward */
    int carries;
    Loop loop;
    Ref *x;       /* by input of n: forward value in the body */
    Ref *out;     /* by result of the forward body: likewise */
    Ref *carry;   /* by carry: its cotangent as it comes in, REF_NONE: it has none */
    VEC(int) wrt; /* inputs of n that are differentiated for */
    Ref *dx;      /* by input: cotangent in the body */
    Graph *after; /* what is computed of the new loop's results */
    VEC(Given) given;
} Back;

static bool is_float(const Graph *g, Ref r) {
    return dtype_is_float(graph_type(g, r)->dtype);
}

static int64_t length_of(const Vjp *v) {
    return graph_type(v->g, v->x[v->n->attr.scan.carries])->dim[0];
}

/* ---- forward values */

/* Places [from, from + n) along axis 0. */
static Ref cut(Vjp *v, Ref x, int64_t from, int64_t n) {
    const Type *t = graph_type(v->g, x);
    Attr a = {.slice.rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        a.slice.step[i] = 1;
        a.slice.size[i] = i ? t->dim[i] : n;
    }
    a.slice.start[0] = from;
    return graph_add(v->g, OP_slice, &a, &x, 1, NULL, v->at);
}

static Ref as_place(Vjp *v, Ref x) {
    const Type *t = graph_type(v->g, x);
    int64_t dim[RANK] = {1};
    memcpy(dim + 1, t->dim, (RANK - 1) * sizeof *dim);
    return g_reshape(v->g, x, t->rank + 1, dim, v->at);
}

/* The carry as each turn found it. */
static Ref before_turns(Vjp *v, int carry) {
    int64_t length = length_of(v);
    Ref after = {v->y.node, (uint32_t)carry}, first = as_place(v, v->x[carry]);
    if (length == 1) return first;
    bool reverse = v->n->attr.scan.reverse;
    Ref others = cut(v, after, reverse, length - 1);
    Ref in[] = {reverse ? others : first, reverse ? first : others};
    return graph_add(v->g, OP_concat, &(Attr){.axis = 0}, in, 2, NULL, v->at);
}

static void forward_inputs(Back *b) {
    Vjp *v = b->v;
    for (int i = 0; i < v->n->nin; i++) {
        LoopKind kind = scan_input_kind(v->n, i);
        Ref outer = kind == LOOP_carry ? before_turns(v, i) : v->x[i];
        if (kind == LOOP_carry) kind = LOOP_slice;
        b->x[i] = loop_input(&b->loop, v->g, kind, outer, NULL);
    }
    body_inline(b->scratch, b->loop.body, b->body, b->x, b->out);
}

static void read_kept(Back *b) {
    for (size_t i = 0; i < b->body->nout; i++)
        if (graph_node(b->loop.body, b->out[i])->op != OP_arg)
            loop_instead(&b->loop, b->v->g, b->out[i], (Ref){b->v->y.node, (uint32_t)i});
}

/* ---- the sweep */

static void add_carries(Back *b) {
    Vjp *v = b->v;
    for (int i = 0; i < b->carries; i++) {
        b->carry[i] = REF_NONE;
        if (!is_float(v->g, v->x[i])) continue;
        Ref zero = g_fill(v->g, graph_type(v->g, v->x[i]), 0, v->at);
        b->carry[i] =
            loop_input(&b->loop, v->g, LOOP_carry, zero, graph_type(b->body, b->body->out[i].ref));
    }
}

/* The cotangent of result `i` in a turn: what later turns give the carry, and what others give the
 * result. */
static Ref cotangent(Back *b, int i) {
    Ref later = i < b->carries ? b->carry[i] : REF_NONE, given = vjp_cotangent(b->v, i);
    if (!ref_is(given)) return later;
    given = loop_input(&b->loop, b->v->g, LOOP_slice, given, NULL);
    return ref_is(later) ? g_binary(b->loop.body, OP_add, later, given, b->v->at) : given;
}

static bool sweep_body(Back *b) {
    Vjp *v = b->v;
    int nout = (int)b->body->nout, ny = 0;
    Ref *y = NEW_N(b->scratch, Ref, nout), *gy = NEW_N(b->scratch, Ref, nout + 1);
    Ref *x = NEW_N(b->scratch, Ref, v->n->nin), *dx = NEW_N(b->scratch, Ref, v->n->nin);
    for (int i = 0; i < nout; i++) {
        if (!is_float(b->loop.body, b->out[i]) || !ref_is(gy[ny] = cotangent(b, i))) continue;
        y[ny++] = b->out[i];
    }
    for (int i = 0; i < v->n->nin; i++) {
        bool wanted = is_float(v->g, v->x[i]) && (i < b->carries || vjp_wants(v, i));
        if (!wanted) continue;
        x[b->wrt.n] = b->x[i];
        vec_push(b->scratch, &b->wrt, i);
    }
    Pull p = {y, gy, ny, x, (int)b->wrt.n, dx};
    if (!vjp_within(v, b->loop.body, &p)) return false;
    for (size_t i = 0; i < b->wrt.n; i++) b->dx[b->wrt.at[i]] = dx[i];
    return true;
}

/* ---- sums over the turns, in the graph `after` */

static Ref stand_in(Back *b, const Given *given, const Type *all) {
    for (size_t i = 0; i < b->given.n; i++) {
        const Given *g = &b->given.at[i];
        if (g->outer == given->outer && g->result == given->result && ref_same(g->ref, given->ref))
            return g->arg;
    }
    Given new = *given;
    Attr number = {.count = (int64_t)b->given.n};
    new.arg = graph_add(b->after, OP_arg, &number, NULL, 0, all, b->v->at);
    vec_push(b->scratch, &b->given, new);
    return new.arg;
}

static Type all_places(const Back *b, const Type *place) {
    int64_t dim[RANK] = {length_of(b->v)};
    memcpy(dim + 1, place->dim, (RANK - 1) * sizeof *dim);
    Type t = type_make(place->dtype, place->rank + 1, dim);
    t.batch_axis = (int8_t)(place->batch_axis >= 0 ? place->batch_axis + 1 : place->batch_axis);
    return t;
}

static const LoopInput *slice_of(const Back *b, Ref r) {
    for (size_t i = 0; i < b->loop.instead.n; i++)
        if (ref_same(b->loop.instead.at[i].outer, r)) r = b->loop.instead.at[i].arg;
    for (size_t i = 0; i < b->loop.input.n; i++) {
        const LoopInput *in = &b->loop.input.at[i];
        if (in->kind == LOOP_slice && ref_same(in->arg, r)) return in;
    }
    return NULL;
}

/* The value in all turns: slices are there, names of them cost nothing, others become a result. */
static Ref all_turns(Back *b, Ref r) {
    const Node *n = graph_node(b->loop.body, r);
    const LoopInput *slice = slice_of(b, r);
    Type t = all_places(b, graph_type(b->loop.body, r));
    if (slice)
        return stand_in(b, &(Given){.outer = true, .ref = slice->outer},
                        graph_type(b->v->g, slice->outer));
    if (n->op == OP_reshape && graph_type(b->loop.body, n->in[0])->rank < RANK)
        return g_reshape(b->after, all_turns(b, n->in[0]), t.rank, t.dim, n->span);
    return stand_in(b, &(Given){.ref = REF_NONE, .result = loop_result(&b->loop, r)}, &t);
}

static Ref sum_turns(Back *b, Ref r, uint32_t axes, Span at) {
    return g_reduce(b->after, OP_sum, all_turns(b, r), axes << 1 | 1, at);
}

/* A product with the turns among what is summed. */
static Ref sum_dot(Back *b, const Node *n) {
    char turn = 'a', la[RANK + 2], lb[RANK + 2];
    while (strchr(n->attr.dot.a, turn) || strchr(n->attr.dot.b, turn)) turn++;
    snprintf(la, sizeof la, "%c%s", turn, n->attr.dot.a);
    snprintf(lb, sizeof lb, "%c%s", turn, n->attr.dot.b);
    Ref x = all_turns(b, n->in[0]), y = all_turns(b, n->in[1]);
    return g_dot_as(b->after, n, x, y, la, lb, n->attr.dot.out);
}

/* Rows added to an empty table, with those of all turns. */
static Ref sum_rows(Back *b, const Node *n) {
    Ref index = all_turns(b, n->in[1]), rows = all_turns(b, n->in[2]);
    Ref table = g_fill(b->after, &n->type[0], 0, n->span);
    return graph_copy_node(b->after, n, (Ref[]){table, index, rows});
}

static bool adds_rows(const Graph *g, const Node *n) {
    double v;
    return n->op == OP_put_add && n->attr.axis == 0 && const_value(g, n->in[0], &v) && v == 0;
}

static bool same_shapes(const Graph *g, const Node *n) {
    for (int k = 0; k < n->nin; k++)
        if (!type_same_shape(graph_type(g, n->in[k]), &n->type[0])) return false;
    return true;
}

static bool has_room(const Graph *g, const Node *n) { /* for one more axis */
    for (int k = 0; k < n->nin; k++)
        if (graph_type(g, n->in[k])->rank == RANK) return false;
    return true;
}

/* The sum over all turns of a value of the body. Recursion is bounded by the chain of sums that one
 * cotangent is. */
static Ref total(Back *b, Ref r) {
    const Graph *g = b->loop.body;
    const Node *n = graph_node(g, r);
    const Type *t = graph_type(g, r);
    Ref sum = REF_NONE;
    double v;
    if (const_value(g, r, &v) && v == 0) return g_fill(b->after, t, 0, n->span);
    if (n->op == OP_add && same_shapes(g, n)) {
        sum = total(b, n->in[0]);
        Ref more = total(b, n->in[1]);
        return g_binary(b->after, OP_add, sum, more, n->span);
    }
    if (n->op == OP_reshape || n->op == OP_neg) sum = total(b, n->in[0]);
    if (n->op == OP_neg) return g_unary(b->after, OP_neg, sum, n->span);
    if (n->op == OP_dot && has_room(g, n)) return sum_dot(b, n);
    if (adds_rows(g, n) && has_room(g, n)) return sum_rows(b, n);
    if (n->op == OP_sum && has_room(g, n) && dtype_is_float(t->dtype))
        sum = sum_turns(b, n->in[0], n->attr.axes, n->span);
    if (!ref_is(sum)) sum = sum_turns(b, r, 0, n->span);
    return g_reshape(b->after, sum, t->rank, t->dim, n->span);
}

/* ---- what the loop gives */

/* By input that is differentiated for: of a slice, the number of the result that holds its
 * cotangents; of a whole, an output of `after`. */
static int *add_results(Back *b) {
    int *number = NEW_N(b->scratch, int, b->v->n->nin);
    for (int i = 0; i < b->carries; i++)
        if (ref_is(b->carry[i])) loop_carry(&b->loop, b->dx[i]);
    for (size_t k = 0; k < b->wrt.n; k++) {
        int i = b->wrt.at[k];
        LoopKind kind = scan_input_kind(b->v->n, i);
        if (kind == LOOP_slice) number[i] = loop_result(&b->loop, b->dx[i]);
        if (kind != LOOP_whole) continue;
        number[i] = (int)b->after->nout;
        graph_out(b->after, OUT_value, NULL, 0, total(b, b->dx[i]), b->v->at);
    }
    return number;
}

static Ref *after_loop(Back *b, Ref loop) {
    Ref *arg = NEW_N(b->scratch, Ref, b->given.n + 1),
        *sum = NEW_N(b->scratch, Ref, b->after->nout + 1);
    for (size_t i = 0; i < b->given.n; i++) {
        const Given *g = &b->given.at[i];
        arg[i] = g->outer ? g->ref : (Ref){loop.node, (uint32_t)g->result};
    }
    body_inline(b->scratch, b->v->g, b->after, arg, sum);
    return sum;
}

static void give_all(Back *b, const int *number, Ref loop) {
    Vjp *v = b->v;
    const Ref *sum = after_loop(b, loop);
    int64_t last = b->loop.reverse ? 0 : length_of(v) - 1;
    for (size_t k = 0, carry = 0; k < b->wrt.n; k++) {
        int i = b->wrt.at[k];
        LoopKind kind = scan_input_kind(v->n, i);
        const Type *t = graph_type(v->g, v->x[i]);
        if (kind == LOOP_carry) {
            Ref all = {loop.node, (uint32_t)carry++};
            if (vjp_wants(v, i))
                vjp_give(v, i, g_reshape(v->g, cut(v, all, last, 1), t->rank, t->dim, v->at));
        } else {
            vjp_give(v, i,
                     kind == LOOP_slice ? (Ref){loop.node, (uint32_t)number[i]} : sum[number[i]]);
        }
    }
}

void vjp_scan(Vjp *v) {
    Arena *scratch = arena_new();
    const Graph *body = v->n->attr.scan.body;
    const char *name = arena_printf(scratch, "%s.back", body->name);
    int nin = v->n->nin + 1;
    Back b = {.v = v,
              .scratch = scratch,
              .body = body,
              .carries = v->n->attr.scan.carries,
              .loop = loop_new(scratch, name, !v->n->attr.scan.reverse),
              .x = NEW_N(scratch, Ref, nin),
              .out = NEW_N(scratch, Ref, body->nout),
              .carry = NEW_N(scratch, Ref, nin),
              .dx = NEW_N(scratch, Ref, nin),
              .after = graph_new(scratch, "after")};
    add_carries(&b);
    forward_inputs(&b);
    read_kept(&b);
    if (sweep_body(&b)) {
        const int *number = add_results(&b);
        loop_keep(&b.loop);
        give_all(&b, number, loop_finish(&b.loop, v->g, v->at));
    }
    arena_free(scratch);
}
