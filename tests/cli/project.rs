//! A project in its own folder, with the real binary.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with policies, and the binary.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

/// The result of one run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Checks the exit code; shows everything if it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// Both streams must be free of anything that no user should see.
    #[track_caller]
    pub(crate) fn is_for_people(&self) {
        for text in [&self.out, &self.err] {
            for slip in ["panicked at", "RUST_BACKTRACE", "Some(", "Err(", "src/"] {
                assert!(!text.contains(slip), "`{slip}` in:\n{text}");
            }
        }
    }
}

impl Project {
    /// An empty folder.
    pub(crate) fn new() -> Project {
        Project { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// With one policy file.
    pub(crate) fn with_policy(text: &str) -> Project {
        let project = Project::new();
        project.write("policies/p.yaml", text);
        project
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).expect("a file")
    }

    /// A command without this computer's environment, except what it needs.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().expect("the binary starts"))
    }

    /// Runs the binary to its end with these environment variables.
    pub(crate) fn run_in(&self, environment: &[(&str, String)], words: &[&str]) -> Ran {
        let variables = environment.iter().map(|(name, value)| (*name, value));
        ran(self.command(words).envs(variables).output().expect("the binary starts"))
    }

    /// The calls that reached a sandbox on this route, from its log.
    pub(crate) fn calls(&self, sandbox: &str, route: &str) -> Vec<Value> {
        let text = self.read(&format!(".mdetag/sandboxes/{sandbox}/calls.ndjson"));
        let calls = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a logged call"));
        calls.filter(|call| call["route"] == route).collect()
    }
}

/// The program under test: `MDETAG_PROGRAM` names another than the one just built, such as the Windows one under Wine.
pub(crate) fn program() -> OsString {
    std::env::var_os("MDETAG_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_mdetag").into())
}

/// An ended process.
pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
