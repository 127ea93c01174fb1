/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bundles of evidence: what is in one, what it proves, and that nothing about it can be changed unnoticed. */
#include <sys/wait.h>

#include "tests/unit/evidence-fixture.h"

#define WORLD(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

static uint64_t kind(const struct exported *exported, enum finding_kind which) {
        return exported->report.counts.kinds[which];
}

static void expect_proved(const struct exported *exported, uint64_t rows) {
        assert_int_equal(exported->error, 0);
        if (!report_is_good(&exported->report))
                (void) report_print_text(&exported->report);
        assert_true(report_is_good(&exported->report));
        assert_int_equal(exported->report.counts.rows, rows);
        assert_int_equal(exported->report.counts.confirmed, 2 * rows);
}

/* How often text stands in the archive */
static size_t count(const struct exported *exported, const char *text) {
        const uint8_t *at = exported->data, *end = at + exported->size;
        size_t n = 0;

        while ((at = memmem(at, (size_t) (end - at), text, strlen(text)))) {
                at++;
                n++;
        }
        return n;
}

/* ---- what is in it ---- */

static void test_bundle_proves_its_containers_upcalls(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 1, LATER);

        assert_int_equal(exported.status, VERIFY_PROVED);
        expect_proved(&exported, 3);
        assert_int_equal(kind(&exported, FINDING_GAP), 0);
        assert_int_equal(kind(&exported, FINDING_UNVERIFIABLE), 0);
        assert_int_equal(exported.report.counts.heads, 3);
        assert_int_equal(exported.facts.anchor, 5);
        assert_int_equal(exported.facts.span.begin, 0);
        assert_int_equal(exported.facts.span.end, 5);
        assert_string_equal(exported.facts.about.name, "web");
        exported_done(&exported);
}

static void test_nothing_of_other_containers_is_in_it(void **state) {
        static const char *const theirs[] = { "neighbour", "NEIGHBOUR", "02c0", "736563726574", "7365637265742D", "nfs-n" };
        struct exported exported = export_of(*state, WEB_TEXT, T0, LATER);

        expect_proved(&exported, 3);
        for (size_t i = 0; i < ELEMENTS(theirs); i++)
                assert_int_equal(count(&exported, theirs[i]), 0);
        exported_done(&exported);
}

static void test_records_are_byte_for_byte_those_of_the_log(void **state) {
        struct world *world = *state;
        struct exported exported = export_of(world, "web", T0 + 1, LATER);
        char line[32768], *at = exported.bundle.parts[BUNDLE_RECORDS];
        FILE *log = fopen(world->log_path, "re");

        assert_non_null(log);
        while (fgets(line, sizeof(line), log)) { /* in their order; other containers' left out */
                if (strstr(line, NEIGHBOUR_TEXT))
                        continue;
                assert_memory_equal(at, line, strlen(line));
                at += strlen(line);
        }
        assert_int_equal(*at, '\0');
        (void) fclose(log);
        exported_done(&exported);
}

static void test_time_is_cut_out_with_the_heads_around_it(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 2900, T0 + 3100);

        expect_proved(&exported, 1);
        assert_int_equal(kind(&exported, FINDING_GAP), 0);
        assert_int_equal(exported.facts.span.begin, 2);
        assert_int_equal(exported.facts.span.end, 5);
        assert_int_equal(exported.facts.anchor, 5);
        assert_int_equal(count(&exported, "seqno=1 "), 0);
        assert_int_equal(count(&exported, "seqno=3 "), 2);
        assert_int_equal(count(&exported, "reason=start"), 1); /* which process was the broker */
        exported_done(&exported);
}

static void test_container_without_upcalls_in_that_time(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 500000, T0 + 600000);

        assert_int_equal(exported.status, VERIFY_PROVED);
        expect_proved(&exported, 0);
        assert_int_equal(exported.facts.span.begin, 5);
        exported_done(&exported);
}

