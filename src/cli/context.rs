//! The start of every command: the flags, `mdetag.yaml`, the console, the clock, the folders.
//!
//! Connects nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mdetag::store::backend::StatePlace;
use mdetag::store::path_text::shown;
use mdetag::store::state::SANDBOX;
use mdetag::store::{regular_file, repository, state};
use mdetag_core::apply::StopReason;
use mdetag_core::diagnostic::{Diagnostic, Source, Sources};
use mdetag_core::plan::{Options, TenantReference, ValueRoute};
use mdetag_core::policy::settings::{self, Profile, Settings};
use mdetag_core::policy::{self, MAX_BYTES};
use mdetag_core::probe::KnownService;
use mdetag_core::report::escape::terminal;
use mdetag_core::time::{Clock, Timestamp};
use tokio::sync::watch;

use super::args::{Command, Global};
use super::console::Console;
use super::failure::Failure;
use super::opened_store::{CopiedFrom, OpenedStore};
use super::planning::has_errors;
use super::state_place::{self, from_folder};

#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::EPOCH.plus(since)
    }
}

/// The context of a command.
#[derive(Clone)]
pub struct Context {
    pub global: Global,
    pub console: Console,
    pub clock: Arc<dyn Clock>,
    /// When the command started; time limits count from here, including reading.
    pub started: Timestamp,
    /// What asked the command to stop, for waits that nothing else can end.
    pub stopping: Arc<watch::Sender<Option<StopReason>>>,
    /// The content of `mdetag.yaml`, or the defaults.
    pub settings: Settings,
    /// The folder of `mdetag.yaml`, if there is one: its paths are relative to it.
    pub settings_folder: Option<PathBuf>,
    pub folder: PathBuf,
    /// The repository root, else the working directory: plans name files relative to it.
    pub base: PathBuf,
    /// The repository root, if there is one.
    pub repository: Option<PathBuf>,
    pub place: StatePlace,
    /// Whether the place is the default.
    pub is_default_place: bool,
    /// The store, if the state is in one, after it is opened.
    pub store: OpenedStore,
    /// Whether the folder of the state is a copy, after that was checked.
    pub copied_from: CopiedFrom,
    /// Findings about the service; empty until a tenant is known.
    pub service: KnownService,
    /// The folder of sandboxes, and of all state if that is in a folder.
    local: PathBuf,
}

impl Context {
    /// Reads `mdetag.yaml` and finds the folders.
    ///
    /// # Errors
    /// The working directory is gone, or `mdetag.yaml` has errors (all are listed).
    pub fn new(global: Global, console: Console, command: &Command) -> Result<Context, Failure> {
        let folder = std::env::current_dir()
            .map_err(|error| Failure::file(format!("cannot tell the working directory: {error}")))?;
        let repository = repository::root(&folder);
        let (settings, settings_folder) = if command.reads_settings() {
            read_settings(&folder, repository.as_deref())?
        } else {
            (Settings::default(), None)
        };
        let base = repository.clone().unwrap_or_else(|| folder.clone());
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (old_name, allowed) = (env("MDETAG_STATE_DIR"), env("MDETAG_ALLOW_HOSTS").unwrap_or_default());
        let words = state_place::StatePlaceInputs {
            named: global.state.as_deref().or(old_name.as_deref()),
            file: settings.state.as_deref(),
            allowed: &allowed,
            settings_folder: settings_folder.as_deref(),
            repository: repository.as_deref(),
            folder: &folder,
        };
        let (place, standard) = (words.place()?, words.standard());
        let is_default_place = words.named.is_none() && words.file.is_none();
        let local = place.folder().map_or(standard, Path::to_path_buf);
        if command.uses_state() {
            refuse_tracked(&local, repository.as_deref())?;
            let is_named = words.named.is_some() || (words.file.is_some() && place.folder().is_some());
            if !is_named {
                refuse_link(&local)?;
            }
        }
        Ok(Context {
            global,
            console,
            clock: Arc::new(SystemClock),
            started: SystemClock.now(),
            stopping: Arc::new(watch::Sender::new(None)),
            settings,
            settings_folder,
            folder,
            base,
            repository,
            place,
            is_default_place,
            store: OpenedStore::default(),
            copied_from: CopiedFrom::default(),
            service: KnownService::default(),
            local,
        })
    }

    /// The stop that a failure is: a list of the state that was given up because the command was asked to stop.
    pub fn stop_in(&self, failure: Failure) -> Failure {
        let endless =
            self.store.get().and_then(|opened| opened.as_ref().ok()).and_then(|store| store.endless());
        let stop = endless.filter(|endless| failure.message.contains(&endless.why));
        match stop.and_then(|endless| endless.stopped_by) {
            Some(StopReason::Deadline) => Failure::out_of_time(),
            Some(_) => Failure::stopped(),
            None => failure,
        }
    }

