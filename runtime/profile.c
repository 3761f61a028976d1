/* Recording: clocks are read around every step of a plan, and by the pool around every thread's
 * share of it. Room for all events is taken before the first step; what does not fit is counted. */
#include <string.h>

#include "runtime/profile.h"

enum { WARMUP = 3, MAX_EVENTS = 4 << 20 };

const char *const doing_names[DOINGS] = {"step", "waiting for data", "checkpoint", "evaluation"};

static void add_tally(Profile *p, const RtPlan *plan) {
    if (!plan) return;
    p->tally[p->ntally++] = (Tally){plan, NEW_N(p->arena, double, plan->nstep + 1),
                                    NEW_N(p->arena, int64_t, plan->nstep + 1)};
}

static int64_t most_steps(const Profile *p) {
    int64_t most = 0;
    for (int i = 0; i < p->ntally; i++)
        if (p->tally[i].plan->nstep > most) most = p->tally[i].plan->nstep;
    return most;
}

Profile *profile_new(const RtProgram *program, Pool *pool, int64_t steps, int64_t expected) {
    Arena *a = arena_new();
    Profile *p = NEW(a, Profile);
    *p = (Profile){.arena = a, .pool = pool, .warmup = WARMUP, .wanted = steps};
    if (expected < p->warmup + 1) p->warmup = expected > 1 ? 1 : 0;
    if (p->wanted > expected - p->warmup)
        p->wanted = expected > p->warmup ? expected - p->warmup : 1;
    p->tally = NEW_N(a, Tally, RT_PLANS * program->nentry + 1);
    for (int i = 0; i < program->nentry; i++) {
        if (program->entry[i].kind != RT_ENTRY_train) continue;
        for (int k = 0; k < RT_PLANS; k++) add_tally(p, program->entry[i].plan[k]);
    }
    int64_t a_step = (most_steps(p) + 4) * pool_threads(pool);
    p->maxevent = (size_t)(p->wanted < MAX_EVENTS / a_step ? p->wanted * a_step : MAX_EVENTS);
    p->event = NEW_N(a, Event, p->maxevent);
    p->took = NEW_N(a, double, p->wanted);
    p->origin = clock_seconds();
    return p;
}

void profile_free(Profile *p) {
    if (p) arena_free(p->arena);
}

static void put_event(Profile *p, Event e) {
    if (p->nevent < p->maxevent)
        p->event[p->nevent++] = e;
    else
        p->lost++;
}

void profile_begin(Profile *p, int64_t number) {
    if (!p) return;
    p->on = p->begun++ >= p->warmup && p->recorded < p->wanted;
    if (p->on && p->recorded == 0) p->first = number;
    if (p->on) pool_watch(p->pool, true);
}

void profile_end(Profile *p, double start) {
    if (!profile_on(p)) return;
    p->took[p->recorded++] = clock_seconds() - start;
    profile_doing(p, DOING_step, start);
    p->on = false;
    pool_watch(p->pool, false);
}

/* Saving and evaluating are rare, so the whole run's count. */
void profile_doing(Profile *p, Doing what, double start) {
    bool rare = what == DOING_save || what == DOING_eval;
    if (!p || (!p->on && !rare)) return;
    double end = clock_seconds();
    p->seconds[what] += end - start;
    p->times[what]++;
    put_event(p, (Event){start, end, NULL, (int32_t)what, 0});
}

static Tally *tally_of(Profile *p, const RtPlan *plan) {
    for (int i = 0; i < p->ntally; i++)
        if (p->tally[i].plan == plan) return &p->tally[i];
    BUG("plan '%s' trains nothing", plan->name);
}

void profile_call(Profile *p, const RtPlan *plan, int step, double start) {
    double end = clock_seconds(), begun, done;
    Tally *t = tally_of(p, plan);
    t->seconds[step] += end - start;
    t->calls[step]++;
    put_event(p, (Event){start, end, plan, step, 0});
    for (int i = 1; i < pool_threads(p->pool); i++)
        if (pool_watched(p->pool, i, &begun, &done) && begun >= start)
            put_event(p, (Event){begun, done, plan, step, i});
}

bool profile_full(const Profile *p) {
    return p && !p->told && p->recorded == p->wanted;
}
