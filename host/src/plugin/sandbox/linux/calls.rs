//! Names of system calls, for reasons.

/// Makes a list of (number, name) from the constants of `libc`.
macro_rules! names {
    ($($constant:ident)*) => {
        [$((libc::$constant as i64, stringify!($constant))),*]
    };
}

/// What plugins are known to try; another is told by its number.
pub(in crate::plugin) fn name(number: i32) -> String {
    #[cfg(target_arch = "x86_64")]
    let own: &[(i64, &str)] = &names!(
        SYS_open SYS_creat SYS_stat SYS_access SYS_poll SYS_select SYS_pipe SYS_dup2 SYS_pause SYS_alarm SYS_fork
        SYS_vfork SYS_unlink SYS_mkdir SYS_rename SYS_readlink SYS_getdents SYS_time SYS_epoll_wait);
    #[cfg(not(target_arch = "x86_64"))]
    let own: &[(i64, &str)] = &[];
    let everywhere = names!(
        SYS_openat SYS_openat2 SYS_read SYS_write SYS_writev SYS_pread64 SYS_pwrite64 SYS_sendfile SYS_close SYS_dup
        SYS_pipe2 SYS_fcntl SYS_ioctl SYS_fstat SYS_newfstatat SYS_statx SYS_getdents64 SYS_getcwd SYS_chdir
        SYS_unlinkat SYS_mkdirat SYS_renameat2 SYS_readlinkat SYS_faccessat SYS_faccessat2 SYS_ftruncate
        SYS_memfd_create SYS_mmap SYS_mprotect SYS_mremap SYS_munmap SYS_madvise SYS_brk
        SYS_socket SYS_socketpair SYS_connect SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_sendto SYS_recvfrom
        SYS_sendmsg SYS_recvmsg
        SYS_clone SYS_clone3 SYS_execve SYS_execveat SYS_wait4 SYS_waitid SYS_exit SYS_exit_group
        SYS_kill SYS_tkill SYS_tgkill SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigsuspend
        SYS_pidfd_open SYS_pidfd_send_signal SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev
        SYS_nanosleep SYS_clock_nanosleep SYS_setitimer SYS_timer_create SYS_timerfd_create SYS_ppoll SYS_pselect6
        SYS_epoll_create1 SYS_epoll_pwait SYS_eventfd2 SYS_io_uring_setup SYS_inotify_init1
        SYS_setuid SYS_setgid SYS_setrlimit SYS_prlimit64 SYS_getrlimit SYS_prctl SYS_seccomp SYS_bpf SYS_unshare
        SYS_setns SYS_mount SYS_chroot SYS_perf_event_open SYS_userfaultfd SYS_keyctl SYS_uname SYS_sysinfo
        SYS_sched_setaffinity SYS_sched_getaffinity SYS_set_robust_list SYS_rseq SYS_getppid SYS_getuid);
    let known = own.iter().chain(&everywhere).find(|(known, _)| *known == i64::from(number));
    let known = known.and_then(|(_, name)| name.strip_prefix("SYS_"));
    known.map_or_else(|| format!("system call {number}"), str::to_owned)
}
