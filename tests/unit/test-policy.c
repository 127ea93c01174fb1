/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies: what they give, every way a file can be bad, and who may have written it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcallctl/policy.h"
#include "util/deadline.h"

#define AGENT "[agent keys]\nresident=yes\n"
#define ROUTE "[route db]\ntype=user\ndescription=db:*\n"

static bool span_is(struct wire_span span, const char *text) {
        return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

static void test_a_helper_and_its_arguments_are_words(void **state) {
        static const char text[] = "[agent a]\nlend=yes\nhelper= /bin/db-key \t -x  %d\n[agent b]\nhost-program=cifs.upcall\n";
        _cleanup_(policy_freep) Policy *policy = NULL;
        struct message_control request;

        (void) state;
        assert_int_equal(policy_parse("p", text, &policy), 0);
        assert_int_equal(policy_request(&policy->orders[0], "web", &request), 0);
        assert_int_equal(request.agent_kind, UPCALL_AGENT_HELPER);
        assert_int_equal(request.lend, 1);
        assert_int_equal(request.arguments.size, 18);
        assert_memory_equal(request.arguments.data, "/bin/db-key\0-x\0%d", 18);
        assert_int_equal(policy_request(&policy->orders[1], "web", &request), 0);
        assert_int_equal(request.agent_kind, UPCALL_AGENT_HOST_PROGRAM);
        assert_int_equal(request.lend, 0);
        assert_int_equal(request.arguments.size, 12);
}

static void test_agents_and_routes_become_requests(void **state) {
        static const char text[] = "# comment\n[policy]\nannotation = yes\nagent-socket = mount\n\n"
                                   "[route db]\nagent=keys\ntype=user\ndescription=db:*\ncallout=c*\norigin=user\npriority=7\n"
                                   "[agent keys]\nresident=yes\nuid=1000\n"
                                   "[route none]\nreject=EACCES\ntype=user\ndescription=*\n"
                                   "[route dns]\ndefer=yes\ntype=dns_resolver\ndescription=*\n";
        _cleanup_(policy_freep) Policy *policy = NULL;
        struct message_control request;

        (void) state;
        assert_int_equal(policy_parse("p", text, &policy), 0);
        assert_true(policy->annotation);
        assert_true(policy->agent_socket);
        assert_int_equal(policy->n_orders, 4);

        assert_int_equal(policy_request(&policy->orders[0], "web", &request), 0);
        assert_int_equal(request.verb, UPCALL_VERB_ROUTE_ADD);
        assert_true(span_is(request.container, "web") && span_is(request.agent, "keys") && span_is(request.key_type, "user"));
        assert_true(span_is(request.description, "db:*") && span_is(request.callout, "c*"));
        assert_int_equal(request.origin, UPCALL_ORIGIN_USER + 1);
        assert_int_equal(request.priority, 7);
        assert_int_equal(request.action, 0);

        assert_int_equal(policy_request(&policy->orders[1], "web", &request), 0);
        assert_int_equal(request.verb, UPCALL_VERB_AGENT_ADD);
        assert_true(span_is(request.agent, "keys") && span_is(request.container, "web"));
        assert_int_equal(request.uid, 1000);

        assert_int_equal(policy_request(&policy->orders[2], "web", &request), 0);
        assert_int_equal(request.action, UPCALL_ACTION_REJECT);
        assert_int_equal(request.error, EACCES);
        assert_int_equal(policy_request(&policy->orders[3], "web", &request), 0);
        assert_int_equal(request.action, UPCALL_ACTION_DEFER);
}

static void test_nothing_is_said_by_default(void **state) {
        static const char *const texts[] = { "", "[policy]\n", "\n# nothing\n", "[policy]\nannotation=no\nagent-socket=no\n" };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(policy_freep) Policy *policy = NULL;

                assert_int_equal(policy_parse("p", texts[i], &policy), 0);
                assert_false(policy->annotation);
                assert_false(policy->agent_socket);
                assert_int_equal(policy->n_orders, 0);
        }
}

