/* Finding where a step went wrong. The step is repeated node by node from the state before it, and
 * what every node wrote is looked at. From the losses and the new states that are not finite a way
 * leads back through values that are not, to a node that made one out of finite inputs; what was
 * infinite and did no harm (a mask, a guarded branch) is not on it. Then the step is repeated up to
 * that node, and its operators are interpreted one by one on what it reads. A batch in pieces is
 * gone through part by part: the first that makes such a number is where it began. */
#include "cli/find_nan.h"
#include "codegen/phase.h"

#include <math.h>
#include <string.h>

typedef struct Hunt {
    const Session *s;
    const BadStep *bad;
    const Entry *entry;
    const RtPlan *plan; /* the part of the step at hand, */
    const Graph *g;     /* its graph, */
    RtClock clock;      /* and which piece of the batch */
    Arena *arena;
    Phases phases;
    uint8_t *has; /* by value: HAS_* */
} Hunt;

/* ---- values of the graph, where the plan has them */

static int value_of(const Hunt *h, Ref r) {
    return h->plan->first[r.node] + (int)r.out;
}

/* NULL: it is never stored. A value that only renames another lies where that lies. */
static const char *value_at(const Hunt *h, Ref r) {
    for (;;) {
        int32_t buffer = h->plan->value[value_of(h, r)];
        if (buffer >= 0) return exec_buffer(h->bad->x, h->plan, h->clock.piece, buffer);
        const Node *n = graph_node(h->g, r);
        if (op_info[n->op].lower != LOWER_VIEW || n->nin != 1) return NULL;
        r = n->in[0];
    }
}

static double read_number(const char *p, DType t, int64_t i) {
    switch (t) {
    case DT_f32: return ((const float *)(const void *)p)[i];
    case DT_f64: return ((const double *)(const void *)p)[i];
    case DT_bf16: return bf16_to_float(((const uint16_t *)(const void *)p)[i]);
    case DT_i32: return ((const int32_t *)(const void *)p)[i];
    case DT_i64: return (double)((const int64_t *)(const void *)p)[i];
    case DT_u8:
    case DT_bool: return ((const uint8_t *)p)[i];
    case DT_i8: return ((const int8_t *)p)[i];
    case DT_COUNT: break;
    }
    BUG("value of no type");
}

static Array read_value(const Hunt *h, Ref r) {
    const Type *t = graph_type(h->g, r);
    const char *p = value_at(h, r);
    int64_t n = type_count(t);
    Array x = {*t, NEW_N(h->arena, double, n + 1)};
    CHECK(p);
    for (int64_t i = 0; i < n; i++) x.at[i] = read_number(p, t->dtype, i);
    return x;
}

static unsigned kinds_at(const char *p, DType t, int64_t n) {
    unsigned has = 0;
    if (!dtype_is_float(t) || values_finite(t, p, n)) return 0;
    for (int64_t i = 0; i < n; i++) {
        double v = read_number(p, t, i);
        has |= isnan(v) ? HAS_NAN : isinf(v) ? HAS_INFINITY : 0u;
    }
    return has;
}

static void look_at_node(Hunt *h, uint32_t at) {
    const Node *n = h->g->node[at];
    for (int o = 0; o < n->nout; o++) {
        Ref r = {at, (uint32_t)o};
        const char *p = value_at(h, r);
        const Type *t = &n->type[o];
        if (p) h->has[value_of(h, r)] = (uint8_t)kinds_at(p, t->dtype, type_count(t));
    }
}

/* ---- repeating the step */

static int first_step(const RtPlan *plan, uint32_t node) {
    int i = 0;
    while (i < plan->nstep && plan->step[i].node >= 0 && (uint32_t)plan->step[i].node < node) i++;
    return i;
}

static bool run_until(const Hunt *h, int first, int last) {
    Err e = {0};
    return exec_steps(h->bad->x, h->plan, &h->clock, first, last, &e);
}

/* The parts of a step in their order: `number` from 0 on; NULL: there are no more. */
static const RtPlan *part_of(const BadStep *bad, int64_t number, int64_t *piece) {
    const RtEntry *e = bad->entry;
    const RtPlan *part[] = {e->ahead, bad->plan == e->logged ? e->piece_logged : e->piece};
    for (int i = 0; i < 2; i++) {
        int64_t pieces = part[i] ? part[i]->pieces : 0;
        *piece = number;
        if (number < pieces) return part[i];
        number -= pieces;
    }
    *piece = 0;
    return number == 0 ? bad->plan : NULL;
}

/* All parts before the one at hand, from the state before the step. */
static bool run_before(const Hunt *h) {
    RtClock clock = *h->bad->clock;
    const RtPlan *plan;
    Err e = {0};
    keep_back(h->bad->keep);
    exec_reset(h->bad->x, h->bad->entry);
    for (int64_t i = 0; (plan = part_of(h->bad, i, &clock.piece)); i++) {
        if (plan == h->plan && clock.piece == h->clock.piece) return true;
        if (!exec_plan(h->bad->x, plan, &clock, &e)) return false;
    }
    return false;
}

