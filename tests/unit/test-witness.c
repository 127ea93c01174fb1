/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's side of the witness against a peer that the test plays, and, as root, the real one: what it can see, what
 * it holds, and what becomes of questions when it stops or dies.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "broker/witness-filter.h"
#include "broker/witness.h"
#include "tests/unit/child.h"
#include "util/deadline.h"
#include "util/message.h"
#include "util/packet.h"

#define BROKER_ID 64999 /* any that is not root's: need not have a name */

/* How long a test waits for what must come, and the witness's time-out where it must not. */
#define PATIENCE_MS 5000
#define SHORT_MS 50

static const char *witness_program(void) {
        const char *program = getenv("UPCALLD_WITNESS");

        return program ? program : BUILT_WITNESS;
}

/* What came of the questions. */
struct seen {
        unsigned n_done, n_lost;
        int error;
        struct process_facts facts;
        int pid_ns, user_ns;
        Witness *free_in_callback;
        Witness *ask_in_callback;
        int ask_result;
};

static void on_done(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns) {
        struct seen *seen = userdata;

        seen->n_done++;
        seen->error = error;
        seen->pid_ns = close_fd(seen->pid_ns);
        seen->user_ns = close_fd(seen->user_ns);
        seen->pid_ns = pid_ns;
        seen->user_ns = user_ns;
        if (facts)
                seen->facts = *facts;
        else
                seen->facts.tid = 0;
        if (seen->free_in_callback)
                seen->free_in_callback = witness_free(seen->free_in_callback);
        if (seen->ask_in_callback) {
                WitnessQuestion *question;

                seen->ask_result = witness_ask(seen->ask_in_callback, -1, on_done, seen, &question);
        }
}

static void on_lost(void *userdata) {
        struct seen *seen = userdata;

        seen->n_lost++;
}

/* Turns the event loop until count questions are done, or the witness is lost, or ms have passed. */
static void turn(sd_event *event, const struct seen *seen, unsigned count, unsigned ms) {
        uint64_t deadline = deadline_in_ms(ms);

        while (seen->n_done < count && seen->n_lost == 0 && deadline_left_ms(deadline) > 0)
                (void) sd_event_run(event, (uint64_t) deadline_left_ms(deadline) * USEC_PER_MSEC);
}

/* A broker with a witness that the test plays. */
struct played {
        sd_event *event;
        Witness *witness;
        struct seen seen;
        int peer;  /* the witness's end */
        int pidfd; /* of this process */
};

static void played_start(struct played *played, uint64_t timeout_ms) {
        int pair[2];

        *played = (struct played){ .seen = { .pid_ns = -1, .user_ns = -1 } };
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        played->peer = pair[1];
        assert_true(sd_event_new(&played->event) >= 0);
        assert_int_equal(witness_new(played->event, pair[0], timeout_ms, on_lost, &played->seen, &played->witness), 0);
        played->pidfd = process_open(getpid());
        assert_true(played->pidfd >= 0);
}

static void played_end(struct played *played) {
        played->witness = witness_free(played->witness);
        played->event = sd_event_unref(played->event);
        played->peer = close_fd(played->peer);
        played->pidfd = close_fd(played->pidfd);
        close_fd(played->seen.pid_ns);
        close_fd(played->seen.user_ns);
}

static WitnessQuestion *played_ask(struct played *played) {
        WitnessQuestion *question = NULL;

        assert_int_equal(witness_ask(played->witness, played->pidfd, on_done, &played->seen, &question), 0);
        assert_non_null(question);
        return question;
}

/* Takes one question in, as the witness would. */
static uint64_t played_take(struct played *played) {
        _cleanup_(packet_done) struct packet packet;
        struct message_look look;

        packet_init(&packet);
        assert_int_equal(packet_receive(played->peer, &packet, 1), 0);
        assert_int_equal(packet_decode(&packet, &message_look_layout, &look), 0);
        assert_int_equal(packet.n_descriptors, 1);
        assert_int_equal(process_pidfd_number(packet.descriptors[0]), getpid());
        return look.seqno;
}

static void played_answer(struct played *played, uint64_t seqno, uint32_t error) {
        _cleanup_close_ int pid_ns = -1, user_ns = -1;
        struct message_seen seen = { .seqno = seqno, .error = error };
        int fds[2];

        if (error == 0)
                assert_int_equal(process_collect(played->pidfd, getpid(), &seen.facts, &pid_ns, &user_ns), 0);
        fds[0] = pid_ns;
        fds[1] = user_ns;
        assert_int_equal(packet_send(played->peer, &message_seen_layout, &seen, fds, error == 0 ? 2 : 0), 0);
}

