/* ORC LLJIT over objects that are compiled ahead, one a kernel, on several threads with an LLVM
 * context each. The cache's key is the text of the unoptimised IR, so no change to code generation
 * can find a stale object. */
#include "codegen/jit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "codegen/cache.h"
#include "codegen/loops.h"
#include "codegen/vecmath.h"

static const char PASSES[] = "sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa("
                             "licm),early-cse,simplifycfg";
enum { MAX_THREADS = 64 };

struct Jit {
    Arena *arena;
    CodegenOptions options;
    Host host;
    LLVMOrcLLJITRef lljit;
    Map known; /* key -> RtKernel * */
};

/* One kernel on its way. */
typedef struct Job {
    const Kernel *kernel;
    const char *symbol;
    void *object;
    size_t size;
    char *llvm, *assembly; /* for printing */
    Err err;
} Job;
typedef struct Work {
    const Jit *jit;
    Job *job;
    size_t n;
    atomic_size_t next;
} Work;

/* ---- compiling (on any thread) */
static bool take_error(LLVMErrorRef error, const char *what, Err *e) {
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    err_set(e, "LLVM: %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool run_passes(LLVMModuleRef m, LLVMTargetMachineRef tm, Err *e) {
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(m, PASSES, tm, o);
    LLVMDisposePassBuilderOptions(o);
    return take_error(error, "passes", e);
}

static bool emit_file(LLVMModuleRef m, LLVMTargetMachineRef tm, LLVMCodeGenFileType type,
                      LLVMMemoryBufferRef *buf, Err *e) {
    char *message = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(tm, m, type, &message, buf)) return true;
    err_set(e, "LLVM: %s", message);
    LLVMDisposeMessage(message);
    return false;
}

static void verify(LLVMModuleRef m, const Kernel *k) {
    char *message = NULL;
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &message))
        BUG("invalid LLVM IR: %s\nof the kernel\n%s", message, k->key.data);
    LLVMDisposeMessage(message);
}

static void cache_key(const Jit *j, LLVMModuleRef m, uint64_t key[2]) {
    char *text = LLVMPrintModuleToString(m);
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    char rest[128];
    snprintf(rest, sizeof rest, "%u.%u.%u abi %d %s", major, minor, patch, ABI_VERSION, PASSES);
    for (int i = 0; i < 2; i++) {
        uint64_t h = hash_str(text, (uint64_t)i);
        h = hash_mix(h, hash_str(j->host.cpu, 0));
        key[i] = hash_mix(hash_mix(h, hash_str(j->host.features, 0)), hash_str(rest, 0));
    }
    LLVMDisposeMessage(text);
}

