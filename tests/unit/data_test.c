/* Data: files by pattern, sources, stores, sentence pairs against the text they came from, epochs,
 * exact resume, splits, and every message. Texts are made of the words w0 w1 w2 ..., numbered
 * through the whole corpus, so that an id tells its document, sentence and place. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/internal.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/upt-data-XXXXXX";

static const char *in_folder(Arena *a, const char *name) {
    return arena_printf(a, "%s/%s", folder, name);
}

static const char *write_file(Arena *a, const char *name, const char *text, size_t n) {
    const char *path = in_folder(a, name);
    Err e = {0};
    EXPECT(file_write_atomic(path, text, n, &e), "%s", e.msg);
    return path;
}

static const char *write_text(Arena *a, const char *name, const char *text) {
    return write_file(a, name, text, strlen(text));
}

/* ---- programs */
enum { STAGES = 8, WORDS = 20000, PAD = 0, UNK, CLS, SEP, MASK, FIRST_WORD };

typedef struct Program {
    Spec spec;
    DataSpec data[STAGES];
    SpecArg arg[STAGES][2];
    Tokenizer *tokenizer[1];
    TokenizerSpec tokenizer_spec;
} Program;

static SpecArg string_arg(const char *name, const char *s) {
    return (SpecArg){.name = name, .kind = ARG_str, .s = s};
}
static SpecArg int_arg(const char *name, int64_t i) {
    return (SpecArg){.name = name, .kind = ARG_int, .i = i};
}
static SpecArg float_arg(const char *name, double f) {
    return (SpecArg){.name = name, .kind = ARG_float, .f = f};
}
static const SpecArg tok_arg = {.name = "tok", .kind = ARG_tokenizer, .i = 0};
static const SpecArg no_arg = {0};

static Program *program_new(Arena *a, Tokenizer *t) {
    Program *p = NEW(a, Program);
    p->tokenizer[0] = t;
    p->spec.tokenizer = &p->tokenizer_spec;
    p->spec.ntokenizer = 1;
    p->spec.data = p->data;
    return p;
}

static void stage(Program *p, const char *name, SpecArg x, SpecArg y) {
    int i = p->spec.ndata++;
    p->arg[i][0] = x;
    p->arg[i][1] = y;
    p->data[i] = (DataSpec){.stage = name,
                            .input = i - 1,
                            .arg = p->arg[i],
                            .narg = (x.name != NULL) + (y.name != NULL)};
}

static Program *text_program(Arena *a, Tokenizer *t, const char *source, const char *files) {
    Program *p = program_new(a, t);
    stage(p, source, string_arg("files", files), no_arg);
    stage(p, "encode", tok_arg, no_arg);
    return p;
}

static Program *pairs_program(Arena *a, Tokenizer *t, const char *files, int64_t seq,
                              double random) {
    Program *p = text_program(a, t, "documents", files);
    stage(p, "sentence_pairs", int_arg("seq", seq), float_arg("random", random));
    return p;
}

static ReaderOptions options(const Program *p, int64_t batch, bool train, const Field *field,
                             int nfield) {
    return (ReaderOptions){.spec = &p->spec,
                           .tokenizer = p->tokenizer,
                           .data = p->spec.ndata - 1,
                           .batch = batch,
                           .train = train,
                           .seed = 7,
                           .field = field,
                           .nfield = nfield};
}

/* ---- texts */
typedef struct Text {
    int document[WORDS], sentence[WORDS], place[WORDS],
        length[WORDS];             /* by word: where it is; by sentence: its words */
    int first[WORDS], last[WORDS]; /* by document: its sentences */
    int words, sentences, documents;
    Buf file;
} Text;

/* Documents of `least` to `most` sentences of 1 to 20 words. */
static void make_text(Text *x, int documents, unsigned least, unsigned most) {
    memset(x, 0, sizeof *x);
    for (int d = 0; d < documents; d++) {
        x->first[d] = x->sentences;
        unsigned n = least + random_below(1, 0, (uint64_t)d, most - least + 1);
        for (unsigned s = 0; s < n; s++, x->sentences++) {
            x->length[x->sentences] = 1 + (int)random_below(2, (uint64_t)d, s, 20);
            for (int i = 0; i < x->length[x->sentences]; i++, x->words++) {
                x->document[x->words] = d, x->sentence[x->words] = x->sentences,
                x->place[x->words] = i;
                buf_printf(&x->file, "w%d ", x->words);
            }
            buf_puts(&x->file, "\n");
        }
        x->last[d] = x->sentences - 1;
        buf_puts(&x->file, "\n");
    }
    x->documents = documents;
    CHECK(x->words < WORDS);
}

