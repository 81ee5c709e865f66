"""The corpora of the two papers: downloads of the public ones, and how to apply for the licensed ones."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from conjoin.errors import DataError, SettingError, unknown_name
from conjoin.storage.atomic import folder_to_fill
from conjoin.storage.downloads import download, sha256_of, unreachable

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all if known


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of a corpus: addresses that are tried in turn, and the SHA-256 checksum."""

    name: str
    addresses: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class PublicCorpus:
    """A corpus that anyone may download; `terms` are its authors and conditions of use."""

    name: str
    files: tuple[CorpusFile, ...]
    terms: str
    note: str


@dataclass(frozen=True, slots=True)
class LicensedCorpus:
    """A corpus under a licence: `apply` is the address to apply to, `use` how to read the copy."""

    name: str
    apply: str
    use: str


_RAW = "https://raw.githubusercontent.com"
_BEKOULIS = f"{_RAW}/bekou/multihead_joint_entity_relation_extraction"
_PFN = f"{_RAW}/Coopercoppers/PFN/c54e4fc487d92d37f2356df28ae2224376259d74/data/CONLL04"
_ROTH = "Roth & Yih 2004; free for research, no licence is stated: do not pass it on, cite the paper"


def _bekoulis(split: str, sha256: str) -> CorpusFile:
    places = (f"{_BEKOULIS}/{ref}/data/CoNLL04/{split}.txt" for ref in ("7f40a0f", "master"))
    return CorpusFile(f"{split}.txt", tuple(places), sha256)


def _spert(split: str, sha256: str) -> CorpusFile:
    return CorpusFile(f"conll04_{split}.json", (f"{_PFN}/{split}_triples.json",), sha256)


PUBLIC: Mapping[str, PublicCorpus] = {
    corpus.name: corpus
    for corpus in (
        PublicCorpus("conll04", (
            _bekoulis("train", "0f560fdaa150133fc4843f72e2a8e707e7f74f06a3a3095d4b9921f8d0ce3614"),
            _bekoulis("dev", "99e854fd2a7d19247230c3ed8c304f79022380c9d21b58f25e7ffc5fe3884e2d"),
            _bekoulis("test", "d172819deff771c059c9c6688d67c3ff2bdaa25cf71ec56b1f7e8c6705f96700"),
        ), _ROTH, "910 train, 243 dev and 288 test sentences, the cut of Gupta et al. 2016 that Crone 2020 uses"),
        PublicCorpus("conll04-spert", (
            _spert("train", "65c52d5b6134c72c44277c74c5ecb354bf33aa352fc7b856edf6bda0bb436eea"),
            _spert("dev", "3965a5110a79671fb74a78c0fd0113c4da6583c3833bd418c1ca414bb491e010"),
            _spert("test", "347f45cf181b5641d2373248a1af0592954415234f72536835dde1df1b504556"),
        ), _ROTH, "922 train, 231 dev and the same 288 test sentences, as SpERT has them; do not mix with the other cut"),
        PublicCorpus("ade", (
            CorpusFile("DRUG-AE.rel", tuple(f"{_RAW}/trunghlt/AdverseDrugReaction/{ref}/ADE-Corpus-V2/DRUG-AE.rel"
                                            for ref in ("2851af96e26050cf551a2e1f716ff861f7b1059b", "master")),
                       "542cdc483ccc94927762eaf2c9a8ecac49a6c10037dda2895be6a6e20160f75a"),
        ), "Gurulingappa et al. 2012; free for research, cite the paper",
            "4,272 sentences; overlapping entities: --option overlap=keep-longer (Crone 2020) or drop-relations"),
    )
}

_ACE_USE = "conjoin reads the original .sgm and .apf.xml files: conjoin check FOLDER --format ace"
LICENSED: Mapping[str, LicensedCorpus] = {
    corpus.name: corpus
    for corpus in (
        LicensedCorpus("ace04", "the Linguistic Data Consortium, catalogue number LDC2005T09: "
                       "https://catalog.ldc.upenn.edu/LDC2005T09", _ACE_USE),
        LicensedCorpus("ace05", "the Linguistic Data Consortium, catalogue number LDC2006T06: "
                       "https://catalog.ldc.upenn.edu/LDC2006T06", _ACE_USE),
        LicensedCorpus("i2b2", "the n2c2 data portal of Harvard Medical School, after a data use agreement: "
                       "https://portal.dbmi.hms.harvard.edu/projects/n2c2-nlp/",
                       "conjoin reads the original .txt, .con and .rel files: conjoin check FOLDER --format i2b2"),
    )
}


def public_corpus(name: str, corpora: Mapping[str, PublicCorpus] = PUBLIC) -> PublicCorpus:
    """The corpus of that name. Raises `SettingError` when it is unknown or may not be downloaded."""
    if name in LICENSED:
        licensed = LICENSED[name]
        raise SettingError(f"'{name}' is licensed and cannot be downloaded; apply to {licensed.apply}; then {licensed.use}")
    if name not in corpora:
        raise SettingError(unknown_name("corpus", name, (*corpora, *LICENSED)))
    return corpora[name]


def fetch(name: str, folder: Path, *, corpora: Mapping[str, PublicCorpus] = PUBLIC,
          progress: Progress = lambda name, done, total: None) -> list[Path]:
    """Download the files of a public corpus that are not in the folder yet; partial downloads resume.

    `progress` is called with the name of a file, bytes so far, and bytes in all if known.

    Raises:
        DataError: When a file cannot be downloaded from any address, or has another checksum.
        SettingError: When the corpus is unknown or may not be downloaded.
    """
    corpus = public_corpus(name, corpora)
    with folder_to_fill(folder):
        return [_fetch(file, folder, progress) for file in corpus.files]


def _fetch(file: CorpusFile, folder: Path, progress: Progress) -> Path:
    path = folder / file.name
    if path.exists():
        if sha256_of(path) != file.sha256:
            raise DataError(f"{path}: is not the published file (its checksum differs); move it away, or fetch into "
                            "another folder")
        return path
    part = folder / f".{file.name}.part"
    reasons, hosts = [], []
    for address in file.addresses:
        try:
            download(address, part, lambda done, total: progress(file.name, done, total))
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons.append(f"{address}: {error or type(error).__name__}")
            hosts += [host] if (host := unreachable(address, error)) else []
            continue
        if sha256_of(part) == file.sha256:
            part.replace(path)
            return path
        part.unlink()
        reasons.append(f"{address}: other content than was published (its checksum differs)")
    partial = f"; the same command resumes the partial download in {part}" if part.exists() else ""
    if len(hosts) == len(file.addresses):
        raise DataError(f"{file.name} cannot be downloaded: there is no connection to {' or '.join(dict.fromkeys(hosts))}; "
                        f"try again, or put the file into {folder} yourself{partial}")
    raise DataError(f"{file.name} cannot be downloaded: {'; '.join(reasons)}{partial}")
