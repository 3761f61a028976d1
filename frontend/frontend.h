/* frontend: from the text of a .upm file to a Program in its BUILT stage. */
#ifndef UPT_FRONTEND_H
#define UPT_FRONTEND_H

#include "frontend/ast.h"
#include "ir/ir.h"

/* What a vocabulary offers at compile time. Ids are -1 where the tokenizer has no such entry. */
typedef struct TokenizerInfo {
    int64_t size, pad, unk, cls, sep, mask, end;
    uint64_t hash;
} TokenizerInfo;
/* What elaboration needs of the world outside; filled in by cli/ (files and vocabularies belong to
 * the runtime). */
typedef struct FrontendHost {
    void *cx;
    /* A library module's text ("nn" for std.nn), or NULL. Diagnostics call it by `path`. */
    const char *(*module)(void *cx, const char *name, size_t *n, const char **path);
    /* A vocabulary: loaded if its file is there, else trained from spec->from and saved; where that
     * is not worth its time, as the file has errors, its size is left 0. False: `e` says why. */
    bool (*tokenizer)(void *cx, TokenizerSpec *spec, TokenizerInfo *info, Err *e);
    /* Fills in the fields of a source whose files say what they are. False: `e` says why not. */
    bool (*fields)(void *cx, DataSpec *source, Err *e);
    /* How many records a pipeline yields. False: `e` says why it cannot be known. */
    bool (*records)(void *cx, const Spec *spec, int data, int64_t *n, Err *e);
    bool unevaluated; /* eval and features entries are left out, and their data need not be there */
} FrontendHost;
typedef struct Define { /* -D d=256, -D pre.d=256 */
    const char *name, *value;
} Define;
/* Elaborates a file. NULL when there were errors; all are in `d`. */
Program *frontend_compile(Arena *a, Diag *d, const char *path, const char *text, size_t n,
                          const FrontendHost *host, const Define *define, size_t ndefine);
#endif
