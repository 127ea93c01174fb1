# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of ./check
# Installing and the distribution.

# All of the machine that our files could end up in by mistake.
machine_state() {
        find /etc/request-key.d /etc/request-key.conf /sbin/request-key /etc/upcalld /usr/lib/systemd/system /usr/lib/sysusers.d \
                /usr/lib/tmpfiles.d /usr/local /usr/share/bash-completion /usr/share/man /usr/include/upcall /usr/sbin /usr/bin \
                /usr/libexec -newerct "@$1" ! -type d -printf '%p %s %T@ %M %l\n' 2>/dev/null | sort
        ls -ld /etc/request-key.d /sbin/request-key /sbin/upcall-request-key /run/upcalld /var/lib/upcalld /etc/upcalld 2>/dev/null
        ls -l /etc/request-key.d 2>/dev/null
        getent passwd upcalld
        getent group upcalld
        return 0
}

locked() { # COMMAND…: while nobody else changes the machine
        if [[ $(id -u) != 0 ]]; then
                "$@"
                return
        fi
        local lock
        exec {lock}>>/run/lock/upcalld-machine.lock || return 1
        flock -w 600 "$lock" || {
                echo "somebody held /run/lock/upcalld-machine.lock for ten minutes"
                return 1
        }
        "$@" {lock}>&-
}

distribution_check() {
        local begin
        build_configure build-dist || return 1
        begin=$(date +%s)
        machine_state "$begin" >build-dist/machine.before
        make -C build-dist -j"$jobs" distcheck DISTCHECK_CONFIGURE_FLAGS= || return 1
        machine_state "$begin" >build-dist/machine.after
        # others could have changed it where nothing was locked, and only root can
        [[ $(id -u) != 0 ]] || diff -u build-dist/machine.before build-dist/machine.after || {
                echo "make distcheck changed the machine"
                return 1
        }
}

# What systemd says of the units as they are made; also without systemd as the first process. It looks whether the program is there.
units_check() {
        local folder=build/check-units unit said status
        command -v systemd-analyze >/dev/null || {
                echo "no systemd-analyze"
                return 77
        }
        build_make build all || return 1
        rm -rf "$folder" && mkdir "$folder" || return 1
        for unit in build/conf/*.{service,socket,path}; do
                sed -e "s,=\\(!*\\)/usr/sbin/upcalld\$,=\\1$src/build/broker/upcalld," -e "s,=/usr/sbin/upcallctl ,=$src/build/tools/upcallctl/upcallctl ," "$unit" >"$folder/${unit##*/}" || return 1
        done
        grep -qF "$src/build/broker/upcalld" "$folder/upcalld.service" || return 1
        said=$(systemd-analyze verify --man=no "$folder"/* 2>&1)
        status=$?
        echo "$said"
        # of other units on this machine it may say what it likes
        ((status == 0)) && ! grep -q upcalld <<<"$said" || return 1
        # below 2.0 of 10; what is left is in the unit, with its reason
        systemd-analyze security --offline=true --no-pager --threshold=19 "$folder/upcalld.service"
}

# The profiles as they are made. Nothing is loaded.
apparmor_check() {
        local parser profile
        parser=$(PATH=$PATH:/sbin:/usr/sbin command -v apparmor_parser) || {
                echo "no apparmor_parser"
                return 77
        }
        build_make build all || return 1
        for profile in build/conf/apparmor.d/*; do
                "$parser" --skip-kernel-load --skip-cache "$profile" || return 1
        done
}

distribution_steps() {
        step distribution/units units_check
        step distribution/apparmor apparmor_check
        step distribution/distcheck locked distribution_check
}