static void test_an_answer_reaches_its_question(void **state) {
        struct played played;
        struct stat st;

        (void) state;
        played_start(&played, PATIENCE_MS);
        (void) played_ask(&played);
        assert_int_equal(played.seen.n_done, 0); /* never from witness_ask() */
        played_answer(&played, played_take(&played), 0);
        turn(played.event, &played.seen, 1, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 1);
        assert_int_equal(played.seen.error, 0);
        assert_int_equal(played.seen.facts.tgid, getpid());
        assert_int_equal(fstat(played.seen.pid_ns, &st), 0);
        assert_int_equal(st.st_ino, played.seen.facts.pid_ns.ids[0].inode);
        assert_int_equal(fstat(played.seen.user_ns, &st), 0);
        assert_int_equal(st.st_ino, played.seen.facts.user_ns.ids[0].inode);
        played_end(&played);
}

static void test_errors_are_passed_on_without_facts(void **state) {
        static const uint32_t errors[] = { ESRCH, EACCES, EIO };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                struct played played;

                played_start(&played, PATIENCE_MS);
                (void) played_ask(&played);
                played_answer(&played, played_take(&played), errors[i]);
                turn(played.event, &played.seen, 1, PATIENCE_MS);
                assert_int_equal(played.seen.error, -(int) errors[i]);
                assert_int_equal(played.seen.facts.tid, 0);
                assert_int_equal(played.seen.pid_ns, -1);
                assert_int_equal(played.seen.user_ns, -1);
                assert_int_equal(played.seen.n_lost, 0);
                played_end(&played);
        }
}

/* Each question has its own time-out; what comes too late goes to nobody, and its descriptors are closed (the set-up counts them). */
static void test_a_late_answer_is_not_given_to_the_next_question(void **state) {
        struct played played;
        uint64_t first, second;

        (void) state;
        played_start(&played, SHORT_MS);
        (void) played_ask(&played);
        first = played_take(&played);
        turn(played.event, &played.seen, 1, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 1);
        assert_int_equal(played.seen.error, -ETIMEDOUT);
        assert_int_equal(played.seen.facts.tid, 0);

        (void) played_ask(&played);
        second = played_take(&played);
        assert_int_not_equal(first, second);
        played_answer(&played, first, 0);
        played_answer(&played, second, ESRCH);
        turn(played.event, &played.seen, 2, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 2);
        assert_int_equal(played.seen.error, -ESRCH);
        assert_int_equal(played.seen.n_lost, 0);
        played_end(&played);
}

static void test_a_time_out_comes_when_it_is_due(void **state) {
        struct played played;
        uint64_t begin;

        (void) state;
        played_start(&played, SHORT_MS);
        begin = usec_now(CLOCK_BOOTTIME);
        (void) played_ask(&played);
        (void) played_ask(&played);
        turn(played.event, &played.seen, 2, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 2);
        assert_in_range(usec_now(CLOCK_BOOTTIME) - begin, SHORT_MS * USEC_PER_MSEC, 20 * SHORT_MS * USEC_PER_MSEC);
        played_end(&played);
}

static void test_a_younger_question_waits_its_own_time(void **state) {
        struct played played;
        uint64_t begin;

        (void) state;
        played_start(&played, 4 * SHORT_MS);
        (void) played_ask(&played);
        (void) usleep(3 * SHORT_MS * 1000);
        begin = usec_now(CLOCK_BOOTTIME);
        (void) played_ask(&played);
        turn(played.event, &played.seen, 2, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 2);
        assert_true(usec_now(CLOCK_BOOTTIME) - begin >= 4 * SHORT_MS * USEC_PER_MSEC);
        played_end(&played);
}

static void test_a_cancelled_question_is_never_answered(void **state) {
        struct played played;
        WitnessQuestion *first, *last;

        (void) state;
        played_start(&played, SHORT_MS);
        first = played_ask(&played);
        (void) played_ask(&played);
        last = played_ask(&played);
        assert_null(witness_cancel(first));
        assert_null(witness_cancel(last));
        assert_null(witness_cancel(NULL));
        for (unsigned i = 0; i < 3; i++)
                played_answer(&played, played_take(&played), 0);
        turn(played.event, &played.seen, 2, 2 * SHORT_MS);
        assert_int_equal(played.seen.n_done, 1);
        played_end(&played);
}

