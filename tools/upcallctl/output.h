/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people and programs get to see: rows of a message, described by a table of columns, as an aligned table, as a list of
 * "Title: value" lines, or as JSON. Text that somebody chose is escaped, so that it cannot drive a terminal.
 */
#ifndef UPCALLCTL_OUTPUT_H
#define UPCALLCTL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"
#include "util/cleanup.h"

enum output_kind {
        OUTPUT_U32,
        OUTPUT_U64,
        OUTPUT_TEXT,  /* struct wire_span; absent: null, "-" */
        OUTPUT_ID,    /* uint8_t[16] as a UUID; all zero: null, "-" */
        OUTPUT_TIME,  /* uint64_t, microseconds since 1970; 0: null, "-". Local time for people, UTC in JSON */
        OUTPUT_WORD,  /* uint32_t by a table of words; one that is not in it: its number */
        OUTPUT_SET,   /* uint32_t, a set of bits by a table of words: an array in JSON */
        OUTPUT_ERROR, /* uint32_t: an errno's name; 0: null, "-" */
        OUTPUT_PLUS_ONE, /* uint32_t, of which 0 is none: null, "-"; else the number before it */
        OUTPUT_WORDS, /* struct wire_span, words, each with its NUL: an array in JSON; absent: null, "-" */
        OUTPUT_IDS,   /* struct wire_span, 16 bytes each, as UUIDs: an array in JSON */
        OUTPUT_LIMIT, /* struct output_limit: an object in JSON */
};

/* How much there is of something, how much there may be, and how often it was not to be had */
struct output_limit {
        uint32_t used, host, container, uid;        /* container, uid: 0 where there is no limit of their own */
        uint64_t refused[UPCALL_LIMIT_SCOPES];      /* the host's, a share, a container's, a uid's */
};

struct output_word {
        uint32_t value;
        const char *word; /* NULL ends the table */
};

struct output_column {
        const char *key;   /* in JSON: stable, documented in upcallctl(8) */
        const char *title; /* for people */
        const struct output_word *words; /* WORD, SET */
        size_t offset;
        size_t depth; /* TEXT: where a uint32_t stands, by which the text is indented for people; 0: nowhere */
        enum output_kind kind;
        bool zero_is_none; /* U32, U64, WORD */
        bool detail;       /* not in the table of many rows */
};

typedef struct Output Output;

int output_new(const struct output_column *columns, size_t n_columns, Output **ret_output);
Output *output_free(Output *output);
DEFINE_CLEANUP(Output, output_free)

/* Adds a row, copying what it needs. Returns 0, -ENOMEM. userdata is an Output: this fits as a callback for rows. */
int output_add(void *userdata, const void *message);

/* Each writes to standard output; returns 0, or a negative errno when that failed. */
int output_print_table(const Output *output);
int output_print_json_array(const Output *output);
/* Exactly the first row. -ENODATA when there is none. */
int output_print_list(const Output *output);
int output_print_json_object(const Output *output);

/* A line of text to standard output. */
int output_print_line(const void *text, size_t size);

/* Whatever was printed is now where it belongs: 0, or a negative errno. */
int output_flush(void);

/* "upcallctl: …" on standard error, made printable: bytes that are not printable ASCII come out as \xHH. */
void complain(const char *format, ...) _printf_(1, 2);

/* A printable copy, owned by the caller; NULL: out of memory. With backslash set, that is escaped as well, so that what comes out is
 * unambiguous. */
char *text_escape(const void *data, size_t size, bool backslash);

#endif
