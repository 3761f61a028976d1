/* codegen: native code for fused programs, through LLVM-C. One function is compiled a structure,
 * not a place: sizes, strides, places and constants are arguments. What is particular to the host
 * processor lives in codegen/host/. */
#ifndef UPT_CODEGEN_H
#define UPT_CODEGEN_H

#include "base/times.h"
#include "ir/ir.h"
#include "passes/passes.h"
#include "runtime/abi.h"

typedef struct Codegen Codegen;
typedef struct CodegenOptions {
    int threads;                /* that compile; 0: all */
    const char *cache;          /* folder for objects; NULL: none */
    const char *cpu;            /* one of codegen_cpus() to make code for; NULL: this one */
    FILE *emit_llvm, *emit_asm; /* print what is compiled, or NULL */
    Times *times;               /* NULL: nobody asks */
} CodegenOptions;
Codegen *codegen_new(const CodegenOptions *o, Err *e);
void codegen_free(Codegen *c); /* code it made must not run any more */
/* Kernels and plans for every graph of a fused program. The result lives in `a`, its code in `c`.
 */
RtProgram *codegen_program(Codegen *c, Arena *a, const Program *p, Err *e);
RtPlan *codegen_graph(Codegen *c, Arena *a, const Program *p, const Graph *g, Err *e);
/* What products are made of, of each TileKind; NULL: reported. It lives in `c`. */
const RtTiles *codegen_tiles(Codegen *c, Err *e);
/* Why compiled kernels could not be kept for the next run; NULL: they were, or need not be. */
const char *codegen_note(const Codegen *c);
/* Processors that code can be made for besides the one it runs on, by LLVM's names; NULL ends them.
 */
const char *const *codegen_cpus(void);
/* Whether the processor multiplies bf16 faster than f32. cpu: as in CodegenOptions. */
bool codegen_has_bf16(const char *cpu);
size_t codegen_kernels(const Codegen *c); /* structures compiled so far */
#endif
