/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an audit log, held against a ledger of one row: what is read of them lies within them, in one piece as in two, and whatever they say is
 * survived. */
#include <stdlib.h>
#include <string.h>

#include "auditing/trail.h"
#include "tests/fuzz/fuzz.h"
#include "tools/upcallctl/reconcile.h"

static const struct ledger_row one = {
        .seqno = 1, .id = { 1 }, .contid = { 2 }, .state = LEDGER_CLOSED, .key = 3, .key_type = "user", .description = "d", .description_size = 1,
        .agent = "a", .mode = "payload", .found = "pidns", .origin = "user", .caller_comm = "c", .dispatch = { 10, 1700000000000 },
        .completion = { 11, 1700000000001 }, .outcome = "instantiated",
};

struct reading {
        Reconciliation *reconciliation;
        size_t n_records, limit;
        const uint8_t *data;
};

static void require(bool condition) {
        if (!condition)
                abort();
}

static int find_row(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        (void) userdata;
        if (seqno != 1)
                return 0;
        *ret_row = one;
        *ret_vm = "v";
        return 1;
}

static int find_hash(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        (void) userdata;
        memset(ret_hash, 1, CHAIN_HASH_SIZE);
        return chain_seq == 1;
}

static int take_finding(void *userdata, const struct finding *finding) {
        (void) userdata;
        require(finding->kind < FINDING_KINDS && finding->record && memchr(finding->text, '\0', sizeof(finding->text)));
        return 0;
}

static int take_record(void *userdata, const struct trail_record *record) {
        struct reading *reading = userdata;
        size_t total = 0;

        reading->n_records++;
        require(record->n_fields <= TRAIL_FIELDS_MAX && trail_field(record, "op"));
        for (size_t i = 0; i < record->n_fields; i++) {
                require(record->fields[i].value[record->fields[i].size] == '\0');
                total += record->fields[i].size;
        }
        require(total <= reading->limit);
        /* byte for byte what stands there */
        require(record->line_size > 0 && memmem(reading->data, reading->limit, record->line, record->line_size));
        return reconcile_record(reading->reconciliation, record);
}

static size_t read_all(const uint8_t *data, size_t size, size_t first) {
        const struct reconcile_source source = { .row = find_row, .hash = find_hash };
        const struct ledger_head head = { .head = { .reason = "start", .pid = 1, .uid = 1, .time = 1699999999000000 }, .receipt = { 9, 1699999999001 } };
        const struct ledger_chained chained = { 1, 1, true, true };
        struct reading reading = { .limit = size, .data = data };
        Trail *trail = NULL;

        require(reconcile_new(&source, 1700000100000, take_finding, NULL, &reading.reconciliation) == 0);
        require(reconcile_row(reading.reconciliation, &one) == 0 && reconcile_chained(reading.reconciliation, &chained) == 0 &&
                reconcile_head(reading.reconciliation, &head) == 0);
        require(trail_new("host", take_record, &reading, &trail) == 0);
        require(trail_feed(trail, data, first) == 0 && trail_feed(trail, data + first, size - first) == 0 && trail_end_file(trail) == 0);
        require(trail_counts(trail)->records == reading.n_records);
        require(reconcile_end(reading.reconciliation, trail_counts(trail)->first_ms, trail_counts(trail)->last_ms) == 0);
        trail_free(trail);
        reconcile_free(reading.reconciliation);
        return reading.n_records;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t n = read_all(data, size, size);

        require(read_all(data, size, size / 2) == n);
        return 0;
}
