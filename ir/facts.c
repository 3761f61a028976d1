/* Facts about nodes: see facts.h. Bytes are those that must move if every operand is read once and
 * every result written once; whether they come from memory or a cache is not known here. Operations
 * of products are additions and multiplications, those of groups the vector instructions that code
 * generation makes of them, roughly. A group is shared among its lines by their operations. */
#include "ir/facts.h"

#include "ir/loop.h"

#include <string.h>

/* ---- operations */

/* Vector instructions an element, as counted in what is emitted for AVX-512, a division or a root
 * as eight; 1 where nothing is said. */
static const uint8_t costs[OP_COUNT] = {
    [OP_uniform] = 25, [OP_normal] = 60, [OP_randint] = 25, [OP_permutation] = 100,
    [OP_exp] = 22,     [OP_log] = 28,    [OP_log1p] = 53,   [OP_expm1] = 20,
    [OP_sqrt] = 8,     [OP_rsqrt] = 16,  [OP_tanh] = 38,    [OP_sigmoid] = 34,
    [OP_erf] = 23,     [OP_sin] = 30,    [OP_cos] = 30,     [OP_div] = 8,
    [OP_mod] = 16,     [OP_pow] = 50,
};

double op_cost(Op op) {
    return costs[op] ? costs[op] : 1;
}

double op_work(const Graph *body, const Node *n) {
    Lower lower = op_info[n->op].lower;
    if (lower == LOWER_REDUCE) return (double)type_count(graph_type(body, n->in[0]));
    if (lower != LOWER_MAP || n->op == OP_const || n->op == OP_iota) return 0;
    return (double)type_count(&n->type[0]) * op_cost(n->op);
}

/* ---- bytes */

static double type_bytes(const Type *t) {
    return (double)type_count(t) * (double)dtype_size(t->dtype);
}

static double results_bytes(const Node *n) {
    double bytes = 0;
    for (int i = 0; i < n->nout; i++) bytes += type_bytes(&n->type[i]);
    return bytes;
}

typedef struct Reads {
    const Graph *body;
    bool *seen;    /* by node: as what is read */
    double *bytes; /* by node, of arguments */
} Reads;

static bool is_view(const Node *n) {
    return op_info[n->op].lower == LOWER_VIEW && n->nin == 1;
}

/* Of the same elements once, though several operators read them. Two views of an argument are taken
 * to show different elements, as far as it has so many. */
static void add_read(Reads *r, Ref at) {
    const Node *n = graph_node(r->body, at);
    double bytes = type_bytes(&n->type[0]);
    if (r->seen[at.node]) return;
    r->seen[at.node] = true;
    for (; is_view(n); n = graph_node(r->body, at)) {
        at = n->in[0];
        double below = type_bytes(graph_type(r->body, at));
        bytes = below < bytes ? below : bytes;
    }
    if (n->op != OP_arg) return;
    double whole = type_bytes(&n->type[0]), *sum = &r->bytes[at.node];
    *sum = *sum + bytes < whole ? *sum + bytes : whole;
}

static double read_bytes(Arena *scratch, const Graph *body) {
    Reads r = {body, NEW_N(scratch, bool, body->n + 1), NEW_N(scratch, double, body->n + 1)};
    double bytes = 0;
    for (size_t i = 0; i < body->n; i++)
        for (int j = 0; !is_view(body->node[i]) && j < body->node[i]->nin; j++)
            add_read(&r, body->node[i]->in[j]);
    for (size_t i = 0; i < body->nout; i++) add_read(&r, body->out[i].ref);
    for (size_t i = 0; i < body->n; i++) bytes += r.bytes[i];
    return bytes;
}

Facts body_facts(const Graph *body) {
    Arena *scratch = arena_new();
    Facts f = {.bytes = read_bytes(scratch, body)};
    for (size_t i = 0; i < body->nout; i++)
        f.bytes += type_bytes(graph_type(body, body->out[i].ref));
    for (size_t i = 0; i < body->n; i++) f.operations += op_work(body, body->node[i]);
    arena_free(scratch);
    return f;
}

/* ---- products and tables */

static Facts dot_facts(const Graph *g, const Node *n) {
    const Type *a = graph_type(g, n->in[n->nin - 2]);
    Facts f = {results_bytes(n), 2 * (double)type_count(&n->type[0])};
    for (int i = 0; i < n->nin; i++) f.bytes += type_bytes(graph_type(g, n->in[i]));
    for (int i = 0; i < a->rank; i++)
        if (!strchr(n->attr.dot.out, n->attr.dot.a[i])) f.operations *= (double)a->dim[i];
    return f;
}

/* Rows that an index picks: each is read and written, by put_add read twice. */
static Facts table_facts(const Graph *g, const Node *n) {
    if (n->nin == 1) /* compact, argtop, cumsum, unfold, fold */
        return (Facts){.bytes = type_bytes(graph_type(g, n->in[0])) + results_bytes(n)};
    double index = type_bytes(graph_type(g, n->in[1]));
    if (n->op == OP_take) return (Facts){.bytes = 2 * results_bytes(n) + index};
    return (Facts){.bytes = 3 * type_bytes(graph_type(g, n->in[2])) + index};
}

static Facts loop_facts(const Graph *g, const Node *n) {
    const Graph *body = n->attr.scan.body;
    double turns = (double)scan_turns(g, n);
    Facts all = {0};
    for (size_t i = 0; i < body->n; i++) {
        Facts f = node_facts(body, body->node[i]);
        all.bytes += f.bytes * turns;
        all.operations += f.operations * turns;
    }
    return all;
}

Facts node_facts(const Graph *g, const Node *n) {
    if (n->op == OP_scan) return loop_facts(g, n);
    if (n->op == OP_fused) return body_facts(n->attr.body);
    Lower lower = op_info[n->op].lower;
    if (lower == LOWER_DOT) return dot_facts(g, n);
    return lower == LOWER_TABLE ? table_facts(g, n) : (Facts){0};
}
