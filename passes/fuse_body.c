/* Bodies of kernels. A value is emitted in a frame, which says where its axes lie in the group's
 * domain; views between computed values only change frames, views of stored values are copied onto
 * the argument. */
#include <string.h>

#include "passes/fuse.h"

typedef struct Memo {
    Ref from, to;
    Frame frame;
    struct Memo *next;
} Memo;
typedef struct BodyCx {
    Fuse *f;
    const GroupInfo *group;
    int id;
    Graph *body, *outer;
    RefMap *value;
    VEC(uint32_t) touched; /* nodes with a memo */
    VEC(Ref) arg;          /* values of the outer graph */
} BodyCx;

/* ---- kinds of nodes */
bool fuse_is_index(Op op) {
    return op == OP_step || op == OP_steps || op == OP_live ||
           (op_info[op].lower == LOWER_MAP && op_info[op].arity == 0);
}
bool fuse_computes(const Node *n) {
    return n->nin > 0 && n->op != OP_fused &&
           (op_info[n->op].lower == LOWER_MAP || op_info[n->op].lower == LOWER_REDUCE);
}

uint32_t reduced_sizes(const Node *n, const Type *in) {
    uint32_t axes = n->op == OP_argmax ? UINT32_C(1) << n->attr.axis : n->attr.axes, out = 0;
    if (op_info[n->op].lower != LOWER_REDUCE) return 0;
    for (int i = 0; i < in->rank; i++)
        if (axes >> i & 1 && in->dim[i] != 1) out |= UINT32_C(1) << i;
    return out;
}

/* ---- domains and frames */
Domain fuse_domain(const Graph *g, uint32_t at) {
    const Node *n = g->node[at];
    const Type *t = op_info[n->op].lower == LOWER_REDUCE ? graph_type(g, n->in[0]) : &n->type[0];
    uint32_t axes = reduced_sizes(n, t);
    Domain d = {.rank = 0};
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != 1) {
            d.reduced |= (axes >> i & 1) << d.rank;
            d.dim[d.rank++] = t->dim[i];
        }
    return d;
}

static bool frame_of(const Domain *d, uint32_t skip, const Type *t, Frame *f) {
    int at = 0;
    for (int i = 0; i < t->rank; i++) {
        f->axis[i] = -1;
        if (t->dim[i] == 1) continue;
        while (at < d->rank && skip >> at & 1) at++;
        if (at == d->rank || d->dim[at] != t->dim[i]) return false;
        f->axis[i] = (int8_t)at++;
    }
    while (at < d->rank && skip >> at & 1) at++;
    return at == d->rank;
}
bool frame_fits(const Domain *d, const Type *t, Frame *out) {
    memset(out, -1, sizeof *out);
    return frame_of(d, 0, t, out) || frame_of(d, d->reduced, t, out);
}

bool frame_through(const Graph *g, const Node *view, const Frame *f, Frame *in) {
    const Type *from = graph_type(g, view->in[0]), *to = &view->type[0];
    memset(in, -1, sizeof *in);
    if (view->op == OP_transpose)
        for (int i = 0; i < to->rank; i++) in->axis[view->attr.perm.axis[i]] = f->axis[i];
    else if (view->op == OP_expand)
        *in = frame_input(to, f, from);
    else if (view->op == OP_reshape) {
        int at = 0;
        for (int i = 0; i < from->rank; i++) {
            if (from->dim[i] == 1) continue;
            while (at < to->rank && to->dim[at] == 1) at++;
            if (at == to->rank || to->dim[at] != from->dim[i]) return false;
            in->axis[i] = f->axis[at++];
        }
    } else {
        return false;
    }
    return true;
}

Frame frame_input(const Type *result, const Frame *f, const Type *in) {
    Frame r;
    memset(&r, -1, sizeof r);
    for (int i = 0; i < in->rank; i++)
        if (in->dim[i] != 1) r.axis[i] = f->axis[i + result->rank - in->rank];
    return r;
}

Frame frame_full(const Domain *d, const Type *t) {
    Frame r;
    memset(&r, -1, sizeof r);
    CHECK(frame_of(d, 0, t, &r));
    return r;
}

/* ---- emitting */
static Ref emit(BodyCx *cx, Ref r, Frame f);

