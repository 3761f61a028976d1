/* Loops: the steps of a body are made once and written out for every turn, so the runtime knows of
 * no loop. A turn differs in where its slices, carries and results lie, and in the places of its
 * random numbers; what the body needs beside lies in one part of the arena that all turns share.
 * Weights that products of all turns read are packed once, before the first.
 * Kernels are one for all turns. Limit: a plan grows by a step's size for each step of each turn.
 */
#include <string.h>

#include "codegen/build.h"
#include "codegen/facts.h"
#include "ir/loop.h"

typedef struct Turns {
    Build *b;    /* around */
    Build t;     /* one turn */
    uint32_t at; /* the node, */
    const Node *n;
    int64_t length;
    PendingList pending; /* of the turn */
    int32_t *fixed;      /* by buffer of the turn: its number around, -1: it moves */
} Turns;

/* ---- one turn */

static Phases phases_all(Arena *a, const Graph *g, RtPhase phase) {
    Phases p = {NEW_N(a, RtPhase, g->n + 1), NEW_N(a, uint8_t *, g->n + 1)};
    for (size_t i = 0; i < g->n; i++) {
        p.node[i] = phase;
        if (g->node[i]->op != OP_fused) continue;
        p.op[i] = NEW_N(a, uint8_t, g->node[i]->attr.body->n + 1);
        memset(p.op[i], (int)phase, g->node[i]->attr.body->n);
    }
    return p;
}

static void build_copies(Build *t) {
    t->label = "copy within a loop";
    t->span = (Span){0};
    for (int i = 0; i < t->plan->ncopy; i++) {
        const PlanCopy *c = &t->plan->copy[i];
        int32_t from = build_buffer(t, &c->source), to = build_buffer(t, &c->target);
        facts_copy(t, NULL, build_step(t, RT_COPY, (int32_t[]){from, to}, 2, 1));
    }
}

static void place_lasting(Build *t) {
    for (size_t i = 0; i < t->lasting.n; i++) {
        RtBuffer *r = &t->buffer.at[t->lasting.at[i]];
        r->offset = (t->arena_bytes + 63) / 64 * 64;
        t->arena_bytes = r->offset + r->bytes;
    }
}

static void build_turn(Turns *l) {
    Build *b = l->b, *t = &l->t;
    const Graph *body = l->n->attr.scan.body;
    *t = (Build){.arena = b->arena,
                 .program = b->program,
                 .g = body,
                 .plan = plan_body(b->arena, b->program, l->n),
                 .out = b->out,
                 .pending = &l->pending,
                 .tiles = b->tiles,
                 .err = b->err};
    t->loop = l->n, t->turns = l->length;
    t->arena_bytes = t->plan->arena_bytes;
    t->phases = phases_all(b->arena, body, b->phases.node[l->at]);
    t->value = NEW_N(b->arena, int32_t, t->plan->nvalue);
    memset(t->value, -1, (size_t)t->plan->nvalue * sizeof *t->value);
    bool *reached = graph_reached(body, b->arena);
    for (uint32_t i = 0; i < body->n && !b->err->msg[0]; i++)
        if (reached[i]) build_node(t, i);
    build_copies(t);
    place_lasting(t);
}

/* ---- where things lie in a turn */

static int64_t place_bytes(const Type *all) {
    return type_count(all) / all->dim[0] * (int64_t)dtype_size(all->dtype);
}

/* Where along axis 0 turn `turn` is. */
static int64_t place_of(const Turns *l, int64_t turn) {
    return l->n->attr.scan.reverse ? l->length - 1 - turn : turn;
}

/* A total has one place for all turns. */
static int32_t result_at(const Turns *l, int i, int64_t turn, int64_t from, int64_t bytes) {
    bool total = i < l->n->attr.scan.totals;
    int64_t place = total ? 0 : place_of(l, turn) * place_bytes(&l->n->type[i]);
    return build_stretch(l->b, build_value(l->b, (Ref){l->at, (uint32_t)i}), place + from, bytes);
}

/* `from`, `bytes`: the stretch of it that is asked for. */
static int32_t input_at(const Turns *l, int i, int64_t turn, int64_t from, int64_t bytes) {
    LoopKind kind = scan_input_kind(l->n, i);
    if (kind == LOOP_carry && turn > 0) return result_at(l, i, turn - 1, from, bytes);
    const Type *t = graph_type(l->b->g, l->n->in[i]);
    int64_t place = kind == LOOP_slice ? place_of(l, turn) * place_bytes(t) : 0;
    return build_stretch(l->b, build_value(l->b, l->n->in[i]), place + from, bytes);
}

