/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>
#include <uuid.h>

#include "tools/upcallctl/errno-names.h"
#include "tools/upcallctl/output.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"
#include "util/wire.h"

/* Levels of a tree that are shown by indenting: the kernel allows 32 pid namespaces in one another, and any number of cgroups. */
#define INDENT_MAX 64

struct Output {
        const struct output_column *columns;
        size_t n_columns, n_rows;
        char **cells; /* n_rows * n_columns, row by row */
        struct json_object *array;
};

/* How many bytes of text, from data on, are one well-formed UTF-8 character; 0: none (RFC 3629: no overlong ones, no surrogates). */
static size_t utf8_length(const uint8_t *data, size_t size) {
        static const struct {
                uint8_t first, last, second_min, second_max, length;
        } forms[] = {
                { 0x00, 0x7f, 0, 0, 1 },          { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 },    { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 },    { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                if (data[0] < forms[i].first || data[0] > forms[i].last)
                        continue;
                if (forms[i].length == 1)
                        return 1;
                if (size < forms[i].length || data[1] < forms[i].second_min || data[1] > forms[i].second_max)
                        return 0;
                for (size_t j = 2; j < forms[i].length; j++)
                        if ((data[j] & 0xc0) != 0x80)
                                return 0;
                return forms[i].length;
        }

        return 0;
}

/* "\xHH": four characters. */
static char *put_hex(char *out, uint8_t byte) {
        static const char digits[] = "0123456789abcdef";

        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
        return out;
}

char *text_escape(const void *data, size_t size, bool backslash) {
        const uint8_t *bytes = data;
        char *text, *out;

        text = calloc(size + 1, 4);
        if (!text)
                return NULL;

        out = text;
        for (size_t i = 0; i < size; i++) {
                if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
                        out = put_hex(out, bytes[i]);
                        continue;
                }
                if (bytes[i] == '\\' && backslash)
                        *out++ = '\\';
                *out++ = (char) bytes[i];
        }

        *out = '\0';
        return text;
}

/* JSON is UTF-8: what is none comes out as the text \xHH; control characters are json-c's work. */
static struct json_object *json_text(const void *data, size_t size) {
        _cleanup_free_ char *text = NULL;
        const uint8_t *bytes = data;
        size_t length;
        char *out;

        text = calloc(size + 1, 4);
        if (!text)
                return NULL;

        out = text;
        for (size_t i = 0; i < size; i += length) {
                length = utf8_length(bytes + i, size - i);
                if (length == 0) {
                        out = put_hex(out, bytes[i]);
                        length = 1;
                } else {
                        memcpy(out, bytes + i, length);
                        out += length;
                }
        }

        return json_object_new_string_len(text, (int) (out - text));
}

void complain(const char *format, ...) {
        _cleanup_free_ char *text = NULL, *printable = NULL;
        va_list arguments;
        int size;

        va_start(arguments, format);
        size = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (size < 0)
                text = NULL;
        else
                printable = text_escape(text, (size_t) size, false);

        (void) fprintf(stderr, "upcallctl: %s\n", printable ? printable : "out of memory");
}

/* A value of a row, as text for people and for JSON. The JSON value NULL means null. */
struct cell {
        char *text;
        struct json_object *json;
};

static int cell_complete(struct cell *cell, bool is_null) {
        if (cell->text && (is_null || cell->json))
                return 0;

        free(cell->text);
        json_object_put(cell->json);
        return -ENOMEM;
}

static int cell_none(struct cell *ret_cell) {
        *ret_cell = (struct cell){ .text = strdup("-") };
        return cell_complete(ret_cell, true);
}

static int cell_word(const char *word, struct cell *ret_cell) {
        *ret_cell = (struct cell){ .text = strdup(word), .json = json_object_new_string(word) };
        return cell_complete(ret_cell, false);
}

static int cell_number(uint64_t value, struct cell *ret_cell) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        *ret_cell = (struct cell){ .text = strdup(text), .json = json_object_new_uint64(value) };
        return cell_complete(ret_cell, false);
}

static int cell_u32(const struct output_column *column, const void *value, struct cell *ret_cell) {
        const uint32_t *number = value;

        return *number == 0 && column->zero_is_none ? cell_none(ret_cell) : cell_number(*number, ret_cell);
}

static int cell_plus_one(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const uint32_t *number = value;

        return *number == 0 ? cell_none(ret_cell) : cell_number(*number - 1, ret_cell);
}

static int cell_u64(const struct output_column *column, const void *value, struct cell *ret_cell) {
        const uint64_t *number = value;

        return *number == 0 && column->zero_is_none ? cell_none(ret_cell) : cell_number(*number, ret_cell);
}

