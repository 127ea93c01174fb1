/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What upcallctl container adopt finds, in a small notation:
 *
 *   process   "A p10.11 u20 c1.2 t": chains, its own first, without the initial namespaces, which every chain ends with, and without
 *             the root of the cgroups; t: a run time says it is a container's first process; n: it is number 2 in its pid namespace;
 *             r, h: it is registered, or held, by its pid namespace; R, H: by its cgroup alone
 *   expected  "A new, B within<A": in their order
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcallctl/discover.h"
#include "util/message.h"

#define DEVICE 4
#define PROCESSES_MAX 12

static const char *const state_words[] = {
        [FOUND_NEW] = "new", [FOUND_REGISTERED] = "registered", [FOUND_HELD] = "held", [FOUND_WITHIN] = "within", [FOUND_UNFIT] = "unfit",
};

/* ---- the notation ---- */

static size_t read_numbers(const char *text, uint64_t *numbers) {
        size_t n = 0;
        char *end;

        do {
                numbers[n++] = strtoull(text, &end, 10);
                assert_true(end > text);
                text = end + 1;
        } while (*end == '.');
        return n;
}

static void read_chain(const char *text, uint64_t initial, struct namespace_chain *chain) {
        uint64_t numbers[PROCESS_NS_DEPTH_MAX] = { 0 };
        size_t n = *text ? read_numbers(text, numbers) : 0;

        numbers[n++] = initial;
        for (size_t i = 0; i < n; i++)
                chain->ids[i] = (struct namespace_id){ DEVICE, numbers[i] };
        chain->n_values = 2 * n;
}

struct process {
        struct process_facts facts;
        bool told;
        struct registered registered;
};

static struct process read_process(const char *text, uint32_t pid) {
        struct process process = { .facts = { .tgid = pid, .tid = pid, .start_time = pid, .cgroup_path = "/" } };
        _cleanup_free_ char *copy = strdup(text);
        struct process_facts *facts = &process.facts;
        bool first = true;
        char *rest = copy;

        assert_non_null(copy);
        (void) snprintf(facts->comm, sizeof(facts->comm), "%s", strsep(&rest, " "));
        read_chain("", PROCESS_INIT_PID_NS, &facts->pid_ns);
        read_chain("", PROCESS_INIT_USER_NS, &facts->user_ns);
        for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
                switch (*word) {
                case 'p': read_chain(word + 1, PROCESS_INIT_PID_NS, &facts->pid_ns); break;
                case 'u': read_chain(word + 1, PROCESS_INIT_USER_NS, &facts->user_ns); break;
                case 'c': facts->n_cgroups = read_numbers(word + 1, facts->cgroups); break;
                case 't': process.told = true; break;
                case 'n': first = false; break;
                case 'r': case 'h': process.registered.found = UPCALL_FOUND_PIDNS; break;
                case 'R': case 'H': process.registered.found = UPCALL_FOUND_CGROUP; break;
                default: fail_msg("'%s'", text);
                }
        if (process.registered.found != 0) {
                process.registered.pid = pid;
                process.registered.state = strpbrk(strchr(text, ' '), "hH") ? UPCALL_CONTAINER_HELD : UPCALL_CONTAINER_ACTIVE;
                (void) snprintf(process.registered.name, sizeof(process.registered.name), "%s", facts->comm);
        }
        facts->n_pids = namespace_chain_length(&facts->pid_ns);
        for (size_t i = 0; i < facts->n_pids; i++)
                facts->pids[i] = pid;
        if (facts->n_pids > 1)
                facts->pids[facts->n_pids - 1] = first ? 1 : 2;
        return process;
}

/* As the scan does it. */
static void add_process(struct discovery *discovery, const struct process *process) {
        enum found_kind kind = discover_kind(&process->facts, process->told);
        struct found *found;

        if (process->registered.found != 0 && kind != FOUND_PIDNS)
                kind = FOUND_CGROUP;
        if (kind == FOUND_HOST)
                return;
        found = calloc(1, sizeof(*found));
        assert_non_null(found);
        *found = (struct found){ .kind = kind, .pidfd = -1, .facts = process->facts,
                                 .registered = process->registered.found != 0 ? &process->registered : NULL };
        assert_int_equal(discovery_add(discovery, found), 0);
}

