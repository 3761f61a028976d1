/* uptc tokenizer: the ids of text on standard input under a vocabulary, the text of ids, and
 * vocabularies learnt from text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "runtime/data/words.h"

#define LEARNT "wordpiece|bpe|characters"
#define KINDS LEARNT "|bytes"

typedef struct Options {
    const char *kind, *merges;
    bool whole, count, time;
    const char *from, *out; /* train */
    int64_t size;
} Options;

#define BLANK " \t\r"

/* One line of standard input, and what all lines so far come to. */
typedef struct Line {
    const Tokenizer *t;
    const Options *o;
    Arena *arena;
    char *text;
    size_t n;
    Ids ids;
    long long number, bytes, pieces;
    double seconds; /* in the tokenizer */
} Line;

static void print_ids(const Ids *ids) {
    Buf b = {0};
    for (size_t i = 0; i < ids->n; i++) {
        if (i) buf_put(&b, " ", 1);
        buf_int(&b, ids->at[i]);
    }
    puts(b.data ? b.data : "");
    buf_free(&b);
}

static int encode_line(Line *l) {
    size_t bad = utf8_valid(l->text, l->n);
    if (bad < l->n)
        return fail("line %lld: byte %zu is 0x%02X, which is not UTF-8; convert it, for example "
                    "with iconv -f latin1 -t utf-8",
                    l->number, bad + 1, (unsigned char)l->text[bad]);
    double start = clock_seconds();
    l->ids.n = 0;
    tokenizer_encode(l->t, l->text, l->n, &l->ids);
    l->seconds += clock_seconds() - start;
    l->bytes += (long long)l->n;
    l->pieces += (long long)l->ids.n;
    if (!l->o->count) print_ids(&l->ids);
    return EXIT_OK;
}

static void tell_encoded(const Line *l) {
    if (l->o->count)
        printf("%lld lines, %lld bytes, %lld pieces, %.2f bytes a piece\n", l->number, l->bytes,
               l->pieces, l->pieces ? (double)l->bytes / (double)l->pieces : 0.0);
    if (l->o->time)
        fprintf(stderr, "%.2f MB/s\n", l->seconds > 0 ? (double)l->bytes / l->seconds / 1e6 : 0.0);
}

static int bad_id(const Line *l, const char *at) {
    return fail("line %lld: '%.*s' is not an id; ids are numbers from 0 to %lld", l->number,
                (int)strcspn(at, BLANK), at, (long long)tokenizer_ids(l->t).size - 1);
}

static int decode_line(Line *l) {
    VEC(int32_t) ids = {0};
    char *end;
    for (const char *at = l->text; *(at += strspn(at, BLANK)); at = end) {
        long long id = strtoll(at, &end, 10);
        bool whole = end > at && (!*end || strchr(BLANK, *end));
        if (!whole || id < 0 || id >= tokenizer_ids(l->t).size) return bad_id(l, at);
        vec_push(l->arena, &ids, (int32_t)id);
    }
    Buf b = {0};
    tokenizer_decode(l->t, ids.at, ids.n, &b);
    buf_puts(&b, "\n");
    fwrite(b.data, 1, b.n, stdout);
    buf_free(&b);
    return EXIT_OK;
}

typedef int LineWork(Line *l);

static int each_line(Line *l, LineWork *work) {
    size_t cap = 0;
    int code = EXIT_OK, end = l->o->whole ? 0 : '\n';
    for (ssize_t n; code == EXIT_OK && (n = getdelim(&l->text, &cap, end, stdin)) >= 0;) {
        l->n = (size_t)n;
        if (l->n && l->text[l->n - 1] == end) l->text[--l->n] = 0;
        l->number++;
        code = work(l);
    }
    if (code == EXIT_OK && !feof(stdin))
        code = fail("cannot read standard input: %s", strerror(errno));
    free(l->text);
    ids_free(&l->ids);
    return code;
}

/* ---- vocabularies */
static const char *kind_of(const Options *o, const char *file) {
    if (o->kind) return o->kind;
    return o->merges || (file && name_ends(file, ".json")) ? "bpe" : "wordpiece";
}

/* merges.txt stands beside vocab.json, unless it is said where. */
static const char *merges_of(Arena *a, const Options *o, const char *kind, const char *file) {
    if (!str_eq(kind, "bpe")) return "";
    if (o->merges) return o->merges;
    const char *slash = strrchr(file, '/');
    return arena_printf(a, "%.*smerges.txt", slash ? (int)(slash - file) + 1 : 0, file);
}

static TokenizerSpec spec_of(Arena *a, const Options *o, const char *file) {
    TokenizerSpec spec = {
        .name = "tokenizer", .path = file ? file : "", .from = o->from ? o->from : ""};
    spec.kind = kind_of(o, file);
    spec.merges = merges_of(a, o, spec.kind, file);
    spec.size = o->size;
    return spec;
}

