/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is the caller? Worlds and callers in a small notation:
 *
 *   world    NAME[<PARENT]:PIDNS,USERNS,CGROUP …   "=" for a namespace: the parent's (or the host's); "-" for the cgroup: none of its own
 *   caller   "p10.11 u20 c1.2": chains, its own first, without the initial namespaces, which every chain ends with, and without the
 *            root of the cgroups
 *   expected NAME/pidns, NAME/cgroup, host, unregistered, ambiguous
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/attribution.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"

#define DEVICE 4
#define NODES_MAX 16

struct node {
        char name[8];
        struct attribution_entry entry;
};

struct world {
        struct node nodes[NODES_MAX];
        size_t n;
        AttributionIndex *index;
};

static const struct attribution_entry *find_entry(const struct world *world, const char *name, size_t size) {
        for (size_t i = 0; i < world->n; i++)
                if (strlen(world->nodes[i].name) == size && memcmp(world->nodes[i].name, name, size) == 0)
                        return &world->nodes[i].entry;
        fail_msg("no container %.*s", (int) size, name);
        return NULL;
}

static struct namespace_id read_namespace(const char **text, struct namespace_id inherited) {
        char *end;
        unsigned long number;

        if (**text == '=') {
                (*text)++;
                return inherited;
        }
        number = strtoul(*text, &end, 10);
        assert_true(end > *text);
        *text = end;
        return (struct namespace_id){ DEVICE, number };
}

static void add_node(struct world *world, const char **text) {
        static const struct namespace_id initial_pid = { DEVICE, PROCESS_INIT_PID_NS }, initial_user = { DEVICE, PROCESS_INIT_USER_NS };
        struct node *node = &world->nodes[world->n];
        const struct attribution_entry *parent = NULL;
        size_t size = strcspn(*text, "<:");
        char *end;

        assert_true(world->n < NODES_MAX && size < sizeof(node->name));
        memcpy(node->name, *text, size);
        *text += size;
        if (**text == '<') {
                size = strcspn(++*text, ":");
                parent = find_entry(world, *text, size);
                *text += size;
        }
        node->entry.parent = parent;
        assert_int_equal(*(*text)++, ':');
        node->entry.owns_pid_ns = **text != '=';
        node->entry.pid_ns = read_namespace(text, parent ? parent->pid_ns : initial_pid);
        assert_int_equal(*(*text)++, ',');
        node->entry.user_ns = read_namespace(text, parent ? parent->user_ns : initial_user);
        assert_int_equal(*(*text)++, ',');
        if (**text == '-')
                end = (char *) *text + 1;
        else
                node->entry.cgroup = strtoul(*text, &end, 10);
        *text = end;
        world->n++;
        if (attribution_index_add(world->index, &node->entry) != 0)
                fail_msg("%s cannot be added", node->name);
}

static void make_world(const char *text, struct world *ret_world) {
        *ret_world = (struct world){ .index = attribution_index_new() };
        assert_non_null(ret_world->index);
        while (*text != '\0') {
                add_node(ret_world, &text);
                text += strspn(text, " ");
        }
}

static size_t read_numbers(const char **text, uint64_t *numbers, size_t max) {
        size_t n = 0;
        char *end;

        do {
                assert_true(n < max);
                numbers[n++] = strtoul(*text, &end, 10);
                assert_true(end > *text);
                *text = end;
        } while (*(*text)++ == '.');
        (*text)--;
        return n;
}

static void set_chain(struct namespace_chain *chain, const uint64_t *numbers, size_t n, uint64_t initial) {
        for (size_t i = 0; i < n; i++)
                chain->ids[i] = (struct namespace_id){ DEVICE, numbers[i] };
        chain->ids[n] = (struct namespace_id){ DEVICE, initial };
        chain->n_values = (n + 1) * 2;
}

static void make_caller(const char *text, struct process_facts *ret_facts) {
        uint64_t numbers[PROCESS_NS_DEPTH_MAX - 1];
        size_t n;
        char kind;

        memset(ret_facts, 0, sizeof(*ret_facts));
        set_chain(&ret_facts->pid_ns, NULL, 0, PROCESS_INIT_PID_NS);
        set_chain(&ret_facts->user_ns, NULL, 0, PROCESS_INIT_USER_NS);
        (void) snprintf(ret_facts->cgroup_path, sizeof(ret_facts->cgroup_path), strchr(text, 'c') ? "/c" : "/");
        while ((kind = *text) != '\0') {
                text++;
                if (kind == 'c') {
                        ret_facts->n_cgroups = read_numbers(&text, ret_facts->cgroups, PROCESS_CGROUPS_MAX);
                } else {
                        n = read_numbers(&text, numbers, ELEMENTS(numbers));
                        assert_true(kind == 'p' || kind == 'u');
                        if (kind == 'p')
                                set_chain(&ret_facts->pid_ns, numbers, n, PROCESS_INIT_PID_NS);
                        else
                                set_chain(&ret_facts->user_ns, numbers, n, PROCESS_INIT_USER_NS);
                }
                text += strspn(text, " ");
        }
}

static void describe(const struct world *world, struct attribution found, char *text, size_t size) {
        static const char *const verdicts[] = {
                [ATTRIBUTION_HOST] = "host", [ATTRIBUTION_UNREGISTERED] = "unregistered", [ATTRIBUTION_AMBIGUOUS] = "ambiguous",
        };

        if (found.verdict != ATTRIBUTION_CONTAINER) {
                assert_true(found.verdict >= ATTRIBUTION_HOST && found.verdict <= ATTRIBUTION_AMBIGUOUS);
                assert_null(found.entry);
                assert_int_equal(found.found, UPCALL_FOUND_NONE);
                (void) snprintf(text, size, "%s", verdicts[found.verdict]);
                return;
        }
        assert_true(found.found == UPCALL_FOUND_PIDNS || found.found == UPCALL_FOUND_CGROUP);
        for (size_t i = 0; i < world->n; i++)
                if (&world->nodes[i].entry == found.entry)
                        (void) snprintf(text, size, "%s/%s", world->nodes[i].name, found.found == UPCALL_FOUND_PIDNS ? "pidns" : "cgroup");
}

