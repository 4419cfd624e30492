"""Source code: what begins a definition in each family of languages, and what does not."""

import pytest

from avalan.retrieval.formats.code import ENDINGS, FAMILIES, definitions


def names(ending: str, source: str) -> list[str]:
    return [" ".join(name.split()) for _, _, name in definitions(ENDINGS[ending], source)]


@pytest.mark.parametrize(
    ("ending", "source", "expected"),
    [
        (".py", "@cached\nasync def f(x):\n    pass\nclass A: ...\n", ["def f", "class A"]),
        (
            ".rs",
            "#[test]\npub(crate) async fn f<T>(a: T) {}\nimpl<T> A<T> {\n",
            ["fn f", "impl<T> A"],
        ),
        (
            ".go",
            "func (s *Server) Run() error {\ntype A struct {\n",
            ["func (s *Server) Run", "type A"],
        ),
        (
            ".js",
            "export default class A {\nasync function f() {\nconst g = async (x) => 1\n",
            ["class A", "function f", "g"],
        ),
        (
            ".ts",
            "export interface A {\nexport const f = (a: b): c => {\n  async get(a: b): c {\n",
            ["interface A", "f", "get()"],
        ),
        (
            ".java",
            "public final class A {\n  static int f(int a) {\n    if (a) {\n    return g(a);\n",
            ["class A", "f()"],
        ),
        (
            ".c",
            "static int\nf(int a);\nint g(void) {\n  h(a);\n  return h(a);\n}\nstruct a {\n",
            ["g()", "struct a"],
        ),
        (
            ".cpp",
            "namespace a {\nvoid A::f(int b) const {\ntemplate <class T>\n",
            ["namespace a", "A::f()"],
        ),
        (".cs", "[Test]\npublic async Task<int> F(int a)\n{\n", ["F()"]),
        (".kt", "data class A(val b: Int)\nsuspend fun f() {\n", ["class A", "fun f"]),
        (".swift", "extension A {\n    mutating func f() {\n", ["extension A", "func f"]),
        (".php", "final class A {\n    public function f($a) {\n", ["class A", "function f"]),
        (
            ".scala",
            "case class A(b: Int)\nobject B {\n  def f = 1\n",
            ["class A", "object B", "def f"],
        ),
        (".rb", "module A\n  def self.f?(a)\n", ["module A", "def self.f?"]),
        (".sh", "f() {\nfunction g {\necho f\n", ["f", "function g"]),
        (".lua", "local function f(a)\nfunction a.b:c()\n", ["function f", "function a.b:c"]),
        (
            ".sql",
            "create or replace view a.b as\nSELECT 1;\nCREATE TABLE if not exists c (\n",
            ["create or replace view a.b", "CREATE TABLE if not exists c"],
        ),
        (".r", "f <- function(a) {\ng = 1\n", ["f"]),
        (".toml", "[a.b]\nc = 1\n[[d]] # e\n", ["[a.b]", "[[d]]"]),
        (".yaml", "a:\n  b: 1\nc: [1]\n", ["a:", "c:"]),
        (".ini", "[a b]\nc = d\n", ["[a b]"]),
    ],
)
def test_definitions(ending: str, source: str, expected: list[str]) -> None:
    assert names(ending, source) == expected


def test_a_definition_takes_along_the_comments_above_it() -> None:
    source = "int a;\n\n/**\n * Adds.\n */\n// See g.\nint f(int a) {\n"
    ((match, indent, _),) = definitions("braces", source)
    assert (match[0].splitlines()[0], indent) == ("/**", 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "unit",
    [
        "//\n",
        "#\n",
        "@a\n",
        "a ",
        "a::",
        "public ",
        "(",
        "<",
        "int a(",
        "a b c d e f ",
        "--\n",
        "[",
        " ",
        "\n",
        "const a = ",
        "* ",
    ],
)
def test_strange_sources_are_read_in_linear_time(family: str, unit: str) -> None:
    """Each takes at most a tenth of a second; anything quadratic would take minutes."""
    assert len(list(definitions(family, unit * 20_000))) <= 20_000


def test_no_expression_begins_anywhere_but_at_a_line() -> None:
    assert all(family.strip().startswith("^") for family in FAMILIES.values())
