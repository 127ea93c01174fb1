/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <string.h>
#include <uuid.h>

#include "auditing/sha256.h"
#include "tools/upcallctl/evidence-internal.h"
#include "tools/upcallctl/evidence.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/verify-bundle.h"
#include "tools/upcallctl/verify.h"
#include "util/error.h"

/* Said already; all others are said by the caller. */
#define SAID (-ECANCELED)

/* ---- the container ---- */

struct search {
        struct bundle_about *about;
        unsigned n;
};

static int take_container(void *userdata, const uint8_t contid[static 16], const char *name) {
        struct search *search = userdata;
        char text[37];

        if (search->n++ > 0) {
                uuid_unparse_lower(search->about->contid, text);
                complain("evidence export: several containers had that name, one of them with the contid %s: name one by its contid", text);
                uuid_unparse_lower(contid, text);
                complain("evidence export: another one is %s", text);
                return SAID;
        }
        memcpy(search->about->contid, contid, 16);
        (void) snprintf(search->about->name, sizeof(search->about->name), "%s", name);
        return 0;
}

/* By a contid also one that the registry does not have any more, but the ledger. */
static int find_container(struct evidence *evidence, const char *container, bool *ret_registered) {
        struct search search = { .about = &evidence->about };
        uint8_t contid[16] = { 0 };
        bool is_contid = uuid_parse(container, contid) == 0;
        int r;

        r = ledger_snapshot_each_container(evidence->snapshot, contid, container, take_container, &search);
        if (r < 0)
                return r;
        *ret_registered = search.n > 0;
        if (search.n == 0 && is_contid)
                memcpy(evidence->about.contid, contid, sizeof(contid));
        uuid_unparse_lower(evidence->about.contid, evidence->contid_text);
        return search.n > 0 || is_contid ? 0 : -ENOENT;
}

/* ---- ledger and log ---- */

static int complain_ledger(const struct evidence_order *order, int error) {
        if (error == -ENOENT)
                complain("evidence export: there is no container %s in the ledger %s: upcallctl container list --all shows them", order->container, order->ledger);
        else if (error != SAID)
                complain("evidence export: the ledger %s cannot be read: %s", order->ledger, ledger_snapshot_problem(error));
        return error;
}

static int read_ledger(struct evidence *evidence, const struct evidence_order *order) {
        bool registered;
        int r;

        r = ledger_snapshot_open(order->ledger, &evidence->snapshot);
        if (r < 0)
                return complain_ledger(order, r == -ENOENT ? -EACCES : r);
        r = find_container(evidence, order->container, &registered);
        if (r >= 0)
                r = evidence_read_ledger(evidence);
        if (r >= 0 && !registered && evidence->n_rows == 0)
                r = -ENOENT;
        return r < 0 ? complain_ledger(order, r) : 0;
}

static int read_log(struct evidence *evidence, const struct input *input) {
        _cleanup_(trail_freep) Trail *trail = NULL;
        int r;

        r = trail_new(evidence->about.node, evidence_read_line, evidence, &trail);
        for (size_t i = 0; i < input->n && r >= 0; i++)
                r = trail_read(trail, input->fds[i]);
        if (r == -EFBIG)
                complain("evidence export: there is more in the log than a bundle may hold: ask for a shorter time, or give fewer files (--input)");
        else if (r < 0)
                complain("evidence export: the audit log cannot be read: %s", strerror(-r));
        if (r < 0)
                return r;
        evidence->about.log = *trail_counts(trail);
        if (evidence->about.log.lines == 0) {
                complain("evidence export: the audit log has no line of this host (%s): is it the right file, has the host another name there (--node)?",
                         evidence->about.node);
                return -ENODATA;
        }
        return 0;
}

static int begin(struct evidence *evidence, const struct evidence_order *order) {
        struct bundle_about *about = &evidence->about;

        *about = (struct bundle_about){ .since_ms = order->since_ms, .until_ms = order->until_ms, .exported_ms = order->now_ms };
        if (order->node && strlen(order->node) >= sizeof(about->node)) {
                complain("evidence export: --node is too long");
                return -EINVAL;
        }
        if (order->node)
                memcpy(about->node, order->node, strlen(order->node));
        else if (gethostname(about->node, sizeof(about->node) - 1) < 0)
                return negative_errno();
        return 0;
}

