/* From bodies to kernels: see kernel.h. Limits: views must lie on leaves, all reductions of a body
 * reduce the same axes. */
#include "codegen/kernel.h"

#include <string.h>

enum { TASK_ELEMENTS = 32 * 1024, VECTOR = 16 };

/* ---- reading a body. Until axes are collapsed they are those of the domain: `rank` of them,
 * aligned at the last. */
typedef struct Reader {
    Kernel *k;
    const Graph *body;
    int *instr; /* of a value (node and result), -1 */
    int rank;
    int64_t dim[RANK];
    uint32_t reduced;
    Err *err;
} Reader;

static bool is_index_space(Op op) {
    return op == OP_iota || op == OP_live || (op_info[op].flags & FLAG_RANDOM) != 0;
}

static int push_instr(Kernel *k, const Instr *i) {
    vec_push(k->arena, &k->instr, *i);
    return (int)k->instr.n - 1;
}

static void widen_domain(Reader *r, const int64_t *dim, int rank) {
    for (; r->rank < rank; r->rank++) {
        memmove(r->dim + 1, r->dim, (size_t)r->rank * sizeof *r->dim);
        r->dim[0] = 1;
    }
    for (int i = 0; i < rank; i++)
        if (dim[i] != 1) r->dim[r->rank - rank + i] = dim[i];
}

/* Strides right-aligned in RANK places: the domain's rank is not known yet. */
static int push_access(Kernel *k, int buf, DType t, const View *v) {
    Access a = {.buf = buf, .dtype = t, .offset = v->offset};
    for (int i = 0; i < v->rank; i++)
        a.stride[RANK - v->rank + i] = v->dim[i] == 1 ? 0 : v->stride[i];
    vec_push(k->arena, &k->access, a);
    return (int)k->access.n - 1;
}

static uint64_t const_word(DType t, double x) {
    uint64_t w = 0;
    float f = (float)x;
    if (t == DT_f64)
        memcpy(&w, &x, sizeof x);
    else if (dtype_is_float(t))
        memcpy(&w, &f, sizeof f);
    else
        w = (uint64_t)(int64_t)x;
    return w;
}

static int push_words(Kernel *k, const Node *n) {
    int first = (int)k->word.n;
    if (n->op == OP_const) {
        vec_push(k->arena, &k->word, const_word(n->type[0].dtype, n->attr.num));
        return first;
    }
    if (!(op_info[n->op].flags & FLAG_RANDOM)) return -1;
    int64_t below = n->op == OP_permutation ? type_count(&n->type[0]) : n->attr.random.below;
    vec_push(k->arena, &k->word, n->attr.random.place);
    vec_push(k->arena, &k->word, (uint64_t)below);
    return first;
}

/* Along the batch an index counts on from piece to piece; random numbers say how they do. */
static void count_on(Access *a, const Node *n) {
    int batch = n->type[0].batch_axis;
    if (n->op == OP_iota && batch == n->attr.axis) a->piece = n->type[0].dim[batch];
    if (!(op_info[n->op].flags & FLAG_RANDOM)) return;
    a->piece = n->attr.random.piece;
    a->loops = n->attr.random.loops;
    for (int i = 0; i < a->loops; i++) a->turn[i] = n->attr.random.turn[i];
}

/* A leaf as it is seen through the views on it. */
static int read_leaf(Reader *r, const View *v) {
    const Node *n = graph_node(r->body, v->base);
    Instr i = {.op = n->op,
               .dtype = n->type[0].dtype,
               .from = n->type[0].dtype,
               .access = -1,
               .word = push_words(r->k, n)};
    widen_domain(r, v->dim, v->rank);
    if (n->op == OP_arg || is_index_space(n->op)) {
        i.access = push_access(r->k, n->op == OP_arg ? (int)n->attr.count : -1, i.dtype, v);
        count_on(&r->k->access.at[i.access], n);
    }
    return push_instr(r->k, &i);
}

/* Views on computed values may only say what alignment says anyway. */
static bool keeps_alignment(const Type *from, const Type *to) {
    for (int i = 1; i <= from->rank || i <= to->rank; i++) {
        int64_t a = i <= from->rank ? from->dim[from->rank - i] : 1,
                b = i <= to->rank ? to->dim[to->rank - i] : 1;
        if (a != b && a != 1) return false;
    }
    return true;
}

