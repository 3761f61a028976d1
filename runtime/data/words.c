/* Words: drop control characters, cut at white space, set Chinese characters apart, lower-case as
 * Unicode does (final sigma too), decompose (NFD) and drop accents, set punctuation apart.
 *
 * One pass without memory of its own: a word is collected in a fixed buffer, and only the Greek
 * sigma looks around in the text. ASCII, nearly all of most texts, goes through one small table. */
#include "runtime/data/words.h"

#include <string.h>
#include <utf8proc.h>

enum { WORD_BYTES = WORD_CHARS * 4 };

typedef struct Splitter {
    const char *text;
    size_t size;
    WordFn *fn;
    void *cx;
    char word[WORD_BYTES];
    size_t n;
    unsigned chars;
    size_t fixed; /* bytes of the word that canonical ordering may no longer move */
} Splitter;

/* What becomes of an ASCII character: dropped (0), white space, '!' for any punctuation, or itself
 * in lower case. */
static const char ascii[128] = {"\0\0\0\0\0\0\0\0\0  \0\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                " !!!!!!!!!!!!!!!0123456789!!!!!!"
                                "!abcdefghijklmnopqrstuvwxyz!!!!!"
                                "!abcdefghijklmnopqrstuvwxyz!!!!"};

static const utf8proc_property_t *property(int32_t c) {
    return utf8proc_get_property(c);
}

