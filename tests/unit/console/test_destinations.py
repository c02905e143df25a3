from broker.console.destinations import LONGEST, Destinations
from tests.support.rows import rows

RULE = Destinations(
    "https://broker.example.com", ["https://apps.example.com", "http://127.0.0.1:9000"]
)


@rows("given, safe")
def test_the_console_and_listed_origins_are_safe(given: str, safe: str) -> None:
    assert RULE.find_safe(given) == safe


@rows(
    "given",
    [
        "",
        "console/",
        "/",
        "/signin",
        "/consoleevil",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/console/\\evil.example",
        "/console//evil.example",
        "/console/../federation?Action=logout",
        "/console/%2e%2e/federation",
        "/console/%2E./federation",
        "/console/%2f%2fevil.example",
        "/console/%5cevil.example",
        "/console/%252e%252e/",
        "/console/%0d%0aSet-Cookie:a=b",
        "/console/\r\nSet-Cookie: a=b",
        "/console/\x00",
        "/console/ a",
        "/console/é",
        " /console/",
        "\t//evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https://evil.example/console/",
        "https://evil.example/https://broker.example.com/console/",
        "https://broker.example.com.evil.example/console/",
        "https://broker.example.com@evil.example/console/",
        "https://evil.example@broker.example.com/console/",
        "https://broker.example.com:443@evil.example/console/",
        "https://broker.example.com\\@evil.example/console/",
        "https://broker.example.com#@evil.example/console/",
        "https://broker.example.com?/console/",
        "https://broker.example.com:8443/console/",
        "https://broker.example.com:99999/console/",
        "https://broker.example.com:/console/",
        "https://broker%2eexample.com/console/",
        "https://broker.example.com%2f@evil.example/console/",
        "https://xbroker.example.com/console/",
        "http://broker.example.com/console/",
        "https://broker.example.com/signin",
        "https://broker.example.com",
        "https://broker.example.com/console/../signin",
        "https://apps.example.com.evil.example/",
        "https://apps.example.com@evil.example/",
        "https://user:password@apps.example.com/",
        "https://apps.example.com:8443/",
        "http://apps.example.com/",
        "http://127.0.0.1/x",
        "http://127.0.0.1:9000@evil.example/",
        "http://[::1]:9000/",
        "javascript:alert(1)",
        "JaVaScRiPt://apps.example.com/%0aalert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://apps.example.com/",
        "blob:https://apps.example.com/x",
        "\uff48ttps://apps.example.com/",
        "https://apps\u3002example.com/",
        "/console/" + "a" * LONGEST,
    ],
)
def test_nothing_else_is_followed(given: str) -> None:
    assert RULE.find_safe(given) is None


def test_an_origin_of_its_own_for_ipv6_is_compared_too() -> None:
    rule = Destinations("http://[::1]:8080", [])
    assert rule.find_safe("http://[::1]:8080/console/") == "/console/"
    assert rule.find_safe("http://[::2]:8080/console/") is None
    assert rule.find_safe("http://[::1]/console/") is None


def test_other_paths_of_ours_only_where_asked_for() -> None:
    assert RULE.find_safe("/signin", ("/signin",)) == "/signin"
    assert RULE.find_safe("/console/", ("/signin",)) is None


BEHIND_AWS = Destinations(
    "https://broker.example.com",
    ["https://console.aws.amazon.com"],
    ("signin.aws.amazon.com", "us-east-1.signin.aws.amazon.com", "sts.amazonaws.com"),
)


@rows("given, safe")
def test_awss_console_is_ours_with_its_sign_in_host(given: str, safe: str) -> None:
    assert BEHIND_AWS.find_safe(given) == safe


@rows("given")
def test_what_only_looks_like_awss_console_is_not(given: str) -> None:
    assert BEHIND_AWS.find_safe(given) is None


def test_awss_console_is_no_page_to_sign_in_again() -> None:
    assert BEHIND_AWS.find_safe("https://console.aws.amazon.com/", ("/signin",)) is None


def test_awss_console_is_elsewhere_without_its_sign_in_host() -> None:
    rule = Destinations("https://broker.example.com", [], ("sts.amazonaws.com",))
    assert rule.find_safe("https://console.aws.amazon.com/") is None