static int value_instr(Reader *r, Ref ref) {
    int *slot = &r->instr[ref.node];
    if (*slot >= 0) return *slot;
    View v = view_of(r->body, ref);
    const Node *base = graph_node(r->body, v.base);
    if (base->nin == 0) return *slot = read_leaf(r, &v);
    Ref at = ref;
    while (op_info[graph_node(r->body, at)->op].lower == LOWER_VIEW) {
        const Node *n = graph_node(r->body, at);
        if ((n->op != OP_expand && n->op != OP_reshape) ||
            !keeps_alignment(graph_type(r->body, n->in[0]), &n->type[0])) {
            err_set(r->err, "a kernel cannot have %s of a computed value", op_info[n->op].name);
            return 0;
        }
        at = n->in[0];
        if (r->instr[at.node] >= 0) break;
    }
    widen_domain(r, graph_type(r->body, ref)->dim, graph_type(r->body, ref)->rank);
    return *slot = r->instr[at.node];
}

static uint32_t
reduced_axes(const Node *n,
             const Type *in) { /* bit i: axis i from the last; only axes that have a size */
    uint32_t axes = n->op == OP_argmax ? UINT32_C(1) << n->attr.axis : n->attr.axes, out = 0;
    for (int i = 0; i < in->rank; i++)
        if (axes >> i & 1 && in->dim[i] != 1) out |= UINT32_C(1) << (in->rank - 1 - i);
    return out;
}

static void read_node(Reader *r, uint32_t at) {
    const Node *n = r->body->node[at];
    Instr i = {.op = n->op, .dtype = n->type[0].dtype, .nin = n->nin, .access = -1, .word = -1};
    CHECK(n->nin <= 3);
    for (int j = 0; j < n->nin; j++) i.in[j] = value_instr(r, n->in[j]);
    i.from = graph_type(r->body, n->in[0])->dtype;
    if (op_info[n->op].lower == LOWER_REDUCE) {
        uint32_t axes = reduced_axes(n, graph_type(r->body, n->in[0]));
        if (axes && r->reduced && axes != r->reduced)
            err_set(r->err, "a kernel's reductions differ in their axes");
        i.reduces = axes != 0;
        r->reduced |= axes;
    }
    widen_domain(r, n->type[0].dim, n->type[0].rank);
    r->instr[at] = push_instr(r->k, &i);
}

static void read_outputs(Reader *r, int nargs) {
    for (size_t o = 0; o < r->body->nout; o++) {
        const Type *t = graph_type(r->body, r->body->out[o].ref);
        View v = view_contiguous(t->rank, t->dim);
        Store s = {.instr = value_instr(r, r->body->out[o].ref)};
        s.access = push_access(r->k, nargs + (int)o, t->dtype, &v);
        vec_push(r->k->arena, &r->k->store, s);
    }
}

/* ---- collapsing axes */
static bool axes_merge(const Kernel *k, int i) { /* i with i + 1 */
    if (k->reduced[i] != k->reduced[i + 1]) return false;
    for (size_t j = 0; j < k->access.n; j++)
        if (k->access.at[j].stride[i] != k->access.at[j].stride[i + 1] * k->size[i + 1])
            return false;
    return true;
}

static void remove_axis(Kernel *k, int i) {
    for (int j = i; j + 1 < k->naxis; j++) {
        k->size[j] = k->size[j + 1];
        k->reduced[j] = k->reduced[j + 1];
        for (size_t a = 0; a < k->access.n; a++)
            k->access.at[a].stride[j] = k->access.at[a].stride[j + 1];
    }
    k->naxis--;
}

static void collapse(Kernel *k) {
    for (int i = 0; i < k->naxis; i++)
        if (k->size[i] == 1 && k->naxis > 1) remove_axis(k, i--);
    for (int i = 0; i + 1 < k->naxis; i++)
        if (axes_merge(k, i)) {
            k->size[i + 1] *= k->size[i];
            remove_axis(k, i--);
        }
}

/* ---- what depends on what */
static unsigned access_by(const Kernel *k, const Access *a) {
    unsigned by = 0;
    for (int i = 0; i < k->naxis; i++)
        if (a->stride[i] != 0 && k->size[i] != 1)
            by |= i == k->naxis - 1 ? BY_INNER : k->reduced[i] ? BY_REDUCED : BY_KEPT;
    return by;
}

