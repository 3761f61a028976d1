/* uptc doctor: what this machine can do, measured in a few seconds, each figure that looks bad with
 * what to do about it. The figures are kept beside the compiled kernels, where profiles find them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "codegen/probe.h"
#include "runtime/gemm.h"
#include "runtime/machine.h"

typedef struct Options {
    bool json;
} Options;

typedef struct Doctor {
    Arena *arena;
    Machine m;
    const char *cpu, *features;     /* LLVM's words */
    const char *cache, *cache_flaw; /* NULL: none, and why */
    const char *disk_flaw;          /* NULL: checkpoints can be written here */
    int bad;                        /* advice given */
} Doctor;

Machine *machine_known(Arena *a) {
    Machine *m = NEW(a, Machine);
    const char *why, *folder = cache_folder(a, &why);
    char *text;
    size_t n;
    Err none = {0};
    machine_look(m);
    bool ok = folder && file_read(a, machine_path(a, m, folder), &text, &n, &none) &&
              machine_read(m, text, n);
    return ok ? m : NULL;
}

/* ---- measuring */

/* A kernel as small as kernels get, of the library's kind: x e^x of random numbers, summed by rows.
 */
static Graph *small_graph(Arena *a) {
    const int64_t dim[] = {64, 256};
    Type t = type_make(DT_f32, 2, dim);
    Graph *g = graph_new(a, "doctor"), *body = graph_new(a, "body");
    Ref x = graph_add(body, OP_uniform, &(Attr){.random = {.place = 1}}, NULL, 0, &t, (Span){0});
    Ref y = g_binary(body, OP_mul, x, g_unary(body, OP_exp, x, (Span){0}), (Span){0});
    graph_out(body, OUT_value, NULL, 0, g_reduce(body, OP_sum, y, 2, (Span){0}), (Span){0});
    Ref f = graph_add(g, OP_fused, &(Attr){.body = body}, NULL, 0, NULL, (Span){0});
    graph_out(g, OUT_value, NULL, 0, f, (Span){0});
    return g;
}

static bool measure_compiler(Doctor *d, Err *e) {
    double start = clock_seconds();
    Codegen *c = codegen_new(&(CodegenOptions){0}, e);
    if (!c) return false;
    double started = clock_seconds();
    const Program *p = program_new(d->arena, diag_new(d->arena));
    bool ok = codegen_graph(c, d->arena, p, small_graph(d->arena), e);
    d->m.figure[FIG_llvm_start].one = (started - start) * 1e3;
    d->m.figure[FIG_llvm_kernel].one = (clock_seconds() - started) * 1e3;
    codegen_free(c);
    return ok;
}

static bool measure_loops(Doctor *d, Err *e) {
    MachineCode code = {0};
    Probe *p = probe_new(d->arena, e);
    Codegen *c = p ? codegen_new(&(CodegenOptions){0}, e) : NULL;
    bool ok = c && (code.tiles = codegen_tiles(c, e));
    for (int i = 0; ok && i < RT_PROBES; i++) ok = (code.probe[i] = probe_loop(p, (RtProbe)i, e));
    if (ok) {
        d->cpu = arena_strdup(d->arena, probe_cpu(p));
        d->features = arena_strdup(d->arena, probe_features(p));
        ok = machine_measure(&d->m, &code, e);
    }
    codegen_free(c);
    probe_free(p);
    return ok;
}

static bool measure(Doctor *d, Err *e) {
    Err disk = {0};
    machine_look(&d->m);
    d->cache = cache_folder(d->arena, &d->cache_flaw);
    if (!machine_measure_disk(&d->m, ".", &disk)) d->disk_flaw = arena_strdup(d->arena, disk.msg);
    return measure_compiler(d, e) && measure_loops(d, e);
}

/* ---- advice: NULL where all is well */

static double share(double part, double whole) {
    return whole > 0 ? part / whole : 1;
}

