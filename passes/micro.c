/* micro: a training step computed in equal pieces of its batch, with the whole batch's gradient.
 *
 * What belongs to single samples is computed for a piece at a time. A reduction over the batch adds
 * up in an accumulator; what is computed from those (the update, the reports) is done once, after
 * all pieces. A sample may meet a value of the whole batch only where that comes from the data
 * alone, such as the number of hidden words that a loss is divided by: those are added up ahead, in
 * a pass of their own over the pieces. Anything else (batch normalisation, a contrast between
 * samples) takes all samples at once, and is the user's error. Random numbers and indices of a
 * piece are those that its samples have in the whole batch, so that the gradient differs from the
 * whole one only in the order of sums.
 *
 * RunSpec.micro says how many samples a piece has. The pass stands before fuse, whose kernels add
 * to accumulators in place. Where nothing is said but memory is limited, it chooses. Limit: what is
 * added up ahead must not itself need a value of the whole batch. */
#include "passes/micro.h"

/* ---- sums */

/* Rows of samples added to a table that is not theirs. */
static bool puts_batch(const Graph *g, const Node *n) {
    if (n->op != OP_put_add || n->type[0].batch_axis != NO_BATCH) return false;
    return graph_type(g, n->in[1])->batch_axis >= 0 || graph_type(g, n->in[2])->batch_axis >= 0;
}

static bool adds_batch(const Micro *m, const Node *n) {
    bool sums = n->op == OP_sum || n->op == OP_dot;
    return (sums && batch_reduces(m->from, n)) || puts_batch(m->from, n);
}

bool micro_sum(const Micro *m, uint32_t i) {
    const Node *n = m->from->node[i];
    if (m->known[i] != KNOWN_set) return false;
    if (m->origin[i] == i && adds_batch(m, n)) return true;
    return n->op == OP_add && m->taken[n->in[0].node] && m->taken[n->in[1].node];
}

bool micro_root(const Micro *m, uint32_t i) {
    return m->known[i] == KNOWN_set && !m->mixes[i] && (m->origin[i] == i || micro_sum(m, i));
}

/* ---- when each value is known */

static const char *reason(const Micro *m, uint32_t met) {
    if (met == UINT32_MAX) return "this combines the samples of a batch";
    if (m->changed[met] < 0) return "here samples meet a value of their whole batch";
    return arena_printf(m->scratch, "here samples meet '%s' as this step has changed it",
                        m->p->tensor[m->changed[met]].name);
}

/* `met`: the value of the whole batch that is in the way, UINT32_MAX: the node itself is. */
static void refuse(Micro *m, uint32_t i, uint32_t met) {
    uint32_t file = m->entry->span.file;
    Span at = batch_used_at(m->from, m->reached, file, i), inner = m->from->node[i]->span;
    m->failed = true;
    diag_error(m->diag, at, "'%s' cannot be computed in %lld pieces: %s", m->entry->name,
               (long long)m->pieces, reason(m, met));
    if (!span_same(at, inner)) diag_note(m->diag, inner, "computed here");
    if (met != UINT32_MAX && m->changed[met] < 0) {
        Span from = batch_used_at(m->from, m->reached, file, m->origin[met]);
        if (!span_same(at, from)) diag_note(m->diag, from, "it comes from the whole batch here");
    }
    diag_hint(m->diag, "it takes all samples at once: leave out micro, or make the batch smaller");
}

/* The batch axis of result `o` counts whole samples, and there is one. */
static bool keeps_samples(const Micro *m, const Node *n, int o) {
    int axis = n->type[o].batch_axis;
    return axis >= 0 && n->type[o].dim[axis] % m->entry->batch == 0;
}

/* Samples are put together other than by a reduction, as in a queue that takes all of them: it can
 * be done once if all rows of what goes in can be kept. */
static bool mixes_samples(const Micro *m, const Node *n) {
    bool mixes = false;
    for (int o = 0; o < n->nout; o++) mixes = mixes || !keeps_samples(m, n, o);
    return mixes;
}

/* A sample meets the set's value `i`: it and what it comes from are added up ahead. */
static void meet(Micro *m, uint32_t i) {
    if (m->known[i] != KNOWN_set || m->met[i]) return;
    m->met[i] = true;
    if (m->origin[i] == i) return;
    for (int k = 0; k < m->from->node[i]->nin; k++) meet(m, m->from->node[i]->in[k].node);
}

/* Of put_add's inputs the table is no sample's. */
static bool is_sample_input(const Micro *m, const Node *n, int k) {
    return k > 0 || !puts_batch(m->from, n);
}

