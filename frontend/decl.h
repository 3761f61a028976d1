/* Inside the declaration side of elaboration: modules, statements, signatures, instances, entries.
 * elab.h holds what the expression side sees of it. */
#ifndef UPT_DECL_H
#define UPT_DECL_H

#include "frontend/elab.h"

struct Module {
    const char *name;   /* "std.nn", or the path of a file */
    const char *prefix; /* of its consts in -D: "" or "pre." */
    File *file;
    Scope *scope; /* its own names; above them what it imported, above that the core */
    bool library, loading;
};

/* Where a statement stands decides what it may be and where its names go. */
typedef enum Where { IN_module = 1, IN_block = 2, IN_rule = 4, IN_fn = 8, IN_entry = 16 } Where;
typedef struct Exec {
    Where where;
    Scope *scope;
    Module *module;     /* IN_module */
    Instance *inst;     /* IN_block, IN_rule: what is being made */
    const TVal *owner;  /* IN_rule: the parameter whose state this is */
    const Entry *entry; /* IN_entry */
    Val result;         /* of `return` */
    bool returned;
} Exec;

typedef struct Version { /* what a tensor was before an entry changed it */
    int tensor;
    Ref ref;
    Span changed;
} Version;
typedef struct Binding { /* a tensor that an entry gave a name */
    const char *name;
    Span span;
    Ref ref;
} Binding;
typedef struct TokenizerDecl {
    TokenizerSpec spec;
    TokenizerInfo info;
} TokenizerDecl;
/* What a pipeline yields so far. */
typedef enum DataKind { DATA_text, DATA_ids, DATA_rows } DataKind;
typedef struct DataDecl {
    DataSpec spec;
    DataKind kind;
} DataDecl;

enum { LOOPS_DEEP = 2 }; /* kernels are bodies in these, and bodies nest MAX_NESTING deep */
typedef struct Decls {
    Map modules; /* by name -> Module* */
    Map paths;   /* of instances and tensors -> Span* of what made them */
    Map own;     /* names that the main file assigns at top level */
    Map moved;   /* paths of imported instances that gave way to these -> path in their own file */
    const Define *define;
    size_t ndefine;
    bool *defined;            /* which -D found their const */
    bool broken;              /* a file or an import failed: missing names are no errors */
    VEC(const char *) consts; /* all that -D could name */
    VEC(TokenizerDecl) tokenizer;
    VEC(DataDecl) data;
    VEC(LoadSpec) load;
    Span run; /* of `run { ... }`; file 0: none */

    Span naming;           /* the call that makes the instance about to be named ... */
    const char *path;      /* ... and its path */
    Instance *maker;       /* whose block's body runs */
    const Instance *clone; /* being made, else NULL */
    Map tensors;           /* by name -> int*, index in Elab.tensor */
    size_t nbound;         /* size of Elab.current */
    bool unwatched;        /* run { watch = off } */
    bool reporting;        /* a report's expression is computed, and must change no state */
    uint32_t regions;      /* of remat so far */
    int loops;             /* scans that the call at hand is in, as loops: at most LOOPS_DEEP */
    int64_t standins;      /* for what a loop hands to its body, so far */

    VEC(Version) version; /* of the entry at hand */
    VEC(Binding) binding;
    VEC(Output) output;
    int minimizes, trains, evals;
    Span only[ENTRY_KINDS];           /* where the entry of a kind is of which there is one */
    int token, at, tokenizer_of_text; /* generate: tensors of what it sees, and of its logits */
    int64_t train_batch;              /* of the last train entry; 0: none */
    Val bank;                         /* what the features entry at hand returns */
} Decls;

/* ---- names: scope.c suggest.c names.c */
/* "'pre' has no 'x'" */
void report_field(Elab *cx, const char *owner, const Map *names, const char *name, Span at);
void suggest(Elab *cx, const char *name, const char *const *names, size_t n);
void scope_import(Elab *cx, Scope *imports, const char *name, Val *v, const char *from);

bool name_elsewhere(const char *name); /* a data stage, or what only a later version has */
void check_names(Elab *cx);            /* names.c: also where nothing runs */

/* ---- statements: stmt.c */
bool exec_stmt(Elab *cx, Exec *x, const Stmt *s);
/* In a module or an entry goes on after an error. */
bool exec_stmts(Elab *cx, Exec *x, const Stmts *list);
void bind_errors(Elab *cx, Scope *s, const Stmt *stmt); /* names whose declaration failed */
bool assign_value(Elab *cx, Exec *x, const Target *t, int n, Val v, Span at);

/* Handlers of the kinds of statement, by name in the table of stmt.c. */
#define STMT_TABLE(X)                                                                              \
    X(import, "an import", IN_module)                                                              \
    X(const, "a const", IN_module)                                                                 \
    X(fn, "a fn", IN_module | IN_block | IN_rule)                                                  \
    X(block, "a block", IN_module)                                                                 \
    X(rule, "a rule", IN_module)                                                                   \
    X(tokenizer, "a tokenizer", IN_module)                                                         \
    X(data, "data", IN_module)                                                                     \
    X(assign, "an assignment", IN_module | IN_block | IN_fn | IN_entry)                            \
    X(param, "a param", IN_module | IN_block)                                                      \
    X(state, "a state", IN_module | IN_block | IN_rule)                                            \
    X(cache, "a cache", IN_block)                                                                  \
    X(load, "load", IN_module)                                                                     \
    X(freeze, "freeze", IN_module)                                                                 \
    X(entry, "an entry", IN_module)                                                                \
    X(run, "run", IN_module)                                                                       \
    X(minimize, "minimize", IN_entry)                                                              \
    X(update, "update", IN_fn | IN_entry)                                                          \
    X(report, "report", IN_entry)                                                                  \
    X(watch, "watch", IN_fn | IN_entry)                                                            \
    X(return, "return", IN_fn | IN_entry)                                                          \
    X(if, "if", IN_module | IN_block | IN_rule | IN_fn | IN_entry)                                 \
    X(for, "for", IN_module | IN_block | IN_fn | IN_entry)                                         \
    X(expr, "an expression", IN_fn | IN_entry)
