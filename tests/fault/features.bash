# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for sed
# What tests/fault/switch-off switches off: off NAME FILE SED TEST. The change (sed -E) takes away exactly one feature, TEST must then fail.

# ---- who asks ---------------------------------------------------------------------------------------------------------------

off attribution-by-pid-namespace broker/attribution.c \
        '/^static const struct attribution_entry \*nearest_owner/,/^}/ s/return entry;/return NULL;/' \
        answer/two_containers_get_their_own_payload
off attribution-stranger-is-not-the-host broker/attribution.c \
        's/if \(namespace_chain_length\(&facts->pid_ns\) == 1 && namespace_chain_length\(&facts->user_ns\) == 1\)/if (true)/' \
        answer/stranger_in_an_unregistered_namespace_is_refused
off attribution-by-cgroup broker/attribution.c \
        's/for \(size_t i = 0; i < facts->n_cgroups; i\+\+\) \{/for (size_t i = facts->n_cgroups; i < facts->n_cgroups; i++) {/' \
        answer/a_container_by_its_cgroup_alone
off attribution-left-its-cgroup broker/attribution.c \
        '/^static bool left_its_cgroup/,/^}/ s/return true;/return false;/' \
        unit/test-attribution
off attribution-moved-into-a-cgroup broker/attribution.c \
        's/if \(!namespace_id_equal\(candidate->user_ns, caller->facts->user_ns\.ids\[0\]\)\)/if (false)/' \
        unit/test-attribution
off attribution-beside-a-container broker/attribution.c \
        's/return n == 1 && !only->owns_pid_ns \? judge_cgroup_only/return n >= 1 ? judge_cgroup_only/' \
        unit/test-attribution
off origin-by-root-keyring tools/upcall-request-key/description.c \
        's/return description->uid == 0 &&/return/' \
        unit/test-request-key
off forged-proc-keys-lines tools/upcall-request-key/keylist.c \
        's/return search->matches == 1 \? 0 : -EBADMSG;/return 0;/' \
        client/forged_line_in_proc_keys_is_not_believed
off caller-still-waits tools/upcall-request-key/upcall.c \
        "s/return caller->state == 'D' \? 0 : -ESRCH;/return 0;/" \
        client/caller_that_waits_no_longer_is_not_believed
off uid-mismatch-flag tools/upcall-request-key/upcall.c \
        's/request->flags \|= UPCALL_FLAG_UID_MISMATCH;/request->flags |= 0;/' \
        answer/holder_of_anothers_authority_is_refused
off uid-mismatch-refused broker/upcall-decide.c \
        's/\(upcall->flags & UPCALL_FLAG_UID_MISMATCH\)/false/' \
        answer/holder_of_anothers_authority_is_refused
off nested-upcall broker/upcall-decide.c \
        '/^static Upcall \*find_outer/,/^}/ s/return other;/return NULL;/' \
        host/nested_upcall_of_a_deferred_one_is_deferred
off earlier-outcome-is-heard-first broker/upcall-decide.c \
        's/^( *)upcall_read\(outer\);/\1;/' \
        unit/test-broker
off peer-is-upcall broker/peer.c \
        '/^bool peer_is_upcall/,/^}/ s/parent\.kernel_thread/true/' \
        rogue/upcall_socket_wants_a_child_of_the_kernel

# ---- what is decided --------------------------------------------------------------------------------------------------------

off unregistered-reject broker/upcall-decide.c \
        's/broker->config\.unregistered == CONFIG_UNREGISTERED_DEFER \?/true ?/' \
        answer/stranger_in_an_unregistered_namespace_is_refused
off no-route-refusal broker/upcall-decide.c \
        's/return reject\(ENOKEY, KERNEL_REFUSAL, "no-route"\);/return defer("no-route");/' \
        answer/no_route_gives_enokey
off host-deferral broker/upcall-decide.c \
        's/return defer\("host"\);/return reject(ENOKEY, KERNEL_REFUSAL, "host");/' \
        host/host_gets_the_same_in_every_mode
off tombstone-refuses broker/upcall-decide.c \
        's/if \(container->state != UPCALL_CONTAINER_ACTIVE\)/if (false)/' \
        register/unregistered_container_is_refused_while_it_runs
