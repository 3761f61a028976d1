/* runtime: executes plans. A pool of pinned threads, the arena, matrix products, checkpoints,
 * reports and the loop of a run. It sees only its own ABI (runtime/abi.h) and base/. */
#ifndef UPT_RUNTIME_H
#define UPT_RUNTIME_H

#include "base/times.h"
#include "runtime/abi.h"
#include "runtime/data/data.h"

/* ---- pool: one for everything. What a task does depends on its number alone, so results do not
 * depend on the number of threads or on which of them takes it. */
typedef struct Pool Pool;
/* `threads` 0: one for each core this process may use; the caller is thread 0. */
Pool *pool_new(int threads, Err *e);
void pool_free(Pool *p);
int pool_threads(const Pool *p);
/* The caller is pinned while the pool lives; threads it starts would inherit that, so let go around
 * starting one. */
void pool_pin_caller(Pool *p, bool pin);
/* While it watches, every worker's share of the last pool_run is timed: from its first task to the
 * end of its last, in clock_seconds. False: it had none. */
void pool_watch(Pool *p, bool on);
bool pool_watched(const Pool *p, int worker, double *begun, double *done);
/* Every thread gets so much memory of its own, which its tasks find by pool_room; what was there is
 * lost. */
bool pool_rooms(Pool *p, size_t bytes, Err *e);
char *pool_room(void);
uint64_t pool_job(void); /* which call of pool_run or pool_run_here a task is of; from 1 on */
void pool_run(Pool *p, int64_t tasks, void (*fn)(void *cx, int64_t first, int64_t last), void *cx);
/* All of it on the thread that calls, for what is too little to share. */
void pool_run_here(const Pool *p, int64_t tasks, void (*fn)(void *cx, int64_t first, int64_t last),
                   void *cx);

/* ---- executor: persistent tensors and the arena of one program */
typedef struct Exec Exec;
Exec *exec_new(const RtProgram *p, Pool *pool, Err *e);
void exec_free(Exec *x);
char *exec_tensor(Exec *x, int tensor); /* its bytes */
/* Where a batch's fields are to be written. */
char *const *exec_fields(Exec *x, const RtEntry *entry);
typedef struct Profile Profile; /* runtime/profile.h */
typedef struct ProfileCx ProfileCx;
void exec_profile(Exec *x, Profile *p); /* records every step of the plans that run from now on */
/* Runs a plan once, for one piece of the batch if it is one of several. False: a fault, named in
 * `e` by its source line. */
bool exec_plan(Exec *x, const RtPlan *plan, const RtClock *clock, Err *e);
/* The same for steps [first, last) of it. */
bool exec_steps(Exec *x, const RtPlan *plan, const RtClock *clock, int first, int last, Err *e);
char *exec_buffer(const Exec *x, const RtPlan *plan, int64_t piece, int32_t buffer);
double exec_scalar(const Exec *x, const RtPlan *plan, int out); /* value of a loss or a report */
const void *exec_output(const Exec *x, const RtPlan *plan, int out);
/* The entry's accumulators get their value before the first batch, or piece of one. */
void exec_reset(Exec *x, const RtEntry *entry);

/* ---- keep: the tensors as they were before a step */
typedef struct Keep Keep;
Keep *keep_new(const RtProgram *p, Exec *x, Pool *pool, Err *e);
void keep_free(Keep *k);
void keep_take(Keep *k);
void keep_back(Keep *k);
int keep_spoilt(Keep *k); /* the first tensor that was finite and is not any more; -1: none */
bool values_finite(DType t, const void *p, int64_t n); /* of floats; all others are */

/* ---- runs */
/* A step that made a loss or a tensor infinite or not a number. Tensors are as they were before it,
 * and the batch is still there, so that it can be repeated. */
