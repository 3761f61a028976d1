/* uptc tokenizer: the ids of text on standard input under a vocabulary, the text of ids, and
 * vocabularies learnt from text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "runtime/data/words.h"

#define KINDS "wordpiece|bpe|characters"

typedef struct Options {
    const char *kind, *merges;
    bool whole;
    const char *from, *out; /* train */
    int64_t size;
} Options;

#define BLANK " \t\r"

/* One line of standard input. */
typedef struct Line {
    const Tokenizer *t;
    Arena *arena;
    char *text;
    size_t n;
    long long number;
} Line;

static int encode_line(const Line *l) {
    size_t bad = utf8_valid(l->text, l->n);
    if (bad < l->n)
        return fail("line %lld: byte %zu is 0x%02X, which is not UTF-8; convert it, for example "
                    "with iconv -f latin1 -t utf-8",
                    l->number, bad + 1, (unsigned char)l->text[bad]);
    Ids ids = {0};
    tokenizer_encode(l->t, l->text, l->n, &ids);
    for (size_t i = 0; i < ids.n; i++) printf("%s%d", i ? " " : "", ids.at[i]);
    putchar('\n');
    ids_free(&ids);
    return EXIT_OK;
}

static int bad_id(const Line *l, const char *at) {
    return fail("line %lld: '%.*s' is not an id; ids are numbers from 0 to %lld", l->number,
                (int)strcspn(at, BLANK), at, (long long)tokenizer_ids(l->t).size - 1);
}

static int decode_line(const Line *l) {
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
    printf("%s\n", b.data ? b.data : "");
    buf_free(&b);
    return EXIT_OK;
}

static int each_line(const Tokenizer *t, Arena *a, int (*work)(const Line *l), int end) {
    Line l = {.t = t, .arena = a};
    size_t cap = 0;
    int code = EXIT_OK;
    for (ssize_t n; code == EXIT_OK && (n = getdelim(&l.text, &cap, end, stdin)) >= 0;) {
        l.n = (size_t)n;
        if (l.n && l.text[l.n - 1] == end) l.text[--l.n] = 0;
        l.number++;
        code = work(&l);
    }
    if (code == EXIT_OK && !feof(stdin))
        code = fail("cannot read standard input: %s", strerror(errno));
    free(l.text);
    return code;
}

/* ---- vocabularies */
static const char *kind_of(const Options *o, const char *file) {
    if (o->kind) return o->kind;
    return o->merges || name_ends(file, ".json") ? "bpe" : "wordpiece";
}

/* merges.txt stands beside vocab.json, unless it is said where. */
static const char *merges_of(Arena *a, const Options *o, const char *kind, const char *file) {
    const char *slash = strrchr(file, '/');
    if (!str_eq(kind, "bpe")) return "";
    if (o->merges) return o->merges;
    return arena_printf(a, "%.*smerges.txt", slash ? (int)(slash - file) + 1 : 0, file);
}

static TokenizerSpec spec_of(Arena *a, const Options *o, const char *file) {
    TokenizerSpec spec = {.name = "tokenizer", .path = file, .from = o->from ? o->from : ""};
    spec.kind = kind_of(o, file);
    spec.merges = merges_of(a, o, spec.kind, file);
    spec.size = o->size;
    return spec;
}

static int with_vocabulary(Arena *a, const Options *o, const char *file,
                           int (*work)(const Line *l)) {
    const TokenizerSpec spec = spec_of(a, o, file);
    Err e = {0};
    Tokenizer *t = tokenizer_open(&spec, NULL, &e);
    if (!t) return fail("%s", e.msg);
    int code = each_line(t, a, work, o->whole ? 0 : '\n');
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
#define OPT_KIND                                                                                   \
    {                                                                                              \
        "--kind", OPT_word, KINDS,                                                                 \
            "what the vocabulary is (default: bpe for .json, else wordpiece)",                     \
            offsetof(Options, kind)                                                                \
    }
#define OPT_MERGES                                                                                 \
    {                                                                                              \
        "--merges", OPT_str, "FILE", "of bpe (default: merges.txt beside the vocabulary)",         \
            offsetof(Options, merges)                                                              \
    }

static const Opt encode_opts[] = {
    OPT_KIND,
    OPT_MERGES,
    {"--whole", OPT_flag, NULL, "all of the input is one text, with its newlines",
     offsetof(Options, whole)},
};
const Verb verb_tokenizer_encode = {
    .name = "tokenizer encode",
    .what = "ids of the lines on standard input",
    .takes = "VOCABULARY",
    .examples = "  echo 'In the beginning' | uptc tokenizer encode vocab.txt\n"
                "  uptc tokenizer encode vocab.json --whole <corpus.txt\n",
    .opt = encode_opts,
    .nopt = sizeof encode_opts / sizeof *encode_opts,
    .run = encode,
    .options_size = sizeof(Options),
};

static const Opt decode_opts[] = {OPT_KIND, OPT_MERGES};
const Verb verb_tokenizer_decode = {
    .name = "tokenizer decode",
    .what = "the text of lines of ids on standard input",
    .takes = "VOCABULARY",
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
    OPT_KIND,
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
