/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <json.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <uuid.h>

#include "auditing/sha256.h"
#include "tools/upcallctl/output.h"
#include "tools/upcallctl/verify-bundle.h"
#include "tools/upcallctl/verify.h"
#include "util/error.h"

#define NOBODY 65534
#define SHA256_TEXT 64
#define TIME_TEXT 32

/* ---- the file ---- */

/* -EFBIG, -EISDIR, or what reading it gave */
static int read_file(const char *path, char **ret_data, size_t *ret_size) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_free_ char *data = NULL;
        size_t room = 0, size = 0;
        ssize_t n = 1;

        if (fd < 0)
                return negative_errno();
        while (n != 0) {
                if (size == room) { /* a pipe does not say how much will come */
                        room = room > 0 ? 2 * room : 1 << 20;
                        char *larger = realloc(data, room);

                        if (!larger)
                                return -ENOMEM;
                        data = larger;
                }
                n = read(fd, data + size, room - size);
                if (n < 0 && errno != EINTR)
                        return negative_errno();
                size += n > 0 ? (size_t) n : 0;
                if (size > BUNDLE_SIZE_MAX)
                        return -EFBIG;
        }
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

/* A bundle comes from elsewhere, and nothing in it needs any right. Where there is no such user (a user namespace of one id) it is read as it is. */
static void become_nobody(void) {
        if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0)
                (void) !setresuid(NOBODY, NOBODY, NOBODY);
}

/* ---- what is printed ---- */

