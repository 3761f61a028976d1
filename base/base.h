/* base: what every layer stands on. Memory that is freed whole (Arena), growable arrays and text,
 * maps from strings, errors, hashing, counter-based random numbers, and diagnostics that point into
 * source text. It knows nothing of tensors or of the language. */
#ifndef UPT_BASE_H
#define UPT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))
#else
#define PRINTF_LIKE(f, a)
#define NORETURN
#endif

/* What a growing table has room for at first. In the hostile build that is 1, so that every table
 * grows in every test. */
#ifdef UPT_HOSTILE
#define FIRST(n) 1
#else
#define FIRST(n) (n)
#endif

/* ---- arena: allocate many, free all at once. Memory is zeroed and aligned to 16 bytes. When the
 * system has none left the process ends with a sentence (base/arena.c); nothing returns NULL. */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *a);
void *arena_alloc(Arena *a, size_t size);
void *arena_array(Arena *a, size_t n, size_t size); /* n * size, checked for overflow */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
void *arena_memdup(Arena *a, const void *p, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);
#define NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define NEW_N(a, T, n) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

/* ---- growable array in an arena: `VEC(int) v = {0}; vec_push(a, &v, 3); v.at[0]; v.n`. */
#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *at;                                                                                     \
        size_t n, cap;                                                                             \
    }
