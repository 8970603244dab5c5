//! The conditions between a wave and the next, and their form in a journal. Those of a run's first part apply to all of it.
//!
//! Judges nothing; that is `waves`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy::{Percent, Rollout};

/// The conditions that a wave must meet before the next one starts.
#[derive(Clone, Copy, Debug)]
pub struct Gates {
    /// The largest share that may fail or end with an unknown outcome.
    pub failed: Percent,
    /// The largest share that may bounce.
    pub bounced: Percent,
    /// The largest share that may become sick; `None` if the policy does not check health.
    pub health: Option<Percent>,
    /// The time between the end of a wave and the start of the next.
    pub wait: Duration,
    /// How long the list may lag behind an answer.
    pub visibility: Duration,
}

/// The gates and the wait of a rollout when its run started. A later commit does not change them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptGates {
    #[serde(serialize_with = "write_share", deserialize_with = "read_share")]
    failed: Percent,
    #[serde(serialize_with = "write_share", deserialize_with = "read_share")]
    bounced: Percent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<KeptHealth>,
    wait_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptHealth {
    select: String,
    #[serde(serialize_with = "write_share", deserialize_with = "read_share")]
    at_most: Percent,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn write_share<S: Serializer>(share: &Percent, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(share)
}

fn read_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Percent, D::Error> {
    let text = String::deserialize(deserializer)?;
    Percent::parse(&text).ok_or_else(|| serde::de::Error::custom("no percentage"))
}

impl KeptGates {
    /// The gates of a policy.
    pub fn new(rollout: &Rollout) -> KeptGates {
        let health = rollout.health.as_ref();
        KeptGates {
            failed: rollout.stop_at.failed,
            bounced: rollout.stop_at.bounced,
            health: health.map(|health| KeptHealth { select: health.text.clone(), at_most: health.at_most }),
            wait_seconds: rollout.wait.as_secs(),
        }
    }

    /// The gates of a rollout; `visibility`: how long the list may lag behind an answer.
    pub fn gates(&self, visibility: Duration) -> Gates {
        Gates {
            failed: self.failed,
            bounced: self.bounced,
            health: self.health.as_ref().map(|health| health.at_most),
            wait: Duration::from_secs(self.wait_seconds),
            visibility,
        }
    }

    /// The condition of `health` as written; `None` if health is not checked.
    pub fn ill(&self) -> Option<&str> {
        self.health.as_ref().map(|health| &*health.select)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_gates_are_read_as_they_were_written() {
        let health = KeptHealth { select: "{ healthStatus: Inactive }".into(), at_most: Percent::whole(3) };
        let bounced = Percent::parse("0.25%").expect("a share");
        let kept =
            KeptGates { failed: Percent::whole(5), bounced, health: Some(health), wait_seconds: 7_200 };
        let text = serde_json::to_string(&kept).expect("JSON");
        assert_eq!(serde_json::from_str::<KeptGates>(&text).expect("gates"), kept, "{text}");
        assert!(serde_json::from_str::<KeptGates>(&text.replace("5 %", "500 %")).is_err(), "{text}");
    }
}
