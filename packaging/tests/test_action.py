"""The action's steps as a runner starts them, against a release server on loopback."""

import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import threading
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = ROOT / "packaging" / "action"
PROGRAM = b"#!/bin/sh\necho mdetag 9.9.9\n"
VERSION = "9.9.9"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


def archive(name):
    """A release archive as release.yml packs it."""
    folder = name.removesuffix(".tar.gz").removesuffix(".zip")
    data = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(data, "w") as file:
            file.writestr(f"{folder}/mdetag.exe", PROGRAM)
            file.writestr(f"{folder}/README.md", "text")
    else:
        with tarfile.open(fileobj=data, mode="w:gz") as file:
            for member, content, mode in [("mdetag", PROGRAM, 0o755), ("README.md", b"text", 0o644)]:
                info = tarfile.TarInfo(f"{folder}/{member}")
                info.size, info.mode = len(content), mode
                file.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Runner(unittest.TestCase):
    """A runner's environment, and a release server."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.output = self.folder / "output"
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.says("gh", 'echo "$@" >> "$GH_LOG"; exit "${GH_EXIT:-0}"')
        released = self.folder / "releases" / f"v{VERSION}"
        released.mkdir(parents=True)
        sums = ""
        for target, end in [("x86_64-unknown-linux-musl", "tar.gz"), ("x86_64-pc-windows-msvc", "zip")]:
            name = f"mdetag-v{VERSION}-{target}.{end}"
            content = archive(name)
            (released / name).write_bytes(content)
            sums += f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        self.sums = released / f"mdetag-v{VERSION}.sha256"
        self.sums.write_text(sums)
        Quiet.asked = []
        handler = functools.partial(Quiet, directory=self.folder / "releases")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def says(self, name, script):
        """Puts a program on the steps' PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def step(self, name, **variables):
        """Runs a step and gives back its exit code, its outputs and what it said."""
        self.output.write_text("")
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "GH_LOG": str(self.folder / "gh.log"),
            "GITHUB_OUTPUT": str(self.output),
            "RUNNER_TEMP": str(self.folder),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "FOLDER": str(self.folder / "installed"),
            "MDETAG_RELEASES_URL": f"http://127.0.0.1:{self.server.server_port}",
        }
        ran = subprocess.run(
            [STEPS / name], env=environment | variables, cwd=self.folder, capture_output=True, text=True, check=False
        )
        outputs = dict(line.split("=", 1) for line in self.output.read_text().splitlines())
        return ran.returncode, outputs, ran.stdout + ran.stderr


