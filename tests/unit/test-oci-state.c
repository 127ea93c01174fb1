/* SPDX-License-Identifier: GPL-2.0-or-later */
/* States and annotations that run times write, and what else may come on standard input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/upcallctl/oci-state.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/message.h"

#define START "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"bundle\":\"/b\""

static OciState *parse_good(const char *text) {
        char problem[256] = "";
        OciState *parsed = NULL;

        if (oci_state_parse(text, strlen(text), &parsed, problem, sizeof(problem)) != 0)
                fail_msg("%s: %s", text, problem);
        return parsed;
}

/* As runc 1.1.5 writes it. */
static void test_state_of_runc(void **state) {
        _cleanup_(oci_state_freep) OciState *parsed = NULL;

        (void) state;
        parsed = parse_good("{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"status\":\"creating\",\"pid\":31445,\"bundle\":\"/tmp/b\","
                            "\"annotations\":{\"org.upcalld.contid\":\"x\",\"org.upcalld.policy\":\"keys\"}}\n");
        assert_string_equal(parsed->id, "c1");
        assert_string_equal(parsed->safe_id, "c1");
        assert_string_equal(parsed->bundle, "/tmp/b");
        assert_int_equal(parsed->pid, 31445);
        assert_int_equal(parsed->status, OCI_STATUS_CREATING);
        assert_true(parsed->has_annotations);
        assert_string_equal(parsed->labels.texts[OCI_LABEL_CONTID], "x");
        assert_string_equal(parsed->labels.texts[OCI_LABEL_POLICY], "keys");
        assert_null(parsed->labels.texts[OCI_LABEL_NAME]);
}

static void test_state_at_the_end_has_no_process(void **state) {
        _cleanup_(oci_state_freep) OciState *parsed = NULL;

        (void) state;
        parsed = parse_good(START ",\"status\":\"stopped\"}");
        assert_int_equal(parsed->pid, 0);
        assert_int_equal(parsed->status, OCI_STATUS_STOPPED);
        assert_false(parsed->has_annotations);
}

struct bad_case {
        const char *text, *problem;
};

static const struct bad_case bad_cases[] = {
        { "", "is empty" },
        { " ", "in the middle" },
        { "x", "is not JSON" },
        { "[]", "not an object" },
        { "1 ", "not an object" },
        { "\"\"", "not an object" },
        { "null ", "not an object" },
        { "{", "in the middle" },
        { START, "in the middle" },
        { START ",\"pid\":1", "in the middle" },
        { START "}}", "is not JSON" },
        { START "}x", "is not JSON" },
        { START "}{}", "is not JSON" },
        { "/* c */" START "}", "is not JSON" },
        { START ",}", "is not JSON" },
        { START ",\"x\":\"\xff\"}", "is not JSON" },
        { START ",\"pid\":01}", "is not JSON" },
        { START ",\"pid\":-1}", "\"pid\"" },
        { START ",\"pid\":1.5}", "\"pid\"" },
        { START ",\"pid\":\"1\"}", "\"pid\"" },
        { START ",\"pid\":null}", "\"pid\"" },
        { START ",\"pid\":{}}", "\"pid\"" },
        { START ",\"pid\":true}", "\"pid\"" },
        { START ",\"pid\":2147483648}", "\"pid\"" },
        { START ",\"pid\":18446744073709551616}", "\"pid\"" },
        { "{\"id\":\"c1\",\"bundle\":\"/b\"}", "ociVersion" },
        { "{\"ociVersion\":\"\",\"id\":\"c1\",\"bundle\":\"/b\"}", "ociVersion" },
        { "{\"ociVersion\":1,\"id\":\"c1\",\"bundle\":\"/b\"}", "ociVersion" },
        { "{\"ociVersion\":\"2.0.0\",\"id\":\"c1\",\"bundle\":\"/b\"}", "OCI version 2.0.0" },
        { "{\"ociVersion\":\"0.9\",\"id\":\"c1\",\"bundle\":\"/b\"}", "OCI version 0.9" },
        { "{\"ociVersion\":\"10.0\",\"id\":\"c1\",\"bundle\":\"/b\"}", "OCI version 10.0" },
        { "{\"ociVersion\":\"1.0.2\",\"bundle\":\"/b\"}", "\"id\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":\"\",\"bundle\":\"/b\"}", "\"id\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":7,\"bundle\":\"/b\"}", "\"id\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":\"a\\u0000b\",\"bundle\":\"/b\"}", "\"id\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\"}", "\"bundle\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"bundle\":\"b\"}", "\"bundle\"" },
        { "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"bundle\":\"/b\\u0000c\"}", "\"bundle\"" },
};

