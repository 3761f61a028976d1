/* Reading the text form, first half: tokens, records, types and graphs. The text may come from a
 * stranger (a .upx): counts and references are checked before use, nesting is limited, and the type
 * of every node is inferred anew and compared with the one that is written. */
#include "ir/parse.h"

#include <string.h>

bool parse_error(Parser *ps, Span at, const char *fmt, ...) {
    if (ps->failed) return false;
    ps->failed = true;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    at.file = diag_add_source(ps->diag, ps->path, ps->lex.text, ps->lex.n);
    diag_error(ps->diag, at, "%s", msg);
    ps->tok = (Token){.kind = TOK_end};
    return false;
}

void parse_advance(Parser *ps) {
    if (ps->failed) return;
    ps->tok = lex_next(&ps->lex);
    if (ps->tok.kind == TOK_bad) parse_error(ps, ps->tok.span, "%s", ps->tok.text);
}

bool parse_is(const Parser *ps, char punct) {
    return ps->tok.kind == TOK_punct && ps->tok.punct == punct;
}

bool parse_is_word(const Parser *ps, const char *word) {
    return ps->tok.kind == TOK_name && str_eq(ps->tok.text, word);
}

bool parse_accept(Parser *ps, char punct) {
    if (!parse_is(ps, punct)) return false;
    parse_advance(ps);
    return true;
}

bool parse_accept_word(Parser *ps, const char *word) {
    if (!parse_is_word(ps, word)) return false;
    parse_advance(ps);
    return true;
}

bool parse_expect(Parser *ps, char punct) {
    return parse_accept(ps, punct) || parse_error(ps, ps->tok.span, "expected '%c'", punct);
}

/* ---- single values */

bool parse_word(Parser *ps, const char *const *names, int n, const char *what, int *out) {
    *out = 0;
    for (int i = 0; i < n; i++)
        if (parse_accept_word(ps, names[i])) {
            *out = i;
            return true;
        }
    return parse_error(ps, ps->tok.span, "expected %s", what);
}

bool parse_str(Parser *ps, const char **s) {
    *s = "";
    if (ps->tok.kind != TOK_str) return parse_error(ps, ps->tok.span, "expected a string");
    *s = ps->tok.text;
    parse_advance(ps);
    return true;
}

bool parse_int(Parser *ps, int64_t lo, int64_t hi, int64_t *v) {
    Token t = ps->tok;
    if (t.kind != TOK_int || t.is_hex) return parse_error(ps, t.span, "expected an integer");
    if (t.i < lo || t.i > hi)
        return parse_error(ps, t.span, "%lld is out of range", (long long)t.i);
    *v = t.i;
    parse_advance(ps);
    return true;
}

bool parse_double(Parser *ps, double *v) {
    static const char *const words[] = {"inf", "-inf", "nan"};
    static const double values[] = {(double)__builtin_inff(), -(double)__builtin_inff(),
                                    (double)__builtin_nanf("")};
    int i;
    if (ps->tok.kind == TOK_name) {
        if (!parse_word(ps, words, 3, "a number", &i)) return false;
        *v = values[i];
        return true;
    }
    if (ps->tok.kind != TOK_float && ps->tok.kind != TOK_int)
        return parse_error(ps, ps->tok.span, "expected a number");
    *v = ps->tok.f;
    parse_advance(ps);
    return true;
}

bool parse_dtype(Parser *ps, DType *t) {
    if (ps->tok.kind != TOK_name || !dtype_from_name(ps->tok.text, t))
        return parse_error(ps, ps->tok.span, "expected an element type");
    parse_advance(ps);
    return true;
}

bool parse_type(Parser *ps, Type *t) {
    Span at = ps->tok.span;
    Err e = {0};
    *t = type_scalar(DT_f32);
    if (!parse_dtype(ps, &t->dtype)) return false;
    if (parse_accept(ps, '[')) {
        do {
            if (t->rank == RANK)
                return parse_error(ps, ps->tok.span, "more than %d dimensions", RANK);
            if (!parse_int(ps, 1, INT64_MAX, &t->dim[t->rank])) return false;
            if (parse_accept(ps, '*')) t->batch_axis = t->rank;
            t->rank++;
        } while (parse_accept(ps, ','));
        if (!parse_expect(ps, ']')) return false;
    }
    if (parse_accept(ps, '?')) t->batch_axis = MIXED_BATCH;
    return type_valid(t, &e) || parse_error(ps, at, "%s", e.msg);
}

