/* Command lines: a verb's flags are a table, and this file reads argv by it and prints it as help.
 * Flags may stand anywhere; `--flag value` and `--flag=value` both work, and so do `-o file`,
 * `-ofile` and `-o=file`; `--` ends them. */
#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* All that uptc says about a failure is one line on stderr. */
static void say(const char *fmt, va_list ap) {
    fputs("uptc: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int fail(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_FAILED;
}

int usage(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

enum { HELP_COLUMN = 22 };
void options_help(FILE *f, const Verb *v) {
    fprintf(f, "uptc %s", v->name);
    if (v->takes) fprintf(f, v->may_lack ? " [%s]" : " %s", v->takes);
    fprintf(f, "\n  %s\n", v->what);
    if (v->nopt) fputs("\noptions:\n", f);
    for (size_t i = 0; i < v->nopt; i++) {
        const Opt *o = &v->opt[i];
        if (o->kind == OPT_needless) continue;
        char left[64];
        const char *form = o->kind == OPT_maybe ? "%s[=%s]" : o->arg ? "%s %s" : "%s";
        snprintf(left, sizeof left, form, o->name, o->arg);
        if (strlen(left) > HELP_COLUMN)
            fprintf(f, "  %s\n  %*s %s\n", left, HELP_COLUMN, "", o->help);
        else
            fprintf(f, "  %-*s %s\n", HELP_COLUMN, left, o->help);
    }
    fprintf(f, "\nexamples:\n%s", v->examples);
}

const char *did_you_mean(Arena *a, const char *near) {
    return near ? arena_printf(a, "; did you mean '%s'?", near) : "";
}

static const Opt *opt_find(const Verb *v, const char *name, size_t n) {
    for (size_t i = 0; i < v->nopt; i++) {
        const char *o = v->opt[i].name;
        if (strlen(o) == n && !memcmp(o, name, n)) return &v->opt[i];
    }
    return NULL;
}

static int unknown_flag(Arena *a, const Verb *v, const char *name, size_t n) {
    const char **names = NEW_N(a, const char *, v->nopt + 1);
    size_t count = 0;
    for (size_t i = 0; i < v->nopt; i++)
        if (v->opt[i].kind != OPT_needless) names[count++] = v->opt[i].name;
    char *given = arena_strndup(a, name, n);
    const char *near = nearest_name(given, names, count);
    if (near) return usage("'%s' has no option %s%s", v->name, given, did_you_mean(a, near));
    return usage("'%s' has no option %s; see uptc %s --help", v->name, given, v->name);
}

/* 100, 10_000, 10k, 2M, 1G: powers of 1000, as in the language. */
static bool read_count(const char *s, int64_t *out) {
    char digits[32];
    size_t len = 0;
    for (; *s && strchr("0123456789_", *s) && len + 1 < sizeof digits; s++)
        if (*s != '_') digits[len++] = *s;
    digits[len] = 0;
    errno = 0;
    long long n = strtoll(digits, NULL, 10);
    if (!len || errno) return false;
    const char *end = s;
    int64_t unit = 1;
    if (*end == 'k')
        unit = 1000;
    else if (*end == 'M')
        unit = 1000 * 1000;
    else if (*end == 'G')
        unit = 1000 * 1000 * 1000;
    if (unit > 1) end++;
    if (*end || n > INT64_MAX / unit) return false;
    *out = n * unit;
    return true;
}

/* 0.8, 1, 1e-3: a number that is not negative. */
static bool read_real(const char *s, double *out) {
    char *end;
    if (!strchr("0123456789.", *s)) return false;
    *out = strtod(s, &end);
    return end != s && !*end && *out <= DBL_MAX;
}

static void list_add(Arena *a, StrList *l, const char *value) {
    const char **grown = NEW_N(a, const char *, l->n + 1);
    if (l->n) memcpy(grown, l->at, l->n * sizeof *grown);
    grown[l->n++] = value;
    l->at = grown;
}

static int no_value(const Opt *o) {
    return usage("%s needs a value: %s %s", o->name, o->name, o->arg);
}

static int store_define(Arena *a, StrList *to, const char *name, const char *value) {
    const char *eq = strchr(value, '=');
    if (!eq || eq == value) return usage("%s needs name=value, not '%s'", name, value);
    list_add(a, to, value);
    return EXIT_OK;
}

static int store_word(Arena *a, const Opt *o, const char *value, const char **to) {
    VEC(const char *) words = {0};
    for (const char *at = o->arg, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '|');
        vec_push(a, &words, arena_strndup(a, at, (size_t)(end - at)));
        if (str_eq(words.at[words.n - 1], value)) return *to = value, EXIT_OK;
    }
    return usage("%s is %s, not '%s'%s", o->name, name_list(a, words.at, words.n, "or"), value,
                 did_you_mean(a, nearest_name(value, words.at, words.n)));
}

static int opt_store(Arena *a, const Opt *o, const char *value, void *options) {
    void *at = (char *)options + o->at;
    switch (o->kind) {
    case OPT_maybe:
    case OPT_some:
        if (!read_count(value, at) || *(int64_t *)at < 1)
            return usage("%s needs a whole number of at least 1, not '%s'", o->name, value);
        return EXIT_OK;
    case OPT_count:
        if (read_count(value, at)) return EXIT_OK;
        return usage("%s needs a whole number, such as 500 or 10k, not '%s'", o->name, value);
    case OPT_size:
        if (size_read(value, at)) return EXIT_OK;
        return usage("%s needs a number of bytes, such as 512M or 8G, not '%s'", o->name, value);
    case OPT_real:
        if (read_real(value, at)) return EXIT_OK;
        return usage("%s needs a number of at least 0, such as 0.8, not '%s'", o->name, value);
    case OPT_define: return store_define(a, at, o->name, value);
    case OPT_word: return store_word(a, o, value, at);
    case OPT_str:
        if (!*value) return no_value(o); /* fall through */
    case OPT_text: memcpy(at, &value, sizeof value); return EXIT_OK;
    case OPT_flag:
    case OPT_needless: break;
    }
    BUG("%s takes no value", o->name);
}

/* Where the value joined to a flag begins, or NULL; `n`: the length of the flag's name. */
static const char *joined_value(const char *s, size_t *n) {
    const char *eq = strchr(s, '=');
    *n = strlen(s);
    if (s[1] != '-') {
        if (*n == 2) return NULL;
        *n = 2;
        return s[2] == '=' ? s + 3 : s + 2;
    }
    if (!eq) return NULL;
    *n = (size_t)(eq - s);
    return eq + 1;
}

/* One flag at argv[*i]; moves *i over its value. */
static int opt_read(Arena *a, const Verb *v, int argc, char **argv, int *i, void *options) {
    const char *s = argv[*i];
    size_t n;
    const char *value = joined_value(s, &n);
    const Opt *o = opt_find(v, s, n);
    if (!o) return unknown_flag(a, v, s, s[1] == '-' ? n : strlen(s));
    if (o->kind == OPT_needless)
        return usage("'%s' has no option %s: %s", v->name, o->name, o->help);
    if (o->kind == OPT_flag) {
        if (value) return usage("%s takes no value", o->name);
        *((bool *)options + o->at) = true;
        return EXIT_OK;
    }
    if (!value && o->kind == OPT_maybe) value = o->arg;
    if (!value) {
        if (*i + 1 >= argc) return no_value(o);
        value = argv[++*i];
    }
    return opt_store(a, o, value, options);
}

bool name_ends(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n > m && str_eq(name + n - m, ending);
}

bool verb_takes(const Verb *v, const char *name) {
    for (size_t i = 0; i < ENDINGS && v->ending[i]; i++)
        if (name_ends(name, v->ending[i])) return true;
    return !v->ending[0];
}

/* One that is not there may be meant as a folder too: check_file tells that it is missing. */
static bool maybe_folder(const char *path) {
    return is_folder(path) || access(path, F_OK) != 0;
}

static int take_file(Arena *a, const Verb *v, const char *given, const char **file) {
    if (!v->takes) return usage("'%s' takes no file such as '%s'", v->name, given);
    if (*file) return usage("'%s' takes one file; '%s' is one too many", v->name, given);
    *file = given;
    if (verb_takes(v, given) || (v->folder && maybe_folder(given))) return EXIT_OK;
    return usage("'%s' takes %s, not '%s'%s", v->name, v->takes, given,
                 did_you_mean(a, file_meant(a, v, given)));
}

static int check_file(Arena *a, const Verb *v, const char *file) {
    if (!file && v->takes && !v->may_lack)
        return usage("'%s' needs a file: uptc %s %s", v->name, v->name, v->takes);
    if (!file || access(file, F_OK) == 0 || errno != ENOENT) return EXIT_OK;
    return fail("cannot open '%s': %s%s", file, strerror(errno),
                did_you_mean(a, file_meant(a, v, file)));
}

int options_parse(Arena *a, const Verb *v, int argc, char **argv, void *options,
                  const char **file) {
    bool flags = true;
    int code = EXIT_OK;
    *file = NULL;
    for (int i = 0; i < argc && code == EXIT_OK; i++) {
        if (flags && str_eq(argv[i], "--"))
            flags = false;
        else if (flags && argv[i][0] == '-' && argv[i][1])
            code = opt_read(a, v, argc, argv, &i, options);
        else
            code = take_file(a, v, argv[i], file);
    }
    return code == EXIT_OK ? check_file(a, v, *file) : code;
}