/* Leaves first: state is overwritten as the step goes on. */
static bool look_at_all(Hunt *h) {
    const bool *reached = graph_reached(h->g, h->arena);
    int at = 0;
    for (uint32_t i = 0; i < h->g->n; i++)
        if (reached[i] && op_info[h->g->node[i]->op].lower == LOWER_LEAF) look_at_node(h, i);
    for (uint32_t i = 0; i < h->g->n; i++) {
        if (!reached[i] || op_info[h->g->node[i]->op].lower == LOWER_LEAF) continue;
        int next = first_step(h->plan, i + 1);
        if (!run_until(h, at, next)) return false;
        look_at_node(h, i);
        at = next;
    }
    return run_until(h, at, h->plan->nstep);
}

/* The losses and new states that are of this kind; states that were before are not news. */
static bool *wanted_nodes(const Hunt *h, unsigned kind) {
    bool *wanted = NEW_N(h->arena, bool, h->g->n + 1),
         *old = NEW_N(h->arena, bool, h->s->program->ntensor + 1);
    for (uint32_t i = 0; i < h->g->n; i++)
        if (h->g->node[i]->op == OP_state && h->has[value_of(h, (Ref){i, 0})])
            old[h->g->node[i]->attr.tensor] = true;
    for (size_t i = 0; i < h->g->nout; i++) {
        const Output *o = &h->g->out[i];
        bool counts = o->kind == OUT_loss || (o->kind == OUT_state && !old[o->index]);
        if (counts && h->has[value_of(h, o->ref)] & kind) wanted[o->ref.node] = true;
    }
    return wanted;
}

int64_t find_origin(const Graph *g, const int *first, const uint8_t *has, unsigned kind,
                    bool *wanted) {
    int64_t origin = -1;
    for (size_t i = g->n; i-- > 0;) {
        const Node *n = g->node[i];
        bool from_input = false;
        for (int k = 0; wanted[i] && k < n->nin; k++) {
            Ref r = n->in[k];
            if (!(has[first ? first[r.node] + (int)r.out : (int)r.node] & kind)) continue;
            wanted[r.node] = from_input = true;
        }
        if (wanted[i] && !from_input) origin = (int64_t)i;
    }
    return origin;
}

/* ---- the node */

/* The step of the plan that says most of a node: the last. */
static const RtStep *step_of(const RtPlan *plan, uint32_t node) {
    int next = first_step(plan, node + 1);
    return next > 0 && plan->step[next - 1].node == (int32_t)node ? &plan->step[next - 1] : NULL;
}

static const char *step_name(const Hunt *h) {
    const RtEntry *e = h->bad->entry;
    const char *step =
        arena_printf(h->arena, "step %lld of '%s'", (long long)h->bad->step, e->name);
    int64_t samples = h->plan->pieces > 1 ? e->batch / h->plan->pieces : e->batch;
    if (samples == e->batch) return step;
    return arena_printf(h->arena, "%s, samples %lld to %lld of its batch", step,
                        (long long)(samples * h->clock.piece),
                        (long long)(samples * (h->clock.piece + 1) - 1));
}

/* Inputs that were wrong before the step computed anything. */
static void tell_leaf(const Hunt *h, const Node *n) {
    Diag *d = h->s->diag;
    if (n->op == OP_field)
        diag_error(d, n->span, "the data of '%s' at %s is not finite; %s", n->attr.name,
                   step_name(h), h->bad->last_good);
    else
        diag_error(d, n->span, "'%s' was not finite before %s; %s",
                   h->s->program->tensor[n->attr.tensor].name, step_name(h), h->bad->last_good);
    diag_note_calls(d, n->span);
}

/* The whole group is named where its operators, one by one, do not do what it did. */
static void tell_group(const Hunt *h, uint32_t at) {
    Diag *d = h->s->diag;
    const Node *n = h->g->node[at];
    const RtStep *s = step_of(h->plan, at);
    diag_error(d, n->span, "the kernel of %s made the first number that is not finite at %s; %s",
               s && s->name ? s->name : op_info[n->op].name, step_name(h), h->bad->last_good);
    for (int i = 0; s && i < s->nline; i++) diag_note(d, s->line[i].at, "computed in it");
}

static EvalCx eval_cx(const Hunt *h, const Array *args) {
    const RtClock *c = &h->clock;
    return (EvalCx){.arena = h->arena,
                    .program = h->s->program,
                    .args = args,
                    .seed = c->seed,
                    .step = (double)c->stepf,
                    .steps = (double)c->stepsf,
                    .live = c->live,
                    .piece = c->piece,
                    .max_alive = INT64_C(1) << 33};
}

typedef enum Found { FOUND_nothing, FOUND_culprit, FOUND_group, FOUND_leaf, FOUND_constant } Found;

