//! The products over elements against those of whole images, and the working set at work.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::image::Image;
use super::shared::{Real, Shared, each, real, to_f64};
use crate::connectivity::Connectivity;
use crate::conv::cpu::{self, Sizes};

/// Layers of every kind: filters wider than a vector, as large as the image, of a single tap.
fn layers() -> Vec<(Connectivity, Sizes)> {
    let random = Connectivity::random(5, 7, 2, 3).expect("2 of 5 planes");
    [
        (Connectivity::full(1, 4), [9, 13], [3, 3]),
        (Connectivity::full(3, 2), [40, 21], [7, 7]),
        (Connectivity::singles_and_pairs(3), [12, 30], [5, 11]),
        (random, [17, 9], [2, 9]),
        (Connectivity::full(2, 3), [6, 5], [6, 5]),
        (Connectivity::full(1, 2), [5, 4], [1, 1]),
        (Connectivity::full(1, 1), [30, 40], [19, 20]),
    ]
    .map(|(g, image, filter)| {
        let sizes = Sizes {
            batch: 1,
            image,
            filter,
        };
        (g, sizes)
    })
    .to_vec()
}

/// Numbers between -1 and 1, of which about `share` are not zero.
fn draw<T: Real>(count: usize, share: f64, rng: &mut ChaCha8Rng) -> Vec<T> {
    let number = |_| match rng.random_bool(share) {
        true => real(rng.random_range(-1.0..1.0)),
        false => T::zero(),
    };
    (0..count).map(number).collect()
}

fn filters<T: Real>(g: &Connectivity, sizes: Sizes, rng: &mut ChaCha8Rng) -> Vec<T> {
    let taps = sizes.filter[0] * sizes.filter[1];
    let mut all = draw(g.planes() * g.maps() * taps, 1.0, rng);
    for (pair, taps) in all.chunks_exact_mut(taps).enumerate() {
        if !g.connects(pair / g.maps(), pair % g.maps()) {
            taps.fill(T::zero());
        }
    }
    all
}

#[track_caller]
fn assert_near<T: Real>(got: &[T], wanted: &[T], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let size = |x: &[T]| x.iter().map(|x| to_f64(*x).abs()).fold(0.0, f64::max);
    let apart: Vec<T> = got.iter().zip(wanted).map(|(&a, &b)| a - b).collect();
    assert!(size(wanted) > 0.0, "{what}: the check would hold for zeros");
    // Sums have up to some hundred terms, in any order.
    let tolerance = 100.0 * to_f64(T::epsilon()) * size(wanted);
    assert!(size(&apart) <= tolerance, "{what}: off by {}", size(&apart));
}

fn products<T: Real>() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (g, sizes) in layers() {
        let what = format!("{} planes {} maps {sizes:?}", g.planes(), g.maps());
        let f: Vec<T> = filters(&g, sizes, &mut rng);
        let shared = Shared::new(f.clone(), g.clone(), sizes, 0.1, 1.0);
        let frame = shared.atoms.frame();
        let maps: Vec<T> = draw(shared.maps().iter().product(), 0.2, &mut rng);
        let elements = shared.elements(&maps);
        assert!(
            elements
                .iter()
                .flatten()
                .all(|e| maps[shared.index(e.place)] == e.value)
        );

        let image = sizes.image.iter().product::<usize>() * g.planes();
        let residual: Vec<T> = draw(image, 1.0, &mut rng);
        assert!(frame.planes(&frame.canvas(&residual)) == residual, "{what}");

        let mut canvas = frame.canvas(&residual);
        shared.add(&mut canvas, &elements, &each(&elements, |e| e.value));
        let sum = cpu::synthesize(&maps, &f, &g, sizes);
        let sum: Vec<T> = sum
            .into_iter()
            .zip(&residual)
            .map(|(a, &b)| a + b)
            .collect();
        assert_near(&frame.planes(&canvas), &sum, &format!("add, {what}"));
        // What sticks out of the image must be gone.
        let outside = frame.canvas(&frame.planes(&canvas));
        assert!(outside == canvas, "{what}: the margin is not zero");

        let analyzed = cpu::analyze(&residual, &f, &g, sizes);
        let everywhere = shared.elements(&vec![T::one(); maps.len()]);
        let pulls = shared.correlate(&frame.canvas(&residual), &everywhere);
        let mut got = vec![T::zero(); maps.len()];
        for (element, pull) in everywhere.iter().flatten().zip(pulls.iter().flatten()) {
            got[shared.index(element.place)] = *pull;
        }
        assert_near(&got, &analyzed, &format!("correlate, {what}"));

        for element in everywhere.iter().flatten().step_by(7) {
            let mut one = vec![T::zero(); maps.len()];
            one[shared.index(element.place)] = T::one();
            let patch = cpu::synthesize(&one, &f, &g, sizes);
            let energy = patch.iter().map(|&x| to_f64(x * x)).sum::<f64>();
            let off = (to_f64(element.energy) - energy).abs();
            let tolerance = 100.0 * to_f64(T::epsilon()) * energy;
            assert!(off <= tolerance, "{what}: energy {energy}");
        }
    }
}

