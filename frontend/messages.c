/* What a syntax error says. What was expected is told in the reader's words (a list of thirty
 * tokens becomes 'an expression'), and a hint is added where what was meant can be seen: a word of
 * another language, a slip of the table below, a word nearly right, a comma left out. */
#include "frontend/foreign.h"
#include "frontend/parse.h"
#include "frontend/parser.h"

#include <string.h>

static bool expects(const Expected *e, int kind) {
    for (int i = 0; i < e->n; i++)
        if (e->kind[i] == kind) return true;
    return false;
}

/* ---- what was expected */

/* Is the token covered by 'a statement' or 'an expression', or one of those that go unsaid? */
static bool is_covered(const Expected *e, int kind) {
    bool value = expects(e, TOKEN_NUMBER), joins = expects(e, TOKEN_PLUS);
    switch (kind) {
    case TOKEN_BAD:
    case TOKEN_START_FILE:
    case TOKEN_START_EXPR: return true;
    case TOKEN_NUMBER:
    case TOKEN_STRING:
    case TOKEN_TRUE:
    case TOKEN_FALSE:
    case TOKEN_NONE:
    case TOKEN_NOT:
    case TOKEN_NAME: return value;
    case TOKEN_FN:
    case TOKEN_MINUS:
    case TOKEN_LPAREN:
    case TOKEN_LBRACKET: return value || joins;
    case TOKEN_POW:
    case TOKEN_DOT: return joins;
    case TOKEN_ASSIGN:
    case TOKEN_ARROW:
    case TOKEN_OVER: return joins && expects(e, TOKEN_COMMA);
    default: break;
    }
    if (kind >= TOKEN_PIPE && kind <= TOKEN_AT) return true;
    return expects(e, TOKEN_IMPORT) && kind >= TOKEN_FN && kind <= TOKEN_WATCH;
}

static void list_expected(const Expected *e, Buf *b) {
    enum { MOST = 6 };
    const char *word[MOST + 2];
    int n = 0;
    if (expects(e, TOKEN_IMPORT))
        word[n++] = "a statement";
    else if (expects(e, TOKEN_NUMBER))
        word[n++] = "an expression";
    for (int i = 0; i < e->n && n <= MOST; i++)
        if (!is_covered(e, e->kind[i])) word[n++] = e->name[i];
    for (int i = 0; n <= MOST && i < n; i++)
        buf_printf(b, "%s%s", i == 0 ? "expected " : i == n - 1 ? " or " : ", ", word[i]);
}

static const char *describe(Parser *p, const Token *t) {
    const char *text = token_text(p, t);
    if (t->start >= p->n) return "end of file";
    if (p->text[t->start] == '\n') return "end of line";
    if (t->kind == TOKEN_STRING) return "a string";
    return arena_printf(p->arena, "'%.40s'", text);
}

/* ---- what was meant */
typedef struct Slip {
    int found, before;     /* the token and the one before it */
    int expected, instead; /* what could stand there, and what could not; 0: whatever */
    const char *hint;
} Slip;
static const char loop[] = "for i in range(n) { ... }";
static const char clause[] = "the number follows without '=': batch 32 steps 100k";
static const Slip slips[] = {
    {TOKEN_ASSIGN, TOKEN_BATCH, 0, 0, clause},
    {TOKEN_ASSIGN, TOKEN_STEPS, 0, 0, clause},
    {TOKEN_ASSIGN, TOKEN_EPOCHS, 0, 0, clause},
    {TOKEN_ASSIGN, 0, TOKEN_IN, 0, loop},
    {TOKEN_LPAREN, TOKEN_FOR, 0, 0, loop},
    {TOKEN_ASSIGN, 0, TOKEN_PLUS, TOKEN_NEWLINE, "two values are compared with '=='"},
    {TOKEN_COMMA, 0, TOKEN_PLUS, TOKEN_NUMBER, "several values are written (a, b)"},
    {TOKEN_COLON, 0, TOKEN_LBRACE, 0, "a body stands in braces: { ... }"},
    {TOKEN_COLON, 0, TOKEN_EVERY, 0, "a setting is written seed = 1"},
    {TOKEN_COLON, 0, TOKEN_NEWLINE, 0, "only parameters, params and states are given a type"},
    {TOKEN_IF, 0, TOKEN_PLUS, 0,
     "where(condition, a, b) chooses; or `if` with an assignment in each branch"},
    {TOKEN_FOR, 0, TOKEN_PLUS, 0, "a list grows in a loop: for x in xs { ys = ys + [f(x)] }"},
    {TOKEN_LBRACE, 0, TOKEN_NUMBER, 0, "braces hold statements; a list is written [a, b]"},
    {TOKEN_FLOORDIV, 0, TOKEN_NUMBER, 0, "a comment starts with '#'"},
    {TOKEN_LPAREN, TOKEN_NAME, TOKEN_LBRACKET, TOKEN_PLUS, "dimensions stand in brackets: w[3, 4]"},
    {TOKEN_OVER, 0, TOKEN_NEWLINE, 0,
     "`over` stands inside the parentheses of a call, sum(x over T); in minimize, before `with`"},
    {TOKEN_NEWLINE, 0, TOKEN_WITH, 0, "minimize LOSS with adamw(1e-3)"},
    {TOKEN_NUMBER, TOKEN_DOT, 0, 0, "an element of an array is written layer[3]"},
};

