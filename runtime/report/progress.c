/* What a person sees of a run. On a terminal one line is drawn over and over; into a pipe each
 * logged step is a plain line; with --json a line of JSON; with --quiet nothing. Evaluations, texts
 * and notes are lines that stay. */
#include <errno.h>
#include <math.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/profile.h"
#include "runtime/report/report.h"

static const double DRAW_SECONDS = 0.1;

void progress_init(Progress *p, FILE *out, bool quiet, bool json, int64_t total) {
    bool terminal = out && isatty(fileno(out));
    const char *term = getenv("TERM");
    *p = (Progress){.out = quiet ? NULL : out, .json = json, .total = total};
    p->live = terminal && !json && term && !str_eq(term, "dumb");
    p->colour = p->live && !getenv("NO_COLOR");
}

/* ---- numbers for people */

static void put_value(Buf *b, const ReportValue *v) {
    if (v->integer)
        buf_printf(b, "%.0f", v->value);
    else if (v->value != 0 && (fabs(v->value) < 1e-3 || fabs(v->value) >= 1e6))
        buf_printf(b, "%.3e", v->value);
    else
        buf_printf(b, "%.4f", v->value);
}

static void put_rate(Buf *b, double rate, const char *unit) {
    buf_puts(b, "  ");
    if (rate >= 1e6)
        buf_printf(b, "%.2fM %s/s", rate / 1e6, unit);
    else if (rate >= 1e4)
        buf_printf(b, "%.1fk %s/s", rate / 1e3, unit);
    else
        buf_printf(b, rate < 10 ? "%.2f %s/s" : "%.0f %s/s", rate, unit);
}

static void put_left(Buf *b, double seconds) {
    if (seconds < 0 || seconds > 1e8) return;
    long long s = (long long)(seconds + 0.5);
    buf_puts(b, "  ");
    if (s >= 3600)
        buf_printf(b, "%lld h %lld min left", s / 3600, s / 60 % 60);
    else if (s >= 60)
        buf_printf(b, "%lld min %lld s left", s / 60, s % 60);
    else
        buf_printf(b, "%lld s left", s);
}

static void put_values(Buf *b, const Report *r) {
    for (size_t i = 0; i < r->value.n; i++) {
        buf_printf(b, "  %s ", r->value.at[i].name);
        put_value(b, &r->value.at[i]);
    }
}

/* ---- lines */

/* A write that failed is the last one: the run sees it, and says it where it can. */
static void flush(Progress *p) {
    if (fflush(p->out) == 0 && !ferror(p->out)) return;
    p->error = errno ? errno : EIO;
    __fpurge(p->out); /* or exit() would write it again */
    p->out = NULL;
    p->drawn = false;
}

void progress_clear(Progress *p) {
    if (!p->drawn) return;
    fputs("\r\033[K", p->out);
    p->drawn = false;
}

static void put_line(Progress *p, const char *text) {
    progress_clear(p);
    fprintf(p->out, "%s\n", text);
    flush(p);
}

/* The length of as many whole items, each after two spaces, as there is room for. */
static size_t items_fit(const char *s, size_t room) {
    size_t fit = 0;
    for (size_t i = 0; s[i] && i < room; i++)
        if (!s[i + 1] || (s[i + 1] == ' ' && s[i + 2] == ' ')) fit = i + 1;
    return fit;
}

/* The step in bold, the rest plain, as much of it as stays on one line. */
static void draw(Progress *p, size_t width, const char *head, const char *rest) {
    size_t n = strlen(head), room = width > n ? width - n : 0;
    progress_clear(p);
    fprintf(p->out, p->colour ? "\033[1m%.*s\033[0m%.*s" : "%.*s%.*s", (int)width, head,
            (int)items_fit(rest, room), rest);
    p->drawn = true;
    flush(p);
}

void progress_step(Progress *p, double now, int64_t step, double loss, double rate,
                   const char *unit, double left) {
    if (!p->out || !p->live || now < p->next_draw) return;
    p->next_draw = now + DRAW_SECONDS;
    size_t width = report_columns(p->out);
    Buf head = {0}, rest = {0}, end = {0};
    buf_printf(&head, "step %lld/%lld", (long long)step, (long long)p->total);
    buf_printf(&rest, "  loss %.4f", loss);
    if (rate > 0) put_rate(&end, rate, unit);
    put_left(&end, left);
    size_t used = head.n + rest.n + end.n;
    buf_put(&rest, p->reports, items_fit(p->reports, width > used ? width - used : 0));
    buf_put(&rest, end.data, end.n);
    draw(p, width, head.data, rest.data);
    buf_free(&head);
    buf_free(&rest);
    buf_free(&end);
}

/* One sample is enough to watch; metrics.jsonl has them all. */
static void put_texts(Progress *p, const Report *r) {
    if (!p->out) return;
    progress_clear(p);
    texts_print(p->out, r, 1);
    flush(p);
}

static void put_json(Progress *p, const Report *r) {
    Buf b = {0};
    report_json(r, &b);
    fwrite(b.data, 1, b.n, p->out);
    flush(p);
    buf_free(&b);
}

static void keep_reports(Progress *p, const Report *r) {
    Buf b = {0};
    for (size_t i = 0; i < r->value.n; i++) {
        if (str_eq(r->value.at[i].name, "loss")) continue; /* the live line has its own */
        buf_printf(&b, "  %s ", r->value.at[i].name);
        put_value(&b, &r->value.at[i]);
    }
    size_t n = b.n ? items_fit(b.data, sizeof p->reports - 1) : 0;
    snprintf(p->reports, sizeof p->reports, "%.*s", (int)n, n ? b.data : "");
    buf_free(&b);
}

void progress_report(Progress *p, const Report *r, double left) {
    if (!p->out) return;
    if (p->json) {
        put_json(p, r);
        return;
    }
    keep_reports(p, r);
    if (!p->live || r->step == p->total) { /* the last one stays on a terminal too */
        Buf b = {0};
        buf_printf(&b, "step %lld/%lld", (long long)r->step, (long long)p->total);
        if (r->entry) buf_printf(&b, " %s", r->entry);
        put_values(&b, r);
        if (r->rate > 0) put_rate(&b, r->rate, r->unit);
        put_left(&b, left);
        put_line(p, b.data);
        buf_free(&b);
    }
    put_texts(p, r);
}

void progress_eval(Progress *p, const Report *r) {
    if (!p->out) return;
    if (p->json) {
        put_json(p, r);
        return;
    }
    Buf b = {0};
    buf_printf(&b, "step %lld/%lld", (long long)r->step, (long long)p->total);
    put_values(&b, r);
    put_line(p, b.data);
    buf_free(&b);
    put_texts(p, r);
}

void progress_note(Progress *p, const char *fmt, ...) {
    if (!p->out || p->json) return;
    Buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    put_line(p, b.data);
    buf_free(&b);
}

void progress_warn(Progress *p, int64_t step, const ReportWatch *w) {
    progress_note(p, "step %lld/%lld  warning: %s is %.4g: %s", (long long)step,
                  (long long)p->total, w->name, w->value + 0.0, w->text); /* + 0: no -0 */
}

void progress_profile(Progress *p, const Profile *profile, const ProfileCx *cx) {
    if (!p->out) return;
    progress_clear(p);
    Buf b = {0};
    if (p->json)
        profile_json(profile, cx, &b);
    else
        profile_print(profile, cx, p->out);
    if (b.n) fwrite(b.data, 1, b.n, p->out);
    flush(p);
    buf_free(&b);
}
