//! How long anything may take, here and in what is shared with other suites.

use std::time::Duration;

/// No step waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whatever a step waits for.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