static void test_the_end_of_the_witness_ends_all_questions_and_is_told_once(void **state) {
        struct played played;
        WitnessQuestion *question = NULL;

        (void) state;
        played_start(&played, PATIENCE_MS);
        played.seen.ask_in_callback = played.witness;
        (void) played_ask(&played);
        (void) played_ask(&played);
        played.peer = close_fd(played.peer);
        turn(played.event, &played.seen, 3, PATIENCE_MS);
        (void) sd_event_run(played.event, 0);
        assert_int_equal(played.seen.n_done, 2);
        assert_int_equal(played.seen.error, -EPIPE);
        assert_int_equal(played.seen.ask_result, -EPIPE);
        assert_int_equal(played.seen.n_lost, 1);
        assert_int_equal(witness_ask(played.witness, played.pidfd, on_done, &played.seen, &question), -EPIPE);
        assert_null(question);
        played_end(&played);
}

static void test_the_owner_may_go_in_a_callback(void **state) {
        struct played played;

        (void) state;
        for (unsigned i = 0; i < 3; i++) {
                played_start(&played, i == 0 ? SHORT_MS : PATIENCE_MS);
                played.seen.free_in_callback = played.witness;
                (void) played_ask(&played);
                (void) played_ask(&played);
                if (i == 1)
                        played_answer(&played, played_take(&played), 0);
                if (i == 2)
                        played.peer = close_fd(played.peer);
                turn(played.event, &played.seen, 1, PATIENCE_MS);
                (void) sd_event_run(played.event, SHORT_MS * USEC_PER_MSEC);
                assert_int_equal(played.seen.n_done, 1);
                assert_int_equal(played.seen.n_lost, 0);
                assert_null(played.seen.free_in_callback);
                played.witness = NULL;
                played_end(&played);
        }
}

/* Not the witness that was started, or one that was broken into. */
static void test_a_witness_that_sends_nonsense_is_lost(void **state) {
        static const char *const cases[] = { "no packet", "another message", "facts without descriptors", "an error with descriptors", "no facts" };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct message_seen seen = { .seqno = 1 };
                struct message_hello hello = { .version = wire_text("1") };
                struct played played;
                int fds[2];

                played_start(&played, PATIENCE_MS);
                (void) played_ask(&played);
                fds[0] = fds[1] = played.pidfd;
                if (i == 0)
                        assert_int_equal(send(played.peer, "x", 1, 0), 1);
                else if (i == 1)
                        assert_int_equal(packet_send(played.peer, &message_hello_layout, &hello, NULL, 0), 0);
                else {
                        if (i != 4)
                                assert_int_equal(process_collect(played.pidfd, getpid(), &seen.facts, NULL, NULL), 0);
                        seen.error = i == 3 ? ESRCH : 0;
                        assert_int_equal(packet_send(played.peer, &message_seen_layout, &seen, fds, i == 2 ? 0 : 2), 0);
                }
                turn(played.event, &played.seen, 2, PATIENCE_MS);
                if (played.seen.n_lost != 1 || played.seen.error != -EPIPE)
                        fail_msg("%s was believed", cases[i]);
                played_end(&played);
        }
}

/* Facts that are true but for one lie. */
static void lie_another_process(struct message_seen *seen) { seen->facts.tgid = 1; }
static void lie_another_start(struct message_seen *seen) { seen->facts.start_time++; }
static void lie_in_a_container(struct message_seen *seen) { seen->facts.pids[seen->facts.n_pids++] = 1; }
static void lie_another_number(struct message_seen *seen) { seen->facts.pids[0]++; }
static void lie_deeper(struct message_seen *seen) { seen->facts.pid_ns.n_values += 2; }
static void lie_pid_ns(struct message_seen *seen) { seen->facts.pid_ns.ids[0].inode++; }
static void lie_user_ns(struct message_seen *seen) { seen->facts.user_ns.ids[0].inode++; }

static void tell_lie(struct played *played, void (*lie)(struct message_seen *seen), bool swapped) {
        _cleanup_close_ int pid_ns = -1, user_ns = -1;
        struct message_seen seen = { .seqno = played_take(played) };
        int fds[2];

        assert_int_equal(process_collect(played->pidfd, getpid(), &seen.facts, &pid_ns, &user_ns), 0);
        if (lie)
                lie(&seen);
        fds[0] = swapped ? user_ns : pid_ns;
        fds[1] = swapped ? pid_ns : user_ns;
        assert_int_equal(packet_send(played->peer, &message_seen_layout, &seen, fds, 2), 0);
}

