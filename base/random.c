/* Random numbers that are counted: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), the
 * distributions over it, and keyed permutations. Compiled kernels compute the same functions; the
 * definitions in base/base.h bind both. */
#include "base/base.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586476925286766559;

Philox philox4x32(Philox c, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * c.v[0], b = UINT64_C(0xCD9E8D57) * c.v[2];
        c = (Philox){{(uint32_t)(b >> 32) ^ c.v[1] ^ key0, (uint32_t)b,
                      (uint32_t)(a >> 32) ^ c.v[3] ^ key1, (uint32_t)a}};
        key0 += UINT32_C(0x9E3779B9);
        key1 += UINT32_C(0xBB67AE85);
    }
    return c;
}

uint64_t random_key(uint64_t seed, uint64_t place) {
    return hash_mix(seed, place);
}

Philox random_block(uint64_t key, uint64_t step, uint64_t index, unsigned *word) {
    uint64_t block = (index >> 6) << 4 | (index & 15);
    *word = (unsigned)(index >> 4 & 3);
    Philox counter = {
        {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)step, (uint32_t)(step >> 32)}};
    return philox4x32(counter, (uint32_t)key, (uint32_t)(key >> 32));
}

uint32_t random_bits(uint64_t key, uint64_t step, uint64_t index) {
    unsigned word;
    Philox block = random_block(key, step, index, &word);
    return block.v[word];
}

float random_uniform(uint64_t key, uint64_t step, uint64_t index) {
    return (float)(random_bits(key, step, index) >> 8) * 0x1p-24f;
}

double random_normal(uint64_t key, uint64_t step, uint64_t index) {
    unsigned word;
    Philox block = random_block(key, step, index, &word);
    double u = (double)((block.v[word & 2] >> 8) + 1) * 0x1p-24; /* (0, 1] */
    double t = TWO_PI * (double)(block.v[word | 1] >> 8) * 0x1p-24;
    return sqrt(-2 * log(u)) * (word & 1 ? sin(t) : cos(t));
}

uint32_t random_below(uint64_t key, uint64_t step, uint64_t index, uint32_t n) {
    return (uint32_t)((uint64_t)random_bits(key, step, index) * n >> 32);
}

static uint64_t feistel(uint64_t key, unsigned half, uint64_t x) {
    uint64_t mask = (UINT64_C(1) << half) - 1, left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < 4; round++) {
        uint64_t next = left ^ (hash_mix(key + round, right) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

uint64_t permute_index(uint64_t key, uint64_t n, uint64_t i) {
    CHECK(i < n);
    unsigned half = 1; /* the domain has 2 * half bits, less than four times n: a short walk */
    while (half < 32 && (n - 1) >> (2 * half)) half++;
    do i = feistel(key, half, i);
    while (i >= n);
    return i;
}

uint64_t random_permuted(uint64_t key, uint64_t step, uint64_t n, uint64_t i) {
    return permute_index(hash_mix(key, step), n, i);
}
