/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A registry whose writer is killed, whose disk is full or read-only, whose file is damaged. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/registry-fixture.h"

/* Adversity */

static void write_until_killed(const struct fixture *fixture, int fd) {
        Registry *registry = NULL;
        int r = registry_open(fixture->path, &registry);

        for (uint8_t i = 1; r >= 0; i++) {
                struct registry_container container = sample((uint8_t) (i % 200 + 1));
                struct ledger_row row = sample_row(i);
                int64_t said[2] = {};
                char name[16];

                if (i <= 20) {
                        (void) snprintf(name, sizeof(name), "c%d", i);
                        container.name = name;
                        r = registry_add_container(registry, &container);
                        said[1] = container.id;
                }
                if (r >= 0)
                        r = registry_ledger_open(registry, &row);
                said[0] = row.seqno;
                if (i == 255)
                        i = 100;
                if (r >= 0 && write(fd, said, sizeof(said)) != sizeof(said))
                        break;
        }
        _exit(1);
}

static void test_a_writer_that_is_killed_loses_nothing_it_acknowledged(void **state) {
        struct fixture *fixture = *state;
        int64_t said[2], last = 0, last_container = 0;

        for (int round = 0; round < 5; round++) {
                int fds[2], status, n_want = 50 + round * 400, n = 0;
                int64_t first = last;
                pid_t pid;

                fixture->registry = registry_close(fixture->registry);
                (void) unlink(fixture->path);
                first = last = last_container = 0;
                assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        (void) close(fds[0]);
                        write_until_killed(fixture, fds[1]);
                }
                (void) close(fds[1]);
                while (read(fds[0], said, sizeof(said)) == sizeof(said)) {
                        assert_int_equal(said[0], last + 1);
                        last = said[0];
                        if (said[1] > 0)
                                last_container = said[1];
                        if (++n == n_want)
                                assert_int_equal(kill(pid, SIGKILL), 0);
                }
                (void) close(fds[0]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                assert_true(n >= n_want);

                (void) reopen(fixture);
                assert_true(containers(fixture->registry, true) >= last_container);
                assert_true(unfinished(fixture->registry) >= last - first);
                assert_true(ledger_open(fixture->registry, 1) > last);
        }
}

static void damage(const struct fixture *fixture, long offset, size_t size, unsigned seed) {
        FILE *file = fopen(fixture->path, "r+e");

        assert_non_null(file);
        assert_int_equal(fseek(file, offset, SEEK_SET), 0);
        for (size_t i = 0; i < size; i++) {
                seed = seed * 1103515245u + 12345u;
                assert_true(fputc((int) (seed >> 16 & 0xff), file) != EOF);
        }
        assert_int_equal(fclose(file), 0);
}

static void fill(Registry *registry) {
        int64_t agent;

        for (uint8_t i = 1; i <= 30; i++) {
                char name[16];
                int64_t id;

                (void) snprintf(name, sizeof(name), "c%d", i);
                id = add_container(registry, i, name);
                agent = add_agent(registry, id, "a");
                (void) add_route(registry, id, agent);
                (void) ledger_open(registry, i);
                assert_int_equal(registry_spool_add(registry, &(struct registry_spooled){ .time = i, .seqno = i, .kind = EVIDENCE_DISPATCH,
                        .record = { .type = 2500, .text = "op=upcall-dispatch retry=0", .hostname = "web", .terminal = "a" } }), 0);
        }
}

static int count_spooled(void *userdata, const struct registry_spooled *row _unused_) {
        return (*(int *) userdata)++, 0;
}

static int use_spool(Registry *registry, int worst) {
        struct registry_gap gap;
        uint64_t records, bytes;
        int n = 0, r;

        r = registry_spool_size(registry, &records, &bytes);
        worst = r < worst ? r : worst;
        r = registry_spool_each(registry, 1000, count_spooled, &n);
        worst = r < worst ? r : worst;
        r = registry_gap_read(registry, &gap);
        worst = r < worst ? r : worst;
        for (int64_t seqno = 1; seqno <= 30; seqno++) {
                r = registry_spool_has(registry, seqno, EVIDENCE_DISPATCH);
                worst = r < worst ? r : worst;
        }
        return worst;
}

static int count_affinity(void *userdata, const struct affinity_entry *row _unused_) {
        ++*(int *) userdata;
        return 0;
}

