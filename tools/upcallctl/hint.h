/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a container is and what people call it, as its run time said on the host. For people, and for the name that it is registered
 * under: never for who it is, which the kernel says. Pure.
 */
#ifndef UPCALLCTL_HINT_H
#define UPCALLCTL_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upcall/protocol.h"

enum runtime {
        RUNTIME_NONE, /* namespaces that no run time that we know speaks of */
        RUNTIME_RUNC,
        RUNTIME_CRUN,
        RUNTIME_PODMAN,
        RUNTIME_CRIO,
        RUNTIME_CONTAINERD,
        RUNTIME_DOCKER,
        RUNTIME_NSPAWN,
        RUNTIME_LXC,
        RUNTIMES,
};

const char *runtime_word(enum runtime runtime);

#define HINT_TEXT_MAX 255
#define HINT_SOURCE_MAX 639

/* Texts are as the run time has them: anything but NUL. */
struct hint {
        enum runtime runtime;
        char id[HINT_TEXT_MAX + 1];       /* "": not known */
        char name[HINT_TEXT_MAX + 1];     /* "": not known */
        char source[HINT_SOURCE_MAX + 1]; /* where that was read; "": nowhere */
};

/* Copies what fits; a text that does not is as if absent. */
void hint_set(char *ret_text, size_t ret_size, const char *text);

/* From the program and the command line (words with a NUL behind each) of the process that started the container. False: it is no run
 * time that we know. */
bool hint_from_command(const char *program, const char *words, size_t size, uint32_t pid, struct hint *ret_hint);

/* One hint of two about the same container: its own state file says its id best, its monitor mostly the name. Either may be empty. */
struct hint hint_merge(const struct hint *state, const struct hint *monitor);

/* A name by the registry's rules (UPCALL_NAME_MAX), with room for a suffix: the hint's, else RUNTIME-ID, else KIND-NUMBER. */
#define HINT_NAME_MAX (UPCALL_NAME_MAX - 15)
void hint_name(const struct hint *hint, const char *kind, uint64_t number, char ret_name[static UPCALL_NAME_MAX + 1]);

#endif
