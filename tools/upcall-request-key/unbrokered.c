/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "auditing/record.h"
#include "tools/upcall-request-key/guard.h"
#include "tools/upcall-request-key/kmsg.h"
#include "tools/upcall-request-key/netlink.h"
#include "tools/upcall-request-key/rights.h"
#include "tools/upcall-request-key/slot.h"
#include "tools/upcall-request-key/unbrokered.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/key.h"

/* Beside RUNTIME_DIR, which is the broker's: this file is root's alone. */
#define SLOTS_PATH RUNTIME_DIR "-unbrokered.lock"

/* The child's own deadline. While the kernel makes it wait it ends no sooner than that is over. */
#define SECONDS 5

static const char *const modes[] = { [UPCALL_ACTION_DEFER] = "defer", [UPCALL_ACTION_REJECT] = "reject" };
static const char *const origins[] = { [UPCALL_ORIGIN_USER] = "user", [UPCALL_ORIGIN_KERNEL] = "kernel" };
static const char *const outcomes[] = {
        [UPCALL_OUTCOME_INSTANTIATED] = "instantiated", [UPCALL_OUTCOME_NEGATED] = "negated",
        [UPCALL_OUTCOME_REJECTED] = "rejected", [UPCALL_OUTCOME_ABANDONED] = "abandoned",
};

#define WORD(words, value) ((value) < ELEMENTS(words) ? (words)[value] : NULL)

static struct record_subject subject_of(const struct upcall *upcall) {
        const struct process_facts *caller = &upcall->request.caller;

        return (struct record_subject){
                .pid = caller->tgid, .uid = caller->ruid, .loginuid = caller->loginuid, .sessionid = caller->sessionid, .comm = caller->comm,
        };
}

int unbrokered_text(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome, uint64_t missed, char *data,
                    size_t size) {
        static const uint8_t no_id[UPCALL_ID_SIZE];
        const struct process_facts *caller = &upcall->request.caller;
        const struct record_namespaces namespaces = { .pid = caller->pid_ns.ids[0].inode, .user = caller->user_ns.ids[0].inode, .mnt = caller->mnt_ns.inode };
        bool known = upcall_caller_known(upcall);
        char type[UPCALL_TYPE_MAX + 1] = "";
        size_t type_size = upcall->key.type.size < UPCALL_TYPE_MAX ? upcall->key.type.size : UPCALL_TYPE_MAX;
        struct record_unbrokered record = {
                .upcall = {
                        .subject = subject_of(upcall), .id = memcmp(upcall->request.id, no_id, sizeof no_id) != 0 ? upcall->request.id : NULL,
                        .retry = upcall->request.retry, .found = "none", .origin = known ? WORD(origins, upcall->request.origin) : NULL,
                        .mode = WORD(modes, decision->action), .reason = decision->reason, .key = (uint32_t) upcall->arguments.key, .key_type = type,
                        .description = upcall->key.description.data, .description_size = upcall->key.description.size,
                        .outcome = WORD(outcomes, outcome->outcome), .error = outcome->error,
                },
                .caller = known ? &namespaces : NULL,
                .missed = missed,
        };

        if (type_size > 0)
                memcpy(type, upcall->key.type.data, type_size);
        return record_unbrokered(&record, data, size);
}

static int send_text(char *text, size_t used, size_t size, bool success) {
        char exe[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        int r;

        exe[n > 0 ? n : 0] = '\0';
        r = netlink_tail(exe, success, text + used, size - used);
        return r < 0 ? r : netlink_send(RECORD_CONTROL, text);
}

static int make_record(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome, uint64_t missed) {
        char text[RECORD_TEXT_MAX + 2 * NETLINK_EXE_MAX + 128];
        int r = unbrokered_text(upcall, decision, outcome, missed, text, sizeof text);

        return r < 0 ? r : send_text(text, (size_t) r, sizeof text, outcome->outcome == UPCALL_OUTCOME_INSTANTIATED);
}

/* Without the file there is no limit: a record that is missing is worse. */
static int record_in_slot(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome) {
        _cleanup_close_ int fd = slot_open(SLOTS_PATH);
        uint64_t missed;
        int r;

        if (fd < 0)
                return make_record(upcall, decision, outcome, 0);
        r = slot_take(fd);
        if (r < 0) {
                slot_count(fd, 1);
                return r;
        }
        missed = slot_take_count(fd);
        r = make_record(upcall, decision, outcome, missed);
        if (r < 0)
                slot_count(fd, missed + 1);
        return r;
}

/* The authorisation key must end with the process that the kernel started: neither its authority nor the keyring that it is in stay. */
static int let_go(void) {
        int r;

        (void) alarm(SECONDS);
        (void) syscall(SYS_close_range, 0u, UINT_MAX, 0u);
        r = key_assume_authority(0);
        if (r == 0)
                r = key_leave_session();
        return r < 0 ? r : rights_give_up_but_record();
}

_Noreturn static void child(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome) {
        int r;

        guard_end();
        r = let_go();
        if (r == 0)
                r = record_in_slot(upcall, decision, outcome);
        if (r < 0)
                kmsg("key %d: no audit record of it was made: %s, error %d", upcall->arguments.key,
                     r == -EBUSY ? "the audit system keeps too many others waiting" : "it cannot be sent", -r);
        _exit(r < 0);
}

void unbrokered_record(const struct upcall *upcall, const struct decision *decision, const struct outcome *outcome) {
        pid_t pid = fork();

        if (pid == 0)
                child(upcall, decision, outcome);
        if (pid < 0)
                kmsg("key %d: no audit record of it was made: no process for it, error %d", upcall->arguments.key, errno);
}
