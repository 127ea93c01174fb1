/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory for secrets: pages of their own, locked where the limits allow it, not in core files, not in forked children; wiped. */
#ifndef UPCALL_AGENT_BUFFER_H
#define UPCALL_AGENT_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* Makes room for at least one more byte, up to max. Returns 0; -EMSGSIZE when max is reached; -ENOMEM. */
int buffer_grow(uint8_t **data, size_t *room, size_t max);

/* Wipes the used part and unmaps. */
void buffer_free(uint8_t **data, size_t used, size_t *room);

#endif
