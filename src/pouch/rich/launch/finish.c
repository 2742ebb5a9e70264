/* The end of the app, of all processes, of the machine. */
#include "launch.h"

#include <dirent.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <time.h>

int run_exited(void) {
    int terminal = borrow(find_holder(), STDIN_FILENO);
    if (terminal >= 0)
        ioctl(terminal, TIOCEXCL); /* fails where it is none; what the shutdown has to say is not the app's output */
    const char *result = getenv("SERVICE_RESULT"), *code = getenv("EXIT_CODE"), *status = getenv("EXIT_STATUS");
    if (code == NULL || status == NULL)
        return 0; /* it never ran, or a systemd before 232, where `supervise` records */
    int figure = -1;
    if (status[0] >= '0' && status[0] <= '9')
        figure = (int)strtol(status, NULL, 10);
    else if (strncmp(status, "RTMIN", 5) == 0)
        figure = FIRST_REALTIME + (int)strtol(status + 5, NULL, 10);
    else if (strncmp(status, "RTMAX", 5) == 0)
        figure = LAST_REALTIME + (int)strtol(status + 5, NULL, 10);
    else {
        static const struct {
            const char *name;
            int number;
        } names[] = {
            {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ILL", SIGILL},       {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},
            {"IOT", SIGABRT},  {"BUS", SIGBUS},   {"FPE", SIGFPE},   {"KILL", SIGKILL},     {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
            {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
            {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"POLL", SIGPOLL}, {"IO", SIGPOLL},   {"PWR", SIGPWR},   {"SYS", SIGSYS},
            {"STKFLT", SIGSTKFLT},
        };
        for (size_t index = 0; index < sizeof names / sizeof *names; index++)
            if (strcmp(names[index].name, status) == 0)
                figure = names[index].number;
    }
    if (figure < 0)
        return 0;
    char text[128];
    snprintf(text, sizeof text, "%s %d %.64s\n", code, figure, result != NULL ? result : "");
    record(PLACE "exit", text);
    return 0;
}


static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Wait until a process has ended; negative seconds: without limit. Returns 0 when it is gone. */
int wait_for_end(pid_t pid, long seconds) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
    if (pidfd < 0)
        return errno == ESRCH ? 0 : -1;
    struct pollfd watch = {.fd = pidfd, .events = POLLIN};
    int count = poll(&watch, 1, seconds < 0 || seconds > INT_MAX / 1000 ? -1 : (int)seconds * 1000);
    close(pidfd);
    return count == 1 ? 0 : -1;
}

/* SIGTERM for all but process 1 and this one; as many seconds to obey; SIGKILL for the rest. */
static void end_all(int64_t seconds) {
    int64_t deadline = now_ms() + seconds * 1000;
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    DIR *all = opendir("/proc");
    for (struct dirent *each; all != NULL && (each = readdir(all)) != NULL;) {
        pid_t pid = (pid_t)strtol(each->d_name, NULL, 10);
        int pidfd = pid > 1 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0U) : -1;
        int64_t left = deadline - now_ms();
        if (pidfd < 0)
            continue;
        struct pollfd watch = {.fd = pidfd, .events = POLLIN};
        poll(&watch, 1, left > 0 ? (int)left : 0);
        close(pidfd);
    }
    if (all != NULL)
        closedir(all);
    kill(-1, SIGKILL);
}

/* In a pid namespace this ends process 1 with SIGINT (power off) or SIGHUP (restart); see reboot(2). */
int run_power(int command) {
    enum { PATIENCE = 5 };
    sync();
    end_all(PATIENCE);
    reboot(command);
    say("pouch: cannot end the machine: %s", strerror(errno));
    return 1; /* the init has its own way */
}

/* The last shutdown action of an init that does not tell power off from restart: quick where we know, else the init's own way. */
int run_finish(void) { return access(PLACE "stopping", F_OK) == 0 ? run_power(RB_POWER_OFF) : 0; }
