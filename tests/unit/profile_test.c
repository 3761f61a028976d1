/* Profiles: what is recorded of plans with kernels that take a known time, the trace as a parser of
 * JSON reads it, figures beside made-up ceilings, and lines that lead to the user's own. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/profile.h"
#include "tests/unit/check.h"

enum { TASKS = 64, STEPS = 6, WARMUP = 3 };
static const double TASK_SECONDS = 50e-6;

static void busy(const RtCall *c, int64_t first, int64_t last) {
    (void)c;
    double end = clock_seconds() + TASK_SECONDS * (double)(last - first);
    while (clock_seconds() < end) {
    }
}

/* A user's line 3 that calls a function of the library, which has a line 7. */
static Span library_line(Diag *d) {
    uint32_t own = diag_add_source(d, "dir/my.upm", "a\nb\n  y = f(x) \"q\"\n", 19);
    uint32_t lib = diag_add_source(d, STD_FOLDER "/nn.upm", NULL, 0);
    Span call = {own, 3, 7, 3, 11, 0};
    return (Span){lib, 7, 1, 7, 9, diag_add_call(d, "f", call)};
}

typedef struct Fixture {
    Arena *arena;
    Diag *sources;
    RtProgram program;
    RtEntry entry;
    RtPlan plan;
    RtStep step[2];
    RtLine line[2];
    Pool *pool;
    Exec *exec;
} Fixture;

static void open_fixture(Fixture *f) {
    Err e = {0};
    *f = (Fixture){.arena = arena_new()};
    f->sources = diag_new(f->arena);
    Span deep = library_line(f->sources), own = diag_call(f->sources, deep.via)->at;
    f->line[0] = (RtLine){deep, 0.75, RT_PHASE_forward};
    f->line[1] = (RtLine){own, 0.25, RT_PHASE_forward};
    f->step[0] = (RtStep){.kind = RT_KERNEL,
                          .kernel = busy,
                          .tasks = TASKS,
                          .cost = 1e9,
                          .bytes = 1e6,
                          .operations = 1e3,
                          .name = "soft\"max",
                          .line = f->line,
                          .nline = 2,
                          .phase = RT_PHASE_forward};
    f->step[1] = f->step[0];
    f->step[1].phase = RT_PHASE_backward;
    f->step[1].operations = 1e9;
    f->step[1].tasks = TASKS / 2;
    f->plan = (RtPlan){.name = "train", .step = f->step, .nstep = 2};
    f->entry = (RtEntry){.kind = RT_ENTRY_train, .name = "train", .step = &f->plan};
    f->program = (RtProgram){.entry = &f->entry, .nentry = 1};
    f->pool = pool_new(2, &e);
    f->exec = exec_new(&f->program, f->pool, &e);
    EXPECT(f->pool && f->exec, "%s", e.msg);
}

static void close_fixture(Fixture *f) {
    exec_free(f->exec);
    pool_free(f->pool);
    arena_free(f->arena);
}

static Profile *record_once(Fixture *f) {
    Profile *p = profile_new(&f->program, f->pool, STEPS, 100);
    for (int i = 1; i <= WARMUP + STEPS + 2; i++) {
        Err e = {0};
        profile_begin(p, i);
        double start = clock_seconds();
        profile_doing(p, DOING_data, start);
        exec_profile(f->exec, profile_on(p) ? p : NULL);
        EXPECT(exec_plan(f->exec, &f->plan, &(RtClock){0}, &e), "%s", e.msg);
        exec_profile(f->exec, NULL);
        profile_end(p, start);
        EXPECT(profile_full(p) == (i >= WARMUP + STEPS), "step %d", i);
    }
    profile_doing(p, DOING_save, clock_seconds());
    return p;
}

