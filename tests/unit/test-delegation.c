/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rights, what may be passed on, and what a delegation takes with it in the registry. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>

#include "broker/control-internal.h"
#include "broker/delegation.h"
#include "broker/rights.h"
#include "broker/route.h"
#include "tests/unit/registry-fixture.h"

/* ---- rights ---- */

static void test_every_verb_is_in_the_table_once(void **state _unused_) {
        const struct verb *const groups[] = { control_status_verbs, control_container_verbs, control_agent_verbs, control_route_verbs, control_key_verbs,
                                              control_run_verbs, control_delegation_verbs };

        for (size_t i = 0; i < ELEMENTS(groups); i++)
                for (const struct verb *verb = groups[i]; verb->op; verb++) {
                        int n = 0;

                        for (const struct rights *row = rights_table; row->command; row++)
                                n += row->verb == verb->verb;
                        if (n != 1)
                                fail_msg("%s has %d rows", verb->op, n);
                }
}

static void test_nobody_else_may_give_an_order(void **state _unused_) {
        for (const struct rights *row = rights_table; row->command; row++) {
                if (row->verb == RIGHTS_ATTACH)
                        continue;
                assert_int_equal(row->right[RIGHTS_OTHER], RIGHT_NO);
                assert_int_equal(row->right[RIGHTS_ADMINISTRATOR], RIGHT_YES);
                assert_int_not_equal(row->right[RIGHTS_CONTAINER_ROOT], RIGHT_YES);
        }
        assert_int_equal(rights_of(UPCALL_VERB_RELOAD, RIGHTS_CONTAINER_ROOT), RIGHT_NO);
        assert_int_equal(rights_of(9999, RIGHTS_ADMINISTRATOR), RIGHT_NO);
}

/* ---- globs ---- */