/* Two ordinary containers, the second with its own user namespace. */
#define TWO "a:10,=,1 b:11,20,2"
/* Nested ones with pid namespaces of their own: a > n > m, b > k. */
#define NEST "a:10,=,1 n<a:12,=,3 m<n:13,21,4 b:11,20,2 k<b:14,22,-"
/* s, t and v share a's pid namespace, v in a user namespace of its own; ss lies in s; d in s with its own pid namespace. */
#define SHARE "a:10,=,1 s<a:=,=,5 t<a:=,=,6 v<a:=,23,7 ss<s:=,=,8 d<s:15,=,9 b:11,20,2"
/* Without pid namespaces of their own, on the host: h, g, and r in a user namespace of its own; hh in h; o in h and q in r own theirs. */
#define HOSTED "h:=,=,31 g:=,=,32 r:=,24,33 hh<h:=,=,34 o<h:16,=,35 q<r:17,25,36 w<h:=,26,37"
/* Two that were started in one cgroup, which tells neither apart. */
#define ONE_CGROUP "x:18,=,40 y:19,=,40 z:28,29,41 o<x:30,=,- l:=,=,42 j:43,=,42"
/* A pod: the second container shares the first one's pid namespace and is not within its cgroup. */
#define POD "p1:50,51,60 p2<p1:=,=,61 p3<p1:=,52,62"
/* A container that only its pid namespace tells apart, with one in it that only its cgroup does. */
#define BARE "e:70,=,- f<e:=,=,71 i<e:=,72,73"