static void test_container_that_nobody_knows_gives_no_bundle(void **state) {
        static const char *const names[] = { "nobody", "03c00000-0000-0000-0000-000000000000", "", "web'; DROP TABLE ledger; --" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                struct exported exported = export_of(*state, names[i], T0, LATER);

                assert_int_equal(exported.status, VERIFY_UNREADABLE);
                assert_int_equal(exported.size, 0);
                exported_done(&exported);
        }
}

static void test_two_containers_of_one_name_want_a_contid(void **state) {
        struct world *world = *state;
        struct registry_container again = sample(7);
        struct exported exported;

        assert_int_equal(registry_set_container_state(world->fixture->registry, 1, UPCALL_CONTAINER_ENDED, T0 * 1000, "exited"), 0);
        again.name = "web";
        assert_int_equal(registry_add_container(world->fixture->registry, &again), 0);
        exported = export_of(world, "web", T0 + 1, LATER);
        assert_int_equal(exported.status, VERIFY_UNREADABLE);
        exported_done(&exported);
        exported = export_of(world, WEB_TEXT, T0 + 1, LATER);
        expect_proved(&exported, 3);
        exported_done(&exported);
}

static void test_what_the_log_does_not_cover_is_a_gap(void **state) {
        struct world *world = *state;
        struct exported exported = export_of(world, "web", T0 - 5000, LATER);

        expect_proved(&exported, 3);
        assert_int_equal(kind(&exported, FINDING_GAP), 1);
        exported_done(&exported);
}

/* Rows behind the last head of the log could still be made anew. */
static void test_rows_behind_the_last_head_are_a_gap(void **state) {
        struct world *world = *state;
        struct exported exported;

        add_upcall(world, 7);
        assert_int_equal(fflush(world->log), 0);
        exported = export_of(world, "web", T0 + 1, LATER);
        expect_proved(&exported, 4);
        assert_int_equal(kind(&exported, FINDING_GAP), 1);
        assert_int_equal(exported.facts.anchor, 5);
        assert_int_equal(exported.facts.span.last_row, 6);
        exported_done(&exported);
}

/* Its dispatch record is there, and the other one will come: whoever has the bundle has to know. */
static void test_upcall_under_way_is_a_gap(void **state) {
        struct world *world = *state;
        struct ledger_row row = upcall_row(7);
        struct exported exported;

        row.time_open = (LATER - 100) * 1000;
        row.dispatch.time_ms = LATER - 99;
        assert_int_equal(registry_ledger_open(world->fixture->registry, &row), 0);
        assert_int_equal(registry_ledger_dispatched(world->fixture->registry, row.seqno, &row.dispatch), 0);
        write_upcall(world->log, &row, false);
        assert_int_equal(fflush(world->log), 0);
        exported = export_of(world, "web", T0 + 1, LATER);
        assert_int_equal(exported.status, VERIFY_PROVED);
        assert_int_equal(exported.report.counts.rows, 4);
        assert_int_equal(kind(&exported, FINDING_IN_FLIGHT), 1);
        assert_int_equal(kind(&exported, FINDING_GAP), 1);
        exported_done(&exported);
}

/* A copy of an older record, made at that time: without its row it would look like one whose row was removed, left out it would not be seen at all. */
static void test_record_of_that_time_brings_its_row(void **state) {
        struct world *world = *state;
        struct ledger_row row = upcall_row(1);
        struct exported exported;

        row.dispatch = (struct sender_receipt){ 7777, T0 + 3050 };
        row.seqno = 1;
        write_upcall(world->log, &row, false);
        assert_int_equal(fflush(world->log), 0);
        exported = export_of(world, "web", T0 + 2900, T0 + 3100);
        assert_int_equal(exported.status, VERIFY_REFUTED);
        assert_int_equal(exported.report.counts.rows, 2);
        assert_int_equal(kind(&exported, FINDING_FORGED), 1);
        assert_int_equal(kind(&exported, FINDING_CHAIN) + kind(&exported, FINDING_MISSING), 0);
        exported_done(&exported);
}

