/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose turn it is when several containers want the same agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/agent-queue.h"
#include "broker/session.h"
#include "broker/upcall.h"

#define UPCALLS_MAX 16

/* An agent of container 0 with one connection, which serves the others, too */
struct world {
        Broker broker;
        Container containers[3];
        Container *serves[2];
        Agent agent;
        Session session;
        Upcall upcalls[UPCALLS_MAX];
        size_t n_upcalls;
};

static int setup(void **state) {
        struct world *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        TAILQ_INIT(&world->broker.containers);
        for (size_t i = 0; i < ELEMENTS(world->containers); i++) {
                world->containers[i].row = (int64_t) i + 1;
                TAILQ_INSERT_TAIL(&world->broker.containers, &world->containers[i], link);
        }
        world->serves[0] = &world->containers[1];
        world->serves[1] = &world->containers[2];
        world->agent.broker = &world->broker;
        world->agent.container = &world->containers[0];
        world->agent.serves = world->serves;
        world->agent.n_serves = 2;
        TAILQ_INIT(&world->agent.sessions);
        TAILQ_INIT(&world->agent.waiting);
        TAILQ_INIT(&world->session.asked);
        world->session.agent = &world->agent;
        world->session.workers = 1;
        TAILQ_INSERT_TAIL(&world->agent.sessions, &world->session, link);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        struct world *world = *state;

        free(world->agent.had_turn);
        free(world);
        return 0;
}

/* Containers by their number, one upcall each */
static void add(struct world *world, const char *containers) {
        for (; *containers != '\0'; containers++) {
                Upcall *upcall = &world->upcalls[world->n_upcalls++];

                assert_true(world->n_upcalls <= UPCALLS_MAX);
                upcall->container = &world->containers[*containers - '0'];
                agent_queue_add(&world->agent, upcall);
        }
}

/* Whose upcall is taken; '-': nobody's */
static char take(struct world *world) {
        Upcall *upcall = agent_queue_take(&world->agent);

        return upcall ? (char) ('0' + (upcall->container - world->containers)) : '-';
}

static void expect_turns(struct world *world, const char *wanted) {
        char turns[UPCALLS_MAX + 1] = "";

        for (size_t i = 0; wanted[i] != '\0'; i++)
                turns[i] = take(world);
        assert_string_equal(turns, wanted);
}

/* The agent is at work for a container */
static Upcall *work_for(struct world *world, size_t container) {
        Upcall *upcall = &world->upcalls[world->n_upcalls++];

        upcall->container = &world->containers[container];
        TAILQ_INSERT_TAIL(&world->session.asked, upcall, agent_link);
        world->session.n_asked++;
        return upcall;
}

static void end_work(struct world *world, Upcall *upcall) {
        TAILQ_REMOVE(&world->session.asked, upcall, agent_link);
        world->session.n_asked--;
}

static void test_containers_take_turns(void **state) {
        add(*state, "000001122");
        expect_turns(*state, "012012000-");
}

static void test_order_of_arrival_is_kept_within_a_container(void **state) {
        struct world *world = *state;

        add(world, "0010");
        assert_ptr_equal(agent_queue_take(&world->agent), &world->upcalls[0]);
        assert_ptr_equal(agent_queue_take(&world->agent), &world->upcalls[2]);
        assert_ptr_equal(agent_queue_take(&world->agent), &world->upcalls[1]);
        assert_ptr_equal(agent_queue_take(&world->agent), &world->upcalls[3]);
}

static void test_who_comes_late_need_not_wait_for_a_flood(void **state) {
        add(*state, "000000");
        expect_turns(*state, "000");
        add(*state, "1");
        expect_turns(*state, "1000-");
}

static void test_who_asks_again_at_once_gets_no_more_turns(void **state) {
        add(*state, "01111");
        expect_turns(*state, "01");
        for (int i = 0; i < 3; i++) {
                add(*state, "0");
                expect_turns(*state, "10");
        }
}

/* Each asks again when the other one has its turn: the third one is not forgotten for that */
static void test_two_that_play_into_each_others_hands(void **state) {
        add(*state, "02111");
        expect_turns(*state, "021");
        add(*state, "0");
        expect_turns(*state, "1");
        add(*state, "2");
        expect_turns(*state, "0");
        add(*state, "0");
        expect_turns(*state, "21");
}

/* An upcall that need not wait is a turn as any other */
static void test_who_need_not_wait_has_had_its_turn(void **state) {
        struct world *world = *state;

        agent_queue_pass(&world->agent, &world->containers[0]);
        add(world, "01");
        expect_turns(world, "10");
}

/* Who was away for long has no turns to make up for */
static void test_absence_earns_nothing(void **state) {
        add(*state, "00000");
        expect_turns(*state, "00000-");
        add(*state, "1010");
        expect_turns(*state, "1010-");
}

static void test_nobody_is_taken_without_a_worker(void **state) {
        struct world *world = *state;

        add(world, "01");
        world->session.workers = 0;
        expect_turns(world, "-");
        world->session.workers = 1;
        expect_turns(world, "01-");
}

/* What hangs in the agent's hands is one container's, and the last worker another's */
static void test_last_worker_is_kept_for_another_container(void **state) {
        struct world *world = *state;
        Upcall *working[2];

        world->session.workers = 3;
        add(world, "000");
        expect_turns(world, "0");
        working[0] = work_for(world, 0);
        expect_turns(world, "0");
        working[1] = work_for(world, 0);
        expect_turns(world, "-");
        assert_false(agent_may_work_for(&world->agent, &world->containers[0]));
        assert_true(agent_may_work_for(&world->agent, &world->containers[1]));
        add(world, "1");
        expect_turns(world, "1");
        end_work(world, working[1]);
        expect_turns(world, "0");
}

static void test_agent_of_one_container_alone_has_all_its_workers(void **state) {
        struct world *world = *state;

        world->agent.n_serves = 0;
        world->session.workers = 2;
        add(world, "00");
        (void) work_for(world, 0);
        expect_turns(world, "0");
        /* a container in it may have a route to it */
        world->containers[2].parent = &world->containers[0];
        expect_turns(world, "-");
        add(world, "2");
        expect_turns(world, "2");
}

/* One of the host, which is in no container */
static void test_agent_of_the_host(void **state) {
        struct world *world = *state;

        world->agent.container = NULL;
        world->session.workers = 2;
        (void) work_for(world, 1);
        add(world, "112");
        expect_turns(world, "2-");
        world->agent.n_serves = 1;
        expect_turns(world, "1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_containers_take_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(test_order_of_arrival_is_kept_within_a_container, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_comes_late_need_not_wait_for_a_flood, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_asks_again_at_once_gets_no_more_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_that_play_into_each_others_hands, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_need_not_wait_has_had_its_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_absence_earns_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_is_taken_without_a_worker, setup, teardown),
                cmocka_unit_test_setup_teardown(test_last_worker_is_kept_for_another_container, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_of_one_container_alone_has_all_its_workers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_agent_of_the_host, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
