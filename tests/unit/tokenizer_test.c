/* Tokenizers: BERT's and GPT-2's own answers, odd Unicode, damaged vocabularies, training,
 * decoding, bytes. The known answers are read from the folder UPT_DATA (../shared/data beside the
 * sources if unset) and skipped where it is absent. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/data/data.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/upt-tokenizer-XXXXXX";

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

static Tokenizer *pieces(const char *lines) {
    TokenizerSpec spec = {.name = "tok", .kind = "wordpiece", .path = "vocab.txt", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, lines, strlen(lines), &e);
    EXPECT(t, "%s", e.msg);
    return t;
}

static void expect_ids(const Tokenizer *t, const char *text, size_t n, const char *want) {
    Ids ids = {0};
    Buf got = {0};
    tokenizer_encode(t, text, n, &ids);
    buf_puts(&got, "");
    for (size_t i = 0; i < ids.n; i++) buf_printf(&got, "%s%d", i ? " " : "", ids.at[i]);
    EXPECT(str_eq(got.data, want), "'%s' gives %s, not %s", text, got.data, want);
    buf_free(&got);
    ids_free(&ids);
}

/* ---- BERT's own */
static void check_row(const Tokenizer *t, char *line) {
    char *tab = strrchr(line, '\t');
    EXPECT(tab, "a row without a tab: %s", line);
    if (!tab) return;
    line[strcspn(line, "\n")] = 0;
    expect_ids(t, line, (size_t)(tab - line), tab + 1);
}

/* A file of the shared data; NULL: it is not here, and that is said. */
static const char *shared(Arena *a, const char *name) {
    const char *data = getenv("UPT_DATA");
    const char *path = arena_printf(a, "%s/%s", data && *data ? data : "../shared/data", name);
    if (!access(path, R_OK)) return path;
    printf("tokenizer: skipped known answers: no %s\n", path);
    return NULL;
}

static void test_known_answers(Arena *a) {
    const char *known = shared(a, "vocab/bert_uncased_kat.tsv.gz");
    if (!known) return;
    TokenizerSpec spec = {.name = "tok", .kind = "wordpiece", .from = "", .size = 30522};
    spec.path = shared(a, "vocab/bert-base-uncased-vocab.txt");
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    FILE *f = popen(arena_printf(a, "gzip -dc '%s'", known), "r");
    EXPECT(t && f, "%s", e.msg);
    char *line = NULL;
    size_t cap = 0, rows = 0;
    for (; t && f && getline(&line, &cap, f) > 0; rows++) check_row(t, line);
    EXPECT(rows == 5285, "%zu rows", rows);
    free(line);
    if (f) pclose(f);
    tokenizer_free(t);
}

/* Rows `text => id,id,...` under remarks. */
static void check_gpt2_row(const Tokenizer *t, char *line) {
    char *arrow = NULL, *end = line + strcspn(line, "\n");
    *end = 0;
    for (char *at = line; (at = strstr(at, " => ")); at++) arrow = at;
    EXPECT(arrow, "a row without an arrow: %s", line);
    if (!arrow) return;
    for (char *at = arrow + 4; *at; at++)
        if (*at == ',') *at = ' ';
    *arrow = 0;
    expect_ids(t, line, (size_t)(arrow - line), arrow + 4);
}

static void test_gpt2(Arena *a) {
    const char *known = shared(a, "vocab/gpt2_kat.txt");
    if (!known) return;
    TokenizerSpec spec = {.name = "tok", .kind = "bpe", .from = "", .size = 50257};
    spec.path = shared(a, "vocab/gpt2-vocab.json");
    spec.merges = shared(a, "vocab/gpt2-merges.txt");
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    FILE *f = fopen(known, "r");
    EXPECT(t && f, "%s", e.msg);
    char *line = NULL;
    size_t cap = 0, rows = 0;
    while (t && f && getline(&line, &cap, f) > 0)
        if (*line != '#') rows++, check_gpt2_row(t, line);
    EXPECT(rows == 50, "%zu rows", rows);
    EXPECT(t && tokenizer_ids(t).end == 50256, "the end of text");
    free(line);
    if (f) fclose(f);
    tokenizer_free(t);
}

