"""`docs/sources.md`: a section a type of source, made from the models that check a recipe and from examples here."""

from __future__ import annotations

from typing import Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.sources.config import SourceBase, SourceConfig
from sluice.web.config import FetchConfig

# What lies on disk, the recipe that reads it, and what it becomes.
_EXAMPLES: Final[dict[str, tuple[str, str, str]]] = {
    "folder": (
        "photos/\n  beach/0001.jpg\n  beach/0001.txt     a red kite over the beach\n  beach/0002.jpg\n"
        '  beach/0002.json    {"captions": ["a dog", "ein Hund"], "license": "CC0-1.0", "camera": "X100"}',
        "- type: folder\n  path: photos",
        "A sample an image; its key is the path below the folder (`beach/0001.jpg`). The whole `.txt` is one caption; "
        "both `a.txt` and `a.jpg.txt` lie beside `a.jpg`. A sidecar without an image is a failed sample "
        "(files called README, LICENSE, NOTICE and the like are not taken for sidecars). Hidden files are left out.",
    ),
    "table": (
        "captions.csv\n  image_path,caption,language,license\n  beach/0001.jpg,a red kite,en,CC-BY-4.0\n"
        "  beach/0001.jpg,ein roter Drachen,de,CC-BY-4.0",
        "- type: table\n  path: captions.csv\n  images: photos",
        "A sample an image. Rows in succession that name the same image are one sample with several captions; a row "
        "that names it again later is a sample `path#2`. A row whose image is missing, or that cannot be read, is a "
        "failed sample; an image that no row names is a sample without a caption (`unlisted`).",
    ),
    "webdataset": (
        "shards/000.tar\n  0001.jpg\n  0001.txt\n  0001.json",
        '- type: webdataset\n  path: "shards/{000..127}.tar"',
        "A sample a key (the name up to the first dot); its key in the source is `shard/key`. Only headers, texts and "
        "JSON are read. `.txt` is a caption, `.json` gives captions, rights and `meta`; other members are listed in "
        "`meta`. A link, a device, a path that leads out, a name twice, or more bytes declared than there are: the "
        "sample fails, and says why. Compressed tars must be decompressed first, because members are read in place.",
    ),
    "parquet": (
        "data/train-00000.parquet\n  image: {bytes, path}   captions: list of text   license: text",
        "- type: parquet\n  path: data/*.parquet",
        "A sample a row; its key is `file/row`. Images are binary, `{bytes, path}` or a list of either, and stay where "
        "they are. `conversations` or `messages` become turns. Where the bytes are null, `path` is read, relative to "
        "the file. A damaged row group fails its own rows.",
    ),
    "arrow": (
        "saved/data-00000-of-00001.arrow",
        "- type: arrow\n  path: saved",
        "As `parquet`. Both the file and the stream form are read; `datasets` saves streams.",
    ),
    "img2dataset": (
        "laion/\n  00000.tar\n  00000.parquet    url, caption, key, status, error_message, exif, sha256, ...",
        "- type: img2dataset\n  path: laion",
        "A sample a URL that was asked for; what could not be fetched is a failed sample (`io`) with img2dataset's own "
        "message. Every column is kept in `meta`. Shards may also be Parquet with the images in a column, "
        "or folders of files (`output_format` `parquet` and `files`).",
    ),
    "coco": (
        'captions_val2017.json\n  {"images": [...], "annotations": [...], "licenses": [...], "categories": [...]}',
        "- type: coco\n  path: annotations/captions_val2017.json\n  images: val2017",
        "A sample an image, its captions in the order of the file. Boxes, segments and keypoints are `objects` in the "
        "`meta` of the image, with the name of their category. The licence is the URL that the file's own table gives; "
        "`fetched` is `date_captured`.",
    ),
    "llava": (
        'llava.json\n  [{"id": "1", "image": "a.jpg",\n'
        '    "conversations": [{"from": "human", "value": "<image>\\nWhat?"}, ...]}]',
        "- type: llava\n  path: llava.json\n  images: images",
        "A sample a conversation: its images, then its turns (`human`, `gpt`, `system`), verbatim. Exactly as many "
        "`<image>` placeholders as images, else the sample fails.",
    ),
    "vqa": (
        "v2_OpenEnded_mscoco_val2014_questions.json\nv2_mscoco_val2014_annotations.json",
        "- type: vqa\n  path: v2_OpenEnded_mscoco_val2014_questions.json\n"
        "  annotations: v2_mscoco_val2014_annotations.json\n  images: val2014",
        "A sample a question: image, question, and each different answer with the weight `min(count / 3, 1)`. The ten "
        "answers as given are kept in `meta`.",
    ),
    "urls": (
        "lists/part-00000.parquet\n  URL: https://example.org/kite.jpg   TEXT: a red kite   LICENSE: ?",
        '- type: urls\n  path: lists/*.parquet\n  fetch: {user_agent: "mylab-crawler (+https://mylab.example/crawler)"}',
        "A sample a row; its key is `file/row`. `sluice run` fetches the images first, once, into tars below "
        "`RUN/00_raw/fetched`, and everything after reads them there. What could not be fetched is a failed sample "
        "with its class (`http_4xx`, `timeout`, `robots`, `optout`, ...); `sluice retry --class` fetches those again. "
        "[The web](web.md) says what is asked of whom, and how often. Needs `pip install 'sluice[web]'`.",
    ),
}
_HEAD: Final = """# Sources

<!-- Made by `sluice.sources.reference.markdown()`; a test keeps it current. -->

A source turns outside data into samples, by reference: no byte is copied at ingest, but for what a list
of URLs names, which is fetched. What is wrong with a source as a whole (no such file, another format, an unknown
column) stops the run with an error that names the file. What is wrong with one row is a **failed** sample with a class
(`io`, `decode`, `too_large`) and a message; the run goes on.

Several captions of an image stay several. Licence, author, source URL, date fetched and dataset name are taken where
the format has them, under their usual names; else they are null. Every other field is kept in `meta`.

Keys are relative to the folder that a pattern starts from, so a corpus that moves keeps its ids. A local ref holds the
absolute path, a remote one its URL.

## Data behind a URL

`path`, `images` and `annotations` may be URLs. `s3://` needs `pip install 'sluice[s3]'`, `http://` and `https://` need
`pip install 'sluice[http]'`; every other store that fsspec knows needs that store's own package. Endpoint and
credentials come from the environment, as for any AWS tool (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`), and are written nowhere. Workers read by ref from the same place.

- **Globs** are matched against a listing of the folder they start from. The web lists nothing (unless its server writes
  index pages): give brace ranges there. On the web `?` and `[` are characters of the URL, and the images that a table
  or an annotation file names are looked for only when they are read. Elsewhere one listing says which are there.
- **Whole files** (images, sidecars) cost one request each. Tars are read in windows of 64 KiB, doubled to 4 MiB while
  reads go on in order, so a tar of small members is read whole at ingest; members longer than 1 MiB are passed over. Of
  Parquet, the footer and the texts are read at ingest, the images a window at a time when they are measured or packed.
  An Arrow file is read whole, a record batch in memory at a time, once at ingest and from its start for each unit: keep
  its files small. At most 5 MiB of a shard are held, of 8 shards a worker.
- **Failures.** A wrong bucket, a missing object or refused credentials stop the run before it starts. An answer of 5xx,
  408, 425 or 429 and a broken connection are tried three times in about a second (botocore and s3fs try five times each
  themselves). What fails then at ingest stops the run where it is a table or a shard, else it fails its sample as `io`.
  An object that vanishes or changes its length after it was listed fails its samples as `io`.
- **Over HTTP** a server must serve ranges (RFC 9110) for tars and Parquet; a whole image needs none. A signed URL is
  refused: it is a key, and a recipe is copied into its run.

What 1,000 samples with images of 50 kB cost (counted by the server, moto's):

| source | ingest | measuring all in order |
| --- | --- | --- |
| a tar, with `.txt` and `.json` | 20 requests, 51 MiB | 19 requests, 51 MiB |
| Parquet, 100 rows a group | 23 requests, 1.2 MiB | 22 requests, 48 MiB |
| Arrow, 100 rows a batch | 23 requests, 48 MiB | 21 requests, 48 MiB |
| a folder | a request a sidecar, one a 1,000 names listed | a request an image |
"""


