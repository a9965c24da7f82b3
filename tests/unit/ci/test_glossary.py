from __future__ import annotations

from tests.unit.ci.loading import script

glossary = script("glossary")


def page(*rows: str) -> str:
    head = "# Glossary\n\nWords.\n\n| term | meaning |\n|---|---|\n"
    return head + "".join(f"| {row} | what it means |\n" for row in rows)


def faults(*rows: str, text: str = "") -> list[str]:
    return list(glossary.faults(page(*rows), [text or " ".join(rows)]))


def test_an_ordered_page_of_used_terms_has_no_fault() -> None:
    rows = ["API", "API key", "attempt", "filter, scorer, picker", "fair tag"]

    assert glossary.terms(page(*rows)) == rows
    assert faults("API", "API key", "attempt", "fair tag", "filter, scorer, picker") == []


def test_a_term_that_stands_twice_is_told() -> None:
    assert faults("ejection", "ejection", "hedge") == ["'ejection' stands 2 times"]


def test_a_term_in_a_row_of_several_counts_too() -> None:
    assert faults("filter, scorer", "scorer") == ["'scorer' stands 2 times"]


def test_a_row_out_of_order_is_told() -> None:
    (fault,) = faults("policy", "pace", "pool")

    assert "'pace' stands behind 'policy'" in fault


def test_a_term_that_nothing_uses_is_told() -> None:
    text = "fair_tag = 1\nclass LeaseToken: ...\ndef _top_up() -> None: ..."

    (fault,) = faults("fair tag", "gear", "lease", "top-up", text=text)

    assert fault.startswith("'gear' is used nowhere")


def test_the_projects_glossary_has_no_fault() -> None:
    assert glossary.main() == 0