static bool read_call(Parser *ps, uint32_t *via) {
    Span at = ps->tok.span;
    int64_t n;
    if (!parse_int(ps, 1, INT32_MAX, &n)) return false;
    if ((size_t)n > ps->call.n) return parse_error(ps, at, "there is no call %lld", (long long)n);
    *via = ps->call.at[n - 1];
    return true;
}

bool parse_place(Parser *ps, Span *span) {
    const char *path;
    Span at = ps->tok.span;
    *span = (Span){0};
    if (!parse_is(ps, '@')) return !ps->failed;
    if (!lex_place(&ps->lex, &path, span)) return parse_error(ps, at, "a malformed place");
    if (!ps->place_path || !str_eq(ps->place_path, path)) {
        ps->place_path = path;
        ps->place_file = diag_find_source(ps->diag, path);
        if (!ps->place_file) ps->place_file = diag_add_source(ps->diag, path, NULL, 0);
    }
    span->file = ps->place_file;
    parse_advance(ps);
    return !ps->failed && (!parse_accept_word(ps, "via") || read_call(ps, &span->via));
}

/* ---- records */

/* A list of at most RANK integers within the range. */
static bool parse_list(Parser *ps, int64_t lo, int64_t hi, int64_t *v, int *n) {
    *n = 0;
    if (!parse_expect(ps, '[')) return false;
    while (!parse_is(ps, ']')) {
        if (*n == RANK)
            return parse_error(ps, ps->tok.span, "more than %d numbers in a list", RANK);
        if (!parse_int(ps, lo, hi, &v[(*n)++])) return false;
        if (!parse_accept(ps, ',')) break;
    }
    return parse_expect(ps, ']');
}

/* Lists of one record share their rank: `same_rank` when an earlier one has set it. */
static bool parse_array(Parser *ps, const Key *k, char *base, bool same_rank) {
    int64_t v[RANK];
    int n, *rank = (int *)(void *)(base + k->rank_at);
    Span at = ps->tok.span;
    bool small = k->kind == KEY_axes;
    if (!parse_list(ps, small ? INT32_MIN : INT64_MIN, small ? INT32_MAX : INT64_MAX, v, &n))
        return false;
    if (same_rank && n != *rank) return parse_error(ps, at, "lists of different lengths");
    *rank = n;
    for (int i = 0; i < n; i++) {
        if (small)
            ((int *)(void *)(base + k->at))[i] = (int)v[i];
        else
            ((int64_t *)(void *)(base + k->at))[i] = v[i];
    }
    return true;
}

static bool parse_mask(Parser *ps, uint32_t *mask) {
    int64_t v[RANK];
    int n;
    *mask = 0;
    if (!parse_list(ps, 0, RANK - 1, v, &n)) return false;
    for (int i = 0; i < n; i++) *mask |= UINT32_C(1) << v[i];
    return true;
}

static bool parse_labels(Parser *ps, char *out) {
    const char *s;
    Span at = ps->tok.span;
    if (!parse_str(ps, &s)) return false;
    if (strlen(s) > RANK) return parse_error(ps, at, "more than %d labels", RANK);
    memcpy(out, s, strlen(s) + 1);
    return true;
}

static bool parse_hex(Parser *ps, uint64_t *v) {
    if (ps->tok.kind != TOK_int || (!ps->tok.is_hex && ps->tok.i < 0))
        return parse_error(ps, ps->tok.span, "expected a number that is not negative");
    *v = ps->tok.hex;
    parse_advance(ps);
    return true;
}

