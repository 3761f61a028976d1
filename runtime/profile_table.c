/* Where the time of a profile went: by part of the step, by the user's lines with the library's
 * lines below them, and by kernel, each kernel beside the ceiling that bounds it: arithmetic, or
 * the bandwidth of the memory or the cache that holds as much as it moves. Times are those of one
 * step. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/profile.h"
#include "runtime/report/report.h"

enum { LINES_SHOWN = 20, WITHIN_SHOWN = 6, KERNELS_SHOWN = 24 };
static const double LEAST_SHARE = 0.005; /* of the step: below, a row is not shown to a person */

typedef struct Row Row;
typedef VEC(Row *) Rows;
struct Row { /* of a line or of a kernel; seconds of all recorded steps */
    Span at;
    const char *name; /* of a kernel; of a library's line the function */
    RtPhase of;       /* of a kernel, */
    bool product;     /* and whether it is a matrix product, */
    DType type;       /* and of what */
    double seconds, phase[RT_PHASES];
    int64_t calls;
    double operations, bytes;
    double bound;        /* seconds at the ceiling */
    const char *ceiling; /* "compute", "memory", ...; NULL: not known */
    double longest;      /* bound of the step that named it */
    Rows within;
};

typedef struct Table {
    Arena *arena;
    const Profile *p;
    const ProfileCx *cx;
    double kernels, phase[RT_PHASES];
    Rows line, kernel;
} Table;

static const char *const phase_names[RT_PHASES] = {"other", "forward", "backward", "update"};

/* ---- places */

/* In tables without the folder, which would leave no room for what is computed there. */
static const char *place_name(const Table *t, Span at, bool short_name) {
    const char *path = t->cx->sources ? diag_path(t->cx->sources, at.file) : NULL;
    const char *slash = path && short_name ? strrchr(path, '/') : NULL;
    if (!path || !at.line) return path ? path : "";
    return arena_printf(t->arena, "%s:%u", slash ? slash + 1 : path, at.line);
}

static const char *line_text(const Table *t, Span at) {
    if (!t->cx->sources) return "";
    size_t n;
    const char *s = diag_line(t->cx->sources, at, &n);
    return arena_strndup(t->arena, s, n);
}

/* ---- ceilings */

static double memory_rate(const Machine *m, int threads) {
    static const FigureId streams[] = {FIG_copy, FIG_copy_streaming, FIG_triad,
                                       FIG_triad_streaming};
    double best = 0;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        double rate = machine_ceiling(m, streams[i], threads);
        best = rate > best ? rate : best;
    }
    return best;
}

/* What a step moves is near to where it fits: half of a cache, since others are in it too. */
static double bandwidth(const Machine *m, int threads, double bytes, const char **ceiling) {
    *ceiling = "L2";
    if (bytes <= (double)m->l2 * threads / 2) return machine_ceiling(m, FIG_l2_triad, threads);
    *ceiling = "L3";
    if (bytes <= (double)m->l3 / 2) return machine_ceiling(m, FIG_l3_triad, threads);
    *ceiling = "memory";
    return memory_rate(m, threads);
}

/* What a product is made of. */
static DType product_type(const RtStep *s) {
    return s->tiles && s->tiles->bf16 ? DT_bf16 : DT_f32;
}

/* Operations a second; a kernel's are counted in instructions, and a multiply-add does two. */
static double arithmetic(const Machine *m, int threads, const RtStep *s) {
    bool product = s->kind == RT_GEMM;
    FigureId f = FIG_fma;
    if (product && product_type(s) == DT_bf16) f = FIG_dot_bf16;
    if (product && s->tiles && s->tiles->parts > 1) f = FIG_dot_parts;
    return machine_ceiling(m, f, threads) / (product ? 1 : 2);
}

/* The least seconds that a call can take. */
static double least_seconds(const Table *t, const RtStep *s, const char **ceiling) {
    const Machine *m = t->cx->machine;
    *ceiling = NULL;
    if (!m) return 0;
    int threads = pool_threads(t->p->pool);
    double rate = bandwidth(m, threads, s->bytes, ceiling);
    double moving = rate > 0 ? s->bytes / rate / 1e9 : 0;
    double peak = arithmetic(m, threads, s);
    double computing = peak > 0 ? s->operations / peak / 1e9 : 0;
    if (computing > moving) *ceiling = "compute";
    return computing > moving ? computing : moving;
}

/* ---- collecting */

static Row *row_at(const Table *t, Rows *rows, Span at, const char *name, RtPhase of) {
    for (size_t i = 0; i < rows->n; i++) {
        Row *r = rows->at[i];
        if (r->at.file == at.file && r->at.line == at.line && r->of == of && str_eq(r->name, name))
            return r;
    }
    Row *r = NEW(t->arena, Row);
    r->at = at;
    r->name = name;
    r->of = of;
    vec_push(t->arena, rows, r);
    return r;
}

