/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What upcall-request-key reads: its arguments, a key's description, /proc/keys, the names of the policy. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tools/upcall-request-key/arguments.h"
#include "tools/upcall-request-key/carry-out.h"
#include "tools/upcall-request-key/description.h"
#include "tools/upcall-request-key/keylist.h"
#include "tools/upcall-request-key/lend.h"
#include "tools/upcall-request-key/policy.h"
#include "tools/upcall-request-key/upcall.h"
#include "util/cleanup.h"

/* argv is not const in C, literals are */
#define ARGV(...) ((char *const *) (uintptr_t) (const char *const[]){ __VA_ARGS__, NULL })
#define ARGC(...) ((int) (sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)))
#define PARSE(result, ...) arguments_parse(ARGC(__VA_ARGS__), ARGV(__VA_ARGS__), result)

static void test_arguments_are_read_as_the_kernel_writes_them(void **state _unused_) {
        struct arguments a;

        assert_int_equal(PARSE(&a, "/sbin/request-key", "create", "856315551", "1000", "1001", "0", "7", "271511961"), 0);
        assert_int_equal(a.key, 856315551);
        assert_int_equal(a.uid, 1000);
        assert_int_equal(a.gid, 1001);
        assert_int_equal(a.thread_keyring, 0);
        assert_int_equal(a.process_keyring, 7);
        assert_int_equal(a.session_keyring, 271511961);
        /* ids above 2^31 come out of %d as negative numbers */
        assert_int_equal(PARSE(&a, "r", "create", "2147483647", "-1294967296", "-1", "0", "0", "0"), 0);
        assert_int_equal(a.uid, 3000000000u);
        assert_int_equal(a.gid, UINT32_MAX);
}

static void test_wrong_arguments_are_refused(void **state _unused_) {
        static const char *const bad[] = { "", " 1", "1 ", "+1", "0x1", "01", "1a", "-", "--1", "-0", "2147483648", "99999999999999999999", "-2147483649" };
        struct arguments a;

        assert_int_equal(PARSE(&a, "r"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "update", "1", "0", "0", "0", "0", "0"), -EOPNOTSUPP);
        assert_int_equal(PARSE(&a, "r", "create", "1", "0", "0", "0", "0"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "create", "1", "0", "0", "0", "0", "0", "0"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "create", "0", "0", "0", "0", "0", "0"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "create", "-3", "0", "0", "0", "0", "0"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "create", "1", "4294967296", "0", "0", "0", "0"), -EINVAL);
        assert_int_equal(PARSE(&a, "r", "create", "1", "0", "0", "-3", "0", "0"), -EINVAL);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (PARSE(&a, "r", "create", bad[i], "0", "0", "0", "0", "0") != -EINVAL)
                        fail_msg("key '%s'", bad[i]);
}

static void test_key_is_found_in_wrong_arguments(void **state _unused_) {
        int32_t key = 0;

        assert_int_equal(arguments_parse_key(3, ARGV("r", "whatever", "17"), &key), 0);
        assert_int_equal(key, 17);
        assert_int_equal(arguments_parse_key(2, ARGV("r", "17"), &key), -EINVAL);
        assert_int_equal(arguments_parse_key(3, ARGV("r", "create", "x"), &key), -EINVAL);
}

#define OPTIONS(options, culprit, ...) options_parse(ARGC(__VA_ARGS__), ARGV(__VA_ARGS__), options, culprit)

static void test_options_of_people(void **state _unused_) {
        struct options o;
        const char *culprit = NULL;

        assert_false(options_given(2, ARGV("r", "create")));
        assert_true(options_given(2, ARGV("r", "--dry-run")));
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--pid", "12", "--type", "user", "--description", "x"), 0);
        assert_int_equal(o.command, COMMAND_DRY_RUN);
        assert_int_equal(o.pid, 12);
        assert_string_equal(o.key_type, "user");
        assert_string_equal(o.description, "x");
        assert_string_equal(o.callout, "");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--callout", "c", "--pid", "12", "--type", "user", "--description", "x"), 0);
        assert_string_equal(o.callout, "c");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--version"), 0);
        assert_int_equal(o.command, COMMAND_VERSION);
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--help"), 0);
        assert_int_equal(o.command, COMMAND_HELP);
}