static bool make_object(const Jit *j, Arena *a, LLVMModuleRef m, Job *job) {
    LLVMTargetMachineRef tm = host_machine(&j->host, &job->err);
    LLVMMemoryBufferRef buf, text;
    bool ok = tm && run_passes(m, tm, &job->err);
    if (ok && j->options.emit_llvm) job->llvm = LLVMPrintModuleToString(m);
    if (ok && j->options.emit_asm) {
        LLVMModuleRef copy = LLVMCloneModule(m); /* code generation changes what it reads */
        if (emit_file(copy, tm, LLVMAssemblyFile, &text, &job->err)) {
            job->assembly = arena_strndup(a, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
            LLVMDisposeMemoryBuffer(text);
        }
        LLVMDisposeModule(copy);
    }
    if (ok && (ok = emit_file(m, tm, LLVMObjectFile, &buf, &job->err))) {
        job->size = LLVMGetBufferSize(buf);
        job->object = arena_memdup(a, LLVMGetBufferStart(buf), job->size);
        LLVMDisposeMemoryBuffer(buf);
    }
    if (tm) LLVMDisposeTargetMachine(tm);
    return ok;
}

static void compile(const Jit *j, Arena *a, Job *job) {
    LLVMContextRef cx = LLVMContextCreate();
    Emit *e = emit_new(a, &j->host, cx, job->symbol);
    loops_emit(e, job->kernel, a);
    emit_free(e);
    verify(e->module, job->kernel);
    uint64_t key[2];
    bool printing = j->options.emit_llvm || j->options.emit_asm;
    if (j->options.cache) {
        cache_key(j, e->module, key);
        job->object = printing ? NULL : cache_get(a, j->options.cache, key, &job->size);
    }
    if (!job->object && make_object(j, a, e->module, job) && j->options.cache)
        cache_put(a, j->options.cache, key, job->object, job->size);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(cx);
}

typedef struct Worker {
    Work *work;
    Arena *arena; /* an arena belongs to one thread */
    pthread_t thread;
} Worker;

static void *work(void *p) {
    Worker *w = p;
    for (size_t i; (i = atomic_fetch_add(&w->work->next, 1)) < w->work->n;)
        compile(w->work->jit, w->arena, &w->work->job[i]);
    return NULL;
}

/* The calling thread works too; threads that cannot be had are done without. */
static void compile_all(Work *w, Worker *worker, int threads) {
    int started = 0;
    for (int i = 0; i < threads; i++) worker[i] = (Worker){.work = w, .arena = arena_new()};
    while (started + 1 < threads &&
           pthread_create(&worker[started + 1].thread, NULL, work, &worker[started + 1]) == 0)
        started++;
    work(&worker[0]);
    for (int i = 1; i <= started; i++) pthread_join(worker[i].thread, NULL);
}

/* ---- linking (on the calling thread) */
static bool add_object(Jit *j, const Job *job, RtKernel **fn, Err *e) {
    LLVMMemoryBufferRef buf =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(job->object, job->size, job->symbol);
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    LLVMOrcExecutorAddress address;
    if (!take_error(LLVMOrcLLJITAddObjectFile(j->lljit, lib, buf), "link", e) ||
        !take_error(LLVMOrcLLJITLookup(j->lljit, &address, job->symbol), "look-up", e))
        return false;
    *fn = (RtKernel *)(uintptr_t)address;
    return true;
}

static bool add_all(Jit *j, Job *job, size_t n, Err *e) {
    for (size_t i = 0; i < n; i++) {
        if (job[i].llvm) fprintf(j->options.emit_llvm, "%s\n", job[i].llvm);
        if (job[i].assembly) fprintf(j->options.emit_asm, "%s\n", job[i].assembly);
        LLVMDisposeMessage(job[i].llvm);
        RtKernel *fn;
        if (job[i].err.msg[0]) return err_set(e, "%s", job[i].err.msg);
        if (!add_object(j, &job[i], &fn, e)) return false;
        map_set(&j->known, job[i].kernel->key.data, (void *)(uintptr_t)fn);
    }
    return true;
}

static int thread_count(const Jit *j, size_t jobs) {
    long cores = j->options.threads > 0 ? j->options.threads : sysconf(_SC_NPROCESSORS_ONLN);
    long n = cores < MAX_THREADS ? cores : MAX_THREADS;
    n = n < (long)jobs ? n : (long)jobs;
    return n > 1 ? (int)n : 1;
}

/* A name by what it computes: equal structures have equal objects, whoever compiled them. */
static const char *symbol_name(Arena *a, const Kernel *k) {
    return arena_printf(a, "upt_%016llx%016llx", (unsigned long long)hash_str(k->key.data, 0),
                        (unsigned long long)hash_str(k->key.data, 1));
}

bool jit_functions(Jit *j, Kernel *const *kernel, size_t n, RtKernel **fn, Err *e) {
    Arena *scratch = arena_new();
    Map fresh;
    map_init(&fresh, scratch);
    VEC(Job) job = {0};
    for (size_t i = 0; i < n; i++) {
        const char *key = kernel[i]->key.data;
        if (map_has(&j->known, key) || map_has(&fresh, key)) continue;
        map_set(&fresh, key, kernel[i]);
        vec_push(scratch, &job,
                 (Job){.kernel = kernel[i], .symbol = symbol_name(scratch, kernel[i])});
    }
    Work w = {.jit = j, .job = job.at, .n = job.n};
    int threads = thread_count(j, job.n);
    Worker *worker = NEW_N(scratch, Worker, threads);
    compile_all(&w, worker, threads);
    bool ok = add_all(j, job.at, job.n, e);
    for (int i = 0; i < threads; i++) arena_free(worker[i].arena);
    for (size_t i = 0; ok && i < n; i++)
        fn[i] = (RtKernel *)(uintptr_t)map_get(&j->known, kernel[i]->key.data);
    arena_free(scratch);
    return ok;
}

/* ---- what kernels may call */
static LLVMErrorRef define_symbols(Jit *j) {
    LLVMOrcCSymbolMapPair pair[64];
    const ExternSymbol base[] = {{"random_key", (void *)(uintptr_t)random_key},
                                 {"random_permuted", (void *)(uintptr_t)random_permuted}};
    size_t nbase = sizeof base / sizeof *base, n = nbase + vecmath_symbol_count;
    CHECK(n <= 64);
    for (size_t i = 0; i < n; i++) {
        const ExternSymbol *s = i < nbase ? &base[i] : &vecmath_symbols[i - nbase];
        pair[i].Name = LLVMOrcLLJITMangleAndIntern(j->lljit, s->name);
        pair[i].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)s->address;
        pair[i].Sym.Flags = (LLVMJITSymbolFlags){
            LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
    }
    return LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(j->lljit),
                                 LLVMOrcAbsoluteSymbols(pair, n));
}

/* Besides these, what LLVM itself falls back on: memcpy, fmodf and the like from the process. */
static bool start_lljit(Jit *j, Err *e) {
    LLVMOrcDefinitionGeneratorRef process;
    if (!take_error(LLVMOrcCreateLLJIT(&j->lljit, NULL), "start", e)) return false;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(j->lljit);
    if (!take_error(
            LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL),
            "symbols", e))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(j->lljit), process);
    return take_error(define_symbols(j), "symbols", e);
}

Jit *jit_new(const CodegenOptions *o, Err *e) {
    Arena *a = arena_new();
    Jit *j = NEW(a, Jit);
    j->arena = a;
    j->options = *o;
    map_init(&j->known, a);
    if (o->cache) j->options.cache = arena_strdup(a, o->cache);
    if (host_init(&j->host, e) && start_lljit(j, e)) return j;
    jit_free(j);
    return NULL;
}

void jit_free(Jit *j) {
    if (!j) return;
    if (j->lljit) LLVMConsumeError(LLVMOrcDisposeLLJIT(j->lljit));
    host_free(&j->host);
    arena_free(j->arena);
}

size_t jit_count(const Jit *j) {
    return j->known.n;
}
