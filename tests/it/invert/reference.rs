//! Against NumPy's `pinv` and SciPy's `lsqr`: `scripts/invert_reference.py` writes the fixture.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use deconvnet::arrays::{self, Bundle};
use deconvnet::invert::{
    Analysis, Decomposition, Inverse, InverseMethod, Operator, Padding, Settings,
};
use deconvnet::solve::{Limits, Reason};

use super::*;

/// The cases of the script, with what the fixture does not hold.
const CASES: [(&str, Padding, [usize; 2]); 10] = [
    ("wide", Padding::None, [1, 1]),
    ("square", Padding::Zeros, [1, 1]),
    ("singular", Padding::Circular, [1, 1]),
    ("decolour", Padding::None, [1, 1]),
    ("blur", Padding::Reflect, [1, 1]),
    ("overcomplete", Padding::Zeros, [1, 1]),
    ("strided", Padding::Zeros, [2, 2]),
    ("strided_tall", Padding::Circular, [2, 2]),
    ("strided_wide", Padding::Circular, [2, 3]),
    ("even", Padding::Reflect, [1, 2]),
];

struct Fixture {
    path: PathBuf,
    bundle: Bundle,
}

impl Fixture {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/invert.npz");
        let bundle = arrays::read(&path).expect("the fixture");
        Self { path, bundle }
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        self.bundle
            .array(name, &self.path)
            .expect("an array")
            .shape
            .clone()
    }

    fn single(&self, name: &str) -> Vec<f64> {
        let array = self.bundle.array(name, &self.path).expect("an array");
        array.values.iter().map(|&v| f64::from(v)).collect()
    }

    /// What was stored as the sum of two arrays.
    fn double(&self, name: &str) -> Vec<f64> {
        let (hi, lo) = (
            self.single(&format!("{name}_hi")),
            self.single(&format!("{name}_lo")),
        );
        hi.iter().zip(lo).map(|(hi, lo)| hi + lo).collect()
    }

    fn rank(&self, name: &str) -> usize {
        self.bundle
            .scalar(&format!("{name}_rank"), &self.path)
            .expect("a number") as usize
    }

    fn case(&self, (name, padding, stride): (&str, Padding, [usize; 2])) -> Case {
        let filters = format!("{name}_filters");
        let shape = self.shape(&filters).try_into().expect("four axes");
        let filters = tensor(&self.single(&filters), shape);
        let input: [usize; 3] = self
            .shape(&format!("{name}_x"))
            .try_into()
            .expect("three axes");
        let x = tensor(&self.single(&format!("{name}_x")), batch(input));
        let operator = Operator::new(filters, stride, padding, input).expect("an operator");
        let y = tensor(&self.double(&format!("{name}_y")), batch(operator.output()));
        Case { operator, x, y }
    }
}

struct Case {
    operator: Operator,
    x: Tensor<4>,
    y: Tensor<4>,
}

impl Case {
    fn problem(&self) -> Inverse {
        Inverse::new(self.operator.clone(), self.y.clone()).expect("shapes that fit")
    }
}

/// The decompositions that the operator allows.
fn decompositions(operator: &Operator) -> Vec<Decomposition> {
    let best = Decomposition::new(operator)
        .expect("convergence")
        .expect("small enough");
    let dense = Decomposition::dense(operator).expect("convergence");
    vec![best, dense]
}

#[test]
fn w_is_the_scripts_matrix() {
    let fixture = Fixture::read();
    for case in CASES {
        let Case { operator, x, y } = fixture.case(case);
        // Where noise was added, it shows.
        let tolerance = if ["overcomplete", "strided_tall"].contains(&case.0) {
            0.2
        } else {
            1e-13
        };
        assert_near(&values(&operator.apply(x)), &values(&y), tolerance, case.0);
    }
}

