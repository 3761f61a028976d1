/* Decoded texts for a person: the texts of one sample under each other, word under word, so that
 * what was hidden and what was filled in stand in one column; long samples go on below, all texts
 * together.
 *
 * A column begins where every text of the sample begins a word. Texts whose tokens do not match one
 * to one are shown one after the other. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "runtime/report/report.h"

enum { PLAIN_COLUMNS = 100, INDENT = 2, GAP = 2 };

size_t report_columns(FILE *f) {
    struct winsize w;
    if (!isatty(fileno(f))) return PLAIN_COLUMNS;
    return ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1u : 79;
}

typedef struct Cell { /* what one text has in one column */
    const char *at;
    size_t n, width;
} Cell;
typedef struct Sample { /* texts that are shown together */
    Arena *arena;
    const ReportText *text; /* ntext of them, side by side in the report */
    size_t ntext;
    VEC(Cell) cell; /* ntext a column */
} Sample;

static size_t display_width(const char *s, size_t n) {
    size_t width = 0;
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t length =
            utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
        int w = length > 0 ? utf8proc_charwidth(c) : 1;
        width += w > 0 ? (size_t)w : 0;
        i += length > 0 ? (size_t)length : 1;
    }
    return width;
}

static void add_cell(Sample *s, const char *text, size_t from, size_t to) {
    while (from < to && text[from] == ' ') from++;
    Cell c = {text + from, to - from, display_width(text + from, to - from)};
    vec_push(s->arena, &s->cell, c);
}

/* ---- columns */

static size_t end_before(const ReportText *t, size_t token) {
    return token ? t->end[token - 1] : 0;
}

/* Whether every text that has something there begins a word with this token. */
static bool is_break(const Sample *s, size_t token) {
    bool any = false;
    for (size_t i = 0; i < s->ntext; i++) {
        const ReportText *t = &s->text[i];
        size_t from = end_before(t, token);
        if (t->end[token] == from) continue;
        if (t->text[from] != ' ') return false;
        any = true;
    }
    return any;
}

static void add_columns(Sample *s) {
    size_t n = s->text->ntoken;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && !is_break(s, to);) to++;
        for (size_t i = 0; i < s->ntext; i++)
            add_cell(s, s->text[i].text, end_before(&s->text[i], from), s->text[i].end[to - 1]);
    }
}

static void add_words(Sample *s) {
    const char *text = s->text->text;
    for (size_t at = 0, n; text[at]; at += n) {
        n = strspn(text + at, " ");
        n += strcspn(text + at + n, " ");
        add_cell(s, text, at, at + n);
    }
}

/* ---- lines */

static size_t column_width(const Sample *s, size_t column) {
    size_t width = 0;
    for (size_t i = 0; i < s->ntext; i++) {
        size_t w = s->cell.at[column * s->ntext + i].width;
        if (w > width) width = w;
    }
    return width;
}

/* Text from a model may hold any byte; a terminal must not obey it. */
static void put_shown(Buf *b, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i];
        buf_put(b, &c, 1);
    }
}

static void print_line(FILE *f, const Sample *s, size_t text, size_t first, size_t last,
                       int label) {
    Buf b = {0};
    bool named = s->ntext > 1 || first == 0;
    buf_printf(&b, "%*s%-*s%*s", INDENT, "", label, named ? s->text[text].name : "", GAP, "");
    for (size_t i = first; i < last; i++) {
        const Cell *c = &s->cell.at[i * s->ntext + text];
        put_shown(&b, c->at, c->n);
        buf_printf(&b, "%*s", (int)(column_width(s, i) - c->width) + 1, "");
    }
    while (b.n && b.data[b.n - 1] == ' ') b.n--;
    fprintf(f, "%.*s\n", (int)b.n, b.data);
    buf_free(&b);
}

static void print_sample(FILE *f, Sample *s, size_t width, int label) {
    if (s->text->end)
        add_columns(s);
    else
        add_words(s);
    size_t columns = s->cell.n / s->ntext, room = (size_t)label + INDENT + GAP;
    room = width > room ? width - room : 1;
    for (size_t first = 0, last; first < columns || first == 0; first = last) {
        size_t used = 0;
        for (last = first; last < columns; last++) {
            size_t w = column_width(s, last);
            if (last > first && used + w > room) break;
            used += w + 1;
        }
        for (size_t i = 0; i < s->ntext; i++) print_line(f, s, i, first, last, label);
        if (last >= columns) break;
    }
}

/* How many texts from `first` are of one sample and match token by token. */
static size_t together(const Report *r, size_t first) {
    const ReportText *t = &r->text.at[first];
    size_t n = first + 1;
    while (t->end && n < r->text.n && r->text.at[n].row == t->row && r->text.at[n].end &&
           r->text.at[n].ntoken == t->ntoken)
        n++;
    return n - first;
}

void texts_print(FILE *f, const Report *r, int rows) {
    int label = 0;
    size_t width = report_columns(f);
    for (size_t i = 0; i < r->text.n; i++)
        if ((int)strlen(r->text.at[i].name) > label) label = (int)strlen(r->text.at[i].name);
    int row = -1;
    for (size_t i = 0, n; i < r->text.n && r->text.at[i].row < rows; i += n) {
        Arena *a = arena_new();
        n = together(r, i);
        Sample s = {.arena = a, .text = &r->text.at[i], .ntext = n};
        if (row >= 0 && r->text.at[i].row != row) fputc('\n', f);
        row = r->text.at[i].row;
        print_sample(f, &s, width, label);
        arena_free(a);
    }
}
