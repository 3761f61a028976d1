/* uptc generate: texts go on, a token at a time, as many of them side by side as the entry has a
 * batch. They all stand at one position: a text that is still within its prompt is given its next
 * token, the others get the one that their logits choose. The caches keep what the entry needs of
 * the tokens before; once all positions are taken, the texts go on from their last half, computed
 * again from position 0. What a text becomes depends on its prompt and the seed, not on those
 * beside it. A step allocates nothing. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/words.h"
#include "runtime/report/stream.h"
#include "runtime/run.h"
#include "runtime/sampler.h"
#include "runtime/stop.h"

typedef struct Text {
    const char *prompt;
    int32_t *ids;     /* of the prompt, then what follows */
    int64_t n, given; /* how many there are; of the prompt */
    uint64_t key;
    Stream stream;
} Text;
typedef struct Generator {
    Run *run;
    const GenerateOptions *o;
    const RtEntry *entry;
    const RtPlan *plan;
    const Tokenizer *tokenizer;
    int32_t *token, *at; /* NULL: the program does not look at it */
    const float *logits;
    Sampler sampler;
    FILE *out;
    Text *text; /* side by side: `rows` of them */
    int64_t rows;
    int64_t shown;     /* whole texts that have been written */
    int64_t positions; /* 0: any number */
    int64_t fed;       /* tokens of each text that the caches hold, from the first on */
    int64_t first;     /* the one at position 0 */
    int64_t made;      /* in all, and in how many seconds */
    double seconds;
} Generator;

static int32_t *input(const Generator *g, const char *name) {
    const RtProgram *p = g->run->p;
    for (int i = 0; i < p->ntensor; i++)
        if (p->tensor[i].kind == RT_TENSOR_cache && str_eq(p->tensor[i].name, name))
            return (int32_t *)(void *)exec_tensor(g->run->x, i);
    return NULL;
}

static bool generator_init(Generator *g, Err *e) {
    const RtOutput *o = &g->plan->out[0];
    g->tokenizer = g->run->tok[o->index];
    g->token = input(g, GENERATE_TOKEN);
    g->at = input(g, GENERATE_AT);
    g->logits = exec_output(g->run->x, g->plan, 0);
    g->positions = g->entry->steps;
    g->out = g->run->o->out ? g->run->o->out : stdout;
    int64_t size = tokenizer_ids(g->tokenizer).size;
    if (o->count != size * g->entry->batch)
        return err_set(e, "the program gives %lld logits for a vocabulary of %lld",
                       (long long)(o->count / g->entry->batch), (long long)size);
    sampler_init(&g->sampler, g->run->arena, size);
    g->sampler.temperature = g->o->temperature;
    g->sampler.top_k = g->o->top_k;
    g->sampler.top_p = g->o->top_p;
    return true;
}

/* ---- tokens */
static bool is_done(const Generator *g, const Text *t) {
    return t->n == t->given + g->o->tokens;
}

static bool all_done(const Generator *g) {
    for (int64_t i = 0; i < g->rows; i++)
        if (!is_done(g, &g->text[i])) return false;
    return true;
}

static void restart(Generator *g, int64_t first) {
    exec_reset(g->run->x, g->entry);
    g->first = g->fed = first;
}

/* The next token of each text; of one that has ended, and in rows without a text, any. */
static bool feed(Generator *g, Err *e) {
    int64_t at = g->fed - g->first;
    RtClock clock = {
        .seed = g->run->at.seed, .step = (uint64_t)at, .stepf = (float)at, .live = g->rows};
    for (int64_t i = 0; g->token && i < g->entry->batch; i++) {
        const Text *t = i < g->rows ? &g->text[i] : NULL;
        g->token[i] = t && g->fed < t->n ? t->ids[g->fed] : 0;
    }
    if (g->at) *g->at = (int32_t)at;
    g->fed++;
    return exec_plan(g->run->x, g->plan, &clock, e);
}

