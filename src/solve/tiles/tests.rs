//! Tiles against the image as a whole.

use std::ops::Range;
use std::thread;

use burn::tensor::DType;

use super::*;
use crate::connectivity::Connectivity;
use crate::group::threads;
use crate::model::{FeatureMaps, LayerConfig};
use crate::solve::{Fista, in_double};

struct InMemory(Tensor<4>);

impl Patches for InMemory {
    fn shape(&self) -> [usize; 3] {
        let [_, c, h, w] = self.0.dims();
        [c, h, w]
    }

    fn patch(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Tensor<4>> {
        Ok(self
            .0
            .clone()
            .slice([0..1, 0..self.0.dims()[1], rows, columns]))
    }
}

/// An image, filters for its two channels, and what is minimised.
struct Case {
    network: Network,
    image: InMemory,
    objective: Objective,
}

impl Case {
    fn new(boundary: Boundary, filter: [usize; 2], size: [usize; 2]) -> Self {
        let device = Device::flex();
        let layer = LayerConfig::new(Connectivity::full(2, 3), filter)
            .with_boundary(boundary)
            .init(&device);
        let image = FeatureMaps::start([1, 2, size[0], size[1]], 1.0, 5, &device);
        let network = Network::new(vec![layer]).unwrap();
        let most = Objective::largest_useful_sparsity(1.0, &network, &DataTerm::new(image.clone()));
        Self {
            network,
            image: InMemory(image),
            objective: Objective::new(1.0, 0.3 * most, 1.0).unwrap(),
        }
    }

    fn whole(&self) -> Problem {
        let data = self.image.0.clone();
        Problem::new(self.network.clone(), data, self.objective).unwrap()
    }

    fn tiles<'a>(&'a self, store: &'a dyn TileStore, tile: usize, group: &'a Group) -> Tiles<'a> {
        let network = self.network.clone();
        Tiles::new(network, self.objective, &self.image, store, tile, group).unwrap()
    }

    /// The maps in tiles, after a check of their certificate against that of the whole.
    fn solve(&self, tile: usize, gap: f64) -> (TilesSolved, Tensor<4>) {
        let (store, group) = (TilesInMemory::default(), Group::alone());
        let tiles = self.tiles(&store, tile, &group);
        let limits = Limits {
            gap: Some(gap),
            ..Limits::default()
        };
        let solved = tiles.solve(&limits, &mut ()).unwrap();
        let [_, height, width] = tiles.maps_shape();
        let maps = tiles
            .window(solved.sweeps, [0; 2], [height, width])
            .unwrap();
        let whole = self.whole().in_double();
        let at = whole
            .objective
            .evaluate(&whole.network, in_double(maps.clone()), &whole.data)[0];
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * at.objective;
        assert!(
            near(at.objective, solved.at.objective)
                && near(at.penalty, solved.at.penalty)
                && near(at.gap.unwrap(), solved.at.gap.unwrap())
                && (at.snr - solved.at.snr).abs() < 1e-6
                && at.density == solved.at.density,
            "{at:?} {solved:?}"
        );
        (solved, maps)
    }
}

/// The least objective and its maps, by another solver.
fn least(problem: &Problem) -> (f64, Tensor<4>) {
    let problem = problem.in_double();
    let limits = Limits {
        steps: 20_000,
        gap: Some(1e-8),
        every: 50,
        ..Limits::default()
    };
    let start = Tensor::zeros(problem.maps_shape(), (&Device::flex(), DType::F64));
    let fista: Method = Fista::default().into();
    let solved = fista.code(&problem, start, &limits, &mut ()).unwrap();
    (solved.last().at.objective, solved.codes)
}

