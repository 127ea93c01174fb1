/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <auparse.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "auditing/trail-internal.h"
#include "auditing/trail.h"
#include "util/error.h"

/* The kernel's records end at 8970 bytes; auditd adds node= and, when it enriches, names for numbers. */
#define LINE_MAX_SIZE (32 * 1024)
#define READ_SIZE (64 * 1024)
#define NODE_MAX 256

struct Trail {
        auparse_state_t *parser;
        trail_record_fn fn;
        void *userdata;
        int error;                 /* the callback's */
        uint64_t n_given, n_taken; /* lines to auparse, records from it */
        struct trail_counts counts;
        char node[NODE_MAX];
        bool overlong;             /* the rest of the line is passed over */
        size_t used;
        char line[LINE_MAX_SIZE + 1];
        struct trail_record record;
        char whole[LINE_MAX_SIZE + 2]; /* the record's line */
        uint8_t decoded[LINE_MAX_SIZE + TRAIL_FIELDS_MAX + 1];
        size_t n_decoded;
};

/* What broker and client say that they do; each also with "refuse-" in front. */
static const char *const ops[] = {
        "upcall-dispatch", "upcall-complete", "upcall-unbrokered", "invalidate-keys", "ledger-chain", "audit-gap", "observe-on", "observe-off",
        "register", "unregister", "bind-agent", "cut-off-agent", "register-agent", "unregister-agent", "register-container",
        "unregister-container", "add-route", "remove-route", "run-for", "end-run-for",
        "allow-agent", "disallow-agent",
        "add-delegation", "remove-delegation", "expire-delegation", "end-delegation",
};

/* What is only recorded when it was refused */
static const char *const ops_refused[] = { "agent", "look" };

/* Values that others chose (schema/record-fields.tsv) */
static const char *const hex_fields[] = { "name", "ocomm", "cmd" };

static bool is_one_of(const char *word, size_t size, const char *const *words, size_t n_words) {
        for (size_t i = 0; i < n_words; i++)
                if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
                        return true;
        return false;
}

static bool is_our_op(const char *word, size_t size) {
        static const char refused[] = "refuse-";
        const size_t length = sizeof(refused) - 1;

        if (size > length && memcmp(word, refused, length) == 0) {
                word += length;
                size -= length;
                if (is_one_of(word, size, ops_refused, ELEMENTS(ops_refused)))
                        return true;
        }
        return is_one_of(word, size, ops, ELEMENTS(ops));
}

/* ---- fields ---- */

/* All of a record's values together are no longer than its line: they fit. */
static struct trail_field decode(Trail *trail, const char *name, const char *text) {
        struct trail_field field = { .name = name };
        size_t size = strlen(text);
        uint8_t *at = trail->decoded + trail->n_decoded;

        if (size >= 2 && text[0] == '"' && text[size - 1] == '"') {
                text++;
                size -= 2;
        } else if (is_one_of(name, strlen(name), hex_fields, ELEMENTS(hex_fields))) {
                if (strcmp(text, "?") == 0)
                        size = 0;
                else if (trail_decode_hex(text, size, at))
                        text = NULL;
                else
                        trail->record.damaged = true;
        }
        if (!text)
                size /= 2;
        else
                memcpy(at, text, size);
        at[size] = '\0';
        field.value = at;
        field.size = size;
        trail->n_decoded += size + 1;
        return field;
}

static void add_field(Trail *trail, const char *name, const char *text) {
        struct trail_record *record = &trail->record;

        if (trail_field(record, name) || record->n_fields == TRAIL_FIELDS_MAX ||
            trail->n_decoded + strlen(text) + 1 > sizeof(trail->decoded)) {
                record->damaged = true;
                return;
        }
        record->fields[record->n_fields] = decode(trail, name, text);
        record->n_fields++;
}

/* ---- records ---- */

/* What stands in front of the message. auparse gives all fields in one row, and a message may have a pid= of its own: the kernel's is the
 * first. */
