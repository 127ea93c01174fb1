/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel starts, and what it may do */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/upcall-request-key/policy.h"
#include "tools/upcallctl/doctor.h"
#include "tools/upcallctl/takeover.h"
#include "util/error.h"

#define DROP_IN "/etc/request-key.d/upcalld.conf" /* where keyutils looks, whatever our prefix is */
#define CLIENT PROGRAM_DIR "/upcall-request-key"
#define POLICY CONFIG_DIR "/client.d"
#define DEFER POLICY "/defer"

void doctor_takeover(struct doctor *doctor) {
        struct takeover_status status;
        int r = takeover_look(takeover_paths_default(), &status);

        if (r < 0)
                doctor_cannot(doctor, "/sbin/request-key", r);
        else if (status.state == TAKEOVER_REPLACED)
                doctor_say(doctor, DOCTOR_FINDING, "upcallctl takeover on", "something else was put in the place of /sbin/request-key since upcalld took it over");
        else if (status.state == TAKEOVER_OFF && access(DROP_IN, F_OK) < 0)
                doctor_say(doctor, DOCTOR_FINDING, "upcallctl takeover on",
                           "the kernel does not start upcall-request-key: /sbin/request-key is not ours, and there is no " DROP_IN);
        else if (status.state == TAKEOVER_OFF)
                doctor_say(doctor, DOCTOR_FINE, NULL, "upcall-request-key is started by the lines in " DROP_IN);
        else if (!status.host)
                doctor_say(doctor, DOCTOR_FINDING, "install the distribution's program (package keyutils), then: upcallctl takeover on",
                           "upcall-request-key is /sbin/request-key, and there is no program of the host's: what is deferred fails");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, "upcall-request-key is /sbin/request-key");
}

/* Root's, and nobody else may write to it: 0, -EKEYREJECTED, or what lstat(2) says. */
static int look_at(const char *path, struct stat *ret_st) {
        if (lstat(path, ret_st) < 0)
                return negative_errno();
        return ret_st->st_uid == 0 && (ret_st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EKEYREJECTED;
}

void doctor_client_program(struct doctor *doctor) {
        struct stat st;
        int r = look_at(CLIENT, &st);

        if (r == -ENOENT)
                doctor_say(doctor, DOCTOR_FINDING, "install upcalld (make install, or the package)", CLIENT " is missing");
        else if (r == -EKEYREJECTED)
                doctor_say(doctor, DOCTOR_FINDING, "chown root:root " CLIENT " && chmod 0755 " CLIENT,
                           CLIENT " is run as root, and somebody else may write to it");
        else if (r < 0)
                doctor_cannot(doctor, CLIENT, r);
        else if (!S_ISREG(st.st_mode) || (st.st_mode & S_IXUSR) == 0)
                doctor_say(doctor, DOCTOR_FINDING, "install upcalld again (make install, or the package)", CLIENT " is no program that can be run");
        else
                doctor_say(doctor, DOCTOR_FINE, NULL, CLIENT " is in its place");
}

/* Whether upcall-request-key does anything about a name. */
static bool name_is_known(const char *name) {
        const struct policy nothing = { .deadline = 0 };
        struct policy policy = nothing;

        if (strcmp(name, "defer") == 0)
                return true;
        policy_name(&policy, name);
        return policy.on_broker_down_defer || policy.observe || policy.has_key_group || policy.deadline > 0;
}

/* A folder in the folder; its names are types of keys, which only the kernel knows. */
static void judge_deferral(struct doctor *doctor) {
        struct stat st;
        int r = look_at(DEFER, &st);

        if (r == -EKEYREJECTED || (r == 0 && !S_ISDIR(st.st_mode)))
                doctor_say(doctor, DOCTOR_FINDING, "make it a folder (chown root:root, chmod 0755) with a file for each type of key, or one that is called all",
                           DEFER " does not count: it must be a folder of root's that nobody else may write to");
        else if (r == 0)
                doctor_say(doctor, DOCTOR_FINE, NULL, "containers and kernel threads get the host's keys where upcalld defers them, of the types named in " DEFER);
}

static void judge_names(struct doctor *doctor, DIR *folder) {
        const struct dirent *entry;
        size_t n = 0;

        while ((entry = readdir(folder))) {
                if (entry->d_name[0] == '.')
                        continue;
                n++;
                if (!name_is_known(entry->d_name))
                        doctor_say(doctor, DOCTOR_FINDING, "upcall-request-key(8) has the names; remove it, or rename it to what was meant",
                                   POLICY "/%s means nothing", entry->d_name);
                else if (strcmp(entry->d_name, "defer") == 0)
                        judge_deferral(doctor);
                else if (strcmp(entry->d_name, "on-broker-down-defer") == 0)
                        doctor_say(doctor, DOCTOR_FINE, NULL, "without a broker everybody gets the host's keys: " POLICY "/on-broker-down-defer");
        }
        doctor_say(doctor, DOCTOR_FINE, NULL, "%zu names in " POLICY, n);
}

static void closedirp(DIR **folder) {
        if (*folder)
                (void) closedir(*folder);
}

void doctor_client_policy(struct doctor *doctor) {
        _cleanup_(closedirp) DIR *folder = NULL;
        struct stat st;
        int r = look_at(POLICY, &st);

        if (r == -ENOENT) {
                doctor_say(doctor, DOCTOR_FINE, NULL, "there is no " POLICY ": nothing is allowed that is not by default");
                return;
        }
        if (r == -EKEYREJECTED || (r == 0 && !S_ISDIR(st.st_mode))) {
                doctor_say(doctor, DOCTOR_FINDING, "chown root:root " POLICY " && chmod 0755 " POLICY,
                           POLICY " does not count: it must be a folder of root's that nobody else may write to");
                return;
        }
        folder = r == 0 ? opendir(POLICY) : NULL;
        if (folder)
                judge_names(doctor, folder);
        else
                doctor_cannot(doctor, POLICY, r < 0 ? r : negative_errno());
}

void doctor_settings(struct doctor *doctor) {
        static const char *const files[] = { CONFIG_DIR, CONFIG_DIR "/upcalld.conf", CONFIG_DIR "/upcalld.conf.d" };
        bool fine = true;

        for (size_t i = 0; i < ELEMENTS(files); i++) {
                struct stat st;
                int r = look_at(files[i], &st);

                if (r == -EKEYREJECTED)
                        doctor_say(doctor, DOCTOR_FINDING, "chown root:root, and chmod go-w", "%s: somebody other than root may change the broker's settings", files[i]);
                fine = fine && r != -EKEYREJECTED;
        }
        if (fine)
                doctor_say(doctor, DOCTOR_FINE, NULL, "only root may change what is in " CONFIG_DIR);
}
