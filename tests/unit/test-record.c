/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auditing/record.h"
#include "auditing/sha256.h"
#include "util/cleanup.h"

#define UUID "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define PARENT "9b2d7a1c-0000-4000-8000-00000000beef"
#define NAME_255 \
        "n123456789012345678901234567890123456789012345678901234567890123" \
        "4567890123456789012345678901234567890123456789012345678901234567" \
        "8901234567890123456789012345678901234567890123456789012345678901" \
        "23456789012345678901234567890123456789012345678901234567890._:-"

_Static_assert(sizeof(NAME_255) == 255 + 1, "the longest name");

static const uint8_t id[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static const struct record_subject subject = { .pid = 554, .uid = 1000, .loginuid = 1001, .sessionid = 3, .comm = "mount.cifs" };

static struct record_upcall upcall_sample(void) {
        return (struct record_upcall){
                .vm = "web-1", .uuid = UUID, .subject = subject, .seqno = 42, .id = id, .agent = "nfs-a", .found = "pidns",
                .origin = "user", .mode = "payload", .reason = "request-key", .key = 728371923, .key_type = "cifs.spnego",
                .description = "ab;=\"'", .description_size = 6, .outcome = "rejected", .error = 126,
        };
}

static struct record_container container_sample(void) {
        return (struct record_container){ .op = "register", .vm = "web-1", .uuid = UUID, .pid = 4321, .subject = subject };
}

static struct record_config config_sample(void) {
        return (struct record_config){ .op = "register-agent", .vm = "web-1", .uuid = UUID, .agent = "nfs-a", .subject = subject };
}

static struct record_gap gap_sample(void) {
        return (struct record_gap){ .from = 1700000000123456, .to = 1700000061007999, .records = 20, .dropped = 3, .retry = 2, .subject = subject };
}

/* One pointer type for the functions. */
enum { DISPATCH, COMPLETION, REGISTER, UNREGISTER, BIND_AGENT, CONFIG, GAP, N_RECORDS };

static int build(int which, const void *facts, char *text, size_t size) {
        switch (which) {
        case DISPATCH:
                return record_dispatch(facts, text, size);
        case COMPLETION:
                return record_completion(facts, text, size);
        case REGISTER:
                return record_register(facts, text, size);
        case UNREGISTER:
                return record_unregister(facts, text, size);
        case BIND_AGENT:
                return record_bind_agent(facts, text, size);
        case CONFIG:
                return record_config(facts, text, size);
        default:
                return record_gap(facts, text, size);
        }
}

static void assert_record(int which, const void *facts, const char *expected) {
        char text[RECORD_TEXT_MAX + 1];
        int r;

        r = build(which, facts, text, sizeof(text));
        if (r < 0)
                fail_msg("error %d instead of: %s", r, expected);
        assert_string_equal(text, expected);
        assert_int_equal(r, strlen(expected));
}

static void assert_refused(int which, const void *facts) {
        char text[RECORD_TEXT_MAX + 1] = "left over";

        assert_int_equal(build(which, facts, text, sizeof(text)), -EINVAL);
        assert_string_equal(text, ""); /* a caller that does not look sends nothing */
}

/* The value of a field, or NULL; as ausearch and auparse split: blanks between the fields, the first '=' ends the name. */
static const char *field_value(const char *text, const char *name, size_t *ret_size) {
        size_t length = strlen(name);

        for (const char *at = text; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
                if (strncmp(at, name, length) == 0 && at[length] == '=') {
                        *ret_size = strcspn(at + length + 1, " ");
                        return at + length + 1;
                }
        return NULL;
}

static const char *required_field(const char *text, const char *name, size_t *ret_size) {
        const char *value = field_value(text, name, ret_size);

        if (!value) {
                fail_msg("no field %s in: %s", name, text);
                abort();
        }
        return value;
}

static void assert_field(const char *text, const char *name, const char *expected) {
        const char *value;
        size_t size;

        value = required_field(text, name, &size);
        assert_int_equal(size, strlen(expected));
        assert_memory_equal(value, expected, size);
}

static void unhex(const char *hex, size_t size, uint8_t *ret_bytes) {
        assert_int_equal(size % 2, 0);
        for (size_t i = 0; i < size; i += 2) {
                unsigned byte;

                assert_null(memchr("abcdef", hex[i], 6)); /* upper case */
                assert_int_equal(sscanf(hex + i, "%2X", &byte), 1);
                ret_bytes[i / 2] = (uint8_t) byte;
        }
}

static void test_dispatch(void **state) {
        struct record_upcall upcall = upcall_sample();

        (void) state;
        assert_record(DISPATCH, &upcall,
                      "virt=container op=upcall-dispatch reason=request-key vm=\"web-1\" uuid=" UUID " seqno=42 agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 key-serial=728371923 "
                      "key-type=cifs.spnego name=61623B3D2227 upcall=00112233445566778899aabbccddeeff retry=0 found=pidns "
                      "origin=user answer-mode=payload");
        upcall.retry = 2;
        upcall.nested = 41;
        upcall.late = true;
        assert_record(DISPATCH, &upcall,
                      "virt=container op=upcall-dispatch reason=request-key vm=\"web-1\" uuid=" UUID " seqno=42 agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 key-serial=728371923 "
                      "key-type=cifs.spnego name=61623B3D2227 upcall=00112233445566778899aabbccddeeff retry=2 found=pidns "
                      "origin=user answer-mode=payload nested=41 late=1");
}

static void test_completion(void **state) {
        struct record_upcall upcall = upcall_sample();

        (void) state;
        upcall.reason = "agent-exit";
        assert_record(COMPLETION, &upcall,
                      "virt=container resrc=key reason=agent-exit op=upcall-complete vm=\"web-1\" uuid=" UUID " seqno=42 agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 key-serial=728371923 "
                      "key-type=cifs.spnego name=61623B3D2227 upcall=00112233445566778899aabbccddeeff retry=0 found=pidns "
                      "origin=user answer-mode=payload outcome=rejected exit=-126");
        /* beside what became of it: what the agent said */
        upcall.claim = "instantiated";
        assert_record(COMPLETION, &upcall,
                      "virt=container resrc=key reason=agent-exit op=upcall-complete vm=\"web-1\" uuid=" UUID " seqno=42 agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 key-serial=728371923 "
                      "key-type=cifs.spnego name=61623B3D2227 upcall=00112233445566778899aabbccddeeff retry=0 found=pidns "
                      "origin=user answer-mode=payload outcome=rejected exit=-126 claim=instantiated");
        upcall.claim = "a b";
        assert_refused(COMPLETION, &upcall);
}

static void test_exit_follows_error_and_outcome(void **state) {
        static const struct {
                const char *outcome;
                uint32_t error;
                const char *tail;
        } cases[] = {
                { "instantiated", 0, "outcome=instantiated exit=0" },
                { "negated", 126, "outcome=negated exit=-126" },
                { "rejected", 129, "outcome=rejected exit=-129" },
                { "rejected", UINT32_MAX, "outcome=rejected exit=-4294967295" },
                { "abandoned", 0, "outcome=abandoned" },
                { NULL, 0, "outcome=?" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct record_upcall upcall = upcall_sample();
                char text[RECORD_TEXT_MAX + 1];
                int r;

                upcall.outcome = cases[i].outcome;
                upcall.error = cases[i].error;
                r = record_completion(&upcall, text, sizeof(text));
                assert_in_range(r, strlen(cases[i].tail), RECORD_TEXT_MAX);
                assert_string_equal(text + r - strlen(cases[i].tail), cases[i].tail);
        }
}

static void test_upcall_of_nobody(void **state) {
        struct record_upcall upcall = { .seqno = UINT64_MAX, .subject = { .loginuid = UINT32_MAX, .sessionid = UINT32_MAX } };

        (void) state;
        assert_record(DISPATCH, &upcall,
                      "virt=container op=upcall-dispatch reason=? vm=\"?\" uuid=? seqno=18446744073709551615 agent=? spid=0 suid=0 "
                      "sauid=4294967295 oses=4294967295 key-serial=0 key-type=? name=? upcall=? retry=0 found=? origin=? answer-mode=?");
        upcall.subject.comm = "";
        upcall.key_type = "";
        upcall.description = "";
        assert_record(COMPLETION, &upcall,
                      "virt=container resrc=key reason=? op=upcall-complete vm=\"?\" uuid=? seqno=18446744073709551615 agent=? spid=0 "
                      "suid=0 sauid=4294967295 oses=4294967295 ocomm=? key-serial=0 key-type=? name=? upcall=? retry=0 found=? "
                      "origin=? answer-mode=? outcome=?");
}

static void assert_unbrokered(const struct record_unbrokered *record, const char *expected) {
        char text[RECORD_TEXT_MAX + 1];

        assert_int_equal(record_unbrokered(record, text, sizeof(text)), strlen(expected));
        assert_string_equal(text, expected);
}

static void test_unbrokered(void **state) {
        const struct record_namespaces namespaces = { .pid = 4026531836, .user = UINT64_MAX, .mnt = 1 };
        struct record_unbrokered record = { .upcall = upcall_sample(), .caller = &namespaces };

        (void) state;
        /* who found no broker knows of no container, number or agent, whatever is in the structure */
        record.upcall.found = "none";
        record.upcall.mode = "reject";
        record.upcall.reason = "broker-down";
        assert_unbrokered(&record,
                          "virt=container op=upcall-unbrokered reason=broker-down vm=\"?\" uuid=? seqno=? spid=554 suid=1000 sauid=1001 oses=3 "
                          "ocomm=6D6F756E742E63696673 key-serial=728371923 key-type=cifs.spnego name=61623B3D2227 "
                          "upcall=00112233445566778899aabbccddeeff retry=0 found=none origin=user answer-mode=reject "
                          "pid-ns=4026531836 user-ns=18446744073709551615 mnt-ns=1 outcome=rejected exit=-126");
        record.caller = NULL;
        record.missed = 17;
        assert_unbrokered(&record,
                          "virt=container op=upcall-unbrokered reason=broker-down vm=\"?\" uuid=? seqno=? key-serial=728371923 key-type=cifs.spnego "
                          "name=61623B3D2227 upcall=00112233445566778899aabbccddeeff retry=0 found=none origin=user answer-mode=reject "
                          "missed=17 outcome=rejected exit=-126");
        record.upcall.reason = "a b";
        assert_int_equal(record_unbrokered(&record, (char[RECORD_TEXT_MAX + 1]){ 0 }, RECORD_TEXT_MAX + 1), -EINVAL);
}

static void test_register(void **state) {
        struct record_container container = container_sample();

        (void) state;
        assert_record(REGISTER, &container,
                      "virt=container op=register vm=\"web-1\" uuid=" UUID " vm-ctx=? img-ctx=? model=? vm-pid=4321 "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673");
        container.reason = "restored";
        container.label = "system_u:system_r:container_t:s0:c1,c2";
        container.parent_uuid = PARENT;
        container.subject.comm = NULL;
        assert_record(REGISTER, &container,
                      "virt=container op=register reason=restored vm=\"web-1\" uuid=" UUID
                      " vm-ctx=system_u:system_r:container_t:s0:c1,c2 img-ctx=? model=selinux vm-pid=4321 parent=" PARENT
                      " spid=554 suid=1000 sauid=1001 oses=3");
}

static void test_unregister(void **state) {
        struct record_container container = container_sample();

        (void) state;
        container.op = "unregister";
        container.reason = "exited";
        container.label = "not in this one";
        container.subject.comm = NULL;
        assert_record(UNREGISTER, &container,
                      "virt=container op=unregister reason=exited vm=\"web-1\" uuid=" UUID " vm-pid=4321 "
                      "spid=554 suid=1000 sauid=1001 oses=3");
        container.parent_uuid = PARENT;
        assert_record(UNREGISTER, &container,
                      "virt=container op=unregister reason=exited vm=\"web-1\" uuid=" UUID " vm-pid=4321 parent=" PARENT
                      " spid=554 suid=1000 sauid=1001 oses=3");
}

static void test_bind_agent(void **state) {
        struct record_config config = config_sample();

        (void) state;
        assert_record(BIND_AGENT, &config,
                      "virt=container resrc=agent reason=bind op=bind-agent vm=\"web-1\" uuid=" UUID " agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673");
        config.reason = "unbind";
        config.subject.comm = NULL;
        assert_record(BIND_AGENT, &config,
                      "virt=container resrc=agent reason=unbind op=bind-agent vm=\"web-1\" uuid=" UUID " agent=nfs-a "
                      "spid=554 suid=1000 sauid=1001 oses=3");
}

static void test_gap(void **state) {
        struct record_gap gap = gap_sample();

        (void) state;
        assert_record(GAP, &gap,
                      "op=audit-gap vm=\"?\" uuid=? spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 "
                      "gap-from=1700000000.123 gap-to=1700000061.007 gap-records=20 gap-dropped=3 retry=2");
        gap = (struct record_gap){ .to = UINT64_MAX, .records = UINT64_MAX };
        assert_record(GAP, &gap, "op=audit-gap vm=\"?\" uuid=? spid=0 suid=0 sauid=0 oses=0 gap-from=0.000 gap-to=18446744073709.551 "
                      "gap-records=18446744073709551615 gap-dropped=0 retry=0");
}

/* The same record as another repeat; whatever a name or description holds, it is the record's own field that changes */
static void test_repeat(void **state) {
        char text[RECORD_TEXT_MAX + 1], again[RECORD_TEXT_MAX + 1], expected[RECORD_TEXT_MAX + 1];
        struct record_upcall upcall = upcall_sample();

        (void) state;
        upcall.description = " retry=7 ";
        upcall.description_size = 9;
        for (upcall.retry = 0; upcall.retry <= 150000000; upcall.retry = upcall.retry * 21 + 3) {
                assert_true(record_dispatch(&upcall, text, sizeof(text)) > 0);
                upcall.retry++;
                assert_true(record_dispatch(&upcall, expected, sizeof(expected)) > 0);
                assert_int_equal(record_repeat(text, upcall.retry, again, sizeof(again)), (int) strlen(expected));
                assert_string_equal(again, expected);
                assert_int_equal(record_repeat(text, upcall.retry, again, strlen(expected)), -ENOBUFS);
                assert_string_equal(again, "");
        }
        assert_int_equal(record_repeat("op=x", 1, again, sizeof(again)), -EINVAL);
        assert_int_equal(record_repeat("op=x retry=", 1, again, sizeof(again)), -EINVAL);
        assert_int_equal(record_repeat("op=x retry=y", 1, again, sizeof(again)), -EINVAL);
        assert_int_equal(record_repeat("", 1, again, sizeof(again)), -EINVAL);
}

static void test_config(void **state) {
        struct record_config config = config_sample();

        (void) state;
        config.command = "a\nb";
        config.command_size = 3;
        assert_record(CONFIG, &config,
                      "op=register-agent agent=nfs-a vm=\"web-1\" uuid=" UUID
                      " spid=554 suid=1000 sauid=1001 oses=3 ocomm=6D6F756E742E63696673 cmd=610A62");
        config = (struct record_config){ .op = "refuse-container-register", .reason = "bad-name" };
        assert_record(CONFIG, &config,
                      "op=refuse-container-register reason=bad-name vm=\"?\" uuid=? spid=0 suid=0 sauid=0 oses=0");
}

static void test_labels(void **state) {
        static const struct {
                const char *label, *context, *model;
        } cases[] = {
                { NULL, "?", "?" },
                { "", "?", "?" },
                { "unconfined", "unconfined", "?" },
                { "docker-default (enforce)", "docker-default", "apparmor" },
                { "two words (complain)", "two_words", "apparmor" },
                { "/usr/bin/x//sub (enforce)", "/usr/bin/x//sub", "apparmor" },
                { ":ns://p (enforce)", ":ns://p", "apparmor" },
                { "u:r:t", "u:r:t", "selinux" },
                { "u:r:t:s0-s0:c0.c1023", "u:r:t:s0-s0:c0.c1023", "selinux" },
                { "a' res=success", "a__res_success", "?" },
                { "a\"; \n\x01\xff=", "a_______", "?" },
                { " (x)", "__x_", "?" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct record_container container = container_sample();
                char text[RECORD_TEXT_MAX + 1];

                container.label = cases[i].label;
                assert_true(record_register(&container, text, sizeof(text)) > 0);
                assert_field(text, "vm-ctx", cases[i].context);
                assert_field(text, "model", cases[i].model);
        }
}

static void test_key_types(void **state) {
        static const struct {
                const char *key_type, *written;
        } cases[] = {
                { ".request_key_auth", ".request_key_auth" },
                { "id_resolver", "id_resolver" },
                { "user", "user" },
                { "a b;c='d\"", "a_b_c__d_" },
                { "x\n\x01\x7f\xff", "x____" },
                { "1234567890123456789012345678901too long", "1234567890123456789012345678901" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct record_upcall upcall = upcall_sample();
                char text[RECORD_TEXT_MAX + 1];

                upcall.key_type = cases[i].key_type;
                assert_true(record_dispatch(&upcall, text, sizeof(text)) > 0);
                assert_field(text, "key-type", cases[i].written);
        }
}

static void test_name_safe(void **state) {
        static const struct {
                const char *name;
                bool safe;
        } cases[] = {
                { "web-1", true },       { "a", true },       { "0", true },         { "A.b_c:d-e", true }, { NAME_255, true },
                { NAME_255 "x", false }, { "", false },       { NULL, false },       { ".hidden", false },  { "-x", false },
                { "_x", false },         { ":x", false },     { "a b", false },      { "a\"", false },      { "a'", false },
                { "a;b", false },        { "a=b", false },    { "a/b", false },      { "a\n", false },      { "a\xc3\xa4", false },
                { "\xc3\xa4", false },   { "a\x7f", false },  { "a'res=success", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (record_name_safe(cases[i].name) != cases[i].safe)
                        fail_msg("%s is %s", cases[i].name, cases[i].safe ? "refused" : "taken");
        for (int c = 1; c < 256; c++) {
                char name[] = { 'a', (char) c, '\0' };
                bool safe = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' ||
                            c == ':' || c == '-';

                assert_int_equal(record_name_safe(name), safe);
        }
}

static const char *const unsafe_names[] = { "", "evil;res=success", "a b", "a\"", "a'", "-x", ".x", "a\n", "a\x80", NAME_255 "x" };
static const char *const unsafe_words[] = { "", "Request", "a b", "a=b", "a_b", "a;b", "a\n", "a\x80", "'",
                                            "12345678901234567890123456789012345678901" };
static const char *const unsafe_uuids[] = { "", "?", "3f2504e0", UUID "0", "3f2504e0-4f89-41d3-9a0c-0305e82c330g",
                                            "3f2504e0 4f89-41d3-9a0c-0305e82c3301" };

static void test_unsafe_upcall_is_refused(void **state) {
        (void) state;
        for (int which = DISPATCH; which <= COMPLETION; which++) {
                struct record_upcall upcall = upcall_sample();

                for (size_t i = 0; i < ELEMENTS(unsafe_names); i++) {
                        upcall = upcall_sample();
                        upcall.vm = unsafe_names[i];
                        assert_refused(which, &upcall);
                        upcall = upcall_sample();
                        upcall.agent = unsafe_names[i];
                        assert_refused(which, &upcall);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_uuids); i++) {
                        upcall = upcall_sample();
                        upcall.uuid = unsafe_uuids[i];
                        assert_refused(which, &upcall);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_words); i++) {
                        const size_t words[] = { offsetof(struct record_upcall, found), offsetof(struct record_upcall, origin),
                                                 offsetof(struct record_upcall, mode), offsetof(struct record_upcall, reason),
                                                 offsetof(struct record_upcall, outcome) };

                        for (size_t j = 0; j < ELEMENTS(words) - (which == DISPATCH); j++) {
                                upcall = upcall_sample();
                                *(const char **) ((char *) &upcall + words[j]) = unsafe_words[i];
                                assert_refused(which, &upcall);
                        }
                }
        }
}

static void test_unsafe_container_is_refused(void **state) {
        (void) state;
        for (int which = REGISTER; which <= UNREGISTER; which++) {
                struct record_container container;

                for (size_t i = 0; i < ELEMENTS(unsafe_names); i++) {
                        container = container_sample();
                        container.vm = unsafe_names[i];
                        assert_refused(which, &container);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_uuids); i++) {
                        container = container_sample();
                        container.uuid = unsafe_uuids[i];
                        assert_refused(which, &container);
                        container = container_sample();
                        container.parent_uuid = unsafe_uuids[i];
                        assert_refused(which, &container);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_words); i++) {
                        container = container_sample();
                        container.op = unsafe_words[i];
                        assert_refused(which, &container);
                        container = container_sample();
                        container.reason = unsafe_words[i];
                        assert_refused(which, &container);
                }
        }
}

static void test_unsafe_config_is_refused(void **state) {
        (void) state;
        for (int which = BIND_AGENT; which <= CONFIG; which++) {
                struct record_config config;

                for (size_t i = 0; i < ELEMENTS(unsafe_names); i++) {
                        config = config_sample();
                        config.vm = unsafe_names[i];
                        assert_refused(which, &config);
                        config = config_sample();
                        config.agent = unsafe_names[i];
                        assert_refused(which, &config);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_uuids); i++) {
                        config = config_sample();
                        config.uuid = unsafe_uuids[i];
                        assert_refused(which, &config);
                }
                for (size_t i = 0; i < ELEMENTS(unsafe_words); i++) {
                        config = config_sample();
                        config.reason = unsafe_words[i];
                        assert_refused(which, &config);
                        config = config_sample();
                        config.op = unsafe_words[i];
                        if (which == CONFIG) /* the other one writes its own */
                                assert_refused(which, &config);
                }
        }
}

/* Nothing but the two quotes around vm may be anything that a tool takes for more than text. */
static void assert_harmless(const char *text) {
        const char *vm = strstr(text, " vm=\"");
        size_t quotes = 0;

        assert_non_null(vm);
        for (const char *at = text; *at; at++) {
                assert_in_range(*at, 0x20, 0x7e);
                assert_int_not_equal(*at, ';');
                assert_int_not_equal(*at, '\'');
                quotes += *at == '"';
        }
        assert_int_equal(quotes, 2);
        assert_null(strstr(text, "res=s"));
}

static void assert_description(const uint8_t *description, size_t size) {
        struct record_upcall upcall = upcall_sample();
        char text[RECORD_TEXT_MAX + 1];
        _cleanup_free_ uint8_t *bytes = NULL;
        const char *value;
        size_t value_size, shown = size > RECORD_DESCRIPTION_MAX ? RECORD_DESCRIPTION_MAX : size;

        upcall.description = description;
        upcall.description_size = size;
        for (int which = DISPATCH; which <= COMPLETION; which++) {
                assert_true(build(which, &upcall, text, sizeof(text)) > 0);
                assert_harmless(text);
                value = required_field(text, "name", &value_size);
                assert_int_equal(value_size, 2 * shown);
                freep(&bytes);
                bytes = malloc(shown);
                assert_non_null(bytes);
                unhex(value, value_size, bytes);
                assert_memory_equal(bytes, description, shown);
                assert_int_equal(field_value(text, "desc-sha256", &value_size) != NULL, size > RECORD_DESCRIPTION_MAX);
        }
}

static void test_hostile_descriptions(void **state) {
        static const char *const cases[] = {
                "evil';res=success", "\" res=success", "a res=success", "\n", (" uuid=" PARENT), " auid=0 ", "?", "(null)", "\\x41", "%s%n",
        };
        uint8_t all[255];

        (void) state;
        for (size_t i = 0; i < sizeof(all); i++) {
                all[i] = (uint8_t) (i + 1);
                assert_description(&all[i], 1);
        }
        assert_description(all, sizeof(all));
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_description((const uint8_t *) cases[i], strlen(cases[i]));
}

static void test_hostile_comm_and_command(void **state) {
        struct record_config config = config_sample();
        char text[RECORD_TEXT_MAX + 1], comm[256];

        (void) state;
        for (size_t i = 0; i < 255; i++)
                comm[i] = (char) (i + 1);
        comm[255] = '\0';
        config.subject.comm = comm;
        config.command = comm;
        config.command_size = 255;
        for (int which = BIND_AGENT; which <= CONFIG; which++) {
                const char *value;
                size_t size;
                uint8_t bytes[255];

                assert_true(build(which, &config, text, sizeof(text)) > 0);
                assert_harmless(text);
                value = required_field(text, "cmd", &size);
                assert_int_equal(size, 510);
                unhex(value, size, bytes);
                assert_memory_equal(bytes, comm, 255);
                (void) required_field(text, "ocomm", &size);
                assert_int_equal(size, 128); /* cut: no comm is longer */
        }
}

static void test_long_description_is_cut_with_hash_of_the_whole(void **state) {
        /* the last byte alone differs, which the cut description does not show; sha256sum(1) made these */
        static const struct {
                uint8_t last;
                const char *hash;
        } cases[] = {
                { 'x', "deffa2b8b74b214c6f9b3fc3897854f5c1d7ab973da346509026a1032a4ece54" },
                { 'y', "6f939de14d61a8161165decbfb718764140317e5ee83d423271633a83d7f5287" },
        };
        uint8_t description[4095];
        char text[RECORD_TEXT_MAX + 1];

        (void) state;
        memset(description, 'x', sizeof(description));
        assert_description(description, RECORD_DESCRIPTION_MAX);
        assert_description(description, RECORD_DESCRIPTION_MAX + 1);
        assert_description(description, sizeof(description));
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct record_upcall upcall = upcall_sample();

                description[sizeof(description) - 1] = cases[i].last;
                upcall.description = description;
                upcall.description_size = sizeof(description);
                assert_true(record_dispatch(&upcall, text, sizeof(text)) > 0);
                assert_field(text, "desc-sha256", cases[i].hash);
        }
}

static void test_agents_that_failed_are_named(void **state) {
        struct record_upcall upcall = upcall_sample();
        char text[RECORD_TEXT_MAX + 1];

        (void) state;
        upcall.failed = "nfs-a/agent-died,b:c/deadline";
        assert_true(record_dispatch(&upcall, text, sizeof(text)) > 0);
        assert_non_null(strstr(text, " answer-mode=payload failed=nfs-a/agent-died,b:c/deadline"));
        upcall.failed = "a b=1";
        assert_int_equal(record_dispatch(&upcall, text, sizeof(text)), -EINVAL);
}

static void test_largest_values_fit(void **state) {
        char command[4 * RECORD_DESCRIPTION_MAX], label[256], text[RECORD_TEXT_MAX + 1];
        const char *word = "1234567890123456789012345678901234567890";
        char failed[3 * (63 + 48 + 2)]; /* broker/upcall.h */
        struct record_subject most = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, command };
        struct record_upcall upcall = { NAME_255, UUID, most, UINT64_MAX, id, UINT32_MAX, NAME_255, word, word, word, word, UINT32_MAX,
                                        command, command, sizeof(command), UINT64_MAX, word, UINT32_MAX, true, failed, word };
        struct record_container container = { word, word, NAME_255, UUID, UINT32_MAX, PARENT, label, UINT64_MAX, most };
        struct record_config config = { word, NAME_255, UUID, NAME_255, command, sizeof(command), word, UINT64_MAX, most };
        struct record_gap gap = gap_sample();
        const void *const facts[] = { &upcall, &upcall, &container, &container, &config, &config, &gap };

        memset(failed, 'a', sizeof(failed) - 1);
        failed[sizeof(failed) - 1] = '\0';
        (void) state;
        memset(command, '\xff', sizeof(command));
        memset(label, 'l', sizeof(label));
        for (int which = 0; which < N_RECORDS; which++)
                assert_in_range(build(which, facts[which], text, sizeof(text)), 1, RECORD_TEXT_MAX);
}

static void test_small_buffers_are_never_overrun(void **state) {
        struct record_upcall upcall = upcall_sample();
        struct record_container container = container_sample();
        struct record_config config = config_sample();
        struct record_gap gap = gap_sample();
        const void *const facts[] = { &upcall, &upcall, &container, &container, &config, &config, &gap };

        (void) state;
        config.command = "x";
        config.command_size = 1;
        for (int which = 0; which < N_RECORDS; which++) {
                char whole[RECORD_TEXT_MAX + 1];
                int length = build(which, facts[which], whole, sizeof(whole));

                assert_true(length > 0);
                for (size_t size = 0; size <= (size_t) length + 1; size++) {
                        /* of exactly that size, so that sanitizers and valgrind see, too; and a guard for when there is neither */
                        _cleanup_free_ char *buffer = malloc(size + 1);
                        int r;

                        assert_non_null(buffer);
                        memset(buffer, 'G', size + 1);
                        r = build(which, facts[which], buffer, size);
                        assert_int_equal(r, size > (size_t) length ? length : -ENOBUFS);
                        assert_int_equal(buffer[size], 'G');
                        if (size > 0)
                                assert_string_equal(buffer, r < 0 ? "" : whole);
                }
        }
}

/* ausearch finds fields by strstr(): in these orders, and by these endings. */
static void test_searched_fields_are_found_first(void **state) {
        static const char *const searched[] = { "exe=", "res=", "addr=", "hostname=", "terminal=", "acct=", "cwd=", "comm=", " path=",
                                                "vm=", "uuid=", "subj=", "result=", " uid=", " auid=", " pid=", " ses=", " key=" };
        struct record_upcall upcall = upcall_sample();
        struct record_container container = container_sample();
        struct record_config config = config_sample();
        struct record_gap gap = gap_sample();
        const void *const facts[] = { &upcall, &upcall, &container, &container, &config, &config, &gap };

        (void) state;
        container.parent_uuid = PARENT;
        config.command = "x";
        config.command_size = 1;
        upcall.nested = 1;
        upcall.late = true;
        for (int which = 0; which < N_RECORDS; which++) {
                char text[RECORD_TEXT_MAX + 1];

                assert_true(build(which, facts[which], text, sizeof(text)) > 0);
                for (size_t i = 0; i < ELEMENTS(searched); i++) {
                        const char *first = strstr(text, searched[i]);
                        bool ours = strcmp(searched[i], "vm=") == 0 || strcmp(searched[i], "uuid=") == 0 ||
                                    strcmp(searched[i], "comm=") == 0;

                        assert_int_equal(first != NULL, ours);
                        if (first)
                                assert_null(strstr(first + 1, searched[i]));
                }
                assert_true(strstr(text, "vm=") < strstr(text, "uuid="));
                assert_true(strstr(text, "uuid=") < strstr(text, "comm="));
        }
}

/* Whether the dictionary (schema/record-fields.tsv) has a line for this field. */
static bool field_documented(const char *name, size_t length) {
        _cleanup_fclose_ FILE *file = fopen(RECORD_FIELDS, "re");
        char line[1024];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, name, length) == 0 && line[length] == '\t')
                        return true;
        return false;
}

