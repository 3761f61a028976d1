/* Tokenizers and data pipelines: the typing of each stage of base/stages.def. A pipeline is a chain
 * of DataSpecs, each knowing the fields of its records once these have a fixed shape. */
#include "frontend/decl.h"

#include <string.h>

typedef enum Takes { TAKES_SOURCE, TAKES_TEXT, TAKES_IDS, TAKES_ROWS, TAKES_ANY } Takes;
typedef struct Build { /* one stage under construction */
    DataDecl d;
    const char *seq_name; /* how messages name the argument `seq` */
    Span at;
} Build;
typedef struct Stage {
    const char *name;
    Takes takes;
    const char *args; /* "seq, random?" */
    bool (*type)(Elab *cx, Build *b);
} Stage;

/* ---- the fields that each stage yields */
static void add_field(Elab *cx, Build *b, const char *name, int rank, int64_t size) {
    DataSpec *s = &b->d.spec;
    Field *f = NEW_N(cx->arena, Field, s->nfield + 1);
    if (s->nfield) memcpy(f, s->field, sizeof *f * (size_t)s->nfield);
    f[s->nfield] = (Field){
        .name = name, .dtype = DT_i32, .rank = rank, .dim = {size}, .dim_name = {b->seq_name}};
    s->field = f;
    s->nfield++;
}

static bool check_seq(Elab *cx, Build *b, int64_t least) {
    int64_t seq = spec_int(&b->d.spec, "seq", 0);
    if (seq >= least && seq <= 1 << 20) return true;
    return report_error(cx, b->at, "%s takes a length of %lld to %d, not %lld", b->d.spec.stage,
                        (long long)least, 1 << 20, (long long)seq);
}

static bool type_text(Elab *cx, Build *b) {
    (void)cx;
    b->d.kind = DATA_text;
    return true;
}
#define type_documents type_text
#define type_lines type_text

static bool type_encode(Elab *cx, Build *b) {
    (void)cx;
    b->d.kind = DATA_ids;
    return true;
}

static bool type_rows(Elab *cx, Build *b) {
    if (!check_seq(cx, b, 1)) return false;
    b->d.kind = DATA_rows;
    add_field(cx, b, "ids", 1, spec_int(&b->d.spec, "seq", 0));
    return true;
}

/* The vocabulary of the ids that come in. */
static const TokenizerDecl *vocabulary_of(Elab *cx, const Build *b) {
    for (int i = b->d.spec.input; i >= 0; i = cx->decls->data.at[i].spec.input) {
        const SpecArg *tok = spec_arg(&cx->decls->data.at[i].spec, "tok");
        if (tok) return &cx->decls->tokenizer.at[tok->i];
    }
    BUG("ids of no vocabulary");
}

static bool type_pad(Elab *cx, Build *b) {
    if (vocabulary_of(cx, b)->info.pad >= 0) return type_rows(cx, b);
    report_error(cx, b->at, "pad fills up with tok.pad, and this vocabulary has none");
    diag_hint(cx->diag, "| pack(seq) puts texts end to end");
    return false;
}

/* Words lose their blanks and capitals, so nothing says how much of the text they stand for. */
static bool check_characters(Elab *cx, const Build *b) {
    if (!str_eq(vocabulary_of(cx, b)->spec.kind, "wordpiece")) return true;
    report_error(cx, b->at,
                 "characters can be counted where texts come back as they were, and of "
                 "wordpiece they do not");
    diag_hint(cx->diag, "bpe(...), characters(...) or bytes()");
    return false;
}

static bool type_pack(Elab *cx, Build *b) {
    if (!type_rows(cx, b)) return false;
    int64_t seq = spec_int(&b->d.spec, "seq", 0), overlap = spec_int(&b->d.spec, "overlap", 0);
    if (overlap < 0 || overlap >= seq)
        return report_error(cx, b->at, "the overlap of windows of %lld is from 0 to %lld, not %lld",
                            (long long)seq, (long long)seq - 1, (long long)overlap);
    if (spec_int(&b->d.spec, "boundaries", 0)) add_field(cx, b, "document", 1, seq);
    if (!spec_int(&b->d.spec, "characters", 0)) return true;
    add_field(cx, b, "characters", 1, seq);
    return check_characters(cx, b);
}

