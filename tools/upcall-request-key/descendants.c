/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/descendants.h"
#include "tools/upcall-request-key/number.h"
#include "util/cleanup.h"
#include "util/process.h"

/* Of one thread, in one turn; the others come in the next one. */
#define CHILDREN_TEXT 4096

/* A family tree deeper than this is finished from the top in several turns. */
#define DEPTH_MAX 24

/* Whoever makes others faster than they are stopped is killed half-way. */
#define STOP_TURNS 64

static ssize_t read_children(const char *tasks, const char *tid, char text[static CHILDREN_TEXT]) {
        _cleanup_close_ int fd = -1;
        char path[64];
        ssize_t n;

        (void) snprintf(path, sizeof path, "%s/%.12s/children", tasks, tid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, CHILDREN_TEXT - 1);
        text[n > 0 ? n : 0] = '\0';
        /* a number that was cut is none */
        if (n == CHILDREN_TEXT - 1)
                text[strrchr(text, ' ') ? strrchr(text, ' ') - text : 0] = '\0';
        return n;
}

/* Returns whether it runs, or may. The number may have passed to another process since it was read: one that is no child of the one that it was read of. */
static bool send_to_child(pid_t pid, pid_t parent, int signal_number) {
        _cleanup_close_ int pidfd = process_open(pid);
        struct process_stat stat;

        if (pidfd < 0 || process_read_stat(pid, &stat) != 0 || stat.parent != parent)
                return false;
        (void) syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
        return stat.state != 'T' && stat.state != 't' && stat.state != 'Z' && stat.state != 'X';
}

static unsigned walk(pid_t parent, int signal_number, unsigned depth);

/* From the top when they are stopped, so that nobody makes more behind our back; from below when they are killed, so that nobody loses his parents. */
static unsigned walk_children(char *text, pid_t parent, int signal_number, unsigned depth) {
        unsigned running = 0;
        char *next;

        for (char *word = text; *word != '\0'; word = next) {
                size_t length = strcspn(word, " ");
                int64_t pid;

                next = word + length + (word[length] == ' ');
                word[length] = '\0';
                if (number_parse(word, 1, INT32_MAX, &pid) < 0)
                        continue;
                if (signal_number == SIGSTOP)
                        running += send_to_child((pid_t) pid, parent, SIGSTOP);
                if (depth < DEPTH_MAX)
                        running += walk((pid_t) pid, signal_number, depth + 1);
                if (signal_number == SIGKILL)
                        (void) send_to_child((pid_t) pid, parent, SIGKILL);
        }
        return running;
}

/* Returns how many ran. */
static unsigned walk(pid_t parent, int signal_number, unsigned depth) {
        char tasks[32], text[CHILDREN_TEXT];
        struct dirent *entry;
        unsigned running = 0;
        DIR *folder;

        (void) snprintf(tasks, sizeof tasks, "/proc/%d/task", parent);
        folder = opendir(tasks);
        while (folder && (entry = readdir(folder)))
                if (entry->d_name[0] != '.' && read_children(tasks, entry->d_name, text) > 0)
                        running += walk_children(text, parent, signal_number, depth);
        if (folder)
                (void) closedir(folder);
        return running;
}

bool descendants_left(pid_t pid) {
        char tasks[32], number[16], text[CHILDREN_TEXT];

        (void) snprintf(tasks, sizeof tasks, "/proc/%d/task", pid);
        (void) snprintf(number, sizeof number, "%d", pid);
        return read_children(tasks, number, text) > 0;
}

void descendants_kill(pid_t pid) {
        for (unsigned turn = 0; turn < STOP_TURNS && walk(pid, SIGSTOP, 0) > 0; turn++)
                ;
        (void) walk(pid, SIGKILL, 0);
}
