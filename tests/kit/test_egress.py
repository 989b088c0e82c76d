import pytest

from config.kit import egress
from config.kit.egress import DestinationRefusedError

OPEN = egress.policy()
OWN = egress.policy(own=["https://paywalls.example", "http://localhost:8000"])
LISTED = egress.policy(
    ["ollama.lan", "gpu.example:8001", "10.1.0.0/16", "127.0.0.1:9000", "[::1]:9000"]
)


@pytest.mark.proves(
    "B30", "B31", "B32", "B33", "B34", "B35", "B36", "B37", "B38", "B39", "B40", "B41", "B42",
    "B43", "B47", "B48", "B49",
)  # fmt: skip
class TestParse:
    """B30 to B49 of the bad inputs, with what they are tried for."""

    @pytest.mark.parametrize(
        "url",
        [
            pytest.param("http://127.0.0.1:6379/", id="B30 loopback"),
            pytest.param("https://127.0.0.1/", id="B30 loopback over https"),
            pytest.param("http://[::1]/", id="B31 loopback v6"),
            pytest.param("https://[::1]/", id="B31 loopback v6 over https"),
            pytest.param("http://2130706433/", id="B32 decimal"),
            pytest.param("https://2130706433/", id="B32 decimal over https"),
            pytest.param("https://0x7f000001/", id="B32 hexadecimal"),
            pytest.param("https://0x7f.0.0.1/", id="B32 hexadecimal part"),
            pytest.param("http://0177.0.0.1/", id="B33 octal"),
            pytest.param("https://0177.0.0.1/", id="B33 octal over https"),
            pytest.param("https://127.0.0.01/", id="B33 leading zero"),
            pytest.param("http://127.1/", id="B34 short"),
            pytest.param("https://127.1/", id="B34 short over https"),
            pytest.param("http://0/", id="B34 zero"),
            pytest.param("https://0/", id="B34 zero over https"),
            pytest.param("https://0.0.0.0/", id="B34 any"),
            pytest.param("http://①②⑦.⓪.⓪.①/", id="B35 circled digits"),
            pytest.param("https://①②⑦.⓪.⓪.①/", id="B35 circled digits over https"),
            pytest.param("https://exämple.com/", id="B35 not ASCII"),
            pytest.param("https://[::ffff:a9fe:a9fe]/", id="B36 mapped metadata"),
            pytest.param("https://[::ffff:10.0.0.1]/", id="B36 mapped private"),
            pytest.param("https://[::127.0.0.1]/", id="B36 compatible loopback"),
            pytest.param("https://[::ffff:0:127.0.0.1]/", id="B36 translated loopback"),
            pytest.param("https://[64:ff9b::a9fe:a9fe]/", id="B37 NAT64 metadata"),
            pytest.param("https://[64:ff9b:1::1]/", id="B37 local NAT64"),
            pytest.param("https://[2002:7f00:1::]/", id="B38 6to4 loopback"),
            pytest.param("https://[2002:a9fe:a9fe::1]/", id="B38 6to4 metadata"),
            pytest.param("https://[2001:0:7f00:1::]/", id="B38 Teredo server"),
            pytest.param("https://[2001:0:5db8:d70e::80ff:fffe]/", id="B38 Teredo client"),
            pytest.param("https://100.100.100.200/", id="B39 Alibaba metadata"),
            pytest.param("https://168.63.129.16/", id="B39 Azure wire server"),
            pytest.param("https://169.254.169.254/latest/", id="B39 metadata"),
            pytest.param("https://[fd00:ec2::254]/", id="B39 metadata v6"),
            pytest.param("http://good.com@127.0.0.1/", id="B40 userinfo"),
            pytest.param("https://user:pw@good.com/", id="B40 password"),
            pytest.param("http://good.com\\@evil.com/", id="B40 backslash"),
            pytest.param("https://good.com\\@evil.com/", id="B40 backslash over https"),
            pytest.param("http://good.com#@evil.com/", id="B41 fragment"),
            pytest.param("https://good.com/#x", id="B41 fragment at the end"),
            pytest.param("https://exa\tmple.com/", id="B42 tab"),
            pytest.param("https://example.com/a b", id="B42 blank"),
            pytest.param("https://example.com/\r\nHost: x", id="B42 CRLF"),
            pytest.param(" https://example.com/", id="B42 leading blank"),
            pytest.param("https://example.com/\n", id="B42 newline at the end"),
            pytest.param("http://h%00.good.com/", id="B43 percent in host"),
            pytest.param("https://h%2e.good.com/", id="B43 percent in host over https"),
            pytest.param("file:///etc/passwd", id="B47 file"),
            pytest.param("gopher://example.com/", id="B47 gopher"),
            pytest.param("ftp://example.com/", id="B47 ftp"),
            pytest.param("unix:/var/run/docker.sock", id="B47 unix"),
            pytest.param("//example.com/", id="B47 no scheme"),
            pytest.param("http:///etc", id="B47 no host"),
            pytest.param("https:example.com", id="B47 no slashes"),
            pytest.param("", id="B47 empty"),
            pytest.param("HTTPS:\\\\example.com", id="B47 backslashes"),
            pytest.param("https://localhost./", id="B48 localhost with a dot"),
            pytest.param("https://localhost/", id="B48 localhost"),
            pytest.param("https://a.localhost/", id="B48 under localhost"),
            pytest.param("https://metadata.google.internal/", id="B48 internal"),
            pytest.param("https://printer.local/", id="B48 local"),
            pytest.param("https://router.home.arpa/", id="B48 home"),
            pytest.param("https://db/", id="B48 one label"),
            pytest.param("https://example.com.:443/", id="B48 dot at the end"),
            pytest.param("https://example..com/", id="B48 empty label"),
            pytest.param("https://-example.com/", id="B48 hyphen first"),
            pytest.param("https://example.com:22/", id="B49 ssh"),
            pytest.param("https://example.com:25/", id="B49 smtp"),
            pytest.param("https://example.com:5432/", id="B49 postgres"),
            pytest.param("https://example.com:6379/", id="B49 redis"),
            pytest.param("https://example.com:0/", id="B49 port zero"),
            pytest.param("https://example.com:65536/", id="B49 no such port"),
            pytest.param("https://example.com:+443/", id="B49 signed port"),
            pytest.param("https://example.com/" + "a" * 5_000, id="B49 long"),
            pytest.param("http://example.com/", id="plain http"),
            pytest.param("https://[fe80::1%25eth0]/", id="zone"),
            pytest.param("https://[v1.x]/", id="future literal"),
            pytest.param("https://[::1/", id="open bracket"),
            pytest.param("https://224.0.0.1/", id="multicast"),
            pytest.param("https://198.18.0.1/", id="benchmark network"),
        ],
    )
    def test_is_refused(self, url: str):
        with pytest.raises(DestinationRefusedError) as caught:
            egress.parse(url, OPEN)
        assert (caught.value.status, caught.value.code) == (400, "destination_refused")

    @pytest.mark.parametrize(
        ("url", "origin", "target"),
        [
            ("https://api.openai.com/v1", "https://api.openai.com:443", "/v1"),
            ("https://API.Example.COM", "https://api.example.com:443", ""),
            ("https://example.com:8443/a?b=c", "https://example.com:8443", "/a?b=c"),
            ("https://xn--exmple-cua.com/", "https://xn--exmple-cua.com:443", "/"),
            ("https://93.184.215.14/", "https://93.184.215.14:443", "/"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]:443", "/"),
            ("https://3com.com/", "https://3com.com:443", "/"),
        ],
    )
    def test_is_allowed(self, url: str, origin: str, target: str):
        found = egress.parse(url, OPEN)
        assert (found.origin, found.target) == (origin, target)

    @pytest.mark.parametrize("url", ["https://paywalls.example/v1", "https://localhost:8000/"])
    def test_we_are_no_destination(self, url: str):
        with pytest.raises(DestinationRefusedError):
            egress.parse(url, OWN)

    def test_we_are_no_destination_even_when_listed(self):
        rules = egress.policy(["localhost"], own=["http://localhost:8000"])
        egress.parse("http://localhost:9000/", rules)
        with pytest.raises(DestinationRefusedError):
            egress.parse("http://localhost:8000/", rules)


