//! The commit of a plan: only named if the policies are those of the commit.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, ran};

const POLICY: &str = "version: 1\nclaims: [T]\nlookups: { c: { file: c.csv, key: k, match: deviceName } }\nrules: [{ name: r, select: { lookup.c.o: x }, tags: [T] }]\n";

fn git(folder: &Path, words: &[&str]) -> String {
    let identity = ["-c", "user.name=n", "-c", "user.email=a@b"];
    let run = Command::new("git").args(identity).args(words).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

fn planned(project: &Project, policies: &str) -> Value {
    let words = ["plan", "--inventory", "../i.json", "-o", "../o.json", policies];
    let mut command = project.command(&words);
    ran(command.current_dir(project.path().join("r")).output().unwrap()).exits(0);
    serde_json::from_str::<Value>(&project.read("o.json")).unwrap()["policy"].clone()
}

#[test]
fn a_commit_is_named_only_where_every_file_is_as_in_it() {
    let project = Project::new();
    project.write("i.json", r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a"}"#);
    for folder in ["r/p", "outside"] {
        project.write(&format!("{folder}/p.yaml"), POLICY);
        project.write(&format!("{folder}/c.csv"), "k,o\na,x\n");
    }
    let root = project.path().join("r");
    git(&root, &["init", "-q"]);
    let dirty = |folder: &str, why: &str| {
        let policy = planned(&project, folder);
        assert_eq!((&policy["dirty"], policy.get("commit")), (&Value::Bool(true), None), "{why}");
    };
    dirty("p", "no commit yet");
    git(&root, &["add", "-A"]);
    dirty("p", "only staged");
    git(&root, &["commit", "-qm", "x"]);
    let clean = |why: &str| {
        let policy = planned(&project, "p");
        assert_eq!(policy["commit"], git(&root, &["rev-parse", "HEAD"]).trim(), "{why}");
        assert_eq!(policy.get("dirty"), None, "{why}");
    };
    clean("as committed");
    git(&root, &["gc", "-q"]);
    clean("packed");
    dirty("../outside", "outside of the repository");
    project.write("r/p/c.csv", "k,o\na,y\n");
    dirty("p", "a data file is edited");
    git(&root, &["checkout", "-q", "."]);
    project.write("r/p/more.yaml", "version: 1\n");
    dirty("p", "a file is untracked");
    git(&root, &["add", "-A"]);
    dirty("p", "a file is only staged");
    git(&root, &["commit", "-qm", "y"]);
    clean("committed again");
    project.write(
        "r/p/deep/guard.yaml",
        "version: 1\nguard: { caps: { removals: { percent: 0, floor: 0 } } }\n",
    );
    project
        .write("r/p/old.test.yaml", "version: 1\ntests: [{ name: t, device: {}, expect: { tags: [] } }]\n");
    project.write("r/other/q.yaml", "version: 1\n");
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-qm", "z"]);
    clean("with a guard");
    for gone in ["p/old.test.yaml", "other/q.yaml"] {
        std::fs::remove_file(root.join(gone)).unwrap();
        clean("what is no policy of this set is deleted");
    }
    for (how, words) in
        [("deleted", vec!["rm", "-q", "--cached", "p/deep/guard.yaml"]), ("staged", vec!["gc", "-q"])]
    {
        std::fs::remove_file(root.join("p/deep/guard.yaml")).unwrap();
        dirty("p", &format!("a policy is {how} from the working tree"));
        // The file alone is unchanged since the commit; its folder is not.
        assert_eq!(planned(&project, "p/p.yaml").get("dirty"), None);
        git(&root, &words);
        dirty("p", "the same in the index");
        git(&root, &["reset", "-q", "--hard"]);
        clean("restored");
    }
}
