/* Phases of a step: the update is what a minimize calls, forward is what leads to a loss other than
 * through an update, backward what leads to an update, and all else is something else. What a piece
 * of a batch adds to an accumulator leads to what that leads to in the graph that reads it. */
#include "codegen/phase.h"

#include "ir/facts.h"

typedef struct Walk {
    Arena *arena;
    const Diag *sources;
    const Graph *g;
    const bool *loss, *fed; /* by tensor: its new value leads to a loss, feeds an update later on */
    bool **leads;           /* by node, by result: to a loss, past no update */
    bool *feeds;            /* by node: an update */
    Phases *phases;
} Walk;

static bool updates(const Walk *w, Span at) {
    return diag_within(w->sources, at, CALL_UPDATE);
}

/* The operators of a body that the chosen outputs need. */
static bool *body_reach(const Walk *w, const Graph *body, const bool *output) {
    bool *reached = NEW_N(w->arena, bool, body->n + 1);
    for (size_t i = 0; i < body->nout; i++)
        if (output[i]) reached[body->out[i].ref.node] = true;
    for (size_t i = body->n; i-- > 0;) {
        const Node *n = body->node[i];
        bool on = reached[i] && !updates(w, n->span);
        for (int k = 0; on && k < n->nin; k++) reached[n->in[k].node] = true;
    }
    return reached;
}

/* An update is where a way back to the loss ends: what another loss sees of it is a new state. */
static void lead_inputs(Walk *w, uint32_t at) {
    const Node *n = w->g->node[at];
    const Graph *body = n->op == OP_fused ? n->attr.body : NULL;
    const bool *op = body ? body_reach(w, body, w->leads[at]) : NULL;
    for (int k = 0; k < n->nin && !body; k++)
        if (!updates(w, n->span)) w->leads[n->in[k].node][n->in[k].out] = true;
    for (size_t i = 0; body && i < body->n; i++) {
        const Node *leaf = body->node[i];
        if (!op[i] || leaf->op != OP_arg) continue;
        Ref in = n->in[leaf->attr.count];
        w->leads[in.node][in.out] = true;
    }
}

static bool leads_any(const Walk *w, uint32_t node) {
    for (int o = 0; o < w->g->node[node]->nout; o++)
        if (w->leads[node][o]) return true;
    return false;
}

static void find_leads(Walk *w) {
    for (size_t i = 0; i < w->g->n; i++)
        w->leads[i] = NEW_N(w->arena, bool, w->g->node[i]->nout + 1);
    for (size_t i = 0; i < w->g->nout; i++) {
        Ref r = w->g->out[i].ref;
        OutKind kind = w->g->out[i].kind;
        if (kind == OUT_loss || (kind == OUT_state && w->loss[w->g->out[i].index]))
            w->leads[r.node][r.out] = true;
    }
    for (uint32_t i = (uint32_t)w->g->n; i-- > 0;) {
        if (leads_any(w, i)) lead_inputs(w, i);
    }
}

static bool has_update(const Walk *w, const Node *n) {
    const Graph *body = n->op == OP_fused ? n->attr.body : NULL;
    bool has = !body && updates(w, n->span);
    for (size_t i = 0; body && i < body->n; i++) has |= updates(w, body->node[i]->span);
    return has;
}

static void find_feeds(Walk *w) {
    for (size_t i = 0; i < w->g->nout; i++)
        if (w->g->out[i].kind == OUT_state && w->fed[w->g->out[i].index])
            w->feeds[w->g->out[i].ref.node] = true;
    for (size_t i = w->g->n; i-- > 0;) {
        const Node *n = w->g->node[i];
        bool on = w->feeds[i] || has_update(w, n);
        w->feeds[i] = on;
        for (int k = 0; on && k < n->nin; k++) w->feeds[n->in[k].node] = true;
    }
}

static RtPhase phase_of(const Walk *w, uint32_t node, Span at, bool leads) {
    if (updates(w, at)) return RT_PHASE_update;
    return leads ? RT_PHASE_forward : w->feeds[node] ? RT_PHASE_backward : RT_PHASE_other;
}

static void set_group(const Walk *w, uint32_t node) {
    const Graph *body = w->g->node[node]->attr.body;
    const bool *leads = body_reach(w, body, w->leads[node]);
    uint8_t *op = NEW_N(w->arena, uint8_t, body->n + 1);
    double work[RT_PHASES] = {0};
    for (uint32_t i = 0; i < body->n; i++) {
        op[i] = (uint8_t)phase_of(w, node, body->node[i]->span, leads[i]);
        work[op[i]] += op_work(body, body->node[i]);
    }
    RtPhase best = (RtPhase)op[body->out[0].ref.node];
    for (int i = 0; i < RT_PHASES; i++)
        if (work[i] > work[best]) best = (RtPhase)i;
    w->phases->op[node] = op;
    w->phases->node[node] = best;
}

/* What runs after a graph of pieces and reads its accumulators. */
static const Graph *graph_after(const Program *p, const Graph *g) {
    for (size_t i = 0; i < p->nentry; i++) {
        const Entry *e = &p->entry[i];
        if (g == e->ahead) return e->piece;
        if (g == e->piece) return e->step;
        if (g == e->piece_logged) return e->logged;
    }
    return NULL;
}

static Walk walk_graph(Arena *a, const Program *p, const Graph *g) {
    const Graph *after = graph_after(p, g);
    bool *loss = NEW_N(a, bool, p->ntensor + 1), *fed = NEW_N(a, bool, p->ntensor + 1);
    Walk w = {.arena = a, .sources = p->diag, .g = g, .loss = loss, .fed = fed};
    Walk next = after ? walk_graph(a, p, after) : (Walk){0};
    for (size_t i = 0; after && i < after->n; i++) {
        const Node *n = after->node[i];
        if (n->op != OP_state || p->tensor[n->attr.tensor].kind != TENSOR_acc) continue;
        loss[n->attr.tensor] = next.leads[i][0];
        fed[n->attr.tensor] = next.feeds[i];
    }
    w.leads = NEW_N(a, bool *, g->n + 1);
    w.feeds = NEW_N(a, bool, g->n + 1);
    find_leads(&w);
    find_feeds(&w);
    return w;
}

Phases phases_of(Arena *a, const Program *p, const Graph *g) {
    Phases phases = {NEW_N(a, RtPhase, g->n + 1), NEW_N(a, uint8_t *, g->n + 1)};
    Walk w = walk_graph(a, p, g);
    w.phases = &phases;
    for (uint32_t i = 0; i < g->n; i++) {
        const Node *n = g->node[i];
        if (n->op == OP_fused)
            set_group(&w, i);
        else
            phases.node[i] = phase_of(&w, i, n->span, leads_any(&w, i));
    }
    return phases;
}
