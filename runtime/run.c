/* The loop of a run: batches through the plan of a step, logged steps, evaluations, checkpoints;
 * and going on where the last checkpoint stands.
 *
 * The invariant behind exact resume: all that a step reads (tensors, seed, positions, batch number)
 * is in the checkpoint, and everything due at a step (its log line, its evaluation) is done before
 * the step is saved; an evaluation that failed is done when the run goes on. Files written beyond
 * the checkpoint are cut back. A failed step is never saved: its tensors are half new. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "runtime/report/images.h"
#include "runtime/run.h"
#include "runtime/stop.h"

enum { DEFAULT_LOG = 100, DEFAULT_SAVE = 1000, DEFAULT_KEEP = 2, FAILED = 1 };

/* A full disk and a reader that is gone are errors of write() instead. */
static const int failing[] = {SIGXFSZ, SIGPIPE};
enum { FAILING = sizeof failing / sizeof *failing };
typedef struct Signals {
    Stops stops;
    struct sigaction fail[FAILING];
} Signals;

static void signals_take(Signals *old) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (int i = 0; i < FAILING; i++) sigaction(failing[i], &ignore, &old->fail[i]);
    stops_take(&old->stops);
}

static void signals_give_back(const Signals *old) {
    stops_give_back(&old->stops);
    for (int i = 0; i < FAILING; i++) sigaction(failing[i], &old->fail[i], NULL);
}

/* ---- what is to be done */

static int64_t first_said(int64_t flag, int64_t program, int64_t otherwise) {
    return flag > 0 ? flag : flag == 0 ? 0 : program > 0 ? program : otherwise;
}

static void take_settings(Run *r) {
    const RunSpec *s = &r->p->spec.run;
    r->save_every = first_said(r->o->save_every, s->save_every, DEFAULT_SAVE);
    r->eval_every = first_said(r->o->eval_every, s->eval_every, 0);
    r->log_every = first_said(r->o->log_every, s->log_every, -1);
    r->keep = s->keep > 0 ? s->keep : DEFAULT_KEEP;
    r->saved = r->evaluated = -1;
}

static bool entry_steps(Run *r, int i, Err *e) {
    const RtEntry *entry = &r->p->entry[i];
    int64_t batches = reader_records(r->reader[i]) / (entry->batch ? entry->batch : 1);
    if (batches == 0)
        return err_set(e, "'%s' has %" PRId64 " records, too few for one batch of %" PRId64,
                       entry->name, reader_records(r->reader[i]), entry->batch);
    r->total[i] = entry->steps;
    if (r->o->steps >= 0)
        r->total[i] = r->o->steps;
    else if (entry->epochs && __builtin_mul_overflow(batches, entry->epochs, &r->total[i]))
        return err_set(e, "'%s' would take too many steps", entry->name);
    if (__builtin_add_overflow(r->total_all, r->total[i], &r->total_all))
        return err_set(e, "'%s' would take too many steps", entry->name);
    return true;
}

/* Every hundred steps; a short run tells more often, at round numbers. */
static int64_t usual_log_every(int64_t steps) {
    static const int64_t round[] = {50, 20, 10, 5, 2};
    int64_t every = DEFAULT_LOG;
    for (size_t i = 0; i < sizeof round / sizeof *round && steps / every < 10; i++)
        every = round[i];
    return steps < 20 ? 1 : every;
}

/* The data of evaluations too, though they come later: what is wrong with it is said before hours
 * of training, and text that several entries share is read once. */
static bool open_data(Run *r, Err *e) {
    double start = clock_seconds();
    r->total = NEW_N(r->arena, int64_t, r->p->nentry);
    for (int i = 0; i < r->p->nentry; i++) {
        if (r->p->entry[i].kind != RT_ENTRY_train) continue;
        if (!run_reader(r, i, r->at.entry[i], e) || !entry_steps(r, i, e)) return false;
    }
    for (int i = 0; i < r->p->nentry && r->at.step < r->total_all; i++) {
        int kind = r->p->entry[i].kind;
        bool evaluates = kind == RT_ENTRY_eval || kind == RT_ENTRY_features;
        if (evaluates && !run_reader(r, i, 0, e)) return false;
    }
    if (r->log_every < 0) r->log_every = usual_log_every(r->total_all);
    times_stage(r->o->times, "data", start, "files read and encoded");
    return true;
}

/* The entry whose turn it is: in order, or the one that has done least when they alternate; -1: all
 * are done. */
