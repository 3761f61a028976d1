/* uptc run: train, or go on from the last checkpoint. uptc eval: the program's eval entries on a
 * checkpoint. */
#include <limits.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/find_nan.h"

typedef struct Options {
    CompileOptions c;
    const char *dir, *checkpoint;
    int64_t steps, threads, seed, save_every, log_every, eval_every;
    int64_t profile;
    bool quiet, json, find_nan;
} Options;

static void defaults(void *options) {
    Options *o = options;
    o->steps = o->seed = o->save_every = o->log_every = o->eval_every = -1;
}

static RunOptions run_options(const Session *s, const Options *o) {
    return (RunOptions){.dir = o->dir,
                        .steps = o->steps,
                        .threads = o->threads > INT_MAX ? INT_MAX : (int)o->threads,
                        .has_seed = o->seed >= 0,
                        .seed = (uint64_t)(o->seed < 0 ? 0 : o->seed),
                        .save_every = o->save_every,
                        .log_every = o->log_every,
                        .eval_every = o->eval_every,
                        .quiet = o->quiet,
                        .json = o->json,
                        .times = s->times,
                        .out = stdout};
}

typedef int Work(const Session *s, const Options *o, Err *e);

static int with_session(Arena *a, const Options *given, const char *file, Work *work) {
    Options o = *given;
    int code;
    const char *path = session_path(a, file, &o.c, &o.dir, &code);
    if (!path) return code;
    Session s = {.arena = a, .log = o.quiet ? NULL : stderr};
    code = EXIT_FAILED;
    if (session_open(&s, path, &o.c)) {
        Err e = {0};
        code = work(&s, &o, &e);
        if (e.msg[0]) session_fault(&s, &e);
    }
    session_close(&s);
    return code;
}

/* ---- what it will take */

/* Pages of this process that are in memory now, in bytes; 0: not known. */
static int64_t resident_bytes(void) {
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*s %lld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* With the scratch of kernels, which only code generation knows. */
static Memory memory_of_run(const Session *s) {
    Memory m = memory_of(s->program);
    for (int i = 0; i < s->code->nentry; i++)
        for (int k = 0; k < RT_PLANS; k++) {
            const RtPlan *plan = s->code->entry[i].plan[k];
            if (plan && plan->arena_bytes > m.values) m.values = plan->arena_bytes;
        }
    return m;
}

static void tell_memory(const Session *s, const Options *o) {
    if (o->quiet || o->json || !(isatty(1) || s->program->spec.run.memory)) return;
    Memory m = memory_of_run(s);
    Buf b = {0};
    memory_tell(&b, s->program, &m);
    buf_puts(&b, "; the program itself has ");
    buf_bytes(&b, resident_bytes());
    puts(b.data);
    fflush(stdout);
    buf_free(&b);
}

static int train_work(const Session *s, const Options *o, Err *e) {
    RunOptions ro = run_options(s, o);
    ro.profile = o->profile;
    ro.sources = s->diag;
    ro.keep_program = session_keep, ro.keep_program_cx = s;
    if (o->find_nan) ro.find_nan = find_nan, ro.find_nan_cx = s;
    ro.machine = o->profile ? machine_known(s->arena) : NULL;
    tell_memory(s, o);
    return run_train(s->code, s->tokenizer.at, &ro, e);
}

static int eval_work(const Session *s, const Options *o, Err *e) {
    RunOptions ro = run_options(s, o);
    return run_eval(s->code, s->tokenizer.at, &ro, o->checkpoint, e);
}

static int run(Arena *a, const void *options, const char *file) {
    return with_session(a, options, file, train_work);
}

static int eval(Arena *a, const void *options, const char *file) {
    return with_session(a, options, file, eval_work);
}

#define OPT(flag, kind, arg, help, member)                                                         \
    { flag, kind, arg, help, offsetof(Options, member) }
static const Opt run_opts[] = {
    OPT("--dir", OPT_str, "dir", "where results go (default: runs/NAME)", dir),
    OPT("--steps", OPT_count, "n", "train this many steps", steps),
    OPT("--threads", OPT_count, "n", "threads (default: every core)", threads),
    OPT("--seed", OPT_count, "n", "another seed", seed),
    OPT("--save-every", OPT_count, "n", "a checkpoint every n steps (0: only at the end)",
        save_every),
    OPT("--log-every", OPT_count, "n", "a line in metrics.jsonl every n steps", log_every),
    OPT("--eval-every", OPT_count, "n", "evaluate every n steps (0: only at the end)", eval_every),
    OPT("--keep", OPT_some, "n", "keep the last n checkpoints", c.keep),
    OPT("--order", OPT_word, "follow|alternate", "how several train entries take turns", c.order),
    OPT("-D", OPT_define, "name=value", "another value for a const (of a .upm)", c.define),
    OPT("--precision", OPT_word, "f32|bf16", "what to compute in (of a .upm)", c.precision),
    OPT("--fit", OPT_size, "size", "use no more memory than this (of a .upm)", c.fit),
    OPT("--micro", OPT_some, "n", "compute a batch n samples at a time (of a .upm)", c.micro),
    OPT("--profile", OPT_maybe, "10", "say where the time of so many steps goes", profile),
    OPT("--find-nan", OPT_flag, NULL, "when a number is none, say which operator made it",
        find_nan),
    OPT("--quiet", OPT_flag, NULL, "print nothing but errors", quiet),
    OPT("--json", OPT_flag, NULL, "print machine-readable lines", json),
    OPT("--time", OPT_flag, NULL, "say where compile time goes", c.time),
    {"--resume", OPT_needless, NULL,
     "a run goes on from its last checkpoint by itself; another --dir starts from the beginning",
     0},
};
static const Opt eval_opts[] = {
    OPT("--dir", OPT_str, "dir", "the run whose last checkpoint is used (default: runs/NAME)", dir),
    OPT("--checkpoint", OPT_str, "file", "this checkpoint instead", checkpoint),
    OPT("--threads", OPT_count, "n", "threads (default: every core)", threads),
    OPT("--seed", OPT_count, "n", "another seed", seed),
    OPT("-D", OPT_define, "name=value", "another value for a const (of a .upm)", c.define),
    OPT("--weights", OPT_word, "f32|bf16|int8", "what matrices are kept in (default: f32)",
        c.weights),
    OPT("--json", OPT_flag, NULL, "print one JSON object", json),
};

const Verb verb_run = {
    .name = "run",
    .what = "train: the newest .upx here, or a file; goes on where it stopped",
    .takes = "FILE.upx, FILE.upm or FOLDER",
    .ending = {".upx", ".upm"},
    .may_lack = true,
    .folder = true,
    .examples = "  uptc run\n"
                "  uptc run bert.upm --steps 10k --dir runs/try\n"
                "  uptc run bert.upx --json | jq .loss\n",
    .opt = run_opts,
    .nopt = sizeof run_opts / sizeof *run_opts,
    .run = run,
    .options_size = sizeof(Options),
    .defaults = defaults,
};
const Verb verb_eval = {
    .name = "eval",
    .what = "evaluate a checkpoint with the program's eval entries",
    .takes = "FILE.upx, FILE.upm or FOLDER",
    .ending = {".upx", ".upm"},
    .may_lack = true,
    .folder = true,
    .examples = "  uptc eval bert.upm\n"
                "  uptc eval bert.upx --checkpoint runs/bert/step-5000.safetensors\n",
    .opt = eval_opts,
    .nopt = sizeof eval_opts / sizeof *eval_opts,
    .run = eval,
    .options_size = sizeof(Options),
    .defaults = defaults,
};