/* A value in its own axes becomes one of the domain's rank. */
static Ref align(BodyCx *cx, Ref x, const Frame *f, Span at) {
    const Domain *d = &cx->group->domain;
    const Type *t = graph_type(cx->body, x);
    int perm[RANK], n = 0;
    int64_t dim[RANK];
    for (int a = -1; a < d->rank; a++)
        for (int i = 0; i < t->rank; i++)
            if (f->axis[i] == a) perm[n++] = i;
    CHECK(n == t->rank);
    for (int a = 0; a < d->rank; a++) dim[a] = 1;
    int last = -1;
    bool sorted = true;
    for (int i = 0; i < t->rank; i++) {
        if (f->axis[i] < 0) continue;
        dim[f->axis[i]] = t->dim[i];
        sorted &= f->axis[i] > last;
        last = f->axis[i];
    }
    if (!sorted) x = g_transpose(cx->body, x, perm, at);
    return g_reshape(cx->body, x, d->rank, dim, at);
}

static Ref argument(BodyCx *cx, Ref stored) {
    Ref outer = refmap_get(cx->value, stored);
    CHECK(ref_is(outer));
    size_t i = 0;
    while (i < cx->arg.n && !ref_same(cx->arg.at[i], outer)) i++;
    if (i == cx->arg.n) vec_push(cx->f->arena, &cx->arg, outer);
    return graph_add(cx->body, OP_arg, &(Attr){.count = (int64_t)i}, NULL, 0,
                     graph_type(cx->outer, outer), (Span){0});
}

static Ref leaf(BodyCx *cx, Ref r) {
    const Node *n = graph_node(cx->f->g, r);
    return fuse_is_index(n->op)
               ? graph_add(cx->body, n->op, &n->attr, NULL, 0, &n->type[0], n->span)
               : argument(cx, r);
}

/* A view whose axes do not stay whole lies on something stored: the chain down to `base` is copied
 * onto x as it is. */
static Ref copied_view(BodyCx *cx, Ref r, Ref base, Ref x) {
    const Graph *g = cx->f->g;
    Ref chain[64];
    int n = 0;
    for (Ref at = r; !ref_same(at, base); at = graph_node(g, at)->in[0]) {
        CHECK(n < 64);
        chain[n++] = at;
    }
    while (n--) x = graph_copy_node(cx->body, graph_node(g, chain[n]), &x);
    return x;
}

static bool whole_domain(const Domain *d, const Type *t) {
    bool same = t->rank == d->rank;
    for (int i = 0; same && i < d->rank; i++) same = t->dim[i] == d->dim[i];
    return same;
}

static Ref emit_reduction(BodyCx *cx, const Node *n) {
    const Domain *d = &cx->group->domain;
    const Type *in = graph_type(cx->f->g, n->in[0]);
    CHECK(reduced_sizes(n, in) != 0);
    Ref x = emit(cx, n->in[0], frame_full(d, in));
    if (!whole_domain(d, graph_type(cx->body, x))) /* a sum of equal terms has as many terms */
        x = g_expand(cx->body, x, d->rank, d->dim, n->span);
    Attr a = n->attr;
    if (n->op == OP_argmax)
        a.axis = __builtin_ctz(d->reduced);
    else
        a.axes = d->reduced;
    return graph_add(cx->body, n->op, &a, &x, 1, NULL, n->span);
}

/* A reduction of axes of size 1 only changes the type. */
static Ref emit_unreduced(BodyCx *cx, const Node *n, Frame f) {
    Ref x = emit(cx, n->in[0], f);
    if (n->op == OP_argmax) return g_const(cx->body, DT_i32, 0, n->span);
    return g_cast(cx->body, x, n->type[0].dtype, n->span);
}

static Ref emit_pointwise(BodyCx *cx, const Node *n, Frame f) {
    Ref in[3];
    CHECK(n->nin <= 3);
    for (int i = 0; i < n->nin; i++)
        in[i] = emit(cx, n->in[i], frame_input(&n->type[0], &f, graph_type(cx->f->g, n->in[i])));
    return graph_add(cx->body, n->op, &n->attr, in, n->nin, NULL, n->span);
}

/* A view, which may be a member itself; below it the first value that is stored, or is no view
 * whose axes stay whole. */
static Ref emit_view(BodyCx *cx, Ref r, Frame f) {
    const Graph *g = cx->f->g;
    Frame in;
    for (Ref at = r; op_info[graph_node(g, at)->op].lower == LOWER_VIEW; f = in) {
        if (!ref_same(at, r) && cx->f->stored[at.node]) return emit(cx, at, f);
        if (!frame_through(g, graph_node(g, at), &f, &in)) {
            Ref base = view_of(g, at).base;
            return align(cx, copied_view(cx, at, base, leaf(cx, base)), &f,
                         graph_node(g, at)->span);
        }
        at = graph_node(g, at)->in[0];
        if (op_info[graph_node(g, at)->op].lower != LOWER_VIEW) return emit(cx, at, in);
    }
    BUG("not a view");
}

