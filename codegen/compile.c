/* LLVM at work on one kernel: see compile.h. What instructions are selected depends on the kernel's
 * text, the sources of codegen/ and ir/ (hashed when upt is built), LLVM and the processor; those
 * are the settings that the object cache keys on. */
#include "codegen/compile.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <string.h>

#include "base/times.h"
#include "codegen/sources.h"
#include "runtime/abi.h"

static const char PASSES[] = "sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa("
                             "licm),early-cse,simplifycfg";

const char *compile_settings(Arena *a, const Host *h) {
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    return arena_printf(a, "%s LLVM %u.%u.%u abi %d %s %s %s %s", UPT_SOURCES, major, minor, patch,
                        ABI_VERSION, PASSES, h->triple, h->cpu, h->features);
}

static void verify(LLVMModuleRef m, const Source *s) {
    char *message = NULL;
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &message))
        BUG("invalid LLVM IR: %s\nof\n%s", message, s->key);
    LLVMDisposeMessage(message);
}

static bool run_passes(Compiler *c, LLVMModuleRef m, Err *e) {
    LLVMErrorRef error = LLVMRunPasses(m, PASSES, c->machine, c->options);
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    err_set(e, "LLVM: passes: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

/* Code generation of a copy where it is needed again: it changes what it reads. */
static bool generate(Compiler *c, LLVMModuleRef m, LLVMCodeGenFileType type, char **data, size_t *n,
                     Err *e) {
    char *message = NULL;
    LLVMMemoryBufferRef buf;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, m, type, &message, &buf)) {
        err_set(e, "LLVM: %s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    *n = LLVMGetBufferSize(buf);
    *data = arena_strndup(c->arena, LLVMGetBufferStart(buf), *n);
    LLVMDisposeMemoryBuffer(buf);
    return true;
}

static const char *print_module(Compiler *c, LLVMModuleRef m) {
    char *text = LLVMPrintModuleToString(m);
    const char *kept = arena_strdup(c->arena, text);
    LLVMDisposeMessage(text);
    return kept;
}

static bool print_assembly(Compiler *c, LLVMModuleRef m, Object *o, Err *e) {
    LLVMModuleRef copy = LLVMCloneModule(m);
    char *text = NULL;
    size_t n;
    bool ok = generate(c, copy, LLVMAssemblyFile, &text, &n, e);
    o->assembly = text;
    LLVMDisposeModule(copy);
    return ok;
}

static bool make_object(Compiler *c, LLVMModuleRef m, Object *o, Err *e) {
    double start = clock_seconds();
    bool ok = run_passes(c, m, e);
    double passed = clock_seconds();
    c->passes += passed - start;
    if (ok && c->print_llvm) o->llvm = print_module(c, m);
    if (ok && c->print_assembly) ok = print_assembly(c, m, o, e);
    char *data = NULL;
    ok = ok && generate(c, m, LLVMObjectFile, &data, &o->size, e);
    o->data = data;
    c->generation += clock_seconds() - passed;
    return ok;
}

static bool start_compiler(Compiler *c, Err *e) {
    if (!c->machine) c->machine = host_machine(c->host, e);
    if (!c->options) c->options = LLVMCreatePassBuilderOptions();
    return c->machine != NULL;
}

bool compile_source(Compiler *c, const Source *s, const char *symbol, Object *o, Err *e) {
    double start = clock_seconds();
    if (!start_compiler(c, e)) return false;
    LLVMContextRef cx = LLVMContextCreate();
    Emit *emit = emit_module(c->arena, c->host, cx, symbol);
    s->emit(emit, s->of, c->arena);
    emit_free(emit);
    verify(emit->module, s);
    c->emission += clock_seconds() - start;
    bool ok = make_object(c, emit->module, o, e);
    LLVMDisposeModule(emit->module);
    LLVMContextDispose(cx);
    return ok;
}

void compiler_free(Compiler *c) {
    if (c->options) LLVMDisposePassBuilderOptions(c->options);
    if (c->machine) LLVMDisposeTargetMachine(c->machine);
}