class Action(Runner):
    """Choosing, fetching and running."""

    def fetch(self, **variables):
        _, chosen, _ = self.step("choose", INPUT_VERSION=VERSION, **variables)
        return self.step("fetch", VERSION=chosen["version"], ARCHIVE=chosen["archive"], **variables)

    def test_the_runners_system_and_architecture_choose_the_archive(self):
        for system, architecture, expected in [
            ("Linux", "X64", "x86_64-unknown-linux-musl.tar.gz"),
            ("Linux", "ARM64", "aarch64-unknown-linux-musl.tar.gz"),
            ("macOS", "X64", "x86_64-apple-darwin.tar.gz"),
            ("macOS", "ARM64", "aarch64-apple-darwin.tar.gz"),
            ("Windows", "X64", "x86_64-pc-windows-msvc.zip"),
            ("Windows", "ARM64", "aarch64-pc-windows-msvc.zip"),
        ]:
            with self.subTest(expected):
                variables = {"INPUT_VERSION": "v1.2.3", "RUNNER_OS": system, "RUNNER_ARCH": architecture}
                code, outputs, said = self.step("choose", **variables)
                self.assertEqual((code, outputs.get("archive")), (0, f"mdetag-v1.2.3-{expected}"), said)
                self.assertEqual(outputs["key"], f"mdetag-v1.2.3-{outputs['target']}")

    def test_a_system_without_a_release_is_told_how_to_go_on(self):
        code, _, said = self.step("choose", RUNNER_OS="Linux", RUNNER_ARCH="ARM")
        self.assertEqual(code, 1)
        self.assertIn("from-source", said)

    def test_without_a_version_it_is_that_of_the_action(self):
        manifest = (ROOT / "Cargo.toml").read_text()
        _, outputs, _ = self.step("choose")
        self.assertIn(f'version = "{outputs["version"]}"', manifest)

    def test_a_version_that_would_leave_the_url_is_refused(self):
        for version in ["../../evil", "1.2", "1.2.3/x", "latest", "1.2.3\nkey=x"]:
            code, outputs, said = self.step("choose", INPUT_VERSION=version)
            self.assertEqual((code, outputs), (1, {}), said)

    def test_a_build_from_source_is_kept_by_its_source_and_not_by_the_version(self):
        _, outputs, _ = self.step("choose", INPUT_FROM_SOURCE="true")
        self.assertRegex(outputs["key"], "^mdetag-source-x86_64-unknown-linux-musl-[0-9a-f]{40}$")

    def test_the_archive_of_the_runner_is_installed(self):
        code, _, said = self.fetch()
        self.assertEqual(code, 0, said)
        self.assertEqual((self.folder / "installed" / "bin" / "mdetag").read_bytes(), PROGRAM)
        name = f"/v{VERSION}/mdetag-v{VERSION}-x86_64-unknown-linux-musl.tar.gz"
        self.assertEqual(Quiet.asked, [name, f"/v{VERSION}/mdetag-v{VERSION}.sha256"])
        log = (self.folder / "gh.log").read_text()
        self.assertIn("attestation verify", log)
        self.assertIn(f"--source-ref refs/tags/v{VERSION}", log)

    def test_windows_gets_its_zip(self):
        code, _, said = self.fetch(RUNNER_OS="Windows")
        self.assertEqual(code, 0, said)
        self.assertEqual((self.folder / "installed" / "bin" / "mdetag.exe").read_bytes(), PROGRAM)

    def test_a_wrong_checksum_is_refused(self):
        self.sums.write_text(self.sums.read_text().replace("a", "b").replace("1", "2"))
        code, _, said = self.fetch()
        self.assertEqual(code, 1)
        self.assertIn("checksum", said)
        self.assertFalse((self.folder / "installed" / "bin").exists())

    def test_a_poisoned_cache_is_refused(self):
        kept = self.folder / "installed" / "archive"
        kept.mkdir(parents=True)
        (kept / f"mdetag-v{VERSION}-x86_64-unknown-linux-musl.tar.gz").write_bytes(b"evil")
        code, _, said = self.fetch()
        self.assertEqual(code, 1)
        self.assertIn("checksum", said)
        self.assertEqual(self.fetch()[0], 0, "the bad file is not kept")

    def test_an_archive_that_the_checksums_do_not_name_is_refused(self):
        self.sums.write_text("")
        code, _, said = self.fetch()
        self.assertEqual(code, 1)
        self.assertIn("do not name", said)

    def test_a_wrong_attestation_is_refused(self):
        code, _, said = self.fetch(GH_EXIT="1")
        self.assertEqual(code, 1)
        self.assertIn("attestation", said)
        self.assertFalse((self.folder / "installed" / "bin").exists())

    def test_a_version_that_was_not_released_is_named(self):
        code, _, said = self.step("fetch", VERSION="8.8.8", ARCHIVE="mdetag-v8.8.8-x86_64-unknown-linux-musl.tar.gz")
        self.assertEqual(code, 1)
        self.assertIn("mdetag 8.8.8 has no file", said)

    def test_the_run_tells_its_code_its_plan_and_its_changes(self):
        plan = {"summary": {"devices": 9, "additions": 3, "removals": 2, "values": 1}}
        self.says("mdetag", f"""for last; do :; done; echo '{json.dumps(plan)}' > "$last"; exit 2""")
        code, outputs, said = self.step("run", COMMAND="plan --detailed-exitcode -o out.json", PASS_ON="2")
        self.assertEqual(code, 0, said)
        self.assertEqual(outputs, {"exit-code": "2", "changes": "6", "plan-file": str(self.folder / "out.json")})
        code, outputs, _ = self.step("run", COMMAND="plan --detailed-exitcode")
        self.assertEqual((code, outputs["plan-file"]), (2, str(self.folder / "plan.json")))

    def test_a_failed_plan_has_no_file_although_an_old_one_lies_there(self):
        self.says("mdetag", "exit 1")
        (self.folder / "plan.json").write_text("{}")
        code, outputs, _ = self.step("run", COMMAND="plan")
        self.assertEqual((code, outputs), (1, {"exit-code": "1", "changes": "", "plan-file": ""}))

    def test_a_plan_that_is_applied_stays(self):
        self.says("mdetag", 'echo "$@"')
        (self.folder / "plan.json").write_text("{}")
        code, outputs, said = self.step("run", COMMAND="apply plan.json -o rest.json $HOME `id`")
        self.assertEqual((code, outputs["plan-file"]), (0, ""))
        self.assertIn("apply plan.json -o rest.json $HOME `id`", said)
        self.assertTrue((self.folder / "plan.json").exists())


