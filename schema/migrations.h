/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbered SQL files of this folder, in order, NULL at the end: the first one is migration 1. schema/embed.sh makes migrations.c. */
#ifndef SCHEMA_MIGRATIONS_H
#define SCHEMA_MIGRATIONS_H

extern const char *const schema_migrations[];

#endif
