/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left to a process that has dropped its rights as the broker does. tests/kernel/test-rights.sh looks at the broker itself, as far as the
 * kernel shows it. */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "broker/privileges.h"
#include "tests/unit/child.h"

#define NOBODY 65534

static int drop(void) {
        return privileges_drop(NOBODY, NOBODY, true);
}

static int check_identity(void *userdata) {
        uid_t real, effective, saved;

        (void) userdata;
        CHECK(drop() == 0);
        CHECK(getresuid(&real, &effective, &saved) == 0 && real == NOBODY && effective == NOBODY && saved == NOBODY);
        CHECK(getresgid(&real, &effective, &saved) == 0 && real == NOBODY && effective == NOBODY && saved == NOBODY);
        CHECK(getgroups(0, NULL) == 0);
        CHECK(setuid(0) < 0);
        return 0;
}

static int check_capabilities(void *userdata) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        const uint64_t wanted = 1ull << CAP_AUDIT_WRITE | 1ull << CAP_AUDIT_READ;
        struct __user_cap_data_struct data[2];

        (void) userdata;
        CHECK(drop() == 0);
        CHECK(syscall(SYS_capget, &header, data) == 0);
        for (unsigned i = 0; i < 2; i++) {
                CHECK(data[i].effective == (uint32_t) (wanted >> (32 * i)));
                CHECK(data[i].permitted == (uint32_t) (wanted >> (32 * i)));
                CHECK(data[i].inheritable == 0);
        }
        for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
                CHECK(prctl(PR_CAPBSET_READ, capability) == 0);
                CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 0);
        }
        return 0;
}

static int check_locks(void *userdata) {
        struct rlimit limit;

        (void) userdata;
        CHECK(drop() == 0);
        CHECK(prctl(PR_GET_SECUREBITS) == (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                           SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED));
        CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        CHECK(prctl(PR_GET_DUMPABLE) == 0);
        CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
        return 0;
}

static void test_it_becomes_the_user_for_good(void **state) {
        (void) state;
        SKIP_UNLESS_ROOT();
        run_in_child(check_identity, NULL);
}

static void test_two_capabilities_are_left(void **state) {
        (void) state;
        SKIP_UNLESS_ROOT();
        run_in_child(check_capabilities, NULL);
}

static void test_no_core_no_tracer_and_no_way_back(void **state) {
        (void) state;
        SKIP_UNLESS_ROOT();
        run_in_child(check_locks, NULL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_it_becomes_the_user_for_good),
                TEST(test_two_capabilities_are_left),
                TEST(test_no_core_no_tracer_and_no_way_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
