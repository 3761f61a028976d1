/* Sampling with a temperature from the k likeliest tokens (top-k) of which those are kept that make
 * up p of the probability (top-p, Holtzman et al. 2020). Tokens come off a heap in order of their
 * logits, equal ones by number, so only as many are sorted as are asked for. Nothing is allocated
 * once it is made. */
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

/* The likeliest `k` at the end of s->id, the first of all last, with their weights; their sum. */
static double sort_likeliest(Sampler *s, const float *logits, int64_t k) {
    for (int64_t i = 0; i < s->n; i++) s->id[i] = (int32_t)i;
    for (int64_t i = s->n / 2; i-- > 0;) sift_down(s->id, s->n, i, logits);
    double most = logits[s->id[0]], sum = 0;
    for (int64_t i = s->n; i-- > s->n - k;) {
        pop(s->id, i + 1, logits);
        sum += s->weight[i] = exp((logits[s->id[i]] - most) / s->temperature);
    }
    return sum;
}

/* Walks tokens from the likeliest until their weights exceed `share` of the sum. */
static int64_t walk(const Sampler *s, int64_t k, double share, double *sum) {
    double reached = 0;
    int64_t i = s->n - 1;
    for (; i > s->n - k; i--) {
        reached += s->weight[i];
        if (reached > share) break;
    }
    if (sum) *sum = i > s->n - k ? reached : reached + s->weight[i];
    return i;
}

int32_t sampler_choose(Sampler *s, const float *logits, uint64_t number) {
    if (!all_finite(logits, s->n)) return -1;
    if (s->temperature == 0) return likeliest(logits, s->n);
    int64_t k = s->top_k > 0 && s->top_k < s->n ? s->top_k : s->n;
    double sum = sort_likeliest(s, logits, k);
    if (s->top_p < 1) k = s->n - walk(s, k, s->top_p * sum, &sum);
    return s->id[walk(s, k, random_uniform(s->key, number, 0) * sum, NULL)];
}
