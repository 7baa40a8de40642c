//! Processes that talk to each other by MPI.

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::datatype::PartitionMut;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives};

use super::Member;
use crate::error::{Error, Result};

/// One of the processes that MPI started; MPI is shut down when it is dropped, which has to be done by the
/// thread that joined.
pub(super) struct Process {
    rank: usize,
    size: usize,
    _universe: Universe,
}

impl Process {
    /// Starts MPI.
    ///
    /// # Errors
    /// [`Error::Backend`] where it was started before.
    pub fn join() -> Result<Self> {
        // Solvers have threads of their own; only the one that learns calls MPI.
        let (universe, _) =
            ::mpi::initialize_with_threading(Threading::Funneled).ok_or_else(|| {
                Error::Backend("MPI was started already: join its processes once".into())
            })?;
        let world = universe.world();
        Ok(Self {
            rank: world.rank() as usize,
            size: world.size() as usize,
            _universe: universe,
        })
    }
}

/// All processes.
fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

impl Member for Process {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, numbers: &mut [f64]) {
        let here = numbers.to_vec();
        world().all_reduce_into(&here[..], numbers, SystemOperation::sum());
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut counts = vec![0; self.size];
        world().all_gather_into(&(bytes.len() as i32), &mut counts[..]);
        let mut starts = Vec::with_capacity(self.size);
        let mut total = 0;
        for count in &counts {
            starts.push(total);
            total += count;
        }
        let mut all = vec![0_u8; total as usize];
        let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        world().all_gather_varcount_into(bytes, &mut parts);
        let ranges = starts.iter().zip(&counts);
        ranges
            .map(|(&start, &count)| all[start as usize..(start + count) as usize].to_vec())
            .collect()
    }

    fn abort(&self, code: i32) -> ! {
        world().abort(code)
    }
}
