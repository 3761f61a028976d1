/* What the steps of a run are made of, and whether that is still so when it goes on.
 *
 * A run that goes on continues bit for bit only if its program and its text are those it began
 * with. Who edits a program knows it and often wants just that (a lower rate, more steps), so the
 * run goes on and says once what changed. Text that changed under the same program is most likely
 * an accident, and makes the position in it meaningless: what was read may come again, what was
 * held out may be trained on. That is refused. Reports and evaluations change no step and are not
 * compared. */
#include <inttypes.h>

#include "runtime/run.h"

static EntryMark mark_now(const Run *r, int i) {
    return (EntryMark){.steps = r->total[i],
                       .graph = r->p->entry[i].graph,
                       .stages = reader_stages(r->reader[i]),
                       .text = reader_text(r->reader[i])};
}

static bool differs(uint64_t was, uint64_t is) {
    return was && was != is; /* 0: not known */
}

static bool refuse_text(const Run *r, int i, Err *e) {
    return err_set(e,
                   "the %s of '%.200s' is not the one that '%s' of the run in '%.200s' was trained "
                   "on for %" PRId64
                   " steps; put it back as it was, or train on this one in another "
                   "folder with --dir (load PARTS from \"%.200s\" takes over what was learnt)",
                   reader_what(r->reader[i]), reader_files(r->reader[i]), r->p->entry[i].name,
                   r->dir.path, r->at.entry[i], r->dir.last);
}

static void list(Buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void list(Buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (b->n) buf_puts(b, ", ");
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

static void compare(const RtEntry *entry, const EntryMark *was, const EntryMark *is, Buf *changed) {
    if (differs(was->graph, is->graph))
        list(changed, "what '%s' computes (model, loss, optimiser, rates or batch)", entry->name);
    if (differs(was->stages, is->stages)) list(changed, "the data of '%s'", entry->name);
    if (differs((uint64_t)was->steps, (uint64_t)is->steps))
        list(changed, "the steps of '%s' (%" PRId64 ", before %" PRId64 ")", entry->name, is->steps,
             was->steps);
}

bool mark_entries(Run *r, Buf *changed, Err *e) {
    Order was_order = r->at.order;
    r->at.order = r->p->spec.run.alternate ? ORDER_turns : ORDER_follow;
    if (count_entries(r->p, RT_ENTRY_train) > 1 && differs(was_order, r->at.order))
        list(changed, "the order of the entries");
    for (int i = 0; i < r->p->nentry; i++) {
        const RtEntry *entry = &r->p->entry[i];
        if (entry->kind != RT_ENTRY_train) continue;
        EntryMark was = r->at.mark[i], is = mark_now(r, i);
        bool over = was.steps && r->at.entry[i] >= is.steps;
        if (over) continue; /* on record stays what it was trained with */
        if (r->at.entry[i] && differs(was.text, is.text)) return refuse_text(r, i, e);
        compare(entry, &was, &is, changed);
        r->at.mark[i] = is;
    }
    return true;
}
