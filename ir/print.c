/* Printing: a program or a graph as text that parse.c reads back to the same text, byte for byte.
 * Floats are hexadecimal, every type is written out, nodes are numbered as they lie in the graph.
 * Comments (`#`) carry names for the human reader.
 *
 * What a .upx has tens of thousands of goes without printf, which is slow where a library of the
 * process (libquadmath, of OpenBLAS) has given it formats of its own. */
#include "ir/facts.h"
#include "ir/text.h"

#include <math.h>
#include <string.h>

static void print_str(Buf *b, const char *s) {
    if (!s) {
        buf_puts(b, "none");
        return;
    }
    buf_puts(b, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_puts(b, "\\n");
        else if (c < 32 || c == 127)
            buf_printf(b, "\\x%02x", c);
        else
            buf_put(b, s, 1);
    }
    buf_puts(b, "\"");
}

static void print_double(Buf *b, double v) {
    if (isnan(v))
        buf_puts(b, "nan");
    else if (isinf(v))
        buf_puts(b, v < 0 ? "-inf" : "inf");
    else
        buf_printf(b, "%a", v);
}

static void print_mask(Buf *b, uint32_t mask) {
    const char *sep = "";
    buf_puts(b, "[");
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) {
            buf_puts(b, sep);
            buf_int(b, i);
            sep = ",";
        }
    buf_puts(b, "]");
}

static void print_list(Buf *b, KeyKind kind, const void *at, int rank) {
    buf_puts(b, "[");
    for (int i = 0; i < rank; i++) {
        if (i) buf_puts(b, ",");
        buf_int(b, kind == KEY_axes ? ((const int *)at)[i] : ((const int64_t *)at)[i]);
    }
    buf_puts(b, "]");
}

static void print_value(Buf *b, const Key *k, const char *base) {
    const void *at = base + k->at;
    switch (k->kind) {
    case KEY_int: buf_int(b, *(const int *)at); return;
    case KEY_int64: buf_int(b, *(const int64_t *)at); return;
    case KEY_hex: buf_printf(b, "0x%llx", (unsigned long long)*(const uint64_t *)at); return;
    case KEY_double: print_double(b, *(const double *)at); return;
    case KEY_bool: buf_puts(b, *(const bool *)at ? "true" : "false"); return;
    case KEY_str: print_str(b, *(const char *const *)at); return;
    case KEY_dtype: buf_puts(b, dtype_name(*(const DType *)at)); return;
    case KEY_mask: print_mask(b, *(const uint32_t *)at); return;
    case KEY_axes:
    case KEY_dims:
        print_list(b, k->kind, at, *(const int *)(const void *)(base + k->rank_at));
        return;
    case KEY_labels: print_str(b, at); return;
    }
}

static bool is_unset(const Key *k, const char *base) {
    const void *at = base + k->at;
    switch (k->kind) {
    case KEY_bool: return !*(const bool *)at;
    case KEY_int64: return *(const int64_t *)at == 0;
    case KEY_dims: return *(const int *)(const void *)(base + k->rank_at) == 0;
    default: return false;
    }
}

static void print_record(Buf *b, const Record *r, const void *base) {
    if (!r->key[0].name) return;
    const char *sep = "";
    buf_puts(b, " {");
    for (int i = 0; i < RECORD_MAX && r->key[i].name; i++) {
        if (r->key[i].optional && is_unset(&r->key[i], base)) continue;
        buf_puts(b, sep);
        buf_puts(b, r->key[i].name);
        buf_puts(b, "=");
        sep = ", ";
        print_value(b, &r->key[i], base);
    }
    buf_puts(b, "}");
}

/* ---- places in the source */

static bool path_is_plain(const char *path) {
    for (const char *s = path; *s; s++) {
        bool alnum =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!alnum && !strchr("_./+-", *s)) return false;
    }
    return *path != 0;
}