static Tokenizer *word_tokenizer(void) {
    Buf b = {0};
    buf_puts(&b, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (int i = 0; i < WORDS; i++) buf_printf(&b, "w%d\n", i);
    TokenizerSpec spec = {.name = "tok", .kind = "wordpiece", .path = "", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, b.data, b.n, &e);
    EXPECT(t, "%s", e.msg);
    buf_free(&b);
    return t;
}

/* ---- files */
static void expect_files(Arena *a, const char *pattern, const char *want) {
    FileList f;
    Err e = {0};
    Buf got = {0};
    buf_puts(&got, "");
    if (!glob_files(a, in_folder(a, pattern), &f, &e)) f.n = 0;
    for (size_t i = 0; i < f.n; i++)
        buf_printf(&got, "%s%s", i ? " " : "", f.path[i] + strlen(folder) + 1);
    EXPECT(str_eq(got.data, want), "%s gives '%s', not '%s' (%s)", pattern, got.data, want, e.msg);
    buf_free(&got);
}

static void test_glob(Arena *a) {
    static const char *const folders[] = {"g", "g/b", "g/b/c", "g/.hidden"};
    static const char *const files[] = {"g/2.txt",  "g/1.txt",         "g/b/3.txt", "g/b/c/4.txt",
                                        "g/.x.txt", "g/.hidden/5.txt", "g/n.md"};
    for (size_t i = 0; i < 4; i++) EXPECT(mkdir(in_folder(a, folders[i]), 0777) == 0, "mkdir");
    for (size_t i = 0; i < 7; i++) write_text(a, files[i], "x\n");
    EXPECT(symlink("..", in_folder(a, "g/b/up")) == 0, "symlink");
    expect_files(a, "g/*.txt", "g/1.txt g/2.txt");
    expect_files(a, "g/**/*.txt", "g/1.txt g/2.txt g/b/3.txt g/b/c/4.txt");
    expect_files(a, "g/**/**/*.txt", "g/1.txt g/2.txt g/b/3.txt g/b/c/4.txt");
    expect_files(a, "g/**", "g/1.txt g/2.txt g/b/3.txt g/b/c/4.txt g/n.md");
    expect_files(a, "*/b/?.t[w-y]t", "g/b/3.txt");
    expect_files(a, "g/.*.txt", "g/.x.txt");
    expect_files(a, "g/b/up/*.md", "g/b/up/n.md");
    expect_files(a, "g/n.md", "g/n.md");
    expect_files(a, "g/*.md/x", "");
    FileList f;
    Err e = {0};
    char here[512] = "";
    EXPECT(getcwd(here, sizeof here), "no working directory");
    EXPECT(!glob_files(a, "nowhere/*.txt", &f, &e), "found");
    const char *want = arena_printf(
        a, "no file matches 'nowhere/*.txt' in %s; check the pattern, or put the text there", here);
    EXPECT(str_eq(e.msg, want), "%s", e.msg);
    EXPECT(!glob_files(a, "nowhere.txt", &f, &e), "found");
    want = arena_printf(a, "cannot read 'nowhere.txt' in %s: No such file or directory", here);
    EXPECT(str_eq(e.msg, want), "%s", e.msg);
    EXPECT(!glob_files(a, folder, &f, &e), "found");
    want = arena_printf(a, "'%s' is not a file; for all files of a folder write '%s/*'", folder,
                        folder);
    EXPECT(str_eq(e.msg, want), "%s", e.msg);
}

static void expect_lines(Arena *a, const char *pattern, bool by_line, size_t want_bytes,
                         const char *want) {
    Err e = {0};
    Source *s = source_open(in_folder(a, pattern), by_line, true, &e);
    Chunk c = {0};
    Buf got = {0};
    bool ok = s;
    while (ok && (ok = source_read(s, want_bytes, &c, &e)) && c.n)
        for (size_t i = 0; i < c.n; i++)
            buf_printf(&got, "%s%.*s|", c.line[i].starts_document ? "/" : "",
                       (int)(c.line[i].end - c.line[i].start), c.text.data + c.line[i].start);
    EXPECT(ok && got.data && str_eq(got.data, want), "got '%s', not '%s' (%s)",
           got.data ? got.data : "", want, e.msg);
    chunk_free(&c);
    buf_free(&got);
    source_close(s);
}

static void test_source(Arena *a) {
    write_text(a, "s1.txt",
               "\xEF\xBB\xBF"
               "one\r\ntwo  \n\n \t\r\nthree");
    write_text(a, "s2.txt", "");
    write_text(a, "s3.txt", "\n\nfour\nfive\n\n");
    for (size_t want = 1; want < 64; want *= 8) {
        expect_lines(a, "s?.txt", false, want, "/one|two  |/three|/four|five|");
        expect_lines(a, "s?.txt", true, want, "/one|/two  |/three|/four|/five|");
    }
    char *big = heap_resize(NULL, 3000001); /* lines longer than a block */
    memset(big, 'a', 3000000);
    big[1000000] = big[2500000] = '\n';
    big[3000000] = 0;
    write_text(a, "long.txt", big);
    Err e = {0};
    Source *s = source_open(in_folder(a, "long.txt"), true, true, &e);
    Chunk c = {0};
    static const size_t lengths[] = {1000000, 1499999, 499999, 0};
    for (int i = 0; i < 4; i++) {
        EXPECT(source_read(s, 1, &c, &e) && (c.n == 1) == (i < 3) && c.text.n == lengths[i],
               "line %d: %zu bytes", i, c.text.n);
    }
    chunk_free(&c);
    source_close(s);
    heap_free(big);
}

static void test_changing_file(Arena *a) {
    for (int shrink = 0; shrink < 2; shrink++) {
        const char *path = write_text(a, "changing.txt", "one\ntwo\nthree\n");
        Err e = {0};
        Source *s = source_open(path, true, true, &e);
        Chunk c = {0};
        EXPECT(source_read(s, 1, &c, &e) && c.n == 1, "%s", e.msg);
        EXPECT(truncate(path, shrink ? 4 : 400) == 0, "truncate");
        bool ok;
        while ((ok = source_read(s, 1, &c, &e)) && c.n) continue;
        const char *want = arena_printf(
            a, "'%s' changed while it was read; start again once nothing writes to it", path);
        EXPECT(!ok && str_eq(e.msg, want), "%s", e.msg);
        chunk_free(&c);
        source_close(s);
    }
}

static void test_store(void) {
    Store small = store_new(1000), large = store_new(1 << 30);
    Err e = {0};
    for (uint32_t i = 0; i < 3000000; i++)
        if (!store_put(&small, &i, sizeof i, &e) || !store_put(&large, &i, sizeof i, &e))
            EXPECT(false, "%s", e.msg);
    EXPECT(store_finish(&small, &e) && store_finish(&large, &e), "%s", e.msg);
    EXPECT(small.fd >= 0 && large.fd < 0 && small.bytes == 12000000 && large.bytes == small.bytes,
           "one in a file, one in memory");
    EXPECT(!memcmp(small.at, large.at, small.bytes), "equal");
    EXPECT(((const uint32_t *)(const void *)small.at)[2999999] == 2999999, "the last");
    store_free(&small);
    store_free(&large);
    setenv("TMPDIR", "/nowhere", 1);
    Store s = store_new(4);
    EXPECT(store_put(&s, "abcd", 4, &e) && !store_put(&s, "e", 1, &e), "there is no such folder");
    EXPECT(str_eq(e.msg, "cannot keep the encoded text in a temporary file in '/nowhere': No such "
                         "file or directory; free some space, or name another folder in TMPDIR"),
           "%s", e.msg);
    store_free(&s);
    unsetenv("TMPDIR");
}

/* The same ids whatever the number of threads, over several chunks and files. */
static void test_corpus(Arena *a, Tokenizer *t) {
    Buf b = {0};
    uint64_t lines = 0;
    for (; b.n < 5 << 20 || lines % 5; lines++)
        buf_printf(&b, "%sw%d unknown w7\n", lines % 5 ? "" : "\n", (int)(lines % WORDS));
    const char *path = write_file(a, "corpus.txt", b.data, b.n);
    cpu_set_t all, one;
    Err e = {0};
    EXPECT(sched_getaffinity(0, sizeof all, &all) == 0, "affinity");
    Corpus *many = corpus_open(path, false, t, &e);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    EXPECT(sched_setaffinity(0, sizeof one, &one) == 0, "affinity");
    Corpus *single = corpus_open(path, false, t, &e);
    EXPECT(sched_setaffinity(0, sizeof all, &all) == 0, "affinity");
    EXPECT(many && single, "%s", e.msg);
    if (many && single) {
        EXPECT(many->nids == single->nids && many->nids == 3 * lines && many->nsentence == lines &&
                   many->ndocument == lines / 5,
               "counts");
        EXPECT(many->hash == single->hash, "hashes");
        EXPECT(!memcmp(many->ids.at, single->ids.at, many->ids.bytes), "ids");
        EXPECT(!memcmp(many->sentence.at, single->sentence.at, many->sentence.bytes), "sentences");
        EXPECT(many->document.bytes == single->document.bytes &&
                   !memcmp(many->document.at, single->document.at, many->document.bytes),
               "documents");
    }
    corpus_close(many);
    corpus_close(single);
    buf_free(&b);
}

/* The hash of a text is of the ids and of how they are parted, and of nothing else. */
static void test_text_hash(Arena *a, Tokenizer *t) {
    static const struct {
        const char *text;
        bool same;
    } variant[] = {
        {"w1 w2\nw3\n\nw4 w5\n", true},     {"\xEF\xBB\xBFw1  w2 \r\nw3\n\n\n \nw4 w5", true},
        {"w1 w2\nw3\n\nw4 w6\n", false},    {"w1 w2\nw3\nw4 w5\n", false},
        {"w1 w2 w3\n\nw4 w5\n", false},     {"w1\nw2 w3\n\nw4 w5\n", false},
        {"w1 w2\n\nw3\nw4 w5\n", false},    {"w4 w5\n\nw1 w2\nw3\n", false},
        {"w1 w2\nw3\n\nw4 w5 w0\n", false}, {"w1 w2\n\nw3\n\nw4 w5\n", false},
    };
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof variant / sizeof *variant; i++) {
        Err e = {0};
        const char *path = write_text(a, arena_printf(a, "hash%zu.txt", i), variant[i].text);
        Corpus *c = corpus_open(path, false, t, &e);
        EXPECT(c && c->hash, "%s", e.msg);
        if (c && !i) first = c->hash;
        EXPECT(c && (c->hash == first) == variant[i].same, "variant %zu", i);
        corpus_close(c);
    }
}

