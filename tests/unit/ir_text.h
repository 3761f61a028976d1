/* Pieces of IR by their text. */
#ifndef UPT_TESTS_IR_TEXT_H
#define UPT_TESTS_IR_TEXT_H

#include <string.h>

#include "ir/ir.h"
#include "tests/unit/check.h"

static const Span nowhere = {0};

/* What a program begins with that holds one graph, which follows. */
static const char *header =
    "program built\nrun {seed=0x0, precision=none, eval_every=0, save_every=0, log_every=0, "
    "keep=0, "
    "alternate=false, memory=0, micro=0}\nentry eval {name=\"e\", data=0, batch=1, steps=0, "
    "epochs=0}\n";

static inline Program *parse(Arena *a, const char *text, Diag **d) {
    *d = diag_new(a);
    return program_parse(a, *d, "test.ir", text, strlen(text));
}

static inline Type typed(const char *text) { /* a type by its text, read by way of a program */
    Arena *a = arena_new();
    Diag *d;
    Buf b = {0};
    buf_printf(&b, "%sstep graph \"g\" { %%0 = arg {n=0} : %s }", header, text);
    Program *p = parse(a, b.data, &d);
    EXPECT(p, "no type: %s", text);
    Type t = p ? p->entry[0].step->node[0]->type[0] : type_scalar(DT_f32);
    buf_free(&b);
    arena_free(a);
    return t;
}

#endif