static void test_bad_states(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(bad_cases); i++) {
                OciState *parsed = NULL;
                char problem[256] = "";

                if (oci_state_parse(bad_cases[i].text, strlen(bad_cases[i].text), &parsed, problem, sizeof(problem)) != -EINVAL)
                        fail_msg("was taken: %s", bad_cases[i].text);
                assert_null(parsed);
                if (!strstr(problem, bad_cases[i].problem))
                        fail_msg("%s: '%s', wanted '%s'", bad_cases[i].text, problem, bad_cases[i].problem);
        }
}

/* Each beginning of a good state is refused, and the whole is not. */
static void test_truncated_states(void **state) {
        static const char text[] = START ",\"pid\":12,\"status\":\"created\",\"annotations\":{\"a\":\"b\"}}";

        (void) state;
        for (size_t size = 0; size <= strlen(text); size++) {
                _cleanup_(oci_state_freep) OciState *parsed = NULL;
                _cleanup_free_ char *copy = malloc(size + 1); /* of this size: a read behind it shows */
                char problem[256];

                assert_non_null(copy);
                memcpy(copy, text, size);
                assert_int_equal(oci_state_parse(copy, size, &parsed, problem, sizeof(problem)), size < strlen(text) ? -EINVAL : 0);
        }
}

static void test_deep_nesting(void **state) {
        char text[512], brackets[101], problem[256];
        OciState *parsed = NULL;

        (void) state;
        memset(brackets, '[', sizeof(brackets) - 1);
        brackets[sizeof(brackets) - 1] = '\0';
        (void) snprintf(text, sizeof(text), START ",\"a\":%s", brackets);
        assert_int_equal(oci_state_parse(text, strlen(text), &parsed, problem, sizeof(problem)), -EINVAL);
}

struct label_case {
        const char *annotations, *name, *image, *pod;
};

