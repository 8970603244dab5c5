//! How the simulated service behaves where the real one is disputed, unknown or has options. One table of names, values and
//! meanings serves `NAME=VALUE`, its errors and the documentation.
//!
//! `faults` has the things that go wrong on single calls.

use crate::faults::{Fault, FaultRule};
use mdetag_vocabulary::diagnostic::did_you_mean;

macro_rules! switches {
    ($($variant:ident $name:literal $values:literal $default:literal $mark:literal $meaning:literal;)*) => {
        /// A switch of the sandbox.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Switch {
            $(#[doc = $meaning] $variant,)*
        }

        impl Switch {
            /// All switches, in the order of the documentation.
            pub const ALL: &'static [Switch] = &[$(Switch::$variant),*];

            fn row(self) -> &'static SwitchRow {
                const ROWS: &[SwitchRow] = &[$(SwitchRow {
                    name: $name, values: $values, default: $default, mark: $mark, meaning: $meaning,
                }),*];
                &ROWS[self as usize]
            }
        }
    };
}

/// The table's entry of one switch or fault.
#[derive(Clone, Copy, Debug)]
pub struct SwitchRow {
    /// The name in `NAME=VALUE`.
    pub name: &'static str,
    /// The allowed values, separated by `|`; `NUMBER` and `TEXT` stand for any.
    pub values: &'static str,
    /// The value of a new sandbox.
    pub default: &'static str,
    /// D: documented, F: reported from the field, C: sources disagree, A: assumed, because nothing is known.
    pub mark: &'static str,
    /// The meaning of the switch, in one sentence.
    pub meaning: &'static str,
}