/* ---- sentence pairs */
typedef struct PairSums {
    int rows, random, full, other_document, cut_front, cut_back;
} PairSums;

/* A run of neighbouring words of one document; returns its length, 0: it is none. */
static int run_length(const Text *x, const int32_t *ids, int64_t room) {
    int n = 0;
    while (n < room && ids[n] >= FIRST_WORD) n++;
    for (int i = 1; i < n; i++)
        if (ids[i] != ids[0] + i ||
            x->document[ids[i] - FIRST_WORD] != x->document[ids[0] - FIRST_WORD])
            return 0;
    return n;
}

/* Words of the sentence that a run begins in that stand before it, and of the one it ends in that
 * stand after it. */
static int cut_before(const Text *x, int32_t first) {
    return x->place[first - FIRST_WORD];
}

static int cut_after(const Text *x, int32_t last) {
    int w = last - FIRST_WORD;
    return x->length[x->sentence[w]] - 1 - x->place[w];
}

static void check_pair(const Text *x, const int32_t *ids, const int32_t *segment, int32_t next,
                       int64_t seq, PairSums *sum) {
    int a = run_length(x, ids + 1, seq - 1),
        b = a > 0 && a + 2 < seq ? run_length(x, ids + a + 2, seq - a - 2) : 0, end = a + b + 3;
    bool shape =
        a > 0 && b > 0 && end <= seq && ids[0] == CLS && ids[a + 1] == SEP && ids[end - 1] == SEP;
    EXPECT(shape && (next == 0 || next == 1), "the row is no [CLS] A [SEP] B [SEP]: a %d, b %d", a,
           b);
    if (!shape) return;
    int bad = 0;
    for (int i = 0; i < seq; i++)
        bad += (segment[i] != (i >= a + 2 && i < end)) + (i >= end && ids[i] != PAD);
    EXPECT(bad == 0, "%d wrong segments or paddings", bad);
    int32_t last_a = ids[a], first_b = ids[a + 2];
    int before = cut_before(x, ids[1]), after = cut_after(x, last_a),
        before_b = cut_before(x, first_b), after_b = cut_after(x, ids[end - 2]);
    bool cut = before || after || before_b || after_b;
    EXPECT(!cut || end == seq, "a pair that fits was trimmed");
    bool near = x->document[first_b - FIRST_WORD] == x->document[last_a - FIRST_WORD] &&
                first_b > last_a; /* what is between was trimmed */
    if (next == 0)
        EXPECT(near && (end == seq || first_b == last_a + 1), "B does not follow A: %d, %d", last_a,
               first_b);
    else
        EXPECT(cut || first_b != last_a + 1, "B follows A");
    sum->rows++;
    sum->random += next;
    sum->full += end == seq;
    sum->other_document += x->document[first_b - FIRST_WORD] != x->document[last_a - FIRST_WORD];
    sum->cut_front += before > 0;
    sum->cut_back += after > 0;
}

