/* Readers: a thread fills a small ring of batches ahead of whoever trains, which then only copies.
 * The thread takes no signals and ends with the reader; a record that it cannot read ends what it
 * prepares, and the sentence waits until the batch is asked for.
 *
 * Training batch b holds the records b % k of epoch b / k, where k is the number of whole batches
 * in an epoch. In the place of one that is broken, and told to be skipped, comes the next of the
 * epoch that is not, where every record has to give a row; else it is left out. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "runtime/data/internal.h"

typedef struct Batch {
    char *field[FIELDS]; /* of the pipeline, [batch, dim...] */
    int64_t live;
    bool failed; /* `why` */
    Err why;
} Batch;

struct Reader {
    Pipeline pipeline;
    int64_t batch, next; /* next: the number of the batch to prepare */
    bool train, every;
    int nfield;
    int field[FIELDS]; /* the program's field i is the pipeline's field[i] */
    Batch ring[BATCHES_AHEAD];
    int first, ready; /* batches from `first` on that wait to be read */
    bool stop, running;
    int64_t skipped; /* broken records, each once */
    Buf skips;       /* what is not told of them yet, a line each */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static size_t row_bytes(const Reader *r, int field) {
    return record_bytes(&r->pipeline.field[field]);
}

/* ---- batches */
static uint64_t epoch_batches(const Reader *r) {
    uint64_t n = pipeline_records(&r->pipeline), b = (uint64_t)r->batch;
    return r->train ? n / b : n / b + (n % b != 0);
}

/* The first few by name, then only how many they are. */
static void note_broken(Reader *r, const char *why) {
    enum { BY_NAME = 20 };
    pthread_mutex_lock(&r->lock);
    int64_t n = ++r->skipped, even = 1;
    while (even * 10 <= n) even *= 10;
    if (n <= BY_NAME)
        buf_printf(&r->skips, "skipped: %s\n", why);
    else if (n % even == 0)
        buf_printf(&r->skips, "skipped %lld broken records so far, the last: %s\n", (long long)n,
                   why);
    pthread_mutex_unlock(&r->lock);
}

static Got read_record(Reader *r, uint64_t epoch, uint64_t i, int64_t row, Batch *b) {
    void *out[FIELDS] = {0};
    for (int k = 0; k < r->pipeline.nfield; k++)
        out[k] = b->field[k] + row_bytes(r, k) * (size_t)row;
    Got got = pipeline_row(&r->pipeline, epoch, i, out, &b->why);
    if (got == GOT_broken) note_broken(r, b->why.msg);
    if (got == GOT_error) b->failed = true;
    return got;
}

/* Record `i` of the epoch, or the next one that is whole. */
static bool read_next_whole(Reader *r, uint64_t epoch, uint64_t i, int64_t row, Batch *b) {
    uint64_t n = pipeline_records(&r->pipeline);
    for (uint64_t tried = 0; tried < n; tried++) {
        Got got = read_record(r, epoch, (i + tried) % n, row, b);
        if (got == GOT_record || got == GOT_error) return got == GOT_record;
    }
    b->failed = true;
    return err_set(&b->why, "all %llu records of '%s' are broken", (unsigned long long)n,
                   pipeline_files(&r->pipeline));
}

static int64_t fill_rows(Reader *r, uint64_t epoch, uint64_t first, int64_t n, Batch *b) {
    int64_t live = 0;
    for (int64_t i = 0; i < n && !b->failed; i++) {
        uint64_t record = first + (uint64_t)i;
        if (r->every)
            live += read_next_whole(r, epoch, record, live, b);
        else
            live += read_record(r, epoch, record, live, b) == GOT_record;
    }
    return live;
}

static void clear_rest(const Reader *r, const Batch *b) {
    for (int k = 0; k < r->pipeline.nfield; k++) {
        size_t row = row_bytes(r, k), done = row * (size_t)b->live;
        memset(b->field[k] + done, 0, row * (size_t)r->batch - done);
    }
}

/* False: the pass of an eval is over. */
static bool fill_batch(Reader *r, uint64_t number, Batch *b) {
    uint64_t per = epoch_batches(r), epoch = r->train ? number / per : 0,
             in_epoch = number - epoch * per;
    b->live = 0;
    b->failed = false;
    if (in_epoch >= per) return false;
    uint64_t first = in_epoch * (uint64_t)r->batch, left = pipeline_records(&r->pipeline) - first;
    int64_t n = left < (uint64_t)r->batch ? (int64_t)left : r->batch;
    b->live = fill_rows(r, epoch, first, n, b);
    clear_rest(r, b);
    return true;
}

/* ---- the thread */
static void *prepare(void *cx) {
    Reader *r = cx;
    pthread_mutex_lock(&r->lock);
    for (bool over = false; !over;) {
        while (r->ready == BATCHES_AHEAD && !r->stop) pthread_cond_wait(&r->changed, &r->lock);
        if (r->stop) break;
        Batch *b = &r->ring[(r->first + r->ready) % BATCHES_AHEAD];
        int64_t number = r->next++;
        pthread_mutex_unlock(&r->lock);
        bool more = fill_batch(r, (uint64_t)number, b);
        while (more && !b->live && !b->failed) more = fill_batch(r, (uint64_t)r->next++, b);
        over = !more || b->failed;
        pthread_mutex_lock(&r->lock);
        r->ready++;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static bool start_thread(Reader *r, Err *e) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the new thread inherits it */
    int why = pthread_create(&r->thread, NULL, prepare, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    r->running = why == 0;
    return r->running || err_set(e, "cannot start a thread for the data: %s", strerror(why));
}

static void stop_thread(Reader *r) {
    if (!r->running) return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->running = r->stop = false;
}

/* ---- fields */
static void describe(Buf *b, const Field *f) {
    buf_printf(b, "%s: %s", f->name, dtype_name(f->dtype));
    for (int i = 0; i < f->rank && i < RANK; i++)
        buf_printf(b, "%s%lld", i ? "," : "[", (long long)f->dim[i]);
    if (f->rank > 0) buf_puts(b, "]");
}

static bool same_field(const Field *a, const Field *b) {
    return str_eq(a->name, b->name) && a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim);
}

static bool refuse_field(const Reader *r, const Field *want, Err *e) {
    Buf text = {0};
    buf_puts(&text, "the program was compiled for data with '");
    describe(&text, want);
    buf_puts(&text, "', but its pipeline yields ");
    for (int k = 0; k < r->pipeline.nfield; k++) {
        buf_puts(&text, k ? ", '" : "'");
        describe(&text, &r->pipeline.field[k]);
        buf_puts(&text, "'");
    }
    err_set(e, "%s; compile it again", text.data);
    buf_free(&text);
    return false;
}

static bool match_fields(Reader *r, const ReaderOptions *o, Err *e) {
    if (o->nfield < 0 || o->nfield > FIELDS)
        return err_set(e, "the program was compiled for data with %d fields; compile it again",
                       o->nfield);
    for (int i = 0; i < o->nfield; i++) {
        int k = 0;
        while (k < r->pipeline.nfield && !same_field(&o->field[i], &r->pipeline.field[k])) k++;
        if (k == r->pipeline.nfield) return refuse_field(r, &o->field[i], e);
        r->field[i] = k;
    }
    r->nfield = o->nfield;
    return true;
}

/* ---- opening */
static bool check_batch(const Reader *r, Err *e) {
    enum { BATCH_MAX = 1 << 24 };
    uint64_t n = pipeline_records(&r->pipeline);
    if (r->batch < 1 || r->batch > BATCH_MAX)
        return err_set(e, "a batch has 1 to %d records, not %lld", BATCH_MAX, (long long)r->batch);
    if (r->train && n < (uint64_t)r->batch)
        return err_set(e,
                       "the %s of '%s' gives %llu record%s, fewer than one batch of %lld; use a "
                       "smaller batch or more %s",
                       reader_what(r), reader_files(r), (unsigned long long)n, n == 1 ? "" : "s",
                       (long long)r->batch, reader_what(r));
    return true;
}

static bool open_parts(Reader *r, const ReaderOptions *o, Err *e) {
    PipelineOptions po = {o->spec, o->tokenizer, o->data, o->seed,
                          o->share ? &o->share->pipeline : NULL};
    if (!pipeline_open(&po, &r->pipeline, e)) return false;
    if (!match_fields(r, o, e) || !check_batch(r, e)) return false;
    for (int i = 0; i < BATCHES_AHEAD; i++)
        for (int k = 0; k < r->pipeline.nfield; k++)
            r->ring[i].field[k] = heap_resize(NULL, row_bytes(r, k) * (size_t)r->batch);
    return start_thread(r, e);
}

Reader *reader_open(const ReaderOptions *o, Err *e) {
    Reader *r = heap_resize(NULL, sizeof *r);
    *r = (Reader){.batch = o->batch,
                  .train = o->train,
                  .every = o->every || o->train,
                  .next = o->start > 0 ? o->start : 0};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    if (open_parts(r, o, e)) return r;
    reader_close(r);
    return NULL;
}

void reader_close(Reader *r) {
    if (!r) return;
    stop_thread(r);
    for (int i = 0; i < BATCHES_AHEAD; i++)
        for (int k = 0; k < FIELDS; k++) heap_free(r->ring[i].field[k]);
    if (r->pipeline.arena) pipeline_close(&r->pipeline);
    buf_free(&r->skips);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    heap_free(r);
}

bool reader_seek(Reader *r, int64_t start, Err *e) {
    stop_thread(r);
    r->next = start > 0 ? start : 0;
    r->first = r->ready = 0;
    return start_thread(r, e);
}

/* ---- what it reads */
const char *reader_files(const Reader *r) {
    return pipeline_files(&r->pipeline);
}

const char *reader_what(const Reader *r) {
    return pipeline_what(&r->pipeline);
}

uint64_t reader_text(const Reader *r) {
    return pipeline_hash(&r->pipeline);
}

uint64_t reader_stages(const Reader *r) {
    return r->pipeline.stages;
}

/* ---- reading */
int64_t reader_records(const Reader *r) {
    return (int64_t)pipeline_records(&r->pipeline);
}

static void copy_batch(const Reader *r, const Batch *b, char *const *field) {
    for (int i = 0; i < r->nfield; i++)
        memcpy(field[i], b->field[r->field[i]], row_bytes(r, r->field[i]) * (size_t)r->batch);
}

bool reader_next(Reader *r, char *const *field, int64_t *live, Err *e) {
    *live = 0;
    if (!r->running) return err_set(e, "the data's thread is not running");
    pthread_mutex_lock(&r->lock);
    while (!r->ready) pthread_cond_wait(&r->changed, &r->lock);
    const Batch *b = &r->ring[r->first];
    pthread_mutex_unlock(&r->lock);
    *live = b->live;
    if (b->failed) return *e = b->why, false; /* stays so */
    if (!b->live) return true;                /* and so does this */
    copy_batch(r, b, field);
    pthread_mutex_lock(&r->lock);
    r->first = (r->first + 1) % BATCHES_AHEAD;
    r->ready--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return true;
}

void reader_skips(Reader *r, Buf *out) {
    pthread_mutex_lock(&r->lock);
    if (r->skips.n) buf_put(out, r->skips.data, r->skips.n);
    r->skips.n = 0;
    pthread_mutex_unlock(&r->lock);
}
