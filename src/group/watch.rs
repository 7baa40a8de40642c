//! Tells which members the others of a group wait for.
//!
//! A thread of each process writes every few seconds, to a file of its own in a folder that all see, how many
//! exchanges with the others the process has come to. Where one has waited long in an exchange, it reads from the files of the
//! others who has not come to it, and whether they go on writing. It talks by files, not by MPI: that waits, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// So long nothing is said of an exchange that others have not come to.
const NOTICE: Duration = Duration::from_secs(60);
/// Signs of life in that time.
const SIGNS: u32 = 4;
/// So many of those who are late are called by name.
const NAMED: usize = 4;

/// What is told by one who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// Who is waited for, told by the first who waits: after a minute, and after twice as long each time.
    Told(String),
    /// It was waited for longer than was to be; the first who waits tells for whom.
    Over(Option<String>),
}

/// How many exchanges this process has come to, and since when it waits in the last.
type State = Mutex<(u64, Option<Instant>)>;

fn lock(state: &State) -> MutexGuard<'_, (u64, Option<Instant>)> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that watches, while this is there.
pub(super) struct Watch {
    state: Arc<State>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Watch {
    /// Begins for a member of a group, with a folder that is there.
    pub fn start(
        (rank, size): (usize, usize),
        folder: &Path,
        most: Option<Duration>,
        tell: impl Fn(Late) + Send + 'static,
    ) -> Self {
        let notice = most.map_or(NOTICE, |most| NOTICE.min(most / 2));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let state = Arc::<State>::default();
        let watcher = Watcher {
            rank,
            folder: folder.to_path_buf(),
            state: state.clone(),
            name: format!("pid {} on {}", process::id(), host.trim()),
            signs: 0,
            seen: vec![(String::new(), Instant::now()); size],
            notice,
            next: notice,
            most,
            tell,
        };
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || watcher.watch(&stopped));
        Self {
            state,
            thread: Some((stop, thread)),
        }
    }

