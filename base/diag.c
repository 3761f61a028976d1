/* Diagnostics: collected while compiling, printed at the end file by file and line by line, each
 * with its source line, a caret span, notes and a hint. After DIAG_MAX errors further ones are
 * dropped, with their notes; a repetition (same place, same text) is dropped at once. */
#include "base/base.h"

#include <string.h>

enum { WIDTH = 110, WARN_MAX = 100 }; /* columns shown of a source line; warnings kept */

typedef struct Source {
    const char *path, *text; /* text NULL: only named */
    size_t n;
} Source;
typedef struct Message {
    const char *text;
    Span at;
} Message;
typedef struct Item {
    bool warning;
    Message head;
    VEC(Message) note;
    VEC(const char *) hint;
} Item;
struct Diag {
    Arena *arena;
    VEC(Source) source;
    VEC(CallSite) call;
    Map known_call; /* by all that it says */
    VEC(Item) item;
    size_t errors, warnings;
    size_t printed; /* items that were */
    bool dropped;   /* the last error or warning was, and so are its notes */
};

Diag *diag_new(Arena *a) {
    Diag *d = NEW(a, Diag);
    d->arena = a;
    map_init(&d->known_call, a);
    return d;
}

/* ---- sources */
uint32_t diag_add_source(Diag *d, const char *path, const char *text, size_t n) {
    Source s = {arena_strdup(d->arena, path), text ? arena_strndup(d->arena, text, n) : NULL, n};
    vec_push(d->arena, &d->source, s);
    return (uint32_t)d->source.n;
}

uint32_t diag_find_source(const Diag *d, const char *path) {
    for (size_t i = 0; i < d->source.n; i++)
        if (str_eq(d->source.at[i].path, path)) return (uint32_t)i + 1;
    return 0;
}

static const Source *find_source(const Diag *d, uint32_t file) {
    return file >= 1 && file <= d->source.n ? &d->source.at[file - 1] : NULL;
}

const char *diag_path(const Diag *d, uint32_t file) {
    const Source *s = find_source(d, file);
    return s ? s->path : NULL;
}

const char *diag_text(const Diag *d, uint32_t file, size_t *n) {
    const Source *s = find_source(d, file);
    if (n) *n = s && s->text ? s->n : 0;
    return s ? s->text : NULL;
}

size_t diag_sources(const Diag *d) {
    return d->source.n;
}

bool diag_is_library(const Diag *d, uint32_t file) {
    const char *path = diag_path(d, file);
    return path && str_starts(path, STD_FOLDER "/");
}

/* ---- calls */
uint32_t diag_add_call(Diag *d, const char *name, Span at) {
    CHECK(at.via <= d->call.n);
    const char *key = arena_printf(d->arena, "%u:%u:%u-%u:%u<%u %s", at.file, at.line, at.col,
                                   at.end_line, at.end_col, at.via, name);
    uintptr_t known = (uintptr_t)map_get(&d->known_call, key);
    if (known) return (uint32_t)known;
    vec_push(d->arena, &d->call, (CallSite){arena_strdup(d->arena, name), at});
    map_set(&d->known_call, key, (void *)(uintptr_t)d->call.n);
    return (uint32_t)d->call.n;
}

const CallSite *diag_call(const Diag *d, uint32_t via) {
    return via >= 1 && via <= d->call.n ? &d->call.at[via - 1] : NULL;
}

bool diag_within(const Diag *d, Span at, const char *name) {
    for (const CallSite *c; (c = diag_call(d, at.via)); at = c->at)
        if (str_eq(c->name, name)) return true;
    return false;
}

Span diag_users_line(const Diag *d, Span at) {
    Span own = at;
    for (const CallSite *c; diag_is_library(d, own.file) && (c = diag_call(d, own.via));)
        own = c->at;
    return diag_is_library(d, own.file) ? at : own;
}

size_t diag_calls(const Diag *d) {
    return d->call.n;
}

/* ---- collecting */
static bool same_place(Span a, Span b) {
    return a.file == b.file && a.line == b.line && a.col == b.col;
}