off tombstone-refuses-in-flight broker/container-end.c \
        's/^( *)container_withdraw\(container, "container-ended"\);/\1(void) container_withdraw;/' \
        failure/container_unregistered_during_upcall
off limit-of-one-container broker/upcall-decide.c \
        '/^static bool upcall_limit/,/^}/ s/if \(!over_limit\(upcall, reserved\)\)/if (true)/' \
        failure/limit_of_one_container

# ---- agents -----------------------------------------------------------------------------------------------------------------

off agent-must-be-in-a-container broker/session.c \
        '/^static Agent \*session_identify/,/^}/ { /if \(attribution\.verdict != ATTRIBUTION_CONTAINER\)/ { N; s/return NULL;/attribution.entry = \&TAILQ_FIRST(\&session->broker->containers)->entry;/ } }' \
        rogue/agent_of_the_host_is_turned_away
off agent-must-be-in-its-container broker/session.c \
        '/^static Agent \*session_identify/,/^}/ s/^( *)agent = container_find_agent\(container, session->name\);/\1agent = NULL;\n\1TAILQ_FOREACH(container, \&session->broker->containers, link)\n\1        if ((agent = container_find_agent(container, session->name)))\n\1                break;/' \
        rogue/agent_of_another_container_is_turned_away
off agent-uid broker/session.c \
        's/return has_uid\(session, container_uid_outside\(container, agent->uid\)\) \? agent : NULL;/return agent;/' \
        rogue/agent_with_another_uid_is_turned_away
off agent-uid-when-it-connected broker/session.c \
        's/ && session->uid == uid;/;/' \
        unit/test-broker
off foreign-answer broker/session.c \
        '/^static int session_take_asked/,/^}/ { s/TAILQ_FOREACH\(upcall, &session->asked, agent_link\)/TAILQ_FOREACH(upcall, \&session->broker->upcalls, link)/; s/if \(memcmp\(upcall->id, id, UPCALL_ID_SIZE\) == 0\)/if (upcall->session \&\& memcmp(upcall->id, id, UPCALL_ID_SIZE) == 0)/; s/&session->asked, upcall/\&upcall->session->asked, upcall/; s/session->n_asked--/upcall->session->n_asked--/ }' \
        rogue/answer_for_anothers_upcall_is_turned_away
off second-answer broker/session.c \
        '/^static int session_take_asked/,/^}/ s/return session_take_back\(session, id\) \? 0 : -EBADMSG;/return 0;/' \
        rogue/second_answer_is_not_used
off agent-death-refuses-at-once broker/session.c \
        's/upcall_refused\(upcall, ENOKEY, 1, reason\);/(void) reason;/' \
        failure/agent_killed_during_upcall
off deadline-of-the-broker broker/upcall-request.c \
        's/if \(upcall->deadline > own\)/if (false)/' \
        failure/slow_agent_hits_the_deadline
off deadline-of-an-asked-agent broker/upcall.c \
        '/^ *case UPCALL_ASKED:/ { N; s/upcall_reject\(.*\);/;/ }' \
        failure/agent_that_hangs_itself

# ---- payloads and packets ---------------------------------------------------------------------------------------------------

off payload-seals util/packet.c \
        's/if \(seals < 0 \|\| \(seals & PAYLOAD_SEALS\) != PAYLOAD_SEALS\)/if (seals < 0)/' \
        rogue/wrong_descriptors_in_an_answer
off payload-seals-codec util/packet.c \
        's/if \(seals < 0 \|\| \(seals & PAYLOAD_SEALS\) != PAYLOAD_SEALS\)/if (seals < 0)/' \
        unit/test-packet
off descriptor-count util/packet.c \
        '/^int packet_decode/,/^}/ s/if \(packet->n_descriptors != layout->descriptors_min && packet->n_descriptors != layout->descriptors_max\)/if (false)/' \
        unit/test-packet
off descriptors-not-expected broker/session.c \
        's/r = packet_receive\(fd, packet, descriptor \? 1 : 0\);/r = packet_receive(fd, packet, 1);/' \
        unit/test-broker
off protocol-version util/wire.c \
        's/return -EPROTONOSUPPORT;/;/' \
        unit/test-wire
