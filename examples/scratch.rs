use burn::tensor::Tensor;
use deconvnet::{backend::Backend, picture::*, run::*, store::Which};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dev = Backend::Flex.device().unwrap();
    let run = Run::read(a[1].as_ref(), Which::Last, &dev).unwrap();
    let net = run.learnt();
    for l in 0..net.layers.len() {
        let part = net.part(0..l + 1);
        let k = part.top().connectivity.maps();
        let r: usize = part.layers.iter().map(|x| x.filter_size()[0] - 1).sum::<usize>() + 1;
        let shape = part.maps_shape([1, 3, r, r]);
        let mut tiles = vec![];
        for m in 0..k {
            let mut v = vec![0f32; k * shape[2] * shape[3]];
            v[m * shape[2] * shape[3] + (shape[2] / 2) * shape[3] + shape[3] / 2] = 1.0;
            let z = Tensor::<4>::from_data(burn::tensor::TensorData::new(v, shape), &dev);
            let im = to_image(&part.project(z), 0).unwrap();
            tiles.push(Tile::new(symmetric(&im, None), ""));
        }
        save_png(&mosaic(&tiles, &MosaicOptions { title: format!("layer {}", l + 1), ..Default::default() }).unwrap(), format!("{}-l{}.png", a[2], l + 1)).unwrap();
    }
}