/* Two blanks for each level. Takes text over. */
static char *text_indent(char *text, uint32_t depth) {
        char *indented = NULL;

        if (!text || depth == 0)
                return text;
        if (depth > INDENT_MAX)
                depth = INDENT_MAX;
        if (asprintf(&indented, "%*s%s", (int) (2 * depth), "", text) < 0)
                indented = NULL;
        free(text);
        return indented;
}

static int cell_text(const struct output_column *column, const void *value, struct cell *ret_cell) {
        const struct wire_span *span = value;
        uint32_t depth = 0;

        if (!span->data)
                return cell_none(ret_cell);

        if (column->depth != 0)
                memcpy(&depth, (const uint8_t *) value - column->offset + column->depth, sizeof(depth));
        *ret_cell = (struct cell){ .text = text_indent(text_escape(span->data, span->size, true), depth),
                                   .json = json_text(span->data, span->size) };
        return cell_complete(ret_cell, false);
}

static int cell_words(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const struct wire_span *span = value;
        struct cell cell = { .json = json_object_new_array() };
        const char *word = NULL;
        _cleanup_free_ char *line = NULL;

        if (!span->data) {
                json_object_put(cell.json);
                return cell_none(ret_cell);
        }
        line = malloc(span->size + 1);
        if (line) {
                memcpy(line, span->data, span->size);
                for (size_t i = 0; i + 1 < span->size; i++)
                        line[i] = line[i] ? line[i] : ' ';
                cell.text = text_escape(line, span->size - 1, true);
        }
        while (cell.json && (word = message_arguments_next(*span, word))) {
                struct json_object *item = json_text(word, strlen(word));

                if (!item || json_object_array_add(cell.json, item) < 0) {
                        json_object_put(item);
                        cell.json = (json_object_put(cell.json), NULL);
                }
        }
        *ret_cell = cell;
        return cell_complete(ret_cell, false);
}

static int cell_ids(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const struct wire_span *span = value;
        struct cell cell = { .json = json_object_new_array() };
        size_t n = span->size / sizeof(uuid_t);

        cell.text = calloc(n + 1, UUID_STR_LEN);
        for (size_t i = 0; i < n && cell.text && cell.json; i++) {
                char *text = cell.text + i * UUID_STR_LEN;
                struct json_object *item;
                uuid_t id;

                memcpy(id, (const uint8_t *) span->data + i * sizeof(id), sizeof(id));
                uuid_unparse_lower(id, text);
                item = json_object_new_string(text);
                if (!item || json_object_array_add(cell.json, item) < 0) {
                        json_object_put(item);
                        cell.json = (json_object_put(cell.json), NULL);
                }
                if (i > 0)
                        text[-1] = ' ';
        }
        if (cell.text && n == 0)
                cell.text[0] = '-';

        *ret_cell = cell;
        return cell_complete(ret_cell, false);
}

static int cell_id(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        char text[UUID_STR_LEN];
        uuid_t id;

        memcpy(id, value, sizeof(id));
        if (uuid_is_null(id))
                return cell_none(ret_cell);

        uuid_unparse_lower(id, text);
        return cell_word(text, ret_cell);
}

/* "2025-11-22T01:56:00+01:00" */
static int time_local(time_t seconds, char *text, size_t size) {
        char zone[8];
        struct tm tm;

        if (!localtime_r(&seconds, &tm) || strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm) == 0 ||
            strftime(zone, sizeof(zone), "%z", &tm) != 5)
                return -EOVERFLOW;

        (void) snprintf(text + strlen(text), size - strlen(text), "%.3s:%.2s", zone, zone + 3);
        return 0;
}

/* "2025-11-22T00:56:00.123456Z" */
static int time_utc(time_t seconds, unsigned microseconds, char *text, size_t size) {
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return -EOVERFLOW;

        (void) snprintf(text + strlen(text), size - strlen(text), ".%06uZ", microseconds % 1000000u);
        return 0;
}

static int cell_time(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const uint64_t *microseconds = value;
        char local[64], utc[64];
        time_t seconds = (time_t) (*microseconds / USEC_PER_SEC);

        if (*microseconds == 0)
                return cell_none(ret_cell);
        /* nonsense, but no reason to show nothing */
        if (time_local(seconds, local, sizeof(local)) < 0 ||
            time_utc(seconds, (unsigned) (*microseconds % USEC_PER_SEC), utc, sizeof(utc)) < 0)
                return cell_number(*microseconds, ret_cell);

        *ret_cell = (struct cell){ .text = strdup(local), .json = json_object_new_string(utc) };
        return cell_complete(ret_cell, false);
}

