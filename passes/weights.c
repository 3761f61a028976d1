/* Matrices of a checkpoint in a form that is faster to read. A product of a few rows and a matrix,
 * as generating text is made of, takes as long as reading the matrix does: so each row that is
 * summed along lies in one piece, of f32, bf16, or i8 with a scale for each row, which the result
 * is multiplied by.
 *
 * Of a fused program, so that one that was compiled long ago can be given it too. A matrix is a
 * parameter or state f32[n,k] that all who read it multiply by, summing along the same axis, or
 * pick rows of that are summed along (an embedding that the output shares). Everything else stays.
 */
#include "passes/internal.h"

#include <string.h>

typedef struct Use { /* of a tensor */
    bool other;      /* by one who needs it as it is */
    bool multiplied, picked;
    int summed; /* axis, where it is multiplied */
    int scale;  /* the tensor that has its rows' scales; -1: none */
} Use;
typedef struct Weights {
    const Program *in;
    Program *out;
    DType to;
    Use *use; /* by tensor */
} Weights;

static bool is_product(const Node *n) {
    return op_info[n->op].lower == LOWER_DOT;
}

/* The labels of input `i` of a product, NULL for what it starts from; `other`: of its partner. */
static const char *labels_of(const Node *n, int i, const char **other) {
    int operand = i - (n->nin - 2);
    *other = operand == 0 ? n->attr.dot.b : n->attr.dot.a;
    return operand < 0 ? NULL : operand == 0 ? n->attr.dot.a : n->attr.dot.b;
}

/* ---- who reads what */

/* The axis of a matrix that a product sums along; -1: it does something else with it. */
static int summed_axis(const Node *n, int i) {
    const char *other, *own = labels_of(n, i, &other);
    if (!own || n->attr.dot.round) return -1;
    for (int axis = 0; axis < 2; axis++) {
        char k = own[axis], kept = own[1 - axis];
        if (!strchr(n->attr.dot.out, k) && strchr(n->attr.dot.out, kept) && !strchr(other, kept))
            return axis;
    }
    return -1;
}

static int tensor_of(const Graph *g, Ref r) {
    const Node *n = graph_node(g, r);
    return n->op == OP_state ? n->attr.tensor : -1;
}

static bool of_two_tensors(const Graph *g, const Node *n) {
    return tensor_of(g, n->in[n->nin - 1]) >= 0 && tensor_of(g, n->in[n->nin - 2]) >= 0;
}

static void note_use(Use *u, const Graph *g, const Node *n, int i) {
    int axis = is_product(n) && !of_two_tensors(g, n) ? summed_axis(n, i) : -1;
    if (n->op == OP_take && i == 0 && n->attr.axis == 0)
        u->picked = true;
    else if (axis < 0 || (u->multiplied && u->summed != axis))
        u->other = true;
    else
        u->multiplied = true, u->summed = axis;
}

static void find_uses(const Weights *w, const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; k < g->node[i]->nin; k++) {
            int tensor = tensor_of(g, g->node[i]->in[k]);
            if (tensor >= 0) note_use(&w->use[tensor], g, g->node[i], k);
        }
    for (size_t i = 0; i < g->nout; i++) {
        int tensor = tensor_of(g, g->out[i].ref);
        if (tensor >= 0) w->use[tensor].other = true;
        if (g->out[i].kind == OUT_state) w->use[g->out[i].index].other = true;
    }
}

static bool is_matrix(const Weights *w, int tensor) {
    if (tensor < 0) return false;
    const Tensor *t = &w->in->tensor[tensor];
    const Use *u = &w->use[tensor];
    bool kept = t->kind == TENSOR_param || t->kind == TENSOR_state;
    return kept && t->type.rank == 2 && t->type.dtype == DT_f32 && u->multiplied && !u->other &&
           !(u->picked && u->summed == 0);
}

/* ---- tensors */

