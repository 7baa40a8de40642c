//! Processes that work on one task together: what each has to do, sums over all, and how a failure of one
//! ends all.
//!
//! A [`Group`] is this process [alone](Group::alone), which costs nothing; those that `mpirun` or `srun`
//! started (feature `mpi`); or [threads] of this process. Every method but those that only tell who is who
//! has to be called by all members, in the same order.

#[cfg(feature = "mpi")]
mod mpi;
mod place;
pub mod threads;
mod watch;

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use burn::tensor::{Tensor, TensorData};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
pub use place::{Place, thread_count};
pub use watch::Late;
use watch::Watch;

/// What a member of a group can do; the rest of [`Group`] is made of it.
pub trait Member: Send + Sync {
    /// Which one it is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// The sums over all members, in place: the same bits on every one, and in the next call of as many
    /// members on the same numbers.
    fn sum(&self, numbers: &mut [f64]);

    /// What each member gives, by rank.
    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;

    /// Ends all members at once, with this exit code.
    fn abort(&self, code: i32) -> !;
}

/// The processes that work on one task, seen from one of them; see [the module](self). Clones are the
/// same member.
#[derive(Clone, Default)]
pub struct Group(Option<Arc<Joined>>);

struct Joined {
    /// Ends before the member leaves.
    watch: OnceLock<Watch>,
    member: Box<dyn Member>,
    /// The first that has failed, once all know of it.
    failed: OnceLock<usize>,
}

impl Joined {
    fn sum(&self, numbers: &mut [f64]) {
        self.exchange(|member| member.sum(numbers));
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.exchange(|member| member.gather(bytes))
    }

    fn exchange<T>(&self, exchange: impl FnOnce(&dyn Member) -> T) -> T {
        let exchange = || exchange(&*self.member);
        match self.watch.get() {
            Some(watch) => watch.during(exchange),
            None => exchange(),
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} of {}", self.rank(), self.size())
    }
}

/// Of two members, whether they have the same rank in as large a group.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        (self.rank(), self.size()) == (other.rank(), other.size())
    }
}

impl Group {
    /// This process alone.
    pub fn alone() -> Self {
        Self(None)
    }

    /// The group that a member belongs to.
    pub fn of(member: impl Member + 'static) -> Self {
        match member.size() {
            ..=1 => Self::alone(),
            _ => Self(Some(Arc::new(Joined {
                watch: OnceLock::new(),
                member: Box::new(member),
                failed: OnceLock::new(),
            }))),
        }
    }

    /// The processes that this one was started with by `mpirun`, `srun` and their like; this one alone
    /// where it was started by itself.
    ///
    /// # Errors
    /// [`Error::Config`] where there are others and the feature `mpi` is not built in: each would do all
    /// of the work. [`Error::Backend`] where MPI does not start.
    pub fn started() -> Result<Self> {
        match Place::here() {
            Place { size: ..=1, .. } => Ok(Self::alone()),
            #[cfg(feature = "mpi")]
            _ => mpi::Process::join().map(Self::of),
            #[cfg(not(feature = "mpi"))]
            Place { size, .. } => Err(Error::Config(format!(
                "this process is one of {size} that were started together, and they cannot talk to each \
                 other: build the program with the feature mpi, or start one process"
            ))),
        }
    }

