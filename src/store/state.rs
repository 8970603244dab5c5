//! The layout of the state directory: a directory for each tenant.
//!
//! The modules that write the files know their content.

use std::fs::FileType;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdetag_core::text::is_taken_by_windows;

use super::backend::{Backend, Directory};
use super::git_index;
use super::path_text::{is_name, shown};
use super::private_folder;
use super::state_file;

/// The cloud of simulated tenants.
pub const SANDBOX: &str = "sandbox";

/// The directory of one tenant: `STATE/<cloud>/<tenant id>/`.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    backend: Arc<dyn Backend>,
}

impl StateDir {
    /// The directory of a tenant. `cloud` is `sandbox` for a simulated one.
    ///
    /// # Errors
    /// A sentence, if the cloud or the id could name another directory.
    pub fn new(state: &Path, cloud: &str, tenant: &str) -> Result<StateDir, String> {
        check("cloud", cloud)?;
        check("tenant id", tenant)?;
        // Ids are GUIDs, which people and tokens write in either case.
        StateDir::below(state, &[cloud, &tenant.to_ascii_lowercase()])
    }

    /// The directory of a tenant in a sandbox: `STATE/sandbox/<name>/<tenant id>/`. Several sandboxes may have the same tenant
    /// id.
    ///
    /// # Errors
    /// As [`StateDir::new`].
    pub fn of_sandbox(state: &Path, name: &str, tenant: &str) -> Result<StateDir, String> {
        check("sandbox", name)?;
        check("tenant id", tenant)?;
        StateDir::below(state, &[SANDBOX, name, &tenant.to_ascii_lowercase()])
    }

    /// The directory of a tenant from a listing.
    pub(super) fn at(path: &Path) -> StateDir {
        StateDir { path: path.to_path_buf(), backend: Arc::new(Directory) }
    }

    fn below(state: &Path, folders: &[&str]) -> Result<StateDir, String> {
        let path = unlinked(state, folders)?;
        Ok(StateDir { path, backend: Arc::new(Directory) })
    }

    /// The state of a tenant in a store, with the layout of [`StateDir::new`] and, with a sandbox's name, of
    /// [`StateDir::of_sandbox`]. `store`: the address, for paths.
    ///
    /// # Errors
    /// As [`StateDir::new`].
    pub fn in_store(
        backend: Arc<dyn Backend>,
        store: &str,
        cloud: &str,
        sandbox: Option<&str>,
        tenant: &str,
    ) -> Result<StateDir, String> {
        check("cloud", cloud)?;
        check("tenant id", tenant)?;
        sandbox.map_or(Ok(()), |name| check("sandbox", name))?;
        let mut path = Path::new(store).join(cloud);
        path.extend(sandbox);
        Ok(StateDir { path: path.join(tenant.to_ascii_lowercase()), backend })
    }

    /// The storage that keeps the bytes: a folder or an object store.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The folder of this tenant's state.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of journals and their plans.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The journal of a run.
    pub fn journal(&self, run: &str) -> PathBuf {
        self.runs().join(format!("{run}.jsonl"))
    }

    /// The plan that a run applies.
    pub fn plan(&self, run: &str) -> PathBuf {
        self.runs().join(format!("{run}.plan.json"))
    }

    /// The folder of probe journals. Separate from runs, so that no reader of runs takes a probe for an apply.
    pub fn probes(&self) -> PathBuf {
        self.path.join("probes")
    }

    /// The journal of a probe.
    pub fn probe(&self, run: &str) -> PathBuf {
        self.probes().join(format!("{run}.jsonl"))
    }

    /// The findings about the service.
    pub fn service(&self) -> PathBuf {
        self.path.join("service.json")
    }

    /// The ledger of an application: a file per lane.
    ///
    /// # Errors
    /// As [`StateDir::new`].
    pub fn ledger(&self, app: &str) -> Result<PathBuf, String> {
        if !is_name(app) {
            return Err(format!("the client id `{app}` cannot name a directory"));
        }
        Ok(self.path.join("ledger").join(app.to_ascii_lowercase()))
    }

    /// The ledger of an application in a store: one object.
    ///
    /// # Errors
    /// As [`StateDir::new`].
    pub fn shared_ledger(&self, app: &str) -> Result<PathBuf, String> {
        check("client id", app)?;
        Ok(self.path.join("ledger").join(app.to_ascii_lowercase()))
    }

    /// The changes of a finished run, for `history`.
    pub fn history(&self, run: &str) -> PathBuf {
        self.path.join("history").join(format!("{run}.json"))
    }

