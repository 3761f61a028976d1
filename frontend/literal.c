/* The values of numbers and strings, from their spelling. What is wrong is reported at its own
 * place inside the literal; the value is then 0 or what could be read. */
#include "frontend/parser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers */
static Expr *make_int(Parser *p, Span at, int64_t i) {
    Expr *e = expr_new(p, EXPR_int, at);
    e->i = i;
    return e;
}

static Expr *too_large(Parser *p, Span at, const char *limit) {
    diag_error(p->diag, at, "this number is too large: the largest %s", limit);
    return make_int(p, at, 0);
}

static Expr *integer_limit(Parser *p, Span at) {
    return too_large(p, at, "integer is 9223372036854775807");
}

static bool times_plus(int64_t *v, int64_t factor, int64_t plus) {
    return !__builtin_mul_overflow(*v, factor, v) && !__builtin_add_overflow(*v, plus, v);
}

static int64_t digit_value(char c) {
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static Expr *hex_number(Parser *p, Span at, const char *s) {
    int64_t v = 0;
    for (; *s; s++)
        if (!times_plus(&v, 16, digit_value(*s))) return integer_limit(p, at);
    return make_int(p, at, v);
}

static Expr *float_number(Parser *p, Span at, const char *s, double scale) {
    Expr *e = expr_new(p, EXPR_float, at);
    e->f = strtod(s, NULL) * scale;
    if (e->f > 1.7976931348623157e308) return too_large(p, at, "float is 1.7976931348623157e308");
    return e;
}

/* Digits, perhaps a point, and a suffix: an integer if it is one (1.5k is 1500), else a float. */
static Expr *decimal_number(Parser *p, Span at, const char *s, char suffix) {
    int64_t scale = suffix == 'k' ? 1000 : suffix == 'M' ? 1000000 : suffix == 'G' ? 1000000000 : 1;
    const char *point = strchr(s, '.');
    if (point && scale == 1) return float_number(p, at, s, 1);
    int64_t v = 0, below = 1;
    for (const char *c = s; *c; c++) {
        if (*c == '.') continue;
        if (!times_plus(&v, 10, *c - '0')) return integer_limit(p, at);
        if (point && c > point && !times_plus(&below, 10, 0))
            return float_number(p, at, s, (double)scale);
    }
    if (!times_plus(&v, scale, 0)) return integer_limit(p, at);
    return v % below ? float_number(p, at, s, (double)scale) : make_int(p, at, v / below);
}

Expr *number_literal(Parser *p, Span at, const char *s, size_t n) {
    char *digits = arena_alloc(p->arena, n + 1), *d = digits;
    for (size_t i = 0; i < n; i++)
        if (s[i] != '_') *d++ = s[i];
    if (n > 2 && (s[1] | 32) == 'x') return hex_number(p, at, digits + 2);
    if (strpbrk(digits, "eE")) return float_number(p, at, digits, 1);
    char suffix = d[-1];
    if (suffix == 'k' || suffix == 'M' || suffix == 'G') d[-1] = 0;
    return decimal_number(p, at, digits, suffix);
}

/* ---- strings */
typedef struct Cut { /* the rest of a literal, and what was read of it */
    Parser *p;
    const char *start, *s, *end;
    Span span;
    Buf text;
    size_t text_at; /* where the present piece of plain text began */
    Exprs part;
} Cut;

static Span cut_span(const Cut *c, const char *from, const char *to) {
    Span at = c->span;
    at.end_col = at.col + (uint32_t)(to - c->start);
    at.col += (uint32_t)(from - c->start);
    return at;
}

static void put_utf8(Buf *b, uint32_t c) {
    char out[4];
    if (c < 0x80) {
        out[0] = (char)c;
        buf_put(b, out, 1);
        return;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00 >> n & 0xFF) | c);
    buf_put(b, out, n);
}

