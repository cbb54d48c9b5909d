# SPDX-License-Identifier: Apache-2.0
"""Messages: what is written is read, what cannot be true is refused by name."""

import base64
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.bus import fields, messages
from membuddies_nova.bus.messages import (
    MAX_BODY_BYTES,
    MAX_GUESTS,
    MESSAGE_VERSION,
    Outcome,
    Report,
    ReportAnswer,
    ScoreboardAnswer,
    ScoreboardRequest,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.cluster import KsmState
from membuddies_nova.exceptions import MessageError
from membuddies_nova.facts import (
    MAX_CHANGES_PER_HOUR,
    Cause,
    GuestFacts,
    HostFacts,
    KsmFacts,
    Number,
    Reason,
    Source,
    Wanted,
)
from membuddies_nova.fingerprint import codec

GUEST = "6f0c2f3e-0000-4000-8000-000000000001"

uuids = st.uuids().map(str)
digests = st.binary(max_size=9).map(codec.digest)
counts = st.integers(0, 2**63 - 1)
moments = st.floats(0, 2**40)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=255)
reasons = st.text(st.characters(codec="utf-8"), max_size=messages.MAX_REASON)

guest_facts = st.one_of(
    st.builds(
        GuestFacts,
        uuid=uuids,
        counter=counts,
        digest=digests,
        scanned_at=moments,
        change_fraction_per_hour=st.none() | st.floats(0, MAX_CHANGES_PER_HOUR),
    ),
    st.builds(GuestFacts, uuid=uuids, reason=st.sampled_from(Reason)),
)


@st.composite
def host_facts(draw):
    total, swap = draw(counts), draw(counts)
    return HostFacts(
        mem_total_bytes=total,
        mem_available_bytes=draw(st.integers(0, total)),
        swap_total_bytes=swap,
        swap_free_bytes=draw(st.integers(0, swap)),
        memory_pressure=draw(st.none() | st.floats(0, 1)),
        kernel=draw(st.none() | st.just("6.1")),
        ksm=KsmFacts(
            state=draw(st.sampled_from(KsmState)), run=draw(st.none() | counts)
        ),
    )


@st.composite
def store_requests(draw):
    body = draw(st.binary(max_size=300))
    return StoreRequest(
        host=draw(names),
        guest=draw(uuids),
        number=Number(draw(counts), draw(counts)),
        digest=codec.digest(body),
        scanned_at=draw(moments),
        body=body,
    )


values = st.one_of(
    st.builds(
        Report,
        host=names,
        number=st.builds(Number, counts, counts),
        guests=st.lists(guest_facts, max_size=5, unique_by=lambda g: g.uuid).map(tuple),
        facts=host_facts(),
        sent_at=moments,
    ),
    store_requests(),
    st.builds(ScoreboardRequest, host=names, board_version=st.none() | digests),
    st.builds(
        ReportAnswer,
        outcome=st.sampled_from(Outcome),
        wanted=st.lists(
            st.builds(Wanted, uuids, st.sampled_from(Cause)), max_size=4
        ).map(tuple),
        sources=st.dictionaries(uuids, st.sampled_from(Source), max_size=4),
        slow_down_seconds=moments,
        reason=reasons,
    ),
    st.builds(StoreAnswer, outcome=st.sampled_from(Outcome), reason=reasons),
    st.builds(
        ScoreboardAnswer, version=digests, body=st.none() | st.binary(max_size=50)
    ),
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


def over_the_wire(value):
    """As oslo.messaging carries it: JSON text."""
    return json.loads(json.dumps(value.to_json()))


@given(values)
def test_what_is_written_is_read(value):
    assert type(value).from_json(over_the_wire(value)) == value


@given(values)
def test_a_neighbour_version_with_more_keys_is_understood(value):
    newer = {**over_the_wire(value), "version": MESSAGE_VERSION + 1, "new": [1]}
    assert type(value).from_json(newer) == value


@given(values, st.sampled_from([0, MESSAGE_VERSION + 2, 10**9]))
def test_any_other_version_is_refused(value, version):
    with pytest.raises(MessageError, match="upgrade one version at a time") as error:
        type(value).from_json({**over_the_wire(value), "version": version})
    assert error.value.field == "version"


@given(values, st.data())
def test_whatever_stands_in_a_field_is_read_or_refused_by_name(value, data):
    message = over_the_wire(value)
    name = data.draw(st.sampled_from(sorted(message)))
    if data.draw(st.booleans()):
        message[name] = data.draw(anything)
    else:
        del message[name]
    problem = None
    try:
        type(value).from_json(message)
    except MessageError as error:
        problem = str(error)
    if problem is not None:
        assert problem.startswith("message field '")
        assert "\n" not in problem


@given(anything)
def test_what_is_no_message_is_refused(value):
    for kind in (Report, StoreRequest, ScoreboardRequest, ReportAnswer, StoreAnswer):
        with pytest.raises(MessageError):
            kind.from_json(value)


@pytest.fixture
def request_json():
    body = b"fingerprint"
    return StoreRequest(
        host="h1",
        guest=GUEST,
        number=Number(1, 2),
        digest=codec.digest(body),
        scanned_at=3.0,
        body=body,
    ).to_json()


@pytest.fixture
def report_json():
    return Report(
        host="h1",
        number=Number(1, 1),
        guests=(GuestFacts(uuid=GUEST, counter=1, digest="0" * 32, scanned_at=1.0),),
        facts=HostFacts(mem_total_bytes=100, mem_available_bytes=50),
        sent_at=2.0,
    ).to_json()


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 3, 100 * 2**20])
def test_too_long_a_body_is_refused_without_decoding_it(
    request_json, size, monkeypatch
):
    request_json["body"] = "A" * fields.encoded_length(size)

    def refuse(*_arguments, **_options):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(base64, "b64decode", refuse)
    with pytest.raises(MessageError, match=r"characters, \d+ are allowed"):
        StoreRequest.from_json(request_json)


