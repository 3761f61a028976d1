/* Between scanner and grammar: which newlines end a statement, which words are keywords here, and
 * whether brackets match. The rules are those of docs/language.md ("Lexical").
 *
 * Invariant: what the grammar sees is well bracketed as far as possible (a missing closer is
 * reported and supplied), every statement ends with NEWLINE, and END comes after one. */
#include "frontend/parse.h"
#include "frontend/parser.h"

#include <string.h>

static bool one_of(int kind, const int *kinds, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (kinds[i] == kind) return true;
    return false;
}
#define KINDS(...) ((const int[]){__VA_ARGS__})
#define ONE_OF(kind, ...)                                                                          \
    one_of((kind), KINDS(__VA_ARGS__), sizeof KINDS(__VA_ARGS__) / sizeof(int))

/* ---- words */
typedef enum When { STRUCT, START, AFTER, OVER, REPORT, SCALE, VALUE } When;
typedef struct Word {
    const char *text;
    int kind;
    When when;
} Word;
static const Word words[] = {
#define WORD(text, token, when) {text, TOKEN_##token, when},
#include "frontend/words.def"
#undef WORD
};
enum { WORDS = sizeof words / sizeof *words };

bool token_is_word(int kind) {
    for (size_t i = 0; i < WORDS; i++)
        if (words[i].kind == kind) return true;
    return kind == TOKEN_NAME;
}

const char *token_text(const Parser *p, const Token *t) {
    return arena_strndup(p->arena, p->text + t->start, t->n);
}

static bool token_says(const Parser *p, const Token *t, const char *word) {
    return t->n == strlen(word) && memcmp(p->text + t->start, word, t->n) == 0;
}

static const Word *find_word(const Parser *p, const Token *t) {
    for (size_t i = 0; t->kind == TOKEN_NAME && i < WORDS; i++)
        if (token_says(p, t, words[i].text)) return &words[i];
    return NULL;
}

const char *near_declaration(Parser *p, const Token *word) {
    const char *starts[WORDS];
    size_t n = 0;
    for (size_t i = 0; i < WORDS; i++)
        if (words[i].when == STRUCT || words[i].when == START) starts[n++] = words[i].text;
    return nearest_name(token_text(p, word), starts, n);
}

/* ---- looking ahead */
Token *token_ahead(Parser *p, size_t i) {
    while (p->token.n <= p->pos + i) {
        if (p->token.n && p->token.at[p->token.n - 1].kind == TOKEN_END)
            return &p->token.at[p->token.n - 1];
        Token t;
        scanner_next(p, &t);
        vec_push(p->arena, &p->token, t);
    }
    return &p->token.at[p->pos + i];
}

static bool is_semicolon(const Parser *p, const Token *t) {
    return t->kind == TOKEN_NEWLINE && p->text[t->start] == ';';
}

/* How many line ends stand next. */
static size_t lines_ahead(Parser *p) {
    size_t i = 0;
    while (token_ahead(p, i)->kind == TOKEN_NEWLINE && !is_semicolon(p, token_ahead(p, i))) i++;
    return i;
}

/* ---- keywords */
static bool ends_value(int kind) {
    return ONE_OF(kind, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_TRUE, TOKEN_FALSE, TOKEN_NONE,
                  TOKEN_RPAREN, TOKEN_RBRACKET, TOKEN_RBRACE, TOKEN_ELLIPSIS);
}

static bool starts_statement(const Parser *p) {
    return p->prev == TOKEN_NEWLINE || p->prev == TOKEN_LBRACE;
}

/* Is the i-th token ahead, a word that may start a statement, a keyword? `state = 3` and `sample.x`
 * bind and use names. */
static bool is_start(Parser *p, size_t i, int kind) {
    const Token *next = token_ahead(p, i + 1);
    if (ONE_OF(next->kind, TOKEN_ASSIGN, TOKEN_DOT, TOKEN_COMMA, TOKEN_LBRACKET)) return false;
    if (next->kind == TOKEN_LPAREN)
        return ONE_OF(kind, TOKEN_MINIMIZE, TOKEN_REPORT, TOKEN_SAMPLE, TOKEN_GENERATE);
    return next->kind != TOKEN_NAME || !token_says(p, next, "every");
}

static bool in_group(const Parser *p) {
    return p->nopen && p->open[p->nopen - 1].kind != TOKEN_LBRACE;
}

static bool is_after(const Parser *p, int kind) {
    if (kind == TOKEN_ON && ONE_OF(p->prev, TOKEN_TRAIN, TOKEN_EVAL, TOKEN_PREDICT)) return true;
    return !in_group(p) && ends_value(p->prev);
}

static bool is_report_kind(Parser *p) {
    const Token *next = token_ahead(p, 1);
    return p->prev == TOKEN_REPORT && next->kind == TOKEN_NAME && !token_says(p, next, "as");
}