static bool is_space(int32_t c) {
    if (c < 128) return ascii[c] == ' ';
    utf8proc_propval_t k = property(c)->category;
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(int32_t c) {
    if (c < 128) return !ascii[c];
    utf8proc_propval_t k = property(c)->category;
    return c == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF;
}

bool char_is_punct(int32_t c) {
    if (c < 128) return ascii[c] == '!';
    utf8proc_propval_t k = property(c)->category;
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

typedef struct Range {
    int32_t first, last;
} Range;

static bool in_ranges(int32_t c, const Range *r, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last) return true;
    return false;
}

/* The CJK Unified Ideographs blocks that the tokenizer sets apart. */
static bool is_chinese(int32_t c) {
    static const Range blocks[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                   {0x2B820, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    return c >= 0x3400 && in_ranges(c, blocks, sizeof blocks / sizeof *blocks);
}

/* ---- lower case. Full and simple mappings differ in the dotted I alone, whose dot would be
 * dropped anyway; what remains is the sigma, which ends a word as another letter (Unicode,
 * SpecialCasing: Final_Sigma). */
static bool is_case_ignorable(int32_t c) {
    static const Range middle[] = {
        {0x27, 0x27},     {0x2E, 0x2E},     {0x3A, 0x3A},     {0xB7, 0xB7},
        {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019},
        {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
        {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};
    switch (property(c)->category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return in_ranges(c, middle, sizeof middle / sizeof *middle);
    }
}

static bool is_cased(int32_t c) {
    static const Range other[] = {{0xAA, 0xAA},      {0xBA, 0xBA},       {0x2160, 0x217F},
                                  {0x24B6, 0x24E9},  {0x1F130, 0x1F149}, {0x1F150, 0x1F169},
                                  {0x1F170, 0x1F189}};
    switch (property(c)->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default: return in_ranges(c, other, sizeof other / sizeof *other);
    }
}

/* The nearest character before or after a sigma that says something about case: is it a cased
 * letter of the same word? */
static bool cased_before(const Splitter *s, size_t i) {
    while (i > 0) {
        int32_t c;
        size_t end = i--;
        while (i > 0 && end - i < 4 && ((unsigned char)s->text[i] & 0xC0) == 0x80) i--;
        if (utf8_char(s->text, s->size, i, &c) != end - i) {
            i = end - 1;
            continue;
        }
        if (is_space(c) || is_chinese(c)) return false;
        if (!is_dropped(c) && !is_case_ignorable(c)) return is_cased(c);
    }
    return false;
}

static bool cased_after(const Splitter *s, size_t i) {
    while (i < s->size) {
        int32_t c;
        size_t length = utf8_char(s->text, s->size, i, &c);
        i += length ? length : 1;
        if (!length) continue; /* not UTF-8: as if absent */
        if (is_space(c) || is_chinese(c)) return false;
        if (!is_dropped(c) && !is_case_ignorable(c)) return is_cased(c);
    }
    return false;
}

static int32_t lower(const Splitter *s, int32_t c, size_t at, size_t end) {
    enum { SIGMA = 0x3A3, SIGMA_WITHIN = 0x3C3, SIGMA_LAST = 0x3C2 };
    if (c != SIGMA) return utf8proc_tolower(c);
    return cased_before(s, at) && !cased_after(s, end) ? SIGMA_LAST : SIGMA_WITHIN;
}

/* ---- words */
static void flush(Splitter *s, bool alone) {
    if (s->chars) s->fn(s->cx, &(Word){s->word, s->n, s->chars, alone});
    s->n = s->fixed = 0;
    s->chars = 0;
}

/* Canonical ordering: a mark goes in front of marks of higher class, back to the last character of
 * class 0. */
static size_t mark_place(const Splitter *s, int mark_class) {
    size_t at = s->n;
    while (at > s->fixed) {
        int32_t c = 0;
        size_t i = at - 1;
        while (i > s->fixed && ((unsigned char)s->word[i] & 0xC0) == 0x80) i--;
        utf8_char(s->word, s->n, i, &c);
        if (property(c)->combining_class <= mark_class) break;
        at = i;
    }
    return at;
}

static void append(Splitter *s, int32_t c) {
    if (s->chars > WORD_CHARS || ++s->chars > WORD_CHARS) return;
    utf8proc_uint8_t bytes[4];
    size_t n = (size_t)utf8proc_encode_char(c, bytes), at = s->n;
    int mark_class = property(c)->combining_class;
    if (mark_class) {
        at = mark_place(s, mark_class);
        memmove(s->word + at + n, s->word + at, s->n - at);
    }
    memcpy(s->word + at, bytes, n);
    s->n += n;
    if (!mark_class) s->fixed = s->n;
}

static void put_decomposed(Splitter *s, int32_t c) {
    const utf8proc_property_t *p = property(c);
    if (p->category == UTF8PROC_CATEGORY_MN) {
        if (!p->combining_class) s->fixed = s->n;
        return;
    }
    bool punct = char_is_punct(c);
    if (punct) flush(s, false);
    append(s, c);
    if (punct) flush(s, true);
}

static void put_char(Splitter *s, int32_t c, size_t at, size_t end) {
    if (is_dropped(c)) return;
    if (is_space(c)) {
        flush(s, false);
        return;
    }
    bool chinese = is_chinese(c);
    if (chinese) flush(s, false);
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t n =
        utf8proc_decompose_char(lower(s, c, at, end), parts, 8, UTF8PROC_DECOMPOSE, NULL);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) put_decomposed(s, parts[i]);
    if (chinese) flush(s, true);
}

static void put_ascii(Splitter *s, char c) {
    char kind = ascii[(unsigned char)c];
    if (kind == ' ') {
        flush(s, false);
    } else if (kind == '!') {
        flush(s, false);
        s->word[0] = c;
        s->n = s->chars = 1;
        flush(s, true);
    } else if (kind) {
        if (s->chars >= WORD_CHARS) {
            s->chars = WORD_CHARS + 1;
            return;
        }
        s->word[s->n++] = kind;
        s->fixed = s->n;
        s->chars++;
    }
}

void words_split(const char *text, size_t n, WordFn *fn, void *cx) {
    Splitter s;
    s.text = text, s.size = n, s.fn = fn, s.cx = cx;
    s.n = s.fixed = s.chars = 0;
    for (size_t i = 0; i < n;) {
        if ((unsigned char)text[i] < 128) {
            put_ascii(&s, text[i++]);
            continue;
        }
        int32_t c;
        size_t length = utf8_char(text, n, i, &c);
        if (length) put_char(&s, c, i, i + length);
        i += length ? length : 1;
    }
    flush(&s, false);
}

/* ---- UTF-8 */
size_t utf8_char(const char *text, size_t n, size_t i, int32_t *c) {
    size_t left = n - i;
    utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                            left < 4 ? (utf8proc_ssize_t)left : 4, c);
    return got > 0 ? (size_t)got : 0;
}

size_t utf8_valid(const char *text, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8 && (memcpy(&eight, text + i, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            i += 8;
            continue;
        }
        int32_t c;
        size_t length = (unsigned char)text[i] < 128 ? 1 : utf8_char(text, n, i, &c);
        if (!length) return i;
        i += length;
    }
    return n;
}
