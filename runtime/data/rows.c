/* Rows of one length: `pad` makes one of each document (of `lines`: each line), `pack` cuts the
 * documents, laid end to end, into windows. Neither depends on the epoch. */
#include "runtime/data/internal.h"

static Stretch document_ids(const Pipeline *p, uint64_t i) {
    return corpus_ids(p->corpus, corpus_sentences(p->corpus, view_at(p->documents, 0, i)));
}

/* ---- pad: [CLS] ids [SEP], cut to `seq`, then [PAD]. Without [CLS] and [SEP] in the vocabulary,
 * the ids alone. */
static void pad_row(const Pipeline *p, uint64_t epoch, uint64_t i, int32_t *const out[FIELDS]) {
    (void)epoch;
    bool marks = p->special.cls >= 0 && p->special.sep >= 0;
    uint64_t room = (uint64_t)p->seq - (marks ? 2 : 0), at = 0;
    Stretch ids = document_ids(p, i);
    if (ids.n > room) ids.n = room;
    if (marks) out[0][at++] = (int32_t)p->special.cls;
    corpus_copy(p->corpus, ids, out[0] + at);
    at += ids.n;
    if (marks) out[0][at++] = (int32_t)p->special.sep;
    while (at < (uint64_t)p->seq) out[0][at++] = (int32_t)p->special.pad;
}

bool rows_pad(Pipeline *p, Err *e) {
    if (p->special.pad < 0) return err_set(e, "pad needs a vocabulary with the line [PAD]");
    p->records = view_all(p->arena, p->documents->n);
    p->row = pad_row;
    pipeline_field(p, "ids", p->seq, "seq");
    return true;
}

/* ---- pack: documents end to end, after each what ends one if there is such an id ([SEP], or
 * <|endoftext|>); what is left at the end is not used. Windows may share their last ids with the
 * next one's first, and say which document each id is of. */
static uint64_t pack_ends(const Pipeline *p, uint64_t document) {
    return ((const uint64_t *)(const void *)p->table.at)[document];
}

/* The document that holds position `at` of the whole. */
static uint64_t pack_document(const Pipeline *p, uint64_t at) {
    uint64_t low = 0, high = p->documents->n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (pack_ends(p, middle) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where a document and what ends it go on from position `at` of the whole. */
static uint64_t pack_skip(const Pipeline *p, uint64_t document, uint64_t at) {
    return at - (document ? pack_ends(p, document - 1) : 0);
}

static void pack_row(const Pipeline *p, uint64_t epoch, uint64_t i, int32_t *const out[FIELDS]) {
    (void)epoch;
    uint64_t at = i * (uint64_t)(p->seq - p->overlap), done = 0;
    int32_t number = 0; /* of the document in this row */
    for (uint64_t document = pack_document(p, at); done < (uint64_t)p->seq; document++, number++) {
        Stretch ids = document_ids(p, document);
        uint64_t skip = pack_skip(p, document, at + done), room = (uint64_t)p->seq - done,
                 start = done, n = ids.n > skip ? ids.n - skip : 0;
        if (n > room) n = room;
        corpus_copy(p->corpus, (Stretch){ids.first + skip, n}, out[0] + done);
        done += n;
        if (n < room && p->special.end >= 0) out[0][done++] = (int32_t)p->special.end;
        for (uint64_t k = start; p->boundaries && k < done; k++) out[1][k] = number;
    }
    int32_t *characters = out[1 + p->boundaries];
    for (int64_t k = 0; p->characters && k < p->seq; k++) characters[k] = p->characters[out[0][k]];
}

const int32_t *rows_characters(Pipeline *p) {
    int32_t *count = NEW_N(p->arena, int32_t, p->special.size + 1);
    for (int32_t id = 0; id < p->special.size; id++)
        count[id] = tokenizer_characters(p->corpus->tokenizer, id);
    return count;
}

bool rows_pack(Pipeline *p, Err *e) {
    uint64_t end = 0;
    for (uint64_t i = 0; i < p->documents->n; i++) {
        end += document_ids(p, i).n + (p->special.end >= 0);
        if (!store_put(&p->table, &end, sizeof end, e)) return false;
    }
    if (end < (uint64_t)p->seq)
        return err_set(
            e,
            "the text has %llu ids, fewer than one window of %lld; use a shorter one or more text",
            (unsigned long long)end, (long long)p->seq);
    p->records = view_all(p->arena, 1 + (end - (uint64_t)p->seq) / (uint64_t)(p->seq - p->overlap));
    p->row = pack_row;
    pipeline_field(p, "ids", p->seq, "seq");
    if (p->boundaries) pipeline_field(p, "document", p->seq, "seq");
    if (p->characters) pipeline_field(p, "characters", p->seq, "seq");
    return store_finish(&p->table, e);
}