static void add_time(Row *r, RtPhase phase, double seconds, int64_t calls) {
    r->seconds += seconds;
    r->phase[phase] += seconds;
    r->calls += calls;
}

static void add_lines(Table *t, const RtStep *s, double seconds, int64_t calls) {
    const Diag *d = t->cx->sources;
    for (int i = 0; i < s->nline && d; i++) {
        Span at = s->line[i].at, own = diag_users_line(d, at);
        double part = seconds * s->line[i].share;
        Row *r = row_at(t, &t->line, own, "", RT_PHASE_other);
        add_time(r, s->line[i].phase, part, calls);
        if (own.file == at.file && own.line == at.line) continue;
        const CallSite *c = diag_call(d, at.via);
        add_time(row_at(t, &r->within, at, c ? c->name : "", RT_PHASE_other), s->line[i].phase,
                 part, calls);
    }
}

static const char *kernel_name(const Table *t, const RtStep *s) {
    if (s->kind != RT_GEMM) return s->name;
    int64_t times = 1;
    for (int i = 0; i < s->gemm.nloop; i++) times *= s->gemm.loop[i].size;
    const char *shape = arena_printf(t->arena, "%lldx%lldx%lld", (long long)s->gemm.m,
                                     (long long)s->gemm.n, (long long)s->gemm.k);
    if (times > 1) shape = arena_printf(t->arena, "%lld of %s", (long long)times, shape);
    if (product_type(s) != DT_f32) shape = arena_printf(t->arena, "%s, bf16", shape);
    return arena_printf(t->arena, "%s %s", s->name, shape);
}

static void add_step(Table *t, const RtStep *s, double seconds, int64_t calls) {
    Span at = s->nline ? s->line[0].at : s->span;
    Span own = t->cx->sources ? diag_users_line(t->cx->sources, at) : at;
    Row *r = row_at(t, &t->kernel, own, kernel_name(t, s), s->phase);
    const char *ceiling;
    double bound = least_seconds(t, s, &ceiling) * (double)calls;
    add_time(r, s->phase, seconds, calls);
    r->product = s->kind == RT_GEMM;
    r->type = product_type(s);
    r->operations += s->operations * (double)calls;
    r->bytes += s->bytes * (double)calls;
    r->bound += bound;
    if (!r->ceiling || bound > r->longest) r->ceiling = ceiling, r->longest = bound;
    t->kernels += seconds;
    for (int i = 0; i < s->nline; i++) t->phase[s->line[i].phase] += seconds * s->line[i].share;
    if (!s->nline) t->phase[s->phase] += seconds;
    add_lines(t, s, seconds, calls);
}

