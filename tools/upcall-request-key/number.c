/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>
#include <string.h>

#include "tools/upcall-request-key/number.h"
#include "util/error.h"

int number_parse(const char *text, int64_t min, int64_t max, int64_t *ret_number) {
        bool negative = text[0] == '-';
        const char *digits = text + negative;
        size_t n = strspn(digits, "0123456789");
        int64_t number = 0;

        if (n == 0 || digits[n] != '\0' || (digits[0] == '0' && (n > 1 || negative)))
                return -EINVAL;
        if (n > 18) /* so that nothing below can overflow */
                return -ERANGE;
        for (size_t i = 0; i < n; i++)
                number = number * 10 + (digits[i] - '0');
        if (negative)
                number = -number;
        if (number < min || number > max)
                return -ERANGE;
        *ret_number = number;
        return 0;
}
