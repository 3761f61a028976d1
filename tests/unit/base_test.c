/* base: arenas, text, maps, files, names, random numbers against published values, permutations. */
#include "base/base.h"
#include "base/spec.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_arena(void) {
    Arena *a = arena_new();
    for (size_t size = 0; size < 3000; size = size * 2 + 1) {
        unsigned char *p = arena_alloc(a, size);
        EXPECT((uintptr_t)p % 16 == 0, "%zu bytes lie at %p", size, (void *)p);
        size_t zero = 0;
        while (zero < size && p[zero] == 0) zero++;
        EXPECT(zero == size, "byte %zu of %zu is not zero", zero, size);
        if (size) memset(p, 0xAB, size);
    }
    char *big = arena_array(a, 1000, 5000);
    memset(big, 1, 5000000);
    EXPECT(str_eq(arena_printf(a, "%d-%s", 7, "x"), "7-x"), "printf");
    EXPECT(str_eq(arena_strndup(a, "hello", 2), "he"), "strndup");
    VEC(int) v = {0};
    for (int i = 0; i < 1000; i++) vec_push(a, &v, i * i);
    EXPECT(v.n == 1000 && v.at[999] == 998001 && v.at[0] == 0, "vec");
    arena_free(a);
}

static void test_text(void) {
    Buf b = {0};
    buf_puts(&b, "");
    EXPECT(b.data && b.data[0] == 0, "an empty Buf that was written to ends with a zero");
    for (int i = 0; i < 100; i++) buf_printf(&b, "%d,", i);
    EXPECT(b.n == strlen(b.data) && b.n == 290, "%zu bytes", b.n);
    buf_put(&b, "a\0b", 3);
    EXPECT(b.n == 293 && b.data[293] == 0, "bytes with a zero");
    buf_free(&b);
    EXPECT(!b.data && !b.n, "free leaves an empty Buf");
}

static void test_map(void) {
    Arena *a = arena_new();
    Map m;
    map_init(&m, a);
    EXPECT(!map_get(&m, "k0") && !map_has(&m, ""), "an empty map");
    static int value[2000];
    char key[16];
    for (int i = 0; i < 2000; i++) snprintf(key, sizeof key, "k%d", i), map_set(&m, key, &value[i]);
    map_set(&m, "k7", &value[8]);
    map_set(&m, "null", NULL);
    EXPECT(m.n == 2001 && str_eq(m.at[1234].key, "k1234"), "order of insertion");
    EXPECT(map_get(&m, "k7") == &value[8] && map_get(&m, "k1999") == &value[1999], "values");
    EXPECT(map_has(&m, "null") && !map_get(&m, "null") && !map_has(&m, "k2000"), "presence");
    arena_free(a);
}

static void test_names(void) {
    const char *names[] = {"embedding", "transpose", "mean", "ids", "x"};
    EXPECT(str_eq(nearest_name("transpsoe", names, 5), "transpose"), "a swap is one edit");
    EXPECT(str_eq(nearest_name("embeding", names, 5), "embedding"), "a missing letter");
    EXPECT(str_eq(nearest_name("idz", names, 5), "ids"), "one of three");
    EXPECT(str_eq(nearest_name("IDS", names, 5), "ids"), "capitals do not count");
    EXPECT(!nearest_name("y", names, 5) && !nearest_name("meow", names, 4), "too far");
    EXPECT(!nearest_name("mean", names, 5), "itself is no correction");
    Arena *a = arena_new();
    EXPECT(str_eq(name_list(a, names, 0, "and"), "") &&
               str_eq(name_list(a, names, 1, "and"), names[0]),
           "short lists");
    EXPECT(str_eq(name_list(a, (const char *[]){"x", "y", "z"}, 3, "or"), "x, y or z"), "three");
    arena_free(a);
    EXPECT(hash_mix(1, 2) != hash_mix(2, 1), "order matters");
    DType t;
    EXPECT(dtype_from_name("bf16", &t) && t == DT_bf16 && dtype_size(t) == 2 && dtype_is_float(t),
           "bf16");
    EXPECT(!dtype_from_name("f16", &t), "f16 is not a dtype");
}

