/* Inside the runtime: what the loop of a run (run.c) and evaluation (evaluate.c) share. */
#ifndef UPT_RUN_H
#define UPT_RUN_H

#include "runtime/profile.h"
#include "runtime/report/report.h"
#include "runtime/runtime.h"
#include "runtime/save/save.h"

typedef struct Run {
    const RtProgram *p;
    Tokenizer *const *tok;
    const RunOptions *o;
    Arena *arena;
    Pool *pool;
    Exec *x;
    RunDir dir;
    Metrics metrics;
    Progress progress;
    Position at;
    int64_t *total; /* steps, by entry; 0 for those that do not train */
    int64_t total_all;
    Reader **reader; /* by entry, NULL: closed */
    int64_t save_every, log_every, eval_every, keep;
    int64_t saved, evaluated; /* steps when last done; -1: never */
    double busy, since_log;   /* seconds in training steps: of this process, since the last log */
    int64_t done, done_since_log;
    Map warned;       /* entry and watch -> bool *: was bad when last logged */
    Profile *profile; /* or NULL */
    Keep *kept;       /* the state before a step, or NULL */
    bool flawed;      /* something to look at could not be written, and that was said */
} Run;

/* Step.c: the batch that step_batch has read, through a plan. False, with no sentence in `e`: all
 * is told.
 */
bool step_compute(Run *r, int entry, const RtPlan *plan, double *loss, Err *e);
const char *run_last_good(Run *r); /* "the last good checkpoint is ..." */
/* The entry's reader, opened or set to batch `start`; its thread runs on any core. NULL: failed. */
Reader *run_reader(Run *r, int entry, int64_t start, Err *e);
void run_reader_close(Run *r, int entry);
/* Its next batch, into the entry's fields; says which broken records were left out. */
bool run_batch(Run *r, int entry, int64_t *live, Err *e);
/* The same for a step, which takes whole batches only. */
bool step_batch(Run *r, int entry, Err *e);
/* One pass over the set of every eval entry with the tensors as they are; values are added to
 * `out`, with the entry's name in front where `named` or where there are several. */
bool evaluate_all(Run *r, bool named, Report *out, Err *e);
/* ---- show.c: what a person looks at. Failures are told once, and harm nothing. */
void show_images(Run *r, const RtPlan *plan, const char *prefix); /* that a plan reports */
void show_page(Run *r);
/* ---- trained.c: the program with the tensors of a checkpoint (NULL: the run's last), all else as
 * in a run. To be closed even where opening failed. */
bool trained_open(Run *r, const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                  const char *checkpoint, Err *e);
void trained_close(Run *r);
const char *run_folder(const Run *r);
const RtEntry *entry_of_kind(const RtProgram *p, int kind); /* the first; NULL: none */
int64_t count_entries(const RtProgram *p, int kind); /* RT_ENTRY_* */
/* Marks what every entry's steps are made of, readers being open; adds to `changed` what is not as
 * it was when the run was saved. False: its text is another, which is refused. */
bool mark_entries(Run *r, Buf *changed, Err *e);
static inline State run_state(const Run *r) {
    return (State){.p = r->p, .x = r->x, .tok = r->tok};
}
#endif
