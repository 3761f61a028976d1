/* uptc: the command. It finds the verb, reads its flags, and hands over. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const Verb *const verbs[] = {
    &verb_compile,
    &verb_run,
    &verb_check,
    &verb_eval,
    &verb_sample,
    &verb_generate,
    &verb_predict,
    &verb_report,
    &verb_show,
    &verb_tokenizer_encode,
    &verb_tokenizer_decode,
    &verb_tokenizer_train,
    &verb_doctor,
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void help(FILE *f) {
    fputs("uptc: compile and run .upm programs of unsupervised pre-training\n\nusage: uptc VERB "
          "[arguments]\n\nverbs:\n",
          f);
    for (size_t i = 0; i < VERBS; i++) fprintf(f, "  %-16s %s\n", verbs[i]->name, verbs[i]->what);
    fputs("\n`uptc VERB --help` says more. `uptc --version` names the version.\n\nexamples:\n"
          "  uptc compile bert.upm && uptc run\n"
          "  uptc run bert.upm --steps 1000 --dir runs/try\n"
          "  uptc check bert.upm\n",
          f);
}

/* The verb or option that a person meant, by its first word; NULL: there is none near. */
static const char *verb_meant(Arena *a, const char *given, const char *const *names) {
    const char *bare = given + strspn(given, "-");
    const char *known[VERBS + 2] = {[VERBS] = "--help", [VERBS + 1] = "--version"};
    for (size_t i = 0; i < VERBS; i++) {
        if (str_eq(names[i], bare)) return names[i];
        known[i] = arena_strndup(a, names[i], strcspn(names[i], " "));
    }
    return nearest_name(given, known, VERBS + 2);
}

static void no_verb(const char *given, const char *const *names) {
    Arena *a = arena_new();
    const char *what = *given == '-' ? "option" : "verb", *near = verb_meant(a, given, names);
    if (name_ends(given, ".upm") || name_ends(given, ".upx"))
        usage("a verb goes before '%s', for example: uptc run %s", given, given);
    else if (near)
        usage("there is no %s '%s'%s", what, given, did_you_mean(a, near));
    else if (*given == '-')
        usage("there is no option '%s'; see uptc --help", given);
    else
        usage("there is no verb '%s'; the verbs are %s", given, name_list(a, names, VERBS, "and"));
    arena_free(a);
}

/* How many words of the command line are the verb's name; 0: none. */
static int verb_words(const Verb *v, int argc, char **argv) {
    size_t n = strcspn(v->name, " ");
    if (str_eq(v->name, argv[0])) return 1;
    bool first = strlen(argv[0]) == n && !memcmp(v->name, argv[0], n);
    return first && v->name[n] && argc > 1 && str_eq(v->name + n + 1, argv[1]) ? 2 : 0;
}

/* The words that may follow the first of a verb's name; none: it is no such word. */
static size_t second_words(const char *first, const char **second) {
    size_t count = 0, n = strlen(first);
    for (size_t i = 0; i < VERBS; i++)
        if (!strncmp(verbs[i]->name, first, n) && verbs[i]->name[n] == ' ')
            second[count++] = verbs[i]->name + n + 1;
    return count;
}

static void no_second(const char *first, const char *given, const char *const *second, size_t n) {
    Arena *a = arena_new();
    const char *near = given ? nearest_name(given, second, n) : NULL;
    usage("'%s' goes with %s%s%s%s", first, name_list(a, second, n, "or"), given ? ", not '" : "",
          given ? given : "", given ? "'" : "");
    if (near) usage("did you mean 'uptc %s %s'?", first, near);
    arena_free(a);
}

/* NULL: there is none of that name, and a sentence says so. `words`: how many its name takes. */
static const Verb *verb_find(int argc, char **argv, int *words) {
    const char *names[VERBS], *second[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        if ((*words = verb_words(verbs[i], argc, argv))) return verbs[i];
        names[i] = verbs[i]->name;
    }
    size_t n = second_words(argv[0], second);
    if (n)
        no_second(argv[0], argc > 1 ? argv[1] : NULL, second, n);
    else
        no_verb(argv[0], names);
    return NULL;
}

static bool is_help(const char *s) {
    return str_eq(s, "--help") || str_eq(s, "-h");
}

static bool wants_help(int argc, char **argv) {
    for (int i = 0; i < argc && !str_eq(argv[i], "--"); i++)
        if (is_help(argv[i])) return true;
    return false;
}

static int verb_run_with(const Verb *v, int argc, char **argv) {
    Arena *a = arena_new();
    void *options = arena_alloc(a, v->options_size);
    if (v->defaults) v->defaults(options);
    const char *file;
    int code = options_parse(a, v, argc, argv, options, &file);
    if (code == EXIT_OK) code = v->run(a, options, file);
    arena_free(a);
    return code;
}

static int uptc(int argc, char **argv) {
    if (argc < 1) return help(stderr), EXIT_USAGE;
    if (is_help(argv[0]) || (str_eq(argv[0], "help") && argc == 1)) return help(stdout), EXIT_OK;
    if (str_eq(argv[0], "--version")) return puts("uptc " UPT_VERSION), EXIT_OK;
    bool helping = str_eq(argv[0], "help");
    int words;
    const Verb *v = verb_find(argc - helping, argv + helping, &words);
    if (!v) return EXIT_USAGE;
    if (helping || wants_help(argc - words, argv + words)) return options_help(stdout, v), EXIT_OK;
    return verb_run_with(v, argc - words, argv + words);
}

/* A stream that came closed is opened on what cannot be written to; else the next file to be opened
 * would stand in its place, and what is printed would go there. */
static void streams_open(void) {
    int fd;
    do fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

/* Text in JSON takes memory as all else does: with none left the process ends with a sentence. Else
 * a checkpoint that cannot be read for that reason would be called damaged. */
static void *json_memory(size_t n) {
    return heap_resize(NULL, n);
}

int main(int argc, char **argv) {
    streams_open();
    json_set_alloc_funcs(json_memory, heap_free);
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error of write(), told like any other */
    int code = uptc(argc - 1, argv + 1);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
        return fail("cannot write to standard output%s%s", errno ? ": " : "",
                    errno ? strerror(errno) : "");
    return code;
}
