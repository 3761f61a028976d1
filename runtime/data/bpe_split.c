/* GPT-2's pattern: contractions; letters, digits or other signs, each with the blank before them;
 * and what else is blank, of which the last stays with the word that it stands before. Every
 * character belongs to one match, so that nothing is lost. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/data/bpe.h"

/* PCRE2's own \s has one character (U+180E) that Unicode's White_Space has not. */
#define BLANK "\\p{White_Space}"
static const char pattern[] = "'(?:s|t|re|ve|m|ll|d)"
                              "| ?\\p{L}+| ?\\p{N}+| ?[^" BLANK "\\p{L}\\p{N}]+"
                              "|" BLANK "+(?!\\P{White_Space})|" BLANK "+";

struct Splitter {
    pcre2_code *code;
};

Splitter *splitter_new(Err *e) {
    int number;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, sizeof pattern - 1, PCRE2_UTF | PCRE2_UCP,
                                     &number, &at, NULL);
    if (!code) {
        PCRE2_UCHAR why[120];
        pcre2_get_error_message(number, why, sizeof why);
        err_set(e, "PCRE2 cannot compile the pattern of words: %s", (const char *)why);
        return NULL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where it cannot, matching is slower */
    Splitter *s = heap_resize(NULL, sizeof *s);
    s->code = code;
    return s;
}

void splitter_free(Splitter *s) {
    if (s) pcre2_code_free(s->code);
    heap_free(s);
}

void splitter_each(const Splitter *s, const char *text, size_t n, TextFn *word, void *cx) {
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    CHECK(match);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    for (size_t at = 0; at < n; at = range[1]) {
        int found = pcre2_match(s->code, (PCRE2_SPTR)text, n, at,
                                PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match, NULL);
        if (found < 0) BUG("no word at byte %zu of %zu: PCRE2 %d", at, n, found);
        word(cx, text + at, range[1] - at);
    }
    pcre2_match_data_free(match);
}
