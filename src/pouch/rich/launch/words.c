/* Messages, the files of the engine, notifications. */
#include "launch.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

void say(const char *format, ...) {
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
void record(const char *path, const char *text) {
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

char *slurp(const char *path, size_t *size) {
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


bool load(const char *path, struct spec *spec) {
    spec->data = slurp(path, &spec->size);
    return spec->data != NULL;
}

/* The values of a key, NULL-terminated; *count is their number. An absent key has none. */
char **values(const struct spec *spec, const char *wanted, size_t *count) {
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

const char *value(const struct spec *spec, const char *key, const char *otherwise) {
    size_t count;
    char **list = values(spec, key, &count);
    const char *first = count > 0 ? list[0] : otherwise;
    free(list);
    return first;
}

long number(const struct spec *spec, const char *key, long otherwise) {
    const char *text = value(spec, key, NULL);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

void notify(const char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PLACE "notify"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* An engine that is away for a moment keeps no machine from its work: the result does not matter. */
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) < 0)
        errno = 0;
    close(fd);
}

