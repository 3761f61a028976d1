/* WordPiece vocabularies: words are spelled by greedy longest match from the left (Devlin et al.
 * 2018).
 *
 * All pieces stand in one trie over bytes, with one root for pieces that begin a word and one for
 * those that continue it; its edges are a hash table from (node, byte). Pieces and words are whole
 * UTF-8 characters, so a match ends at a character's end by itself. Read-only once loaded: any
 * number of threads may encode. */
#include "runtime/data/wordpiece.h"

#include <string.h>

#include "runtime/data/kinds.h"
#include "runtime/data/words.h"

enum { ROOT_FIRST = 1, ROOT_INNER = 2, ROOTS, NODE_LIMIT = 1 << 24 };
/* "##" and the longest word: no longer piece can match. */
enum { PIECE_BYTES = 2 + 4 * WORD_CHARS };

typedef struct Edge {
    uint32_t from; /* node << 8 | byte; 0: free */
    uint32_t to;
    int32_t id; /* of the piece that ends in `to`, or -1 */
} Edge;

struct WordPiece {
    Buf text;      /* one piece a line */
    size_t *start; /* size + 1 offsets in it */
    int64_t size;
    Edge *edge;
    size_t slots, edges; /* slots is a power of two */
    uint32_t nodes;
};

/* ---- the trie */
static Edge *edge_slot(Edge *table, size_t slots, uint32_t from) {
    uint32_t h = from * UINT32_C(0x9E3779B1);
    size_t i = (h ^ h >> 15) & (slots - 1);
    while (table[i].from && table[i].from != from) i = (i + 1) & (slots - 1);
    return &table[i];
}

static void grow_edges(WordPiece *w) {
    size_t slots = w->slots ? w->slots * 2 : 2 * FIRST(2048);
    Edge *table = heap_resize(NULL, slots * sizeof *table);
    memset(table, 0, slots * sizeof *table);
    for (size_t i = 0; i < w->slots; i++)
        if (w->edge[i].from) *edge_slot(table, slots, w->edge[i].from) = w->edge[i];
    heap_free(w->edge);
    w->edge = table;
    w->slots = slots;
}

/* Pieces "##x" hang below the second root as "x"; "##" itself is a word like any other. */
static uint32_t root_of(const char **piece, size_t *n) {
    if (*n <= 2 || memcmp(*piece, "##", 2) != 0) return ROOT_FIRST;
    *piece += 2;
    *n -= 2;
    return ROOT_INNER;
}

/* The edge on which a piece ends, made if need be. NULL: the trie is full. */
static Edge *piece_edge(WordPiece *w, const char *piece, size_t n) {
    uint32_t node = root_of(&piece, &n);
    Edge *edge = NULL;
    for (size_t i = 0; i < n; i++) {
        if (w->edges * 2 >= w->slots) grow_edges(w);
        uint32_t from = node << 8 | (unsigned char)piece[i];
        edge = edge_slot(w->edge, w->slots, from);
        if (!edge->from) {
            if (w->nodes == NODE_LIMIT) return NULL;
            *edge = (Edge){from, w->nodes++, -1};
            w->edges++;
        }
        node = edge->to;
    }
    return edge;
}

/* The longest piece at the beginning of `s`: its length (0: none) and id. */
static size_t longest(const WordPiece *w, uint32_t node, const char *s, size_t n, int32_t *id) {
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        const Edge *edge = edge_slot(w->edge, w->slots, node << 8 | (unsigned char)s[i]);
        if (!edge->from) break;
        if (edge->id >= 0) {
            best = i + 1;
            *id = edge->id;
        }
        node = edge->to;
    }
    return best;
}

/* ---- loading */
static bool line_problem(const char *path, int64_t number, const char *line, size_t n, Err *e) {
    if (n > PIECE_BYTES)
        return err_set(e,
                       "%s:%lld: the line has %zu bytes, and a piece at most %d; is this a text, "
                       "not a vocabulary?",
                       path, (long long)number, n, PIECE_BYTES);
    size_t bad = utf8_valid(line, n);
    if (n == 0)
        return err_set(
            e, "%s:%lld: an empty line; a vocabulary has one piece on each line, so remove it",
            path, (long long)number);
    if (line[n - 1] == '\r')
        return err_set(
            e,
            "%s:%lld: the line ends with a carriage return; convert the file: sed -i 's/\\r$//' %s",
            path, (long long)number, path);
    if (bad < n)
        return err_set(e,
                       "%s:%lld: byte %zu of the line is 0x%02X, which is not UTF-8; a vocabulary "
                       "is UTF-8 text",
                       path, (long long)number, bad + 1, (unsigned char)line[bad]);
    return true;
}

static bool add_piece(WordPiece *w, const char *path, const char *piece, size_t n, Err *e) {
    if (!line_problem(path, w->size + 1, piece, n, e)) return false;
    Edge *edge = piece_edge(w, piece, n);
    if (!edge || w->size == INT32_MAX)
        return err_set(e, "%s:%lld: the vocabulary is too large", path, (long long)w->size + 1);
    if (edge->id >= 0)
        return err_set(e, "%s:%lld: '%.*s' is on line %d already; remove one of the two lines",
                       path, (long long)w->size + 1, (int)(n < 200 ? n : 200), piece, edge->id + 1);
    edge->id = (int32_t)w->size++;
    return true;
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 0;
    for (const char *p = text, *end = text + n; p < end && (p = memchr(p, '\n', (size_t)(end - p)));
         p++)
        lines++;
    return lines;
}

