/* Functions from kernels: IR, a light pass pipeline, an object, a place in memory. Objects of one
 * structure are made once in a process, and once on a machine where there is a cache folder. */
#ifndef UPT_JIT_H
#define UPT_JIT_H

#include "codegen/codegen.h"
#include "codegen/compile.h"

typedef struct Jit Jit;
Jit *jit_new(const CodegenOptions *o, Err *e);
void jit_free(Jit *j);
/* Sets at[i] to where the symbol of source[i] lies; those not yet known are compiled, on several
 * threads. */
bool jit_addresses(Jit *j, const Source *source, size_t n, void **at, Err *e);
const Host *jit_host(const Jit *j);
size_t jit_count(const Jit *j);
const char *jit_note(const Jit *j); /* why objects were not kept; NULL: they were */

#endif