static bool type_share(Elab *cx, Build *b, const char *name, bool open) {
    const SpecArg *a = spec_arg(&b->d.spec, name);
    if (!a || (a->f >= 0 && a->f <= 1 && !(open && (a->f == 0 || a->f == 1)))) return true;
    return report_error(cx, b->at, "%s is a share between 0 and 1, not %g", name, a->f);
}

/* Sources whose files say what their records are; without a host (tests) they are small pictures.
 */
static bool type_records(Elab *cx, Build *b) {
    static const Field usual[] = {{.name = "image", .dtype = DT_u8, .rank = 3, .dim = {28, 28, 1}},
                                  {.name = "label", .dtype = DT_i32}};
    DataSpec *s = &b->d.spec;
    Err e = {0};
    b->d.kind = DATA_rows;
    if (cx->host && cx->host->fields)
        return cx->host->fields(cx->host->cx, s, &e) || report_error(cx, b->at, "%s", e.msg);
    s->field = arena_memdup(cx->arena, usual, sizeof usual);
    s->nfield = sizeof usual / sizeof *usual;
    return true;
}
#define type_idx type_records
#define type_cifar type_records
#define type_npy type_records
#define type_csv type_records
#define type_images type_records

/* The image of the records, of one or three channels, in a field of its own to change. */
static Field *image_of(Elab *cx, Build *b) {
    DataSpec *s = &b->d.spec;
    s->field = arena_memdup(cx->arena, s->field, (size_t)s->nfield * sizeof *s->field);
    for (int i = 0; i < s->nfield; i++) {
        Field *f = &s->field[i];
        bool picture = str_eq(f->name, "image") && f->dtype == DT_u8 && f->rank == 3;
        if (picture && (f->dim[2] == 1 || f->dim[2] == 3)) return f;
    }
    report_error(cx, b->at,
                 "%s takes pictures: records with an image: u8[h, w, c] of 1 or 3 channels",
                 s->stage);
    return NULL;
}

static bool type_resize(Elab *cx, Build *b) {
    int64_t h = spec_int(&b->d.spec, "height", 0), w = spec_int(&b->d.spec, "width", 0);
    if (h < 1 || w < 1 || h > RESIZE_MAX || w > RESIZE_MAX)
        return report_error(cx, b->at,
                            "resize takes a height and a width from 1 to %d, not %lld and %lld",
                            RESIZE_MAX, (long long)h, (long long)w);
    Field *f = image_of(cx, b);
    if (f) f->dim[0] = h, f->dim[1] = w;
    return f;
}

static bool type_grayscale(Elab *cx, Build *b) {
    Field *f = image_of(cx, b);
    if (f) f->dim[2] = 1;
    return f;
}

/* [CLS] a [SEP] b [SEP], of which each sentence has at least one piece. */
static bool type_sentence_pairs(Elab *cx, Build *b) {
    const TokenizerInfo *v = &vocabulary_of(cx, b)->info;
    if (v->pad < 0 || v->cls < 0 || v->sep < 0)
        return report_error(cx, b->at,
                            "sentence_pairs needs a vocabulary with [CLS], [SEP] and [PAD]");
    if (!check_seq(cx, b, 5) || !type_share(cx, b, "random", false)) return false;
    int64_t seq = spec_int(&b->d.spec, "seq", 0);
    b->d.kind = DATA_rows;
    add_field(cx, b, "ids", 1, seq);
    add_field(cx, b, "segment", 1, seq);
    add_field(cx, b, "next", 0, 0);
    return true;
}

static bool type_split(Elab *cx, Build *b) {
    return type_share(cx, b, "share", true);
}

