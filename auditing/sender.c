/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sender as its owner sees it: jobs go to the thread, what the kernel made of them is read back here. */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "auditing/readback.h"
#include "auditing/record.h"
#include "auditing/sender-internal.h"
#include "util/deadline.h"
#include "util/error.h"

/* Callbacks of each kind in one sender_dispatch(): they write, and there may be thousands at once when the kernel's queue has been full. */
#define TURN_MAX 32

enum {
        WATCH_READY,
        WATCH_READBACK,
        WATCH_TIMER,
        WATCHES,
};

/* ---- making and unmaking ---- */

static int start_thread(Sender *sender) {
        sigset_t all, before;
        int r;

        /* a thread inherits its signal mask: no handler of the program ever runs in this one */
        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r > 0)
                return -r;
        r = pthread_create(&sender->thread, NULL, sender_run, sender);
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

Sender *sender_allocate(void) {
        Sender *sender = calloc(1, sizeof(*sender));

        if (!sender)
                return NULL;
        sender->wake_fd = sender->ready_fd = sender->audit_fd = sender->readback_fd = sender->timer_fd = sender->epoll_fd = -1;
        TAILQ_INIT(&sender->jobs);
        STAILQ_INIT(&sender->submitted);
        STAILQ_INIT(&sender->unsent);
        /* these never fail on Linux for plain ones */
        (void) pthread_mutex_init(&sender->lock, NULL);
        (void) pthread_cond_init(&sender->has_room, NULL);
        if (init_lock(sender) < 0) {
                (void) pthread_mutex_destroy(&sender->lock);
                (void) pthread_cond_destroy(&sender->has_room);
                free(sender);
                return NULL;
        }
        return sender;
}