def test_a_body_one_byte_too_long_is_refused(request_json):
    request_json["body"] = base64.b64encode(bytes(MAX_BODY_BYTES + 1)).decode()
    with pytest.raises(MessageError, match="are allowed"):
        StoreRequest.from_json(request_json)


def test_the_longest_body_that_is_allowed_is_read(request_json):
    body = bytes(MAX_BODY_BYTES)
    request_json |= {
        "body": base64.b64encode(body).decode(),
        "digest": codec.digest(body),
    }
    assert StoreRequest.from_json(request_json).body == body


def test_a_body_that_was_changed_on_its_way_is_refused(request_json):
    request_json["body"] = base64.b64encode(b"Fingerprint").decode()
    with pytest.raises(MessageError, match="not that of the body"):
        StoreRequest.from_json(request_json)


@pytest.mark.parametrize("body", ["Zg", "Zg=", "Zg==\n", "Zh==", "Z g==", "ü", "===="])
def test_only_base64_as_it_is_written_is_read(request_json, body):
    with pytest.raises(MessageError, match="base64"):
        StoreRequest.from_json({**request_json, "body": body})


@pytest.mark.parametrize(
    "uuid",
    ["instance-00000001", GUEST.upper(), GUEST.replace("-", ""), f"{GUEST}\n", "", 7],
)
def test_a_guest_is_named_by_its_uuid(request_json, uuid):
    with pytest.raises(MessageError, match="uuid") as error:
        StoreRequest.from_json({**request_json, "guest": uuid})
    assert error.value.field == "guest"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"mem_available_bytes": 101}, "facts.mem_available_bytes"),
        ({"swap_total_bytes": 1, "swap_free_bytes": 2}, "facts.swap_free_bytes"),
        ({"huge_pages_total": 1, "huge_pages_free": 2}, "facts.huge_pages_free"),
        ({"memory_pressure": 1.5}, "facts.memory_pressure"),
        ({"mem_total_bytes": -1}, "facts.mem_total_bytes"),
        ({"mem_total_bytes": True}, "facts.mem_total_bytes"),
        ({"ksm": {"state": "sleeping"}}, "facts.ksm.state"),
    ],
)
def test_facts_that_cannot_be_true_are_refused(report_json, facts, field):
    report_json["facts"] |= facts
    with pytest.raises(MessageError) as error:
        Report.from_json(report_json)
    assert error.value.field == field


@pytest.mark.parametrize(
    "rate", [float("nan"), float("inf"), -0.1, 1e7, 10**400, "0.1", True, [0.1]]
)
def test_a_rate_of_change_that_cannot_be_is_refused(report_json, rate):
    report_json["guests"][0]["change_fraction_per_hour"] = rate
    with pytest.raises(MessageError, match="number from 0 to 1e\\+06") as error:
        Report.from_json(report_json)
    assert error.value.field == "change_fraction_per_hour"


def test_an_older_agent_s_report_tells_no_rate_of_change(report_json):
    del report_json["guests"][0]["change_fraction_per_hour"]
    (line,) = Report.from_json(report_json).guests
    assert (line.counter, line.change_fraction_per_hour) == (1, None)


def test_a_report_without_facts_is_refused(report_json):
    del report_json["facts"]
    with pytest.raises(MessageError, match="facts"):
        Report.from_json(report_json)


def test_a_report_that_names_one_guest_twice_is_refused(report_json):
    report_json["guests"] *= 2
    with pytest.raises(MessageError, match="twice"):
        Report.from_json(report_json)


def test_a_report_of_too_many_guests_is_refused(report_json):
    report_json["guests"] *= MAX_GUESTS + 1
    with pytest.raises(MessageError, match="entries") as error:
        Report.from_json(report_json)
    assert error.value.field == "guests"


def test_an_unknown_cause_is_refused_but_from_a_newer_controller_it_is_a_wish():
    answer = {
        "version": MESSAGE_VERSION,
        "outcome": "ok",
        "wanted": [{"guest": GUEST, "cause": "curiosity"}],
        "slow_down_seconds": 0,
    }
    with pytest.raises(MessageError, match="not a known cause"):
        ReportAnswer.from_json(answer)
    newer = ReportAnswer.from_json({**answer, "version": MESSAGE_VERSION + 1})
    assert newer.wanted == (Wanted(GUEST, Cause.UNKNOWN),)


def test_an_answer_of_who_reads_that_is_missing_or_not_known_says_nothing():
    answer = ReportAnswer(sources={GUEST: Source.GUEST}).to_json()
    assert ReportAnswer.from_json(answer).sources == {GUEST: Source.GUEST}
    answer["sources"][0]["source"] = "neighbour"
    assert ReportAnswer.from_json(answer).sources == {}
    del answer["sources"]
    assert ReportAnswer.from_json(answer).sources == {}


def test_an_unknown_reason_is_refused_but_from_a_newer_agent_it_is_none(report_json):
    report_json["guests"] = [{"uuid": GUEST, "reason": "too-shy"}]
    with pytest.raises(MessageError, match="reason"):
        Report.from_json(report_json)
    newer = Report.from_json({**report_json, "version": MESSAGE_VERSION + 1})
    assert newer.guests == (GuestFacts(uuid=GUEST),)


def test_a_long_reason_is_cut_so_that_it_can_be_read():
    answer = StoreAnswer(outcome=Outcome.REFUSED, reason="x" * 5000)
    read = StoreAnswer.from_json(over_the_wire(answer))
    assert read == dataclasses.replace(answer, reason="x" * messages.MAX_REASON)
