/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "tools/upcallctl/ask.h"
#include "tools/upcallctl/connection.h"

int ask_printed(int r) {
        if (r >= 0)
                return EXIT_DONE;

        if (r == -ENODATA)
                complain("the broker said that it was done, and nothing else: is it older than this upcallctl?");
        else
                complain("cannot write the answer: %s", strerror(-r));

        return r == -ENODATA ? EXIT_NO_BROKER : EXIT_REFUSED;
}

static int ask_print(const Output *output, enum ask_shape shape, bool json) {
        if (shape == ASK_MANY)
                return json ? output_print_json_array(output) : output_print_table(output);

        return json ? output_print_json_object(output) : output_print_list(output);
}

struct ask_state {
        Output *output;
        enum ask_shape shape;
        size_t n;
};

static int ask_row(void *userdata, const void *message) {
        struct ask_state *state = userdata;

        if (state->n++ > 0 && state->shape == ASK_ONE)
                return -EBADMSG;

        return output_add(state->output, message);
}

int ask_rows(const struct arguments *arguments, const struct message_control *order, const struct ask *ask) {
        _cleanup_(output_freep) Output *output = NULL;
        struct ask_state state = { .shape = ask->shape };
        int r;

        r = output_new(ask->columns, ask->n_columns, &output);
        if (r < 0)
                return ask_printed(r);

        state.output = output;
        r = conversation_run(arguments, &(struct conversation){
                .order = order,
                .descriptor = -1,
                .rows = ask->rows,
                .row = ask_row,
                .userdata = &state,
        }, NULL);
        if (r != 0)
                return r;

        if (state.n == 0 && ask->nothing) {
                r = output_add(output, ask->nothing);
                if (r < 0)
                        return ask_printed(r);
        }

        return ask_printed(ask_print(output, ask->shape, option_given(arguments, OPTION_JSON)));
}

int ask_order(const struct arguments *arguments, const struct message_control *order, int descriptor, char **ret_text) {
        return conversation_run(arguments, &(struct conversation){ .order = order, .descriptor = descriptor }, ret_text);
}

int ask_container(const char *what, const char *text, struct wire_span *ret_container) {
        /* a contid as text is a valid name, too: the broker tells them apart */
        return argument_name(what, text, UPCALL_NAME_MAX, ret_container);
}