static void print_discovery(const struct discovery *discovery, char *text, size_t size) {
        text[0] = '\0';
        for (size_t i = 0; i < discovery->n; i++) {
                const struct found *found = discovery->items[i];
                size_t length = strlen(text);

                (void) snprintf(text + length, size - length, "%s%s %s%s%s", i > 0 ? ", " : "", found->facts.comm, state_words[found->state],
                                found->inside ? "<" : "", found->inside ? found->inside->facts.comm : "");
        }
}

struct arrange_case {
        const char *processes[PROCESSES_MAX];
        const char *expected, *with_inner; /* NULL: the same */
};

static void run_case(const struct arrange_case *c, bool with_inner) {
        _cleanup_(discovery_done) struct discovery discovery = { 0 };
        const char *expected = with_inner && c->with_inner ? c->with_inner : c->expected;
        struct process processes[PROCESSES_MAX];
        struct registered rows[PROCESSES_MAX];
        struct registered_list list = { .items = rows };
        char text[512];

        for (uint32_t i = 0; i < PROCESSES_MAX && c->processes[i]; i++) {
                processes[i] = read_process(c->processes[i], 100 + i);
                add_process(&discovery, &processes[i]);
                if (processes[i].registered.found != 0)
                        rows[list.n++] = processes[i].registered;
        }
        discover_arrange(&discovery, &list, with_inner);
        print_discovery(&discovery, text, sizeof(text));
        if (strcmp(text, expected) != 0)
                fail_msg("%s …: found '%s', not '%s'", c->processes[0] ? c->processes[0] : "nothing", text, expected);
}

