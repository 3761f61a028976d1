/* Text that grows (Buf), maps from strings (Map), small questions about strings, and the two errors
 * that are not the user's: the environment's (Err) and upt's own (bug_at). */
#include "base/base.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Buf */
static void buf_reserve(Buf *b, size_t more) {
    size_t need;
    if (__builtin_add_overflow(b->n, more, &need) || need > SIZE_MAX / 2) BUG("text too long");
    if (need < b->cap) return; /* one byte is kept for the final zero */
    size_t cap = b->cap ? b->cap : FIRST(64);
    while (cap <= need) cap *= 2;
    b->data = heap_resize(b->data, cap);
    b->cap = cap;
}

void buf_put(Buf *b, const void *p, size_t n) {
    buf_reserve(b, n);
    if (n) memcpy(b->data + b->n, p, n);
    b->n += n;
    b->data[b->n] = 0;
}

void buf_puts(Buf *b, const char *s) {
    buf_put(b, s, strlen(s));
}

void buf_int(Buf *b, int64_t v) {
    char digit[24], *at = digit + sizeof digit;
    uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0) *--at = '-';
    buf_put(b, at, (size_t)(digit + sizeof digit - at));
}

void buf_vprintf(Buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    buf_reserve(b, 0);
    int n = vsnprintf(b->data + b->n, b->cap - b->n, fmt, ap);
    CHECK(n >= 0);
    if ((size_t)n >= b->cap - b->n) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    b->n += (size_t)n;
}

void buf_printf(Buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_free(Buf *b) {
    heap_free(b->data);
    *b = (Buf){0};
}

/* ---- Map: entries in order of insertion, found through open addressing; at most half full. */
void map_init(Map *m, Arena *a) {
    *m = (Map){.arena = a};
}

/* The slot that holds the key, or the free one where it would go. */
static size_t map_slot(const Map *m, const char *key) {
    size_t i = hash_str(key, 0) & (m->nslot - 1);
    while (m->slot[i] && !str_eq(m->at[m->slot[i] - 1].key, key)) i = (i + 1) & (m->nslot - 1);
    return i;
}

static MapEntry *map_find(const Map *m, const char *key) {
    if (!m->nslot) return NULL;
    uint32_t i = m->slot[map_slot(m, key)];
    return i ? &m->at[i - 1] : NULL;
}

static void map_rehash(Map *m) {
    m->nslot = m->nslot ? m->nslot * 2 : 2 * FIRST(8);
    m->slot = NEW_N(m->arena, uint32_t, m->nslot);
    for (size_t i = 0; i < m->n; i++) m->slot[map_slot(m, m->at[i].key)] = (uint32_t)i + 1;
}

void map_set(Map *m, const char *key, void *value) {
    MapEntry *found = map_find(m, key);
    if (found) {
        found->value = value;
        return;
    }
    CHECK(m->n < UINT32_MAX - 1);
    if (m->n * 2 >= m->nslot) map_rehash(m);
    size_t slot = map_slot(m, key);
    vec_push(m->arena, m, (MapEntry){arena_strdup(m->arena, key), value});
    m->slot[slot] = (uint32_t)m->n;
}

void *map_get(const Map *m, const char *key) {
    const MapEntry *found = map_find(m, key);
    return found ? found->value : NULL;
}

bool map_has(const Map *m, const char *key) {
    return map_find(m, key) != NULL;
}

/* ---- strings */
bool str_eq(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool size_read(const char *s, int64_t *bytes) {
    static const char suffixes[] = "kMG";
    char digits[32];
    size_t n = 0;
    for (; *s && strchr("0123456789._", *s) && n + 1 < sizeof digits; s++)
        if (*s != '_') digits[n++] = *s;
    digits[n] = 0;
    char *end;
    double v = strtod(digits, &end);
    const char *suffix = *s ? strchr(suffixes, *s) : NULL;
    if (suffix) s++;
    for (; suffix && suffix >= suffixes; suffix--) v *= 1024;
    if (end == digits || *end || *s || v < 1024 || v >= 0x1p63) return false;
    *bytes = (int64_t)v;
    return true;
}

void buf_bytes(Buf *b, int64_t bytes) {
    double v = (double)bytes;
    const char *suffix = "kMG";
    if (bytes < 1024) {
        buf_printf(b, "%lld bytes", (long long)bytes);
        return;
    }
    for (v /= 1024; v >= 1000 && suffix[1]; v /= 1024) suffix++;
    int digits = v <= 9.99 ? 2 : v <= 99.9 ? 1 : 0;
    double unit = digits == 2 ? 100 : digits == 1 ? 10 : 1;
    buf_printf(b, "%.*f%c", digits, ceil(v * unit) / unit, *suffix);
}

/* Edit distance with swaps of neighbours (optimal string alignment), for names short enough; upper
 * and lower case are the same. */
enum { NAME_LIMIT = 64 };
static bool same_letter(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t row[3][NAME_LIMIT + 1]; /* rows i, i-1, i-2 of the table, by i % 3 */
    for (size_t j = 0; j <= nb; j++) row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *upper = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] =
                least(least(up[j], now[j - 1]) + 1, up[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]))
                now[j] = least(now[j], upper[j - 2] + 1);
        }
    }
    return row[na % 3][nb];
}

const char *nearest_name(const char *name, const char *const *names, size_t n) {
    size_t length = strlen(name), best = length / 3 + 1;
    if (length > NAME_LIMIT) return NULL;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(names[i]);
        if (other > NAME_LIMIT || str_eq(name, names[i])) continue;
        size_t d = edit_distance(name, length, names[i], other);
        if (d >= best) continue;
        best = d;
        found = names[i];
    }
    return found;
}

const char *name_list(Arena *a, const char *const *names, size_t n, const char *last) {
    const char *s = n ? names[0] : "";
    for (size_t i = 1; i < n; i++)
        s = i + 1 < n ? arena_printf(a, "%s, %s", s, names[i])
                      : arena_printf(a, "%s %s %s", s, last, names[i]);
    return s;
}

/* ---- errors */
bool err_set(Err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return false;
}

void bug_at(const char *file, int line, const char *fmt, ...) {
    fprintf(stderr, "upt: a bug in upt, at %s:%d: ", file, line);
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
    abort();
}