enum { SEQ = 48, BATCH = 16 };
typedef struct Rows {
    int32_t ids[BATCH][SEQ], segment[BATCH][SEQ], next[BATCH];
} Rows;
static const Field pair_fields[] = {{.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {SEQ}},
                                    {.name = "segment", .dtype = DT_i32, .rank = 1, .dim = {SEQ}},
                                    {.name = "next", .dtype = DT_i32}};

static bool next_rows(Reader *r, Rows *rows, int64_t *live) {
    char *field[] = {(char *)rows->ids, (char *)rows->segment, (char *)rows->next};
    Err e = {0};
    bool ok = reader_next(r, field, live, &e);
    EXPECT(ok, "%s", e.msg);
    return ok;
}

static Reader *open_reader(const ReaderOptions *o) {
    Err e = {0};
    Reader *r = reader_open(o, &e);
    EXPECT(r, "%s", e.msg);
    return r;
}

static PairSums read_pairs(const Text *x, const ReaderOptions *o, int batches) {
    PairSums sum = {0};
    Reader *r = open_reader(o);
    for (int b = 0; r && b < batches; b++) {
        Rows rows;
        int64_t live = 0;
        if (!next_rows(r, &rows, &live)) break;
        EXPECT(live == BATCH, "%lld live rows", (long long)live);
        for (int i = 0; i < live; i++)
            check_pair(x, rows.ids[i], rows.segment[i], rows.next[i], SEQ, &sum);
    }
    reader_close(r);
    return sum;
}

static double share(int n, int of) {
    return of ? (double)n / of : -1;
}

static void test_pairs(Arena *a, Tokenizer *t) {
    Text *x = NEW(a, Text);
    make_text(x, 150, 1, 20); /* documents of one sentence too */
    const char *path = write_file(a, "pairs.txt", x->file.data, x->file.n);
    Program *p = pairs_program(a, t, path, SEQ, 0.5);
    stage(p, "shuffle", no_arg, no_arg);
    ReaderOptions o = options(p, BATCH, true, pair_fields, 3);
    PairSums s = read_pairs(x, &o, 600);
    EXPECT(s.rows == 9600 && share(s.random, s.rows) > 0.48 && share(s.random, s.rows) < 0.52,
           "%d of %d random", s.random, s.rows);
    EXPECT(s.other_document == s.random, "%d random, %d from other documents", s.random,
           s.other_document);
    EXPECT(share(s.full, s.rows) > 0.5 && s.full < s.rows, "%d of %d full", s.full, s.rows);
    EXPECT(s.cut_front > 1000 && s.cut_back > 1000, "trimmed at the front %d, at the back %d",
           s.cut_front, s.cut_back);
    p->arg[2][1] = float_arg("random", 0.2);
    s = read_pairs(x, &o, 600);
    EXPECT(share(s.random, s.rows) > 0.18 && share(s.random, s.rows) < 0.22, "%d of %d random",
           s.random, s.rows);
    p->arg[2][1] = float_arg("random", 0);
    s = read_pairs(x, &o, 100);
    EXPECT(s.random == 0 && s.rows == 1600, "%d random", s.random);
    p->arg[2][1] = float_arg("random", 1);
    s = read_pairs(x, &o, 100);
    EXPECT(s.random == s.rows, "%d of %d random", s.random, s.rows);
    buf_free(&x->file);
}

