/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arguments of a helper: request-key.conf(5)'s macros, and two of ours. A macro is a whole argument, so that nothing in a
 * key's description can become a second one; the program itself is none. "%%" at the beginning of an argument stands for "%". Pure.
 */
#ifndef UTIL_MACROS_H
#define UTIL_MACROS_H

#include <stdbool.h>

#include "util/wire.h"

/* In messages */
#define MACROS_WORDS "%o %k %t %d %c %u %g %T %P %S %C %N"

enum macro {
        MACRO_OPERATION,       /* %o */
        MACRO_KEY,             /* %k */
        MACRO_TYPE,            /* %t */
        MACRO_DESCRIPTION,     /* %d */
        MACRO_CALLOUT,         /* %c */
        MACRO_UID,             /* %u */
        MACRO_GID,             /* %g */
        MACRO_THREAD_KEYRING,  /* %T */
        MACRO_PROCESS_KEYRING, /* %P */
        MACRO_SESSION_KEYRING, /* %S */
        MACRO_CONTID,          /* %C */
        MACRO_CONTAINER,       /* %N */
        MACRO_COUNT,
};

/* Whether every argument that begins with % is a macro, and the program does not. arguments: as message_arguments_valid() has them. */
bool macros_known(struct wire_span arguments);

/*
 * argv, ended by NULL, in place of the macros their values; all of it points into arguments and values. Returns the number of
 * words; -EINVAL when there are more than max, or one is no macro; -ENODATA when one has no value (NULL).
 */
int macros_expand(struct wire_span arguments, const char *const values[static MACRO_COUNT], const char **ret_argv, size_t max);

#endif
