/* The grammar of .upm: it builds syntax and nothing more. Newlines, keywords and brackets come
 * sorted out from frontend/tokens.c. After an error the rest of the statement is skipped, and only
 * it is lost. */
%require "3.8"
%define api.pure full
%define api.prefix {upm_}
%define api.token.prefix {TOKEN_}
%define api.location.type {Span}
%define api.value.type union
%define parse.error custom
%define parse.lac full
%define lr.type ielr
%locations
%expect 0
%param {Parser *p}
%code requires { #include "frontend/parser.h" }
%code provides { int upm_lex(UPM_STYPE *value, Span *at, Parser *p); }
%code {
#include <string.h>

static void upm_error(const Span *at, Parser *p, const char *why);
#define YYLLOC_DEFAULT(here, rhs, n)                                                               \
    ((here) = (n) ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n)) : span_after(YYRHSLOC(rhs, 0)))
#define YYMALLOC(size) heap_resize(NULL, size)
#define YYFREE heap_free
#define YYINITDEPTH FIRST(200)
#define YYMAXDEPTH 6000

static Span span_after(Span at) {
    return (Span){at.file, at.end_line, at.end_col, at.end_line, at.end_col, 0};
}
static Stmts *body_of(Parser *p, Stmts *s) {
    return s ? s : NEW(p->arena, Stmts);
}
}

%token END 0 "end of file"
%token START_FILE START_EXPR
%token BAD
%token NEWLINE "end of line"
%token <Expr *> NUMBER "a number"
%token <Expr *> STRING "a string"
%token <const char *> NAME "a name"
%token FN "'fn'" BLOCK "'block'" RULE "'rule'" CONST "'const'" IMPORT "'import'" DATA "'data'"
%token TRAIN "'train'" EVAL "'eval'" FOR "'for'" IF "'if'" ELSE "'else'" RETURN "'return'"
%token AS "'as'" EVERY "'every'"
%token TOKENIZER "'tokenizer'" PARAM "'param'" STATE "'state'" CACHE "'cache'" LOAD "'load'"
%token FREEZE "'freeze'"
%token SAMPLE "'sample'" GENERATE "'generate'" PREDICT "'predict'" FEATURES "'features'" RUN "'run'"
%token MINIMIZE "'minimize'" UPDATE "'update'" REPORT "'report'" WATCH "'watch'"
%token OVER "'over'" WITH "'with'" ON "'on'" BATCH "'batch'" STEPS "'steps'" EPOCHS "'epochs'"
%token FROM "'from'"
%token RENAME "'rename'" TO "'to'" LR "'lr'" IN "'in'" X "'x'"
%token IMAGE "'image'" TEXT "'text'" AUDIO "'audio'" HISTOGRAM "'histogram'"
%token TRUE "'true'" FALSE "'false'" NONE "'None'"
%token LPAREN "'('" RPAREN "')'" LBRACKET "'['" RBRACKET "']'" LBRACE "'{'" RBRACE "'}'"
%token COMMA "','" COLON "':'" DOT "'.'" ASSIGN "'='" ARROW "'->'" ELLIPSIS "'...'"

%token PIPE "'|'" AND "'&'" EQ "'=='" NE "'!='" LT "'<'" LE "'<='" GT "'>'" GE "'>='"
%token PLUS "'+'" MINUS "'-'"
%token STAR "'*'" SLASH "'/'" FLOORDIV "'//'" PERCENT "'%'" AT "'@'" NOT "'!'" POW "'^'"

%left PIPE
%left AND
%nonassoc EQ NE LT LE GT GE
%left PLUS MINUS
%left STAR SLASH FLOORDIV PERCENT AT

%type <Expr *> expr unary power postfix primary value arg_value pattern pattern_item dim_item
%type <Expr *> index_item opt_expr
%type <Expr *> scale init_opt as_opt
%type <Exprs *> values dim_list pattern_items index_items names exprs dims dims_opt
%type <CallArgs *> args arg_list
%type <CallArg *> arg named_value
%type <TypeExpr *> type shape_opt
%type <Types *> types results results_opt
%type <FnParams *> params param_list
%type <ParamDecl *> param
%type <FnDecl *> fn_head
%type <Stmts *> stmts body
%type <Stmt *> stmt if_stmt simple entry load renaming run_items
%type <Args *> options report_items returned
%type <Arg *> report_item returned_item
%type <Parts *> parts
%type <Clauses *> clauses
%type <const char *> module alias_opt name_opt
%type <ReportKind> report_kind
%type <StmtKind> block_word param_word

