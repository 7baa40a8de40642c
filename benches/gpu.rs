//! How fast the GPU kernels are: the three products, the proximal step, a step of FISTA and pooling, against
//! Burn's own operations on the same device, and against what the device does on a plain copy and a
//! matrix product.
//!
//!     cargo bench --bench gpu -- --backend wgpu
//!     cargo bench --bench gpu -- --backend vulkan --images 1 --size 32 --maps 4 --taps 5
//!
//! Milliseconds are the least of several rounds; `first` has the compilation of the kernel in it. FLOP
//! and bytes are those that the operation needs at least: connected pairs, each tensor once. `of copy`
//! is the share of the bandwidth of the copy, `Burn's` the time of Burn's own operation over ours.

mod table;

use std::cell::RefCell;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use clap::Parser;
use deconvnet::Result;
use deconvnet::backend::{self, Backend};
use deconvnet::connectivity::Connectivity;
use deconvnet::conv::proximal::{self, Proximal};
use deconvnet::conv::{self, reference};
use deconvnet::model::{Layer, Network, Objective};
use deconvnet::penalty;
use deconvnet::pooling::{self, Pool, Switches};
use deconvnet::solve::{Fista, Problem, Solver};
use table::Table;

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

fn main() -> Result<()> {
    let options = Options::parse();
    let device = options.backend.device()?;
    let copy = ceilings(&options, &device)?;
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
        compare(&options, g, objective, &device, copy)?;
    }
    Ok(())
}

/// The layer of singles and pairs that has at most that many maps.
fn pairs(maps: usize) -> Connectivity {
    let planes = (1..).take_while(|p| p * (p + 1) / 2 <= maps).last();
    Connectivity::singles_and_pairs(planes.unwrap_or(1))
}

/// The least milliseconds of a call, and those of the first.
fn time<T>(options: &Options, device: &Device, call: impl Fn() -> T) -> Result<[f64; 2]> {
    let round = |calls: usize| {
        let start = Instant::now();
        for _ in 0..calls {
            drop(call());
        }
        backend::sync(device)?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / calls as f64)
    };
    let first = round(1)?;
    let mut rounds = (0..5).map(|_| round(options.calls));
    let least = rounds.try_fold(f64::MAX, |least, ms| ms.map(|ms| least.min(ms)))?;
    Ok([least, first])
}

/// A table of times on a device, beside what that can.
struct Times<'a> {
    options: &'a Options,
    device: &'a Device,
    table: Table<7>,
    /// Bytes that it copies in a millisecond.
    copy: f64,
}

impl<'a> Times<'a> {
    fn new(heading: &str, options: &'a Options, device: &'a Device, copy: f64) -> Self {
        let heads = ["", "ms", "first ms", "GFLOP/s", "GB/s", "of copy", "Burn's"];
        Self {
            options,
            device,
            table: Table::new(heading, heads, [15, 9, 9, 9, 8, 7, 7]),
            copy,
        }
    }

    /// Times an operation that needs so many FLOP and bytes, and Burn's own.
    fn compare<T, B>(
        &self,
        name: &str,
        needs: [f64; 2],
        ours: impl Fn() -> T,
        burns: impl Fn() -> B,
    ) -> Result<()> {
        let ours = time(self.options, self.device, ours)?;
        let burns = match self.options.alone {
            true => None,
            false => Some(time(self.options, self.device, burns)?[0]),
        };
        self.row(name, needs, ours, burns);
        Ok(())
    }

    fn row(&self, name: &str, [flop, bytes]: [f64; 2], [ms, first]: [f64; 2], burns: Option<f64>) {
        self.table.row([
            name.into(),
            format!("{ms:.3}"),
            format!("{first:.1}"),
            format!("{:.1}", flop / ms / 1e6),
            format!("{:.1}", bytes / ms / 1e6),
            format!("{:.0} %", 100.0 * bytes / ms / self.copy),
            burns.map_or("-".into(), |burns| format!("{:.2}", burns / ms)),
        ]);
    }
}

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// What the device can: read and write memory, multiply matrices. Returns the bytes that it copies in
/// a millisecond.
fn ceilings(options: &Options, device: &Device) -> Result<f64> {
    let side = options.size + options.taps - 1;
    let x = random([options.images, options.maps, side, side], device);
    let bytes = 8.0 * x.shape().num_elements() as f64;
    let copy = time(options, device, || x.clone() * 1.5)?;
    let heading = format!("what {} does on this device", options.backend);
    let times = Times::new(&heading, options, device, bytes / copy[0]);
    times.row("scaled copy", [0.0, bytes], copy, None);
    let n = if options.size < 128 { 128 } else { 4096 };
    let a = random([1, 1, n, n], device);
    let product = time(options, device, || a.clone().matmul(a.clone()))?;
    let cube = (n as f64).powi(3);
    times.row("matrix product", [2.0 * cube, 0.0], product, None);
    Ok(times.copy)
}

