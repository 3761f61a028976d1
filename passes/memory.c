/* What a program takes of memory while it runs, known before: its tensors, its batches, and the
 * arena of its values, as large as the largest of its plans needs it. With the lines of source
 * whose values fill that plan at its fullest. Limits: the program itself, its kernels and the text
 * it reads are not in it. */
#include <math.h>

#include "ir/facts.h"
#include "passes/passes.h"

enum { LINES = 8 };

static int64_t field_bytes(const Entry *e, const Field *f) {
    int64_t n = e->batch * (int64_t)dtype_size(f->dtype);
    for (int i = 0; i < f->rank; i++) n *= f->dim[i];
    return n;
}

/* One that is computed with, and those that a thread makes ready. */
static int64_t batch_bytes(const Program *p, const Entry *e) {
    int64_t n = 0;
    bool known = e->data >= 0 && e->data < p->spec.ndata;
    for (int i = 0; known && i < p->spec.data[e->data].nfield; i++)
        n += field_bytes(e, &p->spec.data[e->data].field[i]);
    return n * (1 + BATCHES_AHEAD);
}

Memory memory_of_tensors(const Program *p) {
    Memory m = {0};
    for (size_t i = 0; i < p->ntensor; i++) {
        const Tensor *t = &p->tensor[i];
        int64_t n = type_count(&t->type) * (int64_t)dtype_size(t->type.dtype);
        *(t->kind == TENSOR_param   ? &m.params
          : t->kind == TENSOR_optim ? &m.optimiser
                                    : &m.states) += n;
    }
    for (size_t i = 0; i < p->nentry; i++) m.batches += batch_bytes(p, &p->entry[i]);
    return m;
}

int64_t memory_total(const Memory *m) {
    return m->params + m->optimiser + m->states + m->batches + m->values;
}

/* The plan of the graph, where it is larger than `best`. */
static Plan *larger_plan(Arena *a, const Program *p, const Graph *g, Plan *best) {
    Plan *plan = g ? plan_graph(a, p, g) : NULL;
    return plan && (!best || plan->arena_bytes > best->arena_bytes) ? plan : best;
}

static Plan *largest_plan(Arena *a, const Program *p) {
    Plan *best = larger_plan(a, p, p->init, NULL);
    for (size_t i = 0; i < p->nentry; i++)
        for (int k = 0; k < ENTRY_GRAPHS; k++) best = larger_plan(a, p, p->entry[i].graph[k], best);
    return best;
}

Memory memory_of(const Program *p) {
    Arena *scratch = arena_new();
    Memory m = memory_of_tensors(p);
    const Plan *plan = largest_plan(scratch, p);
    m.values = plan ? plan->arena_bytes : 0;
    arena_free(scratch);
    return m;
}

/* ---- what is computed again */

typedef struct Work {
    double once, again;
} Work;

static void add_work(Work *w, const Graph *g, double times) {
    for (size_t i = 0; g && i < g->n; i++)
        *(g->node[i]->copy ? &w->again : &w->once) += times * node_facts(g, g->node[i]).operations;
}

double memory_again(const Program *p) {
    double most = 0;
    for (size_t i = 0; i < p->nentry; i++) {
        const Entry *e = &p->entry[i];
        double pieces = (double)entry_pieces(p, e);
        Work w = {0};
        add_work(&w, e->step, 1);
        add_work(&w, e->ahead, pieces);
        add_work(&w, e->piece, pieces);
        if (w.once > 0) most = fmax(most, w.again / w.once);
    }
    return most;
}

/* ---- the fullest moment */

typedef struct Line { /* of source, and its values */
    Span at;
    int64_t bytes;
    int values;
} Line;
typedef VEC(Line) LineList;

static void add_line(Arena *a, LineList *list, Span at, int64_t bytes) {
    for (size_t i = 0; i < list->n; i++) {
        Line *l = &list->at[i];
        if (l->at.file != at.file || l->at.line != at.line) continue;
        l->bytes += bytes;
        l->values++;
        return;
    }
    vec_push(a, list, (Line){at, bytes, 1});
}

