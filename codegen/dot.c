/* Contractions as strided matrix products. Each label of the einsum has a stride in a, b and c, and
 * in s, which the result starts from (0 where it is absent); labels that walk all three evenly are
 * one. One label each of m (a and c), n (b and c) and k (a and b) makes the matrix, the rest are
 * loops. An operand in which no choice has unit stride is copied first. What a product rounds to
 * bf16 is rounded as it is packed. Long sums with few results, such as gradients of weights, are
 * computed in parts, so that there is something to share; into how many, sizes alone say. */
#include <stdlib.h>
#include <string.h>

#include "codegen/build.h"
#include "ir/loop.h"

enum { A, B, C, S, OPERANDS };
typedef enum Role { ROLE_batch, ROLE_m, ROLE_n, ROLE_k } Role;
typedef struct Label {
    Role role;
    int64_t size, stride[OPERANDS];
} Label;
typedef struct Labels {
    Label at[2 * RANK];
    int n;
} Labels;
typedef struct Operands {
    View view[OPERANDS];   /* of what lies in memory; of A, B and S */
    int32_t buf[OPERANDS]; /* buf[S] -1: there is nothing to start from */
    DType type[OPERANDS];
    const RtTiles *tiles; /* of products of f32, until sizes are known, TILE_f32's */
} Operands;

static Role role_of(const Label *l) {
    if (!l->stride[C]) return ROLE_k;
    return l->stride[A] && l->stride[B] ? ROLE_batch : l->stride[A] ? ROLE_m : ROLE_n;
}

static int64_t stride_in(const char *labels, const View *v, char c) {
    const char *p = strchr(labels, c);
    return p ? v->stride[p - labels] : 0;
}

/* The operand that is input `i`. */
static int operand_of(const Node *n, int i) {
    return n->op == OP_dot_add ? (const int[]){S, A, B}[i] : i;
}

/* s is aligned with the result at the last axis, and has size 1 or none where it is broadcast. */
static int64_t start_stride(const Node *n, const View *s, char c) {
    const char *out = n->attr.dot.out, *p = strchr(out, c);
    int64_t at = p ? p - out + s->rank - n->type[0].rank : -1;
    return at < 0 || s->dim[at] == 1 ? 0 : s->stride[at];
}

/* Labels and sizes of the axes that an operand has. */
static Labels read_labels(const Node *n, const View view[OPERANDS]) {
    const char *text[] = {n->attr.dot.a, n->attr.dot.b, n->attr.dot.out};
    Labels s = {.n = 0};
    for (int o = 0; o < 2; o++)
        for (int i = 0; text[o][i]; i++) {
            char c = text[o][i];
            if ((o == 1 && strchr(text[0], c)) || view[o].dim[i] == 1) continue;
            Label l = {.size = view[o].dim[i]};
            for (int k = 0; k < S; k++) l.stride[k] = stride_in(text[k], &view[k], c);
            l.stride[S] = start_stride(n, &view[S], c);
            l.role = role_of(&l);
            s.at[s.n++] = l;
        }
    return s;
}

static bool labels_merge(const Label *outer, const Label *inner) {
    if (outer->role != inner->role) return false;
    for (int k = 0; k < OPERANDS; k++)
        if (outer->stride[k] != inner->stride[k] * inner->size) return false;
    return true;
}

static void merge_labels(Labels *s) {
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->n; j++) {
            if (i == j || !labels_merge(&s->at[i], &s->at[j])) continue;
            s->at[j].size *= s->at[i].size;
            memmove(&s->at[i], &s->at[i + 1], (size_t)(s->n - i - 1) * sizeof s->at[0]);
            s->n--;
            i = -1; /* from the start: merges make others possible */
            break;
        }
}

/* ---- choosing the matrix */
typedef struct Axis { /* labels, outermost first; none: size 1 */
    int n, label[WALK_DIGITS];
} Axis;
typedef struct Choice {
    Axis m, n, k;
} Choice;

