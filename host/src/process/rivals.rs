//! Who else is set to start this server: an enabled systemd unit of the manifest's `rivals`.

use std::path::Path;

use ai_monitor_plugin_api::manifest::Rival;

/// Where systemd keeps the links of enabled units.
const UNIT_FOLDERS: &[&str] = &["/etc/systemd/system", "/etc/systemd/user"];

/// The first rival that is installed and enabled. Units alone are looked at; others have no such switch on disk.
pub fn enabled_rival(rivals: &[Rival]) -> Option<String> {
    rivals.iter().filter_map(|r| r.systemd.as_deref()).find(|unit| is_enabled(unit, UNIT_FOLDERS)).map(str::to_owned)
}

/// An enabled unit has a link in a `.wants` or `.requires` folder.
fn is_enabled(unit: &str, folders: &[&str]) -> bool {
    folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten().any(|entry| {
        let path = entry.path();
        let links = path.extension().is_some_and(|e| e == "wants" || e == "requires");
        links && Path::new(&path).join(unit).symlink_metadata().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::is_enabled;

    #[test]
    fn a_unit_is_enabled_by_its_link() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let root = folder.path().to_str().expect("its name is text");
        let wants = folder.path().join("multi-user.target.wants");
        std::fs::create_dir(&wants).expect("the folder of links");
        std::fs::write(folder.path().join("ollama.service"), "").expect("an installed unit");
        assert!(!is_enabled("ollama.service", &[root]), "installed alone is not enabled");
        std::fs::write(wants.join("ollama.service"), "").expect("its link");
        assert!(is_enabled("ollama.service", &[root]));
        assert!(!is_enabled("ollama", &[root]), "never by a part of a name");
    }
}
