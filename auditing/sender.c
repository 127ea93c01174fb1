/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libaudit.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "auditing/sender.h"
#include "util/deadline.h"
#include "util/error.h"

struct SenderJob {
        SenderJob *next;
        /* written once, before the thread sees the job */
        int type;
        bool success;
        size_t text_size;
        const char *text, *hostname, *terminal; /* in strings */
        /* the owner's alone, at all times */
        sender_done_t done;
        void *userdata;
        /* whoever's queue it is in */
        uint64_t deadline;
        int error;
        struct sender_receipt receipt;
        char strings[];
};

struct queue {
        SenderJob *first, **end; /* end: where the next one is hung in */
};

struct Sender {
        /* set up before the thread is started */
        unsigned read_back_ms;
        pid_t pid;
        int wake_fd;  /* owner to thread */
        int ready_fd; /* thread to owner */

        /* the owner's */
        unsigned queue_max, n_jobs;
        pthread_t thread;
        struct queue dispatching;

        /* under the lock */
        pthread_mutex_t lock;
        pthread_cond_t has_ended;
        struct queue submitted, finished;
        bool sleeping;  /* the thread wants to be woken for a new job */
        bool stopping;  /* the owner has called sender_free() */
        bool ended;     /* the thread takes no more jobs */
        bool abandoned; /* the owner did not wait: the thread frees the sender */

        /* the thread's */
        int audit_fd, readback_fd;
        struct queue unsent, outstanding;
        _Alignas(8) char buffer[MAX_AUDIT_MESSAGE_LENGTH + 1024];
};

static void queue_init(struct queue *queue) {
        queue->first = NULL;
        queue->end = &queue->first;
}

static void queue_append(struct queue *queue, SenderJob *job) {
        job->next = NULL;
        *queue->end = job;
        queue->end = &job->next;
}

static SenderJob *queue_take(struct queue *queue) {
        SenderJob *job = queue->first;

        if (job) {
                queue->first = job->next;
                if (!queue->first)
                        queue->end = &queue->first;
        }
        return job;
}

static void queue_move(struct queue *to, struct queue *from) {
        if (!from->first)
                return;
        *to->end = from->first;
        to->end = from->end;
        queue_init(from);
}

static void queue_clear(struct queue *queue) {
        for (SenderJob *job; (job = queue_take(queue));)
                free(job);
}

static void signal_fd(int fd) {
        uint64_t one = 1;

        /* fails only when the counter is at its maximum: then it is readable as it is */
        (void) !write(fd, &one, sizeof(one));
}

static void clear_fd(int fd) {
        uint64_t count;

        (void) !read(fd, &count, sizeof(count));
}

/* The thread. */

static void finish(Sender *sender, SenderJob *job, int error) {
        bool first;

        job->error = error;
        (void) pthread_mutex_lock(&sender->lock);
        first = !sender->finished.first;
        queue_append(&sender->finished, job);
        (void) pthread_mutex_unlock(&sender->lock);
        if (first)
                signal_fd(sender->ready_fd);
}

/* A send that failed may have left its acknowledgement behind, which the next one would take for its own. */
static int reopen(Sender *sender) {
        int fd = audit_open();

        if (fd < 0)
                return negative_errno();
        sender->audit_fd = close_fd(sender->audit_fd);
        sender->audit_fd = fd;
        return 0;
}

static int send_job(Sender *sender, const SenderJob *job) {
        int r;

        /* addr and tty are never NULL: libaudit would look them up, which could itself cause an upcall */
        errno = 0;
        r = audit_log_user_message(sender->audit_fd, job->type, job->text, job->hostname, "?", job->terminal, job->success);
        if (r > 0)
                return 0;
        /* 0 and EPERM without CAP_AUDIT_WRITE: libaudit means it kindly */
        if (r == 0)
                r = errno > 0 ? -errno : -EPERM;
        if (r != -EPERM)
                (void) reopen(sender); /* else the next record fails, too, and says so */
        return r;
}

