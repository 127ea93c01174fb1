/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcallctl/output.h"
#include "tools/upcallctl/runtime-state.h"
#include "util/error.h"

#define STATE_SIZE_MAX (4u << 20) /* runc's has the whole configuration in it: tens of KiB */

/* Where they keep a folder per container, in those of containerd within one folder per namespace. */
static const struct place {
        const char *path;
        const char *file;
        enum runtime format;  /* what the file is */
        enum runtime runtime; /* who keeps it there */
        bool namespaces;
} places[] = {
        { "run/runc", "state.json", RUNTIME_RUNC, RUNTIME_RUNC, false },
        { "run/crun", "status", RUNTIME_CRUN, RUNTIME_CRUN, false },
        { "run/docker/runtime-runc", "state.json", RUNTIME_RUNC, RUNTIME_DOCKER, true },
        { "run/containerd/runc", "state.json", RUNTIME_RUNC, RUNTIME_CONTAINERD, true },
};

#define DOCKERS_NAMESPACE "moby"

struct reader {
        uid_t owner;
        struct runtime_states *states;
};

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/* Whether root alone (owner) can have written it. -EPERM: no. */
static int check_owner(const struct reader *reader, int fd, mode_t type) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if ((st.st_mode & S_IFMT) != type)
                return type == S_IFDIR ? -ENOTDIR : -EINVAL;
        return st.st_uid == reader->owner && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EPERM;
}

/* One step: no link is followed, nothing is waited for. */
static int open_checked(const struct reader *reader, int dir, const char *name, mode_t type, int *ret_fd) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        int r = fd < 0 ? negative_errno() : check_owner(reader, fd, type);

        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Folder by folder, each of which must be root's. */
static int open_folders(const struct reader *reader, int root, const char *path, int *ret_fd) {
        _cleanup_close_ int dir = -1;
        char name[64];

        for (size_t length; *path != '\0'; path += length + (path[length] == '/')) {
                int next = -1, r;

                length = strcspn(path, "/");
                (void) snprintf(name, sizeof(name), "%.*s", (int) length, path);
                r = open_checked(reader, dir >= 0 ? dir : root, name, S_IFDIR, &next);
                if (r < 0)
                        return r;
                close_fd(dir);
                dir = next;
        }
        *ret_fd = TAKE_FD(dir);
        return 0;
}

static int read_all(int fd, char **ret_text, size_t *ret_size) {
        _cleanup_free_ char *text = malloc(STATE_SIZE_MAX + 1);
        size_t size = 0;
        ssize_t n;

        if (!text)
                return -ENOMEM;
        while ((n = read(fd, text + size, STATE_SIZE_MAX + 1 - size)) > 0)
                size += (size_t) n;
        if (n < 0)
                return negative_errno();
        if (size > STATE_SIZE_MAX)
                return -EFBIG;
        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int add_state(struct runtime_states *states, const struct runtime_state *state) {
        struct runtime_state *items = reallocarray(states->items, states->n + 1, sizeof(*items));

        if (!items)
                return -ENOMEM;
        states->items = items;
        items[states->n++] = *state;
        return 0;
}

/* A folder that is looked at. */
struct folder {
        const struct place *place;
        const char *namespace; /* NULL: none */
        int fd;
        char path[NAME_MAX + 32]; /* for people */
};

static int read_state(const struct reader *reader, const struct folder *folder, const char *id) {
        const struct place *place = folder->place;
        _cleanup_close_ int folder_fd = -1, fd = -1;
        _cleanup_free_ char *text = NULL;
        struct runtime_state state;
        size_t size = 0;
        int r;

        r = open_checked(reader, folder->fd, id, S_IFDIR, &folder_fd);
        if (r >= 0)
                r = open_checked(reader, folder_fd, place->file, S_IFREG, &fd);
        if (r >= 0)
                r = read_all(fd, &text, &size);
        if (r >= 0)
                r = runtime_state_parse(place->format, id, text, size, &state);
        if (r < 0)
                return r;
        state.hint.runtime = folder->namespace && strcmp(folder->namespace, DOCKERS_NAMESPACE) == 0 ? RUNTIME_DOCKER : place->runtime;
        (void) snprintf(state.hint.source, sizeof(state.hint.source), "%s/%.255s/%s", folder->path, id, place->file);
        return add_state(reader->states, &state);
}

static const char *state_problem(int error) {
        switch (error) {
        case -EPERM:
                return "others than root may have written it";
        case -ELOOP:
                return "there is a symbolic link on the way";
        case -EBADMSG:
                return "it is not what this run time writes";
        case -EFBIG:
                return "it is too large";
        case -EINVAL:
                return "it is no plain file";
        default:
                return strerror(-error);
        }
}

/* ENOENT: a container that comes or goes. ENOTDIR: a file beside the folders. */
static int survive(const char *path, const char *name, int error) {
        if (error >= 0 || error == -ENOMEM)
                return error;
        if (error != -ENOENT && error != -ENOTDIR)
                complain("%s%s%s: %s, ignoring", path, *name ? "/" : "", name, state_problem(error));
        return 0;
}

static int read_folder(const struct reader *reader, const struct folder *folder);

static int read_namespace(const struct reader *reader, const struct folder *outer, const char *name) {
        struct folder folder = { .place = outer->place, .namespace = name };
        _cleanup_close_ int fd = -1;
        int r = open_checked(reader, outer->fd, name, S_IFDIR, &fd);

        if (r < 0)
                return r;
        folder.fd = fd;
        (void) snprintf(folder.path, sizeof(folder.path), "%.30s/%.255s", outer->path, name);
        return read_folder(reader, &folder);
}

static int read_folder(const struct reader *reader, const struct folder *folder) {
        bool namespaces = folder->place->namespaces && !folder->namespace;
        _cleanup_close_ int fd = dup(folder->fd);
        _cleanup_(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int r;

        if (fd < 0)
                return negative_errno();
        dir = fdopendir(fd);
        if (!dir)
                return negative_errno();
        (void) TAKE_FD(fd);
        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;

                if (name[0] == '.')
                        continue;
                r = survive(folder->path, name, namespaces ? read_namespace(reader, folder, name) : read_state(reader, folder, name));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_place(const struct reader *reader, int root, const struct place *place) {
        struct folder folder = { .place = place };
        _cleanup_close_ int fd = -1;
        int r;

        (void) snprintf(folder.path, sizeof(folder.path), "/%s", place->path);
        r = open_folders(reader, root, place->path, &fd);
        if (r >= 0) {
                folder.fd = fd;
                r = read_folder(reader, &folder);
        }
        return survive(folder.path, "", r);
}

static int compare_pids(const void *a, const void *b) {
        const struct runtime_state *x = a, *y = b;

        return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int runtime_states_read(const char *root, uid_t owner, struct runtime_states *ret_states) {
        _cleanup_(runtime_states_done) struct runtime_states states = { 0 };
        struct reader reader = { .owner = owner, .states = &states };
        _cleanup_close_ int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return negative_errno();
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                r = read_place(&reader, fd, &places[i]);
                if (r < 0)
                        return r;
        }
        if (states.n > 0)
                qsort(states.items, states.n, sizeof(*states.items), compare_pids);
        *ret_states = states;
        states = (struct runtime_states){ 0 };
        return 0;
}
