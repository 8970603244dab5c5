//! Devices that the service refuses to write: which ones, and what its answers look like.
//!
//! `write` handles unknown ids; this is about devices that the list shows.

use crate::random::hash;
use crate::service::Service;
use crate::switches::{Switch, share};
use crate::wire::Answer;
use mdetag_vocabulary::random::SeededNumbers;

/// Separates the ids and the forms of one switch.
const PLUS: char = '+';

/// Whether an id belongs to a share of all ids: the same ids in every process.
fn is_within(share: u64, salt: &str, id: &str) -> bool {
    SeededNumbers::new(hash(id) ^ hash(salt)).below(10_000) < share
}

fn is_refused(service: &Service, row: usize) -> bool {
    let device = &service.fleet.devices[row];
    match service.switches.text(Switch::Refuse) {
        "off" => false,
        "unonboarded" => device.text("onboardingStatus").is_some_and(|status| status != "Onboarded"),
        value => match value.strip_prefix("ids:") {
            Some(ids) => ids.split(PLUS).any(|id| id == &*device.id),
            None => share(value).is_some_and(|share| is_within(share, "refuse", &device.id)),
        },
    }
}

/// Whether `refuse_answer` holds a form.
fn answers(service: &Service, form: &str) -> bool {
    service.switches.text(Switch::RefuseAnswer).split(PLUS).any(|other| other == form)
}

/// A bulk call with a refused device fails as a whole. Its answer names all of them, some, a good one as well, or none.
pub(super) fn bulk(service: &Service, ids: &[Box<str>]) -> Result<(), Answer> {
    if service.switches.is(Switch::Refuse, "off") {
        return Ok(());
    }
    let refused = |id: &&str| service.fleet.row(id).is_some_and(|row| is_refused(service, row));
    let (bad, good): (Vec<&str>, Vec<&str>) = ids.iter().map(|id| &**id).partition(refused);
    if bad.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = if answers(service, "named") {
        bad
    } else if answers(service, "partly_named") {
        bad[..bad.len().div_ceil(2)].to_vec()
    } else if answers(service, "named_with_good") {
        bad.into_iter().chain(good.first().copied()).collect()
    } else {
        Vec::new()
    };
    Err(match named.as_slice() {
        [] => service.error(400, "BadRequest", "The request could not be processed."),
        named => {
            let message = format!("Machines cannot be tagged: {}", named.join(", "));
            service.error(400, "BadRequest", &message)
        }
    })
}

/// A single call on a refused device.
pub(super) fn single(service: &Service, row: usize) -> Result<(), Answer> {
    if !is_refused(service, row) {
        return Ok(());
    }
    let id = &service.fleet.devices[row].id;
    Err(if answers(service, "single_403") {
        service.error(403, "Forbidden", "The caller is not allowed to change this machine.")
    } else if answers(service, "single_400") {
        service.error(400, "InvalidInput", &format!("Machine {id} does not support this action."))
    } else {
        service.error(404, "ResourceNotFound", &format!("Machine {id} was not found."))
    })
}

/// Setting a value on a device whose value belongs to another source.
pub(super) fn value(service: &Service, row: usize) -> Result<(), Answer> {
    let id = &service.fleet.devices[row].id;
    let is_forbidden = share(service.switches.text(Switch::ValueForbidden))
        .is_some_and(|share| is_within(share, "value", id));
    if is_forbidden {
        return Err(service.error(403, "Forbidden", "The value of this machine is set by a rule."));
    }
    Ok(())
}

/// The bulk route of a service that does not have it.
pub(super) fn bulk_route(service: &Service) -> Result<(), Answer> {
    match service.switches.text(Switch::BulkRoute) {
        "missing" => Err(service.error(404, "NotFound", "The requested resource does not exist.")),
        "missing_405" => Err(service.error(405, "MethodNotAllowed", "The method is not allowed.")),
        _ => Ok(()),
    }
}