static void test_wrong_options_name_the_culprit(void **state _unused_) {
        struct options o;
        const char *culprit = NULL;

        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--pid", "12", "--type", "user"), -EINVAL);
        assert_string_equal(culprit, "--description");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--type", "user", "--description", "x"), -EINVAL);
        assert_string_equal(culprit, "--pid");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--pid", "0", "--type", "user", "--description", "x"), -EINVAL);
        assert_string_equal(culprit, "--pid");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--pid", "12", "--type", "user", "--description", "x"), -EINVAL);
        assert_string_equal(culprit, "--dry-run");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--typo", "x"), -EINVAL);
        assert_string_equal(culprit, "--typo");
        assert_int_equal(OPTIONS(&o, &culprit, "r", "--dry-run", "--type"), -EINVAL);
        assert_string_equal(culprit, "--type");
}

static int describe(const char *text, struct key_description *ret) {
        return key_description_parse(text, strlen(text) + 1, ret);
}

static void test_description_keeps_semicolons_and_newlines(void **state _unused_) {
        struct key_description d;

        assert_int_equal(describe("cifs.spnego;1000;0;3f010000;ver=0x2;host=a;\nip4=1.2.3.4", &d), 0);
        assert_int_equal(d.type.size, strlen("cifs.spnego"));
        assert_memory_equal(d.type.data, "cifs.spnego", d.type.size);
        assert_int_equal(d.uid, 1000);
        assert_int_equal(d.permissions, 0x3f010000);
        assert_int_equal(d.description.size, strlen("ver=0x2;host=a;\nip4=1.2.3.4"));
        assert_memory_equal(d.description.data, "ver=0x2;host=a;\nip4=1.2.3.4", d.description.size);
        assert_int_equal(describe("user;-1294967296;-1;3f010000;x", &d), 0);
        assert_int_equal(d.uid, 3000000000u);
}

static void test_wrong_descriptions_are_refused(void **state _unused_) {
        static const char *const bad[] = { "", "user", "user;0;0;3f010000", ";0;0;3f010000;x", "user;;0;3f010000;x", "user;0x1;0;3f010000;x",
                                           "user;0;a;3f010000;x", "user;99999999999;0;3f010000;x", "user;4294967296;0;3f010000;x", "user;0;0;3f01000;x",
                                           "user;0;0;3f01000g;x", "user;0;0;03f010000;x", "user;0;0;;x" };
        struct key_description d;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (describe(bad[i], &d) != -EBADMSG)
                        fail_msg("'%s'", bad[i]);
        assert_int_equal(key_description_parse("user;0;0;3f010000;x\0y", 22, &d), -EBADMSG);
        assert_int_equal(key_description_parse("user;0;0;3f010000;x", 19, &d), -EBADMSG); /* cut: no NUL */
        assert_int_equal(key_description_parse("", 0, &d), -EBADMSG);
}

static bool is_kernels(const char *text) {
        struct key_description d;

        assert_int_equal(describe(text, &d), 0);
        return key_description_is_kernel_keyring(&d);
}

static void test_only_roots_dot_keyrings_are_the_kernels(void **state _unused_) {
        assert_true(is_kernels("keyring;0;0;1f030000;.cifs_spnego"));
        assert_true(is_kernels("keyring;0;0;1f030000;.dns_resolver"));
        assert_false(is_kernels("keyring;1000;0;1f030000;.cifs_spnego"));
        assert_false(is_kernels("keyring;0;0;1f030000;_tid"));
        assert_false(is_kernels("keyring;0;0;1f030000;."));
        assert_false(is_kernels("user;0;0;1f030000;.cifs_spnego"));
        assert_false(is_kernels("keyrings;0;0;1f030000;.cifs_spnego"));
        assert_false(is_kernels("keyring;0;0;1f030000;x;.cifs_spnego"));
}

