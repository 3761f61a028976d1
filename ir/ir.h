/* ir: the tensor program between the language and the machine.
 *
 * A graph is a list of nodes in topological order. Nodes are immutable and hash-consed: building is
 * common subexpression elimination. A program is the table of persistent tensors and a few graphs
 * an entry. Passes read one program and build another. docs/ir.md specifies the text
 * form; ir/print.c and ir/parse.c are exact inverses; ir/eval.c is the slow interpreter that says
 * what everything means. */
#ifndef UPT_IR_H
#define UPT_IR_H

#include "base/base.h"
#include "base/spec.h"

/* ---- types */
/* batch_axis is the axis whose major part counts the samples of the batch; NO_BATCH: none has any
 * part in it; MIXED_BATCH: samples are mixed in an axis that no longer tells them apart. */
enum { NO_BATCH = -1, MIXED_BATCH = -2 };
typedef struct Type {
    DType dtype;
    int8_t rank;
    int8_t batch_axis;
    int64_t dim[RANK];
} Type;
Type type_scalar(DType t);
Type type_make(DType t, int rank, const int64_t *dim); /* no batch axis */
Type type_place(const Type *t);                        /* of one place along axis 0 */
int64_t type_count(const Type *t);            /* elements; builders refuse more than 2^40 */
bool type_same(const Type *a, const Type *b); /* dtype, shape and batch axis */
bool type_same_shape(const Type *a, const Type *b);
bool dims_valid(int rank, const int64_t *dim, Err *e); /* sizes from 1 on, at most 2^40 elements */
/* f32[32,784]; f32[32*,784] marks the batch axis, f32[32,784]? is mixed. */
void type_print(Buf *b, const Type *t);