/* One that was broken into. What it can still say wrongly: that a process is in other namespaces, as deep as its own. */
static void test_a_witness_that_lies_is_found_out(void **state) {
        static const struct {
                const char *name;
                void (*lie)(struct message_seen *seen);
                bool swapped;
                int error;
        } cases[] = {
                { "another process", lie_another_process, false, -ESRCH },
                { "another start", lie_another_start, false, -ESRCH },
                { "in a container", lie_in_a_container, false, -EBADMSG },
                { "another number", lie_another_number, false, -EBADMSG },
                { "deeper", lie_deeper, false, -EBADMSG },
                { "another pid namespace", lie_pid_ns, false, -EBADMSG },
                { "another user namespace", lie_user_ns, false, -EBADMSG },
                { "namespaces of another kind", NULL, true, -EBADMSG },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct played played;

                played_start(&played, PATIENCE_MS);
                (void) played_ask(&played);
                tell_lie(&played, cases[i].lie, cases[i].swapped);
                turn(played.event, &played.seen, 1, PATIENCE_MS);
                if (played.seen.n_done != 1 || played.seen.error != cases[i].error)
                        fail_msg("%s: %d", cases[i].name, played.seen.error);
                assert_int_equal(played.seen.n_lost, cases[i].error == -EBADMSG ? 1 : 0);
                played_end(&played);
        }
}

static void lie_about_rights(struct message_seen *seen) {
        seen->facts.ruid = seen->facts.euid = seen->facts.fsuid = 4242;
        seen->facts.capabilities = 4242;
        seen->facts.n_cgroups = 0;
        (void) snprintf(seen->facts.cgroup_path, sizeof seen->facts.cgroup_path, "/elsewhere");
}

static void test_what_the_broker_sees_itself_it_does_not_ask_for(void **state) {
        struct process_facts own;
        struct played played;

        (void) state;
        played_start(&played, PATIENCE_MS);
        assert_int_equal(process_collect_public(getpid(), &own), 0);
        (void) played_ask(&played);
        tell_lie(&played, lie_about_rights, false);
        turn(played.event, &played.seen, 1, PATIENCE_MS);
        assert_int_equal(played.seen.error, 0);
        assert_int_equal(played.seen.facts.euid, own.euid);
        assert_int_equal(played.seen.facts.capabilities, own.capabilities);
        assert_string_equal(played.seen.facts.cgroup_path, own.cgroup_path);
        assert_int_equal(played.seen.facts.n_cgroups, own.n_cgroups);
        played_end(&played);
}