%start input

%%

input
    : START_FILE stmts                  { p->stmts = *body_of(p, $stmts); }
    | START_EXPR value NEWLINE          { p->expr = $value; }
    ;

/* ---- statements */
stmts
    : %empty                            { $$ = NULL; }
    | stmts stmt                        {
        $$ = stmts_add(p, $1, $2);
        if (diag_full(p->diag)) YYABORT;
    }
    ;
body: LBRACE stmts RBRACE               { $$ = body_of(p, $stmts); } ;

stmt
    : simple NEWLINE
    | if_stmt NEWLINE
    | FOR NAME IN expr body NEWLINE     {
        $$ = stmt_new(p, STMT_for, span_join(@1, @expr));
        $$->loop.name = $NAME; $$->loop.name_span = @NAME;
        $$->loop.in = $expr; $$->loop.body = *$body;
    }
    | fn_head ASSIGN value NEWLINE      { $fn_head->value = $value; $$ = stmt_fn(p, $fn_head); }
    | fn_head body NEWLINE              { $fn_head->body = *$body; $$ = stmt_fn(p, $fn_head); }
    | block_word NAME params body NEWLINE {
        $$ = stmt_block(p, $1, $NAME, @NAME, $params, $body, span_join(@1, @params));
    }
    | entry body NEWLINE                { $$ = $1; $$->entry.body = *$body; }
    | RUN LBRACE run_items RBRACE NEWLINE { $$ = $run_items; $$->span = @1; }
    | error NEWLINE                     { $$ = NULL; yyerrok; }
    ;

if_stmt
    : IF expr body {
        $$ = stmt_new(p, STMT_if, span_join(@1, @expr));
        $$->cond.cond = $expr; $$->cond.then = *$body;
    }
    | IF expr body ELSE body[other]     {
        $$ = stmt_new(p, STMT_if, span_join(@1, @expr));
        $$->cond.cond = $expr; $$->cond.then = *$3; $$->cond.other = *$other;
    }
    | IF expr body ELSE if_stmt[other]  {
        $$ = stmt_new(p, STMT_if, span_join(@1, @expr));
        $$->cond.cond = $expr; $$->cond.then = *$body; $$->cond.other = *stmts_add(p, NULL, $other);
    }
    ;

simple
    : IMPORT module alias_opt           { $$ = stmt_import(p, $module, NULL, $alias_opt, @$); }
    | IMPORT STRING alias_opt           { $$ = stmt_import(p, NULL, $STRING, $alias_opt, @$); }
    | CONST NAME ASSIGN value {
        $$ = stmt_bind_name(p, STMT_const, $NAME, @NAME, $value, @$);
    }
    | TOKENIZER NAME ASSIGN value {
        $$ = stmt_bind_name(p, STMT_tokenizer, $NAME, @NAME, $value, @$);
    }
    | DATA NAME ASSIGN value {
        $$ = stmt_bind_name(p, STMT_data, $NAME, @NAME, $value, @$);
    }
    | DATA LPAREN names RPAREN ASSIGN value {
        Expr *left = expr_items(p, EXPR_tuple, $names, @names);
        $$ = stmt_assign(p, STMT_data, left, $value, @$);
    }
    | expr ASSIGN value                 { $$ = stmt_assign(p, STMT_assign, $expr, $value, @$); }
    | expr                              { $$ = stmt_new(p, STMT_expr, @$); $$->expr = $expr; }
    | param_word NAME shape_opt init_opt {
        $$ = stmt_param(p, $1, $NAME, @NAME, $shape_opt, $init_opt, @$);
    }
    | load
    | FREEZE exprs {
        $$ = stmt_new(p, STMT_freeze, @$);
        $$->freeze.part = *$exprs;
    }
    | MINIMIZE expr WITH value options  {
        $$ = stmt_new(p, STMT_minimize, @$);
        $$->minimize.loss = $expr; $$->minimize.rule = $value;
        if ($options) $$->minimize.option = *$options;
    }
    | MINIMIZE expr OVER parts WITH value options {
        $$ = stmt_new(p, STMT_minimize, @$);
        $$->minimize.loss = $expr; $$->minimize.rule = $value; $$->minimize.has_over = true;
        $$->minimize.over = $parts->part; $$->minimize.scale = $parts->scale;
        if ($options) $$->minimize.option = *$options;
    }
    | UPDATE postfix ASSIGN value       { $$ = stmt_update(p, $postfix, $value, @$); }
    | REPORT report_items {
        $$ = stmt_report(p, REPORT_scalar, $report_items, NULL, @$);
    }
    | REPORT report_kind report_items as_opt {
        $$ = stmt_report(p, $report_kind, $report_items, $as_opt, @$);
    }
    | WATCH expr                        { $$ = stmt_new(p, STMT_watch, @$); $$->expr = $expr; }
    | RETURN returned as_opt {
        $$ = stmt_new(p, STMT_return, @$);
        $$->ret.value = *$returned; $$->ret.as = $as_opt;
    }
    ;

