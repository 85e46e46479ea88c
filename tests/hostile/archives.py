"""Packed models and downloaded archives that lead elsewhere, or nowhere."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path
from random import Random

import yaml
from hostile.files import rewrite

META = "meta.yaml"


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _pack(path: Path, members: dict[str, bytes]) -> None:
    path.unlink(missing_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)


def traversal(path: Path, order: Random, canary: Path) -> None:
    """A member that would be written elsewhere."""
    names = ["../evil", "../../evil", str(canary), "exp/../../../evil", "..\\evil"]
    names += [f"./{canary}", "exp/..//..//evil", f"//{canary}"]
    _pack(path, _members(path) | {order.choice(names): b"x"})


def linked(path: Path, _order: Random, canary: Path) -> None:
    """A link that leads out, and a member that would be written through it."""
    members = _members(path)
    _pack(path, members)
    link = zipfile.ZipInfo("out")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(link, str(canary.parent))
        packed.writestr(f"out/{canary.name}", b"x")


def bomb(path: Path, _order: Random, _canary: Path) -> None:
    """A member of gigabytes of zeros, in little."""
    _pack(path, _members(path))
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed,
        packed.open("exp/large", "w", force_zip64=True) as member,
    ):
        for _ in range(40):
            member.write(bytes(1 << 20))
    # What is told of its size is not what it is.
    data = path.read_bytes()
    told = struct.pack("<I", 40 << 20)
    rewrite(path, data.replace(told, struct.pack("<I", 0xF0000000)))


def member_less(path: Path, order: Random, _canary: Path) -> None:
    """A member is missing."""
    members = _members(path)
    del members[order.choice(sorted(members))]
    _pack(path, members)


def bad_member(path: Path, order: Random, canary: Path) -> None:
    """A member that is damaged, or runs something, in a zip that is well."""
    from hostile.mutate import MUTATIONS, mutations_of

    members = _members(path)
    name = order.choice(sorted(members))
    file = path.with_name(f"member{Path(name).suffix}")
    file.write_bytes(members[name])
    names = [n for n in mutations_of(file.name) if MUTATIONS[n].kind != "any"]
    names += ["flip", "cut", "zeros", "noise", "empty"]
    MUTATIONS[order.choice(names)].apply(file, order, canary)
    _pack(path, members | {name: file.read_bytes()})
    file.unlink()


def bad_meta(path: Path, order: Random, canary: Path) -> None:
    """A table of contents that leads elsewhere, or says nothing that can be read."""
    members = _members(path)
    meta = yaml.safe_load(members[META])
    part = order.choice(["files", "yaml_files"])
    key = next(iter(meta[part]))
    places = ["../../here/exp/config.yaml", str(canary.parent / "here/exp/config.yaml")]
    places += [5, None, [], {}, "", ".", "\x00", "exp", META, "x" * 5000, "exp/none.yaml"]
    if order.random() < 0.7:
        meta[part][key] = order.choice(places)
    else:
        meta[part] = order.choice([[], 3, "x", None, {1: 2}, {"lm_a": "b"}, {"x": {}}])
    _pack(path, members | {META: yaml.safe_dump(meta).encode()})


def headers(path: Path, order: Random, _canary: Path) -> None:
    """Fields of the zip's own headers that say something else."""
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 4) if data[i : i + 4] in (b"PK\1\2", b"PK\3\4")]
    at = order.choice(starts)
    offset = order.choice([4, 6, 8, 10, 14, 18, 22, 26, 28, 30, 42])
    for place in range(at + offset, min(at + offset + 2, len(data))):
        data[place] = order.randrange(256)
    rewrite(path, bytes(data))


def odd_names(path: Path, order: Random, _canary: Path) -> None:
    """Members with names that no disk takes, or that fall on each other."""
    names = ["x" * 300, "exp", "exp/config.yaml/x", "a\x00b", "con", " ", "/" * 9, "exp//x"]
    members = _members(path)
    chosen = order.choice(names)
    _pack(
        path,
        {chosen: b"x", **members} if order.random() < 0.5 else {**members, chosen: b""},
    )


PACKED = (
    *(traversal, linked, bomb, member_less, bad_member, bad_meta, headers, odd_names),
)


def tar_members(path: Path, order: Random, canary: Path) -> None:
    """Members that would be written elsewhere, links, devices."""
    info = tarfile.TarInfo(order.choice(["../../evil", str(canary), "LibriSpeech/x"]))
    kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    info.type = order.choice([*kinds, tarfile.CHRTYPE])
    info.linkname = order.choice([str(canary.parent), "../../..", "none"])
    info.size = 1 if info.type == tarfile.REGTYPE else 0
    path.unlink()
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(info, io.BytesIO(b"x"))
        through = tarfile.TarInfo(f"{info.name}/{canary.name}")
        through.size = 1
        archive.addfile(through, io.BytesIO(b"x"))


TAR = (tar_members,)
