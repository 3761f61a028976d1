/* What is particular to the processor that compiles and runs: its name, its features and the
 * machine that makes code for it. Everything else in codegen/ speaks of vectors of 16 lanes, which
 * LLVM splits where the processor's are shorter. */
#ifndef UPT_HOST_H
#define UPT_HOST_H

#include <llvm-c/TargetMachine.h>

#include "base/base.h"

typedef struct Host {
    char *triple, *cpu, *features; /* LLVM's own copies; host_free */
    char *layout;                  /* data layout */
} Host;
/* cpu: one of host_cpus(); NULL: the one it runs on. */
bool host_init(Host *h, const char *cpu, Err *e);
const char *const *host_cpus(void); /* NULL ends them */
void host_free(Host *h);
bool host_has_amx(const Host *h);   /* with what bf16 needs, and it may be used */
bool host_has_bf16(const Host *h);  /* products of bf16 that sum in f32 */
bool host_has_pairs(const Host *h); /* AVX512-BF16's, and faster than multiply-adds of f32 */
LLVMTargetMachineRef host_machine(const Host *h, Err *e); /* one a thread; NULL: reported */

#endif