static int64_t size_of(const Labels *s, const Axis *a) {
    int64_t size = 1;
    for (int i = 0; i < a->n; i++) size *= s->at[a->label[i]].size;
    return size;
}
/* From one number to the next, within the innermost label. */
static int64_t stride_of(const Labels *s, const Axis *a, int operand) {
    return a->n ? s->at[a->label[a->n - 1]].stride[operand] : 1;
}
static RtWalk walk_of(const Labels *s, const Axis *a, int operand) {
    RtWalk w = {.n = a->n};
    if (!a->n) return walk_plain(1);
    for (int i = 0; i < a->n; i++) {
        w.at[i].size = s->at[a->label[i]].size;
        w.at[i].stride = s->at[a->label[i]].stride[operand];
    }
    return w;
}
static bool has_unit(const Labels *s, const Axis *x, const Axis *y, int operand) {
    return stride_of(s, x, operand) == 1 || stride_of(s, y, operand) == 1;
}
static bool choice_fits(const Labels *s, const Choice *c, int operand) {
    return operand == A   ? has_unit(s, &c->m, &c->k, A)
           : operand == B ? has_unit(s, &c->k, &c->n, B)
                          : operand == S || has_unit(s, &c->m, &c->n, C);
}

static void axis_insert(Axis *a, int at, int label) {
    memmove(&a->label[at + 1], &a->label[at], (size_t)(a->n++ - at) * sizeof *a->label);
    a->label[at] = label;
}

/* In the result and in what it starts from the two are one. */
static bool leads_to(const Label *outer, const Label *inner) {
    return outer->stride[C] == inner->stride[C] * inner->size &&
           outer->stride[S] == inner->stride[S] * inner->size;
}

/* Of rows or columns: all that are one with `l` in the result, whatever they are in the operands.
 */
static Axis axis_of_result(const Labels *s, int l) {
    Axis a = {1, {l}};
    for (int i = 0; i < s->n && a.n < WALK_DIGITS; i++) {
        const Label *x = &s->at[i], *first = &s->at[a.label[0]], *last = &s->at[a.label[a.n - 1]];
        if (x->role != s->at[l].role) continue;
        bool before = leads_to(x, first), after = leads_to(last, x);
        if (!before && !after) continue;
        axis_insert(&a, before ? 0 : a.n, i);
        i = -1; /* from the start: there may be others now */
    }
    return a;
}

/* Of what is summed along: all, `l` innermost and the others as they lie in A. */
static Axis axis_of_sum(const Labels *s, int l) {
    Axis a = {1, {l}};
    for (int i = 0; i < s->n && a.n < WALK_DIGITS; i++) {
        int at = 0;
        if (i == l || s->at[i].role != ROLE_k) continue;
        while (at < a.n - 1 && llabs(s->at[a.label[at]].stride[A]) > llabs(s->at[i].stride[A]))
            at++;
        axis_insert(&a, at, i);
    }
    return a;
}

/* The axes of a role, one that ends in each of its labels, and that of no label. */
typedef struct Axes {
    Axis at[2 * RANK + 1];
    int n;
} Axes;

static Axes axes_of(const Labels *s, Role role) {
    Axes a = {.n = 0};
    for (int i = 0; i < s->n; i++)
        if (s->at[i].role == role)
            a.at[a.n++] = role == ROLE_k ? axis_of_sum(s, i) : axis_of_result(s, i);
    a.at[a.n++] = (Axis){.n = 0};
    return a;
}

/* Of products of one size: that whose sums go through A in the smaller steps. */
static bool is_nearer(const Labels *s, const Choice *c, const Choice *than) {
    return llabs(stride_of(s, &c->k, A)) < llabs(stride_of(s, &than->k, A));
}

/* The largest product that fits; `fits` says which operands spoil the otherwise best. */
static bool choose(const Labels *s, Choice *best, bool fits[OPERANDS]) {
    Axes ms = axes_of(s, ROLE_m), ns = axes_of(s, ROLE_n), ks = axes_of(s, ROLE_k);
    double most = -1, most_any = -1;
    for (int m = 0; m < ms.n; m++)
        for (int n = 0; n < ns.n; n++)
            for (int k = 0; k < ks.n; k++) {
                Choice c = {ms.at[m], ns.at[n], ks.at[k]};
                double size =
                    (double)size_of(s, &c.m) * (double)size_of(s, &c.n) * (double)size_of(s, &c.k);
                bool all = choice_fits(s, &c, A) && choice_fits(s, &c, B) && choice_fits(s, &c, C);
                if (all && (size > most || (size == most && is_nearer(s, &c, best))))
                    most = size, *best = c;
                if (size > most_any) {
                    most_any = size;
                    for (int o = 0; o < OPERANDS; o++) fits[o] = choice_fits(s, &c, o);
                }
            }
    /* a product far smaller than it could be costs more than the copy that makes it whole */
    return most >= 0 && most * 8 >= most_any;
}