static void change_tensor(Weights *w, int at) {
    Tensor *t = &w->out->tensor[at];
    int64_t rows = t->type.dim[1 - w->use[at].summed], columns = t->type.dim[w->use[at].summed];
    t->kept = w->use[at].summed ? KEPT_rows : KEPT_turned;
    t->type = type_make(w->to, 2, (int64_t[]){rows, columns});
    if (w->to != DT_i8) return;
    Tensor scale = {.name = arena_printf(w->in->arena, "%s.scale", t->name),
                    .kind = TENSOR_scale,
                    .type = type_make(DT_f32, 1, &rows),
                    .like = at,
                    .span = t->span};
    w->use[at].scale = program_add_tensor(w->out, &scale);
}

/* ---- what is scaled, as a kernel of its own. Its domain has the axes of the result that are
 * longer than 1. */
typedef struct Axes {
    int rank, at[RANK];
} Axes;

static Axes long_axes(const Type *t) {
    Axes a = {.rank = 0};
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] > 1) a.at[a.rank++] = i;
    return a;
}

/* `x` in the domain; it is aligned with the result, of `rank` axes, at the last axis but for
 * `shift` places. */
static Ref in_domain(Graph *to, const Axes *a, int rank, Ref x, int shift, Span at) {
    const Type *t = graph_type(to, x);
    int64_t dim[RANK];
    for (int i = 0; i < a->rank; i++) {
        int axis = a->at[i] - (rank - shift - t->rank);
        dim[i] = axis >= 0 && axis < t->rank ? t->dim[axis] : 1;
    }
    return g_reshape(to, x, a->rank, dim, at);
}

static Ref body_arg(Graph *body, const Graph *to, const Ref *in, int i, Span at) {
    return graph_add(body, OP_arg, &(Attr){.count = i}, NULL, 0, graph_type(to, in[i]), at);
}

/* x, in f32, times its scale where there is one, plus c where there is one; `scale` has one axis,
 * `shift` places before the last of x. */
static Ref scaled(Graph *to, Ref x, Ref scale, int shift, Ref c, Span at) {
    const Type t = *graph_type(to, x);
    Axes axes = long_axes(&t);
    Ref in[3] = {in_domain(to, &axes, t.rank, x, 0, at)};
    int n = 1;
    Graph *body = graph_new(to->arena, "body");
    Ref y = g_cast(body, body_arg(body, to, in, 0, at), DT_f32, at);
    if (ref_is(scale)) {
        in[n] = in_domain(to, &axes, t.rank, scale, shift, at);
        Ref by = body_arg(body, to, in, n++, at);
        y = g_binary(body, OP_mul, y, by, at);
    }
    if (ref_is(c)) {
        in[n] = in_domain(to, &axes, t.rank, c, 0, at);
        Ref plus = body_arg(body, to, in, n++, at);
        y = g_binary(body, OP_add, plus, y, at);
    }
    graph_out(body, OUT_value, NULL, 0, y, at);
    Ref made = graph_add(to, OP_fused, &(Attr){.body = body}, in, n, NULL, at);
    return g_reshape(to, made, t.rank, t.dim, at);
}

/* ---- readers */

static Ref scale_of(const Weights *w, Graph *to, int tensor, Span at) {
    int scale = w->use[tensor].scale;
    if (scale < 0) return REF_NONE;
    return graph_add(to, OP_state, &(Attr){.tensor = scale}, NULL, 0, &w->out->tensor[scale].type,
                     at);
}

static Ref rows_picked(const Weights *w, Graph *to, const Node *n, Ref *in, int tensor) {
    Ref rows = graph_copy_node(to, n, in), scale = scale_of(w, to, tensor, n->span);
    if (w->to == DT_f32) return rows;
    if (ref_is(scale))
        scale = graph_add(to, OP_take, &n->attr, (Ref[]){scale, in[1]}, 2, NULL, n->span);
    return scaled(to, rows, scale, 1, REF_NONE, n->span);
}