static bool is_repeated(const Diag *d, bool warning, Message m) {
    for (size_t i = 0; i < d->item.n; i++) {
        const Item *old = &d->item.at[i];
        if (old->warning == warning && same_place(old->head.at, m.at) &&
            str_eq(old->head.text, m.text))
            return true;
    }
    return false;
}

static void add_item(Diag *d, bool warning, Span at, const char *fmt, va_list ap) {
    d->dropped = warning ? d->warnings >= WARN_MAX : diag_full(d);
    if (d->dropped) return;
    Item item = {.warning = warning, .head = {arena_vprintf(d->arena, fmt, ap), at}};
    d->dropped = is_repeated(d, warning, item.head);
    if (d->dropped) return;
    vec_push(d->arena, &d->item, item);
    if (warning)
        d->warnings++;
    else
        d->errors++;
}

void diag_error(Diag *d, Span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_item(d, false, at, fmt, ap);
    va_end(ap);
}

void diag_warn(Diag *d, Span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_item(d, true, at, fmt, ap);
    va_end(ap);
}

static Item *last_item(Diag *d) {
    return d->dropped || !d->item.n ? NULL : &d->item.at[d->item.n - 1];
}

void diag_note(Diag *d, Span at, const char *fmt, ...) {
    Item *item = last_item(d);
    if (!item) return;
    va_list ap;
    va_start(ap, fmt);
    Message m = {arena_vprintf(d->arena, fmt, ap), at};
    va_end(ap);
    vec_push(d->arena, &item->note, m);
}

void diag_note_calls(Diag *d, Span at) {
    for (const CallSite *c; (c = diag_call(d, at.via)); at = c->at)
        if (!str_eq(c->name, CALL_UPDATE)) diag_note(d, c->at, "in the call to %s", c->name);
}

void diag_hint(Diag *d, const char *fmt, ...) {
    Item *item = last_item(d);
    if (!item) return;
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(d->arena, fmt, ap);
    va_end(ap);
    vec_push(d->arena, &item->hint, text);
}

size_t diag_errors(const Diag *d) {
    return d->errors;
}

bool diag_full(const Diag *d) {
    return d->errors >= DIAG_MAX;
}

/* ---- printing */
typedef struct Colours {
    const char *error, *warning, *note, *bold, *off;
} Colours;
static const Colours plain = {"", "", "", "", ""};
static const Colours coloured = {"\033[1;31m", "\033[1;35m", "\033[1;36m", "\033[1m", "\033[0m"};

/* The bytes of a line, without its end; false when the text has no such line. */
static bool find_line(const Source *s, uint32_t line, const char **start, size_t *length) {
    const char *p = s->text, *end = s->text + s->n;
    for (uint32_t i = 1; i < line; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p) return false;
        p++;
    }
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    if (!stop) stop = end;
    if (stop > p && stop[-1] == '\r') stop--;
    *start = p;
    *length = (size_t)(stop - p);
    return true;
}

const char *diag_line(const Diag *d, Span at, size_t *n) {
    const Source *s = find_source(d, at.file);
    const char *start;
    *n = 0;
    if (!s || !s->text || !at.line || !find_line(s, at.line, &start, n)) return "";
    while (*n && (*start == ' ' || *start == '\t')) start++, --*n;
    return start;
}

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* The part [from, to) of a line of n bytes that is shown: all of a short one, else a window around
 * the span at byte `at`, cut between characters. */
static void choose_window(const char *s, size_t n, size_t at, size_t *from, size_t *to) {
    *from = 0;
    *to = n;
    if (n <= WIDTH) return;
    if (at > WIDTH * 2 / 3) *from = at - WIDTH / 3;
    if (*from + WIDTH > n) *from = n - WIDTH;
    if (*from + WIDTH < n) *to = *from + WIDTH;
    while (*from > 0 && is_continuation(s[*from])) --*from;
    while (*to < n && is_continuation(s[*to])) ++*to;
}

/* A control character would move the cursor, so it shows as '?'; a tab stays. */
static char shown(char c) {
    unsigned char u = (unsigned char)c;
    return (u < 32 && c != '\t') || u == 127 ? '?' : c;
}

