//! What the machine has left: memory and disk.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process can still take before the system kills it or refuses: what the
/// machine has available, and what the control groups and the limit of addresses leave. Known on Linux.
pub fn free_memory() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let available = kibibytes(&read("/proc/meminfo")?, "MemAvailable:")?;
    let addresses = || {
        let most = limit_of_addresses(&read("/proc/self/limits")?)?;
        let taken = kibibytes(&read("/proc/self/status")?, "VmSize:")?;
        Some(most.saturating_sub(taken))
    };
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(of_group).chain(addresses());
    Some(limits.fold(available, u64::min))
}

/// Bytes of the disk of `path`, which need not be there yet, that this user can still fill. Known on
/// Unix.
pub fn free_disk(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(free_on)
}

#[cfg(unix)]
fn free_on(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_on(_: &Path) -> Option<u64> {
    None
}

/// The number of a line such as `MemAvailable:  123 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number << 10)
}

/// The limit in force of a line such as `Max address space  123  unlimited  bytes`.
fn limit_of_addresses(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What a group of a line of `/proc/self/cgroup` and each group above it leave.
fn of_group(line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    // Version 2 has one tree for all controllers, version 1 one for each.
    let (root, names) = match controllers {
        "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
        list if list.split(',').any(|name| name == "memory") => (
            "/sys/fs/cgroup/memory",
            ["memory.limit_in_bytes", "memory.usage_in_bytes"],
        ),
        _ => return Vec::new(),
    };
    let group = Path::new(root).join(path.trim_start_matches('/'));
    let groups = group
        .ancestors()
        .take_while(|group| group.starts_with(root));
    groups.filter_map(|group| left_in(group, names)).collect()
}

/// The limit of a group less what it takes, of which the cache of files is given back on demand.
fn left_in(group: &Path, [most, taken]: [&str; 2]) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let most = number(most)?;
    let statistics = read("memory.stat").unwrap_or_default();
    let cache = |name: &str| {
        let mut lines = statistics.lines();
        let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        number.parse::<u64>().ok()
    };
    let cached: u64 = ["active_file", "inactive_file"]
        .into_iter()
        .filter_map(cache)
        .sum();
    let taken = number(taken)?.saturating_sub(cached);
    Some(most.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "MemFree:   7 kB\nMemAvailable:   1234 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(1234 << 10));
        assert_eq!(kibibytes(text, "Mem:"), None);
        let text = "Limit  Soft  Hard  Units\nMax address space         4096  unlimited  bytes\n";
        assert_eq!(limit_of_addresses(text), Some(4096));
        let text = "Max address space         unlimited  unlimited  bytes\n";
        assert_eq!(limit_of_addresses(text), None);
    }

    #[test]
    fn a_group_leaves_its_limit_less_what_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let group = folder.path();
        let names = ["memory.max", "memory.current"];
        let write = |name: &str, text: &str| fs::write(group.join(name), text).unwrap();
        assert_eq!(left_in(group, names), None);
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left_in(group, names), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in(group, names), Some(300));
        write(
            "memory.stat",
            "anon 500\ninactive_file 150\nactive_file 50\n",
        );
        assert_eq!(left_in(group, names), Some(500));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some_of_both() {
        assert!(free_memory().unwrap() > 1 << 20);
        let folder = tempfile::tempdir().unwrap();
        let there = free_disk(folder.path()).unwrap();
        assert!(there > 0 && free_disk(&folder.path().join("not/there")).is_some());
    }
}
