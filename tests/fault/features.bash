# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for sed
# What tests/fault/switch-off switches off: off NAME FILE SED TEST. The change (sed -E) takes away exactly one feature, TEST must then fail.

# ---- who asks ---------------------------------------------------------------------------------------------------------------

# No container owns a pid namespace
off attribution-by-pid-namespace broker/attribution.c \
        '/^static const struct attribution_entry \*nearest_owner/,/^}/ s/return entry;/return NULL;/' \
        answer/two_containers_get_their_own_payload
# Whoever is in no container is the host
off attribution-stranger-is-not-the-host broker/attribution.c \
        '/^static struct attribution judge_without_cgroup/,/^}/ s/if \(is_outside_of_namespaces\(facts\)\)/if (true)/' \
        answer/stranger_in_an_unregistered_namespace_is_refused
# Cgroups are not looked at
off attribution-by-cgroup broker/attribution.c \
        's/for \(size_t i = 0; i < facts->n_cgroups; i\+\+\) \{/for (size_t i = facts->n_cgroups; i < facts->n_cgroups; i++) {/' \
        answer/a_container_by_its_cgroup_alone
# Who left his container's cgroup is not in doubt
off attribution-left-its-cgroup broker/attribution.c \
        '/^static bool left_its_cgroup/,/^}/ s/return true;/return false;/' \
        unit/test-attribution
# Who moved into a container's cgroup from another user namespace is believed
off attribution-moved-into-a-cgroup broker/attribution.c \
        's/if \(!namespace_id_equal\(candidate->user_ns, caller->facts->user_ns\.ids\[0\]\)\)/if (false)/' \
        unit/test-attribution
# Who put himself into the cgroup of a container with a pid namespace is believed
off attribution-beside-a-container broker/attribution.c \
        's/return n == 1 && !only->owns_pid_ns \? judge_cgroup_only/return n >= 1 ? judge_cgroup_only/' \
        unit/test-attribution
# A thread keyring with a dot name counts as the kernel's, whoever owns it
off origin-by-root-keyring tools/upcall-request-key/description.c \
        's/return description->uid == 0 &&/return/' \
        unit/test-request-key
# The first of two lines with one serial is believed
off forged-proc-keys-lines tools/upcall-request-key/keylist.c \
        's/return search->matches == 1 \? 0 : -EBADMSG;/return 0;/' \
        client/forged_line_in_proc_keys_is_not_believed
# The caller need not be in state D
off caller-still-waits tools/upcall-request-key/upcall.c \
        "s/return caller->state == 'D' \? 0 : -ESRCH;/return 0;/" \
        client/caller_that_waits_no_longer_is_not_believed
# The client does not compare the uid with the caller's
off uid-mismatch-flag tools/upcall-request-key/upcall.c \
        's/request->flags \|= UPCALL_FLAG_UID_MISMATCH;/request->flags |= 0;/' \
        answer/holder_of_anothers_authority_is_refused
# The broker does not look at what the client found
off uid-mismatch-refused broker/upcall-decide.c \
        's/\(upcall->flags & UPCALL_FLAG_UID_MISMATCH\)/false/' \
        answer/holder_of_anothers_authority_is_refused
# The upcall around a nested one is not looked for
off nested-upcall broker/upcall-decide.c \
        '/^static Upcall \*find_outer/,/^}/ s/return other;/return NULL;/' \
        host/nested_upcall_of_a_deferred_one_is_deferred
# What a client said before is read after the upcall within is judged
off earlier-outcome-is-heard-first broker/upcall-decide.c \
        's/^( *)upcall_read\(outer\);/\1;/' \
        unit/test-broker
# Root's process need not be a child of a kernel thread
off peer-is-upcall broker/peer.c \
        '/^bool peer_is_upcall/,/^}/ s/parent\.kernel_thread/true/' \
        rogue/upcall_socket_wants_a_child_of_the_kernel

# ---- what is decided --------------------------------------------------------------------------------------------------------

# Strangers are deferred whatever the setting says
off unregistered-reject broker/upcall-decide.c \
        's/broker->config\.unregistered == CONFIG_UNREGISTERED_DEFER \?/true ?/' \
        answer/stranger_in_an_unregistered_namespace_is_refused
# An upcall without a route is deferred
off no-route-refusal broker/upcall-decide.c \
        's/return reject\(ENOKEY, route_type_is_shared.*"no-route"\);/return defer("no-route");/' \
        answer/no_route_gives_enokey
# The host's own upcalls are refused
off host-deferral broker/upcall-decide.c \
        's/return defer\("host"\);/return reject(ENOKEY, KERNEL_REFUSAL, "host");/' \
        host/host_gets_the_same_in_every_mode
# A container that has ended goes on being served
off tombstone-refuses broker/upcall-decide.c \
        's/if \(container->state != UPCALL_CONTAINER_ACTIVE\)/if (false)/' \
        register/unregistered_container_is_refused_while_it_runs
# Its upcalls in flight and its agents stay
off tombstone-refuses-in-flight broker/container-end.c \
        's/^( *)container_withdraw\(container, "container-ended"\);/\1(void) container_withdraw;/' \
        failure/container_unregistered_during_upcall
# A container has no limit
off limit-of-one-container broker/quota.c \
        's/return QUOTA_OF_CONTAINER;/;/' \
        failure/limit_of_one_container

# A container that ends by itself leaves no note of its keys
off keys-left-are-noted schema/0008-keys-left.sql \
        's/WHEN OLD\.state = 1 AND NEW\.state <> 1/WHEN 0/' \
        life/keys_of_containers_that_ended_without_a_hook_are_invalidated
# Nothing is said of keys that were left while no broker ran
off keys-left-are-said-after-a-start broker/broker.c \
        's/^( *)keys_left_load\(broker\);/\1(void) keys_left_load;/' \
        life/keys_of_containers_that_ended_without_a_hook_are_invalidated
# Keys that were invalidated stay noted
off keys-left-are-forgotten broker/control-key.c \
        's/r = registry_forget_keys_left\(registry, subject\.contid\);/r = 0;/' \
        life/keys_of_containers_that_ended_without_a_hook_are_invalidated

# ---- limits -------------------------------------------------------------------------------------------------------------------

# A uid has no limit
off limit-of-one-uid broker/quota.c \
        's/return QUOTA_OF_UID;/;/' \
        quota/limit_of_one_uid_leaves_room_to_others
# There is no fair share
off limit-fair-share broker/quota.c \
        's/return QUOTA_OF_SHARE;/;/' \
        quota/no_container_uses_up_anothers_share
# The host has no limit
off limit-of-the-host broker/quota.c \
        's/return QUOTA_OF_HOST;/;/' \
        unit/test-quota
# Everybody may have what is reserved
off limit-reserve broker/quota.c \
        's/unsigned host = reserve \?/unsigned host = true ?/' \
        unit/test-quota
# Any number waits for a worker
off limit-of-the-queue broker/upcall-ask.c \
        's/r = quota_take\(container->holder, upcall->caller_uid, QUOTA_QUEUE, .*/r = 0;/' \
        quota/queue_for_a_worker_is_bounded
# Refusals for want of room come at once
off limit-refusals-are-held broker/upcall-decide.c \
        's/^( *)upcall_hold\(upcall, holder\);/\1(void) upcall_hold;/' \
        quota/refusals_are_held_back
# Callers that were refused together come back together
off limit-held-are-let-go-one-by-one broker/upcall-decide.c \
        's/quota_reserve\(holder, QUOTA_REFUSALS, (.*), per_second, 1\)/((void) per_second, \1)/' \
        quota/callers_that_were_refused_together_are_let_go_one_after_the_other
# No upcall waits for its turn
off limit-pace broker/upcall.c \
        's/if \(upcall->not_before > usec_now\(CLOCK_BOOTTIME\)\)/if (false)/' \
        quota/pace_of_one_container_beside_another
# Every refusal is recorded
off limit-records-of-refusals broker/broker.c \
        '/^bool broker_may_record_refusal/,/^}/ s/bool may = quota_allows\(.*\);/bool may = true;/' \
        quota/fork_bomb_of_callers_is_recorded_but_does_not_flood_the_trail
# No silent connection goes for a new one
off limit-silent-arrivals-go-first broker/session.c \
        '/^static bool make_room/,/^}/ s/if \(session != arriving .*$/if (false) {/' \
        unit/test-broker
# Any number of connections waits to be let in
off limit-of-arrivals broker/session.c \
        '/^static int session_arrive/,/^}/ s/QUOTA_ARRIVALS, 1, 0,/QUOTA_ARRIVALS, 1, QUOTA_ALWAYS,/' \
        quota/ten_thousand_connections_do_not_keep_agents_out
# A container has as many agents' connections as it likes
off limit-connections-of-a-container broker/session-attach.c \
        's/QUOTA_CONNECTIONS, 1, 0,/QUOTA_CONNECTIONS, 1, QUOTA_ALWAYS,/' \
        quota/agent_has_so_many_connections_and_its_container_too
# Any number of tools connects
off limit-connections-of-tools broker/control.c \
        's/control->peer\.uid == 0 \? QUOTA_RESERVE : 0,/QUOTA_ALWAYS,/' \
        quota/connections_of_tools_are_limited
# A container has as many agents as one likes
off limit-agents broker/control-agent.c \
        's/if \(quota_ask\(.*\) == 0\)/if (true)/' \
        quota/agents_and_containers_are_limited
# An upcall keeps its place
off limit-given-back-by-the-verdict broker/upcall.c \
        '/^void upcall_discount/,/^}/ s/quota_give_back\(&upcall->charge\);/;/' \
        unit/test-broker
# What an agent sent is closed on the loop
off limit-descriptors-are-closed-elsewhere broker/descriptor.c \
        's/^( *)close_off_loop\(closing, TAKE_FD\(packet->descriptors\[i\]\)\);/\1(void) close(TAKE_FD(packet->descriptors[i]));/' \
        quota/descriptors_that_hang_when_they_are_closed

# ---- kernel threads, and who acts for a container -----------------------------------------------------------------------------

# A kernel thread is taken for the host
off kernel-thread-is-told broker/attribution.c \
        's/if \(facts->kernel_thread\)/if (false)/' \
        kernel-thread/real_kernel_thread_is_told_by_its_flag
# Its flag is not looked at
off kernel-thread-flag-is-read util/process.c \
        's/facts->kernel_thread = stat\.kernel_thread;/facts->kernel_thread = 0;/' \
        kernel-thread/real_kernel_thread_is_told_by_its_flag
# It is always deferred
off kernel-threads-reject broker/kernel-thread.c \
        's/\.defer = broker->config\.kernel_threads == CONFIG_KTHREADS_DEFER/.defer = true/' \
        kernel-thread/rejected_by_default
# Without a broker it is the host's own
off kernel-thread-without-a-broker tools/upcall-request-key/upcall.c \
        's/ && !caller->kernel_thread / \&\& true /' \
        unit/test-request-key
# Its refusal lasts a minute
off kernel-thread-is-forgotten-soon broker/upcall-decide.c \
        's/reject\(ENOKEY, UPCALL_SHORT_REFUSAL, rule\.reason\)/reject(ENOKEY, KERNEL_REFUSAL, rule.reason)/' \
        kernel-thread/real_kernel_thread_is_told_by_its_flag
# What a process asks for itself is remembered
off affinity-of-the-kernels-own-alone broker/kernel-thread.c \
        '/^void kernel_thread_learn/,/^}/ s/subject->origin != UPCALL_ORIGIN_KERNEL \|\|/false ||/' \
        unit/test-broker-acting
# What was not asked by the kernel is served
off affinity-serves-the-kernel-alone broker/kernel-thread.c \
        '/^static struct kernel_thread_rule rule_of_affinity/,/^}/ s/\|\| subject->origin != UPCALL_ORIGIN_KERNEL\)/|| false)/' \
        unit/test-broker-acting
# The first who asked stays the only one
off affinity-second-owner broker/affinity.c \
        's/if \(entry->owner == AFFINITY_SEVERAL \|\| same_owner\(entry, asked\)\)/if (true)/' \
        unit/test-acting
# Another name or address of a server is another server
off affinity-second-name-or-address broker/affinity.c \
        's/\(same_server\(a, b\) \|\| same_address\(a, b\)\);/same_server(a, b) \&\& same_address(a, b);/' \
        unit/test-acting
# Any server will do
off affinity-same-server broker/affinity.c \
        's/return a->creduid == b->creduid && same_server\(a, b\) && same_address\(a, b\);/return a->creduid == b->creduid;/' \
        unit/test-acting
# Any user will do
off affinity-same-user broker/affinity.c \
        's/return a->creduid == b->creduid && same_server\(a, b\) && same_address\(a, b\);/return same_server(a, b) \&\& same_address(a, b);/' \
        unit/test-acting
# What did not fit in is of no account
off affinity-full-memory broker/affinity.c \
        '/^enum affinity_owner affinity_find/,/^}/ s/if \(is_full\(affinity\)\)/if (false)/' \
        unit/test-acting
# The host is none of those who may be meant
off affinity-host-counts broker/kernel-thread.c \
        's/entry->owner = AFFINITY_HOST;/return;/' \
        unit/test-broker-acting
# Callers whom nobody registered are none of them
off affinity-strangers-count broker/kernel-thread.c \
        's/attribution->verdict == ATTRIBUTION_KERNEL_THREAD \|\|/attribution->verdict == ATTRIBUTION_KERNEL_THREAD || attribution->verdict == ATTRIBUTION_UNREGISTERED ||/' \
        unit/test-broker
# More may stand behind a description
off affinity-strict-descriptions broker/affinity-subject.c \
        's/\|\| !take_end\(&at\)\)/)/' \
        unit/test-acting
# The host takes the place of a container that ended
off affinity-of-one-that-ended broker/kernel-thread.c \
        's/: refuse\("container-ended"\);/: (struct kernel_thread_rule){ .defer = true, .reason = "host" };/' \
        kernel-thread/affinity_leads_a_real_kernel_thread_to_its_container
# A restart forgets who asked
off affinity-outlives-the-broker broker/kernel-thread.c \
        's/r = registry_set_affinity\(broker->registry, broker->boot_id, &entry\);/r = 0;/' \
        unit/test-broker-acting
# Any type of key names a user
off affinity-not-for-shared-caches broker/affinity-subject.c \
        's/if \(strcmp\(key_type, "cifs\.spnego"\) != 0\)/if (false)/' \
        unit/test-acting
# A run's cgroup says nothing
off run-for-by-cgroup broker/attribution.c \
        's/^( *)return judge_run\(&caller, run\);/\1(void) judge_run;/' \
        run-for/child_and_grandchild_act_for_the_container
# Who goes on into another container is that one's
off run-for-other-containers-refused broker/attribution.c \
        's/attribution_contains\(run->entry, caller->owner\) \?/true ?/' \
        unit/test-acting
# New namespaces do not matter in a run
off run-for-new-namespaces-refused broker/attribution.c \
        '/^static struct attribution judge_run/,/^}/ s/if \(!is_outside_of_namespaces\(caller->facts\)\)/if (false)/' \
        run-for/program_that_enters_another_container_is_refused
