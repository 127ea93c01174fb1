/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/keyctl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/upcall-request-key/auditd.h"
#include "tools/upcall-request-key/keylist.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/key.h"
#include "util/process.h"

/* The last one that is valid. Nothing depends on nobody having it. */
#define UID_OF_NOBODY ((uid_t) -2)

/* The longest that a caller may take to fall asleep */
#define ASLEEP_MS 2000

void upcall_init(struct upcall *upcall) {
        memset(&upcall->request, 0, sizeof upcall->request);
        memset(&upcall->key, 0, sizeof upcall->key);
        upcall->pidfd = -1;
}

void upcall_done(struct upcall *upcall) {
        upcall->pidfd = close_fd(upcall->pidfd);
}

static int describe(struct upcall *upcall) {
        ssize_t n = key_describe(upcall->arguments.key, upcall->text, sizeof upcall->text);

        if (n < 0)
                return (int) n;
        if ((size_t) n > sizeof upcall->text)
                return -EMSGSIZE;
        return key_description_parse(upcall->text, (size_t) n, &upcall->key);
}

static int read_callout(struct upcall *upcall, size_t *ret_size) {
        ssize_t n = key_read(KEY_SPEC_REQKEY_AUTH_KEY, upcall->callout, sizeof upcall->callout);

        if (n < 0)
                return (int) n;
        if (n > UPCALL_CALLOUT_MAX)
                return -EMSGSIZE;
        *ret_size = (size_t) n;
        return 0;
}

/* Reads /proc/keys as somebody who owns no keys: the authorisation key is seen all the same, because it is in our session keyring, and
 * the kernel need not print the others. Tried with 2000 keys of root's: 190 us instead of 740 for all of the list. */
static int find_line(int32_t serial, struct key_search *ret_search) {
        int r;

        (void) setfsuid(UID_OF_NOBODY);
        r = key_list_find(serial, ret_search);
        (void) setfsuid(0);
        return r;
}

/* Who waits for this key: only the authorisation key's line in /proc/keys says so. */
static int find_caller(int32_t key, pid_t *ret_tid) {
        struct key_search search;
        int32_t authorisation;
        int r;

        authorisation = key_serial(KEY_SPEC_REQKEY_AUTH_KEY);
        if (authorisation < 0)
                return authorisation;
        r = find_line(authorisation, &search);
        if (r < 0)
                return r;
        return key_line_caller(search.line, key, ret_tid);
}

/* The kernel may give us the processor that the caller was on, between its question and its sleep: it is runnable then (seen at every other
 * upcall on some machines with one processor), and waits as soon as it gets a turn, which a container's cpu.max may defer. */
static int collect_asleep(int pidfd, pid_t tid, struct process_facts *ret_caller) {
        const struct timespec turn = { .tv_nsec = USEC_PER_MSEC * 1000 };
        uint64_t deadline = deadline_in_ms(ASLEEP_MS);
        int r;

        for (;;) {
                r = process_collect(pidfd, tid, ret_caller, NULL, NULL);
                if (r != 0 || ret_caller->state != 'R' || deadline_left_ms(deadline) == 0)
                        return r;
                (void) nanosleep(&turn, NULL);
        }
}

static int collect_caller(struct upcall *upcall) {
        struct process_facts *caller = &upcall->request.caller;
        pid_t tid;
        int r;

        r = find_caller(upcall->arguments.key, &tid);
        if (r < 0)
                return r;
        upcall->pidfd = process_open(tid);
        if (upcall->pidfd < 0)
                return upcall->pidfd;
        r = collect_asleep(upcall->pidfd, tid, caller);
        if (r < 0)
                return r;
        if (r > 0)
                return r == PROCESS_GONE ? -ESRCH : -EACCES;
        /* Whoever asked sleeps until we are done and cannot be woken: anybody else behind that number is not he. */
        return caller->state == 'D' ? 0 : -ESRCH;
}

