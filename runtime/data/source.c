/* Lines of text files, read in blocks. A line ends at a newline; a carriage return before it and a
 * byte order mark at the head of a file do not belong to the text. Of UNIT_text every byte behind
 * the mark is given, in stretches. Files are read, never mapped, so one that shrinks meanwhile is
 * an error and not a signal. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

#include "runtime/data/internal.h"
#include "runtime/data/words.h"

enum { BLOCK = 1 << 18 };

struct Source {
    Arena *arena;
    const char *pattern;
    FileList files;
    Unit unit;
    bool utf8;
    size_t file; /* the one being read, or next to be opened */
    int fd;      /* -1: none is open */
    struct stat was;
    size_t got;        /* bytes read from it */
    uint64_t line;     /* lines given of it */
    uint64_t consumed; /* bytes of it before `rest` */
    Buf rest;          /* read, not yet given */
    size_t at;         /* in rest */
    size_t searched;   /* rest up to here has no newline after `at` */
    bool ended;        /* the file's last byte is in rest */
    bool starts;       /* the next line begins a document */
    bool any;          /* some line was given */
};

static const char *const unit_names[] = {"documents", "lines", "text"};

bool unit_of(const char *source, Unit *u) {
    for (size_t i = 0; i < sizeof unit_names / sizeof *unit_names; i++)
        if (str_eq(source, unit_names[i])) return *u = (Unit)i, true;
    return false;
}

const char *unit_things(Unit u) {
    return u == UNIT_text ? "files" : unit_names[u];
}

Source *source_open(const char *pattern, Unit unit, bool utf8, Err *e) {
    Arena *a = arena_new();
    Source *s = NEW(a, Source);
    *s = (Source){
        .arena = a, .pattern = arena_strdup(a, pattern), .unit = unit, .utf8 = utf8, .fd = -1};
    if (glob_files(a, pattern, &s->files, e)) return s;
    source_close(s);
    return NULL;
}

void source_close(Source *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    buf_free(&s->rest);
    arena_free(s->arena);
}

size_t source_files(const Source *s) {
    return s->files.n;
}

const char *source_pattern(const Source *s) {
    return s->pattern;
}

void chunk_free(Chunk *c) {
    buf_free(&c->text);
    heap_free(c->line);
    *c = (Chunk){0};
}

static const char *path_of(const Source *s) {
    return s->files.path[s->file];
}

/* ---- files */
static bool open_file(Source *s, Err *e) {
    s->fd = open(path_of(s), O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return err_set(e, "cannot open '%s': %s", path_of(s), strerror(errno));
    if (fstat(s->fd, &s->was))
        return err_set(e, "cannot read '%s': %s", path_of(s), strerror(errno));
    s->got = s->at = s->searched = s->rest.n = 0;
    s->line = s->consumed = 0;
    s->ended = false;
    s->starts = true;
    return true;
}

static bool close_file(Source *s, Err *e) {
    struct stat now;
    bool same = fstat(s->fd, &now) == 0 && now.st_size == s->was.st_size &&
                s->got == (uint64_t)now.st_size && now.st_mtim.tv_sec == s->was.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == s->was.st_mtim.tv_nsec;
    close(s->fd);
    s->fd = -1;
    if (!same)
        return err_set(e, "'%s' changed while it was read; start again once nothing writes to it",
                       path_of(s));
    s->file++;
    return true;
}

/* Reads one more block behind what is left. */
static bool read_block(Source *s, Err *e) {
    char block[BLOCK];
    ssize_t n;
    do n = read(s->fd, block, sizeof block);
    while (n < 0 && errno == EINTR);
    if (n < 0) return err_set(e, "cannot read '%s': %s", path_of(s), strerror(errno));
    if (s->at) memmove(s->rest.data, s->rest.data + s->at, s->rest.n - s->at);
    s->consumed += s->at;
    s->rest.n -= s->at;
    s->searched = s->rest.n;
    s->at = 0;
    buf_put(&s->rest, block, (size_t)n);
    s->got += (size_t)n;
    s->ended = n == 0;
    return true;
}

/* ---- lines */
static bool not_utf8(const Source *s, size_t start, size_t bad, Err *e) {
    return err_set(e,
                   "%s:%llu: byte %zu of the line (offset %llu in the file) is 0x%02X, which is "
                   "not UTF-8; convert the file, for example: iconv -f latin1 -t utf-8 FILE > NEW",
                   path_of(s), (unsigned long long)s->line, bad - start + 1,
                   (unsigned long long)(s->consumed + bad), (unsigned char)s->rest.data[bad]);
}

static bool is_blank(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\v\f", p[i]) || !p[i]) return false;
    return true;
}

static void chunk_line(Chunk *c, const char *p, size_t n, bool starts_document) {
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : FIRST(1024);
        c->line = heap_resize(c->line, c->cap * sizeof *c->line);
    }
    c->line[c->n++] = (Line){c->text.n, c->text.n + n, starts_document};
    buf_put(&c->text, p, n);
}

