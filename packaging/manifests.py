"""Writes the manifests of package managers from a release's own checksums.

    python3 packaging/manifests.py VERSION CHECKSUMS FOLDER

CHECKSUMS is the release's file of `SHA256  NAME` lines. A file that a manifest needs and that has no line there is an error: a
manifest is never written with a checksum from elsewhere.
"""

import json
import pathlib
import re
import sys

PROJECT = "https://github.com/mdetag/mdetag"
# Homebrew takes 80 characters, its name for the formula included.
SHORT = "Declarative tags and device values for Microsoft Defender for Endpoint"
DESCRIPTION = f"{SHORT}, from reviewed files in git"


class Release:
    """The files of one version and their checksums."""

    def __init__(self, version, text):
        if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?", version):
            raise SystemExit(f"{version!r} is not a version")
        self.version = version
        self.sums = {}
        for line in text.splitlines():
            match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line)
            if not match:
                raise SystemExit(f"not a line of checksums: {line!r}")
            self.sums[match[2]] = match[1]

    def stem(self, target):
        return f"mdetag-v{self.version}-{target}"

    def file(self, target):
        """URL and checksum of a target's archive."""
        name = self.stem(target) + (".zip" if "windows" in target else ".tar.gz")
        if name not in self.sums:
            raise SystemExit(f"the checksums do not name {name}")
        return f"{PROJECT}/releases/download/v{self.version}/{name}", self.sums[name]


def homebrew(release):
    def source(indent, target):
        url, checksum = release.file(target)
        return f'{indent}url "{url}"\n{indent}sha256 "{checksum}"\n'

    def system(name, intel, arm):
        return (
            f"  on_{name} do\n"
            f"    on_intel do\n{source('      ', intel)}    end\n"
            f"    on_arm do\n{source('      ', arm)}    end\n"
            f"  end\n"
        )

    return (
        "class Mdetag < Formula\n"
        f'  desc "{SHORT}"\n'
        f'  homepage "{PROJECT}"\n'
        f'  version "{release.version}"\n'
        '  license any_of: ["MIT", "Apache-2.0"]\n\n'
        + system("macos", "x86_64-apple-darwin", "aarch64-apple-darwin")
        + "\n"
        + system("linux", "x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl")
        + "\n"
        "  def install\n"
        '    bin.install "mdetag"\n'
        '    generate_completions_from_executable(bin/"mdetag", "completions")\n'
        '    man1.install Dir["man1/*.1"]\n'
        "  end\n\n"
        "  test do\n"
        '    assert_match version.to_s, shell_output("#{bin}/mdetag --version")\n'
        "  end\n"
        "end\n"
    )


def scoop(release):
    def architecture(target):
        url, checksum = release.file(target)
        return {"url": url, "hash": checksum, "extract_dir": release.stem(target)}

    def later(target):
        stem = f"mdetag-v$version-{target}"
        return {"url": f"{PROJECT}/releases/download/v$version/{stem}.zip", "extract_dir": stem}

    targets = {"64bit": "x86_64-pc-windows-msvc", "arm64": "aarch64-pc-windows-msvc"}
    manifest = {
        "version": release.version,
        "description": DESCRIPTION,
        "homepage": PROJECT,
        "license": "MIT|Apache-2.0",
        "architecture": {name: architecture(target) for name, target in targets.items()},
        "bin": "mdetag.exe",
        "checkver": "github",
        "autoupdate": {
            "architecture": {name: later(target) for name, target in targets.items()},
            "hash": {"url": "$baseurl/mdetag-v$version.sha256"},
        },
    }
    return json.dumps(manifest, indent=4) + "\n"


def winget(release):
    """Three files by name, with the keys of version 1.6.0 of winget's manifests."""

    def head(kind):
        lines = [f"PackageIdentifier: mdetag.mdetag\nPackageVersion: {release.version}\n"]
        return "".join(lines), f"ManifestType: {kind}\nManifestVersion: 1.6.0\n"

    files = {}
    start, end = head("version")
    files["mdetag.mdetag.yaml"] = f"{start}DefaultLocale: en-US\n{end}"
    start, end = head("installer")
    installers = ""
    for architecture, target in [("x64", "x86_64-pc-windows-msvc"), ("arm64", "aarch64-pc-windows-msvc")]:
        url, checksum = release.file(target)
        installers += (
            f"  - Architecture: {architecture}\n"
            f"    InstallerUrl: {url}\n"
            f"    InstallerSha256: {checksum.upper()}\n"
            "    NestedInstallerFiles:\n"
            f"      - RelativeFilePath: {release.stem(target)}\\mdetag.exe\n"
            "        PortableCommandAlias: mdetag\n"
        )
    files["mdetag.mdetag.installer.yaml"] = (
        f"{start}InstallerType: zip\nNestedInstallerType: portable\nUpgradeBehavior: install\n"
        f"Installers:\n{installers}{end}"
    )
    start, end = head("defaultLocale")
    files["mdetag.mdetag.locale.en-US.yaml"] = (
        f"{start}PackageLocale: en-US\nPublisher: mdetag\nPublisherUrl: {PROJECT}\nPackageName: mdetag\n"
        f"PackageUrl: {PROJECT}\nLicense: MIT OR Apache-2.0\nLicenseUrl: {PROJECT}/blob/main/LICENSE-MIT\n"
        f"ShortDescription: {DESCRIPTION}\nMoniker: mdetag\nTags:\n  - defender\n  - gitops\n  - tags\n"
        f"ReleaseNotesUrl: {PROJECT}/releases/tag/v{release.version}\n{end}"
    )
    return files


def manifests(version, checksums):
    """Every manifest: its path and its text."""
    release = Release(version, checksums)
    files = {"homebrew/mdetag.rb": homebrew(release), "scoop/mdetag.json": scoop(release)}
    return files | {f"winget/{name}": text for name, text in winget(release).items()}


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    version, checksums, folder = sys.argv[1:]
    for name, text in manifests(version, pathlib.Path(checksums).read_text(encoding="utf-8")).items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path)


if __name__ == "__main__":
    main()
