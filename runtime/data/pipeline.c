/* Pipelines: the chain of stages from a source to rows. Pictures are rows from the start. A
 * text is encoded first, whole, so that every stage knows how many documents there are; then each
 * stage of base/stages.def does its part here.
 *
 * Before rows are made, shuffle, split and take act on documents (a line of `lines` is one), and
 * the order of a shuffle there holds for the whole run; afterwards they act on records, and a
 * shuffle is new in each epoch. */
#include "runtime/data/internal.h"

#include <string.h>

/* Stages are distinguished by their depth, so that two shuffles differ. */
static uint64_t stage_key(const Pipeline *p, const DataSpec *d, int depth) {
    return random_key(p->seed, hash_str(d->stage, (uint64_t)depth));
}

static const View **current(Pipeline *p) {
    return p->records ? &p->records : &p->documents;
}

static const char *things(const Pipeline *p) {
    return p->records ? "records" : unit_things(p->corpus->unit);
}

/* ---- the stages */
static bool stage_opened(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)p, (void)d, (void)depth, (void)e; /* the source is there already, and encoded */
    return true;
}
#define stage_documents stage_opened
#define stage_lines stage_opened
#define stage_text stage_opened
#define stage_encode stage_opened
#define stage_idx stage_opened
#define stage_cifar stage_opened
#define stage_npy stage_opened
#define stage_csv stage_opened
#define stage_images stage_opened

static bool stage_resize(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)depth;
    Change c = {.h = spec_int(d, "height", 0), .w = spec_int(d, "width", 0)};
    return pictures_change(p, c, e);
}

static bool stage_grayscale(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)d, (void)depth;
    return pictures_change(p, (Change){.grey = true}, e);
}

static bool stage_split(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)depth;
    double share = spec_num(d, "share", 0);
    int64_t part = spec_int(d, "part", 0);
    if (!(share > 0 && share < 1))
        return err_set(e, "split needs a share between 0 and 1, not %g", share);
    if (part != 0 && part != 1)
        return err_set(e, "split has the parts 0 and 1, not %lld", (long long)part);
    const View *v = view_split(p->arena, *current(p), share, part, things(p), e);
    if (v) *current(p) = v;
    return v;
}

static bool stage_shuffle(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)e;
    *current(p) = view_shuffle(p->arena, *current(p), stage_key(p, d, depth));
    return true;
}

static bool stage_take(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    (void)depth;
    int64_t n = spec_int(d, "n", 0);
    if (n < 1)
        return err_set(e, "take needs at least 1 of the %s, not %lld", things(p), (long long)n);
    *current(p) = view_take(p->arena, *current(p), (uint64_t)n);
    return true;
}

/* What row stages share: `seq` within bounds, and documents still to make rows of. */
static bool begin_rows(Pipeline *p, const DataSpec *d, int depth, int64_t least, Err *e) {
    p->seq = spec_int(d, "seq", 0);
    p->key = stage_key(p, d, depth);
    if (p->records)
        return err_set(e, "%s needs token ids, but an earlier stage made records of them already",
                       d->stage);
    if (p->seq < least || p->seq > SEQ_MAX)
        return err_set(e, "%s needs a length from %lld to %d, not %lld", d->stage, (long long)least,
                       SEQ_MAX, (long long)p->seq);
    return true;
}

static bool stage_pad(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    return begin_rows(p, d, depth, 3, e) && rows_pad(p, e);
}

static bool stage_pack(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    if (!begin_rows(p, d, depth, 1, e)) return false;
    p->overlap = spec_int(d, "overlap", 0);
    p->boundaries = spec_int(d, "boundaries", 0);
    if (p->overlap < 0 || p->overlap >= p->seq)
        return err_set(e, "the overlap of windows of %lld is from 0 to %lld, not %lld",
                       (long long)p->seq, (long long)p->seq - 1, (long long)p->overlap);
    if (spec_int(d, "characters", 0)) p->characters = rows_characters(p);
    return rows_pack(p, e);
}

static bool stage_sentence_pairs(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    p->random = spec_num(d, "random", 0.5);
    if (!(p->random >= 0 && p->random <= 1))
        return err_set(e, "sentence_pairs needs random from 0 to 1, not %g", p->random);
    return begin_rows(p, d, depth, 5, e) && rows_pairs(p, e);
}

typedef struct Stage {
    const char *name;
    bool (*apply)(Pipeline *p, const DataSpec *d, int depth, Err *e);
} Stage;
static const Stage stages[] = {
#define STAGE(name, takes, args) {#name, stage_##name},
#include "base/stages.def"
#undef STAGE
};

static bool apply(Pipeline *p, const DataSpec *d, int depth, Err *e) {
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (str_eq(stages[i].name, d->stage)) return stages[i].apply(p, d, depth, e);
    return err_set(e, "there is no data stage '%s'", d->stage);
}

/* What makes other records of the same text. Which files it came from does not, and a vocabulary
 * shows in its ids. */
static uint64_t stage_hash(const DataSpec *d, uint64_t so_far) {
    uint64_t hash = hash_str(d->stage, so_far);
    for (int i = 0; i < d->narg; i++) {
        const SpecArg *a = &d->arg[i];
        if (a->kind != ARG_int && a->kind != ARG_float) continue;
        double v = a->kind == ARG_int ? (double)a->i : a->f;
        hash = hash_bytes(&v, sizeof v, hash_str(a->name, hash));
    }
    return hash;
}

/* ---- the chain */
typedef struct Chain {
    const DataSpec **at; /* source first */
    int n;
} Chain;

