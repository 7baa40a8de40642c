//! Maps of an image that is too large to be coded as a whole: tile by tile, to the optimum of the whole.

mod cut;
mod look;
mod store;
#[cfg(test)]
mod tests;
mod window;

use std::cell::Cell;
use std::time::Instant;

use burn::tensor::{Device, Tensor};

use self::cut::{Axis, Span, TILINGS, check_size};
pub use self::look::{Look, TileSums};
pub use self::store::{Patches, TileStore, TilesInMemory};
use super::{Callback, CoordinateDescent, Limits, Method, Point, Problem, Reason};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::{Boundary, DataTerm, Evaluation, Layer, Network, Objective, SparseMaps};

/// The duality gap, as a share of the objective, at which coding ends where no other is asked for.
const GAP: f64 = 1e-3;
/// Sweeps at most.
const SWEEPS: usize = 40;
/// Steps between two looks at the objective of a tile.
const EVERY: usize = 4;
/// Visits end at the latest at a gap, or a change between two looks, of these shares: less is rounding.
const LEAST_GAP: f64 = 1e-6;
const LEAST_CHANGE: f64 = 1e-9;
/// What the penalty is taken to be of a tile's objective before its first visit.
const PENALTY: f64 = 0.25;
/// An objective that falls by no larger a share in a sweep, nor its gap by half, has come to what rounding lets it.
const STILL: f64 = 1e-9;
/// Tiles of a colour touch nothing in common.
const COLOURS: usize = 4;

/// A tile was visited or looked at.
#[derive(Clone, Copy, Debug)]
pub struct TileStep {
    /// The sweep, from 0.
    pub sweep: usize,
    /// Tiles that this process has done of it, visits and looks, and out of how many.
    pub done: usize,
    /// Out of how many.
    pub of: usize,
    /// The whole image after the sweep before.
    pub at: Option<Evaluation>,
}

/// The maps of an image, in a [`TileStore`].
#[derive(Clone, Copy, Debug)]
pub struct TilesSolved {
    /// How good they are: those of the whole image.
    pub at: Evaluation,
    /// Sweeps over the tiles.
    pub sweeps: usize,
    /// Tiles that were visited, over all sweeps.
    pub visits: usize,
    /// Seconds, looks included, over all calls.
    pub seconds: f64,
    /// Why it stopped.
    pub reason: Reason,
}

/// Block coordinate descent over the tiles of the maps of one image, under one layer with p = 1:
///
/// ```text
/// z_T <- argmin  data_weight/2 sum (D_T z_T - (y - D_R z_R))^2 + sparsity sum W |z_T|      (over the patch under T)
/// ```
///
/// `z_T` are the maps of a tile, `z_R` those of the ring around it, as wide as the filters reach, which stay as they
/// are. It is the problem of an image of its own, whose boundary is [`Boundary::Zero`]; beyond the border of the
/// image pixels of weight 0 make it that of [`Boundary::Valid`]. The problem of the whole is convex, its data term
/// smooth, and its penalty a sum over elements: the objective falls with every visit, towards the least one of the
/// whole image.
///
/// A sweep visits the tiles in four colours, those of one colour touching nothing in common; of several processes
/// each visits its share of them. From sweep to sweep the tiles move by a third of a tile: what lay at a border, or where
/// borders cross, is soon inside of one, and sweeps are few. After each, one look at all tiles adds up the sums of which
/// [`Objective::evaluate`] makes the objective, the duality gap and the SNR of an image, in double precision: the
/// certificate is that of the whole image. Tiles at which nothing is left to do are not visited in the sweep that
/// follows.
///
/// In memory is the dense form of one tile and its ring. What comes out depends on the size of the tiles to within
/// the gap, and on nothing else: not on the number of threads or processes, nor on interruptions.
///
/// # Examples
///
/// ```no_run
/// use std::ops::Range;
///
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::group::Group;
/// use deconvnet::model::{LayerConfig, Network, Objective};
/// use deconvnet::solve::{Limits, Patches, Tiles, TilesInMemory};
///
/// struct InMemory(Tensor<4>);
///
/// impl Patches for InMemory {
///     fn shape(&self) -> [usize; 3] {
///         let [_, c, h, w] = self.0.dims();
///         [c, h, w]
///     }
///     fn patch(&self, rows: Range<usize>, columns: Range<usize>) -> deconvnet::Result<Tensor<4>> {
///         Ok(self.0.clone().slice([0..1, 0..self.shape()[0], rows, columns]))
///     }
/// }
///
/// let layer = LayerConfig::new(Connectivity::full(1, 3), [3, 3]).init(&Device::flex());
/// let image = InMemory(Tensor::ones([1, 1, 40, 30], &Device::flex()));
/// let store = TilesInMemory::default();
/// let objective = Objective::new(1.0, 0.1, 1.0)?;
/// let group = Group::alone();
/// let tiles = Tiles::new(Network::new(vec![layer])?, objective, &image, &store, 16, &group)?;
/// let limits = Limits { gap: Some(1e-3), ..Limits::default() };
/// let solved = tiles.solve(&limits, &mut ())?;
/// assert!(solved.at.gap.is_some_and(|gap| gap <= 1e-3 * solved.at.objective));
/// let window = tiles.window(solved.sweeps, [0, 0], [42, 32])?;
/// assert_eq!(window.dims(), [1, 3, 42, 32]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
///
/// # Sources
/// - P. Tseng, Convergence of a Block Coordinate Descent Method for Nondifferentiable Minimization, 2001, for the
///   limit.
/// - T. Moreau, L. Oudre and N. Vayatis, DICOD: Distributed Convolutional Coordinate Descent, ICML 2018, for
///   convolutional sparse coding cut up between processes.
pub struct Tiles<'a> {
    /// The layer as it is inside an image that goes on around the tile.
    tile: Network,
    /// The layer from a window of maps down to what they alone touch.
    window: Network,
    objective: Objective,
    image: &'a dyn Patches,
    axes: [Axis; 2],
    store: &'a dyn TileStore,
    group: &'a Group,
}

