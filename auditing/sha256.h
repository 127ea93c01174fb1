/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FIPS 180-4, for desc-sha256= in records that had to be cut. Small, since the static client links no library. */
#ifndef AUDITING_SHA256_H
#define AUDITING_SHA256_H

#include <stddef.h>
#include <stdint.h>

void sha256(const void *data, size_t size, uint8_t ret_digest[static 32]);

#endif
