/* Watches that follow from the program, and are there without being asked for. Only what cannot be
 * mistaken is derived: a loss that is minimised and is the mean of -log softmax(logits)[ids], for
 * ids [B, T] of the data, is that of a language model, and is watched by `unigram` of std.probe.
 * The ids of a step must be at least as many as the words there are, or their counts would say too
 * little of how often each occurs. One that the entry watches by itself is not derived again.
 *
 * Patterns are those that models/std writes: mean, logsumexp, cross_entropy. */
#include "frontend/decl.h"

enum { WARMUP = 200 }; /* steps without a warning, so that a short trial has none */

typedef struct WordLoss {
    Ref loss, ids;
    int64_t words;
} WordLoss;

static const Node *below_views(const Graph *g, Ref r) {
    const Node *n = graph_node(g, r);
    while (n->op == OP_reshape || n->op == OP_expand || n->op == OP_cast)
        n = graph_node(g, n->in[0]);
    return n;
}

/* What all elements of which the value is the mean; REF_NONE: it is no mean. */
static Ref mean_of(const Graph *g, Ref r) {
    const Node *n = graph_node(g, r);
    if (n->op != OP_div) return REF_NONE;
    const Node *sum = below_views(g, n->in[0]), *count = below_views(g, n->in[1]);
    if (sum->op != OP_sum || count->op != OP_sum) return REF_NONE;
    const Node *one = below_views(g, count->in[0]);
    bool of_ones = one->op == OP_const && one->attr.num == 1 &&
                   type_count(graph_type(g, count->in[0])) == type_count(graph_type(g, sum->in[0]));
    return of_ones && type_count(sum->type) == 1 ? sum->in[0] : REF_NONE;
}

/* Whether the value is log(sum(exp(logits - top))). */
static bool is_log_sum_of(const Graph *g, Ref r, Ref logits) {
    const Node *n = below_views(g, r);
    if (n->op != OP_log) return false;
    n = below_views(g, n->in[0]);
    if (n->op != OP_sum) return false;
    n = below_views(g, n->in[0]);
    if (n->op != OP_exp) return false;
    n = below_views(g, n->in[0]);
    return n->op == OP_sub && ref_same(n->in[0], logits);
}

static bool comes_of_data(Arena *a, const Graph *g, Ref r) {
    bool *in = NEW_N(a, bool, g->n + 1), found = false;
    in[r.node] = true;
    for (size_t i = (size_t)r.node + 1; i-- > 0;) {
        const Node *n = g->node[i];
        found = found || (in[i] && n->op == OP_field);
        for (int k = 0; in[i] && k < n->nin; k++) in[n->in[k].node] = true;
    }
    return found;
}

static bool is_word_loss(Arena *a, const Graph *g, Ref loss, WordLoss *out) {
    Ref each = mean_of(g, loss);
    const Node *less = ref_is(each) ? graph_node(g, each) : NULL;
    if (!less || less->op != OP_sub) return false;
    const Node *all = graph_node(g, less->in[0]), *one = below_views(g, less->in[1]);
    if (all->op != OP_add || one->op != OP_take) return false;
    const Type *logits = graph_type(g, one->in[0]), *ids = graph_type(g, one->in[1]);
    bool fits = logits->rank == 3 && ids->rank == 2 && one->attr.axis == 2;
    *out = (WordLoss){loss, one->in[1], fits ? logits->dim[2] : 0};
    return fits && type_count(ids) >= out->words &&
           (is_log_sum_of(g, all->in[0], one->in[0]) || is_log_sum_of(g, all->in[1], one->in[0])) &&
           comes_of_data(a, g, out->ids);
}

static bool watch_words(Elab *cx, const WordLoss *w, Span at) {
    Module *probe = module_library(cx, "probe", at);
    const Val *unigram = probe ? map_get(&probe->scope->names, "unigram") : NULL;
    TVal loss = {.ref = w->loss, .type = *graph_type(cx->g, w->loss)},
         ids = {.ref = w->ids, .type = *graph_type(cx->g, w->ids)};
    CallArg arg[] = {{NULL, val_of_tensor(&loss), at},
                     {NULL, val_of_tensor(&ids), at},
                     {NULL, val_of_int(w->words), at},
                     {NULL, val_of_int(WARMUP), at}};
    return unigram && watch_call(cx, unigram, arg, 4, "watch.unigram", at);
}

bool watches_derive(Elab *cx) {
    WordLoss w;
    if (!cx->in_train || !cx->host || !cx->host->module) return true;
    size_t n = cx->decls->output.n; /* the losses; what is added comes after */
    for (size_t i = 0; i < n; i++) {
        const Output *o = &cx->decls->output.at[i];
        if (o->kind != OUT_loss || !is_word_loss(cx->arena, cx->g, o->ref, &w)) continue;
        if (watch_label_taken(cx, "watch.unigram")) continue;
        Span at = o->span;
        if (!watch_words(cx, &w, at)) return false;
    }
    return true;
}
