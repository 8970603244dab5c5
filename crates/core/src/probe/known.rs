//! The findings of a profile that count, and what they change for a run.
//!
//! Never makes a read trusted, a cap wider or `PATCH` allowed: it only chooses among options that are all correct.

use std::collections::BTreeMap;
use std::time::Duration;

use super::profile::ServiceProfile;
use super::scratch::DOCUMENTED_LENGTH;
use crate::device::Field;
use crate::plan::{ProfileDigest, TagLimits, TagRoute, TenantReference};
use crate::policy::settings::Settings;
use crate::service::{Question, ServiceObservations};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The fields whose filters are probed.
pub const FILTERS: [(Field, Question); 4] = [
    (Field::LastSeen, Question::FilterLastSeen),
    (Field::HealthStatus, Question::FilterHealthStatus),
    (Field::OnboardingStatus, Question::FilterOnboardingStatus),
    (Field::RbacGroupId, Question::FilterRbacGroupId),
];

/// The shortest wait in seconds between a write and the next read of the list, however short a lag was measured.
const LEAST_SETTLE: u64 = 2;
const MOST_SETTLE: u64 = 600;

/// The verdicts that count now; empty if nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownService {
    verdicts: BTreeMap<Question, (String, Option<u64>)>,
}

impl ServiceProfile {
    /// The verdicts that count for a tenant.
    ///
    /// # Errors
    /// Why no finding counts, as the end of the sentence "the service profile is not used: …".
    pub fn known(&self, tenant: &TenantReference, now: Timestamp) -> Result<KnownService, &'static str> {
        if self.check.as_deref() != Some(&*ServiceProfile::check_of(tenant)) {
            return Err("it was not measured on this tenant");
        }
        let counts = |question: Question| {
            let finding = self.verdict(question, now)?;
            Some((question, (finding.verdict.clone(), finding.number)))
        };
        let verdicts: BTreeMap<_, _> = Question::ALL.into_iter().filter_map(counts).collect();
        let is_measured = |verdict: &str| verdict != "notMeasured";
        if verdicts.is_empty() && self.findings.iter().any(|finding| is_measured(&finding.verdict)) {
            return Err("everything in it is older than 90 days, or was found wrong since");
        }
        Ok(KnownService { verdicts })
    }
}

impl KnownService {
    /// The verdict of a question.
    pub fn verdict(&self, question: Question) -> Option<&str> {
        self.verdicts.get(&question).map(|(verdict, _)| verdict.as_str())
    }

    /// A digest of all verdicts that count, without their dates and evidence.
    pub fn digest(&self) -> Option<ProfileDigest> {
        if self.verdicts.is_empty() {
            return None;
        }
        let line = |(question, (verdict, number)): (&Question, &(String, Option<u64>))| {
            format!(
                "{}={verdict} {}\n",
                question.word(),
                number.map(|number| number.to_string()).unwrap_or_default()
            )
        };
        Some(ProfileDigest::of(&self.verdicts.iter().map(line).collect::<String>()))
    }

    /// Adapts settings that `mdetag.yaml` leaves open to the service. Returns a sentence for each change.
    pub fn suit(&self, settings: &mut Settings) -> Vec<String> {
        let mut sentences = Vec::new();
        let folds = self.verdict(Question::TagCase) == Some("insensitive");
        if folds && settings.tag_case == TagCase::Exact {
            if settings.says_tag_case {
                sentences.push(
                    "the service takes tags that differ only in case for one, as was measured; mdetag.yaml says `tagCase: exact`"
                        .to_owned(),
                );
            } else {
                settings.tag_case = TagCase::Insensitive;
                sentences.push("tags compare without case, as the service was measured to do".to_owned());
            }
        }
        let lag = self.verdicts.get(&Question::ListLag).filter(|(verdict, _)| verdict == "measured");
        if let Some((_, Some(lag))) = lag.filter(|_| !settings.writes.says_settle) {
            settings.writes.settle = Duration::from_secs((lag + lag / 2).clamp(LEAST_SETTLE, MOST_SETTLE));
        }
        let values = self.verdict(Question::PatchValue);
        if settings.writes.both_routes && matches!(values, Some("losesTags" | "refused")) {
            settings.writes.both_routes = false;
            sentences.push(match values {
                Some("refused") => "values go by setDeviceValue alone: the service was measured to refuse a PATCH of a value",
                _ => "values go by setDeviceValue alone: a PATCH of a value was measured to take tags away",
            }.to_owned());
        }
        let tags = self.verdict(Question::PatchTags);
        if settings.writes.combine && matches!(tags, Some("appends" | "losesTags" | "refused")) {
            settings.writes.combine = false;
            sentences.push(match tags {
                Some("refused") => "no PATCH carries tags: the service was measured to refuse that",
                Some("losesTags") => "no PATCH carries tags: the service was measured to lose some of those that its list names",
                _ => "no PATCH carries tags: the service was measured to keep those that its list leaves out",
            }.to_owned());
        }
        sentences
    }

    /// The route of tags, if several would work. A bulk call whose answer shows no device is only proven by reading the list
    /// again; a call for one device is proven by its own answer.
    pub fn tag_route(&self) -> TagRoute {
        let is = |question, verdict| self.verdict(question) == Some(verdict);
        let proves = is(Question::BulkAnswer, "empty") && is(Question::SingleAnswer, "device");
        if proves { TagRoute::SingleIfFewer } else { TagRoute::Bulk }
    }

    /// Number of devices on a full page, if one was seen.
    pub fn page_size(&self) -> Option<u64> {
        let (_, rows) =
            self.verdicts.get(&Question::PageSize).filter(|(verdict, _)| verdict == "measured")?;
        rows.filter(|rows| *rows > 1)
    }

    /// The fields that `$filter` rejects.
    pub fn refused_filters(&self) -> Vec<Field> {
        let refused = FILTERS.iter().filter(|(_, question)| self.verdict(*question) == Some("refused"));
        refused.map(|(field, _)| *field).collect()
    }

    /// The questions whose measured answer a run contradicted, with what it saw.
    pub fn contradicted<'s>(&self, seen: &'s ServiceObservations) -> Vec<(Question, &'s str, Option<u64>)> {
        let differs = |(question, verdict, number): &(Question, &str, Option<u64>)| {
            let Some((measured, measure)) = self.verdicts.get(question) else { return false };
            match question {
                // One refusal may say how long to wait, and the next may not.
                Question::Throttle => false,
                Question::ListLag => {
                    let beyond = measure.map(|lag| lag + lag / 2 + LEAST_SETTLE);
                    measured == "measured" && *verdict == "atLeast" && number > &beyond
                }
                Question::PageSize => measured == "measured" && number != measure || number < measure,
                _ => measured != verdict,
            }
        };
        seen.iter().filter(differs).collect()
    }

    /// How the service stores tags: case, blanks and length.
    pub fn tag_limits(&self) -> TagLimits {
        let documented = DOCUMENTED_LENGTH as u64;
        let longest = match self.verdicts.get(&Question::TagLength) {
            Some((verdict, kept)) if verdict == "cut" => kept.filter(|kept| (1..documented).contains(kept)),
            Some((verdict, _)) if verdict == "refused" => Some(documented - 1),
            _ => None,
        };
        TagLimits { longest, trims: self.verdict(Question::TagBlanks) == Some("trimmed") }
    }
}
