/* From fused graphs and their memory plans to the steps that the runtime walks. Every kernel of a
 * program is analysed first, then all structures not yet known are compiled together. */
#include <math.h>
#include <string.h>

#include "codegen/build.h"
#include "codegen/facts.h"
#include "codegen/jit.h"
#include "codegen/loops.h"
#include "codegen/table.h"
#include "codegen/tiles.h"

enum { MAX_RESULTS_SPLIT = 64 };
_Static_assert((int)RT_OUT_loss == OUT_loss && (int)RT_OUT_report == OUT_report &&
                   (int)RT_OUT_text == OUT_text && (int)RT_OUT_watch == OUT_watch &&
                   (int)RT_OUT_image == OUT_image && (int)RT_OUT_value == OUT_value,
               "kinds of outputs");
_Static_assert((int)RT_PLANS == ENTRY_GRAPHS, "graphs of an entry");
_Static_assert((int)RT_TENSOR_param == TENSOR_param && (int)RT_TENSOR_state == TENSOR_state &&
                   (int)RT_TENSOR_optim == TENSOR_optim && (int)RT_TENSOR_acc == TENSOR_acc &&
                   (int)RT_TENSOR_cache == TENSOR_cache && (int)RT_TENSOR_bank == TENSOR_bank &&
                   (int)RT_TENSOR_scale == TENSOR_scale && (int)RT_KEPT_rows == KEPT_rows &&
                   (int)RT_KEPT_turned == KEPT_turned,
               "kinds of tensors");
_Static_assert((int)RT_ENTRY_train == ENTRY_train && (int)RT_ENTRY_eval == ENTRY_eval &&
                   (int)RT_ENTRY_sample == ENTRY_sample &&
                   (int)RT_ENTRY_generate == ENTRY_generate &&
                   (int)RT_ENTRY_predict == ENTRY_predict &&
                   (int)RT_ENTRY_features == ENTRY_features,
               "kinds of entries");

struct Codegen {
    Jit *jit;
    Arena *arena;
    Times *times;
    PendingList pending;
    RtTiles tiles[TILE_KINDS];
    bool products[TILE_KINDS]; /* that want them */
    double planning;           /* seconds */
    int steps;
};

Codegen *codegen_new(const CodegenOptions *o, Err *e) {
    Jit *jit = jit_new(o, e);
    if (!jit) return NULL;
    Arena *a = arena_new();
    Codegen *c = NEW(a, Codegen);
    *c = (Codegen){.jit = jit, .arena = a, .times = o->times};
    for (int k = 0; k < TILE_KINDS; k++) c->tiles[k] = tiles_shape(jit_host(jit), (TileKind)k);
    return c;
}
void codegen_free(Codegen *c) {
    if (!c) return;
    jit_free(c->jit);
    arena_free(c->arena);
}
size_t codegen_kernels(const Codegen *c) {
    return jit_count(c->jit);
}
const char *codegen_note(const Codegen *c) {
    return jit_note(c->jit);
}

/* ---- buffers */
int32_t build_buffer(Build *b, const PlanBuffer *p) {
    RtBuffer r = {.index = p->index, .offset = p->offset, .bytes = p->bytes};
    switch (p->where) {
    case PLAN_ARENA: r.where = RT_ARENA; break;
    case PLAN_TENSOR: r.where = RT_TENSOR; break;
    case PLAN_FIELD:
        r.where = RT_FIELD;
        r.index = b->field[p->index];
        break;
    case PLAN_ARG:
    case PLAN_RESULT: /* until the turns are written out: a place that no other is */
        vec_push(b->arena, &b->moving, (Moving){(int32_t)b->buffer.n, p->where, p->index});
        r.where = RT_ARENA;
        r.index = (int32_t)b->moving.n;
        break;
    case PLAN_NONE: BUG("%s: a value without storage is used", b->label);
    }
    vec_push(b->arena, &b->buffer, r);
    return (int32_t)b->buffer.n - 1;
}

int32_t build_value(Build *b, Ref r) {
    int v = b->plan->first[r.node] + (int)r.out;
    if (b->value[v] < 0) b->value[v] = build_buffer(b, &b->plan->buffer[v]);
    return b->value[v];
}

