/* diag: the printed form, byte for byte. */
#include "base/base.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static const char source[] = "const d = 1\n\tx = fâ(y, z)\nlast";

static char *printed(Diag *d) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    diag_print(d, f, false);
    fclose(f);
    return text;
}

static Span at(uint32_t file, uint32_t line, uint32_t col, uint32_t end) {
    return (Span){file, line, col, line, end, 0};
}

static void expect_text(Diag *d, const char *want) {
    char *got = printed(d);
    EXPECT(str_eq(got, want), "got\n%swanted\n%s", got, want);
    free(got);
}

static void test_form(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    uint32_t f = diag_add_source(d, "a.upm", source, strlen(source));
    uint32_t named = diag_add_source(d, "b.upm", NULL, 0);
    diag_error(d, at(f, 2, 6, 14), "bad call of %d", 3);
    diag_hint(d, "leave it");
    diag_note(d, at(named, 7, 2, 5), "declared here");
    diag_error(d, at(f, 2, 6, 14), "bad call of %d", 3);
    diag_note(d, at(f, 1, 1, 2), "a note of a repeated error is dropped");
    diag_warn(d, at(f, 3, 5, 5), "ends");
    diag_error(d, (Span){0}, "nowhere");
    expect_text(d, "a.upm:2:6: error: bad call of 3\n"
                   "    2 | \tx = fâ(y, z)\n"
                   "      | \t    ^~~~~~~\n"
                   "b.upm:7:2: note: declared here\n"
                   "  hint: leave it\n"
                   "a.upm:3:5: warning: ends\n"
                   "    3 | last\n"
                   "      |     ^\n"
                   "error: nowhere\n");
    EXPECT(diag_errors(d) == 2, "%zu errors", diag_errors(d));
    arena_free(a);
}

static void test_order(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    uint32_t main = diag_add_source(d, "main.upm", NULL, 0),
             other = diag_add_source(d, "other.upm", NULL, 0);
    diag_error(d, at(other, 9, 1, 2), "nine");
    diag_error(d, at(main, 5, 4, 5), "five");
    diag_note(d, at(other, 1, 1, 2), "of five");
    diag_error(d, (Span){0}, "nowhere");
    diag_error(d, at(main, 5, 1, 2), "before five");
    diag_warn(d, at(other, 2, 1, 2), "two");
    diag_error(d, at(main, 5, 4, 5), "five, found later");
    expect_text(d, "other.upm:2:1: warning: two\n"
                   "other.upm:9:1: error: nine\n"
                   "main.upm:5:1: error: before five\n"
                   "main.upm:5:4: error: five\n"
                   "other.upm:1:1: note: of five\n"
                   "main.upm:5:4: error: five, found later\n"
                   "error: nowhere\n");
    diag_error(d, at(main, 1, 1, 2), "one");
    expect_text(d, "main.upm:1:1: error: one\n");
    arena_free(a);
}

static void test_long_line(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    char line[2000], *mark;
    memset(line, 'a', sizeof line);
    memcpy(line + 1000, "NAME", 4);
    uint32_t f = diag_add_source(d, "a.upm", line, sizeof line);
    diag_error(d, at(f, 1, 1001, 1005), "here");
    char *text = printed(d);
    EXPECT(strlen(text) < 320, "%zu bytes", strlen(text));
    mark = strstr(text, "NAME");
    char *caret = strstr(text, "^~~~\n");
    EXPECT(mark && caret, "%s", text);
    char *first = strstr(text, "    1 | "), *second = strstr(text, "      | ");
    EXPECT(mark - first == caret - second, "the caret stands under the name:\n%s", text);
    free(text);
    arena_free(a);
}

static void test_limits(void) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    uint32_t f = diag_add_source(d, "a.upm", "", 0);
    for (uint32_t i = 1; i <= 50; i++) {
        diag_error(d, at(f, i, 1, 1), "error %u", i);
        diag_note(d, at(f, i, 1, 1), "note %u", i);
    }
    EXPECT(diag_full(d) && diag_errors(d) == DIAG_MAX, "%zu", diag_errors(d));
    char *text = printed(d);
    EXPECT(strstr(text, "note 20\n") && !strstr(text, "note 21"), "%s", text);
    free(text);
    arena_free(a);
}

static void test_spans(void) {
    Span joined = span_join(at(1, 3, 4, 6), at(1, 2, 8, 9));
    EXPECT(joined.line == 2 && joined.col == 8 && joined.end_line == 3 && joined.end_col == 6,
           "join");
    EXPECT(span_join((Span){0}, at(1, 2, 3, 4)).line == 2, "nowhere joins as nothing");
}

int main(void) {
    test_form();
    test_order();
    test_long_line();
    test_limits();
    test_spans();
    return check_done("diag");
}
