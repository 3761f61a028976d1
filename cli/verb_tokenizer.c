/* uptc tokenizer: the ids of the lines on standard input under a WordPiece vocabulary, or the text
 * of ids. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "runtime/data/words.h"

typedef struct Options {
    bool decode;
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

static int each_line(const Tokenizer *t, Arena *a, int (*work)(const Line *l)) {
    Line l = {.t = t, .arena = a};
    size_t cap = 0;
    int code = EXIT_OK;
    for (ssize_t n; code == EXIT_OK && (n = getline(&l.text, &cap, stdin)) >= 0;) {
        l.n = (size_t)n;
        if (l.n && l.text[l.n - 1] == '\n') l.text[--l.n] = 0;
        l.number++;
        code = work(&l);
    }
    if (code == EXIT_OK && !feof(stdin))
        code = fail("cannot read standard input: %s", strerror(errno));
    free(l.text);
    return code;
}

static int run(Arena *a, const void *options, const char *file) {
    const Options *o = options;
    const TokenizerSpec spec = {.name = "tokenizer", .kind = "wordpiece", .path = file, .from = ""};
    char *text;
    size_t n;
    Err e = {0};
    if (!file_read(a, file, &text, &n, &e)) return fail("%s", e.msg);
    Tokenizer *t = tokenizer_from_bytes(&spec, text, n, &e);
    if (!t) return fail("%s", e.msg);
    int code = each_line(t, a, o->decode ? decode_line : encode_line);
    tokenizer_free(t);
    return code;
}

static const Opt opts[] = {
    {"--decode", OPT_flag, NULL, "ids to text instead", offsetof(Options, decode)},
};
const Verb verb_tokenizer = {
    .name = "tokenizer",
    .what = "ids of the lines on standard input",
    .takes = "VOCAB.txt",
    .examples = "  echo 'In the beginning' | uptc tokenizer vocab.txt\n",
    .opt = opts,
    .nopt = 1,
    .run = run,
    .options_size = sizeof(Options),
};