int32_t build_stretch(Build *b, int32_t of, int64_t offset, int64_t bytes) {
    RtBuffer r = b->buffer.at[of];
    r.offset += offset;
    r.bytes = bytes;
    for (size_t i = 0; i < b->moving.n; i++) {
        Moving m = b->moving.at[i];
        if (m.buffer != of) continue;
        m.buffer = (int32_t)b->buffer.n;
        vec_push(b->arena, &b->moving, m);
        break;
    }
    vec_push(b->arena, &b->buffer, r);
    return (int32_t)b->buffer.n - 1;
}

int32_t build_scratch(Build *b, int64_t bytes) {
    PlanBuffer p = {.where = PLAN_ARENA, .bytes = bytes};
    p.offset = plan_room(b->plan, b->node, b->scratch.at, (int)b->scratch.n, bytes);
    if (p.offset + bytes > b->arena_bytes) b->arena_bytes = p.offset + bytes;
    vec_push(b->arena, &b->scratch, p);
    return build_buffer(b, &p);
}

int32_t build_lasting(Build *b, int64_t bytes) {
    RtBuffer r = {.where = RT_ARENA, .bytes = bytes};
    vec_push(b->arena, &b->lasting, (int32_t)b->buffer.n);
    vec_push(b->arena, &b->buffer, r);
    return (int32_t)b->buffer.n - 1;
}

/* ---- steps */
RtStep *build_step(Build *b, RtStepKind kind, const int32_t *buf, int nbuf, int nread) {
    RtStep s = {.kind = kind,
                .buf = arena_memdup(b->arena, buf, (size_t)nbuf * sizeof *buf),
                .nbuf = nbuf,
                .nread = nread,
                .tasks = 1};
    s.label = s.name = b->label;
    s.span = b->span;
    s.node = -1;
    vec_push(b->arena, &b->step, s);
    return &b->step.at[b->step.n - 1];
}

void build_before(Build *b) {
    vec_push(b->arena, &b->before, b->step.at[--b->step.n]);
}

void build_kernel(Build *b, Kernel *k, const int32_t *buf, Facts facts) {
    if (!k) return;
    RtStep *step = build_step(b, RT_KERNEL, buf, k->nbuf, kernel_reads(k));
    kernel_arguments(k, step, b->arena);
    step->bytes = facts.bytes, step->operations = facts.operations;
    vec_push(b->arena, b->pending,
             (Pending){.plan = b->out, .step = (int)b->step.n - 1, .kernel = k, .times = 1});
}

void build_rows(Build *b, const RowsForm *f, const RowsShape *s, const int32_t *buf, Facts facts) {
    RtStep *step = build_step(b, RT_KERNEL, buf, f->starts ? 4 : 3, f->starts ? 3 : 2);
    rows_arguments(step, f, s, b->arena);
    step->bytes = facts.bytes, step->operations = facts.operations;
    const RowsForm *form = arena_memdup(b->arena, f, sizeof *f);
    vec_push(b->arena, b->pending,
             (Pending){.plan = b->out, .step = (int)b->step.n - 1, .rows = form, .times = 1});
}

void build_copy(Build *b, DType t, const View *src, int32_t from, const View *dst, int32_t to) {
    int32_t both[] = {from, to};
    double bytes = (src ? 2 : 1) * (double)dtype_size(t);
    for (int i = 0; i < dst->rank; i++) bytes *= (double)dst->dim[i];
    build_kernel(b, kernel_of_copy(b->arena, t, src, dst), src ? both : &to, (Facts){bytes, 0});
}

void build_body(Build *b, const Graph *body, int nargs, const int32_t *buf) {
    build_kernel(b, kernel_of_body(b->arena, body, nargs, b->err), buf, body_facts(body));
}

void build_cast(Build *b, DType of, DType as, int32_t from, int32_t to, int64_t count) {
    Graph *body = graph_new(b->arena, "cast");
    Type t = type_make(of, 1, &count);
    Ref x = graph_add(body, OP_arg, &(Attr){.count = 0}, NULL, 0, &t, (Span){0});
    graph_out(body, OUT_value, NULL, 0, g_cast(body, x, as, (Span){0}), (Span){0});
    build_body(b, body, 1, (int32_t[]){from, to});
}

