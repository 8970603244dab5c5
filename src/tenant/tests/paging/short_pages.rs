//! Pages that are shorter than requested: the end of the list, or a service with small pages.

use super::*;

#[tokio::test]
async fn a_short_page_is_the_end_only_where_nothing_stands_behind_it() {
    for (count, page) in [(33, 7), (8, 7), (14, 7), (15, 7), (1234, 333)] {
        read(count, pages(page)).await.whole(count);
    }
    // Pages of one row cannot overlap, so nothing shows whether the list changed between them.
    read(2, pages(1)).await.untrusted();
}

#[tokio::test]
async fn links_that_stop_early_are_noticed_where_skip_goes_on() {
    let first =
        json!({ "value": [{ "id": "a" }, { "id": "b" }, { "id": "c" }], "@odata.nextLink": "?$skip=3" });
    let second = json!({ "value": [{ "id": "d" }, { "id": "e" }] });
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    let fake = Fake::tenant(&["Machine.Read.All"], move |seen| {
        let skip: usize = seen.option("$skip").map_or(0, |text| text.parse().unwrap());
        match (skip, seen.option("$top")) {
            (0, _) => FakeReply::json(200, &first),
            (3, None) => FakeReply::json(200, &second),
            (_, top) => {
                let top: usize = top.map_or(3, |text| text.parse().unwrap());
                let rows: Vec<Value> =
                    all.iter().skip(skip).take(top.min(3)).map(|id| json!({ "id": id })).collect();
                FakeReply::json(200, &json!({ "value": rows }))
            }
        }
    })
    .await;
    let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
    let (snapshot, _) = reader.read(&ReadScope::default(), watch(&OpenMeter::default())).await.unwrap();
    assert_eq!(snapshot.len(), 7);
}

#[tokio::test]
async fn a_count_settles_a_short_page_without_a_further_call() {
    let page = json!({ "@odata.count": 2, "value": [{ "id": "a" }, { "id": "b" }] });
    let (fake, result, _) = in_turn(vec![FakeReply::json(200, &page)]).await;
    assert_eq!((result.unwrap().0.len(), fake.calls().len()), (2, 1));
}

#[tokio::test]
async fn where_skip_is_refused_halves_tell_the_end_and_else_the_read_is_untrusted() {
    for is_deaf in [false, true] {
        let devices = fleet(33);
        let fake = Fake::tenant(&["Machine.Read.All"], move |seen| {
            let filter = seen.option("$filter");
            let skip = seen.option("$skip").is_some();
            if skip && filter.is_none() || is_deaf && filter.is_some() {
                return FakeReply::json(400, &json!({ "error": { "code": "ODataError", "message": "no" } }));
            }
            list(&devices, &pages(10_000), 0, "", seen)
        })
        .await;
        let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
        let (snapshot, trust) =
            reader.read(&ReadScope::default(), watch(&OpenMeter::default())).await.unwrap();
        assert_eq!((snapshot.len(), trust.is_trusted()), (33, !is_deaf), "{:?}", trust.sentences());
    }
}