void *vec_grow(Arena *a, void *at, size_t n, size_t *cap, size_t size);
#define vec_push(a, v, ...)                                                                        \
    ((v)->n == (v)->cap                                                                            \
         ? (void)((v)->at = vec_grow((a), (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at))            \
         : (void)0,                                                                                \
     (v)->at[(v)->n++] = (__VA_ARGS__))

/* ---- the heap, for what outgrows an arena: realloc that never returns NULL. */
void *heap_resize(void *p, size_t size);
void heap_free(void *p);

/* ---- growable text, on the heap; free with buf_free. Always zero-terminated once written to. */
typedef struct Buf {
    char *data;
    size_t n, cap;
} Buf;
void buf_put(Buf *b, const void *p, size_t n);
void buf_puts(Buf *b, const char *s);
void buf_int(Buf *b, int64_t v); /* in decimals: for text by the megabyte, where printf is slow */
void buf_printf(Buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(Buf *b, const char *fmt, va_list ap);
void buf_free(Buf *b);

/* ---- map from strings to pointers, in an arena; iteration is in order of insertion. */
typedef struct MapEntry {
    const char *key;
    void *value;
} MapEntry;
typedef struct Map {
    Arena *arena;
    MapEntry *at; /* n entries in order of insertion */
    size_t n, cap;
    uint32_t *slot; /* open addressing, index + 1 */
    size_t nslot;
} Map;
void map_init(Map *m, Arena *a);
void *map_get(const Map *m, const char *key);       /* NULL: absent */
void map_set(Map *m, const char *key, void *value); /* copies the key; replaces */
bool map_has(const Map *m, const char *key);

/* ---- places */
typedef struct Span { /* a stretch of source; file 0: nowhere. Lines and columns count from 1,
                         columns in bytes. */
    uint32_t file, line, col, end_line, end_col; /* end is one past the last byte */
    uint32_t via; /* the call it was reached through, a number of its Diag; 0: none */
} Span;

/* ---- the environment's errors: a status and a sentence that names the file or the resource. */
typedef struct Err {
    char msg[1024]; /* empty: no error */
    Span at;        /* the source that a running program failed at; mostly nowhere */
} Err;
/* Returns false, for `return err_set(...)`. */
bool err_set(Err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- a bug in upt itself: print where and abort. `BUG("why %d", x)` */
void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4) NORETURN;
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(c) ((c) ? (void)0 : BUG("%s", #c))

/* ---- hashing (xxh3) and strings */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
uint64_t hash_str(const char *s, uint64_t seed);
uint64_t hash_mix(uint64_t a, uint64_t b); /* order matters */
bool str_eq(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
/* A number of bytes as a person writes it: "512M", "1.5G", "8_000k", powers of 1024. False: it is
 * not, or less than 1k, where a suffix was forgotten. */
bool size_read(const char *s, int64_t *bytes);
void buf_bytes(Buf *b, int64_t bytes); /* the same way, rounded up: "1.23G"; "64 bytes" */

/* ---- files */
/* Adds a final zero. For programs and vocabularies: at most 256 MB. */
bool file_read(Arena *a, const char *path, char **text, size_t *n, Err *e);
/* `put` writes the content to a file aside, which is synced and renamed over the old one, and the
 * folder synced: whatever happens, power loss too, a reader finds the old file or the whole new
 * one. A process that is killed may leave PATH FILE_ASIDE number behind. */
#define FILE_ASIDE ".tmp"
typedef bool FilePut(int fd, const void *cx); /* false: errno says why */
bool file_replace(const char *path, FilePut *put, const void *cx, Err *e);
bool file_put(int fd, const void *p, size_t n); /* all of it; false: errno says why */
bool file_write_atomic(const char *path, const void *p, size_t n, Err *e);
/* The same without syncing: readers never see a part, but a crash of the system may leave one. */
bool file_write_unsynced(const char *path, const void *p, size_t n, Err *e);
/* So that a rename in the folder of `path` reaches the disk; else errno says why. */
bool file_sync_folder(const char *path);

int cores_allowed(void);    /* that this process may run on */
double clock_seconds(void); /* since an arbitrary start */

/* ---- random numbers that are counted, not drawn: Philox4x32-10 (Salmon et al., SC 2011).
 * A value depends on (seed, place, step, index) alone. Element i of a tensor takes word (i >> 4) &
 * 3 of the block with counter (i >> 6) << 4 | (i & 15): sixteen neighbouring lanes share a word
 * number, so a vector kernel fills 64 elements from 16 blocks without a shuffle. */
typedef struct Philox {
    uint32_t v[4];
} Philox;
Philox philox4x32(Philox counter, uint32_t key0, uint32_t key1);
uint64_t random_key(uint64_t seed, uint64_t place); /* key0 is the low word */
/* The block that holds element `index`, and which word of it; its counter is {lo, hi, step lo, step
 * hi}. */
Philox random_block(uint64_t key, uint64_t step, uint64_t index, unsigned *word);
uint32_t random_bits(uint64_t key, uint64_t step, uint64_t index);
float random_uniform(uint64_t key, uint64_t step, uint64_t index); /* [0, 1): top 24 bits * 2^-24 */
/* Box-Muller: word pair (2j, 2j+1) gives r cos t to the even and r sin t to the odd element;
 * r = sqrt(-2 log(u)), u = ((w_2j >> 8) + 1) * 2^-24, t = 2 pi (w_2j+1 >> 8) * 2^-24. */
double random_normal(uint64_t key, uint64_t step, uint64_t index);
/* From 0 to n - 1: (bits * n) >> 32. */
uint32_t random_below(uint64_t key, uint64_t step, uint64_t index, uint32_t n);
/* A permutation of 0..n-1 computed one element at a time: a four-round Feistel network over the
 * next even number of bits, walked until it falls inside. */
uint64_t permute_index(uint64_t key, uint64_t n, uint64_t i);
/* Element i of the permutation operator, another permutation each step:
 * permute_index(hash_mix(key, step), n, i). */
uint64_t random_permuted(uint64_t key, uint64_t step, uint64_t n, uint64_t i);

/* ---- diagnostics */
typedef struct Diag Diag;
enum { DIAG_MAX = 20 };
Diag *diag_new(Arena *a);
/* Its file number. `text` NULL: it is only named. */
uint32_t diag_add_source(Diag *d, const char *path, const char *text, size_t n);
uint32_t diag_find_source(const Diag *d, const char *path); /* 0: none */
const char *diag_path(const Diag *d, uint32_t file);
const char *diag_text(const Diag *d, uint32_t file, size_t *n);
size_t diag_sources(const Diag *d); /* files are 1..this */
/* A line of a source, without its indent and its end; "": it is not known. */
const char *diag_line(const Diag *d, Span at, size_t *n);
/* Whether the file is of the standard library, by its path: not the user's own. */
#define STD_FOLDER "models/std"
bool diag_is_library(const Diag *d, uint32_t file);
/* Calls, so that what a library computes can be traced to the line that asked for it. `at` is where
 * the call stands, and at.via the call around it. Equal calls have one number, from 1 on. */
typedef struct CallSite {
    const char *name; /* "softmax"; CALL_UPDATE: what a minimize does with its gradients */
    Span at;
} CallSite;
#define CALL_UPDATE "minimize"
uint32_t diag_add_call(Diag *d, const char *name, Span at);
const CallSite *diag_call(const Diag *d, uint32_t via); /* NULL: there is none */
size_t diag_calls(const Diag *d);
/* The innermost line of the user's that led to a place; the place itself where there is none. */
Span diag_users_line(const Diag *d, Span at);
bool diag_within(const Diag *d, Span at, const char *name); /* a call of that name led to it */
/* Notes where the calls stand that led to `at`, the innermost first. */
void diag_note_calls(Diag *d, Span at);
void diag_error(Diag *d, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_warn(Diag *d, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Notes and hints belong to the last error or warning. */
void diag_note(Diag *d, Span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_hint(Diag *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t diag_errors(const Diag *d);
bool diag_full(const Diag *d); /* DIAG_MAX errors: stop looking for more */
/* Prints what it has not printed yet, by file and line, in the form that docs/language.md shows. A
 * repeated error (same place, same text) is printed once. */
void diag_print(Diag *d, FILE *f, bool colour);
/* The nearest of n names within a third of its length (Damerau-Levenshtein), or NULL: 'did you
 * mean'. */
const char *nearest_name(const char *name, const char *const *names, size_t n);
/* "one, two or three"; `last` is the word before the last one. */
const char *name_list(Arena *a, const char *const *names, size_t n, const char *last);
Span span_join(Span a, Span b);

#endif