#[test]
fn products_over_elements_are_those_of_whole_images() {
    products::<f32>();
    products::<f64>();
}

/// The objective with the maps written out, by the products of whole images.
fn objective(shared: &Shared<f64>, image: &[f64], maps: &[f64]) -> f64 {
    let sum = cpu::synthesize(maps, &shared.filters, &shared.g, shared.sizes);
    let squares: f64 = sum.iter().zip(image).map(|(a, b)| (a - b) * (a - b)).sum();
    0.5 * squares + shared.weight * maps.iter().map(|z| z.abs().powf(shared.p)).sum::<f64>()
}

#[test]
fn no_move_of_a_single_element_improves_settled_maps() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for p in [0.5, 0.8, 1.0] {
        for (g, sizes) in layers() {
            let f = filters(&g, sizes, &mut rng);
            let image: Vec<f64> = draw(
                sizes.image.iter().product::<usize>() * g.planes(),
                1.0,
                &mut rng,
            );
            let shared = Shared::new(f, g, sizes, 0.4, p);
            let mut solved = Image::new(&shared, &image, &[]);
            for _ in 0..3000 {
                solved.round(&shared);
            }
            assert!(solved.settled(), "p {p} {sizes:?}");
            let mut maps = vec![0.0; shared.maps().iter().product()];
            solved.write(&shared, &mut maps);
            let used = maps.iter().filter(|&&z| z != 0.0).count();
            assert!(used > 0 && used < maps.len(), "p {p} {sizes:?}: {used}");
            let least = objective(&shared, &image, &maps);
            for i in (0..maps.len()).step_by(maps.len().div_ceil(40)) {
                let found = maps[i];
                let steps = [-2.0, -0.5, -0.1, -1e-3, 1e-3, 0.1, 0.5, 2.0];
                for other in steps.map(|step| found + step).into_iter().chain([0.0]) {
                    maps[i] = other;
                    let moved = objective(&shared, &image, &maps);
                    assert!(
                        moved >= least - 1e-9 * least,
                        "p {p} {sizes:?}: {found} to {other}"
                    );
                }
                maps[i] = found;
            }
        }
    }
}

#[test]
fn a_move_past_the_best_value_lowers_the_objective_and_keeps_the_sign() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (g, sizes) = layers().swap_remove(0);
    let f: Vec<f64> = filters(&g, sizes, &mut rng);
    for p in [1.0, 0.5] {
        let shared = Shared::new(f.clone(), g.clone(), sizes, 0.1, p);
        let mut past = 0;
        for _ in 0..1000 {
            let [value, pull] = [2.0, 3.0].map(|most| rng.random_range(-most..most));
            let (energy, weight) = (rng.random_range(0.5..2.0), rng.random_range(0.0..1.0));
            let objective = |z: f64| 0.5 * energy * z * z - pull * z + weight * z.abs().powf(p);
            let best = shared.best(pull, energy, weight);
            let new = shared.relaxed(value, best);
            assert!(objective(best) <= objective(new) && objective(new) < objective(value));
            assert!(new == best || (new - best) * (best - value) > 0.0 && new * value > 0.0);
            past += usize::from(new != best);
        }
        assert_eq!(past > 100, p == 1.0, "{past}");
    }
}