static bool inputs_can_be_kept(const Micro *m, const Node *n) {
    for (int k = 0; k < n->nin; k++) {
        const Node *in = graph_node(m->from, n->in[k]);
        bool batch = m->known[n->in[k].node] == KNOWN_batch;
        if (batch && (in->nout != 1 || !keeps_samples(m, in, 0))) return false;
    }
    return true;
}

/* When node `i` is known by its inputs alone. */
static void inherit(Micro *m, uint32_t i) {
    const Node *n = m->from->node[i];
    m->known[i] = batch_leaf(n) ? KNOWN_batch : KNOWN_always;
    m->learnt[i] = n->op == OP_state;
    m->origin[i] = UINT32_MAX;
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        if (m->changed[i] < 0) m->changed[i] = m->changed[in];
        m->learnt[i] = m->learnt[i] || m->learnt[in];
        m->mixes[i] = m->mixes[i] || m->mixes[in];
        if (m->known[in] == KNOWN_set) m->origin[i] = m->origin[in];
        if (m->known[in] == KNOWN_batch && is_sample_input(m, n, k)) m->known[i] = KNOWN_batch;
    }
    if (m->known[i] != KNOWN_batch && m->origin[i] != UINT32_MAX) m->known[i] = KNOWN_set;
}

/* The value of the whole batch that samples meet in node `i` and may not; UINT32_MAX: none. Others
 * that they meet are added up ahead. */
static uint32_t coupled_by(Micro *m, uint32_t i) {
    const Node *n = m->from->node[i];
    for (int k = 0; k < n->nin; k++) {
        uint32_t in = n->in[k].node;
        if (!is_sample_input(m, n, k) || m->known[in] != KNOWN_set) continue;
        if (m->learnt[in] || m->mixes[in]) return in;
        meet(m, in);
    }
    return UINT32_MAX;
}

/* Once one is refused the others are left: most would follow from it. */
static void classify(Micro *m, uint32_t i) {
    const Node *n = m->from->node[i];
    inherit(m, i);
    if (m->known[i] != KNOWN_batch) return;
    bool reduces = batch_reduces(m->from, n) || puts_batch(m->from, n);
    bool mixes = !reduces && mixes_samples(m, n);
    uint32_t coupled = mixes ? UINT32_MAX : coupled_by(m, i);
    if (coupled != UINT32_MAX || (mixes && !inputs_can_be_kept(m, n))) {
        refuse(m, i, coupled);
    } else if (reduces || mixes) {
        m->known[i] = KNOWN_set;
        m->origin[i] = i;
        m->mixes[i] = mixes;
    }
}

/* Does what is added up ahead come from what is added up ahead? */
static void check_ahead(Micro *m) {
    bool *after = NEW_N(m->scratch, bool, m->from->n);
    for (uint32_t i = 0; i < m->from->n && !m->failed; i++) {
        if (!m->reached[i] || m->known[i] == KNOWN_always) continue;
        const Node *n = m->from->node[i];
        for (int k = 0; k < n->nin; k++) {
            uint32_t in = n->in[k].node;
            after[i] = after[i] || after[in] || (m->known[i] == KNOWN_batch && m->met[in]) ||
                       (m->origin[i] == i && m->known[in] == KNOWN_set && m->met[in]);
        }
        if (m->met[i] && m->origin[i] == i && after[i]) refuse(m, i, UINT32_MAX);
    }
}

/* ---- sums of sums: one accumulator where a weight is used in several places */

/* By node: users in the quiet step, up to two. Reports do not count, so that they change no bit of
 * the training: what one asks for gets an accumulator of its own. */
static int *count_users(const Micro *m) {
    const Graph *g = m->from;
    int *users = NEW_N(m->scratch, int, g->n);
    bool *quiet = NEW_N(m->scratch, bool, g->n);
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        if (o->kind != OUT_state && o->kind != OUT_loss) continue;
        quiet[o->ref.node] = true;
        users[o->ref.node] = 2;
    }
    for (size_t i = g->n; i-- > 0;)
        for (int k = 0; quiet[i] && k < g->node[i]->nin; k++) {
            quiet[g->node[i]->in[k].node] = true;
            users[g->node[i]->in[k].node]++;
        }
    return users;
}

static bool may_take(const Micro *m, const int *users, Ref r, const Type *t) {
    return users[r.node] == 1 && !m->met[r.node] && micro_sum(m, r.node) &&
           type_same_shape(graph_type(m->from, r), t);
}