static void print_place(Buf *b, const Diag *d, Span s) {
    if (!d || s.file < 1 || s.file > diag_sources(d)) return;
    const char *path = diag_path(d, s.file);
    buf_puts(b, " @ ");
    if (path_is_plain(path))
        buf_puts(b, path);
    else
        print_str(b, path);
    const uint32_t at[] = {s.line, s.col, s.end_line, s.end_col};
    for (int i = 0; i < 4; i++) {
        buf_puts(b, i == 2 ? "-" : ":");
        buf_int(b, at[i]);
    }
    if (!s.via) return;
    buf_puts(b, " via ");
    buf_int(b, s.via);
}

/* ---- graphs */

typedef struct Printer {
    Buf *b;
    const Program *p; /* may be NULL: no places, no names */
    bool bare;        /* no places, and names in place of the numbers of tensors */
    bool explain;     /* above what computes, what it is made of */
} Printer;

static const Diag *sources(const Printer *pr) {
    return pr->p && !pr->bare ? pr->p->diag : NULL;
}

static void print_ref(Buf *b, Ref r) {
    buf_puts(b, "%");
    buf_int(b, r.node);
    if (!r.out) return;
    buf_puts(b, ".");
    buf_int(b, r.out);
}

static void print_spaces(Buf *b, int n) {
    while (n-- > 0) buf_puts(b, " ");
}

static void print_body(const Printer *pr, const Graph *g, int indent);

/* For the human reader: which tensor, and constants in decimals. */
static void print_remark(const Printer *pr, const Node *n) {
    int tensor = n->op == OP_state ? n->attr.tensor : -1;
    if (tensor >= 0 && pr->p && (size_t)tensor < pr->p->ntensor) {
        buf_puts(pr->b, "  # ");
        print_str(pr->b, pr->p->tensor[tensor].name);
    }
    if (n->op == OP_const && isfinite(n->attr.num)) buf_printf(pr->b, "  # %g", n->attr.num);
}

static bool explains(const Printer *pr, const Node *n) {
    return pr->explain && (n->op == OP_fused || op_stands_alone(n->op));
}

static void print_node(const Printer *pr, const Graph *g, size_t number, int indent) {
    const Node *n = g->node[number];
    Buf *b = pr->b;
    AttrKind attr = op_info[n->op].attr;
    if (explains(pr, n)) node_explain(b, pr->p->diag, g, n, indent);
    print_spaces(b, indent);
    print_ref(b, (Ref){(uint32_t)number, 0});
    buf_puts(b, " = ");
    buf_puts(b, op_info[n->op].name);
    for (int i = 0; i < n->nin; i++) {
        buf_puts(b, i ? ", " : " ");
        print_ref(b, n->in[i]);
    }
    if (attr != ATTR_TENSOR || !pr->bare) print_record(b, &attr_record[attr], &n->attr);
    if (op_has_body(n->op)) {
        buf_puts(b, " ");
        print_body(pr, n->attr.body, indent);
    }
    for (int i = 0; i < n->nout; i++) {
        buf_puts(b, i ? ", " : " : ");
        type_print(b, &n->type[i]);
    }
    if (n->copy) buf_printf(b, " copy=%u", n->copy);
    if (n->region) buf_printf(b, " region=%u", n->region);
    print_place(b, sources(pr), n->span);
    print_remark(pr, n);
    buf_puts(b, "\n");
}

static void print_output(const Printer *pr, const Output *o, int indent) {
    Buf *b = pr->b;
    print_spaces(b, indent);
    buf_puts(b, "out ");
    buf_puts(b, out_kind_names[o->kind]);
    if (o->name) {
        buf_puts(b, " ");
        print_str(b, o->name);
    }
    if (pr->bare && o->kind == OUT_state)
        buf_printf(b, " %s", pr->p->tensor[o->index].name);
    else if (o->index || o->kind == OUT_state || o->kind == OUT_text)
        buf_printf(b, " %d", o->index);
    buf_puts(b, " = ");
    print_ref(b, o->ref);
    print_place(b, sources(pr), o->span);
    buf_puts(b, "\n");
}