#[test]
fn singular_values_rank_and_null_space_are_numpys() {
    let fixture = Fixture::read();
    for case in CASES {
        let (name, ..) = case;
        let Case { operator, x, .. } = fixture.case(case);
        let (wanted, rank) = (fixture.double(&format!("{name}_s")), fixture.rank(name));
        for decomposition in decompositions(&operator) {
            let what = format!("{name}, {}", decomposition.route());
            assert_near(decomposition.singular_values(), &wanted, 1e-13, &what);
            let told = Analysis::new(&operator, Some(&decomposition)).expect("an analysis");
            let [rows, columns] = operator.shape();
            assert_eq!(told.rank, Some(rank), "{what}");
            assert_eq!(told.null_space, Some(columns - rank), "{what}");
            assert_eq!(told.unique, Some(rank == columns), "{what}");
            assert_eq!(told.always_solvable, Some(rank == rows), "{what}");
            assert!(told.dot_test < 1e-14, "{what}: {}", told.dot_test);
            let null = values(&decomposition.null_part(&x));
            let wanted = fixture.double(&format!("{name}_null"));
            let off: Vec<f64> = null.iter().zip(&wanted).map(|(a, b)| a - b).collect();
            assert!(
                norm(&off) <= 1e-11 * norm(&values(&x)),
                "{what}: {:e}",
                norm(&off)
            );
        }
    }
}

#[test]
fn the_pseudo_inverse_is_numpys_to_what_the_condition_number_allows() {
    let fixture = Fixture::read();
    for case in CASES {
        let (name, ..) = case;
        let case = fixture.case(case);
        let wanted = fixture.double(&format!("{name}_pinv"));
        for decomposition in decompositions(&case.operator) {
            let told = Analysis::new(&case.operator, Some(&decomposition)).expect("an analysis");
            let found = decomposition.solve(&case.y, Default::default());
            // Single to double storage leaves 1e-14.
            let tolerance = 1e-13 + 20.0 * f64::EPSILON * told.effective_condition();
            let what = format!("{name}, {}", decomposition.route());
            assert_near(&values(&found), &wanted, tolerance, &what);
        }
    }
}

/// From zero, along gradients, everything ends at the least-squares solution of least norm.
#[test]
fn the_zero_started_methods_agree_with_scipys_lsqr_and_numpys_pinv() {
    let fixture = Fixture::read();
    let limits = Limits {
        steps: 20_000,
        every: 1,
        ..Limits::default()
    };
    for case in CASES {
        let (name, ..) = case;
        let case = fixture.case(case);
        let problem = case.problem();
        let decomposition = &decompositions(&case.operator)[0];
        let told = Analysis::new(&case.operator, Some(decomposition)).expect("an analysis");
        let condition = told.effective_condition();
        let (pinv, lsqr) = (
            fixture.double(&format!("{name}_pinv")),
            fixture.double(&format!("{name}_lsqr")),
        );
        for method in [
            InverseMethod::Lsqr,
            InverseMethod::Cg,
            InverseMethod::Lbfgs,
            InverseMethod::Adam,
        ] {
            // Adam needs far more steps than there are where the square of it is beyond 1e4.
            if method == InverseMethod::Adam && condition > 10.0 {
                continue;
            }
            let found = method
                .run(&problem, &Settings::default(), None, &limits, &mut ())
                .expect("finite numbers");
            let at = found.solved.last();
            println!(
                "{name:13} {method:8} {} steps, {:?}",
                at.step, found.solved.reason
            );
            assert!(
                matches!(found.solved.reason, Reason::Converged | Reason::Rounding),
                "{name}, {method}: {:?}",
                found.solved.reason
            );
            // The gradient is what they stop by, so that the square of the condition number counts.
            let tolerance = 1e-12 + 5.0 * problem.tolerance * condition * condition;
            let got = values(&found.solved.codes);
            assert_near(&got, &pinv, tolerance, &format!("{name}, {method}, pinv"));
            assert_near(&got, &lsqr, tolerance, &format!("{name}, {method}, lsqr"));
        }
    }
}