off payload-shape-spnego-lengths tools/upcall-request-key/shape.c \
        's/\(uint64_t\) SPNEGO_HEADER_SIZE \+ header\.session_key_size \+ header\.blob_size == size/true/' \
        unit/test-shape
off payload-shape tools/upcall-request-key/carry-out.c \
        's/if \(!shape_fits\(/if (false \&\& !shape_fits(/' \
        client/payload_of_the_wrong_shape_is_refused
off lifetime tools/upcall-request-key/carry-out.c \
        's/r = key_set_timeout\(key, seconds\);/r = 0;/' \
        answer/lifetime_is_set
off verdict-of-another-upcall tools/upcall-request-key/ask.c \
        's/return memcmp\(ret_verdict->id, request->id, UPCALL_ID_SIZE\) == 0 \? 0 : ASK_NONSENSE;/return 0;/' \
        client/nonsense_from_the_broker_is_refused

# ---- registration -----------------------------------------------------------------------------------------------------------

off administrator broker/control.c \
        '/^static bool is_administrator/,/^}/ s/return control->uid == 0 && by->euid == 0 .*/return by->euid == 0 ||/' \
        register/registrar_in_a_container_is_not_the_administrator
off administrator-capability broker/control.c \
        '/^static bool is_administrator/,/^}/ s/\(by->capabilities & \(UINT64_C\(1\) << CAP_SYS_ADMIN\)\)/true/' \
        register/ordinary_user_is_not_the_administrator
off administrator-uid broker/control.c \
        '/^static bool is_administrator/,/^}/ s/return control->uid == 0 && by->euid == 0 &&/return true ||/' \
        register/ordinary_user_is_not_the_administrator
off administrator-when-it-connected broker/control.c \
        '/^static bool is_administrator/,/^}/ s/return control->uid == 0 && /return /' \
        rogue/root_that_was_another_when_it_connected_is_not_the_administrator
off administrator-in-no-container broker/control.c \
        '/^static bool is_administrator/,/^}/ s/attribution_find\(.*\)\.verdict == ATTRIBUTION_HOST/true/' \
        register/root_in_a_container_by_cgroup_is_not_the_administrator
off contid-used-before broker/container-register.c \
        '/r = registry_contid_taken/,/^}/ s/if \(r > 0\)/if (false)/' \
        register/contid_that_was_used_before
off contid-fixed-in-the-registry schema/0001-registry.sql \
        's/^CREATE TRIGGER container_fixed BEFORE UPDATE OF .* ON container/CREATE TRIGGER container_fixed BEFORE UPDATE OF registrar_uid ON container/' \
        unit/test-registry
off second-registration broker/container-register.c \
        's/if \(container->pid == facts->tgid && container->start_time == facts->start_time\)/if (false)/' \
        register/second_contid_for_the_same_process
off thread-refused broker/container-register.c \
        's/if \(facts->tid != facts->tgid\)/if (false)/' \
        register/pidfd_of_a_thread
off first-process-only broker/container-register.c \
        's/if \(\(found & UPCALL_FOUND_PIDNS\) && facts->pids\[facts->n_pids - 1\] != 1\)/if (false)/' \
        register/process_that_is_not_the_first_one

# ---- evidence ---------------------------------------------------------------------------------------------------------------

off dispatch-record-awaited broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(upcall->unconditional\)/if (upcall->unconditional || r >= 0)/; /^static void on_dispatch_recorded/,/^}/ { s/^( *)upcall_proceed\(upcall\);/\1;/ }' \
        audit/no_agent_hears_of_what_is_not_recorded
off dispatch-record-awaited-unit broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(upcall->unconditional\)/if (upcall->unconditional || r >= 0)/; /^static void on_dispatch_recorded/,/^}/ { s/^( *)upcall_proceed\(upcall\);/\1;/ }' \
        unit/test-broker
off read-back auditing/sender.c \
        's/complete\(sender, job, -ENODATA, NULL\);/complete(sender, job, 0, \&(struct sender_receipt){ 0 });/' \
        failure/audit_switched_off_refuses
off ledger-row-before-dispatch broker/upcall.c \
        '/^void upcall_record/,/^}/ s/r = upcall_open_ledger\(upcall\);/r = 0;/' \
        broker/sequence_numbers_are_not_used_again
