/*
 * launch: the one program of ours inside a rich container. Static, needs no libc, shell or /etc of the image.
 *
 *   launch first      the container's first process: keeps the stdio in a child, runs the init script, becomes the init
 *   launch app        becomes the app; a service of systemd ends in this
 *   launch supervise  runs the app for an init that does not tell what became of a service
 *   launch init       the same as process 1: reaps, passes signals on, ends with the app's code (dumb-init mode)
 *   launch exited     systemd's ExecStopPost: records what became of the app
 *   launch stop       asks the supervisor to stop the app and waits for it (shutdown action of an init)
 *   launch ready      tells the engine that the machine is up
 *
 * Every file it reads was written by the engine into /run/pouch (a tmpfs, root's) before the start. A file is a row of
 * NUL-terminated strings: key, count, that many values, next key. Unknown keys are skipped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define HOME "/run/pouch/"
#define HOLDER_NAME "pouch-stdio"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

enum { ENGINE_FAILED = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* ---- words, messages, files ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...) {
    char line[PATH_MAX + 256];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    if (length < 0)
        return;
    if ((size_t)length > sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length + 1) < 0)
        return; /* nobody listens */
}

/* Replace a file whole: a reader sees the old content or the new one. */
static void record(const char *path, const char *text) {
    char next[PATH_MAX];
    snprintf(next, sizeof next, "%s.new", path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) {
        say("pouch: cannot write %s: %s", next, strerror(errno));
        return;
    }
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    if (written != (ssize_t)strlen(text) || rename(next, path) < 0)
        say("pouch: cannot write %s: %s", path, strerror(errno));
}

static char *slurp(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat found;
    char *data = NULL;
    if (fstat(fd, &found) == 0 && (data = malloc((size_t)found.st_size + 1)) != NULL) {
        size_t have = 0;
        ssize_t got;
        while (have < (size_t)found.st_size && (got = read(fd, data + have, (size_t)found.st_size - have)) > 0)
            have += (size_t)got;
        data[have] = '\0'; /* also ends a last string that lacks its NUL */
        *size = have;
    }
    close(fd);
    return data;
}

struct spec {
    char *data;
    size_t size;
};

static bool load(const char *path, struct spec *spec) {
    spec->data = slurp(path, &spec->size);
    return spec->data != NULL;
}

/* The values of a key, NULL-terminated; *count is their number. An absent key has none. */
static char **values(const struct spec *spec, const char *wanted, size_t *count) {
    char *at = spec->data, *end = spec->data + spec->size;
    *count = 0;
    while (at < end) {
        const char *key = at;
        at += strlen(at) + 1;
        if (at >= end)
            break;
        size_t number = strtoul(at, NULL, 10);
        at += strlen(at) + 1;
        bool found = strcmp(key, wanted) == 0;
        char **list = found ? calloc(number + 1, sizeof *list) : NULL;
        for (size_t index = 0; index < number && at < end; index++, at += strlen(at) + 1)
            if (list != NULL)
                list[(*count)++] = at;
        if (found)
            return list;
    }
    return calloc(1, sizeof(char *));
}

static const char *value(const struct spec *spec, const char *key, const char *otherwise) {
    size_t count;
    char **list = values(spec, key, &count);
    const char *first = count > 0 ? list[0] : otherwise;
    free(list);
    return first;
}

static long number(const struct spec *spec, const char *key, long otherwise) {
    const char *text = value(spec, key, NULL);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static void notify(const char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = HOME "notify"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* An engine that is away for a moment keeps no machine from its work: the result does not matter. */
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) < 0)
        errno = 0;
    close(fd);
}

/* ---- becoming another program ---- */

static void default_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* fails for KILL, STOP and libc's own: they need no reset */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_others(void) {
    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
        return;
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    for (int fd = 3; fd < end; fd++)
        close(fd);
}

static const char *search_path(char **env) {
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return DEFAULT_PATH;
}

/* execve(2) after a look-up in env's PATH, with no shell for what is no program. Returns errno. */
static int execute(char **argv, char **env) {
    if (argv[0] == NULL || argv[0][0] == '\0')
        return ENOENT;
    if (strchr(argv[0], '/') != NULL) {
        execve(argv[0], argv, env);
        return errno;
    }
    int result = ENOENT;
    for (const char *at = search_path(env); at != NULL;) {
        const char *end = strchr(at, ':');
        int length = end != NULL ? (int)(end - at) : (int)strlen(at);
        char path[PATH_MAX];
        int need = snprintf(path, sizeof path, "%.*s/%s", length > 0 ? length : 1, length > 0 ? at : ".", argv[0]);
        if (need > 0 && (size_t)need < sizeof path) {
            execve(path, argv, env);
            if (errno == EACCES)
                result = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR)
                return errno;
        }
        at = end != NULL ? end + 1 : NULL;
    }
    return result;
}

