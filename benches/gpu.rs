//! How fast the GPU kernels are: the three products, the proximal step and a step of FISTA, against
//! Burn's own operations on the same device, and against what the device does on a plain copy and a
//! matrix product.
//!
//!     cargo bench --bench gpu -- --backend wgpu
//!     cargo bench --bench gpu -- --backend vulkan --images 1 --size 32 --maps 4 --taps 5
//!
//! Milliseconds are the least of several rounds; `first` has the compilation of the kernel in it. FLOP
//! and bytes are those that the operation needs at least: connected pairs, each tensor once.

use std::cell::RefCell;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use clap::Parser;
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::conv::proximal::{self, Proximal};
use deconvnet::conv::{self, reference};
use deconvnet::model::{Layer, Network, Objective};
use deconvnet::solve::{Fista, Problem, Solver};

#[derive(Parser)]
#[command(about = "Times the GPU kernels")]
struct Options {
    /// wgpu, vulkan, metal or cuda, as compiled in.
    #[arg(long, default_value = "wgpu")]
    backend: Backend,
    /// Images of a batch.
    #[arg(long, default_value_t = 64)]
    images: usize,
    /// Height and width of an image.
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// Feature maps.
    #[arg(long, default_value_t = 64)]
    maps: usize,
    /// Height and width of a filter.
    #[arg(long, default_value_t = 8)]
    taps: usize,
    /// Planes of an image; without it 1, 3, and a masked layer of as many planes as give about as
    /// many maps, each alone and in pairs.
    #[arg(long)]
    planes: Option<usize>,
    /// Calls of a round.
    #[arg(long, default_value_t = 5)]
    calls: usize,
    /// Leave out Burn's own operations: without autotune they can take long and much memory.
    #[arg(long)]
    alone: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let device = options.backend.device()?;
    println!("{device:?}");
    ceilings(&options, &device);
    let masks = match options.planes {
        Some(planes) => vec![Connectivity::full(planes, options.maps)],
        None => vec![
            Connectivity::full(1, options.maps),
            Connectivity::full(3, options.maps),
            pairs(options.maps),
        ],
    };
    let objective = Objective::new(1.0, 0.1, 1.0)?;
    for g in &masks {
        compare(&options, g, objective, &device);
    }
    Ok(())
}

/// The layer of singles and pairs that has at most that many maps.
fn pairs(maps: usize) -> Connectivity {
    let planes = (1..).take_while(|p| p * (p + 1) / 2 <= maps).last();
    Connectivity::singles_and_pairs(planes.unwrap_or(1))
}

/// The least milliseconds of a call, and those of the first.
fn time<T>(options: &Options, device: &Device, call: impl Fn() -> T) -> [f64; 2] {
    let round = |calls: usize| {
        let start = Instant::now();
        for _ in 0..calls {
            drop(call());
        }
        device.sync().expect("the device does its work");
        start.elapsed().as_secs_f64() * 1e3 / calls as f64
    };
    let first = round(1);
    let least = (0..5)
        .map(|_| round(options.calls))
        .fold(f64::MAX, f64::min);
    [least, first]
}

fn line(name: &str, [least, first]: [f64; 2], flop: f64, bytes: f64, own: Option<f64>) {
    let ratio = own.map_or("-".into(), |own| format!("{:.2}", own / least));
    println!(
        "{name:<16} {least:>10.3} {first:>10.1} {:>10.1} {:>10.1} {ratio:>8}",
        flop / least / 1e6,
        bytes / least / 1e6
    );
}

fn heading(what: &str) {
    println!(
        "\n{what}\n{:<16} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "", "ms", "first ms", "GFLOP/s", "GB/s", "x Burn"
    );
}

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// What the device can: read and write memory, multiply matrices.
fn ceilings(options: &Options, device: &Device) {
    heading("the device");
    let side = options.size + options.taps - 1;
    let x = random([options.images, options.maps, side, side], device);
    let bytes = 8.0 * x.shape().num_elements() as f64;
    let copy = time(options, device, || x.clone() * 1.5);
    line("scaled copy", copy, 0.0, bytes, None);
    let n = if options.size >= 128 { 4096 } else { 512 };
    let a = random([1, 1, n, n], device);
    let product = time(options, device, || a.clone().matmul(a.clone()));
    let cube = (n as f64).powi(3);
    line("matrix product", product, 2.0 * cube, 0.0, None);
}

