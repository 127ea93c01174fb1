/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "broker/filter.h"
#include "util/error.h"

int filter_new(uint32_t action, scmp_filter_ctx *ret_filter) {
        _cleanup_(filter_release) scmp_filter_ctx filter = seccomp_init(action);
        int r;

        if (!filter)
                return -ENOMEM;
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r < 0)
                return r;
        *ret_filter = TAKE_PTR(filter);
        return 0;
}

int filter_add(scmp_filter_ctx filter, uint32_t action, const struct filter_rule *rules, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++)
                r = seccomp_rule_add_array(filter, action, rules[i].call, rules[i].n_arguments, &rules[i].argument);
        return r;
}