/* What the next token, a name to the scanner, is here. */
static int word_kind(Parser *p) {
    const Word *w = find_word(p, token_ahead(p, 0));
    if (!w) return TOKEN_NAME;
    bool keyword = true;
    switch (w->when) {
    case STRUCT:
    case VALUE: break;
    case START: keyword = starts_statement(p) && is_start(p, 0, w->kind); break;
    case AFTER: keyword = is_after(p, w->kind); break;
    case OVER: keyword = ends_value(p->prev); break;
    case REPORT: keyword = is_report_kind(p); break;
    case SCALE: keyword = p->prev == TOKEN_LR; break;
    }
    return keyword ? w->kind : TOKEN_NAME;
}

/* ---- newlines */
static bool continues_after(int kind) {
    return ONE_OF(kind, TOKEN_PLUS, TOKEN_MINUS, TOKEN_STAR, TOKEN_SLASH, TOKEN_FLOORDIV,
                  TOKEN_PERCENT, TOKEN_AT, TOKEN_POW, TOKEN_PIPE, TOKEN_AND, TOKEN_EQ, TOKEN_NE,
                  TOKEN_LT, TOKEN_LE, TOKEN_GT, TOKEN_GE, TOKEN_COMMA, TOKEN_ASSIGN, TOKEN_ARROW,
                  TOKEN_WITH, TOKEN_OVER);
}

/* Does the line that starts with the i-th token ahead go on with the statement before it?
 * `over = 3` does not. */
static bool continues_before(Parser *p, size_t i) {
    const Token *t = token_ahead(p, i);
    if (t->kind == TOKEN_PIPE || token_says(p, t, "else")) return true;
    return (token_says(p, t, "over") || token_says(p, t, "with")) &&
           token_ahead(p, i + 1)->kind != TOKEN_ASSIGN;
}

/* Does the line end or semicolon at hand end a statement? */
static bool newline_counts(Parser *p) {
    bool semicolon = is_semicolon(p, token_ahead(p, 0));
    if (in_group(p)) return semicolon;
    if (starts_statement(p)) return false;
    if (semicolon) return true;
    return !continues_after(p->prev) && !continues_before(p, lines_ahead(p));
}

/* ---- brackets */
static int closer_of(int opener) {
    if (opener == TOKEN_LPAREN) return TOKEN_RPAREN;
    return opener == TOKEN_LBRACKET ? TOKEN_RBRACKET : TOKEN_RBRACE;
}

static char bracket_char(int kind) {
    return kind == TOKEN_LPAREN ? '(' : kind == TOKEN_LBRACKET ? '[' : '{';
}

/* A word that declares something at the left margin: no bracket can be meant to be open still. */
static bool is_declaration(Parser *p, const Token *t) {
    const Word *w = t->span.col == 1 ? find_word(p, t) : NULL;
    if (!w) return false;
    if (w->kind == TOKEN_FN) return token_ahead(p, 1)->kind == TOKEN_NAME;
    if (ONE_OF(w->kind, TOKEN_FOR, TOKEN_IF, TOKEN_ELSE, TOKEN_RETURN, TOKEN_AS, TOKEN_EVERY,
               TOKEN_MINIMIZE, TOKEN_UPDATE, TOKEN_REPORT, TOKEN_WATCH))
        return false;
    return w->when == STRUCT || (w->when == START && is_start(p, 0, w->kind));
}

static bool brace_open(const Parser *p) {
    for (int i = 0; i < p->nopen; i++)
        if (p->open[i].kind == TOKEN_LBRACE) return true;
    return false;
}

/* Must the innermost bracket be closed before token t, which cannot stand inside it? */
static bool must_close(Parser *p, const Token *t) {
    if (!p->nopen) return false;
    if (t->kind == TOKEN_RBRACE) return in_group(p) && brace_open(p);
    return t->kind == TOKEN_END || is_declaration(p, t);
}

static void report_open(Parser *p, const Token *t) {
    if (p->quiet) return;
    const Bracket *b = &p->open[p->nopen - 1];
    diag_error(p->diag, b->span, "this '%c' is not closed", bracket_char(b->kind));
    if (t->kind == TOKEN_END)
        diag_note(p->diag, t->span, "the file ends here");
    else
        diag_note(p->diag, t->span, "'%s' cannot stand inside it", token_text(p, t));
    p->quiet = true;
}

void tokens_note_bracket(Parser *p) {
    if (!in_group(p)) return;
    const Bracket *b = &p->open[p->nopen - 1];
    if (b->span.line != p->last.span.line)
        diag_note(p->diag, b->span, "'%c' was opened here", bracket_char(b->kind));
}

static bool push_bracket(Parser *p, int kind, Span at) {
    if (p->nopen == NEST_MAX) {
        diag_error(p->diag, at, "brackets are nested more than %d deep", NEST_MAX);
        p->quiet = true;
        return false;
    }
    p->open[p->nopen++] = (Bracket){kind, at};
    return true;
}

/* A closer of the wrong kind is taken for the right one; what closes nothing is left as it is. */
static int pop_bracket(Parser *p, int kind, Span at) {
    if (!p->nopen) return kind;
    const Bracket *b = &p->open[p->nopen - 1];
    int right = closer_of(b->kind);
    if (kind != right && (kind == TOKEN_RBRACE || right == TOKEN_RBRACE)) return kind;
    if (kind != right) {
        diag_error(p->diag, at, "this does not close '%c'", bracket_char(b->kind));
        diag_note(p->diag, b->span, "'%c' was opened here", bracket_char(b->kind));
    }
    p->nopen--;
    return right;
}