static void test_what_lies_in_what(void **state _unused_) {
        static const struct arrange_case cases[] = {
                { { NULL }, "", NULL },
                /* the host's own, and what is not the first of anything */
                { { "H", "I c7", "A p10 n" }, "", NULL },
                { { "A p10", "B p11 u20" }, "A new, B new", NULL },
                /* outer ones first, however they are found */
                { { "C p12.11.10", "B p11.10", "A p10" }, "A new, B new<A, C new<B", NULL },
                { { "B p11.10", "A p10 r" }, "A registered, B within<A", "A registered, B new<A" },
                { { "C p12.11.10", "B p11.10", "A p10 r" }, "A registered, B within<A, C within<B", "A registered, B new<A, C new<B" },
                /* what was unregistered takes in no new ones */
                { { "B p11.10", "A p10 h" }, "A held, B within<A", NULL },
                { { "A p10 r", "B p11" }, "A registered, B new", NULL },
                /* the host's pid namespace: only a run time's word, and only with a cgroup */
                { { "A c1 t", "B c2" }, "A new", NULL },
                { { "A t" }, "A unfit", NULL },
                { { "A c1 t", "B c1 t u20" }, "A new, B new", NULL },
                { { "A c1 t", "B c2.1 t" }, "A new, B new<A", NULL },
                { { "A c1 R", "B c2.1 t", "C c3 t" }, "A registered, C new, B within<A", "A registered, C new, B new<A" },
                /* a cgroup is believed only in the same user namespace */
                { { "A c1 R", "B c2.1 p10 u20" }, "A registered, B new", NULL },
                { { "A c1 R", "B c2.1 p10" }, "A registered, B within<A", "A registered, B new<A" },
                /* a pod that shares a pid namespace: the second one by its run time's word and its cgroup */
                { { "B p10 n c2 t", "A p10 c1" }, "A new, B new<A", NULL },
                { { "B p10 n c2 t", "A p10 c1 r" }, "A registered, B within<A", "A registered, B new<A" },
                { { "B p10 n", "A p10" }, "A new", NULL },
                /* a user namespace alone: shown once, as its container or by its oldest process */
                { { "A u20", "B u20", "C u21" }, "A unfit, C unfit", NULL },
                { { "A u20", "B u21.20" }, "A unfit", NULL },
                { { "A u20", "B c1 u20 t" }, "B new", NULL },
                { { "A u20", "B c1 u20 R" }, "B registered", NULL },
                { { "A u20", "B p10 u20" }, "A unfit, B new", NULL },
                /* several in one cgroup */
                { { "A p10 c1", "B p10 n c1", "H c2" }, "A new", NULL },
                { { "A p10 c1", "H c1" }, "A new", NULL },
                { { "A p10 c1", "B p11 c1" }, "A new, B new", NULL },
                { { "A p10 c1", "B p11.10 c1" }, "A new, B new<A", NULL },
                { { "A p10 c1", "B p10 n c2.1" }, "A new", NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                run_case(&cases[i], false);
                run_case(&cases[i], true);
        }
}

/* A row says when, so that a successor with the same number is not taken for the one that was registered. */
static void test_who_started_later_is_not_registered(void **state _unused_) {
        struct registered rows[] = { { .pid = 100, .time = 50000000 }, { .pid = 101, .time = 60000000 } };
        const struct registered_list list = { rows, ELEMENTS(rows) };

        assert_ptr_equal(discover_registered(&list, 100, 1), &rows[0]);
        assert_ptr_equal(discover_registered(&list, 100, 50000000), &rows[0]);
        assert_null(discover_registered(&list, 100, 52000000));
        assert_ptr_equal(discover_registered(&list, 101, 52000000), &rows[1]);
        assert_null(discover_registered(&list, 102, 1));
}

static void test_names_are_unique(void **state _unused_) {
        _cleanup_(discovery_done) struct discovery discovery = { 0 };
        struct registered row = { .pid = 1, .name = "web" };
        const struct registered_list list = { &row, 1 };
        char name[UPCALL_NAME_MAX + 1];
        struct process process;

        for (uint32_t i = 0; i < 4; i++) {
                (void) snprintf(name, sizeof(name), "A p%u", 10 + i);
                process = read_process(name, 100 + i);
                add_process(&discovery, &process);
                if (i < 2)
                        hint_set(discovery.items[i]->hint.name, HINT_TEXT_MAX + 1, "web");
                else
                        memset(discovery.items[i]->hint.name, 'x', HINT_TEXT_MAX);
        }
        discover_arrange(&discovery, &list, false);
        assert_string_equal(discovery.items[0]->name, "web-2");
        assert_string_equal(discovery.items[1]->name, "web-3");
        assert_int_equal(strlen(discovery.items[2]->name), HINT_NAME_MAX);
        assert_int_equal(strlen(discovery.items[3]->name), HINT_NAME_MAX + 2);
}

/* ---- hints ---- */

static void test_names_are_safe(void **state _unused_) {
        static const struct {
                struct hint hint;
                const char *expected;
        } cases[] = {
                { { .name = "web-1" }, "web-1" },
                { { .name = "/web" }, "web" },
                { { .name = "../../etc/passwd" }, "etc_passwd" },
                { { .name = "--yes" }, "yes" },
                { { .name = "a b\n\x1b[2J;c=\"d\"" }, "a_b___2J_c__d_" },
                { { .name = "\xc3\xa4pfel" }, "pfel" },
                { { .name = "\n", .id = "0123456789abcdef", .runtime = RUNTIME_PODMAN }, "podman-0123456789ab" },
                { { .id = "../x", .runtime = RUNTIME_RUNC }, "runc-x" },
                { { .id = "///", .runtime = RUNTIME_NSPAWN }, "systemd-nspawn-77" },
                { { .runtime = RUNTIME_NONE }, "pidns-77" },
        };
        char name[UPCALL_NAME_MAX + 1];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                hint_name(&cases[i].hint, "pidns", 77, name);
                assert_string_equal(name, cases[i].expected);
                assert_true(message_name_valid(wire_span(name, strlen(name)), UPCALL_NAME_MAX));
        }
}