off ledger-row-required broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(r >= 0 \|\| upcall->unconditional\)/if (true)/' \
        failure/full_disk_refuses
off completion-record broker/upcall-settle.c \
        '/^static void upcall_complete/,/^}/ s/if \(evidence_completion\(upcall, on_completion_recorded\) < 0\)/if (false)/' \
        audit/dispatch_and_completion_belong_together
off completion-at-the-end broker/broker.c \
        's/^( *)upcall_settle_all\(broker\);/\1;/' \
        broker/end_loses_no_outcome
off connections-after-the-verdict-are-bounded broker/upcall-settle.c \
        's/if \(\+\+broker->n_settling > SETTLING_MAX &&/if (++broker->n_settling > 100000 \&\&/' \
        unit/test-broker
off read-back-has-room auditing/sender.c \
        's/while \(sender->unread > 0 &&/while (false \&\&/' \
        sender/sender_keeps_its_promises
off name-in-hex auditing/record.c \
        '/^static void field_hex\(/,/^}/ s/put_hex\(text, data, size, "0123456789ABCDEF"\);/put_bytes(text, data, size);/' \
        audit/hostile_descriptions_come_back_as_sent
off vm-before-uuid auditing/record.c \
        '/^static void fields_container/,/^}/ s/^( *)(field\(text, "vm"\);)/\1field_uuid(text, "uuid", uuid);\n\1\2/' \
        unit/test-record
off description-cut auditing/record.c \
        's/size > RECORD_DESCRIPTION_MAX \? RECORD_DESCRIPTION_MAX : size/size/' \
        audit/long_description_is_cut_with_its_hash
off description-hash auditing/record.c \
        '/^static void field_hex_cut/,/^}/ s/if \(size <= RECORD_DESCRIPTION_MAX\)/if (true)/' \
        audit/long_description_is_cut_with_its_hash

# ---- the broker goes and comes ----------------------------------------------------------------------------------------------

off client-reconnects tools/upcall-request-key/ask.c \
        's/if \(r != ASK_AGAIN && !\(r == ASK_DOWN && conversation->sent\)\)/if (true)/' \
        client/upcall_survives_a_broker_that_dies
off short-refusal-while-down tools/upcall-request-key/main.c \
        's/^#define SOON 1$/#define SOON 60/' \
        failure/broker_not_running_refuses_for_a_short_time
off unbrokered-record tools/upcall-request-key/unbrokered.c \
        '/^void unbrokered_record/,/^}/ s/pid_t pid = fork\(\);/pid_t pid = 1;/' \
        down/container_is_refused_and_recorded
off unbrokered-by-a-child tools/upcall-request-key/unbrokered.c \
        '/^void unbrokered_record/,/^}/ s/pid_t pid = fork\(\);/pid_t pid = 0;/' \
        down/full_queue_of_the_kernel_delays_no_caller
off unbrokered-leaves-the-session tools/upcall-request-key/unbrokered.c \
        's/return r < 0 \? r : key_leave_session\(\);/return r;/' \
        down/full_queue_of_the_kernel_delays_no_caller
off unbrokered-limit tools/upcall-request-key/slot.c \
        's/return -EBUSY;/return 0;/' \
        down/senders_are_limited_and_what_is_missed_is_counted
off unbrokered-missed tools/upcall-request-key/slot.c \
        '/^void slot_count/,/^}/ s/exchange\(fd, false, n\)/exchange(fd, false, 0 * n)/' \
        down/senders_are_limited_and_what_is_missed_is_counted
off unbrokered-only-alone tools/upcall-request-key/main.c \
        's/if \(!job\.decided_by_broker\)/if (true)/' \
        down/decided_upcalls_have_no_record_of_the_client
off doctor-rules-in-order tools/upcallctl/doctor-audit.c \
        's/rules->decided\[exclude\]\[s\]\[t\] = match == RULES_YES;/rules->decided[exclude][s][t] = false;/' \
        doctor/rule_that_another_one_keeps_from_working
off doctor-unknown-is-not-fine tools/upcallctl/doctor.c \
        's/count\(&doctor, DOCTOR_UNKNOWN\) > 0 \? EXIT_NOT_SEEN : EXIT_DONE/EXIT_DONE/' \
        doctor/exit_status_says_what_it_is_worth