static int next_entry(const Run *r) {
    int best = -1;
    for (int i = 0; i < r->p->nentry; i++) {
        if (r->p->entry[i].kind != RT_ENTRY_train || r->at.entry[i] >= r->total[i]) continue;
        if (best < 0 || (r->p->spec.run.alternate && r->at.entry[i] < r->at.entry[best])) best = i;
    }
    return best;
}

/* ---- initial values */

static bool init_fresh(Run *r, Err *e) {
    r->at.seed = r->o->has_seed ? r->o->seed : r->p->spec.run.seed;
    RtClock clock = {.seed = r->at.seed};
    FILE *log = r->o->quiet || r->o->json ? NULL : r->o->out;
    State s = run_state(r);
    return (!r->p->init || exec_plan(r->x, r->p->init, &clock, e)) && load_declared(&s, log, e);
}

static bool init_resumed(Run *r, Err *e) {
    State s = run_state(r);
    if (!state_resume(r->dir.last, &s, &r->at, e)) return false;
    r->saved = r->at.step;
    if (!r->o->has_seed || r->o->seed == r->at.seed) return true;
    return err_set(e,
                   "the run in '%s' was started with seed %" PRIu64 ", not %" PRIu64
                   "; to start afresh give another folder with --dir",
                   r->dir.path, r->at.seed, r->o->seed);
}

static bool open_memory(Run *r, Err *e) {
    double start = clock_seconds();
    r->pool = pool_new(r->o->threads, e);
    r->x = r->pool ? exec_new(r->p, r->pool, e) : NULL;
    if (r->x && r->o->find_nan) r->kept = keep_new(r->p, r->x, r->pool, e);
    times_stage(r->o->times, "memory", start, "threads, arena, addresses");
    return r->x && (r->kept || !r->o->find_nan);
}

static bool open_tensors(Run *r, bool resumed, Err *e) {
    double start = clock_seconds();
    bool ok = resumed ? init_resumed(r, e) : init_fresh(r, e);
    times_stage(r->o->times, resumed ? "checkpoint" : "initial values", start, "%s", "");
    return ok;
}

/* ---- after a step */

/* Tokens where a sample is a row of integers, else samples. */
static double batch_units(const RtEntry *entry, const char **unit) {
    for (int i = 0; i < entry->nfield; i++) {
        const Field *f = &entry->field[i];
        if (f->rank != 1 || (f->dtype != DT_i32 && f->dtype != DT_i64)) continue;
        *unit = "tokens";
        return (double)entry->batch * (double)f->dim[0];
    }
    *unit = "samples";
    return (double)entry->batch;
}

static double seconds_left(const Run *r) {
    if (!r->done || r->at.step >= r->total_all) return -1;
    return r->busy / (double)r->done * (double)(r->total_all - r->at.step);
}

/* Once for each watch, until it recovers. */
static void warn(Run *r, const RtEntry *entry, const Report *report) {
    for (size_t i = 0; i < report->watch.n; i++) {
        const ReportWatch *w = &report->watch.at[i];
        const char *key = arena_printf(report->arena, "%s %s", entry->name, w->name);
        bool *told = map_get(&r->warned, key);
        if (!told) map_set(&r->warned, arena_strdup(r->arena, key), told = NEW(r->arena, bool));
        if (w->bad && !*told) progress_warn(&r->progress, report->step, w);
        *told = w->bad;
    }
}

static bool log_step(Run *r, const RtEntry *entry, const RtPlan *plan, Err *e) {
    Report *report = report_new(r->at.step);
    if (count_entries(r->p, RT_ENTRY_train) > 1) report->entry = entry->name;
    report_add(report, r->x, plan, r->tok, "");
    show_images(r, plan, "");
    warn(r, entry, report);
    double units = batch_units(entry, &report->unit);
    if (r->since_log > 0) report->rate = units * (double)r->done_since_log / r->since_log;
    progress_report(&r->progress, report, seconds_left(r));
    bool ok = metrics_put(&r->metrics, report, e);
    report_free(report);
    r->since_log = 0;
    r->done_since_log = 0;
    return ok;
}

static bool evaluate(Run *r, Err *e) {
    if (r->evaluated == r->at.step || !count_entries(r->p, RT_ENTRY_eval)) return true;
    Report *report = report_new(r->at.step);
    double start = clock_seconds();
    bool ok = evaluate_all(r, true, report, e);
    profile_doing(r->profile, DOING_eval, start);
    if (ok) progress_eval(&r->progress, report);
    ok = ok && metrics_put(&r->metrics, report, e);
    report_free(report);
    r->evaluated = r->at.step;
    return ok;
}

