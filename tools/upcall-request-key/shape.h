/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Payloads that the kernel parses. It does so in trust of root, whose helpers made them so far; ours come out of a container. Pure.
 *
 *   cifs.spnego   fs/smb/client/cifs_spnego.h: struct cifs_spnego_msg, whose lengths the kernel does not compare with the size
 *   cifs.idmap    fs/smb/client/cifsacl.c: an id of 4 bytes, or a SID
 *   id_resolver   fs/nfs/nfs4idmap.c: a number with its NUL (the kernel reads on until it finds one), or a name
 *   dns_resolver  net/dns_resolver/dns_key.c: text with its NUL, or a server list of version 1 (linux/dns_resolver.h)
 */
#ifndef REQUEST_KEY_SHAPE_H
#define REQUEST_KEY_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/wire.h"

/* Whether a payload may be handed to the kernel for a key of this type and description. True for types that the kernel
 * does not parse. */
bool shape_fits(struct wire_span type, struct wire_span description, const void *payload, size_t size);

/* Whether the kernel parses payloads of this type: then whoever makes one without our looking at it must be trusted. */
bool shape_is_parsed(struct wire_span type);

#endif
