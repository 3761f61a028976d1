/* The next token from its logits. */
#ifndef UPT_SAMPLER_H
#define UPT_SAMPLER_H

#include "base/base.h"

typedef struct Sampler {
    double temperature, top_p; /* temperature 0: the likeliest; top_p 1: all */
    int64_t top_k;             /* 0: all */
    uint64_t key;              /* of its random numbers */
    int64_t n;                 /* size of the vocabulary */
    int32_t *id;               /* scratch: tokens as a heap, then those in question */
    double *weight;            /* by token */
} Sampler;
void sampler_init(Sampler *s, Arena *a, int64_t n);
/* The token number `number` of a text: a function of the logits, the key and the number alone.
 * -1: a logit is not a finite number. */
int32_t sampler_choose(Sampler *s, const float *logits, uint64_t number);

#endif