static bool type_shuffle(Elab *cx, Build *b) {
    (void)cx, (void)b;
    return true;
}

static bool type_take(Elab *cx, Build *b) {
    int64_t n = spec_int(&b->d.spec, "n", 0);
    return n >= 1 ||
           report_error(cx, b->at, "take(n) keeps at least 1 record, not %lld", (long long)n);
}

static const Stage stage_table[] = {
#define STAGE(name, takes, args) {#name, TAKES_##takes, args, type_##name},
#include "base/stages.def"
#undef STAGE
};
enum { STAGES = sizeof stage_table / sizeof *stage_table };

/* Stages that the language has and this version has not. */
static const char *const later[] = {
    "jsonl", "tsv",        "conll",      "squad_json", "spans", "align",  "audio",  "crop",
    "table", "read_image", "read_audio", "boxes",      "mix",   "filter", "dedupe", "cache",
};

static const Stage *find_stage(Elab *cx, const char *name, Span at) {
    const char *names[STAGES];
    for (size_t i = 0; i < STAGES; i++) {
        names[i] = stage_table[i].name;
        if (str_eq(names[i], name)) return &stage_table[i];
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (!str_eq(later[i], name)) continue;
        report_error(cx, at, "this version does not carry the data stage '%s'", name);
        return NULL;
    }
    report_error(cx, at, "unknown data stage '%s'", name);
    suggest(cx, name, names, STAGES);
    return NULL;
}

/* ---- arguments */
typedef struct ArgType {
    const char *name;
    ArgKind kind;
} ArgType;
static const ArgType arg_types[] = {
    {"files", ARG_str},   {"tok", ARG_tokenizer}, {"seq", ARG_int},    {"random", ARG_float},
    {"share", ARG_float}, {"n", ARG_int},         {"images", ARG_str}, {"labels", ARG_str},
    {"height", ARG_int},  {"width", ARG_int},     {"label", ARG_str},  {"dir", ARG_str},
};

/* The arguments that a program may give, as parameters; `part` is set by `split` itself. */
static void form_params(Elab *cx, const char *form, const Expr *absent, ParamDecls *out) {
    for (const char *p = form; *p;) {
        size_t n = strcspn(p, "?, ");
        ParamDecl d = {.name = arena_strndup(cx->arena, p, n)};
        if (p[n] == '?') d.value = (Expr *)absent;
        p += n;
        p += strspn(p, "?, ");
        if (!str_eq(d.name, "part")) vec_push(cx->arena, out, d);
    }
}

static bool flag_arg(Elab *cx, const char *what, const Val *v, Span at, int64_t *out) {
    *out = v->kind == VAL_bool && v->b;
    return v->kind == VAL_bool ||
           report_error(cx, at, "%s must be true or false, not %s", what, val_describe(cx, v));
}

static bool convert_arg(Elab *cx, const char *stage, const char *name, const Val *v, Span at,
                        SpecArg *out) {
    const char *what = arena_printf(cx->arena, "'%s' of %s", name, stage);
    ArgKind kind = ARG_int;
    for (size_t i = 0; i < sizeof arg_types / sizeof *arg_types; i++)
        if (str_eq(arg_types[i].name, name)) kind = arg_types[i].kind;
    *out = (SpecArg){.name = name, .kind = kind};
    if (str_eq(name, "skip_broken") || str_eq(name, "boundaries") || str_eq(name, "characters"))
        return flag_arg(cx, what, v, at, &out->i);
    switch (kind) {
    case ARG_int: return val_int(cx, v, what, at, &out->i);
    case ARG_float: return val_num(cx, v, what, at, &out->f);
    case ARG_str:
        if (v->kind != VAL_str)
            return report_error(cx, at, "%s must be a string, not %s", what, val_describe(cx, v));
        out->s = v->s;
        return true;
    case ARG_tokenizer:
        if (v->kind != VAL_tokenizer)
            return report_error(cx, at, "%s must be a tokenizer, not %s", what,
                                val_describe(cx, v));
        out->i = v->index;
        return true;
    }
    return false;
}

