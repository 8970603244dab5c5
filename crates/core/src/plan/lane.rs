//! Lanes: the routes whose limits calls use up.
//!
//! Knows no limit; `cost` does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mdetag_vocabulary::words! {
    /// A route whose limits calls spend. Each has its own windows, because the documentation states limits per API and an
    /// observed throttle message names destination, tenant and app.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    pub enum Lane {
        /// `GET /api/machines`.
        List = "list",
        /// `GET /api/machines/{id}`.
        Get = "get",
        /// `POST /api/machines/AddOrRemoveTagForMultipleMachines`.
        BulkTag = "bulkTag",
        /// `POST /api/machines/{id}/tags`.
        SingleTag = "singleTag",
        /// `POST /api/machines/{id}/setDeviceValue`.
        SetValue = "setValue",
        /// `PATCH /api/machines/{id}`.
        UpdateDevice = "updateDevice",
        /// Microsoft Graph `runHuntingQuery`.
        Hunting = "hunting",
    }
}