static int cell_of_words(const struct output_column *column, const void *value, struct cell *ret_cell) {
        const uint32_t *number = value;

        if (*number == 0 && column->zero_is_none)
                return cell_none(ret_cell);
        for (const struct output_word *word = column->words; word->word; word++)
                if (word->value == *number)
                        return cell_word(word->word, ret_cell);

        return cell_number(*number, ret_cell);
}

static int cell_error(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const uint32_t *error = value;
        const char *name;

        if (*error == 0)
                return cell_none(ret_cell);

        name = *error <= INT32_MAX ? errno_name((int) *error) : NULL;
        return name ? cell_word(name, ret_cell) : cell_number(*error, ret_cell);
}

/* Bits without a word are left out: they say something that this program does not know. */
static int cell_set(const struct output_column *column, const void *value, struct cell *ret_cell) {
        const uint32_t *set = value;
        struct cell cell = { 0 };
        struct json_object *item;
        char text[256] = "";

        cell.json = json_object_new_array();
        for (const struct output_word *word = column->words; cell.json && word->word; word++) {
                if (!(*set & word->value))
                        continue;
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", *text ? "," : "", word->word);
                item = json_object_new_string(word->word);
                if (!item || json_object_array_add(cell.json, item) < 0) {
                        json_object_put(item);
                        cell.json = (json_object_put(cell.json), NULL);
                }
        }

        cell.text = strdup(*text ? text : "-");
        *ret_cell = cell;
        return cell_complete(ret_cell, false);
}

static bool add_number(struct json_object *object, const char *key, uint64_t value, bool is_null) {
        struct json_object *number = is_null ? NULL : json_object_new_uint64(value);

        if ((is_null || number) && json_object_object_add(object, key, number) >= 0)
                return true;
        json_object_put(number);
        return false;
}

static struct json_object *json_limit(const struct output_limit *limit) {
        static const char *const scopes[UPCALL_LIMIT_SCOPES] = { "refused_by_host", "refused_by_share", "refused_by_container", "refused_by_uid" };
        struct json_object *object = json_object_new_object();
        bool good = object && add_number(object, "used", limit->used, false) && add_number(object, "host", limit->host, false) &&
                add_number(object, "container", limit->container, limit->container == 0) && add_number(object, "uid", limit->uid, limit->uid == 0);

        for (size_t i = 0; good && i < ELEMENTS(scopes); i++)
                good = add_number(object, scopes[i], limit->refused[i], false);
        if (good)
                return object;
        json_object_put(object);
        return NULL;
}

/* "3 of 256, 64 a container, 48 a uid, 7 refused" */
static int cell_limit(const struct output_column *column _unused_, const void *value, struct cell *ret_cell) {
        const struct output_limit *limit = value;
        char text[160], container[32] = "", uid[32] = "";
        uint64_t refused = 0;

        for (size_t i = 0; i < UPCALL_LIMIT_SCOPES; i++)
                refused += limit->refused[i];
        if (limit->container > 0)
                (void) snprintf(container, sizeof(container), ", %" PRIu32 " a container", limit->container);
        if (limit->uid > 0)
                (void) snprintf(uid, sizeof(uid), ", %" PRIu32 " a uid", limit->uid);
        (void) snprintf(text, sizeof(text), "%" PRIu32 " of %" PRIu32 "%s%s, %" PRIu64 " refused", limit->used, limit->host, container, uid, refused);
        *ret_cell = (struct cell){ .text = strdup(text), .json = json_limit(limit) };
        return cell_complete(ret_cell, false);
}

typedef int (*cell_fn)(const struct output_column *column, const void *value, struct cell *ret_cell);

static const cell_fn cell_fns[] = {
        [OUTPUT_U32] = cell_u32,   [OUTPUT_U64] = cell_u64,         [OUTPUT_TEXT] = cell_text, [OUTPUT_ID] = cell_id,
        [OUTPUT_TIME] = cell_time, [OUTPUT_WORD] = cell_of_words, [OUTPUT_SET] = cell_set,   [OUTPUT_ERROR] = cell_error,
        [OUTPUT_IDS] = cell_ids,   [OUTPUT_PLUS_ONE] = cell_plus_one, [OUTPUT_WORDS] = cell_words, [OUTPUT_LIMIT] = cell_limit,
};