# Who hides his cgroup is in no run
off run-for-unknown-cgroup broker/attribution.c \
        's/return index->by_cgroup\.n == 0 && index->n_runs == 0;/return index->by_cgroup.n == 0;/' \
        unit/test-acting
# The host takes the place of a container that ended
off run-for-ended-container broker/attribution.c \
        's/return \(struct attribution\)\{ \.verdict = ATTRIBUTION_RUN_ENDED, \.run = run \};/return answer(ATTRIBUTION_HOST);/' \
        run-for/end_of_the_container_refuses_the_run
# A restart forgets the runs
off run-for-outlives-the-broker broker/run.c \
        '/^int run_load_all/,/^}/ s/r = registry_each_run\(.*\);/r = 0;/' \
        run-for/restart_of_the_broker_during_the_run
# Without a broker a run is the host's own
off run-for-without-a-broker tools/upcall-request-key/upcall.c \
        's/ && !process_in_run_cgroup\(caller->cgroup_path\)//' \
        unit/test-request-key
# A run that the broker does not know is the host's own
off run-for-unknown-run broker/upcall-decide.c \
        's/&& process_in_run_cgroup\(facts->cgroup_path\)/\&\& false/' \
        run-for/run_that_the_broker_lost_is_not_the_hosts
# Who acts for a container may be its agent
off run-for-is-no-agent broker/session-attach.c \
        's/ATTRIBUTION_CONTAINER \|\| attribution\.run\)/ATTRIBUTION_CONTAINER)/' \
        run-for/agent_is_not_let_in_by_acting_for_the_container
# Others may sit in the cgroup
off run-for-alone-in-its-cgroup broker/run.c \
        's/ \|\| cgroup_holds_only\(facts->cgroup_path, \(pid_t\) facts->tgid\) != 1\)/)/' \
        run-for/process_that_is_not_alone_in_its_cgroup
# An empty cgroup goes unnoticed
off run-for-end-is-noticed broker/run.c \
        '/^void runs_look/,/^}/ s/ \&\& !run_goes_on\(run\)\)/ \&\& false)/' \
        run-for/program_that_is_killed_leaves_nothing
# A run ends with the program
off run-for-goes-on-with-daemons broker/run.c \
        's/ \|\| cgroup_is_populated\(run->cgroup_path\);/;/' \
        run-for/program_that_is_killed_leaves_nothing
# The cgroup stays
off run-for-cgroup-is-removed tools/upcallctl/run-cgroup.c \
        '/^_Noreturn static void wait_and_remove/,/^}/ s/^( *)remove_cgroup\(path\);/\1(void) path;/' \
        run-for/program_that_is_killed_leaves_nothing
# What was left behind stays
off run-for-swept tools/upcallctl/run-cgroup.c \
        's/^( *)sweep\(place\.parent\);/\1(void) sweep;/' \
        run-for/what_a_killed_remover_leaves_is_swept
# It is made below a cgroup that another one owns
off run-for-below-others tools/upcallctl/run-cgroup.c \
        's/if \(!all_are_roots\(mount, place->parent\)\)/if (!all_are_roots(mount, place->parent) \&\& false)/' \
        run-for/owner_of_a_cgroup_around_it_moves_nobody_out
# The client asks from within a run
off run-for-nested tools/upcallctl/run-cgroup.c \
        's/if \(process_in_run_cgroup\(own\.cgroup_path\)\)/if (false)/' \
        run-for/run_for_refusals
# Who acts for a container is an administrator
off run-for-orders-nothing broker/control-peer.c \
        's/attribution_is_home\(.*\) && is_administrator/is_administrator/' \
        run-for/run_for_refusals

# ---- agents -----------------------------------------------------------------------------------------------------------------

# A process in no container counts as one of the first container
off agent-must-be-in-a-container broker/session-attach.c \
        's/^( *)return identify_host\(session, ret_agent\);/\1return identify_host(session, ret_agent) ? (*ret_agent = TAILQ_FIRST(\&TAILQ_FIRST(\&session->broker->containers)->agents), NULL) : NULL;/' \
        rogue/agent_of_the_host_is_turned_away
# An agent's name is looked up in all containers
off agent-must-be-in-its-container broker/session-attach.c \
        's/^( *)agent = agent_find\(session->broker, container, session->name\);/\1agent = NULL;\n\1TAILQ_FOREACH(container, \&session->broker->containers, link)\n\1        if ((agent = agent_find(session->broker, container, session->name)))\n\1                break;/' \
        rogue/agent_of_another_container_is_turned_away
# The agent may have any uid
off agent-uid broker/session-attach.c \
        's/if \(!has_uid\(session, container_uid_outside\(container, agent->uid\)\)\)/if (false)/' \
        rogue/agent_with_another_uid_is_turned_away
# Only the uid it has now counts
off agent-uid-when-it-connected broker/session-attach.c \
        's/ && session->uid == uid;/;/' \
        unit/test-broker
# An answer is taken for any upcall in flight
off foreign-answer broker/session.c \
        '/^static int session_take_asked/,/^}/ { s/TAILQ_FOREACH\(upcall, &session->asked, agent_link\)/TAILQ_FOREACH(upcall, \&session->broker->upcalls, link)/; s/if \(memcmp\(upcall->id, id, UPCALL_ID_SIZE\) == 0\)/if (upcall->session \&\& memcmp(upcall->id, id, UPCALL_ID_SIZE) == 0)/; s/&session->asked, upcall/\&upcall->session->asked, upcall/; s/session->n_asked--/upcall->session->n_asked--/ }' \
        rogue/answer_for_anothers_upcall_is_turned_away
# A second answer is passed over, and the agent stays
off second-answer broker/session.c \
        '/^static int session_take_asked/,/^}/ s/return session_take_back\(session, id\) \? 0 : -EBADMSG;/return 0;/' \
        rogue/second_answer_is_not_used
# What a dead agent was asked waits for its deadline
off agent-death-refuses-at-once broker/session.c \
        's/upcall_agent_failed\(upcall, reason\);/(void) reason;/' \
        failure/agent_killed_during_upcall
# Only the client's deadline counts
off deadline-of-the-broker broker/upcall-request.c \
        's/if \(upcall->deadline > own\)/if (false)/' \
        failure/slow_agent_hits_the_deadline
# The deadline of an asked agent passes without consequence
off deadline-of-an-asked-agent broker/upcall.c \
        '/^ *case UPCALL_ASKED:/ { N; s/agent_is_late\(upcall\);/(void) agent_is_late;/ }' \
        failure/agent_that_hangs_itself

# ---- payloads and packets ---------------------------------------------------------------------------------------------------

# A memfd needs no seals (end to end)
off payload-seals util/packet.c \
        's/if \(seals < 0 \|\| \(seals & PAYLOAD_SEALS\) != PAYLOAD_SEALS\)/if (seals < 0)/' \
        rogue/wrong_descriptors_in_an_answer
# A memfd needs no seals (the codec)
off payload-seals-codec util/packet.c \
        's/if \(seals < 0 \|\| \(seals & PAYLOAD_SEALS\) != PAYLOAD_SEALS\)/if (seals < 0)/' \
        unit/test-packet
# Any number of descriptors is taken
off descriptor-count util/packet.c \
        '/^int packet_decode/,/^}/ s/if \(packet->n_descriptors != layout->descriptors_min && packet->n_descriptors != layout->descriptors_max\)/if (false)/' \
        unit/test-packet
# Agents may send descriptors in every state
off descriptors-not-expected broker/session.c \
        's/r = packet_receive\(fd, packet, descriptor \? 1 : 0\);/r = packet_receive(fd, packet, 1);/' \
        unit/test-broker
# Any version is taken
off protocol-version util/wire.c \
        's/return -EPROTONOSUPPORT;/;/' \
        unit/test-wire
# The lengths inside a `cifs.spnego` payload need not add up
off payload-shape-spnego-lengths tools/upcall-request-key/shape.c \
        's/\(uint64_t\) SPNEGO_HEADER_SIZE \+ header\.session_key_size \+ header\.blob_size == size/true/' \
        unit/test-shape
# The client instantiates what it is given
off payload-shape tools/upcall-request-key/carry-out.c \
        's/if \(!shape_fits\(/if (false \&\& !shape_fits(/' \
        client/payload_of_the_wrong_shape_is_refused
# No lifetime is set
off lifetime tools/upcall-request-key/carry-out.c \
        's/r = key_set_timeout\(key, seconds .*/r = 0;/' \
        answer/lifetime_is_set
# The verdict may be about another upcall
off verdict-of-another-upcall tools/upcall-request-key/ask.c \
        's/return memcmp\(ret_verdict->id, request->id, UPCALL_ID_SIZE\) == 0 \? 0 : ASK_NONSENSE;/return 0;/' \
        client/nonsense_from_the_broker_is_refused

# ---- registration -----------------------------------------------------------------------------------------------------------

# Root anywhere is the administrator
off administrator broker/control-peer.c \
        '/^void control_identify/,/^}/ s/if \(attribution_is_home.* && (is_administrator).*/(void) \1;\nif (control->by.euid == 0) {/' \
        register/registrar_in_a_container_is_not_the_administrator
# Root without `CAP_SYS_ADMIN` is
off administrator-capability broker/control-peer.c \
        '/^static bool is_administrator/,/^}/ s/\(by->capabilities & \(UINT64_C\(1\) << CAP_SYS_ADMIN\)\)/true/' \
        register/ordinary_user_is_not_the_administrator
# Whoever is of the host is
off administrator-uid broker/control-peer.c \
        '/^static bool is_administrator/,/^}/ s/return control->peer\.uid == 0 && by->euid == 0 &&/return true ||/' \
        register/ordinary_user_is_not_the_administrator
# Only the uid it has now counts
off administrator-when-it-connected broker/control-peer.c \
        '/^static bool is_administrator/,/^}/ s/return control->peer\.uid == 0 && /return /' \
        rogue/root_that_was_another_when_it_connected_is_not_the_administrator
# Root in a container that its cgroup alone tells apart is
off administrator-in-no-container broker/control-peer.c \
        '/^void control_identify/,/^}/ s/if \(attribution_is_home.* && (is_administrator.*)/if (\1/' \
        register/root_in_a_container_by_cgroup_is_not_the_administrator
# The registry is not asked for the contid
off contid-used-before broker/container-register.c \
        '/r = registry_contid_taken/,/^}/ s/if \(r > 0\)/if (false)/' \
        register/contid_that_was_used_before
# The trigger that keeps a container's identity guards another column
off contid-fixed-in-the-registry schema/0001-registry.sql \
        's/^CREATE TRIGGER container_fixed BEFORE UPDATE OF .* ON container/CREATE TRIGGER container_fixed BEFORE UPDATE OF registrar_uid ON container/' \
        unit/test-registry
# A registered first process may be registered again
off second-registration broker/container-register.c \
        's/if \(container->pid == facts->tgid && container->start_time == facts->start_time\)/if (false)/' \
        register/second_contid_for_the_same_process
# A thread may be registered
off thread-refused broker/container-register.c \
        's/if \(facts->tid != facts->tgid\)/if (false)/' \
        register/pidfd_of_a_thread
# A process in the middle of a pid namespace may be registered
off first-process-only broker/container-register.c \
        's/if \(\(found & UPCALL_FOUND_PIDNS\) && facts->pids\[facts->n_pids - 1\] != 1\)/if (false)/' \
        register/process_that_is_not_the_first_one

# ---- evidence ---------------------------------------------------------------------------------------------------------------

# The agent is asked while the record is made (end to end, audit switched off)
off dispatch-record-awaited broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(upcall->unconditional\)/if (upcall->unconditional || r >= 0)/; /^static void on_dispatch_recorded/,/^}/ { s/^( *)upcall_proceed\(upcall\);/\1;/ }' \
        audit/no_agent_hears_of_what_is_not_recorded
# The same (the broker's parts alone)
off dispatch-record-awaited-unit broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(upcall->unconditional\)/if (upcall->unconditional || r >= 0)/; /^static void on_dispatch_recorded/,/^}/ { s/^( *)upcall_proceed\(upcall\);/\1;/ }' \
        unit/test-broker
# A record that was not read back counts as made
off read-back auditing/sender.c \
        's/complete\(sender, job, -ENODATA, NULL\);/complete(sender, job, 0, \&(struct sender_receipt){ 0 });/' \
        failure/audit_switched_off_refuses
# There is no ledger row
off ledger-row-before-dispatch broker/upcall.c \
        '/^void upcall_record/,/^}/ s/r = upcall_open_ledger\(upcall\);/r = 0;/' \
        broker/sequence_numbers_are_not_used_again
# A row that could not be written (full disk) does not matter
off ledger-row-required broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(r >= 0 \|\| upcall->unconditional\)/if (true)/' \
        failure/full_disk_refuses
# There is no completion record
off completion-record broker/upcall-settle.c \
        's/return evidence_completion\(upcall, on_completion_recorded\);/return 0;/' \
        audit/dispatch_and_completion_belong_together
# A broker that ends leaves completion records unmade
off completion-at-the-end broker/broker.c \
        's/^( *)upcall_settle_all\(broker\);/\1;/' \
        broker/end_loses_no_outcome
# Any number of clients may stay after their verdict
off connections-after-the-verdict-are-bounded broker/upcall-settle.c \
        's/if \(\+\+broker->n_settling > SETTLING_MAX &&/if (++broker->n_settling > 100000 \&\&/' \
        unit/test-broker
# Records are sent faster than they are read back
off read-back-has-room auditing/sender-thread.c \
        's/while \(sender->unread > 0 &&/while (false \&\&/' \
        sender/sender_keeps_its_promises
# Descriptions are written as they are
off name-in-hex auditing/record.c \
        '/^static void field_hex\(/,/^}/ s/put_hex\(text, data, size, "0123456789ABCDEF"\);/put_bytes(text, data, size);/' \
        audit/hostile_descriptions_come_back_as_sent
# `uuid` stands in front of `vm`, which `ausearch -vm -uu` does not find
off vm-before-uuid auditing/record.c \
        '/^static void fields_container/,/^}/ s/^( *)(field\(text, "vm"\);)/\1field_uuid(text, "uuid", uuid);\n\1\2/' \
        unit/test-record
# Long descriptions are not cut
off description-cut auditing/record.c \
        's/size > RECORD_DESCRIPTION_MAX \? RECORD_DESCRIPTION_MAX : size/size/' \
        audit/long_description_is_cut_with_its_hash
# What was cut has no hash
off description-hash auditing/record.c \
        '/^static void field_hex_cut/,/^}/ s/if \(size <= RECORD_DESCRIPTION_MAX\)/if (true)/' \
        audit/long_description_is_cut_with_its_hash

# ---- the broker goes and comes ----------------------------------------------------------------------------------------------

