/* uptc sample and uptc predict: entries that return values. Pictures are gathered, and written as
 * one PNG when all are there, and so are all samples that go into an .npy; other values and texts
 * go out row by row as they come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "runtime/report/npy.h"
#include "runtime/report/picture.h"
#include "runtime/report/rows.h"
#include "runtime/run.h"

typedef struct Give {
    Run run;
    const GiveOptions *o;
    const RtEntry *entry;
    bool npy;      /* -o is one */
    void **kept;   /* by output of the plan: all its samples, NULL: it goes out row by row */
    int64_t total; /* samples wanted */
    FILE *out;     /* of rows */
    bool own;      /* and it is ours to close */
} Give;

/* ---- rows */
static bool cannot_write(const Give *g, Err *e) {
    const char *why = strerror(errno);
    return g->o->out ? err_set(e, "cannot write '%s': %s", g->o->out, why)
                     : err_set(e, "cannot write to standard output: %s", why);
}

static bool rows_open(Give *g, Err *e) {
    g->out = g->run.o->out ? g->run.o->out : stdout;
    if (!g->o->out) return true;
    g->out = fopen(g->o->out, "w");
    g->own = g->out != NULL;
    return g->own || cannot_write(g, e);
}

static bool rows_put(Give *g, int64_t rows, Err *e) {
    Buf b = {0};
    rows_json(g->run.x, g->entry->step, g->run.tok, rows, &b);
    bool ok = fwrite(b.data, 1, b.n, g->out) == b.n;
    if (!ok) cannot_write(g, e);
    buf_free(&b);
    return ok;
}

static bool rows_close(Give *g, bool ok, Err *e) {
    bool closed = g->own ? fclose(g->out) == 0 : !g->out || fflush(g->out) == 0;
    if (ok && !closed) cannot_write(g, e);
    return ok && closed;
}

/* ---- what is kept until all is there */
static int64_t sample_bytes(const RtOutput *o) {
    return o->count / o->dim[0] * (int64_t)dtype_size(o->dtype);
}

static bool keeps(const Give *g, const RtOutput *o) {
    return g->npy || o->kind == RT_OUT_image;
}

static int count_kept(const Give *g) {
    int n = 0;
    for (int i = 0; i < g->entry->step->nout; i++) n += keeps(g, &g->entry->step->out[i]);
    return n;
}

static bool kept_new(Give *g, Err *e) {
    const RtPlan *plan = g->entry->step;
    g->kept = NEW_N(g->run.arena, void *, plan->nout + 1);
    for (int i = 0; i < plan->nout; i++) {
        const RtOutput *o = &plan->out[i];
        int64_t n;
        if (!keeps(g, o)) continue;
        if (o->kind == RT_OUT_text)
            return err_set(e, "'%s' is text, and an .npy holds numbers: let -o end in .jsonl",
                           o->name);
        if (__builtin_mul_overflow(sample_bytes(o), g->total, &n) || n > 1ll << 32)
            return err_set(e, "%lld samples are too many for one file", (long long)g->total);
        g->kept[i] = heap_resize(NULL, (size_t)n);
    }
    return true;
}

static void kept_add(Give *g, int64_t done, int64_t rows) {
    const RtPlan *plan = g->entry->step;
    for (int i = 0; i < plan->nout; i++) {
        int64_t bytes = sample_bytes(&plan->out[i]);
        if (g->kept[i])
            memcpy((char *)g->kept[i] + done * bytes, exec_output(g->run.x, plan, i),
                   (size_t)(rows * bytes));
    }
}

/* Of several outputs each has its name in front of the ending. */
static const char *kept_path(Give *g, const RtOutput *o) {
    Arena *a = g->run.arena;
    const char *path =
        g->o->out ? g->o->out : arena_printf(a, "%s/sample.png", run_folder(&g->run));
    if (count_kept(g) == 1) return path;
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (!dot || (slash && dot < slash)) dot = path + strlen(path);
    return arena_printf(a, "%.*s.%s%s", (int)(dot - path), path, o->name, dot);
}

static bool sheet_write(Give *g, const RtOutput *o, const void *at, FILE *f, Err *e) {
    Sheet s = {at, g->total, o->dim[1], o->dim[2], o->dim[3], o->index};
    const char *path = kept_path(g, o);
    if (!picture_write(path, &s, e)) return false;
    picture_tell(f, path, &s);
    return true;
}

