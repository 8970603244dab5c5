"""Makes the source of the guide's site: the pages of docs/, the quickstart and the diagnostics, in the order of docs/index.md.

    python3 packaging/site.py FOLDER
    mdbook build FOLDER

docs/index.md is the one table of contents: a page that it does not name is an error, and so is a link that leads nowhere.
Links to files that are no pages go to the repository.
"""

import html
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = "https://github.com/mdetag/mdetag"
QUICKSTART = "examples/quickstart/README.md"
PICTURES = "docs/pictures/"
BOOK = f"""[book]
title = "mdetag"
description = "Tags and device values for Microsoft Defender for Endpoint, from reviewed files in git"
language = "en"

[output.html]
git-repository-url = "{PROJECT}"
no-section-label = true
additional-css = ["theme/guide.css"]
additional-js = ["theme/guide.js"]
input-404 = ""

[output.html.print]
enable = false
"""
# A template, a style and a script of our own: what mdBook brings along shuts out people who use a keyboard or a screen reader.
THEME = ROOT / "packaging/site"


def pages():
    """The pages in the order of the index: path from the root, and title."""
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\) \|", index, re.MULTILINE)
    named = [(from_root("docs/index.md", target), title) for title, target in rows]
    there = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - {"docs/index.md"}
    missing = there - {path for path, _ in named}
    if missing:
        raise SystemExit(f"docs/index.md does not name {', '.join(sorted(missing))}")
    return named


def diagnostics():
    """The pages of the diagnostics, by their codes."""
    folder = ROOT / "docs/diagnostics"
    codes = sorted(page.name for page in folder.glob("*.md") if page.name != "README.md")
    return [("docs/diagnostics/README.md", "Diagnostics")] + [(f"docs/diagnostics/{name}", name[:-3]) for name in codes]


def from_root(page, target):
    """A link's target as a path from the root."""
    parts = []
    for part in (pathlib.PurePosixPath(page).parent / target).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def place(path):
    """Where a page lies in the site."""
    if path == QUICKSTART:
        return "quickstart.md"
    # mdBook makes an index of a README, and leaves the links to it as they are.
    return re.sub(r"README\.md$", "index.md", path.removeprefix("docs/"))


def linked(page, text, known):
    """A page's text with its links as the site has them."""

    def link(match):
        target, mark, fragment = match[1].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = from_root(page, target)
        if path.rstrip("/") == "docs/diagnostics":
            path = "docs/diagnostics/README.md"
        if path in known or path.startswith(PICTURES):
            up = "../" * place(page).count("/")
            return f"]({up}{place(path)}{mark}{fragment})"
        if not (ROOT / path).exists():
            raise SystemExit(f"{page}: {target} leads nowhere")
        return f"]({PROJECT}/blob/main/{path}{mark}{fragment})"

    parts = re.split(r"(^```.*?^```$|`[^`\n]*`)", text, flags=re.MULTILINE | re.DOTALL)
    # Odd parts are code.
    return "".join(part if at % 2 else re.sub(r"\]\(([^()\s]+)\)", link, part) for at, part in enumerate(parts))


def contents(guide):
    """The list of all pages that stands beside each, for the site's template."""

    def item(path, title):
        source = place(path)
        page = source.removesuffix(".md") + ".html"
        here = '{{#if (eq path "' + source + '")}} aria-current="page"{{/if}}'
        return f'<li><a href="{{{{ path_to_root }}}}{page}"{here}>{html.escape(title)}</a></li>'

    return "\n".join(item(path, title) for path, title in guide)


def write(folder):
    """Writes the site's source."""
    guide, codes = pages(), diagnostics()
    known = {path for path, _ in guide + codes} | {"docs/index.md"}
    summary = ["# Summary", "", "[The guide](index.md)", ""]
    summary += [f"- [{title}]({place(path)})" for path, title in guide]
    summary += [f"- [Diagnostics]({place(codes[0][0])})"] + [f"  - [{title}]({place(path)})" for path, title in codes[1:]]
    source = folder / "src"
    for path in sorted(known):
        target = source / place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(linked(path, (ROOT / path).read_text(encoding="utf-8"), known), encoding="utf-8")
    for picture in (ROOT / PICTURES).iterdir():
        target = source / place(f"{PICTURES}{picture.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)
    (source / "SUMMARY.md").write_text("\n".join(summary) + "\n", encoding="utf-8")
    (folder / "book.toml").write_text(BOOK, encoding="utf-8")
    shutil.copytree(THEME, folder / "theme", dirs_exist_ok=True)
    template = folder / "theme/index.hbs"
    listed = [("docs/index.md", "The guide")] + guide + codes[:1]
    template.write_text(template.read_text(encoding="utf-8").replace("CONTENTS", contents(listed)), encoding="utf-8")
    return len(known)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(f"{write(pathlib.Path(sys.argv[1]))} pages")
