/* Tokens of the text form. Works on n bytes that may hold anything, never past them; numbers and
 * references are range checked here, so the parser sees only values that fit. */
#include "ir/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 63 }; /* characters */

static int peek(const Lexer *l, size_t ahead) {
    return l->at + ahead < l->n ? (unsigned char)l->text[l->at + ahead] : -1;
}

static int take(Lexer *l) {
    int c = peek(l, 0);
    if (c < 0) return c;
    l->at++;
    l->col++;
    if (c == '\n') {
        l->line++;
        l->col = 1;
    }
    return c;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}
static bool is_hex(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_path(int c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '/' || c == '+' || c == '-';
}

static void skip_blank(Lexer *l) {
    for (;;) {
        int c = peek(l, 0);
        if (c == '#')
            while (peek(l, 0) >= 0 && peek(l, 0) != '\n') take(l);
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            take(l);
        else
            return;
    }
}

static void bad(Token *t, const char *why) {
    t->kind = TOK_bad;
    t->text = why;
}

/* ---- numbers */

static void take_digits(Lexer *l, bool hex) {
    while (hex ? is_hex(peek(l, 0)) : is_digit(peek(l, 0))) take(l);
}

/* Takes the characters of a number; true: it is a float. */
static bool take_number(Lexer *l, bool *hex) {
    bool is_float = false;
    if (peek(l, 0) == '-') take(l);
    *hex = peek(l, 0) == '0' && peek(l, 1) == 'x';
    if (*hex) {
        take(l);
        take(l);
    }
    take_digits(l, *hex);
    if (peek(l, 0) == '.') {
        is_float = true;
        take(l);
        take_digits(l, *hex);
    }
    int exponent = peek(l, 0), sign = peek(l, 1) == '-' || peek(l, 1) == '+';
    if ((*hex ? exponent == 'p' : exponent == 'e') && is_digit(peek(l, 1 + (size_t)sign))) {
        is_float = true;
        for (int i = 0; i < 1 + sign; i++) take(l);
        take_digits(l, false);
    }
    return is_float;
}

static void lex_number(Lexer *l, Token *t) {
    char s[NUMBER_MAX + 1], *end = s;
    size_t start = l->at;
    bool is_float = take_number(l, &t->is_hex);
    size_t n = l->at - start;
    if (n > NUMBER_MAX) {
        bad(t, "a number that is too long");
        return;
    }
    memcpy(s, l->text + start, n);
    s[n] = 0;
    t->kind = is_float ? TOK_float : TOK_int;
    t->f = strtod(s, &end);
    if (*end || end == s) bad(t, "a malformed number");
    if (is_float) return;
    errno = 0;
    if (t->is_hex && s[0] != '-')
        t->hex = strtoull(s, &end, 16);
    else
        t->i = strtoll(s, &end, 10);
    if (errno || *end) bad(t, "an integer that does not fit 64 bits");
    if (!t->is_hex) t->hex = t->i < 0 ? 0 : (uint64_t)t->i;
}

static bool lex_uint32(Lexer *l, uint32_t *v) {
    uint64_t x = 0;
    if (!is_digit(peek(l, 0))) return false;
    while (is_digit(peek(l, 0)) && x <= UINT32_MAX) x = x * 10 + (uint64_t)(take(l) - '0');
    *v = (uint32_t)x;
    return x <= UINT32_MAX;
}

static void lex_ref(Lexer *l, Token *t) {
    uint32_t node;
    take(l);
    t->kind = TOK_ref;
    if (!lex_uint32(l, &node))
        bad(t, "a malformed reference");
    else
        t->i = node;
    if (peek(l, 0) != '.') return;
    take(l);
    if (!lex_uint32(l, &t->out)) bad(t, "a malformed reference");
}

/* ---- strings and names */

static int hex_value(int c) {
    return is_digit(c) ? c - '0' : (c | 32) - 'a' + 10;
}

/* The character after a backslash; -1: no such escape. */
static int lex_escape(Lexer *l) {
    int c = take(l);
    if (c == 'n') return '\n';
    if (c == '"' || c == '\\') return c;
    if (c != 'x' || !is_hex(peek(l, 0)) || !is_hex(peek(l, 1))) return -1;
    int high = hex_value(take(l)), v = high * 16 + hex_value(take(l));
    return v ? v : -1;
}

static void lex_string(Lexer *l, Token *t) {
    VEC(char) s = {0};
    take(l);
    for (;;) {
        int c = take(l);
        if (c == '"') break;
        bool escaped = c == '\\';
        if (escaped) c = lex_escape(l);
        if (c <= 0 || (c == '\n' && !escaped)) {
            bad(t, "a string with a bad character or without its end");
            return;
        }
        vec_push(l->arena, &s, (char)c);
    }
    vec_push(l->arena, &s, 0);
    t->kind = TOK_str;
    t->text = s.at;
}

static void lex_name(Lexer *l, Token *t) {
    size_t start = l->at;
    while (is_letter(peek(l, 0)) || is_digit(peek(l, 0))) take(l);
    t->kind = TOK_name;
    t->text = arena_strndup(l->arena, l->text + start, l->at - start);
}

static void lex_punct(Lexer *l, Token *t) {
    int c = take(l);
    t->kind = TOK_punct;
    t->punct = (char)c;
    if (!c || c > 126 || !strchr("{}[]()=:,*?@", c)) bad(t, "a character that has no place here");
}

/* ---- tokens */

Token lex_next(Lexer *l) {
    skip_blank(l);
    Token t = {.kind = TOK_end, .span = {.line = l->line, .col = l->col}};
    int c = peek(l, 0);
    bool negative = c == '-' && peek(l, 1) == 'i';
    if (is_digit(c) || (c == '-' && !negative))
        lex_number(l, &t);
    else if (negative) { /* -inf */
        take(l);
        lex_name(l, &t);
        if (str_eq(t.text, "inf"))
            t.text = "-inf";
        else
            bad(&t, "a malformed number");
    } else if (c == '%')
        lex_ref(l, &t);
    else if (c == '"')
        lex_string(l, &t);
    else if (is_letter(c))
        lex_name(l, &t);
    else if (c >= 0)
        lex_punct(l, &t);
    t.span.end_line = l->line;
    t.span.end_col = l->col;
    return t;
}

static bool lex_char(Lexer *l, int c) {
    return peek(l, 0) == c && take(l) == c;
}

bool lex_place(Lexer *l, const char **path, Span *span) {
    skip_blank(l);
    if (peek(l, 0) == '"') {
        Token t = {0};
        lex_string(l, &t);
        if (t.kind != TOK_str) return false;
        *path = t.text;
    } else {
        size_t start = l->at;
        while (is_path(peek(l, 0))) take(l);
        if (l->at == start) return false;
        *path = arena_strndup(l->arena, l->text + start, l->at - start);
    }
    return lex_char(l, ':') && lex_uint32(l, &span->line) && lex_char(l, ':') &&
           lex_uint32(l, &span->col) && lex_char(l, '-') && lex_uint32(l, &span->end_line) &&
           lex_char(l, ':') && lex_uint32(l, &span->end_col);
}
