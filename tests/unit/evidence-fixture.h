/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ledger of two containers and the log that belongs to it, as broker and auditd would have made them, and a bundle out of both. Upcalls 1, 3 and 5 are
 * web's; 2 and 4 its neighbour's, of whom nothing may be in the bundle.
 */
#ifndef TESTS_UNIT_EVIDENCE_FIXTURE_H
#define TESTS_UNIT_EVIDENCE_FIXTURE_H

#include <inttypes.h>
#include <sys/mman.h>

#include "auditing/record.h"
#include "tests/unit/registry-fixture.h"
#include "tools/upcallctl/bundle-json.h"
#include "tools/upcallctl/evidence.h"
#include "tools/upcallctl/verify-bundle.h"
#include "tools/upcallctl/verify.h"

#define T0 1700000000000ull
#define ROWS 5
#define LATER (T0 + 1000000)
#define WEB_TEXT "01c00000-0000-0000-0000-000000000000"
#define NEIGHBOUR_TEXT "02c00000-0000-0000-0000-000000000000"
#define BROKER_PID 77
#define BROKER_UID 997

struct world {
        struct fixture *fixture;
        FILE *log;
        char log_path[192];
};

static void write_line(FILE *log, const char *type, uint64_t serial, uint64_t time_ms, const char *text, const char *host, const char *terminal, bool success) {
        (void) fprintf(log, "type=%s msg=audit(%" PRIu64 ".%03u:%" PRIu64 "): pid=%u uid=%u auid=4294967295 ses=4294967295 msg='%s "
                       "exe=\"/usr/sbin/upcalld\" hostname=%s addr=? terminal=%s res=%s'\x1dUID=\"upcalld\" AUID=\"unset\"\n", type, time_ms / 1000,
                       (unsigned) (time_ms % 1000), serial, BROKER_PID, BROKER_UID, text, host, terminal, success ? "success" : "failed");
}

static void write_upcall(FILE *log, const struct ledger_row *row, bool completion) {
        bool web = row->contid[0] == 1;
        const char *vm = web ? "web" : "neighbour";
        const struct record_upcall record = {
                .vm = vm, .uuid = web ? WEB_TEXT : NEIGHBOUR_TEXT,
                .subject = { row->caller_pid, row->caller_uid, row->caller_loginuid, row->caller_sessionid, row->caller_comm },
                .seqno = (uint64_t) row->seqno, .id = row->id, .retry = row->retry, .agent = row->agent, .found = row->found, .origin = row->origin,
                .mode = row->mode, .reason = "request-key", .key = row->key, .key_type = row->key_type, .description = row->description,
                .description_size = row->description_size, .nested = row->nested, .outcome = "instantiated",
        };
        char text[RECORD_TEXT_MAX + 1];

        assert_true((completion ? record_completion : record_dispatch)(&record, text, sizeof(text)) > 0);
        write_line(log, completion ? "VIRT_RESOURCE" : "VIRT_CONTROL", completion ? row->completion.serial : row->dispatch.serial,
                   completion ? row->completion.time_ms : row->dispatch.time_ms, text, vm, row->agent, true);
}

static void add_head(struct world *world, const char *reason, uint64_t time_ms) {
        struct registry_head head = { .reason = reason, .pid = BROKER_PID, .uid = BROKER_UID, .time = time_ms * 1000 };
        struct record_head record = { .reason = reason };
        struct sender_receipt head_receipt = { .time_ms = time_ms + 1 };
        char text[RECORD_TEXT_MAX + 1];

        assert_int_equal(registry_head_add(world->fixture->registry, &head), 0);
        head_receipt.serial = 9000 + (uint64_t) head.id;
        record.chain_seq = head.chain_seq;
        record.hash = head.chain_hash;
        assert_true(record_head(&record, text, sizeof(text)) > 0);
        write_line(world->log, "USYS_CONFIG", head_receipt.serial, head_receipt.time_ms, text, "?", "?", true);
        assert_int_equal(registry_head_recorded(world->fixture->registry, head.id, &head_receipt), 0);
}

static struct ledger_row upcall_row(uint8_t number) {
        static uint8_t every_byte[256];
        uint8_t container = number % 2 ? 1 : 2;
        struct ledger_row row = sample_row(number);

        for (unsigned i = 0; i < sizeof(every_byte); i++)
                every_byte[i] = (uint8_t) i;
        memset(row.contid, 0, 16);
        row.contid[0] = container;
        row.contid[1] = 0xc0;
        row.description = container == 1 ? (const char *) every_byte : "secret-of-the-neighbour";
        row.description_size = container == 1 ? sizeof(every_byte) : strlen(row.description);
        row.caller_comm = container == 1 ? "a'b\xff\x01 c" : "neighbourly";
        row.agent = container == 1 ? "nfs-a" : "nfs-neighbour";
        row.time_open = (T0 + 1000ull * number) * 1000;
        row.dispatch = (struct sender_receipt){ 100 + 10ull * number, T0 + 1000ull * number + 1 };
        row.completion = (struct sender_receipt){ 101 + 10ull * number, T0 + 1000ull * number + 2 };
        return row;
}