static bool numbers_write(Give *g, const RtOutput *o, const void *at, FILE *f, Err *e) {
    int64_t dim[RANK];
    memcpy(dim, o->dim, sizeof dim);
    dim[0] = g->total;
    const char *path = kept_path(g, o);
    if (!npy_write(path, &(Numbers){at, o->dtype, o->rank, dim}, e)) return false;
    fprintf(f, "%s: %s[%lld", path, dtype_name(o->dtype), (long long)dim[0]);
    for (int i = 1; i < o->rank; i++) fprintf(f, ",%lld", (long long)dim[i]);
    fprintf(f, "]\n");
    return true;
}

static bool kept_write(Give *g, Err *e) {
    const RtPlan *plan = g->entry->step;
    FILE *f = g->run.o->out ? g->run.o->out : stdout;
    bool ok = true;
    for (int i = 0; ok && i < plan->nout; i++)
        if (g->kept[i])
            ok = (g->npy ? numbers_write : sheet_write)(g, &plan->out[i], g->kept[i], f, e);
    return ok;
}

/* ---- sample */
static bool sample_batches(Give *g, Err *e) {
    RtClock clock = {.seed = g->run.at.seed, .live = g->entry->batch};
    bool rows = count_kept(g) < g->entry->step->nout;
    for (int64_t done = 0; done < g->total; done += g->entry->batch, clock.step++) {
        int64_t left = g->total - done, n = left < g->entry->batch ? left : g->entry->batch;
        clock.stepf = (float)clock.step;
        if (!exec_plan(g->run.x, g->entry->step, &clock, e)) return false;
        kept_add(g, done, n);
        if (rows && !rows_put(g, n, e)) return false;
    }
    return true;
}

static bool ends_in(const char *path, const char *ending) {
    size_t n = path ? strlen(path) : 0, m = strlen(ending);
    return n >= m && !strcasecmp(path + n - m, ending);
}

/* A sheet of pictures is a PNG, so it is called nothing else. */
static bool check_name(const Give *g, Err *e) {
    const char *out = g->o->out;
    if (!out || g->npy || !count_kept(g) || ends_in(out, ".png")) return true;
    return err_set(e, "pictures are written as a PNG: let -o end in .png (or .npy), not '%s'", out);
}

/* What goes to -o: what is kept, such as a sheet of pictures, or else the rows. */
static bool sample_all(Give *g, Err *e) {
    g->total = g->o->count > 0 ? g->o->count : g->entry->batch;
    g->npy = ends_in(g->o->out, ".npy");
    bool ok = check_name(g, e) && kept_new(g, e);
    if (count_kept(g) > 0)
        g->out = g->run.o->out ? g->run.o->out : stdout;
    else
        ok = ok && rows_open(g, e);
    ok = ok && sample_batches(g, e) && kept_write(g, e);
    return rows_close(g, ok, e);
}

/* ---- predict */
static bool predict_batches(Give *g, Err *e) {
    int number = (int)(g->entry - g->run.p->entry);
    RtClock clock = {.seed = g->run.at.seed};
    if (!run_reader(&g->run, number, 0, e)) return false;
    for (;; clock.step++) {
        if (!run_batch(&g->run, number, &clock.live, e)) return false;
        if (clock.live == 0) break;
        clock.stepf = (float)clock.step;
        if (!exec_plan(g->run.x, g->entry->step, &clock, e) || !rows_put(g, clock.live, e))
            return false;
    }
    return true;
}

static bool predict_all(Give *g, Err *e) {
    bool ok = rows_open(g, e) && predict_batches(g, e);
    return rows_close(g, ok, e);
}

/* ---- both */
static int give(Give *g, int kind, const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                bool (*work)(Give *g, Err *e), Err *e) {
    g->entry = entry_of_kind(p, kind);
    CHECK(g->entry);
    bool ok = trained_open(&g->run, p, tok, o, g->o->checkpoint, e) && work(g, e);
    for (int i = 0; g->kept && i < g->entry->step->nout; i++) heap_free(g->kept[i]);
    trained_close(&g->run);
    return ok ? 0 : 1;
}

int run_sample(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, const GiveOptions *g,
               Err *e) {
    return give(&(Give){.o = g}, RT_ENTRY_sample, p, tok, o, sample_all, e);
}

int run_predict(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                const GiveOptions *g, Err *e) {
    return give(&(Give){.o = g}, RT_ENTRY_predict, p, tok, o, predict_all, e);
}
