"""The steps of publish.yml as a runner starts them, with a GitHub CLI that answers from a folder."""

import importlib.util
import os
import pathlib
import subprocess
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"]
# Downloads by `--pattern` into `--dir` or `--output`, and verifies whatever is not named evil.
GH = """#!/usr/bin/env bash
set -euo pipefail
echo "$*" >> gh.log
case "$1 $2" in
'release download')
    [ "$3" = v9.9.9 ]
    shift 3
    folder=. output=
    while [ $# -gt 0 ]; do
        case "$1" in
        --pattern) pattern=$2 ;;
        --dir) folder=$2 ;;
        --output) output=$2 ;;
        esac
        shift 2
    done
    mkdir -p "$folder"
    files=(released/$pattern)
    [ -e "${files[0]}" ] || { echo "no assets match the file pattern" >&2; exit 1; }
    if [ -n "$output" ]; then cp "${files[0]}" "$output"; else cp "${files[@]}" "$folder"; fi
    ;;
'attestation verify')
    shift 2
    file=$1
    shift
    [ "$*" = '--repo mdetag/mdetag --signer-workflow mdetag/mdetag/.github/workflows/release.yml --source-ref refs/tags/v9.9.9' ]
    ! grep -q evil "$file"
    ;;
*) exit 2 ;;
esac
"""


@unittest.skipUnless(importlib.util.find_spec("yaml"), "PyYAML is not installed")
class Publish(unittest.TestCase):
    def setUp(self):
        import yaml

        self.jobs = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())["jobs"]
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        gh = self.folder / "bin" / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        self.released = self.folder / "released"
        self.released.mkdir()
        for system in ["manylinux2014_x86_64", "win_amd64"]:
            self.release(f"mdetag-9.9.9-py3-none-{system}.whl", system)
        for target in TARGETS:
            name = f"mdetag-v9.9.9-{target}"
            program = self.folder / "mdetag"
            program.write_text(target)
            with tarfile.open(self.released / f"{name}.tar.gz", "w:gz") as file:
                file.add(program, f"{name}/mdetag")
            program.unlink()
            self.release(f"{name}.cdx.json", f"crates of {target}")

    def release(self, name, text):
        (self.released / name).write_text(text)

    def step(self, job, name):
        """Runs a step as GitHub does: with `bash -e` where it names no shell."""
        [step] = [step for step in self.jobs[job]["steps"] if step.get("name") == name]
        shell = ["bash", "-eo", "pipefail"] if step.get("shell") == "bash" else ["bash", "-e"]
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "TAG": "v9.9.9", "GH_REPO": "mdetag/mdetag",
            "IMAGE": "ghcr.io/mdetag/mdetag", "GH_TOKEN": "token", "GITHUB_ACTOR": "someone",
            "GITHUB_OUTPUT": str(self.folder / "output"),
        }
        return subprocess.run(
            [*shell, "-c", step["run"]], env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def test_every_wheel_of_the_release_and_nothing_else_is_taken(self):
        ran = self.step("wheels", "Take the wheels of the release")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        taken = sorted(path.name for path in (self.folder / "dist").iterdir())
        self.assertEqual(taken, sorted(path.name for path in self.released.glob("*.whl")))
        self.assertEqual((self.folder / "gh.log").read_text().count("attestation verify dist/"), len(taken))

    def test_one_wheel_with_a_wrong_attestation_stops_all(self):
        self.release("mdetag-9.9.9-py3-none-macosx_11_0_arm64.whl", "evil")
        self.assertNotEqual(self.step("wheels", "Take the wheels of the release").returncode, 0)

    def test_the_image_is_made_of_the_released_programs_with_their_lists_of_crates(self):
        ran = self.step("image", "Take the programs of the release")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        for target in TARGETS:
            place = self.folder / "target" / target / "dist"
            self.assertEqual((place / "mdetag").read_text(), target)
            self.assertEqual((place / "mdetag.cdx.json").read_text(), f"crates of {target}")
        self.assertEqual((self.folder / "gh.log").read_text().count("attestation verify"), 4)

    def test_a_push_that_brings_no_digest_fails_although_buildah_ends_well(self):
        (self.folder / "packaging/image").mkdir(parents=True)
        programs = {
            "bin/sudo": 'exec "$@"',
            "bin/docker": "cat > /dev/null",
            "bin/buildah": 'case "$*" in *login*) cat > /dev/null ;; *push*) cp pushed digest ;; esac',
            "packaging/image/build": "true",
            "packaging/image/check": "true",
        }
        for path, script in programs.items():
            (self.folder / path).write_text(f"#!/bin/sh\n{script}\n")
            (self.folder / path).chmod(0o755)
        for pushed, code, output in [("sha256:12", 0, "digest=sha256:12\n"), ("", 1, "")]:
            (self.folder / "pushed").write_text(pushed)
            (self.folder / "output").write_text("")
            ran = self.step("image", "Build, try and push")
            self.assertEqual((ran.returncode, (self.folder / "output").read_text()), (code, output), ran.stderr)

    def test_a_program_or_list_of_crates_with_a_wrong_attestation_is_refused(self):
        for name in [f"mdetag-v9.9.9-{TARGETS[1]}.tar.gz", f"mdetag-v9.9.9-{TARGETS[0]}.cdx.json"]:
            with self.subTest(name):
                kept = (self.released / name).read_bytes()
                self.release(name, "evil")
                self.assertNotEqual(self.step("image", "Take the programs of the release").returncode, 0)
                (self.released / name).write_bytes(kept)


if __name__ == "__main__":
    unittest.main()
