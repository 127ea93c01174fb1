/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sender without an audit system behind it: in a container the kernel takes no records. No thread and no socket; each record counts as made, with no serial. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "auditing/sender-internal.h"
#include "util/error.h"

/* Callbacks in one sender_dispatch() */
#define TURN_MAX 32

int sender_new_silent(unsigned queue_max, Sender **ret_sender) {
        _cleanup_(sender_destroyp) Sender *sender = sender_allocate();
        struct epoll_event event = { .events = EPOLLIN };

        if (!sender)
                return -ENOMEM;
        sender->silent = true;
        sender->queue_max = queue_max;
        sender->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        sender->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (sender->ready_fd < 0 || sender->epoll_fd < 0 || epoll_ctl(sender->epoll_fd, EPOLL_CTL_ADD, sender->ready_fd, &event) < 0)
                return negative_errno();
        *ret_sender = TAKE_PTR(sender);
        return 0;
}

void silent_submit(Sender *sender, SenderJob *job) {
        job->sent = true; /* nobody else has it */
        sender_signal(sender->ready_fd);
}

void silent_dispatch(Sender *sender) {
        static const struct sender_receipt none = { .serial = 0 };
        SenderJob *job;

        sender_clear(sender->ready_fd);
        for (unsigned i = 0; i < TURN_MAX && (job = TAILQ_FIRST(&sender->jobs)); i++)
                sender_complete(sender, job, 0, &none);
        if (!TAILQ_EMPTY(&sender->jobs))
                sender_signal(sender->ready_fd);
}

Sender *silent_free(Sender *sender) {
        SenderJob *job;

        while ((job = TAILQ_FIRST(&sender->jobs))) {
                TAILQ_REMOVE(&sender->jobs, job, link);
                free(job);
        }
        return sender_destroy(sender);
}