#define LINE_BEFORE "0a000001 I--Q---     1 perm 3f010000     0     0 user      some: 5"
#define LINE_AUTH "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:1372 ci:5"
#define LINE_FORGED "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:1 ci:5"
#define LINE_AFTER "440a569f I--Q---     1 perm 3f010000     0     0 user      more: 5"

/* Feeds lines; then, if they were not enough, the end. Returns the result, or 1 when more lines would be read. */
static int search(const char *const *lines, size_t n, bool end, struct key_search *s) {
        key_search_init(s, 0x330a569f);
        for (size_t i = 0; i < n; i++)
                if (key_search_line(s, lines[i], strlen(lines[i])) == KEY_SEARCH_ENOUGH)
                        return key_search_result(s);
        return end ? key_search_result(s) : 1;
}

static void test_line_is_found_and_read(void **state _unused_) {
        const char *const lines[] = { LINE_BEFORE, LINE_AUTH, LINE_AFTER };
        struct key_search s;
        pid_t tid;

        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), 0);
        assert_string_equal(s.line, LINE_AUTH);
        assert_int_equal(key_line_caller(s.line, 0x2a1b, &tid), 0);
        assert_int_equal(tid, 1372);
        assert_int_equal(key_line_caller(s.line, 0x2a1c, &tid), -EBADMSG);
}

static void test_list_without_the_line_is_an_error(void **state _unused_) {
        const char *const lines[] = { LINE_BEFORE, LINE_AFTER, "", "330a569", "330a569f", "330A569F x", " 330a569f x" };
        struct key_search s;

        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), -ENOKEY);
}

static void test_reading_stops_soon_behind_the_line(void **state _unused_) {
        const char *lines[2000];
        struct key_search s;

        for (size_t i = 0; i < ELEMENTS(lines); i++)
                lines[i] = i == 0 ? LINE_AUTH : LINE_AFTER;
        assert_int_equal(search(lines, ELEMENTS(lines), false, &s), 0);
        assert_true(s.ahead < 5000);
        /* but not at the very line: what comes behind it has to be seen */
        assert_int_equal(search(lines, 10, false, &s), 1);
}

static void test_forged_line_before_the_true_one_is_found_out(void **state _unused_) {
        /* inside a description of a key with a lower serial, with lines of higher ones behind it to look innocent */
        const char *const lines[] = { "0b000001 I--Q---     1 perm 3f3f3f3f  1000  1000 user      x", LINE_FORGED, LINE_AFTER, "440a569f x", LINE_AUTH, LINE_AFTER };
        struct key_search s;

        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), -EBADMSG);
}

static void test_forged_line_behind_long_text_is_found_out(void **state _unused_) {
        /* as far as one description can push the next key's own line away */
        char filler[4000];
        const char *const lines[] = { LINE_FORGED, filler, LINE_BEFORE, LINE_AFTER, LINE_AUTH };
        struct key_search s;

        memset(filler, 'f', sizeof filler - 1);
        filler[sizeof filler - 1] = '\0';
        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), -EBADMSG);
}

static void test_forged_line_far_from_the_true_one_is_found_out(void **state _unused_) {
        /* several keys with long descriptions between the two */
        const char *lines[300];
        struct key_search s;

        for (size_t i = 0; i < ELEMENTS(lines); i++)
                lines[i] = LINE_AFTER;
        lines[1] = LINE_FORGED;
        lines[20] = LINE_BEFORE;
        lines[250] = LINE_AUTH;
        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), -EBADMSG);
}

static void test_forged_text_behind_the_line_changes_nothing(void **state _unused_) {
        /* a key with a higher serial whose description looks like one with a lower */
        const char *const lines[] = { LINE_AUTH, "440a569f I--Q---     1 perm 3f3f3f3f  1000  1000 user      x", "00000001 x", LINE_AFTER };
        struct key_search s;

        assert_int_equal(search(lines, ELEMENTS(lines), true, &s), 0);
        assert_string_equal(s.line, LINE_AUTH);
}

