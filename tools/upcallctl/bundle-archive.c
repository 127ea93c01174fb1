/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "auditing/sha256.h"
#include "tools/upcallctl/bundle.h"
#include "util/cleanup.h"

#define SHA256_SIZE 32
#define MIB ((size_t) 1 << 20)

const char *const bundle_part_names[BUNDLE_PARTS] = {
        [BUNDLE_MANIFEST] = "MANIFEST",
        [BUNDLE_ABOUT] = "bundle.json",
        [BUNDLE_CHAIN] = "chain.jsonl",
        [BUNDLE_HEADS] = "heads.jsonl",
        [BUNDLE_LEDGER] = "ledger.jsonl",
        [BUNDLE_RECORDS] = "records.log",
        [BUNDLE_REPORT] = "report.json",
};

size_t bundle_part_max(enum bundle_part part) {
        static const size_t max[BUNDLE_PARTS] = {
                [BUNDLE_MANIFEST] = MIB, [BUNDLE_ABOUT] = MIB, [BUNDLE_CHAIN] = 128 * MIB, [BUNDLE_HEADS] = 64 * MIB,
                [BUNDLE_LEDGER] = 128 * MIB, [BUNDLE_RECORDS] = 256 * MIB, [BUNDLE_REPORT] = 32 * MIB,
        };

        return max[part];
}

void bundle_done(struct bundle *bundle) {
        for (enum bundle_part part = 0; part < BUNDLE_PARTS; part++)
                free(bundle->parts[part]);
        *bundle = (struct bundle){ 0 };
}

void bundle_hex(const uint8_t *data, size_t size, char *ret_text) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < size; i++) {
                *ret_text++ = digits[data[i] >> 4];
                *ret_text++ = digits[data[i] & 15];
        }
        *ret_text = '\0';
}

/* ---- the manifest ---- */

#define MANIFEST_LINE_MAX (2 * SHA256_SIZE + 32)

/* Its length; as `sha256sum` writes it */
static size_t manifest_line(const struct bundle *bundle, enum bundle_part part, char line[static MANIFEST_LINE_MAX]) {
        uint8_t digest[SHA256_SIZE];
        char text[2 * SHA256_SIZE + 1];

        sha256(bundle->parts[part], bundle->sizes[part], digest);
        bundle_hex(digest, sizeof(digest), text);
        return (size_t) snprintf(line, MANIFEST_LINE_MAX, "%s  %s\n", text, bundle_part_names[part]);
}

static int make_manifest(struct bundle *bundle) {
        char *text = calloc(BUNDLE_PARTS, MANIFEST_LINE_MAX);
        size_t size = 0;

        if (!text)
                return -ENOMEM;
        for (enum bundle_part part = BUNDLE_MANIFEST + 1; part < BUNDLE_PARTS; part++)
                size += manifest_line(bundle, part, text + size);
        free(bundle->parts[BUNDLE_MANIFEST]);
        bundle->parts[BUNDLE_MANIFEST] = text;
        bundle->sizes[BUNDLE_MANIFEST] = size;
        return 0;
}

static struct finding altered(const char *record) {
        return (struct finding){ .kind = FINDING_ALTERED, .record = record, .pid = UINT32_MAX, .uid = UINT32_MAX };
}

static int say(finding_fn fn, void *userdata, const char *record, const char *text) {
        struct finding finding = altered(record);

        (void) snprintf(finding.text, sizeof(finding.text), "%s", text);
        return fn(userdata, &finding);
}

/* Each line stands where its length and those before it put it. 1: it fits; 0: it was said what does not. */
static int check_manifest(const struct bundle *bundle, finding_fn fn, void *userdata) {
        const char *manifest = bundle->parts[BUNDLE_MANIFEST];
        size_t at = 0, left = bundle->sizes[BUNDLE_MANIFEST];
        bool fits = true;
        int r = 0;

        for (enum bundle_part part = BUNDLE_MANIFEST + 1; part < BUNDLE_PARTS && r >= 0; part++) {
                char line[MANIFEST_LINE_MAX];
                size_t length = manifest_line(bundle, part, line);

                if (left < length || memcmp(manifest + at, line, length) != 0) {
                        fits = false;
                        r = say(fn, userdata, bundle_part_names[part], "is not what MANIFEST says of it: one of the two was changed after the export");
                }
                at += length < left ? length : left;
                left -= length < left ? length : left;
        }
        if (r >= 0 && left > 0) {
                fits = false;
                r = say(fn, userdata, bundle_part_names[BUNDLE_MANIFEST], "has more lines than the bundle has parts: it was changed after the export");
        }
        return r < 0 ? r : fits;
}