/* \u{...}: s stands at the brace. */
static void put_code_point(Cut *c, const char *escape) {
    uint32_t v = 0;
    const char *s = c->s;
    if (s < c->end && *s == '{') s++;
    while (s < c->end && *s && strchr("0123456789abcdefABCDEF", *s) && v < 0x110000)
        v = v * 16 + (uint32_t)digit_value(*s++);
    bool closed = s < c->end && *s == '}' && s > c->s + 1;
    if (closed) s++;
    if (!closed || v == 0 || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
        diag_error(c->p->diag, cut_span(c, escape, s),
                   "\\u{...} takes the hexadecimal number of a character, as in \\u{e9}");
    else
        put_utf8(&c->text, v);
    c->s = s;
}

static void put_escape(Cut *c) {
    static const char letters[] = "nt\"\\$", values[] = "\n\t\"\\$";
    const char *escape = c->s++, *found = *c->s ? strchr(letters, *c->s) : NULL;
    char letter = *c->s++;
    if (letter == 'u')
        put_code_point(c, escape);
    else if (found)
        buf_put(&c->text, &values[found - letters], 1);
    else {
        diag_error(c->p->diag, cut_span(c, escape, c->s), "there is no such escape in strings");
        diag_hint(c->p->diag, "\\n \\t \\\" \\\\ \\$ \\u{...}");
    }
}

static void end_piece(Cut *c) {
    if (c->text.n == c->text_at) return;
    Expr *e = expr_new(c->p, EXPR_string, c->span);
    e->string.text = arena_strndup(c->p->arena, c->text.data + c->text_at, c->text.n - c->text_at);
    vec_push(c->p->arena, &c->part, e);
    c->text_at = c->text.n;
}

static bool is_name_byte(char ch, bool first) {
    return ch == '_' || ((ch | 32) >= 'a' && (ch | 32) <= 'z') ||
           (!first && ch >= '0' && ch <= '9');
}

/* A dotted name up to the brace; NULL if it is not one. */
static Expr *read_path(Cut *c) {
    Expr *e = NULL;
    for (;;) {
        const char *from = c->s;
        while (c->s < c->end && is_name_byte(*c->s, c->s == from)) c->s++;
        if (c->s == from) return NULL;
        const char *name = arena_strndup(c->p->arena, from, (size_t)(c->s - from));
        Span at = cut_span(c, from, c->s);
        e = e ? expr_field(c->p, e, name, at) : expr_name(c->p, name, at);
        if (c->s == c->end || *c->s != '.') return e;
        c->s++;
    }
}

static void put_interpolation(Cut *c) {
    const char *from = c->s;
    end_piece(c);
    c->s += 2;
    Expr *e = read_path(c);
    if (e && c->s < c->end && *c->s == '}') {
        c->s++;
        vec_push(c->p->arena, &c->part, e);
        return;
    }
    diag_error(c->p->diag, cut_span(c, from, c->s),
               "${...} in a string takes a name, as in ${bert.d}");
    diag_hint(c->p->diag, "a plain dollar before a brace is \\$");
}

Expr *string_literal(Parser *p, Span at, const char *s, size_t n) {
    Cut c = {.p = p, .start = s, .s = s + 1, .end = s + n - 1, .span = at};
    while (c.s < c.end) {
        if (*c.s == '\\')
            put_escape(&c);
        else if (*c.s == '$' && c.s[1] == '{')
            put_interpolation(&c);
        else if (*c.s == 0)
            diag_error(p->diag, cut_span(&c, c.s, c.s + 1), "a zero byte in a string"), c.s++;
        else
            buf_put(&c.text, c.s++, 1);
    }
    Expr *e = expr_new(p, EXPR_string, at);
    if (c.part.n) {
        end_piece(&c);
        e->string.part = c.part;
    } else {
        e->string.text = arena_strndup(p->arena, c.text.data, c.text.n);
    }
    buf_free(&c.text);
    return e;
}
