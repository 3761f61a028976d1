/* safetensors. Bytes that begin with '{' are the header as text, then a newline, then the data: the
 * length goes before them here, so that seeds can be read. Whatever opens has all its bytes. */
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

static uint64_t sum_bytes(const CheckTensor *t) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < t->bytes; i++) sum += ((const unsigned char *)t->data)[i];
    return sum;
}

static void look(const Checkpoint *c) {
    static volatile uint64_t seen;
    for (int i = 0; i < c->ntensor; i++) {
        const CheckTensor *t = &c->tensor[i];
        int64_t count = 1;
        for (int k = 0; k < t->rank; k++) count *= t->dim[k];
        CHECK(count * (int64_t)dtype_size(t->dtype) == t->bytes);
        CHECK(checkpoint_find(c, t->name));
        seen = sum_bytes(t);
    }
    for (int i = 0; i < c->nmeta; i++) CHECK(checkpoint_meta(c, c->meta[i].key));
    (void)seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
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
    return 0;
}
