/* The tokenizer `bytes`: ids 0 to 255 are the bytes themselves, then come four special ones. */
#include "runtime/data/kinds.h"
#include "runtime/data/words.h"

enum { BYTE_PAD = 256, BYTE_CLS, BYTE_SEP, BYTE_MASK, BYTE_SIZE };

static bool bytes_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n,
                       Err *e) {
    (void)text;
    if (n > 0)
        return err_set(e, "tokenizer %s: bytes has no vocabulary, but %zu bytes of one were given",
                       spec->name, n);
    if (spec->size > 0 && spec->size != BYTE_SIZE)
        return err_set(e, "tokenizer %s: bytes always has %d ids, not %lld", spec->name, BYTE_SIZE,
                       (long long)spec->size);
    t->ids = (TokenizerIds){BYTE_SIZE, BYTE_PAD, -1, BYTE_CLS, BYTE_SEP, BYTE_MASK, BYTE_SEP};
    return true;
}

static void bytes_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    (void)t;
    ids_reserve(out, n);
    for (size_t i = 0; i < n; i++) out->at[out->n++] = (unsigned char)text[i];
}

static const char *byte_mark(int32_t id) {
    static const char *const name[] = {"", "[CLS]", "[SEP]", "[MASK]"};
    return id >= BYTE_PAD && id < BYTE_SIZE ? name[id - BYTE_PAD] : "[?]";
}

void put_text(const char *bytes, size_t n, Buf *out) {
    for (size_t i = 0; i < n;) {
        int32_t c;
        size_t length = utf8_char(bytes, n, i, &c);
        if (length)
            buf_put(out, bytes + i, length);
        else
            buf_puts(out, "\xEF\xBF\xBD");
        i += length ? length : 1;
    }
}

static void bytes_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    (void)t;
    Buf run = {0};
    for (size_t i = 0; i <= n; i++) {
        if (i < n && ids[i] >= 0 && ids[i] < BYTE_PAD) {
            buf_put(&run, &(char){(char)ids[i]}, 1);
            continue;
        }
        put_text(run.data, run.n, out);
        run.n = 0;
        if (i < n) buf_puts(out, byte_mark(ids[i]));
    }
    buf_free(&run);
}

int32_t characters_begun(const char *bytes, size_t n) {
    int32_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

static int32_t bytes_characters(const Tokenizer *t, int32_t id) {
    (void)t;
    return characters_begun(&(char){(char)id}, 1);
}

const Kind bytes_kind = {.name = "bytes",
                         .load = bytes_load,
                         .encode = bytes_encode,
                         .decode = bytes_decode,
                         .characters = bytes_characters};
