"""The Debian package carries the guide as it lies in the repository, so that its links lead somewhere."""

import fnmatch
import pathlib
import subprocess
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = pathlib.PurePosixPath("usr/share/doc/mdetag")


def place(assets, path):
    """Where cargo-deb puts a file: below a pattern's folder with what stands behind the folder that has no `*`."""
    for pattern, folder, _ in assets:
        if pattern == path:
            return pathlib.PurePosixPath(folder, pathlib.PurePosixPath(path).name)
        fixed = pattern.split("*")[0].rpartition("/")[0]
        whole = "**" in pattern and path.startswith(f"{fixed}/")
        level = "*" in pattern and pathlib.PurePosixPath(path).parent.as_posix() == fixed
        if whole or (level and fnmatch.fnmatch(path, pattern)):
            return pathlib.PurePosixPath(folder, pathlib.PurePosixPath(path).relative_to(fixed))
    return None


class Debian(unittest.TestCase):
    def test_each_document_and_example_lies_where_the_others_link_to_it(self):
        assets = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["metadata"]["deb"]["assets"]
        command = ["git", "ls-files", "README.md", "CHANGELOG.md", "SECURITY.md", "docs", "examples"]
        files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
        self.assertGreater(len(files), 100)
        misplaced = [path for path in files if place(assets, path) != DOCUMENTS / path]
        self.assertEqual(misplaced, [])


if __name__ == "__main__":
    unittest.main()