static const char *local_time(uint64_t time_ms, char text[static TIME_TEXT]) {
        time_t seconds = (time_t) (time_ms / 1000);
        struct tm tm;

        if (time_ms == 0 || !localtime_r(&seconds, &tm) || strftime(text, TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void) snprintf(text, TIME_TEXT, "-");
        return text;
}

static void print_facts(const struct bundle_facts *facts) {
        _cleanup_free_ char *name = text_escape(facts->about.name, strlen(facts->about.name), false);
        _cleanup_free_ char *node = text_escape(facts->about.node, strlen(facts->about.node), false);
        char contid[37], since[TIME_TEXT], until[TIME_TEXT], exported[TIME_TEXT], anchor[TIME_TEXT];

        uuid_unparse_lower(facts->about.contid, contid);
        (void) printf("container: %s (%s), from %s to %s, exported %s from the log of %s\n", contid, name && name[0] != '\0' ? name : "-",
                      local_time(facts->about.since_ms, since), local_time(facts->about.until_ms, until), local_time(facts->about.exported_ms, exported),
                      node ? node : "-");
        if (facts->span.begin == facts->span.end)
                (void) printf("chain: no row of the ledger behind row %" PRIu64 "; ", facts->span.begin);
        else
                (void) printf("chain: rows %" PRIu64 " to %" PRIu64 " of the ledger; ", facts->span.begin + 1, facts->span.end);
        if (facts->anchor_serial == 0)
                (void) printf("no head of it in the log\n");
        else
                (void) printf("its head at %" PRIu64 " is in the log, serial %" PRIu64 " of %s: compare it with the host's (ausearch -a %" PRIu64 ")\n",
                              facts->anchor, facts->anchor_serial, local_time(facts->anchor_ms, anchor), facts->anchor_serial);
}

static int print_text(const char *path, const char *sha256_text, const struct report *report, const struct bundle_facts *facts) {
        int r = report_print_text(report);
        _cleanup_free_ char *name = text_escape(path, strlen(path), false);

        (void) printf("bundle: %s, sha256 %s\n", name ? name : "-", sha256_text);
        if (facts)
                print_facts(facts);
        return r < 0 ? r : output_flush();
}

static int print_json(const char *path, const char *sha256_text, const struct report *report, const struct bundle_facts *facts) {
        json_object *object = report_object(report), *bundle = json_object_new_object();
        char contid[37];
        const char *text;

        (void) json_object_object_add(bundle, "path", json_object_new_string(path));
        (void) json_object_object_add(bundle, "sha256", json_object_new_string(sha256_text));
        if (facts) {
                uuid_unparse_lower(facts->about.contid, contid);
                (void) json_object_object_add(bundle, "contid", json_object_new_string(contid));
                (void) json_object_object_add(bundle, "since_ms", json_object_new_uint64(facts->about.since_ms));
                (void) json_object_object_add(bundle, "until_ms", json_object_new_uint64(facts->about.until_ms));
                (void) json_object_object_add(bundle, "exported_ms", json_object_new_uint64(facts->about.exported_ms));
                (void) json_object_object_add(bundle, "chain_begin", json_object_new_uint64(facts->span.begin));
                (void) json_object_object_add(bundle, "chain_end", json_object_new_uint64(facts->span.end));
                (void) json_object_object_add(bundle, "chain_confirmed", json_object_new_uint64(facts->anchor));
        }
        (void) json_object_object_add(object, "bundle", bundle);
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        if (text)
                (void) printf("%s\n", text);
        (void) json_object_put(object);
        return text ? output_flush() : -ENOMEM;
}

/* ---- the work ---- */

static int add_altered(void *userdata, const struct finding *finding) {
        struct report *report = userdata;

        report->counts.kinds[finding->kind]++;
        return report_add(report, finding);
}

static int compare_sha256(struct report *report, const char *wanted, const char *text) {
        struct finding finding = { .kind = FINDING_ALTERED, .record = "archive", .pid = UINT32_MAX, .uid = UINT32_MAX };

        if (!wanted || strcasecmp(wanted, text) == 0)
                return 0;
        (void) snprintf(finding.text, sizeof(finding.text), "its SHA-256 is not the one that was given: it was changed since that was noted, or is another bundle");
        return add_altered(report, &finding);
}

static bool is_sha256(const char *text) {
        for (const char *at = text; *at != '\0'; at++)
                if (!isxdigit((unsigned char) *at))
                        return false;
        return strlen(text) == SHA256_TEXT;
}

/* 1: it could be checked to the end; 0: it could not, but is known to be altered; -EBADMSG: said */
static int check(const char *path, const char *data, size_t size, struct bundle *bundle, struct report *report, struct bundle_facts *facts) {
        char problem[FINDING_TEXT_MAX] = "";
        int r;

        r = bundle_unpack(data, size, bundle, add_altered, report, problem);
        if (r >= 0)
                r = bundle_check(bundle, report, facts, problem);
        if (r >= 0)
                return 1;
        if (r == -EPROTO)
                return report_problem(report, r, "%.300s was made by a newer upcallctl (format %" PRIu64 "; this one knows up to %d): check it with that", path,
                                      bundle_format(bundle), BUNDLE_FORMAT);
        (void) report_problem(report, r, "the bundle %.300s %s", path, r == -EBADMSG ? problem : strerror(-r));
        return r == -EBADMSG && !report_is_good(report) ? 0 : r;
}

static const char *file_problem(int error) {
        return error == -EFBIG ? "it is larger than any bundle" : strerror(-error);
}

int verify_bundle(const char *path, const char *sha256_wanted, bool json, struct report *report) {
        _cleanup_free_ char *data = NULL;
        struct bundle_facts facts = { 0 };
        struct bundle bundle = { 0 };
        uint8_t digest[SHA256_TEXT / 2];
        char text[SHA256_TEXT + 1];
        size_t size = 0;
        int r;

        if (sha256_wanted && !is_sha256(sha256_wanted))
                return report_problem(report, -EINVAL, "--sha256 wants 64 hexadecimal digits, as evidence export printed them");
        r = read_file(path, &data, &size);
        if (r < 0)
                return report_problem(report, r, "the bundle %.300s cannot be read: %s", path, file_problem(r));
        become_nobody();
        report->ledger = bundle_part_names[BUNDLE_LEDGER];
        report->n_files = 1;
        sha256(data, size, digest);
        bundle_hex(digest, sizeof(digest), text);
        r = compare_sha256(report, sha256_wanted, text);
        if (r >= 0)
                r = check(path, data, size, &bundle, report, &facts);
        if (r >= 0)
                r = (json ? print_json : print_text)(path, text, report, r > 0 ? &facts : NULL);
        bundle_done(&bundle);
        return r;
}