static void test_what_is_no_pidfd_is_not_passed_on(void **state) {
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        WitnessQuestion *question = NULL;
        struct played played;
        char c;

        (void) state;
        played_start(&played, PATIENCE_MS);
        assert_int_equal(witness_ask(played.witness, null, on_done, &played.seen, &question), -EBADF);
        assert_int_equal(witness_ask(played.witness, -1, on_done, &played.seen, &question), -EBADF);
        assert_null(question);
        assert_int_equal(recv(played.peer, &c, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        played_end(&played);
}

/* Never more than 1024, and never waiting for one that does not read. */
static void test_too_many_questions_are_refused_at_once(void **state) {
        WitnessQuestion *question = NULL;
        struct played played;
        unsigned n = 0, taken;
        int r;

        (void) state;
        played_start(&played, SHORT_MS);
        while ((r = witness_ask(played.witness, played.pidfd, on_done, &played.seen, &question)) == 0)
                assert_true(++n <= 1024);
        assert_int_equal(r, -EBUSY); /* its buffer is full */
        assert_true(n > 32);
        for (taken = 0; n < 1024; n++, taken++) {
                (void) played_take(&played);
                assert_int_equal(witness_ask(played.witness, played.pidfd, on_done, &played.seen, &question), 0);
        }
        (void) played_take(&played);
        assert_int_equal(witness_ask(played.witness, played.pidfd, on_done, &played.seen, &question), -EBUSY);
        turn(played.event, &played.seen, 1024, PATIENCE_MS);
        assert_int_equal(played.seen.n_done, 1024);
        assert_int_equal(played.seen.error, -ETIMEDOUT);
        played_end(&played);
}

static void test_the_witness_is_not_started_with_too_much_or_nothing(void **state) {
        int fd = -1;
        pid_t pid = -1;

        (void) state;
        assert_int_equal(witness_start(witness_program(), 0, 0, &fd, &pid), -EINVAL);
        if (geteuid() != 0) {
                assert_int_equal(witness_start(witness_program(), getuid(), getgid(), &fd, &pid), -EPERM);
        } else {
                assert_int_equal(witness_start("/nonexistent/upcalld-witness", BROKER_ID, BROKER_ID, &fd, &pid), -ENOENT);
                assert_int_equal(witness_start("/dev/null", BROKER_ID, BROKER_ID, &fd, &pid), -EACCES);
        }
        assert_int_equal(fd, -1);
        assert_int_equal(pid, -1);
}

/* The real one. */
struct real {
        int fd;
        pid_t pid;
};

static void real_start(struct real *real) {
        assert_int_equal(witness_start(witness_program(), BROKER_ID, BROKER_ID, &real->fd, &real->pid), 0);
}

/* Closes the socket, as a broker that dies does, and returns the witness's exit status. */
static int real_end(struct real *real) {
        int status = -1;

        real->fd = close_fd(real->fd);
        for (unsigned i = 0; i < PATIENCE_MS; i++) {
                if (waitpid(real->pid, &status, WNOHANG) != 0)
                        return status;
                (void) usleep(1000);
        }
        (void) kill(real->pid, SIGKILL);
        (void) waitpid(real->pid, NULL, 0);
        return -1;
}

static int become_broker(void) {
        CHECK(setgroups(0, NULL) == 0);
        CHECK(setresgid(BROKER_ID, BROKER_ID, BROKER_ID) == 0);
        CHECK(setresuid(BROKER_ID, BROKER_ID, BROKER_ID) == 0);
        return 0;
}

/* Asks one question from a broker of its own, and lets the facts' descriptors be checked. */
static int ask_once(struct real *real, pid_t pid, uint64_t timeout_ms, struct seen *seen) {
        int pidfd = process_open(pid);
        sd_event *event = NULL;
        Witness *witness = NULL;
        WitnessQuestion *question;

        *seen = (struct seen){ .pid_ns = -1, .user_ns = -1 };
        CHECK(pidfd >= 0);
        CHECK(sd_event_new(&event) >= 0);
        CHECK(witness_new(event, dup(real->fd), timeout_ms, on_lost, seen, &witness) == 0);
        CHECK(witness_ask(witness, pidfd, on_done, seen, &question) == 0);
        turn(event, seen, 1, PATIENCE_MS);
        witness_free(witness);
        sd_event_unref(event);
        close_fd(pidfd);
        close_fd(seen->pid_ns);
        close_fd(seen->user_ns);
        CHECK(seen->n_done == 1);
        return 0;
}

struct foreign {
        struct real real;
        pid_t pid;
        struct stat pid_ns, user_ns, mnt_ns; /* as root sees them */
};

/* The broker's user, without capabilities. */
static int look_at_foreign(void *userdata) {
        struct foreign *foreign = userdata;
        struct process_facts facts;
        struct seen seen;
        int r, pidfd;

        r = become_broker();
        CHECK(r == 0);
        pidfd = process_open(foreign->pid);
        CHECK(pidfd >= 0);
        CHECK(process_collect(pidfd, foreign->pid, &facts, NULL, NULL) == PROCESS_FORBIDDEN);
        close_fd(pidfd);

        r = ask_once(&foreign->real, foreign->pid, PATIENCE_MS, &seen);
        if (r != 0)
                return r;
        CHECK(seen.error == 0);
        CHECK(seen.facts.tgid == (uint32_t) foreign->pid);
        CHECK(seen.facts.ruid == 0);
        CHECK(seen.facts.pids[seen.facts.n_pids - 1] == 1);
        CHECK(seen.facts.pid_ns.ids[0].inode == foreign->pid_ns.st_ino);
        CHECK(seen.facts.pid_ns.ids[0].device == foreign->pid_ns.st_dev);
        CHECK(seen.facts.user_ns.ids[0].inode == foreign->user_ns.st_ino);
        CHECK(seen.facts.mnt_ns.inode == foreign->mnt_ns.st_ino);
        CHECK(namespace_chain_length(&seen.facts.pid_ns) >= 2);
        return 0;
}

static int stat_namespace(pid_t pid, const char *kind, struct stat *st) {
        char path[64];

        (void) snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
        return stat(path, st);
}

static void test_it_sees_what_the_broker_cannot(void **state) {
        struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS };
        struct foreign foreign;
        struct sitter sitter;

        (void) state;
        SKIP_UNLESS_ROOT();
        sitter = sitter_start_as(&args, NULL, NULL);
        foreign.pid = sitter.pid;
        assert_int_equal(stat_namespace(sitter.pid, "pid", &foreign.pid_ns), 0);
        assert_int_equal(stat_namespace(sitter.pid, "user", &foreign.user_ns), 0);
        assert_int_equal(stat_namespace(sitter.pid, "mnt", &foreign.mnt_ns), 0);
        real_start(&foreign.real);
        run_in_child(look_at_foreign, &foreign);
        assert_int_equal(real_end(&foreign.real), 0);
        sitter_end(&sitter);
}

static void test_a_process_that_ended_is_esrch(void **state) {
        struct sitter sitter;
        struct seen seen = { .pid_ns = -1, .user_ns = -1 };
        WitnessQuestion *question;
        Witness *witness = NULL;
        sd_event *event = NULL;
        struct real real;
        int pidfd;

        (void) state;
        SKIP_UNLESS_ROOT();
        sitter = sitter_start(NULL, NULL);
        pidfd = process_open(sitter.pid);
        assert_true(pidfd >= 0);
        sitter_end(&sitter);
        real_start(&real);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(witness_new(event, dup(real.fd), PATIENCE_MS, on_lost, &seen, &witness), 0);
        assert_int_equal(witness_ask(witness, pidfd, on_done, &seen, &question), 0);
        turn(event, &seen, 1, PATIENCE_MS);
        assert_int_equal(seen.n_done, 1);
        assert_int_equal(seen.error, -ESRCH);
        witness_free(witness);
        sd_event_unref(event);
        close_fd(pidfd);
        assert_int_equal(real_end(&real), 0);
}

static void read_file(pid_t pid, const char *name, char *text, size_t size) {
        char path[64];
        _cleanup_close_ int fd = -1;
        ssize_t n;

        (void) snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        n = read(fd, text, size - 1);
        assert_true(n > 0);
        text[n] = '\0';
}

static void test_it_holds_nothing_but_the_right_to_look(void **state) {
        static const char *const lines[] = {
                "\nCapInh:\t0000000000000000\n", "\nCapPrm:\t0000000000080000\n", "\nCapEff:\t0000000000080000\n",
                "\nCapBnd:\t0000000000000000\n", "\nCapAmb:\t0000000000000000\n", "\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n",
                "\nUid:\t64999\t64999\t64999\t64999\n", "\nGid:\t64999\t64999\t64999\t64999\n", "\nGroups:\t \n", "\nThreads:\t1\n",
        };
        gid_t groups[256];
        int n_groups = getgroups(ELEMENTS(groups), groups);
        char text[8192];
        struct real real;
        struct seen seen;
        struct stat st;

        (void) state;
        SKIP_UNLESS_ROOT();
        assert_true(n_groups >= 0);
        assert_int_equal(setgroups(2, (const gid_t[]){ 7, 8 }), 0);
        real_start(&real);
        assert_int_equal(setgroups((size_t) n_groups, groups), 0);
        assert_int_equal(ask_once(&real, getpid(), PATIENCE_MS, &seen), 0); /* so that it has set itself up */
        read_file(real.pid, "status", text, sizeof text);
        for (size_t i = 0; i < ELEMENTS(lines); i++)
                if (!strstr(text, lines[i]))
                        fail_msg("not in its status: %s", lines[i]);
        assert_non_null(strstr(text, "Name:\tupcalld-witness\n"));
        (void) snprintf(text, sizeof text, "/proc/%d/status", real.pid);
        assert_int_equal(stat(text, &st), 0);
        assert_int_equal(st.st_uid, 0); /* what is not dumpable belongs to root there */
        read_file(real.pid, "limits", text, sizeof text);
        assert_non_null(strstr(text, "Max core file size        0                    0 "));
        assert_int_equal(real_end(&real), 0);
}

static void test_it_keeps_no_descriptor_of_the_broker(void **state) {
        char path[64], target[256];
        struct real real;
        struct seen seen;
        int leak, n = -1;
        DIR *dir;

        (void) state;
        SKIP_UNLESS_ROOT();
        leak = fcntl(STDERR_FILENO, F_DUPFD, 20); /* without O_CLOEXEC, and out of the way of what it gets */
        assert_true(leak >= 20);
        real_start(&real);
        for (unsigned i = 0; i < 100; i++) {
                assert_int_equal(ask_once(&real, getpid(), PATIENCE_MS, &seen), 0);
                assert_int_equal(seen.error, 0);
        }
        (void) snprintf(path, sizeof path, "/proc/%d/fd", real.pid);
        dir = opendir(path);
        assert_non_null(dir);
        for (unsigned i = 0; i < 1000 && n != 4; i++) { /* it closes those of the question after it has answered */
                n = 0;
                rewinddir(dir);
                for (struct dirent *entry; (entry = readdir(dir));)
                        n += entry->d_name[0] != '.';
                (void) usleep(1000);
        }
        for (unsigned i = 0; i < 2; i++) {
                char digit[2] = { (char) ('0' + i), '\0' };
                ssize_t size = readlinkat(dirfd(dir), digit, target, sizeof target - 1);

                assert_true(size > 0);
                target[size] = '\0';
                assert_string_equal(target, "/dev/null");
        }
        (void) closedir(dir);
        assert_int_equal(n, 4);
        close_fd(leak);
        assert_int_equal(real_end(&real), 0);
}

/* The broker's user may neither trace it nor read its memory, so that a broker that was broken into does not get its capability. */
static int try_to_take_over(void *userdata) {
        pid_t pid = *(pid_t *) userdata;
        char path[64];
        int r = become_broker();

        CHECK(r == 0);
        CHECK(ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 && errno == EPERM);
        (void) snprintf(path, sizeof path, "/proc/%d/mem", pid);
        CHECK(open(path, O_RDWR) < 0 && errno == EACCES);
        (void) snprintf(path, sizeof path, "/proc/%d/ns/pid", pid);
        CHECK(open(path, O_RDONLY) < 0 && errno == EACCES);
        return 0;
}

static void test_the_brokers_user_cannot_take_it_over(void **state) {
        struct real real;
        struct seen seen;

        (void) state;
        SKIP_UNLESS_ROOT();
        real_start(&real);
        assert_int_equal(ask_once(&real, getpid(), PATIENCE_MS, &seen), 0);
        run_in_child(try_to_take_over, &real.pid);
        assert_int_equal(real_end(&real), 0);
}

static void test_a_stopped_witness_times_out_and_recovers(void **state) {
        WitnessQuestion *question;
        struct seen seen = { .pid_ns = -1, .user_ns = -1 };
        Witness *witness = NULL;
        sd_event *event = NULL;
        struct real real;
        int pidfd, status;

        (void) state;
        SKIP_UNLESS_ROOT();
        pidfd = process_open(getpid());
        real_start(&real);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(witness_new(event, dup(real.fd), 4 * SHORT_MS, on_lost, &seen, &witness), 0);
        for (unsigned n_done = 1; n_done <= 3; n_done++) {
                bool stopped = n_done == 2;

                if (stopped) {
                        assert_int_equal(kill(real.pid, SIGSTOP), 0);
                        assert_int_equal(waitpid(real.pid, &status, WUNTRACED), real.pid);
                }
                assert_int_equal(witness_ask(witness, pidfd, on_done, &seen, &question), 0);
                turn(event, &seen, n_done, PATIENCE_MS);
                assert_int_equal(seen.n_done, n_done);
                assert_int_equal(seen.error, stopped ? -ETIMEDOUT : 0);
                if (stopped)
                        assert_int_equal(kill(real.pid, SIGCONT), 0);
        }
        assert_int_equal(seen.n_lost, 0);
        witness_free(witness);
        sd_event_unref(event);
        close_fd(seen.pid_ns);
        close_fd(seen.user_ns);
        close_fd(pidfd);
        assert_int_equal(real_end(&real), 0);
}

static void test_a_killed_witness_is_lost(void **state) {
        WitnessQuestion *question;
        struct seen seen = { .pid_ns = -1, .user_ns = -1 };
        Witness *witness = NULL;
        sd_event *event = NULL;
        struct real real;
        int pidfd = process_open(getpid()), status;

        (void) state;
        if (geteuid() != 0) {
                close_fd(pidfd);
                SKIP("needs root");
        }
        real_start(&real);
        assert_int_equal(kill(real.pid, SIGSTOP), 0);
        assert_int_equal(waitpid(real.pid, &status, WUNTRACED), real.pid);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(witness_new(event, real.fd, PATIENCE_MS, on_lost, &seen, &witness), 0);
        assert_int_equal(witness_ask(witness, pidfd, on_done, &seen, &question), 0);
        assert_int_equal(kill(real.pid, SIGKILL), 0);
        turn(event, &seen, 2, PATIENCE_MS);
        assert_int_equal(seen.n_done, 1);
        assert_int_equal(seen.error, -EPIPE);
        assert_int_equal(seen.n_lost, 1);
        witness_free(witness);
        sd_event_unref(event);
        close_fd(pidfd);
        assert_int_equal(waitpid(real.pid, &status, 0), real.pid);
}

/* Those go to a whole control group, or to a terminal's foreground: the broker still needs it then. */
static void test_signals_meant_for_the_broker_do_not_end_it(void **state) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
        struct real real;
        struct seen seen;

        (void) state;
        SKIP_UNLESS_ROOT();
        real_start(&real);
        assert_int_equal(ask_once(&real, getpid(), PATIENCE_MS, &seen), 0);
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                assert_int_equal(kill(real.pid, signals[i]), 0);
        assert_int_equal(ask_once(&real, getpid(), PATIENCE_MS, &seen), 0);
        assert_int_equal(seen.error, 0);
        assert_int_not_equal(getpgid(real.pid), getpgrp());
        assert_int_equal(real_end(&real), 0);
}

