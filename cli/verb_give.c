/* uptc sample, generate and predict: the entries of these names, with the parameters of a
 * checkpoint. Each compiles its own entry alone. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

typedef struct Options {
    CompileOptions c;
    const char *dir, *checkpoint, *out, *prompt, *prompts;
    int64_t threads, seed, count, tokens, top_k;
    bool json;
    double temperature, top_p;
} Options;

enum { TOKENS = 200, TOKENS_MOST = 100 * 1000 * 1000 };

static void defaults(void *options) {
    Options *o = options;
    o->seed = -1;
    o->tokens = TOKENS;
    o->temperature = o->top_p = 1;
}

static RunOptions run_options(const Options *o) {
    return (RunOptions){.dir = o->dir,
                        .threads = o->threads > INT_MAX ? INT_MAX : (int)o->threads,
                        .has_seed = o->seed >= 0,
                        .seed = (uint64_t)(o->seed < 0 ? 0 : o->seed),
                        .out = stdout};
}

typedef int Work(const Session *s, const Options *o, const RunOptions *r, Err *e);

static int with_entry(Arena *a, const Options *given, const char *file, const char *entry,
                      Work *work) {
    Options o = *given;
    int code;
    o.c.only = entry;
    const char *path = session_path(a, file, &o.c, &o.dir, &code);
    if (!path) return code;
    Session s = {.arena = a, .log = stderr};
    code = EXIT_FAILED;
    if (session_open(&s, path, &o.c)) {
        Err e = {0};
        RunOptions r = run_options(&o);
        code = work(&s, &o, &r, &e);
        if (e.msg[0]) session_fault(&s, &e);
    }
    session_close(&s);
    return code;
}

/* ---- sample, predict */
static GiveOptions give_options(const Options *o) {
    return (GiveOptions){.checkpoint = o->checkpoint, .out = o->out, .count = o->count};
}

static int sample_work(const Session *s, const Options *o, const RunOptions *r, Err *e) {
    GiveOptions g = give_options(o);
    return run_sample(s->code, s->tokenizer.at, r, &g, e);
}

static int predict_work(const Session *s, const Options *o, const RunOptions *r, Err *e) {
    GiveOptions g = give_options(o);
    return run_predict(s->code, s->tokenizer.at, r, &g, e);
}

static int sample(Arena *a, const void *options, const char *file) {
    return with_entry(a, options, file, "sample", sample_work);
}

static int predict(Arena *a, const void *options, const char *file) {
    return with_entry(a, options, file, "predict", predict_work);
}

/* ---- prompts */
typedef VEC(const char *) Prompts;

/* The text without the line end that an editor or a shell puts after it. */
static const char *trim_line(Arena *a, const char *text, size_t n) {
    if (n && text[n - 1] == '\n') n--;
    return arena_strndup(a, text, n);
}

/* A line may end as Windows ends it; the last may have no end at all. */
static bool prompts_file(Arena *a, const char *path, Prompts *to, Err *e) {
    char *text;
    size_t n;
    if (!file_read(a, path, &text, &n, e)) return false;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        if (memchr(text + at, 0, length))
            return err_set(e, "%s:%zu: the prompt is not text: it holds a zero byte", path,
                           to->n + 1);
        bool windows = length && text[at + length - 1] == '\r';
        vec_push(a, to, arena_strndup(a, text + at, length - windows));
        at += length + 1;
    }
    return to->n > 0 || err_set(e, "'%s' has no line: a prompt is a line", path);
}

static bool prompt_piped(Arena *a, Prompts *to, Err *e) {
    Buf b = {0};
    char part[4096];
    for (ssize_t n; (n = read(STDIN_FILENO, part, sizeof part)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 || b.n > INT_MAX) break;
        buf_put(&b, part, (size_t)n);
    }
    vec_push(a, to, trim_line(a, b.data ? b.data : "", b.n));
    bool nul = b.data && strlen(b.data) != b.n;
    buf_free(&b);
    return !nul || err_set(e, "the prompt on standard input is not text: it holds a zero byte");
}

/* A flag, a file, what comes through a pipe, or nothing. */
static bool find_prompts(Arena *a, const Options *o, Prompts *to, Err *e) {
    if (o->prompts) return prompts_file(a, o->prompts, to, e);
    if (!o->prompt && !isatty(STDIN_FILENO)) return prompt_piped(a, to, e);
    vec_push(a, to, o->prompt ? o->prompt : "");
    return true;
}

