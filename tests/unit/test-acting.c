/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is acted for? Kernel threads, and processes of the host that act for a container (upcallctl run): attribution, the descriptions that name a server
 * and a user, and what is remembered of who asked for them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/affinity.h"
#include "broker/attribution.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

#define DEVICE 4

/* ---- attribution: web owns pid namespace 10; db, in it, 11; one is told apart by cgroup 5 alone; a run for web in cgroup 7, one that has ended in 8 ---- */

enum {
        WEB,
        DB,
        ONE,
        ENTRIES,
};

struct world {
        struct attribution_entry entries[ENTRIES];
        struct attribution_run run, ended;
        AttributionIndex *index;
};

static struct namespace_id ns(uint64_t inode) {
        return (struct namespace_id){ DEVICE, inode };
}

static int set_up(void **state) {
        struct world *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        world->index = attribution_index_new();
        assert_non_null(world->index);
        world->entries[WEB] = (struct attribution_entry){ .pid_ns = ns(10), .user_ns = ns(PROCESS_INIT_USER_NS), .owns_pid_ns = true };
        world->entries[DB] = (struct attribution_entry){ .parent = &world->entries[WEB], .pid_ns = ns(11), .user_ns = ns(PROCESS_INIT_USER_NS),
                                                         .owns_pid_ns = true };
        world->entries[ONE] = (struct attribution_entry){ .pid_ns = ns(PROCESS_INIT_PID_NS), .user_ns = ns(PROCESS_INIT_USER_NS), .cgroup = 5 };
        for (size_t i = 0; i < ENTRIES; i++)
                assert_int_equal(attribution_index_add(world->index, &world->entries[i]), 0);
        world->run = (struct attribution_run){ .cgroup = 7, .entry = &world->entries[WEB] };
        world->ended = (struct attribution_run){ .cgroup = 8 };
        assert_int_equal(attribution_index_add_run(world->index, &world->run), 0);
        assert_int_equal(attribution_index_add_run(world->index, &world->ended), 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        struct world *world = *state;

        attribution_index_free(world->index);
        free(world);
        return 0;
}

struct caller_case {
        uint64_t pid_ns[3], user_ns[2]; /* without the initial ones */
        uint64_t cgroups[4];
        const char *path; /* NULL: "/x" with cgroups, "/" without */
        bool kernel_thread;
        enum attribution_verdict verdict;
        int entry; /* CONTAINER */
        uint32_t found;
        const char *what;
};

static void set_chain(struct namespace_chain *chain, const uint64_t *inodes, size_t max, uint64_t initial) {
        size_t n = 0;

        for (; n < max && inodes[n] != 0; n++)
                chain->ids[n] = ns(inodes[n]);
        chain->ids[n++] = ns(initial);
        chain->n_values = 2 * n;
}

static struct attribution attribute(const struct world *world, const struct caller_case *c) {
        struct process_facts facts = { .kernel_thread = c->kernel_thread };

        set_chain(&facts.pid_ns, c->pid_ns, ELEMENTS(c->pid_ns), PROCESS_INIT_PID_NS);
        set_chain(&facts.user_ns, c->user_ns, ELEMENTS(c->user_ns), PROCESS_INIT_USER_NS);
        while (facts.n_cgroups < ELEMENTS(c->cgroups) && c->cgroups[facts.n_cgroups] != 0) {
                facts.cgroups[facts.n_cgroups] = c->cgroups[facts.n_cgroups];
                facts.n_cgroups++;
        }
        (void) snprintf(facts.cgroup_path, sizeof(facts.cgroup_path), "%s", c->path ? c->path : facts.n_cgroups > 0 ? "/x" : "/");
        return attribution_find(world->index, &facts);
}

#define CONTAINER_(which, how) .verdict = ATTRIBUTION_CONTAINER, .entry = which, .found = UPCALL_FOUND_##how
#define VERDICT(word) .verdict = ATTRIBUTION_##word

static const struct caller_case callers[] = {
        { VERDICT(HOST), .what = "nowhere" },
        { .cgroups = { 1, 2 }, VERDICT(HOST), .what = "in others' cgroups" },
        /* kernel threads, whatever else is said of them */
        { .kernel_thread = true, VERDICT(KERNEL_THREAD), .what = "a kernel thread" },
        { .kernel_thread = true, .cgroups = { 7 }, VERDICT(KERNEL_THREAD), .what = "a kernel thread in a run's cgroup" },
        { .kernel_thread = true, .cgroups = { 5 }, VERDICT(KERNEL_THREAD), .what = "a kernel thread in a container's cgroup (vhost, before 6.4)" },
        { .kernel_thread = true, .pid_ns = { 10 }, VERDICT(KERNEL_THREAD), .what = "a kernel thread in a container's namespace" },
        { .kernel_thread = true, .path = "", VERDICT(KERNEL_THREAD), .what = "a kernel thread whose cgroup is not known" },
        /* who acts for a container */
        { .cgroups = { 7 }, CONTAINER_(WEB, RUN_FOR), .what = "in the run's cgroup" },
        { .cgroups = { 9, 7 }, CONTAINER_(WEB, RUN_FOR), .what = "below it" },
        { .cgroups = { 9, 7, 3 }, CONTAINER_(WEB, RUN_FOR), .what = "below it, and it below another" },
        { .cgroups = { 7 }, .pid_ns = { 10 }, CONTAINER_(WEB, PIDNS), .what = "gone on into the container" },
        { .cgroups = { 7 }, .pid_ns = { 12, 10 }, CONTAINER_(WEB, PIDNS), .what = "deeper in the container" },
        { .cgroups = { 7 }, .pid_ns = { 11, 10 }, CONTAINER_(DB, PIDNS), .what = "gone on into one that lies in it" },
        { .cgroups = { 7 }, .pid_ns = { 12 }, VERDICT(AMBIGUOUS), .what = "in a pid namespace that nobody registered" },
        { .cgroups = { 7 }, .user_ns = { 20 }, VERDICT(AMBIGUOUS), .what = "in a user namespace that nobody registered" },
        { .cgroups = { 7 }, .pid_ns = { 12 }, .user_ns = { 20 }, VERDICT(AMBIGUOUS), .what = "in both" },
        { .cgroups = { 7, 5 }, CONTAINER_(WEB, RUN_FOR), .what = "the nearest cgroup counts: the run's" },
        { .cgroups = { 5, 7 }, CONTAINER_(ONE, CGROUP), .what = "the nearest cgroup counts: the container's" },
        { .path = "", VERDICT(AMBIGUOUS), .what = "whose cgroup is not known may be in a run" },
        { .path = "/gone (deleted)", VERDICT(AMBIGUOUS), .what = "the same" },
        /* for one that has ended */
        { .cgroups = { 8 }, VERDICT(RUN_ENDED), .what = "for one that has ended: not the host" },
        { .cgroups = { 9, 8 }, VERDICT(RUN_ENDED), .what = "below it" },
        { .cgroups = { 8 }, .pid_ns = { 12 }, VERDICT(AMBIGUOUS), .what = "for one that has ended, in a namespace" },
        { .cgroups = { 8 }, .pid_ns = { 10 }, VERDICT(AMBIGUOUS), .what = "for one that has ended, gone on into another" },
        { .cgroups = { 8, 7 }, VERDICT(RUN_ENDED), .what = "a run within a run: the nearest" },
};

static void test_who_is_acted_for(void **state) {
        const struct world *world = *state;

        for (size_t i = 0; i < ELEMENTS(callers); i++) {
                const struct caller_case *c = &callers[i];
                struct attribution got = attribute(world, c);
                const struct attribution_entry *entry = c->verdict == ATTRIBUTION_CONTAINER ? &world->entries[c->entry] : NULL;
                bool by_run = c->found == UPCALL_FOUND_RUN_FOR || c->verdict == ATTRIBUTION_RUN_ENDED;

                if (got.verdict != c->verdict || got.entry != entry || got.found != c->found || (got.run != NULL) != by_run)
                        fail_msg("%s: verdict %d, found %u", c->what, (int) got.verdict, got.found);
        }
}

static void test_cgroup_of_a_run_is_nobody_elses(void **state) {
        struct world *world = *state;
        struct attribution_run same = { .cgroup = 7 }, containers = { .cgroup = 5 }, none = { .cgroup = 0 };
        struct attribution_entry entry = { .pid_ns = ns(PROCESS_INIT_PID_NS), .user_ns = ns(PROCESS_INIT_USER_NS), .cgroup = 7 };

        assert_int_equal(attribution_index_add_run(world->index, &same), -EEXIST);
        assert_int_equal(attribution_index_add_run(world->index, &containers), -EEXIST);
        assert_int_equal(attribution_index_add_run(world->index, &none), -EINVAL);
        assert_int_equal(attribution_index_add(world->index, &entry), -EEXIST);
        attribution_index_remove_run(world->index, &world->run);
        attribution_index_remove_run(world->index, &world->run); /* is not there: nothing */
        assert_int_equal(attribute(world, &(struct caller_case){ .cgroups = { 7 } }).verdict, ATTRIBUTION_HOST);
        assert_int_equal(attribute(world, &(struct caller_case){ .cgroups = { 8 } }).verdict, ATTRIBUTION_RUN_ENDED);
        assert_int_equal(attribution_index_add_run(world->index, &same), 0);
}

/* Where no container hangs on its cgroup a run still does */
static void test_unknown_cgroup_may_be_a_runs(void **state) {
        struct world *world = *state;
        const struct caller_case hidden = { .path = "" };

        attribution_index_remove(world->index, &world->entries[ONE]);
        assert_int_equal(attribute(world, &hidden).verdict, ATTRIBUTION_AMBIGUOUS);
        attribution_index_remove_run(world->index, &world->run);
        assert_int_equal(attribute(world, &hidden).verdict, ATTRIBUTION_AMBIGUOUS);
        attribution_index_remove_run(world->index, &world->ended);
        assert_int_equal(attribute(world, &hidden).verdict, ATTRIBUTION_HOST);
}

static void test_many_runs(void **state) {
        struct world *world = *state;
        struct attribution_run runs[100];

        for (size_t i = 0; i < ELEMENTS(runs); i++) {
                runs[i] = (struct attribution_run){ .cgroup = 1000 + i, .entry = &world->entries[WEB] };
                assert_int_equal(attribution_index_add_run(world->index, &runs[i]), 0);
        }
        for (size_t i = 0; i < ELEMENTS(runs); i += 2)
                attribution_index_remove_run(world->index, &runs[i]);
        for (size_t i = 0; i < ELEMENTS(runs); i++)
                assert_int_equal(attribute(world, &(struct caller_case){ .cgroups = { 1000 + i } }).verdict,
                                 i % 2 == 0 ? ATTRIBUTION_HOST : ATTRIBUTION_CONTAINER);
}

/* ---- descriptions ---- */

#define FS "ver=0x2;host=fs1.example;ip4=192.0.2.1;sec=krb5;uid=0x3e8;creduid=0x3e9"

static const struct {
        const char *type, *description;
        int result;
        const char *server, *address;
        uint32_t creduid;
} descriptions[] = {
        { "cifs.spnego", FS ";user=alice;pid=0x5a0;upcall_target=app", 0, "fs1.example", "192.0.2.1", 0x3e9 },
        { "cifs.spnego", FS ";user=alice;pid=0x5a0;upcall_target=mount", 0, "fs1.example", "192.0.2.1", 0x3e9 },
        { "cifs.spnego", FS ";user=alice;pid=0x5a0", 0, "fs1.example", "192.0.2.1", 0x3e9 },
        { "cifs.spnego", FS ";pid=0x5a0", 0, "fs1.example", "192.0.2.1", 0x3e9 },
        { "cifs.spnego", "ver=0x2;host=FS1.Example;ip4=192.0.2.1;sec=mskrb5;uid=0x0;creduid=0x0;pid=0x1", 0, "fs1.example", "192.0.2.1", 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip6=fe80:0000:0000:0000:0000:0000:0000:0001;sec=krb5;uid=0x0;creduid=0xffffffff;pid=0x1", 0, "a", "fe80::1",
          0xffffffff },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;user=a=b,c\\d@E;pid=0x1", 0, "a", "192.0.2.1", 0 },
        /* other types name no user */
        { "dns_resolver", "fs1.example", -EOPNOTSUPP, NULL, NULL, 0 },
        { "id_resolver", "uid:alice@example", -EOPNOTSUPP, NULL, NULL, 0 },
        { "cifs.idmap", "os:S-1-5-21", -EOPNOTSUPP, NULL, NULL, 0 },
        { "user", FS ";pid=0x1", -EOPNOTSUPP, NULL, NULL, 0 },
        { "cifs.spnegox", FS ";pid=0x1", -EOPNOTSUPP, NULL, NULL, 0 },
        { "", "", -EOPNOTSUPP, NULL, NULL, 0 },
        /* not from the kernel's hand */
        { "cifs.spnego", "", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS, -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x123456789", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x05", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5A", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=5", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5 ", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5;", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5;upcall_target=", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5;upcall_target=host", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";pid=0x5;upcall_target=app;x=y", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";user=;pid=0x5", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", " " FS ";pid=0x5", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=fe80::1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip6=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=krb5;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=krb5;uid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=1000;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x100000000;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a b;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a\n;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=a\xff;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG, NULL, NULL, 0 },
        /* a mounter that writes more than a name into the server's, or the user's: the kernel's own words come behind it */
        { "cifs.spnego", "ver=0x2;host=b;ip4=192.0.2.9;sec=krb5;uid=0x0;creduid=0x1;pid=0x1;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG,
          NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=b;ip4=192.0.2.9;sec=krb5;uid=0x0;creduid=0x1;user=x;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", -EBADMSG,
          NULL, NULL, 0 },
        { "cifs.spnego", "ver=0x2;host=b;ip4=192.0.2.9;sec=krb5;uid=0x0;creduid=0x1;pid=0x1;upcall_target=app;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;"
                         "pid=0x1;upcall_target=app", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";user=x;pid=0x1;pid=0x5", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";user=x;creduid=0x0;pid=0x5", -EBADMSG, NULL, NULL, 0 },
        { "cifs.spnego", FS ";creduid=0x0;pid=0x5", -EBADMSG, NULL, NULL, 0 },
};

static void test_descriptions(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTS(descriptions); i++) {
                struct affinity_subject subject = { .creduid = 7 };
                uint8_t address[16] = { 0 };

                if (affinity_parse(descriptions[i].type, descriptions[i].description, &subject) != descriptions[i].result)
                        fail_msg("%s %s", descriptions[i].type, descriptions[i].description);
                if (descriptions[i].result < 0) {
                        assert_int_equal(subject.creduid, 7);
                        continue;
                }
                assert_string_equal(subject.server, descriptions[i].server);
                assert_int_equal(subject.creduid, descriptions[i].creduid);
                assert_int_equal(inet_pton(subject.family, descriptions[i].address, address), 1);
                assert_memory_equal(subject.address, address, sizeof(address));
        }
}

static void test_long_words(void **state _unused_) {
        char description[1024], word[300];
        struct affinity_subject subject;

        for (size_t length = 254; length < 258; length++) {
                memset(word, 'a', length);
                word[length] = '\0';
                (void) snprintf(description, sizeof(description), "ver=0x2;host=%s;ip4=192.0.2.1;sec=krb5;uid=0x0;creduid=0x0;pid=0x1", word);
                assert_int_equal(affinity_parse("cifs.spnego", description, &subject), length <= AFFINITY_SERVER_MAX ? 0 : -EBADMSG);
                (void) snprintf(description, sizeof(description), FS ";user=%s;pid=0x1", word);
                assert_int_equal(affinity_parse("cifs.spnego", description, &subject), length <= AFFINITY_USER_MAX ? 0 : -EBADMSG);
        }
}

/* ---- who asked ---- */

/* "fs1 192.0.2.1 0 A": server, address, user, and A to Z for containers, - for the host, ? for somebody */
static struct affinity_entry entry_of(const char *text) {
        struct affinity_entry entry = { .owner = AFFINITY_SEVERAL };
        char address[64], owner;

        assert_int_equal(sscanf(text, "%255s %63s %" SCNu32 " %c", entry.subject.server, address, &entry.subject.creduid, &owner), 4);
        entry.subject.family = strchr(address, ':') ? AF_INET6 : AF_INET;
        assert_int_equal(inet_pton(entry.subject.family, address, entry.subject.address), 1);
        if (owner == '-')
                entry.owner = AFFINITY_HOST;
        if (owner >= 'A' && owner <= 'Z') {
                entry.owner = AFFINITY_CONTAINER;
                entry.contid[0] = (uint8_t) owner;
        }
        return entry;
}

static const struct {
        const char *asked[5], *thread; /* with the expected answer: ! for several, 0 for nobody */
} memories[] = {
        { { NULL }, "fs1 192.0.2.1 0 0" },
        { { "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 A" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 A" },
        { { "fs1 192.0.2.1 0 -" }, "fs1 192.0.2.1 0 -" },
        /* two could be meant */
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 B" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 -" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 -", "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 B", "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 0 ?" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 ?" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 ?", "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 !" },
        /* by another name, or at another address */
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.2 0 B" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.2 0 B" }, "fs1 192.0.2.2 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs2 192.0.2.1 0 B" }, "fs1 192.0.2.1 0 !" },
        { { "fs1 192.0.2.1 0 A", "fs2 192.0.2.1 0 A" }, "fs1 192.0.2.1 0 A" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.2 0 A" }, "fs1 192.0.2.2 0 A" },
        { { "fs1 192.0.2.1 0 A" }, "fs1 192.0.2.2 0 0" },
        { { "fs1 192.0.2.1 0 A" }, "fs2 192.0.2.1 0 0" },
        { { "fs1 192.0.2.1 0 A", "fs2 192.0.2.2 0 B" }, "fs1 192.0.2.2 0 0" },
        { { "fs1 2001:db8::1 0 A", "fs1 192.0.2.1 0 A" }, "fs1 2001:db8::1 0 A" },
        { { "fs1 2001:db8::1 0 A", "fs1 192.0.2.1 0 B" }, "fs1 2001:db8::1 0 !" },
        /* another user, or another server */
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 1 B" }, "fs1 192.0.2.1 0 A" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 1 B" }, "fs1 192.0.2.1 1 B" },
        { { "fs1 192.0.2.1 0 A", "fs1 192.0.2.1 1 B" }, "fs1 192.0.2.1 2 0" },
        { { "fs1 192.0.2.1 0 A", "fs2 192.0.2.2 0 B" }, "fs2 192.0.2.2 0 B" },
};

