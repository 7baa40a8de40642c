use burn::tensor::{Tensor, TensorData};
use deconvnet::{
    backend::Backend,
    connectivity::Connectivity,
    data::{self, Preprocess},
    model::*,
    solve::*,
};
use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};
fn main() {
    let set = std::env::args().nth(1).unwrap_or("fruit".into());
    let dev = std::env::args()
        .nth(2)
        .unwrap_or("flex".into())
        .parse::<Backend>()
        .unwrap()
        .device()
        .unwrap();
    let files = data::folder::list(format!("../shared/data/{set}").as_ref()).unwrap();
    let read = |f: &std::path::PathBuf| data::folder::read(f, true, None);
    let pre: Preprocess = serde_json::from_str(r#"{"kind":"local-mean"}"#).unwrap();
    let prep = pre.fit(files.iter().map(|f| read(f))).unwrap();
    let ys: Vec<_> = files
        .iter()
        .map(|f| {
            let (im, _) = prep.apply(&read(f).unwrap()).unwrap();
            let s = im.shape();
            Tensor::<4>::from_data(TensorData::new(im.values, [1, s[0], s[1], s[2]]), &dev)
        })
        .collect();
    println!("{:?}", ys[0].dims());
    let layer = Layer::random(
        Connectivity::full(3, 9),
        [7, 7],
        Constraint::UnitPlanes,
        0,
        &dev,
    );
    let mut net = Network::new(vec![layer]);
    let obj = Objective::new(1.0, 1.0, 0.8).unwrap();
    let learner = Learner {
        codes: Method::Split(Split::default()),
        steps: 100,
        filters: FilterStep::LeastSquares { cg: 2 },
        filter_rate: 0.01,
        constraint: Constraint::UnitPlanes,
    };
    let shape = net.maps_shape(ys[0].dims());
    let mut maps: Vec<_> = ys.iter().map(|_| Tensor::<4>::zeros(shape, &dev)).collect();
    for e in 0..5 {
        let t = std::time::Instant::now();
        let mut order: Vec<usize> = (0..ys.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(e));
        let (mut snr, mut den) = (0., 0.);
        for i in order {
            let p = Problem {
                network: net.clone(),
                images: ys[i].clone(),
                objective: obj,
            };
            let l = learner
                .visit(&p, maps[i].clone(), true, &mut vec![], &mut ())
                .unwrap();
            maps[i] = l.maps;
            net = l.network;
            snr += l.snr[0];
            den += l.after_filters[0].density;
        }
        println!(
            "epoch {} snr {:.3} density {:.4} {:.2}s",
            e + 1,
            snr / 10.,
            den / 10.,
            t.elapsed().as_secs_f64()
        );
    }
}
