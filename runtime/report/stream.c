/* Streaming of text: only the tokens since the text before the last ones are decoded, and what the
 * new ones add is shown. A character of several bytes is shown once it is whole; bytes that are no
 * UTF-8 become U+FFFD. */
#include "runtime/report/stream.h"

#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

static const char REPLACEMENT[] = "\xEF\xBF\xBD";
enum { MARK = sizeof REPLACEMENT - 1, PATIENCE = 4 }; /* tokens that a character may take */

void stream_init(Stream *s, const Tokenizer *t, FILE *out) {
    *s = (Stream){.tokenizer = t, .out = out, .terminal = isatty(fileno(out))};
    s->separator = tokenizer_ids(t).end;
}

void stream_free(Stream *s) {
    buf_free(&s->before);
    buf_free(&s->now);
}

static void decode(const Stream *s, const int32_t *ids, size_t n, Buf *to) {
    to->n = 0;
    tokenizer_decode(s->tokenizer, ids + s->from, n - s->from, to);
}

/* Bytes that a character takes whose first is c; 1 where none begins so. */
static size_t sequence(unsigned char c) {
    return c >= 0xF0 && c < 0xF5 ? 4 : c >= 0xE0 ? (c < 0xF0 ? 3 : 1) : c >= 0xC2 ? 2 : 1;
}

/* Does the text end within a character? A tokenizer shows its bytes so far as U+FFFD. */
static bool is_cut(const char *text, size_t n) {
    if (n >= MARK && !memcmp(text + n - MARK, REPLACEMENT, MARK)) return true;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)text[n - back];
        if ((c & 0xC0) != 0x80) return sequence(c) > back;
    }
    return false;
}

static void put_text(const Stream *s, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t length =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        bool control = c >= 0 && ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0));
        size_t bytes = length > 0 ? (size_t)length : 1;
        if (length <= 0)
            fwrite(REPLACEMENT, 1, MARK, s->out);
        else if (!control || !s->terminal)
            fwrite(text + i, 1, bytes, s->out);
        i += bytes;
    }
}

/* The tokens up to n, of which none is a separator. */
static void show_text(Stream *s, const int32_t *ids, size_t n, bool last) {
    if (n == s->shown) return;
    decode(s, ids, s->shown, &s->before);
    decode(s, ids, n, &s->now);
    size_t old = s->before.n <= s->now.n ? s->before.n : s->now.n;
    bool waits = !last && n - s->shown < PATIENCE;
    if (waits && is_cut(s->now.data + old, s->now.n - old)) return;
    put_text(s, s->now.data + old, s->now.n - old);
    s->from = s->shown;
    s->shown = n;
}

bool stream_show(Stream *s, const int32_t *ids, size_t n, bool last) {
    for (size_t i = s->shown; i < n; i++) {
        if (ids[i] != s->separator) continue;
        show_text(s, ids, i, true);
        fputc('\n', s->out);
        s->shown = s->from = i + 1;
    }
    show_text(s, ids, n, last);
    return fflush(s->out) == 0 && !ferror(s->out);
}