static void test_glob_that_is_covered_beyond_doubt(void **state _unused_) {
        static const struct {
                const char *wide, *narrow;
                bool covers;
        } cases[] = {
                { "*", "*", true },           { "*", "a", true },            { "*", "?", true },           { "*", "[ab]*", true },
                { "db:*", "db:*", true },     { "db:*", "db:one", true },    { "db:*", "db:", true },      { "db:*", "db:?*", true },
                { "db:*", "db*", false },     { "db:*", "*", false },        { "db:*", "d?:*", false },    { "db:*", "\\db:*", true },
                { "?", "a", true },           { "?", "[ab]", true },         { "?", "*", false },          { "?", "ab", false },
                { "a", "?", false },          { "a", "\\a", true },          { "a", "[a]", false },        { "[ab]", "a", true },
                { "[ab]", "c", false },       { "[ab]", "[ab]", true },      { "[ab]", "[ba]", false },    { "[!a]", "b", true },
                { "[!a]", "a", false },       { "[]a]", "]", true },         { "[[:digit:]]", "7", true }, { "[[:digit:]]", "x", false },
                { "*a*", "bab", true },       { "*a*", "*a*", true },        { "*a*", "*b*", false },      { "*a*b", "a*b", true },
                { "*ab", "a*ab", true },      { "*ab", "a*b", false },       { "a*", "*a", false },        { "**", "*", true },
                { "*", "**", true },          { "*?", "*", false },          { "?*", "*?", false },        { "\\*", "*", false },
                { "\\*", "\\*", true },       { "\\?", "a", false },         { "", "", true },             { "", "a", false },
                { "a", "", false },           { "*x*y*z", "x1y2z", true },   { "*x*y*z", "x1z2y", false }, { "[a\\]]", "]", true },
                { "db:[a-c]*", "db:b1", true }, { "db:[a-c]*", "db:d1", false }, { "db:[a-c]*", "db:[a-b]*", false }, { "[^a]x", "bx", true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (delegation_glob_covers(cases[i].wide, cases[i].narrow) != cases[i].covers)
                        fail_msg("%s %s %s", cases[i].wide, cases[i].covers ? "covers" : "does not cover", cases[i].narrow);
}

static void make_word(char *word, size_t size, const char *letters) {
        size_t length = (size_t) random() % size;

        for (size_t i = 0; i < length; i++)
                word[i] = letters[(size_t) random() % strlen(letters)];
        word[length] = '\0';
}

static bool is_a_glob(const char *text) {
        return !route_problem(&(struct route){ .key_type = "user", .description = text, .action = UPCALL_ACTION_DEFER });
}

/* Whatever the inner one matches the outer one matches as well, by fnmatch(3) itself */
static void test_covered_glob_matches_nothing_else(void **state _unused_) {
        char wide[8], narrow[8], text[7];
        unsigned n_covered = 0, n_matched = 0;

        srandom(1);
        for (unsigned i = 0; i < 300000; i++) {
                make_word(wide, sizeof(wide), "ab*?*[]!\\^");
                make_word(narrow, sizeof(narrow), "ab*?[]!\\");
                if (!is_a_glob(wide) || !is_a_glob(narrow) || !delegation_glob_covers(wide, narrow))
                        continue;
                n_covered++;
                for (unsigned j = 0; j < 20; j++) {
                        make_word(text, sizeof(text), "ab]\\*?!");
                        if (fnmatch(narrow, text, 0) != 0)
                                continue;
                        n_matched++;
                        if (fnmatch(wide, text, 0) != 0)
                                fail_msg("%s is said to cover %s, which matches %s", wide, narrow, text);
                }
        }
        assert_true(n_covered > 5000);
        assert_true(n_matched > 5000);
}

static void test_route_that_no_entry_covers(void **state _unused_) {
        static const struct {
                const char *types, *key_type, *description;
                bool covers;
        } cases[] = {
                { "user:*", "user", "db:*", true },           { "user:*", "user", "*", true },           { "user:db:*", "user", "db:a", true },
                { "user:db:*", "user", "web:a", false },      { "user:*", "cifs.spnego", "a", false },   { "user:*", "*", "a", false },
                { "user:*", "use?", "a", false },             { "*:*", "cifs.spnego", "*", true },       { "", "user", "a", false },
                { "user:a*,user:b*", "user", "[ab]*", false }, { "user:a*,user:b*", "user", "b1", true }, { "cifs.*:*,user:x", "user", "x", true },
                { NULL, "user", "a", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (delegation_covers_route(cases[i].types, cases[i].key_type, cases[i].description) != cases[i].covers)
                        fail_msg("%s, %s:%s", cases[i].types, cases[i].key_type, cases[i].description);
}

/* ---- limits ---- */

static void test_limits_that_make_no_sense(void **state _unused_) {
        static const struct {
                const char *types;
                uint64_t expires;
                bool good;
        } cases[] = {
                { "", 0, true },          { NULL, 0, true },            { "user:*", 0, true },        { "user:*,cifs.spnego:*", 1001, true },
                { "user", 0, false },     { "user:", 0, false },        { ":a", 0, false },           { "user:*,", 0, false },
                { ",user:*", 0, false },  { "user:[", 0, false },       { "user:a\\", 0, false },     { "user:********a*b*c*d*e*f*g*h*i*j", 0, false },
                { "user:*", 1000, false }, { "user:*", 999, false },    { "user:*", UINT64_MAX, false },
                { "12345678901234567890123456789012:*", 0, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct delegation_limits limits = { .types = cases[i].types, .expires = cases[i].expires };
                const char *problem = delegation_problem(&limits, 1000);

                if (!problem != cases[i].good)
                        fail_msg("%s, %" PRIu64 ": %s", cases[i].types, cases[i].expires, problem ?: "is good");
        }
}

static void test_too_many_types(void **state _unused_) {
        static const char one[] = { 'u', ':', 'a', ',' };
        char types[2 * UPCALL_TYPES_MAX] = "";
        struct delegation_limits limits = { .types = types };

        for (size_t n = 1; n <= DELEGATION_ENTRIES_MAX + 1; n++) {
                memcpy(types + (n - 1) * sizeof(one), one, sizeof(one));
                types[n * sizeof(one) - 1] = '\0';
                assert_int_equal(!delegation_problem(&limits, 1), n <= DELEGATION_ENTRIES_MAX);
                types[n * sizeof(one) - 1] = ',';
        }
        memset(types, 'x', UPCALL_TYPES_MAX + 1);
        memcpy(types, "user:", 5);
        types[UPCALL_TYPES_MAX + 1] = '\0';
        assert_non_null(delegation_problem(&limits, 1));
}

static void test_no_more_is_passed_on_than_there_is(void **state _unused_) {
        static const struct delegation_limits has = { .types = "user:db:*,cifs.spnego:*", .max_containers = 3, .max_agents = 2, .depth = 2, .expires = 1000 };
        static const struct {
                struct delegation_limits passed;
                unsigned levels;
                bool good;
        } cases[] = {
                { { "user:db:*", 3, 2, 1, 1000 }, 1, true },  { { "", 0, 0, 0, 1 }, 1, true },              { { "user:db:a", 1, 1, 0, 999 }, 2, true },
                { { "user:db:*", 3, 2, 1, 1000 }, 0, false }, { { "user:db:*", 3, 2, 2, 1000 }, 1, false }, { { "user:db:*", 3, 2, 1, 1000 }, 2, false },
                { { "user:db:*", 3, 2, 0, 1000 }, 3, false }, { { "user:db:*", 4, 2, 1, 1000 }, 1, false }, { { "user:db:*", 3, 3, 1, 1000 }, 1, false },
                { { "user:*", 3, 2, 1, 1000 }, 1, false },    { { "user:db:*,user:x", 1, 1, 1, 1 }, 1, false }, { { "*:db:*", 1, 1, 1, 1 }, 1, false },
                { { "user:db:*", 3, 2, 1, 1001 }, 1, false }, { { "user:db:*", 3, 2, 1, 0 }, 1, false },    { { "cifs.spnego:x,user:db:y", 0, 0, 0, 1 }, 1, true },
                { { "", UINT32_MAX, 0, 0, 1 }, 1, false },    { { "", 0, 0, UINT32_MAX, 1 }, 1, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (!delegation_passing_problem(&has, &cases[i].passed, cases[i].levels) != cases[i].good)
                        fail_msg("case %zu: %s", i, delegation_passing_problem(&has, &cases[i].passed, cases[i].levels) ?: "is good");
}

/* ---- in the registry ---- */

static int64_t add_delegation(Registry *registry, int64_t container, int64_t parent) {
        struct registry_delegation delegation = { .container = container, .parent = parent, .limits = { .types = "user:*", .max_containers = 9, .max_agents = 9,
                                                  .depth = 9, .expires = parent ? 0 : 77 }, .time = 1 };

        assert_int_equal(registry_add_delegation(registry, &delegation), 0);
        assert_true(delegation.id > 0);
        return delegation.id;
}

/* A container that was registered by a delegation, with an agent and a route that came by it as well */
static int64_t add_grown(Registry *registry, uint8_t number, int64_t delegation) {
        struct registry_container container = sample(number);
        struct registry_agent agent = { .name = "keys", .kind = UPCALL_AGENT_RESIDENT, .delegation = delegation };
        struct registry_route route = { .action = UPCALL_ACTION_ANSWER, .key_type = "user", .description = "*", .delegation = delegation };
        char name[8];

        (void) snprintf(name, sizeof(name), "c%u", number);
        container.name = name;
        container.delegation = delegation;
        assert_int_equal(registry_add_container(registry, &container), 0);
        agent.container = route.container = container.id;
        assert_int_equal(registry_add_agent(registry, &agent), 0);
        route.agents[route.n_agents++] = agent.id;
        assert_int_equal(registry_add_route(registry, &route), 0);
        return container.id;
}

static int count_delegation(void *userdata, const struct registry_delegation *row) {
        assert_string_equal(row->limits.types, "user:*");
        assert_true(row->limits.max_containers == 9 && row->limits.max_agents == 9 && row->limits.depth == 9 && row->time == 1);
        assert_true(row->limits.expires == (row->parent ? 0 : 77));
        return (*(int *) userdata)++, 0;
}

static int n_delegations(Registry *registry) {
        int n = 0;

        assert_int_equal(registry_each_delegation(registry, count_delegation, &n), 0);
        return n;
}

static int count_active(void *userdata, const struct registry_container *row) {
        *(int *) userdata += row->state == UPCALL_CONTAINER_ACTIVE;
        if (row->state != UPCALL_CONTAINER_ACTIVE)
                assert_string_equal(row->reason, "delegation-ended");
        return 0;
}

struct rows {
        int active, agents, routes, delegations;
};

static void assert_rows(Registry *registry, struct rows wanted) {
        struct rows rows = {};

        assert_int_equal(registry_each_container(registry, false, count_active, &rows.active), 0);
        assert_int_equal(registry_each_agent(registry, 0, count_agent, &rows.agents), 0);
        assert_int_equal(registry_each_route(registry, 0, count_route, &rows.routes), 0);
        rows.delegations = n_delegations(registry);
        if (memcmp(&rows, &wanted, sizeof(rows)) != 0)
                fail_msg("%d active, %d agents, %d routes, %d delegations", rows.active, rows.agents, rows.routes, rows.delegations);
}

/* web (the administrator's) ─ 1 ─▶ c2 ─ 2, passed on ─▶ c3 ─ 3, the administrator's own ─▶ c4 */
static void test_removal_takes_all_that_grew_with_it(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t web = add_container(registry, 1, "web"), first = add_delegation(registry, web, 0), second, third;
        int64_t c2 = add_grown(registry, 2, first), c3;

        (void) add_agent(registry, web, "own");
        second = add_delegation(registry, c2, first);
        c3 = add_grown(registry, 3, second);
        third = add_delegation(registry, c3, 0);
        (void) add_grown(registry, 4, third);
        registry = reopen(fixture);
        assert_rows(registry, (struct rows){ 4, 4, 3, 3 });
        assert_int_equal(registry_remove_delegation(registry, first), 0);
        assert_rows(registry, (struct rows){ 1, 1, 0, 0 });
        assert_int_equal(registry_remove_delegation(registry, first), -ENOENT);
        assert_rows(reopen(fixture), (struct rows){ 1, 1, 0, 0 });
}

static void test_end_of_the_container_ends_it(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t web = add_container(registry, 1, "web"), other = add_container(registry, 9, "other"), first = add_delegation(registry, web, 0);

        (void) add_grown(registry, 2, first);
        (void) add_grown(registry, 3, add_delegation(registry, other, 0));
        assert_int_equal(registry_set_container_state(registry, web, UPCALL_CONTAINER_HELD, 0, "delegation-ended"), 0);
        assert_rows(registry, (struct rows){ 2, 1, 1, 1 });
}

static void test_rows_that_no_delegation_may_have(void **state) {
        struct fixture *fixture = *state;
        Registry *registry = reopen(fixture);
        int64_t web = add_container(registry, 1, "web"), first = add_delegation(registry, web, 0);
        struct registry_delegation second = { .container = web, .limits = { .types = "" }, .time = 1 };
        struct registry_agent agent = { .container = web, .name = "keys", .kind = UPCALL_AGENT_RESIDENT, .delegation = first + 1 };

        assert_int_equal(registry_add_delegation(registry, &second), -EEXIST);
        second.container = web + 1;
        assert_int_equal(registry_add_delegation(registry, &second), -ENOENT);
        second.container = add_container(registry, 2, "other");
        second.parent = first + 7; /* neither there nor older */
        assert_true(registry_add_delegation(registry, &second) < 0);
        assert_int_equal(registry_add_agent(registry, &agent), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_verb_is_in_the_table_once),
                cmocka_unit_test(test_nobody_else_may_give_an_order),
                cmocka_unit_test(test_glob_that_is_covered_beyond_doubt),
                cmocka_unit_test(test_covered_glob_matches_nothing_else),
                cmocka_unit_test(test_route_that_no_entry_covers),
                cmocka_unit_test(test_limits_that_make_no_sense),
                cmocka_unit_test(test_too_many_types),
                cmocka_unit_test(test_no_more_is_passed_on_than_there_is),
                TEST(test_removal_takes_all_that_grew_with_it),
                TEST(test_end_of_the_container_ends_it),
                TEST(test_rows_that_no_delegation_may_have),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
