/* The first process of the container. */
#include "launch.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

static void hold(char **argv) {
    name_process(argv, HOLDER_NAME);
    default_signals(); /* a shutdown's SIGTERM ends it, and nothing depends on it then */
    for (int number = SIGHUP; number <= SIGQUIT; number++)
        signal(number, SIG_IGN); /* of a terminal */
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsid();
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* Yama, where it rules, lets `borrow` pass; the usual checks stay */
    for (;;)
        pause();
}

static void keep_stdio(char **argv, bool exclusive) {
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    prctl(PR_SET_NAME, HOLDER_NAME, 0, 0, 0); /* before the fork: the app may look for it before it has run at all */
    pid_t pid = fork();
    if (pid == 0)
        hold(argv);
    prctl(PR_SET_NAME, "launch", 0, 0, 0);
    for (int fd = 0; fd <= 2 && pid > 0; fd++) {
        char target[64], path[64];
        snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)pid, fd);
        snprintf(path, sizeof path, "%s%s", PLACE, names[fd]);
        unlink(path);
        if (symlink(target, path) < 0)
            say("pouch: cannot make %s: %s", path, strerror(errno));
    }
    /* The terminal is the app's alone: until it takes it over, nobody can open it, so that an init finds no console to write on. */
    int taken = exclusive ? borrow(pid, STDIN_FILENO) : -1;
    if (taken >= 0) {
        ioctl(taken, TIOCEXCL);
        close(taken);
    }
}

static volatile sig_atomic_t asked_to_end = 0;

static void note_end(int number) { asked_to_end = number; }

static void fail_start(const char *stage, const char *how, int figure) {
    char text[128];
    snprintf(text, sizeof text, "%s %s %d\n", stage, how, figure);
    record(PLACE "failed", text);
    _exit(ENGINE_FAILED);
}

static void script_child(char **argv, char **env) {
    int input = open(PLACE "state.json", O_RDONLY | O_CLOEXEC);
    int output = open(PLACE "initscript.log", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (input < 0 || output < 0)
        _exit(ENGINE_FAILED);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    setsid();
    close_others();
    default_signals();
    int error = execute(argv, env);
    say("exec: \"%s\": %s", argv[0], strerror(error));
    _exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/* Process 1 hears only signals that it handles. A stop that comes while the script runs ends both. */
static void run_init_script(void) {
    struct spec spec;
    size_t count, length;
    if (!load(PLACE "initscript", &spec))
        return;
    char **argv = values(&spec, "argv", &count);
    char **env = values(&spec, "env", &length);
    struct sigaction action = {.sa_handler = note_end}; /* without SA_RESTART: waitpid returns */
    const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPWR, SIGUSR1, SIGUSR2, FIRST_REALTIME + 3};
    for (size_t index = 0; index < sizeof ends / sizeof *ends; index++)
        sigaction(ends[index], &action, NULL);
    pid_t child = fork();
    if (child == 0)
        script_child(argv, env);
    int status = ENGINE_FAILED << 8;
    for (pid_t pid = 0; child > 0 && pid != child;) {
        pid = waitpid(-1, &status, 0); /* all: orphans of the script are ours */
        if (pid < 0 && errno == EINTR && asked_to_end != 0) {
            kill(-1, SIGKILL);
            _exit(128 + asked_to_end);
        }
    }
    if (WIFSIGNALED(status))
        fail_start("initscript", "killed", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        fail_start("initscript", "exited", WEXITSTATUS(status));
    free(argv);
    free(env);
    free(spec.data);
}

static void unset_login(void) {
    int fd = open("/proc/self/loginuid", O_RDWR | O_CLOEXEC);
    char text[16] = "";
    if (fd < 0)
        return;
    ssize_t got = read(fd, text, sizeof text - 1);
    if (got > 0 && strncmp(text, "4294967295", 10) != 0 && pwrite(fd, "4294967295", 10, 0) < 0)
        errno = 0; /* only the host's root may: then the engine had to do it before */
    close(fd);
}

int run_first(char **argv) {
    struct spec spec;
    size_t count, length;
    if (!load(PLACE "init", &spec)) {
        say("pouch: cannot read %sinit: %s", PLACE, strerror(errno));
        return ENGINE_FAILED;
    }
    char **init = values(&spec, "argv", &count);
    char **env = values(&spec, "env", &length);
    unset_login();
    if (number(&spec, "hold", 0) != 0) {
        /* Whoever it is for, app or getty, makes it its own: this session lets go of it. The SIGHUP that comes with that means
         * nothing to process 1. */
        if (isatty(STDIN_FILENO) && number(&spec, "release-tty", 0) != 0)
            ioctl(STDIN_FILENO, TIOCNOTTY);
        keep_stdio(argv, number(&spec, "exclusive", 0) != 0);
    }
    run_init_script();
    if (number(&spec, "beside", 0) != 0 && fork() == 0) { /* an init that we do not know: the app is its child from the start */
        _exit(run_supervisor(false));
    }
    notify("X_POUCH_STAGE=init");
    if (number(&spec, "silent", 0) != 0) { /* what the init writes is not the app's output */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
            dup2(null, fd);
    }
    close_others();
    default_signals();
    int error = execute(init, env);
    say("pouch: cannot run the init %s: %s", count > 0 ? init[0] : "", strerror(error));
    fail_start("init", "exec", error);
    return ENGINE_FAILED;
}


/* A program of the init with its output in the boot log: without a terminal there is no console to read it on. */
int run_logged(char **argv) {
    int fd = open(PLACE "boot/log", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    int error = execute(argv, environ);
    say("pouch: cannot run %s: %s", argv[0], strerror(error));
    return error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}