module
    : NAME
    | module DOT NAME                   { $$ = arena_printf(p->arena, "%s.%s", $1, $NAME); }
    ;
alias_opt
    : %empty                            { $$ = NULL; }
    | AS NAME                           { $$ = $NAME; }
    ;
block_word
    : BLOCK                             { $$ = STMT_block; }
    | RULE                              { $$ = STMT_rule; }
    ;
param_word
    : PARAM                             { $$ = STMT_param; }
    | STATE                             { $$ = STMT_state; }
    | CACHE                             { $$ = STMT_cache; }
    ;
shape_opt
    : %empty                            { $$ = NULL; }
    | dims                              { $$ = type_new(p, NULL, $dims, @$, @$); }
    | COLON type                        { $$ = $type; }
    ;
init_opt
    : %empty                            { $$ = NULL; }
    | ASSIGN value                      { $$ = $value; }
    ;
load
    : LOAD exprs FROM value             {
        $$ = stmt_new(p, STMT_load, @$);
        $$->load.part = *$exprs; $$->load.file = $value;
    }
    | renaming
    ;
renaming
    : load RENAME value[from] TO value[to] { $$ = stmt_rename(p, $1, $from, $to); }
    | renaming COMMA value[from] TO value[to] { $$ = stmt_rename(p, $1, $from, $to); }
    ;
parts
    : expr scale                        { $$ = parts_add(p, NULL, $expr, $scale); }
    | parts COMMA expr scale            { $$ = parts_add(p, $1, $expr, $scale); }
    ;
scale
    : %empty                            { $$ = NULL; }
    | LR X expr                         { $$ = $expr; }
    ;
options
    : %empty                            { $$ = NULL; }
    | options COMMA NAME ASSIGN value {
        $$ = args_add(p, $1, (Arg){$NAME, $value, span_join(@NAME, @value)});
    }
    ;
report_kind
    : TEXT                              { $$ = REPORT_text; }
    | IMAGE                             { $$ = REPORT_image; }
    | AUDIO                             { $$ = REPORT_audio; }
    | HISTOGRAM                         { $$ = REPORT_histogram; }
    ;
report_items
    : report_item                       { $$ = args_add(p, NULL, *$1); }
    | report_items COMMA report_item    { $$ = args_add(p, $1, *$3); }
    ;
report_item
    : expr                              { $$ = NEW(p->arena, Arg); *$$ = (Arg){NULL, $expr, @$}; }
    | NAME ASSIGN expr                  { $$ = NEW(p->arena, Arg); *$$ = (Arg){$NAME, $expr, @$}; }
    ;
returned
    : returned_item                     { $$ = args_add(p, NULL, *$1); }
    | returned COMMA returned_item      { $$ = args_add(p, $1, *$3); }
    ;
returned_item
    : value                             { $$ = NEW(p->arena, Arg); *$$ = (Arg){NULL, $value, @$}; }
    | NAME ASSIGN value                 { $$ = NEW(p->arena, Arg); *$$ = (Arg){$NAME, $value, @$}; }
    ;
as_opt
    : %empty                            { $$ = NULL; }
    | AS expr                           { $$ = $expr; }
    ;

entry
    : TRAIN ON expr clauses {
        $$ = stmt_entry(p, WORD_train, NULL, $expr, $clauses, @$);
    }
    | EVAL ON expr clauses {
        $$ = stmt_entry(p, WORD_eval, NULL, $expr, $clauses, @$);
    }
    | PREDICT ON expr clauses {
        $$ = stmt_entry(p, WORD_predict, NULL, $expr, $clauses, @$);
    }
    | FEATURES NAME ON expr clauses {
        $$ = stmt_entry(p, WORD_features, $NAME, $expr, $clauses, @$);
    }
    | GENERATE LPAREN expr RPAREN clauses {
        $$ = stmt_entry(p, WORD_generate, NULL, $expr, $clauses, @$);
    }
    | SAMPLE expr {
        $$ = stmt_entry(p, WORD_sample, NULL, NULL, NULL, @$); $$->entry.count = $expr;
    }
    ;