static void take_sums(Micro *m) {
    const int *users = count_users(m);
    for (uint32_t i = 0; i < m->from->n; i++) {
        const Node *n = m->from->node[i];
        if (!m->reached[i] || m->known[i] != KNOWN_set || m->met[i]) continue;
        if (puts_batch(m->from, n)) m->taken[n->in[0].node] = may_take(m, users, n->in[0], n->type);
        if (n->op != OP_add || !may_take(m, users, n->in[0], n->type) ||
            !may_take(m, users, n->in[1], n->type))
            continue;
        m->taken[n->in[0].node] = m->taken[n->in[1].node] = true;
    }
}

/* ---- accumulators */

static int add_accumulator(Micro *m, const Node *n, const Type *t, double fill) {
    Tensor acc = {.kind = TENSOR_acc, .type = *t, .like = -1, .fill = fill, .span = n->span};
    acc.name = arena_printf(m->p->arena, "acc.%s.%d", m->entry->name, m->naccs++);
    acc.type.batch_axis = NO_BATCH;
    return program_add_tensor(m->p, &acc);
}

/* A sum that its user takes has none, unless a report asks for it. */
static bool wanted_alone(const Micro *m, uint32_t i) {
    if (!m->taken[i]) return true;
    for (size_t k = 0; k < m->from->nout; k++)
        if (m->from->out[k].ref.node == i) return true;
    int users = 0;
    for (uint32_t k = i + 1; k < m->from->n; k++)
        for (int in = 0; m->reached[k] && in < m->from->node[k]->nin; in++)
            users += m->from->node[k]->in[in].node == i;
    return users > 1;
}

/* All rows of a value of the samples are kept until the last piece. */
static void keep_rows(Micro *m, Ref r) {
    if (m->known[r.node] != KNOWN_batch || m->tensor[r.node] >= 0) return;
    m->tensor[r.node] = add_accumulator(m, graph_node(m->from, r), graph_type(m->from, r), 0);
}

static void add_accumulators(Micro *m) {
    for (uint32_t i = 0; i < m->from->n; i++) {
        const Node *n = m->from->node[i];
        if (!m->reached[i] || !micro_root(m, i) || !wanted_alone(m, i)) continue;
        m->tensor[i] = add_accumulator(m, n, n->type, batch_identity(n->op, n->type[0].dtype));
    }
    for (size_t i = 0; i < m->from->nout; i++) keep_rows(m, m->from->out[i].ref);
    for (uint32_t i = 0; i < m->from->n; i++)
        for (int k = 0; m->reached[i] && m->mixes[i] && k < m->from->node[i]->nin; k++)
            keep_rows(m, m->from->node[i]->in[k]);
}

/* ---- the graphs */

/* What the quiet step does of the logged one. */
static Graph *quiet_whole(const Micro *m, const Graph *logged) {
    bool *keep = NEW_N(m->scratch, bool, logged->nout + 1);
    for (size_t i = 0; i < logged->nout; i++)
        keep[i] = logged->out[i].kind == OUT_state || logged->out[i].kind == OUT_loss;
    return graph_keep(m->p->arena, logged, keep);
}

static Graph *quiet_piece(const Micro *m, const Graph *logged, const Graph *whole) {
    bool *reads = NEW_N(m->scratch, bool, m->p->ntensor + 1);
    bool *keep = NEW_N(m->scratch, bool, logged->nout + 1);
    for (size_t i = 0; i < whole->n; i++)
        if (whole->node[i]->op == OP_state) reads[whole->node[i]->attr.tensor] = true;
    for (size_t i = 0; i < logged->nout; i++) keep[i] = reads[logged->out[i].index];
    return graph_keep(m->p->arena, logged, keep);
}

static void build_graphs(Micro *m) {
    Entry *e = m->entry;
    bool reports = e->logged != NULL;
    Graph *piece = micro_graph(m, PART_piece), *whole = micro_graph(m, PART_whole);
    e->ahead = micro_graph(m, PART_ahead);
    if (e->ahead->nout == 0) e->ahead = NULL;
    e->step = quiet_whole(m, whole);
    e->piece = quiet_piece(m, piece, e->step);
    e->logged = reports ? whole : NULL;
    e->piece_logged = reports ? piece : NULL;
}

