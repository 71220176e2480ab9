"""Which connections the sandbox check calls an open wall."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from walled import Json, container

from sandbox import network
from sandbox.engine import Container, Place, Probe
from sandbox.judging import Look, judged
from sandbox.network import ANYWHERE, Neighbour, Outside, Reached
from sandbox.scorecard import Finding, Verdict

HERE = {"172.20.0.2": "OK"}
SHARED = Neighbour("embedding:8081", ("172.20.0.3", 8081), True)
FOREIGN = Neighbour("qdrant:6333", ("172.21.0.3", 6333), False)


def neighbours(
    shared: str = "OK",
    foreign: str = "ETIMEDOUT",
    own: Mapping[str, str] = HERE,
    sockets: Mapping[str, Sequence[str]] | None = None,
    wanted: Sequence[Neighbour] = (SHARED, FOREIGN),
) -> Finding:
    reached = Reached(own, {SHARED.target: shared, FOREIGN.target: foreign}, "EAI_AGAIN")
    seen = network.neighbourhood(wanted, reached, sockets or {})
    return judged(container(), "neighbours", Look(seen, network.heard(reached)))


def test_a_neighbour_is_reached_and_nobody_else() -> None:
    finding = neighbours()
    assert finding.verdict is Verdict.HOLDS
    assert "reaches embedding:8081, not qdrant:6333" in finding.evidence


@pytest.mark.parametrize("how", ["OK", "ECONNREFUSED"])
def test_whoever_answers_without_a_shared_network_is_an_open_wall(how: str) -> None:
    finding = neighbours(foreign=how)
    assert (finding.verdict, finding.evidence) == (Verdict.OPEN, "reaches qdrant:6333")


@pytest.mark.parametrize("how", ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"])
def test_whoever_does_not_answer_is_not_reached(how: str) -> None:
    assert neighbours(foreign=how).verdict is Verdict.HOLDS


def test_a_neighbour_that_is_not_reached_makes_the_rest_prove_nothing() -> None:
    finding = neighbours(shared="ETIMEDOUT")
    assert finding.verdict is Verdict.UNPROVEN
    assert "embedding:8081 on a shared network: ETIMEDOUT" in finding.evidence


def test_a_probe_that_does_not_reach_its_own_port_proves_nothing() -> None:
    finding = neighbours(own={"172.20.0.2": "ETIMEDOUT"})
    assert finding.verdict is Verdict.UNPROVEN
    assert "an open port at 172.20.0.2 is not reached" in finding.evidence


def test_where_nobody_listens_nothing_is_proven() -> None:
    assert neighbours(wanted=()).verdict is Verdict.UNPROVEN


def test_a_network_with_a_third_service_on_it_is_an_open_wall() -> None:
    one, other, third = container("a"), container("b"), container("c")
    other.places["front-a"] = Place("172.20.0.3", "")
    assert not network.crowded(one, [one, container("a"), other, third]).opened
    third.places["front-a"] = Place("172.20.0.4", "")
    assert network.crowded(one, [one, other, third]).opened == ["front-a has a, b, c on it"]
    same = replace(third, image=other.image)  # two of one program are one end
    assert not network.crowded(one, [one, other, same]).opened


def test_a_socket_has_two_ends() -> None:
    assert neighbours(sockets={"/run/x.sock": ["retriever"]}).verdict is Verdict.HOLDS
    finding = neighbours(sockets={"/run/x.sock": ["quality", "retriever"]})
    assert (finding.verdict, finding.evidence) == (
        Verdict.OPEN,
        "shares /run/x.sock with quality and retriever",
    )


def test_a_socket_is_shared_by_what_mounts_its_folder_and_copies_of_a_service_are_one() -> None:
    owner, caller, copy, other = (container(name) for name in ("files", "asks", "asks", "other"))
    for one in (owner, caller, copy):
        one.facts["Mounts"].append({"Destination": f"/run/{one.service}", "Source": "/volumes/x"})
    found = network.sockets_of(owner, [owner, caller, copy, other], ["/run/files/mcp.sock"])
    assert found == {"/run/files/mcp.sock": ["asks"]}


def test_every_port_is_tried_at_each_address_that_it_is_open_on() -> None:
    source, other = container("a", "172.20.0.2"), container("b", "172.21.0.2")
    other.places.update({"front-a": Place("172.20.0.3", "")})
    ports = {
        source.id: [("0.0.0.0", 1)],
        other.id: [("0.0.0.0", 80), ("172.21.0.2", 81), ("::", 82)],
    }
    found = network.neighbours(source, [source, other], ports)
    assert {(one.name, one.target[0], one.shared) for one in found} == {
        ("b:80", "172.20.0.3", True),
        ("b:80", "172.21.0.2", False),
        ("b:81", "172.21.0.2", False),
        ("b:82", "172.20.0.3", True),
        ("b:82", "172.21.0.2", False),
    }


def test_a_port_on_loopback_is_nobodys_to_reach() -> None:
    listening = [["127.0.0.11", 39001], ["::1", 5432], ["0.0.0.0", 80]]
    assert network.ports_of({"listening": listening}) == [("0.0.0.0", 80)]


class Outcomes(Probe):
    """A plain container whose connections end as a test says."""

    def __init__(self, host: str = "OK", world: str = "OK", name: str = "OK") -> None:
        super().__init__("0")
        self.told: Json = {"own": {"127.0.0.1": "OK"}, "targets": [host, world], "name": name}

    def ask(self, program: str, *arguments: str, seconds: float = 60) -> Json:
        assert program == "reach.py"
        return self.told


def outside(
    plain: Probe,
    source: Container,
    *,
    gateway: str = "ENETUNREACH",
    host: str = "ETIMEDOUT",
    world: str = "ENETUNREACH",
    name: str = "EAI_AGAIN",
    inet6: Sequence[str] = (),
    own: str = "OK",
) -> dict[str, Finding]:
    wall = Outside(plain, 4711)
    targets = wall.targets(source)
    assert targets[-1] == ANYWHERE
    reached = Reached(
        {"172.20.0.2": own}, dict(zip(targets, (gateway, host, world), strict=True)), name
    )
    return {one.wall: one for one in wall.judge(source, reached, inet6)}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_own_address", lambda: "192.0.2.2")


@pytest.mark.usefixtures("machine")
def test_a_container_that_reaches_neither_host_nor_world_holds() -> None:
    findings = outside(Outcomes(), container())
    assert {one.verdict for one in findings.values()} == {Verdict.HOLDS}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("how", "wall", "words"),
    [
        ({"gateway": "OK"}, "host", "reaches 172.20.0.1:4711"),
        ({"gateway": "ECONNREFUSED"}, "host", "reaches 172.20.0.1:4711"),
        ({"host": "OK"}, "host", "reaches 192.0.2.2:4711"),
        ({"world": "OK"}, "internet", "1.1.1.1:443: OK"),
        ({"name": "OK"}, "internet", "the name example.com: OK"),
    ],
)
def test_a_way_out_is_an_open_wall(how: dict[str, str], wall: str, words: str) -> None:
    finding = outside(Outcomes(), container(), **how)[wall]
    assert (finding.verdict, finding.evidence) == (Verdict.OPEN, words)


@pytest.mark.usefixtures("machine")
def test_what_a_plain_container_does_not_reach_either_proves_nothing() -> None:
    findings = outside(Outcomes(host="ETIMEDOUT"), container())
    assert findings["host"].verdict is Verdict.UNPROVEN
    assert findings["internet"].verdict is Verdict.HOLDS
    findings = outside(Outcomes(world="ENETUNREACH", name="EAI_AGAIN"), container())
    assert findings["internet"].verdict is Verdict.UNPROVEN


@pytest.mark.usefixtures("machine")
def test_a_deaf_probe_and_addresses_that_are_not_tried_prove_nothing() -> None:
    deaf = outside(Outcomes(), container(), own="ETIMEDOUT")
    assert {one.verdict for one in deaf.values()} == {Verdict.UNPROVEN}
    six = outside(Outcomes(), container(), inet6=["eth0"])["host"]
    assert six.verdict is Verdict.UNPROVEN and "IPv6 on eth0" in six.evidence


def test_the_bait_on_this_machine_is_open_while_it_is_wanted_and_closed_after() -> None:
    with network.listening() as port:
        socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
