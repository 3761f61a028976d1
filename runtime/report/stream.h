/* Text that is shown while its tokens are made. */
#ifndef UPT_STREAM_H
#define UPT_STREAM_H

#include "runtime/data/data.h"

typedef struct Stream {
    const Tokenizer *tokenizer;
    FILE *out;
    int64_t separator;  /* what stands between texts is shown as the end of a line */
    bool terminal;      /* control characters are not passed on */
    size_t shown, from; /* tokens shown; where the text is decoded from, for what joins it */
    Buf before, now;    /* texts of the tokens from there on: up to those shown, and all */
} Stream;
void stream_init(Stream *s, const Tokenizer *t, FILE *out);
/* Shows what the first n tokens add to those shown; a character that is not whole waits for the
 * next call, or, where `last`, is replaced. False: `out` cannot be written. */
bool stream_show(Stream *s, const int32_t *ids, size_t n, bool last);
void stream_free(Stream *s);

#endif
