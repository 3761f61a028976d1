/* A program's persistent tensors and the position of its run, to and from checkpoints. The metadata
 * say where the run is and what its steps are made of. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/save/save.h"

/* More than any run does, so that a counter goes on from here without care. */
static const uint64_t MOST_STEPS = (uint64_t)1 << 53;

static bool is_saved(const RtTensor *t) {
    return t->kind < RT_TENSOR_acc;
}

/* ---- metadata */

typedef struct Meta {
    Arena *arena;
    VEC(MapEntry) at;
} Meta;

static void meta_add(Meta *m, const char *key, const char *of, char *value) {
    vec_push(m->arena, &m->at, (MapEntry){arena_printf(m->arena, "%s%s", key, of), value});
}

static void meta_count(Meta *m, const char *key, const char *of, uint64_t v) {
    meta_add(m, key, of, arena_printf(m->arena, "%" PRIu64, v));
}

static void meta_hash(Meta *m, const char *key, const char *of, uint64_t v) {
    meta_add(m, key, of, arena_printf(m->arena, "%016" PRIx64, v));
}

static void meta_entry(Meta *m, const char *name, int64_t done, const EntryMark *mark) {
    meta_count(m, "position.", name, (uint64_t)done);
    meta_count(m, "steps.", name, (uint64_t)mark->steps);
    meta_hash(m, "graph.", name, mark->graph);
    meta_hash(m, "stages.", name, mark->stages);
    meta_hash(m, "text.", name, mark->text);
}

static Meta make_meta(Arena *a, const State *s, const Position *at) {
    Meta m = {.arena = a};
    meta_add(&m, "format", "", arena_strdup(a, "upt"));
    meta_add(&m, "program", "", arena_strdup(a, s->p->name ? s->p->name : ""));
    meta_count(&m, "step", "", (uint64_t)at->step);
    meta_count(&m, "seed", "", at->seed);
    meta_count(&m, "order", "", at->order);
    for (int i = 0; i < s->p->nentry; i++)
        if (s->p->entry[i].kind == RT_ENTRY_train)
            meta_entry(&m, s->p->entry[i].name, at->entry[i], &at->mark[i]);
    for (int i = 0; i < s->p->spec.ntokenizer; i++)
        meta_hash(&m, "vocabulary.", s->p->spec.tokenizer[i].name, vocabulary_hash(s, i));
    return m;
}

static bool read_number(const Checkpoint *c, const char *key, int base, uint64_t most,
                        uint64_t *out) {
    const char *s = checkpoint_meta(c, key);
    if (!s || *s == '-' || *s == '+' || *s == ' ') return false;
    char *end;
    errno = 0;
    *out = strtoull(s, &end, base);
    return !errno && end != s && !*end && *out <= most;
}

/* What the file does not say stays 0. */
static uint64_t read_of(const Checkpoint *c, const char *key, const char *of, int base) {
    uint64_t v = 0;
    bool ok = read_number(c, arena_printf(c->arena, "%s%s", key, of), base, UINT64_MAX, &v);
    return ok ? v : 0;
}

static EntryMark read_mark(const Checkpoint *c, const char *name) {
    EntryMark m = {.steps = (int64_t)(read_of(c, "steps.", name, 10) & INT64_MAX)};
    m.graph = read_of(c, "graph.", name, 16);
    m.stages = read_of(c, "stages.", name, 16);
    m.text = read_of(c, "text.", name, 16);
    return m;
}

static bool read_entries(const Fit *f, Position *at) {
    const RtProgram *p = f->s->p;
    uint64_t sum = 0;
    for (int i = 0; i < p->nentry; i++) {
        if (p->entry[i].kind != RT_ENTRY_train) continue;
        const char *key = arena_printf(f->c.arena, "position.%s", p->entry[i].name);
        uint64_t done;
        if (!read_number(&f->c, key, 10, MOST_STEPS, &done))
            return fit_refuse(f, NULL, "says no valid '%s': it is of a program with other entries",
                              key);
        at->entry[i] = (int64_t)done;
        at->mark[i] = read_mark(&f->c, p->entry[i].name);
        sum += done;
    }
    return sum == (uint64_t)at->step ||
           fit_refuse(f, NULL,
                      "is of step %" PRId64 ", but the entries of the program have done %" PRIu64
                      " there: it is of a program with other entries",
                      at->step, sum);
}

