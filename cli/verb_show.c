/* uptc show: what is inside a .upx or a checkpoint, for a person. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"

static const char *shape_text(Arena *a, int rank, const int64_t *dim) {
    const char *s = "";
    for (int i = 0; i < rank; i++) s = arena_printf(a, "%s%s%" PRId64, s, i ? ", " : "", dim[i]);
    return arena_printf(a, "[%s]", s);
}

static const char *size_text(Arena *a, int64_t bytes) {
    if (bytes < 1000 * 1000) return arena_printf(a, "%.1f kB", (double)bytes / 1e3);
    return arena_printf(a, "%.1f MB", (double)bytes / 1e6);
}

static int show_checkpoint(Arena *a, const char *path) {
    Checkpoint c;
    Err e = {0};
    if (!checkpoint_open(path, &c, &e)) return fail("%s", e.msg);
    int64_t total = 0;
    for (int i = 0; i < c.nmeta; i++)
        printf("%s: %s\n", c.meta[i].key, (const char *)c.meta[i].value);
    for (int i = 0; i < c.ntensor; i++) {
        const CheckTensor *t = &c.tensor[i];
        printf("%-56s %-5s %s\n", t->name, dtype_name(t->dtype), shape_text(a, t->rank, t->dim));
        total += t->bytes;
    }
    printf("%d tensors, %s\n", c.ntensor, size_text(a, total));
    checkpoint_close(&c);
    return EXIT_OK;
}

static void show_entry(const Session *s, const Entry *e) {
    const DataSpec *d = &s->program->spec.data[e->data];
    printf("%s: batch %" PRId64, e->name, e->batch);
    if (e->steps) printf(", %" PRId64 " steps", e->steps);
    if (e->epochs) printf(", %" PRId64 " epochs", e->epochs);
    printf(", fields");
    for (int i = 0; i < d->nfield; i++) {
        const Field *f = &d->field[i];
        printf(" %s: %s%s", f->name, dtype_name(f->dtype), shape_text(s->arena, f->rank, f->dim));
    }
    printf("\n  %zu operations, %s of memory for their values\n", e->step->n,
           size_text(s->arena, plan_graph(s->arena, s->program, e->step)->arena_bytes));
}

static int show_upx(Arena *a, const char *path) {
    Session s = {.arena = a};
    Err e = {0};
    if (!upx_read(path, &s, &e)) {
        session_close(&s);
        return fail("%s", e.msg);
    }
    const Program *p = s.program;
    int64_t params = 0;
    for (uint32_t i = 1; i <= diag_sources(s.diag); i++)
        if (diag_path(s.diag, i)) printf("source: %s\n", diag_path(s.diag, i));
    for (int i = 0; i < p->spec.ntokenizer; i++)
        printf("tokenizer %s: %s, %" PRId64 " entries\n", p->spec.tokenizer[i].name,
               p->spec.tokenizer[i].kind, tokenizer_ids(s.tokenizer.at[i]).size);
    for (size_t i = 0; i < p->ntensor; i++) {
        const Tensor *t = &p->tensor[i];
        if (t->kind != TENSOR_param) continue;
        params += type_count(&t->type);
        printf("%-56s %-5s %s\n", t->name, dtype_name(t->type.dtype),
               shape_text(a, t->type.rank, t->type.dim));
    }
    printf("%" PRId64 " parameters\n", params);
    for (size_t i = 0; i < p->nentry; i++) show_entry(&s, &p->entry[i]);
    session_close(&s);
    return EXIT_OK;
}

static int run(Arena *a, const void *options, const char *file) {
    (void)options;
    return name_ends(file, ".upx") ? show_upx(a, file) : show_checkpoint(a, file);
}

const Verb verb_show = {
    .name = "show",
    .what = "what is inside a .upx or a .safetensors checkpoint",
    .takes = "FILE.upx or FILE.safetensors",
    .ending = {".upx", ".safetensors"},
    .examples = "  uptc show bert.upx\n"
                "  uptc show runs/bert/last.safetensors\n",
    .run = run,
    .options_size = 1,
};
