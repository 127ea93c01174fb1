/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cap-ng.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "broker/witness-check.h"
#include "broker/witness-filter.h"
#include "broker/witness.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"
#include "util/packet.h"

#define QUESTIONS_MAX 1024

/* Answers that are taken in at once, before others have their turn */
#define ANSWERS_PER_TURN 16

/* sd-event would put off a timer by up to 250 ms */
#define TIMER_ACCURACY_USEC 1000

struct WitnessQuestion {
        Witness *witness;
        uint64_t seqno, deadline;
        pid_t pid; /* whom it is about */
        witness_done_t done;
        void *userdata;
        TAILQ_ENTRY(WitnessQuestion) link;
};

struct Witness {
        unsigned references; /* the owner's, and one while callbacks run, which may let the owner go */
        int fd;              /* -1: lost, or the owner is gone */
        sd_event_source *io, *timer;
        uint64_t timeout_usec, seqno;
        witness_lost_t lost;
        void *userdata;
        TAILQ_HEAD(question_list, WitnessQuestion) questions; /* oldest first: that is by deadline, and how answers come */
        unsigned n_questions;
};

/* In the child, between fork and exec: an error becomes what witness_start() returns. */

/* Moves a descriptor out of the way of those that the witness gets. */
static int move_above(int *fd, int last) {
        int moved;

        if (*fd > last)
                return 0;
        moved = fcntl(*fd, F_DUPFD_CLOEXEC, last + 1);
        if (moved < 0)
                return negative_errno();
        close_fd(*fd);
        *fd = moved;
        return 0;
}

/* Descriptor 3 is the socket, 0 and 1 are nothing, 2 stays for the one line when it cannot start. */
static int child_set_descriptors(int socket) {
        _cleanup_close_ int null = -1;

        if (socket == WITNESS_SOCKET ? fcntl(socket, F_SETFD, 0) < 0 : dup2(socket, WITNESS_SOCKET) < 0)
                return negative_errno();
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || move_above(&null, WITNESS_SOCKET) < 0)
                return negative_errno();
        if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
                return negative_errno();
        /* what somebody forgot to close on exec (include/uapi/linux/close_range.h, CLOSE_RANGE_CLOEXEC, 5.11) */
        if (syscall(SYS_close_range, WITNESS_SOCKET + 1, ~0u, 1u << 2) < 0 && errno != ENOSYS && errno != EINVAL)
                return negative_errno();
        return 0;
}

static int child_reset_signals(void) {
        sigset_t none;

        for (int number = 1; number < NSIG; number++)
                (void) signal(number, SIG_DFL); /* SIGKILL, SIGSTOP and the C library's own refuse */
        if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return negative_errno();
        return 0;
}

/* The way over exec leads through the inheritable and the ambient set, from which the witness takes itself out. What is to
 * be inheritable must be in the bounding set when it is made so, hence the two steps. libcap-ng's codes are no errnos. */
static int child_keep_ptrace_alone(uid_t uid, gid_t gid) {
        if (capng_get_caps_process() < 0)
                return -EPERM;
        if (capng_update(CAPNG_ADD, CAPNG_INHERITABLE, CAP_SYS_PTRACE) < 0 || capng_apply(CAPNG_SELECT_CAPS) < 0)
                return -EPERM;
        capng_clear(CAPNG_SELECT_ALL);
        if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_SYS_PTRACE) < 0)
                return -EPERM;
        if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0) < 0)
                return negative_errno();
        if (capng_change_id((int) uid, (int) gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) < 0)
                return -EPERM;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0) < 0)
                return negative_errno();
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? negative_errno() : 0;
}

static int child_execute(int program, uid_t uid, gid_t gid, int socket) {
        char *const arguments[] = { (char *) (uintptr_t) "upcalld-witness", NULL }, *const environment[] = { NULL };
        int r = child_reset_signals();

        if (r >= 0 && (chdir("/") < 0 || setsid() < 0)) /* out of the way of a terminal's signals */
                r = negative_errno();
        if (r >= 0)
                r = child_keep_ptrace_alone(uid, gid);
        if (r >= 0)
                r = child_set_descriptors(socket);
        if (r < 0)
                return r;
        (void) syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
        return negative_errno();
}

/* End of file: the program runs. Otherwise what went wrong in the child, which is then reaped. */
static int wait_for_exec(int report, pid_t pid) {
        int error = 0;
        ssize_t n;

        do
                n = read(report, &error, sizeof error);
        while (n < 0 && errno == EINTR);
        if (n == 0)
                return 0;
        (void) waitpid(pid, NULL, 0);
        return n == sizeof error && error < 0 ? error : -EIO;
}