    /// Lets go of something large where nothing but the end of the command is left. The process gives its memory back at once;
    /// one by one, a million devices take a quarter of a second. With `--all-tenants` the others still need the memory.
    pub fn let_go<T>(&self, large: T) {
        let is_one_of_many = self.console.kept.is_some();
        if !is_one_of_many {
            std::mem::forget(large);
        }
    }

    /// The tenant, as far as the command line and `mdetag.yaml` name it.
    pub fn named_tenant(&self) -> TenantReference {
        if let Some(name) = &self.global.sandbox {
            return TenantReference { id: None, name: Some(name.clone()), cloud: Some(SANDBOX.to_owned()) };
        }
        let profile = self.profile().ok().flatten();
        TenantReference {
            id: profile.and_then(|profile| profile.tenant_id.clone()),
            name: profile.map(|profile| profile.name.clone()),
            cloud: profile.and_then(|profile| profile.cloud).map(|cloud| cloud.word().to_owned()),
        }
    }

    /// The name in the marker of comments: the sandbox's or profile's. Empty if none is named, so that an error before the first
    /// read and the later plan share one comment.
    pub fn comment_of(&self) -> String {
        self.named_tenant().name.unwrap_or_default()
    }

    /// The profile of this run, if it has one.
    ///
    /// # Errors
    /// `--tenant` does not name a profile.
    pub fn profile(&self) -> Result<Option<&Profile>, Failure> {
        let Some(name) = self.global.tenant.as_deref().or(self.settings.default_tenant.as_deref()) else {
            let mut tenants = self.settings.tenants();
            return Ok(tenants.next().filter(|_| tenants.next().is_none()));
        };
        if self.settings.is_base(name) {
            return Err(Failure::usage(format!("`{name}` is a base of other profiles, and no tenant"))
                .help("name one of the profiles that extend it; `mdetag tenants` lists them"));
        }
        if let Some(profile) = self.settings.profile(name) {
            return Ok(Some(profile));
        }
        let known: Vec<&str> = self.settings.tenants().map(|profile| profile.name.as_str()).collect();
        let failure = Failure::usage(format!("there is no tenant profile `{name}`"));
        Err(if known.is_empty() {
            failure.help("profiles are listed in mdetag.yaml under `tenants`; `mdetag init` writes one")
        } else {
            failure.help(format!("mdetag.yaml has {}", known.join(", ")))
        })
    }

    /// The policy arguments: those given, else the profile's, else `policies/`.
    ///
    /// # Errors
    /// Those of [`Context::profile`].
    pub fn policy_paths(&self, given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        if !given.is_empty() {
            return Ok(given.to_vec());
        }
        let profile = self.profile()?.map(|profile| profile.policies.as_slice()).unwrap_or_default();
        let folder = self.settings_folder.as_deref().unwrap_or(&self.folder);
        let paths: Vec<PathBuf> = match profile {
            [] => vec![PathBuf::from("policies")],
            own => own.iter().map(|path| from_folder(&self.folder, &folder.join(path))).collect(),
        };
        paths.iter().try_for_each(|path| self.within_the_repository(path))?;
        Ok(paths)
    }

    /// Checks a path that was not typed: a pull request may have written it, or replaced it by a link.
    fn within_the_repository(&self, path: &Path) -> Result<(), Failure> {
        let root = self.repository.as_deref().or(self.settings_folder.as_deref()).unwrap_or(&self.folder);
        match regular_file::within(&self.folder.join(path), root) {
            // A missing file is reported with the other findings.
            Err(_) if !self.folder.join(path).exists() => Ok(()),
            Err(why) => Err(Failure::file(format!("the policies `{}` cannot be read: {why}", shown(path)))
                .help("mdetag.yaml names paths of the repository; others are typed as arguments")),
            Ok(_) => Ok(()),
        }
    }

    /// The first flag, given or from the environment, that replaces the present by a recording.
    pub fn recorded_flag(&self) -> Option<&'static str> {
        let flags = [
            ("--inventory", self.global.inventory.is_some()),
            ("--hunting-results", self.global.hunting_results.is_some()),
            ("--now", self.global.now.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_set)| is_set.then_some(flag))
    }

    /// The clock of the policy: `--now`, else the present.
    pub fn policy_now(&self) -> Timestamp {
        self.global.now.unwrap_or_else(|| self.clock.now())
    }

    /// Options that change what is planned or how it is written.
    pub fn options(&self) -> Options {
        let values =
            if self.settings.writes.both_routes { ValueRoute::Both } else { ValueRoute::SetDeviceValue };
        Options {
            tag_case: self.settings.tag_case,
            values,
            tags: self.service.tag_route(),
            combine: self.settings.writes.combine,
            origins: Some(self.settings.writes.origins),
            visibility: Some(self.settings.writes.visibility.as_secs()),
            profile: self.service.digest(),
        }
    }

    /// The context adapted to a measured service.
    pub fn suited(&self, service: &KnownService) -> Context {
        let mut suited = Context { service: service.clone(), ..self.clone() };
        for sentence in service.suit(&mut suited.settings) {
            self.console.say(&format!("note: {sentence}"));
        }
        suited
    }

    /// The state directory; if the state is in a store, that of sandboxes only.
    pub fn state_dir(&self) -> PathBuf {
        self.local.clone()
    }
}

