/* What every unit test takes: EXPECT counts and prints failures, check_done ends main. The counters
 * are per program, since each test is one file with one main. */
#ifndef UPT_CHECK_H
#define UPT_CHECK_H

#include <stdio.h>

static int check_count, check_failed;

#define EXPECT(cond, ...)                                                                          \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(cond)) {                                                                             \
            check_failed++;                                                                        \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #cond);                     \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

/* A test that checked nothing has failed. */
static inline int check_done(const char *name) {
    printf("%s: %d checks, %d failed\n", name, check_count, check_failed);
    return check_failed != 0 || check_count == 0;
}

#endif
