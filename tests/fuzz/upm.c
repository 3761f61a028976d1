/* A .upm: parsed, elaborated with the library inside uptc, and taken through all passes to a plan.
 * Either it has errors or it is a program that verifies and can be read back. */
#include <string.h>

#include "cli/stdlib.h"
#include "frontend/frontend.h"
#include "passes/internal.h"
#include "tests/fuzz/fuzz.h"

enum { NODES_MAX = 20000 }; /* of an entry, beyond which passes take longer than a fuzzer waits */

static const char *module(void *cx, const char *name, size_t *n, const char **path) {
    *path = arena_printf(cx, "models/std/%s.upm", name);
    return stdlib_module(name, n);
}

/* Vocabularies are files of the machine, so here each is as large as it is said to be. */
static bool tokenizer(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e) {
    (void)cx;
    if (spec->size > 1000000) return err_set(e, "tokenizer %s: too large", spec->name);
    *info = (TokenizerInfo){spec->size > 5 ? spec->size : 260, 0, 1, 2, 3, 4, 3, 5};
    if (str_eq(spec->kind, "bytes")) info->unk = -1;
    return true;
}

static bool is_small(const Program *p) {
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].step->n > NODES_MAX) return false;
    return p->init->n <= NODES_MAX;
}

static void optimise(Arena *a, Diag *d, Program *p) {
    size_t before = diag_errors(d);
    Program *out = passes_run(p, d, &(PassOptions){0});
    CHECK(out || diag_errors(d) > before);
    if (!out || diag_errors(d) > before) return;
    check_program(out, "the passes");
    plan_graph(a, out, out->init);
    for (size_t i = 0; i < out->nentry; i++) plan_graph(a, out, out->entry[i].step);
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    FrontendHost host = {.cx = a, .module = module, .tokenizer = tokenizer};
    Program *p = frontend_compile(a, d, "fuzz.upm", (const char *)data, n, &host, NULL, 0);
    bool ok = p;
    CHECK(ok == !diag_errors(d));
    if (ok) {
        check_program(p, "the frontend");
        if (is_small(p)) optimise(a, d, p);
    }
    fuzz_print(d);
    arena_free(a);
    return ok;
}