static void test_record_whose_contid_was_changed_in_the_log_is_altered(void **state) {
        struct world *world = *state;
        char *text = calloc(1, 1 << 20), *at;
        FILE *log = fopen(world->log_path, "r+e");
        struct exported exported;
        size_t size;

        assert_non_null(text);
        assert_non_null(log);
        size = fread(text, 1, (1 << 20) - 1, log);
        at = strstr(text, "uuid=" WEB_TEXT " seqno=3 ");
        assert_non_null(at);
        memcpy(at, "uuid=" NEIGHBOUR_TEXT, strlen("uuid=" NEIGHBOUR_TEXT));
        rewind(log);
        assert_int_equal(fwrite(text, 1, size, log), size);
        (void) fclose(log);
        free(text);
        exported = export_of(world, "web", T0 + 1, LATER);
        assert_int_equal(kind(&exported, FINDING_ALTERED), 1);
        assert_int_equal(kind(&exported, FINDING_MISSING), 0);
        exported_done(&exported);
}

/* A bundle comes from elsewhere: nothing of it is looked into with root's rights. */
static void test_root_gives_up_its_rights_before_it_looks_into_a_bundle(void **state) {
        struct world *world = *state;
        struct exported exported = export_of(world, "web", T0 + 1, LATER);
        char path[256];
        FILE *file;
        int status;
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s.bundle", world->log_path);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_int_equal(fwrite(exported.data, 1, exported.size, file), exported.size);
        assert_int_equal(fclose(file), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct report report = { 0 };
                bool root = geteuid() == 0;

                if (!freopen("/dev/null", "we", stdout) || verify_bundle(path, NULL, false, &report) < 0 || !report_is_good(&report))
                        _exit(1);
                _exit(root && (geteuid() == 0 || getegid() == 0 || setuid(0) == 0) ? 2 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        (void) unlink(path);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        exported_done(&exported);
}

static void test_same_evidence_is_the_same_file(void **state) {
        struct exported one = export_of(*state, "web", T0 + 1, LATER), other = export_of(*state, "web", T0 + 1, LATER);

        assert_int_equal(one.size, other.size);
        assert_memory_equal(one.data, other.data, one.size);
        exported_done(&one);
        exported_done(&other);
}

/* ---- a ledger that was changed before the export ---- */

static void test_ledger_that_was_changed_shows_in_the_bundle(void **state) {
        static const struct {
                const char *sql;
                enum finding_kind kind;
        } cases[] = {
                { "UPDATE ledger SET agent = 'nfs-b' WHERE seqno = 3", FINDING_CHAIN },
                { "UPDATE ledger SET agent = 'nfs-b' WHERE seqno = 4", FINDING_CHAIN }, /* another's: the chain is broken all the same */
                { "DELETE FROM ledger WHERE seqno = 3", FINDING_CHAIN },
                { "UPDATE ledger SET chain_seq = NULL WHERE seqno = 5", FINDING_CHAIN },
                { "UPDATE ledger SET caller_uid = 0 WHERE seqno = 1", FINDING_ALTERED },
                { "UPDATE ledger_head SET chain_hash = zeroblob(32) WHERE id = 3", FINDING_ALTERED },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct exported exported;
                char sql[512];

                if (i > 0) {
                        (void) world_down(state);
                        (void) world_up(state);
                }
                (void) snprintf(sql, sizeof(sql), "DROP TRIGGER ledger_finished; DROP TRIGGER ledger_kept; %s", cases[i].sql);
                tamper(((struct world *) *state)->fixture, sql);
                exported = export_of(*state, "web", T0 + 1, LATER);
                assert_int_equal(exported.status, VERIFY_REFUTED);
                assert_int_equal(exported.error, 0);
                if (kind(&exported, cases[i].kind) == 0)
                        fail_msg("%s is not found", cases[i].sql);
                exported_done(&exported);
        }
}

/* ---- a bundle that was changed ---- */

static void test_no_byte_can_be_changed(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 2900, T0 + 3100);
        const size_t step = getenv("LD_PRELOAD") ? 97 : 1; /* valgrind's: it would take minutes */

        for (size_t i = 0; i < exported.size; i += step) {
                const uint8_t bit = (uint8_t) (1u << i % 8);

                exported.data[i] ^= bit;
                exported_forget(&exported);
                exported.error = bundle_unpack(exported.data, exported.size, &exported.bundle, take_altered, &exported.report, exported.problem);
                if (exported.error == 0 && report_is_good(&exported.report))
                        fail_msg("byte %zu of %zu was changed unnoticed", i, exported.size);
                if (exported.error != 0 && exported.error != -EBADMSG)
                        fail_msg("byte %zu: error %d", i, exported.error);
                exported.data[i] ^= bit;
        }
        exported_check(&exported);
        expect_proved(&exported, 1);
        exported_done(&exported);
}

static void test_no_byte_can_be_cut_off_or_added(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 2900, T0 + 3100);
        size_t whole = exported.size;
        uint8_t *larger = realloc(exported.data, whole + 20480);

        assert_non_null(larger);
        exported.data = larger;
        memset(larger + whole, 0, 20480);
        for (size_t size = 0; size < whole + 20480; size += size < whole - 2 || size > whole + 2 ? 61 : 1) {
                if (size == whole)
                        continue;
                exported.size = size;
                exported_check(&exported);
                if (exported.error == 0 && report_is_good(&exported.report))
                        fail_msg("%zu of %zu bytes are as good as all", size, whole);
        }
        exported_done(&exported);
}

