//! Reads the tenant's device groups from an entity set that is undocumented and often missing.
//!
//! Knows nothing about their shape; `mdetag_core::policy` does.

use reqwest::Method;
use serde::de::IgnoredAny;

use mdetag_core::apply::Meter;
use mdetag_core::plan::Lane;

use super::{Fetch, Reader};
use crate::tenant::error::TenantError;
use crate::tenant::wire;

/// The largest answer: 2,000 groups, the documented limit, of 16 kB.
const GROUPS_LIMIT: usize = 32 << 20;

impl Reader {
    /// The answer of the entity set of device groups: JSON, otherwise unchanged.
    ///
    /// # Errors
    /// No usable answer, or a service without the entity set.
    pub async fn device_groups(&self, meter: &dyn Meter) -> Result<Vec<u8>, TenantError> {
        let what = "reading the device groups";
        let fetch = Fetch { connection: &self.connection, meter, lane: Lane::Get, what };
        let read = |body: &[u8]| {
            let parsed = serde_json::from_slice::<IgnoredAny>(body);
            parsed.map(drop).map_err(|error| format!("the answer is no JSON: {error}"))?;
            wire::error_in(body).map_or(Ok(()), Err)
        };
        let (answer, ()) =
            fetch.send_until(Method::GET, wire::DEVICE_GROUPS, None, GROUPS_LIMIT, read).await?;
        fetch.success(&answer).map_err(|error| match answer.status {
            404 if wire::is_service_error(&answer.body) => TenantError {
                what: format!(
                    "the service at {} does not offer its device groups (HTTP 404)",
                    self.connection.origin(Lane::Get)
                ),
                help: Vec::new(),
                ..error
            },
            _ => error,
        })?;
        Ok(answer.body)
    }

    /// Whether it is a person's token, which may see only a part.
    pub fn is_delegated(&self) -> bool {
        self.delegated
    }
}