/* ---- groups */
/* The buffer behind a value of a body: an argument of the group. */
static bool body_argument(const Node *group, Ref r, View *v, int *arg) {
    *v = view_of(group->attr.body, r);
    const Node *n = graph_node(group->attr.body, v->base);
    *arg = (int)n->attr.count;
    return n->op == OP_arg;
}

static void build_concat(Build *b, const Node *group, const Node *n, int32_t out) {
    View whole = view_contiguous(n->type[0].rank, n->type[0].dim);
    int axis = n->attr.axis;
    for (int i = 0; i < n->nin; i++) {
        View src, dst = whole;
        int arg;
        if (!body_argument(group, n->in[i], &src, &arg))
            BUG("%s: concat of a computed value", b->label);
        dst.dim[axis] = src.dim[axis];
        build_copy(b, n->type[0].dtype, &src, build_value(b, group->in[arg]), &dst, out);
        whole.offset += src.dim[axis] * whole.stride[axis];
    }
}

/* Zeros before and behind what a pad puts into `inside`, an axis after the other: along axis i for
 * the places that lie inside along those before. */
static void build_borders(Build *b, const Node *n, const View *inside, int32_t out) {
    View whole = view_contiguous(n->type[0].rank, n->type[0].dim), box = whole;
    for (int i = 0; i < whole.rank; i++) {
        int64_t lo = n->attr.pad.lo[i], hi = n->attr.pad.hi[i];
        View side = box;
        side.dim[i] = lo;
        if (lo) build_copy(b, n->type[0].dtype, NULL, -1, &side, out);
        side.dim[i] = hi;
        side.offset += (whole.dim[i] - hi) * whole.stride[i];
        if (hi) build_copy(b, n->type[0].dtype, NULL, -1, &side, out);
        box.dim[i] = inside->dim[i];
        box.offset += lo * whole.stride[i];
    }
}

static bool pads_between(const Attr *a) {
    for (int i = 0; i < a->pad.rank; i++)
        if (a->pad.gap[i]) return true;
    return false;
}

static void build_pad(Build *b, const Node *group, const Node *n, int32_t out) {
    View whole = view_contiguous(n->type[0].rank, n->type[0].dim), src, dst = whole;
    int arg;
    if (!body_argument(group, n->in[0], &src, &arg)) BUG("%s: pad of a computed value", b->label);
    for (int i = 0; i < whole.rank; i++) {
        dst.offset += n->attr.pad.lo[i] * whole.stride[i];
        dst.stride[i] *= 1 + n->attr.pad.gap[i];
        dst.dim[i] = src.dim[i];
    }
    if (pads_between(&n->attr))
        build_copy(b, n->type[0].dtype, NULL, -1, &whole, out);
    else
        build_borders(b, n, &dst, out);
    build_copy(b, n->type[0].dtype, &src, build_value(b, group->in[arg]), &dst, out);
}

/* The parts of each reduction of a split kernel lie in scratch memory; a second kernel reduces
 * them. */
static void build_parts(Build *b, const Node *n, Kernel *k, int64_t parts, int32_t *buf) {
    Graph *body = graph_new(b->arena, "parts");
    int32_t *from = NEW_N(b->arena, int32_t, 2 * n->nout), to[MAX_RESULTS_SPLIT];
    Facts facts = body_facts(n->attr.body);
    int count = 0;
    for (size_t s = 0; s < k->store.n; s++) {
        const Instr *i = &k->instr.at[k->store.at[s].instr];
        int32_t *slot = &buf[k->access.at[k->store.at[s].access].buf];
        if (k->store.at[s].in_loop) continue;
        CHECK(count < MAX_RESULTS_SPLIT);
        int64_t kept = b->buffer.at[*slot].bytes / (int64_t)dtype_size(i->dtype);
        Type t = type_make(i->dtype, 2, (int64_t[]){parts, kept});
        Ref x = graph_add(body, OP_arg, &(Attr){.count = count}, NULL, 0, &t, n->span);
        graph_out(body, OUT_value, NULL, 0, g_reduce(body, i->op, x, 1, n->span), n->span);
        facts.bytes += (double)((parts - 1) * kept) * (double)dtype_size(i->dtype);
        to[count] = *slot;
        from[count++] = *slot = build_scratch(b, parts * kept * (int64_t)dtype_size(i->dtype));
    }
    build_kernel(b, k, buf, facts);
    for (int i = 0; i < count; i++) from[count + i] = to[i];
    build_body(b, body, count, from);
}

