//! Lists of a store: each of them ends, by its own limit or soon after the command is asked to stop.
//!
//! Sends no request; the stream that it is handed does.

use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use object_store::ObjectMeta;
use tokio::sync::watch;

use mdetag_core::apply::StopReason;

/// The time limit of listing a folder, which takes a page per thousand objects.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// How long a list may still take once the command is asked to stop: one of a folder that mdetag wrote takes less.
const AFTER_STOP: Duration = Duration::from_secs(2);

/// The most objects in a folder: ten years of a run every five minutes, with all parts of their journals.
const MOST_KEYS: usize = 5_000_000;

/// Says that a command is asked to stop, and by what.
pub type StopSign = watch::Receiver<Option<StopReason>>;

/// A list that was given up.
#[derive(Clone, Debug)]
pub struct EndlessList {
    /// One sentence.
    pub why: String,
    /// What asked the command to stop, where it did not run out of its own time.
    pub stopped_by: Option<StopReason>,
}

/// The keys of a listing with their sizes, sorted. Each request has its own time limit; this one is for all together, because a
/// store may always name one more page. `Err` says in which way the list has no end.
pub(super) async fn whole(
    mut listing: impl Stream<Item = object_store::Result<ObjectMeta>> + Unpin,
    longest: Duration,
    stopping: Option<StopSign>,
) -> object_store::Result<std::result::Result<Vec<(String, u64)>, EndlessList>> {
    let endless = |why: String| Ok(Err(EndlessList { why, stopped_by: None }));
    let read = async {
        let mut keys = Vec::new();
        while let Some(meta) = listing.try_next().await? {
            keys.push((meta.location.to_string(), meta.size));
            if keys.len() > MOST_KEYS {
                return endless(format!("the store's list has more than {MOST_KEYS} objects"));
            }
        }
        keys.sort_unstable();
        Ok(Ok(keys))
    };
    tokio::select! {
        read = read => read,
        () = tokio::time::sleep(longest) => {
            endless(format!("the store's list did not end within {} s", longest.as_secs()))
        }
        stopped_by = stopped(stopping) => {
            let why = "the store's list did not end before the command was to stop".to_owned();
            Ok(Err(EndlessList { why, stopped_by: Some(stopped_by) }))
        }
    }
}

/// Waits until a list has to end because the command is asked to stop.
async fn stopped(stopping: Option<StopSign>) -> StopReason {
    let Some(mut stopping) = stopping else { return std::future::pending().await };
    let stopped_by = match stopping.wait_for(Option::is_some).await {
        Ok(reason) => *reason,
        // Nobody is left who could ask.
        Err(_) => None,
    };
    let Some(stopped_by) = stopped_by else { return std::future::pending().await };
    tokio::time::sleep(AFTER_STOP).await;
    stopped_by
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use object_store::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_list_that_never_ends_is_given_up() {
        let limit = Duration::from_millis(1);
        let listed = whole(stream::pending(), limit, None).await;
        assert!(listed.unwrap().unwrap_err().why.contains("did not end within"));
        let meta = ObjectMeta {
            location: Path::from("a"),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let listed = whole(stream::iter([Ok(meta)]), Duration::from_secs(60), None).await.unwrap();
        assert_eq!(listed.unwrap(), [("a".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_ends_soon_after_the_command_is_asked_to_stop() {
        let (sender, stopping) = watch::channel(None);
        let start = tokio::time::Instant::now();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            sender.send_replace(Some(StopReason::Deadline));
        };
        let list = whole(stream::pending(), LONGEST, Some(stopping.clone()));
        let (listed, ()) = tokio::join!(list, stop);
        let given_up = listed.unwrap().unwrap_err();
        assert_eq!(given_up.stopped_by, Some(StopReason::Deadline), "{}", given_up.why);
        assert_eq!(start.elapsed(), Duration::from_secs(10) + AFTER_STOP);
        // Whoever could ask is gone: the list has its own limit.
        let (sender, stopping) = watch::channel(None);
        drop(sender);
        let given_up = whole(stream::pending(), LONGEST, Some(stopping)).await.unwrap().unwrap_err();
        assert_eq!(given_up.stopped_by, None, "{}", given_up.why);
    }
}