static void test_wrong_authorisation_lines_name_nobody(void **state _unused_) {
        static const char *const bad[] = {
                "", "330a569f", "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:0 ci:5",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:-1 ci:5",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1bz pid:1 ci:5",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key: pid:1 ci:5",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 user      key:2a1b pid:1 ci:5",
                "330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b xpid:1 ci:5",
        };
        pid_t tid;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (key_line_caller(bad[i], 0x2a1b, &tid) != -EBADMSG)
                        fail_msg("'%s'", bad[i]);
}

static void test_refused_key_is_told_by_its_flag(void **state _unused_) {
        assert_true(key_line_negative("34cf0172 I--Q-N-     3   5s 3f010000     0     0 user      probe"));
        assert_false(key_line_negative("34cf0172 I--Q---     3 perm 3f010000     0     0 user      N: 1"));
        assert_false(key_line_negative(""));
}

static void test_policy_is_in_the_names(void **state _unused_) {
        struct policy p = { .deadline = 0 };

        assert_int_equal(policy_deadline(&p), 20);
        policy_name(&p, "deadline-30");
        policy_name(&p, "deadline-5");
        policy_name(&p, "deadline-7");
        assert_int_equal(policy_deadline(&p), 5);
        assert_false(p.on_broker_down_defer);
        policy_name(&p, "on-broker-down-defer");
        assert_true(p.on_broker_down_defer);
        policy_name(&p, "on-broker-down-defer~");
        for (size_t i = 0; i < 8; i++)
                policy_name(&p, ((const char *const[]){ ".", "..", "deadline-0", "deadline-601", "deadline-", "deadline-1s", "deadline--1", "lend" })[i]);
        assert_int_equal(policy_deadline(&p), 5);
}

/* In milliseconds: what the broker has, and what the host's program has at least; in all */
static void test_policy_of_observing_leaves_the_host_time(void **state _unused_) {
        static const struct {
                const char *names[3];
                uint32_t verdict, all;
        } cases[] = {
                { { NULL }, 20000, 20000 },
                { { "on-broker-down-defer" }, 20000, 20000 },
                { { "observe" }, 2000, 600000 },
                { { "observe", "on-broker-down-defer" }, 2000, 600000 },
                { { "observe", "deadline-30" }, 2000, 30000 },
                { { "deadline-3", "observe" }, 1500, 3000 },
                { { "observe", "deadline-1" }, 500, 1000 },
                { { "observe~", "Observe", "observer" }, 20000, 20000 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct policy p = { .deadline = 0 };

                for (size_t j = 0; j < ELEMENTS(cases[i].names) && cases[i].names[j]; j++)
                        policy_name(&p, cases[i].names[j]);
                assert_int_equal(policy_verdict_ms(&p), cases[i].verdict);
                assert_int_equal(policy_deadline(&p) * 1000, cases[i].all);
                assert_int_equal(p.observe, strcmp(cases[i].names[0] ?: "", "observe") == 0 || strcmp(cases[i].names[1] ?: "", "observe") == 0);
        }
}

static void touch(const char *path, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, mode), 0);
        (void) close(fd);
}

/* What may be lent and run is a name in a folder of root's, and what it leads to is root's. */
static void test_names_below_the_policy_are_roots_alone(void **state _unused_) {
        static const char *const no_names[] = { "", ".", "..", "../x", "own/../own", "/etc/passwd", "no-such" };
        char folder[] = "/tmp/test-policy-XXXXXX", sub[64], own[80], others[80], path[256];

        if (geteuid() != 0)
                skip();
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chmod(folder, 0755), 0);
        (void) snprintf(sub, sizeof(sub), "%s/p", folder);
        (void) snprintf(own, sizeof(own), "%s/own", sub);
        (void) snprintf(others, sizeof(others), "%s/others", sub);
        assert_false(policy_has(folder, "p", "own"));
        assert_int_equal(mkdir(sub, 0755), 0);
        touch(own, 0755);
        touch(others, 0775);

        assert_true(policy_has(folder, "p", "own"));
        assert_int_equal(policy_program(folder, "p", "own", path, sizeof(path)), 0);
        assert_string_equal(path, own);
        assert_int_equal(policy_program(folder, "p", "own", path, 8), -ENAMETOOLONG);
        assert_int_equal(policy_program(folder, "p", "others", path, sizeof(path)), -EPERM);
        for (size_t i = 0; i < ELEMENTS(no_names); i++) {
                assert_false(policy_has(folder, "p", no_names[i]));
                assert_true(policy_program(folder, "p", no_names[i], path, sizeof(path)) < 0);
        }

        assert_int_equal(chown(own, 4242, 0), 0);
        assert_int_equal(policy_program(folder, "p", "own", path, sizeof(path)), -EPERM);
        assert_int_equal(chown(own, 0, 0), 0);
        assert_int_equal(chmod(sub, 0775), 0);
        assert_false(policy_has(folder, "p", "own"));
        assert_int_equal(policy_program(folder, "p", "own", path, sizeof(path)), -EPERM);
        assert_int_equal(chmod(sub, 0755), 0);
        assert_int_equal(chmod(folder, 0777), 0);
        assert_false(policy_has(folder, "p", "own"));

        (void) unlink(own);
        (void) unlink(others);
        (void) rmdir(sub);
        (void) rmdir(folder);
}