    /// The mark of a copy of the state.
    pub fn copy_mark(&self) -> PathBuf {
        self.path.join("copy.json")
    }

    /// The files that are replaced as a whole, besides runs and probes.
    pub(super) fn whole_files(&self) -> [PathBuf; 5] {
        [self.pending(), self.owed(), self.unwritable(), self.baselines(), self.service()]
    }

    /// The inventory that `snapshot --keep` keeps.
    pub fn snapshot(&self) -> PathBuf {
        self.path.join("snapshot.ndjson.zst")
    }

    /// The lock that an `apply` holds.
    pub fn lock(&self) -> PathBuf {
        self.path.join("apply.lock")
    }

    pub(super) fn pending(&self) -> PathBuf {
        self.path.join("pending.json")
    }

    pub(super) fn owed(&self) -> PathBuf {
        self.path.join("owed.json")
    }

    pub(super) fn unwritable(&self) -> PathBuf {
        self.path.join("unwritable.json")
    }

    /// The counts of trusted runs, by policy set.
    pub fn baselines(&self) -> PathBuf {
        self.path.join("baselines.json")
    }
}

/// A folder of the state, below another. Neither a folder on the way nor anything in it may be a link, pipe or device: a link
/// could redirect the state, and anything else than a file would silently count as missing, so that its entries would hold
/// nothing back.
///
/// # Errors
/// A sentence with the path of the offender.
pub fn unlinked(root: &Path, folders: &[&str]) -> Result<PathBuf, String> {
    let mut path = root.to_path_buf();
    for folder in folders {
        path.push(folder);
        if let Ok(known) = path.symlink_metadata() {
            refuse_special(&path, known.file_type())?;
        }
    }
    let mut unseen = vec![path.clone()];
    while let Some(folder) = unseen.pop() {
        // The reader reports what is missing or cannot be listed.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            refuse_special(&entry.path(), kind)?;
            if kind.is_dir() {
                unseen.push(entry.path());
            }
        }
    }
    Ok(path)
}

fn refuse_special(path: &Path, kind: FileType) -> Result<(), String> {
    let what = match () {
        () if kind.is_symlink() => "is a link, and state is not followed through links",
        () if !kind.is_file() && !kind.is_dir() => {
            "is not a regular file, and state is read from nothing else"
        }
        () => return Ok(()),
    };
    Err(format!("{} {what}: look at it, then remove it", shown(path)))
}

/// Makes the state directory for its owner alone if it is missing, and keeps git away from it. If that fails, the first write
/// there reports it.
pub fn prepare(state: &Path) {
    let is_new = !state.exists();
    let is_own = is_new || state.file_name().is_some_and(|name| name == ".mdetag");
    if state_file::make_folder(state).is_ok() && is_own {
        if is_new {
            private_folder::close(state);
        }
        // It exists already, or the disk is read-only.
        let _ = state_file::create_new(&state.join(".gitignore")).and_then(|mut file| file.write_all(b"*\n"));
    }
}

/// A file of the state that git tracks, from the repository's root.
pub fn tracked(state: &Path, root: &Path) -> Option<String> {
    let root = std::fs::canonicalize(root).ok()?;
    let above = state.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = std::fs::canonicalize(above).ok()?.join(state.file_name()?);
    let own = shown(named.strip_prefix(&root).ok()?);
    let real = std::fs::canonicalize(&named).ok();
    let depth = own.matches('/').count();
    let mut last = (String::new(), false);
    let is_state = |path: &String| {
        let (folder, rest) = match path.match_indices('/').nth(depth) {
            Some((end, _)) => path.split_at(end),
            None => (path.as_str(), ""),
        };
        // Neither of these is state, and both keep it out of git.
        if matches!(rest, "/.gitignore" | "/.gitkeep") {
            return false;
        }
        if folder == own || rest.is_empty() {
            return folder == own;
        }
        // Windows and macOS find a folder under several spellings, and git checks out a file under each of them.
        if last.0 != folder {
            last = (folder.to_owned(), std::fs::canonicalize(root.join(folder)).ok() == real);
        }
        last.1 && real.is_some()
    };
    git_index::tracked(&root).into_iter().find(is_state)
}