switches! {
    LimitMinute "limit_minute" "NUMBER" "100" "D" "Calls a minute and route.";
    LimitHour "limit_hour" "NUMBER" "1500" "D" "Calls an hour and route.";
    HuntingMinute "hunting_minute" "NUMBER" "45" "D" "Hunting queries a minute and tenant.";
    ThrottleKey "throttle_key" "route|tenant|shared" "route" "C" "What shares a window: route, tenant and app (as field messages say); route and tenant; or all machine routes together.";
    ThrottleWindow "throttle_window" "sliding|fixed" "sliding" "A" "How a window moves.";
    ThrottleBody "throttle_body" "2021|2022|documented" "2021" "F" "The text of a 429.";
    ThrottlePunish "throttle_punish" "off|on" "off" "C" "Whether a refused call counts toward the window.";
    Paging "paging" "skip_only|hard_cap|nextlink|nextlink_bad|nextlink_loop|nextlink_endless|skip_endless|nextlink_global_host|nextlink_foreign_host" "skip_only" "C" "How lists longer than a page go on.";
    NextlinkWithTop "nextlink_with_top" "off|on" "off" "F" "Whether a list asked for with `$top` has a next link as well.";
    Page "page" "NUMBER" "10000" "D" "Rows a page at most; smaller only to keep tests small.";
    Clamp "clamp" "off|on" "off" "A" "Whether a `$top` over 10,000 is cut in place of refused.";
    UnstableOrder "unstable_order" "off|on" "off" "F" "Whether each list has another order.";
    DupIds "dup_ids" "off|on" "off" "F" "Whether a list has one device twice.";
    AfterPage "after_page" "off|TEXT" "off" "F" "`N:delete`, `N:insert` or `N:move`: the fleet changes once, after the N-th list answer.";
    Empty "empty" "200|404" "200" "C" "How a list without devices is answered.";
    ListBody "list_body" "normal|empty|html404|html200|json_without_value" "normal" "A" "What the list answers in place of devices: nothing, a gateway's page, or JSON that is no list.";
    SameLastSeen "same_last_seen" "NUMBER" "0" "A" "So many devices have one `lastSeen` in the list, so that no filter on it parts them.";
    UndocumentedOdata "undocumented_odata" "off|on" "off" "A" "Whether `$orderby`, `$select` and `$count` do anything.";
    FilterFunctions "filter_functions" "off|on" "off" "A" "Whether `contains`, `endswith` and `startswith` inside `any` are accepted.";
    OdataStrict "odata_strict" "long|doc_short" "long" "C" "Which documented list of filterable fields holds.";
    ContentType "content_type" "off|400|415" "415" "A" "The answer to a write whose body is not announced as JSON.";
    OsVersion "os_version" "off|on" "off" "F" "Devices have `osVersion: null`.";
    AvStatus "av_status" "off|on" "off" "F" "Devices have `defenderAvStatus`.";
    UnknownProperty "unknown_property" "off|on" "off" "A" "Devices have a property that nobody knows.";
    UnknownEnum "unknown_enum" "off|on" "off" "A" "`healthStatus` has a word that nobody knows.";
    RbacIdText "rbac_id_text" "off|on" "off" "C" "`rbacGroupId` is text.";
    NoTags "no_tags" "off|on" "off" "A" "Devices have no `machineTags`.";
    NullTags "null_tags" "off|on" "off" "A" "`machineTags` is null.";
    YearOne "year_one" "off|on" "off" "F" "`firstSeen` is in the year 1.";
    NoId "no_id" "off|on" "off" "A" "Devices have no `id`.";
    BulkUnknown "bulk_unknown" "reject_all|reject_opaque|partial" "reject_all" "F" "A bulk call with unknown ids: refused with their names, refused without, or done for the others.";
    BulkForbidden "bulk_forbidden" "off|on" "off" "F" "The bulk route answers 403 though the single route works.";
    BulkBody "bulk_body" "full|empty|204" "full" "A" "What a bulk call answers.";
    BulkRoute "bulk_route" "works|missing|missing_405" "works" "A" "Whether there is a bulk route: 404 or 405 on it, while single tagging works.";
    Refuse "refuse" "off|TEXT" "off" "C" "Devices that the list shows and no write reaches: `unonboarded`, `ids:ID+ID` or `share:0.1`. A bulk call with one of them fails whole.";
    RefuseAnswer "refuse_answer" "TEXT" "named+single_404" "C" "How refused devices are answered, joined by `+`: a bulk call with `named`, `partly_named`, `named_with_good` (a good id as well) or `opaque` (no id; also where only a single form is given), a single call with `single_404`, `single_403` or `single_400`.";
    ValueForbidden "value_forbidden" "off|TEXT" "off" "A" "`share:0.3`: the value of this share of devices answers 403, as if a rule owned it.";
    LongTag "long_tag" "accept|400|cut" "accept" "A" "A tag over 200 characters.";
    Trim "trim" "off|on" "off" "A" "Whether white space at the ends of a tag is taken off.";
    TagCase "tag_case" "sensitive|insensitive_keep_first" "sensitive" "C" "Whether tags that differ only in case are one.";
    MachineTagsShows "machineTags_shows" "manual|manual+registry|all" "all" "A" "Which origins of tags `machineTags` shows.";
    ExternalRemoval "external_removal" "ignored|returns" "ignored" "A" "Removing a registry or dynamic tag: no effect, or it comes back (a day, an hour later).";
    RuleLocked "rule_locked" "ignore_reverts_in_1h|403|accept" "ignore_reverts_in_1h" "A" "Setting a value that a dynamic rule holds.";
    Patch "patch" "replace|append|legacy_400" "replace" "C" "What PATCH does with tags that its list leaves out.";
    PatchLoses "patch_loses" "off|value|list" "off" "A" "Whether a PATCH takes one manual tag of the device along: one of a value alone, or one with a list, which then lacks its first tag.";
    Miscased "miscased" "InvalidRequestBody|MissingRequiredParameter" "InvalidRequestBody" "A" "The error for a required name in the wrong case.";
    VisibleAfter "visible_after_s" "NUMBER" "0" "D" "Seconds until reads show a write.";
    HuntingAfter "hunting_after_s" "NUMBER" "0" "D" "Seconds until hunting shows a write.";
    GroupDelay "group_delay_s" "off|NUMBER" "900" "D" "Seconds until a device group follows a tag write; `off`: never.";
    DeviceGroups "device_groups" "off|on" "off" "C" "Whether there is the undocumented entity set `DeviceGroups`.";
    RmwDelay "rmw_delay_ms" "NUMBER" "0" "A" "Milliseconds between reading and writing a device's tags: overlapping writes lose one.";
    Roles "roles" "none|TEXT" "Machine.Read.All+Machine.ReadWrite.All+ThreatHunting.Read.All" "D" "The app roles that are granted, joined by `+`.";
    Delegated "delegated" "off|on" "off" "D" "Tokens are a user's: `scp` in place of `roles`.";
    VisibleGroups "visible_groups" "all|TEXT" "all" "D" "The device groups that a delegated user sees, joined by `+`.";
    InvisibleWrite "invisible_write" "404|403" "404" "A" "Writing a device that the user does not see.";
    MdeInactive "mde_inactive" "off|on" "off" "F" "The tenant has no Defender for Endpoint.";
    Cloud "cloud" "public|gcc|gov" "public" "D" "Whose token audiences are accepted.";
    RoleMessage "role_message" "2021|2026" "2026" "F" "The text of a 403 for a missing role.";
    FindByTagNeedsWrite "findbytag_needs_write" "off|on" "off" "C" "Whether `findbytag` needs the writing role.";
    TokenLife "token_life_s" "NUMBER" "3599" "D" "Seconds until a token expires.";
    Secret "secret" "valid|expired" "valid" "A" "Whether the client secret is still good.";
    Tenant "tenant" "known|unknown" "known" "A" "Whether the sign-in service knows the tenant.";
    Consent "consent" "given|missing" "given" "A" "Whether the resource is known in the tenant.";
    FederatedSpreading "federated_spreading" "NUMBER" "0" "D" "So many sign-ins with a federated credential fail before it has spread.";
    Hunting "hunting" "on|bad_request|cpu|timeout" "on" "D" "How hunting answers.";
    HuntingKeys "hunting_keys" "lower|upper" "lower" "C" "The case of `schema` names.";
    HuntingExtra "hunting_extra" "NUMBER" "0" "F" "So many devices are in hunting and unknown to the machine routes.";
    HuntingMissing "hunting_missing" "NUMBER" "0" "F" "So many devices are left out of hunting.";
    MdeHunting "mde_hunting" "retired|on" "retired" "D" "The old hunting route.";
    Latency "latency_ms" "NUMBER" "0" "A" "Milliseconds that every answer takes.";
    SlowMs "slow_ms" "NUMBER" "2000" "A" "Milliseconds that the fault `slow` takes.";
    DripMs "drip_ms" "NUMBER" "1000" "A" "Milliseconds between two bytes of the fault `drip`.";
    EchoAuthorization "echo_authorization" "off|on" "off" "A" "Whether error texts repeat the request's `Authorization` header.";
    Gzip "gzip" "on|off|deflate" "on" "F" "Whether answers are compressed for clients that accept gzip; `deflate` though nobody offered it.";
    ErrorTarget "error_target" "guid|pipe|tenant" "guid" "F" "The form of `error.target`.";
}