/// Which of the tiles of a sweep are visited: those of the first colours.
#[derive(Clone, Copy)]
struct State {
    sweep: usize,
    colours: usize,
}

impl<'a> Tiles<'a> {
    /// For tiles of about `tile` rows and columns. The boundary is that of the network.
    ///
    /// # Errors
    /// [`Error::Config`] for several layers, p < 1, weights of the penalty for single elements, or tiles smaller than
    /// the filters need; [`Error::Input`] where the image has other channels or is too small.
    pub fn new(
        network: Network,
        objective: Objective,
        image: &'a dyn Patches,
        store: &'a dyn TileStore,
        tile: usize,
        group: &'a Group,
    ) -> Result<Self> {
        let layer = network.top();
        let complaint = if network.layers().len() > 1 {
            "several layers at once"
        } else if !objective.is_convex() {
            "p < 1, which has no certificate that tiles agree"
        } else if layer.weighted_size().is_some() {
            "weights of the penalty for single elements"
        } else {
            ""
        };
        if !complaint.is_empty() {
            return Err(Error::Config(format!(
                "an image is not coded in tiles with {complaint}; code it as a whole"
            )));
        }
        let ([channels, height, width], [h, w]) = (image.shape(), layer.filter_size());
        let planes = layer.connectivity.planes();
        if channels != planes || height < h || width < w {
            return Err(Error::Input(format!(
                "an image of {channels} channels, {height} x {width} pixels does not go with filters for {planes} \
                 planes, {h} x {w}"
            )));
        }
        let boundary = network.boundary();
        let on_processor = |x: Tensor<4>| Tensor::from_data(x.into_data(), &Device::flex());
        let network = network.map_filters(on_processor);
        Ok(Self {
            tile: network.with_boundary(Boundary::Zero),
            window: network.with_boundary(Boundary::Valid),
            objective,
            axes: [
                Axis::new(boundary, height, h, tile)?,
                Axis::new(boundary, width, w, tile)?,
            ],
            image,
            store,
            group,
        })
    }

    /// Whether tiles of about `tile` rows and columns go with the filters of a network's layers.
    ///
    /// # Errors
    /// [`Error::Config`] with the least size that would.
    pub fn check_size(network: &Network, tile: usize) -> Result<()> {
        let filters = network.layers().iter().flat_map(Layer::filter_size);
        let taps = filters.max().unwrap_or(1);
        check_size(tile, taps).map(drop)
    }

    /// The shape of the maps of the whole image.
    pub fn maps_shape(&self) -> [usize; 3] {
        let [rows, columns] = &self.axes;
        let k = self.tile.top().connectivity.maps();
        [k, rows.maps, columns.maps]
    }

    /// The row and the column of the maps that each tile of a sweep begins at, and its height and width.
    pub fn tiles(&self, sweep: usize) -> Vec<([usize; 2], [usize; 2])> {
        let tiles = self.spans(sweep).into_iter();
        tiles
            .map(|tile| (tile.map(|s| s.start), tile.map(|s| s.len)))
            .collect()
    }

