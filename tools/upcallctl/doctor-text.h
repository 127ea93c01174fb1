/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What doctor reads out of the host's files. Pure. */
#ifndef UPCALLCTL_DOCTOR_TEXT_H
#define UPCALLCTL_DOCTOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* statfs(2), f_type: the name of a file system whose answers come from elsewhere, over the network or from a process; NULL for any other. */
const char *text_remote_file_system(uint64_t type);

/* The first service in a line of nsswitch.conf for users or groups that stands in front of "files" and may ask the network. Returns its length,
 * and where it begins; 0: none, or another kind of line. */
size_t text_network_service(const char *line, const char **ret_service);

/* A line of /proc/key-users. Returns whether it is that user's. */
struct text_key_usage {
        uint64_t keys, keys_max, bytes, bytes_max;
};
bool text_key_usage(const char *line, uint32_t uid, struct text_key_usage *ret_usage);

/* The program that /proc/sys/kernel/core_pattern starts: its length, and where it begins; 0: none. */
size_t text_core_program(const char *pattern, const char **ret_program);

/* Whether the kernel was told at its start to audit: the last audit= of its command line, where "--" ends what is the kernel's. */
bool text_audited_from_the_start(const char *command_line);

#endif
