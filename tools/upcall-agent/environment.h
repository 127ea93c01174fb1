/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UPCALL_AGENT_ENVIRONMENT_H
#define UPCALL_AGENT_ENVIRONMENT_H

#include "upcall/agent.h"

#define UUID_TEXT_SIZE 37
#define ID_TEXT_SIZE 33

/* The program's descriptor for a lifetime. */
#define LIFETIME_FD 3

/* What the program is told, as execve(2) wants it. Nothing of the agent's own environment but PATH and HOME. */
char **environment_new(const upcall *call);
char **environment_free(char **environment);

void uuid_text(const uint8_t uuid[16], char ret_text[UUID_TEXT_SIZE]);
void id_text(const uint8_t id[16], char ret_text[ID_TEXT_SIZE]);

#endif
