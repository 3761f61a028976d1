/* The `load` declarations: initial values from checkpoints, with a report of what was used, and
 * clones, which start as their original. */
#include <string.h>

#include "runtime/save/save.h"

enum { NAMES_SHOWN = 4 };

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
    Fit fit;
    const LoadSpec *spec;
    bool *used;   /* by tensor of the file */
    bool *loaded; /* by tensor of the program */
    Names left, unused;
    int count;
} Loading;

static bool nothing_there(const Loading *l) {
    const Checkpoint *c = &l->fit.c;
    return fit_refuse(&l->fit, "give rename \"theirs\" to \"ours\"",
                      "has nothing of '%s': its tensors are called '%.200s' and so on",
                      l->spec->part[0], c->ntensor ? c->tensor[0].name : "(none)");
}

static bool load_asked(Loading *l) {
    const RtProgram *p = l->fit.s->p;
    Checkpoint *c = &l->fit.c;
    for (int i = 0; i < p->ntensor; i++) {
        const RtTensor *t = &p->tensor[i];
        if (t->kind > RT_TENSOR_state || !is_asked(l->spec, t->name)) continue;
        const CheckTensor *found = checkpoint_find(c, name_there(c->arena, l->spec, t->name));
        if (!found) {
            names_add(&l->left, t->name);
            continue;
        }
        if (!fit_read(&l->fit, found, i)) return false;
        l->used[found - c->tensor] = l->loaded[i] = true;
        l->count++;
    }
    return l->count || nothing_there(l);
}

static void print_loaded(Loading *l, FILE *log) {
    const Checkpoint *c = &l->fit.c;
    for (int i = 0; i < c->ntensor; i++)
        if (!l->used[i]) names_add(&l->unused, c->tensor[i].name);
    fprintf(log, "load '%s': %d tensors\n", l->spec->file, l->count);
    names_print(log, &l->left, "left at their initial value");
    names_print(log, &l->unused, "of the file unused");
}

static bool load_one(const State *s, const LoadSpec *spec, bool *loaded, FILE *log, Err *e) {
    Loading l = {.spec = spec, .loaded = loaded};
    l.fit = (Fit){.s = s,
                  .path = spec->file,
                  .instead = "leave this load out",
                  .damaged = "name another file",
                  .misfit = "load only the parts that fit, rename another tensor to it",
                  .e = e};
    e->at = spec->span;
    if (!fit_open(&l.fit)) return false;
    l.used = NEW_N(l.fit.c.arena, bool, l.fit.c.ntensor);
    bool ok = load_asked(&l);
    if (ok && log) print_loaded(&l, log);
    checkpoint_close(&l.fit.c);
    if (ok) e->at = (Span){0};
    return ok;
}

/* Clones start as their original, which may be a clone itself; one that was loaded by name keeps
 * that. */
static void copy_clones(const State *s, const bool *loaded) {
    const RtProgram *p = s->p;
    for (int i = 0; i < p->ntensor; i++) {
        int from = i;
        for (int hops = 0; p->tensor[from].like >= 0 && !loaded[from]; hops++) {
            CHECK(hops < p->ntensor);
            from = p->tensor[from].like;
        }
        CHECK(p->tensor[from].bytes == p->tensor[i].bytes);
        if (from != i)
            memcpy(exec_tensor(s->x, i), exec_tensor(s->x, from), (size_t)p->tensor[i].bytes);
    }
}

bool load_declared(const State *s, FILE *log, Err *e) {
    Arena *a = arena_new();
    bool *loaded = NEW_N(a, bool, s->p->ntensor), ok = true;
    for (int i = 0; ok && i < s->p->spec.nload; i++)
        ok = load_one(s, &s->p->spec.load[i], loaded, log, e);
    if (ok) copy_clones(s, loaded);
    arena_free(a);
    return ok;
}
