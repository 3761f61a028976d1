/* Texts. The first byte says what for, so that seeds can be read: '!' to learn a vocabulary from,
 * any other to be encoded and made into rows, its bits saying how; the rest is the file. */
#include <string.h>

#include "runtime/data/internal.h"
#include "runtime/data/wordpiece.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##a\n##b\n##c\n##\n.\n"
    "abc\nthe\nof\n##s\n\xC3\xA4\n\xCF\x83\n##\xCF\x82\n";
enum { ROWS = 64, SEQ_LEAST = 5 };

static Tokenizer *open_tokenizer(bool bytes) {
    TokenizerSpec spec = {
        .name = "tok", .kind = bytes ? "bytes" : "wordpiece", .path = "", .from = ""};
    Err e = {0};
    size_t n = bytes ? 0 : sizeof vocabulary - 1;
    Tokenizer *t = tokenizer_from_bytes(&spec, vocabulary, n, &e);
    CHECK(t);
    return t;
}

static void look(const Pipeline *p, int64_t size) {
    void *out[FIELDS] = {0};
    Err e = {0};
    for (int k = 0; k < p->nfield; k++) out[k] = heap_resize(NULL, record_bytes(&p->field[k]));
    uint64_t n = pipeline_records(p);
    for (uint64_t i = 0; i < n && i < ROWS; i++) {
        CHECK(pipeline_row(p, i % 3, i % 2 ? n - 1 - i : i, out, &e) == GOT_record);
        const int32_t *ids = out[0];
        for (int64_t k = 0; k < p->seq; k++) CHECK(ids[k] >= 0 && ids[k] < size);
    }
    for (int k = 0; k < p->nfield; k++) heap_free(out[k]);
}

/* source | encode(tok) | split | rows(seq) | shuffle, as the bits of `how` say. */
static bool read_rows(const char *path, unsigned how, Tokenizer *t) {
    static const char *const rows[] = {"pad", "pack", "sentence_pairs", "sentence_pairs"};
    SpecArg files = {.name = "files", .kind = ARG_str, .s = path},
            tok = {.name = "tok", .kind = ARG_tokenizer},
            share = {.name = "share", .kind = ARG_float, .f = 0.7},
            seq = {.name = "seq", .kind = ARG_int, .i = SEQ_LEAST + (how >> 4 & 7)};
    DataSpec data[] = {
        {.stage = how & 1 ? "lines" : "documents", .input = -1, .arg = &files, .narg = 1},
        {.stage = "encode", .input = 0, .arg = &tok, .narg = 1},
        {.stage = "split", .input = 1, .arg = &share, .narg = 1},
        {.stage = rows[how >> 2 & 3], .input = how & 64 ? 2 : 1, .arg = &seq, .narg = 1},
        {.stage = "shuffle", .input = 3}};
    TokenizerSpec named = {.name = "tok", .kind = "wordpiece", .path = "", .from = ""};
    Spec spec = {.tokenizer = &named, .ntokenizer = 1, .data = data, .ndata = 5};
    Pipeline p;
    Err e = {0};
    bool ok = pipeline_open(&(PipelineOptions){&spec, &t, 4, 7, NULL}, &p, &e);
    CHECK(ok == !e.msg[0]);
    if (ok) {
        look(&p, tokenizer_ids(t).size);
        pipeline_close(&p);
    }
    return ok;
}

static bool encode(const char *path, unsigned how) {
    Tokenizer *t = open_tokenizer(how & 2);
    bool ok = read_rows(path, how, t);
    tokenizer_free(t);
    return ok;
}

static bool learn(const char *path) {
    Buf b = {0};
    Err e = {0};
    bool ok = wordpiece_train(&(TokenizerSpec){.from = path, .size = 40}, NULL, &b, &e);
    if (ok) {
        WordPiece *w = wordpiece_load("learnt", b.data, b.n, &e);
        CHECK(w && wordpiece_size(w) == 40);
        wordpiece_free(w);
    }
    buf_free(&b);
    return ok;
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    if (!n) return false;
    MemoryFile m = memory_file(data + 1, n - 1);
    bool ok = data[0] == '!' ? learn(m.path) : encode(m.path, data[0]);
    close(m.fd);
    return ok;
}