/* Of several axes and a scale for each of one, the place of that one from the end. */
static int place_from_end(const char *labels, char label) {
    return (int)(strlen(labels) - 1 - (size_t)(strchr(labels, label) - labels));
}

static Ref product(const Weights *w, Graph *to, const Node *n, Ref *in, const int *tensor) {
    Node dot = *n;
    int scaled_by = -1;
    for (int i = 0; i < n->nin; i++) {
        const char *other, *own = labels_of(n, i, &other);
        if (!is_matrix(w, tensor[i])) continue;
        int summed = w->use[tensor[i]].summed;
        char *label = own == n->attr.dot.a ? dot.attr.dot.a : dot.attr.dot.b;
        char turned[] = {own[1 - summed], own[summed]};
        memcpy(label, turned, 2);
        if (w->use[tensor[i]].scale >= 0) scaled_by = i;
    }
    if (scaled_by < 0) return graph_copy_node(to, &dot, in);
    const char *label = scaled_by == n->nin - 2 ? dot.attr.dot.a : dot.attr.dot.b;
    bool starts = dot.op == OP_dot_add;
    dot.op = OP_dot;
    dot.nin = 2;
    Ref y = graph_copy_node(to, &dot, in + n->nin - 2);
    Ref scale = scale_of(w, to, tensor[scaled_by], n->span);
    return scaled(to, y, scale, place_from_end(dot.attr.dot.out, label[0]),
                  starts ? in[0] : REF_NONE, n->span);
}

static Ref rewrite(const Weights *w, Graph *to, const Graph *g, const Node *n, Ref *in) {
    int tensor[3] = {-1, -1, -1}, own = n->op == OP_state ? n->attr.tensor : -1;
    bool any = false;
    for (int i = 0; i < n->nin && i < 3; i++) {
        tensor[i] = tensor_of(g, n->in[i]);
        any |= is_matrix(w, tensor[i]);
    }
    if (is_matrix(w, own))
        return graph_add(to, OP_state, &n->attr, NULL, 0, &w->out->tensor[own].type, n->span);
    if (any && is_product(n)) return product(w, to, n, in, tensor);
    if (any && n->op == OP_take) return rows_picked(w, to, n, in, tensor[0]);
    return graph_copy_node(to, n, in);
}

static Graph *rewrite_graph(const Weights *w, const Graph *g) {
    Arena *scratch = arena_new();
    Graph *to = graph_new(g->arena, g->name);
    RefMap map = refmap_new(scratch, g);
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        refmap_set_node(&map, g, i, rewrite(w, to, g, n, refmap_inputs(&map, n, scratch)));
    }
    refmap_outputs(&map, g, to);
    arena_free(scratch);
    return to;
}

/* What only uses parameters: without training, and without initial values, which a checkpoint
 * brings. */
static Program *without_training(const Program *in) {
    Program *p = program_like(in);
    p->nentry = 0;
    for (size_t i = 0; i < in->nentry; i++)
        if (in->entry[i].kind != ENTRY_train) p->entry[p->nentry++] = in->entry[i];
    p->init = NULL;
    return p;
}

Program *weights_program(const Program *program, DType to) {
    const Program *in = without_training(program);
    Weights w = {in, program_like(in), to, NEW_N(in->arena, Use, in->ntensor + 1)};
    for (size_t i = 0; i < in->ntensor; i++) w.use[i].scale = -1;
    for (size_t i = 0; i < in->nentry; i++)
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (in->entry[i].graph[k]) find_uses(&w, in->entry[i].graph[k]);
    for (int i = 0; i < (int)in->ntensor; i++)
        if (is_matrix(&w, i)) change_tensor(&w, i);
    for (size_t i = 0; i < in->nentry; i++)
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (in->entry[i].graph[k])
                w.out->entry[i].graph[k] = rewrite_graph(&w, in->entry[i].graph[k]);
    return w.out;
}
