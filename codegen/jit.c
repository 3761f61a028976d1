/* ORC LLJIT over objects that are found in the cache or compiled ahead, one a kernel, on several
 * threads. Kernels are known by their text: equal structures share one function. */
#include "codegen/jit.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "codegen/cache.h"
#include "codegen/compile.h"
#include "codegen/vecmath.h"

enum { MAX_THREADS = 64 };

struct Jit {
    Arena *arena;
    CodegenOptions options;
    Host host;
    uint64_t settings[2]; /* hash of all that objects depend on besides their kernel's text */
    LLVMOrcLLJITRef lljit;
    Map known; /* key of a source -> address of its symbol */
    Err note;
};

/* One kernel on its way. */
typedef struct Job {
    const Source *source;
    const char *symbol;
    Object object;
    bool found; /* in the cache */
    Err err;    /* why there is no object */
} Job;
typedef struct Worker {
    const Jit *jit;
    Job *job; /* of all workers */
    size_t n;
    atomic_size_t *next;
    Compiler compiler;
    double looking; /* seconds with the cache */
    Err cache_err;  /* why an object could not be kept */
    pthread_t thread;
} Worker;

/* ---- objects (on any thread) */

static void cache_key(const Jit *j, const Source *s, uint64_t key[2]) {
    for (unsigned i = 0; i < 2; i++) key[i] = hash_mix(j->settings[i], hash_str(s->key, i));
}

static void look_up(Worker *w, Job *job, const uint64_t key[2]) {
    const CodegenOptions *o = &w->jit->options;
    if (!o->cache || o->emit_llvm || o->emit_asm) return;
    double start = clock_seconds();
    job->object.data = cache_get(w->compiler.arena, o->cache, key, &job->object.size);
    job->found = job->object.data != NULL;
    w->looking += clock_seconds() - start;
}

static void keep(Worker *w, const Job *job, const uint64_t key[2]) {
    double start = clock_seconds();
    if (w->jit->options.cache && !w->cache_err.msg[0])
        cache_put(w->compiler.arena, w->jit->options.cache, key, job->object.data, job->object.size,
                  &w->cache_err);
    w->looking += clock_seconds() - start;
}

static void *work(void *p) {
    Worker *w = p;
    for (size_t i; (i = atomic_fetch_add(w->next, 1)) < w->n;) {
        Job *job = &w->job[i];
        uint64_t key[2];
        cache_key(w->jit, job->source, key);
        look_up(w, job, key);
        if (!job->found &&
            compile_source(&w->compiler, job->source, job->symbol, &job->object, &job->err))
            keep(w, job, key);
    }
    return NULL;
}

static Worker worker_new(const Jit *j, Job *job, size_t n, atomic_size_t *next) {
    const CodegenOptions *o = &j->options;
    Compiler c = {.arena = arena_new(), /* an arena belongs to one thread */
                  .host = &j->host,
                  .print_llvm = o->emit_llvm != NULL,
                  .print_assembly = o->emit_asm != NULL};
    return (Worker){.jit = j, .job = job, .n = n, .next = next, .compiler = c};
}

/* The calling thread works too; threads that cannot be had are done without. */
static void work_all(Worker *w, int threads) {
    int started = 1;
    while (started < threads && !pthread_create(&w[started].thread, NULL, work, &w[started]))
        started++;
    work(&w[0]);
    for (int i = 1; i < started; i++) pthread_join(w[i].thread, NULL);
}

static int thread_count(const Jit *j, size_t jobs) {
    int n = j->options.threads > 0 ? j->options.threads : cores_allowed();
    if (n > MAX_THREADS) n = MAX_THREADS;
    if ((size_t)n > jobs) n = (int)jobs;
    return n > 1 ? n : 1;
}

/* ---- linking (on the calling thread) */

