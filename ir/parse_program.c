/* Reading the text form, second half: the parts of a program, in the order in which print.c writes
 * them. What the parts say of each other (indices, kinds, stages) is the verifier's to judge. */
#include "ir/parse.h"

#include <string.h>

typedef VEC(SpecArg) Args;
typedef VEC(Field) Fields;
typedef VEC(const char *) Strings;
typedef struct Reader {
    Parser ps;
    Program *p;
    VEC(TokenizerSpec) tokenizer;
    VEC(DataSpec) data;
    VEC(LoadSpec) load;
    VEC(Entry) entry;
} Reader;

static bool read_arg(Parser *ps, Args *args) {
    SpecArg a = {0};
    if (!parse_str(ps, &a.name) || !parse_expect(ps, '=')) return false;
    bool ok;
    if (parse_accept_word(ps, "tokenizer")) {
        a.kind = ARG_tokenizer;
        ok = parse_int(ps, 0, INT32_MAX, &a.i);
    } else if (ps->tok.kind == TOK_str) {
        a.kind = ARG_str;
        ok = parse_str(ps, &a.s);
    } else if (ps->tok.kind == TOK_int) {
        a.kind = ARG_int;
        ok = parse_int(ps, INT64_MIN, INT64_MAX, &a.i);
    } else {
        a.kind = ARG_float;
        ok = parse_double(ps, &a.f);
    }
    vec_push(ps->arena, args, a);
    return ok;
}

static bool read_field(Parser *ps, Fields *fields) {
    Field f = {0};
    if (!parse_str(ps, &f.name) || !parse_expect(ps, ':') || !parse_dtype(ps, &f.dtype))
        return false;
    if (parse_accept(ps, '[')) {
        do {
            if (f.rank == RANK - 1)
                return parse_error(ps, ps->tok.span, "a field has at most %d dimensions", RANK - 1);
            if (!parse_int(ps, 1, INT64_MAX, &f.dim[f.rank])) return false;
            if (ps->tok.kind == TOK_str && !parse_str(ps, &f.dim_name[f.rank])) return false;
            f.rank++;
        } while (parse_accept(ps, ','));
        if (!parse_expect(ps, ']')) return false;
    }
    Err e;
    if (!dims_valid(f.rank, f.dim, &e)) return parse_error(ps, ps->tok.span, "%s", e.msg);
    vec_push(ps->arena, fields, f);
    return true;
}

static bool read_data(Reader *r) {
    Parser *ps = &r->ps;
    DataSpec d = {0};
    Args args = {0};
    Fields fields = {0};
    Span at = ps->tok.span;
    if (!parse_record(ps, &data_record, &d) || !parse_expect(ps, '(')) return false;
    if (!d.stage) return parse_error(ps, at, "a stage has a name");
    while (!parse_is(ps, ')') && read_arg(ps, &args) && parse_accept(ps, ',')) continue;
    if (!parse_expect(ps, ')') || !parse_expect(ps, '(')) return false;
    while (!parse_is(ps, ')') && read_field(ps, &fields) && parse_accept(ps, ',')) continue;
    if (!parse_expect(ps, ')') || !parse_place(ps, &d.span)) return false;
    d.arg = args.at;
    d.narg = (int)args.n;
    d.field = fields.at;
    d.nfield = (int)fields.n;
    vec_push(ps->arena, &r->data, d);
    return true;
}

static bool read_tokenizer(Reader *r) {
    TokenizerSpec t = {0};
    Span at = r->ps.tok.span;
    if (!parse_record(&r->ps, &tokenizer_record, &t) || !parse_place(&r->ps, &t.span)) return false;
    if (!t.name || !t.kind || !t.path || !t.from)
        return parse_error(&r->ps, at, "a tokenizer has all its strings");
    vec_push(r->ps.arena, &r->tokenizer, t);
    return true;
}

static bool read_string(Parser *ps, Strings *to) {
    const char *s = "";
    bool ok = parse_str(ps, &s);
    vec_push(ps->arena, to, s);
    return ok;
}

static bool read_rename(Parser *ps, Strings *from, Strings *to) {
    return read_string(ps, from) && parse_expect(ps, '=') && read_string(ps, to);
}