static const char *advise_threads(const Doctor *d, const Figure *f) {
    if (f->all <= 0 || share(f->all, f->one * d->m.cores) > 0.8) return NULL;
    return "threads slow one another down: other programs run (see top), or cores are shared; try "
           "--threads with fewer";
}

static const char *advise_product(const Doctor *d, const Figure *f) {
    double peak = fmax(d->m.figure[FIG_fma].one, d->m.figure[FIG_dot_parts].one);
    if (share(f->one, peak) > 0.5) return NULL;
    return "products are slow: other programs or machines use the caches now; measure again";
}

static const char *advise_memory(const Doctor *d, const Figure *f) {
    (void)d;
    if (f->one >= 5) return NULL;
    return "memory is slow: other programs or machines use it now, or it has one channel only";
}

static const char *advise_huge(const Doctor *d, const Figure *f) {
    bool off = !str_eq(d->m.huge, "always") && !str_eq(d->m.huge, "madvise");
    if (off || share(f->one, d->m.figure[FIG_touch].one) > 1.3) return NULL;
    return "the system has no huge pages left to give: echo 1 | sudo tee "
           "/proc/sys/vm/compact_memory";
}

static const char *advise_dispatch(const Doctor *d, const Figure *f) {
    (void)d;
    if (f->all < 3) return NULL;
    return "threads wait for their cores: other programs run (see top), or the cores are virtual; "
           "try "
           "--threads with fewer";
}

static const char *advise_compiler(const Doctor *d, const Figure *f) {
    (void)d;
    if (f->one < 100) return NULL;
    return "LLVM is slow to load: the disk is slow, or the machine is busy";
}

static const char *advise_disk(const Doctor *d, const Figure *f) {
    if (d->disk_flaw)
        return arena_printf(d->arena, "%s; choose another place with --dir", d->disk_flaw);
    if (f->one > 100) return NULL;
    return "a checkpoint takes long: save less often (--save-every), or on another disk (--dir)";
}

typedef const char *Advise(const Doctor *d, const Figure *f);
static Advise *const figure_advice[FIGURES] = {
    [FIG_fma] = advise_threads,         [FIG_product_wide] = advise_product,
    [FIG_l2_triad] = advise_threads,    [FIG_triad_streaming] = advise_memory,
    [FIG_touch_huge] = advise_huge,     [FIG_dispatch] = advise_dispatch,
    [FIG_llvm_start] = advise_compiler, [FIG_llvm_kernel] = advise_compiler,
    [FIG_disk] = advise_disk,
};

/* ---- telling */

static void tell_advice(Doctor *d, const char *advice) {
    if (!advice) return;
    printf("    ! %s\n", advice);
    d->bad++;
}

static const char *size_of(Arena *a, int64_t bytes) {
    if (bytes >= 1 << 30) return arena_printf(a, "%.1f GB", (double)bytes / (1 << 30));
    return arena_printf(a, bytes >= 1 << 20 ? "%.0f MB" : "%.1f MB", (double)bytes / (1 << 20));
}

/* Of LLVM's list those that say how wide vectors are and what they multiply. */
static const char *vector_features(const Doctor *d) {
    static const char *const known[] = {
        "sse4.2",      "avx",        "avx2",     "fma",  "avx512f", "avx512bw", "avx512vl",
        "avx512_bf16", "avx512bf16", "amx-bf16", "neon", "sve",     "sve2",     "bf16"};
    const char *out = "";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *word = arena_printf(d->arena, "+%s", known[i]), *at = d->features;
        size_t n = strlen(word);
        while ((at = strstr(at, word)) && at[n] && at[n] != ',') at++;
        if (at) out = arena_printf(d->arena, "%s%s%s", out, *out ? " " : "", known[i]);
    }
    return *out ? out : "no vectors";
}

