/* convolve: a product whose result is folded is the gradient of a convolution by its input, or a
 * transposed convolution, and computes every place of every window only to add them up. It becomes
 * a product of windows again (Dumoulin and Visin 2016, section 4): of what was multiplied, padded,
 * with the weights' places in reverse. Nothing is then as large as all windows.
 *
 * Windows s apart give an element e only the places k that leave the same rest as e divided by s:
 * the elements of each rest are a convolution of their own, with every s-th place of the weights,
 * and lie in turn. What stays: windows that are no more than what they are folded to; those that
 * reach far beyond their number, such as a single one, of which a convolution would mostly multiply
 * zeros; and windows apart and dilated at once, which is a limit. */
#include <string.h>

#include "passes/internal.h"

static const double MOST_WASTE = 1.5; /* products of a convolution, to those before */
enum { AXES = 3 };

/* x[e] = sum over o, k with e = o step + k dilate of y[o] w[k], for `size` elements from `first`.
 */
typedef struct Adjoint {
    const Node *fold, *dot, *cut; /* cut: NULL, or the slice that alone reads the fold */
    int y, w;                     /* which operand of the product */
    int axis, rank;               /* of windows, in the fold; */
    int y_axis, w_axis[AXES];     /* in y, and of each axis' places in w */
    int64_t first[AXES], size[AXES], windows[AXES];
} Adjoint;

typedef struct Phase { /* the elements of one rest, along each axis */
    int64_t rest[AXES];
} Phase;

typedef struct Convolve {
    const Graph *from;
    Graph *g;
    RefMap map;
    Arena *scratch;
    const int *uses;      /* by node */
    const uint32_t *user; /* by node: the last that reads it */
} Convolve;

static const char *labels_of(const Node *dot, int operand) {
    return operand ? dot->attr.dot.b : dot->attr.dot.a;
}

static int find_label(const char *labels, char c) {
    const char *at = strchr(labels, c);
    return at ? (int)(at - labels) : -1;
}

/* ---- which they are */

/* Has the operand all labels of the windows, beside each other, and none of the places? */
static bool has_windows(const Adjoint *a, int operand) {
    const char *own = labels_of(a->dot, operand), *out = a->dot->attr.dot.out;
    int first = find_label(own, out[a->axis]);
    for (int i = 0; i < a->rank; i++) {
        if (first < 0 || find_label(own, out[a->axis + i]) != first + i) return false;
        if (find_label(own, out[a->axis + a->rank + i]) >= 0) return false;
    }
    return true;
}

static bool has_places(const Adjoint *a, int operand) {
    const char *own = labels_of(a->dot, operand), *out = a->dot->attr.dot.out;
    for (int i = 0; i < a->rank; i++) {
        if (find_label(own, out[a->axis + a->rank + i]) < 0) return false;
        if (find_label(own, out[a->axis + i]) >= 0) return false;
    }
    return true;
}

/* The slice that alone reads the fold, if it takes elements that lie beside each other. */
static const Node *cut_of(const Convolve *c, uint32_t fold) {
    const Node *n = c->from->node[fold], *user = c->from->node[c->user[fold]];
    if (c->uses[fold] != 1 || user->op != OP_slice) return NULL;
    for (int i = 0; i < n->attr.window.rank; i++)
        if (user->attr.slice.step[n->attr.window.axis + i] != 1) return NULL;
    return user;
}

static bool is_worth(const Adjoint *a) {
    double before = 1, after = 1, places = 1, elements = 1;
    for (int i = 0; i < a->rank; i++) {
        int64_t step = a->fold->attr.window.step[i];
        if (step > 1 && a->fold->attr.window.dilate[i] > 1) return false;
        before *= (double)a->windows[i];
        after *= (double)((a->size[i] + step - 1) / step);
        places *= (double)(a->windows[i] * a->fold->attr.window.size[i]);
        elements *= (double)a->size[i];
    }
    return places > elements && after <= MOST_WASTE * before;
}

static bool find_adjoint(const Convolve *c, uint32_t fold, Adjoint *a) {
    const Node *n = c->from->node[fold];
    if (n->op != OP_fold) return false;
    const Node *dot = graph_node(c->from, n->in[0]);
    if (dot->op != OP_dot || c->uses[n->in[0].node] != 1) return false;
    if (dot->type[0].rank + 1 > RANK) return false;
    *a = (Adjoint){.fold = n,
                   .dot = dot,
                   .cut = cut_of(c, fold),
                   .axis = n->attr.window.axis,
                   .rank = n->attr.window.rank};
    a->y = has_windows(a, 0) ? 0 : 1;
    a->w = 1 - a->y;
    if (!has_windows(a, a->y) || !has_places(a, a->w)) return false;
    const char *out = dot->attr.dot.out;
    a->y_axis = find_label(labels_of(dot, a->y), out[a->axis]);
    for (int i = 0; i < a->rank; i++) {
        a->w_axis[i] = find_label(labels_of(dot, a->w), out[a->axis + a->rank + i]);
        a->windows[i] = dot->type[0].dim[a->axis + i];
        a->first[i] = a->cut ? a->cut->attr.slice.start[a->axis + i] : 0;
        a->size[i] = (a->cut ? a->cut : n)->type[0].dim[a->axis + i];
    }
    return is_worth(a);
}

