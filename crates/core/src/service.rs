//! The questions that the service's documentation leaves open, which answers each has, and what runs saw of them for free.
//!
//! Asks nothing; that is `probe`.

use std::collections::BTreeMap;

mdetag_vocabulary::words! {
    /// A question about the service, in the order in which they are asked.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Question {
        /// Whether a list asked for with `$top` has a link to the next page.
        LinkWithTop = "linkWithTop",
        /// Whether a list asked for without `$top` has one.
        LinkWithoutTop = "linkWithoutTop",
        /// Devices on a full page.
        PageSize = "pageSize",
        /// Whether `$skip` goes on behind a full page.
        SkipBeyondPage = "skipBeyondPage",
        /// Whether `$filter` takes `lastSeen`.
        FilterLastSeen = "filterLastSeen",
        /// Whether `$filter` takes `healthStatus`.
        FilterHealthStatus = "filterHealthStatus",
        /// Whether `$filter` takes `onboardingStatus`.
        FilterOnboardingStatus = "filterOnboardingStatus",
        /// Whether `$filter` takes `rbacGroupId`.
        FilterRbacGroupId = "filterRbacGroupId",
        /// Whether `$filter` takes `id`.
        FilterId = "filterId",
        /// What a bulk call answers when all is well.
        BulkAnswer = "bulkAnswer",
        /// What tagging one device answers when all is well.
        SingleAnswer = "singleAnswer",
        /// Whether a bulk call may name a device twice.
        DuplicateIds = "duplicateIds",
        /// Whether tags that differ only in case are different tags.
        TagCase = "tagCase",
        /// Whether blanks at a tag's ends are kept.
        TagBlanks = "tagBlanks",
        /// Whether a tag of 200 characters is taken.
        TagLength = "tagLength",
        /// What happens to a tag of 201 characters.
        LongerTag = "longerTag",
        /// What a bulk call with an id that nobody has answers.
        UnknownId = "unknownId",
        /// Whether removing a tag that the device lacks succeeds.
        RemoveAbsent = "removeAbsent",
        /// What a bulk call without ids answers.
        EmptyIds = "emptyIds",
        /// What setting a value answers.
        ValueAnswer = "valueAnswer",
        /// Whether `PATCH` with a value alone keeps the tags.
        PatchValue = "patchValue",
        /// What `PATCH` does with tags that its list leaves out.
        PatchTags = "patchTags",
        /// How long the list lags behind a write, in seconds.
        ListLag = "listLag",
        /// What a refusal for too many calls looks like, if one came.
        Throttle = "throttle",
        /// What a refusal for too many calls says its limit counts by. No probe asks; runs note it.
        ThrottleKey = "throttleKey",
        /// Properties of a device that this version does not know, as a number. No probe asks; runs note it.
        UnknownProperties = "unknownProperties",
        /// Words of closed lists that this version does not know, as a number. No probe asks; runs note it.
        UnknownWords = "unknownWords",
        /// The code of a refusal for too many calls. No probe asks; runs note it.
        ThrottleCode = "throttleCode",
        /// The limit that such a refusal names, in calls. No probe asks; runs note it.
        ThrottleLimit = "throttleLimit",
        /// How such a refusal says when to come back. No probe asks; runs note it.
        RetryAfterForm = "retryAfterForm",
        /// Whether answers have headers about limits. No probe asks; runs note it.
        RateLimitHeaders = "rateLimitHeaders",
        /// What a 403 says. No probe asks; runs note it.
        ForbiddenText = "forbiddenText",
        /// What a 401 says. No probe asks; runs note it.
        UnauthorizedText = "unauthorizedText",
    }
}

/// What is assumed while nothing is measured: the verdict in whose place everything still comes out right, only slower.
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

/// The verdicts that a question may end with, beside `notMeasured`, which each may.
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

/// What a run saw of the service without a call of its own: the last answer to each question, and the longest lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceObservations(BTreeMap<Question, (&'static str, Option<u64>)>);

impl ServiceObservations {
    /// Notes an answer. Its verdict is one of the question's.
    pub fn note(&mut self, question: Question, verdict: &'static str, number: Option<u64>) {
        debug_assert!(verdicts(question).contains(&verdict), "{question:?} {verdict}");
        let seen = (verdict, number);
        let known = self.0.entry(question).or_insert(seen);
        let replaces = match question {
            // One write that the list shows at once says nothing against another that it showed late, and a page without a word
            // that nobody knows says nothing against another that had one.
            Question::ListLag | Question::UnknownProperties | Question::UnknownWords => number >= known.1,
            Question::RateLimitHeaders => known.0 == "absent",
            _ => true,
        };
        if replaces {
            *known = seen;
        }
    }

    /// Takes what another part of the run saw.
    pub fn take(&mut self, other: &ServiceObservations) {
        other.iter().for_each(|(question, verdict, number)| self.note(question, verdict, number));
    }

    /// Each question with what was seen.
    pub fn iter(&self) -> impl Iterator<Item = (Question, &'static str, Option<u64>)> {
        self.0.iter().map(|(question, (verdict, number))| (*question, *verdict, *number))
    }
}