class TestAllowList:
    @pytest.mark.parametrize(
        "url",
        [
            "http://ollama.lan/v1",
            "http://ollama.lan:11434/v1",
            "http://gpu.example:8001/v1",
            "http://10.1.2.3:4000/",
            "http://127.0.0.1:9000/v1",
            "http://[::1]:9000/v1",
        ],
    )
    def test_what_the_operator_lists_is_open(self, url: str):
        assert egress.parse(url, LISTED).host in url

    @pytest.mark.parametrize(
        "url",
        [
            "http://x.ollama.lan/",
            "http://gpu.example:8002/",
            "http://10.2.0.1/",
            "http://127.0.0.1:9001/",
            "http://[::1]:9001/",
        ],
    )
    def test_nothing_beside_it_is(self, url: str):
        with pytest.raises(DestinationRefusedError):
            egress.parse(url, LISTED)


class TestCheckAddress:
    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
    def test_public_ones_pass(self, address: str):
        egress.check_address(address, OPEN)

    @pytest.mark.parametrize(
        "address",
        [
            "10.0.0.1",
            "100.64.0.1",
            "127.8.8.8",
            "172.31.0.1",
            "192.168.1.1",
            "::1",
            "::",
            "fc00::1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "255.255.255.255",
            "192.0.0.1",
            "192.88.99.1",
            "::ffff:192.168.1.1",
        ],
    )
    def test_others_do_not(self, address: str):
        with pytest.raises(DestinationRefusedError):
            egress.check_address(address, OPEN)

    def test_a_listed_name_may_stand_for_a_private_address_but_not_for_metadata(self):
        egress.check_address("192.168.1.1", OPEN, listed=True)
        egress.check_address("::1", OPEN, listed=True)
        for address in ("169.254.169.254", "100.100.100.200", "::ffff:a9fe:a9fe", "224.0.0.1"):
            with pytest.raises(DestinationRefusedError):
                egress.check_address(address, OPEN, listed=True)

    def test_a_listed_network_opens_itself(self):
        egress.check_address("10.1.9.9", LISTED)
        egress.check_address("::ffff:10.1.9.9", LISTED)
        with pytest.raises(DestinationRefusedError):
            egress.check_address("10.2.0.1", LISTED)


