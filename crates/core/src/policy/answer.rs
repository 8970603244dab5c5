//! A data file that is the answer of an API: its rows stand under `value`, and it says whether there are more.

use serde::Deserialize;

/// The answer. What else it holds is of no interest.
#[derive(Deserialize)]
pub(super) struct ListAnswer<Row> {
    value: Vec<Row>,
    #[serde(rename = "@odata.nextLink", alias = "nextLink", default)]
    next: Option<serde::de::IgnoredAny>,
    #[serde(rename = "@odata.count", default)]
    count: Option<u64>,
}

impl<Row> ListAnswer<Row> {
    /// Its rows. A page of a longer answer would take away what the other pages give.
    pub(super) fn rows(self) -> Result<Vec<Row>, String> {
        let rows = self.value.len() as u64;
        if self.next.is_some() || self.count.is_some_and(|count| count != rows) {
            return Err(format!(
                "it is a page of a longer answer ({rows} rows are here): save all pages in one list"
            ));
        }
        Ok(self.value)
    }
}