clauses
    : %empty                            { $$ = NEW(p->arena, Clauses); }
    | clauses BATCH expr {
        clause_set(p, &$1->batch, $expr, "batch", span_join(@2, @3)); $$ = $1;
    }
    | clauses STEPS expr {
        clause_set(p, &$1->steps, $expr, "steps", span_join(@2, @3)); $$ = $1;
    }
    | clauses EPOCHS expr {
        clause_set(p, &$1->epochs, $expr, "epochs", span_join(@2, @3)); $$ = $1;
    }
    ;
run_items
    : %empty                            { $$ = stmt_new(p, STMT_run, @$); }
    | run_items NAME ASSIGN expr NEWLINE {
        $$ = $1; vec_push(p->arena, &$$->run.item, (Arg){$NAME, $expr, span_join(@NAME, @expr)});
    }
    | run_items NAME EVERY expr NEWLINE {
        $$ = $1; vec_push(p->arena, &$$->run.every, (Arg){$NAME, $expr, span_join(@NAME, @expr)});
    }
    | run_items EVAL EVERY expr NEWLINE {
        $$ = $1; vec_push(p->arena, &$$->run.every, (Arg){"eval", $expr, span_join(@EVAL, @expr)});
    }
    | run_items error NEWLINE           { $$ = $1; yyerrok; }
    ;

/* ---- functions and types */
fn_head: FN name_opt params results_opt { $$ = fn_new(p, $name_opt, $params, $results_opt, @$); } ;
name_opt
    : %empty                            { $$ = NULL; }
    | NAME
    ;
params
    : LPAREN RPAREN                     { $$ = NULL; }
    | LPAREN param_list RPAREN          { $$ = $param_list; }
    | LPAREN param_list COMMA RPAREN    { $$ = $param_list; }
    ;
param_list
    : param                             { $$ = fn_params_add(p, NULL, $param); }
    | param_list COMMA param            { $$ = fn_params_add(p, $1, $param); }
    | param_list OVER NAME              { $$ = $1; fn_params_over(p, $$, $NAME, false, @NAME); }
    | param_list OVER NAME ASSIGN ELLIPSIS { $$ = $1; fn_params_over(p, $$, $NAME, true, @NAME); }
    ;
param
    : NAME shape_opt init_opt           {
        $$ = NEW(p->arena, ParamDecl);
        *$$ = (ParamDecl){$NAME, $shape_opt, $init_opt, @$};
    }
    ;
results_opt
    : %empty                            { $$ = NULL; }
    | ARROW results                     { $$ = $results; }
    ;
results
    : type                              { $$ = types_add(p, NULL, $type); }
    | LPAREN types RPAREN               { $$ = $types; }
    | LPAREN types COMMA RPAREN         { $$ = $types; }
    ;
types
    : type                              { $$ = types_add(p, NULL, $type); }
    | types COMMA type                  { $$ = types_add(p, $1, $type); }
    ;
type
    : NAME dims_opt                     { $$ = type_new(p, $NAME, $dims_opt, @$, @NAME); }
    | dims                              { $$ = type_new(p, NULL, $dims, @$, @$); }
    ;
dims_opt
    : %empty                            { $$ = NULL; }
    | dims
    ;
dims
    : LBRACKET RBRACKET                 { $$ = NEW(p->arena, Exprs); }
    | LBRACKET dim_list RBRACKET        { $$ = $dim_list; }
    | LBRACKET dim_list COMMA RBRACKET  { $$ = $dim_list; }
    ;
dim_list
    : dim_item                          { $$ = exprs_add(p, NULL, $1); }
    | dim_list COMMA dim_item           { $$ = exprs_add(p, $1, $3); }
    ;
dim_item
    : expr
    | ELLIPSIS                          { $$ = expr_new(p, EXPR_ellipsis, @$); }
    ;

/* ---- expressions */
value
    : expr
    | FN params results_opt body        {
        FnDecl *fn = fn_new(p, NULL, $params, $results_opt, span_join(@1, @results_opt));
        fn->body = *$body;
        $$ = expr_fn(p, fn, fn->span);
    }
    ;