    /// An exchange that this process comes to and waits in.
    pub fn during<T>(&self, exchange: impl FnOnce() -> T) -> T {
        {
            let mut state = lock(&self.state);
            *state = (state.0 + 1, Some(Instant::now()));
        }
        let all = exchange();
        lock(&self.state).1 = None;
        all
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

struct Watcher<F> {
    rank: usize,
    folder: PathBuf,
    state: Arc<State>,
    name: String,
    signs: u64,
    /// Of each member, what it wrote last, and when that was seen first.
    seen: Vec<(String, Instant)>,
    notice: Duration,
    /// When to tell next.
    next: Duration,
    most: Option<Duration>,
    tell: F,
}

impl<F: Fn(Late)> Watcher<F> {
    fn watch(mut self, stopped: &Receiver<()>) {
        let sign = self.notice / SIGNS;
        // The first sign is given at once: of who stops soon after the name is known.
        self.look();
        while stopped.recv_timeout(sign) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
        // Best effort: the last takes the folder with it.
        let _ = fs::remove_file(self.file(self.rank));
        let _ = fs::remove_dir(&self.folder);
    }

    fn file(&self, rank: usize) -> PathBuf {
        self.folder.join(rank.to_string())
    }

    fn look(&mut self) {
        let (exchanges, since) = *lock(&self.state);
        self.signs += 1;
        let sign = format!("{exchanges} {} {}", self.signs, self.name);
        // One that cannot write gives no sign of life.
        let _ = fs::write(self.file(self.rank), sign);
        let waited = since.map(|since| since.elapsed()).unwrap_or_default();
        if waited < self.notice / 2 {
            self.next = self.notice;
            return;
        }
        let late = self.late(exchanges);
        // The others leave the first the time to tell.
        let more = late.as_ref().map_or(self.notice / 2, |_| Duration::ZERO);
        let text = late.map(|late| format!("for {} s {late}", waited.as_secs()));
        if self.most.is_some_and(|most| waited >= most + more) {
            (self.tell)(Late::Over(text));
        } else if let Some(text) = text.filter(|_| waited >= self.next) {
            self.next = 2 * waited;
            (self.tell)(Late::Told(text));
        }
    }

    /// Who has not come to an exchange, or has and is silent since; none where another one tells it.
    fn late(&mut self, exchanges: u64) -> Option<String> {
        let mut late = Vec::new();
        for rank in (0..self.seen.len()).filter(|&rank| rank != self.rank) {
            // A file that is being written is empty for a moment.
            let sign = fs::read_to_string(self.file(rank)).unwrap_or_default();
            let (last, when) = &mut self.seen[rank];
            if !sign.is_empty() && sign != *last {
                (*last, *when) = (sign, Instant::now());
            }
            let mut words = last.splitn(3, ' ');
            let come_to: Option<u64> = words.next().and_then(|count| count.parse().ok());
            let name = words.nth(1).unwrap_or("of which nothing is known");
            let silent = when.elapsed();
            // One that has come is given longer: whether to tell hangs on it.
            let [is_silent, is_gone] = [3, 6].map(|signs| 2 * SIGNS * silent > signs * self.notice);
            if !is_gone && come_to.is_some_and(|count| count >= exchanges) {
                if rank < self.rank {
                    return None;
                }
            } else if is_silent {
                let silent = silent.as_secs();
                late.push(format!(
                    "{rank} ({name}), without a sign of life for {silent} s"
                ));
            } else {
                late.push(format!("{rank} ({name}), which is at work"));
            }
        }
        let more = match late.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        late.truncate(NAMED);
        Some(match late.is_empty() {
            true => "all wait in an exchange that does not end".into(),
            false => format!(
                "the others have waited for process {}{more}",
                late.join(", ")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;
    use crate::group::{Group, threads};

    type Told = Arc<Mutex<Vec<(usize, Late)>>>;

    /// What members 0 and 1 tell while they wait for member 2 until it is over, with a sign of its life or without.
    fn told(alive: bool) -> Vec<(usize, Late)> {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("processes");
        let all = Told::default();
        let is_over = |told: &(usize, Late)| matches!(told.1, Late::Over(_));
        let both = || {
            [0, 1].map(|rank| {
                all.lock()
                    .unwrap()
                    .iter()
                    .any(|told| told.0 == rank && is_over(told))
            })
        };
        let work = |group: Group| {
            let (all, rank) = (all.clone(), group.rank());
            let tell = move |late| all.lock().unwrap().push((rank, late));
            let begun = match alive || rank < 2 {
                true => group.watch(&folder, Some(Duration::from_secs(3)), tell),
                false => group.lead(|| Ok(())),
            };
            begun.unwrap();
            let started = Instant::now();
            while rank == 2 && both() != [true; 2] && started.elapsed() < NOTICE {
                thread::sleep(Duration::from_millis(20));
            }
            assert!(group.any(rank == 2));
        };
        let work = &work;
        thread::scope(|scope| {
            for group in threads::group(3) {
                scope.spawn(move || work(group));
            }
        });
        assert!(!folder.exists(), "files are left");
        mem::take(&mut *all.lock().unwrap())
    }

    #[test]
    fn who_is_late_is_told_by_the_first_who_waits() {
        for (alive, how) in [(true, "is at work"), (false, "without a sign of life")] {
            let all = told(alive);
            let is_told = |text: &str| text.contains("for process 2 (") && text.contains(how);
            assert!(
                matches!(&all[0], (0, Late::Told(text)) if is_told(text)),
                "{all:?}"
            );
            let over = all.iter().filter(|(_, late)| matches!(late, Late::Over(_)));
            let over: Vec<_> = over.collect();
            assert!(
                matches!(over[0], (0, Late::Over(Some(text))) if is_told(text)),
                "{all:?}"
            );
            assert!(over.contains(&&(1, Late::Over(None))), "{all:?}");
        }
    }
}