static void test_policy_of_a_folder_that_others_may_write_to_does_not_count(void **state _unused_) {
        char folder[] = "/tmp/test-policy-XXXXXX", name[64];
        struct policy p;
        FILE *file;

        if (getuid() != 0)
                skip();
        assert_non_null(mkdtemp(folder));
        (void) snprintf(name, sizeof name, "%s/deadline-3", folder);
        file = fopen(name, "w");
        assert_non_null(file);
        (void) fclose(file);
        policy_read(folder, &p);
        assert_int_equal(policy_deadline(&p), 3);
        assert_int_equal(chmod(folder, 0770), 0);
        policy_read(folder, &p);
        assert_int_equal(policy_deadline(&p), 20);
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(chown(folder, 1234, 0), 0);
        policy_read(folder, &p);
        assert_int_equal(policy_deadline(&p), 20);
        assert_int_equal(unlink(name), 0);
        assert_int_equal(rmdir(folder), 0);
        policy_read(folder, &p);
        assert_int_equal(policy_deadline(&p), 20);
}

/* root's own file, and a group that is not root's */
static void test_key_group_is_that_of_roots_own_file(void **state _unused_) {
        static const struct {
                uid_t uid;
                gid_t gid;
                uint32_t group;
        } cases[] = { { 0, 4711, 4711 }, { 0, 0, 0 }, { 1234, 4711, 0 } };
        char folder[] = "/tmp/test-policy-XXXXXX", name[64];
        struct policy p;

        if (getuid() != 0)
                skip();
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chmod(folder, 0755), 0);
        policy_read(folder, &p);
        assert_int_equal(p.key_group, 0);
        (void) snprintf(name, sizeof name, "%s/key-group", folder);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

                assert_true(fd >= 0);
                assert_int_equal(fchown(fd, cases[i].uid, cases[i].gid), 0);
                (void) close(fd);
                policy_read(folder, &p);
                assert_int_equal(p.key_group, cases[i].group);
                assert_int_equal(unlink(name), 0);
        }
        /* a link to such a file is none */
        assert_int_equal(symlink("/etc/passwd", name), 0);
        assert_int_equal(lchown(name, 0, 4711), 0);
        policy_read(folder, &p);
        assert_int_equal(p.key_group, 0);
        assert_int_equal(unlink(name), 0);
        assert_int_equal(rmdir(folder), 0);
}

static void test_errno_and_time_out_are_what_the_kernel_takes(void **state _unused_) {
        assert_int_equal(sane_error(EKEYREJECTED), EKEYREJECTED);
        assert_int_equal(sane_error(4094), 4094);
        assert_int_equal(sane_error(4095), ENOKEY);
        assert_int_equal(sane_error(511), 511);
        assert_int_equal(sane_error(517), 517);
        for (uint32_t error = 512; error <= 516; error++)
                assert_int_equal(sane_error(error), ENOKEY);
        assert_int_equal(sane_error(0), ENOKEY);
        assert_int_equal(sane_error(4096), ENOKEY);
        assert_int_equal(sane_error(UINT32_MAX), ENOKEY);
        assert_int_equal(sane_seconds(0), 1);
        assert_int_equal(sane_seconds(60), 60);
        assert_int_equal(sane_seconds(UINT32_MAX), 86400);
}

