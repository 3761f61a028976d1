/* The abstract syntax of .upm: what the grammar builds and nothing more. Names are not resolved,
 * numbers not computed. Expressions and statements are tagged structures in the file's arena. */
#ifndef UPT_AST_H
#define UPT_AST_H

#include "base/spec.h"

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef VEC(Expr *) Exprs;
typedef VEC(Stmt *) Stmts;

typedef enum ExprKind {
    EXPR_int,
    EXPR_float,
    EXPR_string,
    EXPR_bool,
    EXPR_none,
    EXPR_name,
    EXPR_field,    /* a.name */
    EXPR_call,     /* f(args over axes) */
    EXPR_index,    /* x[i, a:b, ..., None] */
    EXPR_slice,    /* a:b:step, only inside an index */
    EXPR_ellipsis, /* ... */
    EXPR_group,    /* (h e): merged labels, only inside a pattern */
    EXPR_arrow, /* k[b,h,s,e] -> [b,h,t,s]: last argument of einsum, or the argument of rearrange */
    EXPR_list,
    EXPR_tuple,
    EXPR_unary,
    EXPR_binary,
    EXPR_fn /* fn (x) { ... } as a value */
} ExprKind;

/* In order of binding, loosest first. */
typedef enum BinaryOp {
    BIN_pipe, /* `|`: a pipe when its left side is data, else or */
    BIN_and,
    BIN_eq,
    BIN_ne,
    BIN_lt,
    BIN_le,
    BIN_gt,
    BIN_ge,
    BIN_add,
    BIN_sub,
    BIN_mul,
    BIN_div,
    BIN_floordiv,
    BIN_mod,
    BIN_matmul,
    BIN_pow
} BinaryOp;
typedef enum UnaryOp { UN_neg, UN_not } UnaryOp;
const char *binary_name(BinaryOp op); /* "+", "//", "|", ... */

typedef struct Arg { /* of a call; name NULL when positional */
    const char *name;
    Expr *value;
    Span span;
} Arg;
typedef VEC(Arg) Args;

typedef struct TypeExpr { /* f32[B, T, d], [..., d], i32, bool[B] */
    bool has_dtype;       /* else f32 */
    DType dtype;
    bool has_dims; /* `[]` given, even empty */
    Exprs dim;     /* EXPR_ellipsis may be the first */
    Span span;
} TypeExpr;

typedef struct ParamDecl { /* of a fn, block or rule: x[B, T], live: bool[B, T], rate = 0.15 */
    const char *name;
    TypeExpr *type; /* NULL: anything */
    Expr *value;    /* default or NULL */
    Span span;
} ParamDecl;
typedef VEC(ParamDecl) ParamDecls;

typedef struct FnDecl {
    const char *name; /* NULL: unnamed */
    ParamDecls param;
    const char *over; /* fn softmax(x over axes): the name its axes get; NULL: takes no `over` */
    bool over_all;    /* fn mean(x over axes = ...): may be left out, then all dimensions */
    Span over_span;
    TypeExpr **result; /* nresult of them; 0: not said. More than one: -> ([B], [B, d]) */
    int nresult;
    Expr *value; /* `= e`, or NULL */
    Stmts body;
    Span span; /* of the header */
} FnDecl;

enum { EXPR_DEPTH = 500 }; /* of nesting: what walks expressions may recurse */
/* clang-format off */ /* one row a kind */
struct Expr {
    ExprKind kind;
    uint32_t depth; /* 1 for a leaf; at most EXPR_DEPTH */
    Span span;
    union {
        int64_t i;
        double f;
        bool b;
        const char *name;
        struct { const char *text; Exprs part; } string; /* with ${}: text NULL, pieces in order */
        struct { Expr *of; const char *name; Span name_span; } field;
        struct { Expr *fn; Args arg; Exprs over; bool has_over; Span over_span; } call;
        struct { Expr *of; Exprs at; } index;
        struct { Expr *lo, *hi, *step; } slice; /* any may be NULL */
        struct { Expr *from, *to; } arrow;      /* to: EXPR_list as pattern */
        Exprs items;                            /* list, tuple, group */
        struct { UnaryOp op; Expr *of; } unary;
        struct { BinaryOp op; Expr *left, *right; Span op_span; } binary;
        FnDecl *fn;
    };
};
/* clang-format on */