static void build_group(Build *b, uint32_t at, const Node *n) {
    const Node *only = graph_node(n->attr.body, n->attr.body->out[0].ref);
    if (only->op == OP_concat || only->op == OP_pad) {
        (only->op == OP_concat ? build_concat : build_pad)(b, n, only,
                                                           build_value(b, (Ref){at, 0}));
        return;
    }
    int32_t *buf = NEW_N(b->arena, int32_t, n->nin + n->nout);
    for (int i = 0; i < n->nin; i++) buf[i] = build_value(b, n->in[i]);
    for (int i = 0; i < n->nout; i++) buf[n->nin + i] = build_value(b, (Ref){at, (uint32_t)i});
    Kernel *k = kernel_of_body(b->arena, n->attr.body, n->nin, b->err);
    int64_t parts = k ? kernel_split(k) : 1;
    if (parts > 1)
        build_parts(b, n, k, parts, buf);
    else
        build_kernel(b, k, buf, body_facts(n->attr.body));
}

static void build_table(Build *b, uint32_t at, const Node *n) {
    int32_t buf[5];
    int nbuf = 0;
    for (int i = 0; i < n->nin; i++) buf[nbuf++] = build_value(b, n->in[i]);
    for (int i = 0; i < n->nout; i++) buf[nbuf++] = build_value(b, (Ref){at, (uint32_t)i});
    RtStep *step = build_step(b, RT_KERNEL, buf, nbuf, n->nin);
    table_step(b->g, n, step, b->arena);
    step->bytes = node_facts(b->g, n).bytes;
    bool updates = n->op == OP_put || n->op == OP_put_add;
    const RtBuffer *x = &b->buffer.at[buf[0]], *y = &b->buffer.at[buf[nbuf - 1]];
    bool in_place = x->where == y->where && x->index == y->index && x->offset == y->offset;
    if (updates && !in_place) step->bytes += 2 * (double)x->bytes;
}

/* The persistent tensor that a value is a view of, or NULL. */
static const char *tensor_name(const Build *b, Ref r) {
    const Node *n = graph_node(b->g, r);
    while (op_info[n->op].lower == LOWER_VIEW && n->nin) n = graph_node(b->g, n->in[0]);
    return n->op == OP_state ? b->program->tensor[n->attr.tensor].name : NULL;
}

/* "softmax", "take from 'embed.weight'": for faults and profiles. */
static const char *node_label(const Build *b, const Node *n) {
    const char *name = op_info[n->op].name;
    if (n->op == OP_fused)
        name = op_info[graph_node(n->attr.body, n->attr.body->out[0].ref)->op].name;
    const char *table = op_info[n->op].lower == LOWER_TABLE ? tensor_name(b, n->in[0]) : NULL;
    return table ? arena_printf(b->arena, "%s from '%s'", name, table) : name;
}

/* ---- initial values: tensors are zero before them, so a zero is not written over a zero */
static bool is_zero(const Build *b, Ref r) {
    const Node *n = graph_node(b->g, view_of(b->g, r).base);
    if (n->op != OP_fused || n->nout > 1) return false;
    const Graph *body = n->attr.body;
    const Node *x = graph_node(body, view_of(body, body->out[0].ref).base);
    return x->op == OP_const && x->attr.num == 0 && !signbit(x->attr.num);
}

static bool is_there(const Build *b, uint32_t at) {
    return b->g == b->program->init && b->plan->buffer[b->plan->first[at]].where == PLAN_TENSOR &&
           is_zero(b, (Ref){at, 0});
}