static const char *find_slip(const Parser *p, const Expected *e) {
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const Slip *s = &slips[i];
        if (s->found == p->last.kind && (!s->before || s->before == p->before.kind) &&
            (!s->expected || expects(e, s->expected)) && (!s->instead || !expects(e, s->instead)))
            return s->hint;
    }
    bool compared = p->last.kind >= TOKEN_EQ && p->last.kind <= TOKEN_GE;
    if (compared && expects(e, TOKEN_PLUS)) return "comparisons do not chain: write a < b & b < c";
    return NULL;
}

static bool adjacent(const Token *a, const Token *b) {
    return a->start + a->n == b->start;
}

/* The nearest of the expected words to one that was found: batch for bacth. */
static const char *near_word(Parser *p, const Expected *e) {
    const char **names = NEW_N(p->arena, const char *, e->n + 1);
    size_t n = 0;
    for (int i = 0; i < e->n; i++) {
        size_t length = strlen(e->name[i]);
        if (length <= 3 || e->name[i][1] < 'a' || e->name[i][1] > 'z') continue;
        names[n++] = arena_strndup(p->arena, e->name[i] + 1, length - 2);
    }
    const char *near = nearest_name(token_text(p, &p->last), names, n);
    const Token *b = &p->before;
    bool second = b->kind == TOKEN_NAME && b->span.col == p->statement_col &&
                  b->span.line == p->last.span.line;
    return near || !second ? near : near_declaration(p, b);
}

static void hint_meant(Parser *p, const Expected *e) {
    const char *hint = find_slip(p, e), *near = NULL;
    bool word = token_is_word(p->last.kind), string = p->last.kind == TOKEN_STRING;
    if (!hint && string && p->before.kind == TOKEN_NAME && adjacent(&p->before, &p->last))
        hint = "a value stands in a string as \"${name}\"";
    if (!hint && word) near = near_word(p, e);
    bool needs_body = expects(e, TOKEN_LBRACE) && expects(e, TOKEN_PLUS);
    bool operand = word || string || p->last.kind == TOKEN_NUMBER;
    if (near)
        diag_hint(p->diag, "did you mean '%s'?", near);
    else if (hint)
        diag_hint(p->diag, "%s", hint);
    else if (needs_body)
        diag_hint(p->diag, "a body stands in braces: { ... }");
    else if (operand && p->before.span.end_line == p->last.span.line && expects(e, TOKEN_COMMA) &&
             expects(e, TOKEN_PLUS))
        diag_hint(p->diag, "is a ',' missing before it?");
}

/* A word of another language is the error itself, if it is the token found or the one before. */
static bool report_foreign(Parser *p) {
    const Token *word[] = {&p->last, &p->before};
    if (!token_is_word(p->last.kind) && p->last.kind != TOKEN_NUMBER &&
        p->last.kind != TOKEN_STRING)
        return false;
    for (int i = 0; i < 2; i++) {
        const char *text = token_text(p, word[i]), *hint = foreign_word(text);
        if (!hint || word[i]->span.line != p->last.span.line) continue;
        diag_error(p->diag, word[i]->span, "there is no '%s' here", text);
        diag_hint(p->diag, "%s", hint);
        return true;
    }
    return false;
}

void report_syntax(Parser *p, Span at, const Expected *e) {
    if (report_foreign(p)) return;
    Buf b = {0};
    list_expected(e, &b);
    const char *what = describe(p, &p->last);
    if (b.n)
        diag_error(p->diag, at, "%s, found %s", b.data, what);
    else
        diag_error(p->diag, at, "%s cannot stand here", what);
    buf_free(&b);
    tokens_note_bracket(p);
    hint_meant(p, e);
}
