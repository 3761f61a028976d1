/* The table of `uptc --time`: see times.h. */
#include "base/times.h"

typedef struct Row {
    const char *name, *note;
    double seconds;
    bool part;
} Row;

struct Times {
    Arena *arena;
    double start;
    VEC(Row) row;
};

Times *times_new(Arena *a) {
    Times *t = NEW(a, Times);
    t->arena = a;
    t->start = clock_seconds();
    return t;
}

void times_stage(Times *t, const char *stage, double start, const char *fmt, ...) {
    if (!t) return;
    va_list ap;
    va_start(ap, fmt);
    Row r = {stage, arena_vprintf(t->arena, fmt, ap), clock_seconds() - start, false};
    va_end(ap);
    vec_push(t->arena, &t->row, r);
}

void times_part(Times *t, const char *part, double seconds, const char *fmt, ...) {
    if (!t) return;
    va_list ap;
    va_start(ap, fmt);
    Row r = {part, arena_vprintf(t->arena, fmt, ap), seconds, true};
    va_end(ap);
    vec_push(t->arena, &t->row, r);
}

static void print_row(FILE *f, const Row *r) {
    int indent = r->part ? 2 : 0;
    fprintf(f, "%*s%-*s %8.1f%s%s\n", indent, "", 18 - indent, r->name, 1e3 * r->seconds,
            *r->note ? "  " : "", r->note);
}

void times_print(Times *t, FILE *f) {
    if (!t || !t->row.n) return;
    double all = clock_seconds() - t->start, rest = all;
    fprintf(f, "%-18s %8s\n", "stage", "ms");
    for (size_t i = 0; i < t->row.n; i++) {
        print_row(f, &t->row.at[i]);
        if (!t->row.at[i].part) rest -= t->row.at[i].seconds;
    }
    print_row(f, &(Row){"the rest", "", rest, false});
    print_row(f, &(Row){"all", "", all, false});
    t->row.n = 0;
    t->start = clock_seconds();
}
