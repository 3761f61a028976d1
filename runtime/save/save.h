/* runtime/save: what a run keeps on disk. checkpoint.c and write.c: one safetensors file (their
 * contract is in runtime/runtime.h). state.c: a program's tensors to and from one. rundir.c: the
 * folder of a run. */
#ifndef UPT_SAVE_H
#define UPT_SAVE_H

#include "runtime/runtime.h"

#define ASIDE_SUFFIX ".tmp"

const char *checkpoint_dtype(DType t); /* as safetensors names it */

/* ---- state.c */
typedef struct Position { /* where a run is; `entry` by number, in steps done */
    int64_t step;
    uint64_t seed;
    int64_t *entry;
} Position;
bool state_save(const char *path, const RtProgram *p, Exec *x, Tokenizer *const *tok,
                const Position *at, Err *e);
/* Everything the program keeps must be there with its dtype and shape, and nothing else. Without
 * `whole` (eval), optimiser state and what else the file has may differ. */
bool state_load(const char *path, const RtProgram *p, Exec *x, Tokenizer *const *tok, bool whole,
                Position *at, Err *e);
/* The program's `load` declarations, then clones. Reports to `log` (NULL: silent). */
bool state_load_declared(const RtProgram *p, Exec *x, Tokenizer *const *tok, FILE *log, Err *e);

/* ---- rundir.c */
typedef struct RunDir {
    Arena *arena;
    const char *path;
    const char *last; /* its last.safetensors */
    int lock;
} RunDir;
/* Makes the folder where missing, takes its lock, and clears away what a killed run left half
 * written. */
bool rundir_open(RunDir *d, const char *path, Err *e);
void rundir_close(RunDir *d);
const char *rundir_step(RunDir *d, int64_t step); /* path of a step's checkpoint */
/* The checkpoint of this step becomes last.safetensors, and all but the newest `keep` go. */
bool rundir_publish(RunDir *d, int64_t step, int64_t keep, Err *e);
bool rundir_has_last(const RunDir *d);
#endif
