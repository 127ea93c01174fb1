/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What trail.c (lines and records) and trail-field.c share. */
#ifndef AUDITING_TRAIL_INTERNAL_H
#define AUDITING_TRAIL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits alone, at least one, and no more than fit. */
bool trail_parse_number(const char *text, size_t size, uint64_t *ret_number);

/* size hex digits to size / 2 bytes; false when they are none. */
bool trail_decode_hex(const char *text, size_t size, uint8_t *bytes);

#endif
