/* safetensors. Bytes that begin with '{' are the header as text, then a newline, then the data: the
 * length goes before them here, so that seeds can be read. Whatever opens has all its bytes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

static size_t put_length(Buf *b, const uint8_t *data, size_t n) {
    const uint8_t *end = n && data[0] == '{' ? memchr(data, '\n', n) : NULL;
    if (!end) return 0;
    size_t length = (size_t)(end - data);
    for (int i = 0; i < 8; i++) buf_put(b, &(char){(char)((uint64_t)length >> (8 * i) & 255)}, 1);
    buf_put(b, data, length);
    return length + 1;
}

/* A tensor is read, or there is a sentence: its bytes are there, but may be no bools. */
static void read_tensor(const Checkpoint *c, const CheckTensor *t) {
    Err e = {0};
    char *to = malloc((size_t)t->bytes + 1);
    bool ok = to && checkpoint_read(c, t, to, &e);
    CHECK(ok == !e.msg[0] && (ok || t->dtype == DT_bool));
    free(to);
}

static void look(const Checkpoint *c) {
    for (int i = 0; i < c->ntensor; i++) {
        const CheckTensor *t = &c->tensor[i];
        int64_t count = 1;
        for (int k = 0; k < t->rank; k++) count *= t->dim[k];
        CHECK(count * (int64_t)dtype_size(t->dtype) == t->bytes);
        CHECK(checkpoint_find(c, t->name));
        read_tensor(c, t);
    }
    for (int i = 0; i < c->nmeta; i++) CHECK(checkpoint_meta(c, c->meta[i].key));
}

bool fuzz_feed(const uint8_t *data, size_t n) {
    Buf file = {0};
    size_t header = put_length(&file, data, n);
    buf_put(&file, data + header, n - header);
    MemoryFile m = memory_file(file.data, file.n);
    Checkpoint c;
    Err e = {0};
    bool ok = checkpoint_open(m.path, &c, &e);
    CHECK(ok == !e.msg[0]);
    if (ok) {
        look(&c);
        checkpoint_close(&c);
    }
    close(m.fd);
    buf_free(&file);
    return ok;
}
