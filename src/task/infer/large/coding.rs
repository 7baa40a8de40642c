//! One image: its layers in tiles, its reconstruction in windows.

use std::fs;
use std::path::PathBuf;

use burn::tensor::Tensor;

use super::folder::{TileFolder, begin};
use super::remove;
use super::small::Small;
use super::source::{Maps, Pixels};
use crate::arrays::{self, Array, Bundle};
use crate::data::{Depth, Errors, Image, Raster, Streamed, survey, windows};
use crate::error::{Error, Result};
use crate::model::{Boundary, Layer};
use crate::picture::save_png_rows;
use crate::report::Results;
use crate::run::to_image;
use crate::solve::{Budget, Patches, Reason, TileStep, TileStore, Tiles, TilesSolved};
use crate::task::infer::files::Job;
use crate::task::infer::report::Row;
use crate::task::infer::{Coder, Inferred, InferredLayer, Options};
use crate::task::{Callback, Event};

/// The coding of one image.
pub(super) struct Coding<'a> {
    pub options: &'a Options,
    pub coder: &'a Coder<'a>,
    pub job: &'a Job,
    pub results: &'a Results,
    pub tile: usize,
}

/// What is gathered of an image on the way.
struct Gathered {
    original: Option<Image>,
    layers: Vec<InferredLayer>,
}