static void test_a_broker_that_sends_nonsense_ends_it(void **state) {
        static const char *const cases[] = { "no packet", "no descriptor", "another message" };

        (void) state;
        SKIP_UNLESS_ROOT();
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct message_hello hello = { .version = wire_text("1") };
                struct message_look look = { .seqno = 1 };
                struct wire_layout bare = message_look_layout;
                struct real real;
                int status;

                bare.descriptors_min = bare.descriptors_max = 0;
                real_start(&real);
                if (i == 0)
                        assert_int_equal(send(real.fd, "x", 1, MSG_NOSIGNAL), 1);
                else if (i == 1)
                        assert_int_equal(packet_send(real.fd, &bare, &look, NULL, 0), 0);
                else
                        assert_int_equal(packet_send(real.fd, &message_hello_layout, &hello, NULL, 0), 0);
                (void) poll(&(struct pollfd){ .fd = real.fd, .events = POLLIN }, 1, PATIENCE_MS);
                status = real_end(&real);
                if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_FAILURE)
                        fail_msg("%s: status %#x", cases[i], (unsigned) status);
        }
}

/* Started by hand: by root with all capabilities, or without any. */
static int start_by_hand(bool as_root) {
        pid_t pid = fork();
        int status = -1;

        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC), pair[2];

                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || dup2(pair[0], WITNESS_SOCKET) < 0)
                        _exit(99);
                (void) dup2(null, STDERR_FILENO);
                if (!as_root && geteuid() == 0 && become_broker() != 0)
                        _exit(99);
                execl(witness_program(), "upcalld-witness", NULL);
                _exit(98);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_it_refuses_to_run_with_other_rights(void **state) {
        int r;

        (void) state;
        if (geteuid() == 0)
                assert_int_equal(start_by_hand(true), EXIT_FAILURE);
        r = start_by_hand(false);
        assert_true(r == EXIT_FAILURE || r == 98); /* 98: that user may not enter the folder it was built in */
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_an_answer_reaches_its_question),
                TEST(test_errors_are_passed_on_without_facts),
                TEST(test_a_late_answer_is_not_given_to_the_next_question),
                TEST(test_a_time_out_comes_when_it_is_due),
                TEST(test_a_younger_question_waits_its_own_time),
                TEST(test_a_cancelled_question_is_never_answered),
                TEST(test_the_end_of_the_witness_ends_all_questions_and_is_told_once),
                TEST(test_the_owner_may_go_in_a_callback),
                TEST(test_a_witness_that_sends_nonsense_is_lost),
                TEST(test_a_witness_that_lies_is_found_out),
                TEST(test_what_the_broker_sees_itself_it_does_not_ask_for),
                TEST(test_what_is_no_pidfd_is_not_passed_on),
                TEST(test_too_many_questions_are_refused_at_once),
                TEST(test_the_witness_is_not_started_with_too_much_or_nothing),
                TEST(test_it_sees_what_the_broker_cannot),
                TEST(test_a_process_that_ended_is_esrch),
                TEST(test_it_holds_nothing_but_the_right_to_look),
                TEST(test_it_keeps_no_descriptor_of_the_broker),
                TEST(test_the_brokers_user_cannot_take_it_over),
                TEST(test_a_stopped_witness_times_out_and_recovers),
                TEST(test_a_killed_witness_is_lost),
                TEST(test_signals_meant_for_the_broker_do_not_end_it),
                TEST(test_a_broker_that_sends_nonsense_ends_it),
                TEST(test_it_refuses_to_run_with_other_rights),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
