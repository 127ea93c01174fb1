/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What upcallctl doctor makes of the host's files and of the kernel's audit rules. */
#include <libaudit.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "auditing/rules.h"
#include "tools/upcallctl/doctor-text.h"
#include "util/cleanup.h"

static void test_remote_file_systems(void **state _unused_) {
        static const struct {
                uint64_t type;
                bool remote;
        } cases[] = {
                { 0x6969, true },     { 0xff534d42, true },  { 0xfe534d42, true }, { 0x65735546, true }, { 0xffffffffff534d42u, true },
                { 0xef53, false },    { 0x58465342, false }, { 0x9123683e, false }, { 0x01021994, false }, { 0x794c7630, false }, { 0, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if ((text_remote_file_system(cases[i].type) != NULL) != cases[i].remote)
                        fail_msg("%#llx", (unsigned long long) cases[i].type);
}

static void test_network_in_front_of_files(void **state _unused_) {
        static const struct {
                const char *line, *service;
        } cases[] = {
                { "passwd: files sss\n", "" },
                { "passwd: sss files\n", "sss" },
                { "  group:\tldap files", "ldap" },
                { "group: db systemd winbind", "winbind" },
                { "passwd: systemd files", "" },
                { "passwd: [NOTFOUND=return] nis", "nis" },
                { "passwd: db [NOTFOUND=return SUCCESS=merge] files ldap", "" },
                { "passwd: [unterminated ldap", "" },
                { "shadow: compat", "compat" },
                { "# passwd: ldap", "" },
                { "passwd: # ldap", "" },
                { "hosts: dns ldap", "" },
                { "passwd_compat: nis", "" },
                { "passwd: ldapx", "" },
                { "passwd:", "" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *service = "";
                size_t size = text_network_service(cases[i].line, &service);

                if (size != strlen(cases[i].service) || memcmp(service, cases[i].service, size) != 0)
                        fail_msg("%s: '%.*s'", cases[i].line, (int) size, service);
        }
}

static void test_key_usage(void **state _unused_) {
        struct text_key_usage usage;

        assert_true(text_key_usage("    0:    54 53/53 47/1000000 866/25000000\n", 0, &usage));
        assert_int_equal(usage.keys, 47);
        assert_int_equal(usage.keys_max, 1000000);
        assert_int_equal(usage.bytes, 866);
        assert_int_equal(usage.bytes_max, 25000000);
        assert_false(text_key_usage("    0:    54 53/53 47/1000000 866/25000000\n", 1, &usage));
        assert_false(text_key_usage("    0:    54 53/53 47/1000000\n", 0, &usage));
        assert_false(text_key_usage("", 0, &usage));
}

static void test_core_program(void **state _unused_) {
        static const struct {
                const char *pattern, *program;
        } cases[] = {
                { "core\n", "" }, { "/var/core.%p", "" }, { "", "" }, { "|", "" }, { "|/usr/sbin/upcall-coredump %P %u\n", "/usr/sbin/upcall-coredump" },
                { "| /bin/x\n", "/bin/x" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *program = "";
                size_t size = text_core_program(cases[i].pattern, &program);

                assert_int_equal(size, strlen(cases[i].program));
                assert_memory_equal(program, cases[i].program, size);
        }
}

static void test_audit_from_the_start_is_read_as_the_kernel_does(void **state) {
        static const struct {
                const char *line;
                bool audited;
        } cases[] = {
                { "", false }, { "\n", false }, { "quiet ro\n", false }, { "audit=1", true }, { "quiet audit=1 ro\n", true }, { "audit=on\n", true },
                { "audit=0\n", false }, { "audit=off\n", false }, { "audit=1 audit=0\n", false }, { "audit=0 audit=1\n", true }, { "audit=", false },
                { "audit=10\n", false }, { "xaudit=1\n", false }, { "audit=1x\n", false }, { "audit_backlog_limit=8192\n", false }, { "ro -- audit=1\n", false },
                { "audit=1 -- audit=0\n", true }, { "audit", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (text_audited_from_the_start(cases[i].line) != cases[i].audited)
                        fail_msg("'%s'", cases[i].line);
}

/* ---- rules ---- */

struct field {
        uint32_t field, operator, value;
        const char *text;
};

/* As the kernel lists it; with room for texts */
static struct audit_rule_data *make_rule(uint32_t list, uint32_t action, const struct field *fields, size_t n) {
        struct audit_rule_data *rule = calloc(1, sizeof(*rule) + 256);

        assert_non_null(rule);
        rule->flags = list;
        rule->action = action;
        for (size_t i = 0; i < n; i++) {
                rule->fields[i] = fields[i].field;
                rule->fieldflags[i] = fields[i].operator;
                rule->values[i] = fields[i].value;
                if (fields[i].text) {
                        rule->values[i] = (uint32_t) strlen(fields[i].text);
                        memcpy(rule->buf + rule->buflen, fields[i].text, rule->values[i]);
                        rule->buflen += rule->values[i];
                }
        }
        rule->field_count = (uint32_t) n;
        return rule;
}

static const struct rules_sender broker = { .pid = 4711, .uid = 990, .gid = 991, .exe = "/usr/sbin/upcalld" };

static void test_rules_are_told_apart(void **state _unused_) {
        static const struct {
                struct field fields[2];
                size_t n;
                enum rules_match match; /* of the broker's dispatch record */
                const char *deletion;
        } cases[] = {
                { { { AUDIT_MSGTYPE, AUDIT_EQUAL, RECORD_CONTROL, NULL } }, 1, RULES_YES, "auditctl -d always,exclude -F msgtype=VIRT_CONTROL" },
                { { { AUDIT_MSGTYPE, AUDIT_EQUAL, RECORD_RESOURCE, NULL } }, 1, RULES_NO, "auditctl -d always,exclude -F msgtype=VIRT_RESOURCE" },
                { { { AUDIT_MSGTYPE, AUDIT_NOT_EQUAL, RECORD_CONTROL, NULL } }, 1, RULES_NO, NULL },
                { { { AUDIT_MSGTYPE, AUDIT_GREATER_THAN_OR_EQUAL, 2500, NULL } }, 1, RULES_YES, "auditctl -d always,exclude -F 'msgtype>=VIRT_CONTROL'" },
                { { { AUDIT_EXE, AUDIT_EQUAL, 0, "/tmp/a b;$(x)" } }, 1, RULES_NO, "auditctl -d always,exclude -F 'exe=/tmp/a b;$(x)'" },
                { { { AUDIT_MSGTYPE, AUDIT_LESS_THAN, 2500, NULL } }, 1, RULES_NO, NULL },
                { { { AUDIT_MSGTYPE, AUDIT_LESS_THAN_OR_EQUAL, 2500, NULL } }, 1, RULES_YES, NULL },
                { { { AUDIT_MSGTYPE, AUDIT_GREATER_THAN, 2500, NULL } }, 1, RULES_NO, NULL },
                { { { AUDIT_UID, AUDIT_EQUAL, 990, NULL } }, 1, RULES_YES, "auditctl -d always,exclude -F uid=990" },
                { { { AUDIT_UID, AUDIT_EQUAL, 0, NULL } }, 1, RULES_NO, NULL },
                { { { AUDIT_GID, AUDIT_EQUAL, 991, NULL } }, 1, RULES_YES, NULL },
                { { { AUDIT_PID, AUDIT_EQUAL, 4711, NULL } }, 1, RULES_YES, NULL },
                { { { AUDIT_PID, AUDIT_EQUAL, 4712, NULL } }, 1, RULES_NO, NULL },
                { { { AUDIT_EXE, AUDIT_EQUAL, 0, "/usr/sbin/upcalld" } }, 1, RULES_YES, "auditctl -d always,exclude -F exe=/usr/sbin/upcalld" },
                { { { AUDIT_EXE, AUDIT_EQUAL, 0, "/usr/sbin/upcall" } }, 1, RULES_NO, NULL },
                { { { AUDIT_EXE, AUDIT_NOT_EQUAL, 0, "/usr/sbin/sshd" } }, 1, RULES_YES, NULL },
                { { { AUDIT_SUBJ_TYPE, AUDIT_EQUAL, 0, "upcalld_t" } }, 1, RULES_MAYBE, "auditctl -d always,exclude -F subj_type=upcalld_t" },
                { { { AUDIT_LOGINUID, AUDIT_EQUAL, UINT32_MAX, NULL } }, 1, RULES_MAYBE, NULL },
                { { { AUDIT_SUBJ_TYPE, AUDIT_EQUAL, 0, "x_t" }, { AUDIT_EXE, AUDIT_EQUAL, 0, "/usr/sbin/sshd" } }, 2, RULES_NO,
                  "auditctl -d always,exclude -F subj_type=x_t -F exe=/usr/sbin/sshd" },
                { { { AUDIT_UID, AUDIT_EQUAL, 990, NULL }, { AUDIT_MSGTYPE, AUDIT_EQUAL, RECORD_CONTROL, NULL } }, 2, RULES_YES, NULL },
                { { { AUDIT_UID, AUDIT_EQUAL, 990, NULL }, { AUDIT_LOGINUID, AUDIT_EQUAL, 1, NULL } }, 2, RULES_MAYBE, NULL },
                { { { 0 } }, 0, RULES_YES, "auditctl -d always,exclude" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ struct audit_rule_data *rule = make_rule(AUDIT_FILTER_EXCLUDE, AUDIT_ALWAYS, cases[i].fields, cases[i].n);
                char text[256];

                if (rules_match(rule, &broker, RECORD_CONTROL) != cases[i].match)
                        fail_msg("case %zu: %d", i, rules_match(rule, &broker, RECORD_CONTROL));
                assert_true(rules_format_deletion(rule, text, sizeof(text)) > 0);
                if (cases[i].deletion)
                        assert_string_equal(text, cases[i].deletion);
                assert_true(rules_format_deletion(rule, text, 10) < 0);
        }
}

static void test_only_some_lists_drop(void **state _unused_) {
        static const struct {
                uint32_t list, action;
                bool drops;
        } cases[] = {
                { AUDIT_FILTER_EXCLUDE, AUDIT_ALWAYS, true }, { AUDIT_FILTER_EXCLUDE, AUDIT_NEVER, true }, { AUDIT_FILTER_USER, AUDIT_NEVER, true },
                { AUDIT_FILTER_USER, AUDIT_ALWAYS, false },   { AUDIT_FILTER_EXIT, AUDIT_NEVER, false },   { AUDIT_FILTER_TASK, AUDIT_NEVER, false },
                { AUDIT_FILTER_USER | AUDIT_FILTER_PREPEND, AUDIT_NEVER, true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ struct audit_rule_data *rule = make_rule(cases[i].list, cases[i].action, NULL, 0);

                assert_int_equal(rules_drops(rule), cases[i].drops);
        }
}

/* The kernel would not list such ones; what is read out of a buffer is checked all the same. */
static void test_broken_rules_are_not_read_beyond_their_end(void **state _unused_) {
        const struct field fields[] = { { AUDIT_EXE, AUDIT_EQUAL, 0, "/usr/sbin/upcalld" } };
        _cleanup_free_ struct audit_rule_data *rule = make_rule(AUDIT_FILTER_USER, AUDIT_NEVER, fields, 1);
        char text[256];

        rule->buf[1] = '\'';
        assert_true(rules_format_deletion(rule, text, sizeof(text)) < 0); /* nobody shall run what ends a quotation */
        rule->values[0] = UINT32_MAX;
        assert_int_equal(rules_match(rule, &broker, RECORD_CONTROL), RULES_MAYBE);
        assert_true(rules_format_deletion(rule, text, sizeof(text)) > 0);
        rule->field_count = UINT32_MAX;
        rule->values[0] = 0;
        (void) rules_match(rule, &broker, RECORD_CONTROL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_audit_from_the_start_is_read_as_the_kernel_does),
                cmocka_unit_test(test_remote_file_systems),
                cmocka_unit_test(test_network_in_front_of_files),
                cmocka_unit_test(test_key_usage),
                cmocka_unit_test(test_core_program),
                cmocka_unit_test(test_rules_are_told_apart),
                cmocka_unit_test(test_only_some_lists_drop),
                cmocka_unit_test(test_broken_rules_are_not_read_beyond_their_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