int witness_start(const char *program, uid_t uid, gid_t gid, int *ret_fd, pid_t *ret_pid) {
        _cleanup_close_ int ours = -1, its = -1, report = -1, reporter = -1, executable = -1;
        int pair[2], reports[2], r;
        pid_t pid;

        if (uid == 0 || uid == (uid_t) -1 || gid == (gid_t) -1)
                return -EINVAL;
        if (geteuid() != 0)
                return -EPERM;
        executable = open(program, O_PATH | O_CLOEXEC); /* while whatever folder it is in may still be entered */
        if (executable < 0)
                return negative_errno();
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return negative_errno();
        ours = pair[0];
        its = pair[1];
        if (pipe2(reports, O_CLOEXEC) < 0)
                return negative_errno();
        report = reports[0];
        reporter = reports[1];
        r = move_above(&executable, WITNESS_SOCKET);
        if (r >= 0)
                r = move_above(&reporter, WITNESS_SOCKET);
        if (r < 0)
                return r;
        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0) {
                r = child_execute(executable, uid, gid, its);
                (void) !write(reporter, &r, sizeof r);
                _exit(127);
        }
        reporter = close_fd(reporter);
        r = wait_for_exec(report, pid);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(ours);
        *ret_pid = pid;
        return 0;
}

static Witness *witness_unref(Witness *witness) {
        if (--witness->references > 0)
                return NULL;
        sd_event_source_disable_unref(witness->io);
        sd_event_source_disable_unref(witness->timer);
        free(witness);
        return NULL;
}

static void witness_unrefp(Witness **witness) {
        if (*witness)
                *witness = witness_unref(*witness);
}

static Witness *witness_ref(Witness *witness) {
        witness->references++;
        return witness;
}

