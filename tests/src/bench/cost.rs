//! What this process, or one thread of it, used so far.

use std::time::Duration;

/// Kernel clock ticks a second, as `/proc` counts them on every Linux that Rust runs on.
const TICKS_PER_S: u64 = 100;

/// User and system time of all threads of this process.
///
/// # Panics
/// Where there is no `/proc`.
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The second field is a name in brackets and may hold anything; the 14th and 15th are the times.
    let (_, rest) = stat.rsplit_once(')').expect("a bracket");
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_S)
}

/// How long this thread was on a CPU; what else the machine does is not in it. `None` where the system does not say.
pub fn thread_time() -> Option<Duration> {
    // What a thread used since its last turn began is only counted when the turn ends.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// User and system time of all threads of this process whose names begin so.
///
/// # Panics
/// Where there is no `/proc`.
pub fn cpu_time_of(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| {
            let task = task.ok()?.path();
            // A thread may end between two looks at it.
            let comm = std::fs::read_to_string(task.join("comm")).ok()?;
            let stat = std::fs::read_to_string(task.join("schedstat")).ok()?;
            let nanos = stat.split_ascii_whitespace().next()?.parse().ok()?;
            comm.starts_with(name).then_some(Duration::from_nanos(nanos))
        })
        .sum()
}