    fn spans(&self, sweep: usize) -> Vec<[Span; 2]> {
        let [rows, columns] = [0, 1].map(|d| &self.axes[d].tilings[sweep % TILINGS]);
        let row = |&row: &Span| columns.iter().map(move |&column| [row, column]);
        rows.iter().flat_map(row).collect()
    }

    fn colour(&self, sweep: usize, tile: usize) -> usize {
        let columns = self.axes[1].tilings[sweep % TILINGS].len();
        tile / columns % 2 * 2 + tile % columns % 2
    }

    /// Sweeps until a limit is reached, going on where the store left off. The gap is 1e-3 of the objective where no
    /// other is asked for; steps are those of a visit; seconds, the gap, the change and the target are looked at
    /// after each sweep. After an interruption the reason is [`Reason::Interrupted`], the maps are not whole, and the
    /// next call goes on.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range, and those of the image and of the store.
    pub fn solve(
        &self,
        limits: &Limits,
        callback: &mut dyn Callback<TileStep>,
    ) -> Result<TilesSolved> {
        let limits = Limits {
            gap: limits.gap.or(Some(GAP)),
            ..*limits
        };
        let mut looks = self.group.lead(|| self.store.looks())?;
        loop {
            if let Some(reason) = self.reached(&looks, &limits) {
                return Ok(self.solved(&looks, reason));
            }
            let started = Instant::now();
            let sweep = looks.len();
            let Some((visits, mine)) = self.sweep(&looks, &limits, callback)? else {
                return Ok(self.solved(&looks, Reason::Interrupted));
            };
            let Some(tiles) = self.look(&looks, mine, callback)? else {
                return Ok(self.solved(&looks, Reason::Interrupted));
            };
            let sums = tiles.iter().map(|tile| tile.sums);
            let sums = sums.reduce(|a, b| a.plus(b)).unwrap_or_default();
            let objective = self.objective.evaluation(sums).objective;
            if !objective.is_finite() {
                return Err(Error::Numeric(format!(
                    "the objective became {objective} in sweep {}; check the image for huge values",
                    sweep + 1
                )));
            }
            if let Some(last) = looks.last_mut() {
                last.tiles = Vec::new();
            }
            let before = looks.last().map_or(0.0, |look| look.seconds);
            looks.push(Look {
                sums,
                visits,
                seconds: before + started.elapsed().as_secs_f64(),
                tiles,
            });
            // The first member's clock is everybody's.
            looks = self
                .group
                .lead(|| self.store.keep(&looks).map(|()| looks))?;
        }
    }

    fn reached(&self, looks: &[Look], limits: &Limits) -> Option<Reason> {
        let at = |look: &Look| self.objective.evaluation(look.sums);
        let last = looks.last()?;
        let before = looks.len().checked_sub(2).map(|k| at(&looks[k]));
        let now = at(last);
        let still = before.is_some_and(|before| {
            let falls = before.objective - now.objective > STILL * before.objective;
            !falls && now.gap > before.gap.map(|gap| 0.5 * gap)
        });
        let before = before.map(|before| before.objective);
        limits
            .reached(&now, before)
            .or(still.then_some(Reason::Rounding))
            .or((looks.len() >= SWEEPS).then_some(Reason::Steps))
            .or(limits
                .seconds
                .filter(|&most| most <= last.seconds)
                .map(|_| Reason::Seconds))
    }

    fn solved(&self, looks: &[Look], reason: Reason) -> TilesSolved {
        let last = looks.last();
        TilesSolved {
            at: last.map_or_else(Evaluation::default, |look| {
                self.objective.evaluation(look.sums)
            }),
            sweeps: looks.len(),
            visits: looks.iter().map(|look| look.visits).sum(),
            seconds: last.map_or(0.0, |look| look.seconds),
            reason,
        }
    }

