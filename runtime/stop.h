/* Asking a verb to stop: the first Ctrl-C, SIGTERM or SIGHUP is heard between two steps, the second
 * kills. */
#ifndef UPT_STOP_H
#define UPT_STOP_H

#include <signal.h>
#include <stdbool.h>

enum { STOPPING = 3, EXIT_STOPPED = 130 };
typedef struct Stops {
    struct sigaction old[STOPPING];
} Stops;
void stops_take(Stops *s);
void stops_give_back(const Stops *s);
bool stop_asked(void);

#endif