    /// Which of the members this is, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |joined| joined.member.rank())
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |joined| joined.member.size())
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this is the member that writes what there is one of.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// The part of `count` things that is this member's: neighbours, by rank, as many for each as can be.
    pub fn part(&self, count: usize) -> Range<usize> {
        let (rank, size) = (self.rank(), self.size());
        rank * count / size..(rank + 1) * count / size
    }

    /// The sums over all members, in place; see [`Member::sum`].
    pub fn sum(&self, numbers: &mut [f64]) {
        if let Some(joined) = &self.0 {
            joined.sum(numbers);
        }
    }

    /// The sum of a tensor over all members, in double precision.
    pub fn total(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(joined) = &self.0 else { return x };
        let (shape, device, dtype) = (x.dims(), x.device(), x.dtype());
        let mut numbers: Vec<f64> = x.into_data().iter().collect();
        joined.sum(&mut numbers);
        let data = TensorData::new(numbers, shape).convert_dtype(dtype);
        Tensor::from_data(data, (&device, dtype))
    }

    /// The tensor of the first member, on all of them: unlike processors do not round alike.
    pub fn same(&self, x: Tensor<4>) -> Tensor<4> {
        self.total(match self.leads() {
            true => x,
            false => x.zeros_like(),
        })
    }

    /// Whether it is so on any member.
    pub fn any(&self, here: bool) -> bool {
        let mut count = [f64::from(u8::from(here))];
        self.sum(&mut count);
        count[0] > 0.0
    }

    /// What each member has, by rank.
    ///
    /// # Errors
    /// [`Error::Backend`] where it cannot be written as JSON, or not be read.
    pub fn gather<T: Serialize + DeserializeOwned>(&self, here: T) -> Result<Vec<T>> {
        let Some(joined) = &self.0 else {
            return Ok(vec![here]);
        };
        let fail =
            |error| Error::Backend(format!("processes do not understand each other: {error}"));
        let bytes = serde_json::to_vec(&here).map_err(fail)?;
        let all = joined.gather(&bytes);
        let each = all.iter().map(|bytes| serde_json::from_slice(bytes));
        each.collect::<Result<_, _>>().map_err(fail)
    }

    /// A result that counts only where all members have one: where some have failed, the first of them
    /// keeps its error, the others get [`Error::Elsewhere`], and the work of the group is over: later calls
    /// give that at once.
    ///
    /// A member whose work fails hands the error to its next call, be that another one than the others'.
    ///
    /// # Errors
    /// Those.
    pub fn agree<T>(&self, here: Result<T>) -> Result<T> {
        let Some(joined) = &self.0 else { return here };
        if let Some(first) = joined.failed.get() {
            return here.and(Err(Error::Elsewhere(*first)));
        }
        if !self.any(here.is_err()) {
            return here;
        }
        let failed = joined.gather(&[here.is_err().into()]);
        let first = failed.iter().position(|failed| failed[..] == [1]);
        let first = *joined.failed.get_or_init(|| first.unwrap_or_default());
        match here {
            Err(error) if first == self.rank() => Err(error),
            _ => Err(Error::Elsewhere(first)),
        }
    }

    /// What the first member does for all of them, and what comes of it.
    ///
    /// # Errors
    /// Those of doing it, as by [`Group::agree`].
    pub fn lead<T: Serialize + DeserializeOwned>(
        &self,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(joined) = &self.0 else {
            return work();
        };
        let here = match self.leads() {
            true => work().map(Some),
            false => Ok(None),
        };
        let fail =
            |error| Error::Backend(format!("processes do not understand each other: {error}"));
        let text = self.agree(here.and_then(|here| serde_json::to_vec(&here).map_err(fail)))?;
        let all = joined.gather(match self.leads() {
            true => &text,
            false => &[],
        });
        serde_json::from_slice(&all[0]).map_err(fail)
    }

    /// From now on tells who is late where members wait for long, by files in a folder that all see; the first makes
    /// it. After `most` it is [`Late::Over`]; what then becomes of the process is up to `tell`, which is
    /// called by a thread of its own.
    ///
    /// Where the folder cannot be made that is told, and nobody watches.
    ///
    /// # Errors
    /// That of a member that has failed.
    pub fn watch(
        &self,
        folder: &Path,
        most: Option<Duration>,
        tell: impl Fn(Late) + Send + 'static,
    ) -> Result<()> {
        let Some(joined) = &self.0 else { return Ok(()) };
        let begin = || -> Result<()> {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            // What a killed call has left would pass for signs of life; its names are numbers.
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            let signs = files.filter(|file| {
                let name = file.file_name();
                name.to_str()
                    .is_some_and(|name| name.parse::<usize>().is_ok())
            });
            signs.for_each(|file| drop(fs::remove_file(file.path())));
            Ok(())
        };
        let missing = self.lead(|| Ok(begin().err().map(|error| error.to_string())))?;
        if let Some(error) = missing {
            if self.leads() {
                tell(Late::Told(format!("processes are not watched: {error}")));
            }
            return Ok(());
        }
        let place = (self.rank(), self.size());
        joined
            .watch
            .get_or_init(|| Watch::start(place, folder, most, tell));
        Ok(())
    }

    /// Ends all members after an error that the others do not know of: what they wait for will not come.
    pub fn fail(&self, code: i32) {
        if let Some(joined) = &self.0
            && joined.failed.get().is_none()
        {
            joined.member.abort(code);
        }
    }
}
