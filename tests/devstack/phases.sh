#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs our part of stack.sh, unstack.sh or clean.sh: their order and DevStack's own
# functions, without the parts that install and start OpenStack.
#
# phases.sh DEVSTACK_COPY stack|unstack|clean
#
# DevStack's files lie elsewhere, and use variables of this one:
# shellcheck disable=SC1090,SC1091,SC2034
set -o errexit

TOP_DIR=$1
MODE=$2
FILES=$TOP_DIR/files
unset LANG LANGUAGE
LC_ALL=C
export LC_ALL

cd "$TOP_DIR"
source "$TOP_DIR/functions"
GetDistro
extract_localrc_section "$TOP_DIR/local.conf" "$TOP_DIR/localrc" \
    "$TOP_DIR/.localrc.auto"
source "$TOP_DIR/stackrc"
disable_negated_services
mkdir -p "$DEST" "$DATA_DIR"
async_init > /dev/null
source "$TOP_DIR/lib/database"
source "$TOP_DIR/lib/rpc_backend"
source "$TOP_DIR/lib/host"
if [[ $MODE == stack ]]; then
    fetch_plugins
fi
run_phase override_defaults
for library in apache tls infra libraries lvm horizon keystone glance nova placement \
    cinder swift ldap dstat atop tcpdump etcd3 os-vif; do
    source "$TOP_DIR/lib/$library"
done
run_phase source
if initialize_database_backends; then
    define_database_baseurl
fi

# Apache is not there.
function write_uwsgi_config {
    :
}

# DevStack's own way to start the client once for all commands, as that takes longer
# than a command. Its unit would not be started here, and its socket's path is one for
# the whole machine.
function start_cli_server {
    local server=$FILES/openstack-cli-server
    local python
    python=$(dirname "$(readlink -f "$(type -p openstack)")")/python
    sed -i "s|/tmp/openstack.sock|$TOP_DIR/openstack.sock|" "$server"/*
    "$python" -W ignore "$server"/openstack-cli-server &> "$TOP_DIR/cli-server.log" &
    # shellcheck disable=SC2064  # the process that was started just now
    trap "kill $!" EXIT
    until [[ -S $TOP_DIR/openstack.sock ]]; do
        kill -0 $!
        sleep 0.1
    done
    PATH=$server:$PATH
}

function stack {
    echo "PACKAGES $(get_plugin_packages | tr '\n' ' ')"
    run_phase stack pre-install

    PYTHON=$(type -p "python$PYTHON3_VERSION")
    export PYTHON
    if [[ $GLOBAL_VENV == True ]]; then
        setup_devstack_virtualenv
    fi
    run_phase stack install

    if is_service_enabled rabbit; then
        rabbit_setuser "$RABBIT_USERID" "$RABBIT_PASSWORD"
    fi
    if is_service_enabled key; then
        write_clouds_yaml
        export OS_CLOUD=devstack-admin
        start_cli_server
    fi
    sudo mkdir -p "$NOVA_CONF_DIR" "$PLACEMENT_CONF_DIR"
    create_nova_conf
    run_phase stack post-config
    merge_config_group "$TOP_DIR/local.conf" post-config

    start_nova_compute
    run_phase stack extra
    run_phase stack test-config
}

# As in stack.sh, whose log shows every step.
set -o xtrace
case $MODE in
    stack)
        stack
        ;;
    unstack | clean)
        run_phase "$MODE"
        ;;
esac