static void assert_unbrokered_documented(const struct record_upcall *upcall) {
        const struct record_unbrokered record = { .upcall = *upcall, .caller = &(struct record_namespaces){ 1, 2, 3 }, .missed = 1 };
        char text[RECORD_TEXT_MAX + 1];

        assert_true(record_unbrokered(&record, text, sizeof(text)) > 0);
        for (char *at = text; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
                if (!field_documented(at, strcspn(at, "=")))
                        fail_msg("%s has no line for: %.40s", RECORD_FIELDS, at);
}

static void test_dictionary_has_every_field(void **state) {
        char description[RECORD_DESCRIPTION_MAX + 1];
        struct record_upcall upcall = upcall_sample();
        struct record_container container = container_sample();
        struct record_config config = config_sample();
        struct record_gap gap = gap_sample();
        const void *const facts[] = { &upcall, &upcall, &container, &container, &config, &config, &gap };

        (void) state;
        memset(description, 'x', sizeof(description));
        upcall.description = description;
        upcall.description_size = sizeof(description);
        upcall.nested = 1;
        upcall.late = true;
        upcall.claim = "negated";
        container.reason = "restored";
        container.parent_uuid = PARENT;
        container.delegation = config.delegation = 7;
        config.reason = "asked";
        config.command = description;
        config.command_size = sizeof(description);
        assert_false(field_documented("nonsense", strlen("nonsense")));
        for (int which = 0; which < N_RECORDS; which++) {
                char text[RECORD_TEXT_MAX + 1];

                assert_true(build(which, facts[which], text, sizeof(text)) > 0);
                for (char *at = text; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
                        if (!field_documented(at, strcspn(at, "=")))
                                fail_msg("%s has no line for: %.40s", RECORD_FIELDS, at);
        }
        assert_unbrokered_documented(&upcall);
}

static void test_head(void **state) {
        const uint8_t hash[32] = { 0x01, 0xab, [31] = 0xff };
        const struct record_head head = { .reason = "interval", .chain_seq = UINT64_MAX, .hash = hash, .rows_open = 3 };
        const struct record_head unsafe = { .reason = "in terval", .hash = hash };
        static const char expected[] = "op=ledger-chain reason=interval chain-seq=18446744073709551615 chain-hash="
                                       "01ab0000000000000000000000000000000000000000000000000000000000ff rows-open=3";
        char text[RECORD_TEXT_MAX + 1];

        (void) state;
        assert_int_equal(record_head(&head, text, sizeof(text)), strlen(expected));
        assert_string_equal(text, expected);
        for (char *at = text; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
                assert_true(field_documented(at, strcspn(at, "=")));
        assert_int_equal(record_head(&unsafe, text, sizeof(text)), -EINVAL);
        for (size_t size = 0; size <= strlen(expected); size++)
                assert_int_equal(record_head(&head, text, size), -ENOBUFS);
}

/* FIPS 180-4's own examples (csrc.nist.gov, SHA256.pdf, SHA2_Additional.pdf), and the lengths around a block's end as
 * sha256sum(1) gives them. */
static void test_sha256(void **state) {
        static const struct {
                const char *text;
                char fill;
                size_t size;
                const char *digest;
        } cases[] = {
                { "", 0, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
                { "abc", 0, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
                { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0, 56,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
                { "\xbd", 0, 1, "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b" },
                { NULL, 0, 55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7" },
                { NULL, 0, 56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb" },
                { NULL, 0, 57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785" },
                { NULL, 0, 64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b" },
                { NULL, 0, 1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53" },
                { NULL, 'a', 55,
                  "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" }, { NULL, 'a', 56,
                  "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a" }, { NULL, 'a', 63,
                  "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34" }, { NULL, 'a', 64,
                  "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" }, { NULL, 'a', 65,
                  "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0" },
                { NULL, 'a', 119,
                  "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb" }, { NULL, 'a', 128,
                  "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e" },
                { NULL, 'A', 1000, "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4" },
                { NULL, 'a', 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *data = malloc(cases[i].size + 1);
                uint8_t digest[32];
                char hex[65];

                assert_non_null(data);
                if (cases[i].text)
                        memcpy(data, cases[i].text, cases[i].size);
                else
                        memset(data, cases[i].fill, cases[i].size);
                sha256(data, cases[i].size, digest);
                for (size_t j = 0; j < sizeof(digest); j++)
                        (void) snprintf(hex + 2 * j, 3, "%02x", digest[j]);
                assert_string_equal(hex, cases[i].digest);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dispatch),
                cmocka_unit_test(test_completion),
                cmocka_unit_test(test_exit_follows_error_and_outcome),
                cmocka_unit_test(test_upcall_of_nobody),
                cmocka_unit_test(test_unbrokered),
                cmocka_unit_test(test_register),
                cmocka_unit_test(test_unregister),
                cmocka_unit_test(test_bind_agent),
                cmocka_unit_test(test_config),
                cmocka_unit_test(test_gap),
                cmocka_unit_test(test_repeat),
                cmocka_unit_test(test_labels),
                cmocka_unit_test(test_key_types),
                cmocka_unit_test(test_name_safe),
                cmocka_unit_test(test_unsafe_upcall_is_refused),
                cmocka_unit_test(test_unsafe_container_is_refused),
                cmocka_unit_test(test_unsafe_config_is_refused),
                cmocka_unit_test(test_hostile_descriptions),
                cmocka_unit_test(test_hostile_comm_and_command),
                cmocka_unit_test(test_long_description_is_cut_with_hash_of_the_whole),
                cmocka_unit_test(test_agents_that_failed_are_named),
                cmocka_unit_test(test_largest_values_fit),
                cmocka_unit_test(test_small_buffers_are_never_overrun),
                cmocka_unit_test(test_searched_fields_are_found_first),
                cmocka_unit_test(test_dictionary_has_every_field),
                cmocka_unit_test(test_head),
                cmocka_unit_test(test_sha256),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