static int count_run(void *userdata, const struct registry_run *row _unused_) {
        ++*(int *) userdata;
        return 0;
}

/* Who acts for whom; whatever is read, is written again */
static int use_acting(Registry *registry, int worst) {
        static const uint8_t boot[16] = { 7 };
        const struct affinity_entry entry = { .subject = { .server = "fs", .family = 2 }, .owner = AFFINITY_HOST };
        int n = 0, r;

        r = registry_each_affinity(registry, boot, count_affinity, &n);
        worst = r < worst ? r : worst;
        r = registry_set_affinity(registry, boot, &entry);
        worst = r < worst ? r : worst;
        r = registry_each_run(registry, boot, count_run, &n);
        return r < worst ? r : worst;
}

/* Everything that may be asked of a registry; whatever it answers is right, as long as it answers. */
static int use_everything(Registry *registry) {
        struct registry_container container = sample(200);
        struct ledger_row row = sample_row(200);
        int n = 0, worst = 0, r;

        container.name = "new";
        r = registry_each_container(registry, true, count_container, &n);
        worst = r < worst ? r : worst;
        r = registry_each_agent(registry, 0, count_agent, &n);
        worst = r < worst ? r : worst;
        r = registry_each_route(registry, 0, count_route, &n);
        worst = r < worst ? r : worst;
        r = registry_ledger_each_unfinished(registry, count_row, &n);
        worst = r < worst ? r : worst;
        r = registry_add_container(registry, &container);
        worst = r < worst ? r : worst;
        r = registry_ledger_open(registry, &row);
        worst = r < worst ? r : worst;
        if (row.seqno > 0)
                (void) registry_ledger_gap(registry, row.seqno, "x");
        return use_spool(registry, use_acting(registry, worst));
}

static void test_a_damaged_file_is_said_and_never_crashes(void **state) {
        struct fixture *fixture = *state;
        struct stat st;
        const long page_size = 1024; /* registry-file.c */
        int n_refused = 0, n_pages;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        n_pages = (int) (st.st_size / page_size);
        assert_true(n_pages > 10);
        for (int page = 0; page < n_pages; page++) {
                Registry *registry = NULL;
                int r;

                (void) unlink(fixture->path);
                fill(reopen(fixture));
                fixture->registry = registry_close(fixture->registry);
                damage(fixture, page * page_size, (size_t) page_size, (unsigned) page + 1);
                r = registry_open(fixture->path, &registry);
                if (r >= 0)
                        r = use_everything(registry);
                registry = registry_close(registry);
                if (r < 0) {
                        assert_int_equal(r, -EUCLEAN);
                        n_refused++;
                }
        }
        assert_true(n_refused >= n_pages - 2); /* a page that is not in use may be anything */
}

static void test_small_damage_never_crashes(void **state) {
        struct fixture *fixture = *state;
        char *good = NULL;
        struct stat st;
        FILE *file;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        good = malloc((size_t) st.st_size);
        file = fopen(fixture->path, "re");
        assert_true(good && file);
        assert_int_equal(fread(good, 1, (size_t) st.st_size, file), st.st_size);
        assert_int_equal(fclose(file), 0);
        for (unsigned round = 0; round < 300; round++) {
                Registry *registry = NULL;
                char path[256];
                int r;

                for (size_t i = 1; i < ELEMENTS(suffixes); i++) {
                        fixture_path(fixture, i, path, sizeof(path));
                        (void) unlink(path);
                }
                file = fopen(fixture->path, "we");
                assert_non_null(file);
                assert_int_equal(fwrite(good, 1, (size_t) st.st_size, file), st.st_size);
                assert_int_equal(fclose(file), 0);
                damage(fixture, (long) (round * 7919u % (unsigned) (st.st_size - 8)), 8, round + 1);
                r = registry_open(fixture->path, &registry);
                if (r >= 0)
                        r = use_everything(registry);
                registry = registry_close(registry);
                /* Refused as damaged, or as somebody else's or a newer one where the header was hit; or not noticed, in free space */
                if (r < 0 && r != -EUCLEAN && r != -EPROTO && r != -EMEDIUMTYPE && r != -EIO && r != -EINVAL && r != -EROFS && r != -EEXIST)
                        fail_msg("round %u: %d", round, r);
        }
        free(good);
}