/* One document: the second sentence comes from elsewhere in it. */
static void test_single_document(Arena *a, Tokenizer *t) {
    Text *x = NEW(a, Text);
    make_text(x, 1, 200, 200);
    Program *p =
        pairs_program(a, t, write_file(a, "single.txt", x->file.data, x->file.n), SEQ, 0.5);
    ReaderOptions o = options(p, BATCH, true, pair_fields, 3);
    PairSums s = read_pairs(x, &o, 200);
    EXPECT(share(s.random, s.rows) > 0.45 && share(s.random, s.rows) < 0.55, "%d of %d random",
           s.random, s.rows);
    buf_free(&x->file);
}

/* Every word is in some pair within an epoch, up to trimming; and the pairs of two epochs differ.
 */
static void test_epochs(Arena *a, Tokenizer *t) {
    Text *x = NEW(a, Text);
    make_text(x, 60, 2, 12);
    Program *p = pairs_program(a, t, write_file(a, "epochs.txt", x->file.data, x->file.n), SEQ, 0);
    ReaderOptions o = options(p, BATCH, true, pair_fields, 3);
    Reader *r = open_reader(&o);
    if (!r) return;
    int64_t batches = reader_records(r) / BATCH, live;
    Rows first, rows;
    char *seen = NEW_N(a, char, WORDS + FIRST_WORD);
    int found = 0, same = 0;
    for (int64_t b = 0; b < 2 * batches && next_rows(r, &rows, &live); b++) {
        if (b == 0) first = rows;
        if (b == batches) same = !memcmp(&first, &rows, sizeof rows);
        for (int i = 0; i < BATCH * SEQ && b < batches; i++) seen[rows.ids[i / SEQ][i % SEQ]] = 1;
    }
    for (int i = FIRST_WORD; i < WORDS + FIRST_WORD; i++) found += seen[i];
    EXPECT(!same, "the second epoch repeats the first");
    EXPECT(found > x->words * 7 / 10, "%d of %d words", found, x->words);
    reader_close(r);
    buf_free(&x->file);
}

static void test_resume(Arena *a, Tokenizer *t) {
    Text *x = NEW(a, Text);
    make_text(x, 80, 1, 15);
    const char *path = write_file(a, "resume.txt", x->file.data, x->file.n);
    Program *p = pairs_program(a, t, path, SEQ, 0.5);
    stage(p, "shuffle", no_arg, no_arg);
    enum { BATCHES = 120 };
    ReaderOptions o = options(p, BATCH, true, pair_fields, 3);
    Rows *all = NEW_N(a, Rows, BATCHES);
    int64_t live;
    Reader *r = open_reader(&o);
    for (int b = 0; r && b < BATCHES; b++) next_rows(r, &all[b], &live);
    EXPECT(r && reader_records(r) / BATCH < BATCHES / 3, "the test spans epochs");
    for (int start = 0; r && start < BATCHES; start += 7) {
        ReaderOptions again = o;
        again.start = start;
        again.share = start % 2 ? r : NULL;
        Reader *q = open_reader(&again);
        for (int b = start; q && b < start + 3 && b < BATCHES; b++) {
            Rows rows;
            if (next_rows(q, &rows, &live))
                EXPECT(!memcmp(&rows, &all[b], sizeof rows), "batch %d from %d differs", b, start);
        }
        reader_close(q);
    }
    Err e = {0};
    Rows rows;
    EXPECT(r && reader_seek(r, 5, &e) && next_rows(r, &rows, &live) &&
               !memcmp(&rows, &all[5], sizeof rows),
           "seek");
    EXPECT(unlink(path) == 0, "unlink");
    ReaderOptions shared = o;
    shared.share = r;
    Reader *q = open_reader(&shared); /* the text is in memory */
    reader_close(r);
    EXPECT(q && next_rows(q, &rows, &live) && !memcmp(&rows, &all[0], sizeof rows),
           "a shared text outlives its first reader");
    EXPECT(!reader_open(&o, &e) && strstr(e.msg, path), "%s", e.msg);
    write_file(a, "resume.txt", x->file.data, x->file.n);
    reader_close(q);
    o.seed = 8;
    r = open_reader(&o);
    if (r)
        EXPECT(next_rows(r, &rows, &live) && memcmp(&rows, &all[0], sizeof rows),
               "another seed gives other batches");
    reader_close(r);
    buf_free(&x->file);
}

/* ---- rows of lines */
enum { LINES = 103, WIDTH = 5 };
static const Field ids_field[] = {{.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {WIDTH}}};

/* Line i is "wi", so a padded row is [CLS] wi [SEP] [PAD] [PAD]. */
static const char *write_lines(Arena *a, int n) {
    Buf b = {0};
    for (int i = 0; i < n; i++) buf_printf(&b, "w%d\n", i);
    const char *path = write_file(a, "lines.txt", b.data, b.n);
    buf_free(&b);
    return path;
}

static Program *lines_program(Arena *a, Tokenizer *t, int n) {
    return text_program(a, t, "lines", write_lines(a, n));
}