/* ---- copies of operands that do not fit: labels in the order batch, m, n, k, so that the roles
 * merge */
static View operand_view(const Labels *s, int operand) {
    View v = {.rank = 0};
    for (int role = ROLE_batch; role <= ROLE_k; role++)
        for (int i = 0; i < s->n; i++)
            if ((int)s->at[i].role == role && s->at[i].stride[operand]) {
                v.dim[v.rank] = s->at[i].size;
                v.stride[v.rank++] = s->at[i].stride[operand];
            }
    return v;
}

static void set_strides(Labels *s, int operand, const View *v) {
    int at = 0;
    for (int role = ROLE_batch; role <= ROLE_k; role++)
        for (int i = 0; i < s->n; i++)
            if ((int)s->at[i].role == role && s->at[i].stride[operand])
                s->at[i].stride[operand] = v->stride[at++];
}

typedef struct Packed { /* C in an order of its own, to be copied out */
    View from, to;
    int32_t buffer;
} Packed;

static void repack(Build *b, Labels *s, int operand, Operands *o, Packed *c) {
    View old = operand_view(s, operand), new = view_contiguous(old.rank, old.dim);
    int64_t count = 1;
    for (int i = 0; i < old.rank; i++) count *= old.dim[i];
    DType t = o->type[operand];
    int32_t scratch = build_scratch(b, count * (int64_t)dtype_size(t)), *buf = &o->buf[operand];
    set_strides(s, operand, &new);
    if (operand == C)
        *c = (Packed){new, old, *buf};
    else
        build_copy(b, t, &old, *buf, &new, scratch);
    *buf = scratch;
}

/* ---- the product */
static bool axis_has(const Axis *a, int label) {
    for (int i = 0; i < a->n; i++)
        if (a->label[i] == label) return true;
    return false;
}

static bool fill_gemm(const Labels *s, const Choice *c, RtGemm *g) {
    *g = (RtGemm){.m = size_of(s, &c->m), .n = size_of(s, &c->n), .k = size_of(s, &c->k)};
    g->am = walk_of(s, &c->m, A), g->ak = walk_of(s, &c->k, A);
    g->bk = walk_of(s, &c->k, B), g->bn = walk_of(s, &c->n, B);
    g->cm = stride_of(s, &c->m, C), g->cn = stride_of(s, &c->n, C);
    g->sm = stride_of(s, &c->m, S), g->sn = stride_of(s, &c->n, S);
    for (int i = 0; i < s->n; i++) {
        if (axis_has(&c->m, i) || axis_has(&c->n, i) || axis_has(&c->k, i)) continue;
        if (g->nloop == GEMM_LOOPS) return false;
        const Label *l = &s->at[i];
        g->loop[g->nloop].size = l->size;
        g->loop[g->nloop].a = l->stride[A], g->loop[g->nloop].b = l->stride[B];
        g->loop[g->nloop].s = l->stride[S];
        g->loop[g->nloop++].c = l->stride[C];
    }
    return true;
}

/* ---- what products of all turns of a loop read is packed before them */
enum { FEW_TURNS = 4, PANELS_MOST = 64 << 20 };

/* Is it the same in every turn? */
static bool is_shared(const Build *b, int32_t buffer) {
    for (size_t i = 0; i < b->moving.n; i++) {
        const Moving *m = &b->moving.at[i];
        if (m->buffer == buffer)
            return m->where == PLAN_ARG && scan_input_kind(b->loop, m->index) == LOOP_whole;
    }
    return false;
}

static int64_t panels_bytes(const RtGemm *g, const RtTiles *t, int operand) {
    int64_t lines = operand == A ? g->m : g->n;
    return (int64_t)sizeof(float) * tiles_panels(t, operand == B, lines) *
           tiles_panel(t, operand == B, g->k);
}

/* Lines that lie next to each other have to do so in whole panels. Where memory is limited, none is
 * taken for this. */