static const struct {
        const char *what, *world, *caller, *expected;
} cases[] = {
        /* The host */
        { "host, nothing registered",                        "",     "",                "host" },
        { "host, containers elsewhere",                      TWO,    "",                "host" },
        { "host in a cgroup of no container",                TWO,    "c90",             "host" },
        { "host in a deep cgroup of no container",           TWO,    "c93.92.91",       "host" },
        { "host beside cgroup-only containers",              HOSTED, "c90",             "host" },
        { "host in the root of the cgroups",                 HOSTED, "",                "host" },
        { "foreign user namespace alone",                    "",     "u99",             "unregistered" },
        { "foreign pid namespace alone",                     "",     "p99",             "unregistered" },
        { "foreign pid and user namespaces",                 TWO,    "p99 u98",         "unregistered" },
        { "deep foreign pid namespaces",                     TWO,    "p99.98.97",       "unregistered" },
        { "deep foreign user namespaces",                    TWO,    "u99.98.97",       "unregistered" },
        { "foreign pid namespace in a cgroup of its own",    TWO,    "p99 c90",         "unregistered" },
        { "a registered user namespace identifies nobody",   TWO,    "u20",             "unregistered" },
        { "a deeper user namespace of a container identifies nobody", TWO, "u98.20",    "unregistered" },
        { "a container's number in the wrong chain: pid as user", TWO, "u10",           "unregistered" },
        { "a container's number in the wrong chain: user as pid", TWO, "p20",           "unregistered" },
        { "a container's number in the wrong chain: pid as cgroup", TWO, "c10",         "host" },
        { "a container's number in the wrong chain: cgroup as pid", TWO, "p1",          "unregistered" },

        /* The pid namespace */
        { "container by pid namespace, in its cgroup",       TWO,    "p10 c1",          "a/pidns" },
        { "container by pid namespace, in the root cgroup",  TWO,    "p10",             "a/pidns" },
        { "container by pid namespace, in a cgroup within",  TWO,    "p10 c90.1",       "a/pidns" },
        { "container by pid namespace, in a deep cgroup within", TWO, "p10 c92.91.90.1", "a/pidns" },
        { "container by pid namespace, moved to a stranger's cgroup", TWO, "p10 c90",   "a/pidns" },
        { "container with its own user namespace",           TWO,    "p11 u20 c2",      "b/pidns" },
        { "its process in a deeper user namespace",          TWO,    "p11 u98.20 c2",   "b/pidns" },
        { "somebody of the host who entered the pid namespace alone", TWO, "p11 c2",    "b/pidns" },
        { "its process in a foreign user namespace",         TWO,    "p10 u99 c1",      "a/pidns" },
        { "a deeper pid namespace within",                   TWO,    "p99.10 c1",       "a/pidns" },
        { "two deeper pid namespaces within",                TWO,    "p98.99.10 c1",    "a/pidns" },
        { "a deeper pid and user namespace within, own cgroup", TWO, "p99.11 u98.20 c90.2", "b/pidns" },
        { "nested container",                                NEST,   "p12.10 c3.1",     "n/pidns" },
        { "nested container, deeper",                        NEST,   "p99.12.10 c3.1",  "n/pidns" },
        { "nested two deep",                                 NEST,   "p13.12.10 u21 c4.3.1", "m/pidns" },
        { "nested two deep, deeper",                         NEST,   "p99.13.12.10 u21 c4.3.1", "m/pidns" },
        { "the parent of nested ones",                       NEST,   "p10 c1",          "a/pidns" },
        { "nested without a cgroup, in its parent's",        NEST,   "p14.11 u22.20 c2", "k/pidns" },
        { "nested without a cgroup, in the root",            NEST,   "p14.11 u22.20",   "k/pidns" },
        { "nested, in its grandparent's cgroup",             NEST,   "p13.12.10 u21 c1", "m/pidns" },
        { "nested, moved up into its parent's cgroup",       NEST,   "p12.10 c1",       "n/pidns" },
        { "nested beside an unregistered level",             NEST,   "p12.99.10 c3.1",  "n/pidns" },
        { "an unregistered sibling of a nested container is its parent's", NEST, "p98.10 c1", "a/pidns" },
        { "a sibling in the other family",                   NEST,   "p11 u20 c2",      "b/pidns" },

        /* A cgroup that cannot be believed */
        { "host process in the cgroup of a container",       TWO,    "c1",              "ambiguous" },
        { "host process in a cgroup within a container's",   TWO,    "c90.1",           "ambiguous" },
        { "host process with the container's user namespace in its cgroup", TWO, "u20 c2", "ambiguous" },
        { "stranger's pid namespace in a container's cgroup", TWO,   "p99 c1",          "ambiguous" },
        { "stranger's namespaces in a container's cgroup",   TWO,    "p99 u98 c90.2",   "ambiguous" },
        { "one container's process in the other's cgroup",   TWO,    "p10 c2",          "ambiguous" },
        { "and the other way round",                         TWO,    "p11 u20 c1",      "ambiguous" },
        { "in a cgroup within the other's",                  TWO,    "p10 c90.2",       "ambiguous" },
        { "in another family's nested cgroup",               NEST,   "p11 u20 c3.1",    "ambiguous" },
        { "nested, in a cgroup of another family",           NEST,   "p12.10 c2",       "ambiguous" },
        { "parent's process in its child's cgroup",          NEST,   "p10 c3.1",        "ambiguous" },
        { "parent's process in its grandchild's cgroup",     NEST,   "p10 c4.3.1",      "ambiguous" },
        { "parent's process with the child's user namespace in its cgroup", NEST, "p12.10 u21 c4.3.1", "ambiguous" },
        { "host process in a nested container's cgroup",     NEST,   "c4.3.1",          "ambiguous" },
        { "the nearest cgroup counts, not a farther one",    NEST,   "p10 c2.1",        "ambiguous" },
        { "a farther foreign cgroup does not count",         NEST,   "p10 c1.2",        "a/pidns" },

        /* Told apart by cgroup within one pid namespace */
        { "sharing the parent's pid namespace",              SHARE,  "p10 c5.1",        "s/cgroup" },
        { "its sibling",                                     SHARE,  "p10 c6.1",        "t/cgroup" },
        { "one with a user namespace of its own",            SHARE,  "p10 u23 c7.1",    "v/cgroup" },
        { "in a cgroup within",                              SHARE,  "p10 c90.5.1",     "s/cgroup" },
        { "in a deep cgroup within",                         SHARE,  "p10 c92.91.90.6.1", "t/cgroup" },
        { "cgroup nested two deep, the nearest wins",        SHARE,  "p10 c8.5.1",      "ss/cgroup" },
        { "cgroup nested two deep, within",                  SHARE,  "p10 c90.8.5.1",   "ss/cgroup" },
        { "the parent that shares its pid namespace",        SHARE,  "p10 c1",          "a/pidns" },
        { "the parent in the root cgroup",                   SHARE,  "p10",             "a/pidns" },
        { "the parent in a cgroup of its own within",        SHARE,  "p10 c90.1",       "a/pidns" },
        { "a deeper pid namespace that nobody registered",   SHARE,  "p99.10 c5.1",     "s/cgroup" },
        { "a nested one with its own pid namespace",         SHARE,  "p15.10 c9.5.1",   "d/pidns" },
        { "it moved up into its parent's cgroup",            SHARE,  "p15.10 c5.1",     "d/pidns" },
        { "it moved up into its grandparent's cgroup",       SHARE,  "p15.10 c1",       "d/pidns" },
        { "it moved to its uncle's cgroup",                  SHARE,  "p15.10 c6.1",     "ambiguous" },
        { "it moved to its parent's other child",            SHARE,  "p15.10 c8.5.1",   "ambiguous" },
        { "the parent that shares, in its child's cgroup that owns a pid namespace", SHARE, "p10 c9.5.1", "ambiguous" },
        { "another container's process in that cgroup",      SHARE,  "p11 u20 c5.1",    "ambiguous" },
        { "host process in that cgroup",                     SHARE,  "c5.1",            "ambiguous" },
        { "stranger in that cgroup",                         SHARE,  "p99 c5.1",        "ambiguous" },
        { "in that cgroup with a deeper user namespace",     SHARE,  "p10 u99 c5.1",    "ambiguous" },
        { "in the cgroup of one with another user namespace", SHARE, "p10 c7.1",        "ambiguous" },
        { "one with its own user namespace moved sideways",  SHARE,  "p10 u23 c5.1",    "ambiguous" },
        { "it moved up into the parent's cgroup",            SHARE,  "p10 u23 c1",      "ambiguous" },
        { "it moved to the root cgroup",                     SHARE,  "p10 u23",         "ambiguous" },
        { "it moved to a stranger's cgroup",                 SHARE,  "p10 u23 c90",     "ambiguous" },
        { "it went deeper and moved up",                     SHARE,  "p99.10 u98.23 c1", "ambiguous" },
        { "it went deeper in its own cgroup: its user namespace differs", SHARE, "p10 u98.23 c7.1", "ambiguous" },
        { "it went deeper in pid namespaces only",           SHARE,  "p99.10 u23 c7.1", "v/cgroup" },
        { "the same user namespace in another pid namespace", SHARE, "p11 u23 c2",      "b/pidns" },
        { "a parent's process in a user namespace of its own", SHARE, "p10 u99 c1",     "a/pidns" },

        /* The same on the host */
        { "cgroup-only container of the host",               HOSTED, "c31",             "h/cgroup" },
        { "its sibling",                                     HOSTED, "c32",             "g/cgroup" },
        { "in a cgroup within",                              HOSTED, "c90.31",          "h/cgroup" },
        { "nested in it",                                    HOSTED, "c34.31",          "hh/cgroup" },
        { "with a user namespace of its own",                HOSTED, "u24 c33",         "r/cgroup" },
        { "nested with a user namespace of its own",         HOSTED, "u26 c37.31",      "w/cgroup" },
        { "a pid namespace in it that nobody registered",    HOSTED, "p99 c31",         "h/cgroup" },
        { "that pid namespace with a user namespace",        HOSTED, "p99 u98 c31",     "ambiguous" },
        { "the host's process with a foreign user namespace in it", HOSTED, "u99 c31",  "ambiguous" },
        { "the host's process in the cgroup of one with a user namespace", HOSTED, "c33", "ambiguous" },
        { "in it with a deeper user namespace",              HOSTED, "u99.24 c33",      "ambiguous" },
        { "one with a user namespace moved sideways",        HOSTED, "u24 c31",         "ambiguous" },
        { "it moved out to the root",                        HOSTED, "u24",             "ambiguous" },
        { "it moved out to a cgroup of nobody",              HOSTED, "u24 c90",         "ambiguous" },
        { "it moved out, deeper",                            HOSTED, "p99 u98.24 c90",  "ambiguous" },
        { "nested one with its own user namespace moved up", HOSTED, "u26 c31",         "ambiguous" },
        { "nested in it with its own pid namespace",         HOSTED, "p16 c35.31",      "o/pidns" },
        { "that one in its parent's cgroup",                 HOSTED, "p16 c31",         "o/pidns" },
        { "that one in the root",                            HOSTED, "p16",             "o/pidns" },
        { "that one in its uncle's cgroup",                  HOSTED, "p16 c32",         "ambiguous" },
        { "that one in its sibling's cgroup",                HOSTED, "p16 c34.31",      "ambiguous" },
        { "its parent in its cgroup",                        HOSTED, "c35.31",          "ambiguous" },
        { "own pid and user namespace in one with a user namespace", HOSTED, "p17 u25.24 c36.33", "q/pidns" },
        { "that one in its parent's cgroup, with its user namespace", HOSTED, "p17 u24 c33", "q/pidns" },

        /* One cgroup for several */
        { "first of two in one cgroup",                      ONE_CGROUP, "p18 c40",     "x/pidns" },
        { "second of two in one cgroup",                     ONE_CGROUP, "p19 c40",     "y/pidns" },
        { "the host's shell in that cgroup",                 ONE_CGROUP, "c40",         "ambiguous" },
        { "a third one in that cgroup",                      ONE_CGROUP, "p28 u29 c40", "ambiguous" },
        { "a stranger in that cgroup",                       ONE_CGROUP, "p99 c40",     "ambiguous" },
        { "nested in one of them, in that cgroup",           ONE_CGROUP, "p30.18 c40",  "o/pidns" },
        { "a cgroup-only container whose cgroup another one came to share", ONE_CGROUP, "c42", "ambiguous" },
        { "and that other one",                              ONE_CGROUP, "p43 c42",     "j/pidns" },

        /* Pods */
        { "pod: the one that owns the pid namespace",        POD,    "p50 u51 c60",     "p1/pidns" },
        { "pod: one beside it",                              POD,    "p50 u51 c61",     "p2/cgroup" },
        { "pod: one beside it with its own user namespace",  POD,    "p50 u52.51 c62",  "p3/cgroup" },
        { "pod: that one moved to the first one's cgroup",   POD,    "p50 u52.51 c60",  "ambiguous" },
        { "pod: that one moved to the second one's cgroup",  POD,    "p50 u52.51 c61",  "ambiguous" },
        { "pod: the first moved to the second one's cgroup", POD,    "p50 u51 c61",     "p2/cgroup" }, /* nothing tells them apart */
        { "pod: host process in the second one's cgroup",    POD,    "c61",             "ambiguous" },
        { "pod: the pod's user namespace on the host",       POD,    "u51",             "unregistered" },

        /* Without a cgroup */
        { "bare: by pid namespace",                          BARE,   "p70",             "e/pidns" },
        { "bare: in somebody's cgroup",                      BARE,   "p70 c90",         "e/pidns" },
        { "bare: the one within by cgroup",                  BARE,   "p70 c71",         "f/cgroup" },
        { "bare: the one within by cgroup and user namespace", BARE, "p70 u72 c73",     "i/cgroup" },
        { "bare: that one left its cgroup",                  BARE,   "p70 u72",         "ambiguous" },
        { "bare: cgroup 0 is nobody's",                      BARE,   "",                "host" },
};