static void test_command_lines(void **state _unused_) {
        static const struct {
                const char *program, *words; /* with ; for NUL */
                enum runtime runtime;
                const char *id, *name;
        } cases[] = {
                { "conmon", "/usr/bin/conmon;--api-version;1;-c;abc;-u;abc;-r;/usr/bin/runc;-n;web;--exit-dir;/run/libpod/exits;", RUNTIME_PODMAN, "abc", "web" },
                { "conmon", "conmon;-c;abc;-n;k8s_x;--exit-dir;/var/run/crio/exits;", RUNTIME_CRIO, "abc", "k8s_x" },
                { "conmon", "conmon;--cid=abc;--name=web;", RUNTIME_PODMAN, "abc", "web" },
                { "conmon", "conmon;-c;", RUNTIME_PODMAN, "", "" },
                { "conmon", "conmon;-c;;-n;web;", RUNTIME_PODMAN, "", "web" },
                { "conmon", ";;;", RUNTIME_PODMAN, "", "" },
                { "containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2;-namespace;k8s.io;-id;abc;-address;/run/c.sock;", RUNTIME_CONTAINERD, "abc", "" },
                { "containerd-shim-runc-v2", "containerd-shim-runc-v2;-namespace;moby;-id;abc;", RUNTIME_DOCKER, "abc", "" },
                { "systemd-nspawn", "systemd-nspawn;-D;/m;-M;db;/bin/sh;-M;other;", RUNTIME_NSPAWN, "", "db" },
                { "systemd-nspawn", "systemd-nspawn;--machine=db;", RUNTIME_NSPAWN, "", "db" },
                { "systemd-nspawn", "systemd-nspawn;--machine-id;x;", RUNTIME_NSPAWN, "", "" },
                { "lxc-start", "[lxc monitor] /var/lib/lxc db;", RUNTIME_LXC, "", "db" },
                { "lxc-start", "[lxc monitor] ;", RUNTIME_LXC, "", "" },
                { "lxc-execute", "lxc-execute;-n;db;--;sleep;1;", RUNTIME_LXC, "", "db" },
                { "bash", "conmon;-c;abc;-n;web;", RUNTIME_NONE, "", "" },
                { "conmon", "", RUNTIME_NONE, "", "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t size = strlen(cases[i].words);
                _cleanup_free_ char *words = malloc(size + 1); /* exactly as long as it is: what is read behind it shows */
                struct hint hint = { .runtime = RUNTIME_NONE };

                assert_non_null(words);
                for (size_t j = 0; j < size; j++)
                        words[j] = (char) (cases[i].words[j] == ';' ? '\0' : cases[i].words[j]);
                assert_int_equal(hint_from_command(cases[i].program, words, size, 7, &hint), cases[i].runtime != RUNTIME_NONE);
                assert_int_equal(hint.runtime, cases[i].runtime);
                assert_string_equal(hint.id, cases[i].id);
                assert_string_equal(hint.name, cases[i].name);
        }
        assert_false(hint_from_command("conmon", "x", 1, 7, &(struct hint){ 0 }));
}

static void test_what_is_too_long_is_not_cut_to_something_else(void **state _unused_) {
        char words[1024] = "conmon";
        struct hint hint;

        memcpy(words + 7, "-n", 3);
        memset(words + 10, 'x', 600);
        assert_true(hint_from_command("conmon", words, 611, 7, &hint));
        assert_string_equal(hint.name, "");
}

static void test_two_hints_about_one(void **state _unused_) {
        static const struct {
                struct hint state, monitor, expected;
        } cases[] = {
                { { .runtime = RUNTIME_NONE }, { .runtime = RUNTIME_NONE }, { .runtime = RUNTIME_NONE } },
                { { RUNTIME_RUNC, "abc", "", "file" }, { .runtime = RUNTIME_NONE }, { RUNTIME_RUNC, "abc", "", "file" } },
                { { .runtime = RUNTIME_NONE }, { RUNTIME_NSPAWN, "", "db", "p" }, { RUNTIME_NSPAWN, "", "db", "p" } },
                { { RUNTIME_RUNC, "abc", "", "file" }, { RUNTIME_PODMAN, "abc", "web", "p" }, { RUNTIME_PODMAN, "abc", "web", "p" } },
                { { RUNTIME_RUNC, "abc", "pod.x", "file" }, { RUNTIME_CRIO, "abc", "web", "p" }, { RUNTIME_CRIO, "abc", "pod.x", "file" } },
                /* a shim of the whole pod */
                { { RUNTIME_CONTAINERD, "abc", "", "file" }, { RUNTIME_CONTAINERD, "pause", "web", "p" }, { RUNTIME_CONTAINERD, "abc", "", "file" } },
                { { RUNTIME_DOCKER, "abc", "", "file" }, { RUNTIME_CONTAINERD, "abc", "", "p" }, { RUNTIME_DOCKER, "abc", "", "file" } },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct hint hint = hint_merge(&cases[i].state, &cases[i].monitor);

                assert_memory_equal(&hint, &cases[i].expected, sizeof(hint));
        }
}

/* ---- files of run times ---- */

static void test_state_that_is_believed(void **state _unused_) {
        static const struct {
                enum runtime runtime;
                const char *text, *name;
        } cases[] = {
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99}", "" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"labels\":[\"bundle=/b\"]}}", "" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"labels\":[7,null,\"nerdctl/name=w\"]}}", "w" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"labels\":["
                  "\"io.kubernetes.cri.container-name=c\",\"io.kubernetes.cri.sandbox-name=p\",\"io.kubernetes.cri.sandbox-namespace=n\"]}}", "n.p.c" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"labels\":{\"a\":1}}}", "" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":7}", "" },
                { RUNTIME_RUNC, "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"labels\":[\"nerdctl/name=a\\u0000b\"]}}", "" },
                { RUNTIME_CRUN, "{\"pid\":7,\"process-start-time\":99,\"bundle\":\"/b\"}", "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct runtime_state found;

                assert_int_equal(runtime_state_parse(cases[i].runtime, "abc", cases[i].text, strlen(cases[i].text), &found), 0);
                assert_int_equal(found.pid, 7);
                assert_int_equal(found.start_time, 99);
                assert_string_equal(found.hint.id, "abc");
                assert_string_equal(found.hint.name, cases[i].name);
        }
}

