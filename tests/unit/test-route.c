/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rule answers: matching, what is more specific, and what cannot become a rule. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "broker/route.h"
#include "upcall/protocol.h"
#include "util/cleanup.h"
#include "util/deadline.h"

#define USER UPCALL_ORIGIN_USER
#define KERNEL UPCALL_ORIGIN_KERNEL

static struct route make_route(const char *key_type, const char *description, const char *callout) {
        return (struct route){ .id = 1, .key_type = key_type, .description = description, .callout = callout, .action = UPCALL_ACTION_DEFER };
}

static bool matches(const struct route *route, const struct route_subject *subject) {
        return route_find(&route, 1, subject) == route;
}

/* Matching */

static const struct {
        const char *glob, *text;
        bool expected;
} globs[] = {
        { "db:one", "db:one", true },       { "db:one", "db:two", false },      { "db:one", "db:one2", false },  { "db:one", "db:on", false },
        { "db:one", "", false },            { "*", "", true },                  { "*", "anything /.\n at all", true },
        { "db:*", "db:", true },            { "db:*", "db:x/y", true },         { "db:*", "dbx", false },        { "db:*", "xdb:", false },
        { "*:one", "db:one", true },        { "*:one", ":one", true },          { "*:one", "db:one ", false },   { "*", ".hidden", true },
        { "?", "a", true },                 { "?", "", false },                 { "?", "ab", false },            { "?", ".", true },
        { "?", "/", true },                 { "a*b*c", "abc", true },           { "a*b*c", "axxbyyc", true },    { "a*b*c", "axxcyyb", false },
        { "[abc]", "b", true },             { "[abc]", "d", false },            { "[!abc]", "d", true },         { "[!abc]", "a", false },
        { "[^abc]", "d", true },            { "[a-c]x", "bx", true },           { "[a-c]x", "dx", false },       { "[]]", "]", true },
        { "[!]]", "]", false },             { "[!]]", "a", true },              { "[]a]", "a", true },           { "[a-]", "-", true },
        { "[[:digit:]]", "7", true },       { "[[:digit:]]", "x", false },      { "[[:alpha:]_]*", "_x", true }, { "[[]", "[", true },
        { "[\\]]", "]", true },             { "[a\\]b]", "]", true },           { "\\*", "*", true },            { "\\*", "x", false },
        { "\\?", "?", true },               { "\\[a]", "[a]", true },           { "\\[a]", "a", false },         { "\\\\", "\\", true },
        { "\\a", "a", true },               { "a\\*b", "a*b", true },           { "a\\*b", "axb", false },       { "DB:*", "db:x", false },
        { "[!a]*", "", false },             { "**", "x", true },                { "a**b", "ab", true },          { "*?*", "", false },
        { "*?*", "x", true },               { "cifs.spnego", "cifs_spnego", false }, { "db:one\n", "db:one\n", true },
        { "uid=0x0;*", "uid=0x0;creduid=0x0;pid=0x12", true }, { "\xc3\xa4?", "\xc3\xa4x", true }, { "?", "\xff", true }, { "??", "\xc3\xa4", true },
};

static void test_each_part_is_matched_by_its_glob(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTS(globs); i++) {
                struct route by_type = make_route(globs[i].glob, "*", NULL), by_description = make_route("*", globs[i].glob, NULL),
                             by_callout = make_route("*", "*", globs[i].glob);
                struct route_subject type = { .key_type = globs[i].text, .description = "d" },
                                     description = { .key_type = "user", .description = globs[i].text },
                                     callout = { .key_type = "user", .description = "d", .callout = globs[i].text,
                                                 .callout_size = strlen(globs[i].text) };

                if (matches(&by_type, &type) != globs[i].expected || matches(&by_description, &description) != globs[i].expected ||
                    matches(&by_callout, &callout) != globs[i].expected)
                        fail_msg("%s and %s", globs[i].glob, globs[i].text);
                if (route_problem(&by_type) || route_problem(&by_description) || route_problem(&by_callout))
                        fail_msg("%s: %s", globs[i].glob, route_problem(&by_description));
        }
}

