/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: what the kernel gives (security/keys/request_key.c, call_sbin_request_key), or a person's. Pure. */
#ifndef REQUEST_KEY_ARGUMENTS_H
#define REQUEST_KEY_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* create KEY UID GID THREAD-KEYRING PROCESS-KEYRING SESSION-KEYRING; a keyring that there is not is 0 */
struct arguments {
        int32_t key;
        uint32_t uid, gid;
        int32_t thread_keyring, process_keyring, session_keyring;
};

/* The key alone, from a command line that may be wrong otherwise: so that it can be refused. Returns 0 or -EINVAL. */
int arguments_parse_key(int argc, char *const *argv, int32_t *ret_key);

/* Returns 0; -EOPNOTSUPP for another operation than create; -EINVAL. */
int arguments_parse(int argc, char *const *argv, struct arguments *ret_arguments);

enum command {
        COMMAND_HELP,
        COMMAND_VERSION,
        COMMAND_DRY_RUN,
};

struct options {
        enum command command;
        pid_t pid;
        const char *key_type, *description, *callout; /* callout "" when not given */
};

/* Whether a person started us: the first argument begins with two dashes. */
bool options_given(int argc, char *const *argv);

/* Returns 0; -EINVAL and a word that could not be understood, or the option that is missing. */
int options_parse(int argc, char *const *argv, struct options *ret_options, const char **ret_culprit);

#endif
