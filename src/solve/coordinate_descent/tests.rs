//! The products over elements against those of whole images, and the working set at work.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::image::Image;
use super::layer_problem::{LayerProblem, each};
use super::numbers::{Real, real, to_f64, weighted_square};
use crate::connectivity::Connectivity;
use crate::conv::cpu::{self, Sizes};
use crate::model::Boundary;

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

fn layer_problem<T: Real>(
    filters: Vec<T>,
    g: Connectivity,
    sizes: Sizes,
    weight: f64,
    p: f64,
) -> LayerProblem<T> {
    LayerProblem {
        weight,
        penalty: p.into(),
        ..LayerProblem::new(filters, g, sizes, Boundary::Valid)
    }
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

/// The products over elements against those of whole images, all pixels times their weights.
fn products<T: Real>(weighted: bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (g, sizes) in layers() {
        let what = format!("{} planes {} maps {sizes:?}", g.planes(), g.maps());
        let f: Vec<T> = filters(&g, sizes, &mut rng);
        let layer = layer_problem(f.clone(), g.clone(), sizes, 0.1, 1.0);
        let frame = layer.atoms.frame();
        let image = sizes.image.iter().product::<usize>() * g.planes();
        let weights: Vec<T> = match weighted {
            true => {
                let weights: Vec<T> = draw(image, 0.7, &mut rng);
                weights.into_iter().map(T::abs).collect()
            }
            false => vec![T::one(); image],
        };
        let canvas = weighted.then(|| frame.canvas(&weights));
        let on_canvas = canvas.as_deref();
        let times = |x: &[T]| -> Vec<T> { x.iter().zip(&weights).map(|(&x, &m)| x * m).collect() };

        let maps: Vec<T> = draw(layer.maps().iter().product(), 0.2, &mut rng);
        let elements = layer.elements(&maps, on_canvas);
        assert!(
            elements
                .iter()
                .flatten()
                .all(|e| maps[layer.index(e.place)] == e.value)
        );

        let residual: Vec<T> = draw(image, 1.0, &mut rng);
        assert!(frame.planes(&frame.canvas(&residual)) == residual, "{what}");

        let mut canvas = frame.canvas(&residual);
        layer.add(
            &mut canvas,
            &elements,
            &each(&elements, |e| e.value),
            on_canvas,
        );
        let sum = times(&cpu::synthesize(&maps, &f, &g, sizes));
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
        let everywhere = layer.elements(&vec![T::one(); maps.len()], on_canvas);
        let pulls = layer.correlate(&frame.canvas(&residual), &everywhere);
        let mut got = vec![T::zero(); maps.len()];
        for (element, pull) in everywhere.iter().flatten().zip(pulls.iter().flatten()) {
            got[layer.index(element.place)] = *pull;
        }
        assert_near(&got, &analyzed, &format!("correlate, {what}"));

        for element in everywhere.iter().flatten().step_by(7) {
            let mut one = vec![T::zero(); maps.len()];
            one[layer.index(element.place)] = T::one();
            let patch = cpu::synthesize(&one, &f, &g, sizes);
            let energies = patch.iter().zip(times(&patch));
            let energy = energies.map(|(&x, y)| to_f64(x * y)).sum::<f64>();
            let off = (to_f64(element.energy) - energy).abs();
            let tolerance = 100.0 * to_f64(T::epsilon()) * energy;
            assert!(off <= tolerance, "{what}: energy {energy}");
        }

        // The weighted square of what is left, zero where the weight is.
        let left = layer.residual(
            &frame.canvas(&times(&residual)),
            &elements,
            &each(&elements, |e| e.value),
            on_canvas,
        );
        let explained = cpu::synthesize(&maps, &f, &g, sizes);
        let square = residual.iter().zip(&explained).zip(&weights);
        let square: f64 = square
            .map(|((&y, &z), &m)| to_f64(m * (y - z) * (y - z)))
            .sum();
        let off = (weighted_square(&left, on_canvas) - square).abs();
        assert!(
            off <= 1e-4 * square,
            "{what}: square {square}, off by {off}"
        );
    }
}

#[test]
fn products_over_elements_are_those_of_whole_images() {
    for weighted in [false, true] {
        products::<f32>(weighted);
        products::<f64>(weighted);
    }
}

/// The objective with the maps written out, by the products of whole images.
fn objective(layer: &LayerProblem<f64>, image: &[f64], maps: &[f64]) -> f64 {
    let sum = cpu::synthesize(maps, &layer.filters, &layer.g, layer.sizes);
    let squares: f64 = sum.iter().zip(image).map(|(a, b)| (a - b) * (a - b)).sum();
    0.5 * squares
        + layer.weight
            * maps
                .iter()
                .map(|z| z.abs().powf(layer.penalty.p))
                .sum::<f64>()
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
            let layer = layer_problem(f, g, sizes, 0.4, p);
            let mut solved = Image::new(&layer, &image, None, &[]);
            for _ in 0..3000 {
                solved.round(&layer);
            }
            assert!(solved.settled(), "p {p} {sizes:?}");
            let mut maps = vec![0.0; layer.maps().iter().product()];
            solved.write(&layer, &mut maps);
            let used = maps.iter().filter(|&&z| z != 0.0).count();
            assert!(used > 0 && used < maps.len(), "p {p} {sizes:?}: {used}");
            let least = objective(&layer, &image, &maps);
            for i in (0..maps.len()).step_by(maps.len().div_ceil(40)) {
                let found = maps[i];
                let steps = [-2.0, -0.5, -0.1, -1e-3, 1e-3, 0.1, 0.5, 2.0];
                for other in steps.map(|step| found + step).into_iter().chain([0.0]) {
                    maps[i] = other;
                    let moved = objective(&layer, &image, &maps);
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
        let layer = layer_problem(f.clone(), g.clone(), sizes, 0.1, p);
        let mut past = 0;
        for _ in 0..1000 {
            let [value, pull] = [2.0, 3.0].map(|most| rng.random_range(-most..most));
            let (energy, weight) = (rng.random_range(0.5..2.0), rng.random_range(0.0..1.0));
            let objective = |z: f64| 0.5 * energy * z * z - pull * z + weight * z.abs().powf(p);
            let best = layer.best(pull, energy, weight);
            let new = layer.relaxed(value, best);
            assert!(objective(best) <= objective(new) && objective(new) < objective(value));
            assert!(new == best || (new - best) * (best - value) > 0.0 && new * value > 0.0);
            past += usize::from(new != best);
        }
        assert_eq!(past > 100, p == 1.0, "{past}");
    }
}