/* Reads a whole pass; line numbers in order go to `out`, their count is the result. */
static int read_lines(const ReaderOptions *o, int *out, int most) {
    Reader *r = open_reader(o);
    int n = 0;
    for (bool more = r; more;) {
        int32_t rows[BATCH][WIDTH];
        char *field[] = {(char *)rows};
        int64_t live = 0;
        Err e = {0};
        memset(rows, 0x55, sizeof rows);
        EXPECT(reader_next(r, field, &live, &e), "%s", e.msg);
        for (int i = 0; i < live && n < most; i++) {
            EXPECT(rows[i][0] == CLS && rows[i][2] == SEP && rows[i][3] == PAD && rows[i][4] == PAD,
                   "a row is [CLS] w [SEP]");
            out[n++] = rows[i][1] - FIRST_WORD;
        }
        for (int64_t i = live; live && i < o->batch; i++)
            EXPECT(rows[i][0] == 0 && rows[i][4] == 0, "rows that are not live are zero");
        more = live > 0 && n < most;
        if (!live) EXPECT(reader_next(r, field, &live, &e) && live == 0, "the end lasts");
    }
    reader_close(r);
    return n;
}

static int distinct(const int *at, int n) {
    char seen[4 * LINES] = {0};
    int count = 0;
    for (int i = 0; i < n; i++) {
        EXPECT(at[i] >= 0 && at[i] < 4 * LINES, "line %d", at[i]);
        if (at[i] < 0 || at[i] >= 4 * LINES || seen[at[i]]) continue;
        seen[at[i]] = 1;
        count++;
    }
    return count;
}

static void test_pass(Arena *a, Tokenizer *t) {
    Program *p = lines_program(a, t, LINES);
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    int at[4 * LINES];
    ReaderOptions o = options(p, 10, false, ids_field, 1);
    EXPECT(read_lines(&o, at, 4 * LINES) == LINES, "a pass has every line");
    for (int i = 0; i < LINES; i++) EXPECT(at[i] == i, "line %d is at %d", at[i], i);
    o.start = 10;
    EXPECT(read_lines(&o, at, 4 * LINES) == 3 && at[0] == 100, "the last batch has three lines");
    o.start = 11;
    EXPECT(read_lines(&o, at, 4 * LINES) == 0, "beyond the end");
    o = options(p, 10, true, ids_field, 1);
    EXPECT(read_lines(&o, at, 300) == 300, "epochs follow each other");
    for (int i = 0; i < 300; i++)
        EXPECT(at[i] == i % 100, "the incomplete batch is dropped: line %d at %d", at[i], i);
}

static void test_shuffle(Arena *a, Tokenizer *t) {
    Program *p = lines_program(a, t, LINES);
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    stage(p, "shuffle", no_arg, no_arg);
    int at[400], moved = 0, differ = 0;
    ReaderOptions o = options(p, 1, true, ids_field, 1);
    EXPECT(read_lines(&o, at, 2 * LINES) == 2 * LINES, "two epochs");
    EXPECT(distinct(at, LINES) == LINES && distinct(at + LINES, LINES) == LINES,
           "an epoch has every line once");
    for (int i = 0; i < LINES; i++) moved += at[i] != i, differ += at[i] != at[i + LINES];
    EXPECT(moved > 90 && differ > 90, "%d moved, %d differ between epochs", moved, differ);
    stage(p, "take", int_arg("n", 7), no_arg); /* other lines in each epoch */
    o = options(p, 1, true, ids_field, 1);
    int taken[14];
    EXPECT(read_lines(&o, taken, 14) == 14 && distinct(taken, 7) == 7, "take after shuffle");
    EXPECT(!memcmp(taken, at, 7 * sizeof *at) && memcmp(taken + 7, taken, 7 * sizeof *at),
           "the first seven of each epoch");
    Program *q = lines_program(a, t, LINES); /* before the rows: one order for the run */
    stage(q, "shuffle", no_arg, no_arg);
    stage(q, "take", int_arg("n", 50), no_arg);
    stage(q, "pad", int_arg("seq", WIDTH), no_arg);
    o = options(q, 10, true, ids_field, 1);
    EXPECT(read_lines(&o, at, 100) == 100 && distinct(at, 50) == 50, "take keeps fifty");
    EXPECT(!memcmp(at, at + 50, 50 * sizeof *at) && memcmp(at, taken, sizeof taken),
           "in the same order every time");
}

/* One side of a split before the rows are made, or after. */
static int read_part(Arena *a, Tokenizer *t, int lines, bool late, double wanted, int part,
                     int *out) {
    Program *p = lines_program(a, t, lines);
    if (late) stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    stage(p, "split", float_arg("share", wanted), int_arg("part", part));
    if (!late) stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 10, false, ids_field, 1);
    o.seed = (uint64_t)part + 5; /* the seed of the run does not matter */
    return read_lines(&o, out, 2 * LINES);
}

static void test_split(Arena *a, Tokenizer *t) {
    static const struct {
        int lines, first;
        double share;
    } cases[] = {{LINES, 98, 0.95}, {LINES, 52, 0.5}, {2, 1, 0.99},
                 {2, 1, 0.01},      {3, 2, 0.999},    {LINES, 102, 0.9999}};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        int both[4 * LINES], lines = cases[i / 2].lines, early = 0;
        int n = read_part(a, t, lines, i % 2, cases[i / 2].share, 0, both);
        int m = read_part(a, t, lines, i % 2, cases[i / 2].share, 1, both + n);
        EXPECT(n == cases[i / 2].first && n + m == lines, "%d and %d of %d lines", n, m, lines);
        EXPECT(distinct(both, n + m) == lines, "the parts overlap");
        for (int k = n; k < n + m; k++) early += both[k] < lines / 2;
        EXPECT(m < 40 || (early > m / 4 && early < m * 3 / 4),
               "%d of %d held out are in the first half", early, m);
    }
}