static void sort_lines(LineList *list) { /* the largest first */
    for (size_t i = 1; i < list->n; i++)
        for (size_t k = i; k > 0 && list->at[k].bytes > list->at[k - 1].bytes; k--) {
            Line t = list->at[k];
            list->at[k] = list->at[k - 1];
            list->at[k - 1] = t;
        }
}

static LineList lines_at(Arena *a, const Plan *plan, int moment) {
    LineList list = {0};
    for (uint32_t i = 0; i < plan->graph->n; i++)
        for (int o = 0; o < plan->graph->node[i]->nout; o++) {
            Live when;
            if (plan_takes(plan, i, o, &when) && when.first <= moment && moment <= when.last)
                add_line(a, &list, plan->graph->node[i]->span,
                         plan->buffer[plan->first[i] + o].bytes);
        }
    sort_lines(&list);
    return list;
}

/* ---- print */

static void print_part(Buf *b, const char *name, int64_t bytes, const char *what) {
    buf_printf(b, "%-12s", name);
    size_t start = b->n;
    buf_bytes(b, bytes);
    buf_printf(b, "%*s%s\n", *what ? (int)(12 - (b->n - start)) : 0, "", what);
}

static void print_lines(Buf *b, Arena *a, const Program *p, const Plan *plan) {
    LineList list = lines_at(a, plan, plan_fullest(a, plan));
    for (size_t i = 0; i < list.n && i < LINES; i++) {
        const Line *l = &list.at[i];
        const char *path = l->at.file ? diag_path(p->diag, l->at.file) : NULL;
        const char *name = arena_printf(a, "%s:%u", path ? path : "", l->at.line);
        print_part(b, "", l->bytes,
                   arena_printf(a, "%s, %d value%s", path ? name : "of no line", l->values,
                                l->values > 1 ? "s" : ""));
    }
}

static void put_part(Buf *b, const char *name, int64_t bytes) {
    if (!bytes) return;
    buf_printf(b, "%s%s ", b->n ? ", " : "", name);
    buf_bytes(b, bytes);
}

void memory_parts(Buf *b, const Memory *m) {
    put_part(b, "parameters", m->params);
    put_part(b, "optimiser", m->optimiser);
    put_part(b, "states", m->states);
    put_part(b, "batches", m->batches);
    put_part(b, "values of a step", m->values);
}

static bool in_pieces(const Program *p) {
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].piece) return true;
    return false;
}

void memory_tell(Buf *b, const Program *p, const Memory *m) {
    Buf parts = {0};
    int64_t limit = p->spec.run.memory;
    double again = 100 * memory_again(p);
    memory_parts(&parts, m);
    buf_puts(b, "memory: ");
    buf_bytes(b, memory_total(m));
    if (limit) buf_puts(b, " of ");
    if (limit) buf_bytes(b, limit);
    if (parts.n) buf_printf(b, ": %s", parts.data);
    if (again > 0)
        buf_printf(b, "; %.*f %% of a step's operations are done again", again < 9.95, again);
    if (in_pieces(p))
        buf_printf(b, "; %lld sample%s at a time", (long long)p->spec.run.micro,
                   p->spec.run.micro == 1 ? "" : "s");
    buf_free(&parts);
}

void memory_print(Buf *b, const Program *p) {
    Arena *a = arena_new();
    Memory m = memory_of(p);
    const Plan *plan = largest_plan(a, p);
    print_part(b, "parameters", m.params, "");
    print_part(b, "optimiser", m.optimiser, "");
    print_part(b, "states", m.states, "");
    print_part(b, "batches", m.batches, "");
    print_part(b, "values", m.values,
               plan ? arena_printf(a, "of '%s', of which most at once:", plan->graph->name) : "");
    if (plan) print_lines(b, a, p, plan);
    print_part(b, "all", memory_total(&m), "");
    arena_free(a);
}