/* ---- the app ---- */

static pid_t find_holder(void) {
    char target[64], path[64], name[32] = "";
    ssize_t length = readlink(HOME "stdout", target, sizeof target - 1);
    if (length <= 6)
        return 0;
    target[length] = '\0';
    pid_t pid = (pid_t)strtol(target + 6, NULL, 10); /* after "/proc/" */
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, name, sizeof name - 1);
    close(fd);
    /* Its number may belong to another process by now. */
    return got > 0 && strncmp(name, HOLDER_NAME "\n", sizeof HOLDER_NAME) == 0 ? pid : 0;
}

/* Take over one stream. The holder's own descriptor is best (files keep their position, sockets work); where ptrace
 * rules refuse it, open it anew. */
static void take_stream(pid_t holder, int pidfd, int fd) {
    int taken = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0U) : -1;
    if (taken < 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)holder, fd);
        taken = open(path, (fd == STDIN_FILENO ? O_RDONLY : O_WRONLY | O_APPEND) | O_NOCTTY | O_CLOEXEC);
    }
    if (taken < 0) {
        say("pouch: cannot take over stream %d: %s", fd, strerror(errno));
        return;
    }
    if (taken != fd) {
        dup2(taken, fd);
        close(taken);
    }
}

static void take_stdio(void) {
    pid_t holder = find_holder();
    if (holder == 0)
        return; /* what the init gave has to do; so it is in dumb-init mode, where it is the container's own */
    int pidfd = (int)syscall(SYS_pidfd_open, holder, 0U);
    for (int fd = STDERR_FILENO; fd >= STDIN_FILENO; fd--)
        take_stream(holder, pidfd, fd);
    if (pidfd >= 0)
        close(pidfd);
    /* Limits are those the runtime gave the container's first process, whatever the init made of its own. */
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit;
        if (prlimit(holder, resource, NULL, &limit) == 0)
            prlimit(0, resource, &limit, NULL);
    }
}

/* So that the app may open /dev/stdout again whoever it runs as. Not for /dev/null, which is everybody's. */
static void give_stdio(uid_t uid) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat found;
        if (fstat(fd, &found) < 0 || found.st_uid == uid)
            continue;
        if (S_ISFIFO(found.st_mode) || S_ISSOCK(found.st_mode) || isatty(fd))
            if (fchown(fd, uid, found.st_gid) < 0)
                continue; /* a pipe of the host in another user namespace: it works all but for opening it again */
    }
}

static void set_limits(const struct spec *spec) {
    size_t count;
    char **list = values(spec, "rlimits", &count);
    for (size_t index = 0; index < count; index++) {
        char *rest = NULL;
        int resource = (int)strtol(list[index], &rest, 10);
        struct rlimit limit;
        limit.rlim_cur = *rest == ':' ? strtoull(rest + 1, &rest, 10) : RLIM_INFINITY;
        limit.rlim_max = *rest == ':' ? strtoull(rest + 1, &rest, 10) : RLIM_INFINITY;
        if (setrlimit((unsigned)resource, &limit) < 0)
            say("pouch: cannot set limit %s: %s", list[index], strerror(errno));
    }
    free(list);
}

struct capabilities {
    uint32_t version;
    int pid;
    struct {
        uint32_t effective, permitted, inheritable;
    } half[2];
};

static bool set_capabilities(uint64_t permitted, uint64_t inheritable) {
    struct capabilities all = {.version = 0x20080522}, now = {.version = 0x20080522};
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    if (syscall(SYS_capget, &header, now.half) < 0)
        return false;
    for (int index = 0; index < 2; index++) {
        uint32_t wanted = (uint32_t)(permitted >> (32 * index)) & now.half[index].permitted;
        all.half[index].effective = all.half[index].permitted = wanted;
        all.half[index].inheritable = (uint32_t)(inheritable >> (32 * index)) & wanted;
    }
    return syscall(SYS_capset, &header, all.half) == 0;
}