/* pack: windows over everything, [SEP] after each document. */
static void test_pack(Arena *a, Tokenizer *t) {
    Text *x = NEW(a, Text);
    make_text(x, 40, 1, 9);
    const char *path = write_file(a, "pack.txt", x->file.data, x->file.n);
    Program *p = text_program(a, t, "documents", path);
    stage(p, "pack", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 1, false, ids_field, 1);
    Reader *r = open_reader(&o);
    int total = x->words + x->documents, position = 0, word = 0;
    EXPECT(r && reader_records(r) == total / WIDTH, "records");
    for (int64_t live = 1; r && live;) {
        int32_t row[WIDTH];
        char *field[] = {(char *)row};
        Err e = {0};
        EXPECT(reader_next(r, field, &live, &e), "%s", e.msg);
        for (int i = 0; live && i < WIDTH; i++, position++) {
            bool between = word &&
                           (word == x->words || x->document[word] != x->document[word - 1]) &&
                           row[i] == SEP;
            EXPECT(row[i] == (between ? SEP : word + FIRST_WORD), "id %d at %d", row[i], position);
            if (!between) word++;
        }
    }
    EXPECT(position == total / WIDTH * WIDTH, "%d of %d ids", position, total);
    reader_close(r);
    buf_free(&x->file);
}

static void test_bytes_rows(Arena *a) {
    TokenizerSpec spec = {.name = "tok", .kind = "bytes", .path = "", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    Program *p =
        text_program(a, t, "lines", write_file(a, "bytes.txt", "ab\n\xFF\nlong line\n", 15));
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 3, false, ids_field, 1);
    Reader *r = open_reader(&o);
    int32_t rows[3][WIDTH];
    static const int32_t want[3][WIDTH] = {
        {257, 'a', 'b', 258, 256}, {257, 255, 258, 256, 256}, {257, 'l', 'o', 'n', 258}};
    char *field[] = {(char *)rows};
    int64_t live;
    EXPECT(r && reader_next(r, field, &live, &e) && live == 3 && !memcmp(rows, want, sizeof want),
           "rows of bytes");
    reader_close(r);
    tokenizer_free(t);
}

/* ---- messages */
static void expect_refused(const ReaderOptions *o, const char *want) {
    Err e = {0};
    Reader *r = reader_open(o, &e);
    EXPECT(!r && str_eq(e.msg, want), "got '%s', not '%s'", e.msg, want);
    reader_close(r);
}

static void test_text_messages(Arena *a, Tokenizer *t) {
    static const struct {
        const char *name, *text, *message;
    } bad[] = {
        {"empty.txt", "", "'%s' holds no text: it is empty, or all its lines are blank"},
        {"blank.txt", "\n  \n\r\n", "'%s' holds no text: it is empty, or all its lines are blank"},
        {"accents.txt", "\xCC\x81\n",
         "the text of '%s' has no words: its tokenizer gives no ids for any line"},
        {"latin.txt", "w1\nw2 w3 \xE9\n",
         "%s:2: byte 7 of the line (offset 9 in the file) is 0xE9, which is not UTF-8; convert the "
         "file, for example: iconv -f latin1 -t utf-8 FILE > NEW"},
        {"few.txt", "w1 w2\n",
         "the text of '%s' gives 1 record, fewer than one batch of 10; use a smaller batch or more "
         "text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = write_text(a, bad[i].name, bad[i].text),
                   *mark = strstr(bad[i].message, "%s");
        Program *p = text_program(a, t, "lines", path);
        stage(p, "pad", int_arg("seq", WIDTH), no_arg);
        ReaderOptions o = options(p, 10, true, ids_field, 1);
        expect_refused(&o, arena_printf(a, "%.*s%s%s", (int)(mark - bad[i].message), bad[i].message,
                                        path, mark + 2));
    }
    write_text(a, "none1.txt", "");
    write_text(a, "none2.txt", "\n");
    Program *p = text_program(a, t, "lines", in_folder(a, "none?.txt"));
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 10, true, ids_field, 1);
    expect_refused(&o, arena_printf(a,
                                    "the 2 files that match '%s/none?.txt' hold no text: "
                                    "'%s/none1.txt' and all others are empty or blank",
                                    folder, folder));
}

static void expect_stage_refused(Arena *a, Tokenizer *t, const char *source, const char *name,
                                 SpecArg x, SpecArg y, const char *want) {
    Program *p = text_program(a, t, source, write_lines(a, 1));
    stage(p, name, x, y);
    ReaderOptions o = options(p, 1, true, ids_field, 1);
    expect_refused(&o, want);
}