# The client asks once
off client-reconnects tools/upcall-request-key/ask.c \
        's/if \(r != ASK_AGAIN && !\(r == ASK_DOWN && conversation->sent\)\)/if (true)/' \
        client/upcall_survives_a_broker_that_dies
# The refusal while the broker is down lasts 60 s
off short-refusal-while-down tools/upcall-request-key/main.c \
        's/^#define SOON 1$/#define SOON 60/' \
        failure/broker_not_running_refuses_for_a_short_time
# The client sends no record
off unbrokered-record tools/upcall-request-key/unbrokered.c \
        '/^void unbrokered_record/,/^}/ s/pid_t pid = fork\(\);/pid_t pid = 1;/' \
        down/container_is_refused_and_recorded
# The client sends it itself
off unbrokered-by-a-child tools/upcall-request-key/unbrokered.c \
        '/^void unbrokered_record/,/^}/ s/pid_t pid = fork\(\);/pid_t pid = 0;/' \
        down/full_queue_of_the_kernel_delays_no_caller
# The child stays in the session keyring of the upcall
off unbrokered-leaves-the-session tools/upcall-request-key/unbrokered.c \
        's/r = key_leave_session\(\);/r = 0;/' \
        down/full_queue_of_the_kernel_delays_no_caller
# There is no limit to those who wait
off unbrokered-limit tools/upcall-request-key/slot.c \
        's/return -EBUSY;/return 0;/' \
        down/senders_are_limited_and_what_is_missed_is_counted
# What has no record is not counted
off unbrokered-missed tools/upcall-request-key/slot.c \
        '/^void slot_count/,/^}/ s/exchange\(fd, false, n\)/exchange(fd, false, 0 * n)/' \
        down/senders_are_limited_and_what_is_missed_is_counted
# The client records what the broker decided as well
off unbrokered-only-alone tools/upcall-request-key/main.c \
        's/if \(!job\.decided_by_broker\)/if (true)/' \
        down/decided_upcalls_have_no_record_of_the_client
# A rule counts although another one decides before it
off doctor-rules-in-order tools/upcallctl/doctor-audit.c \
        's/rules->decided\[exclude\]\[s\]\[t\] = match == RULES_YES;/rules->decided[exclude][s][t] = false;/' \
        doctor/rule_that_another_one_keeps_from_working
# What could not be looked at counts as fine
off doctor-unknown-is-not-fine tools/upcallctl/doctor.c \
        's/count\(&doctor, DOCTOR_UNKNOWN\) > 0 \? EXIT_NOT_SEEN : EXIT_DONE/EXIT_DONE/' \
        doctor/exit_status_says_what_it_is_worth
# Containers are deferred while the broker is down
off broker-down-refuses-containers tools/upcall-request-key/main.c \
        's/if \(job->policy\.observe \|\| job->policy\.on_broker_down_defer \|\| caller_is_surely_hosts\(.*\)\)/if (true)/' \
        client/broker_down_defers_the_hosts_and_refuses_others
# The client's deadline is a hundred times as long
off deadline-of-the-client tools/upcall-request-key/main.c \
        's/deadline_in_ms\(policy_verdict_ms\(&job->policy\)\)/deadline_in_ms(policy_verdict_ms(\&job->policy) * 100ull)/' \
        client/broker_that_hangs_gives_a_refusal_at_the_deadline
# Anybody may have written the client's policy
off policy-of-root-alone tools/upcall-request-key/policy.c \
        's/return fd >= 0 \&\& trustworthy\(fd\) \?/return fd >= 0 ?/' \
        client/policy_folder_that_others_can_write_to_does_not_count
# Containers are not loaded
off restart-takes-containers-up broker/container-load.c \
        's/r = registry_each_container\(broker->registry, false, load_container, &loader\);/r = 0;/' \
        broker/restart_keeps_containers_agents_and_routes
# A process with the number of a first process counts as it
off restart-compares-start-times broker/container-load.c \
        's/ \|\| stat\.start_time != row->start_time//' \
        broker/restart_does_not_take_anothers_process_for_a_container
# The first try of an upcall that comes again stays open
off retried-upcall broker/upcall-request.c \
        '/^static void drop_predecessor/,/^}/ s/if \(other == upcall \|\| /if (true || /' \
        failure/broker_killed_during_upcall_and_restarted

# ---- the host ---------------------------------------------------------------------------------------------------------------

# The host's request-key sees our line in `request-key.d` again
off drop-in-is-hidden tools/upcall-request-key/defer.c \
        's/if \(access\(DROP_IN_PATH, F_OK\) < 0\)/if (true)/' \
        client/drop_in_alone_answers_and_defers
# What was kept is removed, not put back
off takeover-off-restores tools/upcallctl/takeover.c \
        's/rename\(paths->host, paths->request_key\) < 0/unlink(paths->host) < 0/' \
        host/takeover_can_be_repeated_and_undone

# ---- observe mode -----------------------------------------------------------------------------------------------------------

# What was decided is done
off observe-defers broker/upcall-decide.c \
        's/upcall->decision = (upcall_observe\(&upcall->decision, reason\);)/(void) \1/' \
        observe/everybody_gets_what_the_host_alone_gives
# The client's remark takes the place of what would have been done
off observe-reason-kept broker/upcall.c \
        's/if \(outcome->reason\.data && !upcall->observed\)/if (outcome->reason.data)/' \
        observe/everybody_gets_what_the_host_alone_gives
# What is observed waits for its record
off observe-waits-for-nothing broker/upcall-decide.c \
        's/return upcall->observed \|\| (upcall->broker->config\.audit)/return \1/' \
        observe/nobody_waits_for_a_record
# A lost dispatch record leaves no gap
off observe-gap-in-the-ledger broker/upcall.c \
        's/upcall->gap = \(kept .*;/upcall->gap = NULL;/' \
        observe/audit_switched_off_refuses_nothing
# What is over a limit may be refused unrecorded
off observe-limits-mute-nothing broker/upcall-decide.c \
        '/^static bool upcall_over_limit/,/^}/ s/if \(upcall->observed\)/if (false)/' \
        observe/limits_refuse_nothing
# Without a ledger row there is no dispatch record
off observe-record-without-a-row broker/upcall.c \
        '/^void upcall_record/,/^}/ s/if \(r >= 0 \|\| upcall->unconditional\)/if (r >= 0)/' \
        observe/full_disk_refuses_nothing
# The client refuses where there is no verdict
off observe-client-defers tools/upcall-request-key/main.c \
        's/return job->policy\.observe \? decide_defer\(reason\) : /return /' \
        observe/broker_that_hangs_refuses_nothing
# `client.d/observe` does not count without a broker
off observe-client-defers-when-down tools/upcall-request-key/main.c \
        's/if \(job->policy\.observe \|\| job->policy\.on_broker_down_defer/if (job->policy.on_broker_down_defer/' \
        client/observing_client_defers_whatever_the_broker_does
# A caller that cannot be made out is refused
off observe-client-unread-facts tools/upcall-request-key/main.c \
        '/^static struct decision decide\(/,/^}/ s/return decide_alone\(job, /return decide_reject(/' \
        client/observing_client_defers_what_it_cannot_make_out
# The client waits for the broker as long as ever
off observe-verdict-soon tools/upcall-request-key/policy.h \
        's/if \(!policy->observe\)/if (true)/' \
        unit/test-request-key
# The host's program has 20 s
off observe-host-has-time tools/upcall-request-key/policy.h \
        's/return policy->observe \? POLICY_DEADLINE_MAX : POLICY_DEADLINE_DEFAULT;/return POLICY_DEADLINE_DEFAULT;/' \
        observe/slow_host_program_is_not_ended
# Drop-in files are not read
off observe-setting-outlives-a-restart broker/config.c \
        's/r = load_drop_ins\(&parser, path\);/r = 0;/' \
        observe/broker_that_is_down_refuses_nothing
# The change of the mode has no record
off observe-change-is-recorded broker/reload.c \
        's/^( *)record_mode\(broker, by\);/\1(void) record_mode;/' \
        observe/on_and_off_can_be_repeated_and_are_recorded
# `upcallctl status` does not begin with it
off observe-said-first tools/upcallctl/status.c \
        's/if \(status->broker\.mode == UPCALL_MODE_OBSERVE\)/if (false)/' \
        observe/on_and_off_can_be_repeated_and_are_recorded
# It does not say that broker and client disagree
off observe-says-it-is-incomplete tools/upcallctl/status.c \
        's/if \(warnings\[i\]\.mode == status->broker\.mode/if (false/' \
        observe/setting_in_the_file_is_read_on_hangup
# `off` does not tell the broker
off observe-off-enforces tools/upcallctl/observe.c \
        '/^int observe_off/,/^}/ s/r = tell\(&change, false\);/r = 0;/' \
        observe/off_enforces_again
# What fails is not put back
off observe-all-or-nothing tools/upcallctl/observe.c \
        's/return r == 0 \? 0 : put_back\(&change, true, r\);/return r;/' \
        observe/on_that_fails_changes_nothing
# `off` removes every `on-broker-down-defer`
off observe-keeps-the-administrators-own tools/upcallctl/observe.c \
        's/if \(r == -ENOENT \|\| \(r == 0 && file == CLIENT_DOWN\)\)/if (r == -ENOENT)/' \
        observe/administrators_own_policy_is_kept
# The broker's word on its mode does not matter
off observe-mode-is-checked tools/upcallctl/observe-verb.c \
        's/if \(strcmp\(mode, on \? "observe" : "enforce"\) == 0\)/if (true)/' \
        observe/setting_in_the_file_is_read_on_hangup

# ---- audit fails ------------------------------------------------------------------------------------------------------------

# A record that was not seen is not sent once more
off not-seen-is-asked-again broker/upcall.c \
        's/if \(error == -ENODATA && repeat_dispatch\(upcall\)\)/if (false \&\& repeat_dispatch(upcall))/' \
        audit-failure/records_that_were_not_seen_are_repeated
# The completion record does not wait for the dispatch record's fate
off completion-waits-for-dispatch broker/upcall-settle.c \
        '/^void upcall_complete/,/^}/ s/if \(upcall->dispatch_job\)/if (false)/' \
        unit/test-broker
# A dispatch record that comes after the verdict is forgotten
off dispatch-record-behind-the-deadline broker/upcall.c \
        '/^static void upcall_send_verdict/,/^}/ s/^( *)upcall->state = UPCALL_DECIDED;/&\n\1upcall->dispatch_job = sender_forget(upcall->dispatch_job);/' \
        unit/test-broker-audit
# A row that is a gap does not say that its completion record is there
off gap-row-has-its-completion broker/upcall-settle.c \
        's/if \(upcall->completion\.serial > 0\)/if (false)/' \
        audit-failure/dispatch_records_excluded
# `best-effort` waits for the record
off best-effort-waits-for-nothing broker/upcall-decide.c \
        's/return upcall->observed \|\| .*;/return upcall->observed;/' \
        audit-best-effort/audit_disabled
# Nothing is kept
off spool-keeps broker/upcall.c \
        's/ && evidence_keep\(upcall, kind\) == 0\)/ \&\& false)/' \
        audit-best-effort/audit_disabled
# The spool has no bound
off spool-bounded broker/spool.c \
        's/return spool->bytes \+ 2 \* bytes <= .*;/return true;/' \
        unit/test-broker-audit
# A completion record is sent while its dispatch record waits
off spool-keeps-the-order broker/upcall-settle.c \
        '/^static int send_completion/,/^}/ s/ \|\| spool_has_dispatch\(.*\)\)/)/' \
        unit/test-broker-audit
# Two records of one upcall are replayed together
off spool-one-of-each-upcall broker/spool.c \
        '/^static int window_add/,/^}/ s/if \(window_has\(spool, row->seqno\)\)/if (false \&\& window_has(spool, row->seqno))/' \
        unit/test-broker-audit
# A completion record whose dispatch record waits may find the spool full
off spool-keeps-an-upcall-whole broker/spool.c \
        's/if \(spooled->kind == EVIDENCE_COMPLETION && .*\)$/if (false)/' \
        unit/test-broker-audit
# Late records do not say so
off spool-marks-late broker/evidence.c \
        's/facts\.late \|= late;/(void) late;/' \
        unit/test-broker-audit
# What is sent from the spool is not counted before
off spool-counts-repeats broker/spool.c \
        's/r = registry_spool_sending\(.*\);/r = 0;/' \
        unit/test-broker-audit
# The same, in the file
off spool-counts-repeats-in-the-file broker/registry-file.c \
        's/SET retry = retry \+ 1 WHERE/SET retry = retry WHERE/' \
        unit/test-spool
# A record is kept and the gap does not grow
off spool-counts-with-the-record schema/0004-spool.sql \
        's/records = records \+ 1;/records = records;/' \
        unit/test-spool
# Late records come before the gap is told of
off spool-tells-of-the-gap-first broker/spool.c \
        '/^static int on_timer/,/^}/ s/if \(spool->gap\.records == 0\)/if (true)/' \
        unit/test-broker-audit
# Each upcall's record tries whether audit works
off spool-tries-with-one-record broker/upcall.c \
        '/^int upcall_send_dispatch/,/^}/ s/upcall_audit_is_down\(upcall\) \? -EAGAIN : //' \
        unit/test-broker-audit
# Audit is tried each second
off spool-backs-off broker/spool.c \
        's/spool->wait = spool->wait \* 2 < PROBE_LAST_USEC .*;/;/' \
        unit/test-broker-audit
# A lost record of no upcall is not counted
off spool-counts-what-it-does-not-keep broker/evidence.c \
        '/^static void on_unwatched/,/^}/ s/count_lost\(userdata\);/;/' \
        unit/test-broker-audit
# Late records are not noted in the ledger
off spool-ends-the-row broker/registry-spool.c \
        's/r = note_in_ledger\(.*\);/(void) note_in_ledger, (void) undispatched, (void) receipt, r = 0;/' \
        unit/test-broker-audit
# The loop puts the write-ahead log back into the file
off registry-checkpoints-by-a-thread broker/registry-checkpoint.c \
        's/tell\(registry->checkpointer, &registry->checkpointer->wanted\);/checkpoint(registry->db);/' \
        unit/test-ledger
# Nobody ever comes to the end of the log while commits go on
off registry-log-begins-anew broker/registry-checkpoint.c \
        's/if \(overdue && .*\)$/if (false)/' \
        unit/test-ledger
# A record is noted in the ledger and taken out of the spool in two commits
off spool-notes-both-or-neither broker/registry-spool.c \
        '/^int registry_spool_recorded/,/^}/ { s/r = registry_begin\(.*\);/r = 0;/; s/r = registry_commit\(.*\);/;/ }' \
        unit/test-spool
# What an earlier broker kept is not sent
off spool-outlives-the-broker broker/spool.c \
        '/^static int load/,/^}/ s/wait_for_audit\(spool\);/;/' \
        audit-best-effort/broker_killed_while_replaying
# An upcall whose records wait is completed a second time after a restart
off spooled-rows-are-the-spools broker/upcall-unfinished.c \
        's/if \(registry_spool_has\(broker->registry, row->seqno, EVIDENCE_COMPLETION\) > 0\)/if (false)/' \
        audit-best-effort/broker_killed_while_spooling
