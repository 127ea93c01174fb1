/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "tools/upcallctl/output.h"
#include "tools/upcallctl/reconcile.h"
#include "tools/upcallctl/verify-bundle.h"
#include "tools/upcallctl/verify-input.h"
#include "tools/upcallctl/verify-report.h"
#include "tools/upcallctl/verify.h"
#include "util/deadline.h"

struct order {
        const char *ledger, *node;
        const char *bundle, *sha256; /* NULL: the host's own trail */
        bool json;
        char **files; /* borrowed from the command line */
        size_t n_files;
};

/* ---- the command line ---- */

static int usage(struct report *report) {
        return report_problem(report, -EINVAL, "usage: upcallctl verify [--input FILE...] [--ledger FILE] [--node NAME] [--json] | --bundle FILE [--sha256 HEX] [--json]");
}

/* What stands without an option are more files: --input /var/log/audit/audit.log* */
static int read_arguments(int argc, char **argv, struct order *order, struct report *report) {
        static const struct option options[] = {
                { "input", required_argument, NULL, 'i' }, { "ledger", required_argument, NULL, 'l' }, { "node", required_argument, NULL, 'n' },
                { "json", no_argument, NULL, 'j' }, { "bundle", required_argument, NULL, 'b' }, { "sha256", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 },
        };
        bool input = false;
        int found;

        opterr = 0;
        optind = 0;
        while ((found = getopt_long(argc, argv, "-", options, NULL)) != -1)
                switch (found) {
                case 'i':
                        input = true;
                        order->files[order->n_files++] = optarg;
                        break;
                case 1:
                        if (!input)
                                return usage(report);
                        order->files[order->n_files++] = optarg;
                        break;
                case 'l':
                        order->ledger = optarg;
                        break;
                case 'n':
                        order->node = optarg;
                        break;
                case 'j':
                        order->json = true;
                        break;
                case 'b':
                        order->bundle = optarg;
                        break;
                case 's':
                        order->sha256 = optarg;
                        break;
                default:
                        return usage(report);
                }
        if (optind < argc || (order->bundle ? order->ledger || order->node || input : order->sha256 != NULL))
                return usage(report);
        if (!order->ledger)
                order->ledger = STATE_DIR "/registry.sqlite";
        return 0;
}

/* ---- the work ---- */

static int row_of(void *userdata, int64_t seqno, struct ledger_row *ret_row, const char **ret_vm) {
        return ledger_snapshot_row(userdata, seqno, ret_row, ret_vm);
}

static int hash_of(void *userdata, uint64_t chain_seq, uint8_t ret_hash[static CHAIN_HASH_SIZE]) {
        return ledger_snapshot_hash(userdata, chain_seq, ret_hash);
}

static int read_ledger(LedgerSnapshot *snapshot, Reconciliation *reconciliation) {
        struct registry_gap gap;
        int r;

        r = ledger_snapshot_gap(snapshot, &gap);
        if (r < 0)
                return r;
        reconcile_gap(reconciliation, gap.dropped);
        r = ledger_snapshot_each_row(snapshot, reconcile_row, reconciliation);
        if (r >= 0)
                r = ledger_snapshot_each_chained(snapshot, reconcile_chained, reconciliation);
        if (r >= 0)
                r = ledger_snapshot_each_head(snapshot, reconcile_head, reconciliation);
        return r;
}

static int read_log(const struct order *order, const struct input *input, Reconciliation *reconciliation, struct report *report) {
        _cleanup_(trail_freep) Trail *trail = NULL;
        char host[256] = "";
        int r;

        if (!order->node && gethostname(host, sizeof(host) - 1) < 0)
                return -errno;
        r = trail_new(order->node ? order->node : host, reconcile_record, reconciliation, &trail);
        for (size_t i = 0; i < input->n && r >= 0; i++)
                r = trail_read(trail, input->fds[i]);
        if (r < 0)
                return report_problem(report, r, "the audit log cannot be read: %s", strerror(-r));
        report->log = *trail_counts(trail);
        /* All would be too old to say anything of, and nothing wrong */
        if (report->log.lines == 0)
                return report_problem(report, -ENODATA, "the audit log has no line of this host (%s): does auditd write it, is it the right file, has the host "
                                      "another name there (--node)?", order->node ? order->node : host);
        return 0;
}

static int verify(const struct order *order, const struct input *input, struct report *report) {
        _cleanup_(ledger_snapshot_closep) LedgerSnapshot *snapshot = NULL;
        _cleanup_(reconcile_freep) Reconciliation *reconciliation = NULL;
        struct reconcile_source source = { .row = row_of, .hash = hash_of };
        uint64_t now_ms = usec_now(CLOCK_REALTIME) / 1000; /* what is recorded from here on may not be in the snapshot */
        int r;

        r = ledger_snapshot_open(order->ledger, &snapshot);
        source.userdata = snapshot;
        if (r >= 0)
                r = reconcile_new(&source, now_ms, report_add, report, &reconciliation);
        if (r >= 0)
                r = read_ledger(snapshot, reconciliation);
        if (r < 0)
                return report_problem(report, r, "the ledger %.300s cannot be read: %s", order->ledger, ledger_snapshot_problem(r));
        r = read_log(order, input, reconciliation, report);
        if (r >= 0)
                r = reconcile_end(reconciliation, report->log.first_ms, report->log.last_ms);
        report->counts = *reconcile_counts(reconciliation);
        return r;
}

/* Files first, as root where it is; then the ledger, and what stands in both, with its owner's rights. */
static int open_all(const struct order *order, struct input *input, struct report *report) {
        int r;

        r = order->n_files > 0 ? input_open_files(input, order->files, order->n_files) : input_open_log(input);
        if (r < 0)
                return report_problem(report, r, "%s", input->problem);
        r = input_become_owner(order->ledger);
        return r < 0 ? report_problem(report, r, "the ledger %.300s cannot be read: %s", order->ledger, strerror(-r)) : 0;
}

static int verify_log(const struct order *order, struct report *report) {
        struct input input = { .n = 0 };
        int r;

        r = open_all(order, &input, report);
        if (r >= 0) {
                report->ledger = order->ledger;
                report->n_files = input.n;
                r = verify(order, &input, report);
        }
        if (r >= 0)
                r = order->json ? report_print_json(report) : report_print_text(report);
        input_close(&input);
        return r;
}

int verify_main(int argc, char **argv) {
        _cleanup_free_ char **files = calloc((size_t) argc + 1, sizeof(*files));
        struct order order = { .files = files };
        struct report report = { 0 };
        int r;

        r = files ? read_arguments(argc, argv, &order, &report) : -ENOMEM;
        if (r >= 0)
                r = order.bundle ? verify_bundle(order.bundle, order.sha256, order.json, &report) : verify_log(&order, &report);
        if (r < 0 && order.json)
                (void) report_print_json_problem(&report, r);
        report_done(&report);
        return r < 0 ? VERIFY_UNREADABLE : report_is_good(&report) ? VERIFY_PROVED : VERIFY_REFUTED;
}
