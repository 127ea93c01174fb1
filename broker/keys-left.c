/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/keys-left.h"
#include "util/cleanup.h"
#include "util/error.h"

static int keys_left_write(const char *path, bool some) {
        _cleanup_close_ int fd = -1;

        if (!some)
                return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
        fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 ? negative_errno() : 0;
}

void keys_left_show(Broker *broker) {
        uint8_t contid[16];
        char path[4096];
        int r;

        if (!broker->runtime_dir)
                return;
        (void) snprintf(path, sizeof(path), "%s/keys-left", broker->runtime_dir);
        r = registry_next_keys_left(broker->registry, broker->boot_id, contid);
        if (r < 0)
                fprintf(stderr, "whether keys of ended containers are left cannot be told, ignoring: %s\n", registry_error(broker->registry));
        else if ((r = keys_left_write(path, r > 0)) < 0)
                fprintf(stderr, "%s: %s, ignoring: keys of ended containers wait for upcallctl container invalidate-keys --ended\n", path, strerror(-r));
}

void keys_left_load(Broker *broker) {
        if (registry_forget_keys_of_other_boots(broker->registry, broker->boot_id) < 0)
                fprintf(stderr, "keys of earlier boots were not forgotten, ignoring: %s\n", registry_error(broker->registry));
        keys_left_show(broker);
}