static struct process_facts hosts(uint32_t tgid, uint32_t fsuid) {
        struct process_facts facts = { .tgid = tgid, .tid = tgid, .parent_pid = 77, .fsuid = fsuid };

        facts.pid_ns.ids[0].inode = PROCESS_INIT_PID_NS;
        facts.user_ns.ids[0].inode = PROCESS_INIT_USER_NS;
        return facts;
}

/* They have the host's namespaces, and stand for somebody else, or nobody knows for whom */
static void test_who_is_surely_the_hosts(void **state _unused_) {
        struct process_facts facts = hosts(500, 0);
        struct stat st;

        assert_int_equal(stat("/proc/self/ns/mnt", &st), 0);
        facts.mnt_ns = (struct namespace_id){ .device = st.st_dev, .inode = st.st_ino };
        facts.n_mnt_ns = 2;
        (void) snprintf(facts.cgroup_path, sizeof facts.cgroup_path, "/system.slice/x-upcalld-run-1");
        assert_true(caller_is_surely_hosts(&facts));
        facts.kernel_thread = 1;
        assert_false(caller_is_surely_hosts(&facts));
        facts.kernel_thread = 0;
        (void) snprintf(facts.cgroup_path, sizeof facts.cgroup_path, "/system.slice/upcalld-run-12-34");
        assert_false(caller_is_surely_hosts(&facts));
        (void) snprintf(facts.cgroup_path, sizeof facts.cgroup_path, "/upcalld-run-12-34/below");
        assert_false(caller_is_surely_hosts(&facts));
}

static void test_broker_is_known_by_its_socket(void **state _unused_) {
        const struct ucred broker = { .pid = 500, .uid = 200 }, manager = { .pid = 1, .uid = 0 };
        struct process_facts facts = hosts(500, 200);

        assert_true(caller_is_hosts(&facts));
        assert_true(caller_is_broker(&facts, &broker));
        facts = hosts(501, 0);
        assert_false(caller_is_broker(&facts, &broker));
        facts.parent_pid = 500; /* the witness */
        assert_true(caller_is_broker(&facts, &broker));
        /* a socket that the service manager made names nobody: its children are everybody */
        facts.parent_pid = 1;
        assert_false(caller_is_broker(&facts, &manager));
        /* but itself, which cannot start a broker while it waits for one */
        facts = hosts(1, 0);
        facts.parent_pid = 0;
        assert_true(caller_is_broker(&facts, &manager));
        assert_false(caller_is_broker(&facts, &broker));
        /* somebody in another pid namespace listens */
        facts.tgid = 0;
        assert_false(caller_is_broker(&facts, &(struct ucred){ .pid = 0, .uid = 0 }));
        /* the same numbers in a container */
        facts = hosts(500, 200);
        facts.pid_ns.ids[0].inode = 4026532000;
        assert_false(caller_is_hosts(&facts));
        assert_false(caller_is_broker(&facts, &broker));
        facts = hosts(500, 200);
        facts.user_ns.ids[0].inode = 4026532000;
        assert_false(caller_is_broker(&facts, &broker));
}

/* Namespaces by their inode numbers, the process's own first, then those around it; 0 ends them */
static struct process_facts facts_in(const uint64_t pid[3], const uint64_t user[3]) {
        struct process_facts facts = { .tgid = 1 };

        for (size_t i = 0; i < 3 && pid[i] != 0; i++, facts.pid_ns.n_values += 2)
                facts.pid_ns.ids[i] = (struct namespace_id){ .device = 4, .inode = pid[i] };
        for (size_t i = 0; i < 3 && user[i] != 0; i++, facts.user_ns.n_values += 2)
                facts.user_ns.ids[i] = (struct namespace_id){ .device = 4, .inode = user[i] };
        return facts;
}

