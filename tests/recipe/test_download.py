"""Archives of a corpus: continued, checked, unpacked safely, refused by name."""

import download
import pytest
from corpora import Archive

from espnet_kd.errors import KDError


def make_archive(tmp_path, members):
    import io
    import tarfile

    path = tmp_path / "remote" / "dev-clean.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return Archive(path.as_uri(), download.md5_of(path))


def test_an_archive_is_fetched_checked_and_unpacked(tmp_path):
    name = "LibriSpeech/dev-clean/1/1/1-1.trans.txt"
    archive = make_archive(tmp_path, {name: "1-1-0000 HI\n"})
    download.fetch(archive, tmp_path / "corpus")
    assert (tmp_path / "corpus/dev-clean/1/1/1-1.trans.txt").read_text() == "1-1-0000 HI\n"
    assert [p.name for p in (tmp_path / "corpus").iterdir()] == ["dev-clean"]


def test_a_wrong_checksum_is_refused_and_removed(tmp_path):
    archive = make_archive(tmp_path, {"LibriSpeech/dev-clean/a": "x"})
    with pytest.raises(KDError, match="has not the publisher's checksum"):
        download.fetch(Archive(archive.url, "0" * 32), tmp_path / "corpus")
    assert not list((tmp_path / "corpus").iterdir())


def test_an_archive_cannot_write_outside(tmp_path):
    archive = make_archive(tmp_path, {"../../evil": "x"})
    with pytest.raises(KDError, match="cannot be unpacked"):
        download.fetch(archive, tmp_path / "corpus")
    assert not (tmp_path / "evil").exists()


def test_a_broken_download_is_continued_over_http(tmp_path):
    import http.server
    import threading

    content, asked = bytes(range(256)) * 40, []

    class Handler(http.server.BaseHTTPRequestHandler):
        """Serves one file, from where it is asked."""

        def do_GET(self):
            start = int(self.headers["Range"].split("=")[1].rstrip("-"))
            asked.append(start)
            self.send_response(206)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "a.tar.gz"
    file.with_name("a.tar.gz.partial").write_bytes(content[:1000])
    try:
        download.download(f"http://127.0.0.1:{server.server_port}/a.tar.gz", file)
    finally:
        server.shutdown()
    assert asked == [1000]
    assert file.read_bytes() == content


def test_no_network_is_said(tmp_path):
    with pytest.raises(KDError, match=r"cannot be downloaded.*--librispeech_dir"):
        download.download("http://127.0.0.1:9/a.tar.gz", tmp_path / "a.tar.gz")