static void test_files(void) {
    char folder[] = "/tmp/upt-base-XXXXXX", path[64];
    EXPECT(mkdtemp(folder), "no folder");
    snprintf(path, sizeof path, "%s/f", folder);
    Arena *a = arena_new();
    Err e = {0};
    char *text;
    size_t n;
    EXPECT(!file_read(a, path, &text, &n, &e) && strstr(e.msg, path), "message: %s", e.msg);
    EXPECT(!file_read(a, folder, &text, &n, &e) && strstr(e.msg, "irectory"), "message: %s", e.msg);
    EXPECT(!file_read(a, "/dev/zero", &text, &n, &e) && strstr(e.msg, "too large"), "message: %s",
           e.msg);
    EXPECT(file_write_atomic(path, "one", 3, &e) && file_write_atomic(path, "t\0wo", 4, &e), "%s",
           e.msg);
    EXPECT(file_read(a, path, &text, &n, &e) && n == 4 && !memcmp(text, "t\0wo", 5), "%zu bytes",
           n);
    char deep[96];
    snprintf(deep, sizeof deep, "%s/no/f", folder);
    EXPECT(!file_write_atomic(deep, "x", 1, &e) && strstr(e.msg, deep), "message: %s", e.msg);
    EXPECT(unlink(path) == 0 && rmdir(folder) == 0, "a file was left aside in %s", folder);
    arena_free(a);
}

/* The known answers that Random123 publishes for philox4x32-10. */
static void test_philox(void) {
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        Philox c;
        memcpy(c.v, known[i].counter, sizeof c.v);
        c = philox4x32(c, known[i].key[0], known[i].key[1]);
        for (int w = 0; w < 4; w++)
            EXPECT(c.v[w] == known[i].answer[w], "vector %zu word %d is %08x", i, w, c.v[w]);
    }
}

static void test_random(void) {
    uint64_t key = random_key(1, 2);
    unsigned word;
    Philox block = random_block(key, 9, 64 + 16 * 3 + 5, &word);
    Philox direct = philox4x32((Philox){{16 + 5, 0, 9, 0}}, (uint32_t)key, (uint32_t)(key >> 32));
    EXPECT(word == 3 && !memcmp(&block, &direct, sizeof block), "lanes of sixteen share a word");
    enum { N = 200000 };
    double sum = 0, square = 0, uniform = 0, fourth = 0;
    uint32_t largest = 0;
    for (uint64_t i = 0; i < N; i++) {
        double z = random_normal(key, 3, i), u = random_uniform(key, 3, i);
        EXPECT(u >= 0 && u < 1, "uniform %g", u);
        uint32_t below = random_below(key, 3, i, 7);
        largest = below > largest ? below : largest;
        sum += z, square += z * z, fourth += z * z * z * z, uniform += u;
    }
    EXPECT(fabs(sum / N) < 0.01 && fabs(square / N - 1) < 0.02, "normal %g %g", sum / N,
           square / N);
    EXPECT(fabs(fourth / N - 3) < 0.1, "kurtosis %g", fourth / N);
    EXPECT(fabs(uniform / N - 0.5) < 0.005 && largest == 6, "uniform %g, largest %u", uniform / N,
           largest);
    EXPECT(random_bits(key, 3, 0) != random_bits(key, 4, 0), "steps differ");
}

static void test_permutation(void) {
    static bool seen[5000];
    for (uint64_t n = 1; n <= 5000; n = n * 3 / 2 + 1) {
        memset(seen, 0, sizeof seen);
        uint64_t fixed = 0, distinct = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t j = permute_index(42, n, i);
            EXPECT(j < n, "%llu of %llu", (unsigned long long)j, (unsigned long long)n);
            distinct += !seen[j];
            seen[j] = true;
            fixed += i == j;
        }
        EXPECT(distinct == n, "%llu of %llu are distinct", (unsigned long long)distinct,
               (unsigned long long)n);
        EXPECT(n < 100 || fixed < n / 10, "%llu fixed points", (unsigned long long)fixed);
    }
    EXPECT(permute_index(1, UINT64_MAX, 5) < UINT64_MAX, "the largest domain");
}

int main(void) {
    test_arena();
    test_text();
    test_map();
    test_names();
    test_files();
    test_philox();
    test_random();
    test_permutation();
    return check_done("base");
}