typedef enum StmtKind {
    STMT_import,
    STMT_const,
    STMT_fn,
    STMT_block,
    STMT_rule,
    STMT_tokenizer,
    STMT_data,
    STMT_assign, /* x = e, (a, b) = e, layer[n] = e, layer[i < n] = e */
    STMT_param,
    STMT_state,
    STMT_cache,
    STMT_load,
    STMT_freeze,
    STMT_entry,
    STMT_run,
    STMT_minimize,
    STMT_update,
    STMT_report,
    STMT_watch,
    STMT_return,
    STMT_if,
    STMT_for,
    STMT_expr
} StmtKind;
typedef enum EntryWord {
    WORD_train,
    WORD_eval,
    WORD_sample,
    WORD_generate,
    WORD_predict,
    WORD_features
} EntryWord;
const char *entry_word_name(EntryWord w); /* "train" */
typedef enum ReportKind {
    REPORT_scalar,
    REPORT_text,
    REPORT_image,
    REPORT_audio,
    REPORT_histogram
} ReportKind;
const char *report_kind_name(ReportKind k); /* "text"; "" for a scalar */

typedef struct Target { /* left side of an assignment or an update */
    const char *name;
    Expr *path;        /* update bert.x = ...: the whole path; else NULL */
    Expr *count;       /* layer[n]: n, or layer[i < n]: n */
    const char *index; /* layer[i < n]: "i" */
    Span span;
} Target;

/* clang-format off */ /* one row a kind */
struct Stmt {
    StmtKind kind;
    Span span;
    union {
        /* module "std.nn" or file, the other NULL */
        struct { const char *module, *file, *alias; } import;
        /* const, tokenizer, data, update */
        struct { Target *target; int ntarget; Expr *value; } assign;
        FnDecl *fn;
        struct { const char *name; ParamDecls param; Stmts body; Span name_span; } block; /* rule */
        /* param, state, cache; type NULL: the shape of what owns it */
        struct { const char *name; TypeExpr *type; Expr *init; Span name_span; } param;
        struct { Exprs part; Expr *file; Exprs from, to; } load;
        struct { Exprs part; } freeze;
        struct {
            EntryWord word; const char *name; Expr *on, *batch, *steps, *epochs, *count; Stmts body;
        } entry;
        struct { Args item, every; } run; /* seed = 1; `eval every 500` */
        struct { /* scale[i] of over[i], or NULL */
            Expr *loss; Args over; Exprs scale; bool has_over; Expr *rule; Args option;
        } minimize;
        struct { ReportKind kind; Args item; Expr *as; } report; /* as NULL: from the expression */
        struct { Args value; Expr *as; } ret; /* names only where an entry returns */
        struct { Expr *cond; Stmts then, other; } cond;
        struct { const char *name; Span name_span; Expr *in; Stmts body; } loop;
        Expr *expr; /* watch, a bare call */
    };
};
/* clang-format on */

typedef struct File {
    const char *path;
    uint32_t number; /* in Diag */
    Stmts stmt;
} File;
/* Reads the text into syntax. Errors go to `d`; what could be read is returned all the same, so
 * that elaboration can find independent errors when the syntax errors are few (File.stmt leaves out
 * broken statements). */
File *parse_upm(Arena *a, Diag *d, const char *path, const char *text, size_t n);
/* One expression, for `-D name=...`. NULL: reported. */
Expr *parse_expr(Arena *a, Diag *d, const char *path, const char *text, size_t n);
void ast_print(Buf *b, const File *f); /* --emit=ast: an indented tree, one node a line */
#endif
