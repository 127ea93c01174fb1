/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/upcallctl/doctor-text.h"
#include "util/cleanup.h"

/* include/uapi/linux/magic.h, and those file systems that define their own */
static const struct {
        uint64_t type;
        const char *name;
} remote[] = {
        { 0x6969, "NFS" },       { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },  { 0x517b, "SMB" },      { 0x65735546, "FUSE" },
        { 0x01021997, "9P" },    { 0x00c36400, "Ceph" }, { 0x5346414f, "AFS" },  { 0x6b414653, "AFS" },  { 0x73757245, "Coda" },
        { 0x0bd00bd0, "Lustre" }, { 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" },
};

const char *text_remote_file_system(uint64_t type) {
        for (size_t i = 0; i < ELEMENTS(remote); i++)
                if (remote[i].type == (uint32_t) type)
                        return remote[i].name;
        return NULL;
}

static bool is_one_of(const char *word, size_t size, const char *const *words, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
                        return true;
        return false;
}

size_t text_network_service(const char *line, const char **ret_service) {
        static const char *const databases[] = { "passwd:", "group:", "initgroups:", "shadow:" };
        static const char *const local[] = { "files" }, *const network[] = { "sss", "ldap", "winbind", "nis", "nisplus", "compat", "hesiod", "wins" };
        static const char blanks[] = " \t\r\n";
        size_t size;

        line += strspn(line, blanks);
        size = strcspn(line, " \t\r\n#");
        if (!is_one_of(line, size, databases, ELEMENTS(databases)))
                return 0;
        for (line += size;; line += size) {
                line += strspn(line, blanks);
                size = strcspn(line, " \t\r\n#[");
                if (size == 0 && *line == '[') { /* what to do after the one before: [NOTFOUND=return] */
                        size = strcspn(line, "]\n");
                        size += line[size] == ']';
                        continue;
                }
                if (size == 0 || is_one_of(line, size, local, ELEMENTS(local)))
                        return 0;
                if (is_one_of(line, size, network, ELEMENTS(network))) {
                        *ret_service = line;
                        return size;
                }
        }
}

bool text_key_usage(const char *line, uint32_t uid, struct text_key_usage *ret_usage) {
        struct text_key_usage usage;
        uint32_t of;

        if (sscanf(line, " %" SCNu32 ": %*d %*d/%*d %" SCNu64 "/%" SCNu64 " %" SCNu64 "/%" SCNu64, &of, &usage.keys, &usage.keys_max, &usage.bytes,
                   &usage.bytes_max) != 5 || of != uid)
                return false;
        *ret_usage = usage;
        return true;
}

size_t text_core_program(const char *pattern, const char **ret_program) {
        if (*pattern != '|')
                return 0;
        pattern += 1 + strspn(pattern + 1, " ");
        *ret_program = pattern;
        return strcspn(pattern, " \n");
}

bool text_audited_from_the_start(const char *command_line) {
        static const char *const on[] = { "audit=1", "audit=on" }, *const end[] = { "--" };
        static const char blanks[] = " \t\n";
        bool audited = false;
        size_t size;

        for (;; command_line += size) {
                command_line += strspn(command_line, blanks);
                size = strcspn(command_line, blanks);
                if (size == 0 || is_one_of(command_line, size, end, ELEMENTS(end)))
                        return audited;
                if (strncmp(command_line, "audit=", strlen("audit=")) == 0)
                        audited = is_one_of(command_line, size, on, ELEMENTS(on));
        }
}
