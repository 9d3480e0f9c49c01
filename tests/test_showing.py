"""Tables for notebooks."""

from tumorlens.showing import html_table


def test_cells_are_words_and_never_html() -> None:
    table = html_table(("a", "<b>"), [(1, None), ("<script>", 0.5)])
    assert table == (
        "<table><thead><tr><th>a</th><th>&lt;b&gt;</th></tr></thead>"
        "<tbody><tr><td>1</td><td></td></tr><tr><td>&lt;script&gt;</td><td>0.5</td></tr></tbody></table>"
    )