static const char *const bad_texts[] = {
        "annotation=yes\n",
        "[policy]\nannotation\n",
        "[policy]\nannotation=true\n",
        "[policy]\nannotation=\n",
        "[policy]\nannotation=yes\nannotation=yes\n",
        "[policy]\nannotation=yes\n  no\n",
        "[policy]\nagent-socket=yes\n",
        "[policy]\nagent-sockets=mount\n",
        "[Policy]\nannotation=yes\n",
        "[policy\nannotation=yes\n",
        "[other]\nx=y\n",
        "[agent]\nresident=yes\n",
        "[agent ]\nresident=yes\n",
        "[agents keys]\nresident=yes\n",
        "[agent ../x]\nresident=yes\n",
        "[agent a b]\nresident=yes\n",
        "[agent keys]\nuid=0\n",
        "[agent keys]\nuid=1000\n",
        "[agent keys]\nresident=yes\nhelper=/bin/x\n",
        "[agent keys]\nhelper=/bin/x\nuid=0\n",
        "[agent keys]\nhelper=  \n",
        "[agent keys]\nhelper=request-key\n",
        "[agent keys]\nresident=no\n",
        "[agent keys]\nresident=yes\nresident=yes\n",
        "[agent keys]\nresident=yes\nuid=-1\n",
        "[agent keys]\nresident=yes\nuid=4294967295\n",
        "[agent keys]\nresident=yes\nuid=root\n",
        "[agent keys]\nresident=yes\ncontainer=web\n",
        "[agent keys]\nresident=yes\nname=web\n",
        AGENT "[agent  keys]\nresident=yes\n",
        "[agent a23456789012345678901234567890123456789012345]\nresident=yes\n",
        "[agent a2345678901234567890123456789012345678901234567890123456789]\nresident=yes\n",
        ROUTE,
        ROUTE "agent=keys\n",
        AGENT ROUTE "agent=keys\ndefer=yes\n",
        AGENT ROUTE "agent=key\n",
        ROUTE "defer=no\n",
        ROUTE "defer=yes\nreject=EACCES\n",
        ROUTE "reject=NOERROR\n",
        ROUTE "reject=0\n",
        ROUTE "reject=512\n",
        ROUTE "defer=yes\norigin=both\n",
        ROUTE "defer=yes\npriority=-1\n",
        ROUTE "defer=yes\nlend=yes\n",
        ROUTE "defer=yes\ntype=user\n",
        "[route db]\ndefer=yes\ntype=user\n",
        "[route db]\ndefer=yes\ndescription=x\n",
        "[route db]\ndefer=yes\ntype=\ndescription=x\n",
        "[route db]\ndefer=yes\ntype=user\ndescription=[x\n",
        "[route db]\ndefer=yes\ntype=user\ndescription=x\ncallout=\n",
};

static void test_bad_texts_are_refused(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(bad_texts); i++) {
                Policy *policy = NULL;

                if (policy_parse("p", bad_texts[i], &policy) == 0)
                        fail_msg("was taken: %s", bad_texts[i]);
                assert_null(policy);
        }
}

/* inih would cut them without a word, and take the rest for a line of its own. */
static void test_long_lines_are_refused(void **state) {
        char text[1024], description[512];

        (void) state;
        for (unsigned size = 100; size < 400; size++) {
                _cleanup_(policy_freep) Policy *policy = NULL;

                memset(description, 'd', size);
                (void) snprintf(description + size, sizeof(description) - size, "origin=user");
                (void) snprintf(text, sizeof(text), "[route db]\ndefer=yes\ntype=user\ndescription=%s\n", description);
                if (policy_parse("p", text, &policy) == 0)
                        assert_string_equal(policy->orders[0].arguments.values[OPTION_DESCRIPTION], description);
                else
                        assert_true(size > 150);
        }
}

static void test_too_many_sections_are_refused(void **state) {
        _cleanup_free_ char *text = calloc(POLICY_ORDERS_MAX + 1, 64);
        Policy *policy = NULL;
        size_t size = 0;

        (void) state;
        assert_non_null(text);
        for (int i = 0; i <= POLICY_ORDERS_MAX; i++)
                size += (size_t) snprintf(text + size, 64, "[route r%d]\ndefer=yes\ntype=user\ndescription=x\n", i);
        assert_int_not_equal(policy_parse("p", text, &policy), 0);
}

/* ---- files ---- */

struct folder {
        char path[64], policies[128], file[160];
};

static void write_text(const char *path, const char *text, size_t size, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), size);
        assert_int_equal(fchmod(fd, mode), 0);
        close_fd(fd);
}

static struct folder make_folder(void) {
        struct folder folder = { .path = "/tmp/upcalld-policy-XXXXXX" };

