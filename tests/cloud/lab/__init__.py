# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack with three compute hosts on one small machine.

For the cloud tests and the demo.  RabbitMQ, MariaDB, memcached, Keystone, Glance,
Placement, Nova, libvirt and QEMU run as an operator would run them, each host in
namespaces of its own; only the network service is a stub (:mod:`.network_stub`), and
each host's memory size, as libvirt reads it, is made up (:mod:`.compute`).  There is
one kernel, so KSM's, PSI's and swap's counters, and /proc/meminfo, are the machine's.

By hand: ``make cloud-up``, ``build/cloud/lab/enter openstack server list``,
``make cloud-down``; or ``python -m tests.cloud.lab up|down|status [--name NAME]``.

In a test (the fixture ``cloud`` is such a :class:`.cloud.Cloud`)::

    from tests.cloud.lab.cloud import Cloud
    from tests.cloud.lab.images import GuestImage

    cloud = Cloud()
    cloud.up(print)
    with cloud.inside():            # only inside can its services be reached
        guests = cloud.guests("red")                # a tenant
        image = GuestImage("database", base="debian-12")
        one = guests.boot("one", image, host="lab-c1")
        two = guests.start("two", image)            # the scheduler chooses
        guests.wait_until_ready([two])
        migration = guests.live_migrate(one, "compute-three")
        with cloud.ksm.merging() as ksm:
            ksm.wait_until_converged()
            print(cloud.frames()["compute-three"].mb)
        guests.delete([one, two])
        cloud.connect("reader").compute.servers(all_projects=True)
    cloud.start_service("agent-c1", ["membuddies-agent", ...], where="c1")
    cloud.run(["virsh", "list"], where="c1").stdout
    cloud.configure_scheduler(workers=2, extra="[filter_scheduler]\\n...")
    cloud.down()

Hosts, as Nova spells them: ``lab-c1``, ``lab-c2``, ``compute-three``; the machines
they are on: ``c1``, ``c2``, ``c3``; the control plane's: ``ctl``.  Logins:
:mod:`.identity`.  For services of our own: the broker's virtual host ``membuddies``
(:func:`.layout.transport_url`) and the database ``membuddies``
(:func:`.layout.database_url`), each with a user of that name.
"""