typedef struct BadStep {
    Exec *x;
    Keep *keep;
    const RtEntry *entry;
    const RtPlan *plan;
    const RtClock *clock;
    int64_t step;
    const char *last_good; /* "the last good checkpoint is ..." */
} BadStep;
typedef struct Machine Machine;
typedef struct RunOptions {
    const char *dir; /* NULL: runs/<name> */
    int64_t steps;   /* -1: as the program says */
    int threads;     /* 0: all */
    bool has_seed;
    uint64_t seed;
    int64_t save_every, log_every, eval_every; /* -1: as the program says */
    bool quiet, json;
    Times *times;           /* of everything until the first step can run; printed then */
    FILE *out;              /* progress */
    int64_t profile;        /* steps to profile; 0: none */
    const Machine *machine; /* whose ceilings a profile compares with; NULL: not known */
    const Diag *sources;    /* of the places in the program; NULL: not known */
    /* Looks for what went wrong, and tells; false: it was not found. Set: the state is kept before
     * each step, and every new one is looked at. */
    bool (*find_nan)(const void *cx, const BadStep *bad);
    const void *find_nan_cx;
    /* Puts the program into the folder of a run that starts or goes on; where it cannot, the run
     * says so and goes on without. NULL: it is not kept. */
    bool (*keep_program)(const void *cx, const char *dir, Err *e);
    const void *keep_program_cx;
} RunOptions;
/* Trains, or goes on from the last checkpoint in the directory. Exit code: 0 done, 1 failed
 * (sentence in `e`), 130 stopped by Ctrl-C, saved. */
int run_train(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, Err *e);
/* Evaluates a checkpoint (NULL: the run's last) and prints every report. */
int run_eval(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, const char *checkpoint,
             Err *e);

/* What an entry that returns values gives, with a checkpoint's tensors. */
typedef struct GiveOptions {
    const char *checkpoint; /* NULL: the run's last */
    const char *out;        /* file; NULL: sample.png in the run's folder, or standard output */
    int64_t count;          /* samples; 0: as many as the entry makes */
} GiveOptions;
/* `sample`: pictures to a PNG, anything else as lines of JSON. `predict`: a line of JSON a record.
 */
int run_sample(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, const GiveOptions *g,
               Err *e);
int run_predict(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                const GiveOptions *g, Err *e);
typedef struct GenerateOptions {
    const char *checkpoint;
    const char *const *prompt; /* nprompt texts to go on from, each a generation of its own */
    size_t nprompt;
    const char *file;          /* that the prompts are the lines of; NULL: they are of none */
    bool json;                 /* a line of JSON for each prompt, once its text is whole */
    int64_t tokens;            /* to make */
    double temperature, top_p; /* temperature 0: the likeliest token each time; top_p 1: all */
    int64_t top_k;             /* 0: all */
} GenerateOptions;
/* Texts go to o->out as they are made. Exit code: 130 where it was stopped by Ctrl-C. */
int run_generate(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                 const GenerateOptions *g, Err *e);

/* ---- checkpoints: safetensors, names by path; __metadata__ has step, seed and what the run was
 * made of. */
typedef struct CheckTensor {
    const char *name;
    DType dtype;
    int rank;
    int64_t dim[RANK];
    const void *data; /* to be written; NULL in a checkpoint that was opened */
    int64_t bytes;
    int64_t at; /* in the file that was opened */
} CheckTensor;
typedef struct Checkpoint {
    CheckTensor *tensor;
    int ntensor;
    MapEntry *meta; /* string values */
    int nmeta;
    Arena *arena;
    const char *path;
    int fd;
    int64_t bytes, changed; /* of the file when it was opened: its size and time of change */
} Checkpoint;
/* Reads and checks the header; tensors are read one by one. */
bool checkpoint_open(const char *path, Checkpoint *c, Err *e);
void checkpoint_close(Checkpoint *c);
const CheckTensor *checkpoint_find(const Checkpoint *c, const char *name);
const char *checkpoint_meta(const Checkpoint *c, const char *key);
/* The tensor's bytes. False: the file fails, or is not any more what was opened. */
bool checkpoint_read(const Checkpoint *c, const CheckTensor *t, void *out, Err *e);
/* So many bytes of it, from byte `first` on; what a bool holds is not looked at. */
bool checkpoint_read_part(const Checkpoint *c, const CheckTensor *t, int64_t first, int64_t bytes,
                          void *out, Err *e);
/* A reader sees the old file or the whole new one. */
bool checkpoint_write(const char *path, const CheckTensor *t, int n, const MapEntry *meta,
                      int nmeta, Err *e);
#endif