        assert_non_null(mkdtemp(folder.path));
        (void) snprintf(folder.policies, sizeof(folder.policies), "%s/policies.d", folder.path);
        (void) snprintf(folder.file, sizeof(folder.file), "%s/keys.conf", folder.policies);
        assert_int_equal(mkdir(folder.policies, 0755), 0);
        write_text(folder.file, AGENT, strlen(AGENT), 0644);
        return folder;
}

static void remove_folder(const struct folder *folder) {
        (void) unlink(folder->file);
        assert_int_equal(rmdir(folder->policies), 0);
        assert_int_equal(rmdir(folder->path), 0);
}

static bool loads(const struct folder *folder, const char *name) {
        _cleanup_(policy_freep) Policy *policy = NULL;

        return policy_load(folder->path, name, deadline_in_ms(1000), &policy) == 0;
}

static void test_file_is_found_by_its_name_alone(void **state) {
        static const char *const bad[] = { "", "other", ".", "..", "../policies.d/keys", "keys.conf", "/keys", "-keys", "k/eys", "keys\n" };
        struct folder folder = make_folder();

        (void) state;
        assert_true(loads(&folder, "keys"));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_false(loads(&folder, bad[i]));
        remove_folder(&folder);
}

static void test_file_that_others_can_write_is_refused(void **state) {
        struct folder folder = make_folder();
        const char *const paths[] = { folder.path, folder.policies, folder.file };
        static const mode_t modes[] = { 0020, 0002 };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(paths); i++)
                for (size_t j = 0; j < ELEMENTS(modes); j++) {
                        assert_int_equal(chmod(paths[i], 0755 | modes[j]), 0);
                        assert_false(loads(&folder, "keys"));
                        assert_int_equal(chmod(paths[i], 0755), 0);
                        assert_true(loads(&folder, "keys"));
                }
        remove_folder(&folder);
}

static void test_file_of_somebody_else_is_refused(void **state) {
        struct folder folder = make_folder();
        const char *const paths[] = { folder.path, folder.policies, folder.file };

        (void) state;
        for (size_t i = 0; geteuid() == 0 && i < ELEMENTS(paths); i++) {
                assert_int_equal(chown(paths[i], 4242, 0), 0);
                assert_false(loads(&folder, "keys"));
                assert_int_equal(chown(paths[i], 0, 0), 0);
                assert_true(loads(&folder, "keys"));
        }
        remove_folder(&folder);
}

static void test_file_that_is_none_is_refused(void **state) {
        struct folder folder = make_folder();
        _cleanup_free_ char *huge = malloc(POLICY_SIZE_MAX + 1);

        (void) state;
        assert_non_null(huge);
        memset(huge, '\n', POLICY_SIZE_MAX + 1);
        write_text(folder.file, huge, POLICY_SIZE_MAX, 0644);
        assert_true(loads(&folder, "keys"));
        write_text(folder.file, huge, POLICY_SIZE_MAX + 1, 0644);
        assert_false(loads(&folder, "keys"));
        write_text(folder.file, "[policy]\n\0annotation=yes\n", 25, 0644);
        assert_false(loads(&folder, "keys"));
        assert_int_equal(unlink(folder.file), 0);
        assert_int_equal(symlink("/dev/null", folder.file), 0);
        assert_false(loads(&folder, "keys"));
        assert_int_equal(unlink(folder.file), 0);
        assert_int_equal(mkfifo(folder.file, 0644), 0);
        assert_false(loads(&folder, "keys"));
        assert_int_equal(unlink(folder.file), 0);
        assert_int_equal(mkdir(folder.file, 0755), 0);
        assert_false(loads(&folder, "keys"));
        assert_int_equal(rmdir(folder.file), 0);
        remove_folder(&folder);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_agents_and_routes_become_requests),
                cmocka_unit_test(test_a_helper_and_its_arguments_are_words),
                cmocka_unit_test(test_nothing_is_said_by_default),
                cmocka_unit_test(test_bad_texts_are_refused),
                cmocka_unit_test(test_long_lines_are_refused),
                cmocka_unit_test(test_too_many_sections_are_refused),
                cmocka_unit_test(test_file_is_found_by_its_name_alone),
                cmocka_unit_test(test_file_that_others_can_write_is_refused),
                cmocka_unit_test(test_file_of_somebody_else_is_refused),
                cmocka_unit_test(test_file_that_is_none_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
