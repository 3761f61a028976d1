/* Inside the frontend: the compile-time phase. elaborate.c and its neighbours walk the syntax with
 * an environment of compile-time values; every operation on tensors adds nodes to the graph of the
 * entry at hand.
 *
 * Expressions (expr.h):
 *   value.c number.c     compile-time values and their arithmetic
 *   expr.c index.c       evaluation: names, operators, calls, `over`; x[...]
 *   tensor.c binary.c    operators on tensors: dtypes, broadcasting, names of dimensions
 *   einsum.c rearrange.c products and patterns
 *   builtin*.c           the primitive functions, listed in builtins.def
 * Declarations (decl.h):
 *   elaborate.c          files, imports, constants; the whole of it
 *   scope.c suggest.c    names, and 'did you mean';  names.c  in what nobody calls
 *   stmt.c call.c sign.c statements, calls, signatures
 *   block.c declare.c    instances and their persistent tensors
 *   entry.c minimize.c   train and eval; minimize and update;  watch.c derive.c  watch
 *   returns.c            sample, generate and predict;  features.c  features
 *   data.c settings.c    pipelines and tokenizers; load and run
 *   program.c            the finished program
 *
 * Functions return false after they have reported an error; a Val of kind VAL_error stands for
 * something that was already reported, and using it is silent. */
#ifndef UPT_ELAB_H
#define UPT_ELAB_H

#include "frontend/frontend.h"

typedef struct Elab Elab;
typedef struct Scope Scope;
typedef struct Val Val;
typedef struct Instance Instance;
typedef struct Module Module;

/* A run-time tensor. `name` are the names of its dimensions as messages show them ("T", "4*d"),
 * NULL where unnamed. A reduction remembers what it dropped: `full` is the rank before (0: no
 * memory), `dropped` the axes of that rank. */
typedef struct TVal {
    Ref ref;
    Type type;
    const char *name[RANK];
    int full;
    uint32_t dropped;
} TVal;

typedef enum ValKind {
    VAL_error,
    VAL_none,
    VAL_int,
    VAL_float,
    VAL_bool,
    VAL_str,
    VAL_list,
    VAL_tuple,
    VAL_fn,      /* a closure */
    VAL_builtin, /* a primitive of builtins.def */
    VAL_block,
    VAL_rule,
    VAL_applied,  /* a rule with its arguments: sgd(0.1). In `inst`, without a path */
    VAL_instance, /* of a block */
    VAL_array,    /* of instances */
    VAL_param,    /* a persistent tensor; used as a value it becomes its current VAL_tensor */
    VAL_tensor,
    VAL_empty, /* a slice without elements: `t` with a size of 0, and no node. A part of concat */
    VAL_tree,  /* tensors by path within an instance: ema(key, query, 0.99) */
    VAL_module,
    VAL_tokenizer,
    VAL_data,
    VAL_axes /* what `over` bound in a fn: list of axis positions of the tensor that had them */
} ValKind;
typedef struct Closure {
    const FnDecl *decl;
    Scope *scope;      /* where it was declared */
    Instance *self;    /* a block's fn */
    bool still, remat; /* still(f), remat(f) */
} Closure;
typedef struct Builtin Builtin;
typedef struct TreeLeaf {
    const char *path;
    TVal t;
} TreeLeaf;
typedef struct Tree {
    VEC(TreeLeaf) leaf;
} Tree;
const TVal *tree_find(const Tree *t, const char *path); /* NULL: none */
struct Val {
    ValKind kind;
    Span span; /* where the value was written or declared, for notes */
    /* VAL_int. `dim`: how messages name it as a dimension ("T", "4*d"); NULL: its digits. `outer`:
     * in a block or fn, how its caller names it, "" if by a number; lost in arithmetic. `batch`: it
     * counts samples of the batch (B, 2*B), and tensors made with it have a batch axis. */
    const char *dim, *outer;
    bool batch;
    union {
        int64_t i;
        double f;
        bool b;
        const char *s;
        struct {
            Val *at;
            int n;
            int all, deep; /* values, with those of the lists in it; levels of lists below */
        } list;            /* list, tuple, array (of instances), axes (VAL_int) */
        const Closure *fn;
        const Builtin *builtin;
        struct {
            const Stmt *def;
            Scope *scope;
        } block; /* block, rule */
        Instance *inst;
        int tensor; /* VAL_param: index in Program.tensor-to-be (Elab.tensor) */
        TVal t;
        Tree *tree;
        Module *module;
        int index; /* tokenizer, data: index in Spec */
    };
};