def markdown() -> str:
    """The page, made anew."""
    parts = [_HEAD, "## Options of every type\n", _options(SourceBase, frozenset())]
    common = frozenset(SourceBase.model_fields) | {"type"}
    for model in _models():
        kind = get_args(model.model_fields["type"].annotation)[0]
        data, recipe, meaning = _EXAMPLES[kind]
        parts += [f"## {kind}\n", f"{model.__doc__}\n", f"```text\n{data}\n```\n"]
        parts += [f"```yaml\nsources:\n{_indented(recipe)}\n```\n", f"{meaning}\n"]
        if model.model_fields.keys() - common:
            parts.append(_options(model, common))
    return "\n".join(parts)


def fetch_options() -> str:
    """The options of `fetch`, as a table with their defaults: a part of `docs/web.md`."""
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for name, option in FetchConfig.model_fields.items():
        default = option.get_default()
        shown = (
            str(list(default)) if isinstance(default, tuple) else str(default).lower() if default is True else default
        )
        lines.append(f"| `{name}` | `{shown}` | {option.description} |")
    return "\n".join(lines)


def _models() -> tuple[type[BaseModel], ...]:
    return get_args(get_args(SourceConfig)[0])


def _options(model: type[BaseModel], known: frozenset[str]) -> str:
    lines = ["| option | value | meaning |", "| --- | --- | --- |"]
    for name, option in model.model_fields.items():
        if name not in known:
            required = " (required)" if option.is_required() else ""
            lines.append(f"| `{name}`{required} | {_value(option)} | {option.description} |")
    return "\n".join(lines) + "\n"


def _value(option: FieldInfo) -> str:
    """What an option takes, in a word or two."""
    kinds = get_args(option.annotation) or (option.annotation,)
    if get_origin(option.annotation) is Literal:
        return " or ".join(f"`{kind}`" for kind in kinds)
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        return "fields"
    return "list of texts" if any(get_origin(kind) is list for kind in kinds) else "text"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
