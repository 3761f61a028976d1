/* Signals that ask to stop. A handler can reach nothing but a flag of the process, so there is one,
 * for whoever took the signals last. */
#include "runtime/stop.h"

static volatile sig_atomic_t asked;

static void ask(int sig) {
    (void)sig;
    asked = 1;
}

static const int stopping[STOPPING] = {SIGINT, SIGTERM, SIGHUP};

void stops_take(Stops *s) {
    struct sigaction stop = {.sa_handler = ask, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    asked = 0;
    for (int i = 0; i < STOPPING; i++) sigaction(stopping[i], &stop, &s->old[i]);
    if (s->old[STOPPING - 1].sa_handler == SIG_IGN) /* under nohup */
        sigaction(SIGHUP, &ignore, NULL);
}

void stops_give_back(const Stops *s) {
    for (int i = 0; i < STOPPING; i++) sigaction(stopping[i], &s->old[i], NULL);
}

bool stop_asked(void) {
    return asked != 0;
}
