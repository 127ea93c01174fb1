/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "util/macros.h"
#include "util/message.h"

static const char letters[MACRO_COUNT + 1] = {
        [MACRO_OPERATION] = 'o',       [MACRO_KEY] = 'k',     [MACRO_TYPE] = 't', [MACRO_DESCRIPTION] = 'd',
        [MACRO_CALLOUT] = 'c',         [MACRO_UID] = 'u',     [MACRO_GID] = 'g',  [MACRO_THREAD_KEYRING] = 'T',
        [MACRO_PROCESS_KEYRING] = 'P', [MACRO_SESSION_KEYRING] = 'S',
        [MACRO_CONTID] = 'C',          [MACRO_CONTAINER] = 'N',
};

/* Its number; MACRO_COUNT: it is an argument as it stands. -EINVAL: it looks like a macro and is none. */
static int macro_of(const char *word) {
        const char *letter;

        if (word[0] != '%' || word[1] == '%')
                return MACRO_COUNT;
        letter = word[1] != '\0' && word[2] == '\0' ? strchr(letters, word[1]) : NULL;
        return letter ? (int) (letter - letters) : -EINVAL;
}

bool macros_known(struct wire_span arguments) {
        const char *word = message_arguments_next(arguments, NULL);

        if (!word || word[0] == '%')
                return false;
        while ((word = message_arguments_next(arguments, word)))
                if (macro_of(word) < 0)
                        return false;
        return true;
}

int macros_expand(struct wire_span arguments, const char *const values[static MACRO_COUNT], const char **ret_argv, size_t max) {
        int n = 0;

        if (!macros_known(arguments))
                return -EINVAL;
        for (const char *word = message_arguments_next(arguments, NULL); word; word = message_arguments_next(arguments, word)) {
                int macro = macro_of(word);

                if ((size_t) n == max)
                        return -EINVAL;
                ret_argv[n] = macro == MACRO_COUNT ? word + (word[0] == '%') : values[macro];
                if (!ret_argv[n++])
                        return -ENODATA;
        }
        ret_argv[n] = NULL;
        return n;
}
