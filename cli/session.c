/* From a path to a program that runs: reads the file, elaborates, optimises and generates code, and
 * keeps the vocabularies that elaboration opened. Every failure prints its own sentence. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/stdlib.h"

static const char *host_module(void *cx, const char *name, size_t *n, const char **path) {
    Session *s = cx;
    const char *dir = getenv("UPT_STD");
    *path = arena_printf(s->arena, "%s/%s.upm", dir && *dir ? dir : STD_FOLDER, name);
    if (!dir || !*dir) return stdlib_module(name, n);
    char *text;
    Err e = {0};
    return file_read(s->arena, *path, &text, n, &e) ? text : NULL;
}

static bool host_tokenizer(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e) {
    Session *s = cx;
    TokenizerSpec used = *spec;
    bool trains = *spec->from && access(spec->path, F_OK) != 0;
    if (trains && diag_errors(s->diag)) return true;
    if (trains && s->only_check) used.path = ""; /* and is forgotten */
    Tokenizer *t = tokenizer_open(&used, s->log, e);
    if (!t) return false;
    vec_push(s->arena, &s->tokenizer, t);
    TokenizerIds ids = tokenizer_ids(t);
    *info = (TokenizerInfo){.size = ids.size,
                            .pad = ids.pad,
                            .unk = ids.unk,
                            .cls = ids.cls,
                            .sep = ids.sep,
                            .mask = ids.mask,
                            .end = ids.end,
                            .hash = tokenizer_hash(t)};
    spec->hash = info->hash;
    return true;
}

static bool host_fields(void *cx, DataSpec *source, Err *e) {
    Session *s = cx;
    source->field = NEW_N(s->arena, Field, SOURCE_FIELDS);
    return source_fields(source, source->field, &source->nfield, e);
}

static bool host_records(void *cx, const Spec *spec, int data, int64_t *n, Err *e) {
    const Session *s = cx;
    ReaderOptions o = {.spec = spec, .tokenizer = s->tokenizer.at, .data = data, .batch = 1};
    Reader *r = reader_open(&o, e);
    if (!r) return false;
    *n = reader_records(r);
    reader_close(r);
    return *n > 0 || err_set(e, "there are no records to take features of");
}

bool diag_flush(const Session *s) {
    diag_print(s->diag, stderr, isatty(2) && !getenv("NO_COLOR"));
    return diag_errors(s->diag) > 0;
}

static const Define *split_defines(Arena *a, const StrList *list) {
    Define *out = NEW_N(a, Define, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->at[i], '=');
        out[i] = (Define){arena_strndup(a, list->at[i], (size_t)(eq - list->at[i])), eq + 1};
    }
    return out;
}

