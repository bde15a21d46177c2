//! The models of the report.

use ai_monitor_plugin_api::report::{Model, ModelState};
use plugin_parts::models::whole;

use crate::list::Entry;

/// All models with their states; `None` where there are more than a report holds.
pub fn reported(entries: &[Entry]) -> Option<Vec<Model>> {
    whole(entries.iter().map(model).collect())
}

fn model(entry: &Entry) -> Model {
    let state =
        entry.instances.as_ref().map(|all| if all.is_empty() { ModelState::Unloaded } else { ModelState::Loaded });
    let mut aliases: Vec<String> = entry.variant.iter().cloned().collect();
    aliases.extend(entry.instances.iter().flatten().map(|instance| instance.id.clone()));
    aliases.retain(|alias| *alias != entry.key);
    let mut info = entry.info.clone();
    if let Some(count) = entry.instances.as_ref().map(Vec::len).filter(|count| *count > 1) {
        info.insert("instances".into(), count.to_string());
    }
    // What a loaded model takes in memory is not told; its file's size is not that.
    let in_memory = state == Some(ModelState::Loaded);
    if let Some(bytes) = entry.disk_bytes.filter(|_| in_memory) {
        info.insert("bytes on disk".into(), bytes.to_string());
    }
    Model {
        id: entry.key.clone(),
        aliases,
        state,
        size_bytes: entry.disk_bytes.filter(|_| !in_memory),
        capabilities: entry.capabilities.clone(),
        info,
        ..Model::default()
    }
}
