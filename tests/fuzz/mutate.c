/* Mutations that keep a text nearly well formed, beside libFuzzer's own of bytes: a word or a line
 * of it moves, is repeated, dropped or taken from another input, or becomes a number at the end of
 * some type. Without these nearly every input ends in the parser. */
#include <ctype.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b, size_t nb,
                                 uint8_t *out, size_t most, unsigned seed);

typedef struct Dice {
    uint64_t seed, thrown;
} Dice;
typedef struct Text {
    const char *at;
    size_t n;
} Text;
typedef struct Piece {
    size_t from, to;
} Piece;

static size_t below(Dice *d, size_t n) {
    return n ? random_below(d->seed, 0, d->thrown++, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n) : 0;
}

static bool is_wordy(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* The word, or the single other byte, around a random place. */
static Piece pick_word(Dice *d, Text t) {
    size_t i = below(d, t.n);
    Piece p = {i, i + (i < t.n)};
    if (i < t.n && !is_wordy(t.at[i])) return p;
    while (p.from > 0 && is_wordy(t.at[p.from - 1])) p.from--;
    while (p.to < t.n && is_wordy(t.at[p.to])) p.to++;
    return p;
}

/* One to four lines. */
static Piece pick_lines(Dice *d, Text t) {
    Piece p = {below(d, t.n + 1), 0};
    while (p.from > 0 && t.at[p.from - 1] != '\n') p.from--;
    p.to = p.from;
    for (size_t more = 1 + below(d, 4); more && p.to < t.n; more--) {
        while (p.to < t.n && t.at[p.to] != '\n') p.to++;
        p.to += p.to < t.n;
    }
    return p;
}

static Text cut(Text t, Piece p) {
    return (Text){t.at + p.from, p.to - p.from};
}

static Text number(Dice *d) {
    static const char *const ends[] = {"0",
                                       "1",
                                       "-1",
                                       "2",
                                       "7",
                                       "8",
                                       "9",
                                       "16",
                                       "255",
                                       "65536",
                                       "2147483647",
                                       "2147483648",
                                       "-2147483648",
                                       "4294967296",
                                       "1099511627776",
                                       "9007199254740993",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "18446744073709551615",
                                       "1e308",
                                       "1e-320",
                                       "0.5",
                                       "0x1p-1074",
                                       "inf",
                                       "-inf",
                                       "nan"};
    const char *s = ends[below(d, sizeof ends / sizeof *ends)];
    return (Text){s, strlen(s)};
}

/* `out` becomes t with `instead` in the place of p; t as it is where that is too long. */
static size_t splice(uint8_t *out, size_t most, Text t, Piece p, Text instead) {
    size_t n = t.n - (p.to - p.from) + instead.n;
    if (n > most) {
        memcpy(out, t.at, t.n);
        return t.n;
    }
    memcpy(out, t.at, p.from);
    memcpy(out + p.from, instead.at, instead.n);
    memcpy(out + p.from + instead.n, t.at + p.to, t.n - p.to);
    return n;
}

static size_t mutate(Dice *d, Text t, Text other, uint8_t *out, size_t most) {
    Piece word = pick_word(d, t), lines = pick_lines(d, t), here = {lines.from, lines.from};
    switch (below(d, 8)) {
    case 0: return splice(out, most, t, word, number(d));
    case 1: return splice(out, most, t, word, (Text){"", 0});
    case 2: return splice(out, most, t, lines, (Text){"", 0});
    case 3: return splice(out, most, t, here, cut(other, pick_lines(d, other)));
    case 4: return splice(out, most, t, lines, cut(other, pick_lines(d, other)));
    case 5: word.to = word.from; return splice(out, most, t, word, cut(other, pick_word(d, other)));
    default: return splice(out, most, t, word, cut(other, pick_word(d, other)));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed) {
    Dice d = {seed, 0};
    if (!n || n > most || below(&d, 3) == 0) return LLVMFuzzerMutate(data, n, most);
    char *copy = heap_resize(NULL, n);
    memcpy(copy, data, n);
    Text t = {copy, n};
    n = mutate(&d, t, t, data, most);
    heap_free(copy);
    return n;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b, size_t nb,
                                 uint8_t *out, size_t most, unsigned seed) {
    Dice d = {seed, 0};
    if (na > most || !nb) return 0;
    return mutate(&d, (Text){(const char *)a, na}, (Text){(const char *)b, nb}, out, most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    fuzz_feed(data, n);
    return 0;
}