/* With no position left the last half is computed again from position 0. */
static bool make_room(Generator *g, Err *e) {
    int64_t end = g->fed;
    if (!g->positions || end - g->first < g->positions) return true;
    restart(g, end + 1 - (g->positions + 1) / 2);
    while (g->fed < end)
        if (!feed(g, e)) return false;
    return true;
}

static bool choose(Generator *g, int64_t row, Err *e) {
    Text *t = &g->text[row];
    if (t->n != g->fed || is_done(g, t)) return true;
    g->sampler.key = t->key;
    int32_t id = sampler_choose(&g->sampler, g->logits + row * g->sampler.n, (uint64_t)t->n);
    if (id < 0)
        return err_set(e,
                       "the logits after %lld tokens are not all finite: the checkpoint holds "
                       "a model that went wrong",
                       (long long)t->n);
    t->ids[t->n++] = id;
    g->made++;
    return true;
}

static bool next_tokens(Generator *g, Err *e) {
    if (!make_room(g, e) || !feed(g, e)) return false;
    for (int64_t i = 0; i < g->rows; i++)
        if (!choose(g, i, e)) return false;
    return true;
}

/* ---- what is written */
static void stream_begin(const Generator *g, Stream *s, const Text *t, FILE *out) {
    stream_init(s, g->tokenizer, out);
    if (!*t->prompt) s->shown = s->from = (size_t)t->given; /* what stands for none is not shown */
}

static bool put_text(const Generator *g, Text *t, bool last) {
    return stream_show(&t->stream, t->ids, (size_t)t->n, last) &&
           (!last || putc('\n', g->out) >= 0);
}

static bool put_json(const Generator *g, const Text *t) {
    char *text = NULL;
    size_t n = 0;
    Stream s;
    FILE *whole = open_memstream(&text, &n);
    if (!whole) return false;
    stream_begin(g, &s, t, whole);
    bool ok = stream_show(&s, t->ids, (size_t)t->n, true);
    ok = fclose(whole) == 0 && ok;
    stream_free(&s);
    json_t *line = json_pack("{s:s, s:s%}", "prompt", t->prompt, "text", text, n);
    ok = ok && line && json_dumpf(line, g->out, JSON_COMPACT) == 0 && putc('\n', g->out) >= 0;
    json_decref(line);
    free(text);
    return ok && fflush(g->out) == 0;
}

/* Texts in their order: of the first that has not ended what there is of it, unless whole lines are
 * wanted. `last`: nothing more comes. */
static bool show(Generator *g, bool last, Err *e) {
    for (; g->shown < g->rows; g->shown++) {
        Text *t = &g->text[g->shown];
        bool ends = last || is_done(g, t);
        if (!(g->o->json ? !ends || put_json(g, t) : put_text(g, t, ends)))
            return err_set(e, "cannot write the text: %s", strerror(errno));
        if (!ends) break;
    }
    return true;
}

/* ---- prompts */
/* What a text begins with where nothing is given: a line's end if the vocabulary of whole
 * characters has it, else what stands between documents. */
static void encode_nothing(const Generator *g, Ids *ids) {
    TokenizerIds special = tokenizer_ids(g->tokenizer);
    tokenizer_encode(g->tokenizer, "\n", 1, ids);
    bool line = ids->n && (special.end < 0 || (special.unk >= 0 && ids->at[0] != special.unk));
    if (line) return;
    ids->n = 0;
    ids_push(ids, special.end < 0 ? 0 : (int32_t)special.end);
}

static bool encode_prompt(const Generator *g, const char *prompt, Ids *ids, Err *e) {
    size_t n = strlen(prompt), bad = utf8_valid(prompt, n);
    if (bad < n)
        return err_set(e, "byte %zu of the prompt is 0x%02X, which is not UTF-8", bad + 1,
                       (unsigned char)prompt[bad]);
    tokenizer_encode(g->tokenizer, prompt, n, ids);
    if (!ids->n) encode_nothing(g, ids);
    if (!g->positions || ids->n <= (size_t)g->positions) return true;
    return err_set(e,
                   "the prompt has %zu tokens, and '%s' takes at most %lld: its context is as long "
                   "as that; shorten the prompt",
                   ids->n, g->run->p->name, (long long)g->positions);
}