/* Identity and powers, in the order in which each step still has the power for the next: bounding set, groups, ids, sets. */
static const char *set_identity(const struct spec *spec) {
    uint64_t bounding = strtoull(value(spec, "bounding", "0"), NULL, 16);
    uint64_t ambient = strtoull(value(spec, "ambient", "0"), NULL, 16);
    for (unsigned long bit = 0; bit < 64; bit++)
        if ((bounding >> bit & 1) == 0 && prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1)
            if (prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0)
                return "drop a capability";
    size_t count;
    char **list = values(spec, "groups", &count);
    gid_t *groups = calloc(count + 1, sizeof *groups);
    for (size_t index = 0; index < count; index++)
        groups[index] = (gid_t)strtoul(list[index], NULL, 10);
    bool grouped = setgroups(count, groups) == 0;
    free(groups);
    free(list);
    if (!grouped)
        return "set the supplementary groups";
    gid_t gid = (gid_t)strtoul(value(spec, "gid", "0"), NULL, 10);
    uid_t uid = (uid_t)strtoul(value(spec, "uid", "0"), NULL, 10);
    if (setresgid(gid, gid, gid) < 0)
        return "set the group";
    /* Kept until exec, as Docker does: a user may run a program below a directory that only root may search. */
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setresuid(uid, uid, uid) < 0)
        return "set the user";
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!set_capabilities(bounding, ambient))
        return "set the capabilities";
    for (unsigned long bit = 0; bit < 64; bit++)
        if (ambient >> bit & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
    return NULL;
}

/* Never returns. */
static void become_app(const struct spec *spec) {
    size_t count, length;
    char **argv = values(spec, "argv", &count);
    char **env = values(spec, "env", &length);
    const char *cwd = value(spec, "cwd", "/");
    take_stdio();
    setsid(); /* fails where the init did it: good */
    if (number(spec, "tty", 0) != 0 && isatty(STDIN_FILENO))
        ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    give_stdio((uid_t)strtoul(value(spec, "uid", "0"), NULL, 10));
    set_limits(spec);
    umask((mode_t)strtoul(value(spec, "umask", "22"), NULL, 8));
    bool moved = chdir(cwd) == 0;
    const char *failed = set_identity(spec);
    if (failed != NULL) {
        say("pouch: cannot %s for the app: %s", failed, strerror(errno));
        _exit(NOT_EXECUTABLE);
    }
    if (!moved && chdir(cwd) < 0) {
        say("pouch: cannot go to the working directory %s: %s", cwd, strerror(errno));
        _exit(NOT_EXECUTABLE);
    }
    if (number(spec, "no-new-privileges", 0) != 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    close_others();
    default_signals();
    int error = execute(argv, env);
    if (error == ENOENT && count > 0 && strchr(argv[0], '/') == NULL)
        say("pouch: exec: \"%s\": executable file not found in $PATH", argv[0]);
    else
        say("pouch: exec: \"%s\": %s", count > 0 ? argv[0] : "", strerror(error));
    _exit(error == ENOENT || error == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE);
}

static void load_app(struct spec *spec) {
    if (load(HOME "app", spec))
        return;
    say("pouch: cannot read %sapp: %s", HOME, strerror(errno));
    _exit(ENGINE_FAILED);
}

static int run_app(void) {
    struct spec spec;
    load_app(&spec);
    become_app(&spec);
    return ENGINE_FAILED;
}

/* ---- the supervisor ---- */

static void record_status(int status) {
    char text[64];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exited %d\n", WEXITSTATUS(status));
    else
        snprintf(text, sizeof text, "%s %d\n", WCOREDUMP(status) ? "dumped" : "killed", WTERMSIG(status));
    record(HOME "exit", text);
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

struct supervisor {
    struct spec spec;
    bool one;         /* process 1 */
    bool stopping;    /* somebody asked for the end */
    pid_t child;      /* 0: the app does not run */
    int status;       /* of its last end */
    int stop_signal;
    const char *on_exit;
    int64_t began, due; /* due: when to run it again, 0 for never */
    int64_t delay;
};

static void begin(struct supervisor *self) {
    self->due = 0;
    self->began = now_ms();
    self->child = fork();
    if (self->child == 0)
        become_app(&self->spec);
    if (self->child < 0) {
        say("pouch: cannot run the app: %s", strerror(errno));
        self->child = 0;
        self->status = ENGINE_FAILED << 8;
    }
}

static void send_to_app(const struct supervisor *self, int number) {
    if (self->child != 0 && kill(-self->child, number) < 0)
        kill(self->child, number); /* it has not made its own group yet */
}

/* What became of the app, and what follows. Returns whether the supervisor is done. */
static bool ended(struct supervisor *self) {
    enum { SHORTEST = 100, LONGEST = 60000, STEADY = 10000 };
    if (self->one)
        kill(-self->child, SIGTERM); /* what it left in its group */
    self->child = 0;
    record_status(self->status);
    if (self->stopping || strcmp(self->on_exit, "stop") == 0)
        return true;
    if (strcmp(self->on_exit, "restart") == 0) {
        self->delay = self->delay == 0 || now_ms() - self->began > STEADY ? SHORTEST : self->delay * 2;
        if (self->delay > LONGEST)
            self->delay = LONGEST;
        self->due = now_ms() + self->delay;
        return false;
    }
    return !self->one; /* keep: process 1 goes on reaping */
}

static bool reap(struct supervisor *self) {
    int status;
    bool done = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == self->child) {
            self->status = status;
            done = ended(self) || done;
        }
    return done;
}

static bool handle(struct supervisor *self, int number) {
    bool ends = number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT || number == SIGPWR ||
                number == self->stop_signal;
    if (number == SIGCHLD)
        return reap(self);
    if (self->child == 0) {
        self->stopping = self->stopping || ends;
        return ends; /* between two runs, or kept: there is nothing to wait for */
    }
    bool asks = number == SIGTERM || number == self->stop_signal;
    self->stopping = self->stopping || (asks && !self->one) || (self->one && number == self->stop_signal);
    send_to_app(self, number == SIGTERM && !self->one ? self->stop_signal : number);
    return false;
}

static void supervise_until_done(struct supervisor *self) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); /* before the first fork: no end is missed */
    begin(self);
    if (self->child == 0 && ended(self))
        return;
    notify("READY=1");
    for (bool done = false; !done;) {
        int64_t left = self->due != 0 ? self->due - now_ms() : 3600000;
        if (left < 0)
            left = 0;
        struct timespec time = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        int number = sigtimedwait(&all, NULL, &time);
        if (number > 0)
            done = handle(self, number);
        else if (self->due != 0 && now_ms() >= self->due)
            begin(self);
    }
}

