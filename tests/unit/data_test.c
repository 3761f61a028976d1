/* Texts as they are read: files by pattern, sources, stores, the encoded corpus and its hash; and
 * every message about a text, a stage or a vocabulary. */
#include <sched.h>
#include <sys/stat.h>

#include "tests/unit/data.h"

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

static void expect_lines(Arena *a, const char *pattern, Unit unit, size_t want_bytes,
                         const char *want) {
    Err e = {0};
    Source *s = source_open(in_folder(a, pattern), unit, true, &e);
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
        expect_lines(a, "s?.txt", UNIT_documents, want, "/one|two  |/three|/four|five|");
        expect_lines(a, "s?.txt", UNIT_lines, want, "/one|/two  |/three|/four|/five|");
        expect_lines(a, "s?.txt", UNIT_text, want,
                     "/one|\r\ntwo|  \n\n \t\r\nthree|/\n\nfour|\nfive|\n\n|");
    }
    char *big = heap_resize(NULL, 3000001); /* lines longer than a block */
    memset(big, 'a', 3000000);
    big[1000000] = big[2500000] = '\n';
    big[3000000] = 0;
    write_text(a, "long.txt", big);
    Err e = {0};
    Source *s = source_open(in_folder(a, "long.txt"), UNIT_lines, true, &e);
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
        Source *s = source_open(path, UNIT_lines, true, &e);
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
    EXPECT(str_eq(e.msg, "cannot keep what was read in a temporary file in '/nowhere': No such "
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
    Corpus *many = corpus_open(path, UNIT_documents, t, &e);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    EXPECT(sched_setaffinity(0, sizeof one, &one) == 0, "affinity");
    Corpus *single = corpus_open(path, UNIT_documents, t, &e);
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
        Corpus *c = corpus_open(path, UNIT_documents, t, &e);
        EXPECT(c && c->hash, "%s", e.msg);
        if (c && !i) first = c->hash;
        EXPECT(c && (c->hash == first) == variant[i].same, "variant %zu", i);
        corpus_close(c);
    }
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
    REFUSED("lines", "pack", int_arg("seq", 2), int_arg("overlap", 2),
            "the overlap of windows of 2 is from 0 to 1, not 2");
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
    REFUSED("lines", "crop", no_arg, no_arg, "there is no data stage 'crop'");
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

static void all_tests(Arena *a, Tokenizer *t) {
    test_glob(a);
    test_source(a);
    test_changing_file(a);
    test_store();
    test_corpus(a, t);
    test_text_hash(a, t);
    test_text_messages(a, t);
    test_stage_messages(a, t);
    test_program_messages(a, t);
    test_vocabulary_messages(a);
}

int main(void) {
    return run_data_tests(all_tests, "data");
}
