/* uptc generate: a text goes on, a token at a time. Each token is written to the tensor that the
 * step of the entry sees, the caches keep what it needs of those before, and the logits that come
 * out choose the next. Once all positions are taken, the text goes on from its last half, computed
 * again from position 0. A step allocates nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/words.h"
#include "runtime/report/stream.h"
#include "runtime/run.h"
#include "runtime/sampler.h"

typedef struct Generator {
    Run *run;
    const GenerateOptions *o;
    const RtEntry *entry;
    const RtPlan *plan;
    const Tokenizer *tokenizer;
    int32_t *token, *at; /* NULL: the program does not look at it */
    const float *logits;
    Sampler sampler;
    int64_t positions; /* 0: any number */
    int32_t *ids;      /* the text so far, n of them */
    int64_t n, first;  /* first: the one at position 0 */
    int64_t fed;       /* those that the caches hold, from the first on */
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
    sampler_init(&g->sampler, g->run->arena, o->count);
    g->sampler.temperature = g->o->temperature;
    g->sampler.top_k = g->o->top_k;
    g->sampler.top_p = g->o->top_p;
    int64_t size = tokenizer_ids(g->tokenizer).size;
    return size == o->count || err_set(e, "the program gives %lld logits for a vocabulary of %lld",
                                       (long long)o->count, (long long)size);
}

/* ---- tokens */
static void restart(Generator *g, int64_t first) {
    exec_reset(g->run->x, g->entry);
    g->first = g->fed = first;
}

static bool feed(Generator *g, Err *e) {
    int64_t at = g->fed - g->first;
    RtClock clock = {.seed = g->run->at.seed, .step = (uint64_t)at, .stepf = (float)at, .live = 1};
    if (g->token) *g->token = g->ids[g->fed];
    if (g->at) *g->at = (int32_t)at;
    g->fed++;
    return exec_plan(g->run->x, g->plan, &clock, e);
}

/* The caches hold the whole text, or what of it there are positions for. */
static bool feed_all(Generator *g, Err *e) {
    if (g->positions && g->n - g->first > g->positions) restart(g, g->n - (g->positions + 1) / 2);
    while (g->fed < g->n)
        if (!feed(g, e)) return false;
    return true;
}

static bool next_token(Generator *g, Err *e) {
    if (!feed_all(g, e)) return false;
    int32_t id = sampler_choose(&g->sampler, g->logits, (uint64_t)g->n);
    if (id < 0)
        return err_set(e,
                       "the logits after %lld tokens are not all finite: the checkpoint holds "
                       "a model that went wrong",
                       (long long)g->n);
    g->ids[g->n++] = id;
    g->made++;
    return true;
}

/* ---- texts */
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

static bool encode_prompt(Generator *g, const char *prompt, Ids *ids, Err *e) {
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

static bool cannot_write(Err *e) {
    return err_set(e, "cannot write the text: %s", strerror(errno));
}

static bool make_text(Generator *g, const char *prompt, Stream *s, Err *e) {
    bool begins = *prompt != 0; /* what stands for a missing prompt is not shown */
    if (!begins) s->shown = s->from = (size_t)g->n;
    double start = clock_seconds();
    for (int64_t i = 0; i < g->o->tokens; i++) {
        if (!stream_show(s, g->ids, (size_t)g->n, false)) return cannot_write(e);
        if (!next_token(g, e)) return false;
    }
    g->seconds += clock_seconds() - start;
    if (!stream_show(s, g->ids, (size_t)g->n, true)) return cannot_write(e);
    return fputc('\n', s->out) != EOF || cannot_write(e);
}

static bool generate_text(Generator *g, size_t number, FILE *out, Err *e) {
    const char *prompt = g->o->prompt[number];
    Ids ids = {0};
    Stream s;
    bool ok = encode_prompt(g, prompt, &ids, e);
    g->n = (int64_t)ids.n;
    g->ids = heap_resize(ids.at, (ids.n + (size_t)g->o->tokens) * sizeof *g->ids);
    g->sampler.key = random_key(g->run->at.seed, hash_mix(hash_str("generate", 0), number));
    restart(g, 0);
    stream_init(&s, g->tokenizer, out);
    ok = ok && make_text(g, prompt, &s, e);
    stream_free(&s);
    heap_free(g->ids);
    return ok;
}

static void tell_rate(const Generator *g) {
    if (isatty(STDERR_FILENO) && g->seconds > 0)
        fprintf(stderr, "%lld tokens, %.1f tokens/s\n", (long long)g->made,
                (double)g->made / g->seconds);
}

static bool generate_all(Generator *g, Err *e) {
    if (!generator_init(g, e)) return false;
    FILE *out = g->run->o->out ? g->run->o->out : stdout;
    for (size_t i = 0; i < g->o->nprompt; i++)
        if (!generate_text(g, i, out, e)) return false;
    tell_rate(g);
    return true;
}

int run_generate(const RtProgram *p, Tokenizer *const *tok, const RunOptions *o,
                 const GenerateOptions *g, Err *e) {
    Run run;
    const RtEntry *entry = entry_of_kind(p, RT_ENTRY_generate);
    CHECK(entry && entry->step->nout == 1);
    bool ok = trained_open(&run, p, tok, o, g->checkpoint, e);
    Generator gen = {.run = &run, .o = g, .entry = entry, .plan = entry->step};
    ok = ok && generate_all(&gen, e);
    trained_close(&run);
    return ok ? 0 : 1;
}
