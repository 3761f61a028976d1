/* A program with the tensors of a checkpoint, for the verbs that use what was trained: everything
 * but training opens and closes it here. */
#include <unistd.h>

#include "runtime/run.h"

const char *run_folder(const Run *r) {
    return r->o->dir ? r->o->dir : arena_printf(r->arena, "runs/%s", r->p->name);
}

/* The last checkpoint of the run's folder; a run that has none yet is told what to do. */
static const char *last_checkpoint(Run *r, Err *e) {
    const char *dir = run_folder(r), *path = arena_printf(r->arena, "%s/last.safetensors", dir);
    if (access(path, F_OK) == 0) return path;
    err_set(e,
            "there is no checkpoint in '%s' yet; train with uptc run, or name a file with "
            "--checkpoint",
            dir);
    return NULL;
}

bool trained_open(Run *r, const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                  const char *checkpoint, Err *e) {
    *r = (Run){.p = p, .tok = tok, .o = o, .arena = arena_new(), .at = {.seed = p->spec.run.seed}};
    r->at.entry = NEW_N(r->arena, int64_t, p->nentry);
    r->reader = NEW_N(r->arena, Reader *, p->nentry);
    if (!checkpoint && !(checkpoint = last_checkpoint(r, e))) return false;
    r->pool = pool_new(o->threads, e);
    r->x = r->pool ? exec_new(p, r->pool, e) : NULL;
    State s = run_state(r);
    if (!r->x || !state_read(checkpoint, &s, &r->at, e)) return false;
    if (o->has_seed) r->at.seed = o->seed;
    return true;
}

void trained_close(Run *r) {
    for (int i = 0; i < r->p->nentry; i++) run_reader_close(r, i);
    exec_free(r->x);
    pool_free(r->pool);
    arena_free(r->arena);
}

const RtEntry *entry_of_kind(const RtProgram *p, int kind) {
    for (int i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == kind) return &p->entry[i];
    return NULL;
}