/* What else runs on the machine may stop this between two kernels: the best of some goes. */
static Profile *record(Fixture *f) {
    for (int goes = 10;; goes--) {
        Profile *p = record_once(f);
        double kernels = p->tally[0].seconds[0] + p->tally[0].seconds[1];
        if (!goes || kernels > 0.95 * p->seconds[DOING_step]) return p;
        profile_free(p);
    }
}

/* ---- the trace */
static double number(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    EXPECT(json_is_number(v), "no number '%s'", key);
    return json_number_value(v);
}

static const char *text(const json_t *j, const char *key) {
    const char *s = json_string_value(json_object_get(j, key));
    EXPECT(s, "no string '%s'", key);
    return s ? s : "";
}

/* Events of one thread follow one another, but for the whole steps around them. */
static void check_order(const json_t *events, int thread) {
    double end = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *j = json_array_get(events, i);
        if (!str_eq(text(j, "ph"), "X") || (int)number(j, "tid") != thread) continue;
        if (str_eq(text(j, "name"), "step")) continue;
        EXPECT(number(j, "ts") >= end - 0.002 && number(j, "dur") >= 0, "event %zu", i);
        end = number(j, "ts") + number(j, "dur");
    }
}

static int count_events(const json_t *events, const char *name, int thread, double *dur) {
    int n = 0;
    *dur = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *j = json_array_get(events, i);
        if (!str_eq(text(j, "name"), name) || (int)number(j, "tid") != thread) continue;
        *dur += number(j, "dur");
        n++;
    }
    return n;
}

static void check_trace(const json_t *events) {
    double kernels, steps, other;
    int calls = count_events(events, "soft\"max", 0, &kernels);
    EXPECT(calls == 2 * STEPS, "%d calls", calls);
    EXPECT(count_events(events, "step", 0, &steps) == STEPS, "steps");
    EXPECT(kernels <= steps && kernels > 0.95 * steps, "%g of %g us in kernels", kernels, steps);
    EXPECT(count_events(events, "waiting for data", 0, &other) == STEPS, "waits");
    EXPECT(count_events(events, "checkpoint", 0, &other) == 1, "checkpoints");
    int shares = count_events(events, "soft\"max", 1, &other);
    EXPECT(shares > 0 && shares <= 2 * STEPS && other <= steps, "%d shares of worker 1", shares);
    check_order(events, 0);
    check_order(events, 1);
}

static void test_trace(void) {
    Fixture f;
    open_fixture(&f);
    Profile *p = record(&f);
    char path[] = "/tmp/upt-trace-XXXXXX";
    int fd = mkstemp(path);
    Err e = {0};
    EXPECT(fd >= 0 && profile_trace(p, &(ProfileCx){.sources = f.sources}, path, &e), "%s", e.msg);
    json_error_t why;
    json_t *j = json_load_file(path, 0, &why);
    EXPECT(j, "line %d: %s", why.line, why.text);
    check_trace(json_object_get(j, "traceEvents"));
    const json_t *last = json_array_get(json_object_get(j, "traceEvents"), 3);
    EXPECT(str_eq(text(json_object_get(last, "args"), "at"), "dir/my.upm:3"), "its place");
    json_decref(j);
    EXPECT(!profile_trace(p, &(ProfileCx){0}, "/nowhere/trace.json", &e) &&
               strstr(e.msg, "/nowhere/"),
           "'%s'", e.msg);
    close(fd);
    unlink(path);
    profile_free(p);
    close_fixture(&f);
}

/* ---- the tables */
static json_t *profile_of(const Profile *p, const ProfileCx *cx) {
    Buf b = {0};
    profile_json(p, cx, &b);
    json_t *j = json_loads(b.data, 0, NULL);
    EXPECT(j, "%s", b.data);
    buf_free(&b);
    json_t *inner = json_incref(json_object_get(j, "profile"));
    json_decref(j);
    return inner;
}

static void check_near(double got, double want, const char *what) {
    EXPECT(got > 0.999 * want && got < 1.001 * want, "%s: %g, not %g", what, got, want);
}