static Found find_in_group(const Hunt *h, uint32_t at, const Array *in, unsigned kind, Culprit *c) {
    EvalCx cx = eval_cx(h, in);
    bool constant = false;
    bool found = find_in_body(h->g->node[at]->attr.body, &cx, kind, c, &constant);
    if (found) c->phase = h->phases.op[at][c->op];
    return constant ? FOUND_constant : found ? FOUND_culprit : FOUND_group;
}

/* Of a loop that has been run. */
static Found find_in_turns(const Hunt *h, uint32_t at, const Array *in, unsigned kind, Culprit *c) {
    const Node *n = h->g->node[at];
    EvalCx cx = eval_cx(h, NULL);
    Array *out = NEW_N(h->arena, Array, n->nout);
    bool constant = false;
    for (uint32_t o = 0; o < (uint32_t)n->nout; o++) out[o] = read_value(h, (Ref){at, o});
    bool found = find_in_loop(n, in, out, &cx, kind, c, &constant);
    if (found) c->phase = h->phases.node[at];
    return constant ? FOUND_constant : found ? FOUND_culprit : FOUND_group;
}

/* Repeats the step up to the node, and finds what in it went wrong. */
static Found find_in_node(const Hunt *h, uint32_t at, unsigned kind, Culprit *c) {
    const Node *n = h->g->node[at];
    int begin = first_step(h->plan, at), end = first_step(h->plan, at + 1);
    if (!run_before(h) || !run_until(h, 0, begin)) return FOUND_nothing;
    Array *in = NEW_N(h->arena, Array, n->nin + 1);
    for (int i = 0; i < n->nin; i++) in[i] = read_value(h, n->in[i]);
    if (n->op == OP_fused) return find_in_group(h, at, in, kind, c);
    if (!run_until(h, begin, end)) return FOUND_nothing;
    if (n->op == OP_scan) return find_in_turns(h, at, in, kind, c);
    Array out = read_value(h, (Ref){at, 0});
    *c = culprit_of(n, in, &out);
    c->phase = h->phases.node[at];
    return FOUND_culprit;
}

/* Where numbers of this kind begin. */
static Found find_kind(const Hunt *h, unsigned kind, uint32_t *node, Culprit *c) {
    int64_t at = find_origin(h->g, h->plan->first, h->has, kind, wanted_nodes(h, kind));
    if (at < 0) return FOUND_nothing;
    *node = (uint32_t)at;
    Op op = h->g->node[at]->op;
    return op == OP_field || op == OP_state ? FOUND_leaf : find_in_node(h, *node, kind, c);
}

/* First whatever is not finite; and where that leads to an infinity, what is not a number: it tells
 * more of what was made of the infinity, and all where that is meant. */
static bool find(Hunt *h) {
    uint32_t node = 0, then_node;
    Culprit c = {0}, then = {0};
    if (!look_at_all(h)) return false;
    Found found = find_kind(h, HAS_ANY, &node, &c), later = FOUND_nothing;
    if (found == FOUND_constant) {
        found = find_kind(h, HAS_NAN, &node, &c);
        c.of_infinite = true;
    } else if (found == FOUND_culprit && !(c.out.has & HAS_NAN)) {
        later = find_kind(h, HAS_NAN, &then_node, &then);
    }
    if (found == FOUND_leaf) tell_leaf(h, h->g->node[node]);
    if (found == FOUND_group) tell_group(h, node);
    if (found == FOUND_culprit)
        tell_culprit(h->s->diag, &c, later == FOUND_culprit ? &then : NULL, step_name(h),
                     h->bad->last_good);
    return found != FOUND_nothing && found != FOUND_constant;
}

static const Graph *graph_of(const Hunt *h) {
    for (int i = 0; i < ENTRY_GRAPHS; i++)
        if (h->plan == h->bad->entry->plan[i]) return h->entry->graph[i];
    BUG("plan '%s' is not of '%s'", h->plan->name, h->entry->name);
}

static bool find_in_part(Hunt *h) {
    int values = 0;
    h->g = graph_of(h);
    h->phases = phases_of(h->arena, h->s->program, h->g);
    for (size_t i = 0; i < h->g->n; i++) values += h->g->node[i]->nout;
    h->has = NEW_N(h->arena, uint8_t, values + 1);
    return find(h);
}

bool find_nan(const void *cx, const BadStep *bad) {
    const Session *s = cx;
    bool found = false;
    Hunt h = {.s = s, .bad = bad, .arena = arena_new(), .clock = *bad->clock};
    h.entry = &s->program->entry[bad->entry - s->code->entry];
    exec_reset(bad->x, bad->entry);
    for (int64_t i = 0; !found && (h.plan = part_of(bad, i, &h.clock.piece)); i++)
        found = find_in_part(&h);
    if (found) diag_flush(s);
    arena_free(h.arena);
    return found;
}
