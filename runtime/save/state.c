/* A program's persistent tensors to and from checkpoints: saving, resuming, and the `load`
 * declarations with their report. A vocabulary is part of what was learnt, so its hash travels with
 * the tensors and must agree. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "runtime/save/save.h"

enum { NAMES_SHOWN = 4 };

#define REMEDY                                                                                     \
    "; to go on from an earlier step copy a step-N.safetensors of that folder over it, to start "  \
    "afresh give another folder with --dir"

static bool is_saved(const RtTensor *t) {
    return t->kind != RT_TENSOR_acc;
}

static void put_type(Buf *b, DType t, int rank, const int64_t *dim) {
    buf_printf(b, "%s[", dtype_name(t));
    for (int i = 0; i < rank; i++) buf_printf(b, i ? ",%" PRId64 : "%" PRId64, dim[i]);
    buf_puts(b, "]");
}

static bool same_type(const CheckTensor *c, const RtTensor *t) {
    return c->dtype == t->dtype && c->rank == t->rank &&
           memcmp(c->dim, t->dim, (size_t)t->rank * sizeof *t->dim) == 0;
}

static bool type_error(const char *path, const CheckTensor *c, const RtTensor *t,
                       const char *remedy, Err *e) {
    Buf there = {0}, here = {0};
    put_type(&there, c->dtype, c->rank, c->dim);
    put_type(&here, t->dtype, t->rank, t->dim);
    err_set(e, "'%s' does not fit the program: '%s' is %s there and '%s' is %s here%s", path,
            c->name, there.data, t->name, here.data, remedy);
    buf_free(&there);
    buf_free(&here);
    return false;
}

/* ---- metadata */

static uint64_t vocabulary_hash(const RtProgram *p, Tokenizer *const *tok, int i) {
    return tok && tok[i] ? tokenizer_hash(tok[i]) : p->spec.tokenizer[i].hash;
}

static void add_meta(Arena *a, MapEntry *meta, int *n, const char *key, char *value) {
    meta[(*n)++] = (MapEntry){arena_strdup(a, key), value};
}

static MapEntry *make_meta(Arena *a, const RtProgram *p, Tokenizer *const *tok, const Position *at,
                           int *n) {
    MapEntry *meta = NEW_N(a, MapEntry, 4 + p->nentry + p->spec.ntokenizer);
    *n = 0;
    add_meta(a, meta, n, "format", arena_strdup(a, "upt"));
    add_meta(a, meta, n, "program", arena_strdup(a, p->name ? p->name : ""));
    add_meta(a, meta, n, "step", arena_printf(a, "%" PRId64, at->step));
    add_meta(a, meta, n, "seed", arena_printf(a, "%" PRIu64, at->seed));
    for (int i = 0; i < p->nentry; i++)
        if (p->entry[i].train)
            add_meta(a, meta, n, arena_printf(a, "position.%s", p->entry[i].name),
                     arena_printf(a, "%" PRId64, at->entry[i]));
    for (int i = 0; i < p->spec.ntokenizer; i++)
        add_meta(a, meta, n, arena_printf(a, "vocabulary.%s", p->spec.tokenizer[i].name),
                 arena_printf(a, "%016" PRIx64, vocabulary_hash(p, tok, i)));
    return meta;
}

static bool meta_number(const Checkpoint *c, const char *key, uint64_t most, uint64_t *out) {
    const char *s = checkpoint_meta(c, key);
    if (!s || *s < '0' || *s > '9') return false;
    char *end;
    errno = 0;
    *out = strtoull(s, &end, 10);
    return !errno && !*end && *out <= most;
}

static bool read_position(const char *path, const Checkpoint *c, const RtProgram *p, Position *at,
                          Err *e) {
    uint64_t step;
    if (!meta_number(c, "step", INT64_MAX, &step) || !meta_number(c, "seed", UINT64_MAX, &at->seed))
        return err_set(e, "'%s' says no step or seed: it was not written by a run of upt", path);
    at->step = (int64_t)step;
    for (int i = 0; i < p->nentry; i++) {
        if (!p->entry[i].train) continue;
        const char *key = arena_printf(c->arena, "position.%s", p->entry[i].name);
        if (!meta_number(c, key, INT64_MAX, &step))
            return err_set(e, "'%s' was not written by this program: it has no entry '%s'", path,
                           p->entry[i].name);
        at->entry[i] = (int64_t)step;
    }
    return true;
}

/* A vocabulary of the same name must be the same; where names differ, one of the program's must be
 * known there. */
