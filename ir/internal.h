/* Inside the IR library: what its files share and nobody else needs. */
#ifndef UPT_IR_INTERNAL_H
#define UPT_IR_INTERNAL_H

#include "ir/ir.h"

enum {
    MAX_DIM_LOG = 40,   /* a tensor has at most 2^40 elements */
    MAX_NODES = 1 << 24 /* of a graph */
};

/* A type as text, for messages: type_text(&t).s lives to the end of the full expression. */
typedef struct TypeText {
    char s[192];
} TypeText;
TypeText type_text(const Type *t);
bool type_valid(const Type *t, Err *e);

bool op_takes_type(Op op); /* its row's shape rule is `given` */
/* shape_infer for a node of `g`, its inputs' types looked up there. */
bool node_infer(const Graph *g, const Node *n, const Type *given, Arena *a, Type **out, int *nout,
                Err *e);
void strides_of(const Type *t, int64_t *stride); /* row-major */
bool random_part_valid(const Attr *a, const Type *t, Err *e);
bool random_is_whole(const Attr *a, const Type *t);
bool attr_same(AttrKind kind, const Attr *a, const Attr *b); /* bit for bit; bodies by structure */
uint64_t attr_hash(AttrKind kind, const Attr *a);
uint64_t graph_hash(const Graph *g);

#endif