struct Scope {
    Map names; /* name -> Val* */
    Scope *parent;
    Instance *self; /* of the block whose body or fn this is */
};

/* What a block makes. Its scope holds its arguments, parts, tensors and fns; of those it owns what
 * it created itself. A rule applied to its arguments is one too (def->kind STMT_rule, no path). */
struct Instance {
    const char *path; /* bert.layer.3 */
    const Stmt *def;  /* STMT_block or STMT_rule */
    Scope *scope;
    const Closure *call;  /* its unnamed fn, or NULL */
    bool frozen;          /* its fns run as in eval */
    const Instance *like; /* a clone's original, or NULL */
    VEC(Instance *) part; /* owned */
    VEC(int) tensor;      /* owned, indices in Elab.tensor */
};

/* A call on the stack: for places (rule 4 of the language) and the chain that diagnostics show. */
typedef struct Frame {
    struct Frame *up;
    uint64_t place;   /* hash of path and chain so far */
    Map counts;       /* callee or operator name -> how many so far in this frame */
    const char *what; /* "EncoderLayer", "mask_tokens", for 'in the call to ...' */
    Span call;        /* where it was called */
    uint32_t via;     /* the call around it, as new nodes bear it */
} Frame;

typedef struct PTensor { /* a persistent tensor being declared */
    Tensor t;
    const char *dim_name[RANK];
    Val init; /* fn of the shape, or none */
    Span init_span;
    bool frozen, used; /* used: reached by some entry */
    Scope *scope;
} PTensor;

struct Elab {
    Arena *arena;
    Diag *diag;
    const FrontendHost *host;
    Program *program;
    Module *main;
    Frame *frame;
    int depth;        /* of calls; more than 200 is an error that shows the chain */
    int nesting;      /* of eval_expr: bounds the machine's stack */
    int64_t spent;    /* steps of compiling so far, see spend() */
    Graph *g;         /* of the entry at hand; NULL outside entries */
    bool training;    /* in train, and not inside still() */
    bool in_train;    /* the entry is `train`: step and steps are values, updates happen */
    bool in_generate; /* caches are values, and updates of them happen */
    bool in_eval;     /* banks are values */
    int64_t batch;    /* B of the entry */
    VEC(PTensor) tensor;
    Ref *current; /* by tensor: its value now in this entry (REF_NONE: not yet read) */
    Module *core; /* what every file sees: normal_init and uniform_init are found in its scope */
    struct Decls *decls; /* private to the declaration side: frontend/decl.h */
};

typedef struct CallArg {
    const char *name;
    Val val;
    Span span;
} CallArg;

/* ---- expressions */
bool eval_expr(Elab *cx, Scope *s, const Expr *e, Val *out);
/* A tensor from a value: VAL_param is read, numbers become constants of dtype `like` (an error if
 * they do not fit). */
bool val_tensor(Elab *cx, const Val *v, DType like, Span at, TVal *out);
/* An integer, else an error '<what> must be an integer, not ...'; a number likewise. */
bool val_int(Elab *cx, const Val *v, const char *what, Span at, int64_t *out);
bool val_num(Elab *cx, const Val *v, const char *what, Span at, double *out);
/* A list of integers as a shape: sizes, names and batch axis, of dtype f32. */
bool val_shape(Elab *cx, const Val *v, const char *what, Span at, TVal *shape);
const char *val_describe(Elab *cx, const Val *v);   /* "[B, T, d]", "the number 3", "a block" */
const char *tval_describe(Elab *cx, const TVal *t); /* "[B, T, d]" or "i32[B, T]" */
bool apply_binary(Elab *cx, BinaryOp op, const Val *a, const Val *b, Span op_span, Span whole,
                  Val *out);