static void send_next(Sender *sender) {
        SenderJob *job = queue_take(&sender->unsent);
        int r = send_job(sender, job);

        if (r < 0) {
                finish(sender, job, r);
                return;
        }
        job->deadline = deadline_in_ms(sender->read_back_ms);
        queue_append(&sender->outstanding, job);
}

static SenderJob *take_outstanding(Sender *sender, SenderJob **at) {
        SenderJob *job = *at;

        *at = job->next;
        if (!job->next)
                sender->outstanding.end = at;
        return job;
}

/* The kernel keeps the order, so the first one is nearly always it. */
static void match(Sender *sender, const struct readback *record) {
        for (SenderJob **at = &sender->outstanding.first; *at; at = &(*at)->next)
                if (readback_matches(record, (uint16_t) (*at)->type, (*at)->text, (*at)->text_size)) {
                        SenderJob *job = take_outstanding(sender, at);

                        job->receipt = (struct sender_receipt){ .serial = record->serial, .time_ms = record->time_ms };
                        finish(sender, job, 0);
                        return;
                }
}

static int receive(Sender *sender) {
        for (;;) {
                struct readback record;
                int r = readback_receive(sender->readback_fd, sender->pid, sender->buffer, sizeof(sender->buffer), &record);

                if (r == -EAGAIN)
                        return 0;
                /* ENOBUFS: some were dropped. Which, their deadlines will show. */
                if (r < 0 && r != -ENOBUFS && r != -EBADMSG)
                        return r;
                if (r == 0)
                        match(sender, &record);
        }
}

static void expire(Sender *sender) {
        uint64_t now;

        if (!sender->outstanding.first)
                return;
        now = usec_now(CLOCK_BOOTTIME);
        while (sender->outstanding.first && sender->outstanding.first->deadline <= now)
                finish(sender, take_outstanding(sender, &sender->outstanding.first), -ENODATA);
}

/* Takes over what was submitted; true when the owner wants the thread to end. */
static bool take_submitted(Sender *sender) {
        bool stopping;

        (void) pthread_mutex_lock(&sender->lock);
        queue_move(&sender->unsent, &sender->submitted);
        stopping = sender->stopping;
        sender->sleeping = true;
        (void) pthread_mutex_unlock(&sender->lock);
        return stopping;
}

static int wait_for_work(Sender *sender) {
        struct pollfd fds[] = {
                { .fd = sender->wake_fd, .events = POLLIN },
                { .fd = sender->readback_fd, .events = POLLIN },
        };
        int timeout = sender->outstanding.first ? deadline_left_ms(sender->outstanding.first->deadline) : -1;

        if (poll(fds, ELEMENTS(fds), timeout) < 0)
                return errno == EINTR ? 0 : negative_errno();
        if (fds[0].revents & POLLIN)
                clear_fd(sender->wake_fd);
        return 0;
}

/* 0: the owner wants the end. */
static int serve(Sender *sender) {
        while (!take_submitted(sender)) {
                int r;

                while (sender->unsent.first) {
                        send_next(sender);
                        r = receive(sender); /* after each one: the socket's buffer holds some hundred */
                        if (r < 0)
                                return r;
                }
                expire(sender);
                r = wait_for_work(sender);
                if (r < 0)
                        return r;
                r = receive(sender);
                if (r < 0)
                        return r;
        }
        while (sender->unsent.first)
                send_next(sender);
        return 0;
}

static Sender *sender_destroy(Sender *sender) {
        struct queue *queues[] = { &sender->dispatching, &sender->submitted, &sender->finished, &sender->unsent,
                                   &sender->outstanding };

        for (size_t i = 0; i < ELEMENTS(queues); i++)
                queue_clear(queues[i]);
        sender->audit_fd = close_fd(sender->audit_fd);
        sender->readback_fd = close_fd(sender->readback_fd);
        sender->wake_fd = close_fd(sender->wake_fd);
        sender->ready_fd = close_fd(sender->ready_fd);
        (void) pthread_cond_destroy(&sender->has_ended);
        (void) pthread_mutex_destroy(&sender->lock);
        free(sender);
        return NULL;
}
DEFINE_CLEANUP(Sender, sender_destroy)