off broker-down-refuses-containers tools/upcall-request-key/main.c \
        's/if \(job->policy\.observe \|\| job->policy\.on_broker_down_defer \|\| caller_is_surely_hosts\(.*\)\)/if (true)/' \
        client/broker_down_defers_the_hosts_and_refuses_others
off deadline-of-the-client tools/upcall-request-key/main.c \
        's/deadline_in_ms\(policy_verdict_ms\(&job->policy\)\)/deadline_in_ms(policy_verdict_ms(\&job->policy) * 100ull)/' \
        client/broker_that_hangs_gives_a_refusal_at_the_deadline
off policy-of-root-alone tools/upcall-request-key/policy.c \
        's/if \(fd < 0 \|\| !trustworthy\(fd\)\)/if (fd < 0)/' \
        client/policy_folder_that_others_can_write_to_does_not_count
off restart-takes-containers-up broker/container-load.c \
        's/r = registry_each_container\(broker->registry, false, load_container, &loader\);/r = 0;/' \
        broker/restart_keeps_containers_agents_and_routes
off restart-compares-start-times broker/container-load.c \
        's/ \|\| stat\.start_time != row->start_time//' \
        broker/restart_does_not_take_anothers_process_for_a_container
off retried-upcall broker/upcall-request.c \
        '/^static void drop_predecessor/,/^}/ s/if \(other == upcall \|\| /if (true || /' \
        failure/broker_killed_during_upcall_and_restarted

# ---- the host ---------------------------------------------------------------------------------------------------------------

off drop-in-is-hidden tools/upcall-request-key/defer.c \
        's/if \(access\(DROP_IN_PATH, F_OK\) < 0\)/if (true)/' \
        client/drop_in_alone_answers_and_defers
off takeover-off-restores tools/upcallctl/takeover.c \
        's/rename\(paths->host, paths->request_key\) < 0/unlink(paths->host) < 0/' \
        host/takeover_can_be_repeated_and_undone

# ---- observe mode -----------------------------------------------------------------------------------------------------------

off observe-defers broker/upcall-decide.c \
        's/upcall->decision = (upcall_observe\(&upcall->decision, reason\);)/(void) \1/' \
        observe/everybody_gets_what_the_host_alone_gives
off observe-reason-kept broker/upcall.c \
        's/if \(message\.reason\.data && !upcall->observed\)/if (message.reason.data)/' \
        observe/everybody_gets_what_the_host_alone_gives
off observe-waits-for-nothing broker/upcall-decide.c \
        '/^static void upcall_resolve/,/^}/ { /upcall->unconditional = true;/d }' \
        observe/nobody_waits_for_a_record
off observe-gap-in-the-ledger broker/upcall.c \
        's/upcall->gap = "no-dispatch-record";/upcall->gap = NULL;/' \
        observe/audit_switched_off_refuses_nothing
off observe-closes-after-both-records broker/upcall-settle.c \
        's/ \|\| upcall->dispatch_job \|\| upcall->completion_job/ || upcall->completion_job/' \
        unit/test-broker
off observe-limits-mute-nothing broker/upcall-decide.c \
        's/if \(upcall->observed \|\| broker_may_record_refusal/if (broker_may_record_refusal/' \
        observe/limits_refuse_nothing
off observe-record-without-a-row broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(r >= 0 \|\| upcall->unconditional\)/if (r >= 0)/' \
        observe/full_disk_refuses_nothing
off observe-client-defers tools/upcall-request-key/main.c \
        's/return job->policy\.observe \? decide_defer\(reason\) : /return /' \
        observe/broker_that_hangs_refuses_nothing
off observe-client-defers-when-down tools/upcall-request-key/main.c \
        's/if \(job->policy\.observe \|\| job->policy\.on_broker_down_defer/if (job->policy.on_broker_down_defer/' \
        client/observing_client_defers_whatever_the_broker_does
off observe-client-unread-facts tools/upcall-request-key/main.c \
        '/^static struct decision decide\(/,/^}/ s/return decide_alone\(job, /return decide_reject(/' \
        client/observing_client_defers_what_it_cannot_make_out
off observe-verdict-soon tools/upcall-request-key/policy.h \
        's/if \(!policy->observe\)/if (true)/' \
        unit/test-request-key