static const struct label_case label_cases[] = {
        { "", NULL, NULL, NULL },
        /* Podman 4.3, alone and in a pod */
        { "\"io.container.manager\":\"libpod\",\"io.podman.annotations.autoremove\":\"FALSE\"", NULL, NULL, NULL },
        { "\"io.container.manager\":\"libpod\",\"io.kubernetes.cri-o.ContainerType\":\"container\",\"io.kubernetes.cri-o.SandboxID\":\"0abc\"", NULL, NULL,
          "0abc" },
        /* CRI-O: a container, and the one that keeps the pod's namespaces */
        { "\"io.kubernetes.cri-o.ContainerName\":\"k8s_web_shop_default_1_0\",\"io.kubernetes.cri-o.Name\":\"k8s_web_shop_default_1_0\","
          "\"io.kubernetes.pod.name\":\"shop\",\"io.kubernetes.pod.namespace\":\"default\",\"io.kubernetes.container.name\":\"web\","
          "\"io.kubernetes.cri-o.ImageName\":\"docker.io/nginx:1\",\"io.kubernetes.cri-o.Image\":\"4c83\"",
          "default:shop:web", "docker.io/nginx:1", "default/shop" },
        { "\"io.kubernetes.cri-o.Name\":\"k8s_POD_shop\",\"io.kubernetes.cri-o.KubeName\":\"shop\",\"io.kubernetes.cri-o.Namespace\":\"default\","
          "\"io.kubernetes.cri-o.Image\":\"pause:3.5\"",
          "k8s_POD_shop", "pause:3.5", "default/shop" },
        /* containerd */
        { "\"io.kubernetes.cri.sandbox-name\":\"shop\",\"io.kubernetes.cri.sandbox-namespace\":\"default\",\"io.kubernetes.cri.container-name\":\"web\","
          "\"io.kubernetes.cri.image-name\":\"quay.io/x:2\"",
          "default:shop:web", "quay.io/x:2", "default/shop" },
        { "\"io.kubernetes.cri.container-name\":\"web\",\"io.kubernetes.cri.sandbox-id\":\"0f\"", "web", NULL, "0f" },
        /* nerdctl */
        { "\"nerdctl/name\":\"web\"", "web", NULL, NULL },
        /* a part that is missing, empty or no text makes a rule unfit */
        { "\"io.kubernetes.cri.sandbox-name\":\"\",\"io.kubernetes.cri.sandbox-namespace\":\"default\",\"io.kubernetes.cri.container-name\":\"web\"", "web",
          NULL, NULL },
        { "\"io.kubernetes.cri-o.Name\":17,\"nerdctl/name\":[\"web\"],\"io.kubernetes.cri-o.ImageName\":null", NULL, NULL, NULL },
        { "\"nerdctl/name\":\"a\\u0000b\"", NULL, NULL, NULL },
        { "\"nerdctl/name\":\"../x y\\n\\u001b\"", "c.._x_y__", NULL, NULL },
};

static void assert_label(const char *is, const char *wanted) {
        if (!wanted)
                assert_null(is);
        else
                assert_string_equal(is ? is : "(null)", wanted);
}

static void test_labels(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(label_cases); i++) {
                _cleanup_(oci_state_freep) OciState *parsed = NULL;
                char text[1024];

                (void) snprintf(text, sizeof(text), START ",\"annotations\":{%s}}", label_cases[i].annotations);
                parsed = parse_good(text);
                assert_label(parsed->labels.texts[OCI_LABEL_NAME], label_cases[i].name);
                assert_label(parsed->labels.texts[OCI_LABEL_IMAGE], label_cases[i].image);
                assert_label(parsed->labels.texts[OCI_LABEL_POD], label_cases[i].pod);
        }
}

static void test_annotations_that_are_no_object(void **state) {
        static const char *const bad[] = { "[]", "null", "1", "\"x\"" };

        (void) state;
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_(oci_state_freep) OciState *parsed = NULL;
                char text[256];

                (void) snprintf(text, sizeof(text), START ",\"annotations\":%s}", bad[i]);
                parsed = parse_good(text);
                assert_false(parsed->has_annotations);
        }
}

static void test_long_labels_are_cut(void **state) {
        _cleanup_(oci_state_freep) OciState *parsed = NULL;
        _cleanup_free_ char *text = NULL;
        char longer[5000];

        (void) state;
        memset(longer, 'x', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        assert_true(asprintf(&text, START ",\"annotations\":{\"io.kubernetes.cri-o.ImageName\":\"%s\",\"nerdctl/name\":\"%s\",\"io.kubernetes.pod.name\":\"%s\","
                             "\"io.kubernetes.pod.namespace\":\"%s\"}}", longer, longer, longer, longer) > 0);
        parsed = parse_good(text);
        assert_int_equal(strlen(parsed->labels.texts[OCI_LABEL_IMAGE]), UPCALL_LABEL_MAX);
        assert_int_equal(strlen(parsed->labels.texts[OCI_LABEL_POD]), UPCALL_LABEL_MAX);
        assert_int_equal(strlen(parsed->labels.texts[OCI_LABEL_NAME]), UPCALL_NAME_MAX);
}

static const char *const name_cases[][2] = {
        { "web-1", "web-1" },       { "", "c" },          { "-rf", "c-rf" },   { "../etc", "c.._etc" }, { "a b", "a_b" },
        { "a\nb\x1b[2J", "a_b__2J" }, { "\xc3\xbc", "c__" }, { ":x", "c:x" },     { "a=b\"c;d", "a_b_c_d" }, { "7c9a", "7c9a" },
};

static void test_names_are_made_safe(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTS(name_cases); i++) {
                _cleanup_free_ char *name = oci_name_safe(name_cases[i][0]);

                assert_non_null(name);
                assert_string_equal(name, name_cases[i][1]);
                assert_true(message_name_valid(wire_text(name), UPCALL_NAME_MAX));
        }
        for (unsigned c = 1; c < 256; c++) {
                char text[300];
                _cleanup_free_ char *name = NULL;

                memset(text, (int) c, sizeof(text) - 1);
                text[sizeof(text) - 1] = '\0';
                name = oci_name_safe(text);
                assert_non_null(name);
                assert_true(message_name_valid(wire_text(name), UPCALL_NAME_MAX));
        }
}