/* ---- what becomes of them */

static Ref add_op(Convolve *c, const Adjoint *a, Op op, const Attr *attr, Ref x) {
    return graph_add(c->g, op, attr, &x, 1, NULL, a->fold->span);
}

/* The slice that takes everything. */
static Attr whole(const Type *t) {
    Attr a = {.slice = {.rank = t->rank}};
    for (int i = 0; i < t->rank; i++) {
        a.slice.step[i] = 1;
        a.slice.size[i] = t->dim[i];
    }
    return a;
}

/* Along one axis: every step-th place from the rest on, `places` in number; result q sums, for t
 * from 0 on, what y has at q + from + t dilate times place t from the last. */
typedef struct Along {
    int64_t rest, places, from, dilate, count;
} Along;

static Along along(const Adjoint *a, const Phase *p, int i) {
    int64_t step = a->fold->attr.window.step[i], size = a->fold->attr.window.size[i],
            element = a->first[i] + p->rest[i];
    Along l = {.rest = element % step, .count = (a->size[i] + step - 1) / step};
    l.dilate = step == 1 ? a->fold->attr.window.dilate[i] : 1;
    l.places = l.rest < size ? (size - l.rest + step - 1) / step : 0;
    l.from = element / step - (l.places - 1) * l.dilate;
    return l;
}

/* y where the phase's windows read it, with zeros beyond its ends. */
static Ref reach(Convolve *c, const Adjoint *a, const Along *l, Ref y) {
    const Type *t = graph_type(c->g, y);
    Attr cut = whole(t), pad = {.pad = {.rank = t->rank}};
    bool cuts = false, pads = false;
    for (int i = 0; i < a->rank; i++) {
        int at = a->y_axis + i;
        int64_t first = l[i].from, end = first + l[i].count + (l[i].places - 1) * l[i].dilate,
                from = first > 0 ? first : 0, to = end < t->dim[at] ? end : t->dim[at];
        cut.slice.start[at] = from;
        cut.slice.size[at] = to - from;
        pad.pad.lo[at] = from - first;
        pad.pad.hi[at] = end - to;
        cuts |= to - from != t->dim[at];
        pads |= pad.pad.lo[at] || pad.pad.hi[at];
    }
    if (cuts) y = add_op(c, a, OP_slice, &cut, y);
    return pads ? add_op(c, a, OP_pad, &pad, y) : y;
}

/* The places of the phase, the last one first. */
static Ref reversed(Convolve *c, const Adjoint *a, const Along *l, Ref w) {
    const Type *t = graph_type(c->g, w);
    Attr cut = whole(t);
    for (int i = 0; i < a->rank; i++) {
        int64_t step = a->fold->attr.window.step[i];
        cut.slice.start[a->w_axis[i]] = l[i].rest + step * (l[i].places - 1);
        cut.slice.step[a->w_axis[i]] = -step;
        cut.slice.size[a->w_axis[i]] = l[i].places;
    }
    return add_op(c, a, OP_slice, &cut, w);
}

static Ref no_places(Convolve *c, const Adjoint *a, const Along *l) {
    Type t = a->fold->type[0];
    for (int i = 0; i < a->rank; i++) t.dim[a->axis + i] = l[i].count;
    return g_fill(c->g, &t, 0, a->fold->span);
}

/* Do the windows of the phase meet y at all? */
static bool meets(const Adjoint *a, const Along *l) {
    for (int i = 0; i < a->rank; i++) {
        int64_t end = l[i].from + l[i].count + (l[i].places - 1) * l[i].dilate;
        if (!l[i].places || end <= 0 || l[i].from >= a->windows[i]) return false;
    }
    return true;
}

static Ref convolution(Convolve *c, const Adjoint *a, const Phase *p) {
    const Node *dot = a->dot;
    Along l[AXES];
    Attr windows = {.window = {.axis = a->y_axis, .rank = a->rank}};
    for (int i = 0; i < a->rank; i++) {
        l[i] = along(a, p, i);
        windows.window.dim[i] = l[i].count;
        windows.window.size[i] = l[i].places;
        windows.window.step[i] = 1;
        windows.window.dilate[i] = l[i].dilate;
    }
    if (!meets(a, l)) return no_places(c, a, l);
    Ref in[2];
    char label[2][2 * RANK + 1] = {{0}}, out[RANK + 1] = {0};
    int n = a->rank, behind = a->y_axis + n;
    const char *y = labels_of(dot, a->y), *all = dot->attr.dot.out;
    in[a->y] =
        add_op(c, a, OP_unfold, &windows, reach(c, a, l, refmap_get(&c->map, dot->in[a->y])));
    in[a->w] = reversed(c, a, l, refmap_get(&c->map, dot->in[a->w]));
    memcpy(label[a->y], y, (size_t)behind);
    memcpy(label[a->y] + behind, all + a->axis + n, (size_t)n);
    strcpy(label[a->y] + behind + n, y + behind);
    strcpy(label[a->w], labels_of(dot, a->w));
    memcpy(out, all, (size_t)(a->axis + n));
    strcpy(out + a->axis + n, all + a->axis + 2 * n);
    return g_dot_as(c->g, dot, in[0], in[1], label[0], label[1], out);
}

