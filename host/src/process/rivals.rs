//! Who else is set to start this server: of the manifest's `rivals` an enabled systemd unit, or a program that runs.

use std::path::Path;

use ai_monitor_plugin_api::manifest::Rival;

use super::Process;

/// Where systemd keeps the links of enabled units.
const UNIT_FOLDERS: &[&str] = &["/etc/systemd/system", "/etc/systemd/user"];

/// The first rival that would start the server: a unit that is installed and enabled, or a program (a tray app) that
/// runs now; whether one that does not run will be started is nowhere written down.
pub fn enabled_rival(rivals: &[Rival]) -> Option<String> {
    let unit = rivals.iter().filter_map(|r| r.systemd.as_deref()).find(|unit| is_enabled(unit, UNIT_FOLDERS));
    unit.map(str::to_owned).or_else(|| {
        // All processes are many: they are read only for a program that this system could run.
        let programs = programs(rivals);
        if programs.is_empty() { None } else { running(&programs, &super::all().unwrap_or_default()) }
    })
}

fn programs(rivals: &[Rival]) -> Vec<String> {
    let all = rivals.iter().flat_map(|rival| &rival.exe);
    all.filter(|name| cfg!(windows) || !name.ends_with(".exe")).cloned().collect()
}

/// The first of these programs among these processes, by its exact name.
fn running(programs: &[String], processes: &[Process]) -> Option<String> {
    processes.iter().find(|process| super::is_main_name(process, programs)).map(|process| process.name.clone())
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
    use super::*;

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

    #[test]
    fn a_program_is_a_rival_while_it_runs() {
        let own = super::super::find(std::process::id()).expect("this test runs");
        let name = own.name.clone();
        let found = |programs: &[&str]| {
            let programs: Vec<String> = programs.iter().map(|p| p.to_string()).collect();
            running(&programs, std::slice::from_ref(&own))
        };
        assert_eq!(found(&["other", &name]), Some(name.clone()));
        assert_eq!(found(&[&name[..name.len() - 1]]), None, "never by a part of a name");
        let tray = Rival { exe: vec!["ollama app.exe".into(), "launcher".into()], ..Rival::default() };
        let unit = Rival { systemd: Some("ollama.service".into()), ..Rival::default() };
        let here = if cfg!(windows) { vec!["ollama app.exe", "launcher"] } else { vec!["launcher"] };
        assert_eq!(programs(&[unit, tray]), here);
    }
}
