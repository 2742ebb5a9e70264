/* What the parts of the launcher share. See main.c for what it is. */
#ifndef LAUNCH_H
#define LAUNCH_H
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE "/run/pouch/"
#define HOLDER_NAME "pouch-stdio"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The same numbers on every architecture (asm-generic/unistd.h); older C libraries lack the names. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* SIGRTMIN as every program for systemd has it; C libraries differ. */
enum { FIRST_REALTIME = 34, LAST_REALTIME = 64 };

enum { ENGINE_FAILED = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* words.c: messages, the engine's files, notifications */
struct spec {
    char *data;
    size_t size;
};
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void record(const char *path, const char *text);
char *slurp(const char *path, size_t *size);
bool load(const char *path, struct spec *spec);
char **values(const struct spec *spec, const char *key, size_t *count);
const char *value(const struct spec *spec, const char *key, const char *otherwise);
long number(const struct spec *spec, const char *key, long otherwise);
void notify(const char *text);

/* become.c: another program in this process */
void block_signals(bool block);
void default_signals(void);
void close_others(void);
int execute(char **argv, char **env);
void name_process(char **argv, const char *name);

/* app.c */
int run_app(void);
void become_app(const struct spec *spec) __attribute__((noreturn));
void load_app(struct spec *spec);
pid_t find_holder(void);            /* 0: there is none */
int borrow(pid_t holder, int fd);   /* a copy of its descriptor, or -1 */

/* supervise.c */
int run_supervisor(bool one);
int run_stop(void);
int run_halt(void);

/* reaper.c: process 1 of a plain container */
int run_reaper(char **argv);

/* finish.c: the end of the machine */
int run_exited(void);
int run_power(int command);
int run_finish(void);
int wait_for_end(pid_t pid, long seconds);

/* first.c */
int run_first(char **argv);
int run_logged(char **argv);

#endif