int output_new(const struct output_column *columns, size_t n_columns, Output **ret_output) {
        _cleanup_(output_freep) Output *output = NULL;

        output = calloc(1, sizeof(*output));
        if (!output)
                return -ENOMEM;

        output->columns = columns;
        output->n_columns = n_columns;
        output->array = json_object_new_array();
        if (!output->array)
                return -ENOMEM;

        *ret_output = TAKE_PTR(output);
        return 0;
}

Output *output_free(Output *output) {
        if (!output)
                return NULL;

        for (size_t i = 0; i < output->n_rows * output->n_columns; i++)
                free(output->cells[i]);
        free(output->cells);
        json_object_put(output->array);
        free(output);
        return NULL;
}

static int output_add_cell(const struct output_column *column, const void *message, char **ret_text, struct json_object *row) {
        struct cell cell;
        int r;

        r = cell_fns[column->kind](column, (const uint8_t *) message + column->offset, &cell);
        if (r < 0)
                return r;

        if (json_object_object_add(row, column->key, cell.json) < 0) {
                json_object_put(cell.json);
                free(cell.text);
                return -ENOMEM;
        }

        *ret_text = cell.text;
        return 0;
}

int output_add(void *userdata, const void *message) {
        Output *output = userdata;
        struct json_object *row;
        char **cells;
        int r;

        cells = reallocarray(output->cells, (output->n_rows + 1) * output->n_columns, sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        output->cells = cells;

        row = json_object_new_object();
        if (!row || json_object_array_add(output->array, row) < 0) {
                json_object_put(row);
                return -ENOMEM;
        }

        /* from here on output_free() looks at these cells */
        cells += output->n_rows++ * output->n_columns;
        memset(cells, 0, output->n_columns * sizeof(*cells));

        for (size_t i = 0; i < output->n_columns; i++) {
                r = output_add_cell(&output->columns[i], message, &cells[i], row);
                if (r < 0)
                        return r;
        }

        return 0;
}

int output_flush(void) {
        return fflush(stdout) != 0 || ferror(stdout) ? negative_errno() : 0;
}

static size_t column_width(const Output *output, size_t column) {
        size_t width = strlen(output->columns[column].title), length;

        for (size_t row = 0; row < output->n_rows; row++) {
                length = strlen(output->cells[row * output->n_columns + column]);
                if (length > width)
                        width = length;
        }

        return width;
}

/* One line: the titles, or a row. Nothing but the separator stands behind the last column's text. */
static void print_row(const Output *output, char *const *cells, const size_t *widths) {
        const char *text;
        size_t gap = 0;

        for (size_t i = 0; i < output->n_columns; i++) {
                if (output->columns[i].detail)
                        continue;
                text = cells ? cells[i] : output->columns[i].title;
                (void) printf("%*s%s", (int) gap, "", text);
                gap = widths[i] - strlen(text) + 2;
        }

        (void) printf("\n");
}

int output_print_table(const Output *output) {
        _cleanup_free_ size_t *widths = NULL;

        widths = calloc(output->n_columns, sizeof(*widths));
        if (!widths)
                return -ENOMEM;

        for (size_t i = 0; i < output->n_columns; i++)
                widths[i] = column_width(output, i);

        print_row(output, NULL, widths);
        for (size_t row = 0; row < output->n_rows; row++)
                print_row(output, output->cells + row * output->n_columns, widths);

        return output_flush();
}

/* "Found by: pidns": the title as in a sentence. */
static void print_titled(const char *title, size_t width, const char *text) {
        (void) printf("%*s%c", (int) (width - strlen(title)), "", title[0]);
        for (const char *c = title + 1; *c; c++)
                (void) fputc(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c, stdout);
        (void) printf(": %s\n", text);
}

int output_print_list(const Output *output) {
        size_t width = 0, length;

        if (output->n_rows == 0)
                return -ENODATA;

        for (size_t i = 0; i < output->n_columns; i++) {
                length = strlen(output->columns[i].title);
                if (length > width)
                        width = length;
        }

        for (size_t i = 0; i < output->n_columns; i++)
                print_titled(output->columns[i].title, width, output->cells[i]);

        return output_flush();
}

static int print_json(struct json_object *object) {
        const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE);

        if (!text)
                return -ENOMEM;

        return output_print_line(text, strlen(text));
}

int output_print_json_array(const Output *output) {
        return print_json(output->array);
}

int output_print_json_object(const Output *output) {
        if (output->n_rows == 0)
                return -ENODATA;

        return print_json(json_object_array_get_idx(output->array, 0));
}

int output_print_line(const void *text, size_t size) {
        (void) fwrite(text, 1, size, stdout);
        (void) fputc('\n', stdout);
        return output_flush();
}