static bool read_load(Reader *r) {
    Parser *ps = &r->ps;
    LoadSpec l = {0};
    Strings part = {0}, from = {0}, to = {0};
    if (!parse_str(ps, &l.file) || !parse_expect(ps, '(')) return false;
    while (!parse_is(ps, ')') && read_string(ps, &part) && parse_accept(ps, ',')) continue;
    if (!parse_expect(ps, ')') || !parse_expect(ps, '(')) return false;
    while (!parse_is(ps, ')') && read_rename(ps, &from, &to) && parse_accept(ps, ',')) continue;
    if (!parse_expect(ps, ')') || !parse_place(ps, &l.span)) return false;
    l.part = part.at;
    l.npart = (int)part.n;
    l.from = from.at;
    l.to = to.at;
    l.nrename = (int)from.n;
    vec_push(ps->arena, &r->load, l);
    return true;
}

static bool read_tensor(Reader *r) {
    Parser *ps = &r->ps;
    Tensor t = {0};
    int kind;
    if (!parse_word(ps, tensor_kind_names, TENSOR_KINDS, "a kind of tensor", &kind) ||
        !parse_str(ps, &t.name) || !parse_expect(ps, ':') || !parse_type(ps, &t.type) ||
        !parse_record(ps, &tensor_record, &t) || !parse_place(ps, &t.span))
        return false;
    t.kind = (TensorKind)kind;
    program_add_tensor(r->p, &t);
    return true;
}

static bool read_entry(Reader *r) {
    Parser *ps = &r->ps;
    Entry e = {0};
    int kind;
    Span at = ps->tok.span;
    if (!parse_word(ps, entry_kind_names, ENTRY_KINDS, "a kind of entry", &kind) ||
        !parse_record(ps, &entry_record, &e) || !parse_place(ps, &e.span))
        return false;
    if (!e.name) return parse_error(ps, at, "an entry has a name");
    e.kind = (EntryKind)kind;
    for (int i = 0; i < ENTRY_GRAPHS; i++)
        if (parse_accept_word(ps, entry_graph_names[i]) && !(e.graph[i] = parse_graph(ps, 0)))
            return false;
    vec_push(ps->arena, &r->entry, e);
    return !ps->failed;
}

static bool read_init(Reader *r) {
    if (r->p->init) return parse_error(&r->ps, r->ps.tok.span, "a program has one init graph");
    return (r->p->init = parse_graph(&r->ps, 0)) != NULL;
}

static bool read_call(Reader *r) {
    const char *name;
    Span at;
    if (!parse_str(&r->ps, &name) || !parse_place(&r->ps, &at)) return false;
    vec_push(r->ps.arena, &r->ps.call, diag_add_call(r->ps.diag, name, at));
    return true;
}

static bool read_run(Reader *r) {
    return parse_record(&r->ps, &run_record, &r->p->spec.run);
}

static bool read_part(Reader *r) {
    static const struct {
        const char *word;
        bool (*read)(Reader *);
    } part[] = {{"call", read_call}, {"run", read_run},    {"tokenizer", read_tokenizer},
                {"data", read_data}, {"load", read_load},  {"tensor", read_tensor},
                {"init", read_init}, {"entry", read_entry}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (parse_accept_word(&r->ps, part[i].word)) return part[i].read(r);
    return parse_error(&r->ps, r->ps.tok.span,
                       "expected call, run, tokenizer, data, load, tensor, init or entry");
}

static bool read_header(Reader *r) {
    if (!parse_accept_word(&r->ps, "program"))
        return parse_error(&r->ps, r->ps.tok.span, "expected 'program'");
    r->p->stage = 0;
    for (int i = 0; i < 4; i++)
        if (parse_accept_word(&r->ps, stage_names[i])) r->p->stage |= 1u << i;
    return !r->ps.failed;
}

Program *program_parse(Arena *a, Diag *d, const char *path, const char *text, size_t n) {
    Reader r = {.ps = {.lex = {a, text, n, 0, 1, 1}, .arena = a, .diag = d, .path = path},
                .p = program_new(a, d)};
    Parser *ps = &r.ps;
    parse_advance(ps);
    bool ok = read_header(&r);
    while (ok && ps->tok.kind != TOK_end) ok = read_part(&r);
    if (ps->failed) return NULL;
    Spec *s = &r.p->spec;
    s->tokenizer = r.tokenizer.at;
    s->ntokenizer = (int)r.tokenizer.n;
    s->data = r.data.at;
    s->ndata = (int)r.data.n;
    s->load = r.load.at;
    s->nload = (int)r.load.n;
    r.p->entry = r.entry.at;
    r.p->nentry = r.entry.n;
    r.p->entrycap = r.entry.cap;
    return r.p;
}