/* What stays where it is: the body's part of the arena, behind what is there at the node. */
static void place_fixed(Turns *l) {
    Build *b = l->b, *t = &l->t;
    int32_t room = t->arena_bytes ? build_scratch(b, t->arena_bytes) : -1;
    l->fixed = NEW_N(b->arena, int32_t, t->buffer.n + 1);
    for (size_t i = 0; i < t->moving.n; i++) l->fixed[t->moving.at[i].buffer] = -1;
    for (size_t i = 0; i < t->buffer.n; i++) {
        RtBuffer *from = &t->buffer.at[i];
        if (l->fixed[i] < 0) continue;
        CHECK(from->where == RT_ARENA && room >= 0);
        l->fixed[i] = build_stretch(b, room, from->offset, from->bytes);
    }
}

static int32_t *turn_buffers(const Turns *l, int64_t turn) {
    const Build *t = &l->t;
    int32_t *to = arena_memdup(l->b->arena, l->fixed, t->buffer.n * sizeof *to);
    for (size_t i = 0; i < t->moving.n; i++) {
        const Moving *m = &t->moving.at[i];
        const RtBuffer *r = &t->buffer.at[m->buffer];
        to[m->buffer] = m->where == PLAN_ARG ? input_at(l, m->index, turn, r->offset, r->bytes)
                                             : result_at(l, m->index, turn, r->offset, r->bytes);
    }
    return to;
}

/* ---- all turns */

static void write_steps(const Turns *l, const RtStep *step, size_t n, int64_t turn) {
    Build *b = l->b;
    const int32_t *buffer = turn_buffers(l, turn);
    for (size_t i = 0; i < n; i++) {
        RtStep s = step[i];
        s.buf = arena_memdup(b->arena, s.buf, (size_t)s.nbuf * sizeof *s.buf);
        for (int k = 0; k < s.nbuf; k++) s.buf[k] = buffer[s.buf[k]];
        s.node = (int32_t)l->at;
        vec_push(b->arena, &b->step, s);
    }
}

/* Random numbers have a place of their own each turn, or are those of the next part. */
static void draw_in_turn(const Turns *l, const Pending *p, RtStep *s, int64_t turn) {
    s->word = arena_memdup(l->b->arena, s->word, (size_t)s->nword * sizeof *s->word);
    s->size = arena_memdup(l->b->arena, s->size, (size_t)s->nsize * sizeof *s->size);
    for (size_t k = 0; k < p->kernel->instr.n; k++) {
        const Instr *in = &p->kernel->instr.at[k];
        if (!(op_info[in->op].flags & FLAG_RANDOM)) continue;
        const Access *a = &p->kernel->access.at[in->access];
        if (p->loops < a->loops)
            s->size[kernel_size_offset(p->kernel, in->access)] += turn * a->turn[p->loops];
        else
            s->word[in->word] = place_in_turn(s->word[in->word], turn);
    }
}

static void draw_in_turns(const Turns *l, const Pending *p, size_t first) {
    for (int64_t turn = 0; turn < l->length; turn++)
        for (int i = 0; i < p->times; i++) {
            size_t at = first + (size_t)turn * l->t.step.n + (size_t)(p->step + i * p->apart);
            draw_in_turn(l, p, &l->b->step.at[at], place_of(l, turn));
        }
}

static bool is_random(const Kernel *k) {
    for (size_t i = 0; i < k->instr.n; i++)
        if (op_info[k->instr.at[i].op].flags & FLAG_RANDOM) return true;
    return false;
}

/* The kernel is one for all turns; of a loop within, of all its turns in each of these. */
static void push_pending(const Turns *l, const Pending *p, size_t first) {
    int steps = (int)l->t.step.n, turns = (int)l->length;
    Pending q = *p;
    q.step += (int)first;
    q.loops++;
    if (!l->length) {
        vec_push(l->b->arena, l->b->pending, q);
        return;
    }
    if (q.times == 1) q.times = turns, q.apart = steps, turns = 1;
    for (int i = 0; i < turns; i++, q.step += steps, q.borrowed = true)
        vec_push(l->b->arena, l->b->pending, q);
}

void build_loop(Build *b, uint32_t at, const Node *n) {
    Turns l = {.b = b, .at = at, .n = n, .length = scan_turns(b->g, n)};
    build_turn(&l);
    if (b->err->msg[0]) l.length = 0; /* only hands its kernels over, to be freed */
    place_fixed(&l);
    if (l.length) write_steps(&l, l.t.before.at, l.t.before.n, 0);
    size_t first = b->step.n;
    for (int64_t turn = 0; turn < l.length; turn++) write_steps(&l, l.t.step.at, l.t.step.n, turn);
    for (size_t i = 0; i < l.pending.n; i++) {
        if (l.pending.at[i].kernel && is_random(l.pending.at[i].kernel))
            draw_in_turns(&l, &l.pending.at[i], first);
        push_pending(&l, &l.pending.at[i], first);
    }
}