/* Ends the thread's part: what is left is the owner's to hear of. */
static void leave(Sender *sender) {
        bool abandoned;

        (void) pthread_mutex_lock(&sender->lock);
        queue_move(&sender->unsent, &sender->submitted);
        queue_move(&sender->outstanding, &sender->unsent);
        for (SenderJob *job; (job = queue_take(&sender->outstanding));) {
                job->error = -EPIPE;
                queue_append(&sender->finished, job);
        }
        sender->ended = true;
        abandoned = sender->abandoned;
        (void) pthread_cond_signal(&sender->has_ended);
        signal_fd(sender->ready_fd);
        (void) pthread_mutex_unlock(&sender->lock);
        if (abandoned)
                (void) sender_destroy(sender);
}

static void *run(void *userdata) {
        Sender *sender = userdata;

        (void) pthread_setname_np(pthread_self(), "audit-sender");
        (void) serve(sender); /* an error shows as -EPIPE in sender_dispatch() */
        leave(sender);
        return NULL;
}

/* The owner's side. */

static int start_thread(Sender *sender) {
        sigset_t all, before;
        int r;

        /* a thread inherits its signal mask: no handler of the program ever runs in this one */
        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r > 0)
                return -r;
        r = pthread_create(&sender->thread, NULL, run, sender);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