impl Coding<'_> {
    /// The folder that an unfinished call goes on from.
    pub fn scratch(&self) -> PathBuf {
        self.options.out.join(self.job.beside("-tiles"))
    }

    /// The rows of the table; none after an interruption.
    pub fn image(&self, observer: &mut dyn Callback<Event>) -> Result<Option<Vec<Row>>> {
        let (group, scratch) = (&self.options.group, self.scratch());
        let settings = self.coder.settings(self.options)?;
        let file = scratch.join("image");
        let shape = group.lead(|| {
            begin(
                &scratch,
                &(settings, self.job.crc32),
                self.options.overwrite,
            )?;
            let channels = self.coder.state.config.data.planes();
            let seen = survey(&self.job.image, channels, Some(&file))?;
            match seen.crc32 == self.job.crc32 {
                true => Ok(seen.shape),
                false => Err(Error::Input(format!(
                    "{} was changed while it was worked on; begin anew",
                    self.job.image.display()
                ))),
            }
        })?;
        let image = Raster::open(&file, shape);
        let image =
            image.and_then(|raster| Streamed::new(self.coder.state.prepare.clone(), raster));
        let pixels = Pixels(group.agree(image)?);
        let mut gathered = Gathered {
            original: None,
            layers: Vec::new(),
        };
        if !self.layer(0, &pixels, &pixels.0, &mut gathered, observer)? {
            return Ok(None);
        }
        let rows = gathered.layers.iter().map(|layer| layer.row.clone());
        let rows = rows.collect();
        if let (Some(original), true) = (gathered.original, group.leads()) {
            let drawn = Inferred {
                original,
                is_array: false,
                layers: gathered.layers,
            };
            self.results
                .picture(&self.job.picture, &drawn.picture(&self.job.name)?)?;
        }
        Ok(Some(rows))
    }

    /// Codes the planes of a source by a layer, and the maps by those above; whether it came to its end.
    fn layer(
        &self,
        l: usize,
        source: &dyn Patches,
        image: &Streamed,
        gathered: &mut Gathered,
        observer: &mut dyn Callback<Event>,
    ) -> Result<bool> {
        let group = &self.options.group;
        let stage = &self.coder.encoder.stages[l];
        let network = self.coder.encoder.network;
        let store = TileFolder::new(self.scratch().join(format!("layer{}", l + 1)));
        let layer = network.part(l..l + 1);
        let tiles = Tiles::new(layer, stage.objective, source, &store, self.tile, group)?;
        let Budget::Limits(limits) = &stage.budget else {
            return Err(Error::Config(
                "images are coded in tiles up to limits".into(),
            ));
        };
        let solved = tiles.solve(limits, &mut Told(&self.job.name, l + 1, observer))?;
        if solved.reason == Reason::Interrupted {
            return Ok(false);
        }
        let last = l + 1 == self.coder.encoder.stages.len();
        let found = match group.leads() {
            true => self.reconstruct(l, &tiles, solved, image, last, observer),
            false => Ok(None),
        };
        let found = group.agree(found)?;
        if group.any(group.leads() && found.is_none()) {
            return Ok(false);
        }
        // The table is the first member's.
        if let Some((original, layer)) = found {
            gathered.original.get_or_insert(original);
            gathered.layers.push(layer);
        }
        let written = match group.leads() {
            true => self.write_maps(l, &tiles, solved.sweeps, &store),
            false => Ok(()),
        };
        group.agree(written)?;
        if last {
            return Ok(true);
        }
        let maps = Maps {
            tiles: &tiles,
            sweeps: solved.sweeps,
            layer: &network.layers()[l],
        };
        self.layer(l + 1, &maps, image, gathered, observer)
    }

    /// The reconstruction of the image from the maps of a layer, in windows; none after an interruption.
    fn reconstruct(
        &self,
        l: usize,
        tiles: &Tiles,
        solved: TilesSolved,
        image: &Streamed,
        written: bool,
        observer: &mut dyn Callback<Event>,
    ) -> Result<Option<(Image, InferredLayer)>> {
        let stack = self.coder.encoder.network.part(0..l + 1);
        let boundary = stack.boundary();
        let taps = [0, 1].map(|d| {
            let reach = |layer: &Layer| layer.filter_size()[d] - 1;
            1 + stack.layers().iter().map(reach).sum::<usize>()
        });
        let stack = stack.with_boundary(Boundary::Valid);
        let shape = image.shape();
        let out = self.scratch().join("reconstruction");
        let out = written.then(|| Raster::create(&out, shape)).transpose()?;
        let (mut small, mut small_x) = (Small::new(shape), Small::new(shape));
        let (mut ratio, mut pixels) = (Errors::default(), Errors::default());
        for [rows, columns] in windows([shape[1], shape[2]], self.tile) {
            if observer.interrupted() {
                return Ok(None);
            }
            // The first element that touches a pixel lies so far before it.
            let corner = [rows.start, columns.start];
            let first =
                [0, 1].map(|d| corner[d] as isize - boundary.first(taps[d]) + 1 - taps[d] as isize);
            let len = [rows.len() + taps[0] - 1, columns.len() + taps[1] - 1];
            let maps = tiles.window(solved.sweeps, first, len)?;
            let planes: Tensor<4> = stack.synthesize(maps);
            let planes = to_image(&planes, 0)?;
            let (prepared, undo) = image.window(rows.clone(), columns.clone())?;
            ratio.add(&prepared, &planes);
            let [y, x] = [undo.invert(&prepared)?, undo.invert(&planes)?];
            pixels.add(&y, &x);
            small.add(corner, &y);
            small_x.add(corner, &x);
            if let Some(out) = &out {
                out.write(corner[0], corner[1], &x)?;
            }
        }
        if let (Some(out), Some(name)) = (out, &self.job.reconstruction) {
            let path = self.results.path(name)?;
            self.results.mark(name)?;
            save_png_rows(&path, Depth::Eight, shape, |rows| {
                out.read(rows, 0..shape[2])
            })?;
        }
        let original = small.mean();
        let flat = original.is_flat();
        let row = Row {
            image: self.job.name.clone(),
            layer: l + 1,
            objective: solved.at.objective,
            data: solved.at.data,
            penalty: solved.at.penalty,
            gap: solved.at.gap,
            snr: (!flat).then(|| ratio.snr()),
            psnr: (!flat).then(|| pixels.psnr()),
            density: solved.at.density,
            steps: solved.visits,
            seconds: solved.seconds,
            reason: solved.reason,
            anomaly: None,
            place: None,
            tiles: Some(tiles.tiles(solved.sweeps.saturating_sub(1)).len()),
            sweeps: Some(solved.sweeps),
        };
        let layer = InferredLayer {
            row,
            codes: Image::zeros(0, 0, 0),
            reconstruction: small_x.mean(),
            scores: None,
        };
        Ok(Some((original, layer)))
    }

    /// Writes the maps of each tile to a file of its own.
    fn write_maps(&self, l: usize, tiles: &Tiles, sweeps: usize, store: &TileFolder) -> Result<()> {
        let Some(folder) = &self.job.maps else {
            return Ok(());
        };
        let ending = &self.options.maps_format;
        let sweep = sweeps.saturating_sub(1);
        if l == 0 {
            // Maps that are replaced may be of more layers and more tiles.
            let layers = |name: &str| name.starts_with("layer");
            let folder = self.results.path(folder)?;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if layers(&entry.file_name().to_string_lossy()) {
                    remove(&entry.path())?;
                }
            }
        }
        let folder = folder.join(format!("layer{}", l + 1));
        for (k, (at, _)) in tiles.tiles(sweep).into_iter().enumerate() {
            let Some(maps) = store.get(sweep, k)? else {
                continue;
            };
            let mut bundle = Bundle::default();
            let whole = |numbers: &[usize]| numbers.iter().map(|&n| n as u32).collect();
            let values = Array::new(vec![maps.values().len()], maps.values().to_vec())?;
            bundle.arrays.insert("values".into(), values);
            bundle
                .indices
                .insert("places".into(), maps.places().to_vec());
            bundle.indices.insert("shape".into(), whole(&maps.shape()));
            bundle.indices.insert("at".into(), whole(&at));
            let name = folder.join(format!("tile-{:05}.{ending}", k + 1));
            arrays::write(self.results.path(name)?, &bundle, true)?;
        }
        Ok(())
    }
}

/// Tells the tiles of a layer of an image.
struct Told<'a>(&'a str, usize, &'a mut dyn Callback<Event>);

impl Callback<TileStep> for Told<'_> {
    fn event(
        &mut self,
        TileStep {
            sweep,
            done,
            of,
            at,
        }: TileStep,
    ) {
        let Self(image, layer, observer) = self;
        let so_far = at.map(|at| {
            let gap = at.gap.unwrap_or(f64::NAN) / at.objective;
            format!(": objective {:.4e}, gap {gap:.1e}", at.objective)
        });
        let so_far = so_far.unwrap_or_default();
        observer.event(Event::Item {
            name: format!("{image} layer {layer} sweep {}{so_far}", sweep + 1),
            done,
            of,
        });
    }

    fn interrupted(&self) -> bool {
        self.2.interrupted()
    }
}