/* ---- the bundle ---- */

/* What whoever checks it will find, found now */
static int add_report(struct bundle *bundle, struct report *report) {
        char problem[FINDING_TEXT_MAX] = "";
        struct bundle_facts facts;
        json_object *object;
        const char *text;
        int r;

        r = bundle_check(bundle, report, &facts, problem);
        if (r < 0) {
                complain("evidence export: the bundle cannot be read back: %s", r == -EBADMSG ? problem : strerror(-r));
                return r;
        }
        object = report_object(report);
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        r = text ? asprintf(&bundle->parts[BUNDLE_REPORT], "%s\n", text) : -1;
        (void) json_object_put(object);
        if (r < 0) {
                bundle->parts[BUNDLE_REPORT] = NULL;
                return -ENOMEM;
        }
        bundle->sizes[BUNDLE_REPORT] = (size_t) r;
        return 0;
}

static int write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno != EINTR)
                        return negative_errno();
                data += n > 0 ? n : 0;
                size -= n > 0 ? (size_t) n : 0;
        }
        return 0;
}

/* The first line is for sha256sum --check, and to be kept elsewhere; on standard error where the bundle itself goes to standard output. */
static int print_result(const struct evidence_order *order, const struct report *report, int fd, const char *data, size_t size) {
        _cleanup_free_ char *path = text_escape(order->output, strlen(order->output), false);
        uint8_t digest[32];
        char text[65];

        sha256(data, size, digest);
        bundle_hex(digest, sizeof(digest), text);
        (void) fprintf(fd == STDOUT_FILENO ? stderr : stdout, "%s  %s\n", text, path ? path : "-");
        (void) fprintf(stderr, "%s: %" PRIu64 " upcalls, %" PRIu64 " records; upcallctl verify --bundle shows what it proves\n",
                       report_is_good(report) ? "proved" : "NOT PROVED", report->counts.rows, report->log.records);
        return output_flush();
}

static int write_bundle(const struct evidence_order *order, struct bundle *bundle, const struct report *report, int fd) {
        _cleanup_free_ char *data = NULL;
        enum bundle_part part;
        size_t size;
        int r;

        r = bundle_pack(bundle, &data, &size, &part);
        if (r == -EFBIG)
                complain("evidence export: %s would be larger than a bundle may hold: ask for a shorter time", bundle_part_names[part]);
        else if (r < 0)
                complain("evidence export: the archive cannot be made: %s", strerror(-r));
        if (r < 0)
                return r;
        r = write_all(fd, data, size);
        if (r >= 0)
                r = print_result(order, report, fd, data, size);
        if (r < 0)
                complain("evidence export: %s cannot be written: %s", order->output, strerror(-r));
        return r;
}

static int make_bundle(struct evidence *evidence, struct bundle *bundle, struct report *report) {
        int r;

        r = evidence_choose(evidence);
        if (r >= 0)
                r = evidence_write(evidence, bundle);
        if (r < 0) {
                complain("evidence export: %s", r == -EFBIG ? "there is more in the ledger than a bundle may hold: ask for a shorter time" : strerror(-r));
                return r;
        }
        return add_report(bundle, report);
}

int evidence_export(const struct evidence_order *order, const struct input *input, int fd) {
        struct report report = { .ledger = bundle_part_names[BUNDLE_LEDGER], .n_files = 1 };
        struct evidence evidence = { 0 };
        struct bundle bundle = { 0 };
        int r;

        r = begin(&evidence, order);
        if (r >= 0)
                r = read_ledger(&evidence, order);
        if (r >= 0)
                r = read_log(&evidence, input);
        if (r >= 0)
                r = make_bundle(&evidence, &bundle, &report);
        if (r >= 0)
                r = write_bundle(order, &bundle, &report, fd);
        evidence_done(&evidence);
        bundle_done(&bundle);
        report_done(&report);
        return r < 0 ? VERIFY_UNREADABLE : report_is_good(&report) ? VERIFY_PROVED : VERIFY_REFUTED;
}