/* In a part, with a manifest made anew. to NULL: the line is taken out. */
static void change(struct exported *exported, enum bundle_part part, const char *line_with, const char *from, const char *to) {
        char *data = exported->bundle.parts[part], *at = strstr(data, line_with), *end, *changed = NULL;

        if (!at)
                fail_msg("'%s' is not in %s", line_with, bundle_part_names[part]);
        while (at > data && at[-1] != '\n')
                at--;
        end = strchr(at, '\n') + 1;
        if (!to)
                assert_true(asprintf(&changed, "%.*s%s", (int) (at - data), data, end) >= 0);
        else {
                char *word = strstr(at, from);

                if (!word || word > end)
                        fail_msg("'%s' is not in the line with '%s'", from, line_with);
                assert_true(asprintf(&changed, "%.*s%s%s", (int) (word - data), data, to, word + strlen(from)) >= 0);
        }
        free(data);
        exported->bundle.parts[part] = changed;
        exported->bundle.sizes[part] = strlen(changed);
}

static void test_what_is_changed_is_named_though_the_manifest_fits(void **state) {
        static const struct {
                enum bundle_part part;
                const char *line, *from, *to;
                enum finding_kind kind;
        } cases[] = {
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":\"nfs-b\"", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":\"nfs-b\"", FINDING_ALTERED },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"retry\":2", "\"retry\":null", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"caller_comm\":{\"text\"", "\"caller_comm\":{\"bytes\"", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"chain_seq\":3", "\"chain_seq\":4", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"chain_seq\":3,", "", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"chain_seq\":3", "\"chain_seq\":99", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", "01c00000", "02c00000", FINDING_CHAIN },
                { BUNDLE_LEDGER, "\"seqno\":3,", NULL, NULL, FINDING_CHAIN }, /* its records are there */
                { BUNDLE_CHAIN, "\"chain_seq\":3", "\"digest\":\"", "\"digest\":\"00000000000000000000000000000000000000000000000000000000000000"
                  "00\",\"x\":\"", FINDING_CHAIN },
                { BUNDLE_CHAIN, "\"chain_seq\":4", "\"digest\":\"", "\"digest\":\"00000000000000000000000000000000000000000000000000000000000000"
                  "00\",\"x\":\"", FINDING_CHAIN },
                { BUNDLE_CHAIN, "\"chain_seq\":2,", NULL, NULL, FINDING_CHAIN },
                { BUNDLE_CHAIN, "\"chain_seq\":5,", NULL, NULL, FINDING_CHAIN },
                { BUNDLE_HEADS, "\"chain_seq\":5", "\"chain_seq\":5", "\"chain_seq\":4", FINDING_ALTERED },
                { BUNDLE_HEADS, "\"chain_seq\":5", "\"serial\":9003", "\"serial\":9004", FINDING_MISSING },
                { BUNDLE_HEADS, "\"reason\":\"start\"", "\"pid\":77", "\"pid\":78", FINDING_ALTERED },
                { BUNDLE_RECORDS, "op=upcall-complete", NULL, NULL, FINDING_MISSING },
                { BUNDLE_RECORDS, "op=upcall-dispatch reason=request-key vm=\"web\" uuid=" WEB_TEXT " seqno=3", NULL, NULL, FINDING_MISSING },
                { BUNDLE_RECORDS, "op=upcall-dispatch", "suid=1000", "suid=0", FINDING_ALTERED },
                { BUNDLE_RECORDS, "op=upcall-dispatch", WEB_TEXT, NEIGHBOUR_TEXT, FINDING_ALTERED },
                { BUNDLE_RECORDS, "op=upcall-dispatch", "uid=997", "uid=998", FINDING_ALTERED },
                { BUNDLE_RECORDS, "chain-seq=5", NULL, NULL, FINDING_MISSING },
                { BUNDLE_RECORDS, "chain-seq=5", "chain-seq=5", "chain-seq=4", FINDING_ALTERED },
                { BUNDLE_RECORDS, "op=upcall-dispatch", "type=VIRT_CONTROL", "type=SYSCALL msg=audit(1:1): x=y\ntype=VIRT_CONTROL", FINDING_ALTERED },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct exported exported = export_of(*state, "web", T0 + 1, LATER);

                change(&exported, cases[i].part, cases[i].line, cases[i].from, cases[i].to);
                exported_repack(&exported);
                assert_int_equal(exported.error, 0);
                if (report_is_good(&exported.report) || kind(&exported, cases[i].kind) == 0) {
                        (void) report_print_text(&exported.report);
                        fail_msg("case %zu: not found as %s", i, finding_words[cases[i].kind]);
                }
                exported_done(&exported);
        }
}

