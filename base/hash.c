/* Hashes: XXH3 for bytes, whose values are fixed by its specification, so they may be stored. */
#include "base/base.h"

#include <string.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(p, n, seed);
}

uint64_t hash_str(const char *s, uint64_t seed) {
    return XXH3_64bits_withSeed(s, strlen(s), seed);
}

/* The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64 bits. */
static uint64_t scramble(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t hash_mix(uint64_t a, uint64_t b) {
    return scramble(scramble(a) + b);
}