static bool save(Run *r, Err *e) {
    if (r->saved == r->at.step) return true;
    const char *path = rundir_step(&r->dir, r->at.step);
    State s = run_state(r);
    Err why = {0};
    double start = clock_seconds();
    if (!metrics_sync(&r->metrics, &why) || !state_save(path, &s, &r->at, &why) ||
        !rundir_publish(&r->dir, r->at.step, r->keep, &why))
        return err_set(e, "%.600s; run again once it can be written: %s", why.msg,
                       run_last_good(r));
    r->saved = r->at.step;
    show_page(r);
    profile_doing(r->profile, DOING_save, start);
    return true;
}

/* What was done is good, though what comes next failed: it is saved, and tried again when the run
 * goes on. */
static bool give_up(Run *r, const char *again, Err *e) {
    Err why = {0};
    if (r->at.step == 0 || !save(r, &why)) return false;
    why = *e;
    return err_set(e, "%.600s; step %" PRId64 " is saved in '%s', run again to %s", why.msg,
                   r->at.step, r->dir.last, again);
}

/* ---- a step */

static bool is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

static bool train_step(Run *r, int i, Err *e) {
    const RtEntry *entry = &r->p->entry[i];
    int64_t number = r->at.entry[i] + 1;
    bool logged = number == 1 || number == r->total[i] || is_due(r->log_every, number);
    const RtPlan *plan = logged && entry->logged ? entry->logged : entry->step;
    profile_begin(r->profile, r->at.step + 1);
    double start = clock_seconds(), loss = 0;
    if (!step_batch(r, i, e)) return give_up(r, "go on", e);
    if (!step_compute(r, i, plan, &loss, e)) return false;
    r->at.entry[i]++;
    r->at.step++;
    double end = clock_seconds();
    r->busy += end - start;
    r->since_log += end - start;
    r->done++;
    r->done_since_log++;
    const char *unit;
    double units = batch_units(entry, &unit);
    progress_step(&r->progress, end, r->at.step, loss, units * (double)r->done / r->busy, unit,
                  seconds_left(r));
    bool ok = !logged || log_step(r, entry, plan, e);
    profile_end(r->profile, start);
    return ok;
}

/* One entry's data is closed as soon as it has done its steps. */
static void close_finished(Run *r, int i) {
    if (r->at.entry[i] >= r->total[i]) run_reader_close(r, i);
}

static int output_lost(Run *r, const char *but, Err *e) {
    err_set(e, "cannot write to standard output: %s; %.800s", strerror(r->progress.error), but);
    return FAILED;
}

static int stop(Run *r, Err *e) {
    if (!save(r, e)) return FAILED;
    const char *what = arena_printf(
        r->arena, "stopped at step %" PRId64 " of %" PRId64 " and saved '%s'; run again to go on",
        r->at.step, r->total_all, r->dir.last);
    if (r->progress.error) return output_lost(r, what, e);
    progress_note(&r->progress, "%s", what);
    return EXIT_STOPPED;
}

/* What was due at the step that the run goes on from, and failed then. */
static bool catch_up(Run *r, Err *e) {
    bool due = r->at.step == r->total_all || is_due(r->eval_every, r->at.step);
    if (r->saved <= 0 || !due || r->evaluated == r->at.step) return true;
    if (!evaluate(r, e)) return false;
    show_page(r);
    return true;
}

/* A trace that cannot be written is said, and the run goes on. */
static void tell_profile(Run *r) {
    ProfileCx cx = {.sources = r->o->sources, .machine = r->o->machine};
    Err e = {0};
    const char *path = arena_printf(r->arena, "%s/trace.json", r->dir.path);
    if (profile_trace(r->profile, &cx, path, &e))
        cx.trace = path;
    else
        cx.flaw = e.msg;
    r->profile->told = true;
    progress_profile(&r->progress, r->profile, &cx);
}