static bool load(WordPiece *w, const char *path, Err *e) {
    w->start = heap_resize(NULL, (count_lines(w->text.data, w->text.n) + 1) * sizeof *w->start);
    for (size_t at = 0; at < w->text.n;) {
        const char *line = w->text.data + at, *end = memchr(line, '\n', w->text.n - at);
        size_t n = (size_t)(end - line);
        w->start[w->size] = at;
        if (!add_piece(w, path, line, n, e)) return false;
        at += n + 1;
    }
    w->start[w->size] = w->text.n;
    return true;
}

WordPiece *wordpiece_load(const char *path, const char *text, size_t n, Err *e) {
    if (n == 0) {
        err_set(e,
                "the vocabulary '%s' is empty; remove the file to have it trained, or put another "
                "in its place",
                path);
        return NULL;
    }
    WordPiece *w = heap_resize(NULL, sizeof *w);
    *w = (WordPiece){.nodes = ROOTS};
    grow_edges(w);
    buf_put(&w->text, text, n);
    if (text[n - 1] != '\n') buf_put(&w->text, "\n", 1);
    if (load(w, path, e)) return w;
    wordpiece_free(w);
    return NULL;
}

void wordpiece_free(WordPiece *w) {
    if (!w) return;
    buf_free(&w->text);
    heap_free(w->start);
    heap_free(w->edge);
    heap_free(w);
}

int64_t wordpiece_size(const WordPiece *w) {
    return w->size;
}

int32_t wordpiece_find(const WordPiece *w, const char *piece) {
    size_t n = strlen(piece);
    int32_t id = -1;
    uint32_t root = root_of(&piece, &n);
    return n && longest(w, root, piece, n, &id) == n ? id : -1;
}

/* ---- encoding */
typedef struct Encoding {
    const WordPiece *w;
    int32_t unk;
    Ids *out;
} Encoding;

static void encode_word(void *cx, const Word *word) {
    const Encoding *e = cx;
    size_t before = e->out->n, at = 0;
    if (word->chars <= WORD_CHARS) {
        while (at < word->n) {
            int32_t id = -1;
            size_t n =
                longest(e->w, at ? ROOT_INNER : ROOT_FIRST, word->at + at, word->n - at, &id);
            if (!n) break;
            ids_push(e->out, id);
            at += n;
        }
        if (at == word->n) return;
    }
    e->out->n = before;
    ids_push(e->out, e->unk);
}

void wordpiece_encode(const WordPiece *w, int32_t unk, const char *text, size_t n, Ids *out) {
    Encoding e = {w, unk, out};
    words_split(text, n, encode_word, &e);
}

/* ---- decoding */
typedef struct Piece {
    const char *at;
    size_t n;
    bool inner;
} Piece;

static Piece piece_of(const WordPiece *w, int32_t id) {
    if (id < 0 || id >= w->size) return (Piece){"[?]", 3, false};
    Piece p = {w->text.data + w->start[id], w->start[id + 1] - w->start[id] - 1, false};
    p.inner = root_of(&p.at, &p.n) == ROOT_INNER;
    return p;
}

static bool is_mark(Piece p, const char *marks) {
    return p.n == 1 && strchr(marks, *p.at);
}

/* Marks that lean on the word before them, marks that the next word leans on, and the apostrophe
 * within a word. */
static bool needs_space(Piece before, Piece here, bool apostrophe) {
    if (here.inner || is_mark(here, ".,!?;:)]}%")) return false;
    return !is_mark(before, "([{$") && !is_mark(here, "'") && !apostrophe;
}

void wordpiece_decode(const WordPiece *w, int32_t pad, const int32_t *ids, size_t n, Buf *out) {
    Piece before = {"", 0, false};
    bool any = false, word = false, apostrophe = false;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == pad) continue;
        Piece here = piece_of(w, ids[i]);
        if (any && needs_space(before, here, apostrophe)) buf_put(out, " ", 1);
        buf_put(out, here.at, here.n);
        apostrophe = word && is_mark(here, "'");
        int32_t c = 0;
        word = utf8_char(here.at, here.n, 0, &c) && !char_is_punct(c);
        before = here;
        any = true;
    }
}

/* ---- as a tokenizer */
static bool pieces_load(Tokenizer *t, const TokenizerSpec *spec, const char *text, size_t n,
                        Err *e) {
    const WordPiece *w = t->own = wordpiece_load(vocabulary_name(spec), text, n, e);
    if (!w) return false;
    t->ids = (TokenizerIds){.size = w->size,
                            .pad = wordpiece_find(w, "[PAD]"),
                            .unk = wordpiece_find(w, "[UNK]"),
                            .cls = wordpiece_find(w, "[CLS]"),
                            .sep = wordpiece_find(w, "[SEP]"),
                            .mask = wordpiece_find(w, "[MASK]")};
    t->ids.end = t->ids.sep;
    if (t->ids.unk >= 0) return vocabulary_fits(spec, w->size, e);
    return err_set(e,
                   "the vocabulary '%s' has no line [UNK], which stands for words that it "
                   "cannot spell; add it",
                   vocabulary_name(spec));
}

static void pieces_encode(const Tokenizer *t, const char *text, size_t n, Ids *out) {
    wordpiece_encode(t->own, (int32_t)t->ids.unk, text, n, out);
}

static void pieces_decode(const Tokenizer *t, const int32_t *ids, size_t n, Buf *out) {
    wordpiece_decode(t->own, (int32_t)t->ids.pad, ids, n, out);
}

static void pieces_free(void *own) {
    wordpiece_free(own);
}

const Kind wordpiece_kind = {.name = "wordpiece",
                             .wants_utf8 = true,
                             .lines = true,
                             .files = 1,
                             .train = wordpiece_train,
                             .load = pieces_load,
                             .encode = pieces_encode,
                             .decode = pieces_decode,
                             .free = pieces_free};