expr
    : unary
    | expr PIPE expr                    { $$ = expr_binary(p, BIN_pipe, $1, $3, @2); }
    | expr AND expr                     { $$ = expr_binary(p, BIN_and, $1, $3, @2); }
    | expr EQ expr                      { $$ = expr_binary(p, BIN_eq, $1, $3, @2); }
    | expr NE expr                      { $$ = expr_binary(p, BIN_ne, $1, $3, @2); }
    | expr LT expr                      { $$ = expr_binary(p, BIN_lt, $1, $3, @2); }
    | expr LE expr                      { $$ = expr_binary(p, BIN_le, $1, $3, @2); }
    | expr GT expr                      { $$ = expr_binary(p, BIN_gt, $1, $3, @2); }
    | expr GE expr                      { $$ = expr_binary(p, BIN_ge, $1, $3, @2); }
    | expr PLUS expr                    { $$ = expr_binary(p, BIN_add, $1, $3, @2); }
    | expr MINUS expr                   { $$ = expr_binary(p, BIN_sub, $1, $3, @2); }
    | expr STAR expr                    { $$ = expr_binary(p, BIN_mul, $1, $3, @2); }
    | expr SLASH expr                   { $$ = expr_binary(p, BIN_div, $1, $3, @2); }
    | expr FLOORDIV expr                { $$ = expr_binary(p, BIN_floordiv, $1, $3, @2); }
    | expr PERCENT expr                 { $$ = expr_binary(p, BIN_mod, $1, $3, @2); }
    | expr AT expr                      { $$ = expr_binary(p, BIN_matmul, $1, $3, @2); }
    ;
unary
    : power
    | MINUS unary                       { $$ = expr_unary(p, UN_neg, $2, @1); }
    | NOT unary                         { $$ = expr_unary(p, UN_not, $2, @1); }
    ;
power
    : postfix
    | postfix POW unary                 { $$ = expr_binary(p, BIN_pow, $1, $3, @2); }
    ;
postfix
    : primary
    | postfix DOT NAME                  { $$ = expr_field(p, $1, $NAME, @NAME); }
    | postfix LPAREN args RPAREN        { $$ = expr_call(p, $1, $args, @$); }
    | postfix LBRACKET index_items RBRACKET { $$ = expr_index(p, $1, $index_items, @$); }
    | postfix LBRACKET index_items COMMA RBRACKET { $$ = expr_index(p, $1, $index_items, @$); }
    ;
primary
    : NUMBER
    | STRING
    | TRUE                              { $$ = expr_new(p, EXPR_bool, @$); $$->b = true; }
    | FALSE                             { $$ = expr_new(p, EXPR_bool, @$); }
    | NONE                              { $$ = expr_new(p, EXPR_none, @$); }
    | NAME                              { $$ = expr_name(p, $NAME, @$); }
    | LPAREN value RPAREN               { $$ = $value; $$->span = @$; }
    | LPAREN value COMMA RPAREN {
        $$ = expr_items(p, EXPR_tuple, exprs_add(p, NULL, $value), @$);
    }
    | LPAREN value COMMA values RPAREN  {
        Exprs *items = exprs_add(p, NULL, $value);
        for (size_t i = 0; i < $values->n; i++) exprs_add(p, items, $values->at[i]);
        $$ = expr_items(p, EXPR_tuple, items, @$);
    }
    | LPAREN value COMMA values COMMA RPAREN {
        Exprs *items = exprs_add(p, NULL, $value);
        for (size_t i = 0; i < $values->n; i++) exprs_add(p, items, $values->at[i]);
        $$ = expr_items(p, EXPR_tuple, items, @$);
    }
    | LBRACKET RBRACKET                 { $$ = expr_items(p, EXPR_list, NULL, @$); }
    | LBRACKET values RBRACKET          { $$ = expr_items(p, EXPR_list, $values, @$); }
    | LBRACKET values COMMA RBRACKET    { $$ = expr_items(p, EXPR_list, $values, @$); }
    ;
values
    : value                             { $$ = exprs_add(p, NULL, $1); }
    | values COMMA value                { $$ = exprs_add(p, $1, $3); }
    ;
exprs
    : expr                              { $$ = exprs_add(p, NULL, $1); }
    | exprs COMMA expr                  { $$ = exprs_add(p, $1, $3); }
    ;
names
    : NAME                              { $$ = exprs_add(p, NULL, expr_name(p, $1, @1)); }
    | names COMMA NAME             { $$ = exprs_add(p, $1, expr_name(p, $3, @3)); }
    ;

args
    : %empty                            { $$ = NEW(p->arena, CallArgs); }
    | arg_list
    | arg_list COMMA
    ;