void build_node(Build *b, uint32_t at) {
    const Node *n = b->g->node[at];
    if (is_there(b, at)) return;
    b->label = node_label(b, n);
    b->span = n->span;
    b->scratch.n = 0;
    b->node = (int)at;
    size_t first = b->step.n, before = b->before.n;
    Lower lower = op_info[n->op].lower;
    if (n->op == OP_fused)
        build_group(b, at, n);
    else if (lower == LOWER_DOT)
        build_dot(b, n, (Ref){at, 0});
    else if (lower == LOWER_TABLE)
        build_table(b, at, n);
    else if (lower == LOWER_LOOP)
        build_loop(b, at, n);
    else if (lower != LOWER_LEAF && !view_is_strided(n))
        BUG("%s: the graph is not fused", b->label);
    if (lower != LOWER_LOOP) facts_node(b, at, first, before); /* whose steps know better */
}

/* ---- plans */
/* Where the new value of a tensor was asked for. */
static Span state_span(const Graph *g, int tensor) {
    for (size_t i = 0; i < g->nout; i++)
        if (g->out[i].kind == OUT_state && g->out[i].index == tensor) return g->out[i].span;
    return (Span){0};
}

static void build_state_copy(Build *b, const PlanCopy *c) {
    const Tensor *t = c->tensor < 0 ? NULL : &b->program->tensor[c->tensor];
    b->label = t ? arena_printf(b->arena, "copy to '%s'", t->name) : "copy of an old value";
    b->span = t ? state_span(b->g, c->tensor) : (Span){0};
    int32_t from = build_buffer(b, &c->source);
    facts_copy(b, t, build_step(b, RT_COPY, (int32_t[]){from, build_buffer(b, &c->target)}, 2, 1));
}

static void finish_outputs(Build *b) {
    for (int i = 0; i < b->plan->ncopy; i++) {
        const PlanCopy *c = &b->plan->copy[i];
        if (b->g != b->program->init || !is_zero(b, c->from)) build_state_copy(b, c);
    }
    RtPlan *out = b->out;
    out->out = NEW_N(b->arena, RtOutput, b->g->nout);
    for (size_t i = 0; i < b->g->nout; i++) {
        const Output *o = &b->g->out[i];
        const Type *t = graph_type(b->g, o->ref);
        if (o->kind == OUT_state) continue;
        b->label = o->name ? o->name : "output";
        out->out[out->nout++] = (RtOutput){.kind = (int)o->kind,
                                           .name = o->name,
                                           .index = o->index,
                                           .buffer = build_buffer(b, &b->plan->out[i]),
                                           .dtype = t->dtype,
                                           .count = type_count(t),
                                           .width = t->rank ? t->dim[t->rank - 1] : 1,
                                           .rank = t->rank,
                                           .span = o->span};
        memcpy(out->out[out->nout - 1].dim, t->dim, sizeof t->dim);
    }
}

/* `fields` of the entry by name; those of the plan that it lacks are a bug of whoever made it. */
static int32_t *number_fields(Arena *a, const Plan *plan, const RtEntry *entry) {
    int32_t *number = NEW_N(a, int32_t, plan->nfield);
    for (int i = 0; i < plan->nfield; i++) {
        number[i] = entry ? -1 : i;
        for (int k = 0; entry && k < entry->nfield; k++)
            if (str_eq(entry->field[k].name, plan->field[i])) number[i] = k;
        CHECK(number[i] >= 0);
    }
    return number;
}

static RtPlan *make_plan(Codegen *c, Arena *a, const Program *p, const Graph *g,
                         const RtEntry *entry, Err *e) {
    double start = clock_seconds();
    Plan *plan = plan_graph(a, p, g);
    c->planning += clock_seconds() - start;
    RtPlan *out = NEW(a, RtPlan);
    Build b = {.arena = a,
               .program = p,
               .g = g,
               .plan = plan,
               .out = out,
               .pending = &c->pending,
               .tiles = c->tiles,
               .err = e};
    b.arena_bytes = plan->arena_bytes;
    b.field = number_fields(a, plan, entry);
    b.phases = phases_of(a, p, g);
    b.value = NEW_N(a, int32_t, plan->nvalue);
    memset(b.value, -1, (size_t)plan->nvalue * sizeof *b.value);
    bool *reached = graph_reached(g, a);
    for (uint32_t i = 0; i < g->n && !e->msg[0]; i++)
        if (reached[i]) build_node(&b, i);
    finish_outputs(&b);
    out->name = g->name;
    out->first = plan->first;
    out->value = b.value;
    out->buffer = b.buffer.at, out->nbuffer = (int)b.buffer.n;
    out->step = b.step.at, out->nstep = (int)b.step.n;
    c->steps += out->nstep;
    for (int i = 0; i < out->nstep; i++)
        if (out->step[i].kind == RT_GEMM) c->products[out->step[i].tiles - c->tiles] = true;
    out->arena_bytes = b.arena_bytes;
    out->pieces = 1;
    return e->msg[0] ? NULL : out;
}