static Ref emit_new(BodyCx *cx, Ref r, Frame f) {
    const Fuse *fu = cx->f;
    const Node *n = graph_node(fu->g, r);
    bool member = fu->group[r.node] == cx->id;
    if (n->op == OP_const) /* broadcasts to whatever it meets */
        return g_const(cx->body, n->type[0].dtype, n->attr.num, n->span);
    if (fuse_is_index(n->op) || (fu->stored[r.node] && !member))
        return align(cx, leaf(cx, r), &f, n->span);
    if (op_info[n->op].lower == LOWER_VIEW) return emit_view(cx, r, f);
    CHECK(member || fu->inlined[r.node]);
    if (op_info[n->op].lower != LOWER_REDUCE) return emit_pointwise(cx, n, f);
    return reduced_sizes(n, graph_type(fu->g, n->in[0])) ? emit_reduction(cx, n)
                                                         : emit_unreduced(cx, n, f);
}

/* Depth is bounded by the size of a group, which deciding limits. */
static Ref emit(BodyCx *cx, Ref r, Frame f) {
    for (Memo *m = cx->f->memo[r.node]; m; m = m->next)
        if (ref_same(m->from, r) && memcmp(&m->frame, &f, sizeof f) == 0) return m->to;
    Ref x = emit_new(cx, r, f);
    if (!cx->f->memo[r.node]) vec_push(cx->f->arena, &cx->touched, r.node);
    Memo *m = NEW(cx->f->arena, Memo);
    *m = (Memo){r, x, f, cx->f->memo[r.node]};
    cx->f->memo[r.node] = m;
    return x;
}

/* ---- a group */
/* What is stored has every size of its type, even where the value is the same along an axis. */
static Ref spread(BodyCx *cx, Ref x, const Type *t, const Frame *f, Span at) {
    const Domain *d = &cx->group->domain;
    int64_t dim[RANK];
    for (int a = 0; a < d->rank; a++) dim[a] = 1;
    for (int i = 0; i < t->rank; i++)
        if (f->axis[i] >= 0) dim[f->axis[i]] = t->dim[i];
    return g_expand(cx->body, x, d->rank, dim, at);
}

/* A group of its own for what moves data in pieces. */
static Ref emit_pieces(BodyCx *cx, const Node *n) {
    Ref *in = NEW_N(cx->f->arena, Ref, n->nin);
    for (int i = 0; i < n->nin; i++) {
        Ref base = cx->f->stored[n->in[i].node] ? n->in[i] : view_of(cx->f->g, n->in[i]).base;
        in[i] = copied_view(cx, n->in[i], base, argument(cx, base));
    }
    return graph_copy_node(cx->body, n, in);
}

static Ref emit_member(BodyCx *cx, uint32_t at) {
    const Node *n = cx->f->g->node[at];
    Frame f;
    if (n->op == OP_concat || n->op == OP_pad) return emit_pieces(cx, n);
    CHECK(frame_fits(&cx->group->domain, &n->type[0], &f));
    Ref r = {at, 0};
    Ref x = op_info[n->op].lower == LOWER_VIEW ? emit_view(cx, r, f) : emit(cx, r, f);
    return spread(cx, x, &n->type[0], &f, n->span);
}

void fuse_emit_group(Fuse *f, const GroupInfo *group, Graph *to, RefMap *value) {
    BodyCx cx = {
        .f = f, .group = group, .id = f->group[group->member.at[0]], .outer = to, .value = value};
    cx.body = graph_new(to->arena, "body");
    VEC(uint32_t) out = {0};
    for (size_t i = 0; i < group->member.n; i++) {
        uint32_t at = group->member.at[i];
        if (!f->stored[at]) continue;
        vec_push(f->arena, &out, at);
        graph_out(cx.body, OUT_value, NULL, 0, emit_member(&cx, at), f->g->node[at]->span);
    }
    for (size_t i = 0; i < cx.touched.n; i++) f->memo[cx.touched.at[i]] = NULL;
    Span span = f->g->node[out.at[out.n - 1]]->span;
    Ref fused =
        graph_add(to, OP_fused, &(Attr){.body = cx.body}, cx.arg.at, (int)cx.arg.n, NULL, span);
    for (size_t i = 0; i < out.n; i++) {
        const Node *n = f->g->node[out.at[i]];
        const Type *t = &n->type[0];
        Ref x = g_reshape(to, (Ref){fused.node, (uint32_t)i}, t->rank, t->dim, n->span);
        refmap_set(value, (Ref){out.at[i], 0}, x);
    }
}