Val val_of_int(int64_t i), val_of_float(double f), val_of_bool(bool b), val_of_str(const char *s);
Val val_of_tensor(const TVal *t);
Val val_of_list(ValKind kind, Val *at, int n); /* of values that are no lists */
/* Of any values: an error when they are too many, or lists too deep. */
enum { LIST_MAX = 100000, LIST_DEEP = 100 };
bool list_make(Elab *cx, ValKind kind, Val *at, int n, Span span, Val *out);
Val val_error(void);
bool val_same(const Val *a, const Val *b);
/* TVal of a node just added: names carried over by the caller. */
TVal tensor_add(Elab *cx, Op op, const Attr *attr, const TVal *in, int nin, const Type *given,
                Span at);
const Builtin *builtin_find(const char *name);
const char *const *builtin_names(size_t *n);
/* An error with the chain of calls that led there; returns false. Where notes of one's own come
 * first: diag_error, diag_note, then report_calls for the chain alone. Hints may follow either. */
bool report_error(Elab *cx, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool report_calls(Elab *cx);
/* Every expression, turn of a loop and element of a list that is made or compared is a step. After
 * STEPS_MAX of them it is an error, so that no program keeps the compiler for ever. */
bool spend(Elab *cx, int64_t steps, Span at);

/* ---- declarations */
Val *scope_find(const Scope *s, const char *name); /* NULL: unknown here and outside */
/* The value of a name in an expression: the scopes, then builtins. False: reported (unknown, or in
 * two imports). */
bool name_value(Elab *cx, const Scope *s, const char *name, Span at, Val *out);
void scope_set(Elab *cx, Scope *s, const char *name, const Val *v);
Scope *scope_new(Elab *cx, Scope *parent, Instance *self);
bool hint_foreign(Elab *cx, const char *hint); /* of foreign.h, or NULL; false: none */
/* Unknown <what> 'name', with 'did you mean'. */
void report_unknown(Elab *cx, const Scope *s, const char *what, const char *name, Span at);
/* Calls a closure, an instance's unnamed fn, a block (outside entries: makes an instance), a rule.
 * `over` is NULL or a VAL_axes / list of axis expressions' values, already resolved against the
 * first argument. Builtins are called by expr.c. */
bool call_value(Elab *cx, const Val *fn, const CallArg *arg, int narg, const Val *over, Span at,
                Val *out);
/* of.name, of an instance, a module or a tokenizer. */
bool val_field(Elab *cx, const Val *of, const char *name, Span at, Val *out);
/* What calling `fn` runs, for still(f) and remat(f); a fn or an instance, else an error. */
bool value_closure(Elab *cx, const Val *fn, Span at, Closure *out);
bool value_clone(Elab *cx, const Val *of, Span at, Val *out); /* clone(query) */
/* A name of the core module: "normal_init". */
Val *core_find(Elab *cx, const char *name);
const char *span_text(Elab *cx, Span at); /* the source there, on one line */
/* A persistent tensor's value now, in this entry. */
bool tensor_current(Elab *cx, int tensor, Span at, TVal *out);
uint64_t place_next(Elab *cx, const char *operator_name); /* of a random operator, rule 4 */
/* Current values of all its params and states, by path. */
bool instance_leaves(Elab *cx, const Instance *inst, Tree *out);
/* False after an error: y was computed from an older value of the param or instance `of`. */
bool grad_is_current(Elab *cx, const Val *of, Ref y, Span y_span, Span at);
/* `data | stage(...)`: EXPR_binary pipe whose left side is data comes here with the stage's call
 * not yet evaluated. */
bool data_pipe(Elab *cx, Scope *s, const Val *left, const Expr *stage, Val *out);
void frame_push(Elab *cx, Frame *f, const char *what, uint64_t salt, Span call);
void frame_pop(Elab *cx);
#endif
