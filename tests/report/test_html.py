import html.parser
import json
import re

import pytest

from kphotoz import report
from kphotoz.errors import InputError

VOID = {"meta", "img", "br", "hr", "link"}
ATTACK = "<script>alert('x')</script>\"&"


class Page(html.parser.HTMLParser):
    """Collects tags and attributes, and checks that tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def write(tmp_path):
    def written(comparison, figures=()):
        path = tmp_path / "report.html"
        report.write_html(comparison, figures, path)
        return path.read_text()

    return written


def test_page_is_well_formed_and_needs_no_other_file(comparison, figures, write):
    page = Page(write(comparison, figures))
    assert page.open == []
    assert page.tags.count("img") == 9
    assert not {"script", "link", "iframe"} & set(page.tags)
    for name, value in page.attributes:
        assert name not in ("href", "onclick", "onerror", "onload")
        if name == "src":
            assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value)
    text = " ".join(page.words)
    assert "N = 240 galaxies" in text and "Fine-tuning on a mock" in text


def test_scripts_in_names_are_shown_and_never_run(comparison, write):
    def poison(value):
        if isinstance(value, dict):
            return {poison_key(k): poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        if isinstance(value, str):
            return value if value in KEEP else value + ATTACK
        return value

    def poison_key(key):
        return key if key in STRUCTURE else key + ATTACK

    KEEP = {"nmad", "bias_median", "outlier_015", "catastrophic", "label", "z_true"}
    KEEP |= {"deployment", "target", "source"}
    STRUCTURE = set(comparison) | {"deployment", "target", "source", "evaluation"}
    for part in ("rows", "differences", "costs", "licences"):
        STRUCTURE |= set(comparison[part][0])
    STRUCTURE |= {"headline", "window", "window_on", "title", "rows", "trust", "text"}
    STRUCTURE |= {"description"}
    text = write(poison(comparison))
    assert "<script" not in text
    page = Page(text)
    assert page.open == [] and "script" not in page.tags
    assert "alert('x')" in " ".join(page.words)
    assert text.count("&lt;script&gt;") > 50


def test_everything_may_be_missing_but_rows(comparison, write):
    text = write({"rows": comparison["rows"]})
    assert Page(text).open == [] and "No answer was recorded" in text
    assert Page(write({})).open == []


def test_differences_stand_in_a_triangle_resolved_ones_bold(comparison, write):
    text = write(comparison)
    triangle = text.split("Paired differences")[1].split("</table>")[0]
    assert triangle.count("<tr>") == 6  # a head and one row for all but the best
    wanted = [
        d
        for d in comparison["differences"]
        if (d["sample"], d["fraction"]) == ("deployment", 1.0)
    ]
    resolved = sum(d["resolved"] for d in wanted)
    assert triangle.count("<strong>") == resolved
    assert triangle.count("not resolved") == len(wanted) - resolved + triangle.count(
        "grey is not resolved"
    )
    # lora (second) minus combined (first) = 0.040 - 0.036
    assert "0.0040 ± 0.0020" in triangle


def test_null_values_are_shown_as_not_available(comparison, write):
    comparison["rows"][0]["value"] = None
    assert "n/a" in write(comparison)


def test_light_and_dark_and_small_screens_are_styled(comparison, write):
    text = write(comparison)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    # No table may be wider than a phone without scrolling in its own box.
    assert text.count("<table>") == text.count('<div class="wide"><table>')


def test_missing_figure_is_an_error_in_one_line(comparison, write, tmp_path):
    with pytest.raises(InputError, match="Write the figures again"):
        write(comparison, [tmp_path / "absent.png"])


def test_figure_of_another_origin_needs_no_captions(comparison, write, tmp_path):
    path = tmp_path / "extra.png"
    path.write_bytes(b"\x89PNG")
    assert "<h3>extra</h3>" in write(comparison, [path])


def test_dollar_signs_in_text_are_text(comparison, write):
    comparison["title"] = "cost in $title and ${body}"
    assert "<h1>cost in $title and ${body}</h1>" in write(comparison)


@pytest.mark.parametrize(
    "words", ["[" * 9000, "[1]", "3", "\xff", '{"a.png": [1]}', '{"a.png": "\\ud800"}']
)
def test_captions_of_any_content_leave_a_page(tmp_path, write, words):
    (tmp_path / "captions.json").write_text(words)
    (tmp_path / "a.png").write_bytes(b"x")
    assert Page(write({}, [tmp_path / "a.png"])).tags.count("img") == 1


def test_scripts_in_captions_and_file_names_are_shown(tmp_path, write):
    figure = tmp_path / "<script>.png"
    figure.write_bytes(b"x")
    (tmp_path / "captions.json").write_text(json.dumps({figure.name: ATTACK}))
    text = write({}, [figure])
    assert "<script" not in text and Page(text).open == []
    assert text.count("&lt;script&gt;alert") == 2