static void test_state_that_is_not_believed(void **state _unused_) {
        static const char *const texts[] = {
                "", " ", "{", "[]", "null", "7", "\"x\"", "{}",
                "{\"id\":\"abc\",\"init_process_pid\":7}",
                "{\"id\":\"abc\",\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":\"7\",\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":7.5,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":0,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":-7,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":4294967303,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":18446744073709551615,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":0}",
                "{\"id\":\"abc\",\"init_process_pid\":[7],\"init_process_start\":99}",
                "{\"id\":\"other\",\"init_process_pid\":7,\"init_process_start\":99}",
                "{\"id\":7,\"init_process_pid\":7,\"init_process_start\":99}",
                "{\"id\":\"abc\\u0000\",\"init_process_pid\":7,\"init_process_start\":99}",
                "{\"id\":\"abc\",\"init_process_pid\":7,\"init_process_start\":99,\"config\":{\"lab",
        };
        struct runtime_state found;

        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (runtime_state_parse(RUNTIME_RUNC, "abc", texts[i], strlen(texts[i]), &found) != -EBADMSG)
                        fail_msg("believed: %s", texts[i]);
        assert_int_equal(runtime_state_parse(RUNTIME_LXC, "abc", "{}", 2, &found), -EBADMSG);
}

static void write_state(const char *root, const char *place, const char *file, uint32_t pid, mode_t folder_mode, mode_t mode) {
        char path[256];
        FILE *out;

        (void) snprintf(path, sizeof(path), "%s/%s", root, place);
        for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                (void) mkdir(path, 0755);
                *slash = '/';
        }
        (void) mkdir(path, 0755);
        assert_int_equal(chmod(path, folder_mode), 0);
        (void) snprintf(path, sizeof(path), "%s/%s/%s", root, place, file);
        out = fopen(path, "w");
        assert_non_null(out);
        (void) fprintf(out, "{\"id\":\"%s\",\"init_process_pid\":%u,\"init_process_start\":%u,\"pid\":%u,\"process-start-time\":%u}",
                       strrchr(place, '/') + 1, pid, pid, pid, pid);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(chmod(path, mode), 0);
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_) {
        return remove(path);
}

