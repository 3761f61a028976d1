/* Sampling with a temperature from the k likeliest tokens (top-k) of which those are kept that make
 * up p of the probability (top-p, Holtzman et al. 2020). Tokens come off a heap in order of their
 * logits, equal ones by number, so only as many are sorted as are asked for, and none where all of
 * them may be chosen. Nothing is allocated once it is made. */
#include "runtime/sampler.h"

#include <math.h>

void sampler_init(Sampler *s, Arena *a, int64_t n) {
    s->n = n;
    s->id = NEW_N(a, int32_t, n);
    s->weight = NEW_N(a, double, n);
}

static bool all_finite(const float *logits, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(logits[i])) return false;
    return true;
}

static int32_t likeliest(const float *logits, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static bool before(const float *logits, int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sift_down(int32_t *heap, int64_t n, int64_t i, const float *logits) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(logits, heap[child + 1], heap[child])) child++;
        if (before(logits, heap[i], heap[child])) return;
        int32_t t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}

/* The first of the heap moves behind it. */
static void pop(int32_t *heap, int64_t n, const float *logits) {
    int32_t first = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = first;
    sift_down(heap, n - 1, 0, logits);
}

/* Weights by token; their sum. */
static double weigh(Sampler *s, const float *logits) {
    double most = logits[likeliest(logits, s->n)], sum = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += s->weight[i] = exp((logits[i] - most) / s->temperature);
    return sum;
}

/* The likeliest tokens at the end of s->id, the first of all last: at most `k`, and no more than
 * have a weight above `enough` together. How many they are; `sum`: what they weigh. */
static int64_t sort_likeliest(Sampler *s, const float *logits, int64_t k, double enough,
                              double *sum) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) s->id[i] = (int32_t)i;
    for (int64_t i = s->n / 2; i-- > 0;) sift_down(s->id, s->n, i, logits);
    for (*sum = 0; n < k && !(*sum > enough); n++) {
        pop(s->id, s->n - n, logits);
        *sum += s->weight[s->id[s->n - n - 1]];
    }
    return n;
}

/* Of the n likeliest in order, how many it takes for more than `share` together. */
static int64_t walk(const Sampler *s, int64_t n, double share, double *sum) {
    int64_t i = 0;
    for (*sum = 0; i < n && !(*sum > share); i++) *sum += s->weight[s->id[s->n - i - 1]];
    return i;
}

/* The token at `share` of the weights of all, by number. */
static int32_t find(const Sampler *s, double share) {
    int64_t i = 0;
    for (double sum = s->weight[0]; !(sum > share) && i + 1 < s->n; sum += s->weight[++i]) {
    }
    return (int32_t)i;
}

int32_t sampler_choose(Sampler *s, const float *logits, uint64_t number) {
    if (!all_finite(logits, s->n)) return -1;
    if (s->temperature == 0) return likeliest(logits, s->n);
    double draw = random_uniform(s->key, number, 0), sum = weigh(s, logits);
    bool cut = s->top_k > 0 && s->top_k < s->n;
    if (!cut && s->top_p >= 1) return find(s, draw * sum);
    double enough = cut ? INFINITY : s->top_p * sum;
    int64_t n = sort_likeliest(s, logits, cut ? s->top_k : s->n, enough, &sum);
    if (cut && s->top_p < 1) n = walk(s, n, s->top_p * sum, &sum);
    return s->id[s->n - walk(s, n, draw * sum, &sum)];
}
