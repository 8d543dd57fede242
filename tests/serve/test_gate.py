"""The token, CORS, headers of security, the page, 404 and 405, and what stands in logs."""

from __future__ import annotations

import logging

import pytest

from .conftest import Bench, Make, part, picture


TOKEN = "correct-horse-battery"


def test_without_the_token_nothing_is_told(make: Make) -> None:
    client = make(token=TOKEN).client
    for headers in ({}, {"Authorization": "Bearer wrong-token"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer "}):  # fmt: skip
        for answer in (
            client.get("/v1/model", headers=headers),
            client.get("/metrics", headers=headers),
            client.post("/v1/predict", files=[part(picture())], headers=headers),
            client.get("/v1/nowhere", headers=headers),
        ):
            assert answer.status_code == answer.json()["status"] == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"


def test_with_it_all_is(make: Make) -> None:
    client = make(token=TOKEN).client
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/v1/model", headers=headers).status_code == 200
    assert client.post("/v1/predict", files=[part(picture())], headers=headers).status_code == 200
    assert 'evenface_requests_total{route="/v1/predict",method="POST",status="200"} 1' in client.get("/metrics", headers=headers).text


def test_the_page_and_the_probes_are_open(make: Make) -> None:
    client = make(token=TOKEN).client
    for path in ("/", "/static/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200, path


def test_tokens_are_compared_in_constant_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenface.serve import gate

    asked = []
    real = gate.hmac.compare_digest
    monkeypatch.setattr(gate.hmac, "compare_digest", lambda a, b: (asked.append((a, b)), real(a, b))[1])
    make(token=TOKEN).client.get("/v1/model", headers={"Authorization": "Bearer correct-horsf-batterz"})
    assert asked == [(b"correct-horsf-batterz", TOKEN.encode())]


def test_other_sites_are_shut_out_unless_named(make: Make) -> None:
    site = {"Origin": "https://site.example"}
    shut = make().client.post("/v1/predict", files=[part(picture())], headers=site)
    assert "access-control-allow-origin" not in shut.headers
    client = make(origins=["https://site.example"], token=TOKEN).client
    flight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    asked = client.options("/v1/predict", headers={**site, **flight})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://site.example"
    answer = client.get("/v1/model", headers={**site, "Authorization": f"Bearer {TOKEN}"})
    assert answer.headers["access-control-allow-origin"] == "https://site.example"
    assert client.options("/v1/predict", headers={"Origin": "https://evil.example", **flight}).status_code == 400
    assert "access-control-allow-origin" not in client.get("/v1/model", headers={"Origin": "https://evil.example"}).headers


def test_the_page_and_its_policy(bench: Bench) -> None:
    page = bench.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["connect-src"] == "'self'"
    assert (policy["img-src"], policy["media-src"]) == ("'self' blob: data:", "'self' blob:")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert bench.client.head("/").status_code == 200
    assert bench.client.get("/static/app.js").headers["content-type"].startswith("text/javascript")  # else "nosniff" would block it


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/v1/model", "/nowhere", "/metrics"])
def test_every_answer_has_the_headers(bench: Bench, path: str) -> None:
    headers = bench.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["permissions-policy"].startswith("camera=(self)")
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/static/app.js") else "no-store")
    assert "content-security-policy" in headers


@pytest.mark.parametrize(
    "path", ["/static/../conftest.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/", "/static//etc/passwd"]
)
def test_no_file_beside_the_page_is_served(bench: Bench, path: str) -> None:
    answer = bench.client.get(path)
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_paths_and_methods_are_problems(bench: Bench) -> None:
    missing = bench.client.get("/v2/predict")
    assert (missing.status_code, missing.json()["title"]) == (404, "There is nothing here")
    wrong = bench.client.get("/v1/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.headers["content-type"] == missing.headers["content-type"] == "application/problem+json"
    assert bench.client.get("/docs").status_code == 404


def test_nothing_of_a_picture_reaches_a_log(bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """With every logger at its loudest, over good, broken and malformed requests."""
    caplog.set_level(logging.DEBUG)
    secret = "holiday-of-anna.png"
    scores = set()
    for data in (picture(), b"anna", picture()[:200]):
        answer = bench.client.post("/v1/predict", files=[part(data, secret)])
        bench.client.post("/v1/explain", files=[part(data, secret)])
        if answer.status_code == 200:
            face = answer.json()["results"][0]["faces"][0]
            scores |= {str(p) for p in face["scores"].values() if p > 0.01} | {face["label"]}
    form = {"content-type": "multipart/form-data; boundary=xx"}
    bench.client.post(
        "/v1/predict", content=b'--xx\r\nContent-Disposition: form-data; name="files"; filename="anna"\r\n\r\nanna', headers=form
    )
    bench.client.post("/v1/predict", content=b"anna" * 9, headers=form)
    said = caplog.text + "".join(capfd.readouterr())
    assert len(scores) > 1
    for word in {secret, "anna", "\\x89PNG", *scores}:
        assert word not in said, said


def test_numbers_tell_no_path_of_a_clients(bench: Bench) -> None:
    for path in ("/secret-path", "/v1/secret", "/static/secret.js"):
        bench.client.get(path)
    bench.client.request("SECRET", "/v1/predict")
    page = bench.client.get("/metrics").text
    assert "secret" not in page.lower()
    assert 'route="other",method="GET",status="404"} 2' in page
    assert 'method="other",status="405"} 1' in page