static bool take_kernels(struct trail_record *record, const char *name, const char *text, bool *pid, bool *uid) {
        static const char *const others[] = { "node", "type", "auid", "ses", "subj" };
        uint64_t number;

        if (strcmp(name, "pid") == 0 && !*pid && trail_parse_number(text, strlen(text), &number)) {
                record->pid = (uint32_t) number;
                return *pid = true;
        }
        if (strcmp(name, "uid") == 0 && !*uid && trail_parse_number(text, strlen(text), &number)) {
                record->uid = (uint32_t) number;
                return *uid = true;
        }
        return is_one_of(name, strlen(name), others, ELEMENTS(others));
}

static void read_fields(Trail *trail) {
        bool message = false, pid = false, uid = false;

        if (auparse_first_field(trail->parser) <= 0)
                return;
        do {
                const char *name = auparse_get_field_name(trail->parser), *text = auparse_get_field_str(trail->parser);

                if (!name || !text)
                        continue;
                if (!message && take_kernels(&trail->record, name, text, &pid, &uid))
                        continue;
                message = true;
                add_field(trail, name, text);
        } while (auparse_next_field(trail->parser) > 0);
        trail->record.damaged = trail->record.damaged || !pid || !uid;
}

/* auparse takes off the newline, and parts what auditd has added when it enriches. */
static void read_line(Trail *trail) {
        const char *text = auparse_get_record_text(trail->parser), *added = auparse_get_record_interpretations(trail->parser);
        int n = snprintf(trail->whole, sizeof(trail->whole), "%s%s%s\n", text ? text : "", added ? "\x1d" : "", added ? added : "");

        trail->record.line = trail->whole;
        trail->record.line_size = n > 0 && (size_t) n < sizeof(trail->whole) ? (size_t) n : 0;
}

static void read_record(Trail *trail) {
        const struct trail_field *op;

        trail->n_taken++;
        trail->n_decoded = 0;
        trail->record.n_fields = 0;
        trail->record.damaged = false;
        trail->record.pid = trail->record.uid = UINT32_MAX;
        trail->record.type = auparse_get_type(trail->parser);
        trail->record.serial = auparse_get_serial(trail->parser);
        trail->record.time_ms = (uint64_t) auparse_get_time(trail->parser) * 1000 + auparse_get_milli(trail->parser);
        read_line(trail);
        read_fields(trail);
        op = trail_field(&trail->record, "op");
        if (!op || !is_our_op((const char *) op->value, op->size))
                return; /* our word stood elsewhere in the line */
        trail->counts.records++;
        trail->error = trail->fn(trail->userdata, &trail->record);
}

static void on_event(auparse_state_t *parser, auparse_cb_event_t reason, void *userdata) {
        Trail *trail = userdata;

        if (reason != AUPARSE_CB_EVENT_READY || auparse_first_record(parser) <= 0)
                return;
        do {
                if (trail->error >= 0)
                        read_record(trail);
        } while (auparse_next_record(parser) > 0);
}

/* ---- lines ---- */

static bool has_our_word(const char *line, size_t size) {
        const char *at = line, *end = line + size;

        while ((at = memmem(at, (size_t) (end - at), "op=", 3))) {
                bool begins = at > line && (at[-1] == ' ' || at[-1] == '\'');
                size_t length = 0;

                at += 3;
                while (at + length < end && (islower((unsigned char) at[length]) || at[length] == '-'))
                        length++;
                if (begins && is_our_op(at, length))
                        return true;
        }
        return false;
}

/* auditd puts node= in front of all */
static bool is_this_host(const Trail *trail, const char *line) {
        size_t length, ours = strlen(trail->node);

        if (strncmp(line, "node=", 5) != 0 || ours == 0)
                return true;
        line += 5;
        length = strcspn(line, " ");
        if (length >= ours)
                return strncmp(line, trail->node, ours) == 0 && (length == ours || line[ours] == '.');
        return strncmp(line, trail->node, length) == 0 && trail->node[length] == '.';
}

/* auparse 3.0.9 keeps memory for ever of a line that does not begin like this (found by fuzzing). */
static bool begins_like_a_record(const char *line) {
        int end = 0;

        if (strncmp(line, "node=", 5) == 0 && strchr(line, ' '))
                line = strchr(line, ' ') + 1;
        (void) sscanf(line, "type=%*[]A-Z0-9_[] msg=audit(%*10[0-9].%*3[0-9]:%*10[0-9]): %*c%n", &end);
        return end > 0;
}

