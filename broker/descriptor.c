/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/descriptor.h"
#include "util/cleanup.h"
#include "util/error.h"

/* The owner's reference, and one for each descriptor that is being closed */
struct Closing {
        atomic_uint references;
};

struct closer {
        Closing *closing;
        int fd;
};

Closing *closing_new(void) {
        Closing *closing = malloc(sizeof(*closing));

        if (closing)
                atomic_init(&closing->references, 1);
        return closing;
}

Closing *closing_unref(Closing *closing) {
        if (closing && atomic_fetch_sub(&closing->references, 1) == 1)
                free(closing);
        return NULL;
}

bool closing_allowed(const Closing *closing) {
        return atomic_load(&closing->references) - 1 < CLOSING_MAX;
}

static void *close_in_thread(void *argument) {
        struct closer *closer = argument;

        close_fd(closer->fd);
        closing_unref(closer->closing);
        free(closer);
        return NULL;
}

static int start_closer(struct closer *closer) {
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attributes);
        if (r != 0)
                return r;
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attributes, close_in_thread, closer);
        (void) pthread_attr_destroy(&attributes);
        return r;
}

/* A descriptor that no thread can be had for stays open, and stays in the count. */
void close_off_loop(Closing *closing, int fd) {
        struct closer *closer;
        int r = ENOMEM;

        if (fd < 0)
                return;
        (void) atomic_fetch_add(&closing->references, 1);
        closer = malloc(sizeof(*closer));
        if (closer) {
                *closer = (struct closer){ .closing = closing, .fd = fd };
                r = start_closer(closer);
        }
        if (r == 0)
                return;
        free(closer);
        fprintf(stderr, "descriptor %d of a peer stays open, since no thread can be had to close it, ignoring: %s\n", fd, strerror(r));
}

void packet_drop(Closing *closing, struct packet *packet) {
        for (size_t i = 0; i < packet->n_descriptors; i++)
                close_off_loop(closing, TAKE_FD(packet->descriptors[i]));
        packet_done(packet);
}
