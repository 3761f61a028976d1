/* The text form, shared by print.c and parse.c: records of named values (`{axis=1}`) are described
 * once, by tables of keys, and both directions walk the same table. docs/ir.md has the grammar. */
#ifndef UPT_IR_TEXT_H
#define UPT_IR_TEXT_H

#include "ir/internal.h"

typedef enum KeyKind {
    KEY_int,    /* int */
    KEY_int64,  /* int64_t */
    KEY_hex,    /* uint64_t */
    KEY_double, /* double */
    KEY_bool,   /* bool */
    KEY_str,    /* const char *; `none` is NULL */
    KEY_dtype,  /* DType */
    KEY_mask,   /* uint32_t of axes, as a list */
    KEY_axes,   /* int[RANK] with a rank */
    KEY_dims,   /* int64_t[RANK] with a rank */
    KEY_labels  /* char[RANK + 1] */
} KeyKind;
typedef struct Key {
    const char *name;
    KeyKind kind;
    size_t at, rank_at; /* offsets in the structure; rank_at of KEY_axes and KEY_dims */
    bool optional;      /* not written where it is false, 0 or empty */
} Key;
static inline bool key_is_list(const Key *k) {
    return k->kind == KEY_axes || k->kind == KEY_dims;
}
enum { RECORD_MAX = 10 };
typedef struct Record {
    Key key[RECORD_MAX]; /* in order; ends with a NULL name */
} Record;
extern const Record attr_record[ATTR_SCAN + 1]; /* empty for NONE and BODY */
extern const Record run_record, tokenizer_record, data_record, tensor_record, entry_record;

extern const char *const stage_names[4]; /* bit i of Program.stage */
extern const char *const out_kind_names[OUT_KINDS];
extern const char *const tensor_kind_names[TENSOR_KINDS];
extern const char *const entry_graph_names[ENTRY_GRAPHS];
extern const char *const entry_kind_names[ENTRY_KINDS];

/* ---- reading: tokens */
typedef enum TokenKind {
    TOK_end,
    TOK_name,
    TOK_int,
    TOK_float,
    TOK_str,
    TOK_ref,
    TOK_punct,
    TOK_bad
} TokenKind;
typedef struct Token {
    TokenKind kind;
    Span span;        /* file is 0: set when an error is reported */
    char punct;       /* TOK_punct */
    const char *text; /* TOK_name, TOK_str; TOK_bad: what is wrong */
    int64_t i;        /* TOK_int; TOK_ref: node */
    uint64_t hex;     /* TOK_int in hexadecimal, or not negative */
    bool is_hex;
    uint32_t out; /* TOK_ref: result */
    double f;     /* TOK_int and TOK_float */
} Token;
typedef struct Lexer {
    Arena *arena;
    const char *text;
    size_t n, at;
    uint32_t line, col;
} Lexer;
Token lex_next(Lexer *l);
/* What follows `@`: PATH:LINE:COL-LINE:COL. The file's path comes apart; false: malformed. */
bool lex_place(Lexer *l, const char **path, Span *span);

#endif