static void test_callout_info_counts_up_to_its_first_nul(void **state _unused_) {
        static const struct {
                const char *glob, *data;
                size_t size;
                bool expected;
        } cases[] = {
                { NULL, NULL, 0, true },       { "*", NULL, 0, true },      { "?*", NULL, 0, false },   { "?*", "", 0, false },
                { NULL, "srv=1", 5, true },    { "srv=1", "srv=1", 5, true }, { "srv=1", "srv=1\0", 6, true }, { "srv=1", "srv=1\0x", 7, true },
                { "srv=1", "srv=1x", 6, false }, { "srv=1", "srv=1x", 5, true }, { "srv=1x", "srv=1\0x", 7, false }, { "?*", "\0srv=1", 6, false },
                { "*", "\0\0\0", 3, true },    { "*x", "\0x", 2, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct route route = make_route("user", "*", cases[i].glob);
                struct route_subject subject = { .key_type = "user", .description = "d", .callout = cases[i].data, .callout_size = cases[i].size };

                if (matches(&route, &subject) != cases[i].expected)
                        fail_msg("case %zu", i);
        }
}

static void test_callout_info_of_any_size_is_read_within_its_bounds(void **state _unused_) {
        static const size_t sizes[] = { 1, UPCALL_CALLOUT_MAX - 1, UPCALL_CALLOUT_MAX, UPCALL_CALLOUT_MAX + 1, 100000 };
        struct route any = make_route("user", "*", NULL), star = make_route("user", "*", "x*"), end = make_route("user", "*", "*x"),
                     empty = make_route("user", "*", "*");

        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                _cleanup_free_ char *data = malloc(sizes[i]); /* to the byte, for ASan and valgrind */
                struct route_subject subject = { .key_type = "user", .description = "d", .callout = data, .callout_size = sizes[i] };

                assert_non_null(data);
                memset(data, 'x', sizes[i]);
                assert_true(matches(&any, &subject));
                assert_int_equal(matches(&star, &subject), sizes[i] <= UPCALL_CALLOUT_MAX);
                assert_int_equal(matches(&end, &subject), sizes[i] <= UPCALL_CALLOUT_MAX);
                data[0] = '\0';
                assert_true(matches(&empty, &subject)); /* what lies behind the NUL does not count, however long */
                assert_false(matches(&star, &subject));
        }
}

static void escape(const char *text, char *glob) {
        for (; *text != '\0'; text++) {
                if (strchr("*?[\\", *text))
                        *glob++ = '\\';
                *glob++ = *text;
        }
        *glob = '\0';
}

static void test_a_description_of_every_byte_is_matched_when_escaped(void **state _unused_) {
        char all[256], glob[512], other[256];

        for (int i = 0; i < 255; i++)
                all[i] = (char) (i + 1);
        all[255] = '\0';
        escape(all, glob);
        for (int i = 0; i < 255; i++) {
                struct route route = make_route("user", glob, NULL);
                struct route_subject subject = { .key_type = "user", .description = other };

                memcpy(other, all, sizeof(all));
                assert_null(route_problem(&route));
                assert_true(matches(&route, &subject));
                other[i] = (char) (other[i] == 'x' ? 'y' : 'x');
                assert_false(matches(&route, &subject));
        }
        for (int i = 1; i < 256; i++) { /* and each byte in a bracket expression */
                const char byte[] = { (char) i, '\0' }, bracket[] = { '[', '\\', (char) i, ']', '\0' };
                struct route route = make_route("user", bracket, NULL);
                struct route_subject subject = { .key_type = "user", .description = byte };

                assert_null(route_problem(&route));
                assert_true(matches(&route, &subject));
        }
}

