//! The one place that ties the rooms together: a task per target that owns its life; others send it messages.

pub mod handle;
pub mod view;