# Rows of a killed broker get the completion record alone
off unfinished-rows-get-their-dispatch-record broker/upcall-unfinished.c \
        's/upcall->owes_dispatch = .*;/upcall->owes_dispatch = false;/' \
        audit-best-effort/broker_killed_under_a_full_backlog
# The broker does not know how long its loop was busy
off longest-turn broker/loop.c \
        's/if \(usec > \*longest\)/if (usec > UINT64_MAX - 1)/' \
        unit/test-loop
# What became of thousands of records is heard of in one turn of the loop
off sender-turns-are-short auditing/sender.c \
        's/#define TURN_MAX 32/#define TURN_MAX 100000/' \
        unit/test-sender
# What an earlier broker left is ended in one turn
off unfinished-turns-are-short broker/upcall-unfinished.c \
        's/#define TURN_MAX 32/#define TURN_MAX 100000/' \
        unit/test-broker-observe

# ---- rights -----------------------------------------------------------------------------------------------------------------

# The witness is started with another capability
off witness-capability-set broker/witness.c \
        '/^static int child_keep_ptrace_alone/,/^}/ s/CAPNG_PERMITTED \| CAPNG_INHERITABLE, CAP_SYS_PTRACE/CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_SETUID/' \
        rights/witness_has_one_capability_and_a_filter
# The witness wants one capability more
off witness-gives-up-rights broker/upcalld-witness.c \
        's/^#define CAPABILITIES .*/#define CAPABILITIES (1ull << CAP_SYS_PTRACE | 1ull << CAP_KILL)/' \
        unit/test-witness
# The witness does not check what it has
off witness-checks-rights broker/upcalld-witness.c \
        's/^( *)r = check_rights\(\);/\1r = 0;/' \
        unit/test-witness
# The witness has no seccomp filter
off witness-filter broker/upcalld-witness.c \
        's/r = witness_filter_install\(\);/r = 0;/' \
        rights/witness_has_one_capability_and_a_filter
# The witness can be dumped and read
off witness-not-dumpable broker/upcalld-witness.c \
        's/prctl\(PR_SET_DUMPABLE, 0\) < 0 \|\|//' \
        rights/broker_and_witness_cannot_be_dumped_or_read
# The broker keeps `CAP_KILL`
off broker-drops-capabilities broker/privileges.c \
        's/CAP_AUDIT_WRITE, CAP_AUDIT_READ, -1/CAP_AUDIT_WRITE, CAP_AUDIT_READ, CAP_KILL, -1/' \
        rights/broker_has_two_capabilities_and_no_root
# Its bounding set stays
off broker-bounding-set broker/privileges.c \
        's/ \| CAPNG_CLEAR_BOUNDING//' \
        rights/broker_has_two_capabilities_and_no_root
# Root's supplementary groups stay
off broker-groups broker/privileges.c \
        's/CAPNG_DROP_SUPP_GRP \| //' \
        rights/broker_has_two_capabilities_and_no_root
# It may gain privileges by exec
off broker-no-new-privileges broker/privileges.c \
        's/prctl\(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0\) < 0 \|\|//' \
        rights/broker_has_two_capabilities_and_no_root
# It can be dumped and read
off broker-not-dumpable broker/privileges.c \
        's/ \|\| prctl\(PR_SET_DUMPABLE, 0, 0, 0, 0\) < 0 \?/ ?/' \
        rights/broker_and_witness_cannot_be_dumped_or_read

# ---- below a service manager ------------------------------------------------------------------------------------------------

# Any name is that of the first socket
off passed-sockets-by-name broker/sockets.c \
        's/if \(strcmp\(socket_kinds\[i\]\.name, name\) == 0\)/if (true)/' \
        unit/test-sockets
# The broker makes all sockets itself
off passed-sockets-used broker/broker.c \
        's/start->listeners \? start->listeners\[i\] : -1;/-1;/' \
        activation/upcall_and_agent_use_the_passed_sockets
# Whatever is passed is taken for the socket
off passed-sockets-checked broker/sockets.c \
        's/if \(sd_is_socket_unix\(.*\) <= 0\) \{/if (false) {/' \
        activation/wrong_descriptors_are_refused
# Who connects to the path may come to another one
off passed-sockets-reached broker/sockets.c \
        's/return peer\.pid == getpid\(\) \? 0 : -EADDRINUSE;/return 0;/' \
        activation/socket_that_nobody_reaches_is_refused
# Clients are told that root listens
off passed-sockets-listened-at-again broker/sockets.c \
        's/if \(r >= 0 && listen\(owned, SOMAXCONN\) < 0\)/if (r >= 0 \&\& fd < 0 \&\& listen(owned, SOMAXCONN) < 0)/' \
        activation/clients_are_told_that_the_broker_listens
# It is asked of an agent all the same
off request-of-a-client-that-gave-up broker/upcall.c \
        's/ \|\| \(r == 0 && upcall->state == UPCALL_READING && client_has_given_up\(upcall\)\)//; s/^static bool client_has/_unused_ &/; s/#include "util\/error.h"/&\n#include "util\/cleanup.h"/' \
        unit/test-broker
# Nobody feeds it
off watchdog broker/broker.c \
        's/sd_event_set_watchdog\(broker->event, true\)/0/' \
        activation/watchdog_is_fed_while_the_loop_turns
# `RELOADING=1` without the time
off reload-says-when broker/reload.c \
        's/RELOADING=1\\nMONOTONIC_USEC/RELOADING=1\\nX_USEC/' \
        activation/readiness_reload_and_end_are_notified
# `STOPPING=1` is not sent
off stopping-is-said broker/broker.c \
        's/STOPPING=1\\n//' \
        activation/readiness_reload_and_end_are_notified
# ---- what ran before --------------------------------------------------------------------------------------------------------

# `container adopt` registers without being told to
off adopt-says-first tools/upcallctl/adopt.c \
        's/if \(option_given\(arguments, OPTION_YES\)\)/if (true)/' \
        adopt/without_a_word_nothing_is_adopted
# Any word on the terminal is yes
off adopt-asks tools/upcallctl/adopt.c \
        's/fgets\(line, sizeof\(line\), stdin\) && .*/fgets(line, sizeof(line), stdin);/' \
        adopt/terminal_is_asked
# What ended while somebody thought counts as failed
off adopt-gone-is-no-failure tools/upcallctl/adopt.c \
        '/^static int register_found/,/^}/ s/FOUND_GONE/FOUND_FAILED/' \
        adopt/terminal_is_asked
# The first refusal ends it
off adopt-goes-on tools/upcallctl/adopt.c \
        's/if \(r == EXIT_NO_BROKER \|\| r == EXIT_FORBIDDEN\)/if (r != 0)/' \
        adopt/refused_one_does_not_stop_the_others
# What lies in a refused one is registered
off adopt-outer-failed tools/upcallctl/adopt.c \
        's/^        if \(outer\) \{/        if (false) {/' \
        adopt/refused_one_does_not_stop_the_others
# Nested ones come in any order
off adopt-outer-first tools/upcallctl/discover.c \
        's/int r = compare_numbers\(namespace_chain_length.*/int r = 0;/' \
        unit/test-discover
# What lies in a registered container is registered
off adopt-leaves-within tools/upcallctl/discover.c \
        's/outer->state == FOUND_REGISTERED && !with_inner/false/' \
        adopt/what_lies_in_a_registered_container_is_left_to_it
# What lies in one that was unregistered would be, too
off adopt-held-keeps-all tools/upcallctl/discover.c \
        's/outer->state == FOUND_HELD \|\|/false ||/' \
        adopt/what_lies_in_a_registered_container_is_left_to_it
# A successor with the same number counts as registered
off adopt-successor tools/upcallctl/discover.c \
        's/&& started <= registered->items\[i\]\.time \+ START_SLACK/\&\& started > 0/' \
        unit/test-discover
# Others in the cgroup are not looked for
off adopt-shared-cgroup tools/upcallctl/adopt.c \
        's/\.flags = cgroup_shared_flag\(found->pidfd\),/.flags = 0,/' \
        adopt/cgroup_with_others_in_it_is_not_taken
# The broker takes a cgroup that others sit in
off adopt-shared-cgroup-broker broker/container-register.c \
        's/ \|\| registration->cgroup_shared//' \
        adopt/cgroup_with_others_in_it_is_not_taken
# Names are taken as they are
off adopt-names-safe tools/upcallctl/hint.c \
        "s/\? \*text : '_';/? *text : *text;/" \
        unit/test-discover
# Two may get one name
off adopt-names-unique tools/upcallctl/discover.c \
        's/for \(unsigned n = 2; name_taken\(discovery, position, registered, found->name\); n\+\+\)/for (unsigned n = 2; n < 2 \&\& name_taken(discovery, position, registered, found->name); n++)/' \
        unit/test-discover
# Anybody may have written what run times say
off adopt-file-owner tools/upcallctl/runtime-files.c \
        's/return st\.st_uid == reader->owner && .*/return reader->owner == 0 ? 0 : -EPERM;/' \
        adopt/files_of_run_times_count_only_as_roots
# Links to such files are followed
off adopt-file-links tools/upcallctl/runtime-files.c \
        's/ \| O_NONBLOCK \| O_NOFOLLOW\)/ | O_NONBLOCK)/' \
        adopt/files_of_run_times_count_only_as_roots
# A process with the number of the one in the file counts as it
off adopt-file-start-time tools/upcallctl/runtime-state.c \
        's/if \(states->items\[low\]\.start_time == start_time\)/if (start_time > 0)/' \
        adopt/files_of_run_times_count_only_as_roots
# Command lines in containers are read
off adopt-hosts-command-lines tools/upcallctl/scan.c \
        '/^static bool is_hosts_own/,/^}/ s/return facts->ruid == 0.*/return scan->mnt_ns.inode > 0 || facts->n_pids == 1 ||/' \
        adopt/parent_in_a_container_is_no_run_time
# The limit of open files stays
off adopt-many tools/upcallctl/scan.c \
        's/^        raise_limit\(\);/        (void) raise_limit;/' \
        adopt/many_containers
# `takeover on` says nothing
off takeover-names-strangers tools/upcallctl/takeover-main.c \
        's/^        if \(on\)/        if (false)/' \
        adopt/takeover_names_what_is_not_registered
# It believes a policy that the client does not
off takeover-trusts-root-alone tools/upcallctl/observe.c \
        '/^enum observe_client observe_look/,/^}/ s/ \|\| st\.st_uid != 0 \|\| \(st\.st_mode & \(S_IWGRP \| S_IWOTH\)\)//' \
        adopt/takeover_names_what_is_not_registered
# It does not look at `unregistered`
off takeover-asks-the-broker tools/upcallctl/takeover-notice.c \
        's/return FATE_DEFER;/return FATE_REJECT;/' \
        adopt/takeover_names_what_is_not_registered
# ---- hooks of OCI run times -------------------------------------------------------------------------------------------------

# Whatever fails stops the container, also without `--required`
off hook-keeps-nothing-from-starting tools/upcallctl/hook.c \
        's/return required \? EXIT_REFUSED : EXIT_DONE;/return EXIT_REFUSED;/' \
        hook/without_a_broker_it_ends_at_once
# `--required` stops nothing
off hook-required tools/upcallctl/hook.c \
        's/return required \? EXIT_REFUSED : EXIT_DONE;/return EXIT_DONE;/' \
        hook/bad_states_are_refused_and_stop_nothing
# The hook's deadline is a hundred times as long
off hook-deadline tools/upcallctl/hook.c \
        's/deadline_in_ms\(\(uint64_t\) seconds \* 1000\)/deadline_in_ms((uint64_t) seconds * 100000)/' \
        hook/state_that_does_not_end_is_given_up
# It is not looked whether the process is registered already
off hook-same-container-twice tools/upcallctl/hook-register.c \
        '/^static bool is_this_process/,/^}/ s/return .*/return false;/' \
        hook/same_container_twice_keeps_its_contid
# An annotation's contid that was used keeps the container out
off hook-contid-that-was-used tools/upcallctl/hook-register.c \
        's/refusal\.error == ENOTUNIQ/false/' \
        hook/contid_of_an_annotation_is_taken_only_when_fresh
# A name that is taken does not give way to the id
off hook-name-falls-back tools/upcallctl/hook-register.c \
        's/names\[n\+\+\] = hook->state->safe_id;/;/' \
        hook/name_that_is_taken_gives_the_id
# Characters that names may not have stay
off hook-names-made-safe tools/upcallctl/oci-labels.c \
        "s/name\[i\] = '_';/;/" \
        unit/test-oci-state
# `poststop` ends what has its id, also what lives
off hook-late-poststop broker/control-container.c \
        's/\(control->request\.flags & UPCALL_FLAG_ENDED\) &&/false \&\&/' \
        hook/late_poststop_leaves_the_next_container_alone
# A name that is another's contid makes that one ambiguous
off contid-before-name broker/container.c \
        's/\*found = find_by_contid_text\(broker, within, name_or_contid\);/*found = NULL; (void) find_by_contid_text;/' \
        hook/name_that_is_taken_gives_the_id
# A cgroup that was not there at registration is not looked for
off late-cgroup broker/container-cgroup.c \
        's/if \(broker->n_pending > 0\)/if (false)/' \
        hook/cgroup_that_is_not_there_yet
# The same, where orders are judged
off late-cgroup-administrator broker/control-peer.c \
        's/container_attribute\(control->broker, &control->by\)/attribution_find(control->broker->index, \&control->by)/' \
        hook/cgroup_that_comes_late_ends_administration
# Any process may be waited for until it gets a cgroup
off late-cgroup-own-mounts broker/container-register.c \
        's/return registration->late_cgroup && .*/return registration->late_cgroup ||/' \
        hook/bad_states_are_refused_and_stop_nothing
# Annotations may choose every policy
off policy-annotation tools/upcallctl/hook-policy.c \
        's/&& !policy->annotation/\&\& false/' \
        hook/policy_that_an_annotation_may_choose
# The annotation goes before the command line
off policy-command-line-first tools/upcallctl/hook-policy.c \
        's/return name \? name : hook->state->labels\.texts\[OCI_LABEL_POLICY\];/return hook->state->labels.texts[OCI_LABEL_POLICY] ?: (char *) name;/' \
        hook/policy_that_an_annotation_may_choose
# Half a policy stays in effect
off policy-taken-back tools/upcallctl/hook-policy.c \
        's/hook_take_back\(hook\);/;/' \
        hook/policy_that_is_refused_in_the_middle_is_taken_back
# Others may write to a policy
off policy-file-of-root-alone tools/upcallctl/policy-file.c \
        's/\(st\.st_mode & \(S_IWGRP \| S_IWOTH\)\) != 0/false/' \
        unit/test-policy
# Others may own a policy
off policy-file-of-root tools/upcallctl/policy-file.c \
        's/st\.st_uid != 0 && st\.st_uid != geteuid\(\)/false/' \
        unit/test-policy
