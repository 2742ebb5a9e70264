/* The app: everything that has to be so when its first instruction runs. */
#include "launch.h"

#include <grp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

pid_t find_holder(void) {
    char target[64], path[64], name[32] = "";
    ssize_t length = readlink(PLACE "stdout", target, sizeof target - 1);
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

int borrow(pid_t holder, int fd) {
    int pidfd = (int)syscall(SYS_pidfd_open, holder, 0U);
    int taken = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0U) : -1;
    if (pidfd >= 0)
        close(pidfd);
    return taken;
}

/* Take over one stream. The holder's own descriptor is best (files keep their position, sockets work); where ptrace
 * rules refuse it, open it anew. */
static void take_stream(pid_t holder, int fd) {
    int taken = borrow(holder, fd);
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
    for (int fd = STDERR_FILENO; fd >= STDIN_FILENO; fd--)
        take_stream(holder, fd);
    ioctl(STDIN_FILENO, TIOCNXCL); /* see keep_stdio */
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
void become_app(const struct spec *spec) {
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

void load_app(struct spec *spec) {
    if (load(PLACE "app", spec))
        return;
    say("pouch: cannot read %sapp: %s", PLACE, strerror(errno));
    _exit(ENGINE_FAILED);
}

int run_app(void) {
    struct spec spec;
    load_app(&spec);
    become_app(&spec);
    return ENGINE_FAILED;
}