/* ---- Unicode */
static const char letters[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"                         /* 0 */
    "a\n##a\nb\n##b\n\xCF\x83\n##\xCF\x83\n\xCF\x82\n##\xCF\x82\n" /* 5: a b sigma last-sigma */
    "!\n\xE2\x80\x9C\n\xE6\xBC\xA2\ni\n##i\n.\n'\n##\n[\n"         /* 13 */
    "\xE1\x84\x80\n##\xE1\x85\xA1\n\xC3\x9F\ne\n##e\nab\n##ab\n";  /* 22: jamo, 24: sharp s */

static void test_unicode(void) {
    /* clang-format off */
    static const struct { const char *text, *ids; } known[] = {
        {"", ""}, {"   \t\r\n", ""}, {"ab", "27"}, {"aab", "5 28"},
        {"A B", "5 7"}, {"ac", "1"}, {"[PAD]", "21 1 1"},
        {"a\xC2\xA0"  "b", "5 7"},                         /* no-break space */
        {"a\xE3\x80\x80"  "b\xE2\x80\xA8"  "a", "5 7 5"},  /* ideographic space, line separator */
        {"a\x0B" "b\x7F" "a\xC2\x85" "b", "27 28"},        /* control characters vanish */
        {"a\xC2\xAD" "b\xEF\xBB\xBF", "27"},               /* so do format characters */
        {"a\xEF\xBF\xBD" "b", "27"},                       /* and the replacement character */
        {"\xC3\x84\xC3\xA1", "5 6"},                       /* precomposed accents */
        {"a\xCC\x81" "b\xCC\x88", "27"},                   /* combining accents */
        {"\xCC\x81", ""},                                  /* nothing but an accent */
        {"\xC4\xB0\xC4\xB0", "16 17"},                     /* dotted capital I */
        {"\xE1\xBA\x9E", "24"},                            /* capital sharp s */
        {"\xE2\x84\xAB", "5"},                             /* angstrom sign is an a with a ring */
        {"\xCE\xA3\xCE\xA3", "9 12"},                      /* sigma: within, last */
        {"\xCE\xA3", "9"},                                 /* alone it is no last letter */
        {"A\xCE\xA3", "5 12"}, {"A\xCE\xA3.", "5 12 18"},
        {"A\xCE\xA3'A", "5 10 19 5"}, {"A\xCE\xA3.A", "5 10 18 5"},
        {"A\xCE\xA3 A", "5 12 5"}, {"A\xCC\x81\xCE\xA3", "5 12"}, {"!\xCE\xA3", "13 9"},
        {"A\xCE\xA3\xE6\xBC\xA2" "A", "5 12 15 5"},        /* a Chinese character ends a word */
        {"a\xE6\xBC\xA2" "b", "5 15 7"}, {"\xE6\xBC\xA2\xE6\xBC\xA2", "15 15"},
        {"a!b\xE2\x80\x9C" "a", "5 13 7 14 5"},            /* punctuation */
        {"\xEA\xB0\x80", "22 23"},                         /* a Hangul syllable is decomposed */
        {"##ab", "1 1 27"},                               /* marks in a text are not pieces */
    };
    /* clang-format on */
    Tokenizer *t = pieces(letters);
    for (size_t i = 0; t && i < sizeof known / sizeof *known; i++)
        expect_ids(t, known[i].text, strlen(known[i].text), known[i].ids);
    expect_ids(t, "a\0b", 3, "27"); /* a zero byte is a control character */
    expect_ids(t,
               "a\xFF"
               "b\xC3",
               4, "27"); /* bytes that are not UTF-8 are passed over */
    expect_ids(t,
               "a\xED\xA0\x80"
               "b",
               5, "27");                                   /* surrogates */
    expect_ids(t, "A\xFF\xCE\xA3\xFF.\xC3", 7, "5 12 18"); /* also beside a sigma */
    tokenizer_free(t);
}

static void test_long_words(void) {
    Tokenizer *t = pieces("[UNK]\na\n##a\n\xC3\xA9\n##e\ne\n");
    char text[512];
    for (size_t n = 99; n <= 102; n++) {
        Ids ids = {0};
        memset(text, 'a', n);
        tokenizer_encode(t, text, n, &ids);
        EXPECT(n <= 100 ? ids.n == n && ids.at[0] == 1 : ids.n == 1 && ids.at[0] == 0,
               "%zu letters: %zu ids", n, ids.n);
        ids.n = 0;
        for (size_t i = 0; i < n; i++) memcpy(text + 2 * i, "\xC3\xA9", 2);
        tokenizer_encode(t, text, 2 * n, &ids);
        EXPECT(n <= 100 ? ids.n == n && ids.at[0] == 5 : ids.n == 1 && ids.at[0] == 0,
               "%zu accented: %zu ids", n, ids.n);
        ids_free(&ids);
    }
    tokenizer_free(t);
}

/* ---- vocabularies */
static void expect_refused(const char *text, size_t n, int64_t size, const char *want) {
    TokenizerSpec spec = {
        .name = "tok", .kind = "wordpiece", .path = "v.txt", .from = "", .size = size};
    Err e = {0};
    Tokenizer *t = tokenizer_from_bytes(&spec, text, n, &e);
    EXPECT(!t && str_eq(e.msg, want), "got '%s', not '%s'", e.msg, want);
    tokenizer_free(t);
}

/* The longest piece is "##" and as many bytes as the longest word has; a text is told from it at
 * once. */
static void test_long_line(void) {
    size_t n = (size_t)100 << 20;
    char *text = heap_resize(NULL, n);
    memset(text, 'a', n);
    memcpy(text, "[UNK]\n", 6);
    expect_refused(
        text, n, 0,
        "v.txt:2: the line has 104857594 bytes, and a piece at most 402; is this a text, "
        "not a vocabulary?");
    memcpy(text + 6, "##", 2);
    text[6 + 402] = 0;
    tokenizer_free(pieces(text));
    heap_free(text);
}

static void test_damaged(Arena *a) {
    static const struct {
        const char *text, *message;
        int64_t size;
    } bad[] = {
        {"",
         "the vocabulary 'v.txt' is empty; remove the file to have it trained, or put another in "
         "its place",
         0},
        {"[UNK]\na\n\nb\n",
         "v.txt:3: an empty line; a vocabulary has one piece on each line, so remove it", 0},
        {"[UNK]\r\na\r\n",
         "v.txt:1: the line ends with a carriage return; convert the file: sed -i 's/\\r$//' v.txt",
         0},
        {"[UNK]\na\nb\na", "v.txt:4: 'a' is on line 2 already; remove one of the two lines", 0},
        {"[UNK]\nx\xFFy\n",
         "v.txt:2: byte 2 of the line is 0xFF, which is not UTF-8; a vocabulary is UTF-8 text", 0},
        {"a\nb\n",
         "the vocabulary 'v.txt' has no line [UNK], which stands for words that it cannot spell; "
         "add it",
         0},
        {"[UNK]\na\n",
         "the vocabulary 'v.txt' has 2 pieces, but the program asks for 3; ask for 2, or remove "
         "the file to have another trained",
         3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(bad[i].text, strlen(bad[i].text), bad[i].size, bad[i].message);
    test_long_line();
    Err e = {0};
    char here[512] = "";
    EXPECT(getcwd(here, sizeof here), "no working directory");
    TokenizerSpec spec = {
        .name = "tok", .kind = "wordpiece", .path = in_folder(a, "absent.txt"), .from = ""};
    const char *want = arena_printf(a,
                                    "there is no vocabulary '%s' in %s, and no text to train it "
                                    "from; add from = \"corpus/*.txt\"",
                                    spec.path, here);
    EXPECT(!tokenizer_open(&spec, NULL, &e) && str_eq(e.msg, want), "%s", e.msg);
    spec.kind = "letters";
    want =
        "tokenizer tok: there is no kind 'letters'; the kinds are wordpiece, bpe, characters and "
        "bytes";
    EXPECT(!tokenizer_open(&spec, NULL, &e) && str_eq(e.msg, want), "%s", e.msg);
}

static void test_special_ids(void) {
    Tokenizer *t = pieces(letters);
    TokenizerIds ids = tokenizer_ids(t);
    EXPECT(ids.size == 29 && ids.pad == 0 && ids.unk == 1 && ids.cls == 2 && ids.sep == 3 &&
               ids.mask == 4,
           "special ids");
    Buf text = {0};
    tokenizer_bytes(t, &text);
    EXPECT(str_eq(text.data, letters), "bytes give the file back");
    buf_free(&text);
    Tokenizer *few = pieces("[UNK]\na"), *same = pieces("[UNK]\na\n");
    ids = tokenizer_ids(few);
    EXPECT(ids.size == 2 && ids.pad == -1 && ids.mask == -1, "no special pieces but [UNK]");
    EXPECT(tokenizer_hash(few) == tokenizer_hash(same) && tokenizer_hash(few) != tokenizer_hash(t),
           "hashes");
    tokenizer_free(few);
    tokenizer_free(same);
    tokenizer_free(t);
}

/* ---- training */
static Tokenizer *train(const char *path, const char *from, int64_t size, Err *e) {
    TokenizerSpec spec = {
        .name = "tok", .kind = "wordpiece", .path = path, .from = from, .size = size};
    return tokenizer_open(&spec, NULL, e);
}

static void expect_vocabulary(const char *from, int64_t size, const char *want) {
    Err e = {0};
    Tokenizer *t = train("", from, size, &e);
    EXPECT(t, "%s", e.msg);
    if (!t) return;
    Buf text = {0};
    tokenizer_bytes(t, &text);
    EXPECT(str_eq(text.data, want), "vocabulary:\n%s", text.data);
    buf_free(&text);
    tokenizer_free(t);
}

static void test_training(Arena *a) {
    /* Words: abab 4 times, ab 3, aab 2, and a comma that stands alone. Pairs: a+##b 7, ##b+##a 4,
     * ##a+##b 6, a+##a 2. */
    write_text(a, "t1.txt", "abab AB aab, abab\n\nab\n");
    write_text(a, "t2.txt", "abab ab aab,\xE6\xBC\xA2 abab\n");
    const char *all = in_folder(a, "t[12].txt");
    const char *alphabet = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n,\na\nb\n\xE6\xBC\xA2\n##a\n##b\n";
    expect_vocabulary(all, 11, alphabet);
    /* ab (7) leaves ab+##a 4, ##a+##b 6, a+##a 2; then ##ab (6), and ab+##ab 4 before a+##ab 2. */
    expect_vocabulary(all, 13, arena_printf(a, "%sab\n##ab\n", alphabet));
    expect_vocabulary(all, 15, arena_printf(a, "%sab\n##ab\nabab\naab\n", alphabet));
    write_text(
        a, "t3.txt",
        "abab ab aab,\xE6\xBC\xA2 abab\nab\n\nabab abab aab, ab\n"); /* the same words elsewhere */
    expect_vocabulary(in_folder(a, "t3.txt"), 15,
                      arena_printf(a, "%sab\n##ab\nabab\naab\n", alphabet));
}

static void test_ties(Arena *a) {
    /* Two pairs of equal count: the pieces that came first win, whatever the order in the text. */
    write_text(a, "tie1.txt", "yz yz ab ab\n");
    write_text(a, "tie2.txt", "ab yz ab yz\n");
    const char *want = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\ny\nz\n##a\n##b\n##y\n##z\nab\n";
    expect_vocabulary(in_folder(a, "tie1.txt"), 14, want);
    expect_vocabulary(in_folder(a, "tie2.txt"), 14, want);
}

static void expect_no_training(Arena *a, const char *from, int64_t size, const char *want) {
    Err e = {0};
    const char *path = in_folder(a, "never.txt");
    Tokenizer *t = train(path, from, size, &e);
    EXPECT(!t && str_eq(e.msg, want), "got '%s', not '%s'", e.msg, want);
    EXPECT(access(path, F_OK), "a vocabulary was written");
    tokenizer_free(t);
}

static void test_training_errors(Arena *a) {
    const char *few = write_text(a, "few.txt", "abab\n"),
               *empty = write_text(a, "empty.txt", " \n\n");
    const char *latin = write_text(a, "latin.txt", "one\ncaf\xE9\n"),
               *marks = write_text(a, "marks.txt", "\xCC\x81\n");
    expect_no_training(
        a, few, 5,
        arena_printf(a,
                     "a vocabulary of 5 is smaller than the alphabet of '%s': the characters in it "
                     "and 5 special pieces need 9; ask for more, or use text with fewer characters",
                     few));
    expect_no_training(a, few, 100,
                       arena_printf(a,
                                    "the words of '%s' give a vocabulary of 12 pieces at most, not "
                                    "100; ask for 12 or fewer, or add text",
                                    few));
    expect_no_training(
        a, few, 0,
        arena_printf(
            a,
            "to train a vocabulary from '%s', say how many pieces it should have, for example 8192",
            few));
    expect_no_training(
        a, empty, 9,
        arena_printf(a, "'%s' holds no text: it is empty, or all its lines are blank", empty));
    expect_no_training(
        a, marks, 9,
        arena_printf(a, "the text of '%s' has no words to learn a vocabulary from", marks));
    expect_no_training(
        a, latin, 99,
        arena_printf(a,
                     "%s:2: byte 4 of the line (offset 7 in the file) is 0xE9, which is not UTF-8; "
                     "convert the file, for example: iconv -f latin1 -t utf-8 FILE > NEW",
                     latin));
    expect_no_training(
        a, "/nowhere/*.txt", 99,
        "no file matches '/nowhere/*.txt'; check the pattern, or put the text there");
    Err e = {0};
    const char *missing = in_folder(a, "no/such/vocab.txt");
    EXPECT(!train(missing, few, 9, &e) && strstr(e.msg, missing), "%s", e.msg);
}

static void test_saving(Arena *a) {
    const char *path = in_folder(a, "vocab.txt"),
               *from = write_text(a, "save.txt", "the cat and the dog and the bird\n");
    Err e = {0};
    Tokenizer *t = train(path, from, 40, &e);
    EXPECT(t, "%s", e.msg);
    write_text(a, "save.txt", "something else\n");
    Tokenizer *again = train(path, from, 40, &e);
    EXPECT(again && t && tokenizer_hash(again) == tokenizer_hash(t),
           "a vocabulary that is there is taken as it is: %s", e.msg);
    Buf text = {0};
    Ids ids = {0};
    if (t)
        tokenizer_encode(t, "The bird, the dog", 17, &ids),
            tokenizer_decode(t, ids.at, ids.n, &text);
    EXPECT(text.data && str_eq(text.data, "the bird [UNK] the dog"), "decoded '%s'",
           text.data ? text.data : "");
    ids_free(&ids);
    tokenizer_free(t);
    tokenizer_free(again);
    buf_free(&text);
}

/* ---- decoding */
static void expect_text(const Tokenizer *t, const int32_t *ids, size_t n, const char *want) {
    Buf got = {0};
    buf_puts(&got, "");
    tokenizer_decode(t, ids, n, &got);
    EXPECT(str_eq(got.data, want), "got '%s', not '%s'", got.data, want);
    buf_free(&got);
}

static void test_decode(void) {
    Tokenizer *t = pieces("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo\n,\nworld\n.\n(\n)\n'"
                          "\ns\n##s\n\"\n%\nten\n");
    /* clang-format off */
    enum { PAD, UNK, CLS, SEP, MASK, HE, LLO, COMMA, WORLD, DOT, OPEN, CLOSE, APOSTROPHE, S, SS,
           QUOTE, PERCENT, TEN };
    /* clang-format on */
#define EXPECT_TEXT(want, ...)                                                                     \
    expect_text(t, (int32_t[]){__VA_ARGS__}, sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t), want)
    EXPECT_TEXT("hello, world.", HE, LLO, COMMA, WORLD, DOT);
    EXPECT_TEXT("[CLS] he [MASK] [SEP]", CLS, HE, MASK, SEP, PAD, PAD);
    EXPECT_TEXT("world's (ten%) worlds", WORLD, APOSTROPHE, S, OPEN, TEN, PERCENT, CLOSE, WORLD,
                SS);
    EXPECT_TEXT("hello [UNK] hello", PAD, HE, LLO, UNK, HE, PAD, LLO);
    EXPECT_TEXT("[?] he [?]", -5, HE, 1000);
    EXPECT_TEXT("", PAD);
    tokenizer_free(t);
}

/* ---- bytes */
static void test_bytes(void) {
    TokenizerSpec spec = {.name = "tok", .kind = "bytes", .path = "", .from = ""};
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    EXPECT(t, "%s", e.msg);
    if (!t) return;
    TokenizerIds ids = tokenizer_ids(t);
    EXPECT(ids.size == 260 && ids.pad == 256 && ids.cls == 257 && ids.sep == 258 &&
               ids.mask == 259 && ids.unk == -1,
           "ids of bytes");
    expect_ids(t, "A\n\0\xFF", 4, "65 10 0 255");
    EXPECT_TEXT("[CLS]h\xC3\xA9[MASK]", 257, 'h', 0xC3, 0xA9, 259, 256);
    EXPECT_TEXT("a\xEF\xBF\xBD[?]b", 'a', 0xC3, 260, 'b');
    Buf text = {0};
    tokenizer_bytes(t, &text);
    Tokenizer *again = tokenizer_from_bytes(&spec, text.data, text.n, &e);
    EXPECT(again && text.n == 0 && tokenizer_hash(again) == tokenizer_hash(t), "%s", e.msg);
    EXPECT(
        !tokenizer_from_bytes(&spec, "x", 1, &e) &&
            str_eq(e.msg, "tokenizer tok: bytes has no vocabulary, but 1 bytes of one were given"),
        "%s", e.msg);
    spec.size = 256;
    EXPECT(!tokenizer_open(&spec, NULL, &e) &&
               str_eq(e.msg, "tokenizer tok: bytes always has 260 ids, not 256"),
           "%s", e.msg);
    tokenizer_free(again);
    tokenizer_free(t);
    buf_free(&text);
}

/* ---- learnt from text, and back */
static Tokenizer *learn(Arena *a, TokenizerSpec *spec, const char *text) {
    Err e = {0};
    spec->name = "tok";
    spec->from = write_text(a, "learn.txt", text);
    spec->path = in_folder(a, "learnt.json");
    spec->merges = in_folder(a, "learnt.merges");
    remove(spec->path);
    remove(spec->merges);
    Tokenizer *t = tokenizer_open(spec, NULL, &e), *again = t ? tokenizer_open(spec, NULL, &e) : t;
    EXPECT(t && again && tokenizer_hash(t) == tokenizer_hash(again), "%s", e.msg);
    tokenizer_free(again);
    return t;
}

static void expect_back(const Tokenizer *t, const char *text) {
    Ids ids = {0};
    tokenizer_encode(t, text, strlen(text), &ids);
    expect_text(t, ids.at, ids.n, text);
    ids_free(&ids);
}

static const char mixed[] =
    "low lower lowest\n\n  newer wider; caf\xC3\xA9 \xE4\xB8\xAD\xE6\x96\x87"
    " 12 + 345 don't\r\n\ttabs \xF0\x9F\x98\x80\n";

static void test_bpe(Arena *a) {
    TokenizerSpec spec = {.kind = "bpe", .size = 262};
    Tokenizer *t = learn(a, &spec, "low low low lower lower\n newest newest\n");
    if (!t) return;
    /* l o and lo w stand 5 times, then _ low 4 times; of those that stand twice, those of the
     * smallest numbers */
    Arena *files = arena_new();
    char *text;
    size_t n;
    Err e = {0};
    EXPECT(file_read(files, spec.merges, &text, &n, &e) &&
               str_eq(text, "#version: 0.2\nl o\nlo w\n\xC4\xA0 low\ne r\ne s\n"),
           "%s%s", text, e.msg);
    arena_free(files);
    TokenizerIds ids = tokenizer_ids(t);
    EXPECT(ids.size == 262 && ids.end == 261 && ids.pad == -1 && ids.unk == -1, "ids of bpe");
    expect_ids(t, "low lower", 9, "257 258 259");
    expect_ids(t, "l\xFFow", 4, "75 187 78 86");
    expect_back(t, mixed);
    EXPECT_TEXT("low<|endoftext|>\xEF\xBF\xBD[?]", 257, 261, 187, 262);
    tokenizer_free(t);
    const char *want = arena_printf(a,
                                    "'%s' is there, but the vocabulary '%s' that it goes with is "
                                    "not; put that beside it, or remove it to have both trained",
                                    spec.merges, spec.path);
    remove(spec.path);
    EXPECT(!tokenizer_open(&spec, NULL, &e) && str_eq(e.msg, want), "%s", e.msg);
    remove(spec.merges);
    spec.size = 256;
    EXPECT(
        !tokenizer_open(&spec, NULL, &e) &&
            str_eq(e.msg, arena_printf(a,
                                       "to train a vocabulary from '%s', say how many pieces it "
                                       "should have, from 257 (all bytes and the end of text) on, "
                                       "for example 8192",
                                       spec.from)),
        "%s", e.msg);
    spec.size = 1000;
    EXPECT(
        !tokenizer_open(&spec, NULL, &e) &&
            str_eq(e.msg, arena_printf(a,
                                       "the words of '%s' give a vocabulary of 268 pieces at most, "
                                       "not 1000; ask for 268 or fewer, or add text",
                                       spec.from)),
        "%s", e.msg);
}

/* All single bytes as entries, then `more`. */
static Buf byte_vocabulary(const char *more, const char *merges) {
    Buf b = {0};
    Arena *a = arena_new();
    TokenizerSpec spec = {.kind = "bpe", .size = 257};
    Tokenizer *t = learn(a, &spec, "ab ab\n");
    tokenizer_bytes(t, &b);
    b.n = (size_t)(strrchr(b.data, '}') - b.data);
    while (b.data[b.n] != ',') b.n--; /* without the end of text */
    buf_printf(&b, "%s}", more);
    buf_put(&b, "", 1);
    buf_puts(&b, merges);
    tokenizer_free(t);
    arena_free(a);
    return b;
}

static void test_bpe_damaged(void) {
    static const struct {
        const char *more, *merges, *message;
    } bad[] = {
        {",\"ab\":256", "a b\nb c\n", "m.txt:2: 'bc' is no entry of 'v.json'"},
        {",\"ab\":256", "a b\na \xC4\xBF\n", "m.txt:2: 'a\xC4\xBF' is no entry of 'v.json'"},
        {",\"ab\":256", "#version: 0.2\na b\na b\n",
         "m.txt:3: 'a' and 'b' are merged in an earlier line"},
        {",\"ab\":256", "a  b", "m.txt:1: 'a  b' is not two pieces with a blank between them"},
        {",\"ab\":256", "ab", "m.txt:1: 'ab' is not two pieces with a blank between them"},
        {",\"ab\":257", "",
         "v.json: the id of 'ab' is no number from 0 to 256, one less than the entries"},
        {",\"ab\":\"x\"", "",
         "v.json: the id of 'ab' is no number from 0 to 256, one less than the entries"},
        {",\"ab\":7", "", "v.json: 'ab' has the id 7, which another entry has too"},
        {",\"\":256", "", "v.json: the entry with the id 256 is empty"},
        {",\"a\\u4e2d\":256", "",
         "v.json: 'a\xE4\xB8\xAD' has the character U+4E2D, which stands for no byte"},
        {",\"ab\":256]", "", "v.json:1:1950: not a vocabulary in JSON: '}' expected near ']'"},
    };
    TokenizerSpec spec = {.name = "tok", .kind = "bpe", .path = "v.json", .merges = "m.txt"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Err e = {0};
        Buf b = byte_vocabulary(bad[i].more, bad[i].merges);
        EXPECT(!tokenizer_from_bytes(&spec, b.data, b.n, &e) && str_eq(e.msg, bad[i].message),
               "got '%s', not '%s'", e.msg, bad[i].message);
        buf_free(&b);
    }
    Err e = {0};
    EXPECT(!tokenizer_from_bytes(&spec, "{}\0", 3, &e) &&
               str_eq(e.msg, "v.json: there is no entry for the single byte 0x00"),
           "%s", e.msg);
    EXPECT(!tokenizer_from_bytes(&spec, "[]\0", 3, &e) &&
               str_eq(e.msg,
                      "v.json: not a vocabulary: an object from pieces to ids, {\"the\": 262, "
                      "...}"),
           "%s", e.msg);
    EXPECT(!tokenizer_from_bytes(&spec, "{}", 2, &e) &&
               str_eq(e.msg, "the vocabulary 'v.json' comes without merges"),
           "%s", e.msg);
}

static void test_characters(Arena *a) {
    TokenizerSpec spec = {.kind = "characters"};
    Tokenizer *t = learn(a, &spec,
                         "ba\n\xE4\xB8\xAD"
                         "b\n");
    if (!t) return;
    TokenizerIds ids = tokenizer_ids(t);
    EXPECT(ids.size == 9 && ids.pad == 4 && ids.unk == 5 && ids.mask == 8 && ids.end == ids.sep,
           "ids of characters");
    expect_ids(t, "ab\n\xE4\xB8\xAD?\xFF", 8, "1 2 0 3 5 5");
    EXPECT_TEXT("a\xE4\xB8\xAD[UNK][MASK][?]", 1, 4, 3, 5, 8, 9);
    tokenizer_free(t);
    spec.size = 7; /* the two most frequent: b, and of the others the first by code */
    if ((t = learn(a, &spec, "bab\n"))) expect_ids(t, "\nba", 3, "0 1 3");
    tokenizer_free(t);
    Err e = {0};
    spec.size = 20;
    remove(spec.path);
    EXPECT(!tokenizer_open(&spec, NULL, &e) &&
               str_eq(e.msg, arena_printf(a,
                                          "'%s' has 3 different characters, which with 5 special "
                                          "ones give a vocabulary of 8, not 20",
                                          spec.from)),
           "%s", e.msg);
    spec = (TokenizerSpec){.name = "tok", .kind = "characters", .path = "c.txt", .from = ""};
    EXPECT(!tokenizer_from_bytes(&spec, "aba", 3, &e) &&
               str_eq(e.msg,
                      "the vocabulary 'c.txt' has the character U+0061 twice, the second time "
                      "at byte 3; it holds each of its characters once"),
           "%s", e.msg);
    EXPECT(!tokenizer_from_bytes(&spec, "a\xFF", 2, &e) &&
               str_eq(e.msg, "the vocabulary 'c.txt' is not UTF-8: byte 2 is 0xFF"),
           "%s", e.msg);
    spec.path = "";
    EXPECT(!tokenizer_open(&spec, NULL, &e) &&
               str_eq(e.msg, "tokenizer tok has neither a file nor text to train from; add from = "
                             "\"corpus/*.txt\""),
           "%s", e.msg);
}

static void remove_folder(Arena *a) {
    int code = system(arena_printf(a, "rm -r '%s'", folder));
    EXPECT(code == 0, "cannot remove %s", folder);
}

int main(void) {
    Arena *a = arena_new();
    EXPECT(mkdtemp(folder), "no folder for the test");
    test_known_answers(a);
    test_gpt2(a);
    test_unicode();
    test_long_words();
    test_damaged(a);
    test_special_ids();
    test_training(a);
    test_ties(a);
    test_training_errors(a);
    test_saving(a);
    test_decode();
    test_bytes();
    test_bpe(a);
    test_bpe_damaged();
    test_characters(a);
    remove_folder(a);
    arena_free(a);
    return check_done("tokenizer");
}