# Long lines of a policy are cut
off policy-long-lines tools/upcallctl/policy.c \
        's/if \(size > INI_MAX_LINE - 2\)/if (false)/' \
        unit/test-policy
# Links of the image are followed with the host's root
off socket-mount-in-root tools/upcallctl/hook-mount.c \
        's/RESOLVE_IN_ROOT \| RESOLVE_NO_MAGICLINKS/0/' \
        hook/links_in_the_root_file_system_lead_nowhere
# The agents' folder can be written to
off socket-mount-read-only tools/upcallctl/hook-mount.c \
        's/MOUNT_ATTR_RDONLY \| //' \
        hook/socket_folder_is_mounted_once
# It is mounted over itself
off socket-mount-once tools/upcallctl/hook-mount.c \
        's/fstat\(target, &st\) == 0 && same_file\(&st, folder\)/fstat(target, \&st) != 0/' \
        hook/socket_folder_is_mounted_once
# A container in the host's mount namespace is mounted into
off socket-mount-own-namespace tools/upcallctl/hook-mount.c \
        's/return same_file\(&own, &its\) \? -EXDEV : 0;/return 0;/' \
        hook/socket_folder_that_cannot_be_mounted
# Only the root of the mount namespace is looked at
off socket-mount-before-the-root-is-changed tools/upcallctl/hook-mount.c \
        's/return fd >= 0 \? fd : open_if\(path, wanted\);/(void) path; return fd;/' \
        hook/socket_folder_before_the_root_is_changed
# Missing folders are made with root's ids
off socket-mount-made-by-its-owner tools/upcallctl/hook-mount.c \
        's/\(void\) setfsuid\(st\.st_uid\);/;/' \
        hook/policy_gives_agent_routes_and_socket

# ---- real containers --------------------------------------------------------------------------------------------------------

# The broker makes the agents' folder anew when it starts
off runtime-folder-is-kept broker/main.c \
        's/r = privileges_make_folder\(folders->agent,/r = rename(folders->agent, "\/run\/upcalld\/old") * 0 + privileges_make_folder(folders->agent,/' \
        runc/restart_of_the_broker_strands_no_agent_in_a_container
# The end of a container's first process goes unnoticed
off runtime-first-process-watched broker/container-watch.c \
        '/^int container_watch\(/,/^}/ s/if \(container->pidfd >= 0\)/if (false)/' \
        podman/podmans_monitor_killed
# Containers have no parent
off runtime-parent broker/container-register.c \
        's/\*ret_parent = container_of_entry\(attribution\.entry\);/(void) attribution.entry;/' \
        runc/runc_in_runc_registered_on_the_host_is_a_child
# The agents' socket is not mounted
off runtime-socket-is-shown tools/upcallctl/hook-policy.c \
        's/if \(r == 0 && policy->agent_socket\)/if (false)/' \
        podman/agent_works_under_podmans_default_seccomp_profile
# ---- the trail that can be proved -------------------------------------------------------------------------------------------

# Finished ledger rows may be changed
off finished-rows-stay schema/0003-chain.sql \
        's/BEFORE UPDATE ON ledger WHEN OLD\.finished = 1/BEFORE UPDATE ON ledger WHEN OLD.finished = 2/' \
        unit/test-ledger
# Rows from before the chain stay out of it
off chain-adopts-old-rows schema/0003-chain.sql \
        's/FROM ledger WHERE finished = 1 ORDER BY seqno;/FROM ledger WHERE finished = 2 ORDER BY seqno;/' \
        unit/test-ledger
# A column is not in the hash
off chain-covers-the-agent broker/registry-file.c \
        's/key_type, description, agent, mode, found, origin, caller_pid, caller_uid, caller_loginuid, caller_sessionid, "  /key_type, description, NULL, mode, found, origin, caller_pid, caller_uid, caller_loginuid, caller_sessionid, "  /' \
        unit/test-ledger
# The chain's head is not synced before its record is sent
off head-is-synced broker/registry-chain.c \
        's/query_run\(&query, DURABLE_FULL\); \/\* to its end/query_run(\&query, DURABLE_NORMAL); \/* to its end/' \
        unit/test-ledger
# No head is recorded when the broker starts
off head-at-start broker/chain.c \
        's/^( *)send_head\(broker, "start"\);/\1(void) send_head;/' \
        unit/test-broker-audit
# Nor after 1024 rows
off head-after-many-rows broker/chain.c \
        's/^#define CHAIN_ROWS 1024/#define CHAIN_ROWS 102400/' \
        unit/test-broker-audit
# Nor some time after a change
off head-after-a-change broker/chain.c \
        '/^void chain_grew/,/^}/ s/^( *)arm\(broker\);/\1;/' \
        verify/head_goes_into_the_log_at_start_at_the_end_and_after_a_change
# A head that was not read back is forgotten
off head-is-sent-again broker/chain.c \
        's/if \(error != 0 \|\| !is_recorded\(broker\)\)/if (!is_recorded(broker))/' \
        unit/test-broker-audit
# No head is recorded when the broker ends
off head-at-the-end broker/chain.c \
        's/^( *)send_head\(broker, "stop"\);/\1;/' \
        verify/head_goes_into_the_log_at_start_at_the_end_and_after_a_change
# The chain's timer stays on
off idle-broker-sleeps broker/chain.c \
        's/if \(error != 0 \|\| !is_recorded\(broker\)\)/if (true)/' \
        verify/idle_broker_records_no_heads
# A `pid=` of the message counts as the kernel's
off trail-first-pid-is-the-kernels auditing/trail.c \
        's/strcmp\(name, "pid"\) == 0 \&\& !\*pid/strcmp(name, "pid") == 0/; s/if \(!message \&\& take_kernels/if (take_kernels/' \
        unit/test-trail
# A field may stand twice
off trail-a-field-twice auditing/trail.c \
        's/if \(trail_field\(record, name\) \|\| record->n_fields == TRAIL_FIELDS_MAX/if (record->n_fields == TRAIL_FIELDS_MAX/' \
        unit/test-trail
# Other hosts' lines count
off trail-other-hosts auditing/trail.c \
        '/^static bool is_this_host/,/^}/ s/ours == 0\)/true)/' \
        verify/log_in_pieces_of_others_is_read
# A line that was cut is taken for a whole one
off trail-cut-lines auditing/trail.c \
        's/if \(trail->used > 0 \|\| trail->overlong\)/if (end_line(trail) < 0)/' \
        unit/test-trail
# Records that are not in the log are not looked for
off verify-missing tools/upcallctl/reconcile.c \
        's/if \(kept->receipt\.serial == 0 \|\| kept->seen\)/if (true)/' \
        verify/removed_line_is_missing
# Nor are heads
off verify-missing-head tools/upcallctl/reconcile.c \
        's/if \(r < 0 \|\| head->receipt\.serial == 0\)/if (true)/' \
        verify/removed_line_is_missing
# Fields are not compared
off verify-altered tools/upcallctl/reconcile-record.c \
        "s/if \\(r >= 0 \&\& differences\\[0\\] != '\\\\0'\\)/if (false)/" \
        verify/changed_line_is_altered
# Nor those of heads
off verify-altered-head tools/upcallctl/reconcile-record.c \
        's/if \(!readable \|\| finding\.chain_seq != head->chain_seq.*/if (false \&\&/' \
        verify/changed_line_is_altered
# Every sender is a broker
off verify-forged tools/upcallctl/reconcile.c \
        's/^( *)return SENDER_STRANGER;/\1return SENDER_BROKER;/' \
        verify/record_by_auditctl_is_forged
# A record may be there twice for no reason
off verify-copies tools/upcallctl/reconcile-record.c \
        '/^static bool is_explained/,/^}/ s/return false;/return true;/' \
        unit/test-reconcile
# Anybody may have sent a second one
off verify-second-sender tools/upcallctl/reconcile-record.c \
        's/if \(sender == SENDER_STRANGER\)/if (false)/' \
        unit/test-reconcile
# Hashes are not compared
off verify-chain-changed tools/upcallctl/reconcile.c \
        's/return row->fits \?/return true ?/' \
        verify/changed_ledger_row_breaks_the_chain
# The chain may have holes
off verify-chain-removed tools/upcallctl/reconcile.c \
        's/if \(row->chain_seq != next\)/if (false)/' \
        verify/deleted_ledger_row_breaks_the_chain
# Finished rows may be in no chain
off verify-chain-added tools/upcallctl/reconcile.c \
        's/return row->finished \?/return false ?/' \
        verify/added_ledger_row_breaks_the_chain
# Heads are not held against the chain
off verify-chain-made-anew tools/upcallctl/reconcile.c \
        's/if \(r > 0 \&\& memcmp\(hash, chain_seq == 0 \? none : ours, CHAIN_HASH_SIZE\) == 0\)/if (r > 0)/' \
        verify/changed_ledger_row_breaks_the_chain
# The chain may end before a head
off verify-chain-end tools/upcallctl/reconcile.c \
        's/if \(chain_seq > reconciliation->counts\.chain_seq\) \{/if (false) {/' \
        unit/test-reconcile
# What is newer than the ledger is forged
off verify-older-ledger tools/upcallctl/reconcile-record.c \
        's/if \(last \&\& finding->uid == last->uid/if (false \&\& last \&\& finding->uid == last->uid/' \
        verify/older_copy_of_the_ledger_is_noticed
# Rows that the power took were removed
off verify-power-failure tools/upcallctl/reconcile-record.c \
        's/else if \(is_lost\(reconciliation, finding->seqno\)\)/else if (false)/' \
        unit/test-reconcile
# What auditd is about to write is missing
off verify-not-yet-written tools/upcallctl/reconcile.c \
        's/if \(receipt->time_ms >= last_ms \&\&/if (false \&\&/' \
        unit/test-reconcile
# A gap's reason is not looked at
off verify-gap-wants-a-reason tools/upcallctl/reconcile.c \
        's/if \(r > 0 \&\& row\.reason \&\& row\.reason\[0\] != .*\)$/if (false)/' \
        verify/gap_is_no_error
# Root's rights are kept for the ledger
off verify-as-the-ledgers-owner tools/upcallctl/verify-input.c \
        's/if \(geteuid\(\) != 0 \|\| st\.st_uid == 0\)/if (true)/' \
        verify/ledger_is_read_as_its_owner_and_not_changed
# An auditd with a mount namespace of its own may be a container's
off auditd-is-who-the-kernel-says tools/upcall-request-key/upcall.c \
        's/\(caller_shares_mounts\(caller\) \|\| kernel_calls_it_auditd\(caller\)\);/caller_shares_mounts(caller);/' \
        down/auditd_in_its_own_mount_namespace_is_the_hosts
# Whoever is called auditd is auditd, as soon as there is one
off auditd-is-nobody-else tools/upcall-request-key/upcall.c \
        's/pid > 0 && pid == caller->tgid;/pid > 0;/' \
        down/auditd_in_its_own_mount_namespace_is_the_hosts
# What is lost with `audit=required` is told by no record
off gap-is-told-in-every-mode broker/upcall.c \
        's/if \(!kept\)$/if (false)/' \
        unit/test-broker-observe
# A gap of an observed upcall looks like an agent that was asked without evidence
off gap-of-what-waits-for-no-record broker/upcall.c \
        's/\(kept \|\| upcall->unconditional \?/(kept ?/' \
        trail/observed_upcall_without_its_records_is_a_gap
# A dispatch record that nobody waited for is missing
off verify-dropped-is-a-gap tools/upcallctl/reconcile.c \
        '/^static bool was_dropped/,/^}/ s/return row->state/return false \&\& row->state/' \
        trail/observed_upcall_without_its_records_is_a_gap
# Rows may lack records of which the log does not tell
off verify-gap-is-told tools/upcallctl/reconcile.c \
        's/if \(!reconciliation->gaps_are_told \|\| .*\)$/if (true)/' \
        trail/refusal_without_a_record_is_told_of
# Anybody may tell of a gap
off verify-gap-is-told-by-the-broker tools/upcallctl/reconcile-record.c \
        's/if \(r > 0 && trail_field_is\(record, "op", "audit-gap"\)/if (trail_field_is(record, "op", "audit-gap")/' \
        unit/test-reconcile
# The record that a gap's row has may say anything
off verify-gap-rows-are-compared tools/upcallctl/reconcile-fields.c \
        's/^( *)else if \(!row->outcome\)$/\1else/' \
        unit/test-reconcile
# What the client could not record is no gap
off verify-missed tools/upcallctl/reconcile-record.c \
        's/return r < 0 \|\| !genuine \? r : take_missed\(reconciliation, record\);/(void) take_missed; return r;/' \
        trail/what_the_client_missed_is_a_gap
# An upcall that was asked again counts as two
off verify-repeat tools/upcallctl/reconcile.c \
        's/if \(r >= 0 && before\)/if (false)/; s/else if \(r >= 0 && row->retry > 0\)/else if (false)/' \
        trail/broker_killed_while_the_agent_works_makes_a_repeat
# Nobody hears of a claim
off verify-claim tools/upcallctl/reconcile.c \
        's/if \(row->claim\)/if (false)/' \
        trail/agents_claim_is_recorded_as_such
# Record and row may claim different things
off verify-claim-in-both tools/upcallctl/reconcile-fields.c \
        's/if \(row->claim\)/if (true)/; s/compare_text\(differences, "claim", row->claim\);/;/' \
        unit/test-reconcile
# `--json` prints nothing where there is no result
off verify-json-error tools/upcallctl/verify.c \
        's/if \(r < 0 \&\& order\.json\)/if (false)/' \
        trail/json_says_why_there_is_no_result
# A claim is not in the record
off claim-is-recorded auditing/record.c \
        's/field_word_if\(text, "claim", upcall->claim\);/;/' \
        unit/test-record
# What is so is a claim, too
off claim-only-where-it-differs broker/upcall-settle.c \
        's/if \(upcall->claim == upcall->outcome\)/if (false)/' \
        unit/test-broker-observe
# What the agent says is not kept
off claim-is-the-agents broker/session.c \
        's/upcall_claimed\(upcall, (true|false), .*\);/;/' \
        unit/test-broker-observe
# A claim is not in the row
off claim-in-the-ledger broker/upcall-settle.c \
        's/if \(upcall->claim\)$/if (false)/' \
        trail/agents_claim_is_recorded_as_such
# A claim is not in the hash
off chain-covers-the-claim broker/registry-file.c \
        's/", error, time_done, claim, failed\)"/", error, time_done, NULL, failed)"/' \
        unit/test-ledger
# A column that came later changes the hash of every row
off chain-leaves-out-what-is-not-there broker/registry-chain.c \
        's/while \(n_values - 2 > LEDGER_COLUMNS_ALWAYS && .*\)$/while (false)/' \
        verify/chain_is_what_the_documentation_says
# The ledger is read in several moments
off snapshot-is-of-one-moment broker/ledger-snapshot.c \
        's/sqlite3_exec\(snapshot->db, "BEGIN", NULL, NULL, NULL\)/SQLITE_OK/' \
        unit/test-ledger

