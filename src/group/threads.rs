//! A group of threads of one process: to try what a group does without MPI.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{Group, Member};

/// Members for `size` threads, one each. A member that is dropped before its work with the others is done
/// makes theirs panic.
pub fn group(size: usize) -> Vec<Group> {
    let table = Arc::new(Table {
        rounds: Mutex::new(Rounds {
            given: vec![Vec::new(); size],
            ..Rounds::default()
        }),
        changed: Condvar::new(),
    });
    let members = (0..size).map(|rank| Thread {
        rank,
        size,
        table: table.clone(),
    });
    members.map(Group::of).collect()
}

/// Where members put what they have and take what all had.
#[derive(Debug)]
struct Table {
    rounds: Mutex<Rounds>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    /// How many are over.
    over: usize,
    /// Who has given what in this one.
    arrived: usize,
    given: Vec<Vec<u8>>,
    /// What all gave in the last.
    all: Vec<Vec<u8>>,
    /// Somebody is gone.
    left: bool,
}

#[derive(Debug)]
struct Thread {
    rank: usize,
    size: usize,
    table: Arc<Table>,
}

impl Member for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, numbers: &mut [f64]) {
        let all = self.gather(bytemuck::cast_slice(numbers));
        numbers.fill(0.0);
        for bytes in &all {
            for (sum, term) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
                *sum += bytemuck::pod_read_unaligned::<f64>(term);
            }
        }
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let lock = self.table.rounds.lock();
        let mut rounds = lock.unwrap_or_else(PoisonError::into_inner);
        let this = rounds.over;
        rounds.given[self.rank] = bytes.to_vec();
        rounds.arrived += 1;
        if rounds.arrived == self.size {
            let none = vec![Vec::new(); self.size];
            rounds.all = mem::replace(&mut rounds.given, none);
            rounds.arrived = 0;
            rounds.over += 1;
            self.table.changed.notify_all();
        }
        while rounds.over == this && !rounds.left {
            let waited = self.table.changed.wait(rounds);
            rounds = waited.unwrap_or_else(PoisonError::into_inner);
        }
        // The next round cannot be over before this member has given its part.
        assert!(rounds.over > this, "another member of the group is gone");
        rounds.all.clone()
    }

    fn abort(&self, code: i32) -> ! {
        panic!("member {} of the group ends all, code {code}", self.rank)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let lock = self.table.rounds.lock();
        lock.unwrap_or_else(PoisonError::into_inner).left = true;
        self.table.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::error::{Error, Result};

    /// What each of so many members comes to, by rank.
    fn each<T: Send>(size: usize, work: impl Fn(&Group) -> T + Sync) -> Vec<T> {
        let work = &work;
        thread::scope(|scope| {
            let members = group(size).into_iter();
            let threads: Vec<_> = members
                .map(|member| scope.spawn(move || work(&member)))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn sums_parts_and_what_is_gathered() {
        for size in [1, 2, 3, 5] {
            let all = each(size, |group| {
                let mut numbers = [group.rank() as f64, 1.0];
                group.sum(&mut numbers);
                let x = Tensor::<4>::full([1, 1, 1, 2], 0.1, &Device::flex());
                let total = group
                    .total(x.clone())
                    .into_data()
                    .iter::<f64>()
                    .sum::<f64>();
                let same = group.same(x * (1 + group.rank()) as f64);
                let same: f32 = same.max().into_scalar();
                assert_eq!(group.gather(group.rank()).unwrap(), Vec::from_iter(0..size));
                assert_eq!(group.lead(|| Ok("led".to_owned())).unwrap(), "led");
                assert!(!group.any(false) && group.any(group.rank() + 1 == size));
                assert!((total - 0.2 * size as f64).abs() < 1e-6 && same == 0.1);
                (numbers, group.part(7))
            });
            let mut next = 0;
            for (numbers, part) in all {
                assert_eq!(numbers, [(size * (size - 1) / 2) as f64, size as f64]);
                assert_eq!(part.start, next);
                next = part.end;
            }
            assert_eq!(next, 7);
        }
    }

    #[test]
    fn a_failure_of_one_is_that_of_all_and_told_once() {
        let all = each(4, |group| {
            let fails = |rank| match group.rank() >= rank {
                true => Err(Error::Input(format!("{}", group.rank()))),
                false => Ok(()),
            };
            assert!(group.agree(fails(9)).is_ok());
            // It holds also where one is in a call around that of the others.
            let agreed = match group.rank() {
                3 => group.agree(fails(2)),
                _ => group.agree(group.agree(fails(2))),
            };
            assert!(group.agree(Ok(())).is_err());
            agreed.unwrap_err().to_string()
        });
        for (rank, agreed) in all.iter().enumerate() {
            assert_eq!(agreed == "2", rank == 2, "{agreed}");
        }
        let led = each(3, |group| {
            let led: Result<u8> = group.lead(|| Err(Error::Config("led".into())));
            led.unwrap_err().to_string()
        });
        assert_eq!(led.iter().filter(|led| *led == "led").count(), 1);
    }

    #[test]
    fn nobody_waits_for_a_member_that_is_gone() {
        let all = each(3, |group| {
            if group.rank() == 1 {
                return true;
            }
            catch_unwind(AssertUnwindSafe(|| group.any(false))).is_err()
        });
        assert_eq!(all, [true; 3]);
    }
}
