//! The executor: one file per act, each with its post-condition.