static void test_config(void **state) {
        static const char good[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"annotations\":{\"org.upcalld.policy\":\"p\"},"
                                   "\"process\":{\"args\":[\"sh\"]}}\n";
        static const char *const bad[] = {
                "{\"ociVersion\":\"1.0.2\"}", "{\"ociVersion\":\"1.0.2\",\"root\":\"/\"}", "{\"ociVersion\":\"1.0.2\",\"root\":{}}",
                "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"\"}}", "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":1}}", "{\"root\":{\"path\":\"/\"}}", "",
        };
        _cleanup_(oci_config_freep) OciConfig *config = NULL;
        char problem[256];

        (void) state;
        assert_int_equal(oci_config_parse(good, strlen(good), &config, problem, sizeof(problem)), 0);
        assert_string_equal(config->root, "rootfs");
        assert_string_equal(config->labels.texts[OCI_LABEL_POLICY], "p");
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                OciConfig *none = NULL;

                assert_int_equal(oci_config_parse(bad[i], strlen(bad[i]), &none, problem, sizeof(problem)), -EINVAL);
                assert_null(none);
        }
}

static void test_reading_is_bounded_in_size_and_time(void **state) {
        _cleanup_free_ char *text = NULL, *none = NULL;
        char page[4096];
        size_t size = 0;
        int pipe_fds[2];

        (void) state;
        memset(page, 'x', sizeof(page));
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(write(pipe_fds[1], page, sizeof(page)), sizeof(page));
        assert_int_equal(oci_read(pipe_fds[0], sizeof(page) - 1, deadline_in_ms(1000), &none, &size), -EFBIG);
        assert_int_equal(write(pipe_fds[1], page, sizeof(page)), sizeof(page));
        assert_int_equal(oci_read(pipe_fds[0], OCI_STATE_MAX, deadline_in_ms(50), &none, &size), -ETIMEDOUT);
        assert_null(none);
        assert_int_equal(write(pipe_fds[1], page, sizeof(page)), sizeof(page));
        close_fd(pipe_fds[1]);
        assert_int_equal(oci_read(pipe_fds[0], sizeof(page), deadline_in_ms(1000), &text, &size), 0);
        assert_int_equal(size, sizeof(page));
        assert_memory_equal(text, page, sizeof(page));
        close_fd(pipe_fds[0]);
        assert_int_equal(oci_read(-1, 1, deadline_in_ms(10), &none, &size), -ETIMEDOUT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_state_of_runc),
                cmocka_unit_test(test_state_at_the_end_has_no_process),
                cmocka_unit_test(test_bad_states),
                cmocka_unit_test(test_truncated_states),
                cmocka_unit_test(test_deep_nesting),
                cmocka_unit_test(test_labels),
                cmocka_unit_test(test_annotations_that_are_no_object),
                cmocka_unit_test(test_long_labels_are_cut),
                cmocka_unit_test(test_names_are_made_safe),
                cmocka_unit_test(test_config),
                cmocka_unit_test(test_reading_is_bounded_in_size_and_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
