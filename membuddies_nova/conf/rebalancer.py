# SPDX-License-Identifier: Apache-2.0
"""Options of the rebalancer: when it may act, how much at once, and as whom.

For operators of ``membuddies-rebalancer``. Besides the options here the group
takes keystoneauth's own (``auth_type``, ``auth_url``, ``cafile``, ``timeout``
and those of the chosen ``auth_type``).
"""

from oslo_config import cfg

from membuddies_nova import cluster, plan
from membuddies_nova.conf import cloud

GROUP = "rebalancer"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "mode",
        mutable=True,
        default="observe",
        choices=[
            ("observe", "compute and store plans; they cannot be approved"),
            ("recommend", "run a plan only after `membuddies plan approve ID`"),
            ("auto", "run plans as they are made, within caps and `auto_windows`"),
        ],
        help="What becomes of a plan. `auto` acts as `recommend` outside of its "
        "windows, after two failed migrations in a row (a later success ends that) "
        "and while any guest on a host is in ERROR.",
    ),
    cfg.StrOpt(
        "goal",
        mutable=True,
        default=plan.Goal.SHARE.value,
        choices=[
            (plan.Goal.SHARE.value, "free memory where guests run"),
            (plan.Goal.CONSOLIDATE.value, "empty hosts"),
            (plan.Goal.RELIEVE.value, "help hosts under memory pressure"),
        ],
        help="What plans are for.",
    ),
    cfg.StrOpt(
        "scope",
        mutable=True,
        default=cluster.Scope.PROJECT.value,
        choices=[
            (cluster.Scope.PROJECT.value, "between guests of one project"),
            (
                cluster.Scope.GROUP.value,
                "between guests whose flavor names one membuddies:trust_group; "
                "guests without one: as project",
            ),
            (cluster.Scope.GLOBAL.value, "between all guests"),
        ],
        help="How far sharing counts in a decision. With `global` a tenant's content "
        "decides beside whom it runs, which tells tenants about each other.",
    ),
    cfg.BoolOpt(
        "ksm_isolation",
        mutable=True,
        default=False,
        help="Whether KsmIsolationFilter is enabled in nova-scheduler. Plans then "
        "hold no move that it would refuse; without this such moves fail.",
    ),
    cfg.FloatOpt(
        "period_seconds",
        mutable=True,
        default=600,
        min=1,
        help="Seconds between two plans. None is made while one runs.",
    ),
    cfg.IntOpt(
        "max_moves_per_plan",
        mutable=True,
        default=10,
        min=1,
        help="The most live migrations that one plan may hold.",
    ),
    cfg.FloatOpt(
        "min_gain_mb",
        mutable=True,
        default=16,
        min=0,
        help="A migration is planned only if it frees more than this, by the lower "
        "bound of the estimate.",
    ),
    cfg.FloatOpt(
        "cooldown_seconds",
        mutable=True,
        default=3600,
        min=0,
        help="A guest stays this long where a migration has brought it.",
    ),
    cfg.FloatOpt(
        "cycle_seconds",
        mutable=True,
        default=7 * 24 * 3600,
        min=0,
        help="For this long no plan takes a guest back to a host that an earlier "
        "plan took it from, so that two plans never undo each other in turns.",
    ),
    cfg.FloatOpt(
        "copy_hours",
        mutable=True,
        default=0.1,
        min=0,
        help="For how many hours one MB must stay saved to be worth copying one MB. "
        "How long a saving lasts is judged by the guest's age and how fast its memory "
        "changes: 20 hours for a guest that has run for a day and of which 5 % change "
        "in an hour, so that with 0.1 a migration that copies 1024 MB has to save 5 MB "
        "besides `min_gain_mb`; one hour for a guest that has run for an hour, and "
        "102 MB. Raise it where migrations hurt more, 0 counts them as free.",
    ),
    cfg.FloatOpt(
        "pressure",
        mutable=True,
        default=0.1,
        min=0,
        max=1,
        help="With goal `relieve`: hosts whose kernel stalls for memory at least this "
        "part of the time (PSI memory some avg60 / 100) get relief, and no guest is "
        "moved to them.",
    ),
    cfg.IntOpt(
        "max_moves_per_source",
        mutable=True,
        default=1,
        min=1,
        help="The most migrations that may leave one host at a time. Nova's own and "
        "other users' migrations count too, here and in the next three options.",
    ),
    cfg.IntOpt(
        "max_moves_per_destination",
        mutable=True,
        default=1,
        min=1,
        help="The most migrations that may enter one host at a time.",
    ),
    cfg.IntOpt(
        "max_moves_in_total",
        mutable=True,
        default=2,
        min=1,
        help="The most migrations that may be under way in the whole cloud when a "
        "move starts.",
    ),
    cfg.IntOpt(
        "max_moves_per_hour",
        mutable=True,
        default=20,
        min=1,
        help="No move starts when this many live migrations were started within the "
        "last hour.",
    ),
    cfg.ListOpt(
        "auto_windows",
        mutable=True,
        default=[],
        sample_default=["Mon-Fri 22:00-05:00", "Sat-Sun 00:00-24:00"],
        help="When `auto` may start moves: days and times of day in UTC, separated "
        "by commas. A window that ends before it starts reaches into the next day. "
        "Empty: never.",
    ),
    cfg.StrOpt(
        "on_failure",
        mutable=True,
        default="continue",
        choices=[
            ("continue", "later moves from or to the same hosts are skipped"),
            ("stop", "all moves of the plan that have not started are skipped"),
        ],
        help="What happens to the rest of a plan after a move that failed.",
    ),
    cfg.FloatOpt(
        "inventory_max_age_seconds",
        mutable=True,
        default=300,
        min=1,
        help="No plan is made from an inventory older than this. Moves start only "
        "on an inventory no older than a minute, whatever this says.",
    ),
    cfg.FloatOpt(
        "lease_seconds",
        default=30,
        min=1,
        help="How long a leader that has died keeps the others waiting. It is "
        "renewed three times within that time. The clocks of all rebalancers must "
        "agree to a fraction of it.",
    ),
    cfg.FloatOpt(
        "poll_seconds",
        mutable=True,
        default=2,
        min=0.05,
        help="Seconds between two looks at Nova while migrations are under way, and "
        "at the database for plans that were approved, cancelled or paused.",
    ),
    cfg.FloatOpt(
        "record_wait_seconds",
        default=120,
        min=1,
        help="How long to look for Nova's migration record when the answer to a "
        "request was lost. After that the move counts as failed; it is never "
        "requested again. Longer than Nova's longest stall between accepting a "
        "request and its conductor taking it up.",
    ),
    cfg.FloatOpt(
        "settle_seconds",
        default=60,
        min=1,
        help="How long after a migration's end its guest may take to be ACTIVE "
        "without a task on its new host before the move counts as failed.",
    ),
    cfg.StrOpt(
        "host",
        help="The name under which `membuddies status` shows this rebalancer. Left "
        "out: the machine's host name. Differs between rebalancers.",
    ),
    *cloud.options(),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the group known to ``conf``."""
    conf.register_opts(OPTIONS, group=GROUP)