static bool parse_value(Parser *ps, const Key *k, char *base, bool same_rank) {
    static const char *const bools[] = {"false", "true"};
    void *at = base + k->at;
    int64_t v;
    int word;
    switch (k->kind) {
    case KEY_int:
        if (!parse_int(ps, INT32_MIN, INT32_MAX, &v)) return false;
        *(int *)at = (int)v;
        return true;
    case KEY_int64: return parse_int(ps, INT64_MIN, INT64_MAX, at);
    case KEY_hex: return parse_hex(ps, at);
    case KEY_double: return parse_double(ps, at);
    case KEY_bool:
        if (!parse_word(ps, bools, 2, "true or false", &word)) return false;
        *(bool *)at = word;
        return true;
    case KEY_str: return parse_accept_word(ps, "none") || parse_str(ps, at);
    case KEY_dtype: return parse_dtype(ps, at);
    case KEY_mask: return parse_mask(ps, at);
    case KEY_axes:
    case KEY_dims: return parse_array(ps, k, base, same_rank);
    case KEY_labels: return parse_labels(ps, at);
    }
    BUG("key kind %d", (int)k->kind);
}

static bool has_earlier_list(const Record *r, int i) {
    for (int j = 0; j < i && key_is_list(&r->key[i]); j++)
        if (key_is_list(&r->key[j]) && r->key[j].rank_at == r->key[i].rank_at) return true;
    return false;
}

bool parse_record(Parser *ps, const Record *r, void *base) {
    bool named = true; /* a name has to come: the record begins, or there was a comma */
    if (!r->key[0].name) return true;
    if (!parse_expect(ps, '{')) return false;
    for (int i = 0; i < RECORD_MAX && r->key[i].name; i++) {
        const Key *k = &r->key[i];
        if (!named && k->optional && !parse_is(ps, ',')) continue;
        if (!named && !parse_expect(ps, ',')) return false;
        named = !parse_accept_word(ps, k->name);
        if (named && k->optional) continue;
        if (named) return parse_error(ps, ps->tok.span, "expected '%s='", k->name);
        if (!parse_expect(ps, '=') || !parse_value(ps, k, base, has_earlier_list(r, i)))
            return false;
    }
    if (named) return parse_error(ps, ps->tok.span, "no value that is known here");
    return parse_expect(ps, '}');
}

/* ---- graphs */

typedef struct GraphReader {
    Parser *ps;
    Graph *g;
    int depth;
    VEC(Ref) map; /* node numbers of the text to nodes: equal ones become one */
} GraphReader;

static bool read_ref(GraphReader *r, Ref *ref) {
    Parser *ps = r->ps;
    Token t = ps->tok;
    if (t.kind != TOK_ref) return parse_error(ps, t.span, "expected a value such as %%0");
    if ((uint64_t)t.i >= r->map.n)
        return parse_error(ps, t.span, "%%%lld is not defined before this line", (long long)t.i);
    *ref = r->map.at[t.i];
    ref->out = t.out;
    if ((int64_t)t.out >= graph_node(r->g, *ref)->nout)
        return parse_error(ps, t.span, "%%%lld has no result %u", (long long)t.i, t.out);
    parse_advance(ps);
    return true;
}

static bool read_inputs(GraphReader *r, Node *n) {
    VEC(Ref) in = {0};
    if (r->ps->tok.kind != TOK_ref) return !r->ps->failed;
    do {
        Ref ref;
        if (in.n == MAX_RESULTS) return parse_error(r->ps, r->ps->tok.span, "too many inputs");
        if (!read_ref(r, &ref)) return false;
        vec_push(r->ps->arena, &in, ref);
    } while (parse_accept(r->ps, ','));
    n->in = in.at;
    n->nin = (int)in.n;
    return true;
}

static bool read_types(GraphReader *r, Node *n) {
    VEC(Type) types = {0};
    if (!parse_expect(r->ps, ':')) return false;
    do {
        Type t;
        if (types.n == MAX_RESULTS) return parse_error(r->ps, r->ps->tok.span, "too many results");
        if (!parse_type(r->ps, &t)) return false;
        vec_push(r->ps->arena, &types, t);
    } while (parse_accept(r->ps, ','));
    n->type = types.at;
    n->nout = (int)types.n;
    return true;
}

static bool read_number(Parser *ps, const char *word, uint32_t *v) {
    int64_t x = 0;
    if (parse_accept_word(ps, word) &&
        (!parse_expect(ps, '=') || !parse_int(ps, 0, UINT32_MAX, &x)))
        return false;
    *v = (uint32_t)x;
    return !ps->failed;
}

