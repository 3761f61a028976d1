/* Sentence pairs for next-sentence prediction (Devlin et al. 2018, section 3.1 and appendix A.2): a
 * row is [CLS] A [SEP] B [SEP], where B either follows A in its document (next = 0) or comes from
 * another one (next = 1).
 *
 * Neighbouring sentences are packed until they fill a row (one row in ten aims at a random shorter
 * length); a pack is a record. Packs are made once and hold two sentences or more wherever the
 * document has two, the last ones overlapping if need be: so the number of records is known and the
 * same in every epoch. Where a pack is cut in A and B, whether B is replaced, by what, and at which
 * ends a pair too long is trimmed, is drawn anew in each epoch from (seed, epoch, record). A
 * document of one sentence always takes B from elsewhere; the other records make up for it, so that
 * `random` is the share among all. */
#include "runtime/data/internal.h"

typedef struct Pack {
    uint64_t first;    /* sentence */
    uint32_t document; /* place in the view of documents */
    uint32_t n, target;
} Pack;

typedef struct Draws { /* the random numbers of one record in one epoch */
    uint64_t key, epoch, next;
} Draws;

static uint32_t draw_below(Draws *d, uint64_t n) {
    return random_below(d->key, d->epoch, d->next++, (uint32_t)n);
}

static double draw_uniform(Draws *d) {
    return (double)random_uniform(d->key, d->epoch, d->next++);
}

/* ---- packing */
static uint32_t pack_target(Pipeline *p, uint64_t record) {
    static const double short_share = 0.1;
    Draws d = {hash_mix(p->key, record), UINT64_MAX, 0}; /* an epoch that never comes */
    uint32_t most = (uint32_t)p->seq - 3;
    return draw_uniform(&d) < short_share ? 2 + draw_below(&d, most - 1) : most;
}

static bool pack_document(Pipeline *p, uint32_t document, uint64_t *records, uint64_t *single,
                          Err *e) {
    Stretch all = corpus_sentences(p->corpus, view_at(p->documents, 0, document));
    if (all.n == 1 && p->random == 0) return true;
    uint64_t at = all.first, end = all.first + all.n;
    while (at < end) {
        Pack k = {.first = at, .document = document, .target = pack_target(p, *records)};
        for (uint64_t length = 0; at < end && (k.n < 2 || length < k.target); at++, k.n++)
            length += corpus_ids(p->corpus, (Stretch){at, 1}).n;
        if (k.n == 1 && all.n > 1) k.first--, k.n++;
        *single += k.n == 1;
        ++*records;
        if (!store_put(&p->table, &k, sizeof k, e)) return false;
    }
    return true;
}

/* ---- one record */
static uint64_t at_most(uint64_t n, uint64_t most) {
    return n < most ? n : most;
}

/* Sentences of another document, from a random one on, enough for `target` ids. A corpus of a
 * single document gives its own, but never the true next ones. */
static Stretch elsewhere(const Pipeline *p, Draws *d, const Pack *k, uint64_t next,
                         uint64_t target) {
    uint64_t n = p->documents->n, own = k->document, document = own;
    if (n > 1) {
        document = draw_below(d, at_most(n, UINT32_MAX) - 1);
        document += document >= own;
    }
    Stretch all = corpus_sentences(p->corpus, view_at(p->documents, 0, document));
    bool avoid = document == own && all.n > 1 && next < all.first + all.n;
    uint64_t start = all.first + draw_below(d, at_most(all.n, UINT32_MAX) - avoid),
             end = all.first + all.n;
    start += avoid && start >= next;
    Stretch b = corpus_ids(p->corpus, (Stretch){start, 1});
    for (uint64_t s = start + 1; s < end && b.n < target; s++)
        b.n += corpus_ids(p->corpus, (Stretch){s, 1}).n;
    return b;
}

/* The longer one loses ids, at its front or its back by the toss of a coin, until both fit. */
static void trim(Draws *d, Stretch *a, Stretch *b, uint64_t most) {
    uint32_t coins = 0;
    for (uint64_t tossed = 0; a->n + b->n > most; tossed++) {
        if (tossed % 32 == 0) coins = random_bits(d->key, d->epoch, d->next++);
        Stretch *longer = a->n > b->n ? a : b;
        longer->first += coins & 1;
        longer->n--;
        coins >>= 1;
    }
}

static void write_row(const Pipeline *p, Stretch a, Stretch b, int32_t *ids, int32_t *segment) {
    uint64_t at = 0, second = a.n + 2, end = second + b.n + 1;
    ids[at++] = (int32_t)p->special.cls;
    corpus_copy(p->corpus, a, ids + at);
    ids[second - 1] = (int32_t)p->special.sep;
    corpus_copy(p->corpus, b, ids + second);
    ids[end - 1] = (int32_t)p->special.sep;
    for (at = end; at < (uint64_t)p->seq; at++) ids[at] = (int32_t)p->special.pad;
    for (at = 0; at < (uint64_t)p->seq; at++) segment[at] = at >= second && at < end;
}

static void pair_row(const Pipeline *p, uint64_t epoch, uint64_t i, int32_t *const out[FIELDS]) {
    const Pack *k = (const Pack *)(const void *)p->table.at + i;
    Draws d = {hash_mix(p->key, i), epoch, 0};
    uint64_t cut = k->n > 1 ? 1 + draw_below(&d, k->n - 1) : 1, next = k->first + cut;
    bool random = draw_uniform(&d) < p->random || k->n == 1;
    Stretch a = corpus_ids(p->corpus, (Stretch){k->first, cut}), b;
    if (random)
        b = elsewhere(p, &d, k, next, k->target > a.n ? k->target - a.n : 0);
    else
        b = corpus_ids(p->corpus, (Stretch){next, k->n - cut});
    trim(&d, &a, &b, (uint64_t)p->seq - 3);
    write_row(p, a, b, out[0], out[1]);
    *out[2] = random;
}

/* ---- the stage */
static bool no_pairs(const Pipeline *p, Err *e) {
    return err_set(
        e,
        "sentence_pairs found no document with two sentences in '%s'; write one sentence a line, "
        "with a blank line between documents, and read them with documents(...)",
        p->corpus->pattern);
}

bool rows_pairs(Pipeline *p, Err *e) {
    uint64_t records = 0, single = 0;
    if (p->special.cls < 0 || p->special.sep < 0 || p->special.pad < 0)
        return err_set(e,
                       "sentence_pairs needs a vocabulary with the lines [CLS], [SEP] and [PAD]");
    if (p->documents->n > UINT32_MAX)
        return err_set(e, "sentence_pairs takes at most 4294967295 documents; take(n) fewer");
    for (uint64_t i = 0; i < p->documents->n; i++)
        if (!pack_document(p, (uint32_t)i, &records, &single, e)) return false;
    if (records == single && p->random < 1) return no_pairs(p, e);
    double forced = (double)single / (double)records;
    if (p->random < 1) p->random = p->random > forced ? (p->random - forced) / (1 - forced) : 0;
    p->records = view_all(p->arena, records);
    p->row = pair_row;
    pipeline_field(p, "ids", p->seq, "seq");
    pipeline_field(p, "segment", p->seq, "seq");
    pipeline_field(p, "next", 0, NULL);
    return store_finish(&p->table, e);
}