static bool packs_before(const Build *b, const RtGemm *g, const Operands *o, int operand) {
    const RtWalk *line = operand == A ? &g->am : &g->bn;
    bool even = line->n == 1 || line->at[line->n - 1].stride != 1;
    bool matrix = !g->nloop && g->m > 1 && g->n > 1 && g->cn == 1;
    return b->loop && b->turns >= FEW_TURNS && !b->program->spec.run.memory && matrix && even &&
           is_shared(b, o->buf[operand]) && panels_bytes(g, o->tiles, operand) <= PANELS_MOST;
}

/* The buffer of the panels. */
static int32_t build_pack(Build *b, const RtGemm *g, const Operands *o, int operand) {
    int64_t bytes = panels_bytes(g, o->tiles, operand);
    int32_t panels = build_lasting(b, bytes);
    RtStep *step = build_step(b, RT_PACK, (int32_t[]){o->buf[operand], panels}, 2, 1);
    step->gemm = *g;
    step->tiles = o->tiles;
    step->packs_b = operand == B;
    int64_t numbers = (operand == A ? g->m : g->n) * g->k;
    step->bytes = (double)bytes + (double)numbers * (double)dtype_size(o->type[operand]);
    build_before(b);
    return panels;
}

static void build_gemm(Build *b, const Labels *s, const Choice *c, Operands *o, Facts facts) {
    int32_t buf[] = {o->buf[A], o->buf[B], o->buf[C], o->buf[S]};
    RtGemm gemm;
    if (!fill_gemm(s, c, &gemm)) {
        err_set(b->err, "%s: a product over more than %d separate axes", b->label, GEMM_LOOPS);
        return;
    }
    gemm.a = o->type[A], gemm.b = o->type[B], gemm.c = o->type[C];
    if (o->tiles == &b->tiles[TILE_f32]) o->tiles = tiles_of_f32(b->tiles, &gemm);
    bool a = packs_before(b, &gemm, o, A), w = packs_before(b, &gemm, o, B);
    if (a) buf[A] = build_pack(b, &gemm, o, A);
    if (w) buf[B] = build_pack(b, &gemm, o, B);
    gemm.a_panels = a, gemm.b_panels = w;
    bool starts = buf[S] >= 0;
    bool sums = o->tiles && tiles_keep_sums(o->tiles, &gemm, starts);
    int nread = starts ? 3 : 2;
    int32_t all[] = {buf[A], buf[B], buf[starts ? S : C], buf[C], -1};
    if (sums) all[nread + 1] = build_scratch(b, b->buffer.at[buf[C]].bytes * 2);
    RtStep *step = build_step(b, RT_GEMM, all, nread + 1 + sums, nread);
    step->gemm = gemm;
    step->tiles = o->tiles;
    step->sums = sums;
    step->tasks = 1;
    step->cost = 2.0 * (double)gemm.m * (double)gemm.n * (double)gemm.k;
    step->operations = facts.operations, step->bytes = facts.bytes;
}

/* ---- long sums in parts */
enum { PARTS_MOST = 8, PART_LENGTH = 256, FEW_RESULTS = 64 * 1024 };
enum { LONG_SUM = 32 * 1024, LONG_RESULTS = 256 * 1024 }; /* more results, if sums are that long */
static const double PART_FLOPS = 1e7;                     /* 0.1 ms of a core */

static int64_t count_results(const Labels *s) {
    int64_t n = 1;
    for (int i = 0; i < s->n; i++)
        if (s->at[i].role != ROLE_k) n *= s->at[i].size;
    return n;
}

static int64_t parts_of(const Labels *s, const Choice *c) {
    int64_t results = count_results(s), length = size_of(s, &c->k), parts = PARTS_MOST;
    if (results > (length < LONG_SUM ? FEW_RESULTS : LONG_RESULTS)) return 1;
    if (s->n > GEMM_LOOPS || !c->k.n) return 1;
    int64_t outermost = s->at[c->k.label[0]].size;
    while (parts > 1 && (outermost % parts || length / parts < PART_LENGTH ||
                         2.0 * (double)results * (double)length < (double)parts * PART_FLOPS))
        parts--;
    return parts;
}

/* Does what the result starts from lie as the result does? */
static bool starts_alike(const Labels *s) {
    for (int i = 0; i < s->n; i++)
        if (s->at[i].stride[S] != s->at[i].stride[C]) return false;
    return true;
}