class Restore(Runner):
    """The state of earlier runs, from an API of GitHub that answers from files."""

    def api(self, runs, artifacts):
        """`runs` and `artifacts` as GitHub lists them."""
        state = self.folder / "made" / ".mdetag"
        state.mkdir(parents=True)
        (state / "kept").write_text("of 7")
        (state / "kept").chmod(0o600)
        packed = self.folder / "state.tar.gz"
        with tarfile.open(packed, "w:gz") as file:
            file.add(state, ".mdetag")
        with zipfile.ZipFile(self.folder / "7.zip", "w") as file:
            file.write(packed, "state.tar.gz")
        for run in runs:
            (self.folder / f"run-{run['id']}.json").write_text(json.dumps(run))
        # Two pages, as --paginate prints them.
        half = len(artifacts) // 2
        pages = [json.dumps({"total_count": len(artifacts), "artifacts": page}) for page in [artifacts[:half], artifacts[half:]]]
        self.answers("\n".join(pages))

    def answers(self, pages, exit_code=0):
        (self.folder / "pages.json").write_text(pages)
        self.says("gh", f"""cd {self.folder}
for path; do :; done
case "$path" in
*/zip) artifact=${{path%/zip}}; cat "${{artifact##*/}}.zip" ;;
*/artifacts[?]*) cat pages.json; exit {exit_code} ;;
*/runs/*) cat "run-${{path##*/}}.json" ;;
*) exit 1 ;;
esac""")

    def restore(self):
        (self.folder / "repository").mkdir(exist_ok=True)
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "WORKFLOW": "mdetag-apply.yml",
            "BRANCH": "main",
            "NAME": "mdetag-state",
            "GITHUB_REPOSITORY": "contoso/policies",
        }
        command = [STEPS / "restore"]
        return subprocess.run(
            command, env=environment, cwd=self.folder / "repository", capture_output=True, text=True, check=False
        )

    def run_of(self, number, event="push", path=".github/workflows/mdetag-apply.yml"):
        return {"id": number, "event": event, "path": path}

    def artifact(self, number, run, time, expired=False, branch="main", head=1):
        made = {"id": run, "head_branch": branch, "repository_id": 1, "head_repository_id": head}
        return {"id": number, "created_at": time, "expired": expired, "workflow_run": made}

    def test_the_newest_state_of_the_main_branch_comes_back_with_its_modes(self):
        self.api(
            [self.run_of(2), self.run_of(1, path=".github/workflows/mdetag-apply.yml@refs/heads/main")],
            [
                self.artifact(9, 2, "2026-11-01T00:00:00Z"),
                self.artifact(7, 1, "2026-11-02T00:00:00Z"),
                self.artifact(8, 1, "2026-11-03T00:00:00Z", expired=True),
            ],
        )
        ran = self.restore()
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        kept = self.folder / "repository" / ".mdetag" / "kept"
        self.assertEqual((kept.read_text(), kept.stat().st_mode & 0o777), ("of 7", 0o600))

    def test_what_a_pull_request_left_is_no_state(self):
        """Also where the main branch is its head: into another branch, or from a fork."""
        time = "2026-11-02T00:00:00Z"
        runs = [
            self.run_of(1, event="pull_request"),
            self.run_of(2, event="pull_request_target"),
            self.run_of(3),
            self.run_of(4),
            self.run_of(5, path=".github/workflows/other.yml"),
        ]
        made = [self.artifact(7, run, time) for run in [1, 2, 5]]
        self.api(runs, [*made, self.artifact(7, 3, time, head=2), self.artifact(7, 4, time, branch="other")])
        ran = self.restore()
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertIn("No state of an earlier run", ran.stdout)
        self.assertFalse((self.folder / "repository" / ".mdetag").exists())

    def test_an_empty_list_is_no_state_and_no_list_is_an_error(self):
        self.api([], [])
        empty = json.dumps({"total_count": 0, "artifacts": []})
        for pages, exit_code, expected in [
            (empty, 0, 0),
            (empty, 1, 1),
            ("", 0, 1),
            ("{}", 0, 1),
            ("<html>", 0, 1),
            ("[]", 0, 1),
            (json.dumps({"message": "Resource not accessible by integration"}), 0, 1),
            (json.dumps({"total_count": 3, "artifacts": []}), 0, 1),
            (json.dumps({"total_count": 0, "artifacts": None}), 0, 1),
            (json.dumps({"total_count": 1, "artifacts": [{"id": 7}]}), 0, 0),
        ]:
            with self.subTest(pages=pages, exit_code=exit_code):
                self.answers(pages, exit_code)
                ran = self.restore()
                self.assertEqual(ran.returncode, expected, ran.stdout + ran.stderr)
                self.assertEqual("::error::" in ran.stdout, expected == 1, ran.stdout)

    def test_a_run_or_state_that_cannot_be_fetched_is_an_error(self):
        time = "2026-11-02T00:00:00Z"
        self.api([self.run_of(1)], [self.artifact(8, 1, time)])
        self.assertNotEqual(self.restore().returncode, 0, "no archive")
        (self.folder / "run-1.json").write_text("{}")
        ran = self.restore()
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertIn("is not known", ran.stdout)


if __name__ == "__main__":
    unittest.main()