/* Every kind but bytes has a file. */
static int check_files(const Options *o, const char *file) {
    const char *kind = kind_of(o, file);
    bool bytes = str_eq(kind, "bytes");
    if (!bytes && !file) return usage("ids are those of a vocabulary: name its file");
    if (bytes && file) return usage("bytes have no vocabulary: leave '%s' out", file);
    if (o->merges && !str_eq(kind, "bpe")) return usage("%s has no merges", kind);
    return EXIT_OK;
}

static int with_vocabulary(Arena *a, const Options *o, const char *file, LineWork *work) {
    if (check_files(o, file) != EXIT_OK) return EXIT_USAGE;
    const TokenizerSpec spec = spec_of(a, o, file);
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    if (!t) return fail("%s", e.msg);
    Line l = {.t = t, .o = o, .arena = a};
    int code = each_line(&l, work);
    if (code == EXIT_OK) tell_encoded(&l);
    tokenizer_free(t);
    return code;
}

static int encode(Arena *a, const void *options, const char *file) {
    return with_vocabulary(a, options, file, encode_line);
}
static int decode(Arena *a, const void *options, const char *file) {
    return with_vocabulary(a, options, file, decode_line);
}

static int learn(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    struct stat st;
    (void)file;
    if (!o->from) return usage("'tokenizer train' needs text: --from 'corpus/*.txt'");
    if (!o->out) return usage("'tokenizer train' needs a name for the vocabulary: -o vocab.json");
    if (check_files(o, o->out) != EXIT_OK) return EXIT_USAGE;
    if (stat(o->out, &st) == 0)
        return fail("'%s' is there already; remove it, or choose another name with -o", o->out);
    const TokenizerSpec spec = spec_of(a, o, o->out);
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, stderr, &e);
    if (!t) return fail("%s", e.msg);
    printf("%s: %lld pieces\n", o->out, (long long)tokenizer_ids(t).size);
    tokenizer_free(t);
    return EXIT_OK;
}

/* ---- as verbs */
#define OPT_KIND(kinds)                                                                            \
    {                                                                                              \
        "--kind", OPT_word, kinds,                                                                 \
            "what the vocabulary is (default: bpe for .json, else wordpiece)",                     \
            offsetof(Options, kind)                                                                \
    }
#define OPT_MERGES                                                                                 \
    {                                                                                              \
        "--merges", OPT_str, "FILE", "of bpe (default: merges.txt beside the vocabulary)",         \
            offsetof(Options, merges)                                                              \
    }

static const Opt encode_opts[] = {
    OPT_KIND(KINDS),
    OPT_MERGES,
    {"--whole", OPT_flag, NULL, "all of the input is one text, with its newlines",
     offsetof(Options, whole)},
    {"--count", OPT_flag, NULL, "print only how many there are", offsetof(Options, count)},
    {"--time", OPT_flag, NULL, "say how fast it was, reading and printing aside",
     offsetof(Options, time)},
};
const Verb verb_tokenizer_encode = {
    .name = "tokenizer encode",
    .what = "ids of the lines on standard input",
    .takes = "VOCABULARY",
    .may_lack = true,
    .examples = "  echo 'In the beginning' | uptc tokenizer encode vocab.txt\n"
                "  uptc tokenizer encode vocab.json --whole <corpus.txt\n",
    .opt = encode_opts,
    .nopt = sizeof encode_opts / sizeof *encode_opts,
    .run = encode,
    .options_size = sizeof(Options),
};

static const Opt decode_opts[] = {OPT_KIND(KINDS), OPT_MERGES};
const Verb verb_tokenizer_decode = {
    .name = "tokenizer decode",
    .what = "the text of lines of ids on standard input",
    .takes = "VOCABULARY",
    .may_lack = true,
    .examples = "  echo '464 2612' | uptc tokenizer decode vocab.json\n",
    .opt = decode_opts,
    .nopt = sizeof decode_opts / sizeof *decode_opts,
    .run = decode,
    .options_size = sizeof(Options),
};

static const Opt train_opts[] = {
    {"--from", OPT_str, "FILES", "text to learn from, a pattern such as 'corpus/*.txt'",
     offsetof(Options, from)},
    {"--size", OPT_some, "n", "pieces; characters: all there are", offsetof(Options, size)},
    {"-o", OPT_str, "FILE", "where to write the vocabulary", offsetof(Options, out)},
    OPT_KIND(LEARNT),
    OPT_MERGES,
};
const Verb verb_tokenizer_train = {
    .name = "tokenizer train",
    .what = "learn a vocabulary from text",
    .examples = "  uptc tokenizer train --from 'corpus/*.txt' --size 8192 -o vocab.json\n"
                "  uptc tokenizer train --from zh.txt --kind characters -o characters.txt\n",
    .opt = train_opts,
    .nopt = sizeof train_opts / sizeof *train_opts,
    .run = learn,
    .options_size = sizeof(Options),
};
