/* Command lines: a verb's flags are a table, and this file reads argv by it and prints it as help. Flags may stand
 * anywhere; `--flag value` and `--flag=value` both work; `--` ends them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

void options_help(FILE *f, const Verb *v) {
    fprintf(f, "uptc %s %s\n  %s\n", v->name, v->args, v->what);
    if (v->nopt) fputs("\noptions:\n", f);
    for (size_t i = 0; i < v->nopt; i++) {
        const Opt *o = &v->opt[i];
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(f, "  %-22s %s\n", left, o->help);
    }
    if (v->examples) fprintf(f, "\nexamples:\n%s", v->examples);
}

static const Opt *opt_find(const Verb *v, const char *name, size_t n) {
    for (size_t i = 0; i < v->nopt; i++) {
        const char *o = v->opt[i].name;
        if (strlen(o) == n && !memcmp(o, name, n)) return &v->opt[i];
    }
    return NULL;
}

static bool unknown_flag(Arena *a, const Verb *v, const char *name, size_t n) {
    const char **names = NEW_N(a, const char *, v->nopt + 1);
    for (size_t i = 0; i < v->nopt; i++) names[i] = v->opt[i].name;
    char *given = arena_strndup(a, name, n);
    const char *near = nearest_name(given, names, v->nopt);
    if (near) usage("'%s' has no option %s; did you mean %s?", v->name, given, near);
    else usage("'%s' has no option %s; see uptc %s --help", v->name, given, v->name);
    return false;
}

/* 100, 10k, 2M, 1G: powers of 1000. */
static bool read_count(const char *s, int64_t *out) {
    char *end;
    errno = 0;
    long long n = strtoll(s, &end, 10);
    if (end == s || errno || n < 0) return false;
    int64_t unit = 1;
    if (*end == 'k') unit = 1000;
    else if (*end == 'M') unit = 1000 * 1000;
    else if (*end == 'G') unit = 1000 * 1000 * 1000;
    if (unit > 1) end++;
    if (*end || n > INT64_MAX / unit) return false;
    *out = n * unit;
    return true;
}

static bool opt_store(Arena *a, const Verb *v, const Opt *o, const char *value, void *options) {
    char *at = (char *)options + o->at;
    if (o->kind == OPT_int || o->kind == OPT_count) {
        int64_t n;
        if (!read_count(value, &n)) {
            usage("%s needs a whole number, not '%s' (uptc %s --help)", o->name, value, v->name);
            return false;
        }
        memcpy(at, &n, sizeof n);
    } else if (o->kind == OPT_list) {
        StrList *l = (StrList *)(void *)at;
        const char **grown = NEW_N(a, const char *, l->n + 1);
        if (l->n) memcpy(grown, l->at, l->n * sizeof *grown);
        grown[l->n++] = value;
        l->at = grown;
    } else {
        memcpy(at, &value, sizeof value);
    }
    return true;
}

/* One flag at argv[*i]; moves *i over its value. */
static bool opt_read(Arena *a, const Verb *v, int argc, char **argv, int *i, void *options) {
    const char *s = argv[*i], *eq = s[1] == '-' ? strchr(s, '=') : NULL;
    size_t n = eq ? (size_t)(eq - s) : strlen(s);
    const char *joined = NULL;
    if (!eq && s[1] != '-' && n > 2) { /* -Dname=value */
        joined = s + 2;
        n = 2;
    }
    const Opt *o = opt_find(v, s, n);
    if (!o) return unknown_flag(a, v, s, joined ? strlen(s) : n);
    if (o->kind == OPT_flag) {
        if (eq || joined) return usage("%s takes no value", o->name), false;
        *((bool *)options + o->at) = true;
        return true;
    }
    const char *value = eq ? eq + 1 : joined;
    if (!value) {
        if (*i + 1 >= argc) return usage("%s needs a value: %s %s", o->name, o->name, o->arg), false;
        value = argv[++*i];
    }
    return opt_store(a, v, o, value, options);
}

bool options_parse(Arena *a, const Verb *v, int argc, char **argv, void *options, int *nargs, char **args) {
    bool flags = true;
    *nargs = 0;
    for (int i = 0; i < argc; i++) {
        if (flags && str_eq(argv[i], "--")) {
            flags = false;
        } else if (flags && argv[i][0] == '-' && argv[i][1]) {
            if (!opt_read(a, v, argc, argv, &i, options)) return false;
        } else if (*nargs >= v->max_args) {
            usage("'%s' takes %s; '%s' is one too many", v->name, v->max_args == 1 ? "one file" : "fewer arguments", argv[i]);
            return false;
        } else {
            args[(*nargs)++] = argv[i];
        }
    }
    return true;
}
