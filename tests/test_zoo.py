"""Models by name: what ships, which folder a name means, and a download that is whole or not there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evenface import zoo
from evenface.errors import ConfigError, ModelError, StorageError


GOOD = bytes(range(256)) * 1200  # 307,200 bytes: several blocks
OTHER = b"another export of the same network"
HASH = hashlib.sha256(GOOD).hexdigest()


class Server(BaseHTTPRequestHandler):
    """/good, /wrong, /short (fewer bytes than it told), /slow (stalls halfway), /unknown (no length), /endless, others are missing."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind = self.path.split("/")[1]
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/good/yunet.onnx")
            self.end_headers()
            return
        if kind not in ("good", "wrong", "short", "slow", "unknown", "endless", "pointer"):
            self.send_error(404)
            return
        body = {"wrong": GOOD[::-1], "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:8f\n"}.get(kind, GOOD)
        self.send_response(200)
        if kind not in ("unknown", "endless"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("short", "slow"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "slow":
                self.server.go_on.wait(20)  # type: ignore[attr-defined]
            return
        try:
            for _ in range(200 if kind == "endless" else 1):
                self.wfile.write(body)
        except OSError:  # the reader has had enough
            self.asked.append("left")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Server.asked = []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    made.go_on = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.go_on.set()  # type: ignore[attr-defined]
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, a download whose bytes are known, and no setting of the person who runs the tests."""
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "home"))
    for name in ("EVENFACE_OFFLINE", "HF_HUB_OFFLINE", "EVENFACE_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    known = {HASH: len(GOOD), hashlib.sha256(OTHER).hexdigest(): len(OTHER)}
    stand_in = dataclasses.replace(zoo.YUNET, address="http://127.0.0.1:9/none", known=known)
    monkeypatch.setattr(zoo, "DOWNLOADS", {"yunet": stand_in})
    return tmp_path / "home"


def at(server: ThreadingHTTPServer, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch from that page of the server."""
    monkeypatch.setenv("EVENFACE_MIRROR", f"http://127.0.0.1:{server.server_port}/{kind}/")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Downloads


def test_a_good_file_is_fetched_once(server: ThreadingHTTPServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(server, "good", monkeypatch)
    told: list[tuple[int, int]] = []
    path = zoo.download("yunet", progress=lambda done, total: told.append((done, total)))
    assert path == home / "models" / "yunet.onnx"
    assert path.read_bytes() == GOOD
    assert files(home) == ["yunet.onnx"]
    assert [total for _, total in told] == [len(GOOD)] * len(told)
    assert [done for done, _ in told] == [*range(65536, len(GOOD), 65536), len(GOOD)]
    assert zoo.download("yunet") == zoo.find("yunet") == zoo.require("yunet", "yunet:PATH") == path
    assert Server.asked == ["/good/yunet.onnx"]


def test_its_own_address_without_a_mirror(server: ThreadingHTTPServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = dataclasses.replace(zoo.DOWNLOADS["yunet"], address=f"http://127.0.0.1:{server.server_port}/moved/away.onnx")
    monkeypatch.setitem(zoo.DOWNLOADS, "yunet", own)
    assert zoo.download("yunet").read_bytes() == GOOD
    assert Server.asked == ["/moved/away.onnx", "/good/yunet.onnx"]


def test_another_folder(server: ThreadingHTTPServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(server, "unknown", monkeypatch)  # a server that tells no length
    assert zoo.download("yunet", tmp_path / "new" / "place") == tmp_path / "new" / "place" / "yunet.onnx"
    assert files(home) == []
    assert zoo.find("yunet") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="it is a file, not a folder"):
        zoo.download("yunet", tmp_path / "file")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wrong", f"is not yunet as it was published .SHA-256 {hashlib.sha256(GOOD[::-1]).hexdigest()[:12]}.*{HASH[:12]}"),
        ("short", "the connection ended after 153,600 of 307,200 bytes"),
        ("slow", "no answer for 0.3 seconds"),
        ("gone", "HTTP 404 Not Found.*--from FILE"),
        ("pointer", "is a pointer of Git LFS"),
        ("endless", "is not yunet as it was published"),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    kind: str, words: str, server: ThreadingHTTPServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "TIMEOUT", 0.3)
    at(server, kind, monkeypatch)
    with pytest.raises(ModelError, match=words) as caught:
        zoo.download("yunet")
    assert "\n" not in str(caught.value)
    assert files(home) == []


def test_an_endless_answer_is_not_read_to_its_end(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    at(server, "endless", monkeypatch)
    read = [0]
    with pytest.raises(ModelError):
        zoo.download("yunet", progress=lambda done, total: read.append(done))
    assert max(read) == len(GOOD) + 1


def test_a_wrong_file_leaves_the_old_one(server: ThreadingHTTPServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not known is there: it is fetched anew, and replaced by a whole one only."""
    old = home / "models" / "yunet.onnx"
    old.parent.mkdir(parents=True)
    old.write_bytes(GOOD[:-1])
    assert zoo.find("yunet") is None
    at(server, "wrong", monkeypatch)
    with pytest.raises(ModelError):
        zoo.download("yunet")
    assert old.read_bytes() == GOOD[:-1]
    at(server, "good", monkeypatch)
    assert zoo.download("yunet").read_bytes() == GOOD
    assert files(home) == ["yunet.onnx"]


def test_no_server(home: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"could not be fetched from http://127\.0\.0\.1:9/none \(Connection refused\); try again"):
        zoo.download("yunet")
    assert time.monotonic() - began < 5


def test_ctrl_c_leaves_nothing(server: ThreadingHTTPServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(server, "good", monkeypatch)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.download("yunet", progress=stop)
    assert files(home) == []


@pytest.mark.parametrize("name", ["EVENFACE_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(name: str, server: ThreadingHTTPServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(server, "good", monkeypatch)
    monkeypatch.setenv(name, "1")
    with pytest.raises(ModelError, match=r"EVENFACE_OFFLINE or HF_HUB_OFFLINE forbids fetching yunet; .*--from FILE"):
        zoo.download("yunet")
    assert Server.asked == []
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "yunet.onnx").write_bytes(GOOD)
    monkeypatch.setenv("EVENFACE_MIRROR", (tmp_path / "mirror").as_uri())  # a folder is no network
    path = zoo.download("yunet")
    at(server, "good", monkeypatch)
    assert zoo.download("yunet") == path  # what is there needs none either
    monkeypatch.setenv(name, "0")
    assert zoo.download("yunet", tmp_path / "more").read_bytes() == GOOD


def test_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("ftp://somewhere", "mirror.example.org", str(tmp_path)):
        monkeypatch.setenv("EVENFACE_MIRROR", wrong)
        with pytest.raises(ConfigError, match="EVENFACE_MIRROR is an address that begins with"):
            zoo.download("yunet")
    for broken in (tmp_path.as_uri(), "http://[x", "http://127.0.0.1:port"):
        monkeypatch.setenv("EVENFACE_MIRROR", broken)
        with pytest.raises(ModelError, match="could not be fetched from"):
            zoo.download("yunet")
    (tmp_path / "yunet.onnx").write_bytes(OTHER)  # an accepted one, though not the first
    monkeypatch.setenv("EVENFACE_MIRROR", tmp_path.as_uri())
    assert zoo.download("yunet").read_bytes() == OTHER


def test_a_file_from_elsewhere(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(OTHER)
    assert zoo.install("yunet", tmp_path / "mine.onnx") == home / "models" / "yunet.onnx" == zoo.find("yunet")
    assert (home / "models" / "yunet.onnx").read_bytes() == OTHER
    assert zoo.install("yunet", tmp_path / "mine.onnx", tmp_path / "to") == tmp_path / "to" / "yunet.onnx"
    (tmp_path / "wrong.onnx").write_bytes(OTHER + b"!")
    with pytest.raises(ModelError, match=r"wrong\.onnx is not yunet as it was published"):
        zoo.install("yunet", tmp_path / "wrong.onnx")
    with pytest.raises(ModelError, match="There is no file"):
        zoo.install("yunet", tmp_path / "gone.onnx")
    assert (home / "models" / "yunet.onnx").read_bytes() == OTHER


def test_unknown_downloads() -> None:
    for call in (zoo.download, zoo.find, zoo.get_download):
        with pytest.raises(ConfigError, match="Unknown download 'yunte'; did you mean 'yunet'"):
            call("yunte")


def test_the_known_files_are_the_real_ones(shared: Path) -> None:
    for name in ("dynamic", "640"):
        path = shared / "weights" / f"face_detection_yunet_{name}.onnx"
        if not path.is_file():
            pytest.skip(f"{path.name} is not in ../shared/weights")
        content = path.read_bytes()
        assert zoo.YUNET.known[hashlib.sha256(content).hexdigest()] == len(content)


def test_every_download_is_described() -> None:
    for wanted in (zoo.YUNET,):
        assert wanted.address.startswith("https://")
        assert wanted.source.startswith("https://")
        assert wanted.licence
        assert all(len(digits) == 64 and int(digits, 16) and size > 0 for digits, size in wanted.known.items())
        assert (wanted.sha256, wanted.size) == next(iter(wanted.known.items()))


# Folders and names


def write_model(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"class_names": ["fear", "anger"], **config}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n\n# A card\n")
    return folder


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which two classifiers ship, beside something else."""
    folder = tmp_path / "pretrained"
    write_model(folder / "second-112")
    write_model(folder / "first-112")
    (folder / "notes").mkdir()
    (folder / "README.md").write_text("")
    monkeypatch.setattr(zoo, "PRETRAINED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_what_ships(pretrained: Path) -> None:
    assert zoo.shipped() == ["first-112", "second-112"]
    assert zoo.default_model() == "first-112"
    assert zoo.model_path("second-112") == pretrained / "second-112"


def test_nothing_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "none", tmp_path):
        monkeypatch.setattr(zoo, "PRETRAINED", folder)
        assert zoo.shipped() == []
        with pytest.raises(ModelError, match="No classifier ships"):
            zoo.default_model()
        with pytest.raises(ModelError, match="There is no folder first-112; name the folder of a run or of a model"):
            zoo.model_path("first-112")


def test_the_package_itself_can_be_listed() -> None:
    assert Path(zoo.__file__).parent == zoo.PRETRAINED.parent
    for name in zoo.shipped():
        assert zoo.read_about(zoo.model_path(name))["class_names"]


def test_a_folder_goes_before_a_name(pretrained: Path, tmp_path: Path) -> None:
    own = write_model(tmp_path / "first-112")
    assert zoo.model_path("first-112") == Path("first-112")
    assert zoo.model_path(own) == own
    (tmp_path / "second-112").mkdir()  # an empty folder is no model
    assert zoo.model_path("second-112") == pretrained / "second-112"


def test_a_run_means_its_best_model(pretrained: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "x"
    write_model(run / "best")
    (run / "config.yaml").write_text("method: ce\n")
    assert zoo.model_path(run) == run / "best"
    (run / "best").rename(run / ".best.old")  # a save was killed between its two renames
    assert zoo.model_path(run) == zoo.model_path(run / "best") == run / "best"
    assert zoo.read_about(run / "best")["class_names"] == ["fear", "anger"]
    assert zoo.read_card(run / "best") == "# A card"
    assert zoo.weights_file(run / "best").read_bytes() == b"weights"


def test_no_model_there(pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError, match="run is neither a model folder"):
        zoo.model_path("run")
    (tmp_path / "run" / "config.yaml").write_text("")
    with pytest.raises(ModelError, match=r"has no best model yet; .* evenface train --resume run"):
        zoo.model_path("run")
    with pytest.raises(ModelError, match="Unknown model 'frist-112'; did you mean 'first-112'"):
        zoo.model_path("frist-112")
    with pytest.raises(ModelError, match="known are: first-112, second-112"):
        zoo.model_path("zzz")
    with pytest.raises(ModelError, match="There is no folder runs/first-112"):
        zoo.model_path("runs/first-112")
    with pytest.raises(ModelError, match="'yunet' is YuNet, a fast face detector with five landmarks, and no classifier"):
        zoo.model_path("yunet")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file is neither a model folder"):
        zoo.model_path("file")


def test_a_broken_config(pretrained: Path) -> None:
    for text in ("{", "[1]"):
        (pretrained / "first-112" / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"config\.json"):
            zoo.read_about(pretrained / "first-112")


def test_a_card_without_a_head(pretrained: Path) -> None:
    card = pretrained / "first-112" / "README.md"
    card.write_text("# Plain\n\n---\n\ntext\n")
    assert zoo.read_card(card.parent) == "# Plain\n\n---\n\ntext"
    card.write_bytes(b"---\ntags: [caf\xe9]\n---\n# Caf\xe9\n")
    assert zoo.read_card(card.parent) == "# Caf\ufffd"
    card.unlink()
    assert zoo.read_card(card.parent) == ""


def test_the_names_of_a_model_folder_are_the_same() -> None:
    from evenface import model_folder

    assert (zoo._WEIGHTS, zoo._CONFIG, zoo._CARD) == (model_folder.WEIGHTS, model_folder.CONFIG, model_folder.CARD)


def test_names_are_found_without_torch() -> None:
    code = "import sys; from evenface import zoo; zoo.shipped(); zoo.find('yunet'); print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]
