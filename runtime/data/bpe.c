/* The tokenizer `bpe`: byte-level byte-pair encoding with GPT-2's files, vocab.json (from pieces to
 * ids) and merges.txt (pairs of pieces, the first to be merged first).
 *
 * A word's pair of lowest rank is merged, the leftmost first, until none is left: neighbours stand
 * in a list, pairs that can merge in a heap, so a word of n bytes takes n log n. Words that merge
 * to a single piece are looked up whole. Read-only once loaded. */
#include "runtime/data/bpe.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <utf8proc.h>

#include "runtime/data/words.h"

typedef struct Merge {
    int32_t a, b, rank, made; /* made -1: a free slot */
} Merge;
typedef struct Bpe {
    Arena *arena;
    Splitter *splitter;
    const char *vocabulary, *merges; /* their names, for messages */
    int64_t n;
    const char **piece; /* by id: its bytes; those of the end of text as they are written */
    uint32_t *length;
    int32_t byte[BYTES];      /* the ids of single bytes */
    int32_t code[BYTE_CODES]; /* from characters to bytes; -1: it stands for none */
    Merge *merge;             /* open addressing, by pair */
    size_t slots;
    uint32_t *word; /* id + 1 of pieces that words can become, by bytes */
    size_t word_slots;
} Bpe;

