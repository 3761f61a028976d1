/* The parser on what people never meant to write: every prefix and thousands of mutations of real
 * programs. It must end, complain inside the file, and complain at most DIAG_MAX times. Also single
 * expressions, and places. */
#include "base/base.h"
#include "frontend/ast.h"
#include "tests/unit/check.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static const char *const fragments[] = {
    "(",       ")",         "[",      "]",      "{",
    "}",       "\n",        ";",      " over ", " fn ",
    "\nfn f(", "\"",        "${",     "\\",     "->",
    "...",     " x ",       "=",      ",",      "\xff",
    "1e5",     "train on ", "^-",     "state ", "report image ",
    "lr x 3",  "/",         "\n\n  ", " with ", "\nblock B(",
    "|",       "#",
};
enum { FRAGMENTS = sizeof fragments / sizeof *fragments };

/* Every message must point into the file: its line exists and its column is at most one past the
 * line's end. */
static void expect_places(Diag *d, const char *what) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    diag_print(d, f, false);
    fclose(f);
    size_t heads = 0, carets = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        heads += str_starts(line, "f.upm:");
        carets += str_starts(line, "      | ");
    }
    EXPECT(heads == carets, "%s: %zu messages, %zu places:\n%s", what, heads, carets, text);
    EXPECT(diag_errors(d) <= DIAG_MAX, "%s: %zu errors", what, diag_errors(d));
    free(text);
}

static size_t parse_errors(const char *text, size_t n, const char *what) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    File *f = parse_upm(a, d, "f.upm", text, n);
    Buf b = {0};
    ast_print(&b, f);
    buf_free(&b);
    expect_places(d, what);
    size_t errors = diag_errors(d);
    arena_free(a);
    return errors;
}

static void test_prefixes(const char *text, size_t n, const char *path) {
    for (size_t i = 0; i <= n; i += 7) {
        size_t errors = parse_errors(text, i, path);
        EXPECT(errors <= 3, "%s cut at %zu: %zu errors for one cause", path, i, errors);
    }
}

static uint32_t dice(uint64_t round, uint64_t *draw, uint32_t sides) {
    return random_below(7, round, (*draw)++, sides);
}

static void mutate(Buf *b, uint64_t round, uint64_t *draw) {
    size_t at = dice(round, draw, (uint32_t)b->n + 1), kind = dice(round, draw, 3),
           length = dice(round, draw, 12);
    Buf out = {0};
    buf_put(&out, b->data, at);
    if (kind == 0) buf_puts(&out, fragments[dice(round, draw, FRAGMENTS)]);
    if (kind == 1) at += length < b->n - at ? length : b->n - at;
    if (kind == 2) {
        char byte = (char)dice(round, draw, 256);
        buf_put(&out, &byte, 1);
    }
    buf_put(&out, b->data + at, b->n - at);
    buf_free(b);
    *b = out;
}

static void test_mutations(const char *text, size_t n, const char *path) {
    for (uint64_t round = 0; round < 100; round++) {
        Buf b = {0};
        uint64_t draw = hash_str(path, 0);
        buf_put(&b, text, n);
        for (uint32_t i = 1 + dice(round, &draw, 6); i; i--) mutate(&b, round, &draw);
        parse_errors(b.data, b.n, path);
        buf_free(&b);
    }
}

static void test_programs(const char *pattern) {
    glob_t found;
    EXPECT(glob(pattern, 0, NULL, &found) == 0, "no %s", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        Arena *a = arena_new();
        char *text;
        size_t n;
        Err e;
        EXPECT(file_read(a, found.gl_pathv[i], &text, &n, &e), "%s", e.msg);
        EXPECT(parse_errors(text, n, found.gl_pathv[i]) == 0, "%s has errors", found.gl_pathv[i]);
        test_prefixes(text, n, found.gl_pathv[i]);
        test_mutations(text, n, found.gl_pathv[i]);
        arena_free(a);
    }
    globfree(&found);
}

static void test_expressions(void) {
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"256", true},     {"-1.5", true},   {"[1, 2]", true},
        {"\"a b\"", true}, {"a.b(c)", true}, {"fn (x) { return x }", true},
        {"", false},       {"1 2", false},   {"a = 3", false},
        {"(", false},      {"a\nb", false},  {")", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *a = arena_new();
        Diag *d = diag_new(a);
        Expr *e = parse_expr(a, d, "-D d", cases[i].text, strlen(cases[i].text));
        EXPECT((e != NULL) == cases[i].ok, "'%s' is %s", cases[i].text, e ? "read" : "refused");
        EXPECT((diag_errors(d) == 0) == cases[i].ok, "'%s': %zu errors", cases[i].text,
               diag_errors(d));
        arena_free(a);
    }
}

static bool is_at(Span s, uint32_t line, uint32_t col, uint32_t end) {
    return s.line == line && s.col == col && s.end_line == line && s.end_col == end;
}

static void test_places(void) {
    static const char text[] = "a = b +\n  f(x, y over T).g\nfn h(x[B], y = 3) -> [B] = x\n";
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    File *f = parse_upm(a, d, "f.upm", text, sizeof text - 1);
    EXPECT(f->stmt.n == 2 && diag_errors(d) == 0, "%zu statements", f->stmt.n);
    const Stmt *s = f->stmt.at[0];
    EXPECT(s->span.line == 1 && s->span.end_line == 2 && s->span.end_col == 19, "%u",
           s->span.end_col);
    const Expr *field = s->assign.value->binary.right, *call = field->field.of;
    EXPECT(is_at(s->assign.value->binary.op_span, 1, 7, 8), "the operator");
    EXPECT(is_at(field->span, 2, 3, 19) && is_at(field->field.name_span, 2, 18, 19), "the field");
    EXPECT(is_at(call->span, 2, 3, 17) && is_at(call->call.over_span, 2, 15, 16), "the call");
    const FnDecl *fn = f->stmt.at[1]->fn;
    EXPECT(is_at(fn->span, 3, 1, 25) && is_at(fn->param.at[1].span, 3, 12, 17), "the function");
    arena_free(a);
}

int main(void) {
    test_programs("models/std/*.upm");
    test_programs("tests/parse/*.upm");
    test_expressions();
    test_places();
    return check_done("parse");
}
