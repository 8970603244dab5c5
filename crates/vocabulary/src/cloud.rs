//! The service's clouds, and the regions of the public one, by their words in settings, plans and paths.
//!
//! Knows no host: those are the tenant's.

crate::words! {
    /// A cloud with its own sign-in and API hosts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Cloud {
        /// The commercial cloud; the regions below are parts of it.
        #[default]
        Public = "public",
        /// US government community cloud: commercial sign-in, own API host.
        Gcc = "gcc",
        /// US government, high.
        GccHigh = "gcc-high",
        /// US department of defense.
        Dod = "dod",
    }
}

crate::words! {
    /// A region of the public cloud with an API host of its own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[expect(missing_docs, reason = "the words are the service's own names")]
    pub enum Region {
        Us = "us",
        Eu = "eu",
        Uk = "uk",
        Au = "au",
        Swa = "swa",
        Ina = "ina",
        Aea = "aea",
    }
}