static void test_an_origin_is_matched(void **state _unused_) {
        struct route route = make_route("*", "*", NULL);
        struct route_subject subject = { .key_type = "user", .description = "d" };

        for (uint32_t wanted = 0; wanted <= 2; wanted++)
                for (uint32_t origin = 0; origin <= 1; origin++) {
                        route.origin = wanted;
                        subject.origin = origin;
                        assert_int_equal(matches(&route, &subject), wanted == 0 || wanted == origin + 1);
                }
}

/* Which of two */

#define R(number, type, desc, call, from, prio) \
        { .id = number, .key_type = type, .description = desc, .callout = call, .origin = from, .priority = prio }

static const struct {
        const char *what;
        struct route better, worse;
} pairs[] = {
        { "a literal type beats a glob",                R(2, "user", "*", NULL, 0, 0),       R(1, "us*", "*", NULL, 0, 9) },
        { "a literal beats a longer glob",              R(2, "user", "*", NULL, 0, 0),       R(1, "user*", "*", NULL, 0, 9) },
        { "type before description",                    R(2, "user", "*", NULL, 0, 0),       R(1, "use?", "db:one", NULL, 0, 9) },
        { "more of the type is fixed",                  R(2, "use*", "*", NULL, 0, 0),       R(1, "us*", "db:one", NULL, 0, 9) },
        { "literal description beats a glob",           R(2, "user", "db:one", NULL, 0, 0),  R(1, "user", "db:*", NULL, 0, 9) },
        { "literal description beats a glob that fixes it all", R(2, "user", "db:one", NULL, 0, 0), R(1, "user", "db:one*", NULL, 0, 9) },
        { "more of the description is fixed",           R(2, "user", "db:o*", NULL, 0, 0),   R(1, "user", "db:*", NULL, 0, 9) },
        { "fixed characters count, not the length",     R(2, "user", "db:*", NULL, 0, 0),    R(1, "user", "[a-z][a-z]*[a-z]", NULL, 0, 9) },
        { "and not question marks",                     R(2, "user", "db:*", NULL, 0, 0),    R(1, "user", "d?????", NULL, 0, 9) },
        { "fixed characters behind the star count",     R(2, "user", "d*:one", NULL, 0, 0),  R(1, "user", "db:*", NULL, 0, 9) },
        { "an escaped character is a fixed one",        R(2, "user", "\\d\\b\\:*", NULL, 0, 0), R(1, "user", "db*", NULL, 0, 9) },
        { "an escaped literal is a literal",            R(2, "user", "db\\:one", NULL, 0, 0), R(1, "user", "db:on*", NULL, 0, 9) },
        { "a bracket expression fixes nothing",         R(2, "user", "db*", NULL, 0, 0),     R(1, "user", "d[b]*", NULL, 0, 0) },
        { "description before callout",                 R(2, "user", "db:o*", NULL, 0, 0),   R(1, "user", "db:*", "srv=1", 0, 9) },
        { "literal callout beats a glob",               R(2, "user", "*", "srv=1", 0, 0),    R(1, "user", "*", "srv=*", 0, 9) },
        { "a callout glob beats any",                   R(2, "user", "*", "s*", 0, 0),       R(1, "user", "*", NULL, 0, 9) },
        { "more of the callout is fixed",               R(2, "user", "*", "sr*", 0, 0),      R(1, "user", "*", "s*", 0, 9) },
        { "callout before origin",                      R(2, "user", "*", "s*", 0, 0),       R(1, "user", "*", NULL, 1, 9) },
        { "an origin beats any",                        R(2, "user", "*", NULL, 1, 0),       R(1, "user", "*", NULL, 0, 9) },
        { "origin before priority",                     R(2, "user", "*", "*", 1, 0),        R(1, "user", "*", "*", 0, UINT32_MAX) },
        { "priority among equals",                      R(2, "user", "*", NULL, 0, 9),       R(1, "user", "*", NULL, 0, 8) },
        { "the highest priority",                       R(2, "user", "*", NULL, 0, UINT32_MAX), R(1, "user", "*", NULL, 0, 0) },
        { "the older among equals",                     R(1, "user", "*", NULL, 0, 9),       R(2, "user", "*", NULL, 0, 9) },
        { "different globs of one weight: the older",   R(1, "user", "db:*", NULL, 0, 0),    R(2, "user", "*one", NULL, 0, 0) },
        { "different globs of one weight: the priority", R(2, "user", "*one", NULL, 0, 1),   R(1, "user", "db:*", NULL, 0, 0) },
        { "a star for callout says no more than none",  R(1, "user", "*", "*", 0, 0),        R(2, "user", "*", NULL, 0, 0) },
        { "and no less",                                R(1, "user", "*", NULL, 0, 0),       R(2, "user", "*", "*", 0, 0) },
        { "numbers larger than 32 bits",                R(INT64_C(1) << 40, "user", "*", NULL, 0, 0), R((INT64_C(1) << 40) + 1, "user", "*", NULL, 0, 0) },
};