static void test_stage_messages(Arena *a, Tokenizer *t) {
#define REFUSED(source, name, x, y, want) expect_stage_refused(a, t, source, name, x, y, want)
    REFUSED("lines", "split", float_arg("share", 0.5), no_arg,
            "split needs at least two lines to give each side one, but there is 1");
    REFUSED("documents", "split", float_arg("share", 0.5), no_arg,
            "split needs at least two documents to give each side one, but there is 1");
    REFUSED("lines", "split", float_arg("share", 1), no_arg,
            "split needs a share between 0 and 1, not 1");
    REFUSED("lines", "split", float_arg("share", 0.5), int_arg("part", 2),
            "split has the parts 0 and 1, not 2");
    REFUSED("lines", "take", int_arg("n", 0), no_arg, "take needs at least 1 of the lines, not 0");
    REFUSED("lines", "pad", int_arg("seq", 2), no_arg,
            "pad needs a length from 3 to 1048576, not 2");
    REFUSED("lines", "pack", int_arg("seq", 0), no_arg,
            "pack needs a length from 1 to 1048576, not 0");
    REFUSED("lines", "pack", int_arg("seq", 9), no_arg,
            "the text has 2 ids, fewer than one window of 9; use a shorter one or more text");
    REFUSED("lines", "sentence_pairs", int_arg("seq", 4), no_arg,
            "sentence_pairs needs a length from 5 to 1048576, not 4");
    REFUSED("lines", "sentence_pairs", int_arg("seq", 9), float_arg("random", 2),
            "sentence_pairs needs random from 0 to 1, not 2");
    REFUSED("lines", "sentence_pairs", int_arg("seq", 9), no_arg,
            arena_printf(a,
                         "sentence_pairs found no document with two sentences in '%s/lines.txt'; "
                         "write one sentence a line, with a blank line between documents, and read "
                         "them with documents(...)",
                         folder));
    REFUSED("lines", "shuffle", no_arg, no_arg,
            "the data has no records of one length: end it with pad(seq) or sentence_pairs(seq)");
    REFUSED("lines", "resize", no_arg, no_arg, "there is no data stage 'resize'");
    REFUSED("audio", "pad", int_arg("seq", WIDTH), no_arg, "'audio' is no source of text");
}

static void test_program_messages(Arena *a, Tokenizer *t) {
    Program *p = lines_program(a, t, LINES);
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    Field f = ids_field[0];
    ReaderOptions o = options(p, 10, true, &f, 1);
    f.dim[0] = 6;
    expect_refused(&o, "the program was compiled for data with 'ids: i32[6]', but its pipeline "
                       "yields 'ids: i32[5]'; compile it again");
    f = (Field){.name = "next", .dtype = DT_i32};
    expect_refused(&o, "the program was compiled for data with 'next: i32', but its pipeline "
                       "yields 'ids: i32[5]'; compile it again");
    o.nfield = 5;
    expect_refused(&o, "the program was compiled for data with 5 fields; compile it again");
    o = options(p, 0, true, ids_field, 1);
    expect_refused(&o, "a batch has 1 to 16777216 records, not 0");
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    o = options(p, 10, true, ids_field, 1);
    expect_refused(&o, "pad needs token ids, but an earlier stage made records of them already");
    p->data[1].input = 2;
    expect_refused(&o, "the data pipelines of the program are damaged");
    Program *raw = program_new(a, t);
    stage(raw, "lines", string_arg("files", write_lines(a, 3)), no_arg);
    o = options(raw, 1, true, ids_field, 1);
    expect_refused(
        &o, "text has to become ids before a model can read it: add | encode(tok) to the data");
    stage(raw, "encode", int_arg("tok", 0), no_arg);
    o.data = 1;
    expect_refused(&o, "encode names no tokenizer");
    o.data = -1;
    expect_refused(&o, "the program has no such data");
}

static void test_vocabulary_messages(Arena *a) {
    TokenizerSpec spec = {.name = "tok", .kind = "wordpiece", .path = "", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, "[UNK]\nw0\nw1\n", 12, &e);
    Program *p = text_program(a, t, "documents", write_text(a, "bare.txt", "w0 w1\nw1\n"));
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 1, true, ids_field, 1);
    expect_refused(&o, "pad needs a vocabulary with the line [PAD]");
    p->data[2].stage = "sentence_pairs";
    expect_refused(&o, "sentence_pairs needs a vocabulary with the lines [CLS], [SEP] and [PAD]");
    tokenizer_free(t);
}

/* A reader closed while its thread is at work, and one never read from. */
static void test_closing(Arena *a, Tokenizer *t) {
    Program *p = lines_program(a, t, LINES);
    stage(p, "pad", int_arg("seq", WIDTH), no_arg);
    ReaderOptions o = options(p, 10, true, ids_field, 1);
    for (int i = 0; i < 50; i++) {
        Reader *r = open_reader(&o);
        int32_t rows[10][WIDTH];
        char *field[] = {(char *)rows};
        int64_t live;
        Err e = {0};
        for (int b = 0; b < i; b++)
            EXPECT(reader_next(r, field, &live, &e) && live == 10, "%s", e.msg);
        reader_close(r);
    }
}

int main(void) {
    Arena *a = arena_new();
    EXPECT(mkdtemp(folder), "no folder for the test");
    Tokenizer *t = word_tokenizer();
    test_glob(a);
    test_source(a);
    test_changing_file(a);
    test_store();
    test_corpus(a, t);
    test_text_hash(a, t);
    test_pairs(a, t);
    test_single_document(a, t);
    test_epochs(a, t);
    test_resume(a, t);
    test_pass(a, t);
    test_shuffle(a, t);
    test_split(a, t);
    test_pack(a, t);
    test_bytes_rows(a);
    test_text_messages(a, t);
    test_stage_messages(a, t);
    test_program_messages(a, t);
    test_vocabulary_messages(a);
    test_closing(a, t);
    tokenizer_free(t);
    EXPECT(system(arena_printf(a, "rm -r '%s'", folder)) == 0, "cannot remove %s", folder);
    arena_free(a);
    return check_done("data");
}
