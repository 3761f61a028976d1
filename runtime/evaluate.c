/* Evaluation: a pass over a set with the tensors as they are. Batches accumulate; the reports come
 * from the sums, once. Features that it reads are gathered before. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "runtime/run.h"

int64_t count_entries(const RtProgram *p, int kind) {
    int64_t n = 0;
    for (int i = 0; i < p->nentry; i++) n += p->entry[i].kind == kind;
    return n;
}

static int source_of(const Spec *s, int data) {
    while (s->data[data].input >= 0 && s->data[data].input < data) data = s->data[data].input;
    return data;
}

/* A reader of the same source, whose encoded text serves again. */
static const Reader *reader_to_share(const Run *r, int entry) {
    const Spec *s = &r->p->spec;
    for (int i = 0; i < r->p->nentry; i++)
        if (r->reader[i] && r->p->entry[i].data >= 0 &&
            source_of(s, r->p->entry[i].data) == source_of(s, r->p->entry[entry].data))
            return r->reader[i];
    return NULL;
}

Reader *run_reader(Run *r, int entry, int64_t start, Err *e) {
    const RtEntry *of = &r->p->entry[entry];
    ReaderOptions o = {.spec = &r->p->spec,
                       .tokenizer = r->tok,
                       .data = of->data,
                       .batch = of->batch,
                       .train = of->kind == RT_ENTRY_train,
                       .every = of->kind == RT_ENTRY_features,
                       .seed = r->at.seed,
                       .start = start,
                       .field = of->field,
                       .nfield = of->nfield,
                       .share = reader_to_share(r, entry)};
    pool_pin_caller(r->pool, false);
    bool sought = r->reader[entry] && reader_seek(r->reader[entry], start, e);
    if (r->reader[entry] && !sought)
        run_reader_close(r, entry);
    else if (!sought)
        r->reader[entry] = reader_open(&o, e);
    pool_pin_caller(r->pool, true);
    return r->reader[entry];
}

void run_reader_close(Run *r, int entry) {
    if (r->reader[entry]) reader_close(r->reader[entry]);
    r->reader[entry] = NULL;
}

bool run_batch(Run *r, int entry, int64_t *live, Err *e) {
    Buf skips = {0};
    bool ok = reader_next(r->reader[entry], exec_fields(r->x, &r->p->entry[entry]), live, e);
    reader_skips(r->reader[entry], &skips);
    if (skips.n && !r->o->quiet) {
        progress_clear(&r->progress);
        fputs(skips.data, stderr);
    }
    buf_free(&skips);
    return ok;
}

static void add_reports(Run *r, const RtEntry *entry, const RtPlan *plan, const char *prefix,
                        Report *out) {
    report_add(out, r->x, plan, r->tok, prefix);
    show_images(r, plan, arena_printf(out->arena, "%s.", entry->name));
}

/* The entry's next batch through its plan; live is 0 when there is none. */
static bool compute_batch(Run *r, int number, RtClock *clock, Err *e) {
    if (!run_batch(r, number, &clock->live, e)) return false;
    clock->stepf = (float)clock->step;
    return clock->live == 0 || exec_plan(r->x, r->p->entry[number].step, clock, e);
}

/* ---- features */

static bool check_records(const Run *r, int number, Err *e) {
    const RtEntry *entry = &r->p->entry[number];
    int64_t records = reader_records(r->reader[number]);
    return records == entry->steps ||
           err_set(e,
                   "'%s' was compiled for the %" PRId64 " records that '%s' had, and gets %" PRId64
                   "; compile it again",
                   entry->name, entry->steps, reader_files(r->reader[number]), records);
}

static bool gather(Run *r, int number, Err *e) {
    RtClock clock = {.seed = r->at.seed};
    if (!run_reader(r, number, 0, e) || !check_records(r, number, e)) return false;
    exec_reset(r->x, &r->p->entry[number]);
    do {
        if (!compute_batch(r, number, &clock, e)) return false;
        clock.step++;
    } while (clock.live);
    return true;
}