static void test_who_alone_can_be_meant(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTS(memories); i++) {
                _cleanup_(affinity_freep) Affinity *affinity = affinity_new();
                const char expected = memories[i].thread[strlen(memories[i].thread) - 1];
                struct affinity_entry thread = entry_of(memories[i].thread), saved;
                uint8_t contid[16] = { 0 };
                enum affinity_owner owner;

                assert_non_null(affinity);
                for (size_t j = 0; j < ELEMENTS(memories[i].asked) && memories[i].asked[j]; j++) {
                        struct affinity_entry asked = entry_of(memories[i].asked[j]);

                        assert_true(affinity_learn(affinity, &asked, &saved) >= 0);
                }
                owner = affinity_find(affinity, &thread.subject, contid);
                if (expected == '0' ? owner != AFFINITY_NOBODY : expected == '!' ? owner != AFFINITY_SEVERAL :
                    owner != thread.owner || (owner == AFFINITY_CONTAINER && contid[0] != (uint8_t) expected))
                        fail_msg("case %zu: %s: %d", i, memories[i].thread, (int) owner);
        }
}

static void test_only_what_is_new_is_to_be_saved(void **state _unused_) {
        _cleanup_(affinity_freep) Affinity *affinity = affinity_new();
        struct affinity_entry a = entry_of("fs1 192.0.2.1 0 A"), b = entry_of("fs1 192.0.2.1 0 B"), saved;

        assert_int_equal(affinity_learn(affinity, &a, &saved), 1);
        assert_int_equal(saved.owner, AFFINITY_CONTAINER);
        assert_int_equal(affinity_learn(affinity, &a, &saved), 0);
        assert_int_equal(affinity_learn(affinity, &b, &saved), 1);
        assert_int_equal(saved.owner, AFFINITY_SEVERAL);
        assert_int_equal(saved.contid[0], 0);
        assert_int_equal(affinity_learn(affinity, &a, &saved), 0);
        assert_int_equal(affinity_learn(affinity, &b, &saved), 0);
}

