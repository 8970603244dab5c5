//! The questions that the service's documentation leaves open, their possible answers, and the observations of runs.
//!
//! Asks nothing; `probe` does.

use std::collections::BTreeMap;

mdetag_vocabulary::words! {
    /// A question about the service, in the order in which a probe asks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Question {
        /// Whether a list requested with `$top` has a link to the next page.
        LinkWithTop = "linkWithTop",
        /// Whether a list requested without `$top` has one.
        LinkWithoutTop = "linkWithoutTop",
        /// Devices on a full page.
        PageSize = "pageSize",
        /// Whether `$skip` works beyond a full page.
        SkipBeyondPage = "skipBeyondPage",
        /// Whether `$filter` accepts `lastSeen`.
        FilterLastSeen = "filterLastSeen",
        /// Whether `$filter` accepts `healthStatus`.
        FilterHealthStatus = "filterHealthStatus",
        /// Whether `$filter` accepts `onboardingStatus`.
        FilterOnboardingStatus = "filterOnboardingStatus",
        /// Whether `$filter` accepts `rbacGroupId`.
        FilterRbacGroupId = "filterRbacGroupId",
        /// Whether `$filter` accepts `id`.
        FilterId = "filterId",
        /// The answer of a bulk call that succeeds.
        BulkAnswer = "bulkAnswer",
        /// The answer to tagging one device that succeeds.
        SingleAnswer = "singleAnswer",
        /// Whether a bulk call may name a device twice.
        DuplicateIds = "duplicateIds",
        /// Whether tags that differ only in case are different tags.
        TagCase = "tagCase",
        /// Whether blanks at a tag's ends are kept.
        TagBlanks = "tagBlanks",
        /// Whether a tag of 200 characters is accepted.
        TagLength = "tagLength",
        /// The fate of a tag with 201 characters.
        LongerTag = "longerTag",
        /// The answer of a bulk call with an id that no device has.
        UnknownId = "unknownId",
        /// Whether removing a tag that the device lacks succeeds.
        RemoveAbsent = "removeAbsent",
        /// The answer of a bulk call without ids.
        EmptyIds = "emptyIds",
        /// The answer to setting a value.
        ValueAnswer = "valueAnswer",
        /// Whether `PATCH` with a value alone keeps the tags.
        PatchValue = "patchValue",
        /// The fate of tags that the list of a `PATCH` leaves out.
        PatchTags = "patchTags",
        /// How long the list lags behind a write, in seconds.
        ListLag = "listLag",
        /// The form of a 429, if one came.
        Throttle = "throttle",
        /// What a 429 says its limit counts by. Only runs observe it; no probe asks.
        ThrottleKey = "throttleKey",
        /// Number of properties of a device that this version does not know. Only runs observe it.
        UnknownProperties = "unknownProperties",
        /// Number of words of closed lists that this version does not know. Only runs observe it.
        UnknownWords = "unknownWords",
        /// The code of a 429. Only runs observe it.
        ThrottleCode = "throttleCode",
        /// The limit that a 429 names, in calls. Only runs observe it.
        ThrottleLimit = "throttleLimit",
        /// How a 429 says when to come back. Only runs observe it.
        RetryAfterForm = "retryAfterForm",
        /// Whether answers have headers about limits. Only runs observe it.
        RateLimitHeaders = "rateLimitHeaders",
        /// The form of a 403. Only runs observe it.
        ForbiddenText = "forbiddenText",
        /// The form of a 401. Only runs observe it.
        UnauthorizedText = "unauthorizedText",
    }
}

