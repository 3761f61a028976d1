/* A token at a time through the caches gives the logits of the whole text at once, to the bit the
 * same in whichever row of a batch, and allocates nothing. */
#include <malloc.h>
#include <stdlib.h>

#include "runtime/report/stream.h"
#include "runtime/sampler.h"
#include "tests/unit/program.h"

enum { LENGTH = 12, VOCABULARY = 260, TEXTS = 3 };

static const char source[] = "import \"decoder.upm\" as base\n"
                             "const seq = 12\n"
                             "tokenizer tok = bytes()\n"
                             "gpt = base.Gpt(tok.size, 16, 2, 2, seq)\n"
                             "sample 1 { return logits = gpt((iota(seq) * 37 % 256)[None, :]) }\n"
                             "const texts = 1\n"
                             "generate(tok) batch texts { return gpt.next(token, at) }\n";

static int32_t *input(const Native *n, const char *name) {
    for (int i = 0; i < n->code->ntensor; i++)
        if (str_eq(n->code->tensor[i].name, name)) return (int32_t *)(void *)exec_tensor(n->x, i);
    EXPECT(false, "no tensor '%s'", name);
    return NULL;
}

static void expect_close(const float *got, const float *want, int64_t at) {
    float apart = 0, most = 0;
    for (int64_t i = 0; i < VOCABULARY; i++) {
        apart = fmaxf(apart, fabsf(got[i] - want[i]));
        most = fmaxf(most, fabsf(want[i]));
    }
    EXPECT(most > 0.1f, "position %lld: all logits are near zero", (long long)at);
    EXPECT(apart <= 1e-5f, "position %lld: logits are %g apart", (long long)at, (double)apart);
}

static void compare(Native *n) {
    const RtEntry *whole = &n->code->entry[0], *step = &n->code->entry[1];
    int32_t *token = input(n, GENERATE_TOKEN), *at = input(n, GENERATE_AT);
    EXPECT(step->steps == LENGTH, "%lld positions", (long long)step->steps);
    if (!token || !at || !native_run(n, 0, whole->step)) return;
    const float *all = exec_output(n->x, whole->step, 0);
    float *want = malloc(sizeof *want * LENGTH * VOCABULARY);
    memcpy(want, all, sizeof *want * LENGTH * VOCABULARY);
    exec_reset(n->x, step);
    for (int32_t i = 0; i < LENGTH; i++) {
        *token = i * 37 % 256;
        *at = i;
        if (!native_run(n, 1, step->step)) break;
        expect_close(exec_output(n->x, step->step, 0), want + (size_t)i * VOCABULARY, i);
    }
    free(want);
}

static void test_model(const char *texts, void (*test)(Native *n)) {
    Model m;
    Native n = {0};
    const Define count = {"texts", texts};
    if (model_open(&m, "models/test.upm", source, &count, 1, NULL)) {
        model_start(&m, 0.3);
        if (native_open(&n, &m, model_fused(&m), 2)) {
            native_set(&n);
            test(&n);
        }
        native_close(&n);
    }
    model_close(&m);
}

/* ---- side by side: the text of one row is computed in each of them, beside others */
static int32_t text(int64_t row, int64_t i) {
    return (int32_t)((i * 37 + row * 101) % 256);
}

/* The logits after each token of text 0 in `row`. */
static void logits_of_row(Native *n, int64_t row, float *to) {
    const RtEntry *step = &n->code->entry[1];
    int32_t *token = input(n, GENERATE_TOKEN), *at = input(n, GENERATE_AT);
    exec_reset(n->x, step);
    for (int32_t i = 0; i < LENGTH; i++) {
        for (int64_t k = 0; k < TEXTS; k++) token[k] = text((k + TEXTS - row) % TEXTS, i);
        *at = i;
        if (!native_run(n, 1, step->step)) break;
        const float *all = exec_output(n->x, step->step, 0);
        memcpy(to + i * VOCABULARY, all + row * VOCABULARY, VOCABULARY * sizeof *to);
    }
}

static void same_in_each_row(Native *n) {
    size_t size = (size_t)LENGTH * VOCABULARY;
    float *first = malloc(size * sizeof *first), *other = malloc(size * sizeof *other);
    logits_of_row(n, 0, first);
    for (int64_t row = 1; row < TEXTS; row++) {
        logits_of_row(n, row, other);
        EXPECT(!memcmp(first, other, size * sizeof *first), "row %lld has other logits",
               (long long)row);
    }
    free(first);
    free(other);
}

/* ---- memory */
/* Chooses and shows a token at a time, as uptc generate does. */
static void go_on(Native *n, Sampler *s, Stream *out, int32_t *ids, int32_t from, int32_t to) {
    const RtEntry *step = &n->code->entry[1];
    for (int32_t i = from; i < to; i++) {
        *input(n, GENERATE_TOKEN) = ids[i];
        *input(n, GENERATE_AT) = i;
        if (!native_run(n, 1, step->step)) break;
        ids[i + 1] = sampler_choose(s, exec_output(n->x, step->step, 0), (uint64_t)i);
        stream_show(out, ids, (size_t)i + 2, false);
    }
}

static void allocates_nothing(Native *n) {
    Arena *a = arena_new();
    Sampler s = {.temperature = 1, .top_p = 0.9, .top_k = 50};
    Stream out;
    int32_t ids[LENGTH + 1] = {'a'};
    const TokenizerSpec spec = {.name = "tok", .kind = "bytes", .path = "", .from = ""};
    Tokenizer *t = tokenizer_open(&spec, NULL, &(Err){0});
    FILE *nowhere = fopen("/dev/null", "w");
    sampler_init(&s, a, VOCABULARY);
    stream_init(&out, t, nowhere);
    exec_reset(n->x, &n->code->entry[1]);
    go_on(n, &s, &out, ids, 0, 3);
    struct mallinfo2 before = mallinfo2();
    go_on(n, &s, &out, ids, 3, LENGTH);
    struct mallinfo2 after = mallinfo2();
    EXPECT(before.uordblks == after.uordblks && before.hblkhd == after.hblkhd, "tokens allocate");
    stream_free(&out);
    fclose(nowhere);
    tokenizer_free(t);
    arena_free(a);
}

int main(void) {
    test_model("1", compare);
    test_model("3", same_in_each_row);
    test_model("1", allocates_nothing);
    return check_done("generate");
}
