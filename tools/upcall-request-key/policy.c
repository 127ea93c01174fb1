/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/upcall-request-key/number.h"
#include "tools/upcall-request-key/policy.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/error.h"

void policy_name(struct policy *policy, const char *name) {
        int64_t seconds;

        if (strcmp(name, "on-broker-down-defer") == 0)
                policy->on_broker_down_defer = true;
        if (strcmp(name, "observe") == 0)
                policy->observe = true;
        if (strcmp(name, "helper-without-seccomp") == 0)
                policy->helper_without_seccomp = true;
        if (strcmp(name, "key-group") == 0)
                policy->has_key_group = true;
        if (strncmp(name, "deadline-", 9) == 0 && number_parse(name + 9, 1, POLICY_DEADLINE_MAX, &seconds) == 0 &&
            (policy->deadline == 0 || (uint32_t) seconds < policy->deadline))
                policy->deadline = (uint32_t) seconds;
}

/* Whether only root can have put the names there. */
static bool trustworthy(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* getdents64(2): readdir(3) would want memory from the heap, which costs more than all of this. */
struct entry {
        uint64_t inode;
        int64_t offset;
        uint16_t size;
        uint8_t type;
        char name[];
};

static void take_entries(struct policy *policy, const char *buffer, size_t size) {
        for (size_t at = 0; at < size;) {
                const struct entry *entry = (const struct entry *) (const void *) (buffer + at);

                policy_name(policy, entry->name);
                at += entry->size;
        }
}

/* Of root's own file. Root's group is that of many a container's root, too: it says nothing. */
static uint32_t group_of(int folder, const char *name) {
        struct stat st;

        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0)
                return 0;
        return st.st_gid;
}

static int open_folder(int at, const char *path) {
        _cleanup_close_ int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 && trustworthy(fd) ? TAKE_FD(fd) : -1;
}

static bool has_name(int folder, const char *name) {
        struct stat st;

        return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Types are called by the kernel's modules; a name that leads elsewhere is none. */
bool policy_defers(const char *folder, struct wire_span key_type) {
        _cleanup_close_ int parent = open_folder(AT_FDCWD, folder), fd = parent < 0 ? -1 : open_folder(parent, "defer");
        char name[UPCALL_TYPE_MAX + 1] = "";

        if (fd < 0)
                return false;
        if (has_name(fd, "all"))
                return true;
        if (key_type.size == 0 || key_type.size >= sizeof name)
                return false;
        memcpy(name, key_type.data, key_type.size);
        return name[0] != '.' && !strchr(name, '/') && has_name(fd, name);
}

void policy_read(const char *folder, struct policy *ret_policy) {
        _cleanup_close_ int fd = open_folder(AT_FDCWD, folder);
        _Alignas(struct entry) char buffer[4096];
        long n;

        *ret_policy = (struct policy){ .on_broker_down_defer = false };
        if (fd < 0)
                return;
        while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
                take_entries(ret_policy, buffer, (size_t) n);
        if (ret_policy->has_key_group)
                ret_policy->key_group = group_of(fd, "key-group");
}

/* One name and no path */
static bool is_name(const char *name) {
        return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

/* Returns -1 where the folder is not root's alone, or there is none. */
static int open_subfolder(const char *folder, const char *subfolder) {
        _cleanup_close_ int parent = open_folder(AT_FDCWD, folder);

        return parent < 0 ? -1 : open_folder(parent, subfolder);
}

bool policy_has(const char *folder, const char *subfolder, const char *name) {
        _cleanup_close_ int fd = is_name(name) ? open_subfolder(folder, subfolder) : -1;

        return fd >= 0 && has_name(fd, name);
}

int policy_program(const char *folder, const char *subfolder, const char *name, char *path, size_t size) {
        _cleanup_close_ int fd = is_name(name) ? open_subfolder(folder, subfolder) : -1;
        struct stat st;
        int n;

        if (fd < 0)
                return -EPERM;
        if (fstatat(fd, name, &st, 0) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return -EPERM;
        n = snprintf(path, size, "%s/%s/%s", folder, subfolder, name);
        return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : 0;
}
