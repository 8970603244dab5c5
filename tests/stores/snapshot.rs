//! The snapshot in the state on each backend: everyone who shares the state plans on it, and never on another tenant's.

use mdetag::store::kept_snapshot;
use mdetag::store::snapshot_header::SnapshotStamp;
use mdetag::store::snapshot_writer::SnapshotPages;
use mdetag_core::plan::TenantReference;

use super::at;
use super::emulators::places;

fn pages(devices: u64) -> SnapshotPages {
    let mut pages = SnapshotPages::new().unwrap();
    let devices: Vec<_> = (0..devices).map(|id| serde_json::json!({ "id": format!("{id:040x}") })).collect();
    pages.add(serde_json::json!({ "value": devices }).to_string().as_bytes()).unwrap();
    pages
}

fn stamp(tenant: &str) -> SnapshotStamp {
    let tenant = TenantReference { id: Some(tenant.into()), name: None, cloud: Some("public".into()) };
    SnapshotStamp { tenant, read_at: Some(at(1)), devices: 0, reasons: Vec::new() }
}

#[test]
fn the_newest_snapshot_is_read_back_and_one_of_another_tenant_is_refused() {
    for place in places() {
        let state = place.open();
        assert!(kept_snapshot::read(&state).unwrap().is_none(), "{}", place.name);
        let own = state.path().file_name().unwrap().to_str().unwrap().to_owned();
        for devices in [3, 2] {
            kept_snapshot::keep(&state, &mut pages(devices), &stamp(&own)).unwrap();
            let file = kept_snapshot::read(&place.open()).unwrap().unwrap();
            assert_eq!(file.snapshot.len() as u64, devices, "{}", place.name);
            assert!(file.trust.is_trusted(), "{}: {:?}", place.name, file.trust);
            assert_eq!(file.read_at, Some(at(1)), "{}", place.name);
        }
        kept_snapshot::keep(&state, &mut pages(1), &stamp("another")).unwrap();
        let refused = kept_snapshot::read(&state).unwrap_err();
        assert!(format!("{refused:?}").contains("another tenant"), "{}: {refused:?}", place.name);
    }
}
