/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fnmatch.h>
#include <string.h>

#include "broker/delegation.h"
#include "broker/route.h"
#include "util/cleanup.h"

/* ---- globs ---- */

/* One piece of a glob: what a single character has to be, or * */
struct piece {
        enum { PIECE_END, PIECE_LITERAL, PIECE_ANY, PIECE_BRACKET, PIECE_STAR } kind;
        char literal;
        const char *text; /* BRACKET: from [ to ] */
        size_t size;
};

static size_t bracket_size(const char *text) {
        const char *p = text + 1;

        if (*p == '!' || *p == '^')
                p++;
        if (*p == ']')
                p++;
        while (*p != '\0' && *p != ']') {
                const char *end = p[0] == '[' && p[1] == ':' ? strstr(p + 2, ":]") : NULL;

                if (end)
                        p = end + 2;
                else
                        p += p[0] == '\\' && p[1] != '\0' ? 2 : 1;
        }
        return (size_t) (p - text) + (*p == ']');
}

/* The piece at text; what follows it is behind *ret_next. */
static struct piece read_piece(const char *text, const char **ret_next) {
        struct piece piece = { .kind = PIECE_LITERAL, .literal = *text, .text = text, .size = 1 };

        if (*text == '\0') {
                piece.kind = PIECE_END;
                piece.size = 0;
        } else if (*text == '*') {
                piece.kind = PIECE_STAR;
                piece.size = strspn(text, "*");
        } else if (*text == '?')
                piece.kind = PIECE_ANY;
        else if (*text == '[') {
                piece.kind = PIECE_BRACKET;
                piece.size = bracket_size(text);
        } else if (*text == '\\' && text[1] != '\0') {
                piece.literal = text[1];
                piece.size = 2;
        }
        *ret_next = text + piece.size;
        return piece;
}

/* "[...]" alone as a glob for one character. One that is longer than any that a route may have matches nothing. */
static bool bracket_matches(const struct piece *bracket, char c) {
        char glob[256], subject[] = { c, '\0' };

        if (bracket->size >= sizeof(glob))
                return false;
        memcpy(glob, bracket->text, bracket->size);
        glob[bracket->size] = '\0';
        return fnmatch(glob, subject, 0) == 0;
}

/* Whether every character that narrow stands for is one that wide stands for. */
static bool piece_covers(const struct piece *wide, const struct piece *narrow) {
        if (narrow->kind == PIECE_STAR || narrow->kind == PIECE_END)
                return false;
        switch (wide->kind) {
        case PIECE_ANY:
                return true;
        case PIECE_LITERAL:
                return narrow->kind == PIECE_LITERAL && narrow->literal == wide->literal;
        case PIECE_BRACKET:
                if (narrow->kind == PIECE_LITERAL)
                        return bracket_matches(wide, narrow->literal);
                return narrow->kind == PIECE_BRACKET && narrow->size == wide->size && memcmp(narrow->text, wide->text, wide->size) == 0;
        default:
                return false;
        }
}

/*
 * As a glob is matched against a text, but against another glob's pieces: a star of wide takes any number of them, stars too; anything else takes one. When
 * it does not go on, the last star of wide takes one more; stars before that one need not be tried again, as with a text.
 */
bool delegation_glob_covers(const char *wide, const char *narrow) {
        const char *star = NULL, *taken = NULL, *next_wide, *next_narrow;

        for (;;) {
                struct piece outer = read_piece(wide, &next_wide), inner = read_piece(narrow, &next_narrow);

                if (outer.kind == PIECE_STAR) {
                        star = wide = next_wide;
                        taken = narrow;
                        continue;
                }
                if (outer.kind == PIECE_END && inner.kind == PIECE_END)
                        return true;
                if (outer.kind != PIECE_END && piece_covers(&outer, &inner)) {
                        wide = next_wide;
                        narrow = next_narrow;
                        continue;
                }
                if (!star || *taken == '\0')
                        return false;
                (void) read_piece(taken, &taken);
                wide = star;
                narrow = taken;
        }
}

/* ---- types ---- */

struct entry {
        char key_type[UPCALL_TYPE_MAX + 1];
        char description[UPCALL_TYPES_MAX + 1];
};

/* The next entry of a list; NULL, or what is wrong with it. *list is behind it then, and NULL behind the last one. */
static const char *read_entry(const char **list, struct entry *ret_entry) {
        size_t size = strcspn(*list, ","), type = strcspn(*list, ":,");
        struct route route = { .key_type = ret_entry->key_type, .description = ret_entry->description, .action = UPCALL_ACTION_DEFER };

        if ((*list)[type] != ':')
                return "each of the types is TYPE:DESCRIPTION, a glob each, with commas between them";
        if (type > UPCALL_TYPE_MAX || size > UPCALL_TYPES_MAX)
                return "one of the types is too long: a key type has at most 31 characters";
        memcpy(ret_entry->key_type, *list, type);
        ret_entry->key_type[type] = '\0';
        memcpy(ret_entry->description, *list + type + 1, size - type - 1);
        ret_entry->description[size - type - 1] = '\0';
        *list = (*list)[size] == ',' ? *list + size + 1 : NULL;
        return route_problem(&route);
}

static const char *types_problem(const char *types) {
        struct entry entry = { .key_type = "" };
        const char *problem;

        if (!types || *types == '\0')
                return NULL;
        if (strlen(types) > UPCALL_TYPES_MAX)
                return "the list of types is too long: at most 1024 characters";
        for (unsigned n = 0; types; n++) {
                if (n == DELEGATION_ENTRIES_MAX)
                        return "there are too many types: at most 32";
                problem = read_entry(&types, &entry);
                if (problem)
                        return problem;
        }
        return NULL;
}

bool delegation_covers_route(const char *types, const char *key_type, const char *description) {
        struct entry entry = { .key_type = "" };

        if (!types || *types == '\0')
                return false;
        while (types && !read_entry(&types, &entry))
                if (delegation_glob_covers(entry.key_type, key_type) && delegation_glob_covers(entry.description, description))
                        return true;
        return false;
}

static bool types_cover(const char *wide, const char *narrow) {
        struct entry entry = { .key_type = "" };

        if (!narrow || *narrow == '\0')
                return true;
        while (narrow)
                if (read_entry(&narrow, &entry) || !delegation_covers_route(wide, entry.key_type, entry.description))
                        return false;
        return true;
}

/* ---- limits ---- */

const char *delegation_problem(const struct delegation_limits *limits, uint64_t now) {
        const char *problem = types_problem(limits->types);

        if (problem)
                return problem;
        if (limits->expires > INT64_MAX)
                return "it would never expire: leave the time out";
        if (limits->expires != 0 && limits->expires <= now)
                return "it would have expired already: give a time that is to come";
        return NULL;
}

const char *delegation_passing_problem(const struct delegation_limits *has, const struct delegation_limits *passed, unsigned levels) {
        if (levels == 0)
                return "it is passed on to containers below one's own, and to no other";
        if (has->depth < levels)
                return "this container lies deeper than what was delegated (depth)";
        if (passed->depth > has->depth - levels)
                return "no more can be passed on than there is: each level of containers takes one of the depth";
        if (passed->max_containers > has->max_containers || passed->max_agents > has->max_agents)
                return "no more can be passed on than there is: fewer containers, or agents";
        if (!types_cover(has->types, passed->types))
                return "no more can be passed on than there is: each type must be covered by one that was delegated, beyond doubt";
        if (has->expires != 0 && (passed->expires == 0 || passed->expires > has->expires))
                return "no more can be passed on than there is: it must expire no later";
        return NULL;
}
