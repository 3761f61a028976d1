/* metrics.jsonl read back: a series of points for every name that has numbers, the last texts, and
 * the watches that warned. The file may have been edited, so every line is checked; what it names
 * twice or in any order is taken as it comes. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/report/page.h"

static Series *series_of(History *h, const char *name) {
    for (size_t i = 0; i < h->series.n; i++)
        if (str_eq(h->series.at[i].name, name)) return &h->series.at[i];
    vec_push(h->arena, &h->series, (Series){.name = arena_strdup(h->arena, name)});
    return &h->series.at[h->series.n - 1];
}

static void add_texts(History *h, int64_t step, const char *name, const json_t *rows) {
    size_t i = 0;
    while (i < h->text.n && !str_eq(h->text.at[i].name, name)) i++;
    Buf b = {0};
    size_t row;
    json_t *text;
    json_array_foreach(rows, row, text) if (json_is_string(text))
        buf_printf(&b, "%s%s", b.n ? "\n" : "", json_string_value(text));
    Told t = {arena_strdup(h->arena, name), arena_strdup(h->arena, b.data ? b.data : ""), step};
    buf_free(&b);
    if (i < h->text.n)
        h->text.at[i] = t;
    else
        vec_push(h->arena, &h->text, t);
}

static void add_warnings(History *h, int64_t step, json_t *bad) {
    const char *name;
    json_t *text;
    json_object_foreach(bad, name, text) {
        size_t i = 0;
        while (i < h->warning.n && !str_eq(h->warning.at[i].name, name)) i++;
        if (i < h->warning.n || !json_is_string(text)) continue;
        Told t = {arena_strdup(h->arena, name), arena_strdup(h->arena, json_string_value(text)),
                  step};
        vec_push(h->arena, &h->warning, t);
    }
}

/* False: no object with a step. */
static bool add_line(History *h, json_t *line) {
    const json_t *at = json_object_get(line, "step");
    if (!json_is_integer(at)) return false;
    const char *name;
    json_t *value;
    h->step = json_integer_value(at);
    json_object_foreach(line, name, value) {
        Point p = {(double)h->step, json_number_value(value)};
        if (json_is_number(value) && !str_eq(name, "step"))
            vec_push(h->arena, &series_of(h, name)->point, p);
        if (json_is_array(value)) add_texts(h, h->step, name, value);
        if (str_eq(name, "warnings")) add_warnings(h, h->step, value);
    }
    return true;
}

static bool add_text_line(History *h, const char *path, const char *line, size_t n, int number,
                          Err *e) {
    json_error_t why;
    json_t *j = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    bool ok = j && add_line(h, j);
    if (!ok && n && line[n - 1] == '\n')
        err_set(e, "'%s', line %d: %.200s; take the line out, the rest can be read", path, number,
                j ? "it has no step" : why.text);
    else
        ok = true;
    json_decref(j);
    return ok;
}

bool history_read(History *h, const char *path, Err *e) {
    FILE *f = fopen(path, "r");
    if (!f) return err_set(e, "cannot read '%s': %s", path, strerror(errno));
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    bool ok = true;
    h->step = -1;
    for (int number = 1; ok && (n = getline(&line, &cap, f)) > 0; number++)
        ok = add_text_line(h, path, line, (size_t)n, number, e);
    if (ok && ferror(f)) ok = err_set(e, "cannot read '%s': %s", path, strerror(errno));
    free(line);
    fclose(f);
    return ok;
}