static bool eval_args(Elab *cx, Scope *s, const Expr *call, CallArg **out, int *n) {
    *n = call->kind == EXPR_call ? (int)call->call.arg.n : 0;
    *out = NEW_N(cx->arena, CallArg, *n + 1);
    for (int i = 0; i < *n; i++) {
        const Arg *a = &call->call.arg.at[i];
        (*out)[i] = (CallArg){.name = a->name, .span = a->value->span};
        if (!eval_expr(cx, s, a->value, &(*out)[i].val)) return false;
    }
    return true;
}

static bool stage_args(Elab *cx, Scope *s, const Stage *st, const Expr *call, Build *b) {
    static const Expr absent = {.kind = EXPR_none};
    ParamDecls param = {0};
    CallArg *arg;
    int n;
    form_params(cx, st->args, &absent, &param);
    const CallArg **slot = NEW_N(cx->arena, const CallArg *, param.n + 1);
    if (!eval_args(cx, s, call, &arg, &n) ||
        !args_match(cx, st->name, &param, arg, n, call->span, slot))
        return false;
    b->d.spec.arg = NEW_N(cx->arena, SpecArg, param.n + 1);
    for (size_t i = 0; i < param.n; i++) {
        if (!slot[i]) continue;
        SpecArg *to = &b->d.spec.arg[b->d.spec.narg++];
        if (!convert_arg(cx, st->name, param.at[i].name, &slot[i]->val, slot[i]->span, to))
            return false;
        if (str_eq(to->name, "seq")) b->seq_name = slot[i]->val.dim;
    }
    return true;
}

/* ---- pipelines */
static bool check_takes(Elab *cx, const Stage *st, const DataDecl *left, Span at) {
    static const char *const yields[] = {"text", "token ids of any length",
                                         "records of fixed fields"};
    if (!left) {
        if (st->takes == TAKES_SOURCE) return true;
        return report_error(
            cx, at, "'%s' is a stage: it needs data in front of it, as in documents(files) | %s",
            st->name, st->name);
    }
    if (st->takes == TAKES_SOURCE)
        return report_error(cx, at, "'%s' is a source: it stands at the beginning of a pipeline",
                            st->name);
    if (st->takes == TAKES_ANY || (int)st->takes - TAKES_TEXT == (int)left->kind) return true;
    diag_error(cx->diag, at, "'%s' takes %s, and gets %s", st->name, yields[st->takes - TAKES_TEXT],
               yields[left->kind]);
    diag_note(cx->diag, left->spec.span, "'%s' gives %s", left->spec.stage, yields[left->kind]);
    if (st->takes == TAKES_IDS && left->kind == DATA_text)
        diag_hint(cx->diag, "| encode(tok) comes before it");
    return report_calls(cx);
}

static Val add_data(Elab *cx, const Build *b) {
    Decls *d = cx->decls;
    vec_push(cx->arena, &d->data, b->d);
    return (Val){.kind = VAL_data, .span = b->at, .index = (int)d->data.n - 1};
}

/* split gives two pipelines that differ in `part`. */
static Val add_split(Elab *cx, Build *b) {
    Val v = {.kind = VAL_tuple, .span = b->at, .list = {.at = NEW_N(cx->arena, Val, 2), .n = 2}};
    SpecArg share = b->d.spec.arg[0];
    for (int part = 0; part < 2; part++) {
        b->d.spec.arg = NEW_N(cx->arena, SpecArg, 2);
        b->d.spec.narg = 2;
        b->d.spec.arg[0] = share;
        b->d.spec.arg[1] = (SpecArg){.name = "part", .kind = ARG_int, .i = part};
        v.list.at[part] = add_data(cx, b);
    }
    return v;
}

static const char *stage_name(const Expr *e) {
    const Expr *name = e->kind == EXPR_call ? e->call.fn : e;
    return name->kind == EXPR_name ? name->name : NULL;
}

