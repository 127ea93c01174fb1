/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks whether upcalld can do its work on this host. Each check is a function that says what it found, and what is to be done
 * about it; a check that cannot look says that, and so is not taken for one that found nothing.
 */
#ifndef UPCALLCTL_DOCTOR_H
#define UPCALLCTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/upcallctl/arguments.h"
#include "util/cleanup.h"

enum doctor_verdict {
        DOCTOR_FINE,
        DOCTOR_FINDING,
        DOCTOR_UNKNOWN, /* it could not be looked at */
};

struct doctor_result {
        const char *check;
        uint32_t verdict;
        char *what, *todo; /* todo NULL: nothing */
};

#define DOCTOR_RESULTS_MAX 128

struct doctor {
        const struct arguments *arguments;
        const char *check; /* the one that runs */
        struct doctor_result results[DOCTOR_RESULTS_MAX];
        size_t n;
        uint32_t broker_pid; /* 0: not known, or none */
};

/* One result of the check that runs. todo is copied; NULL for what is fine. */
void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *todo, const char *format, ...) _printf_(4, 5);

/* The same for what could not be looked at; error is a negative errno. */
void doctor_cannot(struct doctor *doctor, const char *what, int error);

void doctor_done(struct doctor *doctor); /* for _cleanup_ */

/* The checks that change nothing and ask nobody who may be slow: for upcallctl status. */
void doctor_look_shortly(struct doctor *doctor);

/* Writes the names of the checks that found something, with commas between them. Returns how many there are. */
size_t doctor_names(const struct doctor *doctor, char *data, size_t size);

/* doctor-audit.c */
void doctor_audit_state(struct doctor *doctor);
void doctor_audit_rules(struct doctor *doctor);
void doctor_audit_self_test(struct doctor *doctor);

/* doctor-broker.c */
void doctor_broker(struct doctor *doctor);

/* doctor-client.c */
void doctor_takeover(struct doctor *doctor);
void doctor_client_program(struct doctor *doctor);
void doctor_client_policy(struct doctor *doctor);
void doctor_settings(struct doctor *doctor);

/* doctor-host.c */
void doctor_core_pattern(struct doctor *doctor);
void doctor_registry_place(struct doctor *doctor);
void doctor_audit_log_place(struct doctor *doctor);
void doctor_name_service(struct doctor *doctor);
void doctor_key_quota(struct doctor *doctor);

#endif
