/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's side of upcalld-witness: asks, without waiting, which namespaces, cgroup and credentials the process behind a
 * pidfd has. The witness is started before the broker drops its rights.
 */
#ifndef BROKER_WITNESS_H
#define BROKER_WITNESS_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"
#include "util/process.h"

typedef struct Witness Witness;
typedef struct WitnessQuestion WitnessQuestion;

/* error 0: facts (borrowed) and the process's own pid and user namespaces' descriptors, which the callback owns. -ESRCH: it ended.
 * -ETIMEDOUT: no answer in time. -EPIPE: the witness died. facts is NULL and descriptors -1 unless error is 0. */
typedef void (*witness_done_t)(void *userdata, int error, const struct process_facts *facts, int pid_ns, int user_ns);

/* The witness cannot be started again, since the broker has no rights left for it: whoever owns the broker ends it then. */
typedef void (*witness_lost_t)(void *userdata);

/* Forks and executes program (upcalld-witness) with its socket as descriptor 3, CAP_SYS_PTRACE alone, and uid and gid. Call as root, before
 * dropping rights, and before any thread is started. Returns its end of the socket pair, and its pid. */
int witness_start(const char *program, uid_t uid, gid_t gid, int *ret_fd, pid_t *ret_pid);

/* Takes fd over, also on failure. timeout_ms is for each question. */
int witness_new(sd_event *event, int fd, uint64_t timeout_ms, witness_lost_t lost, void *userdata, Witness **ret_witness);
Witness *witness_free(Witness *witness); /* questions under way are dropped without their callbacks; the witness ends by end of file */
DEFINE_CLEANUP(Witness, witness_free)

/* Asks about the process behind pidfd, which stays the caller's. done is called once, from the event loop, never from
 * here, unless the question is cancelled. At most 1024 questions are under way: -EBUSY. */
int witness_ask(Witness *witness, int pidfd, witness_done_t done, void *userdata, WitnessQuestion **ret_question);

/* done will not be called. Accepts NULL; returns NULL. Must not be used after done was called. */
WitnessQuestion *witness_cancel(WitnessQuestion *question);

#endif