static void witness_disconnect(Witness *witness) {
        (void) sd_event_source_set_enabled(witness->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(witness->timer, SD_EVENT_OFF);
        witness->fd = close_fd(witness->fd);
}

static WitnessQuestion *question_free(WitnessQuestion *question) {
        TAILQ_REMOVE(&question->witness->questions, question, link);
        question->witness->n_questions--;
        free(question);
        return NULL;
}

/* Not the witness's any more when it calls back, so that whoever is called may do anything. */
static void question_finish(WitnessQuestion *question, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        witness_done_t done = question->done;
        void *userdata = question->userdata;

        question_free(question);
        done(userdata, error, facts, pid_ns, user_ns);
}

Witness *witness_free(Witness *witness) {
        WitnessQuestion *question;

        if (!witness)
                return NULL;
        while ((question = TAILQ_FIRST(&witness->questions)))
                question_free(question);
        witness->lost = NULL;
        witness_disconnect(witness);
        return witness_unref(witness);
}

/* The questions that are there now are answered; those asked meanwhile are refused by witness_ask(). */
static void witness_lose(Witness *witness) {
        WitnessQuestion *question;

        witness_disconnect(witness);
        while ((question = TAILQ_FIRST(&witness->questions)))
                question_finish(question, -EPIPE, NULL, -1, -1);
        if (witness->lost)
                witness->lost(witness->userdata);
}

/* The timer stands at the oldest question's deadline. */
static int arm_timer(Witness *witness) {
        WitnessQuestion *oldest = TAILQ_FIRST(&witness->questions);
        int r;

        if (!oldest || witness->fd < 0)
                return sd_event_source_set_enabled(witness->timer, SD_EVENT_OFF);
        r = sd_event_source_set_time(witness->timer, oldest->deadline);
        return r < 0 ? r : sd_event_source_set_enabled(witness->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        _cleanup_(witness_unrefp) Witness *witness = witness_ref(userdata);
        uint64_t now = usec_now(CLOCK_BOOTTIME);
        WitnessQuestion *question;

        (void) source;
        (void) usec;
        while ((question = TAILQ_FIRST(&witness->questions)) && question->deadline <= now)
                question_finish(question, -ETIMEDOUT, NULL, -1, -1);
        return arm_timer(witness);
}

static WitnessQuestion *find_question(Witness *witness, uint64_t seqno) {
        WitnessQuestion *question;

        TAILQ_FOREACH(question, &witness->questions, link)
                if (question->seqno >= seqno)
                        return question->seqno == seqno ? question : NULL;
        return NULL;
}

/* An answer that nobody waits for any more is dropped, and its descriptors with it. */
static int take_answer(Witness *witness, struct packet *packet) {
        WitnessQuestion *question;
        struct message_seen seen;
        int r = packet_decode(packet, &message_seen_layout, &seen), pid_ns, user_ns;

        if (r < 0)
                return r;
        if ((seen.error == 0) != (packet->n_descriptors == 2) || (seen.error == 0 && seen.facts.tid == 0))
                return -EBADMSG;
        question = find_question(witness, seen.seqno);
        if (!question)
                return 0;
        if (seen.error != 0) {
                question_finish(question, -(int) seen.error, NULL, -1, -1);
                return 0;
        }
        r = witness_check(question->pid, &seen.facts, packet->descriptors[0], packet->descriptors[1]);
        if (r < 0) {
                question_finish(question, r, NULL, -1, -1);
                return r == -EBADMSG ? r : 0; /* a witness that lies is as good as none */
        }
        pid_ns = packet_take_descriptor(packet, 0);
        user_ns = packet_take_descriptor(packet, 1);
        question_finish(question, 0, &seen.facts, pid_ns, user_ns);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _cleanup_(witness_unrefp) Witness *witness = witness_ref(userdata);
        _cleanup_(packet_done) struct packet packet;

        (void) source;
        (void) fd;
        (void) events;
        packet_init(&packet);
        for (unsigned i = 0; i < ANSWERS_PER_TURN && witness->fd >= 0; i++) {
                int r = packet_receive(witness->fd, &packet, 2);

                if (r == PACKET_AGAIN)
                        break;
                if (r == 0)
                        r = take_answer(witness, &packet);
                if (r != 0) { /* it is gone, or sends nonsense: both cannot be mended */
                        witness_lose(witness);
                        break;
                }
        }
        return arm_timer(witness);
}

int witness_new(sd_event *event, int fd, uint64_t timeout_ms, witness_lost_t lost, void *userdata, Witness **ret_witness) {
        _cleanup_close_ int owned = fd;
        _cleanup_(witness_freep) Witness *witness = calloc(1, sizeof *witness);
        int r;

        if (!witness)
                return -ENOMEM;
        TAILQ_INIT(&witness->questions);
        witness->references = 1;
        witness->timeout_usec = timeout_ms * USEC_PER_MSEC;
        witness->lost = lost;
        witness->userdata = userdata;
        witness->fd = TAKE_FD(owned);
        r = sd_event_add_io(event, &witness->io, witness->fd, EPOLLIN, on_io, witness);
        if (r >= 0)
                r = sd_event_add_time(event, &witness->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY_USEC, on_timer, witness);
        if (r >= 0)
                r = sd_event_source_set_enabled(witness->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(witness->io, "witness");
        *ret_witness = TAKE_PTR(witness);
        return 0;
}

/* What says that it has too much to do, not that it is gone: a full buffer, or too many descriptors under way (unix(7)). */
static bool means_busy(int error) {
        return error == -EAGAIN || error == -ENOBUFS || error == -ETOOMANYREFS;
}

/* A witness that is gone shows by the end of file, too, so that only then everybody hears of it, from the event loop. */
int witness_ask(Witness *witness, int pidfd, witness_done_t done, void *userdata, WitnessQuestion **ret_question) {
        WitnessQuestion *question;
        struct message_look look;
        pid_t pid;
        int r;

        if (witness->fd < 0)
                return -EPIPE;
        if (witness->n_questions >= QUESTIONS_MAX)
                return -EBUSY;
        /* anything else would be the witness's to close, which may block */
        pid = process_pidfd_number(pidfd);
        if (pid == -EBADF)
                return -EBADF;
        question = malloc(sizeof *question);
        if (!question)
                return -ENOMEM;
        *question = (WitnessQuestion){
                .witness = witness,
                .seqno = ++witness->seqno,
                .pid = pid,
                .deadline = usec_now(CLOCK_BOOTTIME) + witness->timeout_usec,
                .done = done,
                .userdata = userdata,
        };
        TAILQ_INSERT_TAIL(&witness->questions, question, link);
        witness->n_questions++;
        look = (struct message_look){ .seqno = question->seqno };
        r = packet_send(witness->fd, &message_look_layout, &look, &pidfd, 1);
        if (r >= 0)
                r = arm_timer(witness);
        if (r < 0) {
                question_free(question);
                return means_busy(r) ? -EBUSY : r;
        }
        *ret_question = question;
        return 0;
}

WitnessQuestion *witness_cancel(WitnessQuestion *question) {
        return question ? question_free(question) : NULL;
}
