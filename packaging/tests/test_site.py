"""The guide's site has every page once, and every link of it leads to a page."""

import importlib.util
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("site_source", ROOT / "packaging/site.py")
SITE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SITE)


class Site(unittest.TestCase):
    def test_every_page_stands_once_in_the_contents_and_every_link_leads_to_one(self):
        with tempfile.TemporaryDirectory() as folder:
            SITE.write(pathlib.Path(folder))
            source = pathlib.Path(folder) / "src"
            contents = re.findall(r"\]\(([^)]+)\)", (source / "SUMMARY.md").read_text(encoding="utf-8"))
            there = sorted(str(page.relative_to(source)) for page in source.rglob("*.md") if page.name != "SUMMARY.md")
            self.assertEqual(sorted(contents), there)
            self.assertGreater(len(there), 80)
            self.assertFalse([page for page in there if page.endswith("README.md")], "mdBook renames them, and no link to them")
            template = (pathlib.Path(folder) / "theme/index.hbs").read_text(encoding="utf-8")
            for target in re.findall(r'<li><a href="\{\{ path_to_root \}\}([^"]+)\.html"', template):
                self.assertIn(f"{target}.md", there)
            for page in source.rglob("*.md"):
                text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
                for target in re.findall(r"\]\(([^()\s#]+)", text):
                    if not re.match(r"[a-z]+:", target):
                        self.assertTrue((page.parent / target).is_file(), f"{page.name}: {target}")


if __name__ == "__main__":
    unittest.main()
