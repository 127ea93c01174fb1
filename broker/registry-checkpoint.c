/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting the write-ahead log back into the file takes two syncs: a thread with a connection of its own does it, since nobody is answered while the loop waits for
 * a disk. While commits go on it never comes to the end of the log, which can begin anew only there: the loop itself does the last of it then, which is little.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "broker/registry-internal.h"
#include "util/cleanup.h"

/* Frames of the log */
#define DUE 4000     /* since the last time: the thread is asked */
#define OVERDUE 8000 /* in all: the loop does it, too, */
#define CATCH_UP 64  /* so many after the thread was asked */

struct Checkpointer {
        sqlite3 *db;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool wanted, stopping;
};

/* What cannot be done now is done later: readers elsewhere and full disks must not fail a commit that is safe in the log already. */
static void checkpoint(sqlite3 *db) {
        (void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static void *checkpointer_run(void *argument) {
        Checkpointer *checkpointer = argument;

        (void) pthread_setname_np(pthread_self(), "checkpointer");
        (void) pthread_mutex_lock(&checkpointer->lock);
        while (!checkpointer->stopping) {
                if (!checkpointer->wanted) {
                        (void) pthread_cond_wait(&checkpointer->changed, &checkpointer->lock);
                        continue;
                }
                checkpointer->wanted = false;
                (void) pthread_mutex_unlock(&checkpointer->lock);
                checkpoint(checkpointer->db);
                (void) pthread_mutex_lock(&checkpointer->lock);
        }
        (void) pthread_mutex_unlock(&checkpointer->lock);
        return NULL;
}

static void tell(Checkpointer *checkpointer, bool *what) {
        (void) pthread_mutex_lock(&checkpointer->lock);
        *what = true;
        (void) pthread_cond_signal(&checkpointer->changed);
        (void) pthread_mutex_unlock(&checkpointer->lock);
}

static int start_thread(Checkpointer *checkpointer) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of the program ever runs in it */
        if (r > 0)
                return -r;
        r = pthread_create(&checkpointer->thread, NULL, checkpointer_run, checkpointer);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

/* The file has its log already. That one is there a connection learns when it reads. */
static int open_connection(Registry *registry, const char *path, sqlite3 **ret_db) {
        int code;

        code = sqlite3_open_v2(path, ret_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_exec(*ret_db, "PRAGMA user_version", NULL, NULL, NULL);
        return code == SQLITE_OK ? 0 : registry_fail(registry, code, "opening the registry");
}

static Checkpointer *checkpointer_destroy(Checkpointer *checkpointer) {
        (void) sqlite3_close_v2(checkpointer->db);
        (void) pthread_cond_destroy(&checkpointer->changed);
        (void) pthread_mutex_destroy(&checkpointer->lock);
        free(checkpointer);
        return NULL;
}

int checkpointer_new(Registry *registry, const char *path, Checkpointer **ret_checkpointer) {
        Checkpointer *checkpointer = calloc(1, sizeof(*checkpointer));
        int r;

        if (!checkpointer)
                return -ENOMEM;
        (void) pthread_mutex_init(&checkpointer->lock, NULL);
        (void) pthread_cond_init(&checkpointer->changed, NULL);
        r = open_connection(registry, path, &checkpointer->db);
        if (r >= 0) {
                r = start_thread(checkpointer);
                if (r < 0)
                        r = registry_refuse(registry, r, "opening the registry", "there can be no more threads: raise the limit of tasks");
        }
        if (r < 0) {
                checkpointer_destroy(checkpointer);
                return r;
        }
        *ret_checkpointer = checkpointer;
        return 0;
}

Checkpointer *checkpointer_free(Checkpointer *checkpointer) {
        if (!checkpointer)
                return NULL;
        tell(checkpointer, &checkpointer->stopping);
        (void) pthread_join(checkpointer->thread, NULL);
        return checkpointer_destroy(checkpointer);
}

void registry_checkpoint(Registry *registry) {
        bool overdue = registry->wal_frames >= OVERDUE;

        if (!sqlite3_get_autocommit(registry->db))
                return; /* within a transaction there is none; its commit asks again */
        if (registry->wal_frames < registry->wal_frames_tried)
                registry->wal_frames_tried = 0; /* the log began anew */
        if (registry->wal_frames - registry->wal_frames_tried < (overdue ? CATCH_UP : DUE))
                return;
        if (overdue && registry->wal_frames_tried >= OVERDUE)
                checkpoint(registry->db);
        else
                tell(registry->checkpointer, &registry->checkpointer->wanted);
        registry->wal_frames_tried = registry->wal_frames;
}
