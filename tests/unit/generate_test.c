/* A token at a time through the caches gives the logits of the whole text at once. */
#include <stdlib.h>

#include "tests/unit/program.h"

enum { LENGTH = 12, VOCABULARY = 260 };

static const char source[] = "import \"decoder.upm\" as base\n"
                             "const seq = 12\n"
                             "tokenizer tok = bytes()\n"
                             "gpt = base.Gpt(tok.size, 16, 2, 2, seq)\n"
                             "sample 1 { return logits = gpt((iota(seq) * 37 % 256)[None, :]) }\n"
                             "generate(tok) { return gpt.next(token, at) }\n";

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

static void test_caches(void) {
    Model m;
    Native n = {0};
    if (model_open(&m, "models/test.upm", source, NULL, 0, NULL)) {
        model_start(&m, 0.3);
        if (native_open(&n, &m, model_fused(&m), 2)) {
            native_set(&n);
            compare(&n);
        }
        native_close(&n);
    }
    model_close(&m);
}

int main(void) {
    test_caches();
    return check_done("generate");
}
