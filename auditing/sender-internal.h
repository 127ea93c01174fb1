/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a sender share: sender.c (the owner's side), sender-thread.c (the thread, and what outlives both), sender-silent.c (none of it). */
#ifndef AUDITING_SENDER_INTERNAL_H
#define AUDITING_SENDER_INTERNAL_H

#include <libaudit.h>
#include <pthread.h>
#include <sys/queue.h>

#include "auditing/sender.h"

/*
 * The thread only sends: that is what can block. The owner reads back by itself, since every wake-up of another thread on the way costs the
 * caller of an upcall some 10 µs. A job is in the owner's list until it was read back, has failed or expired, and the thread's until it was sent; whoever is done
 * with it last frees it.
 */
struct SenderJob {
        /* written once, before the thread sees the job */
        int type;
        bool success;
        size_t text_size;
        size_t cost; /* what it takes in the read-back socket's buffer */
        const char *text, *hostname, *terminal; /* in strings */
        /* the owner's alone */
        TAILQ_ENTRY(SenderJob) link;
        sender_done_t done;
        void *userdata;
        uint64_t deadline;
        /* under the lock */
        STAILQ_ENTRY(SenderJob) thread_link;
        size_t unread; /* its part of the sender's */
        bool sent;    /* the thread is done with it; error says how that went */
        bool dropped; /* the owner is done with it */
        int error;
        uint64_t time_sent; /* CLOCK_BOOTTIME */
        char strings[];
};

TAILQ_HEAD(job_list, SenderJob);
STAILQ_HEAD(thread_list, SenderJob);

struct Sender {
        bool silent; /* nothing is sent: sender-silent.c */

        /* set up before the thread is started */
        unsigned read_back_ms;
        pid_t pid;
        size_t room; /* of the read-back socket's buffer */
        int wake_fd;  /* owner to thread */
        int ready_fd; /* thread to owner: a job has failed, or the thread has ended */

        /* the owner's */
        unsigned queue_max, n_jobs;
        pthread_t thread;
        struct job_list jobs; /* in the order of their submission */
        int readback_fd, timer_fd, epoll_fd;
        bool timer_armed;

        /* under the lock */
        pthread_mutex_t lock;
        pthread_cond_t has_ended, has_room;
        struct thread_list submitted;
        size_t unread; /* the room of what was sent, and neither read back nor given up */
        bool sleeping;  /* the thread wants to be woken for a new job */
        bool stopping;  /* the owner has called sender_free() */
        bool ended;     /* the thread takes no more jobs */
        bool abandoned; /* the owner did not wait: the thread frees the sender */

        /* the thread's */
        int audit_fd;
        struct thread_list unsent;

        _Alignas(8) char buffer[MAX_AUDIT_MESSAGE_LENGTH + 1024]; /* the owner's */
};

/* Makes the eventfd readable, and not readable. */
void sender_signal(int fd);
void sender_clear(int fd);

/* Opens the socket that the thread sends through. 0 or a negative errno. */
int sender_reopen(Sender *sender);

void *sender_run(void *userdata); /* the thread; userdata is its Sender */

Sender *sender_allocate(void); /* NULL: out of memory */
/* What has become of a job, to its owner; the job is gone when it returns, or when the thread is done with it. */
void sender_complete(Sender *sender, SenderJob *job, int error, const struct sender_receipt *receipt);

void silent_submit(Sender *sender, SenderJob *job);
void silent_dispatch(Sender *sender);
Sender *silent_free(Sender *sender);

Sender *sender_destroy(Sender *sender); /* without a thread */
DEFINE_CLEANUP(Sender, sender_destroy)

#endif
