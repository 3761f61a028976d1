/* Inside the front of the frontend: from text to syntax.
 *
 *   lex.l      bytes to raw tokens; every word is a name
 *   tokens.c   raw tokens to the grammar's: newlines, keywords, brackets
 *   parse.y    the grammar;  messages.c  what is said of its errors
 *   build.c    makes the nodes of ast.h;  literal.c  the values of numbers and strings */
#ifndef UPT_PARSER_H
#define UPT_PARSER_H

#include "frontend/ast.h"

enum { NEST_MAX = 100, SOURCE_MAX = 16 << 20 };

typedef struct Token {
    int kind;
    Span span;
    size_t start, n; /* its bytes in the text */
    Expr *value;     /* of a number or a string */
} Token;

typedef struct Bracket {
    int kind;
    Span span;
} Bracket;

typedef struct Parser {
    Arena *arena;
    Diag *diag;
    uint32_t file;
    const char *text;
    size_t n;

    void *scanner; /* of flex */
    uint32_t line, col;
    size_t offset;
    VEC(Token) token; /* read so far; never more than a statement ahead */
    size_t pos;       /* the next to give out */

    int first;    /* says what is parsed, a file or an expression; 0 once given */
    int prev;     /* kind given out last */
    Token last;   /* the same, for messages */
    Token before; /* and the one before it */
    uint32_t statement_col;
    Bracket open[NEST_MAX];
    int nopen;
    bool panic;      /* after an error: the rest of the statement is skipped, */
    bool skip_body;  /* with the body whose brace was the error, */
    bool skip_lines; /* and with further lines of the brackets it happened in */
    bool quiet;      /* the next syntax error follows from one already reported */
    bool deep;       /* nesting was reported */
    bool drop;       /* and the statement at hand is left out for it */
    bool unclosed;   /* a brace was closed for it: the declaration at hand holds who knows what */

    Stmts stmts; /* results */
    Expr *expr;
} Parser;

/* ---- lex.l */
bool scanner_open(Parser *p);
void scanner_close(Parser *p);
void scanner_next(Parser *p, Token *t);

/* ---- tokens.c */
Token *token_ahead(Parser *p, size_t i); /* the i-th from the next; the end of the file repeats */
void tokens_recover(Parser *p);          /* at a syntax error: skip to the end of the statement */
bool token_is_word(int kind);
const char *token_text(const Parser *p, const Token *t);
void tokens_note_bracket(Parser *p); /* notes a bracket that is open since an earlier line */
/* The word that starts declarations and was nearly written; NULL: none. */
const char *near_declaration(Parser *p, const Token *word);

/* ---- messages.c */
typedef struct Expected { /* the grammar's tokens at an error, and what messages call them */
    int *kind;
    const char **name;
    int n;
} Expected;
void report_syntax(Parser *p, Span at, const Expected *e); /* at p->last */

/* ---- literal.c */
Expr *number_literal(Parser *p, Span at, const char *s, size_t n);
Expr *string_literal(Parser *p, Span at, const char *s, size_t n); /* s, n: with its quotes */

/* ---- build.c. Lists grow in place: a production passes on the pointer it was given. */
typedef struct CallArgs {
    Args arg;
    Exprs over;
    bool has_over;
    Span over_span;
} CallArgs;
typedef struct CallArg {
    Arg arg;
    Expr *over;
    Span over_span;
} CallArg;
typedef struct FnParams {
    ParamDecls param;
    const char *over;
    bool over_all;
    Span over_span;
} FnParams;
typedef struct Types {
    VEC(TypeExpr *) at;
} Types;
typedef struct Clauses { /* of an entry */
    Expr *batch, *steps, *epochs;
} Clauses;
typedef struct Parts { /* of minimize */
    Args part;
    Exprs scale;
} Parts;

Expr *expr_new(Parser *p, ExprKind kind, Span at);
Expr *expr_name(Parser *p, const char *name, Span at);
Expr *expr_field(Parser *p, Expr *of, const char *name, Span name_span);
Expr *expr_unary(Parser *p, UnaryOp op, Expr *of, Span at);
Expr *expr_binary(Parser *p, BinaryOp op, Expr *left, Expr *right, Span op_span);
Expr *expr_call(Parser *p, Expr *fn, const CallArgs *args, Span at);
Expr *expr_index(Parser *p, Expr *of, const Exprs *at, Span span);
Expr *expr_slice(Parser *p, Expr *lo, Expr *hi, Expr *step, Span at);
Expr *expr_arrow(Parser *p, Expr *from, Expr *to);
Expr *expr_items(Parser *p, ExprKind kind, const Exprs *items, Span at);
Expr *expr_fn(Parser *p, FnDecl *fn, Span at);
Exprs *exprs_add(Parser *p, Exprs *list, Expr *e); /* list NULL: a new one, as below */
Args *args_add(Parser *p, Args *list, Arg arg);
CallArgs *call_args_add(Parser *p, CallArgs *list, const CallArg *arg);
Stmts *stmts_add(Parser *p, Stmts *list, Stmt *s); /* s NULL (broken) adds nothing */
FnParams *fn_params_add(Parser *p, FnParams *list, const ParamDecl *param);
void fn_params_over(Parser *p, FnParams *list, const char *name, bool all, Span at);
Types *types_add(Parser *p, Types *list, TypeExpr *t);
Parts *parts_add(Parser *p, Parts *list, Expr *part, Expr *scale);
/* Either of dtype and dims may be NULL. */
TypeExpr *type_new(Parser *p, const char *dtype, const Exprs *dims, Span at, Span name_span);
FnDecl *fn_new(Parser *p, const char *name, const FnParams *params, const Types *results, Span at);
/* An error if it is already set. */
void clause_set(Parser *p, Expr **clause, Expr *value, const char *what, Span at);

Stmt *stmt_new(Parser *p, StmtKind kind, Span at);
Stmt *stmt_bind(Parser *p, StmtKind kind, Target *target, int n, Expr *value, Span at);
Stmt *stmt_bind_name(Parser *p, StmtKind kind, const char *name, Span name_span, Expr *value,
                     Span at);
/* NULL: what stands on the left is no target; reported. The same for stmt_update. */
Stmt *stmt_assign(Parser *p, StmtKind kind, Expr *left, Expr *value, Span at);
Stmt *stmt_update(Parser *p, Expr *left, Expr *value, Span at);
Stmt *stmt_fn(Parser *p, FnDecl *fn);
Stmt *stmt_block(Parser *p, StmtKind kind, const char *name, Span name_span, const FnParams *params,
                 const Stmts *body, Span at);
Stmt *stmt_param(Parser *p, StmtKind kind, const char *name, Span name_span, TypeExpr *type,
                 Expr *init, Span at);
Stmt *stmt_entry(Parser *p, EntryWord word, const char *name, Expr *on, const Clauses *clauses,
                 Span at);
Stmt *stmt_rename(Parser *p, Stmt *load, Expr *from, Expr *to);
Stmt *stmt_import(Parser *p, const char *module, Expr *file, const char *alias, Span at);
Stmt *stmt_report(Parser *p, ReportKind kind, const Args *items, Expr *as, Span at);

#endif
