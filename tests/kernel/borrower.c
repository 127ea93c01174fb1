/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * borrower NAME CONDUCT [SERIAL]: a resident agent that gets the authority over keys, and uses it well or badly.
 *
 *   good          instantiates the key with "lent", and says so
 *   reject        rejects it by itself
 *   payload       answers with a payload, as if nothing had been lent
 *   refuse        refuses
 *   mute          instantiates it, and says nothing
 *   both          instantiates it, and answers with a payload as well
 *   contradict    instantiates it, and refuses
 *   reverse       rejects it by itself with EACCES, and answers with a payload
 *   lie           says that it has answered, and has not
 *   silent        keeps the authority and says nothing
 *   keep          as good, then tries the authority again, and a key of its own making with it: prints what came of each
 *   other-key     instantiates the key SERIAL instead
 *   unwritable, not-a-keyring, foreign (SERIAL), gone: what it offers
 */
#include <errno.h>
#include <keyutils.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <upcall/agent.h>

#define OWNER (KEY_USR_VIEW | KEY_USR_SEARCH | KEY_USR_WRITE)

static void report(const char *what, long r) {
        printf("%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
        (void) fflush(stdout);
}

static key_serial_t offer(const char *conduct, key_serial_t serial) {
        key_serial_t keyring;

        if (strcmp(conduct, "foreign") == 0)
                return serial;
        if (strcmp(conduct, "not-a-keyring") == 0)
                return add_key("user", "no keyring", "x", 1, KEY_SPEC_PROCESS_KEYRING);
        keyring = add_key("keyring", "borrowed", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
        if (keyring < 0)
                return keyring;
        if (keyctl_setperm(keyring, KEY_POS_ALL | (strcmp(conduct, "unwritable") == 0 ? KEY_USR_VIEW : OWNER)) < 0)
                return -1;
        if (strcmp(conduct, "gone") == 0 && keyctl_unlink(keyring, KEY_SPEC_PROCESS_KEYRING) < 0)
                return -1;
        return keyring;
}

static void instantiate(upcall *question, key_serial_t key) {
        report("assume", keyctl_assume_authority((key_serial_t) upcall_key(question)));
        report("instantiate", keyctl_instantiate(key, "lent", 4, 0));
}

static void reject(upcall *question, unsigned error) {
        report("assume", keyctl_assume_authority((key_serial_t) upcall_key(question)));
        report("reject", keyctl_reject((key_serial_t) upcall_key(question), 5, error, 0));
}

/* Answers by itself, and then says something else, or nothing. Returns false when it is not that conduct. */
static bool answer_twice(upcall *question, const char *conduct) {
        if (strcmp(conduct, "reverse") == 0)
                reject(question, EACCES);
        else if (strcmp(conduct, "mute") == 0 || strcmp(conduct, "both") == 0 || strcmp(conduct, "contradict") == 0)
                instantiate(question, (key_serial_t) upcall_key(question));
        else
                return false;
        if (strcmp(conduct, "mute") == 0)
                sleep(3);
        else if (strcmp(conduct, "contradict") == 0)
                (void) upcall_refuse(question, EKEYREVOKED, 1);
        else
                (void) upcall_answer(question, "sent", 4, 0);
        return true;
}

static void try_again(upcall *question) {
        usleep(300000); /* the upcall has ended by then */
        report("again", keyctl_assume_authority((key_serial_t) upcall_key(question)));
        report("instantiate-again", keyctl_instantiate((key_serial_t) upcall_key(question), "late", 4, 0));
}

static void answer(upcall *question, const char *conduct, key_serial_t serial) {
        report(upcall_is_lent(question) ? "lent" : "not-lent", 0);
        if (answer_twice(question, conduct)) {
                (void) keyctl_assume_authority(0);
                return;
        }
        if (strcmp(conduct, "payload") == 0)
                (void) upcall_answer(question, "sent", 4, 0);
        else if (strcmp(conduct, "refuse") == 0)
                (void) upcall_refuse(question, EACCES, 1);
        else if (strcmp(conduct, "silent") == 0) {
                report("assume", keyctl_assume_authority((key_serial_t) upcall_key(question)));
                sleep(3);
                report("instantiate", keyctl_instantiate((key_serial_t) upcall_key(question), "late", 4, 0));
        } else {
                if (strcmp(conduct, "other-key") == 0)
                        instantiate(question, serial);
                else if (strcmp(conduct, "reject") == 0)
                        reject(question, EKEYREVOKED);
                else if (strcmp(conduct, "lie") != 0)
                        instantiate(question, (key_serial_t) upcall_key(question));
                (void) upcall_answered(question);
                if (strcmp(conduct, "keep") == 0)
                        try_again(question);
        }
        (void) keyctl_assume_authority(0);
}

int main(int argc, char **argv) {
        key_serial_t serial = argc > 3 ? (key_serial_t) strtol(argv[3], NULL, 0) : 0, keyring;
        upcall_agent *agent = NULL;
        upcall *question = NULL;
        int r;

        if (argc < 3)
                return 2;
        keyring = offer(argv[2], serial);
        if (keyring < 0) {
                report("offer", keyring);
                return 1;
        }
        r = upcall_agent_connect_lend(NULL, argv[1], 1, 5000, keyring, &agent);
        if (r < 0) {
                errno = -r;
                report("connect", r);
                return 1;
        }
        report("connected", 0);
        while ((r = upcall_agent_receive(agent, -1, &question)) >= 0) {
                if (r == 0)
                        answer(question, argv[2], serial);
                question = upcall_release(question);
        }
        (void) upcall_agent_close(agent);
        return 0;
}