/* ---- bytes as characters */
static bool is_seen(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

int32_t bpe_byte_code(int byte) {
    int32_t code = BYTES;
    if (is_seen(byte)) return byte;
    for (int i = 0; i < byte; i++) code += !is_seen(i);
    return code;
}

int32_t bpe_order(int id) {
    int seen = 0;
    for (int pass = 1; pass >= 0; pass--)
        for (int byte = 0; byte < BYTES; byte++)
            if (is_seen(byte) == (pass == 1) && seen++ == id) return byte;
    return -1;
}

/* The bytes that `written` stands for, appended; 0, or the character that stands for none. */
static int32_t read_bytes(const Bpe *b, const char *written, size_t n, Buf *out) {
    for (size_t at = 0, length; at < n; at += length) {
        int32_t c = 0;
        length = utf8_char(written, n, at, &c);
        if (!length || c >= BYTE_CODES || b->code[c] < 0) return length ? c : 0xFFFD;
        buf_put(out, &(char){(char)b->code[c]}, 1);
    }
    return 0;
}

/* ---- pieces by their bytes, and merges by pair */
static size_t slots_for(size_t n) {
    size_t slots = 64;
    while (slots < 2 * n) slots *= 2;
    return slots;
}

static uint32_t *word_slot(const Bpe *b, const char *p, size_t n) {
    size_t i = hash_bytes(p, n, 0) & (b->word_slots - 1);
    for (; b->word[i]; i = (i + 1) & (b->word_slots - 1)) {
        uint32_t id = b->word[i] - 1;
        if (b->length[id] == n && !memcmp(b->piece[id], p, n)) break;
    }
    return &b->word[i];
}

static Merge *merge_slot(const Bpe *b, int32_t x, int32_t y) {
    size_t i = hash_mix((uint64_t)x, (uint64_t)y) & (b->slots - 1);
    while (b->merge[i].made >= 0 && (b->merge[i].a != x || b->merge[i].b != y))
        i = (i + 1) & (b->slots - 1);
    return &b->merge[i];
}

/* ---- merging one word */
typedef struct Candidate {
    int32_t rank, a, b, made;
    uint32_t at;
} Candidate;
typedef struct Encoding {
    const Bpe *b;
    Ids *out;
    uint32_t cap, n, nheap; /* n: bytes of the word */
    int32_t *id;            /* by place; -1: merged into one before it */
    uint32_t *next, *before;
    Candidate *heap; /* at most two for each place */
} Encoding;

static void make_room(Encoding *e, size_t n) {
    CHECK(n < UINT32_MAX / 4);
    if (n <= e->cap) return;
    e->cap = (uint32_t)(n < 64 ? 64 : 2 * n);
    e->id = heap_resize(e->id, e->cap * sizeof *e->id);
    e->next = heap_resize(e->next, e->cap * sizeof *e->next);
    e->before = heap_resize(e->before, e->cap * sizeof *e->before);
    e->heap = heap_resize(e->heap, 3 * (size_t)e->cap * sizeof *e->heap);
}

static void encoding_free(Encoding *e) {
    heap_free(e->id);
    heap_free(e->next);
    heap_free(e->before);
    heap_free(e->heap);
}

static bool is_before(const Candidate *x, const Candidate *y) {
    return x->rank != y->rank ? x->rank < y->rank : x->at < y->at;
}

static void push_pair(Encoding *e, uint32_t at) {
    if (e->next[at] == e->n) return;
    const Merge *m = merge_slot(e->b, e->id[at], e->id[e->next[at]]);
    if (m->made < 0) return;
    Candidate c = {m->rank, m->a, m->b, m->made, at};
    uint32_t i = e->nheap++;
    for (; i && is_before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}

static Candidate pop_pair(Encoding *e) {
    Candidate top = e->heap[0], last = e->heap[--e->nheap];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < e->nheap; i = child) {
        if (child + 1 < e->nheap && is_before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!is_before(&e->heap[child], &last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

/* Whether both pieces of the pair still stand there. */
static bool is_there(const Encoding *e, const Candidate *c) {
    return e->id[c->at] == c->a && e->next[c->at] != e->n && e->id[e->next[c->at]] == c->b;
}

static void merge_at(Encoding *e, const Candidate *c) {
    uint32_t gone = e->next[c->at], next = e->next[gone];
    e->id[c->at] = c->made;
    e->id[gone] = -1;
    e->next[c->at] = next;
    if (next != e->n) e->before[next] = c->at;
    if (c->at) push_pair(e, e->before[c->at]);
    push_pair(e, c->at);
}

static void spell(Encoding *e, const char *word, size_t n) {
    make_room(e, n);
    e->n = (uint32_t)n;
    e->nheap = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        e->id[i] = e->b->byte[(unsigned char)word[i]];
        e->next[i] = i + 1;
        e->before[i] = i - 1;
    }
    for (uint32_t i = 0; i < e->n; i++) push_pair(e, i);
    while (e->nheap) {
        Candidate c = pop_pair(e);
        if (is_there(e, &c)) merge_at(e, &c);
    }
}

static void encode_word(void *cx, const char *word, size_t n) {
    Encoding *e = cx;
    uint32_t whole = *word_slot(e->b, word, n);
    if (whole) {
        ids_push(e->out, (int32_t)(whole - 1));
        return;
    }
    spell(e, word, n);
    for (uint32_t i = 0; i < e->n; i = e->next[i]) ids_push(e->out, e->id[i]);
}

/* ---- loading the vocabulary */
static bool check_id(const Bpe *b, const char *written, const json_t *value, Err *e) {
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= b->n)
        return err_set(e,
                       "%s: the id of '%.100s' is no number from 0 to %lld, one less than the "
                       "entries",
                       b->vocabulary, written, (long long)b->n - 1);
    if (b->piece[id])
        return err_set(e, "%s: '%.100s' has the id %lld, which another entry has too",
                       b->vocabulary, written, (long long)id);
    return true;
}

static bool add_piece(Bpe *b, const char *written, int32_t id, Err *e) {
    Buf bytes = {0};
    size_t n = strlen(written);
    bool end = str_eq(written, END_OF_TEXT);
    int32_t wrong = end ? 0 : read_bytes(b, written, n, &bytes);
    if (end) buf_put(&bytes, written, n);
    b->length[id] = (uint32_t)bytes.n;
    b->piece[id] = arena_memdup(b->arena, bytes.n ? bytes.data : "", bytes.n + 1);
    if (bytes.n == 1) b->byte[(unsigned char)*bytes.data] = id;
    buf_free(&bytes);
    if (!n) return err_set(e, "%s: the entry with the id %d is empty", b->vocabulary, id);
    return !wrong || err_set(e, "%s: '%.100s' has the character U+%04X, which stands for no byte",
                             b->vocabulary, written, (unsigned)wrong);
}

static bool add_pieces(Bpe *b, const json_t *object, Err *e) {
    const char *written;
    json_t *value;
    b->n = (int64_t)json_object_size(object);
    if (b->n > INT32_MAX) return err_set(e, "%s: the vocabulary is too large", b->vocabulary);
    b->piece = NEW_N(b->arena, const char *, b->n);
    b->length = NEW_N(b->arena, uint32_t, b->n);
    json_object_foreach(
        (json_t *)(uintptr_t)object, written,
        value) if (!check_id(b, written, value, e) ||
                   !add_piece(b, written, (int32_t)json_integer_value(value), e)) return false;
    for (int i = 0; i < BYTES; i++)
        if (b->byte[i] < 0)
            return err_set(e, "%s: there is no entry for the single byte 0x%02X", b->vocabulary,
                           (unsigned)i);
    return true;
}

static bool load_pieces(Bpe *b, const char *text, size_t n, Err *e) {
    json_error_t why;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    bool ok = root && json_is_object(root);
    if (!root)
        err_set(e, "%s:%d:%d: not a vocabulary in JSON: %s", b->vocabulary, why.line, why.column,
                why.text);
    else if (!ok)
        err_set(e, "%s: not a vocabulary: an object from pieces to ids, {\"the\": 262, ...}",
                b->vocabulary);
    else
        ok = add_pieces(b, root, e);
    json_decref(root);
    return ok;
}

/* ---- loading the merges */

/* The id of a piece as it is written in the merges. */
static bool find_piece(const Bpe *b, const Map *ids, const char *written, int line, int32_t *id,
                       Err *e) {
    uintptr_t found = (uintptr_t)map_get(ids, written);
    *id = (int32_t)found - 1;
    return found || err_set(e, "%s:%d: '%.100s' is no entry of '%s'", b->merges, line, written,
                            b->vocabulary);
}

static bool add_merge(Bpe *b, const Map *ids, char *text, int line, int32_t rank, Err *e) {
    char *blank = strchr(text, ' ');
    if (!blank || blank == text || !blank[1] || strchr(blank + 1, ' '))
        return err_set(e, "%s:%d: '%.100s' is not two pieces with a blank between them", b->merges,
                       line, text);
    const char *both = arena_printf(b->arena, "%.*s%s", (int)(blank - text), text, blank + 1);
    *blank = 0;
    Merge m = {.rank = rank};
    if (!find_piece(b, ids, text, line, &m.a, e) || !find_piece(b, ids, blank + 1, line, &m.b, e) ||
        !find_piece(b, ids, both, line, &m.made, e))
        return false;
    Merge *slot = merge_slot(b, m.a, m.b);
    if (slot->made >= 0)
        return err_set(e, "%s:%d: '%.100s' and '%.100s' are merged in an earlier line", b->merges,
                       line, text, blank + 1);
    *slot = m;
    return true;
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 1;
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    return lines;
}

/* A line that begins with #version is none; nor is an empty one at the end. */
static bool each_merge(Bpe *b, const Map *ids, char *text, Err *e) {
    int line = 1;
    int32_t rank = 0;
    for (char *end; text && *text; text = end, line++) {
        if ((end = strchr(text, '\n'))) *end++ = 0;
        size_t n = strlen(text);
        if (n && text[n - 1] == '\r') text[n - 1] = 0;
        if (line == 1 && str_starts(text, "#version")) continue;
        if (!add_merge(b, ids, text, line, rank++, e)) return false;
    }
    return true;
}

static void written_piece(const Bpe *b, int32_t id, Buf *out) {
    bool end = str_eq(b->piece[id], END_OF_TEXT);
    if (end) buf_puts(out, END_OF_TEXT);
    for (uint32_t i = 0; i < b->length[id] && !end; i++) {
        utf8proc_uint8_t bytes[4];
        int32_t code = bpe_byte_code((unsigned char)b->piece[id][i]);
        buf_put(out, (char *)bytes, (size_t)utf8proc_encode_char(code, bytes));
    }
}

static bool load_merges(Bpe *b, const char *text, size_t n, Err *e) {
    Arena *a = arena_new();
    Map ids;
    Buf written = {0};
    map_init(&ids, a);
    for (int32_t i = 0; i < b->n; i++) {
        written.n = 0;
        written_piece(b, i, &written);
        map_set(&ids, written.data, (void *)((uintptr_t)i + 1)); /* NOLINT: a number */
    }
    b->slots = slots_for(count_lines(text, n));
    b->merge = NEW_N(b->arena, Merge, b->slots);
    for (size_t i = 0; i < b->slots; i++) b->merge[i].made = -1;
    bool ok = each_merge(b, &ids, arena_strndup(a, text, n), e);
    buf_free(&written);
    arena_free(a);
    return ok;
}

/* ---- loading all */
static void find_words(Bpe *b) {
    Encoding e = {.b = b};
    b->word_slots = slots_for((size_t)b->n);
    b->word = NEW_N(b->arena, uint32_t, b->word_slots);
    for (int32_t i = 0; i < b->n; i++) {
        spell(&e, b->piece[i], b->length[i]);
        if (e.id[0] == i && e.next[0] == e.n)
            *word_slot(b, b->piece[i], b->length[i]) = (uint32_t)i + 1;
    }
    encoding_free(&e);
}

static int64_t find_end(const Bpe *b) {
    for (int64_t i = b->n - 1; i >= 0; i--)
        if (str_eq(b->piece[i], END_OF_TEXT)) return i;
    return -1;
}

static bool bpe_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n, Err *e) {
    Arena *a = arena_new();
    Bpe *b = t->own = NEW(a, Bpe);
    b->arena = a;
    b->vocabulary = arena_strdup(a, vocabulary_name(spec));
    b->merges = arena_strdup(a, spec->merges && *spec->merges ? spec->merges : "its merges");
    memset(b->byte, -1, sizeof b->byte);
    memset(b->code, -1, sizeof b->code);
    for (int i = 0; i < BYTES; i++) b->code[bpe_byte_code(i)] = i;
    const char *merges = memchr(text, 0, n);
    if (!merges) return err_set(e, "the vocabulary '%s' comes without merges", b->vocabulary);
    merges++;
    if (!(b->splitter = splitter_new(e)) || !load_pieces(b, text, (size_t)(merges - 1 - text), e) ||
        !load_merges(b, merges, (size_t)(text + n - merges), e))
        return false;
    find_words(b);
    t->ids = (TokenizerIds){b->n, -1, -1, -1, -1, -1, find_end(b)};
    return vocabulary_fits(spec, b->n, e);
}

static void bpe_free(void *own) {
    Bpe *b = own;
    if (!b) return;
    splitter_free(b->splitter);
    arena_free(b->arena);
}

/* ---- encoding, decoding */
/* A byte that is not UTF-8 stands for itself. */
static void bpe_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    const Bpe *b = t->own;
    Encoding e = {.b = b, .out = out};
    ids_reserve(out, n / 4);
    for (size_t at = 0, good; at < n; at += good + 1) {
        good = utf8_valid(text + at, n - at);
        splitter_each(b->splitter, text + at, good, encode_word, &e);
        if (at + good < n) ids_push(out, b->byte[(unsigned char)text[at + good]]);
    }
    encoding_free(&e);
}

static void bpe_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    const Bpe *b = t->own;
    Buf bytes = {0};
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < b->n)
            buf_put(&bytes, b->piece[ids[i]], b->length[ids[i]]);
        else
            buf_puts(&bytes, "[?]");
    put_text(bytes.data, bytes.n, out);
    buf_free(&bytes);
}

static int32_t bpe_characters(const Tokenizer *t, int32_t id) {
    const Bpe *b = t->own;
    return id < b->n ? characters_begun(b->piece[id], b->length[id]) : 0;
}

const Kind bpe_kind = {.name = "bpe",
                       .wants_utf8 = true,
                       .files = 2,
                       .train = bpe_train,
                       .load = bpe_load,
                       .encode = bpe_encode,
                       .decode = bpe_decode,
                       .characters = bpe_characters,
                       .free = bpe_free};
