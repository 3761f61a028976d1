/* uptc: the command. It finds the verb, reads its flags, and hands over. */
#include <signal.h>
#include <string.h>

#include "cli/cli.h"

static const Verb *const verbs[] = {&verb_compile, &verb_run,  &verb_check,
                                    &verb_eval,    &verb_show, &verb_tokenizer,
                                    &verb_doctor};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void help(FILE *f) {
    fputs("uptc: compile and run .upm programs of unsupervised pre-training\n\nusage: uptc VERB "
          "[arguments]\n\nverbs:\n",
          f);
    for (size_t i = 0; i < VERBS; i++) fprintf(f, "  %-10s %s\n", verbs[i]->name, verbs[i]->what);
    fputs("\n`uptc VERB --help` says more. `uptc --version` names the version.\n\nexamples:\n"
          "  uptc compile bert.upm && uptc run\n"
          "  uptc run bert.upm --steps 1000 --dir runs/try\n"
          "  uptc check bert.upm\n",
          f);
}

/* NULL: there is none of that name, and a sentence says so. */
static const Verb *verb_find(const char *name) {
    const char *names[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        if (str_eq(verbs[i]->name, name)) return verbs[i];
        names[i] = verbs[i]->name;
    }
    const char *near = nearest_name(name, names, VERBS);
    const char *what = *name == '-' ? "option" : "verb";
    if (near)
        usage("there is no %s '%s'; did you mean '%s'?", what, name, near);
    else
        usage("there is no %s '%s'; see uptc --help", what, name);
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
    int code = EXIT_USAGE;
    if (options_parse(a, v, argc, argv, options, &file)) code = v->run(a, options, file);
    arena_free(a);
    return code;
}

static int uptc(int argc, char **argv) {
    if (argc < 1) return help(stderr), EXIT_USAGE;
    if (is_help(argv[0]) || (str_eq(argv[0], "help") && argc == 1)) return help(stdout), EXIT_OK;
    if (str_eq(argv[0], "--version")) return puts("uptc " UPT_VERSION), EXIT_OK;
    bool helping = str_eq(argv[0], "help");
    const Verb *v = verb_find(argv[helping]);
    if (!v) return EXIT_USAGE;
    if (helping || wants_help(argc - 1, argv + 1)) return options_help(stdout, v), EXIT_OK;
    return verb_run_with(v, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error of write(), told like any other */
    int code = uptc(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
        return fail("cannot write to standard output");
    return code;
}
