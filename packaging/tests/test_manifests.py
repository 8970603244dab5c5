"""Manifests say what the release's checksums say."""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "packaging"))
import manifests  # noqa: E402

TARGETS = {
    "x86_64-unknown-linux-musl": "tar.gz",
    "aarch64-unknown-linux-musl": "tar.gz",
    "x86_64-apple-darwin": "tar.gz",
    "aarch64-apple-darwin": "tar.gz",
    "x86_64-pc-windows-msvc": "zip",
    "aarch64-pc-windows-msvc": "zip",
}


def name(target):
    return f"mdetag-v1.2.3-{target}.{TARGETS[target]}"


def checksum(target):
    return f"{list(TARGETS).index(target) + 10:x}" * 64


SUMS = "".join(f"{checksum(target)}  {name(target)}\n" for target in TARGETS)


class Manifests(unittest.TestCase):
    def setUp(self):
        self.files = manifests.manifests("1.2.3", SUMS)

    def pairs(self, text, pattern):
        return dict(re.findall(pattern, text))

    def test_the_formula_names_each_archive_with_its_checksum(self):
        text = self.files["homebrew/mdetag.rb"]
        found = self.pairs(text, r'/v1\.2\.3/(\S+)"\n\s+sha256 "([0-9a-f]{64})"')
        expected = {name(target): checksum(target) for target in TARGETS if "windows" not in target}
        self.assertEqual(found, expected)

    @unittest.skipUnless(shutil.which("ruby"), "Ruby is not installed")
    def test_the_formula_is_ruby(self):
        with tempfile.NamedTemporaryFile("w", suffix=".rb") as file:
            file.write(self.files["homebrew/mdetag.rb"])
            file.flush()
            subprocess.run(["ruby", "-c", file.name], check=True, capture_output=True)

    def test_the_formula_says_what_it_is_in_the_length_that_homebrew_allows(self):
        said = re.search(r'desc "(.+)"', self.files["homebrew/mdetag.rb"])[1]
        self.assertLessEqual(len(f"mdetag: {said}"), 80)
        self.assertTrue(manifests.DESCRIPTION.startswith(f"{said},"), f"{said!r} ends within a word or a thought")

    def test_the_formula_installs_every_page_of_the_manual(self):
        self.assertIn('man1.install Dir["man1/*.1"]', self.files["homebrew/mdetag.rb"])

    def test_scoop_has_the_keys_that_it_documents(self):
        manifest = json.loads(self.files["scoop/mdetag.json"])
        expected = ["version", "description", "homepage", "license", "architecture", "bin", "checkver", "autoupdate"]
        self.assertEqual(list(manifest), expected)
        for files in manifest["architecture"].values():
            self.assertEqual(list(files), ["url", "hash", "extract_dir"])
        for files in manifest["autoupdate"]["architecture"].values():
            self.assertEqual(list(files), ["url", "extract_dir"])
        self.assertEqual(manifest["architecture"]["arm64"]["hash"], checksum("aarch64-pc-windows-msvc"))
        self.assertTrue(manifest["architecture"]["64bit"]["url"].endswith(name("x86_64-pc-windows-msvc")))

    def test_winget_has_three_files_of_one_version_with_upper_case_checksums(self):
        files = {path: text for path, text in self.files.items() if path.startswith("winget/")}
        self.assertEqual(len(files), 3)
        kinds = set()
        for text in files.values():
            keys = self.pairs(text, r"(?m)^(\w+): (.+)$")
            self.assertEqual((keys["PackageIdentifier"], keys["PackageVersion"]), ("mdetag.mdetag", "1.2.3"))
            kinds.add(keys["ManifestType"])
        self.assertEqual(kinds, {"version", "installer", "defaultLocale"})
        text = files["winget/mdetag.mdetag.installer.yaml"]
        found = self.pairs(text, r"/v1\.2\.3/(\S+)\n\s+InstallerSha256: ([0-9A-F]{64})")
        expected = {name(target): checksum(target).upper() for target in TARGETS if "windows" in target}
        self.assertEqual(found, expected)

    @unittest.skipUnless(importlib.util.find_spec("yaml"), "PyYAML is not installed")
    def test_winget_has_the_keys_that_it_documents_and_each_that_it_demands(self):
        import yaml

        both = {"PackageIdentifier", "PackageVersion", "ManifestType", "ManifestVersion"}
        demanded = {
            "mdetag.mdetag": both | {"DefaultLocale"},
            "mdetag.mdetag.installer": both | {"Installers"},
            "mdetag.mdetag.locale.en-US": both
            | {"PackageLocale", "Publisher", "PackageName", "License", "ShortDescription"},
        }
        allowed = {
            "mdetag.mdetag": set(),
            "mdetag.mdetag.installer": {"InstallerType", "NestedInstallerType", "UpgradeBehavior"},
            "mdetag.mdetag.locale.en-US": {
                "PublisherUrl", "PackageUrl", "LicenseUrl", "Moniker", "Tags", "ReleaseNotesUrl",
            },
        }
        for name, keys in demanded.items():
            manifest = yaml.safe_load(self.files[f"winget/{name}.yaml"])
            self.assertLessEqual(keys, set(manifest), name)
            self.assertEqual(set(manifest) - keys, allowed[name], name)
            self.assertTrue(all(isinstance(manifest[key], str) for key in both), "a version is text, and no number")
        for installer in yaml.safe_load(self.files["winget/mdetag.mdetag.installer.yaml"])["Installers"]:
            self.assertEqual(set(installer), {"Architecture", "InstallerUrl", "InstallerSha256", "NestedInstallerFiles"})
            for file in installer["NestedInstallerFiles"]:
                self.assertEqual(set(file), {"RelativeFilePath", "PortableCommandAlias"})

    def test_a_missing_checksum_is_an_error_and_no_manifest_is_written(self):
        with self.assertRaisesRegex(SystemExit, "x86_64-apple-darwin"):
            manifests.manifests("1.2.3", SUMS.replace("x86_64-apple-darwin", "other"))
        for wrong in ["oops\n", f"{'A' * 64}  x\n"]:
            with self.assertRaises(SystemExit):
                manifests.manifests("1.2.3", wrong)
        with self.assertRaises(SystemExit):
            manifests.manifests("1.2.3/..", SUMS)


class Versions(unittest.TestCase):
    """One version everywhere: in the workspace, in `uses:`, in images and in what documents tell people to type."""

    def test_every_place_names_the_version_of_the_workspace(self):
        manifest = (ROOT / "Cargo.toml").read_text()
        version = re.search(r'(?m)^version = "(.+)"$', manifest)[1]
        pattern = r"mdetag/mdetag[\w./-]*(?:@|:)v?(\d+\.\d+\.\d+)|mdetag[_-]v?(\d+\.\d+\.\d+)|mdetagVersion: \"(.+)\""
        seen = 0
        files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / ".github" / "workflows").glob("*.yml")]
        files += [path for path in (ROOT / "examples" / "ci").rglob("*") if path.is_file()]
        for path in files:
            for groups in re.findall(pattern, path.read_text()):
                seen += 1
                self.assertEqual("".join(groups), version, path)
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    unittest.main()
