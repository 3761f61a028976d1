/* The operator in a loop that made a number which is none: the first turn that returned one is
 * interpreted on what it read, with its kernels taken apart; totals, of which there is but the last
 * value, as they began. Limit: a loop within, and totals that nothing else shows, are named whole.
 */
#include <math.h>

#include "cli/find_nan.h"
#include "ir/loop.h"

static int64_t place_count(const Array *all) {
    return type_count(&all->type) / all->type.dim[0];
}

static Array place_of(const Array *all, int64_t at) {
    return (Array){type_place(&all->type), all->at + at * place_count(all)};
}

static int64_t turns_of(const Node *n, const Array *in) {
    return in[n->attr.scan.carries].type.dim[0];
}

static bool has_kind(const Array *x, unsigned kind) {
    for (int64_t i = 0; i < type_count(&x->type); i++)
        if ((isnan(x->at[i]) && kind & HAS_NAN) || (isinf(x->at[i]) && kind & HAS_INFINITY))
            return true;
    return false;
}

/* The first turn with such a result; -1: none has. */
static int64_t first_turn(const Node *n, int64_t length, const Array *out, unsigned kind) {
    for (int64_t turn = 0; turn < length; turn++)
        for (int o = n->attr.scan.totals; o < n->nout; o++) {
            Array x = place_of(&out[o], n->attr.scan.reverse ? length - 1 - turn : turn);
            if (dtype_is_float(x.type.dtype) && has_kind(&x, kind)) return turn;
        }
    return -1;
}

static Array *turn_inputs(const Node *n, const Array *in, const Array *out, int64_t turn,
                          Arena *a) {
    int64_t length = turns_of(n, in);
    bool reverse = n->attr.scan.reverse;
    Array *arg = arena_memdup(a, in, (size_t)n->nin * sizeof *in);
    for (int i = 0; i < n->nin; i++) {
        LoopKind kind = scan_input_kind(n, i);
        if (kind == LOOP_slice) arg[i] = place_of(&in[i], reverse ? length - 1 - turn : turn);
        if (kind == LOOP_carry && turn > 0 && i >= n->attr.scan.totals)
            arg[i] = place_of(&out[i], reverse ? length - turn : turn - 1);
    }
    return arg;
}

/* The body with the operators of its kernels in place of them. */
static Graph *taken_apart(Arena *a, const Graph *body) {
    Graph *to = graph_new(a, body->name);
    Ref **map = NEW_N(a, Ref *, body->n + 1);
    for (size_t i = 0; i < body->n; i++) {
        const Node *n = body->node[i];
        Ref *in = NEW_N(a, Ref, n->nin + 1);
        map[i] = NEW_N(a, Ref, n->nout + 1);
        for (int k = 0; k < n->nin; k++) in[k] = map[n->in[k].node][n->in[k].out];
        Ref r = n->op == OP_fused ? REF_NONE : graph_copy_node(to, n, in);
        if (n->op == OP_fused) body_inline(a, to, n->attr.body, in, map[i]);
        for (uint32_t o = 0; ref_is(r) && o < (uint32_t)n->nout; o++) map[i][o] = (Ref){r.node, o};
    }
    for (size_t i = 0; i < body->nout; i++) {
        Ref r = body->out[i].ref;
        graph_out(to, OUT_value, NULL, 0, map[r.node][r.out], body->out[i].span);
    }
    return to;
}

bool find_in_loop(const Node *n, const Array *in, const Array *out, const EvalCx *with,
                  unsigned kind, Culprit *c, bool *made_of_constants) {
    int64_t last = turns_of(n, in) - 1, turn = first_turn(n, last + 1, out, kind);
    if (turn < 0) return false;
    EvalCx cx = *with;
    cx.args = turn_inputs(n, in, out, turn, cx.arena);
    cx.turn[cx.nturn++] = n->attr.scan.reverse ? last - turn : turn;
    const Graph *body = taken_apart(cx.arena, n->attr.scan.body);
    return find_in_body(body, &cx, kind, c, made_of_constants);
}