/* ---- operators: the rows of ir/ops.def, which says what each column means */
typedef enum Op {
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;
typedef enum AttrKind {
    ATTR_NONE,
    ATTR_CONST,
    ATTR_AXES,
    ATTR_AXIS,
    ATTR_TYPE,
    ATTR_SHAPE,
    ATTR_PERM,
    ATTR_SLICE,
    ATTR_PAD,
    ATTR_DOT,
    ATTR_WINDOW,
    ATTR_PLACE,
    ATTR_TENSOR,
    ATTR_NAME,
    ATTR_COUNT,
    ATTR_BODY,
    ATTR_SCAN
} AttrKind;
typedef enum Lower {
    LOWER_LEAF,
    LOWER_MAP,
    LOWER_VIEW,
    LOWER_REDUCE,
    LOWER_DOT,
    LOWER_TABLE,
    LOWER_LOOP,
    LOWER_GONE
} Lower;
enum {
    FLAG_PURE = 1,
    FLAG_COMMUTES = 2,
    FLAG_RANDOM = 4,
    FLAG_CHEAP = 8,
    FLAG_BOOL = 16,
    FLAG_ACCUM = 32
};
enum { ARITY_ANY = -1 };
typedef struct OpInfo {
    const char *name;
    int arity;
    AttrKind attr;
    Lower lower;
    unsigned flags;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
enum { MAX_NESTING = 4 }; /* bodies within bodies */
static inline bool op_has_body(Op op) {
    return op_info[op].attr == ATTR_BODY || op_info[op].attr == ATTR_SCAN;
}
/* Has steps of its own, no kernel's: its operands and results lie in memory. */
static inline bool op_stands_alone(Op op) {
    Lower lower = op_info[op].lower;
    return lower == LOWER_DOT || lower == LOWER_TABLE || lower == LOWER_LOOP;
}
bool op_from_name(const char *s, Op *op);

typedef struct Graph Graph;
/* Attributes. Only the member that the operator's row names is meaningful; the rest is zero. */
/* clang-format off */ /* one row a kind */
typedef struct Attr {
    union {
        double num;       /* CONST: floats, and integers up to 2^53 exactly; bool is 0 or 1 */
        uint32_t axes;    /* AXES: bit i is axis i */
        int axis;         /* AXIS */
        DType dtype;      /* TYPE */
        int tensor;       /* TENSOR: index in Program.tensor */
        const char *name; /* NAME */
        int64_t count;    /* COUNT */
        Graph *body;      /* BODY */
        struct { int rank; int64_t dim[RANK]; } shape;                           /* SHAPE */
        struct { int rank; int axis[RANK]; } perm;                               /* PERM */
        struct { int rank; int64_t start[RANK], step[RANK], size[RANK]; } slice; /* SLICE */
        /* PAD: gap zeros between neighbours */
        struct { int rank; int64_t lo[RANK], hi[RANK], gap[RANK]; } pad;
        /* DOT: a letter an axis; round: both operands are rounded to bf16 first; halve: so is the
         * result */
        struct { char a[RANK + 1], b[RANK + 1], out[RANK + 1]; bool round, halve; } dot;
        /* WINDOW: of axes axis, axis + 1, ...; dim: what the result has there, windows or elements */
        struct { int axis, rank; int64_t dim[RANK], size[RANK], step[RANK], dilate[RANK]; } window;
        /* PLACE; randint below it. With a rank it is a part of a larger value: `first` is the linear
         * index of its first element there, which grows by `stride` along its axes, by `turn` with
         * each turn of so many loops around it, from the inner one out, and by `piece` with each
         * piece of the batch */
        struct { uint64_t place; int64_t below, first, piece; int rank, loops; int64_t stride[RANK], turn[RANK]; } random;
        /* SCAN: of the inputs the first are the carries, then come the slices; `body` as above. The
         * first `totals` of the carries are results only as the last turn leaves them */
        struct { Graph *body; int carries, slices; bool reverse; int totals; } scan;
    };
} Attr;
/* clang-format on */

/* ---- nodes and graphs */
typedef struct Ref { /* a value: result `out` of node `node` */
    uint32_t node, out;
} Ref;
#define REF_NONE ((Ref){UINT32_MAX, 0})
static inline bool ref_is(Ref r) {
    return r.node != UINT32_MAX;
}
static inline bool ref_same(Ref a, Ref b) {
    return a.node == b.node && a.out == b.out;
}
typedef struct Node {
    Op op;
    int nin, nout;
    Ref *in;
    Type *type; /* nout of them */
    Attr attr;
    uint32_t copy;   /* 0, or which recomputation of a value this is: kept apart by consing */
    uint32_t region; /* remat region it belongs to, 0: none. In the key too */
    Span span;       /* not in the key */
    uint64_t hash;   /* of the key, from when the node was added */
} Node;
/* OUT_state: the new value of a persistent tensor. OUT_loss: a minimised value, which must stay
 * finite. OUT_report: a scalar to log. OUT_text: token ids to decode and show. OUT_watch: a bool
 * that is true when the report before it is a bad sign; its name is what a person is told then.
 * OUT_image: pictures, f32[n, h, w, c] from 0 to 1. OUT_value: a result of a body, a test, or an
 * entry that returns. */
typedef enum OutKind {
    OUT_value,
    OUT_state,
    OUT_loss,
    OUT_report,
    OUT_text,
    OUT_watch,
    OUT_image
} OutKind;
enum { OUT_KINDS = OUT_image + 1 };
typedef struct Output {
    OutKind kind;
    const char *name; /* label of what is reported or returned, sentence of a watch; else NULL */
    int index;        /* OUT_state: tensor; OUT_text and the value of a generate: tokenizer */
    Ref ref;
    Span span;
} Output;
struct Graph {
    const char *name;
    Arena *arena;
    Node **node; /* n of them, inputs before users */
    size_t n, cap;
    Output *out;
    size_t nout, outcap;
    uint32_t *slot; /* hash-consing table */
    size_t nslot;
    uint32_t region; /* remat region that new nodes get; set by the builder's user */
    uint32_t copy;   /* copy number that new nodes get */
    uint32_t via;    /* call that new nodes belong to, where their span says none */
};
/* Nodes of a graph as a user may write it: elaboration and gradients stop there with an error. */
enum { GRAPH_LARGE = 1 << 20 };
Graph *graph_new(Arena *a, const char *name);
/* Adds a node (or finds its equal) after inferring its result types by the shape rule; `given`
 * types (state, field, const, random, ...) are passed in `type`, else NULL. A shape error here is a
 * BUG: the frontend checks first with shape_infer. */
Ref graph_add(Graph *g, Op op, const Attr *attr, const Ref *in, int nin, const Type *type,
              Span span);
void graph_out(Graph *g, OutKind kind, const char *name, int index, Ref ref, Span span);
static inline const Node *graph_node(const Graph *g, Ref r) {
    return g->node[r.node];
}
static inline const Type *graph_type(const Graph *g, Ref r) {
    return &g->node[r.node]->type[r.out];
}
bool graph_same(const Graph *a, const Graph *b); /* but for names and places in the source */
/* Which nodes the outputs reach: g->n of them, in arena `a`. */
bool *graph_reached(const Graph *g, Arena *a);
uint32_t graph_new_copy(const Graph *g); /* a number that no copy in it has */
/* Copies a node of another graph into `to`, where its inputs are `in`; the workhorse of passes. */
Ref graph_copy_node(Graph *to, const Node *n, const Ref *in);
/* Rebuilds only what the outputs reach, keeping outputs for which keep(kind) (NULL: all). */
Graph *graph_prune(Arena *a, const Graph *g, const char *name, bool (*keep)(const Output *));
/* The same with a mark for each output that is kept. */
Graph *graph_keep(Arena *a, const Graph *g, const bool *keep);

/* Result types of an operator, *nout of them in the arena; false and a sentence in terms of shapes
 * when inputs do not fit. `given` as in graph_add. */
bool shape_infer(Op op, const Attr *attr, const Type *in, int nin, const Type *given, Arena *a,
                 Type **out, int *nout, Err *e);
/* The place of a random operator of a loop's body in one of its turns. */
static inline uint64_t place_in_turn(uint64_t place, int64_t turn) {
    return hash_mix(place, (uint64_t)turn);
}
/* The attributes of a random operator of type `t` as those of a part, which is all of it. */
void random_part(Attr *a, const Type *t);
/* Moves the operator into a loop, each turn of which has its elements `by` further. */
void random_into_loop(Attr *a, int64_t by);
/* Takes it out of a loop, the one number `loop` from the inner one out, as it is in that turn. */
void random_in_turn(Attr *a, int loop, int64_t turn);
enum { MAX_RESULTS = 4096 }; /* of an operator, and inputs of one */

/* Short hands for passes. */
Ref g_const(Graph *g, DType t, double v, Span at); /* a scalar */
/* A whole tensor of one value. */
Ref g_fill(Graph *g, const Type *t, double v, Span at);
Ref g_unary(Graph *g, Op op, Ref x, Span at);
Ref g_binary(Graph *g, Op op, Ref x, Ref y, Span at);
Ref g_where(Graph *g, Ref c, Ref x, Ref y, Span at);
Ref g_cast(Graph *g, Ref x, DType t, Span at);
/* This and the next three give x itself where nothing changes. */
Ref g_reshape(Graph *g, Ref x, int rank, const int64_t *dim, Span at);
Ref g_expand(Graph *g, Ref x, int rank, const int64_t *dim, Span at);
Ref g_transpose(Graph *g, Ref x, const int *perm, Span at);
Ref g_reduce(Graph *g, Op op, Ref x, uint32_t axes, Span at);
Ref g_dot(Graph *g, Ref a, Ref b, const char *la, const char *lb, const char *lo, Span at);
/* Input `i` of a product, now `x`, with its axes in the order of labels and 1 for those it lacks,
 * as the product takes it: ready to broadcast. */
Ref g_lined_up(Graph *g, const Node *dot, int i, Ref x, const char *order);
/* The product `n` of other operands, with other labels. */
Ref g_dot_as(Graph *g, const Node *n, Ref a, Ref b, const char *la, const char *lb, const char *lo);
/* Undoes broadcasting: sums edges and reshapes. */
Ref g_sum_to(Graph *g, Ref x, const Type *shape, Span at);

/* ---- programs */
/* optim: what a rule keeps for a parameter; acc: sums over the batches of a set or the pieces of a
 * batch; cache: what one generation keeps, zero at its start; bank: a value of every record of a
 * set. scale: of the rows of tensor `like`, which is i8. These four are never saved and have no
 * initial value. */
typedef enum TensorKind {
    TENSOR_param,
    TENSOR_state,
    TENSOR_optim,
    TENSOR_acc,
    TENSOR_cache,
    TENSOR_bank,
    TENSOR_scale
} TensorKind;
enum { TENSOR_KINDS = TENSOR_scale + 1 };
static inline bool tensor_is_saved(TensorKind k) {
    return k < TENSOR_acc;
}
/* How a matrix of a checkpoint, f32[n,k], is kept (passes/weights.c): as it is; row by row, in the
 * type of the tensor; transposed, in that type. */
typedef enum Kept { KEPT_as_is, KEPT_rows, KEPT_turned } Kept;
typedef struct Tensor {
    const char *name; /* its path: bert.layer.3.attend.q.weight */
    TensorKind kind;
    Type type;
    int like;    /* clone: starts as this tensor, after loads; -1: none */
    double fill; /* TENSOR_acc: value before the first batch or piece */
    Kept kept;   /* of what is made from a program; no text has it */
    Span span;
} Tensor;
typedef enum EntryKind {
    ENTRY_train,
    ENTRY_eval,
    ENTRY_sample,   /* pictures or values from random numbers; no data */
    ENTRY_generate, /* the logits after one token: caches GENERATE_TOKEN and GENERATE_AT hold it */
    ENTRY_predict,  /* a value for each record */
    ENTRY_features  /* the same, kept in banks for the evals that read them */
} EntryKind;
enum { ENTRY_KINDS = ENTRY_features + 1 };
static inline bool entry_reads_data(EntryKind k) {
    return k != ENTRY_sample && k != ENTRY_generate;
}
enum {
    ENTRY_GRAPHS = 5,
    ENTRY_PIECES = 2
}; /* the graphs of pieces are from graph[ENTRY_PIECES] on */
typedef struct Entry {
    EntryKind kind;
    const char *name;      /* "train", "eval", "train.2", ... */
    int data;              /* index in Spec.data; -1: it reads none */
    int64_t batch;         /* sample: how many it makes at once */
    int64_t steps, epochs; /* train: one of them is 0. generate: steps are the positions that there
                              are for tokens, 0: any number. features: the records of its data */
    /* train: the quiet step, and the one with reports (equal state, bit for bit). eval: one batch;
     * after `whole_set`, what each batch adds to the sums, and the reports from them.
     * After `micro` a train entry's batch goes through `piece` (or piece_logged) in equal pieces,
     * which add to accumulators; step and logged run once, after all of them, and `ahead` adds up,
     * before, what a sample has to know of the whole batch. Of an eval `ahead` runs once, before
     * the first batch: what comes of banks alone. */
    union {
        struct {
            Graph *step, *logged, *ahead, *piece, *piece_logged;
        };
        Graph *graph[ENTRY_GRAPHS]; /* all of them; NULL: it has none such */
    };
    Span span;
} Entry;
typedef struct Program {
    Arena *arena;
    unsigned stage; /* STAGE_* that hold */
    Diag *diag;     /* sources, for spans; never NULL */
    Spec spec;
    Tensor *tensor;
    size_t ntensor, tensorcap;
    Graph *init; /* no inputs; OUT_state for every tensor but accumulators and clones */
    Entry *entry;
    size_t nentry, entrycap;
} Program;
Program *program_new(Arena *a, Diag *d);
/* Pieces that an entry's batch goes through in; 1: it is computed whole. */
int64_t entry_pieces(const Program *p, const Entry *e);
int program_add_tensor(Program *p, const Tensor *t); /* its index */

/* Stages. A pass NEEDS some and GIVES some; the verifier knows what each promises. */
enum {
    STAGE_BUILT = 1,     /* as the frontend made it: grad, stop */
    STAGE_PRIMITIVE = 2, /* no grad, no stop: only operators that can be computed */
    STAGE_WHOLE_SET = 4, /* eval entries accumulate over their batches and report from sums */
    STAGE_FUSED = 8 /* what computes is a `fused` group, a dot, a table, or a view of strides */
};

/* The verifier: false, with sentences in `b`, when a program breaks a rule of its stage. */
bool program_verify(const Program *p, Buf *b);
bool graph_verify(const Program *p, const Graph *g, unsigned stage, Buf *b);

/* Text. Reading gives the same program: print(parse(print(p))) == print(p), byte for byte. Errors
 * go to the program's Diag, and the result is then NULL. */
void program_print(Buf *b, const Program *p);
void program_explain(Buf *b, const Program *p); /* with comments on what computes: ir/facts.h */
Program *program_parse(Arena *a, Diag *d, const char *path, const char *text, size_t n);
void graph_print(Buf *b, const Program *p, const Graph *g);
/* Of the text of what it computes: tensors by name, without places in the source and without what
 * is computed again. */
uint64_t graph_fingerprint(const Program *p, const Graph *g);
/* BUG about a graph: prints it first, as far as it has been built. */
void graph_bug_at(const char *file, int line, const Graph *g, const char *fmt, ...)
    PRINTF_LIKE(4, 5) NORETURN;
#define GRAPH_BUG(g, ...) graph_bug_at(__FILE__, __LINE__, (g), __VA_ARGS__)

/* ---- the reference interpreter. Values are held as doubles (integers exact to 2^53; i64 kept
 * apart is not needed below that); with f32 results of f32 operators are rounded to f32 after each
 * operator, bf16 to bf16. */
typedef struct Array {
    Type type;
    double *at;
} Array;
typedef struct EvalCx {
    Arena *arena;
    const Program *program; /* may be NULL for bodies and tests without state */
    bool f64;               /* floats keep full precision */
    const Array *state;     /* by tensor index */
    const char *const *field_name;
    const Array *field;
    int nfield;
    const Array *args; /* of a body */
    uint64_t seed;
    double step, steps;
    int64_t live;              /* rows of the batch that are real; negative: all */
    int64_t piece;             /* which piece of the batch it is */
    int64_t turn[MAX_NESTING]; /* of the loops around, the innermost first: nturn of them */
    int nturn;
    int64_t max_alive; /* numbers held at once; 0: a hundred millions */
    /* Sees every node that graph_eval computes, its inputs and its results; or NULL. */
    void (*watch)(void *cx, uint32_t node, const Array *in, const Array *out);
    void *watch_cx;
} EvalCx;
/* Results in the order of g->out; NULL and a sentence (an index out of range, too large) on
 * failure. */
Array *graph_eval(const Graph *g, const EvalCx *cx, Err *e);
/* One node from its input values, the same code; for tests of single operators. */
bool node_eval(const Node *n, const Array *in, Array *out, const EvalCx *cx, Err *e);

#endif