static void check_figures(const json_t *j) {
    double step = number(j, "step_ms"), kernels = number(j, "kernels_ms");
    double least = 1e3 * TASK_SECONDS * (TASKS + TASKS / 2) / 2;
    EXPECT(number(j, "steps") == STEPS && number(j, "first") == WARMUP + 1, "which steps");
    EXPECT(kernels >= least && kernels <= step && kernels > 0.95 * step, "%g of %g", kernels, step);
    const json_t *phase = json_object_get(j, "phases_ms");
    check_near(number(phase, "forward") + number(phase, "backward"), kernels, "phases");
    const json_t *line = json_array_get(json_object_get(j, "lines"), 0);
    EXPECT(json_array_size(json_object_get(j, "lines")) == 1, "one line of the user's");
    EXPECT(str_eq(text(line, "at"), "dir/my.upm:3"), "'%s'", text(line, "at"));
    EXPECT(str_eq(text(line, "text"), "y = f(x) \"q\""), "'%s'", text(line, "text"));
    check_near(number(line, "ms"), kernels, "the line");
    const json_t *within = json_array_get(json_object_get(line, "within"), 0);
    EXPECT(str_eq(text(within, "at"), STD_FOLDER "/nn.upm:7"), "'%s'", text(within, "at"));
    EXPECT(str_eq(text(within, "name"), "f"), "'%s'", text(within, "name"));
    check_near(number(within, "ms"), 0.75 * kernels, "the library's line");
}

/* 1 GB/s moves 1 MB in a millisecond; 1 GFLOP/s of multiply-adds takes two
 * seconds for 1e9 instructions. */
static void check_ceilings(const json_t *kernels, double step_ms) {
    EXPECT(json_array_size(kernels) == 2, "two kernels: forward and backward");
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *k = json_array_get(kernels, i);
        bool forward = json_object_get(k, "forward") != NULL;
        double ms = number(k, "ms");
        EXPECT(str_eq(text(k, "ceiling"), forward ? "L2" : "compute"), "'%s'", text(k, "ceiling"));
        check_near(number(k, "of_ceiling"), (forward ? 1 : 2000) / ms, "of the ceiling");
        check_near(number(k, "gbytes"), 1e-3 / ms * 1e3, "GB/s");
        check_near(number(k, "gflops"), (forward ? 1e-6 : 1) / ms * 1e3, "GFLOP/s");
        check_near(number(k, "share"), ms / step_ms, "share");
        EXPECT(number(k, "calls") == 1, "calls");
    }
}

static void test_tables(void) {
    Fixture f;
    open_fixture(&f);
    Profile *p = record(&f);
    Machine m = {.cores = 2, .l2 = 1 << 20, .l3 = 1 << 24};
    for (int i = 0; i < FIGURES; i++) m.figure[i] = (Figure){0.5, 1};
    json_t *j = profile_of(p, &(ProfileCx){.sources = f.sources, .machine = &m});
    check_figures(j);
    check_ceilings(json_object_get(j, "kernels"), number(j, "step_ms"));
    json_decref(j);
    j = profile_of(p, &(ProfileCx){0}); /* neither places nor ceilings */
    EXPECT(!json_object_get(json_array_get(json_object_get(j, "kernels"), 0), "ceiling"),
           "unknown");
    EXPECT(json_array_size(json_object_get(j, "lines")) == 0, "no lines");
    json_decref(j);
    profile_free(p);
    close_fixture(&f);
}

/* A product is set against the arithmetic of what its tiles multiply, 2e9 operations a second for
 * bf16 here, one beside it of f32, whose parts are, against `rate`. */
