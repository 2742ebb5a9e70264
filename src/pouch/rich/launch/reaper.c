/* `--init` of plain containers: process 1 that reaps, passes signals on, and ends with its program's code. Nothing of rich mode is
 * there: no files of the engine, no holder; the runtime has made this process the container's user already. */
#include "launch.h"

#include <sys/prctl.h>

static void __attribute__((noreturn)) become(char **argv) {
    extern char **environ;
    setpgid(0, 0); /* so that the terminal's signals reach the program and what it started, and not us twice */
    if (isatty(STDIN_FILENO))
        tcsetpgrp(STDIN_FILENO, getpid()); /* all signals are blocked: no SIGTTOU */
    default_signals();
    int error = execute(argv, environ);
    say("exec: \"%s\": %s", argv[0], strerror(error));
    _exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

int run_reaper(char **argv) {
    const uint64_t all = ~0ULL;
    block_signals(true);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* with --pid host we are not process 1 */
    pid_t child = fork();
    if (child < 0) {
        say("pouch: cannot run %s: %s", argv[0], strerror(errno));
        return ENGINE_FAILED;
    }
    if (child == 0)
        become(argv);
    for (;;) {
        int caught = (int)syscall(SYS_rt_sigtimedwait, &all, NULL, NULL, sizeof all), status;
        if (caught > 0 && caught != SIGCHLD)
            kill(child, caught);
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == child)
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}
