/* What narrow makes of every program in tests/passes/narrow, and what its gradients make of that:
 * interpreted in f64, the same values and the same gradients as without it. Fields that index rows
 * repeat them. */
#include <glob.h>

#include "passes/internal.h"
#include "tests/unit/check.h"

static Program *read_program(Arena *a, Diag *d, const char *path) {
    Err e = {0};
    char *text;
    size_t n;
    if (file_read(a, path, &text, &n, &e)) return program_parse(a, d, path, text, n);
    EXPECT(false, "%s", e.msg);
    return NULL;
}

static void same_with_gradients(const char *path) {
    static const char *const with[] = {"narrow", "autodiff"};
    const PassOptions checked = {.check_each = true};
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Program *p = read_program(a, d, path);
    Program *whole = p ? passes_run_named(p, d, with + 1, 1, &checked) : NULL;
    Program *rows = p ? passes_run_named(p, d, with, 2, &checked) : NULL;
    EXPECT(whole && rows, "%s: no gradients", path);
    if (whole && rows) check_meaning(whole, rows, "narrow");
    arena_free(a);
}

int main(void) {
    glob_t files;
    EXPECT(glob("tests/passes/narrow/*.ir", 0, NULL, &files) == 0, "no programs");
    for (size_t i = 0; i < files.gl_pathc; i++) same_with_gradients(files.gl_pathv[i]);
    globfree(&files);
    return check_done("narrow");
}