fn compare(options: &Options, g: &Connectivity, objective: Objective, device: &Device) {
    let (n, taps) = (options.images, options.taps);
    let side = options.size + taps - 1;
    let z = random([n, g.maps(), side, side], device);
    let before = random([n, g.maps(), side, side], device);
    let r = random([n, g.planes(), options.size, options.size], device);
    let f = random([g.planes(), g.maps(), taps, taps], device);
    let momentum = Tensor::full([n, 1, 1, 1], 0.7, device);
    let by = Proximal {
        length: 1e-3,
        weight: 1.0,
        p: 1.0,
    };
    let size = |x: &Tensor<4>| 4.0 * x.shape().num_elements() as f64;
    let pixels = (n * options.size * options.size) as f64;
    let flop = 2.0 * (g.pairs() * taps * taps) as f64 * pixels;
    let once = size(&z) + size(&r);
    heading(&format!(
        "{n} images of {0} x {0}, {1} planes, {2} maps, {3} of {4} pairs, filters {taps} x {taps}",
        options.size,
        g.planes(),
        g.maps(),
        g.pairs(),
        g.planes() * g.maps(),
    ));
    let own =
        |call: &dyn Fn() -> Tensor<4>| (!options.alone).then(|| time(options, device, call)[0]);

    let (x, y) = (|| z.clone(), || f.clone());
    let ours = time(options, device, || conv::synthesize(x(), y(), g));
    let burns = own(&|| reference::synthesize(x(), y(), g));
    line("synthesize", ours, flop, once, burns);

    let (x, y) = (|| r.clone(), || f.clone());
    let ours = time(options, device, || conv::analyze(x(), y(), g));
    let burns = own(&|| reference::analyze(x(), y(), g));
    line("analyze", ours, flop, once, burns);

    let (x, y) = (|| z.clone(), || r.clone());
    let ours = time(options, device, || conv::filter_gradient(x(), y(), g));
    let burns = own(&|| reference::filter_gradient(x(), y(), g));
    line("filter gradient", ours, flop, once, burns);

    let step = |op: fn(_, _, &_, _, _, _) -> (Tensor<4>, Tensor<4>)| {
        let maps = [z.clone(), before.clone()];
        op(r.clone(), f.clone(), g, maps, momentum.clone(), by)
    };
    let ours = time(options, device, || step(proximal::step));
    // Our `analyze` in both: the difference is the passes over the maps.
    let apart = own(&|| step(proximal::reference).0);
    line(
        "proximal step",
        ours,
        flop,
        size(&r) + 3.0 * size(&z),
        apart,
    );

    let layer = Layer::new(f.clone(), g.clone());
    let problem = Problem::new(
        Network::new(vec![layer]).expect("a layer"),
        r.clone(),
        objective,
    )
    .expect("images that fit");
    let fista = Fista::default();
    let state = RefCell::new(fista.init(&problem, z.clone()));
    let ours = time(options, device, || {
        fista.step(&problem, &mut state.borrow_mut())
    });
    // The maps for the image; those and the ones before for the new ones. Of planes the image, what
    // both maps make of it, and the residual, written and read.
    let least = 4.0 * size(&z) + 6.0 * size(&r);
    line("step of FISTA", ours, 2.0 * flop, least, None);

    let ours = time(options, device, || proximal::shrink(z.clone(), 1.0, 1.0));
    let burns = own(&|| deconvnet::penalty::shrink(z.clone(), 1.0, 1.0));
    line("shrink, p = 1", ours, 0.0, 2.0 * size(&z), burns);
    let ours = time(options, device, || proximal::shrink(z.clone(), 1.0, 0.8));
    let burns = own(&|| deconvnet::penalty::shrink(z.clone(), 1.0, 0.8));
    line("shrink, p = 0.8", ours, 0.0, 2.0 * size(&z), burns);
}