static void tell_processor(Doctor *d) {
    printf("%-12s %s (%s), %d core%s, caches of %s and %s\n", "processor", d->m.processor, d->cpu,
           d->m.cores, d->m.cores == 1 ? "" : "s", size_of(d->arena, d->m.l2),
           size_of(d->arena, d->m.l3));
    printf("%-12s %s\n", "vectors", vector_features(d));
    if (strstr(d->features, "+sse2") && !strstr(d->features, "+avx2,"))
        tell_advice(d,
                    "no vectors of 256 bits: where this is a virtual machine, give it the host's "
                    "processor model");
    if (d->m.quota > 0 && d->m.quota < d->m.cores)
        tell_advice(d,
                    arena_printf(d->arena,
                                 "the control group allows %.1f cores' time: raise its cpu.max, or "
                                 "run with --threads %.0f",
                                 d->m.quota, d->m.quota < 1 ? 1 : d->m.quota));
}

static void tell_memory(Doctor *d) {
    printf("%-12s %s, %s of it free; huge pages: %s\n", "memory", size_of(d->arena, d->m.memory),
           size_of(d->arena, d->m.available), *d->m.huge ? d->m.huge : "not known to this system");
    if (d->m.limit > 0 && d->m.limit < d->m.memory)
        printf("%-12s the control group allows %s\n", "", size_of(d->arena, d->m.limit));
    if (d->m.available < d->m.memory / 4)
        tell_advice(d, "other programs hold most of the memory (see top, keys M)");
    if (str_eq(d->m.huge, "never"))
        tell_advice(d, "huge pages are off: echo madvise | sudo tee "
                       "/sys/kernel/mm/transparent_hugepage/enabled");
}

static void tell_cache(Doctor *d) {
    printf("%-12s %s\n", "cache", d->cache ? d->cache : "none: every start compiles every kernel");
    if (!d->cache)
        tell_advice(
            d, arena_printf(d->arena, "%s; name a folder of your own in UPT_CACHE", d->cache_flaw));
}

static void tell_value(const FigureInfo *i, double v) {
    if (v > 0)
        printf(" %11.*f", i->digits, v);
    else
        printf(" %11s", "-");
}

static void tell_figures(Doctor *d) {
    const char *all = d->m.cores > 1 ? arena_printf(d->arena, "%d threads", d->m.cores) : "";
    printf("\n%-38s %11s %11s\n", "", "1 thread", all);
    for (int i = 0; i < FIGURES; i++) {
        const Figure *f = &d->m.figure[i];
        printf("%-38s", figure_info[i].what);
        tell_value(&figure_info[i], f->one);
        tell_value(&figure_info[i], f->all);
        printf("  %s\n", figure_info[i].unit);
        if (figure_advice[i]) tell_advice(d, figure_advice[i](d, f));
    }
}

static void tell(Doctor *d) {
    tell_processor(d);
    tell_memory(d);
    tell_cache(d);
    tell_figures(d);
    if (d->bad)
        printf("\n%d thing%s to look at, marked with !\n", d->bad, d->bad == 1 ? "" : "s");
    else
        printf("\nall is well\n");
}

static int run(Arena *a, const void *options, const char *file) {
    (void)file;
    const Options *o = options;
    Doctor d = {.arena = a};
    Err e = {0};
    if (!measure(&d, &e)) return fail("%s", e.msg);
    Buf b = {0};
    machine_print(&d.m, &b);
    if (o->json)
        fputs(b.data, stdout);
    else
        tell(&d);
    if (d.cache && !file_write_atomic(machine_path(a, &d.m, d.cache), b.data, b.n, &e))
        fail("%s; profiles will not know these figures", e.msg);
    buf_free(&b);
    return EXIT_OK;
}

static const Opt opts[] = {
    {"--json", OPT_flag, NULL, "print one JSON object", offsetof(Options, json)},
};

const Verb verb_doctor = {
    .name = "doctor",
    .what = "measure this machine, and say what slows it down",
    .examples = "  uptc doctor\n"
                "  uptc doctor --json | jq .figures.fma\n",
    .opt = opts,
    .nopt = sizeof opts / sizeof *opts,
    .run = run,
    .options_size = sizeof(Options),
};
