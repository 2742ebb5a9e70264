/* The supervisor: the app under an init that does not tell what became of it, or under none. */
#include "launch.h"

#include <sys/prctl.h>
#include <time.h>

static void record_status(int status) {
    char text[64];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exited %d\n", WEXITSTATUS(status));
    else
        snprintf(text, sizeof text, "%s %d\n", WCOREDUMP(status) ? "dumped" : "killed", WTERMSIG(status));
    record(PLACE "exit", text);
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
    int64_t patience;   /* when an app that was asked to stop is killed, 0 for never */
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
    if (self->one && self->child != 0)
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

static long stop_timeout(const struct supervisor *self) { return number(&self->spec, "stop-timeout", 10); }

static bool handle(struct supervisor *self, int caught) {
    if (caught == SIGCHLD)
        return reap(self);
    if (self->child == 0) { /* between two runs, or kept: there is nothing to wait for */
        bool ends = caught == SIGTERM || caught == SIGINT || caught == SIGHUP || caught == SIGQUIT || caught == SIGPWR;
        self->stopping = ends || caught == self->stop_signal;
        return self->stopping;
    }
    if (caught == SIGTERM && !self->one)
        caught = self->stop_signal; /* an init knows only this one */
    if (caught == self->stop_signal && !self->stopping) {
        long seconds = self->one ? -1 : stop_timeout(self); /* process 1 is killed from outside */
        self->stopping = true;
        self->patience = seconds < 0 ? 0 : now_ms() + seconds * 1000;
    }
    send_to_app(self, caught);
    return false;
}

static void supervise_until_done(struct supervisor *self) {
    const uint64_t all = ~0ULL;
    block_signals(true); /* before the first fork: no end is missed */
    begin(self);
    if (self->child == 0 && ended(self))
        return;
    notify("READY=1");
    for (bool done = false; !done;) {
        int64_t next = self->due != 0 ? self->due : self->patience, left = next != 0 ? next - now_ms() : 3600000;
        struct timespec time = {.tv_sec = left > 0 ? left / 1000 : 0, .tv_nsec = left > 0 ? left % 1000 * 1000000 : 0};
        int caught = (int)syscall(SYS_rt_sigtimedwait, &all, NULL, &time, sizeof all);
        if (caught > 0)
            done = handle(self, caught);
        else if (self->due != 0 && now_ms() >= self->due)
            begin(self);
        else if (self->patience != 0 && now_ms() >= self->patience) {
            self->patience = 0;
            send_to_app(self, SIGKILL);
        }
    }
}

/* Ask the init to end the machine, in its own way: a signal to process 1 (`halt-signal`) or a program (`halt`).
 * Such a program runs when `after` has ended: an init that finds a service of its own alive waits whole seconds for it. */
static void halt_machine(pid_t after) {
    struct spec spec;
    size_t count;
    if (!load(PLACE "init", &spec))
        return;
    char **argv = values(&spec, "halt", &count);
    char *env[] = {(char *)"PATH=" DEFAULT_PATH, NULL};
    long signal_number = number(&spec, "halt-signal", 0);
    record(PLACE "stopping", "app\n");
    if (signal_number > 0)
        kill(1, (int)signal_number);
    if (count == 0 || fork() != 0)
        return;
    setsid();
    default_signals();
    wait_for_end(after, 10);
    int error = execute(argv, env);
    say("pouch: cannot run %s: %s", argv[0], strerror(error));
    _exit(NOT_EXECUTABLE);
}

int run_supervisor(bool one) {
    struct supervisor self = {.one = one};
    load_app(&self.spec);
    self.on_exit = value(&self.spec, "on-exit", "stop");
    self.stop_signal = (int)number(&self.spec, "stop-signal", SIGTERM);
    if (!one) {
        /* What the app orphans is reaped here at once; some inits take a second for it. */
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        char text[32];
        snprintf(text, sizeof text, "%d\n", (int)getpid());
        record(PLACE "supervisor", text);
        setsid();
    }
    supervise_until_done(&self);
    if (!one) {
        unlink(PLACE "supervisor");
        if (!self.stopping && strcmp(self.on_exit, "stop") == 0)
            halt_machine(getpid());
    }
    return WIFEXITED(self.status) ? WEXITSTATUS(self.status) : 128 + WTERMSIG(self.status);
}

/* Stop the app before the init's own shutdown goes on: SIGTERM to the supervisor, which passes the app's own stop signal. */
int run_stop(void) {
    struct spec spec;
    size_t size;
    char *text = slurp(PLACE "supervisor", &size);
    pid_t pid = text != NULL ? (pid_t)strtol(text, NULL, 10) : 0;
    if (pid <= 1 || kill(pid, SIGTERM) < 0)
        return 0; /* the app does not run */
    load_app(&spec);
    long seconds = number(&spec, "stop-timeout", 10);
    return wait_for_end(pid, seconds < 0 ? seconds : seconds + 2) == 0 ? 0 : 1; /* it kills the app at its time */
}

int run_halt(void) {
    run_stop();
    halt_machine(getpid());
    return 0;
}