# ---- evidence that is handed out --------------------------------------------------------------------------------------------

# MANIFEST is not compared
off bundle-manifest tools/upcallctl/bundle-archive.c \
        's/if \(left < length \|\| memcmp\(manifest \+ at, line, length\) != 0\) \{/if (false) {/' \
        unit/test-bundle
# The archive is not written once more and compared
off bundle-form tools/upcallctl/bundle-archive.c \
        's/if \(r < 0 \|\| \(!sink\.differs \&\& sink\.left == 0\)\)/if (true)/' \
        unit/test-bundle
# The second entry of a name counts
off bundle-one-of-each tools/upcallctl/bundle-archive.c \
        's/if \(part < BUNDLE_PARTS \&\& bundle->parts\[part\]\)/if (false)/' \
        evidence/what_is_no_bundle_is_refused
# Links and folders are taken for files
off bundle-plain-files tools/upcallctl/bundle-archive.c \
        's/if \(archive_entry_filetype\(entry\) != AE_IFREG .*/if (false)/' \
        evidence/what_is_no_bundle_is_refused
# Other entries are passed over
off bundle-nothing-else-in-it tools/upcallctl/bundle-archive.c \
        "s/if \\(unknown\\[0\\] != '\\\\0'\\)/if (false)/" \
        evidence/what_is_no_bundle_is_refused
# A newer format is read as this one
off bundle-newer-format tools/upcallctl/bundle-archive.c \
        's/if \(is_newer\(bundle\)\)/if (false)/' \
        unit/test-bundle
# A row is not compared with its digest
off bundle-row-fits-its-digest tools/upcallctl/bundle-ledger.c \
        's/ \&\& memcmp\(link->digest, place->digest, CHAIN_HASH_SIZE\) == 0;/;/' \
        unit/test-bundle
# Another container's row is taken for this one's
off bundle-row-is-the-containers tools/upcallctl/bundle-ledger.c \
        's/link->fits = link->fits \&\& place->own/link->fits = link->fits/' \
        unit/test-bundle
# The time that the log is said to cover is believed
off bundle-claimed-coverage tools/upcallctl/bundle-check.c \
        's/if \(records->first_ms > 0 \&\& \(log->first_ms == 0.*/if (false)/' \
        unit/test-bundle
# Other lines in records.log are passed over
off bundle-only-our-records tools/upcallctl/bundle-check.c \
        's/records\.lines != records\.records/false/' \
        unit/test-bundle
# Rows that no head confirms are not mentioned
off bundle-rows-behind-the-last-head tools/upcallctl/bundle-check.c \
        's/span->last_row > check->facts->anchor\)/false)/' \
        unit/test-bundle
# A log that begins later than what was asked for is not mentioned
off bundle-log-begins-later tools/upcallctl/bundle-check.c \
        's/if \(about->log\.first_ms > about->since_ms\)/if (false)/' \
        evidence/rotated_log_and_one_that_begins_too_late
# --sha256 is not compared
off bundle-noted-sha256 tools/upcallctl/verify-bundle.c \
        's/if \(!wanted \|\| strcasecmp\(wanted, text\) == 0\)/if (true)/' \
        evidence/one_changed_byte_is_found
# Root reads a bundle with all its rights
off bundle-as-nobody tools/upcallctl/verify-bundle.c \
        's/^( *)become_nobody\(\);/\1(void) become_nobody;/' \
        unit/test-bundle
# All records of that time are exported
off evidence-of-one-container tools/upcallctl/evidence-read.c \
        's/if \(!is_ours\(evidence, record\)\)/if (false)/' \
        evidence/no_payload_and_nobody_elses_names_in_a_bundle
# A record whose contid was changed in the log is left out
off evidence-altered-contid tools/upcallctl/evidence-read.c \
        's/\(evidence->n_receipts > 0 \&\& bsearch\(/(false \&\& bsearch(/' \
        unit/test-bundle
# A record of that time about an older row has no row in the bundle
off evidence-record-brings-its-row tools/upcallctl/evidence-choose.c \
        '/^static void choose_rows/,/^}/ s/row->chosen = true;/;/' \
        unit/test-bundle
# A bundle's part of the chain begins with the ledger
off evidence-begins-at-a-head tools/upcallctl/evidence-choose.c \
        's/if \(head->head\.time \/ 1000 <= evidence->about\.since_ms .*/if (false) {/' \
        unit/test-bundle
# An earlier broker's start is left out
off evidence-knows-the-broker tools/upcallctl/evidence-choose.c \
        's/return head <= evidence->head_last \&\& \(head >= evidence->head_first \|\|/return head <= evidence->head_last \&\& head >= evidence->head_first \&\& (true ||/' \
        unit/test-bundle
# Root reads ledger and log with all its rights
off evidence-as-the-ledgers-owner tools/upcallctl/evidence.c \
        's/int r = input_become_owner\(order->ledger\);/int r = 0;/' \
        evidence/output_is_all_of_it_or_nothing
# A file that is there is replaced
off evidence-replaces-no-file tools/upcallctl/evidence.c \
        's/if \(!order->force \&\& lstat\(order->output, \&st\) == 0\)/if (false \&\& lstat(order->output, \&st) == 0)/; s/order->force \? 0 : RENAME_NOREPLACE/0/' \
        evidence/output_is_all_of_it_or_nothing
# A half-made file stays
off evidence-leaves-no-half-file tools/upcallctl/evidence.c \
        's/\(void\) unlink\(file->temporary\);/(void) file;/' \
        evidence/output_is_all_of_it_or_nothing
# The process that reads goes on when the other one was killed
off evidence-reader-ends-with-its-parent tools/upcallctl/evidence.c \
        's/if \(prctl\(PR_SET_PDEATHSIG, SIGKILL\) < 0 \|\| /if (/' \
        evidence/output_is_all_of_it_or_nothing

# ---- attacks ------------------------------------------------------------------------------------------------------------------

# Cgroups are not looked at
off attack-fork broker/attribution.c \
        's/for \(size_t i = 0; i < facts->n_cgroups; i\+\+\) \{/for (size_t i = facts->n_cgroups; i < facts->n_cgroups; i++) {/' \
        attack/fork_and_double_fork_do_not_leave_the_container
# A thread's number is opened as a process's
off attack-thread util/process.c \
        's/pidfd_open_raw\(tid, PIDFD_THREAD\)/pidfd_open_raw(tid, 0)/' \
        attack/thread_is_its_process_and_no_stranger
# The numbers in `/proc/PID/stat` begin behind the first parenthesis
off attack-name util/process.c \
        '/^static int parse_stat/,/^}/ s/strrchr\(text/strchr(text/' \
        attack/name_and_title_are_not_looked_at
# Only the caller's own pid namespace counts, not those around it
off attack-unshare broker/attribution.c \
        's/i < namespace_chain_length\(&facts->pid_ns\) && !entry/i < 1 \&\& !entry/' \
        attack/unshare_of_every_namespace_leads_deeper_and_not_out
# What an earlier client said last is not read first
off attack-exec broker/upcall-decide.c \
        's/^( *)upcall_read\(outer\);/\1;/' \
        attack/exec_during_the_upcall_is_no_nested_one
# What a dead agent was asked waits for its deadline
off attack-first-process-killed broker/session.c \
        's/upcall_agent_failed\(upcall, reason\);/(void) reason;/' \
        attack/first_process_killed_during_the_upcall_leaves_nobody_waiting
# After a restart the number counts without the start time
off attack-number-used-again broker/container-load.c \
        's/ \|\| stat\.start_time != row->start_time//' \
        attack/number_of_a_dead_first_process_is_not_that_process
# Who left his container's cgroup is not in doubt
off attack-out-of-its-cgroup broker/attribution.c \
        '/^static bool left_its_cgroup/,/^}/ s/return true;/return false;/' \
        attack/move_out_of_its_cgroup_does_not_leave_the_container
# Who moved into a container's cgroup from another user namespace is believed
off attack-sideways broker/attribution.c \
        's/if \(!namespace_id_equal\(candidate->user_ns, caller->facts->user_ns\.ids\[0\]\)\)/if (false)/' \
        attack/move_sideways_into_a_siblings_cgroup_does_not_make_the_sibling
# Whoever is in a container's cgroup is the container's
off attack-into-a-cgroup broker/attribution.c \
        's/return n == 1 && !only->owns_pid_ns \? judge_cgroup_only\(caller, only\) : answer\(ATTRIBUTION_AMBIGUOUS\);/return answer_container(only, UPCALL_FOUND_CGROUP);/' \
        attack/move_into_the_cgroup_of_a_container_with_a_pid_namespace
# The cgroup is read as the caller sees it
off attack-bind-mounts util/process.c \
        's#openat\(dir, "cgroup"#openat(dir, "root/proc/self/cgroup"#' \
        attack/bind_mounts_over_its_proc_files_deceive_nobody
# The user namespace decides
off attack-shared-namespaces broker/attribution.c \
        '/^static struct sort_key entry_pid_ns/,/^}/ s/entry->pid_ns/entry->user_ns/; /^static const struct attribution_entry \*nearest_owner/,/^}/ s/facts->pid_ns/facts->user_ns/g' \
        attack/shared_network_or_user_namespace_identifies_nobody
# No container owns a pid namespace
off attack-joined-pid-namespace broker/attribution.c \
        '/^static const struct attribution_entry \*nearest_owner/,/^}/ s/return entry;/return NULL;/' \
        attack/host_process_in_a_containers_pid_namespace_is_the_containers
# The host is a stranger
off attack-joined-other-namespaces broker/attribution.c \
        's/return answer\(ATTRIBUTION_HOST\);/return answer(ATTRIBUTION_UNREGISTERED);/' \
        attack/host_process_in_a_containers_other_namespaces_is_the_hosts
# A foreign user namespace makes no stranger
off attack-joined-user-namespace broker/attribution.c \
        's/return namespace_chain_length\(&facts->pid_ns\) == 1 && namespace_chain_length\(&facts->user_ns\) == 1;/return namespace_chain_length(\&facts->pid_ns) == 1;/' \
        attack/host_process_in_a_containers_user_namespace_is_nobody
# `pid=` in a description is believed
off attack-description tools/upcall-request-key/upcall.c \
        's/^( *)upcall->pidfd = process_open\(tid\);/\1extern long strtol(const char *, char **, int);\n\1for (size_t i = 0; i + 4 < upcall->key.description.size; i++)\n\1        if (memcmp((const char *) upcall->key.description.data + i, "pid=", 4) == 0)\n\1                tid = (pid_t) strtol((const char *) upcall->key.description.data + i + 4, NULL, 0);\n\1upcall->pidfd = process_open(tid);/' \
        attack/description_that_claims_another_pid_is_only_a_word
# The upcall around a nested one is not looked for
off attack-authority broker/upcall-decide.c \
        '/^static Upcall \*find_outer/,/^}/ s/return other;/return NULL;/' \
        attack/holder_of_anothers_authority_gets_none_of_its_answers
# The sockets of control and upcalls are everybody's to connect to
off attack-modes-of-sockets broker/sockets.c \
        's/\.sock", 0600/.sock", 0666/' \
        attack/root_of_a_runc_container_does_not_even_connect
# Root anywhere is the administrator
off attack-control-socket broker/control-peer.c \
        '/^void control_identify/,/^}/ s/if \(attribution_is_home.* && (is_administrator).*/(void) \1;\nif (control->by.euid == 0) {/' \
        attack/root_of_a_runc_container_gives_no_orders
# Root's process need not be a child of a kernel thread
off attack-upcall-socket broker/peer.c \
        '/^bool peer_is_upcall/,/^}/ s/parent\.kernel_thread/true/' \
        attack/root_of_a_runc_container_makes_no_upcall_of_its_own
# An agent's name is looked up in all containers
off attack-agent-socket broker/session-attach.c \
        's/^( *)agent = agent_find\(session->broker, container, session->name\);/\1agent = NULL;\n\1TAILQ_FOREACH(container, \&session->broker->containers, link)\n\1        if ((agent = agent_find(session->broker, container, session->name)))\n\1                break;/' \
        attack/root_of_a_runc_container_is_no_others_agent

# ---- registration and nesting -------------------------------------------------------------------------------------------------

# The registrar may name himself, and what started him
off registrar-himself broker/control-container.c \
        's/register_check_kinship\(control\) == 0 && //' \
        register/nobody_registers_himself_or_what_started_him
# The broker takes threads
off registered-thread broker/container-register.c \
        's/if \(facts->tid != facts->tgid\)/if (false)/' \
        register/pidfd_of_a_thread
# The start time is not compared
off number-that-was-noted tools/upcallctl/arguments.c \
        's/if \(stat\.start_time == wanted\)/if (true)/' \
        register/number_with_another_start_time
# Refusals have words alone
off name-of-the-error tools/upcallctl/connection.c \
        's/"%\.\*s \(%s\)", /"%.*s%.0s", /' \
        register/refusals_have_their_name_and_words
# A cgroup is the container's own, whoever sits there
off shared-cgroup tools/upcallctl/cgroup-shared.c \
        's/return r != 0 \? UPCALL_FLAG_CGROUP_SHARED : 0;/return 0;/' \
        register/cgroup_that_others_sit_in_is_no_criterion
# The same, by the hook alone
off shared-cgroup-by-the-hook tools/upcallctl/hook-register.c \
        's/ \| cgroup_shared_flag\(hook->pidfd\)//' \
        register/cgroup_that_others_sit_in_is_no_criterion_for_the_hook
# Agents stay what they were when they connected
off agents-judged-anew broker/rejudge.c \
        '/^void rejudge_after/,/^}/ s/rejudge_sessions\(registered\);/(void) rejudge_sessions;/' \
        nesting/agent_in_a_container_that_is_registered_late_is_cut_off
# Upcalls under way stay attributed as they were
off upcalls-judged-anew broker/rejudge.c \
        '/^void rejudge_after/,/^}/ s/rejudge_upcalls\(registered->broker\);/(void) rejudge_upcalls;/' \
        nesting/upcall_in_flight_of_a_container_that_is_registered_late_is_refused
# A kernel thread is judged anew as if it were a process
off kernel-thread-is-not-judged-anew broker/upcall-decide.c \
        's/attribution->found == UPCALL_FOUND_AFFINITY \? NULL : malloc/false ? NULL : malloc/' \
        unit/test-broker-acting
# Parents that have ended are not looked for
off parents-are-kept broker/control-container.c \
        '/^static int send_parents/,/^}/ s/registry_find_container\(.*\)/0/' \
        nesting/parents_are_shown_when_they_have_ended
# The outermost container decides
off nearest-container-by-pid-namespace broker/attribution.c \
        '/^static const struct attribution_entry \*nearest_owner/,/^}/ s/ && !entry; i\+\+\)/; i++)/' \
        nesting/runc_in_runc_in_runc
