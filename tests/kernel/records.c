/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * records LOG CONTID FIELD [KEY-SERIAL]: the interpreted value of FIELD in every record about CONTID, or about this key of it, as auparse gives it
 * back, in hex, a line each.
 */
#include <auparse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

static void print_hex(const char *text) {
        for (; *text; text++)
                printf("%02x", (unsigned char) *text);
        putchar('\n');
}

static void print_event(auparse_state_t *state, const char *field) {
        do {
                if (auparse_find_field(state, field)) {
                        const char *text = auparse_interpret_field(state);

                        if (text)
                                print_hex(text);
                }
        } while (auparse_next_record(state) > 0);
}

int main(int argc, char **argv) {
        _cleanup_free_ char *expression = NULL;
        auparse_state_t *state;
        char *error = NULL;

        if (argc != 4 && argc != 5) {
                fputs("usage: records LOG CONTID FIELD [KEY-SERIAL]\n", stderr);
                return 2;
        }
        if (asprintf(&expression, "uuid r= \"%s\"%s%s%s", argv[2], argc == 5 ? " && key-serial r= \"" : "", argc == 5 ? argv[4] : "",
                     argc == 5 ? "\"" : "") < 0)
                return 1;
        state = auparse_init(AUSOURCE_FILE, argv[1]);
        if (!state) {
                perror(argv[1]);
                return 1;
        }
        auparse_set_escape_mode(state, AUPARSE_ESC_RAW);
        if (ausearch_add_expression(state, expression, &error, AUSEARCH_RULE_CLEAR) < 0) {
                fprintf(stderr, "records: %s\n", error ? error : "bad expression");
                free(error);
                auparse_destroy(state);
                return 1;
        }
        (void) ausearch_set_stop(state, AUSEARCH_STOP_EVENT);
        while (ausearch_next_event(state) > 0) {
                (void) auparse_first_record(state);
                print_event(state, argv[3]);
        }
        auparse_destroy(state);
        return 0;
}