static void print_body(const Printer *pr, const Graph *g, int indent) {
    buf_puts(pr->b, "graph ");
    print_str(pr->b, g->name);
    buf_puts(pr->b, " {\n");
    for (size_t i = 0; i < g->n; i++) print_node(pr, g, i, indent + 2);
    for (size_t i = 0; i < g->nout; i++) print_output(pr, &g->out[i], indent + 2);
    print_spaces(pr->b, indent);
    buf_puts(pr->b, "}");
}

/* `what` says whose it is; empty for a graph alone. */
static void print_graph(const Printer *pr, const char *what, const Graph *g) {
    if (!g) return;
    buf_printf(pr->b, "%s%s", what, *what ? " " : "");
    print_body(pr, g, 0);
    buf_puts(pr->b, "\n");
}

void graph_print(Buf *b, const Program *p, const Graph *g) {
    print_graph(&(Printer){.b = b, .p = p}, "", g);
}

/* Without what is computed again. */
static Graph *copies_undone(Arena *a, const Graph *g) {
    Graph *to = graph_new(a, g->name);
    uint32_t *map = NEW_N(a, uint32_t, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        Node n = *g->node[i];
        Ref *in = NEW_N(a, Ref, n.nin + 1);
        for (int k = 0; k < n.nin; k++) in[k] = (Ref){map[n.in[k].node], n.in[k].out};
        n.copy = 0;
        map[i] = graph_copy_node(to, &n, in).node;
    }
    for (size_t i = 0; i < g->nout; i++) {
        const Output *o = &g->out[i];
        graph_out(to, o->kind, o->name, o->index, (Ref){map[o->ref.node], o->ref.out}, o->span);
    }
    return to;
}

uint64_t graph_fingerprint(const Program *p, const Graph *g) {
    Arena *scratch = arena_new();
    Buf b = {0};
    g = copies_undone(scratch, g);
    print_graph(&(Printer){.b = &b, .p = p, .bare = true}, "", g);
    uint64_t hash = hash_bytes(b.data, b.n, 0);
    buf_free(&b);
    arena_free(scratch);
    return hash;
}

void graph_bug_at(const char *file, int line, const Graph *g, const char *fmt, ...) {
    Buf text = {0}, why = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&why, fmt, ap);
    va_end(ap);
    graph_print(&text, NULL, g);
    fputs(text.data, stderr);
    bug_at(file, line, "%s", why.data);
}

/* ---- what surrounds them */

static void print_arg(Buf *b, const SpecArg *a) {
    print_str(b, a->name);
    buf_puts(b, "=");
    switch (a->kind) {
    case ARG_int: buf_printf(b, "%lld", (long long)a->i); return;
    case ARG_float: print_double(b, a->f); return;
    case ARG_str: print_str(b, a->s); return;
    case ARG_tokenizer: buf_printf(b, "tokenizer %lld", (long long)a->i); return;
    }
}

static void print_field(Buf *b, const Field *f) {
    print_str(b, f->name);
    buf_printf(b, ": %s", dtype_name(f->dtype));
    for (int i = 0; i < f->rank; i++) {
        buf_printf(b, "%s%lld", i ? "," : "[", (long long)f->dim[i]);
        if (f->dim_name[i]) {
            buf_puts(b, " ");
            print_str(b, f->dim_name[i]);
        }
    }
    if (f->rank) buf_puts(b, "]");
}