# The outermost cgroup decides
off nearest-container-by-cgroup broker/attribution.c \
        's/for \(size_t i = 0; i < facts->n_cgroups; i\+\+\) \{/for (size_t i = facts->n_cgroups; i-- > 0;) {/' \
        nesting/nested_container_that_differs_by_its_cgroup_alone
# A change is made also when its record could not be
off change-needs-its-record broker/control-change.c \
        '/^static void on_change_recorded/,/^}/ s/if \(error < 0\) \{/if (false) {/' \
        register/change_without_a_record_is_not_made

# ---- the end of a container -------------------------------------------------------------------------------------------------

# Each container has an inotify instance of its own
off one-inotify-instance broker/cgroup-watch.c \
        's/inotify_add_watch\(broker->cgroup_events, file/inotify_add_watch(inotify_init1(IN_CLOEXEC), file/' \
        life/many_containers_by_cgroup_need_one_inotify_instance
# Inotify watches stay
off watches-are-taken-back broker/cgroup-watch.c \
        's/\(void\) inotify_rm_watch\(.*\);/;/' \
        life/many_containers_by_cgroup_need_one_inotify_instance
# Nobody hears that a cgroup is empty
off cgroup-events-are-heard broker/cgroup-watch.c \
        's/look_at\(userdata, event->wd\);/(void) event;/; s/^( *)cgroup_look_again\(userdata\);/\1;/' \
        life/tombstone_refuses_until_the_last_process_is_gone
# What runs on in its cgroup holds no tombstone
off tombstone-held-by-cgroup broker/container-end.c \
        's/return !\(container->found & UPCALL_FOUND_PIDNS\) && cgroup_populated\(container\);/return false;/' \
        life/tombstone_refuses_until_the_last_process_is_gone
# Its agents stay connected
off sessions-end-with-the-container broker/container-end.c \
        's/while \(\(session = TAILQ_FIRST\(&agent->sessions\)\)\)/while ((session = NULL))/' \
        life/agent_of_a_held_container_is_cut_off
# Rows of agents and routes stay
off agents-and-routes-taken-back schema/0011-route.sql \
        's/WHEN NEW\.state = 3/WHEN false/' \
        life/agents_and_routes_go_with_the_container
# The descriptor of its user namespace stays open
off ended-descriptors-closed broker/container.c \
        's/close_fd\(container->user_ns\);/;/' \
        life/short_lived_containers_leave_nothing_behind
# The client gives no key away
off keys-given-to-the-group tools/upcall-request-key/carry-out.c \
        's/allow_group\(key, group, upcall->key\.permissions\);/(void) allow_group;/' \
        life/keys_are_invalidated_when_the_container_is_unregistered
# Unregistering leaves keys alone
off keys-invalidated-at-unregister tools/upcallctl/container.c \
        's/return invalidate_keys\(arguments, contid\);/(void) invalidate_keys;\nreturn r;/' \
        life/keys_are_invalidated_when_the_container_is_unregistered
# The ledger's keys of all containers are taken
off keys-of-this-container-alone broker/registry-file.c \
        's/INDEXED BY ledger_keys WHERE contid = \?1 AND/INDEXED BY ledger_keys WHERE (contid = ?1 OR 1) AND/' \
        life/keys_are_invalidated_when_the_container_is_unregistered
# A lifetime is not cut
off keys-lifetime-bounded broker/upcall.c \
        's/if \(limit > 0 && \(seconds == 0 \|\| seconds > limit\)\)/if (false)/' \
        life/keys_that_root_may_not_invalidate_are_said_and_expire
# `poststop` leaves keys alone
off keys-after-poststop tools/upcallctl/hook-register.c \
        's/return r == 0 \? invalidate_keys\(hook\) : r;/(void) invalidate_keys;\nreturn r;/' \
        life/poststop_invalidates_keys_of_a_container_that_ended_by_itself
# A number is enough
off keys-looked-at-first tools/upcallctl/keys.c \
        's/!span_equal\(found\.description, key->description\)/false/' \
        life/number_that_is_another_keys_now_is_left_alone

# ---- helpers ----------------------------------------------------------------------------------------------------------------

# The client believes whose container it is
off helper-callers-container-alone tools/upcall-request-key/helper.c \
        's/r = container_open\(order->pidfd, &order->upcall->request\.caller, &container, ret_reason\);/& r = r == -EPERM ? 0 : r;/' \
        helper-attack/evil_broker_gets_a_program_into_no_other_container
# Any first process whose user namespace is the caller's counts
off helper-pod-by-its-cgroup tools/upcall-request-key/container.c \
        's/return first->n_cgroups > 0 \&\& cgroups_have\(caller, first->cgroups\[0\]\) \&\&/return/' \
        unit/test-helper
# A container's caller may get the host's files
off helper-never-the-hosts-files tools/upcall-request-key/container.c \
        's/if \(namespace_id_equal\(first->mnt_ns, host_mnt\) .*/if (false)/' \
        unit/test-helper
# No namespace is entered
off helper-namespaces tools/upcall-request-key/enter.c \
        's/\{ enter_namespaces, /{ filters_without, /' \
        helper/helper_has_what_the_first_process_has_and_no_more
# The bounding set stays
off helper-bounding-set tools/upcall-request-key/enter.c \
        's/\{ drop_bounding_set, /{ filters_without, /' \
        helper-runc/helper_in_a_runc_container_has_its_capabilities_and_no_new_privileges
# It may gain privileges by exec
off helper-no-new-privileges tools/upcall-request-key/enter.c \
        's/\{ set_no_new_privileges, /{ filters_without, /' \
        helper-runc/helper_in_a_runc_container_has_its_capabilities_and_no_new_privileges
# It has no seccomp filters
off helper-filters tools/upcall-request-key/helper-plan.c \
        's/r = plan_filters\(order, container, \&likeness, plan\);/r = 0;/' \
        helper-runc/helper_has_the_first_process_filters
# It runs as root
off helper-ids tools/upcall-request-key/enter.c \
        's/\{ set_ids, /{ filters_without, /' \
        helper-runc/helper_runs_as_who_the_first_process_is
# It has the kernel's own limits
off helper-limits tools/upcall-request-key/enter.c \
        's/\{ set_limits, /{ filters_without, /' \
        helper/helper_has_what_the_first_process_has_and_no_more
# It has the kernel's own priority, policy and processors
off helper-scheduling tools/upcall-request-key/enter.c \
        's/\{ set_scheduling, /{ filters_without, /' \
        helper/helper_has_what_the_first_process_has_and_no_more
# It stays in the root cgroup
off helper-cgroups tools/upcall-request-key/enter.c \
        's/\{ join_cgroups, /{ filters_without, /' \
        helper/helper_in_a_container_that_its_control_group_tells_apart
# Every helper holds the authority
off helper-holds-no-authority tools/upcall-request-key/enter.c \
        's/if \(plan->mode == PLAN_LEND\)/if (true)/' \
        helper/instantiating_takes_authority_that_a_payload_needs_not
# What it started goes on
off helper-leaves-nothing-behind tools/upcall-request-key/program.c \
        's/^                descendants_kill\(program->keeper\);/                break;/' \
        helper/daemon_that_it_leaves_behind_ends_with_it
# The host's program itself enters
off helper-sealed-copy tools/upcall-request-key/stage.c \
        's/SYS_execveat, copy, "", argv, environment, AT_EMPTY_PATH/SYS_execve, "\/proc\/self\/exe", argv, environment/' \
        helper/nobody_in_a_container_sees_the_hosts_program
# Filters that cannot be read are left out
off helper-seccomp-known tools/upcall-request-key/helper-plan.c \
        's/if \(order->policy->helper_without_seccomp\)/if (true)/' \
        helper-runc/filters_that_cannot_be_read_refuse
# What is too much is cut
off helper-payload-maximum tools/upcall-request-key/program.c \
        's/if \(n > 0 \&\& kept \&\& room == 0\)/if (false)/' \
        helper/more_than_a_payload_may_hold
# It is told the host's ids
off helper-ids-as-inside tools/upcall-request-key/idmap.c \
        's/\*ret_inside = inside \+ \(outside - first\);/*ret_inside = outside;/' \
        helper/helper_gets_the_callout_info_and_ids_as_they_are_inside
# What was read of the first process is that of any namespace
off helper-first-process-unchanged tools/upcall-request-key/helper-plan.c \
        's/return r < 0 \? r : container_check\(container, ret_reason\);/return r;/' \
        helper-attack/first_process_that_becomes_mighty_while_it_is_looked_at
# Root's program gets back what the first process has given up
off helper-no-more-than-permitted tools/upcall-request-key/likeness.c \
        's/if \(plan->uids\[0\] != 0 \&\& plan->uids\[1\] != 0\)/if (true)/' \
        helper-attack/first_process_that_has_given_up_capabilities
# Who takes the keeper over can change the plan
off helper-plan-sealed tools/upcall-request-key/program.c \
        's/ \| F_SEAL_FUTURE_WRITE\) < 0/) < 0/' \
        helper-attack/keeper_has_nothing_worth_taking
# A keeper that was stopped is waited for
off helper-keeper-goes-on tools/upcall-request-key/program.c \
        's/\(void\) kill\(program->keeper, SIGCONT\);/;/' \
        helper/program_that_stops_its_keeper
# What cannot be killed is waited for behind the deadline
off helper-cleared-in-time tools/upcall-request-key/program.c \
        's/if \(until > latest\)/if (false)/' \
        helper-attack/program_on_a_file_server_that_hangs
# The broker alone says what is lent
off lend-clients-own-word tools/upcall-request-key/helper.c \
        's/^        if \(lend_allowed\(order\)\)/        if (true)/' \
        lend/nothing_is_lent_without_the_clients_own_word
# A container's program may make what the kernel parses
off lend-parsed-types tools/upcall-request-key/helper.c \
        's/return !shape_is_parsed\(upcall->key\.type\) \|\|/return true ||/' \
        lend/helper_may_not_make_what_the_kernel_parses
# Authority is not assumed again in the user namespace
off lend-authority-again tools/upcall-request-key/enter.c \
        's/return key_assume_authority\(plan->key\);/return 0;/' \
        lend/keyctl_instantiates_in_a_user_namespace
# A helper is believed
off lend-outcome-observed tools/upcall-request-key/helper.c \
        's/^        observe_or_reject\(upcall->arguments\.key.*/        *ret_outcome = (struct outcome){ .outcome = UPCALL_OUTCOME_INSTANTIATED };/' \
        lend/helper_that_answers_nothing_or_another_key
# Where the host's programs are shown, the client is started instead of request-key
off lend-request-key-behind-takeover tools/upcall-request-key/keeper.c \
        's/^        return st\.st_dev == .*/        return plan->path;/' \
        lend/request_key_of_a_container_that_shows_the_hosts_programs
# A path is a name, too
off host-programs-by-name tools/upcall-request-key/policy.c \
        's/return name\[0\] != .*strchr\(name.*/return name[0];/' \
        helper-attack/evil_broker_names_no_paths_of_the_host
# routes, and the agents that they lead to
off route-careful-origin broker/route.c \
        's/if \(subject->origin != UPCALL_ORIGIN_KERNEL && route->action != UPCALL_ACTION_REJECT\)/if (false)/' \
        route/what_the_kernel_alone_asks_for_is_no_process_to_have
# The shared cache needs no word
off route-shared-cache broker/route.c \
        '/^static const char \*careful_miss/,/^}/ s/if \(type->shared && .*\)$/if (false)/' \
        route/shared_cache_is_accepted_by_name_alone
# Every route is for nested containers, too
off route-nested-says-so broker/route.c \
        's/if \(subject->nested && !\(route->flags & UPCALL_ROUTE_NESTED\)\)/if (false)/' \
        route/route_for_nested_containers_says_so_and_the_nearer_wins
# A route's uid does not count
off route-uid broker/route.c \
        's/if \(route->uid != 0 && .*\)$/if (false)/' \
        route/uid_is_the_one_inside
# The host's uid counts
off route-uid-as-seen-there broker/container-route.c \
        's/seen\.uid = container_uid_inside\(owner, subject->uid\);/;/' \
        route/uid_is_the_one_inside
# A route may lead to any container's agent
off route-of-its-own-agents broker/control-route.c \
        's/agent = container_reach_agent\(container, text\);/agent = container_reach_agent(container, text);\n        Container *any;\n        TAILQ_FOREACH(any, \&control->broker->containers, link)\n                agent = agent ?: agent_find(control->broker, any, text);/' \
        route/bad_routes_are_refused
# Nobody else is asked
off failover broker/upcall-failover.c \
        's/if \(upcall->decision\.n_next == 0\)/if (true)/' \
        failover/first_agent_killed
# The first agent has all of the time
off failover-turns broker/upcall-ask.c \
        's/\(upcall->decision\.n_next \+ 1\)/1/' \
        failover/first_agent_hangs
# An agent that is not there is waited for
off failover-passes-over broker/upcall-failover.c \
        's/!agent_is_there\(decision->agent\) && somebody_is_next\(decision\)/false \&\& somebody_is_next(decision)/' \
        failover/first_agent_killed
# The second agent is asked before its record
off failover-is-recorded-first broker/upcall-failover.c \
        's/upcall_await_record\(upcall, record_again\(upcall\)\);/(void) record_again(upcall);\n        upcall_proceed(upcall);/' \
        failover/second_agent_is_asked_only_after_its_own_record
# Records do not say who failed
off failover-in-the-record auditing/record.c \
        's/if \(upcall->failed\)/if (false)/' \
        failover/first_agent_talks_nonsense
# A dispatch record must name the last agent
off verify-failover tools/upcallctl/reconcile-fields.c \
        's/\(completion \? compare_agent : compare_agent_then\)/(true ? compare_agent : compare_agent_then)/' \
        failover/trail_of_failover_holds_together
# Who failed is not compared
off verify-who-failed tools/upcallctl/reconcile-fields.c \
        's/compare_text\(differences, "failed", row->failed\);/;/' \
        failover/trail_of_failover_holds_together
# Any process of the host is its agent
off host-agent-uid broker/session-attach.c \
        's/if \(!has_uid\(session, agent->uid\)\)/if (false)/' \
        serve/who_is_not_the_hosts_agent_is_turned_away
# So is one in a container
off host-agent-is-on-the-host broker/session-attach.c \
        's/if \(attribution\.verdict == ATTRIBUTION_HOST && !attribution\.run\)/if (attribution.verdict == ATTRIBUTION_HOST || agent_find(session->broker, NULL, session->name))/' \
        serve/who_is_not_the_hosts_agent_is_turned_away
# It stays when it goes into a container
off host-agent-looked-at-again broker/rejudge.c \
        's/if \(!is_still_the_hosts\(broker, session->facts\)\)/if (false \&\& !is_still_the_hosts(broker, session->facts))/' \
        serve/agent_of_the_host_that_is_in_a_container_now_is_cut_off
# A route keeps an agent that serves no more
off serves-no-more broker/agent.c \
        's/container_forget_agent\(container, agent->row\);/;/' \
        serve/agent_serves_another_container_by_an_administrators_word