/* Under every character one space (a tab under a tab), then the span: ^ and ~ for the rest. */
static void print_caret(FILE *f, const char *s, size_t n, size_t from, size_t to, size_t at,
                        size_t end) {
    for (size_t i = from; i < at; i++)
        if (i >= n || !is_continuation(s[i])) fputc(i < n && s[i] == '\t' ? '\t' : ' ', f);
    fputc('^', f);
    for (size_t i = at + 1; i < end && i < to; i++)
        if (!is_continuation(s[i])) fputc('~', f);
}

static void print_source(const Diag *d, FILE *f, Span at, const char *colour, const Colours *c) {
    const Source *source = find_source(d, at.file);
    const char *s;
    size_t n, from, to;
    if (!source || !source->text || !at.line || !at.col || !find_line(source, at.line, &s, &n))
        return;
    size_t start = at.col - 1 > n ? n : at.col - 1;
    size_t end = at.end_line > at.line ? n : at.end_col ? at.end_col - 1 : 0;
    choose_window(s, n, start, &from, &to);
    fprintf(f, "%5u | %s", at.line, from ? "..." : "");
    for (size_t i = from; i < to; i++) fputc(shown(s[i]), f);
    fprintf(f, "%s\n      | %s%s", to < n ? "..." : "", from ? "   " : "", colour);
    print_caret(f, s, n, from, to, start, end);
    fprintf(f, "%s\n", c->off);
}

static void print_message(const Diag *d, FILE *f, const Message *m, const char *word,
                          const char *colour, const Colours *c) {
    const char *path = diag_path(d, m->at.file);
    if (path) fprintf(f, "%s%s:", c->bold, path);
    if (path && m->at.line) fprintf(f, "%u:%u:", m->at.line, m->at.col);
    fprintf(f, "%s%s%s%s: %s%s%s\n", path ? " " : "", colour, word, c->off, c->bold, m->text,
            c->off);
    print_source(d, f, m->at, colour, c);
}

/* Does `a`, found after `b`, come before it? */
static bool precedes(const Item *a, const Item *b) {
    Span x = a->head.at, y = b->head.at;
    return x.file == y.file && (x.line < y.line || (x.line == y.line && x.col < y.col));
}

/* The first place from `from` on where the item at `i` belongs: before one of its file that is
 * further down, else after the last one of its file, else at the end. */
static size_t place_of(const Diag *d, size_t from, size_t i) {
    const Item *item = d->item.at;
    size_t place = i;
    for (size_t k = from; k < i; k++) {
        if (precedes(&item[i], &item[k])) return k;
        if (item[k].head.at.file == item[i].head.at.file) place = k + 1;
    }
    return place;
}

/* Files in order of their first message, then by place; of one place, as found. */
static void sort_items(Diag *d, size_t from) {
    for (size_t i = from; i < d->item.n; i++) {
        size_t place = place_of(d, from, i);
        Item item = d->item.at[i];
        memmove(&d->item.at[place + 1], &d->item.at[place], (i - place) * sizeof item);
        d->item.at[place] = item;
    }
}

void diag_print(Diag *d, FILE *f, bool colour) {
    const Colours *c = colour ? &coloured : &plain;
    sort_items(d, d->printed);
    for (; d->printed < d->item.n; d->printed++) {
        const Item *item = &d->item.at[d->printed];
        print_message(d, f, &item->head, item->warning ? "warning" : "error",
                      item->warning ? c->warning : c->error, c);
        for (size_t j = 0; j < item->note.n; j++)
            print_message(d, f, &item->note.at[j], "note", c->note, c);
        for (size_t j = 0; j < item->hint.n; j++) fprintf(f, "  hint: %s\n", item->hint.at[j]);
    }
}

Span span_join(Span a, Span b) {
    if (!a.file) return b;
    if (!b.file || a.file != b.file) return a;
    if (b.line < a.line || (b.line == a.line && b.col < a.col)) a.line = b.line, a.col = b.col;
    if (b.end_line > a.end_line || (b.end_line == a.end_line && b.end_col > a.end_col))
        a.end_line = b.end_line, a.end_col = b.end_col;
    return a;
}