static unsigned reduced_mask(const Kernel *k) {
    return BY_REDUCED | (k->mode == MODE_rows ? BY_INNER : 0);
}

static void find_dependence(Kernel *k) {
    for (size_t n = 0; n < k->instr.n; n++) {
        Instr *i = &k->instr.at[n];
        if (i->access >= 0) i->by = access_by(k, &k->access.at[i->access]);
        for (int j = 0; j < i->nin; j++) {
            const Instr *x = &k->instr.at[i->in[j]];
            i->by |= x->by;
            int stage = x->stage + (x->reduces ? 1 : 0);
            i->stage = i->stage > stage ? i->stage : stage;
        }
        if (i->reduces) i->by &= ~reduced_mask(k);
        int after = i->stage + (i->reduces ? 1 : 0);
        k->stages = k->stages > after ? k->stages : after;
    }
    for (size_t n = 0; n < k->store.n; n++) {
        Store *s = &k->store.at[n];
        s->in_loop = (access_by(k, &k->access.at[s->access]) & reduced_mask(k)) != 0;
    }
}

static void find_walks(Kernel *k) {
    int inner = k->naxis - 1;
    for (size_t i = 0; i < k->access.n; i++) {
        Access *a = &k->access.at[i];
        a->walk = a->stride[inner] == 1 ? WALK_one : a->stride[inner] == 0 ? WALK_zero : WALK_any;
        a->aligned = a->buf < 0 && a->walk == WALK_one && a->offset % 64 == 0 && a->piece % 64 == 0;
        for (int j = 0; j < inner; j++) a->aligned &= a->stride[j] % 64 == 0;
        for (int j = 0; j < a->loops; j++) a->aligned &= a->turn[j] % 64 == 0;
    }
    for (size_t i = 0; i < k->store.n;
         i++) { /* one element: a vector of which one lane is stored */
        Access *a = &k->access.at[k->store.at[i].access];
        if (a->walk == WALK_zero && k->mode != MODE_rows) a->walk = WALK_one;
    }
}

static int choose_unroll(const Kernel *k) {
    bool reduces = false;
    for (size_t i = 0; i < k->instr.n; i++) {
        const Instr *x = &k->instr.at[i];
        if ((op_info[x->op].flags & FLAG_RANDOM) && x->op != OP_permutation &&
            k->access.at[x->access].aligned)
            return 4;
        reduces |= x->reduces;
    }
    if (k->instr.n > 40) return 1;
    return !reduces ? 1 : k->mode == MODE_columns ? 4 : 2;
}

/* ---- the key: all of the above but sizes, strides, words and places */
static void put_number(Buf *b, const char *before, int64_t number) {
    buf_puts(b, before);
    buf_int(b, number);
}

static void put_type(Buf *b, const char *before, DType t) {
    buf_puts(b, before);
    buf_puts(b, dtype_name(t));
}

static void print_key(Kernel *k) {
    Buf *b = &k->key;
    buf_printf(b,
               "%s%s%s%s unroll=%d axes=", (const char *[]){"rows", "columns", "panels"}[k->mode],
               k->keep ? " keep" : "", k->abreast ? " abreast" : "", k->inverts ? " inverts" : "",
               k->unroll);
    for (int i = 0; i < k->naxis; i++) buf_puts(b, k->reduced[i] ? "r" : "k");
    buf_puts(b, "\n");
    for (size_t n = 0; n < k->access.n; n++) {
        const Access *a = &k->access.at[n];
        put_number(b, "a", (int64_t)n);
        put_number(b, " = buf ", a->buf);
        put_type(b, " ", a->dtype);
        buf_puts(b, " ");
        for (int i = 0; i + 1 < k->naxis; i++) buf_puts(b, a->stride[i] ? "s" : "0");
        buf_puts(b, (const char *[]){" zero", " one", " any"}[a->walk]);
        buf_puts(b, a->aligned ? " aligned\n" : "\n");
    }
    for (size_t n = 0; n < k->instr.n; n++) {
        const Instr *i = &k->instr.at[n];
        put_number(b, "%", (int64_t)n);
        buf_puts(b, " = ");
        buf_puts(b, op_info[i->op].name);
        put_type(b, " ", i->dtype);
        if (i->nin) put_type(b, " of ", i->from);
        for (int j = 0; j < i->nin; j++) put_number(b, " %", i->in[j]);
        if (i->access >= 0) put_number(b, " a", i->access);
        buf_puts(b, i->reduces ? " reduces\n" : "\n");
    }
    for (size_t n = 0; n < k->store.n; n++) {
        put_number(b, "a", k->store.at[n].access);
        put_number(b, " <- %", k->store.at[n].instr);
        buf_puts(b, k->store.at[n].in_loop ? " in loop\n" : "\n");
    }
}

