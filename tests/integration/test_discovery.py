"""Endpoints and models that appear and vanish, on a real PostgreSQL and real endpoints."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dns.message
import dns.rrset
import pytest
from django.db.models import Q
from django.utils import timezone

from balancing import services
from balancing.discovery import membership
from balancing.discovery import resolver as resolver_module
from balancing.discovery import rounds as discovery
from balancing.discovery.resolver import Address, ResolutionFailed, Resolver, SystemResolver
from balancing.discovery.upstream_models import HttpLister, Lister, ListingFailed
from balancing.endpoints import registry
from balancing.endpoints.registry import Target
from balancing.models import Endpoint
from tests.fake_llm.background import running_fake_llm

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

State = Endpoint.State
ONE, TWO, THREE = Address("10.0.0.1", 8000), Address("10.0.0.2", 8000), Address("fd00::3", 8000)


class FakeResolver:
    def __init__(self, *addresses: Address) -> None:
        self.addresses = list(addresses)
        self.asked: list[tuple[str, int]] = []
        self.fails = False

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        if self.fails:
            raise ResolutionFailed(f"{host}: no answer")
        return self.addresses


class FakeLister:
    """What each base URL lists; an absent one fails."""

    def __init__(self, **names: list[str]) -> None:
        self.by_host = names

    async def names(self, target: Target) -> list[str]:
        try:
            return self.by_host[target.name]
        except KeyError:
            raise ListingFailed("GET /models answered 503") from None


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Slots in use by endpoint, as burying sees them; nothing runs unless a test says so."""
    used: dict[int, int] = {}
    monkeypatch.setattr(
        membership, "slots_in_use", lambda ids: {each: used.get(each, 0) for each in ids}
    )
    return used


def group(**fields: Any) -> Endpoint:
    values = {
        "name": "pool",
        "base_url": "http://llm.svc.local:8000/v1",
        "model_names": ["m"],
        "discover": Endpoint.Discover.DNS,
        "max_concurrent": 4,
    }
    return services.register(**{**values, **fields})


def members() -> dict[str, Endpoint]:
    return {row.base_url: row for row in Endpoint.objects.filter(group__isnull=False)}


def look(resolver: Resolver | None = None, lister: Lister | None = None) -> int:
    """A refresh of everything, whether its time has come or not."""
    Endpoint.objects.update(refresh_at=None)
    return discovery.run_due(resolver or FakeResolver(), lister or FakeLister())