static bool apply_stage(Elab *cx, Scope *s, int input, const Expr *e, Val *out) {
    const char *name = stage_name(e);
    *out = val_error();
    if (!name)
        return report_error(cx, e->span,
                            "a stage of a pipeline is a name with arguments, as in | pad(128)");
    const Stage *st = find_stage(cx, name, e->span);
    const DataDecl *left = input >= 0 ? &cx->decls->data.at[input] : NULL;
    Build b = {.at = e->span, .d.spec = {.stage = name, .input = input, .span = e->span}};
    if (!st || !check_takes(cx, st, left, e->span)) return false;
    if (left) {
        b.d.kind = left->kind;
        if (left->kind == DATA_rows)
            b.d.spec.field = left->spec.field, b.d.spec.nfield = left->spec.nfield;
    }
    if (!stage_args(cx, s, st, e, &b) || !st->type(cx, &b)) return false;
    *out = str_eq(name, "split") ? add_split(cx, &b) : add_data(cx, &b);
    return true;
}

bool data_pipe(Elab *cx, Scope *s, const Val *left, const Expr *stage, Val *out) {
    *out = val_error();
    if (left->kind == VAL_error) return false;
    if (left->kind == VAL_tuple) {
        report_error(cx, stage->span, "split gives two pipelines: name both before going on");
        diag_hint(cx->diag, "data (kept, held) = ... | split(0.99)");
        return false;
    }
    if (left->kind != VAL_data)
        return report_error(cx, stage->span, "a stage needs data in front of it, not %s",
                            val_describe(cx, left));
    return apply_stage(cx, s, left->index, stage, out);
}

/* A pipeline; its source is a name that the file itself does not bind. */
static bool eval_pipeline(Elab *cx, Scope *s, const Expr *e, Val *out) {
    if (e->kind == EXPR_binary && e->binary.op == BIN_pipe) {
        Val left;
        return eval_pipeline(cx, s, e->binary.left, &left) &&
               data_pipe(cx, s, &left, e->binary.right, out);
    }
    if (e->kind == EXPR_call && stage_name(e) && !scope_find(s, stage_name(e)))
        return apply_stage(cx, s, -1, e, out);
    return eval_expr(cx, s, e, out);
}

static bool is_data(const Val *v) {
    if (v->kind != VAL_tuple) return v->kind == VAL_data;
    for (int i = 0; i < v->list.n; i++)
        if (v->list.at[i].kind != VAL_data) return false;
    return true;
}

bool do_data(Elab *cx, Exec *x, const Stmt *s) {
    Val v;
    const Expr *e = s->assign.value;
    if (!eval_pipeline(cx, x->scope, e, &v)) return false;
    if (!is_data(&v))
        return report_error(cx, e->span, "`data` takes a pipeline, not %s", val_describe(cx, &v));
    if (v.kind == VAL_tuple && s->assign.ntarget == 1) {
        report_error(cx, s->assign.target[0].span,
                     "split gives two pipelines, and there is one name");
        diag_hint(cx->diag, "data (%s, held) = ...", s->assign.target[0].name);
        return false;
    }
    return assign_value(cx, x, s->assign.target, s->assign.ntarget, v, e->span);
}

/* ---- tokenizers */
static const struct {
    const char *name, *args;
} tokenizers[] = {{"wordpiece", "file, size?, from?"},
                  {"bpe", "file, merges, size?, from?"},
                  {"characters", "file?, size?, from?"},
                  {"bytes", ""}};
enum { TOKENIZERS = sizeof tokenizers / sizeof *tokenizers };

/* Its arguments as base/stages.def writes those of stages; NULL: reported. */
static const char *tokenizer_form(Elab *cx, const char *kind, Span at) {
    const char *known[TOKENIZERS];
    for (size_t i = 0; i < TOKENIZERS; i++) {
        if (str_eq(kind, tokenizers[i].name)) return tokenizers[i].args;
        known[i] = tokenizers[i].name;
    }
    if (str_eq(kind, "unigram"))
        report_error(cx, at, "this version does not carry the tokenizer '%s'", kind);
    else
        report_error(cx, at, "unknown tokenizer '%s'", kind);
    suggest(cx, kind, known, TOKENIZERS);
    return NULL;
}