static void print_data(const Printer *pr, const DataSpec *d, int number) {
    Buf *b = pr->b;
    buf_puts(b, "data");
    print_record(b, &data_record, d);
    buf_puts(b, " (");
    for (int i = 0; i < d->narg; i++) {
        if (i) buf_puts(b, ", ");
        print_arg(b, &d->arg[i]);
    }
    buf_puts(b, ") (");
    for (int i = 0; i < d->nfield; i++) {
        if (i) buf_puts(b, ", ");
        print_field(b, &d->field[i]);
    }
    buf_puts(b, ")");
    print_place(b, sources(pr), d->span);
    buf_printf(b, "  # %d\n", number);
}

static void print_load(const Printer *pr, const LoadSpec *l) {
    Buf *b = pr->b;
    buf_puts(b, "load ");
    print_str(b, l->file);
    buf_puts(b, " (");
    for (int i = 0; i < l->npart; i++) {
        if (i) buf_puts(b, ", ");
        print_str(b, l->part[i]);
    }
    buf_puts(b, ") (");
    for (int i = 0; i < l->nrename; i++) {
        if (i) buf_puts(b, ", ");
        print_str(b, l->from[i]);
        buf_puts(b, "=");
        print_str(b, l->to[i]);
    }
    buf_puts(b, ")");
    print_place(b, sources(pr), l->span);
    buf_puts(b, "\n");
}

static void print_calls(const Printer *pr) {
    const Diag *d = sources(pr);
    for (uint32_t i = 1; i <= diag_calls(d); i++) {
        buf_puts(pr->b, "call ");
        print_str(pr->b, diag_call(d, i)->name);
        print_place(pr->b, d, diag_call(d, i)->at);
        buf_printf(pr->b, "  # %u\n", i);
    }
}

static void print_spec(const Printer *pr, const Spec *s) {
    Buf *b = pr->b;
    buf_puts(b, "run");
    print_record(b, &run_record, &s->run);
    buf_puts(b, "\n");
    for (int i = 0; i < s->ntokenizer; i++) {
        buf_puts(b, "tokenizer");
        print_record(b, &tokenizer_record, &s->tokenizer[i]);
        print_place(b, sources(pr), s->tokenizer[i].span);
        buf_printf(b, "  # %d\n", i);
    }
    for (int i = 0; i < s->ndata; i++) print_data(pr, &s->data[i], i);
    for (int i = 0; i < s->nload; i++) print_load(pr, &s->load[i]);
}

static void print_tensor(const Printer *pr, const Tensor *t, size_t number) {
    Buf *b = pr->b;
    buf_printf(b, "tensor %s ", tensor_kind_names[t->kind]);
    print_str(b, t->name);
    buf_puts(b, " : ");
    type_print(b, &t->type);
    print_record(b, &tensor_record, t);
    print_place(b, sources(pr), t->span);
    buf_printf(b, "  # %zu\n", number);
}

static void print_entry(const Printer *pr, const Entry *e) {
    buf_printf(pr->b, "entry %s", entry_kind_names[e->kind]);
    print_record(pr->b, &entry_record, e);
    print_place(pr->b, sources(pr), e->span);
    buf_puts(pr->b, "\n");
    for (int i = 0; i < ENTRY_GRAPHS; i++) print_graph(pr, entry_graph_names[i], e->graph[i]);
}

static void print_program(const Printer *pr) {
    Buf *b = pr->b;
    const Program *p = pr->p;
    buf_puts(b, "program");
    for (int i = 0; i < 4; i++)
        if (p->stage >> i & 1) buf_printf(b, " %s", stage_names[i]);
    buf_puts(b, "\n");
    print_calls(pr);
    print_spec(pr, &p->spec);
    for (size_t i = 0; i < p->ntensor; i++) print_tensor(pr, &p->tensor[i], i);
    print_graph(pr, "init", p->init);
    for (size_t i = 0; i < p->nentry; i++) print_entry(pr, &p->entry[i]);
}

void program_print(Buf *b, const Program *p) {
    print_program(&(Printer){.b = b, .p = p});
}

void program_explain(Buf *b, const Program *p) {
    print_program(&(Printer){.b = b, .p = p, .explain = true});
}
