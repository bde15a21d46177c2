//! What a user has said of a plugin, against the file that is there: may it be loaded?

use super::{Grants, Kept, Refusal, folder::Checked};

/// What forbids to load it. An id that was never seen in the folder is granted what its manifest names.
pub fn refusal(kept: &Kept, checked: &Checked) -> Option<Refusal> {
    let id = checked.manifest.id.clone();
    if kept.disabled {
        return Some(Refusal::Disabled { id });
    }
    if let Some(quarantine) = kept.quarantine.as_ref().filter(|q| q.library == checked.hash) {
        return Some(Refusal::Quarantined { id, reason: quarantine.reason.clone() });
    }
    let asked = Grants::of(&checked.manifest);
    let more = kept.grants.as_ref().map(|granted| granted.missing(&asked)).filter(|more| !more.is_empty())?;
    Some(Refusal::Consent { id, more })
}