/// The values of all switches and faults.
#[derive(Clone, Debug)]
pub(super) struct Switches {
    texts: Vec<String>,
    pub(super) rules: Vec<FaultRule>,
}

impl Default for Switches {
    fn default() -> Switches {
        let texts = Switch::ALL.iter().map(|switch| switch.row().default.to_owned()).collect();
        Switches { texts, rules: Vec::new() }
    }
}

/// Every name that `NAME=VALUE` accepts, switches first, as the documentation lists them.
pub fn table() -> Vec<SwitchRow> {
    let faults = Fault::ALL.iter().map(|fault| SwitchRow {
        name: fault.name(),
        values: "off|[ROUTE:]WHEN",
        default: "off",
        mark: fault.mark(),
        meaning: fault.meaning(),
    });
    Switch::ALL.iter().map(|switch| *switch.row()).chain(faults).collect()
}

impl Switches {
    /// Sets one switch or fault by its text.
    ///
    /// # Errors
    /// A sentence with the nearest known name, or the allowed values.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(fault) = Fault::parse(name) {
            let rules = FaultRule::parse(fault, value)?;
            self.rules.retain(|rule| rule.fault != fault);
            self.rules.extend(rules);
            self.rules.sort_by_key(|rule| rule.fault as u8);
            return Ok(());
        }
        let Some(switch) = Switch::ALL.iter().find(|switch| switch.row().name == name) else {
            let near = did_you_mean(name, table().iter().map(|row| row.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("the sandbox has no switch or fault `{name}`{hint}"));
        };
        let row = switch.row();
        let fits = |form: &str| match form {
            "NUMBER" => value.parse::<u32>().is_ok(),
            "TEXT" => !value.is_empty(),
            word => word == value,
        };
        if !row.values.split('|').any(fits) {
            let near = did_you_mean(value, row.values.split('|'));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("`{name}` takes {}, not `{value}`{hint}", row.values.replace('|', " or ")));
        }
        let forms = switch.forms(value);
        if let Some(forms) = forms {
            return Err(format!("`{name}` takes {forms}, not `{value}`"));
        }
        value.clone_into(&mut self.texts[*switch as usize]);
        Ok(())
    }

    /// Sets one written as `NAME=VALUE`.
    ///
    /// # Errors
    /// As for [`Switches::set`].
    pub(super) fn set_text(&mut self, text: &str) -> Result<(), String> {
        match text.split_once('=') {
            Some((name, value)) => self.set(name.trim(), value.trim()),
            None => Err(format!("`{text}` is not NAME=VALUE")),
        }
    }

    /// The text of a switch.
    pub(super) fn text(&self, switch: Switch) -> &str {
        &self.texts[switch as usize]
    }

    /// Whether a switch has this value.
    pub(super) fn is(&self, switch: Switch, value: &str) -> bool {
        self.text(switch) == value
    }

    /// Whether a switch is `on`.
    pub(super) fn on(&self, switch: Switch) -> bool {
        self.is(switch, "on")
    }

    /// The number of a switch; 0 if its value is a word.
    pub(super) fn number(&self, switch: Switch) -> u64 {
        self.text(switch).parse().unwrap_or(0)
    }

    /// The values that differ from their defaults, as `NAME=VALUE`.
    pub(super) fn changed(&self) -> Vec<String> {
        let switches = Switch::ALL.iter().filter(|switch| self.text(**switch) != switch.row().default);
        let mut changed: Vec<String> =
            switches.map(|switch| format!("{}={}", switch.row().name, self.text(*switch))).collect();
        for fault in Fault::ALL {
            let rules = self.rules.iter().filter(|rule| rule.fault == *fault);
            let values: Vec<String> = rules.map(FaultRule::value).collect();
            if !values.is_empty() {
                changed.push(format!("{}={}", fault.name(), values.join("+")));
            }
        }
        changed
    }
}