static void test_authority_is_lent_within_the_callers_containers_alone(void **state _unused_) {
        enum { HOST_PID = PROCESS_INIT_PID_NS, HOST_USER = PROCESS_INIT_USER_NS };
        static const struct {
                const char *what;
                uint64_t agent_pid[3], agent_user[3], caller_pid[3], caller_user[3];
                bool near;
        } cases[] = {
                { "the same container", { 7, HOST_PID }, { 8, HOST_USER }, { 7, HOST_PID }, { 8, HOST_USER }, true },
                { "without a user namespace", { 7, HOST_PID }, { HOST_USER }, { 7, HOST_PID }, { HOST_USER }, true },
                { "around the caller's", { 7, HOST_PID }, { 8, HOST_USER }, { 9, 7, HOST_PID }, { 10, 8, HOST_USER }, true },
                { "within the caller's", { 9, 7, HOST_PID }, { 8, HOST_USER }, { 7, HOST_PID }, { 8, HOST_USER }, false },
                { "beside it", { 9, HOST_PID }, { 8, HOST_USER }, { 7, HOST_PID }, { 8, HOST_USER }, false },
                { "another user namespace", { 7, HOST_PID }, { 9, HOST_USER }, { 7, HOST_PID }, { 8, HOST_USER }, false },
                { "the host", { HOST_PID }, { HOST_USER }, { 7, HOST_PID }, { 8, HOST_USER }, false },
                { "the host, for one of its own", { HOST_PID }, { HOST_USER }, { HOST_PID }, { HOST_USER }, false },
                { "nothing is known of it", { 0 }, { 0 }, { 7, HOST_PID }, { 8, HOST_USER }, false },
                { "nothing of its user namespace", { 7, HOST_PID }, { 0 }, { 7, HOST_PID }, { 8, HOST_USER }, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct process_facts agent = facts_in(cases[i].agent_pid, cases[i].agent_user), caller = facts_in(cases[i].caller_pid, cases[i].caller_user);

                if (loan_is_near(&agent, &caller) != cases[i].near)
                        fail_msg("%s", cases[i].what);
                caller.kernel_thread = 1;
                assert_false(loan_is_near(&agent, &caller));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arguments_are_read_as_the_kernel_writes_them),
                cmocka_unit_test(test_authority_is_lent_within_the_callers_containers_alone),
                cmocka_unit_test(test_wrong_arguments_are_refused),
                cmocka_unit_test(test_key_is_found_in_wrong_arguments),
                cmocka_unit_test(test_options_of_people),
                cmocka_unit_test(test_wrong_options_name_the_culprit),
                cmocka_unit_test(test_description_keeps_semicolons_and_newlines),
                cmocka_unit_test(test_wrong_descriptions_are_refused),
                cmocka_unit_test(test_only_roots_dot_keyrings_are_the_kernels),
                cmocka_unit_test(test_line_is_found_and_read),
                cmocka_unit_test(test_list_without_the_line_is_an_error),
                cmocka_unit_test(test_reading_stops_soon_behind_the_line),
                cmocka_unit_test(test_forged_line_before_the_true_one_is_found_out),
                cmocka_unit_test(test_forged_line_behind_long_text_is_found_out),
                cmocka_unit_test(test_forged_line_far_from_the_true_one_is_found_out),
                cmocka_unit_test(test_forged_text_behind_the_line_changes_nothing),
                cmocka_unit_test(test_wrong_authorisation_lines_name_nobody),
                cmocka_unit_test(test_refused_key_is_told_by_its_flag),
                cmocka_unit_test(test_policy_is_in_the_names),
                cmocka_unit_test(test_policy_of_observing_leaves_the_host_time),
                cmocka_unit_test(test_names_below_the_policy_are_roots_alone),
                cmocka_unit_test(test_policy_of_a_folder_that_others_may_write_to_does_not_count),
                cmocka_unit_test(test_key_group_is_that_of_roots_own_file),
                cmocka_unit_test(test_errno_and_time_out_are_what_the_kernel_takes),
                cmocka_unit_test(test_who_is_surely_the_hosts),
                cmocka_unit_test(test_broker_is_known_by_its_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
