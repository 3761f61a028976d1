/* cli: what a person types. One file a verb; `session` is what they share: from a path to a
 * compiled program. Exit codes: 0 done, 1 the input or the environment was wrong (a sentence on
 * stderr), 2 a wrong command line, 130 stopped by Ctrl-C with everything saved. */
#ifndef UPT_CLI_H
#define UPT_CLI_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "runtime/machine.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- options: a verb's flags as a table, from which parsing and --help are made */
typedef enum OptKind {
    OPT_flag,
    OPT_count, /* a whole number, also with k, M or G */
    OPT_some,  /* one of at least 1 */
    OPT_maybe, /* the same, but only after a `=`; without one it is what `arg` says: "10" */
    OPT_size,  /* bytes; k, M and G are powers of 1024 */
    OPT_real,  /* a number of at least 0, a double */
    OPT_str,
    OPT_text,     /* the same, which may be empty */
    OPT_word,     /* one of those that `arg` lists: "f32|bf16" */
    OPT_define,   /* name=value; may repeat */
    OPT_needless, /* what others need and uptc does not: not in help, an error that says `help` */
} OptKind;
typedef struct Opt {
    const char *name; /* "--steps"; "-D" for a short one */
    OptKind kind;
    const char *arg; /* "n", "dir"; NULL for flags */
    const char *help;
    size_t at; /* offset in the verb's options structure */
} Opt;
typedef struct StrList {
    const char **at;
    size_t n;
} StrList;
enum { ENDINGS = 2 };
typedef struct Verb {
    const char *name, *what; /* the name may be two words */
    const char *takes;       /* its one argument, as help shows it: "FILE.upm"; NULL: it has none */
    const char *ending[ENDINGS]; /* what the argument may end in; none: anything */
    bool may_lack;               /* the argument may be left out */
    bool folder;                 /* it may be the folder of a run */
    const char *examples;        /* lines of help */
    const Opt *opt;
    size_t nopt;
    int (*run)(Arena *a, const void *options, const char *file); /* file: NULL where left out */
    size_t options_size;
    void (*defaults)(void *options); /* NULL: all zero */
} Verb;
/* Fills `options` and `file`. EXIT_OK, or a sentence went to stderr. */
int options_parse(Arena *a, const Verb *v, int argc, char **argv, void *options, const char **file);
void options_help(FILE *f, const Verb *v);
bool name_ends(const char *name, const char *ending);
bool verb_takes(const Verb *v, const char *name); /* a file of this name */
/* "; did you mean 'near'?", or nothing where there is none near. */
const char *did_you_mean(Arena *a, const char *near);
int fail(const char *fmt, ...) PRINTF_LIKE(1, 2);  /* "uptc: ..." on stderr; returns EXIT_FAILED */
int usage(const char *fmt, ...) PRINTF_LIKE(1, 2); /* the same; returns EXIT_USAGE */

extern const Verb verb_compile, verb_run, verb_check, verb_eval, verb_sample, verb_generate,
    verb_predict, verb_report, verb_show, verb_tokenizer_encode, verb_tokenizer_decode,
    verb_tokenizer_train, verb_doctor;

/* ---- sessions */
typedef struct Session {
    Arena *arena;
    Diag *diag;
    Program *program;           /* FUSED once compiled */
    VEC(Tokenizer *) tokenizer; /* by index in program->spec */
    Codegen *codegen;
    RtProgram *code;
    const char *name; /* base name of the file: names the run */
    Times *times;     /* NULL: nobody asked */
    bool unevaluated; /* eval and features entries are left out */
    bool only_check;  /* nothing is written, no vocabulary either */
    FILE *log;        /* training of vocabularies reports here; NULL: nowhere */
} Session;
typedef struct CompileOptions {
    StrList define;
    const char *emit; /* a stage, or NULL */
    bool check_each, time;
    /* in place of what the program's `run` says; 0 or NULL: not given */
    int64_t fit, micro, keep;
    const char *precision, *order;
    const char *weights; /* f32, bf16, int8: what matrices are kept in; NULL: as they are */
    /* The one kind of entry that is used: the others are left out, and it is an error where there
     * is none. */
    const char *only; /* "sample"; NULL: all */
} CompileOptions;
/* Each stops with its own sentence on stderr and returns false. */
bool session_elaborate(Session *s, const char *path, const CompileOptions *o); /* to BUILT */
bool session_optimise(Session *s, const CompileOptions *o);                    /* to FUSED */
bool session_generate(Session *s, const CompileOptions *o);                    /* native code */
/* From a .upm (compiles) or a .upx; to native code. */
bool session_open(Session *s, const char *path, const CompileOptions *o);
const char *session_name(Arena *a, const char *path); /* of its file, which names the run */
void session_close(Session *s);
/* What a running program could not do; where its source is known to be at fault, it is shown. */
void session_fault(const Session *s, const Err *e);
/* The program that a verb is given, that of the run whose folder it is given, which becomes `dir`
 * unless there is one, or the newest here. NULL: told, `code` is what to exit with. */
const char *session_path(Arena *a, const char *file, const CompileOptions *o, const char **dir,
                         int *code);
/* Keeps the compiled program in the folder of its run, where session_path finds it. */
bool session_keep(const void *session, const char *dir, Err *e);
bool diag_flush(const Session *s); /* prints what was found; true when there were errors */
/* Where compiled kernels and what doctor measured are kept: $UPT_CACHE (empty: nowhere), else upt/
 * in the user's cache folder. NULL: there is no safe one, `why`. */
const char *cache_folder(Arena *a, const char **why);

/* ---- files.c */
/* What `uptc doctor` measured of this machine, in `a`; NULL: it has not. */
Machine *machine_known(Arena *a);
/* The newest .upx in a folder; NULL, and that or `none` is said, where it cannot be read or there
 * is none. */
const char *newest_upx(Arena *a, const char *folder, const char *none);
bool is_folder(const char *path);
/* A file that the verb takes whose name is nearest to the one given; NULL: there is none near. */
const char *file_meant(Arena *a, const Verb *v, const char *given);

/* ---- .upx: a compiled program as one file: verified graphs, plan, vocabularies and source; never
 * native code */
bool upx_write(const char *path, const Session *s, Err *e);
bool upx_read(const char *path, Session *s, Err *e);
/* Its bytes, for those two and for tests: a header, sections, then the checksum over all. */
void upx_begin(Buf *b);
void upx_section(Buf *b, const char *name, const char *data, size_t n);
void upx_seal(Buf *b);
/* The plans of all graphs, as --emit=plan prints them. */
void upx_plans(Buf *b, Arena *a, const Program *p);
bool upx_parse(const char *path, const char *p, size_t n, Session *s, Err *e);

#endif