/* Genuine, and part of the chain, but not what the bundle is about */
static void test_another_containers_row_is_not_taken_for_this_ones(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 1, LATER), other = export_of(*state, "neighbour", T0 + 1, LATER);

        free(exported.bundle.parts[BUNDLE_LEDGER]);
        exported.bundle.parts[BUNDLE_LEDGER] = strdup(other.bundle.parts[BUNDLE_LEDGER]);
        exported.bundle.sizes[BUNDLE_LEDGER] = other.bundle.sizes[BUNDLE_LEDGER];
        free(exported.bundle.parts[BUNDLE_RECORDS]);
        exported.bundle.parts[BUNDLE_RECORDS] = strdup(other.bundle.parts[BUNDLE_RECORDS]);
        exported.bundle.sizes[BUNDLE_RECORDS] = other.bundle.sizes[BUNDLE_RECORDS];
        exported_repack(&exported);
        assert_int_equal(exported.error, 0);
        assert_int_equal(kind(&exported, FINDING_CHAIN), 2);
        exported_done(&exported);
        exported_done(&other);
}

/* The time that the log is said to cover cannot be moved behind a record that is left. */
static void test_coverage_that_is_claimed_does_not_excuse_a_missing_record(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 1, LATER);

        change(&exported, BUNDLE_RECORDS, " seqno=5 ", NULL, NULL);
        change(&exported, BUNDLE_ABOUT, "format", "\"first_ms\":1700000000001", "\"first_ms\":1700000900000");
        exported_repack(&exported);
        assert_int_equal(exported.error, 0);
        assert_int_equal(kind(&exported, FINDING_MISSING), 1);
        exported_done(&exported);
}