static void test_the_more_specific_one_wins_in_any_order(void **state _unused_) {
        const struct route_subject subject = { .key_type = "user", .description = "db:one", .callout = "srv=1", .callout_size = 5, .origin = USER };

        for (size_t i = 0; i < ELEMENTS(pairs); i++) {
                const struct route *better = &pairs[i].better, *worse = &pairs[i].worse;

                if (!matches(better, &subject) || !matches(worse, &subject))
                        fail_msg("%s: one does not match", pairs[i].what);
                if (route_find((const struct route *const[]){ better, worse }, 2, &subject) != better ||
                    route_find((const struct route *const[]){ worse, better }, 2, &subject) != better)
                        fail_msg("%s", pairs[i].what);
        }
}

static void test_only_what_matches_is_weighed(void **state _unused_) {
        static const struct route routes[] = {
                R(1, "user", "db:one", NULL, 0, 9), R(2, "user", "db:*", "srv=2", 0, 9), R(3, "user", "db:*", NULL, KERNEL + 1, 9),
                R(4, "*", "db:*", NULL, 0, 0),      R(5, "us*", "x*", NULL, 0, 9),       R(6, "logon", "db:two", NULL, 0, 9),
        };
        const struct route_subject subject = { .key_type = "user", .description = "db:two", .callout = "srv=1", .callout_size = 5, .origin = USER };
        const struct route *all[ELEMENTS(routes)];
        struct route_subject other = subject;

        for (size_t i = 0; i < ELEMENTS(routes); i++)
                all[i] = &routes[i];
        assert_ptr_equal(route_find(all, ELEMENTS(all), &subject), &routes[3]);
        other.description = "y";
        assert_null(route_find(all, ELEMENTS(all), &other));
        assert_null(route_find(NULL, 0, &subject));
}

/* Who asks, and for whom */

