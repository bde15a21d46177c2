//! Whose process is whose, with real processes where it can be.

#[cfg(target_os = "linux")]
use super::{Owner, PortHolder, Wanted, Watch};
#[cfg(target_os = "linux")]
use crate::process::bystanders::{Child, until};

/// A target on a port where nobody listens, with this script as its command.
#[cfg(target_os = "linux")]
fn watch(script: &str) -> Watch {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    Watch::new(Wanted { addresses: vec![nobody], command, spec: Default::default() })
}

#[cfg(target_os = "linux")]
#[test]
fn a_start_under_way_is_found_by_its_command_and_is_not_remembered_before_it_listens() {
    let script = "sleep 1000 & wait; # under way";
    let child = Child::shell(script);
    let mut watch = watch(script);
    let seen = watch.refresh(true);
    assert_eq!(watch.root().map(|r| r.id), Some(child.id));
    assert_eq!(seen.port, PortHolder::Nobody);
    assert!(seen.new.is_empty() && watch.seen(child.id).is_none(), "it may be another's: never reaped as a leftover");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ports_of_a_tree_that_has_not_changed_are_asked_anew_only_when_something_is_wrong() {
    use std::os::{fd::AsRawFd, unix::process::CommandExt};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = server.as_raw_fd();
    let script = "kill -STOP $$; exec 9>&-; echo closed; exec sleep 1000";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]);
    // SAFETY: plain system calls between fork and exec. Where 9 is what a failed exec is told by, only that is lost.
    unsafe {
        command.pre_exec(move || match (libc::dup2(fd, 9), libc::fcntl(9, libc::F_SETFD, 0)) {
            (9, 0) => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let child = Child::run(command);
    child.wait_for(super::RunState::Stopped);
    let mut watch = watch(script);
    watch.adopt(crate::process::find(child.id.pid).unwrap());
    let mut listens = |anew| watch.refresh(anew).tree.unwrap()[0].addresses.clone();
    let address = server.local_addr().unwrap();
    assert_eq!(listens(false), [address]);
    crate::process::signal(child.id, crate::process::Signal::Continue).unwrap();
    assert_eq!(child.line().await, "closed");
    assert_eq!(listens(false), [address]);
    assert_eq!(listens(true), []);
    // And one that listens nowhere is asked each time.
    assert!(!watch.knows_ports_of(&[crate::process::find(child.id.pid).unwrap()]));
}

/// What listens on `[::1]` alone is not reached at 127.0.0.1, where another program may listen on the same port.
#[cfg(target_os = "linux")]
#[test]
fn sessions_are_given_the_address_at_which_a_process_is_reached() {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let mut bound =
        vec![(v4, v4), (Ipv4Addr::UNSPECIFIED.into(), v4), (Ipv4Addr::new(127, 0, 0, 2).into(), [127, 0, 0, 2].into())];
    if TcpListener::bind((v6, 0)).is_ok() {
        bound.extend([(v6, v6), (Ipv6Addr::UNSPECIFIED.into(), v4)]);
    } else {
        crate::left_out("addresses of IPv6: there is no ::1 here");
    }
    for (ip, reached) in bound {
        let server = TcpListener::bind((ip, 0)).unwrap();
        let expected = SocketAddr::new(reached, server.local_addr().unwrap().port());
        let script = "exec sleep 1000";
        let child = Child::heir(script, &server);
        drop(server);
        let mut watch = watch(script);
        watch.adopt(crate::process::find(child.id.pid).unwrap());
        let tree = watch.refresh(true).tree.unwrap();
        let (processes, addresses) = watch.for_sessions(&tree);
        let name = format!("0/{}", expected.port());
        assert_eq!(processes[0].addresses.concat(), name, "bound to {ip}");
        assert_eq!(addresses, [(name, expected)].into(), "bound to {ip}");
        assert!(TcpStream::connect(expected).is_ok(), "bound to {ip}");
    }
}

/// Between fork and exec every child has its parent's command line; a subshell keeps it.
#[cfg(target_os = "linux")]
#[test]
fn a_child_with_its_parents_command_line_is_no_second_server() {
    let script = "(sleep 1000; :) & wait; # twice";
    let child = Child::shell(script);
    until("its child", || {
        crate::process::all().unwrap().into_iter().find(|p| p.parent == Some(child.id.pid) && p.args.len() > 1)
    });
    let mut watch = watch(script);
    watch.refresh(true);
    assert_eq!(watch.root().map(|r| r.id), Some(child.id));
}

/// Two targets, or a target and a user's own server, with the same command and different ports by environment.
#[cfg(target_os = "linux")]
#[test]
fn the_same_command_that_listens_elsewhere_is_another_server() {
    let script = "sleep 1000 & wait; # elsewhere";
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = Child::heir(script, &server);
    let mut ours = watch(script);
    ours.refresh(true);
    assert_eq!(ours.root(), None);
    assert_eq!(ours.members(), []);
    assert_eq!(*ours.owner(), Owner::Command, "its own may be started");
    // Taken for a start under way before it listened: dropped as soon as it listens elsewhere.
    let mut early = watch(script);
    (early.root, early.presumed) = (crate::process::find(other.id.pid), true);
    early.refresh(false);
    assert_eq!(early.root(), None);
    assert_eq!(early.members(), []);
}

/// ollama#5642, with a runner that nobody has looked at yet when its server is killed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_engine_that_came_after_the_last_look_is_left_behind_too() {
    use ai_monitor_plugin_api::manifest::{EngineSpec, ProcessSpec};

    use crate::process::{Signal, end_tree, exited, is_alive, signal};
    let folder = tempfile::tempdir().unwrap();
    let (go, script) = (folder.path().join("go"), "while [ ! -e $GO ]; do sleep 0.01; done; sleep 1000 & wait");
    let launch = crate::process::Launch {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: [("GO".to_owned(), go.display().to_string())].into(),
        output: folder.path().join("server.log"),
        cwd: None,
    };
    let server = crate::process::start(&launch).unwrap().id;
    let mut watch = watch(script);
    let engine = EngineSpec { exe: vec!["sleep".into()], args: vec!["1000".into()], ..Default::default() };
    watch.wanted.spec = ProcessSpec { engines: vec![engine], ..Default::default() };
    watch.started(server);
    watch.refresh(false);
    std::fs::write(&go, "").unwrap();
    let runner = until("its runner", || {
        let below = crate::process::refresh(server, &[]);
        below.iter().find(|p| p.args == ["1000"]).map(|runner| runner.id)
    });
    signal(server, Signal::Kill).unwrap();
    exited(server).await;
    let tree = watch.refresh(false).tree.unwrap();
    assert_eq!(tree.iter().map(|p| p.id).collect::<Vec<_>>(), [runner], "it is left behind, and known");
    end_tree(runner, &[], std::time::Duration::ZERO, true).await;
    assert!(!is_alive(runner));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_started_for_another_target_is_that_ones() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & wait; # another target's";
    let launch = crate::process::Launch {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: Default::default(),
        output: folder.path().join("other.log"),
        cwd: None,
    };
    let started = crate::process::start(&launch).unwrap();
    let mut other = watch(script);
    other.refresh(true);
    assert_eq!(other.root(), None);
    other.started(started.id);
    assert_eq!(other.root().map(|r| r.id), Some(started.id));
    crate::process::end_tree(started.id, &[], std::time::Duration::ZERO, true).await;
}
