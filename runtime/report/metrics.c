/* metrics.jsonl: one object a logged step or evaluation, appended. What it holds beyond the
 * checkpoint a run resumes from is cut off first, so that the file reads as if the run had never
 * stopped. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/report/report.h"

static bool is_evaluation(json_t *line) {
    const char *key;
    json_t *value;
    json_object_foreach(line, key, value) if (str_starts(key, "eval.")) return true;
    return false;
}

/* Whether a whole line of a step up to `upto`. */
static bool is_kept(Metrics *m, const char *line, size_t n, int64_t upto) {
    if (n == 0 || line[n - 1] != '\n') return false;
    json_t *j = json_loadb(line, n, 0, NULL);
    const json_t *step = json_object_get(j, "step");
    bool keep = json_is_integer(step) && json_integer_value(step) <= upto;
    if (keep && is_evaluation(j)) m->evaluated = json_integer_value(step);
    json_decref(j);
    return keep;
}

static bool fail(const Metrics *m, Err *e) {
    return err_set(e, "cannot write '%s': %s", m->path, strerror(errno));
}

/* Lines are in order of steps, so the first that goes takes the rest with it. */
static bool cut_back(Metrics *m, int64_t upto, Err *e) {
    char *line = NULL;
    size_t cap = 0;
    off_t end = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, m->file)) > 0 && is_kept(m, line, (size_t)n, upto)) end += n;
    free(line);
    if (n < 0 && !feof(m->file))
        return err_set(e, "cannot read '%s': %s", m->path, strerror(errno));
    if (fflush(m->file) != 0 || ftruncate(fileno(m->file), end) != 0 ||
        fseeko(m->file, end, SEEK_SET) != 0)
        return fail(m, e);
    return true;
}

bool metrics_open(Metrics *m, const char *path, int64_t upto, Err *e) {
    *m = (Metrics){.file = fopen(path, "a+e"), .path = path, .evaluated = -1};
    if (!m->file || fseeko(m->file, 0, SEEK_SET) != 0)
        fail(m, e);
    else if (cut_back(m, upto, e))
        return true;
    metrics_close(m);
    return false;
}

bool metrics_put(Metrics *m, const Report *r, Err *e) {
    Buf b = {0};
    report_json(r, &b);
    bool ok = fwrite(b.data, 1, b.n, m->file) == b.n && fflush(m->file) == 0;
    buf_free(&b);
    return ok || fail(m, e);
}

bool metrics_sync(Metrics *m, Err *e) {
    return fsync(fileno(m->file)) == 0 || fail(m, e);
}

void metrics_close(Metrics *m) {
    if (m->file) fclose(m->file);
    *m = (Metrics){0};
}