class TestAddresses:
    def test_each_becomes_a_member_that_inherits_from_its_group(self) -> None:
        group(weight=2.0, prices={"*": {"input": 1}}, api_key_variable="LLM_KEY")
        resolver = FakeResolver(ONE, THREE)

        look(resolver)

        assert resolver.asked == [("llm.svc.local", 8000)]
        assert set(members()) == {"http://10.0.0.1:8000/v1", "http://[fd00::3]:8000/v1"}
        one = members()["http://10.0.0.1:8000/v1"]
        assert (one.name, one.host) == ("pool-10-0-0-1-8000", "llm.svc.local:8000")
        assert (one.weight, one.max_concurrent, one.model_names) == (2.0, 4, ["m"])
        assert (one.api_key_variable, one.prices) == ("LLM_KEY", {"*": {"input": 1}})
        assert (one.managed_by, one.state) == ("dns", State.ENABLED)
        assert [target.name for target in registry.known_endpoints()] == [
            "pool-10-0-0-1-8000",
            "pool-fd00--3-8000",
        ], "the group itself takes no work"

    def test_an_address_that_may_not_be_called_is_no_member_with_a_proxy_neither(self) -> None:
        group(proxy_url="http://proxy:3128")

        look(FakeResolver(ONE, Address("169.254.169.254", 80), Address("fe80::1", 8000)))

        assert set(members()) == {"http://10.0.0.1:8000/v1"}

    def test_one_that_vanishes_drains_first_and_is_deleted_when_idle(
        self, idle: dict[int, int]
    ) -> None:
        group()
        resolver = FakeResolver(ONE, TWO)
        look(resolver)
        gone = members()["http://10.0.0.2:8000/v1"]
        idle[gone.pk] = 1

        resolver.addresses = [ONE]
        look(resolver)
        gone.refresh_from_db()
        assert gone.state == State.DRAINING
        assert gone.vanished_at is not None

        long_ago = timezone.now() - timedelta(minutes=5)
        Endpoint.objects.filter(pk=gone.pk).update(vanished_at=long_ago)
        look(resolver)
        assert Endpoint.objects.filter(pk=gone.pk).exists(), "a call still runs there"

        idle[gone.pk] = 0
        look(resolver)
        assert set(members()) == {"http://10.0.0.1:8000/v1"}

    def test_one_that_just_vanished_is_not_deleted_though_idle(self, idle: dict[int, int]) -> None:
        group()
        look(FakeResolver(ONE, TWO))

        look(FakeResolver(ONE))

        assert len(members()) == 2

    def test_without_valkey_nothing_is_deleted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(membership, "slots_in_use", lambda ids: {})
        group()
        look(FakeResolver(ONE, TWO))
        look(FakeResolver(ONE))
        Endpoint.objects.filter(vanished_at__isnull=False).update(
            vanished_at=timezone.now() - timedelta(minutes=5)
        )

        look(FakeResolver(ONE))

        assert len(members()) == 2

    def test_one_that_returns_takes_work_again(self, idle: dict[int, int]) -> None:
        group()
        look(FakeResolver(ONE, TWO))
        before = members()["http://10.0.0.2:8000/v1"].pk
        look(FakeResolver(ONE))

        look(FakeResolver(ONE, TWO))

        back = members()["http://10.0.0.2:8000/v1"]
        assert (back.pk, back.state, back.vanished_at) == (before, State.ENABLED, None)

    def test_a_name_that_cannot_be_looked_up_keeps_its_members(self, idle: dict[int, int]) -> None:
        pool = group()
        resolver = FakeResolver(ONE, TWO)
        look(resolver)
        resolver.fails = True

        look(resolver)

        assert {row.state for row in members().values()} == {State.ENABLED}
        pool.refresh_from_db()
        assert "no answer" in pool.refresh_error

    def test_a_member_that_an_operator_drained_stays_so(self, idle: dict[int, int]) -> None:
        group()
        look(FakeResolver(ONE, TWO))
        services.drain(endpoint_id=members()["http://10.0.0.1:8000/v1"].pk)

        look(FakeResolver(ONE, TWO))

        assert members()["http://10.0.0.1:8000/v1"].state == State.DRAINING

    def test_the_groups_state_is_its_members(self, idle: dict[int, int]) -> None:
        pool = group()
        look(FakeResolver(ONE, TWO))

        services.disable(endpoint_id=pool.pk)
        assert {row.state for row in members().values()} == {State.DISABLED}
        assert look(FakeResolver(ONE)) == 0, "a disabled group is not looked up"
        services.enable(endpoint_id=pool.pk)
        assert {row.state for row in members().values()} == {State.ENABLED}

    def test_a_change_of_the_group_reaches_its_members(self, idle: dict[int, int]) -> None:
        group()
        look(FakeResolver(ONE))
        group(max_concurrent=9, base_url="https://llm.svc.local/v1")

        look(FakeResolver(Address("10.0.0.1", 443)))

        new = members()["https://10.0.0.1:443/v1"]
        assert (new.max_concurrent, new.host) == (9, "llm.svc.local")
        assert registry.known_endpoints()[-1].server_hostname == "llm.svc.local"
        assert members()["http://10.0.0.1:8000/v1"].state == State.DRAINING

    def test_a_group_that_is_none_any_more_lets_its_members_go(self, idle: dict[int, int]) -> None:
        group()
        look(FakeResolver(ONE))
        group(discover=Endpoint.Discover.NO)

        look(FakeResolver(ONE))

        assert [row.state for row in members().values()] == [State.DRAINING]

    def test_a_group_deleted_takes_its_members_along(self) -> None:
        pool = group()
        look(FakeResolver(ONE))

        services.delete(endpoint_id=pool.pk)

        assert not Endpoint.objects.exists()

    def test_a_row_is_asked_once_an_interval(self) -> None:
        group()
        resolver = FakeResolver(ONE)

        first, second = (discovery.run_due(resolver, FakeLister()) for _ in range(2))

        assert (first, second) == (1, 0)


