/* Choosing a token: how often each comes up against its probability, what top-k and top-p leave,
 * the likeliest at temperature 0, and the edges. */
#include <math.h>
#include <string.h>

#include "runtime/sampler.h"
#include "tests/unit/check.h"

enum { TOKENS = 7, DRAWS = 20000 };
static const float logits[TOKENS] = {0.5F, 2, -1, 2, 1, -30, 0};

/* What is left of each token's probability, with the k likeliest and then those that make up p. */
static void expect_shares(Sampler *s, const double *want, const char *what) {
    int64_t count[TOKENS] = {0};
    double sum = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t id = sampler_choose(s, logits, i);
        EXPECT(id >= 0 && id < TOKENS, "%s: token %d", what, id);
        if (id >= 0 && id < TOKENS) count[id]++;
    }
    for (int i = 0; i < TOKENS; i++) sum += want[i];
    for (int i = 0; i < TOKENS; i++) {
        double share = want[i] / sum, got = (double)count[i] / DRAWS;
        double bound = 4.5 * sqrt(share * (1 - share) / DRAWS) + 1e-9;
        EXPECT(fabs(got - share) <= bound, "%s: token %d has %g of the draws, not %g", what, i, got,
               share);
    }
}

static void weights(double temperature, double *to) {
    for (int i = 0; i < TOKENS; i++) to[i] = exp(logits[i] / temperature);
}

static void test_shares(Sampler *s) {
    double all[TOKENS], w[TOKENS] = {0};
    *s = (Sampler){
        .temperature = 1, .top_p = 1, .n = s->n, .id = s->id, .weight = s->weight, .key = 5};
    weights(1, all);
    expect_shares(s, all, "all");
    s->top_k = TOKENS + 5;
    expect_shares(s, all, "more than there are");
    s->top_k = 3; /* both of 2, and 1 */
    w[1] = all[1], w[3] = all[3], w[4] = all[4];
    expect_shares(s, w, "top 3");
    s->top_p = 0.5; /* of those three: the two of 2 are 0.42 each */
    w[4] = 0;
    expect_shares(s, w, "top 3, then half of it");
    s->top_k = 0;
    s->top_p = 0.69; /* of all: 0.34, 0.69 - and the third is needed where that falls short */
    double sum = 0;
    for (int i = 0; i < TOKENS; i++) sum += all[i];
    w[4] = (all[1] + all[3]) / sum > 0.69 ? 0 : all[4];
    expect_shares(s, w, "top 0.69");
    s->top_p = 1e-9;
    w[3] = w[4] = 0;
    expect_shares(s, w, "the likeliest, of equals the first");
    s->top_p = 1;
    s->temperature = 0.5;
    weights(0.5, all);
    expect_shares(s, all, "colder");
    s->temperature = 1e300;
    for (int i = 0; i < TOKENS; i++) all[i] = 1;
    expect_shares(s, all, "as hot as can be");
    s->temperature = 1e-300;
    memset(w, 0, sizeof w);
    w[1] = w[3] = 1;
    expect_shares(s, w, "as cold as can be");
}

static void test_edges(Sampler *s) {
    float bad[TOKENS];
    s->temperature = 0;
    EXPECT(sampler_choose(s, logits, 1) == 1, "the first of the likeliest");
    for (int i = 0; i < 3; i++) {
        memcpy(bad, logits, sizeof bad);
        bad[i] = i == 0 ? NAN : i == 1 ? INFINITY : -INFINITY;
        EXPECT(sampler_choose(s, bad, 1) == -1, "a logit that is not finite");
    }
    s->temperature = 1;
    uint64_t before = s->key;
    int32_t first[64], differ = 0;
    for (uint64_t i = 0; i < 64; i++) first[i] = sampler_choose(s, logits, i);
    s->key = before + 1;
    for (uint64_t i = 0; i < 64; i++) differ += first[i] != sampler_choose(s, logits, i);
    EXPECT(differ > 0, "another key, the same tokens");
    s->key = before;
    for (uint64_t i = 64; i-- > 0;)
        EXPECT(first[i] == sampler_choose(s, logits, i), "token %d depends on those before",
               (int)i);
}

int main(void) {
    Arena *a = arena_new();
    Sampler s;
    sampler_init(&s, a, TOKENS);
    test_shares(&s);
    test_edges(&s);
    arena_free(a);
    return check_done("sampler");
}
