/* What the machine is, as the system tells it, and the file that keeps what was measured of it.
 * What the system does not tell is 0 or empty; nothing here fails. Limits: Linux; control groups of
 * version 2. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/machine.h"

const FigureInfo figure_info[FIGURES] = {
#define X(name, unit, digits, what) {#name, unit, digits, what},
    MACHINE_FIGURES(X)
#undef X
};

/* ---- small files of the system */

/* The first line that starts with `key`, after its colon; "" for the first line whole. */
static bool system_line(const char *path, const char *key, char *out, size_t size) {
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0, n = strlen(key);
    bool found = false;
    while (f && !found && getline(&line, &cap, f) > 0) {
        if (strncmp(line, key, n) != 0) continue;
        const char *at = n ? strchr(line + n, ':') : line;
        if (!at) continue;
        at += strspn(at, ": \t");
        snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
        found = true;
    }
    free(line);
    if (f) fclose(f);
    return found;
}

static int64_t system_number(const char *path, const char *key) {
    char text[64];
    if (!system_line(path, key, text, sizeof text)) return 0;
    char *end;
    int64_t n = strtoll(text, &end, 10);
    end += strspn(end, " ");
    return *end == 'K' || *end == 'k' ? n * 1024 : n;
}

static int64_t cache_bytes(int level) {
    for (int i = 0; i < 8; i++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (system_number(path, "") != level) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        return system_number(path, "");
    }
    return 0;
}

/* ---- facts */

/* Those lines of /proc/cpuinfo that tell processors apart, on x86 and on ARM. */
static uint64_t processor_key(void) {
    static const char *const lines[] = {"vendor_id", "cpu family",      "model",    "model name",
                                        "stepping",  "CPU implementer", "CPU part", "flags"};
    uint64_t key = 0;
    char text[4096];
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (system_line("/proc/cpuinfo", lines[i], text, sizeof text))
            key = hash_str(text, hash_mix(key, i));
    return key;
}

static double core_quota(void) {
    char text[64];
    double quota, period;
    if (!system_line("/sys/fs/cgroup/cpu.max", "", text, sizeof text) ||
        sscanf(text, "%lf %lf", &quota, &period) != 2 || period <= 0)
        return 0;
    return quota / period;
}

/* The word in brackets. */
static void huge_pages(char *out, size_t size) {
    char text[96];
    if (!system_line("/sys/kernel/mm/transparent_hugepage/enabled", "", text, sizeof text)) return;
    const char *at = strchr(text, '[');
    if (at) snprintf(out, size, "%.*s", (int)strcspn(at + 1, "]"), at + 1);
}

void machine_look(Machine *m) {
    *m = (Machine){.cores = cores_allowed(), .quota = core_quota()};
    if (!system_line("/proc/cpuinfo", "model name", m->processor, sizeof m->processor))
        snprintf(m->processor, sizeof m->processor, "an unnamed processor");
    m->memory = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    m->available = system_number("/proc/meminfo", "MemAvailable");
    m->limit = system_number("/sys/fs/cgroup/memory.max", "");
    m->l2 = cache_bytes(2);
    m->l3 = cache_bytes(3);
    huge_pages(m->huge, sizeof m->huge);
    m->key = hash_mix(hash_mix(processor_key(), (uint64_t)m->cores), (uint64_t)m->memory);
}

/* ---- the file */

const char *machine_path(Arena *a, const Machine *m, const char *folder) {
    return arena_printf(a, "%s/machine-%016llx.json", folder, (unsigned long long)m->key);
}

void machine_print(const Machine *m, Buf *b) {
    json_t *figures = json_object();
    for (int i = 0; i < FIGURES; i++)
        json_object_set_new(figures, figure_info[i].name,
                            json_pack("[ff]", m->figure[i].one, m->figure[i].all));
    json_t *j = json_pack("{ss si sI sI sI ss so}", "processor", m->processor, "cores", m->cores,
                          "memory", (json_int_t)m->memory, "l2", (json_int_t)m->l2, "l3",
                          (json_int_t)m->l3, "huge_pages", m->huge, "figures", figures);
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    if (text) buf_printf(b, "%s\n", text);
    free(text);
    json_decref(j);
}

bool machine_read(Machine *m, const char *text, size_t n) {
    json_t *j = json_loadb(text, n, 0, NULL);
    const json_t *figures = json_object_get(j, "figures");
    bool ok = json_is_object(figures) &&
              json_integer_value(json_object_get(j, "cores")) == (json_int_t)m->cores;
    for (int i = 0; ok && i < FIGURES; i++) {
        const json_t *pair = json_object_get(figures, figure_info[i].name);
        ok = json_array_size(pair) == 2;
        m->figure[i] = (Figure){json_number_value(json_array_get(pair, 0)),
                                json_number_value(json_array_get(pair, 1))};
    }
    json_decref(j);
    return ok;
}

/* Between one thread and all of them, as many times one as there are, at most all. */
double machine_ceiling(const Machine *m, FigureId f, int threads) {
    const Figure *x = &m->figure[f];
    if (threads >= m->cores && x->all > 0) return x->all;
    double many = x->one * threads;
    return x->all > 0 && many > x->all ? x->all : many;
}
