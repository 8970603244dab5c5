//! The whole tenant in memory: its devices, rate windows and switches, and the helpers that every route needs.
//!
//! Answers no call itself; the routes do, and `dispatch` chooses among them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::disk::Disk;
use crate::edits::{Change, Edit};
use crate::fleet::Fleet;
use crate::limits::{Limits, Window};
use crate::log::LoggedCall;
use crate::random::Random;
use crate::record::ShownOrigins;
use crate::routes::Route;
use crate::settings::Settings;
use crate::switches::{Switch, Switches};
use crate::wire::Answer;
use mdetag_vocabulary::time::Timestamp;

/// The whole tenant.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) settings: Settings,
    pub(super) switches: Switches,
    pub(super) fleet: Fleet,
    pub(super) limits: Limits,
    pub(super) calls: VecDeque<LoggedCall>,
    pub(super) random: Random,
    /// Windows and delays are this many times shorter than documented.
    pub(super) speed: u32,
    /// How far the sandbox's clock is ahead of the system's.
    pub(super) ahead: Duration,
    /// Number of list answers so far, for the fault that changes the fleet between pages.
    pub(super) list_answers: u64,
    /// Hunting results set through the control plane: query text to rows.
    pub(super) hunting: HashMap<String, Vec<serde_json::Value>>,
    /// Sign-ins with a federated credential so far.
    pub(super) federated_tries: u64,
    /// Ids of assertions that were already used.
    pub(super) used_assertions: std::collections::HashSet<String>,
    pub(super) disk: Option<Disk>,
    pub(super) numbers: HashMap<Route, u64>,
    pub(super) machine_calls: u64,
    pub(super) call_number: u64,
    /// Writes under way: device id to the calls that touch it.
    pub(super) under_way: HashMap<Box<str>, Vec<u64>>,
}

impl Service {
    /// A service over a fleet.
    pub(super) fn new(settings: Settings, switches: Switches, fleet: Fleet) -> Service {
        let random = Random::new(settings.seed ^ 0x5EED);
        Service {
            settings,
            switches,
            fleet,
            limits: Limits::default(),
            calls: VecDeque::new(),
            random,
            speed: 1,
            ahead: Duration::ZERO,
            list_answers: 0,
            hunting: HashMap::new(),
            federated_tries: 0,
            used_assertions: std::collections::HashSet::new(),
            disk: None,
            numbers: HashMap::new(),
            machine_calls: 0,
            call_number: 0,
            under_way: HashMap::new(),
        }
    }

    pub(super) fn throttled(&self, window: Window, seconds: u64) -> Answer {
        let per = if window.length.as_secs() == 3600 { "01:00:00" } else { "00:01:00" };
        let calls = window.calls;
        match self.switches.text(Switch::ThrottleBody) {
            "2022" => {
                let message = format!(
                    "API calls quota exceeded! Maximum allowed {calls} per {per} for the key Destination+TenantID+AppID. You can send requests again in {seconds} seconds."
                );
                Answer::error(429, "429", &message, "machines")
            }
            "documented" => self.error(429, "TooManyRequests", "Too many requests."),
            _ => self.error(
                429,
                "429",
                &format!("API calls quota exceeded! maximum allowed {calls} per {per}"),
            ),
        }
    }

    /// An error body in the form that the switches choose.
    pub(super) fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        let number = self.call_number;
        let target = match self.switches.text(Switch::ErrorTarget) {
            "pipe" => format!("|{:08x}.", number.wrapping_mul(0x9E37_79B1) as u32),
            "tenant" => self.settings.tenant_id.clone(),
            _ => format!("{:08x}-0000-4000-9000-{number:012x}", self.settings.seed as u32),
        };
        Answer::error(status, code, message, &target)
    }

    /// Applies edits and saves them.
    ///
    /// # Errors
    /// The answer for edits that cannot be saved; nothing is changed then.
    pub(super) fn commit(&mut self, edits: &[Edit]) -> Result<(), Answer> {
        if let Some(disk) = &mut self.disk
            && let Err(error) = disk.save(edits)
        {
            return Err(Answer::error(
                500,
                "SandboxError",
                &format!("the sandbox cannot save its state: {error}"),
                "",
            ));
        }
        let touched = self.touched_groups(edits);
        self.replay(edits);
        let moves = self.group_moves(touched);
        if moves.is_empty() { Ok(()) } else { self.commit(&moves) }
    }

    /// Applies edits that are already saved.
    pub(super) fn replay(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Change::Clock { by } = edit.change {
                self.ahead += Duration::from_nanos(by.unsigned_abs().saturating_mul(100));
            }
            edit.apply(&mut self.fleet);
        }
    }

    /// The devices whose edits touch a tag that some group's rule depends on, with the time of the edit.
    fn touched_groups(&self, edits: &[Edit]) -> Vec<(Box<str>, i64)> {
        if self.switches.is(Switch::GroupDelay, "off") {
            return Vec::new();
        }
        let groups = &self.fleet.groups;
        let mut touched = Vec::new();
        for edit in edits {
            match &edit.change {
                Change::Add { tag, ids } | Change::Remove { tag, ids } if groups.look_at(tag) => {
                    touched.extend(ids.iter().map(|id| (id.clone(), edit.at)));
                }
                Change::Tags { id, tags } => {
                    let row = self.fleet.row(id);
                    let old = row.map(|row| &*self.fleet.devices[row].state.manual).unwrap_or_default();
                    let is_lost = |tag: &&str| !tags.iter().any(|kept| kept == tag);
                    let is_new = |tag: &&str| !old.iter().any(|known| **known == **tag);
                    let lost = old.iter().map(|tag| &**tag).filter(is_lost);
                    let mut changed = lost.chain(tags.iter().map(String::as_str).filter(is_new));
                    if changed.any(|tag| groups.look_at(tag)) {
                        touched.push((id.clone(), edit.at));
                    }
                }
                _ => {}
            }
        }
        touched
    }

    /// The moves of these devices to other groups, due after the service's delay.
    fn group_moves(&self, touched: Vec<(Box<str>, i64)>) -> Vec<Edit> {
        let delay = self.scaled(Duration::from_secs(self.switches.number(Switch::GroupDelay)));
        let mut moves = Vec::new();
        for (id, at) in touched {
            let now = Timestamp::from_ticks(at);
            let Some(row) = self.fleet.row(&id) else { continue };
            let group = self.fleet.group_of(row, now);
            if group == *self.fleet.devices[row].coming_group() {
                continue;
            }
            let name = group.name.as_deref().map(str::to_owned);
            let due = now.plus(delay).ticks();
            moves.push(Edit::now(now, Change::Regroup { id, group: group.id, name, due }));
        }
        moves
    }

    /// As [`Service::commit`], with the reason as text.
    pub(super) fn commit_or_say(&mut self, edits: &[Edit]) -> Result<(), String> {
        self.commit(edits).map_err(|answer| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// A documented duration at the sandbox's speed.
    pub(super) fn scaled(&self, span: Duration) -> Duration {
        span / self.speed.max(1)
    }

    /// Which origins `machineTags` shows.
    pub(super) fn shows(&self) -> ShownOrigins {
        match self.switches.text(Switch::MachineTagsShows) {
            "manual" => ShownOrigins::Manual,
            "manual+registry" => ShownOrigins::ManualAndRegistry,
            _ => ShownOrigins::All,
        }
    }
}