/* The kernel's own requests run under credentials with a thread keyring that nobody else can have. */
static uint32_t find_origin(const struct arguments *arguments) {
        struct key_description keyring;
        char text[256];
        ssize_t n;

        if (arguments->thread_keyring == 0)
                return UPCALL_ORIGIN_USER;
        n = key_describe(arguments->thread_keyring, text, sizeof text);
        if (n < 0 || (size_t) n > sizeof text || key_description_parse(text, (size_t) n, &keyring) < 0)
                return UPCALL_ORIGIN_USER;
        return key_description_is_kernel_keyring(&keyring) ? UPCALL_ORIGIN_KERNEL : UPCALL_ORIGIN_USER;
}

static int make_id(uint8_t id[static UPCALL_ID_SIZE]) {
        ssize_t n = getrandom(id, UPCALL_ID_SIZE, GRND_NONBLOCK);

        return n == UPCALL_ID_SIZE ? 0 : n < 0 ? negative_errno() : -EIO;
}

static void fill_request(struct upcall *upcall, size_t callout_size) {
        struct message_request *request = &upcall->request;

        request->key = (uint32_t) upcall->arguments.key;
        request->key_type = upcall->key.type;
        request->description = upcall->key.description;
        if (callout_size > 0)
                request->callout = wire_span(upcall->callout, callout_size);
        request->uid = upcall->arguments.uid;
        request->gid = upcall->arguments.gid;
        request->origin = find_origin(&upcall->arguments);
        if (request->origin == UPCALL_ORIGIN_USER && request->uid != request->caller.fsuid)
                request->flags |= UPCALL_FLAG_UID_MISMATCH;
}

int upcall_collect(struct upcall *upcall, const struct arguments *arguments, const char **ret_reason) {
        size_t callout_size = 0;
        int r;

        upcall->arguments = *arguments;
        upcall->key.uid = arguments->uid; /* whose it is, should it not be said below */
        *ret_reason = "key-unreadable";
        r = describe(upcall);
        if (r < 0)
                return r;
        r = read_callout(upcall, &callout_size);
        if (r < 0)
                return r;
        *ret_reason = "caller-gone";
        r = collect_caller(upcall);
        if (r < 0)
                return r;
        fill_request(upcall, callout_size);
        *ret_reason = "no-random";
        return make_id(upcall->request.id);
}

/* The request is filled in when the caller was seen to wait. */
bool upcall_caller_known(const struct upcall *upcall) {
        return upcall->request.key != 0;
}

bool caller_is_hosts(const struct process_facts *caller) {
        return caller->pid_ns.ids[0].inode == PROCESS_INIT_PID_NS && caller->user_ns.ids[0].inode == PROCESS_INIT_USER_NS;
}

/* In our own mount namespace, which is the host's: not in a container that shares the other namespaces. */
static bool caller_shares_mounts(const struct process_facts *caller) {
        struct stat st;

        return caller->n_mnt_ns > 0 && stat("/proc/self/ns/mnt", &st) == 0 &&
               namespace_id_equal(caller->mnt_ns, (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino });
}

/* A kernel thread, and whoever acts for a container (upcallctl run), look like the host's own. */
bool caller_is_hosts_own(const struct process_facts *caller) {
        return caller_is_hosts(caller) && !caller->kernel_thread && !process_in_run_cgroup(caller->cgroup_path);
}

bool caller_is_surely_hosts(const struct process_facts *caller) {
        return caller_is_hosts_own(caller) && caller_shares_mounts(caller);
}

static bool kernel_calls_it_auditd(const struct process_facts *caller) {
        uint32_t pid;

        return auditd_pid(&pid) == 0 && pid > 0 && pid == caller->tgid;
}

/* Its unit gives it a mount namespace of its own. Nobody but who has that name is asked about, which takes time. */
bool caller_is_auditd(const struct process_facts *caller) {
        return strcmp(caller->comm, "auditd") == 0 && caller->fsuid == 0 && caller_is_hosts(caller) &&
               (caller_shares_mounts(caller) || kernel_calls_it_auditd(caller));
}

bool caller_is_broker(const struct process_facts *caller, const struct ucred *peer) {
        if (!caller_is_hosts(caller))
                return false;
        if (peer->pid > 0 && caller->tgid == (uint32_t) peer->pid)
                return true;
        if (peer->pid > 1 && caller->parent_pid == (uint32_t) peer->pid)
                return true;
        return peer->uid != 0 && caller->fsuid == peer->uid && caller_shares_mounts(caller);
}
