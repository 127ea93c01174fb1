/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sender's thread: it sends one record after the other, and waits where the kernel makes it wait. */
#include <poll.h>

#include "auditing/sender-internal.h"
#include "util/deadline.h"
#include "util/error.h"

void sender_signal(int fd) {
        uint64_t one = 1;

        /* fails only when the counter is at its maximum: then it is readable as it is */
        (void) !write(fd, &one, sizeof(one));
}

void sender_clear(int fd) {
        uint64_t count;

        (void) !read(fd, &count, sizeof(count));
}

static void wait_fd(int fd) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };

        (void) poll(&pollfd, 1, -1);
        sender_clear(fd);
}

/* A send that failed may have left its acknowledgement behind, which the next one would take for its own. */
int sender_reopen(Sender *sender) {
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
                (void) sender_reopen(sender); /* else the next record fails, too, and says so */
        return r;
}

/* The owner may be too busy to read back, and what the socket has no room for is lost: so it is not sent before. */
static void take_room(Sender *sender, SenderJob *job) {
        (void) pthread_mutex_lock(&sender->lock);
        while (sender->unread > 0 && sender->unread + job->cost > sender->room && !sender->stopping)
                (void) pthread_cond_wait(&sender->has_room, &sender->lock);
        if (!job->dropped) {
                job->unread = job->cost;
                sender->unread += job->cost;
        }
        (void) pthread_mutex_unlock(&sender->lock);
}

static void give_back(Sender *sender, SenderJob *job, int error) {
        uint64_t now = usec_now(CLOCK_BOOTTIME);
        bool dropped;

        (void) pthread_mutex_lock(&sender->lock);
        job->sent = true;
        job->error = error;
        job->time_sent = now;
        dropped = job->dropped;
        (void) pthread_mutex_unlock(&sender->lock);
        if (dropped)
                free(job);
        else if (error < 0)
                sender_signal(sender->ready_fd);
}

static SenderJob *take_unsent(Sender *sender) {
        SenderJob *job = STAILQ_FIRST(&sender->unsent);

        if (job)
                STAILQ_REMOVE_HEAD(&sender->unsent, thread_link);
        return job;
}

/* Takes over what was submitted; true when the owner wants the thread to end. */
static bool take_submitted(Sender *sender) {
        bool stopping;

        (void) pthread_mutex_lock(&sender->lock);
        STAILQ_CONCAT(&sender->unsent, &sender->submitted);
        stopping = sender->stopping;
        sender->sleeping = STAILQ_EMPTY(&sender->unsent);
        (void) pthread_mutex_unlock(&sender->lock);
        return stopping;
}

/* Until the owner wants the end; what was submitted before that is sent all the same. */
static void serve(Sender *sender) {
        bool stopping;

        do {
                SenderJob *job;

                stopping = take_submitted(sender);
                if (!stopping && STAILQ_EMPTY(&sender->unsent))
                        wait_fd(sender->wake_fd);
                while ((job = take_unsent(sender))) {
                        take_room(sender, job);
                        give_back(sender, job, send_job(sender, job));
                }
        } while (!stopping);
}

Sender *sender_destroy(Sender *sender) {
        sender->audit_fd = close_fd(sender->audit_fd);
        sender->readback_fd = close_fd(sender->readback_fd);
        sender->timer_fd = close_fd(sender->timer_fd);
        sender->epoll_fd = close_fd(sender->epoll_fd);
        sender->wake_fd = close_fd(sender->wake_fd);
        sender->ready_fd = close_fd(sender->ready_fd);
        (void) pthread_cond_destroy(&sender->has_ended);
        (void) pthread_cond_destroy(&sender->has_room);
        (void) pthread_mutex_destroy(&sender->lock);
        free(sender);
        return NULL;
}
void *sender_run(void *userdata) {
        Sender *sender = userdata;
        bool abandoned;

        (void) pthread_setname_np(pthread_self(), "audit-sender");
        serve(sender);
        (void) pthread_mutex_lock(&sender->lock);
        sender->ended = true;
        abandoned = sender->abandoned;
        (void) pthread_cond_signal(&sender->has_ended);
        sender_signal(sender->ready_fd);
        (void) pthread_mutex_unlock(&sender->lock);
        if (abandoned)
                (void) sender_destroy(sender);
        return NULL;
}