static int generate_work(const Session *s, const Options *o, const RunOptions *r, Err *e) {
    Prompts prompts = {0};
    if (!find_prompts(s->arena, o, &prompts, e)) return EXIT_FAILED;
    GenerateOptions g = {.checkpoint = o->checkpoint,
                         .prompt = prompts.at,
                         .nprompt = prompts.n,
                         .file = o->prompts,
                         .json = o->json || (o->prompts && !isatty(STDOUT_FILENO)),
                         .tokens = o->tokens,
                         .temperature = o->temperature,
                         .top_p = o->top_p,
                         .top_k = o->top_k};
    return run_generate(s->code, s->tokenizer.at, r, &g, e);
}

static int generate(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    if (o->prompt && o->prompts) return usage("--prompt and --prompts do not go together");
    if (o->top_p <= 0 || o->top_p > 1)
        return usage("--top-p is above 0 and at most 1, not %g", o->top_p);
    if (o->tokens > TOKENS_MOST)
        return usage("--tokens is at most %d, not %lld", TOKENS_MOST, (long long)o->tokens);
    Options kept = *o; /* matrices row by row in any case */
    if (!o->c.weights) kept.c.weights = "f32";
    return with_entry(a, &kept, file, "generate", generate_work);
}

/* ---- tables */
#define OPT(flag, kind, arg, help, member)                                                         \
    { flag, kind, arg, help, offsetof(Options, member) }
#define COMMON_OPTS                                                                                \
    OPT("--dir", OPT_str, "dir", "the run whose last checkpoint is used (default: runs/NAME)",     \
        dir),                                                                                      \
        OPT("--checkpoint", OPT_str, "file", "this checkpoint instead", checkpoint),               \
        OPT("--threads", OPT_count, "n", "threads (default: every core)", threads),                \
        OPT("--seed", OPT_count, "n", "another seed", seed),                                       \
        OPT("-D", OPT_define, "name=value", "another value for a const (of a .upm)", c.define)
static const Opt sample_opts[] = {
    OPT("-o", OPT_str, "file",
        "where to write (default: sample.png in the run's folder); an .npy takes the numbers", out),
    OPT("--count", OPT_some, "n", "so many samples (default: as many as the entry says)", count),
    COMMON_OPTS,
};
static const Opt generate_opts[] = {
    OPT("--prompt", OPT_text, "text", "go on from this text (default: from standard input)",
        prompt),
    OPT("--prompts", OPT_str, "file", "go on from each line of a file", prompts),
    OPT("--json", OPT_flag, NULL, "a line of JSON for each (as --prompts does in a pipe)", json),
    OPT("--tokens", OPT_some, "n", "tokens to make (default: 200)", tokens),
    OPT("--temperature", OPT_real, "t", "below 1 more likely words; 0 the likeliest (default: 1)",
        temperature),
    OPT("--weights", OPT_word, "f32|bf16|int8", "what matrices are kept in (default: f32)",
        c.weights),
    OPT("--top-k", OPT_some, "k", "choose among the k likeliest tokens", top_k),
    OPT("--top-p", OPT_real, "p", "choose among the likeliest that make up p of 1", top_p),
    COMMON_OPTS,
};
static const Opt predict_opts[] = {
    OPT("-o", OPT_str, "file", "where to write (default: standard output)", out),
    COMMON_OPTS,
};

#define GIVE_VERB(verb, does, shown, opts)                                                         \
    .name = #verb, .what = does, .takes = "FILE.upx, FILE.upm or FOLDER",                          \
    .ending = {".upx", ".upm"}, .may_lack = true, .folder = true, .examples = shown, .opt = opts,  \
    .nopt = sizeof opts / sizeof *opts, .run = verb, .options_size = sizeof(Options),              \
    .defaults = defaults
const Verb verb_sample = {GIVE_VERB(sample,
                                    "make pictures or values with the program's sample entry",
                                    "  uptc sample vae.upm\n"
                                    "  uptc sample vae.upx --count 100 --seed 7 -o digits.png\n"
                                    "  uptc sample vae.upx --count 10000 -o digits.npy\n",
                                    sample_opts)};
const Verb verb_generate = {
    GIVE_VERB(generate, "go on with a text, by the program's generate entry",
              "  uptc generate gpt.upm --prompt 'Once upon a time'\n"
              "  echo 'ROMEO:' | uptc generate gpt.upx --tokens 500 --temperature 0.8 --top-k 40\n"
              "  uptc generate runs/gpt --prompts prompts.txt --temperature 0 | jq -r .text\n",
              generate_opts)};
const Verb verb_predict = {
    GIVE_VERB(predict, "a line of JSON for each record, by the program's predict entry",
              "  uptc predict classify.upm -o labels.jsonl\n"
              "  uptc predict classify.upx | jq .label\n",
              predict_opts)};
