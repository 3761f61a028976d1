/* runtime/save: what a run keeps on disk. checkpoint.c and write.c: one safetensors file (their
 * contract is in runtime/runtime.h). fit.c: whether a file fits a program. state.c: a program's
 * tensors and the position of its run, to and from one. load.c: the `load` declarations. rundir.c:
 * the folder of a run. */
#ifndef UPT_SAVE_H
#define UPT_SAVE_H

#include "runtime/runtime.h"

const char *checkpoint_dtype(DType t); /* as safetensors names it */

typedef struct State { /* a program's tensors, where they are */
    const RtProgram *p;
    Exec *x;
    Tokenizer *const *tok;
} State;

/* ---- fit.c: the tensors of a checkpoint for those of a program. What does not fit is refused with
 * the file, what is wrong in it, and what to do, which depends on why the file was opened. */
typedef struct Fit {
    const State *s;
    const char *path;
    const char *instead; /* what to do rather than use the file */
    const char *damaged; /* or NULL: what else there is to do when it cannot be read, */
    const char *misfit;  /* and when its tensors are not the program's */
    Checkpoint c;
    Err *e;
} Fit;
/* Opens `path`; a vocabulary is part of what was learnt, so it must be the same. Closed on failure.
 */
bool fit_open(Fit *f);
bool fit_read(const Fit *f, const CheckTensor *from, int tensor);
/* weights.c: of a matrix that is kept in another form than the file has. */
bool weights_read(const Fit *f, const CheckTensor *from, int tensor, Err *e);
/* False, with a sentence: 'path' ...; remedy, or instead. */
bool fit_refuse(const Fit *f, const char *remedy, const char *fmt, ...) PRINTF_LIKE(3, 4);
uint64_t vocabulary_hash(const State *s, int tokenizer);

/* ---- state.c */
typedef struct EntryMark { /* what the steps of an entry are made of; 0: not known */
    int64_t steps;
    uint64_t graph, stages, text; /* hashes: of what a step computes, the data's stages, the text */
} EntryMark;
typedef enum Order { ORDER_unknown, ORDER_follow, ORDER_turns } Order; /* of several entries */
typedef struct Position { /* where a run is; `entry` and `mark` by number */
    int64_t step;
    uint64_t seed;
    int64_t *entry; /* steps done */
    EntryMark *mark;
    Order order;
} Position;
bool state_save(const char *path, const State *s, const Position *at, Err *e);
/* To go on with a run: everything the program keeps must be there with its dtype and shape, and
 * nothing else; the marks are those of the run so far. */
bool state_resume(const char *path, const State *s, Position *at, Err *e);
/* To evaluate, sample and so on: optimiser state and what else the file has may differ. Sets step
 * and seed. */
bool state_read(const char *path, const State *s, Position *at, Err *e);

/* ---- load.c: the program's `load` declarations, then clones. Reports to `log` (NULL: silent). */
bool load_declared(const State *s, FILE *log, Err *e);

/* ---- rundir.c */
typedef struct RunDir {
    Arena *arena;
    const char *path;
    const char *last; /* its last.safetensors */
    int lock;
} RunDir;
/* Makes the folder where missing, takes its lock, clears away what a killed run left half written,
 * and makes the newest checkpoint the last where there is none. */
bool rundir_open(RunDir *d, const char *path, Err *e);
void rundir_close(RunDir *d);
const char *rundir_step(RunDir *d, int64_t step); /* path of a step's checkpoint */
/* The checkpoint of this step becomes last.safetensors, and all but the newest `keep` go. */
bool rundir_publish(RunDir *d, int64_t step, int64_t keep, Err *e);
bool rundir_has_last(const RunDir *d);
#endif