static int init_lock(Sender *sender) {
        pthread_condattr_t attributes;
        int r;

        r = pthread_condattr_init(&attributes);
        if (r > 0)
                return -r;
        (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        r = pthread_cond_init(&sender->has_ended, &attributes);
        (void) pthread_condattr_destroy(&attributes);
        return -r;
}

static Sender *sender_allocate(void) {
        Sender *sender = calloc(1, sizeof(*sender));

        if (!sender)
                return NULL;
        sender->wake_fd = sender->ready_fd = sender->audit_fd = sender->readback_fd = -1;
        queue_init(&sender->dispatching);
        queue_init(&sender->submitted);
        queue_init(&sender->finished);
        queue_init(&sender->unsent);
        queue_init(&sender->outstanding);
        (void) pthread_mutex_init(&sender->lock, NULL); /* never fails on Linux for a plain one */
        if (init_lock(sender) < 0) {
                (void) pthread_mutex_destroy(&sender->lock);
                free(sender);
                return NULL;
        }
        return sender;
}

static int open_descriptors(Sender *sender) {
        sender->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (sender->wake_fd < 0)
                return negative_errno();
        sender->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (sender->ready_fd < 0)
                return negative_errno();
        sender->readback_fd = readback_open(sender->pid);
        if (sender->readback_fd < 0)
                return sender->readback_fd;
        sender->audit_fd = audit_open();
        if (sender->audit_fd < 0)
                return negative_errno();
        return 0;
}

int sender_new(unsigned queue_max, unsigned read_back_ms, Sender **ret_sender) {
        _cleanup_(sender_destroyp) Sender *sender = sender_allocate();
        int r;

        if (!sender)
                return -ENOMEM;
        sender->queue_max = queue_max;
        sender->read_back_ms = read_back_ms;
        sender->pid = getpid();
        set_aumessage_mode(MSG_QUIET, DBG_NO); /* libaudit prints, else */
        r = open_descriptors(sender);
        if (r < 0)
                return r;
        r = start_thread(sender);
        if (r < 0)
                return r;
        *ret_sender = TAKE_PTR(sender);
        return 0;
}

static bool wait_for_end(Sender *sender) {
        uint64_t until = usec_now(CLOCK_MONOTONIC) + sender->read_back_ms * USEC_PER_MSEC;
        struct timespec time = {
                .tv_sec = (time_t) (until / USEC_PER_SEC),
                .tv_nsec = (long) (until % USEC_PER_SEC * 1000),
        };
        int r = 0;

        while (!sender->ended && r == 0)
                r = pthread_cond_timedwait(&sender->has_ended, &sender->lock, &time);
        return sender->ended;
}

Sender *sender_free(Sender *sender) {
        bool ended;

        if (!sender)
                return NULL;
        (void) pthread_mutex_lock(&sender->lock);
        sender->stopping = true;
        signal_fd(sender->wake_fd);
        ended = wait_for_end(sender);
        if (!ended) {
                /* It waits in the kernel. It frees all when that ends. */
                (void) pthread_detach(sender->thread);
                sender->abandoned = true;
        }
        (void) pthread_mutex_unlock(&sender->lock);
        if (!ended)
                return NULL;
        (void) pthread_join(sender->thread, NULL);
        return sender_destroy(sender);
}

int sender_fd(const Sender *sender) {
        return sender->ready_fd;
}

int sender_dispatch(Sender *sender) {
        bool ended;

        clear_fd(sender->ready_fd); /* before looking: what is finished from here on makes it readable again */
        (void) pthread_mutex_lock(&sender->lock);
        queue_move(&sender->dispatching, &sender->finished);
        ended = sender->ended;
        (void) pthread_mutex_unlock(&sender->lock);

        /* callbacks may submit, and forget jobs that are still in this queue */
        for (SenderJob *job; (job = queue_take(&sender->dispatching));) {
                sender->n_jobs--;
                if (job->done)
                        job->done(job->userdata, job->error, job->error == 0 ? &job->receipt : NULL);
                free(job);
        }
        return ended ? -EPIPE : 0;
}

static const char *append(char **at, const char *string, size_t size) {
        char *copy = *at;

        memcpy(copy, string, size);
        *at += size;
        return copy;
}

static SenderJob *job_new(const struct sender_record *record) {
        size_t text = strlen(record->text) + 1, hostname = strlen(record->hostname) + 1, terminal = strlen(record->terminal) + 1;
        SenderJob *job = malloc(sizeof(*job) + text + hostname + terminal);
        char *at;

        if (!job)
                return NULL;
        *job = (SenderJob){ .type = record->type, .success = record->success, .text_size = text - 1 };
        at = job->strings;
        job->text = append(&at, record->text, text);
        job->hostname = append(&at, record->hostname, hostname);
        job->terminal = append(&at, record->terminal, terminal);
        return job;
}

/* Hostname and terminal stand in the record as they are. */
static bool origin_safe(const char *name) {
        return strcmp(name, "?") == 0 || record_name_safe(name);
}

static void enqueue(Sender *sender, SenderJob *job) {
        bool wake, ended;

        (void) pthread_mutex_lock(&sender->lock);
        ended = sender->ended;
        job->error = -EPIPE; /* of the thread, once it is gone */
        queue_append(ended ? &sender->finished : &sender->submitted, job);
        wake = sender->sleeping;
        sender->sleeping = false;
        (void) pthread_mutex_unlock(&sender->lock);
        if (ended)
                signal_fd(sender->ready_fd);
        else if (wake)
                signal_fd(sender->wake_fd);
}

int sender_submit(Sender *sender, const struct sender_record *record, sender_done_t done, void *userdata, SenderJob **ret_job) {
        SenderJob *job;

        if (strlen(record->text) > RECORD_TEXT_MAX || !origin_safe(record->hostname) || !origin_safe(record->terminal))
                return -EINVAL;
        if (sender->n_jobs >= sender->queue_max)
                return -ENOBUFS;
        job = job_new(record);
        if (!job)
                return -ENOMEM;
        job->done = done;
        job->userdata = userdata;
        sender->n_jobs++;
        if (ret_job)
                *ret_job = job;
        enqueue(sender, job);
        return 0;
}

SenderJob *sender_forget(SenderJob *job) {
        if (job)
                job->done = NULL;
        return NULL;
}
