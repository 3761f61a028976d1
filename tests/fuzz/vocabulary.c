/* A vocabulary of any kind: read, printed back the same, and used both ways on every piece. */
#include <string.h>

#include "runtime/data/data.h"
#include "tests/fuzz/fuzz.h"

static void use(const Tokenizer *t, const uint8_t *data, size_t n) {
    TokenizerIds special = tokenizer_ids(t);
    VEC(int32_t) all = {0};
    Arena *a = arena_new();
    for (int32_t id = -1; id <= special.size; id++) vec_push(a, &all, id);
    Buf text = {0};
    tokenizer_decode(t, all.at, all.n, &text);
    Ids ids = {0};
    tokenizer_encode(t, text.data ? text.data : "", text.n, &ids);
    tokenizer_encode(t, (const char *)data, n, &ids);
    for (size_t i = 0; i < ids.n; i++) CHECK(ids.at[i] >= 0 && ids.at[i] < special.size);
    ids_free(&ids);
    buf_free(&text);
    arena_free(a);
}

static bool feed_kind(const char *kind, const uint8_t *data, size_t n) {
    const TokenizerSpec spec = {
        .name = "tok", .kind = kind, .path = "vocab.txt", .merges = "merges.txt", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, data, n, &e);
    bool ok = t;
    CHECK(ok == !e.msg[0]);
    if (ok) {
        Buf b = {0};
        tokenizer_bytes(t, &b);
        CHECK(b.n >= n && !memcmp(b.data, data, n));
        buf_free(&b);
        use(t, data, n);
        tokenizer_free(t);
    }
    return ok;
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    bool words = feed_kind("wordpiece", data, n), bytes = feed_kind("bpe", data, n),
         characters = feed_kind("characters", data, n);
    return words || bytes || characters;
}
