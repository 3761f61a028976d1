/* What a program takes of memory while it runs, known before: its tensors, its batches, and the
 * arena of its values, as large as the largest of its plans needs it. With the lines of source
 * whose values fill that plan at its fullest. Limits: the program itself, its kernels and the text
 * it reads are not in it. */
#include <string.h>

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
    for (size_t i = 0; i < p->nentry; i++) {
        best = larger_plan(a, p, p->entry[i].step, best);
        best = larger_plan(a, p, p->entry[i].logged, best);
    }
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

/* ---- the fullest moment */

typedef struct Line { /* of source, and its values */
    Span at;
    int64_t bytes;
    int values;
} Line;
typedef VEC(Line) LineList;

static int fullest(Arena *a, const Plan *plan) {
    int nodes = (int)plan->graph->n, best = 0;
    int64_t *change = NEW_N(a, int64_t, nodes + 3), now = 0, most = 0;
    for (uint32_t i = 0; i < plan->graph->n; i++)
        for (int o = 0; o < plan->graph->node[i]->nout; o++) {
            Live when;
            if (!plan_takes(plan, i, o, &when)) continue;
            change[when.first] += plan->buffer[plan->first[i] + o].bytes;
            change[when.last + 1] -= plan->buffer[plan->first[i] + o].bytes;
        }
    for (int i = 0; i <= nodes; i++) {
        now += change[i];
        if (now > most) most = now, best = i;
    }
    return best;
}

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
    LineList list = lines_at(a, plan, fullest(a, plan));
    for (size_t i = 0; i < list.n && i < LINES; i++) {
        const Line *l = &list.at[i];
        const char *path = l->at.file ? diag_path(p->diag, l->at.file) : NULL;
        const char *name = arena_printf(a, "%s:%u", path ? path : "", l->at.line);
        print_part(b, "", l->bytes,
                   arena_printf(a, "%s, %d value%s", path ? name : "of no line", l->values,
                                l->values > 1 ? "s" : ""));
    }
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