const char *session_name(Arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path,
               *dot = strrchr(name, '.');
    return arena_strndup(a, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static void start_times(Session *s, const CompileOptions *o) {
    if (o->time && !s->times) s->times = times_new(s->arena);
}

/* What code is made for; NULL: the processor it runs on. */
static const char *target_cpu(void) {
    const char *cpu = getenv("UPT_CPU");
    return cpu && *cpu ? cpu : NULL;
}

static bool check_cpu(const Session *s) {
    const char *cpu = target_cpu(), *names = "";
    for (const char *const *known = codegen_cpus(); cpu && *known; known++) {
        if (str_eq(cpu, *known)) return true;
        names = arena_printf(s->arena, "%s%s%s", names, *names ? ", " : "", *known);
    }
    if (cpu)
        diag_error(s->diag, (Span){0},
                   "UPT_CPU is the processor that kernels are made for, one of %s, not '%s'", names,
                   cpu);
    return !cpu;
}

/* Whether products of bf16 are worth making: $UPT_BF16 says so where the processor has none. */
static bool multiplies_bf16(void) {
    const char *always = getenv("UPT_BF16");
    return (always && *always) || codegen_has_bf16(target_cpu());
}

/* The products of a .upx are of bf16 already, and are made from what they were rounded to. */
static void settle_precision(Session *s, RunSpec *run) {
    if (!run->precision || !str_eq(run->precision, "bf16") || multiplies_bf16()) return;
    diag_warn(s->diag, (Span){0},
              "precision = bf16: this processor has no products of bf16: computed in f32");
    if (s->program->stage == STAGE_BUILT) run->precision = "f32";
}

/* What the flags say in place of the program, and whether its entries can follow. */
static void settle_run(Session *s, const CompileOptions *o) {
    const Program *p = s->program;
    RunSpec *run = &s->program->spec.run;
    if (o->fit) run->memory = o->fit, run->memory_at = (Span){0};
    if (o->micro) run->micro = o->micro;
    if (o->keep) run->keep = o->keep;
    if (o->order) run->alternate = str_eq(o->order, "alternate");
    if (o->precision) run->precision = o->precision;
    if (check_cpu(s) && !o->only) settle_precision(s, run); /* only training is in bf16 */
    for (size_t i = 0; run->micro > 0 && i < p->nentry; i++)
        if (p->entry[i].kind == ENTRY_train && p->entry[i].batch % run->micro)
            diag_error(s->diag, p->entry[i].span, "micro = %lld does not divide the batch of %lld",
                       (long long)run->micro, (long long)p->entry[i].batch);
}

static const struct {
    const char *word;
    EntryKind kind;
    const char *usual; /* what to write */
} single[] = {{"sample", ENTRY_sample, "sample 64 { return ... as grid(28, 28) }"},
              {"generate", ENTRY_generate, "generate(tok) { return gpt.next(token, at) }"},
              {"predict", ENTRY_predict, "predict on DATA { return ... }"}};

/* Only the entry that the verb uses is computed: the kernels and the memory of training are not
 * needed for it. */
static bool keep_only(Session *s, const char *path, const char *word) {
    Program *p = s->program;
    size_t which = 0, kept = 0;
    if (!word || !p) return true;
    while (!str_eq(single[which].word, word)) which++;
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == single[which].kind) p->entry[kept++] = p->entry[i];
    p->nentry = kept;
    if (!kept) fail("%s has no %s entry: add %s", path, word, single[which].usual);
    return kept > 0;
}

bool session_elaborate(Session *s, const char *path, const CompileOptions *o) {
    char *text;
    size_t n;
    Err e = {0};
    start_times(s, o);
    double start = clock_seconds();
    s->name = session_name(s->arena, path);
    s->diag = diag_new(s->arena);
    if (!file_read(s->arena, path, &text, &n, &e)) return fail("%s", e.msg), false;
    FrontendHost host = {s,           host_module,  host_tokenizer,
                         host_fields, host_records, .unevaluated = s->unevaluated || o->only};
    s->program = frontend_compile(s->arena, s->diag, path, text, n, &host,
                                  split_defines(s->arena, &o->define), o->define.n);
    if (s->program) settle_run(s, o);
    times_stage(s->times, "frontend", start, "parse, vocabulary, elaborate");
    return !diag_flush(s) && s->program && keep_only(s, path, o->only);
}

/* Bytes of a strip, for tests; 0: as the pass sees fit. */
static int64_t strip_bytes(Diag *d) {
    const char *text = getenv("UPT_STRIP");
    if (!text || !*text) return 0;
    char *end;
    errno = 0;
    int64_t bytes = strtoll(text, &end, 10);
    if (*end || errno || bytes <= 0)
        diag_error(d, (Span){0}, "UPT_STRIP is the bytes of a strip, a whole number, not '%s'",
                   text);
    return bytes;
}

bool session_optimise(Session *s, const CompileOptions *o) {
    Diag *d = s->diag;
    size_t before = diag_errors(d);
    PassOptions po = {.check_each = o->check_each, .times = s->times, .strip = strip_bytes(d)};
    if (diag_errors(d) > before) {
        diag_flush(s);
        return false;
    }
    s->program = passes_run(s->program, d, &po);
    if (diag_errors(d) > before) diag_flush(s);
    return s->program && diag_errors(d) == before;
}

/* What is loaded from the cache runs, so a folder that others own or can write to is not used. */
static const char *folder_flaw(Arena *a, const char *path) {
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return arena_printf(a, "'%s' cannot be made: %s", path, strerror(errno));
    if (stat(path, &st) != 0) return arena_printf(a, "'%s': %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return arena_printf(a, "'%s' is not a folder", path);
    if (st.st_uid != geteuid()) return arena_printf(a, "'%s' belongs to another user", path);
    if (st.st_mode & 022)
        return arena_printf(a, "others can write to '%s': chmod go-w '%s'", path, path);
    return NULL;
}

const char *cache_folder(Arena *a, const char **why) {
    const char *own = getenv("UPT_CACHE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    *why = NULL;
    if (own && !*own) *why = "UPT_CACHE is empty";
    if (!own && !(cache && *cache) && !(home && *home))
        *why = "neither UPT_CACHE, XDG_CACHE_HOME nor HOME names a folder";
    if (*why) return NULL;
    if (!own) {
        if (!cache || !*cache) cache = arena_printf(a, "%s/.cache", home);
        mkdir(cache, 0700);
        own = arena_printf(a, "%s/upt", cache);
    }
    *why = folder_flaw(a, own);
    return *why ? NULL : own;
}

/* An empty UPT_CACHE is a wish, not a flaw. */
static void tell_note(const Session *s, const char *note) {
    const char *own = getenv("UPT_CACHE");
    if (note && s->log && !(own && !*own))
        fprintf(s->log, "uptc: note: compiled kernels are not kept for the next run: %s\n", note);
}

bool session_generate(Session *s, const CompileOptions *o) {
    double start = clock_seconds();
    Err e = {0};
    const char *why;
    CodegenOptions co = {
        .cache = cache_folder(s->arena, &why), .cpu = target_cpu(), .times = s->times};
    if (o->emit && str_eq(o->emit, "llvm")) co.emit_llvm = stdout;
    if (o->emit && str_eq(o->emit, "asm")) co.emit_asm = stdout;
    s->codegen = codegen_new(&co, &e);
    times_stage(s->times, "LLVM", start, "processor, linker");
    if (s->codegen) s->code = codegen_program(s->codegen, s->arena, s->program, &e);
    if (!s->code) return fail("%s", e.msg), false;
    tell_note(s, co.cache ? codegen_note(s->codegen) : why);
    s->code->name = s->name;
    return true;
}

static void settle_weights(Session *s, const CompileOptions *o) {
    if (!o->weights) return;
    DType to = str_eq(o->weights, "int8") ? DT_i8 : str_eq(o->weights, "bf16") ? DT_bf16 : DT_f32;
    s->program = weights_program(s->program, to);
}

bool session_open(Session *s, const char *path, const CompileOptions *o) {
    if (!name_ends(path, ".upx")) {
        if (!session_elaborate(s, path, o) || !session_optimise(s, o)) return false;
        settle_weights(s, o);
        return session_generate(s, o);
    }
    Err e = {0};
    s->name = session_name(s->arena, path);
    start_times(s, o);
    double start = clock_seconds();
    if (!upx_read(path, s, &e)) return fail("%s", e.msg), false;
    settle_run(s, o);
    if (diag_flush(s) || !keep_only(s, path, o->only)) return false;
    times_stage(s->times, "read .upx", start, "parse, verify, plan, vocabulary");
    settle_weights(s, o);
    return session_generate(s, o);
}

void session_fault(const Session *s, const Err *e) {
    if (!e->at.file) {
        fail("%s", e->msg);
        return;
    }
    diag_error(s->diag, e->at, "%s", e->msg);
    diag_note_calls(s->diag, e->at);
    diag_flush(s);
}

static const char *changes_program(const CompileOptions *c) {
    return c->define.n    ? "-D"
           : c->fit       ? "--fit"
           : c->micro     ? "--micro"
           : c->precision ? "--precision"
                          : NULL;
}

static const char *program_of_run(Arena *a, const char *folder, const char **dir) {
    if (!*dir) *dir = folder;
    return newest_upx(a, folder,
                      arena_printf(a,
                                   "'%s' holds no .upx: it is not the folder of a run; name the "
                                   "program, and the folder with --dir",
                                   folder));
}

static const char *program_here(Arena *a) {
    return newest_upx(a, ".",
                      "there is no .upx here; compile one first: uptc compile FILE.upm (or name a "
                      ".upm or .upx)");
}

/* runs/bert/ is runs/bert, and / is /. */
static const char *without_slash(Arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return arena_strndup(a, path, n);
}

const char *session_path(Arena *a, const char *file, const CompileOptions *o, const char **dir,
                         int *code) {
    const char *flag = changes_program(o),
               *path = !file              ? program_here(a)
                       : !is_folder(file) ? file
                                          : program_of_run(a, without_slash(a, file), dir);
    *code = EXIT_FAILED;
    if (!path || !flag || !name_ends(path, ".upx")) return path;
    *code = usage("%s changes a .upm when it is compiled; %s is compiled already", flag, path);
    return NULL;
}

bool session_keep(const void *session, const char *dir, Err *e) {
    const Session *s = session;
    return upx_write(arena_printf(s->arena, "%s/%s.upx", dir, s->name), s, e);
}

void session_close(Session *s) {
    times_print(s->times, stderr);
    if (s->codegen) codegen_free(s->codegen);
    for (size_t i = 0; i < s->tokenizer.n; i++) tokenizer_free(s->tokenizer.at[i]);
    s->codegen = NULL;
    s->tokenizer.n = 0;
}
