/* What a node is made of, as comments for a person: its name, what it moves and computes, and its
 * lines of source, those of the library below the line of the user's that asked for them. */
#include "ir/facts.h"

enum { ROWS = 8 }; /* of one node; the rest is counted */
static const double LEAST_SHARE = 0.02;

static void put_scaled(Buf *b, double x, const char *unit) {
    static const char *const scale[] = {"", " k", " M", " G", " T"};
    int at = 0;
    for (; x >= 1000 && at < 4; at++) x /= 1000;
    buf_printf(b, at && x < 100 ? "%.1f%s%s" : "%.0f%s%s", x, *scale[at] ? scale[at] : " ", unit);
}

static void put_head(Buf *b, const Graph *g, const Node *n, const char *name, int indent) {
    Facts f = node_facts(g, n);
    buf_printf(b, "%*s# %s: ", indent, "", name ? name : op_info[n->op].name);
    put_scaled(b, f.bytes, "B");
    buf_puts(b, ", ");
    put_scaled(b, f.operations, f.operations < 1000 ? "operations" : " operations");
    buf_puts(b, "\n");
}

static void put_text(Buf *b, const Diag *d, Span at) {
    size_t n;
    const char *text = diag_line(d, at, &n);
    if (n) buf_printf(b, "  %.*s", (int)n, text);
    buf_puts(b, "\n");
}

static void put_place(Buf *b, const Diag *d, Span at) {
    buf_printf(b, "%s:%u", diag_path(d, at.file), at.line);
}

static bool same_line(Span a, Span b) {
    return a.file == b.file && a.line == b.line;
}

/* Several calls that stand in one line are one row. */
static void merge_rows(const Diag *d, NodeLines *l) {
    int n = 0;
    for (int i = 0, k; i < l->n; i++) {
        Span at = l->at[i].at, own = diag_users_line(d, at);
        for (k = 0; k < n; k++)
            if (same_line(at, l->at[k].at) && same_line(own, diag_users_line(d, l->at[k].at)))
                break;
        if (k < n)
            l->at[k].share += l->at[i].share;
        else
            l->at[n++] = l->at[i];
    }
    l->n = n;
}

static void put_line(Buf *b, const Diag *d, const NodeLine *l, int indent) {
    Span own = diag_users_line(d, l->at);
    const CallSite *call = diag_call(d, l->at.via);
    buf_printf(b, "%*s#   %3.0f %%  ", indent, "", 100 * l->share);
    put_place(b, d, own);
    if (!same_line(own, l->at)) {
        buf_printf(b, ", %s in ", call ? call->name : "");
        put_place(b, d, l->at);
    }
    put_text(b, d, l->at);
}

void node_explain(Buf *b, const Diag *d, const Graph *g, const Node *n, int indent) {
    Arena *scratch = arena_new();
    NodeLines l = node_lines(scratch, d, n, NULL, 0);
    int shown = 0;
    merge_rows(d, &l);
    put_head(b, g, n, l.name, indent);
    while (shown < l.n && shown < ROWS && l.at[shown].share >= LEAST_SHARE)
        put_line(b, d, &l.at[shown++], indent);
    if (shown < l.n) buf_printf(b, "%*s#          in %d more\n", indent, "", l.n - shown);
    arena_free(scratch);
}
