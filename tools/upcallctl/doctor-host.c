/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the host could stand in the way: where things lie, who is asked for names, what the kernel allows */
#include <errno.h>
#include <ini.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "auditing/system.h"
#include "tools/upcallctl/doctor-text.h"
#include "tools/upcallctl/doctor.h"
#include "util/error.h"

static int read_line(const char *path, char *line, size_t size) {
        _cleanup_fclose_ FILE *file = fopen(path, "re");

        if (!file)
                return negative_errno();
        return fgets(line, (int) size, file) ? 0 : -ENODATA;
}

void doctor_core_pattern(struct doctor *doctor) {
        char pattern[256], program[256];
        const char *begin = NULL;
        size_t size;
        int r = read_line("/proc/sys/kernel/core_pattern", pattern, sizeof(pattern));

        if (r < 0) {
                doctor_cannot(doctor, "/proc/sys/kernel/core_pattern", r);
                return;
        }
        size = text_core_program(pattern, &begin);
        (void) snprintf(program, sizeof(program), "%.*s", (int) size, size > 0 ? begin : "");
        if (size == 0 || strcmp(basename(program), "upcall-coredump") != 0)
                doctor_say(doctor, DOCTOR_FINE, NULL, "core dumps do not go through upcalld");
        else if (access(begin == NULL ? "" : program, X_OK) < 0)
                doctor_say(doctor, DOCTOR_FINDING, "sysctl -w kernel.core_pattern=core, and take it out of /etc/sysctl.d",
                           "core_pattern names %s, which cannot be run: core dumps of the whole host are lost", program);
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "core dumps go through %s", program);
}

/* ---- where things lie ---- */

static void judge_place(struct doctor *doctor, const char *what, const char *path, const char *todo) {
        struct statfs st;
        const char *name;

        if (statfs(path, &st) < 0) {
                int r = negative_errno();

                if (r == -ENOENT)
                        doctor_say(doctor, DOCTOR_FINE, NULL, "%s (%s) is not there yet", what, path);
                else
                        doctor_cannot(doctor, path, r);
                return;
        }
        name = text_remote_file_system((uint64_t) st.f_type);
        if (name)
                doctor_say(doctor, DOCTOR_FINDING, todo, "%s (%s) is on %s: writing to it can itself need a key, or wait for a network", what, path, name);
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "%s (%s) is on a file system of this host", what, path);
}

void doctor_registry_place(struct doctor *doctor) {
        judge_place(doctor, "the registry", STATE_DIR, "mount a local file system on " STATE_DIR);
}

/* The folder that a running auditd was told with -c, else /etc/audit. */
static void find_auditd_folder(uint32_t pid, char *folder, size_t size) {
        _cleanup_fclose_ FILE *file = NULL;
        char path[64], *word = NULL;
        size_t room = 0;
        bool next = false;

        (void) snprintf(folder, size, "/etc/audit");
        (void) snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
        file = pid > 0 ? fopen(path, "re") : NULL;
        while (file && getdelim(&word, &room, '\0', file) > 0) {
                if (next)
                        (void) snprintf(folder, size, "%s", word);
                next = strcmp(word, "-c") == 0;
        }
        free(word);
}

static int take_setting(void *userdata, const char *section _unused_, const char *name, const char *value) {
        char *log = userdata;

        if (strcmp(name, "log_file") == 0)
                (void) snprintf(log, PATH_MAX, "%s", value);
        return 1;
}

void doctor_audit_log_place(struct doctor *doctor) {
        char folder[PATH_MAX - 32], conf[PATH_MAX], log[PATH_MAX] = "/var/log/audit/audit.log";
        struct audit_status status = { .pid = 0 };

        (void) system_status(&status); /* without an answer: where it is by default */
        find_auditd_folder(status.pid, folder, sizeof(folder));
        (void) snprintf(conf, sizeof(conf), "%s/auditd.conf", folder);
        if (ini_parse(conf, take_setting, log) == -1) {
                doctor_say(doctor, DOCTOR_UNKNOWN, "run this as root, or install auditd", "where auditd keeps its log: %s cannot be read", conf);
                return;
        }
        judge_place(doctor, "auditd's log", log, "have auditd write to a local file system: log_file in auditd.conf");
}

/* ---- who is asked ---- */

void doctor_name_service(struct doctor *doctor) {
        _cleanup_fclose_ FILE *file = fopen("/etc/nsswitch.conf", "re");
        char line[1024];
        size_t n = 0;

        while (file && fgets(line, sizeof(line), file)) {
                const char *service = NULL;
                size_t size = text_network_service(line, &service);

                if (size == 0)
                        continue;
                n++;
                doctor_say(doctor, DOCTOR_FINDING, "in /etc/nsswitch.conf write files first: auditd and the broker look up local names, and would wait for the network",
                           "users or groups are looked up by %.*s before the host's own files", (int) size, service);
        }
        if (n == 0)
                doctor_say(doctor, DOCTOR_FINE, NULL, "names of this host are looked up in its own files first");
}

/* ---- what the kernel allows ---- */

void doctor_key_quota(struct doctor *doctor) {
        _cleanup_fclose_ FILE *file = fopen("/proc/key-users", "re");
        struct text_key_usage usage;
        char line[256];
        bool found = false;

        while (file && !found && fgets(line, sizeof(line), file))
                found = text_key_usage(line, 0, &usage);
        if (!found)
                doctor_cannot(doctor, "/proc/key-users", file ? -ENODATA : negative_errno());
        else if (usage.keys > usage.keys_max / 10 * 9 || usage.bytes > usage.bytes_max / 10 * 9)
                doctor_say(doctor, DOCTOR_FINDING, "sysctl -w kernel.keys.root_maxkeys=1000000 kernel.keys.root_maxbytes=25000000",
                           "root has %llu keys of %llu, and %llu bytes of %llu: upcalls of root's fail when there is no room", (unsigned long long) usage.keys,
                           (unsigned long long) usage.keys_max, (unsigned long long) usage.bytes, (unsigned long long) usage.bytes_max);
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "root has %llu keys of %llu", (unsigned long long) usage.keys, (unsigned long long) usage.keys_max);
}
