/* The host processor through LLVM's native target. */
#include "codegen/host/host.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

/* LLVM knows many more processors and what each has, but says neither through this interface; of
 * the levels of x86-64 it is known anyway. */
#if defined(__x86_64__)
static const char *const cpus[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", NULL};
static const char *const cpu_features[] = {"", "", "+avx2,+fma", "+avx2,+fma,+avx512f"};
#else
static const char *const cpus[] = {"generic", NULL};
static const char *const cpu_features[] = {""};
#endif

const char *const *host_cpus(void) {
    return cpus;
}

/* NULL: nothing is known of it. */
static const char *features_of(const char *cpu) {
    for (int i = 0; cpus[i]; i++)
        if (str_eq(cpu, cpus[i])) return cpu_features[i];
    return NULL;
}

bool host_init(Host *h, const char *cpu, Err *e) {
    if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter() ||
        LLVMInitializeNativeAsmParser())
        return err_set(e, "this build of LLVM cannot make code for this machine");
    if (cpu && !features_of(cpu)) return err_set(e, "no code can be made for '%s'", cpu);
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

/* Linux gives the registers of AMX to a process that asks for them. */
static bool may_use_amx(void) {
#if defined(__linux__) && defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

bool host_has_amx(const Host *h) {
    return strstr(h->features, "+amx-bf16") && may_use_amx();
}

bool host_has_bf16(const Host *h) {
    return strstr(h->features, "+avx512bf16") || host_has_amx(h);
}

/* Intel's processors leave bf16 to AMX: a dot product of pairs takes them four times as long as a
 * multiply-add, which does half as much. */
bool host_has_pairs(const Host *h) {
    return strstr(h->features, "+avx512bf16") && !strncmp(h->cpu, "znver", 5);
}

void host_free(Host *h) {
    LLVMDisposeMessage(h->triple);
    LLVMDisposeMessage(h->cpu);
    LLVMDisposeMessage(h->features);
    if (h->layout) LLVMDisposeMessage(h->layout);
}