class TestModels:
    def test_appear_and_vanish(self) -> None:
        row = services.register(
            name="gpu", base_url="http://gpu/v1", model_names=[], discover_models=True
        )

        look(lister=FakeLister(gpu=["b", "a"]))
        assert registry.known_models() == ["a", "b"]
        assert registry.default_model() == "a"
        look(lister=FakeLister(gpu=["b", "c"]))
        assert registry.known_models() == ["b", "c"]
        look(lister=FakeLister(gpu=[]))
        assert registry.known_models() == []
        assert registry.default_model() == ""
        row.refresh_from_db()
        assert row.refresh_error == ""

    def test_a_failing_list_removes_nothing(self) -> None:
        row = services.register(
            name="gpu", base_url="http://gpu/v1", model_names=["a"], discover_models=True
        )

        look(lister=FakeLister())

        row.refresh_from_db()
        assert row.model_names == ["a"]
        assert "503" in row.refresh_error

    def test_aliases_appear_with_what_they_stand_for(self) -> None:
        services.register(
            name="gpu",
            base_url="http://gpu/v1",
            model_names=[],
            discover_models=True,
            model_aliases={"fast": "a-q4", "absent": "z"},
        )

        look(lister=FakeLister(gpu=["a-q4"]))

        assert registry.known_models() == ["a-q4", "fast"]
        (target,) = registry.known_endpoints()
        assert target.upstream_model("fast") == "a-q4"
        assert target.upstream_model("a-q4") == "a-q4"

    def test_an_endpoint_that_does_not_discover_keeps_its_list(self) -> None:
        services.register(name="gpu", base_url="http://gpu/v1", model_names=["mine"])

        assert look(lister=FakeLister(gpu=["theirs"])) == 0
        assert registry.known_models() == ["mine"]

    def test_a_new_member_is_asked_in_the_same_round(self) -> None:
        group(discover_models=True, model_names=[])
        name = "pool-10-0-0-1-8000"

        look(FakeResolver(ONE), FakeLister(**{name: ["x"]}))

        assert members()["http://10.0.0.1:8000/v1"].model_names == ["x"]

    def test_a_members_own_list_outlives_the_next_lookup(self) -> None:
        group(discover_models=True, model_names=["initial"])
        lister = FakeLister(**{"pool-10-0-0-1-8000": ["x"]})
        look(FakeResolver(ONE), lister)

        look(FakeResolver(ONE), FakeLister())

        assert members()["http://10.0.0.1:8000/v1"].model_names == ["x"]

    def test_a_real_endpoint_whose_list_changes(self) -> None:
        with running_fake_llm(models=("a", "b")) as llm:
            services.register(
                name="gpu", base_url=llm.base_url, model_names=[], discover_models=True
            )
            look(lister=HttpLister())
            assert registry.known_models() == ["a", "b"]

            llm.control(models=("b", "c"))
            look(lister=HttpLister())
            assert registry.known_models() == ["b", "c"]

            llm.control(list_status=503)
            look(lister=HttpLister())
            assert registry.known_models() == ["b", "c"]
        look(lister=HttpLister(timeout_seconds=1))
        assert registry.known_models() == ["b", "c"]

    def test_a_real_name_with_a_real_endpoint(self) -> None:
        with running_fake_llm(models=("a",)) as llm:
            port = llm.base_url.rsplit(":", 1)[1].partition("/")[0]
            group(base_url=f"http://localhost:{port}/v1", model_names=[], discover_models=True)
            look(SystemResolver(family="ipv4"), HttpLister())

            (member,) = members().values()
            assert member.base_url == f"http://127.0.0.1:{port}/v1"
            assert member.host == f"localhost:{port}"
            assert member.model_names == ["a"]
            assert not Endpoint.objects.filter(~Q(refresh_error="")).exists()


class TestSystemResolver:
    async def test_localhost(self) -> None:
        assert await SystemResolver().resolve("localhost", 81) == [Address("127.0.0.1", 81)]

    async def test_an_unknown_name_fails(self) -> None:
        with pytest.raises(ResolutionFailed, match=r"no-such\.invalid"):
            await SystemResolver(timeout_seconds=3).resolve("no-such.invalid", 80)

    async def test_srv_records_carry_their_ports(self, name_server: int) -> None:
        resolver = SystemResolver(nameservers=("127.0.0.1",), port=name_server)

        found = await resolver.resolve("_http._tcp.llm.test", 80)

        assert found == [Address("127.0.0.1", 8001), Address("127.0.0.1", 8002)]

    async def test_an_answer_of_very_many_is_not_believed(
        self, name_server: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resolver_module, "MOST_ADDRESSES", 1)
        resolver = SystemResolver(nameservers=("127.0.0.1",), port=name_server)

        with pytest.raises(ResolutionFailed, match="more than 1"):
            await resolver.resolve("_http._tcp.llm.test", 80)

    async def test_a_service_without_records_fails(self, name_server: int) -> None:
        resolver = SystemResolver(nameservers=("127.0.0.1",), port=name_server)

        with pytest.raises(ResolutionFailed):
            await resolver.resolve("_none._tcp.llm.test", 80)


@pytest.fixture
def name_server() -> Iterator[int]:
    """A name server on loopback that knows one service."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.sendto(b"", server.getsockname())
        thread.join(timeout=5)


def _answer(server: socket.socket) -> None:
    while True:
        data, client = server.recvfrom(4096)
        if not data:
            return
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        name = query.question[0].name
        if str(name).startswith("_http._tcp.llm.test"):
            records = ["0 0 8001 localhost.", "0 0 8002 localhost."]
            reply.answer.append(dns.rrset.from_text(name, 5, "IN", "SRV", *records))
        server.sendto(reply.to_wire(), client)
