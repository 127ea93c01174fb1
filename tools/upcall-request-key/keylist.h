/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/keys: one line per key that the reader may see, in the order of their serials:
 *
 *   330a569f I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:2a1b pid:1372 ci:5
 *
 * The kernel writes descriptions as they are, newlines included (security/keys/user_defined.c, user_describe()), and a key that
 * everybody may view can be made by anybody: a container could write lines of its own choice in front of the one that is looked
 * for. But then the next key's own line, whose serial is not above the wanted one, follows within a description's greatest
 * length. So a line is believed once that many bytes behind it held serials above it alone; else the whole list is
 * read, and the line has to be the only one of its serial.
 */
#ifndef REQUEST_KEY_KEYLIST_H
#define REQUEST_KEY_KEYLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KEY_LINE_MAX 192

struct key_search {
        int32_t serial;
        unsigned matches;
        size_t ahead;  /* bytes seen behind the first match */
        bool doubtful; /* among them a serial that cannot come behind it */
        char line[KEY_LINE_MAX]; /* the first match, cut, NUL-terminated */
};

/* Positive answer of key_search_line(): no more lines are needed. */
#define KEY_SEARCH_ENOUGH 1

void key_search_init(struct key_search *search, int32_t serial);
/* Takes the next line, without its newline. Returns 0 or KEY_SEARCH_ENOUGH. */
int key_search_line(struct key_search *search, const char *line, size_t size);
/* Returns 0 when search->line may be believed; -ENOKEY when there was none; -EBADMSG when somebody forged one. */
int key_search_result(const struct key_search *search);

/* Reads /proc/keys until a line is found. Returns as above, or another negative errno. */
int key_list_find(int32_t serial, struct key_search *ret_search);

/* Reads the thread id of the caller out of an authorisation key's line, which must be for the given key.
 * Returns 0 or -EBADMSG. */
int key_line_caller(const char *line, int32_t key, pid_t *ret_tid);

/* Whether the key was refused: flag N. */
bool key_line_negative(const char *line);

#endif
