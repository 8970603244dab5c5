//! The findings of a probe, one per question. Contains no name, id, tag or token, so that people may share it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{TenantReference, digest};
use crate::service::{Question, ServiceObservations, verdicts};
use crate::strict_json;
use crate::time::Timestamp;

/// How long a finding counts.
pub const VALID_FOR: Duration = Duration::from_secs(90 * 86_400);

/// The tolerated difference between clocks: the service's dates a finding, and this computer's judges its age.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// `service.json`: the findings about the service of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceProfile {
    /// `1.0`.
    pub format_version: String,
    /// 16 bits that detect another tenant's profile without naming the tenant. Never shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// In the order of [`Question::ALL`].
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Observations of ordinary runs, in the same order. They are shown and compared with the findings, but decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Seen>,
}

/// The observations of runs on one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// A word of [`Question`].
    pub question: String,
    /// One of the question's verdicts.
    pub verdict: String,
    /// As in [`Finding`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The last time it was seen, to a day.
    pub last_seen: String,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A word of [`Question`]; a word of a later version is kept.
    pub question: String,
    /// One of the question's verdicts, or `notMeasured`.
    pub verdict: String,
    /// A number that belongs to the verdict: devices of a page, seconds of a lag, characters kept of a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Why it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The calls and their answers.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// The time of the measurement, RFC 3339.
    pub measured_at: String,
    /// The version of mdetag that measured.
    pub tool: String,
    /// The time since when a run contradicted it; such a finding no longer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
}

/// One call and its answer, by their shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Route and parameters.
    pub request: String,
    /// Status, code and counts.
    pub answer: String,
}

impl Default for ServiceProfile {
    /// Of this version, and empty.
    fn default() -> ServiceProfile {
        ServiceProfile {
            format_version: "1.0".to_owned(),
            check: None,
            findings: Vec::new(),
            seen: Vec::new(),
        }
    }
}

impl ServiceProfile {
    /// Reads `service.json`. Drops findings whose question does not have their verdict, because nothing in the file is trusted.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the file.
    pub fn read(text: &str) -> Result<ServiceProfile, String> {
        let mut profile: ServiceProfile = strict_json::from_slice(text.as_bytes())
            .map_err(|error| format!("no service profile: {error}"))?;
        if !profile.format_version.starts_with("1.") {
            return Err(format!("its format is {:?}, and this version reads 1.x", profile.format_version));
        }
        profile.findings.retain(|finding| match Question::parse(&finding.question) {
            Some(question) => {
                finding.verdict == "notMeasured" || verdicts(question).contains(&finding.verdict.as_str())
            }
            None => false,
        });
        profile.seen.retain(|seen| {
            let question = Question::parse(&seen.question);
            question.is_some_and(|question| verdicts(question).contains(&seen.verdict.as_str()))
        });
        for (at, finding) in profile.findings.iter().enumerate() {
            if profile.findings[..at].iter().any(|other| other.question == finding.question) {
                return Err(format!("it answers `{}` twice", finding.question));
            }
        }
        Ok(profile)
    }

    /// The [`ServiceProfile::check`] of a tenant.
    pub fn check_of(tenant: &TenantReference) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default().to_ascii_lowercase();
        let digest = digest::sha256(format!("{} {}", text(&tenant.cloud), text(&tenant.id)).as_bytes());
        digest["sha256:".len()..][..4].to_owned()
    }

    /// The verdict on a question, if it was measured, is no older than [`VALID_FOR`], and no run has contradicted it.
    pub fn verdict(&self, question: Question, now: Timestamp) -> Option<&Finding> {
        let finding = self.findings.iter().find(|finding| finding.question == question.word())?;
        let measured = Timestamp::parse(&finding.measured_at).ok()?;
        let counts = finding.verdict != "notMeasured"
            && finding.stale_since.is_none()
            && measured <= now.plus(CLOCKS_DIFFER)
            && now <= measured.plus(VALID_FOR);
        counts.then_some(finding)
    }

    /// Whether a run contradicted the finding.
    pub fn is_stale(&self, question: Question) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.question == question.word() && finding.stale_since.is_some())
    }

    /// Adds the observations of a run. `contradicted`: questions whose findings no longer count. Returns whether anything is new.
    pub fn learn(
        &mut self,
        sightings: &ServiceObservations,
        contradicted: &[Question],
        now: Timestamp,
    ) -> bool {
        let before = (self.findings.clone(), self.seen.clone());
        let last_seen = now.to_string().get(..10).unwrap_or_default().to_owned();
        for question in contradicted {
            let found = self.findings.iter_mut().find(|finding| finding.question == question.word());
            if let Some(finding) = found {
                finding.stale_since.get_or_insert_with(|| now.to_string());
            }
        }
        for (question, verdict, number) in sightings.iter() {
            let seen = Seen {
                question: question.word().to_owned(),
                verdict: verdict.to_owned(),
                number,
                last_seen: last_seen.clone(),
            };
            match self.seen.iter_mut().find(|known| known.question == seen.question) {
                Some(known) => *known = seen,
                None => self.seen.push(seen),
            }
        }
        self.seen.sort_by_key(|seen| Question::parse(&seen.question).map(|question| question as usize));
        before != (self.findings.clone(), self.seen.clone())
    }

    /// Takes over the findings of a later probe; questions that it did not measure keep theirs. Returns the questions whose
    /// verdict changed, with both verdicts.
    pub fn take(&mut self, later: ServiceProfile) -> Vec<(String, String, String)> {
        let mut changed = Vec::new();
        for finding in later.findings {
            match self.findings.iter_mut().find(|known| known.question == finding.question) {
                Some(_) if finding.verdict == "notMeasured" => {}
                Some(known) => {
                    if known.verdict != finding.verdict {
                        changed.push((
                            finding.question.clone(),
                            known.verdict.clone(),
                            finding.verdict.clone(),
                        ));
                    }
                    *known = finding;
                }
                None => self.findings.push(finding),
            }
        }
        let place = |finding: &Finding| Question::parse(&finding.question).map(|question| question as usize);
        self.findings.sort_by_key(place);
        changed
    }
}