# Whom an agent serves is forgotten
off serves-after-a-restart broker/container-load.c \
        's/return container && agent \? agent_serve\(agent, container\) : 0;/(void) container;\n        (void) agent;\n        return 0;/' \
        serve/both_kinds_survive_a_restart
# Upcalls wait in the order of their arrival, whosever they are
off serves-in-turns broker/agent-queue.c \
        's/if \(other->round <= upcall->round\)/if (true)/' \
        serve/flood_of_one_container_does_not_starve_another
# One container may have all workers
off serves-with-the-last-worker broker/agent-queue.c \
        's/return n > 1 \|\| \(n == 1 .*/return n > 0;/' \
        serve/questions_that_hang_leave_other_containers_a_worker

# authority that is lent to resident agents
off loan-policy tools/upcall-request-key/lend.c \
        's/if \(!allowed\(order\)\)/if (false \&\& !allowed(order))/' \
        loan/nothing_is_lent_without_the_clients_own_policy
# Also for types that the kernel parses
off loan-parsed-types tools/upcall-request-key/lend.c \
        's/return !shape_is_parsed\(type\) && policy_has/return policy_has/' \
        loan/types_that_the_kernel_parses_need_another_word
# Into anybody's keyring
off loan-keyring-owner tools/upcall-request-key/lend.c \
        's/return description\.uid == loan->uid \? 0 : -EPERM;/return 0;/' \
        loan/keyring_that_belongs_to_another
# What the agent says is believed
off loan-is-looked-at tools/upcall-request-key/main.c \
        's/return decide_reject\(ENOKEY, RATHER_SOON, "agent-not-answered"\);/return (struct decision){ .action = UPCALL_ACTION_ANSWER, .payload = "" };/' \
        loan/agent_that_lies_has_it_refused
# An agent that instantiates and answers leaves an outcome that nobody knows
off loan-looks-after-an-answer tools/upcall-request-key/main.c \
        's/ \| \(job->lent \? RIGHTS_BUT_LOOK : 0\)//' \
        loan/agent_that_instantiates_and_answers_as_well
# An agent with authority needs no keyring
off loan-needs-a-keyring broker/session-attach.c \
        's/if \(agent->lend && session->keyring == 0\)/if (false)/' \
        loan/agent_without_a_keyring_and_agents_elsewhere
# Nobody else is asked when nothing can be lent
off loan-next-agent broker/upcall-lend.c \
        's/if \(!upcall_fail_over\(upcall, reason\)\)/if (true)/' \
        loan/next_agent_answers_when_nothing_can_be_lent
# ---- least privilege ----------------------------------------------------------------------------------------------------------

# The broker may run programs, enter namespaces and use keys
off broker-dies-of-what-it-never-needs broker/broker-filter.c \
        's/filter_add\(filter, SCMP_ACT_KILL_PROCESS, deadly, ELEMENTS\(deadly\)\)/filter_add(filter, SCMP_ACT_ALLOW, deadly, ELEMENTS(deadly))/' \
        rights/broken_into_broker_dies_of_what_only_an_intruder_wants
# What the broker needs at its start it may do for ever
off broker-second-filter broker/main.c \
        's/r = install_filter\(config->upstream.*;/r = 0;/' \
        rights/broker_has_both_filters_in_every_thread
# The filter is that of one thread
off broker-filter-of-running-threads broker/broker-filter.c \
        's/SCMP_FLTATR_CTL_TSYNC, 1\)/SCMP_FLTATR_CTL_TSYNC, 0)/' \
        unit/test-broker-filter
# Root may have its capabilities back
off broker-securebits broker/privileges.c \
        's/prctl\(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0\) < 0/false/' \
        unit/test-privileges
# What the witness says is not compared with what the broker sees
off witness-is-not-believed broker/witness.c \
        's/r = witness_check\(.*;/r = 0;/' \
        unit/test-witness
# The client keeps root's rights while it obeys
off client-gives-up-its-rights tools/upcall-request-key/main.c \
        's/int r = rights_give_up\(.*\);/int r = 0;/' \
        evil/client_has_no_right_left_when_it_obeys
# The client lets the host answer whoever the broker says
off client-defers-the-hosts-own-alone tools/upcall-request-key/main.c \
        '/^static bool may_defer/,/^}/ s/return job->policy.observe/return true || job->policy.observe/' \
        evil/evil_deferral_gives_a_container_nothing_of_the_hosts
# Who acts for a container is the host's own
off client-knows-who-acts-for-a-container tools/upcall-request-key/upcall.c \
        's/ && !process_in_run_cgroup\(caller->cgroup_path\);/;/' \
        evil/evil_deferral_of_one_that_acts_for_a_container
# The client closes whatever descriptor it gets
off client-leaves-strange-descriptors tools/upcall-request-key/ask.c \
        's/if \(leave_strange\(&conversation->packet\)\)/if ((void) leave_strange, false)/' \
        evil/evil_descriptor_that_cannot_be_closed

# A broker gets the pidfd of a caller that has no number in its pid namespace
off nested-caller-only-to-who-could-open-it broker/session-broker.c \
        's/if \(namespace_id_equal\(chain->ids\[i\], session->facts->pid_ns\.ids\[0\]\)\)/if (true)/' \
        unit/test-broker-nested
# Any agent gets the caller's pidfd
off nested-caller-only-to-brokers broker/session-broker.c \
        's/if \(!session->is_broker \|\| !chain \|\|/if (!chain ||/' \
        unit/test-broker
# A broker in a container does not hear what became of the key
off nested-outcome-is-told broker/session-broker.c \
        's/if \(!session->is_broker \|\| upcall->answered_by\)/if (true)/' \
        nested-broker/ledger_inside_knows_what_became_of_the_key
# A process of the container may be the broker outside
off nested-upstream-is-outside broker/upstream.c \
        's/return peer\.pid == 0 \? 0 : -ELOOP;/return 0;/' \
        nested-broker/upstream_in_the_same_container_is_refused
# It makes its own socket in the folder of the broker outside
off nested-folder-outside-is-not-ours broker/main.c \
        's/if \(strcmp\(outside, folders->agent\) != 0 &&/if (true ||/' \
        nested-broker/upstream_in_the_same_container_is_refused
# The initial namespaces stand for the host in a container, too
off nested-home broker/broker.c \
        's/attribution_index_set_home\(broker->index, pid_ns, user_ns\);/;/' \
        nested-broker/two_levels
# A broker in the host's pid namespace may have an upstream
off nested-home-on-the-host-stays broker/broker.c \
        's/if \(pid_ns\.inode == PROCESS_INIT_PID_NS\) \{/if (false) {/' \
        nested-broker/what_a_broker_in_a_container_cannot_be
# The map of its own user namespace is taken as its parent sees it
off nested-home-has-our-ids broker/container-ids.c \
        's/return attribution_is_home_user_ns\(.*\);/return false;/' \
        nested-broker/two_levels_in_a_user_namespace
# The container itself is registered after those in it
off nested-home-is-registered-first broker/container-register.c \
        's/if \(!\(found & UPCALL_FOUND_PIDNS\) \|\| !is_home\(facts\) \|\|/if (true ||/' \
        nested-broker/container_itself_is_refused_until_it_is_registered
# Root of a user namespace in the container gives orders
off nested-administrator-is-at-home broker/attribution.c \
        's/attribution->entry->pid_ns\.inode == index->home_pid_ns && is_outside_of_namespaces\(facts\)/attribution->entry->pid_ns.inode == index->home_pid_ns/' \
        unit/test-attribution
# It defers where there is nobody to defer to
off nested-defers-nothing broker/upcall-decide.c \
        's/if \(broker->upstream && decision\.action == UPCALL_ACTION_DEFER\)/if (false)/' \
        unit/test-broker-nested
# A question that was withdrawn is not given back
off nested-given-back-once broker/upstream-question.c \
        's/if \(!upcall->given && upstream_fd/if (false \&\& upstream_fd/' \
        unit/test-broker-nested
# Upcalls outlive the broker that asked
off nested-ends-with-the-broker-outside broker/upstream.c \
        's/upstream_end_upcalls\(upstream->broker\);/;/' \
        unit/test-broker-nested
# Missing capabilities are not looked for
off nested-rights-are-looked-at broker/main.c \
        's/return privileges_check_nested\(\);/return 0;/' \
        nested-broker/what_a_broker_in_a_container_cannot_be
# A reload changes what the broker is
off nested-settings-stay broker/reload.c \
        's/if \(r == 0 && !config_same_place/if (false \&\& !config_same_place/' \
        nested-broker/settings_that_need_a_restart_stay
# `audit=none` is taken on a host
off nested-no-records-only-inside broker/config.c \
        's/\{ !nested && config->audit == CONFIG_AUDIT_NONE,/{ false,/' \
        unit/test-config
# Helpers are taken that nobody can start
off nested-starts-no-programs broker/control-agent.c \
        's/if \(control->broker->upstream\)/if (false)/' \
        nested-broker/settings_that_need_a_restart_stay
# ---- who may do what, and what was delegated -----------------------------------------------------------------------------------

# A container's root gives orders without a delegation
off delegation-needed broker/control-request.c \
        's/return control->delegation;/return true;/; s/(return control->who) == RIGHTS_ADMINISTRATOR \|\| control->delegation;/\1 != RIGHTS_OTHER;/' \
        rights/root_of_a_container_with_a_user_namespace_may_do_nothing
# Whoever is in the container is its root
off delegation-roots-uid broker/control-peer.c \
        's/control->peer\.uid == root && by->euid == root/true/' \
        rights/ordinary_user_in_a_container_may_do_nothing
# Root of a user namespace made in a container is the container's
off delegation-roots-namespace broker/control-peer.c \
        's/namespace_id_equal\(by->user_ns\.ids\[0\], container->entry\.user_ns\)/true/' \
        delegation/root_of_a_namespace_of_his_own_is_not_the_containers
# Whoever has a connection counts as who made it
off delegation-sender broker/peer.c \
        's/return sender > 0 && sender == peer->pid/return sender >= 0/' \
        delegation/connection_that_was_passed_on_gives_nothing
# A delegated root can name every container
off delegation-names-within broker/container.c \
        '/^static bool lies_within/,/^}/ s/return !within \|\| .*/return within == within || container;/' \
        delegation/reading_shows_the_container_and_what_is_in_it
# Lists show a delegated root everything
off delegation-sees-within broker/control-peer.c \
        '/^bool control_sees/,/^}/ s/return .*/return control != NULL || container;/' \
        delegation/reading_shows_the_container_and_what_is_in_it
# A cgroup that others are in, too, tells a container apart
off delegation-cgroup-is-shared broker/control-container.c \
        '/^static bool is_cgroup_shared/,/^}/ s/return true;/return false;/' \
        delegation/cgroup_that_is_not_below_the_containers_own_is_no_criterion
# Routes of any type
off delegation-types broker/control-peer.c \
        's/if \(!delegation_covers_route\(.*/if (false)/' \
        delegation/limits_are_kept
# A delegated root lets the host answer
off delegation-never-defers broker/control-peer.c \
        's/control->delegation && route->action == UPCALL_ACTION_DEFER/false/' \
        delegation/limits_are_kept
# A delegated root accepts the shared cache
off delegation-no-shared-cache broker/control-peer.c \
        's/control->delegation && \(route->flags & UPCALL_ROUTE_SHARED_CACHE\)/false/' \
        delegation/what_would_give_more_than_there_is_stays_the_administrators
# A delegated root lets his agents serve others
off delegation-serves-nobody broker/control-peer.c \
        's/control->delegation && control->serves\[0\]/false/' \
        delegation/what_would_give_more_than_there_is_stays_the_administrators
# A delegated root has agents on the host
off delegation-not-on-the-host broker/control-change.c \
        '/^int control_need_place/,/^}/ s/control->who != RIGHTS_ADMINISTRATOR/false/' \
        delegation/what_would_give_more_than_there_is_stays_the_administrators
# A delegated root is shown the routes of containers around
off delegation-routes-around broker/control-route.c \
        's/!control_sees\(control, owner\)/false/' \
        delegation/route_of_a_container_around_is_not_shown
# A delegated root chooses a contid
off delegation-contid broker/control-container.c \
        's/if \(control->delegation && !uuid_is_null\(control->contid\)\)/if (false)/' \
        delegation/limits_are_kept
# As many containers as there can be
off delegation-containers broker/control-peer.c \
        's/delegation_use\(delegation\)\.containers >= delegation->limits\.max_containers/false/' \
        delegation/limits_are_kept
# As deep as there can be
off delegation-depth broker/control-peer.c \
        's/container_levels_below\(delegation->container, parent\) \+ 1 > delegation->limits\.depth/false/' \
        delegation/depth_is_levels_of_containers
# As many agents as there can be
off delegation-agents broker/control-peer.c \
        's/delegation_use\(delegation\)\.agents >= delegation->limits\.max_agents/false/' \
        delegation/limits_of_0_allow_nothing
# What was passed on counts for itself alone
off delegation-counts-above broker/control-peer.c \
        '/^int control_permit_agent/,/^}/ s/delegation = delegation->parent/delegation = NULL/' \
        delegation/no_more_is_passed_on_than_there_is
# More is passed on than there is
off delegation-passes-no-more-on broker/control-delegation.c \
        's/if \(problem \|\| !control->delegation\)/if (true)/' \
        delegation/no_more_is_passed_on_than_there_is
# A delegated root removes what is the administrator's
off delegation-only-what-grew broker/control-peer.c \
        '/^int control_permit_removal/,/^}/ s/\(control->delegation && .*/control->delegation)/' \
        delegation/what_the_administrator_made_stays_his
# What has grown stays until the next start
off delegation-takes-back broker/delegations.c \
        's/return row != 0 && .*/return broker == NULL \&\& row;/' \
        delegation/revoking_takes_what_grew_from_it_and_refuses_what_is_in_flight
# Containers stay active in the registry
off delegation-takes-back-in-the-registry schema/0010-delegation.sql \
        's/UPDATE container SET state = 2.*/UPDATE container SET state = 2 WHERE false;/' \
        unit/test-delegation
# Upcalls go on by a route that was taken back
off delegation-in-flight broker/delegations.c \
        's/upcall_routes_removed\(container, "delegation-ended"\);/;/' \
        delegation/revoking_takes_what_grew_from_it_and_refuses_what_is_in_flight
# A delegation outlives its container
off delegation-ends-with-the-container broker/delegations.c \
        '/^void delegation_container_ended/,/^}/ s/if \(!delegation\)/if (true)/' \
        delegation/end_of_the_container_takes_what_grew_from_it
# Nothing expires
off delegation-expires broker/delegations.c \
        's/else if \(row->limits\.expires > 0\)/else if (false)/' \
        delegation/expiry_takes_what_grew_from_it
# A restart takes all delegations back
off delegation-outlives-the-broker broker/broker.c \
        's/r = delegation_load_all\(broker\);/r = 0;/' \
        delegation/broker_that_starts_again_knows_what_was_delegated