off observe-host-has-time tools/upcall-request-key/policy.h \
        's/return policy->observe \? POLICY_DEADLINE_MAX : POLICY_DEADLINE_DEFAULT;/return POLICY_DEADLINE_DEFAULT;/' \
        observe/slow_host_program_is_not_ended
off observe-setting-outlives-a-restart broker/config.c \
        's/r = load_drop_ins\(&parser, path\);/r = 0;/' \
        observe/broker_that_is_down_refuses_nothing
off observe-change-is-recorded broker/reload.c \
        's/^( *)record_mode\(broker, by\);/\1(void) record_mode;/' \
        observe/on_and_off_can_be_repeated_and_are_recorded
off observe-said-first tools/upcallctl/status.c \
        's/if \(status->broker\.mode == UPCALL_MODE_OBSERVE\)/if (false)/' \
        observe/on_and_off_can_be_repeated_and_are_recorded
off observe-says-it-is-incomplete tools/upcallctl/status.c \
        's/if \(warnings\[i\]\.mode == status->broker\.mode/if (false/' \
        observe/setting_in_the_file_is_read_on_hangup
off observe-off-enforces tools/upcallctl/observe.c \
        '/^int observe_off/,/^}/ s/r = tell\(&change, false\);/r = 0;/' \
        observe/off_enforces_again
off observe-all-or-nothing tools/upcallctl/observe.c \
        's/return r == 0 \? 0 : put_back\(&change, true, r\);/return r;/' \
        observe/on_that_fails_changes_nothing
off observe-keeps-the-administrators-own tools/upcallctl/observe.c \
        's/if \(r == -ENOENT \|\| \(r == 0 && file == CLIENT_DOWN\)\)/if (r == -ENOENT)/' \
        observe/administrators_own_policy_is_kept
off observe-mode-is-checked tools/upcallctl/observe-verb.c \
        's/if \(strcmp\(mode, on \? "observe" : "enforce"\) == 0\)/if (true)/' \
        observe/setting_in_the_file_is_read_on_hangup

# ---- rights -----------------------------------------------------------------------------------------------------------------

off witness-capability-set broker/witness.c \
        '/^static int child_keep_ptrace_alone/,/^}/ s/CAPNG_PERMITTED \| CAPNG_INHERITABLE, CAP_SYS_PTRACE/CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_SETUID/' \
        rights/witness_has_one_capability_and_a_filter
off witness-gives-up-rights broker/upcalld-witness.c \
        's/^#define CAPABILITIES .*/#define CAPABILITIES (1ull << CAP_SYS_PTRACE | 1ull << CAP_KILL)/' \
        unit/test-witness
off witness-checks-rights broker/upcalld-witness.c \
        's/^( *)r = check_rights\(\);/\1r = 0;/' \
        unit/test-witness
off witness-filter broker/upcalld-witness.c \
        's/r = witness_filter_install\(\);/r = 0;/' \
        rights/witness_has_one_capability_and_a_filter
off witness-not-dumpable broker/upcalld-witness.c \
        's/prctl\(PR_SET_DUMPABLE, 0\) < 0 \|\|//' \
        rights/broker_and_witness_cannot_be_dumped_or_read
off broker-drops-capabilities broker/privileges.c \
        's/CAP_AUDIT_WRITE, CAP_AUDIT_READ, -1/CAP_AUDIT_WRITE, CAP_AUDIT_READ, CAP_KILL, -1/' \
        rights/broker_has_two_capabilities_and_no_root
off broker-bounding-set broker/privileges.c \
        's/ \| CAPNG_CLEAR_BOUNDING//' \
        rights/broker_has_two_capabilities_and_no_root
off broker-groups broker/privileges.c \
        's/CAPNG_DROP_SUPP_GRP \| //' \
        rights/broker_has_two_capabilities_and_no_root
off broker-no-new-privileges broker/privileges.c \
        's/prctl\(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0\) < 0 \|\|//' \
        rights/broker_has_two_capabilities_and_no_root
off broker-not-dumpable broker/privileges.c \
        's/prctl\(PR_SET_DUMPABLE, 0, 0, 0, 0\) < 0 \|\|//' \
        rights/broker_and_witness_cannot_be_dumped_or_read