static void test_product_types(int parts, double rate) {
    static const RtTiles bf16 = {.rows = 14, .bf16 = true, .parts = 1};
    RtTiles f32 = {.rows = 14, .parts = parts};
    Fixture f;
    open_fixture(&f);
    Profile *p = record(&f);
    Machine m = {.cores = 2, .l2 = 1 << 20, .l3 = 1 << 24};
    for (int i = 0; i < FIGURES; i++) m.figure[i] = (Figure){0.5, 1};
    m.figure[FIG_dot_bf16] = (Figure){1, 2};
    m.figure[FIG_dot_parts] = (Figure){2, 4};
    for (int i = 0; i < 2; i++) { /* what has run is told as if it had been products */
        f.step[i].kind = RT_GEMM;
        f.step[i].gemm = (RtGemm){.m = 4, .n = 5, .k = 6};
        f.step[i].operations = 1e9;
        f.step[i].tiles = i ? &f32 : &bf16;
    }
    json_t *j = profile_of(p, &(ProfileCx){.machine = &m}),
           *kernels = json_object_get(j, "kernels");
    EXPECT(json_array_size(kernels) == 2, "two products");
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *k = json_array_get(kernels, i);
        bool rounded = json_object_get(k, "forward") != NULL;
        EXPECT(str_eq(text(k, "type"), rounded ? "bf16" : "f32"), "'%s'", text(k, "type"));
        EXPECT(str_eq(text(k, "name"), rounded ? "soft\"max 4x5x6, bf16" : "soft\"max 4x5x6"),
               "'%s'", text(k, "name"));
        check_near(number(k, "of_ceiling"), 1e3 / (rounded ? 2 : rate) / number(k, "ms"),
                   "of the ceiling");
    }
    json_decref(j);
    profile_free(p);
    close_fixture(&f);
}

static void test_short_runs(void) {
    Fixture f;
    open_fixture(&f);
    for (int64_t expected = 0; expected < 6; expected++) {
        Profile *p = profile_new(&f.program, f.pool, STEPS, expected);
        EXPECT(p->wanted >= 1 && (expected == 0 || p->warmup + p->wanted <= expected), "%d steps",
               (int)expected);
        profile_free(p);
    }
    profile_begin(NULL, 1), profile_doing(NULL, DOING_data, 0), profile_end(NULL, 0);
    EXPECT(!profile_on(NULL) && !profile_full(NULL), "no profile does nothing");
    close_fixture(&f);
}

static void test_machine(void) {
    Machine m, again;
    machine_look(&m);
    EXPECT(m.cores >= 1 && m.memory > 0 && *m.processor, "the system says nothing");
    again = m;
    for (int i = 0; i < FIGURES; i++) m.figure[i] = (Figure){i + 0.5, 2.0 * i};
    Buf b = {0};
    machine_print(&m, &b);
    EXPECT(machine_read(&again, b.data, b.n), "%s", b.data);
    for (int i = 0; i < FIGURES; i++)
        EXPECT(again.figure[i].one == i + 0.5 && again.figure[i].all == 2.0 * i, "%s",
               figure_info[i].name);
    EXPECT(!machine_read(&again, b.data, b.n / 2) && !machine_read(&again, "{}", 2), "broken text");
    char *last = strstr(b.data, figure_info[FIGURES - 1].name);
    last[0] = '?';
    EXPECT(!machine_read(&again, b.data, b.n), "a figure is missing");
    last[0] = figure_info[FIGURES - 1].name[0];
    again.cores++;
    EXPECT(!machine_read(&again, b.data, b.n), "another machine's");
    buf_free(&b);
    m.cores = 8;
    m.figure[0] = (Figure){10, 50};
    EXPECT(machine_ceiling(&m, 0, 1) == 10 && machine_ceiling(&m, 0, 3) == 30, "few threads");
    EXPECT(machine_ceiling(&m, 0, 7) == 50 && machine_ceiling(&m, 0, 8) == 50, "many");
}

int main(void) {
    test_trace();
    test_tables();
    test_product_types(1, 1);
    test_product_types(3, 4);
    test_short_runs();
    test_machine();
    return check_done("profile");
}
