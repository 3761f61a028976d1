/* A .upx. Bytes that begin with "== NAME\n" are its sections as text, each after such a line;
 * others are a whole file, whose checksum is set right. An empty section `plan` becomes the plan of
 * the program before it, so that mutations of the program get as far as the tokenizers. */
#include <string.h>

#include "cli/cli.h"
#include "tests/fuzz/fuzz.h"

enum { HEADER = 32, NAME_MAX_BYTES = 16 };

/* Where the next line that begins a section starts, or `end`. */
static const char *next_mark(const char *at, const char *end) {
    while (at < end && !(end - at > 3 && !memcmp(at, "== ", 3))) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        at = line ? line + 1 : end;
    }
    return at;
}

static void put_plan(Buf *b, const char *program, size_t n) {
    Arena *a = arena_new();
    Buf plan = {0}, problem = {0};
    Program *p = program_parse(a, diag_new(a), "fuzz.ir", program, n);
    if (p && (p->stage & STAGE_FUSED) && program_verify(p, &problem)) upx_plans(&plan, a, p);
    upx_section(b, "plan", plan.data, plan.n);
    buf_free(&plan);
    buf_free(&problem);
    arena_free(a);
}

static void put_sections(Buf *b, const char *at, const char *end) {
    const char *program = NULL;
    size_t length = 0;
    upx_begin(b);
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (!line) line = end;
        char name[NAME_MAX_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", (int)(line - at - 3), at + 3);
        const char *data = line < end ? line + 1 : end;
        at = next_mark(data, end);
        if (program && at == data && str_eq(name, "plan"))
            put_plan(b, program, length);
        else
            upx_section(b, name, data, (size_t)(at - data));
        program = data;
        length = (size_t)(at - data);
    }
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    Session s = {.arena = arena_new()};
    Buf file = {0};
    if (n > 3 && !memcmp(data, "== ", 3))
        put_sections(&file, (const char *)data, (const char *)data + n);
    else
        buf_put(&file, data, n);
    if (file.n >= HEADER) upx_seal(&file);
    Err e = {0};
    bool ok = upx_parse("fuzz.upx", file.data, file.n, &s, &e);
    CHECK(ok == !e.msg[0]);
    if (s.diag) fuzz_print(s.diag);
    session_close(&s);
    arena_free(s.arena);
    buf_free(&file);
    return ok;
}