static int watch_all(Sender *sender) {
        const int fds[WATCHES] = {
                [WATCH_READY] = sender->ready_fd,
                [WATCH_READBACK] = sender->readback_fd,
                [WATCH_TIMER] = sender->timer_fd,
        };

        for (uint32_t i = 0; i < WATCHES; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

                if (epoll_ctl(sender->epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
                        return negative_errno();
        }
        return 0;
}

static int open_descriptors(Sender *sender) {
        int r;

        sender->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        sender->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        sender->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        sender->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (sender->wake_fd < 0 || sender->ready_fd < 0 || sender->timer_fd < 0 || sender->epoll_fd < 0)
                return negative_errno();
        sender->readback_fd = readback_open(sender->pid);
        if (sender->readback_fd < 0)
                return sender->readback_fd;
        sender->room = readback_room(sender->readback_fd);
        r = sender_reopen(sender);
        return r < 0 ? r : watch_all(sender);
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

/* The owner is done with the job; the lock is held. */
static void drop(Sender *sender, SenderJob *job) {
        sender->unread -= job->unread;
        job->unread = 0;
        (void) pthread_cond_signal(&sender->has_room);
        if (job->sent)
                free(job);
        else
                job->dropped = true;
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
        SenderJob *job;
        bool ended;

        if (!sender)
                return NULL;
        if (sender->silent)
                return silent_free(sender);
        (void) pthread_mutex_lock(&sender->lock);
        while ((job = TAILQ_FIRST(&sender->jobs))) {
                TAILQ_REMOVE(&sender->jobs, job, link);
                drop(sender, job);
        }
        sender->stopping = true;
        (void) pthread_cond_signal(&sender->has_room);
        sender_signal(sender->wake_fd);
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

/* ---- what has become of the jobs ---- */

int sender_fd(const Sender *sender) {
        return sender->epoll_fd;
}

void sender_complete(Sender *sender, SenderJob *job, int error, const struct sender_receipt *receipt) {
        TAILQ_REMOVE(&sender->jobs, job, link);
        sender->n_jobs--;
        if (job->done)
                job->done(job->userdata, error, receipt);
        (void) pthread_mutex_lock(&sender->lock);
        drop(sender, job);
        (void) pthread_mutex_unlock(&sender->lock);
}

/* The kernel keeps the order, so the first one is nearly always it. */
static void match(Sender *sender, const struct readback *record) {
        const struct sender_receipt receipt = { .serial = record->serial, .time_ms = record->time_ms };
        SenderJob *job;

        TAILQ_FOREACH(job, &sender->jobs, link)
                if (readback_matches(record, (uint16_t) job->type, job->text, job->text_size)) {
                        sender_complete(sender, job, 0, &receipt);
                        return;
                }
}

/* 0: all that is there was read; 1: there may be more, and the socket stays readable */
static int receive(Sender *sender) {
        for (unsigned i = 0; i < TURN_MAX; i++) {
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
        return 1;
}

/* How the thread fared with the job: 1 when it has not sent it yet. */
static int thread_result(Sender *sender, const SenderJob *job) {
        int r;

        (void) pthread_mutex_lock(&sender->lock);
        r = job->sent ? job->error : sender->ended ? -EPIPE : 1;
        (void) pthread_mutex_unlock(&sender->lock);
        return r;
}

static void complete_failed(Sender *sender) {
        SenderJob *job, *next;
        unsigned n = 0;

        for (job = TAILQ_FIRST(&sender->jobs); job && n < TURN_MAX; job = next) {
                int r = thread_result(sender, job);

                next = TAILQ_NEXT(job, link); /* callbacks add behind, and take nothing out */
                if (r > 0)
                        return; /* nor is any sent that came later */
                if (r < 0) {
                        sender_complete(sender, job, r, NULL);
                        n++;
                }
        }
        if (job)
                sender_signal(sender->ready_fd); /* the rest in the next turn */
}

static int arm_timer(Sender *sender, uint64_t deadline) {
        struct itimerspec time = {
                .it_value.tv_sec = (time_t) (deadline / USEC_PER_SEC),
                .it_value.tv_nsec = (long) (deadline % USEC_PER_SEC * 1000),
        };

        if (timerfd_settime(sender->timer_fd, TFD_TIMER_ABSTIME, &time, NULL) < 0)
                return negative_errno();
        sender->timer_armed = true;
        return 0;
}

/* Until when the job is to be waited for. What the thread could not send yet, since the kernel makes it wait or we have not read back
 * enough, gets more time: whoever submitted it has a deadline, too. */
static uint64_t job_deadline(Sender *sender, const SenderJob *job, uint64_t now) {
        uint64_t from;

        (void) pthread_mutex_lock(&sender->lock);
        from = job->sent ? job->time_sent : now;
        (void) pthread_mutex_unlock(&sender->lock);
        return from + sender->read_back_ms * USEC_PER_MSEC;
}

static int expire(Sender *sender) {
        uint64_t now = usec_now(CLOCK_BOOTTIME);
        SenderJob *job, *next;
        unsigned n = 0;

        sender_clear(sender->timer_fd);
        sender->timer_armed = false;
        for (job = TAILQ_FIRST(&sender->jobs); job && job->deadline <= now && n < TURN_MAX; job = next) {
                next = TAILQ_NEXT(job, link);
                job->deadline = job_deadline(sender, job, now);
                if (job->deadline <= now) {
                        sender_complete(sender, job, -ENODATA, NULL);
                        n++;
                }
        }
        job = TAILQ_FIRST(&sender->jobs);
        return job ? arm_timer(sender, job->deadline) : 0; /* in the past: the rest in the next turn */
}

static bool has_ended(Sender *sender) {
        bool ended;

        (void) pthread_mutex_lock(&sender->lock);
        ended = sender->ended;
        (void) pthread_mutex_unlock(&sender->lock);
        return ended;
}

int sender_dispatch(Sender *sender) {
        struct epoll_event events[WATCHES];
        bool ready[WATCHES] = {};
        int n, r = 0;

        if (sender->silent) {
                silent_dispatch(sender);
                return 0;
        }
        n = epoll_wait(sender->epoll_fd, events, WATCHES, 0);
        for (int i = 0; i < n; i++)
                ready[events[i].data.u32] = true;
        if (ready[WATCH_READY])
                sender_clear(sender->ready_fd); /* before looking: what fails from here on makes it readable again */
        if (ready[WATCH_READBACK])
                r = receive(sender);
        if (ready[WATCH_READY])
                complete_failed(sender);
        if (ready[WATCH_TIMER] && r == 0) /* none is given up while what was read back waits to be read */
                r = expire(sender);
        return has_ended(sender) ? -EPIPE : r < 0 ? r : 0;
}

/* ---- new jobs ---- */

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
        *job = (SenderJob){ .type = record->type, .success = record->success, .text_size = text - 1, .cost = readback_cost(text) };
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
        if (ended) {
                job->sent = true; /* nobody else has it */
                job->error = -EPIPE;
        } else
                STAILQ_INSERT_TAIL(&sender->submitted, job, thread_link);
        wake = sender->sleeping;
        sender->sleeping = false;
        (void) pthread_mutex_unlock(&sender->lock);
        if (ended)
                sender_signal(sender->ready_fd);
        else if (wake)
                sender_signal(sender->wake_fd);
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
        job->deadline = deadline_in_ms(sender->read_back_ms);
        if (!sender->silent && !sender->timer_armed && arm_timer(sender, job->deadline) < 0) {
                free(job);
                return -ENOMEM;
        }
        sender->n_jobs++;
        TAILQ_INSERT_TAIL(&sender->jobs, job, link);
        if (ret_job)
                *ret_job = job;
        if (sender->silent)
                silent_submit(sender, job);
        else
                enqueue(sender, job);
        return 0;
}

SenderJob *sender_forget(SenderJob *job) {
        if (job)
                job->done = NULL;
        return NULL;
}
