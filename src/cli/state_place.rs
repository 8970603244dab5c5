//! The place of the state: `--state`, `MDETAG_STATE`, `state:` in `mdetag.yaml`, else `.mdetag` beside it.
//!
//! Opens nothing. Whoever can write a pull request can change the file, so the file alone may not move the state elsewhere.

use std::path::{Component, Path, PathBuf};

use mdetag::store::backend::{StatePlace, StoreAddress};
use mdetag_core::report::escape::terminal;

use super::failure::Failure;

/// The default name of the folder.
const DEFAULT: &str = ".mdetag";

/// The settings that decide the place of the state.
pub struct StatePlaceInputs<'a> {
    /// `--state` or `MDETAG_STATE`, including its old names.
    pub named: Option<&'a str>,
    /// `state:` of `mdetag.yaml`.
    pub file: Option<&'a str>,
    /// `MDETAG_ALLOW_HOSTS`.
    pub allowed: &'a str,
    /// The folder of the `mdetag.yaml` in use.
    pub settings_folder: Option<&'a Path>,
    /// The root of the repository.
    pub repository: Option<&'a Path>,
    pub folder: &'a Path,
}

impl StatePlaceInputs<'_> {
    /// The place that applies.
    ///
    /// # Errors
    /// Text that names no place, and a file that names a place outside the repository which the environment does not allow.
    pub fn place(&self) -> Result<StatePlace, Failure> {
        let named = self.named.map(|text| self.parse(text, "`--state` or MDETAG_STATE")).transpose()?;
        if let Some(named) = named {
            return Ok(named);
        }
        match self.file.map(|text| self.parse(text, "`state` of mdetag.yaml")).transpose()? {
            None => Ok(StatePlace::Folder(self.standard())),
            Some(StatePlace::Folder(folder)) => {
                self.inside(&folder)?;
                Ok(StatePlace::Folder(folder))
            }
            Some(StatePlace::Store(address)) => {
                self.vouched_for(&address)?;
                Ok(StatePlace::Store(address))
            }
        }
    }

    /// The default local folder; sandboxes stay there even if the state is in a store.
    pub fn standard(&self) -> PathBuf {
        from_here(self.folder, self.home().join(DEFAULT))
    }

    /// The base of relative paths, wherever the command is typed.
    fn home(&self) -> &Path {
        self.settings_folder.or(self.repository).unwrap_or(self.folder)
    }

    fn parse(&self, text: &str, from: &str) -> Result<StatePlace, Failure> {
        let place = StatePlace::parse(text).map_err(|why| {
            Failure::usage(format!("{from}: {}", terminal(&why)))
                .help("name a folder, azblob://ACCOUNT/CONTAINER/PREFIX or s3://BUCKET/PREFIX")
        })?;
        Ok(match place {
            StatePlace::Folder(folder) => {
                StatePlace::Folder(from_here(self.folder, self.home().join(folder)))
            }
            store => store,
        })
    }

    fn inside(&self, folder: &Path) -> Result<(), Failure> {
        let root = self.repository.unwrap_or_else(|| self.home());
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| plain(path));
        // A missing path cannot be a link: its nearest existing folder decides.
        let whole = plain(&self.folder.join(folder));
        let nearest = whole.ancestors().find(|place| place.symlink_metadata().is_ok());
        let is_inside = nearest.is_some_and(|nearest| real(nearest).starts_with(real(root)))
            && (whole.starts_with(plain(root)) || whole.starts_with(real(root)));
        let own = |part: &std::ffi::OsStr| {
            part.to_str()
                .is_some_and(|part| [".git", ".github"].iter().any(|own| part.eq_ignore_ascii_case(own)))
        };
        let lies_in =
            |path: &Path, root: &Path| path.strip_prefix(root).is_ok_and(|below| below.iter().any(own));
        if lies_in(&whole, &plain(root))
            || nearest.is_some_and(|nearest| lies_in(&real(nearest), &real(root)))
        {
            let file = terminal(self.file.unwrap_or_default()).into_owned();
            return Err(Failure::file(format!(
                "`state` of mdetag.yaml names `{file}`, a folder of git or of GitHub"
            ))
            .help("name another folder: the file lies in the pull request"));
        }
        if is_inside {
            return Ok(());
        }
        let file = terminal(self.file.unwrap_or_default()).into_owned();
        Err(Failure::file(format!("`state` of mdetag.yaml names `{file}`, which lies outside the repository"))
            .help("name a folder of the repository, or name it with --state or MDETAG_STATE: the file lies in the pull request"))
    }

    fn vouched_for(&self, address: &StoreAddress) -> Result<(), Failure> {
        let root = address.root();
        let mut allowed = self.allowed.split([',', ' ']).map(|host| host.trim_end_matches('/'));
        if allowed.any(|allowed| allowed.eq_ignore_ascii_case(&root)) {
            return Ok(());
        }
        Err(Failure::file(format!("`state` of mdetag.yaml names {address}, and the environment does not vouch for it"))
            .help(format!(
                "if it is meant, set MDETAG_STATE={address} or add {root} to MDETAG_ALLOW_HOSTS: another store is another lock, and the file lies in the pull request"
            )))
    }
}

