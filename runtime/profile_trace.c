/* A profile as a trace of Chrome's format (an array of complete events, in microseconds), which
 * ui.perfetto.dev and chrome://tracing show: one row a thread, the main thread's with what it does
 * besides. The file is written aside and renamed. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/profile.h"

/* A string as JSON, quotes and all. */
static const char *quoted(Arena *a, const char *s) {
    json_t *j = json_string(s);
    char *text = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
    const char *out = text ? arena_strdup(a, text) : "\"?\"";
    free(text);
    json_decref(j);
    return out;
}

/* All that an event of this step says but when and where it ran: the same each time. */
static const char *step_text(Arena *a, const ProfileCx *cx, const RtStep *s) {
    static const char *const phase[RT_PHASES] = {"other", "forward", "backward", "update"};
    Span at = s->nline ? s->line[0].at : s->span;
    if (cx->sources) at = diag_users_line(cx->sources, at);
    const char *path = cx->sources ? diag_path(cx->sources, at.file) : NULL;
    const char *place = path ? arena_printf(a, "%s:%u", path, at.line) : "";
    return arena_printf(a,
                        "\"name\":%s,\"cat\":\"%s\",\"args\":{\"at\":%s,\"operations\":%.0f,"
                        "\"bytes\":%.0f}",
                        quoted(a, s->name ? s->name : "step"), phase[s->phase], quoted(a, place),
                        s->operations, s->bytes);
}

typedef struct Texts { /* of the steps of a plan, made when first used */
    const RtPlan *plan;
    const char **at;
} Texts;

typedef struct Trace {
    Arena *arena;
    const Profile *p;
    const ProfileCx *cx;
    Texts *texts; /* as Profile.tally */
    Buf out;
} Trace;

static const char *event_text(Trace *t, const Event *e) {
    if (!e->plan)
        return arena_printf(t->arena, "\"name\":\"%s\",\"cat\":\"run\"", doing_names[e->number]);
    Texts *x = t->texts;
    while (x->plan != e->plan) x++;
    if (!x->at[e->number]) x->at[e->number] = step_text(t->arena, t->cx, &e->plan->step[e->number]);
    return x->at[e->number];
}

static void put_thread(Trace *t, int thread) {
    const char *name = thread ? arena_printf(t->arena, "worker %d", thread) : "main";
    buf_printf(
        &t->out,
        "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":%d,\"args\":{\"name\":\"%s\"}}",
        thread, name);
}

static void put_event(Trace *t, const Event *e) {
    buf_printf(&t->out, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,%s}",
               e->thread, 1e6 * (e->start - t->p->origin), 1e6 * (e->end - e->start),
               event_text(t, e));
}

bool profile_trace(const Profile *p, const ProfileCx *cx, const char *path, Err *e) {
    Trace t = {.arena = arena_new(), .p = p, .cx = cx};
    t.texts = NEW_N(t.arena, Texts, p->ntally + 1);
    for (int i = 0; i < p->ntally; i++)
        t.texts[i] =
            (Texts){p->tally[i].plan, NEW_N(t.arena, const char *, p->tally[i].plan->nstep + 1)};
    buf_puts(&t.out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    for (int i = 0; i < pool_threads(p->pool); i++) {
        if (i) buf_puts(&t.out, ",\n");
        put_thread(&t, i);
    }
    for (size_t i = 0; i < p->nevent; i++) put_event(&t, &p->event[i]);
    buf_puts(&t.out, "\n]}\n");
    bool ok = file_write_atomic(path, t.out.data, t.out.n, e);
    buf_free(&t.out);
    arena_free(t.arena);
    return ok;
}