    /// One sweep. How many tiles were to be visited of all and by this member; none after an interruption.
    fn sweep(
        &self,
        looks: &[Look],
        limits: &Limits,
        callback: &mut dyn Callback<TileStep>,
    ) -> Result<Option<(usize, usize)>> {
        let sweep = looks.len();
        let tolerance = limits.gap.unwrap_or(GAP) * 0.5_f64.powi(sweep as i32 + 1);
        let known = looks.last().map(|look| &look.tiles[..]);
        let wanted =
            |tile: usize| known.is_none_or(|known| !self.is_settled(&known[tile], tolerance));
        let share = |tile: usize| known.map_or(PENALTY, |known| self.share(&known[tile]));
        let tiles = self.spans(sweep);
        let (visits, rest): (Vec<_>, Vec<_>) = (0..tiles.len()).partition(|&tile| wanted(tile));
        let (rank, size) = (self.group.rank(), self.group.size());
        let mine = |tiles: &[usize], colour: usize| -> Vec<usize> {
            let of_colour = tiles.iter().filter(|&&t| self.colour(sweep, t) == colour);
            of_colour.copied().skip(rank).step_by(size).collect()
        };
        let (count, mut done) = (visits.len(), 0);
        let all: usize = (0..COLOURS).map(|c| mine(&visits, c).len()).sum();
        for colour in 0..COLOURS {
            let state = State {
                sweep,
                colours: colour,
            };
            let mut work = || -> Result<bool> {
                for tile in mine(&rest, colour) {
                    if self.lacks(sweep, tile) {
                        let (start, len) = origin(tiles[tile]);
                        let maps = self.gather(state, start, len)?;
                        self.store
                            .put(sweep, tile, &SparseMaps::from_dense(&maps)?)?;
                    }
                }
                for tile in mine(&visits, colour) {
                    if callback.interrupted() {
                        return Ok(false);
                    }
                    if self.lacks(sweep, tile) {
                        let share = share(tile);
                        let gap = tolerance * (share + tolerance * (1.0 - share));
                        let gap = gap.max(LEAST_GAP);
                        let limits = Limits {
                            steps: limits.steps,
                            gap: Some(gap),
                            change: Some(LEAST_CHANGE),
                            every: EVERY,
                            ..Limits::default()
                        };
                        let Some(maps) = self.visit(state, tiles[tile], &limits, callback)? else {
                            return Ok(false);
                        };
                        self.store.put(sweep, tile, &maps)?;
                    }
                    done += 1;
                    callback.event(TileStep {
                        sweep,
                        done,
                        // The look at the end, too, has a tile after the other.
                        of: all + self.spans(sweep + 1).len().div_ceil(size),
                        at: looks
                            .last()
                            .map(|look| self.objective.evaluation(look.sums)),
                    });
                }
                Ok(true)
            };
            let finished = work();
            let finished = self.group.agree(finished)?;
            if self.group.any(!finished) {
                return Ok(None);
            }
        }
        Ok(Some((count, all)))
    }

    /// Whether a tile was not visited yet; one that a kill left damaged was not.
    fn lacks(&self, sweep: usize, tile: usize) -> bool {
        !matches!(self.store.get(sweep, tile), Ok(Some(_)))
    }

    /// The maps of a tile that are best for those around it; none after an interruption.
    fn visit(
        &self,
        state: State,
        tile: [Span; 2],
        limits: &Limits,
        callback: &dyn Callback<TileStep>,
    ) -> Result<Option<SparseMaps>> {
        let (patch, around) = self.surroundings(state, tile)?;
        let inner = self.inner(tile);
        let start = around.clone().slice(inner.clone());
        let ring = around.slice_assign(inner, start.zeros_like());
        let planes = patch.planes - self.window.project(ring);
        let data = match patch.inside {
            Some(inside) => DataTerm::new(planes).with_weights(inside)?,
            None => DataTerm::new(planes),
        };
        let problem = Problem::new(self.tile.clone(), data, self.objective)?;
        let method: Method = CoordinateDescent::default().into();
        let mut interrupt = Interrupt {
            callback,
            asked: Cell::new(false),
        };
        let solved = method.code(&problem, start, limits, &mut interrupt)?;
        // The look at an interruption may find a limit reached that is not looked at otherwise.
        match interrupt.asked.get() {
            true => Ok(None),
            false => SparseMaps::from_dense(&solved.codes).map(Some),
        }
    }
}

/// A tile as a window.
fn origin(tile: [Span; 2]) -> ([isize; 2], [usize; 2]) {
    (tile.map(|s| s.start as isize), tile.map(|s| s.len))
}

/// Lets the solver of a tile ask whether to stop.
struct Interrupt<'a> {
    callback: &'a dyn Callback<TileStep>,
    /// Whether it was told to.
    asked: Cell<bool>,
}

impl Callback<Point> for Interrupt<'_> {
    fn interrupted(&self) -> bool {
        self.asked
            .set(self.asked.get() || self.callback.interrupted());
        self.asked.get()
    }
}