/* ---- kernels of all plans together */
static void set_kernel(const Pending *p, void *fn) {
    for (int k = 0; k < p->times; k++)
        p->plan->step[p->step + k * p->apart].kernel = (RtKernel *)(uintptr_t)fn;
}

static bool compile_all(Codegen *c, Arena *scratch, Err *e) {
    const PendingList *pending = &c->pending;
    TileSources tiles[TILE_KINDS] = {{.n = 0}};
    Source *source = NEW_N(scratch, Source, pending->n + TILE_KINDS * TILE_SOURCES);
    void **at = NEW_N(scratch, void *, pending->n + TILE_KINDS * TILE_SOURCES);
    size_t n = 0;
    for (size_t i = 0; i < pending->n; i++) {
        const Pending *p = &pending->at[i];
        source[n++] = p->kernel ? loops_source(p->kernel) : rows_source(scratch, p->rows);
    }
    for (int k = 0; k < TILE_KINDS; k++) {
        if (c->products[k]) tiles_sources(jit_host(c->jit), (TileKind)k, &tiles[k]);
        for (int i = 0; i < tiles[k].n; i++) source[n++] = tiles[k].source[i];
    }
    if (!jit_addresses(c->jit, source, n, at, e)) return false;
    for (size_t i = 0; i < pending->n; i++) set_kernel(&pending->at[i], at[i]);
    n = pending->n;
    for (int k = 0; k < TILE_KINDS; n += (size_t)tiles[k++].n)
        if (tiles[k].n) tiles_fill(&tiles[k], at + n, &c->tiles[k]);
    return true;
}

static bool compile_pending(Codegen *c, Err *e) {
    Arena *scratch = arena_new();
    bool ok = !e->msg[0] && compile_all(c, scratch, e);
    for (size_t i = 0; i < c->pending.n; i++)
        if (c->pending.at[i].kernel && !c->pending.at[i].borrowed)
            kernel_free(c->pending.at[i].kernel);
    arena_free(scratch);
    c->pending = (PendingList){0};
    return ok;
}

RtPlan *codegen_graph(Codegen *c, Arena *a, const Program *p, const Graph *g, Err *e) {
    RtPlan *plan = make_plan(c, a, p, g, NULL, e);
    return compile_pending(c, e) ? plan : NULL;
}

const RtTiles *codegen_tiles(Codegen *c, Err *e) {
    bool ok = true;
    for (int k = 0; k < TILE_KINDS && ok; k++)
        ok = tiles_make(c->jit, (TileKind)k, &c->tiles[k], e);
    return ok ? c->tiles : NULL;
}

/* ---- programs */
static void copy_tensors(Arena *a, const Program *p, RtProgram *out) {
    out->tensor = NEW_N(a, RtTensor, p->ntensor);
    out->ntensor = (int)p->ntensor;
    for (size_t i = 0; i < p->ntensor; i++) {
        const Tensor *t = &p->tensor[i];
        out->tensor[i] = (RtTensor){.name = t->name,
                                    .kind = (int)t->kind,
                                    .dtype = t->type.dtype,
                                    .rank = t->type.rank,
                                    .like = t->like,
                                    .kept = (int)t->kept,
                                    .fill = t->fill};
        memcpy(out->tensor[i].dim, t->type.dim, sizeof t->type.dim);
        out->tensor[i].bytes = type_count(&t->type) * (int64_t)dtype_size(t->type.dtype);
    }
}

/* The fields of an entry: all that its pipeline yields; without one (tests), those its graphs read.
 */
