/* report.html: one file that needs nothing else and runs nothing. Curves are inline, the newest
 * pictures that were reported and those in the run's folder are data URIs, all text is escaped.
 * Written aside and renamed, so that whoever looks sees a whole page. A picture of more than
 * PICTURE_MAX bytes is left out and said to be. */
#include <glob.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/machine.h"
#include "runtime/report/images.h"
#include "runtime/report/page.h"

enum { PICTURE_MAX = 8 << 20 };

static const char style[] =
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 sans-serif;max-width:1320px;margin:2em auto;padding:0 1em}"
    "h2{margin-top:2em}pre{overflow:auto;padding:.8em;border:1px solid #8886;border-radius:6px}"
    ".bad{border-left:4px solid #d9534f;padding:.2em .8em}"
    "svg{max-width:100%}img{max-width:100%;image-rendering:pixelated}"
    "td{padding:.1em 1em .1em 0;vertical-align:top}";

static void put_text(Buf *b, const char *text) {
    put_escaped(b, text, strlen(text));
}

static void put_row(Buf *b, const char *name, const char *value) {
    buf_puts(b, "<tr><td>");
    put_text(b, name);
    buf_puts(b, "</td><td>");
    put_text(b, value);
    buf_puts(b, "</td></tr>\n");
}

/* ---- parts */

static void put_warnings(Buf *b, const History *h) {
    if (h->warning.n) buf_puts(b, "<h2>Warnings</h2>\n");
    for (size_t i = 0; i < h->warning.n; i++) {
        const Told *w = &h->warning.at[i];
        buf_printf(b, "<p class=\"bad\">From step %" PRId64 ": <b>", w->step);
        put_text(b, w->name);
        buf_puts(b, "</b>: ");
        put_text(b, w->text);
        buf_puts(b, "</p>\n");
    }
}

static void put_texts(Buf *b, const History *h) {
    if (h->text.n) buf_puts(b, "<h2>Texts</h2>\n");
    for (size_t i = 0; i < h->text.n; i++) {
        const Told *t = &h->text.at[i];
        buf_puts(b, "<h3>");
        put_text(b, t->name);
        buf_printf(b, ", step %" PRId64 "</h3>\n<pre>", t->step);
        put_text(b, t->text);
        buf_puts(b, "</pre>\n");
    }
}

static void put_base64(Buf *b, const char *data, size_t n) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        char four[4];
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < n ? (unsigned char)data[i + k] : 0);
        for (size_t k = 0; k < 4; k++) four[k] = i + k > n ? '=' : digit[bits >> (18 - 6 * k) & 63];
        buf_put(b, four, 4);
    }
}

static void put_picture(Buf *b, Arena *a, const char *path) {
    struct stat st;
    char *data;
    size_t n;
    Err none = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool small = stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= PICTURE_MAX;
    buf_puts(b, "<figure><figcaption>");
    put_text(b, name);
    if (small && file_read(a, path, &data, &n, &none)) {
        buf_puts(b, "</figcaption><img alt=\"\" src=\"data:image/png;base64,");
        put_base64(b, data, n);
        buf_puts(b, "\"></figure>\n");
    } else {
        buf_puts(b,
                 ": left out, it is no file that can be read or too large</figcaption></figure>\n");
    }
}

