/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading what auditd wrote: our own records, out of all those of a host, in the order of the log. The only file that knows auparse.
 *
 * Fed with a log's bytes in any pieces. A line is looked at for one of our op= words first, and only such lines go to auparse, which takes ten
 * times as long for a line as reading it does. Memory is bounded by one line. Nothing here decides whether a record is
 * genuine: anybody with CAP_AUDIT_WRITE can write one that looks like ours, and whoever can write to the log, anything.
 */
#ifndef AUDITING_TRAIL_H
#define AUDITING_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct Trail Trail;

#define TRAIL_FIELDS_MAX 64

struct trail_field {
        const char *name;
        const uint8_t *value; /* quotes taken off, hex decoded; NUL behind it */
        size_t size;
};

/* Valid only during the callback. */
struct trail_record {
        int type;
        uint64_t serial, time_ms;
        uint32_t pid, uid; /* the sender's, by the kernel */
        struct trail_field fields[TRAIL_FIELDS_MAX]; /* of the message, in its order */
        size_t n_fields;
        const char *line;  /* byte for byte as it stands in the log, with its newline */
        size_t line_size;
        bool damaged; /* a field stands twice, there are too many, or hex is none */
};

/* NULL: it has none of that name. */
const struct trail_field *trail_field(const struct trail_record *record, const char *name);
bool trail_field_is(const struct trail_record *record, const char *name, const char *value);
/* Decimal digits alone. */
bool trail_field_number(const struct trail_record *record, const char *name, uint64_t *ret_number);

/* A negative answer ends the reading and is returned. */
typedef int (*trail_record_fn)(void *userdata, const struct trail_record *record);

struct trail_counts {
        uint64_t lines;      /* of this host */
        uint64_t records;    /* ours among them */
        uint64_t other_host; /* lines with another node= */
        uint64_t cut;        /* files that end within a line */
        uint64_t unreadable; /* lines with one of our words that auparse does not take, or longer than any record */
        uint64_t first_ms, last_ms; /* earliest and latest time of all lines of this host, ours or not */
};

/* node: records of this host have no node= or this one, with or without its domain. NULL: every host's are taken. Copied. */
int trail_new(const char *node, trail_record_fn fn, void *userdata, Trail **ret_trail);
Trail *trail_free(Trail *trail);
DEFINE_CLEANUP(Trail, trail_free)

int trail_feed(Trail *trail, const void *data, size_t size);
int trail_end_file(Trail *trail); /* what was fed next is another file's */
int trail_read(Trail *trail, int fd); /* a whole file, from where it is; and its end */

const struct trail_counts *trail_counts(const Trail *trail);

#endif