static void test_only_files_that_root_alone_can_write_count(void **state _unused_) {
        _cleanup_(runtime_states_done) struct runtime_states states = { 0 };
        char root[] = "/tmp/test-discover-XXXXXX", path[128];

        assert_non_null(mkdtemp(root));
        write_state(root, "run/runc/a", "state.json", 10, 0711, 0600);
        write_state(root, "run/runc/b", "state.json", 11, 0711, 0620);
        write_state(root, "run/runc/c", "state.json", 12, 0777, 0600);
        write_state(root, "run/runc/d", "other.json", 13, 0711, 0600);
        write_state(root, "run/crun/e", "status", 14, 0711, 0600);
        write_state(root, "run/containerd/runc/moby/f", "state.json", 15, 0711, 0600);
        write_state(root, "run/containerd/runc/k8s.io/g", "state.json", 16, 0711, 0600);
        (void) snprintf(path, sizeof(path), "%s/run/runc/h", root);
        assert_int_equal(symlink("a", path), 0);
        write_state(root, "run/elsewhere/i", "state.json", 17, 0711, 0600);
        (void) snprintf(path, sizeof(path), "%s/run/docker", root);
        assert_int_equal(mkdir(path, 0755), 0);
        (void) snprintf(path, sizeof(path), "%s/run/docker/runtime-runc", root);
        assert_int_equal(mkdir(path, 0755), 0);
        (void) snprintf(path, sizeof(path), "%s/run/docker/runtime-runc/moby", root);
        assert_int_equal(symlink("../../elsewhere", path), 0);
        write_state(root, "run/containerd/runc/other/j", "state.json", 18, 0711, 0600);
        assert_int_equal(runtime_states_read(root, geteuid(), &states), 0);
        assert_int_equal(states.n, 5);
        assert_non_null(runtime_states_find(&states, 10, 10));
        assert_int_equal(runtime_states_find(&states, 10, 10)->hint.runtime, RUNTIME_RUNC);
        assert_string_equal(runtime_states_find(&states, 10, 10)->hint.source, "/run/runc/a/state.json");
        assert_int_equal(runtime_states_find(&states, 14, 14)->hint.runtime, RUNTIME_CRUN);
        assert_int_equal(runtime_states_find(&states, 15, 15)->hint.runtime, RUNTIME_DOCKER);
        assert_int_equal(runtime_states_find(&states, 16, 16)->hint.runtime, RUNTIME_CONTAINERD);
        assert_string_equal(runtime_states_find(&states, 18, 18)->hint.source, "/run/containerd/runc/other/j/state.json");
        assert_null(runtime_states_find(&states, 10, 11));
        assert_null(runtime_states_find(&states, 11, 11));
        runtime_states_done(&states);
        /* all of them another's */
        assert_int_equal(runtime_states_read(root, geteuid() + 1, &states), 0);
        assert_int_equal(states.n, 0);
        assert_int_equal(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_lies_in_what),
                cmocka_unit_test(test_who_started_later_is_not_registered),
                cmocka_unit_test(test_names_are_unique),
                cmocka_unit_test(test_names_are_safe),
                cmocka_unit_test(test_command_lines),
                cmocka_unit_test(test_what_is_too_long_is_not_cut_to_something_else),
                cmocka_unit_test(test_two_hints_about_one),
                cmocka_unit_test(test_state_that_is_believed),
                cmocka_unit_test(test_state_that_is_not_believed),
                cmocka_unit_test(test_only_files_that_root_alone_can_write_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
