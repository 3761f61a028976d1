/* A command line, an argument a line: read by the flags of every verb; what -D it gives goes to a
 * program with a constant of each kind. */
#include <string.h>

#include "cli/cli.h"
#include "tests/fuzz/fuzz.h"

static const char program[] =
    "const n = 4\nconst x = 0.5\nconst s = \"text\"\nconst b = true\nconst l = [1, 2]\n"
    "const t = (1, \"a\")\nconst f = exp\nconst m = n * 2 - l[0]\nparam w[n, m] = x\n";
enum { ARGS_MAX = 64 };

static int split(Arena *a, const uint8_t *data, size_t n, char **argv) {
    int argc = 0;
    char *text = arena_strndup(a, (const char *)data, n);
    for (char *at = text, *end; argc < ARGS_MAX && *at; at = end) {
        end = at + strcspn(at, "\n");
        if (*end) *end++ = 0;
        argv[argc++] = at;
    }
    return argc;
}

/* Finds -Dname=value or -D name=value among the arguments as options_parse does. */
static void compile_with(Arena *a, int argc, char **argv) {
    Define *define = NEW_N(a, Define, argc + 1);
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        const char *given = str_starts(argv[i], "-D") ? argv[i] + 2 : argv[i],
                   *eq = strchr(given, '=');
        if (eq && eq > given)
            define[n++] = (Define){arena_strndup(a, given, (size_t)(eq - given)), eq + 1};
    }
    Diag *d = diag_new(a);
    frontend_compile(a, d, "fuzz.upm", program, sizeof program - 1, NULL, define, n);
    fuzz_print(d);
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    static const Verb *const verbs[] = {&verb_compile, &verb_run,  &verb_check,
                                        &verb_eval,    &verb_show, &verb_tokenizer_train};
    Arena *a = arena_new();
    char *argv[ARGS_MAX];
    int argc = split(a, data, n, argv);
    bool taken = false; /* by any verb */
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        void *options = arena_alloc(a, verbs[i]->options_size);
        const char *file;
        if (verbs[i]->defaults) verbs[i]->defaults(options);
        taken |= options_parse(a, verbs[i], argc, argv, options, &file) == EXIT_OK;
    }
    compile_with(a, argc, argv);
    arena_free(a);
    return taken;
}