/* Ask the init to end the machine, in its own way: a program (`halt`) or a signal to process 1 (`halt-signal`). */
static void halt_machine(const struct supervisor *self) {
    size_t count;
    char **argv = values(&self->spec, "halt", &count);
    char *env[] = {(char *)"PATH=" DEFAULT_PATH, NULL};
    record(HOME "stopping", "app\n");
    long number_of_signal = number(&self->spec, "halt-signal", 0);
    default_signals();
    if (count > 0) {
        int error = execute(argv, env);
        say("pouch: cannot run %s: %s", argv[0], strerror(error));
    }
    if (number_of_signal > 0)
        kill(1, (int)number_of_signal);
}

static void name_process(char **argv, const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
    /* ps shows the command line: what is there is overwritten in place, as far as it reaches. */
    size_t room = 0;
    for (char **each = argv; *each != NULL; each++)
        room += strlen(*each) + 1;
    memset(argv[0], 0, room);
    memcpy(argv[0], name, strlen(name) < room ? strlen(name) : room - 1);
}

static int run_supervisor(bool one) {
    struct supervisor self = {.one = one};
    load_app(&self.spec);
    self.on_exit = value(&self.spec, "on-exit", "stop");
    self.stop_signal = (int)number(&self.spec, "stop-signal", SIGTERM);
    if (!one) {
        char text[32];
        snprintf(text, sizeof text, "%d\n", (int)getpid());
        record(HOME "supervisor", text);
        setsid();
    }
    supervise_until_done(&self);
    if (!one) {
        unlink(HOME "supervisor");
        if (!self.stopping)
            halt_machine(&self);
    }
    return WIFEXITED(self.status) ? WEXITSTATUS(self.status) : 128 + WTERMSIG(self.status);
}

