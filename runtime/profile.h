/* Profiles of a run: when each step of a plan ran, on which thread, and what lay between. profile.c
 * records (nothing is allocated meanwhile), profile_table.c says where the time went, by line of
 * source and by kernel, profile_trace.c writes all of it for a viewer of traces. Recording reads
 * clocks and changes no bit of the run. Without a profile (NULL) every hook is nothing. */
#ifndef UPT_PROFILE_H
#define UPT_PROFILE_H

#include "runtime/machine.h"

/* What the main thread does. */
typedef enum Doing { DOING_step, DOING_data, DOING_save, DOING_eval, DOINGS } Doing;
extern const char *const doing_names[DOINGS]; /* "step", "waiting for data", ... */

typedef struct Event {
    double start, end;
    const RtPlan *plan; /* NULL: `number` is a Doing */
    int32_t number;     /* step of the plan */
    int32_t thread;
} Event;

typedef struct Tally { /* of one plan, by step */
    const RtPlan *plan;
    double *seconds;
    int64_t *calls;
} Tally;

struct Profile {
    Arena *arena;
    Pool *pool;
    int64_t warmup, wanted;  /* steps: passed over, then recorded */
    int64_t begun, recorded; /* so far, of both; of those recorded */
    int64_t first;           /* number of the first one recorded */
    bool on, told;           /* between the beginning and the end of a step that counts */
    double origin;           /* clock at the start: traces count from here */
    double *took;            /* by recorded step */
    double seconds[DOINGS];  /* of recorded steps; save and eval: of the whole run */
    int64_t times[DOINGS];
    Tally *tally;
    int ntally;
    Event *event;
    size_t nevent, maxevent, lost; /* lost: for want of room */
};

/* Of `steps` steps after a warm-up; `expected` is how many the run will do. */
Profile *profile_new(const RtProgram *p, Pool *pool, int64_t steps, int64_t expected);
void profile_free(Profile *p);
void profile_begin(Profile *p, int64_t number); /* a training step */
void profile_end(Profile *p, double start);
void profile_doing(Profile *p, Doing what, double start); /* since `start`, until now */
void profile_call(Profile *p, const RtPlan *plan, int step, double start);
static inline bool profile_on(const Profile *p) {
    return p && p->on;
}
bool profile_full(const Profile *p); /* all is recorded, and not yet told */

/* ---- telling */
struct ProfileCx {
    const Diag *sources;    /* NULL: places have no names */
    const Machine *machine; /* NULL: its ceilings are not known */
    const char *trace;      /* where the trace is; NULL: nowhere, */
    const char *flaw;       /* and why */
};
void profile_print(const Profile *p, const ProfileCx *cx, FILE *f);
void profile_json(const Profile *p, const ProfileCx *cx, Buf *out); /* one line */
bool profile_trace(const Profile *p, const ProfileCx *cx, const char *path, Err *e);
#endif