/* Said in the manual: an upcall that is taken out with all its traces is only seen by the bundle's own SHA-256. */
static void test_upcall_taken_out_with_all_traces_wants_the_noted_sha256(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 1, LATER);
        size_t size = exported.size;

        change(&exported, BUNDLE_LEDGER, "\"seqno\":3,", NULL, NULL);
        change(&exported, BUNDLE_RECORDS, " seqno=3 ", NULL, NULL);
        change(&exported, BUNDLE_RECORDS, " seqno=3 ", NULL, NULL);
        exported_repack(&exported);
        expect_proved(&exported, 2);
        assert_int_not_equal(exported.size, size);
        exported_done(&exported);
}

static void test_what_is_no_json_of_ours_is_refused(void **state) {
        static const struct {
                enum bundle_part part;
                const char *line, *from, *to;
        } cases[] = {
                { BUNDLE_ABOUT, "format", "\"format\":1", "\"format\":\"1\"" },
                { BUNDLE_ABOUT, "format", "\"contid\":\"01", "\"contid\":\"zz" },
                { BUNDLE_ABOUT, "format", "\"log\":{", "\"log\":[{" },
                { BUNDLE_ABOUT, "format", "\"since_ms\":17", "\"since_ms\":-17" },
                { BUNDLE_ABOUT, "format", "\"until_ms\":17", "\"until_ms\":99999999999999999999" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"seqno\":3", "\"seqno\":1" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"seqno\":3", "\"seqno\":-3" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"seqno\":3", "\"seqno\":\"3\"" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"outcome\"", "\"income\"" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":[[[[[[[[1]]]]]]]]" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":{\"text\":\"0\"}" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":{\"text\":\"0X\"}" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "\"agent\":\"nfs-a\"", "\"agent\":true" },
                { BUNDLE_LEDGER, "\"seqno\":3,", "{", "" },
                { BUNDLE_CHAIN, "\"chain_seq\":0", "\"hash\":\"0", "\"hash\":\"" },
                { BUNDLE_CHAIN, "\"chain_seq\":4,", "\"chain_seq\":4", "\"chain_seq\":1" },
                { BUNDLE_HEADS, "\"id\":2,", "\"reason\":\"interval\"", "\"reason\":\"while\"" },
                { BUNDLE_HEADS, "\"id\":2,", "\"pid\":77", "\"pid\":99999999999" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct exported exported = export_of(*state, "web", T0 + 1, LATER);

                change(&exported, cases[i].part, cases[i].line, cases[i].from, cases[i].to);
                exported_repack(&exported);
                if (exported.error != -EBADMSG)
                        fail_msg("case %zu: %d", i, exported.error);
                assert_non_null(strstr(exported.problem, bundle_part_names[cases[i].part]));
                exported_done(&exported);
        }
}

static void test_newer_format_is_said_to_be_newer(void **state) {
        struct exported exported = export_of(*state, "web", T0 + 1, LATER);

        change(&exported, BUNDLE_ABOUT, "format", "\"format\":1", "\"format\":2");
        exported_repack(&exported);
        assert_int_equal(exported.error, -EPROTO);
        exported_done(&exported);
}

static void test_part_that_is_too_large_is_not_written(void **state _unused_) {
        struct bundle bundle = { .parts = { [BUNDLE_ABOUT] = calloc(1, 2 << 20), [BUNDLE_CHAIN] = calloc(1, 1), [BUNDLE_HEADS] = calloc(1, 1),
                                            [BUNDLE_LEDGER] = calloc(1, 1), [BUNDLE_RECORDS] = calloc(1, 1), [BUNDLE_REPORT] = calloc(1, 1) },
                                 .sizes = { [BUNDLE_ABOUT] = 2 << 20 } };
        enum bundle_part part = BUNDLE_PARTS;
        char *data;
        size_t size;

        assert_int_equal(bundle_pack(&bundle, &data, &size, &part), -EFBIG);
        assert_int_equal(part, BUNDLE_ABOUT);
        bundle_done(&bundle);
}

/* ---- rows by their fields ---- */

static int compare_row(void *userdata, const struct ledger_entry *entry) {
        LedgerSnapshot *other = userdata;
        struct ledger_row by_fields, row;
        const char *vm;

        ledger_row_of_fields(entry->fields, &by_fields);
        assert_int_equal(ledger_snapshot_row(other, by_fields.seqno, &row, &vm), 1);
        assert_int_equal(by_fields.description_size, row.description_size);
        assert_memory_equal(by_fields.description, row.description, row.description_size);
        assert_string_equal(by_fields.caller_comm, row.caller_comm);
        assert_string_equal(by_fields.agent, row.agent);
        assert_string_equal(by_fields.outcome, row.outcome);
        assert_null(by_fields.reason);
        by_fields.description = row.description;
        by_fields.key_type = row.key_type;
        by_fields.agent = row.agent;
        by_fields.mode = row.mode;
        by_fields.found = row.found;
        by_fields.origin = row.origin;
        by_fields.caller_comm = row.caller_comm;
        by_fields.outcome = row.outcome;
        assert_memory_equal(&by_fields.id, &row.id, sizeof(row.id));
        assert_true(by_fields.seqno == row.seqno && by_fields.retry == row.retry && by_fields.state == row.state && by_fields.key == row.key &&
                    by_fields.caller_pid == row.caller_pid && by_fields.caller_uid == row.caller_uid && by_fields.caller_loginuid == row.caller_loginuid &&
                    by_fields.caller_sessionid == row.caller_sessionid && by_fields.nested == row.nested && by_fields.time_open == row.time_open &&
                    by_fields.dispatch.serial == row.dispatch.serial && by_fields.dispatch.time_ms == row.dispatch.time_ms &&
                    by_fields.completion.serial == row.completion.serial && by_fields.completion.time_ms == row.completion.time_ms &&
                    by_fields.error == row.error && by_fields.time_done == row.time_done);
        assert_memory_equal(by_fields.contid, row.contid, 16);
        assert_memory_equal(by_fields.boot_id, row.boot_id, 16);
        return 0;
}

static void test_row_is_the_same_by_its_fields(void **state) {
        struct world *world = *state;
        LedgerSnapshot *one, *other;

        assert_int_equal(ledger_snapshot_open(world->fixture->path, &one), 0);
        assert_int_equal(ledger_snapshot_open(world->fixture->path, &other), 0);
        assert_int_equal(ledger_snapshot_each_entry(one, compare_row, other), 0);
        ledger_snapshot_close(one);
        ledger_snapshot_close(other);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD(test_bundle_proves_its_containers_upcalls),
                WORLD(test_nothing_of_other_containers_is_in_it),
                WORLD(test_records_are_byte_for_byte_those_of_the_log),
                WORLD(test_time_is_cut_out_with_the_heads_around_it),
                WORLD(test_container_without_upcalls_in_that_time),
                WORLD(test_container_that_nobody_knows_gives_no_bundle),
                WORLD(test_two_containers_of_one_name_want_a_contid),
                WORLD(test_what_the_log_does_not_cover_is_a_gap),
                WORLD(test_rows_behind_the_last_head_are_a_gap),
                WORLD(test_upcall_under_way_is_a_gap),
                WORLD(test_record_of_that_time_brings_its_row),
                WORLD(test_record_whose_contid_was_changed_in_the_log_is_altered),
                WORLD(test_root_gives_up_its_rights_before_it_looks_into_a_bundle),
                WORLD(test_same_evidence_is_the_same_file),
                WORLD(test_ledger_that_was_changed_shows_in_the_bundle),
                WORLD(test_no_byte_can_be_changed),
                WORLD(test_no_byte_can_be_cut_off_or_added),
                WORLD(test_what_is_changed_is_named_though_the_manifest_fits),
                WORLD(test_another_containers_row_is_not_taken_for_this_ones),
                WORLD(test_coverage_that_is_claimed_does_not_excuse_a_missing_record),
                WORLD(test_upcall_taken_out_with_all_traces_wants_the_noted_sha256),
                WORLD(test_what_is_no_json_of_ours_is_refused),
                WORLD(test_newer_format_is_said_to_be_newer),
                cmocka_unit_test(test_part_that_is_too_large_is_not_written),
                WORLD(test_row_is_the_same_by_its_fields),
        };

        (void) setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
