/* Inside the reader of the text form: the parser's state, and what parse.c (tokens, records,
 * graphs) offers to parse_program.c (everything around them). The first error is reported with its
 * place and ends the reading: from then on every token is the end of the text, so loops stop by
 * themselves. */
#ifndef UPT_IR_PARSE_H
#define UPT_IR_PARSE_H

#include "ir/text.h"

typedef struct Parser {
    Lexer lex;
    Token tok; /* the next one, not yet taken */
    Arena *arena;
    Diag *diag;
    const char *path;
    bool failed;
    const char *place_path; /* of the last place read, and its number in diag */
    uint32_t place_file;
    VEC(uint32_t) call; /* the text's calls, by their numbers in diag */
} Parser;

bool parse_error(Parser *ps, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4); /* returns false */
void parse_advance(Parser *ps);
bool parse_is(const Parser *ps, char punct);
bool parse_is_word(const Parser *ps, const char *word);
bool parse_accept(Parser *ps, char punct);
bool parse_accept_word(Parser *ps, const char *word);
bool parse_expect(Parser *ps, char punct);
bool parse_word(Parser *ps, const char *const *names, int n, const char *what,
                int *out); /* one of n */
bool parse_str(Parser *ps, const char **s);
bool parse_int(Parser *ps, int64_t lo, int64_t hi, int64_t *v);
bool parse_double(Parser *ps, double *v);
bool parse_dtype(Parser *ps, DType *t);
bool parse_type(Parser *ps, Type *t);
bool parse_record(Parser *ps, const Record *r, void *base);
bool parse_place(Parser *ps, Span *span);  /* optional */
Graph *parse_graph(Parser *ps, int depth); /* from the word `graph`; NULL: reported */

#endif