/* Stop the app before the init's own shutdown goes on: SIGTERM to the supervisor, which passes the app's own stop signal. */
static int run_stop(void) {
    struct spec spec;
    size_t size;
    char *text = slurp(HOME "supervisor", &size);
    pid_t pid = text != NULL ? (pid_t)strtol(text, NULL, 10) : 0;
    if (pid <= 1)
        return 0;
    load_app(&spec);
    long seconds = number(&spec, "stop-timeout", 10);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
    if (kill(pid, SIGTERM) < 0 || pidfd < 0)
        return 0;
    struct pollfd watch = {.fd = pidfd, .events = POLLIN};
    poll(&watch, 1, seconds < 0 || seconds > INT_MAX / 1000 ? -1 : (int)seconds * 1000);
    return 0;
}

/* ---- systemd's ExecStopPost ---- */

static int run_exited(void) {
    const char *result = getenv("SERVICE_RESULT"), *code = getenv("EXIT_CODE"), *status = getenv("EXIT_STATUS");
    if (code == NULL || status == NULL)
        return 0; /* it never ran, or a systemd before 232, where `supervise` records */
    int figure = -1;
    if (status[0] >= '0' && status[0] <= '9')
        figure = (int)strtol(status, NULL, 10);
    else if (strncmp(status, "RTMIN", 5) == 0)
        figure = SIGRTMIN + (int)strtol(status + 5, NULL, 10);
    else if (strncmp(status, "RTMAX", 5) == 0)
        figure = SIGRTMAX + (int)strtol(status + 5, NULL, 10);
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
    record(HOME "exit", text);
    return 0;
}

/* ---- the first process ---- */

static void hold(char **argv) {
    name_process(argv, HOLDER_NAME);
    default_signals(); /* a shutdown's SIGTERM ends it, and nothing depends on it then */
    for (int number = SIGHUP; number <= SIGQUIT; number++)
        signal(number, SIG_IGN); /* of a terminal */
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setsid();
    for (;;)
        pause();
}

static void keep_stdio(char **argv) {
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    pid_t pid = fork();
    if (pid == 0)
        hold(argv);
    for (int fd = 0; fd <= 2 && pid > 0; fd++) {
        char target[64], path[64];
        snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)pid, fd);
        snprintf(path, sizeof path, "%s%s", HOME, names[fd]);
        unlink(path);
        if (symlink(target, path) < 0)
            say("pouch: cannot make %s: %s", path, strerror(errno));
    }
}

static volatile sig_atomic_t asked_to_end = 0;

static void note_end(int number) { asked_to_end = number; }

static void fail_start(const char *stage, const char *how, int figure) {
    char text[128];
    snprintf(text, sizeof text, "%s %s %d\n", stage, how, figure);
    record(HOME "failed", text);
    _exit(ENGINE_FAILED);
}

static void script_child(char **argv, char **env) {
    int input = open(HOME "state.json", O_RDONLY | O_CLOEXEC);
    int output = open(HOME "initscript.log", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
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
    if (!load(HOME "initscript", &spec))
        return;
    char **argv = values(&spec, "argv", &count);
    char **env = values(&spec, "env", &length);
    struct sigaction action = {.sa_handler = note_end}; /* without SA_RESTART: waitpid returns */
    const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPWR, SIGUSR1, SIGUSR2, SIGRTMIN + 3};
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

static int run_first(char **argv) {
    struct spec spec;
    size_t count, length;
    if (!load(HOME "init", &spec)) {
        say("pouch: cannot read %sinit: %s", HOME, strerror(errno));
        return ENGINE_FAILED;
    }
    char **init = values(&spec, "argv", &count);
    char **env = values(&spec, "env", &length);
    unset_login();
    if (number(&spec, "hold", 0) != 0) {
        /* The terminal becomes the app's: this session lets go of it. SIGHUP comes with that, and means nothing to process 1. */
        if (isatty(STDIN_FILENO) && number(&spec, "release-tty", 0) != 0)
            ioctl(STDIN_FILENO, TIOCNOTTY);
        keep_stdio(argv);
    }
    run_init_script();
    if (number(&spec, "beside", 0) != 0 && fork() == 0) { /* an init that we do not know: the app is its child from the start */
        _exit(run_supervisor(false));
    }
    notify("X_POUCH_STAGE=init");
    if (number(&spec, "silent", 0) != 0) {
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

int main(int count, char **argv) {
    const char *mode = count == 2 ? argv[1] : "";
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
    if (strcmp(mode, "ready") == 0) {
        notify("READY=1");
        return 0;
    }
    say("usage: launch first|app|supervise|init|exited|stop|ready");
    return 2;
}