static bool string_arg(Elab *cx, const CallArg *a, const char *what, const char **out) {
    if (a->val.kind != VAL_str)
        return report_error(cx, a->span, "%s must be a string, not %s", what,
                            val_describe(cx, &a->val));
    *out = a->val.s;
    return true;
}

static bool vocabulary_size(Elab *cx, const CallArg *a, int64_t *size) {
    if (!val_int(cx, &a->val, "the size of a vocabulary", a->span, size)) return false;
    if (*size >= 0 && *size <= INT32_MAX) return true;
    return report_error(cx, a->span, "a vocabulary cannot have %lld entries", (long long)*size);
}

static bool tokenizer_arg(Elab *cx, const char *name, const CallArg *a, TokenizerSpec *t) {
    if (str_eq(name, "size")) return vocabulary_size(cx, a, &t->size);
    if (str_eq(name, "from")) return string_arg(cx, a, "'from'", &t->from);
    if (str_eq(name, "merges")) return string_arg(cx, a, "the file of merges", &t->merges);
    return string_arg(cx, a, "the file of a vocabulary", &t->path);
}

static bool tokenizer_args(Elab *cx, Scope *s, const Expr *e, const char *form, TokenizerSpec *t) {
    static const Expr absent = {.kind = EXPR_none};
    ParamDecls param = {0};
    CallArg *arg;
    int n;
    form_params(cx, form, &absent, &param);
    const CallArg **slot = NEW_N(cx->arena, const CallArg *, param.n + 1);
    if (!eval_args(cx, s, e, &arg, &n) || !args_match(cx, t->kind, &param, arg, n, e->span, slot))
        return false;
    for (size_t i = 0; i < param.n; i++)
        if (slot[i] && !tokenizer_arg(cx, param.at[i].name, slot[i], t)) return false;
    return true;
}

/* Without a host (tests), and where the host makes none, a vocabulary is as large as asked for, its
 * special entries first as in BERT's own. */
static bool tokenizer_open_host(Elab *cx, TokenizerDecl *t, Span at) {
    const FrontendHost *host = cx->host;
    Err e = {0};
    if (host && host->tokenizer && !host->tokenizer(host->cx, &t->spec, &t->info, &e))
        return report_error(cx, at, "%s", e.msg);
    if (t->info.size) return true;
    t->info = (TokenizerInfo){.size = t->spec.size ? t->spec.size : 261,
                              .unk = 1,
                              .cls = 2,
                              .sep = 3,
                              .mask = 4,
                              .end = 3};
    return true;
}

bool do_tokenizer(Elab *cx, Exec *x, const Stmt *s) {
    const Expr *e = s->assign.value;
    const char *kind = stage_name(e);
    if (!kind || e->kind != EXPR_call)
        return report_error(
            cx, e->span,
            "a tokenizer is wordpiece(\"vocab.txt\", size, from = \"*.txt\") or bytes()");
    TokenizerDecl t = {.spec = {.name = s->assign.target[0].name,
                                .kind = kind,
                                .path = "",
                                .merges = "",
                                .from = "",
                                .span = s->span}};
    const char *form = tokenizer_form(cx, kind, e->span);
    if (!form || !tokenizer_args(cx, x->scope, e, form, &t.spec)) return false;
    if (!tokenizer_open_host(cx, &t, e->span)) return false;
    t.spec.hash = t.info.hash;
    vec_push(cx->arena, &cx->decls->tokenizer, t);
    Val v = {.kind = VAL_tokenizer, .span = s->span, .index = (int)cx->decls->tokenizer.n - 1};
    return assign_value(cx, x, s->assign.target, s->assign.ntarget, v, e->span);
}