static void test_a_truncated_file_is_said(void **state) {
        struct fixture *fixture = *state;
        struct stat st;

        fill(reopen(fixture));
        fixture->registry = registry_close(fixture->registry);
        assert_int_equal(stat(fixture->path, &st), 0);
        assert_int_equal(truncate(fixture->path, st.st_size / 2), 0);
        assert_int_equal(open_fails(fixture), -EUCLEAN);
        assert_int_equal(truncate(fixture->path, 50), 0);
        assert_int_equal(open_fails(fixture), -EUCLEAN);
}

/* In a child with mounts of its own: a folder with a small tmpfs. What fails there is told by the exit status. */
static void in_small_file_system(struct fixture *fixture, const char *options, int (*check)(struct fixture *fixture)) {
        int status, r;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("tmpfs", fixture->folder, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
                        _exit(77);
                r = check(fixture);
                if (r != 0)
                        (void) fprintf(stderr, "line %d: %s\n", r, registry_error(fixture->registry));
                _exit(r == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(condition)               \
        do {                            \
                if (!(condition))       \
                        return __LINE__; \
        } while (false)

static int fill_disk(const struct fixture *fixture, const char *path) {
        static const char block[4096];
        int fd, n = 0;

        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        while (write(fd, block, sizeof(block)) > 0)
                n++;
        (void) close(fd);
        (void) fixture;
        return n;
}

static int check_full_disk(struct fixture *fixture) {
        struct registry_container container = sample(50);
        struct ledger_row row = sample_row(1);
        char ballast[256];
        int n_full = 0, r = 0;

        (void) snprintf(ballast, sizeof(ballast), "%s/ballast", fixture->folder);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(registry_ledger_open(fixture->registry, &row) == 0);
        EXPECT(fill_disk(fixture, ballast) > 0);
        for (int i = 0; i < 1000 && n_full < 20; i++) {
                row.description_size = 0;
                row.description = NULL;
                r = registry_ledger_open(fixture->registry, &row);
                EXPECT(r == 0 || r == -ENOSPC);
                n_full += r == -ENOSPC;
        }
        EXPECT(n_full == 20);
        EXPECT(strstr(registry_error(fixture->registry), "disk is full"));
        EXPECT(registry_add_container(fixture->registry, &container) == -ENOSPC);
        EXPECT(registry_contid_taken(fixture->registry, container.contid) == 0); /* still answers from what it knows */
        EXPECT(unlink(ballast) == 0);
        EXPECT(registry_ledger_open(fixture->registry, &row) == 0);
        EXPECT(registry_add_container(fixture->registry, &container) == 0);
        r = unfinished(fixture->registry);
        fixture->registry = registry_close(fixture->registry);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(unfinished(fixture->registry) == r);
        EXPECT(containers(fixture->registry, true) == 1);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_full_disk_is_said_and_survived(void **state) {
        in_small_file_system(*state, "size=1m", check_full_disk);
}

static int check_no_room_at_start(struct fixture *fixture) {
        char ballast[256];

        (void) snprintf(ballast, sizeof(ballast), "%s/ballast", fixture->folder);
        EXPECT(fill_disk(fixture, ballast) > 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == -ENOSPC);
        EXPECT(unlink(ballast) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_full_disk_at_the_first_start_is_said_and_leaves_nothing_half_made(void **state) {
        in_small_file_system(*state, "size=1m", check_no_room_at_start);
}

static int check_read_only(struct fixture *fixture) {
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        (void) add_container(fixture->registry, 1, "web");
        fixture->registry = registry_close(fixture->registry);
        EXPECT(mount("none", fixture->folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == -EROFS);
        EXPECT(mount("none", fixture->folder, "tmpfs", MS_REMOUNT, NULL) == 0);
        EXPECT(registry_open(fixture->path, &fixture->registry) == 0);
        EXPECT(containers(fixture->registry, true) == 1);
        fixture->registry = registry_close(fixture->registry);
        return 0;
}

static void test_a_read_only_file_system_is_said(void **state) {
        in_small_file_system(*state, "size=4m", check_read_only);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_writer_that_is_killed_loses_nothing_it_acknowledged),
                TEST(test_a_damaged_file_is_said_and_never_crashes),
                TEST(test_small_damage_never_crashes),
                TEST(test_a_truncated_file_is_said),
                TEST(test_a_full_disk_is_said_and_survived),
                TEST(test_a_full_disk_at_the_first_start_is_said_and_leaves_nothing_half_made),
                TEST(test_a_read_only_file_system_is_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