arg_list
    : arg                               { $$ = call_args_add(p, NULL, $1); }
    | arg_list COMMA arg                { $$ = call_args_add(p, $1, $3); }
    ;
arg
    : named_value
    | named_value OVER expr             { $$ = $1; $$->over = $expr; $$->over_span = @expr; }
    ;
named_value
    : arg_value {
        $$ = NEW(p->arena, CallArg); $$->arg = (Arg){NULL, $1, @$};
    }
    | NAME ASSIGN value {
        $$ = NEW(p->arena, CallArg); $$->arg = (Arg){$NAME, $value, @$};
    }
    ;
arg_value
    : value
    | expr ARROW pattern                { $$ = expr_arrow(p, $expr, $pattern); }
    ;

/* Patterns of einsum and rearrange: [b, t, (h e)]. */
pattern
    : LBRACKET RBRACKET                 { $$ = expr_items(p, EXPR_list, NULL, @$); }
    | LBRACKET pattern_items RBRACKET   { $$ = expr_items(p, EXPR_list, $pattern_items, @$); }
    ;
pattern_items
    : pattern_item                      { $$ = exprs_add(p, NULL, $1); }
    | pattern_items COMMA pattern_item  { $$ = exprs_add(p, $1, $3); }
    ;
%type <Exprs *> group;
pattern_item
    : dim_item
    | LPAREN group RPAREN               { $$ = expr_items(p, EXPR_group, $group, @$); }
    ;
group
    : NAME[a] NAME[b] {
        $$ = exprs_add(p, exprs_add(p, NULL, expr_name(p, $a, @a)), expr_name(p, $b, @b));
    }
    | group NAME                        { $$ = exprs_add(p, $1, expr_name(p, $NAME, @NAME)); }
    ;
index_items
    : index_item                        { $$ = exprs_add(p, NULL, $1); }
    | index_items COMMA index_item      { $$ = exprs_add(p, $1, $3); }
    ;
index_item
    : pattern_item
    | opt_expr[lo] COLON opt_expr[hi]   { $$ = expr_slice(p, $lo, $hi, NULL, @$); }
    | opt_expr[lo] COLON opt_expr[hi] COLON opt_expr[step] {
        $$ = expr_slice(p, $lo, $hi, $step, @$);
    }
    ;
opt_expr
    : %empty                            { $$ = NULL; }
    | expr
    ;

%%
/* ---- errors */
static int token_of(yysymbol_kind_t kind) {
    if (kind == YYSYMBOL_YYEOF) return TOKEN_END;
    int token = TOKEN_START_FILE;
    while (YYTRANSLATE(token) != kind) token++;
    return token;
}

static int yyreport_syntax_error(const yypcontext_t *cx, Parser *p) {
    yysymbol_kind_t kind[YYNTOKENS];
    int token[YYNTOKENS];
    const char *name[YYNTOKENS];
    if (!p->quiet && yypcontext_token(cx) != YYSYMBOL_BAD) {
        Expected e = {token, name, yypcontext_expected_tokens(cx, kind, YYNTOKENS)};
        for (int i = 0; i < e.n; i++) {
            token[i] = token_of(kind[i]);
            name[i] = yysymbol_name(kind[i]);
        }
        report_syntax(p, *yypcontext_location(cx), &e);
    }
    tokens_recover(p);
    return 0;
}

/* Bison calls this only when its stack is full. */
static void upm_error(const Span *at, Parser *p, const char *why) {
    (void)why;
    diag_error(p->diag, *at, "this is nested too deeply");
}

/* ---- entry points */
static bool parse(Parser *p, const char *path) {
    p->file = diag_add_source(p->diag, path, p->text, p->n);
    if (!scanner_open(p)) return false;
    bool ok = upm_parse(p) == 0;
    scanner_close(p);
    return ok;
}

File *parse_upm(Arena *a, Diag *d, const char *path, const char *text, size_t n) {
    Parser p = {.arena = a, .diag = d, .text = text, .n = n, .first = TOKEN_START_FILE};
    parse(&p, path);
    File *f = NEW(a, File);
    *f = (File){diag_path(d, p.file), p.file, p.stmts};
    return f;
}

Expr *parse_expr(Arena *a, Diag *d, const char *path, const char *text, size_t n) {
    Parser p = {.arena = a, .diag = d, .text = text, .n = n, .first = TOKEN_START_EXPR};
    return parse(&p, path) ? p.expr : NULL;
}