/* Values of all rests, which lie in turn along the axis. */
static Ref in_turn(Convolve *c, const Adjoint *a, int i, Ref *part, int n) {
    Type t = *graph_type(c->g, part[0]);
    int at = a->axis + i;
    int64_t dim[RANK];
    memcpy(dim, t.dim, sizeof dim);
    for (int k = t.rank; k > at + 1; k--) dim[k] = t.dim[k - 1];
    dim[at + 1] = 1;
    for (int k = 0; k < n; k++) part[k] = g_reshape(c->g, part[k], t.rank + 1, dim, a->fold->span);
    Ref all = graph_add(c->g, OP_concat, &(Attr){.axis = at + 1}, part, n, NULL, a->fold->span);
    t.dim[at] *= n;
    all = g_reshape(c->g, all, t.rank, t.dim, a->fold->span);
    if (t.dim[at] == a->size[i]) return all;
    Attr cut = whole(&t);
    cut.slice.size[at] = a->size[i];
    return add_op(c, a, OP_slice, &cut, all);
}

/* Depth is the number of axes, three at most. */
static Ref all_phases(Convolve *c, const Adjoint *a, int i, Phase *p) {
    if (i == a->rank) return convolution(c, a, p);
    int step = (int)a->fold->attr.window.step[i];
    Ref *part = NEW_N(c->scratch, Ref, step);
    for (int r = 0; r < step; r++) {
        p->rest[i] = r;
        part[r] = all_phases(c, a, i + 1, p);
    }
    return step == 1 ? part[0] : in_turn(c, a, i, part, step);
}

/* What the slice cuts from other axes. */
static Ref other_cuts(Convolve *c, const Adjoint *a, Ref x) {
    Attr cut = a->cut->attr;
    for (int i = 0; i < a->rank; i++) cut.slice.start[a->axis + i] = 0;
    bool all = true;
    for (int i = 0; i < cut.slice.rank; i++)
        all &= cut.slice.step[i] == 1 && cut.slice.size[i] == graph_type(c->g, x)->dim[i];
    return all ? x : add_op(c, a, OP_slice, &cut, x);
}

static void copy_node(Convolve *c, uint32_t at) {
    const Node *n = c->from->node[at];
    Adjoint a;
    Phase p = {{0}};
    bool cuts = n->op == OP_slice && find_adjoint(c, n->in[0].node, &a) && a.cut == n;
    if (cuts)
        refmap_set(&c->map, (Ref){at, 0}, other_cuts(c, &a, all_phases(c, &a, 0, &p)));
    else if (find_adjoint(c, at, &a) && !a.cut)
        refmap_set(&c->map, (Ref){at, 0}, all_phases(c, &a, 0, &p));
    else
        refmap_set_node(&c->map, c->from, at,
                        graph_copy_node(c->g, n, refmap_inputs(&c->map, n, c->scratch)));
}

static bool has_folds(const Graph *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->node[i]->op == OP_fold) return true;
    return false;
}

static Graph *convolve_all(const Graph *g, PassCx *cx) {
    Arena *scratch = arena_new();
    int *uses = NEW_N(scratch, int, g->n + 1);
    uint32_t *user = NEW_N(scratch, uint32_t, g->n + 1);
    const bool *reached = graph_reached(g, scratch);
    for (uint32_t i = 0; i < g->n; i++)
        for (int k = 0; reached[i] && k < g->node[i]->nin; k++) {
            uses[g->node[i]->in[k].node]++;
            user[g->node[i]->in[k].node] = i;
        }
    for (size_t i = 0; i < g->nout; i++) uses[g->out[i].ref.node] += 2; /* stays as it is */
    Convolve c = {.from = g,
                  .g = graph_new(cx->arena, g->name),
                  .map = refmap_new(scratch, g),
                  .scratch = scratch,
                  .uses = uses,
                  .user = user};
    for (uint32_t i = 0; i < g->n; i++)
        if (reached[i]) copy_node(&c, i);
    refmap_outputs(&c.map, g, c.g);
    Graph *out = graph_prune(cx->arena, c.g, g->name, NULL);
    arena_free(scratch);
    return out;
}

static Graph *convolve_graph(const Program *p, const Graph *g, PassCx *cx) {
    return loops_map(p, has_folds(g) ? convolve_all(g, cx) : (Graph *)g, cx, convolve_graph);
}

Program *pass_convolve(const Program *in, PassCx *cx) {
    return program_map(in, cx, convolve_graph);
}
