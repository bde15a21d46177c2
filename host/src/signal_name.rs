//! Names of signals, for people.

/// `SIGSEGV`, or the number of one that ends no process usually. The numbers are those of the system that runs this.
pub fn signal_name(signal: i32) -> String {
    let linux = cfg!(target_os = "linux");
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 if linux => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 if linux => "SIGUSR1",
        10 => "SIGBUS",
        11 => "SIGSEGV",
        12 if linux => "SIGUSR2",
        12 => "SIGSYS",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 if linux => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_systems() {
        let named = [
            (libc::SIGBUS, "SIGBUS"),
            (libc::SIGUSR1, "SIGUSR1"),
            (libc::SIGUSR2, "SIGUSR2"),
            (libc::SIGXCPU, "SIGXCPU"),
            (libc::SIGXFSZ, "SIGXFSZ"),
            (libc::SIGSYS, "SIGSYS"),
        ];
        for (number, name) in named {
            assert_eq!(signal_name(number), name);
        }
        assert_eq!(signal_name(40), "signal 40");
    }
}