/// Drops what earlier runs on a sandbox of this name left behind: a new one starts with empty state.
///
/// # Errors
/// A name that could mean another directory, a link on the way, or a disk that cannot be written.
pub fn forget_sandbox(state: &Path, name: &str) -> std::io::Result<()> {
    check("sandbox", name).map_err(std::io::Error::other)?;
    let all = state.join(SANDBOX);
    let own = all.join(name);
    let mut known = [state, &all, &own].into_iter().map(std::fs::symlink_metadata);
    // Only the state directory itself may be a link, because the user gave its path.
    if known.next().is_none_or(|known| known.is_err()) {
        return Ok(());
    }
    for known in known {
        match known {
            Ok(known) if known.is_dir() => {}
            Ok(_) => {
                let why = format!("{} is no folder: look at it, then remove it", shown(&own));
                return Err(std::io::Error::other(why));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    std::fs::remove_dir_all(own)
}

fn check(what: &str, word: &str) -> Result<(), String> {
    if is_name(word) && !is_taken_by_windows(word) {
        return Ok(());
    }
    Err(format!("the {what} `{word}` cannot name a directory: write letters, digits, `.`, `_` and `-`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_of_each_cloud_has_its_own_directory() {
        let state = StateDir::new(Path::new(".mdetag"), "public", "1111-22").unwrap();
        assert_eq!(state.journal("r1"), Path::new(".mdetag/public/1111-22/runs/r1.jsonl"));
        assert_eq!(state.ledger("app").unwrap(), Path::new(".mdetag/public/1111-22/ledger/app"));
    }

    #[test]
    fn sandboxes_of_one_tenant_id_share_nothing() {
        let of = |name| StateDir::of_sandbox(Path::new("s"), name, "1A").map(|state| state.lock());
        assert_eq!(of("one").unwrap(), Path::new("s/sandbox/one/1a/apply.lock"));
        assert_ne!(of("one").unwrap(), of("two").unwrap());
        assert!(of("..").is_err() && of("nul").is_err());
    }

    /// A link replaces a second spelling, which this file system may not have.
    #[cfg(unix)]
    #[test]
    fn state_that_git_tracks_under_another_spelling_of_its_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let run =
                std::process::Command::new("git").args(words).current_dir(folder.path()).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        };
        git(&["init", "-q"]);
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let add =
            |path: &str| git(&["update-index", "--add", "--cacheinfo", &format!("100644,{empty},{path}")]);
        let state = folder.path().join("kept/.mdetag");
        std::fs::create_dir_all(&state).unwrap();
        for other in [".gitignore", "kept/.gitignore", "kept/a/b", "kept/.MDETAG/.gitignore"] {
            add(other);
        }
        std::os::unix::fs::symlink(&state, folder.path().join("kept/.MDETAG")).unwrap();
        assert_eq!(tracked(&state, folder.path()), None);
        add("kept/.MDETAG/sandbox/a");
        assert_eq!(tracked(&state, folder.path()).as_deref(), Some("kept/.MDETAG/sandbox/a"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_a_sandbox_state_is_not_followed() {
        let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(other.path().join("one")).unwrap();
        std::os::unix::fs::symlink(other.path(), state.path().join(SANDBOX)).unwrap();
        assert!(forget_sandbox(state.path(), "one").is_err());
        assert!(other.path().join("one").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_or_socket_under_any_name_of_the_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let of = || StateDir::new(folder.path(), "public", "t");
        let state = of().unwrap();
        let files = [
            state.journal("r"),
            state.plan("r"),
            state.probe("r"),
            state.history("r"),
            state.ledger("app").unwrap().join("list.ledger"),
            state.copy_mark(),
            state.snapshot(),
            state.lock(),
        ];
        let locks = state.whole_files().map(|file| file.with_extension("lock"));
        let files = files.into_iter().chain(state.whole_files()).chain(locks);
        let folders = |file: &PathBuf| {
            let above = file.ancestors().skip(1).take_while(|above| *above != folder.path());
            above.map(Path::to_path_buf).collect::<Vec<_>>()
        };
        let names: std::collections::BTreeSet<PathBuf> =
            files.flat_map(|file| [folders(&file), vec![file]].concat()).collect();
        assert!(names.len() > 18, "{names:?}");
        for name in names {
            std::fs::create_dir_all(name.parent().unwrap()).unwrap();
            let target = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(target.path(), &name).unwrap();
            let why = of().unwrap_err();
            assert!(why.contains(&shown(&name)) && why.contains("is a link"), "{why}");
            std::fs::remove_file(&name).unwrap();
            let socket = std::os::unix::net::UnixListener::bind(&name).unwrap();
            let why = of().unwrap_err();
            assert!(why.contains(&shown(&name)) && why.contains("not a regular file"), "{why}");
            drop(socket);
            std::fs::remove_file(&name).unwrap();
            assert!(of().is_ok(), "{}", name.display());
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "a/b", "a\\b", "a\0"] {
            assert!(StateDir::new(Path::new("."), "public", name).is_err(), "{name:?}");
        }
    }
}
