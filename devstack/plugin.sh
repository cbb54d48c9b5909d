#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What DevStack calls, and when; the functions are in lib/membuddies.

_XTRACE_MEMBUDDIES_PLUGIN=$(set +o | grep xtrace)
set +o xtrace

source "$MEMBUDDIES_DIR"/devstack/lib/membuddies

$_XTRACE_MEMBUDDIES_PLUGIN

if is_service_enabled "${MEMBUDDIES_SERVICES[@]}" n-sch; then
    if [[ "$1" == "stack" && "$2" == "pre-install" ]]; then
        check_membuddies_settings
    elif [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing Memory Buddies"
        install_membuddies
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring Memory Buddies"
        configure_membuddies
        if is_service_enabled n-sch; then
            configure_membuddies_scheduler
        fi
        if is_service_enabled membuddies-controller; then
            create_membuddies_accounts
            init_membuddies
        fi
    elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
        echo_summary "Starting Memory Buddies"
        start_membuddies
    elif [[ "$1" == "stack" && "$2" == "test-config" ]]; then
        if is_service_enabled membuddies-controller; then
            check_membuddies_tables
        fi
    fi
fi

if [[ "$1" == "unstack" ]]; then
    stop_membuddies
fi

if [[ "$1" == "clean" ]]; then
    cleanup_membuddies
fi
