//! Filters from maps of every boundary and sign, and filters without negative taps.

use super::*;

#[test]
fn filters_from_sparse_maps_are_those_from_dense_ones() {
    for kind in kinds().filter(|kind| !kind.weighted) {
        let mut problem = problem(Stack::Masked, kind, 3, [17, 14], 77);
        let filters = problem.network.top().filters.val().cast(DType::F32);
        let layer = &mut problem.network.layers_mut()[0];
        *layer = layer.with_filters(filters);
        problem.data = problem.data.to(&Device::flex(), DType::F32);
        let shape = problem.maps_shape();
        let few = sparse(shape.iter().product(), 0.06, &mut rng(3));
        let few: Vec<f64> = match kind.non_negative {
            true => few.iter().map(|z| z.abs()).collect(),
            false => few,
        };
        let maps = tensor_as(&few, shape, DType::F32, &Device::flex());
        let batch = SparseBatch::new(&problem, &maps).expect("sparse maps");
        let batches = |visit: &mut dyn FnMut(CodedBatch) -> deconvnet::Result<()>| {
            visit((maps.clone(), problem.data.clone()).into())
        };
        for constraint in [Constraint::UnitBall, Constraint::NonNegativeBall] {
            let solve = |sparse| {
                let filters = FilterProblem {
                    group: &Group::alone(),
                    network: &problem.network,
                    layer: 0,
                    batches: &batches,
                    sparse,
                    statistics: None,
                    constraint,
                };
                let step = FilterStep::ProjectedGradient { steps: 6 };
                values(&filters.solve(step).expect("batches that can be read"))
            };
            let found = solve(Some(&batch));
            assert_near(&found, &solve(None), 2e-5, &format!("{kind:?}"));
            let negative = found.iter().any(|&f| f < 0.0);
            assert_eq!(negative, constraint == Constraint::UnitBall);
        }
        let dense = problem
            .objective
            .measure(&problem.network, maps.clone(), &problem.data);
        let found = batch.measure(&problem.network.top().filters.val(), &problem.objective);
        for (found, dense) in found.iter().zip(&dense) {
            let off = (found.objective / dense.objective - 1.0).abs();
            assert!(off < 1e-5, "{kind:?}: {found:?} and {dense:?}");
            assert_eq!(found.density, dense.density, "{kind:?}");
        }
    }
}

#[test]
fn a_constraint_gives_the_nearest_filters_without_negative_taps() {
    for constraint in [
        Constraint::NonNegativePlanes,
        Constraint::NonNegativeBall,
        Constraint::NonNegativeFilters,
    ] {
        let mut rng = rng(80);
        let given = random([2, 3, 3, 3], &mut rng);
        let once = constraint.project(given.clone());
        assert!(values(&once).iter().all(|&f| f >= 0.0), "{constraint:?}");
        let twice = constraint.project(once.clone());
        assert_near(&values(&twice), &values(&once), 1e-12, "projected again");
        let distance = |x: &Tensor<4>| number((x.clone() - given.clone()).square().sum());
        for share in [0.01, 0.1, 1.0] {
            for _ in 0..50 {
                let other = once.clone() + random([2, 3, 3, 3], &mut rng) * share;
                let other = constraint.project(other);
                let [nearest, there] = [&once, &other].map(distance);
                assert!(
                    there >= nearest - 1e-9,
                    "{constraint:?}: {there} < {nearest}"
                );
            }
        }
    }
}