@pytest.mark.proves("B44", "B45")
class TestResolve:
    async def resolve(self, addresses: list[str], host: str = "h.example") -> list[str]:
        async def lookup(_host: str, _port: int) -> list[str]:
            return addresses

        return await egress.resolve(host, 443, LISTED, timeout_s=1, lookup=lookup)

    async def test_all_addresses_once_each(self):
        assert await self.resolve(["8.8.8.8", "8.8.4.4", "8.8.8.8"]) == ["8.8.8.8", "8.8.4.4"]

    async def test_one_private_among_public_ones_refuses_the_name(self):
        """B44."""
        with pytest.raises(DestinationRefusedError):
            await self.resolve(["8.8.8.8", "127.0.0.1"])

    async def test_a_name_is_asked_anew_each_time(self):
        """B45: the second answer is checked like the first."""
        await self.resolve(["8.8.8.8"])
        with pytest.raises(DestinationRefusedError):
            await self.resolve(["169.254.169.254"])

    async def test_a_listed_name_may_be_private(self):
        assert await self.resolve(["192.168.0.9"], "ollama.lan") == ["192.168.0.9"]

    async def test_a_literal_is_not_looked_up(self):
        assert await self.resolve([], "8.8.8.8") == ["8.8.8.8"]

    async def test_no_address_is_an_os_error(self):
        with pytest.raises(OSError, match="no address"):
            await self.resolve([])

    def test_for_threads(self):
        assert egress.resolve_now("127.0.0.1", 9000, LISTED) == ["127.0.0.1"]
        with pytest.raises(DestinationRefusedError):
            egress.resolve_now("localhost", 9001, LISTED)


class TestDestination:
    def test_a_pinned_url_has_the_address_and_keeps_the_rest(self):
        found = egress.parse("https://example.com:8443/a?b=c", OPEN)
        assert found.pinned_url("2606:4700::1111") == "https://[2606:4700::1111]:8443/a?b=c"
        assert found.authority == "example.com:8443"
        assert egress.parse("https://example.com", OPEN).authority == "example.com"
