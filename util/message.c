/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "util/cleanup.h"
#include "util/message.h"

/* include/linux/err.h: MAX_ERRNO */
#define ERRNO_MAX 4095

/* What is for people or for the record, and has no limit of the kernel's. */
#define TEXT_MAX 4096
#define REASON_MAX 63
#define VERSION_MAX 63
#define AUDIT_MAX 255
#define UPSTREAM_MAX 511

/* As many as the broker ever gives out or takes; include/upcall/agent.h */
#define WORKERS_MAX 256

#define FLAGS_ALL \
        (UPCALL_FLAG_DRY_RUN | UPCALL_FLAG_ALL | UPCALL_FLAG_UID_MISMATCH | UPCALL_FLAG_ENDED | UPCALL_FLAG_LATE_CGROUP | \
         UPCALL_FLAG_CGROUP_SHARED | UPCALL_FLAG_PARENTS)
#define FOUND_ALL (UPCALL_FOUND_PIDNS | UPCALL_FOUND_CGROUP)

/* One line per field: MUST or MAY, its tag, its place in the struct, and its bounds. */
#define MUST true
#define MAY false

#define FIELD(_kind, _type, _required, _tag, _member, ...) \
        { .tag = UPCALL_FIELD_##_tag, .kind = WIRE_##_kind, .required = _required, .offset = offsetof(struct _type, _member), __VA_ARGS__ }
#define U32(type, required, tag, member) FIELD(U32, type, required, tag, member)
#define U32_BETWEEN(type, required, tag, member, lowest, highest) FIELD(U32, type, required, tag, member, .min = lowest, .max = highest)
#define U64(type, required, tag, member) FIELD(U64, type, required, tag, member)
#define ID(type, required, tag, member) FIELD(ID, type, required, tag, member)
#define TEXT(type, required, tag, member, shortest, longest) FIELD(TEXT, type, required, tag, member, .min = shortest, .max = longest)
#define BYTES(type, required, tag, member, longest) FIELD(BYTES, type, required, tag, member, .max = longest)
#define STRING(type, required, tag, member) \
        FIELD(STRING, type, required, tag, member, .max = sizeof(((struct type *) NULL)->member) - 1)
#define ARRAY(kind, type, required, tag, member, count, fewest, most, step) \
        FIELD(kind, type, required, tag, member, .count_offset = offsetof(struct type, count), .min = fewest, .max = most, .multiple = step)
#define NESTED(type, required, tag, member, layout) FIELD(NESTED, type, required, tag, member, .nested = &(layout))

#define LAYOUT(_scope, _name, _struct, _type, _descriptors_min, _descriptors_max)                  \
        _Static_assert(ELEMENTS(_name##_fields) <= 64, "the codec marks fields in 64 bits");       \
        _scope const struct wire_layout _name##_layout = {                                         \
                .type = _type,                                                                     \
                .descriptors_min = _descriptors_min,                                               \
                .descriptors_max = _descriptors_max,                                               \
                .struct_size = sizeof(struct _struct),                                             \
                .n_fields = ELEMENTS(_name##_fields),                                              \
                .fields = _name##_fields,                                                          \
        }
#define MESSAGE_LAYOUT(_name, _type, _descriptors_min, _descriptors_max) \
        LAYOUT(, message_##_name, message_##_name, UPCALL_MESSAGE_##_type, _descriptors_min, _descriptors_max)

_Static_assert(sizeof(struct namespace_id) == 2 * sizeof(uint64_t), "namespaces travel as pairs of numbers");

/* Namespaces, cgroups and labels are absent where they are not known. */
static const struct wire_field facts_fields[] = {
        U32(process_facts, MUST, TGID, tgid),
        U32(process_facts, MUST, TID, tid),
        U64(process_facts, MUST, START_TIME, start_time),
        U32_BETWEEN(process_facts, MAY, PROCESS_STATE, state, 1, 0x7f),
        U32(process_facts, MAY, PARENT_PID, parent_pid),
        U32(process_facts, MUST, RUID, ruid),
        U32(process_facts, MUST, EUID, euid),
        U32(process_facts, MUST, FSUID, fsuid),
        U32(process_facts, MUST, FSGID, fsgid),
        U64(process_facts, MUST, CAPABILITIES, capabilities),
        U32(process_facts, MUST, LOGINUID, loginuid),
        U32(process_facts, MUST, SESSIONID, sessionid),
        ARRAY(U32S, process_facts, MAY, PIDS, pids, n_pids, 1, PROCESS_NS_DEPTH_MAX, 1),
        ARRAY(U64S, process_facts, MAY, PID_NS, pid_ns.ids, pid_ns.n_values, 2, 2 * PROCESS_NS_DEPTH_MAX, 2),
        ARRAY(U64S, process_facts, MAY, USER_NS, user_ns.ids, user_ns.n_values, 2, 2 * PROCESS_NS_DEPTH_MAX, 2),
        ARRAY(U64S, process_facts, MAY, MNT_NS, mnt_ns, n_mnt_ns, 2, 2, 2),
        ARRAY(U64S, process_facts, MAY, NET_NS, net_ns, n_net_ns, 2, 2, 2),
        ARRAY(U64S, process_facts, MAY, CGROUPS, cgroups, n_cgroups, 1, PROCESS_CGROUPS_MAX, 1),
        STRING(process_facts, MAY, COMM, comm),
        STRING(process_facts, MAY, CGROUP_PATH, cgroup_path),
        STRING(process_facts, MAY, LABEL, label),
        U32_BETWEEN(process_facts, MAY, KERNEL_THREAD, kernel_thread, 1, 1),
};
LAYOUT(static, facts, process_facts, 0, 0, 0);

static const struct wire_field message_error_fields[] = {
        U32_BETWEEN(message_error, MUST, ERROR, error, 1, ERRNO_MAX),
        TEXT(message_error, MUST, TEXT, text, 0, TEXT_MAX),
};
MESSAGE_LAYOUT(error, ERROR, 0, 0);

static const struct wire_field message_request_fields[] = {
        ID(message_request, MUST, ID, id),
        U32(message_request, MUST, RETRY, retry),
        U32_BETWEEN(message_request, MUST, FLAGS, flags, 0, FLAGS_ALL),
        U32(message_request, MUST, KEY, key),
        TEXT(message_request, MUST, KEY_TYPE, key_type, 1, UPCALL_TYPE_MAX),
        TEXT(message_request, MUST, DESCRIPTION, description, 0, UPCALL_DESCRIPTION_MAX),
        BYTES(message_request, MAY, CALLOUT, callout, UPCALL_CALLOUT_MAX),
        U32_BETWEEN(message_request, MAY, OPERATION, operation, UPCALL_OPERATION_CREATE, UPCALL_OPERATION_CREATE),
        U32_BETWEEN(message_request, MUST, ORIGIN, origin, UPCALL_ORIGIN_USER, UPCALL_ORIGIN_KERNEL),
        U32(message_request, MUST, UID, uid),
        U32(message_request, MUST, GID, gid),
        U32(message_request, MUST, TIMEOUT_MS, timeout_ms),
        NESTED(message_request, MUST, CALLER, caller, facts_layout),
};
MESSAGE_LAYOUT(request, REQUEST, 1, 1);

static const struct wire_field message_verdict_fields[] = {
        ID(message_verdict, MUST, ID, id),
        U32_BETWEEN(message_verdict, MUST, ACTION, action, UPCALL_ACTION_ANSWER, UPCALL_ACTION_LOOK),
        U32_BETWEEN(message_verdict, MAY, ERROR, error, 1, ERRNO_MAX),
        U32_BETWEEN(message_verdict, MAY, SECONDS, seconds, 0, UPCALL_SECONDS_MAX),
        BYTES(message_verdict, MAY, PAYLOAD, payload, UPCALL_INLINE_MAX),
        TEXT(message_verdict, MAY, TEXT, text, 0, TEXT_MAX),
        U32_BETWEEN(message_verdict, MAY, AGENT_KIND, agent_kind, UPCALL_AGENT_HELPER, UPCALL_AGENT_HOST_PROGRAM),
        U32_BETWEEN(message_verdict, MAY, LEND, lend, 1, 1),
        BYTES(message_verdict, MAY, ARGUMENTS, arguments, UPCALL_ARGUMENTS_MAX),
        ID(message_verdict, MAY, CONTID, contid),
        TEXT(message_verdict, MAY, CONTAINER, container, 1, UPCALL_NAME_MAX),
        U32_BETWEEN(message_verdict, MAY, KEYRING, keyring, 1, INT32_MAX),
};
MESSAGE_LAYOUT(verdict, VERDICT, 0, 1);

static const struct wire_field message_lent_fields[] = {
        ID(message_lent, MUST, ID, id),
        U32_BETWEEN(message_lent, MUST, KEYRING, keyring, 0, INT32_MAX),
        U32_BETWEEN(message_lent, MUST, ERROR, error, 0, ERRNO_MAX),
        TEXT(message_lent, MAY, REASON, reason, 1, REASON_MAX),
};
MESSAGE_LAYOUT(lent, LENT, 0, 0);

static const struct wire_field message_outcome_fields[] = {
        ID(message_outcome, MUST, ID, id),
        U32_BETWEEN(message_outcome, MUST, OUTCOME, outcome, UPCALL_OUTCOME_INSTANTIATED, UPCALL_OUTCOME_ABANDONED),
        U32_BETWEEN(message_outcome, MUST, ERROR, error, 0, ERRNO_MAX),
        TEXT(message_outcome, MAY, REASON, reason, 1, REASON_MAX),
};
MESSAGE_LAYOUT(outcome, OUTCOME, 0, 0);

static const struct wire_field message_hello_fields[] = {
        TEXT(message_hello, MUST, VERSION, version, 0, VERSION_MAX),
};
MESSAGE_LAYOUT(hello, HELLO, 0, 0);

static const struct wire_field message_attach_fields[] = {
        TEXT(message_attach, MUST, NAME, name, 1, UPCALL_AGENT_NAME_MAX),
        U32_BETWEEN(message_attach, MUST, WORKERS, workers, 1, WORKERS_MAX),
        U32_BETWEEN(message_attach, MAY, KEYRING, keyring, 1, INT32_MAX),
        U32_BETWEEN(message_attach, MAY, FLAGS, flags, 0, UPCALL_FLAG_BROKER),
};
MESSAGE_LAYOUT(attach, ATTACH, 0, 0);

static const struct wire_field message_attached_fields[] = {
        ID(message_attached, MUST, CONTID, contid),
        TEXT(message_attached, MUST, CONTAINER, container, 0, UPCALL_NAME_MAX),
};
MESSAGE_LAYOUT(attached, ATTACHED, 0, 0);

static const struct wire_field message_question_fields[] = {
        ID(message_question, MUST, ID, id),
        U32(message_question, MUST, RETRY, retry),
        U32(message_question, MUST, KEY, key),
        TEXT(message_question, MUST, KEY_TYPE, key_type, 1, UPCALL_TYPE_MAX),
        TEXT(message_question, MUST, DESCRIPTION, description, 0, UPCALL_DESCRIPTION_MAX),
        BYTES(message_question, MAY, CALLOUT, callout, UPCALL_CALLOUT_MAX),
        U32_BETWEEN(message_question, MUST, ORIGIN, origin, UPCALL_ORIGIN_USER, UPCALL_ORIGIN_KERNEL),
        U32(message_question, MUST, UID, uid),
        U32(message_question, MUST, GID, gid),
        U32(message_question, MUST, PID, pid),
        ID(message_question, MUST, CONTID, contid),
        U32(message_question, MUST, TIMEOUT_MS, timeout_ms),
        U32_BETWEEN(message_question, MAY, LEND, lend, 1, 1),
};
MESSAGE_LAYOUT(question, QUESTION, 0, 1);

static const struct wire_field message_answered_fields[] = {
        ID(message_answered, MUST, ID, id),
};
MESSAGE_LAYOUT(answered, ANSWERED, 0, 0);

static const struct wire_field message_answer_fields[] = {
        ID(message_answer, MUST, ID, id),
        U32_BETWEEN(message_answer, MUST, SECONDS, seconds, 0, UPCALL_SECONDS_MAX),
        BYTES(message_answer, MAY, PAYLOAD, payload, UPCALL_INLINE_MAX),
};
MESSAGE_LAYOUT(answer, ANSWER, 0, 1);

static const struct wire_field message_refusal_fields[] = {
        ID(message_refusal, MUST, ID, id),
        U32_BETWEEN(message_refusal, MUST, ERROR, error, 1, ERRNO_MAX),
        U32_BETWEEN(message_refusal, MUST, SECONDS, seconds, 0, UPCALL_SECONDS_MAX),
        TEXT(message_refusal, MAY, REASON, reason, 1, REASON_MAX),
};
MESSAGE_LAYOUT(refusal, REFUSAL, 0, 0);

static const struct wire_field message_withdraw_fields[] = {
        ID(message_withdraw, MUST, ID, id),
};
MESSAGE_LAYOUT(withdraw, WITHDRAW, 0, 0);

static const struct wire_field message_control_fields[] = {
        U32_BETWEEN(message_control, MUST, VERB, verb, UPCALL_VERB_STATUS, UPCALL_VERB_AGENT_DISALLOW),
        U32_BETWEEN(message_control, MAY, FLAGS, flags, 0, FLAGS_ALL),
        TEXT(message_control, MAY, CONTAINER, container, 0, UPCALL_NAME_MAX),
        TEXT(message_control, MAY, NAME, name, 0, UPCALL_NAME_MAX),
        ID(message_control, MAY, CONTID, contid),
        TEXT(message_control, MAY, AGENT, agent, 0, UPCALL_AGENT_NAMES_MAX),
        U32(message_control, MAY, UID, uid),
        U32_BETWEEN(message_control, MAY, PLACE, place, UPCALL_PLACE_CONTAINER, UPCALL_PLACE_HOST),
        TEXT(message_control, MAY, SERVES, serves, 0, UPCALL_NAME_MAX),
        U32_BETWEEN(message_control, MAY, ACTION, action, 0, UPCALL_ACTION_DEFER),
        U32_BETWEEN(message_control, MAY, ERROR, error, 0, ERRNO_MAX),
        TEXT(message_control, MAY, KEY_TYPE, key_type, 0, UPCALL_TYPE_MAX),
        TEXT(message_control, MAY, DESCRIPTION, description, 0, UPCALL_DESCRIPTION_MAX),
        TEXT(message_control, MAY, CALLOUT, callout, 0, UPCALL_CALLOUT_MAX),
        U32_BETWEEN(message_control, MAY, OPERATION, operation, UPCALL_OPERATION_CREATE, UPCALL_OPERATION_CREATE),
        U32_BETWEEN(message_control, MAY, ORIGIN, origin, 0, UPCALL_ORIGIN_KERNEL + 1),
        U32(message_control, MAY, CALLER_UID, caller_uid),
        U32_BETWEEN(message_control, MAY, ROUTE_FLAGS, route_flags, 0, UPCALL_ROUTE_FLAGS),
        U32(message_control, MAY, PRIORITY, priority),
        U64(message_control, MAY, ROUTE, route),
        TEXT(message_control, MAY, RUNTIME_ID, runtime_id, 0, UPCALL_RUNTIME_ID_MAX),
        TEXT(message_control, MAY, IMAGE, image, 0, UPCALL_LABEL_MAX),
        TEXT(message_control, MAY, POD, pod, 0, UPCALL_LABEL_MAX),
        U64(message_control, MAY, SEQNO, seqno),
        U64(message_control, MAY, KEYS_INVALIDATED, keys_invalidated),
        U64(message_control, MAY, KEYS_GONE, keys_gone),
        U64(message_control, MAY, KEYS_KEPT, keys_kept),
        TEXT(message_control, MAY, TYPES, types, 0, UPCALL_TYPES_MAX),
        U32(message_control, MAY, MAX_CONTAINERS, max_containers),
        U32(message_control, MAY, MAX_AGENTS, max_agents),
        U32(message_control, MAY, DEPTH, depth),
        U64(message_control, MAY, EXPIRES, expires),
        U64(message_control, MAY, DELEGATION, delegation),
        U32_BETWEEN(message_control, MAY, AGENT_KIND, agent_kind, UPCALL_AGENT_RESIDENT, UPCALL_AGENT_HOST_PROGRAM),
        U32_BETWEEN(message_control, MAY, LEND, lend, 1, 1),
        BYTES(message_control, MAY, ARGUMENTS, arguments, UPCALL_ARGUMENTS_MAX),
};
MESSAGE_LAYOUT(control, CONTROL, 0, 1);

static const struct wire_field message_status_fields[] = {
        TEXT(message_status, MUST, VERSION, version, 0, VERSION_MAX),
        U32(message_status, MUST, PID, pid),
        U32(message_status, MUST, CONTAINERS, containers),
        U32(message_status, MUST, AGENTS, agents),
        U32(message_status, MUST, IN_FLIGHT, in_flight),
        U64(message_status, MUST, UPCALLS, upcalls),
        U64(message_status, MUST, TIME, time),
        TEXT(message_status, MUST, AUDIT, audit, 0, AUDIT_MAX),
        U32_BETWEEN(message_status, MAY, MODE, mode, UPCALL_MODE_ENFORCE, UPCALL_MODE_OBSERVE),
        U64(message_status, MAY, RECORDS_LOST, records_lost),
        U64(message_status, MAY, ROWS_LOST, rows_lost),
        U64(message_status, MAY, OVER_LIMIT, over_limit),
        U32_BETWEEN(message_status, MAY, UNREGISTERED, unregistered, UPCALL_ACTION_REJECT, UPCALL_ACTION_DEFER),
        U64(message_status, MAY, SPOOLED, spooled),
        U64(message_status, MAY, GAP_RECORDS, gap_records),
        U64(message_status, MAY, GAP_DROPPED, gap_dropped),
        U64(message_status, MAY, GAP_FROM, gap_from),
        U64(message_status, MAY, LONGEST_TURN, longest_turn),
        U64(message_status, MAY, REFUSALS_MUTED, refusals_muted),
        ARRAY(U32S, message_status, MAY, LIMIT_USED, limits.used, limits.n_used, 1, UPCALL_LIMITS_MAX, 1),
        ARRAY(U32S, message_status, MAY, LIMIT_HOST, limits.host, limits.n_host, 1, UPCALL_LIMITS_MAX, 1),
        ARRAY(U32S, message_status, MAY, LIMIT_CONTAINER, limits.container, limits.n_container, 1, UPCALL_LIMITS_MAX, 1),
        ARRAY(U32S, message_status, MAY, LIMIT_UID, limits.uid, limits.n_uid, 1, UPCALL_LIMITS_MAX, 1),
        ARRAY(U64S, message_status, MAY, LIMIT_REFUSED, limits.refused, limits.n_refused, UPCALL_LIMIT_SCOPES, UPCALL_LIMITS_MAX * UPCALL_LIMIT_SCOPES,
              UPCALL_LIMIT_SCOPES),
        TEXT(message_status, MAY, UPSTREAM, upstream, 0, UPSTREAM_MAX),
};
MESSAGE_LAYOUT(status, STATUS, 0, 0);

static const struct wire_field message_container_fields[] = {
        ID(message_container, MUST, CONTID, contid),
        TEXT(message_container, MUST, NAME, name, 0, UPCALL_NAME_MAX),
        U32_BETWEEN(message_container, MUST, STATE, state, UPCALL_CONTAINER_ACTIVE, UPCALL_CONTAINER_ENDED),
        U32(message_container, MUST, PID, pid),
        U32_BETWEEN(message_container, MUST, FOUND, found, 0, FOUND_ALL),
        ID(message_container, MAY, PARENT, parent),
        U64(message_container, MUST, TIME, time),
        U64(message_container, MAY, TIME_END, time_end),
        TEXT(message_container, MAY, REASON, reason, 0, REASON_MAX),
        U64(message_container, MAY, START_TIME, start_time),
        TEXT(message_container, MAY, RUNTIME_ID, runtime_id, 0, UPCALL_RUNTIME_ID_MAX),
        TEXT(message_container, MAY, IMAGE, image, 0, UPCALL_LABEL_MAX),
        TEXT(message_container, MAY, POD, pod, 0, UPCALL_LABEL_MAX),
};
MESSAGE_LAYOUT(container, CONTAINER, 0, 0);

static const struct wire_field message_agent_fields[] = {
        TEXT(message_agent, MUST, AGENT, agent, 0, UPCALL_AGENT_NAME_MAX),
        TEXT(message_agent, MAY, CONTAINER, container, 0, UPCALL_NAME_MAX),
        ID(message_agent, MUST, CONTID, contid),
        U32_BETWEEN(message_agent, MAY, PLACE, place, UPCALL_PLACE_CONTAINER, UPCALL_PLACE_HOST),
        TEXT(message_agent, MAY, SERVES, serves, 0, TEXT_MAX),
        U32(message_agent, MUST, UID, uid),
        U32(message_agent, MUST, COUNT, count),
        U32(message_agent, MUST, WORKERS, workers),
        U32_BETWEEN(message_agent, MUST, AGENT_KIND, kind, UPCALL_AGENT_RESIDENT, UPCALL_AGENT_HOST_PROGRAM),
        U32_BETWEEN(message_agent, MAY, LEND, lend, 1, 1),
        BYTES(message_agent, MAY, ARGUMENTS, arguments, UPCALL_ARGUMENTS_MAX),
};
MESSAGE_LAYOUT(agent, AGENT, 0, 0);

static const struct wire_field message_route_fields[] = {
        U64(message_route, MUST, ROUTE, route),
        TEXT(message_route, MUST, CONTAINER, container, 0, UPCALL_NAME_MAX),
        ID(message_route, MUST, CONTID, contid),
        U32_BETWEEN(message_route, MUST, ACTION, action, UPCALL_ACTION_ANSWER, UPCALL_ACTION_DEFER),
        U32_BETWEEN(message_route, MAY, ERROR, error, 0, ERRNO_MAX),
        TEXT(message_route, MAY, AGENT, agent, 0, UPCALL_AGENT_NAMES_MAX),
        TEXT(message_route, MUST, KEY_TYPE, key_type, 0, UPCALL_TYPE_MAX),
        TEXT(message_route, MUST, DESCRIPTION, description, 0, UPCALL_DESCRIPTION_MAX),
        TEXT(message_route, MAY, CALLOUT, callout, 0, UPCALL_CALLOUT_MAX),
        U32_BETWEEN(message_route, MAY, OPERATION, operation, UPCALL_OPERATION_CREATE, UPCALL_OPERATION_CREATE),
        U32_BETWEEN(message_route, MUST, ORIGIN, origin, 0, UPCALL_ORIGIN_KERNEL + 1),
        U32(message_route, MAY, CALLER_UID, caller_uid),
        U32_BETWEEN(message_route, MAY, ROUTE_FLAGS, route_flags, 0, UPCALL_ROUTE_FLAGS),
        U32_BETWEEN(message_route, MAY, RESULT, result, 0, UPCALL_ROUTE_MISSES),
        U32(message_route, MUST, PRIORITY, priority),
        TEXT(message_route, MAY, TEXT, text, 0, TEXT_MAX),
};
MESSAGE_LAYOUT(route, ROUTE, 0, 0);

static const struct wire_field message_key_fields[] = {
        U64(message_key, MUST, SEQNO, seqno),
        U32(message_key, MUST, KEY, key),
        TEXT(message_key, MUST, KEY_TYPE, key_type, 0, UPCALL_TYPE_MAX),
        TEXT(message_key, MUST, DESCRIPTION, description, 0, UPCALL_DESCRIPTION_MAX),
        U32_BETWEEN(message_key, MAY, OUTCOME, outcome, 0, UPCALL_OUTCOME_ABANDONED),
};
MESSAGE_LAYOUT(key, KEY, 0, 0);

static const struct wire_field message_delegation_fields[] = {
        U64(message_delegation, MUST, DELEGATION, delegation),
        TEXT(message_delegation, MUST, CONTAINER, container, 0, UPCALL_NAME_MAX),
        ID(message_delegation, MUST, CONTID, contid),
        U64(message_delegation, MAY, PASSED_ON_FROM, passed_on_from),
        TEXT(message_delegation, MUST, TYPES, types, 0, UPCALL_TYPES_MAX),
        U32(message_delegation, MUST, MAX_CONTAINERS, max_containers),
        U32(message_delegation, MUST, MAX_AGENTS, max_agents),
        U32(message_delegation, MUST, DEPTH, depth),
        U32(message_delegation, MUST, CONTAINERS, containers),
        U32(message_delegation, MUST, AGENTS, agents),
        U64(message_delegation, MUST, TIME, time),
        U64(message_delegation, MAY, EXPIRES, expires),
};
MESSAGE_LAYOUT(delegation, DELEGATION, 0, 0);

static const struct wire_field message_done_fields[] = {
        U32_BETWEEN(message_done, MUST, ERROR, error, 0, ERRNO_MAX),
        TEXT(message_done, MUST, TEXT, text, 0, TEXT_MAX),
};
MESSAGE_LAYOUT(done, DONE, 0, 0);

static const struct wire_field message_look_fields[] = {
        U64(message_look, MUST, SEQNO, seqno),
};
MESSAGE_LAYOUT(look, LOOK, 1, 1);

static const struct wire_field message_seen_fields[] = {
        U64(message_seen, MUST, SEQNO, seqno),
        U32_BETWEEN(message_seen, MUST, ERROR, error, 0, ERRNO_MAX),
        NESTED(message_seen, MAY, CALLER, facts, facts_layout),
};
MESSAGE_LAYOUT(seen, SEEN, 0, 2);

const struct wire_layout *const message_layouts[] = {
        &message_error_layout,
        &message_request_layout,
        &message_verdict_layout,
        &message_outcome_layout,
        &message_hello_layout,
        &message_attach_layout,
        &message_attached_layout,
        &message_question_layout,
        &message_answer_layout,
        &message_refusal_layout,
        &message_withdraw_layout,
        &message_answered_layout,
        &message_lent_layout,
        &message_control_layout,
        &message_status_layout,
        &message_container_layout,
        &message_agent_layout,
        &message_route_layout,
        &message_key_layout,
        &message_delegation_layout,
        &message_done_layout,
        &message_look_layout,
        &message_seen_layout,
        NULL,
};

/* Not isalnum(): the locale has no say in names. */
static bool is_alphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_punctuation(char c) {
        return c == '.' || c == '_' || c == ':' || c == '-';
}

bool message_name_valid(struct wire_span name, size_t max) {
        const char *text = name.data;

        if (!text || name.size == 0 || name.size > max || !is_alphanumeric(text[0]))
                return false;
        for (size_t i = 1; i < name.size; i++)
                if (!is_alphanumeric(text[i]) && !is_punctuation(text[i]))
                        return false;
        return true;
}

const char *message_arguments_next(struct wire_span arguments, const char *word) {
        const char *start = arguments.data;
        size_t at;

        if (!start)
                return NULL;
        at = word ? (size_t) (word - start) + strlen(word) + 1 : 0;
        return at < arguments.size ? start + at : NULL;
}

bool message_arguments_valid(struct wire_span arguments) {
        const char *text = arguments.data;
        size_t n = 0;

        if (!text || arguments.size == 0 || arguments.size > UPCALL_ARGUMENTS_MAX || text[0] == '\0' || text[arguments.size - 1] != '\0')
                return false;
        for (const char *word = message_arguments_next(arguments, NULL); word; word = message_arguments_next(arguments, word))
                n++;
        return n <= UPCALL_ARGUMENTS_COUNT_MAX;
}