impl Switch {
    /// The allowed forms of a switch that takes free text, unless this value has one of them.
    fn forms(self, value: &str) -> Option<&'static str> {
        let (fits, forms) = match self {
            Switch::AfterPage => (after_page(value).is_some(), "off, N:delete, N:insert or N:move"),
            Switch::Refuse => (is_refusal(value), "off, unonboarded, ids:ID+ID or share:0.1"),
            Switch::RefuseAnswer => (
                value.split('+').all(|form| ANSWER_FORMS.contains(&form)),
                "named, partly_named, named_with_good or opaque, and single_404, single_403 or single_400, joined by +",
            ),
            Switch::ValueForbidden => (share(value).is_some(), "off or share:0.3"),
            _ => (true, ""),
        };
        (!fits && value != "off").then_some(forms)
    }
}

/// The forms of the switch `refuse_answer`.
const ANSWER_FORMS: [&str; 7] =
    ["named", "partly_named", "named_with_good", "opaque", "single_404", "single_403", "single_400"];

fn is_refusal(value: &str) -> bool {
    let names_ids = value.strip_prefix("ids:").is_some_and(|ids| !ids.is_empty());
    value == "unonboarded" || names_ids || share(value).is_some()
}

/// `share:0.3` as ten-thousandths.
pub(super) fn share(value: &str) -> Option<u64> {
    let share = value.strip_prefix("share:")?.parse::<f64>().ok()?;
    (0.0..=1.0).contains(&share).then_some((share * 10_000.0).round() as u64)
}

/// `N:WHAT` of the switch `after_page`.
pub(super) fn after_page(text: &str) -> Option<(u64, &str)> {
    let (page, what) = text.split_once(':')?;
    matches!(what, "delete" | "insert" | "move").then_some((page.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_gets_the_near_name() {
        let mut switches = Switches::default();
        let error = switches.set_text("bulk_unkown=partial").unwrap_err();
        assert!(error.contains("did you mean `bulk_unknown`"), "{error}");
        let error = switches.set_text("bulk_unknown=partially").unwrap_err();
        assert!(error.contains("reject_all or reject_opaque or partial"), "{error}");
        assert!(switches.set_text("html_502").is_err());
        assert!(switches.set_text("limit_minute=many").is_err());
    }

    #[test]
    fn every_default_is_a_value_of_its_switch() {
        let mut switches = Switches::default();
        for switch in Switch::ALL {
            let row = switch.row();
            switches.set(row.name, row.default).unwrap();
            assert!(["D", "F", "C", "A"].contains(&row.mark), "{}", row.name);
        }
        assert_eq!(switches.changed(), Vec::<String>::new());
    }

    #[test]
    fn what_was_set_can_be_set_again_from_its_text() {
        let mut switches = Switches::default();
        for text in ["page=3", "html_502=bulkTag:3+/5", "slow=list:10%"] {
            switches.set_text(text).unwrap();
        }
        let texts = switches.changed();
        let mut again = Switches::default();
        texts.iter().for_each(|text| again.set_text(text).unwrap());
        assert_eq!(again.changed(), texts);
    }
}