/// The assumption while nothing is measured: the verdict under which everything stays correct, only slower.
pub fn assumed(question: Question) -> &'static str {
    match question {
        Question::LinkWithTop | Question::LinkWithoutTop | Question::Throttle => "either",
        Question::ThrottleCode
        | Question::RetryAfterForm
        | Question::ForbiddenText
        | Question::UnauthorizedText => "any",
        Question::ThrottleLimit => "100/min, 1,500/h",
        Question::RateLimitHeaders => "absent",
        Question::ThrottleKey => "destinationTenantApp",
        Question::UnknownProperties | Question::UnknownWords => "ignored",
        Question::PageSize => "10,000",
        Question::SkipBeyondPage => "either",
        Question::FilterLastSeen
        | Question::FilterHealthStatus
        | Question::FilterOnboardingStatus
        | Question::FilterRbacGroupId
        | Question::FilterId
        | Question::RemoveAbsent
        | Question::TagLength => "accepted",
        Question::DuplicateIds | Question::EmptyIds => "never sent",
        Question::BulkAnswer | Question::SingleAnswer | Question::ValueAnswer => "device",
        Question::TagCase => "sensitive",
        Question::TagBlanks => "kept",
        Question::LongerTag => "refused",
        Question::UnknownId => "refusedNamed",
        Question::PatchValue => "keepsTags",
        Question::PatchTags => "replaces",
        Question::ListLag => "an hour at most",
    }
}

/// The possible verdicts on a question, besides `notMeasured`.
pub fn verdicts(question: Question) -> &'static [&'static str] {
    match question {
        Question::LinkWithTop | Question::LinkWithoutTop => &["present", "absent"],
        Question::PageSize | Question::ListLag => &["measured", "atLeast"],
        Question::SkipBeyondPage => &["goesOn", "capped", "refused"],
        Question::FilterLastSeen
        | Question::FilterHealthStatus
        | Question::FilterOnboardingStatus
        | Question::FilterRbacGroupId
        | Question::FilterId
        | Question::DuplicateIds
        | Question::RemoveAbsent => &["accepted", "refused"],
        Question::BulkAnswer | Question::SingleAnswer | Question::ValueAnswer => {
            &["device", "empty", "refused"]
        }
        Question::TagCase => &["sensitive", "insensitive"],
        Question::TagBlanks => &["kept", "trimmed", "refused"],
        Question::TagLength | Question::LongerTag => &["accepted", "cut", "refused"],
        Question::UnknownId => &["refusedNamed", "refusedUnnamed", "partial"],
        Question::EmptyIds => &["accepted", "refused"],
        Question::PatchValue => &["keepsTags", "losesTags", "refused"],
        Question::PatchTags => &["replaces", "appends", "losesTags", "refused"],
        Question::Throttle => &["withRetryAfter", "withoutRetryAfter"],
        Question::ThrottleKey => &["destinationTenantApp", "other"],
        Question::UnknownProperties | Question::UnknownWords => &["seen", "none"],
        Question::ThrottleCode => &["429", "tooManyRequests", "other"],
        Question::ThrottleLimit => &["perMinute", "perHour", "otherSpan", "unnamed"],
        Question::RetryAfterForm => &["seconds", "date", "unreadable", "absent"],
        Question::RateLimitHeaders => &["present", "absent"],
        Question::ForbiddenText => &["missingApplicationRoles", "requiredPermissions", "other"],
        Question::UnauthorizedText => &["accountInactive", "noLicence", "other"],
    }
}

/// The observations of a run without a call of its own: the last answer to each question, and the longest lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceObservations(BTreeMap<Question, (&'static str, Option<u64>)>);

impl ServiceObservations {
    /// Notes an answer. Its verdict is one of the question's.
    pub fn note(&mut self, question: Question, verdict: &'static str, number: Option<u64>) {
        debug_assert!(verdicts(question).contains(&verdict), "{question:?} {verdict}");
        let seen = (verdict, number);
        let known = self.0.entry(question).or_insert(seen);
        let replaces = match question {
            // A write that the list shows at once does not contradict one that it showed late, and a page without an unknown word
            // does not contradict one that had one.
            Question::ListLag | Question::UnknownProperties | Question::UnknownWords => number >= known.1,
            Question::RateLimitHeaders => known.0 == "absent",
            _ => true,
        };
        if replaces {
            *known = seen;
        }
    }

    /// Adds the observations of another part of the run.
    pub fn take(&mut self, other: &ServiceObservations) {
        other.iter().for_each(|(question, verdict, number)| self.note(question, verdict, number));
    }

    /// Each question with what was seen.
    pub fn iter(&self) -> impl Iterator<Item = (Question, &'static str, Option<u64>)> {
        self.0.iter().map(|(question, (verdict, number))| (*question, *verdict, *number))
    }
}
