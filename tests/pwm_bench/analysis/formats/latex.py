"""A reader of LaTeX tables, strict enough to refuse what pdfLaTeX with booktabs would."""

from __future__ import annotations

import re

KNOWN = {
    "begin", "end", "centering", "small", "footnotesize", "setlength", "tabcolsep", "caption", "toprule", "midrule",
    "bottomrule", "multicolumn", "textit", "textbf", "textsuperscript", "smallskip", "linewidth", "textbackslash",
    "textasciitilde", "textasciicircum", "textperiodcentered", "textless", "textgreater", "textbar",
    "belowcaptionskip", "shortstack", "label", "scriptsize", "raggedright", "medskip", "par", "allowbreak", "quad",
    "noindent",
    # and, in mathematics:
    "times", "pm", "geq", "leq", "lambda", "gamma", "circ",
}  # fmt: skip
ONE_CHARACTER = set("&%$#_{}\\,")


def check(text: str) -> list[list[str]]:
    """Checks braces, environments, commands, specials and column counts. Returns the cells of the body's rows."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    code.encode("ascii")
    names = re.findall(r"\\([A-Za-z]+|.)", code)
    strange = {n for n in names if n not in KNOWN and n not in ONE_CHARACTER}
    assert not strange, strange
    _braces(code)
    _environments(code)
    _specials(code)
    spec = re.search(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", code)
    assert spec
    body = code[spec.end() : code.index("\\end{tabular}")]
    rows = []
    for line in filter(None, map(str.strip, body.splitlines())):
        if re.fullmatch(r"\\(top|mid|bottom)rule", line):
            continue
        ended = re.search(r" \\\\(\[-0\.4ex\])?$", line)
        assert ended, line
        cells = re.split(r"(?<!\\)&", line[: ended.start()])
        span = re.match(r"\\multicolumn\{(\d+)\}", line)
        assert int(span[1]) if span else len(cells) == len(spec[1]), line
        if span:
            assert int(span[1]) == len(spec[1])
        assert not re.match(r"\s*[\[*]", line), f"taken for an argument of the line break before: {line}"
        rows.append([cell.strip() for cell in cells])
    assert code.count("\\toprule") == code.count("\\bottomrule") >= 1
    return rows


def _braces(code: str) -> None:
    depth = 0
    for character in re.sub(r"\\[\\{}]", "", code):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


def _environments(code: str) -> None:
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", code):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack


def _specials(code: str) -> None:
    plain = re.sub(r"\\(?:[A-Za-z]+|.)", "", code)
    mathematics = re.sub(r"\$[^$]*\$", "", re.sub(r"\{%$", "{", plain, flags=re.MULTILINE))  # a % may end a line
    assert "$" not in mathematics
    in_table = mathematics[mathematics.index("{tabular}") : mathematics.rindex("{tabular}")]
    outside = mathematics.replace(in_table, "")
    assert not re.search(r"[#_^~%]", mathematics), re.findall(r".{9}[#_^~%].{9}", mathematics)
    assert "&" not in outside
