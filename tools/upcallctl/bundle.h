/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bundle of evidence about one container, as bytes and as its parts. A ustar archive, uncompressed, that is always written in the same way: whoever reads
 * it writes it once more and compares, so that no byte of it, headers and padding included, can be another one unnoticed.
 *
 *   MANIFEST      the SHA-256 of each of the others, as sha256sum(1) writes it
 *   bundle.json   what it is about, by which version, from what log
 *   chain.jsonl   the digest of each ledger row in this part of the chain, of this container's and all others'
 *   heads.jsonl   the heads of the chain that were put into audit records
 *   ledger.jsonl  the rows of this container
 *   records.log   audit records, byte for byte as auditd wrote them
 *   report.json   what was found at the export
 *
 * Only bundle-archive.c knows libarchive.
 */
#ifndef UPCALLCTL_BUNDLE_H
#define UPCALLCTL_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/upcallctl/reconcile.h"

#define BUNDLE_FORMAT 1

/* In the order of their names */
enum bundle_part {
        BUNDLE_MANIFEST,
        BUNDLE_ABOUT,
        BUNDLE_CHAIN,
        BUNDLE_HEADS,
        BUNDLE_LEDGER,
        BUNDLE_RECORDS,
        BUNDLE_REPORT,
        BUNDLE_PARTS,
};

extern const char *const bundle_part_names[BUNDLE_PARTS];

/* More of a part is neither written nor read. */
size_t bundle_part_max(enum bundle_part part);

/* Larger than all of them together */
#define BUNDLE_SIZE_MAX ((size_t) 640 << 20)

struct bundle {
        char *parts[BUNDLE_PARTS]; /* a NUL stands behind each */
        size_t sizes[BUNDLE_PARTS];
};

void bundle_done(struct bundle *bundle);

/* Makes MANIFEST, and the archive. 0, -EFBIG (ret_part: which one is too large) or another negative errno. */
int bundle_pack(struct bundle *bundle, char **ret_data, size_t *ret_size, enum bundle_part *ret_part);

/* Says as findings (altered) what does not fit MANIFEST or the archive's form. 0: the parts are there, whatever they say; -EBADMSG: not a bundle, or cut, and
 * problem has words; -EPROTO: of a newer upcallctl; or another negative errno. */
int bundle_unpack(const void *data, size_t size, struct bundle *bundle, finding_fn fn, void *userdata, char problem[static FINDING_TEXT_MAX]);

/* The number in bundle.json; 0: there is none. (bundle-read.c) */
uint64_t bundle_format(const struct bundle *bundle);

void bundle_hex(const uint8_t *data, size_t size, char *ret_text); /* lower-case; 2 * size + 1 bytes */

#endif