/* One stage of reductions, after which only what has no reduced axes is stored. */
static bool fits_panels(const Kernel *k) {
    bool fits = k->stages == 1;
    for (size_t i = 0; i < k->store.n; i++)
        fits &= !k->store.at[i].in_loop || k->instr.at[k->store.at[i].instr].stage == 0;
    return fits;
}

static bool has_reduced_outer(const Kernel *k) {
    for (int i = 0; i + 1 < k->naxis; i++)
        if (k->reduced[i]) return true;
    return false;
}

/* Whether a later stage computes along rows again, so that there is something to keep. */
static bool computes_after(const Kernel *k) {
    for (size_t i = 0; i < k->instr.n; i++)
        if (k->instr.at[i].stage > 0 && k->instr.at[i].by & BY_INNER) return true;
    return false;
}

/* Do rows take long to wait for and little to write? Those that write as they go are bound by
 * memory, and best finished one by one. */
static bool waits(const Kernel *k) {
    bool waits = k->stages > 0 && k->naxis > 1 && k->size[k->naxis - 1] <= SHORT_ROW;
    for (size_t i = 0; i < k->store.n; i++)
        waits &= !k->store.at[i].in_loop || k->instr.at[k->store.at[i].instr].stage > 0;
    return waits;
}

bool kernel_shares_divisor(const Kernel *k, const Instr *i) {
    return i->op == OP_div && i->dtype == DT_f32 && i->by & BY_INNER &&
           !(k->instr.at[i->in[1]].by & BY_INNER);
}

static bool inverts(const Kernel *k) {
    bool some = false;
    for (size_t n = 0; n < k->instr.n; n++) some |= kernel_shares_divisor(k, &k->instr.at[n]);
    return some && k->size[k->naxis - 1] >= LONG_ROW;
}

void kernel_settle(Kernel *k) {
    k->mode = k->reduced[k->naxis - 1] ? MODE_rows : MODE_columns;
    k->stages = 0;
    for (size_t n = 0; n < k->instr.n; n++) k->instr.at[n].by = 0, k->instr.at[n].stage = 0;
    find_dependence(k);
    find_walks(k);
    if (k->mode == MODE_columns && fits_panels(k)) k->mode = MODE_panels;
    bool whole_rows = k->mode == MODE_rows && !has_reduced_outer(k);
    k->keep = whole_rows && k->size[k->naxis - 1] <= KEEP_ROW && computes_after(k);
    k->abreast = whole_rows && waits(k);
    k->inverts = inverts(k);
    k->unroll = choose_unroll(k);
    k->key.n = 0;
    print_key(k);
}

/* From the domain's axes. */
static void finish(Kernel *k, int rank, const int64_t *dim, uint32_t reduced) {
    k->naxis = rank ? rank : 1;
    k->size[0] = 1;
    for (int i = 0; i < rank; i++) {
        k->size[i] = dim[i];
        k->reduced[i] = reduced >> (rank - 1 - i) & 1;
    }
    for (size_t i = 0; i < k->access.n; i++) {
        Access *a = &k->access.at[i];
        memmove(a->stride, a->stride + (RANK - k->naxis), (size_t)k->naxis * sizeof *a->stride);
    }
    collapse(k);
    kernel_settle(k);
}

Kernel *kernel_of_body(Arena *a, const Graph *body, int nargs, Err *e) {
    Kernel *k = NEW(a, Kernel);
    k->arena = a;
    Reader r = {.k = k, .body = body, .instr = NEW_N(a, int, body->n), .err = e};
    memset(r.instr, -1, body->n * sizeof *r.instr);
    for (uint32_t i = 0; i < body->n; i++)
        if (body->node[i]->nin > 0 && op_info[body->node[i]->op].lower != LOWER_VIEW)
            read_node(&r, i);
    read_outputs(&r, nargs);
    if (e->msg[0]) return NULL;
    k->nbuf = nargs + (int)body->nout;
    finish(k, r.rank, r.dim, r.reduced);
    return k;
}

