//! The service's clouds, and the regions of the public one, by their words in settings, plans and paths.
//!
//! Knows no host: those are the tenant's.

crate::words! {
    /// A cloud with its own sign-in and API hosts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Cloud {
        /// The commercial cloud.
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
    pub enum Region {
        /// United States.
        Us = "us",
        /// European Union.
        Eu = "eu",
        /// United Kingdom.
        Uk = "uk",
        /// Australia.
        Au = "au",
        /// Switzerland.
        Swa = "swa",
        /// India.
        Ina = "ina",
        /// United Arab Emirates.
        Aea = "aea",
    }
}