/* Everything of a node after its number and `=`. */
static bool read_node(GraphReader *r, Node *n) {
    Parser *ps = r->ps;
    if (ps->tok.kind != TOK_name || !op_from_name(ps->tok.text, &n->op))
        return parse_error(ps, ps->tok.span, "expected the name of an operator");
    parse_advance(ps);
    AttrKind attr = op_info[n->op].attr;
    if (!read_inputs(r, n) || !parse_record(ps, &attr_record[attr], &n->attr)) return false;
    if (attr == ATTR_NAME && !n->attr.name)
        return parse_error(ps, ps->tok.span, "a name is missing");
    if (op_has_body(n->op) && !(n->attr.body = parse_graph(ps, r->depth + 1))) return false;
    return read_types(r, n) && read_number(ps, "copy", &n->copy) &&
           read_number(ps, "region", &n->region) && parse_place(ps, &n->span);
}

/* The types that the inputs give must be those that were written. */
static bool check_types(GraphReader *r, const Node *n, Span at) {
    Parser *ps = r->ps;
    Arena *scratch = arena_new();
    Err e = {0};
    Type *out;
    int nout = 0;
    bool ok = node_infer(r->g, n, n->type, scratch, &out, &nout, &e) ||
              parse_error(ps, at, "%s: %s", op_info[n->op].name, e.msg);
    if (ok && nout != n->nout)
        ok = parse_error(ps, at, "%s has %d results, not %d", op_info[n->op].name, nout, n->nout);
    for (int i = 0; ok && i < nout; i++)
        if (!type_same(&out[i], &n->type[i]))
            ok = parse_error(ps, at, "result %d of %s is %s, but %s is written", i,
                             op_info[n->op].name, type_text(&out[i]).s, type_text(&n->type[i]).s);
    arena_free(scratch);
    return ok;
}

static bool read_line(GraphReader *r) {
    Parser *ps = r->ps;
    Node n = {.op = OP_COUNT};
    Span at = ps->tok.span;
    if ((uint64_t)ps->tok.i != r->map.n || ps->tok.out)
        return parse_error(ps, at, "nodes are numbered in order; this is %%%zu", r->map.n);
    if (r->map.n == MAX_NODES - 1) return parse_error(ps, at, "too many nodes");
    parse_advance(ps);
    if (!parse_expect(ps, '=') || !read_node(r, &n) || !check_types(r, &n, at)) return false;
    vec_push(ps->arena, &r->map, graph_copy_node(r->g, &n, n.in));
    return true;
}

static bool read_output(GraphReader *r) {
    Parser *ps = r->ps;
    int kind;
    const char *name = NULL;
    int64_t index = 0;
    Ref ref;
    Span span;
    if (!parse_word(ps, out_kind_names, OUT_KINDS, "a kind of output", &kind)) return false;
    if (ps->tok.kind == TOK_str && !parse_str(ps, &name)) return false;
    if (ps->tok.kind == TOK_int && !parse_int(ps, 0, INT32_MAX, &index)) return false;
    if (!parse_expect(ps, '=') || !read_ref(r, &ref) || !parse_place(ps, &span)) return false;
    graph_out(r->g, (OutKind)kind, name, (int)index, ref, span);
    return true;
}

Graph *parse_graph(Parser *ps, int depth) {
    const char *name;
    Span at = ps->tok.span;
    if (depth > MAX_NESTING) parse_error(ps, at, "bodies are nested too deeply");
    if (!parse_accept_word(ps, "graph")) parse_error(ps, at, "expected 'graph'");
    if (!parse_str(ps, &name) || !parse_expect(ps, '{')) return NULL;
    GraphReader r = {.ps = ps, .g = graph_new(ps->arena, name), .depth = depth};
    while (ps->tok.kind == TOK_ref)
        if (!read_line(&r)) return NULL;
    while (parse_accept_word(ps, "out"))
        if (!read_output(&r)) return NULL;
    return parse_expect(ps, '}') ? r.g : NULL;
}