/* What does not fit in could be whose it is */
static void test_full_memory_means_nobody(void **state _unused_) {
        _cleanup_(affinity_freep) Affinity *affinity = affinity_new();
        struct affinity_entry asked = entry_of("fs1 192.0.2.1 0 A"), saved;
        struct affinity_subject first = asked.subject;
        uint8_t contid[16];

        for (uint32_t n = 0; n < AFFINITY_ENTRIES_MAX - 1; n++) {
                asked.subject.creduid = n;
                assert_int_equal(affinity_learn(affinity, &asked, &saved), 1);
        }
        assert_int_equal(affinity_learn(affinity, &asked, &saved), 0);
        assert_int_equal(affinity_find(affinity, &first, contid), AFFINITY_CONTAINER);
        /* the last one is full: as it is after a restart, when nobody knows of those that found no room */
        asked.subject.creduid = AFFINITY_ENTRIES_MAX;
        assert_int_equal(affinity_learn(affinity, &asked, &saved), 1);
        assert_int_equal(affinity_find(affinity, &first, contid), AFFINITY_FULL);
        asked.subject.creduid++;
        assert_int_equal(affinity_learn(affinity, &asked, &saved), -ENOSPC);
        assert_int_equal(affinity_find(affinity, &first, contid), AFFINITY_FULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_who_is_acted_for, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cgroup_of_a_run_is_nobody_elses, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_unknown_cgroup_may_be_a_runs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many_runs, set_up, tear_down),
                cmocka_unit_test(test_descriptions),
                cmocka_unit_test(test_long_words),
                cmocka_unit_test(test_who_alone_can_be_meant),
                cmocka_unit_test(test_only_what_is_new_is_to_be_saved),
                cmocka_unit_test(test_full_memory_means_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
