"""Small documents of the kinds that are no text, made by hand or by their own libraries."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence

import docx
import pytest

Line = tuple[float, float, float, str]
"""(x, y, size, text), in points from the page's lower left."""

MAN = r""".TH BREW 1 "2026-01-01"
.SH NAME
brew \- make tea
.SH OPTIONS
.TP
.BR \-t ", " \-\-time " \fIminutes\fR"
How long it brews; two \(em no more.
"""


def pdf_bytes(
    pages: Sequence[Sequence[Line]], *, encrypted: bool = False, outline: Sequence[str] = ()
) -> bytes:
    """A PDF whose pages have these lines, in Helvetica; and an entry of the outline for each."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for lines in pages:
        shown = "".join(
            f"BT /F1 {size} Tf {x} {y} Td ({text}) Tj ET\n" for x, y, size, text in lines
        )
        objects.append(f"<< /Length {len(shown)} >>\nstream\n{shown}endstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    root = len(objects) + 1
    if outline:
        objects[0] = f"<< /Type /Catalog /Pages 2 0 R /Outlines {root} 0 R >>"
        objects.append(f"<< /First {root + 1} 0 R /Last {root + len(outline)} 0 R >>")
    for number, (title, page) in enumerate(zip(outline, kids, strict=False), root + 1):
        following = f"/Next {number + 1} 0 R" if number < root + len(outline) else ""
        objects.append(f"<< /Title ({title}) /Parent {root} 0 R {following} /Dest [{page} /Fit] >>")
    file, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    locked = ""
    if encrypted:  # With keys that no password fits.
        keys = f"/O <{'41' * 32}> /U <{'42' * 32}>"
        locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 {keys} >> /ID [<61> <61>] "
    trailer = f"trailer\n<< /Size {len(objects) + 1} {locked}/Root 1 0 R >>\n"
    return file + f"{trailer}startxref\n{start}\n%%EOF\n".encode()


def epub_bytes(chapters: dict[str, str], **files: str) -> bytes:
    """An EPUB with these chapters, in their order; and other files, `__` for a slash."""
    items = "".join(
        f'<item id="{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="{n}"/>' for n in range(len(chapters)))
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    container += '<rootfile full-path="book/a.opf"/></rootfiles></container>'
    package = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest>'
    package += f"<spine>{spine}</spine></package>"
    held = {"META-INF/container.xml": container, "book/a.opf": package}
    held |= {f"book/{name}": text for name, text in chapters.items()}
    held |= {name.replace("__", "/"): text for name, text in files.items()}
    return zip_bytes(held)


def zip_bytes(files: dict[str, str]) -> bytes:
    """A ZIP file that holds these."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def docx_bytes() -> bytes:
    """A Word document with a bit of everything."""
    word = docx.Document()
    word.add_paragraph("Before any heading.")
    word.add_heading("Tea", 0)
    word.add_heading("Green", 1)
    word.add_paragraph("It brews for two minutes.")
    word.add_paragraph("cup", style="List Bullet")
    table = word.add_table(3, 3)
    rows = [["name", "age", "town"], ["Anna", "30", "Rome"], ["Bo", "41", "Oslo"]]
    for row, words in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, words, strict=True):
            cell.text = text
    made = io.BytesIO()
    word.save(made)
    return made.getvalue()


def notebook_bytes() -> bytes:
    """A notebook with prose, code and output."""
    code: dict[str, object] = {"cell_type": "code", "source": ["x = 1\n", "x + 1"], "metadata": {}}
    code["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["hello\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "2", "image/png": "iVBO"}},
        {"output_type": "error", "ename": "NameError", "evalue": "no y", "traceback": []},
    ]
    prose = {"cell_type": "markdown", "source": "# Sums\n\nTwo numbers.", "metadata": {}}
    return json.dumps({"cells": [prose, code], "nbformat": 4, "metadata": {}}).encode()


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    """What makes a PDF of lines."""
    return pdf_bytes


@pytest.fixture
def make_epub() -> Callable[..., bytes]:
    """What makes an EPUB of chapters."""
    return epub_bytes


@pytest.fixture
def make_zip() -> Callable[..., bytes]:
    """What makes a ZIP file."""
    return zip_bytes


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """A sound document of each kind, by its file's name."""
    lines = [(72.0, 700 - 14 * n, 12.0, f"This is line {n} of the page.") for n in range(20)]
    return {
        "a.pdf": pdf_bytes([[(72, 730, 20, "A title"), *lines]] * 2),
        "a.docx": docx_bytes(),
        "a.epub": epub_bytes(
            {"1.xhtml": "<h1>One</h1><p>Some words.</p>", "2.html": "<p>More</p>"}
        ),
        "a.ipynb": notebook_bytes(),
        "a.1": MAN.encode(),
        "a.csv": b'name,age\n"Bo, the ""old""\none",41\nAnna,30\n',
        "a.html": b"<title>T</title><h1>One</h1><p>Some words.</p>",
        "a.rs": b"/// Adds.\npub fn add(a: u8) -> u8 {\n    a + 1\n}\n",
        "a.jsonl": b'{"a": 1}\n{"a": 2}\n',
    }
