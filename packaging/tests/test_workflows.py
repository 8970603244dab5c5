"""Steps of the workflows as a runner starts them: what fails in them fails the job."""

import importlib.util
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How GitHub starts a step, by the shell that it names.
SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}


def steps():
    """Every step with a script: where it stands, its shell and itself."""
    import yaml

    files = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("examples/ci/github/*.yml")]
    for path in files:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for job, content in document["jobs"].items():
            usual = content.get("defaults", {}).get("run", {}).get("shell")
            for step in content.get("steps", []):
                if "run" in step:
                    place = f"{path.relative_to(ROOT)}: {job}: {step.get('name', step.get('id'))}"
                    yield place, step.get("shell", usual), step


@unittest.skipUnless(importlib.util.find_spec("yaml"), "PyYAML is not installed")
class Workflows(unittest.TestCase):
    def run_step(self, place, programs, **variables):
        """Runs the step with stand-ins for programs, and gives back what ended, with the step's outputs."""
        [(_, shell, step)] = [found for found in steps() if found[0] == place]
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "bin").mkdir()
            for program, script in programs.items():
                (folder / "bin" / program).write_text(f"#!/bin/sh\n{script}\n")
                (folder / "bin" / program).chmod(0o755)
            (folder / "output").touch()
            environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output")}
            ran = subprocess.run(
                [*SHELLS[shell], "-c", step["run"]],
                env=environment | variables, cwd=folder, capture_output=True, text=True, check=False,
            )
            return ran, (folder / "output").read_text()

    def test_a_step_with_a_pipe_fails_with_each_program_of_it(self):
        hidden = []
        piped = 0
        for place, shell, step in steps():
            script = re.sub(r"'[^']*'", "", step["run"]).replace("||", "")
            if "|" in script:
                piped += 1
                if shell != "bash":
                    hidden.append(place)
        self.assertEqual(hidden, [], "name `shell: bash`: without it only a pipe's last program counts")
        self.assertGreater(piped, 1)

    def test_a_state_that_cannot_be_read_is_not_taken_for_no_wave(self):
        place = "examples/ci/github/mdetag-apply.yml: rollout: look"
        due = '{"tenants":[{"nextWaves":[{"isDue":true},{"isDue":false}]}]}'
        ran, output = self.run_step(place, {"mdetag": f"echo '{due}'"})
        self.assertEqual((ran.returncode, output), (0, "due=1\n"), ran.stderr)
        ran, _ = self.run_step(place, {"mdetag": "exit 1"})
        self.assertNotEqual(ran.returncode, 0)

    def test_comments_that_cannot_be_listed_do_not_lead_to_a_second_one(self):
        place = ".github/workflows/mdetag-plan.yml: comment: Write or update the comment"
        variables = {
            "GITHUB_REPOSITORY": "contoso/policies", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "1",
            "NUMBER": "7", "COMMIT": "c0ffee", "VALIDATED": "success",
        }
        gh = 'case "$2" in --paginate) {} ;; *) echo "$3 $4" >&2 ;; esac'
        for listed, code, written in [
            ("echo 11; echo 12", 0, "PATCH repos/contoso/policies/issues/comments/11\n"),
            ("true", 0, "POST repos/contoso/policies/issues/7/comments\n"),
            ("exit 1", 1, ""),
        ]:
            ran, _ = self.run_step(place, {"gh": gh.format(listed)}, **variables)
            self.assertEqual((ran.returncode, ran.stderr), (code, written), listed)


if __name__ == "__main__":
    unittest.main()
