/* Programs: the table of persistent tensors and the entries' graphs. */
#include "ir/internal.h"

Program *program_new(Arena *a, Diag *d) {
    CHECK(d);
    Program *p = NEW(a, Program);
    p->arena = a;
    p->diag = d;
    p->stage = STAGE_BUILT;
    return p;
}

int64_t entry_pieces(const Program *p, const Entry *e) {
    return e->piece && p->spec.run.micro > 0 ? e->batch / p->spec.run.micro : 1;
}

int program_add_tensor(Program *p, const Tensor *t) {
    if (p->ntensor == p->tensorcap)
        p->tensor = vec_grow(p->arena, p->tensor, p->ntensor, &p->tensorcap, sizeof *p->tensor);
    Tensor *to = &p->tensor[p->ntensor];
    *to = *t;
    to->name = arena_strdup(p->arena, t->name);
    return (int)p->ntensor++;
}