fn compare(
    options: &Options,
    g: &Connectivity,
    objective: Objective,
    device: &Device,
    copy: f64,
) -> Result<()> {
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
        penalty: 1.0.into(),
    };
    let size = |x: &Tensor<4>| 4.0 * x.shape().num_elements() as f64;
    let pixels = (n * options.size * options.size) as f64;
    let flop = 2.0 * (g.pairs() * taps * taps) as f64 * pixels;
    let once = size(&z) + size(&r);
    let heading = format!(
        "{n} images of {0} x {0}, {1} planes, {2} maps, {3} of {4} pairs, filters {taps} x {taps}",
        options.size,
        g.planes(),
        g.maps(),
        g.pairs(),
        g.planes() * g.maps(),
    );
    let times = Times::new(&heading, options, device, copy);

    times.compare(
        "synthesize",
        [flop, once],
        || conv::synthesize(z.clone(), f.clone(), g),
        || reference::synthesize(z.clone(), f.clone(), g),
    )?;
    times.compare(
        "analyze",
        [flop, once],
        || conv::analyze(r.clone(), f.clone(), g),
        || reference::analyze(r.clone(), f.clone(), g),
    )?;
    times.compare(
        "filter gradient",
        [flop, once],
        || conv::filter_gradient(z.clone(), r.clone(), g),
        || reference::filter_gradient(z.clone(), r.clone(), g),
    )?;
    let step = |op: fn(_, _, &_, _, _, _) -> (Tensor<4>, Tensor<4>)| {
        let maps = [z.clone(), before.clone()];
        op(r.clone(), f.clone(), g, maps, momentum.clone(), by)
    };
    // Our `analyze` in both: the difference is the passes over the maps.
    times.compare(
        "proximal step",
        [flop, size(&r) + 3.0 * size(&z)],
        || step(proximal::step),
        || step(proximal::reference).0,
    )?;

    let layer = Layer::new(f.clone(), g.clone());
    let problem = Problem::new(Network::new(vec![layer])?, r.clone(), objective)?;
    let fista = Fista::default();
    let state = RefCell::new(fista.init(&problem, z.clone()));
    let whole = time(options, device, || {
        fista.step(&problem, &mut state.borrow_mut())
    })?;
    // The maps for the image; those and the ones before for the new ones. Of planes the image, what
    // both maps make of it, and the residual, written and read.
    let least = 4.0 * size(&z) + 6.0 * size(&r);
    times.row("step of FISTA", [2.0 * flop, least], whole, None);

    for p in [1.0, 0.8] {
        times.compare(
            &format!("shrink, p = {p}"),
            [0.0, 2.0 * size(&z)],
            || proximal::shrink(z.clone(), 1.0, p),
            || penalty::shrink(z.clone(), 1.0, p),
        )?;
    }

    let pool = Pool {
        rows: 3,
        columns: 3,
        maps: 2,
    };
    let switches = Switches::of(&z, pool);
    let values = switches.pool(z.clone());
    let places = pooling::reference::switches(z.clone(), pool);
    times.compare(
        "switches",
        [0.0, size(&z) + size(&values)],
        || Switches::of(&z, pool),
        || pooling::reference::switches(z.clone(), pool),
    )?;
    times.compare(
        "pool at them",
        [0.0, 3.0 * size(&values)],
        || switches.pool(z.clone()),
        || pooling::reference::pool(z.clone(), places.clone()),
    )?;
    times.compare(
        "unpool",
        [0.0, size(&z) + 2.0 * size(&values)],
        || switches.unpool(values.clone()),
        || pooling::reference::unpool(values.clone(), places.clone(), z.dims()),
    )?;
    Ok(())
}
