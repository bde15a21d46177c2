//! How a session ended, for who keeps the standing of plugins.

use std::{sync::Arc, time::Duration};

/// One session that is over. One that was cancelled is not told.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// The target's base URL.
    pub target: &'a str,
    /// A depth, or a repair's name.
    pub session: &'a str,
    pub took: Duration,
    /// Why there is no report, in words; `None`: there is one.
    pub failure: Option<String>,
}

/// Is told of each.
pub type Listener = Arc<dyn Fn(&Ended<'_>) + Send + Sync>;
