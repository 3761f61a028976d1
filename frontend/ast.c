/* Prints syntax as an indented tree, one node a line, without places: what `--emit=ast` and the
 * tests of the parser show. Expressions nest at most EXPR_DEPTH, statements by brackets, so
 * recursion is bounded. */
#include "frontend/ast.h"

#include <ctype.h>
#include <stdlib.h>

const char *binary_name(BinaryOp op) {
    static const char *const names[] = {
        [BIN_pipe] = "|",      [BIN_and] = "&", [BIN_eq] = "==",    [BIN_ne] = "!=",
        [BIN_lt] = "<",        [BIN_le] = "<=", [BIN_gt] = ">",     [BIN_ge] = ">=",
        [BIN_add] = "+",       [BIN_sub] = "-", [BIN_mul] = "*",    [BIN_div] = "/",
        [BIN_floordiv] = "//", [BIN_mod] = "%", [BIN_matmul] = "@", [BIN_pow] = "^",
    };
    return names[op];
}

const char *entry_word_name(EntryWord w) {
    static const char *const names[] = {
        [WORD_train] = "train",       [WORD_eval] = "eval",       [WORD_sample] = "sample",
        [WORD_generate] = "generate", [WORD_predict] = "predict", [WORD_features] = "features",
    };
    return names[w];
}

const char *report_kind_name(ReportKind k) {
    static const char *const names[] = {
        [REPORT_scalar] = "",     [REPORT_text] = "text",           [REPORT_image] = "image",
        [REPORT_audio] = "audio", [REPORT_histogram] = "histogram",
    };
    return names[k];
}

typedef struct Printer {
    Buf *b;
    int depth;
} Printer;

static void line(Printer *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(Printer *o, const char *fmt, ...) {
    for (int i = 0; i < o->depth; i++) buf_puts(o->b, "  ");
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(o->b, fmt, ap);
    va_end(ap);
    buf_puts(o->b, "\n");
}

static void print_quoted(Printer *o, const char *s) {
    Buf q = {0};
    buf_puts(&q, "");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_printf(&q, "\\%c", *s);
        else if (*s == '\n')
            buf_puts(&q, "\\n");
        else if (iscntrl((unsigned char)*s))
            buf_printf(&q, "\\u{%x}", (unsigned)*s);
        else
            buf_put(&q, s, 1);
    }
    line(o, "string \"%s\"", q.data);
    buf_free(&q);
}

/* The shortest of the usual precisions that reads back equal. */
static void print_float(Printer *o, double f) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.15g", f);
    if (strtod(digits, NULL) != f) snprintf(digits, sizeof digits, "%.17g", f);
    line(o, "float %s", digits);
}

static void print_expr(Printer *o, const Expr *e);
static void print_stmts(Printer *o, const char *label, const Stmts *s);

/* A child under a label; nothing for one that is absent. */
static void print_under(Printer *o, const char *label, const Expr *e) {
    if (!e) return;
    line(o, "%s", label);
    o->depth++;
    print_expr(o, e);
    o->depth--;
}

static void print_exprs(Printer *o, const Exprs *list) {
    for (size_t i = 0; i < list->n; i++) print_expr(o, list->at[i]);
}

static void print_args(Printer *o, const char *label, const Args *list) {
    for (size_t i = 0; i < list->n; i++) {
        const Arg *a = &list->at[i];
        line(o, "%s%s%s", label, a->name ? " " : "", a->name ? a->name : "");
        o->depth++;
        print_expr(o, a->value);
        o->depth--;
    }
}

static void print_type(Printer *o, const char *label, const TypeExpr *t) {
    if (!t) return;
    line(o, "%s %s%s", label, t->has_dtype ? dtype_name(t->dtype) : "f32",
         t->has_dims ? " []" : "");
    o->depth++;
    print_exprs(o, &t->dim);
    o->depth--;
}

static void print_params(Printer *o, const ParamDecls *list) {
    for (size_t i = 0; i < list->n; i++) {
        const ParamDecl *d = &list->at[i];
        line(o, "param %s", d->name);
        o->depth++;
        print_type(o, "type", d->type);
        print_under(o, "default", d->value);
        o->depth--;
    }
}

static void print_fn(Printer *o, const FnDecl *fn) {
    line(o, "fn%s%s", fn->name ? " " : "", fn->name ? fn->name : "");
    o->depth++;
    print_params(o, &fn->param);
    if (fn->over) line(o, "over %s%s", fn->over, fn->over_all ? " = ..." : "");
    for (int i = 0; i < fn->nresult; i++) print_type(o, "result", fn->result[i]);
    print_under(o, "value", fn->value);
    if (!fn->value) print_stmts(o, "body", &fn->body);
    o->depth--;
}

