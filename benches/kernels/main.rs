//! The masked convolution beside a matrix product and Burn's own convolution, in one run:
//!
//! ```text
//! cargo bench --bench kernels                       all sizes, about four minutes on two cores
//! cargo bench --bench kernels -- --only 128         only sizes whose name has "128" in it
//! cargo bench --bench kernels -- --planner          what the choice of transforms rests on
//! ```
//!
//! Everything runs through the public calls on Burn tensors, on all cores. Rates count the
//! multiplications and additions of connected pairs, once each. The ceiling is the product of two
//! 1024 x 1024 matrices by the same backend, taken again and again between the others.

mod planner;
mod sizes;
#[path = "../table/mod.rs"]
mod table;

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Tensor};
use clap::Parser;
use deconvnet::conv::{self, cpu::Algorithm, cpu::Product};

use sizes::Size;
use table::Table;

/// Times the kernels of the masked convolution.
#[derive(Parser)]
struct Args {
    /// Only sizes whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds for each product at each size
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Leave out Burn's own convolution
    #[arg(long)]
    no_burn: bool,
    /// Measure the constants of the planner, which chooses between sums and transforms
    #[arg(long)]
    planner: bool,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The side of the matrices whose product is the ceiling.
const MATRIX: usize = 1024;

const HEADS: [&str; 9] = [
    "planes->maps, taps, images",
    "product",
    "by",
    "least ms",
    "median ms",
    "GFLOP/s",
    "matmul GFLOP/s",
    "share",
    "Burn's / ours",
];

fn main() {
    let args = Args::parse();
    if args.planner {
        return planner::measure();
    }
    let device = Device::flex();
    let widths = [38, 14, 11, 9, 9, 8, 14, 6, 13];
    let table = Table::new("The convolutions on the CPU", HEADS, widths);
    let mut least = (f64::INFINITY, String::new());
    let sizes = sizes::all().into_iter();
    for size in sizes.filter(|size| size.name().contains(&args.only)) {
        for (ratio, cells) in measure(&size, &args, &device) {
            if ratio < least.0 {
                least = (ratio, format!("{} at {}", cells[1], cells[0]));
            }
            table.row(cells);
        }
    }
    if least.0.is_finite() {
        let (ratio, what) = least;
        println!("\nleast of the ratios to Burn's convolution: {ratio:.2}, {what}");
    }
}

/// Times of one thing, in seconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn take<R>(&mut self, f: impl FnOnce() -> R) -> f64 {
        let start = Instant::now();
        std::hint::black_box(f());
        let seconds = start.elapsed().as_secs_f64();
        self.0.push(seconds);
        seconds
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// The three products at one size: ours, Burn's and the matrix product by turns. How many times longer
/// Burn's takes, and the row.
fn measure(size: &Size, args: &Args, device: &Device) -> [(f64, [String; 9]); 3] {
    let random = |shape| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), device);
    let s = size.sizes;
    let ([h, w], [map_height, map_width]) = (s.filter, s.map());
    let g = &size.g;
    let maps = random([s.batch, g.maps(), map_height, map_width]);
    let filters = random([g.planes(), g.maps(), h, w]);
    let residual = random([s.batch, g.planes(), s.image[0], s.image[1]]);
    let square = Tensor::<2>::random([MATRIX; 2], Distribution::Normal(0.0, 1.0), device);

    type Op = fn(Tensor<4>, Tensor<4>, &deconvnet::connectivity::Connectivity) -> Tensor<4>;
    let products: [(Product, Op, Op, [&Tensor<4>; 2]); 3] = [
        (
            Product::Synthesize,
            conv::synthesize,
            conv::reference::synthesize,
            [&maps, &filters],
        ),
        (
            Product::Analyze,
            conv::analyze,
            conv::reference::analyze,
            [&residual, &filters],
        ),
        (
            Product::FilterGradient,
            conv::filter_gradient,
            conv::reference::filter_gradient,
            [&maps, &residual],
        ),
    ];
    products.map(|(product, ours, burns, [a, b])| {
        let (mut own, mut burn, mut ceiling) =
            (Times::default(), Times::default(), Times::default());
        // Warm-up.
        std::hint::black_box(ours(a.clone(), b.clone(), g));
        let start = Instant::now();
        while own.0.len() < 3 || start.elapsed() < Duration::from_secs_f64(args.seconds) {
            let matrix = ceiling.take(|| square.clone().matmul(square.clone()));
            let turn = Instant::now();
            // As long as the matrix product at least, so that the one does not chill the other.
            while turn.elapsed().as_secs_f64() < matrix {
                own.take(|| ours(a.clone(), b.clone(), g));
            }
            // Burn's may take seconds: twice then.
            let enough = burn.0.len() >= 2 && burn.least() > args.seconds / 4.0;
            if !args.no_burn && !enough {
                burn.take(|| burns(a.clone(), b.clone(), g));
            }
        }
        let rate = size.operations() / own.least();
        let matrix = 2.0 * (MATRIX as f64).powi(3) / ceiling.least();
        // Infinite where Burn's was left out.
        let ratio = burn.least() / own.least();
        let algorithm = match Algorithm::fastest(product, g, s) {
            Algorithm::Direct => "sums".into(),
            Algorithm::Fft([height, width]) => format!("FFT {height}x{width}"),
        };
        let cells = [
            size.name(),
            format!("{product:?}"),
            algorithm,
            format!("{:.3}", own.least() * 1e3),
            format!("{:.3}", own.median() * 1e3),
            format!("{:.1}", rate / 1e9),
            format!("{:.1}", matrix / 1e9),
            format!("{:.2}", rate / matrix),
            format!("{ratio:.1}"),
        ];
        (ratio, cells)
    })
}