static bool take_error(LLVMErrorRef error, const char *what, Err *e) {
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    err_set(e, "LLVM: %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool add_object(Jit *j, const Job *job, Err *e) {
    LLVMMemoryBufferRef buf =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(job->object.data, job->object.size, job->symbol);
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    return take_error(LLVMOrcLLJITAddObjectFile(j->lljit, lib, buf), "link", e);
}

static bool link_job(Jit *j, const Job *job, Err *e) {
    LLVMOrcExecutorAddress address;
    if (job->err.msg[0]) return err_set(e, "%s", job->err.msg);
    if (job->object.llvm) fprintf(j->options.emit_llvm, "%s\n", job->object.llvm);
    if (job->object.assembly) fprintf(j->options.emit_asm, "%s\n", job->object.assembly);
    if (!add_object(j, job, e) ||
        !take_error(LLVMOrcLLJITLookup(j->lljit, &address, job->symbol), "look-up", e))
        return false;
    map_set(&j->known, job->source->key, (void *)(uintptr_t)address);
    return true;
}

/* ---- structures that are not known yet */

/* A name by what it computes: equal structures have equal objects, whoever compiled them. */
static const char *symbol_name(Arena *a, const Source *s) {
    return arena_printf(a, "upt_%016llx%016llx", (unsigned long long)hash_str(s->key, 0),
                        (unsigned long long)hash_str(s->key, 1));
}

static Job *find_jobs(const Jit *j, const Source *source, size_t n, Arena *a, size_t *count) {
    Job *job = NEW_N(a, Job, n);
    Map fresh;
    map_init(&fresh, a);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const char *key = source[i].key;
        if (map_has(&j->known, key) || map_has(&fresh, key)) continue;
        map_set(&fresh, key, (void *)&source[i]);
        job[(*count)++] = (Job){.source = &source[i], .symbol = symbol_name(a, &source[i])};
    }
    return job;
}

static void tell_times(const Jit *j, const Worker *w, int threads, size_t found, size_t n,
                       double start) {
    Worker all = {0};
    for (int i = 0; i < threads; i++) {
        all.looking += w[i].looking;
        all.compiler.emission += w[i].compiler.emission;
        all.compiler.passes += w[i].compiler.passes;
        all.compiler.generation += w[i].compiler.generation;
    }
    Times *t = j->options.times;
    times_stage(t, "kernels", start,
                "%zu structures: %zu from the cache, %zu compiled; %d thread%s", n, found,
                n - found, threads, threads == 1 ? "" : "s");
    times_part(t, "cache", all.looking, "of all threads, as the next three");
    times_part(t, "emission", all.compiler.emission, "%s", "");
    times_part(t, "LLVM passes", all.compiler.passes, "%s", "");
    times_part(t, "code generation", all.compiler.generation, "%s", "");
}

static bool make_objects(Jit *j, Job *job, size_t n, Worker *w, int threads) {
    double start = clock_seconds();
    atomic_size_t next = 0;
    for (int i = 0; i < threads; i++) w[i] = worker_new(j, job, n, &next);
    work_all(w, threads);
    size_t found = 0;
    for (size_t i = 0; i < n; i++) found += job[i].found;
    tell_times(j, w, threads, found, n, start);
    for (int i = 0; i < threads; i++)
        if (w[i].cache_err.msg[0]) j->note = w[i].cache_err;
    return found < n;
}

bool jit_addresses(Jit *j, const Source *source, size_t n, void **at, Err *e) {
    Arena *scratch = arena_new();
    size_t count;
    Job *job = find_jobs(j, source, n, scratch, &count);
    int threads = thread_count(j, count);
    Worker *worker = NEW_N(scratch, Worker, threads);
    bool fresh = make_objects(j, job, count, worker, threads), ok = true;
    double start = clock_seconds();
    for (size_t i = 0; i < count && ok; i++) ok = link_job(j, &job[i], e);
    times_stage(j->options.times, "link", start, "%zu objects", count);
    if (fresh && j->options.cache) cache_trim(j->options.cache, CACHE_MOST);
    for (int i = 0; i < threads; i++) {
        compiler_free(&worker[i].compiler);
        arena_free(worker[i].compiler.arena);
    }
    for (size_t i = 0; ok && i < n; i++) at[i] = map_get(&j->known, source[i].key);
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
    if (host_init(&j->host, o->cpu, e) && start_lljit(j, e)) {
        const char *settings = compile_settings(a, &j->host);
        for (unsigned i = 0; i < 2; i++) j->settings[i] = hash_str(settings, i);
        return j;
    }
    jit_free(j);
    return NULL;
}

void jit_free(Jit *j) {
    if (!j) return;
    if (j->lljit) LLVMConsumeError(LLVMOrcDisposeLLJIT(j->lljit));
    host_free(&j->host);
    arena_free(j->arena);
}

const Host *jit_host(const Jit *j) {
    return &j->host;
}

size_t jit_count(const Jit *j) {
    return j->known.n;
}

const char *jit_note(const Jit *j) {
    return j->note.msg[0] ? j->note.msg : NULL;
}

const char *const *codegen_cpus(void) {
    return host_cpus();
}

bool codegen_has_bf16(const char *cpu) {
    Host host = {0};
    Err e = {0};
    bool has = host_init(&host, cpu, &e) && host_has_bf16(&host);
    host_free(&host);
    return has;
}