/* A prompt of a file is a line of it. */
static bool text_init(const Generator *g, size_t number, Text *t, Err *e) {
    Ids ids = {0};
    Err why = {0};
    t->prompt = g->o->prompt[number];
    bool ok = encode_prompt(g, t->prompt, &ids, &why);
    t->ids = ids.at;
    t->n = t->given = (int64_t)ids.n;
    if (ok) return true;
    if (!g->o->file) return *e = why, false;
    return err_set(e, "%s:%zu: %.900s", g->o->file, number + 1, why.msg);
}

/* The same prompt gives the same text wherever it stands; where it stands again, another. */
static void seed_texts(const Generator *g, Text *t) {
    uint64_t place = hash_str("generate", 0);
    Map seen;
    map_init(&seen, g->run->arena);
    for (size_t i = 0; i < g->o->nprompt; i++) {
        uintptr_t before = (uintptr_t)map_get(&seen, t[i].prompt);
        map_set(&seen, t[i].prompt, (void *)(before + 1)); /* NOLINT: a number */
        t[i].key = random_key(g->run->at.seed, hash_mix(place, before));
    }
}

/* ---- all of it */
/* Whatever stops it, the text so far is shown. */
static bool go_on(Generator *g, Err *e) {
    Err why = {0};
    restart(g, 0);
    g->shown = 0;
    double start = clock_seconds();
    bool ok = show(g, false, &why);
    bool writes = ok;
    while (ok && writes && !all_done(g) && !stop_asked())
        if ((ok = next_tokens(g, &why))) writes = show(g, false, &why);
    g->seconds += clock_seconds() - start;
    if (writes) writes = show(g, true, ok ? &why : &(Err){0});
    if (!ok || !writes) *e = why;
    return ok && writes;
}

static bool next_batch(Generator *g, Text *t, int64_t left, Err *e) {
    g->text = t;
    g->rows = left < g->entry->batch ? left : g->entry->batch;
    for (int64_t i = 0; i < g->rows; i++) {
        t[i].ids = heap_resize(t[i].ids, (size_t)(t[i].given + g->o->tokens) * sizeof *t[i].ids);
        stream_begin(g, &t[i].stream, &t[i], g->out);
    }
    bool ok = go_on(g, e);
    for (int64_t i = 0; i < g->rows; i++) stream_free(&t[i].stream);
    return ok;
}

static void tell_rate(const Generator *g) {
    if (isatty(STDERR_FILENO) && g->seconds > 0)
        fprintf(stderr, "%lld tokens, %.1f tokens/s\n", (long long)g->made,
                (double)g->made / g->seconds);
}

/* All prompts are looked at before the first goes on. */
static bool generate_all(Generator *g, Err *e) {
    if (!generator_init(g, e)) return false;
    int64_t n = (int64_t)g->o->nprompt;
    Text *t = NEW_N(g->run->arena, Text, n);
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i++) ok = text_init(g, (size_t)i, &t[i], e);
    if (ok) seed_texts(g, t);
    for (int64_t i = 0; ok && i < n && !stop_asked(); i += g->entry->batch)
        ok = next_batch(g, t + i, n - i, e);
    if (ok) tell_rate(g);
    for (int64_t i = 0; i < n; i++) heap_free(t[i].ids);
    return ok;
}

int run_generate(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                 const GenerateOptions *g, Err *e) {
    Run run;
    Stops stops;
    const RtEntry *entry = entry_of_kind(p, RT_ENTRY_generate);
    CHECK(entry && entry->step->nout == 1);
    bool ok = trained_open(&run, p, tok, o, g->checkpoint, e);
    Generator gen = {.run = &run, .o = g, .entry = entry, .plan = entry->step};
    stops_take(&stops);
    ok = ok && generate_all(&gen, e);
    bool stopped = ok && stop_asked();
    stops_give_back(&stops);
    trained_close(&run);
    return stopped ? EXIT_STOPPED : !ok;
}
