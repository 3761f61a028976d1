/* runtime/report: what a run tells. A Report is one logged step or one evaluation; metrics.c keeps
 * it as a line of JSON, progress.c shows it to a person (or, with --json, to a program). */
#ifndef UPT_REPORT_H
#define UPT_REPORT_H

#include "runtime/runtime.h"

typedef struct ReportValue {
    const char *name;
    double value;
    bool integer;
} ReportValue;
typedef struct ReportText { /* row `row` of a decoded text; rows of several texts alternate */
    const char *name, *text;
    int row;
    const size_t
        *end; /* of the text of each token, in bytes; NULL: tokens have no text of their own */
    size_t ntoken;
} ReportText;
typedef struct ReportWatch { /* a value whose name is `name`, and whether it is a bad sign */
    const char *name, *text; /* text: what that means and what helps */
    double value;
    bool bad;
} ReportWatch;
typedef struct Report {
    Arena *arena;
    int64_t step;
    const char *entry; /* NULL where the program has only one of its kind */
    VEC(ReportValue) value;
    VEC(ReportText) text;
    VEC(ReportWatch) watch;
    double rate;      /* units a second; 0: not measured */
    const char *unit; /* "tokens", "samples" */
} Report;
Report *report_new(int64_t step);
void report_free(Report *r);
/* Adds every report, loss and text among a plan's outputs, their names after `prefix`. */
void report_add(Report *r, const Exec *x, const RtPlan *plan, Tokenizer *const *tok,
                const char *prefix);
void report_json(const Report *r, Buf *out); /* one line, with its newline */

/* ---- texts.c: decoded texts for a person */
void texts_print(FILE *f, const Report *r, int rows); /* of the first `rows` samples */
size_t report_columns(FILE *f);                       /* how wide a line may be */

/* ---- metrics.c: metrics.jsonl */
typedef struct Metrics {
    FILE *file;
    const char *path;  /* as given: the caller keeps it */
    int64_t evaluated; /* step of the last evaluation that was there already; -1: none */
} Metrics;
/* Lines of later steps than `upto`, and a half-written last one, are cut off: the run will write
 * them again. */
bool metrics_open(Metrics *m, const char *path, int64_t upto, Err *e);
bool metrics_put(Metrics *m, const Report *r, Err *e);
bool metrics_sync(Metrics *m, Err *e); /* on disk, before the checkpoint that counts on it */
void metrics_close(Metrics *m);

/* ---- progress.c */
typedef struct Progress {
    FILE *out;               /* NULL: quiet */
    bool json, live, colour; /* live: a terminal, one line drawn over and over */
    bool drawn;
    int error; /* errno of the first write to `out` that failed; 0: none */
    int64_t total;
    double next_draw;
    char reports[256]; /* last logged ones, for the live line */
} Progress;
void progress_init(Progress *p, FILE *out, bool quiet, bool json, int64_t total);
/* A step just done. Cheap: draws at most ten times a second, on a terminal only. */
void progress_step(Progress *p, double now, int64_t step, double loss, double rate,
                   const char *unit, double left);
void progress_report(Progress *p, const Report *r,
                     double left); /* left: seconds, negative: unknown */
void progress_warn(Progress *p, int64_t step, const ReportWatch *w);
void progress_eval(Progress *p, const Report *r);
/* A profile that is whole: its tables, or a line of JSON. */
void progress_profile(Progress *p, const Profile *profile, const ProfileCx *cx);
void progress_note(Progress *p, const char *fmt, ...)
    PRINTF_LIKE(2, 3);            /* a line of its own; not with --json */
void progress_clear(Progress *p); /* the live line, before others print */
#endif
