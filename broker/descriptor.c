/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "broker/descriptor.h"
#include "util/cleanup.h"

static void *close_in_thread(void *argument) {
        close_fd((int) (intptr_t) argument);
        return NULL;
}

void close_off_loop(int fd) {
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        if (fd < 0)
                return;
        r = pthread_attr_init(&attributes);
        if (r == 0) {
                (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
                r = pthread_create(&thread, &attributes, close_in_thread, (void *) (intptr_t) fd);
                (void) pthread_attr_destroy(&attributes);
        }
        if (r != 0)
                fprintf(stderr, "descriptor %d of a peer stays open, since no thread can be had to close it, ignoring: %s\n", fd, strerror(r));
}

void packet_drop(struct packet *packet) {
        for (size_t i = 0; i < packet->n_descriptors; i++)
                close_off_loop(TAKE_FD(packet->descriptors[i]));
        packet_done(packet);
}
