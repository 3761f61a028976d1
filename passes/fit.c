/* The pass fit: what costs next to nothing is computed again rather than kept (remat.c), and
 * `memory = 2G` holds, by computing again what costs more. What cannot fit is refused with the
 * least that it needs; below its limit nothing more changes. The limit is for what passes/memory.c
 * counts. Where computing again is not enough, the batch has been cut in pieces before
 * (choose_pieces in micro.c). */
#include "passes/internal.h"

enum { TRIES = 4 }; /* to find the least */

static int64_t budget_of(const Program *p) {
    Memory fixed = memory_of_tensors(p);
    return p->spec.run.memory - memory_total(&fixed);
}

static Graph *fit_graph(const Program *p, const Graph *g, PassCx *cx) {
    return (Graph *)remat_graph(p, g, budget_of(p), cx->arena); /* graphs do not change any more */
}

static Graph *fit_cheaply(const Program *p, const Graph *g, PassCx *cx) {
    return (Graph *)remat_cheaply(p, g, cx->arena);
}

static Program *fit_to(const Program *in, int64_t limit, PassCx *cx, Memory *m) {
    Program from = *in;
    from.spec.run.memory = limit;
    Program *p = program_map(&from, cx, fit_graph);
    p->spec.run.memory = in->spec.run.memory;
    *m = memory_of(p);
    return p;
}

/* The least that some limit above its own leads to; `m` has what its own led to. */
static Memory find_least(const Program *in, PassCx *cx, Memory m) {
    int64_t low = in->spec.run.memory;
    for (int i = 0; i < TRIES; i++) {
        Memory now;
        int64_t limit = low + (memory_total(&m) - low) / 2;
        fit_to(in, limit, cx, &now);
        if (memory_total(&now) > limit) low = limit;
        if (memory_total(&now) < memory_total(&m)) m = now;
    }
    return m;
}

static const char *pieces_text(const Program *p, PassCx *cx) {
    if (!p->spec.run.micro) return "";
    return arena_printf(cx->arena, " and %lld sample%s at a time", (long long)p->spec.run.micro,
                        p->spec.run.micro == 1 ? "" : "s");
}

static void refuse(const Program *p, PassCx *cx, const Memory *m) {
    Buf limit = {0}, least = {0}, parts = {0};
    buf_bytes(&limit, p->spec.run.memory);
    buf_bytes(&least, memory_total(m));
    memory_parts(&parts, m);
    diag_error(cx->diag, p->spec.run.memory_at,
               "the program does not fit in %s: with values computed again%s it needs at least %s",
               limit.data, pieces_text(p, cx), least.data);
    diag_note(cx->diag, (Span){0}, "that is %s", parts.data);
    buf_free(&limit);
    buf_free(&least);
    buf_free(&parts);
}

Program *fit_again(const Program *in, PassCx *cx, Memory *m) {
    return fit_to(in, in->spec.run.memory, cx, m);
}

Program *pass_fit(const Program *in, PassCx *cx) {
    Memory m;
    const Program *cheap = program_map(in, cx, fit_cheaply);
    if (!in->spec.run.memory) return (Program *)cheap;
    Program *p = fit_to(cheap, in->spec.run.memory, cx, &m);
    if (memory_total(&m) <= in->spec.run.memory) return p;
    m = find_least(cheap, cx, m);
    refuse(cheap, cx, &m);
    return NULL;
}