/* Every place that a process can be in against every cgroup: a owns a pid and a user namespace; s and v share its pid namespace, v in a user namespace of
 * its own; b owns a pid namespace; h and r are told apart from the host by their cgroups, r in a user namespace of its own. Nobody's: 90 to 99. */
#define ALL "a:10,20,1 s<a:=,=,5 v<a:=,23,7 b:11,=,2 h:=,=,31 r:=,24,33"
#define COLUMNS 8

static const char *const columns[COLUMNS] = { "", "c90", "c1", "c5.1", "c7.1", "c2", "c31", "c33" };

#define A "a/pidns"
#define B "b/pidns"
#define S "s/cgroup"
#define V "v/cgroup"
#define H "h/cgroup"
#define R "r/cgroup"
#define HOST "host"
#define NOBODY "unregistered"
#define DOUBT "ambiguous"

static const struct {
        const char *what, *caller;
        const char *expected[COLUMNS];
} rows[] = {
        /*                                                              root    90      a's     s's     v's     b's     h's     r's */
        { "the host's",                               "",           { HOST,   HOST,   DOUBT,  DOUBT,  DOUBT,  DOUBT,  H,      DOUBT } },
        { "a's, or s's",                              "p10 u20",    { A,      A,      A,      S,      DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "v's",                                      "p10 u23.20", { DOUBT,  DOUBT,  DOUBT,  DOUBT,  V,      DOUBT,  DOUBT,  DOUBT } },
        { "b's",                                      "p11",        { B,      B,      DOUBT,  DOUBT,  DOUBT,  B,      DOUBT,  DOUBT } },
        { "a pid namespace of nobody's",              "p99",        { NOBODY, NOBODY, DOUBT,  DOUBT,  DOUBT,  DOUBT,  H,      DOUBT } },
        { "r's",                                      "u24",        { DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  R } },
        { "a pid namespace of nobody's in a",         "p99.10 u20", { A,      A,      A,      S,      DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "a user namespace of nobody's",             "u99",        { NOBODY, NOBODY, DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "both, of nobody's",                        "p99 u98",    { NOBODY, NOBODY, DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "a user namespace of nobody's in a",        "p10 u99.20", { A,      A,      A,      DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "the host's that entered a's pid namespace", "p10",       { A,      A,      A,      DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT } },
        { "the host's that entered a's user namespace", "u20",      { NOBODY, NOBODY, DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT,  DOUBT } },
};

#undef A
#undef B
#undef S
#undef V
#undef H
#undef R
#undef HOST
#undef NOBODY
#undef DOUBT

_Static_assert(ELEMENTS(cases) + ELEMENTS(rows) * COLUMNS >= 200, "the table of attribution has at least 200 cases");

static void expect_found(const char *what, const char *in_world, const char *text, const char *expected, int *n_wrong) {
        struct process_facts facts;
        struct world world;
        char found[32];

        make_world(in_world, &world);
        make_caller(text, &facts);
        describe(&world, attribution_find(world.index, &facts), found, sizeof(found));
        if (strcmp(found, expected) != 0) {
                print_error("%s (%s in %s): %s and not %s\n", what, text, in_world, found, expected);
                (*n_wrong)++;
        }
        world.index = attribution_index_free(world.index);
}

static void test_callers_are_found_as_the_rules_say(void **state _unused_) {
        int n_wrong = 0;

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                expect_found(cases[i].what, cases[i].world, cases[i].caller, cases[i].expected, &n_wrong);
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                for (size_t k = 0; k < COLUMNS; k++) {
                        char caller[64];

                        (void) snprintf(caller, sizeof(caller), "%s%s%s", rows[i].caller, rows[i].caller[0] && columns[k][0] ? " " : "", columns[k]);
                        expect_found(rows[i].what, ALL, caller, rows[i].expected[k], &n_wrong);
                }
        print_message("%zu cases\n", ELEMENTS(cases) + ELEMENTS(rows) * COLUMNS);
        assert_int_equal(n_wrong, 0);
}

/* Names, paths and numbers of processes, which a container can choose, change nothing. */
static void test_what_a_container_can_write_changes_nothing(void **state _unused_) {
        struct process_facts facts, written;
        struct world world;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct attribution before, after;

                make_world(cases[i].world, &world);
                make_caller(cases[i].caller, &facts);
                written = facts;
                memset(written.comm, 'x', sizeof(written.comm) - 1);
                if (written.n_cgroups > 0)
                        (void) snprintf(written.cgroup_path, sizeof(written.cgroup_path), "/a/b/../../system.slice");
                (void) snprintf(written.label, sizeof(written.label), "unconfined");
                written.pids[0] = written.pids[1] = 1;
                written.n_pids = 2;
                written.mnt_ns = written.net_ns = (struct namespace_id){ DEVICE, 10 };
                written.n_mnt_ns = written.n_net_ns = 2;
                written.fsuid = written.euid = written.ruid = 0;
                before = attribution_find(world.index, &facts);
                after = attribution_find(world.index, &written);
                assert_int_equal(before.verdict, after.verdict);
                assert_ptr_equal(before.entry, after.entry);
                world.index = attribution_index_free(world.index);
        }
}

static void spoil_no_pid_chain(struct process_facts *f) { f->pid_ns.n_values = 0; }
static void spoil_no_user_chain(struct process_facts *f) { f->user_ns.n_values = 0; }
static void spoil_odd_pid_chain(struct process_facts *f) { f->pid_ns.n_values++; }
static void spoil_odd_user_chain(struct process_facts *f) { f->user_ns.n_values++; }
static void spoil_long_pid_chain(struct process_facts *f) { f->pid_ns.n_values = SIZE_MAX - 1; }
static void spoil_long_user_chain(struct process_facts *f) { f->user_ns.n_values = 2 * (PROCESS_NS_DEPTH_MAX + 1); }
static void spoil_pid_unknown(struct process_facts *f) { f->pid_ns.ids[0].inode = 0; }
static void spoil_user_unknown(struct process_facts *f) { f->user_ns.ids[0].inode = 0; }
static void spoil_cut_pid_chain(struct process_facts *f) { f->pid_ns.ids[f->pid_ns.n_values / 2 - 1].inode = 77; }
static void spoil_cut_user_chain(struct process_facts *f) { f->user_ns.ids[f->user_ns.n_values / 2 - 1].inode = 77; }
static void spoil_initial_twice(struct process_facts *f) {
        f->pid_ns.ids[f->pid_ns.n_values / 2] = (struct namespace_id){ DEVICE, PROCESS_INIT_PID_NS };
        f->pid_ns.n_values += 2;
}
static void spoil_initial_user_in_the_middle(struct process_facts *f) {
        f->user_ns.ids[f->user_ns.n_values / 2] = (struct namespace_id){ DEVICE, 77 };
        f->user_ns.n_values += 2;
}
static void spoil_chains_swapped(struct process_facts *f) {
        struct namespace_chain chain = f->pid_ns;

        f->pid_ns = f->user_ns;
        f->user_ns = chain;
}
static void spoil_user_device(struct process_facts *f) { f->user_ns.ids[0].device++; }
static void spoil_last_device(struct process_facts *f) { f->pid_ns.ids[f->pid_ns.n_values / 2 - 1].device++; }
static void spoil_truncated_cgroups(struct process_facts *f) {
        for (size_t i = f->n_cgroups; i < PROCESS_CGROUPS_MAX; i++)
                f->cgroups[i] = 1000 + i;
        f->n_cgroups = PROCESS_CGROUPS_MAX;
}
static void spoil_too_many_cgroups(struct process_facts *f) { f->n_cgroups = SIZE_MAX; }
static void spoil_cgroup_unknown(struct process_facts *f) { f->cgroups[f->n_cgroups++] = 0; }
static void spoil_everything(struct process_facts *f) { memset(f, 0, sizeof(*f)); }

static void test_facts_that_cannot_be_believed_are_ambiguous_for_everybody(void **state _unused_) {
        static const struct {
                const char *what;
                void (*spoil)(struct process_facts *facts);
        } spoilers[] = {
                { "no pid chain", spoil_no_pid_chain },
                { "no user chain", spoil_no_user_chain },
                { "half a pid namespace", spoil_odd_pid_chain },
                { "half a user namespace", spoil_odd_user_chain },
                { "a pid chain of endless length", spoil_long_pid_chain },
                { "a user chain that is one too long", spoil_long_user_chain },
                { "pid namespace not known", spoil_pid_unknown },
                { "user namespace not known", spoil_user_unknown },
                { "pid chain that does not end in the initial one", spoil_cut_pid_chain },
                { "user chain that does not end in the initial one", spoil_cut_user_chain },
                { "the initial pid namespace twice", spoil_initial_twice },
                { "something beyond the initial user namespace", spoil_initial_user_in_the_middle },
                { "chains swapped", spoil_chains_swapped },
                { "namespaces of two devices", spoil_user_device },
                { "the initial one on another device", spoil_last_device },
                { "truncated cgroup chain", spoil_truncated_cgroups },
                { "endless cgroup chain", spoil_too_many_cgroups },
                { "a cgroup that is not known", spoil_cgroup_unknown },
                { "no facts at all", spoil_everything },
        };
        struct process_facts facts;
        struct world world;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                make_world(cases[i].world, &world);
                for (size_t k = 0; k < ELEMENTS(spoilers); k++) {
                        make_caller(cases[i].caller, &facts);
                        spoilers[k].spoil(&facts);
                        if (attribution_find(world.index, &facts).verdict != ATTRIBUTION_AMBIGUOUS)
                                fail_msg("%s, with %s", cases[i].what, spoilers[k].what);
                }
                world.index = attribution_index_free(world.index);
        }
}

/* util/process.c gives no ids where a cgroup is too deep, was removed, or is out of sight: nobody is in the root for that. */
static void test_a_cgroup_that_could_not_be_read_is_no_root(void **state _unused_) {
        static const char *const paths[] = { "", "/too/deep", "/../out-of-sight", "/gone (deleted)", "//", "/ " };
        static const char *const callers[] = { "", "p10", "p99", "u23", "p11 u20", "p10 u23" };
        static const char *const worlds[] = { TWO, NEST, SHARE, HOSTED, POD, BARE };
        struct process_facts facts;
        struct world world;
        char found[32];

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                for (size_t k = 0; k < ELEMENTS(callers); k++) {
                        make_caller(callers[k], &facts);
                        (void) snprintf(facts.cgroup_path, sizeof(facts.cgroup_path), "%s", paths[i]);
                        for (size_t w = 0; w < ELEMENTS(worlds); w++) {
                                make_world(worlds[w], &world);
                                assert_int_equal(attribution_find(world.index, &facts).verdict, ATTRIBUTION_AMBIGUOUS);
                                world.index = attribution_index_free(world.index);
                        }
                        /* A host without cgroup2 has no containers with cgroups, and still has its own upcalls. */
                        make_world("a:10,=,- b:11,20,-", &world);
                        describe(&world, attribution_find(world.index, &facts), found, sizeof(found));
                        assert_string_not_equal(found, "ambiguous");
                        world.index = attribution_index_free(world.index);
                }
        }
}

static void test_the_deepest_chains_that_the_kernel_makes_are_read(void **state _unused_) {
        struct process_facts facts;
        struct world world;

        make_world("a:532,=,1 b:501,=,2", &world);
        make_caller("", &facts);
        for (size_t i = 0; i < PROCESS_NS_DEPTH_MAX - 1; i++)
                facts.pid_ns.ids[i] = (struct namespace_id){ DEVICE, 501 + i };
        facts.pid_ns.ids[PROCESS_NS_DEPTH_MAX - 1] = (struct namespace_id){ DEVICE, PROCESS_INIT_PID_NS };
        facts.pid_ns.n_values = 2 * PROCESS_NS_DEPTH_MAX;
        assert_ptr_equal(attribution_find(world.index, &facts).entry, find_entry(&world, "b", 1));
        facts.pid_ns.ids[0].inode = 1;
        assert_ptr_equal(attribution_find(world.index, &facts).entry, find_entry(&world, "a", 1));
        facts.n_cgroups = PROCESS_CGROUPS_MAX - 1;
        for (size_t i = 0; i < facts.n_cgroups; i++)
                facts.cgroups[i] = 1000 + i;
        assert_ptr_equal(attribution_find(world.index, &facts).entry, find_entry(&world, "a", 1));
        facts.cgroups[facts.n_cgroups - 1] = 2;
        assert_int_equal(attribution_find(world.index, &facts).verdict, ATTRIBUTION_AMBIGUOUS);
        world.index = attribution_index_free(world.index);
}

/* One that claims the pid namespace of a container that it is not in: no broker would register it so. */
static void test_a_container_is_not_found_in_a_place_it_does_not_belong_to(void **state _unused_) {
        static const struct attribution_entry stray = { .pid_ns = { DEVICE, 10 }, .user_ns = { DEVICE, PROCESS_INIT_USER_NS }, .cgroup = 90 };
        struct process_facts facts;
        struct world world;

        make_world(TWO, &world);
        assert_int_equal(attribution_index_add(world.index, &stray), 0);
        make_caller("p10 c90", &facts);
        assert_int_equal(attribution_find(world.index, &facts).verdict, ATTRIBUTION_AMBIGUOUS);
        world.index = attribution_index_free(world.index);
}

/* A recycled inode number on another device, as after a checkpoint or on a forged file system. */
static void test_an_equal_inode_on_another_device_is_another_namespace(void **state _unused_) {
        struct process_facts facts;
        struct world world;

        make_world(TWO, &world);
        make_caller("p10", &facts);
        for (size_t i = 0; i < 2; i++)
                facts.pid_ns.ids[i].device = DEVICE + 1;
        facts.user_ns.ids[0].device = DEVICE + 1;
        assert_int_equal(attribution_find(world.index, &facts).verdict, ATTRIBUTION_UNREGISTERED);
        world.index = attribution_index_free(world.index);
}

/* A broker in a container: pid namespace 50, user namespace 60 are the last that it sees of any chain. */
static void test_home_is_where_the_broker_is(void **state _unused_) {
        static const struct attribution_entry
                inner = { .pid_ns = { DEVICE, 51 }, .user_ns = { DEVICE, 60 }, .owns_pid_ns = true },
                self = { .pid_ns = { DEVICE, 50 }, .user_ns = { DEVICE, 60 }, .owns_pid_ns = true };
        const uint64_t deeper = 51, strange = 52, user = 61;
        _cleanup_(attribution_index_freep) AttributionIndex *index = attribution_index_new();
        struct process_facts home = { .cgroup_path = "/" }, within = home, stranger = home, in_user_ns = home, outside = home;
        struct attribution found;

        assert_non_null(index);
        assert_int_equal(attribution_index_add(index, &(struct attribution_entry){ .pid_ns = { DEVICE, PROCESS_INIT_PID_NS }, .user_ns = { DEVICE, 60 },
                                                                                   .owns_pid_ns = true }), -EINVAL);
        assert_false(attribution_home_is_ownable(index));
        attribution_index_set_home(index, (struct namespace_id){ DEVICE, 50 }, (struct namespace_id){ DEVICE, 60 });
        assert_true(attribution_home_is_ownable(index));
        set_chain(&home.pid_ns, NULL, 0, 50);
        set_chain(&home.user_ns, NULL, 0, 60);
        within = stranger = in_user_ns = outside = home;
        set_chain(&within.pid_ns, &deeper, 1, 50);
        set_chain(&stranger.pid_ns, &strange, 1, 50);
        set_chain(&in_user_ns.user_ns, &user, 1, 60);
        set_chain(&outside.pid_ns, NULL, 0, PROCESS_INIT_PID_NS);
        assert_int_equal(attribution_index_add(index, &inner), 0);

        found = attribution_find(index, &home);
        assert_int_equal(found.verdict, ATTRIBUTION_HOST);
        assert_true(attribution_is_home(index, &found, &home));
        found = attribution_find(index, &within);
        assert_ptr_equal(found.entry, &inner);
        assert_false(attribution_is_home(index, &found, &within));
        assert_int_equal(attribution_find(index, &stranger).verdict, ATTRIBUTION_UNREGISTERED);
        assert_int_equal(attribution_find(index, &in_user_ns).verdict, ATTRIBUTION_UNREGISTERED);
        assert_int_equal(attribution_find(index, &outside).verdict, ATTRIBUTION_AMBIGUOUS);

        /* and that container itself: nobody is the host's own any more, but home stays home */
        attribution_index_remove(index, &inner);
        assert_int_equal(attribution_index_add(index, &self), 0);
        found = attribution_find(index, &home);
        assert_ptr_equal(found.entry, &self);
        assert_true(attribution_is_home(index, &found, &home));
        found = attribution_find(index, &in_user_ns);
        assert_ptr_equal(found.entry, &self);
        assert_false(attribution_is_home(index, &found, &in_user_ns));
        found = attribution_find(index, &stranger);
        assert_ptr_equal(found.entry, &self);
        assert_false(attribution_is_home(index, &found, &stranger));
}

static void test_the_index_refuses_what_would_make_two_answers_possible(void **state _unused_) {
        static const struct attribution_entry
                first = { .pid_ns = { DEVICE, 10 }, .user_ns = { DEVICE, 20 }, .cgroup = 1, .owns_pid_ns = true },
                same_pid_ns = { .pid_ns = { DEVICE, 10 }, .user_ns = { DEVICE, 21 }, .cgroup = 2, .owns_pid_ns = true },
                same_cgroup = { .parent = &first, .pid_ns = { DEVICE, 10 }, .user_ns = { DEVICE, 20 }, .cgroup = 1 },
                other_device = { .pid_ns = { DEVICE + 1, 10 }, .user_ns = { DEVICE, 20 }, .cgroup = 3, .owns_pid_ns = true },
                own_cgroup = { .parent = &first, .pid_ns = { DEVICE, 10 }, .user_ns = { DEVICE, 20 }, .cgroup = 4 },
                own_cgroup_again = { .pid_ns = { DEVICE, PROCESS_INIT_PID_NS }, .user_ns = { DEVICE, PROCESS_INIT_USER_NS }, .cgroup = 4 },
                nothing = { .pid_ns = { DEVICE, PROCESS_INIT_PID_NS }, .user_ns = { DEVICE, 20 } },
                initial = { .pid_ns = { DEVICE, PROCESS_INIT_PID_NS }, .user_ns = { DEVICE, 20 }, .cgroup = 5, .owns_pid_ns = true },
                no_pid_ns = { .user_ns = { DEVICE, 20 }, .cgroup = 5, .owns_pid_ns = true },
                no_user_ns = { .pid_ns = { DEVICE, 16 }, .cgroup = 5, .owns_pid_ns = true },
                shared_cgroup = { .pid_ns = { DEVICE, 17 }, .user_ns = { DEVICE, 20 }, .cgroup = 1, .owns_pid_ns = true };
        const struct {
                const struct attribution_entry *entry;
                int expected;
        } steps[] = {
                { &first, 0 }, { &first, -EEXIST }, { &same_pid_ns, -EEXIST }, { &same_cgroup, -EEXIST }, { &other_device, 0 },
                { &own_cgroup, 0 }, { &own_cgroup_again, -EEXIST }, { &nothing, -EINVAL }, { &initial, -EINVAL }, { &no_pid_ns, -EINVAL },
                { &no_user_ns, -EINVAL }, { &shared_cgroup, 0 },
        };
        _cleanup_(attribution_index_freep) AttributionIndex *index = attribution_index_new();

        assert_non_null(index);
        for (size_t i = 0; i < ELEMENTS(steps); i++)
                if (attribution_index_add(index, steps[i].entry) != steps[i].expected)
                        fail_msg("step %zu", i);
        attribution_index_remove(index, &own_cgroup);
        assert_int_equal(attribution_index_add(index, &own_cgroup_again), 0);
        attribution_index_remove(index, &first);
        attribution_index_remove(index, &first); /* not there: nothing happens to shared_cgroup */
        assert_int_equal(attribution_index_add(index, &same_pid_ns), 0);
        assert_int_equal(attribution_index_add(index, &same_cgroup), -EEXIST);
        attribution_index_remove(index, &shared_cgroup);
        assert_int_equal(attribution_index_add(index, &same_cgroup), 0);
}

static void test_who_was_taken_out_is_found_no_more_and_all_others_are(void **state _unused_) {
        enum { N = 500 };
        static struct attribution_entry entries[N];
        _cleanup_(attribution_index_freep) AttributionIndex *index = attribution_index_new();
        struct process_facts facts;
        bool in[N] = {};
        unsigned seed = 1;

        assert_non_null(index);
        for (size_t i = 0; i < N; i++)
                entries[i] = (struct attribution_entry){
                        .pid_ns = { DEVICE, i % 2 ? 1000 + i : PROCESS_INIT_PID_NS }, .user_ns = { DEVICE, i % 3 ? 7 : PROCESS_INIT_USER_NS },
                        .cgroup = 5000 - i, .owns_pid_ns = i % 2,
                };
        for (int round = 0; round < 4000; round++) {
                size_t i = (seed = seed * 1103515245u + 12345u) >> 8 & 0xffff;

                i %= N;
                if (in[i])
                        attribution_index_remove(index, &entries[i]);
                else
                        assert_int_equal(attribution_index_add(index, &entries[i]), 0);
                in[i] = !in[i];
        }
        for (size_t i = 0; i < N; i++) {
                struct attribution found;

                make_caller("", &facts);
                if (i % 2)
                        set_chain(&facts.pid_ns, &(uint64_t){ 1000 + i }, 1, PROCESS_INIT_PID_NS);
                if (i % 3)
                        set_chain(&facts.user_ns, &(uint64_t){ 7 }, 1, PROCESS_INIT_USER_NS);
                facts.cgroups[0] = 5000 - i;
                facts.n_cgroups = 1;
                found = attribution_find(index, &facts);
                if (in[i])
                        assert_ptr_equal(found.entry, &entries[i]);
                else
                        assert_null(found.entry);
        }
}

static void test_containing_is_reflexive_and_follows_parents(void **state _unused_) {
        static const struct {
                const char *ancestor, *container;
                bool expected;
        } pairs[] = {
                { "a", "a", true }, { "a", "n", true }, { "a", "m", true }, { "n", "m", true }, { "n", "a", false }, { "m", "a", false },
                { "a", "b", false }, { "b", "k", true }, { "a", "k", false }, { "k", "n", false },
        };
        struct world world;

        make_world(NEST, &world);
        for (size_t i = 0; i < ELEMENTS(pairs); i++)
                assert_int_equal(attribution_contains(find_entry(&world, pairs[i].ancestor, 1), find_entry(&world, pairs[i].container, 1)),
                                 pairs[i].expected);
        assert_false(attribution_contains(find_entry(&world, "a", 1), NULL));
        world.index = attribution_index_free(world.index);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_callers_are_found_as_the_rules_say),
                cmocka_unit_test(test_what_a_container_can_write_changes_nothing),
                cmocka_unit_test(test_facts_that_cannot_be_believed_are_ambiguous_for_everybody),
                cmocka_unit_test(test_a_cgroup_that_could_not_be_read_is_no_root),
                cmocka_unit_test(test_the_deepest_chains_that_the_kernel_makes_are_read),
                cmocka_unit_test(test_a_container_is_not_found_in_a_place_it_does_not_belong_to),
                cmocka_unit_test(test_an_equal_inode_on_another_device_is_another_namespace),
                cmocka_unit_test(test_home_is_where_the_broker_is),
                cmocka_unit_test(test_the_index_refuses_what_would_make_two_answers_possible),
                cmocka_unit_test(test_who_was_taken_out_is_found_no_more_and_all_others_are),
                cmocka_unit_test(test_containing_is_reflexive_and_follows_parents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
