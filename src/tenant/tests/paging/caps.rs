//! Caps on rows beyond the first page.

use super::*;

#[tokio::test]
async fn a_cap_on_rows_beyond_the_first_page_is_seen_by_skip_and_by_links() {
    for (count, page, cap) in
        [(1234, 100, 1000), (1234, 500, 1000), (1234, 300, 1000), (250, 100, 200), (330, 10, 100)]
    {
        for links in [None, Some(NextLinks::ToCap)] {
            let quirks = Quirks { page, cap: Some(cap), links, ..Quirks::default() };
            read(count, quirks).await.whole(count);
        }
    }
}

#[tokio::test]
async fn a_cap_beyond_the_first_page_that_nothing_divides_is_untrusted() {
    for links in [None, Some(NextLinks::ToCap)] {
        let quirks = Quirks { page: 1000, cap: Some(10_000), refuses: true, links, ..Quirks::default() };
        read(12_345, quirks).await.untrusted();
    }
    let quirks = Quirks { page: 1000, cap: Some(10_000), same: true, alike: true, ..Quirks::default() };
    read(12_345, quirks).await.untrusted();
}