#[test]
fn tiles_end_at_the_optimum_of_the_whole_image() {
    let cases = [
        (Boundary::Valid, [3, 3], [31, 26], [9, 13, 64]),
        (Boundary::Valid, [1, 5], [1, 90], [15, 33, 200]),
        (Boundary::Zero, [3, 4], [30, 28], [12, 14, 99]),
        (Boundary::Circular, [3, 3], [31, 24], [9, 12, 500]),
    ];
    for (boundary, filter, size, tiles) in cases {
        for variant in 0..3 {
            let mut case = Case::new(boundary, filter, size);
            if variant == 1 {
                case.objective = case.objective.with_non_negative(true);
            }
            if variant == 2 {
                let layer = case
                    .network
                    .top()
                    .clone()
                    .with_map_weights(&[1.0, 0.5, 2.0]);
                case.network = Network::new(vec![layer]).unwrap();
            }
            let (least, best) = least(&case.whole());
            for tile in tiles {
                let (solved, maps) = case.solve(tile, 1e-5);
                let what = format!("{boundary:?} {variant} {tile} {solved:?} {least}");
                assert_eq!(solved.reason, Reason::Gap, "{what}");
                let above = solved.at.objective - least;
                assert!((-1e-6 * least..=1e-5 * least).contains(&above), "{what}");
                let [largest, off]: [f64; 2] = [best.clone(), best.clone() - in_double(maps)]
                    .map(|x| x.abs().max().into_scalar());
                assert!(off < 0.02 * largest, "{off} of {largest}: {what}");
            }
        }
    }
}

#[test]
fn any_number_of_members_and_any_interruption_end_alike() {
    let case = Case::new(Boundary::Valid, [3, 3], [40, 33]);
    let limits = Limits {
        gap: Some(1e-5),
        ..Limits::default()
    };
    let (alone, wanted) = case.solve(9, 1e-5);
    let same = |store: &TilesInMemory, solved: TilesSolved| {
        let group = Group::alone();
        let tiles = case.tiles(store, 9, &group);
        let [_, height, width] = tiles.maps_shape();
        let maps = tiles
            .window(solved.sweeps, [0; 2], [height, width])
            .unwrap();
        assert_eq!(solved.at, alone.at);
        assert_eq!(maps.to_data(), wanted.to_data());
    };
    for size in [2, 3] {
        let store = TilesInMemory::default();
        let solved = thread::scope(|scope| {
            let members = threads::group(size).into_iter().map(|group| {
                let (case, store, limits) = (&case, &store, &limits);
                scope.spawn(move || case.tiles(store, 9, &group).solve(limits, &mut ()).unwrap())
            });
            let members: Vec<_> = members.collect();
            members
                .into_iter()
                .map(|m| m.join().unwrap())
                .collect::<Vec<_>>()
        });
        solved.into_iter().for_each(|solved| same(&store, solved));
    }
    // Stopped after every few questions whether to stop.
    struct Impatient(std::cell::Cell<usize>, usize);
    impl Callback<TileStep> for Impatient {
        fn interrupted(&self) -> bool {
            self.0.set(self.0.get() + 1);
            self.0.get() > self.1
        }
    }
    let (store, group) = (TilesInMemory::default(), Group::alone());
    let mut calls = 0;
    let solved = loop {
        calls += 1;
        let mut callback = Impatient(0.into(), 100 + 11 * (calls % 7));
        let solved = case.tiles(&store, 9, &group).solve(&limits, &mut callback);
        let solved = solved.unwrap();
        if solved.reason != Reason::Interrupted {
            break solved;
        }
        assert!(calls < 1000);
    };
    assert!(calls > 2, "{calls}");
    same(&store, solved);
}

#[test]
fn what_tiles_cannot_do_is_refused() {
    let case = Case::new(Boundary::Valid, [5, 3], [30, 30]);
    let (store, group) = (TilesInMemory::default(), Group::alone());
    let message = |network: &Network, objective: Objective, tile: usize| {
        let tiles = Tiles::new(
            network.clone(),
            objective,
            &case.image,
            &store,
            tile,
            &group,
        );
        tiles.err().expect("refused").to_string()
    };
    let text = message(&case.network, case.objective, 9);
    assert!(
        text.contains("tiles of 9") && text.contains("at least 15"),
        "{text}"
    );
    let half = Objective::new(1.0, 0.1, 0.5).unwrap();
    let text = message(&case.network, half, 15);
    assert!(text.contains("p < 1"), "{text}");
    let other = LayerConfig::new(Connectivity::full(1, 3), [3, 3]).init(&Device::flex());
    let text = message(&Network::new(vec![other]).unwrap(), case.objective, 15);
    assert!(
        text.contains("2 channels") && text.contains("1 planes"),
        "{text}"
    );
    let small = Case::new(Boundary::Circular, [5, 3], [19, 30]);
    let tiles = Tiles::new(
        small.network,
        case.objective,
        &small.image,
        &store,
        15,
        &group,
    );
    let text = tiles.err().expect("refused").to_string();
    assert!(text.contains("go round"), "{text}");
}