static void test_a_uid_is_matched_as_it_is_seen_there(void **state _unused_) {
        static const struct {
                uint32_t route, subject; /* route: + 1 */
                bool expected;
        } cases[] = {
                { 0, 0, true },  { 0, 1000, true }, { 0, UINT32_MAX, true },     { 1, 0, true },           { 1, 1, false },
                { 1, UINT32_MAX, false }, /* not mapped: nobody, least of all root */
                { 1001, 1000, true }, { 1001, 0, false }, { UINT32_MAX, UINT32_MAX - 1, true }, { UINT32_MAX, UINT32_MAX, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct route route = make_route("user", "*", NULL);
                struct route_subject subject = { .key_type = "user", .description = "d", .uid = cases[i].subject };

                route.uid = cases[i].route;
                if (matches(&route, &subject) != cases[i].expected)
                        fail_msg("case %zu: %s", i, route_miss(&route, &subject) ?: "matches");
        }
}

static void test_a_route_is_for_its_own_container_unless_it_says_otherwise(void **state _unused_) {
        struct route route = make_route("user", "*", NULL);
        struct route_subject subject = { .key_type = "user", .description = "d" };

        assert_true(matches(&route, &subject));
        subject.nested = true;
        assert_false(matches(&route, &subject));
        assert_non_null(strstr(route_miss(&route, &subject), "--nested"));
        route.flags = UPCALL_ROUTE_NESTED;
        assert_true(matches(&route, &subject));
        subject.nested = false;
        assert_true(matches(&route, &subject));
}

static void test_another_operation_is_not_matched(void **state _unused_) {
        struct route route = make_route("*", "*", NULL);
        struct route_subject subject = { .key_type = "user", .description = "d", .operation = UPCALL_OPERATION_CREATE + 1 };

        assert_false(matches(&route, &subject));
        route.operation = UPCALL_OPERATION_CREATE + 1;
        assert_non_null(route_problem(&route));
}

/* However wide the globs: what any user may ask for reaches nobody, and what all containers share reaches nobody by accident */
static void test_careful_types_have_safe_defaults(void **state _unused_) {
        static const struct {
                const char *type;
                bool by_kernel, by_user, shared; /* whether a plain route answers; shared: by the kernel with the flag alone */
        } types[] = {
                { "cifs.spnego", true, false, false }, { "cifs.idmap", false, false, true }, { "id_resolver", false, false, true },
                { "dns_resolver", true, true, false }, { "user", true, true, false },        { "cifs.spnegox", true, true, false },
        };
        static const char *const wide[] = { "*", NULL, "[a-z]*", "?*" };

        for (size_t i = 0; i < ELEMENTS(types); i++)
                for (size_t k = 0; k < ELEMENTS(wide); k++) {
                        struct route route = make_route(wide[k] ?: types[i].type, "*", NULL);
                        struct route_subject subject = { .key_type = types[i].type, .description = "d", .origin = KERNEL };

                        route.action = UPCALL_ACTION_ANSWER;
                        assert_int_equal(route_type_is_shared(types[i].type), types[i].shared);
                        assert_int_equal(matches(&route, &subject), types[i].by_kernel);
                        subject.origin = USER;
                        assert_int_equal(matches(&route, &subject), types[i].by_user);
                        route.origin = USER + 1;
                        assert_int_equal(matches(&route, &subject), types[i].by_user);
                        route.origin = 0;
                        route.flags = UPCALL_ROUTE_SHARED_CACHE;
                        assert_int_equal(matches(&route, &subject), types[i].by_user);
                        subject.origin = KERNEL;
                        assert_int_equal(matches(&route, &subject), types[i].by_kernel || types[i].shared);

                        /* the host's own program answers into its own cache, but not to anybody who asks */
                        route.flags = 0;
                        route.action = UPCALL_ACTION_DEFER;
                        assert_true(matches(&route, &subject));
                        subject.origin = USER;
                        assert_int_equal(matches(&route, &subject), types[i].by_user);
                        /* a refusal to a process harms nobody, one in the shared cache does */
                        route.action = UPCALL_ACTION_REJECT;
                        assert_int_equal(matches(&route, &subject), !types[i].shared);
                        subject.origin = KERNEL;
                        assert_int_equal(matches(&route, &subject), !types[i].shared);
                }
}

static void test_a_route_that_could_never_match_is_refused(void **state _unused_) {
        static const struct {
                const char *type;
                uint32_t action, origin, flags;
                const char *words; /* NULL: accepted */
        } cases[] = {
                { "cifs.spnego", UPCALL_ACTION_ANSWER, 0, 0, NULL },       { "cifs.spnego", UPCALL_ACTION_ANSWER, KERNEL + 1, 0, NULL },
                { "cifs.spnego", UPCALL_ACTION_ANSWER, USER + 1, 0, "for the kernel alone" },
                { "cifs.spnego", UPCALL_ACTION_DEFER, USER + 1, 0, "for the kernel alone" },
                { "cifs.spnego", UPCALL_ACTION_REJECT, USER + 1, 0, NULL },
                { "id_resolver", UPCALL_ACTION_ANSWER, 0, 0, "--accept-shared-cache" }, { "id_resolver", UPCALL_ACTION_ANSWER, 0, UPCALL_ROUTE_SHARED_CACHE, NULL },
                { "id_resolver", UPCALL_ACTION_REJECT, 0, 0, "--accept-shared-cache" }, { "id_resolver", UPCALL_ACTION_DEFER, 0, 0, NULL },
                { "cifs.idmap", UPCALL_ACTION_ANSWER, 0, 0, "--accept-shared-cache" },  { "cifs.idm*", UPCALL_ACTION_ANSWER, 0, 0, NULL },
                { "user", UPCALL_ACTION_ANSWER, USER + 1, UPCALL_ROUTE_FLAGS, NULL },   { "user", UPCALL_ACTION_ANSWER, 0, UPCALL_ROUTE_FLAGS + 1, "mark" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct route route = make_route(cases[i].type, "*", NULL);
                const char *problem;

                route.action = cases[i].action;
                route.error = route.action == UPCALL_ACTION_REJECT ? 13 : 0;
                route.origin = cases[i].origin;
                route.flags = cases[i].flags;
                problem = route_problem(&route) ?: "accepted";
                if (!strstr(problem, cases[i].words ?: "accepted"))
                        fail_msg("case %zu: %s", i, problem);
        }
}

/* Why, in words */

static void test_why_it_is_not_this_one(void **state _unused_) {
        static const struct {
                struct route route;
                const char *words; /* NULL: it matches */
        } cases[] = {
                { R(2, "user", "db:*", "srv=*", USER + 1, 0), NULL },
                { R(2, "logon", "*", NULL, 0, 0), "key type" },     { R(2, "*", "x", NULL, 0, 0), "another description" },
                { R(2, "*", "*", "x", 0, 0), "callout" },           { R(2, "*", "*", NULL, KERNEL + 1, 0), "origin" },
        };
        static const struct {
                struct route better, worse;
                const char *words;
        } behind[] = {
                { R(1, "user", "*", NULL, 0, 0), R(2, "us*", "db:one", "*", 0, 9), "key type says less" },
                { R(1, "user", "db:*", NULL, 0, 0), R(2, "user", "*", "x", 0, 9), "description says less" },
                { R(1, "user", "*", "x", 0, 0), R(2, "user", "*", NULL, 1, 9), "callout info says less" },
                { R(1, "user", "*", NULL, 1, 0), R(2, "user", "*", NULL, 0, 9), "any origin" },
                { R(1, "user", "*", NULL, 1, 3), R(2, "user", "*", NULL, 1, 2), "lower priority" },
                { R(1, "user", "*", NULL, 1, 3), R(2, "user", "*", NULL, 1, 3), "younger" },
        };
        const struct route_subject subject = { .key_type = "user", .description = "db:one", .callout = "srv=1", .callout_size = 5, .origin = USER };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *miss = route_miss(&cases[i].route, &subject);

                if (cases[i].words ? !miss || !strstr(miss, cases[i].words) : miss != NULL)
                        fail_msg("case %zu: %s", i, miss ?: "matches");
        }
        for (size_t i = 0; i < ELEMENTS(behind); i++)
                if (!strstr(route_behind(&behind[i].better, &behind[i].worse), behind[i].words))
                        fail_msg("pair %zu: %s", i, route_behind(&behind[i].better, &behind[i].worse));
}

/* What cannot become a rule */

static void test_globs_that_are_no_globs_are_refused(void **state _unused_) {
        static const struct {
                const char *glob, *words;
        } cases[] = {
                { "", "is empty" },                  { "[", "unfinished bracket" },     { "[a", "unfinished bracket" },
                { "[]", "unfinished bracket" },      { "[!]", "unfinished bracket" },   { "[^]", "unfinished bracket" },
                { "[!", "unfinished bracket" },      { "db:[a-", "unfinished bracket" }, { "[a\\]", "unfinished bracket" },
                { "[\\", "unfinished bracket" },     { "[[:digit:]", "unfinished bracket" }, { "[a]*[", "unfinished bracket" },
                { "[[:digits:]]", "unknown character class" }, { "[[:]", "unknown character class" }, { "[[:digit", "unknown character class" },
                { "[[.a.]]", "collating" },          { "[[=a=]]", "collating" },        { "\\", "backslash" },
                { "db:\\", "backslash" },            { "*\\", "backslash" },            { "*a*a*a*a*a*a*a*a*", "too many stars" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct {
                        struct route route;
                        const char *what;
                } parts[] = {
                        { make_route(cases[i].glob, "*", NULL), "the key type " },
                        { make_route("*", cases[i].glob, NULL), "the description " },
                        { make_route("*", "*", cases[i].glob), "the callout info " },
                };

                for (size_t k = 0; k < ELEMENTS(parts); k++) {
                        const char *problem = route_problem(&parts[k].route);

                        if (!problem || !strstr(problem, cases[i].words) || strncmp(problem, parts[k].what, strlen(parts[k].what)) != 0)
                                fail_msg("%s as %s: %s", cases[i].glob, parts[k].what, problem ?: "accepted");
                }
        }
}

static void test_missing_parts_are_refused_but_for_callout_info(void **state _unused_) {
        const struct route cases[] = { make_route(NULL, "*", NULL), make_route("*", NULL, NULL), make_route("*", "*", NULL) };

        assert_non_null(route_problem(&cases[0]));
        assert_non_null(route_problem(&cases[1]));
        assert_null(route_problem(&cases[2]));
}

static void test_lengths_have_limits(void **state _unused_) {
        static const struct {
                size_t size;
                bool star, fits;
        } cases[] = { { 255, true, true }, { 256, true, false }, { 4095, false, true }, { 8192, false, true }, { 8193, false, false }, { 100000, false, false } };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *glob = malloc(cases[i].size + 1);
                struct route route = make_route("user", glob, NULL);

                assert_non_null(glob);
                memset(glob, 'x', cases[i].size);
                glob[cases[i].size] = '\0';
                if (cases[i].star)
                        glob[7] = '*';
                if ((route_problem(&route) == NULL) != cases[i].fits)
                        fail_msg("%zu bytes: %s", cases[i].size, route_problem(&route) ?: "accepted");
        }
}

static void test_actions_errnos_and_origins_that_are_none_are_refused(void **state _unused_) {
        static const struct {
                uint32_t action, error, origin;
                const char *words; /* NULL: accepted */
        } cases[] = {
                { UPCALL_ACTION_ANSWER, 0, 0, NULL },       { UPCALL_ACTION_DEFER, 0, 2, NULL },          { UPCALL_ACTION_REJECT, 126, 1, NULL },
                { 0, 0, 0, "action" },                      { 4, 0, 0, "action" },                        { UINT32_MAX, 0, 0, "action" },
                { UPCALL_ACTION_REJECT, 0, 0, "out of range" }, { UPCALL_ACTION_REJECT, 1, 0, NULL },     { UPCALL_ACTION_REJECT, 4094, 0, NULL },
                { UPCALL_ACTION_REJECT, 4095, 0, "out of range" }, { UPCALL_ACTION_REJECT, UINT32_MAX, 0, "out of range" },
                { UPCALL_ACTION_REJECT, 511, 0, NULL },     { UPCALL_ACTION_REJECT, 512, 0, "512 to 516" }, { UPCALL_ACTION_REJECT, 513, 0, "512 to 516" },
                { UPCALL_ACTION_REJECT, 514, 0, "512 to 516" }, { UPCALL_ACTION_REJECT, 515, 0, "512 to 516" },
                { UPCALL_ACTION_REJECT, 516, 0, "512 to 516" }, { UPCALL_ACTION_REJECT, 517, 0, NULL },   { UPCALL_ACTION_DEFER, 0, 3, "origin" },
                { UPCALL_ACTION_DEFER, 0, UINT32_MAX, "origin" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct route route = make_route("user", "*", NULL);
                const char *problem;

                route.action = cases[i].action;
                route.error = cases[i].error;
                route.origin = cases[i].origin;
                problem = route_problem(&route);
                problem = problem ?: "accepted";
                if (!strstr(problem, cases[i].words ?: "accepted"))
                        fail_msg("action %u error %u origin %u: %s", cases[i].action, cases[i].error, cases[i].origin, problem);
        }
}

/* Hostile ones */

static void repeat(char *glob, size_t size, const char *unit, int n, const char *end) {
        size_t at = 0;

        for (int i = 0; i < n && at + strlen(unit) + strlen(end) < size; i++, at += strlen(unit))
                memcpy(glob + at, unit, strlen(unit) + 1);
        memcpy(glob + at, end, strlen(end) + 1);
}

/* The worst that may be added, against the longest description: far below what a caller would notice. */
static void test_no_accepted_glob_takes_long(void **state _unused_) {
        static const struct {
                const char *unit;
                int n;
                const char *end;
        } hostile[] = {
                { "*a", 8, "b" }, { "a*", 8, "b" }, { "*?", 8, "b" }, { "*[a]", 8, "b" }, { "*[!b]", 8, "b" }, { "*[[:alpha:]]", 8, "b" },
                { "*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 8, "b" }, { "*[a-z][a-z][a-z][a-z][a-z][a-z]", 8, "b" },
                { "*[[:alpha:][:digit:][:punct:]]", 8, "b" }, { "*?????????????????????????????", 8, "b" },
                { "*", 1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab" },
                { "****************", 15, "b" },
        };
        char description[UPCALL_DESCRIPTION_MAX + 1], glob[300];

        memset(description, 'a', UPCALL_DESCRIPTION_MAX);
        description[UPCALL_DESCRIPTION_MAX] = '\0';
        for (size_t i = 0; i < ELEMENTS(hostile); i++) {
                struct route route = make_route("user", glob, NULL);
                struct route_subject subject = { .key_type = "user", .description = description };
                uint64_t start, spent;

                repeat(glob, sizeof(glob), hostile[i].unit, hostile[i].n, hostile[i].end);
                if (route_problem(&route))
                        fail_msg("%s: %s", glob, route_problem(&route));
                start = usec_now(CLOCK_PROCESS_CPUTIME_ID);
                assert_false(matches(&route, &subject));
                spent = usec_now(CLOCK_PROCESS_CPUTIME_ID) - start;
                if (getenv("TEST_ROUTE_TIMES"))
                        print_message("%6" PRIu64 " us  %.60s\n", spent, glob);
                if (spent > 500 * USEC_PER_MSEC) /* valgrind and sanitizers included; 1 to 10 ms without */
                        fail_msg("%s took %" PRIu64 " us", glob, spent);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_part_is_matched_by_its_glob),
                cmocka_unit_test(test_callout_info_counts_up_to_its_first_nul),
                cmocka_unit_test(test_callout_info_of_any_size_is_read_within_its_bounds),
                cmocka_unit_test(test_a_description_of_every_byte_is_matched_when_escaped),
                cmocka_unit_test(test_an_origin_is_matched),
                cmocka_unit_test(test_the_more_specific_one_wins_in_any_order),
                cmocka_unit_test(test_only_what_matches_is_weighed),
                cmocka_unit_test(test_a_uid_is_matched_as_it_is_seen_there),
                cmocka_unit_test(test_a_route_is_for_its_own_container_unless_it_says_otherwise),
                cmocka_unit_test(test_another_operation_is_not_matched),
                cmocka_unit_test(test_careful_types_have_safe_defaults),
                cmocka_unit_test(test_a_route_that_could_never_match_is_refused),
                cmocka_unit_test(test_why_it_is_not_this_one),
                cmocka_unit_test(test_globs_that_are_no_globs_are_refused),
                cmocka_unit_test(test_missing_parts_are_refused_but_for_callout_info),
                cmocka_unit_test(test_lengths_have_limits),
                cmocka_unit_test(test_actions_errnos_and_origins_that_are_none_are_refused),
                cmocka_unit_test(test_no_accepted_glob_takes_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