static int longer_first(const void *a, const void *b) {
    const Row *x = *(Row *const *)a, *y = *(Row *const *)b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void sort_rows(Rows *r) {
    if (r->n) qsort(r->at, r->n, sizeof *r->at, longer_first);
}

static Table collect(const Profile *p, const ProfileCx *cx) {
    Table t = {.arena = arena_new(), .p = p, .cx = cx};
    for (int i = 0; i < p->ntally; i++)
        for (int k = 0; k < p->tally[i].plan->nstep; k++)
            if (p->tally[i].calls[k])
                add_step(&t, &p->tally[i].plan->step[k], p->tally[i].seconds[k],
                         p->tally[i].calls[k]);
    sort_rows(&t.line);
    sort_rows(&t.kernel);
    for (size_t i = 0; i < t.line.n; i++) sort_rows(&t.line.at[i]->within);
    return t;
}

/* ---- figures */

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

typedef struct Took { /* milliseconds of a step */
    double median, least, most, mean;
} Took;

static Took steps_took(const Table *t) {
    size_t n = (size_t)t->p->recorded;
    double *s = arena_memdup(t->arena, t->p->took, n * sizeof *s);
    qsort(s, n, sizeof *s, by_size);
    return (Took){1e3 * (s[n / 2] + s[(n - 1) / 2]) / 2, 1e3 * s[0], 1e3 * s[n - 1],
                  1e3 * t->p->seconds[DOING_step] / (double)n};
}

static double per_step(const Table *t, double seconds) {
    return 1e3 * seconds / (double)t->p->recorded;
}

static double share_of(const Table *t, double seconds) {
    return seconds / t->p->seconds[DOING_step];
}

/* ---- for a person */

static void put_part(FILE *f, const Table *t, const char *what, double seconds) {
    fprintf(f, "  %-26s %9.2f ms  %5.1f %%\n", what, per_step(t, seconds),
            100 * share_of(t, seconds));
}

static void put_head(FILE *f, const Table *t) {
    Took took = steps_took(t);
    const Profile *p = t->p;
    fprintf(f, "\nprofile of steps %lld to %lld, with %d thread%s\n\n", (long long)p->first,
            (long long)(p->first + p->recorded - 1), pool_threads(p->pool),
            pool_threads(p->pool) == 1 ? "" : "s");
    fprintf(f, "a step takes %.2f ms (median; %.2f to %.2f), on average:\n", took.median,
            took.least, took.most);
    put_part(f, t, "kernels", t->kernels);
    for (int i = RT_PHASE_forward; i <= RT_PHASES; i++) {
        int phase = i % RT_PHASES; /* other comes last */
        if (t->phase[phase] > 0)
            put_part(f, t, arena_printf(t->arena, "  %s", phase_names[phase]), t->phase[phase]);
    }
    put_part(f, t, doing_names[DOING_data], p->seconds[DOING_data]);
    put_part(f, t, "reports and all else",
             p->seconds[DOING_step] - p->seconds[DOING_data] - t->kernels);
    for (int i = DOING_save; i <= DOING_eval; i++)
        if (p->times[i])
            fprintf(f, "besides, so far: %s %lld time%s, %.2f s\n", doing_names[i],
                    (long long)p->times[i], p->times[i] == 1 ? "" : "s", p->seconds[i]);
}

/* A line of `width` at most: `text` ends in "..." where it does not fit behind `left`. */
static void put_cut(FILE *f, size_t width, const char *left, const char *text) {
    size_t n = strlen(text), room = width > strlen(left) ? width - strlen(left) : 0;
    if (n <= room) {
        fprintf(f, "%s%s\n", left, text);
        return;
    }
    size_t keep = room > 3 ? room - 3 : 0;
    while (keep && ((unsigned char)text[keep] & 0xC0) == 0x80) keep--;
    fprintf(f, "%s%.*s...\n", left, (int)keep, text);
}

static void put_line(FILE *f, const Table *t, const Row *r, const char *text, size_t width) {
    const char *left =
        arena_printf(t->arena, "%9.2f %5.1f %%  %8.2f %8.2f  ", per_step(t, r->seconds),
                     100 * share_of(t, r->seconds), per_step(t, r->phase[RT_PHASE_forward]),
                     per_step(t, r->phase[RT_PHASE_backward]));
    put_cut(f, width, left, text);
}

static bool worth(const Table *t, const Row *r) {
    return share_of(t, r->seconds) >= LEAST_SHARE;
}

static void put_lines(FILE *f, const Table *t, size_t width) {
    fprintf(f, "\n%9s %7s  %8s %8s  by line\n", "ms", "share", "forward", "backward");
    for (size_t i = 0; i < t->line.n && i < LINES_SHOWN && worth(t, t->line.at[i]); i++) {
        const Row *r = t->line.at[i];
        put_line(f, t, r,
                 arena_printf(t->arena, "%s  %s", place_name(t, r->at, true), line_text(t, r->at)),
                 width);
        for (size_t k = 0; k < r->within.n && k < WITHIN_SHOWN && worth(t, r->within.at[k]); k++) {
            const Row *w = r->within.at[k];
            put_line(f, t, w,
                     arena_printf(t->arena, "  %s %s  %s", place_name(t, w->at, true), w->name,
                                  line_text(t, w->at)),
                     width);
        }
    }
}

static const char *rate_text(const Table *t, double rate) {
    return rate >= 0.05 ? arena_printf(t->arena, "%.1f", rate) : "-";
}

static void put_kernel(FILE *f, const Table *t, const Row *r, size_t width) {
    Arena *a = t->arena;
    double calls = (double)r->calls / (double)t->p->recorded;
    const char *bound = "    -";
    if (r->ceiling) bound = arena_printf(a, "%3.0f %% %s", 100 * r->bound / r->seconds, r->ceiling);
    const char *left = arena_printf(
        a, "%9.2f %5.1f %% %5.0f %7s %6s %-13s %-9s", per_step(t, r->seconds),
        100 * share_of(t, r->seconds), calls, rate_text(t, r->operations / r->seconds / 1e9),
        rate_text(t, r->bytes / r->seconds / 1e9), bound, phase_names[r->of]);
    put_cut(f, width, left, arena_printf(a, "%s  %s", place_name(t, r->at, true), r->name));
}

static void put_kernels(FILE *f, const Table *t, size_t width) {
    fprintf(f, "\n%9s %7s %5s %7s %6s %-22s by kernel\n", "ms", "share", "calls", "GFLOP/s", "GB/s",
            "of ceiling");
    size_t shown = 0;
    double rest = 0;
    for (size_t i = 0; i < t->kernel.n; i++) {
        bool show = i < KERNELS_SHOWN && worth(t, t->kernel.at[i]);
        if (show) put_kernel(f, t, t->kernel.at[i], width);
        if (!show) rest += t->kernel.at[i]->seconds;
        shown += show;
    }
    if (shown < t->kernel.n)
        fprintf(f, "%9.2f %5.1f %%  in %zu more\n", per_step(t, rest), 100 * share_of(t, rest),
                t->kernel.n - shown);
}

static void put_foot(FILE *f, const Table *t) {
    fputc('\n', f);
    if (t->cx->trace)
        fprintf(f, "every call on every thread: '%s', for ui.perfetto.dev or chrome://tracing\n",
                t->cx->trace);
    if (t->cx->flaw) fprintf(f, "there is no trace: %s\n", t->cx->flaw);
    if (t->p->lost) fprintf(f, "(%zu calls are not in it: it holds no more)\n", t->p->lost);
    if (!t->cx->machine)
        fputs("how near to what this machine can do? run `uptc doctor` once, then profile again\n",
              f);
    fputc('\n', f);
}

void profile_print(const Profile *p, const ProfileCx *cx, FILE *f) {
    Table t = collect(p, cx);
    size_t width = report_columns(f);
    if (width < 80) width = 80;
    put_head(f, &t);
    put_lines(f, &t, width);
    put_kernels(f, &t, width);
    put_foot(f, &t);
    arena_free(t.arena);
}

/* ---- for a program */

static json_t *row_json(const Table *t, const Row *r) {
    json_t *j = json_object();
    json_object_set_new(j, "at", json_string(place_name(t, r->at, false)));
    if (*r->name) json_object_set_new(j, "name", json_string(r->name));
    json_object_set_new(j, "ms", json_real(per_step(t, r->seconds)));
    json_object_set_new(j, "share", json_real(share_of(t, r->seconds)));
    for (int i = 0; i < RT_PHASES; i++)
        if (r->phase[i] > 0)
            json_object_set_new(j, phase_names[i], json_real(per_step(t, r->phase[i])));
    return j;
}

static json_t *lines_json(const Table *t) {
    json_t *all = json_array();
    for (size_t i = 0; i < t->line.n; i++) {
        const Row *r = t->line.at[i];
        json_t *j = row_json(t, r), *within = json_array();
        for (size_t k = 0; k < r->within.n; k++)
            json_array_append_new(within, row_json(t, r->within.at[k]));
        json_object_set_new(j, "text", json_string(line_text(t, r->at)));
        json_object_set_new(j, "within", within);
        json_array_append_new(all, j);
    }
    return all;
}

static json_t *kernels_json(const Table *t) {
    json_t *all = json_array();
    for (size_t i = 0; i < t->kernel.n; i++) {
        const Row *r = t->kernel.at[i];
        json_t *j = row_json(t, r);
        json_object_set_new(j, "product", json_boolean(r->product));
        if (r->product) json_object_set_new(j, "type", json_string(dtype_name(r->type)));
        json_object_set_new(j, "calls", json_real((double)r->calls / (double)t->p->recorded));
        json_object_set_new(j, "gflops", json_real(r->operations / r->seconds / 1e9));
        json_object_set_new(j, "gbytes", json_real(r->bytes / r->seconds / 1e9));
        if (r->ceiling) {
            json_object_set_new(j, "ceiling", json_string(r->ceiling));
            json_object_set_new(j, "of_ceiling", json_real(r->bound / r->seconds));
        }
        json_array_append_new(all, j);
    }
    return all;
}

static json_t *phases_json(const Table *t) {
    json_t *j = json_object();
    for (int i = 0; i < RT_PHASES; i++)
        json_object_set_new(j, phase_names[i], json_real(per_step(t, t->phase[i])));
    return j;
}

void profile_json(const Profile *p, const ProfileCx *cx, Buf *out) {
    Table t = collect(p, cx);
    Took took = steps_took(&t);
    json_t *j = json_pack(
        "{sI sI si so so so so so so so so}", "first", (json_int_t)p->first, "steps",
        (json_int_t)p->recorded, "threads", pool_threads(p->pool), "step_ms", json_real(took.mean),
        "median_ms", json_real(took.median), "kernels_ms", json_real(per_step(&t, t.kernels)),
        "data_ms", json_real(per_step(&t, p->seconds[DOING_data])), "phases_ms", phases_json(&t),
        "lines", lines_json(&t), "kernels", kernels_json(&t), "run",
        json_pack("{sf sf}", "evaluation_s", p->seconds[DOING_eval], "checkpoint_s",
                  p->seconds[DOING_save]));
    if (cx->trace) json_object_set_new(j, "trace", json_string(cx->trace));
    if (cx->flaw) json_object_set_new(j, "no_trace", json_string(cx->flaw));
    j = json_pack("{so}", "profile", j);
    char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text) buf_printf(out, "%s\n", text);
    free(text);
    json_decref(j);
    arena_free(t.arena);
}
