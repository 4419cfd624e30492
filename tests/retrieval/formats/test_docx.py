"""Word documents: their words in order, headings, lists, and rows with the names of columns."""

import io
import zipfile
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from avalan.retrieval.documents import Block, Unreadable, survey


def block(folder: Path, data: bytes) -> Block:
    path = folder / "a.docx"
    path.write_bytes(data)
    (found,) = survey(path).blocks()
    return found


def saved(word: object) -> bytes:
    made = io.BytesIO()
    word.save(made)  # type: ignore[attr-defined]
    return made.getvalue()


def test_paragraphs_headings_lists_and_tables_come_in_order(
    tmp_path: Path, samples: dict[str, bytes]
) -> None:
    found = block(tmp_path, samples["a.docx"])
    assert found.text == (
        "Before any heading.\n\nTea\n\nGreen\n\nIt brews for two minutes.\n\n- cup\n\n"
        "| name: Anna | age: 30 | town: Rome\n| name: Bo | age: 41 | town: Oslo\n\n"
    )
    assert [(each.level, each.title) for each in found.headings] == [(0, "Tea"), (1, "Green")]
    # Where there are headings, they are the place.
    assert found.places == ((0, "paragraph 1"), (21, ""))
    assert (found.locator(0, 6), found.locator(25, 30)) == ("paragraph 1", "")


def test_a_table_of_two_columns_has_a_header_only_if_it_says_so(tmp_path: Path) -> None:
    word = docx.Document()
    for _ in range(2):
        table = word.add_table(2, 2)
        for row, words in zip(table.rows, [("Owner", "Anna"), ("Town", "Rome")], strict=True):
            for cell, text in zip(row.cells, words, strict=True):
                cell.text = text
    marked = word.tables[1].rows[0]._tr.get_or_add_trPr()
    marked.append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))
    assert block(tmp_path, saved(word)).text == (
        "| Owner | Anna\n| Town | Rome\n\n| Owner: Town | Anna: Rome\n\n"
    )


def test_what_was_inserted_counts_and_what_was_deleted_does_not(tmp_path: Path) -> None:
    word = docx.Document()
    paragraph = word.add_paragraph("kept ")
    for name, inner in [
        ("ins", "<w:r><w:t>new</w:t></w:r>"),
        ("del", "<w:r><w:delText>old</w:delText></w:r>"),
    ]:
        paragraph._p.append(parse_xml(f'<w:{name} {nsdecls("w")} w:id="1">{inner}</w:{name}>'))
    control = f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>in a field</w:t></w:r></w:p>"
    word.element.body.insert(0, parse_xml(control + "</w:sdtContent></w:sdt>"))
    assert block(tmp_path, saved(word)).text == "in a field\n\nkept new\n\n"


def test_a_list_is_known_by_its_numbers_and_a_text_box_is_read_once(tmp_path: Path) -> None:
    word = docx.Document()
    word.add_paragraph("item")._p.get_or_add_pPr().get_or_add_numPr()
    name = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    box = "<w:r><w:t>boxed</w:t></w:r>"
    either = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    word.add_paragraph()._p.append(
        parse_xml(
            f'<mc:AlternateContent xmlns:mc="{name}" {nsdecls("w")}>{either}</mc:AlternateContent>'
        )
    )
    assert block(tmp_path, saved(word)).text == "- item\n\nboxed\n\n"


def test_a_document_without_words_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(saved(docx.Document()))
    assert list(survey(path).blocks()) == []


def test_a_document_without_its_main_part_is_damaged(
    tmp_path: Path, samples: dict[str, bytes]
) -> None:
    with zipfile.ZipFile(io.BytesIO(samples["a.docx"])) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    del held["word/document.xml"]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(Unreadable, match="it is damaged, or not what its name says"):
        block(tmp_path, made.getvalue())