/* ---- after an error */

/* Lines indented more than the statement belong to it, if it was broken inside brackets. */
static bool line_ends_skip(Parser *p, bool in_brackets) {
    size_t i = lines_ahead(p);
    const Token *next = token_ahead(p, i);
    if (!i || continues_before(p, i)) return i == 0;
    return !in_brackets || next->kind == TOKEN_RBRACE || next->kind == TOKEN_END ||
           next->span.col <= p->statement_col;
}

/* A line that ends with ':' opens a body to those who write Python, and the lines of that go too.
 */
static void skip_statement(Parser *p, bool in_brackets, int depth) {
    int before = p->last.kind;
    for (;; p->pos++) {
        const Token *t = token_ahead(p, 0);
        if (t->kind == TOKEN_END || is_declaration(p, t)) return;
        if (t->kind == TOKEN_LBRACE) depth++;
        if (t->kind == TOKEN_RBRACE && depth-- == 0) return;
        if (before == TOKEN_COLON && t->kind == TOKEN_NEWLINE) in_brackets = true;
        if (t->kind == TOKEN_NEWLINE && depth == 0 && line_ends_skip(p, in_brackets)) return;
        before = t->kind;
    }
}

void tokens_recover(Parser *p) {
    p->panic = p->last.kind != TOKEN_NEWLINE && p->last.kind != TOKEN_END;
    p->skip_body = p->last.kind == TOKEN_LBRACE && p->nopen;
    p->skip_lines = false;
    if (p->skip_body) p->nopen--;
    for (; in_group(p); p->nopen--) p->panic = p->skip_lines = true;
}

static void end_panic(Parser *p) {
    p->panic = false;
    skip_statement(p, p->skip_lines, p->skip_body);
    p->prev = TOKEN_NAME; /* so that a newline counts */
}

/* ---- what the grammar asks for */
static int give(Parser *p, int kind, const Token *t, UPM_STYPE *value, Span *at) {
    p->before = p->last;
    p->last = *t;
    p->last.kind = p->prev = kind;
    *at = t->span;
    if (kind == TOKEN_NUMBER) value->TOKEN_NUMBER = t->value;
    if (kind == TOKEN_STRING) value->TOKEN_STRING = t->value;
    if (kind == TOKEN_NAME) value->TOKEN_NAME = token_text(p, t);
    return kind;
}

/* A token that is not in the text, just before t. */
static int supply(Parser *p, int kind, const Token *t, UPM_STYPE *value, Span *at) {
    Token made = *t;
    made.span.end_line = made.span.line;
    made.span.end_col = made.span.col;
    return give(p, kind, &made, value, at);
}

static int close_innermost(Parser *p, const Token *t, UPM_STYPE *value, Span *at) {
    int closer = closer_of(p->open[p->nopen - 1].kind);
    report_open(p, t);
    if (closer == TOKEN_RBRACE) p->unclosed = true;
    if (closer == TOKEN_RBRACE && !starts_statement(p))
        return supply(p, TOKEN_NEWLINE, t, value, at);
    p->nopen--;
    return supply(p, closer, t, value, at);
}

/* The next token of the text, whatever stands before it having been dealt with. */
static int take(Parser *p, UPM_STYPE *value, Span *at) {
    const Token *t = token_ahead(p, 0);
    if (starts_statement(p)) p->statement_col = t->span.col;
    p->quiet = false;
    int kind = t->kind == TOKEN_NAME ? word_kind(p) : t->kind;
    if (ONE_OF(kind, TOKEN_LPAREN, TOKEN_LBRACKET, TOKEN_LBRACE)) {
        if (!push_bracket(p, kind, t->span)) return give(p, TOKEN_END, t, value, at);
    }
    if (ONE_OF(kind, TOKEN_RPAREN, TOKEN_RBRACKET, TOKEN_RBRACE))
        kind = pop_bracket(p, kind, t->span);
    if (kind != TOKEN_END) p->pos++;
    return give(p, kind, t, value, at);
}

int upm_lex(UPM_STYPE *value, Span *at, Parser *p) {
    if (p->first) {
        int first = p->first;
        p->first = 0;
        p->prev = TOKEN_NEWLINE;
        *at = (Span){p->file, 1, 1, 1, 1, 0};
        return first;
    }
    if (p->panic) end_panic(p);
    while (token_ahead(p, 0)->kind == TOKEN_NEWLINE && !newline_counts(p)) p->pos++;
    const Token *t = token_ahead(p, 0);
    if (must_close(p, t)) return close_innermost(p, t, value, at);
    bool ends = t->kind == TOKEN_RBRACE || t->kind == TOKEN_END || is_declaration(p, t);
    if (ends && !starts_statement(p)) return supply(p, TOKEN_NEWLINE, t, value, at);
    return take(p, value, at);
}