/* ---- writing ---- */

struct sink {
        FILE *out;      /* where it goes to, or: */
        const char *at; /* what it is compared with */
        size_t left;
        bool differs;
};

static la_ssize_t on_write(struct archive *archive, void *userdata, const void *data, size_t size) {
        struct sink *sink = userdata;

        (void) archive;
        if (sink->out)
                return (la_ssize_t) fwrite(data, 1, size, sink->out);
        if (size > sink->left || memcmp(sink->at, data, size) != 0)
                sink->differs = true;
        else {
                sink->at += size;
                sink->left -= size;
        }
        return (la_ssize_t) size;
}

static int write_part(struct archive *archive, const struct bundle *bundle, enum bundle_part part) {
        struct archive_entry *entry = archive_entry_new();
        bool done;

        if (!entry)
                return -ENOMEM;
        archive_entry_set_pathname(entry, bundle_part_names[part]);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0600);
        archive_entry_set_mtime(entry, 0, 0);
        archive_entry_set_size(entry, (la_int64_t) bundle->sizes[part]);
        done = archive_write_header(archive, entry) == ARCHIVE_OK &&
               archive_write_data(archive, bundle->parts[part], bundle->sizes[part]) == (la_ssize_t) bundle->sizes[part];
        archive_entry_free(entry);
        return done ? 0 : -EIO;
}

static int write_all(const struct bundle *bundle, struct sink *sink) {
        struct archive *archive = archive_write_new();
        int r = 0;

        if (!archive)
                return -ENOMEM;
        /* No blocks of ten KiB: two empty ones of 512 bytes end it */
        if (archive_write_set_format_ustar(archive) != ARCHIVE_OK || archive_write_set_bytes_per_block(archive, 0) != ARCHIVE_OK ||
            archive_write_open(archive, sink, NULL, on_write, NULL) != ARCHIVE_OK)
                r = -EIO;
        for (enum bundle_part part = 0; part < BUNDLE_PARTS && r >= 0; part++)
                r = write_part(archive, bundle, part);
        if (r >= 0 && archive_write_close(archive) != ARCHIVE_OK)
                r = -EIO;
        (void) archive_write_free(archive);
        return r;
}

int bundle_pack(struct bundle *bundle, char **ret_data, size_t *ret_size, enum bundle_part *ret_part) {
        _cleanup_free_ char *data = NULL;
        struct sink sink = { 0 };
        size_t size = 0;
        int r;

        r = make_manifest(bundle);
        if (r < 0)
                return r;
        for (enum bundle_part part = 0; part < BUNDLE_PARTS; part++)
                if (bundle->sizes[part] > bundle_part_max(part)) {
                        *ret_part = part;
                        return -EFBIG;
                }
        sink.out = open_memstream(&data, &size);
        if (!sink.out)
                return -ENOMEM;
        r = write_all(bundle, &sink);
        if (fclose(sink.out) != 0 && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return r;
        *ret_data = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

/* ---- reading ---- */

static enum bundle_part find_part(const char *name) {
        enum bundle_part part = 0;

        while (part < BUNDLE_PARTS && strcmp(bundle_part_names[part], name) != 0)
                part++;
        return part;
}

static int read_data(struct archive *archive, struct bundle *bundle, enum bundle_part part, size_t size) {
        size_t done = 0;

        bundle->parts[part] = malloc(size + 1);
        if (!bundle->parts[part])
                return -ENOMEM;
        while (done < size) {
                la_ssize_t n = archive_read_data(archive, bundle->parts[part] + done, size - done);

                if (n <= 0)
                        return -EIO;
                done += (size_t) n;
        }
        bundle->parts[part][size] = '\0';
        bundle->sizes[part] = size;
        return 0;
}

/* What an archive of ours never has. NULL: nothing of the kind */
static const char *entry_problem(struct archive_entry *entry, const struct bundle *bundle, enum bundle_part part) {
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) || archive_entry_symlink(entry))
                return "has an entry that is no plain file";
        if (part < BUNDLE_PARTS && bundle->parts[part])
                return "has an entry twice";
        if (part < BUNDLE_PARTS && (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0 ||
                                    (uint64_t) archive_entry_size(entry) > bundle_part_max(part)))
                return "has an entry that is larger than any bundle's";
        return NULL;
}

