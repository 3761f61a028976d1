/* From a kernel to an object file in memory: LLVM IR, a light pass pipeline, code generation. Every
 * kernel has an LLVM context and a module of its own, so its object follows from its structure
 * alone, whichever thread makes it and whatever was made before. (All of BERT-base in one module
 * would take no less time: 670 ms of code generation against 620.) */
#ifndef UPT_COMPILE_H
#define UPT_COMPILE_H

#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "codegen/emit.h"

typedef struct Compiler { /* of one thread */
    Arena *arena;         /* objects live here */
    const Host *host;
    bool print_llvm, print_assembly;
    LLVMTargetMachineRef machine;
    LLVMPassBuilderOptionsRef options;
    double emission, passes, generation; /* seconds so far */
} Compiler;

typedef struct Source { /* of one object */
    const char *key;    /* says all that the object depends on, besides compile_settings */
    void (*emit)(Emit *e, const void *of, Arena *a); /* defines the symbol e->name */
    const void *of;
} Source;

typedef struct Object {
    void *data;
    size_t size;
    const char *llvm, *assembly; /* NULL: not asked for */
} Object;

/* `o` gets an object that defines `symbol`, which the emitter gave a function or a table. */
bool compile_source(Compiler *c, const Source *s, const char *symbol, Object *o, Err *e);
/* Frees all but the arena. */
void compiler_free(Compiler *c);
/* All besides the source's key that an object depends on, as text. */
const char *compile_settings(Arena *a, const Host *h);

#endif
