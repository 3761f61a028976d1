/* Records made of texts: sentence pairs against the text they came from, rows of lines, windows,
 * epochs, exact resume, splits. An id tells its document, sentence and place (Text). */
#include "tests/unit/data.h"

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

/* Windows that share three ids hold what those hold that share none, and count documents by what
 * ends them. */
static void test_pack_overlap(Arena *a, Tokenizer *t) {
    enum { SHARED = 3, STRIDE = WIDTH - SHARED, MOST = 4096 };
    static const Field fields[] = {
        {.name = "ids", .dtype = DT_i32, .rank = 1, .dim = {WIDTH}},
        {.name = "document", .dtype = DT_i32, .rank = 1, .dim = {WIDTH}}};
    Text *x = NEW(a, Text);
    make_text(x, 40, 1, 9);
    const char *path = write_file(a, "overlap.txt", x->file.data, x->file.n);
    int32_t flat[MOST];
    int n = 0, rows = 0;
    for (int shared = 0; shared < 2; shared++) {
        Program *p = text_program(a, t, "documents", path);
        stage(p, "pack", int_arg("seq", WIDTH), shared ? int_arg("overlap", SHARED) : no_arg);
        DataSpec *pack = &p->spec.data[p->spec.ndata - 1];
        if (shared) { /* a third argument */
            SpecArg *arg = NEW_N(a, SpecArg, 3);
            memcpy(arg, pack->arg, 2 * sizeof *arg);
            arg[2] = int_arg("boundaries", 1);
            pack->arg = arg;
            pack->narg = 3;
        }
        ReaderOptions o = options(p, 1, false, fields, 1 + shared);
        Reader *r = open_reader(&o);
        for (int64_t live = 1; r && live;) {
            int32_t ids[WIDTH], document[WIDTH];
            Err e = {0};
            EXPECT(reader_next(r, (char *[]){(char *)ids, (char *)document}, &live, &e), "%s",
                   e.msg);
            for (int i = 0, number = 0; live && i < WIDTH; i++) {
                if (!shared && n < MOST) flat[n++] = ids[i];
                if (!shared || rows * STRIDE + i >= n) continue;
                EXPECT(ids[i] == flat[rows * STRIDE + i], "row %d id %d", rows, i);
                EXPECT(document[i] == number, "row %d: document %d at %d", rows, document[i], i);
                number += ids[i] == SEP;
            }
            rows += shared && live;
        }
        reader_close(r);
    }
    EXPECT(rows == 1 + (x->words + x->documents - WIDTH) / STRIDE, "%d rows", rows);
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

static void all_tests(Arena *a, Tokenizer *t) {
    test_pairs(a, t);
    test_single_document(a, t);
    test_epochs(a, t);
    test_resume(a, t);
    test_pass(a, t);
    test_shuffle(a, t);
    test_split(a, t);
    test_pack(a, t);
    test_pack_overlap(a, t);
    test_bytes_rows(a);
    test_closing(a, t);
}

int main(void) {
    return run_data_tests(all_tests, "records");
}
