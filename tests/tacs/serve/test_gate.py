"""What a hostile page, a rebound name, another program or a forged request gets: nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from tacs.journal import Journal
from tacs.serve.gate import BODY_MAX, cookie_name, too_deep
from tacs.serve.logins import VALID_S, Logins, Person, people_of
from tests.tacs.serve.conftest import ORIGIN, PORT, Site

RATING = {"scale": "phq9", "items": {str(n): 1 for n in range(1, 10)}}
LIVE = f"ws://127.0.0.1:{PORT}/api/v1/live"
RATE = "/api/v1/patients/P01/ratings"


def nothing_kept(site: Site) -> bool:
    return Journal(site.place.dataset).entries() == []


# -- DNS rebinding --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.1:{PORT}", ""],
)
def test_a_host_that_is_not_ours_reads_and_changes_nothing(site: Site, host: str):
    client = site.login()
    for path in ("/", "/api/v1/me", "/api/v1/patients", "/api/v1/openapi.json"):
        assert client.get(path, headers={"Host": host}).status_code == 421
    refused = client.post(RATE, json=RATING, headers={"Host": host})
    assert refused.status_code == 421
    assert nothing_kept(site)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_three_names_of_this_computer_are_ours(site: Site, name: str):
    assert site.login().get("/api/v1/me", headers={"Host": f"{name}:{PORT}"}).status_code == 200


def test_two_hosts_are_none(site: Site):
    client = site.anybody()
    headers = [("Host", f"127.0.0.1:{PORT}"), ("Host", "evil.example")]
    assert client.get("/", headers=headers).status_code == 421


# -- forged requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1", ""]
)
def test_a_change_from_another_origin_is_refused(site: Site, origin: str):
    client = site.login()
    assert client.post(RATE, json=RATING, headers={"Origin": origin}).status_code == 403
    assert nothing_kept(site)


def test_a_change_without_origin_is_refused(site: Site):
    client = site.login()
    del client.headers["Origin"]
    assert client.post(RATE, json=RATING).status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_a_change_needs_the_token_against_forgery(site: Site, token: str):
    client = site.login()
    sent = client.post(RATE, json=RATING, headers={"X-CSRF-Token": token.encode("latin-1")})
    assert sent.status_code == 403
    del client.headers["X-CSRF-Token"]
    assert client.post(RATE, json=RATING).status_code == 403
    assert nothing_kept(site)


def test_the_token_of_somebody_else_is_wrong(site: Site):
    one, other = site.login("operator", "A"), site.login("operator", "B")
    one.headers["X-CSRF-Token"] = other.headers["X-CSRF-Token"]
    assert one.post(RATE, json=RATING).status_code == 403


def test_a_form_of_another_site_has_the_wrong_type(site: Site):
    client = site.login()
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        sent = client.post(RATE, content=json.dumps(RATING), headers={"Content-Type": kind})
        assert sent.status_code == 415
    assert nothing_kept(site)


def test_what_a_browser_says_of_another_site_is_believed(site: Site):
    client = site.login()
    for told in ("cross-site", "same-site"):
        refused = client.get("/api/v1/patients", headers={"Sec-Fetch-Site": told})
        assert refused.status_code == 403
    assert client.get("/api/v1/me", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_no_answer_lets_another_origin_read_it(site: Site):
    client = site.login()
    told = client.get("/api/v1/patients", headers={"Origin": "http://evil.example"})
    assert not [name for name in told.headers if name.startswith("access-control")]
    asked = client.options("/api/v1/patients", headers={"Access-Control-Request-Method": "POST"})
    assert asked.status_code == 405


def test_no_get_changes_anything(site: Site):
    """Every GET of the documentation, asked once: the data set is byte for byte as it was."""
    client = site.login()
    assert client.post(RATE, json=RATING).status_code == 200
    root = site.place.dataset

    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    before = content()
    paths: dict[str, Any] = client.get("/api/v1/openapi.json").json()["paths"]
    asked = 0
    for path, verbs in paths.items():
        assert set(verbs) <= {"get", "post"}
        if "get" in verbs:
            asked += 1
            where = path.format(subject="P01", session="01", kind="screening")
            assert client.get(where).status_code in {200, 403, 404}
    assert asked >= 10
    assert content() == before


# -- logging in -----------------------------------------------------------------------------------


def test_a_link_works_once(site: Site):
    token = site.logins.invite(Person("AB", "operator"))
    first = site.anybody().post("/api/v1/login", json={"token": token})
    assert first.status_code == 200
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert cookie.startswith(cookie_name(PORT))
    again = site.anybody().post("/api/v1/login", json={"token": token})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers


def test_nobody_is_told_anything_without_logging_in(site: Site):
    client = site.anybody()
    paths: dict[str, Any] = client.get("/api/v1/openapi.json").json()["paths"]
    for path, verbs in paths.items():
        where = path.format(subject="P01", session="01", kind="screening")
        if "get" in verbs:
            assert client.get(where).status_code == 401, path
        if "post" in verbs and path != "/api/v1/login":
            assert client.post(where, json={}).status_code == 401, path


def test_a_cookie_ends_with_its_day_and_with_logging_out(site: Site):
    now_s = [0.0]
    logins = Logins(lambda: now_s[0])
    entered = logins.enter(logins.invite(Person("AB", "operator")))
    assert entered is not None
    cookie, login = entered
    assert logins.of(cookie) is login
    assert logins.of(cookie + "x") is None
    now_s[0] = VALID_S
    assert logins.of(cookie) is None
    client = site.login()
    told: list[Person] = []
    site.gate.inner.state.renewed = told.append  # type: ignore[attr-defined]
    assert client.post("/api/v1/logout", json={}).status_code == 200
    assert client.get("/api/v1/me").status_code == 401
    assert [person.role for person in told] == ["operator"]


def test_the_link_is_a_fragment_which_no_server_is_sent(site: Site):
    token = site.logins.invite(Person("AB", "operator"))
    assert site.anybody().get(f"/api/v1/login?token={token}").status_code == 405
    assert site.logins.enter(token) is not None


def test_people_are_named_once_with_a_role_that_there_is():
    from tacs.errors import InputError

    assert [(p.name, p.role) for p in people_of(["AB=operator", "C D=rater"])] == [
        ("AB", "operator"), ("C D", "rater"),
    ]  # fmt: skip
    for told in (["AB"], ["AB=boss"], ["=rater"], ["A\x07=rater"], ["AB=rater", "ab=operator"]):
        with pytest.raises(InputError, match="--role"):
            people_of(told)


# -- WebSocket hijacking --------------------------------------------------------------------------


def refused(client: Any, headers: dict[str, str]) -> bool:
    try:
        with client.websocket_connect(LIVE, headers=headers):
            return False
    except WebSocketDisconnect as exc:
        return exc.code == 4403


def test_a_channel_needs_origin_host_and_cookie(site: Site):
    client = site.login()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Host": f"evil.example:{PORT}"},
        {"Origin": ORIGIN, "Cookie": f"{cookie_name(PORT)}=wrong"},
    ):
        assert refused(client, headers), headers
    assert refused(site.anybody(), {"Origin": ORIGIN})


def test_a_channel_begins_with_the_token(site: Site):
    client = site.login()
    with client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel:
        channel.send_json({"hello": "wrong"})
        with pytest.raises(WebSocketDisconnect) as ended:
            channel.receive_json()
        assert ended.value.code == 4403
    with client.websocket_connect(LIVE, headers={"Origin": ORIGIN}) as channel:
        channel.send_json({"hello": client.headers["X-CSRF-Token"]})
        assert channel.receive_json()["welcome"]["channel"]


# -- sizes, headers, names ------------------------------------------------------------------------


def test_large_and_deep_bodies_are_refused_before_they_are_parsed(site: Site):
    client = site.login()
    kind = {"Content-Type": "application/json"}
    assert client.post(RATE, content=b" " * (BODY_MAX + 1), headers=kind).status_code == 413
    assert client.post(RATE, content=b"[" * 50_000, headers=kind).status_code == 400
    assert client.post(RATE, content=b'{"a":' * 20 + b"1", headers=kind).status_code == 400
    assert not too_deep(b'{"a": "[[[[[[[[[[[[[[[[[[[[\\"[["}')
    for body in (b"", b"null", b"\xff", b'{"scale": NaN}', b"[1"):
        assert client.post(RATE, content=body, headers=kind).status_code in {400, 422}
    assert nothing_kept(site)


def test_every_answer_carries_the_headers(site: Site):
    client = site.login()
    answers = [
        client.get("/"), client.get("/static/app.js"), client.get("/api/v1/me"),
        client.get("/nothing"), client.post(RATE, json={}), client.delete("/api/v1/me"),
        client.get("/", headers={"Host": "evil.example"}),
    ]  # fmt: skip
    for told in answers:
        policy = told.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["x-frame-options"] == "DENY"
        assert told.headers["cache-control"] == "no-store"
        assert "server" not in told.headers


@pytest.mark.parametrize(
    "label",
    ["..", "%2e%2e", "..%2fP01", "P01%00", "/etc/passwd", "CON", "nul", "Lpt1", "P" * 33, "Ｐ01",
     "P-1", "P 1", "P+1", "%0a"],
)  # fmt: skip
def test_a_label_is_letters_and_digits(site: Site, label: str):
    client = site.login()
    assert client.post(f"/api/v1/patients/{label}/ratings", json=RATING).status_code in {
        404,
        405,
        422,
    }
    for path in ("timeline", "calendar", "reports/01", "ratings.csv"):
        assert client.get(f"/api/v1/patients/{label}/{path}").status_code in {404, 422}
    assert client.get(f"/api/v1/patients/P01/reports/{label}").status_code in {404, 422}
    assert client.post(RATE, json={**RATING, "session": label}).status_code == 422
    assert nothing_kept(site)


def test_no_path_of_a_request_is_opened(site: Site):
    client = site.anybody()
    for path in (
        "/static/../app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%2fetc/passwd",
        "/static/..\\app.py", "/static/index.html%00.js", "/static/vendor", "/static/",
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path


def test_a_report_that_is_a_link_to_elsewhere_is_not_followed(site: Site, tmp_path: Any):
    from tacs.dataset import SessionPaths

    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    report = SessionPaths.of(site.place.dataset, "P01", "01").report
    report.parent.mkdir(parents=True)
    report.symlink_to(secret)
    assert site.login().get("/api/v1/patients/P01/reports/01").status_code == 404
    report.unlink()
    report.write_text("<script>alert(1)</script>")
    told = site.login("read-only").get("/api/v1/patients/P01/reports/01")
    assert told.status_code == 200
    policy = told.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
