/* upt-opt: IR text in, passes, IR text out.
 *
 *   upt-opt FILE.ir [-p PASS]... [--verify] [--check-each] [--list] [-o FILE]
 *
 * FILE is `-` for standard input; the result goes to standard output or to the file after -o. Exit
 * codes: 0 done, 1 the text or a pass was wrong (diagnostics on stderr), 2 a wrong command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"

enum { EXIT_DONE = 0, EXIT_WRONG = 1, EXIT_COMMAND = 2 };

typedef struct Options {
    const char *file, *out;
    const char **pass;
    size_t npass;
    bool verify, list;
    PassOptions passes;
} Options;

static const char help[] =
    "usage: upt-opt FILE.ir [-p PASS]... [--verify] [--check-each] [--strip BYTES]\n"
    "               [-o FILE]\n"
    "       upt-opt --list\n"
    "Reads the text of a program ('-': standard input), runs the passes in order, prints the "
    "result.\n"
    "  -p PASS       a pass to run; may repeat\n"
    "  --verify      check the rules of the program's stage, before and after passes\n"
    "  --check-each  check every pass: rules, text, and values by the interpreter\n"
    "  --strip BYTES of a strip of a large value, for the pass strips\n"
    "  --list        list the passes\n"
    "  -o FILE       write there instead of standard output\n";

static int wrong_command(const char *what, const char *arg) {
    fprintf(stderr, "upt-opt: %s%s\n%s", what, arg, help);
    return EXIT_COMMAND;
}

/* EXIT_DONE, or the exit code after a sentence. */
static int read_options(int argc, char **argv, Options *o) {
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool takes = str_eq(arg, "-p") || str_eq(arg, "-o") || str_eq(arg, "--strip");
        if (takes && i + 1 == argc) return wrong_command("a value is missing after ", arg);
        if (str_eq(arg, "-p"))
            o->pass[o->npass++] = argv[++i];
        else if (str_eq(arg, "-o"))
            o->out = argv[++i];
        else if (str_eq(arg, "--strip"))
            o->passes.strip = strtoll(argv[++i], NULL, 10);
        else if (str_eq(arg, "--verify"))
            o->verify = true;
        else if (str_eq(arg, "--check-each"))
            o->passes.check_each = true;
        else if (str_eq(arg, "--list"))
            o->list = true;
        else if (arg[0] == '-' && arg[1])
            return wrong_command("unknown option ", arg);
        else if (o->file)
            return wrong_command("more than one file: ", arg);
        else
            o->file = arg;
    }
    if (o->passes.strip < 0) return wrong_command("--strip takes a number of bytes", "");
    if (!o->file && !o->list) return wrong_command("which file?", "");
    return EXIT_DONE;
}

static int list_passes(void) {
    for (size_t i = 0; i < pass_count; i++)
        printf("%-10s %s\n", pass_table[i].name, pass_table[i].what);
    return EXIT_DONE;
}

static int fail(const char *what) {
    fprintf(stderr, "upt-opt: %s\n", what);
    return EXIT_WRONG;
}

static bool read_all(Arena *a, const char *path, char **text, size_t *n, Err *e) {
    if (!str_eq(path, "-")) return file_read(a, path, text, n, e);
    Buf b = {0};
    char piece[4096];
    size_t got;
    while ((got = fread(piece, 1, sizeof piece, stdin)) > 0) buf_put(&b, piece, got);
    *text = arena_strndup(a, b.data ? b.data : "", b.n);
    *n = b.n;
    buf_free(&b);
    return !ferror(stdin) || err_set(e, "cannot read standard input");
}

static bool verified(const Program *p) {
    Buf b = {0};
    bool ok = program_verify(p, &b);
    if (b.data) fputs(b.data, stderr);
    buf_free(&b);
    return ok;
}

static int write_result(const Program *p, const Options *o) {
    Buf b = {0};
    Err e = {0};
    program_print(&b, p);
    bool ok = o->out ? file_write_atomic(o->out, b.data, b.n, &e)
                     : (fwrite(b.data, 1, b.n, stdout) == b.n && fflush(stdout) == 0) ||
                           err_set(&e, "cannot write to standard output");
    buf_free(&b);
    return ok ? EXIT_DONE : fail(e.msg);
}

static int run(Arena *a, const Options *o) {
    char *text;
    size_t n;
    Err e = {0};
    if (!read_all(a, o->file, &text, &n, &e)) return fail(e.msg);
    Diag *d = diag_new(a);
    Program *p = program_parse(a, d, str_eq(o->file, "-") ? "standard input" : o->file, text, n);
    bool ok = p && ((!o->verify && !o->npass) || verified(p)); /* passes count on the rules */
    if (ok && o->npass)
        ok = (p = passes_run_named(p, d, o->pass, o->npass, &o->passes)) &&
             (!o->verify || verified(p));
    diag_print(d, stderr, false);
    return ok ? write_result(p, o) : EXIT_WRONG;
}

int main(int argc, char **argv) {
    Arena *a = arena_new();
    Options o = {.pass = NEW_N(a, const char *, argc)};
    int code = read_options(argc, argv, &o);
    if (code == EXIT_DONE) code = o.list ? list_passes() : run(a, &o);
    arena_free(a);
    return code;
}
