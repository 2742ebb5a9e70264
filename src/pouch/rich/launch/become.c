/* Another program in this process. */
#include "launch.h"

#include <sys/prctl.h>
#include <sys/resource.h>

/* All 64 signals: the C library keeps some for itself, which an init or an app may use all the same. */
void block_signals(bool block) {
    uint64_t mask = block ? ~0ULL : 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

void default_signals(void) {
    /* By the kernel's own call: libc's hides the signals that it keeps for itself, and posix_spawn leaves those ignored. */
    static const unsigned long defaults[8]; /* struct kernel_sigaction: SIG_DFL, no flags, no mask */
    for (int number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, defaults, NULL, 8UL); /* fails for KILL and STOP, which need no reset */
    block_signals(false);
}

void close_others(void) {
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
int execute(char **argv, char **env) {
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

void name_process(char **argv, const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
    /* ps shows the command line: what is there is overwritten in place, as far as it reaches. */
    size_t room = 0;
    for (char **each = argv; *each != NULL; each++)
        room += strlen(*each) + 1;
    memset(argv[0], 0, room);
    memcpy(argv[0], name, strlen(name) < room ? strlen(name) : room - 1);
}