static bool split_batch(Program *p, Entry *e, Diag *diag) {
    Arena *scratch = arena_new();
    const Graph *g = e->logged ? e->logged : e->step;
    Micro m = {.p = p, .entry = e, .from = g, .diag = diag, .scratch = scratch};
    m.pieces = e->batch / p->spec.run.micro;
    m.reached = graph_reached(g, scratch);
    m.known = NEW_N(scratch, Known, g->n);
    m.learnt = NEW_N(scratch, bool, g->n);
    m.met = NEW_N(scratch, bool, g->n);
    m.mixes = NEW_N(scratch, bool, g->n);
    m.taken = NEW_N(scratch, bool, g->n);
    m.origin = NEW_N(scratch, uint32_t, g->n);
    m.tensor = NEW_N(scratch, int, g->n);
    m.changed = NEW_N(scratch, int, g->n);
    for (uint32_t i = 0; i < g->n; i++) m.tensor[i] = m.changed[i] = -1;
    for (size_t i = 0; i < g->nout; i++)
        if (g->out[i].kind == OUT_state) m.changed[g->out[i].ref.node] = g->out[i].index;
    for (uint32_t i = 0; i < g->n && !m.failed; i++)
        if (m.reached[i]) classify(&m, i);
    check_ahead(&m);
    if (!m.failed) {
        take_sums(&m);
        add_accumulators(&m);
        build_graphs(&m);
    }
    arena_free(scratch);
    return !m.failed;
}

/* Samples part in what is computed turn by turn, not in loops. */
static Graph *unroll(const Program *p, const Graph *g, PassCx *cx) {
    (void)p, (void)cx;
    return loops_unroll((Graph *)g);
}
static Program *without_loops(const Program *in, Diag *diag) {
    PassCx cx = {.arena = in->arena, .diag = diag};
    for (size_t i = 0; i < in->nentry; i++)
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (in->entry[i].graph[k] && has_loops(in->entry[i].graph[k]))
                return pass_simplify(program_map(in, &cx, unroll), &cx);
    return program_like(in);
}

/* `flat`: without loops. */
static Program *split_all(const Program *flat, int64_t samples, Diag *diag) {
    Program *p = program_like(flat);
    bool ok = true;
    p->spec.run.micro = samples;
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == ENTRY_train && p->entry[i].batch > samples)
            ok = split_batch(p, &p->entry[i], diag) && ok;
    return ok ? p : NULL;
}

static int64_t largest_batch(const Program *p) {
    int64_t most = 0;
    for (size_t i = 0; i < p->nentry; i++)
        if (p->entry[i].kind == ENTRY_train && p->entry[i].batch > most) most = p->entry[i].batch;
    return most;
}

static Program *split_as_told(const Program *in, Diag *diag) {
    bool splits = largest_batch(in) > in->spec.run.micro;
    return splits ? split_all(without_loops(in, diag), in->spec.run.micro, diag) : program_like(in);
}

/* ---- pieces that nobody asked for, where memory is short */

/* The largest number of samples below `samples` that divides the batch of every train entry. */
static int64_t next_smaller(const Program *p, int64_t samples) {
    for (int64_t n = samples / 2; n > 0; n--) {
        bool divides = true;
        for (size_t i = 0; i < p->nentry; i++)
            divides = divides && (p->entry[i].kind != ENTRY_train || p->entry[i].batch % n == 0);
        if (divides) return n;
    }
    return 0;
}

/* What the program takes, values being computed again; -1: it cannot be computed. */
static int64_t memory_needed(const Program *p, PassCx *cx) {
    Memory m;
    p = p ? pass_strips(p, cx) : NULL;
    p = p ? pass_accumulate(p, cx) : NULL;
    p = p ? pass_fuse(p, cx) : NULL;
    p = p ? pass_order(p, cx) : NULL;
    if (!p) return -1;
    fit_again(p, cx, &m);
    return memory_total(&m);
}

/* With the most samples at a time that fit, all of them if they do. Where none fits, what needs
 * least. */
static Program *choose_pieces(const Program *in, int64_t strip) {
    PassCx unheard = {.arena = in->arena, .diag = diag_new(in->arena), .strip = strip};
    Program *best = program_like(in);
    int64_t limit = in->spec.run.memory, least = memory_needed(best, &unheard);
    const Program *flat = least > limit ? without_loops(in, unheard.diag) : NULL;
    for (int64_t n = largest_batch(in); least > limit && (n = next_smaller(in, n)) > 0;) {
        Program *p = split_all(flat, n, unheard.diag);
        int64_t now = memory_needed(p, &unheard);
        if (now < 0) break;
        if (now < least) least = now, best = p;
    }
    return best;
}

Program *pass_micro(const Program *in, PassCx *cx) {
    const RunSpec *run = &in->spec.run;
    return run->micro    ? split_as_told(in, cx->diag)
           : run->memory ? choose_pieces(in, cx->strip)
                         : program_like(in);
}