/* One more label, along which each part has results of its own. */
static void split_sum(Labels *s, const Choice *c, int64_t parts) {
    Label *k = &s->at[c->k.label[0]];
    int64_t results = count_results(s);
    k->size /= parts;
    s->at[s->n++] = (Label){
        .role = ROLE_batch,
        .size = parts,
        .stride = {[A] = k->stride[A] * k->size, [B] = k->stride[B] * k->size, [C] = results}};
}

/* parts[parts, results], and what they start from if there is that, summed to C. */
static void build_sum(Build *b, int32_t from, int64_t parts, int64_t results, const Operands *o) {
    const int32_t *buf = o->buf;
    Graph *body = graph_new(b->arena, "parts");
    Type t = type_make(DT_f32, 2, (int64_t[]){parts, results}),
         one = type_make(DT_f32, 2, (int64_t[]){1, results});
    Ref x = graph_add(body, OP_arg, &(Attr){.count = 0}, NULL, 0, &t, b->span);
    Ref sum = g_reduce(body, OP_sum, x, 1, b->span);
    bool starts = buf[S] >= 0;
    if (starts) {
        Ref y = graph_add(body, OP_arg, &(Attr){.count = 1}, NULL, 0, &one, b->span);
        sum = g_binary(body, OP_add, y, sum, b->span);
    }
    if (o->type[C] != DT_f32) sum = g_cast(body, sum, o->type[C], b->span);
    graph_out(body, OUT_value, NULL, 0, sum, b->span);
    build_body(b, body, starts ? 2 : 1, (int32_t[]){from, buf[starts ? S : C], buf[C]});
}

static void build_product(Build *b, Labels *s, Operands *o, Facts facts) {
    Choice c = {.m = {.n = 0}};
    bool fits[OPERANDS];
    Packed packed = {.buffer = -1};
    merge_labels(s);
    if (!choose(s, &c, fits)) {
        for (int i = 0; i < OPERANDS; i++)
            if (!fits[i]) repack(b, s, i, o, &packed);
        merge_labels(s);
        if (!choose(s, &c, fits)) { /* what was copied does not fit the rest: copy all */
            for (int i = 0; i < OPERANDS; i++)
                if (i != S && (i != C || packed.buffer < 0)) repack(b, s, i, o, &packed);
            merge_labels(s);
            choose(s, &c, fits);
        }
    }
    int64_t parts = o->buf[S] < 0 || starts_alike(s) ? parts_of(s, &c) : 1;
    Operands to = *o;
    if (parts > 1) {
        to.buf[C] = build_scratch(b, parts * count_results(s) * (int64_t)sizeof(float));
        to.buf[S] = -1;
        to.type[C] = DT_f32;
        split_sum(s, &c, parts);
    }
    build_gemm(b, s, &c, &to, facts);
    if (parts > 1) build_sum(b, to.buf[C], parts, count_results(s) / parts, o);
    if (packed.buffer >= 0)
        build_copy(b, o->type[C], &packed.from, o->buf[C], &packed.to, packed.buffer);
}

static int32_t build_f32(Build *b, Ref r) {
    const Type *t = graph_type(b->g, r);
    int32_t wide = build_scratch(b, type_count(t) * (int64_t)sizeof(float));
    build_cast(b, t->dtype, DT_f32, build_value(b, r), wide, type_count(t));
    return wide;
}

/* Where what is viewed begins in a buffer that has its base. */
static int32_t build_offset(Build *b, int32_t base, const View *v, DType t) {
    int64_t offset = v->offset * (int64_t)dtype_size(t);
    return offset ? build_stretch(b, base, offset, b->buffer.at[base].bytes - offset) : base;
}

static void take_operand(Build *b, int i, Operands *o) {
    const View *v = &o->view[i];
    DType t = graph_type(b->g, v->base)->dtype;
    bool taken = t == DT_f32 || (t == DT_bf16 && i != S); /* as it is */
    o->type[i] = taken ? t : DT_f32;
    int32_t base = taken ? build_value(b, v->base) : build_f32(b, v->base);
    o->buf[i] = build_offset(b, base, v, o->type[i]);
}

/* ---- few rows and a matrix that is read as it is kept, anew for each ROWS_MOST of them */
enum { FEW_ROWS = 4 * ROWS_MOST };
typedef struct Few {
    int x, w; /* operands */
    RowsForm form;
    RowsShape shape;
    int64_t rows;
} Few;