/* unknown: the name of the first entry that no bundle has; a newer format's might */
static int read_entry(struct archive *archive, struct archive_entry *entry, struct bundle *bundle, char unknown[static 64], char *problem) {
        const char *name = archive_entry_pathname(entry) ?: "?", *words;
        enum bundle_part part = find_part(name);

        words = entry_problem(entry, bundle, part);
        if (words) {
                (void) snprintf(problem, FINDING_TEXT_MAX, "%s: %.60s", words, name);
                return -EBADMSG;
        }
        if (part < BUNDLE_PARTS)
                return read_data(archive, bundle, part, (size_t) archive_entry_size(entry));
        if (unknown[0] == '\0')
                (void) snprintf(unknown, 64, "%s", name[0] != '\0' ? name : "?");
        return 0;
}

static int read_entries(struct archive *archive, struct bundle *bundle, char unknown[static 64], char *problem) {
        struct archive_entry *entry;
        int r = 0, code;

        while (r >= 0 && (code = archive_read_next_header(archive, &entry)) == ARCHIVE_OK)
                r = read_entry(archive, entry, bundle, unknown, problem);
        if (r == -EIO || (r >= 0 && code != ARCHIVE_EOF)) {
                (void) snprintf(problem, FINDING_TEXT_MAX, "cannot be read to its end as a tar archive (%.80s): it is none, it was cut, or a header was changed",
                                archive_error_string(archive) ?: "-");
                return -EBADMSG;
        }
        return r;
}

static int read_all(const void *data, size_t size, struct bundle *bundle, char unknown[static 64], char *problem) {
        struct archive *archive = archive_read_new();
        int r;

        if (!archive)
                return -ENOMEM;
        if (archive_read_support_format_tar(archive) != ARCHIVE_OK || archive_read_open_memory(archive, data, size) != ARCHIVE_OK) {
                (void) snprintf(problem, FINDING_TEXT_MAX, "is no tar archive (%.80s)", archive_error_string(archive) ?: "-");
                r = -EBADMSG;
        } else
                r = read_entries(archive, bundle, unknown, problem);
        (void) archive_read_free(archive);
        return r;
}

/* A number that was changed by hand does not make it a newer one */
static bool is_newer(const struct bundle *bundle) {
        char line[MANIFEST_LINE_MAX];
        size_t length;

        if (!bundle->parts[BUNDLE_MANIFEST] || !bundle->parts[BUNDLE_ABOUT] || bundle_format(bundle) <= BUNDLE_FORMAT)
                return false;
        length = manifest_line(bundle, BUNDLE_ABOUT, line);
        return memmem(bundle->parts[BUNDLE_MANIFEST], bundle->sizes[BUNDLE_MANIFEST], line, length) != NULL;
}

static int check_parts(const struct bundle *bundle, const char *unknown, char *problem) {
        if (unknown[0] != '\0') {
                (void) snprintf(problem, FINDING_TEXT_MAX, "has an entry that no bundle has: %s", unknown);
                return -EBADMSG;
        }
        for (enum bundle_part part = 0; part < BUNDLE_PARTS; part++)
                if (!bundle->parts[part]) {
                        (void) snprintf(problem, FINDING_TEXT_MAX, "has no %s: it is another program's, or was cut", bundle_part_names[part]);
                        return -EBADMSG;
                }
        return 0;
}

static int check_form(const struct bundle *bundle, const void *data, size_t size, finding_fn fn, void *userdata) {
        struct sink sink = { .at = data, .left = size };
        int r;

        r = write_all(bundle, &sink);
        if (r < 0 || (!sink.differs && sink.left == 0))
                return r;
        return say(fn, userdata, "archive", "its parts are as they were exported, but not the bytes around them: headers, padding or the end were changed");
}

int bundle_unpack(const void *data, size_t size, struct bundle *bundle, finding_fn fn, void *userdata, char problem[static FINDING_TEXT_MAX]) {
        char unknown[64] = "";
        int r;

        r = read_all(data, size, bundle, unknown, problem);
        if (r < 0)
                return r;
        if (is_newer(bundle))
                return -EPROTO;
        r = check_parts(bundle, unknown, problem);
        if (r >= 0)
                r = check_manifest(bundle, fn, userdata);
        if (r > 0)
                r = check_form(bundle, data, size, fn, userdata);
        return r < 0 ? r : 0;
}
