/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef REQUEST_KEY_NUMBER_H
#define REQUEST_KEY_NUMBER_H

#include <stdint.h>

/* A number as the kernel writes it with %d: no blanks, no plus sign, no leading zeros. Returns 0, -EINVAL or -ERANGE. Pure. */
int number_parse(const char *text, int64_t min, int64_t max, int64_t *ret_number);

#endif
