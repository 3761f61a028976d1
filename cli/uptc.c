/* uptc: the command. It finds the verb, reads its flags, and hands over. */
#include <string.h>

#include "cli/cli.h"

static const Verb *const verbs[] = {&verb_compile, &verb_run, &verb_check, &verb_eval, &verb_show, &verb_tokenizer};
enum { VERBS = sizeof verbs / sizeof *verbs, MAX_ARGS = 16 };

static void help(FILE *f) {
    fputs("uptc: compile and run .upm programs of unsupervised pre-training\n\nusage: uptc VERB [arguments]\n\nverbs:\n", f);
    for (size_t i = 0; i < VERBS; i++) fprintf(f, "  %-10s %s\n", verbs[i]->name, verbs[i]->what);
    fputs("\n`uptc VERB --help` says more. `uptc --version` names the version.\n\nexamples:\n"
          "  uptc compile bert.upm && uptc run\n"
          "  uptc run bert.upm --steps 1000 --dir runs/try\n"
          "  uptc check bert.upm\n", f);
}

static const Verb *verb_find(const char *name) {
    const char *names[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        if (str_eq(verbs[i]->name, name)) return verbs[i];
        names[i] = verbs[i]->name;
    }
    const char *near = nearest_name(name, names, VERBS);
    if (near) usage("there is no verb '%s'; did you mean '%s'?", name, near);
    else usage("there is no verb '%s'; see uptc --help", name);
    return NULL;
}

static bool wants_help(int argc, char **argv) {
    for (int i = 0; i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h")) return true;
    return false;
}

int main(int argc, char **argv) {
    if (argc < 2) return help(stderr), EXIT_USAGE;
    if (str_eq(argv[1], "--help") || str_eq(argv[1], "-h") || str_eq(argv[1], "help")) return help(stdout), EXIT_OK;
    if (str_eq(argv[1], "--version")) return puts("uptc " UPT_VERSION), EXIT_OK;
    const Verb *v = verb_find(argv[1]);
    if (!v) return EXIT_USAGE;
    if (wants_help(argc - 2, argv + 2)) return options_help(stdout, v), EXIT_OK;
    Arena *a = arena_new();
    void *options = arena_alloc(a, v->options_size);
    if (v->defaults) v->defaults(options);
    char *args[MAX_ARGS];
    int nargs, code = EXIT_USAGE;
    if (options_parse(a, v, argc - 2, argv + 2, options, &nargs, args)) code = v->run(a, options, nargs, args);
    arena_free(a);
    return code;
}
