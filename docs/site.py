"""What the site of `make docs` needs besides the pages in this folder.

As a hook of MkDocs it adds the pages that lie elsewhere in the repository, the README as the first
one, and turns links between files into links between pages. As an extension of griffe it shows
formulas and examples in docstrings as code: pages that work without a network have no typesetter.
"""

import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
} | {
    f"experiments/{path.name}": f"experiments/{path.name}" for path in ROOT.glob("experiments/*.md")
}
"""Names on the site of files of the repository that are not in docs/."""
SOURCES = {page: source for source, page in ELSEWHERE.items()}


def on_files(files, config):
    """Add the pages that lie elsewhere."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn the links of a page, which are between files, into links between pages."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")

    def moved(found):
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        target = ELSEWHERE.get(file, file.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}"

    markdown = re.sub(r"\]\((?!\w+:)([^)#\s]+)", moved, markdown)
    return markdown if markdown.startswith("#") else f"# {source}\n\n{markdown}"


class Docstrings(griffe.Extension):
    """Formulas and examples of docstrings as code."""

    def on_instance(self, *, obj, **kwargs):
        """Take the role off formulas, and put fences around examples."""
        if obj.docstring:
            text = re.sub(r":math:(`[^`]+`)", r"\1", obj.docstring.value)
            text = re.sub(r"^>>> (?:.+\n?)+", r"```pycon\n\g<0>\n```\n", text, flags=re.M)
            obj.docstring.value = text
