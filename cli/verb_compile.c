/* uptc compile: check, optimise, write a .upx; or print a stage of the way there. uptc check: only
 * the first part. */
#include <string.h>

#include "cli/cli.h"

typedef struct Options {
    CompileOptions c;
    const char *out;
} Options;

static int emit_ast(Arena *a, const char *path) {
    Session s = {.arena = a, .diag = diag_new(a)};
    char *text;
    size_t n;
    Err e = {0};
    if (!file_read(a, path, &text, &n, &e)) return fail("%s", e.msg);
    File *f = parse_upm(a, s.diag, path, text, n);
    if (diag_flush(&s)) return EXIT_FAILED;
    Buf b = {0};
    ast_print(&b, f);
    fwrite(b.data, 1, b.n, stdout);
    buf_free(&b);
    return EXIT_OK;
}

static void print_program(const Program *p, void (*print)(Buf *, const Program *)) {
    Buf b = {0};
    print(&b, p);
    fwrite(b.data, 1, b.n, stdout);
    buf_free(&b);
}

static void print_plan(Arena *a, const Program *p, const Graph *g) {
    Buf b = {0};
    plan_print(&b, p, plan_graph(a, p, g));
    fwrite(b.data, 1, b.n, stdout);
    buf_free(&b);
}

static void print_plans(Arena *a, const Program *p) {
    print_plan(a, p, p->init);
    for (size_t i = 0; i < p->nentry; i++) {
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (p->entry[i].graph[k]) print_plan(a, p, p->entry[i].graph[k]);
    }
}

static void print_memory(const Program *p) {
    Buf b = {0};
    memory_print(&b, p);
    fwrite(b.data, 1, b.n, stdout);
    buf_free(&b);
}

/* --emit of the stages between elaboration and code. */
static int emit_stage(Session *s, const CompileOptions *o) {
    if (str_eq(o->emit, "ir")) {
        print_program(s->program, program_print);
        return EXIT_OK;
    }
    if (str_eq(o->emit, "grad")) {
        PassOptions po = {.check_each = o->check_each, .times = s->times, .until = "autodiff"};
        Program *p = passes_run(s->program, s->diag, &po);
        if (diag_flush(s) || !p) return EXIT_FAILED;
        print_program(p, program_print);
        return EXIT_OK;
    }
    if (!session_optimise(s, o)) return EXIT_FAILED;
    if (str_eq(o->emit, "fused"))
        print_program(s->program, program_explain);
    else if (str_eq(o->emit, "plan"))
        print_plans(s->arena, s->program);
    else if (str_eq(o->emit, "memory"))
        print_memory(s->program);
    else
        return session_generate(s, o) ? EXIT_OK : EXIT_FAILED;
    return EXIT_OK;
}

static void tell_written(const char *out, const Program *p) {
    int64_t params = 0;
    bool trains = false;
    for (size_t i = 0; i < p->ntensor; i++)
        if (p->tensor[i].kind == TENSOR_param) params += type_count(&p->tensor[i].type);
    for (size_t i = 0; i < p->nentry; i++) trains |= p->entry[i].kind == ENTRY_train;
    Memory memory = memory_of(p);
    Buf size = {0}, limit = {0};
    buf_bytes(&size, memory_total(&memory));
    memory_tell(&limit, p, &memory);
    if (p->spec.run.memory) printf("%s\n", limit.data);
    printf("%s: %lld parameters, %s of memory; ", out, (long long)params, size.data);
    buf_free(&size);
    buf_free(&limit);
    if (trains)
        printf("run it with: uptc run %s\n", out);
    else
        printf("it has no train entry, so there is nothing to run\n");
}

static int compile(Session *s, const char *path, const Options *o) {
    if (!session_elaborate(s, path, &o->c)) return EXIT_FAILED;
    if (o->c.emit) return emit_stage(s, &o->c);
    if (!session_optimise(s, &o->c)) return EXIT_FAILED;
    const char *out = o->out ? o->out : arena_printf(s->arena, "%s.upx", s->name);
    Err e = {0};
    double start = clock_seconds();
    if (!upx_write(out, s, &e))
        return fail("%s; name a place that can be written with -o FILE.upx", e.msg);
    times_stage(s->times, "write .upx", start, "print, plan, sync");
    tell_written(out, s->program);
    return EXIT_OK;
}

static int run(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    if (o->out && !name_ends(o->out, ".upx"))
        return usage("-o needs a name that ends in .upx, not '%s'", o->out);
    if (o->c.emit && str_eq(o->c.emit, "ast")) return emit_ast(a, file);
    Session s = {.arena = a, .log = stderr};
    int code = compile(&s, file, o);
    session_close(&s);
    return code;
}

static int check(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    Session s = {.arena = a, .log = stderr, .only_check = true};
    bool ok = session_elaborate(&s, file, &o->c) && session_optimise(&s, &o->c);
    session_close(&s);
    return ok ? EXIT_OK : EXIT_FAILED;
}

#define DEFINE_OPT                                                                                 \
    {                                                                                              \
        "-D", OPT_define, "name=value", "another value for a const; may repeat",                   \
            offsetof(Options, c.define)                                                            \
    }
#define CHECK_OPT                                                                                  \
    {                                                                                              \
        "--check-each", OPT_flag, NULL, "verify the program after each pass",                      \
            offsetof(Options, c.check_each)                                                        \
    }
#define TIME_OPT                                                                                   \
    { "--time", OPT_flag, NULL, "say where compile time goes", offsetof(Options, c.time) }
#define PRECISION_OPT                                                                              \
    { "--precision", OPT_word, "f32|bf16", "what to compute in", offsetof(Options, c.precision) }
#define FIT_OPT                                                                                    \
    {                                                                                              \
        "--fit", OPT_size, "size", "use no more memory than this, such as 2G",                     \
            offsetof(Options, c.fit)                                                               \
    }
#define MICRO_OPT                                                                                  \
    { "--micro", OPT_some, "n", "compute a batch n samples at a time", offsetof(Options, c.micro) }
static const Opt compile_opts[] = {
    {"-o", OPT_str, "file.upx", "where to write (default: NAME.upx here)", offsetof(Options, out)},
    DEFINE_OPT,
    {"--emit", OPT_word, "ast|ir|grad|fused|plan|memory|llvm|asm", "print a stage instead",
     offsetof(Options, c.emit)},
    PRECISION_OPT,
    FIT_OPT,
    MICRO_OPT,
    CHECK_OPT,
    TIME_OPT,
};
static const Opt check_opts[] = {DEFINE_OPT, PRECISION_OPT, FIT_OPT,
                                 MICRO_OPT,  CHECK_OPT,     TIME_OPT};

const Verb verb_compile = {
    .name = "compile",
    .what = "check and optimise a program, and write it as a .upx",
    .takes = "FILE.upm",
    .ending = {".upm"},
    .examples = "  uptc compile bert.upm\n"
                "  uptc compile bert.upm -D d=256 -D 'files=texts/*.txt' -o small.upx\n"
                "  uptc compile bert.upm --emit=fused | less\n",
    .opt = compile_opts,
    .nopt = sizeof compile_opts / sizeof *compile_opts,
    .run = run,
    .options_size = sizeof(Options),
};
const Verb verb_check = {
    .name = "check",
    .what = "find errors without writing anything",
    .takes = "FILE.upm",
    .ending = {".upm"},
    .examples = "  uptc check bert.upm\n",
    .opt = check_opts,
    .nopt = sizeof check_opts / sizeof *check_opts,
    .run = check,
    .options_size = sizeof(Options),
};