static bool check_vocabulary(const char *path, const Checkpoint *c, const RtProgram *p,
                             Tokenizer *const *tok, Err *e) {
    int there = 0, shared = 0;
    for (int i = 0; i < c->nmeta; i++) there += str_starts(c->meta[i].key, "vocabulary.");
    for (int i = 0; i < p->spec.ntokenizer; i++) {
        const char *hash = arena_printf(c->arena, "%016" PRIx64, vocabulary_hash(p, tok, i));
        const char *key = arena_printf(c->arena, "vocabulary.%s", p->spec.tokenizer[i].name);
        const char *named = checkpoint_meta(c, key);
        if (named && !str_eq(named, hash))
            return err_set(e, "'%s' was trained with another vocabulary '%s' than '%s' is now",
                           path, p->spec.tokenizer[i].name, p->spec.tokenizer[i].path);
        for (int k = 0; k < c->nmeta; k++)
            shared += str_starts(c->meta[k].key, "vocabulary.") && str_eq(c->meta[k].value, hash);
    }
    if (there && p->spec.ntokenizer && !shared)
        return err_set(e, "'%s' was trained with another vocabulary than '%s'", path,
                       p->spec.tokenizer[0].path);
    return true;
}

/* ---- saving and resuming */

bool state_save(const char *path, const RtProgram *p, Exec *x, Tokenizer *const *tok,
                const Position *at, Err *e) {
    Arena *a = arena_new();
    CheckTensor *t = NEW_N(a, CheckTensor, p->ntensor);
    int n = 0, nmeta;
    for (int i = 0; i < p->ntensor; i++) {
        const RtTensor *from = &p->tensor[i];
        if (!is_saved(from)) continue;
        t[n] = (CheckTensor){.name = from->name,
                             .dtype = from->dtype,
                             .rank = from->rank,
                             .data = exec_tensor(x, i),
                             .bytes = from->bytes};
        memcpy(t[n++].dim, from->dim, sizeof from->dim);
    }
    MapEntry *meta = make_meta(a, p, tok, at, &nmeta);
    bool ok = checkpoint_write(path, t, n, meta, nmeta, e);
    arena_free(a);
    return ok;
}

static bool load_tensor(const char *path, const Checkpoint *c, const RtProgram *p, Exec *x, int i,
                        bool whole, Err *e) {
    const RtTensor *t = &p->tensor[i];
    const char *remedy = whole ? "; to start afresh give another folder with --dir" : "";
    const CheckTensor *found = checkpoint_find(c, t->name);
    if (!found)
        return err_set(e, "'%s' does not fit the program: it has no tensor '%s'%s", path, t->name,
                       remedy);
    if (!same_type(found, t)) return type_error(path, found, t, remedy, e);
    memcpy(exec_tensor(x, i), found->data, (size_t)t->bytes);
    return true;
}

static bool find_saved(const RtProgram *p, const char *name) {
    for (int i = 0; i < p->ntensor; i++)
        if (is_saved(&p->tensor[i]) && str_eq(p->tensor[i].name, name)) return true;
    return false;
}

static bool load_all(const char *path, const Checkpoint *c, const RtProgram *p, Exec *x, bool whole,
                     Err *e) {
    for (int i = 0; i < p->ntensor; i++) {
        if (!is_saved(&p->tensor[i]) || (!whole && p->tensor[i].kind == RT_TENSOR_optim)) continue;
        if (!load_tensor(path, c, p, x, i, whole, e)) return false;
    }
    for (int i = 0; whole && i < c->ntensor; i++)
        if (!find_saved(p, c->tensor[i].name))
            return err_set(
                e,
                "'%s' does not fit the program, which has no tensor '%s'; to start afresh give "
                "another folder with --dir",
                path, c->tensor[i].name);
    return true;
}

bool state_load(const char *path, const RtProgram *p, Exec *x, Tokenizer *const *tok, bool whole,
                Position *at, Err *e) {
    Checkpoint c;
    Err why;
    if (!checkpoint_open(path, &c, &why))
        return err_set(e, "%.800s%s", why.msg, whole ? REMEDY : "");
    bool ok = check_vocabulary(path, &c, p, tok, e) &&
              (!whole || read_position(path, &c, p, at, e)) && load_all(path, &c, p, x, whole, e);
    if (ok && !whole) { /* a foreign checkpoint may say nothing of these */
        uint64_t n;
        if (meta_number(&c, "step", INT64_MAX, &n)) at->step = (int64_t)n;
        if (meta_number(&c, "seed", UINT64_MAX, &n)) at->seed = n;
    }
    checkpoint_close(&c);
    return ok;
}

/* ---- `load` */

static bool is_under(const char *name, const char *part) {
    size_t n = strlen(part);
    return str_starts(name, part) && (!name[n] || name[n] == '.' || name[n] == '[');
}

static bool is_asked(const LoadSpec *l, const char *name) {
    for (int i = 0; i < l->npart; i++)
        if (is_under(name, l->part[i])) return true;
    return false;
}

