//! The processor time of the calling thread: a burst is judged by it, so that a loaded machine does not make a policy fail.

use std::time::{Duration, Instant};

/// A busy machine may leave a burst so many times longer on the wall clock than on its own.
const WALL_FACTOR: u32 = 10;

/// When a burst began, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Began {
    wall: Instant,
    thread: Option<Duration>,
}

impl Began {
    /// Now, on the thread that will run the burst.
    pub fn now() -> Began {
        Began { wall: Instant::now(), thread: thread_time() }
    }

    /// Has the burst used more than `limit` of its thread's time, or ten times that on the wall clock?
    pub fn is_over(&self, limit: Duration) -> bool {
        let wall = self.wall.elapsed();
        if wall <= limit {
            return false;
        }
        match (self.thread, thread_time()) {
            (Some(began), Some(now)) => now.saturating_sub(began) > limit || wall > limit * WALL_FACTOR,
            _ => true,
        }
    }
}

#[cfg(unix)]
fn thread_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(windows)]
fn thread_time() -> Option<Duration> {
    use windows_sys::Win32::{
        Foundation::FILETIME,
        System::Threading::{GetCurrentThread, GetThreadTimes},
    };
    const ZERO: FILETIME = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut ended, mut kernel, mut user) = (ZERO, ZERO, ZERO, ZERO);
    // SAFETY: the pseudo handle of the calling thread is always valid, and the four places live through the call.
    let ok = unsafe { GetThreadTimes(GetCurrentThread(), &mut created, &mut ended, &mut kernel, &mut user) };
    let ticks = |t: FILETIME| (u64::from(t.dwHighDateTime) << 32) | u64::from(t.dwLowDateTime);
    // A tick of FILETIME is 100 ns.
    (ok != 0).then(|| Duration::from_nanos((ticks(kernel) + ticks(user)) * 100))
}

#[cfg(not(any(unix, windows)))]
fn thread_time() -> Option<Duration> {
    None
}
