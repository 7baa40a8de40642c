//! What `mpirun`, `srun` and their like tell a process of its place, in its environment.

use std::env;
use std::fs;
use std::thread::available_parallelism;

/// The place of this process among those that were started with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many processes there are.
    pub size: usize,
    /// Which of them it is, from 0.
    pub rank: usize,
    /// Which of those on this machine it is, from 0.
    pub local_rank: usize,
    /// How many there are on this machine.
    pub local_size: usize,
}

/// Of Open MPI, MPICH and Intel MPI, and Slurm.
const SIZE: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
const RANK: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"];
const LOCAL_RANK: [&str; 3] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "SLURM_LOCALID",
];
const LOCAL_SIZE: [&str; 3] = [
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_STEP_TASKS_PER_NODE",
];

impl Place {
    /// That of this process; one of one where nobody says otherwise.
    pub fn here() -> Self {
        Self::told(|name| env::var(name).ok())
    }

    /// Which of the machine's NVIDIA devices is this process's own, from 0, of those that it may see.
    pub fn device(self) -> usize {
        let visible = env::var("CUDA_VISIBLE_DEVICES").ok();
        let count = visible.map_or(usize::MAX, |list| list.split(',').count());
        self.local_rank % count
    }

    fn told(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |names: [&str; 3]| {
            // Slurm writes `4(x2),3`: the first is that of most machines.
            let texts = names.iter().filter_map(|name| variable(name));
            let digits = |text: String| {
                let end = text.find(|c: char| !c.is_ascii_digit());
                text[..end.unwrap_or(text.len())].parse::<usize>().ok()
            };
            texts.filter_map(digits).next()
        };
        let size = number(SIZE).unwrap_or(1).max(1);
        Self {
            size,
            rank: number(RANK).filter(|_| size > 1).unwrap_or(0),
            local_rank: number(LOCAL_RANK).unwrap_or(0),
            local_size: number(LOCAL_SIZE).unwrap_or(1).clamp(1, size),
        }
    }
}

/// How many threads a process takes, beside others on the same machine: its part of the processors, but no
/// more than it is bound to. None where it is alone or `RAYON_NUM_THREADS` says it.
pub fn thread_count() -> Option<usize> {
    let Place { local_size, .. } = Place::here();
    if local_size == 1 || env::var_os("RAYON_NUM_THREADS").is_some() {
        return None;
    }
    let bound = available_parallelism().map_or(1, Into::into);
    let online = fs::read_to_string("/sys/devices/system/cpu/online");
    let all = online.ok().and_then(|list| processors(list.trim()));
    Some((all.unwrap_or(bound) / local_size).clamp(1, bound))
}

/// How many processors there are in a list such as `0-3,6`.
fn processors(list: &str) -> Option<usize> {
    let each = list.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(str::parse::<usize>);
        Some(last.ok()?.checked_sub(first.ok()?)? + 1)
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_what_the_launcher_says() {
        let of = |variables: &'static [(&str, &str)]| {
            Place::told(move |name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.to_string())
            })
        };
        let place = |size, rank, local_rank, local_size| Place {
            size,
            rank,
            local_rank,
            local_size,
        };
        assert_eq!(of(&[]), place(1, 0, 0, 1));
        let open = &[
            ("OMPI_COMM_WORLD_SIZE", "8"),
            ("OMPI_COMM_WORLD_RANK", "7"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "3"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"),
        ];
        assert_eq!(of(open), place(8, 7, 3, 4));
        let slurm = &[
            ("SLURM_STEP_NUM_TASKS", "7"),
            ("SLURM_PROCID", "5"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "4(x1),3"),
        ];
        assert_eq!(of(slurm), place(7, 5, 1, 4));
        // A batch job of many tasks whose script calls the program itself.
        assert_eq!(
            of(&[("SLURM_NTASKS", "8"), ("SLURM_LOCALID", "0")]),
            place(1, 0, 0, 1)
        );
    }

    #[test]
    fn processors_are_counted() {
        for (list, count) in [
            ("0", Some(1)),
            ("0-3,6", Some(5)),
            ("", None),
            ("3-1", None),
        ] {
            assert_eq!(processors(list), count, "{list}");
        }
    }
}
