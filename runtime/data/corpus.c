/* A corpus: every line of a source encoded once, when it is opened, by as many threads as there are
 * cores; the result does not depend on their number. Ids take two bytes where the vocabulary
 * allows. Lines and documents without a single id are left out. */
#include "runtime/data/internal.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { CHUNK = 1 << 20, WORKERS = 16 };

typedef struct Work { /* one chunk: a thread turns its lines into ids */
    const Tokenizer *tokenizer;
    Chunk chunk;
    Ids ids;
    size_t *end; /* by line, in ids */
    size_t cap;
} Work;

static void *encode_chunk(void *cx) {
    Work *w = cx;
    w->ids.n = 0;
    if (w->cap < w->chunk.n) w->end = heap_resize(w->end, (w->cap = w->chunk.n) * sizeof *w->end);
    for (size_t i = 0; i < w->chunk.n; i++) {
        Line line = w->chunk.line[i];
        tokenizer_encode(w->tokenizer, w->chunk.text.data + line.start, line.end - line.start,
                         &w->ids);
        w->end[i] = w->ids.n;
    }
    return NULL;
}

static void work_free(Work *w) {
    chunk_free(&w->chunk);
    ids_free(&w->ids);
    heap_free(w->end);
}

static bool put_ids(Corpus *c, const int32_t *ids, size_t n, Err *e) {
    c->nids += n;
    if (c->wide) return store_put(&c->ids, ids, n * sizeof *ids, e);
    uint16_t narrow[512];
    for (size_t done = 0; done < n;) {
        size_t part = n - done < 512 ? n - done : 512;
        for (size_t i = 0; i < part; i++) narrow[i] = (uint16_t)ids[done + i];
        if (!store_put(&c->ids, narrow, part * sizeof *narrow, e)) return false;
        done += part;
    }
    return true;
}

/* The end of the document so far, if it has any sentence. */
static bool end_document(Corpus *c, uint64_t *ended, Err *e) {
    if (c->nsentence == *ended) return true;
    *ended = c->nsentence;
    c->ndocument++;
    c->hash = hash_mix(c->hash, c->ndocument);
    return store_put(&c->document, &c->nsentence, sizeof c->nsentence, e);
}

static bool append(Corpus *c, const Work *w, uint64_t *ended, Err *e) {
    size_t at = 0;
    for (size_t i = 0; i < w->chunk.n; i++) {
        if (w->chunk.line[i].starts_document && !end_document(c, ended, e)) return false;
        size_t n = w->end[i] - at;
        if (n) {
            if (!put_ids(c, w->ids.at + at, n, e) ||
                !store_put(&c->sentence, &c->nids, sizeof c->nids, e))
                return false;
            c->nsentence++;
            c->hash = hash_bytes(w->ids.at + at, n * sizeof *w->ids.at, c->hash);
        }
        at = w->end[i];
    }
    return true;
}

static int worker_count(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return n < 1 ? 1 : n > WORKERS ? WORKERS : n;
}

/* Reads a chunk for each worker, encodes them side by side, appends them in order. */
static bool encode_all(Corpus *c, Source *s, Work *work, int workers, Err *e) {
    uint64_t ended = 0;
    for (bool more = true; more;) {
        int n = 0;
        while (n < workers && more) {
            if (!source_read(s, CHUNK, &work[n].chunk, e)) return false;
            if ((more = work[n].chunk.n > 0)) n++;
        }
        pthread_t thread[WORKERS];
        bool started[WORKERS] = {false};
        for (int i = 1; i < n; i++)
            started[i] = pthread_create(&thread[i], NULL, encode_chunk, &work[i]) == 0;
        for (int i = 0; i < n; i++)
            if (!started[i]) encode_chunk(&work[i]);
        for (int i = 1; i < n; i++)
            if (started[i]) pthread_join(thread[i], NULL);
        for (int i = 0; i < n; i++)
            if (!append(c, &work[i], &ended, e)) return false;
    }
    if (!end_document(c, &ended, e)) return false;
    if (!c->ndocument)
        return err_set(e, "the text of '%s' has no words: its tokenizer gives no ids for any line",
                       c->pattern);
    return store_finish(&c->ids, e) && store_finish(&c->sentence, e) &&
           store_finish(&c->document, e);
}

Corpus *corpus_open(const char *pattern, Unit unit, const Tokenizer *t, Err *e) {
    Arena *a = arena_new();
    Corpus *c = NEW(a, Corpus);
    c->arena = a;
    c->users = 1;
    c->pattern = arena_strdup(a, pattern);
    c->unit = unit;
    c->tokenizer = t;
    c->wide = tokenizer_ids(t).size > UINT16_MAX + 1;
    c->ids = c->sentence = c->document = store_new(STORE_BUDGET);
    int workers = worker_count();
    Work *work = NEW_N(a, Work, workers);
    for (int i = 0; i < workers; i++) work[i].tokenizer = t;
    Source *s = source_open(pattern, unit, tokenizer_wants_utf8(t), e);
    bool ok = s && encode_all(c, s, work, workers, e);
    source_close(s);
    for (int i = 0; i < workers; i++) work_free(&work[i]);
    if (ok) return c;
    corpus_close(c);
    return NULL;
}

Corpus *corpus_share(Corpus *c) {
    atomic_fetch_add(&c->users, 1);
    return c;
}

void corpus_close(Corpus *c) {
    if (!c || atomic_fetch_sub(&c->users, 1) > 1) return;
    store_free(&c->ids);
    store_free(&c->sentence);
    store_free(&c->document);
    arena_free(c->arena);
}

/* ---- looking up */
static Stretch between(const Store *ends, uint64_t first, uint64_t n) {
    const uint64_t *end = (const void *)ends->at;
    uint64_t start = first ? end[first - 1] : 0;
    return (Stretch){start, end[first + n - 1] - start};
}

Stretch corpus_sentences(const Corpus *c, uint64_t document) {
    return between(&c->document, document, 1);
}

Stretch corpus_ids(const Corpus *c, Stretch sentences) {
    return between(&c->sentence, sentences.first, sentences.n);
}

void corpus_copy(const Corpus *c, Stretch ids, int32_t *out) {
    if (c->wide) {
        memcpy(out, (const int32_t *)(const void *)c->ids.at + ids.first, ids.n * sizeof *out);
        return;
    }
    const uint16_t *from = (const uint16_t *)(const void *)c->ids.at + ids.first;
    for (uint64_t i = 0; i < ids.n; i++) out[i] = from[i];
}