static bool read_position(const Fit *f, Position *at) {
    uint64_t step;
    if (!read_number(&f->c, "step", 10, MOST_STEPS, &step) ||
        !read_number(&f->c, "seed", 10, UINT64_MAX, &at->seed))
        return fit_refuse(f, f->damaged,
                          "says no valid step or seed: it was not written by a run of upt");
    at->step = (int64_t)step;
    uint64_t order = read_of(&f->c, "order", "", 10);
    at->order = order == ORDER_follow || order == ORDER_turns ? (Order)order : ORDER_unknown;
    return read_entries(f, at);
}

/* ---- tensors */

bool state_save(const char *path, const State *s, const Position *at, Err *e) {
    Arena *a = arena_new();
    CheckTensor *t = NEW_N(a, CheckTensor, s->p->ntensor);
    int n = 0;
    for (int i = 0; i < s->p->ntensor; i++) {
        const RtTensor *from = &s->p->tensor[i];
        if (!is_saved(from)) continue;
        t[n] = (CheckTensor){.name = from->name,
                             .dtype = from->dtype,
                             .rank = from->rank,
                             .data = exec_tensor(s->x, i),
                             .bytes = from->bytes};
        memcpy(t[n++].dim, from->dim, sizeof from->dim);
    }
    Meta meta = make_meta(a, s, at);
    bool ok = checkpoint_write(path, t, n, meta.at.at, (int)meta.at.n, e);
    arena_free(a);
    return ok;
}

static bool read_tensors(const Fit *f, bool optim) {
    const RtProgram *p = f->s->p;
    for (int i = 0; i < p->ntensor; i++) {
        const RtTensor *t = &p->tensor[i];
        if (!is_saved(t) || (!optim && t->kind == RT_TENSOR_optim)) continue;
        const CheckTensor *found = checkpoint_find(&f->c, t->name);
        if (!found)
            return fit_refuse(f, f->misfit, "does not fit the program: it has no tensor '%.200s'",
                              t->name);
        if (!fit_read(f, found, i)) return false;
    }
    return true;
}

static bool keeps(const RtProgram *p, const char *name) {
    for (int i = 0; i < p->ntensor; i++)
        if (is_saved(&p->tensor[i]) && str_eq(p->tensor[i].name, name)) return true;
    return false;
}

static bool all_known(const Fit *f) {
    for (int i = 0; i < f->c.ntensor; i++)
        if (!keeps(f->s->p, f->c.tensor[i].name))
            return fit_refuse(f, f->misfit,
                              "does not fit the program, which has no tensor '%.200s'",
                              f->c.tensor[i].name);
    return true;
}

bool state_resume(const char *path, const State *s, Position *at, Err *e) {
    Fit f = {.s = s,
             .path = path,
             .instead = "to start afresh give another folder with --dir",
             .damaged = "to go on from an earlier step copy a step-N.safetensors of that folder "
                        "over it",
             .e = e};
    if (!fit_open(&f)) return false;
    bool ok = read_position(&f, at) && read_tensors(&f, true) && all_known(&f);
    checkpoint_close(&f.c);
    return ok;
}

bool state_read(const char *path, const State *s, Position *at, Err *e) {
    Fit f = {.s = s,
             .path = path,
             .instead = "name another checkpoint with --checkpoint",
             .misfit = "take the program that it was trained with",
             .e = e};
    if (!fit_open(&f)) return false;
    uint64_t n; /* a checkpoint from elsewhere may say nothing of these */
    if (read_number(&f.c, "step", 10, MOST_STEPS, &n)) at->step = (int64_t)n;
    if (read_number(&f.c, "seed", 10, UINT64_MAX, &n)) at->seed = n;
    bool ok = read_tensors(&f, false);
    checkpoint_close(&f.c);
    return ok;
}
