/* uptc tokenizer: the ids of the lines on standard input under a WordPiece vocabulary, or the text
 * of ids. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

typedef struct Options {
    bool decode;
} Options;

static void encode_line(const Tokenizer *t, const char *line, size_t n) {
    Ids ids = {0};
    tokenizer_encode(t, line, n, &ids);
    for (size_t i = 0; i < ids.n; i++) printf("%s%d", i ? " " : "", ids.at[i]);
    putchar('\n');
    ids_free(&ids);
}

/* False: something on the line is not an id of the vocabulary. */
static bool decode_line(const Tokenizer *t, Arena *a, const char *line) {
    VEC(int32_t) ids = {0};
    char *end;
    for (const char *p = line; *(p += strspn(p, " \t\r\n")); p = end) {
        long id = strtol(p, &end, 10);
        if (end == p || id < 0 || id >= tokenizer_ids(t).size) return false;
        vec_push(a, &ids, (int32_t)id);
    }
    Buf b = {0};
    tokenizer_decode(t, ids.at, ids.n, &b);
    printf("%s\n", b.data ? b.data : "");
    buf_free(&b);
    return true;
}

/* Each line of standard input, there or back. */
static int each_line(const Tokenizer *t, Arena *a, bool decode) {
    char *line = NULL;
    size_t cap = 0;
    int code = EXIT_OK;
    for (ssize_t n; code == EXIT_OK && (n = getline(&line, &cap, stdin)) >= 0;) {
        if (n && line[n - 1] == '\n') line[--n] = 0;
        if (!decode)
            encode_line(t, line, (size_t)n);
        else if (!decode_line(t, a, line))
            code = fail("not a line of ids below %lld: %s", (long long)tokenizer_ids(t).size, line);
    }
    free(line);
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
    int code = each_line(t, a, o->decode);
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
