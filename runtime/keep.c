/* A copy of every tensor as it was before a step, so that a step that goes wrong can be repeated
 * exactly: what else it reads (the batch, the clock) is still there. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/runtime.h"

enum { PIECE = 1 << 20 };

typedef struct Stretch { /* a piece of a tensor */
    char *here, *kept;
    int64_t bytes;
    int tensor;
} Stretch;

struct Keep {
    const RtProgram *p;
    Pool *pool;
    char *base;
    size_t bytes;
    Stretch *stretch;
    int64_t n;
    atomic_int spoilt;
};

/* Pieces of all tensors, in order; the copies lie one after another. */
static void cut(Keep *k, Exec *x) {
    int64_t at = 0;
    k->n = 0;
    for (int i = 0; i < k->p->ntensor; i++)
        for (int64_t done = 0; done < k->p->tensor[i].bytes; done += PIECE, k->n++) {
            int64_t left = k->p->tensor[i].bytes - done, bytes = left < PIECE ? left : PIECE;
            if (k->stretch)
                k->stretch[k->n] = (Stretch){exec_tensor(x, i) + done, k->base + at, bytes, i};
            at += (bytes + 63) / 64 * 64;
        }
    k->bytes = (size_t)at;
}

Keep *keep_new(const RtProgram *p, Exec *x, Pool *pool, Err *e) {
    Keep *k = heap_resize(NULL, sizeof *k);
    *k = (Keep){.p = p, .pool = pool};
    cut(k, x);
    if (!k->bytes) return k;
    char *at = mmap(NULL, k->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        err_set(e, "cannot get %.1f GB of memory to keep the state before each step: %s",
                (double)k->bytes / 1e9, strerror(errno));
        keep_free(k);
        return NULL;
    }
    madvise(at, k->bytes, MADV_HUGEPAGE);
    k->base = at;
    k->stretch = heap_resize(NULL, (size_t)k->n * sizeof *k->stretch);
    cut(k, x);
    return k;
}

void keep_free(Keep *k) {
    if (!k) return;
    if (k->base) munmap(k->base, k->bytes);
    heap_free(k->stretch);
    heap_free(k);
}

static void take(void *cx, int64_t first, int64_t last) {
    const Keep *k = cx;
    for (int64_t i = first; i < last; i++)
        memcpy(k->stretch[i].kept, k->stretch[i].here, (size_t)k->stretch[i].bytes);
}

static void give_back(void *cx, int64_t first, int64_t last) {
    const Keep *k = cx;
    for (int64_t i = first; i < last; i++)
        memcpy(k->stretch[i].here, k->stretch[i].kept, (size_t)k->stretch[i].bytes);
}

void keep_take(Keep *k) {
    pool_run(k->pool, k->n, take, k);
}

void keep_back(Keep *k) {
    pool_run(k->pool, k->n, give_back, k);
}

/* ---- values that are no numbers */

/* An exponent of all ones. */
static bool finite_bits(const uint32_t *p, int64_t n) {
    uint32_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = p[i] & 0x7f800000u;
        worst = bits > worst ? bits : worst;
    }
    return worst != 0x7f800000u;
}

bool values_finite(DType t, const void *p, int64_t n) {
    const double *d = p;
    const uint16_t *h = p;
    bool ok = true;
    if (t == DT_f32) return finite_bits(p, n);
    for (int64_t i = 0; t == DT_f64 && i < n; i++) ok &= isfinite(d[i]) != 0;
    for (int64_t i = 0; t == DT_bf16 && i < n; i++) ok &= (h[i] & 0x7f80u) != 0x7f80u;
    return ok;
}

static bool stretch_spoilt(const Keep *k, const Stretch *s) {
    DType t = k->p->tensor[s->tensor].dtype;
    int64_t n = s->bytes / (int64_t)dtype_size(t);
    return !values_finite(t, s->here, n) && values_finite(t, s->kept, n);
}

static void look(void *cx, int64_t first, int64_t last) {
    Keep *k = cx;
    for (int64_t i = first; i < last; i++) {
        if (!stretch_spoilt(k, &k->stretch[i])) continue;
        int old = atomic_load(&k->spoilt), own = k->stretch[i].tensor;
        while ((old < 0 || own < old) && !atomic_compare_exchange_weak(&k->spoilt, &old, own)) {
        }
    }
}

int keep_spoilt(Keep *k) {
    atomic_store(&k->spoilt, -1);
    pool_run(k->pool, k->n, look, k);
    return atomic_load(&k->spoilt);
}
