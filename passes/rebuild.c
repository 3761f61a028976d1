/* What every pass does around its own rule: maps of values from the old graph to the new one, and
 * walks over the graphs of a program. Graphs are rebuilt from what their outputs reach, so dead
 * code falls away. */
#include "passes/internal.h"
#include "passes/view.h"

#include <string.h>

RefMap refmap_new(Arena *scratch, const Graph *from) {
    RefMap m = {.first = NEW_N(scratch, uint32_t, from->n + 1)};
    uint32_t n = 0;
    for (size_t i = 0; i < from->n; i++) {
        m.first[i] = n;
        n += (uint32_t)from->node[i]->nout;
    }
    m.at = NEW_N(scratch, Ref, n + 1);
    for (uint32_t i = 0; i < n; i++) m.at[i] = REF_NONE;
    return m;
}

void refmap_set_node(RefMap *m, const Graph *from, uint32_t i, Ref to) {
    for (uint32_t out = 0; out < (uint32_t)from->node[i]->nout; out++)
        m->at[m->first[i] + out] = (Ref){to.node, to.out + out};
}

Ref *refmap_inputs(const RefMap *m, const Node *n, Arena *scratch) {
    Ref *in = NEW_N(scratch, Ref, n->nin + 1);
    for (int i = 0; i < n->nin; i++) {
        in[i] = refmap_get(m, n->in[i]);
        CHECK(ref_is(in[i]));
    }
    return in;
}

void refmap_outputs(const RefMap *m, const Graph *from, Graph *to) {
    for (size_t i = 0; i < from->nout; i++) {
        const Output *o = &from->out[i];
        graph_out(to, o->kind, o->name, o->index, refmap_get(m, o->ref), o->span);
    }
}

Program *program_like(const Program *in) {
    Program *p = NEW(in->arena, Program);
    *p = *in;
    p->tensor = NEW_N(in->arena, Tensor, in->ntensor + 1);
    p->tensorcap = in->ntensor + 1;
    if (in->ntensor) memcpy(p->tensor, in->tensor, in->ntensor * sizeof *in->tensor);
    p->entry = NEW_N(in->arena, Entry, in->nentry + 1);
    p->entrycap = in->nentry + 1;
    if (in->nentry) memcpy(p->entry, in->entry, in->nentry * sizeof *in->entry);
    return p;
}

Program *program_map(const Program *in, PassCx *cx, GraphFn *fn) {
    Program *p = program_like(in);
    bool ok = true;
    if (in->init) ok = (p->init = fn(in, in->init, cx)) && ok;
    for (size_t i = 0; i < in->nentry; i++) {
        Entry *e = &p->entry[i];
        for (int k = 0; k < ENTRY_GRAPHS; k++)
            if (e->graph[k]) ok = (e->graph[k] = fn(in, e->graph[k], cx)) && ok;
    }
    return ok ? p : NULL;
}

bool const_value(const Graph *g, Ref r, double *v) {
    const Node *n = graph_node(g, r);
    while (view_is_strided(n)) n = graph_node(g, n->in[0]);
    if (n->op != OP_const) return false;
    *v = n->attr.num;
    return true;
}