/* What our tensor is called in the file: the longest rename that covers it. */
static const char *name_there(Arena *a, const LoadSpec *l, const char *ours) {
    int best = -1;
    for (int i = 0; i < l->nrename; i++)
        if (is_under(ours, l->to[i]) && (best < 0 || strlen(l->to[i]) > strlen(l->to[best])))
            best = i;
    return best < 0 ? ours : arena_printf(a, "%s%s", l->from[best], ours + strlen(l->to[best]));
}

typedef struct Names { /* a count, and the first few to show */
    int n;
    const char *first[NAMES_SHOWN];
} Names;

static void names_add(Names *s, const char *name) {
    if (s->n < NAMES_SHOWN) s->first[s->n] = name;
    s->n++;
}

static void names_print(FILE *f, const Names *s, const char *what) {
    if (!s->n) return;
    fprintf(f, "  %d %s: ", s->n, what);
    for (int i = 0; i < s->n && i < NAMES_SHOWN; i++) fprintf(f, i ? ", %s" : "%s", s->first[i]);
    fputs(s->n > NAMES_SHOWN ? ", ...\n" : "\n", f);
}

typedef struct Loading {
    const RtProgram *p;
    Exec *x;
    const LoadSpec *spec;
    Checkpoint c;
    bool *used;   /* by tensor of the file */
    bool *loaded; /* by tensor of the program */
    Names left, unused;
    int count;
    Err *e;
} Loading;

static bool load_asked(Loading *l) {
    for (int i = 0; i < l->p->ntensor; i++) {
        const RtTensor *t = &l->p->tensor[i];
        if (t->kind > RT_TENSOR_state || !is_asked(l->spec, t->name)) continue;
        const CheckTensor *found = checkpoint_find(&l->c, name_there(l->c.arena, l->spec, t->name));
        if (!found) {
            names_add(&l->left, t->name);
            continue;
        }
        if (!same_type(found, t)) return type_error(l->spec->file, found, t, "", l->e);
        memcpy(exec_tensor(l->x, i), found->data, (size_t)t->bytes);
        l->used[found - l->c.tensor] = l->loaded[i] = true;
        l->count++;
    }
    return l->count ||
           err_set(l->e,
                   "'%s' has nothing of '%s': its tensors are called '%s' and so on; "
                   "load takes a rename \"theirs\" to \"ours\"",
                   l->spec->file, l->spec->part[0], l->c.ntensor ? l->c.tensor[0].name : "(none)");
}

static void print_loaded(Loading *l, FILE *log) {
    for (int i = 0; i < l->c.ntensor; i++)
        if (!l->used[i]) names_add(&l->unused, l->c.tensor[i].name);
    fprintf(log, "load '%s': %d tensors\n", l->spec->file, l->count);
    names_print(log, &l->left, "left at their initial value");
    names_print(log, &l->unused, "of the file unused");
}

static bool load_one(const RtProgram *p, Exec *x, Tokenizer *const *tok, const LoadSpec *spec,
                     bool *loaded, FILE *log, Err *e) {
    Loading l = {.p = p, .x = x, .spec = spec, .loaded = loaded, .e = e};
    if (!checkpoint_open(spec->file, &l.c, e)) return false;
    l.used = NEW_N(l.c.arena, bool, l.c.ntensor);
    bool ok = check_vocabulary(spec->file, &l.c, p, tok, e) && load_asked(&l);
    if (ok && log) print_loaded(&l, log);
    checkpoint_close(&l.c);
    return ok;
}

/* Clones start as their original, which may be a clone itself; one that was loaded by name keeps
 * that. */
static void copy_clones(const RtProgram *p, Exec *x, const bool *loaded) {
    for (int i = 0; i < p->ntensor; i++) {
        int from = i;
        for (int hops = 0; p->tensor[from].like >= 0 && !loaded[from]; hops++) {
            CHECK(hops < p->ntensor);
            from = p->tensor[from].like;
        }
        CHECK(p->tensor[from].bytes == p->tensor[i].bytes);
        if (from != i) memcpy(exec_tensor(x, i), exec_tensor(x, from), (size_t)p->tensor[i].bytes);
    }
}

bool state_load_declared(const RtProgram *p, Exec *x, Tokenizer *const *tok, FILE *log, Err *e) {
    Arena *a = arena_new();
    bool *loaded = NEW_N(a, bool, p->ntensor), ok = true;
    for (int i = 0; ok && i < p->spec.nload; i++)
        ok = load_one(p, x, tok, &p->spec.load[i], loaded, log, e);
    if (ok) copy_clones(p, x, loaded);
    arena_free(a);
    return ok;
}