static void print_call(Printer *o, const Expr *e) {
    line(o, "call");
    o->depth++;
    print_expr(o, e->call.fn);
    print_args(o, "arg", &e->call.arg);
    if (e->call.has_over) line(o, "over");
    o->depth++;
    print_exprs(o, &e->call.over);
    o->depth -= 2;
}

static void print_index(Printer *o, const Expr *e) {
    line(o, "index");
    o->depth++;
    print_expr(o, e->index.of);
    line(o, "at");
    o->depth++;
    print_exprs(o, &e->index.at);
    o->depth -= 2;
}

static void print_items(Printer *o, const char *label, const Exprs *items) {
    line(o, "%s", label);
    o->depth++;
    print_exprs(o, items);
    o->depth--;
}

static void print_two(Printer *o, const char *label, const Expr *a, const Expr *b) {
    line(o, "%s", label);
    o->depth++;
    print_expr(o, a);
    if (b) print_expr(o, b);
    o->depth--;
}

static void print_slice(Printer *o, const Expr *e) {
    line(o, "slice");
    o->depth++;
    print_under(o, "from", e->slice.lo);
    print_under(o, "to", e->slice.hi);
    print_under(o, "step", e->slice.step);
    o->depth--;
}

static void print_expr(Printer *o, const Expr *e) {
    switch (e->kind) {
    case EXPR_int: line(o, "int %lld", (long long)e->i); break;
    case EXPR_float: print_float(o, e->f); break;
    case EXPR_string:
        if (e->string.text)
            print_quoted(o, e->string.text);
        else
            print_items(o, "interpolated", &e->string.part);
        break;
    case EXPR_bool: line(o, "%s", e->b ? "true" : "false"); break;
    case EXPR_none: line(o, "None"); break;
    case EXPR_name: line(o, "name %s", e->name); break;
    case EXPR_field: {
        line(o, "field %s", e->field.name);
        o->depth++;
        print_expr(o, e->field.of);
        o->depth--;
        break;
    }
    case EXPR_call: print_call(o, e); break;
    case EXPR_index: print_index(o, e); break;
    case EXPR_slice: print_slice(o, e); break;
    case EXPR_ellipsis: line(o, "..."); break;
    case EXPR_group: print_items(o, "group", &e->items); break;
    case EXPR_arrow: print_two(o, "arrow", e->arrow.from, e->arrow.to); break;
    case EXPR_list: print_items(o, "list", &e->items); break;
    case EXPR_tuple: print_items(o, "tuple", &e->items); break;
    case EXPR_unary:
        print_two(o, e->unary.op == UN_neg ? "negate" : "not", e->unary.of, NULL);
        break;
    case EXPR_binary:
        print_two(o, binary_name(e->binary.op), e->binary.left, e->binary.right);
        break;
    case EXPR_fn: print_fn(o, e->fn); break;
    }
}

/* ---- statements */
static void print_stmt(Printer *o, const Stmt *s);

static void print_stmts(Printer *o, const char *label, const Stmts *s) {
    line(o, "%s", label);
    o->depth++;
    for (size_t i = 0; i < s->n; i++) print_stmt(o, s->at[i]);
    o->depth--;
}

static void print_assign(Printer *o, const char *label, const Stmt *s) {
    line(o, "%s", label);
    o->depth++;
    for (int i = 0; i < s->assign.ntarget; i++) {
        const Target *t = &s->assign.target[i];
        line(o, "target %s", t->name);
        o->depth++;
        print_under(o, "path", t->path);
        if (t->index) line(o, "index %s", t->index);
        print_under(o, "count", t->count);
        o->depth--;
    }
    print_expr(o, s->assign.value);
    o->depth--;
}

static void print_block(Printer *o, const char *label, const Stmt *s) {
    line(o, "%s %s", label, s->block.name);
    o->depth++;
    print_params(o, &s->block.param);
    print_stmts(o, "body", &s->block.body);
    o->depth--;
}

static void print_param(Printer *o, const char *label, const Stmt *s) {
    line(o, "%s %s", label, s->param.name);
    o->depth++;
    print_type(o, "type", s->param.type);
    print_under(o, "init", s->param.init);
    o->depth--;
}

static void print_load(Printer *o, const Stmt *s) {
    print_items(o, "load", &s->load.part);
    o->depth++;
    print_under(o, "from", s->load.file);
    for (size_t i = 0; i < s->load.from.n; i++)
        print_two(o, "rename", s->load.from.at[i], s->load.to.at[i]);
    o->depth--;
}

