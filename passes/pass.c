/* The pipeline, and the driver that runs it: from the program as it was written to one that can be
 * compiled. */
#include "passes/internal.h"

#define NEEDS(stage) STAGE_##stage
#define GIVES(stage) STAGE_##stage
enum { CHANGES_MEANING, KEEPS_MEANING };
#define PASS(name, what, needs, gives, meaning)                                                    \
    { #name, what, needs, gives, meaning, pass_##name }

/* In order. autodiff starts from the program as it was built, and whole_set changes what an eval
 * graph returns; the others only change how. whole_set stands before simplify: counting the rows of
 * the whole set has to see the sum of ones, which simplify would turn into the size of a batch. */
/* clang-format off */
const Pass pass_table[] = {
    PASS(narrow, "compute only the rows that are asked for",
         NEEDS(BUILT), GIVES(BUILT), KEEPS_MEANING),
    PASS(autodiff, "expand gradients",
         NEEDS(BUILT), GIVES(PRIMITIVE), CHANGES_MEANING),
    PASS(records, "see that what is predicted is of one record alone",
         NEEDS(PRIMITIVE), GIVES(PRIMITIVE), KEEPS_MEANING),
    PASS(whole_set, "let eval entries sum over all their batches",
         NEEDS(PRIMITIVE), GIVES(WHOLE_SET), CHANGES_MEANING),
    PASS(ahead, "compute once what an eval makes of banks alone",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), CHANGES_MEANING),
    PASS(simplify, "algebra, constants, reshapes and transposes that cancel",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(convolve, "make products that are folded products of windows",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(micro, "compute a batch in pieces, if the program says so",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), CHANGES_MEANING),
    PASS(strips, "compute what belongs to large values strip by strip",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(round, "make products of training from bf16, if the program says so",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(column, "sum what a product with a single row or column sums",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(accumulate, "let products start from what is added to them",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(halve, "keep in bf16 what such products give to kernels and each other",
         NEEDS(WHOLE_SET), GIVES(WHOLE_SET), KEEPS_MEANING),
    PASS(fuse, "group pointwise and reduction chains into kernels",
         NEEDS(WHOLE_SET), GIVES(FUSED), KEEPS_MEANING),
    PASS(order, "free memory as soon as possible",
         NEEDS(FUSED), GIVES(FUSED), KEEPS_MEANING),
    PASS(fit, "compute again what is cheap, or does not fit into the memory that is allowed",
         NEEDS(FUSED), GIVES(FUSED), KEEPS_MEANING),
};
/* clang-format on */
const size_t pass_count = sizeof pass_table / sizeof *pass_table;

static const Pass *find_pass(const char *name) {
    for (size_t i = 0; i < pass_count; i++)
        if (str_eq(pass_table[i].name, name)) return &pass_table[i];
    return NULL;
}

static size_t program_nodes(const Program *p) {
    size_t n = p->init ? p->init->n : 0;
    for (size_t i = 0; i < p->nentry; i++)
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            n += p->entry[i].graph[k] ? p->entry[i].graph[k]->n : 0;
    return n;
}

static void hint_order(Diag *d) {
    Buf b = {0};
    for (size_t i = 0; i < pass_count; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", pass_table[i].name);
    diag_hint(d, "the passes run in the order %s", b.data);
    buf_free(&b);
}

static Program *run_one(Program *in, Diag *d, const Pass *pass, const PassOptions *o) {
    if ((in->stage & pass->needs) != pass->needs) {
        diag_error(d, (Span){0}, "the program is not ready for the pass '%s'", pass->name);
        hint_order(d);
        return NULL;
    }
    if (pass->gives != pass->needs && in->stage & pass->gives) {
        diag_error(d, (Span){0}, "the program has been through the pass '%s'", pass->name);
        return NULL;
    }
    double start = clock_seconds();
    PassCx cx = {.arena = in->arena, .diag = d, .strip = o->strip};
    Program *out = pass->run(in, &cx);
    if (!out) return NULL;
    out->stage |= pass->gives;
    times_stage(o->times, pass->name, start, "%zu nodes", program_nodes(out));
    if (o->check_each) check_program(out, pass->name);
    if (o->check_each && pass->keeps_meaning) check_meaning(in, out, pass->name);
    return out;
}

Program *passes_run_named(Program *p, Diag *d, const char *const *name, size_t n,
                          const PassOptions *o) {
    if (o->check_each) check_program(p, "the frontend");
    for (size_t i = 0; i < n && p; i++) {
        const Pass *pass = find_pass(name[i]);
        if (!pass) {
            diag_error(d, (Span){0}, "there is no pass '%s'", name[i]);
            return NULL;
        }
        p = run_one(p, d, pass, o);
    }
    return p;
}

Program *passes_run(Program *p, Diag *d, const PassOptions *o) {
    const char *name[sizeof pass_table / sizeof *pass_table];
    size_t n = 0;
    while (n < pass_count) {
        name[n] = pass_table[n].name;
        n++;
        if (o->until && str_eq(name[n - 1], o->until)) break;
    }
    return passes_run_named(p, d, name, n, o);
}