#define X(name, what, where) bool do_##name(Elab *cx, Exec *x, const Stmt *s);
STMT_TABLE(X)
#undef X

/* ---- calls: call.c sign.c */
bool call_closure(Elab *cx, const Closure *c, const CallArg *arg, int narg, const Val *over,
                  Span at, Val *out);
void frame_aside(Elab *cx, Frame *f, const char *label); /* its parent does not count it */
/* Nodes made from now on belong to this call; what they belonged to before. */
uint32_t nodes_via(Elab *cx, const char *what, Span call);
/* Sorts arguments by parameter into slot[param.n]; NULL where the default stands. */
bool args_match(Elab *cx, const char *callee, const ParamDecls *param, const CallArg *arg, int narg,
                Span at, const CallArg **slot);
/* Binds matched arguments in `s`, as a block's or rule's (compile-time) arguments. */
bool args_bind(Elab *cx, const char *callee, const ParamDecls *param, const CallArg *arg, int narg,
               Span at, Scope *s);
bool signature_bind(Elab *cx, const FnDecl *f, const char *callee, const CallArg *arg, int narg,
                    const Val *over, Span at, Scope *s);
bool signature_result(Elab *cx, const FnDecl *f, const char *callee, Scope *s, Val *v);
bool enter_call(Elab *cx, const char *what, Span at); /* limits their depth */

/* ---- instances: block.c declare.c */
bool instance_new(Elab *cx, const Val *block, const CallArg *arg, int narg, Span at, Val *out);
bool instance_of_rule(Elab *cx, const Val *rule, const CallArg *arg, int narg, Span at, Val *out);
bool path_claim(Elab *cx, const char *path, Span at);
bool exec_array(Elab *cx, Exec *x, const Target *t, const Expr *value);
/* An instance made by `value` gets `path`. */
bool eval_named(Elab *cx, Exec *x, Scope *s, const char *path, const Expr *value, Val *out);
const char *path_of(Elab *cx, const Exec *x, const char *name);
int tensor_declare(Elab *cx, const PTensor *t); /* PTensor.like is found here */
/* Every tensor of a part of the model: instance, array, list, param. False: reported. */
typedef VEC(int) Tensors;
bool part_tensors(Elab *cx, const Val *part, Span at, Tensors *out);

/* The tensor's value from here on in this entry; `value` is stopped: a constant to later gradients.
 */
void tensor_set(Elab *cx, int tensor, Ref value, Span at);

/* ---- reports and watches: entry.c watch.c */
/* In a frame of its own, and without updates: a report more or less changes neither random numbers
 * nor states. */
bool report_value(Elab *cx, Exec *x, const Expr *e, const char *label, Val *out);
void watches_drop(Graph *g);
bool watch_label_taken(const Elab *cx, const char *label);
/* A watch that nobody wrote: the fn's, of these arguments. */
bool watch_call(Elab *cx, const Val *fn, const CallArg *arg, int narg, const char *label, Span at);
bool watches_derive(Elab *cx); /* derive.c: those of the entry at hand that follow from it */

/* ---- what an entry gives: entry.c returns.c */
/* "'x' is given twice"; false: not yet. */
bool outputs_named(Elab *cx, const char *label, const char *done, Span at);
bool output_decoded(Elab *cx, const Val *v, Span at, Output *o); /* decode(tok, ids) */
/* `as grid(h, w)`: values as pictures f32[n, h, w, c] from 0 to 1. */
bool output_picture(Elab *cx, Scope *s, const Val *v, const Expr *as, Span at, Output *o);
/* `return` of an entry. */
bool entry_return(Elab *cx, Exec *x, const Stmt *s);
/* One value for each sample or record, which is of that record alone; else an error. */
bool returns_rows(Elab *cx, const Exec *x, Ref r, Span at);
/* ---- features.c: the records of its data; what it returns */
bool features_count(Elab *cx, const Stmt *s, Entry *e);
bool features_return(Elab *cx, Exec *x, const Stmt *s);
/* What sees `token` and `at` in generate(tok): their caches, and the tokenizer of its logits. */
bool generate_bind(Elab *cx, Scope *s, const Stmt *entry, int64_t batch);
/* Positions that there are for tokens, by the tables that `at` is looked up in; 0: any number. */
int64_t generate_positions(Elab *cx);

/* ---- modules: elaborate.c */
Module *module_library(Elab *cx, const char *name, Span at); /* "nn"; NULL: reported */
enum { LIBRARY_MODULES = 8 };
extern const char *const library_modules[LIBRARY_MODULES]; /* "std.nn": what a file may import */

/* ---- the end: program.c */
void program_finish(Elab *cx);
void program_spec(Elab *cx); /* what is declared so far */
#endif