/* The first byte of `start` to `end` that is not UTF-8 where it has to be, or `end`. */
static size_t find_bad(const Source *s, size_t start, size_t end) {
    return s->utf8 ? start + utf8_valid(s->rest.data + start, end - start) : end;
}

static bool has_mark(const Source *s, size_t start, size_t end) { /* of byte order */
    return s->consumed + start == 0 && end - start >= 3 &&
           !memcmp(s->rest.data + start, "\xEF\xBB\xBF", 3);
}

static bool give_line(Source *s, size_t start, size_t end, Chunk *c, Err *e) {
    const char *text = s->rest.data;
    s->line++;
    size_t bad = find_bad(s, start, end);
    if (bad < end) return not_utf8(s, start, bad, e);
    if (has_mark(s, start, end)) start += 3;
    if (end > start && text[end - 1] == '\r') end--;
    if (is_blank(text + start, end - start)) {
        s->starts = true;
        return true;
    }
    chunk_line(c, text + start, end - start, s->starts || s->unit == UNIT_lines);
    s->starts = false;
    s->any = true;
    return true;
}

/* ---- stretches */

/* Where the blanks and newlines before `end` begin, `start` at the least. */
static size_t before_blanks(const char *text, size_t start, size_t end) {
    while (end > start) {
        size_t at = end - 1;
        while (at > start && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
        int32_t c;
        if (!utf8_char(text, end, at, &c)) return end;
        utf8proc_category_t kind = utf8proc_category(c);
        bool blank = (c >= '\t' && c <= '\r') || c == 0x85 || kind == UTF8PROC_CATEGORY_ZS ||
                     kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
        if (!blank) return end;
        end = at;
    }
    return end;
}

static size_t count_newlines(const char *text, size_t n) {
    size_t lines = 0;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + n - at))); at++) lines++;
    return lines;
}

static bool give_stretch(Source *s, size_t start, size_t end, Chunk *c, Err *e) {
    size_t bad = find_bad(s, start, end), line = start;
    if (s->line == 0) s->line = 1; /* in which the stretch begins, and then in which it ends */
    s->line += count_newlines(s->rest.data + start, bad - start);
    for (size_t i = start; i < bad; i++)
        if (s->rest.data[i] == '\n') line = i + 1;
    if (bad < end) return not_utf8(s, line, bad, e);
    s->any = s->any || before_blanks(s->rest.data, start, end) > start;
    if (has_mark(s, start, end)) start += 3;
    if (start < end) chunk_line(c, s->rest.data + start, end - start, s->starts);
    s->starts = false;
    return true;
}

/* The end of the stretch that begins at s->at: before the blanks around the first newline that has
 * something else before it. False: it is not there yet. */
static bool find_stretch(Source *s, size_t *end) {
    const char *text = s->rest.data;
    for (size_t from = s->searched > s->at ? s->searched : s->at;;) {
        const char *newline = memchr(text + from, '\n', s->rest.n - from);
        *end = s->rest.n;
        if (!newline) return s->ended;
        from = (size_t)(newline - text) + 1;
        *end = before_blanks(text, s->at, from);
        if (*end > s->at) return true;
    }
}

static bool give_stretches(Source *s, size_t want, Chunk *c, Err *e) {
    size_t end;
    while (c->text.n < want && s->at < s->rest.n && find_stretch(s, &end)) {
        if (!give_stretch(s, s->at, end, c, e)) return false;
        s->at = s->searched = end;
    }
    return true;
}

/* Gives the complete lines that are at hand, until the chunk is full. */
static bool give_lines(Source *s, size_t want, Chunk *c, Err *e) {
    while (c->text.n < want && s->at < s->rest.n) {
        size_t start = s->at, from = s->searched > start ? s->searched : start;
        const char *end = memchr(s->rest.data + from, '\n', s->rest.n - from);
        if (!end && !s->ended) break;
        size_t stop = end ? (size_t)(end - s->rest.data) : s->rest.n;
        s->at = end ? stop + 1 : stop;
        if (!give_line(s, start, stop, c, e)) return false;
    }
    return true;
}

static bool no_text(const Source *s, Err *e) {
    if (s->files.n == 1)
        return err_set(e, "'%s' holds no text: it is empty, or all its lines are blank",
                       s->files.path[0]);
    return err_set(
        e, "the %zu files that match '%s' hold no text: '%s' and all others are empty or blank",
        s->files.n, s->pattern, s->files.path[0]);
}

bool source_read(Source *s, size_t want, Chunk *c, Err *e) {
    c->text.n = c->n = 0;
    while (c->text.n < want && s->file < s->files.n) {
        if (s->fd < 0 && !open_file(s, e)) return false;
        if (s->unit == UNIT_text ? !give_stretches(s, want, c, e) : !give_lines(s, want, c, e))
            return false;
        if (c->text.n >= want) break;
        if (s->ended ? !close_file(s, e) : !read_block(s, e)) return false;
    }
    return c->n || s->any || no_text(s, e);
}
