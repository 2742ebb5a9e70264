/*
 * launch: the one program of ours inside a rich container. Static, needs no libc, shell or /etc of the image.
 *
 *   first      the container's first process: keeps the stdio in a child, runs the init script, becomes the init
 *   app        becomes the app; a service of systemd ends in this
 *   supervise  runs the app for an init that does not tell what became of a service
 *   init       the same as process 1: reaps, passes signals on, ends with the app's code (dumb-init mode)
 *   init -- PROGRAM ARGS
 *              process 1 of a plain container (--init): reaps, passes signals on, ends with the program's code
 *   exited     systemd's ExecStopPost: records what became of the app
 *   stop       stops a supervised app in its own way and waits for it (an init's shutdown action)
 *   halt       the same, then asks the init to end the machine
 *   poweroff, reboot
 *              end all processes, then the machine (an init's last action); `finish` only if the engine or the app's end began it
 *   ready      tells the engine that the machine is up
 *   log ...    runs a program with its output in the boot log
 *
 * Every file it reads was written by the engine into /run/pouch (a tmpfs, root's) before the start. A file is a row of
 * NUL-terminated strings: key, count, that many values, next key. Unknown keys are skipped.
 */
#include "launch.h"

#include <sys/reboot.h>

static int run_ready(void) {
    notify("READY=1");
    return 0;
}

int main(int count, char **argv) {
    const char *mode = count >= 2 ? argv[1] : "";
    if (strcmp(mode, "log") == 0 && count > 2)
        return run_logged(argv + 2);
    if (strcmp(mode, "init") == 0 && count > 3 && strcmp(argv[2], "--") == 0)
        return run_reaper(argv + 3);
    if (count == 2) {
        if (strcmp(mode, "first") == 0)
            return run_first(argv);
        if (strcmp(mode, "app") == 0)
            return run_app();
        if (strcmp(mode, "supervise") == 0)
            return run_supervisor(false);
        if (strcmp(mode, "init") == 0)
            return run_supervisor(true);
        if (strcmp(mode, "exited") == 0)
            return run_exited();
        if (strcmp(mode, "stop") == 0)
            return run_stop();
        if (strcmp(mode, "halt") == 0)
            return run_halt();
        if (strcmp(mode, "poweroff") == 0)
            return run_power(RB_POWER_OFF);
        if (strcmp(mode, "reboot") == 0)
            return run_power(RB_AUTOBOOT);
        if (strcmp(mode, "finish") == 0)
            return run_finish();
        if (strcmp(mode, "ready") == 0)
            return run_ready();
    }
    say("usage: launch first|app|supervise|init|exited|stop|halt|poweroff|reboot|finish|ready,\n"
        "launch log PROGRAM..., launch init -- PROGRAM...");
    return 2;
}
