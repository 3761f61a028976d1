/* One training step: its batch, its plan, and a look at what came of it. A loss must stay finite;
 * where the state is kept every tensor must, and a step that spoils one is taken back and given to
 * whoever finds out why. */
#include <inttypes.h>
#include <math.h>

#include "runtime/run.h"

const char *run_last_good(Run *r) {
    if (r->saved < 0) return "there is no checkpoint yet";
    return arena_printf(r->arena, "the last good checkpoint is '%s' of step %" PRId64, r->dir.last,
                        r->saved);
}

static bool loss_error(Run *r, const RtEntry *entry, const RtOutput *o, double v, Err *e) {
    e->at = o->span;
    return err_set(e, "'%s' became %s at step %" PRId64 " of '%s'%s; %s",
                   o->name ? o->name : "loss", isnan(v) ? "not a number" : "infinite",
                   r->at.step + 1, entry->name,
                   r->kept ? "" : "; --find-nan says which operator made it", run_last_good(r));
}

static bool check_losses(Run *r, const RtEntry *entry, const RtPlan *plan, double *loss, Err *e) {
    bool first = true;
    for (int i = 0; i < plan->nout; i++) {
        if (plan->out[i].kind != RT_OUT_loss) continue;
        double v = exec_scalar(r->x, plan, i);
        if (!isfinite(v)) return loss_error(r, entry, &plan->out[i], v, e);
        if (first) *loss = v;
        first = false;
    }
    return true;
}

/* The new state too, where it is kept. */
static bool check_state(Run *r, const RtEntry *entry, Err *e) {
    int bad = r->kept ? keep_spoilt(r->kept) : -1;
    if (bad < 0) return true;
    return err_set(e, "'%s' became infinite or not a number at step %" PRId64 " of '%s'; %s",
                   r->p->tensor[bad].name, r->at.step + 1, entry->name, run_last_good(r));
}

/* True: told. */
static bool tell_why(Run *r, const RtEntry *entry, const RtPlan *plan, const RtClock *clock) {
    if (!r->kept) return false;
    BadStep bad = {r->x, r->kept, entry, plan, clock, r->at.step + 1, run_last_good(r)};
    keep_back(r->kept);
    progress_clear(&r->progress);
    return r->o->find_nan(r->o->find_nan_cx, &bad);
}

static bool run_pieces(Run *r, const RtPlan *plan, const RtClock *clock, Err *e) {
    RtClock now = *clock;
    for (now.piece = 0; plan && now.piece < plan->pieces; now.piece++)
        if (!exec_plan(r->x, plan, &now, e)) return false;
    return true;
}

/* The batch whole, or its pieces first. */
static bool run_parts(Run *r, const RtEntry *entry, const RtPlan *plan, const RtClock *clock,
                      Err *e) {
    if (entry->nacc) exec_reset(r->x, entry);
    const RtPlan *piece = plan == entry->logged ? entry->piece_logged : entry->piece;
    return run_pieces(r, entry->ahead, clock, e) && run_pieces(r, piece, clock, e) &&
           exec_plan(r->x, plan, clock, e);
}

static bool run_plan(Run *r, const RtEntry *entry, const RtPlan *plan, const RtClock *clock,
                     Err *e) {
    Err why = {0};
    if (r->kept) keep_take(r->kept);
    exec_profile(r->x, profile_on(r->profile) ? r->profile : NULL);
    bool ok = run_parts(r, entry, plan, clock, &why);
    exec_profile(r->x, NULL);
    if (ok) return true;
    e->at = why.at;
    return err_set(e, "step %" PRId64 ": %.600s; %s", r->at.step + 1, why.msg, run_last_good(r));
}

bool step_batch(Run *r, int i, Err *e) {
    const RtEntry *entry = &r->p->entry[i];
    int64_t live;
    double waiting = clock_seconds();
    if (!run_batch(r, i, &live, e)) return false;
    profile_doing(r->profile, DOING_data, waiting);
    return live == entry->batch ||
           err_set(e, "the data of '%s' ended at step %" PRId64, entry->name, r->at.entry[i] + 1);
}

bool step_compute(Run *r, int i, const RtPlan *plan, double *loss, Err *e) {
    const RtEntry *entry = &r->p->entry[i];
    int64_t at = r->at.entry[i];
    RtClock clock = {.seed = r->at.seed,
                     .step = (uint64_t)at,
                     .stepf = (float)at,
                     .stepsf = (float)r->total[i],
                     .live = entry->batch};
    if (!run_plan(r, entry, plan, &clock, e)) return false;
    if (check_losses(r, entry, plan, loss, e) && check_state(r, entry, e)) return true;
    if (tell_why(r, entry, plan, &clock)) *e = (Err){0};
    return false;
}