typedef VEC(Field) FieldList;
static void add_graph_fields(Arena *a, const Graph *g, FieldList *list) {
    for (size_t i = 0; g && i < g->n; i++) {
        const Node *n = g->node[i];
        bool known = n->op != OP_field;
        for (size_t k = 0; k < list->n && !known; k++)
            known = str_eq(list->at[k].name, n->attr.name);
        if (known) continue;
        Field f = {.name = n->attr.name, .dtype = n->type[0].dtype, .rank = n->type[0].rank - 1};
        memcpy(f.dim, n->type[0].dim + 1, (RANK - 1) * sizeof *f.dim);
        vec_push(a, list, f);
    }
}

static void set_fields(Arena *a, const Program *p, const Entry *from, RtEntry *to) {
    FieldList list = {0};
    if (from->data >= 0 && from->data < p->spec.ndata)
        for (int i = 0; i < p->spec.data[from->data].nfield; i++)
            vec_push(a, &list, p->spec.data[from->data].field[i]);
    else {
        for (int i = 0; i < ENTRY_GRAPHS; i++) add_graph_fields(a, from->graph[i], &list);
    }
    to->field = list.at;
    to->nfield = (int)list.n;
}

/* What a step computes, however it reports. */
static uint64_t entry_fingerprint(const Program *p, const Entry *e) {
    const Graph *part[] = {e->step, e->ahead, e->piece};
    uint64_t h = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t own = part[i] ? graph_fingerprint(p, part[i]) : 0;
        h = i ? (own ? hash_mix(h, own) : h) : own;
    }
    return h;
}

static void find_accumulators(Arena *a, const Program *p, const Entry *from, RtEntry *to) {
    bool *adds = NEW_N(a, bool, p->ntensor + 1);
    for (int i = 0; i < ENTRY_GRAPHS; i++)
        for (size_t o = 0; from->graph[i] && o < from->graph[i]->nout; o++)
            if (from->graph[i]->out[o].kind == OUT_state) adds[from->graph[i]->out[o].index] = true;
    to->acc = NEW_N(a, int, p->ntensor + 1);
    for (size_t i = 0; i < p->ntensor; i++)
        if (adds[i] && !tensor_is_saved(p->tensor[i].kind)) to->acc[to->nacc++] = (int)i;
}

static void make_plans(Codegen *c, Arena *a, const Program *p, const Entry *from, RtEntry *to,
                       Err *e) {
    for (int i = 0; i < ENTRY_GRAPHS; i++) {
        if (!from->graph[i] || e->msg[0]) continue;
        to->plan[i] = make_plan(c, a, p, from->graph[i], to, e);
        if (to->plan[i] && i >= ENTRY_PIECES) to->plan[i]->pieces = entry_pieces(p, from);
    }
}

static const char *program_name(Arena *a, const Program *p) {
    const char *path = diag_sources(p->diag) ? diag_path(p->diag, 1) : "program";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
               *dot = strrchr(base, '.');
    return arena_strndup(a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

RtProgram *codegen_program(Codegen *c, Arena *a, const Program *p, Err *e) {
    RtProgram *out = NEW(a, RtProgram);
    double start = clock_seconds();
    c->planning = 0, c->steps = 0;
    out->name = program_name(a, p);
    out->spec = p->spec;
    copy_tensors(a, p, out);
    if (p->init) out->init = make_plan(c, a, p, p->init, NULL, e);
    out->entry = NEW_N(a, RtEntry, p->nentry);
    out->nentry = (int)p->nentry;
    for (size_t i = 0; i < p->nentry && !e->msg[0]; i++) {
        const Entry *from = &p->entry[i];
        RtEntry *to = &out->entry[i];
        *to = (RtEntry){.kind = (int)from->kind,
                        .name = from->name,
                        .data = from->data,
                        .batch = from->batch,
                        .steps = from->steps,
                        .epochs = from->epochs,
                        .graph = entry_fingerprint(p, from)};
        set_fields(a, p, from, to);
        find_accumulators(a, p, from, to);
        make_plans(c, a, p, from, to, e);
    }
    times_stage(c->times, "steps", start, "%d steps, %zu of them kernels", c->steps, c->pending.n);
    times_part(c->times, "plan", c->planning, "%s", "");
    return compile_pending(c, e) ? out : NULL;
}