static void note_time(struct trail_counts *counts, const char *line) {
        const char *at = strstr(line, "msg=audit(");
        uint64_t seconds, time;
        unsigned milli;

        if (!at || sscanf(at, "msg=audit(%" SCNu64 ".%3u:", &seconds, &milli) != 2 || seconds > UINT64_MAX / 2000)
                return;
        time = seconds * 1000 + milli;
        if (counts->first_ms == 0 || time < counts->first_ms)
                counts->first_ms = time;
        if (time > counts->last_ms)
                counts->last_ms = time;
}

/* With its newline, and a NUL behind that */
static int take_line(Trail *trail, size_t size) {
        if (!is_this_host(trail, trail->line)) {
                trail->counts.other_host++;
                return 0;
        }
        trail->counts.lines++;
        note_time(&trail->counts, trail->line);
        if (!has_our_word(trail->line, size))
                return 0;
        if (memchr(trail->line, '\0', size) || !begins_like_a_record(trail->line)) {
                trail->counts.unreadable++;
                return 0;
        }
        trail->n_given++;
        if (auparse_feed(trail->parser, trail->line, size) != 0)
                return -ENOMEM;
        return trail->error;
}

static int end_line(Trail *trail) {
        size_t size = trail->used;

        trail->used = 0;
        if (trail->overlong) {
                trail->overlong = false;
                trail->counts.unreadable++;
                return 0;
        }
        trail->line[size] = '\0';
        return take_line(trail, size);
}

int trail_feed(Trail *trail, const void *data, size_t size) {
        const char *at = data;

        while (size > 0) {
                const char *newline = memchr(at, '\n', size);
                size_t n = newline ? (size_t) (newline - at) + 1 : size;
                int r;

                if (trail->used + n > LINE_MAX_SIZE)
                        trail->overlong = true;
                else {
                        memcpy(trail->line + trail->used, at, n);
                        trail->used += n;
                }
                at += n;
                size -= n;
                r = newline ? end_line(trail) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

int trail_end_file(Trail *trail) {
        if (trail->used > 0 || trail->overlong)
                trail->counts.cut++;
        trail->used = 0;
        trail->overlong = false;
        if (auparse_flush_feed(trail->parser) != 0)
                return -ENOMEM;
        if (trail->n_given > trail->n_taken)
                trail->counts.unreadable += trail->n_given - trail->n_taken;
        trail->n_given = trail->n_taken = 0;
        return trail->error;
}

int trail_read(Trail *trail, int fd) {
        _cleanup_free_ char *buffer = malloc(READ_SIZE);
        ssize_t n;
        int r = 0;

        if (!buffer)
                return -ENOMEM;
        while (r >= 0 && (n = read(fd, buffer, READ_SIZE)) != 0)
                if (n > 0)
                        r = trail_feed(trail, buffer, (size_t) n);
                else if (errno != EINTR)
                        return negative_errno();
        return r < 0 ? r : trail_end_file(trail);
}

/* ---- life ---- */

int trail_new(const char *node, trail_record_fn fn, void *userdata, Trail **ret_trail) {
        _cleanup_(trail_freep) Trail *trail = NULL;

        if (node && strlen(node) >= NODE_MAX)
                return -EINVAL;
        trail = calloc(1, sizeof(*trail));
        if (!trail)
                return -ENOMEM;
        trail->fn = fn;
        trail->userdata = userdata;
        if (node)
                memcpy(trail->node, node, strlen(node));
        trail->parser = auparse_init(AUSOURCE_FEED, NULL);
        if (!trail->parser)
                return -ENOMEM;
        auparse_add_callback(trail->parser, on_event, trail, NULL);
        *ret_trail = TAKE_PTR(trail);
        return 0;
}

Trail *trail_free(Trail *trail) {
        if (!trail)
                return NULL;
        if (trail->parser)
                auparse_destroy(trail->parser);
        free(trail);
        return NULL;
}

const struct trail_counts *trail_counts(const Trail *trail) {
        return &trail->counts;
}