static int train_all(Run *r, Err *e) {
    if (!catch_up(r, e)) return FAILED;
    for (int i; (i = next_entry(r)) >= 0;) {
        if (stop_asked() || r->progress.error) return stop(r, e);
        if (!train_step(r, i, e)) return FAILED;
        close_finished(r, i);
        bool last = r->at.step >= r->total_all;
        if ((last || is_due(r->eval_every, r->at.step)) && !evaluate(r, e))
            return give_up(r, "evaluate it", e), FAILED;
        if ((last || is_due(r->save_every, r->at.step)) && !save(r, e)) return FAILED;
        if (profile_full(r->profile)) tell_profile(r);
    }
    if (r->done) progress_note(&r->progress, "done; the checkpoint is '%s'", r->dir.last);
    return r->progress.error ? output_lost(r, run_last_good(r), e) : 0;
}

/* ---- a run */

static void tell_start(Run *r, bool resumed, const Buf *changed) {
    progress_init(&r->progress, r->o->out, r->o->quiet, r->o->json, r->total_all);
    if (r->at.step >= r->total_all && resumed)
        progress_note(&r->progress,
                      "'%s' has done all its %" PRId64
                      " steps; --steps with a larger number goes on",
                      r->dir.path, r->at.step);
    else if (resumed)
        progress_note(&r->progress, "going on from step %" PRId64 " of '%s'", r->at.step,
                      r->dir.last);
    else if (r->total_all == 0)
        progress_note(&r->progress, "nothing to do: 0 steps are asked for");
    uint64_t said = r->p->spec.run.seed;
    if (resumed && !r->o->has_seed && said != r->at.seed)
        progress_note(&r->progress,
                      "its seed stays %" PRIu64 ", with which it began; the program says %" PRIu64,
                      r->at.seed, said);
    if (changed->n)
        progress_note(&r->progress, "changed since then: %s; the run goes on as it is now",
                      changed->data);
}

/* Beside its checkpoints; the run does not need it. */
static void keep_program(Run *r) {
    Err why = {0};
    if (r->o->keep_program && !r->o->keep_program(r->o->keep_program_cx, r->dir.path, &why))
        progress_note(&r->progress, "note: the program is not kept beside its checkpoints: %s",
                      why.msg);
}

/* What the run starts from: its last checkpoint, or initial values. */
static bool start(Run *r, bool resumed, Buf *changed, Err *e) {
    return open_tensors(r, resumed, e) && open_data(r, e) && mark_entries(r, changed, e);
}

static bool prepare(Run *r, Err *e) {
    const char *dir = r->o->dir ? r->o->dir : arena_printf(r->arena, "runs/%s", r->p->name);
    if (!rundir_open(&r->dir, dir, e)) return false;
    if (!open_memory(r, e)) return false;
    bool resumed = rundir_has_last(&r->dir);
    const char *metrics = arena_printf(r->arena, "%s/metrics.jsonl", r->dir.path);
    Buf changed = {0};
    bool ok = start(r, resumed, &changed, e) &&
              metrics_open(&r->metrics, metrics, resumed ? r->at.step : -1, e);
    if (ok) images_cut_back(r->dir.path, resumed ? r->at.step : -1);
    r->evaluated = r->metrics.evaluated;
    if (ok) times_print(r->o->times, stderr);
    if (ok) tell_start(r, resumed, &changed);
    if (ok) keep_program(r);
    if (ok && r->o->profile)
        r->profile = profile_new(r->p, r->pool, r->o->profile, r->total_all - r->at.step);
    buf_free(&changed);
    return ok;
}

static void release(Run *r) {
    if (r->progress.out) progress_clear(&r->progress);
    for (int i = 0; i < r->p->nentry; i++) run_reader_close(r, i);
    metrics_close(&r->metrics);
    profile_free(r->profile);
    keep_free(r->kept);
    exec_free(r->x);
    pool_free(r->pool);
    rundir_close(&r->dir);
}

int run_train(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, Err *e) {
    if (!count_entries(p, RT_ENTRY_train)) {
        err_set(e, "'%s' has no train entry: there is nothing to run", p->name);
        return FAILED;
    }
    Arena *a = arena_new();
    Run r = {.p = p, .tok = tok, .o = o, .arena = a, .dir = {.lock = -1}};
    map_init(&r.warned, a);
    r.at.entry = NEW_N(a, int64_t, p->nentry);
    r.at.mark = NEW_N(a, EntryMark, p->nentry);
    r.reader = NEW_N(a, Reader *, p->nentry);
    take_settings(&r);
    Signals old;
    signals_take(&old);
    int rc = prepare(&r, e) ? train_all(&r, e) : FAILED;
    release(&r);
    signals_give_back(&old);
    arena_free(a);
    return rc;
}