/* A folder's name is no pattern. */
static const char *pictures_of(Arena *a, const char *dir) {
    Buf b = {0};
    for (const char *c = dir; *c; c++) buf_printf(&b, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
    const char *out = arena_printf(a, "%s/*.png", b.data ? b.data : "");
    buf_free(&b);
    return out;
}

static void put_pictures(Buf *b, Arena *a, const char *dir) {
    glob_t found = {0};
    Images all = {0};
    images_list(a, dir, &all);
    if (glob(pictures_of(a, dir), 0, NULL, &found) != 0) found.gl_pathc = 0;
    if (all.n || found.gl_pathc) buf_puts(b, "<h2>Pictures</h2>\n");
    for (size_t i = 0; i < all.n; i++)
        if (i + 1 == all.n || !str_eq(all.at[i].name, all.at[i + 1].name))
            put_picture(b, a, all.at[i].path);
    for (size_t i = 0; i < found.gl_pathc; i++) put_picture(b, a, found.gl_pathv[i]);
    globfree(&found);
}

static void put_settings(Buf *b, Arena *a, const RunSpec *r) {
    const struct {
        const char *name;
        int64_t n;
    } said[] = {{"eval every", r->eval_every}, {"save every", r->save_every},
                {"log every", r->log_every},   {"keep", r->keep},
                {"memory", r->memory},         {"micro", r->micro}};
    buf_puts(b, "<h2>Settings</h2>\n<table>\n");
    put_row(b, "seed", arena_printf(a, "%" PRIu64, r->seed));
    put_row(b, "precision", r->precision ? r->precision : "f32");
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (said[i].n > 0) put_row(b, said[i].name, arena_printf(a, "%" PRId64, said[i].n));
    put_row(b, "order", r->alternate ? "alternate" : "follow");
    buf_puts(b, "</table>\n");
}

static void put_machine(Buf *b, Arena *a) {
    Machine m;
    machine_look(&m);
    buf_puts(b, "<h2>Machine</h2>\n<table>\n");
    put_row(b, "processor", m.processor);
    put_row(b, "cores", arena_printf(a, "%d", m.cores));
    put_row(b, "memory", arena_printf(a, "%.1f GB", (double)m.memory / 1e9));
    buf_puts(b, "</table>\n");
}

static void put_sources(Buf *b, const Diag *d) {
    buf_puts(b, "<h2>Program</h2>\n");
    for (uint32_t i = 1; i <= diag_sources(d); i++) {
        size_t n;
        const char *path = diag_path(d, i), *text = diag_text(d, i, &n);
        if (!path || !text) continue;
        buf_printf(b, "<details%s><summary>", str_starts(path, "models/std/") ? "" : " open");
        put_text(b, path);
        buf_puts(b, "</summary><pre>");
        put_escaped(b, text, n);
        buf_puts(b, "</pre></details>\n");
    }
}

/* ---- the whole */

static void put_page(Buf *b, const Page *p, const History *h) {
    buf_puts(b, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n<title>");
    put_text(b, p->name);
    buf_printf(b, "</title>\n<style>%s</style>\n<h1>", style);
    put_text(b, p->name);
    buf_puts(b, "</h1>\n<p>");
    put_text(b, p->dir);
    if (h->step >= 0) buf_printf(b, ", step %" PRId64, h->step);
    buf_puts(b, "</p>\n");
    put_warnings(b, h);
    buf_puts(b, "<h2>Curves</h2>\n");
    for (size_t i = 0; i < h->series.n; i++) put_curve(b, &h->series.at[i], 0);
    put_pictures(b, h->arena, p->dir);
    put_texts(b, h);
    put_settings(b, h->arena, p->run);
    put_machine(b, h->arena);
    if (p->sources) put_sources(b, p->sources);
    buf_puts(b, "</html>\n");
}

static bool replace(Arena *a, const char *dir, const char *name, Buf *b, Err *e) {
    bool ok = file_write_unsynced(arena_printf(a, "%s/%s", dir, name), b->data, b->n, e);
    buf_free(b);
    return ok;
}

static bool no_run(const char *dir, Err *e) {
    return err_set(
        e, "there is no run in '%s' yet; train with uptc run, or name its folder with --dir", dir);
}

bool page_write(const Page *p, Err *e) {
    Arena *a = arena_new();
    History h = {.arena = a};
    Buf curves = {0}, page = {0};
    const char *metrics = arena_printf(a, "%s/metrics.jsonl", p->dir);
    bool ok = access(metrics, F_OK) == 0 ? history_read(&h, metrics, e) : no_run(p->dir, e);
    if (ok) {
        put_curves(&curves, &h);
        put_page(&page, p, &h);
        ok = replace(a, p->dir, "curves.svg", &curves, e) &&
             replace(a, p->dir, "report.html", &page, e);
    }
    buf_free(&curves);
    buf_free(&page);
    arena_free(a);
    return ok;
}
