/* What --check-each checks after a pass: the rules of its stage, the text form (print, read, print
 * again, byte for byte), and that the interpreter finds the same values before and after, on seeded
 * inputs, in f64: integers and bits exactly, floats to 1e-9 of the largest element. Graphs of more
 * than 1e7 operations are not interpreted. A failure is a bug of the pass. */
#include "passes/internal.h"

#include <math.h>
#include <string.h>

static const double most_operations = 1e7, tolerance = 1e-9;
enum { TEST_SEED = 20, TEST_STEP = 3, TEST_STEPS = 10 };

static void check_text(const Program *p, const char *pass) {
    Arena *a = arena_new();
    Diag *d = diag_new(a);
    Buf first = {0}, second = {0};
    program_print(&first, p);
    const Program *again = program_parse(a, d, "check", first.data, first.n);
    if (!again) {
        diag_print(d, stderr, false);
        BUG("after %s: the printed program cannot be read", pass);
    }
    program_print(&second, again);
    if (first.n != second.n || memcmp(first.data, second.data, first.n) != 0)
        BUG("after %s: the printed program reads as another:\n%s\n----\n%s", pass, first.data,
            second.data);
    buf_free(&first);
    buf_free(&second);
    arena_free(a);
}

void check_program(const Program *p, const char *pass) {
    Buf b = {0};
    if (!program_verify(p, &b)) {
        Buf text = {0};
        program_print(&text, p);
        fputs(text.data, stderr);
        BUG("after %s: %s", pass, b.data);
    }
    buf_free(&b);
    check_text(p, pass);
}

/* ---- the meaning */

static double node_operations(const Graph *g, const Node *n) {
    double count = 0;
    for (int i = 0; i < n->nout; i++) count += (double)type_count(&n->type[i]);
    for (int i = 0; i < n->nin; i++) count += (double)type_count(graph_type(g, n->in[i]));
    if (op_info[n->op].lower == LOWER_DOT) { /* every label of one operand is in the other or in
                                                the result */
        double a = (double)type_count(graph_type(g, n->in[n->nin - 2])),
               b = (double)type_count(graph_type(g, n->in[n->nin - 1]));
        count += sqrt(a) * sqrt(b) * sqrt((double)type_count(&n->type[0]));
    }
    return count;
}

static double graph_operations(const Graph *g) {
    double sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        sum += node_operations(g, g->node[i]);
        if (g->node[i]->op == OP_fused) /* its values have at most the kernel's domain */
            sum += graph_operations(g->node[i]->attr.body);
        if (g->node[i]->op == OP_scan)
            sum += (double)g->node[i]->type[0].dim[0] * graph_operations(g->node[i]->attr.body);
    }
    return sum;
}

/* Floats of both signs around one (optimiser state only positive, as second moments are); integers
 * 0 and 1, so that they may index most tables. */
static Array random_array(Arena *a, const Type *t, const char *name, bool positive) {
    uint64_t key = random_key(TEST_SEED, hash_str(name, 0));
    int64_t n = type_count(t);
    Array x = {*t, NEW_N(a, double, n + 1)};
    for (int64_t i = 0; i < n; i++)
        x.at[i] = dtype_is_float(t->dtype) ? random_normal(key, 0, (uint64_t)i)
                                           : (double)random_below(key, 0, (uint64_t)i, 2);
    for (int64_t i = 0; positive && i < n; i++) x.at[i] = fabs(x.at[i]);
    return x;
}

typedef struct Inputs {
    Arena *arena;
    Array *state;
    VEC(const char *) name;
    VEC(Array) field;
} Inputs;

static void make_field(Inputs *in, const Node *n) {
    for (size_t k = 0; k < in->name.n; k++)
        if (str_eq(in->name.at[k], n->attr.name)) return;
    vec_push(in->arena, &in->name, n->attr.name);
    vec_push(in->arena, &in->field, random_array(in->arena, &n->type[0], n->attr.name, false));
}

/* Only what the graph reads: the whole state of a model is large. */
static void make_inputs(Inputs *in, const Program *p, const Graph *g) {
    for (size_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (n->op == OP_field) make_field(in, n);
        if (n->op != OP_state || in->state[n->attr.tensor].at) continue;
        const Tensor *t = &p->tensor[n->attr.tensor];
        in->state[n->attr.tensor] =
            random_array(in->arena, &t->type, t->name, t->kind == TENSOR_optim);
    }
}

static Array *interpret(const Program *p, const Graph *g, const Inputs *in, Err *e) {
    EvalCx cx = {.arena = in->arena,
                 .program = p,
                 .f64 = true,
                 .state = in->state,
                 .field_name = in->name.at,
                 .field = in->field.at,
                 .nfield = (int)in->field.n,
                 .seed = TEST_SEED,
                 .step = TEST_STEP,
                 .steps = TEST_STEPS,
                 .live = -1};
    return graph_eval(g, &cx, e);
}

static bool same_values(const Array *a, const Array *b) {
    if (!type_same_shape(&a->type, &b->type) || a->type.dtype != b->type.dtype) return false;
    int64_t n = type_count(&a->type);
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = isfinite(a->at[i]) ? fmax(most, fabs(a->at[i])) : most;
    double slack = dtype_is_float(a->type.dtype) ? tolerance * most : 0;
    for (int64_t i = 0; i < n; i++) {
        double x = a->at[i], y = b->at[i];
        bool same = x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= slack;
        if (!same) return false;
    }
    return true;
}

static void check_graph(const Program *pa, const Graph *a, const Program *pb, const Graph *b,
                        const char *pass) {
    if (!a || !b || graph_operations(a) > most_operations || graph_operations(b) > most_operations)
        return;
    Inputs in = {.arena = arena_new()};
    Err ea = {0}, eb = {0};
    in.state = NEW_N(in.arena, Array, pb->ntensor + 1);
    make_inputs(&in, pa, a);
    make_inputs(&in, pb, b);
    Array *x = interpret(pa, a, &in, &ea);
    Array *y = x ? interpret(pb, b, &in, &eb) : NULL; /* x NULL: an index outside its table, say */
    if (x && !y)
        GRAPH_BUG(b, "after %s: graph %s cannot be interpreted any more: %s", pass, b->name,
                  eb.msg);
    if (a->nout != b->nout) GRAPH_BUG(b, "%s changed the number of outputs of %s", pass, a->name);
    for (size_t i = 0; x && i < a->nout; i++)
        if (!same_values(&x[i], &y[i]))
            GRAPH_BUG(b, "%s changed the value of output %zu of graph %s", pass, i, a->name);
    arena_free(in.arena);
}

void check_meaning(const Program *before, const Program *after, const char *pass) {
    check_graph(before, before->init, after, after->init, pass);
    for (size_t i = 0; i < before->nentry; i++) {
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            check_graph(before, before->entry[i].graph[k], after, after->entry[i].graph[k], pass);
    }
}