Kernel *kernel_of_copy(Arena *a, DType t, const View *src, const View *dst) {
    Kernel *k = NEW(a, Kernel);
    k->arena = a;
    Instr i = {.op = OP_arg, .dtype = t, .from = t, .access = -1, .word = -1};
    if (src) {
        i.access = push_access(k, 0, t, src);
    } else {
        i.op = OP_const;
        i.word = 0;
        vec_push(a, &k->word, 0);
    }
    Store s = {.instr = push_instr(k, &i), .access = push_access(k, src ? 1 : 0, t, dst)};
    vec_push(a, &k->store, s);
    k->nbuf = src ? 2 : 1;
    finish(k, dst->rank, dst->dim, 0);
    return k;
}

void kernel_free(Kernel *k) {
    buf_free(&k->key);
}

/* ---- arguments of a call */
int kernel_size_axis(const Kernel *k, int axis) {
    (void)k;
    return SIZE_FIRST + axis;
}
int kernel_size_offset(const Kernel *k, int access) {
    return SIZE_FIRST + (k->naxis - 1) + access * (1 + k->naxis);
}
int kernel_size_stride(const Kernel *k, int access, int axis) {
    return kernel_size_offset(k, access) + 1 + axis;
}

static int64_t at_least_one(int64_t n) {
    return n > 1 ? n : 1;
}
static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

/* How much of the domain a task takes: whole rows, or by columns a part of one. */
static void cut_tasks(const Kernel *k, int64_t *size, RtStep *step) {
    int64_t rows = 1, deep = 1, inner = k->size[k->naxis - 1], strip = VECTOR * k->unroll;
    for (int i = 0; i + 1 < k->naxis; i++) *(k->reduced[i] ? &deep : &rows) *= k->size[i];
    int64_t columns = inner;
    if (k->mode != MODE_rows && deep * inner > TASK_ELEMENTS)
        columns = strip * at_least_one(TASK_ELEMENTS / (deep * strip));
    if (k->mode == MODE_panels && columns > PANEL) columns = PANEL;
    columns = columns < inner ? columns : at_least_one(round_up(inner, strip));
    size[SIZE_ROWS] = rows;
    size[SIZE_TASK_ROWS] =
        columns < inner ? 1 : at_least_one(TASK_ELEMENTS / at_least_one(deep * inner));
    size[SIZE_COLUMNS] = inner;
    size[SIZE_TASK_COLUMNS] = columns;
    size[SIZE_COLUMN_TASKS] = k->mode == MODE_rows ? 1 : (inner + columns - 1) / columns;
    int64_t row_tasks = (rows + size[SIZE_TASK_ROWS] - 1) / size[SIZE_TASK_ROWS];
    step->tasks = row_tasks * size[SIZE_COLUMN_TASKS];
    double elements = (double)rows * (double)deep * (double)inner;
    step->cost =
        elements / (double)at_least_one(step->tasks) * (double)(k->instr.n + 4 * k->access.n);
}

int kernel_reads(const Kernel *k) {
    int n = k->nbuf;
    for (size_t i = 0; i < k->store.n; i++) {
        int buf = k->access.at[k->store.at[i].access].buf;
        n = buf < n ? buf : n;
    }
    return n;
}

void kernel_arguments(const Kernel *k, RtStep *step, Arena *a) {
    step->nsize = kernel_size_offset(k, (int)k->access.n);
    step->size = NEW_N(a, int64_t, step->nsize);
    cut_tasks(k, step->size, step);
    for (int i = 0; i + 1 < k->naxis; i++) step->size[kernel_size_axis(k, i)] = k->size[i];
    for (int j = 0; j < (int)k->access.n; j++) {
        const Access *x = &k->access.at[j];
        step->size[kernel_size_offset(k, j)] = x->offset;
        for (int i = 0; i < k->naxis; i++) step->size[kernel_size_stride(k, j, i)] = x->stride[i];
    }
    step->shift = NEW_N(a, RtShift, k->access.n);
    for (int j = 0; j < (int)k->access.n; j++)
        if (k->access.at[j].piece)
            step->shift[step->nshift++] =
                (RtShift){kernel_size_offset(k, j), k->access.at[j].piece};
    step->nword = (int)k->word.n;
    step->word = arena_memdup(a, k->word.at, k->word.n * sizeof *k->word.at);
}