static DType operand_type(const Build *b, const Node *n, int operand) {
    return graph_type(b->g, n->in[n->nin - 2 + operand])->dtype;
}

/* The operand is a matrix of bf16 or i8, or one that is kept row by row for this. */
static bool is_rows(const Build *b, const Node *n, int operand) {
    const Node *x = graph_node(b->g, n->in[n->nin - 2 + operand]);
    bool kept = x->op == OP_state && b->program->tensor[x->attr.tensor].kept != KEPT_as_is;
    DType t = operand_type(b, n, operand);
    return kept || t == DT_bf16 || t == DT_i8;
}

/* The product in terms of codegen/rows.h; false: it is another. */
static bool few_rows(const Build *b, const Node *n, Labels s, Few *f) {
    Label none = {.size = 1}, *role[] = {&none, &none, &none, &none};
    merge_labels(&s);
    for (int i = 0; i < s.n; i++) {
        if (role[s.at[i].role] != &none) return false;
        role[s.at[i].role] = &s.at[i];
    }
    f->w = is_rows(b, n, A) ? A : B;
    f->x = f->w == A ? B : A;
    const Label *k = role[ROLE_k], *row = role[f->x == A ? ROLE_m : ROLE_n],
                *column = role[f->x == A ? ROLE_n : ROLE_m];
    f->form.of = operand_type(b, n, f->w);
    f->rows = row->size;
    f->shape = (RowsShape){.k = k->size,
                           .n = column->size,
                           .x_row = row->stride[f->x],
                           .w_row = column->stride[f->w],
                           .c_row = row->stride[C],
                           .s_row = row->stride[S],
                           .s_column = column->stride[S]};
    return is_rows(b, n, f->w) && operand_type(b, n, f->x) == DT_f32 && !n->attr.dot.round &&
           role[ROLE_batch] == &none && f->rows <= FEW_ROWS && column->stride[C] == 1 &&
           k->stride[A] == 1 && k->stride[B] == 1;
}

static void build_few(Build *b, const Node *n, const View view[OPERANDS], Ref result, Few *f) {
    int32_t buf[4], out = build_value(b, result);
    int nbuf = 0;
    buf[nbuf++] = build_offset(b, build_value(b, view[f->x].base), &view[f->x], DT_f32);
    buf[nbuf++] = build_offset(b, build_value(b, view[f->w].base), &view[f->w], f->form.of);
    f->form.starts = n->op == OP_dot_add;
    if (f->form.starts) buf[nbuf++] = build_value(b, n->in[0]);
    buf[nbuf++] = out;
    Facts facts = node_facts(b->g, n);
    facts.operations /= (double)f->rows;
    for (int64_t left = f->rows; left > 0; left -= f->form.rows) {
        f->shape.first = f->rows - left;
        f->form.rows = (int)(left < ROWS_MOST ? left : ROWS_MOST);
        Facts part = {facts.bytes, facts.operations * f->form.rows};
        build_rows(b, &f->form, &f->shape, buf, part);
    }
}

void build_dot(Build *b, const Node *n, Ref result) {
    Operands o = {.buf = {[S] = -1}};
    for (int i = 0; i < n->nin; i++) o.view[operand_of(n, i)] = view_of(b->g, n->in[i]);
    o.view[C] = view_contiguous(n->type[0].rank, n->type[0].dim);
    Labels s = read_labels(n, o.view);
    Few few = {0};
    if (few_rows(b, n, s, &few)) {
        build_few(b, n, o.view, result, &few);
        return;
    }
    o.tiles = &b->tiles[n->attr.dot.round ? TILE_bf16 : TILE_f32];
    for (int i = 0; i < n->nin; i++) take_operand(b, operand_of(n, i), &o);
    DType t = n->type[0].dtype;
    int64_t count = type_count(&n->type[0]);
    int32_t out = build_value(b, result);
    bool made = t == DT_f32 || (t == DT_bf16 && o.tiles->bf16);
    o.buf[C] = made ? out : build_scratch(b, count * (int64_t)sizeof(float));
    o.type[C] = made ? t : DT_f32;
    build_product(b, &s, &o, node_facts(b->g, n));
    if (!made) build_cast(b, DT_f32, t, o.buf[C], out, count);
}
