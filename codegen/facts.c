/* Facts about steps: see facts.h. What a node moves and computes and where it came from is known of
 * its graph (ir/facts.h); here it is put beside the phases and handed to the steps. */
#include "codegen/facts.h"

void facts_node(Build *b, uint32_t node, size_t first, size_t before) {
    if (first == b->step.n) return;
    RtPhase phase = b->phases.node[node];
    NodeLines l = node_lines(b->arena, b->program->diag, b->g->node[node], b->phases.op[node],
                             (uint8_t)phase);
    RtLine *line = NEW_N(b->arena, RtLine, l.n);
    for (int i = 0; i < l.n; i++)
        line[i] = (RtLine){l.at[i].at, l.at[i].share, (RtPhase)l.at[i].kind};
    for (size_t i = first; i < b->step.n; i++) {
        RtStep *s = &b->step.at[i];
        s->name = l.name ? l.name : s->label;
        s->line = line;
        s->nline = l.n;
        s->phase = phase;
        s->node = (int32_t)node;
    }
    for (size_t i = before; i < b->before.n; i++) {
        RtStep *s = &b->before.at[i];
        s->name = arena_printf(b->arena, "packing for %s", b->step.at[first].name);
        s->line = line, s->nline = l.n;
        s->phase = phase;
    }
}

void facts_copy(Build *b, const Tensor *to, RtStep *step) {
    bool update = to && (to->kind == TENSOR_param || to->kind == TENSOR_optim);
    step->phase = update ? RT_PHASE_update : RT_PHASE_other;
    step->bytes = 2 * (double)b->buffer.at[step->buf[0]].bytes;
    step->line = arena_memdup(b->arena, &(RtLine){step->span, 1, step->phase}, sizeof(RtLine));
    step->nline = to ? 1 : 0;
}
