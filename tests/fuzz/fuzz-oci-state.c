/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever is taken for a state or a config.json keeps to the protocol's bounds. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/upcallctl/oci-state.h"
#include "util/message.h"

static void require(int condition) {
        if (!condition)
                abort();
}

static void check_labels(const struct oci_labels *labels) {
        require(!labels->texts[OCI_LABEL_NAME] || message_name_valid(wire_text(labels->texts[OCI_LABEL_NAME]), UPCALL_NAME_MAX));
        require(!labels->texts[OCI_LABEL_IMAGE] || (*labels->texts[OCI_LABEL_IMAGE] && strlen(labels->texts[OCI_LABEL_IMAGE]) <= UPCALL_LABEL_MAX));
        require(!labels->texts[OCI_LABEL_POD] || (*labels->texts[OCI_LABEL_POD] && strlen(labels->texts[OCI_LABEL_POD]) <= UPCALL_LABEL_MAX));
}

static void check_state(const OciState *state) {
        require(*state->id && strlen(state->id) <= UPCALL_RUNTIME_ID_MAX);
        require(message_name_valid(wire_text(state->safe_id), UPCALL_NAME_MAX));
        require(state->bundle[0] == '/');
        require(state->pid >= 0);
        check_labels(&state->labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(oci_state_freep) OciState *state = NULL;
        _cleanup_(oci_config_freep) OciConfig *config = NULL;
        _cleanup_free_ char *text = malloc(size > 0 ? size : 1); /* of exactly this size, so that AddressSanitizer sees a read behind it */
        char problem[128] = "";

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        if (oci_state_parse(text, size, &state, problem, sizeof(problem)) == 0)
                check_state(state);
        else
                require(problem[0] != '\0');
        if (oci_config_parse(text, size, &config, problem, sizeof(problem)) == 0) {
                require(*config->root != '\0');
                check_labels(&config->labels);
        }
        return 0;
}
