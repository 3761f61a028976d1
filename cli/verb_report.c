/* uptc report: the page of a run, made again from its metrics.jsonl, the pictures in its folder and
 * the program. */
#include <string.h>

#include "cli/cli.h"
#include "runtime/report/page.h"

typedef struct Options {
    CompileOptions c;
    const char *dir;
} Options;

static bool open_program(Session *s, const char *path, const CompileOptions *o) {
    if (!name_ends(path, ".upx")) return session_elaborate(s, path, o);
    Err e = {0};
    s->name = session_name(s->arena, path);
    if (upx_read(path, s, &e)) return true;
    fail("%s", e.msg);
    return false;
}

static int write_page(const Session *s, const char *dir) {
    Page p = {.dir = dir ? dir : arena_printf(s->arena, "runs/%s", s->name),
              .name = s->name,
              .sources = s->diag,
              .run = &s->program->spec.run};
    Err e = {0};
    if (!page_write(&p, &e)) return fail("%s", e.msg);
    printf("%s/report.html and curves.svg are written\n", p.dir);
    return EXIT_OK;
}

static int run(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    const char *dir = o->dir;
    int code;
    const char *path = session_path(a, file, &o->c, &dir, &code);
    if (!path) return code;
    Session s = {.arena = a, .only_check = true, .unevaluated = true};
    code = open_program(&s, path, &o->c) ? write_page(&s, dir) : EXIT_FAILED;
    session_close(&s);
    return code;
}

static const Opt report_opts[] = {
    {"--dir", OPT_str, "dir", "the run (default: runs/NAME)", offsetof(Options, dir)},
    {"-D", OPT_define, "name=value", "another value for a const (of a .upm)",
     offsetof(Options, c.define)},
};

const Verb verb_report = {
    .name = "report",
    .what = "a page to look at: curves, warnings, pictures and texts of a run",
    .takes = "FILE.upx, FILE.upm or FOLDER",
    .ending = {".upx", ".upm"},
    .may_lack = true,
    .folder = true,
    .examples = "  uptc report bert.upm\n"
                "  uptc report runs/try\n",
    .opt = report_opts,
    .nopt = sizeof report_opts / sizeof *report_opts,
    .run = run,
    .options_size = sizeof(Options),
};