static void add_upcall(struct world *world, uint8_t number) {
        struct ledger_row row = upcall_row(number);

        assert_int_equal(registry_ledger_open(world->fixture->registry, &row), 0);
        assert_int_equal(registry_ledger_dispatched(world->fixture->registry, row.seqno, &row.dispatch), 0);
        assert_int_equal(registry_ledger_done(world->fixture->registry, row.seqno, "instantiated", NULL, 0, row.completion.time_ms * 1000), 0);
        assert_int_equal(registry_ledger_closed(world->fixture->registry, row.seqno, &row.completion), 0);
        write_upcall(world->log, &row, false);
        write_upcall(world->log, &row, true);
}

static int world_up(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        void *fixture;

        assert_non_null(world);
        assert_int_equal(set_up(&fixture), 0);
        world->fixture = fixture;
        (void) snprintf(world->log_path, sizeof(world->log_path), "%s/audit.log", world->fixture->folder);
        world->log = fopen(world->log_path, "we");
        assert_non_null(world->log);
        reopen(world->fixture);
        (void) add_container(world->fixture->registry, 1, "web");
        (void) add_container(world->fixture->registry, 2, "neighbour");
        add_head(world, "start", T0);
        for (uint8_t number = 1; number <= ROWS; number++) {
                add_upcall(world, number);
                if (number == 2)
                        add_head(world, "interval", T0 + 2500);
        }
        add_head(world, "interval", T0 + 6000);
        assert_int_equal(fflush(world->log), 0);
        *state = world;
        return 0;
}

static int world_down(void **state) {
        struct world *world = *state;
        void *fixture = world->fixture;

        (void) fclose(world->log);
        (void) unlink(world->log_path);
        free(world);
        return tear_down(&fixture);
}

struct exported {
        int status;
        uint8_t *data;
        size_t size;
        struct bundle bundle;
        struct report report;
        struct bundle_facts facts;
        char problem[FINDING_TEXT_MAX];
        int error;
};

static int take_altered(void *userdata, const struct finding *finding) {
        struct report *report = userdata;

        report->counts.kinds[finding->kind]++;
        return report_add(report, finding);
}

static void exported_forget(struct exported *exported) {
        bundle_done(&exported->bundle);
        report_done(&exported->report);
        exported->report = (struct report){ .ledger = "ledger.jsonl" };
}

/* Reads and checks what is in data now. */
static _unused_ void exported_check(struct exported *exported) {
        exported_forget(exported);
        exported->error = bundle_unpack(exported->data, exported->size, &exported->bundle, take_altered, &exported->report, exported->problem);
        if (exported->error >= 0)
                exported->error = bundle_check(&exported->bundle, &exported->report, &exported->facts, exported->problem);
}

static _unused_ void exported_done(struct exported *exported) {
        exported_forget(exported);
        free(exported->data);
}

static _unused_ struct exported export_of(struct world *world, const char *container, uint64_t since_ms, uint64_t until_ms) {
        struct evidence_order order = { .container = container, .ledger = world->fixture->path, .node = "host", .output = "test", .since_ms = since_ms,
                                        .until_ms = until_ms, .now_ms = LATER };
        struct exported exported = { .status = -1 };
        struct input input = { .n = 1 };
        int fd = memfd_create("bundle", MFD_CLOEXEC);
        off_t size;

        assert_true(fd > 2);
        input.fds[0] = open(world->log_path, O_RDONLY | O_CLOEXEC);
        assert_true(input.fds[0] >= 0);
        exported.status = evidence_export(&order, &input, fd);
        (void) close(input.fds[0]);
        size = lseek(fd, 0, SEEK_END);
        exported.size = (size_t) size;
        exported.data = malloc(exported.size + 1);
        assert_non_null(exported.data);
        assert_int_equal(pread(fd, exported.data, exported.size, 0), size);
        (void) close(fd);
        if (exported.size > 0)
                exported_check(&exported);
        return exported;
}

/* The archive again, with a manifest that fits whatever the parts say now. */
static _unused_ void exported_repack(struct exported *exported) {
        enum bundle_part part;
        char *data;

        assert_int_equal(bundle_pack(&exported->bundle, &data, &exported->size, &part), 0);
        free(exported->data);
        exported->data = (uint8_t *) data;
        exported_check(exported);
}

#endif