/// A path seen from a folder: relative if it is below it, else unchanged. Windows gives the working directory in one spelling,
/// and the repository's root, whose links are resolved, in another.
/// and the repository's root, whose links are resolved, in another.
pub fn from_folder(folder: &Path, path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(folder);
    let spellings = [Some(folder), real.as_deref().ok()];
    match spellings.into_iter().flatten().find_map(|folder| path.strip_prefix(folder).ok()) {
        Some(relative) if relative.as_os_str().is_empty() => PathBuf::from("."),
        Some(relative) => relative.to_path_buf(),
        None => path.to_path_buf(),
    }
}

/// Relative to the working directory if it is below it, so that messages stay short.
fn from_here(folder: &Path, path: PathBuf) -> PathBuf {
    let relative = from_folder(folder, &path);
    if relative == Path::new(".") { path } else { relative }
}

/// Without `.` and `..`, as written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(words: StatePlaceInputs<'_>) -> Result<String, String> {
        words.place().map(|place| place.to_string()).map_err(|failure| failure.message)
    }

    fn words<'a>(
        named: Option<&'a str>,
        file: Option<&'a str>,
        allowed: &'a str,
        root: &'a Path,
    ) -> StatePlaceInputs<'a> {
        StatePlaceInputs {
            named,
            file,
            allowed,
            settings_folder: Some(root),
            repository: Some(root),
            folder: root,
        }
    }

    #[test]
    fn a_store_that_only_the_file_names_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = "s3://contoso-state/mdetag";
        let root = folder.path();
        assert!(place(words(None, Some(store), "", root)).is_err());
        assert!(place(words(None, Some(store), "s3://other", root)).is_err());
        assert_eq!(place(words(None, Some(store), "a, s3://contoso-state", root)).as_deref(), Ok(store));
        assert_eq!(place(words(Some(store), Some(store), "", root)).as_deref(), Ok(store));
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_stays_inside_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(place(words(Some("mine"), Some("theirs"), "", root)).as_deref(), Ok("mine"));
        assert_eq!(place(words(None, Some("state/here"), "", root)).as_deref(), Ok("state/here"));
        for outside in ["../x", "/var/lib/mdetag", "state/../../x"] {
            assert!(place(words(None, Some(outside), "", root)).is_err(), "{outside}");
        }
    }

    #[test]
    fn the_folders_of_git_and_github_are_no_place_for_state_that_a_file_names() {
        let folder = tempfile::tempdir().unwrap();
        for own in [".git", ".git/x", ".github/x", "a/.GIT", "./x/../.git"] {
            assert!(place(words(None, Some(own), "", folder.path())).is_err(), "{own}");
        }
        assert!(place(words(None, Some("git/.gitstate"), "", folder.path())).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_repository_is_no_folder_of_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path(), folder.path().join("state")).unwrap();
        assert!(place(words(None, Some("state"), "", folder.path())).is_err());
        assert!(place(words(None, Some("state/new"), "", folder.path())).is_err());
    }

    #[test]
    fn the_folder_is_the_same_from_wherever_the_command_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, deep) = (folder.path(), folder.path().join("policies"));
        let from = |folder, named| {
            let words = StatePlaceInputs {
                named,
                file: None,
                allowed: "",
                settings_folder: Some(root),
                repository: None,
                folder,
            };
            folder.join(words.place().unwrap().folder().unwrap())
        };
        assert_eq!(from(&deep, None), root.join(".mdetag"));
        assert_eq!(from(root, None), root.join(".mdetag"));
        assert_eq!(from(&deep, Some("s")), from(root, Some("s")));
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_named_from_here_whichever_spelling_here_has() {
        let folder = tempfile::tempdir().unwrap();
        let (real, other) = (folder.path().join("real"), folder.path().join("other"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &other).unwrap();
        let real = std::fs::canonicalize(&real).unwrap();
        for folder in [&real, &other] {
            let words = StatePlaceInputs {
                named: None,
                file: None,
                allowed: "",
                settings_folder: None,
                repository: Some(&real),
                folder,
            };
            assert_eq!(words.standard(), Path::new(DEFAULT), "{}", folder.display());
        }
    }
}