/* An input stands before what it feeds, so a chain ends; a program read from a file may be damaged.
 */
static bool find_chain(Arena *a, const Spec *spec, int data, Chain *out, Err *e) {
    VEC(const DataSpec *) up = {0};
    for (int i = data; i >= 0; i = spec->data[i].input) {
        if (i >= spec->ndata || spec->data[i].input >= i)
            return err_set(e, "the data pipelines of the program are damaged");
        vec_push(a, &up, &spec->data[i]);
    }
    *out = (Chain){NEW_N(a, const DataSpec *, up.n + 1), (int)up.n};
    for (int i = 0; i < out->n; i++) out->at[i] = up.at[out->n - 1 - i];
    return out->n || err_set(e, "the program has no such data");
}

static bool find_tokenizer(const PipelineOptions *o, const Chain *c, const Tokenizer **out,
                           Err *e) {
    for (int i = 0; i < c->n; i++) {
        if (!str_eq(c->at[i]->stage, "encode")) continue;
        const SpecArg *tok = spec_arg(c->at[i], "tok");
        if (!tok || tok->kind != ARG_tokenizer || tok->i < 0 || tok->i >= o->spec->ntokenizer)
            return err_set(e, "encode names no tokenizer");
        *out = o->tokenizer[tok->i];
        return true;
    }
    return err_set(
        e, "text has to become ids before a model can read it: add | encode(tok) to the data");
}

static bool open_corpus(const PipelineOptions *o, Pipeline *p, const Chain *c, Err *e) {
    const Tokenizer *t = NULL;
    Unit unit;
    const char *files = spec_str(c->at[0], "files", "");
    if (!unit_of(c->at[0]->stage, &unit))
        return err_set(e, "'%s' is no source of text", c->at[0]->stage);
    if (!find_tokenizer(o, c, &t, e)) return false;
    Corpus *s = o->share ? o->share->corpus : NULL;
    bool shared = s && str_eq(s->pattern, files) && s->unit == unit && s->tokenizer == t;
    p->corpus = shared ? corpus_share(s) : corpus_open(files, unit, t, e);
    if (!p->corpus) return false;
    p->special = tokenizer_ids(t);
    p->documents = view_all(p->arena, p->corpus->ndocument);
    return true;
}

static bool open_records(const PipelineOptions *o, Pipeline *p, const DataSpec *source, Err *e) {
    Records *t = o->share ? o->share->source : NULL;
    p->source = t && t->source == source ? records_share(t) : records_open(source, e);
    if (!p->source) return false;
    memcpy(p->field, p->source->field, sizeof p->field);
    p->nfield = p->source->nfield;
    p->records = view_all(p->arena, p->source->n);
    pictures_open(p);
    return true;
}

static bool open_source(const PipelineOptions *o, Pipeline *p, const Chain *c, Err *e) {
    return records_has(c->at[0]->stage) ? open_records(o, p, c->at[0], e) : open_corpus(o, p, c, e);
}

/* Shown at the stage that failed. */
static bool blame(const DataSpec *d, Err *e) {
    e->at = d->span;
    return false;
}

static bool build(const PipelineOptions *o, Pipeline *p, Err *e) {
    Chain c = {0};
    if (!find_chain(p->arena, o->spec, o->data, &c, e)) return false;
    if (!open_source(o, p, &c, e)) return blame(c.at[0], e);
    for (int i = 0; i < c.n; i++) {
        if (!apply(p, c.at[i], i, e)) return blame(c.at[i], e);
        p->stages = stage_hash(c.at[i], p->stages);
    }
    if (p->records) return true;
    err_set(e,
            "the data has no records of one length: end it with pad(seq) or sentence_pairs(seq)");
    return blame(c.at[c.n - 1], e);
}

bool pipeline_open(const PipelineOptions *o, Pipeline *p, Err *e) {
    *p = (Pipeline){.arena = arena_new(), .seed = o->seed, .table = store_new(STORE_BUDGET)};
    if (build(o, p, e)) return true;
    pipeline_close(p);
    return false;
}

void pipeline_close(Pipeline *p) {
    corpus_close(p->corpus);
    pictures_close(p);
    records_close(p->source);
    store_free(&p->table);
    arena_free(p->arena);
    *p = (Pipeline){.table = store_new(STORE_BUDGET)};
}

uint64_t pipeline_records(const Pipeline *p) {
    return p->records->n;
}

Got pipeline_row(const Pipeline *p, uint64_t epoch, uint64_t i, void *const out[FIELDS], Err *e) {
    uint64_t record = view_at(p->records, epoch, i);
    int32_t *ids[FIELDS];
    if (p->source) return pictures_row(p, record, out, e);
    for (int k = 0; k < FIELDS; k++) ids[k] = out[k];
    p->row(p, epoch, record, ids);
    return GOT_record;
}

const char *pipeline_files(const Pipeline *p) {
    return p->source ? p->source->files : p->corpus->pattern;
}

const char *pipeline_what(const Pipeline *p) {
    return p->source ? "data" : "text";
}

uint64_t pipeline_hash(const Pipeline *p) {
    return p->source ? p->source->hash : p->corpus->hash;
}

void pipeline_field(Pipeline *p, const char *name, int64_t dim, const char *dim_name) {
    CHECK(p->nfield < FIELDS);
    p->field[p->nfield++] = (Field){
        .name = name, .dtype = DT_i32, .rank = dim > 0, .dim = {dim}, .dim_name = {dim_name}};
}