static void print_entry(Printer *o, const Stmt *s) {
    line(o, "%s%s%s", entry_word_name(s->entry.word), s->entry.name ? " " : "",
         s->entry.name ? s->entry.name : "");
    o->depth++;
    print_under(o, "on", s->entry.on);
    print_under(o, "batch", s->entry.batch);
    print_under(o, "steps", s->entry.steps);
    print_under(o, "epochs", s->entry.epochs);
    print_under(o, "count", s->entry.count);
    print_stmts(o, "body", &s->entry.body);
    o->depth--;
}

static void print_minimize(Printer *o, const Stmt *s) {
    line(o, "minimize");
    o->depth++;
    print_expr(o, s->minimize.loss);
    for (size_t i = 0; i < s->minimize.over.n; i++) {
        print_under(o, "over", s->minimize.over.at[i].value);
        o->depth++;
        print_under(o, "lr x", s->minimize.scale.at[i]);
        o->depth--;
    }
    print_under(o, "with", s->minimize.rule);
    print_args(o, "option", &s->minimize.option);
    o->depth--;
}

static void print_report(Printer *o, const Stmt *s) {
    const char *kind = report_kind_name(s->report.kind);
    line(o, "report%s%s", *kind ? " " : "", kind);
    o->depth++;
    print_args(o, "item", &s->report.item);
    print_under(o, "as", s->report.as);
    o->depth--;
}

static void print_import(Printer *o, const Stmt *s) {
    const char *q = s->import.file ? "\"" : "", *alias = s->import.alias;
    line(o, "import %s%s%s%s%s", q, s->import.file ? s->import.file : s->import.module, q,
         alias ? " as " : "", alias ? alias : "");
}

static void print_if(Printer *o, const Stmt *s) {
    line(o, "if");
    o->depth++;
    print_expr(o, s->cond.cond);
    print_stmts(o, "then", &s->cond.then);
    if (s->cond.other.n) print_stmts(o, "else", &s->cond.other);
    o->depth--;
}

static void print_for(Printer *o, const Stmt *s) {
    line(o, "for %s", s->loop.name);
    o->depth++;
    print_expr(o, s->loop.in);
    print_stmts(o, "body", &s->loop.body);
    o->depth--;
}

static void print_run(Printer *o, const Stmt *s) {
    line(o, "run");
    o->depth++;
    print_args(o, "set", &s->run.item);
    print_args(o, "every", &s->run.every);
    o->depth--;
}

static void print_return(Printer *o, const Stmt *s) {
    line(o, "return");
    o->depth++;
    for (size_t i = 0; i < s->ret.value.n; i++) {
        const Arg *a = &s->ret.value.at[i];
        if (a->name) line(o, "as %s", a->name);
        print_expr(o, a->value);
    }
    print_under(o, "as", s->ret.as);
    o->depth--;
}

static void print_stmt(Printer *o, const Stmt *s) {
    switch (s->kind) {
    case STMT_import: print_import(o, s); break;
    case STMT_const: print_assign(o, "const", s); break;
    case STMT_fn: print_fn(o, s->fn); break;
    case STMT_block: print_block(o, "block", s); break;
    case STMT_rule: print_block(o, "rule", s); break;
    case STMT_tokenizer: print_assign(o, "tokenizer", s); break;
    case STMT_data: print_assign(o, "data", s); break;
    case STMT_assign: print_assign(o, "assign", s); break;
    case STMT_param: print_param(o, "param", s); break;
    case STMT_state: print_param(o, "state", s); break;
    case STMT_cache: print_param(o, "cache", s); break;
    case STMT_load: print_load(o, s); break;
    case STMT_freeze: print_items(o, "freeze", &s->freeze.part); break;
    case STMT_entry: print_entry(o, s); break;
    case STMT_run: print_run(o, s); break;
    case STMT_minimize: print_minimize(o, s); break;
    case STMT_update: print_assign(o, "update", s); break;
    case STMT_report: print_report(o, s); break;
    case STMT_watch: print_under(o, "watch", s->expr); break;
    case STMT_return: print_return(o, s); break;
    case STMT_if: print_if(o, s); break;
    case STMT_for: print_for(o, s); break;
    case STMT_expr: print_under(o, "do", s->expr); break;
    }
}

void ast_print(Buf *b, const File *f) {
    Printer o = {b, 0};
    buf_puts(b, "");
    for (size_t i = 0; i < f->stmt.n; i++) print_stmt(&o, f->stmt.at[i]);
}
