//! Which service unit or container a process belongs to, from its control group.

use super::proc::Folder;
use crate::{health::signals::ProcessId, process::Supervisor};

/// Units that only give people and timers a place to work in: what runs there has no supervisor.
const GIVE_SESSIONS: &[&str] = &[
    "atd.service",
    "cron.service",
    "crond.service",
    "cronie.service",
    "gdm.service",
    "gnome-terminal-server.service",
    "init.scope",
    "lightdm.service",
    "sddm.service",
    "ssh.service",
    "sshd.service",
    "xrdp-sesman.service",
];

/// Templates of the same kind: `getty@tty1.service`.
const GIVE_SESSIONS_EACH: &[&str] =
    &["user@", "getty@", "serial-getty@", "console-getty@", "container-getty@", "ssh@", "sshd@", "autovt@", "app-"];

/// `None`: nobody but perhaps its parent. What shares our own unit or container is not somebody else's for that.
pub fn supervisor(id: ProcessId) -> Option<Supervisor> {
    let groups = groups(id)?;
    let ours = groups_of_self();
    let container = groups.iter().find_map(|path| container(path));
    if let Some(name) = container
        && !ours.iter().any(|path| self::container(path).as_ref() == Some(&name))
    {
        return Some(Supervisor::Container(name));
    }
    if let Some(name) = groups.iter().find_map(|path| unit(path))
        && !ours.iter().any(|path| unit(path).as_ref() == Some(&name))
    {
        return Some(Supervisor::Unit(name));
    }
    in_other_pid_namespace(id).then(|| Supervisor::Container("another process namespace".into()))
}

/// The process's paths: one in the unified hierarchy, else those of systemd's and all others.
fn groups(id: ProcessId) -> Option<Vec<String>> {
    let folder = Folder::open(id.pid).ok()?;
    folder.stat(id.pid).filter(|s| s.id == id)?;
    Some(paths(&String::from_utf8_lossy(&folder.read("cgroup").ok()?)))
}

fn groups_of_self() -> Vec<String> {
    std::fs::read_to_string("/proc/self/cgroup").map(|text| paths(&text)).unwrap_or_default()
}

fn paths(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).map(str::to_owned).collect()
}

/// The innermost service: of `…/user@1000.service/app.slice/ollama.service` the last.
fn unit(path: &str) -> Option<String> {
    let name = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    // A scope is a place that others opened (a login, a terminal's tab, an application): it restarts nothing.
    if name.ends_with(".scope")
        || GIVE_SESSIONS.contains(&name)
        || GIVE_SESSIONS_EACH.iter().any(|prefix| name.starts_with(prefix))
    {
        return None;
    }
    Some(name.to_owned())
}

/// `docker-<id>.scope`, `/docker/<id>`, `libpod-<id>.scope`, `cri-containerd-<id>.scope`, `/kubepods/…/<id>`,
/// `lxc.payload.<name>`, `machine-<name>.scope`.
fn container(path: &str) -> Option<String> {
    path.split('/').rev().find_map(|part| {
        for prefix in ["lxc.payload.", "machine-"] {
            if let Some(name) = part.strip_prefix(prefix) {
                return Some(name.strip_suffix(".scope").unwrap_or(name).to_owned());
            }
        }
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let (engine, id) = part.rsplit_once('-').unwrap_or(("", part));
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then(|| {
            let short = &id[..12];
            if engine.is_empty() { short.to_owned() } else { format!("{engine} {short}") }
        })
    })
}

/// A container without a telling control group. Unreadable means not known, so no.
fn in_other_pid_namespace(id: ProcessId) -> bool {
    let theirs = Folder::open(id.pid).ok().and_then(|folder| folder.link("ns/pid").ok());
    let ours = std::fs::read_link("/proc/self/ns/pid").ok();
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => theirs != ours.as_os_str().as_encoded_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_unit_and_a_session_is_nobody() {
        let unit = |path| super::unit(path);
        assert_eq!(unit("/system.slice/ollama.service").as_deref(), Some("ollama.service"));
        assert_eq!(unit("/system.slice/ollama.service/runner").as_deref(), Some("ollama.service"));
        let own = "/user.slice/user-1000.slice/user@1000.service/app.slice/ollama.service";
        assert_eq!(unit(own).as_deref(), Some("ollama.service"));
        for nobody in [
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.konsole@a1.service",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-Alacritty-77.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-77.scope",
            "/system.slice/ssh.service",
            "/system.slice/cron.service",
            "/system.slice/system-getty.slice/getty@tty1.service",
        ] {
            assert_eq!(unit(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn containers_of_all_engines_are_told() {
        let id = "0123456789abcdef".repeat(4);
        let of = |path: String| container(&path);
        assert_eq!(of(format!("/system.slice/docker-{id}.scope")).as_deref(), Some("docker 0123456789ab"));
        assert_eq!(of(format!("/docker/{id}")).as_deref(), Some("0123456789ab"));
        assert_eq!(of(format!("/user.slice/libpod-{id}.scope/container")).as_deref(), Some("libpod 0123456789ab"));
        let pod = format!("/kubepods.slice/kubepods-pod7.slice/cri-containerd-{id}.scope");
        assert_eq!(of(pod).as_deref(), Some("cri-containerd 0123456789ab"));
        assert_eq!(of("/lxc.payload.web/system.slice".into()).as_deref(), Some("web"));
        assert_eq!(of("/machine.slice/machine-web.scope".into()).as_deref(), Some("web"));
        assert_eq!(of("/system.slice/docker.service".into()), None);
    }

    #[test]
    fn the_paths_of_both_hierarchies_are_read() {
        assert_eq!(paths("12:memory:/a\n0::/b/c\n1:name=systemd:/d:e\n"), ["/a", "/b/c", "/d:e"]);
    }

    #[test]
    fn what_shares_our_own_group_is_not_somebody_elses() {
        assert_eq!(supervisor(crate::process::own_id().unwrap()), None);
    }
}