static bool gather_all(Run *r, Err *e) {
    for (int i = 0; i < r->p->nentry; i++)
        if (r->p->entry[i].kind == RT_ENTRY_features && !gather(r, i, e)) return false;
    return true;
}

/* ---- eval */

static bool run_batches(Run *r, int number, const char *prefix, Report *out, RtClock *clock,
                        Err *e) {
    const RtEntry *entry = &r->p->entry[number];
    for (;; clock->step++) {
        if (!compute_batch(r, number, clock, e)) return false;
        if (clock->live == 0) break;
        if (clock->step == 0) /* texts and pictures: of the first batch */
            add_reports(r, entry, entry->step, prefix, out);
    }
    return clock->step || err_set(e, "'%s' has no records to evaluate on", entry->name);
}

static bool evaluate_entry(Run *r, int number, const char *prefix, Report *out, Err *e) {
    const RtEntry *entry = &r->p->entry[number];
    if (!run_reader(r, number, 0, e)) return false;
    RtClock clock = {.seed = r->at.seed};
    exec_reset(r->x, entry);
    if (entry->ahead && !exec_plan(r->x, entry->ahead, &clock, e)) return false;
    bool ok = run_batches(r, number, prefix, out, &clock, e);
    if (!ok || !entry->logged) return ok;
    if (!exec_plan(r->x, entry->logged, &clock, e)) return false;
    add_reports(r, entry, entry->logged, prefix, out);
    return true;
}

bool evaluate_all(Run *r, bool named, Report *out, Err *e) {
    bool several = count_entries(r->p, RT_ENTRY_eval) > 1;
    if (!gather_all(r, e)) return false;
    for (int i = 0; i < r->p->nentry; i++) {
        const RtEntry *entry = &r->p->entry[i];
        if (entry->kind != RT_ENTRY_eval) continue;
        const char *prefix = named || several ? arena_printf(out->arena, "%s.", entry->name) : "";
        if (!evaluate_entry(r, i, prefix, out, e)) return false;
    }
    return true;
}

/* ---- uptc eval */

static void print_plain(FILE *f, const Report *out) {
    int width = (int)strlen("step");
    for (size_t i = 0; i < out->value.n; i++)
        if ((int)strlen(out->value.at[i].name) > width) width = (int)strlen(out->value.at[i].name);
    fprintf(f, "%-*s  %" PRId64 "\n", width, "step", out->step);
    for (size_t i = 0; i < out->value.n; i++)
        fprintf(f, out->value.at[i].integer ? "%-*s  %.0f\n" : "%-*s  %.6g\n", width,
                out->value.at[i].name, out->value.at[i].value);
    if (out->text.n) fputc('\n', f);
    texts_print(f, out, INT_MAX);
}

static void print_report(const RunOptions *o, const Report *out) {
    FILE *f = o->out ? o->out : stdout;
    Buf b = {0};
    if (o->json) {
        report_json(out, &b);
        fwrite(b.data, 1, b.n, f);
    } else {
        print_plain(f, out);
    }
    fflush(f);
    buf_free(&b);
}

static bool evaluate_trained(Run *r, Err *e) {
    Report *out = report_new(r->at.step);
    bool ok = evaluate_all(r, false, out, e);
    if (ok) print_report(r->o, out);
    report_free(out);
    return ok;
}

int run_eval(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o, const char *checkpoint,
             Err *e) {
    if (!count_entries(p, RT_ENTRY_eval)) {
        err_set(e, "'%s' has no eval entry: add one, eval on DATA { report ... }", p->name);
        return 1;
    }
    Run r;
    bool ok = trained_open(&r, p, tok, o, checkpoint, e) && evaluate_trained(&r, e);
    trained_close(&r);
    return ok ? 0 : 1;
}