/// Refuses state in the repository, because a pull request could change it to say anything about earlier runs.
fn refuse_tracked(state: &Path, repository: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = repository.and_then(|root| state::tracked(state, root)) else { return Ok(()) };
    let what = format!("git tracks `{}`, which lies in the state directory", terminal(&file));
    Err(Failure::file(what).help(format!(
        "take it out of git with `git rm -r --cached {}`, and commit that; state decides what later runs do",
        shown(state)
    )))
}

/// Refuses a link at the default place, because nobody chose its target. An explicitly named folder may be a link.
fn refuse_link(state: &Path) -> Result<(), Failure> {
    if !state.is_symlink() {
        return Ok(());
    }
    let what =
        format!("{} is a link, and state is not followed through links that nobody named", shown(state));
    Err(Failure::file(what)
        .help("name the folder that it leads to with --state or MDETAG_STATE, or remove it"))
}

/// `mdetag.yaml` of the working directory or of a parent up to the repository root; outside a repository only of the former.
fn read_settings(folder: &Path, repository: Option<&Path>) -> Result<(Settings, Option<PathBuf>), Failure> {
    let real = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    if let Some(path) = settings_file(&real, repository) {
        let place = path.parent().unwrap_or(&real);
        let name = shown(&from_folder(repository.unwrap_or(&real), &path));
        // A pull request may contain this file, and it may link to a secret of the runner.
        let text = regular_file::text_within(&path, repository.unwrap_or(place), MAX_BYTES as u64)
            .map_err(|why| Failure::file(format!("{name} cannot be read: {why}")))?;
        let source = Source::new(name.as_str(), 0, "mdetag.yaml", text);
        let sources = Sources { files: vec![source], ..Sources::default() };
        let (mut settings, findings) = settings::read(&sources);
        if has_errors(&findings) {
            let errors: Vec<Diagnostic> = findings;
            return Err(Failure::policy(sources, errors));
        }
        add_tenants_file(&mut settings, place, repository.unwrap_or(place), &name)?;
        let checked = settings.inherit().and_then(|()| settings.check_tenants());
        checked.map_err(|why| Failure::usage(format!("{name}: {why}")))?;
        return Ok((settings, Some(place.to_path_buf())));
    }
    Ok((Settings::default(), None))
}

/// The path of `mdetag.yaml`: in the folder or in the nearest of its parents up to the repository's root.
fn settings_file(real: &Path, repository: Option<&Path>) -> Option<PathBuf> {
    let mut places = real.ancestors().take_while(|place| match repository {
        Some(root) => place.starts_with(root),
        None => *place == real,
    });
    places.find_map(|place| {
        let path = place.join("mdetag.yaml");
        std::fs::symlink_metadata(&path).is_ok().then_some(path)
    })
}

/// The profile of a command without `--tenant`, for when `mdetag.yaml` has errors or anything else keeps the command from
/// starting.
pub fn likely_tenant() -> Option<String> {
    let real = std::fs::canonicalize(std::env::current_dir().ok()?).ok()?;
    let repository = repository::root(&real);
    let path = settings_file(&real, repository.as_deref())?;
    let root = repository.as_deref().or_else(|| path.parent())?;
    policy::likely_tenant(&regular_file::text_within(&path, root, MAX_BYTES as u64).ok()?)
}

/// Adds the profiles of `tenantsFile`, which must be below `root` like every path in `mdetag.yaml`.
fn add_tenants_file(
    settings: &mut Settings,
    folder: &Path,
    root: &Path,
    naming: &str,
) -> Result<(), Failure> {
    let Some(written) = settings.tenants_file.clone() else { return Ok(()) };
    let refused = |why: &str| {
        Failure::file(format!("`tenantsFile` of {naming}: `{}` cannot be used: {why}", terminal(&written)))
            .help("it is a .yaml, .json or .csv file in the repository, relative to mdetag.yaml")
    };
    let text = regular_file::text_within(&folder.join(&written), root, MAX_BYTES as u64)
        .map_err(|why| refused(&why))?;
    let source = Source::new(written.as_str(), 0, written.as_str(), text);
    let sources = Sources { files: vec![source], ..Sources::default() };
    let (profiles, findings) = policy::read_profiles(&sources);
    if has_errors(&findings) {
        return Err(Failure::policy(sources, findings));
    }
    let taken = settings.add_profiles(profiles);
    match taken.first() {
        None => Ok(()),
        Some(name) => Err(refused(&format!("the tenant `{name}` is in {naming}, too"))),
    }
}
