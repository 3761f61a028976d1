/* The host processor through LLVM's native target. */
#include "codegen/host/host.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <string.h>

LLVMTargetMachineRef host_machine(const Host *h, Err *e) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(h->triple, &target, &message)) {
        err_set(e, "LLVM has no code generator for '%s': %s", h->triple, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    LLVMTargetMachineRef m =
        LLVMCreateTargetMachine(target, h->triple, h->cpu, h->features, LLVMCodeGenLevelDefault,
                                LLVMRelocPIC, LLVMCodeModelDefault);
    if (!m) err_set(e, "LLVM cannot make code for the processor '%s'", h->cpu);
    return m;
}

/* LLVM knows what a processor has, but does not say it through this interface; of these two levels
 * of x86-64 it is known anyway. */
static const char *features_of(const char *cpu) {
    if (strcmp(cpu, "x86-64-v3") == 0) return "+avx2,+fma";
    if (strcmp(cpu, "x86-64-v4") == 0) return "+avx2,+fma,+avx512f";
    return "";
}

bool host_init(Host *h, const char *cpu, Err *e) {
    if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter() ||
        LLVMInitializeNativeAsmParser())
        return err_set(e, "this build of LLVM cannot make code for this machine");
    h->triple = LLVMGetDefaultTargetTriple();
    h->cpu = cpu ? LLVMCreateMessage(cpu) : LLVMGetHostCPUName();
    h->features = cpu ? LLVMCreateMessage(features_of(cpu)) : LLVMGetHostCPUFeatures();
    LLVMTargetMachineRef m = host_machine(h, e);
    if (!m) return false;
    LLVMTargetDataRef data = LLVMCreateTargetDataLayout(m);
    h->layout = LLVMCopyStringRepOfTargetData(data);
    LLVMDisposeTargetData(data);
    LLVMDisposeTargetMachine(m);
    return true;
}

bool host_has_bf16(const Host *h) {
    static const char *const feature[] = {"+avx512bf16", "+amx-bf16"};
    for (size_t i = 0; i < sizeof feature / sizeof *feature; i++)
        if (strstr(h->features, feature[i])) return true;
    return false;
}

void host_free(Host *h) {
    LLVMDisposeMessage(h->triple);
    LLVMDisposeMessage(h->cpu);
    LLVMDisposeMessage(h->features);
    if (h->layout) LLVMDisposeMessage(h->layout);
}
