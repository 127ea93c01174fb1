# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# KDC, Samba and the kernel's NFS server, all on the guest itself, at 10.99.0.1, which containers reach over a bridge. Sourced by guest/tests, which
# starts what a file of tests needs once: servers_start NAME…
readonly SERVER=server.test.lan SERVER_IP=10.99.0.1 REALM=TEST.LAN
readonly USERS=(alice bob carol hostuser)

servers_network() {
        hostname "$SERVER"
        ip link add br0 type bridge && ip addr add "$SERVER_IP/24" dev br0 && ip link set br0 up
        printf '127.0.0.1 localhost\n%s %s server\n' "$SERVER_IP" "$SERVER" > /etc/hosts
}

servers_users() {
        local user number=1000
        for user in "${USERS[@]}"; do
                number=$((number + 1))
                echo "$user:x:$number:$number::/home/$user:/bin/sh" >> /etc/passwd
                echo "$user:x:$number:" >> /etc/group
        done
}

servers_kdc() {
        cat > /etc/krb5.conf <<END
[libdefaults]
        default_realm = $REALM
        dns_lookup_kdc = false
        dns_lookup_realm = false
        dns_canonicalize_hostname = false
        rdns = false
        default_ccache_name = FILE:/tmp/krb5cc_%{uid}
[realms]
        $REALM = {
                kdc = $SERVER_IP
                disable_pac = true
        }
[domain_realm]
        .test.lan = $REALM
END
        mkdir -p /etc/krb5kdc
        printf '[realms]\n\t%s = {\n\t\tdisable_pac = true\n\t\tsupported_enctypes = aes256-cts:normal\n\t}\n' "$REALM" > /etc/krb5kdc/kdc.conf
        kdb5_util create -s -r "$REALM" -P master
        {
                printf 'addprinc -pw secret %s\n' "${USERS[@]}"
                printf 'addprinc -randkey %s\n' "cifs/$SERVER" "host/$SERVER"
                printf 'ktadd -k /etc/krb5.keytab %s\n' "cifs/$SERVER" "host/$SERVER"
        } | kadmin.local
        krb5kdc
}

servers_samba() {
        local user
        mkdir -p /srv/share /var/log/samba /run/samba
        chmod 1777 /srv/share
        cat > /etc/samba/smb.conf <<END
[global]
        realm = $REALM
        workgroup = TEST
        server role = standalone server
        security = user
        kerberos method = dedicated keytab
        dedicated keytab file = /etc/krb5.keytab
        load printers = no
        disable spoolss = yes
        disable netbios = yes
        log level = 1 auth_audit:4
        log file = /var/log/samba/smbd.log
        max log size = 0
[share]
        path = /srv/share
        read only = no
        create mask = 0644
END
        for user in "${USERS[@]}"; do
                printf 'secret\nsecret\n' | smbpasswd -s -a "$user"
        done
        smbd -D
}

# Whoever looks into /elsewhere is sent on to files.test.lan.
servers_nfs() {
        mkdir -p /srv/nfs/{files,elsewhere} /var/lib/nfs/{rpc_pipefs,v4recovery}
        chmod 1777 /srv/nfs/files
        modprobe -a nfsd nfs nfsv4
        echo N > /sys/module/nfs/parameters/nfs4_disable_idmapping
        echo N > /sys/module/nfsd/parameters/nfs4_disable_idmapping
        mount -t rpc_pipefs sunrpc /var/lib/nfs/rpc_pipefs
        mount -t nfsd nfsd /proc/fs/nfsd
        printf '[General]\nDomain = test.lan\n[Mapping]\nNobody-Group = nogroup\n' > /etc/idmapd.conf
        mount --bind /srv/nfs/elsewhere /srv/nfs/elsewhere
        cat > /etc/exports <<END
/srv/nfs *(rw,no_root_squash,no_subtree_check,sec=sys,fsid=0)
/srv/nfs/elsewhere *(rw,no_subtree_check,sec=sys,fsid=1,refer=/files@files.test.lan)
END
        rpc.idmapd -S
        exportfs -ra
        rpc.mountd -N 2 -N 3
        rpc.nfsd -N 3 -G 10 -L 10 2
        # no client was there before
        echo Y > /proc/fs/nfsd/v4_end_grace
}

# Those that are given, once
servers_start() {
        local name
        for name; do
                [[ ! -e /run/vm-$name ]] || continue
                : > "/run/vm-$name"
                "servers_$name" > "$KERNEL_WORK/server.$name" 2>&1 || { cat "$KERNEL_WORK/server.$name"; fail "server $name does not start"; }
        done
}
